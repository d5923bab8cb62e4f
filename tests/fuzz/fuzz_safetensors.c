/* fuzz_safetensors.c - any bytes as a tensor file, a model and a checkpoint: an error in words or something that can be used, never a crash.
 * Bytes that start with "{" are also taken as the text of a model's document and of a checkpoint's counters inside an undamaged file, which a
 * mutation of the container alone would hardly reach. */
#include "schema/predict/predict.h"
#include "schema/predict/safetensors.h"
#include "tests/fuzz/fuzz_model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *good_bytes;
static size_t good_size;

static void use_model(const void *bytes, size_t size) {
    struct bp_error error = {0};
    struct schema_model *model = schema_model_read(bytes, size, &error);
    FUZZ_REQUIRE(model || error.message[0]);
    if (!model) return;
    struct schema_predictor *predictor = schema_predictor_new(model, &error);
    if (predictor) {
        static const char *const bodies[] = {"{\"instances\":[{}]}", "{\"instances\":[[1,\"red\",true,\"6\"]]}", "{\"instances\":[{\"x\":1}]}"};
        for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
            struct schema_text out = {.limit = 1 << 20};
            struct schema_problems problems = {0};
            schema_predict_body(predictor, bodies[i], strlen(bodies[i]), 10, &out, &problems);
            schema_problems_clear(&problems);
            free(out.bytes);
        }
    }
    schema_predictor_free(predictor);
    schema_model_free(model);
}

static void use_checkpoint(const void *bytes, size_t size) {
    struct bp_error error = {0};
    struct bp_trainer_state state;
    json_t *notes = NULL;
    if (schema_checkpoint_read(bytes, size, &state, &notes, &error) != 0) {
        FUZZ_REQUIRE(error.message[0]);
        return;
    }
    volatile char sum = 0; /* every byte that the state claims is there */
    const char *buffers[2 + BP_SLOTS_MAX] = {(const char *)state.weights, (const char *)state.best};
    for (int32_t i = 0; i < state.slots_count; i++) buffers[2 + i] = (const char *)state.slots[i];
    for (size_t b = 0; b < sizeof buffers / sizeof *buffers; b++)
        for (size_t i = 0; buffers[b] && i < state.weights_count * sizeof(float); i++) sum = (char)(sum + buffers[b][i]);
    FUZZ_REQUIRE(state.accumulators_count >= 0);
    for (size_t i = 0; i < (size_t)state.accumulators_count * sizeof(double); i++) sum = (char)(sum + ((const char *)state.accumulators)[i]);
    json_decref(notes);
}

static void use_container(const void *bytes, size_t size) {
    struct bp_error error = {0};
    struct schema_tensor *tensors = NULL;
    json_t *metadata = NULL;
    int32_t count = 0;
    if (schema_safetensors_read(bytes, size, &tensors, &count, &metadata, &error) != 0) {
        FUZZ_REQUIRE(error.message[0]);
        return;
    }
    volatile char sum = 0;
    for (int32_t i = 0; i < count; i++) {
        FUZZ_REQUIRE(tensors[i].rank >= 0 && tensors[i].rank <= BP_RANK_MAX && strlen(tensors[i].name) < sizeof tensors[i].name);
        for (size_t k = 0; k < tensors[i].bytes; k++) sum = (char)(sum + ((const char *)tensors[i].data)[k]);
    }
    json_decref(metadata);
    free(tensors);
}

static char *written(const struct schema_tensor *tensors, int32_t count, const json_t *metadata, size_t *size) {
    struct bp_error error = {0};
    const int fd = memory_file();
    FUZZ_REQUIRE(schema_safetensors_write(fd, tensors, count, metadata, size, &error) == 0);
    char *bytes = memory_file_take(fd, *size);
    FUZZ_REQUIRE(bytes);
    return bytes;
}

/* The text as a document beside good tensors, and as the counters of a checkpoint. */
static void inside(const char *text, size_t size) {
    struct bp_error error = {0};
    struct schema_tensor *tensors = NULL;
    json_t *metadata = NULL, *string = json_stringn(text, size);
    int32_t count = 0;
    char *bytes = NULL;
    size_t bytes_size = 0;
    if (!string || memchr(text, '\0', size)) goto done;
    FUZZ_REQUIRE(schema_safetensors_read(good_bytes, good_size, &tensors, &count, &metadata, &error) == 0);
    json_object_set(metadata, "document", string);
    bytes = written(tensors, count, metadata, &bytes_size);
    use_model(bytes, bytes_size);
    free(bytes);
    bp_real weights[4] = {1, 2, 3, 4};
    double accumulators[2] = {0.5, 1};
    struct schema_tensor flat[] = {
        {.name = "accumulators", .dtype = SCHEMA_F64, .rank = 1, .dims = {2}, .data = accumulators, .bytes = sizeof accumulators},
        {.name = "weights", .dtype = SCHEMA_F32, .rank = 1, .dims = {4}, .data = weights, .bytes = sizeof weights}};
    json_object_set_new(metadata, "format", json_string("backpropd-checkpoint/1"));
    json_object_set(metadata, "state", string);
    bytes = written(flat, 2, metadata, &bytes_size);
    use_checkpoint(bytes, bytes_size);
    free(bytes);
done:
    json_decref(string);
    json_decref(metadata);
    free(tensors);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (!good_bytes) good_bytes = fuzz_model_bytes(fuzz_mixed_data, fuzz_mixed_definition, fuzz_mixed_job, &good_size);
    if (size > 1 << 16) return 0;
    use_container(data, size);
    use_model(data, size);
    use_checkpoint(data, size);
    if (size > 0 && data[0] == '{') inside((const char *)data, size);
    return 0;
}

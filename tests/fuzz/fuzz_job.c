/* fuzz_job.c - job bodies made from bytes (fuzz_job_body.h) through everything that a submitted job goes through: resolved against data, spelled out
 * and read back, trained for some steps, written as a model, read, and asked for predictions. A refusal has a reason; an accepted one can be trained:
 * a job that would fail when it starts is a fault of the submission. */
#include "schema/predict/predictor.h"
#include "schema/resolve/folds.h"
#include "schema/training/source.h"
#include "tests/fuzz/fuzz_job_body.h"
#include "tests/fuzz/fuzz_model.h"

#include "engine/kernels/kernels.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int64_t fuzz_generated(int64_t count);

enum { ROWS = 30, HELD_ROWS = 8, STEPS_MAX = 12, BYTES_MAX = 64 << 20 };

static struct schema_dataset *dataset, *held;
static json_t *records;
static int64_t resolved_count, trained_count, predicted_count;

static struct schema_dataset *open_data(int rows) {
    json_t *json = fuzz_records(rows);
    char *text = json_dumps(json, JSON_COMPACT);
    struct schema_dataset *made = fuzz_dataset(text);
    free(text);
    if (rows == ROWS) records = json_incref(json_object_get(json, "records"));
    json_decref(json);
    return made;
}

/* Every problem can be reported and has a text. */
static void check_problems(struct schema_problems *problems) {
    json_t *json = schema_problems_json(problems);
    char *text = json_dumps(json, JSON_COMPACT);
    FUZZ_REQUIRE(text && problems->count > 0);
    for (int32_t i = 0; i < problems->count; i++) {
        const char *detail = problems->items[i].detail;
        if (getenv("FUZZ_SHOW")) fprintf(stderr, "%s: %s\n", problems->items[i].pointer ? problems->items[i].pointer : "", detail);
        FUZZ_REQUIRE(detail && strlen(detail) > 10 && !strstr(detail, "(null)") && !strstr(detail, "out of memory") &&
                     !strstr(detail, "nan to nan") && !strstr(detail, "of shape ?"));
    }
    free(text);
    json_decref(json);
    schema_problems_clear(problems);
}

/* The heart of a job's spec, read back, is the same. */
static void check_spec(const struct schema_training *t) {
    struct bp_error error = {0};
    json_t *once = schema_training_encode(t);
    struct schema_training *again = schema_training_decode(once, &error);
    if (!again) fprintf(stderr, "%s: %s\n", error.pointer, error.message);
    FUZZ_REQUIRE(again);
    json_t *twice = schema_training_encode(again);
    json_object_del(once, "columns"); /* for users: options without effect are not stored */
    json_object_del(twice, "columns");
    FUZZ_REQUIRE(json_equal(once, twice));
    schema_training_free(again);
    json_decref(once);
    json_decref(twice);
}

/* The first fold of a cross-validation can be fitted; NULL where its rows do not allow it, with a reason. */
static struct schema_training *first_fold(const struct schema_training *t, const json_t *body) {
    struct bp_error error = {0};
    json_t *spec = schema_training_encode(t);
    json_object_set_new(spec, "request", schema_training_request_encode(body));
    struct schema_training *fold = schema_training_fold(spec, dataset, 1, &error);
    FUZZ_REQUIRE(fold || error.message[0]);
    json_decref(spec);
    return fold;
}

/* ---- training ------------------------------------------------------------------------------------------------------ */

struct fit {
    struct schema_view *view, *held_view;
    struct schema_split split, held;
    struct schema_source *train, *validation;
    struct bp_source train_batches, validation_batches;
    struct bp_trainer *trainer;
};

static void open_source(struct fit *f, const struct schema_training *t, bool training, struct schema_source **out) {
    struct bp_error error = {0};
    const bool other = !training && f->held_view;
    const struct schema_split *split = other ? &f->held : &f->split;
    const struct schema_preprocessing *p = t->preprocessing;
    struct schema_source_options o = {.view = other ? f->held_view : f->view,
                                      .rows = training ? split->train : split->validation,
                                      .n = training ? split->train_count : split->validation_count,
                                      .training = training,
                                      .memory_max = SCHEMA_SOURCE_MEMORY};
    for (int32_t k = 0; k < p->outputs_count; k++) {
        const struct bp_output *output = &t->network->outputs[k];
        o.one_hot[k] =
            p->targets[p->outputs[k].first].classification && output->loss->target == BP_TARGET_VALUES && bp_shape_size(&output->shape) > 1;
    }
    FUZZ_REQUIRE(schema_source_new(&o, out, &error) == 0);
}

static void open_fit(struct fit *f, const struct schema_training *t) {
    struct bp_error error = {0};
    struct bp_train_options options = schema_training_options(t);
    options.precision = BP_PRECISION_FLOAT32; /* the other needs oneDNN, which a job's process loads */
    const bool other = t->options.validation == SCHEMA_VALIDATION_DATASET;
    FUZZ_REQUIRE((f->view = schema_view_new(t->preprocessing, dataset, true, &error)));
    FUZZ_REQUIRE(schema_training_split(t, f->view, &f->split, &error) == 0);
    if (other) {
        FUZZ_REQUIRE((f->held_view = schema_view_new(t->preprocessing, held, true, &error)));
        FUZZ_REQUIRE(schema_training_held(t, f->held_view, &f->held, &error) == 0);
    }
    open_source(f, t, true, &f->train);
    f->train_batches = schema_source_batches(f->train);
    const bool validates = (other ? f->held.validation_count : f->split.validation_count) > 0;
    if (validates) {
        open_source(f, t, false, &f->validation);
        f->validation_batches = schema_source_batches(f->validation);
    }
    if (bp_trainer_new(t->network, &options, &f->train_batches, validates ? &f->validation_batches : NULL, &f->trainer, &error) == 0) return;
    fprintf(stderr, "%s: %s\n", error.pointer, error.message);
    FUZZ_REQUIRE(!"a job that was taken cannot be trained");
}

static void close_fit(struct fit *f) {
    bp_trainer_free(f->trainer);
    schema_source_free(f->train);
    schema_source_free(f->validation);
    schema_split_free(&f->split);
    schema_split_free(&f->held);
    schema_view_free(f->view);
    schema_view_free(f->held_view);
}

static void train(struct fit *f) {
    enum bp_train_event event = BP_TRAIN_STEP;
    for (int i = 0; i < STEPS_MAX && event == BP_TRAIN_STEP; i++) event = bp_trainer_step(f->trainer);
    for (int32_t i = 0; event == BP_TRAIN_EPOCH && i < bp_trainer_metrics_count(f->trainer); i++) {
        FUZZ_REQUIRE(bp_trainer_metric_name(f->trainer, i)[0]);
    }
    trained_count++;
}

/* ---- predicting ---------------------------------------------------------------------------------------------------- */

static void check_json(struct schema_text *out) {
    json_t *json = json_loadb(out->bytes, out->size, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, NULL);
    if (!json) fprintf(stderr, "%s\n", out->bytes ? out->bytes : "nothing");
    FUZZ_REQUIRE(json);
    json_decref(json);
    out->size = 0;
}

static void predict(const struct schema_training *t, const bp_real *weights, uint32_t row) {
    struct bp_error error = {0};
    struct schema_problems problems = {0};
    struct schema_text out = {.limit = 1 << 24};
    size_t size = 0;
    const int fd = memory_file();
    json_t *document = schema_training_encode(t);
    FUZZ_REQUIRE(schema_model_write(fd, t, document, weights, &size, &error) == 0);
    json_decref(document);
    char *bytes = memory_file_take(fd, size);
    struct schema_model *model = schema_model_read(bytes, size, &error);
    if (!model) fprintf(stderr, "%s: %s\n", error.pointer, error.message);
    FUZZ_REQUIRE(model);
    struct schema_predictor *p = schema_predictor_new(model, &error);
    struct schema_view *view = schema_view_new(model->training->preprocessing, dataset, false, &error);
    FUZZ_REQUIRE(p && view);
    if (schema_predict_rows(p, &(struct schema_view_rows){view, row, 1}, "", &out, &error) == 0) check_json(&out);
    else FUZZ_REQUIRE(error.message[0]);
    out.size = 0;
    char *body = NULL;
    json_t *request = json_pack("{s:[O,O]}", "instances", json_array_get(records, row), json_array_get(records, (row + 1) % ROWS));
    body = json_dumps(request, JSON_COMPACT);
    schema_text_string(&out, "{");
    if (schema_predict_body(p, body, strlen(body), 10, &out, &problems) == 0) {
        schema_text_string(&out, "}");
        check_json(&out);
        predicted_count++;
    } else {
        check_problems(&problems);
    }
    json_decref(request);
    free(body);
    free(out.bytes);
    schema_view_free(view);
    schema_predictor_free(p);
    schema_model_free(model);
    free(bytes);
}

/* ---- a body -------------------------------------------------------------------------------------------------------- */

/* As the server decodes it. */
static struct schema_training *resolve(const json_t *body) {
    static const char *const others[] = {"model",      "dataset",       "target",        "task",           "features",
                                         "metadata",   "sample_weight", "class_weights", "columns",        "labels",
                                         "thresholds", "transform",     "clamp",         "positive_class", NULL};
    static const char *const named[] = {"name", NULL};
    struct schema_problems problems = {0};
    struct schema_options options;
    struct schema_training_request request;
    struct schema_training *t = NULL;
    schema_options_decode(body, "", others, &options, &problems);
    schema_training_request_decode(body, "", &request, &problems);
    struct schema_definition *definition = schema_definition_decode(json_object_get(body, "model"), "/model", named, &problems);
    request.validation = options.validation == SCHEMA_VALIDATION_DATASET ? held : NULL;
    if (definition && problems.total == 0) {
        options.seed_given = true; /* a seed of its own would be another one in every run */
        t = schema_training_resolve(definition, &options, dataset, &request, &problems);
    } else {
        schema_definition_free(definition);
    }
    FUZZ_REQUIRE((t != NULL) == (problems.total == 0));
    if (!t) check_problems(&problems);
    return t;
}

static void run_body(const json_t *body, uint32_t row) {
    struct schema_training *t = resolve(body);
    if (!t) return;
    resolved_count++;
    check_spec(t);
    if (schema_training_bytes(t, dataset) < BYTES_MAX) {
        struct schema_training *fold = t->options.folds ? first_fold(t, body) : NULL;
        const struct schema_training *fitted = fold ? fold : t;
        struct fit f = {0};
        open_fit(&f, fitted);
        train(&f);
        if (!fold) predict(t, bp_trainer_result(f.trainer), row);
        close_fit(&f);
        schema_training_free(fold);
    }
    schema_training_free(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct fuzz_bytes bytes = {data, size};
    if (!dataset) {
        bp_engine_start();
        dataset = open_data(ROWS);
        held = open_data(HELD_ROWS);
    }
    json_t *body = fuzz_job_body(&bytes);
    const uint32_t row = draw(&bytes, ROWS);
    if (getenv("FUZZ_SHOW")) {
        char *text = json_dumps(body, JSON_COMPACT);
        fprintf(stderr, "%s\n", text);
        free(text);
    }
    run_body(body, row);
    json_decref(body);
    return 0;
}

/* ---- without a fuzzer ------------------------------------------------------------------------------------------------ */

/* SplitMix64 (Steele, Lea and Flood 2014). */
static uint64_t next(uint64_t *state) {
    uint64_t z = (*state += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

/* Bodies from numbered seeds: FUZZ_FIRST (0) and the following. One again: FUZZ_FIRST=1234 FUZZ_BODIES=1 FUZZ_SHOW=1. */
int64_t fuzz_generated(int64_t count) {
    const int64_t first = getenv("FUZZ_FIRST") ? atoll(getenv("FUZZ_FIRST")) : 0;
    for (int64_t i = first; i < first + count; i++) {
        uint64_t state = (uint64_t)i * 0x100000001B3u, bytes[96];
        for (size_t k = 0; k < sizeof bytes / sizeof *bytes; k++) bytes[k] = next(&state);
        if (getenv("FUZZ_SHOW")) fprintf(stderr, "body %lld: ", (long long)i);
        LLVMFuzzerTestOneInput((const uint8_t *)bytes, sizeof bytes);
    }
    printf("%lld bodies: %lld resolved, %lld trained, %lld predicted\n", (long long)count, (long long)resolved_count, (long long)trained_count,
           (long long)predicted_count);
    FUZZ_REQUIRE(count < 1000 || (resolved_count > count / 10 && predicted_count > count / 20)); /* else it checks little */
    return count;
}

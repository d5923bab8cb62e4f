/* test_model_file.c - models and checkpoints survive the way to bytes and back; damaged ones are refused, never read wrongly. */
#include "engine/base/utf8.h"
#include "schema/predict/model_file.h"
#include "schema/predict/safetensors.h"
#include "tests/memory_file.h"
#include "tests/schema/training_support.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

Suite *suite_schema_model_file(void);

static struct resolved colours(void) {
    struct resolved r =
        resolve_text(colours_csv, "{\"layers\":[{\"type\":\"dense\",\"units\":3,\"activation\":\"tanh\"}]}", "{\"target\":\"label\",\"seed\":1}");
    ck_assert_msg(r.training != NULL, "%s", first_problem(&r));
    return r;
}

static char *model_bytes(const struct schema_training *training, bp_real *weights, size_t *size) {
    struct bp_error error = {0};
    char *bytes = NULL;
    bp_network_initialize(training->network, 9, weights);
    json_t *document = schema_training_encode(training);
    const int fd = memory_file();
    ck_assert_int_eq(schema_model_write(fd, training, document, weights, size, &error), 0);
    ck_assert_ptr_nonnull(bytes = memory_file_take(fd, *size));
    json_decref(document);
    return bytes;
}

START_TEST(a_model_is_restored) {
    struct resolved r = colours();
    struct bp_error error = {0};
    size_t size;
    bp_real *weights = bp_reals_new(r.training->network->weights_count);
    char *bytes = model_bytes(r.training, weights, &size);
    struct schema_model *model = schema_model_read(bytes, size, &error);
    ck_assert_msg(model != NULL, "%s", error.message);
    ck_assert_mem_eq(model->weights, weights, r.training->network->weights_count * sizeof *weights);
    ck_assert_str_eq(model->labels_json[0][1], "\"b\"");
    schema_model_free(model);
    free(bytes);
    free(weights);
    resolved_clear(&r);
}
END_TEST

START_TEST(a_cut_model_is_refused) {
    struct resolved r = colours();
    size_t size;
    bp_real *weights = bp_reals_new(r.training->network->weights_count);
    char *bytes = model_bytes(r.training, weights, &size);
    for (size_t cut = 0; cut < size; cut += 7) {
        struct bp_error error = {0};
        char *copy = malloc(cut + 1); /* exactly as much as there is, for the address sanitizer */
        memcpy(copy, bytes, cut);
        ck_assert_ptr_null(schema_model_read(copy, cut, &error));
        ck_assert_str_ne(error.message, "");
        free(copy);
    }
    free(bytes);
    free(weights);
    resolved_clear(&r);
}
END_TEST

/* Each single bit, wherever it lies: length, names, preprocessing, padding, weights, the checksum itself. */
START_TEST(a_flipped_bit_is_refused) {
    struct resolved r = colours();
    size_t size;
    bp_real *weights = bp_reals_new(r.training->network->weights_count);
    char *bytes = model_bytes(r.training, weights, &size);
    ck_assert_uint_gt(size, 2000);
    for (size_t i = 0; i < size; i++)
        for (int bit = 0; bit < 8; bit++) {
            struct bp_error error = {0};
            bytes[i] = (char)(bytes[i] ^ 1 << bit);
            ck_assert_msg(!schema_model_read(bytes, size, &error), "bit %d of byte %zu", bit, i);
            ck_assert_str_ne(error.message, "");
            ck_assert_uint_eq(bp_utf8_valid(error.message, strlen(error.message)), strlen(error.message));
            bytes[i] = (char)(bytes[i] ^ 1 << bit);
        }
    struct bp_error error = {0};
    bytes[size - 1] ^= 1;
    ck_assert_ptr_null(schema_model_read(bytes, size, &error));
    ck_assert_ptr_nonnull(strstr(error.message, "the file is damaged: its checksum is "));
    free(bytes);
    free(weights);
    resolved_clear(&r);
}
END_TEST

START_TEST(a_newer_format_is_refused) {
    struct bp_error error = {0};
    size_t size;
    const int fd = memory_file();
    json_t *metadata = json_pack("{s:s, s:s}", "format", "backpropd-model/3", "document", "{}");
    ck_assert_int_eq(schema_safetensors_write(fd, NULL, 0, metadata, &size, &error), 0);
    char *bytes = memory_file_take(fd, size);
    ck_assert_ptr_null(schema_model_read(bytes, size, &error));
    ck_assert_str_eq(error.message, "this model has format 3, but this program reads up to 2; use a newer backpropd");
    json_decref(metadata);
    free(bytes);
}
END_TEST

START_TEST(hostile_headers_are_refused) {
    static const char *const headers[] = {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,15]}}",
                                          "{\"a\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[-4,12]}}",
                                          "{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,0]}}",
                                          "{\"a\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[8,24]}}",
                                          "{\"a\":{\"dtype\":\"I9\",\"shape\":[16],\"data_offsets\":[0,16]}}",
                                          "{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,4],\"data_offsets\":[0,16]}}",
                                          "[]",
                                          "{\"a\":5}"};
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
        struct bp_error error = {0};
        struct schema_tensor *tensors = NULL;
        json_t *metadata = NULL;
        int32_t count = 0;
        size_t n = strlen(headers[i]);
        char *file = calloc(1, 8 + n + 16);
        file[0] = (char)n;
        memcpy(file + 8, headers[i], n);
        ck_assert_msg(schema_safetensors_read(file, 8 + n + 16, &tensors, &count, &metadata, &error) == -1, "%s", headers[i]);
        free(file);
    }
}
END_TEST

/* Running statistics and frozen layers are saved with the rest, in files of versions; in a checkpoint the optimizer's buffers are shorter than the
 * weights. A run goes on from such a file as if it had never stopped. */
static int64_t at_end(const struct resolved *r, const char *checkpoint, size_t size, char **saved, size_t *saved_size, bp_real *weights) {
    struct bp_error error = {0};
    struct schema_split split;
    struct schema_source *source = NULL;
    struct bp_trainer *trainer = NULL;
    struct bp_trainer_state state;
    json_t *notes = json_object();
    struct schema_view *view = schema_view_new(r->training->preprocessing, r->loaded.data, true, &error);
    ck_assert_int_eq(schema_training_split(r->training, view, &split, &error), 0);
    const struct schema_source_options options = {.view = view, .rows = split.train, .n = split.train_count, .memory_max = SCHEMA_SOURCE_MEMORY};
    ck_assert_int_eq(schema_source_new(&options, &source, &error), 0);
    const struct bp_source batches = schema_source_batches(source);
    const struct bp_train_options how = schema_training_options(r->training);
    ck_assert_msg(bp_trainer_new(r->training->network, &how, &batches, NULL, &trainer, &error) == 0, "%s", error.message);
    if (checkpoint) {
        json_t *back = NULL;
        ck_assert_int_eq(schema_checkpoint_read(checkpoint, size, &state, &back, &error), 0);
        ck_assert_msg(bp_trainer_restore(trainer, &state, &error) == 0, "%s", error.message);
        json_decref(back);
    }
    for (int step = 0; bp_trainer_step(trainer) != BP_TRAIN_DONE; step++) {
        struct stat info;
        if (step != 4 || checkpoint) continue;
        int fd = nameless_file();
        bp_trainer_state(trainer, &state);
        ck_assert_int_eq(schema_checkpoint_write(fd, &state, notes, &error), 0);
        ck_assert_int_eq(fstat(fd, &info), 0);
        *saved = malloc(*saved_size = (size_t)info.st_size);
        ck_assert_int_eq(pread(fd, *saved, *saved_size, 0), info.st_size);
        close(fd);
    }
    bp_trainer_state(trainer, &state);
    memcpy(weights, bp_trainer_result(trainer), state.weights_count * sizeof *weights);
    json_decref(notes);
    bp_trainer_free(trainer);
    schema_source_free(source);
    schema_split_free(&split);
    schema_view_free(view);
    return state.updates;
}

START_TEST(statistics_and_frozen_layers_are_restored) {
    struct resolved r =
        resolve_text(colours_csv,
                     "{\"layers\":[{\"type\":\"dense\",\"units\":5,\"trainable\":false},\"batch_norm\",{\"type\":\"dense\",\"units\":3,"
                     "\"activation\":\"prelu\"}]}",
                     "{\"target\":\"label\",\"seed\":4,\"epochs\":4,\"batch_size\":5,\"ema\":0.9,\"validation\":{\"fraction\":0}}");
    struct bp_error error = {0};
    char *saved = NULL, *file = NULL;
    size_t saved_size = 0, size = 0;
    ck_assert_msg(r.training != NULL, "%s", first_problem(&r));
    const struct bp_network *net = r.training->network;
    ck_assert_uint_lt(net->trained_count, net->weights_count);
    bp_real *once = bp_reals_new(net->weights_count), *again = bp_reals_new(net->weights_count);
    ck_assert_int_eq(at_end(&r, NULL, 0, &saved, &saved_size, once), 12);
    ck_assert_int_eq(at_end(&r, saved, saved_size, NULL, NULL, again), 12);
    ck_assert_mem_eq(once, again, net->weights_count * sizeof *once);
    json_t *document = schema_training_encode(r.training);
    const int fd = memory_file();
    ck_assert_int_eq(schema_model_write(fd, r.training, document, once, &size, &error), 0);
    ck_assert_ptr_nonnull(file = memory_file_take(fd, size));
    struct schema_model *model = schema_model_read(file, size, &error);
    ck_assert_msg(model != NULL, "%s", error.message);
    ck_assert_uint_eq(model->training->network->trained_count, net->trained_count);
    ck_assert_mem_eq(model->weights, once, net->weights_count * sizeof *once);
    schema_model_free(model);
    json_decref(document);
    free(file);
    free(saved);
    free(once);
    free(again);
    resolved_clear(&r);
}
END_TEST

START_TEST(a_checkpoint_is_restored) {
    bp_real weights[16] = {1, 2, 3}, best[16] = {4, 5}, slot[16] = {6}, slot_2[16] = {7};
    double accumulators[3] = {0.1, 1e300, -0.0};
    struct bp_trainer_state state = {.epoch = 3,
                                     .position = 64,
                                     .updates = 99,
                                     .best_epoch = 2,
                                     .best_value = 0.1,
                                     .waited = 1,
                                     .stopped = true,
                                     .slots_count = 2,
                                     .accumulators_count = 3,
                                     .weights_count = 16,
                                     .trained_count = 16,
                                     .weights = weights,
                                     .best = best,
                                     .slots = {slot, slot_2},
                                     .accumulators = accumulators};
    struct bp_error error = {0};
    struct bp_trainer_state read;
    struct stat info;
    int fd = nameless_file();
    json_t *notes = json_pack("{s:s}", "kernels", "base"), *back = NULL;
    ck_assert_int_eq(schema_checkpoint_write(fd, &state, notes, &error), 0);
    ck_assert_int_eq(fstat(fd, &info), 0);
    char *bytes = malloc((size_t)info.st_size);
    ck_assert_int_eq(pread(fd, bytes, (size_t)info.st_size, 0), info.st_size);
    ck_assert_msg(schema_checkpoint_read(bytes, (size_t)info.st_size, &read, &back, &error) == 0, "%s", error.message);
    ck_assert_int_eq(read.epoch, 3);
    ck_assert_int_eq(read.position, 64);
    ck_assert_int_eq(read.updates, 99);
    ck_assert_int_eq(read.best_epoch, 2);
    ck_assert(read.best_value == 0.1);
    ck_assert_int_eq(read.waited, 1);
    ck_assert(read.stopped);
    ck_assert_int_eq(read.slots_count, 2);
    ck_assert_mem_eq(read.weights, weights, sizeof weights);
    ck_assert_mem_eq(read.best, best, sizeof best);
    ck_assert_mem_eq(read.slots[1], slot_2, sizeof slot_2);
    ck_assert_mem_eq(read.accumulators, accumulators, sizeof accumulators);
    ck_assert(json_equal(notes, back));
    struct bp_error refused = {0};
    ck_assert_ptr_null(schema_model_read(bytes, (size_t)info.st_size, &refused));
    ck_assert_ptr_nonnull(strstr(refused.message, "not a model"));
    json_decref(notes);
    json_decref(back);
    free(bytes);
    close(fd);
}
END_TEST

Suite *suite_schema_model_file(void) {
    Suite *suite = suite_create("schema/model_file");
    TCase *tests = tcase_create("model_file");
    tcase_add_test(tests, a_model_is_restored);
    tcase_add_test(tests, a_cut_model_is_refused);
    tcase_add_test(tests, a_flipped_bit_is_refused);
    tcase_add_test(tests, a_newer_format_is_refused);
    tcase_add_test(tests, hostile_headers_are_refused);
    tcase_add_test(tests, statistics_and_frozen_layers_are_restored);
    tcase_add_test(tests, a_checkpoint_is_restored);
    suite_add_tcase(suite, tests);
    return suite;
}

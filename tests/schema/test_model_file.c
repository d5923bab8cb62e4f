/* test_model_file.c - models and checkpoints survive the way to bytes and back; damaged ones are refused, never read wrongly. */
#include "model_file.h"
#include "safetensors.h"
#include "training_support.h"

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
    ck_assert_int_eq(schema_model_write(training, document, weights, &bytes, size, &error), 0);
    json_decref(document);
    return bytes;
}

START_TEST(a_model_comes_back) {
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

START_TEST(hostile_headers_are_refused) {
    static const char *const headers[] = {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,15]}}",
                                          "{\"a\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[-4,12]}}",
                                          "{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,0]}}",
                                          "{\"a\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[8,24]}}",
                                          "{\"a\":{\"dtype\":\"I8\",\"shape\":[16],\"data_offsets\":[0,16]}}",
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

START_TEST(a_checkpoint_comes_back) {
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
    tcase_add_test(tests, a_model_comes_back);
    tcase_add_test(tests, a_cut_model_is_refused);
    tcase_add_test(tests, hostile_headers_are_refused);
    tcase_add_test(tests, a_checkpoint_comes_back);
    suite_add_tcase(suite, tests);
    return suite;
}

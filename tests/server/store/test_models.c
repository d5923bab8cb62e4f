/* test_models.c - definitions, versions and their blobs. */
#include "tests/server/store/helper.h"

static int64_t train(const char *blob, size_t size) {
    char id[STORE_ID_SIZE];
    int64_t version = 0;
    struct store_ending ending = success;
    ending.blob = blob;
    ending.blob_size = size;
    job_new(id, 5);
    job_claim(id);
    OK(store_job_end(store, id, 1, &ending, &version, &error));
    return version;
}

START_TEST(put_creates_then_replaces) {
    bool created = false;
    struct store_model model;
    OK(store_model_put(store, "m", "{\"layers\":[1]}", &created, NULL, &error));
    ck_assert(created);
    OK(store_model_put(store, "m", "{\"layers\":[2]}", &created, NULL, &error));
    ck_assert(!created);
    OK(store_model_get(store, "m", &model, &error));
    ck_assert_str_eq(model.definition, "{\"layers\":[2]}");
    ck_assert_str_eq(model.name, "m");
    ck_assert_int_eq(model.latest, 0);
    ck_assert_int_eq(model.versions, 0);
    ck_assert_int_gt(model.created_at, 0);
    ck_assert_int_ge(model.updated_at, model.created_at);
    store_model_free(&model);
    GIVES(STORE_NOT_FOUND, store_model_get(store, "n", &model, &error));
    SAYS("no model n");
}
END_TEST

START_TEST(the_list_goes_by_name) {
    struct store_models list;
    model_put("b");
    model_put("c");
    model_put("a");
    OK(store_model_list(store, NULL, 2, &list, &error));
    ck_assert_int_eq(list.count, 2);
    ck_assert(list.has_more);
    ck_assert_str_eq(list.items[0].name, "a");
    ck_assert_str_eq(list.items[1].name, "b");
    store_models_free(&list);
    OK(store_model_list(store, "b", 2, &list, &error));
    ck_assert_int_eq(list.count, 1);
    ck_assert(!list.has_more);
    store_models_free(&list);
}
END_TEST

START_TEST(a_version_keeps_its_bytes) {
    void *bytes;
    size_t size;
    struct store_version version;
    struct store_model model;
    ck_assert_int_eq(train("one\0two", 7), 1);
    ck_assert_int_eq(train("three", 5), 2);
    OK(store_version_blob(store, "m", 1, &bytes, &size, &error));
    ck_assert_uint_eq(size, 7);
    ck_assert_mem_eq(bytes, "one\0two", 7);
    free(bytes);
    OK(store_version_blob(store, "m", 0, &bytes, &size, &error));
    ck_assert_uint_eq(size, 5);
    ck_assert_mem_eq(bytes, "three", 5);
    free(bytes);
    OK(store_version_get(store, "m", 0, &version, &error));
    ck_assert_int_eq(version.version, 2);
    ck_assert_int_eq(version.bytes, 5);
    ck_assert_str_eq(version.document, "{\"of\":\"a version\"}");
    ck_assert_int_eq(strncmp(version.job, "job_", 4), 0);
    store_version_free(&version);
    OK(store_model_get(store, "m", &model, &error));
    ck_assert_int_eq(model.latest, 2);
    ck_assert_int_eq(model.versions, 2);
    store_model_free(&model);
    GIVES(STORE_NOT_FOUND, store_version_get(store, "m", 3, &version, &error));
    GIVES(STORE_NOT_FOUND, store_version_blob(store, "m", 3, &bytes, &size, &error));
    ck_assert_ptr_null(bytes);
    model_put("untrained");
    GIVES(STORE_NOT_FOUND, store_version_blob(store, "untrained", 0, &bytes, &size, &error));
}
END_TEST

START_TEST(a_large_blob_is_restored) {
    size_t size = (size_t)24 << 20, back;
    char *sent = malloc(size);
    void *got;
    for (size_t i = 0; i < size; i++) sent[i] = (char)(i * 2654435761u >> 13);
    ck_assert_int_eq(train(sent, size), 1);
    OK(store_version_blob(store, "m", 1, &got, &back, &error));
    ck_assert_uint_eq(back, size);
    ck_assert(memcmp(sent, got, size) == 0);
    free(got);
    free(sent);
}
END_TEST

START_TEST(versions_are_listed_newest_first) {
    struct store_versions list;
    for (int i = 0; i < 3; i++) train("x", 1);
    OK(store_version_list(store, "m", &(struct store_version_filter){.limit = 2}, &list, &error));
    ck_assert_int_eq(list.count, 2);
    ck_assert(list.has_more);
    ck_assert_int_eq(list.items[0].version, 3);
    ck_assert_int_eq(list.items[1].version, 2);
    store_versions_free(&list);
    OK(store_version_list(store, "m", &(struct store_version_filter){.after = 2, .limit = 2}, &list, &error));
    ck_assert_int_eq(list.count, 1);
    ck_assert_int_eq(list.items[0].version, 1);
    ck_assert(!list.has_more);
    store_versions_free(&list);
}
END_TEST

START_TEST(numbers_only_grow) {
    struct store_version version;
    train("x", 1);
    train("x", 1);
    OK(store_model_delete(store, "m", &error));
    GIVES(STORE_NOT_FOUND, store_version_get(store, "m", 0, &version, &error));
    ck_assert_int_eq(number("SELECT count(*) FROM versions"), 0);
    model_put("m");
    ck_assert_int_eq(train("x", 1), 3);
}
END_TEST

START_TEST(a_model_in_training_stays) {
    char id[STORE_ID_SIZE];
    enum store_status status;
    job_new(id, 5);
    GIVES(STORE_IN_USE, store_model_delete(store, "m", &error));
    SAYS(id);
    OK(store_job_cancel(store, id, &status, &error));
    OK(store_model_delete(store, "m", &error));
    GIVES(STORE_NOT_FOUND, store_model_delete(store, "m", &error));
}
END_TEST

Suite *suite_store_models(void) {
    Suite *suite = suite_create("store/models");
    TCase *tests = store_case(suite, "models");
    tcase_add_test(tests, put_creates_then_replaces);
    tcase_add_test(tests, the_list_goes_by_name);
    tcase_add_test(tests, a_version_keeps_its_bytes);
    tcase_add_test(tests, a_large_blob_is_restored);
    tcase_add_test(tests, versions_are_listed_newest_first);
    tcase_add_test(tests, numbers_only_grow);
    tcase_add_test(tests, a_model_in_training_stays);
    return suite;
}

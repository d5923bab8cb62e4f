/* test_datasets.c - names, versions, lists and deletion of datasets. */
#include "tests/server/store/helper.h"

static enum store_result create(const char *name, const char *file, bool replace, int64_t *version) {
    struct store_dataset dataset = {.rows = 344, .bytes = 12345, .description = (char *)(uintptr_t) "{\"columns\":[\"a\"]}"};
    snprintf(dataset.name, sizeof dataset.name, "%s", name);
    snprintf(dataset.file, sizeof dataset.file, "%s", file);
    file_make("datasets", file);
    memset(&error, 0, sizeof error);
    enum store_result result = store_dataset_create(store, &dataset, replace, NULL, &error);
    *version = dataset.version;
    return result;
}

START_TEST(created_models_are_read) {
    int64_t version, before = store_now();
    struct store_dataset dataset;
    ck_assert_int_eq(create("penguins", "p1.bpc", false, &version), STORE_OK);
    ck_assert_int_eq(version, 1);
    for (int64_t asked = 0; asked <= 1; asked++) {
        OK(store_dataset_get(store, "penguins", asked, &dataset, &error));
        ck_assert_str_eq(dataset.name, "penguins");
        ck_assert_int_eq(dataset.version, 1);
        ck_assert_int_eq(dataset.rows, 344);
        ck_assert_int_eq(dataset.bytes, 12345);
        ck_assert_str_eq(dataset.file, "p1.bpc");
        ck_assert_str_eq(dataset.description, "{\"columns\":[\"a\"]}");
        ck_assert_int_ge(dataset.created_at, before);
        ck_assert(!dataset.hidden);
        store_dataset_free(&dataset);
    }
    GIVES(STORE_NOT_FOUND, store_dataset_get(store, "penguins", 2, &dataset, &error));
    SAYS("penguins@2");
    GIVES(STORE_NOT_FOUND, store_dataset_get(store, "owls", 0, &dataset, &error));
    SAYS("owls");
}
END_TEST

START_TEST(a_taken_name_needs_replace) {
    int64_t version;
    ck_assert_int_eq(create("a", "1", false, &version), STORE_OK);
    ck_assert_int_eq(create("a", "2", false, &version), STORE_EXISTS);
    SAYS("replace=1");
    ck_assert_int_eq(create("a", "3", true, &version), STORE_OK);
    ck_assert_int_eq(version, 2);
    ck_assert_int_eq(create("b", "4", true, &version), STORE_OK);
    ck_assert_int_eq(version, 1);
}
END_TEST

START_TEST(the_file_must_be_in_place) {
    struct store_dataset dataset = {.name = "a", .file = "missing.bpc"};
    GIVES(STORE_FAILED, store_dataset_create(store, &dataset, false, NULL, &error));
    SAYS("missing.bpc");
    COPY(dataset.file, "../lock");
    GIVES(STORE_FAILED, store_dataset_create(store, &dataset, false, NULL, &error));
    COPY(dataset.file, "");
    GIVES(STORE_FAILED, store_dataset_create(store, &dataset, false, NULL, &error));
}
END_TEST

START_TEST(numbers_only_grow) {
    int64_t version;
    create("a", "1", true, &version);
    create("a", "2", true, &version);
    create("a", "3", true, &version);
    OK(store_dataset_delete(store, "a", 3, &error));
    create("a", "4", true, &version);
    ck_assert_int_eq(version, 4);
    OK(store_dataset_delete(store, "a", 0, &error));
    reopen();
    ck_assert_int_eq(create("a", "5", false, &version), STORE_OK);
    ck_assert_int_eq(version, 5);
}
END_TEST

START_TEST(the_list_has_latest_versions_by_name) {
    struct store_datasets list;
    int64_t version;
    OK(store_dataset_list(store, NULL, 10, &list, &error));
    ck_assert_int_eq(list.count, 0);
    ck_assert(!list.has_more);
    store_datasets_free(&list);
    create("c", "1", true, &version);
    create("a", "2", true, &version);
    create("b", "3", true, &version);
    create("a", "4", true, &version);
    OK(store_dataset_list(store, NULL, 2, &list, &error));
    ck_assert_int_eq(list.count, 2);
    ck_assert(list.has_more);
    ck_assert_str_eq(list.items[0].name, "a");
    ck_assert_int_eq(list.items[0].version, 2);
    ck_assert_str_eq(list.items[1].name, "b");
    store_datasets_free(&list);
    OK(store_dataset_list(store, "b", 1, &list, &error));
    ck_assert_int_eq(list.count, 1);
    ck_assert(!list.has_more);
    ck_assert_str_eq(list.items[0].name, "c");
    store_datasets_free(&list);
}
END_TEST

START_TEST(deleting_removes_the_files) {
    int64_t version;
    struct store_dataset dataset;
    create("a", "1", true, &version);
    create("a", "2", true, &version);
    create("a", "3", true, &version);
    OK(store_dataset_delete(store, "a", 2, &error));
    ck_assert(file_there("datasets", "1") && !file_there("datasets", "2") && file_there("datasets", "3"));
    GIVES(STORE_NOT_FOUND, store_dataset_delete(store, "a", 2, &error));
    SAYS("a@2");
    OK(store_dataset_delete(store, "a", 0, &error));
    ck_assert(!file_there("datasets", "1") && !file_there("datasets", "3"));
    GIVES(STORE_NOT_FOUND, store_dataset_get(store, "a", 0, &dataset, &error));
    GIVES(STORE_NOT_FOUND, store_dataset_delete(store, "a", 0, &error));
}
END_TEST

START_TEST(a_dataset_that_validates_stays_too) {
    char id[STORE_ID_SIZE];
    job_new(id, 5);
    dataset_put("v");
    dataset_put("v");
    struct store_job job =
                         {.model = "m", .dataset = "d", .dataset_version = 1, .validation_dataset = "v", .validation_version = 3, .attempts_max = 5},
                     got;
    struct store_job_new request = {.job = &job};
    store_new_id("job", job.id);
    GIVES(STORE_NOT_FOUND, store_job_create(store, &request, &error));
    SAYS("v@3");
    job.validation_version = 1;
    OK(store_job_create(store, &request, &error));
    OK(store_job_get(store, job.id, &got, &error));
    ck_assert_str_eq(got.validation_dataset, "v");
    ck_assert_int_eq(got.validation_version, 1);
    ck_assert_str_eq(got.cross_validation, "null");
    store_job_free(&got);
    GIVES(STORE_IN_USE, store_dataset_delete(store, "v", 1, &error));
    SAYS(job.id);
    GIVES(STORE_IN_USE, store_dataset_delete(store, "v", 0, &error));
    OK(store_dataset_delete(store, "v", 2, &error)); /* nobody's */
    OK(store_job_cancel(store, job.id, NULL, &error));
    OK(store_dataset_delete(store, "v", 1, &error));
}
END_TEST

START_TEST(a_pinned_version_stays) {
    char id[STORE_ID_SIZE], claimed[STORE_ID_SIZE];
    job_new(id, 5); /* on d@1 */
    dataset_put("d");
    GIVES(STORE_IN_USE, store_dataset_delete(store, "d", 1, &error));
    SAYS(id);
    GIVES(STORE_IN_USE, store_dataset_delete(store, "d", 0, &error));
    ck_assert(file_there("datasets", "d-1.bpc") && file_there("datasets", "d-2.bpc"));
    OK(store_dataset_delete(store, "d", 2, &error)); /* nobody's */
    job_claim(claimed);
    GIVES(STORE_IN_USE, store_dataset_delete(store, "d", 1, &error));
    OK(store_job_end(store, id, 1, &failure, NULL, &error));
    OK(store_dataset_delete(store, "d", 1, &error));
    ck_assert(!file_there("datasets", "d-1.bpc"));
}
END_TEST

START_TEST(uses_of_a_version_are_reported) {
    char first[STORE_ID_SIZE], second[STORE_ID_SIZE], claimed[STORE_ID_SIZE];
    struct store_uses uses;
    job_new(first, 5), job_new(second, 5); /* on d@1 */
    job_claim(claimed);
    OK(store_job_end(store, first, 1, &success, NULL, &error));
    OK(store_dataset_uses(store, "d", 1, 1, &uses, &error));
    ck_assert(uses.jobs_count == 2 && uses.jobs_listed == 1 && uses.versions_count == 1 && uses.versions_listed == 1);
    ck_assert_str_eq(uses.jobs[0].job, second);
    ck_assert(uses.jobs[0].status == STORE_QUEUED && uses.jobs[0].version == 0);
    ck_assert_str_eq(uses.versions[0].job, first);
    ck_assert_str_eq(uses.versions[0].model, "m");
    ck_assert_int_eq(uses.versions[0].version, 1);
    store_uses_free(&uses);
    OK(store_job_delete(store, first, &error)); /* what it made stays */
    OK(store_dataset_uses(store, "d", 1, 5, &uses, &error));
    ck_assert(uses.jobs_count == 1 && uses.versions_count == 1);
    store_uses_free(&uses);
    OK(store_job_cancel(store, second, NULL, &error));
    OK(store_model_delete(store, "m", &error));
    ck_assert_int_eq(number("SELECT count(*) FROM trainings"), 0);
    OK(store_dataset_uses(store, "d", 2, 5, &uses, &error)); /* nothing, of nothing */
    ck_assert(uses.jobs_count == 0 && uses.versions_count == 0 && uses.jobs_listed == 0 && uses.versions_listed == 0);
    store_uses_free(&uses);
}
END_TEST

START_TEST(a_version_keeps_its_parent) {
    struct store_dataset dataset = {.name = "d", .file = "grown", .after = 1, .change = "append_rows"}, read;
    struct store_datasets list;
    dataset_put("d");
    file_make("datasets", "grown");
    OK(store_dataset_create(store, &dataset, true, NULL, &error));
    ck_assert_int_eq(dataset.parent, 1);
    dataset_put("d");
    OK(store_dataset_delete(store, "d", 1, &error));
    OK(store_dataset_get(store, "d", 2, &read, &error));
    ck_assert_int_eq(read.parent, 1);
    ck_assert_str_eq(read.change, "append_rows");
    store_dataset_free(&read);
    OK(store_dataset_versions(store, "d", 0, 1, &list, &error));
    ck_assert(list.count == 1 && list.has_more && list.items[0].version == 3 && list.items[0].parent == 0 && !list.items[0].change[0]);
    store_datasets_free(&list);
    OK(store_dataset_versions(store, "d", 3, 10, &list, &error));
    ck_assert(list.count == 1 && !list.has_more && list.items[0].version == 2);
    store_datasets_free(&list);
}
END_TEST

Suite *suite_store_datasets(void) {
    Suite *suite = suite_create("store/datasets");
    TCase *tests = store_case(suite, "datasets");
    tcase_add_test(tests, created_models_are_read);
    tcase_add_test(tests, a_taken_name_needs_replace);
    tcase_add_test(tests, the_file_must_be_in_place);
    tcase_add_test(tests, numbers_only_grow);
    tcase_add_test(tests, the_list_has_latest_versions_by_name);
    tcase_add_test(tests, deleting_removes_the_files);
    tcase_add_test(tests, a_dataset_that_validates_stays_too);
    tcase_add_test(tests, a_pinned_version_stays);
    tcase_add_test(tests, uses_of_a_version_are_reported);
    tcase_add_test(tests, a_version_keeps_its_parent);
    return suite;
}

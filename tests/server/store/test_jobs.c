/* test_jobs.c - filing, reading, listing, cancelling and deleting jobs: the submitter's side. */
#include "tests/server/store/helper.h"

#include <stdarg.h>

START_TEST(stored_jobs_are_read) {
    struct store_job job = {.model = "m",
                            .dataset = "d",
                            .dataset_version = 1,
                            .attempts_max = 5,
                            .spec = TEXT("{\"s\":1}"),
                            .view = TEXT("{\"v\":1}"),
                            .metadata = TEXT("{\"who\":\"me\"}"),
                            .progress = TEXT("{\"epoch\":0}"),
                            .warnings = TEXT("[\"w\"]")};
    struct store_job_new request = {.job = &job};
    struct store_job got;
    int64_t before = store_now();
    dataset_put("d");
    model_put("m");
    store_new_id("job", job.id);
    OK(store_job_create(store, &request, &error));
    ck_assert_int_ge(job.created_at, before);
    OK(store_job_get(store, job.id, &got, &error));
    ck_assert_str_eq(got.id, job.id);
    ck_assert_int_eq(got.status, STORE_QUEUED);
    ck_assert_str_eq(got.model, "m");
    ck_assert_str_eq(got.dataset, "d");
    ck_assert_int_eq(got.dataset_version, 1);
    ck_assert_int_eq(got.created_at, job.created_at);
    ck_assert_int_eq(got.started_at + got.finished_at + got.attempt + got.failures + got.model_version, 0);
    ck_assert_int_eq(got.queue_position, 1);
    ck_assert_int_eq(got.attempts_max, 5);
    ck_assert_int_eq(got.resumed_from_epoch, -1);
    ck_assert_str_eq(got.spec, "{\"s\":1}");
    ck_assert_str_eq(got.view, "{\"v\":1}");
    ck_assert_str_eq(got.metadata, "{\"who\":\"me\"}");
    ck_assert_str_eq(got.progress, "{\"epoch\":0}");
    ck_assert_str_eq(got.metrics, "{}");
    ck_assert_str_eq(got.best, "null");
    ck_assert_str_eq(got.error, "null");
    ck_assert_str_eq(got.warnings, "[\"w\"]");
    store_job_free(&got);
    ck_assert_str_eq(events_of(job.id), "status:queued");
    GIVES(STORE_NOT_FOUND, store_job_get(store, "job_x", &got, &error));
    SAYS("job_x");
}
END_TEST

START_TEST(missing_requirements_are_refused) {
    struct store_job job = {.model = "m", .dataset = "d", .dataset_version = 2, .attempts_max = 5};
    struct store_job_new request = {.job = &job};
    store_new_id("job", job.id);
    GIVES(STORE_NOT_FOUND, store_job_create(store, &request, &error));
    SAYS("d@2");
    dataset_put("d");
    dataset_put("d");
    GIVES(STORE_NOT_FOUND, store_job_create(store, &request, &error));
    SAYS("model m");
    model_put("m");
    OK(store_job_create(store, &request, &error));
}
END_TEST

START_TEST(named_data_and_model_are_stored_with_it) {
    struct store_dataset dataset = {.file = "new.bpc", .rows = 1};
    struct store_job job = {.model = "net", .dataset = "data", .attempts_max = 5};
    struct store_job_new request = {.job = &job, .new_dataset = &dataset, .new_definition = "{\"layers\":[7]}"};
    struct store_model model;
    file_make("datasets", "new.bpc");
    store_new_id("job", job.id);
    OK(store_job_create(store, &request, &error));
    ck_assert_int_eq(job.dataset_version, 1);
    OK(store_model_get(store, "net", &model, &error));
    ck_assert_str_eq(model.definition, "{\"layers\":[7]}");
    ck_assert(!model.hidden);
    store_model_free(&model);

    /* The name is taken now: nothing of a refused request stays. */
    store_new_id("job", job.id);
    COPY(dataset.file, "new2.bpc");
    file_make("datasets", "new2.bpc");
    request.new_definition = "{\"layers\":[8]}";
    GIVES(STORE_EXISTS, store_job_create(store, &request, &error));
    OK(store_model_get(store, "net", &model, &error));
    ck_assert_str_eq(model.definition, "{\"layers\":[7]}");
    store_model_free(&model);
    ck_assert_int_eq(number("SELECT count(*) FROM jobs"), 1);
    request.replace_dataset = true;
    OK(store_job_create(store, &request, &error));
    ck_assert_int_eq(job.dataset_version, 2);
}
END_TEST

static void hidden_job(char id[STORE_ID_SIZE]) {
    struct store_dataset dataset = {.hidden = true};
    struct store_job job = {.attempts_max = 5};
    struct store_job_new request = {.job = &job, .new_dataset = &dataset, .new_definition = "{}", .hidden_model = true};
    store_new_id("job", job.id);
    COPY(job.model, job.id);
    COPY(job.dataset, job.id);
    snprintf(dataset.file, sizeof dataset.file, "%s.bpc", job.id);
    file_make("datasets", dataset.file);
    OK(store_job_create(store, &request, &error));
    memcpy(id, job.id, STORE_ID_SIZE);
}

START_TEST(unnamed_data_and_model_belong_to_the_job) {
    char id[STORE_ID_SIZE], file[64];
    struct store_datasets datasets;
    struct store_models models;
    struct store_dataset dataset = {.file = "other.bpc"};
    int64_t version;
    bool created;
    hidden_job(id);
    snprintf(file, sizeof file, "%s.bpc", id);
    OK(store_dataset_list(store, NULL, 10, &datasets, &error));
    ck_assert_int_eq(datasets.count, 0);
    store_datasets_free(&datasets);
    OK(store_model_list(store, NULL, 10, &models, &error));
    ck_assert_int_eq(models.count, 0);
    store_models_free(&models);

    /* No other writer may take its names. */
    COPY(dataset.name, id);
    file_make("datasets", "other.bpc");
    GIVES(STORE_EXISTS, store_dataset_create(store, &dataset, true, NULL, &error));
    GIVES(STORE_EXISTS, store_model_put(store, id, "{}", &created, NULL, &error));

    job_claim(id);
    OK(store_job_end(store, id, 1, &success, &version, &error));
    ck_assert_int_eq(version, 1);
    ck_assert(file_there("datasets", file));
    OK(store_job_delete(store, id, &error));
    ck_assert(!file_there("datasets", file));
    ck_assert_int_eq(number("SELECT (SELECT count(*) FROM datasets) + (SELECT count(*) FROM models) + (SELECT count(*) FROM versions) + "
                            "(SELECT count(*) FROM events) + (SELECT count(*) FROM jobs) + (SELECT count(*) FROM counters)"),
                     0);
}
END_TEST

START_TEST(hidden_objects_have_the_jobs_id) {
    struct store_job job = {.model = "m", .dataset = "d", .attempts_max = 5};
    struct store_job_new request = {.job = &job, .new_definition = "{}", .hidden_model = true};
    store_new_id("job", job.id);
    GIVES(STORE_FAILED, store_job_create(store, &request, &error));
}
END_TEST

START_TEST(metadata_must_be_an_object) {
    struct store_job job = {.model = "m", .dataset = "d", .dataset_version = 1, .attempts_max = 5, .metadata = TEXT("[]")};
    struct store_job_new request = {.job = &job};
    dataset_put("d");
    model_put("m");
    store_new_id("job", job.id);
    GIVES(STORE_FAILED, store_job_create(store, &request, &error));
    job.metadata = TEXT("{");
    GIVES(STORE_FAILED, store_job_create(store, &request, &error));
}
END_TEST

START_TEST(the_queue_has_a_bound) {
    char id[STORE_ID_SIZE];
    enum store_status status;
    struct store_job job = {.model = "m", .dataset = "d", .dataset_version = 1, .attempts_max = 5};
    struct store_job_new request = {.job = &job};
    store_close(store);
    struct store_options few = {.queue_max = 3};
    OK(store_open(folder, &few, &store, &error));
    for (int i = 0; i < 3; i++) job_new(id, 5);
    store_new_id("job", job.id);
    GIVES(STORE_FULL, store_job_create(store, &request, &error));
    SAYS("3");
    OK(store_job_cancel(store, id, &status, &error));
    OK(store_job_create(store, &request, &error));
    store_new_id("job", job.id);
    GIVES(STORE_FULL, store_job_create(store, &request, &error));
    job_claim(id);
    OK(store_job_create(store, &request, &error));
}
END_TEST

START_TEST(queue_positions_count_older_jobs) {
    char ids[4][STORE_ID_SIZE], claimed[STORE_ID_SIZE];
    struct store_jobs list;
    struct store_job_filter filter = {.limit = 10};
    for (int i = 0; i < 4; i++) job_new(ids[i], 5);
    job_claim(claimed);
    ck_assert_str_eq(claimed, ids[0]); /* the oldest first */
    OK(store_job_cancel(store, ids[2], NULL, &error));
    OK(store_job_list(store, &filter, &list, &error));
    ck_assert_int_eq(list.count, 4);
    const int64_t expected[] = {2, 0, 1, 0}; /* newest first */
    for (int i = 0; i < 4; i++) {
        ck_assert_str_eq(list.items[i].id, ids[3 - i]);
        ck_assert_int_eq(list.items[i].queue_position, expected[i]);
    }
    store_jobs_free(&list);

    /* A list that shows not every queued job counts the others still. */
    char hidden[STORE_ID_SIZE];
    hidden_job(hidden);
    hidden_job(hidden);
    job_new(claimed, 5);
    filter.model = "m";
    OK(store_job_list(store, &filter, &list, &error));
    const int64_t filtered[] = {5, 2, 0, 1, 0};
    for (int i = 0; i < 5; i++) ck_assert_int_eq(list.items[i].queue_position, filtered[i]);
    store_jobs_free(&list);
}
END_TEST

START_TEST(higher_priority_first_then_older) {
    char ids[5][STORE_ID_SIZE], claimed[STORE_ID_SIZE];
    static const int64_t priorities[] = {0, 7, -100, 7, 100};
    static const int order[] = {4, 1, 3, 0, 2};
    struct store_job_filter filter = {.limit = 10};
    struct store_jobs list;
    struct store_job job;
    for (int i = 0; i < 5; i++) job_new(ids[i], 5);
    for (int i = 0; i < 5; i++) OK(store_job_set_priority(store, ids[i], priorities[i], &error));
    OK(store_job_list(store, &filter, &list, &error));
    for (int place = 0; place < 5; place++) {
        OK(store_job_get(store, ids[order[place]], &job, &error));
        ck_assert_int_eq(job.queue_position, place + 1);
        ck_assert_int_eq(job.priority, priorities[order[place]]);
        store_job_free(&job);
        ck_assert_int_eq(list.items[4 - order[place]].queue_position, place + 1);
    }
    store_jobs_free(&list);
    OK(store_job_pause(store, ids[1], NULL, &error)); /* it keeps its priority */
    OK(store_job_resume(store, ids[1], NULL, &error));
    for (int place = 0; place < 5; place++) {
        job_claim(claimed);
        ck_assert_str_eq(claimed, ids[order[place]]);
    }
    OK(store_job_set_priority(store, ids[0], 3, &error)); /* counts when it is queued again */
    OK(store_job_cancel(store, ids[0], NULL, &error));
    OK(store_job_end(store, ids[0], 1, &cancelled, NULL, &error));
    GIVES(STORE_CONFLICT, store_job_set_priority(store, ids[0], 3, &error));
    SAYS("cancelled");
    GIVES(STORE_NOT_FOUND, store_job_set_priority(store, "job_x", 3, &error));
}
END_TEST

static void expect_list(const struct store_job_filter *filter, bool has_more, int count, ...) {
    struct store_jobs list;
    va_list ids;
    OK(store_job_list(store, filter, &list, &error));
    ck_assert_int_eq(list.count, count);
    ck_assert_int_eq(list.has_more, has_more);
    va_start(ids, count);
    for (int i = 0; i < count; i++) ck_assert_str_eq(list.items[i].id, va_arg(ids, const char *));
    va_end(ids);
    store_jobs_free(&list);
}

START_TEST(lists_are_filtered_and_paged) {
    char ids[5][STORE_ID_SIZE], claimed[STORE_ID_SIZE];
    enum store_status queued = STORE_QUEUED, running = STORE_RUNNING, failed = STORE_JOB_FAILED;
    for (int i = 0; i < 4; i++) job_new(ids[i], 5);
    hidden_job(ids[4]);
    job_claim(claimed);
    expect_list(&(struct store_job_filter){.limit = 10}, false, 5, ids[4], ids[3], ids[2], ids[1], ids[0]);
    expect_list(&(struct store_job_filter){.limit = 2}, true, 2, ids[4], ids[3]);
    expect_list(&(struct store_job_filter){.limit = 3, .after = ids[3]}, false, 3, ids[2], ids[1], ids[0]);
    expect_list(&(struct store_job_filter){.limit = 0}, true, 1, ids[4]);
    expect_list(&(struct store_job_filter){.limit = 1 << 30}, false, 5, ids[4], ids[3], ids[2], ids[1], ids[0]);
    expect_list(&(struct store_job_filter){.limit = 9, .status = &running}, false, 1, ids[0]);
    expect_list(&(struct store_job_filter){.limit = 9, .status = &failed}, false, 0);
    expect_list(&(struct store_job_filter){.limit = 9, .status = &queued, .model = "m"}, false, 3, ids[3], ids[2], ids[1]);
    expect_list(&(struct store_job_filter){.limit = 1, .status = &queued, .model = "m", .after = ids[3]}, true, 1, ids[2]);
    expect_list(&(struct store_job_filter){.limit = 9, .model = ids[4]}, false, 1, ids[4]);
}
END_TEST

START_TEST(any_text_may_be_a_metadata_key) {
    static const struct {
        const char *json, *key, *value;
    } cases[] = {
        {"{\"who\":\"me\"}", "who", "me"},
        {"{\"a.b\":\"1\"}", "a.b", "1"},
        {"{\"$[0]\":\"x\"}", "$[0]", "x"},
        {"{\"it's \\\"quoted\\\" \\\\ %s\":\"'; DROP TABLE jobs; --\"}", "it's \"quoted\" \\ %s", "'; DROP TABLE jobs; --"},
        {"{\"\\u00fc\":\"\\u20ac\"}", "\u00fc", "\u20ac"},
        {"{\"\":\"empty\"}", "", "empty"},
    };
    struct store_job job = {.model = "m", .dataset = "d", .dataset_version = 1, .attempts_max = 5};
    struct store_job_new request = {.job = &job};
    dataset_put("d");
    model_put("m");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        job.metadata = TEXT(cases[i].json);
        store_new_id("job", job.id);
        OK(store_job_create(store, &request, &error));
        expect_list(&(struct store_job_filter){.limit = 9, .metadata_key = cases[i].key, .metadata_value = cases[i].value}, false, 1, job.id);
    }
    expect_list(&(struct store_job_filter){.limit = 9, .metadata_key = "who", .metadata_value = "you"}, false, 0);
    expect_list(&(struct store_job_filter){.limit = 9, .metadata_key = "a", .metadata_value = "1"}, false, 0);
    expect_list(&(struct store_job_filter){.limit = 9, .metadata_key = "who", .metadata_value = "me", .model = "other"}, false, 0);
}
END_TEST

START_TEST(counts_are_by_status) {
    char ids[4][STORE_ID_SIZE], claimed[STORE_ID_SIZE];
    int64_t counts[STORE_STATUS_COUNT];
    for (int i = 0; i < 4; i++) job_new(ids[i], 5);
    job_claim(claimed);
    OK(store_job_end(store, ids[0], 1, &success, NULL, &error));
    job_claim(claimed);
    OK(store_job_cancel(store, ids[3], NULL, &error));
    OK(store_job_delete(store, ids[3], &error));
    OK(store_job_counts(store, counts, &error));
    for (int i = 0; i < STORE_STATUS_COUNT; i++) ck_assert_int_eq(counts[i], i == STORE_QUEUED || i == STORE_RUNNING || i == STORE_SUCCEEDED ? 1 : 0);
}
END_TEST

/* ---- cancel, in every state ---- */

START_TEST(a_queued_job_is_cancelled_at_once) {
    char id[STORE_ID_SIZE];
    enum store_status status = STORE_QUEUED;
    job_new(id, 5);
    for (int again = 0; again < 2; again++) {
        OK(store_job_cancel(store, id, &status, &error));
        ck_assert_int_eq(status, STORE_CANCELLED);
        ck_assert_str_eq(events_of(id), "status:queued status:cancelled end:cancelled");
    }
    struct store_job job;
    OK(store_job_get(store, id, &job, &error));
    ck_assert_int_ge(job.finished_at, job.created_at);
    store_job_free(&job);
    GIVES(STORE_NOT_FOUND, store_job_claim(store, "me", 1, NULL, &job, &error));
    GIVES(STORE_NOT_FOUND, store_job_cancel(store, "job_x", &status, &error));
}
END_TEST

START_TEST(a_running_job_is_asked_to_stop) {
    char id[STORE_ID_SIZE];
    enum store_status status;
    job_new(id, 5);
    job_claim(id);
    for (int again = 0; again < 2; again++) {
        OK(store_job_cancel(store, id, &status, &error));
        ck_assert_int_eq(status, STORE_CANCELLING);
        ck_assert_str_eq(events_of(id), "status:queued status:running status:cancelling");
    }
    ck_assert_int_eq(number("SELECT owner = 'tester' AND lease_until > 0 FROM jobs"), 1);
    OK(store_job_end(store, id, 1, &cancelled, NULL, &error));
    ck_assert_str_eq(events_of(id), "status:queued status:running status:cancelling status:cancelled end:cancelled");
    OK(store_job_cancel(store, id, &status, &error));
    ck_assert_int_eq(status, STORE_CANCELLED);
}
END_TEST

START_TEST(ended_jobs_stay_as_they_are) {
    char id[STORE_ID_SIZE];
    enum store_status status;
    job_new(id, 5);
    job_claim(id);
    OK(store_job_end(store, id, 1, &success, NULL, &error));
    OK(store_job_cancel(store, id, &status, &error));
    ck_assert_int_eq(status, STORE_SUCCEEDED);
    job_new(id, 5);
    job_claim(id);
    OK(store_job_end(store, id, 1, &failure, NULL, &error));
    OK(store_job_cancel(store, id, &status, &error));
    ck_assert_int_eq(status, STORE_JOB_FAILED);
    ck_assert_str_eq(events_of(id), "status:queued status:running status:failed end:failed");
}
END_TEST

/* ---- state x action ---- */

/* A new job, brought into that state. */
static void job_in(char id[STORE_ID_SIZE], enum store_status status) {
    job_new(id, 5);
    if (status == STORE_PAUSED) OK(store_job_pause(store, id, NULL, &error));
    if (status == STORE_QUEUED || status == STORE_PAUSED) return;
    job_claim(id);
    if (status == STORE_PAUSING) OK(store_job_pause(store, id, NULL, &error));
    if (status == STORE_CANCELLING || status == STORE_CANCELLED) OK(store_job_cancel(store, id, NULL, &error));
    if (status == STORE_CANCELLED) OK(store_job_end(store, id, 1, &cancelled, NULL, &error));
    if (status == STORE_SUCCEEDED) OK(store_job_end(store, id, 1, &success, NULL, &error));
    if (status == STORE_JOB_FAILED) OK(store_job_end(store, id, 1, &failure, NULL, &error));
}

enum { CANCEL, PAUSE, RESUME, DELETE, ACTIONS };

static enum store_result act(const char *id, int action) {
    return action == CANCEL   ? store_job_cancel(store, id, NULL, &error)
           : action == PAUSE  ? store_job_pause(store, id, NULL, &error)
           : action == RESUME ? store_job_resume(store, id, NULL, &error)
                              : store_job_delete(store, id, &error);
}

/* Every action in every state, each twice: the second time answers the same and adds no event. "conflict": refused. */
START_TEST(actions_are_idempotent_in_every_state) {
    static const char *const table[STORE_STATUS_COUNT][ACTIONS] = {
        [STORE_QUEUED] = {"cancelled", "paused", "queued", "conflict"},          [STORE_RUNNING] = {"cancelling", "pausing", "running", "conflict"},
        [STORE_PAUSING] = {"cancelling", "pausing", "running", "conflict"},      [STORE_PAUSED] = {"cancelled", "paused", "queued", "conflict"},
        [STORE_CANCELLING] = {"cancelling", "conflict", "conflict", "conflict"}, [STORE_CANCELLED] = {"cancelled", "conflict", "conflict", "deleted"},
        [STORE_SUCCEEDED] = {"succeeded", "conflict", "conflict", "deleted"},    [STORE_JOB_FAILED] = {"failed", "conflict", "conflict", "deleted"},
    };
    for (int status = 0; status < STORE_STATUS_COUNT; status++)
        for (int action = 0; action < ACTIONS; action++) {
            char id[STORE_ID_SIZE], events[4096] = "";
            const char *expected = table[status][action], *before = store_status_name((enum store_status)status);
            job_in(id, (enum store_status)status);
            IS(id, before);
            for (int again = 0; again < 2; again++) {
                const enum store_result result = act(id, action);
                if (strcmp(expected, "conflict") == 0) {
                    ck_assert_msg(result == STORE_CONFLICT, "%s, action %d: %d", before, action, (int)result);
                    SAYS(before);
                    IS(id, before);
                } else if (strcmp(expected, "deleted") == 0) {
                    ck_assert_msg(result == (again ? STORE_NOT_FOUND : STORE_OK), "%s, action %d: %d", before, action, (int)result);
                } else {
                    ck_assert_msg(result == STORE_OK, "%s, action %d: %d", before, action, (int)result);
                    IS(id, expected);
                }
                if (again) ck_assert_str_eq(events_of(id), events);
                COPY(events, events_of(id));
            }
            ck_assert(raw("DELETE FROM jobs")); /* the next claim must find the next job */
        }
    GIVES(STORE_NOT_FOUND, store_job_pause(store, "job_x", NULL, &error));
    GIVES(STORE_NOT_FOUND, store_job_resume(store, "job_x", NULL, &error));
}
END_TEST

START_TEST(a_pause_ends_in_the_state_that_was_asked_for_last) {
    char id[STORE_ID_SIZE];
    struct store_job job;
    job_in(id, STORE_PAUSING);
    ck_assert_int_eq(number("SELECT owner = 'tester' FROM jobs"), 1);
    OK(store_job_give_back(store, id, 1, STORE_SERVER_STOPPED, NULL, &error));
    ck_assert_str_eq(events_of(id), "status:queued status:running status:pausing status:paused");
    GIVES(STORE_NOT_FOUND, store_job_claim(store, "me", 1, NULL, &job, &error));
    OK(store_job_get(store, id, &job, &error));
    ck_assert_int_eq(job.queue_position, 0);
    store_job_free(&job);
    OK(store_job_resume(store, id, NULL, &error));
    job_claim(id);
    OK(store_job_pause(store, id, NULL, &error));
    OK(store_job_resume(store, id, NULL, &error)); /* before the process has given it back */
    OK(store_job_give_back(store, id, 2, STORE_SERVER_STOPPED, NULL, &error));
    IS(id, "queued");
    job_claim(id);
    OK(store_job_pause(store, id, NULL, &error));
    OK(store_job_end(store, id, 3, &success, NULL, &error)); /* its last epoch came first */
    IS(id, "succeeded");
}
END_TEST

START_TEST(a_crash_while_pausing_counts) {
    char id[STORE_ID_SIZE];
    job_new(id, 2);
    job_claim(id);
    OK(store_job_pause(store, id, NULL, &error));
    OK(store_job_give_back(store, id, 1, STORE_CRASHED, NULL, &error));
    IS(id, "paused");
    OK(store_job_resume(store, id, NULL, &error));
    job_claim(id);
    OK(store_job_pause(store, id, NULL, &error));
    OK(store_job_give_back(store, id, 2, STORE_CRASHED, NULL, &error));
    IS(id, "failed");
}
END_TEST

START_TEST(only_ended_jobs_are_deleted) {
    char id[STORE_ID_SIZE];
    struct store_job job;
    struct store_checkpoint checkpoint = {.attempt = 1, .file = "c.st"};
    struct store_version version;
    job_new(id, 5);
    GIVES(STORE_CONFLICT, store_job_delete(store, id, &error));
    SAYS("queued");
    job_claim(id);
    GIVES(STORE_CONFLICT, store_job_delete(store, id, &error));
    COPY(checkpoint.job, id);
    file_make("checkpoints", "c.st");
    OK(store_checkpoint_add(store, &checkpoint, &error));
    OK(store_job_cancel(store, id, NULL, &error));
    GIVES(STORE_CONFLICT, store_job_delete(store, id, &error));
    OK(store_job_end(store, id, 1, &success, NULL, &error));
    OK(store_job_delete(store, id, &error));
    GIVES(STORE_NOT_FOUND, store_job_get(store, id, &job, &error));
    GIVES(STORE_NOT_FOUND, store_job_delete(store, id, &error));
    ck_assert(!file_there("checkpoints", "c.st"));
    ck_assert_int_eq(number("SELECT (SELECT count(*) FROM events) + (SELECT count(*) FROM checkpoints)"), 0);
    OK(store_version_get(store, "m", 1, &version, &error)); /* of a named model: it stays */
    store_version_free(&version);
}
END_TEST

Suite *suite_store_jobs(void) {
    Suite *suite = suite_create("store/jobs");
    TCase *tests = store_case(suite, "jobs");
    tcase_add_test(tests, stored_jobs_are_read);
    tcase_add_test(tests, missing_requirements_are_refused);
    tcase_add_test(tests, named_data_and_model_are_stored_with_it);
    tcase_add_test(tests, unnamed_data_and_model_belong_to_the_job);
    tcase_add_test(tests, hidden_objects_have_the_jobs_id);
    tcase_add_test(tests, metadata_must_be_an_object);
    tcase_add_test(tests, the_queue_has_a_bound);
    tcase_add_test(tests, queue_positions_count_older_jobs);
    tcase_add_test(tests, lists_are_filtered_and_paged);
    tcase_add_test(tests, any_text_may_be_a_metadata_key);
    tcase_add_test(tests, counts_are_by_status);
    tcase_add_test(tests, a_queued_job_is_cancelled_at_once);
    tcase_add_test(tests, a_running_job_is_asked_to_stop);
    tcase_add_test(tests, ended_jobs_stay_as_they_are);
    tcase_add_test(tests, actions_are_idempotent_in_every_state);
    tcase_add_test(tests, a_pause_ends_in_the_state_that_was_asked_for_last);
    tcase_add_test(tests, a_crash_while_pausing_counts);
    tcase_add_test(tests, higher_priority_first_then_older);
    tcase_add_test(tests, only_ended_jobs_are_deleted);
    return suite;
}

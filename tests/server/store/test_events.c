/* test_events.c - lists of events, checkpoints, answers to repeated requests. */
#include "tests/server/store/helper.h"

/* ---- events ---- */

static void log_add(const char *id, const char *message) {
    struct store_event event = {.type = "log", .message = TEXT(message)};
    struct store_report report = {.resumed_from_epoch = -1, .events = &event, .events_count = 1};
    OK(store_job_report(store, id, 1, &report, &error));
}

START_TEST(events_are_paged_oldest_first) {
    char a[STORE_ID_SIZE], b[STORE_ID_SIZE];
    struct store_events list;
    int64_t last, seen = 0;
    int count = 0;
    OK(store_event_last(store, &last, &error));
    ck_assert_int_eq(last, 0);
    job_new(a, 5);
    job_new(b, 5);
    job_claim(a);
    job_claim(b);
    for (int i = 0; i < 3; i++) {
        log_add(a, "from a");
        log_add(b, "from b");
    }
    for (bool more = true; more;) {
        OK(store_event_list(store, NULL, NULL, seen, 4, &list, &error));
        for (int32_t i = 0; i < list.count; i++, count++) {
            ck_assert_int_gt(list.items[i].id, seen);
            seen = list.items[i].id;
        }
        more = list.has_more;
        store_events_free(&list);
    }
    ck_assert_int_eq(count, 10);
    OK(store_event_last(store, &last, &error));
    ck_assert_int_eq(last, seen);
    OK(store_event_list(store, a, "log", 0, 10, &list, &error));
    ck_assert_int_eq(list.count, 3);
    int64_t second = list.items[1].id;
    for (int32_t i = 0; i < list.count; i++) ck_assert_str_eq(list.items[i].message, "from a");
    store_events_free(&list);
    OK(store_event_list(store, a, "log", second, 10, &list, &error));
    ck_assert_int_eq(list.count, 1);
    store_events_free(&list);
    OK(store_event_list(store, NULL, "status", 0, 10, &list, &error));
    ck_assert_int_eq(list.count, 4);
    store_events_free(&list);
}
END_TEST

START_TEST(an_event_id_is_never_given_twice) {
    char id[STORE_ID_SIZE];
    int64_t before, after;
    job_new(id, 5);
    OK(store_job_cancel(store, id, NULL, &error));
    OK(store_event_last(store, &before, &error));
    OK(store_job_delete(store, id, &error));
    ck_assert_int_eq(number("SELECT count(*) FROM events"), 0);
    reopen();
    OK(store_event_last(store, &after, &error));
    ck_assert_int_eq(after, before);
    job_new(id, 5);
    ck_assert_int_gt(number("SELECT min(id) FROM events"), before);
}
END_TEST

/* ---- checkpoints ---- */

static void checkpoint_add(const char *job, int64_t epoch, bool best) {
    struct store_checkpoint checkpoint = {.attempt = 1, .epoch = epoch, .step = epoch * 10, .bytes = 100, .best = best};
    snprintf(checkpoint.file, sizeof checkpoint.file, "%d.st", (int)epoch);
    COPY(checkpoint.job, job);
    file_make("checkpoints", checkpoint.file);
    OK(store_checkpoint_add(store, &checkpoint, &error));
    ck_assert_int_eq(strncmp(checkpoint.id, "ckp_", 4), 0);
}

static void expect_checkpoints(const char *job, int count, int64_t last, int64_t other) {
    struct store_checkpoints list;
    OK(store_checkpoint_list(store, job, &list, &error));
    ck_assert_int_eq(list.count, count);
    ck_assert_int_eq(list.items[0].epoch, last);
    ck_assert_int_eq(list.items[count - 1].epoch, other);
    store_checkpoints_free(&list);
    for (int64_t epoch = 1; epoch <= 9; epoch++) {
        char file[32];
        snprintf(file, sizeof file, "%d.st", (int)epoch);
        ck_assert_int_eq(file_there("checkpoints", file), epoch == last || epoch == other);
    }
}

START_TEST(last_and_best_checkpoints_are_kept) {
    char id[STORE_ID_SIZE];
    struct store_checkpoint last;
    job_new(id, 5);
    job_claim(id);
    GIVES(STORE_NOT_FOUND, store_checkpoint_last(store, id, &last, &error));
    checkpoint_add(id, 1, false);
    expect_checkpoints(id, 1, 1, 1);
    checkpoint_add(id, 2, true);
    expect_checkpoints(id, 1, 2, 2);
    checkpoint_add(id, 3, false);
    expect_checkpoints(id, 2, 3, 2);
    checkpoint_add(id, 4, false);
    expect_checkpoints(id, 2, 4, 2);
    checkpoint_add(id, 5, true);
    expect_checkpoints(id, 1, 5, 5);
    checkpoint_add(id, 6, false);
    expect_checkpoints(id, 2, 6, 5);
    OK(store_checkpoint_last(store, id, &last, &error));
    ck_assert_int_eq(last.epoch, 6);
    ck_assert_int_eq(last.step, 60);
    ck_assert_int_eq(last.bytes, 100);
    ck_assert_int_eq(last.attempt, 1);
    ck_assert_str_eq(last.file, "6.st");
    ck_assert_str_eq(last.job, id);
    ck_assert(!last.best);
    ck_assert_int_eq(number("SELECT count(*) FROM events WHERE type = 'checkpoint' AND data LIKE '%\"epoch\":6,%\"best\":false}'"), 1);
}
END_TEST

START_TEST(other_jobs_keep_theirs) {
    char a[STORE_ID_SIZE], b[STORE_ID_SIZE];
    job_new(a, 5);
    job_new(b, 5);
    job_claim(a);
    job_claim(b);
    checkpoint_add(a, 1, true);
    checkpoint_add(b, 2, false);
    checkpoint_add(b, 3, false);
    ck_assert(file_there("checkpoints", "1.st") && !file_there("checkpoints", "2.st"));
}
END_TEST

START_TEST(a_checkpoint_resets_failures) {
    char id[STORE_ID_SIZE];
    job_new(id, 2);
    for (int64_t round = 0; round < 3; round++) {
        struct store_checkpoint checkpoint = {.attempt = round + 1, .epoch = round};
        job_claim(id);
        snprintf(checkpoint.file, sizeof checkpoint.file, "r%d.st", (int)round);
        COPY(checkpoint.job, id);
        file_make("checkpoints", checkpoint.file);
        OK(store_checkpoint_add(store, &checkpoint, &error));
        OK(store_job_give_back(store, id, round + 1, STORE_CRASHED, NULL, &error));
        IS(id, "queued");
        ck_assert_int_eq(number("SELECT failures FROM jobs"), 1);
    }
}
END_TEST

START_TEST(a_checkpoints_file_must_be_in_place) {
    char id[STORE_ID_SIZE];
    struct store_checkpoint checkpoint = {.attempt = 1, .file = "none.st"};
    job_new(id, 5);
    job_claim(checkpoint.job);
    GIVES(STORE_FAILED, store_checkpoint_add(store, &checkpoint, &error));
    SAYS("none.st");
}
END_TEST

/* ---- answers to repeated requests ---- */

START_TEST(an_answer_is_created_with_its_object) {
    struct store_idempotency key = {.key = "POST /v1/models k", .hash = "abcd", .status = 201, .location = "/v1/models/m"};
    struct store_answer answer;
    bool created;
    GIVES(STORE_NOT_FOUND, store_answer_get(store, key.key, &answer, &error));
    OK(store_model_put(store, "m", "{}", &created, &key, &error));
    OK(store_answer_get(store, key.key, &answer, &error));
    ck_assert_str_eq(answer.hash, "abcd");
    ck_assert_int_eq(answer.status, 201);
    ck_assert_str_eq(answer.location, "/v1/models/m");
    ck_assert_ptr_null(answer.body);
    store_answer_free(&answer);
    OK(store_answer_body(store, key.key, "{\"name\":\"m\"}", &error));
    reopen();
    OK(store_answer_get(store, key.key, &answer, &error));
    ck_assert_str_eq(answer.body, "{\"name\":\"m\"}");
    store_answer_free(&answer);
    GIVES(STORE_NOT_FOUND, store_answer_body(store, "no such key", "{}", &error));
}
END_TEST

START_TEST(a_twin_creates_nothing) {
    struct store_idempotency key = {.key = "k", .hash = "h", .status = 202, .location = "/v1/jobs/x"};
    struct store_dataset dataset = {.name = "d", .file = "1.bpc"};
    struct store_job job = {.model = "m", .dataset = "d", .dataset_version = 1, .attempts_max = 5};
    struct store_job_new request = {.job = &job, .idempotency = &key};
    bool created;
    file_make("datasets", "1.bpc");
    OK(store_dataset_create(store, &dataset, false, NULL, &error));
    model_put("m");
    store_new_id("job", job.id);
    OK(store_job_create(store, &request, &error));
    store_new_id("job", job.id);
    GIVES(STORE_CONFLICT, store_job_create(store, &request, &error));
    GIVES(STORE_CONFLICT, store_model_put(store, "n", "{}", &created, &key, &error));
    GIVES(STORE_CONFLICT, store_dataset_create(store, &dataset, false, &key, &error)); /* rather than EXISTS */
    ck_assert_int_eq(number("SELECT (SELECT count(*) FROM jobs) * 10 + (SELECT count(*) FROM models)"), 11);
}
END_TEST

START_TEST(a_refused_request_leaves_no_answer) {
    struct store_idempotency key = {.key = "k", .hash = "h", .status = 202, .location = "/v1/jobs/x"};
    struct store_job job = {.model = "m", .dataset = "d", .dataset_version = 1, .attempts_max = 5};
    struct store_job_new request = {.job = &job, .idempotency = &key};
    struct store_answer answer;
    store_new_id("job", job.id);
    GIVES(STORE_NOT_FOUND, store_job_create(store, &request, &error));
    GIVES(STORE_NOT_FOUND, store_answer_get(store, "k", &answer, &error));
}
END_TEST

START_TEST(answers_are_forgotten_after_a_day) {
    struct store_idempotency old = {.key = "old", .hash = "h", .status = 201, .location = "/"};
    struct store_idempotency fresh = {.key = "fresh", .hash = "h", .status = 201, .location = "/"};
    struct store_answer answer;
    bool created;
    OK(store_model_put(store, "m", "{}", &created, &old, &error));
    OK(store_model_put(store, "m", "{}", &created, &fresh, &error));
    ck_assert(raw("UPDATE answers SET created_at = created_at - 86400001 WHERE key = 'old'"));
    GIVES(STORE_NOT_FOUND, store_answer_get(store, "old", &answer, &error));
    OK(store_model_put(store, "m", "{}", &created, &old, &error)); /* it may be used again */
    ck_assert(raw("UPDATE answers SET created_at = created_at - 86400001 WHERE key = 'old'"));
    OK(store_answers_expire(store, &error));
    ck_assert_int_eq(number("SELECT count(*) FROM answers WHERE key = 'old'"), 0);
    OK(store_answer_get(store, "fresh", &answer, &error));
    store_answer_free(&answer);
}
END_TEST

Suite *suite_store_events(void) {
    Suite *suite = suite_create("store/events");
    TCase *tests = store_case(suite, "events, checkpoints, answers");
    tcase_add_test(tests, events_are_paged_oldest_first);
    tcase_add_test(tests, an_event_id_is_never_given_twice);
    tcase_add_test(tests, last_and_best_checkpoints_are_kept);
    tcase_add_test(tests, other_jobs_keep_theirs);
    tcase_add_test(tests, a_checkpoint_resets_failures);
    tcase_add_test(tests, a_checkpoints_file_must_be_in_place);
    tcase_add_test(tests, an_answer_is_created_with_its_object);
    tcase_add_test(tests, a_twin_creates_nothing);
    tcase_add_test(tests, a_refused_request_leaves_no_answer);
    tcase_add_test(tests, answers_are_forgotten_after_a_day);
    return suite;
}

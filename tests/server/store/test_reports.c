/* test_reports.c - claim, report, give back, end, recover: the supervisor's side, with the invariants 2 to 5. */
#include "tests/server/store/helper.h"

static struct store_report metrics_report(struct store_event *event, int64_t epoch) {
    *event = (struct store_event){.type = "metrics", .epoch = epoch, .data = TEXT("{\"loss\":0.5}")};
    return (struct store_report){.resumed_from_epoch = -1, .events = event, .events_count = 1, .metrics = "{\"loss\":0.5}"};
}

START_TEST(a_claim_takes_the_oldest) {
    char first[STORE_ID_SIZE], second[STORE_ID_SIZE];
    struct store_job job;
    GIVES(STORE_NOT_FOUND, store_job_claim(store, "me", 1000, NULL, &job, &error));
    job_new(first, 5);
    job_new(second, 5);
    OK(store_job_claim(store, "me", 1000, NULL, &job, &error));
    ck_assert_str_eq(job.id, first);
    ck_assert_int_eq(job.status, STORE_RUNNING);
    ck_assert_int_eq(job.attempt, 1);
    ck_assert_int_ge(job.started_at, job.created_at);
    ck_assert_str_eq(job.spec, "{}");
    int64_t started = job.started_at;
    store_job_free(&job);
    ck_assert_int_eq(number("SELECT owner = 'me' AND lease_until = started_at + 1000 FROM jobs ORDER BY id"), 1);

    /* Requeued, it is the oldest again, and started long ago. */
    OK(store_job_give_back(store, first, 1, STORE_SERVER_STOPPED, NULL, &error));
    OK(store_job_claim(store, "me", 1000, NULL, &job, &error));
    ck_assert_str_eq(job.id, first);
    ck_assert_int_eq(job.attempt, 2);
    ck_assert_int_eq(job.started_at, started);
    store_job_free(&job);
    ck_assert_str_eq(events_of(first), "status:queued status:running status:queued status:running");
}
END_TEST

START_TEST(a_report_changes_what_it_names) {
    char id[STORE_ID_SIZE];
    struct store_job job;
    struct store_event event;
    struct store_events events;
    struct store_report report = metrics_report(&event, 3);
    job_new(id, 5);
    job_claim(id);
    report.progress = "{\"epoch\":3}";
    report.best = "{\"epoch\":2}";
    report.warnings = "[\"hot\"]";
    report.cross_validation = "{\"folds\":[]}";
    report.resumed_from_epoch = 2;
    OK(store_job_report(store, id, 1, &report, &error));
    OK(store_job_report(store, id, 1, &(struct store_report){.resumed_from_epoch = -1}, &error)); /* nothing */
    OK(store_job_get(store, id, &job, &error));
    ck_assert_str_eq(job.progress, "{\"epoch\":3}");
    ck_assert_str_eq(job.metrics, "{\"loss\":0.5}");
    ck_assert_str_eq(job.best, "{\"epoch\":2}");
    ck_assert_str_eq(job.warnings, "[\"hot\"]");
    ck_assert_str_eq(job.cross_validation, "{\"folds\":[]}");
    ck_assert_int_eq(job.resumed_from_epoch, 2);
    store_job_free(&job);
    OK(store_event_list(store, id, "metrics", 0, 10, &events, &error));
    ck_assert_int_eq(events.count, 1);
    ck_assert_int_eq(events.items[0].epoch, 3);
    ck_assert_int_eq(events.items[0].attempt, 1);
    ck_assert_str_eq(events.items[0].level, "info");
    ck_assert_str_eq(events.items[0].data, "{\"loss\":0.5}");
    ck_assert_ptr_null(events.items[0].message);
    ck_assert_str_eq(events.items[0].job, id);
    store_events_free(&events);
}
END_TEST

START_TEST(a_repeated_epoch_adds_nothing) {
    char id[STORE_ID_SIZE];
    struct store_event event;
    struct store_report report = metrics_report(&event, 1);
    job_new(id, 5);
    job_claim(id);
    OK(store_job_report(store, id, 1, &report, &error));
    event.data = TEXT("{\"loss\":9}");
    OK(store_job_report(store, id, 1, &report, &error));
    ck_assert_int_eq(number("SELECT count(*) FROM events WHERE type = 'metrics'"), 1);
    ck_assert_int_eq(number("SELECT count(*) FROM events WHERE data = '{\"loss\":0.5}'"), 1);
    /* Events that are not metrics have no such rule. */
    struct store_event log = {.type = "log", .level = "warning", .message = TEXT("slow")};
    report = (struct store_report){.resumed_from_epoch = -1, .events = &log, .events_count = 1};
    OK(store_job_report(store, id, 1, &report, &error));
    OK(store_job_report(store, id, 1, &report, &error));
    ck_assert_int_eq(number("SELECT count(*) FROM events WHERE type = 'log' AND level = 'warning' AND message = 'slow'"), 2);
}
END_TEST

START_TEST(a_report_makes_no_status) {
    char id[STORE_ID_SIZE];
    struct store_event events[2] = {{.type = "log", .message = TEXT("x")}, {.type = "end"}};
    struct store_report report = {.resumed_from_epoch = -1, .events = events, .events_count = 2, .progress = "{\"epoch\":9}"};
    job_new(id, 5);
    job_claim(id);
    GIVES(STORE_FAILED, store_job_report(store, id, 1, &report, &error));
    COPY(events[1].type, "nonsense");
    GIVES(STORE_FAILED, store_job_report(store, id, 1, &report, &error));
    /* All or nothing. */
    ck_assert_str_eq(events_of(id), "status:queued status:running");
    ck_assert_int_eq(number("SELECT progress = '{}' FROM jobs"), 1);
}
END_TEST

/* Every verb of an attempt that is over: nothing changes. */
static void expect_stale(const char *id, int64_t attempt) {
    struct store_event event;
    struct store_report report = metrics_report(&event, 77);
    struct store_checkpoint checkpoint = {.attempt = attempt, .file = "stale.st"};
    int64_t version = 5, before = number("SELECT sum(length(status) + attempt + failures + length(metrics)) FROM jobs");
    int64_t events = number("SELECT count(*) FROM events");
    COPY(checkpoint.job, id);
    file_make("checkpoints", "stale.st");
    GIVES(STORE_STALE, store_job_report(store, id, attempt, &report, &error));
    GIVES(STORE_STALE, store_checkpoint_add(store, &checkpoint, &error));
    GIVES(STORE_STALE, store_job_give_back(store, id, attempt, STORE_CRASHED, NULL, &error));
    GIVES(STORE_STALE, store_job_end(store, id, attempt, &success, &version, &error));
    SAYS(id);
    ck_assert_int_eq(version, 0);
    GIVES(STORE_STALE, store_job_end(store, id, attempt, &failure, NULL, &error));
    GIVES(STORE_STALE, store_job_end(store, id, attempt, &cancelled, NULL, &error));
    ck_assert_int_eq(number("SELECT sum(length(status) + attempt + failures + length(metrics)) FROM jobs"), before);
    ck_assert_int_eq(number("SELECT count(*) FROM events"), events);
    ck_assert_int_eq(number("SELECT (SELECT count(*) FROM versions) + (SELECT count(*) FROM checkpoints)"), 0);
}

START_TEST(stale_attempts_change_nothing) {
    char id[STORE_ID_SIZE];
    job_new(id, 5);
    expect_stale(id, 0); /* queued */
    job_claim(id);
    expect_stale(id, 0);
    expect_stale(id, 2);
    OK(store_job_give_back(store, id, 1, STORE_SERVER_STOPPED, NULL, &error));
    expect_stale(id, 1); /* queued again */
    job_claim(id);
    expect_stale(id, 1); /* another runs */
    OK(store_recover(store, &error));
    expect_stale(id, 2);
    OK(store_job_cancel(store, id, NULL, &error));
    expect_stale(id, 2); /* ended */
    GIVES(STORE_NOT_FOUND, store_job_end(store, "job_x", 1, &success, NULL, &error));
}
END_TEST

START_TEST(failures_end_at_attempts_max) {
    char id[STORE_ID_SIZE];
    struct store_job job;
    char expected[400];
    const char *crash = "{\"code\":\"worker_crashed\",\"message\":\"Killed by signal 9\"}";
    job_new(id, 3);
    for (int64_t attempt = 1; attempt <= 3; attempt++) {
        job_claim(id);
        OK(store_job_give_back(store, id, attempt, STORE_CRASHED, crash, &error));
        ck_assert_int_eq(status_of(id), attempt < 3 ? STORE_QUEUED : STORE_JOB_FAILED);
    }
    OK(store_job_get(store, id, &job, &error));
    ck_assert_int_eq(job.failures, 3);
    snprintf(expected, sizeof expected,
             "{\"code\":\"quarantined\",\"message\":\"the job is quarantined after 3 crashes without a new checkpoint; the last one: "
             "Killed by signal 9; its last lines are at /v1/jobs/%s/log\"}",
             id);
    ck_assert_str_eq(job.error, expected);
    ck_assert_int_gt(job.finished_at, 0);
    store_job_free(&job);
    ck_assert_str_eq(events_of(id),
                     "status:queued status:running status:queued status:running status:queued status:running status:failed end:failed");
    ck_assert_int_eq(number("SELECT count(*) FROM events WHERE level = 'warning' AND message = 'Killed by signal 9' AND "
                            "data LIKE '%\"failures\":_,\"attempts_max\":3,\"error\":{\"code\":\"worker_crashed\"%'"),
                     2);
    ck_assert_int_eq(number("SELECT count(*) FROM events WHERE level = 'error' AND message LIKE 'the job is quarantined after 3 crashes %: Killed by "
                            "signal 9; its last lines are at /v1/jobs/%/log'"),
                     2);
}
END_TEST

/* 1 s, doubled by each crash, up to a minute; a new checkpoint begins again. */
START_TEST(retries_wait_longer_and_longer) {
    static const int64_t delays[] = {1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000};
    char id[STORE_ID_SIZE], other[STORE_ID_SIZE], claimed[STORE_ID_SIZE];
    struct store_job job;
    store_close(store);
    options.retry_ms = 1000;
    OK(store_open(folder, &options, &store, &error));
    job_new(id, 100);
    for (int i = 0; i < 8; i++) {
        job_claim(claimed);
        const int64_t before = store_now();
        OK(store_job_give_back(store, id, i + 1, STORE_CRASHED, NULL, &error));
        OK(store_job_get(store, id, &job, &error));
        ck_assert_int_ge(job.retry_at, before + delays[i]);
        ck_assert_int_le(job.retry_at, store_now() + delays[i]);
        ck_assert_int_eq(job.queue_position, 1);
        const int64_t retry_at = job.retry_at;
        store_job_free(&job);
        GIVES(STORE_NOT_FOUND, store_job_claim(store, "me", 1000, NULL, &job, &error));
        ck_assert_int_eq(job.retry_at, retry_at); /* when to ask again */
        if (i == 3) {                             /* a younger job runs in the meantime, though it is of lower priority */
            OK(store_job_set_priority(store, id, 50, &error));
            job_new(other, 5);
            OK(store_job_get(store, other, &job, &error));
            ck_assert_int_eq(job.queue_position, 1);
            store_job_free(&job);
            OK(store_job_get(store, id, &job, &error));
            ck_assert_int_eq(job.queue_position, 2);
            store_job_free(&job);
            job_claim(claimed);
            ck_assert_str_eq(claimed, other);
            OK(store_job_end(store, other, 1, &success, NULL, &error));
        }
        ck_assert(raw("UPDATE jobs SET retry_at = retry_at - 60000 WHERE status = 'queued'")); /* a minute later */
    }
    struct store_checkpoint checkpoint = {.attempt = 9, .file = "c.st"};
    job_claim(claimed);
    ck_assert_int_eq(number("SELECT retry_at FROM jobs WHERE status = 'running'"), 0);
    COPY(checkpoint.job, id);
    file_make("checkpoints", "c.st");
    OK(store_checkpoint_add(store, &checkpoint, &error));
    const int64_t before = store_now();
    OK(store_job_give_back(store, id, 9, STORE_CRASHED, "{\"code\":\"worker_crashed\",\"message\":\"m\"}", &error));
    ck_assert_int_le(number("SELECT retry_at FROM jobs WHERE status = 'queued'"), store_now() + 1000);
    ck_assert_int_ge(number("SELECT retry_at FROM jobs WHERE status = 'queued'"), before + 1000);
    ck_assert_int_eq(
        number("SELECT data LIKE '%\"failures\":1,\"attempts_max\":100,\"retry_at\":\"20%Z\",\"error\":{%' FROM events ORDER BY id DESC LIMIT 1"), 1);
    /* A clock that was set back by a year does not make it wait for a year. */
    ck_assert(raw("UPDATE jobs SET retry_at = retry_at + 31536000000 WHERE status = 'queued'"));
    job_claim(claimed);
    ck_assert_str_eq(claimed, id);
}
END_TEST

START_TEST(a_failed_job_always_has_a_reason) {
    char id[STORE_ID_SIZE];
    job_new(id, 1);
    job_claim(id);
    OK(store_job_give_back(store, id, 1, STORE_CRASHED, NULL, &error));
    ck_assert_int_eq(number("SELECT status = 'failed' AND error ->> '$.code' = 'quarantined' FROM jobs"), 1);
}
END_TEST

START_TEST(other_returns_do_not_count) {
    char id[STORE_ID_SIZE];
    job_new(id, 1);
    for (int64_t attempt = 1; attempt <= 4; attempt++) {
        job_claim(id);
        OK(store_job_give_back(store, id, attempt, STORE_SERVER_STOPPED, NULL, &error));
        IS(id, "queued");
    }
    ck_assert_int_eq(number("SELECT failures FROM jobs"), 0);
    ck_assert_int_eq(number("SELECT owner IS NULL AND lease_until = 0 FROM jobs"), 1);
}
END_TEST

START_TEST(a_cancelling_job_given_back_is_cancelled) {
    char id[STORE_ID_SIZE];
    for (int fails = 0; fails < 2; fails++) {
        job_new(id, 1);
        job_claim(id);
        OK(store_job_cancel(store, id, NULL, &error));
        OK(store_job_give_back(store, id, 1, fails ? STORE_CRASHED : STORE_SERVER_STOPPED, NULL, &error));
        ck_assert_str_eq(events_of(id), "status:queued status:running status:cancelling status:cancelled end:cancelled");
    }
}
END_TEST

START_TEST(success_is_one_piece) {
    char id[STORE_ID_SIZE];
    struct store_job job;
    struct store_event event;
    struct store_events events;
    struct store_report report = metrics_report(&event, 10);
    struct store_ending ending = success;
    int64_t version = 0;
    ending.report = &report;
    job_new(id, 5);
    job_claim(id);
    OK(store_job_end(store, id, 1, &ending, &version, &error));
    ck_assert_int_eq(version, 1);
    OK(store_job_get(store, id, &job, &error));
    ck_assert_int_eq(job.status, STORE_SUCCEEDED);
    ck_assert_int_eq(job.model_version, 1);
    ck_assert_int_ge(job.finished_at, job.started_at);
    ck_assert_str_eq(job.metrics, "{\"loss\":0.5}");
    ck_assert_str_eq(job.error, "null");
    store_job_free(&job);
    ck_assert_str_eq(events_of(id), "status:queued status:running metrics status:succeeded end:succeeded");
    OK(store_event_list(store, id, "end", 0, 10, &events, &error));
    ck_assert_str_eq(events.items[0].data, "{\"status\":\"succeeded\",\"attempt\":1,\"model_version\":1,\"error\":null}");
    store_events_free(&events);
    ck_assert_int_eq(number("SELECT owner IS NULL FROM jobs"), 1);
}
END_TEST

/* The last step of the ending fails: nothing of it is there. */
START_TEST(half_an_ending_is_none) {
    char id[STORE_ID_SIZE];
    struct store_event event;
    struct store_report report = metrics_report(&event, 10);
    struct store_ending ending = success;
    int64_t version = 9;
    ending.report = &report;
    job_new(id, 5);
    job_claim(id);
    ck_assert(raw("CREATE TRIGGER fault BEFORE INSERT ON events WHEN new.type = 'end' BEGIN SELECT RAISE(ABORT, 'no end'); END"));
    GIVES(STORE_FAILED, store_job_end(store, id, 1, &ending, &version, &error));
    SAYS("no end");
    SAYS("record the end of the job");
    ck_assert_int_eq(version, 0);
    ck_assert_str_eq(events_of(id), "status:queued status:running");
    ck_assert_int_eq(number("SELECT count(*) FROM versions"), 0);
    ck_assert_int_eq(number("SELECT metrics = '{}' AND status = 'running' FROM jobs"), 1);
    ck_assert(raw("DROP TRIGGER fault"));
    OK(store_job_end(store, id, 1, &ending, &version, &error));
    ck_assert_int_eq(version, 1);
}
END_TEST

START_TEST(failure_reports_its_error) {
    char id[STORE_ID_SIZE];
    struct store_events events;
    job_new(id, 5);
    job_claim(id);
    OK(store_job_end(store, id, 1, &failure, NULL, &error));
    OK(store_event_list(store, id, "end", 0, 10, &events, &error));
    ck_assert_str_eq(events.items[0].data, "{\"status\":\"failed\",\"attempt\":1,\"model_version\":null,"
                                           "\"error\":{\"code\":\"diverged\",\"message\":\"The loss is not a number\"}}");
    ck_assert_str_eq(events.items[0].level, "error");
    ck_assert_str_eq(events.items[0].message, "The loss is not a number");
    store_events_free(&events);
    ck_assert_int_eq(number("SELECT error ->> '$.code' = 'diverged' FROM jobs"), 1);
}
END_TEST

START_TEST(a_cancelling_job_may_still_succeed) {
    char id[STORE_ID_SIZE];
    int64_t version = 0;
    job_new(id, 5);
    job_claim(id);
    OK(store_job_cancel(store, id, NULL, &error));
    OK(store_job_end(store, id, 1, &success, &version, &error));
    ck_assert_int_eq(version, 1);
    IS(id, "succeeded");
}
END_TEST

START_TEST(an_incomplete_ending_is_refused) {
    char id[STORE_ID_SIZE];
    job_new(id, 5);
    job_claim(id);
    GIVES(STORE_FAILED, store_job_end(store, id, 1, &(struct store_ending){.status = STORE_SUCCEEDED}, NULL, &error));
    GIVES(STORE_FAILED, store_job_end(store, id, 1, &(struct store_ending){.status = STORE_JOB_FAILED}, NULL, &error));
    GIVES(STORE_FAILED, store_job_end(store, id, 1, &(struct store_ending){.status = STORE_QUEUED}, NULL, &error));
    IS(id, "running");
}
END_TEST

START_TEST(recovery_requeues_running_jobs) {
    char queued[STORE_ID_SIZE], running[STORE_ID_SIZE], cancelling[STORE_ID_SIZE], pausing[STORE_ID_SIZE], ended[STORE_ID_SIZE],
        claimed[STORE_ID_SIZE];
    char sql[128];
    job_new(ended, 5);
    job_new(running, 5);
    job_new(cancelling, 5);
    job_new(pausing, 5);
    job_new(queued, 5);
    for (int i = 0; i < 4; i++) job_claim(claimed);
    OK(store_job_end(store, ended, 1, &success, NULL, &error));
    OK(store_job_cancel(store, cancelling, NULL, &error));
    snprintf(sql, sizeof sql, "UPDATE jobs SET status = 'pausing' WHERE id = '%s'", pausing);
    ck_assert(raw(sql));
    reopen();
    OK(store_recover(store, &error));
    IS(running, "queued");
    IS(cancelling, "cancelled");
    IS(pausing, "paused");
    IS(queued, "queued");
    IS(ended, "succeeded");
    ck_assert_str_eq(events_of(running), "status:queued status:running status:queued");
    ck_assert_str_eq(events_of(cancelling), "status:queued status:running status:cancelling status:cancelled end:cancelled");
    ck_assert_str_eq(events_of(queued), "status:queued");
    ck_assert_int_eq(number("SELECT count(*) FROM jobs WHERE owner IS NOT NULL OR failures > 0"), 0);
    OK(store_recover(store, &error)); /* again: nothing */
    ck_assert_str_eq(events_of(running), "status:queued status:running status:queued");
}
END_TEST

START_TEST(a_running_job_has_an_owner) {
    char id[STORE_ID_SIZE];
    job_new(id, 5);
    ck_assert(!raw("UPDATE jobs SET status = 'running'"));
    job_claim(id);
    ck_assert(!raw("UPDATE jobs SET owner = NULL"));
    ck_assert(!raw("UPDATE jobs SET status = 'succeeded', owner = NULL, finished_at = 1"));
    ck_assert(raw("UPDATE jobs SET status = 'cancelling'"));
}
END_TEST

Suite *suite_store_reports(void) {
    Suite *suite = suite_create("store/reports");
    TCase *tests = store_case(suite, "reports");
    tcase_add_test(tests, a_claim_takes_the_oldest);
    tcase_add_test(tests, a_report_changes_what_it_names);
    tcase_add_test(tests, a_repeated_epoch_adds_nothing);
    tcase_add_test(tests, a_report_makes_no_status);
    tcase_add_test(tests, stale_attempts_change_nothing);
    tcase_add_test(tests, failures_end_at_attempts_max);
    tcase_add_test(tests, retries_wait_longer_and_longer);
    tcase_add_test(tests, a_failed_job_always_has_a_reason);
    tcase_add_test(tests, other_returns_do_not_count);
    tcase_add_test(tests, a_cancelling_job_given_back_is_cancelled);
    tcase_add_test(tests, success_is_one_piece);
    tcase_add_test(tests, half_an_ending_is_none);
    tcase_add_test(tests, failure_reports_its_error);
    tcase_add_test(tests, a_cancelling_job_may_still_succeed);
    tcase_add_test(tests, an_incomplete_ending_is_refused);
    tcase_add_test(tests, recovery_requeues_running_jobs);
    tcase_add_test(tests, a_running_job_has_an_owner);
    return suite;
}

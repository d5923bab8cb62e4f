/* test_attempts.c - the record of the attempts of a job: each ends once, with a reason, whatever ended it. */
#include "tests/server/store/helper.h"

static struct store_attempts list;

static void read_list(const char *id) {
    store_attempts_free(&list);
    OK(store_attempt_list(store, id, STORE_ATTEMPTS_KEPT, &list, &error));
}

static void expect(const char *id, int32_t count, const char *reason, const char *message) {
    read_list(id);
    ck_assert_int_eq(list.count, count);
    ck_assert_str_eq(list.items[0].reason, reason);
    ck_assert_int_eq(list.items[0].ended_at > 0, *reason != '\0');
    if (message) ck_assert_str_eq(list.items[0].message, message);
    else ck_assert_ptr_null(list.items[0].message);
}

static struct store_attempt ended(const char *id, int64_t attempt, const char *reason) {
    struct store_attempt a = {.attempt = attempt,
                              .ended_at = store_now(),
                              .exit_code = -1,
                              .signal = 9,
                              .peak_memory = 4096,
                              .user_ms = 20,
                              .system_ms = -1,
                              .log_cut = true,
                              .message = TEXT("m"),
                              .log = TEXT("a\nb\n")};
    COPY(a.job, id);
    COPY(a.reason, reason);
    return a;
}

START_TEST(an_attempt_has_what_was_recorded) {
    char id[STORE_ID_SIZE];
    job_new(id, 5);
    read_list(id);
    ck_assert_int_eq(list.count, 0); /* it has never run */
    job_claim(id);
    expect(id, 1, "", NULL);
    ck_assert_int_eq(list.items[0].exit_code + list.items[0].signal + list.items[0].peak_memory + list.items[0].user_ms, -4);
    const struct store_attempt end = ended(id, 1, "killed");
    OK(store_attempt_end(store, &end, &error));
    expect(id, 1, "killed", "m");
    const struct store_attempt *a = list.items;
    ck_assert_int_eq(a->attempt, 1);
    ck_assert_int_eq(a->signal, 9);
    ck_assert_int_eq(a->exit_code, -1);
    ck_assert_int_eq(a->peak_memory, 4096);
    ck_assert_int_eq(a->user_ms, 20);
    ck_assert_int_eq(a->system_ms, -1);
    ck_assert(a->log_cut);
    ck_assert_str_eq(a->log, "a\nb\n");
    OK(store_job_give_back(store, id, 1, STORE_CRASHED, "{\"code\":\"worker_crashed\",\"message\":\"other\"}", &error));
    expect(id, 1, "killed", "m"); /* the first reason stays */
    ck_assert_int_eq(number("SELECT count(*) FROM attempts WHERE reason = ''"), 0);
    store_attempts_free(&list);
}
END_TEST

START_TEST(every_end_of_a_job_ends_its_attempt) {
    const struct {
        const struct store_ending *ending;
        const char *reason, *message;
    } ends[] = {{&success, "finished", NULL}, {&failure, "failed", "The loss is not a number"}, {&cancelled, "cancelled", NULL}};
    char id[STORE_ID_SIZE];
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        job_new(id, 5);
        job_claim(id);
        OK(store_job_end(store, id, 1, ends[i].ending, NULL, &error));
        expect(id, 1, ends[i].reason, ends[i].message);
        const struct store_attempt end = ended(id, 1, "crashed"); /* the process crashes on its way out: the job has its end */
        OK(store_attempt_end(store, &end, &error));
        expect(id, 1, ends[i].reason, ends[i].message);
        ck_assert_int_eq(list.items[0].signal, 9);
    }
    OK(store_job_delete(store, id, &error));
    ck_assert_int_eq(number("SELECT count(*) FROM attempts"), 2);
    const struct store_attempt late = ended(id, 1, "crashed");
    OK(store_attempt_end(store, &late, &error)); /* of a deleted job: nothing */
    ck_assert_int_eq(number("SELECT count(*) FROM attempts"), 2);
    store_attempts_free(&list);
}
END_TEST

START_TEST(a_return_says_why) {
    char id[STORE_ID_SIZE];
    job_new(id, 5);
    job_claim(id);
    OK(store_job_give_back(store, id, 1, STORE_CRASHED, "{\"code\":\"worker_crashed\",\"message\":\"Killed\"}", &error));
    expect(id, 1, "crashed", "Killed");
    job_claim(id);
    OK(store_job_give_back(store, id, 2, STORE_SERVER_STOPPED, NULL, &error));
    expect(id, 2, "server_stopped", NULL);
    job_claim(id); /* paused and resumed, before the process gave it back */
    OK(store_job_give_back(store, id, 3, STORE_PAUSE_REQUESTED, NULL, &error));
    expect(id, 3, "paused", NULL);
    ck_assert_int_eq(number("SELECT status = 'queued' FROM jobs"), 1);
    job_claim(id);
    OK(store_recover(store, &error));
    read_list(id);
    ck_assert_str_eq(list.items[0].reason, "server_crashed");
    ck_assert_int_gt(list.items[0].ended_at, 0);
    job_claim(id);
    OK(store_job_cancel(store, id, NULL, &error));
    OK(store_job_give_back(store, id, 5, STORE_SERVER_STOPPED, NULL, &error));
    expect(id, 5, "cancelled", NULL);
    store_attempts_free(&list);
}
END_TEST

START_TEST(the_newest_are_kept) {
    char id[STORE_ID_SIZE];
    job_new(id, 5);
    for (int64_t attempt = 1; attempt <= STORE_ATTEMPTS_KEPT + 5; attempt++) {
        job_claim(id);
        OK(store_job_give_back(store, id, attempt, STORE_SERVER_STOPPED, NULL, &error));
    }
    read_list(id);
    ck_assert_int_eq(list.count, STORE_ATTEMPTS_KEPT);
    ck_assert_int_eq(list.items[0].attempt, STORE_ATTEMPTS_KEPT + 5);
    ck_assert_int_eq(list.items[STORE_ATTEMPTS_KEPT - 1].attempt, 6);
    ck_assert(!list.has_more);
    store_attempts_free(&list);
}
END_TEST

Suite *suite_store_attempts(void) {
    Suite *suite = suite_create("store/attempts");
    TCase *tests = store_case(suite, "attempts");
    tcase_add_test(tests, an_attempt_has_what_was_recorded);
    tcase_add_test(tests, every_end_of_a_job_ends_its_attempt);
    tcase_add_test(tests, a_return_says_why);
    tcase_add_test(tests, the_newest_are_kept);
    return suite;
}

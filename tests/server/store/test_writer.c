/* test_writer.c - groups of operations: many threads, failing operations and commits, notifications. */
#include "tests/server/store/helper.h"

#include "server/store/changes.h"
#include "server/store/sqlite/sqlite.h"

#include <stdatomic.h>

/* ---- many threads ---- */

enum { THREADS = 16, ROUNDS = 200 };

struct worker {
    pthread_t thread;
    int index;
    int failures;
    char ids[ROUNDS / 2][STORE_ID_SIZE];
    int ids_count;
};

/* Files a job, then reports of it or cancels it or reads; every eighth operation fails by intent, amid its neighbours' group. */
static void *work(void *argument) {
    struct worker *w = argument;
    for (int round = 0; round < ROUNDS; round++) {
        struct bp_error e = {0};
        if (round % 2 == 0) {
            struct store_job job = {.model = "m", .dataset = "d", .dataset_version = round % 16 == 6 ? 99 : 1, .attempts_max = 5};
            struct store_job_new request = {.job = &job};
            store_new_id("job", job.id);
            enum store_result result = store_job_create(store, &request, &e);
            if (result != (job.dataset_version == 99 ? STORE_NOT_FOUND : STORE_OK)) w->failures++;
            if (result == STORE_OK) memcpy(w->ids[w->ids_count++], job.id, STORE_ID_SIZE);
        } else if (round % 4 == 1) {
            struct store_job job;
            struct store_event events[2] = {{.type = "metrics", .epoch = 1, .data = TEXT("{}")}, {.type = "log", .message = TEXT("x")}};
            struct store_report report = {.resumed_from_epoch = -1, .events = events, .events_count = 2, .progress = "{\"epoch\":1}"};
            char owner[16];
            snprintf(owner, sizeof owner, "w%d", w->index);
            if (store_job_claim(store, owner, 1000, NULL, &job, &e) != STORE_OK ||
                store_job_report(store, job.id, job.attempt, &report, &e) != STORE_OK ||
                store_job_end(store, job.id, job.attempt, &success, NULL, &e) != STORE_OK)
                w->failures++;
            store_job_free(&job);
        } else {
            struct store_jobs list = {0};
            struct store_job_filter filter = {.limit = 5, .model = "m"};
            if (store_job_list(store, &filter, &list, &e) != STORE_OK || list.count == 0) w->failures++;
            store_jobs_free(&list);
        }
    }
    return NULL;
}

static int id_compare(const void *a, const void *b) {
    return strcmp(a, b);
}

START_TEST(nothing_is_lost_among_threads) {
    static struct worker workers[THREADS];
    static char ids[THREADS * ROUNDS / 2][STORE_ID_SIZE];
    size_t count = 0;
    dataset_put("d");
    model_put("m");
    for (int i = 0; i < THREADS; i++) {
        workers[i].index = i;
        pthread_create(&workers[i].thread, NULL, work, &workers[i]);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(workers[i].thread, NULL);
        ck_assert_int_eq(workers[i].failures, 0);
        for (int k = 0; k < workers[i].ids_count; k++) memcpy(ids[count++], workers[i].ids[k], STORE_ID_SIZE);
    }
    qsort(ids, count, STORE_ID_SIZE, id_compare);
    for (size_t i = 1; i < count; i++) ck_assert_str_ne(ids[i - 1], ids[i]);
    reopen();
    for (size_t i = 0; i < count; i++) {
        struct store_job job;
        OK(store_job_get(store, ids[i], &job, &error));
        store_job_free(&job);
    }
    /* 100 rounds of each thread file, 13 of them (6, 22, ... 198) without success; 50 end one. */
    ck_assert_uint_eq(count, THREADS * (100 - 13));
    ck_assert_int_eq(number("SELECT count(*) FROM jobs"), THREADS * (100 - 13));
    ck_assert_int_eq(number("SELECT count(*) FROM jobs WHERE status = 'succeeded' AND attempt = 1"), THREADS * 50);
    ck_assert_int_eq(number("SELECT count(*) FROM versions"), THREADS * 50);
    ck_assert_int_eq(number("SELECT max(version) FROM versions"), THREADS * 50);
    ck_assert_int_eq(number("SELECT count(*) FROM events WHERE type = 'end'"), THREADS * 50);
    ck_assert_int_eq(number("SELECT count(*) FROM events WHERE type = 'log'"), THREADS * 50);
    ck_assert_int_eq(number("SELECT count(*) FROM events"), THREADS * (87 + 50 * 5));
    ck_assert_int_eq(
        number("SELECT count(*) FROM (SELECT status, count(*) AS n FROM jobs GROUP BY status) JOIN job_counts USING (status) WHERE n <> count"), 0);
}
END_TEST

/* ---- groups made on purpose: one operation holds the writer while others queue up behind it ---- */

static atomic_int inside, leave;

static enum store_result hold(struct writer *writer, void *argument, struct bp_error *e) {
    (void)writer, (void)argument, (void)e;
    atomic_store(&inside, 1);
    while (!atomic_load(&leave)) nap();
    return STORE_OK;
}

struct caller {
    pthread_t thread;
    change *run;
    void *argument;
    enum store_result result;
    struct bp_error error;
};

static void *call(void *argument) {
    struct caller *caller = argument;
    caller->result = writer_run(store, "test a group", caller->run, caller->argument, &caller->error);
    return NULL;
}

static void caller_start(struct caller *caller, change *run, void *argument) {
    *caller = (struct caller){.run = run, .argument = argument};
    pthread_create(&caller->thread, NULL, call, caller);
}

static enum store_result add(struct writer *writer, void *name, struct bp_error *e) {
    bool created;
    return model_set(writer, name, "{}", false, &created, e);
}

static enum store_result add_and_fail(struct writer *writer, void *name, struct bp_error *e) {
    bool created;
    if (model_set(writer, name, "{}", false, &created, e) != STORE_OK || !writer_notify(writer, name)) return STORE_FAILED;
    bp_error_set(e, "", "on purpose");
    return STORE_CONFLICT;
}

/* As SQLite does by itself on some errors (a full disk, no memory). */
static enum store_result lose_the_transaction(struct writer *writer, void *argument, struct bp_error *e) {
    (void)argument;
    db_run(writer_connection(writer), "ROLLBACK", NONE, e);
    bp_error_set(e, "", "transaction lost");
    return STORE_FAILED;
}

static void group_of_three(struct caller callers[3], change *middle) {
    struct caller holder;
    atomic_store(&inside, 0);
    atomic_store(&leave, 0);
    caller_start(&holder, hold, NULL);
    EVENTUALLY(atomic_load(&inside));
    change *const runs[3] = {add, middle, add};
    static const char *const names[3] = {"first", "second", "third"};
    for (int i = 0; i < 3; i++) {
        caller_start(&callers[i], runs[i], TEXT(names[i]));
        EVENTUALLY(writer_queued(store->writer) == i + 1);
    }
    atomic_store(&leave, 1);
    pthread_join(holder.thread, NULL);
    for (int i = 0; i < 3; i++) pthread_join(callers[i].thread, NULL);
}

START_TEST(a_failing_operation_leaves_its_neighbours) {
    struct caller callers[3];
    group_of_three(callers, add_and_fail);
    ck_assert_int_eq(callers[0].result, STORE_OK);
    ck_assert_int_eq(callers[1].result, STORE_CONFLICT);
    ck_assert_str_eq(callers[1].error.message, "on purpose");
    ck_assert_int_eq(callers[2].result, STORE_OK);
    ck_assert_int_eq(number("SELECT count(*) FROM models WHERE name IN ('first', 'third')"), 2);
    ck_assert_int_eq(number("SELECT count(*) FROM models"), 2);
}
END_TEST

START_TEST(a_lost_transaction_is_reported_to_all_in_it) {
    struct caller callers[3];
    group_of_three(callers, lose_the_transaction);
    ck_assert_int_eq(callers[0].result, STORE_FAILED);
    ck_assert_str_eq(callers[0].error.message, "transaction lost");
    ck_assert_int_eq(callers[1].result, STORE_FAILED);
    ck_assert_int_eq(callers[2].result, STORE_OK); /* in a transaction of its own */
    ck_assert_int_eq(number("SELECT count(*) FROM models"), 1);
}
END_TEST

/* Its savepoint is gone: what it did cannot be undone alone. */
static enum store_result fail_beyond_undoing(struct writer *writer, void *name, struct bp_error *e) {
    add(writer, name, e);
    db_run(writer_connection(writer), "RELEASE operation", NONE, e);
    bp_error_set(e, "", "half done");
    return STORE_FAILED;
}

START_TEST(failed_rollbacks_are_not_committed) {
    struct caller callers[3];
    group_of_three(callers, fail_beyond_undoing);
    ck_assert_int_eq(callers[0].result, STORE_FAILED);
    ck_assert_str_eq(callers[0].error.message, "half done");
    ck_assert_int_eq(callers[1].result, STORE_FAILED);
    ck_assert_int_eq(callers[2].result, STORE_OK);
    ck_assert_int_eq(number("SELECT count(*) FROM models WHERE name = 'third'"), 1);
    ck_assert_int_eq(number("SELECT count(*) FROM models"), 1);
}
END_TEST

/* The third commit: after that of the operation that sets the hook and that of the one that holds the writer comes the group's. */
static int refuse(void *counter) {
    return ++*(int *)counter == 3;
}

static enum store_result refuse_third_commit(struct writer *writer, void *counter, struct bp_error *e) {
    (void)e;
    sqlite3_commit_hook(writer_connection(writer)->db, refuse, counter);
    return STORE_OK;
}

START_TEST(a_failing_commit_fails_its_whole_group) {
    struct caller callers[3];
    int commits = 0;
    OK(writer_run(store, "set a hook", refuse_third_commit, &commits, &error));
    group_of_three(callers, add_and_fail);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(callers[i].result, STORE_FAILED);
        ck_assert_msg(strstr(callers[i].error.message, "cannot commit") != NULL, "%s", callers[i].error.message);
    }
    ck_assert_int_eq(number("SELECT count(*) FROM models"), 0);
    model_put("after");
    ck_assert_int_eq(number("SELECT count(*) FROM models"), 1);
}
END_TEST

/* Files are removed after the commit only: not when it fails. */
START_TEST(a_failing_commit_removes_no_file) {
    int commits = 1;
    dataset_put("d");
    OK(writer_run(store, "set a hook", refuse_third_commit, &commits, &error));
    GIVES(STORE_FAILED, store_dataset_delete(store, "d", 0, &error));
    OK(store_ping(store, &error)); /* nor at the next commit */
    ck_assert(file_there("datasets", "d-1.bpc"));
    OK(store_dataset_delete(store, "d", 0, &error));
    ck_assert(!file_there("datasets", "d-1.bpc"));
}
END_TEST

/* ---- notifications after a commit ---- */

static pthread_mutex_t notified_mutex = PTHREAD_MUTEX_INITIALIZER;
static char notified_jobs[64][STORE_ID_SIZE];
static int notified_count;

static void committed(void *context, const char *job) {
    ck_assert_ptr_eq(context, &notified_count);
    if (strcmp(job, STORE_CHANGES) == 0) return;
    pthread_mutex_lock(&notified_mutex);
    COPY(notified_jobs[notified_count++ % 64], job);
    pthread_mutex_unlock(&notified_mutex);
}

START_TEST(each_job_is_notified_once_per_commit) {
    char id[STORE_ID_SIZE];
    struct caller callers[3];
    struct store_event events[3] = {{.type = "log"}, {.type = "metrics", .epoch = 1}, {.type = "log"}};
    struct store_report report = {.resumed_from_epoch = -1, .events = events, .events_count = 3};
    store_close(store);
    OK(store_open(folder, &(struct store_options){.queue_max = 9, .committed = committed, .context = &notified_count}, &store, &error));
    job_new(id, 5);
    job_claim(id);
    OK(store_job_report(store, id, 1, &report, &error));
    OK(store_job_end(store, id, 1, &success, NULL, &error));
    GIVES(STORE_STALE, store_job_report(store, id, 1, &report, &error));
    group_of_three(callers, add_and_fail); /* a failure notifies nothing */
    store_close(store);                    /* waits for the writer thread */
    store = NULL;
    ck_assert_int_eq(notified_count, 4);
    for (int i = 0; i < 4; i++) ck_assert_str_eq(notified_jobs[i], id);
}
END_TEST

Suite *suite_store_writer(void) {
    Suite *suite = suite_create("store/writer");
    TCase *tests = store_case(suite, "writer");
    tcase_add_test(tests, nothing_is_lost_among_threads);
    tcase_add_test(tests, a_failing_operation_leaves_its_neighbours);
    tcase_add_test(tests, a_lost_transaction_is_reported_to_all_in_it);
    tcase_add_test(tests, failed_rollbacks_are_not_committed);
    tcase_add_test(tests, a_failing_commit_fails_its_whole_group);
    tcase_add_test(tests, a_failing_commit_removes_no_file);
    tcase_add_test(tests, each_job_is_notified_once_per_commit);
    return suite;
}

/* test_allocations.c - memory runs out in the store: for every N the Nth allocation of a job's life fails, in the caller's thread, the writer's or in
 * SQLite. Every operation either succeeds or fails with a message; afterwards the store works, and nothing is half done. */
#include "tests/server/store/helper.h"

#include "server/store/sqlite/sqlite.h"
#include "tests/allocations.h"
#include "tests/skip.h"

#include <stdlib.h>

enum { STEPS = 15 };

/* The life of a job, step by step; a step that fails is tried again with memory. Returns how many failed. */
struct life {
    long nth; /* the allocation that fails in each step, 0: none */
    int failed, done;
    char id[STORE_ID_SIZE];
    int64_t attempt, version;
    const char *wrong; /* a failure without a reason */
    char said[640];
};

static enum store_result step(struct life *l, int which, struct bp_error *e) {
    struct store_job job = {.model = "m", .dataset = "d", .dataset_version = 1, .attempts_max = 5};
    struct store_job_new request = {.job = &job};
    struct store_event event = {.type = "metrics", .level = "info", .epoch = 1, .data = (char *)(uintptr_t) "{\"epoch\":1}"};
    const struct store_report report = {
        .progress = "{\"epoch\":1}", .metrics = "{\"loss\":1}", .resumed_from_epoch = -1, .events = &event, .events_count = 1};
    struct store_ending ending = {.status = STORE_SUCCEEDED, .version_document = "{}", .blob = "weights", .blob_size = 7, .report = &report};
    struct store_job_filter filter = {.limit = 10};
    struct store_jobs jobs = {0};
    struct store_events events = {0};
    struct store_alias alias;
    struct store_aliases aliases = {0};
    const char *const tags[] = {"one", "two"};
    const struct store_notes notes = {.notes = "fine", .tags = tags, .tags_count = 2, .if_change = -1};
    struct store_alias_change move = {.model = "m", .name = "production", .version = l->version};
    const struct store_alias_change served = {.model = "m", .name = STORE_ALIAS_DEFAULT};
    bool created;
    enum store_result result;
    switch (which) {
    case 0: snprintf(job.id, sizeof job.id, "%s", l->id); return store_job_create(store, &request, e);
    case 1:
        result = store_job_claim(store, "tester", 60000, NULL, &job, e);
        if (result == STORE_OK) l->attempt = job.attempt;
        store_job_free(&job);
        return result;
    case 2: return store_job_report(store, l->id, l->attempt, &report, e);
    case 3:
        result = store_job_get(store, l->id, &job, e);
        store_job_free(&job);
        return result;
    case 4:
        result = store_job_list(store, &filter, &jobs, e);
        store_jobs_free(&jobs);
        return result;
    case 5:
        result = store_event_list(store, l->id, NULL, 0, 10, &events, e);
        store_events_free(&events);
        return result;
    case 6: return store_job_end(store, l->id, l->attempt, &ending, &l->version, e);
    case 7: return store_alias_set(store, &move, &alias, &created, e);
    case 8: return store_version_annotate(store, "m", l->version, &notes, e);
    case 9:
        result = store_alias_history(store, "m", "production", 0, 10, &aliases, e);
        store_aliases_free(&aliases);
        return result;
    case 10: return store_alias_delete(store, &move, e);
    case 11: return store_alias_delete(store, &served, e);
    case 12: return store_version_delete(store, "m", l->version, e);
    case 13: return store_ping(store, e);
    default: return store_job_delete(store, l->id, e);
    }
}

static void live(struct life *l) {
    store_new_id("job", l->id);
    for (int i = 0; i < STEPS; i++) {
        struct bp_error e = {0};
        test_allocations_fail(l->nth);
        enum store_result result = step(l, i, &e);
        test_allocations_fail(0);
        l->done++;
        if (result == STORE_OK) continue;
        l->failed++;
        if (e.code != BP_ERROR_MEMORY && !l->wrong) {
            l->wrong = "a step failed without saying that there is no memory";
            snprintf(l->said, sizeof l->said, "step %d, allocation %ld: %s", i, l->nth, e.message);
        }
        e = (struct bp_error){0};
        result = step(l, i, &e); /* nothing of the first try is in the way */
        if (result != STORE_OK && !l->wrong) {
            l->wrong = "a step cannot be repeated";
            snprintf(l->said, sizeof l->said, "step %d, allocation %ld: %d %s", i, l->nth, (int)result, e.message);
        }
    }
}

START_TEST(every_allocation_may_fail) {
    if (test_allocations() < 0) SKIP_TEST("allocations are not counted with a sanitizer");
    dataset_put("d");
    model_put("m");
    struct life plain = {0};
    live(&plain);
    ck_assert_msg(plain.failed == 0, "%s", plain.said);
    int without = 0;
    long last = 0;
    for (long nth = 1; without < 5; nth++) { /* five in a row that no step reaches */
        struct life l = {.nth = nth};
        live(&l);
        ck_assert_msg(l.wrong == NULL, "%s: %s", l.wrong, l.said);
        without = l.failed ? 0 : without + 1;
        last = nth;
    }
    ck_assert_int_gt(last, 20);
    ck_assert_int_eq(number("SELECT count(*) FROM jobs"), 0);
    ck_assert_int_eq(number("SELECT count(*) FROM pragma_integrity_check WHERE integrity_check = 'ok'"), 1);
    /* What stays allocated is what SQLite keeps, which does not grow with the failures. */
    const long before = test_live_blocks();
    for (long nth = 1; nth < last; nth++) {
        struct life l = {.nth = nth};
        live(&l);
    }
    ck_assert_int_lt(test_live_blocks() - before, last / 4 + 10);
}
END_TEST

START_TEST(opening_without_memory) {
    char path[512];
    struct store *other = NULL;
    if (test_allocations() < 0) SKIP_TEST("allocations are not counted with a sanitizer");
    snprintf(path, sizeof path, "%s/new", folder);
    OK(store_open(path, &options, &other, &error));
    store_close(other);
    for (long nth = 1;; nth++) {
        struct bp_error e = {0};
        test_allocations_fail(nth);
        const enum store_result result = store_open(path, &options, &other, &e);
        test_allocations_fail(0);
        if (result == STORE_OK) {
            store_close(other);
            if (nth > 100) break; /* SQLite goes on without some caches */
            continue;
        }
        ck_assert_ptr_null(other);
        ck_assert_msg(e.code == BP_ERROR_MEMORY, "allocation %ld: %s", nth, e.message);
    }
    OK(store_open(path, &options, &other, &error));
    store_close(other);
}
END_TEST

Suite *suite_store_allocations(void) {
    Suite *suite = suite_create("store/allocations");
    TCase *tests = store_case(suite, "allocations");
    tcase_add_test(tests, every_allocation_may_fail);
    tcase_add_test(tests, opening_without_memory);
    return suite;
}

/* test_calls.c - for every N the Nth call that changes the disk fails, once or from then on, with EIO or ENOSPC. Each step of a life either succeeds
 * or fails with a reason; afterwards the same store goes on, without a restart, and a restart finds everything that was acknowledged. */
#include "tests/faults/disk.h"
#include "tests/faults/faults.h"
#include "tests/faults/life.h"
#include "tests/server/store/helper.h"

#include <errno.h>

struct fault {
    unsigned kinds;
    const char *name;
    int cause;
    bool forever;
};

static struct world look(struct store *opened, const char *job, const char *when) {
    struct world world;
    char text[600] = "";
    disk_pause(true);
    ck_assert_msg(life_look(opened, job, &world, text) == 0, "%s: %s", when, text);
    disk_pause(false);
    return world;
}

/* False: no call is the nth any more. */
static bool live(const struct fault *fault, long nth) {
    struct life life = {0};
    struct world known = {0};
    char when[300], text[600];
    long failed = 0;
    store_new_id("job", life.job);
    disk_fail(fault->kinds, nth, fault->cause, fault->forever);
    struct bp_error e = {0};
    enum store_result result = store_open(folder, &options, &life.store, &e);
    failed += disk_failed();
    if (result != STORE_OK) {
        ck_assert_msg(disk_failed() > 0 && *e.message, "%s %ld: the folder cannot be opened: %s", fault->name, nth, e.message);
        disk_fail(0, 0, 0, false);
        OK(store_open(folder, &options, &life.store, &error));
    }
    for (int step = 0; step < LIFE_STEPS; step++) {
        const struct world after = life_after(step, known);
        snprintf(when, sizeof when, "%s call %ld fails%s (%s)", fault->name, nth, fault->forever ? " and all after it" : "", life_step_name(step));
        e = (struct bp_error){0};
        result = life_step(&life, step, &e);
        const long now = disk_failed();
        failed += now;
        if (result != STORE_OK) {
            ck_assert_msg(now > 0, "%s: nothing failed, but: %s", when, e.message);
            ck_assert_msg(*e.message, "%s: no reason is given", when);
            disk_fail(0, 0, 0, false);
            const struct world found = look(life.store, life.job, when);
            ck_assert_msg(life_is_between(&found, &known, &after, text), "%s: %s", when, text);
            if (memcmp(&found, &after, sizeof after) != 0) {
                e = (struct bp_error){0};
                result = life_step(&life, step, &e);
                ck_assert_msg(result == STORE_OK, "%s: the step cannot be repeated: %s", when, e.message);
            } else if (step == 3) life.attempt = 1;
        }
        known = after;
        const struct world found = look(life.store, life.job, when);
        ck_assert_msg(life_is_between(&found, &known, &known, text), "%s: %s", when, text);
        if (step % 4 != 3) continue;
        store_close(life.store);
        failed += disk_failed() - now;
        disk_fail(0, 0, 0, false);
        OK(store_open(folder, &options, &life.store, &error));
        const struct world again = look(life.store, life.job, "after a restart");
        ck_assert_msg(life_is_between(&again, &known, &known, text), "%s: after a restart: %s", when, text);
    }
    store_close(life.store);
    disk_fail(0, 0, 0, false);
    ck_assert_int_eq(number("SELECT count(*) FROM pragma_integrity_check WHERE integrity_check = 'ok'"), 1);
    ck_assert_int_eq(number("SELECT count(*) FROM pragma_foreign_key_check"), 0);
    return failed > 0;
}

static const struct fault faults[] = {
    {DISK_WRITE, "write", EIO, false},       {DISK_WRITE, "write", ENOSPC, false}, {DISK_WRITE, "write", ENOSPC, true},
    {DISK_WRITE, "write", EIO, true},        {DISK_SYNC, "sync", EIO, false},      {DISK_SYNC, "sync", EIO, true},
    {DISK_TRUNCATE, "truncate", EIO, false}, {DISK_OPEN, "open", EIO, false},      {DISK_NAME, "name", EIO, false},
    {DISK_NAME, "name", ENOSPC, true},       {DISK_ALL, "any", EIO, false},
};

START_TEST(the_nth_call_fails) {
    const struct fault *fault = &faults[_i];
    const long stride = faults_all() ? 1 : 7;
    long nth = 1 + _i % stride, tried = 0;
    bool reached = true;
    for (; reached; nth += stride, tried++) {
        folder_make();
        reached = live(fault, nth);
        folder_remove();
    }
    ck_assert_int_ge(tried, fault->kinds == DISK_TRUNCATE ? 1 : 2);
    printf("%s%s: %ld lives\n", fault->name, fault->forever ? " and all after it" : "", tried);
}
END_TEST

Suite *suite_calls(void) {
    Suite *suite = suite_create("faults/calls");
    TCase *tests = tcase_create("calls");
    tcase_set_timeout(tests, faults_all() ? 3600 : 240); /* against a hang only */
    tcase_add_loop_test(tests, the_nth_call_fails, 0, (int)(sizeof faults / sizeof *faults));
    suite_add_tcase(suite, tests);
    return suite;
}

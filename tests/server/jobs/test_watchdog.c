/* test_watchdog.c - when a process counts as silent or stuck, on a clock that the test moves. */
#include "server/jobs/watchdog.h"

#include <check.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

Suite *suite_jobs_watchdog(void);

enum { LIMIT = 8000, PERIOD = 1000 };

static struct pulse *pulse;
static struct watch watch;
static int64_t now;

static void setup(void) {
    int fd;
    ck_assert_ptr_nonnull(pulse = pulse_new(&fd));
    close(fd);
    watch = (struct watch){.looked_at = now = 500};
    ck_assert_int_eq(watch_period(LIMIT), PERIOD);
}

static void teardown(void) {
    pulse_free(pulse);
}

/* Looks every second; returns after how many it was not alive any more, 0: it still is. */
static int look(int times, bool beats, bool works, bool waits, enum watch_finding *found) {
    for (int i = 1; i <= times; i++) {
        now += PERIOD;
        if (beats) atomic_fetch_add(&pulse->beats, 1);
        if (works) atomic_fetch_add(&pulse->progress, 1);
        if ((*found = watch_look(&watch, pulse, now, LIMIT, waits)) != WATCH_ALIVE) return i;
    }
    return 0;
}

START_TEST(a_stopped_process_is_silent) {
    enum watch_finding found;
    ck_assert_int_eq(look(100, true, true, false, &found), 0);
    ck_assert_int_eq(look(100, false, false, false, &found), 8);
    ck_assert_int_eq(found, WATCH_SILENT);
}
END_TEST

START_TEST(a_beat_begins_the_count_again) {
    enum watch_finding found;
    for (int i = 0; i < 10; i++) {
        ck_assert_int_eq(look(7, false, false, false, &found), 0);
        ck_assert_int_eq(look(1, true, true, false, &found), 0);
    }
}
END_TEST

START_TEST(threads_that_wait_for_each_other_are_stuck) {
    enum watch_finding found;
    ck_assert_int_eq(look(3, true, true, false, &found), 0);
    ck_assert_int_eq(look(100, true, false, false, &found), 8);
    ck_assert_int_eq(found, WATCH_STUCK);
}
END_TEST

START_TEST(a_process_that_waits_for_the_server_is_not) {
    enum watch_finding found;
    ck_assert_int_eq(look(100, true, false, true, &found), 0);
    ck_assert_int_eq(look(100, true, false, false, &found), 8); /* from the end of the wait on */
}
END_TEST

START_TEST(a_suspended_machine_counts_little) {
    enum watch_finding found;
    for (int i = 0; i < 3; i++) {
        now += 3600000; /* nobody had any time */
        ck_assert_int_eq(watch_look(&watch, pulse, now, LIMIT, false), WATCH_ALIVE);
    }
    ck_assert_int_eq(look(1, true, true, false, &found), 0);
    now -= 7200000; /* a clock that goes back */
    ck_assert_int_eq(watch_look(&watch, pulse, now, LIMIT, false), WATCH_ALIVE);
}
END_TEST

START_TEST(the_process_cannot_shrink_the_page) {
    int fd;
    struct pulse *page = pulse_new(&fd);
    ck_assert_ptr_nonnull(page);
    ck_assert_int_eq(ftruncate(fd, 0), -1);
    ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, 0), -1);
    struct pulse *other = pulse_join(fd);
    atomic_store(&other->phase, 1000);
    ck_assert_str_eq(pulse_phase_name(atomic_load(&page->phase)), "unknown");
    atomic_store(&other->phase, PULSE_TRAINING);
    ck_assert_str_eq(pulse_phase_name(atomic_load(&page->phase)), "training");
    pulse_free(page);
    pulse_free(other);
    close(fd);
}
END_TEST

Suite *suite_jobs_watchdog(void) {
    Suite *suite = suite_create("jobs/watchdog");
    TCase *tests = tcase_create("watchdog");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, a_stopped_process_is_silent);
    tcase_add_test(tests, a_beat_begins_the_count_again);
    tcase_add_test(tests, threads_that_wait_for_each_other_are_stuck);
    tcase_add_test(tests, a_process_that_waits_for_the_server_is_not);
    tcase_add_test(tests, a_suspended_machine_counts_little);
    tcase_add_test(tests, the_process_cannot_shrink_the_page);
    suite_add_tcase(suite, tests);
    return suite;
}

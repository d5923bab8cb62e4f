/* test_drift.c - counters in windows of time: what is in the hour, the day and the week, at any time. */
#include "server/drift.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

Suite *suite_drift(void);

enum { BINS = 3, HOUR = 3600, DAY = 24 * HOUR };
static const int64_t noon = 20000 * (int64_t)DAY + 12 * HOUR;

/* What a window holds at that time, in its first bin; the rows agree. */
static int64_t held(const struct drift_counts *c, enum drift_window window, int64_t at) {
    uint64_t sums[BINS];
    const int64_t rows = drift_counts_sum(c, window, at, sums);
    ck_assert_int_eq(rows, (int64_t)(sums[0] + sums[1] + sums[2]));
    ck_assert_int_eq(rows, drift_counts_rows(c, window, at));
    return (int64_t)sums[0];
}

START_TEST(rows_leave_their_windows) {
    struct drift_counts *c = drift_counts_new(BINS);
    drift_counts_add(c, noon, 3, (const uint64_t[]){2, 1, 0});
    drift_counts_add(c, noon + HOUR - 1, 1, (const uint64_t[]){1, 0, 0});
    ck_assert_int_eq(held(c, DRIFT_HOUR, noon + HOUR - 1), 3);
    ck_assert_int_eq(held(c, DRIFT_HOUR, noon + HOUR), 0);
    ck_assert_int_eq(held(c, DRIFT_DAY, noon + 23 * HOUR + HOUR - 1), 3);
    ck_assert_int_eq(held(c, DRIFT_DAY, noon + DAY), 0);
    ck_assert_int_eq(held(c, DRIFT_WEEK, noon + 6 * DAY), 3);
    ck_assert_int_eq(held(c, DRIFT_WEEK, noon + 7 * DAY), 0);
    ck_assert_int_eq(held(c, DRIFT_DAY, noon - HOUR), 0); /* a clock that was set back */
    drift_counts_free(c);
}
END_TEST

START_TEST(a_slot_is_used_again) {
    struct drift_counts *c = drift_counts_new(BINS);
    for (int hour = 0; hour < 100; hour++) drift_counts_add(c, noon + hour * (int64_t)HOUR, 1, (const uint64_t[]){1, 0, 0});
    const int64_t end = noon + 99 * (int64_t)HOUR;
    ck_assert_int_eq(held(c, DRIFT_HOUR, end), 1);
    ck_assert_int_eq(held(c, DRIFT_DAY, end), 24);
    ck_assert_int_eq(held(c, DRIFT_WEEK, end), 100);
    drift_counts_add(c, noon, 5, (const uint64_t[]){5, 0, 0}); /* an hour that is over for long: only the day takes it */
    ck_assert_int_eq(held(c, DRIFT_DAY, end), 24);
    ck_assert_int_eq(held(c, DRIFT_WEEK, end), 105);
    drift_counts_free(c);
}
END_TEST

START_TEST(bytes_and_back) {
    struct drift_counts *c = drift_counts_new(BINS), *other = drift_counts_new(BINS), *wider = drift_counts_new(BINS + 1);
    size_t size;
    drift_counts_add(c, noon, 3, (const uint64_t[]){2, 1, 0});
    drift_counts_add(other, noon, 1, (const uint64_t[]){1, 0, 0});
    char *bytes = drift_counts_pack(c, &size);
    ck_assert_int_eq(drift_counts_unpack(other, bytes, size), 0); /* both count */
    ck_assert_int_eq(held(other, DRIFT_DAY, noon), 3);
    ck_assert_int_eq(held(other, DRIFT_WEEK, noon), 3);
    ck_assert_int_eq(drift_counts_unpack(wider, bytes, size), -1);
    for (size_t cut = 0; cut < size; cut++) {
        char *copy = malloc(cut + 1);
        memcpy(copy, bytes, cut);
        const int failed = drift_counts_unpack(other, copy, cut);
        ck_assert_int_eq(failed, cut == 16 || (cut - 16) % (8 * (3 + BINS)) == 0 ? (cut < 16 ? -1 : 0) : -1);
        free(copy);
        if (!failed) break; /* whole slots alone are fine */
    }
    bytes[0] ^= 1;
    ck_assert_int_eq(drift_counts_unpack(other, bytes, size), -1);
    free(bytes);
    drift_counts_free(c);
    drift_counts_free(other);
    drift_counts_free(wider);
}
END_TEST

Suite *suite_drift(void) {
    Suite *suite = suite_create("drift");
    TCase *tests = tcase_create("drift");
    tcase_add_test(tests, rows_leave_their_windows);
    tcase_add_test(tests, a_slot_is_used_again);
    tcase_add_test(tests, bytes_and_back);
    suite_add_tcase(suite, tests);
    return suite;
}

/* test_metrics.c - engine/metrics/: literal values, worked out by hand (and with scikit-learn for the macro averages). */
#include "support.h"

#include <math.h>
#include <string.h>

/* The metric over the samples, fed in two batches: streaming must not matter. */
static double measure(const char *name, int32_t classes, int32_t width, int32_t n, const bp_real *p, const bp_real *y, const bp_real *w) {
    const struct bp_metric_ops *metric = (const struct bp_metric_ops *)bp_family_find(&bp_metrics, name);
    double state[64] = {0};
    ck_assert_ptr_nonnull(metric);
    ck_assert_int_le(metric->state_size(classes, width, n), 64);
    const int32_t y_width = classes ? 1 : width, half = n / 2;
    struct bp_metric_call call = {.batch = half, .width = width, .classes = classes, .predictions = p, .y = y, .weights = w, .unit = 2, .origin = 10};
    metric->update(state, &call);
    call.batch = n - half;
    call.predictions = p + half * width;
    call.y = y + half * y_width;
    call.weights = w ? w + half : NULL;
    metric->update(state, &call);
    return metric->result(state, classes, width);
}

#define check(value, expected) ck_assert_double_eq_tol(value, expected, 1e-9)

START_TEST(two_classes_one_output) {
    const bp_real p[6] = {0.9f, 0.5f, 0.2f, 0.7f, 0.1f, 0.4f}, y[6] = {1, 1, 1, 0, 0, 0}, w[6] = {1, 2, 3, 4, 5, 6};
    check(measure("accuracy", 2, 1, 6, p, y, NULL), 4.0 / 6);
    check(measure("precision", 2, 1, 6, p, y, NULL), 2.0 / 3);
    check(measure("recall", 2, 1, 6, p, y, NULL), 2.0 / 3);
    check(measure("f1", 2, 1, 6, p, y, NULL), 2.0 / 3);
    check(measure("balanced_accuracy", 2, 1, 6, p, y, NULL), 2.0 / 3);
    check(measure("matthews_correlation", 2, 1, 6, p, y, NULL), 1.0 / 3);
    ck_assert_double_eq_tol(measure("log_loss", 2, 1, 6, p, y, NULL), -(log(0.9) + log(0.5) + log(0.2) + log(0.3) + log(0.9) + log(0.6)) / 6, 1e-7);
    check(measure("accuracy", 2, 1, 6, p, y, w), 14.0 / 21);
    check(measure("balanced_accuracy", 2, 1, 6, p, y, w), (3.0 / 6 + 11.0 / 15) / 2);
    check(measure("precision", 2, 1, 6, p, y, w), 3.0 / 7);
    check(measure("recall", 2, 1, 6, p, y, w), 3.0 / 6);
    check(measure("f1", 2, 1, 6, p, y, w), 6.0 / 13);
}
END_TEST

START_TEST(two_classes_two_outputs) {
    const bp_real p[8] = {0.1f, 0.9f, 0.6f, 0.4f, 0.3f, 0.7f, 0.8f, 0.2f}, y[4] = {1, 1, 0, 0};
    check(measure("accuracy", 2, 2, 4, p, y, NULL), 0.5);
    check(measure("precision", 2, 2, 4, p, y, NULL), 0.5);
    check(measure("recall", 2, 2, 4, p, y, NULL), 0.5);
}
END_TEST

/* truth 0 0 1 1 2, guess 0 1 1 1 0: precision 1/2, 2/3, 0; recall 1/2, 1, 0; f1 1/2, 4/5, 0. */
START_TEST(three_classes) {
    const bp_real p[15] = {1, 0, 0, 0, 1, 0, 0, 1, 0, 0, 1, 0, 1, 0, 0}, y[5] = {0, 0, 1, 1, 2};
    check(measure("accuracy", 3, 3, 5, p, y, NULL), 0.6);
    check(measure("balanced_accuracy", 3, 3, 5, p, y, NULL), 0.5);
    /* n 5, right 3; of the classes 2, 2, 1, predicted 2, 3, 0: (15 - 10) / sqrt((25 - 9) (25 - 13)) */
    check(measure("matthews_correlation", 3, 3, 5, p, y, NULL), 5 / sqrt(16 * 12));
    check(measure("log_loss", 3, 3, 5, p, y, NULL), -2 * log(1e-15) / 5);
    check(measure("precision", 3, 3, 5, p, y, NULL), (0.5 + 2.0 / 3) / 3);
    check(measure("recall", 3, 3, 5, p, y, NULL), 0.5);
    check(measure("f1", 3, 3, 5, p, y, NULL), 1.3 / 3);
    /* a class that occurs nowhere does not count */
    const bp_real q[6] = {1, 0, 0, 0, 1, 0}, z[2] = {0, 1};
    check(measure("f1", 3, 3, 2, q, z, NULL), 1);
}
END_TEST

START_TEST(undefined_is_not_a_number) {
    const bp_real none[2] = {0.1f, 0.2f}, zeros[2] = {0, 0}, ones[2] = {1, 1};
    ck_assert(isnan(measure("precision", 2, 1, 2, none, ones, NULL)));
    check(measure("recall", 2, 1, 2, none, ones, NULL), 0);
    ck_assert(isnan(measure("recall", 2, 1, 2, none, zeros, NULL)));
    ck_assert(isnan(measure("f1", 2, 1, 2, none, zeros, NULL)));
    ck_assert(isnan(measure("balanced_accuracy", 2, 1, 2, none, ones, zeros)));
    ck_assert(isnan(measure("matthews_correlation", 2, 1, 2, none, ones, zeros)));
    check(measure("matthews_correlation", 2, 1, 2, none, ones, NULL), 0);
    ck_assert(isnan(measure("log_loss", 2, 1, 2, none, ones, zeros)));
    ck_assert(isnan(measure("r2", 0, 1, 2, none, ones, NULL)));
    ck_assert(isnan(measure("mae", 0, 1, 2, none, ones, zeros)));
}
END_TEST

/* unit is 2: errors 1, -2, 0, 1 in the network's numbers are 2, -4, 0, 2 in the target's. */
START_TEST(regression_in_the_targets_own_unit) {
    const bp_real p[4] = {2, 0, 3, 5}, y[4] = {1, 2, 3, 4}, w[4] = {1, 1, 0, 2};
    check(measure("mae", 0, 1, 4, p, y, NULL), 2);
    check(measure("rmse", 0, 1, 4, p, y, NULL), sqrt(6));
    check(measure("r2", 0, 1, 4, p, y, NULL), 1 - 6.0 / 5);
    check(measure("mae", 0, 1, 4, p, y, w), 2.5);
    check(measure("rmse", 0, 1, 4, p, y, w), sqrt(28.0 / 4));
    /* weighted mean of y is 11/4: squares about it (49 + 9 + 2 25) / 16 = 6.75; errors 1 + 4 + 2 = 7 */
    check(measure("r2", 0, 1, 4, p, y, w), 1 - 7 / 6.75);
    /* two outputs: r2 is the mean of each one's */
    const bp_real q[4] = {1, 1, 3, 2}, z[4] = {1, 1, 3, 3};
    check(measure("mae", 0, 2, 2, q, z, NULL), 0.5);
    check(measure("r2", 0, 2, 2, q, z, NULL), (1 + 0.5) / 2);
}
END_TEST

START_TEST(every_metric_says_which_way_is_up) {
    for (int32_t i = 0; i < bp_metrics.count; i++) {
        const struct bp_metric_ops *metric = (const struct bp_metric_ops *)bp_metrics.entries[i];
        const bool error = !strcmp(metric->entry.name, "mae") || !strcmp(metric->entry.name, "log_loss") || !strcmp(metric->entry.name, "rmse");
        ck_assert(metric->higher_is_better != error);
        ck_assert(metric->kinds == BP_METRIC_CLASSIFICATION || metric->kinds == BP_METRIC_REGRESSION);
        ck_assert_int_gt(metric->state_size(3, 3, 10), 0);
    }
}
END_TEST

Suite *suite_metrics(void);
Suite *suite_metrics(void) {
    Suite *suite = suite_create("metrics");
    TCase *tests = tcase_create("metrics");
    tcase_add_test(tests, two_classes_one_output);
    tcase_add_test(tests, two_classes_two_outputs);
    tcase_add_test(tests, three_classes);
    tcase_add_test(tests, undefined_is_not_a_number);
    tcase_add_test(tests, regression_in_the_targets_own_unit);
    tcase_add_test(tests, every_metric_says_which_way_is_up);
    suite_add_tcase(suite, tests);
    return suite;
}

/* test_metrics.c - engine/metrics/: literal values, worked out by hand (and with scikit-learn for the macro averages). */
#include "tests/engine/support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Adds `other`, as a training over several processes does. */
static void merge_states(const struct bp_metric_ops *metric, double *state, const double *other, const struct bp_metric_call *call) {
    const int64_t size = metric->state_size(call->classes, call->width, call->samples);
    if (metric->merge) metric->merge(state, other, call->classes, call->width, call->samples);
    for (int64_t i = 0; !metric->merge && i < size; i++) state[i] += other[i];
}

/* The metric over the samples, fed in two batches: streaming must not matter, nor that each batch has a state of its own, and a third one is empty.
 * The state is as large as it says, to the byte. */
static double measure_scores(const char *name, int32_t classes, int32_t width, int32_t n, const bp_real *p, const bp_real *y, const bp_real *w,
                             bool scores, double k) {
    const struct bp_metric_ops *metric = (const struct bp_metric_ops *)bp_family_find(&bp_metrics, name);
    ck_assert_ptr_nonnull(metric);
    const size_t size = (size_t)metric->state_size(classes, width, n);
    double *state = calloc(size, sizeof *state), *first = calloc(size, sizeof *state), *second = calloc(size, sizeof *state);
    const int32_t y_width = classes ? 1 : width, half = n / 2;
    struct bp_metric_call call = {.batch = half,
                                  .width = width,
                                  .classes = classes,
                                  .scores = scores,
                                  .predictions = p,
                                  .y = y,
                                  .weights = w,
                                  .unit = 2,
                                  .origin = 10,
                                  .numbers = &k,
                                  .samples = n};
    metric->update(state, &call);
    metric->update(first, &call);
    call.batch = n - half;
    call.predictions = p + half * width;
    call.y = y + half * y_width;
    call.weights = w ? w + half : NULL;
    metric->update(state, &call);
    metric->update(second, &call);
    const double result = metric->result(state, classes, width);
    memset(state, 0, size * sizeof *state);
    merge_states(metric, first, state, &call);
    merge_states(metric, state, first, &call);
    merge_states(metric, state, second, &call);
    const double merged = metric->result(state, classes, width);
    ck_assert_msg(fabs(merged - result) <= 1e-12 * fabs(result) || merged == result || (isnan(merged) && isnan(result)), "%s: %g, merged %g", name,
                  result, merged);
    free(state);
    free(first);
    free(second);
    return result;
}

static double measure(const char *name, int32_t classes, int32_t width, int32_t n, const bp_real *p, const bp_real *y, const bp_real *w) {
    return measure_scores(name, classes, width, n, p, y, w, false, 1);
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

/* Three targets side by side, each in its own unit, in two batches: their states stand one behind the other. The numbers are scikit-learn's
 * (multioutput "raw_values"; those of rmse the roots of its mean_squared_error), without weights and with. */
START_TEST(several_targets_in_their_own_units) {
    static const double units[3] = {1.5, 200, 4}, origins[3] = {2, 450, -1};
    static const double y[5][3] = {{1.5, 100, -3}, {2.5, 400, 8}, {-1, 900, 2}, {4, 250, 6}, {0.5, 700, -1}};
    static const double p[5][3] = {{1, 150, -2.5}, {3, 300, 7}, {0, 1000, 2}, {3, 200, 9}, {1, 650, 1}};
    const bp_real w[5] = {1, 2, 0.5f, 3, 1};
    static const struct {
        const char *name;
        double plain[3], weighted[3];
    } expected[] = {
        {"mae", {0.7, 70, 1.3}, {0.7333333333333333, 66.66666666666667, 1.8}},
        {"mape", {0.5566666666666666, 0.2265079365079365, 0.5583333333333333}, {0.3977777777777778, 0.23026455026455028, 0.5222222222222223}},
        {"median_absolute_error", {0.5, 50, 1}, {0.5, 50, 2}},
        {"r2", {0.8103448275862069, 0.9357476635514019, 0.8327464788732394}, {0.7481343283582089, 0.8978665456196097, 0.7226084538375974}},
        {"rmse", {0.7416198487095663, 74.16198487095663, 1.6881943016134133}, {0.7745966692414834, 70.71067811865476, 2.105548226313834}},
    };
    bp_real network[2][15];
    for (int i = 0; i < 15; i++) {
        network[0][i] = (bp_real)((p[i / 3][i % 3] - origins[i % 3]) / units[i % 3]);
        network[1][i] = (bp_real)((y[i / 3][i % 3] - origins[i % 3]) / units[i % 3]);
    }
    for (size_t m = 0; m < sizeof expected / sizeof *expected; m++)
        for (int weighted = 0; weighted < 2; weighted++) {
            const struct bp_metric_ops *metric = (const struct bp_metric_ops *)bp_family_find(&bp_metrics, expected[m].name);
            const int64_t each = metric->state_size(0, 1, 5);
            ck_assert_int_eq(metric->state_size(0, 3, 5), 3 * each);
            double *state = calloc((size_t)(3 * each), sizeof *state);
            struct bp_metric_call call = {.batch = 2,
                                          .width = 3,
                                          .predictions = network[0],
                                          .y = network[1],
                                          .weights = weighted ? w : NULL,
                                          .units = units,
                                          .origins = origins,
                                          .samples = 5};
            metric->update(state, &call);
            call.batch = 3;
            call.predictions += 6;
            call.y += 6;
            if (weighted) call.weights += 2;
            metric->update(state, &call);
            for (int j = 0; j < 3; j++) {
                const double want = weighted ? expected[m].weighted[j] : expected[m].plain[j];
                ck_assert_double_eq_tol(metric->result(state + each * j, 0, 1), want, 2e-6 * want);
            }
            free(state);
        }
}
END_TEST

/* Equal scores on both sides and weights; the numbers are scikit-learn's. */
START_TEST(areas_under_curves) {
    const bp_real p[8] = {0.9f, 0.5f, 0.2f, 0.7f, 0.1f, 0.5f, 0.5f, 0.3f}, y[8] = {1, 1, 0, 0, 0, 0, 1, 1};
    const bp_real w[8] = {1, 2, 3, 4, 5, 6, 0.5f, 0.25f};
    bp_real two[16];
    for (int i = 0; i < 8; i++) {
        two[2 * i] = 1 - p[i];
        two[2 * i + 1] = p[i];
    }
    check(measure("roc_auc", 2, 1, 8, p, y, NULL), 0.6875);
    check(measure("roc_auc", 2, 1, 8, p, y, w), 0.7037037037037037);
    check(measure("pr_auc", 2, 1, 8, p, y, NULL), 0.7166666666666667);
    check(measure("pr_auc", 2, 1, 8, p, y, w), 0.4576879910213244);
    check(measure("roc_auc", 2, 2, 8, two, y, w), 0.7037037037037037);
    const bp_real q[21] = {0.5f,  0.3f, 0.2f, 0.1f, 0.6f, 0.3f, 0.3f, 0.3f, 0.4f, 0.5f, 0.25f,
                           0.25f, 0.2f, 0.2f, 0.6f, 0.1f, 0.8f, 0.1f, 0.4f, 0.4f, 0.2f};
    const bp_real z[7] = {0, 1, 2, 1, 2, 0, 0};
    check(measure("roc_auc", 3, 3, 7, q, z, NULL), 0.6944444444444443);
    check(measure("roc_auc", 3, 3, 7, q, z, w), 0.5461341525857656);
    check(measure("pr_auc", 3, 3, 7, q, z, NULL), 0.6494708994708994);
    check(measure("pr_auc", 3, 3, 7, q, z, w), 0.5498919426826404);
}
END_TEST

/* Against the count of all pairs, with many ties: more samples than any small case of the sort. */
START_TEST(an_area_is_a_share_of_pairs) {
    enum { N = 501 };
    bp_real p[N], y[N];
    struct bp_random random = bp_random_open(5, BP_STREAM_USER, 0);
    double right = 0, pairs = 0;
    for (int i = 0; i < N; i++) {
        y[i] = (bp_real)bp_random_below(&random, 2);
        p[i] = (bp_real)bp_random_below(&random, 40) / 40 + y[i] / 8;
    }
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            if (y[i] != 1 || y[j] != 0) continue;
            right += p[i] > p[j] ? 1 : p[i] == p[j] ? 0.5 : 0;
            pairs++;
        }
    check(measure("roc_auc", 2, 1, N, p, y, NULL), right / pairs);
}
END_TEST

START_TEST(areas_that_are_undefined) {
    const bp_real p[3] = {0.1f, NAN, 0.3f}, zeros[3] = {0, 0, 0}, ones[3] = {1, 1, 1}, both[3] = {0, 1, 1};
    ck_assert(isnan(measure("roc_auc", 2, 1, 3, p, both, NULL)));
    ck_assert(isnan(measure("pr_auc", 2, 1, 3, p, both, NULL)));
    const bp_real q[3] = {0.1f, 0.2f, 0.3f};
    ck_assert(isnan(measure("roc_auc", 2, 1, 3, q, zeros, NULL)));
    ck_assert(isnan(measure("roc_auc", 2, 1, 3, q, ones, NULL)));
    ck_assert(isnan(measure("pr_auc", 2, 1, 3, q, zeros, NULL)));
    check(measure("pr_auc", 2, 1, 3, q, ones, NULL), 1);
    ck_assert(isnan(measure("median_absolute_error", 0, 1, 3, p, both, NULL)));
    ck_assert(isnan(measure("median_absolute_error", 0, 1, 3, q, both, zeros)));
    /* a class that does not occur does not count: the others' areas are 1 */
    const bp_real three[9] = {0.8f, 0.1f, 0.1f, 0.2f, 0.7f, 0.1f, 0.1f, 0.8f, 0.1f};
    check(measure("roc_auc", 3, 3, 3, three, both, NULL), 1);
}
END_TEST

START_TEST(the_k_best) {
    const bp_real q[21] = {0.5f,  0.3f, 0.2f, 0.1f, 0.6f, 0.3f, 0.3f, 0.3f, 0.4f, 0.5f, 0.25f,
                           0.25f, 0.2f, 0.2f, 0.6f, 0.1f, 0.8f, 0.1f, 0.4f, 0.4f, 0.2f};
    const bp_real z[7] = {0, 1, 2, 1, 2, 0, 0}, w[7] = {1, 2, 3, 4, 5, 6, 0.5f};
    check(measure_scores("top_k_accuracy", 3, 3, 7, q, z, NULL, false, 1), 0.5714285714285714);
    check(measure_scores("top_k_accuracy", 3, 3, 7, q, z, w, false, 1), 0.5116279069767442);
    check(measure_scores("top_k_accuracy", 3, 3, 7, q, z, NULL, false, 2), 0.7142857142857143);
    check(measure_scores("top_k_accuracy", 3, 3, 7, q, z, w, false, 2), 0.5348837209302325);
    check(measure_scores("top_k_accuracy", 3, 3, 7, q, z, NULL, false, 3), 1);
    const bp_real one[2] = {0.7f, 0.6f}, truth[2] = {1, 0}, spoilt[3] = {NAN, 1, 0}, zero[1] = {0};
    check(measure_scores("top_k_accuracy", 2, 1, 2, one, truth, NULL, false, 1), 0.5);
    check(measure_scores("top_k_accuracy", 2, 1, 2, one, truth, NULL, false, 2), 1);
    check(measure_scores("top_k_accuracy", 3, 3, 1, spoilt, zero, NULL, false, 2), 0);
}
END_TEST

/* A single score gives the class by its sign; two by which is larger. */
START_TEST(scores_instead_of_probabilities) {
    const bp_real s[4] = {0.25f, -0.25f, -3, 2}, y[4] = {1, 0, 0, 0}, pairs[8] = {1, 2, 5, 4, 9, 8, -1, 1};
    check(measure_scores("accuracy", 2, 1, 4, s, y, NULL, true, 1), 0.75);
    check(measure("accuracy", 2, 1, 4, s, y, NULL), 0.5);
    check(measure_scores("accuracy", 2, 2, 4, pairs, y, NULL, true, 1), 0.75);
    check(measure_scores("roc_auc", 2, 1, 4, s, y, NULL, true, 1), 2.0 / 3);
    check(measure_scores("roc_auc", 2, 2, 4, pairs, y, NULL, true, 1), 2.0 / 3);
}
END_TEST

/* The numbers are scikit-learn's; the target's own values are 12, 14, 16, 18 and 28. */
START_TEST(more_of_regression) {
    const bp_real p[5] = {2, 0, 3, 5, 1}, y[5] = {1, 2, 3, 4, 9}, w[4] = {1, 1, 0, 2}, v[5] = {3, 1, 1, 1, 5};
    check(measure("mape", 0, 1, 4, p, y, NULL), 0.14087301587301587);
    check(measure("mape", 0, 1, 4, p, y, w), 0.16865079365079363);
    check(measure("median_absolute_error", 0, 1, 5, p, y, NULL), 2);
    check(measure("median_absolute_error", 0, 1, 5, p, y, v), 4);
    check(measure("median_absolute_error", 0, 2, 2, p, y, NULL), (1 + 3.0) / 2);
    const bp_real q[4] = {1, 2, 3, 5}, zeros[4] = {0, 0, 0, 0}, minus[2] = {-5, -6}, at[2] = {-5, -5}; /* errors 2, 4, 6, 10 */
    check(measure("median_absolute_error", 0, 1, 4, q, zeros, NULL), 5);
    ck_assert(isnan(measure("mape", 0, 1, 2, minus, at, NULL))); /* targets of 0 have no percentage */
}
END_TEST

/* Three labels of four samples, in two batches: of the 12 labels 4 are wrong, all three of the third sample and one of the fourth; with a threshold
 * of 0.3 for the first label another one of the second sample. The weighted numbers are scikit-learn's (accuracy_score, hamming_loss). */
START_TEST(several_labels) {
    const bp_real p[12] = {0.9f, 0.1f, 0.6f, 0.4f, 0.2f, 0.3f, 0.7f, 0.8f, 0.1f, 0.2f, 0.5f, 0.9f};
    const bp_real y[12] = {1, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 1}, w[4] = {1, 2, 3, 4};
    const double low[3] = {0.3, 0.5, 0.5};
    static const struct {
        const char *name;
        double plain, weighted, lower;
    } expected[] = {{"hamming_loss", 4.0 / 12, 13.0 / 30, 5.0 / 12}, {"subset_accuracy", 0.5, 0.3, 0.25}};
    for (size_t m = 0; m < sizeof expected / sizeof *expected; m++) {
        const struct bp_metric_ops *metric = (const struct bp_metric_ops *)bp_family_find(&bp_metrics, expected[m].name);
        for (int way = 0; way < 3; way++) {
            double *state = calloc((size_t)metric->state_size(2, 3, 4), sizeof *state);
            struct bp_metric_call call = {.batch = 1,
                                          .width = 3,
                                          .classes = 2,
                                          .predictions = p,
                                          .y = y,
                                          .weights = way == 1 ? w : NULL,
                                          .thresholds = way == 2 ? low : NULL,
                                          .samples = 4};
            ck_assert(isnan(metric->result(state, 2, 3)));
            metric->update(state, &call);
            call.batch = 3;
            call.predictions += 3;
            call.y += 3;
            call.weights = way == 1 ? w + 1 : NULL;
            metric->update(state, &call);
            check(metric->result(state, 2, 3), way == 0 ? expected[m].plain : way == 1 ? expected[m].weighted : expected[m].lower);
            free(state);
        }
    }
}
END_TEST

/* The second of two classes is predicted from its threshold on, whether the network has one output or two; scores have none. */
START_TEST(threshold_of_two_classes) {
    const bp_real one[4] = {0.2f, 0.5f, 0.3f, 0.9f}, two[8] = {0.8f, 0.2f, 0.5f, 0.5f, 0.7f, 0.3f, 0.1f, 0.9f}, y[4] = {1, 0, 1, 1};
    const struct bp_metric_ops *metric = (const struct bp_metric_ops *)bp_family_find(&bp_metrics, "accuracy");
    static const double thresholds[4] = {0, 0.1, 0.25, 0.6}, right[4] = {1, 3, 2, 2};
    for (int t = 0; t < 4; t++)
        for (int32_t width = 1; width <= 2; width++) {
            double state[2] = {0, 0};
            const struct bp_metric_call call = {
                .batch = 4, .width = width, .classes = 2, .predictions = width == 1 ? one : two, .y = y, .threshold = thresholds[t], .samples = 4};
            metric->update(state, &call);
            check(metric->result(state, 2, width), (width == 2 && t == 0 ? 2 : right[t]) / 4); /* of two equal ones the first */
        }
}
END_TEST

START_TEST(every_metric_has_a_direction) {
    for (int32_t i = 0; i < bp_metrics.count; i++) {
        const struct bp_metric_ops *metric = (const struct bp_metric_ops *)bp_metrics.entries[i];
        static const char *const errors[] = {"hamming_loss", "log_loss", "mae", "mape", "median_absolute_error", "rmse"};
        bool error = false;
        for (size_t k = 0; k < sizeof errors / sizeof *errors; k++) error = error || !strcmp(metric->entry.name, errors[k]);
        ck_assert(metric->higher_is_better != error);
        ck_assert(metric->kinds == BP_METRIC_CLASSIFICATION || metric->kinds == BP_METRIC_REGRESSION || metric->kinds == BP_METRIC_MULTILABEL);
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
    tcase_add_test(tests, several_targets_in_their_own_units);
    tcase_add_test(tests, areas_under_curves);
    tcase_add_test(tests, an_area_is_a_share_of_pairs);
    tcase_add_test(tests, areas_that_are_undefined);
    tcase_add_test(tests, the_k_best);
    tcase_add_test(tests, scores_instead_of_probabilities);
    tcase_add_test(tests, more_of_regression);
    tcase_add_test(tests, several_labels);
    tcase_add_test(tests, threshold_of_two_classes);
    tcase_add_test(tests, every_metric_has_a_direction);
    suite_add_tcase(suite, tests);
    return suite;
}

/* test_losses.c - engine/losses/: literal values, weights, stability, targets that cannot be. */
#include "tests/engine/support.h"

#include "engine/activations/activation.h"

#include <math.h>
#include <string.h>

static const struct bp_value hard = {.number = 0}; /* label_smoothing */

static const struct bp_loss_ops *find(const char *name) {
    const struct bp_loss_ops *loss = (const struct bp_loss_ops *)bp_family_find(&bp_losses, name);
    ck_assert_ptr_nonnull(loss);
    return loss;
}

START_TEST(mse_and_mae) {
    bp_real z[4] = {1, 2, 3, 4}, y[4] = {0, 2, 5, 1}, w[2] = {2, 1}, d[4];
    struct bp_loss_call call = {.batch = 2, .width = 2, .z = z, .y = y, .weights = w, .scale = 0.5, .d_z = d};
    ck_assert_double_eq_tol(find("mse")->evaluate(NULL, &call), 2 * 0.5 + 6.5, 1e-9);
    const bp_real squared[4] = {1, 0, -1, 1.5f};
    ck_assert_mem_eq(d, squared, sizeof d);
    ck_assert_double_eq_tol(find("mae")->evaluate(NULL, &call), 2 * 0.5 + 2.5, 1e-9);
    const bp_real absolute[4] = {0.5f, 0, -0.25f, 0.25f};
    ck_assert_mem_eq(d, absolute, sizeof d);
    call.weights = NULL;
    call.d_z = NULL;
    ck_assert_double_eq_tol(find("mse")->evaluate(NULL, &call), 7, 1e-9);
}
END_TEST

/* z 3, 0.5, 1, -1 against 1, 1, 1, 1: errors 2, -0.5, 0, -2. */
START_TEST(huber_and_log_cosh) {
    bp_real z[4] = {3, 0.5f, 1, -1}, y[4] = {1, 1, 1, 1}, d[4];
    const struct bp_value delta = {.number = 1};
    struct bp_loss_call call = {.batch = 1, .width = 4, .z = z, .y = y, .scale = 4, .d_z = d};
    ck_assert_double_eq_tol(find("huber")->evaluate(&delta, &call), (1.5 + 0.125 + 0 + 1.5) / 4, 1e-9);
    const bp_real expected[4] = {1, -0.5f, 0, -1};
    ck_assert_mem_eq(d, expected, sizeof d);
    ck_assert_double_eq_tol(find("log_cosh")->evaluate(NULL, &call), (2 * 1.32500274736 + 0.12011450695) / 4, 1e-9);
    z[0] = 5000; /* cosh would overflow: 4999 - ln 2 */
    ck_assert_double_eq_tol(find("log_cosh")->evaluate(NULL, &call), (4999 - 0.69314718056 + 1.32500274736 + 0.12011450695) / 4, 1e-9);
}
END_TEST

/* p is (1/4, 3/4). */
START_TEST(divergence_of_shares) {
    bp_real z[2] = {0, 1.0986122887f}, y[2] = {0.5f, 0.5f}, d[2];
    struct bp_loss_call call = {.batch = 1, .width = 2, .z = z, .y = y, .scale = 1, .d_z = d};
    ck_assert_double_eq_tol(find("kl_divergence")->evaluate(NULL, &call), 0.5 * 0.69314718056 - 0.5 * 0.40546510811, 1e-6);
    const double p[2] = {0.25, 0.75}, expected[2] = {-0.25, 0.25};
    ck_assert_double_lt(test_distance(z, p, 2), 1e-6);
    ck_assert_double_lt(test_distance(d, expected, 2), 1e-6);
    y[0] = -0.5f;
    ck_assert(isnan(find("kl_divergence")->evaluate(NULL, &call)));
}
END_TEST

/* As torch.nn.CrossEntropyLoss with probabilities (label_smoothing 0 and 0.2), BCEWithLogitsLoss and KLDivLoss(reduction="batchmean"). */
START_TEST(shares) {
    static const struct {
        const char *name;
        double smoothing, loss, d[6];
    } torch[] = {
        {"cross_entropy", 0, 1.310240507, {0.20187446, -0.23497055, 0.0330961, 0.02330631, 0.01811978, -0.04142609}},
        {"cross_entropy", 0.2, 1.455240369, {0.18854111, -0.21830389, 0.02976277, -0.01002702, 0.07478645, -0.06475943}},
        {"binary_cross_entropy", 0, 0.753210545, {0.08850977, -0.06346618, 0.05374322, 0.08333334, 0.00876236, 0.02815691}},
        {"kl_divergence", 0, 0.632872403, {0.20187446, -0.23497055, 0.0330961, 0.02330631, 0.01811978, -0.04142609}},
    };
    for (size_t i = 0; i < sizeof torch / sizeof *torch; i++) {
        bp_real z[6] = {1, -2, 0.5f, 0, 3, -1}, y[6] = {0.2f, 0.5f, 0.3f, 0, 0.9f, 0.1f}, d[6];
        const struct bp_loss_ops *loss = find(torch[i].name);
        const struct bp_value values[1] = {{.number = torch[i].smoothing}};
        if (loss->shares) loss = loss->shares;
        struct bp_loss_call call = {.batch = 2, .width = 3, .z = z, .y = y, .scale = 0.5, .d_z = d};
        ck_assert_str_eq(loss->entry.name, torch[i].name);
        ck_assert_double_eq_tol(loss->evaluate(values, &call) / 2, torch[i].loss, 2e-7);
        ck_assert_double_lt(test_distance(d, torch[i].d, 6), 2e-7);
        y[1] = -0.5f;
        ck_assert(isnan(loss->evaluate(values, &call)));
    }
}
END_TEST

START_TEST(cosine) {
    bp_real z[6] = {3, 4, 0, 0, -2, 0}, y[6] = {6, 8, 1, 1, 5, 0}, d[6];
    struct bp_loss_call call = {.batch = 3, .width = 2, .z = z, .y = y, .scale = 1, .d_z = d};
    ck_assert_double_eq_tol(find("cosine")->evaluate(NULL, &call), 0 + 1 + 2, 1e-9);
    for (int i = 0; i < 6; i++) ck_assert(isfinite(d[i]));
}
END_TEST

/* p of the true class is 1/4: -(3/4)^2 ln(1/4). And smoothing 0.2: 0.9 and 0.1 of the two logarithms. */
START_TEST(focal_and_smoothing) {
    bp_real z[2] = {0, 1.0986122887f}, y[1] = {0}, d[2];
    struct bp_value value = {.number = 2};
    struct bp_loss_call call = {.batch = 1, .width = 2, .z = z, .y = y, .scale = 1, .d_z = d};
    ck_assert_double_eq_tol(find("focal")->evaluate(&value, &call), 0.5625 * 1.38629436112, 1e-6);
    bp_real again[2] = {0, 1.0986122887f};
    call.z = again;
    value.number = 0.2;
    ck_assert_double_eq_tol(find("cross_entropy")->evaluate(&value, &call), 0.9 * 1.38629436112 + 0.1 * 0.28768207245, 1e-6);
    const double expected[2] = {0.25 - 0.9, 0.75 - 0.1};
    ck_assert_double_lt(test_distance(d, expected, 2), 1e-6);
}
END_TEST

/* Three positions with p of their classes 1/2, 1/4 and 3/4, the third without a class in the second sample. As torch.nn.functional.cross_entropy with
 * ignore_index, each position counts once, and what its class (1 or 3) and its sample (1 or 5) do; the whole counts what the samples do. */
START_TEST(classes_by_position) {
    struct bp_network *net = test_network("activation", "cross_entropy", (struct bp_shape){2, {3, 2}});
    struct bp_workspace *ws = NULL;
    const bp_real x[12] = {0, 0, 0, 1.0986122887f, 0, 1.0986122887f, 0, 0, 0, 1.0986122887f, 5, 7}, y[6] = {0, 0, 1, 1, 0, -1};
    const double class_weights[2] = {1, 3}, half = 0.69314718056, quarter = 1.38629436112, most = 0.28768207245;
    ck_assert_int_eq(bp_workspace_new(net, 2, true, &ws, NULL), 0);
    for (int weighted = 0; weighted < 2; weighted++) {
        const bp_real of_samples[2] = {1, 5};
        struct bp_loss_call call = {.batch = 2, .y = y, .scale = 1, .class_weights = weighted ? class_weights : NULL};
        call.weights = call.counts = weighted ? of_samples : NULL;
        call.apart = weighted;
        memcpy(bp_workspace_input(ws, 0), x, sizeof x);
        const double loss = bp_loss_forward(net, NULL, ws, NULL, &call, true);
        const double expected = weighted ? 6 * (half + quarter + 3 * most + 15 * half + 5 * quarter) / 25 : 2 * (2 * half + 2 * quarter + most) / 5;
        ck_assert_double_eq_tol(loss, expected, 1e-6);
        /* Reported: without those of classes. The positions count 13, the samples 6. */
        ck_assert_double_eq_tol(call.reported, weighted ? 6 * (half + quarter + most + 5 * half + 5 * quarter) / 13 : expected, 1e-6);
        ck_assert_int_eq(call.batch, 6);
        ck_assert_int_eq(call.width, 2);
        const double d[4] = {(double)call.d_z[0], (double)call.d_z[6], (double)call.d_z[10], (double)call.d_z[11]};
        const double slopes[4] = {weighted ? -0.5 * 6 / 25 : -0.5 * 2 / 5, weighted ? 0.5 * 15 * 6 / 25 : 0.5 * 2 / 5, 0, 0};
        ck_assert_double_lt(fabs(d[0] - slopes[0]) + fabs(d[1] - slopes[1]) + fabs(d[2]) + fabs(d[3]), 1e-6);
    }
    bp_workspace_free(ws);
    bp_network_free(net);
}
END_TEST

START_TEST(binary_cross_entropy) {
    bp_real z[4] = {0, 1000, -1000, -1000}, y[4] = {1, 1, 0, 1}, d[4];
    struct bp_loss_call call = {.batch = 4, .width = 1, .z = z, .y = y, .scale = 1, .d_z = d};
    ck_assert_double_eq_tol(find("binary_cross_entropy")->evaluate(NULL, &call), 0.69314718056 + 1000, 1e-6);
    const bp_real p[4] = {0.5f, 1, 0, 0}, expected[4] = {-0.5f, 0, 0, -1};
    ck_assert_mem_eq(z, p, sizeof p);
    ck_assert_mem_eq(d, expected, sizeof d);
}
END_TEST

START_TEST(cross_entropy) {
    bp_real z[4] = {0, 0, 0, 1.0986122887f}, y[2] = {0, 1}, w[2] = {3, 1}, d[4];
    struct bp_loss_call call = {.batch = 2, .width = 2, .z = z, .y = y, .weights = w, .scale = 0.25, .d_z = d};
    ck_assert_double_eq_tol(find("cross_entropy")->evaluate(&hard, &call), 3 * 0.69314718056 + 0.28768207245, 1e-6);
    const double p[4] = {0.5, 0.5, 0.25, 0.75}, expected[4] = {-0.375, 0.375, 0.0625, -0.0625};
    ck_assert_double_lt(test_distance(z, p, 4), 1e-6);
    ck_assert_double_lt(test_distance(d, expected, 4), 1e-6);
}
END_TEST

/* z 3, -1 against 1, -2: quantiles 0.25 and 0.75 of both. And 1 for the point prediction, the first of two that are as near to one half. */
START_TEST(quantiles) {
    bp_real z[4] = {3, 3, -1, -4}, y[2] = {1, -2}, d[4];
    const struct bp_loss_ops *loss = find("quantile");
    struct bp_value value = {.numbers = {0.25, 0.75}, .numbers_count = 2};
    struct bp_loss_call call = {.batch = 1, .width = 4, .z = z, .y = y, .scale = 4, .d_z = d};
    ck_assert_double_eq_tol(loss->evaluate(&value, &call), (0.75 * 2 + 0.25 * 2 + 0.75 * 1 + 0.75 * 2) / 4, 1e-9);
    const bp_real expected[4] = {0.75f, 0.25f, 0.75f, -0.75f};
    ck_assert_mem_eq(d, expected, sizeof d);
    ck_assert_int_eq(bp_loss_target_width(loss, &value, &(struct bp_shape){1, {4}}), 2);
    ck_assert_int_eq(bp_loss_point(loss, &value), 0);
    value = (struct bp_value){.numbers = {0.1, 0.45, 0.6}, .numbers_count = 3};
    ck_assert_int_eq(bp_loss_point(loss, &value), 1);
    struct bp_loss_detail detail;
    ck_assert(loss->detail(&value, z, 2, &detail) && detail.value == -1 && !detail.width);
    ck_assert_str_eq(detail.name, "0.6");
    ck_assert(!loss->detail(&value, z, 3, &detail));
    call = (struct bp_loss_call){.batch = 1, .width = 6, .z = (bp_real[]){1, 2, 3, 4, 5, 6}};
    ck_assert_int_eq(bp_loss_keep_points(loss, &value, &call), 2);
    ck_assert(call.z[0] == 2 && call.z[1] == 5);
}
END_TEST

START_TEST(quantiles_that_do_not_fit) {
    struct bp_error error = {0};
    const struct bp_shape three = {1, {3}}, four = {1, {4}};
    struct bp_value value = {.numbers = {0.1, 0.5, 0.9}, .numbers_count = 3};
    ck_assert_int_eq(bp_loss_check(find("quantile"), &value, &three, &error), 0);
    ck_assert_int_eq(bp_loss_check(find("quantile"), &value, &four, &error), -1);
    ck_contains(error.message, "needs 3 outputs");
    ck_contains(error.message, "(4)");
    error = (struct bp_error){0};
    value.numbers[2] = 0.5;
    ck_assert_int_eq(bp_loss_check(find("quantile"), &value, &three, &error), -1);
    ck_contains(error.message, "0.5 is followed by 0.5");
    ck_assert_int_eq(bp_loss_check(find("gaussian_nll"), NULL, &three, NULL), -1);
    ck_assert_int_eq(bp_loss_check(find("gaussian_nll"), NULL, &four, NULL), 0);
}
END_TEST

/* m 3, variance 4 (and a millionth) against 1. An s far below leaves the millionth: no infinity. */
START_TEST(gaussian_likelihood) {
    bp_real z[2] = {3, 1.3862943611f}, y[1] = {1}, d[2];
    const struct bp_loss_ops *loss = find("gaussian_nll");
    struct bp_loss_call call = {.batch = 1, .width = 2, .z = z, .y = y, .scale = 1, .d_z = d};
    ck_assert_double_eq_tol(loss->evaluate(NULL, &call), (1.38629436112 + 4.0 / 4) / 2, 1e-6);
    const double expected[2] = {0.5, 0};
    ck_assert_double_lt(test_distance(d, expected, 2), 1e-6);
    struct bp_loss_detail detail;
    ck_assert(loss->detail(NULL, z, 1, &detail) && detail.width);
    ck_assert_double_eq_tol(detail.value, 2, 1e-6);
    z[1] = -1000;
    ck_assert_double_eq_tol(loss->evaluate(NULL, &call), (log(1e-6) + 4e6) / 2, 1e-3);
    ck_assert(isfinite(d[0]) && d[1] == 0);
}
END_TEST

START_TEST(poisson) {
    bp_real z[2] = {0, 1.0986122887f}, y[2] = {2, 3}, d[2];
    struct bp_loss_call call = {.batch = 1, .width = 2, .z = z, .y = y, .scale = 2, .d_z = d};
    ck_assert_double_eq_tol(find("poisson")->evaluate(NULL, &call), (1 + (3 - 3 * 1.09861228867)) / 2, 1e-6);
    const double rates[2] = {1, 3}, expected[2] = {-1, 0};
    ck_assert_double_lt(test_distance(z, rates, 2), 1e-6);
    ck_assert_double_lt(test_distance(d, expected, 2), 1e-6);
    y[1] = -1;
    ck_assert(isnan(find("poisson")->evaluate(NULL, &call)));
}
END_TEST

/* Means e^z of 1 and 4 against 2 and 0: e^(z/2) / 0.5 + y e^(-z/2) / 0.5. */
START_TEST(tweedie) {
    bp_real z[2] = {0, 1.3862943611f}, y[2] = {2, 0}, d[2];
    const struct bp_value power = {.number = 1.5};
    struct bp_loss_call call = {.batch = 1, .width = 2, .z = z, .y = y, .scale = 2, .d_z = d};
    ck_assert_double_eq_tol(find("tweedie")->evaluate(&power, &call), ((2 + 4) + (4 + 0)) / 2.0, 1e-6);
    const double means[2] = {1, 4}, expected[2] = {1 - 2, 2};
    ck_assert_double_lt(test_distance(z, means, 2), 1e-6);
    ck_assert_double_lt(test_distance(d, expected, 2), 1e-6);
    y[1] = -1;
    ck_assert(isnan(find("tweedie")->evaluate(&power, &call)));
}
END_TEST

/* Means of 1 and 4 against 2 and 1: ln mean + y / mean. */
START_TEST(gamma_likelihood) {
    bp_real z[2] = {0, 1.3862943611f}, y[2] = {2, 1}, d[2];
    struct bp_loss_call call = {.batch = 1, .width = 2, .z = z, .y = y, .scale = 2, .d_z = d};
    ck_assert_double_eq_tol(find("gamma")->evaluate(NULL, &call), (2 + 1.3862943611 + 0.25) / 2, 1e-6);
    const double means[2] = {1, 4}, expected[2] = {-1, 0.75};
    ck_assert_double_lt(test_distance(z, means, 2), 1e-6);
    ck_assert_double_lt(test_distance(d, expected, 2), 1e-6);
    y[1] = 0;
    ck_assert(isnan(find("gamma")->evaluate(NULL, &call)));
}
END_TEST

/* Predictions 1 and 3 against 3 and 0: ln 2 - ln 4 and ln 4 - ln 1; a / (1 + a) is 1/2 and 3/4. */
START_TEST(squared_logarithms) {
    bp_real z[2] = {0, 1.0986122887f}, y[2] = {3, 0}, d[2];
    struct bp_loss_call call = {.batch = 1, .width = 2, .z = z, .y = y, .scale = 2, .d_z = d};
    ck_assert_double_eq_tol(find("msle")->evaluate(NULL, &call), (0.69314718056 * 0.69314718056 + 1.38629436112 * 1.38629436112) / 2, 1e-6);
    const double values[2] = {1, 3}, expected[2] = {-0.69314718056, 2 * 1.38629436112 * 0.75};
    ck_assert_double_lt(test_distance(z, values, 2), 1e-6);
    ck_assert_double_lt(test_distance(d, expected, 2), 1e-6);
    y[1] = -0.5f;
    ck_assert(isnan(find("msle")->evaluate(NULL, &call)));
}
END_TEST

/* p (1/2, 3/4) of which the second is marked: 2 3/4 / (5/4 + 1); with nothing marked the overlap is 0, or s / (5/4 + s). */
START_TEST(overlap) {
    bp_real z[2] = {0, 1.0986122887f}, y[2] = {0, 1}, d[2];
    struct bp_value smooth = {.number = 0};
    struct bp_loss_call call = {.batch = 1, .width = 2, .z = z, .y = y, .scale = 1, .d_z = d};
    const struct bp_loss_ops *loss = find("dice");
    ck_assert_double_eq_tol(loss->evaluate(&smooth, &call), 1 - 1.5 / 2.25, 1e-6);
    const double p[2] = {0.5, 0.75}, expected[2] = {1.5 / 5.0625 / 4, (1.5 - 4.5) / 5.0625 * 3 / 16};
    ck_assert_double_lt(test_distance(z, p, 2), 1e-6);
    ck_assert_double_lt(test_distance(d, expected, 2), 1e-6);
    bp_real none[2] = {0, 0}, again[2] = {0, 1.0986122887f};
    call.y = none;
    call.z = again;
    smooth.number = 1;
    ck_assert_double_eq_tol(loss->evaluate(&smooth, &call), 1 - 1 / 2.25, 1e-6);
    none[0] = 1.5f;
    ck_assert(isnan(loss->evaluate(&smooth, &call)));
}
END_TEST

/* Cut points at score 1 and, softplus(z_2) = ln 3 lower, at 1 - ln 3: p(class >= 1) is 1/2 and p(class >= 2) is 1/4. */
START_TEST(classes_in_order) {
    const bp_real score[3] = {2, 2, 0.69314718056f};
    const double p[3] = {0.5, 0.25, 0.25}, losses[3] = {0.69314718056, 1.38629436112, 1.38629436112};
    for (int k = 0; k < 3; k++) {
        bp_real z[3], y[1] = {(bp_real)k}, d[3];
        memcpy(z, score, sizeof z);
        struct bp_loss_call call = {.batch = 1, .width = 3, .z = z, .y = y, .scale = 1, .d_z = d};
        ck_assert_double_eq_tol(find("ordinal")->evaluate(NULL, &call), losses[k], 1e-6);
        ck_assert_double_lt(test_distance(z, p, 3), 1e-6);
        ck_assert_double_eq_tol((double)d[0] + (double)d[1], 0, 1e-6);
    }
    ck_assert(find("ordinal")->ordered);
    /* Far out every class keeps a finite loss: the cut points lie as close as e^-100. */
    for (int k = 0; k < 3; k++) {
        bp_real z[3] = {80, -20, -100}, y[1] = {(bp_real)k}, d[3];
        struct bp_loss_call call = {.batch = 1, .width = 3, .z = z, .y = y, .scale = 1, .d_z = d};
        ck_assert(isfinite(find("ordinal")->evaluate(NULL, &call)));
        for (int j = 0; j < 3; j++) ck_assert(isfinite(d[j]));
    }
}
END_TEST

START_TEST(hinge) {
    bp_real z[4] = {2, 0.5f, -3, -0.25f}, y[4] = {1, 1, 0, -1}, d[4];
    struct bp_loss_call call = {.batch = 2, .width = 2, .z = z, .y = y, .scale = 2, .d_z = d};
    ck_assert_double_eq_tol(find("hinge")->evaluate(NULL, &call), 0.25 + 0.375, 1e-9);
    const bp_real expected[4] = {0, -1, 0, 1};
    ck_assert_mem_eq(d, expected, sizeof d);
    ck_assert(find("hinge")->scores);
    y[0] = 2;
    ck_assert(isnan(find("hinge")->evaluate(NULL, &call)));
}
END_TEST

/* A target that is no class makes the loss not a number, so that training stops instead of learning nonsense. */
START_TEST(impossible_classes_are_detected) {
    const bp_real wrong[] = {-1, 2, 0.5f, NAN};
    for (int i = 0; i < 4; i++) {
        bp_real z[2] = {0, 0}, y[1] = {wrong[i]}, d[2];
        struct bp_loss_call call = {.batch = 1, .width = 1, .z = z, .y = y, .scale = 1, .d_z = d};
        ck_assert(isnan(find("binary_cross_entropy")->evaluate(NULL, &call)));
        call.width = 2;
        if (wrong[i] != 0.5f) ck_assert(isnan(find("cross_entropy")->evaluate(&hard, &call)));
        if (wrong[i] != 0.5f) ck_assert(isnan(find("ordinal")->evaluate(&hard, &call)));
    }
}
END_TEST

/* Every loss: a spoilt output gives a spoilt loss, and no weights means weights of 1. */
START_TEST(every_loss) {
    for (int32_t i = 0; i < bp_losses.count; i++) {
        const struct bp_loss_ops *loss = (const struct bp_loss_ops *)bp_losses.entries[i];
        struct bp_value values[BP_VALUES_MAX];
        bp_values_preset(&loss->entry, values);
        const int32_t outputs = bp_loss_outputs_per_target(loss, values);
        const int32_t width = loss->head && !strcmp(loss->head->entry.name, "sigmoid") ? 1 : outputs > 1 ? outputs : 3;
        bp_real z[6] = {0.5f, -1, 2, 1, 0, -0.5f}, y[6] = {1, 0, 1, 0, 1, 1}, ones[6] = {1, 1, 1, 1, 1, 1}, again[6], d[6], e[6];
        memcpy(again, z, sizeof z);
        for (int k = 0; loss->range == BP_RANGE_POSITIVE && k < 6; k++) y[k] += 1;
        struct bp_loss_call call = {.batch = 2, .width = width, .z = z, .y = y, .scale = 0.5, .d_z = d};
        const double plain = loss->evaluate(values, &call);
        call.z = again;
        call.d_z = e;
        call.weights = ones;
        ck_assert_double_eq_tol(loss->evaluate(values, &call), plain, 1e-9);
        ck_assert_mem_eq(d, e, sizeof(bp_real) * 2 * (size_t)width);
        again[0] = NAN;
        ck_assert(isnan(loss->evaluate(values, &call)));
    }
}
END_TEST

Suite *suite_losses(void);
Suite *suite_losses(void) {
    Suite *suite = suite_create("losses");
    TCase *tests = tcase_create("losses");
    tcase_add_test(tests, mse_and_mae);
    tcase_add_test(tests, huber_and_log_cosh);
    tcase_add_test(tests, divergence_of_shares);
    tcase_add_test(tests, shares);
    tcase_add_test(tests, cosine);
    tcase_add_test(tests, focal_and_smoothing);
    tcase_add_test(tests, classes_by_position);
    tcase_add_test(tests, binary_cross_entropy);
    tcase_add_test(tests, cross_entropy);
    tcase_add_test(tests, quantiles);
    tcase_add_test(tests, quantiles_that_do_not_fit);
    tcase_add_test(tests, gaussian_likelihood);
    tcase_add_test(tests, poisson);
    tcase_add_test(tests, tweedie);
    tcase_add_test(tests, gamma_likelihood);
    tcase_add_test(tests, squared_logarithms);
    tcase_add_test(tests, overlap);
    tcase_add_test(tests, classes_in_order);
    tcase_add_test(tests, hinge);
    tcase_add_test(tests, impossible_classes_are_detected);
    tcase_add_test(tests, every_loss);
    suite_add_tcase(suite, tests);
    return suite;
}

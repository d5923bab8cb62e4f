/* test_losses.c - engine/losses/: literal values, weights, stability, targets that cannot be. */
#include "support.h"

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

/* A target that is no class makes the loss not a number, so that training stops instead of learning nonsense. */
START_TEST(impossible_classes_are_seen) {
    const bp_real wrong[] = {-1, 2, 0.5f, NAN};
    for (int i = 0; i < 4; i++) {
        bp_real z[2] = {0, 0}, y[1] = {wrong[i]}, d[2];
        struct bp_loss_call call = {.batch = 1, .width = 1, .z = z, .y = y, .scale = 1, .d_z = d};
        ck_assert(isnan(find("binary_cross_entropy")->evaluate(NULL, &call)));
        call.width = 2;
        if (wrong[i] != 0.5f) ck_assert(isnan(find("cross_entropy")->evaluate(&hard, &call)));
    }
}
END_TEST

/* Every loss: a spoilt output gives a spoilt loss, and no weights means weights of 1. */
START_TEST(every_loss) {
    for (int32_t i = 0; i < bp_losses.count; i++) {
        const struct bp_loss_ops *loss = (const struct bp_loss_ops *)bp_losses.entries[i];
        const int32_t width = loss->head && !strcmp(loss->head, "sigmoid") ? 1 : 3;
        bp_real z[6] = {0.5f, -1, 2, 1, 0, -0.5f}, y[6] = {1, 0, 1, 0, 1, 1}, ones[6] = {1, 1, 1, 1, 1, 1}, again[6], d[6], e[6];
        memcpy(again, z, sizeof z);
        struct bp_loss_call call = {.batch = 2, .width = width, .z = z, .y = y, .scale = 0.5, .d_z = d};
        struct bp_value values[BP_VALUES_MAX];
        bp_values_preset(&loss->entry, values);
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
    tcase_add_test(tests, cosine);
    tcase_add_test(tests, focal_and_smoothing);
    tcase_add_test(tests, binary_cross_entropy);
    tcase_add_test(tests, cross_entropy);
    tcase_add_test(tests, impossible_classes_are_seen);
    tcase_add_test(tests, every_loss);
    suite_add_tcase(suite, tests);
    return suite;
}

/* test_activations.c - engine/activations/: known values, the ends of the number line, in place, fused bias. (Values and gradients in general:
 * test_golden.c and test_gradcheck.c, for every entry.) */
#include "tests/engine/support.h"

#include "engine/activations/activation.h"

#include <math.h>
#include <string.h>

static const struct bp_activation_ops *find(const char *name, double *numbers) {
    const struct bp_entry *entry = bp_family_find(&bp_activations, name);
    ck_assert_ptr_nonnull(entry);
    memset(numbers, 0, 4 * sizeof *numbers);
    for (int32_t i = 0; i < entry->params_count; i++) numbers[i] = entry->params[i].preset;
    return (const struct bp_activation_ops *)entry;
}

START_TEST(known_values) {
    static const struct {
        const char *name;
        double at[4]; /* of -2, 0, 1, 3 */
    } known[] = {
        {"elu", {-0.86466472, 0, 1, 3}},
        {"exponential", {0.13533528, 1, 2.71828183, 20.08553692}},
        {"gelu", {-0.04550026, 0, 0.84134475, 2.99595031}},
        {"hard_sigmoid", {0.16666667, 0.5, 0.66666667, 1}},
        {"hard_swish", {-0.33333333, 0, 0.66666667, 3}},
        {"leaky_relu", {-0.6, 0, 1, 3}},
        {"linear", {-2, 0, 1, 3}},
        {"log_softmax", {-5.17551536, -3.17551536, -2.17551536, -0.17551536}},
        {"mish", {-0.25250148, 0, 0.86509839, 2.98653500}},
        {"ordinal", {0.88079708, 0.08408390, 0.03339583, 0.00172320}},
        {"prelu", {-0.5, 0, 1, 3}},
        {"relu", {0, 0, 1, 3}},
        {"relu6", {0, 0, 1, 3}},
        {"selu", {-1.52016652, 0, 1.05070099, 3.15210296}},
        {"sigmoid", {0.11920292, 0.5, 0.73105858, 0.95257413}},
        {"silu", {-0.23840584, 0, 0.73105858, 2.85772238}},
        {"softmax", {0.00565330, 0.04177257, 0.11354962, 0.83902451}},
        {"softplus", {0.12692801, 0.69314718, 1.31326169, 3.04858735}},
        {"tanh", {-0.96402758, 0, 0.76159416, 0.99505475}},
    };
    ck_assert_int_eq(bp_activations.count, (int)(sizeof known / sizeof *known));
    const bp_real z[4] = {-2, 0, 1, 3};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        double numbers[4];
        bp_real a[4];
        find(known[i].name, numbers)->forward(numbers, 1, 4, z, a);
        for (int j = 0; j < 4; j++)
            ck_assert_msg(fabs((double)a[j] - known[i].at[j]) < 2e-6, "%s: got %g, expected %g", known[i].name, (double)a[j], known[i].at[j]);
    }
}
END_TEST

/* NaN propagates. Large values give neither NaN nor a wrong infinity: e^10000 alone is one. */
START_TEST(ends_of_the_line) {
    for (int32_t i = 0; i < bp_activations.count; i++) {
        double numbers[4];
        const struct bp_activation_ops *f = find(bp_activations.entries[i]->name, numbers);
        bp_real z[2] = {NAN, 1}, a[4] = {0};
        f->forward(numbers, 1, 2, z, a);
        ck_assert_msg(isnan(a[0]), "%s swallows NaN", f->entry.name);
        bp_real far[4] = {1e4f, -1e4f, 88, -104};
        f->forward(numbers, 2, 2, far, a);
        const int first = !strcmp(f->entry.name, "exponential");
        if (first) ck_assert(a[0] > 0 && isinf(a[0]));
        for (int j = first; j < 4; j++) ck_assert_msg(isfinite(a[j]), "%s(%g) is %g", f->entry.name, (double)far[j], (double)a[j]);
        bp_real d[4] = {1, 1, 1, 1};
        f->backward(numbers, 2, 2, far, a, d, d);
        for (int j = first; j < 4; j++) ck_assert_msg(isfinite(d[j]), "d %s(%g) is %g", f->entry.name, (double)far[j], (double)d[j]);
    }
}
END_TEST

START_TEST(in_place_and_fused) {
    enum { ROWS = 7, WIDTH = 45, N = ROWS * WIDTH }; /* more than one block of gelu and silu */
    for (int32_t i = 0; i < bp_activations.count; i++) {
        double numbers[4];
        const struct bp_activation_ops *f = find(bp_activations.entries[i]->name, numbers);
        struct bp_random random = bp_random_open(1, BP_STREAM_USER, 0);
        bp_real z[N], a[N], d_a[N], d_z[N];
        for (int k = 0; k < N; k++) {
            z[k] = (bp_real)bp_random_normal(&random);
            d_a[k] = (bp_real)bp_random_normal(&random);
        }
        f->forward(numbers, ROWS, WIDTH, z, a);
        f->backward(numbers, ROWS, WIDTH, z, a, d_a, d_z);
        f->backward(numbers, ROWS, WIDTH, f->needs_z ? z : NULL, a, d_a, d_a);
        ck_assert_mem_eq(d_a, d_z, sizeof d_z);
        bp_real same[N];
        memcpy(same, z, sizeof z);
        f->forward(numbers, ROWS, WIDTH, same, same);
        ck_assert_mem_eq(same, a, sizeof a);
        for (int k = 0; f->in_product && k < N; k++) ck_assert(a[k] == (z[k] < 0 ? (bp_real)numbers[0] * z[k] : z[k]));
    }
}
END_TEST

Suite *suite_activations(void);
Suite *suite_activations(void) {
    Suite *suite = suite_create("activations");
    TCase *tests = tcase_create("activations");
    tcase_add_test(tests, known_values);
    tcase_add_test(tests, ends_of_the_line);
    tcase_add_test(tests, in_place_and_fused);
    suite_add_tcase(suite, tests);
    return suite;
}

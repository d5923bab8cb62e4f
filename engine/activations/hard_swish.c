/* hard_swish.c - a = z hard_sigmoid(z) (Howard et al. 2019): 0 below -3, z above 3, z (z + 3) / 6 between. */
#include "engine/activations/activation.h"

static void forward(const double *numbers, size_t rows, size_t width, const bp_real *z, bp_real *a) {
    (void)numbers;
    for (size_t i = 0; i < rows * width; i++) {
        const bp_real t = z[i] * (bp_real)(1.0 / 6) + (bp_real)0.5;
        a[i] = z[i] * (t < 0 ? 0 : t > 1 ? 1 : t);
    }
}

static void backward(const double *numbers, size_t rows, size_t width, const bp_real *z, const bp_real *a, const bp_real *d_a, bp_real *d_z) {
    (void)numbers, (void)a;
    for (size_t i = 0; i < rows * width; i++) d_z[i] = z[i] <= -3 ? 0 : z[i] >= 3 ? d_a[i] : d_a[i] * (z[i] * (bp_real)(1.0 / 3) + (bp_real)0.5);
}

extern const struct bp_activation_ops bp_activation_hard_swish;
const struct bp_activation_ops bp_activation_hard_swish = {
    .entry = {.name = "hard_swish", .summary = "Swish with hard_sigmoid: a = z hard_sigmoid(z)"},
    .needs_z = true,
    .kinked = true,
    .rectifies = true,
    .bounds = {.has_low = true},
    .forward = forward,
    .backward = backward,
};

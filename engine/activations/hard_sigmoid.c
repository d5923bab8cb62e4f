/* hard_sigmoid.c - a = z / 6 + 1/2 between 0 and 1: straight lines in place of the sigmoid (as in Keras 3 and PyTorch). */
#include "engine/activations/activation.h"

static void forward(const double *numbers, size_t rows, size_t width, const bp_real *z, bp_real *a) {
    (void)numbers;
    for (size_t i = 0; i < rows * width; i++) {
        const bp_real t = z[i] * (bp_real)(1.0 / 6) + (bp_real)0.5;
        a[i] = t < 0 ? 0 : t > 1 ? 1 : t;
    }
}

static void backward(const double *numbers, size_t rows, size_t width, const bp_real *z, const bp_real *a, const bp_real *d_a, bp_real *d_z) {
    (void)numbers, (void)z;
    for (size_t i = 0; i < rows * width; i++) d_z[i] = a[i] > 0 && a[i] < 1 ? d_a[i] * (bp_real)(1.0 / 6) : 0;
}

extern const struct bp_activation_ops bp_activation_hard_sigmoid;
const struct bp_activation_ops bp_activation_hard_sigmoid = {
    .entry = {.name = "hard_sigmoid", .summary = "Piecewise linear sigmoid: a = z / 6 + 1/2 between 0 and 1"},
    .kinked = true,
    .bounds = {.has_low = true, .has_high = true, .high = 1},
    .saturates = true,
    .forward = forward,
    .backward = backward,
};

/* tanh.c - a = tanh z. */
#include "engine/activations/activation.h"
#include "engine/kernels/kernels.h"

static void forward(const double *numbers, size_t rows, size_t width, const bp_real *z, bp_real *a) {
    (void)numbers;
    bp_kernels()->tanh(rows * width, z, a);
}

static void backward(const double *numbers, size_t rows, size_t width, const bp_real *z, const bp_real *a, const bp_real *d_a, bp_real *d_z) {
    (void)numbers, (void)z;
    for (size_t i = 0; i < rows * width; i++) d_z[i] = d_a[i] * (1 - a[i] * a[i]);
}

extern const struct bp_activation_ops bp_activation_tanh;
const struct bp_activation_ops bp_activation_tanh = {
    .entry = {.name = "tanh", .summary = "Hyperbolic tangent, between -1 and 1"},
    .bounds = {.has_low = true, .has_high = true, .low = -1, .high = 1},
    .saturates = true,
    .forward = forward,
    .backward = backward,
};

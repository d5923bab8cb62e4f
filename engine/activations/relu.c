/* relu.c - a = max(0, z); NaN stays NaN, so that divergence is detected. */
#include "engine/activations/activation.h"
#include "engine/kernels/kernels.h"

static void forward(const double *numbers, size_t rows, size_t width, const bp_real *z, bp_real *a) {
    (void)numbers;
    bp_kernels()->rectify(rows, width, 0, NULL, z, a);
}

/* a has the sign of z. */
static void backward(const double *numbers, size_t rows, size_t width, const bp_real *z, const bp_real *a, const bp_real *d_a, bp_real *d_z) {
    (void)numbers, (void)z;
    bp_kernels()->rectify_backward(rows * width, 0, a, d_a, d_z);
}

extern const struct bp_activation_ops bp_activation_relu;
const struct bp_activation_ops bp_activation_relu = {
    .entry = {.name = "relu", .summary = "Rectified linear unit: a = max(0, z)"},
    .kinked = true,
    .in_product = true,
    .rectifies = true,
    .bounds = {.has_low = true},
    .forward = forward,
    .backward = backward,
};

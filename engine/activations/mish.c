/* mish.c - a = z tanh(ln(1 + e^z)) (Misra 2019). */
#include "engine/activations/activation.h"
#include "engine/kernels/kernels.h"

static void forward(const double *numbers, size_t rows, size_t width, const bp_real *z, bp_real *a) {
    (void)numbers;
    bp_kernels()->mish(rows * width, z, a);
}

static void backward(const double *numbers, size_t rows, size_t width, const bp_real *z, const bp_real *a, const bp_real *d_a, bp_real *d_z) {
    (void)numbers, (void)a;
    bp_kernels()->mish_backward(rows * width, z, d_a, d_z);
}

extern const struct bp_activation_ops bp_activation_mish;
const struct bp_activation_ops bp_activation_mish = {
    .entry = {.name = "mish", .summary = "A smooth rectifier: a = z tanh(softplus(z))"},
    .needs_z = true,
    .rectifies = true,
    .bounds = {.has_low = true},
    .forward = forward,
    .backward = backward,
};

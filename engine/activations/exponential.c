/* exponential.c - a = e^z, and a derivative of a: any output becomes a rate. Beyond z = 88 more than float32 holds. */
#include "engine/activations/activation.h"

#include "engine/kernels/kernels.h"

static void forward(const double *numbers, size_t rows, size_t width, const bp_real *z, bp_real *a) {
    (void)numbers;
    bp_kernels()->exp(rows * width, z, a);
}

static void backward(const double *numbers, size_t rows, size_t width, const bp_real *z, const bp_real *a, const bp_real *d_a, bp_real *d_z) {
    (void)numbers, (void)z;
    for (size_t i = 0; i < rows * width; i++) d_z[i] = d_a[i] * a[i];
}

extern const struct bp_activation_ops bp_activation_exponential;
const struct bp_activation_ops bp_activation_exponential = {
    .entry = {.name = "exponential", .summary = "Exponential function: a = e^z, for outputs that are never negative"},
    .bounds = {.has_low = true},
    .forward = forward,
    .backward = backward,
};

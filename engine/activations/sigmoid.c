/* sigmoid.c - a = 1 / (1 + e^-z). */
#include "engine/activations/activation.h"
#include "engine/kernels/kernels.h"

static void forward(const double *numbers, size_t rows, size_t width, const bp_real *z, bp_real *a) {
    (void)numbers;
    bp_kernels()->sigmoid(rows * width, z, a);
}

static void backward(const double *numbers, size_t rows, size_t width, const bp_real *z, const bp_real *a, const bp_real *d_a, bp_real *d_z) {
    (void)numbers, (void)z;
    for (size_t i = 0; i < rows * width; i++) d_z[i] = d_a[i] * (a[i] * (1 - a[i]));
}

extern const struct bp_activation_ops bp_activation_sigmoid;
const struct bp_activation_ops bp_activation_sigmoid = {
    .entry = {.name = "sigmoid", .summary = "Logistic function: a = 1 / (1 + e^-z), between 0 and 1"},
    .bounds = {.has_low = true, .has_high = true, .high = 1},
    .saturates = true,
    .probabilities = BP_PROBABILITIES_EACH,
    .forward = forward,
    .backward = backward,
};

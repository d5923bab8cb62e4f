/* softmax.c - a_j = e^z_j / sum over k of e^z_k, along the last axis. */
#include "engine/activations/activation.h"
#include "engine/kernels/kernels.h"

static void forward(const double *numbers, size_t rows, size_t width, const bp_real *z, bp_real *a) {
    (void)numbers;
    bp_kernels()->softmax(rows, width, z, a);
}

/* d_z_j = a_j (d_a_j - sum over k of d_a_k a_k). */
static void backward(const double *numbers, size_t rows, size_t width, const bp_real *z, const bp_real *a, const bp_real *d_a, bp_real *d_z) {
    (void)numbers, (void)z;
    for (size_t i = 0; i < rows; i++, a += width, d_a += width, d_z += width) {
        bp_real dot = 0;
        for (size_t j = 0; j < width; j++) dot += d_a[j] * a[j];
        for (size_t j = 0; j < width; j++) d_z[j] = a[j] * (d_a[j] - dot);
    }
}

extern const struct bp_activation_ops bp_activation_softmax;
const struct bp_activation_ops bp_activation_softmax = {
    .entry = {.name = "softmax", .summary = "Probabilities that sum to 1 along the last axis"},
    .bounds = {.has_low = true, .has_high = true, .high = 1},
    .probabilities = BP_PROBABILITIES_SHARED,
    .forward = forward,
    .backward = backward,
};

/* relu6.c - a = min(max(0, z), 6); not a number stays not a number. */
#include "engine/activations/activation.h"

static void forward(const double *numbers, size_t rows, size_t width, const bp_real *z, bp_real *a) {
    (void)numbers;
    for (size_t i = 0; i < rows * width; i++) a[i] = z[i] < 0 ? 0 : z[i] > 6 ? 6 : z[i];
}

static void backward(const double *numbers, size_t rows, size_t width, const bp_real *z, const bp_real *a, const bp_real *d_a, bp_real *d_z) {
    (void)numbers, (void)z;
    for (size_t i = 0; i < rows * width; i++) d_z[i] = a[i] > 0 && a[i] < 6 ? d_a[i] : 0;
}

extern const struct bp_activation_ops bp_activation_relu6;
const struct bp_activation_ops bp_activation_relu6 = {
    .entry = {.name = "relu6", .summary = "Rectified linear unit capped at 6: a = min(max(0, z), 6)"},
    .kinked = true,
    .rectifies = true,
    .bounds = {.has_low = true, .has_high = true, .high = 6},
    .forward = forward,
    .backward = backward,
};

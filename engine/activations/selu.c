/* selu.c - scale * elu with the two constants that keep mean 0 and variance 1 (Klambauer, Unterthiner, Mayr, Hochreiter 2017). */
#include "engine/activations/activation.h"

#include <math.h>

#define ALPHA 1.6732632423543772848170429916717
#define SCALE 1.0507009873554804934193349852946

static void forward(const double *numbers, size_t rows, size_t width, const bp_real *z, bp_real *a) {
    (void)numbers;
    for (size_t i = 0; i < rows * width; i++) a[i] = z[i] < 0 ? (bp_real)(SCALE * ALPHA * expm1(z[i])) : (bp_real)SCALE * z[i];
}

static void backward(const double *numbers, size_t rows, size_t width, const bp_real *z, const bp_real *a, const bp_real *d_a, bp_real *d_z) {
    (void)numbers, (void)z;
    for (size_t i = 0; i < rows * width; i++) d_z[i] = a[i] > 0 ? (bp_real)SCALE * d_a[i] : d_a[i] * (a[i] + (bp_real)(SCALE * ALPHA));
}

extern const struct bp_activation_ops bp_activation_selu;
const struct bp_activation_ops bp_activation_selu = {
    .entry = {.name = "selu", .summary = "Scaled exponential linear unit, which preserves mean 0 and variance 1 across layers"},
    .kinked = true,
    .rectifies = true,
    .bounds = {.has_low = true},
    .forward = forward,
    .backward = backward,
};

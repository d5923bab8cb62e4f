/* selu.c - scale * elu with the two constants that keep mean 0 and variance 1 (Klambauer, Unterthiner, Mayr, Hochreiter 2017). */
#include "engine/activations/activation.h"
#include "engine/kernels/kernels.h"

#define ALPHA 1.6732632423543772848170429916717
#define SCALE 1.0507009873554804934193349852946

static void forward(const double *numbers, size_t rows, size_t width, const bp_real *z, bp_real *a) {
    (void)numbers;
    bp_kernels()->elu(rows * width, (bp_real)SCALE, (bp_real)(SCALE * ALPHA), z, a);
}

static void backward(const double *numbers, size_t rows, size_t width, const bp_real *z, const bp_real *a, const bp_real *d_a, bp_real *d_z) {
    (void)numbers, (void)z;
    bp_kernels()->elu_backward(rows * width, (bp_real)SCALE, (bp_real)(SCALE * ALPHA), a, d_a, d_z);
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

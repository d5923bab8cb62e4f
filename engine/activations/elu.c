/* elu.c - a = z where z > 0, alpha (e^z - 1) elsewhere (Clevert, Unterthiner, Hochreiter 2016). The derivative comes from a: a + alpha. */
#include "engine/activations/activation.h"
#include "engine/kernels/kernels.h"

static void forward(const double *numbers, size_t rows, size_t width, const bp_real *z, bp_real *a) {
    bp_kernels()->elu(rows * width, 1, (bp_real)numbers[0], z, a);
}

static void backward(const double *numbers, size_t rows, size_t width, const bp_real *z, const bp_real *a, const bp_real *d_a, bp_real *d_z) {
    (void)z;
    bp_kernels()->elu_backward(rows * width, 1, (bp_real)numbers[0], a, d_a, d_z);
}

static const struct bp_param params[] = {
    {.name = "alpha",
     .type = BP_PARAM_NUMBER,
     .help = "Value approached for very negative z, with its sign changed",
     .preset = 1,
     .min = 0,
     .max = 100},
};

extern const struct bp_activation_ops bp_activation_elu;
const struct bp_activation_ops bp_activation_elu = {
    .entry = {.name = "elu",
              .summary = "Exponential linear unit: a = z, or alpha (e^z - 1) where z is negative",
              .params = params,
              .params_count = 1},
    .kinked = true,
    .rectifies = true,
    .bounds = {.has_low = true},
    .forward = forward,
    .backward = backward,
};

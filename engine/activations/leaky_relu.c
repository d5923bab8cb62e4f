/* leaky_relu.c - a = z where z > 0, negative_slope z elsewhere. */
#include "engine/activations/activation.h"
#include "engine/kernels/kernels.h"

static void forward(const double *numbers, size_t rows, size_t width, const bp_real *z, bp_real *a) {
    bp_kernels()->rectify(rows, width, (bp_real)numbers[0], NULL, z, a);
}

/* a has the sign of z. */
static void backward(const double *numbers, size_t rows, size_t width, const bp_real *z, const bp_real *a, const bp_real *d_a, bp_real *d_z) {
    (void)z;
    bp_kernels()->rectify_backward(rows * width, (bp_real)numbers[0], a, d_a, d_z);
}

static const struct bp_param params[] = {
    {.name = "negative_slope", .type = BP_PARAM_NUMBER, .help = "Slope where z is negative", .preset = 0.3, .min = 0, .max = 1},
};

extern const struct bp_activation_ops bp_activation_leaky_relu;
const struct bp_activation_ops bp_activation_leaky_relu = {
    .entry = {.name = "leaky_relu",
              .summary = "Leaky rectified linear unit: a = z, or negative_slope z where z is negative",
              .params = params,
              .params_count = 1},
    .kinked = true,
    .in_product = true,
    .rectifies = true,
    .forward = forward,
    .backward = backward,
};

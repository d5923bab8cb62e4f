/* prelu.c - a = z where z >= 0, alpha z elsewhere, alpha learned, one a channel. What is here is the function with the slope that alpha starts
 * from; layers compute it through engine/layers/activate.c, which knows the learned ones. */
#include "engine/activations/activation.h"
#include "engine/kernels/kernels.h"

static void forward(const double *numbers, size_t rows, size_t width, const bp_real *z, bp_real *a) {
    bp_kernels()->rectify(rows, width, (bp_real)numbers[0], NULL, z, a);
}

static void backward(const double *numbers, size_t rows, size_t width, const bp_real *z, const bp_real *a, const bp_real *d_a, bp_real *d_z) {
    (void)a;
    bp_kernels()->rectify_backward(rows * width, (bp_real)numbers[0], z, d_a, d_z);
}

static const struct bp_param params[] = {
    {.name = "alpha", .type = BP_PARAM_NUMBER, .help = "Initial slope for negative numbers", .preset = 0.25, .min = -1, .max = 1},
};

extern const struct bp_activation_ops bp_activation_prelu;
const struct bp_activation_ops bp_activation_prelu = {
    .entry = {.name = "prelu", .summary = "Like leaky_relu, with a trainable slope per channel", .params = params, .params_count = 1},
    .needs_z = true,
    .kinked = true,
    .learned = true,
    .rectifies = true,
    .forward = forward,
    .backward = backward,
};

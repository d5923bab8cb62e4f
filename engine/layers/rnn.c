/* rnn.c - a simple recurrent network: h = tanh(x W + h_before U + b). See recurrent.h. */
#include "engine/initializers/initializer.h"
#include "engine/kernels/kernels.h"
#include "engine/layers/recurrent.h"

extern const struct bp_initializer_ops bp_initializer_zeros;

static void step(size_t H, bp_real *z, const bp_real *r, const bp_real *h_before, const bp_real *c_before, bp_real *h, bp_real *c) {
    (void)r, (void)h_before, (void)c_before, (void)c;
    bp_kernels()->tanh(H, z, z);
    for (size_t j = 0; j < H; j++) h[j] = z[j];
}

static void step_back(size_t H, const bp_real *gates, const bp_real *h_before, const bp_real *c_before, const bp_real *c, bp_real *d_h, bp_real *d_c,
                      bp_real *d_z, bp_real *d_r) {
    (void)h_before, (void)c_before, (void)c, (void)d_c, (void)d_r;
    for (size_t j = 0; j < H; j++) {
        d_z[j] = d_h[j] * (1 - gates[j] * gates[j]);
        d_h[j] = 0;
    }
}

static const struct bp_cell cell = {.gates = 1,
                                    .joined = 1,
                                    .first_biases = &bp_initializer_zeros,
                                    .bounds = {.has_low = true, .has_high = true, .low = -1, .high = 1},
                                    .forward = step,
                                    .backward = step_back};

extern const struct bp_layer_ops bp_layer_rnn;
const struct bp_layer_ops bp_layer_rnn = {
    .entry = {.name = "rnn",
              .summary = "A simple recurrent network: its state passes through tanh at each step",
              .params = bp_recurrent_params,
              .params_count = BP_RECURRENT_PARAMS},
    .inputs_min = 1,
    .inputs_max = 1,
    .cell = &cell,
    .plan = bp_recurrent_plan,
    .forward = bp_recurrent_forward,
    .backward = bp_recurrent_backward,
};

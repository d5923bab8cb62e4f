/* gru.c - gated recurrent unit (Cho et al. 2014), in the form of cuDNN, PyTorch and Keras (reset_after). Gates in Keras's order,
 * u, r, n: n = tanh(x W_n + b_n + r q), q = h_before U_n + b2_n; h = u h_before + (1 - u) n. q is kept in c. See recurrent.h. */
#include "engine/initializers/initializer.h"
#include "engine/kernels/kernels.h"
#include "engine/layers/recurrent.h"

extern const struct bp_initializer_ops bp_initializer_zeros;

static void step(size_t H, bp_real *z, const bp_real *r, const bp_real *h_before, const bp_real *c_before, bp_real *h, bp_real *c) {
    (void)c_before;
    bp_kernels()->sigmoid(2 * H, z, z);
    for (size_t j = 0; j < H; j++) {
        c[j] = r[2 * H + j];
        z[2 * H + j] += z[H + j] * c[j];
    }
    bp_kernels()->tanh(H, z + 2 * H, z + 2 * H);
    for (size_t j = 0; j < H; j++) h[j] = z[j] * h_before[j] + (1 - z[j]) * z[2 * H + j];
}

static void step_back(size_t H, const bp_real *gates, const bp_real *h_before, const bp_real *c_before, const bp_real *c, bp_real *d_h, bp_real *d_c,
                      bp_real *d_z, bp_real *d_r) {
    (void)c_before, (void)d_c;
    for (size_t j = 0; j < H; j++) {
        const bp_real u = gates[j], reset = gates[H + j], n = gates[2 * H + j];
        const bp_real d_n = d_h[j] * (1 - u) * (1 - n * n);
        d_z[2 * H + j] = d_n;
        d_r[2 * H + j] = d_n * reset;
        d_z[H + j] = d_r[H + j] = d_n * c[j] * reset * (1 - reset);
        d_z[j] = d_r[j] = d_h[j] * (h_before[j] - n) * u * (1 - u);
        d_h[j] *= u;
    }
}

static const struct bp_cell cell = {.gates = 3,
                                    .joined = 2,
                                    .apart = true,
                                    .first_biases = &bp_initializer_zeros,
                                    .bounds = {.has_low = true, .has_high = true, .low = -1, .high = 1},
                                    .forward = step,
                                    .backward = step_back};

extern const struct bp_layer_ops bp_layer_gru;
const struct bp_layer_ops bp_layer_gru = {
    .entry = {.name = "gru",
              .summary = "Gated recurrent unit: like lstm with fewer weights",
              .params = bp_recurrent_params,
              .params_count = BP_RECURRENT_PARAMS},
    .inputs_min = 1,
    .inputs_max = 1,
    .cell = &cell,
    .plan = bp_recurrent_plan,
    .forward = bp_recurrent_forward,
    .backward = bp_recurrent_backward,
};

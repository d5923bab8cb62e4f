/* lstm.c - long short-term memory (Hochreiter, Schmidhuber 1997; forget gate: Gers 1999). Gates in Keras's order, i, f, g, o:
 * c = f c_before + i g; h = o tanh(c); i, f, o by sigmoid, g by tanh. The bias of f is 1 at first. See recurrent.h. */
#include "engine/initializers/initializer.h"
#include "engine/kernels/kernels.h"
#include "engine/layers/recurrent.h"

/* 0, and 1 for the second gate. */
static void fill_biases(const struct bp_tensor *tensor, struct bp_random *random, bp_real *W, size_t n) {
    (void)tensor, (void)random;
    for (size_t i = 0; i < n; i++) W[i] = i >= n / 4 && i < n / 2;
}

static const struct bp_initializer_ops first_biases = {.entry = {.name = "forget_ones", .summary = "0, and 1 for the forget gate"},
                                                       .fill = fill_biases};

static void step(size_t H, bp_real *z, const bp_real *r, const bp_real *h_before, const bp_real *c_before, bp_real *h, bp_real *c) {
    (void)r, (void)h_before;
    bp_kernels()->sigmoid(2 * H, z, z);
    bp_kernels()->tanh(H, z + 2 * H, z + 2 * H);
    bp_kernels()->sigmoid(H, z + 3 * H, z + 3 * H);
    for (size_t j = 0; j < H; j++) c[j] = z[H + j] * c_before[j] + z[j] * z[2 * H + j];
    bp_kernels()->tanh(H, c, h);
    for (size_t j = 0; j < H; j++) h[j] *= z[3 * H + j];
}

static void step_back(size_t H, const bp_real *gates, const bp_real *h_before, const bp_real *c_before, const bp_real *c, bp_real *d_h, bp_real *d_c,
                      bp_real *d_z, bp_real *d_r) {
    (void)h_before, (void)d_r;
    bp_kernels()->tanh(H, c, d_z); /* stored where d_i is written next */
    for (size_t j = 0; j < H; j++) {
        const bp_real i = gates[j], f = gates[H + j], g = gates[2 * H + j], o = gates[3 * H + j], t = d_z[j];
        const bp_real d_cell = d_c[j] + d_h[j] * o * (1 - t * t);
        d_z[3 * H + j] = d_h[j] * t * o * (1 - o);
        d_z[2 * H + j] = d_cell * i * (1 - g * g);
        d_z[H + j] = d_cell * c_before[j] * f * (1 - f);
        d_z[j] = d_cell * g * i * (1 - i);
        d_c[j] = d_cell * f;
        d_h[j] = 0;
    }
}

static const struct bp_cell cell = {.gates = 4,
                                    .joined = 4,
                                    .first_biases = &first_biases,
                                    .bounds = {.has_low = true, .has_high = true, .low = -1, .high = 1},
                                    .forward = step,
                                    .backward = step_back};

extern const struct bp_layer_ops bp_layer_lstm;
const struct bp_layer_ops bp_layer_lstm = {
    .entry = {.name = "lstm",
              .summary = "Long short-term memory: a recurrent network with memory over many steps",
              .params = bp_recurrent_params,
              .params_count = BP_RECURRENT_PARAMS},
    .inputs_min = 1,
    .inputs_max = 1,
    .cell = &cell,
    .plan = bp_recurrent_plan,
    .forward = bp_recurrent_forward,
    .backward = bp_recurrent_backward,
};

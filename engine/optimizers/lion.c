/* lion.c - Lion (Chen et al. 2023), with decoupled weight decay:
 * W -= lr (sign(beta_1 m + (1 - beta_1) g) + weight_decay W); m = beta_2 m + (1 - beta_2) g. Not a number stays one. */
#include "engine/optimizers/optimizer.h"

enum { LEARNING_RATE, BETA_1, BETA_2, WEIGHT_DECAY, WEIGHT_DECAY_ON, PARAMS };

static int32_t slots(const struct bp_value *values) {
    (void)values;
    return 1;
}

static void update(const struct bp_update *update) {
    const bp_real *restrict g = update->g;
    bp_real *restrict W = update->W, *restrict m = update->slots[0];
    const struct bp_value *values = update->values;
    const bp_real rate = (bp_real)update->learning_rate, shrink = (bp_real)(1 - update->learning_rate * values[WEIGHT_DECAY].number * update->decay);
    const bp_real beta_1 = (bp_real)values[BETA_1].number, fresh_1 = (bp_real)(1 - values[BETA_1].number);
    const bp_real beta_2 = (bp_real)values[BETA_2].number, fresh_2 = (bp_real)(1 - values[BETA_2].number);
    for (size_t i = 0; i < update->n; i++) {
        const bp_real u = beta_1 * m[i] + fresh_1 * g[i];
        W[i] = shrink * W[i] - (u > 0 ? rate : u < 0 ? -rate : u);
        m[i] = beta_2 * m[i] + fresh_2 * g[i];
    }
}

static const struct bp_param params[PARAMS] = {
    [LEARNING_RATE] = {.name = "learning_rate", .type = BP_PARAM_NUMBER, .help = "Learning rate", .preset = 0.0001, .min = 0, .max = 1e6},
    [BETA_1] = {.name = "beta_1",
                .type = BP_PARAM_NUMBER,
                .help = "Weight of the mean gradient in the direction of a step",
                .preset = 0.9,
                .min = 0,
                .max = 1,
                .flags = BP_PARAM_MAX_OPEN},
    [BETA_2] = {.name = "beta_2",
                .type = BP_PARAM_NUMBER,
                .help = "Decay of the mean of the gradient",
                .preset = 0.99,
                .min = 0,
                .max = 1,
                .flags = BP_PARAM_MAX_OPEN},
    [WEIGHT_DECAY] = BP_WEIGHT_DECAY(0),
    [WEIGHT_DECAY_ON] = BP_WEIGHT_DECAY_ON,
};

extern const struct bp_optimizer_ops bp_optimizer_lion;
const struct bp_optimizer_ops bp_optimizer_lion = {
    .entry = {.name = "lion",
              .summary = "Lion: steps of one size, in the direction of the sign of the recent gradient",
              .params = params,
              .params_count = PARAMS},
    .slots = slots,
    .update = update,
    .decays = true,
    .decay_index = WEIGHT_DECAY_ON,
};

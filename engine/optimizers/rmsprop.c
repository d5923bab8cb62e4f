/* rmsprop.c - RMSprop (Tieleman, Hinton 2012), PyTorch's formula (its alpha is rho):
 * v = rho v + (1 - rho) g^2; u = momentum u + g / (sqrt(v) + epsilon); W -= lr u. */
#include "engine/kernels/kernels.h"
#include "engine/optimizers/optimizer.h"

enum { LEARNING_RATE, RHO, MOMENTUM, EPSILON, PARAMS };

static int32_t slots(const struct bp_value *values) {
    return values[MOMENTUM].number > 0 ? 2 : 1;
}

static void update(const struct bp_update *update) {
    const struct bp_value *values = update->values;
    const struct bp_step step = {.n = update->n,
                                 .g = update->g,
                                 .W = update->W,
                                 .first = slots(values) > 1 ? update->slots[1] : NULL,
                                 .second = update->slots[0],
                                 .learning_rate = (bp_real)update->learning_rate,
                                 .beta_1 = (bp_real)values[MOMENTUM].number,
                                 .beta_2 = (bp_real)values[RHO].number,
                                 .fresh_2 = (bp_real)(1 - values[RHO].number),
                                 .epsilon = (bp_real)values[EPSILON].number};
    bp_kernels()->rmsprop(&step);
}

static const struct bp_param params[PARAMS] = {
    [LEARNING_RATE] = {.name = "learning_rate", .type = BP_PARAM_NUMBER, .help = "Learning rate", .preset = 0.001, .min = 0, .max = 1e6},
    [RHO] = {.name = "rho",
             .type = BP_PARAM_NUMBER,
             .help = "Decay of the mean of the gradient's square (PyTorch's alpha)",
             .preset = 0.9,
             .min = 0,
             .max = 1,
             .flags = BP_PARAM_MAX_OPEN},
    [MOMENTUM] = {.name = "momentum",
                  .type = BP_PARAM_NUMBER,
                  .help = "Fraction of the previous step that is added",
                  .min = 0,
                  .max = 1,
                  .flags = BP_PARAM_MAX_OPEN},
    [EPSILON] = {.name = "epsilon",
                 .type = BP_PARAM_NUMBER,
                 .help = "Added to the divisor for stability (PyTorch's default; Keras has 1e-7)",
                 .preset = 1e-8,
                 .min = 0,
                 .max = 1,
                 .flags = BP_PARAM_MIN_OPEN},
};

extern const struct bp_optimizer_ops bp_optimizer_rmsprop;
const struct bp_optimizer_ops bp_optimizer_rmsprop = {
    .entry = {.name = "rmsprop", .summary = "RMSprop: steps scaled by the size of recent gradients", .params = params, .params_count = PARAMS},
    .slots = slots,
    .update = update,
};

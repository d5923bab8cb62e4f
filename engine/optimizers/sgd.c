/* sgd.c - stochastic gradient descent, PyTorch's formula: v = momentum v + g; W -= lr v, or lr (g + momentum v) with nesterov. */
#include "engine/kernels/kernels.h"
#include "engine/optimizers/optimizer.h"

enum { LEARNING_RATE, MOMENTUM, NESTEROV, PARAMS };

static int32_t slots(const struct bp_value *values) {
    return values[MOMENTUM].number > 0 ? 1 : 0;
}

static void update(const struct bp_update *update) {
    const struct bp_value *values = update->values;
    const struct bp_step step = {.n = update->n,
                                 .g = update->g,
                                 .W = update->W,
                                 .first = slots(values) ? update->slots[0] : NULL,
                                 .learning_rate = (bp_real)update->learning_rate,
                                 .beta_1 = (bp_real)values[MOMENTUM].number,
                                 .nesterov = values[NESTEROV].number != 0};
    bp_kernels()->sgd(&step);
}

static const struct bp_param params[PARAMS] = {
    [LEARNING_RATE] = {.name = "learning_rate", .type = BP_PARAM_NUMBER, .help = "Learning rate", .preset = 0.01, .min = 0, .max = 1e6},
    [MOMENTUM] = {.name = "momentum",
                  .type = BP_PARAM_NUMBER,
                  .help = "Fraction of the previous step that is added",
                  .min = 0,
                  .max = 1,
                  .flags = BP_PARAM_MAX_OPEN},
    [NESTEROV] = {.name = "nesterov", .type = BP_PARAM_BOOLEAN, .help = "Look ahead along the momentum (Nesterov)"},
};

extern const struct bp_optimizer_ops bp_optimizer_sgd;
const struct bp_optimizer_ops bp_optimizer_sgd = {
    .entry = {.name = "sgd", .summary = "Stochastic gradient descent, with optional momentum", .params = params, .params_count = PARAMS},
    .slots = slots,
    .update = update,
};

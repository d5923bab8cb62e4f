/* adagrad.c - Adagrad (Duchi, Hazan, Singer 2011), PyTorch's formula: v += g^2; W -= lr g / (sqrt(v) + epsilon). */
#include "engine/optimizers/optimizer.h"
#include "engine/optimizers/root.h"

enum { LEARNING_RATE, EPSILON, PARAMS };

static int32_t slots(const struct bp_value *values) {
    (void)values;
    return 1;
}

static void update(const struct bp_update *update) {
    const bp_real *restrict g = update->g;
    bp_real *restrict W = update->W, *restrict v = update->slots[0];
    const bp_real rate = (bp_real)update->learning_rate, epsilon = (bp_real)update->values[EPSILON].number;
    for (size_t i = 0; i < update->n; i++) {
        v[i] += g[i] * g[i];
        W[i] -= rate * g[i] / (bp_root(v[i]) + epsilon);
    }
}

static const struct bp_param params[PARAMS] = {
    [LEARNING_RATE] = {.name = "learning_rate", .type = BP_PARAM_NUMBER, .help = "Learning rate", .preset = 0.01, .min = 0, .max = 1e6},
    [EPSILON] = {.name = "epsilon",
                 .type = BP_PARAM_NUMBER,
                 .help = "Added to the divisor for stability (PyTorch's default)",
                 .preset = 1e-10,
                 .min = 0,
                 .max = 1,
                 .flags = BP_PARAM_MIN_OPEN},
};

extern const struct bp_optimizer_ops bp_optimizer_adagrad;
const struct bp_optimizer_ops bp_optimizer_adagrad = {
    .entry = {.name = "adagrad",
              .summary = "Adagrad: the steps of a weight shrink with the sum of its squared gradients",
              .params = params,
              .params_count = PARAMS},
    .slots = slots,
    .update = update,
};

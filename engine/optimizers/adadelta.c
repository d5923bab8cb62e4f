/* adadelta.c - Adadelta (Zeiler 2012), PyTorch's formula:
 * v = rho v + (1 - rho) g^2; u = g sqrt(s + epsilon) / sqrt(v + epsilon); s = rho s + (1 - rho) u^2; W -= lr u. */
#include "engine/optimizers/optimizer.h"
#include "engine/optimizers/root.h"

enum { LEARNING_RATE, RHO, EPSILON, PARAMS };

static int32_t slots(const struct bp_value *values) {
    (void)values;
    return 2;
}

static void update(const struct bp_update *update) {
    const bp_real *restrict g = update->g;
    bp_real *restrict W = update->W, *restrict v = update->slots[0], *restrict s = update->slots[1];
    const bp_real rate = (bp_real)update->learning_rate, epsilon = (bp_real)update->values[EPSILON].number;
    const bp_real rho = (bp_real)update->values[RHO].number, fresh = (bp_real)(1 - update->values[RHO].number);
    for (size_t i = 0; i < update->n; i++) {
        v[i] = rho * v[i] + fresh * (g[i] * g[i]);
        const bp_real u = g[i] * bp_root(s[i] + epsilon) / bp_root(v[i] + epsilon);
        s[i] = rho * s[i] + fresh * (u * u);
        W[i] -= rate * u;
    }
}

static const struct bp_param params[PARAMS] = {
    [LEARNING_RATE] = {.name = "learning_rate", .type = BP_PARAM_NUMBER, .help = "Learning rate", .preset = 1, .min = 0, .max = 1e6},
    [RHO] = {.name = "rho",
             .type = BP_PARAM_NUMBER,
             .help = "Decay of the means of the squares",
             .preset = 0.9,
             .min = 0,
             .max = 1,
             .flags = BP_PARAM_MAX_OPEN},
    [EPSILON] = {.name = "epsilon",
                 .type = BP_PARAM_NUMBER,
                 .help = "Added to the divisor for stability (PyTorch's default)",
                 .preset = 1e-6,
                 .min = 0,
                 .max = 1,
                 .flags = BP_PARAM_MIN_OPEN},
};

extern const struct bp_optimizer_ops bp_optimizer_adadelta;
const struct bp_optimizer_ops bp_optimizer_adadelta = {
    .entry = {.name = "adadelta",
              .summary = "Adadelta: steps scaled by the sizes of recent gradients and of recent steps",
              .params = params,
              .params_count = PARAMS},
    .slots = slots,
    .update = update,
};

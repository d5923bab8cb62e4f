/* rprop.c - Rprop (Riedmiller, Braun 1993), PyTorch's formula: each weight has a step of its own, learning_rate at first, which grows by
 * eta_plus while the gradient keeps its sign and shrinks by eta_minus when it changes; then the weight is unchanged for one step. It
 * looks at signs alone, so it wants the whole data set in one batch. */
#include "engine/optimizers/optimizer.h"

enum { LEARNING_RATE, ETA_PLUS, ETA_MINUS, STEP_MIN, STEP_MAX, PARAMS };

static int32_t slots(const struct bp_value *values) {
    (void)values;
    return 2;
}

static void update(const struct bp_update *update) {
    const bp_real *restrict g = update->g;
    bp_real *restrict W = update->W, *restrict step = update->slots[0], *restrict before = update->slots[1];
    const struct bp_value *values = update->values;
    const bp_real first = (bp_real)update->learning_rate, grow = (bp_real)values[ETA_PLUS].number, shrink = (bp_real)values[ETA_MINUS].number;
    const bp_real least = (bp_real)values[STEP_MIN].number, most = (bp_real)values[STEP_MAX].number;
    for (size_t i = 0; i < update->n; i++) {
        const bp_real agree = g[i] * before[i], held = step[i] > 0 ? step[i] : first;
        const bp_real next = held * (agree > 0 ? grow : agree < 0 ? shrink : 1);
        step[i] = next < least ? least : next > most ? most : next;
        const bp_real now = agree < 0 ? 0 : g[i];
        W[i] -= now > 0 ? step[i] : now < 0 ? -step[i] : now;
        before[i] = now;
    }
}

static const struct bp_param params[PARAMS] = {
    [LEARNING_RATE] = {.name = "learning_rate", .type = BP_PARAM_NUMBER, .help = "Size of the first step", .preset = 0.01, .min = 0, .max = 1e6},
    [ETA_PLUS] =
        {.name = "eta_plus", .type = BP_PARAM_NUMBER, .help = "Growth of a step while the sign is unchanged", .preset = 1.2, .min = 1, .max = 100},
    [ETA_MINUS] = {.name = "eta_minus",
                   .type = BP_PARAM_NUMBER,
                   .help = "Shrinking of a step when the sign changes",
                   .preset = 0.5,
                   .min = 0,
                   .max = 1,
                   .flags = BP_PARAM_MIN_OPEN},
    [STEP_MIN] =
        {.name = "step_min", .type = BP_PARAM_NUMBER, .help = "Smallest step", .preset = 1e-6, .min = 0, .max = 1, .flags = BP_PARAM_MIN_OPEN},
    [STEP_MAX] =
        {.name = "step_max", .type = BP_PARAM_NUMBER, .help = "Largest step", .preset = 50, .min = 0, .max = 1e6, .flags = BP_PARAM_MIN_OPEN},
};

extern const struct bp_optimizer_ops bp_optimizer_rprop;
const struct bp_optimizer_ops bp_optimizer_rprop = {
    .entry = {.name = "rprop",
              .summary = "Rprop: a separate step per weight, from the sign of the gradient; for the whole dataset in one batch",
              .params = params,
              .params_count = PARAMS},
    .slots = slots,
    .signs = true,
    .whole = true,
    .update = update,
};

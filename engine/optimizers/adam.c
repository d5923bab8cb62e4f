/* adam.c - Adam (Kingma, Ba 2015).
 * m = beta_1 m + (1 - beta_1) g; v = beta_2 v + (1 - beta_2) g^2;
 * W -= lr m / (1 - beta_1^t) / (sqrt(v / (1 - beta_2^t)) + epsilon); with amsgrad the largest v so far in its place. PyTorch's formula and
 * constants. */
#include "engine/kernels/kernels.h"
#include "engine/optimizers/adam_family.h"
#include "engine/optimizers/root.h"

int32_t bp_adam_slots(const struct bp_value *values) {
    return values[ADAM_AMSGRAD].number != 0 ? 3 : 2;
}

/* top: the largest second moment so far. Not a number stays one. */
static void amsgrad(const struct bp_step *step, bp_real *restrict top) {
    const bp_real *restrict g = step->g;
    bp_real *restrict W = step->W, *restrict m = step->first, *restrict v = step->second;
    for (size_t i = 0; i < step->n; i++) {
        m[i] = step->beta_1 * m[i] + step->fresh_1 * g[i];
        v[i] = step->beta_2 * v[i] + step->fresh_2 * (g[i] * g[i]);
        top[i] = top[i] >= v[i] ? top[i] : v[i];
        W[i] = step->shrink * W[i] - step->learning_rate * m[i] / (bp_root(top[i]) * step->root + step->epsilon);
    }
}

void bp_adam_update(const struct bp_update *update, double shrink) {
    const double beta_1 = update->values[ADAM_BETA_1].number, beta_2 = update->values[ADAM_BETA_2].number;
    const struct bp_step step = {.n = update->n,
                                 .g = update->g,
                                 .W = update->W,
                                 .first = update->slots[0],
                                 .second = update->slots[1],
                                 .learning_rate = (bp_real)(update->learning_rate / (1 - bp_power(beta_1, update->step))),
                                 .beta_1 = (bp_real)beta_1,
                                 .beta_2 = (bp_real)beta_2,
                                 .fresh_1 = (bp_real)(1 - beta_1),
                                 .fresh_2 = (bp_real)(1 - beta_2),
                                 .root = (bp_real)(1 / sqrt(1 - bp_power(beta_2, update->step))),
                                 .epsilon = (bp_real)update->values[ADAM_EPSILON].number,
                                 .shrink = (bp_real)shrink};
    if (update->values[ADAM_AMSGRAD].number != 0) amsgrad(&step, update->slots[2]);
    else bp_kernels()->adam(&step);
}

static void update(const struct bp_update *update) {
    bp_adam_update(update, 1);
}

static const struct bp_param params[] = {ADAM_FAMILY_PARAMS};

extern const struct bp_optimizer_ops bp_optimizer_adam;
const struct bp_optimizer_ops bp_optimizer_adam = {
    .entry = {.name = "adam",
              .summary = "Adam: steps scaled by the mean and variance of the gradient",
              .params = params,
              .params_count = ADAM_PARAMS},
    .slots = bp_adam_slots,
    .update = update,
};

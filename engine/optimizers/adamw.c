/* adamw.c - Adam with decoupled weight decay (Loshchilov, Hutter 2019): first W -= lr weight_decay W.
 * m = beta_1 m + (1 - beta_1) g; v = beta_2 v + (1 - beta_2) g^2;
 * W -= lr m / (1 - beta_1^t) / (sqrt(v / (1 - beta_2^t)) + epsilon). PyTorch's formula and constants. */
#include "engine/optimizers/adam_family.h"

enum { WEIGHT_DECAY = ADAM_PARAMS, WEIGHT_DECAY_ON, PARAMS };

static void update(const struct bp_update *update) {
    bp_adam_update(update, 1 - update->learning_rate * update->values[WEIGHT_DECAY].number * update->decay);
}

static const struct bp_param params[] = {
    ADAM_FAMILY_PARAMS,
    [WEIGHT_DECAY] = BP_WEIGHT_DECAY(0.01),
    [WEIGHT_DECAY_ON] = BP_WEIGHT_DECAY_ON,
};

extern const struct bp_optimizer_ops bp_optimizer_adamw;
const struct bp_optimizer_ops bp_optimizer_adamw = {
    .entry = {.name = "adamw", .summary = "Adam with decoupled weight decay", .params = params, .params_count = PARAMS},
    .slots = bp_adam_slots,
    .update = update,
    .decays = true,
    .decay_index = WEIGHT_DECAY_ON,
};

/* adamw.c - Adam with decoupled weight decay (Loshchilov, Hutter 2019): first W -= lr weight_decay W.
 * m = beta_1 m + (1 - beta_1) g; v = beta_2 v + (1 - beta_2) g^2;
 * W -= lr m / (1 - beta_1^t) / (sqrt(v / (1 - beta_2^t)) + epsilon). PyTorch's formula and constants. */
#include "engine/optimizers/adam_family.h"

enum { WEIGHT_DECAY = ADAM_PARAMS, PARAMS };

static void update(const struct bp_update *update) {
    bp_adam_update(update, 1 - update->learning_rate * update->values[WEIGHT_DECAY].number);
}

static const struct bp_param params[] = {
    ADAM_FAMILY_PARAMS,
    [WEIGHT_DECAY] = {.name = "weight_decay",
                      .type = BP_PARAM_NUMBER,
                      .help = "Weight decay per step, as a fraction of the weight times the learning rate",
                      .preset = 0.01,
                      .min = 0,
                      .max = 1e6},
};

extern const struct bp_optimizer_ops bp_optimizer_adamw;
const struct bp_optimizer_ops bp_optimizer_adamw = {
    .entry = {.name = "adamw", .summary = "Adam with decoupled weight decay", .params = params, .params_count = PARAMS},
    .slots = bp_adam_slots,
    .update = update,
};

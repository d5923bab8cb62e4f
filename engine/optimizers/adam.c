/* adam.c - Adam (Kingma, Ba 2015).
 * m = beta_1 m + (1 - beta_1) g; v = beta_2 v + (1 - beta_2) g^2;
 * W -= lr m / (1 - beta_1^t) / (sqrt(v / (1 - beta_2^t)) + epsilon). PyTorch's formula and constants. */
#include "kernels/kernels.h"
#include "optimizer.h"

#include <math.h>

enum { LEARNING_RATE, BETA_1, BETA_2, EPSILON, PARAMS };

static int32_t slots(const struct bp_value *values) {
    (void)values;
    return 2;
}

/* base^n by squaring: the same bits on every machine, which pow of libm does not promise. */
static double power(double base, uint64_t n) {
    double result = 1;
    for (; n; n >>= 1, base *= base)
        if (n & 1) result *= base;
    return result;
}

static void update(const struct bp_update *update) {
    const double beta_1 = update->values[BETA_1].number, beta_2 = update->values[BETA_2].number;
    const struct bp_step step = {.n = update->n,
                                 .g = update->g,
                                 .W = update->W,
                                 .first = update->slots[0],
                                 .second = update->slots[1],
                                 .learning_rate = (bp_real)(update->learning_rate / (1 - power(beta_1, update->step))),
                                 .beta_1 = (bp_real)beta_1,
                                 .beta_2 = (bp_real)beta_2,
                                 .fresh_1 = (bp_real)(1 - beta_1),
                                 .fresh_2 = (bp_real)(1 - beta_2),
                                 .root = (bp_real)(1 / sqrt(1 - power(beta_2, update->step))),
                                 .epsilon = (bp_real)update->values[EPSILON].number,
                                 .shrink = 1};
    bp_kernels()->adam(&step);
}

static const struct bp_param params[PARAMS] = {
    [LEARNING_RATE] = {.name = "learning_rate", .type = BP_PARAM_NUMBER, .help = "Size of a step", .preset = 0.001, .min = 0, .max = 1e6},
    [BETA_1] = {.name = "beta_1",
                .type = BP_PARAM_NUMBER,
                .help = "Decay of the mean of the gradient",
                .preset = 0.9,
                .min = 0,
                .max = 1,
                .flags = BP_PARAM_MAX_OPEN},
    [BETA_2] = {.name = "beta_2",
                .type = BP_PARAM_NUMBER,
                .help = "Decay of the mean of its square",
                .preset = 0.999,
                .min = 0,
                .max = 1,
                .flags = BP_PARAM_MAX_OPEN},
    [EPSILON] = {.name = "epsilon",
                 .type = BP_PARAM_NUMBER,
                 .help = "Keeps the division finite (PyTorch's default; Keras has 1e-7)",
                 .preset = 1e-8,
                 .min = 0,
                 .max = 1,
                 .flags = BP_PARAM_MIN_OPEN},
};

extern const struct bp_optimizer_ops bp_optimizer_adam;
const struct bp_optimizer_ops bp_optimizer_adam = {
    .entry = {.name = "adam", .summary = "Adam: steps scaled by the mean and variance of the gradient", .params = params, .params_count = PARAMS},
    .slots = slots,
    .update = update,
};

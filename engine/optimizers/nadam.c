/* nadam.c - Adam with Nesterov's momentum (Dozat 2016), PyTorch's formula. The momentum of step t grows from beta_1 / 2 to beta_1:
 * mu_t = beta_1 (1 - 0.96^(t momentum_decay) / 2), P_t = mu_1 mu_2 ... mu_t.
 * m = beta_1 m + (1 - beta_1) g; v = beta_2 v + (1 - beta_2) g^2;
 * W -= lr ((1 - mu_t) / (1 - P_t) g + mu_t+1 / (1 - P_t+1) m) / (sqrt(v / (1 - beta_2^t)) + epsilon). */
#include "engine/optimizers/adam_family.h"
#include "engine/optimizers/root.h"

enum { MOMENTUM_DECAY = ADAM_MOMENTS, PARAMS };

static int32_t slots(const struct bp_value *values) {
    (void)values;
    return 2;
}

/* mu and P of a step. A product too small to change 1 is left at that: so it takes a few hundred factors, not one for every step so far. */
static void momentum(const struct bp_value *values, uint64_t step, double *mu, double *product) {
    const double beta = values[ADAM_BETA_1].number, decay = pow(0.96, values[MOMENTUM_DECAY].number);
    double power = 1;
    *product = 1;
    for (uint64_t t = 1; t <= step && *product > 1e-18; t++) {
        power *= decay;
        *product *= beta * (1 - power / 2);
    }
    *mu = beta * (1 - bp_power(decay, step) / 2);
}

static void update(const struct bp_update *update) {
    const struct bp_value *values = update->values;
    double mu, product, mu_next, product_next;
    momentum(values, update->step, &mu, &product);
    momentum(values, update->step + 1, &mu_next, &product_next);
    const double beta_1 = values[ADAM_BETA_1].number, beta_2 = values[ADAM_BETA_2].number;
    const bp_real *restrict g = update->g;
    bp_real *restrict W = update->W, *restrict m = update->slots[0], *restrict v = update->slots[1];
    const bp_real of_g = (bp_real)(update->learning_rate * (1 - mu) / (1 - product));
    const bp_real of_m = (bp_real)(update->learning_rate * mu_next / (1 - product_next));
    const bp_real old_1 = (bp_real)beta_1, fresh_1 = (bp_real)(1 - beta_1), old_2 = (bp_real)beta_2, fresh_2 = (bp_real)(1 - beta_2);
    const bp_real scale = (bp_real)(1 / sqrt(1 - bp_power(beta_2, update->step))), epsilon = (bp_real)values[ADAM_EPSILON].number;
    for (size_t i = 0; i < update->n; i++) {
        m[i] = old_1 * m[i] + fresh_1 * g[i];
        v[i] = old_2 * v[i] + fresh_2 * (g[i] * g[i]);
        W[i] -= (of_g * g[i] + of_m * m[i]) / (bp_root(v[i]) * scale + epsilon);
    }
}

static const struct bp_param params[] = {
    ADAM_MOMENTS_PARAMS(0.002),
    [MOMENTUM_DECAY] = {.name = "momentum_decay",
                        .type = BP_PARAM_NUMBER,
                        .help = "Rate at which the momentum approaches beta_1",
                        .preset = 0.004,
                        .min = 0,
                        .max = 1e3},
};

extern const struct bp_optimizer_ops bp_optimizer_nadam;
const struct bp_optimizer_ops bp_optimizer_nadam = {
    .entry = {.name = "nadam", .summary = "Adam that looks ahead along its momentum (Nesterov)", .params = params, .params_count = PARAMS},
    .slots = slots,
    .update = update,
};

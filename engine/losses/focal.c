/* focal.c - -(1 - p)^gamma ln p of the true class, p from the softmax of z (B, classes); y (B, 1) class numbers (Lin et al. 2017): what is
 * known already counts less. With l = ln p = z_y - ln(sum of e^z): dL/dl = gamma (1 - p)^(gamma - 1) p l - (1 - p)^gamma,
 * dl/dz_j = [j = y] - p_j. gamma 0 is cross_entropy. */
#include "engine/activations/activation.h"
#include "engine/kernels/kernels.h"
#include "engine/losses/sample.h"

#include <math.h>

extern const struct bp_activation_ops bp_activation_softmax;

enum { GAMMA, PARAMS };

extern const struct bp_loss_ops bp_loss_focal;

static int check(const struct bp_value *values, const struct bp_shape *output, struct bp_error *error) {
    (void)values;
    return bp_loss_check_classes(&bp_loss_focal, output, error);
}

static double evaluate(const struct bp_value *values, const struct bp_loss_call *call) {
    const double gamma = values[GAMMA].number;
    const size_t width = (size_t)call->width;
    double loss = 0;
    for (size_t i = 0; i < (size_t)call->batch; i++) {
        const bp_real *z = call->z + i * width, y = call->y[i]; /* (classes) */
        const double weight = bp_sample_weight(call->weights, i), all = bp_log_sum(width, z);
        const bool known = y >= 0 && y < (bp_real)width;
        const size_t label = known ? (size_t)y : 0;
        const double l = known ? (double)z[label] - all : (double)NAN, missing = -expm1(l); /* 1 - p */
        const double power = pow(missing, gamma), steep = gamma > 0 && missing > 0 ? gamma * power / missing * exp(l) * l : 0;
        const double slope = weight * call->scale * (steep - power);
        for (size_t j = 0; call->d_z && j < width; j++) call->d_z[i * width + j] = (bp_real)(slope * ((j == label) - exp((double)z[j] - all)));
        loss -= weight * power * l;
        bp_loss_count(call, i, -power * l);
    }
    bp_kernels()->softmax((size_t)call->batch, width, call->z, call->z);
    return loss;
}

static const struct bp_param params[PARAMS] = {
    [GAMMA] = {.name = "gamma",
               .type = BP_PARAM_NUMBER,
               .help = "Strength of the reduction for well-classified samples",
               .preset = 2,
               .min = 0,
               .max = 100},
};

const struct bp_loss_ops bp_loss_focal = {
    .entry = {.name = "focal",
              .summary = "Cross-entropy of softmax that reduces the weight of well-classified samples",
              .params = params,
              .params_count = PARAMS},
    .target = BP_TARGET_CLASS,
    .head = &bp_activation_softmax,
    .check = check,
    .evaluate = evaluate,
};

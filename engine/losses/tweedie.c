/* tweedie.c - mean of e^((2 - p) z) / (2 - p) - y e^((1 - p) z) / (1 - p) over the numbers of a sample, 1 < p < 2: minus the logarithm of a Tweedie
 * distribution's density of y where e^z is expected, without what nothing learns from (Jorgensen 1987); z, y (B, width). Such y are 0 or positive, as
 * sums of claims are; their variance grows as the power p of their mean. The output is fused with exponential, and predictions are means. */
#include "engine/activations/activation.h"
#include "engine/kernels/kernels.h"
#include "engine/losses/sample.h"

#include <math.h>

extern const struct bp_activation_ops bp_activation_exponential;

enum { POWER, PARAMS };

static double number(const struct bp_value *values, double z, double y, double *slope) {
    const double p = values[POWER].number, amount = y >= 0 ? y : (double)NAN, below = exp((1 - p) * z), above = exp((2 - p) * z);
    if (slope) *slope = above - amount * below;
    return above / (2 - p) - amount * below / (1 - p);
}

static double evaluate(const struct bp_value *values, const struct bp_loss_call *call) {
    const double loss = bp_loss_numbers(values, call, number);
    bp_kernels()->exp((size_t)call->batch * (size_t)call->width, call->z, call->z);
    return loss;
}

static const struct bp_param params[PARAMS] = {
    [POWER] = {.name = "power",
               .type = BP_PARAM_NUMBER,
               .help = "Power of the mean that the variance grows with: near 1 as for counts, near 2 as for gamma",
               .preset = 1.5,
               .min = 1,
               .max = 2,
               .flags = BP_PARAM_MIN_OPEN | BP_PARAM_MAX_OPEN},
};

extern const struct bp_loss_ops bp_loss_tweedie;
const struct bp_loss_ops bp_loss_tweedie = {
    .entry = {.name = "tweedie",
              .summary = "For amounts that are often 0 and never negative: the output is their mean, the exponential of what the network computes",
              .params = params,
              .params_count = PARAMS},
    .target = BP_TARGET_VALUES,
    .range = BP_RANGE_COUNTS,
    .head = &bp_activation_exponential,
    .evaluate = evaluate,
};

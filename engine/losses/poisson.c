/* poisson.c - mean of e^z - y z over the numbers of a sample: minus the logarithm of the probability of y counts where e^z are expected, without
 * ln y!, which nothing learns from (PyTorch's default); z, y (B, width). The output is the logarithm of the rate, so it is fused with exponential,
 * and predictions are rates. A negative y makes it not a number; z beyond 88 is more than float32 holds. */
#include "engine/activations/activation.h"
#include "engine/kernels/kernels.h"
#include "engine/losses/sample.h"

#include <math.h>

extern const struct bp_activation_ops bp_activation_exponential;

static double number(const struct bp_value *values, double z, double y, double *slope) {
    (void)values;
    const double count = y >= 0 ? y : (double)NAN, rate = exp(z);
    if (slope) *slope = rate - count;
    return rate - count * z;
}

static double evaluate(const struct bp_value *values, const struct bp_loss_call *call) {
    const double loss = bp_loss_numbers(values, call, number);
    bp_kernels()->exp((size_t)call->batch * (size_t)call->width, call->z, call->z);
    return loss;
}

extern const struct bp_loss_ops bp_loss_poisson;
const struct bp_loss_ops bp_loss_poisson = {
    .entry = {.name = "poisson", .summary = "For counts: the output is their rate, the exponential of what the network computes"},
    .target = BP_TARGET_VALUES,
    .range = BP_RANGE_COUNTS,
    .head = &bp_activation_exponential,
    .evaluate = evaluate,
};

/* gamma.c - mean of z + y e^-z over the numbers of a sample: minus the logarithm of a gamma distribution's density of y where e^z is expected,
 * without what nothing learns from; z, y (B, width). The deviation of such y is proportional to their mean. The output is fused with exponential, and
 * predictions are means. A y that is not positive makes it not a number. */
#include "engine/activations/activation.h"
#include "engine/kernels/kernels.h"
#include "engine/losses/sample.h"

#include <math.h>

extern const struct bp_activation_ops bp_activation_exponential;

static double number(const struct bp_value *values, double z, double y, double *slope) {
    (void)values;
    const double ratio = y > 0 ? y * exp(-z) : (double)NAN;
    if (slope) *slope = 1 - ratio;
    return z + ratio;
}

static double evaluate(const struct bp_value *values, const struct bp_loss_call *call) {
    const double loss = bp_loss_numbers(values, call, number);
    bp_kernels()->exp((size_t)call->batch * (size_t)call->width, call->z, call->z);
    return loss;
}

extern const struct bp_loss_ops bp_loss_gamma;
const struct bp_loss_ops bp_loss_gamma = {
    .entry = {.name = "gamma",
              .summary = "For positive amounts with a relative error: the output is their mean, the exponential of what the network computes"},
    .target = BP_TARGET_VALUES,
    .range = BP_RANGE_POSITIVE,
    .head = &bp_activation_exponential,
    .evaluate = evaluate,
};

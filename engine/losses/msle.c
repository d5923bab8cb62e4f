/* msle.c - mean of (ln(1 + a) - ln(1 + y))^2 over the numbers of a sample, a = e^z the prediction: the mean squared logarithmic error; z, y (B,
 * width). ln(1 + e^z) is softplus(z), and its derivative sigmoid(z). A negative y makes it not a number. */
#include "engine/activations/activation.h"
#include "engine/kernels/kernels.h"
#include "engine/losses/sample.h"

#include <math.h>

extern const struct bp_activation_ops bp_activation_exponential;

static double number(const struct bp_value *values, double z, double y, double *slope) {
    (void)values;
    const double e = exp(-fabs(z)), error = (z > 0 ? z : 0) + log1p(e) - (y >= 0 ? log1p(y) : (double)NAN);
    if (slope) *slope = 2 * error * (z > 0 ? 1 : e) / (1 + e);
    return error * error;
}

static double evaluate(const struct bp_value *values, const struct bp_loss_call *call) {
    const double loss = bp_loss_numbers(values, call, number);
    bp_kernels()->exp((size_t)call->batch * (size_t)call->width, call->z, call->z);
    return loss;
}

extern const struct bp_loss_ops bp_loss_msle;
const struct bp_loss_ops bp_loss_msle = {
    .entry = {.name = "msle",
              .summary = "Mean squared error of the logarithms of 1 + a number, for numbers that are not negative: relative errors count"},
    .target = BP_TARGET_VALUES,
    .range = BP_RANGE_AMOUNTS,
    .unit = "squared logarithms",
    .head = &bp_activation_exponential,
    .evaluate = evaluate,
};

/* log_cosh.c - mean of ln(cosh(e)) over the numbers of a sample, e = z - y, as |e| + ln(1 + e^(-2|e|)) - ln 2, which does not
 * overflow; z, y (B, width). */
#include "engine/losses/sample.h"

#include <math.h>

#define LN_2 0.69314718055994530942

static double number(const struct bp_value *values, double z, double y, double *slope) {
    (void)values;
    const double error = z - y, size = fabs(error);
    if (slope) *slope = tanh(error);
    return size + log1p(exp(-2 * size)) - LN_2;
}

static double evaluate(const struct bp_value *values, const struct bp_loss_call *call) {
    return bp_loss_numbers(values, call, number);
}

extern const struct bp_loss_ops bp_loss_log_cosh;
const struct bp_loss_ops bp_loss_log_cosh = {
    .entry = {.name = "log_cosh", .summary = "Logarithm of the hyperbolic cosine of the error: smooth and robust to outliers"},
    .target = BP_TARGET_VALUES,
    .evaluate = evaluate,
};

/* huber.c - mean over the numbers of a sample of e^2 / 2 where |e| <= delta, delta (|e| - delta / 2) elsewhere, e = z - y
 * (Huber 1964): squares near the target, absolute values far from it; z, y (B, width). */
#include "engine/losses/sample.h"

#include <math.h>

enum { DELTA, PARAMS };

static double number(const struct bp_value *values, double z, double y, double *slope) {
    const double delta = values[DELTA].number, error = z - y, size = fabs(error);
    if (slope) *slope = size > delta ? copysign(delta, error) : error;
    return size <= delta ? error * error / 2 : delta * (size - delta / 2);
}

static double evaluate(const struct bp_value *values, const struct bp_loss_call *call) {
    return bp_loss_numbers(values, call, number);
}

static const struct bp_param params[PARAMS] = {
    [DELTA] = {.name = "delta",
               .type = BP_PARAM_NUMBER,
               .help = "Error at which the loss becomes linear",
               .preset = 1,
               .min = 0,
               .max = 1e9,
               .flags = BP_PARAM_MIN_OPEN},
};

extern const struct bp_loss_ops bp_loss_huber;
const struct bp_loss_ops bp_loss_huber = {
    .entry = {.name = "huber",
              .summary = "Squared error up to delta and absolute error beyond, which reduces the effect of outliers",
              .params = params,
              .params_count = PARAMS},
    .target = BP_TARGET_VALUES,
    .kinked = true,
    .evaluate = evaluate,
};

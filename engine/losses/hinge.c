/* hinge.c - mean of max(0, 1 - y z) over the numbers of a sample; z, y (B, width). y is 1 or -1, and 0 stands for -1, so that one-hot
 * classes are accepted (as in Keras); anything else makes the loss NaN. z are scores, not probabilities: the largest determines the class. */
#include "engine/losses/sample.h"

#include <math.h>

static double number(const struct bp_value *values, double z, double y, double *slope) {
    (void)values;
    const double sign = y == 0 ? -1 : y == 1 || y == -1 ? y : (double)NAN, lacking = 1 - sign * z;
    if (slope) *slope = lacking <= 0 ? 0 : -sign;
    return lacking <= 0 ? 0 : lacking;
}

static double evaluate(const struct bp_value *values, const struct bp_loss_call *call) {
    return bp_loss_numbers(values, call, number);
}

extern const struct bp_loss_ops bp_loss_hinge;
const struct bp_loss_ops bp_loss_hinge = {
    .entry = {.name = "hinge", .summary = "The shortfall of each output from the correct side of 0 with a margin of 1"},
    .target = BP_TARGET_VALUES,
    .range = BP_RANGE_SIGNS,
    .kinked = true,
    .scores = true,
    .evaluate = evaluate,
};

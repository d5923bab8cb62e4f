/* hinge.c - mean of max(0, 1 - y z) over the numbers of a sample; z, y (B, width). y is 1 or -1, and 0 stands for -1, so that one-hot
 * classes will do (as in Keras); anything else makes the loss not a number. z are scores, not probabilities: the largest tells the class. */
#include "loss.h"

#include <math.h>

static double evaluate(const struct bp_value *values, const struct bp_loss_call *call) {
    (void)values;
    const size_t width = (size_t)call->width;
    double loss = 0;
    for (size_t i = 0; i < (size_t)call->batch; i++) {
        const double weight = call->weights ? (double)call->weights[i] : 1, factor = weight * call->scale / call->width;
        double sum = 0;
        for (size_t j = i * width; j < (i + 1) * width; j++) {
            const double y = (double)call->y[j], sign = y == 0 ? -1 : y == 1 || y == -1 ? y : (double)NAN;
            const double lacking = 1 - sign * (double)call->z[j];
            sum += lacking <= 0 ? 0 : lacking;
            if (call->d_z) call->d_z[j] = (bp_real)(lacking <= 0 ? 0 : -factor * sign);
        }
        loss += weight * sum / call->width;
    }
    return loss;
}

extern const struct bp_loss_ops bp_loss_hinge;
const struct bp_loss_ops bp_loss_hinge = {
    .entry = {.name = "hinge", .summary = "What each output lacks to be on the right side of 0 by a margin of 1"},
    .target = BP_TARGET_VALUES,
    .range = BP_RANGE_SIGNS,
    .kinked = true,
    .scores = true,
    .evaluate = evaluate,
};

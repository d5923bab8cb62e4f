/* mae.c - mean of |z - y| over the numbers of a sample; z, y (B, width). Its derivative at 0 is taken as 0. */
#include "engine/losses/loss.h"

#include <math.h>

static double evaluate(const struct bp_value *values, const struct bp_loss_call *call) {
    (void)values;
    const size_t width = (size_t)call->width;
    double loss = 0;
    for (size_t i = 0; i < (size_t)call->batch; i++) {
        const double weight = bp_sample_weight(call->weights, i);
        const bp_real factor = (bp_real)(weight * call->scale / call->width);
        double sum = 0;
        for (size_t j = i * width; j < (i + 1) * width; j++) {
            const bp_real error = call->z[j] - call->y[j];
            sum += fabs((double)error);
            if (call->d_z) call->d_z[j] = error > 0 ? factor : error < 0 ? -factor : error;
        }
        loss += weight * sum / call->width;
        bp_loss_count(call, i, sum / call->width);
    }
    return loss;
}

extern const struct bp_loss_ops bp_loss_mae;
const struct bp_loss_ops bp_loss_mae = {
    .entry = {.name = "mae", .summary = "Mean absolute error"},
    .target = BP_TARGET_VALUES,
    .kinked = true,
    .evaluate = evaluate,
};

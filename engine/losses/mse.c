/* mse.c - mean of (z - y)^2 over the numbers of a sample; z, y (B, width). */
#include "engine/losses/loss.h"

static double evaluate(const struct bp_value *values, const struct bp_loss_call *call) {
    (void)values;
    const size_t width = (size_t)call->width;
    double loss = 0;
    for (size_t i = 0; i < (size_t)call->batch; i++) {
        const double weight = bp_sample_weight(call->weights, i);
        const bp_real factor = (bp_real)(2 * weight * call->scale / call->width);
        double sum = 0;
        for (size_t j = i * width; j < (i + 1) * width; j++) {
            const bp_real error = call->z[j] - call->y[j];
            sum += (double)error * (double)error;
            if (call->d_z) call->d_z[j] = factor * error;
        }
        loss += weight * sum / call->width;
        bp_loss_count(call, i, sum / call->width);
    }
    return loss;
}

extern const struct bp_loss_ops bp_loss_mse;
const struct bp_loss_ops bp_loss_mse = {
    .entry = {.name = "mse", .summary = "Mean squared error"},
    .target = BP_TARGET_VALUES,
    .evaluate = evaluate,
};

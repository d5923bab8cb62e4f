/* poisson.c - mean of e^z - y z over the numbers of a sample: minus the logarithm of the probability of y counts where e^z are expected, without
 * ln y!, which nothing learns from (PyTorch's default); z, y (B, width). The output is the logarithm of the rate, so it is fused with exponential,
 * and predictions are rates. A negative y makes it not a number; z beyond 88 is more than float32 holds. */
#include "kernels/kernels.h"
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
            const double z = (double)call->z[j], y = call->y[j] >= 0 ? (double)call->y[j] : (double)NAN, rate = exp(z);
            sum += rate - y * z;
            if (call->d_z) call->d_z[j] = (bp_real)(factor * (rate - y));
        }
        loss += weight * sum / call->width;
    }
    bp_kernels()->exp((size_t)call->batch * width, call->z, call->z);
    return loss;
}

extern const struct bp_loss_ops bp_loss_poisson;
const struct bp_loss_ops bp_loss_poisson = {
    .entry = {.name = "poisson", .summary = "For counts: the output is the rate at which they happen, as exponential of what is learnt"},
    .target = BP_TARGET_VALUES,
    .range = BP_RANGE_COUNTS,
    .head = "exponential",
    .evaluate = evaluate,
};

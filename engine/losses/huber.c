/* huber.c - mean over the numbers of a sample of e^2 / 2 where |e| <= delta, delta (|e| - delta / 2) elsewhere, e = z - y
 * (Huber 1964): squares near the target, absolute values far from it; z, y (B, width). */
#include "loss.h"

#include <math.h>

enum { DELTA, PARAMS };

static double evaluate(const struct bp_value *values, const struct bp_loss_call *call) {
    const double delta = values[DELTA].number;
    const size_t width = (size_t)call->width;
    double loss = 0;
    for (size_t i = 0; i < (size_t)call->batch; i++) {
        const double weight = call->weights ? (double)call->weights[i] : 1, factor = weight * call->scale / call->width;
        double sum = 0;
        for (size_t j = i * width; j < (i + 1) * width; j++) {
            const double error = (double)call->z[j] - (double)call->y[j], size = fabs(error);
            sum += size <= delta ? error * error / 2 : delta * (size - delta / 2);
            if (call->d_z) call->d_z[j] = (bp_real)(factor * (size > delta ? copysign(delta, error) : error));
        }
        loss += weight * sum / call->width;
    }
    return loss;
}

static const struct bp_param params[PARAMS] = {
    [DELTA] = {.name = "delta",
               .type = BP_PARAM_NUMBER,
               .help = "Error from which on it grows in a straight line",
               .preset = 1,
               .min = 0,
               .max = 1e9,
               .flags = BP_PARAM_MIN_OPEN},
};

extern const struct bp_loss_ops bp_loss_huber;
const struct bp_loss_ops bp_loss_huber = {
    .entry = {.name = "huber",
              .summary = "Squared error that turns into absolute error beyond delta, so that outliers count less",
              .params = params,
              .params_count = PARAMS},
    .target = BP_TARGET_VALUES,
    .kinked = true,
    .evaluate = evaluate,
};

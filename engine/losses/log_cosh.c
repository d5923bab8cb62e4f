/* log_cosh.c - mean of ln(cosh(e)) over the numbers of a sample, e = z - y, as |e| + ln(1 + e^(-2|e|)) - ln 2, which does not
 * overflow; z, y (B, width). */
#include "loss.h"

#include <math.h>

#define LN_2 0.69314718055994530942

static double evaluate(const struct bp_value *values, const struct bp_loss_call *call) {
    (void)values;
    const size_t width = (size_t)call->width;
    double loss = 0;
    for (size_t i = 0; i < (size_t)call->batch; i++) {
        const double weight = call->weights ? (double)call->weights[i] : 1, factor = weight * call->scale / call->width;
        double sum = 0;
        for (size_t j = i * width; j < (i + 1) * width; j++) {
            const double error = (double)call->z[j] - (double)call->y[j], size = fabs(error);
            sum += size + log1p(exp(-2 * size)) - LN_2;
            if (call->d_z) call->d_z[j] = (bp_real)(factor * tanh(error));
        }
        loss += weight * sum / call->width;
    }
    return loss;
}

extern const struct bp_loss_ops bp_loss_log_cosh;
const struct bp_loss_ops bp_loss_log_cosh = {
    .entry = {.name = "log_cosh", .summary = "Logarithm of the hyperbolic cosine of the error: smooth, and outliers count less"},
    .target = BP_TARGET_VALUES,
    .evaluate = evaluate,
};

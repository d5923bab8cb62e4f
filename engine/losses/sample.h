/* sample.h - what losses share: the walk over the numbers of each sample, and the logarithm of softmax's denominator. */
#ifndef BP_LOSSES_SAMPLE_H
#define BP_LOSSES_SAMPLE_H

#include "engine/losses/loss.h"

#include <math.h>

/* The loss of one number z beside its target y; its derivative by z goes to *slope unless that is NULL. */
typedef double bp_loss_number(const struct bp_value *values, double z, double y, double *slope);

/* evaluate of a loss that is the mean of `number` over the numbers of a sample; z, y (B, width). Inline, so that `number` is too. */
static inline double bp_loss_numbers(const struct bp_value *values, const struct bp_loss_call *call, bp_loss_number *number) {
    const size_t width = (size_t)call->width;
    double loss = 0;
    for (size_t i = 0; i < (size_t)call->batch; i++) {
        const double weight = bp_sample_weight(call->weights, i), factor = weight * call->scale / call->width;
        double sum = 0, slope = 0;
        for (size_t j = i * width; j < (i + 1) * width; j++) {
            sum += number(values, (double)call->z[j], (double)call->y[j], call->d_z ? &slope : NULL);
            if (call->d_z) call->d_z[j] = (bp_real)(factor * slope);
        }
        loss += weight * sum / call->width;
        bp_loss_count(call, i, sum / call->width);
    }
    return loss;
}

/* ln of the sum of e^z over n numbers, from the largest, so that nothing overflows. */
static inline double bp_log_sum(size_t n, const bp_real *z) {
    double top = (double)z[0], sum = 0;
    for (size_t j = 1; j < n; j++) top = (double)z[j] > top ? (double)z[j] : top;
    for (size_t j = 0; j < n; j++) sum += exp((double)z[j] - top);
    return top + log(sum);
}

#endif

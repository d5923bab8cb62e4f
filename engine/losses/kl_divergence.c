/* kl_divergence.c - sum over the classes of y ln(y / p), p the softmax of z; z, y (B, classes), y the shares that p should have.
 * ln p = z - ln(sum of e^z), so that it neither overflows nor cancels; dz = p (sum of y) - y. A negative share makes it not a number. */
#include "engine/activations/activation.h"
#include "engine/kernels/kernels.h"
#include "engine/losses/sample.h"

#include <math.h>

extern const struct bp_activation_ops bp_activation_softmax;

static int check(const struct bp_value *values, const struct bp_shape *output, struct bp_error *error) {
    (void)values;
    char text[64];
    if (output->rank == 1 && output->dims[0] > 1) return 0;
    return bp_error_set(error, "", "kl_divergence needs one output per class, a shape like (3), but the output has the shape %s",
                        bp_shape_text(output, text, sizeof text));
}

static double evaluate(const struct bp_value *values, const struct bp_loss_call *call) {
    (void)values;
    const size_t width = (size_t)call->width;
    double loss = 0;
    for (size_t i = 0; i < (size_t)call->batch; i++) {
        const bp_real *z = call->z + i * width, *y = call->y + i * width; /* (classes) */
        const double weight = bp_sample_weight(call->weights, i), all = bp_log_sum(width, z), factor = weight * call->scale;
        double sum = 0, shares = 0;
        for (size_t j = 0; j < width; j++) {
            const double share = y[j] >= 0 ? (double)y[j] : (double)NAN;
            sum += share == 0 ? 0 * (double)z[j] : share * (log(share) - ((double)z[j] - all));
            shares += share;
        }
        for (size_t j = 0; call->d_z && j < width; j++)
            call->d_z[i * width + j] = (bp_real)(factor * (exp((double)z[j] - all) * shares - (double)y[j]));
        loss += weight * sum;
        bp_loss_count(call, i, sum);
    }
    bp_kernels()->softmax((size_t)call->batch, width, call->z, call->z);
    return loss;
}

extern const struct bp_loss_ops bp_loss_kl_divergence;
const struct bp_loss_ops bp_loss_kl_divergence = {
    .entry = {.name = "kl_divergence", .summary = "Kullback-Leibler divergence of softmax from shares in the target"},
    .target = BP_TARGET_VALUES,
    .range = BP_RANGE_SHARES,
    .head = &bp_activation_softmax,
    .check = check,
    .evaluate = evaluate,
};

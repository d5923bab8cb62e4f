/* binary_cross_entropy.c - -ln p of the true class out of two, p = sigmoid(z) the probability of class 1; z, y (B, 1); of an output (..., 1) each
 * position is a sample.
 * loss = max(z, 0) - z y + ln(1 + e^-|z|), which neither overflows nor cancels; dz = p - y.
 * Of shares: z, y (B, width), each y from 0 to 1 by itself; the mean over the numbers of a sample, as torch.nn.BCEWithLogitsLoss. */
#include "engine/activations/activation.h"
#include "engine/kernels/kernels.h"
#include "engine/losses/sample.h"

#include <math.h>

extern const struct bp_activation_ops bp_activation_sigmoid;

static int check(const struct bp_value *values, const struct bp_shape *output, struct bp_error *error) {
    (void)values;
    char text[64];
    if (bp_shape_size(output) != 1 && output->dims[output->rank - 1] != 1)
        return bp_error_set(error, "",
                            "binary_cross_entropy needs a single output, the probability of the second class, but the output has the shape %s; "
                            "use 1 unit, or cross_entropy with one unit per class",
                            bp_shape_text(output, text, sizeof text));
    return 0;
}

static double evaluate(const struct bp_value *values, const struct bp_loss_call *call) {
    (void)values;
    double loss = 0;
    for (int32_t i = 0; i < call->batch; i++) {
        const double z = (double)call->z[i], y = (double)call->y[i], weight = bp_sample_weight(call->weights, (size_t)i);
        const double one = y == 0 || y == 1 ? (z > 0 ? z : 0) - z * y + log1p(exp(-fabs(z))) : (double)NAN;
        loss += weight * one;
        bp_loss_count(call, (size_t)i, one);
    }
    bp_kernels()->sigmoid((size_t)call->batch, call->z, call->z);
    for (int32_t i = 0; call->d_z && i < call->batch; i++)
        call->d_z[i] = (call->z[i] - call->y[i]) * (bp_real)(call->scale * bp_sample_weight(call->weights, (size_t)i));
    return loss;
}

static double number(const struct bp_value *values, double z, double y, double *slope) {
    (void)values;
    const double share = y >= 0 && y <= 1 ? y : (double)NAN, e = exp(-fabs(z));
    if (slope) *slope = (z > 0 ? 1 : e) / (1 + e) - share;
    return (z > 0 ? z : 0) - z * share + log1p(e);
}

static double evaluate_shares(const struct bp_value *values, const struct bp_loss_call *call) {
    const double loss = bp_loss_numbers(values, call, number);
    bp_kernels()->sigmoid((size_t)call->batch * (size_t)call->width, call->z, call->z);
    return loss;
}

static const struct bp_loss_ops of_shares = {
    .entry = {.name = "binary_cross_entropy", .summary = "Cross-entropy of sigmoid against shares in the target"},
    .target = BP_TARGET_VALUES,
    .range = BP_RANGE_PARTS,
    .head = &bp_activation_sigmoid,
    .evaluate = evaluate_shares,
};

extern const struct bp_loss_ops bp_loss_binary_cross_entropy;
const struct bp_loss_ops bp_loss_binary_cross_entropy = {
    .entry = {.name = "binary_cross_entropy",
              .summary = "Cross-entropy of sigmoid: for two classes and a single output, or for numbers from 0 to 1, each independent"},
    .target = BP_TARGET_CLASS,
    .shares = &of_shares,
    .head = &bp_activation_sigmoid,
    .check = check,
    .evaluate = evaluate,
};

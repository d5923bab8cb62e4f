/* cross_entropy.c - -ln p of the true class, p the softmax of z (B, classes), computed from z in one stable kernel;
 * y (B, 1) class numbers; of an output (..., classes) each position is a sample.
 * Of shares: - sum of y ln p, y (B, classes) the shares that p should have; dz = p (sum of y) - y, as torch.nn.CrossEntropyLoss with
 * probabilities. Smoothing s makes (1 - s) y + s / classes of y. A negative share makes it not a number. */
#include "engine/activations/activation.h"
#include "engine/kernels/kernels.h"
#include "engine/losses/sample.h"

#include <math.h>

extern const struct bp_activation_ops bp_activation_softmax;

enum { LABEL_SMOOTHING, PARAMS };

extern const struct bp_loss_ops bp_loss_cross_entropy;

static int check(const struct bp_value *values, const struct bp_shape *output, struct bp_error *error) {
    (void)values;
    return bp_loss_check_classes(&bp_loss_cross_entropy, output, error);
}

/* Smoothing moves the target from the true class y some way towards equal shares: the loss gains s (z_y - mean z), to be read before the kernel
 * puts probabilities in the place of z. The kernel reports an invalid class. */
static double smooth_loss(double share, const struct bp_loss_call *call) {
    const size_t width = (size_t)call->width;
    double gained = 0;
    for (size_t i = 0; share > 0 && i < (size_t)call->batch; i++) {
        const bp_real *z = call->z + i * width, y = call->y[i]; /* (classes) */
        double sum = 0;
        for (size_t j = 0; j < width; j++) sum += (double)z[j];
        if (!(y >= 0 && y < (bp_real)width)) continue;
        gained += bp_sample_weight(call->weights, i) * share * ((double)z[(size_t)y] - sum / call->width);
        bp_loss_count(call, i, share * ((double)z[(size_t)y] - sum / call->width));
    }
    return gained;
}

static void smooth_gradient(double share, const struct bp_loss_call *call) {
    const size_t width = (size_t)call->width;
    for (size_t i = 0; share > 0 && call->d_z && i < (size_t)call->batch; i++) {
        const double factor = share * call->scale * bp_sample_weight(call->weights, i);
        bp_real *d_z = call->d_z + i * width; /* (classes) */
        for (size_t j = 0; j < width; j++) d_z[j] -= (bp_real)(factor / call->width);
        if (call->y[i] >= 0 && call->y[i] < (bp_real)width) d_z[(size_t)call->y[i]] += (bp_real)factor;
    }
}

static double evaluate(const struct bp_value *values, const struct bp_loss_call *call) {
    const double share = values[LABEL_SMOOTHING].number, gained = smooth_loss(share, call);
    const struct bp_softmax_loss loss = {.rows = (size_t)call->batch,
                                         .width = (size_t)call->width,
                                         .z = call->z,
                                         .y = call->y,
                                         .weights = call->weights,
                                         .counts = call->counts,
                                         .counted = call->counted,
                                         .scale = (bp_real)call->scale,
                                         .d_z = call->d_z};
    const double hard = bp_kernels()->softmax_loss(&loss);
    smooth_gradient(share, call);
    return hard + gained;
}

static const struct bp_param params[PARAMS] = {
    [LABEL_SMOOTHING] = {.name = "label_smoothing",
                         .type = BP_PARAM_NUMBER,
                         .help = "Fraction of the target that is spread over all classes, to reduce overconfidence",
                         .min = 0,
                         .max = 1,
                         .flags = BP_PARAM_MAX_OPEN},
};

static double evaluate_shares(const struct bp_value *values, const struct bp_loss_call *call) {
    const size_t width = (size_t)call->width;
    const double smoothing = values[LABEL_SMOOTHING].number;
    double loss = 0;
    for (size_t i = 0; i < (size_t)call->batch; i++) {
        const bp_real *z = call->z + i * width, *y = call->y + i * width; /* (classes) */
        const double weight = bp_sample_weight(call->weights, i), all = bp_log_sum(width, z), factor = weight * call->scale;
        double sum = 0, whole = smoothing;
        for (size_t j = 0; j < width; j++) {
            const double share = (1 - smoothing) * (y[j] >= 0 ? (double)y[j] : (double)NAN);
            sum -= (share + smoothing / call->width) * ((double)z[j] - all);
            whole += share;
        }
        for (size_t j = 0; call->d_z && j < width; j++)
            call->d_z[i * width + j] =
                (bp_real)(factor * (exp((double)z[j] - all) * whole - (1 - smoothing) * (double)y[j] - smoothing / call->width));
        loss += weight * sum;
        bp_loss_count(call, i, sum);
    }
    bp_kernels()->softmax((size_t)call->batch, width, call->z, call->z);
    return loss;
}

static int check_shares(const struct bp_value *values, const struct bp_shape *output, struct bp_error *error) {
    char text[64];
    if (check(values, output, error) != 0) return -1;
    if (output->rank == 1) return 0;
    return bp_error_set(error, "", "shares of classes need one output per class, a shape like (3), but the output has the shape %s",
                        bp_shape_text(output, text, sizeof text));
}

static const struct bp_loss_ops of_shares = {
    .entry = {.name = "cross_entropy", .summary = "Cross-entropy of softmax against shares in the target", .params = params, .params_count = PARAMS},
    .target = BP_TARGET_VALUES,
    .range = BP_RANGE_SHARES,
    .head = &bp_activation_softmax,
    .check = check_shares,
    .evaluate = evaluate_shares,
};

const struct bp_loss_ops bp_loss_cross_entropy = {
    .entry = {.name = "cross_entropy",
              .summary = "Cross-entropy of softmax, for two or more classes, or for shares of classes",
              .params = params,
              .params_count = PARAMS},
    .target = BP_TARGET_CLASS,
    .shares = &of_shares,
    .head = &bp_activation_softmax,
    .check = check,
    .evaluate = evaluate,
};

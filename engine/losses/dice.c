/* dice.c - 1 - (2 sum of p y + s) / (sum of p + sum of y + s) over the numbers of a sample, p = sigmoid(z), y 0 or 1 or between: one minus the
 * overlap of what is marked and what should be (Milletari et al. 2016); z, y (B, width). A sample with nothing to mark has the loss 1 whatever is
 * predicted, and teaches nothing, unless the smoothing s is positive. */
#include "engine/activations/activation.h"
#include "engine/kernels/kernels.h"
#include "engine/losses/sample.h"

#include <math.h>

#define LEAST 1e-7 /* of the denominator, as in Keras */

extern const struct bp_activation_ops bp_activation_sigmoid;

enum { SMOOTH, PARAMS };

static double evaluate(const struct bp_value *values, const struct bp_loss_call *call) {
    const size_t width = (size_t)call->width;
    const double smooth = values[SMOOTH].number;
    double loss = 0;
    bp_kernels()->sigmoid((size_t)call->batch * width, call->z, call->z);
    for (size_t i = 0; i < (size_t)call->batch; i++) {
        const bp_real *p = call->z + i * width, *y = call->y + i * width; /* (width) */
        const double weight = bp_sample_weight(call->weights, i);
        double both = smooth, all = smooth + LEAST;
        for (size_t j = 0; j < width; j++) {
            const double mark = y[j] >= 0 && y[j] <= 1 ? (double)y[j] : (double)NAN;
            both += 2 * (double)p[j] * mark;
            all += (double)p[j] + mark;
        }
        for (size_t j = 0; call->d_z && j < width; j++)
            call->d_z[i * width + j] =
                (bp_real)(weight * call->scale * (both - 2 * (double)y[j] * all) / (all * all) * (double)p[j] * (1 - (double)p[j]));
        loss += weight * (1 - both / all);
        bp_loss_count(call, i, 1 - both / all);
    }
    return loss;
}

static const struct bp_param params[PARAMS] = {
    [SMOOTH] = {.name = "smooth",
                .type = BP_PARAM_NUMBER,
                .help = "Added to the overlap and to what it is divided by; above 0, samples with nothing to mark teach too",
                .min = 0,
                .max = 1e9},
};

extern const struct bp_loss_ops bp_loss_dice;
const struct bp_loss_ops bp_loss_dice = {
    .entry = {.name = "dice",
              .summary = "One minus the overlap of marked numbers, for masks of 0 and 1 and for several labels a row",
              .params = params,
              .params_count = PARAMS},
    .target = BP_TARGET_VALUES,
    .range = BP_RANGE_PARTS,
    .unit = "1 minus the overlap",
    .shares = &bp_loss_dice,
    .head = &bp_activation_sigmoid,
    .evaluate = evaluate,
};

/* quantile.c - the pinball loss (Koenker, Bassett 1978): q e where the target lies above the output, e = y - z >= 0, and (q - 1) e where below; the
 * mean over the quantiles and the targets of a sample. z (B, targets x quantiles), y (B, targets): each target has an output for every quantile.
 * The derivative at 0 is taken as 0. The point prediction is the quantile nearest to one half. */
#include "engine/losses/loss.h"

#include <math.h>
#include <stdio.h>

enum { QUANTILES, PARAMS };

static int32_t outputs_per_target(const struct bp_value *values) {
    return values[QUANTILES].numbers_count;
}

static int32_t point(const struct bp_value *values) {
    const double *q = values[QUANTILES].numbers;
    int32_t nearest = 0;
    for (int32_t k = 1; k < values[QUANTILES].numbers_count; k++)
        if (fabs(q[k] - 0.5) < fabs(q[nearest] - 0.5)) nearest = k;
    return nearest;
}

static bool detail(const struct bp_value *values, const bp_real *group, int32_t k, struct bp_loss_detail *detail) {
    if (k >= values[QUANTILES].numbers_count) return false;
    snprintf(detail->name, sizeof detail->name, "%.15g", values[QUANTILES].numbers[k]);
    detail->value = (double)group[k];
    detail->width = false;
    return true;
}

static int check(const struct bp_value *values, const struct bp_shape *output, struct bp_error *error) {
    (void)output;
    const double *q = values[QUANTILES].numbers;
    for (int32_t k = 1; k < values[QUANTILES].numbers_count; k++)
        if (!(q[k] > q[k - 1])) return bp_error_set(error, "", "the quantiles must increase, but %g is followed by %g", q[k - 1], q[k]);
    return 0;
}

static double evaluate(const struct bp_value *values, const struct bp_loss_call *call) {
    const double *quantiles = values[QUANTILES].numbers;
    const size_t width = (size_t)call->width, count = (size_t)values[QUANTILES].numbers_count;
    double loss = 0;
    for (size_t i = 0; i < (size_t)call->batch; i++) {
        const double weight = bp_sample_weight(call->weights, i), factor = weight * call->scale / call->width;
        double sum = 0;
        for (size_t j = i * width; j < (i + 1) * width; j++) {
            const double q = quantiles[j % count], error = (double)call->y[j / count] - (double)call->z[j];
            const double slope = error > 0 ? q : error < 0 ? q - 1 : error;
            sum += slope * error;
            if (call->d_z) call->d_z[j] = (bp_real)(-factor * slope);
        }
        loss += weight * sum / call->width;
        bp_loss_count(call, i, sum / call->width);
    }
    return loss;
}

static const double presets[] = {0.1, 0.5, 0.9};

static const struct bp_param params[PARAMS] = {
    [QUANTILES] = {.name = "quantiles",
                   .type = BP_PARAM_NUMBERS,
                   .help = "Quantile of each output, in increasing order",
                   .presets = presets,
                   .presets_count = 3,
                   .min = 0,
                   .max = 1,
                   .flags = BP_PARAM_MIN_OPEN | BP_PARAM_MAX_OPEN},
};

extern const struct bp_loss_ops bp_loss_quantile;
const struct bp_loss_ops bp_loss_quantile = {
    .entry = {.name = "quantile",
              .summary = "Pinball loss for one or several quantiles of the target, with an output for each",
              .params = params,
              .params_count = PARAMS},
    .target = BP_TARGET_VALUES,
    .kinked = true,
    .outputs_per_target = outputs_per_target,
    .point = point,
    .details = "quantiles",
    .detail = detail,
    .check = check,
    .evaluate = evaluate,
};

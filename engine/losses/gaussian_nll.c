/* gaussian_nll.c - (ln v + (y - m)^2 / v) / 2, the mean over the targets of a sample: minus the logarithm of the density of a normal distribution
 * (Nix, Weigend 1994) without ln(2 pi) / 2, as in PyTorch. z (B, targets x 2): a mean m and a number s each; y (B, targets). v = e^s + 1e-6: any s is
 * a variance, and one that is too small to matter does not blow up the rest.
 * dm = (m - y) / v; ds = (1 - (y - m)^2 / v) e^s / v / 2. */
#include "engine/losses/loss.h"

#include <math.h>
#include <stdio.h>

#define LEAST 1e-6

enum { MEAN, SPREAD, OUTPUTS };

static int32_t outputs_per_target(const struct bp_value *values) {
    (void)values;
    return OUTPUTS;
}

static bool detail(const struct bp_value *values, const bp_real *group, int32_t k, struct bp_loss_detail *detail) {
    (void)values;
    if (k >= OUTPUTS) return false;
    snprintf(detail->name, sizeof detail->name, k == MEAN ? "mean" : "deviation");
    detail->value = k == MEAN ? (double)group[MEAN] : sqrt(exp((double)group[SPREAD]) + LEAST);
    detail->width = k == SPREAD;
    return true;
}

static double evaluate(const struct bp_value *values, const struct bp_loss_call *call) {
    (void)values;
    const size_t targets = (size_t)call->width / OUTPUTS;
    double loss = 0;
    for (size_t i = 0; i < (size_t)call->batch; i++) {
        const double weight = bp_sample_weight(call->weights, i), factor = weight * call->scale / (double)targets;
        double sum = 0;
        for (size_t j = i * targets; j < (i + 1) * targets; j++) {
            const bp_real *z = call->z + OUTPUTS * j; /* (2) */
            const double error = (double)z[MEAN] - (double)call->y[j], e = exp((double)z[SPREAD]), v = e + LEAST;
            sum += (log(v) + error * error / v) / 2;
            if (!call->d_z) continue;
            call->d_z[OUTPUTS * j + MEAN] = (bp_real)(factor * error / v);
            call->d_z[OUTPUTS * j + SPREAD] = (bp_real)(factor * (1 - error * error / v) * (e / v) / 2);
        }
        loss += weight * sum / (double)targets;
        bp_loss_count(call, i, sum / (double)targets);
    }
    return loss;
}

extern const struct bp_loss_ops bp_loss_gaussian_nll;
const struct bp_loss_ops bp_loss_gaussian_nll = {
    .entry = {.name = "gaussian_nll",
              .summary = "Likelihood of a normal distribution: two outputs a target, its mean and the logarithm of its variance"},
    .target = BP_TARGET_VALUES,
    .outputs_per_target = outputs_per_target,
    .details = "distribution",
    .detail = detail,
    .evaluate = evaluate,
};

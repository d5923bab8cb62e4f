/* rmse.c - root of the mean squared error, in the target's own unit: of a target of several numbers (a tensor) over all of them. State of each
 * number: weighted sum of squares in the network's units, weight, the target's unit. Units are multiplied in at the end: squares of values beyond
 * 1e154 or below 1e-154 would leave the range of a double. */
#include "engine/metrics/metric.h"

#include <math.h>

enum { SUM, WEIGHT, UNIT, PARTS };

static int64_t state_size(int32_t classes, int32_t width, int64_t samples) {
    (void)classes, (void)samples;
    return PARTS * width;
}

static void update(double *state, const struct bp_metric_call *call) {
    for (int32_t i = 0; i < call->batch; i++) {
        const double weight = bp_sample_weight(call->weights, (size_t)i);
        for (int32_t j = 0; j < call->width; j++) {
            const size_t at = (size_t)i * (size_t)call->width + (size_t)j;
            const double error = (double)call->predictions[at] - (double)call->y[at];
            state[PARTS * j + SUM] += weight * error * error;
            state[PARTS * j + WEIGHT] += weight;
            state[PARTS * j + UNIT] = bp_metric_unit(call, j);
        }
    }
}

static void merge(double *state, const double *other, int32_t classes, int32_t width, int64_t samples) {
    (void)classes, (void)samples;
    for (int32_t j = 0; j < PARTS * width; j += PARTS) {
        state[j + SUM] += other[j + SUM];
        state[j + WEIGHT] += other[j + WEIGHT];
        if (other[j + WEIGHT] > 0) state[j + UNIT] = other[j + UNIT];
    }
}

static double root(const double *s) {
    return sqrt(s[SUM] / s[WEIGHT]) * s[UNIT];
}

/* The state is not changed: the results of single numbers may be requested too. */
static double result(double *state, int32_t classes, int32_t width) {
    (void)classes;
    double largest = 0, sum = 0;
    for (int32_t j = 0; j < width; j++)
        if (!(root(state + PARTS * j) <= largest)) largest = root(state + PARTS * j); /* not a number stays so */
    if (!(largest > 0)) return width > 0 ? largest : (double)NAN;
    for (int32_t j = 0; j < width; j++) sum += root(state + PARTS * j) / largest * (root(state + PARTS * j) / largest);
    return sqrt(sum / width) * largest;
}

extern const struct bp_metric_ops bp_metric_rmse;
const struct bp_metric_ops bp_metric_rmse = {
    .entry = {.name = "rmse", .summary = "Root of the mean squared error, in the target's own unit"},
    .kinds = BP_METRIC_REGRESSION,
    .state_size = state_size,
    .update = update,
    .merge = merge,
    .result = result,
};

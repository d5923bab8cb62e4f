/* r2.c - 1 - (squares left over) / (squares about the mean), the mean of it over the outputs. State per output: weight, mean, sum of
 * squares about it (updated as by Welford 1962 and West 1979), sum of squared errors. Not a number for a constant target. */
#include "engine/metrics/metric.h"

#include <math.h>

enum { WEIGHT, MEAN, SQUARES, ERRORS, PARTS };

static int64_t state_size(int32_t classes, int32_t width, int64_t samples) {
    (void)classes, (void)samples;
    return PARTS * width;
}

static void update(double *state, const struct bp_metric_call *call) {
    for (int32_t i = 0; i < call->batch; i++) {
        const double weight = bp_sample_weight(call->weights, (size_t)i);
        for (int32_t j = 0; weight > 0 && j < call->width; j++) {
            const size_t at = (size_t)i * (size_t)call->width + (size_t)j;
            double *s = state + PARTS * j;
            const double y = (double)call->y[at]; /* in any unit: it cancels */
            const double error = (double)call->predictions[at] - y;
            const double delta = y - s[MEAN];
            s[WEIGHT] += weight;
            s[MEAN] += delta * weight / s[WEIGHT];
            s[SQUARES] += weight * delta * (y - s[MEAN]);
            s[ERRORS] += weight * error * error;
        }
    }
}

/* Two groups together: Chan, Golub and LeVeque 1983. */
static void merge(double *state, const double *other, int32_t classes, int32_t width, int64_t samples) {
    (void)classes, (void)samples;
    for (int32_t j = 0; j < width; j++) {
        double *s = state + PARTS * j;
        const double *o = other + PARTS * j, delta = o[MEAN] - s[MEAN], weight = s[WEIGHT] + o[WEIGHT];
        if (!(o[WEIGHT] > 0)) continue;
        s[SQUARES] += o[SQUARES] + delta * delta * s[WEIGHT] * o[WEIGHT] / weight;
        s[MEAN] += delta * o[WEIGHT] / weight;
        s[ERRORS] += o[ERRORS];
        s[WEIGHT] = weight;
    }
}

static double result(double *state, int32_t classes, int32_t width) {
    (void)classes;
    double sum = 0;
    for (int32_t j = 0; j < width; j++) {
        const double *s = state + PARTS * j;
        if (!(s[SQUARES] > 0)) return (double)NAN;
        sum += 1 - s[ERRORS] / s[SQUARES];
    }
    return width > 0 ? sum / width : (double)NAN;
}

extern const struct bp_metric_ops bp_metric_r2;
const struct bp_metric_ops bp_metric_r2 = {
    .entry = {.name = "r2", .summary = "Coefficient of determination: 1 is perfect, 0 no better than the mean"},
    .kinds = BP_METRIC_REGRESSION,
    .higher_is_better = true,
    .state_size = state_size,
    .update = update,
    .merge = merge,
    .result = result,
};

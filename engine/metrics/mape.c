/* mape.c - mean of |error| / |target|, as a share (0.1 is ten percent), as in scikit-learn; but a target of 0 has no such share and is left out
 * (within the float32 precision of the target: a millionth of its unit). State of each number: weighted sum, weight. */
#include "engine/metrics/metric.h"

#include <math.h>

enum { SUM, WEIGHT, PARTS };

static int64_t state_size(int32_t classes, int32_t width, int64_t samples) {
    (void)classes, (void)samples;
    return PARTS * width;
}

static void update(double *state, const struct bp_metric_call *call) {
    for (int32_t i = 0; i < call->batch; i++) {
        const double weight = bp_sample_weight(call->weights, (size_t)i);
        for (int32_t j = 0; j < call->width; j++) {
            const size_t at = (size_t)i * (size_t)call->width + (size_t)j;
            const double y = bp_metric_value(call, j, (double)call->y[at]), unit = bp_metric_unit(call, j);
            if (fabs(y) <= 1e-6 * fabs(unit)) continue;
            state[PARTS * j + SUM] += weight * fabs(((double)call->predictions[at] - (double)call->y[at]) * unit / y);
            state[PARTS * j + WEIGHT] += weight;
        }
    }
}

static double result(double *state, int32_t classes, int32_t width) {
    (void)classes;
    return bp_metric_mean(state, width);
}

extern const struct bp_metric_ops bp_metric_mape;
const struct bp_metric_ops bp_metric_mape = {
    .entry = {.name = "mape", .summary = "Mean absolute percentage error, as a fraction: 0.1 is ten percent; targets of 0 are left out"},
    .kinds = BP_METRIC_REGRESSION,
    .state_size = state_size,
    .update = update,
    .result = result,
};

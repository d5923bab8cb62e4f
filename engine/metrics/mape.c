/* mape.c - mean of |error| / |target|, as a share (0.1 is ten percent), as in scikit-learn; but a target of 0 has no such share and is left out
 * (within what float32 keeps of the target: a millionth of its unit). State: weighted sum, weight. */
#include "metric.h"

#include <math.h>

static int64_t state_size(int32_t classes, int32_t width, int64_t samples) {
    (void)classes, (void)width, (void)samples;
    return 2;
}

static void update(double *state, const struct bp_metric_call *call) {
    for (int32_t i = 0; i < call->batch; i++) {
        const double weight = bp_sample_weight(call->weights, (size_t)i) / call->width;
        for (int32_t j = 0; j < call->width; j++) {
            const size_t at = (size_t)i * (size_t)call->width + (size_t)j;
            const double y = (double)call->y[at] * call->unit + call->origin;
            if (fabs(y) <= 1e-6 * fabs(call->unit)) continue;
            state[0] += weight * fabs(((double)call->predictions[at] - (double)call->y[at]) * call->unit / y);
            state[1] += weight;
        }
    }
}

static double result(double *state, int32_t classes, int32_t width) {
    (void)classes, (void)width;
    return state[1] > 0 ? state[0] / state[1] : (double)NAN;
}

extern const struct bp_metric_ops bp_metric_mape;
const struct bp_metric_ops bp_metric_mape = {
    .entry = {.name = "mape", .summary = "Mean absolute percentage error, as a share: 0.1 is ten percent; targets of 0 are left out"},
    .kinds = BP_METRIC_REGRESSION,
    .state_size = state_size,
    .update = update,
    .result = result,
};

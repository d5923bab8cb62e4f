/* rmse.c - root of the mean squared error, in the target's own unit. State: weighted sum, weight. */
#include "metric.h"

#include <math.h>

static int64_t state_size(int32_t classes, int32_t width, int64_t samples) {
    (void)classes, (void)width, (void)samples;
    return 2;
}

static void update(double *state, const struct bp_metric_call *call) {
    for (int32_t i = 0; i < call->batch; i++) {
        const double weight = bp_sample_weight(call->weights, (size_t)i);
        double sum = 0;
        for (int32_t j = 0; j < call->width; j++) {
            const size_t at = (size_t)i * (size_t)call->width + (size_t)j;
            const double error = ((double)call->predictions[at] - (double)call->y[at]) * bp_metric_unit(call, j);
            sum += error * error;
        }
        state[0] += weight * sum / call->width;
        state[1] += weight;
    }
}

static double result(double *state, int32_t classes, int32_t width) {
    (void)classes, (void)width;
    return state[1] > 0 ? sqrt(state[0] / state[1]) : (double)NAN;
}

extern const struct bp_metric_ops bp_metric_rmse;
const struct bp_metric_ops bp_metric_rmse = {
    .entry = {.name = "rmse", .summary = "Root of the mean squared error, in the target's own unit"},
    .kinds = BP_METRIC_REGRESSION,
    .state_size = state_size,
    .update = update,
    .result = result,
};

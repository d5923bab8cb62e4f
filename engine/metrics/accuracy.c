/* accuracy.c - the share of samples whose class is predicted rightly. State: weight of the right ones, of all. */
#include "engine/metrics/metric.h"

#include <math.h>

static int64_t state_size(int32_t classes, int32_t width, int64_t samples) {
    (void)classes, (void)width, (void)samples;
    return 2;
}

static void update(double *state, const struct bp_metric_call *call) {
    for (int32_t i = 0; i < call->batch; i++) {
        const double weight = bp_sample_weight(call->weights, (size_t)i);
        state[0] += bp_metric_class(call, i) == (int32_t)call->y[i] ? weight : 0;
        state[1] += weight;
    }
}

static double result(double *state, int32_t classes, int32_t width) {
    (void)classes, (void)width;
    return state[1] > 0 ? state[0] / state[1] : (double)NAN;
}

extern const struct bp_metric_ops bp_metric_accuracy;
const struct bp_metric_ops bp_metric_accuracy = {
    .entry = {.name = "accuracy", .summary = "Fraction of samples with the correct class"},
    .kinds = BP_METRIC_CLASSIFICATION,
    .higher_is_better = true,
    .state_size = state_size,
    .update = update,
    .result = result,
};

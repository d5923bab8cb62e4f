/* accuracy.c - the share of samples whose class is predicted rightly. State: weight of the right ones, of all. */
#include "engine/metrics/mean.h"

static void update(double *state, const struct bp_metric_call *call) {
    for (int32_t i = 0; i < call->batch; i++) {
        const double weight = bp_sample_weight(call->weights, (size_t)i);
        state[0] += bp_metric_class(call, i) == (int32_t)call->y[i] ? weight : 0;
        state[1] += weight;
    }
}

extern const struct bp_metric_ops bp_metric_accuracy;
const struct bp_metric_ops bp_metric_accuracy = {
    .entry = {.name = "accuracy", .summary = "Fraction of samples with the correct class"},
    .kinds = BP_METRIC_CLASSIFICATION,
    .higher_is_better = true,
    .state_size = bp_mean_state_size,
    .update = update,
    .result = bp_mean_result,
};

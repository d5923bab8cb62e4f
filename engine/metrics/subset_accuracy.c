/* subset_accuracy.c - the share of samples whose labels are all predicted correctly. State: weight of the correct ones, of all. */
#include "engine/metrics/mean.h"

static void update(double *state, const struct bp_metric_call *call) {
    for (int32_t i = 0; i < call->batch; i++) {
        const double weight = bp_sample_weight(call->weights, (size_t)i);
        state[0] += bp_metric_wrong_labels(call, i) == 0 ? weight : 0;
        state[1] += weight;
    }
}

extern const struct bp_metric_ops bp_metric_subset_accuracy;
const struct bp_metric_ops bp_metric_subset_accuracy = {
    .entry = {.name = "subset_accuracy", .summary = "Several labels a row: share of rows whose labels are all predicted correctly"},
    .kinds = BP_METRIC_MULTILABEL,
    .higher_is_better = true,
    .state_size = bp_mean_state_size,
    .update = update,
    .result = bp_mean_result,
};

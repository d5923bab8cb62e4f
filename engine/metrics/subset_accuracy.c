/* subset_accuracy.c - the share of samples whose labels are all predicted correctly. State: weight of the correct ones, of all. */
#include "engine/metrics/metric.h"

static int64_t state_size(int32_t classes, int32_t width, int64_t samples) {
    (void)classes, (void)width, (void)samples;
    return 2;
}

static void update(double *state, const struct bp_metric_call *call) {
    for (int32_t i = 0; i < call->batch; i++) {
        const double weight = bp_sample_weight(call->weights, (size_t)i);
        state[0] += bp_metric_wrong_labels(call, i) == 0 ? weight : 0;
        state[1] += weight;
    }
}

static double result(double *state, int32_t classes, int32_t width) {
    (void)classes, (void)width;
    return bp_metric_mean(state, 1);
}

extern const struct bp_metric_ops bp_metric_subset_accuracy;
const struct bp_metric_ops bp_metric_subset_accuracy = {
    .entry = {.name = "subset_accuracy", .summary = "Several labels a row: share of rows whose labels are all predicted correctly"},
    .kinds = BP_METRIC_MULTILABEL,
    .higher_is_better = true,
    .state_size = state_size,
    .update = update,
    .result = result,
};

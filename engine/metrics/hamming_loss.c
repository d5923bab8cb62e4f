/* hamming_loss.c - the share of labels that are predicted wrongly, over all labels of all samples. State: weight of the wrong ones, of all. */
#include "engine/metrics/mean.h"

static void update(double *state, const struct bp_metric_call *call) {
    for (int32_t i = 0; i < call->batch; i++) {
        const double weight = bp_sample_weight(call->weights, (size_t)i);
        state[0] += weight * bp_metric_wrong_labels(call, i);
        state[1] += weight * call->width;
    }
}

extern const struct bp_metric_ops bp_metric_hamming_loss;
const struct bp_metric_ops bp_metric_hamming_loss = {
    .entry = {.name = "hamming_loss", .summary = "Several labels per row: fraction of the labels that are predicted wrongly"},
    .kinds = BP_METRIC_MULTILABEL,
    .state_size = bp_mean_state_size,
    .update = update,
    .result = bp_mean_result,
};

/* hamming_loss.c - the share of labels that are predicted wrongly, over all labels of all samples. State: weight of the wrong ones, of all. */
#include "engine/metrics/metric.h"

static int64_t state_size(int32_t classes, int32_t width, int64_t samples) {
    (void)classes, (void)width, (void)samples;
    return 2;
}

static void update(double *state, const struct bp_metric_call *call) {
    for (int32_t i = 0; i < call->batch; i++) {
        const double weight = bp_sample_weight(call->weights, (size_t)i);
        state[0] += weight * bp_metric_wrong_labels(call, i);
        state[1] += weight * call->width;
    }
}

static double result(double *state, int32_t classes, int32_t width) {
    (void)classes, (void)width;
    return bp_metric_mean(state, 1);
}

extern const struct bp_metric_ops bp_metric_hamming_loss;
const struct bp_metric_ops bp_metric_hamming_loss = {
    .entry = {.name = "hamming_loss", .summary = "Several labels per row: fraction of the labels that are predicted wrongly"},
    .kinds = BP_METRIC_MULTILABEL,
    .state_size = state_size,
    .update = update,
    .result = result,
};

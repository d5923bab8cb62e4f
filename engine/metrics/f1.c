/* f1.c - harmonic mean of precision and recall: 2 both / (true + predicted). */
#include "engine/metrics/counts.h"

#include <math.h>

static double ratio(const double counts[BP_COUNTS]) {
    const double sum = counts[BP_COUNT_TRUE] + counts[BP_COUNT_PREDICTED];
    return sum > 0 ? 2 * counts[BP_COUNT_BOTH] / sum : (double)NAN;
}

static double result(double *state, int32_t classes, int32_t width) {
    (void)width;
    return bp_counts_result(state, classes, ratio);
}

extern const struct bp_metric_ops bp_metric_f1;
const struct bp_metric_ops bp_metric_f1 = {
    .entry = {.name = "f1", .summary = "Harmonic mean of precision and recall; of the second class, or the mean over more than two"},
    .kinds = BP_METRIC_CLASSIFICATION,
    .higher_is_better = true,
    .state_size = bp_counts_size,
    .update = bp_counts_update,
    .result = result,
};

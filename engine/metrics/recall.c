/* recall.c - of what is of a class, the share predicted as it. Not a number when nothing is (two classes). */
#include "engine/metrics/counts.h"

#include <math.h>

static double ratio(const double counts[BP_COUNTS]) {
    return counts[BP_COUNT_TRUE] > 0 ? counts[BP_COUNT_BOTH] / counts[BP_COUNT_TRUE] : (double)NAN;
}

static double result(double *state, int32_t classes, int32_t width) {
    (void)width;
    return bp_counts_result(state, classes, ratio);
}

extern const struct bp_metric_ops bp_metric_recall;
const struct bp_metric_ops bp_metric_recall = {
    .entry = {.name = "recall",
              .summary = "Fraction of the samples of a class that are predicted as it; of the second class, or the mean over more than two"},
    .kinds = BP_METRIC_CLASSIFICATION,
    .higher_is_better = true,
    .state_size = bp_counts_size,
    .update = bp_counts_update,
    .result = result,
};

/* precision.c - of what was predicted as a class, the share that is of it. Not a number when nothing was (two classes). */
#include "engine/metrics/counts.h"

#include <math.h>

static double ratio(const double counts[BP_COUNTS]) {
    return counts[BP_COUNT_PREDICTED] > 0 ? counts[BP_COUNT_BOTH] / counts[BP_COUNT_PREDICTED] : (double)NAN;
}

static double result(double *state, int32_t classes, int32_t width) {
    (void)width;
    return bp_counts_result(state, classes, ratio);
}

extern const struct bp_metric_ops bp_metric_precision;
const struct bp_metric_ops bp_metric_precision = {
    .entry = {.name = "precision",
              .summary = "Fraction of the samples predicted as a class that belong to it; of the second class, or the mean over more than two"},
    .kinds = BP_METRIC_CLASSIFICATION,
    .higher_is_better = true,
    .state_size = bp_counts_size,
    .update = bp_counts_update,
    .result = result,
};

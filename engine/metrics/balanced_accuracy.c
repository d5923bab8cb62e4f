/* balanced_accuracy.c - mean over the classes of the share of their samples that is predicted rightly; of classes that occur, as in scikit-learn. */
#include "engine/metrics/counts.h"

#include <math.h>

static double result(double *state, int32_t classes, int32_t width) {
    (void)width;
    double sum = 0;
    int32_t seen = 0;
    for (int32_t c = 0; c < classes; c++) {
        const double *counts = state + BP_COUNTS * c;
        if (counts[BP_COUNT_TRUE] == 0) continue;
        sum += counts[BP_COUNT_BOTH] / counts[BP_COUNT_TRUE];
        seen++;
    }
    return seen ? sum / seen : (double)NAN;
}

extern const struct bp_metric_ops bp_metric_balanced_accuracy;
const struct bp_metric_ops bp_metric_balanced_accuracy = {
    .entry = {.name = "balanced_accuracy", .summary = "Mean over the classes of the fraction of their samples with the correct class"},
    .kinds = BP_METRIC_CLASSIFICATION,
    .higher_is_better = true,
    .state_size = bp_counts_size,
    .update = bp_counts_update,
    .result = result,
};

/* matthews_correlation.c - correlation of predicted and true classes, for two classes (Matthews 1975) or more (Gorodkin 2004): with n samples, b of
 * them right, and t_k, p_k those of class k and predicted as it,
 *   (b n - sum t_k p_k) / sqrt((n^2 - sum t_k^2) (n^2 - sum p_k^2)); 0 when either side is of one class, as in scikit-learn. */
#include "engine/metrics/counts.h"

#include <math.h>

static double result(double *state, int32_t classes, int32_t width) {
    (void)width;
    double n = 0, both = 0, mixed = 0, truths = 0, guesses = 0;
    for (int32_t c = 0; c < classes; c++) {
        const double *counts = state + BP_COUNTS * c, t = counts[BP_COUNT_TRUE], p = counts[BP_COUNT_PREDICTED];
        n += t;
        both += counts[BP_COUNT_BOTH];
        mixed += t * p;
        truths += t * t;
        guesses += p * p;
    }
    const double spread = (n * n - truths) * (n * n - guesses);
    if (!(n > 0)) return (double)NAN;
    return spread > 0 ? (both * n - mixed) / sqrt(spread) : 0;
}

extern const struct bp_metric_ops bp_metric_matthews_correlation;
const struct bp_metric_ops bp_metric_matthews_correlation = {
    .entry = {.name = "matthews_correlation", .summary = "Correlation of predicted and true classes: 1 is perfect, 0 no better than chance"},
    .kinds = BP_METRIC_CLASSIFICATION,
    .higher_is_better = true,
    .state_size = bp_counts_size,
    .update = bp_counts_update,
    .result = result,
};

/* pr_auc.c - average precision: the sum over the thresholds of the recall gained there times the precision there. As scikit-learn's
 * average_precision_score, with average="macro" for more than two classes. */
#include "engine/metrics/samples.h"

static double area(const struct bp_curve_step *step) {
    const double right = step->above[1] + step->here[1], taken = right + step->above[0] + step->here[0];
    return taken > 0 ? step->here[1] / step->all[1] * (right / taken) : 0;
}

static double result(double *state, int32_t classes, int32_t width) {
    (void)width;
    return bp_curve_result(state, classes, area);
}

extern const struct bp_metric_ops bp_metric_pr_auc;
const struct bp_metric_ops bp_metric_pr_auc = {
    .entry = {.name = "pr_auc",
              .summary = "Average precision, the area under precision and recall; of the second class, or the mean over more than two"},
    .kinds = BP_METRIC_CLASSIFICATION,
    .higher_is_better = true,
    .whole = true,
    .state_size = bp_curve_size,
    .update = bp_curve_update,
    .merge = bp_curve_merge,
    .result = result,
};

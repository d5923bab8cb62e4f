/* roc_auc.c - area under the curve of true against false positives: how likely a sample of the class has a larger score than one of the others, equal
 * scores counting half (Hanley, McNeil 1982). As scikit-learn's roc_auc_score, with multi_class="ovr" for more than two classes. */
#include "engine/metrics/samples.h"

static double area(const struct bp_curve_step *step) {
    return step->here[0] * (step->above[1] + step->here[1] / 2) / (step->all[0] * step->all[1]);
}

static double result(double *state, int32_t classes, int32_t width) {
    (void)width;
    return bp_curve_result(state, classes, area);
}

extern const struct bp_metric_ops bp_metric_roc_auc;
const struct bp_metric_ops bp_metric_roc_auc = {
    .entry = {.name = "roc_auc",
              .summary = "Area under the ROC curve: the probability that a sample of the class scores higher than another; of the second class, or "
                         "the mean over more than two"},
    .kinds = BP_METRIC_CLASSIFICATION,
    .higher_is_better = true,
    .whole = true,
    .state_size = bp_curve_size,
    .update = bp_curve_update,
    .merge = bp_curve_merge,
    .result = result,
};

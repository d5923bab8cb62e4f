/* counts.h - what precision, recall and f1 share: per class, the weight of the samples of that class, of those
 * predicted as it, and of those that are both. State: 3 doubles a class. */
#ifndef BP_METRICS_COUNTS_H
#define BP_METRICS_COUNTS_H

#include "engine/metrics/metric.h"

enum { BP_COUNT_TRUE, BP_COUNT_PREDICTED, BP_COUNT_BOTH, BP_COUNTS };

int64_t bp_counts_size(int32_t classes, int32_t width, int64_t samples);
void bp_counts_update(double *state, const struct bp_metric_call *call);
/* ratio is called with the counts of a class. Two classes: that of class 1. More: the mean over the classes that occur in targets or
 * predictions, where an undefined ratio (0 / 0) counts as 0, as in scikit-learn. */
double bp_counts_result(const double *state, int32_t classes, double (*ratio)(const double counts[BP_COUNTS]));

#endif

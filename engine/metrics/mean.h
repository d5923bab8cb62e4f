/* mean.h - what metrics share that are one weighted mean over the samples. State: the weighted sum, the weight. */
#ifndef BP_METRICS_MEAN_H
#define BP_METRICS_MEAN_H

#include "engine/metrics/metric.h"

/* As state_size and result of struct bp_metric_ops; NaN without weight. */
int64_t bp_mean_state_size(int32_t classes, int32_t width, int64_t samples);
double bp_mean_result(double *state, int32_t classes, int32_t width);

#endif

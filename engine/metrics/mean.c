/* mean.c - see mean.h. */
#include "engine/metrics/mean.h"

int64_t bp_mean_state_size(int32_t classes, int32_t width, int64_t samples) {
    (void)classes, (void)width, (void)samples;
    return 2;
}

double bp_mean_result(double *state, int32_t classes, int32_t width) {
    (void)classes, (void)width;
    return bp_metric_mean(state, 1);
}

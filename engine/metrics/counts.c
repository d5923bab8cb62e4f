/* counts.c - see counts.h; and the predicted class. */
#include "engine/metrics/counts.h"

#include <math.h>

int32_t bp_class_of(const bp_real *p, int32_t width, bool scores, double threshold) {
    if (threshold > 0 && width <= 2) return (double)p[width - 1] >= threshold;
    if (width == 1) return p[0] >= (scores ? 0 : (bp_real)0.5);
    int32_t best = 0;
    for (int32_t j = 1; j < width; j++)
        if (p[j] > p[best]) best = j;
    return best;
}

int32_t bp_metric_class(const struct bp_metric_call *call, int32_t i) {
    return bp_class_of(call->predictions + (size_t)i * (size_t)call->width, call->width, call->scores, call->threshold);
}

int32_t bp_metric_wrong_labels(const struct bp_metric_call *call, int32_t i) {
    const size_t first = (size_t)i * (size_t)call->width;
    int32_t wrong = 0;
    for (int32_t j = 0; j < call->width; j++) {
        const bool has = call->y[first + (size_t)j] >= (bp_real)0.5;
        wrong += ((double)call->predictions[first + (size_t)j] >= (call->thresholds ? call->thresholds[j] : 0.5)) != has;
    }
    return wrong;
}

int64_t bp_counts_size(int32_t classes, int32_t width, int64_t samples) {
    (void)width, (void)samples;
    return BP_COUNTS * classes;
}

void bp_counts_update(double *state, const struct bp_metric_call *call) {
    for (int32_t i = 0; i < call->batch; i++) {
        const double weight = bp_sample_weight(call->weights, (size_t)i);
        const int32_t truth = (int32_t)call->y[i], guess = bp_metric_class(call, i);
        if (truth >= 0 && truth < call->classes) state[BP_COUNTS * truth + BP_COUNT_TRUE] += weight;
        if (guess < call->classes) state[BP_COUNTS * guess + BP_COUNT_PREDICTED] += weight;
        if (guess == truth && truth < call->classes) state[BP_COUNTS * truth + BP_COUNT_BOTH] += weight;
    }
}

double bp_counts_result(const double *state, int32_t classes, double (*ratio)(const double counts[BP_COUNTS])) {
    if (classes == 2) return ratio(state + BP_COUNTS);
    double sum = 0;
    int32_t seen = 0;
    for (int32_t c = 0; c < classes; c++) {
        const double *counts = state + BP_COUNTS * c;
        if (counts[BP_COUNT_TRUE] == 0 && counts[BP_COUNT_PREDICTED] == 0) continue;
        const double value = ratio(counts);
        sum += isnan(value) ? 0 : value;
        seen++;
    }
    return seen ? sum / seen : (double)NAN;
}

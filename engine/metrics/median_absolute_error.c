/* median_absolute_error.c - half of the samples' weight has an error at most as large, in the target's own unit; where two share the middle, their
 * mean. The mean over the outputs, as in scikit-learn. */
#include "engine/metrics/samples.h"

#include <math.h>

enum { BEFORE = 1 };

static int64_t state_size(int32_t classes, int32_t width, int64_t samples) {
    (void)classes;
    return width * (BEFORE + bp_samples_size(1, samples));
}

/* Each number has samples of its own, after their total size, which locates those of the next number. */
static void update(double *state, const struct bp_metric_call *call) {
    const int64_t each = BEFORE + bp_samples_size(1, call->samples);
    for (int32_t i = 0; i < call->batch; i++)
        for (int32_t j = 0; j < call->width; j++) {
            const size_t at = (size_t)i * (size_t)call->width + (size_t)j;
            state[each * j] = (double)each;
            double *row = bp_samples_add(state + each * j + BEFORE, 1, bp_sample_weight(call->weights, (size_t)i), 0);
            row[0] = fabs(((double)call->predictions[at] - (double)call->y[at]) * bp_metric_unit(call, j));
        }
}

static void merge(double *state, const double *other, int32_t classes, int32_t width, int64_t samples) {
    const int64_t each = BEFORE + bp_samples_size(1, samples);
    (void)classes;
    for (int32_t j = 0; j < width; j++) {
        state[each * j] = (double)each;
        bp_samples_append(state + each * j + BEFORE, other + each * j + BEFORE, 1);
    }
}

static double median(const double *samples, int64_t n) {
    double total = 0, below = 0;
    for (int64_t i = 0; i < n; i++) {
        if (isnan(samples[BP_SAMPLE * i])) return (double)NAN;
        total += samples[BP_SAMPLE * i + BP_SAMPLE_WEIGHT];
    }
    for (int64_t i = 0; i < n; i++) {
        const double number = samples[BP_SAMPLE * i];
        below += samples[BP_SAMPLE * i + BP_SAMPLE_WEIGHT];
        if (2 * below > total) return number;
        if (2 * below < total || !(total > 0)) continue;
        do i++;
        while (i < n && !(samples[BP_SAMPLE * i + BP_SAMPLE_WEIGHT] > 0));
        return i < n ? (number + samples[BP_SAMPLE * i]) / 2 : number;
    }
    return (double)NAN;
}

static double result(double *state, int32_t classes, int32_t width) {
    (void)classes;
    double sum = 0;
    for (int32_t j = 0; j < width; j++) {
        int64_t n;
        const double *samples = bp_samples_sorted(state + (int64_t)state[0] * j + BEFORE, 1, 0, &n);
        sum += median(samples, n);
    }
    return width > 0 ? sum / width : (double)NAN;
}

extern const struct bp_metric_ops bp_metric_median_absolute_error;
const struct bp_metric_ops bp_metric_median_absolute_error = {
    .entry = {.name = "median_absolute_error", .summary = "Median of the absolute errors, in the target's own unit: robust to outliers"},
    .kinds = BP_METRIC_REGRESSION,
    .whole = true,
    .state_size = state_size,
    .update = update,
    .merge = merge,
    .result = result,
};

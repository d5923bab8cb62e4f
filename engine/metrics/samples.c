/* samples.c - see samples.h. */
#include "engine/metrics/samples.h"

#include <math.h>
#include <string.h>

enum { COUNT, ROWS };

int64_t bp_samples_size(int64_t columns, int64_t samples) {
    return ROWS + samples * (columns + BP_SAMPLE - 1 + (columns > 1 ? BP_SAMPLE : 0));
}

double *bp_samples_add(double *state, int64_t columns, double weight, double mark) {
    double *row = state + ROWS + (int64_t)state[COUNT]++ * (columns + BP_SAMPLE - 1);
    row[columns] = weight;
    row[columns + 1] = mark;
    return row;
}

void bp_samples_append(double *state, const double *other, int64_t columns) {
    const int64_t row = columns + BP_SAMPLE - 1, n = (int64_t)other[COUNT];
    memcpy(state + ROWS + (int64_t)state[COUNT] * row, other + ROWS, (size_t)(n * row) * sizeof *state);
    state[COUNT] += other[COUNT];
}

/* ---- sorting ----------------------------------------------------------------------------------------------------- */

static void move(double *to, const double *from) {
    memcpy(to, from, BP_SAMPLE * sizeof *to);
}

/* Puts `sample` where it belongs in the heap below `at`: no child is larger than its parent. */
static void sift(double *heap, int64_t at, int64_t n, const double *sample) {
    for (int64_t child = 2 * at + 1; child < n; at = child, child = 2 * at + 1) {
        if (child + 1 < n && heap[BP_SAMPLE * child] < heap[BP_SAMPLE * (child + 1)]) child++;
        if (!(sample[0] < heap[BP_SAMPLE * child])) break;
        move(heap + BP_SAMPLE * at, heap + BP_SAMPLE * child);
    }
    move(heap + BP_SAMPLE * at, sample);
}

/* Heapsort: in place, and as fast on any order. */
static void sort(double *samples, int64_t n) {
    double one[BP_SAMPLE];
    for (int64_t i = n / 2; i-- > 0;) {
        move(one, samples + BP_SAMPLE * i);
        sift(samples, i, n, one);
    }
    for (int64_t last = n - 1; last > 0; last--) {
        move(one, samples + BP_SAMPLE * last);
        move(samples + BP_SAMPLE * last, samples);
        sift(samples, 0, last, one);
    }
}

const double *bp_samples_sorted(double *state, int64_t columns, int64_t column, int64_t *count) {
    const int64_t n = *count = (int64_t)state[COUNT], row = columns + BP_SAMPLE - 1;
    double *rows = state + ROWS, *samples = columns > 1 ? rows + n * row : rows;
    for (int64_t i = 0; columns > 1 && i < n; i++) {
        samples[BP_SAMPLE * i + BP_SAMPLE_NUMBER] = rows[i * row + column];
        samples[BP_SAMPLE * i + BP_SAMPLE_WEIGHT] = rows[i * row + columns];
        samples[BP_SAMPLE * i + BP_SAMPLE_MARK] = rows[i * row + columns + 1];
    }
    sort(samples, n);
    return samples;
}

/* ---- areas under curves ------------------------------------------------------------------------------------------ */

int64_t bp_curve_size(int32_t classes, int32_t width, int64_t samples) {
    (void)width;
    return bp_samples_size(classes > 2 ? classes : 1, samples);
}

void bp_curve_update(double *state, const struct bp_metric_call *call) {
    const int64_t columns = call->classes > 2 ? call->classes : 1;
    for (int32_t i = 0; i < call->batch; i++) {
        const bp_real *p = call->predictions + (size_t)i * (size_t)call->width; /* (width) */
        double *row = bp_samples_add(state, columns, bp_sample_weight(call->weights, (size_t)i), (double)call->y[i]);
        for (int64_t j = 0; columns > 1 && j < columns; j++) row[j] = (double)p[j];
        if (columns == 1) row[0] = call->width == 1 ? (double)p[0] : call->scores ? (double)p[1] - (double)p[0] : (double)p[1];
    }
}

void bp_curve_merge(double *state, const double *other, int32_t classes, int32_t width, int64_t samples) {
    (void)width, (void)samples;
    bp_samples_append(state, other, classes > 2 ? classes : 1);
}

static double weight_of(const double *samples, int64_t n, double mark) {
    double weight = 0;
    for (int64_t i = 0; i < n; i++) weight += samples[BP_SAMPLE * i + BP_SAMPLE_MARK] == mark ? samples[BP_SAMPLE * i + BP_SAMPLE_WEIGHT] : 0;
    return weight;
}

/* The area of one class, from the highest score down; not a number when it has no samples, or a score is none. */
static double area_of(const double *samples, int64_t n, double mark, double (*area)(const struct bp_curve_step *step)) {
    struct bp_curve_step step = {{0, 0}, {0, 0}, {0, weight_of(samples, n, mark)}};
    double sum = 0;
    for (int64_t i = 0; i < n; i++) step.all[0] += samples[BP_SAMPLE * i + BP_SAMPLE_MARK] == mark ? 0 : samples[BP_SAMPLE * i + BP_SAMPLE_WEIGHT];
    for (int64_t i = n; i > 0;) {
        const double score = samples[BP_SAMPLE * (i - 1)];
        if (isnan(score)) return score;
        step.here[0] = step.here[1] = 0;
        for (; i > 0 && samples[BP_SAMPLE * (i - 1)] == score; i--)
            step.here[samples[BP_SAMPLE * (i - 1) + BP_SAMPLE_MARK] == mark] += samples[BP_SAMPLE * (i - 1) + BP_SAMPLE_WEIGHT];
        sum += area(&step);
        step.above[0] += step.here[0];
        step.above[1] += step.here[1];
    }
    return step.all[1] > 0 ? sum : (double)NAN;
}

double bp_curve_result(double *state, int32_t classes, double (*area)(const struct bp_curve_step *step)) {
    const bool two = classes == 2;
    double sum = 0;
    int64_t n;
    int32_t seen = 0;
    for (int32_t c = 0; c < classes; c++) {
        if (two && c == 0) continue;
        const double *samples = bp_samples_sorted(state, two ? 1 : classes, two ? 0 : c, &n);
        if (!(weight_of(samples, n, c) > 0)) continue;
        sum += area_of(samples, n, c, area);
        seen++;
    }
    return seen ? sum / seen : (double)NAN;
}

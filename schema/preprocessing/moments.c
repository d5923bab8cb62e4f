/* moments.c - means and deviations that are right whatever the size of the numbers: squares of deviations from the mean of each block,
 * blocks joined in long double by Chan, Golub and LeVeque's formula (1983). And without extreme outliers. */
#include "schema/preprocessing/moments.h"
#include "schema/preprocessing/options.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

enum { BLOCK = 512, LANES = 8, SAMPLE = 4096 };

void schema_moments_join(struct schema_moments *m, const struct schema_moments *more) {
    const long double n = (long double)m->n + (long double)more->n, apart = more->mean - m->mean;
    if (more->n == 0) return;
    if (m->n == 0) {
        *m = *more;
        return;
    }
    m->m2 += more->m2 + apart * apart * (long double)m->n * (long double)more->n / n;
    m->mean += apart * (long double)more->n / n;
    m->n = (double)n;
    m->min = fmin(m->min, more->min);
    m->max = fmax(m->max, more->max);
}

void schema_moments_add(struct schema_moments *m, double v) {
    if (isfinite(v)) schema_moments_join(m, &(struct schema_moments){.n = 1, .mean = (long double)v, .min = v, .max = v});
}

/* Sum of n numbers, LANES of them side by side. */
static double sum_of(const double *v, int64_t n) {
    double lanes[LANES] = {0}, sum = 0;
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int k = 0; k < LANES; k++) lanes[k] += v[i + k];
    for (; i < n; i++) sum += v[i];
    for (int k = 0; k < LANES; k++) sum += lanes[k];
    return sum;
}

static void range_of(const double *v, int64_t n, double *min, double *max) {
    double low[LANES], high[LANES];
    for (int k = 0; k < LANES; k++) low[k] = high[k] = v[0];
    for (int64_t i = 0; i + LANES <= n; i += LANES)
        for (int k = 0; k < LANES; k++) {
            low[k] = v[i + k] < low[k] ? v[i + k] : low[k];
            high[k] = v[i + k] > high[k] ? v[i + k] : high[k];
        }
    for (int64_t i = n - n % LANES; i < n; i++) {
        low[0] = v[i] < low[0] ? v[i] : low[0];
        high[0] = v[i] > high[0] ? v[i] : high[0];
    }
    *min = low[0], *max = high[0];
    for (int k = 1; k < LANES; k++) {
        *min = low[k] < *min ? low[k] : *min;
        *max = high[k] > *max ? high[k] : *max;
    }
}

/* From the middle of its range the numbers of a block are taken off in double, which costs no digit that its deviation has; squares of what double
 * does not square are long double's. */
static void add_block(struct schema_moments *m, const double *v, int64_t n) {
    struct schema_moments block = {0};
    double there[BLOCK];
    int64_t count = 0;
    for (int64_t i = 0; i < n; i++) {
        there[count] = v[i];
        count += isfinite(v[i]) != 0;
    }
    if (count == 0) return;
    range_of(there, count, &block.min, &block.max);
    const double width = block.max - block.min, middle = block.min + width / 2, n_there = (double)count;
    block.n = n_there;
    block.mean = (long double)block.min;
    if (width > 1e-140 && width < 1e140) {
        for (int64_t i = 0; i < count; i++) there[i] -= middle;
        const double offset = sum_of(there, count) / n_there;
        for (int64_t i = 0; i < count; i++) there[i] = (there[i] - offset) * (there[i] - offset);
        block.mean = (long double)middle + (long double)offset;
        block.m2 = (long double)sum_of(there, count);
    } else if (block.max > block.min) {
        long double sum = 0;
        for (int64_t i = 0; i < count; i++) sum += (long double)there[i];
        block.mean = sum / (long double)count;
        for (int64_t i = 0; i < count; i++) block.m2 += ((long double)there[i] - block.mean) * ((long double)there[i] - block.mean);
    }
    schema_moments_join(m, &block);
}

void schema_moments_add_many(struct schema_moments *m, const double *v, int64_t n) {
    for (int64_t first = 0; first < n; first += BLOCK) add_block(m, v + first, n - first < BLOCK ? n - first : BLOCK);
}

static double deviation(const struct schema_moments *m) {
    return m->n > 0 ? (double)sqrtl(m->m2 / (long double)m->n) : 0;
}

bool schema_moments_constant(const struct schema_moments *m) {
    return !(deviation(m) > DBL_EPSILON * fabs((double)m->mean));
}

void schema_moments_result(const struct schema_moments *m, double *mean, double *std) {
    const double s = deviation(m);
    *mean = m->n > 0 ? (double)m->mean : 0;
    *std = !schema_moments_constant(m) && isfinite(s) ? s : 1;
}

int schema_moments_check(const struct schema_moments *m, const char *pointer, const char *name, struct bp_error *error) {
    const double least = 1e-300;
    if (m->n > 0 && !isfinite(m->max - m->min))
        return bp_error_set(error, pointer,
                            "column \"%.60s\" ranges from %.6g to %.6g in the training rows, which exceeds the range of double precision; divide its "
                            "numbers, or leave it out",
                            name, m->min, m->max);
    if (m->n > 0 && m->max > m->min && deviation(m) < least)
        return bp_error_set(error, pointer,
                            "column \"%.60s\" ranges from %.6g to %.6g in the training rows, with a deviation below 1e-300, too small for double "
                            "precision; multiply its numbers, or leave it out",
                            name, m->min, m->max);
    return 0;
}

/* ---- extreme outliers ------------------------------------------------------------------------------------------- */

static int compare(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Quartiles of some thousand numbers, evenly picked. False: there are too few, or half of them are equal. */
static bool fence_of(const struct schema_numbers *from, double *low, double *high) {
    int64_t places[SAMPLE] = {0};
    double sample[SAMPLE];
    const int64_t n = from->n < SAMPLE ? from->n : SAMPLE;
    int64_t there = 0;
    for (int64_t i = 0; i < n; i++) places[i] = n == from->n ? i : (int64_t)((double)i * ((double)from->n / (double)n));
    from->read(from->context, places, n, sample);
    for (int64_t i = 0; i < n; i++)
        if (isfinite(sample[i])) sample[there++] = sample[i];
    if (there < SCHEMA_TRIM_LEAST) return false;
    qsort(sample, (size_t)there, sizeof *sample, compare);
    const double first = sample[there / 4], third = sample[(there - 1) - there / 4], reach = SCHEMA_TRIM_RANGES * (third - first);
    *low = first - reach;
    *high = third + reach;
    return reach > 0;
}

void schema_moments_trim(struct schema_moments *m, const struct schema_numbers *from) {
    struct schema_moments kept = {0};
    double mean, std, low, high;
    schema_moments_result(m, &mean, &std);
    if (m->max - mean <= SCHEMA_CLIP / 2 * std && mean - m->min <= SCHEMA_CLIP / 2 * std) return; /* the usual case costs nothing */
    if (!fence_of(from, &low, &high) || (m->min >= low && m->max <= high)) return;
    for (int64_t first = 0; first < from->n; first += BLOCK) {
        int64_t places[BLOCK];
        double v[BLOCK];
        const int64_t some = from->n - first < BLOCK ? from->n - first : BLOCK;
        for (int64_t i = 0; i < some; i++) places[i] = first + i;
        from->read(from->context, places, some, v);
        for (int64_t i = 0; i < some; i++) v[i] = v[i] >= low && v[i] <= high ? v[i] : (double)NAN;
        schema_moments_add_many(&kept, v, some);
    }
    const double outside = m->n - kept.n;
    if (outside > fmax(2, SCHEMA_TRIM_SHARE * m->n) || kept.n < 1) return; /* too many for errors: it is how these numbers are */
    m->mean = kept.mean;
    m->m2 = kept.m2 * (long double)m->n / (long double)kept.n;
}

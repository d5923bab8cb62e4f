/* preprocessing_scale.c - how numbers are scaled, what missing ones become; places of categories. */
#include "preprocessing.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- numbers ------------------------------------------------------------------------------------------------------------ */

static int compare(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Linear between the order statistics, as NumPy's default. */
static double quantile(const double *sorted, int64_t n, double share) {
    const double at = share * (double)(n - 1);
    const int64_t low = (int64_t)at;
    return low + 1 < n ? sorted[low] + (at - (double)low) * (sorted[low + 1] - sorted[low]) : sorted[n - 1];
}

static double symmetric_log(double v) {
    return v < 0 ? -log1p(-v) : log1p(v);
}

/* v's place among the knots, 0 to 1: linear between them, in the middle of equal ones. */
static double place_of(const double *knots, double v) {
    int32_t below = 0, upto = 0; /* knots below v, and not above it */
    while (below < SCHEMA_KNOTS && knots[below] < v) below++;
    for (upto = below; upto < SCHEMA_KNOTS && knots[upto] == v;) upto++;
    if (upto > below) return (below + upto - 1) / 2.0 / (SCHEMA_KNOTS - 1);
    if (below == 0 || below == SCHEMA_KNOTS) return below ? 1 : 0;
    return (below - 1 + (v - knots[below - 1]) / (knots[below] - knots[below - 1])) / (SCHEMA_KNOTS - 1);
}

static double before_centring(const struct schema_feature *f, double v) {
    switch (f->options.scale) {
    case SCHEMA_SCALE_LOG: return symmetric_log(v);
    case SCHEMA_SCALE_QUANTILE: return f->knots ? place_of(f->knots, v) : v;
    default: return v;
    }
}

double schema_scale_apply(const struct schema_feature *f, double v) {
    return (before_centring(f, v) - f->mean) / f->std;
}

void schema_scale_many(const struct schema_feature *f, const double *v, int32_t n, float *out, int64_t stride) {
    if (f->options.scale == SCHEMA_SCALE_STANDARD && !f->indicator) {
        for (int32_t i = 0; i < n; i++) out[i * stride] = (float)(((isnan(v[i]) ? f->fill : v[i]) - f->mean) / f->std);
        return;
    }
    for (int32_t i = 0; i < n; i++, out += stride) {
        out[0] = (float)schema_scale_apply(f, isnan(v[i]) ? f->fill : v[i]);
        if (f->indicator) out[1] = isnan(v[i]) ? 1.0f : 0.0f;
    }
}

/* Sorted values to centre and width. */
static int fit_scale(struct schema_feature *f, const double *sorted, int64_t n) {
    struct schema_moments m = {0};
    if (f->options.scale == SCHEMA_SCALE_NONE || n == 0) return 0;
    if (f->options.scale == SCHEMA_SCALE_MINMAX || f->options.scale == SCHEMA_SCALE_ROBUST) {
        const bool robust = f->options.scale == SCHEMA_SCALE_ROBUST;
        const double low = robust ? quantile(sorted, n, 0.25) : sorted[0], high = robust ? quantile(sorted, n, 0.75) : sorted[n - 1];
        f->mean = robust ? quantile(sorted, n, 0.5) : low;
        f->std = high > low && isfinite(high - low) ? high - low : 1;
        return 0;
    }
    if (f->options.scale == SCHEMA_SCALE_QUANTILE) {
        if (!(f->knots = calloc(SCHEMA_KNOTS, sizeof *f->knots))) return -1;
        for (int32_t k = 0; k < SCHEMA_KNOTS; k++) f->knots[k] = quantile(sorted, n, (double)k / (SCHEMA_KNOTS - 1));
    }
    for (int64_t i = 0; i < n; i++) schema_moments_add(&m, before_centring(f, sorted[i]));
    schema_moments_result(&m, &f->mean, &f->std);
    return 0;
}

bool schema_scale_by_moments(const struct schema_feature *f) {
    return f->options.scale == SCHEMA_SCALE_STANDARD && f->options.missing != SCHEMA_MISSING_MEDIAN;
}

void schema_scale_begin(struct schema_feature *f, const struct schema_moments *m, int64_t n) {
    double spread;
    schema_moments_result(m, &f->fill, &spread);
    const bool missing = m->n < (double)n;
    f->indicator = missing && (f->options.missing == SCHEMA_MISSING_AUTO || f->options.missing == SCHEMA_MISSING_INDICATOR);
    if (f->options.scale == SCHEMA_SCALE_STANDARD) { /* summed in the order of rows */
        f->mean = f->fill;
        f->std = spread;
    }
    if (f->type == SCHEMA_BOOLEAN) f->std = 1;
    if (f->options.missing == SCHEMA_MISSING_CONSTANT) f->fill = f->options.constant;
}

int schema_scale_fit(struct schema_feature *f, double *values, int64_t n, struct bp_error *error) {
    int64_t there = 0;
    struct schema_moments m = {0};
    for (int64_t i = 0; i < n; i++) {
        if (isnan(values[i])) continue;
        schema_moments_add(&m, values[i]);
        values[there++] = values[i];
    }
    schema_scale_begin(f, &m, n);
    if (f->options.scale != SCHEMA_SCALE_STANDARD || f->options.missing == SCHEMA_MISSING_MEDIAN)
        qsort(values, (size_t)there, sizeof *values, compare);
    if (f->options.scale != SCHEMA_SCALE_STANDARD && fit_scale(f, values, there) != 0) return bp_error_set(error, "", "out of memory");
    if (f->options.missing == SCHEMA_MISSING_MEDIAN && there > 0) f->fill = quantile(values, there, 0.5);
    return 0;
}

/* ---- categories --------------------------------------------------------------------------------------------------------- */

struct category {
    char *text;
    int64_t count;
};

/* Numbers by value, then texts. */
static int compare_categories(const void *a, const void *b) {
    const char *x = ((const struct category *)a)->text, *y = ((const struct category *)b)->text;
    char *x_end, *y_end;
    const double u = strtod(x, &x_end), v = strtod(y, &y_end);
    if (*x && *y && !*x_end && !*y_end && u != v) return u < v ? -1 : 1;
    return strcmp(x, y);
}

int schema_places_fit(struct schema_feature *f, const int64_t *counts) {
    const int32_t n = f->categories_count;
    struct category *sorted = calloc((size_t)n + 1, sizeof *sorted);
    struct schema_moments m = {0};
    if (!sorted) return -1;
    for (int32_t i = 0; i < n; i++) sorted[i] = (struct category){f->categories[i], counts[i]};
    qsort(sorted, (size_t)n, sizeof *sorted, compare_categories);
    for (int32_t i = 0; i < n; i++) {
        f->categories[i] = sorted[i].text;
        for (int64_t k = 0; k < sorted[i].count; k++) schema_moments_add(&m, i);
    }
    free(sorted);
    if (f->options.encode == SCHEMA_ENCODE_ORDINAL) schema_moments_result(&m, &f->mean, &f->std);
    return 0;
}

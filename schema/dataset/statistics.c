/* statistics.c - statistics in one pass over blocks of numbers.
 *
 * Within a block a number near the mean comes first, then the differences from it and their squares, whose sums correct its rounding error
 * (the corrected two-pass algorithm: Chan, Golub, LeVeque 1983). For numbers of 1e15 and more that is all the difference. Blocks are joined by
 *     d = mean_b - mean_a;  mean = mean_a + d n_b / n;  M2 = M2_a + M2_b + d^2 n_a n_b / n
 * (Chan, Golub, LeVeque 1979), which is Welford's method for blocks: as stable, and four sums run side by side. The order of the additions is
 * fixed. Numbers so large that a sum overflows are done again in long double. */
#include "schema/dataset/statistics.h"

#include "schema/dataset/pixel.h"

#include <math.h>
#include <string.h>

enum { BLOCK = 4096 };

void schema_statistics_start(struct schema_statistics *s) {
    memset(s, 0, sizeof *s);
    s->integral = true;
    s->min = INFINITY, s->max = -INFINITY;
}

static double sum(const double *x, int64_t n) {
    double s[4] = {0, 0, 0, 0};
    int64_t i = 0;
    for (; i + 4 <= n; i += 4)
        for (int k = 0; k < 4; k++) s[k] += x[i + k];
    for (; i < n; i++) s[0] += x[i];
    return (s[0] + s[1]) + (s[2] + s[3]);
}

/* Of the differences from a number near the mean: their sum and that of their squares. */
static void differences(const double *x, int64_t n, double near, double *sum, double *squares) {
    double s[4] = {0, 0, 0, 0}, q[4] = {0, 0, 0, 0};
    int64_t i = 0;
    for (; i + 4 <= n; i += 4)
        for (int k = 0; k < 4; k++) {
            const double d = x[i + k] - near;
            s[k] += d, q[k] += d * d;
        }
    for (; i < n; i++) {
        const double d = x[i] - near;
        s[0] += d, q[0] += d * d;
    }
    *sum = (s[0] + s[1]) + (s[2] + s[3]), *squares = (q[0] + q[1]) + (q[2] + q[3]);
}

/* Four of each side by side: one alone would wait for itself at every number. */
static void range(struct schema_statistics *s, const double *x, int64_t n) {
    double min[4] = {s->min, s->min, s->min, s->min}, max[4] = {s->max, s->max, s->max, s->max};
    int64_t i = 0;
    for (; i + 4 <= n; i += 4)
        for (int k = 0; k < 4; k++) {
            min[k] = x[i + k] < min[k] ? x[i + k] : min[k];
            max[k] = x[i + k] > max[k] ? x[i + k] : max[k];
        }
    for (; i < n; i++) {
        min[0] = x[i] < min[0] ? x[i] : min[0];
        max[0] = x[i] > max[0] ? x[i] : max[0];
    }
    for (int k = 0; k < 4; k++) {
        s->min = min[k] < s->min ? min[k] : s->min;
        s->max = max[k] > s->max ? max[k] : s->max;
    }
}

/* n more numbers, of that mean, less the origin, and sum of squared differences from it. */
static void join_moments(struct schema_statistics *s, int64_t n, long double mean, long double m2) {
    long double total = (long double)(s->count + n), d = mean - s->mean;
    s->mean += d * (long double)n / total;
    s->m2 += m2 + d * d * ((long double)s->count * (long double)n / total);
    s->count += n;
}

static void join(struct schema_statistics *s, const double *x, int64_t n) {
    const double near = sum(x, n) / (double)n;
    double d, squares;
    if (s->count == 0) s->origin = isfinite(near) ? near : x[0];
    differences(x, n, near, &d, &squares);
    long double mean = (long double)near - (long double)s->origin + (long double)d / (long double)n;
    long double m2 = (long double)squares - (long double)d * (long double)d / (long double)n;
    if (!isfinite(mean) || !isfinite(m2)) {
        mean = 0, m2 = 0;
        for (int64_t i = 0; i < n; i++) mean += ((long double)x[i] - (long double)s->origin) / (long double)n;
        for (int64_t i = 0; i < n; i++) {
            const long double e = (long double)x[i] - (long double)s->origin - mean;
            m2 += e * e;
        }
    }
    join_moments(s, n, mean, m2 > 0 ? m2 : 0);
    range(s, x, n);
}

/* A block of integers 0..255, such as pixels: their sums are exact in 32 bits. False: they are not, and nothing was done. */
static bool join_bytes(struct schema_statistics *s, const float *x, int64_t n) {
    int32_t total = 0, square = 0, min = 255, max = 0;
    uint32_t other = 0;
    for (int64_t i = 0; i < n; i++) {
        const int32_t q = schema_pixel(x[i], &other);
        const float whole = (float)q;
        total += q;
        square += (int32_t)(whole * whole);
        min = q < min ? q : min;
        max = q > max ? q : max;
    }
    if (other) return false;
    const long double mean = (long double)total / (long double)n;
    join_moments(s, n, mean - (long double)s->origin, (long double)square - mean * (long double)total);
    s->min = min < s->min ? min : s->min;
    s->max = max > s->max ? max : s->max;
    return true;
}

static bool is_integer(double v) {
    return fabs(v) >= 9007199254740992.0 || (double)(int64_t)v == v;
}

/* Stores the distinct values in ascending order until there are too many. */
static void distinct(struct schema_statistics *s, const double *x, int64_t n) {
    double last = NAN;
    for (int64_t i = 0; i < n && s->distinct_count <= SCHEMA_DISTINCT_MAX; i++) {
        if (x[i] == last) continue;
        last = x[i];
        int32_t at = 0;
        while (at < s->distinct_count && s->distinct[at] < last) at++;
        if (at < s->distinct_count && s->distinct[at] == last) continue;
        if (s->distinct_count++ == SCHEMA_DISTINCT_MAX) return;
        memmove(s->distinct + at + 1, s->distinct + at, (size_t)(s->distinct_count - 1 - at) * sizeof *s->distinct);
        s->distinct[at] = last == 0 ? 0 : last;
    }
}

void schema_statistics_add(struct schema_statistics *s, const double *x, int64_t n) {
    distinct(s, x, n);
    for (int64_t i = 0; i < n && s->integral; i++) s->integral = is_integer(x[i]);
    for (int64_t i = 0; i < n; i += BLOCK) join(s, x + i, n - i < BLOCK ? n - i : BLOCK);
}

void schema_statistics_add_floats(struct schema_statistics *s, const float *x, int64_t n) {
    double block[BLOCK];
    for (int64_t i = 0; i < n; i += BLOCK) {
        int64_t m = n - i < BLOCK ? n - i : BLOCK, there = m;
        int missing = 0;
        if (join_bytes(s, x + i, m)) continue;
        for (int64_t k = 0; k < m; k++) block[k] = (double)x[i + k], missing |= isnan(x[i + k]);
        if (missing) { /* missing numbers of a tensor do not count */
            there = 0;
            for (int64_t k = 0; k < m; k++) {
                block[there] = (double)x[i + k];
                there += !isnan(x[i + k]);
            }
        }
        if (there == 0) continue;
        join(s, block, there);
    }
}

void schema_statistics_finish(const struct schema_statistics *s, struct schema_column *column) {
    bool empty = s->count == 0;
    column->min = empty ? NAN : s->min;
    column->max = empty ? NAN : s->max;
    bool constant = !empty && s->min == s->max; /* exact, whatever the sums rounded to */
    column->mean = empty ? NAN : constant ? s->min : (double)((long double)s->origin + s->mean);
    column->std = empty ? NAN : constant ? 0 : (double)sqrtl(s->m2 / (long double)s->count);
    const bool distinct_counts = schema_type_of(column->type)->counts_distinct;
    column->integral = s->integral && !empty && distinct_counts;
    column->distinct_count = distinct_counts ? s->distinct_count : 0;
    memcpy(column->distinct, s->distinct, sizeof s->distinct);
}

/* association.c - the measures, each with its formula. */
#include "schema/dataset/association.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { TABLE_MAX = 1 << 20 /* cells of a contingency table: 8 MB */ };

/* ---- warnings ---- */

static bool is_number(const struct schema_column *c) {
    return schema_type_of(c->type)->storage == SCHEMA_HELD_AS_NUMBER;
}
static bool is_category(const struct schema_column *c) {
    return schema_type_of(c->type)->storage == SCHEMA_HELD_AS_CODE;
}

enum schema_association_kind schema_association_of(const struct schema_column *column, const struct schema_column *target) {
    if (is_number(column) && is_number(target)) return SCHEMA_ASSOCIATION_NUMBERS;
    if (is_category(column) && is_category(target)) return SCHEMA_ASSOCIATION_TABLE;
    return (is_number(column) && is_category(target)) || (is_category(column) && is_number(target)) ? SCHEMA_ASSOCIATION_RATIO
                                                                                                    : SCHEMA_ASSOCIATION_NONE;
}

int schema_association_start(struct schema_association *a, const struct schema_column *column, const struct schema_column *target) {
    memset(a, 0, sizeof *a);
    a->kind = schema_association_of(column, target);
    const struct schema_column *number = is_number(column) ? column : target, *category = is_number(column) ? target : column;
    a->mean_x = number->mean, a->std_x = number->std, a->mean_y = target->mean, a->std_y = target->std;
    if (a->kind == SCHEMA_ASSOCIATION_RATIO) {
        a->categories = category->categories_count;
        a->sums = calloc((size_t)a->categories + 1, sizeof *a->sums);
        a->counts = calloc((size_t)a->categories + 1, sizeof *a->counts);
        return a->sums && a->counts ? 0 : -1;
    }
    if (a->kind != SCHEMA_ASSOCIATION_TABLE) return 0;
    a->categories = column->categories_count, a->others = target->categories_count;
    a->sampled = (int64_t)a->categories * a->others > TABLE_MAX;
    if (!a->sampled) a->counts = calloc((size_t)a->categories * (size_t)a->others + 1, sizeof *a->counts);
    return a->sampled || a->counts ? 0 : -1;
}

void schema_association_clear(struct schema_association *a) {
    free(a->sums);
    free(a->counts);
    a->sums = NULL, a->counts = NULL;
}

/* ---- number with number ---- */

void schema_association_numbers(struct schema_association *a, const double *x, const double *y, int64_t n) {
    const double scale_x = 1 / a->std_x, scale_y = 1 / a->std_y;
    double su = 0, sv = 0, suu = 0, svv = 0, suv = 0;
    int64_t rows = 0;
    for (int64_t i = 0; i < n; i++) {
        const bool both = x[i] == x[i] && y[i] == y[i];
        const double u = both ? (x[i] - a->mean_x) * scale_x : 0, v = both ? (y[i] - a->mean_y) * scale_y : 0;
        su += u, sv += v, suu += u * u, svv += v * v, suv += u * v;
        rows += both;
    }
    a->u += su, a->v += sv, a->uu += suu, a->vv += svv, a->uv += suv;
    a->rows += rows;
}

/* sum((u - mean u)(v - mean v)) / sqrt(sum((u - mean u)^2) sum((v - mean v)^2)) */
static double correlation(long double n, long double u, long double v, long double uu, long double vv, long double uv) {
    const long double xx = uu - u * u / n, yy = vv - v * v / n, xy = uv - u * v / n;
    if (!(n >= 2) || !(xx > 1e-12L * uu) || !(yy > 1e-12L * vv)) return NAN; /* a constant, but for rounding */
    const long double r = xy / sqrtl(xx * yy);
    return (double)(r > 1 ? 1 : r < -1 ? -1 : r);
}

double schema_association_pearson(const struct schema_association *a) {
    return correlation((long double)a->rows, a->u, a->v, a->uu, a->vv, a->uv);
}

double schema_association_spearman(const double *rank_x, const double *rank_y, const double *x, const double *y, int64_t n) {
    long double u = 0, v = 0, uu = 0, vv = 0, uv = 0;
    int64_t rows = 0;
    for (int64_t i = 0; i < n; i++) rows += !isnan(x[i]) && !isnan(y[i]);
    const double middle = ((double)rows + 1) / 2; /* the mean of all ranks */
    for (int64_t i = 0; i < n; i++) {
        if (isnan(x[i]) || isnan(y[i])) continue;
        const double p = rank_x[i] - middle, q = rank_y[i] - middle;
        u += p, v += q, uu += p * p, vv += q * q, uv += p * q;
    }
    return correlation((long double)rows, u, v, uu, vv, uv);
}

/* ---- number with category ---- */

void schema_association_ratio(struct schema_association *a, const double *x, const int32_t *codes, int64_t n) {
    const double scale = 1 / a->std_x;
    double su = 0, suu = 0;
    for (int64_t i = 0; i < n; i++) {
        if (x[i] != x[i] || codes[i] < 0) continue;
        const double u = (x[i] - a->mean_x) * scale;
        su += u, suu += u * u;
        a->sums[codes[i]] += u, a->counts[codes[i]]++, a->rows++;
    }
    a->u += su, a->uu += suu;
}

/* eta^2 = sum n_g (mean_g - mean)^2 / sum (x - mean)^2, which k groups of n rows raise by chance;
 * epsilon^2 = 1 - (1 - eta^2)(n - 1)/(n - k) (T. L. Kelley, "An unbiased correlation ratio measure", PNAS 21 (9), 1935). */
double schema_association_eta(const struct schema_association *a, double *epsilon) {
    const long double n = (long double)a->rows, all = a->uu - a->u * a->u / n;
    long double between = -a->u * a->u / n;
    int64_t groups = 0;
    *epsilon = NAN;
    if (a->rows < 2 || !(all > 1e-12L * a->uu)) return NAN;
    for (int32_t g = 0; g < a->categories; g++) {
        if (a->counts[g] == 0) continue;
        between += (long double)a->sums[g] * (long double)a->sums[g] / (long double)a->counts[g];
        groups++;
    }
    if (groups < 2) return NAN;
    const double square = (double)(between / all > 1 ? 1 : between / all < 0 ? 0 : between / all);
    const double rest = a->rows > groups ? (1 - square) * ((double)a->rows - 1) / (double)(a->rows - groups) : 1;
    *epsilon = rest < 1 ? sqrt(1 - rest) : 0;
    return sqrt(square);
}

/* ---- category with category ---- */

void schema_association_table(struct schema_association *a, const int32_t *codes, const int32_t *others, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        if (codes[i] < 0 || others[i] < 0) continue;
        a->counts[(int64_t)codes[i] * a->others + others[i]]++;
        a->rows++;
    }
}

/* With phi^2 = chi^2 / n of r rows and k columns that are not empty:
 *     phi^2' = max(0, phi^2 - (k - 1)(r - 1)/(n - 1));  k' = k - (k - 1)^2/(n - 1);  r' likewise;  V = sqrt(phi^2' / min(k' - 1, r' - 1))
 * (W. Bergsma, "A bias-correction for Cramer's V and Tschuprow's T", Journal of the Korean Statistical Society 42 (3), 2013). */
static double corrected(double phi, int64_t r, int64_t k, int64_t n) {
    if (n < 2 || r < 2 || k < 2) return NAN;
    const double m = (double)n - 1, r1 = (double)r - 1, k1 = (double)k - 1;
    const double excess = phi - k1 * r1 / m, rows = r1 - r1 * r1 / m, columns = k1 - k1 * k1 / m;
    const double least = rows < columns ? rows : columns;
    if (!(excess > 0) || !(least > 0)) return 0;
    return excess < least ? sqrt(excess / least) : 1;
}

/* chi^2 / n = sum n_ij^2 / (n_i n_j) - 1, from the sums of lines and columns. */
int schema_association_cramers_v(const struct schema_association *a, double *v) {
    const int32_t r = a->categories, k = a->others;
    double *lines = calloc((size_t)r + (size_t)k + 1, sizeof *lines), *columns = lines + r, phi = -1;
    int64_t lines_count = 0, columns_count = 0;
    if (!lines) return -1;
    for (int32_t i = 0; i < r; i++)
        for (int32_t j = 0; j < k; j++) {
            const double count = (double)a->counts[(int64_t)i * k + j];
            lines[i] += count, columns[j] += count;
        }
    for (int32_t i = 0; i < r; i++)
        for (int32_t j = 0; j < k; j++) {
            const double count = (double)a->counts[(int64_t)i * k + j];
            if (count > 0) phi += count / lines[i] * (count / columns[j]);
        }
    for (int32_t i = 0; i < r; i++) lines_count += lines[i] > 0;
    for (int32_t j = 0; j < k; j++) columns_count += columns[j] > 0;
    free(lines);
    *v = corrected(phi, lines_count, columns_count, a->rows);
    return 0;
}

/* The pairs that occur, sorted, are the table's cells that are not 0. */
int schema_association_pairs(struct schema_association *a, const int32_t *codes, const int32_t *others, int64_t n, double *v) {
    double *pairs = malloc(((size_t)n + 1) * sizeof *pairs), *lines = calloc((size_t)a->categories + (size_t)a->others + 1, sizeof *lines), phi = -1;
    struct schema_ranked *sorted = malloc(2 * ((size_t)n + 1) * sizeof *sorted);
    int64_t r = 0, k = 0;
    const bool room = pairs && lines && sorted;
    a->rows = 0;
    for (int64_t i = 0; room && i < n; i++) {
        const bool both = codes[i] >= 0 && others[i] >= 0;
        pairs[i] = both ? (double)codes[i] * a->others + others[i] : (double)NAN; /* below 2^53 */
        if (both) lines[codes[i]]++, lines[a->categories + others[i]]++, a->rows++;
    }
    const int64_t count = room ? schema_ranks_sort(pairs, n, sorted, sorted + n + 1) : 0;
    for (int64_t i = 0, end; i < count; i = end) {
        for (end = i; end < count && sorted[end].key == sorted[i].key; end++) continue;
        const uint32_t at = sorted[i].at;
        phi += (double)(end - i) / lines[codes[at]] * ((double)(end - i) / lines[a->categories + others[at]]);
    }
    for (int32_t i = 0; room && i < a->categories; i++) r += lines[i] > 0;
    for (int32_t i = 0; room && i < a->others; i++) k += lines[a->categories + i] > 0;
    *v = corrected(phi, r, k, a->rows);
    free(pairs);
    free(lines);
    free(sorted);
    return room ? 0 : -1;
}

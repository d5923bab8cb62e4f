/* review.c - what the user should be warned of, found in the same pass as the statistics.
 *
 * Redundant columns: every column has a trace, two sums of its values weighted by numbers drawn for the row. Shifted and scaled to mean 0
 * and deviation 1, columns that are equal, or a x + b of one another, have the same traces but for the sign; others have not, but with a chance of
 * about 1e-14 for each pair. Codes of categories are in order of appearance, so two columns whose categories correspond one to one have equal codes.
 */
#include "schema/ingest/sink.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { PAIRS_COLUMNS_MAX = 2000 };

/* ---- traces ---- */

/* Drawn for a row: 64 bits (the finalizer of splitmix64), of which each half is a weight. */
static uint64_t drawn(uint64_t row) {
    uint64_t z = (row + 1) * UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    return z ^ (z >> 27);
}

void schema_ingest_draw(uint64_t row, int64_t rows, float *weights) {
    for (int64_t i = 0; i < rows; i++) {
        const uint64_t bits = drawn(row + (uint64_t)i);
        weights[i] = (float)(bits >> 40) * 0x1p-24F - 0.5F;
        weights[rows + i] = (float)(bits & 0xFFFFFF) * 0x1p-24F - 0.5F;
    }
}

void schema_ingest_trace_numbers(struct ingest_column *c, int64_t from, int64_t rows, const float *weights) {
    struct ingest_trace *t = &c->trace;
    const double *x = c->numbers + from;
    rows -= from;
    const float *u = weights, *v = weights + rows;
    double sums[4] = {0, 0, 0, 0};
    if (!t->begun)
        for (int64_t i = 0; i < rows && !t->begun; i++)
            if (!isnan(x[i])) t->begun = true, t->offset = t->last = x[i], t->last -= 1;
    for (int64_t i = 0; i < rows; i++) {
        const bool there = x[i] == x[i];
        const double d = there ? x[i] - t->offset : 0, one = there;
        sums[0] += d * (double)u[i], sums[1] += d * (double)v[i];
        sums[2] += one * (double)u[i], sums[3] += one * (double)v[i];
    }
    for (int k = 0; k < 4; k++) t->sums[k] += sums[k];
    for (int64_t i = 0; i < rows && !t->uneven; i++) t->uneven = x[i] != t->last + 1, t->last = x[i];
}

void schema_ingest_trace_codes(struct ingest_column *c, uint64_t row, int64_t from, int64_t rows) {
    uint64_t sum = 0;
    const uint32_t *codes = c->codes + from;
    for (int64_t i = 0; i < rows - from; i++) sum += codes[i] * ((row + (uint64_t)i) * UINT64_C(0x9E3779B97F4A7C15) | 1);
    c->trace.codes += sum;
}

/* ---- redundant columns ---- */

/* The traces of a numeric column, shifted and scaled; false when it has none worth comparing. */
static bool normal(const struct ingest_column *c, double out[2]) {
    const struct schema_statistics *s = &c->statistics;
    if (s->count < INGEST_IDENTIFIER_ROWS || !(s->min < s->max)) return false;
    const double deviation = sqrt((double)(s->m2 / (long double)s->count)),
                 mean = (double)((long double)s->origin - (long double)c->trace.offset + s->mean);
    for (int k = 0; k < 2; k++) out[k] = (c->trace.sums[k] - mean * c->trace.sums[2 + k]) / deviation;
    return isfinite(out[0]) && isfinite(out[1]) && fabs(out[0]) > 1e-3 && fabs(mean) < 1e6 * deviation;
}

static bool near(double a, double b) {
    return fabs(a - b) <= 1e-7 * (1 + fabs(a));
}

static const char *short_name(const struct ingest_column *c, char text[static 64]) {
    return schema_ingest_short(c->name, c->name_size, text);
}

static void review_pair(struct schema_ingest *ingest, struct ingest_column *a, struct ingest_column *b) {
    char one[64], other[64];
    double x[2], y[2];
    const struct schema_type_ops *ops = schema_type_of(a->type);
    if (a->missing != b->missing) return;
    short_name(a, one), short_name(b, other);
    if (ops->storage == SCHEMA_HELD_AS_CODE && schema_type_of(b->type)->storage == SCHEMA_HELD_AS_CODE) {
        const int64_t present = ingest->rows - a->missing;
        if (a->type != b->type || a->trace.codes != b->trace.codes || present < INGEST_IDENTIFIER_ROWS) return;
        int64_t *counts, *counts_b;
        const int32_t n = ops->categories(a, &counts);
        if (n != ops->categories(b, &counts_b) || n < 2 || n == present) return;
        if (!counts[0] || !counts[1]) return; /* a boolean has two, also where it holds only one of them */
        schema_ingest_warn(ingest, "columns \"%s\" and \"%s\" correspond one to one; if one is the target, the other leaks it", one, other);
        return;
    }
    if (!a->trace.begun || !b->trace.begun || a->statistics.count != b->statistics.count || !normal(a, x) || !normal(b, y)) return;
    const double sign = near(x[0], y[0]) ? 1 : -1;
    if (!near(x[0], sign * y[0]) || !near(x[1], sign * y[1])) return;
    const bool equal = sign > 0 && a->statistics.min == b->statistics.min && a->statistics.max == b->statistics.max;
    schema_ingest_warn(ingest, "columns \"%s\" and \"%s\" %s; if one is the target, the other leaks it", one, other,
                       equal ? "are equal" : "are equal up to scale and shift");
}

/* ---- one column ---- */

/* By its name or its place, the column that somebody will want to predict. */
static bool likely_target(const struct schema_ingest *ingest, int32_t column) {
    static const char *const names[] = {"class", "label", "target", "y"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcasecmp(ingest->columns[column].name, names[i]) == 0) return true;
    return column == ingest->columns_count - 1;
}

/* A class that one row in fifty has, or fewer. */
static void review_balance(struct schema_ingest *ingest, struct ingest_column *c) {
    const struct schema_type_ops *ops = schema_type_of(c->type);
    const int64_t present = ingest->rows - c->missing;
    int64_t *counts;
    const int32_t n = ops->categories(c, &counts);
    int32_t least = 0;
    char name[64], value[64];
    if (n < 2 || n > 20 || present < 100) return;
    for (int32_t i = 1; i < n; i++) least = counts[i] < counts[least] ? i : least;
    if (counts[least] == 0 || counts[least] * 50 > present) return;
    const char *text = ops->category_text(c, least);
    schema_ingest_warn(ingest, "column \"%s\" is imbalanced if it is the target: \"%s\" has %lld of %lld rows", short_name(c, name),
                       schema_ingest_short(text, strlen(text), value), (long long)counts[least], (long long)present);
}

static void review_absents(struct schema_ingest *ingest, const struct ingest_column *c, const char *name) {
    char list[200] = "";
    for (int32_t i = 0; i < c->absents.count; i++)
        snprintf(list + strlen(list), sizeof list - strlen(list), "%s\"%s\"", i ? ", " : "", schema_dictionary_value(&c->absents, i));
    schema_ingest_warn(ingest,
                       "column \"%s\": %lld cells hold %s and are treated as missing, because all others are numbers; give the column the type "
                       "categorical to keep them",
                       name, (long long)c->absents_seen, list);
}

bool schema_ingest_constant(const struct ingest_column *c) {
    return c->statistics.min == c->statistics.max;
}

void schema_ingest_review(struct schema_ingest *ingest) {
    for (int32_t i = 0; i < ingest->columns_count; i++) {
        struct ingest_column *c = &ingest->columns[i];
        const struct schema_type_ops *ops = schema_type_of(c->type);
        char name[64];
        schema_ingest_short(c->name, c->name_size, name);
        if (c->missing == ingest->rows) {
            schema_ingest_warn(ingest, "column \"%s\" is empty: every value is missing%s", name, c->given ? "" : "; it is inferred as numeric");
            continue;
        }
        if (ops->review) ops->review(ingest, c);
        if (c->absents_seen) review_absents(ingest, c, name);
        if (c->gaps)
            schema_ingest_warn(ingest, "column \"%s\": numbers are missing (null or NaN) inside %lld of its arrays; the mean is used for each", name,
                               (long long)c->gaps);
        if (ops->constant && ops->constant(c) && ingest->rows > 1) schema_ingest_warn(ingest, "column \"%s\" is constant", name);
        if (c->trace.begun && !c->trace.uneven && c->missing == 0 && ingest->rows > INGEST_IDENTIFIER_ROWS)
            schema_ingest_warn(ingest, "column \"%s\" looks like an identifier: it counts up by one from row to row; leave it out of the features",
                               name);
        if (ops->storage == SCHEMA_HELD_AS_CODE && likely_target(ingest, i)) review_balance(ingest, c);
    }
    for (int32_t i = 0; i < ingest->columns_count && i < PAIRS_COLUMNS_MAX; i++)
        for (int32_t k = i + 1; k < ingest->columns_count && k < PAIRS_COLUMNS_MAX; k++)
            review_pair(ingest, &ingest->columns[i], &ingest->columns[k]);
}

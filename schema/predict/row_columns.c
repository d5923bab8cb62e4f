/* row_columns.c - see row_columns.h. */
#include "schema/predict/row_columns.h"

#include "engine/kernels/kernels.h"
#include "schema/preprocessing/feature.h"

#include <math.h>
#include <stdlib.h>

/* Below LARGE, with a deviation above SMALL, (v - mean) / std is below 2e35, which float32 holds. */
static const double LARGE = 1e15, SMALL = 1e-20;

/* From one column to the next: with a power of two a row's numbers would compete for the same lines of the cache. */
static int64_t stride(const struct schema_row_columns *c) {
    return c->p->batch_max + 8;
}

int row_columns_open(struct schema_row_columns *c, struct schema_predictor *predictor) {
    const size_t features = (size_t)predictor->preprocessing->features_count;
    *c = (struct schema_row_columns){.p = predictor};
    c->held = calloc(features + 1, sizeof *c->held);
    c->features = calloc(features + 1, sizeof *c->features);
    c->numbers = calloc(features * (size_t)stride(c) + 1, sizeof *c->numbers);
    c->rows = calloc((size_t)predictor->batch_max, sizeof *c->rows);
    return c->held && c->features && c->numbers && c->rows ? 0 : -1;
}

void row_columns_close(struct schema_row_columns *c) {
    free(c->held);
    free(c->features);
    free(c->numbers);
    free(c->rows);
}

int64_t row_columns_memory(const struct schema_row_columns *c) {
    const int64_t features = c->p ? c->p->preprocessing->features_count : 0;
    return c->p ? stride(c) * (int64_t)sizeof *c->rows * (features + 1) + features * (int64_t)(sizeof *c->held + sizeof *c->features) : 0;
}

static bool can_wait(const struct schema_row_columns *c, int32_t i) {
    const struct schema_feature *f = &c->p->preprocessing->features[i];
    return schema_type_of(f->type)->quantity && f->places_count == 1 && c->p->indices[i] == 0 && f->std > SMALL && fabs(f->mean) < LARGE &&
           fabs(f->fill) < LARGE && (!f->constant || fabs(f->min) < LARGE);
}

void row_columns_begin(struct schema_row_columns *c, const bool *direct, bool none) {
    c->count = 0;
    for (int32_t i = 0; i < c->p->preprocessing->features_count; i++) {
        c->held[i] = !none && direct[i] && can_wait(c, i);
        if (c->held[i]) c->features[c->count++] = i;
    }
}

bool row_columns_hold(struct schema_row_columns *c, const double *numbers, int64_t row) {
    const int32_t slot = c->p->filled;
    const int64_t step = stride(c);
    double *at = c->numbers + slot;
    bool usable = true;
    c->rows[slot] = row;
    for (int32_t k = 0; k < c->count; k++, at += step) {
        const double v = numbers[c->features[k]];
        usable &= !(fabs(v) > LARGE);
        *at = v;
    }
    return usable;
}

/* Counts in the bins of the reference: those from edge to edge are differences of those from an edge on. */
static void count_bins(const struct schema_bins *bins, const double *v, int32_t n, int32_t missing, uint64_t *live) {
    const struct bp_kernels *kernels = bp_kernels();
    if (bins->count == 0) return;
    uint64_t *counts = live + bins->at, before = (uint64_t)(n - missing);
    for (int32_t k = 0; k < bins->edges_count; k++) {
        const uint64_t after = (uint64_t)kernels->at_least((size_t)n, v, bins->edges[k]);
        counts[k] += before - after;
        before = after;
    }
    counts[bins->edges_count] += before;
    if (bins->missing >= 0) counts[bins->missing] += (uint64_t)missing;
}

void row_columns_run(struct schema_row_columns *c) {
    struct schema_predictor *p = c->p;
    const int32_t n = p->filled;
    for (int32_t k = 0; k < c->count; k++) {
        const int32_t i = c->features[k], input = p->preprocessing->features[i].places[0].input;
        const struct schema_feature *f = &p->preprocessing->features[i];
        const double *v = c->numbers + k * stride(c);
        schema_scale_many(f, v, n, bp_workspace_input(p->workspace, input) + f->places[0].offset, p->input_sizes[input]);
        schema_predictor_count_column(p, i, v, n, c->rows);
        const int32_t missing = n - (int32_t)bp_kernels()->at_least((size_t)n, v, (double)-INFINITY);
        p->missing[i] += missing;
        if (p->live) count_bins(&p->model->reference->features[i], v, n, missing, p->live);
    }
}

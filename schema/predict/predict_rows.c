/* predict_rows.c - rows of a dataset into the workspace of a predictor, and what their cells count for the warnings: each column is read once, its
 * numbers compared with the range of the training rows many at once, and only those outside of it are looked at one by one. */
#include "schema/predict/predictor.h"

#include "engine/kernels/kernels.h"
#include "schema/preprocessing/view.h"

#include <math.h>
#include <string.h>

struct reading {
    struct schema_predictor *p;
    const struct schema_view *view;
    int64_t first; /* row of the dataset that is the next one to be counted */
    bool missing;  /* missing cells are counted too */
};

double schema_predictor_given(struct schema_predictor *p, const struct schema_view_rows *rows, int32_t feature, int64_t row, int64_t k) {
    const struct schema_view *view = rows->view;
    const int32_t column = view->columns[feature];
    if (column < 0) return (double)NAN;
    if (schema_type_of(p->preprocessing->features[feature].type)->value != SCHEMA_VALUE_TENSOR)
        return schema_dataset_number(view->dataset, column, row);
    schema_dataset_tensor(view->dataset, column, row, p->tensors);
    return (double)p->tensors[k];
}

/* ---- cells that have been read anyway ---------------------------------------------------------------------------------------- */

static int32_t count_nan(const double *v, int32_t n) {
    int64_t count = 0;
    for (int32_t r = 0; r < n; r++) count += v[r] != v[r];
    return (int32_t)count;
}

/* rows: their numbers; NULL: they begin with `first`. */
static void count_outside(struct schema_predictor *p, int32_t feature, const double *v, int32_t n, const int64_t *rows, int64_t first) {
    enum { PIECE = 64 }; /* compared at once */
    const struct schema_feature *f = &p->preprocessing->features[feature];
    if (p->indices[feature]) return;
    for (int32_t from = 0; from < n; from += PIECE) {
        const int32_t end = n - from < PIECE ? n : from + PIECE;
        uint64_t found = bp_kernels()->outside((size_t)(end - from), v + from, f->min, f->max);
        for (; found; found &= found - 1) {
            const int32_t r = from + __builtin_ctzll(found);
            schema_predictor_count_number(p, feature, v[r], rows ? rows[r] : first + r);
        }
    }
}

void schema_predictor_count_column(struct schema_predictor *p, int32_t feature, const double *v, int32_t n, const int64_t *rows) {
    count_outside(p, feature, v, n, rows, 0);
}

static void count_numbers(const struct reading *reading, const struct schema_view_cells *cells) {
    count_outside(reading->p, cells->feature, cells->numbers, cells->n, NULL, reading->p->counted + cells->first - reading->first + 1);
}

static void count_categories(const struct reading *reading, const struct schema_view_cells *cells) {
    const int32_t i = cells->feature, *codes = cells->codes, *categories = reading->view->categories[i];
    for (int32_t r = 0; r < cells->n; r++) {
        if (codes[r] < 0 || categories[codes[r]] >= 0) continue;
        const char *text = reading->view->dataset->columns[reading->view->columns[i]].categories[codes[r]].value;
        schema_predictor_category(reading->p, i, text, strlen(text));
    }
}

static void seen(void *context, const struct schema_view_cells *cells) {
    const struct reading *reading = context;
    const int32_t i = cells->feature;
    const bool missing = reading->missing && reading->view->dataset->columns[reading->view->columns[i]].missing > 0;
    int64_t *count = &reading->p->missing[i];
    if (cells->numbers) {
        count_numbers(reading, cells);
        if (missing) *count += count_nan(cells->numbers, cells->n);
    } else {
        if (reading->view->categories[i]) count_categories(reading, cells);
        for (int32_t r = 0; missing && r < cells->n; r++) *count += cells->codes[r] < 0;
    }
}

/* ---- the others -------------------------------------------------------------------------------------------------------------- */

/* Whether the cells of feature i are shown. */
static bool is_shown(const struct schema_view *view, int32_t i) {
    const enum schema_type type = view->preprocessing->features[i].type, stored = view->dataset->columns[view->columns[i]].type;
    const enum schema_value_kind value = schema_type_of(type)->value;
    return schema_type_serves(stored, type) &&
           (value == SCHEMA_VALUE_NUMBER || (value == SCHEMA_VALUE_CATEGORY && schema_type_of(stored)->value == SCHEMA_VALUE_CATEGORY));
}

/* Missing cells of columns that are not shown: texts, tensors, those that the dataset lacks, those without values. */
static void count_missing(struct schema_predictor *p, const struct schema_view_rows *rows, int32_t n) {
    for (int32_t i = 0; i < p->preprocessing->features_count; i++) {
        const int32_t column = rows->view->columns[i];
        size_t size;
        if (column < 0) p->missing[i] += n;
        if (column < 0 || rows->view->dataset->columns[column].missing == 0 || is_shown(rows->view, i)) continue;
        const enum schema_storage storage = schema_type_of(rows->view->dataset->columns[column].type)->storage;
        for (int32_t r = 0; r < n; r++) {
            const int64_t row = rows->first + r;
            p->missing[i] += storage == SCHEMA_HELD_AS_CODE    ? schema_dataset_code(rows->view->dataset, column, row) < 0
                             : storage == SCHEMA_HELD_AS_BYTES ? schema_dataset_text(rows->view->dataset, column, row, &size) == NULL
                                                               : isnan(schema_predictor_given(p, rows, i, row, 0));
        }
    }
}

void schema_predictor_read(struct schema_predictor *p, const struct schema_view_rows *rows, int32_t n, bool missing) {
    float *at[BP_INPUTS_MAX];
    struct reading reading = {.p = p, .view = rows->view, .first = rows->first, .missing = missing};
    for (int32_t k = 0; k < p->preprocessing->inputs_count; k++) at[k] = bp_workspace_input(p->workspace, k);
    schema_view_block(rows->view, &(struct schema_view_reader){seen, &reading}, rows->first, n, p->tensors, at);
    if (missing) count_missing(p, rows, n);
    p->counted += n;
}

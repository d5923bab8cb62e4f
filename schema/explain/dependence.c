/* dependence.c - partial dependence and ICE: a column set to each value of a grid in all rows. Of a number the grid goes evenly from the 5 % to the
 * 95 % quantile of the rows, as in scikit-learn, or has their values where these are fewer; of categories it has each. */
#include "schema/explain/encoded.h"

#include "schema/quantile.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct grid {
    int32_t count;
    double *values;      /* of numbers, else NULL */
    struct encoded rows; /* (count) one for each value: only the column's own numbers count */
};

/* As scipy's mquantiles, which scikit-learn uses here: alphap = betap = 0.4 (Cunnane 1978). */
static double quantile(const double *sorted, int64_t n, double q) {
    const double at = (double)n * q + 0.4 + 0.2 * q;
    const int64_t below = at < 1 ? 1 : at > (double)(n - 1) ? n - 1 : (int64_t)at;
    const double share = at - (double)below;
    return n < 2 ? sorted[0] : sorted[below - 1] + (share < 0 ? 0 : share > 1 ? 1 : share) * (sorted[below] - sorted[below - 1]);
}

/* (points) values for a number out of the rows of the dataset. -1: no memory. */
static int number_grid(const struct explainer *x, int32_t column, struct grid *grid) {
    const struct schema_dataset *d = x->e->dataset;
    const int64_t n = d->rows < 100000 ? d->rows : 100000;
    double *sorted = malloc(((size_t)n + 1) * sizeof *sorted);
    int64_t known = 0, distinct = 0;
    grid->values = malloc(((size_t)x->e->grid_points + 1) * sizeof *grid->values);
    if (!sorted || !grid->values) {
        free(sorted);
        return -1;
    }
    for (int64_t i = 0; i < n; i++) {
        sorted[known] = schema_dataset_number(d, column, i * d->rows / n);
        known += !isnan(sorted[known]);
    }
    qsort(sorted, (size_t)known, sizeof *sorted, schema_compare_numbers);
    for (int64_t i = 0; i < known; i++) distinct += i == 0 || sorted[i] != sorted[i - 1];
    if (distinct <= x->e->grid_points) {
        for (int64_t i = 0; i < known; i++)
            if (i == 0 || sorted[i] != sorted[i - 1]) grid->values[grid->count++] = sorted[i];
    } else {
        const double low = quantile(sorted, known, 0.05), high = quantile(sorted, known, 0.95);
        for (int32_t i = 0; i < x->e->grid_points; i++) grid->values[grid->count++] = low + (high - low) * i / (x->e->grid_points - 1);
    }
    free(sorted);
    return 0;
}

static void grid_close(struct grid *grid) {
    free(grid->values);
    encoded_close(&grid->rows);
}

/* The column's own numbers for each value of the grid. */
static int encode_grid(const struct explainer *x, int32_t feature, struct grid *grid) {
    struct schema_feature_value *cells = calloc((size_t)x->p->features_count + 1, sizeof *cells);
    bool good = cells != NULL;
    for (int32_t k = 0; k < x->p->inputs_count; k++)
        good = (grid->rows.inputs[k] = malloc(((size_t)grid->count * (size_t)x->sizes[k] + 1) * sizeof(float))) && good;
    for (int32_t i = 0; good && i < grid->count; i++) {
        float *at[BP_INPUTS_MAX];
        for (int32_t k = 0; k < x->p->inputs_count; k++) at[k] = grid->rows.inputs[k] + i * x->sizes[k];
        cells[feature].kind = grid->values ? SCHEMA_VALUE_NUMBER : SCHEMA_VALUE_CATEGORY;
        cells[feature].number = grid->values ? grid->values[i] : 0;
        cells[feature].category = i;
        schema_transform(x->p, cells, at);
    }
    free(cells);
    grid->rows.n = grid->count;
    return good ? 0 : -1;
}

/* predictions: (rows, grid, classes or 1). */
static void predict(const struct explainer *x, int32_t feature, const struct grid *grid, const struct encoded *rows, int32_t width, double *out) {
    const int64_t all = rows->n * grid->count;
    for (int64_t first = 0; first < all; first += EXPLAIN_BATCH) {
        const int32_t n = (int32_t)(all - first < EXPLAIN_BATCH ? all - first : EXPLAIN_BATCH);
        for (int32_t k = 0; k < n; k++) {
            explainer_put(x, rows, (first + k) / grid->count, k);
            explainer_mix(x, feature, &grid->rows, (first + k) % grid->count, k);
        }
        explainer_run(x, n);
        for (int32_t k = 0; k < n; k++)
            for (int32_t c = 0; c < width; c++) out[(first + k) * width + c] = explainer_number(x, k, x->label >= 0 ? x->label : c);
    }
}

static json_t *line(const double *values, int32_t count, int32_t width, int32_t c) {
    json_t *json = json_array();
    for (int32_t i = 0; i < count; i++) json_array_append_new(json, json_real(values[i * width + c]));
    return json;
}

static json_t *describe(const struct explainer *x, int32_t feature, const struct grid *grid, const struct encoded *rows, int32_t width,
                        const double *all) {
    json_t *curves = json_array(), *values = json_array();
    const int64_t size = (int64_t)grid->count * width;
    double *mean = calloc((size_t)size + 1, sizeof *mean);
    for (int64_t r = 0; mean && r < rows->n; r++)
        for (int64_t i = 0; i < size; i++) mean[i] += all[r * size + i] / (double)rows->n;
    for (int32_t i = 0; i < grid->count; i++)
        json_array_append_new(values, grid->values ? json_real(grid->values[i]) : json_string(x->p->features[feature].categories[i]));
    for (int32_t c = 0; mean && c < width; c++) {
        json_t *curve = json_object(), *single = json_array();
        if (x->classes) json_object_set_new(curve, "class", json_string(explainer_label(x, x->label >= 0 ? x->label : c)));
        json_object_set_new(curve, "mean", line(mean, grid->count, width, c));
        for (int64_t r = 0; r < rows->n && r < x->e->curves; r++) json_array_append_new(single, line(all + r * size, grid->count, width, c));
        if (x->e->curves) json_object_set_new(curve, "rows", single);
        else json_decref(single);
        json_array_append_new(curves, curve);
    }
    free(mean);
    return json_pack("{s:s, s:o, s:o}", "column", x->p->features[feature].name, "values", values, "curves", curves);
}

/* NULL: no memory; a JSON null: a column without a grid. */
static json_t *explain_column(const struct explainer *x, int32_t feature, const struct encoded *rows) {
    const struct schema_feature *f = &x->p->features[feature];
    const int32_t column = schema_dataset_find(x->e->dataset, f->name), width = x->classes && x->label < 0 ? x->classes : 1;
    const bool number = f->type == SCHEMA_NUMERIC || f->type == SCHEMA_DATETIME || f->type == SCHEMA_BOOLEAN;
    struct grid grid = {0};
    json_t *json = NULL;
    if ((number && column < 0) || (!number && f->type != SCHEMA_CATEGORICAL)) return json_null();
    if (number && number_grid(x, column, &grid) != 0) {
        grid_close(&grid);
        return NULL;
    }
    if (!number) grid.count = f->categories_count;
    double *all = malloc(((size_t)rows->n * (size_t)grid.count * (size_t)width + 1) * sizeof *all);
    if (all && encode_grid(x, feature, &grid) == 0) {
        predict(x, feature, &grid, rows, width, all);
        json = describe(x, feature, &grid, rows, width, all);
    }
    free(all);
    grid_close(&grid);
    return json;
}

json_t *explain_dependence(const struct explainer *x, struct bp_error *error) {
    struct encoded rows;
    json_t *columns = json_array();
    if (x->label < 0 && x->classes > SCHEMA_EXPLAIN_CLASSES_MAX) {
        json_decref(columns);
        bp_error_set(error, "/class", "with more than %d classes name one with \"class\"", SCHEMA_EXPLAIN_CLASSES_MAX);
        return NULL;
    }
    int failed = encoded_open(x, x->e->dataset, x->e->rows_max, &rows, error);
    const int64_t n = failed ? 0 : rows.n;
    for (int32_t k = 0; k < x->features_count && !failed; k++) {
        if (explainer_stopped(x, error)) failed = -1;
        json_t *column = failed ? NULL : explain_column(x, x->features[k], &rows);
        if (!failed && !column) failed = bp_error_memory(error, "no memory for the curves of %lld rows", (long long)rows.n);
        if (column && !json_is_null(column)) json_array_append_new(columns, column);
    }
    if (n) encoded_close(&rows);
    if (!failed) return json_pack("{s:I, s:o}", "rows", (json_int_t)n, "columns", columns);
    json_decref(columns);
    return NULL;
}

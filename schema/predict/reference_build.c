/* reference_build.c - what the training rows of a version look like: bins of its features, and of what it predicts for them. */
#include "schema/predict/reference.h"

#include "engine/metrics/metric.h"
#include "schema/dataset/frequency.h"
#include "schema/predict/calibration.h"
#include "schema/preprocessing/view.h"
#include "schema/quantile.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { NUMBER_BINS = 10, CATEGORIES = 20, BATCH = 64, WORKSPACE_MAX = 256 << 10 };

/* Reading rows from all over a large dataset makes it resident, in pieces of 64 KB around each cell (schema/dataset/dataset.c). A job that reads data
 * larger than memory must not end with all of it: so many cells are read, then the pages are released. */
enum { LARGE_CELLS = 2 << 20, SLICE_ROWS = 1024, PIECES = 128 };

/* ---- numbers ------------------------------------------------------------------------------------------------------------- */

/* Deciles that differ; of a single value, it and what is a millionth above, so that other values have bins of their own. Returns how many. */
static int32_t edges_of(const double *sorted, int64_t n, double edges[static NUMBER_BINS + 1]) {
    int32_t count = 0;
    if (n > 0 && !(sorted[n - 1] > sorted[0])) {
        edges[0] = sorted[0];
        edges[1] = sorted[0] + 1e-6 * fmax(1, fabs(sorted[0]));
        return 2;
    }
    for (int32_t k = 1; n > 0 && k < NUMBER_BINS; k++) {
        const double edge = schema_quantile(sorted, n, (double)k / NUMBER_BINS);
        if (count == 0 || edge > edges[count - 1]) edges[count++] = edge;
    }
    return count;
}

/* values are sorted here; NaN: missing. NULL: no memory. */
static json_t *number_bins(const char *name, double *values, int64_t n, bool has_missing) {
    double edges[NUMBER_BINS + 1];
    int64_t counts[NUMBER_BINS + 2] = {0}, there = 0;
    for (int64_t i = 0; i < n; i++)
        if (!isnan(values[i])) values[there++] = values[i];
    qsort(values, (size_t)there, sizeof *values, schema_compare_numbers);
    const int32_t count = edges_of(values, there, edges);
    const struct schema_bins bins = {.edges = edges, .edges_count = count, .missing = -1};
    for (int64_t i = 0; i < there; i++) counts[schema_bins_number(&bins, values[i])]++;
    json_t *list = json_array(), *edge_list = json_array();
    for (int32_t k = 0; k < count; k++) json_array_append_new(edge_list, json_real(edges[k]));
    for (int32_t k = 0; k <= count; k++) json_array_append_new(list, json_integer(counts[k]));
    json_t *json = json_pack("{s:s, s:o, s:o}", "name", name, "edges", edge_list, "counts", list);
    if (has_missing) json_object_set_new(json, "missing", json_integer(n - there));
    return json;
}

/* ---- categories ---------------------------------------------------------------------------------------------------------- */

/* categories (n): of each row, -1: none of the feature's, -2: missing. */
static json_t *category_bins(const struct schema_feature *f, const int32_t *categories, int64_t n) {
    const int32_t count = f->categories_count;
    int64_t *counts = calloc((size_t)count + 1, sizeof *counts), other = 0, missing = 0;
    int32_t *order = NULL;
    for (int64_t i = 0; counts && i < n; i++) {
        if (categories[i] >= 0) counts[categories[i]]++;
        else if (categories[i] == -2) missing++;
        else other++;
    }
    if (!counts || !(order = schema_by_frequency(counts, sizeof *counts, count))) return free(counts), NULL;
    json_t *names = json_array(), *list = json_array();
    for (int32_t k = 0; k < count; k++) {
        if (k >= CATEGORIES || counts[order[k]] == 0) {
            other += counts[order[k]];
            continue;
        }
        json_array_append_new(names, json_string(f->categories[order[k]]));
        json_array_append_new(list, json_integer(counts[order[k]]));
    }
    free(order);
    free(counts);
    return json_pack("{s:s, s:o, s:o, s:I, s:I}", "name", f->name, "categories", names, "counts", list, "other", (json_int_t)other, "missing",
                     (json_int_t)missing);
}

/* ---- rows ---------------------------------------------------------------------------------------------------------------- */

struct building {
    const struct schema_training *training;
    struct schema_view *view;
    int64_t *rows;
    int64_t n;
    bool large;
    double *numbers; /* (n) */
    int32_t *codes;  /* (n) */
};

static void release(const struct building *b) {
    if (b->large) schema_dataset_release(b->view->dataset);
}

static void gather_numbers(const struct building *b, int32_t column) {
    for (int64_t first = 0; first < b->n; first += SLICE_ROWS) {
        schema_dataset_gather(b->view->dataset, column, b->rows + first, b->n - first < SLICE_ROWS ? b->n - first : SLICE_ROWS, b->numbers + first);
        release(b);
    }
}

static void gather_codes(const struct building *b, int32_t column) {
    for (int64_t first = 0; first < b->n; first += SLICE_ROWS) {
        schema_dataset_gather_codes(b->view->dataset, column, b->rows + first, b->n - first < SLICE_ROWS ? b->n - first : SLICE_ROWS,
                                    b->codes + first);
        release(b);
    }
}

static json_t *feature_bins(struct building *b, int32_t i) {
    const struct schema_feature *f = &b->training->preprocessing->features[i];
    const int32_t column = b->view->columns[i], *categories = b->view->categories[i];
    const enum schema_value_kind value = schema_type_of(f->type)->value;
    if (column < 0) return NULL;
    if (value == SCHEMA_VALUE_NUMBER && schema_type_of(b->view->dataset->columns[column].type)->value == SCHEMA_VALUE_NUMBER) {
        gather_numbers(b, column);
        return number_bins(f->name, b->numbers, b->n, true);
    }
    if (value != SCHEMA_VALUE_CATEGORY || !categories) return NULL;
    gather_codes(b, column);
    for (int64_t r = 0; r < b->n; r++) b->codes[r] = b->codes[r] < 0 ? -2 : categories[b->codes[r]];
    return category_bins(f, b->codes, b->n);
}

/* At most so many rows, evenly spread. */
static int64_t spread(int64_t *rows, int64_t n, int64_t most) {
    if (n <= most) return n;
    for (int64_t i = 0; i < most; i++) rows[i] = rows[i * n / most];
    return most;
}

/* ---- outputs ------------------------------------------------------------------------------------------------------------- */

/* A target of one class or one number. */
static bool counts_target(const struct schema_training *t, int32_t k) {
    const struct schema_target *target = &t->preprocessing->targets[k];
    return target->shape.rank <= 0 && target->labels_count <= SCHEMA_BINS_MAX &&
           !schema_output_multilabel(t->preprocessing, schema_target_output(t->preprocessing, k));
}

/* What target k is predicted as in row `row` of the workspace: a class, or a number in its unit. */
static double predicted_of(const struct schema_training *t, const struct bp_workspace *ws, int32_t k, int32_t row) {
    const int32_t o = schema_target_output(t->preprocessing, k);
    const struct bp_output *output = &t->network->outputs[o];
    const struct schema_target *target = &t->preprocessing->targets[k];
    const int32_t width = (int32_t)bp_shape_size(&output->shape), each = bp_loss_outputs_per_target(output->loss, output->values);
    const float *y = bp_workspace_output(ws, o) + (int64_t)row * width + (k - t->preprocessing->outputs[o].first) * each;
    if (target->classification) return bp_class_of(y, width, schema_training_scores(t, o), t->preprocessing->thresholds[target->thresholds_at]);
    return schema_target_value(target, 0, (double)y[bp_loss_point(output->loss, output->values)]);
}

static json_t *output_bins(const struct schema_target *target, double *values, int64_t n) {
    if (!target->classification) return number_bins(target->name, values, n, false);
    json_t *names = json_array(), *list = json_array();
    for (int32_t c = 0; c < target->labels_count; c++) {
        json_int_t count = 0;
        for (int64_t i = 0; i < n; i++) count += values[i] == (double)c;
        json_array_append_new(names, json_string(target->labels[c]));
        json_array_append_new(list, json_integer(count));
    }
    return json_pack("{s:s, s:o, s:o}", "name", target->name, "labels", names, "counts", list);
}

static json_t *outputs_of(struct building *b, const bp_real *weights) {
    const struct schema_training *t = b->training;
    const int32_t targets = t->preprocessing->targets_count;
    const int64_t n = spread(b->rows, b->n, SCHEMA_REFERENCE_OUTPUT_ROWS);
    struct bp_error ignored = {0};
    struct bp_workspace *ws = NULL;
    json_t *outputs = json_array();
    int32_t batch = BATCH; /* fewer rows at a time, so that a job stays within its estimate of memory */
    while (batch > 1 && bp_workspace_bytes(t->network, batch, false) > WORKSPACE_MAX) batch /= 2;
    while (b->large && batch > 1 && batch * b->view->dataset->columns_count > PIECES) batch /= 2;
    float *tensor = malloc((b->view->tensor_size + 1) * sizeof *tensor), *at[BP_INPUTS_MAX];
    double *values = malloc(((size_t)n * (size_t)targets + 1) * sizeof *values);
    const bool good = tensor && values && bp_workspace_new(t->network, batch, false, &ws, &ignored) == 0;
    for (int64_t first = 0; good && first < n; first += batch) {
        const int32_t some = (int32_t)(n - first < batch ? n - first : batch);
        for (int32_t k = 0; k < t->preprocessing->inputs_count; k++) at[k] = bp_workspace_input(ws, k);
        schema_view_rows(b->view, b->rows + first, some, tensor, at);
        release(b);
        bp_predict(t->network, weights, ws, some);
        for (int32_t i = 0; i < some; i++)
            for (int32_t k = 0; k < targets; k++) values[(int64_t)k * n + first + i] = counts_target(t, k) ? predicted_of(t, ws, k, i) : 0;
    }
    for (int32_t k = 0; good && k < targets; k++)
        if (counts_target(t, k)) json_array_append_new(outputs, output_bins(&t->preprocessing->targets[k], values + (int64_t)k * n, n));
    bp_workspace_free(ws);
    free(tensor);
    free(values);
    return outputs;
}

json_t *schema_reference_build(const struct schema_training *training, const bp_real *weights, const struct schema_dataset *dataset) {
    struct bp_error ignored = {0};
    struct schema_split split = {0};
    struct building b = {.training = training, .view = schema_view_new(training->preprocessing, dataset, true, &ignored)};
    json_t *json = NULL, *features = json_array();
    if (b.view && schema_training_split(training, b.view, &split, &ignored) == 0 && split.train_count > 0) {
        b.rows = split.train;
        b.large = (double)dataset->rows * (double)dataset->columns_count > LARGE_CELLS;
        b.n = spread(b.rows, split.train_count, SCHEMA_REFERENCE_ROWS);
        b.numbers = malloc((size_t)b.n * sizeof *b.numbers);
        b.codes = malloc((size_t)b.n * sizeof *b.codes);
        for (int32_t i = 0; b.numbers && b.codes && i < training->preprocessing->features_count && i < SCHEMA_REFERENCE_FEATURES; i++) {
            json_t *bins = feature_bins(&b, i);
            if (bins) json_array_append_new(features, bins);
        }
        json = json_pack("{s:I, s:O, s:o}", "rows", (json_int_t)b.n, "features", features, "outputs", outputs_of(&b, weights));
    }
    json_decref(features);
    schema_split_free(&split);
    schema_view_free(b.view);
    free(b.numbers);
    free(b.codes);
    return json;
}

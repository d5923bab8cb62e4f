/* preprocessing_rows.c - rows of a dataset seen through a fitted preprocessing: inputs, targets, weights, and which rows can be learnt from. Some
 * rows at a time are read column by column, as they lie in the file; what becomes of a cell is schema_transform's business alone. */
#include "preprocessing.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- inputs -------------------------------------------------------------------------------------------------------------- */

enum { SOME = 64 }; /* cells of a column at once */

/* Cells of feature i, which lie features_count apart. */
static void read_numbers(const struct schema_view *view, int32_t i, const int64_t *rows, int32_t n, struct schema_feature_value *cells) {
    double numbers[SOME];
    schema_dataset_gather(view->dataset, view->columns[i], rows, n, numbers);
    for (int32_t r = 0; r < n; r++, cells += view->preprocessing->features_count) {
        cells->number = numbers[r];
        cells->kind = isnan(numbers[r]) ? SCHEMA_VALUE_MISSING : SCHEMA_VALUE_NUMBER;
    }
}

static void read_categories(const struct schema_view *view, int32_t i, const int64_t *rows, int32_t n, struct schema_feature_value *cells) {
    const struct schema_feature *f = &view->preprocessing->features[i];
    int32_t codes[SOME];
    schema_dataset_gather_codes(view->dataset, view->columns[i], rows, n, codes);
    for (int32_t r = 0; r < n; r++, cells += view->preprocessing->features_count) {
        cells->kind = codes[r] < 0 ? SCHEMA_VALUE_MISSING : SCHEMA_VALUE_CATEGORY;
        if (codes[r] >= 0) cells->category = view->categories[i][codes[r]];
        cells->means = NULL;
        if (!view->folds || !view->folds[i]) continue;
        if (codes[r] < 0) cells->kind = SCHEMA_VALUE_CATEGORY, cells->category = -1; /* the rest has means of its own */
        cells->means = view->folds[i] + (size_t)schema_means_fold(rows[r]) * (size_t)(f->categories_count + 1) * (size_t)f->means_width;
    }
}

/* Texts, or categories that lie as texts; the other way round where a column of texts has few rows. */
static void read_texts(const struct schema_view *view, int32_t i, const int64_t *rows, int32_t n, struct schema_feature_value *cells) {
    const struct schema_column *c = &view->dataset->columns[view->columns[i]];
    const struct schema_feature *f = &view->preprocessing->features[i];
    for (int32_t r = 0; r < n; r++, cells += view->preprocessing->features_count) {
        if (c->type == SCHEMA_TEXT) {
            cells->text = schema_dataset_text(view->dataset, view->columns[i], rows[r], &cells->size);
        } else {
            const int32_t code = schema_dataset_code(view->dataset, view->columns[i], rows[r]);
            cells->text = code < 0 ? NULL : c->categories[code].value;
            cells->size = code < 0 ? 0 : strlen(cells->text);
        }
        cells->kind = cells->text ? SCHEMA_VALUE_TEXT : SCHEMA_VALUE_MISSING;
        if (f->type != SCHEMA_CATEGORICAL || !cells->text) continue;
        cells->kind = SCHEMA_VALUE_CATEGORY;
        cells->category = schema_feature_category(f, cells->text, cells->size);
        cells->means = NULL;
    }
}

static void read_tensors(const struct schema_view *view, int32_t i, const int64_t *rows, int32_t n, struct schema_feature_value *cells,
                         float *tensors) {
    for (int32_t r = 0; r < n; r++, cells += view->preprocessing->features_count, tensors += view->tensor_size) {
        schema_dataset_tensor(view->dataset, view->columns[i], rows[r], tensors);
        cells->kind = SCHEMA_VALUE_TENSOR;
        cells->tensor = tensors;
    }
}

void schema_view_rows(const struct schema_view *view, const int64_t *rows, int32_t n, struct schema_feature_value *cells, float *tensors,
                      float *const *inputs) {
    const struct schema_preprocessing *p = view->preprocessing;
    float *at[BP_INPUTS_MAX];
    for (int32_t first = 0; first < n; first += SOME) {
        const int32_t some = n - first < SOME ? n - first : SOME;
        struct schema_feature_value *of = cells + (size_t)first * (size_t)p->features_count;
        float *room = tensors;
        for (int32_t i = 0; i < p->features_count; i++) {
            const enum schema_type type = p->features[i].type, lies = view->columns[i] < 0 ? type : view->dataset->columns[view->columns[i]].type;
            const bool texts = type == SCHEMA_TEXT || lies == SCHEMA_TEXT;
            if (view->columns[i] < 0 || (lies != type && !texts && !(type == SCHEMA_DATETIME && lies == SCHEMA_NUMERIC)) ||
                (texts && schema_type_is_number(lies))) {
                for (int32_t r = 0; r < some; r++) of[(size_t)r * (size_t)p->features_count + (size_t)i].kind = SCHEMA_VALUE_MISSING;
            } else if (texts) {
                read_texts(view, i, rows + first, some, of + i);
            } else if (type == SCHEMA_CATEGORICAL) {
                read_categories(view, i, rows + first, some, of + i);
            } else if (type == SCHEMA_TENSOR) {
                read_tensors(view, i, rows + first, some, of + i, room + (size_t)first * view->tensor_size);
                room += bp_shape_size(&p->features[i].shape);
            } else {
                read_numbers(view, i, rows + first, some, of + i);
            }
        }
    }
    for (int32_t r = 0; r < n; r++) {
        for (int32_t k = 0; k < p->inputs_count; k++) at[k] = inputs[k] + (int64_t)r * bp_shape_size(&p->inputs[k].shape);
        schema_transform(p, cells + (size_t)r * (size_t)p->features_count, at);
    }
}

void schema_view_row(const struct schema_view *view, int64_t row, struct schema_feature_value *cells, float *tensors, float *const *inputs) {
    schema_view_rows(view, &row, 1, cells, tensors, inputs);
}

/* ---- targets and weights --------------------------------------------------------------------------------------------------- */

/* Classes of numbers, in place. A label is a text: each number is spelt and looked up once, as long as it keeps its slot. */
static void classify(const struct schema_target *target, int64_t n, double *numbers) {
    enum { SLOTS = 32 };
    struct {
        uint64_t bits;
        int32_t class;
        bool used;
    } slots[SLOTS] = {{0}};
    for (int64_t i = 0; i < n; i++) {
        uint64_t bits;
        memcpy(&bits, &numbers[i], sizeof bits);
        const size_t at = (size_t)(bits * 0x9E3779B97F4A7C15u >> 59);
        if (!slots[at].used || slots[at].bits != bits) {
            slots[at].class = schema_target_class(target, numbers[i]);
            slots[at].bits = bits;
            slots[at].used = true;
        }
        numbers[i] = slots[at].class < 0 ? (double)NAN : slots[at].class;
    }
}

static void coded_targets(const struct schema_view *view, int32_t k, const int64_t *rows, int64_t n, double *out) {
    int32_t codes[SOME];
    for (int64_t first = 0; first < n; first += SOME) {
        const int64_t some = n - first < SOME ? n - first : SOME;
        schema_dataset_gather_codes(view->dataset, view->targets[k], rows + first, some, codes);
        for (int64_t i = 0; i < some; i++) {
            const int32_t class = codes[i] < 0 ? -1 : view->classes[k][codes[i]];
            out[first + i] = class < 0 ? (double)NAN : class;
        }
    }
}

void schema_view_targets(const struct schema_view *view, int32_t k, const int64_t *rows, int64_t n, double *out) {
    const struct schema_target *t = &view->preprocessing->targets[k];
    if (view->classes[k]) {
        coded_targets(view, k, rows, n, out);
        return;
    }
    schema_dataset_gather(view->dataset, view->targets[k], rows, n, out); /* NaN without such a column */
    if (t->classification) classify(t, n, out);
    else
        for (int64_t i = 0; i < n; i++) out[i] = (out[i] - t->mean) / t->std;
}

double schema_view_target(const struct schema_view *view, int32_t k, int64_t row) {
    double y;
    schema_view_targets(view, k, &row, 1, &y);
    return y;
}

void schema_view_weights(const struct schema_view *view, const int64_t *rows, int64_t n, double *out) {
    if (view->sample_weight >= 0) schema_dataset_gather(view->dataset, view->sample_weight, rows, n, out);
    else
        for (int64_t i = 0; i < n; i++) out[i] = 1;
}

/* ---- which rows can be learnt from ------------------------------------------------------------------------------------------- */

static int complete_tensor(const struct schema_view *view, int32_t k, const int64_t *rows, int32_t n, bool *out) {
    float *cell = malloc((size_t)schema_target_size(&view->preprocessing->targets[k]) * sizeof *cell);
    for (int32_t i = 0; cell && i < n; i++) out[i] = out[i] && schema_view_target_tensor(view, k, rows[i], cell);
    free(cell);
    return cell ? 0 : -1;
}

int schema_view_complete(const struct schema_view *view, const int64_t *rows, int32_t n, bool *out) {
    double numbers[SCHEMA_ROWS_MAX];
    int32_t codes[SCHEMA_ROWS_MAX];
    for (int32_t i = 0; i < n; i++) out[i] = true;
    for (int32_t k = 0; k < view->preprocessing->targets_count; k++) {
        if (view->preprocessing->targets[k].shape.rank > 0) {
            if (complete_tensor(view, k, rows, n, out) != 0) return -1;
            continue;
        }
        schema_view_targets(view, k, rows, n, numbers);
        for (int32_t i = 0; i < n; i++) out[i] = out[i] && !isnan(numbers[i]);
    }
    for (int32_t f = 0; f < view->preprocessing->features_count; f++) {
        if (view->preprocessing->features[f].options.missing != SCHEMA_MISSING_DROP || view->columns[f] < 0) continue;
        const enum schema_type type = view->dataset->columns[view->columns[f]].type;
        for (int32_t i = 0; type == SCHEMA_TEXT && i < n; i++) {
            size_t size;
            out[i] = out[i] && schema_dataset_text(view->dataset, view->columns[f], rows[i], &size);
        }
        if (type == SCHEMA_TEXT) continue;
        if (type == SCHEMA_CATEGORICAL) schema_dataset_gather_codes(view->dataset, view->columns[f], rows, n, codes);
        else if (type != SCHEMA_TENSOR) schema_dataset_gather(view->dataset, view->columns[f], rows, n, numbers);
        for (int32_t i = 0; type != SCHEMA_TENSOR && i < n; i++) out[i] = out[i] && (type == SCHEMA_CATEGORICAL ? codes[i] >= 0 : !isnan(numbers[i]));
    }
    schema_view_weights(view, rows, n, numbers);
    for (int32_t i = 0; i < n; i++) out[i] = out[i] && numbers[i] >= 0;
    return 0;
}

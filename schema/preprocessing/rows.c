/* rows.c - rows of a dataset through a fitted preprocessing: inputs, targets, weights, and which rows are usable for training. Some
 * rows at a time are read column by column, in file order; only schema_transform defines the encoding of a cell. */
#include "schema/preprocessing/preprocessing.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- inputs -------------------------------------------------------------------------------------------------------------- */

enum { SOME = 64 }; /* cells of a column at once */

/* Some rows of a view, and where the numbers of the first one go. */
struct stretch {
    const struct schema_view *view;
    const int64_t *rows;
    int32_t n;
    float *inputs[BP_INPUTS_MAX];
    int64_t widths[BP_INPUTS_MAX];
};

/* A cell of feature i, of the stretch's row r. */
static void put(const struct stretch *s, int32_t i, int32_t r, const struct schema_feature_value *cell) {
    const struct schema_preprocessing *p = s->view->preprocessing;
    float *at[BP_INPUTS_MAX];
    if (schema_feature_apart(&p->features[i])) at[p->features[i].offset] = s->inputs[p->features[i].offset] + r * s->widths[p->features[i].offset];
    else at[0] = s->inputs[0] + r * s->widths[0];
    schema_transform_cell(p, i, cell, at);
}

static void put_numbers(const struct stretch *s, int32_t i) {
    const struct schema_feature *f = &s->view->preprocessing->features[i];
    double numbers[SOME];
    schema_dataset_gather(s->view->dataset, s->view->columns[i], s->rows, s->n, numbers);
    if (f->type == SCHEMA_NUMERIC) {
        schema_scale_many(f, numbers, s->n, s->inputs[0] + f->offset, s->widths[0]);
        return;
    }
    for (int32_t r = 0; r < s->n; r++)
        put(s, i, r, &(struct schema_feature_value){.kind = isnan(numbers[r]) ? SCHEMA_VALUE_MISSING : SCHEMA_VALUE_NUMBER, .number = numbers[r]});
}

static void put_categories(const struct stretch *s, int32_t i) {
    const struct schema_view *view = s->view;
    const struct schema_feature *f = &view->preprocessing->features[i];
    const double *folds = view->folds ? view->folds[i] : NULL;
    int32_t codes[SOME];
    schema_dataset_gather_codes(view->dataset, view->columns[i], s->rows, s->n, codes);
    for (int32_t r = 0; r < s->n; r++) {
        struct schema_feature_value cell = {.kind = codes[r] < 0 ? SCHEMA_VALUE_MISSING : SCHEMA_VALUE_CATEGORY,
                                            .category = codes[r] < 0 ? -1 : view->categories[i][codes[r]]};
        if (folds) {
            cell.kind = SCHEMA_VALUE_CATEGORY; /* what is missing has means too */
            cell.means = folds + (size_t)schema_means_fold(s->rows[r]) * (size_t)(f->categories_count + 1) * (size_t)f->means_width;
        }
        put(s, i, r, &cell);
    }
}

/* Texts, or categories stored as texts; the reverse if a column of texts has few rows. */
static void put_texts(const struct stretch *s, int32_t i) {
    const struct schema_view *view = s->view;
    const struct schema_column *c = &view->dataset->columns[view->columns[i]];
    const struct schema_feature *f = &view->preprocessing->features[i];
    for (int32_t r = 0; r < s->n; r++) {
        struct schema_feature_value cell = {.kind = SCHEMA_VALUE_TEXT};
        if (c->type == SCHEMA_TEXT) {
            cell.text = schema_dataset_text(view->dataset, view->columns[i], s->rows[r], &cell.size);
        } else {
            const int32_t code = schema_dataset_code(view->dataset, view->columns[i], s->rows[r]);
            cell.text = code < 0 ? NULL : c->categories[code].value;
            cell.size = code < 0 ? 0 : strlen(cell.text);
        }
        if (!cell.text) cell.kind = SCHEMA_VALUE_MISSING;
        else if (f->type == SCHEMA_CATEGORICAL)
            cell = (struct schema_feature_value){.kind = SCHEMA_VALUE_CATEGORY, .category = schema_feature_category(f, cell.text, cell.size)};
        put(s, i, r, &cell);
    }
}

static void put_tensors(const struct stretch *s, int32_t i, float *room) {
    for (int32_t r = 0; r < s->n; r++) {
        schema_dataset_tensor(s->view->dataset, s->view->columns[i], s->rows[r], room);
        put(s, i, r, &(struct schema_feature_value){.kind = SCHEMA_VALUE_TENSOR, .tensor = room});
    }
}

static void put_feature(const struct stretch *s, int32_t i, float *tensor) {
    const struct schema_view *view = s->view;
    const enum schema_type type = view->preprocessing->features[i].type,
                           stored = view->columns[i] < 0 ? type : view->dataset->columns[view->columns[i]].type;
    if (view->columns[i] < 0 || !schema_type_serves(stored, type))
        for (int32_t r = 0; r < s->n; r++) put(s, i, r, &(struct schema_feature_value){.kind = SCHEMA_VALUE_MISSING});
    else if (type == SCHEMA_TEXT || stored == SCHEMA_TEXT) put_texts(s, i);
    else if (type == SCHEMA_CATEGORICAL) put_categories(s, i);
    else if (type == SCHEMA_TENSOR) put_tensors(s, i, tensor);
    else put_numbers(s, i);
}

void schema_view_rows(const struct schema_view *view, const int64_t *rows, int32_t n, float *tensor, float *const *inputs) {
    const struct schema_preprocessing *p = view->preprocessing;
    struct stretch s = {.view = view};
    for (int32_t k = 0; k < p->inputs_count; k++) s.widths[k] = bp_shape_size(&p->inputs[k].shape);
    for (int32_t first = 0; first < n; first += SOME) {
        s.rows = rows + first;
        s.n = n - first < SOME ? n - first : SOME;
        for (int32_t k = 0; k < p->inputs_count; k++) s.inputs[k] = inputs[k] + first * s.widths[k];
        for (int32_t i = 0; i < p->features_count; i++) put_feature(&s, i, tensor);
    }
}

/* ---- targets and weights --------------------------------------------------------------------------------------------------- */

/* Classes of numbers, in place. A label is a text: each number is printed and looked up once, as long as it keeps its slot. */
static void classify(const struct schema_target *target, int64_t n, double *numbers) {
    enum { SLOTS = 32 };
    struct {
        uint64_t bits;
        int32_t label;
        bool used;
    } slots[SLOTS] = {{0}};
    for (int64_t i = 0; i < n; i++) {
        uint64_t bits;
        memcpy(&bits, &numbers[i], sizeof bits);
        const size_t at = (size_t)(bits * 0x9E3779B97F4A7C15u >> 59);
        if (!slots[at].used || slots[at].bits != bits) {
            slots[at].label = schema_target_class(target, numbers[i]);
            slots[at].bits = bits;
            slots[at].used = true;
        }
        numbers[i] = slots[at].label < 0 ? (double)NAN : slots[at].label;
    }
}

static void coded_targets(const struct schema_view *view, int32_t k, const int64_t *rows, int64_t n, double *out) {
    int32_t codes[SOME];
    for (int64_t first = 0; first < n; first += SOME) {
        const int64_t some = n - first < SOME ? n - first : SOME;
        schema_dataset_gather_codes(view->dataset, view->targets[k], rows + first, some, codes);
        for (int64_t i = 0; i < some; i++) {
            const int32_t label = codes[i] < 0 ? -1 : view->classes[k][codes[i]];
            out[first + i] = label < 0 ? (double)NAN : label;
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

/* ---- which rows are usable for training -------------------------------------------------------------------------------------------- */

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

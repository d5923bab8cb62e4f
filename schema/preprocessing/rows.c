/* rows.c - rows of a dataset through a fitted preprocessing: inputs, targets, weights, and which rows are usable for training. Some
 * rows at a time are read column by column, in file order; only schema_transform defines the encoding of a cell. */
#include "schema/preprocessing/feature.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- inputs -------------------------------------------------------------------------------------------------------------- */

void schema_stretch_put(const struct schema_stretch *s, int32_t i, int32_t r, const struct schema_feature_value *cell) {
    const struct schema_preprocessing *p = s->view->preprocessing;
    float *at[BP_INPUTS_MAX];
    for (int32_t k = 0; k < p->features[i].places_count; k++) {
        const int32_t input = p->features[i].places[k].input;
        at[input] = s->inputs[input] + r * s->widths[input];
    }
    schema_transform_cell(p, i, cell, at);
}

void schema_stretch_numbers(const struct schema_stretch *s, int32_t i, float *scratch) {
    const struct schema_feature *f = &s->view->preprocessing->features[i];
    double numbers[SCHEMA_STRETCH];
    (void)scratch;
    schema_dataset_gather(s->view->dataset, s->view->columns[i], s->rows, s->n, numbers);
    if (schema_type_of(f->type)->quantity && f->places_count == 1) {
        const int32_t input = f->places[0].input;
        schema_scale_many(f, numbers, s->n, s->inputs[input] + f->places[0].offset, s->widths[input]);
        return;
    }
    for (int32_t r = 0; r < s->n; r++)
        schema_stretch_put(
            s, i, r, &(struct schema_feature_value){.kind = isnan(numbers[r]) ? SCHEMA_VALUE_MISSING : SCHEMA_VALUE_NUMBER, .number = numbers[r]});
}

static const struct schema_type_ops *stored_type(const struct schema_stretch *s, int32_t i) {
    return schema_type_of(s->view->dataset->columns[s->view->columns[i]].type);
}

void schema_stretch_categories(const struct schema_stretch *s, int32_t i, float *scratch) {
    const struct schema_view *view = s->view;
    const struct schema_feature *f = &view->preprocessing->features[i];
    const double *folds = view->folds ? view->folds[i] : NULL;
    int32_t codes[SCHEMA_STRETCH];
    if (stored_type(s, i)->value == SCHEMA_VALUE_TEXT) { /* a column with few rows */
        schema_stretch_texts(s, i, scratch);
        return;
    }
    schema_dataset_gather_codes(view->dataset, view->columns[i], s->rows, s->n, codes);
    for (int32_t r = 0; r < s->n; r++) {
        struct schema_feature_value cell = {.kind = codes[r] < 0 ? SCHEMA_VALUE_MISSING : SCHEMA_VALUE_CATEGORY,
                                            .category = codes[r] < 0 ? -1 : view->categories[i][codes[r]]};
        if (folds) {
            cell.kind = SCHEMA_VALUE_CATEGORY; /* what is missing has means too */
            cell.means = folds + (size_t)schema_means_fold(s->rows[r]) * (size_t)(f->categories_count + 1) * (size_t)f->means_width;
        }
        schema_stretch_put(s, i, r, &cell);
    }
}

void schema_stretch_texts(const struct schema_stretch *s, int32_t i, float *scratch) {
    const struct schema_view *view = s->view;
    const struct schema_column *c = &view->dataset->columns[view->columns[i]];
    const struct schema_feature *f = &view->preprocessing->features[i];
    const bool texts = stored_type(s, i)->value == SCHEMA_VALUE_TEXT;
    (void)scratch;
    for (int32_t r = 0; r < s->n; r++) {
        struct schema_feature_value cell = {.kind = SCHEMA_VALUE_TEXT};
        if (texts) {
            cell.text = schema_dataset_text(view->dataset, view->columns[i], s->rows[r], &cell.size);
        } else {
            const int32_t code = schema_dataset_code(view->dataset, view->columns[i], s->rows[r]);
            cell.text = code < 0 ? NULL : c->categories[code].value;
            cell.size = code < 0 ? 0 : strlen(cell.text);
        }
        if (!cell.text) cell.kind = SCHEMA_VALUE_MISSING;
        else if (schema_type_of(f->type)->value == SCHEMA_VALUE_CATEGORY)
            cell = (struct schema_feature_value){.kind = SCHEMA_VALUE_CATEGORY, .category = schema_feature_category(f, cell.text, cell.size)};
        schema_stretch_put(s, i, r, &cell);
    }
}

void schema_stretch_tensors(const struct schema_stretch *s, int32_t i, float *scratch) {
    for (int32_t r = 0; r < s->n; r++) {
        schema_dataset_tensor(s->view->dataset, s->view->columns[i], s->rows[r], scratch);
        schema_stretch_put(s, i, r, &(struct schema_feature_value){.kind = SCHEMA_VALUE_TENSOR, .tensor = scratch});
    }
}

static void put_feature(const struct schema_stretch *s, int32_t i, float *scratch) {
    const struct schema_view *view = s->view;
    const enum schema_type type = view->preprocessing->features[i].type;
    if (view->columns[i] >= 0 && schema_type_serves(view->dataset->columns[view->columns[i]].type, type)) {
        schema_type_of(type)->put(s, i, scratch);
        return;
    }
    for (int32_t r = 0; r < s->n; r++) schema_stretch_put(s, i, r, &(struct schema_feature_value){.kind = SCHEMA_VALUE_MISSING});
}

void schema_view_rows(const struct schema_view *view, const int64_t *rows, int32_t n, float *tensor, float *const *inputs) {
    const struct schema_preprocessing *p = view->preprocessing;
    struct schema_stretch s = {.view = view};
    for (int32_t k = 0; k < p->inputs_count; k++) s.widths[k] = bp_shape_size(&p->inputs[k].shape);
    for (int32_t first = 0; first < n; first += SCHEMA_STRETCH) {
        s.rows = rows + first;
        s.n = n - first < SCHEMA_STRETCH ? n - first : SCHEMA_STRETCH;
        for (int32_t k = 0; k < p->inputs_count; k++) s.inputs[k] = inputs[k] + first * s.widths[k];
        for (int32_t k = 0; p->empty >> k; k++)
            for (int32_t r = 0; p->empty >> k & 1 && r < s.n; r++) s.inputs[k][r * s.widths[k]] = 0;
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
    int32_t codes[SCHEMA_STRETCH];
    for (int64_t first = 0; first < n; first += SCHEMA_STRETCH) {
        const int64_t some = n - first < SCHEMA_STRETCH ? n - first : SCHEMA_STRETCH;
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
        for (int64_t i = 0; i < n; i++) out[i] = schema_target_number(t, out[i]);
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

/* Rows whose cell of the column is missing are not usable. Some numbers of a tensor may be. */
static void present(const struct schema_view *view, int32_t column, const int64_t *rows, int32_t n, bool *out) {
    double numbers[SCHEMA_ROWS_MAX];
    int32_t codes[SCHEMA_ROWS_MAX];
    size_t size;
    switch (schema_type_of(view->dataset->columns[column].type)->storage) {
    case SCHEMA_HELD_AS_TENSOR: return;
    case SCHEMA_HELD_AS_BYTES:
        for (int32_t i = 0; i < n; i++) out[i] = out[i] && schema_dataset_text(view->dataset, column, rows[i], &size);
        return;
    case SCHEMA_HELD_AS_CODE:
        schema_dataset_gather_codes(view->dataset, column, rows, n, codes);
        for (int32_t i = 0; i < n; i++) out[i] = out[i] && codes[i] >= 0;
        return;
    case SCHEMA_HELD_AS_NUMBER:
        schema_dataset_gather(view->dataset, column, rows, n, numbers);
        for (int32_t i = 0; i < n; i++) out[i] = out[i] && !isnan(numbers[i]);
        return;
    }
}

int schema_view_complete(const struct schema_view *view, const int64_t *rows, int32_t n, bool *out) {
    double numbers[SCHEMA_ROWS_MAX];
    for (int32_t i = 0; i < n; i++) out[i] = true;
    for (int32_t k = 0; k < view->preprocessing->targets_count; k++) {
        if (view->preprocessing->targets[k].shape.rank > 0) {
            if (complete_tensor(view, k, rows, n, out) != 0) return -1;
            continue;
        }
        schema_view_targets(view, k, rows, n, numbers);
        for (int32_t i = 0; i < n; i++) out[i] = out[i] && !isnan(numbers[i]);
    }
    for (int32_t f = 0; f < view->preprocessing->features_count; f++)
        if (view->preprocessing->features[f].options.missing == SCHEMA_MISSING_DROP && view->columns[f] >= 0)
            present(view, view->columns[f], rows, n, out);
    schema_view_weights(view, rows, n, numbers);
    for (int32_t i = 0; i < n; i++) out[i] = out[i] && numbers[i] >= 0;
    return 0;
}

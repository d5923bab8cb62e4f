/* stretch.c - rows of a dataset as the inputs of a network, some rows at a time, column by column: the cells of a column are read at once, encoded in
 * loops over them, and spread to their rows. Only schema_transform defines the encoding of a cell; the loops give the same bits. */
#include "schema/preprocessing/feature.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SCATTERED = 64 /* rows that are read at once where they may be anywhere in the file */, AHEAD = 4 /* columns */ };

/* ---- columns --------------------------------------------------------------------------------------------------------------------- */

void schema_stretch_put(const struct schema_stretch *s, int32_t i, int32_t r, const struct schema_feature_value *cell) {
    const struct schema_preprocessing *p = s->view->preprocessing;
    float *at[BP_INPUTS_MAX];
    for (int32_t k = 0; k < p->features[i].places_count; k++) {
        const int32_t input = p->features[i].places[k].input;
        at[input] = s->inputs[input] + r * s->widths[input];
    }
    schema_transform_cell(p, i, cell, at);
}

static void show(const struct schema_stretch *s, int32_t i, const double *numbers, const int32_t *codes) {
    if (s->seen) s->seen(s->context, &(struct schema_view_cells){.feature = i, .first = s->rows[0], .n = s->n, .numbers = numbers, .codes = codes});
}

void schema_stretch_numbers(const struct schema_stretch *s, int32_t i, float *scratch) {
    const struct schema_feature *f = &s->view->preprocessing->features[i];
    double room[SCHEMA_STRETCH];
    const double *numbers = room;
    (void)scratch;
    if (s->together) numbers = schema_dataset_numbers_at(s->view->dataset, s->view->columns[i], s->rows[0], s->n, room);
    else schema_dataset_gather(s->view->dataset, s->view->columns[i], s->rows, s->n, room);
    show(s, i, numbers, NULL);
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

/* Codes of a one-hot feature: a row of zeros, and one 1. */
static void put_one_hot(const struct schema_stretch *s, int32_t i, const int32_t *codes) {
    const struct schema_feature *f = &s->view->preprocessing->features[i];
    const int32_t *categories = s->view->categories[i], input = f->places[0].input;
    const int32_t unknown = f->options.unseen != SCHEMA_UNSEEN_IGNORE ? f->categories_count : -1;
    float *out = s->inputs[input] + f->places[0].offset;
    for (int32_t r = 0; r < s->n; r++, out += s->widths[input]) {
        const int32_t category = codes[r] < 0 ? -1 : categories[codes[r]], hot = category < 0 ? unknown : category;
        memset(out, 0, (size_t)f->width * sizeof *out);
        if (hot >= 0) out[hot] = 1;
    }
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
    show(s, i, NULL, codes);
    if (schema_category_is_one_hot(f) && f->places_count == 1 && !f->constant) {
        put_one_hot(s, i, codes);
        return;
    }
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

/* ---- rows ------------------------------------------------------------------------------------------------------------------------ */

/* The rows of the stretch, `done` rows behind the first one of inputs. */
static void put_rows(struct schema_stretch *s, int32_t done, float *tensor, float *const *inputs) {
    const struct schema_preprocessing *p = s->view->preprocessing;
    for (int32_t k = 0; k < p->inputs_count; k++) {
        s->widths[k] = bp_shape_size(&p->inputs[k].shape);
        s->inputs[k] = inputs[k] + done * s->widths[k];
    }
    for (int32_t k = 0; p->empty >> k; k++)
        for (int32_t r = 0; p->empty >> k & 1 && r < s->n; r++) s->inputs[k][r * s->widths[k]] = 0;
    for (int32_t i = 0; i < p->features_count; i++) {
        if (s->together && i + AHEAD < p->features_count) schema_dataset_prefetch(s->view->dataset, s->view->columns[i + AHEAD], s->rows[0], s->n);
        put_feature(s, i, tensor);
    }
}

void schema_view_rows(const struct schema_view *view, const int64_t *rows, int32_t n, float *tensor, float *const *inputs) {
    struct schema_stretch s = {.view = view};
    for (int32_t first = 0; first < n; first += SCATTERED) {
        s.rows = rows + first;
        s.n = n - first < SCATTERED ? n - first : SCATTERED;
        put_rows(&s, first, tensor, inputs);
    }
}

void schema_view_block(const struct schema_view *view, const struct schema_view_reader *reader, int64_t first, int32_t n, float *tensor,
                       float *const *inputs) {
    int64_t rows[SCHEMA_STRETCH];
    struct schema_stretch s = {.view = view, .together = true, .rows = rows, .seen = reader->seen, .context = reader->context};
    for (int32_t done = 0; done < n; done += s.n) {
        s.n = n - done < SCHEMA_STRETCH ? n - done : SCHEMA_STRETCH;
        for (int32_t r = 0; r < s.n; r++) rows[r] = first + done + r;
        put_rows(&s, done, tensor, inputs);
    }
}

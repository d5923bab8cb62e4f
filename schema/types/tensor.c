/* tensor.c - the column type "tensor": nested arrays of numbers, all of one shape. Sections: features, predictions, stored columns, uploads, the
 * type. */
#include "schema/dataset/cell.h"
#include "schema/dataset/column_file.h"
#include "schema/dataset/json.h"
#include "schema/dataset/row_writer.h"
#include "schema/ingest/sink.h"
#include "schema/json/values.h"
#include "schema/predict/scan.h"
#include "schema/preprocessing/feature.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- features ---- */

static int fit(struct schema_preprocessing *p, struct schema_feature *f, const struct schema_fit *from, int32_t column, struct bp_error *error) {
    (void)p;
    return schema_feature_fit_tensor(f, from, column, error);
}

static bool apart(const struct schema_feature *f, struct bp_shape *shape) {
    *shape = f->shape;
    return true;
}

static void transform(const struct schema_preprocessing *p, const struct schema_feature *f, const struct schema_feature_value *cell, float *out) {
    (void)p;
    schema_tensor_apply(f, cell->kind == SCHEMA_VALUE_TENSOR ? cell->tensor : NULL, out);
}

static void encode(const struct schema_feature *f, json_t *json) {
    schema_option_put(f, SCHEMA_OPTION_scale, json);
    schema_channels_encode(f->channels, f->channels_count, json);
    if (f->clip > 0) json_object_set_new(json, "clip", json_real(f->clip));
    schema_missing_put(f, "zero", json);
    json_object_set_new(json, "shape", schema_dims_encode(&f->shape));
}

static int decode(const json_t *json, struct schema_feature *f) {
    const char *scale = json_string_value(json_object_get(json, "scale"));
    f->std = 1; /* the channels have their own */
    if (schema_dims_decode(json_object_get(json, "shape"), &f->shape) != 0 ||
        schema_channels_decode(json, &f->shape, &f->channels, &f->channels_count) != 0)
        return -1;
    if (scale && strcmp(scale, "none") == 0) schema_feature_unscaled(f);
    f->fill = f->mean;
    return 0;
}

/* ---- predictions ---- */

/* Numbers of nested arrays into out, at most room of them; false on anything else. Counts into *n. */
static bool flatten(const json_t *json, float *out, int64_t room, int64_t *n, int depth) {
    if (depth > BP_RANK_MAX) return false;
    for (size_t i = 0; i < json_array_size(json); i++) {
        const json_t *item = json_array_get(json, i);
        if (json_is_array(item)) {
            if (!flatten(item, out, room, n, depth + 1)) return false;
        } else {
            if (!json_is_number(item) && !json_is_null(item)) return false;
            if (*n < room) out[*n] = json_is_null(item) ? NAN : (float)json_number_value(item);
            ++*n;
        }
    }
    return true;
}

/* Do the nested arrays have exactly this shape? A padded sequence may be shorter. */
static bool follows(const json_t *json, const struct bp_shape *shape, int32_t level, bool padded) {
    if (level == shape->rank) return !json_is_array(json);
    const size_t size = json_array_size(json), expected = (size_t)shape->dims[level];
    if (!json_is_array(json) || (padded && level == 0 ? size < 1 || size > expected : size != expected)) return false;
    for (size_t i = 0; i < size; i++)
        if (!follows(json_array_get(json, i), shape, level + 1, padded)) return false;
    return true;
}

/* The numbers of tensor feature i have been read. Missing steps at the end of a padded sequence are no holes. */
static void put_tensor(struct schema_predictor *p, int32_t i, const float *numbers) {
    const struct schema_feature *f = &p->preprocessing->features[i];
    int64_t n = bp_shape_size(&f->shape), step = n / f->shape.dims[0];
    struct schema_feature_value cell = {.kind = SCHEMA_VALUE_TENSOR, .tensor = numbers};
    for (int64_t k = n; f->padded && k > 0 && isnan(numbers[k - 1]); k--)
        if ((k - 1) % step == 0) n = k - 1;
    for (int64_t k = 0; k < n && !cell.holes; k++) cell.holes = isnan(numbers[k]);
    p->cells[i] = cell;
}

static int read_cell(struct schema_predictor *p, int32_t i, const json_t *json, const char *pointer, struct schema_problems *problems) {
    const struct schema_feature *f = &p->preprocessing->features[i];
    char shape[64], got[80];
    float *out = p->tensors + p->tensor_at[i];
    int64_t size = bp_shape_size(&f->shape), n = 0;
    bp_shape_text(&f->shape, shape, sizeof shape);
    if (json_is_string(json)) {
        const char *wrong = schema_cell_base64(json_string_value(json), json_string_length(json), size, out);
        if (wrong) return schema_problem_add(problems, pointer, "column \"%.60s\" expects numbers of the shape %s, but %s", f->name, shape, wrong);
        put_tensor(p, i, out);
        return 0;
    }
    if (!json_is_array(json))
        return schema_problem_add(problems, pointer, "column \"%.60s\" expects nested arrays of numbers of the shape %s, got %s", f->name, shape,
                                  schema_json_text(json, got, sizeof got));
    if (!flatten(json, out, size, &n, 1))
        return schema_problem_add(problems, pointer, "column \"%.60s\" expects only numbers, nested as %s", f->name, shape);
    bool flat = !json_is_array(json_array_get(json, 0)) && !(f->padded && f->shape.rank == 1);
    for (int64_t k = n; f->padded && !flat && k < size; k++) out[k] = NAN;
    if (flat ? n != size : n > size || !follows(json, &f->shape, 0, f->padded))
        return schema_problem_add(problems, pointer, "column \"%.60s\" expects %lld numbers of the shape %s (nested, or as a flat list), got %lld%s",
                                  f->name, (long long)size, shape, (long long)n, n == size ? " in another nesting" : "");
    put_tensor(p, i, out);
    return 0;
}

static bool scan_cell(struct schema_scan *s, int32_t i) {
    const struct schema_feature *f = &s->p->preprocessing->features[i];
    struct schema_feature_value *cell = &s->p->cells[i];
    float *out = s->p->tensors + s->p->tensor_at[i];
    cell->kind = SCHEMA_VALUE_TENSOR;
    cell->tensor = out;
    cell->holes = false;
    return schema_scan_tensor(s, &f->shape, 0, &out);
}

/* ---- stored columns ---- */

static bool bytes(const struct schema_column *c) {
    return c->bytes;
}

static void set_bytes(struct schema_column *c, bool flag) {
    c->bytes = flag;
}

static void describe(const struct schema_column *c, json_t *object) {
    json_object_set_new(object, "min", schema_show_float((float)c->min));
    json_object_set_new(object, "max", schema_show_float((float)c->max));
    json_object_set_new(object, "mean", schema_show_number(c->mean));
    json_object_set_new(object, "std", schema_show_number(c->std));
}

/* The array at one depth of a tensor; *next moves on through its numbers. */
static json_t *nested_json(const struct bp_shape *shape, int32_t depth, const float **next) {
    if (depth >= shape->rank || depth >= BP_RANK_MAX) return schema_show_float(*(*next)++);
    json_t *list = json_array();
    for (int32_t i = 0; i < shape->dims[depth]; i++) json_array_append_new(list, nested_json(shape, depth + 1, next));
    return list;
}

static json_t *cell_json(const struct schema_dataset *dataset, int32_t column, int64_t row) {
    const struct bp_shape *shape = &dataset->columns[column].shape;
    size_t size = 1;
    for (int32_t d = 0; d < shape->rank; d++) size *= (size_t)shape->dims[d];
    float *numbers = malloc(size * sizeof *numbers);
    if (!numbers) return json_null();
    schema_dataset_tensor(dataset, column, row, numbers);
    const float *next = numbers;
    size_t missing = 0;
    while (missing < size && isnan(numbers[missing])) missing++;
    json_t *value = missing == size ? json_null() : nested_json(shape, 0, &next);
    free(numbers);
    return value;
}

/* How many arrays begin before element i, or end with element i - 1. */
static int32_t edges(const struct bp_shape *shape, int64_t i) {
    int64_t size = 1;
    int32_t n = 0;
    for (int32_t d = shape->rank - 1; d >= 0; d--) {
        size *= shape->dims[d];
        if (i % size) break;
        n++;
    }
    return n;
}

/* Continues a tensor; true when it is complete, false when the piece is full before. */
static bool write_cell(struct schema_rows *r, const struct rows_column *c) {
    const struct bp_shape *shape = &c->column->shape;
    if (r->element == 0) {
        int64_t missing = 0;
        schema_dataset_tensor(r->dataset, c->index, r->row, r->tensor);
        while (missing < c->per_cell && isnan(r->tensor[missing])) missing++;
        if (missing == c->per_cell) return schema_rows_missing(r), true;
        if (r->format == SCHEMA_ROWS_CSV) schema_piece_byte(&r->piece, '"');
    }
    for (; r->element < c->per_cell && r->piece.size < SCHEMA_ROWS_PIECE; r->element++) {
        if (r->element) schema_piece_byte(&r->piece, ',');
        for (int32_t i = edges(shape, r->element); i > 0; i--) schema_piece_byte(&r->piece, '[');
        const float number = r->tensor[r->element];
        if (isfinite(number)) schema_piece_float(&r->piece, number);
        else schema_piece_add(&r->piece, "null", 4);
        for (int32_t i = edges(shape, r->element + 1); i > 0; i--) schema_piece_byte(&r->piece, ']');
    }
    if (r->element < c->per_cell) return false;
    r->element = 0;
    if (r->format == SCHEMA_ROWS_CSV) schema_piece_byte(&r->piece, '"');
    return true;
}

/* ---- uploads ---- */

static bool fits(const struct schema_ingest *ingest, struct ingest_column *c, struct ingest_values *v) {
    (void)ingest, (void)v;
    return c->sample_arrays;
}

static bool reason(const struct ingest_column *c, char *text, size_t size) {
    snprintf(text, size, "%lld cells are arrays", (long long)c->sample_arrays);
    return true;
}

/* The shape of the first array that is written as text (a cell of CSV): the user must have given the column the type tensor. */
static void shape_from_text(const struct schema_ingest *ingest, int32_t column, struct bp_shape *shape) {
    struct schema_cell cell;
    int64_t count;
    for (size_t at = 0; shape->rank == 0 && schema_cells_next(&ingest->sample, &at, &cell);)
        if (cell.column == column && (cell.kind == CELL_TEXT || cell.kind == CELL_STRING) &&
            schema_cell_array(cell.text, cell.size, NULL, 0, shape, &count))
            shape->rank = 0;
}

/* Sets cell_shape, shape and turned. */
static int complete(struct schema_ingest *ingest, int32_t column, struct schema_problems *problems) {
    struct ingest_column *c = &ingest->columns[column];
    char name[64];
    schema_ingest_short(c->name, c->name_size, name);
    if (c->given && c->given->shape.rank > 0) c->cell_shape = c->given->shape;
    if (c->cell_shape.rank == 0 && c->given && c->sample_texts) shape_from_text(ingest, column, &c->cell_shape);
    if (c->cell_shape.rank == 0 && c->sample_arrays == 0)
        return schema_problem_add(
            problems, NULL,
            "column \"%s\" was given the type tensor, but no array was found in it; give its shape: {\"type\":\"tensor\",\"shape\":[28,28,1]}", name);
    if (c->cell_shape.rank == 0) c->cell_shape = (struct bp_shape){.rank = 1, .dims = {1}}; /* the array is invalid; storing it reports why */
    c->shape = c->cell_shape;
    c->turned = c->given && !c->given->hwc;
    if (!c->turned) return 0;
    if (c->shape.rank != 3)
        return schema_problem_add(problems, NULL, "column \"%s\": layout \"chw\" needs a shape of three dimensions (channels, height, width)", name);
    c->shape.dims[0] = c->cell_shape.dims[1], c->shape.dims[1] = c->cell_shape.dims[2], c->shape.dims[2] = c->cell_shape.dims[0];
    return 0;
}

/* An array of shape `got` fits a cell of shape `want` when they are equal but for dimensions of 1, or `got` is flat. */
static bool shape_fits(const struct bp_shape *got, const struct bp_shape *want) {
    int32_t g = 0, w = 0;
    if (got->rank == 1 && got->dims[0] == bp_shape_size(want)) return true;
    for (;;) {
        while (g < got->rank && got->dims[g] == 1) g++;
        while (w < want->rank && want->dims[w] == 1) w++;
        if (g == got->rank || w == want->rank) return g == got->rank && w == want->rank;
        if (got->dims[g++] != want->dims[w++]) return false;
    }
}

/* A sequence that is shorter than the longest one: what follows it is missing. False: it is not one. */
static bool pad(const struct ingest_column *c, const struct bp_shape *got, int64_t count, float *out) {
    const struct bp_shape *want = &c->cell_shape;
    if (!c->given || c->given->shape.rank == 0 || c->turned || got->rank != want->rank || got->dims[0] >= want->dims[0]) return false;
    for (int32_t i = 1; i < got->rank; i++)
        if (got->dims[i] != want->dims[i]) return false;
    for (int64_t i = count; i < bp_shape_size(want); i++) out[i] = NAN;
    return true;
}

/* (C, H, W) to (H, W, C). */
static void turn(const float *from, const struct bp_shape *chw, float *to) {
    int64_t C = chw->dims[0], H = chw->dims[1], W = chw->dims[2];
    for (int64_t c = 0; c < C; c++)
        for (int64_t i = 0; i < H * W; i++) to[i * C + c] = from[c * H * W + i];
}

static int store(struct schema_ingest *ingest, struct ingest_column *c, const struct schema_cell *cell, struct schema_problems *problems) {
    int64_t row = ingest->group_row, size = bp_shape_size(&c->shape), count = 0;
    c->absent[row] = 1;
    bool text = cell->kind == CELL_TEXT || cell->kind == CELL_STRING;
    if (cell->kind == CELL_MISSING || (text && schema_cell_is_missing(cell->text, cell->size))) return 0;
    if (cell->kind != CELL_ARRAY && !text) return schema_ingest_misfit(ingest, cell, "an array of numbers", problems);
    struct bp_shape shape = {.rank = 0};
    float *out = c->tensors + row * size;
    const char *wrong;
    if (cell->kind == CELL_STRING || (text && *cell->text != '[')) {
        wrong = schema_cell_base64(cell->text, cell->size, size, c->turned ? c->scratch : out);
        shape = c->cell_shape;
        count = size;
    } else {
        wrong = schema_cell_array(cell->text, cell->size, c->turned ? c->scratch : out, size, &shape, &count);
    }
    const float *read = c->turned ? c->scratch : out;
    int64_t gap = 0;
    while (!wrong && gap < count && gap < size && !isnan(read[gap])) gap++;
    char got[64], want[64];
    if (wrong)
        return schema_ingest_problem(ingest, cell->column, cell->text, cell->size, problems, "expected an array of numbers of shape %s, but %s",
                                     bp_shape_text(&c->cell_shape, want, sizeof want), wrong);
    if (!shape_fits(&shape, &c->cell_shape) && !pad(c, &shape, count, out))
        return schema_ingest_problem(ingest, cell->column, cell->text, cell->size, problems, "the array has shape %s, expected %s%s",
                                     bp_shape_text(&shape, got, sizeof got), bp_shape_text(&c->cell_shape, want, sizeof want),
                                     c->given && c->given->shape.rank > 0
                                         ? " as given in types"
                                         : " as in the first row; shorter sequences are padded when types give the longest: "
                                           "{\"type\":\"tensor\",\"shape\":[...]}");
    if (c->turned) turn(c->scratch, &c->cell_shape, out);
    c->gaps += gap < count;
    c->absent[row] = 0;
    return 0;
}

static void count(struct schema_ingest *ingest, struct ingest_column *c, uint64_t first, int64_t from, int64_t rows) {
    (void)ingest, (void)first;
    const int64_t size = bp_shape_size(&c->shape);
    for (int64_t i = from; i <= rows; i++) { /* runs of cells that are there */
        if (i < rows && !c->absent[i]) continue;
        schema_statistics_add_floats(&c->statistics, c->tensors + from * size, (i - from) * size);
        c->missing += i < rows;
        from = i + 1;
    }
}

static int copy(const struct ingest_copy *copy) {
    struct ingest_column *to = &copy->ingest->columns[copy->to];
    const int64_t size = bp_shape_size(&to->shape), row = copy->ingest->group_row;
    for (int64_t i = 0; i < copy->n; i++) {
        float *out = to->tensors + (row + i) * size;
        schema_dataset_tensor(copy->from, copy->column, copy->first + i, out);
        int64_t there = 0;
        while (there < size && isnan(out[there])) there++;
        to->absent[row + i] = there == size;
    }
    return 0;
}

/* ---- the type ---- */

const struct schema_type_ops schema_type_tensor = {
    .name = "tensor",
    .summary = "Nested arrays of numbers, all of one shape",
    .storage = SCHEMA_HELD_AS_TENSOR,
    .kinds = BLOCKS(NONE) | BLOCKS(U8) | BLOCKS(F32),
    .has_shape = true,
    .flag = bytes,
    .set_flag = set_bytes,
    .describe = describe,
    .cell_json = cell_json,
    .write = write_cell,

    .fits = fits,
    .complete = complete,
    .reason = reason,
    .store = store,
    .count = count,
    .copy = copy,
    .constant = schema_ingest_constant,

    .value = SCHEMA_VALUE_TENSOR,
    .options = 1u << SCHEMA_OPTION_missing | 1u << SCHEMA_OPTION_scale | 1u << SCHEMA_OPTION_clip,
    .missing = 1u << SCHEMA_MISSING_AUTO | 1u << SCHEMA_MISSING_ERROR,
    .scales = 1u << SCHEMA_SCALE_STANDARD | 1u << SCHEMA_SCALE_NONE | 1u << SCHEMA_SCALE_GLOBAL,
    .quantity = true,
    .fit = fit,
    .apart = apart,
    .transform = transform,
    .put = schema_stretch_tensors,
    .encode = encode,
    .decode = decode,

    .read = read_cell,
    .scan = scan_cell,
    .replacement = "the mean is used",

    .target = SCHEMA_TARGET_POSITIONS,
    .not_split = "is a tensor",
};

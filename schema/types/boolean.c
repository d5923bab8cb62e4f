/* boolean.c - the column type "boolean": false and true. Sections: features, predictions, stored columns, uploads, the type. */
#include "schema/dataset/cell.h"
#include "schema/dataset/column_file.h"
#include "schema/dataset/json.h"
#include "schema/dataset/row_writer.h"
#include "schema/ingest/sink.h"
#include "schema/json/values.h"
#include "schema/predict/scan.h"
#include "schema/preprocessing/feature.h"

#include <math.h>
#include <string.h>
#include <strings.h>

/* ---- features ---- */

static int32_t width(const struct schema_feature *f) {
    return 1 + f->indicator;
}

static void transform(const struct schema_preprocessing *p, const struct schema_feature *f, const struct schema_feature_value *cell, float *out) {
    const double v = cell->kind == SCHEMA_VALUE_NUMBER ? cell->number : (double)NAN;
    (void)p;
    out[0] = (float)(f->constant ? f->min : isnan(v) ? f->fill : v);
    if (f->indicator) out[1] = isnan(v) ? 1.0f : 0.0f;
}

/* ---- predictions ---- */

static int read_cell(struct schema_predictor *p, int32_t i, const json_t *json, const char *pointer, struct schema_problems *problems) {
    const struct schema_feature *f = &p->preprocessing->features[i];
    const char *text = json_string_value(json);
    char got[80];
    double v = json_is_true(json)                       ? 1
               : json_is_false(json)                    ? 0
               : json_is_number(json)                   ? json_number_value(json)
               : text && strcasecmp(text, "true") == 0  ? 1
               : text && strcasecmp(text, "false") == 0 ? 0
                                                        : -1;
    if (text && schema_cell_is_missing(text, strlen(text))) return 0;
    if (v != 0 && v != 1)
        return schema_problem_add(problems, pointer, "column \"%.60s\" expects true or false, got %s", f->name,
                                  schema_json_text(json, got, sizeof got));
    p->cells[i].kind = SCHEMA_VALUE_NUMBER;
    p->cells[i].number = v;
    return 0;
}

static bool scan_cell(struct schema_scan *s, int32_t i) {
    struct schema_feature_value *cell = &s->p->cells[i];
    cell->kind = SCHEMA_VALUE_NUMBER;
    cell->number = *s->at == 't';
    return schema_scan_word(s, *s->at == 't' ? "true" : "false");
}

static bool take_cell(struct schema_predictor *p, int32_t i, const struct schema_cell *cell) {
    const bool text = cell->kind == CELL_TEXT || cell->kind == CELL_STRING;
    if (text && schema_cell_is_missing(cell->text, cell->size)) return true;
    const bool digit = (text || cell->kind == CELL_NUMBER) && cell->size == 1 && (*cell->text == '0' || *cell->text == '1');
    const int value = digit ? *cell->text == '1' : text || cell->kind == CELL_BOOLEAN ? schema_cell_boolean(cell->text, cell->size) : -1;
    if (value < 0) return false;
    p->cells[i].kind = SCHEMA_VALUE_NUMBER;
    p->cells[i].number = value;
    return true;
}

/* ---- stored columns ---- */

static json_t *cell_json(const struct schema_dataset *dataset, int32_t column, int64_t row) {
    const int32_t code = schema_dataset_code(dataset, column, row);
    return code < 0 ? json_null() : json_boolean(code == 1);
}

static bool write_cell(struct schema_rows *r, const struct rows_column *c) {
    const int32_t code = c->codes[schema_rows_place(r)];
    if (code < 0) schema_rows_missing(r);
    else if (r->format == SCHEMA_ROWS_CSV) schema_rows_category(r, c, code);
    else schema_piece_add(&r->piece, code ? "true" : "false", code ? 4 : 5);
    return true;
}

static int32_t category(const struct schema_column *column, const char *text, size_t size) {
    (void)column;
    return schema_cell_boolean(text, size);
}

/* ---- uploads ---- */

static bool fits(const struct schema_ingest *ingest, struct ingest_column *c, struct ingest_values *v) {
    (void)ingest, (void)v;
    return c->sample_booleans && !c->sample_numbers && !c->sample_texts;
}

static int store(struct schema_ingest *ingest, struct ingest_column *c, const struct schema_cell *cell, struct schema_problems *problems) {
    uint32_t *slot = &c->codes[ingest->group_row];
    *slot = 0;
    bool text = cell->kind == CELL_TEXT || cell->kind == CELL_STRING;
    if (cell->kind == CELL_MISSING || (text && schema_cell_is_missing(cell->text, cell->size))) return 0;
    int value = cell->kind == CELL_BOOLEAN || cell->kind == CELL_TEXT || (cell->kind == CELL_STRING && c->given)
                    ? schema_cell_boolean(cell->text, cell->size)
                    : -1;
    if (value < 0) return schema_ingest_misfit(ingest, cell, "true or false", problems);
    if (!*c->written[value]) memcpy(c->written[value], cell->text, cell->size);
    *slot = (uint32_t)value + 1;
    return 0;
}

static int32_t categories(struct ingest_column *c, int64_t **counts) {
    *counts = c->boolean_counts;
    return 2;
}

static char *category_text(struct ingest_column *c, int32_t code) {
    if (!*c->written[code]) memcpy(c->written[code], code ? "true" : "false", code ? 5 : 6);
    return c->written[code];
}

static int32_t join(struct schema_ingest *ingest, int32_t column, const struct schema_column *from, int32_t code, struct schema_problems *problems) {
    char *written = ingest->columns[column].written[code];
    (void)problems;
    if (!*written && from->categories[code].count > 0) strncpy(written, from->categories[code].value, sizeof ingest->columns->written[0] - 1);
    return code;
}

static bool constant(const struct ingest_column *c) {
    return !c->boolean_counts[0] || !c->boolean_counts[1];
}

/* ---- the type ---- */

const struct schema_type_ops schema_type_boolean = {
    .name = "boolean",
    .summary = "False and true, as 0 and 1",
    .storage = SCHEMA_HELD_AS_CODE,
    .kinds = BLOCKS(NONE) | BLOCKS(U8),
    .codes_are_numbers = true,
    .categories_min = 2,
    .categories_max = 2,
    .describe = schema_show_categories,
    .cell_json = cell_json,
    .write = write_cell,
    .category = category,

    .fits = fits,
    .store = store,
    .count = schema_ingest_count_codes,
    .categories = categories,
    .category_text = category_text,
    .join = join,
    .copy = schema_ingest_copy_codes,
    .constant = constant,

    .value = SCHEMA_VALUE_NUMBER,
    .options = 1u << SCHEMA_OPTION_missing,
    .missing = 1u << SCHEMA_MISSING_AUTO | 1u << SCHEMA_MISSING_MEAN | 1u << SCHEMA_MISSING_MEDIAN | 1u << SCHEMA_MISSING_CONSTANT |
               1u << SCHEMA_MISSING_INDICATOR | 1u << SCHEMA_MISSING_DROP | 1u << SCHEMA_MISSING_ERROR,
    .missing_auto = SCHEMA_MISSING_MEAN,
    .moments = true,
    .unscaled = true,
    .fit = schema_feature_fit_numbers,
    .width = width,
    .transform = transform,
    .put = schema_stretch_numbers,
    .encode = schema_scale_encode,
    .decode = schema_scale_decode,

    .read = read_cell,
    .scan = scan_cell,
    .take = take_cell,

    .target = SCHEMA_TARGET_CLASS,
};

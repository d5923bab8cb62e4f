/* text.c - the column type "text": free text. Sections: features, predictions, stored columns, uploads, the type. */
#include "schema/dataset/cell.h"
#include "schema/dataset/column_file.h"
#include "schema/dataset/json.h"
#include "schema/dataset/row_writer.h"
#include "schema/ingest/sink.h"
#include "schema/json/values.h"
#include "schema/predict/scan.h"
#include "schema/preprocessing/feature.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- features ---- */

static int fit(struct schema_preprocessing *p, struct schema_feature *f, const struct schema_fit *from, int32_t column, struct bp_error *error) {
    return schema_feature_locale(p, error) == 0 ? schema_texts_fit(f, from, column, p->locale, error) : -1;
}

static int32_t width(const struct schema_feature *f) {
    return f->options.encode == SCHEMA_ENCODE_HASHED ? f->options.buckets : f->categories_count;
}

static bool apart(const struct schema_feature *f, struct bp_shape *shape) {
    *shape = (struct bp_shape){.rank = 1, .dims = {f->options.length}};
    return f->options.encode == SCHEMA_ENCODE_TOKENS;
}

static void encode(const struct schema_feature *f, json_t *json) {
    const enum schema_encode how = f->options.encode;
    schema_option_put(f, SCHEMA_OPTION_encode, json);
    schema_option_put(f, how == SCHEMA_ENCODE_HASHED ? SCHEMA_OPTION_buckets : SCHEMA_OPTION_vocabulary, json);
    if (how == SCHEMA_ENCODE_TOKENS) schema_option_put(f, SCHEMA_OPTION_length, json);
    schema_missing_put(f, NULL, json);
    json_object_set_new(json, "words", schema_strings_encode(f->categories, f->categories_count));
    if (f->idf) json_object_set_new(json, "idf", schema_reals_encode(f->idf, (size_t)f->categories_count));
}

static int decode(const json_t *json, struct schema_feature *f) {
    const struct schema_column_options *o = &f->options;
    f->fill = f->mean;
    if (o->encode < SCHEMA_ENCODE_BAG_OF_WORDS || (o->encode == SCHEMA_ENCODE_TOKENS && (o->length < 1 || o->length > 65536)) ||
        (o->encode == SCHEMA_ENCODE_HASHED && (o->buckets < 2 || o->buckets > 1 << 20)) || schema_categories_decode(json, "words", f) != 0)
        return -1;
    if (o->encode != SCHEMA_ENCODE_BAG_OF_WORDS) return 0;
    if (!(f->idf = calloc((size_t)f->categories_count + 1, sizeof *f->idf))) return -1;
    return schema_reals_decode(json_object_get(json, "idf"), f->idf, (size_t)f->categories_count) ? 0 : -1;
}

static int32_t indices(const struct schema_feature *f, const char **meaning) {
    *meaning = "words, 0 means none and 1 an unknown word";
    return f->options.encode == SCHEMA_ENCODE_TOKENS ? f->categories_count + 2 : 0;
}

static const char *left_out(const struct schema_dataset *d, const struct schema_column *c, char *text, size_t size) {
    (void)d;
    if (!(c->mean < 1.5)) return NULL; /* words in a cell */
    snprintf(text, size, "its texts are single words and few repeat, like an identifier; name it in features to use it");
    return text;
}

/* ---- predictions ---- */

static int read_cell(struct schema_predictor *p, int32_t i, const json_t *json, const char *pointer, struct schema_problems *problems) {
    const char *text = json_string_value(json);
    char got[80];
    if (!text)
        return schema_problem_add(problems, pointer, "column \"%.60s\" expects a text, got %s", p->preprocessing->features[i].name,
                                  schema_json_text(json, got, sizeof got));
    if (schema_cell_is_missing(text, strlen(text))) return 0;
    p->cells[i] = (struct schema_feature_value){.kind = SCHEMA_VALUE_TEXT, .text = text, .size = json_string_length(json)};
    return 0;
}

static bool scan_cell(struct schema_scan *s, int32_t i) {
    struct schema_feature_value *cell = &s->p->cells[i];
    if (!schema_scan_string(s, &cell->text, &cell->size) || schema_cell_is_missing(cell->text, cell->size)) return false;
    cell->kind = SCHEMA_VALUE_TEXT;
    return true;
}

static bool take_cell(struct schema_predictor *p, int32_t i, const struct schema_cell *cell) {
    if (cell->kind == CELL_ARRAY) return false;
    if (!schema_cell_is_missing(cell->text, cell->size))
        p->cells[i] = (struct schema_feature_value){.kind = SCHEMA_VALUE_TEXT, .text = cell->text, .size = cell->size};
    return true;
}

/* ---- stored columns ---- */

static void describe(const struct schema_column *c, json_t *object) {
    json_object_set_new(object, "words", schema_show_range(c));
}

static json_t *cell_json(const struct schema_dataset *dataset, int32_t column, int64_t row) {
    size_t size;
    const char *text = schema_dataset_text(dataset, column, row, &size);
    json_t *string = text ? json_stringn(text, size) : NULL;
    return string ? string : json_null();
}

static bool write_cell(struct schema_rows *r, const struct rows_column *c) {
    size_t size;
    const char *text = schema_dataset_text(r->dataset, c->index, r->row, &size);
    if (text) schema_rows_text(r, text, size);
    else schema_rows_missing(r);
    return true;
}

/* ---- uploads ---- */

/* Sentences, hardly any of them twice; or so many distinct texts that a dictionary of them would repeat the column. */
static bool is_text(const struct ingest_column *c, const struct ingest_values *v) {
    return schema_ingest_may_be_text(c) && (schema_ingest_is_prose(c) ? v->texts.count * 2 > c->sample_texts : v->texts.count == c->sample_texts);
}

/* Codes are texts if a dictionary of them would repeat the column. */
static bool fits(const struct schema_ingest *ingest, struct ingest_column *c, struct ingest_values *v) {
    (void)ingest;
    return is_text(c, v) || (schema_ingest_are_codes(c) && c->sample_numbers >= INGEST_DISTINCT_CELLS && v->texts.count * 2 > c->sample_numbers);
}

static bool reason(const struct ingest_column *c, char *text, size_t size) {
    if (schema_ingest_reason_codes(c, text, size)) return true;
    snprintf(text, size, "%lld cells are text of %.1f words on average, and few repeat", (long long)c->sample_texts,
             (double)c->sample_words / (double)c->sample_texts);
    return true;
}

static int store(struct schema_ingest *ingest, struct ingest_column *c, const struct schema_cell *cell, struct schema_problems *problems) {
    struct bp_error error = {0};
    uint64_t *slot = &c->texts[ingest->group_row];
    *slot = 0;
    if (cell->kind == CELL_MISSING || schema_cell_is_missing(cell->text, cell->size)) return 0;
    if (cell->kind == CELL_ARRAY) return schema_ingest_misfit(ingest, cell, "a text", problems);
    const double words = (double)schema_cell_words(cell->text, cell->size);
    schema_statistics_add(&c->statistics, &words, 1);
    if (problems->total > 0 || column_file_text(ingest->file, cell->text, cell->size, slot, &error) == 0) return 0;
    return schema_problem_error(problems, NULL, &error);
}

static int copy(const struct ingest_copy *copy) {
    struct ingest_column *to = &copy->ingest->columns[copy->to];
    struct bp_error error = {0};
    for (int64_t i = 0; i < copy->n; i++) {
        size_t size;
        const char *text = schema_dataset_text(copy->from, copy->column, copy->first + i, &size);
        uint64_t *slot = &to->texts[copy->ingest->group_row + i];
        const double words = text ? (double)schema_cell_words(text, size) : 0;
        *slot = 0;
        if (text && !copy->counted) schema_statistics_add(&to->statistics, &words, 1);
        if (text && column_file_text(copy->ingest->file, text, size, slot, &error) != 0) return -1;
    }
    return 0;
}

static void review(struct schema_ingest *ingest, const struct ingest_column *c) {
    (void)schema_ingest_review_codes(ingest, c);
}

/* ---- the type ---- */

const struct schema_type_ops schema_type_text = {
    .name = "text",
    .summary = "Free text, by its words",
    .storage = SCHEMA_HELD_AS_BYTES,
    .kinds = BLOCKS(NONE) | BLOCKS(TEXT),
    .serves = 1u << SCHEMA_CATEGORICAL,
    .describe = describe,
    .cell_json = cell_json,
    .write = write_cell,

    .fits = fits,
    .reason = reason,
    .store = store,
    .count = schema_ingest_count_bytes,
    .copy = copy,
    .review = review,

    .value = SCHEMA_VALUE_TEXT,
    .options = 1u << SCHEMA_OPTION_missing | 1u << SCHEMA_OPTION_encode | 1u << SCHEMA_OPTION_vocabulary | 1u << SCHEMA_OPTION_length |
               1u << SCHEMA_OPTION_buckets,
    .missing = 1u << SCHEMA_MISSING_AUTO | 1u << SCHEMA_MISSING_DROP | 1u << SCHEMA_MISSING_ERROR,
    .encodes = 1u << SCHEMA_ENCODE_BAG_OF_WORDS | 1u << SCHEMA_ENCODE_HASHED | 1u << SCHEMA_ENCODE_TOKENS,
    .fit = fit,
    .width = width,
    .apart = apart,
    .transform = schema_text_apply,
    .put = schema_stretch_texts,
    .encode = encode,
    .decode = decode,
    .indices = indices,
    .left_out = left_out,

    .read = read_cell,
    .scan = scan_cell,
    .take = take_cell,
    .replacement = "a text without words is used",

    .target = SCHEMA_TARGET_NONE,
    .not_target = "categorical, if its values are classes,",
    .not_split = "is text",
};

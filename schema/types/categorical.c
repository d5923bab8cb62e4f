/* categorical.c - the column type "categorical": one of a set of texts. Sections: features, predictions, stored columns, uploads, the type. */
#include "schema/dataset/column_file.h"
#include "schema/dataset/json.h"
#include "schema/dataset/row_writer.h"
#include "schema/ingest/sink.h"
#include "schema/json/values.h"
#include "schema/predict/scan.h"
#include "schema/preprocessing/feature.h"
#include "schema/text/number.h"

#include <stdio.h>
#include <string.h>

/* ---- features ---- */

static int fit(struct schema_preprocessing *p, struct schema_feature *f, const struct schema_fit *from, int32_t column, struct bp_error *error) {
    (void)p;
    return schema_categories_fit(f, from, column, error);
}

static int32_t width(const struct schema_feature *f) {
    if (f->options.encode == SCHEMA_ENCODE_TARGET) return f->means_width;
    if (f->options.encode == SCHEMA_ENCODE_ORDINAL || f->options.encode == SCHEMA_ENCODE_EMBEDDING) return 1;
    if (f->options.encode == SCHEMA_ENCODE_COMPACT && f->categories_count == 2) return 1;
    return f->categories_count + (f->options.unseen != SCHEMA_UNSEEN_IGNORE);
}

static bool apart(const struct schema_feature *f, struct bp_shape *shape) {
    *shape = (struct bp_shape){.rank = 1, .dims = {1}};
    return f->options.encode == SCHEMA_ENCODE_EMBEDDING;
}

static void transform(const struct schema_preprocessing *p, const struct schema_feature *f, const struct schema_feature_value *cell, float *out) {
    (void)p;
    schema_category_apply(f, cell, out);
}

static void encode(const struct schema_feature *f, json_t *json) {
    const enum schema_encode how = f->options.encode;
    json_object_set_new(json, "categories", schema_strings_encode(f->categories, f->categories_count));
    schema_option_put(f, SCHEMA_OPTION_encode, json);
    schema_option_put(f, SCHEMA_OPTION_categories_max, json);
    if (f->options.categories_min_count > 1) schema_option_put(f, SCHEMA_OPTION_categories_min_count, json);
    if (f->rare) json_object_set_new(json, "rare", json_integer((json_int_t)f->rare));
    if (f->left_out) json_object_set_new(json, "left_out", json_integer((json_int_t)f->left_out));
    schema_option_put(f, SCHEMA_OPTION_unseen, json);
    schema_missing_put(f, NULL, json);
    if (how == SCHEMA_ENCODE_TARGET) {
        schema_option_put(f, SCHEMA_OPTION_smoothing, json);
        json_object_set_new(json, "means", schema_means_encode(f));
    }
    if (how != SCHEMA_ENCODE_ORDINAL && how != SCHEMA_ENCODE_TARGET) return;
    json_object_set_new(json, "mean", json_real(f->mean));
    json_object_set_new(json, "std", json_real(f->std));
}

static int decode(const json_t *json, struct schema_feature *f) {
    f->fill = f->mean;
    f->left_out = json_integer_value(json_object_get(json, "left_out"));
    f->rare = json_integer_value(json_object_get(json, "rare"));
    if (f->options.categories_min_count < 1) f->options.categories_min_count = 1;
    if (f->options.categories_max < 1) f->options.categories_max = 20000; /* of models before there was such a limit */
    if (schema_categories_decode(json, "categories", f) != 0 || (f->constant && f->categories_count != 1)) return -1;
    return f->options.encode == SCHEMA_ENCODE_TARGET ? schema_means_decode(json_object_get(json, "means"), f) : 0;
}

static int32_t indices(const struct schema_feature *f, const char **meaning) {
    *meaning = "categories, and 0 means an unknown one";
    return f->options.encode == SCHEMA_ENCODE_EMBEDDING ? f->categories_count + 1 : 0;
}

/* A column whose values hardly ever repeat identifies rows, not classes. */
static const char *left_out(const struct schema_dataset *d, const struct schema_column *c, char *text, size_t size) {
    if (c->categories_count <= 50 || (int64_t)c->categories_count * 2 <= d->rows - c->missing) return NULL;
    snprintf(text, size, "%d distinct texts in %lld rows look like an identifier; name it in features to use it", c->categories_count,
             (long long)d->rows);
    return text;
}

/* ---- predictions ---- */

static int read_cell(struct schema_predictor *p, int32_t i, const json_t *json, const char *pointer, struct schema_problems *problems) {
    char got[80], number[40];
    if (json_is_string(json)) {
        if (json_string_length(json) > 0) schema_predictor_category(p, i, json_string_value(json), json_string_length(json));
        return 0;
    }
    if (json_is_number(json) || json_is_boolean(json)) {
        if (json_is_integer(json)) snprintf(number, sizeof number, "%" JSON_INTEGER_FORMAT, json_integer_value(json)); /* all its digits */
        const char *text = json_is_integer(json) ? number
                           : json_is_true(json)  ? "true"
                           : json_is_false(json) ? "false"
                                                 : schema_number_text(json_number_value(json), number, sizeof number);
        schema_predictor_category(p, i, text, strlen(text));
        return 0;
    }
    return schema_problem_add(problems, pointer, "column \"%.60s\" expects a text, got %s", p->preprocessing->features[i].name,
                              schema_json_text(json, got, sizeof got));
}

static bool scan_cell(struct schema_scan *s, int32_t i) {
    const char *text;
    size_t size;
    if (!schema_scan_string(s, &text, &size) || size == 0) return false;
    schema_predictor_category(s->p, i, text, size);
    return true;
}

static bool take_cell(struct schema_predictor *p, int32_t i, const struct schema_cell *cell) {
    if (cell->kind == CELL_ARRAY) return false;
    if (cell->size > 0) schema_predictor_category(p, i, cell->text, cell->size);
    return true;
}

/* ---- stored columns ---- */

static json_t *cell_json(const struct schema_dataset *dataset, int32_t column, int64_t row) {
    const int32_t code = schema_dataset_code(dataset, column, row);
    return code < 0 ? json_null() : schema_show_text(dataset->columns[column].categories[code].value);
}

static bool write_cell(struct schema_rows *r, const struct rows_column *c) {
    const int32_t code = c->codes[schema_rows_place(r)];
    if (code >= 0) schema_rows_category(r, c, code);
    else schema_rows_missing(r);
    return true;
}

/* ---- uploads ---- */

static bool fits(const struct schema_ingest *ingest, struct ingest_column *c, struct ingest_values *v) {
    (void)ingest, (void)v;
    return schema_ingest_are_codes(c) || c->sample_texts || (c->sample_numbers && c->sample_booleans);
}

static int store(struct schema_ingest *ingest, struct ingest_column *c, const struct schema_cell *cell, struct schema_problems *problems) {
    uint32_t *slot = &c->codes[ingest->group_row];
    *slot = 0;
    if (cell->kind == CELL_MISSING || cell->size == 0) return 0;
    if (cell->kind == CELL_ARRAY) return schema_ingest_misfit(ingest, cell, "a text or number", problems);
    if (cell->size <= 7 && schema_cell_is_missing(cell->text, cell->size)) c->kept++;
    const int32_t code = schema_ingest_category(ingest, cell, problems);
    if (code < 0) return -1;
    *slot = (uint32_t)code + 1;
    return 0;
}

static int32_t join(struct schema_ingest *ingest, int32_t column, const struct schema_column *from, int32_t code, struct schema_problems *problems) {
    const struct schema_category *category = &from->categories[code];
    const struct schema_cell cell = {.kind = CELL_TEXT, .column = column, .text = category->value, .size = strlen(category->value)};
    const int32_t joined = schema_ingest_category(ingest, &cell, problems);
    if (joined >= 0 && schema_cell_is_missing(cell.text, cell.size)) ingest->columns[column].kept += category->count;
    return joined;
}

/* "3,14" is a number to half of Europe. */
static bool decimal_comma(const char *text) {
    const char *comma = strchr(text, ',');
    size_t size = strlen(text);
    if (!comma || strchr(comma + 1, ',') || size > 30) return false;
    char copy[32];
    double number;
    memcpy(copy, text, size);
    copy[comma - text] = '.';
    return schema_number_cell(copy, size, &number);
}

/* A text within an object within the details; "" when it is not there. */
static const char *detail(const json_t *details, const char *object, const char *name) {
    const char *text = json_string_value(json_object_get(json_object_get(details, object), name));
    return text ? text : "";
}

/* Numbers that are categories because they are written in several ways. */
static void review_spelling(struct schema_ingest *ingest, const struct ingest_column *c) {
    const struct ingest_spelling *s = &c->spelling;
    char what[300];
    if (schema_ingest_review_codes(ingest, c) || !schema_ingest_guessed(c)) return;
    if (!s->written || s->written != c->sample_texts || c->sample_booleans) return;
    snprintf(what, sizeof what, "is inferred as categorical: its values are numbers, but not all written in one way (\"%s\")", s->shown);
    schema_ingest_advise(ingest, c, "numeric", "after writing them in one way", what);
}

static void review(struct schema_ingest *ingest, const struct ingest_column *c) {
    char name[64];
    schema_ingest_short(c->name, c->name_size, name);
    int64_t present = ingest->rows - c->missing;
    if (c->kept)
        schema_ingest_warn(ingest,
                           "column \"%s\": %lld cells such as NA, NaN or ? are kept as categories, because the column holds text; leave such cells "
                           "empty if they are missing",
                           name, (long long)c->kept);
    if (!c->given && c->sample_numbers > c->sample_texts + c->sample_booleans && c->sample_texts + c->sample_booleans > 0)
        schema_ingest_warn(ingest, "column \"%s\" is inferred as categorical: most of its values are numbers, but not all (\"%s\")", name, c->odd);
    const bool comma = strcmp(detail(ingest->details, "csv", "decimal"), ",") == 0;
    if (!comma && c->dictionary.count > 0 && decimal_comma(schema_dictionary_value(&c->dictionary, 0)))
        schema_ingest_warn(ingest, "column \"%s\" is inferred as categorical: its numbers seem to have a decimal comma (\"%s\"); write a point%s",
                           name, schema_dictionary_value(&c->dictionary, 0), ingest->details ? ", or send the file again with decimal=comma" : "");
    else review_spelling(ingest, c);
    if (schema_ingest_review_dates(ingest, c)) return;
    if (present > INGEST_IDENTIFIER_ROWS && c->dictionary.count == present)
        schema_ingest_warn(ingest, "column \"%s\" looks like an identifier: all its %lld values are distinct; leave it out of the features", name,
                           (long long)present);
    else if (c->dictionary.count == 1 && ingest->rows > 1) schema_ingest_warn(ingest, "column \"%s\" is constant", name);
}

/* ---- the type ---- */

const struct schema_type_ops schema_type_categorical = {
    .name = "categorical",
    .summary = "One of a set of texts",
    .storage = SCHEMA_HELD_AS_CODE,
    .kinds = BLOCKS(NONE) | BLOCKS(U8) | BLOCKS(U16) | BLOCKS(U32),
    .categories_max = INT32_MAX,
    .serves = 1u << SCHEMA_TEXT, /* few rows may make categories of what many make texts of */
    .describe = schema_show_categories,
    .cell_json = cell_json,
    .write = write_cell,
    .category = schema_column_category,

    .fits = fits,
    .reason = schema_ingest_reason_codes,
    .store = store,
    .count = schema_ingest_count_codes,
    .categories = schema_ingest_categories,
    .category_text = schema_ingest_category_text,
    .join = join,
    .copy = schema_ingest_copy_codes,
    .review = review,

    .value = SCHEMA_VALUE_CATEGORY,
    .options = 1u << SCHEMA_OPTION_missing | 1u << SCHEMA_OPTION_encode | 1u << SCHEMA_OPTION_unseen | 1u << SCHEMA_OPTION_categories_max |
               1u << SCHEMA_OPTION_categories_min_count | 1u << SCHEMA_OPTION_smoothing,
    .missing = 1u << SCHEMA_MISSING_AUTO | 1u << SCHEMA_MISSING_BUCKET | 1u << SCHEMA_MISSING_DROP | 1u << SCHEMA_MISSING_ERROR,
    .encodes = 1u << SCHEMA_ENCODE_ONE_HOT | 1u << SCHEMA_ENCODE_ORDINAL | 1u << SCHEMA_ENCODE_EMBEDDING | 1u << SCHEMA_ENCODE_TARGET |
               1u << SCHEMA_ENCODE_COMPACT,
    .missing_auto = SCHEMA_MISSING_BUCKET,
    .fit = fit,
    .width = width,
    .apart = apart,
    .transform = transform,
    .put = schema_stretch_categories,
    .encode = encode,
    .decode = decode,
    .indices = indices,
    .left_out = left_out,

    .read = read_cell,
    .scan = scan_cell,
    .take = take_cell,
    .replacement = "it is treated as an unknown category",

    .target = SCHEMA_TARGET_CLASS,
};

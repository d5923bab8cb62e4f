/* numeric.c - the column type "numeric": numbers. Sections: features, predictions, stored columns, uploads, the type. */
#include "schema/dataset/cell.h"
#include "schema/dataset/column_file.h"
#include "schema/dataset/json.h"
#include "schema/dataset/row_writer.h"
#include "schema/ingest/sink.h"
#include "schema/json/values.h"
#include "schema/predict/scan.h"
#include "schema/preprocessing/feature.h"
#include "schema/text/number.h"
#include "schema/text/number_format.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- features ---- */

static int32_t width(const struct schema_feature *f) {
    return 1 + f->indicator;
}

static int32_t numbers(const struct schema_feature *f) {
    (void)f;
    return 1;
}

static void transform(const struct schema_preprocessing *p, const struct schema_feature *f, const struct schema_feature_value *cell, float *out) {
    const double v = cell->kind == SCHEMA_VALUE_NUMBER ? cell->number : (double)NAN;
    (void)p;
    schema_scale_many(f, &v, 1, out, 0);
}

/* ---- predictions ---- */

static int read_cell(struct schema_predictor *p, int32_t i, const json_t *json, const char *pointer, struct schema_problems *problems) {
    const struct schema_feature *f = &p->preprocessing->features[i];
    struct schema_feature_value *cell = &p->cells[i];
    const char *text = json_string_value(json);
    char got[80];
    if (text && schema_cell_is_missing(text, strlen(text))) return 0;
    if (text ? !schema_number_read_as(f->format, text, strlen(text), &cell->number) : !json_is_number(json))
        return schema_problem_add(problems, pointer, "column \"%.60s\" expects a number%s%s, got %s", f->name,
                                  f->format ? ", plain or of the format " : "", f->format ? f->format : "", schema_json_text(json, got, sizeof got));
    cell->kind = SCHEMA_VALUE_NUMBER;
    if (!text) cell->number = json_number_value(json);
    return 0;
}

static bool scan_cell(struct schema_scan *s, int32_t i) {
    s->p->cells[i].kind = SCHEMA_VALUE_NUMBER;
    return schema_scan_number(s, &s->p->cells[i].number);
}

static bool take_cell(struct schema_predictor *p, int32_t i, const struct schema_cell *cell) {
    const bool text = cell->kind == CELL_TEXT || cell->kind == CELL_STRING;
    double number = cell->number;
    if (text && schema_cell_is_missing(cell->text, cell->size)) return true;
    if (text ? !schema_number_read_as(p->preprocessing->features[i].format, cell->text, cell->size, &number) : cell->kind != CELL_NUMBER)
        return false;
    p->cells[i].kind = SCHEMA_VALUE_NUMBER;
    p->cells[i].number = number;
    return true;
}

/* ---- stored columns ---- */

static void describe(const struct schema_column *c, json_t *object) {
    json_object_set_new(object, "min", schema_show_number(c->min));
    json_object_set_new(object, "max", schema_show_number(c->max));
    json_object_set_new(object, "mean", schema_show_number(c->mean));
    json_object_set_new(object, "std", schema_show_number(c->std));
    if (c->format) json_object_set_new(object, "format", schema_show_text(c->format));
}

static json_t *cell_json(const struct schema_dataset *dataset, int32_t column, int64_t row) {
    return schema_show_number(schema_dataset_number(dataset, column, row));
}

/* In CSV a number of a column whose thousands are in groups by points is not to look like one of these: 2.345 becomes 2.3450. */
static void write_number(struct schema_rows *r, const struct schema_column *column, double number) {
    const size_t before = r->piece.size;
    schema_piece_number(&r->piece, number);
    if (!column->format || r->format != SCHEMA_ROWS_CSV || r->piece.failed || !strstr(column->format, "thousands_point")) return;
    const char *text = r->piece.bytes + before;
    const size_t size = r->piece.size - before, sign = *text == '-', point = strcspn(text, ".");
    if (size > 4 && point == size - 4 && point - sign <= 3) schema_piece_byte(&r->piece, '0');
}

static bool write_cell(struct schema_rows *r, const struct rows_column *c) {
    const double number = c->numbers[schema_rows_place(r)];
    if (isfinite(number)) write_number(r, c->column, number);
    else schema_rows_missing(r);
    return true;
}

/* ---- uploads ---- */

/* Numbers that are written in one way that is not plain: then that is the column's format. */
static bool find_format(const struct schema_ingest *ingest, struct ingest_column *c) {
    const char *decimal = json_string_value(json_object_get(json_object_get(ingest->details, "csv"), "decimal"));
    const bool commas = c->given || (decimal && *decimal == ',');
    struct schema_number_format format;
    if (!schema_spelling_format(&c->spelling, c->sample_numbers, commas, &format)) return c->spelling.written == 0;
    c->number_format = format;
    schema_number_format_text(&format, c->format_found);
    return true;
}

/* Numbers, and a few texts that stand for a missing one: "k.A.", "unknown". More than this many distinct numbers distinguish it from classes with
 * numbers for names. */
static bool are_numbers(const struct ingest_column *c, const struct ingest_values *v) {
    return schema_ingest_may_be_numbers(c) && !v->many && v->numbers.count > INGEST_ABSENT_NUMBERS;
}

static bool fits(const struct schema_ingest *ingest, struct ingest_column *c, struct ingest_values *v) {
    if (c->spelling.written && c->spelling.written == c->sample_texts && !c->sample_booleans && !schema_spelling_codes(&c->spelling) &&
        find_format(ingest, c))
        return true;
    if (are_numbers(c, v) && find_format(ingest, c)) {
        c->absents = v->texts;
        v->texts = (struct schema_dictionary){0};
        return true;
    }
    if (c->sample_texts || c->sample_booleans || schema_ingest_are_codes(c)) return false;
    (void)find_format(ingest, c);
    return true;
}

/* The format that the user gives, or that was found out. */
static int complete(struct schema_ingest *ingest, int32_t column, struct schema_problems *problems) {
    struct ingest_column *c = &ingest->columns[column];
    (void)problems;
    if (c->declared && !c->given) return 0;
    if (c->given && c->given->format) {
        c->format = c->given->format;
        if (schema_number_format_parse(c->format, &c->number_format)) c->format = schema_number_format_text(&c->number_format, c->format_found);
    } else if (c->given) (void)find_format(ingest, c);
    if (!c->format && *c->format_found) c->format = c->format_found;
    if (c->format && !*c->format) c->format = NULL;
    return 0;
}

static int check_format(const char *format, const char *pointer, struct schema_problems *problems) {
    char shown[64];
    struct schema_number_format numbers;
    if (schema_number_format_parse(format, &numbers)) return 0;
    return schema_problem_add(problems, pointer,
                              "\"%s\" is not a number format; the formats are plain, thousands_comma, thousands_point, thousands_space, "
                              "thousands_apostrophe, decimal_comma, percent, accounting, currency=EUR",
                              schema_ingest_short(format, strlen(format), shown));
}

static bool reason(const struct ingest_column *c, char *text, size_t size) {
    const long long numbers = (long long)c->sample_numbers, texts = (long long)c->sample_texts, booleans = (long long)c->sample_booleans;
    const struct ingest_spelling *s = &c->spelling;
    if (c->absents.count)
        snprintf(text, size, "%lld cells are numbers, the other %lld are treated as missing, the first being \"%s\"", numbers + (long long)s->written,
                 texts - (long long)s->written + booleans, c->odd);
    else if (c->format && s->written)
        snprintf(text, size, "all %lld cells are numbers of the format %s, such as \"%s\"", numbers + texts, c->format, s->shown);
    return c->absents.count || (c->format && s->written);
}

/* Counts a value that is another one as a number. The zeros of a column that was given as numbers are not missed. */
static void note_loss(struct ingest_column *c, const char *text, size_t size) {
    const enum schema_number_loss loss = schema_number_loss(text, size);
    if (loss == SCHEMA_LOSS_NONE || (loss == SCHEMA_LOSS_ZEROS && c->given)) return;
    if (c->lost++ == 0) schema_ingest_short(text, size, c->first_lost);
}

static int store(struct schema_ingest *ingest, struct ingest_column *c, const struct schema_cell *cell, struct schema_problems *problems) {
    double number = NAN;
    bool fits = true;
    switch (cell->kind) {
    case CELL_MISSING: break;
    case CELL_NUMBER:
        number = cell->number;
        note_loss(c, cell->text, cell->size);
        break;
    case CELL_TEXT:
    case CELL_STRING:
        if (schema_cell_is_missing(cell->text, cell->size)) break;
        fits = schema_number_read(&c->number_format, cell->text, cell->size, &number);
        if (fits) note_loss(c, cell->text, cell->size);
        __attribute__((fallthrough));
    case CELL_BOOLEAN:
        if (cell->kind == CELL_BOOLEAN) fits = false;
        if (!fits && c->absents.count && schema_dictionary_find(&c->absents, cell->text, cell->size) >= 0) {
            c->absents_seen++;
            fits = true;
            number = NAN;
        }
        break;
    default: fits = false;
    }
    c->numbers[ingest->group_row] = fits ? number : NAN;
    char expected[160];
    if (fits) return 0;
    snprintf(expected, sizeof expected, c->format ? "a number, plain or of the format \"%s\"" : "a number", c->format);
    return schema_ingest_misfit(ingest, cell, expected, problems);
}

/* A format under which a text that does not fit is a number. */
static bool format_of(const struct ingest_column *c, const struct ingest_spelling *alone, char *text) {
    struct schema_number_format format;
    (void)c;
    return alone->written && schema_spelling_format(alone, 0, true, &format) && *schema_number_format_text(&format, text);
}

static void count(struct schema_ingest *ingest, struct ingest_column *c, uint64_t first, int64_t from, int64_t rows) {
    schema_ingest_count_numbers(ingest, c, first, from, rows);
    schema_ingest_trace_numbers(c, from, rows, ingest->weights);
}

static void review_number(struct schema_ingest *ingest, const struct ingest_column *c) {
    const struct ingest_spelling *s = &c->spelling;
    char what[300], shown[40];
    double number = 0;
    if (c->format && s->written && schema_number_read(&c->number_format, s->shown, strlen(s->shown), &number)) {
        const bool either =
            c->number_format.marks == SCHEMA_MARKS_COMMA_POINT && c->number_format.grouped && !(s->not_marks >> SCHEMA_MARKS_POINT_COMMA & 1);
        snprintf(what, sizeof what, "holds numbers of the format %s: \"%s\" is read as %s", c->format, s->shown,
                 schema_number_text(number, shown, sizeof shown));
        if (either) schema_ingest_advise(ingest, c, "numeric:decimal_comma", "if the comma is a decimal mark", what);
        else schema_ingest_advise(ingest, c, "categorical", "to keep the texts", what);
    }
    if (s->strings) {
        snprintf(what, sizeof what, "holds numbers in quotes (\"%s\"), which are read as numbers", s->string);
        schema_ingest_advise(ingest, c, "categorical", "to keep them as texts", what);
    }
}

static void review(struct schema_ingest *ingest, const struct ingest_column *c) {
    char what[300];
    if (c->lost) {
        snprintf(what, sizeof what, "loses digits: %lld values such as \"%s\" do not fit a number of 53 bits", (long long)c->lost, c->first_lost);
        schema_ingest_advise(ingest, c, "categorical", "if they are identifiers", what);
    }
    if (schema_ingest_guessed(c)) review_number(ingest, c);
}

/* ---- the type ---- */

const struct schema_type_ops schema_type_numeric = {
    .name = "numeric",
    .summary = "Numbers, scaled",
    .storage = SCHEMA_HELD_AS_NUMBER,
    .kinds = BLOCKS_OF_NUMBERS,
    .has_format = true,
    .counts_distinct = true,
    .is_of_empty = true,
    .serves = 1u << SCHEMA_DATETIME, /* seconds are times */
    .describe = describe,
    .cell_json = cell_json,
    .write = write_cell,

    .plain_numbers = true,
    .fits = fits,
    .complete = complete,
    .check_format = check_format,
    .reason = reason,
    .store = store,
    .format_of = format_of,
    .count = count,
    .copy = schema_ingest_copy_numbers,
    .review = review,
    .constant = schema_ingest_constant,

    .value = SCHEMA_VALUE_NUMBER,
    .options = 1u << SCHEMA_OPTION_missing | 1u << SCHEMA_OPTION_scale | 1u << SCHEMA_OPTION_clip,
    .missing = 1u << SCHEMA_MISSING_AUTO | 1u << SCHEMA_MISSING_MEAN | 1u << SCHEMA_MISSING_MEDIAN | 1u << SCHEMA_MISSING_CONSTANT |
               1u << SCHEMA_MISSING_INDICATOR | 1u << SCHEMA_MISSING_DROP | 1u << SCHEMA_MISSING_ERROR,
    .scales = 1u << SCHEMA_SCALE_STANDARD | 1u << SCHEMA_SCALE_MINMAX | 1u << SCHEMA_SCALE_ROBUST | 1u << SCHEMA_SCALE_QUANTILE |
              1u << SCHEMA_SCALE_LOG | 1u << SCHEMA_SCALE_NONE,
    .missing_auto = SCHEMA_MISSING_MEAN,
    .moments = true,
    .quantity = true,
    .fit = schema_feature_fit_numbers,
    .width = width,
    .numbers = numbers,
    .transform = transform,
    .put = schema_stretch_numbers,
    .encode = schema_scale_encode,
    .decode = schema_scale_decode,

    .read = read_cell,
    .scan = scan_cell,
    .take = take_cell,

    .target = SCHEMA_TARGET_NUMBER,
};

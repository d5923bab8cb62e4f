/* datetime.c - the column type "datetime": dates and times, held as seconds since 1970-01-01 in UTC. Sections: features, predictions, stored columns,
 * uploads, the type. */
#include "schema/text/datetime.h"
#include "schema/dataset/cell.h"
#include "schema/dataset/column_file.h"
#include "schema/dataset/json.h"
#include "schema/dataset/row_writer.h"
#include "schema/ingest/sink.h"
#include "schema/json/values.h"
#include "schema/predict/scan.h"
#include "schema/preprocessing/feature.h"
#include "schema/text/number.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- features ---- */

static int fit(struct schema_preprocessing *p, struct schema_feature *f, const struct schema_fit *from, int32_t column, struct bp_error *error) {
    double *values;
    (void)p;
    if (schema_feature_values(from, column, &values, error) != 0) return -1;
    const int failed = schema_times_fit(f, values, from->n, error);
    free(values);
    return failed;
}

static int32_t numbers(const struct schema_feature *f) {
    return f->options.parts >> SCHEMA_PART_TIME & 1;
}

static void transform(const struct schema_preprocessing *p, const struct schema_feature *f, const struct schema_feature_value *cell, float *out) {
    (void)p;
    schema_time_apply(f, cell, out);
}

static void encode(const struct schema_feature *f, json_t *json) {
    schema_option_put(f, SCHEMA_OPTION_parts, json);
    schema_scale_encode(f, json);
}

static int decode(const json_t *json, struct schema_feature *f) {
    return f->options.parts ? schema_scale_decode(json, f) : -1;
}

/* ---- predictions ---- */

static int read_cell(struct schema_predictor *p, int32_t i, const json_t *json, const char *pointer, struct schema_problems *problems) {
    const struct schema_feature *f = &p->preprocessing->features[i];
    const char *text = json_string_value(json);
    double seconds = json_is_number(json) ? json_number_value(json) : NAN;
    char got[80];
    if (text && schema_cell_is_missing(text, strlen(text))) return 0;
    if (text) schema_datetime_parse_as(f->format, text, strlen(text), &seconds);
    else if (f->format && json_is_integer(json) && schema_datetime_format_digits(f->format)) {
        seconds = (double)NAN; /* 20231231 is a text of its format */
        snprintf(got, sizeof got, "%" JSON_INTEGER_FORMAT, json_integer_value(json));
        schema_datetime_parse_as(f->format, got, strlen(got), &seconds);
    }
    if (!schema_datetime_holds(seconds))
        return schema_problem_add(problems, pointer, "column \"%.60s\" expects a date or time like %s%s%s, or seconds since 1970, got %s", f->name,
                                  f->format ? "\"" : "", f->format ? f->format : "\"2024-01-31\" or \"2024-01-31T12:00:00Z\"", f->format ? "\"" : "",
                                  schema_json_text(json, got, sizeof got));
    p->cells[i].kind = SCHEMA_VALUE_NUMBER;
    p->cells[i].number = seconds;
    return 0;
}

static bool scan_cell(struct schema_scan *s, int32_t i) {
    const struct schema_feature *f = &s->p->preprocessing->features[i];
    struct schema_feature_value *cell = &s->p->cells[i];
    const char *text;
    size_t size;
    cell->kind = SCHEMA_VALUE_NUMBER;
    if (*s->at != '"' && f->format) return false; /* digits of a date, or seconds */
    if (*s->at != '"') return schema_scan_number(s, &cell->number) && schema_datetime_holds(cell->number);
    if (!schema_scan_string(s, &text, &size) || size == 0 || schema_cell_is_missing(text, size)) return false;
    return schema_datetime_parse_as(f->format, text, size, &cell->number);
}

static void show(double v, char *text) {
    if (schema_datetime_holds(v)) schema_datetime_text(v, false, text);
    else snprintf(text, SCHEMA_DATETIME_TEXT, "%.9g", v);
}

static bool take_cell(struct schema_predictor *p, int32_t i, const struct schema_cell *cell) {
    const char *format = p->preprocessing->features[i].format;
    const bool text = cell->kind == CELL_TEXT || cell->kind == CELL_STRING;
    double seconds = NAN;
    if (text && schema_cell_is_missing(cell->text, cell->size)) return true;
    if (!text) return false;
    if (!schema_datetime_parse_as(format, cell->text, cell->size, &seconds) && !format) (void)schema_number_cell(cell->text, cell->size, &seconds);
    if (!schema_datetime_holds(seconds)) return false;
    p->cells[i].kind = SCHEMA_VALUE_NUMBER;
    p->cells[i].number = seconds;
    return true;
}

/* ---- stored columns ---- */

static bool days(const struct schema_column *c) {
    return c->days;
}

static void set_days(struct schema_column *c, bool flag) {
    c->days = flag;
}

static json_t *datetime_json(const struct schema_column *c, double seconds) {
    char text[SCHEMA_DATETIME_TEXT];
    return *schema_datetime_text(seconds, c->days, text) ? json_string(text) : json_null();
}

static void describe(const struct schema_column *c, json_t *object) {
    json_object_set_new(object, "min", datetime_json(c, c->min));
    json_object_set_new(object, "max", datetime_json(c, c->max));
    json_object_set_new(object, "mean", datetime_json(c, c->mean));
    if (c->format) json_object_set_new(object, "format", schema_show_text(c->format));
}

static json_t *cell_json(const struct schema_dataset *dataset, int32_t column, int64_t row) {
    return datetime_json(&dataset->columns[column], schema_dataset_number(dataset, column, row));
}

static bool write_cell(struct schema_rows *r, const struct rows_column *c) {
    char text[SCHEMA_DATETIME_TEXT];
    const double seconds = c->numbers[schema_rows_place(r)];
    if (!isfinite(seconds)) return schema_rows_missing(r), true;
    schema_datetime_text(seconds, c->column->days, text);
    schema_rows_text(r, text, strlen(text));
    return true;
}

/* ---- uploads ---- */

static bool recognize(const char *text, size_t size) {
    double seconds;
    return schema_datetime_parse(text, size, &seconds);
}

/* Dates alone; those of eight digits, and those that fit one format and no other, have it then. */
static bool are_dates(struct ingest_column *c) {
    char other[SCHEMA_DATETIME_TEXT], found[SCHEMA_DATETIME_TEXT];
    if (c->sample_booleans || c->sample_arrays || (c->sample_texts && c->sample_numbers)) return false;
    if (c->sample_texts && c->sample_of[SCHEMA_DATETIME] == c->sample_texts) return true;
    if (c->sample_numbers && c->spelling.eights == c->sample_numbers) snprintf(found, sizeof found, "%%Y%%m%%d");
    else if (!c->sample_texts || !schema_datetime_form(&c->spelling.forms, 0, found) || schema_datetime_form(&c->spelling.forms, 1, other))
        return false;
    memcpy(c->format_found, found, sizeof found);
    return true;
}

static bool fits(const struct schema_ingest *ingest, struct ingest_column *c, struct ingest_values *v) {
    (void)ingest, (void)v;
    return are_dates(c);
}

/* The format that the user gives, or that was found out. */
static int complete(struct schema_ingest *ingest, int32_t column, struct schema_problems *problems) {
    struct ingest_column *c = &ingest->columns[column];
    (void)problems;
    if (c->declared && !c->given) return 0;
    if (c->given && c->given->format) c->format = c->given->format;
    else if (c->given && !ingest->options.types_stand) (void)are_dates(c);
    if (!c->format && *c->format_found) c->format = c->format_found;
    if (c->format && !*c->format) c->format = NULL;
    return 0;
}

static int check_format(const char *format, const char *pointer, struct schema_problems *problems) {
    char shown[64];
    if (schema_datetime_format_good(format)) return 0;
    return schema_problem_add(problems, pointer, "the format \"%s\" must have year, month and day in strptime notation, like %%d/%%m/%%Y %%H:%%M",
                              schema_ingest_short(format, strlen(format), shown));
}

static bool reason(const struct ingest_column *c, char *text, size_t size) {
    const long long cells = (long long)c->sample_numbers + (long long)c->sample_texts;
    if (c->format) snprintf(text, size, "all %lld cells are dates of the format %s", cells, c->format);
    else if (c->sample_texts) snprintf(text, size, "all %lld cells are dates, the first being \"%s\"", cells, c->odd);
    return c->format || c->sample_texts;
}

/* Numbers are seconds since 1970. */
static int store(struct schema_ingest *ingest, struct ingest_column *c, const struct schema_cell *cell, struct schema_problems *problems) {
    const bool text = cell->kind == CELL_TEXT || cell->kind == CELL_STRING;
    double seconds = NAN;
    c->numbers[ingest->group_row] = NAN;
    if (cell->kind == CELL_MISSING || (text && schema_cell_is_missing(cell->text, cell->size))) return 0;
    if (cell->kind == CELL_NUMBER && c->given && !c->format) seconds = cell->number;
    else if ((text || cell->kind == CELL_NUMBER) && !schema_datetime_parse_as(c->format, cell->text, cell->size, &seconds) && !c->format &&
             c->given && text)
        (void)schema_number_cell(cell->text, cell->size, &seconds);
    c->numbers[ingest->group_row] = seconds;
    if (schema_datetime_holds(seconds)) return 0;
    char expected[160];
    if (c->format) snprintf(expected, sizeof expected, "a date or time like \"%s\"", c->format);
    else snprintf(expected, sizeof expected, "a date or time like 2024-01-31 or 2024-01-31T12:00:00Z, or seconds since 1970");
    return schema_ingest_misfit(ingest, cell, expected, problems);
}

/* A format under which a text that does not fit is a date: that of the sample, if it is. */
static bool format_of(const struct ingest_column *c, const struct ingest_spelling *alone, char *text) {
    if (!schema_datetime_form(&alone->forms, 0, text)) return false;
    if (!c->spelling.forms.days || !schema_datetime_form(&c->spelling.forms, 0, text)) (void)schema_datetime_form(&alone->forms, 0, text);
    return true;
}

static void count_clocks(struct ingest_column *c, int64_t from, int64_t rows) {
    for (int64_t i = from; i < rows && !c->clock; i++) c->clock = !isnan(c->numbers[i]) && fmod(c->numbers[i], 86400) != 0;
}

static void count(struct schema_ingest *ingest, struct ingest_column *c, uint64_t first, int64_t from, int64_t rows) {
    schema_ingest_count_numbers(ingest, c, first, from, rows);
    count_clocks(c, from, rows);
}

static void finish(const struct ingest_column *c, struct schema_column *out) {
    out->days = !c->clock;
}

static void review(struct schema_ingest *ingest, const struct ingest_column *c) {
    char what[300];
    if (!schema_ingest_guessed(c) || !c->format) return;
    snprintf(what, sizeof what, "holds dates of the format %s", c->format);
    schema_ingest_advise(ingest, c, c->sample_texts ? "categorical" : "numeric", c->sample_texts ? "to keep the texts" : "if they are numbers", what);
}

/* ---- the type ---- */

const struct schema_type_ops schema_type_datetime = {
    .name = "datetime",
    .summary = "Dates and times, as a number and as positions in the year, the week and the day",
    .storage = SCHEMA_HELD_AS_NUMBER,
    .kinds = BLOCKS_OF_NUMBERS,
    .has_format = true,
    .flag = days,
    .set_flag = set_days,
    .describe = describe,
    .cell_json = cell_json,
    .write = write_cell,

    .recognize = recognize,
    .fits = fits,
    .complete = complete,
    .check_format = check_format,
    .reason = reason,
    .store = store,
    .format_of = format_of,
    .count = count,
    .finish = finish,
    .copy = schema_ingest_copy_numbers,
    .review = review,
    .constant = schema_ingest_constant,

    .value = SCHEMA_VALUE_NUMBER,
    .options = 1u << SCHEMA_OPTION_missing | 1u << SCHEMA_OPTION_clip | 1u << SCHEMA_OPTION_parts,
    .missing = 1u << SCHEMA_MISSING_AUTO | 1u << SCHEMA_MISSING_MEAN | 1u << SCHEMA_MISSING_INDICATOR | 1u << SCHEMA_MISSING_DROP |
               1u << SCHEMA_MISSING_ERROR,
    .missing_auto = SCHEMA_MISSING_MEAN,
    .fit = fit,
    .width = schema_time_width,
    .numbers = numbers,
    .transform = transform,
    .put = schema_stretch_numbers,
    .encode = encode,
    .decode = decode,

    .read = read_cell,
    .scan = scan_cell,
    .take = take_cell,
    .show = show,

    .target = SCHEMA_TARGET_NONE,
    .not_target = "numeric, such as days or seconds,",
};

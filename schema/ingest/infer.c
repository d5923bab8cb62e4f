/* infer.c - settles the type of every column from the first megabyte and the user's word. */
#include "schema/ingest/sink.h"
#include "schema/text/number.h"
#include "schema/text/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the user's word ---- */

static const char *column_name(const void *ingest, int32_t i) {
    return ((const struct schema_ingest *)ingest)->columns[i].name;
}

/* An override that names no column. */
static void unknown_column(struct schema_ingest *ingest, const struct schema_column_type *type, bool in_body, struct schema_problems *problems) {
    const char *near =
        strlen(type->name) < 64 && ingest->columns_count < 10000 ? schema_nearest(type->name, column_name, ingest, ingest->columns_count) : NULL;
    char pointer[512] = "/types", shown[64], meant[96];
    schema_ingest_pointer(pointer, sizeof pointer, type->name, strlen(type->name));
    schema_problem_add(problems, in_body ? pointer : NULL, "types names a column \"%s\", which the data does not contain%s",
                       schema_ingest_short(type->name, strlen(type->name), shown), schema_did_you_mean(near, meant, sizeof meant));
}

static int apply(struct schema_ingest *ingest, const struct schema_column_type *types, int32_t count, bool in_body,
                 struct schema_problems *problems) {
    int failed = 0;
    for (int32_t i = 0; i < count; i++) {
        int32_t at = schema_dictionary_find(&ingest->names, types[i].name, strlen(types[i].name));
        if (at < 0 && !in_body && ingest->options.types_may_lack) continue;
        if (at < 0) {
            unknown_column(ingest, &types[i], in_body, problems);
            failed = -1;
        } else ingest->columns[at].given = &types[i];
    }
    return failed;
}

/* ---- the sample ---- */

enum { PROSE_CELLS = 10, PROSE_WORDS = 5, DISTINCT_CELLS = 1000, ABSENT_SHARE = 10, ABSENT_SIZE = 20, ABSENT_NUMBERS = 20 };

/* The different values of a column in the sample, as far as its type hangs on them. */
struct values {
    struct schema_dictionary texts, numbers; /* numbers: no more than ABSENT_NUMBERS + 1 */
    bool many;                               /* too many texts, or too long ones, to mean a missing number */
};

static bool is_prose(const struct ingest_column *c) {
    return c->sample_texts >= PROSE_CELLS && c->sample_words >= PROSE_WORDS * c->sample_texts;
}

/* Only texts, which may be sentences and not classes. */
static bool may_be_text(const struct ingest_column *c) {
    return c->sample_texts && !c->sample_numbers && !c->sample_booleans && !c->sample_arrays && c->spelling.resembling < c->sample_texts &&
           c->spelling.written < c->sample_texts && (is_prose(c) || c->sample_texts >= DISTINCT_CELLS);
}

/* Numbers of which the digits matter and not the value. */
static bool are_codes(const struct ingest_column *c) {
    return !c->sample_texts && !c->sample_booleans && !c->sample_arrays && schema_spelling_codes(&c->spelling) &&
           c->spelling.eights < c->sample_numbers;
}

/* Numbers, but for a few cells. */
static bool may_be_numbers(const struct ingest_column *c) {
    const int64_t numbers = c->sample_numbers + c->spelling.written, others = c->sample_texts - c->spelling.written + c->sample_booleans;
    return others && !c->sample_arrays && numbers > ABSENT_NUMBERS && numbers >= ABSENT_SHARE * others && !schema_spelling_codes(&c->spelling);
}

/* -1: no memory. */
static int take_value(struct values *v, const struct schema_cell *cell, bool mixed) {
    struct schema_number_spelling spelling;
    const bool is_number = mixed && cell->kind != CELL_BOOLEAN && schema_number_spell(cell->text, cell->size, &spelling);
    struct schema_dictionary *d = is_number ? &v->numbers : &v->texts;
    if (is_number ? d->count > ABSENT_NUMBERS : v->many) return 0;
    if (schema_dictionary_find(d, cell->text, cell->size) >= 0) return 0;
    v->many = mixed && !is_number && (d->count == INGEST_ABSENTS || cell->size > ABSENT_SIZE);
    return v->many || schema_dictionary_add(d, cell->text, cell->size, cell->text, cell->size) >= 0 ? 0 : -1;
}

/* One walk for all columns whose type hangs on their values. values: (columns). */
static int take_values(const struct schema_ingest *ingest, struct values *values) {
    struct schema_cell cell;
    for (size_t at = 0; schema_cells_next(&ingest->sample, &at, &cell);) {
        if (cell.kind == CELL_ROW || cell.kind == CELL_MISSING) continue;
        const struct ingest_column *c = &ingest->columns[cell.column];
        const bool mixed = may_be_numbers(c);
        if (c->given || c->declared || (!mixed && !may_be_text(c) && !are_codes(c)) || schema_cell_is_missing(cell.text, cell.size)) continue;
        if (take_value(&values[cell.column], &cell, mixed) != 0) return -1;
    }
    return 0;
}

/* Sentences, hardly any of them twice; or so many distinct texts that a dictionary of them would repeat the column. */
static bool is_text(const struct ingest_column *c, const struct values *v) {
    return may_be_text(c) && (is_prose(c) ? v->texts.count * 2 > c->sample_texts : v->texts.count == c->sample_texts);
}

/* Numbers, and a few texts that stand for a missing one: "k.A.", "unknown". More than this many distinct numbers distinguish it from classes with
 * numbers for names. */
static bool are_numbers(const struct ingest_column *c, const struct values *v) {
    return may_be_numbers(c) && !v->many && v->numbers.count > ABSENT_NUMBERS;
}

/* Dates alone; those of eight digits, and those that fit one format and no other, have it then. */
static bool are_dates(struct ingest_column *c) {
    char other[SCHEMA_DATETIME_TEXT], found[SCHEMA_DATETIME_TEXT];
    if (c->sample_booleans || c->sample_arrays || (c->sample_texts && c->sample_numbers)) return false;
    if (c->sample_texts && c->sample_dates == c->sample_texts) return true;
    if (c->sample_numbers && c->spelling.eights == c->sample_numbers) snprintf(found, sizeof found, "%%Y%%m%%d");
    else if (!c->sample_texts || !schema_datetime_form(&c->spelling.forms, 0, found) || schema_datetime_form(&c->spelling.forms, 1, other))
        return false;
    memcpy(c->format_found, found, sizeof found);
    return true;
}

/* Numbers that are written in one way that is not plain: then that is the column's format. */
static bool find_number_format(const struct schema_ingest *ingest, struct ingest_column *c) {
    const char *decimal = json_string_value(json_object_get(json_object_get(ingest->details, "csv"), "decimal"));
    const bool commas = c->given || (decimal && *decimal == ',');
    struct schema_number_format format;
    if (!schema_spelling_format(&c->spelling, c->sample_numbers, commas, &format)) return c->spelling.written == 0;
    c->number_format = format;
    schema_number_format_text(&format, c->format_found);
    return true;
}

/* Arrays that are mostly lists of texts, the empty ones apart; or texts of CSV that all are. */
static bool are_labels(const struct ingest_column *c) {
    const int64_t others = c->sample_arrays - c->sample_lists - c->sample_empty;
    if (c->sample_arrays) return c->sample_lists > others;
    return c->sample_lists && c->sample_lists + c->sample_empty == c->sample_texts && !c->sample_numbers && !c->sample_booleans;
}

static enum schema_type inferred(const struct schema_ingest *ingest, struct ingest_column *c, struct values *v) {
    if (are_labels(c)) return SCHEMA_LABELS;
    if (c->sample_arrays) return SCHEMA_TENSOR;
    if (are_dates(c)) return SCHEMA_DATETIME;
    if (is_text(c, v)) return SCHEMA_TEXT;
    if (are_codes(c)) /* as texts, if a dictionary of them would repeat the column */
        return c->sample_numbers >= DISTINCT_CELLS && v->texts.count * 2 > c->sample_numbers ? SCHEMA_TEXT : SCHEMA_CATEGORICAL;
    if (c->spelling.written && c->spelling.written == c->sample_texts && !c->sample_booleans && !schema_spelling_codes(&c->spelling) &&
        find_number_format(ingest, c))
        return SCHEMA_NUMERIC;
    if (are_numbers(c, v) && find_number_format(ingest, c)) {
        c->absents = v->texts;
        v->texts = (struct schema_dictionary){0};
        return SCHEMA_NUMERIC;
    }
    if (c->sample_texts || (c->sample_numbers && c->sample_booleans)) return SCHEMA_CATEGORICAL;
    if (c->sample_booleans) return SCHEMA_BOOLEAN;
    (void)find_number_format(ingest, c);
    return SCHEMA_NUMERIC;
}

/* The format that the user gives, or that was found out. */
static void settle_format(const struct schema_ingest *ingest, struct ingest_column *c) {
    if (c->given && c->given->format) {
        c->format = c->given->format;
        if (c->type == SCHEMA_NUMERIC && schema_number_format_parse(c->format, &c->number_format))
            c->format = schema_number_format_text(&c->number_format, c->format_found);
    } else if (c->given && c->type == SCHEMA_NUMERIC) (void)find_number_format(ingest, c);
    else if (c->given && c->type == SCHEMA_DATETIME && !ingest->options.types_stand) (void)are_dates(c);
    if (!c->format && *c->format_found && (c->type == SCHEMA_NUMERIC || c->type == SCHEMA_DATETIME)) c->format = c->format_found;
    if (c->format && !*c->format) c->format = NULL;
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
static int settle_shape(const struct schema_ingest *ingest, int32_t column, struct schema_problems *problems) {
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

static int infer_column(struct schema_ingest *ingest, int32_t i, struct values *values, struct schema_problems *problems) {
    struct ingest_column *c = &ingest->columns[i];
    if (c->declared && c->given && (c->given->type == SCHEMA_TENSOR) != (c->type == SCHEMA_TENSOR)) {
        char name[64];
        return schema_problem_add(problems, NULL, "column \"%s\" was given the type %s, but %s", schema_ingest_short(c->name, c->name_size, name),
                                  schema_type_name(c->given->type),
                                  c->type == SCHEMA_TENSOR ? "its cells are arrays: it is a tensor" : "its cells are single numbers");
    }
    c->type = c->given ? c->given->type : c->declared ? c->type : inferred(ingest, c, values);
    if (!c->declared || c->given) settle_format(ingest, c);
    return c->type == SCHEMA_TENSOR ? settle_shape(ingest, i, problems) : 0;
}

int schema_ingest_infer(struct schema_ingest *ingest, struct schema_problems *problems) {
    int failed = apply(ingest, ingest->options.types, ingest->options.types_count, false, problems);
    if (apply(ingest, ingest->types, ingest->types_count, true, problems)) failed = -1;
    struct values *values = calloc((size_t)ingest->columns_count + 1, sizeof *values);
    if (!values || take_values(ingest, values) != 0) failed = schema_ingest_no_memory(problems);
    for (int32_t i = 0; values && i < ingest->columns_count; i++) {
        if (infer_column(ingest, i, &values[i], problems) != 0) failed = -1;
        schema_dictionary_clear(&values[i].texts);
        schema_dictionary_clear(&values[i].numbers);
    }
    free(values);
    return failed;
}

void schema_ingest_reason(const struct schema_ingest *ingest, int32_t column, char *text, size_t size) {
    const struct ingest_column *c = &ingest->columns[column];
    const long long numbers = (long long)c->sample_numbers, texts = (long long)c->sample_texts, booleans = (long long)c->sample_booleans;
    const struct ingest_spelling *s = &c->spelling;
    if (c->given) snprintf(text, size, "set by types");
    else if (c->declared) snprintf(text, size, "the values of the array have this type");
    else if (c->type == SCHEMA_LABELS) snprintf(text, size, "%lld cells are lists of texts", (long long)(c->sample_lists + c->sample_empty));
    else if (c->sample_arrays) snprintf(text, size, "%lld cells are arrays", (long long)c->sample_arrays);
    else if (c->absents.count)
        snprintf(text, size, "%lld cells are numbers, the other %lld are treated as missing, the first being \"%s\"", numbers + (long long)s->written,
                 texts - (long long)s->written + booleans, c->odd);
    else if (c->type == SCHEMA_NUMERIC && c->format && s->written)
        snprintf(text, size, "all %lld cells are numbers of the format %s, such as \"%s\"", numbers + texts, c->format, s->shown);
    else if (c->type == SCHEMA_DATETIME && c->format) snprintf(text, size, "all %lld cells are dates of the format %s", numbers + texts, c->format);
    else if (numbers && !texts && !booleans && c->type != SCHEMA_NUMERIC)
        snprintf(text, size, "all %lld cells are numbers that would lose digits, such as \"%s\"", numbers, s->code);
    else if (texts && numbers) snprintf(text, size, "%lld cells are numbers, %lld are not, the first being \"%s\"", numbers, texts, c->odd);
    else if (texts && c->type == SCHEMA_DATETIME) snprintf(text, size, "all %lld cells are dates, the first being \"%s\"", texts, c->odd);
    else if (texts && c->type == SCHEMA_TEXT)
        snprintf(text, size, "%lld cells are text of %.1f words on average, and few repeat", texts, (double)c->sample_words / (double)texts);
    else if (texts) snprintf(text, size, "%lld cells are text, the first being \"%s\"", texts, c->odd);
    else if (numbers && booleans) snprintf(text, size, "%lld cells are numbers, %lld are true or false", numbers, booleans);
    else if (booleans) snprintf(text, size, "all %lld cells are true or false", booleans);
    else if (numbers) snprintf(text, size, "all %lld cells are numbers", numbers);
    else snprintf(text, size, "every cell is missing");
}

/* store.c - stores one cell of a typed column in the current row group, or reports why it does not fit. */
#include "schema/ingest/sink.h"
#include "schema/text/datetime.h"
#include "schema/text/number.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void schema_ingest_override(const struct schema_ingest *ingest, const struct ingest_column *c, const char *type, char *text, size_t size) {
    char name[64], escaped[200];
    size_t n = 0;
    schema_ingest_short(c->name, c->name_size, name);
    const char *quote = strpbrk(name, ",:\"") ? "\"" : "";
    for (const char *p = type; *p && n + 4 < sizeof escaped; p++) /* as it is written in a URL */
        n += (size_t)snprintf(escaped + n, 4, *p == '%' ? "%%25" : *p == ' ' ? "+" : "%c", *p);
    if (ingest->types_in_body) snprintf(text, size, "\"types\":{\"%s\":\"%s\"}", name, type);
    else snprintf(text, size, "types=%s%s%s:%s", quote, name, quote, escaped);
}

/* A type under which the cell fits: what it is written like, if that is known, else a category. */
static const char *type_that_fits(const struct ingest_column *c, const struct schema_cell *cell, char type[static 2 * SCHEMA_NUMBER_FORMAT_TEXT]) {
    struct ingest_spelling alone = {.forms = {UINT32_MAX, UINT32_MAX}};
    struct schema_number_format format;
    char text[SCHEMA_NUMBER_FORMAT_TEXT];
    if (cell->kind == CELL_ARRAY || cell->kind == CELL_BOOLEAN) return "categorical";
    schema_spelling_text(&alone, cell->text, cell->size, 0);
    if (c->type == SCHEMA_DATETIME && schema_datetime_form(&alone.forms, 0, text)) {
        if (c->spelling.forms.days && schema_datetime_form(&c->spelling.forms, 0, text)) alone.forms = c->spelling.forms;
        (void)schema_datetime_form(&alone.forms, 0, text);
    } else if (c->type != SCHEMA_NUMERIC || !alone.written || !schema_spelling_format(&alone, 0, true, &format) ||
               !*schema_number_format_text(&format, text))
        return "categorical";
    snprintf(type, 2 * SCHEMA_NUMBER_FORMAT_TEXT, "%s:%s", schema_type_name(c->type), text);
    return type;
}

static int misfit(struct schema_ingest *ingest, const struct schema_cell *cell, const char *expected, struct schema_problems *problems) {
    const struct ingest_column *c = &ingest->columns[cell->column];
    char hint[300], why[160], type[2 * SCHEMA_NUMBER_FORMAT_TEXT];
    schema_ingest_override(ingest, c, type_that_fits(c, cell, type), hint, sizeof hint);
    if (ingest->options.types_stand) snprintf(why, sizeof why, "the column of the dataset is %s", schema_type_name(c->type));
    else if (c->given) snprintf(why, sizeof why, "the column was given the type %s", schema_type_name(c->type));
    else
        snprintf(why, sizeof why, "the column was inferred as %s from the first %lld rows", schema_type_name(c->type),
                 (long long)ingest->sample_rows);
    if (cell->kind == CELL_ARRAY)
        return schema_ingest_problem(ingest, cell->column, cell->text, cell->size, problems,
                                     "expected %s, got an array; %s. In a tensor column every cell is an array of numbers of one shape, or missing",
                                     expected, why);
    if (ingest->options.types_stand)
        return schema_ingest_problem(ingest, cell->column, cell->text, cell->size, problems,
                                     "expected %s; %s. Correct the value, or leave it empty if it is missing", expected, why);
    return schema_ingest_problem(ingest, cell->column, cell->text, cell->size, problems,
                                 "expected %s; %s. Correct the value, leave it empty if it is missing, or send the data again with %s", expected, why,
                                 hint);
}

/* Counts a value that is another one as a number. The zeros of a column that was given as numbers are not missed. */
static void note_loss(struct ingest_column *c, const char *text, size_t size) {
    const enum schema_number_loss loss = schema_number_loss(text, size);
    if (loss == SCHEMA_LOSS_NONE || (loss == SCHEMA_LOSS_ZEROS && c->given)) return;
    if (c->lost++ == 0) schema_ingest_short(text, size, c->first_lost);
}

static int store_number(struct schema_ingest *ingest, struct ingest_column *c, const struct schema_cell *cell, struct schema_problems *problems) {
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
    return misfit(ingest, cell, expected, problems);
}

static int store_boolean(struct schema_ingest *ingest, struct ingest_column *c, const struct schema_cell *cell, struct schema_problems *problems) {
    uint32_t *slot = &c->codes[ingest->group_row];
    *slot = 0;
    bool text = cell->kind == CELL_TEXT || cell->kind == CELL_STRING;
    if (cell->kind == CELL_MISSING || (text && schema_cell_is_missing(cell->text, cell->size))) return 0;
    int value = cell->kind == CELL_BOOLEAN || cell->kind == CELL_TEXT || (cell->kind == CELL_STRING && c->given)
                    ? schema_cell_boolean(cell->text, cell->size)
                    : -1;
    if (value < 0) return misfit(ingest, cell, "true or false", problems);
    if (!*c->written[value]) memcpy(c->written[value], cell->text, cell->size);
    *slot = (uint32_t)value + 1;
    return 0;
}

/* Numbers are seconds since 1970. */
static int store_datetime(struct schema_ingest *ingest, struct ingest_column *c, const struct schema_cell *cell, struct schema_problems *problems) {
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
    return misfit(ingest, cell, expected, problems);
}

static int store_text(struct schema_ingest *ingest, struct ingest_column *c, const struct schema_cell *cell, struct schema_problems *problems) {
    struct bp_error error = {0};
    uint64_t *slot = &c->texts[ingest->group_row];
    *slot = 0;
    if (cell->kind == CELL_MISSING || schema_cell_is_missing(cell->text, cell->size)) return 0;
    if (cell->kind == CELL_ARRAY) return misfit(ingest, cell, "a text", problems);
    const double words = (double)schema_cell_words(cell->text, cell->size);
    schema_statistics_add(&c->statistics, &words, 1);
    if (problems->total > 0 || column_file_text(ingest->file, cell->text, cell->size, slot, &error) == 0) return 0;
    return schema_problem_error(problems, NULL, &error);
}

/* A new category. */
static int32_t add_category(struct schema_ingest *ingest, struct ingest_column *c, const struct schema_cell *cell, const char *key, size_t size,
                            struct schema_problems *problems) {
    char name[64], hint[200];
    schema_ingest_short(c->name, c->name_size, name);
    schema_ingest_override(ingest, c, "text", hint, sizeof hint);
    if (c->dictionary.count >= ingest->options.categories_max && c->type == SCHEMA_LABELS)
        return schema_problem_add(problems, NULL, "column \"%s\" has more than %d different labels, the limit; leave the rare ones out", name,
                                  ingest->options.categories_max);
    if (c->dictionary.count >= ingest->options.categories_max)
        return schema_problem_add(
            problems, NULL, "column \"%s\" has more than %d distinct values, too many for a categorical column; send it as text (%s) or leave it out",
            name, ingest->options.categories_max, hint);
    size_t before = c->dictionary.bytes_size;
    int32_t code = schema_dictionary_add(&c->dictionary, key, size, cell->text, cell->size);
    ingest->dictionaries_size += c->dictionary.bytes_size - before;
    if (ingest->dictionaries_size > INGEST_DICTIONARIES_MAX)
        return schema_problem_add(problems, NULL,
                                  "the distinct values take more than 256 MiB; send columns of free text, such as \"%s\", as text (%s)", name, hint);
    if (code >= c->counts_room) {
        int32_t room = c->counts_room ? c->counts_room * 2 : 16;
        int64_t *grown = realloc(c->counts, (size_t)room * sizeof *grown);
        if (!grown) code = -1;
        else c->counts = grown, c->counts_room = room;
    }
    if (code < 0) return schema_ingest_no_memory(problems);
    c->counts[code] = 0;
    return code;
}

int32_t schema_ingest_category(struct schema_ingest *ingest, const struct schema_cell *cell, struct schema_problems *problems) {
    struct ingest_column *c = &ingest->columns[cell->column];
    char buffer[32];
    size_t size = cell->size;
    const char *key = schema_category_key(cell->text, &size, buffer);
    int32_t code = schema_dictionary_find(&c->dictionary, key, size);
    return code < 0 ? add_category(ingest, c, cell, key, size, problems) : code;
}

int32_t schema_ingest_label(struct schema_ingest *ingest, int32_t column, const char *text, size_t size, struct schema_problems *problems) {
    struct ingest_column *c = &ingest->columns[column];
    const struct schema_cell cell = {.kind = CELL_STRING, .column = column, .text = text, .size = size};
    const int32_t code = schema_dictionary_find(&c->dictionary, text, size);
    return code < 0 ? add_category(ingest, c, &cell, text, size, problems) : code;
}

static int store_category(struct schema_ingest *ingest, struct ingest_column *c, const struct schema_cell *cell, struct schema_problems *problems) {
    uint32_t *slot = &c->codes[ingest->group_row];
    *slot = 0;
    if (cell->kind == CELL_MISSING || cell->size == 0) return 0;
    if (cell->kind == CELL_ARRAY) return misfit(ingest, cell, "a text or number", problems);
    if (cell->size <= 7 && schema_cell_is_missing(cell->text, cell->size)) c->kept++;
    const int32_t code = schema_ingest_category(ingest, cell, problems);
    if (code < 0) return -1;
    *slot = (uint32_t)code + 1;
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

static int store_tensor(struct schema_ingest *ingest, struct ingest_column *c, const struct schema_cell *cell, struct schema_problems *problems) {
    int64_t row = ingest->group_row, size = bp_shape_size(&c->shape), count = 0;
    c->absent[row] = 1;
    bool text = cell->kind == CELL_TEXT || cell->kind == CELL_STRING;
    if (cell->kind == CELL_MISSING || (text && schema_cell_is_missing(cell->text, cell->size))) return 0;
    if (cell->kind != CELL_ARRAY && !text) return misfit(ingest, cell, "an array of numbers", problems);
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

int schema_ingest_store(struct schema_ingest *ingest, const struct schema_cell *cell, struct schema_problems *problems) {
    struct ingest_column *c = &ingest->columns[cell->column];
    switch (c->type) {
    case SCHEMA_NUMERIC: return store_number(ingest, c, cell, problems);
    case SCHEMA_CATEGORICAL: return store_category(ingest, c, cell, problems);
    case SCHEMA_BOOLEAN: return store_boolean(ingest, c, cell, problems);
    case SCHEMA_TENSOR: return store_tensor(ingest, c, cell, problems);
    case SCHEMA_DATETIME: return store_datetime(ingest, c, cell, problems);
    case SCHEMA_TEXT: return store_text(ingest, c, cell, problems);
    case SCHEMA_LABELS: return schema_ingest_store_labels(ingest, cell, problems);
    }
    return -1;
}

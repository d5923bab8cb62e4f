/* ingest_infer.c - settles the type of every column from the first megabyte and the user's word. */
#include "ingest_sink.h"
#include "number.h"
#include "text.h"

#include <stdio.h>
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
    schema_problem_add(problems, in_body ? pointer : NULL, "types names a column \"%s\", which the data does not have%s",
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

enum { PROSE_CELLS = 10, PROSE_WORDS = 5, DISTINCT_CELLS = 1000 };

/* Whether the texts of a column are to be read, not told apart: sentences, hardly any of them twice; or so many, and all different, that a dictionary
 * of them would be the column once more. */
static bool is_text(const struct schema_ingest *ingest, int32_t column) {
    const struct ingest_column *c = &ingest->columns[column];
    const bool prose = c->sample_texts >= PROSE_CELLS && c->sample_words >= PROSE_WORDS * c->sample_texts;
    struct schema_dictionary seen = {0};
    struct schema_cell cell;
    int64_t distinct = 0;
    if (!prose && c->sample_texts < DISTINCT_CELLS) return false;
    for (size_t at = 0; schema_cells_next(&ingest->sample, &at, &cell);) {
        if (cell.column != column || (cell.kind != CELL_TEXT && cell.kind != CELL_STRING) || schema_cell_is_missing(cell.text, cell.size)) continue;
        if (schema_dictionary_find(&seen, cell.text, cell.size) >= 0) continue;
        if (schema_dictionary_add(&seen, cell.text, cell.size, "", 0) < 0) break;
        distinct++;
    }
    schema_dictionary_clear(&seen);
    return prose ? distinct * 2 > c->sample_texts : distinct == c->sample_texts;
}

enum { ABSENT_SHARE = 10, ABSENT_SIZE = 20, ABSENT_NUMBERS = 20 };

/* Whether a column is of numbers but for a few cells, which hold one of a few texts: "k.A.", "unknown". More than so many different numbers tell it
 * from classes with numbers for names. The texts are kept. */
static bool are_numbers(struct schema_ingest *ingest, int32_t column) {
    struct ingest_column *c = &ingest->columns[column];
    struct schema_dictionary numbers = {0};
    struct schema_cell cell;
    bool few = c->sample_numbers >= ABSENT_SHARE * c->sample_texts && c->sample_numbers > ABSENT_NUMBERS;
    double number;
    for (size_t at = 0; few && schema_cells_next(&ingest->sample, &at, &cell);) {
        if (cell.kind == CELL_ROW || cell.kind == CELL_MISSING || cell.column != column || schema_cell_is_missing(cell.text, cell.size)) continue;
        const bool is_number = cell.kind == CELL_NUMBER || (cell.kind == CELL_TEXT && schema_number_cell(cell.text, cell.size, &number));
        struct schema_dictionary *d = is_number ? &numbers : &c->absents;
        if ((is_number && d->count > ABSENT_NUMBERS) || schema_dictionary_find(d, cell.text, cell.size) >= 0) continue;
        few = (is_number || (d->count < INGEST_ABSENTS && cell.size <= ABSENT_SIZE)) &&
              schema_dictionary_add(d, cell.text, cell.size, cell.text, cell.size) >= 0;
    }
    few = few && numbers.count > ABSENT_NUMBERS;
    schema_dictionary_clear(&numbers);
    if (!few) schema_dictionary_clear(&c->absents);
    return few;
}

static enum schema_type inferred(struct schema_ingest *ingest, int32_t column) {
    const struct ingest_column *c = &ingest->columns[column];
    if (c->sample_arrays) return SCHEMA_TENSOR;
    if (c->sample_texts && !c->sample_numbers && !c->sample_booleans) {
        if (c->sample_dates == c->sample_texts) return SCHEMA_DATETIME;
        if (is_text(ingest, column)) return SCHEMA_TEXT;
    }
    if (c->sample_texts && c->sample_numbers && !c->sample_booleans && are_numbers(ingest, column)) return SCHEMA_NUMERIC;
    if (c->sample_texts || (c->sample_numbers && c->sample_booleans)) return SCHEMA_CATEGORICAL;
    return c->sample_booleans ? SCHEMA_BOOLEAN : SCHEMA_NUMERIC;
}

/* The shape of the first array that is written as text (a cell of CSV): the user must have said that the column is a tensor. */
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
    if (c->cell_shape.rank == 0) c->cell_shape = (struct bp_shape){.rank = 1, .dims = {1}}; /* the array is broken; storing it says how */
    c->shape = c->cell_shape;
    c->turned = c->given && !c->given->hwc;
    if (!c->turned) return 0;
    if (c->shape.rank != 3)
        return schema_problem_add(problems, NULL, "column \"%s\": layout \"chw\" needs a shape of three dimensions (channels, height, width)", name);
    c->shape.dims[0] = c->cell_shape.dims[1], c->shape.dims[1] = c->cell_shape.dims[2], c->shape.dims[2] = c->cell_shape.dims[0];
    return 0;
}

int schema_ingest_infer(struct schema_ingest *ingest, struct schema_problems *problems) {
    int failed = apply(ingest, ingest->options.types, ingest->options.types_count, false, problems);
    if (apply(ingest, ingest->types, ingest->types_count, true, problems)) failed = -1;
    for (int32_t i = 0; i < ingest->columns_count; i++) {
        struct ingest_column *c = &ingest->columns[i];
        if (c->declared && c->given && (c->given->type == SCHEMA_TENSOR) != (c->type == SCHEMA_TENSOR)) {
            char name[64];
            failed = schema_problem_add(problems, NULL, "column \"%s\" was given the type %s, but %s",
                                        schema_ingest_short(c->name, c->name_size, name), schema_type_name(c->given->type),
                                        c->type == SCHEMA_TENSOR ? "its cells are arrays: it is a tensor" : "its cells are single numbers");
            continue;
        }
        c->type = c->given ? c->given->type : c->declared ? c->type : inferred(ingest, i);
        if (c->given && c->given->format) c->format = c->given->format;
        if (c->type == SCHEMA_TENSOR && settle_shape(ingest, i, problems)) failed = -1;
    }
    return failed;
}

void schema_ingest_reason(const struct schema_ingest *ingest, int32_t column, char *text, size_t size) {
    const struct ingest_column *c = &ingest->columns[column];
    const long long numbers = (long long)c->sample_numbers, texts = (long long)c->sample_texts, booleans = (long long)c->sample_booleans;
    if (c->given) snprintf(text, size, "types says so");
    else if (c->declared) snprintf(text, size, "so are the values of the array");
    else if (c->sample_arrays) snprintf(text, size, "%lld cells are arrays", (long long)c->sample_arrays);
    else if (c->absents.count)
        snprintf(text, size, "%lld cells are numbers, the other %lld are taken as missing, the first being \"%s\"", numbers, texts, c->odd);
    else if (texts && numbers) snprintf(text, size, "%lld cells are numbers, %lld are not, the first being \"%s\"", numbers, texts, c->odd);
    else if (texts && c->type == SCHEMA_DATETIME) snprintf(text, size, "all %lld cells are dates, the first being \"%s\"", texts, c->odd);
    else if (texts && c->type == SCHEMA_TEXT)
        snprintf(text, size, "%lld cells are text of %.1f words on average, and hardly any is there twice", texts,
                 (double)c->sample_words / (double)texts);
    else if (texts) snprintf(text, size, "%lld cells are text, the first being \"%s\"", texts, c->odd);
    else if (numbers && booleans) snprintf(text, size, "%lld cells are numbers, %lld are true or false", numbers, booleans);
    else if (booleans) snprintf(text, size, "all %lld cells are true or false", booleans);
    else if (numbers) snprintf(text, size, "all %lld cells are numbers", numbers);
    else snprintf(text, size, "every cell is missing");
}

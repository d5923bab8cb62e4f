/* infer.c - determines the type of every column, from the first megabyte and from what the user asked for. */
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

enum { PROSE_CELLS = 10, PROSE_WORDS = 5, ABSENT_SHARE = 10, ABSENT_SIZE = 20 };

bool schema_ingest_is_prose(const struct ingest_column *c) {
    return c->sample_texts >= PROSE_CELLS && c->sample_words >= PROSE_WORDS * c->sample_texts;
}

/* Only texts, which may be sentences and not classes. */
bool schema_ingest_may_be_text(const struct ingest_column *c) {
    return c->sample_texts && !c->sample_numbers && !c->sample_booleans && !c->sample_arrays && c->spelling.resembling < c->sample_texts &&
           c->spelling.written < c->sample_texts && (schema_ingest_is_prose(c) || c->sample_texts >= INGEST_DISTINCT_CELLS);
}

/* Numbers of which the digits matter and not the value. */
bool schema_ingest_are_codes(const struct ingest_column *c) {
    return !c->sample_texts && !c->sample_booleans && !c->sample_arrays && schema_spelling_codes(&c->spelling) &&
           c->spelling.eights < c->sample_numbers;
}

/* Numbers, but for a few cells. */
bool schema_ingest_may_be_numbers(const struct ingest_column *c) {
    const int64_t numbers = c->sample_numbers + c->spelling.written, others = c->sample_texts - c->spelling.written + c->sample_booleans;
    return others && !c->sample_arrays && numbers > INGEST_ABSENT_NUMBERS && numbers >= ABSENT_SHARE * others && !schema_spelling_codes(&c->spelling);
}

/* -1: no memory. */
static int take_value(struct ingest_values *v, const struct schema_cell *cell, bool mixed) {
    struct schema_number_spelling spelling;
    const bool is_number = mixed && cell->kind != CELL_BOOLEAN && schema_number_spell(cell->text, cell->size, &spelling);
    struct schema_dictionary *d = is_number ? &v->numbers : &v->texts;
    if (is_number ? d->count > INGEST_ABSENT_NUMBERS : v->many) return 0;
    if (schema_dictionary_find(d, cell->text, cell->size) >= 0) return 0;
    v->many = mixed && !is_number && (d->count == INGEST_ABSENTS || cell->size > ABSENT_SIZE);
    return v->many || schema_dictionary_add(d, cell->text, cell->size, cell->text, cell->size) >= 0 ? 0 : -1;
}

/* One walk for all columns whose type hangs on their values. values: (columns). */
static int take_values(const struct schema_ingest *ingest, struct ingest_values *values) {
    struct schema_cell cell;
    for (size_t at = 0; schema_cells_next(&ingest->sample, &at, &cell);) {
        if (cell.kind == CELL_ROW || cell.kind == CELL_MISSING) continue;
        const struct ingest_column *c = &ingest->columns[cell.column];
        const bool mixed = schema_ingest_may_be_numbers(c);
        if (c->given || c->declared || (!mixed && !schema_ingest_may_be_text(c) && !schema_ingest_are_codes(c)) ||
            schema_cell_is_missing(cell.text, cell.size))
            continue;
        if (take_value(&values[cell.column], &cell, mixed) != 0) return -1;
    }
    return 0;
}

/* The first type, by precedence, that fits the sample. */
static enum schema_type inferred(const struct schema_ingest *ingest, struct ingest_column *c, struct ingest_values *v) {
    enum schema_type types[SCHEMA_TYPES_COUNT];
    schema_types_by_precedence(types);
    for (int i = 0; i < SCHEMA_TYPES_COUNT; i++)
        if (schema_type_of(types[i])->fits && schema_type_of(types[i])->fits(ingest, c, v)) return types[i];
    return SCHEMA_CATEGORICAL; /* any cell can be a category; not reached, for then categorical fits */
}

static int infer_column(struct schema_ingest *ingest, int32_t i, struct ingest_values *values, struct schema_problems *problems) {
    struct ingest_column *c = &ingest->columns[i];
    const bool arrays = c->declared && schema_type_of(c->type)->has_shape;
    if (c->declared && c->given && schema_type_of(c->given->type)->has_shape != arrays) {
        char name[64];
        return schema_problem_add(problems, NULL, "column \"%s\" was given the type %s, but %s", schema_ingest_short(c->name, c->name_size, name),
                                  schema_type_name(c->given->type), arrays ? "its cells are arrays: it is a tensor" : "its cells are single numbers");
    }
    c->type = c->given ? c->given->type : c->declared ? c->type : inferred(ingest, c, values);
    const struct schema_type_ops *ops = schema_type_of(c->type);
    return ops->complete ? ops->complete(ingest, i, problems) : 0;
}

int schema_ingest_infer(struct schema_ingest *ingest, struct schema_problems *problems) {
    int failed = apply(ingest, ingest->options.types, ingest->options.types_count, false, problems);
    if (apply(ingest, ingest->types, ingest->types_count, true, problems)) failed = -1;
    struct ingest_values *values = calloc((size_t)ingest->columns_count + 1, sizeof *values);
    if (!values || take_values(ingest, values) != 0) failed = schema_ingest_no_memory(problems);
    for (int32_t i = 0; values && i < ingest->columns_count; i++) {
        if (infer_column(ingest, i, &values[i], problems) != 0) failed = -1;
        schema_dictionary_clear(&values[i].texts);
        schema_dictionary_clear(&values[i].numbers);
    }
    free(values);
    return failed;
}

bool schema_ingest_reason_codes(const struct ingest_column *c, char *text, size_t size) {
    if (!c->sample_numbers || c->sample_texts || c->sample_booleans) return false;
    snprintf(text, size, "all %lld cells are numbers that would lose digits, such as \"%s\"", (long long)c->sample_numbers, c->spelling.code);
    return true;
}

void schema_ingest_reason(const struct schema_ingest *ingest, int32_t column, char *text, size_t size) {
    const struct ingest_column *c = &ingest->columns[column];
    const struct schema_type_ops *ops = schema_type_of(c->type);
    const long long numbers = (long long)c->sample_numbers, texts = (long long)c->sample_texts, booleans = (long long)c->sample_booleans;
    if (c->given) snprintf(text, size, "set by types");
    else if (c->declared) snprintf(text, size, "the values of the array have this type");
    else if (ops->reason && ops->reason(c, text, size)) return;
    else if (texts && numbers) snprintf(text, size, "%lld cells are numbers, %lld are not, the first being \"%s\"", numbers, texts, c->odd);
    else if (texts) snprintf(text, size, "%lld cells are text, the first being \"%s\"", texts, c->odd);
    else if (numbers && booleans) snprintf(text, size, "%lld cells are numbers, %lld are true or false", numbers, booleans);
    else if (booleans) snprintf(text, size, "all %lld cells are true or false", booleans);
    else if (numbers) snprintf(text, size, "all %lld cells are numbers", numbers);
    else snprintf(text, size, "every cell is missing");
}

/* store.c - stores one cell of a typed column in the current row group, as its type does it: the categories, and why a cell does not fit. */
#include "schema/ingest/sink.h"
#include "schema/text/number.h"

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
    const struct schema_type_ops *ops = schema_type_of(c->type);
    char text[SCHEMA_NUMBER_FORMAT_TEXT];
    if (cell->kind == CELL_ARRAY || cell->kind == CELL_BOOLEAN || !ops->format_of) return "categorical";
    schema_spelling_text(&alone, cell->text, cell->size, 0);
    if (!ops->format_of(c, &alone, text)) return "categorical";
    snprintf(type, 2 * SCHEMA_NUMBER_FORMAT_TEXT, "%s:%s", ops->name, text);
    return type;
}

int schema_ingest_misfit(struct schema_ingest *ingest, const struct schema_cell *cell, const char *expected, struct schema_problems *problems) {
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

/* A new category. */
static int32_t add_category(struct schema_ingest *ingest, struct ingest_column *c, const struct schema_cell *cell, const char *key, size_t size,
                            struct schema_problems *problems) {
    char name[64], hint[200];
    schema_ingest_short(c->name, c->name_size, name);
    schema_ingest_override(ingest, c, "text", hint, sizeof hint);
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
    char name[64];
    if (code >= 0) return code;
    if (c->dictionary.count >= ingest->options.categories_max)
        return schema_problem_add(problems, NULL, "column \"%s\" has more than %d different labels, the limit; leave the rare ones out",
                                  schema_ingest_short(c->name, c->name_size, name), ingest->options.categories_max);
    return add_category(ingest, c, &cell, text, size, problems);
}

int schema_ingest_store(struct schema_ingest *ingest, const struct schema_cell *cell, struct schema_problems *problems) {
    struct ingest_column *c = &ingest->columns[cell->column];
    return schema_type_of(c->type)->store(ingest, c, cell, problems);
}

/* ingest_infer.c - settles the type of every column from the first megabyte and the user's word, and reviews the result for warnings. */
#include "ingest_sink.h"
#include "number.h"
#include "text.h"

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

static enum schema_type inferred(const struct ingest_column *c) {
    if (c->sample_arrays) return SCHEMA_TENSOR;
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
        c->type = c->given ? c->given->type : c->declared ? c->type : inferred(c);
        if (c->type == SCHEMA_TENSOR && settle_shape(ingest, i, problems)) failed = -1;
    }
    return failed;
}

/* ---- review ---- */

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

static void review_categories(struct schema_ingest *ingest, const struct ingest_column *c, const char *name) {
    int64_t present = ingest->rows - c->missing;
    if (c->kept)
        schema_ingest_warn(ingest,
                           "column \"%s\": %lld cells such as NA, NaN or ? are kept as categories, because the column holds text; leave such cells "
                           "empty if they are missing",
                           name, (long long)c->kept);
    if (!c->given && c->sample_numbers > c->sample_texts && c->sample_texts > 0)
        schema_ingest_warn(ingest, "column \"%s\" is taken as categorical: most of its values are numbers, but not all (\"%s\")", name, c->odd);
    if (c->dictionary.count > 0 && decimal_comma(schema_dictionary_value(&c->dictionary, 0)))
        schema_ingest_warn(ingest, "column \"%s\" is taken as categorical: its numbers seem to have a decimal comma (\"%s\"); write a point%s", name,
                           schema_dictionary_value(&c->dictionary, 0), ingest->details ? ", or send the file again with decimal=comma" : "");
    if (present > 50 && c->dictionary.count == present)
        schema_ingest_warn(ingest, "column \"%s\" looks like an identifier: all its %lld values are different; leave it out of the features", name,
                           (long long)present);
    else if (c->dictionary.count == 1 && ingest->rows > 1) schema_ingest_warn(ingest, "column \"%s\" is constant", name);
}

void schema_ingest_review(struct schema_ingest *ingest) {
    for (int32_t i = 0; i < ingest->columns_count; i++) {
        const struct ingest_column *c = &ingest->columns[i];
        char name[64];
        schema_ingest_short(c->name, c->name_size, name);
        if (c->missing == ingest->rows) {
            schema_ingest_warn(ingest, "column \"%s\" is empty: every value is missing%s", name, c->given ? "" : "; it is taken as numeric");
            continue;
        }
        if (c->type == SCHEMA_CATEGORICAL) review_categories(ingest, c, name);
        bool constant = (c->type == SCHEMA_NUMERIC || c->type == SCHEMA_TENSOR)
                            ? c->statistics.min == c->statistics.max
                            : c->type == SCHEMA_BOOLEAN && (!c->boolean_counts[0] || !c->boolean_counts[1]);
        if (constant && ingest->rows > 1) schema_ingest_warn(ingest, "column \"%s\" is constant", name);
    }
}

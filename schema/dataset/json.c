/* json.c - what GET /v1/datasets shows of a dataset: its columns, and rows for the preview. What differs between types is in types/. */
#include "schema/dataset/json.h"

#include "schema/dataset/frequency.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CATEGORIES_SHOWN = 100 };

json_t *schema_show_number(double number) {
    if (!isfinite(number)) return json_null();
    if (number == trunc(number) && fabs(number) <= 9007199254740992.0 && !(number == 0 && signbit(number))) return json_integer((json_int_t)number);
    return json_real(number);
}

json_t *schema_show_float(float number) {
    if (!isfinite(number)) return json_null();
    char text[32];
    for (int precision = 6; precision <= 9; precision++) {
        snprintf(text, sizeof text, "%.*g", precision, (double)number);
        if (strtof(text, NULL) == number) break;
    }
    return schema_show_number(strtod(text, NULL));
}

json_t *schema_show_text(const char *text) {
    json_t *string = json_string(text);
    return string ? string : json_null();
}

void schema_show_categories(const struct schema_column *c, json_t *object) {
    json_t *list = json_array();
    int32_t *order = c->categories ? schema_by_frequency(&c->categories->count, sizeof *c->categories, c->categories_count) : NULL;
    for (int32_t i = 0; order && i < c->categories_count && i < CATEGORIES_SHOWN; i++) {
        const struct schema_category *category = &c->categories[order[i]];
        json_array_append_new(list, json_pack("{s:o,s:I}", "value", schema_show_text(category->value), "count", (json_int_t)category->count));
    }
    free(order);
    json_object_set_new(object, "categories_count", json_integer(c->categories_count));
    json_object_set_new(object, "categories", list);
}

json_t *schema_show_range(const struct schema_column *c) {
    return json_pack("{s:o,s:o,s:o}", "min", schema_show_number(c->min), "max", schema_show_number(c->max), "mean", schema_show_number(c->mean));
}

static json_t *shape_json(const struct bp_shape *shape) {
    json_t *list = json_array();
    for (int32_t d = 0; d < shape->rank; d++) json_array_append_new(list, json_integer(shape->dims[d]));
    return list;
}

static json_t *column_json(const struct schema_column *c) {
    const struct schema_type_ops *type = schema_type_of(c->type);
    json_t *object = json_object();
    json_object_set_new(object, "name", schema_show_text(c->name));
    json_object_set_new(object, "type", json_string(type->name));
    if (type->has_shape) json_object_set_new(object, "shape", shape_json(&c->shape));
    json_object_set_new(object, "missing", json_integer(c->missing));
    type->describe(c, object);
    return object;
}

json_t *schema_dataset_columns_json(const struct schema_dataset *dataset) {
    json_t *list = json_array();
    for (int32_t c = 0; c < dataset->columns_count; c++) json_array_append_new(list, column_json(&dataset->columns[c]));
    return list;
}

json_t *schema_dataset_row_json(const struct schema_dataset *dataset, int64_t row) {
    return schema_dataset_cells_json(dataset, row, NULL, dataset->columns_count);
}

json_t *schema_dataset_cells_json(const struct schema_dataset *dataset, int64_t row, const int32_t *columns, int32_t count) {
    json_t *object = json_object();
    for (int32_t i = 0; i < count; i++) {
        const int32_t at = columns ? columns[i] : i;
        const struct schema_column *column = &dataset->columns[at];
        json_object_set_new(object, column->name, schema_type_of(column->type)->cell_json(dataset, at, row));
    }
    return object;
}

/* json.c - what GET /v1/datasets shows of a dataset: its columns, and rows for the preview. */
#include "schema/dataset/dataset.h"
#include "schema/dataset/frequency.h"
#include "schema/text/datetime.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CATEGORIES_SHOWN = 100 };

/* An integer without a point, null for what is not finite. */
static json_t *number_json(double number) {
    if (!isfinite(number)) return json_null();
    if (number == trunc(number) && fabs(number) <= 9007199254740992.0 && !(number == 0 && signbit(number))) return json_integer((json_int_t)number);
    return json_real(number);
}

/* The shortest decimal that reads back as this float32, so that 0.1f shows as 0.1. */
static json_t *float_json(float number) {
    if (!isfinite(number)) return json_null();
    char text[32];
    for (int precision = 6; precision <= 9; precision++) {
        snprintf(text, sizeof text, "%.*g", precision, (double)number);
        if (strtof(text, NULL) == number) break;
    }
    return number_json(strtod(text, NULL));
}

static json_t *text_json(const char *text) {
    json_t *string = json_string(text);
    return string ? string : json_null();
}

static json_t *datetime_json(const struct schema_column *c, double seconds) {
    char text[SCHEMA_DATETIME_TEXT];
    return *schema_datetime_text(seconds, c->days, text) ? json_string(text) : json_null();
}

static json_t *shape_json(const struct bp_shape *shape) {
    json_t *list = json_array();
    for (int32_t d = 0; d < shape->rank; d++) json_array_append_new(list, json_integer(shape->dims[d]));
    return list;
}

static json_t *categories_json(const struct schema_column *c) {
    json_t *list = json_array();
    int32_t *order = c->categories ? schema_by_frequency(&c->categories->count, sizeof *c->categories, c->categories_count) : NULL;
    for (int32_t i = 0; order && i < c->categories_count && i < CATEGORIES_SHOWN; i++) {
        const struct schema_category *category = &c->categories[order[i]];
        json_array_append_new(list, json_pack("{s:o,s:I}", "value", text_json(category->value), "count", (json_int_t)category->count));
    }
    free(order);
    return list;
}

static json_t *column_json(const struct schema_column *c) {
    json_t *object = json_object();
    json_object_set_new(object, "name", text_json(c->name));
    json_object_set_new(object, "type", json_string(schema_type_name(c->type)));
    if (c->type == SCHEMA_TENSOR) json_object_set_new(object, "shape", shape_json(&c->shape));
    json_object_set_new(object, "missing", json_integer(c->missing));
    if (c->type == SCHEMA_DATETIME) {
        json_object_set_new(object, "min", datetime_json(c, c->min));
        json_object_set_new(object, "max", datetime_json(c, c->max));
        json_object_set_new(object, "mean", datetime_json(c, c->mean));
        if (c->format) json_object_set_new(object, "format", text_json(c->format));
    } else if (c->type == SCHEMA_TEXT) {
        json_object_set_new(object, "words",
                            json_pack("{s:o,s:o,s:o}", "min", number_json(c->min), "max", number_json(c->max), "mean", number_json(c->mean)));
    } else if (c->type == SCHEMA_LABELS) {
        json_object_set_new(object, "labels",
                            json_pack("{s:o,s:o,s:o}", "min", number_json(c->min), "max", number_json(c->max), "mean", number_json(c->mean)));
        json_object_set_new(object, "categories_count", json_integer(c->categories_count));
        json_object_set_new(object, "categories", categories_json(c));
    } else if (c->type == SCHEMA_NUMERIC || c->type == SCHEMA_TENSOR) {
        json_object_set_new(object, "min", c->type == SCHEMA_TENSOR ? float_json((float)c->min) : number_json(c->min));
        json_object_set_new(object, "max", c->type == SCHEMA_TENSOR ? float_json((float)c->max) : number_json(c->max));
        json_object_set_new(object, "mean", number_json(c->mean));
        json_object_set_new(object, "std", number_json(c->std));
        if (c->format) json_object_set_new(object, "format", text_json(c->format));
    } else {
        json_object_set_new(object, "categories_count", json_integer(c->categories_count));
        json_object_set_new(object, "categories", categories_json(c));
    }
    return object;
}

json_t *schema_dataset_columns_json(const struct schema_dataset *dataset) {
    json_t *list = json_array();
    for (int32_t c = 0; c < dataset->columns_count; c++) json_array_append_new(list, column_json(&dataset->columns[c]));
    return list;
}

/* The array at one depth of a tensor; *next moves on through its numbers. */
static json_t *nested_json(const struct bp_shape *shape, int32_t depth, const float **next) {
    if (depth >= shape->rank || depth >= BP_RANK_MAX) return float_json(*(*next)++);
    json_t *list = json_array();
    for (int32_t i = 0; i < shape->dims[depth]; i++) json_array_append_new(list, nested_json(shape, depth + 1, next));
    return list;
}

static json_t *tensor_json(const struct schema_dataset *dataset, int32_t column, int64_t row) {
    const struct bp_shape *shape = &dataset->columns[column].shape;
    size_t size = 1;
    for (int32_t d = 0; d < shape->rank; d++) size *= (size_t)shape->dims[d];
    float *numbers = malloc(size * sizeof *numbers);
    if (!numbers) return json_null();
    schema_dataset_tensor(dataset, column, row, numbers);
    const float *next = numbers;
    size_t missing = 0;
    while (missing < size && isnan(numbers[missing])) missing++;
    json_t *value = missing == size ? json_null() : nested_json(shape, 0, &next);
    free(numbers);
    return value;
}

static json_t *labels_json(const struct schema_dataset *dataset, int32_t column, int64_t row) {
    struct schema_label_walk walk;
    if (!schema_dataset_labels(dataset, column, row, &walk)) return json_null();
    json_t *list = json_array();
    for (int32_t code; (code = schema_label_next(&walk)) >= 0;)
        json_array_append_new(list, text_json(dataset->columns[column].categories[code].value));
    return list;
}

static json_t *cell_json(const struct schema_dataset *dataset, int32_t column, int64_t row) {
    const struct schema_column *c = &dataset->columns[column];
    if (c->type == SCHEMA_NUMERIC) return number_json(schema_dataset_number(dataset, column, row));
    if (c->type == SCHEMA_DATETIME) return datetime_json(c, schema_dataset_number(dataset, column, row));
    if (c->type == SCHEMA_TEXT) {
        size_t size;
        const char *text = schema_dataset_text(dataset, column, row, &size);
        json_t *string = text ? json_stringn(text, size) : NULL;
        return string ? string : json_null();
    }
    if (c->type == SCHEMA_TENSOR) return tensor_json(dataset, column, row);
    if (c->type == SCHEMA_LABELS) return labels_json(dataset, column, row);
    int32_t code = schema_dataset_code(dataset, column, row);
    if (code < 0) return json_null();
    return c->type == SCHEMA_BOOLEAN ? json_boolean(code == 1) : text_json(c->categories[code].value);
}

json_t *schema_dataset_row_json(const struct schema_dataset *dataset, int64_t row) {
    json_t *object = json_object();
    for (int32_t c = 0; c < dataset->columns_count; c++) json_object_set_new(object, dataset->columns[c].name, cell_json(dataset, c, row));
    return object;
}

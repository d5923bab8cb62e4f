/* json.h - what the types need to show a column and its cells as JSON. Private to schema/. */
#ifndef SCHEMA_DATASET_JSON_H
#define SCHEMA_DATASET_JSON_H

#include "schema/dataset/dataset.h"

/* An integer without a point, null for what is not finite. */
json_t *schema_show_number(double number);
/* The shortest decimal that reads back as this float32, so that 0.1f shows as 0.1. */
json_t *schema_show_float(float number);
/* null without memory. */
json_t *schema_show_text(const char *text);
/* {"min","max","mean"} of the column. */
json_t *schema_show_range(const struct schema_column *column);
/* Adds "categories_count" and "categories", the 100 most frequent, to the object. */
void schema_show_categories(const struct schema_column *column, json_t *object);

#endif

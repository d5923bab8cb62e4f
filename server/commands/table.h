/* table.h - tables for people on standard output, and the query of a URL. */
#ifndef SERVER_TABLE_H
#define SERVER_TABLE_H

#include "schema/text/text.h"

#include <jansson.h>

/* Rows of equal length, the first one is the header; cells are texts. Columns of numbers are aligned to the right. */
void table_print(const json_t *rows);
/* A cell: a text as it is, a number with 6 digits, null as "-", an object by its type or name. The caller's. */
json_t *table_cell(const json_t *value);
/* Adds name=value to a path that may have a query, percent-encoded. value NULL: nothing. */
void url_query(struct schema_text *path, const char *name, const char *value);

#endif

/* catalog.h - GET /v1/catalog: every family of the engine and the data formats, with their parameters. */
#ifndef SCHEMA_CATALOG_H
#define SCHEMA_CATALOG_H

#include <jansson.h>

/* The caller's. */
json_t *schema_catalog(void);

#endif

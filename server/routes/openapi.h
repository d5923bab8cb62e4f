/* openapi.h - the served OpenAPI document, generated at build time from schema/openapi.yaml and the tables by schema/tools/contract.c. */
#ifndef SERVER_OPENAPI_H
#define SERVER_OPENAPI_H

#include <stddef.h>

extern const char openapi_json[];
extern const size_t openapi_json_size; /* without the final NUL */

#endif

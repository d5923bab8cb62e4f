/* cost.h - what decoding a JSON text with jansson would cost, found out by one pass over its bytes, before anything is allocated. */
#ifndef SCHEMA_JSON_COST_H
#define SCHEMA_JSON_COST_H

#include <stddef.h>
#include <stdint.h>

struct schema_json_cost {
    int64_t values;  /* objects, arrays and scalars, keys apart */
    int64_t bytes;   /* memory that they take, estimated from above for jansson 2.14 on glibc */
    int64_t members; /* of the largest array that is a member of the text's own object: {"instances":[1,2,3]} has 3 */
    int depth;       /* of nesting: 1 for {} */
};

/* The text need not be valid JSON: then jansson stops earlier than this counts. Any size; reads each byte once. */
struct schema_json_cost schema_json_cost(const char *text, size_t size);

#endif

/* request.h - an evaluation as JSON asks for it, in a request and in the spec of a job. */
#ifndef SCHEMA_EVALUATE_REQUEST_H
#define SCHEMA_EVALUATE_REQUEST_H

#include "schema/evaluate/evaluate.h"
#include "schema/json/problems.h"

struct schema_evaluate_request {
    struct schema_evaluation evaluation; /* bootstrap, seed, points, positive_class, slices, rows_max; the rest is the caller's */
    int32_t slices[SCHEMA_EVALUATE_SLICES_MAX];
};

/* Reads "bootstrap", "max_points", "rows", "seed", "positive_class" and "slices" of an object; others: further members that it may have,
 * NULL-terminated. Texts are borrowed from the JSON, and the request must stay where it is. dataset NULL: there is none, for a fault that is reported
 * elsewhere. */
void schema_evaluate_decode(const json_t *json, const char *const *others, const struct schema_dataset *dataset,
                            struct schema_evaluate_request *request, struct schema_problems *problems);
/* These members alone, as they were given: for the spec of a job; and with the defaults, to be shown. The caller's. */
json_t *schema_evaluate_encode(const json_t *json);
json_t *schema_evaluate_resolved(const struct schema_evaluate_request *request);

#endif

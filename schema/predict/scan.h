/* scan.h - the fast reader of predict bodies: what instances_scan.c and the column types share. Every function gives up (false) on whatever is not
 * plain; jansson then reads the body again. */
#ifndef SCHEMA_SCAN_H
#define SCHEMA_SCAN_H

#include "schema/predict/predictor.h"

struct schema_scan {
    struct schema_predictor *p;
    const char *at, *end;
};

void schema_scan_blanks(struct schema_scan *s);
/* Skips blanks, then takes c if it is there. */
bool schema_scan_take(struct schema_scan *s, char c);
bool schema_scan_word(struct schema_scan *s, const char *word);
/* A string of plain ASCII without escapes, in place. */
bool schema_scan_string(struct schema_scan *s, const char **text, size_t *size);
bool schema_scan_number(struct schema_scan *s, double *number);
/* Nested arrays of numbers that follow the shape from `level` on. */
bool schema_scan_tensor(struct schema_scan *s, const struct bp_shape *shape, int32_t level, float **out);

#endif

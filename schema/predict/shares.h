/* shares.h - prints probabilities: the digits of many of them are found at once, where they follow each other in memory. Private to predict/. */
#ifndef SCHEMA_PREDICT_SHARES_H
#define SCHEMA_PREDICT_SHARES_H

#include "schema/text/text.h"

enum { SHARES_AT_ONCE = 512 };
struct schema_shares {
    const float *from; /* the digits are those of from[0..n); NULL: of none */
    int32_t n;
    int32_t digits[SHARES_AT_ONCE], exponents[SHARES_AT_ONCE];
    uint64_t first[SHARES_AT_ONCE], rest[SHARES_AT_ONCE];
};

/* The numbers in memory are others now. */
void schema_shares_clear(struct schema_shares *shares);
/* Appends a comma and each of the count numbers, null where it is not finite. behind: as many that follow them are written next. */
void schema_shares_write(struct schema_shares *shares, const float *numbers, int32_t count, int64_t behind, struct schema_text *out);

#endif

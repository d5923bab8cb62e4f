/* ranks.h - a sample of numbers in order, and their ranks. Private to schema/. */
#ifndef SCHEMA_RANKS_H
#define SCHEMA_RANKS_H

#include "engine/base/base.h"

/* A number's place: keys compare as the numbers do (-0 as 0, subnormals too, whatever the thread makes of them). */
struct schema_ranked {
    uint64_t key;
    uint32_t at; /* its position in the sample */
};

/* The numbers of x[0..n) without NaN, ascending; equal numbers stay in sample order. Both arrays have space for n. Returns the count. */
int64_t schema_ranks_sort(const double *x, int64_t n, struct schema_ranked *sorted, struct schema_ranked *spare);
/* The ranks from 1 of the sorted ones that `with` (NaN: not) has a partner for, equal ones sharing the mean of theirs: out[at]. */
void schema_ranks(const struct schema_ranked *sorted, int64_t count, const double *with, double *out);

#endif

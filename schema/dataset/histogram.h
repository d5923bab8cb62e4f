/* histogram.h - how often a column's numbers fall where. Private to schema/. */
#ifndef SCHEMA_HISTOGRAM_H
#define SCHEMA_HISTOGRAM_H

#include "schema/dataset/profile.h"

struct schema_histogram {
    int32_t bins;  /* 0: the column has no numbers */
    bool by_value; /* a bin per value: edges[i] is the value of bin i; else bin i is from edges[i] up to edges[i + 1], the last one inclusive */
    double edges[SCHEMA_PROFILE_BINS + 1];
    int64_t counts[SCHEMA_PROFILE_BINS];
    double scale; /* bins per unit */
};

/* Integers of few values or of a small range, and constants, have a bin per value; others up to SCHEMA_PROFILE_BINS of equal width from min to max.
 */
void schema_histogram_start(struct schema_histogram *histogram, const struct schema_column *column);
/* NaN does not count. */
void schema_histogram_add(struct schema_histogram *histogram, const double *x, int64_t n);

#endif

/* statistics.h - statistics of a column in one pass: count, min, max, mean, variance, integrality, up to 20 distinct values. Private to schema/. */
#ifndef SCHEMA_STATISTICS_H
#define SCHEMA_STATISTICS_H

#include "schema/dataset/dataset.h"

/* Set up with schema_statistics_start. */
struct schema_statistics {
    int64_t count;
    double min, max;
    double origin;        /* one of the numbers, or near them: sums of large numbers close together stay exact */
    long double mean, m2; /* the mean less the origin; sum of squared differences from the mean */
    bool integral;
    int32_t distinct_count;
    double distinct[SCHEMA_DISTINCT_MAX];
};

void schema_statistics_start(struct schema_statistics *statistics);
/* Takes in x[0..n), none of them NaN. */
void schema_statistics_add(struct schema_statistics *statistics, const double *x, int64_t n);
/* The same for float32; distinct values and integrality are not tracked. */
void schema_statistics_add_floats(struct schema_statistics *statistics, const float *x, int64_t n);
/* Writes min, max, mean, std, integral, distinct into the column. */
void schema_statistics_finish(const struct schema_statistics *statistics, struct schema_column *column);

#endif

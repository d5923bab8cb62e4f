/* quantile.h - quantiles of numbers in order. */
#ifndef SCHEMA_QUANTILE_H
#define SCHEMA_QUANTILE_H

#include "engine/base/base.h"

/* For qsort: doubles, ascending. */
int schema_compare_numbers(const void *a, const void *b);
/* Of sorted[0..n), ascending, n > 0: linear between the order statistics, as NumPy's default. share: 0 to 1. */
double schema_quantile(const double *sorted, int64_t n, double share);

#endif

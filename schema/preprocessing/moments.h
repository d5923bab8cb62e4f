/* moments.h - mean, deviation and range of numbers that come one after the other. Private to preprocessing/. */
#ifndef SCHEMA_MOMENTS_H
#define SCHEMA_MOMENTS_H

#include "engine/base/base.h"

/* moments.c: count, mean and squared deviations of what is finite, and its range. Zero-initialise. */
struct schema_moments {
    double n;
    long double mean, m2;
    double min, max;
};
void schema_moments_add(struct schema_moments *moments, double v);
void schema_moments_add_many(struct schema_moments *moments, const double *v, int64_t n);
void schema_moments_join(struct schema_moments *moments, const struct schema_moments *more);
/* Of the population; 0 and 1 where there is nothing or no spread. */
void schema_moments_result(const struct schema_moments *moments, double *mean, double *std);
/* Whether all values are one, but for the last bit. */
bool schema_moments_constant(const struct schema_moments *moments);
/* -1 when double precision cannot distinguish the values, or their range overflows it. */
int schema_moments_check(const struct schema_moments *moments, const char *pointer, const char *name, struct bp_error *error);
/* The source of the n numbers of the moments: those at places[0..count), NaN: missing. */
struct schema_numbers {
    void (*read)(const void *context, const int64_t *places, int64_t count, double *out);
    const void *context;
    int64_t n;
};
/* Leaves out of mean and deviation what lies more than SCHEMA_TRIM_RANGES interquartile ranges beyond the quartiles, as long as that is a handful:
 * two values or SCHEMA_TRIM_SHARE of them. Typing errors would otherwise make all the others look alike; the tail of a skewed column stays. */
enum { SCHEMA_TRIM_RANGES = 10, SCHEMA_TRIM_LEAST = 8 };
static const double SCHEMA_TRIM_SHARE = 0.01;
void schema_moments_trim(struct schema_moments *moments, const struct schema_numbers *numbers);

#endif

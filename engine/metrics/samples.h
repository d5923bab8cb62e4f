/* samples.h - what metrics of the whole share: a state that keeps every sample, and sorts them by a number without allocating.
 * State: the number of samples, then a row for each (`columns` numbers, its weight, its mark), then space to sort a column separately when there are
 * several. */
#ifndef BP_METRICS_SAMPLES_H
#define BP_METRICS_SAMPLES_H

#include "engine/metrics/metric.h"

/* A sample in a sorted column. */
enum { BP_SAMPLE_NUMBER, BP_SAMPLE_WEIGHT, BP_SAMPLE_MARK, BP_SAMPLE };

int64_t bp_samples_size(int64_t columns, int64_t samples);
/* Adds a sample; its `columns` numbers are for the caller to fill in. */
double *bp_samples_add(double *state, int64_t columns, double weight, double mark);
/* Adds the samples of another state. */
void bp_samples_append(double *state, const double *other, int64_t columns);
/* The samples by ascending number in that column: (*count, BP_SAMPLE). Borrowed until the next call. */
const double *bp_samples_sorted(double *state, int64_t columns, int64_t column, int64_t *count);

/* What the areas under curves share: a column of scores for each class, or that of class 1 of two; marked with the true class. */
int64_t bp_curve_size(int32_t classes, int32_t width, int64_t samples);
void bp_curve_update(double *state, const struct bp_metric_call *call);
void bp_curve_merge(double *state, const double *other, int32_t classes, int32_t width, int64_t samples);
/* Walks down the scores: `area` is given the weights of positive and of other samples above a group of equal scores, in it, and of all. Two classes:
 * the area of class 1. More: the mean over the classes that occur, one against the rest. Not a number when a score is none. */
struct bp_curve_step {
    double above[2], here[2], all[2]; /* of the others, of the class */
};
double bp_curve_result(double *state, int32_t classes, double (*area)(const struct bp_curve_step *step));

#endif

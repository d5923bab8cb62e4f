/* profile.h - a dataset's columns for a dashboard: quantiles, histograms, categories, and their association with a target.
 *
 * One pass over each column. Counts, min, max, mean, std, histograms, Pearson, eta and Cramer's V are of all rows; quantiles between 0 and 1 and
 * Spearman are of a sample of at most SCHEMA_PROFILE_SAMPLE rows, one drawn from each of as many equal stretches. Memory is bounded by the
 * sample and a table of pairs; pages that have been read are released. */
#ifndef SCHEMA_DATASET_PROFILE_H
#define SCHEMA_DATASET_PROFILE_H

#include "schema/dataset/dataset.h"
#include "schema/text/text.h"

enum {
    SCHEMA_PROFILE_SAMPLE = 200000,
    SCHEMA_PROFILE_COLUMNS_MAX = 1000, /* described at once */
    SCHEMA_PROFILE_BINS = 30,
    SCHEMA_PROFILE_CATEGORIES = 20 /* the most frequent ones; the others are one count */
};

struct schema_profile_request {
    const int32_t *columns; /* in this order; at most SCHEMA_PROFILE_COLUMNS_MAX */
    int32_t columns_count;
    int32_t target;                    /* -1: none */
    bool (*stop)(const void *context); /* checked from time to time; NULL: never */
    const void *context;
};

/* Adds `"rows":...,"sampled_rows":...,"target":...,"columns":[...],"associations":[...]` to a JSON object. The dataset belongs to this call alone, as
 * it releases pages. -1: no memory, or stopped. */
int schema_dataset_profile(const struct schema_dataset *dataset, const struct schema_profile_request *request, struct schema_text *out);

#endif

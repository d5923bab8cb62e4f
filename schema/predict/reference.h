/* reference.h - what the training rows of a version looked like, by column, so that the rows it predicts can be compared with them.
 *
 * The document of a version has it as "reference": {"rows","features":[...],"outputs":[...]}. A feature is a number,
 * {"name","edges","counts","missing"} with counts[k] of the rows in [edges[k - 1], edges[k]), at most 10 bins with about as many rows each; or a
 * category, {"name","categories","counts", "other","missing"}: the 20 most frequent ones, all others together, unknown ones too. Texts and tensors
 * have none. Outputs are what the version predicts: {"name","labels","counts"} of a class, {"name","edges","counts"} of a number. It is of the
 * training rows, at most SCHEMA_REFERENCE_ROWS of them evenly spread, outputs of SCHEMA_REFERENCE_OUTPUT_ROWS.
 *
 * The population stability index (Siddiqi, Credit Risk Scorecards, 2006) of bins with the counts e of n reference rows and a of m live rows is
 *     sum (A - E) ln(A / E),  E = (e + 1/2) / (n + k/2),  A = (a + 1/2) / (m + k/2),  over k bins,
 * half a row being added to each bin so that an empty one has a logarithm. Rows of the same population have about (k - 1) (1/n + 1/m) on average
 * (Yurdakul, Statistical Properties of the Population Stability Index, 2018). Below 0.1 is called stable, from 0.25 on a major shift: a convention.
 */
#ifndef SCHEMA_REFERENCE_H
#define SCHEMA_REFERENCE_H

#include "schema/resolve/training.h"

enum { SCHEMA_REFERENCE_FEATURES = 200, SCHEMA_REFERENCE_ROWS = 100000, SCHEMA_REFERENCE_OUTPUT_ROWS = 2000, SCHEMA_BINS_MAX = 1024 };

/* A version with those weights, on its training rows in the dataset. The first SCHEMA_REFERENCE_FEATURES features. NULL: no memory, or no rows. */
json_t *schema_reference_build(const struct schema_training *training, const bp_real *weights, const struct schema_dataset *dataset);

/* The bins of one feature or output among all of them. */
struct schema_bins {
    int32_t at, count;      /* of its counts; count 0: it has none */
    int32_t edges_count;    /* numbers */
    double *edges;          /* ascending */
    int32_t *category_bin;  /* (categories) of a category, its bin */
    int32_t other, missing; /* bins; -1: none */
};
struct schema_reference {
    int32_t features_count, outputs_count; /* those of the preprocessing, targets of the preprocessing */
    struct schema_bins *features, *outputs;
    int32_t bins;       /* of all */
    bool *none_missing; /* (features_count) no row of the reference lacked it */
};
/* NULL: the document has none that fits, or no memory. */
struct schema_reference *schema_reference_decode(const json_t *json, const struct schema_training *training);
void schema_reference_free(struct schema_reference *reference);
/* The bin of a value. NaN: missing; -1: it is not counted. */
int32_t schema_bins_number(const struct schema_bins *bins, double v);
int32_t schema_bins_category(const struct schema_bins *bins, int32_t category, bool missing);

/* The counts of an item of "features" or "outputs", in the order of its bins: counts, other, missing. How many. -1: it is damaged. */
int32_t schema_reference_counts(const json_t *item, double counts[static SCHEMA_BINS_MAX]);
/* The index; *chance: what rows of the same population have on average. */
double schema_stability_index(const double *reference, const double *live, int32_t bins, double *chance);

#endif

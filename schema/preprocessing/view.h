/* view.h - a dataset through a fitted preprocessing: rows as the network reads them. */
#ifndef SCHEMA_VIEW_H
#define SCHEMA_VIEW_H

#include "schema/preprocessing/preprocessing.h"

/* Which column each feature is, and what its dictionary codes mean. */
struct schema_view {
    const struct schema_preprocessing *preprocessing;
    const struct schema_dataset *dataset;
    int32_t *columns;      /* (features_count), -1: the dataset has no such column (predicting) */
    int32_t **categories;  /* per feature: category of each dictionary code, NULL unless categorical */
    int32_t *targets;      /* (targets_count) column, -1 when absent */
    int32_t **classes;     /* per target: class of each dictionary code, NULL unless coded */
    int32_t sample_weight; /* column, -1: none */
    size_t tensor_size;    /* numbers of the largest tensor cell */
    double **folds;        /* per feature: TARGET without the rows of each fold, see schema_view_leave_folds_out; NULL else */
};
/* With `strict`, every feature and the target must be there with fitting types. */
struct schema_view *schema_view_new(const struct schema_preprocessing *preprocessing, const struct schema_dataset *dataset, bool strict,
                                    struct bp_error *error);
void schema_view_free(struct schema_view *view);
/* From now on the view shows rows as training rows: their TARGET encodings are fitted on those of rows[0..n), the training rows, that are not of the
 * row's own fold. A pure function of its arguments. */
int schema_view_leave_folds_out(struct schema_view *view, const int64_t *rows, int64_t n, struct bp_error *error);
/* Inputs of rows[0..n): inputs[k] has space for all rows, one after the other. tensor: (tensor_size) space. */
void schema_view_rows(const struct schema_view *view, const int64_t *rows, int32_t n, float *tensor, float *const *inputs);
/* The same of rows first..first+n, at most as many as a workspace holds, faster. What is read of a column on the way is shown to the reader, in
 * pieces: numbers (n), NaN: missing, or codes (n) of the dictionary, -1: missing; of texts and tensors nothing. */
struct schema_view_cells {
    int32_t feature, n;
    int64_t first; /* row of the dataset */
    const double *numbers;
    const int32_t *codes;
};
typedef void schema_view_seen(void *context, const struct schema_view_cells *cells);
struct schema_view_reader {
    schema_view_seen *seen; /* NULL: there is none */
    void *context;
};
void schema_view_block(const struct schema_view *view, const struct schema_view_reader *reader, int64_t first, int32_t n, float *tensor,
                       float *const *inputs);
/* Target k of rows[0..n) as the network wants it: class numbers, or standardised values; NaN when missing or not a known label. */
void schema_view_targets(const struct schema_view *view, int32_t k, const int64_t *rows, int64_t n, double *out);
double schema_view_target(const struct schema_view *view, int32_t k, int64_t row);
/* The same of one row for a tensor: its numbers; of classes a negative one where a position has none. False: one of them is missing, or no class. */
bool schema_view_target_tensor(const struct schema_view *view, int32_t k, int64_t row, float *out);
/* Whether rows[0..n), at most SCHEMA_ROWS_MAX, have all targets, a weight, and a value in all features that leave their rows out otherwise. -1: no
 * memory. */
enum { SCHEMA_ROWS_MAX = 1024 };
int schema_view_complete(const struct schema_view *view, const int64_t *rows, int32_t n, bool *out);
/* What rows[0..n) count. */
void schema_view_weights(const struct schema_view *view, const int64_t *rows, int64_t n, double *out);

#endif

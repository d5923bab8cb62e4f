/* preprocessing.h - from columns to the network's inputs, and from its output back to labels and units.
 *
 * Fitted once, on the training rows only; part of the model version; the same code turns a row into numbers in training,
 * validation and predict, so the bits are the same. Numbers stay double until they are scaled.
 *
 * Features are laid out in job order. Columns that are not tensors are concatenated into the input "features":
 *   numeric      (v - mean) / std; a missing value becomes the mean, with one more number 0/1 that says so when
 *                training rows had missing values
 *   boolean      0 or 1, missing as for numeric
 *   categorical  one-hot over the categories of the training rows, and a last bucket for unseen and missing ones
 * Each tensor column is an input of its own name: (v - mean) / std over all its numbers; missing numbers become 0.
 * A job's `columns` may ask for another way of each: see struct schema_column_options. */
#ifndef SCHEMA_PREPROCESSING_H
#define SCHEMA_PREPROCESSING_H

#include "dataset.h"
#include "network.h"
#include "problems.h"

/* What becomes of missing values: AUTO is INDICATOR where training rows have some, else MEAN; categories have BUCKET. DROP leaves their rows out of
 * the training (in a prediction they become the mean, or go to the bucket), ERROR refuses them, here and there. */
enum schema_missing {
    SCHEMA_MISSING_AUTO,
    SCHEMA_MISSING_MEAN,
    SCHEMA_MISSING_MEDIAN,
    SCHEMA_MISSING_CONSTANT,
    SCHEMA_MISSING_INDICATOR,
    SCHEMA_MISSING_BUCKET,
    SCHEMA_MISSING_DROP,
    SCHEMA_MISSING_ERROR
};
/* (g(v) - mean) / std, with the mean and deviation of g(v) over the training rows for STANDARD (g = v) and LOG (g = sign(v) ln(1 + |v|)), the least
 * and the range for MINMAX, median and interquartile range for ROBUST, 0 and 1 for NONE; QUANTILE: v's place among the quantiles, 0 to 1,
 * standardised. */
enum schema_scale { SCHEMA_SCALE_STANDARD, SCHEMA_SCALE_MINMAX, SCHEMA_SCALE_ROBUST, SCHEMA_SCALE_QUANTILE, SCHEMA_SCALE_LOG, SCHEMA_SCALE_NONE };
/* ORDINAL: one number, the category's place in sorted order, standardised. EMBEDDING: an input of the column's name, of shape [1]: its place from 1
 * on, 0 for unseen and missing ones. */
enum schema_encode { SCHEMA_ENCODE_ONE_HOT, SCHEMA_ENCODE_ORDINAL, SCHEMA_ENCODE_EMBEDDING };
enum schema_unseen { SCHEMA_UNSEEN_BUCKET, SCHEMA_UNSEEN_IGNORE, SCHEMA_UNSEEN_ERROR };

/* What a job asks of a column. Zeros are the defaults. */
struct schema_column_options {
    enum schema_missing missing;
    double constant;
    enum schema_scale scale;
    enum schema_encode encode;
    enum schema_unseen unseen;
};

enum { SCHEMA_KNOTS = 101 };

struct schema_feature {
    char *name;
    enum schema_type type;
    struct schema_column_options options;
    double fill;              /* NUMERIC, BOOLEAN: what a missing value becomes */
    double *knots;            /* QUANTILE: (SCHEMA_KNOTS) quantiles of the training rows, ascending */
    double mean, std;         /* NUMERIC, BOOLEAN (0 and 1), TENSOR; ORDINAL: of the places */
    bool indicator;           /* NUMERIC, BOOLEAN: a number for "missing" follows */
    int32_t categories_count; /* CATEGORICAL, as spelt in the data */
    char **categories;
    int32_t *hash; /* CATEGORICAL: open-addressing table over normalised texts */
    uint32_t hash_size;
    struct bp_shape shape; /* TENSOR */
    bool padded; /* TENSOR: training rows had missing numbers in it: sequences of different lengths, which may be shorter in a request too */
    int32_t width, offset; /* numbers in "features", from offset; TENSOR: 0 and its input number */
};

struct schema_target {
    char *name; /* of the column */
    bool classification;
    int32_t labels_count; /* classification: in sorted order, numbers by value */
    char **labels;
    double *class_weights; /* classification: (labels_count) what a training row of that class counts, NULL: 1 */
    double mean, std;      /* regression: standardised inside; of a tensor over all its numbers */
    struct bp_shape shape; /* of a tensor column; rank 0: one number or label */
};

/* Which targets an output of the network learns: one, or several numbers side by side. */
struct schema_output {
    char name[BP_NAME_MAX]; /* as people see it */
    int32_t first, count;   /* targets[first..first + count) */
};

struct schema_preprocessing {
    int32_t features_count;
    struct schema_feature *features;
    int32_t targets_count;
    struct schema_target *targets; /* in the order of outputs */
    int32_t outputs_count;
    struct schema_output outputs[BP_OUTPUTS_MAX];
    double *units, *origins; /* (targets_count) std and mean of each target, side by side */
    char *sample_weight;     /* the column of what each row counts, NULL: 1 */
    int32_t width;           /* of the input "features", 0 when there is none */
    int32_t inputs_count;    /* inputs of the network: "features" first when it exists, then the tensors in order */
    struct bp_input inputs[BP_INPUTS_MAX];
};

/* One cell of a row, decoded from a dataset or a request. */
struct schema_feature_value {
    enum { SCHEMA_VALUE_MISSING, SCHEMA_VALUE_NUMBER, SCHEMA_VALUE_CATEGORY, SCHEMA_VALUE_TENSOR } kind;
    double number;       /* NUMBER */
    int32_t category;    /* CATEGORY: index, or -1 for unseen */
    const float *tensor; /* TENSOR: shape numbers */
};

/* What to fit on: rows[0..n) of the dataset, features and targets by column. Labels and weights are copied. */
struct schema_fit_target {
    int32_t column;
    char *const *labels; /* the classes; labels_count 0 for regression */
    int32_t labels_count;
    bool balanced;               /* weigh classes by how rare they are: n / (classes * rows of the class) */
    const double *class_weights; /* (labels_count), or NULL */
};
struct schema_fit {
    const struct schema_dataset *dataset;
    const int32_t *columns;                      /* the features, in job order */
    const struct schema_column_options *options; /* [columns_count], NULL: defaults */
    int32_t columns_count, targets_count;
    const struct schema_fit_target *targets;
    const char *sample_weight; /* column, or NULL */
    const int64_t *rows;
    int64_t n;
    bool sparing; /* data larger than memory: pages are let go once they are read */
};

/* All targets become one output; the caller says otherwise where there are several. The result is the caller's; NULL with error set. */
struct schema_preprocessing *schema_preprocessing_fit(const struct schema_fit *fit, struct bp_error *error);
void schema_preprocessing_free(struct schema_preprocessing *preprocessing);

/* As it stands in the model, readable; reading it back gives the same bits. */
json_t *schema_preprocessing_encode(const struct schema_preprocessing *preprocessing);
struct schema_preprocessing *schema_preprocessing_decode(const json_t *json, struct bp_error *error);

/* Transforms one row: cells[features_count] into inputs[0..inputs_count), each the start of that row's numbers. */
void schema_transform(const struct schema_preprocessing *preprocessing, const struct schema_feature_value *cells, float *const *inputs);
/* Whether the feature is an input of its own name: tensors, and categories for an embedding. */
bool schema_feature_apart(const struct schema_feature *feature);
/* Index of a category by its text (numbers normalised: "6.0" is "6"), -1 when it was not in the training rows. */
int32_t schema_feature_category(const struct schema_feature *feature, const char *text, size_t size);

/* ---- a dataset seen through a fitted preprocessing ---- */
/* Which column each feature is, and what its dictionary codes mean. */
struct schema_view {
    const struct schema_preprocessing *preprocessing;
    const struct schema_dataset *dataset;
    int32_t *columns;      /* (features_count), -1: the dataset has no such column (predicting) */
    int32_t **categories;  /* per feature: category of each dictionary code, NULL unless categorical */
    int32_t *targets;      /* (targets_count) column, -1 when absent */
    int32_t **classes;     /* per target: class of each dictionary code, NULL unless coded */
    int32_t sample_weight; /* column, -1: none */
    size_t tensor_size;    /* numbers of all tensor cells of a row */
};
/* With `strict`, every feature and the target must be there with fitting types. */
struct schema_view *schema_view_new(const struct schema_preprocessing *preprocessing, const struct schema_dataset *dataset, bool strict,
                                    struct bp_error *error);
void schema_view_free(struct schema_view *view);
/* Inputs of rows[0..n): inputs[k] has room for those of all of them, one after the other. cells: (n, features_count); tensors: (n, tensor_size). */
void schema_view_rows(const struct schema_view *view, const int64_t *rows, int32_t n, struct schema_feature_value *cells, float *tensors,
                      float *const *inputs);
void schema_view_row(const struct schema_view *view, int64_t row, struct schema_feature_value *cells, float *tensors, float *const *inputs);
/* Target k of rows[0..n) as the network wants it: class numbers, or standardised values; NaN when missing or not a known label. */
void schema_view_targets(const struct schema_view *view, int32_t k, const int64_t *rows, int64_t n, double *out);
double schema_view_target(const struct schema_view *view, int32_t k, int64_t row);
/* The same of one row for a tensor: its numbers. False: one of them is missing. */
bool schema_view_target_tensor(const struct schema_view *view, int32_t k, int64_t row, float *out);
/* Whether rows[0..n), at most SCHEMA_ROWS_MAX, have all targets, a weight, and a value in all features that leave their rows out otherwise. -1: no
 * memory. */
enum { SCHEMA_ROWS_MAX = 1024 };
int schema_view_complete(const struct schema_view *view, const int64_t *rows, int32_t n, bool *out);
/* What rows[0..n) count. */
void schema_view_weights(const struct schema_view *view, const int64_t *rows, int64_t n, double *out);
/* Numbers of target k in the network: 1, or those of a tensor. */
int64_t schema_target_size(const struct schema_target *target);

/* {"missing":"median","scale":"robust"} of a column, to and from; encoding tells what differs from the defaults of its type. -1 with problems. */
int schema_column_options_decode(const json_t *json, const char *pointer, const struct schema_column *column, struct schema_column_options *options,
                                 struct schema_problems *problems);
json_t *schema_column_options_encode(const struct schema_feature *feature);

/* ---- private to preprocessing*.c ---- */
/* Whether the moments of the training rows are all that the feature is fitted by; what is fitted by them, of n rows. */
struct schema_moments;
bool schema_scale_by_moments(const struct schema_feature *feature);
void schema_scale_begin(struct schema_feature *feature, const struct schema_moments *moments, int64_t n);
/* NUMERIC and BOOLEAN: fitted on values[0..n), which are sorted here; NaN stands for missing. */
int schema_scale_fit(struct schema_feature *feature, double *values, int64_t n, struct bp_error *error);
/* One number of the network's. */
double schema_scale_apply(const struct schema_feature *feature, double v);
/* CATEGORICAL, ORDINAL or EMBEDDING: sorts the categories; for ORDINAL also the scale, over the training rows' counts. */
int schema_places_fit(struct schema_feature *feature, const int64_t *counts);
/* Members of a feature's JSON for what its options ask. */
void schema_feature_options_encode(const struct schema_feature *feature, json_t *json);
int schema_feature_options_decode(const json_t *json, struct schema_feature *feature);
/* Mean and standard deviation of the population by Welford's recurrence; 0 and 1 where there is nothing or no spread. */
struct schema_moments {
    double n, mean, m2;
};
void schema_moments_add(struct schema_moments *moments, double v);
void schema_moments_result(const struct schema_moments *moments, double *mean, double *std);
json_t *schema_strings_encode(char *const *strings, int32_t count);
char **schema_strings_decode(const json_t *list, int32_t *count);
json_t *schema_dims_encode(const struct bp_shape *shape);
/* -1: not a list of 1 to BP_RANK_MAX sizes. */
int schema_dims_decode(const json_t *dims, struct bp_shape *shape);
int schema_targets_fit(const struct schema_fit *fit, struct schema_preprocessing *p, struct bp_error *error);
/* Adds "target" (one) or "targets" and "outputs" (several), "sample_weight". */
void schema_targets_encode(const struct schema_preprocessing *p, json_t *json);
int schema_view_bind_target(struct schema_view *view, int32_t k, bool strict, struct bp_error *error);
int schema_targets_decode(const json_t *json, struct schema_preprocessing *p);
/* The class whose label is that number, -1: none. */
int32_t schema_target_class(const struct schema_target *target, double number);
/* Fills units and origins anew from the targets. */
int schema_targets_units(struct schema_preprocessing *p);
void schema_targets_free(struct schema_preprocessing *p);

#endif

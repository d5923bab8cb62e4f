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
 * Each tensor column is an input of its own name: (v - mean) / std over all its numbers; missing numbers become 0. */
#ifndef SCHEMA_PREPROCESSING_H
#define SCHEMA_PREPROCESSING_H

#include "dataset.h"
#include "network.h"

struct schema_feature {
    char *name;
    enum schema_type type;
    double mean, std;         /* NUMERIC, BOOLEAN (0 and 1), TENSOR */
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
    const int32_t *columns; /* the features, in job order */
    int32_t columns_count, targets_count;
    const struct schema_fit_target *targets;
    const char *sample_weight; /* column, or NULL */
    const int64_t *rows;
    int64_t n;
};

/* All targets become one output; the caller says otherwise where there are several. The result is the caller's; NULL with error set. */
struct schema_preprocessing *schema_preprocessing_fit(const struct schema_fit *fit, struct bp_error *error);
void schema_preprocessing_free(struct schema_preprocessing *preprocessing);

/* As it stands in the model, readable; reading it back gives the same bits. */
json_t *schema_preprocessing_encode(const struct schema_preprocessing *preprocessing);
struct schema_preprocessing *schema_preprocessing_decode(const json_t *json, struct bp_error *error);

/* Transforms one row: cells[features_count] into inputs[0..inputs_count), each the start of that row's numbers. */
void schema_transform(const struct schema_preprocessing *preprocessing, const struct schema_feature_value *cells, float *const *inputs);
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
/* Inputs of one row. tensors: room for view->tensor_size floats. */
void schema_view_row(const struct schema_view *view, int64_t row, struct schema_feature_value *cells, float *tensors, float *const *inputs);
/* Target k of one row as the network wants it: a class number, or the standardised value; NaN when missing or not a known label. */
double schema_view_target(const struct schema_view *view, int32_t k, int64_t row);
/* The same for a tensor: its numbers. False: one of them is missing. */
bool schema_view_target_tensor(const struct schema_view *view, int32_t k, int64_t row, float *out);
/* Whether all targets of the row are there; and what the row counts. */
bool schema_view_complete(const struct schema_view *view, int64_t row);
double schema_view_weight(const struct schema_view *view, int64_t row);
/* Numbers of target k in the network: 1, or those of a tensor. */
int64_t schema_target_size(const struct schema_target *target);

/* ---- private to preprocessing*.c ---- */
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
/* Fills units and origins anew from the targets. */
int schema_targets_units(struct schema_preprocessing *p);
void schema_targets_free(struct schema_preprocessing *p);

#endif

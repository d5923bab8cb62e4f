/* preprocessing.h - from columns to the network's inputs, and from its output back to labels and units.
 *
 * Fitted once, on the training rows only; part of the model version; the same code turns a row into numbers in training,
 * validation and predict, so the bits are the same. Numbers stay double until they are scaled.
 *
 * Features are laid out in job order. Columns that are not tensors are concatenated into the input "features":
 *   numeric      (v - mean) / std; a missing value becomes the mean, with one more number 0/1 that says so when
 *                training rows had missing values
 *   boolean      0 or 1, missing as for numeric
 *   categorical  one-hot over the categories of the training rows, and a last bucket for unseen, rare and missing ones
 *   datetime     seconds as a number; sine and cosine of its place in the year, in the week, and in the day where training rows have a time of day
 *   text         a bag of words: a number for each word of the vocabulary, which are those in most training rows
 * Each tensor column is an input with its own name: (v - mean) / std of its channel, the last axis, so that each number of a vector has its own
 * (lists of different lengths are steps of one thing and have one); missing numbers become 0, which is the mean. Where a masking layer reads the
 * tensor, its mask_value is compared with the numbers as they were given: such steps are padding, and enter no mean.
 *
 * Standardised values are clipped smoothly beyond SCHEMA_CLIP / 2 deviations, towards SCHEMA_CLIP: one outlier cannot move a prediction far. A
 * handful of values that are absurdly far out does not enter mean and deviation either (schema_moments_trim). A column that was constant in training
 * stays that constant.
 * A job's `columns` may override each: see struct schema_column_options. */
#ifndef SCHEMA_PREPROCESSING_H
#define SCHEMA_PREPROCESSING_H

#include "engine/network/network.h"
#include "schema/dataset/dataset.h"
#include "schema/json/problems.h"

#include <locale.h>

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
/* Clipped z = (g(v) - mean) / std, with the mean and deviation of g(v) over the training rows for STANDARD (g = v) and LOG (g = sign(v) ln(1 + |v|)),
 * the least and the range for MINMAX, median and interquartile range for ROBUST, 0 and 1 for NONE; QUANTILE: v's place among the quantiles, 0 to 1,
 * standardised; GLOBAL: of a tensor, one mean and deviation for all its numbers. */
enum schema_scale {
    SCHEMA_SCALE_STANDARD,
    SCHEMA_SCALE_MINMAX,
    SCHEMA_SCALE_ROBUST,
    SCHEMA_SCALE_QUANTILE,
    SCHEMA_SCALE_LOG,
    SCHEMA_SCALE_NONE,
    SCHEMA_SCALE_GLOBAL
};
/* Of categories. ORDINAL: one number, the category's place in sorted order, standardised. EMBEDDING: an input of the column's name, of shape [1]: its
 * place from 1 on, 0 for unseen and missing ones. TARGET: the mean target of the training rows of that category, drawn towards that of all the more,
 * the fewer they are; the encoding of a training row is fitted without the rows of its fold (means.c). Of texts. BAG_OF_WORDS: (1 + ln count)
 * idf of each word of the vocabulary, the whole scaled to length 1; idf = ln((1 + n) / (1 + rows with it)) + 1 (Manning, Raghavan, Schuetze,
 * Introduction to Information Retrieval, 6.4; the idf as scikit-learn smooths it). HASHED: the same without idf and vocabulary, words added or
 * subtracted in buckets by a hash (Weinberger et al. 2009). TOKENS: an input of the column's name, of shape [length]: the number of each word in
 * turn, from 2 on, 1 for one not in the vocabulary, 0 after the last. */
enum schema_encode {
    SCHEMA_ENCODE_ONE_HOT,
    SCHEMA_ENCODE_ORDINAL,
    SCHEMA_ENCODE_EMBEDDING,
    SCHEMA_ENCODE_TARGET,
    SCHEMA_ENCODE_BAG_OF_WORDS,
    SCHEMA_ENCODE_HASHED,
    SCHEMA_ENCODE_TOKENS
};
enum schema_unseen { SCHEMA_UNSEEN_BUCKET, SCHEMA_UNSEEN_IGNORE, SCHEMA_UNSEEN_ERROR };

/* The options of a column in a job. Zeros are the defaults. */
struct schema_column_options {
    enum schema_missing missing;
    double constant;
    enum schema_scale scale;
    double clip; /* in deviations; negative: none, 0: SCHEMA_CLIP where the scale has one */
    enum schema_encode encode;
    enum schema_unseen unseen;
    int32_t categories_max; /* CATEGORICAL: number of most frequent categories that get a code; the others are treated as unknown */
    int32_t vocabulary;     /* TEXT: words at most */
    int32_t length;         /* TEXT, TOKENS: of the sequence */
    int32_t buckets;        /* TEXT, HASHED */
    double smoothing;       /* TARGET: rows that the mean of all counts for in that of a category */
    uint32_t parts;         /* DATETIME: a bit for each enum schema_time_part */
};

enum { SCHEMA_CATEGORIES_MAX = 1000, SCHEMA_VOCABULARY = 2000, SCHEMA_BUCKETS = 1024, SCHEMA_SMOOTHING = 10 /* defaults */ };
enum { SCHEMA_KNOTS = 101, SCHEMA_CLIP = 8 };

/* One channel of a tensor. Equal min and max: it was constant in training. */
struct schema_channel {
    double mean, std, min, max; /* min and max of the training rows; infinite: not known (older models) */
};

struct schema_feature {
    char *name;
    enum schema_type type;
    struct schema_column_options options;
    double fill;                     /* NUMERIC, BOOLEAN: what a missing value becomes */
    double *knots;                   /* QUANTILE: (SCHEMA_KNOTS) quantiles of the training rows, ascending */
    double mean, std;                /* NUMERIC, BOOLEAN (0 and 1), DATETIME; ORDINAL: of the places */
    double min, max;                 /* NUMERIC, BOOLEAN, DATETIME: of the training rows; infinite: not known (older models) */
    double clip;                     /* NUMERIC, DATETIME, TENSOR: what standardised values are clipped towards, 0: not at all */
    bool constant;                   /* the training rows have one value, and no missing cell: every value counts as that one */
    struct schema_channel *channels; /* TENSOR: (channels_count), 0: not scaled */
    int32_t channels_count;
    bool masked; /* TENSOR: a masking layer reads it: steps whose numbers all are mask_value, or missing, are padding */
    double mask_value;
    bool indicator;           /* NUMERIC, BOOLEAN: a number for "missing" follows */
    int32_t categories_count; /* CATEGORICAL, as written in the data */
    char **categories;        /* TEXT: the words of the vocabulary, most frequent first */
    int32_t *hash;            /* CATEGORICAL, TEXT: open-addressing table over them, normalised */
    uint32_t hash_size;
    int64_t left_out;      /* CATEGORICAL: how many categories beyond categories_max there were in the training rows */
    double *idf;           /* BAG_OF_WORDS: (categories_count) */
    double *means;         /* TARGET: (categories_count + 1, means_width), the last row for what is unseen, rare or missing */
    int32_t means_width;   /* numbers of all targets */
    char *format;          /* DATETIME: see struct schema_column; NULL: the usual forms */
    struct bp_shape shape; /* TENSOR, TOKENS */
    bool padded; /* TENSOR: training rows had missing numbers in it: sequences of different lengths, which may be shorter in a request too */
    int32_t width, offset; /* numbers in "features", from offset; TENSOR: 0 and its input number */
};

/* Several labels a row in one column: a vector of 0 and 1 with a label for each position, or lists of the labels that a row has. Columns of no and
 * yes that one output learns are labels too, a target each. */
enum schema_multilabel { SCHEMA_ONE_LABEL, SCHEMA_LABEL_VECTOR, SCHEMA_LABEL_LISTS };

struct schema_target {
    char *name; /* of the column */
    bool classification;
    enum schema_multilabel multilabel; /* classification: then each label is a number of its own, 0 or 1, and shape is (labels_count) */
    double *thresholds;                /* classification: as schema_preprocessing.thresholds; NULL: the defaults */
    int32_t labels_count;              /* classification: in sorted order, numbers by value */
    char **labels;
    double *class_weights;           /* classification: (labels_count) what a training row (or position) of that class counts, NULL: 1 */
    double mean, std;                /* regression: standardised inside */
    struct schema_channel *channels; /* regression of a tensor: (channels_count) as of features; 0: mean and std hold for all numbers */
    int32_t channels_count;
    bool shares;           /* numbers from 0 to 1 that a loss of shares learns as they are: mean 0, std 1; or one of several labels, 0 or 1 */
    bool ragged;           /* of a tensor of numbers: rows may lack steps at the end, which are learned from in none of them */
    double min, max;       /* regression, while a job is resolved: of the training rows, NaN: not known; channels have their own */
    double counts_mean;    /* for a loss of counts: their mean in the training rows, 0: not known */
    int64_t units_at;      /* of its first number in the preprocessing's units */
    int64_t thresholds_at; /* of its first label in the preprocessing's thresholds */
    struct bp_shape shape; /* of a tensor column, of classes too: then each position has one, the number in its place; (labels_count) with several
                              labels; rank 0: one number or label */
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
    double *units, *origins; /* std and mean of each number of the targets, one target after the other: see schema_target_unit */
    double *thresholds;      /* probabilities from which on a label is predicted: of each label of the targets with several, and of class 1 of every
                                other target (0: the most probable class), one target after the other */
    char *sample_weight;     /* the column of what each row counts, NULL: 1 */
    int32_t width;           /* of the input "features", 0 when there is none */
    int32_t inputs_count;    /* inputs of the network: "features" first when it exists, then the tensors in order */
    struct bp_input inputs[BP_INPUTS_MAX];
    locale_t locale; /* that texts are read by, 0 without texts */
};

/* One cell of a row, decoded from a dataset or a request. */
struct schema_feature_value {
    enum { SCHEMA_VALUE_MISSING, SCHEMA_VALUE_NUMBER, SCHEMA_VALUE_CATEGORY, SCHEMA_VALUE_TENSOR, SCHEMA_VALUE_TEXT } kind;
    double number;       /* NUMBER */
    int32_t category;    /* CATEGORY: index, or -1 for unseen */
    const double *means; /* CATEGORY: replaces the feature's means, or NULL */
    const float *tensor; /* TENSOR: shape numbers, NaN: missing */
    bool holes;          /* TENSOR: some are missing, and not as the padding of a shorter sequence */
    const char *text;    /* TEXT: size bytes */
    size_t size;
};

/* What to fit on: rows[0..n) of the dataset, features and targets by column. Labels and weights are copied. */
struct schema_fit_target {
    int32_t column;
    char *const *labels; /* the classes; labels_count 0 for regression */
    int32_t labels_count;
    enum schema_multilabel multilabel;
    bool ragged;                 /* see struct schema_target */
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
    bool sparing; /* data larger than memory: pages are released after reading */
};

/* All targets become one output; the caller overrides this if there are several. The result is the caller's; NULL with error set. */
struct schema_preprocessing *schema_preprocessing_fit(const struct schema_fit *fit, struct bp_error *error);
void schema_preprocessing_free(struct schema_preprocessing *preprocessing);

/* Written to the model, readable; reading it back gives the same bits. */
json_t *schema_preprocessing_encode(const struct schema_preprocessing *preprocessing);
struct schema_preprocessing *schema_preprocessing_decode(const json_t *json, struct bp_error *error);

/* Transforms one row: cells[features_count] into inputs[0..inputs_count), each the start of that row's numbers. */
void schema_transform(const struct schema_preprocessing *preprocessing, const struct schema_feature_value *cells, float *const *inputs);
/* Whether the feature is an input with its own name: tensors, and categories for an embedding. */
bool schema_feature_apart(const struct schema_feature *feature);
/* Index of a category by its text (numbers normalised: "6.0" is "6"), -1 when it was not in the training rows. */
int32_t schema_feature_category(const struct schema_feature *feature, const char *text, size_t size);

/* ---- a dataset through a fitted preprocessing ---- */
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
/* Numbers of target k in the network: 1, or those of a tensor. */
int64_t schema_target_size(const struct schema_target *target);
/* Whether an output learns several labels at once: a target of several, or targets of two classes each. */
bool schema_output_multilabel(const struct schema_preprocessing *preprocessing, int32_t o);
/* Labels of an output that have a threshold: all of an output with several, the second one of two classes, none else; the name of the j-th. */
int32_t schema_output_labels(const struct schema_preprocessing *preprocessing, int32_t o);
const char *schema_output_label(const struct schema_preprocessing *preprocessing, int32_t o, int32_t j);
/* Reads thresholds as a request gives them, a number for all labels, numbers by label, or either by output, into `thresholds`, as long as those of
 * the preprocessing. usable: whether an output gives probabilities. -1 with problems. */
int schema_thresholds_decode(const struct schema_preprocessing *preprocessing, const json_t *json, const char *pointer, const bool *usable,
                             double *thresholds, struct schema_problems *problems);
/* The same way round: {"red":0.5}, by output where there are several. NULL: no output has several labels, and no other has a threshold of its own. */
json_t *schema_thresholds_encode(const struct schema_preprocessing *preprocessing);
/* Makes what is in `thresholds` those of the targets. -1: no memory. */
int schema_thresholds_keep(struct schema_preprocessing *preprocessing, const double *thresholds);
int64_t schema_thresholds_count(const struct schema_preprocessing *preprocessing);
/* The numbers of a tensor target, each 0 or 1, become labels, which are called by their positions or as `names` says. -1: no memory. */
int schema_target_make_labels(struct schema_target *target, const char *const *names);
/* Unit and origin of its j-th number: v of the network means v * unit + origin. */
double schema_target_unit(const struct schema_target *target, int64_t j);
double schema_target_origin(const struct schema_target *target, int64_t j);
/* Sets them for all numbers. */
void schema_target_rescale(struct schema_target *target, double origin, double unit);

/* {"missing":"median","scale":"robust"} of a column, to and from; encoding writes what differs from the defaults of its type. -1 with problems. */
int schema_column_options_decode(const json_t *json, const char *pointer, const struct schema_column *column, struct schema_column_options *options,
                                 struct schema_problems *problems);
json_t *schema_column_options_encode(const struct schema_feature *feature);

/* ---- private to preprocessing*.c ---- */
/* Whether the moments of the training rows are all that the feature is fitted by; what is fitted by them, of n rows. */
struct schema_moments;
bool schema_scale_by_moments(const struct schema_feature *feature);
int schema_scale_begin(struct schema_feature *feature, const struct schema_moments *moments, int64_t n, struct bp_error *error);
/* z, clipped: z up to half of clip, then c/2 (1 + t / sqrt(1 + t^2)) with t = (|z| - c/2) / (c/2), smooth in its first two derivatives. Not clipped:
 * what float32 does not hold. */
double schema_scale_clip(double z, double clip);
/* NUMERIC, BOOLEAN, DATETIME: whether v lies outside the range of the training rows by more than half its width; of a constant, whether it is another
 * value. TENSOR: *at becomes the first number of the cell that does, in its channel; one that was constant is measured by the whole tensor's range.
 */
bool schema_feature_far(const struct schema_feature *feature, double v);
bool schema_tensor_far(const struct schema_feature *feature, const float *v, int64_t *at);
/* Infinite where float32 does not hold it. */
float schema_scale_float(double z);
/* Unscaled from now on: no mean, no deviation, no clip. */
void schema_feature_unscaled(struct schema_feature *feature);
/* NUMERIC and BOOLEAN: fitted on values[0..n), which are sorted here; NaN means missing. */
int schema_scale_fit(struct schema_feature *feature, double *values, int64_t n, struct bp_error *error);
/* One number of the network's. */
double schema_scale_apply(const struct schema_feature *feature, double v);
/* NUMERIC, the same for n cells, NaN: missing; followed by its indicator. Consecutive cells are `stride` numbers apart. */
void schema_scale_many(const struct schema_feature *feature, const double *v, int32_t n, float *out, int64_t stride);
/* What schema_transform does of a single cell. */
void schema_transform_cell(const struct schema_preprocessing *p, int32_t feature, const struct schema_feature_value *cell, float *const *inputs);
/* The encoding of the feature: from its options, or the default of its type. */
enum schema_encode schema_feature_encode(const struct schema_feature *feature);
/* The table that schema_feature_category looks into. */
int schema_feature_hash(struct schema_feature *feature);
/* text.c: the words of rows[0..n), and what becomes of a text. */
int schema_texts_fit(struct schema_feature *feature, const struct schema_fit *fit, int32_t column, locale_t locale, struct bp_error *error);
void schema_text_apply(const struct schema_preprocessing *p, const struct schema_feature *feature, const struct schema_feature_value *cell,
                       float *out);
/* time.c: values[0..n) are seconds, NaN: missing. */
int schema_times_fit(struct schema_feature *feature, double *values, int64_t n, struct bp_error *error);
int32_t schema_time_width(const struct schema_feature *feature);
void schema_time_apply(const struct schema_feature *feature, const struct schema_feature_value *cell, float *out);
/* means.c: TARGET, of all features with that encoding; the targets are fitted. */
int schema_means_fit(const struct schema_fit *fit, struct schema_preprocessing *p, struct bp_error *error);
/* The fold of a row of the dataset, 0..SCHEMA_TARGET_ENCODING_FOLDS-1. */
enum { SCHEMA_TARGET_ENCODING_FOLDS = 5 };
int32_t schema_means_fold(int64_t row);
/* CATEGORICAL, ORDINAL or EMBEDDING: sorts the categories; for ORDINAL also the scale, over the training rows' counts. */
int schema_places_fit(struct schema_feature *feature, const int64_t *counts);
/* Members of a feature's JSON for its options. */
void schema_feature_options_encode(const struct schema_feature *feature, json_t *json);
int schema_feature_options_decode(const json_t *json, struct schema_feature *feature);
/* What belongs to the categories, which are there: idf, means. */
int schema_feature_tables_decode(const json_t *json, struct schema_feature *feature);
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
/* Now and then, while rows are read in order: `read` of them were. */
void schema_fit_release(const struct schema_fit *fit, int64_t read);

/* tensor.c */
struct schema_tensor_fit {
    const char *name, *pointer; /* of the column, for errors */
    struct bp_shape shape;
    bool global;
    bool masked; /* steps of mask_value are padding */
    double mask_value;
    void (*hidden)(void *context, int64_t row, bool *steps); /* or: marks the padding steps of a row; NULL: none */
    void *context;
    bool *steps;
    /* out; channels is freed before */
    struct schema_channel *channels;
    int32_t channels_count;
    bool missing, cut; /* some rows lack numbers; whole steps at the end */
};
int schema_tensor_fit(struct schema_tensor_fit *how, const struct schema_fit *fit, int32_t column, struct bp_error *error);
int schema_feature_fit_tensor(struct schema_feature *feature, const struct schema_fit *fit, int32_t column, struct bp_error *error);
/* Whether rows of a tensor column lack whole steps at the end, and not all. -1: no memory. */
int schema_tensor_ragged(const struct schema_dataset *dataset, int32_t column);
/* v: the numbers of a cell, NULL: missing. */
void schema_tensor_apply(const struct schema_feature *feature, const float *v, float *out);
void schema_channels_encode(struct schema_channel *channels, int32_t count, json_t *json);
int schema_channels_decode(const json_t *json, const struct bp_shape *shape, struct schema_channel **channels, int32_t *count);
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
/* Fills units, origins and thresholds anew from the targets. */
int schema_targets_units(struct schema_preprocessing *p);
/* labels.c: those of the targets into the preprocessing's; to JSON and back. */
void schema_thresholds_spread(struct schema_preprocessing *p);
void schema_target_thresholds_encode(const struct schema_target *target, json_t *json);
int schema_target_thresholds_decode(const json_t *json, struct schema_target *target);
void schema_targets_free(struct schema_preprocessing *p);

#endif

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
 * A definition whose layers read "numbers" and "categories" instead gets the same numbers as two inputs: "numbers" has the numeric columns and the
 * seconds of datetimes, which an embedding of numbers is for; "categories" has everything else: one-hot categories, booleans, ordinal places, target
 * means, words, sines and cosines, and the indicators of missing values.
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
#include "schema/preprocessing/options.h"

#include <locale.h>

enum { SCHEMA_KNOTS = 101 };

/* One channel of a tensor. Equal min and max: it was constant in training. */
struct schema_channel {
    double mean, std, min, max; /* min and max of the training rows; infinite: not known (older models) */
};

/* Consecutive numbers of an input of the network. */
struct schema_place {
    int32_t input, offset, width;
};
/* The inputs that columns without one of their own share, when it is not the one input "features". */
enum schema_shared_input { SCHEMA_INPUT_NUMBERS, SCHEMA_INPUT_CATEGORIES, SCHEMA_SHARED_INPUTS };
extern const char *const schema_input_names[SCHEMA_SHARED_INPUTS]; /* "numbers", "categories" */

struct schema_feature {
    char *name;
    enum schema_type type;
    struct schema_column_options options;
    double fill;                     /* NUMERIC, BOOLEAN: what a missing value becomes */
    double *knots;                   /* QUANTILE: (SCHEMA_KNOTS) quantiles of the training rows, ascending */
    double mean, std;                /* NUMERIC, BOOLEAN (0 and 1), DATETIME; ORDINAL: of the places */
    double min, max;                 /* NUMERIC, BOOLEAN, DATETIME: of the training rows; infinite: not known (older models) */
    double clip;                     /* NUMERIC, DATETIME, TENSOR: what standardised values are clipped towards, 0: not at all */
    bool smooth;                     /* ROBUST: clipped by schema_scale_squash instead of schema_scale_clip (not so in older models) */
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
    int64_t left_out;      /* CATEGORICAL: how many categories beyond categories_max there were in the training rows, */
    int64_t rare;          /* and how many below categories_min_count */
    double *idf;           /* BAG_OF_WORDS: (categories_count) */
    double *means;         /* TARGET: (categories_count + 1, means_width), the last row for what is unseen, rare or missing */
    int32_t means_width;   /* numbers of all targets */
    char *format;          /* DATETIME: see struct schema_column; NULL: the usual forms */
    struct bp_shape shape; /* TENSOR, TOKENS */
    bool padded;   /* TENSOR: training rows had missing numbers in it: sequences of different lengths, which may be shorter in a request too */
    bool apart;    /* an input with its own name */
    int32_t width; /* numbers in the inputs that columns share; 0: an input of its own */
    int32_t places_count;
    struct schema_place places[2]; /* where its numbers are, one place after the other */
};

/* Several labels a row in one column: a vector of 0 and 1 with a label for each position, or lists of the labels that a row has. Columns of no and
 * yes that one output learns are labels too, a target each. */
enum schema_multilabel { SCHEMA_ONE_LABEL, SCHEMA_LABEL_VECTOR, SCHEMA_LABEL_LISTS };

/* What is learned of a number instead of itself: see target_value.c. */
enum schema_target_transform {
    SCHEMA_TRANSFORM_NONE,
    SCHEMA_TRANSFORM_LOG,
    SCHEMA_TRANSFORM_LOG1P,
    SCHEMA_TRANSFORM_SQRT,
    SCHEMA_TRANSFORM_YEO_JOHNSON,
    SCHEMA_TRANSFORM_BOX_COX,
    SCHEMA_TRANSFORMS
};
extern const char *const schema_transform_names[SCHEMA_TRANSFORMS + 1]; /* NULL-terminated */

struct schema_target {
    char *name; /* of the column */
    bool classification;
    enum schema_multilabel multilabel; /* classification: then each label is a number of its own, 0 or 1, and shape is (labels_count) */
    double *thresholds;                /* classification: as schema_preprocessing.thresholds; NULL: the defaults */
    int32_t labels_count;              /* classification: in sorted order, numbers by value */
    char **labels;
    double *class_weights;                   /* classification: (labels_count) what a training row (or position) of that class counts, NULL: 1 */
    double mean, std;                        /* regression: standardised inside, after the transform */
    enum schema_target_transform transform;  /* regression of one number */
    bool clamp;                              /* likewise: a prediction outside low to high becomes the nearest of the two */
    double lambda;                           /* of the power transforms */
    double low, high, value_mean, value_std; /* with a transform or clamp: of the training rows, in the target's own unit */
    struct schema_channel *channels;         /* regression of a tensor: (channels_count) as of features; 0: mean and std hold for all numbers */
    int32_t channels_count;
    bool shares;        /* numbers from 0 to 1 that a loss of shares learns as they are: mean 0, std 1; or one of several labels, 0 or 1 */
    bool ragged;        /* of a tensor of numbers: rows may lack steps at the end, which are learned from in none of them */
    double min, max;    /* regression, while a job is resolved: of the training rows, after the transform, NaN: not known; channels have their own */
    double counts_mean; /* for a loss of counts: their mean in the training rows, 0: not known */
    int64_t units_at;   /* of its first number in the preprocessing's units */
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
    double *units, *origins; /* of each number of the targets, one target after the other: see schema_target_metric_unit */
    double *thresholds;      /* probabilities from which on a label is predicted: of each label of the targets with several, and of class 1 of every
                                other target (0: the most probable class), one target after the other */
    char *sample_weight;     /* the column of what each row counts, NULL: 1 */
    unsigned split;          /* 0: columns share the input "features"; else the inputs they share: bits of enum schema_shared_input */
    int32_t width;           /* of the inputs that columns share together, 0 when there is none */
    unsigned empty;          /* inputs that no feature gives a number to, a bit each: they hold a single 0 */
    int32_t inputs_count;    /* inputs of the network: the shared ones first when there are any, then the tensors in order */
    int32_t shared_count;
    struct bp_input inputs[BP_INPUTS_MAX];
    locale_t locale; /* that texts are read by, 0 without texts */
};

/* One cell of a row, decoded from a dataset or a request. */
struct schema_feature_value {
    enum schema_value_kind kind;
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
    bool ragged; /* see struct schema_target */
    bool clamp;
    enum schema_target_transform transform;
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

/* From now on the columns without an input of their own share "numbers" and "categories" instead of "features": those that any of them gives a number
 * to, and those in `least`, bits of enum schema_shared_input; of these, one without numbers is a single 0. */
int schema_preprocessing_split(struct schema_preprocessing *preprocessing, unsigned least, struct bp_error *error);
/* The width of each of the two inputs, whether there are two or one. */
void schema_preprocessing_count(const struct schema_preprocessing *preprocessing, int32_t counts[static SCHEMA_SHARED_INPUTS]);

/* Features of `from` that have the name and the type of one of p replace it, except those in `anew` (an object by column, or NULL); so does the scale
 * of a target of one number. Those of p that have no such name stay as they were fitted. */
int schema_preprocessing_adopt(struct schema_preprocessing *p, const struct schema_preprocessing *from, const json_t *anew, struct bp_error *error);

/* Written to the model, readable; reading it back gives the same bits. */
json_t *schema_preprocessing_encode(const struct schema_preprocessing *preprocessing);
struct schema_preprocessing *schema_preprocessing_decode(const json_t *json, struct bp_error *error);

/* Transforms one row: cells[features_count] into inputs[0..inputs_count), each the start of that row's numbers. */
void schema_transform(const struct schema_preprocessing *preprocessing, const struct schema_feature_value *cells, float *const *inputs);
/* The same, but for the features that are left out (features_count), whose numbers stay as they are. */
void schema_transform_some(const struct schema_preprocessing *preprocessing, const struct schema_feature_value *cells, const bool *left_out,
                           float *const *inputs);
/* Index of a category by its text (numbers normalised: "6.0" is "6"), -1 when it was not in the training rows. */
int32_t schema_feature_category(const struct schema_feature *feature, const char *text, size_t size);

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
/* The same of other thresholds, as long as those of the preprocessing. */
json_t *schema_thresholds_show(const struct schema_preprocessing *preprocessing, const double *thresholds);
/* Makes what is in `thresholds` those of the targets. -1: no memory. */
int schema_thresholds_keep(struct schema_preprocessing *preprocessing, const double *thresholds);
int64_t schema_thresholds_count(const struct schema_preprocessing *preprocessing);
/* The numbers of a tensor target, each 0 or 1, become labels, which are called by their positions or as `names` says. -1: no memory. */
int schema_target_make_labels(struct schema_target *target, const char *const *names);
/* Unit and origin of its j-th number: v of the network means v * unit + origin. */
double schema_target_unit(const struct schema_target *target, int64_t j);
double schema_target_origin(const struct schema_target *target, int64_t j);
/* The unit and origin that metrics use: with a transform those of the target itself, by which schema_target_measured divides. */
double schema_target_metric_unit(const struct schema_target *target, int64_t j);
double schema_target_metric_origin(const struct schema_target *target, int64_t j);
/* A value of a target of one number as the network learns it; NaN: it is missing, or the transform has no value for it. */
double schema_target_number(const struct schema_target *target, double value);
/* Its j-th number y of the network in its own unit, and about how far apart neighbouring values are there. */
double schema_target_value(const struct schema_target *target, int64_t j, double y);
double schema_target_step(const struct schema_target *target, int64_t j, double y);
/* Whether y * unit + origin is not all that happens to a prediction. Then metrics measure schema_target_measured: of target j of an array, a number
 * of the network, a prediction or the truth, in metric units. */
bool schema_target_curved(const struct schema_target *target);
double schema_target_measured(const void *targets, int32_t j, double y, bool predicted);
/* What values of a transform must be, "above 0"; NULL: any number. */
const char *schema_transform_domain(enum schema_target_transform transform);
double schema_transform_apply(enum schema_target_transform transform, double lambda, double v);
double schema_transform_invert(enum schema_target_transform transform, double lambda, double g);
/* Sets them for all numbers. */
void schema_target_rescale(struct schema_target *target, double origin, double unit);

/* Fills units, origins and thresholds again from the targets. */
int schema_targets_units(struct schema_preprocessing *p);

/* ---- features ---- */
/* NUMERIC, BOOLEAN, DATETIME: whether v lies outside the range of the training rows by more than half its width; of a constant, whether it is another
 * value. TENSOR: *at becomes the first number of the cell that does, in its channel; one that was constant is measured by the whole tensor's range.
 */
bool schema_feature_far(const struct schema_feature *feature, double v);
/* Whether v lies outside that range at all. */
bool schema_feature_outside(const struct schema_feature *feature, double v);
bool schema_tensor_far(const struct schema_feature *feature, const float *v, int64_t *at);
bool schema_tensor_outside(const struct schema_feature *feature, const float *v, int64_t *at);
/* Unscaled from now on: no mean, no deviation, no clip. */
void schema_feature_unscaled(struct schema_feature *feature);

/* ---- tensors ---- */
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
/* The channels of a feature, fitted. */
int schema_feature_fit_tensor(struct schema_feature *feature, const struct schema_fit *fit, int32_t column, struct bp_error *error);
/* Whether rows of a tensor column lack whole steps at the end, and not all. -1: no memory. */
int schema_tensor_ragged(const struct schema_dataset *dataset, int32_t column);

#endif

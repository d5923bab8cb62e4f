/* predictor.h - private to predict.c and instances_*.c: the state of one predict call. */
#ifndef SCHEMA_PREDICTOR_H
#define SCHEMA_PREDICTOR_H

#include "schema/predict/predict.h"

/* Values outside a range: how many, and the first of them with their rows. */
enum { PREDICTOR_SHOWN = 3 };
struct predictor_range {
    int64_t count;
    double values[PREDICTOR_SHOWN];
    int64_t rows[PREDICTOR_SHOWN]; /* from 1 */
};

struct schema_predictor {
    const struct schema_model *model;
    const struct schema_preprocessing *preprocessing;
    struct bp_workspace *workspace;
    int32_t batch_max;
    int32_t widths[BP_OUTPUTS_MAX];                      /* numbers of one prediction of each output */
    bool scores[BP_OUTPUTS_MAX], usable[BP_OUTPUTS_MAX]; /* usable: its numbers are probabilities, which have thresholds */
    double *thresholds;                                  /* as those of the preprocessing, for this call */
    const struct schema_calibration *calibration;        /* of the model, NULL: none */
    const double *quantiles;                             /* as those of the calibration, for this call: its own, or */
    double *asked;                                       /* those of another coverage */
    int32_t *order;                                      /* (labels_max) space to make a set */
    double *set_scores;
    int64_t input_sizes[BP_INPUTS_MAX];
    struct schema_feature_value *cells; /* (features_count) of the row being read */
    float *tensors;                     /* space for the tensor cells of a row */
    size_t tensors_size;                /* its numbers */
    size_t *tensor_at;                  /* where each tensor feature's space starts */
    int32_t filled;                     /* rows waiting in the workspace */
    int64_t rows;                       /* rows processed in this call */
    struct schema_text *out;
    uint64_t *live;              /* (bins of the model's reference) of the rows of this call; NULL: they are not counted */
    bool quiet;                  /* of this request: no warnings */
    bool strict;                 /* of this request: a key that resembles a missing feature is refused */
    schema_predict_allow *allow; /* NULL: no bound */
    void *allow_context;
    int32_t *indices;            /* (features_count) below which its numbers must be whole (an embedding reads them), 0: any number */
    bool indexed[BP_INPUTS_MAX]; /* whether any feature of that input is */
    int64_t not_finite;          /* the first row whose prediction is not a finite number, -1: none */
    int32_t suspect;             /* of that row: the feature farthest from the training rows, -1: none */
    bool overflow;               /* a number of the prediction being written is not finite */
    bool finite;                 /* the outputs of all rows that were run last are, in the unit of their targets too */
    /* for warnings */
    int64_t *missing, *unseen, *holes;     /* (features_count); holes: tensors that lack some of their numbers */
    struct predictor_range *outside, *far; /* (features_count) values outside the range of the training rows, and far outside of it */
    int64_t row_at;                        /* of the row that is counted, from 1; 0: the next one */
    int64_t counted;                       /* rows */
    char (*unseen_first)[48];
    int64_t ignored_rows;
    char ignored[5][64];
    int32_t ignored_count;
};

/* Where the numbers of target k, of output o, begin for a row. */
const float *schema_predictor_numbers(const struct schema_predictor *p, int32_t o, int32_t k, int64_t row);
/* The probabilities, or scores, of all classes, by the numbers of an output: one number represents two classes. */
const float *schema_predictor_shares(const float *y, int32_t width, bool scores, float pair[2]);
/* predict_set.c: the call goes by the calibration of the model again; -1 without memory, when it is new. */
int schema_predictor_calibrate(struct schema_predictor *p);
/* Appends ,"set":[...] or ,"interval":[low,high], if the model is calibrated for target k, of output o, whose numbers are y. */
void schema_predictor_write_set(struct schema_predictor *p, int32_t k, const float *y, int64_t row);
void schema_predictor_write_interval(struct schema_predictor *p, int32_t o, int32_t k, const float *y);
/* Begins a call whose predictions go to out: no rows, nothing counted, the thresholds of the model. */
void schema_predictor_reset(struct schema_predictor *p, struct schema_text *out);
/* The cells of a row are complete: transforms them into the workspace; runs the batch when it is full. The first feature whose value cannot be used
 * (then the row is not taken), -1: all can. */
int32_t schema_predictor_row(struct schema_predictor *p);
/* The same without running the batch, which is not to be full. */
int32_t schema_predictor_put(struct schema_predictor *p);
/* The same, but the numbers of features that are held (features_count) come later, with the rest of their columns; all: one of them may not be
 * usable, so the row is looked at as a whole. */
int32_t schema_predictor_put_some(struct schema_predictor *p, const bool *held, bool all);
/* Runs the rows that wait, which stay until `filled` is set to 0. */
void schema_predictor_run(struct schema_predictor *p);
/* Appends the prediction of a row that was run to out; false: it is not finite (schema_predictor_not_finite says more), and out is to be cut back. */
bool schema_predictor_write(struct schema_predictor *p, int32_t row);
/* What the training has refused, this model refuses: a missing value, an unknown category (whose text is `value`, size bytes). Returns the text, or
 * NULL: the cell is good. */
const char *schema_predictor_refused(const struct schema_predictor *p, int32_t i, const char *value, size_t size, char text[static 400]);
/* Adds what is wrong with the value of feature i in the cells. */
void schema_predictor_refuse(const struct schema_predictor *p, int32_t i, const char *pointer, struct schema_problems *problems);
/* Runs what waits. */
void schema_predictor_flush(struct schema_predictor *p);
/* A column that the model does not use was there. */
void schema_predictor_ignored(struct schema_predictor *p, const char *name, size_t size);
/* The feature that an unknown key resembles, or NULL. lacking: the name of feature i where it is absent, else "". Targets may be present beside the
 * features. */
const char *schema_predictor_meant(const struct schema_preprocessing *pre, const char *name, const char *(*lacking)(const void *context, int32_t i),
                                   const void *context);
/* Sets the cell of feature i to a category by its text, counting an unseen one. */
void schema_predictor_category(struct schema_predictor *p, int32_t i, const char *text, size_t size);

/* ---- predict_check.c: values that cannot be used, warnings ---- */
/* Of one row's inputs: the first feature whose numbers are not finite, or no index of its embedding; -1: none. *at: which of its numbers. */
int32_t schema_predictor_unusable(const struct schema_predictor *p, float *const *inputs, int64_t *at);
/* Why that number of the feature, `value` as it was given, cannot be used. Returns text. */
const char *schema_predictor_why(const struct schema_predictor *p, int32_t feature, double value, char text[static 300]);
/* The outputs of n rows of the workspace are new. */
void schema_predictor_look(struct schema_predictor *p, int32_t n);
/* Whether the outputs of that row of the workspace are finite; else remembers it as not_finite, with its suspect. */
bool schema_predictor_finite(struct schema_predictor *p, int32_t row);
void schema_predictor_spoil(struct schema_predictor *p, int32_t row);
/* The message about the row not_finite. Returns text. */
const char *schema_predictor_not_finite(const struct schema_predictor *p, char text[static 300]);
/* The same of the features that are not held. */
int32_t schema_predictor_unusable_of(const struct schema_predictor *p, const bool *held, float *const *inputs);
/* The cells of a usable row are counted for the warnings, but for those of features that are held, if it is not NULL. */
void schema_predictor_count(struct schema_predictor *p, const bool *held);
/* A number of feature i, NaN: missing, of that row: whether it is outside the range of the training rows. */
void schema_predictor_count_number(struct schema_predictor *p, int32_t i, double v, int64_t row);
/* The row i of the workspace was predicted: its outputs are counted beside the reference. */
void schema_predictor_count_outputs(struct schema_predictor *p, int32_t row);
/* ---- predict_rows.c ---- */
/* The first n of these rows into the workspace; what their cells are is counted for the warnings, missing ones if `missing`. */
void schema_predictor_read(struct schema_predictor *p, const struct schema_view_rows *rows, int32_t n, bool missing);
/* Numbers (n) of feature i in those rows, NaN: missing: which are outside the range of the training rows. */
void schema_predictor_count_column(struct schema_predictor *p, int32_t i, const double *v, int32_t n, const int64_t *rows);
/* The k-th number of a feature in a row, as the dataset holds it. */
double schema_predictor_given(struct schema_predictor *p, const struct schema_view_rows *rows, int32_t feature, int64_t row, int64_t k);
/* What another predictor of the same model has counted, of later rows, is counted here instead. Its rows are not. */
void schema_predictor_take(struct schema_predictor *p, struct schema_predictor *other);
/* What was counted, for a later predictor of the same model that goes on: a JSON object, the caller's, and back (what does not fit is left out). */
json_t *schema_predictor_counts(const struct schema_predictor *p);
void schema_predictor_recount(struct schema_predictor *p, const json_t *counts);
/* Appends "warnings":[...]. */
void schema_predictor_warnings(struct schema_predictor *p);

/* The one-pass reader: 0 when the whole body was read, -1 when something unusual was met and jansson must decide. */
int schema_instances_scan(struct schema_predictor *p, const char *body, size_t size, int64_t rows_max);
/* The jansson reader: exact problems. */
int schema_instances_decode(struct schema_predictor *p, const char *body, size_t size, int64_t rows_max, struct schema_problems *problems);

#endif

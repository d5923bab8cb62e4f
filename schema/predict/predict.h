/* predict.h - rows in, predictions out: the body of a predict request, or rows of a dataset, through a loaded model. */
#ifndef SCHEMA_PREDICT_H
#define SCHEMA_PREDICT_H

#include "schema/json/cost.h"
#include "schema/json/problems.h"
#include "schema/predict/model_file.h"
#include "schema/text/text.h"

/* What one thread needs to predict with one model: a workspace, cells, counts for warnings. */
struct schema_predictor;
struct schema_predictor *schema_predictor_new(const struct schema_model *model, struct bp_error *error);
void schema_predictor_free(struct schema_predictor *predictor);
/* Bytes it holds in memory, its model apart. */
size_t schema_predictor_bytes(const struct schema_predictor *predictor);

/* From now on rows of requests are counted beside the model's reference; nothing happens without one. -1: no memory. Then what the last request came
 * to: (bins of the reference), and its rows; NULL: nothing is counted. */
int schema_predictor_observe(struct schema_predictor *predictor);
const uint64_t *schema_predictor_observed(const struct schema_predictor *predictor, int64_t *rows);

/* Decodes a body `{"instances":[...]}` or `{"inputs":{...}}` and appends `"predictions":[...],"warnings":[...]` to out. Bodies as people send them go
 * through one pass over the text; anything unusual goes to jansson, which finds the exact problem. 0, or -1 with problems (nothing useful in out). */
int schema_predict_body(struct schema_predictor *predictor, const char *body, size_t size, int64_t rows_max, struct schema_text *out,
                        struct schema_problems *problems);

/* Asked before jansson decodes a body, which takes far more memory than the one pass: false when the caller cannot have it. Then schema_predict_body
 * gives -1 without a problem. */
typedef bool schema_predict_allow(void *context, const struct schema_json_cost *cost);
void schema_predictor_bound(struct schema_predictor *predictor, schema_predict_allow *allow, void *context);

/* Predicts rows of a dataset through a view with this model's preprocessing: one prediction object per row, each appended by itself with
 * `separator` after it. -1 with the error: a value that cannot be used, a prediction that is not finite, no memory. */
struct schema_view_rows {
    const struct schema_view *view;
    int64_t first, n;
};
int schema_predict_rows(struct schema_predictor *predictor, const struct schema_view_rows *rows, const char *separator, struct schema_text *out,
                        struct bp_error *error);
/* The same for a caller that wants no JSON: predicts up to n rows (at most SCHEMA_PREDICT_BATCH) and returns how many, -1 with the error; then each
 * target of a row is read. */
enum { SCHEMA_PREDICT_BATCH = 256 };
int32_t schema_predict_gather(struct schema_predictor *predictor, const struct schema_view_rows *rows, struct bp_error *error);
struct schema_predicted {
    int32_t label; /* of the target's labels, -1: it is a number */
    float share;   /* probability or score of the label */
    double value;  /* the number (the point prediction) in the target's own unit */
    double step;   /* about how far apart neighbouring values are: the network computes in float32 */
};
/* The probabilities, or scores, of all classes of target k; pair: space for two. Borrowed until the next batch. */
const float *schema_predict_shares(const struct schema_predictor *predictor, int32_t row, int32_t k, float pair[2]);
/* The class of target k, and these. */
int32_t schema_predict_class(const struct schema_predictor *predictor, int32_t row, int32_t k, float pair[2], const float **shares);
/* Further values of a number, of a loss that gives several: the j-th; false: there are no more. */
struct schema_predicted_detail {
    const char *kind; /* "quantiles" */
    char name[32];    /* "0.1" */
    double value, step;
};
bool schema_predict_detail(const struct schema_predictor *predictor, int32_t row, int32_t k, int32_t j, struct schema_predicted_detail *detail);
/* Every warning about what was predicted so far, in words. */
void schema_predict_warnings(const struct schema_predictor *predictor, void (*say)(void *context, const char *warning), void *context);
/* A value with as many digits as its step lets matter, 9 to 17. Returns how many bytes it has. */
int schema_predicted_text(double value, double step, char text[static 40]);
/* Whether the j-th label of output o, which learns several, is predicted, and its probability. */
bool schema_predict_label(const struct schema_predictor *predictor, int32_t row, int32_t o, int32_t j, float *probability);
/* Thresholds instead of the model's, for what schema_predict_gather and schema_predict_rows predict from now on. -1 with problems. */
int schema_predictor_thresholds(struct schema_predictor *predictor, const json_t *json, const char *pointer, struct schema_problems *problems);
/* Another coverage than the calibration's, likewise. -1 with problems: the model is not calibrated, or with too few rows. */
int schema_predictor_coverage(struct schema_predictor *predictor, const json_t *json, const char *pointer, struct schema_problems *problems);
/* Of what schema_predict_gather predicted: the classes that the set of target k has, of its labels, at most labels_max of the calibration, the most
 * probable first; -1: it has no sets. And the interval; false: it has none. An end that is infinite is none. */
int32_t schema_predict_set(struct schema_predictor *predictor, int32_t row, int32_t k, const int32_t **classes);
bool schema_predict_interval(struct schema_predictor *predictor, int32_t row, int32_t k, double *low, double *high);
/* Not for tensors. */
struct schema_predicted schema_predict_target(const struct schema_predictor *predictor, int32_t row, int32_t target);

#endif

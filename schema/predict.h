/* predict.h - rows in, predictions out: the body of a predict request, or rows of a dataset, through a loaded model. */
#ifndef SCHEMA_PREDICT_H
#define SCHEMA_PREDICT_H

#include "model_file.h"
#include "problems.h"
#include "text.h"

/* What one thread needs to predict with one model: a workspace, cells, counts for warnings. */
struct schema_predictor;
struct schema_predictor *schema_predictor_new(const struct schema_model *model, struct bp_error *error);
void schema_predictor_free(struct schema_predictor *predictor);

/* Decodes a body `{"instances":[...]}` or `{"inputs":{...}}` and appends `"predictions":[...],"warnings":[...]` to out. Bodies as people send them go
 * through one pass over the text; anything unusual goes to jansson, which finds the exact problem. 0, or -1 with problems (nothing useful in out). */
int schema_predict_body(struct schema_predictor *predictor, const char *body, size_t size, int64_t rows_max, struct schema_text *out,
                        struct schema_problems *problems);

/* Predicts rows of a dataset through a view with this model's preprocessing: one prediction object per row, each appended by itself with
 * `separator` after it. */
int schema_predict_rows(struct schema_predictor *predictor, const struct schema_view *view, int64_t first, int64_t n, const char *separator,
                        struct schema_text *out);
/* The numbers behind it, for whoever wants no JSON: (n, width) outputs of the network for the rows, n at most SCHEMA_PREDICT_BATCH; see the two
 * functions below. Borrowed until the next call. */
enum { SCHEMA_PREDICT_BATCH = 256 };
const float *schema_predict_numbers(struct schema_predictor *predictor, const struct schema_view *view, int64_t first, int32_t n);

/* What the output numbers of one row stand for: the class, or the value (the point prediction) in the target's own unit. */
int32_t schema_predict_class(const struct schema_training *training, const float *y);
double schema_predict_value(const struct schema_training *training, const float *y);

#endif

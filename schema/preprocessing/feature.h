/* feature.h - what the files of preprocessing/ and the column types share. */
#ifndef SCHEMA_FEATURE_H
#define SCHEMA_FEATURE_H

#include "schema/preprocessing/moments.h"
#include "schema/preprocessing/preprocessing.h"
#include "schema/preprocessing/view.h"

/* ---- column options ---- */
/* The encode that is in force: the one asked for, or the default of the type. */
enum schema_encode schema_encode_of(const struct schema_type_ops *type, const struct schema_column_options *options);
/* Adds an option of a fitted feature to its JSON. */
void schema_option_put(const struct schema_feature *feature, enum schema_column_option option, json_t *json);
/* Adds "missing" as the model has it: the policy asked for, else `usual` (NULL: nothing). */
void schema_missing_put(const struct schema_feature *feature, const char *usual, json_t *json);
/* The options from the JSON of a feature. -1: damaged. */
int schema_column_options_restore(const json_t *json, struct schema_column_options *options);

/* ---- numbers: scale.c ---- */
/* Whether the moments of the training rows are all that the feature is fitted by; fits it by those of n rows. */

bool schema_scale_by_moments(const struct schema_feature *feature);
int schema_scale_begin(struct schema_feature *feature, const struct schema_moments *moments, int64_t n, struct bp_error *error);
/* z, clipped: z up to half of clip, then c/2 (1 + t / sqrt(1 + t^2)) with t = (|z| - c/2) / (c/2), smooth in its first two derivatives. Not clipped:
 * what float32 does not hold. */
double schema_scale_clip(double z, double clip);
/* z / sqrt(1 + (z / clip)^2) (Holzmueller, Grinsztajn, Steinwart, Better by Default, NeurIPS 2024). Not clipped: the same. */
double schema_scale_squash(double z, double clip);
/* Infinite where float32 does not hold it. */
float schema_scale_float(double z);
/* NUMERIC and BOOLEAN: fitted on values[0..n), which are sorted here; NaN means missing. */
int schema_scale_fit(struct schema_feature *feature, double *values, int64_t n, struct bp_error *error);
/* One number of the network's. */
double schema_scale_apply(const struct schema_feature *feature, double v);
/* NUMERIC, the same for n cells, NaN: missing; followed by its indicator. Consecutive cells are `stride` numbers apart. */
void schema_scale_many(const struct schema_feature *feature, const double *v, int32_t n, float *out, int64_t stride);
/* Members of the model, and back. */
void schema_scale_encode(const struct schema_feature *feature, json_t *json);
int schema_scale_decode(const json_t *json, struct schema_feature *feature);

/* ---- layout.c ---- */
enum { SCHEMA_MIXED_MAX = 16 }; /* numbers of a feature that is in two inputs */
/* Offsets, widths, the network's inputs. */
int schema_preprocessing_lay_out(struct schema_preprocessing *p, struct bp_error *error);
/* Of the feature's numbers, the leading ones that belong to "numbers". */
int32_t schema_feature_numbers(const struct schema_feature *feature);
void schema_split_encode(const struct schema_preprocessing *p, json_t *json);
int schema_split_decode(const json_t *json, struct schema_preprocessing *p);
/* What schema_transform does of a single cell. */
void schema_transform_cell(const struct schema_preprocessing *p, int32_t feature, const struct schema_feature_value *cell, float *const *inputs);

/* ---- preprocessing.c ---- */
/* The training rows of a column; *values is the caller's. */
int schema_feature_values(const struct schema_fit *fit, int32_t column, double **values, struct bp_error *error);
/* struct schema_type_ops.fit of columns of numbers. */
int schema_feature_fit_numbers(struct schema_preprocessing *p, struct schema_feature *feature, const struct schema_fit *fit, int32_t column,
                               struct bp_error *error);

/* ---- categories.c ---- */
/* The table that schema_feature_category looks into. */
int schema_feature_hash(struct schema_feature *feature);
int schema_categories_fit(struct schema_feature *feature, const struct schema_fit *fit, int32_t column, struct bp_error *error);
/* Whether a category is a row of zeros with one 1. */
bool schema_category_is_one_hot(const struct schema_feature *feature);
void schema_category_apply(const struct schema_feature *feature, const struct schema_feature_value *cell, float *out);
/* The member `name` of the model becomes the categories, or the words, and their table. */
int schema_categories_decode(const json_t *json, const char *name, struct schema_feature *feature);

/* ---- texts and times ---- */
/* The locale that texts are read by, opened when it is not. */
int schema_feature_locale(struct schema_preprocessing *p, struct bp_error *error);
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
json_t *schema_means_encode(const struct schema_feature *feature);
int schema_means_decode(const json_t *json, struct schema_feature *feature);

/* ---- stretch.c ---- */
/* Some rows of a view, and where the numbers of the first one go. */
struct schema_stretch {
    const struct schema_view *view;
    const int64_t *rows;
    int32_t n;              /* at most SCHEMA_STRETCH */
    bool together;          /* each row follows the one before it */
    schema_view_seen *seen; /* NULL: nobody else wants the cells */
    void *context;
    float *inputs[BP_INPUTS_MAX];
    int64_t widths[BP_INPUTS_MAX];
};
enum { SCHEMA_STRETCH = 256 };
/* A cell of feature i, of the stretch's row r. */
void schema_stretch_put(const struct schema_stretch *s, int32_t i, int32_t r, const struct schema_feature_value *cell);
/* All cells of feature i: numbers, categories, texts (which a column of categories may hold, and the reverse), tensors. */
void schema_stretch_numbers(const struct schema_stretch *s, int32_t i, float *scratch);
void schema_stretch_categories(const struct schema_stretch *s, int32_t i, float *scratch);
void schema_stretch_texts(const struct schema_stretch *s, int32_t i, float *scratch);
void schema_stretch_tensors(const struct schema_stretch *s, int32_t i, float *scratch);

/* ---- all of them ---- */
/* Now and then, while rows are read in order: `read` of them were. */
void schema_fit_release(const struct schema_fit *fit, int64_t read);

/* v: the numbers of a cell, NULL: missing. */
void schema_tensor_apply(const struct schema_feature *feature, const float *v, float *out);
void schema_channels_encode(struct schema_channel *channels, int32_t count, json_t *json);
int schema_channels_decode(const json_t *json, const struct bp_shape *shape, struct schema_channel **channels, int32_t *count);
json_t *schema_strings_encode(char *const *strings, int32_t count);
char **schema_strings_decode(const json_t *list, int32_t *count);
json_t *schema_reals_encode(const double *numbers, size_t n);
bool schema_reals_decode(const json_t *list, double *out, size_t n);
json_t *schema_dims_encode(const struct bp_shape *shape);
/* -1: not a list of 1 to BP_RANK_MAX sizes. */
int schema_dims_decode(const json_t *dims, struct bp_shape *shape);
/* target_value.c: the lambda that values[0..n) have the largest likelihood with, 1 without one; what a transform adds to a target's JSON, and back.
 */
bool schema_transform_has_lambda(enum schema_target_transform transform);
double schema_transform_fit(enum schema_target_transform transform, const double *values, int64_t n);
void schema_target_curve_encode(const struct schema_target *target, json_t *json);
int schema_target_curve_decode(const json_t *json, struct schema_target *target);
int schema_targets_fit(const struct schema_fit *fit, struct schema_preprocessing *p, struct bp_error *error);
/* Adds "target" (one) or "targets" and "outputs" (several), "sample_weight". */
void schema_targets_encode(const struct schema_preprocessing *p, json_t *json);
int schema_view_bind_target(struct schema_view *view, int32_t k, bool strict, struct bp_error *error);
int schema_targets_decode(const json_t *json, struct schema_preprocessing *p);
/* The class whose label is that number, -1: none. */
int32_t schema_target_class(const struct schema_target *target, double number);
/* labels.c: those of the targets into the preprocessing's; to JSON and back. */
void schema_thresholds_spread(struct schema_preprocessing *p);
void schema_target_thresholds_encode(const struct schema_target *target, json_t *json);
int schema_target_thresholds_decode(const json_t *json, struct schema_target *target);
void schema_targets_free(struct schema_preprocessing *p);

#endif

/* preprocessing.c - fitting, the JSON form. layout.c has the inputs and the transform of a row, view.c reads datasets through it; numbers are in
 * scale.c and moments.c, tensors in tensor.c, times in time.c, texts in text.c,
 * target means in means.c. */
#include "schema/preprocessing/feature.h"

#include "schema/json/values.h"
#include "schema/text/number.h"
#include "schema/text/words.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- fitting ------------------------------------------------------------------------------------------------------------- */

void schema_fit_release(const struct schema_fit *fit, int64_t read) {
    if (fit->sparing && read % 8192 == 0) schema_dataset_release(fit->dataset);
}

int schema_feature_values(const struct schema_fit *fit, int32_t column, double **values, struct bp_error *error) {
    *values = malloc(((size_t)fit->n + 1) * sizeof **values);
    if (!*values) return bp_error_memory(error, "no memory for %lld rows", (long long)fit->n);
    for (int64_t first = 0; first < fit->n; first += 8192) {
        schema_fit_release(fit, first);
        schema_dataset_gather(fit->dataset, column, fit->rows + first, fit->n - first < 8192 ? fit->n - first : 8192, *values + first);
    }
    return 0;
}

int schema_feature_fit_numbers(struct schema_preprocessing *p, struct schema_feature *f, const struct schema_fit *fit, int32_t column,
                               struct bp_error *error) {
    double *values;
    (void)p;
    if (schema_scale_by_moments(f)) return 0; /* in one pass with others */
    if (schema_feature_values(fit, column, &values, error) != 0) return -1;
    const int failed = schema_scale_fit(f, values, fit->n, error);
    free(values);
    return failed;
}

static int fit_feature(struct schema_preprocessing *p, struct schema_feature *f, const struct schema_fit *fit, int32_t column,
                       struct bp_error *error) {
    const struct schema_column *c = &fit->dataset->columns[column];
    const struct schema_type_ops *type = schema_type_of(c->type);
    f->name = strdup(c->name);
    f->type = c->type;
    f->options.encode = schema_encode_of(type, &f->options);
    f->std = 1;
    if (!f->name || (c->format && !(f->format = strdup(c->format)))) return bp_error_memory(error, "out of memory");
    return type->fit(p, f, fit, column, error);
}

enum { TOGETHER = 8, SOME = 512 };

/* Moments of up to TOGETHER columns over the training rows, which are adjacent in the file. */
static void moments_of(const struct schema_fit *fit, const int32_t *columns, int32_t count, struct schema_moments *m) {
    double values[SOME];
    for (int64_t first = 0; first < fit->n; first += SOME) {
        const int64_t some = fit->n - first < SOME ? fit->n - first : SOME;
        schema_fit_release(fit, first);
        for (int32_t c = 0; c < count; c++) {
            schema_dataset_gather(fit->dataset, columns[c], fit->rows + first, some, values);
            schema_moments_add_many(&m[c], values, some);
        }
    }
}

/* A column over the training rows. */
struct training_column {
    const struct schema_fit *fit;
    int32_t column;
};

static void read_column(const void *context, const int64_t *places, int64_t n, double *out) {
    const struct training_column *from = context;
    int64_t rows[SOME];
    const int64_t most = n > 0 && places[n - 1] - places[0] > 2 * n ? 64 : SOME; /* far apart: each touches different pages */
    for (int64_t first = 0; first < n; first += most) {
        const int64_t some = n - first < most ? n - first : most;
        for (int64_t i = 0; i < some; i++) rows[i] = from->fit->rows[places[first + i]];
        schema_fit_release(from->fit, most < SOME ? 0 : places[first]);
        schema_dataset_gather(from->fit->dataset, from->column, rows, some, out + first);
    }
}

/* Numbers and booleans that their moments fit. */
static int fit_by_moments(const struct schema_fit *fit, struct schema_preprocessing *p, struct bp_error *error) {
    int32_t columns[TOGETHER], which[TOGETHER], count = 0;
    for (int32_t i = 0; i <= p->features_count; i++) {
        const struct schema_feature *f = i < p->features_count ? &p->features[i] : NULL;
        if (f && schema_type_of(f->type)->moments && schema_scale_by_moments(f)) {
            columns[count] = fit->columns[i];
            which[count++] = i;
        }
        if (count < TOGETHER && f) continue;
        struct schema_moments m[TOGETHER] = {{0}};
        moments_of(fit, columns, count, m);
        for (int32_t c = 0; c < count; c++) {
            const struct training_column from = {fit, columns[c]};
            if (!schema_type_of(p->features[which[c]].type)->unscaled)
                schema_moments_trim(&m[c], &(struct schema_numbers){read_column, &from, fit->n});
            if (schema_scale_begin(&p->features[which[c]], &m[c], fit->n, error) != 0) return -1;
        }
        count = 0;
    }
    return 0;
}

struct schema_preprocessing *schema_preprocessing_fit(const struct schema_fit *fit, struct bp_error *error) {
    struct schema_preprocessing *p = calloc(1, sizeof *p);
    if (!p || !(p->features = calloc((size_t)fit->columns_count + 1, sizeof *p->features))) {
        bp_error_memory(error, "out of memory");
        goto failed;
    }
    for (int32_t i = 0; i < fit->columns_count; i++) {
        p->features_count++;
        if (fit->options) p->features[i].options = fit->options[i];
        schema_fit_release(fit, 0);
        if (fit_feature(p, &p->features[i], fit, fit->columns[i], error) != 0) goto failed;
    }
    if (fit_by_moments(fit, p, error) != 0) goto failed;
    schema_fit_release(fit, 0);
    if (schema_targets_fit(fit, p, error) == 0 && schema_means_fit(fit, p, error) == 0 && schema_preprocessing_lay_out(p, error) == 0) return p;
failed:
    schema_preprocessing_free(p);
    return NULL;
}

void schema_preprocessing_free(struct schema_preprocessing *p) {
    if (!p) return;
    for (int32_t i = 0; i < p->features_count; i++) {
        for (int32_t k = 0; k < p->features[i].categories_count; k++) free(p->features[i].categories[k]);
        free(p->features[i].categories);
        free(p->features[i].hash);
        free(p->features[i].knots);
        free(p->features[i].idf);
        free(p->features[i].means);
        free(p->features[i].channels);
        free(p->features[i].format);
        free(p->features[i].name);
    }
    free(p->features);
    if (p->locale) freelocale(p->locale);
    schema_targets_free(p);
    free(p);
}

/* Features are moved between the two by their JSON, which reads back with the same bits. */
static int adopt_features(struct schema_preprocessing *p, const struct schema_preprocessing *from, const json_t *anew, struct bp_error *error) {
    json_t *mine = schema_preprocessing_encode(p), *theirs = schema_preprocessing_encode(from), *list = json_object_get(mine, "features"), *other;
    size_t k;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *feature = json_array_get(list, i), *name = json_object_get(feature, "name");
        if (json_object_get(anew, json_string_value(name))) continue;
        json_array_foreach(json_object_get(theirs, "features"), k, other) {
            if (!json_equal(json_object_get(other, "name"), name) || !json_equal(json_object_get(other, "type"), json_object_get(feature, "type")))
                continue;
            json_array_set(list, i, other);
            break;
        }
    }
    struct schema_preprocessing *made = schema_preprocessing_decode(mine, error);
    json_decref(mine);
    json_decref(theirs);
    if (!made) return -1;
    for (int32_t i = 0; i < p->features_count; i++) {
        const struct schema_feature own = p->features[i];
        p->features[i] = made->features[i];
        made->features[i] = own;
    }
    schema_preprocessing_free(made);
    return schema_preprocessing_lay_out(p, error);
}

int schema_preprocessing_adopt(struct schema_preprocessing *p, const struct schema_preprocessing *from, const json_t *anew, struct bp_error *error) {
    for (int32_t k = 0; k < p->targets_count; k++)
        for (int32_t j = 0; j < from->targets_count; j++) {
            struct schema_target *to = &p->targets[k];
            const struct schema_target *t = &from->targets[j];
            const bool numbers = !to->classification && !t->classification && to->shape.rank == 0 && t->shape.rank == 0 && !to->shares && !t->shares;
            if (!numbers || strcmp(to->name, t->name) != 0 || to->transform != t->transform) continue;
            to->mean = t->mean, to->std = t->std, to->lambda = t->lambda;
            to->value_mean = t->transform ? t->value_mean : to->value_mean, to->value_std = t->transform ? t->value_std : to->value_std;
        }
    return adopt_features(p, from, anew, error) == 0 && schema_targets_units(p) == 0 ? 0 : bp_error_memory(error, "out of memory");
}

json_t *schema_reals_encode(const double *numbers, size_t n) {
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++) json_array_append_new(list, json_real(numbers[i]));
    return list;
}

bool schema_reals_decode(const json_t *list, double *out, size_t n) {
    bool good = json_array_size(list) == n;
    for (size_t i = 0; good && i < n; i++) {
        out[i] = json_number_value(json_array_get(list, i));
        good = json_is_number(json_array_get(list, i));
    }
    return good;
}

json_t *schema_dims_encode(const struct bp_shape *shape) {
    json_t *dims = json_array();
    for (int32_t k = 0; k < shape->rank; k++) json_array_append_new(dims, json_integer(shape->dims[k]));
    return dims;
}

int schema_dims_decode(const json_t *dims, struct bp_shape *shape) {
    shape->rank = (int32_t)json_array_size(dims);
    if (shape->rank < 1 || shape->rank > BP_RANK_MAX) return -1;
    for (int32_t i = 0; i < shape->rank; i++) {
        json_int_t dim = json_integer_value(json_array_get(dims, (size_t)i));
        shape->dims[i] = dim > 0 && dim < INT32_MAX ? (int32_t)dim : 0;
    }
    return bp_shape_size(shape) > 0 ? 0 : -1;
}

/* ---- JSON -------------------------------------------------------------------------------------------------------------------- */

json_t *schema_strings_encode(char *const *strings, int32_t count) {
    json_t *list = json_array();
    for (int32_t i = 0; i < count; i++) json_array_append_new(list, json_string(strings[i]));
    return list;
}

json_t *schema_preprocessing_encode(const struct schema_preprocessing *p) {
    json_t *features = json_array();
    for (int32_t i = 0; i < p->features_count; i++) {
        const struct schema_feature *f = &p->features[i];
        json_t *item = json_pack("{s:s, s:s}", "name", f->name, "type", schema_type_name(f->type));
        schema_type_of(f->type)->encode(f, item);
        if (f->padded) json_object_set_new(item, "padded", json_true());
        if (f->masked) json_object_set_new(item, "mask_value", json_real(f->mask_value));
        if (f->constant) json_object_set_new(item, "constant", json_true());
        json_array_append_new(features, item);
    }
    json_t *json = json_pack("{s:o}", "features", features);
    schema_split_encode(p, json);
    schema_targets_encode(p, json);
    return json;
}

char **schema_strings_decode(const json_t *list, int32_t *count) {
    size_t n = json_array_size(list);
    char **strings = calloc(n + 1, sizeof *strings);
    for (size_t i = 0; strings && i < n; i++) {
        const char *s = json_string_value(json_array_get(list, i));
        if (!s || !(strings[*count] = strdup(s))) break;
        ++*count;
    }
    return strings;
}

static int decode_feature(const json_t *json, struct schema_feature *f, struct bp_error *error) {
    const char *name = json_string_value(json_object_get(json, "name")), *type = json_string_value(json_object_get(json, "type"));
    if (!name || !type || !schema_type_parse(type, &f->type) || !schema_type_of(f->type)->decode || !(f->name = strdup(name)))
        return bp_error_set(error, "/preprocessing/features", "a feature without name or type");
    const json_t *std = json_object_get(json, "std"), *mask = json_object_get(json, "mask_value"), *clip = json_object_get(json, "clip");
    const json_t *min = json_object_get(json, "min"), *max = json_object_get(json, "max"), *format = json_object_get(json, "format");
    f->mean = json_number_value(json_object_get(json, "mean"));
    f->std = json_is_number(std) ? json_number_value(std) : 1;
    f->constant = json_is_true(json_object_get(json, "constant"));
    f->masked = json_is_number(mask);
    f->mask_value = json_number_value(mask);
    f->padded = json_is_true(json_object_get(json, "padded"));
    f->clip = json_number_value(clip); /* older models have none */
    f->min = json_is_number(min) ? json_number_value(min) : (double)-INFINITY;
    f->max = json_is_number(max) ? json_number_value(max) : (double)INFINITY;
    if (!isfinite(f->mean) || !isfinite(f->std) || f->std <= 0)
        return bp_error_set(error, "/preprocessing/features", "feature \"%.60s\" has no usable mean and std", name);
    if (!(f->clip >= 0) || schema_column_options_restore(json, &f->options) != 0 ||
        (json_is_string(format) && !(f->format = strdup(json_string_value(format)))) || schema_type_of(f->type)->decode(json, f) != 0)
        return bp_error_set(error, "/preprocessing/features", "feature \"%.60s\" is damaged", name);
    return 0;
}

struct schema_preprocessing *schema_preprocessing_decode(const json_t *json, struct bp_error *error) {
    const json_t *features = json_object_get(json, "features");
    struct schema_preprocessing *p = calloc(1, sizeof *p);
    if (!p || !(p->features = calloc(json_array_size(features) + 1, sizeof *p->features))) goto damaged;
    for (size_t i = 0; i < json_array_size(features); i++) {
        p->features_count++;
        if (decode_feature(json_array_get(features, i), &p->features[i], error) != 0) goto damaged;
        if (schema_type_of(p->features[i].type)->value == SCHEMA_VALUE_TEXT && schema_feature_locale(p, error) != 0) goto damaged;
    }
    if (schema_targets_decode(json, p) == 0 && schema_split_decode(json, p) == 0 && schema_preprocessing_lay_out(p, error) == 0) return p;
damaged:
    bp_error_set(error, "/preprocessing", "the preprocessing of this model is damaged");
    schema_preprocessing_free(p);
    return NULL;
}

/* preprocessing.c - fitting, the transform of a row, the JSON form. view.c reads datasets through it; numbers are in
 * scale.c and moments.c, tensors in tensor.c, times in time.c, texts in text.c,
 * target means in means.c. */
#include "schema/preprocessing/preprocessing.h"
#include "schema/dataset/frequency.h"

#include "schema/json/values.h"
#include "schema/text/number.h"
#include "schema/text/words.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CATEGORIES_MAX = 20000, WIDTH_MAX = 1 << 20 };

/* ---- categories ------------------------------------------------------------------------------------------------------ */

static uint32_t hash_of(const char *text, size_t size) {
    uint32_t h = 2166136261u; /* FNV-1a */
    for (size_t i = 0; i < size; i++) h = (h ^ (unsigned char)text[i]) * 16777619u;
    return h;
}

/* What a category is compared by; a word by itself. */
static const char *key_of(const struct schema_feature *f, const char *text, size_t *size, char key[static 32]) {
    return f->type == SCHEMA_TEXT ? text : schema_category_key(text, size, key);
}

int32_t schema_feature_category(const struct schema_feature *f, const char *text, size_t size) {
    char number[32], other[32];
    size_t n = size;
    const char *key = key_of(f, text, &n, number);
    if (f->hash_size == 0) return -1;
    for (uint32_t at = hash_of(key, n) & (f->hash_size - 1); f->hash[at] >= 0; at = (at + 1) & (f->hash_size - 1)) {
        const char *category = f->categories[f->hash[at]];
        size_t m = strlen(category);
        const char *known = key_of(f, category, &m, other);
        if (n == m && memcmp(key, known, n) == 0) return f->hash[at];
    }
    return -1;
}

int schema_feature_hash(struct schema_feature *f) {
    uint32_t size = 4;
    while (size < 2u * (uint32_t)f->categories_count) size *= 2;
    f->hash = malloc(size * sizeof *f->hash);
    if (!f->hash) return -1;
    f->hash_size = size;
    for (uint32_t i = 0; i < size; i++) f->hash[i] = -1;
    for (int32_t c = 0; c < f->categories_count; c++) {
        char number[32];
        size_t n = strlen(f->categories[c]);
        const char *key = key_of(f, f->categories[c], &n, number);
        uint32_t at = hash_of(key, n) & (size - 1);
        while (f->hash[at] >= 0) at = (at + 1) & (size - 1);
        f->hash[at] = c;
    }
    return 0;
}

/* ---- layout ------------------------------------------------------------------------------------------------------------ */

bool schema_feature_apart(const struct schema_feature *f) {
    return f->type == SCHEMA_TENSOR || (f->type == SCHEMA_CATEGORICAL && f->options.encode == SCHEMA_ENCODE_EMBEDDING) ||
           (f->type == SCHEMA_TEXT && f->options.encode == SCHEMA_ENCODE_TOKENS);
}

static int32_t width_of(const struct schema_feature *f) {
    if (f->type == SCHEMA_DATETIME) return schema_time_width(f);
    if (f->type == SCHEMA_TEXT) return f->options.encode == SCHEMA_ENCODE_HASHED ? f->options.buckets : f->categories_count;
    if (f->type != SCHEMA_CATEGORICAL) return 1 + f->indicator;
    if (f->options.encode == SCHEMA_ENCODE_TARGET) return f->means_width;
    return f->options.encode == SCHEMA_ENCODE_ONE_HOT ? f->categories_count + (f->options.unseen != SCHEMA_UNSEEN_IGNORE) : 1;
}

/* Offsets, the width of "features", the network's inputs. */
static int lay_out(struct schema_preprocessing *p, struct bp_error *error) {
    int64_t width = 0;
    int32_t tensors = 0;
    for (int32_t i = 0; i < p->features_count; i++) {
        struct schema_feature *f = &p->features[i];
        if (schema_feature_apart(f)) {
            f->width = 0;
            tensors++;
            continue;
        }
        f->width = width_of(f);
        f->offset = (int32_t)width;
        width += f->width;
        if (width > WIDTH_MAX)
            return bp_error_set(error, "/features", "the features give more than %d inputs; leave out columns with many categories", WIDTH_MAX);
    }
    if (tensors + (width > 0) > BP_INPUTS_MAX) return bp_error_set(error, "/features", "more than %d tensor columns as features", BP_INPUTS_MAX - 1);
    p->width = (int32_t)width;
    p->inputs_count = 0;
    if (width > 0) {
        struct bp_input *in = &p->inputs[p->inputs_count++];
        snprintf(in->name, sizeof in->name, "features");
        in->shape = (struct bp_shape){.rank = 1, .dims = {(int32_t)width}};
    }
    for (int32_t i = 0; i < p->features_count; i++) {
        struct schema_feature *f = &p->features[i];
        if (!schema_feature_apart(f)) continue;
        if (strlen(f->name) >= BP_NAME_MAX)
            return bp_error_set(error, "/features", "the column \"%.80s\" has a name of more than %d bytes, so it cannot be an input", f->name,
                                BP_NAME_MAX - 1);
        f->offset = p->inputs_count;
        struct bp_input *in = &p->inputs[p->inputs_count++];
        snprintf(in->name, sizeof in->name, "%s", f->name);
        const int32_t numbers = f->type == SCHEMA_TEXT ? f->options.length : 1;
        in->shape = f->type == SCHEMA_TENSOR ? f->shape : (struct bp_shape){.rank = 1, .dims = {numbers}};
    }
    return 0;
}

/* ---- fitting ------------------------------------------------------------------------------------------------------------- */

void schema_fit_release(const struct schema_fit *fit, int64_t read) {
    if (fit->sparing && read % 8192 == 0) schema_dataset_release(fit->dataset);
}

/* Drops all but the most frequent: the options give the number. */
static void keep_frequent(struct schema_feature *f, int64_t *seen, int32_t count) {
    int32_t there = 0;
    if (!f->options.categories_max) f->options.categories_max = SCHEMA_CATEGORIES_MAX;
    for (int32_t k = 0; k < count; k++) there += seen[k] > 0;
    if (there <= f->options.categories_max) return;
    int32_t *order = schema_by_frequency(seen, sizeof *seen, count);
    if (!order) return; /* the next check reports that there are too many */
    for (int32_t k = f->options.categories_max; k < count; k++) seen[order[k]] = 0;
    f->left_out = there - f->options.categories_max;
    free(order);
}

static int fit_categories(struct schema_feature *f, const struct schema_dataset *d, int32_t column, const int64_t *rows, int64_t n,
                          struct bp_error *error) {
    const struct schema_column *c = &d->columns[column];
    int64_t *seen = calloc((size_t)c->categories_count + 1, sizeof *seen), there = 0; /* rows of each category */
    f->categories = calloc((size_t)c->categories_count + 1, sizeof *f->categories);
    if (!seen || !f->categories) {
        free(seen);
        return bp_error_memory(error, "no memory for %d categories", c->categories_count);
    }
    for (int64_t first = 0; first < n; first += SCHEMA_ROWS_MAX) {
        int32_t codes[SCHEMA_ROWS_MAX];
        const int64_t some = n - first < SCHEMA_ROWS_MAX ? n - first : SCHEMA_ROWS_MAX;
        schema_dataset_gather_codes(d, column, rows + first, some, codes);
        for (int64_t i = 0; i < some; i++)
            if (codes[i] >= 0) seen[codes[i]]++, there++;
    }
    keep_frequent(f, seen, c->categories_count);
    for (int32_t k = 0; k < c->categories_count; k++)
        if (seen[k] && (f->categories[f->categories_count] = strdup(c->categories[k].value))) seen[f->categories_count++] = seen[k];
    f->constant = f->categories_count == 1 && there == n && seen[0] == n;
    const bool placed = f->options.encode == SCHEMA_ENCODE_ONE_HOT || f->options.encode == SCHEMA_ENCODE_TARGET || schema_places_fit(f, seen) == 0;
    free(seen);
    if (!placed) return bp_error_memory(error, "out of memory");
    if (f->categories_count > CATEGORIES_MAX)
        return bp_error_set(error, "/features",
                            "column \"%.80s\" has %d distinct values in the training rows, more than %d; leave it out of features", c->name,
                            f->categories_count, CATEGORIES_MAX);
    return schema_feature_hash(f);
}

static int fit_feature(struct schema_preprocessing *p, struct schema_feature *f, const struct schema_fit *fit, int32_t column,
                       struct bp_error *error) {
    const struct schema_dataset *d = fit->dataset;
    const int64_t *rows = fit->rows, n = fit->n;
    f->name = strdup(d->columns[column].name);
    f->type = d->columns[column].type;
    f->options.encode = schema_feature_encode(f);
    f->std = 1;
    if (!f->name || (d->columns[column].format && !(f->format = strdup(d->columns[column].format)))) return bp_error_memory(error, "out of memory");
    if (f->type == SCHEMA_TEXT) {
        if (!p->locale && !(p->locale = schema_words_locale(error))) return -1;
        return schema_texts_fit(f, fit, column, p->locale, error);
    }
    if (f->type == SCHEMA_CATEGORICAL) return fit_categories(f, d, column, rows, n, error);
    if (f->type == SCHEMA_TENSOR) return schema_feature_fit_tensor(f, fit, column, error);
    if (f->type != SCHEMA_DATETIME && schema_scale_by_moments(f)) return 0; /* in one pass with others */
    double *values = malloc(((size_t)n + 1) * sizeof *values);
    if (!values) return bp_error_memory(error, "no memory for %lld rows", (long long)n);
    for (int64_t first = 0; first < n; first += 8192) {
        schema_fit_release(fit, first);
        schema_dataset_gather(d, column, rows + first, n - first < 8192 ? n - first : 8192, values + first);
    }
    const int failed = f->type == SCHEMA_DATETIME ? schema_times_fit(f, values, n, error) : schema_scale_fit(f, values, n, error);
    free(values);
    return failed;
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
        if (f && (f->type == SCHEMA_NUMERIC || f->type == SCHEMA_BOOLEAN) && schema_scale_by_moments(f)) {
            columns[count] = fit->columns[i];
            which[count++] = i;
        }
        if (count < TOGETHER && f) continue;
        struct schema_moments m[TOGETHER] = {{0}};
        moments_of(fit, columns, count, m);
        for (int32_t c = 0; c < count; c++) {
            const struct training_column from = {fit, columns[c]};
            if (p->features[which[c]].type == SCHEMA_NUMERIC) schema_moments_trim(&m[c], &(struct schema_numbers){read_column, &from, fit->n});
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
    if (schema_targets_fit(fit, p, error) == 0 && schema_means_fit(fit, p, error) == 0 && lay_out(p, error) == 0) return p;
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

/* ---- the transform --------------------------------------------------------------------------------------------------------- */

static void transform_category(const struct schema_feature *f, const struct schema_feature_value *cell, float *const *inputs) {
    const bool known = f->constant || (cell->kind == SCHEMA_VALUE_CATEGORY && cell->category >= 0);
    const int32_t category = f->constant ? 0 : cell->category;
    if (f->options.encode == SCHEMA_ENCODE_EMBEDDING) {
        inputs[f->offset][0] = known ? (float)(category + 1) : 0.0f;
        return;
    }
    float *out = inputs[0] + f->offset;
    if (f->options.encode == SCHEMA_ENCODE_TARGET) {
        const double *means = cell->kind == SCHEMA_VALUE_CATEGORY && cell->means ? cell->means : f->means;
        means += (size_t)(known ? category : f->categories_count) * (size_t)f->means_width;
        for (int32_t w = 0; w < f->means_width; w++) out[w] = (float)((means[w] - f->mean) / f->std);
        return;
    }
    if (f->options.encode == SCHEMA_ENCODE_ORDINAL) {
        out[0] = known ? (float)((category - f->mean) / f->std) : 0.0f;
        return;
    }
    memset(out, 0, (size_t)f->width * sizeof *out);
    if (known) out[category] = 1.0f;
    else if (f->options.unseen != SCHEMA_UNSEEN_IGNORE) out[f->categories_count] = 1.0f;
}

void schema_transform_cell(const struct schema_preprocessing *p, int32_t i, const struct schema_feature_value *cell, float *const *inputs) {
    const struct schema_feature *f = &p->features[i];
    const double v = cell->kind == SCHEMA_VALUE_NUMBER ? cell->number : (double)NAN;
    switch (f->type) {
    case SCHEMA_NUMERIC: schema_scale_many(f, &v, 1, inputs[0] + f->offset, 0); break;
    case SCHEMA_BOOLEAN:
        inputs[0][f->offset] = (float)(f->constant ? f->min : isnan(v) ? f->fill : v);
        if (f->indicator) inputs[0][f->offset + 1] = isnan(v) ? 1.0f : 0.0f;
        break;
    case SCHEMA_CATEGORICAL: transform_category(f, cell, inputs); break;
    case SCHEMA_TENSOR: schema_tensor_apply(f, cell->kind == SCHEMA_VALUE_TENSOR ? cell->tensor : NULL, inputs[f->offset]); break;
    case SCHEMA_DATETIME: schema_time_apply(f, cell, inputs[0] + f->offset); break;
    case SCHEMA_LABELS: break; /* never a feature */
    case SCHEMA_TEXT: schema_text_apply(p, f, cell, schema_feature_apart(f) ? inputs[f->offset] : inputs[0] + f->offset); break;
    }
}

void schema_transform(const struct schema_preprocessing *p, const struct schema_feature_value *cells, float *const *inputs) {
    for (int32_t i = 0; i < p->features_count; i++) schema_transform_cell(p, i, &cells[i], inputs);
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
        if (f->type == SCHEMA_CATEGORICAL) json_object_set_new(item, "categories", schema_strings_encode(f->categories, f->categories_count));
        schema_feature_options_encode(f, item);
        if (f->type == SCHEMA_TENSOR) json_object_set_new(item, "shape", schema_dims_encode(&f->shape));
        if (f->padded) json_object_set_new(item, "padded", json_true());
        if (f->masked) json_object_set_new(item, "mask_value", json_real(f->mask_value));
        if (f->constant) json_object_set_new(item, "constant", json_true());
        json_array_append_new(features, item);
    }
    json_t *json = json_pack("{s:o}", "features", features);
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
    if (!name || !type || !schema_type_parse(type, &f->type) || !(f->name = strdup(name)))
        return bp_error_set(error, "/preprocessing/features", "a feature without name or type");
    const json_t *std = json_object_get(json, "std"), *mask = json_object_get(json, "mask_value");
    f->mean = json_number_value(json_object_get(json, "mean"));
    f->std = f->type == SCHEMA_TENSOR || ((f->type == SCHEMA_CATEGORICAL || f->type == SCHEMA_TEXT) && !std) ? 1 : json_number_value(std);
    f->constant = json_is_true(json_object_get(json, "constant"));
    f->masked = json_is_number(mask);
    f->mask_value = json_number_value(mask);
    const char *missing = json_string_value(json_object_get(json, "missing"));
    f->padded = json_is_true(json_object_get(json, "padded"));
    f->indicator = missing && strcmp(missing, "mean_and_indicator") == 0;
    if (!isfinite(f->mean) || !isfinite(f->std) || f->std <= 0)
        return bp_error_set(error, "/preprocessing/features", "feature \"%.60s\" has no usable mean and std", name);
    if (f->type == SCHEMA_TENSOR) {
        if (schema_dims_decode(json_object_get(json, "shape"), &f->shape) != 0 ||
            schema_channels_decode(json, &f->shape, &f->channels, &f->channels_count) != 0)
            return bp_error_set(error, "/preprocessing/features", "feature \"%.60s\" has no usable shape, mean and std", name);
    }
    if (schema_feature_options_decode(json, f) != 0) return bp_error_set(error, "/preprocessing/features", "feature \"%.60s\" is damaged", name);
    if (f->type != SCHEMA_CATEGORICAL && f->type != SCHEMA_TEXT) return 0;
    const json_t *list = json_object_get(json, f->type == SCHEMA_TEXT ? "words" : "categories");
    f->categories = schema_strings_decode(list, &f->categories_count);
    if (!f->categories || (size_t)f->categories_count != json_array_size(list) || schema_feature_tables_decode(json, f) != 0)
        return bp_error_set(error, "/preprocessing/features", "the categories of feature \"%.60s\" are damaged", name);
    return schema_feature_hash(f);
}

struct schema_preprocessing *schema_preprocessing_decode(const json_t *json, struct bp_error *error) {
    const json_t *features = json_object_get(json, "features");
    struct schema_preprocessing *p = calloc(1, sizeof *p);
    if (!p || !(p->features = calloc(json_array_size(features) + 1, sizeof *p->features))) goto damaged;
    for (size_t i = 0; i < json_array_size(features); i++) {
        p->features_count++;
        if (decode_feature(json_array_get(features, i), &p->features[i], error) != 0) goto damaged;
        if (p->features[i].type == SCHEMA_TEXT && !p->locale && !(p->locale = schema_words_locale(error))) goto damaged;
    }
    if (schema_targets_decode(json, p) == 0 && lay_out(p, error) == 0) return p;
damaged:
    bp_error_set(error, "/preprocessing", "the preprocessing of this model is damaged");
    schema_preprocessing_free(p);
    return NULL;
}

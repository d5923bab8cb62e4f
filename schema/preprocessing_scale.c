/* preprocessing_scale.c - how a column is asked to become numbers: scales, what missing values become, places of categories; and their JSON. */
#include "preprocessing.h"

#include "text.h"
#include "values.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- numbers ------------------------------------------------------------------------------------------------------------ */

static int compare(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Linear between the order statistics, as NumPy's default. */
static double quantile(const double *sorted, int64_t n, double share) {
    const double at = share * (double)(n - 1);
    const int64_t low = (int64_t)at;
    return low + 1 < n ? sorted[low] + (at - (double)low) * (sorted[low + 1] - sorted[low]) : sorted[n - 1];
}

static double symmetric_log(double v) {
    return v < 0 ? -log1p(-v) : log1p(v);
}

/* v's place among the knots, 0 to 1: linear between them, in the middle of equal ones. */
static double place_of(const double *knots, double v) {
    int32_t below = 0, upto = 0; /* knots below v, and not above it */
    while (below < SCHEMA_KNOTS && knots[below] < v) below++;
    for (upto = below; upto < SCHEMA_KNOTS && knots[upto] == v;) upto++;
    if (upto > below) return (below + upto - 1) / 2.0 / (SCHEMA_KNOTS - 1);
    if (below == 0 || below == SCHEMA_KNOTS) return below ? 1 : 0;
    return (below - 1 + (v - knots[below - 1]) / (knots[below] - knots[below - 1])) / (SCHEMA_KNOTS - 1);
}

static double before_centring(const struct schema_feature *f, double v) {
    switch (f->options.scale) {
    case SCHEMA_SCALE_LOG: return symmetric_log(v);
    case SCHEMA_SCALE_QUANTILE: return f->knots ? place_of(f->knots, v) : v;
    default: return v;
    }
}

double schema_scale_apply(const struct schema_feature *f, double v) {
    return (before_centring(f, v) - f->mean) / f->std;
}

/* Sorted values to centre and width. */
static int fit_scale(struct schema_feature *f, const double *sorted, int64_t n) {
    struct schema_moments m = {0};
    if (f->options.scale == SCHEMA_SCALE_NONE || n == 0) return 0;
    if (f->options.scale == SCHEMA_SCALE_MINMAX || f->options.scale == SCHEMA_SCALE_ROBUST) {
        const bool robust = f->options.scale == SCHEMA_SCALE_ROBUST;
        const double low = robust ? quantile(sorted, n, 0.25) : sorted[0], high = robust ? quantile(sorted, n, 0.75) : sorted[n - 1];
        f->mean = robust ? quantile(sorted, n, 0.5) : low;
        f->std = high > low && isfinite(high - low) ? high - low : 1;
        return 0;
    }
    if (f->options.scale == SCHEMA_SCALE_QUANTILE) {
        if (!(f->knots = calloc(SCHEMA_KNOTS, sizeof *f->knots))) return -1;
        for (int32_t k = 0; k < SCHEMA_KNOTS; k++) f->knots[k] = quantile(sorted, n, (double)k / (SCHEMA_KNOTS - 1));
    }
    for (int64_t i = 0; i < n; i++) schema_moments_add(&m, before_centring(f, sorted[i]));
    schema_moments_result(&m, &f->mean, &f->std);
    return 0;
}

bool schema_scale_by_moments(const struct schema_feature *f) {
    return f->options.scale == SCHEMA_SCALE_STANDARD && f->options.missing != SCHEMA_MISSING_MEDIAN;
}

void schema_scale_begin(struct schema_feature *f, const struct schema_moments *m, int64_t n) {
    double spread;
    schema_moments_result(m, &f->fill, &spread);
    const bool missing = m->n < (double)n;
    f->indicator = missing && (f->options.missing == SCHEMA_MISSING_AUTO || f->options.missing == SCHEMA_MISSING_INDICATOR);
    if (f->options.scale == SCHEMA_SCALE_STANDARD) { /* summed in the order of rows */
        f->mean = f->fill;
        f->std = spread;
    }
    if (f->type == SCHEMA_BOOLEAN) f->std = 1;
    if (f->options.missing == SCHEMA_MISSING_CONSTANT) f->fill = f->options.constant;
}

int schema_scale_fit(struct schema_feature *f, double *values, int64_t n, struct bp_error *error) {
    int64_t there = 0;
    struct schema_moments m = {0};
    for (int64_t i = 0; i < n; i++) {
        if (isnan(values[i])) continue;
        schema_moments_add(&m, values[i]);
        values[there++] = values[i];
    }
    schema_scale_begin(f, &m, n);
    if (f->options.scale != SCHEMA_SCALE_STANDARD || f->options.missing == SCHEMA_MISSING_MEDIAN)
        qsort(values, (size_t)there, sizeof *values, compare);
    if (f->options.scale != SCHEMA_SCALE_STANDARD && fit_scale(f, values, there) != 0) return bp_error_set(error, "", "out of memory");
    if (f->options.missing == SCHEMA_MISSING_MEDIAN && there > 0) f->fill = quantile(values, there, 0.5);
    return 0;
}

/* ---- categories --------------------------------------------------------------------------------------------------------- */

struct category {
    char *text;
    int64_t count;
};

/* Numbers by value, then texts. */
static int compare_categories(const void *a, const void *b) {
    const char *x = ((const struct category *)a)->text, *y = ((const struct category *)b)->text;
    char *x_end, *y_end;
    const double u = strtod(x, &x_end), v = strtod(y, &y_end);
    if (*x && *y && !*x_end && !*y_end && u != v) return u < v ? -1 : 1;
    return strcmp(x, y);
}

int schema_places_fit(struct schema_feature *f, const int64_t *counts) {
    const int32_t n = f->categories_count;
    struct category *sorted = calloc((size_t)n + 1, sizeof *sorted);
    struct schema_moments m = {0};
    if (!sorted) return -1;
    for (int32_t i = 0; i < n; i++) sorted[i] = (struct category){f->categories[i], counts[i]};
    qsort(sorted, (size_t)n, sizeof *sorted, compare_categories);
    for (int32_t i = 0; i < n; i++) {
        f->categories[i] = sorted[i].text;
        for (int64_t k = 0; k < sorted[i].count; k++) schema_moments_add(&m, i);
    }
    free(sorted);
    if (f->options.encode == SCHEMA_ENCODE_ORDINAL) schema_moments_result(&m, &f->mean, &f->std);
    return 0;
}

/* ---- JSON --------------------------------------------------------------------------------------------------------------- */

static const char *const missing_names[] = {"auto", "mean", "median", "constant", "indicator", "bucket", "drop", "error", NULL};
static const char *const scale_names[] = {"standard", "minmax", "robust", "quantile", "log", "none", NULL};
static const char *const encode_names[] = {"one_hot", "ordinal", "embedding", NULL};
static const char *const unseen_names[] = {"bucket", "ignore", "error", NULL};

static int find_name(const char *const *names, const char *text) {
    for (int i = 0; text && names[i]; i++)
        if (strcmp(names[i], text) == 0) return i;
    return -1;
}

/* The member of that name as one of `names`, the one it is now when there is none; -1 with a problem. */
static int member(const json_t *json, const char *name, const char *const *names, int now, const char *pointer, struct schema_problems *problems) {
    char place[512], got[80], list[160] = "";
    const json_t *value = json_object_get(json, name);
    if (!value || json_is_null(value)) return now;
    const int found = find_name(names, json_string_value(value));
    if (found >= 0) return found;
    for (int i = 0; names[i]; i++) snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s", i ? ", " : "", names[i]);
    schema_problem_add(problems, schema_pointer(pointer, name, place, sizeof place), "%s is one of %s, got %s", name, list,
                       schema_json_text(value, got, sizeof got));
    return -1;
}

static bool suits(const struct schema_column *c, const struct schema_column_options *o) {
    switch (o->missing) {
    case SCHEMA_MISSING_AUTO:
    case SCHEMA_MISSING_ERROR: return true;
    case SCHEMA_MISSING_DROP: return c->type != SCHEMA_TENSOR;
    case SCHEMA_MISSING_BUCKET: return c->type == SCHEMA_CATEGORICAL;
    default: return c->type == SCHEMA_NUMERIC || c->type == SCHEMA_BOOLEAN;
    }
}

static void check(const struct schema_column *c, const struct schema_column_options *o, const char *pointer, struct schema_problems *problems) {
    char place[512];
    if (!suits(c, o))
        schema_problem_add(problems, schema_pointer(pointer, "missing", place, sizeof place),
                           "missing \"%s\" does not suit column \"%.60s\", which is %s", missing_names[o->missing], c->name,
                           schema_type_name(c->type));
    if (o->scale != SCHEMA_SCALE_STANDARD && c->type != SCHEMA_NUMERIC && !(c->type == SCHEMA_TENSOR && o->scale == SCHEMA_SCALE_NONE))
        schema_problem_add(problems, schema_pointer(pointer, "scale", place, sizeof place), "scale \"%s\" is for numbers, but column \"%.60s\" is %s",
                           scale_names[o->scale], c->name, schema_type_name(c->type));
    if (o->encode != SCHEMA_ENCODE_ONE_HOT && c->type != SCHEMA_CATEGORICAL)
        schema_problem_add(problems, schema_pointer(pointer, "encode", place, sizeof place),
                           "encode \"%s\" is for categories, but column \"%.60s\" is %s", encode_names[o->encode], c->name,
                           schema_type_name(c->type));
    if (o->unseen != SCHEMA_UNSEEN_BUCKET && c->type != SCHEMA_CATEGORICAL)
        schema_problem_add(problems, schema_pointer(pointer, "unseen", place, sizeof place),
                           "unseen \"%s\" is for categories, but column \"%.60s\" is %s", unseen_names[o->unseen], c->name,
                           schema_type_name(c->type));
    if (o->missing == SCHEMA_MISSING_ERROR && c->missing > 0)
        schema_problem_add(problems, schema_pointer(pointer, "missing", place, sizeof place),
                           "column \"%.60s\" has %lld missing cells, and missing is \"error\"; say \"drop\" to leave their rows out", c->name,
                           (long long)c->missing);
}

int schema_column_options_decode(const json_t *json, const char *pointer, const struct schema_column *column, struct schema_column_options *options,
                                 struct schema_problems *problems) {
    static const char *const known[] = {"missing", "scale", "encode", "unseen", NULL};
    static const struct bp_entry entry = {.name = "a column"};
    const int64_t before = problems->total;
    char got[80];
    struct bp_value none[1];
    *options = (struct schema_column_options){0};
    if (!json_is_object(json))
        return schema_problem_add(problems, pointer, "what a column asks for is an object like {\"missing\":\"median\",\"scale\":\"robust\"}, got %s",
                                  schema_json_text(json, got, sizeof got));
    schema_values_decode(json, pointer, &entry, known, none, problems);
    const json_t *missing = json_object_get(json, "missing");
    if (json_is_number(missing)) { /* a number stands for itself */
        options->missing = SCHEMA_MISSING_CONSTANT;
        options->constant = json_number_value(missing);
    } else {
        const int found = member(json, "missing", missing_names, SCHEMA_MISSING_AUTO, pointer, problems);
        if (found == SCHEMA_MISSING_CONSTANT) schema_problem_add(problems, pointer, "for a constant say the number itself: {\"missing\":0}");
        else if (found >= 0) options->missing = (enum schema_missing)found;
    }
    const int scale = member(json, "scale", scale_names, SCHEMA_SCALE_STANDARD, pointer, problems);
    const int encode = member(json, "encode", encode_names, SCHEMA_ENCODE_ONE_HOT, pointer, problems);
    const int unseen = member(json, "unseen", unseen_names, SCHEMA_UNSEEN_BUCKET, pointer, problems);
    if (problems->total != before) return -1;
    options->scale = (enum schema_scale)scale;
    options->encode = (enum schema_encode)encode;
    options->unseen = (enum schema_unseen)unseen;
    check(column, options, pointer, problems);
    return problems->total == before ? 0 : -1;
}

json_t *schema_column_options_encode(const struct schema_feature *f) {
    const struct schema_column_options *o = &f->options;
    json_t *json = json_object();
    if (f->type == SCHEMA_CATEGORICAL) {
        json_object_set_new(json, "encode", json_string(encode_names[o->encode]));
        json_object_set_new(json, "unseen", json_string(unseen_names[o->unseen]));
        json_object_set_new(json, "missing", json_string(missing_names[o->missing == SCHEMA_MISSING_AUTO ? SCHEMA_MISSING_BUCKET : o->missing]));
        return json;
    }
    if (f->type == SCHEMA_NUMERIC)
        json_object_set_new(
            json, "scale", json_string(scale_names[f->mean == 0 && f->std == 1 && o->scale == SCHEMA_SCALE_STANDARD ? SCHEMA_SCALE_NONE : o->scale]));
    if (f->type != SCHEMA_TENSOR && o->missing == SCHEMA_MISSING_CONSTANT) json_object_set_new(json, "missing", schema_number_encode(o->constant));
    else if (f->type != SCHEMA_TENSOR)
        json_object_set_new(
            json, "missing",
            json_string(
                missing_names[o->missing == SCHEMA_MISSING_AUTO ? (f->indicator ? SCHEMA_MISSING_INDICATOR : SCHEMA_MISSING_MEAN) : o->missing]));
    else if (o->missing != SCHEMA_MISSING_AUTO) json_object_set_new(json, "missing", json_string(missing_names[o->missing]));
    return json;
}

void schema_feature_options_encode(const struct schema_feature *f, json_t *json) {
    const struct schema_column_options *o = &f->options;
    if (f->type == SCHEMA_CATEGORICAL) {
        json_object_set_new(json, "encode", json_string(encode_names[o->encode]));
        json_object_set_new(json, "unseen", json_string(unseen_names[o->unseen]));
        if (o->missing != SCHEMA_MISSING_AUTO) json_object_set_new(json, "missing", json_string(missing_names[o->missing]));
        if (o->encode == SCHEMA_ENCODE_ORDINAL) {
            json_object_set_new(json, "mean", json_real(f->mean));
            json_object_set_new(json, "std", json_real(f->std));
        }
        return;
    }
    const bool as_is = f->type == SCHEMA_BOOLEAN || (f->mean == 0 && f->std == 1 && o->scale == SCHEMA_SCALE_STANDARD);
    json_object_set_new(json, "scale", json_string(as_is ? "none" : scale_names[o->scale]));
    json_object_set_new(json, "mean", json_real(f->mean));
    json_object_set_new(json, "std", json_real(f->std));
    const char *missing = f->type == SCHEMA_TENSOR ? "zero" : f->indicator ? "mean_and_indicator" : "mean";
    if (o->missing != SCHEMA_MISSING_AUTO && o->missing != SCHEMA_MISSING_INDICATOR) missing = missing_names[o->missing];
    json_object_set_new(json, "missing", json_string(missing));
    if (f->type != SCHEMA_TENSOR && f->fill != f->mean) json_object_set_new(json, "fill", json_real(f->fill));
    if (!f->knots) return;
    json_t *knots = json_array();
    for (int32_t k = 0; k < SCHEMA_KNOTS; k++) json_array_append_new(knots, json_real(f->knots[k]));
    json_object_set_new(json, "knots", knots);
}

int schema_feature_options_decode(const json_t *json, struct schema_feature *f) {
    struct schema_column_options *o = &f->options;
    const char *missing = json_string_value(json_object_get(json, "missing"));
    const int policy = find_name(missing_names, missing), scale = find_name(scale_names, json_string_value(json_object_get(json, "scale")));
    const int encode = find_name(encode_names, json_string_value(json_object_get(json, "encode")));
    const int unseen = find_name(unseen_names, json_string_value(json_object_get(json, "unseen")));
    const json_t *fill = json_object_get(json, "fill"), *knots = json_object_get(json, "knots");
    if (policy >= 0) o->missing = (enum schema_missing)policy;
    if (policy == SCHEMA_MISSING_MEAN) o->missing = SCHEMA_MISSING_AUTO; /* the default where nothing was missing says the same */
    if (scale >= 0) o->scale = scale == SCHEMA_SCALE_NONE ? SCHEMA_SCALE_STANDARD : (enum schema_scale)scale; /* 0 and 1 are told */
    if (encode >= 0) o->encode = (enum schema_encode)encode;
    if (unseen >= 0) o->unseen = (enum schema_unseen)unseen;
    f->fill = json_is_number(fill) ? json_number_value(fill) : f->mean;
    if (o->missing == SCHEMA_MISSING_CONSTANT) o->constant = f->fill;
    if (o->scale != SCHEMA_SCALE_QUANTILE) return 0;
    if (json_array_size(knots) != SCHEMA_KNOTS || !(f->knots = calloc(SCHEMA_KNOTS, sizeof *f->knots))) return -1;
    for (size_t k = 0; k < SCHEMA_KNOTS; k++) {
        f->knots[k] = json_number_value(json_array_get(knots, k));
        if (k && !(f->knots[k] >= f->knots[k - 1])) return -1;
    }
    return 0;
}

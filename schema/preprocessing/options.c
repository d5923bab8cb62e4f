/* options.c - column options of a job, as JSON: read from a request, returned in responses, stored in the model. */
#include "schema/json/values.h"
#include "schema/preprocessing/preprocessing.h"
#include "schema/text/datetime.h"
#include "schema/text/text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const missing_names[] = {"auto", "mean", "median", "constant", "indicator", "bucket", "drop", "error", NULL};
static const char *const scale_names[] = {"standard", "minmax", "robust", "quantile", "log", "none", "global", NULL};
static const char *const encode_names[] = {"one_hot", "ordinal", "embedding", "target", "bag_of_words", "hashed", "tokens", NULL};
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

enum schema_encode schema_feature_encode(const struct schema_feature *f) {
    return f->type == SCHEMA_TEXT && f->options.encode == SCHEMA_ENCODE_ONE_HOT ? SCHEMA_ENCODE_BAG_OF_WORDS : f->options.encode;
}

static bool suits(const struct schema_column *c, const struct schema_column_options *o) {
    switch (o->missing) {
    case SCHEMA_MISSING_AUTO:
    case SCHEMA_MISSING_ERROR: return true;
    case SCHEMA_MISSING_DROP: return c->type != SCHEMA_TENSOR;
    case SCHEMA_MISSING_BUCKET: return c->type == SCHEMA_CATEGORICAL;
    case SCHEMA_MISSING_MEAN:
    case SCHEMA_MISSING_INDICATOR: return schema_type_is_number(c->type) || c->type == SCHEMA_BOOLEAN;
    default: return c->type == SCHEMA_NUMERIC || c->type == SCHEMA_BOOLEAN;
    }
}

static void check(const struct schema_column *c, const struct schema_column_options *o, const char *pointer, struct schema_problems *problems) {
    char place[512];
    if (!suits(c, o))
        schema_problem_add(problems, schema_pointer(pointer, "missing", place, sizeof place),
                           "missing \"%s\" does not apply to column \"%.60s\", which is %s", missing_names[o->missing], c->name,
                           schema_type_name(c->type));
    const bool of_tensors = o->scale == SCHEMA_SCALE_NONE || o->scale == SCHEMA_SCALE_GLOBAL;
    if (o->scale != SCHEMA_SCALE_STANDARD && (c->type == SCHEMA_TENSOR ? !of_tensors : c->type != SCHEMA_NUMERIC || o->scale == SCHEMA_SCALE_GLOBAL))
        schema_problem_add(problems, schema_pointer(pointer, "scale", place, sizeof place), "scale \"%s\" is for %s, but column \"%.60s\" is %s",
                           scale_names[o->scale], o->scale == SCHEMA_SCALE_GLOBAL ? "tensors" : "numbers", c->name, schema_type_name(c->type));
    const bool bounded = o->scale == SCHEMA_SCALE_NONE || o->scale == SCHEMA_SCALE_QUANTILE;
    if (o->clip != 0 && (bounded || (!schema_type_is_number(c->type) && c->type != SCHEMA_TENSOR)))
        schema_problem_add(problems, schema_pointer(pointer, "clip", place, sizeof place),
                           "clip is for numbers and tensors that are standardised, but column \"%.60s\" is %s%s%s", c->name,
                           schema_type_name(c->type), bounded ? " with the scale " : "", bounded ? scale_names[o->scale] : "");
    const bool for_texts = o->encode >= SCHEMA_ENCODE_BAG_OF_WORDS;
    if (o->encode != SCHEMA_ENCODE_ONE_HOT && c->type != (for_texts ? SCHEMA_TEXT : SCHEMA_CATEGORICAL))
        schema_problem_add(problems, schema_pointer(pointer, "encode", place, sizeof place), "encode \"%s\" is for %s, but column \"%.60s\" is %s",
                           encode_names[o->encode], for_texts ? "texts" : "categories", c->name, schema_type_name(c->type));
    if (o->unseen != SCHEMA_UNSEEN_BUCKET && c->type != SCHEMA_CATEGORICAL)
        schema_problem_add(problems, schema_pointer(pointer, "unseen", place, sizeof place),
                           "unseen \"%s\" is for categories, but column \"%.60s\" is %s", unseen_names[o->unseen], c->name,
                           schema_type_name(c->type));
    if (o->missing == SCHEMA_MISSING_ERROR && c->missing > 0)
        schema_problem_add(problems, schema_pointer(pointer, "missing", place, sizeof place),
                           "column \"%.60s\" has %lld missing cells, and missing is \"error\"; use \"drop\" to leave out those rows", c->name,
                           (long long)c->missing);
}

/* A number that only some columns have. */
static void number_of(const json_t *json, const char *name, bool suits, const char *whom, double least, double most, double *number,
                      const char *pointer, struct schema_problems *problems) {
    char place[512], got[80];
    const json_t *value = json_object_get(json, name);
    if (!value || json_is_null(value)) return;
    schema_pointer(pointer, name, place, sizeof place);
    const bool whole = least >= 1;
    if (!suits) schema_problem_add(problems, place, "%s is for %s", name, whom);
    else if (!(whole ? json_is_integer(value) : json_is_number(value)) || !(json_number_value(value) >= least) || json_number_value(value) > most)
        schema_problem_add(problems, place, "%s must be a%s number from %.0f to %.0f, got %s", name, whole ? " whole" : "", least, most,
                           schema_json_text(value, got, sizeof got));
    else *number = json_number_value(value);
}

static void numbers_of(const json_t *json, const struct schema_column *c, struct schema_column_options *o, const char *pointer,
                       struct schema_problems *problems) {
    const bool text = c->type == SCHEMA_TEXT, categorical = c->type == SCHEMA_CATEGORICAL;
    double categories_max = 0, vocabulary = 0, length = 0, buckets = 0, smoothing = SCHEMA_SMOOTHING;
    number_of(json, "categories_max", categorical, "categories", 1, 20000, &categories_max, pointer, problems);
    number_of(json, "smoothing", categorical && o->encode == SCHEMA_ENCODE_TARGET, "categories with the encode \"target\"", 0, 1e9, &smoothing,
              pointer, problems);
    number_of(json, "vocabulary", text && o->encode != SCHEMA_ENCODE_HASHED, "texts with the encode \"bag_of_words\" or \"tokens\"", 1, 1e6,
              &vocabulary, pointer, problems);
    number_of(json, "length", text && o->encode == SCHEMA_ENCODE_TOKENS, "texts with the encode \"tokens\"", 1, 65536, &length, pointer, problems);
    number_of(json, "buckets", text && o->encode == SCHEMA_ENCODE_HASHED, "texts with the encode \"hashed\"", 2, 1 << 20, &buckets, pointer,
              problems);
    o->categories_max = (int32_t)categories_max;
    o->vocabulary = (int32_t)vocabulary;
    o->length = (int32_t)length;
    o->buckets = (int32_t)buckets;
    o->smoothing = smoothing;
}

/* The limit of standardised values; 0: no clipping. */
static void clip_of(const json_t *json, struct schema_column_options *o, const char *pointer, struct schema_problems *problems) {
    char place[512], got[80];
    const json_t *clip = json_object_get(json, "clip");
    if (!clip || json_is_null(clip)) return;
    const double number = json_number_value(clip);
    if (!json_is_number(clip) || !(number == 0 || number >= 1) || number > 1e6)
        schema_problem_add(problems, schema_pointer(pointer, "clip", place, sizeof place),
                           "clip must be a number of deviations from 1 to 1e6, or 0 for none, got %s", schema_json_text(clip, got, sizeof got));
    else o->clip = number == 0 ? -1 : number;
}

/* ["time","year"], of a datetime. */
static void parts_of(const json_t *json, const struct schema_column *c, struct schema_column_options *o, const char *pointer,
                     struct schema_problems *problems) {
    const json_t *list = json_object_get(json, "parts");
    char place[512], got[80];
    if (!list || json_is_null(list)) return;
    schema_pointer(pointer, "parts", place, sizeof place);
    if (c->type != SCHEMA_DATETIME) {
        schema_problem_add(problems, place, "parts are for dates and times, but column \"%.60s\" is %s", c->name, schema_type_name(c->type));
        return;
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        const int part = find_name(schema_time_parts, json_string_value(json_array_get(list, i)));
        if (part >= 0) o->parts |= 1u << part;
        else o->parts |= 1u << SCHEMA_PARTS;
    }
    if (o->parts && !(o->parts >> SCHEMA_PARTS)) return;
    schema_problem_add(problems, place, "parts must be a list of time, year, month, week, day or hour, got %s",
                       schema_json_text(list, got, sizeof got));
}

int schema_column_options_decode(const json_t *json, const char *pointer, const struct schema_column *column, struct schema_column_options *options,
                                 struct schema_problems *problems) {
    static const char *const known[] = {"missing", "scale",   "encode",    "unseen", "categories_max", "vocabulary",
                                        "length",  "buckets", "smoothing", "parts",  "clip",           NULL};
    static const struct bp_entry entry = {.name = "a column"};
    const int64_t before = problems->total;
    char got[80];
    struct bp_value none[1];
    *options = (struct schema_column_options){0};
    if (!json_is_object(json))
        return schema_problem_add(problems, pointer, "column options must be an object like {\"missing\":\"median\",\"scale\":\"robust\"}, got %s",
                                  schema_json_text(json, got, sizeof got));
    schema_values_decode(json, pointer, &entry, &(struct schema_names){.list = known}, none, problems);
    const json_t *missing = json_object_get(json, "missing");
    if (json_is_number(missing)) { /* a number is its own value */
        options->missing = SCHEMA_MISSING_CONSTANT;
        options->constant = json_number_value(missing);
    } else {
        const int found = member(json, "missing", missing_names, SCHEMA_MISSING_AUTO, pointer, problems);
        if (found == SCHEMA_MISSING_CONSTANT) schema_problem_add(problems, pointer, "for a constant give the number itself: {\"missing\":0}");
        else if (found >= 0) options->missing = (enum schema_missing)found;
    }
    const int scale = member(json, "scale", scale_names, SCHEMA_SCALE_STANDARD, pointer, problems);
    const int encode = member(json, "encode", encode_names, SCHEMA_ENCODE_ONE_HOT, pointer, problems);
    const int unseen = member(json, "unseen", unseen_names, SCHEMA_UNSEEN_BUCKET, pointer, problems);
    if (problems->total != before) return -1;
    options->scale = (enum schema_scale)scale;
    options->encode = (enum schema_encode)encode;
    options->unseen = (enum schema_unseen)unseen;
    numbers_of(json, column, options, pointer, problems);
    clip_of(json, options, pointer, problems);
    parts_of(json, column, options, pointer, problems);
    check(column, options, pointer, problems);
    return problems->total == before ? 0 : -1;
}

static json_t *parts_encode(uint32_t parts) {
    json_t *list = json_array();
    for (int i = 0; i < SCHEMA_PARTS; i++)
        if (parts >> i & 1) json_array_append_new(list, json_string(schema_time_parts[i]));
    return list;
}

static void text_options_encode(const struct schema_column_options *o, json_t *json) {
    json_object_set_new(json, "encode", json_string(encode_names[o->encode]));
    if (o->encode == SCHEMA_ENCODE_HASHED) json_object_set_new(json, "buckets", json_integer(o->buckets));
    else json_object_set_new(json, "vocabulary", json_integer(o->vocabulary));
    if (o->encode == SCHEMA_ENCODE_TOKENS) json_object_set_new(json, "length", json_integer(o->length));
    if (o->missing != SCHEMA_MISSING_AUTO) json_object_set_new(json, "missing", json_string(missing_names[o->missing]));
}

/* The effective scale of the feature: an embedding's input is not scaled. */
static const char *scale_name(const struct schema_feature *f) {
    const bool as_is =
        f->type == SCHEMA_TENSOR ? f->channels_count == 0 : f->mean == 0 && f->std == 1 && f->clip == 0 && f->options.scale == SCHEMA_SCALE_STANDARD;
    return as_is || f->type == SCHEMA_BOOLEAN ? "none" : scale_names[f->options.scale];
}

json_t *schema_column_options_encode(const struct schema_feature *f) {
    const struct schema_column_options *o = &f->options;
    json_t *json = json_object();
    if (f->type == SCHEMA_TEXT) {
        text_options_encode(o, json);
        return json;
    }
    if (f->type == SCHEMA_DATETIME) json_object_set_new(json, "parts", parts_encode(o->parts));
    if (f->type == SCHEMA_CATEGORICAL) {
        json_object_set_new(json, "encode", json_string(encode_names[o->encode]));
        json_object_set_new(json, "unseen", json_string(unseen_names[o->unseen]));
        json_object_set_new(json, "missing", json_string(missing_names[o->missing == SCHEMA_MISSING_AUTO ? SCHEMA_MISSING_BUCKET : o->missing]));
        json_object_set_new(json, "categories_max", json_integer(o->categories_max));
        if (o->encode == SCHEMA_ENCODE_TARGET) json_object_set_new(json, "smoothing", schema_number_encode(o->smoothing));
        return json;
    }
    if (f->type == SCHEMA_NUMERIC || f->type == SCHEMA_TENSOR) json_object_set_new(json, "scale", json_string(scale_name(f)));
    if (f->type == SCHEMA_NUMERIC || f->type == SCHEMA_TENSOR || f->type == SCHEMA_DATETIME)
        json_object_set_new(json, "clip", schema_number_encode(f->clip));
    if (f->type != SCHEMA_TENSOR && o->missing == SCHEMA_MISSING_CONSTANT) json_object_set_new(json, "missing", schema_number_encode(o->constant));
    else if (f->type != SCHEMA_TENSOR)
        json_object_set_new(
            json, "missing",
            json_string(
                missing_names[o->missing == SCHEMA_MISSING_AUTO ? (f->indicator ? SCHEMA_MISSING_INDICATOR : SCHEMA_MISSING_MEAN) : o->missing]));
    else if (o->missing != SCHEMA_MISSING_AUTO) json_object_set_new(json, "missing", json_string(missing_names[o->missing]));
    return json;
}

static json_t *reals_encode(const double *numbers, size_t n) {
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++) json_array_append_new(list, json_real(numbers[i]));
    return list;
}

static bool reals_decode(const json_t *list, double *out, size_t n) {
    bool good = json_array_size(list) == n;
    for (size_t i = 0; good && i < n; i++) {
        out[i] = json_number_value(json_array_get(list, i));
        good = json_is_number(json_array_get(list, i));
    }
    return good;
}

/* A row of numbers for each category, and the last for the rest. */
static json_t *means_encode(const struct schema_feature *f) {
    json_t *list = json_array();
    for (size_t c = 0; c <= (size_t)f->categories_count; c++)
        json_array_append_new(list, reals_encode(f->means + c * (size_t)f->means_width, (size_t)f->means_width));
    return list;
}

static int means_decode(const json_t *list, struct schema_feature *f) {
    const size_t rows = (size_t)f->categories_count + 1, width = json_array_size(json_array_get(list, 0));
    if (json_array_size(list) != rows || width < 1 || width > 1 << 20) return -1;
    f->means_width = (int32_t)width;
    if (!(f->means = calloc(rows * width, sizeof *f->means))) return -1;
    for (size_t c = 0; c < rows; c++)
        if (!reals_decode(json_array_get(list, c), f->means + c * width, width)) return -1;
    return 0;
}

int schema_feature_tables_decode(const json_t *json, struct schema_feature *f) {
    if (f->type == SCHEMA_CATEGORICAL && f->options.encode == SCHEMA_ENCODE_TARGET) return means_decode(json_object_get(json, "means"), f);
    if (f->type != SCHEMA_TEXT || f->options.encode != SCHEMA_ENCODE_BAG_OF_WORDS) return 0;
    if (!(f->idf = calloc((size_t)f->categories_count + 1, sizeof *f->idf))) return -1;
    return reals_decode(json_object_get(json, "idf"), f->idf, (size_t)f->categories_count) ? 0 : -1;
}

void schema_feature_options_encode(const struct schema_feature *f, json_t *json) {
    const struct schema_column_options *o = &f->options;
    if (f->type == SCHEMA_TEXT) {
        text_options_encode(o, json);
        json_object_set_new(json, "words", schema_strings_encode(f->categories, f->categories_count));
        if (f->idf) json_object_set_new(json, "idf", reals_encode(f->idf, (size_t)f->categories_count));
        return;
    }
    if (f->type == SCHEMA_CATEGORICAL) {
        json_object_set_new(json, "encode", json_string(encode_names[o->encode]));
        json_object_set_new(json, "categories_max", json_integer(o->categories_max));
        if (f->left_out) json_object_set_new(json, "left_out", json_integer((json_int_t)f->left_out));
        json_object_set_new(json, "unseen", json_string(unseen_names[o->unseen]));
        if (o->missing != SCHEMA_MISSING_AUTO) json_object_set_new(json, "missing", json_string(missing_names[o->missing]));
        if (o->encode == SCHEMA_ENCODE_TARGET) {
            json_object_set_new(json, "smoothing", schema_number_encode(o->smoothing));
            json_object_set_new(json, "means", means_encode(f));
        }
        if (o->encode == SCHEMA_ENCODE_ORDINAL || o->encode == SCHEMA_ENCODE_TARGET) {
            json_object_set_new(json, "mean", json_real(f->mean));
            json_object_set_new(json, "std", json_real(f->std));
        }
        return;
    }
    if (f->type == SCHEMA_DATETIME) json_object_set_new(json, "parts", parts_encode(o->parts));
    if (f->format) json_object_set_new(json, "format", json_string(f->format));
    json_object_set_new(json, "scale", json_string(scale_name(f)));
    if (f->type == SCHEMA_TENSOR) schema_channels_encode(f->channels, f->channels_count, json);
    else schema_channels_encode(&(struct schema_channel){f->mean, f->std, f->min, f->max}, 1, json);
    if (f->clip > 0) json_object_set_new(json, "clip", json_real(f->clip));
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
    if (policy == SCHEMA_MISSING_MEAN) o->missing = SCHEMA_MISSING_AUTO; /* the default without missing values is the same */
    if (scale >= 0) o->scale = scale == SCHEMA_SCALE_NONE ? SCHEMA_SCALE_STANDARD : (enum schema_scale)scale; /* mean 0 and std 1 are there */
    const json_t *clip = json_object_get(json, "clip"), *min = json_object_get(json, "min"), *max = json_object_get(json, "max");
    f->clip = json_number_value(clip); /* none in models of before */
    f->min = json_is_number(min) ? json_number_value(min) : (double)-INFINITY;
    f->max = json_is_number(max) ? json_number_value(max) : (double)INFINITY;
    if (!(f->clip >= 0) || (f->constant && f->type != SCHEMA_CATEGORICAL && !isfinite(f->min))) return -1;
    if (f->constant && f->type == SCHEMA_CATEGORICAL && json_array_size(json_object_get(json, "categories")) != 1) return -1;
    if (f->type == SCHEMA_TENSOR && scale == SCHEMA_SCALE_NONE) schema_feature_unscaled(f);
    if (encode >= 0) o->encode = (enum schema_encode)encode;
    if (unseen >= 0) o->unseen = (enum schema_unseen)unseen;
    o->categories_max = (int32_t)json_integer_value(json_object_get(json, "categories_max"));
    o->vocabulary = (int32_t)json_integer_value(json_object_get(json, "vocabulary"));
    o->length = (int32_t)json_integer_value(json_object_get(json, "length"));
    o->buckets = (int32_t)json_integer_value(json_object_get(json, "buckets"));
    o->smoothing = json_number_value(json_object_get(json, "smoothing"));
    f->left_out = json_integer_value(json_object_get(json, "left_out"));
    const json_t *parts = json_object_get(json, "parts"), *format = json_object_get(json, "format");
    for (size_t i = 0; i < json_array_size(parts); i++) {
        const int part = find_name(schema_time_parts, json_string_value(json_array_get(parts, i)));
        if (part < 0) return -1;
        o->parts |= 1u << part;
    }
    if (f->type == SCHEMA_DATETIME && !o->parts) return -1;
    if (f->type == SCHEMA_CATEGORICAL && o->categories_max < 1) o->categories_max = 20000; /* of models before there was such a limit */
    if (f->type == SCHEMA_TEXT && o->encode == SCHEMA_ENCODE_TOKENS && (o->length < 1 || o->length > 65536)) return -1;
    if (f->type == SCHEMA_TEXT && o->encode == SCHEMA_ENCODE_HASHED && (o->buckets < 2 || o->buckets > 1 << 20)) return -1;
    if (f->type == SCHEMA_TEXT && o->encode < SCHEMA_ENCODE_BAG_OF_WORDS) return -1;
    if (json_is_string(format) && !(f->format = strdup(json_string_value(format)))) return -1;
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

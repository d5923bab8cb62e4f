/* instances_decode.c - the patient reader of predict bodies, on jansson: every layout, every problem with its place. */
#include "schema/predict/predictor.h"

#include "schema/dataset/cell.h"
#include "schema/json/values.h"
#include "schema/memory.h"
#include "schema/text/datetime.h"
#include "schema/text/number.h"
#include "schema/text/number_format.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { POINTER_MAX = 400, TEXT_MAX = 1 << 20 };

/* What the job refuses by "missing" or "unseen":"error" is refused here too. */
static int decode_cell(struct schema_predictor *p, int32_t i, const json_t *json, const char *pointer, struct schema_problems *problems) {
    const struct schema_feature *f = &p->preprocessing->features[i];
    char why[400];
    p->cells[i].kind = SCHEMA_VALUE_MISSING;
    if (json && !json_is_null(json) && schema_type_of(f->type)->read(p, i, json, pointer, problems) != 0) return -1;
    const char *refused = schema_predictor_refused(p, i, p->unseen_first[i], strlen(p->unseen_first[i]), why);
    return refused ? schema_problem_add(problems, pointer, "%s", refused) : 0;
}

/* The features that an object lacks, for the search of the one that was meant. */
struct lacking {
    const struct schema_preprocessing *preprocessing;
    const json_t *object;
};

static const char *lacking_at(const void *context, int32_t i) {
    const struct lacking *l = context;
    const char *name = l->preprocessing->features[i].name;
    return json_object_get(l->object, name) ? "" : name;
}

/* Names that differ in their digits only are those of neighbours, not typos: x_11 and x_12. */
static bool differ_in_digits(const char *a, const char *b) {
    for (;;) {
        a += strspn(a, "0123456789");
        b += strspn(b, "0123456789");
        if (!*a || !*b) return *a == *b;
        if (*a++ != *b++) return false;
    }
}

const char *schema_predictor_meant(const struct schema_preprocessing *pre, const char *name, const char *(*lacking)(const void *context, int32_t i),
                                   const void *context) {
    enum { SHORTEST = 4 };
    if (strlen(name) < SHORTEST) return NULL;
    for (int32_t k = 0; k < pre->targets_count; k++)
        if (strcmp(pre->targets[k].name, name) == 0) return NULL;
    const char *nearest = schema_nearest(name, lacking, context, pre->features_count);
    return nearest && !differ_in_digits(nearest, name) ? nearest : NULL;
}

/* A key or column that the model does not use: ignored with a warning, or refused where it looks like a typo. */
static void unused(struct schema_predictor *p, const json_t *object, const char *name, const char *pointer, struct schema_problems *problems) {
    char place[POINTER_MAX];
    const char *nearest = p->strict ? schema_predictor_meant(p->preprocessing, name, lacking_at, &(struct lacking){p->preprocessing, object}) : NULL;
    if (nearest)
        schema_problem_add(problems, schema_pointer(pointer, name, place, sizeof place),
                           "\"%.60s\" is not a feature of this model, did you mean \"%.60s\", which is missing? Send \"strict\": false beside the "
                           "instances to ignore it",
                           name, nearest);
    else schema_predictor_ignored(p, name, strlen(name));
}

static void decode_object(struct schema_predictor *p, const json_t *json, const char *pointer, struct schema_problems *problems) {
    const struct schema_preprocessing *pre = p->preprocessing;
    char place[POINTER_MAX];
    size_t used = 0;
    for (int32_t i = 0; i < pre->features_count; i++) {
        const json_t *cell = json_object_get(json, pre->features[i].name);
        used += cell != NULL;
        decode_cell(p, i, cell, schema_pointer(pointer, pre->features[i].name, place, sizeof place), problems);
    }
    if (used == json_object_size(json) && used > 0) return;
    if (json_object_size(json) == 0 && !p->strict) return;
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)json, name, value) {
        bool known = false;
        for (int32_t i = 0; i < pre->features_count && !known; i++) known = strcmp(pre->features[i].name, name) == 0;
        if (!known && used > 0) unused(p, json, name, pointer, problems);
    }
    if (used == 0)
        schema_problem_add(problems, pointer,
                           json_object_size(json) == 0 ? "the instance is empty; the features are \"%.60s\"%s%.60s%s"
                                                       : "none of its keys is a feature of this model; the features are \"%.60s\"%s%.60s%s",
                           pre->features[0].name, pre->features_count > 1 ? ", \"" : "", pre->features_count > 1 ? pre->features[1].name : "",
                           pre->features_count > 2   ? "\", ..."
                           : pre->features_count > 1 ? "\""
                                                     : "");
}

static void decode_instance(struct schema_predictor *p, const json_t *json, const char *pointer, struct schema_problems *problems) {
    const struct schema_preprocessing *pre = p->preprocessing;
    char place[POINTER_MAX], got[80];
    bool tensor_only = pre->features_count == 1 && schema_type_of(pre->features[0].type)->value == SCHEMA_VALUE_TENSOR;
    if (json_is_object(json)) {
        decode_object(p, json, pointer, problems);
    } else if (tensor_only) {
        decode_cell(p, 0, json, pointer, problems);
    } else if (json_is_array(json)) {
        if (json_array_size(json) != (size_t)pre->features_count) {
            schema_problem_add(problems, pointer, "this instance has %zu values, the model has %d features (in order: \"%.60s\"%s)",
                               json_array_size(json), pre->features_count, pre->features[0].name, pre->features_count > 1 ? ", ..." : "");
            return;
        }
        for (int32_t i = 0; i < pre->features_count; i++)
            decode_cell(p, i, json_array_get(json, (size_t)i), schema_pointer_index(pointer, (size_t)i, place, sizeof place), problems);
    } else {
        schema_problem_add(problems, pointer, "an instance must be an object by column name or an array in the order of the features, got %s",
                           schema_json_text(json, got, sizeof got));
    }
}

/* Where the value of a feature (-1: none in particular) is in an instance at `place`. */
static const char *point_at(const struct schema_predictor *p, const json_t *instance, int32_t feature, const char *place, char *out, size_t size) {
    const bool object = json_is_object(instance),
               alone = p->preprocessing->features_count == 1 && schema_type_of(p->preprocessing->features[0].type)->value == SCHEMA_VALUE_TENSOR;
    if (feature < 0 || (!object && alone)) return place;
    return object ? schema_pointer(place, p->preprocessing->features[feature].name, out, size)
                  : schema_pointer_index(place, (size_t)feature, out, size);
}

static int decode_instances(struct schema_predictor *p, const json_t *list, struct schema_problems *problems) {
    char place[POINTER_MAX], deeper[POINTER_MAX], got[80], why[300];
    if (!json_is_array(list) || json_array_size(list) == 0)
        return schema_problem_add(problems, "/instances", "instances must be a list with at least one instance, got %s",
                                  schema_json_text(list, got, sizeof got));
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *json = json_array_get(list, i);
        decode_instance(p, json, schema_pointer_index("/instances", i, place, sizeof place), problems);
        const int32_t unusable = problems->total == 0 ? schema_predictor_row(p) : -1;
        if (unusable >= 0) schema_predictor_refuse(p, unusable, point_at(p, json, unusable, place, deeper, sizeof deeper), problems);
    }
    if (problems->total == 0) schema_predictor_flush(p);
    if (problems->total == 0 && p->not_finite >= 0) {
        schema_pointer_index("/instances", (size_t)p->not_finite, place, sizeof place);
        schema_problem_add(problems, point_at(p, json_array_get(list, (size_t)p->not_finite), p->suspect, place, deeper, sizeof deeper), "%s",
                           schema_predictor_not_finite(p, why));
    }
    return problems->total ? -1 : 0;
}

/* Where the value of a feature (-1: none in particular) is in the columns. */
static const char *point_into(const struct schema_predictor *p, int32_t feature, size_t row, char *place, char *out, size_t size) {
    if (feature < 0) return "/inputs";
    schema_pointer("/inputs", p->preprocessing->features[feature].name, place, size);
    return schema_pointer_index(place, row, out, size);
}

/* {"inputs":{"col":[...], ...}}: columns of the same length. */
static int decode_columns(struct schema_predictor *p, const json_t *columns, int64_t rows_max, struct schema_problems *problems) {
    const struct schema_preprocessing *pre = p->preprocessing;
    char place[POINTER_MAX], deeper[POINTER_MAX], got[80], why[300];
    if (!json_is_object(columns) || json_object_size(columns) == 0)
        return schema_problem_add(problems, "/inputs", "inputs must be an object of columns, like {\"age\":[31,47]}, got %s",
                                  schema_json_text(columns, got, sizeof got));
    size_t rows = 0, used = 0;
    const char *name, *first = NULL;
    json_t *column;
    json_object_foreach((json_t *)columns, name, column) {
        schema_pointer("/inputs", name, place, sizeof place);
        bool known = false;
        for (int32_t i = 0; i < pre->features_count && !known; i++) known = strcmp(pre->features[i].name, name) == 0;
        if (!known) {
            unused(p, columns, name, "/inputs", problems);
            continue;
        }
        used++;
        if (!json_is_array(column) || json_array_size(column) == 0)
            schema_problem_add(problems, place, "a column must be a list with at least one value, got %s", schema_json_text(column, got, sizeof got));
        else if (first && json_array_size(column) != rows)
            schema_problem_add(problems, place, "column \"%.60s\" has %zu values, \"%.60s\" has %zu", name, json_array_size(column), first, rows);
        else if (!first) first = name, rows = json_array_size(column);
    }
    if (used == 0)
        schema_problem_add(problems, "/inputs", "none of its columns is a feature of this model (the first feature is \"%.60s\")",
                           pre->features[0].name);
    if ((int64_t)rows > rows_max) {
        problems->too_large = true;
        schema_problem_add(problems, "/inputs", "%zu rows in one request; the limit is %lld", rows, (long long)rows_max);
    }
    if (problems->total) return -1;
    for (size_t row = 0; row < rows; row++) {
        for (int32_t i = 0; i < pre->features_count; i++) {
            schema_pointer("/inputs", pre->features[i].name, place, sizeof place);
            decode_cell(p, i, json_array_get(json_object_get(columns, pre->features[i].name), row),
                        schema_pointer_index(place, row, deeper, sizeof deeper), problems);
        }
        const int32_t unusable = problems->total == 0 ? schema_predictor_row(p) : -1;
        if (unusable >= 0) schema_predictor_refuse(p, unusable, point_into(p, unusable, row, place, deeper, sizeof deeper), problems);
    }
    if (problems->total == 0) schema_predictor_flush(p);
    if (problems->total == 0 && p->not_finite >= 0)
        schema_problem_add(problems, point_into(p, p->suspect, (size_t)p->not_finite, place, deeper, sizeof deeper), "%s",
                           schema_predictor_not_finite(p, why));
    return problems->total ? -1 : 0;
}

/* ---- integers that are too long for jansson ---- */

/* Puts integers of 19 digits and more in quotes: as texts they keep all of them, and columns of numbers take texts too. Those that jansson reads lose
 * nothing either way. The copy is the caller's; NULL: there are none, or no memory. */
static char *quote_long_integers(const char *body, size_t size, size_t *quoted_size) {
    enum { LONG = 19 };
    size_t count = 0, n = 0;
    for (size_t i = 0; i + LONG <= size; i++) count += body[i] >= '0' && body[i] <= '9';
    char *copy = count >= 1 ? malloc(size + 2 * (size / LONG) + 2) : NULL;
    bool found = false;
    for (size_t i = 0; copy && i < size;) {
        const char c = body[i];
        size_t end = i;
        if (c == '"') {
            for (end++; end < size && body[end] != '"'; end++) end += body[end] == '\\';
            end = end < size ? end + 1 : size;
        } else if (c == '-' || (c >= '0' && c <= '9')) {
            for (end++; end < size && body[end] >= '0' && body[end] <= '9';) end++;
        }
        const bool whole = end > i && c != '"' && (end == size || (body[end] != '.' && (body[end] | 0x20) != 'e'));
        const bool wrap = whole && end - i >= LONG && body[i + (c == '-')] != '0';
        if (end == i) end++;
        else if (c != '"' && !whole) /* the rest of a number with a fraction */
            while (end < size &&
                   (body[end] == '.' || body[end] == '+' || body[end] == '-' || (body[end] | 0x20) == 'e' || (body[end] >= '0' && body[end] <= '9')))
                end++;
        found = found || wrap;
        if (wrap) copy[n++] = '"';
        memcpy(copy + n, body + i, end - i);
        n += end - i;
        if (wrap) copy[n++] = '"';
        i = end;
    }
    if (found) return *quoted_size = n, copy;
    free(copy);
    return NULL;
}

static json_t *load(const char *body, size_t size, json_error_t *where) {
    json_t *json = schema_json_load(body, size, JSON_REJECT_DUPLICATES, where);
    if (json || json_error_code(where) != json_error_numeric_overflow) return json;
    size_t quoted_size;
    json_error_t again;
    char *quoted = quote_long_integers(body, size, &quoted_size);
    if (quoted) json = schema_json_load(quoted, quoted_size, JSON_REJECT_DUPLICATES, &again);
    free(quoted);
    return json;
}

int schema_instances_decode(struct schema_predictor *p, const char *body, size_t size, int64_t rows_max, struct schema_problems *problems) {
    static const struct bp_entry entry = {.name = "a prediction request"};
    static const char *const known[] = {"coverage", "instances", "inputs", "strict", "thresholds", "warnings", NULL};
    json_error_t where;
    const struct schema_json_cost cost = schema_json_cost(body, size);
    char got[80];
    if (cost.members > rows_max) {
        problems->too_large = true;
        return schema_problem_add(problems, "/instances", "%lld instances in one request; the limit is %lld (setting instances_max)",
                                  (long long)cost.members, (long long)rows_max);
    }
    if (p->allow && !p->allow(p->allow_context, &cost)) return -1;
    json_t *json = load(body, size, &where);
    if (!json) {
        struct schema_problem *last = problems->count < SCHEMA_PROBLEMS_MAX ? &problems->items[problems->count] : NULL;
        schema_problem_add(problems, NULL, "the body is not JSON: %s (line %d, column %d)", where.text, where.line, where.column);
        if (last) last->line = where.line;
        return -1;
    }
    struct bp_value none[1];
    const json_t *instances = json_object_get(json, "instances"), *inputs = json_object_get(json, "inputs");
    const json_t *strict = json_object_get(json, "strict"), *thresholds = json_object_get(json, "thresholds");
    const json_t *coverage = json_object_get(json, "coverage"), *warnings = json_object_get(json, "warnings");
    p->strict = !json_is_false(strict);
    p->quiet = json_is_false(warnings);
    if (warnings && !json_is_boolean(warnings))
        schema_problem_add(problems, "/warnings", "warnings must be true or false, got %s", schema_json_text(warnings, got, sizeof got));
    if (strict && !json_is_boolean(strict))
        schema_problem_add(problems, "/strict", "strict must be true or false, got %s", schema_json_text(strict, got, sizeof got));
    else if (!json_is_object(json))
        schema_problem_add(problems, "", "the body must be an object like {\"instances\":[...]}, got %s", schema_json_text(json, got, sizeof got));
    else if (schema_values_decode(json, "", &entry, &(struct schema_names){.list = known}, none, problems) != 0) (void)0;
    else if (thresholds && !json_is_null(thresholds) && schema_predictor_thresholds(p, thresholds, "/thresholds", problems) != 0) (void)0;
    else if (coverage && !json_is_null(coverage) && schema_predictor_coverage(p, coverage, "/coverage", problems) != 0) (void)0;
    else if (instances && inputs) schema_problem_add(problems, "", "send either \"instances\" or \"inputs\", not both");
    else if (inputs) decode_columns(p, inputs, rows_max, problems);
    else if (instances) decode_instances(p, instances, problems);
    else
        schema_problem_add(problems, "", "the body needs \"instances\": a list of objects by column name, or of arrays in the order of the features");
    json_decref(json);
    return problems->total ? -1 : 0;
}

/* columns.c - which columns a job learns from and which it learns, and what each target is: a class or a number. */
#include "schema/resolve/resolution.h"

#include "schema/json/values.h"
#include "schema/text/number.h"
#include "schema/text/text.h"
#include "schema/training/split.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CLASSES_MAX = 10000, INTEGER_CLASSES_MAX = 20 };

/* ---- columns ---------------------------------------------------------------------------------------------------------- */

static const char *column_at(const void *context, int32_t i) {
    return ((const struct schema_dataset *)context)->columns[i].name;
}

static int32_t find_column(struct resolving *r, const char *name, const char *pointer) {
    int32_t column = schema_dataset_find(r->dataset, name);
    if (column >= 0) return column;
    const char *nearest = schema_nearest(name, column_at, r->dataset, r->dataset->columns_count);
    char hint[200], list[300] = "";
    for (int32_t i = 0; i < r->dataset->columns_count && !nearest && strlen(list) < 200; i++) {
        size_t n = strlen(list);
        snprintf(list + n, sizeof list - n, "%s\"%.60s\"", i ? ", " : "; it has ", r->dataset->columns[i].name);
    }
    schema_problem_add(r->problems, pointer, "the dataset has no column \"%.80s\"%s%s", name, schema_did_you_mean(nearest, hint, sizeof hint), list);
    return -1;
}

static bool is_target(const struct resolving *r, int32_t column) {
    for (int32_t k = 0; k < r->targets_count; k++)
        if (r->targets[k].column == column) return true;
    return false;
}

static void add_target(struct resolving *r, const json_t *json, const char *pointer) {
    char got[80];
    if (!json_is_string(json)) {
        schema_problem_add(r->problems, pointer, "a target must be the name of a column, got %s", schema_json_text(json, got, sizeof got));
        return;
    }
    const int32_t column = find_column(r, json_string_value(json), pointer);
    if (column >= 0 && is_target(r, column))
        schema_problem_add(r->problems, pointer, "column \"%.80s\" is listed twice as a target", json_string_value(json));
    else if (column >= 0 && r->targets_count == RESOLVING_TARGETS_MAX)
        schema_problem_add(r->problems, pointer, "at most %d columns can be targets", RESOLVING_TARGETS_MAX);
    else if (column >= 0) {
        struct resolving_target *target = &r->targets[r->targets_count++];
        target->column = column;
        snprintf(target->pointer, sizeof target->pointer, "%s", pointer);
    }
}

static void add_targets(struct resolving *r, const json_t *json, const char *pointer) {
    char deeper[RESOLVING_POINTER_MAX];
    if (!json_is_array(json)) {
        add_target(r, json, pointer);
        return;
    }
    if (json_array_size(json) == 0) schema_problem_add(r->problems, pointer, "target must name at least one column");
    for (size_t i = 0; i < json_array_size(json); i++)
        add_target(r, json_array_get(json, i), schema_pointer_index(pointer, i, deeper, sizeof deeper));
}

/* "column", ["a","b"], or {"layer":"column","other":["a","b"]}. */
static void choose_targets(struct resolving *r) {
    char where[RESOLVING_POINTER_MAX], deeper[RESOLVING_POINTER_MAX];
    const char *layer;
    json_t *columns;
    resolving_place(r, "target", where, sizeof where);
    if (!json_is_object(r->request->target)) {
        add_targets(r, r->request->target, where);
        return;
    }
    r->by_layer = true;
    if (json_object_size(r->request->target) == 0 || json_object_size(r->request->target) > BP_OUTPUTS_MAX)
        schema_problem_add(r->problems, where, "target must name 1 to %d output layers, like {\"price\":\"price_column\"}", BP_OUTPUTS_MAX);
    else json_object_foreach((json_t *)r->request->target, layer, columns) {
            struct resolving_output *output = &r->outputs[r->outputs_count];
            schema_pointer(where, layer, deeper, sizeof deeper);
            if (strlen(layer) >= BP_NAME_MAX) {
                schema_problem_add(r->problems, deeper, "the name of a layer has at most %d bytes", BP_NAME_MAX - 1);
                continue;
            }
            snprintf(output->name, sizeof output->name, "%s", layer);
            output->first = r->targets_count;
            add_targets(r, columns, deeper);
            output->count = r->targets_count - output->first;
            if (output->count > 0) r->outputs_count++;
        }
}

static void choose_sample_weight(struct resolving *r) {
    char where[RESOLVING_POINTER_MAX];
    r->sample_weight = -1;
    if (!r->request->sample_weight) return;
    resolving_place(r, "sample_weight", where, sizeof where);
    const int32_t column = find_column(r, r->request->sample_weight, where);
    if (column < 0) return;
    const struct schema_column *c = &r->dataset->columns[column];
    if (is_target(r, column)) schema_problem_add(r->problems, where, "column \"%.80s\" is the target, so it cannot be the sample weight", c->name);
    else if (!schema_type_of(c->type)->quantity || resolving_tensor(r->dataset, column))
        schema_problem_add(
            r->problems, where,
            "sample_weight must be a column of numbers, one per row; \"%.80s\" is %s: upload it as numeric, or leave sample_weight out", c->name,
            schema_type_name(c->type));
    else if (c->missing > 0)
        schema_problem_add(r->problems, where,
                           "sample_weight needs a number in every row, but \"%.80s\" has %lld missing cells: fill them, with 0 or 1", c->name,
                           (long long)c->missing);
    else if (!(c->min >= 0) || !(c->max > 0))
        schema_problem_add(r->problems, where,
                           "sample_weight must be numbers that are not negative and not all 0, but \"%.80s\" goes from %.9g to %.9g", c->name, c->min,
                           c->max);
    else r->sample_weight = column;
}

/* The column that selects the validation rows. */
static void choose_split(struct resolving *r) {
    char where[RESOLVING_POINTER_MAX];
    struct bp_error error = {0};
    const struct schema_options *o = &r->training->options;
    static const char *const names[] = {"", "group", "time", "column"};
    r->split_column = -1;
    if (o->validation == SCHEMA_VALIDATION_RANDOM || o->validation == SCHEMA_VALIDATION_DATASET) return;
    snprintf(where, sizeof where, "%s/validation/%s", r->request->pointer, names[o->validation]);
    r->split_column = find_column(r, o->validation_column, where);
    if (r->split_column < 0) return;
    if (is_target(r, r->split_column))
        schema_problem_add(r->problems, where, "column \"%.80s\" is the target, so it cannot select the validation rows", o->validation_column);
    else if (schema_split_check(r->dataset, r->split_column, o->validation, &error) != 0) schema_problem_error(r->problems, where, &error);
}

/* The column that selects the rows of the test. */
static void choose_test(struct resolving *r) {
    char where[RESOLVING_POINTER_MAX];
    struct bp_error error = {0};
    const struct schema_options *o = &r->training->options;
    static const char *const names[] = {"", "group", "time", "column"};
    r->test_column = -1;
    if (!schema_options_test(o) || o->test == SCHEMA_VALIDATION_RANDOM) return;
    snprintf(where, sizeof where, "%s/test/%s", r->request->pointer, names[o->test]);
    r->test_column = find_column(r, o->test_column, where);
    if (r->test_column < 0) return;
    if (is_target(r, r->test_column))
        schema_problem_add(r->problems, where, "column \"%.80s\" is the target, so it cannot select the rows of the test", o->test_column);
    else if (schema_split_check(r->dataset, r->test_column, o->test, &error) != 0) schema_problem_error(r->problems, where, &error);
}

static void all_other_columns(struct resolving *r, const char *where) {
    char text[200];
    for (int32_t i = 0; i < r->dataset->columns_count; i++) {
        const struct schema_column *c = &r->dataset->columns[i];
        if (is_target(r, i) || i == r->sample_weight) continue;
        if (i == r->split_column && r->training->options.validation != SCHEMA_VALIDATION_TIME) continue;
        if (i == r->test_column && r->training->options.test != SCHEMA_VALIDATION_TIME) continue;
        const struct schema_type_ops *type = schema_type_of(c->type);
        const char *why = type->left_out ? type->left_out(r->dataset, c, text, sizeof text) : NULL;
        if (!why && c->missing == r->dataset->rows) why = "it has no values";
        if (why) resolving_warn(r, "column \"%s\" is left out: %s", c->name, why);
        else r->features[r->features_count++] = i;
    }
    if (r->features_count == 0) schema_problem_add(r->problems, where, "the dataset has no column besides the target that can be a feature");
}

/* An autoencoder learns what it is shown: then every feature is one of several targets, or the target is a tensor. Else a target among the features
 * gives the answer away. */
static bool autoencodes(const struct resolving *r, int32_t column) {
    if (resolving_tensor(r->dataset, column)) return true;
    if (r->targets_count < 2) return false;
    for (size_t i = 0; i < json_array_size(r->request->features); i++) {
        const char *name = json_string_value(json_array_get(r->request->features, i));
        if (!name || !is_target(r, schema_dataset_find(r->dataset, name))) return false;
    }
    return true;
}

static void choose_features(struct resolving *r) {
    char where[RESOLVING_POINTER_MAX], deeper[RESOLVING_POINTER_MAX], got[80];
    const json_t *list = r->request->features;
    resolving_place(r, "features", where, sizeof where);
    r->features = calloc((size_t)r->dataset->columns_count + json_array_size(list) + 1, sizeof *r->features);
    if (!r->features) {
        schema_problem_no_memory(r->problems);
        return;
    }
    if (!list) {
        all_other_columns(r, where);
        return;
    }
    if (json_array_size(list) == 0)
        schema_problem_add(r->problems, where, "features must name at least one column; leave it out to use all other columns");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *name = json_string_value(json_array_get(list, i));
        schema_pointer_index(where, i, deeper, sizeof deeper);
        if (!name) {
            schema_problem_add(r->problems, deeper, "a feature must be the name of a column, got %s",
                               schema_json_text(json_array_get(list, i), got, sizeof got));
            continue;
        }
        int32_t column = find_column(r, name, deeper);
        if (column < 0) continue;
        bool twice = false;
        for (int32_t k = 0; k < r->features_count; k++) twice = twice || r->features[k] == column;
        if (twice) schema_problem_add(r->problems, deeper, "column \"%.80s\" is listed twice", name);
        else if (column == r->sample_weight)
            schema_problem_add(r->problems, deeper, "column \"%.80s\" is the sample weight, so it cannot be a feature", name);
        else if (schema_type_of(r->dataset->columns[column].type)->not_feature)
            schema_problem_add(r->problems, deeper, "column \"%.80s\" %s", name, schema_type_of(r->dataset->columns[column].type)->not_feature);
        else if (is_target(r, column) && !autoencodes(r, column))
            schema_problem_add(r->problems, deeper, "column \"%.80s\" is the target, so it cannot be a feature", name);
        else r->features[r->features_count++] = column;
    }
}

/* An encode of a column that has none, even the default one, would be without effect. */
static void check_encode(struct resolving *r, const struct schema_column *c, const json_t *asked, const char *pointer) {
    char where[RESOLVING_POINTER_MAX], got[80];
    const json_t *encode = json_object_get(asked, "encode");
    if (!encode || json_is_null(encode) || schema_type_of(c->type)->encodes) return;
    schema_problem_add(
        r->problems, schema_pointer(pointer, "encode", where, sizeof where),
        "encode is for categories and texts, but column \"%.60s\" is %s, so %s would have no effect; upload the column as categorical, or "
        "leave encode out",
        c->name, schema_type_name(c->type), schema_json_text(encode, got, sizeof got));
}

/* How an automatic choice reads a column: numbers by median and quartiles, so that outliers and heavy tails do little; rare categories as unknown
 * ones. */
static void choose_sturdy(struct resolving *r, int32_t feature) {
    const struct schema_column *column = &r->dataset->columns[r->features[feature]];
    json_t *usual = NULL;
    if (column->type == SCHEMA_NUMERIC) usual = json_pack("{s:s, s:i}", "scale", "robust", "clip", 8);
    if (column->type == SCHEMA_CATEGORICAL)
        usual = json_pack("{s:s, s:s, s:i, s:i}", "encode", "compact", "unseen", "ignore", "categories_min_count", 3, "categories_max", 64);
    if (usual) schema_column_options_decode(usual, "/columns", column, &r->options[feature], r->problems);
    json_decref(usual);
}

/* The column options of the request. */
static void choose_options(struct resolving *r) {
    char where[RESOLVING_POINTER_MAX], deeper[RESOLVING_POINTER_MAX];
    const char *name;
    json_t *asked;
    r->options = calloc((size_t)r->features_count + 1, sizeof *r->options);
    if (!r->options) schema_problem_no_memory(r->problems);
    for (int32_t i = 0; r->options && r->request->sturdy && i < r->features_count; i++)
        if (!json_object_get(r->request->columns, r->dataset->columns[r->features[i]].name)) choose_sturdy(r, i);
    if (!r->options || !r->request->columns) return;
    resolving_place(r, "columns", where, sizeof where);
    json_object_foreach((json_t *)r->request->columns, name, asked) {
        schema_pointer(where, name, deeper, sizeof deeper);
        const int32_t column = find_column(r, name, deeper);
        int32_t feature = -1;
        for (int32_t i = 0; column >= 0 && i < r->features_count; i++) feature = r->features[i] == column ? i : feature;
        const int64_t before = r->problems->total;
        if (feature >= 0) schema_column_options_decode(asked, deeper, &r->dataset->columns[column], &r->options[feature], r->problems);
        if (feature >= 0 && r->problems->total == before) check_encode(r, &r->dataset->columns[column], asked, deeper);
        else if (column >= 0 && feature < 0) schema_problem_add(r->problems, deeper, "column \"%.80s\" is not a feature of this job", name);
    }
}

void resolving_columns(struct resolving *r) {
    choose_targets(r);
    choose_sample_weight(r);
    choose_split(r);
    choose_test(r);
    choose_features(r);
    choose_options(r);
}

/* ---- the task and its labels -------------------------------------------------------------------------------------------- */

static int compare_numbers(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static int compare_labels(const void *a, const void *b) {
    const char *x = *(char *const *)a, *y = *(char *const *)b;
    char *x_end, *y_end;
    double u = strtod(x, &x_end), v = strtod(y, &y_end);
    if (*x && *y && !*x_end && !*y_end && u != v) return u < v ? -1 : 1;
    return strcmp(x, y);
}

/* Allocates space for labels. False when out of memory: then there are none, and a problem reports it. */
static bool make_labels(struct resolving *r, struct resolving_target *t, int64_t count) {
    t->labels = calloc((size_t)count + 1, sizeof *t->labels);
    if (!t->labels) schema_problem_no_memory(r->problems);
    return t->labels != NULL;
}

static void add_label(struct resolving *r, struct resolving_target *t, const char *text) {
    t->labels[t->labels_count] = strdup(text);
    if (t->labels[t->labels_count]) t->labels_count++;
    else schema_problem_no_memory(r->problems);
}

/* Distinct values of a numeric target as labels. */
static void numeric_labels(struct resolving *r, struct resolving_target *t) {
    const struct schema_dataset *d = r->dataset;
    double *values = malloc(((size_t)d->rows + 1) * sizeof *values);
    if (!values) {
        schema_problem_no_memory(r->problems);
        return;
    }
    int64_t n = 0, distinct = 0;
    schema_dataset_numbers(d, t->column, 0, d->rows, values);
    for (int64_t i = 0; i < d->rows; i++)
        if (!isnan(values[i])) values[n++] = values[i];
    qsort(values, (size_t)n, sizeof *values, compare_numbers);
    for (int64_t i = 0; i < n; i++)
        if (i == 0 || values[i] != values[distinct - 1]) values[distinct++] = values[i];
    if (distinct > CLASSES_MAX) t->labels_count = CLASSES_MAX + 1;
    else if (make_labels(r, t, distinct))
        for (int64_t i = 0; i < distinct; i++) {
            char text[40];
            add_label(r, t, schema_number_text(values[i], text, sizeof text));
        }
    free(values);
}

static void coded_labels(struct resolving *r, struct resolving_target *t) {
    const struct schema_column *c = &r->dataset->columns[t->column];
    if (c->categories_count > CLASSES_MAX) {
        t->labels_count = CLASSES_MAX + 1;
        return;
    }
    if (!make_labels(r, t, c->categories_count)) return;
    for (int32_t i = 0; i < c->categories_count; i++)
        if (c->categories[i].count > 0) add_label(r, t, c->categories[i].value);
}

/* A class for each number of a tensor: 0 up to the largest; a negative number means that its position has none. False with a problem. */
static bool position_labels(struct resolving *r, struct resolving_target *t) {
    const struct schema_column *c = &r->dataset->columns[t->column];
    const size_t size = (size_t)bp_shape_size(&c->shape);
    float *cell = malloc(size * sizeof *cell);
    float most = -1, wrong = 0;
    if (!cell) return schema_problem_no_memory(r->problems), false;
    for (int64_t row = 0; !(wrong > 0) && row < r->dataset->rows; row++) {
        schema_dataset_tensor(r->dataset, t->column, row, cell);
        for (size_t i = 0; i < size; i++) {
            if (cell[i] >= 0 && cell[i] != floorf(cell[i])) wrong = cell[i];
            if (cell[i] > most) most = cell[i];
        }
    }
    free(cell);
    if (wrong > 0) {
        schema_problem_add(r->problems, t->pointer,
                           "column \"%.80s\" holds %.9g: the class of a position must be an integer from 0 (a negative number means no class); or "
                           "use \"task\":\"regression\"",
                           c->name, (double)wrong);
        return false;
    }
    if (most < 0) {
        schema_problem_add(r->problems, t->pointer, "no position of column \"%.80s\" has a class, because all its numbers are negative", c->name);
        return false;
    }
    const int32_t classes = most < CLASSES_MAX ? (int32_t)most + 1 : CLASSES_MAX + 1;
    if (classes > CLASSES_MAX) t->labels_count = classes;
    else if (make_labels(r, t, classes))
        for (int32_t i = 0; i < classes; i++) {
            char text[40];
            add_label(r, t, schema_number_text(i, text, sizeof text));
        }
    return true;
}

/* The requested task of that target: one for all, or by column. */
static const char *asked_task(struct resolving *r, const struct resolving_target *t) {
    char where[RESOLVING_POINTER_MAX], deeper[RESOLVING_POINTER_MAX], got[80];
    const json_t *task = r->request->task;
    resolving_place(r, "task", where, sizeof where);
    if (json_is_object(task)) {
        task = json_object_get(task, r->dataset->columns[t->column].name);
        schema_pointer(where, r->dataset->columns[t->column].name, deeper, sizeof deeper);
        memcpy(where, deeper, sizeof where);
    }
    if (!task || json_is_null(task)) return NULL;
    const char *text = json_string_value(task);
    if (text && (strcmp(text, "classification") == 0 || strcmp(text, "regression") == 0)) return text;
    schema_problem_add(r->problems, where, "task must be \"classification\" or \"regression\", got %s", schema_json_text(task, got, sizeof got));
    return NULL;
}

/* Few different integers that come again and again are classes. Where hardly any comes twice (twenty in twenty rows) there is nothing to learn of a
 * class: they are numbers. */
static bool looks_like_classes(const struct schema_column *c, int64_t rows) {
    const int64_t distinct = c->distinct_count, n = rows - c->missing;
    return schema_type_of(c->type)->target == SCHEMA_TARGET_NUMBER && c->integral && distinct <= INTEGER_CLASSES_MAX &&
           (2 * distinct <= n || (distinct == 2 && n > 2));
}

static void choose_task(struct resolving *r, struct resolving_target *t) {
    char where[RESOLVING_POINTER_MAX];
    const struct schema_column *c = &r->dataset->columns[t->column];
    const int64_t before = r->problems->total;
    const char *task = asked_task(r, t);
    resolving_place(r, "task", where, sizeof where);
    if (r->problems->total != before) return;
    if (c->missing == r->dataset->rows) {
        schema_problem_add(r->problems, t->pointer, "column \"%.80s\" has no values, so it cannot be the target", c->name);
        return;
    }
    const enum schema_target_kind kind = schema_type_of(c->type)->target;
    const bool text = kind == SCHEMA_TARGET_CLASS || kind == SCHEMA_TARGET_LABELS;
    t->regressed = task && strcmp(task, "regression") == 0;
    if (task) t->classification = strcmp(task, "classification") == 0;
    else t->classification = text || looks_like_classes(c, r->dataset->rows);
    if (kind == SCHEMA_TARGET_NONE) {
        schema_problem_add(r->problems, t->pointer, "column \"%.80s\" is a %s, so it cannot be the target; upload it as %s to use it as the target",
                           c->name, schema_type_name(c->type), schema_type_of(c->type)->not_target);
        return;
    }
    if (!t->classification && text) {
        schema_problem_add(r->problems, where,
                           "column \"%.80s\" is %s and cannot be regressed, because its values are labels; leave task out or use \"classification\"",
                           c->name, schema_type_name(c->type));
        return;
    }
    if (!task && !text && t->classification)
        resolving_warn(r, "target \"%s\" has %d distinct integers and is treated as classes; use \"task\":\"regression\" to predict it as a number",
                       c->name, c->distinct_count);
    if (!task && kind == SCHEMA_TARGET_NUMBER && c->integral && !t->classification && c->distinct_count <= INTEGER_CLASSES_MAX)
        resolving_warn(r,
                       "target \"%s\" has %d distinct integers in %lld rows, too many for classes, and is predicted as a number; use "
                       "\"task\":\"classification\" for classes",
                       c->name, c->distinct_count, (long long)(r->dataset->rows - c->missing));
    if (!t->classification && kind == SCHEMA_TARGET_POSITIONS) {
        const int ragged = schema_tensor_ragged(r->dataset, t->column);
        t->ragged = ragged > 0;
        if (ragged < 0) schema_problem_no_memory(r->problems);
    }
    if (!t->classification) return;
    if (kind == SCHEMA_TARGET_POSITIONS) {
        if (!position_labels(r, t)) return;
    } else if (text) coded_labels(r, t);
    else numeric_labels(r, t);
    if (kind == SCHEMA_TARGET_LABELS) t->multilabel = SCHEMA_LABEL_LISTS;
    if (t->labels_count > CLASSES_MAX) {
        schema_problem_add(r->problems, t->pointer, "column \"%.80s\" has more than %d different %s%s", c->name, CLASSES_MAX,
                           t->multilabel ? "labels: too many; leave the rare ones out" : "values: too many classes",
                           text ? "" : "; use \"task\":\"regression\"");
        t->labels_count = 0;
    } else if (t->multilabel) {
        if (t->labels_count < 1)
            schema_problem_add(r->problems, t->pointer,
                               "no row of column \"%.80s\" has a label: all its lists are empty, so there is nothing to learn", c->name);
    } else if (t->labels_count < 2) {
        schema_problem_add(r->problems, t->pointer, "column \"%.80s\" has only one value, \"%.60s\": a classification needs at least two classes",
                           c->name, t->labels_count ? t->labels[0] : "");
    }
    if (kind == SCHEMA_TARGET_NUMBER && !c->integral && t->labels_count > INTEGER_CLASSES_MAX)
        resolving_warn(r,
                       "target \"%s\" has %d distinct numbers with fractions, each of which is a class of its own; use "
                       "\"task\":\"regression\" to predict it as a number",
                       c->name, t->labels_count);
    if (t->labels && t->labels_count > 1) qsort(t->labels, (size_t)t->labels_count, sizeof *t->labels, compare_labels);
}

static const char *target_at(const void *context, int32_t i) {
    const struct resolving *r = context;
    return r->dataset->columns[r->targets[i].column].name;
}

/* A task for a column that is not a target is a mistake. */
static void check_tasks(struct resolving *r) {
    char where[RESOLVING_POINTER_MAX], deeper[RESOLVING_POINTER_MAX], hint[200];
    const char *name;
    json_t *task;
    resolving_place(r, "task", where, sizeof where);
    json_object_foreach((json_t *)r->request->task, name, task) {
        const char *nearest = schema_nearest(name, target_at, r, r->targets_count);
        bool known = false;
        for (int32_t k = 0; k < r->targets_count; k++) known = known || strcmp(name, target_at(r, k)) == 0;
        if (!known)
            schema_problem_add(r->problems, schema_pointer(where, name, deeper, sizeof deeper), "\"%.80s\" is not a target%s", name,
                               schema_did_you_mean(nearest, hint, sizeof hint));
    }
}

void resolving_tasks(struct resolving *r) {
    if (json_is_object(r->request->task)) check_tasks(r);
    for (int32_t k = 0; k < r->targets_count; k++) choose_task(r, &r->targets[k]);
}

/* ---- class weights ------------------------------------------------------------------------------------------------------- */

static const char *label_at(const void *context, int32_t i) {
    return ((const struct resolving_target *)context)->labels[i];
}

static void weigh_labels(struct resolving *r, struct resolving_target *t, const char *where) {
    char place[RESOLVING_POINTER_MAX], got[80], hint[200];
    const char *label;
    json_t *weight;
    double most = 0;
    if (!(t->class_weights = calloc((size_t)t->labels_count, sizeof *t->class_weights))) return;
    for (int32_t i = 0; i < t->labels_count; i++) t->class_weights[i] = 1;
    json_object_foreach((json_t *)r->request->class_weights, label, weight) {
        int32_t found = -1;
        schema_pointer(where, label, place, sizeof place);
        for (int32_t i = 0; i < t->labels_count && found < 0; i++) found = strcmp(t->labels[i], label) == 0 ? i : -1;
        if (found < 0)
            schema_problem_add(r->problems, place, "\"%.80s\" has no class \"%.60s\"%s", r->dataset->columns[t->column].name, label,
                               schema_did_you_mean(schema_nearest(label, label_at, t, t->labels_count), hint, sizeof hint));
        else if (!json_is_number(weight) || !(json_number_value(weight) >= 0) || json_number_value(weight) > 1e6)
            schema_problem_add(r->problems, place, "the weight of a class must be a number from 0 to 1e6, got %s",
                               schema_json_text(weight, got, sizeof got));
        else t->class_weights[found] = json_number_value(weight);
    }
    for (int32_t i = 0; i < t->labels_count; i++) most = t->class_weights[i] > most ? t->class_weights[i] : most;
    if (!(most > 0)) schema_problem_add(r->problems, where, "all classes have the weight 0; give at least one class a positive weight");
}

/* "balanced", for every target of classes; or weights by label, for the only one. */
void resolving_class_weights(struct resolving *r) {
    char where[RESOLVING_POINTER_MAX], got[80];
    const json_t *weights = r->request->class_weights;
    struct resolving_target *only = NULL;
    int32_t classifications = 0;
    if (!weights || json_is_null(weights)) return;
    resolving_place(r, "class_weights", where, sizeof where);
    for (int32_t k = 0; k < r->targets_count; k++)
        if (r->targets[k].multilabel) {
            resolving_refuse_class_weights(r);
            return;
        }
    for (int32_t k = 0; k < r->targets_count; k++)
        if (r->targets[k].classification) {
            only = &r->targets[k];
            classifications++;
            only->balanced = json_is_string(weights);
        }
    const char *text = json_string_value(weights);
    if (!(text && strcmp(text, "balanced") == 0) && !json_is_object(weights))
        schema_problem_add(r->problems, where,
                           "class_weights must be \"balanced\" or an object of weights by label, like {\"yes\":10,\"no\":1}, got %s",
                           schema_json_text(weights, got, sizeof got));
    else if (classifications == 0) schema_problem_add(r->problems, where, "class_weights are for classes, but the target is a number");
    else if (!text && classifications > 1)
        schema_problem_add(r->problems, where, "weights by label are for one target of classes, but there are %d; use \"balanced\"", classifications);
    else if (!text) weigh_labels(r, only, where);
}

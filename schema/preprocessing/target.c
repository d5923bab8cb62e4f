/* target.c - the targets of a preprocessing: fitted, to JSON and back, read from a dataset. */
#include "schema/preprocessing/feature.h"

#include "schema/json/values.h"
#include "schema/text/number.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int64_t schema_target_size(const struct schema_target *target) {
    return target->shape.rank > 0 ? bp_shape_size(&target->shape) : 1;
}

/* ---- fitting ------------------------------------------------------------------------------------------------------------- */

static int fit_labels(const struct schema_fit_target *from, struct schema_target *target) {
    if (!(target->labels = calloc((size_t)from->labels_count, sizeof *target->labels))) return -1;
    for (int32_t i = 0; i < from->labels_count; i++)
        if (!(target->labels[target->labels_count++] = strdup(from->labels[i]))) return -1;
    if (!from->class_weights && !from->balanced) return 0;
    if (!(target->class_weights = calloc((size_t)from->labels_count, sizeof *target->class_weights))) return -1;
    for (int32_t i = 0; i < from->labels_count && from->class_weights; i++) target->class_weights[i] = from->class_weights[i];
    return 0;
}

/* Positions of the training rows that have a class, counted by it. */
static int count_positions(const struct schema_fit *fit, const struct schema_view *view, int32_t k, const struct schema_target *target, double *n) {
    const int64_t size = schema_target_size(target);
    float *cell = malloc((size_t)size * sizeof *cell);
    *n = 0;
    for (int64_t i = 0; cell && i < fit->n; i++) {
        if (!schema_view_target_tensor(view, k, fit->rows[i], cell)) continue;
        for (int64_t j = 0; j < size; j++) {
            if (cell[j] < 0) continue;
            target->class_weights[(int32_t)cell[j]] += 1;
            *n += 1;
        }
    }
    free(cell);
    return cell ? 0 : -1;
}

/* n / (classes * rows of the class), as scikit-learn's "balanced"; a class without training rows counts 1. Classes by position: of positions. */
static int balance(const struct schema_fit *fit, const struct schema_view *view, int32_t k, struct schema_target *target) {
    double *counts = target->class_weights, n = (double)fit->n;
    const bool by_position = target->shape.rank > 0; /* not one of several labels, whose classes have no weights */
    if (by_position && count_positions(fit, view, k, target, &n) != 0) return -1;
    for (int64_t first = 0; !by_position && first < fit->n; first += SCHEMA_ROWS_MAX) {
        double classes[SCHEMA_ROWS_MAX];
        const int64_t some = fit->n - first < SCHEMA_ROWS_MAX ? fit->n - first : SCHEMA_ROWS_MAX;
        schema_view_targets(view, k, fit->rows + first, some, classes);
        for (int64_t i = 0; i < some; i++)
            if (!isnan(classes[i])) counts[(int32_t)classes[i]] += 1;
    }
    for (int32_t c = 0; c < target->labels_count; c++) counts[c] = counts[c] > 0 ? n / (target->labels_count * counts[c]) : 1;
    return 0;
}

/* Of all rows, or of many that are spread evenly. */
static int fit_lambda(const struct schema_fit *fit, int32_t column, struct schema_target *target) {
    enum { MOST = 100000 };
    const int64_t step = fit->n / MOST + 1;
    int64_t n = 0;
    if (!schema_transform_has_lambda(target->transform)) return 0;
    double *values = malloc(((size_t)(fit->n / step) + 1) * sizeof *values);
    for (int64_t i = 0; values && i < fit->n; i += step) {
        values[n] = schema_dataset_number(fit->dataset, column, fit->rows[i]);
        n += !isnan(schema_transform_apply(target->transform, 1, values[n]));
    }
    if (values) target->lambda = schema_transform_fit(target->transform, values, n);
    free(values);
    return values ? 0 : -1;
}

static int fit_numbers(const struct schema_fit *fit, int32_t column, struct schema_target *target, struct bp_error *error) {
    const struct schema_column *c = &fit->dataset->columns[column];
    struct schema_moments m = {0}, own = {0};
    if (schema_type_of(c->type)->storage == SCHEMA_HELD_AS_TENSOR) {
        struct schema_tensor_fit how = {.name = c->name, .pointer = "/target", .shape = c->shape};
        const int failed = schema_tensor_fit(&how, fit, column, error);
        target->channels = how.channels;
        target->channels_count = how.channels_count;
        return failed;
    }
    if (target->transform && fit_lambda(fit, column, target) != 0) return bp_error_memory(error, "out of memory");
    for (int64_t first = 0; first < fit->n; first += SCHEMA_ROWS_MAX) {
        double values[SCHEMA_ROWS_MAX];
        const int64_t some = fit->n - first < SCHEMA_ROWS_MAX ? fit->n - first : SCHEMA_ROWS_MAX;
        schema_dataset_gather(fit->dataset, column, fit->rows + first, some, values);
        if (schema_target_curved(target)) schema_moments_add_many(&own, values, some);
        for (int64_t i = 0; target->transform && i < some; i++) values[i] = schema_transform_apply(target->transform, target->lambda, values[i]);
        schema_moments_add_many(&m, values, some);
    }
    schema_moments_result(&m, &target->mean, &target->std);
    schema_moments_result(&own, &target->value_mean, &target->value_std);
    target->low = own.n > 0 ? own.min : 0;
    target->high = own.n > 0 ? own.max : 0;
    target->min = m.n > 0 ? m.min : (double)NAN;
    target->max = m.n > 0 ? m.max : (double)NAN;
    return schema_moments_check(&m, "/target", c->name, error);
}

int schema_targets_fit(const struct schema_fit *fit, struct schema_preprocessing *p, struct bp_error *error) {
    bool balanced = false;
    p->targets = calloc((size_t)fit->targets_count, sizeof *p->targets);
    p->outputs_count = 1;
    p->outputs[0].count = fit->targets_count;
    if (!p->targets || (fit->sample_weight && !(p->sample_weight = strdup(fit->sample_weight)))) return bp_error_memory(error, "out of memory");
    for (int32_t k = 0; k < fit->targets_count; k++) {
        const struct schema_fit_target *from = &fit->targets[k];
        struct schema_target *target = &p->targets[k];
        p->targets_count++;
        target->shape = fit->dataset->columns[from->column].shape;
        target->classification = from->labels_count > 0;
        target->multilabel = from->multilabel;
        if (target->multilabel) target->shape = (struct bp_shape){.rank = 1, .dims = {from->labels_count}};
        target->shares = target->multilabel;
        target->ragged = from->ragged;
        target->clamp = from->clamp;
        target->transform = from->transform;
        target->std = 1;
        balanced = balanced || from->balanced;
        if (!(target->name = strdup(fit->dataset->columns[from->column].name)) || (target->classification && fit_labels(from, target) != 0))
            return bp_error_memory(error, "out of memory");
        if (!target->classification && fit_numbers(fit, from->column, target, error) != 0) return -1;
    }
    if (schema_targets_units(p) != 0) return bp_error_memory(error, "out of memory");
    if (!balanced) return 0;
    struct schema_view *view = schema_view_new(p, fit->dataset, true, error);
    if (!view) return -1;
    int failed = 0;
    for (int32_t k = 0; k < fit->targets_count && !failed; k++)
        if (fit->targets[k].balanced) failed = balance(fit, view, k, &p->targets[k]);
    schema_view_free(view);
    return failed ? bp_error_memory(error, "out of memory") : 0;
}

double schema_target_unit(const struct schema_target *t, int64_t j) {
    return t->channels_count ? t->channels[j % t->channels_count].std : t->std;
}

double schema_target_origin(const struct schema_target *t, int64_t j) {
    return t->channels_count ? t->channels[j % t->channels_count].mean : t->mean;
}

void schema_target_rescale(struct schema_target *t, double origin, double unit) {
    free(t->channels);
    t->channels = NULL;
    t->channels_count = 0;
    t->mean = origin;
    t->std = unit;
}

int schema_targets_units(struct schema_preprocessing *p) {
    int64_t n = 0, at = 0;
    for (int32_t k = 0; k < p->targets_count; k++) n += schema_target_size(&p->targets[k]);
    if (!p->units) p->units = calloc((size_t)n, sizeof *p->units);
    if (!p->origins) p->origins = calloc((size_t)n, sizeof *p->origins);
    if (!p->thresholds) p->thresholds = calloc((size_t)n, sizeof *p->thresholds); /* at most one a number */
    if (!p->units || !p->origins || !p->thresholds) return -1;
    schema_thresholds_spread(p);
    for (int32_t k = 0; k < p->targets_count; k++) {
        p->targets[k].units_at = at;
        for (int64_t j = 0; j < schema_target_size(&p->targets[k]); j++, at++) {
            p->units[at] = schema_target_metric_unit(&p->targets[k], j);
            p->origins[at] = schema_target_metric_origin(&p->targets[k], j);
        }
    }
    return 0;
}

void schema_targets_free(struct schema_preprocessing *p) {
    for (int32_t k = 0; k < p->targets_count; k++) {
        struct schema_target *target = &p->targets[k];
        for (int32_t i = 0; i < target->labels_count; i++) free(target->labels[i]);
        free(target->labels);
        free(target->class_weights);
        free(target->thresholds);
        free(target->channels);
        free(target->name);
    }
    free(p->targets);
    free(p->units);
    free(p->origins);
    free(p->thresholds);
    free(p->sample_weight);
}

/* ---- JSON ---------------------------------------------------------------------------------------------------------------- */

static json_t *encode_target(const struct schema_target *t) {
    if (!t->classification) {
        json_t *json = json_pack("{s:s, s:s, s:f, s:f}", "name", t->name, "task", "regression", "mean", t->mean, "std", t->std);
        if (t->channels_count) schema_channels_encode(t->channels, t->channels_count, json);
        if (t->ragged) json_object_set_new(json, "ragged", json_true());
        if (t->shares) json_object_set_new(json, "shares", json_true());
        schema_target_curve_encode(t, json);
        if (t->channels_count == 1) { /* read back as one mean and deviation, which is all that is needed then */
            json_object_del(json, "min");
            json_object_del(json, "max");
        }
        if (t->shape.rank > 0) json_object_set_new(json, "shape", schema_dims_encode(&t->shape));
        return json;
    }
    json_t *json =
        json_pack("{s:s, s:s, s:o}", "name", t->name, "task", "classification", "labels", schema_strings_encode(t->labels, t->labels_count));
    if (t->shape.rank > 0 && !t->multilabel) json_object_set_new(json, "shape", schema_dims_encode(&t->shape));
    if (t->multilabel) json_object_set_new(json, "multilabel", json_string(t->multilabel == SCHEMA_LABEL_LISTS ? "lists" : "vector"));
    if (t->shares) json_object_set_new(json, "shares", json_true());
    schema_target_thresholds_encode(t, json);
    if (!t->class_weights) return json;
    json_t *weights = json_object();
    for (int32_t i = 0; i < t->labels_count; i++) json_object_set_new(weights, t->labels[i], json_real(t->class_weights[i]));
    json_object_set_new(json, "class_weights", weights);
    return json;
}

void schema_targets_encode(const struct schema_preprocessing *p, json_t *json) {
    if (p->sample_weight) json_object_set_new(json, "sample_weight", json_string(p->sample_weight));
    if (p->targets_count == 1) {
        json_object_set_new(json, "target", encode_target(&p->targets[0]));
        return;
    }
    json_t *targets = json_array(), *outputs = json_array();
    for (int32_t k = 0; k < p->targets_count; k++) json_array_append_new(targets, encode_target(&p->targets[k]));
    for (int32_t o = 0; o < p->outputs_count; o++)
        json_array_append_new(outputs, json_pack("{s:s, s:i}", "name", p->outputs[o].name, "targets", p->outputs[o].count));
    json_object_set_new(json, "targets", targets);
    json_object_set_new(json, "outputs", outputs);
}

static int decode_target(const json_t *json, struct schema_target *t) {
    const char *name = json_string_value(json_object_get(json, "name")), *task = json_string_value(json_object_get(json, "task"));
    const json_t *weights = json_object_get(json, "class_weights"), *shape = json_object_get(json, "shape");
    if (!name || !task || !(t->name = strdup(name))) return -1;
    t->classification = strcmp(task, "classification") == 0;
    const bool by_channel = !t->classification && json_is_array(json_object_get(json, "mean"));
    t->ragged = json_is_true(json_object_get(json, "ragged")) && shape && !t->classification;
    t->shares = json_is_true(json_object_get(json, "shares"));
    t->mean = json_number_value(json_object_get(json, "mean"));
    t->std = t->classification || by_channel ? 1 : json_number_value(json_object_get(json, "std"));
    if (shape && schema_dims_decode(shape, &t->shape) != 0) return -1;
    if (by_channel) return shape ? schema_channels_decode(json, &t->shape, &t->channels, &t->channels_count) : -1;
    if (!t->classification && schema_target_curve_decode(json, t) != 0) return -1;
    if (!t->classification) return isfinite(t->mean) && isfinite(t->std) && t->std > 0 ? 0 : -1;
    const char *several = json_string_value(json_object_get(json, "multilabel"));
    t->labels = schema_strings_decode(json_object_get(json, "labels"), &t->labels_count);
    t->multilabel = !several ? SCHEMA_ONE_LABEL : strcmp(several, "lists") == 0 ? SCHEMA_LABEL_LISTS : SCHEMA_LABEL_VECTOR;
    if (!t->labels || t->labels_count < (several ? 1 : 2) || (several && (shape || !t->shares))) return -1;
    if (several) t->shape = (struct bp_shape){.rank = 1, .dims = {t->labels_count}};
    if (schema_target_thresholds_decode(json, t) != 0) return -1;
    if (!json_is_object(weights)) return 0;
    if (!(t->class_weights = calloc((size_t)t->labels_count, sizeof *t->class_weights))) return -1;
    for (int32_t i = 0; i < t->labels_count; i++) t->class_weights[i] = json_number_value(json_object_get(weights, t->labels[i]));
    return 0;
}

int schema_targets_decode(const json_t *json, struct schema_preprocessing *p) {
    const json_t *one = json_object_get(json, "target"), *several = json_object_get(json, "targets"), *outputs = json_object_get(json, "outputs");
    const char *weight = json_string_value(json_object_get(json, "sample_weight"));
    const size_t n = one ? 1 : json_array_size(several), outputs_count = one ? 1 : json_array_size(outputs);
    if (n < 1 || outputs_count < 1 || outputs_count > BP_OUTPUTS_MAX || (weight && !(p->sample_weight = strdup(weight)))) return -1;
    if (!(p->targets = calloc(n, sizeof *p->targets))) return -1;
    for (size_t k = 0; k < n; k++) {
        p->targets_count++;
        if (decode_target(one ? one : json_array_get(several, k), &p->targets[k]) != 0) return -1;
    }
    p->outputs_count = (int32_t)outputs_count;
    p->outputs[0].count = 1;
    int32_t first = 0;
    for (int32_t o = 0; !one && o < p->outputs_count; o++) {
        const json_t *item = json_array_get(outputs, (size_t)o);
        const char *name = json_string_value(json_object_get(item, "name"));
        const json_int_t count = json_integer_value(json_object_get(item, "targets"));
        if (!name || count < 1 || count > p->targets_count - first) return -1;
        snprintf(p->outputs[o].name, BP_NAME_MAX, "%s", name);
        p->outputs[o].first = first;
        p->outputs[o].count = (int32_t)count;
        first += (int32_t)count;
    }
    return (one || first == p->targets_count) && schema_targets_units(p) == 0 ? 0 : -1;
}

/* ---- a row --------------------------------------------------------------------------------------------------------------- */

static int32_t class_of(const struct schema_target *target, const char *text) {
    for (int32_t i = 0; i < target->labels_count; i++)
        if (strcmp(target->labels[i], text) == 0) return i;
    return -1;
}

int schema_view_bind_target(struct schema_view *view, int32_t k, bool strict, struct bp_error *error) {
    const struct schema_target *t = &view->preprocessing->targets[k];
    const int32_t column = view->targets[k] = schema_dataset_find(view->dataset, t->name);
    if (column < 0) return strict ? bp_error_set(error, "/target", "the dataset has no column \"%.80s\"", t->name) : 0;
    const struct schema_column *c = &view->dataset->columns[column];
    const enum schema_target_kind kind = schema_type_of(c->type)->target;
    if (t->multilabel == SCHEMA_LABEL_LISTS) {
        if (kind != SCHEMA_TARGET_LABELS && strict)
            return bp_error_set(error, "/target", "column \"%.80s\" is %s, but the model learned lists of labels", t->name,
                                schema_type_name(c->type));
        if (kind != SCHEMA_TARGET_LABELS) return view->targets[k] = -1, 0;
    } else if (t->shape.rank > 0 && (kind != SCHEMA_TARGET_POSITIONS || !bp_shape_equal(&c->shape, &t->shape))) {
        if (strict) return bp_error_set(error, "/target", "column \"%.80s\" is not a tensor of the shape that the model learned", t->name);
        view->targets[k] = -1;
    }
    if (!t->classification || kind == SCHEMA_TARGET_NUMBER || kind == SCHEMA_TARGET_POSITIONS) return 0;
    if (!(view->classes[k] = malloc(((size_t)c->categories_count + 1) * sizeof **view->classes))) return bp_error_memory(error, "out of memory");
    for (int32_t i = 0; i < c->categories_count; i++) view->classes[k][i] = class_of(t, c->categories[i].value);
    return 0;
}

int32_t schema_target_class(const struct schema_target *target, double number) {
    char text[40];
    return isnan(number) ? -1 : class_of(target, schema_number_text(number, text, sizeof text));
}

/* How many numbers of the cell are there, when steps at its end may be missing: the lists of a ragged target, the classes of positions. */
static int64_t present(const struct schema_target *t, const float *cell, int64_t size) {
    const int64_t step = size / t->shape.dims[0];
    int64_t n = size;
    for (int64_t k = size; (t->ragged || (t->classification && !t->multilabel)) && k > 0 && isnan(cell[k - 1]); k--)
        if ((k - 1) % step == 0) n = k - 1;
    return n;
}

/* 1 for each label that the row has. False: the list is missing, or has a label that the model does not know. */
static bool listed_labels(const struct schema_view *view, int32_t k, int64_t row, float *out) {
    struct schema_label_walk walk;
    bool known = true;
    if (!schema_dataset_labels(view->dataset, view->targets[k], row, &walk)) return false;
    memset(out, 0, (size_t)view->preprocessing->targets[k].labels_count * sizeof *out);
    for (int32_t code; (code = schema_label_next(&walk)) >= 0;) {
        const int32_t label = view->classes[k][code];
        known = known && label >= 0;
        if (label >= 0) out[label] = 1;
    }
    return known;
}

bool schema_view_target_tensor(const struct schema_view *view, int32_t k, int64_t row, float *out) {
    const struct schema_target *t = &view->preprocessing->targets[k];
    const int64_t size = schema_target_size(t);
    if (view->targets[k] < 0) return false;
    if (t->multilabel == SCHEMA_LABEL_LISTS) return listed_labels(view, k, row, out);
    schema_dataset_tensor(view->dataset, view->targets[k], row, out);
    const int64_t n = present(t, out, size);
    bool complete = n > 0;
    for (int64_t i = 0; i < n; i++) {
        if (!t->classification) out[i] = (float)(((double)out[i] - schema_target_origin(t, i)) / schema_target_unit(t, i));
        if (t->multilabel) complete = complete && (out[i] == 0 || out[i] == 1);
        else complete = complete && isfinite(out[i]) && (!t->classification || (out[i] < (float)t->labels_count && out[i] == floorf(out[i])));
    }
    for (int64_t i = n; i < size; i++) out[i] = t->classification ? -1 : NAN; /* counts for nothing */
    return complete;
}

/* predict.c - the predictor: rows gathered into batches, the forward pass, predictions as JSON, warnings in words. */
#include "schema/predict/predictor.h"

#include "engine/metrics/metric.h"
#include "schema/json/values.h"
#include "schema/memory.h"
#include "schema/text/number_print.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- a predictor --------------------------------------------------------------------------------------------------------- */

/* Those of the version, or of the model. */
static void reset_thresholds(struct schema_predictor *p) {
    const double *thresholds = p->calibration && p->calibration->thresholds ? p->calibration->thresholds : p->preprocessing->thresholds;
    memcpy(p->thresholds, thresholds, (size_t)schema_thresholds_count(p->preprocessing) * sizeof *p->thresholds);
}

struct schema_predictor *schema_predictor_new(const struct schema_model *model, struct bp_error *error) {
    const struct schema_preprocessing *pre = model->training->preprocessing;
    struct schema_predictor *p = calloc(1, sizeof *p);
    if (!p) goto memory;
    p->model = model;
    p->preprocessing = pre;
    for (int32_t o = 0; o < pre->outputs_count; o++) {
        p->widths[o] = (int32_t)bp_shape_size(&model->training->network->outputs[o].shape);
        p->scores[o] = schema_training_scores(model->training, o);
        p->usable[o] = !p->scores[o];
    }
    p->batch_max = SCHEMA_PREDICT_BATCH;
    /* Large networks: fewer rows at a time, so that a predictor stays below some 64 MB. */
    while (p->batch_max > 16 && bp_workspace_bytes(model->training->network, p->batch_max, false) > 64u << 20) p->batch_max /= 2;
    size_t features = (size_t)pre->features_count + 1, tensors = 0;
    p->cells = calloc(features, sizeof *p->cells);
    p->tensor_at = calloc(features, sizeof *p->tensor_at);
    p->missing = calloc(features, sizeof *p->missing);
    p->unseen = calloc(features, sizeof *p->unseen);
    p->unseen_first = calloc(features, sizeof *p->unseen_first);
    p->holes = calloc(features, sizeof *p->holes);
    p->indices = calloc(features, sizeof *p->indices);
    p->far = calloc(features, sizeof *p->far);
    p->outside = calloc(features, sizeof *p->outside);
    for (int32_t i = 0; p->indices && i < pre->features_count; i++) {
        if (pre->features[i].places_count == 0) continue;
        const int32_t input = pre->features[i].places[0].input;
        p->indices[i] = bp_network_indices(model->training->network, input);
        p->indexed[input] = p->indexed[input] || p->indices[i];
    }
    for (int32_t i = 0; p->tensor_at && i < pre->features_count; i++) {
        p->tensor_at[i] = tensors;
        if (schema_type_of(pre->features[i].type)->value == SCHEMA_VALUE_TENSOR) tensors += (size_t)bp_shape_size(&pre->features[i].shape);
    }
    p->tensors_size = tensors;
    p->tensors = malloc((tensors + 1) * sizeof *p->tensors);
    p->thresholds = malloc((size_t)schema_thresholds_count(pre) * sizeof *p->thresholds);
    for (int32_t i = 0; i < pre->inputs_count; i++) p->input_sizes[i] = bp_shape_size(&pre->inputs[i].shape);
    if (!p->cells || !p->tensor_at || !p->missing || !p->unseen || !p->unseen_first || !p->holes || !p->indices || !p->far || !p->outside ||
        !p->tensors || !p->thresholds || schema_predictor_calibrate(p) != 0)
        goto memory;
    reset_thresholds(p);
    if (bp_workspace_new(model->training->network, p->batch_max, false, &p->workspace, error) != 0) goto failed;
    return p;
memory:
    bp_error_memory(error, "no memory to predict");
failed:
    schema_predictor_free(p);
    return NULL;
}

size_t schema_predictor_bytes(const struct schema_predictor *p) {
    const struct schema_preprocessing *pre = p->preprocessing;
    const size_t feature = sizeof *p->cells + sizeof *p->tensor_at + sizeof *p->missing + sizeof *p->unseen + sizeof *p->unseen_first +
                           sizeof *p->holes + sizeof *p->indices + sizeof *p->far + sizeof *p->outside;
    return sizeof *p + bp_workspace_bytes(p->model->training->network, p->batch_max, false) + p->tensors_size * sizeof *p->tensors +
           ((size_t)pre->features_count + 1) * feature;
}

void schema_predictor_free(struct schema_predictor *p) {
    if (!p) return;
    bp_workspace_free(p->workspace);
    free(p->cells);
    free(p->tensors);
    free(p->thresholds);
    free(p->asked);
    free(p->order);
    free(p->set_scores);
    free(p->live);
    free(p->tensor_at);
    free(p->missing);
    free(p->unseen);
    free(p->unseen_first);
    free(p->holes);
    free(p->indices);
    free(p->far);
    free(p->outside);
    free(p);
}

void schema_predictor_reset(struct schema_predictor *p, struct schema_text *out) {
    size_t features = (size_t)p->preprocessing->features_count;
    p->out = out;
    p->filled = 0;
    p->rows = 0;
    p->ignored_count = 0;
    p->ignored_rows = 0;
    p->not_finite = -1;
    p->suspect = -1;
    p->overflow = false;
    p->quiet = false;
    schema_predictor_calibrate(p);
    reset_thresholds(p);
    memset(p->missing, 0, features * sizeof *p->missing);
    memset(p->unseen, 0, features * sizeof *p->unseen);
    memset(p->holes, 0, features * sizeof *p->holes);
    memset(p->far, 0, features * sizeof *p->far);
    memset(p->outside, 0, features * sizeof *p->outside);
    p->row_at = 0;
    if (p->live) memset(p->live, 0, (size_t)p->model->reference->bins * sizeof *p->live);
    p->counted = 0;
}

/* ---- rows ------------------------------------------------------------------------------------------------------------------ */

static void input_rows(struct schema_predictor *p, int32_t row, float **at) {
    for (int32_t k = 0; k < p->preprocessing->inputs_count; k++) at[k] = bp_workspace_input(p->workspace, k) + row * p->input_sizes[k];
}

int32_t schema_predictor_put(struct schema_predictor *p) {
    float *at[BP_INPUTS_MAX];
    int64_t where;
    input_rows(p, p->filled, at);
    schema_transform(p->preprocessing, p->cells, at);
    const int32_t unusable = schema_predictor_unusable(p, at, &where);
    if (unusable >= 0) return unusable;
    schema_predictor_count(p, NULL);
    p->rows++;
    p->filled++;
    return -1;
}

int32_t schema_predictor_put_some(struct schema_predictor *p, const bool *held, bool all) {
    const struct schema_preprocessing *pre = p->preprocessing;
    float *at[BP_INPUTS_MAX];
    int64_t where;
    input_rows(p, p->filled, at);
    schema_transform_some(pre, p->cells, held, at);
    if (all || schema_predictor_unusable_of(p, held, at) >= 0) {
        schema_transform(pre, p->cells, at);
        const int32_t unusable = schema_predictor_unusable(p, at, &where);
        if (unusable >= 0) return unusable;
    }
    schema_predictor_count(p, held);
    p->rows++;
    p->filled++;
    return -1;
}

int32_t schema_predictor_row(struct schema_predictor *p) {
    const int32_t unusable = schema_predictor_put(p);
    if (unusable < 0 && p->filled == p->batch_max) schema_predictor_flush(p);
    return unusable;
}

void schema_predictor_category(struct schema_predictor *p, int32_t i, const char *text, size_t size) {
    int32_t category = schema_feature_category(&p->preprocessing->features[i], text, size);
    p->cells[i].kind = SCHEMA_VALUE_CATEGORY;
    p->cells[i].category = category;
    p->cells[i].means = NULL;
    if (category >= 0) return;
    if (p->unseen[i]++ == 0) {
        size_t n = size < 40 ? size : 40;
        while (n < size && n > 0 && ((unsigned char)text[n] & 0xC0) == 0x80) n--;
        snprintf(p->unseen_first[i], sizeof p->unseen_first[i], "%.*s%s", (int)n, text, n < size ? "..." : "");
    }
}

/* Runs the network on n rows of the workspace. */
static void run(struct schema_predictor *p, int32_t n) {
    if (n == 0) return;
    bp_predict(p->model->training->network, p->model->weights, p->workspace, n);
    if (p->calibration) schema_calibration_apply(p->calibration, p->model->training, p->workspace, n);
    schema_predictor_look(p, n);
}

void schema_predictor_ignored(struct schema_predictor *p, const char *name, size_t size) {
    size_t n = size < 60 ? size : 60;
    while (n < size && n > 0 && ((unsigned char)name[n] & 0xC0) == 0x80) n--;
    for (int32_t i = 0; i < p->ignored_count; i++)
        if (strlen(p->ignored[i]) == n && memcmp(p->ignored[i], name, n) == 0) return;
    if (p->ignored_count == 5) return;
    memcpy(p->ignored[p->ignored_count], name, n);
    p->ignored[p->ignored_count++][n] = '\0';
}

/* ---- predictions ------------------------------------------------------------------------------------------------------------- */

static const struct bp_output *output_of(const struct schema_predictor *p, int32_t o) {
    return &p->model->training->network->outputs[o];
}

int schema_predicted_text(double value, double step, char text[static 40]) {
    const double needed = fabs(value) <= 1e8 * step || value == 0 ? 9 : ceil(log10(fabs(value) / step)) + 1;
    const int digits = needed > 17 ? 17 : needed > 9 ? (int)needed : 9;
    return isfinite(value) ? (int)schema_number_print_digits(value, digits, text) : snprintf(text, 40, "%.*g", digits, value);
}

static void write_text(struct schema_predictor *p, double value, double step) {
    char text[40];
    p->overflow = p->overflow || !isfinite(value);
    const int size = schema_predicted_text(value, step, text);
    schema_text_add(p->out, text, (size_t)size);
}

/* The number y of the network, the target's j-th, in the unit of the target. */
static void write_value(struct schema_predictor *p, const struct schema_target *target, int64_t j, double y) {
    write_text(p, schema_target_value(target, j, y), schema_target_step(target, j, y));
}

/* Further values of a loss with several outputs: {"0.1":12.5,"0.9":20}, in the target's own unit; and, where all of that are values, in order. */
static void write_details(struct schema_predictor *p, int32_t o, const struct schema_target *target, const float *y) {
    const struct bp_loss_ops *loss = output_of(p, o)->loss;
    const struct bp_value *values = output_of(p, o)->values;
    struct bp_loss_detail detail;
    bool widths = false;
    if (!loss->details) return;
    for (int32_t k = 0; loss->detail(values, y, k, &detail); k++) widths = widths || detail.width;
    schema_text_string(p->out, widths ? "" : ",\"values\":[");
    for (int32_t k = 0; !widths && loss->detail(values, y, k, &detail); k++) {
        if (k) schema_text_string(p->out, ",");
        write_value(p, target, 0, detail.value);
    }
    schema_text_string(p->out, widths ? ",\"" : "],\"");
    schema_text_string(p->out, loss->details);
    schema_text_string(p->out, "\":{\"");
    for (int32_t k = 0; loss->detail(values, y, k, &detail); k++) {
        if (k) schema_text_string(p->out, ",\"");
        schema_text_string(p->out, detail.name);
        schema_text_string(p->out, "\":");
        if (detail.width) write_text(p, detail.value * target->std, schema_target_step(target, 0, detail.value));
        else write_value(p, target, 0, detail.value);
    }
    schema_text_string(p->out, "}");
}

const float *schema_predictor_shares(const float *y, int32_t width, bool scores, float pair[2]) {
    pair[0] = scores ? -y[0] : 1 - y[0];
    pair[1] = y[0];
    return width == 1 ? pair : y;
}

static void write_class(struct schema_predictor *p, int32_t o, int32_t k, const float *y, int64_t row) {
    const struct schema_target *target = &p->preprocessing->targets[k];
    char **labels = p->model->labels_json[k];
    const bool scores = p->scores[o];
    int32_t best = bp_class_of(y, p->widths[o], scores, p->thresholds[target->thresholds_at]);
    float pair[2];
    const float *probabilities = schema_predictor_shares(y, p->widths[o], scores, pair);
    schema_text_string(p->out, "{\"label\":");
    schema_text_string(p->out, labels[best]);
    schema_text_string(p->out, scores ? ",\"scores\":{" : ",\"probabilities\":{");
    for (int32_t c = 0; c < target->labels_count; c++) {
        if (c) schema_text_add(p->out, ",", 1);
        schema_text_string(p->out, labels[c]);
        schema_text_add(p->out, ":", 1);
        schema_text_json_float(p->out, probabilities[c]);
    }
    schema_text_string(p->out, "}");
    schema_predictor_write_set(p, k, probabilities, row);
    schema_text_string(p->out, "}");
}

/* What is written of each position of a tensor. */
struct positions {
    int32_t o;
    const struct schema_target *target;
    const float *y; /* of the row */
    int32_t each;   /* numbers of a position in y */
    void (*write)(struct schema_predictor *p, const struct positions *what, const float *y);
};

/* All positions of a tensor, nested as it is. */
static void write_positions(struct schema_predictor *p, const struct positions *what) {
    const struct bp_shape *shape = &what->target->shape;
    const int64_t size = schema_target_size(what->target);
    for (int64_t i = 0; i < size; i++) {
        int64_t block = size;
        for (int32_t d = 0; d < shape->rank; block /= shape->dims[d++])
            if (i % block == 0) schema_text_string(p->out, i % (d ? block * shape->dims[d - 1] : size) && d ? ",[" : "[");
        if (i % shape->dims[shape->rank - 1]) schema_text_string(p->out, ",");
        what->write(p, what, what->y + i * what->each);
        block = 1;
        for (int32_t d = shape->rank - 1; d >= 0; d--) {
            block *= shape->dims[d];
            if ((i + 1) % block == 0) schema_text_string(p->out, "]");
        }
    }
}

static void write_number(struct schema_predictor *p, const struct positions *what, const float *y) {
    const struct bp_output *output = output_of(p, what->o);
    const int64_t j = (y - what->y) / what->each;
    write_value(p, what->target, j, (double)y[bp_loss_point(output->loss, output->values)]);
}

/* The numbers of a tensor; those of a loss with several outputs a number are their points. */
static void write_tensor(struct schema_predictor *p, int32_t o, const struct schema_target *target, const float *y) {
    const struct bp_output *output = output_of(p, o);
    const struct positions what = {o, target, y, bp_loss_outputs_per_target(output->loss, output->values), write_number};
    schema_text_string(p->out, "{\"values\":");
    write_positions(p, &what);
    schema_text_string(p->out, "}");
}

/* Labels of positions are their classes' numbers. */
static void write_label(struct schema_predictor *p, const struct positions *what, const float *y) {
    schema_text_string(p->out, what->target->labels[bp_class_of(y, what->each, p->scores[what->o], 0)]);
}

static void write_shares(struct schema_predictor *p, const struct positions *what, const float *y) {
    float pair[2];
    const float *shares = schema_predictor_shares(y, what->each, p->scores[what->o], pair);
    for (int32_t c = 0; c < what->target->labels_count; c++) {
        schema_text_string(p->out, c ? "," : "[");
        schema_text_json_float(p->out, shares[c]);
    }
    schema_text_string(p->out, "]");
}

/* A class for each position, and in the order of classes how likely they are. */
static void write_classes(struct schema_predictor *p, int32_t o, const struct schema_target *target, const float *y) {
    struct positions what = {o, target, y, (int32_t)(p->widths[o] / schema_target_size(target)), write_label};
    schema_text_string(p->out, "{\"labels\":");
    write_positions(p, &what);
    what.write = write_shares;
    schema_text_string(p->out, p->scores[o] ? ",\"scores\":" : ",\"probabilities\":");
    write_positions(p, &what);
    schema_text_string(p->out, "}");
}

/* The point prediction, as the network returns it. */
static double point_of(const struct schema_predictor *p, int32_t o, const float *y) {
    const struct bp_output *output = output_of(p, o);
    return (double)y[bp_loss_point(output->loss, output->values)];
}

const float *schema_predictor_numbers(const struct schema_predictor *p, int32_t o, int32_t k, int64_t row) {
    const struct bp_output *output = output_of(p, o);
    const int32_t each = bp_loss_outputs_per_target(output->loss, output->values);
    return bp_workspace_output(p->workspace, o) + row * p->widths[o] + (k - p->preprocessing->outputs[o].first) * each;
}

static void write_target(struct schema_predictor *p, int32_t o, int32_t k, int64_t row) {
    const struct schema_target *target = &p->preprocessing->targets[k];
    const float *y = schema_predictor_numbers(p, o, k, row);
    if (target->classification && target->shape.rank > 0) {
        write_classes(p, o, target, y);
    } else if (target->classification) {
        write_class(p, o, k, y, row);
    } else if (target->shape.rank > 0) {
        write_tensor(p, o, target, y);
    } else {
        schema_text_string(p->out, "{\"value\":");
        write_value(p, target, 0, point_of(p, o, y));
        write_details(p, o, target, y);
        schema_predictor_write_interval(p, o, k, y);
        schema_text_add(p->out, "}", 1);
    }
}

/* The labels that a row has, of an output of several, and how likely each is. */
static void write_labels(struct schema_predictor *p, int32_t o, int64_t row) {
    const int32_t first = p->preprocessing->outputs[o].first, count = schema_output_labels(p->preprocessing, o);
    const struct schema_target *target = &p->preprocessing->targets[first];
    const double *thresholds = p->thresholds + target->thresholds_at;
    char **names = target->multilabel ? p->model->labels_json[first] : p->model->names_json + first;
    const float *y = schema_predictor_numbers(p, o, first, row);
    bool any = false;
    schema_text_string(p->out, "{\"labels\":[");
    for (int32_t k = 0; k < count; k++) {
        if ((double)y[k] < thresholds[k]) continue;
        if (any) schema_text_add(p->out, ",", 1);
        schema_text_string(p->out, names[k]);
        any = true;
    }
    schema_text_string(p->out, "],\"probabilities\":{");
    for (int32_t k = 0; k < count; k++) {
        if (k) schema_text_add(p->out, ",", 1);
        schema_text_string(p->out, names[k]);
        schema_text_add(p->out, ":", 1);
        schema_text_json_float(p->out, y[k]);
    }
    schema_text_string(p->out, "}}");
}

static void write_prediction(struct schema_predictor *p, int64_t row) {
    const struct schema_preprocessing *pre = p->preprocessing;
    if (pre->outputs_count == 1 && schema_output_multilabel(pre, 0)) {
        write_labels(p, 0, row);
        return;
    }
    if (pre->targets_count == 1) {
        write_target(p, 0, 0, row);
        return;
    }
    schema_text_string(p->out, "{\"outputs\":{");
    for (int32_t o = 0; o < pre->outputs_count; o++) {
        if (schema_output_multilabel(pre, o)) {
            if (o) schema_text_add(p->out, ",", 1);
            schema_text_string(p->out, p->model->outputs_json[o]);
            schema_text_add(p->out, ":", 1);
            write_labels(p, o, row);
            continue;
        }
        for (int32_t k = pre->outputs[o].first; k < pre->outputs[o].first + pre->outputs[o].count; k++) {
            if (k) schema_text_add(p->out, ",", 1);
            schema_text_string(p->out, p->model->names_json[k]);
            schema_text_add(p->out, ":", 1);
            write_target(p, o, k, row);
        }
    }
    schema_text_string(p->out, "}}");
}

int32_t schema_predict_class(const struct schema_predictor *p, int32_t row, int32_t k, float pair[2], const float **shares) {
    const struct schema_preprocessing *pre = p->preprocessing;
    const int32_t o = schema_target_output(pre, k), width = schema_output_multilabel(pre, o) ? 1 : p->widths[o];
    const float *y = schema_predictor_numbers(p, o, k, row);
    *shares = schema_predictor_shares(y, width, p->scores[o], pair);
    return bp_class_of(y, width, p->scores[o], p->thresholds[pre->targets[k].thresholds_at]);
}

struct schema_predicted schema_predict_target(const struct schema_predictor *p, int32_t row, int32_t k) {
    const struct schema_preprocessing *pre = p->preprocessing;
    int32_t o = 0;
    while (k >= pre->outputs[o].first + pre->outputs[o].count) o++;
    const float *y = schema_predictor_numbers(p, o, k, row);
    const struct schema_target *target = &pre->targets[k];
    if (!target->classification) {
        const double point = point_of(p, o, y);
        return (struct schema_predicted){.label = -1, .value = schema_target_value(target, 0, point), .step = schema_target_step(target, 0, point)};
    }
    const float *shares;
    float pair[2];
    const int32_t best = schema_predict_class(p, row, k, pair, &shares);
    return (struct schema_predicted){.label = best, .share = shares[best]};
}

const float *schema_predict_shares(const struct schema_predictor *p, int32_t row, int32_t k, float pair[2]) {
    const struct schema_preprocessing *pre = p->preprocessing;
    int32_t o = 0;
    while (k >= pre->outputs[o].first + pre->outputs[o].count) o++;
    return schema_predictor_shares(schema_predictor_numbers(p, o, k, row), schema_output_multilabel(pre, o) ? 1 : p->widths[o], p->scores[o], pair);
}

bool schema_predict_detail(const struct schema_predictor *p, int32_t row, int32_t k, int32_t j, struct schema_predicted_detail *out) {
    const struct schema_preprocessing *pre = p->preprocessing;
    const struct schema_target *target = &pre->targets[k];
    struct bp_loss_detail detail;
    int32_t o = 0;
    while (k >= pre->outputs[o].first + pre->outputs[o].count) o++;
    const struct bp_loss_ops *loss = output_of(p, o)->loss;
    if (target->classification || !loss->details || !loss->detail(output_of(p, o)->values, schema_predictor_numbers(p, o, k, row), j, &detail))
        return false;
    *out = (struct schema_predicted_detail){
        .kind = loss->details,
        .value = detail.width ? detail.value * target->std : schema_target_value(target, 0, detail.value),
        .step = schema_target_step(target, 0, detail.value),
    };
    snprintf(out->name, sizeof out->name, "%s", detail.name);
    return true;
}

void schema_predictor_run(struct schema_predictor *p) {
    run(p, p->filled);
}

bool schema_predictor_write(struct schema_predictor *p, int32_t row) {
    p->overflow = false;
    if (!schema_predictor_finite(p, row)) return false;
    write_prediction(p, row);
    if (p->overflow) schema_predictor_spoil(p, row);
    else if (p->live) schema_predictor_count_outputs(p, row);
    return !p->overflow;
}

bool schema_predict_label(const struct schema_predictor *p, int32_t row, int32_t o, int32_t j, float *probability) {
    const struct schema_target *first = &p->preprocessing->targets[p->preprocessing->outputs[o].first];
    *probability = bp_workspace_output(p->workspace, o)[(int64_t)row * p->widths[o] + j];
    return (double)*probability >= p->thresholds[first->thresholds_at + j];
}

int schema_predictor_thresholds(struct schema_predictor *p, const json_t *json, const char *pointer, struct schema_problems *problems) {
    return schema_thresholds_decode(p->preprocessing, json, pointer, p->usable, p->thresholds, problems);
}

void schema_predictor_flush(struct schema_predictor *p) {
    if (p->filled == 0) return;
    run(p, p->filled);
    for (int32_t i = 0; i < p->filled && p->not_finite < 0; i++) {
        if (!schema_predictor_finite(p, i)) break;
        if (schema_text_last(p->out) != '[') schema_text_add(p->out, ",", 1);
        write_prediction(p, i);
        if (p->overflow) schema_predictor_spoil(p, i);
        else if (p->live) schema_predictor_count_outputs(p, i);
    }
    p->filled = 0;
}

/* ---- a request ---------------------------------------------------------------------------------------------------------------- */

void schema_predictor_bound(struct schema_predictor *p, schema_predict_allow *allow, void *context) {
    p->allow = allow;
    p->allow_context = context;
}

int schema_predict_body(struct schema_predictor *p, const char *body, size_t size, int64_t rows_max, struct schema_text *out,
                        struct schema_problems *problems) {
    size_t start = out->size;
    schema_predictor_reset(p, out);
    schema_text_string(out, "\"predictions\":[");
    bool good = schema_instances_scan(p, body, size, rows_max) == 0;
    if (good) schema_predictor_flush(p);
    if (!good || p->not_finite >= 0) { /* the other reader reports the error and its place */
        out->size = start;
        schema_predictor_reset(p, out);
        schema_text_string(out, "\"predictions\":[");
        if (schema_instances_decode(p, body, size, rows_max, problems) != 0) return -1;
    }
    schema_text_add(out, "]", 1);
    if (p->quiet) schema_text_string(out, ",\"warnings\":[]");
    else schema_predictor_warnings(p);
    if (!out->failed) return 0;
    if (schema_memory_failed()) return schema_problem_no_memory(problems);
    problems->too_large = true;
    return schema_problem_add(problems, "/instances", "the response would be larger than %zu bytes; send fewer instances per request", out->limit);
}

/* ---- rows of a dataset ------------------------------------------------------------------------------------------------------------ */

static int gather(struct schema_predictor *p, const struct schema_view_rows *rows, int32_t n, struct bp_error *error) {
    schema_predictor_read(p, rows, n, false);
    for (int32_t i = 0; i < n; i++) {
        float *at[BP_INPUTS_MAX];
        char why[300];
        int64_t where;
        const int64_t row = rows->first + i;
        input_rows(p, i, at);
        const int32_t unusable = schema_predictor_unusable(p, at, &where);
        if (unusable >= 0)
            return bp_error_set(error, "", "row %lld: %s", (long long)row + 1,
                                schema_predictor_why(p, unusable, schema_predictor_given(p, rows, unusable, row, where), why));
    }
    run(p, n);
    for (int32_t i = 0; i < n; i++)
        if (!schema_predictor_finite(p, i)) {
            char why[300];
            return bp_error_set(error, "", "row %lld: %s", (long long)rows->first + i + 1, schema_predictor_not_finite(p, why));
        }
    return 0;
}

int schema_predict_rows(struct schema_predictor *p, const struct schema_view_rows *rows, const char *separator, struct schema_text *out,
                        struct bp_error *error) {
    p->out = out;
    for (int64_t done = 0; done < rows->n;) {
        const int32_t some = rows->n - done < p->batch_max ? (int32_t)(rows->n - done) : p->batch_max;
        if (gather(p, &(struct schema_view_rows){rows->view, rows->first + done, some}, some, error) != 0) return -1;
        for (int32_t i = 0; i < some; i++) {
            write_prediction(p, i);
            schema_text_string(out, separator);
            if (p->overflow) return bp_error_set(error, "", "row %lld: the prediction is not a finite number", (long long)rows->first + done + i + 1);
        }
        done += some;
    }
    return out->failed ? bp_error_memory(error, "out of memory") : 0;
}

int32_t schema_predict_gather(struct schema_predictor *p, const struct schema_view_rows *rows, struct bp_error *error) {
    const int32_t n = rows->n > p->batch_max ? p->batch_max : (int32_t)rows->n;
    return gather(p, rows, n, error) == 0 ? n : -1;
}

/* encoded.c - see encoded.h. */
#include "schema/explain/encoded.h"

#include "engine/metrics/metric.h"
#include "schema/text/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *feature_name(const void *preprocessing, int32_t i) {
    return ((const struct schema_preprocessing *)preprocessing)->features[i].name;
}

static int choose_features(struct explainer *x, struct bp_error *error) {
    const struct schema_explanation *e = x->e;
    for (int32_t i = 0; !e->names && i < x->p->features_count && x->features_count < EXPLAIN_FEATURES_MAX; i++)
        if (x->p->features[i].places_count) x->features[x->features_count++] = i;
    for (int32_t k = 0; e->names && k < e->names_count && k < EXPLAIN_FEATURES_MAX; k++) {
        int32_t found = -1;
        for (int32_t i = 0; i < x->p->features_count; i++)
            if (strcmp(x->p->features[i].name, e->names[k]) == 0) found = i;
        char place[40], meant[120];
        snprintf(place, sizeof place, "/columns/%d", (int)k);
        if (found < 0)
            return bp_error_set(error, place, "\"%.80s\" is no feature of the model%s", e->names[k],
                                schema_did_you_mean(schema_nearest(e->names[k], feature_name, x->p, x->p->features_count), meant, sizeof meant));
        if (x->p->features[found].places_count) x->features[x->features_count++] = found;
    }
    return x->features_count > 0 ? 0 : bp_error_set(error, "/columns", "no column to explain");
}

static int choose_target(struct explainer *x, struct bp_error *error) {
    const struct schema_explanation *e = x->e;
    for (x->target = 0; e->target && x->target < x->p->targets_count; x->target++)
        if (strcmp(x->p->targets[x->target].name, e->target) == 0) break;
    if (x->target == x->p->targets_count) return bp_error_set(error, "/target", "the model has no target \"%.80s\"", e->target);
    while (x->target >= x->p->outputs[x->output].first + x->p->outputs[x->output].count) x->output++;
    const struct schema_target *target = &x->p->targets[x->target];
    const struct bp_output *output = &x->net->outputs[x->output];
    if (target->shape.rank > 0 || schema_output_multilabel(x->p, x->output))
        return bp_error_set(error, "/target", "\"%.60s\" is a list of numbers or labels; an explanation is of one number or one class", target->name);
    x->classes = target->classification ? target->labels_count : 0;
    x->scores = target->classification && schema_training_scores(e->model->training, x->output);
    x->width = target->classification ? (int32_t)bp_shape_size(&output->shape) : 1;
    x->first = target->classification ? 0
                                      : (x->target - x->p->outputs[x->output].first) * bp_loss_outputs_per_target(output->loss, output->values) +
                                            bp_loss_point(output->loss, output->values);
    x->label = x->classes == 2 ? 1 : -1;
    for (int32_t c = 0; e->label && c < x->classes; c++)
        if (strcmp(target->labels[c], e->label) == 0) x->label = c;
    if (e->label && (x->classes == 0 || x->label < 0 || strcmp(target->labels[x->label], e->label) != 0))
        return bp_error_set(error, "/class", "\"%.60s\" is no class of \"%.60s\"", e->label, target->name);
    return 0;
}

int explainer_open(const struct schema_explanation *e, struct explainer *x, struct bp_error *error) {
    *x = (struct explainer){.e = e, .net = e->model->training->network, .p = e->model->training->preprocessing};
    for (int32_t k = 0; k < x->p->inputs_count; k++) x->sizes[k] = bp_shape_size(&x->p->inputs[k].shape);
    if (choose_features(x, error) != 0 || choose_target(x, error) != 0) return -1;
    return bp_workspace_new(x->net, EXPLAIN_BATCH, false, &x->workspace, error);
}

void explainer_close(struct explainer *x) {
    bp_workspace_free(x->workspace);
}

int encoded_open(const struct explainer *x, const struct schema_dataset *dataset, int64_t most, struct encoded *rows, struct bp_error *error) {
    struct schema_view *view = schema_view_new(x->p, dataset, false, error);
    *rows = (struct encoded){.n = dataset->rows < most ? dataset->rows : most};
    if (!view) return -1;
    bool good = (rows->rows = malloc(((size_t)rows->n + 1) * sizeof *rows->rows)) != NULL;
    for (int32_t k = 0; k < x->p->inputs_count; k++) good = (rows->inputs[k] = malloc(((size_t)(rows->n * x->sizes[k]) + 1) * sizeof(float))) && good;
    float *tensor = malloc((view->tensor_size + 1) * sizeof *tensor);
    for (int64_t i = 0; good && i < rows->n; i++) rows->rows[i] = i * dataset->rows / rows->n;
    for (int64_t first = 0; good && tensor && first < rows->n; first += EXPLAIN_BATCH) {
        float *at[BP_INPUTS_MAX];
        for (int32_t k = 0; k < x->p->inputs_count; k++) at[k] = rows->inputs[k] + first * x->sizes[k];
        schema_view_rows(view, rows->rows + first, (int32_t)(rows->n - first < EXPLAIN_BATCH ? rows->n - first : EXPLAIN_BATCH), tensor, at);
    }
    good = good && tensor;
    free(tensor);
    schema_view_free(view);
    if (good && rows->n > 0 && schema_dataset_intact(dataset, error) == 0) return 0;
    if (!good) bp_error_memory(error, "no memory for %lld rows", (long long)rows->n);
    else if (rows->n == 0) bp_error_set(error, "/dataset", "there are no rows");
    encoded_close(rows);
    return -1;
}

void encoded_close(struct encoded *rows) {
    free(rows->rows);
    for (int32_t k = 0; k < BP_INPUTS_MAX; k++) free(rows->inputs[k]);
    *rows = (struct encoded){0};
}

void explainer_put(const struct explainer *x, const struct encoded *from, int64_t i, int32_t k) {
    for (int32_t input = 0; input < x->p->inputs_count; input++)
        memcpy(bp_workspace_input(x->workspace, input) + k * x->sizes[input], from->inputs[input] + i * x->sizes[input],
               (size_t)x->sizes[input] * sizeof(bp_real));
}

void explainer_mix(const struct explainer *x, int32_t feature, const struct encoded *from, int64_t j, int32_t k) {
    const struct schema_feature *f = &x->p->features[feature];
    for (int32_t place = 0; place < f->places_count; place++) {
        const struct schema_place *at = &f->places[place];
        memcpy(bp_workspace_input(x->workspace, at->input) + k * x->sizes[at->input] + at->offset,
               from->inputs[at->input] + j * x->sizes[at->input] + at->offset, (size_t)at->width * sizeof(bp_real));
    }
}

void explainer_run(const struct explainer *x, int32_t n) {
    bp_predict(x->net, x->e->model->weights, x->workspace, n);
}

static const bp_real *numbers(const struct explainer *x, int32_t k) {
    return bp_workspace_output(x->workspace, x->output) + k * bp_shape_size(&x->net->outputs[x->output].shape) + x->first;
}

double explainer_number(const struct explainer *x, int32_t k, int32_t c) {
    const bp_real *y = numbers(x, k);
    if (x->classes == 0) return schema_target_value(&x->p->targets[x->target], 0, (double)y[0]);
    if (x->width > 1) return (double)y[c];
    return c ? (double)y[0] : x->scores ? -(double)y[0] : 1 - (double)y[0];
}

int32_t explainer_predicted(const struct explainer *x, int32_t k) {
    return x->classes ? bp_class_of(numbers(x, k), x->width, x->scores, x->p->thresholds[x->p->targets[x->target].thresholds_at]) : 0;
}

const char *explainer_label(const struct explainer *x, int32_t c) {
    return x->p->targets[x->target].labels[c];
}

void explainer_choose(const struct explainer *x, const struct encoded *rows, int32_t *classes, double *predictions) {
    for (int64_t first = 0; first < rows->n; first += EXPLAIN_BATCH) {
        const int32_t n = (int32_t)(rows->n - first < EXPLAIN_BATCH ? rows->n - first : EXPLAIN_BATCH);
        for (int32_t k = 0; k < n; k++) explainer_put(x, rows, first + k, k);
        explainer_run(x, n);
        for (int32_t k = 0; k < n; k++) {
            classes[first + k] = x->label >= 0 ? x->label : explainer_predicted(x, k);
            predictions[first + k] = explainer_number(x, k, classes[first + k]);
        }
    }
}

bool explainer_stopped(const struct explainer *x, struct bp_error *error) {
    if (!x->e->stop || !x->e->stop(x->e->context)) return false;
    bp_error_set(error, "", "the explanation was stopped");
    return true;
}

json_t *explanation_json(const struct explainer *x, int64_t row, int32_t label, double prediction, double baseline, const double *values) {
    json_t *attributions = json_array(), *json = json_pack("{s:I}", "row", (json_int_t)row + 1);
    for (int32_t k = 0; k < x->features_count; k++)
        json_array_append_new(attributions, json_pack("{s:s, s:f}", "column", x->p->features[x->features[k]].name, "value", values[k]));
    if (x->classes) json_object_set_new(json, "class", json_string(explainer_label(x, label)));
    json_object_set_new(json, "prediction", json_real(prediction));
    json_object_set_new(json, "baseline", json_real(baseline));
    json_object_set_new(json, "attributions", attributions);
    return json;
}

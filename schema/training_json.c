/* training_json.c - a resolved job as JSON and back, and what the engine needs of it. */
#include "training.h"

#include "values.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

json_t *schema_training_encode(const struct schema_training *t) {
    json_t *features = json_array();
    for (int32_t i = 0; i < t->preprocessing->features_count; i++) json_array_append_new(features, json_string(t->preprocessing->features[i].name));
    return json_pack("{s:o, s:o, s:o, s:o, s:s, s:s, s:o, s:I}", "definition", schema_definition_encode(t->definition), "options",
                     schema_options_encode(&t->options), "preprocessing", schema_preprocessing_encode(t->preprocessing), "features", features,
                     "target", t->preprocessing->target.name, "task", t->preprocessing->target.classification ? "classification" : "regression",
                     "layers", schema_network_layers_json(t->network), "parameters", (json_int_t)t->network->parameters);
}

bool schema_training_scores(const struct schema_training *t) {
    const struct bp_network *net = t->network;
    const struct bp_node *node = &net->nodes[net->outputs[0].node];
    if (!t->preprocessing->target.classification) return false;
    if (net->outputs[0].loss->scores) return true;
    while (node->ops && node->ops->view) node = &net->nodes[node->inputs[0]];
    const struct bp_entry *last = net->outputs[0].head ? &net->outputs[0].head->entry : node->activation;
    return !last || (strcmp(last->name, "softmax") != 0 && strcmp(last->name, "sigmoid") != 0);
}

/* Is there one output per label (one for two labels), or those of one value? Predictions are read out on the strength of it. */
static bool output_fits(const struct schema_training *t) {
    const struct schema_target *target = &t->preprocessing->target;
    int64_t width = bp_shape_size(&t->network->outputs[0].shape);
    return target->classification ? width == target->labels_count || (width == 1 && target->labels_count == 2)
                                  : width == bp_loss_outputs_per_target(t->network->outputs[0].loss, t->network->outputs[0].values);
}

struct schema_training *schema_training_decode(const json_t *json, struct bp_error *error) {
    struct schema_problems problems = {0};
    struct schema_training *t = calloc(1, sizeof *t);
    if (!t) return bp_error_set(error, "", "out of memory"), NULL;
    t->warnings = json_array();
    t->definition = schema_definition_decode(json_object_get(json, "definition"), "/definition", NULL, &problems);
    const json_t *options = json_object_get(json, "options");
    if (t->definition && (!json_is_object(options) || schema_options_decode(options, "/options", NULL, &t->options, &problems) != 0))
        bp_error_set(error, "/options", "the options are damaged");
    if (problems.count > 0) bp_error_set(error, problems.items[0].pointer ? problems.items[0].pointer : "", "%s", problems.items[0].detail);
    schema_problems_clear(&problems);
    if (t->definition) t->preprocessing = schema_preprocessing_decode(json_object_get(json, "preprocessing"), error);
    if (!t->preprocessing || (error && error->message[0])) goto failed;
    struct bp_graph graph = schema_definition_graph(t->definition, t->preprocessing->inputs, t->preprocessing->inputs_count);
    if (bp_network_plan(&graph, &t->network, error) != 0) goto failed;
    if (t->network->complete && t->network->outputs[0].loss && output_fits(t)) return t;
    bp_error_set(error, "/definition", "the definition is not complete, or its output does not fit the target");
failed:
    bp_error_set(error, "", "the description of this training is damaged");
    schema_training_free(t);
    return NULL;
}

struct bp_train_options schema_training_options(const struct schema_training *t) {
    const struct schema_options *o = &t->options;
    struct bp_train_options options = {.epochs = o->epochs,
                                       .batch_size = o->batch_size,
                                       .threads = o->threads,
                                       .seed = o->seed,
                                       .optimizer = o->optimizer,
                                       .l2 = o->l2,
                                       .gradient_clip_norm = o->gradient_clip_norm,
                                       .tasks[0].metrics_count = t->definition->metrics_count,
                                       .stop_early = o->stop_early,
                                       .stop_patience = o->stop_patience,
                                       .stop_min_delta = o->stop_min_delta,
                                       .tasks[0].classes = t->preprocessing->target.labels_count,
                                       .tasks[0].scores = schema_training_scores(t),
                                       .tasks[0].unit = t->preprocessing->target.std,
                                       .tasks[0].origin = t->preprocessing->target.mean};
    memcpy(options.optimizer_values, o->optimizer_values, sizeof options.optimizer_values);
    memcpy(options.tasks[0].metrics, t->definition->metrics, sizeof options.tasks[0].metrics);
    memcpy(options.tasks[0].metric_numbers, t->definition->metric_numbers, sizeof options.tasks[0].metric_numbers);
    snprintf(options.stop_metric, sizeof options.stop_metric, "%s", o->stop_metric);
    return options;
}

int64_t schema_training_bytes(const struct schema_training *t, int64_t rows) {
    struct bp_train_options options = schema_training_options(t);
    int64_t inputs = 0;
    for (int32_t i = 0; i < t->preprocessing->inputs_count; i++) inputs += bp_shape_size(&t->preprocessing->inputs[i].shape);
    int64_t kept = rows * inputs * (int64_t)sizeof(float);
    if (kept > SCHEMA_SOURCE_MEMORY) kept = 0;
    int64_t validated = (int64_t)ceil((double)rows * t->options.validation_fraction);
    return (int64_t)bp_trainer_bytes(t->network, &options, rows - validated, validated) + kept + rows * 12 + (40 << 20);
}

struct schema_definition *schema_definition_default(const struct schema_dataset *dataset, const char *target) {
    int64_t inputs = 0, tensors = 0;
    for (int32_t i = 0; i < dataset->columns_count; i++) {
        const struct schema_column *c = &dataset->columns[i];
        if (strcmp(c->name, target) == 0) continue;
        if (c->type == SCHEMA_TENSOR) tensors++;
        inputs += c->type == SCHEMA_TENSOR ? bp_shape_size(&c->shape) : c->type == SCHEMA_CATEGORICAL ? c->categories_count : 1;
    }
    int first = inputs <= 8 ? 32 : inputs <= 128 ? 64 : inputs <= 512 ? 128 : 256;
    if (dataset->rows < 200 && first > 32) first = 32;
    json_t *json = json_pack("{s:[]}", "layers"), *layers = json_object_get(json, "layers");
    if (tensors) json_array_append_new(layers, json_pack("{s:s}", "type", "flatten"));
    json_array_append_new(layers, json_pack("{s:s, s:i, s:s}", "type", "dense", "units", first, "activation", "relu"));
    json_array_append_new(layers, json_pack("{s:s, s:i, s:s}", "type", "dense", "units", first / 2, "activation", "relu"));
    struct schema_problems problems = {0};
    struct schema_definition *definition = schema_definition_decode(json, "", NULL, &problems);
    schema_problems_clear(&problems);
    json_decref(json);
    return definition;
}

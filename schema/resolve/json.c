/* json.c - a resolved job as JSON and back, and what the engine needs of it. */
#include "schema/resolve/training.h"

#include "schema/json/values.h"
#include "schema/resolve/folds.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* "column", ["a","b"] or {"layer":"column"}, and the task likewise: in the form of a request. */
static void encode_targets(const struct schema_preprocessing *p, json_t *json) {
    json_t *target = json_array(), *task = json_object();
    const char *common = NULL;
    bool mixed = false;
    for (int32_t k = 0; k < p->targets_count; k++) {
        const char *kind = p->targets[k].classification ? "classification" : "regression";
        json_array_append_new(target, json_string(p->targets[k].name));
        json_object_set_new(task, p->targets[k].name, json_string(kind));
        mixed = mixed || (common && strcmp(common, kind) != 0);
        common = kind;
    }
    json_object_set(json, "target", p->targets_count == 1 ? json_array_get(target, 0) : target);
    json_object_set_new(json, "task", mixed ? json_incref(task) : json_string(common));
    json_decref(target);
    json_decref(task);
}

json_t *schema_training_encode(const struct schema_training *t) {
    json_t *features = json_array();
    for (int32_t i = 0; i < t->preprocessing->features_count; i++) json_array_append_new(features, json_string(t->preprocessing->features[i].name));
    json_t *json = json_pack("{s:o, s:o, s:o, s:o, s:o, s:I, s:I}", "definition", schema_definition_encode(t->definition), "options",
                             schema_options_encode(&t->options), "preprocessing", schema_preprocessing_encode(t->preprocessing), "features", features,
                             "layers", schema_network_layers_json(t->network), "parameters", (json_int_t)t->network->parameters,
                             "trainable_parameters", (json_int_t)t->network->trained);
    encode_targets(t->preprocessing, json);
    json_t *thresholds = schema_thresholds_encode(t->preprocessing);
    if (thresholds) json_object_set_new(json, "thresholds", thresholds);
    json_t *columns = json_object();
    for (int32_t i = 0; i < t->preprocessing->features_count; i++)
        json_object_set_new(columns, t->preprocessing->features[i].name, schema_column_options_encode(&t->preprocessing->features[i]));
    json_object_set_new(json, "columns", columns);
    return json;
}

bool schema_training_scores(const struct schema_training *t, int32_t o) {
    const struct bp_network *net = t->network;
    const struct bp_node *node = &net->nodes[net->outputs[o].node];
    if (!t->preprocessing->targets[t->preprocessing->outputs[o].first].classification) return false;
    if (net->outputs[o].loss->scores) return true;
    while (node->ops && (node->ops->view || node->predictions)) node = &net->nodes[node->inputs[0]];
    const struct bp_activation_ops *last = net->outputs[o].head          ? net->outputs[o].head
                                           : net->outputs[o].predictions ? net->outputs[o].loss->head
                                                                         : node->activation;
    return !last || (last->probabilities != BP_PROBABILITIES_SHARED && last->probabilities != BP_PROBABILITIES_EACH);
}

void schema_training_one_hot(const struct schema_training *t, bool one_hot[static BP_OUTPUTS_MAX]) {
    const struct schema_preprocessing *p = t->preprocessing;
    for (int32_t o = 0; o < p->outputs_count; o++) {
        const struct bp_output *output = &t->network->outputs[o];
        one_hot[o] = p->targets[p->outputs[o].first].classification && !schema_output_multilabel(p, o) && output->loss->target == BP_TARGET_VALUES &&
                     bp_shape_size(&output->shape) > 1;
    }
}

/* Is there one output per label (one for two labels), or those of its values? Predictions are read out on the strength of it. */
static bool output_fits(const struct schema_training *t, int32_t o) {
    const struct bp_output *output = &t->network->outputs[o];
    const struct schema_output *learns = &t->preprocessing->outputs[o];
    const struct schema_target *target = &t->preprocessing->targets[learns->first];
    const int64_t width = bp_shape_size(&output->shape);
    if (!output->loss) return false;
    const int64_t positions = schema_target_size(target);
    if (schema_output_multilabel(t->preprocessing, o)) {
        for (int32_t k = learns->first; k < learns->first + learns->count && learns->count > 1; k++) {
            const struct schema_target *label = &t->preprocessing->targets[k];
            if (!label->shares || label->labels_count != 2 || label->shape.rank > 0) return false;
        }
        return width == schema_output_labels(t->preprocessing, o) && output->loss->range == BP_RANGE_PARTS;
    }
    if (target->classification)
        return learns->count == 1 && bp_loss_positions(output->loss, &output->shape) == positions &&
               (width == positions * target->labels_count || (width == positions && target->labels_count == 2));
    const int64_t numbers = target->shape.rank > 0 ? schema_target_size(target) : learns->count;
    return width == numbers * bp_loss_outputs_per_target(output->loss, output->values);
}

static bool all_fit(const struct schema_training *t) {
    if (!t->network->complete || t->network->outputs_count != t->preprocessing->outputs_count) return false;
    for (int32_t o = 0; o < t->network->outputs_count; o++)
        if (!output_fits(t, o)) return false;
    return true;
}

struct bp_graph schema_training_graph(const struct schema_definition *d, const struct schema_preprocessing *p, const struct bp_input *inputs) {
    struct bp_graph graph = schema_definition_graph(d, inputs ? inputs : p->inputs, p->inputs_count);
    for (int32_t o = 0; o < p->outputs_count; o++) {
        const struct schema_target *t = &p->targets[p->outputs[o].first];
        graph.outputs[o].steps = t->ragged ? t->shape.dims[0] : 0;
        graph.outputs[o].shares = t->shares;
    }
    return graph;
}

struct schema_training *schema_training_decode(const json_t *json, struct bp_error *error) {
    struct schema_problems problems = {0};
    struct schema_training *t = calloc(1, sizeof *t);
    if (!t) return bp_error_memory(error, "out of memory"), NULL;
    t->warnings = json_array();
    t->definition = schema_definition_decode(json_object_get(json, "definition"), "/definition", NULL, &problems);
    const json_t *options = json_object_get(json, "options");
    if (t->definition && (!json_is_object(options) || schema_options_decode(options, "/options", NULL, &t->options, &problems) != 0))
        bp_error_set(error, "/options", "the options are damaged");
    const struct bp_error cause = {.code = problems.code};
    if (problems.count > 0) bp_error_wrap(error, &cause, problems.items[0].pointer, "%s", problems.items[0].detail);
    schema_problems_clear(&problems);
    if (t->definition) t->preprocessing = schema_preprocessing_decode(json_object_get(json, "preprocessing"), error);
    if (!t->preprocessing || (error && error->message[0])) goto failed;
    struct bp_graph graph = schema_training_graph(t->definition, t->preprocessing, NULL);
    if (bp_network_plan(&graph, &t->network, error) != 0) goto failed;
    if (all_fit(t)) return t;
    bp_error_set(error, "/definition", "the definition is not complete, or its output does not fit the target");
failed:
    bp_error_set(error, "", "the description of this training is damaged");
    schema_training_free(t);
    return NULL;
}

static const char *target_name(const void *targets, int32_t k) {
    return ((const struct schema_target *)targets)[k].name;
}

static const char *label_name(const void *target, int32_t j) {
    return ((const struct schema_target *)target)->labels[j];
}

static void set_task(const struct schema_training *t, int32_t o, struct bp_task *task) {
    const struct schema_preprocessing *p = t->preprocessing;
    const struct schema_output *output = &p->outputs[o];
    const struct schema_target *target = &p->targets[output->first];
    const struct schema_definition *d = t->definition;
    const bool multilabel = task->multilabel = schema_output_multilabel(p, o);
    task->classes = multilabel ? 2 : target->labels_count;
    if (target->classification) task->thresholds = p->thresholds + target->thresholds_at;
    if (target->classification && target->shape.rank > 0 && !multilabel) {
        task->positions = (int32_t)schema_target_size(target);
        task->class_weights = target->class_weights;
    }
    task->scores = t->network && schema_training_scores(t, o);
    task->unit = schema_target_metric_unit(target, 0);
    task->origin = schema_target_metric_origin(target, 0);
    for (int32_t k = 0; k < output->count; k++)
        if (schema_target_curved(&target[k])) task->measured = schema_target_measured;
    task->measured_by = target;
    if ((output->count > 1 && !target->classification) || target->channels_count) {
        task->units = p->units + target->units_at;
        task->origins = p->origins + target->units_at;
    }
    if (output->count > 1 || multilabel) {
        task->targets = multilabel ? schema_output_labels(p, o) : output->count;
        task->name_of = task->targets > (multilabel ? SCHEMA_NAMED_LABELS_MAX : SCHEMA_NAMED_TARGETS_MAX) ? NULL
                        : target->multilabel                                                              ? label_name
                                                                                                          : target_name;
        task->names = target;
    }
    task->metrics_count = d->metrics_count;
    memcpy(task->metrics, d->metrics, sizeof task->metrics);
    memcpy(task->metric_numbers, d->metric_numbers, sizeof task->metric_numbers);
    for (int32_t i = 0; i < d->named_count; i++) {
        if (strcmp(d->named[i].name, output->name) != 0 || !d->named[i].metrics_given) continue;
        task->metrics_count = d->named[i].metrics_count;
        memcpy(task->metrics, d->named[i].metrics, sizeof task->metrics);
        memcpy(task->metric_numbers, d->named[i].metric_numbers, sizeof task->metric_numbers);
    }
}

struct bp_train_options schema_training_options(const struct schema_training *t) {
    const struct schema_options *o = &t->options;
    struct bp_train_options options = {.epochs = o->epochs,
                                       .batch_size = o->batch_size,
                                       .threads = o->threads,
                                       .processes = o->processes,
                                       .window = o->window_rows,
                                       .seed = schema_fold_seed(o->seed, t->fold + SCHEMA_FOLDS_SEEDS * t->repeat),
                                       .optimizer = o->optimizer,
                                       .schedule = o->schedule,
                                       .dropout_schedule = o->dropout_schedule,
                                       .decay_schedule = o->decay_schedule,
                                       .l1 = o->l1,
                                       .l2 = o->l2,
                                       .max_norm = o->max_norm,
                                       .gradient_clip_norm = o->gradient_clip_norm,
                                       .gradient_clip_value = o->gradient_clip_value,
                                       .gradient_accumulation_steps = o->gradient_accumulation_steps,
                                       .ema = o->ema,
                                       .mixup = o->mixup,
                                       .precision =
                                           o->precision == SCHEMA_PRECISION_BFLOAT16 || o->bfloat16 ? BP_PRECISION_BFLOAT16 : BP_PRECISION_FLOAT32,
                                       .keep_best = o->max_seconds > 0,
                                       .stop_early = o->stop_early && (!o->folds || t->fold),
                                       .stop_patience = o->stop_patience,
                                       .stop_min_delta = o->stop_min_delta};
    memcpy(options.optimizer_values, o->optimizer_values, sizeof options.optimizer_values);
    memcpy(options.schedule_values, o->schedule_values, sizeof options.schedule_values);
    memcpy(options.dropout_schedule_values, o->dropout_schedule_values, sizeof options.dropout_schedule_values);
    memcpy(options.decay_schedule_values, o->decay_schedule_values, sizeof options.decay_schedule_values);
    for (int32_t k = 0; k < t->preprocessing->outputs_count; k++) set_task(t, k, &options.tasks[k]);
    snprintf(options.stop_metric, sizeof options.stop_metric, "%s", o->stop_metric);
    return options;
}

/* Memory of a source for a number of rows (source.c): inputs and tensor targets, unless they are too large together. */
static int64_t kept_bytes(const struct schema_preprocessing *p, int64_t rows) {
    int64_t width = 0;
    for (int32_t i = 0; i < p->inputs_count; i++) width += bp_shape_size(&p->inputs[i].shape);
    for (int32_t k = 0; k < p->targets_count; k++) width += p->targets[k].shape.rank > 0 ? schema_target_size(&p->targets[k]) : 0;
    return rows * width * (int64_t)sizeof(float) > SCHEMA_SOURCE_MEMORY ? 0 : rows * width * (int64_t)sizeof(float);
}

/* What a fit trains on and validates with. */
struct fit {
    int64_t train, held;
    bool stops; /* stores the best weights */
};

/* The fits of a job that may need most: the only one; of a cross-validation a fold's and the one on all rows. */
static int32_t fits_of(const struct schema_training *t, const struct schema_dataset *dataset, struct fit fits[2]) {
    const int64_t rows = dataset->rows, held = (int64_t)ceil((double)rows * t->options.validation_fraction);
    fits[0] = (struct fit){rows - held, held + t->held_rows, t->options.stop_early};
    fits[1] = (struct fit){rows, 0, false};
    return t->options.folds ? 2 : 1;
}

/* All but what is mapped of the data and kept of its rows: the program and its libraries, with its compiled kernels; the trainer; the numbers of the
 * rows, and while they are split their classes and marks. */
static int64_t fixed_bytes(const struct schema_training *t, const struct bp_train_options *options, const struct fit *fit, int64_t row) {
    enum { PROCESS = 11 << 20, ONEDNN = 12 << 20, MPI = 24 << 20 };
    const int64_t rows = fit->train + fit->held;
    const int32_t shards = bp_train_shards(options), shard = (options->batch_size + shards - 1) / shards;
    const bool half = options->precision == BP_PRECISION_BFLOAT16;
    const bool onednn = half || bp_onednn_repays(t->network, shard, (double)rows * options->epochs);
    const int64_t copies = half ? options->threads * bp_bfloat16_bytes(t->network, shard) : 0;
    struct bp_train_options of_fit = *options;
    of_fit.stop_early = fit->stops;
    return (int64_t)bp_trainer_bytes(t->network, &of_fit, fit->train, fit->held) + rows * row + PROCESS + (onednn ? ONEDNN : 0) + copies +
           (options->processes > 1 ? MPI : 0);
}

/* Bytes of a row that is neither mapped nor stored; a split by a column sorts the rows. */
static int64_t row_bytes(const struct schema_training *t, bool windows) {
    const enum schema_validation by = t->options.validation;
    return windows && by != SCHEMA_VALIDATION_RANDOM && by != SCHEMA_VALIDATION_DATASET ? 56 : 32;
}

/* Bytes of a sample of a window, two of which may be resident: its own and those of the rows held back between them; of each column up to 64 KB more
 * are mapped around a chunk of 8192 samples. */
static double window_bytes(const struct schema_training *t, const struct schema_dataset *dataset) {
    const double rows = dataset->rows > 0 ? (double)dataset->rows : 1, trained = 1 - t->options.validation_fraction;
    const double each = (double)dataset->bytes / rows / (trained > 0.05 ? trained : 0.05);
    const double held = t->held_rows > 0 ? (double)t->held_bytes / (double)t->held_rows : 0; /* read when the others are released */
    return 2 * ((held > each ? held : each) + 8.0 * dataset->columns_count);
}

int64_t schema_training_bytes(const struct schema_training *t, const struct schema_dataset *dataset) {
    const struct bp_train_options options = schema_training_options(t);
    const double window = (double)options.window * window_bytes(t, dataset);
    const int64_t data = dataset->bytes + t->held_bytes;
    struct fit fits[2];
    int64_t most = 0;
    for (int32_t i = fits_of(t, dataset, fits); i-- > 0;) {
        int64_t bytes = fixed_bytes(t, &options, &fits[i], row_bytes(t, options.window > 0));
        if (options.window > 0) bytes += window < (double)data ? (int64_t)window : data;
        else bytes += kept_bytes(t->preprocessing, fits[i].train) + kept_bytes(t->preprocessing, fits[i].held) + data;
        most = bytes > most ? bytes : most;
    }
    return most;
}

int64_t schema_training_window(const struct schema_training *t, const struct schema_dataset *dataset, int64_t resident_max) {
    enum { LEAST = 8192 };
    struct bp_train_options options = schema_training_options(t);
    struct fit fits[2];
    double room = INFINITY;
    if (schema_training_bytes(t, dataset) <= resident_max) return 0;
    options.window = LEAST;
    for (int32_t i = fits_of(t, dataset, fits); i-- > 0;)
        room = fmin(room,
                    (double)(resident_max - fixed_bytes(t, &options, &fits[i], row_bytes(t, true))) / (window_bytes(t, dataset) + sizeof(int64_t)));
    return room > LEAST ? (int64_t)room : LEAST;
}

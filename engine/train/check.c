/* check.c - validation of training options, and the names of the reported numbers. */
#include "engine/train/trainer.h"

#include "engine/kernels/kernels.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { THREADS_MAX = 256 };

/* ---- names ------------------------------------------------------------------------------------------------------- */

/* Whether the metric (-1: the loss) of that output is measured over that part of the rows. */
static bool measures(const struct bp_trainer *trainer, const struct bp_series *series) {
    if (series->part == BP_VALIDATION) return trainer->validates;
    return series->metric < 0 || !trainer->options.tasks[series->output].metrics[series->metric]->whole || !trainer->validates;
}

/* As many bytes of a text as fit, cut between characters. */
static int32_t cut(const char *text, int32_t most) {
    int32_t n = (int32_t)strlen(text);
    if (n <= most) return n;
    for (n = most; n > 0 && ((unsigned char)text[n] & 0xC0) == 0x80;) n--;
    return n;
}

static bool is_taken(const struct bp_trainer *trainer, const char *name) {
    for (int32_t i = 0; i < trainer->values_count; i++)
        if (!strcmp(trainer->names[i], name)) return true;
    return false;
}

/* "val_" + whose + "_" + what; a duplicate name gets a number as suffix. */
static void name_series(const struct bp_trainer *trainer, bool validation, const char *whose, const char *what, char name[BP_NAME_MAX]) {
    const char *prefix = validation ? "val_" : "";
    snprintf(name, BP_NAME_MAX, "%s%.*s%s%.26s", prefix, (int)cut(whose, BP_NAME_MAX - 36), whose, *whose ? "_" : "", what);
    for (int nth = 2; is_taken(trainer, name); nth++)
        snprintf(name, BP_NAME_MAX, "%s%.*s%s%.26s_%d", prefix, (int)cut(whose, BP_NAME_MAX - 36), whose, *whose ? "_" : "", what, nth);
}

static void add_series(struct bp_trainer *trainer, int32_t output, int32_t metric, int32_t target) {
    const struct bp_network *net = trainer->network;
    const struct bp_task *task = output < 0 ? NULL : &trainer->options.tasks[output];
    const char *whose = target >= 0                             ? task->name_of(task->names, target)
                        : output >= 0 && net->outputs_count > 1 ? net->nodes[net->outputs[output].node].name
                                                                : "";
    for (int32_t part = BP_TRAINING; part <= BP_VALIDATION; part++) {
        const struct bp_series series = {output, metric, target, part};
        if (!measures(trainer, &series)) continue;
        char name[BP_NAME_MAX];
        name_series(trainer, part == BP_VALIDATION, whose, metric < 0 ? "loss" : task->metrics[metric]->entry.name, name);
        const int32_t i = trainer->values_count++;
        memcpy(trainer->names[i], name, sizeof name);
        trainer->series[i] = series;
        trainer->values[i] = (double)NAN;
    }
}

static int32_t targets_of(const struct bp_task *task) {
    return task->targets > 1 && task->name_of ? task->targets : 0;
}

void bp_trainer_list_series(struct bp_trainer *trainer) {
    const int32_t outputs = trainer->network->outputs_count;
    add_series(trainer, -1, -1, -1);
    for (int32_t k = 0; k < outputs; k++) {
        if (outputs > 1) add_series(trainer, k, -1, -1);
        for (int32_t m = 0; m < trainer->options.tasks[k].metrics_count; m++) add_series(trainer, k, m, -1);
    }
    for (int32_t k = 0; k < outputs; k++) /* after the others, whose names do not depend on column names */
        for (int32_t j = 0; j < targets_of(&trainer->options.tasks[k]); j++)
            for (int32_t m = 0; m < trainer->options.tasks[k].metrics_count; m++)
                if (!(trainer->options.tasks[k].metrics[m]->kinds & BP_METRIC_MULTILABEL)) add_series(trainer, k, m, j);
}

int32_t bp_train_metrics_most(const struct bp_network *network, const struct bp_train_options *options) {
    int32_t most = 1;
    for (int32_t k = 0; k < network->outputs_count; k++) most += 1 + options->tasks[k].metrics_count * (1 + targets_of(&options->tasks[k]));
    return 2 * most;
}

int32_t bp_train_metric_names(const struct bp_network *network, const struct bp_train_options *options, bool validation, char (*names)[BP_NAME_MAX],
                              int32_t most) {
    const size_t all = (size_t)bp_train_metrics_most(network, options);
    struct bp_trainer *trainer = calloc(1, sizeof *trainer);
    int32_t count = 0;
    if (trainer) {
        *trainer = (struct bp_trainer){.network = network,
                                       .options = *options,
                                       .validates = validation,
                                       .series = calloc(all, sizeof *trainer->series),
                                       .names = calloc(all, sizeof *trainer->names),
                                       .values = calloc(all, sizeof *trainer->values)};
        if (trainer->series && trainer->names && trainer->values) bp_trainer_list_series(trainer);
        for (; count < trainer->values_count && count < most; count++) memcpy(names[count], trainer->names[count], sizeof *names);
        free(trainer->series);
        free(trainer->names);
        free(trainer->values);
    }
    free(trainer);
    return count;
}

/* ---- one output -------------------------------------------------------------------------------------------------- */

static int check_metrics(const struct bp_task *task, struct bp_error *error) {
    char pointer[64];
    const unsigned kind = task->multilabel ? BP_METRIC_CLASSIFICATION | BP_METRIC_MULTILABEL
                          : task->classes  ? BP_METRIC_CLASSIFICATION
                                           : BP_METRIC_REGRESSION;
    if (task->metrics_count < 0 || task->metrics_count > BP_METRICS_MAX)
        return bp_error_set(error, "/metrics", "%d metrics are too many; at most %d are allowed", (int)task->metrics_count, BP_METRICS_MAX);
    for (int32_t m = 0; m < task->metrics_count; m++) {
        snprintf(pointer, sizeof pointer, "/metrics/%d", (int)m);
        if (!task->metrics[m]) return bp_error_set(error, pointer, "there is no such metric");
        if (!(task->metrics[m]->kinds & kind))
            return bp_error_set(error, pointer, "%s does not apply to %s; it is a metric of %s", task->metrics[m]->entry.name,
                                task->classes ? "classification" : "regression",
                                task->metrics[m]->kinds & BP_METRIC_MULTILABEL ? "several labels a row"
                                : task->classes                                ? "regression"
                                                                               : "classification");
        if (task->scores && task->metrics[m]->probabilities)
            return bp_error_set(error, pointer, "%s needs probabilities, but the output gives scores; use a loss such as cross_entropy",
                                task->metrics[m]->entry.name);
        for (int32_t k = 0; k < m; k++)
            if (task->metrics[k] == task->metrics[m]) return bp_error_set(error, pointer, "%s is listed twice", task->metrics[m]->entry.name);
    }
    return 0;
}

static int check_classes(const struct bp_network *network, int32_t k, const struct bp_task *task, struct bp_error *error) {
    const struct bp_output *output = &network->outputs[k];
    const bool several = network->outputs_count > 1;
    const int32_t positions = bp_loss_positions(output->loss, &output->shape), expected = task->positions > 1 ? task->positions : 1;
    const int32_t width = (int32_t)bp_shape_size(&output->shape) / positions;
    const bool class_loss = output->loss->target == BP_TARGET_CLASS;
    if (!task->classes && class_loss)
        return bp_error_set(error, "/loss", "the loss %s is for classes, but the target is a number; use mse or mae", output->loss->entry.name);
    if (task->classes && task->classes < 2)
        return bp_error_set(error, "/target", "the target has %d class; a classification needs at least 2", (int)task->classes);
    if (task->classes && positions != expected) {
        char text[64];
        return bp_error_set(error, "/layers", "the output has the shape %s, but the target has %d class%s a sample; %s",
                            bp_shape_text(&output->shape, text, sizeof text), (int)expected, expected > 1 ? "es" : "",
                            expected > 1 ? "keep the steps up to the last layer" : "put a flatten layer before the last");
    }
    if (task->multilabel) {
        if (task->classes == 2 && width == task->targets && !class_loss) return 0;
        return bp_error_set(error, "/layers",
                            "the output has %d numbers, but there are %d labels; use %d units with sigmoid and binary_cross_entropy", (int)width,
                            (int)task->targets, (int)task->targets);
    }
    if (task->classes && (width == 1 ? 2 : width) != task->classes)
        return bp_error_set(error, "/layers", "the output%s%s%s has %d number%s, but the target has %d classes; use %d units%s", several ? " \"" : "",
                            several ? network->nodes[output->node].name : "", several ? "\"" : "", (int)width, width == 1 ? "" : "s",
                            (int)task->classes, (int)task->classes, task->classes == 2 ? ", or 1 with sigmoid" : "");
    return 0;
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

static bool positive(double number) {
    return number >= 0 && isfinite(number);
}

/* Statistics of a mini-batch need two values of each channel: a single one has no variance, and its normalised value is always 0. */
static int check_statistics(const struct bp_network *network, const struct bp_train_options *options, struct bp_error *error) {
    const int32_t all = bp_train_shards(options), threads = all < options->batch_size ? all : options->batch_size;
    if (options->batch_size / threads > 1) return 0;
    for (int32_t i = network->inputs_count; i < network->nodes_count; i++) {
        const struct bp_node *node = &network->nodes[i];
        const int32_t channels = node->out.rank > 0 ? node->out.dims[node->out.rank - 1] : 1;
        if (!node->ops->update_statistics || node->frozen || bp_shape_size(&node->out) > channels) continue;
        return bp_error_set(error, "/batch_size",
                            "layer \"%s\" (%s) normalises by the statistics of a mini-batch, but batch_size %d%s leaves a single sample, which has "
                            "no variance; use a batch_size of at least %d, or layer_norm",
                            node->name, node->ops->entry.name, (int)options->batch_size, threads > 1 ? " shared by its threads" : "", 2 * (int)all);
    }
    return 0;
}

/* An optimizer of the whole training set compares its losses or gradients at different weights: nothing else may change between them. */
static int check_search(const struct bp_network *network, const struct bp_train_options *options, struct bp_error *error) {
    const char *name = options->optimizer->entry.name;
    const struct {
        const char *option;
        bool asked, batches;
    } others[] = {{"/mixup", options->mixup > 0, true},
                  {"/gradient_accumulation_steps", options->gradient_accumulation_steps > 1, true},
                  {"/max_norm", options->max_norm > 0, false},
                  {"/gradient_clip_norm", options->gradient_clip_norm > 0, false},
                  {"/gradient_clip_value", options->gradient_clip_value > 0, false}};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (others[i].asked && (others[i].batches || options->optimizer->search))
            return bp_error_set(error, others[i].option, "%s %s; leave %s out, or use adam", name,
                                others[i].batches ? "always uses the whole training set" : "needs the exact gradient of the loss at its weights",
                                others[i].option + 1);
    for (int32_t i = network->inputs_count; i < network->nodes_count; i++) {
        const struct bp_node *node = &network->nodes[i];
        if (node->draws || (node->ops->update_statistics && !node->frozen))
            return bp_error_set(
                error, "/optimizer",
                "%s compares losses of the whole training set at different weights, but layer \"%s\" (%s) changes it; remove the layer, or use adam",
                name, node->name, node->ops->entry.name);
    }
    return 0;
}

/* Factors and schedules that this optimizer and these layers would not notice. */
static int check_paces(const struct bp_network *network, const struct bp_train_options *options, struct bp_error *error) {
    const struct bp_optimizer_ops *optimizer = options->optimizer;
    char pointer[64];
    bool draws = false;
    for (int32_t i = network->inputs_count; i < network->nodes_count; i++) {
        const struct bp_node *node = &network->nodes[i];
        draws = draws || node->draws;
        for (int32_t t = 0; (optimizer->search || optimizer->signs) && t < node->tensors_count; t++) {
            snprintf(pointer, sizeof pointer, "/layers/%d/learning_rate_factor", (int)network->layer_of[i]);
            if (node->tensors[t].rate != 1)
                return bp_error_set(error, pointer,
                                    "%s finds the size of its steps itself, so a factor on the learning rate of layer \"%s\" has no "
                                    "effect; leave it out, or use adam",
                                    optimizer->entry.name, node->name);
        }
    }
    if (options->dropout_schedule && !draws)
        return bp_error_set(error, "/dropout_schedule", "no layer has dropout, so its schedule has no effect; add a dropout layer or leave it out");
    if (options->decay_schedule && !optimizer->decays)
        return bp_error_set(error, "/weight_decay_schedule", "%s has no weight decay, so its schedule has no effect; use adamw, or leave it out",
                            optimizer->entry.name);
    if ((options->dropout_schedule && options->dropout_schedule->observe) || (options->decay_schedule && options->decay_schedule->observe))
        return bp_error_set(error, options->dropout_schedule && options->dropout_schedule->observe ? "/dropout_schedule" : "/weight_decay_schedule",
                            "reduce_on_plateau is for the learning rate; use a schedule by the progress of the training, such as flat_cosine");
    return 0;
}

int bp_train_check(const struct bp_network *network, const struct bp_train_options *options, struct bp_error *error) {
    if (!network->complete) return bp_error_set(error, "", "the network cannot be trained: the shape of an input is unknown");
    if (!options->optimizer) return bp_error_set(error, "/optimizer", "there is no optimizer");
    if (options->epochs < 1 || options->batch_size < 1)
        return bp_error_set(error, options->epochs < 1 ? "/epochs" : "/batch_size", "epochs is %d and batch_size %d; both must be at least 1",
                            (int)options->epochs, (int)options->batch_size);
    if (options->precision == BP_PRECISION_BFLOAT16 && !bp_bfloat16_started()) {
        struct bp_error missing = {0};
        const bool available = bp_bfloat16_available(&missing);
        return bp_error_unsupported(error, "/precision", "products in bfloat16 are not available here: %s; use \"float32\"",
                                    available ? "oneDNN, which they need, was not started" : missing.message);
    }
    if (options->threads < 1 || options->threads > THREADS_MAX)
        return bp_error_set(error, "/threads", "threads is %d; expected 1 to %d", (int)options->threads, THREADS_MAX);
    if (options->processes < 0 || options->processes > BP_PROCESSES_MAX)
        return bp_error_set(error, "/processes", "processes is %d; expected 1 to %d", (int)options->processes, BP_PROCESSES_MAX);
    if (!positive(options->l1) || !positive(options->l2) || !positive(options->max_norm) || !positive(options->gradient_clip_norm) ||
        !positive(options->gradient_clip_value) || !positive(options->mixup))
        return bp_error_set(error, "",
                            "l1 is %g, l2 %g, max_norm %g, gradient_clip_norm %g, gradient_clip_value %g, mixup %g; all must be finite and "
                            "not negative",
                            options->l1, options->l2, options->max_norm, options->gradient_clip_norm, options->gradient_clip_value, options->mixup);
    if (!(options->ema >= 0) || options->ema >= 1) return bp_error_set(error, "/ema", "ema is %g; expected at least 0 and less than 1", options->ema);
    for (int32_t i = network->inputs_count; options->mixup > 0 && i < network->nodes_count; i++)
        if (network->nodes[i].indices)
            return bp_error_set(error, "/mixup",
                                "mixup averages samples, but layer \"%s\" reads indices, whose average has no meaning; leave mixup out",
                                network->nodes[i].name);
    if (check_paces(network, options, error)) return -1;
    if (network->trained_count == 0) return bp_error_set(error, "/layers", "nothing can be trained: no layer has weights that are not frozen");
    for (int32_t k = 0; k < network->outputs_count; k++) {
        if (!network->outputs[k].loss) return bp_error_set(error, "/loss", "the network has no loss");
        if (network->outputs[k].predictions && !options->measures)
            return bp_error_set(error, "/layers",
                                "the output layer \"%s\" averages predictions of networks that were trained separately, and the loss %s cannot "
                                "train it; train those networks",
                                network->nodes[network->outputs[k].node].name, network->outputs[k].loss->entry.name);
        if (check_classes(network, k, &options->tasks[k], error) || check_metrics(&options->tasks[k], error)) return -1;
    }
    if (check_statistics(network, options, error)) return -1;
    return options->optimizer->search || options->optimizer->whole ? check_search(network, options, error) : 0;
}

int bp_trainer_check(const struct bp_network *network, const struct bp_train_options *options, const struct bp_source *train,
                     const struct bp_source *validation, struct bp_error *error) {
    const struct bp_reducer *reducer = options->reducer;
    if (bp_train_check(network, options, error)) return -1;
    if (bp_train_processes(options) > 1 ? !reducer || reducer->ranks != options->processes : reducer != NULL)
        return bp_error_set(error, "/processes", "%d processes train, but %d are connected", (int)bp_train_processes(options),
                            reducer ? (int)reducer->ranks : 1);
    if (train->rows < 1 || (validation && validation->rows < 1))
        return bp_error_set(error, "", "there are no rows to %s", train->rows < 1 ? "train on" : "validate with");
    return 0;
}

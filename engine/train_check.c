/* train_check.c - what may be asked of a training, and the names of the numbers that it reports. */
#include "trainer.h"

#include "kernels/kernels.h"

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

static void add_series(struct bp_trainer *trainer, int32_t output, int32_t metric) {
    const struct bp_network *net = trainer->network;
    for (int32_t part = BP_TRAINING; part <= BP_VALIDATION; part++) {
        const struct bp_series series = {output, metric, part};
        if (!measures(trainer, &series)) continue;
        const int32_t i = trainer->values_count++;
        const char *name = metric < 0 ? "loss" : trainer->options.tasks[output].metrics[metric]->entry.name;
        const bool several = output >= 0 && net->outputs_count > 1;
        snprintf(trainer->names[i], BP_NAME_MAX, "%s%.*s%s%.*s", part == BP_VALIDATION ? "val_" : "", BP_NAME_MAX - 32,
                 several ? net->nodes[net->outputs[output].node].name : "", several ? "_" : "", 26, name);
        trainer->series[i] = series;
        trainer->values[i] = (double)NAN;
    }
}

void bp_trainer_list_series(struct bp_trainer *trainer) {
    const int32_t outputs = trainer->network->outputs_count;
    add_series(trainer, -1, -1);
    for (int32_t k = 0; k < outputs; k++) {
        if (outputs > 1) add_series(trainer, k, -1);
        for (int32_t m = 0; m < trainer->options.tasks[k].metrics_count; m++) add_series(trainer, k, m);
    }
}

int32_t bp_train_metric_names(const struct bp_network *network, const struct bp_train_options *options, bool validation, char (*names)[BP_NAME_MAX],
                              int32_t most) {
    struct bp_trainer *trainer = calloc(1, sizeof *trainer);
    char(*all)[BP_NAME_MAX] = calloc(BP_SERIES_MAX, sizeof *all);
    double *values = calloc(BP_SERIES_MAX, sizeof *values);
    int32_t count = 0;
    if (trainer && all && values) {
        *trainer = (struct bp_trainer){.network = network, .options = *options, .validates = validation, .names = all, .values = values};
        bp_trainer_list_series(trainer);
        for (; count < trainer->values_count && count < most; count++) memcpy(names[count], all[count], sizeof *names);
    }
    free(trainer);
    free(all);
    free(values);
    return count;
}

/* ---- one output -------------------------------------------------------------------------------------------------- */

static int check_metrics(const struct bp_task *task, struct bp_error *error) {
    char pointer[64];
    const unsigned kind = task->classes ? BP_METRIC_CLASSIFICATION : BP_METRIC_REGRESSION;
    if (task->metrics_count < 0 || task->metrics_count > BP_METRICS_MAX)
        return bp_error_set(error, "/metrics", "%d metrics are too many; at most %d are allowed", (int)task->metrics_count, BP_METRICS_MAX);
    for (int32_t m = 0; m < task->metrics_count; m++) {
        snprintf(pointer, sizeof pointer, "/metrics/%d", (int)m);
        if (!task->metrics[m]) return bp_error_set(error, pointer, "there is no such metric");
        if (!(task->metrics[m]->kinds & kind))
            return bp_error_set(error, pointer, "%s does not suit %s; it is a metric of %s", task->metrics[m]->entry.name,
                                task->classes ? "classification" : "regression", task->classes ? "regression" : "classification");
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
    const int32_t positions = bp_loss_positions(output->loss, &output->shape), wanted = task->positions > 1 ? task->positions : 1;
    const int32_t width = (int32_t)bp_shape_size(&output->shape) / positions;
    const bool class_loss = output->loss->target == BP_TARGET_CLASS;
    if (!task->classes && class_loss)
        return bp_error_set(error, "/loss", "the loss %s is for classes, but the target is a number; use mse or mae", output->loss->entry.name);
    if (task->classes && task->classes < 2)
        return bp_error_set(error, "/target", "the target has %d class; a classification needs at least 2", (int)task->classes);
    if (task->classes && positions != wanted) {
        char text[64];
        return bp_error_set(error, "/layers", "the output has the shape %s, but the target has %d class%s a sample; %s",
                            bp_shape_text(&output->shape, text, sizeof text), (int)wanted, wanted > 1 ? "es" : "",
                            wanted > 1 ? "keep the steps up to the last layer" : "put a flatten layer before the last");
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
                                others[i].batches ? "always looks at the whole training set"
                                                  : "needs the loss's own gradient at the weights it chose",
                                others[i].option + 1);
    for (int32_t i = network->inputs_count; i < network->nodes_count; i++) {
        const struct bp_node *node = &network->nodes[i];
        if (node->draws || (node->ops->settle && !node->frozen))
            return bp_error_set(
                error, "/optimizer",
                "%s compares what the whole training set says at different weights, but layer \"%s\" (%s) changes it; remove the layer, or use adam",
                name, node->name, node->ops->entry.name);
    }
    return 0;
}

int bp_train_check(const struct bp_network *network, const struct bp_train_options *options, struct bp_error *error) {
    if (!network->complete) return bp_error_set(error, "", "the network cannot be trained: the shape of an input is not known");
    if (!options->optimizer) return bp_error_set(error, "/optimizer", "there is no optimizer");
    if (options->epochs < 1 || options->batch_size < 1)
        return bp_error_set(error, options->epochs < 1 ? "/epochs" : "/batch_size", "epochs is %d and batch_size %d; both must be at least 1",
                            (int)options->epochs, (int)options->batch_size);
    if (options->precision == BP_PRECISION_BFLOAT16 && !bp_bfloat16_started()) {
        char why[160];
        return bp_error_set(error, "/precision", "products in bfloat16 are not to be had here: %s; use \"float32\"",
                            bp_bfloat16_available(why, sizeof why) ? "oneDNN, which computes them, was not asked to" : why);
    }
    if (options->threads < 1 || options->threads > THREADS_MAX)
        return bp_error_set(error, "/threads", "threads is %d; expected 1 to %d", (int)options->threads, THREADS_MAX);
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
                                "mixup averages samples, but layer \"%s\" reads indices, whose average means nothing; leave mixup out",
                                network->nodes[i].name);
    if (network->trained_count == 0) return bp_error_set(error, "/layers", "nothing can be trained: no layer has weights that are not frozen");
    for (int32_t k = 0; k < network->outputs_count; k++) {
        if (!network->outputs[k].loss) return bp_error_set(error, "/loss", "the network has no loss");
        if (check_classes(network, k, &options->tasks[k], error) || check_metrics(&options->tasks[k], error)) return -1;
    }
    return options->optimizer->search || options->optimizer->whole ? check_search(network, options, error) : 0;
}

int bp_trainer_check(const struct bp_network *network, const struct bp_train_options *options, const struct bp_source *train,
                     const struct bp_source *validation, struct bp_error *error) {
    if (bp_train_check(network, options, error)) return -1;
    if (train->rows < 1 || (validation && validation->rows < 1))
        return bp_error_set(error, "", "there are no rows to %s", train->rows < 1 ? "train on" : "validate with");
    return 0;
}

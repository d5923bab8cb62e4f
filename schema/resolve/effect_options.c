/* effect_options.c - training options and parameters of layers, losses and metrics that have no effect beside the others: warned of, or refused
 * where they contradict each other. A value that switches something off (a rate of 0, an identity) is not warned of, and neither is a default. */
#include "schema/resolve/resolution.h"

#include "schema/json/values.h"
#include "schema/text/datetime.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct bp_value *value_of(const struct bp_entry *entry, const struct bp_value *values, const char *name) {
    for (int32_t i = 0; i < entry->params_count; i++)
        if (strcmp(entry->params[i].name, name) == 0) return &values[i];
    return NULL;
}

static double number_of(const struct bp_entry *entry, const struct bp_value *values, const char *name) {
    const struct bp_value *value = value_of(entry, values, name);
    return value ? value->number : 0;
}

static int64_t at_least_one(int64_t n) {
    return n > 1 ? n : 1;
}

/* Rows of a full mini-batch, mini-batches and updates of an epoch. */
static int64_t batch_rows(const struct resolving *r) {
    return r->split.train_count < r->training->options.batch_size ? r->split.train_count : r->training->options.batch_size;
}

static int64_t batches_of(const struct resolving *r) {
    return bp_steps(r->split.train_count, r->training->options.batch_size);
}

static int64_t updates_of(const struct resolving *r) {
    const struct schema_options *o = &r->training->options;
    if (o->optimizer->whole || o->optimizer->search) return 1;
    return bp_steps(batches_of(r), o->gradient_accumulation_steps);
}

/* ---- the learning rate --------------------------------------------------------------------------------------------- */

static void check_warmup(struct resolving *r, double warmup) {
    const struct schema_options *o = &r->training->options;
    char map[RESOLVING_POINTER_MAX], where[RESOLVING_POINTER_MAX];
    if (warmup >= o->epochs)
        schema_problem_add(
            r->problems, schema_pointer(resolving_place(r, "schedule", map, sizeof map), "warmup_epochs", where, sizeof where),
            "a warm-up of %g epochs does not end within the %d epochs of the job: the learning rate never reaches its value; use fewer", warmup,
            o->epochs);
    else if (warmup > 0 && warmup * (double)updates_of(r) <= 1)
        resolving_warn(r, "warmup_epochs has no effect: %g epochs are at most one update, and an epoch has %lld; say more", warmup,
                       (long long)updates_of(r));
}

static void check_plateau(struct resolving *r) {
    const struct schema_options *o = &r->training->options;
    const int patience = (int)number_of(&o->schedule->entry, o->schedule_values, "patience");
    if (patience + 2 >= o->epochs) /* the first epoch improves, and the next ones up to patience + 2 do not */
        resolving_warn(r,
                       "the schedule has no effect: with a patience of %d it lowers the learning rate after epoch %d at the earliest, and the job "
                       "has %d; say a smaller patience, or more epochs",
                       patience, patience + 2, o->epochs);
    else if (o->stop_early && o->stop_patience <= patience)
        resolving_warn(r,
                       "early stopping waits %d epochs and the schedule %d: training stops before the learning rate is lowered, unless there are "
                       "improvements below the threshold of the schedule; say a larger patience of early_stopping",
                       o->stop_patience, patience);
}

static void check_schedule(struct resolving *r) {
    const struct schema_options *o = &r->training->options;
    if (!o->schedule) return;
    const struct bp_entry *entry = &o->schedule->entry;
    const struct bp_value *values = o->schedule_values, *gamma = value_of(entry, values, "gamma");
    const double warmup = number_of(entry, values, "warmup_epochs"), step = number_of(entry, values, "step_size"),
                 period = number_of(entry, values, "period_epochs");
    check_warmup(r, warmup);
    if (o->optimizer->signs)
        resolving_warn(r, "the schedule has no effect: the learning_rate of %s is only the size of its first step", o->optimizer->entry.name);
    else if (number_of(entry, values, "minimum") >= 1)
        resolving_warn(r, "the schedule has no effect: its minimum is 1, so the learning rate is never lowered; say a share below 1");
    else if (gamma && gamma->number == 1)
        resolving_warn(r, "the schedule has no effect: its gamma is 1, so the learning rate stays; say a factor below 1");
    else if (step > 0 && warmup + step >= o->epochs && warmup < o->epochs)
        resolving_warn(r, "the schedule has no effect: its first step is after epoch %g, but the job has %d", warmup + step, o->epochs);
    else if (o->schedule->observe) check_plateau(r);
    if (number_of(entry, values, "period_factor") > 1 && (period == 0 || warmup + period >= o->epochs))
        resolving_warn(r, "period_factor has no effect: the schedule does not restart within the %d epochs of the job; say period_epochs", o->epochs);
}

static void check_optimizer(struct resolving *r) {
    const struct schema_options *o = &r->training->options;
    const struct bp_entry *entry = &o->optimizer->entry;
    const struct bp_value *values = o->optimizer_values;
    char map[RESOLVING_POINTER_MAX], where[RESOLVING_POINTER_MAX];
    resolving_place(r, "optimizer", map, sizeof map);
    if (number_of(entry, values, "nesterov") != 0 && !(number_of(entry, values, "momentum") > 0))
        schema_problem_add(r->problems, schema_pointer(map, "nesterov", where, sizeof where),
                           "nesterov looks ahead along the momentum, which is 0; use \"momentum\":0.9, or leave nesterov out");
    if (number_of(entry, values, "step_min") > number_of(entry, values, "step_max"))
        schema_problem_add(r->problems, schema_pointer(map, "step_min", where, sizeof where), "step_min is %g, above step_max, which is %g",
                           number_of(entry, values, "step_min"), number_of(entry, values, "step_max"));
    if (values[0].number == 0 && !o->find_rate && !o->optimizer->whole && !o->optimizer->search)
        resolving_warn(r, "learning_rate is 0: the weights stay as they were initialised; say a number above 0");
    if (o->optimizer->signs && (o->gradient_clip_norm > 0 || o->gradient_clip_value > 0))
        resolving_warn(r, "gradient_clip_%s has no effect: %s looks at the signs of the gradient alone", o->gradient_clip_norm > 0 ? "norm" : "value",
                       entry->name);
}

/* ---- batches, epochs, penalties ------------------------------------------------------------------------------------ */

static void check_batches(struct resolving *r) {
    const struct schema_options *o = &r->training->options;
    char where[RESOLVING_POINTER_MAX];
    const long long rows = (long long)r->split.train_count, batches = (long long)batches_of(r);
    if (o->mixup > 0 && batch_rows(r) == 1)
        schema_problem_add(r->problems, resolving_place(r, "mixup", where, sizeof where),
                           "mixup mixes the samples of a mini-batch, but %s: it would have no effect; use larger mini-batches, or leave it out",
                           o->batch_size == 1 ? "batch_size is 1" : "only one row trains");
    if (o->batch_size_given && o->batch_size > rows && !o->optimizer->whole && !o->optimizer->search)
        resolving_warn(r, "batch_size is %d, but only %lld rows train: each mini-batch has them all", o->batch_size, rows);
    if (o->threads_given && o->threads > batch_rows(r))
        resolving_warn(r, "threads is %d, but a mini-batch has %lld row%s: %lld threads compute nothing of it; say at most %lld", o->threads,
                       (long long)batch_rows(r), batch_rows(r) == 1 ? "" : "s", (long long)(o->threads - batch_rows(r)),
                       (long long)at_least_one(batch_rows(r)));
    if (o->gradient_accumulation_steps > 1 && o->gradient_accumulation_steps > batches)
        resolving_warn(r, "gradient_accumulation_steps is %d, but an epoch has %lld mini-batch%s: it is one update an epoch",
                       o->gradient_accumulation_steps, batches, batches == 1 ? "" : "es");
    if (o->window_rows >= rows)
        resolving_warn(r, "window_rows is %lld, but only %lld rows train: all are shuffled together; leave it out, so that they are kept in memory",
                       (long long)o->window_rows, rows);
}

static void check_epochs(struct resolving *r) {
    const struct schema_options *o = &r->training->options;
    if (o->stop_early && !o->stop_default && o->stop_patience + 1 >= o->epochs) /* the first epoch improves on nothing */
        resolving_warn(
            r,
            "early stopping never stops this job: after the first epoch it waits %d without an improvement, and the job has %d epochs; say "
            "a smaller patience or more epochs (the weights of the best epoch are kept all the same)",
            o->stop_patience, o->epochs);
    if (o->checkpoint_every_given && o->checkpoint_every_epochs > o->epochs)
        resolving_warn(r,
                       "checkpoint_every_epochs is %d, but the job has %d epochs: there are checkpoints only each minute of training and when the "
                       "job is stopped; say fewer",
                       o->checkpoint_every_epochs, o->epochs);
}

/* l1, l2 and max_norm are of kernels. */
static void check_penalties(struct resolving *r) {
    const struct schema_options *o = &r->training->options;
    const struct bp_network *net = r->training->network;
    bool any = false;
    for (int32_t i = net->inputs_count; i < net->nodes_count; i++)
        for (int32_t t = 0; t < net->nodes[i].tensors_count; t++) any = any || (net->nodes[i].tensors[t].penalised && !net->nodes[i].frozen);
    const char *name = o->l1 > 0 ? "l1" : o->l2 > 0 ? "l2" : o->max_norm > 0 ? "max_norm" : NULL;
    if (name && !any) resolving_warn(r, "%s has no effect: it is for the kernels of layers, and no layer that is trained has one", name);
}

/* ---- parameters of layers and metrics ------------------------------------------------------------------------------ */

/* Stored definitions have all their defaults written out: what differs from the default was asked for. */
static bool asked(const struct bp_param *param, const struct bp_value *value) {
    if (param->type == BP_PARAM_ENTRY) return value->entry && param->preset_name && strcmp(value->entry->name, param->preset_name) != 0;
    if (param->type == BP_PARAM_INTEGERS) {
        bool differs = false;
        for (int32_t i = 0; i < value->integers_count; i++) differs = differs || value->integers[i] != (int32_t)param->preset;
        return differs;
    }
    return value->number != param->preset;
}

static bool is_one(const struct bp_value *value) {
    bool one = true;
    for (int32_t i = 0; i < value->integers_count; i++) one = one && value->integers[i] == 1;
    return one;
}

/* Why a parameter of a node has no effect beside its other ones; NULL: it has one. */
static const char *idle(const struct bp_node *node, const char *name) {
    const struct bp_entry *entry = &node->ops->entry;
    const struct bp_value *bias = value_of(entry, node->values, "use_bias"), *kernel = value_of(entry, node->values, "kernel_size"),
                          *fill = value_of(entry, node->values, "fill");
    if (strcmp(name, "bias_initializer") == 0 && bias && bias->number == 0) return "use_bias is false";
    if (strcmp(name, "dilation_rate") == 0 && kernel && is_one(kernel)) return "kernel_size is 1";
    if (strcmp(name, "fill_value") == 0 && fill && fill->number != 0) return "fill is not \"constant\""; /* the first choice */
    if (strcmp(name, "momentum") == 0 && node->ops->update_statistics && node->frozen) return "its statistics stay with \"trainable\":false";
    return NULL;
}

static void check_parameters(struct resolving *r) {
    const struct bp_network *net = r->training->network;
    for (int32_t i = net->inputs_count; i < net->nodes_count; i++) {
        const struct bp_node *node = &net->nodes[i];
        const struct bp_entry *entry = &node->ops->entry;
        if (node->frozen && node->tensors_count == 0)
            resolving_warn(r, "\"trainable\":false has no effect: layer \"%s\" (%s) has no weights", node->name, entry->name);
        if (r->training->definition->layers[net->layer_of[i]].factors.decay_given && !r->training->options.optimizer->decays)
            resolving_warn(r, "weight_decay_factor of layer \"%s\" (%s) has no effect: %s has no weight decay; use adamw", node->name, entry->name,
                           r->training->options.optimizer->entry.name);
        for (int32_t k = 0; k < entry->params_count; k++) {
            const char *why = asked(&entry->params[k], &node->values[k]) ? idle(node, entry->params[k].name) : NULL;
            if (why) resolving_warn(r, "%s of layer \"%s\" (%s) has no effect: %s", entry->params[k].name, node->name, entry->name, why);
        }
    }
}

static void check_top_k(struct resolving *r) {
    const struct bp_train_options options = schema_training_options(r->training);
    for (int32_t o = 0; o < r->training->network->outputs_count; o++)
        for (int32_t m = 0; m < options.tasks[o].metrics_count; m++) {
            const struct bp_entry *entry = &options.tasks[o].metrics[m]->entry;
            const int k = (int)options.tasks[o].metric_numbers[m][0];
            if (strcmp(entry->name, "top_k_accuracy") == 0 && k >= options.tasks[o].classes)
                resolving_warn(r, "top_k_accuracy is always 1: its k is %d, and there are %d classes; say a k below that", k,
                               options.tasks[o].classes);
        }
}

/* Parts of dates that are the same in all rows: of the clock, where there is none. */
static void check_parts(struct resolving *r) {
    static const struct {
        enum schema_time_part part;
        double seconds;
        const char *name, *what;
    } clocks[] = {{SCHEMA_PART_DAY, 86400, "day", "time of day"}, {SCHEMA_PART_HOUR, 3600, "hour", "minutes"}};
    const struct schema_preprocessing *p = r->training->preprocessing;
    for (int32_t i = 0; i < p->features_count; i++) {
        const struct schema_feature *f = &p->features[i];
        if (!json_object_get(json_object_get(r->request->columns, f->name), "parts")) continue; /* only dates have them */
        double *values = malloc(((size_t)r->dataset->rows + 1) * sizeof *values);
        if (values) schema_dataset_numbers(r->dataset, r->features[i], 0, r->dataset->rows, values);
        for (size_t c = 0; values && c < 2; c++) {
            bool same = (f->options.parts >> clocks[c].part & 1) != 0;
            for (int64_t row = 0; same && row < r->dataset->rows; row++) same = isnan(values[row]) || fmod(values[row], clocks[c].seconds) == 0;
            if (same)
                resolving_warn(r, "the part \"%s\" of column \"%.60s\" has no effect: its dates have no %s, so it is the same in all rows",
                               clocks[c].name, f->name, clocks[c].what);
        }
        free(values);
    }
}

void resolving_option_effects(struct resolving *r) {
    check_optimizer(r);
    check_batches(r);
    check_schedule(r);
    check_epochs(r);
    check_penalties(r);
    check_parameters(r);
    check_top_k(r);
    check_parts(r);
}

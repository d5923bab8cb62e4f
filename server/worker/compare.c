/* compare.c - see compare.h. */
#include "server/worker/compare.h"

#include "server/worker/run.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

json_t *compare_refused(const char *metric, const char *format, ...) {
    char text[500];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return json_pack("{s:s, s:s}", "metric", metric, "reason", text);
}

/* ---- whether the two can be compared --------------------------------------------------------------------------------------------------- */

static bool same_text(const char *a, const char *b) {
    return strcmp(a ? a : "", b ? b : "") == 0;
}

static bool knows_label(const struct schema_target *target, const char *label) {
    for (int32_t i = 0; i < target->labels_count; i++)
        if (strcmp(target->labels[i], label) == 0) return true;
    return false;
}

/* Of two classes the second is the positive one, by which precision and others are. */
static json_t *labels_differ(const struct compare *c, const struct schema_target *own, const struct schema_target *theirs) {
    for (int32_t i = 0; i < own->labels_count; i++)
        if (!knows_label(theirs, own->labels[i]))
            return compare_refused(c->metric, "the version that is served does not know the class \"%.60s\" of \"%.60s\"", own->labels[i], own->name);
    if (own->labels_count != theirs->labels_count)
        return compare_refused(c->metric, "the version that is served knows %d classes of \"%.60s\", the new one %d", (int)theirs->labels_count,
                               own->name, (int)own->labels_count);
    if (own->labels_count == 2 && strcmp(own->labels[1], theirs->labels[1]) != 0)
        return compare_refused(c->metric, "the positive class of \"%.60s\" is \"%.60s\" in the version that is served, \"%.60s\" in the new one",
                               own->name, theirs->labels[1], own->labels[1]);
    return NULL;
}

/* NULL: they learn the same. */
static json_t *targets_differ(const struct compare *c, const struct schema_preprocessing *own, const struct schema_preprocessing *theirs) {
    if (own->targets_count != theirs->targets_count || own->outputs_count != theirs->outputs_count)
        return compare_refused(c->metric, "the version that is served predicts other targets");
    if (!same_text(own->sample_weight, theirs->sample_weight))
        return compare_refused(c->metric,
                               "the rows are weighted by \"%.60s\" in the new version, by \"%.60s\" in the one that is served; \"\" is not at all",
                               own->sample_weight ? own->sample_weight : "", theirs->sample_weight ? theirs->sample_weight : "");
    for (int32_t k = 0; k < own->targets_count; k++) {
        const struct schema_target *a = &own->targets[k], *b = &theirs->targets[k];
        if (strcmp(a->name, b->name) != 0 || a->classification != b->classification || a->multilabel != b->multilabel || a->shares != b->shares)
            return compare_refused(c->metric, "the version that is served predicts \"%.60s\" in place of \"%.60s\", or as another task", b->name,
                                   a->name);
        json_t *refused = a->classification ? labels_differ(c, a, b) : NULL;
        if (refused) return refused;
    }
    return NULL;
}

/* Whether the metric is a loss, not a metric in the target's own unit. */
static bool is_loss(const char *metric) {
    const size_t n = strlen(metric);
    return n >= 5 && strcmp(metric + n - 5, "_loss") == 0 && (n < 8 || strcmp(metric + n - 8, "log_loss") != 0) &&
           (n < 12 || strcmp(metric + n - 12, "hamming_loss") != 0);
}

/* From the loss of the served version to the unit of the new one: times `factor`, plus `shift`. False: there is no such way. A standardised number z
 * = (v - mean) / std of the one is z * std / std' + constant of the other. */
static bool loss_unit(const struct schema_training *own, const struct schema_training *theirs, double *factor, double *shift) {
    const struct schema_preprocessing *p = own->preprocessing, *q = theirs->preprocessing;
    double ratio = 1;
    bool same = true;
    *factor = 1;
    *shift = 0;
    for (int32_t k = 0; k < p->targets_count; k++) {
        const struct schema_target *a = &p->targets[k], *b = &q->targets[k];
        if (a->classification) continue;
        if (a->transform != b->transform || a->lambda != b->lambda || a->channels_count != b->channels_count) return false;
        if (a->mean != b->mean || a->std != b->std) same = false;
        for (int32_t j = 0; j < a->channels_count; j++)
            if (a->channels[j].mean != b->channels[j].mean || a->channels[j].std != b->channels[j].std) same = false;
        ratio = b->std / a->std;
    }
    if (same) return true;
    if (p->targets_count != 1 || p->targets[0].channels_count) return false;
    const char *loss = own->network->outputs[0].loss->entry.name;
    if (strcmp(loss, "mse") == 0) *factor = ratio * ratio;
    else if (strcmp(loss, "mae") == 0 || strcmp(loss, "quantile") == 0) *factor = ratio;
    else if (strcmp(loss, "gaussian_nll") == 0) *shift = log(ratio);
    else return false;
    return true;
}

static json_t *losses_differ(const struct compare *c, const struct schema_training *theirs, double *factor, double *shift) {
    const struct bp_network *a = c->training->network, *b = theirs->network;
    *factor = 1;
    *shift = 0;
    if (!is_loss(c->metric)) return NULL;
    for (int32_t o = 0; o < a->outputs_count; o++) {
        const struct bp_output *own = &a->outputs[o], *other = &b->outputs[o];
        bool same = own->loss == other->loss && own->weight == other->weight;
        for (int32_t i = 0; same && i < own->loss->entry.params_count; i++) same = own->values[i].number == other->values[i].number;
        if (!same)
            return compare_refused(
                c->metric,
                "the version that is served was trained with another loss (%s, the new one %s); set early_stopping.metric to a metric, "
                "like val_accuracy or val_mae, by which both can be compared",
                other->loss->entry.name, own->loss->entry.name);
    }
    if (loss_unit(c->training, theirs, factor, shift)) return NULL;
    return compare_refused(c->metric, "the losses of the two versions have different units, because their targets are scaled differently; set "
                                      "early_stopping.metric to a metric in the target's own unit, like val_mae");
}

static bool has_members(const struct bp_network *network) {
    for (int32_t o = 0; o < network->outputs_count; o++)
        if (network->outputs[o].members || network->outputs[o].predictions) return true;
    return false;
}

/* The loss of a network with members is the mean of theirs, which is more than that of their mean, the prediction. Against a network without members,
 * it is measured by the metric that equals the loss of the prediction: log_loss, or rmse, of which *own_std makes the unit (0: it is a log_loss). */
static json_t *loss_of_mean(const struct compare *c, const struct schema_model *served, const char **metric, double *own_std) {
    const struct bp_network *own = c->training->network;
    const struct schema_target *target = &c->training->preprocessing->targets[0];
    const char *loss = own->outputs[0].loss->entry.name;
    *own_std = 0;
    *metric = c->metric;
    if (!is_loss(c->metric) || !has_members(served->training->network) || has_members(own)) return NULL;
    const bool single = own->outputs_count == 1 && c->training->preprocessing->targets_count == 1 && target->shape.rank <= 0 && !target->shares;
    bool plain = single && target->multilabel == SCHEMA_ONE_LABEL;
    for (int32_t i = 0; i < own->outputs[0].loss->entry.params_count; i++) plain = plain && own->outputs[0].values[i].number == 0;
    if (plain && target->classification && (strcmp(loss, "cross_entropy") == 0 || strcmp(loss, "binary_cross_entropy") == 0)) {
        *metric = "val_log_loss";
        return NULL;
    }
    if (single && strcmp(loss, "mse") == 0 && !target->transform && !target->clamp) {
        *metric = "val_rmse";
        *own_std = target->std;
        return NULL;
    }
    return compare_refused(
        c->metric,
        "the version that is served averages networks, and has no loss %s of their mean; set early_stopping.metric to a metric by which "
        "both can be compared",
        loss);
}

static json_t *rows_differ(const struct compare *c, const struct schema_view *view) {
    bool complete[SCHEMA_ROWS_MAX];
    int64_t lacking = 0;
    for (int64_t first = 0; first < c->n; first += SCHEMA_ROWS_MAX) {
        const int32_t n = c->n - first < SCHEMA_ROWS_MAX ? (int32_t)(c->n - first) : SCHEMA_ROWS_MAX;
        if (schema_view_complete(view, c->rows + first, n, complete) != 0) return compare_refused(c->metric, "no memory for the comparison");
        for (int32_t i = 0; i < n; i++) lacking += !complete[i];
    }
    if (!lacking) return NULL;
    return compare_refused(c->metric, "the version that is served cannot use %lld of the %lld validation rows", (long long)lacking, (long long)c->n);
}

/* ---- measuring ---------------------------------------------------------------------------------------------------------------------------- */

/* log_loss and rmse, which ensembles are measured by, may not be among the metrics of a network. */
static void add_metric(struct bp_task *task, const char *metric) {
    const char *name = metric + strlen("val_");
    bool there = strcmp(name, "log_loss") != 0 && strcmp(name, "rmse") != 0;
    for (int32_t i = 0; i < task->metrics_count; i++) there = there || strcmp(task->metrics[i]->entry.name, name) == 0;
    if (there || task->metrics_count == BP_METRICS_MAX) return;
    memset(task->metric_numbers[task->metrics_count], 0, sizeof task->metric_numbers[0]);
    task->metrics[task->metrics_count++] = (const struct bp_metric_ops *)bp_family_find(&bp_metrics, name);
}

/* As the new version is measured: its metrics with their parameters; the predictions and thresholds of the served one. */
static struct bp_train_options options_of(const struct compare *c, const struct schema_training *theirs, const char *metric) {
    const struct bp_train_options own = schema_training_options(c->training);
    struct bp_train_options options = schema_training_options(theirs);
    for (int32_t o = 0; o < c->training->network->outputs_count; o++) {
        options.tasks[o].metrics_count = own.tasks[o].metrics_count;
        memcpy(options.tasks[o].metrics, own.tasks[o].metrics, sizeof own.tasks[o].metrics);
        memcpy(options.tasks[o].metric_numbers, own.tasks[o].metric_numbers, sizeof own.tasks[o].metric_numbers);
    }
    if (c->training->network->outputs_count == 1) add_metric(&options.tasks[0], metric);
    options.measures = true;
    options.epochs = 1;
    options.batch_size = c->batch_size;
    options.threads = own.threads;
    options.processes = 1;
    options.window = 0;
    options.precision = BP_PRECISION_FLOAT32;
    options.schedule = options.dropout_schedule = options.decay_schedule = NULL;
    options.stop_early = options.keep_best = false;
    options.ema = options.mixup = 0;
    options.gradient_accumulation_steps = 1;
    return options;
}

/* The trainer at the end of its rows, with these weights: what is left of the epoch is the validation. 1: stopped. */
static int validate(const struct compare *c, struct bp_trainer *trainer, const struct schema_model *served, struct bp_error *error) {
    struct bp_trainer_state state;
    bp_trainer_state(trainer, &state);
    state.weights = served->weights;
    state.position = c->n;
    if (bp_trainer_restore(trainer, &state, error) != 0) return -1;
    for (;;) {
        const enum bp_train_event event = bp_trainer_step(trainer);
        if (c->step) c->step();
        if (event == BP_TRAIN_EPOCH || event == BP_TRAIN_DONE) return 0;
        if (event == BP_TRAIN_DIVERGED) return bp_error_set(error, "", "its loss on the validation rows is not a finite number");
        if (c->stop && c->stop(c->context)) return 1;
    }
}

static int measure(const struct compare *c, const struct schema_model *served, const struct schema_view *view, const char *metric, double *value,
                   bool *higher, struct bp_error *error) {
    struct schema_source *source = NULL;
    struct bp_trainer *trainer = NULL;
    const struct bp_train_options options = options_of(c, served->training, metric);
    int result = run_validation_source(served->training, view, c->rows, c->n, &source, error), found = -1;
    if (result == 0) {
        const struct bp_source batches = schema_source_batches(source);
        result = bp_trainer_new(served->training->network, &options, &batches, &batches, &trainer, error);
    }
    if (result == 0) result = validate(c, trainer, served, error);
    for (int32_t i = 0; result == 0 && i < bp_trainer_metrics_count(trainer); i++)
        if (strcmp(bp_trainer_metric_name(trainer, i), metric) == 0) found = i;
    if (result == 0 && found < 0) result = bp_error_set(error, "", "it has no metric %.60s", metric);
    if (result == 0) {
        *value = bp_trainer_metric_value(trainer, found);
        *higher = bp_trainer_metric_higher(trainer, found);
    }
    bp_trainer_free(trainer);
    schema_source_free(source);
    return result;
}

/* The served version has not been trained on the rows if it was split off the same data in the same way, or comes from other data. */
static bool seen_by(const struct compare *c, const struct schema_model *served) {
    const json_t *dataset = json_object_get(served->document, "dataset");
    const char *name = json_string_value(json_object_get(dataset, "name"));
    const struct schema_options *a = &c->training->options, *b = &served->training->options;
    if (!name || strcmp(name, c->name) != 0) return false;
    const bool same_split = !a->folds && !b->folds && a->validation == b->validation && a->validation_fraction == b->validation_fraction &&
                            a->seed == b->seed && strcmp(a->validation_column, b->validation_column) == 0;
    return c->of_folds || !same_split || json_integer_value(json_object_get(dataset, "version")) != c->version;
}

/* Held-out values of the served version on the same rows, if its training has them: each row was predicted by networks that were not trained on it.
 */
static bool recorded(const struct compare *c, const struct schema_model *served, double *value) {
    const json_t *dataset = json_object_get(served->document, "dataset"), *metrics = json_object_get(served->document, "metrics");
    const char *name = json_string_value(json_object_get(dataset, "name"));
    char key[BP_NAME_MAX + 32];
    snprintf(key, sizeof key, "cross_validated_%s", c->metric + strlen("val_"));
    const json_t *of_folds = json_object_get(metrics, key);
    if (!c->of_folds || !name || strcmp(name, c->name) != 0 || json_integer_value(json_object_get(dataset, "version")) != c->version) return false;
    if (!json_is_number(of_folds)) return false;
    *value = json_number_value(of_folds);
    return true;
}

static json_t *judged(const struct compare *c, double value, bool higher, bool seen, int64_t served_version) {
    char text[500];
    json_t *own = run_number(c->value), *theirs = run_number(value); /* as metrics are reported */
    const bool defined = json_is_number(own) && json_is_number(theirs);
    const double a = json_number_value(own), b = json_number_value(theirs);
    const bool better = defined && (higher ? a > b : a < b);
    if (!defined) snprintf(text, sizeof text, "%s is not defined on the validation rows", c->metric);
    else
        snprintf(text, sizeof text, "%s %.6g on %lld validation rows is %s than %.6g of version %lld, which is served%s", c->metric, a,
                 (long long)c->n,
                 better   ? higher ? "higher" : "lower"
                 : higher ? "not higher"
                          : "not lower",
                 b, (long long)served_version,
                 seen ? "; that one may have been trained on some of the rows, which makes it look better than it is: validate with a dataset of "
                        "their own to be sure"
                      : "");
    return json_pack("{s:s, s:b, s:o, s:o, s:I, s:b, s:s, s:b}", "metric", c->metric, "higher_is_better", higher, "value", own, "served_value",
                     theirs, "rows", (json_int_t)c->n, "seen_by_served", seen, "reason", text, "better", better);
}

json_t *compare_with_served(const struct compare *c, const struct schema_model *served, int64_t served_version) {
    struct bp_error error = {0};
    double value = NAN, factor, shift, own_std;
    bool higher = false;
    const char *metric;
    json_t *refused = targets_differ(c, c->training->preprocessing, served->training->preprocessing);
    if (!refused) refused = loss_of_mean(c, served, &metric, &own_std);
    if (!refused && metric == c->metric) refused = losses_differ(c, served->training, &factor, &shift);
    else factor = 1, shift = 0;
    if (refused) return refused;
    struct schema_view *view = schema_view_new(served->training->preprocessing, c->dataset, true, &error);
    if (!view) return compare_refused(c->metric, "the version that is served cannot predict this data: %.400s", error.message);
    if (!(refused = rows_differ(c, view))) {
        const int failed = measure(c, served, view, metric, &value, &higher, &error);
        if (failed)
            refused = compare_refused(c->metric, "the version that is served cannot be measured: %.400s", failed > 0 ? "stopped" : error.message);
    }
    schema_view_free(view);
    if (refused) return refused;
    if (own_std > 0) value = value / own_std * (value / own_std);
    const bool held_out = metric == c->metric && recorded(c, served, &value);
    return judged(c, value * factor + shift, higher, !held_out && seen_by(c, served), served_version);
}

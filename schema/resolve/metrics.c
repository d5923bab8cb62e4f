/* metrics.c - which metrics each output of a job's network is measured by, and what early stopping watches. */
#include "schema/resolve/resolution.h"

#include "schema/json/values.h"
#include "schema/text/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The metrics that suit an output. */
static unsigned kinds_of(const struct resolving *r, int32_t o) {
    if (resolving_multilabel(r, o)) return BP_METRIC_CLASSIFICATION | BP_METRIC_MULTILABEL;
    return resolving_first_target(r, o)->classification ? BP_METRIC_CLASSIFICATION : BP_METRIC_REGRESSION;
}

/* Adds to `to` what suits the output of `from`; everything that a list of an output's own names must suit. */
static void take_metrics(struct resolving *r, int32_t o, struct schema_named_output *to) {
    static const char *const for_classes[] = {"accuracy", NULL}, *const for_values[] = {"mae", "rmse", "r2", NULL},
                             *const for_labels[] = {"accuracy", "f1", "subset_accuracy", NULL};
    const struct schema_definition *d = r->training->definition;
    const unsigned kind = kinds_of(r, o);
    const char *const *usual = kind & BP_METRIC_MULTILABEL ? for_labels : kind == BP_METRIC_CLASSIFICATION ? for_classes : for_values;
    if (to->metrics_given) return;
    to->metrics_given = true;
    for (int32_t i = 0; d->metrics_given && i < d->metrics_count; i++)
        if (d->metrics[i]->kinds & kind) {
            memcpy(to->metric_numbers[to->metrics_count], d->metric_numbers[i], sizeof to->metric_numbers[0]);
            to->metrics[to->metrics_count++] = d->metrics[i];
        }
    for (; !d->metrics_given && *usual; usual++) to->metrics[to->metrics_count++] = (const struct bp_metric_ops *)bp_family_find(&bp_metrics, *usual);
}

/* Metrics that do not suit the task, or need probabilities where there are none. */
static void check_metrics(struct resolving *r, int32_t o, const struct schema_named_output *list, const char *where) {
    const bool classification = resolving_first_target(r, o)->classification;
    const bool scores = r->training->network && schema_training_scores(r->training, o);
    char place[RESOLVING_POINTER_MAX];
    for (int32_t i = 0; i < list->metrics_count; i++) {
        const struct bp_metric_ops *metric = list->metrics[i];
        schema_pointer_index(where, (size_t)i, place, sizeof place);
        if (metric->kinds == BP_METRIC_MULTILABEL && !resolving_multilabel(r, o))
            schema_problem_add(r->problems, place, "the metric \"%s\" is for several labels a row, but this output learns %s; use %s",
                               metric->entry.name, classification ? "one class a row" : "numbers", classification ? "accuracy" : "mae or r2");
        else if (!(metric->kinds & kinds_of(r, o)))
            schema_problem_add(r->problems, place, "the metric \"%s\" is for %s, but this job is a %s", metric->entry.name,
                               classification ? "regression" : "classification", classification ? "classification" : "regression");
        else if (scores && metric->probabilities)
            schema_problem_add(r->problems, place,
                               "the metric \"%s\" needs probabilities, but the output gives scores; use a loss such as cross_entropy",
                               metric->entry.name);
    }
}

/* A metric of the common list that suits no output is a mistake. */
static void check_common(struct resolving *r) {
    const struct schema_definition *d = r->training->definition;
    char place[RESOLVING_POINTER_MAX];
    for (int32_t i = 0; i < d->metrics_count; i++) {
        bool used = false;
        for (int32_t o = 0; o < r->outputs_count; o++) used = used || d->metrics[i]->kinds & kinds_of(r, o);
        snprintf(place, sizeof place, "%s/metrics/%d", r->request->definition_pointer, i);
        if (!used) schema_problem_add(r->problems, place, "the metric \"%s\" applies to none of the outputs", d->metrics[i]->entry.name);
    }
}

void resolving_metrics(struct resolving *r) {
    struct schema_definition *d = r->training->definition;
    char where[RESOLVING_POINTER_MAX], place[RESOLVING_POINTER_MAX];
    snprintf(where, sizeof where, "%s/metrics", r->request->definition_pointer);
    if (r->outputs_count == 1) {
        struct schema_named_output all = {.metrics_given = d->metrics_given, .metrics_count = d->metrics_count};
        memcpy(all.metrics, d->metrics, sizeof all.metrics);
        memcpy(all.metric_numbers, d->metric_numbers, sizeof all.metric_numbers);
        take_metrics(r, 0, &all);
        check_metrics(r, 0, &all, r->only_has_metrics ? schema_pointer(where, r->only_name, place, sizeof place) : where);
        d->metrics_given = true;
        d->metrics_count = all.metrics_count;
        memcpy(d->metrics, all.metrics, sizeof all.metrics);
        memcpy(d->metric_numbers, all.metric_numbers, sizeof all.metric_numbers);
        return;
    }
    check_common(r);
    for (int32_t o = 0; o < r->outputs_count; o++) {
        struct schema_named_output *named = schema_definition_named(d, r->outputs[o].name);
        take_metrics(r, o, named);
        check_metrics(r, o, named, schema_pointer(where, named->name, place, sizeof place));
        if (named->loss) continue;
        named->loss = d->loss;
        memcpy(named->loss_values, d->loss_values, sizeof named->loss_values);
    }
    d->loss = NULL;
    d->metrics_given = false;
    d->metrics_count = 0;
}

static int32_t find_name(char (*names)[BP_NAME_MAX], int32_t count, const char *name) {
    for (int32_t i = 0; i < count; i++)
        if (strcmp(names[i], name) == 0) return i;
    return -1;
}

static const char *name_at(const void *context, int32_t i) {
    return ((const char(*)[BP_NAME_MAX])context)[i];
}

/* What early stopping watches is none of the names: why, and what to watch instead. */
static void refuse_watched(struct resolving *r, char (*names)[BP_NAME_MAX], int32_t count, bool validation) {
    const struct schema_options *o = &r->training->options;
    char where[RESOLVING_POINTER_MAX], hint[120], alone[BP_NAME_MAX + 8];
    snprintf(where, sizeof where, "%s/early_stopping/metric", r->request->pointer);
    snprintf(alone, sizeof alone, "val_%s", o->stop_metric);
    if (find_name(names, count, alone) >= 0)
        schema_problem_add(r->problems, where, "\"%s\" is measured on the validation rows only; watch \"%s\"", o->stop_metric, alone);
    else if (!validation && strncmp(o->stop_metric, "val_", 4) == 0)
        schema_problem_add(r->problems, where, "\"%s\" needs validation rows, but %s; watch \"%s\", or let rows validate", o->stop_metric,
                           schema_options_validate(o) ? "no row can validate: each class has only one" : "validation.fraction is 0",
                           o->stop_metric + 4);
    else
        schema_problem_add(r->problems, where, "this job has no metric \"%s\"%s", o->stop_metric,
                           schema_did_you_mean(schema_nearest(o->stop_metric, name_at, names, count), hint, sizeof hint));
}

void resolving_stopping(struct resolving *r) {
    struct schema_options *o = &r->training->options;
    const bool validation = schema_options_validate(o) && r->validation_rows > 0;
    schema_options_settle(o, validation);
    if (!o->stop_early || !r->training->network) return;
    if (!o->stop_metric[0]) snprintf(o->stop_metric, sizeof o->stop_metric, "%s", validation ? "val_loss" : "loss");
    const struct bp_train_options options = schema_training_options(r->training);
    const int32_t most = bp_train_metrics_most(r->training->network, &options);
    char(*names)[BP_NAME_MAX] = calloc((size_t)most, sizeof *names);
    if (!names) {
        schema_problem_no_memory(r->problems);
        return;
    }
    const int32_t count = bp_train_metric_names(r->training->network, &options, validation, names, most);
    if (find_name(names, count, o->stop_metric) < 0) refuse_watched(r, names, count, validation);
    free(names);
}

/* training.c - resolving a job against its data.
 *
 * Order: which columns; the task and its labels; the split and the fitted preprocessing; the output layer and the loss; the plan of the
 * network; metrics and early stopping. Every step adds all its problems before the next one starts. */
#include "training.h"

#include "random.h"
#include "text.h"
#include "values.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum { POINTER_MAX = 512, CLASSES_MAX = 10000, INTEGER_CLASSES_MAX = 20, WARNINGS_MAX = 20 };

/* What is being resolved. */
struct resolving {
    struct schema_training *training;
    const struct schema_dataset *dataset;
    const struct schema_training_request *request;
    struct schema_problems *problems;
    int32_t target;
    int32_t *features;
    int32_t features_count;
    bool classification;
    char **labels; /* classification: sorted */
    int32_t labels_count;
};

__attribute__((format(printf, 2, 3))) static void warn(struct resolving *r, const char *format, ...) {
    char text[400];
    va_list arguments;
    if (json_array_size(r->training->warnings) >= WARNINGS_MAX) return;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    json_array_append_new(r->training->warnings, json_string(text));
}

static const char *place(const struct resolving *r, const char *name, char *out, size_t size) {
    return schema_pointer(r->request->pointer, name, out, size);
}

/* ---- columns ---------------------------------------------------------------------------------------------------------- */

static const char *column_at(const void *context, int32_t i) {
    return ((const struct schema_dataset *)context)->columns[i].name;
}

static int32_t find_column(struct resolving *r, const char *name, const char *pointer) {
    int32_t column = schema_dataset_find(r->dataset, name);
    if (column >= 0) return column;
    const char *nearest = schema_nearest(name, column_at, r->dataset, r->dataset->columns_count);
    char hint[200], list[300] = "";
    for (int32_t i = 0; i < r->dataset->columns_count && !nearest && strlen(list) < 200; i++) {
        size_t n = strlen(list);
        snprintf(list + n, sizeof list - n, "%s\"%.60s\"", i ? ", " : "; it has ", r->dataset->columns[i].name);
    }
    schema_problem_add(r->problems, pointer, "the dataset has no column \"%.80s\"%s%s", name, schema_did_you_mean(nearest, hint, sizeof hint), list);
    return -1;
}

/* A text column whose values hardly ever repeat tells rows apart, not classes. */
static bool looks_like_an_id(const struct schema_dataset *d, const struct schema_column *c) {
    return c->type == SCHEMA_CATEGORICAL && c->categories_count > 50 && (int64_t)c->categories_count * 2 > d->rows - c->missing;
}

static void choose_features(struct resolving *r) {
    char where[POINTER_MAX], deeper[POINTER_MAX], got[80];
    const json_t *list = r->request->features;
    place(r, "features", where, sizeof where);
    r->features = calloc((size_t)r->dataset->columns_count + json_array_size(list) + 1, sizeof *r->features);
    if (!r->features) return;
    if (!list) {
        for (int32_t i = 0; i < r->dataset->columns_count; i++) {
            const struct schema_column *c = &r->dataset->columns[i];
            if (i == r->target) continue;
            if (looks_like_an_id(r->dataset, c))
                warn(r, "column \"%s\" is left out: %d different texts in %lld rows look like an id; name it in features to use it", c->name,
                     c->categories_count, (long long)r->dataset->rows);
            else if (c->missing == r->dataset->rows) warn(r, "column \"%s\" is left out: it has no values", c->name);
            else r->features[r->features_count++] = i;
        }
        if (r->features_count == 0) schema_problem_add(r->problems, where, "the dataset has no column besides the target that can be a feature");
        return;
    }
    if (json_array_size(list) == 0)
        schema_problem_add(r->problems, where, "features must name at least one column; leave it out to use all other columns");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *name = json_string_value(json_array_get(list, i));
        schema_pointer_index(where, i, deeper, sizeof deeper);
        if (!name) {
            schema_problem_add(r->problems, deeper, "a feature is the name of a column, got %s",
                               schema_json_text(json_array_get(list, i), got, sizeof got));
            continue;
        }
        int32_t column = find_column(r, name, deeper);
        if (column < 0) continue;
        bool twice = false;
        for (int32_t k = 0; k < r->features_count; k++) twice = twice || r->features[k] == column;
        if (twice) schema_problem_add(r->problems, deeper, "column \"%.80s\" is listed twice", name);
        else if (column == r->target) schema_problem_add(r->problems, deeper, "column \"%.80s\" is the target: it cannot be a feature too", name);
        else r->features[r->features_count++] = column;
    }
}

/* ---- the task and its labels -------------------------------------------------------------------------------------------- */

static int compare_numbers(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static int compare_labels(const void *a, const void *b) {
    const char *x = *(char *const *)a, *y = *(char *const *)b;
    char *x_end, *y_end;
    double u = strtod(x, &x_end), v = strtod(y, &y_end);
    if (*x && *y && !*x_end && !*y_end && u != v) return u < v ? -1 : 1;
    return strcmp(x, y);
}

/* Distinct values of a numeric target as labels. */
static void numeric_labels(struct resolving *r) {
    const struct schema_dataset *d = r->dataset;
    double *values = malloc(((size_t)d->rows + 1) * sizeof *values);
    if (!values) return;
    int64_t n = 0, distinct = 0;
    schema_dataset_numbers(d, r->target, 0, d->rows, values);
    for (int64_t i = 0; i < d->rows; i++)
        if (!isnan(values[i])) values[n++] = values[i];
    qsort(values, (size_t)n, sizeof *values, compare_numbers);
    for (int64_t i = 0; i < n; i++)
        if (i == 0 || values[i] != values[distinct - 1]) values[distinct++] = values[i];
    if (distinct <= CLASSES_MAX && (r->labels = calloc((size_t)distinct + 1, sizeof *r->labels)))
        for (int64_t i = 0; i < distinct; i++) {
            char text[40];
            r->labels[r->labels_count++] = strdup(schema_number_text(values[i], text, sizeof text));
        }
    else r->labels_count = CLASSES_MAX + 1;
    free(values);
}

static void coded_labels(struct resolving *r) {
    const struct schema_column *c = &r->dataset->columns[r->target];
    if (c->categories_count > CLASSES_MAX) {
        r->labels_count = CLASSES_MAX + 1;
        return;
    }
    r->labels = calloc((size_t)c->categories_count + 1, sizeof *r->labels);
    for (int32_t i = 0; r->labels && i < c->categories_count; i++)
        if (c->categories[i].count > 0) r->labels[r->labels_count++] = strdup(c->categories[i].value);
}

static void choose_task(struct resolving *r) {
    char where[POINTER_MAX], target_place[POINTER_MAX];
    const struct schema_column *c = &r->dataset->columns[r->target];
    const char *task = r->request->task;
    place(r, "task", where, sizeof where);
    place(r, "target", target_place, sizeof target_place);
    if (c->type == SCHEMA_TENSOR) {
        schema_problem_add(r->problems, target_place, "column \"%.80s\" is a tensor: a target must be one number or one label a row", c->name);
        return;
    }
    if (c->missing == r->dataset->rows) {
        schema_problem_add(r->problems, target_place, "column \"%.80s\" has no values: nothing can be learnt from it", c->name);
        return;
    }
    bool text = c->type != SCHEMA_NUMERIC;
    if (task && strcmp(task, "classification") != 0 && strcmp(task, "regression") != 0) {
        schema_problem_add(r->problems, where, "task must be \"classification\" or \"regression\", got \"%.40s\"", task);
        return;
    }
    if (task) r->classification = strcmp(task, "classification") == 0;
    else r->classification = text || (c->integral && c->distinct_count <= INTEGER_CLASSES_MAX);
    if (!r->classification && text) {
        schema_problem_add(r->problems, where,
                           "column \"%.80s\" is %s: it cannot be regressed; its values are labels, so leave task out or say \"classification\"",
                           c->name, schema_type_name(c->type));
        return;
    }
    if (!task && !text && r->classification)
        warn(r, "target \"%s\" has %d different integers and is taken as classes; say \"task\":\"regression\" to predict it as a number", c->name,
             c->distinct_count);
    if (!r->classification) return;
    if (text) coded_labels(r);
    else numeric_labels(r);
    if (r->labels_count > CLASSES_MAX) {
        schema_problem_add(r->problems, target_place, "column \"%.80s\" has more than %d different values: too many classes%s", c->name, CLASSES_MAX,
                           text ? "" : "; say \"task\":\"regression\"");
        r->labels_count = 0;
    } else if (r->labels_count < 2) {
        schema_problem_add(r->problems, target_place, "column \"%.80s\" has only one value, \"%.60s\": a classification needs at least two classes",
                           c->name, r->labels_count ? r->labels[0] : "");
    }
    if (r->labels && r->labels_count > 1) qsort(r->labels, (size_t)r->labels_count, sizeof *r->labels, compare_labels);
}

/* ---- split and preprocessing ----------------------------------------------------------------------------------------------- */

int schema_training_split(const struct schema_training *t, const struct schema_view *view, struct schema_split *split, struct bp_error *error) {
    const struct schema_target *target = &view->preprocessing->target;
    int64_t n = 0, rows_count = view->dataset->rows;
    int64_t *rows = malloc(((size_t)rows_count + 1) * sizeof *rows);
    int32_t *classes = target->classification ? malloc(((size_t)rows_count + 1) * sizeof *classes) : NULL;
    int failed = -1;
    if (!rows || (target->classification && !classes)) {
        bp_error_set(error, "", "no memory to split %lld rows", (long long)rows_count);
    } else {
        for (int64_t i = 0; i < rows_count; i++) {
            double y = schema_view_target(view, i);
            if (isnan(y)) continue;
            if (classes) classes[n] = (int32_t)y;
            rows[n++] = i;
        }
        failed = schema_split_make(rows, n, classes, target->labels_count, t->options.validation_fraction, t->options.seed, split, error);
    }
    free(rows);
    free(classes);
    return failed;
}

/* The split needs classes, classes need labels, not yet scales: a view through a preprocessing that has only the target. */
static void fit(struct resolving *r) {
    struct bp_error error = {0};
    struct schema_preprocessing bare = {.target = {.name = r->dataset->columns[r->target].name,
                                                   .classification = r->classification,
                                                   .labels_count = r->labels_count,
                                                   .labels = r->labels,
                                                   .std = 1}};
    struct schema_split split = {0};
    struct schema_view *view = schema_view_new(&bare, r->dataset, true, &error);
    if (view && schema_training_split(r->training, view, &split, &error) == 0) {
        if (split.train_count < 1)
            bp_error_set(&error, "/dataset", "no rows are left to train on: %lld rows have a value in the target column",
                         (long long)(split.train_count + split.validation_count));
        else
            r->training->preprocessing = schema_preprocessing_fit(r->dataset, r->features, r->features_count, r->target, r->labels, r->labels_count,
                                                                  split.train, split.train_count, &error);
    }
    if (!r->training->preprocessing) {
        char where[POINTER_MAX];
        snprintf(where, sizeof where, "%s%s", r->request->pointer, error.pointer);
        schema_problem_add(r->problems, where, "%s", error.message);
    }
    const struct bp_loss_ops *loss = r->training->definition->loss;
    if (r->training->preprocessing && loss && loss->range == BP_RANGE_COUNTS) { /* counts are learnt as they are */
        r->training->preprocessing->target.mean = 0;
        r->training->preprocessing->target.std = 1;
    }
    int64_t missing = r->dataset->columns[r->target].missing;
    if (missing > 0)
        warn(r, "%lld of %lld rows have no value in \"%s\" and are left out", (long long)missing, (long long)r->dataset->rows, bare.target.name);
    schema_split_free(&split);
    schema_view_free(view);
}

/* ---- output layer and loss -------------------------------------------------------------------------------------------------- */

/* The activation of a layer that may be an output; NULL when the layer is of a kind that has none. */
static const char *activation_of(const struct bp_layer *layer) {
    const struct bp_entry *e = &layer->ops->entry;
    for (int32_t i = 0; i < e->params_count; i++)
        if (strcmp(e->params[i].name, "activation") == 0) return layer->values[i].entry ? layer->values[i].entry->name : "linear";
    return NULL;
}

static const struct bp_layer *output_layer(const struct schema_definition *d) {
    for (int32_t i = 0; d->output[0] && i < d->layers_count; i++)
        if (strcmp(d->layers[i].name, d->output) == 0) return &d->layers[i];
    return d->layers_count ? &d->layers[d->layers_count - 1] : NULL;
}

static bool is(const char *a, const char *b) {
    return a && strcmp(a, b) == 0;
}

/* Plans the definition as it stands, without a loss; NULL with a problem. */
static struct bp_network *plan(struct resolving *r, bool with_loss) {
    struct bp_graph graph =
        schema_definition_graph(r->training->definition, r->training->preprocessing->inputs, r->training->preprocessing->inputs_count);
    struct bp_error error = {0};
    struct bp_network *network = NULL;
    if (!with_loss) graph.outputs[0].loss = NULL;
    if (bp_network_plan(&graph, &network, &error) == 0) return network;
    char where[POINTER_MAX];
    snprintf(where, sizeof where, "%s%s", r->request->definition_pointer, error.pointer);
    schema_problem_add(r->problems, where, "%s", error.message);
    return NULL;
}

static void set_loss(struct schema_definition *d, const char *name) {
    if (d->loss) return;
    d->loss = (const struct bp_loss_ops *)bp_family_find(&bp_losses, name);
    bp_values_preset(&d->loss->entry, d->loss_values);
}

/* Regression: numbers that the output layer gives for the target. */
static int32_t outputs_of(const struct resolving *r) {
    const struct schema_definition *d = r->training->definition;
    return d->loss ? bp_loss_outputs_per_target(d->loss, d->loss_values) : 1;
}

static bool gives_scores(const struct resolving *r) {
    return r->training->definition->loss && r->training->definition->loss->scores;
}

/* Is the last layer the output, or a hidden layer whose output was left out? It is the output when it has the width the target needs and an
 * activation that can say it; a softmax is always meant as one. */
static bool has_output(struct resolving *r, int64_t width, const char *activation) {
    int32_t classes = r->labels_count;
    if (!r->classification) return width == outputs_of(r) && (is(activation, "linear") || r->training->definition->loss);
    if (is(activation, "softmax")) return true;
    if (classes == 2 && width == 1) return is(activation, "sigmoid") || is(activation, "linear") || gives_scores(r);
    return width == classes && (is(activation, "linear") || (is(activation, "sigmoid") && r->training->definition->loss));
}

/* Does the loss that the user chose suit the task at all? */
static void check_loss(struct resolving *r) {
    const struct bp_loss_ops *loss = r->training->definition->loss;
    const char *target = r->dataset->columns[r->target].name;
    char where[POINTER_MAX];
    if (!loss) return;
    snprintf(where, sizeof where, "%s/loss", r->request->definition_pointer);
    const bool for_counts = loss->range == BP_RANGE_COUNTS,
               for_classes = loss->target == BP_TARGET_CLASS || (loss->range != BP_RANGE_ANY && !for_counts);
    const bool for_values = for_counts || loss->outputs_per_target;
    if (!r->classification && for_classes)
        schema_problem_add(r->problems, where,
                           "the loss %s is for classes, but \"%.60s\" is regressed; use mse or mae, or say \"task\":\"classification\"",
                           loss->entry.name, target);
    else if (r->classification && is(loss->head, "sigmoid") && r->labels_count > 2)
        schema_problem_add(r->problems, where, "the loss %s is for two classes, but \"%.60s\" has %d; use cross_entropy, or leave loss out",
                           loss->entry.name, target, r->labels_count);
    else if (r->classification && for_values)
        schema_problem_add(r->problems, where,
                           "the loss %s is for numbers, but \"%.60s\" is a classification; use cross_entropy, leave loss out, or say "
                           "\"task\":\"regression\"",
                           loss->entry.name, target);
    else if (for_counts && r->dataset->columns[r->target].min < 0)
        schema_problem_add(r->problems, where, "the loss %s is for counts, but \"%.60s\" goes down to %.9g; use mse or mae", loss->entry.name, target,
                           r->dataset->columns[r->target].min);
}

static void complete_output(struct resolving *r) {
    struct schema_definition *d = r->training->definition;
    int32_t classes = r->labels_count;
    char where[POINTER_MAX];
    int64_t width = -1;
    int32_t rank = 1;
    if (d->layers_count > 0) {
        struct bp_network *network = plan(r, false);
        if (!network) return;
        width = bp_shape_size(&network->outputs[0].shape);
        rank = network->outputs[0].shape.rank;
        bp_network_free(network);
    } else if (r->training->preprocessing->inputs_count != 1 || r->training->preprocessing->inputs[0].shape.rank != 1) {
        schema_problem_add(r->problems, r->request->definition_pointer,
                           "a definition without layers is a linear model and takes only columns that are not tensors; add a flatten layer first");
        return;
    }
    const struct bp_layer *last = output_layer(d);
    const char *activation = last ? activation_of(last) : NULL;
    snprintf(where, sizeof where, "%s/layers/%d", r->request->definition_pointer, d->layers_count ? (int)(last - d->layers) : 0);
    if (last && !activation && width == (r->classification ? classes : outputs_of(r))) activation = "linear";
    if (last && has_output(r, width, activation)) {
        if (r->classification && is(activation, "softmax") && width != classes) {
            schema_problem_add(r->problems, where,
                               "the output layer gives %lld numbers, but \"%.60s\" has %d classes; set units to %d, or leave the output layer out",
                               (long long)width, r->dataset->columns[r->target].name, classes, classes);
            return;
        }
    } else {
        if (rank != 1) {
            schema_problem_add(r->problems, where,
                               "the last layer gives a tensor of rank %d; end with a flatten layer, or with the output layer itself", rank);
            return;
        }
        if (last && is(activation, "linear") && width != 1 && width != outputs_of(r))
            warn(r, "the last layer (%lld linear units) does not fit the target and is taken as hidden: an output layer was added", (long long)width);
        bool sigmoid = r->classification && classes == 2 && (!d->loss || is(d->loss->head, "sigmoid"));
        int32_t units = !r->classification ? outputs_of(r) : sigmoid ? 1 : classes;
        const char *kind = !r->classification || gives_scores(r) ? "linear" : sigmoid ? "sigmoid" : "softmax";
        if (schema_definition_append_dense(d, units, kind) != 0) schema_problem_add(r->problems, "", "out of memory");
        width = units;
        activation = kind;
    }
    if (!r->classification) set_loss(d, "mse");
    else set_loss(d, width == 1 ? "binary_cross_entropy" : "cross_entropy");
    if (r->classification && width == 1 && d->loss->target == BP_TARGET_VALUES && !d->loss->scores) {
        schema_problem_add(r->problems, r->request->definition_pointer,
                           "the loss %s over a single output does not suit classes; use binary_cross_entropy, or %d units with softmax",
                           d->loss->entry.name, classes);
    }
}

/* ---- metrics and early stopping ------------------------------------------------------------------------------------------------ */

static void choose_metrics(struct resolving *r) {
    struct schema_definition *d = r->training->definition;
    static const char *const for_classes[] = {"accuracy", NULL}, *const for_values[] = {"mae", "rmse", "r2", NULL};
    unsigned kind = r->classification ? BP_METRIC_CLASSIFICATION : BP_METRIC_REGRESSION;
    char where[POINTER_MAX];
    if (!d->metrics_given)
        for (const char *const *name = r->classification ? for_classes : for_values; *name; name++)
            d->metrics[d->metrics_count++] = (const struct bp_metric_ops *)bp_family_find(&bp_metrics, *name);
    d->metrics_given = true;
    for (int32_t i = 0; i < d->metrics_count; i++)
        if (!(d->metrics[i]->kinds & kind)) {
            snprintf(where, sizeof where, "%s/metrics/%d", r->request->definition_pointer, i);
            schema_problem_add(r->problems, where, "the metric \"%s\" is for %s, but this job is a %s", d->metrics[i]->entry.name,
                               r->classification ? "regression" : "classification", r->classification ? "classification" : "regression");
        }
}

/* Metrics of probabilities, where there are none. */
static void check_scores(struct resolving *r) {
    const struct schema_definition *d = r->training->definition;
    char where[POINTER_MAX];
    if (!schema_training_scores(r->training)) return;
    for (int32_t i = 0; i < d->metrics_count; i++)
        if (d->metrics[i]->probabilities) {
            snprintf(where, sizeof where, "%s/metrics/%d", r->request->definition_pointer, i);
            schema_problem_add(r->problems, where,
                               "the metric \"%s\" needs probabilities, but the output gives scores; use a loss such as cross_entropy",
                               d->metrics[i]->entry.name);
        }
}

static bool listed(const struct schema_definition *d, const struct bp_metric_ops *metric) {
    for (int32_t i = 0; i < d->metrics_count; i++)
        if (d->metrics[i] == metric) return true;
    return false;
}

static void check_stopping(struct resolving *r) {
    struct schema_options *o = &r->training->options;
    if (!o->stop_early) return;
    bool validation = o->validation_fraction > 0;
    if (!o->stop_metric[0]) snprintf(o->stop_metric, sizeof o->stop_metric, "%s", validation ? "val_loss" : "loss");
    const char *name = o->stop_metric, *names[2 * BP_METRICS_MAX + 3] = {0};
    char copies[2 * BP_METRICS_MAX + 2][BP_NAME_MAX + 8], where[POINTER_MAX], hint[120];
    int32_t count = 0;
    for (int32_t i = -1; i < r->training->definition->metrics_count; i++)
        for (int32_t v = i >= 0 && r->training->definition->metrics[i]->whole && validation; v <= validation; v++) {
            snprintf(copies[count], sizeof copies[0], "%s%s", v ? "val_" : "", i < 0 ? "loss" : r->training->definition->metrics[i]->entry.name);
            names[count] = copies[count];
            if (strcmp(names[count++], name) == 0) return;
        }
    snprintf(where, sizeof where, "%s/early_stopping/metric", r->request->pointer);
    const struct bp_metric_ops *metric = (const struct bp_metric_ops *)bp_family_find(&bp_metrics, name);
    if (validation && metric && metric->whole && listed(r->training->definition, metric))
        schema_problem_add(r->problems, where, "\"%s\" is measured over the validation rows alone; watch \"val_%s\"", name, name);
    else if (!validation && strncmp(name, "val_", 4) == 0)
        schema_problem_add(r->problems, where, "\"%s\" needs validation rows, but validation.fraction is 0", name);
    else
        schema_problem_add(r->problems, where, "this job has no metric \"%s\"%s", name,
                           schema_did_you_mean(schema_nearest_in(name, names), hint, sizeof hint));
}

/* ---- the whole -------------------------------------------------------------------------------------------------------------------- */

int schema_training_request_decode(const json_t *object, const char *pointer, struct schema_training_request *request,
                                   struct schema_problems *problems) {
    int64_t before = problems->total;
    char where[POINTER_MAX], got[80];
    const json_t *target = json_object_get(object, "target"), *task = json_object_get(object, "task"),
                 *features = json_object_get(object, "features");
    *request = (struct schema_training_request){.pointer = pointer, .definition_pointer = "/model"};
    if (!target) schema_problem_add(problems, pointer, "a job needs \"target\": the name of the column to predict");
    else if (!json_is_string(target))
        schema_problem_add(problems, schema_pointer(pointer, "target", where, sizeof where), "target must be the name of a column, got %s",
                           schema_json_text(target, got, sizeof got));
    if (task && !json_is_null(task) && !json_is_string(task))
        schema_problem_add(problems, schema_pointer(pointer, "task", where, sizeof where),
                           "task must be \"classification\" or \"regression\", got %s", schema_json_text(task, got, sizeof got));
    if (features && !json_is_null(features) && !json_is_array(features))
        schema_problem_add(problems, schema_pointer(pointer, "features", where, sizeof where), "features must be a list of column names, got %s",
                           schema_json_text(features, got, sizeof got));
    request->target = json_string_value(target);
    request->task = json_string_value(task);
    request->features = json_is_array(features) ? features : NULL;
    return problems->total == before ? 0 : -1;
}

static void resolve(struct resolving *r) {
    char where[POINTER_MAX];
    struct schema_options *o = &r->training->options;
    if (!o->seed_given) {
        uint32_t seed = 1;
        if (getrandom(&seed, sizeof seed, 0) != sizeof seed) seed = 1;
        o->seed = seed;
        o->seed_given = true;
    }
    r->target = find_column(r, r->request->target, place(r, "target", where, sizeof where));
    choose_features(r);
    if (r->target >= 0) choose_task(r);
    if (r->problems->total) return;
    check_loss(r);
    if (r->problems->total) return;
    fit(r);
    if (r->problems->total) return;
    complete_output(r);
    if (r->problems->total) return;
    r->training->network = plan(r, true);
    if (r->training->network && r->training->network->outputs[0].head_implied)
        warn(r, "the output layer is linear: its numbers are taken as logits and %s is applied to them", r->training->network->outputs[0].loss->head);
    choose_metrics(r);
    if (r->training->network) check_scores(r);
    check_stopping(r);
    if (r->training->network && !r->training->network->complete)
        schema_problem_add(r->problems, r->request->definition_pointer, "the shapes of this network are not all known");
}

struct schema_training *schema_training_resolve(struct schema_definition *definition, const struct schema_options *options,
                                                const struct schema_dataset *dataset, const struct schema_training_request *request,
                                                struct schema_problems *problems) {
    struct schema_training *t = calloc(1, sizeof *t);
    if (!t) {
        schema_definition_free(definition);
        schema_problem_add(problems, NULL, "out of memory");
        return NULL;
    }
    t->definition = definition;
    t->options = *options;
    t->warnings = json_array();
    struct resolving r = {.training = t, .dataset = dataset, .request = request, .problems = problems};
    resolve(&r);
    free(r.features);
    for (int32_t i = 0; r.labels && i < r.labels_count; i++) free(r.labels[i]);
    free(r.labels);
    if (problems->total == 0) return t;
    schema_training_free(t);
    return NULL;
}

void schema_training_free(struct schema_training *t) {
    if (!t) return;
    schema_definition_free(t->definition);
    schema_preprocessing_free(t->preprocessing);
    bp_network_free(t->network);
    json_decref(t->warnings);
    free(t);
}

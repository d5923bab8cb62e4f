/* output.c - the outputs of a job's network: which of them learns what, layers that were left out, losses. */
#include "schema/resolve/resolution.h"

#include "schema/json/values.h"
#include "schema/text/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is(const char *a, const char *b) {
    return a && strcmp(a, b) == 0;
}

/* ---- options of an output ---------------------------------------------------------------------------------------------- */

const struct resolving_target *resolving_first_target(const struct resolving *r, int32_t o) {
    return &r->targets[r->outputs[o].first];
}

static const char *column_name(const struct resolving *r, int32_t o) {
    return r->dataset->columns[resolving_first_target(r, o)->column].name;
}

/* Whether its target is a tensor with a class for each of its numbers. */
static bool by_position(const struct resolving *r, int32_t o) {
    const struct resolving_target *t = resolving_first_target(r, o);
    return t->classification && !t->multilabel && resolving_tensor(r->dataset, t->column);
}

/* Numbers of its targets in the network, one output a number. */
static int64_t target_width(const struct resolving *r, int32_t o) {
    const struct schema_column *c = &r->dataset->columns[resolving_first_target(r, o)->column];
    if (resolving_multilabel(r, o)) return resolving_labels_count(r, o);
    return resolving_tensor(r->dataset, resolving_first_target(r, o)->column) ? bp_shape_size(&c->shape) : r->outputs[o].count;
}

struct schema_named_output *resolving_named(const struct resolving *r, int32_t o) {
    struct schema_definition *d = r->training->definition;
    for (int32_t i = 0; i < d->named_count; i++)
        if (strcmp(d->named[i].name, r->outputs[o].name) == 0) return &d->named[i];
    return NULL;
}

static const struct bp_loss_ops *loss_of(const struct resolving *r, int32_t o, const struct bp_value **values) {
    const struct schema_named_output *named = resolving_named(r, o);
    *values = named && named->loss ? named->loss_values : r->training->definition->loss_values;
    return named && named->loss ? named->loss : r->training->definition->loss;
}

/* Regression: numbers that the output layer gives for its targets. */
static int64_t numbers_of(const struct resolving *r, int32_t o) {
    const struct bp_value *values;
    const struct bp_loss_ops *loss = loss_of(r, o, &values);
    return target_width(r, o) * (loss ? bp_loss_outputs_per_target(loss, values) : 1);
}

static void set_loss(struct resolving *r, int32_t o, const char *name) {
    const struct bp_value *values;
    struct schema_definition *d = r->training->definition;
    if (loss_of(r, o, &values)) return;
    const struct bp_loss_ops *loss = (const struct bp_loss_ops *)bp_family_find(&bp_losses, name);
    struct schema_named_output *named = r->outputs_count > 1 ? schema_definition_named(d, r->outputs[o].name) : NULL;
    bp_values_preset(&loss->entry, named ? named->loss_values : d->loss_values);
    if (named) named->loss = loss;
    else d->loss = loss;
}

/* Whether the loss takes each output for the probability of a yes of its own. */
static bool of_each(const struct bp_loss_ops *loss) {
    return loss->head && loss->head->probabilities == BP_PROBABILITIES_EACH;
}

/* The JSON pointer of the loss of an output. */
static const char *loss_place(const struct resolving *r, int32_t o, char *out, size_t size) {
    char map[RESOLVING_POINTER_MAX];
    const struct schema_named_output *named = resolving_named(r, o);
    snprintf(map, sizeof map, "%s/loss", r->request->definition_pointer);
    if (named && named->loss) return schema_pointer(map, named->name, out, size);
    if (r->only_has_loss) return schema_pointer(map, r->only_name, out, size);
    snprintf(out, size, "%s", map);
    return out;
}

/* Whether its targets are shares of the loss, which learns them as they are. */
static bool learns_shares(const struct resolving *r, int32_t o, const struct bp_loss_ops *loss) {
    return !resolving_first_target(r, o)->classification && !resolving_multilabel(r, o) && resolving_takes_shares(loss) &&
           (of_each(loss) || target_width(r, o) > 1);
}

/* What the loss makes of the targets: labels and shares are not scaled, counts are not shifted. */
static void choose_form(struct resolving *r, int32_t o) {
    const struct resolving_output *output = &r->outputs[o];
    const struct bp_value *values;
    if (resolving_first_target(r, o)->multilabel) set_loss(r, o, "binary_cross_entropy");
    const struct bp_loss_ops *loss = loss_of(r, o, &values);
    if (!loss) return;
    resolving_vector_of_labels(r, o, loss);
    const bool labels = resolving_multilabel(r, o), shares = learns_shares(r, o, loss);
    const bool counts = bp_range_from_zero(loss->range) && !resolving_first_target(r, o)->classification;
    for (int32_t k = output->first; k < output->first + output->count; k++) {
        struct schema_target *target = &r->training->preprocessing->targets[k];
        target->shares = labels || shares;
        if (counts) target->counts_mean = target->channels_count ? 0 : target->mean;
        if (shares || counts) schema_target_rescale(target, 0, 1);
    }
}

/* Numbers that a loss of amounts cannot learn: negative ones, or also 0. The first row that has one is named, in the dataset that validates too. */
static bool check_column(struct resolving *r, const struct schema_dataset *dataset, int32_t column, const struct bp_loss_ops *loss,
                         const char *where) {
    const struct schema_column *c = &dataset->columns[column];
    const bool positive = loss->range == BP_RANGE_POSITIVE;
    char row_text[48] = "";
    if (!(c->min < 0 || (positive && c->min <= 0))) return true;
    for (int64_t row = 0; row < dataset->rows && !resolving_tensor(dataset, column) && !row_text[0]; row++)
        if (schema_dataset_number(dataset, column, row) == c->min)
            snprintf(row_text, sizeof row_text, " in row %lld", (long long)row + 1); /* counted from 1 */
    schema_problem_add(r->problems, where, "the loss %s is for %s, but the minimum of \"%.60s\"%s is %.9g%s; use mse or mae", loss->entry.name,
                       positive ? "positive numbers" : "numbers that are not negative", c->name,
                       dataset == r->request->validation ? " in the validation dataset" : "", c->min, row_text);
    return false;
}

static void check_amounts(struct resolving *r, int32_t column, const struct bp_loss_ops *loss, const char *where) {
    const struct schema_dataset *validation = r->request->validation;
    char place[RESOLVING_POINTER_MAX];
    if (!check_column(r, r->dataset, column, loss, where) || !validation) return;
    const int32_t there = schema_dataset_find(validation, r->dataset->columns[column].name);
    if (there >= 0 && resolving_tensor(validation, there) == resolving_tensor(r->dataset, column))
        check_column(r, validation, there, loss, resolving_validation_place(r, "dataset", place, sizeof place));
}

/* Texts have an order too, but rarely the one that is meant. */
static void warn_order(struct resolving *r, int32_t o, const struct bp_loss_ops *loss) {
    const struct resolving_target *t = resolving_first_target(r, o);
    char order[300] = "", *end;
    bool numbers = true;
    for (int32_t i = 0; i < t->labels_count; i++) {
        const size_t n = strlen(order);
        (void)strtod(t->labels[i], &end);
        numbers = numbers && *end == '\0';
        if (n + 60 < sizeof order) snprintf(order + n, sizeof order - n, "%s\"%.40s\"", i ? " < " : "", t->labels[i]);
    }
    if (!numbers)
        resolving_warn(r, "the loss %s takes the classes of \"%.60s\" in the order of their texts: %s; if that is not meant, number them",
                       loss->entry.name, column_name(r, o), order);
}

/* Does the loss that the user chose suit the task at all? */
static void check_loss(struct resolving *r, int32_t o) {
    const struct bp_value *values;
    const struct bp_loss_ops *loss = loss_of(r, o, &values);
    const struct resolving_target *t = resolving_first_target(r, o);
    const char *target = column_name(r, o);
    char where[RESOLVING_POINTER_MAX];
    if (!loss) return;
    loss_place(r, o, where, sizeof where);
    const bool for_counts = bp_range_from_zero(loss->range),
               for_classes = loss->target == BP_TARGET_CLASS || (loss->range != BP_RANGE_ANY && !for_counts);
    const bool for_values = for_counts || loss->outputs_per_target;
    if (resolving_multilabel(r, o)) {
        resolving_check_labels(r, o, loss, where);
        return;
    }
    if (learns_shares(r, o, loss)) {
        resolving_check_shares(r, o, loss, where);
        return;
    }
    if (!t->classification && for_classes)
        schema_problem_add(r->problems, where,
                           "the loss %s is for classes, but \"%.60s\" is a regression; use mse or mae, or use \"task\":\"classification\"",
                           loss->entry.name, target);
    else if (t->classification && of_each(loss) && t->labels_count > 2)
        schema_problem_add(r->problems, where, "the loss %s is for two classes, but \"%.60s\" has %d; use cross_entropy, or leave loss out",
                           loss->entry.name, target, t->labels_count);
    else if (by_position(r, o) && loss->target != BP_TARGET_CLASS)
        schema_problem_add(
            r->problems, where,
            "the loss %s does not apply to \"%.60s\", which has a class for each position; use cross_entropy or focal, or leave loss out",
            loss->entry.name, target);
    else if (t->classification && for_values)
        schema_problem_add(
            r->problems, where,
            "the loss %s is for numbers, but \"%.60s\" is a classification; use cross_entropy, leave loss out, or use \"task\":\"regression\"",
            loss->entry.name, target);
    else if (loss->ordered && t->labels_count > 2) warn_order(r, o, loss);
    for (int32_t k = r->outputs[o].first; for_counts && !t->classification && k < r->outputs[o].first + r->outputs[o].count; k++)
        check_amounts(r, r->targets[k].column, loss, where);
}

/* ---- the planned network ----------------------------------------------------------------------------------------------- */

struct bp_network *resolving_plan(struct resolving *r, bool with_loss) {
    struct bp_graph graph = schema_training_graph(r->training->definition, r->training->preprocessing, NULL);
    struct bp_error error = {0};
    struct bp_network *network = NULL;
    graph.any_readers = !with_loss; /* the outputs are not known yet */
    for (int32_t o = 0; o < graph.outputs_count && !with_loss; o++) graph.outputs[o].loss = NULL;
    if (bp_network_plan(&graph, &network, &error) == 0) return network;
    char where[RESOLVING_POINTER_MAX];
    snprintf(where, sizeof where, "%s%s", r->request->definition_pointer, error.pointer);
    schema_problem_error(r->problems, where, &error);
    return NULL;
}

static int32_t find_layer(const struct schema_definition *d, const char *name) {
    for (int32_t i = 0; name[0] && i < d->layers_count; i++)
        if (strcmp(d->layers[i].name, name) == 0) return i;
    return -1;
}

static const struct bp_activation_ops *linear(void) {
    return (const struct bp_activation_ops *)bp_family_find(&bp_activations, "linear");
}

/* The activation of a layer that may be an output; NULL when the layer is of a kind that has none. */
static const struct bp_activation_ops *activation_of(const struct bp_layer *layer) {
    const struct bp_entry *e = &layer->ops->entry;
    for (int32_t i = 0; i < e->params_count; i++) {
        const struct bp_entry *chosen = layer->values[i].entry;
        if (e->params[i].family == &bp_activations) return chosen ? (const struct bp_activation_ops *)chosen : linear();
    }
    return NULL;
}

/* ---- which output learns what ------------------------------------------------------------------------------------------------ */

static bool all_numbers(const struct resolving *r, int32_t first, int32_t count) {
    for (int32_t k = first; k < first + count; k++)
        if (r->targets[k].classification || resolving_tensor(r->dataset, r->targets[k].column)) return false;
    return true;
}

/* The loss of the only output, wherever the definition says it. */
static const struct bp_loss_ops *only_loss(const struct resolving *r) {
    const struct schema_definition *d = r->training->definition;
    return !d->loss && d->named_count == 1 ? d->named[0].loss : d->loss;
}

/* The targets of a list are the labels of a row, which the only output learns. */
static bool labels_together(const struct resolving *r) {
    const struct schema_definition *d = r->training->definition;
    for (int32_t k = 0; k < r->targets_count; k++)
        if (find_layer(d, r->dataset->columns[r->targets[k].column].name) >= 0) return false;
    return d->outputs_count <= 1 && d->named_count <= 1 && resolving_labels_together(r, 0, r->targets_count, only_loss(r));
}

/* The columns of an output that is named are. */
static bool labels_of_output(const struct resolving *r, int32_t o) {
    const struct bp_value *values;
    const struct bp_loss_ops *loss = r->outputs_count == 1 ? only_loss(r) : loss_of(r, o, &values);
    return resolving_labels_together(r, r->outputs[o].first, r->outputs[o].count, loss);
}

/* A list of numbers that the definition's one output is as wide as: one output learns all of them. */
static bool side_by_side(struct resolving *r) {
    const struct schema_definition *d = r->training->definition;
    if (d->outputs_count > 1 || d->named_count > 1 || d->layers_count == 0 || !all_numbers(r, 0, r->targets_count)) return false;
    for (int32_t k = 0; k < r->targets_count; k++)
        if (find_layer(d, r->dataset->columns[r->targets[k].column].name) >= 0) return false;
    const struct bp_activation_ops *activation = activation_of(&d->layers[d->layers_count - 1]);
    const bool mapped = !d->loss && d->named_count == 1;
    const struct bp_loss_ops *loss = mapped ? d->named[0].loss : d->loss;
    const struct bp_value *values = mapped ? d->named[0].loss_values : d->loss_values;
    if (resolving_takes_shares(loss)) return true;
    if (!activation || (!activation->identity && !loss)) return false;
    struct bp_network *network = resolving_plan(r, false);
    if (!network) return false;
    const int64_t width = bp_shape_size(&network->outputs[0].shape), each = loss ? bp_loss_outputs_per_target(loss, values) : 1;
    bp_network_free(network);
    return width == r->targets_count * each;
}

/* An output a target, named by the definition, or by the column. */
static void one_each(struct resolving *r) {
    const struct schema_definition *d = r->training->definition;
    char where[RESOLVING_POINTER_MAX];
    resolving_place(r, "target", where, sizeof where);
    if (r->targets_count > BP_OUTPUTS_MAX) {
        schema_problem_add(r->problems, where,
                           "%d targets need an output each unless one linear output layer of %d units learns them together; at most "
                           "%d are allowed",
                           r->targets_count, r->targets_count, BP_OUTPUTS_MAX);
        return;
    }
    if (d->outputs_count > 1 && d->outputs_count != r->targets_count) {
        schema_problem_add(r->problems, where, "the definition has %d outputs, but there are %d targets", d->outputs_count, r->targets_count);
        return;
    }
    for (int32_t k = 0; k < r->targets_count; k++) {
        const char *column = r->dataset->columns[r->targets[k].column].name, *name = d->outputs_count > 1 ? d->outputs[k] : column;
        struct resolving_output *output = &r->outputs[r->outputs_count++];
        *output = (struct resolving_output){.first = k, .count = 1};
        if (strlen(name) >= BP_NAME_MAX - 8 || strchr(name, '/')) snprintf(output->name, sizeof output->name, "output_%d", k + 1);
        else snprintf(output->name, sizeof output->name, "%s", name);
        for (int32_t i = 0; d->outputs_count <= 1 && i < r->training->preprocessing->inputs_count; i++)
            if (strcmp(r->training->preprocessing->inputs[i].name, output->name) == 0) /* layers and inputs share their names */
                snprintf(output->name, sizeof output->name, "%.48s_output", column);
    }
}

/* What the only output may be called in maps by output: its layer, what `outputs` declares, or the column that it learns. */
static bool is_only_output(const struct resolving *r, const char *name) {
    const struct schema_definition *d = r->training->definition;
    if (d->outputs_count == 1 && is(name, d->outputs[0])) return true;
    if (d->outputs_count == 0 && d->layers_count > 0 && is(name, d->layers[d->layers_count - 1].name)) return true;
    for (int32_t k = 0; k < r->targets_count; k++)
        if (is(name, r->dataset->columns[r->targets[k].column].name)) return true;
    return false;
}

static void name_only_output(struct resolving *r) {
    const struct schema_definition *d = r->training->definition;
    if (d->named_count == 0) return;
    for (int32_t i = 0; i < d->named_count; i++) {
        if (!is_only_output(r, d->named[i].name)) continue;
        snprintf(r->outputs[0].name, BP_NAME_MAX, "%s", d->named[i].name);
        return;
    }
    snprintf(r->outputs[0].name, BP_NAME_MAX, "%s", d->named_count == 1 ? d->named[0].name : column_name(r, 0));
    if (d->named_count == 1)
        resolving_warn(r, "no output is named \"%.60s\": its options apply to the only output, which learns \"%.60s\"", d->named[0].name,
                       column_name(r, 0));
}

static const char *output_at(const void *context, int32_t o) {
    return ((const struct resolving *)context)->outputs[o].name;
}

/* Maps by output name outputs that there are. */
static void check_names(struct resolving *r) {
    const struct schema_definition *d = r->training->definition;
    char where[RESOLVING_POINTER_MAX], map[RESOLVING_POINTER_MAX], hint[200];
    for (int32_t i = 0; i < d->named_count; i++) {
        const struct schema_named_output *named = &d->named[i];
        bool known = false;
        for (int32_t o = 0; o < r->outputs_count; o++) known = known || is(named->name, r->outputs[o].name);
        if (known) continue;
        char list[300] = "";
        const char *nearest = schema_nearest(named->name, output_at, r, r->outputs_count);
        for (int32_t o = 0; o < r->outputs_count && !nearest; o++) {
            const size_t n = strlen(list);
            snprintf(list + n, sizeof list - n, "%s\"%.60s\"", o ? ", " : "; the outputs are ", r->outputs[o].name);
        }
        const char *member = named->loss ? "loss" : named->metrics_given ? "metrics" : "loss_weights";
        snprintf(map, sizeof map, "%s/%s", r->request->definition_pointer, member);
        schema_problem_add(r->problems, schema_pointer(map, named->name, where, sizeof where), "%s names \"%.60s\", but no output has that name%s%s",
                           member, named->name, schema_did_you_mean(nearest, hint, sizeof hint), list);
    }
}

/* Every output that the definition declares learns something. */
static void check_declared(struct resolving *r) {
    const struct schema_definition *d = r->training->definition;
    char where[RESOLVING_POINTER_MAX];
    if (d->outputs_count < 2 && !(r->by_layer && d->outputs_count > 0)) return; /* one of another name is where an output layer is added */
    for (int32_t i = 0; i < d->outputs_count; i++) {
        bool learns = false;
        for (int32_t o = 0; o < r->outputs_count; o++) learns = learns || is(d->outputs[i], r->outputs[o].name);
        if (learns || d->outputs_count == 1) continue;
        snprintf(where, sizeof where, "%s/outputs/%d", r->request->definition_pointer, i);
        schema_problem_add(r->problems, where,
                           "the output \"%.60s\" has no target: the job names %d target%s for %d outputs; name the column that it learns, like "
                           "\"target\":{\"%.60s\":\"%.60s\"}, or take it out of outputs",
                           d->outputs[i], r->targets_count, r->targets_count == 1 ? "" : "s", d->outputs_count, d->outputs[i], column_name(r, 0));
    }
}

/* As predictions call a target: by its output, and by its column where an output learns several. */
static const char *shown_name(const struct resolving *r, int32_t o, int32_t k) {
    return r->outputs[o].count > 1 ? r->dataset->columns[r->targets[k].column].name : r->outputs[o].name;
}

/* No two of them are called alike. */
static void check_shown_names(struct resolving *r) {
    for (int32_t o = 1; o < r->outputs_count; o++)
        for (int32_t k = r->outputs[o].first; k < r->outputs[o].first + r->outputs[o].count; k++)
            for (int32_t b = 0; b < o; b++)
                for (int32_t j = r->outputs[b].first; j < r->outputs[b].first + r->outputs[b].count; j++)
                    if (is(shown_name(r, o, k), shown_name(r, b, j)))
                        schema_problem_add(r->problems, r->targets[k].pointer,
                                           "two targets would both be named \"%.60s\" in predictions: an output is named by its layer, and by its "
                                           "columns if it learns several; rename one of the output layers",
                                           shown_name(r, o, k));
}

/* Moves the options of the only output from maps by output to where a definition of one output has them: later steps read them there. */
static void move_only_named(struct resolving *r) {
    struct schema_definition *d = r->training->definition;
    if (r->outputs_count != 1 || d->named_count != 1) return;
    const struct schema_named_output *named = &d->named[0];
    snprintf(r->only_name, sizeof r->only_name, "%s", named->name);
    if (named->loss) {
        r->only_has_loss = true;
        d->loss = named->loss;
        memcpy(d->loss_values, named->loss_values, sizeof d->loss_values);
    }
    if (named->metrics_given) {
        r->only_has_metrics = true;
        d->metrics_given = true;
        d->metrics_count = named->metrics_count;
        memcpy(d->metrics, named->metrics, sizeof d->metrics);
        memcpy(d->metric_numbers, named->metric_numbers, sizeof d->metric_numbers);
    }
    if (named->weight > 0)
        resolving_warn(r, "loss_weights has no effect: it weights the losses of several outputs, but \"%.60s\" is the only one", named->name);
    d->named_count = 0;
    if (!r->by_layer) r->outputs[0].name[0] = '\0'; /* no other use: an added output layer gets no name from it */
}

void resolving_outputs(struct resolving *r) {
    struct schema_preprocessing *p = r->training->preprocessing;
    if (!r->by_layer && (r->targets_count == 1 || labels_together(r) || side_by_side(r))) {
        r->outputs_count = 1;
        r->outputs[0] = (struct resolving_output){.count = r->targets_count};
        name_only_output(r);
    } else if (!r->by_layer) {
        one_each(r);
    }
    for (int32_t o = 0; o < r->outputs_count; o++)
        if (r->outputs[o].count > 1 && !all_numbers(r, r->outputs[o].first, r->outputs[o].count) &&
            !(r->by_layer ? labels_of_output(r, o) : labels_together(r)))
            schema_problem_add(r->problems, r->targets[r->outputs[o].first].pointer,
                               "one output learns several columns only when all are numbers, or when all are false or true with the loss "
                               "binary_cross_entropy for it; give each class or tensor its own output");
    check_names(r);
    check_declared(r);
    check_shown_names(r);
    move_only_named(r);
    p->outputs_count = r->outputs_count;
    for (int32_t o = 0; o < r->outputs_count; o++) {
        p->outputs[o] = (struct schema_output){.first = r->outputs[o].first, .count = r->outputs[o].count};
        snprintf(p->outputs[o].name, BP_NAME_MAX, "%s", r->outputs[o].name);
        choose_form(r, o);
        check_loss(r, o);
    }
    resolving_check_label_names(r);
    if (schema_targets_units(p) != 0) schema_problem_no_memory(r->problems);
}

/* ---- output layers that were left out ------------------------------------------------------------------------------------------ */

/* Is the layer the output, or a hidden layer whose output was left out? It is the output when it has the width the target needs and an
 * activation that gives one; a softmax is always an output. */
static bool is_output(const struct resolving *r, int32_t o, int64_t width, const struct bp_activation_ops *activation) {
    const struct bp_value *values;
    const struct bp_loss_ops *loss = loss_of(r, o, &values);
    const struct resolving_target *t = resolving_first_target(r, o);
    const bool shares = r->training->preprocessing->targets[r->outputs[o].first].shares;
    const bool plain = activation && activation->identity;
    const enum bp_probabilities gives = activation ? activation->probabilities : BP_PROBABILITIES_NONE;
    if (shares) return width == numbers_of(r, o) && (plain || (activation && activation == loss->head));
    if (!t->classification) return width == numbers_of(r, o) && (plain || loss || target_width(r, o) > 1);
    if (gives == BP_PROBABILITIES_SHARED) return true;
    if (t->labels_count == 2 && width == 1) return gives == BP_PROBABILITIES_EACH || plain || (loss && loss->scores);
    return width == t->labels_count && (plain || (gives == BP_PROBABILITIES_EACH && loss));
}

/* The layer that an output has or would have been added to, as planned. */
struct candidate {
    int32_t layer; /* index in the definition, -1: none */
    int64_t width;
    struct bp_shape shape;
    char name[BP_NAME_MAX];
    bool members; /* each of them gets an output layer of its own */
};

static void append_output(struct resolving *r, int32_t o, const struct candidate *last) {
    const struct bp_value *values;
    const struct bp_loss_ops *loss = loss_of(r, o, &values);
    const struct resolving_target *t = resolving_first_target(r, o);
    struct schema_definition *d = r->training->definition;
    const bool sigmoid = t->classification && t->labels_count == 2 && !resolving_multilabel(r, o) && (!loss || of_each(loss));
    const int64_t units = !t->classification || resolving_multilabel(r, o) ? numbers_of(r, o) : sigmoid ? 1 : t->labels_count;
    const bool shares = r->training->preprocessing->targets[r->outputs[o].first].shares;
    const char *kind = shares                                                  ? loss->head->entry.name
                       : !t->classification || (loss && loss->scores)          ? "linear"
                       : sigmoid                                               ? "sigmoid"
                       : loss && loss->target == BP_TARGET_CLASS && loss->head ? loss->head->entry.name
                                                                               : "softmax";
    const bool several = r->outputs_count > 1 || r->by_layer;
    if (last->layer >= 0 && last->shape.rank != 1 && !by_position(r, o)) {
        char where[RESOLVING_POINTER_MAX];
        snprintf(where, sizeof where, "%s/layers/%d", r->request->definition_pointer, last->layer);
        char shape[64];
        schema_problem_add(r->problems, where,
                           "layer \"%s\", the last layer, gives the shape %s, but the output layer for \"%.60s\" reads a list of numbers; add a "
                           "flatten or a pooling layer after it, or define the output layer",
                           last->name, bp_shape_text(&last->shape, shape, sizeof shape), column_name(r, o));
        return;
    }
    if (units > 65536) {
        schema_problem_add(r->problems, r->request->definition_pointer, "the target has %lld numbers: define the output layer yourself",
                           (long long)units);
        return;
    }
    const char *input = several ? last->name : d->outputs_count > 0 ? d->outputs[0] : "";
    const char *type = last->members ? "ensemble_dense" : "dense";
    if (schema_definition_append(d, type, (int32_t)units, kind, several ? r->outputs[o].name : "", input) != 0) schema_problem_no_memory(r->problems);
    if (!several) d->outputs_count = 0;
    set_loss(r, o, !t->classification ? "mse" : units == 1 ? "binary_cross_entropy" : "cross_entropy");
}

/* Classes by position need an output with the same positions, and their scores along its last axis, which is `width` then; a class for a row needs
 * one axis. */
static bool check_positions(struct resolving *r, int32_t o, struct candidate *last, const char *where) {
    const struct resolving_target *t = resolving_first_target(r, o);
    const struct bp_shape *positions = &r->dataset->columns[t->column].shape, *shape = &last->shape;
    char got[64], want[64];
    if (!t->classification || resolving_multilabel(r, o) || last->layer < 0) return true;
    if (!by_position(r, o)) {
        const int32_t along = shape->rank > 1 ? shape->dims[shape->rank - 1] : 0;
        if (shape->rank <= 1 || last->width == along || (last->width != t->labels_count && along != t->labels_count)) return true;
        schema_problem_add(r->problems, where,
                           "layer \"%s\" gives %s, but \"%.60s\" has one class per row; put a flatten or a pooling layer before it", last->name,
                           bp_shape_text(shape, got, sizeof got), column_name(r, o));
        return false;
    }
    bool same = shape->rank == positions->rank + 1;
    for (int32_t i = 0; same && i < positions->rank; i++) same = shape->dims[i] == positions->dims[i];
    if (!same) {
        schema_problem_add(r->problems, where,
                           "layer \"%s\" gives %s, but each of the %s positions of \"%.60s\" has a class: the last layer must keep the positions and "
                           "add an axis for the classes (as a recurrent layer with return_sequences does, or a convolution with padding same)",
                           last->name, bp_shape_text(shape, got, sizeof got), bp_shape_text(positions, want, sizeof want), column_name(r, o));
        return false;
    }
    last->width = shape->dims[shape->rank - 1];
    return true;
}

static void complete_output(struct resolving *r, int32_t o, struct candidate *last) {
    struct schema_definition *d = r->training->definition;
    const struct resolving_target *t = resolving_first_target(r, o);
    const struct bp_layer *layer = last->layer >= 0 ? &d->layers[last->layer] : NULL;
    const struct bp_activation_ops *activation = layer ? activation_of(layer) : NULL;
    char where[RESOLVING_POINTER_MAX];
    snprintf(where, sizeof where, "%s/layers/%d", r->request->definition_pointer, last->layer < 0 ? 0 : last->layer);
    if (!check_positions(r, o, last, where)) return;
    const bool chosen = find_layer(d, r->outputs[o].name) >= 0 || d->outputs_count > 1; /* the user declares this layer as the output */
    const bool multilabel = resolving_multilabel(r, o);
    const int64_t expected = t->classification && !multilabel ? t->labels_count : numbers_of(r, o);
    if (layer && !activation && last->width == expected) activation = linear();
    const bool several = r->outputs_count > 1; /* then an output is a layer of its name, or one that is added */
    if (!layer || (several && !chosen) || !is_output(r, o, last->width, activation)) {
        if (layer && chosen)
            schema_problem_add(r->problems, where, "the output layer \"%s\" gives %lld numbers%s%s, but \"%.60s\" needs %lld%s", last->name,
                               (long long)last->width, activation ? " through " : "", activation ? activation->entry.name : "", column_name(r, o),
                               (long long)expected,
                               multilabel          ? ", a unit for each label, and sigmoid"
                               : t->classification ? " and softmax (or 1 and sigmoid for two classes)"
                                                   : " and a linear layer");
        else {
            if (layer && activation)
                resolving_warn(r, "layer \"%s\" (%lld units, %s) is treated as a hidden layer: an output layer was added after it for \"%.60s\"",
                               last->name, (long long)last->width, activation->entry.name, column_name(r, o));
            append_output(r, o, last);
        }
        return;
    }
    if (multilabel) return;
    if (t->classification && activation && activation->probabilities == BP_PROBABILITIES_SHARED && last->width != t->labels_count) {
        schema_problem_add(r->problems, where,
                           "the output layer gives %lld numbers, but \"%.60s\" has %d classes; set units to %d, or leave the output layer out",
                           (long long)last->width, column_name(r, o), t->labels_count, t->labels_count);
        return;
    }
    set_loss(r, o, !t->classification ? "mse" : last->width == 1 ? "binary_cross_entropy" : "cross_entropy");
    const struct bp_value *values;
    const struct bp_loss_ops *loss = loss_of(r, o, &values);
    if (t->classification && last->width == 1 && loss->target == BP_TARGET_VALUES && !loss->scores)
        schema_problem_add(r->problems, r->request->definition_pointer,
                           "the loss %s over a single output does not apply to classes; use binary_cross_entropy, or %d units with softmax",
                           loss->entry.name, t->labels_count);
}

/* The layer of that name (the last one when there is none of it), with its shape. 0, or -1 with a problem. */
static int find_candidate(struct resolving *r, const char *name, struct candidate *found) {
    struct schema_definition *d = r->training->definition, as_is = *d;
    *found = (struct candidate){.layer = find_layer(d, name)};
    if (found->layer < 0) found->layer = find_layer(d, d->outputs_count == 1 ? d->outputs[0] : "");
    if (found->layer < 0) found->layer = d->layers_count - 1;
    /* Planned with that layer as the only output, in the order of definition: what follows it does not matter. */
    struct bp_layer *layers = d->layers;
    struct bp_graph graph = schema_definition_graph(&as_is, r->training->preprocessing->inputs, r->training->preprocessing->inputs_count);
    graph.outputs_count = 1;
    graph.outputs[0].loss = NULL;
    graph.outputs[0].name[0] = '\0';
    graph.any_readers = true;
    graph.layers = layers;
    struct bp_error error = {0};
    struct bp_network *network = NULL;
    if (bp_network_plan(&graph, &network, &error) != 0) {
        char where[RESOLVING_POINTER_MAX];
        snprintf(where, sizeof where, "%s%s", r->request->definition_pointer, error.pointer);
        schema_problem_error(r->problems, where, &error);
        return -1;
    }
    for (int32_t i = network->inputs_count; i < network->nodes_count; i++)
        if (network->layer_of[i] == found->layer) {
            found->shape = bp_node_prediction(&network->nodes[i]);
            found->width = bp_shape_size(&found->shape);
            found->members = network->nodes[i].members > 0;
            snprintf(found->name, sizeof found->name, "%s", network->nodes[i].name);
        }
    bp_network_free(network);
    return 0;
}

/* The request names the only output, and the layer that is it has no name: it gets that one. */
static bool names_only_layer(struct resolving *r, struct candidate *last) {
    struct bp_layer *layer = &r->training->definition->layers[last->layer];
    const struct resolving_target *t = resolving_first_target(r, 0);
    const struct bp_activation_ops *activation = activation_of(layer);
    if (r->outputs_count != 1 || by_position(r, 0)) return false;
    if (!activation && last->width == (t->classification && !resolving_multilabel(r, 0) ? t->labels_count : numbers_of(r, 0))) activation = linear();
    if (!is_output(r, 0, last->width, activation)) return false;
    snprintf(layer->name, sizeof layer->name, "%s", r->outputs[0].name);
    snprintf(last->name, sizeof last->name, "%s", r->outputs[0].name);
    return true;
}

void resolving_complete(struct resolving *r) {
    struct schema_definition *d = r->training->definition;
    const struct schema_preprocessing *p = r->training->preprocessing;
    const bool several = r->outputs_count > 1 || r->by_layer;
    struct candidate last[BP_OUTPUTS_MAX] = {{.layer = -1}};
    if (d->layers_count == 0 && (several || p->inputs_count != 1 || p->inputs[0].shape.rank != 1)) {
        schema_problem_add(r->problems, r->request->definition_pointer,
                           several ? "a network of several outputs needs at least one layer before them"
                                   : "a definition without layers is a linear model and accepts no tensor columns; add a flatten layer first");
        return;
    }
    for (int32_t o = 0; o < r->outputs_count && d->layers_count > 0; o++)
        if (find_candidate(r, several ? r->outputs[o].name : d->outputs_count ? d->outputs[0] : "", &last[o]) != 0) return;
    for (int32_t o = 0; several && o < r->outputs_count; o++) /* by their own names before anything is added that reads them */
        if (!d->layers[last[o].layer].name[0] && !names_only_layer(r, &last[o]))
            snprintf(d->layers[last[o].layer].name, BP_NAME_MAX, "%s", last[o].name);
    for (int32_t o = 0; o < r->outputs_count; o++) complete_output(r, o, &last[o]);
    if (!several || r->problems->total) return;
    d->outputs_count = r->outputs_count;
    for (int32_t o = 0; o < r->outputs_count; o++) snprintf(d->outputs[o], BP_NAME_MAX, "%s", r->outputs[o].name);
}

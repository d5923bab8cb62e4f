/* effect.c - what a job asks for takes effect, or is refused or warned of: options and parts of a definition that contradict the data or
 * each other, or that nothing follows from. What suits a loss or an output is in output.c, metrics in metrics.c; training options and parameters of
 * layers that have no effect are in effect_options.c. */
#include "schema/resolve/resolution.h"

#include "schema/json/values.h"
#include "schema/text/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- inputs -------------------------------------------------------------------------------------------------------- */

static const char *input_at(const void *context, int32_t i) {
    return ((const struct schema_preprocessing *)context)->inputs[i].name;
}

static int32_t find_input(const struct schema_preprocessing *p, const char *name) {
    for (int32_t i = 0; i < p->inputs_count; i++)
        if (strcmp(p->inputs[i].name, name) == 0) return i;
    return -1;
}

/* The inputs that a definition declares are those of the data, with their shapes. */
void resolving_inputs(struct resolving *r) {
    struct schema_definition *d = r->training->definition;
    const struct schema_preprocessing *p = r->training->preprocessing;
    char map[RESOLVING_POINTER_MAX], where[RESOLVING_POINTER_MAX], said[64], is[64], hint[200];
    if (r->training->fold) { /* checked with all rows; a fold may know fewer categories */
        d->inputs_count = 0;
        return;
    }
    snprintf(map, sizeof map, "%s/inputs", r->request->definition_pointer);
    for (int32_t i = 0; i < d->inputs_count; i++) {
        const struct bp_input *input = &d->inputs[i];
        const int32_t found = find_input(p, input->name);
        schema_pointer(map, input->name, where, sizeof where);
        if (found >= 0 && bp_shape_equal(&input->shape, &p->inputs[found].shape)) continue;
        if (found >= 0) {
            schema_problem_add(r->problems, where,
                               "the definition gives the input \"%.60s\" the shape %s, but the features of this job give %s%s; correct the shape, or "
                               "leave inputs out to derive it from the data",
                               input->name, bp_shape_text(&input->shape, said, sizeof said), bp_shape_text(&p->inputs[found].shape, is, sizeof is),
                               found < p->shared_count ? " numbers (categories, texts and dates become several)" : "");
            continue;
        }
        char list[300] = "";
        for (int32_t k = 0; k < p->inputs_count; k++) {
            const size_t n = strlen(list);
            snprintf(list + n, sizeof list - n, "%s\"%.60s\" %s", k ? ", " : "", p->inputs[k].name,
                     bp_shape_text(&p->inputs[k].shape, is, sizeof is));
        }
        const char *nearest = schema_nearest(input->name, input_at, p, p->inputs_count);
        schema_problem_add(r->problems, where, "the features of this job give no input \"%.60s\"%s; there is %s", input->name,
                           schema_did_you_mean(nearest, hint, sizeof hint), list);
    }
}

static void unscaled(struct resolving *r, const struct schema_feature *f, const char *option, const char *off) {
    char where[RESOLVING_POINTER_MAX], map[RESOLVING_POINTER_MAX], column[RESOLVING_POINTER_MAX], got[80];
    const json_t *asked = json_object_get(json_object_get(r->request->columns, f->name), option);
    schema_pointer(resolving_place(r, "columns", map, sizeof map), f->name, column, sizeof column);
    schema_problem_add(r->problems, schema_pointer(column, option, where, sizeof where),
                       "an embedding reads column \"%.60s\" as indices, which are not scaled, so %s would have no effect; say %s, or leave %s out",
                       f->name, schema_json_text(asked, got, sizeof got), off, option);
}

void resolving_scale_of_indices(struct resolving *r, const struct schema_feature *f) {
    const json_t *asked = json_object_get(r->request->columns, f->name);
    const json_t *scale = json_object_get(asked, "scale"), *clip = json_object_get(asked, "clip");
    const char *text = json_string_value(scale);
    if (scale && !json_is_null(scale) && !(text && strcmp(text, "none") == 0)) unscaled(r, f, "scale", "\"none\"");
    if (json_is_number(clip) && json_number_value(clip) != 0) unscaled(r, f, "clip", "0");
}

/* ---- the network --------------------------------------------------------------------------------------------------- */

__attribute__((format(printf, 3, 4))) static void layer_problem(struct resolving *r, int32_t node, const char *format, ...) {
    char where[RESOLVING_POINTER_MAX], text[400];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    snprintf(where, sizeof where, "%s/layers/%d", r->request->definition_pointer, r->training->network->layer_of[node]);
    schema_problem_add(r->problems, where, "%s", text);
}

/* The node whose numbers it shows: itself unless it is a view (flatten, reshape). */
static int32_t behind_views(const struct bp_network *net, int32_t node) {
    while (node >= net->inputs_count && net->nodes[node].ops->view) node = net->nodes[node].inputs[0];
    return node;
}

/* What a node ends with; an output's may have moved into its loss. NULL: nothing. */
static const struct bp_activation_ops *activation_of(const struct bp_network *net, int32_t node) {
    if (node < net->inputs_count) return NULL;
    for (int32_t o = 0; o < net->outputs_count; o++)
        if (net->outputs[o].node == node && net->outputs[o].head && !net->outputs[o].head_implied) return net->outputs[o].head;
    return net->nodes[node].activation;
}

static bool is_squashed(const struct bp_network *net, int32_t node) {
    const struct bp_activation_ops *a = activation_of(net, node);
    return a && a->probabilities != BP_PROBABILITIES_NONE;
}

static void check_layers(struct resolving *r) {
    const struct bp_network *net = r->training->network;
    for (int32_t i = net->inputs_count; i < net->nodes_count; i++) {
        const struct bp_node *node = &net->nodes[i];
        const int32_t from = node->inputs_count > 0 ? behind_views(net, node->inputs[0]) : 0;
        if (node->indices && from >= net->inputs_count)
            layer_problem(r, i,
                          "layer \"%s\" (embedding) accepts integers from 0 to %d as indices, but layer \"%s\" (%s) gives it other numbers; let it "
                          "read an input",
                          node->name, node->indices - 1, net->nodes[from].name, net->nodes[from].ops->entry.name);
        const struct bp_activation_ops *own = activation_of(net, i);
        if (own && own->probabilities == BP_PROBABILITIES_SHARED && node->ops->activation_only && is_squashed(net, from))
            layer_problem(
                r, i,
                "layer \"%s\" applies softmax to layer \"%s\", which already applies %s: the result would be nearly uniform; remove one of them",
                node->name, net->nodes[from].name, activation_of(net, from)->entry.name);
    }
}

/* A loss of scores needs scores of any size. */
static void check_scores(struct resolving *r) {
    const struct bp_network *net = r->training->network;
    for (int32_t o = 0; o < net->outputs_count; o++) {
        const int32_t node = behind_views(net, net->outputs[o].node);
        if (!net->outputs[o].loss->scores || !is_squashed(net, node)) continue;
        layer_problem(r, node,
                      "the loss %s compares scores of any size, but the output layer \"%s\" limits them to %s; make it linear, or use the loss "
                      "cross_entropy",
                      net->outputs[o].loss->entry.name, net->nodes[node].name, activation_of(net, node)->entry.name);
    }
}

static void check_readers(struct resolving *r) {
    const struct bp_network *net = r->training->network;
    for (int32_t input = 0; input < net->inputs_count; input++) {
        bool read = false;
        for (int32_t i = net->inputs_count; !read && i < net->nodes_count; i++)
            for (int32_t k = 0; k < net->nodes[i].inputs_count; k++) read = read || net->nodes[i].inputs[k] == input;
        if (!read)
            resolving_warn(r, "no layer reads the input \"%.60s\": %s no effect; name it in the \"inputs\" of a layer, or leave it out of features",
                           net->nodes[input].name,
                           input >= r->training->preprocessing->shared_count ? "the column has"
                           : r->training->preprocessing->split               ? "what it holds of the columns has"
                                                                             : "the columns that are not tensors have");
    }
}

void resolving_effects(struct resolving *r) {
    check_layers(r);
    check_scores(r);
    check_readers(r);
    resolving_option_effects(r);
}

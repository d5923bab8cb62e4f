/* masks.c - padding: a masking layer detects padding by the raw numbers of a tensor, so the scaling has
 * to know; and neither an input's padding nor a target's enters a mean. */
#include "schema/resolve/resolution.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The input that a node reads, itself or through views; -1: another layer's output. */
static int32_t input_of(const struct bp_network *net, const struct bp_node *node) {
    int32_t from = node->inputs[0];
    while (from >= net->inputs_count && net->nodes[from].ops->view) from = net->nodes[from].inputs[0];
    return from < net->inputs_count ? from : -1;
}

/* The tensor column of an input, -1: none. */
static int32_t tensor_of(const struct resolving *r, int32_t input) {
    const struct schema_preprocessing *p = r->training->preprocessing;
    for (int32_t i = 0; input >= 0 && i < p->features_count; i++)
        if (schema_type_of(p->features[i].type)->value == SCHEMA_VALUE_TENSOR && p->features[i].places[0].input == input) return i;
    return -1;
}

static struct schema_fit training_rows(const struct resolving *r) {
    return (struct schema_fit){.dataset = r->dataset,
                               .rows = r->split.train,
                               .n = r->split.train_count,
                               .sparing = r->training->fold && r->training->options.window_rows > 0};
}

static void problem(struct resolving *r, const struct bp_error *error) {
    char where[RESOLVING_POINTER_MAX];
    schema_problem_error(r->problems, resolving_place(r, error->pointer[0] ? error->pointer + 1 : "features", where, sizeof where), error);
}

static void mask_input(struct resolving *r, const struct bp_network *net, const struct bp_node *node) {
    const int32_t input = input_of(net, node), i = tensor_of(r, input);
    const struct schema_fit fit = training_rows(r);
    struct bp_error error = {0};
    if (i < 0 && input >= 0)
        resolving_warn(r,
                       "layer \"%s\" reads columns that are scaled one by one, and compares mask_value with scaled values; use a tensor column, "
                       "whose raw values are compared",
                       node->name);
    if (i < 0) return;
    struct schema_feature *f = &r->training->preprocessing->features[i];
    const double value = node->padding;
    if (f->masked && f->mask_value != value)
        bp_error_set(&error, "/features", "column \"%.60s\" is read by two masking layers, with mask_value %.9g and %.9g: use one", f->name,
                     f->mask_value, value);
    f->masked = true;
    f->mask_value = value;
    if (error.message[0] || schema_feature_fit_tensor(f, &fit, r->features[i], &error) != 0) problem(r, &error);
}

void resolving_masks(struct resolving *r) {
    const struct schema_definition *d = r->training->definition;
    bool any = false;
    for (int32_t i = 0; i < d->layers_count; i++) any = any || d->layers[i].ops->mask == BP_MASK_MAKE;
    struct bp_network *net = any ? resolving_plan(r, false) : NULL;
    for (int32_t k = net ? net->inputs_count : 0; net && k < net->nodes_count; k++)
        if (net->nodes[k].ops->mask == BP_MASK_MAKE) mask_input(r, net, &net->nodes[k]);
    bp_network_free(net);
}

/* ---- targets ------------------------------------------------------------------------------------------------------------------ */

/* The columns whose padding an output's steps share. */
struct padding {
    const struct resolving *r;
    int32_t count, features[BP_INPUTS_MAX];
    double values[BP_INPUTS_MAX]; /* what padding is, in each */
    float *cell;                  /* space for the largest */
};

/* Collects the columns that give the mask of a node; false: it has other steps. */
static bool collect(struct padding *p, const struct bp_network *net, int32_t at) {
    const int32_t mask = net->nodes[at].mask_of;
    if (mask < 0) return true;
    const struct bp_node *node = &net->nodes[mask];
    if (node->mask == BP_MASK_RENEW) return false;
    if (node->mask != BP_MASK_MAKE) {
        for (int32_t k = 0; k < node->inputs_count; k++)
            if (!collect(p, net, node->inputs[k])) return false;
        return true;
    }
    const int32_t i = tensor_of(p->r, input_of(net, node));
    if (i < 0 || p->count == BP_INPUTS_MAX) return false;
    p->values[p->count] = node->padding;
    p->features[p->count++] = i;
    return true;
}

static void hide_steps(void *context, int64_t row, bool *steps) {
    const struct padding *p = context;
    const struct schema_preprocessing *pre = p->r->training->preprocessing;
    const int32_t count = pre->features[p->features[0]].shape.dims[0];
    memset(steps, 0, (size_t)count * sizeof *steps);
    for (int32_t k = 0; k < p->count; k++) {
        const int64_t width = bp_shape_size(&pre->features[p->features[k]].shape) / count;
        schema_dataset_tensor(p->r->dataset, p->r->features[p->features[k]], row, p->cell);
        for (int32_t s = 0; s < count; s++) {
            bool padding = true;
            for (int64_t j = s * width; j < (s + 1) * width; j++) padding = padding && (isnan(p->cell[j]) || p->cell[j] == (float)p->values[k]);
            steps[s] = steps[s] || padding;
        }
    }
}

static void fit_target(struct resolving *r, struct schema_target *t, int32_t column, struct padding *padding) {
    const struct schema_preprocessing *p = r->training->preprocessing;
    const struct schema_fit fit = training_rows(r);
    struct bp_error error = {0};
    int64_t most = 0;
    for (int32_t k = 0; k < padding->count; k++) {
        const struct bp_shape *shape = &p->features[padding->features[k]].shape;
        if (shape->dims[0] != t->shape.dims[0]) return;
        most = bp_shape_size(shape) > most ? bp_shape_size(shape) : most;
    }
    struct schema_tensor_fit how = {
        .name = t->name, .pointer = "/target", .shape = t->shape, .hidden = hide_steps, .context = padding, .channels = t->channels};
    padding->cell = malloc((size_t)most * sizeof *padding->cell);
    const int failed = padding->cell ? schema_tensor_fit(&how, &fit, column, &error) : bp_error_memory(&error, "out of memory");
    if (padding->cell) {
        t->channels = how.channels;
        t->channels_count = how.channels_count;
    }
    if (failed) problem(r, &error);
    free(padding->cell);
}

void resolving_target_padding(struct resolving *r) {
    const struct bp_network *net = r->training->network;
    struct schema_preprocessing *p = r->training->preprocessing;
    for (int32_t o = 0; o < p->outputs_count; o++) {
        struct schema_target *t = &p->targets[p->outputs[o].first];
        struct padding padding = {.r = r};
        if (t->classification || t->channels_count == 0 || !collect(&padding, net, net->outputs[o].node) || padding.count == 0) continue;
        fit_target(r, t, r->targets[p->outputs[o].first].column, &padding);
    }
    schema_targets_units(p);
}

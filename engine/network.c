/* network.c - plans a graph: shapes and sizes of every layer, the head that the loss fuses, the place of every weight.
 * Everything that can be wrong with a definition is said here (or in graph.c, for names); what runs later cannot fail. */
#include "network.h"

#include "graph.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct bp_tensor *bp_node_tensor(struct bp_node *node, const char *name, int32_t rank, const int32_t *dims) {
    struct bp_tensor *tensor = &node->tensors[node->tensors_count++];
    *tensor = (struct bp_tensor){.shape.rank = rank};
    snprintf(tensor->name, sizeof tensor->name, "%s", name);
    memcpy(tensor->shape.dims, dims, (size_t)rank * sizeof *dims);
    return tensor;
}

extern const struct bp_activation_ops bp_activation_linear;

void bp_node_activate(struct bp_node *node, const struct bp_value *asked) {
    if (!asked->entry || asked->entry == &bp_activation_linear.entry) return;
    node->activation = asked->entry;
    memcpy(node->activation_numbers, asked->entry_numbers, sizeof node->activation_numbers);
}

/* ---- one layer --------------------------------------------------------------------------------------------------- */

/* The layer's own words, with its name, and those of what it reads. */
static int explain(const struct bp_network *net, const struct bp_node *node, const struct bp_error *cause, struct bp_error *error) {
    char pointer[sizeof cause->pointer], reads[256] = "", shape[64];
    for (int32_t i = 0; i < node->inputs_count; i++) {
        const struct bp_node *from = &net->nodes[node->inputs[i]];
        const size_t used = strlen(reads);
        snprintf(reads + used, sizeof reads - used, "%s%s \"%s\" of shape %s", i ? ", " : "", from->ops ? "layer" : "input", from->name,
                 bp_shape_text(&from->out, shape, sizeof shape));
    }
    snprintf(pointer, sizeof pointer, "/layers/%d%.128s", (int)net->layer_of[node - net->nodes], cause->pointer);
    return bp_error_set(error, pointer, "layer \"%s\" (it reads %s): %s", node->name, reads, cause->message);
}

static int plan_node(struct bp_network *net, const struct bp_graph *graph, int32_t at, struct bp_error *error) {
    struct bp_node *node = &net->nodes[at];
    const struct bp_layer *layer = &graph->layers[net->layer_of[at]];
    struct bp_error cause = {{0}, {0}};
    node->ops = layer->ops;
    node->index = (uint32_t)net->layer_of[at];
    memcpy(node->values, layer->values, sizeof node->values);
    for (int32_t i = 0; i < node->inputs_count; i++) node->in[i] = net->nodes[node->inputs[i]].out;
    node->out.rank = -1;
    if (node->ops->plan(node, &cause)) return explain(net, node, &cause, error);
    int64_t product = 1;
    for (int32_t i = 0; i < node->out.rank; i++) {
        product *= node->out.dims[i] > 0 ? node->out.dims[i] : 1;
        if (product > INT32_MAX) {
            bp_error_set(&cause, "", "its output would have more than 2^31 - 1 numbers a sample");
            return explain(net, node, &cause, error);
        }
    }
    return 0;
}

/* ---- the head ---------------------------------------------------------------------------------------------------- */

/* The node whose activation the loss sees: the output, or what a flatten or reshape at the output looks at. Nobody else reads
 * it: such a reader would lead nowhere. */
static struct bp_node *last_function(struct bp_network *net) {
    struct bp_node *node = &net->nodes[net->output];
    while (node->ops && node->ops->view) node = &net->nodes[node->inputs[0]];
    return node;
}

static int fuse_head(struct bp_network *net, struct bp_error *error) {
    char pointer[64];
    struct bp_node *node = last_function(net);
    const struct bp_shape *in = &node->out, *out = &net->nodes[net->output].out;
    net->head = (const struct bp_activation_ops *)bp_family_find(&bp_activations, net->loss->head);
    net->head_implied = !node->activation;
    const bool same_rows = in == out || (in->rank > 0 && out->rank > 0 && in->dims[in->rank - 1] == out->dims[out->rank - 1]);
    if (node->activation && (node->activation != &net->head->entry || !same_rows)) {
        snprintf(pointer, sizeof pointer, "/layers/%d/activation", (int)net->layer_of[node - net->nodes]);
        return bp_error_set(error, pointer, "the loss %s expects %s, or no activation, at the output layer \"%s\", but its activation is %s%s",
                            net->loss->entry.name, net->loss->head, node->name, node->activation->name, same_rows ? "" : " before a reshape");
    }
    node->activation = NULL;
    return 0;
}

static int attach_loss(struct bp_network *net, const struct bp_graph *graph, struct bp_error *error) {
    char pointer[64];
    const struct bp_node *output = &net->nodes[net->output];
    net->loss = graph->loss;
    if (!net->loss) return 0;
    memcpy(net->loss_values, graph->loss_values, sizeof net->loss_values);
    if (net->loss->head && fuse_head(net, error)) return -1;
    if (bp_shape_size(&output->out) > 0) {
        struct bp_error cause = {{0}, {0}};
        snprintf(pointer, sizeof pointer, "/layers/%d", (int)net->layer_of[net->output]);
        if (bp_loss_check(net->loss, net->loss_values, &output->out, &cause))
            return bp_error_set(error, pointer, "output layer \"%s\": %s", output->name, cause.message);
    }
    return 0;
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

static int allocate(struct bp_network **network, int32_t nodes, struct bp_error *error) {
    struct bp_network *net = calloc(1, sizeof *net);
    *network = net;
    if (net) {
        net->nodes_count = nodes;
        net->nodes = calloc((size_t)nodes, sizeof *net->nodes);
        net->layer_of = calloc((size_t)nodes, sizeof *net->layer_of);
    }
    if (!net || !net->nodes || !net->layer_of) return bp_error_set(error, "", "no memory for a network of %d layers", (int)nodes);
    return 0;
}

/* Puts inputs and layers in computing order: links->order tells which layer comes where. */
static int arrange(struct bp_network *net, const struct bp_graph *graph, const struct bp_links *links, struct bp_error *error) {
    int32_t *place = calloc((size_t)net->nodes_count, sizeof *place); /* place[number while planning] = node */
    if (!place) return bp_error_set(error, "", "no memory for a network of %d layers", (int)net->nodes_count);
    net->inputs_count = graph->inputs_count;
    for (int32_t i = 0; i < graph->inputs_count; i++) {
        net->nodes[i].out = graph->inputs[i].shape;
        net->layer_of[i] = -1;
        place[i] = i;
    }
    for (int32_t i = 0; i < graph->layers_count; i++) {
        place[links->order[i]] = graph->inputs_count + i;
        net->layer_of[graph->inputs_count + i] = links->order[i] - graph->inputs_count;
    }
    for (int32_t from = 0; from < net->nodes_count; from++) {
        struct bp_node *node = &net->nodes[place[from]];
        memcpy(node->name, links->names[from], sizeof node->name);
        node->inputs_count = links->inputs_count[from];
        for (int32_t i = 0; i < node->inputs_count; i++) node->inputs[i] = place[links->inputs[from][i]];
    }
    net->output = place[links->output];
    free(place);
    return 0;
}

static void place_weights(struct bp_network *net) {
    net->complete = true;
    for (int32_t i = 0; i < net->nodes_count; i++) {
        struct bp_node *node = &net->nodes[i];
        net->complete = net->complete && bp_shape_size(&node->out) > 0;
        for (int32_t t = 0; t < node->tensors_count; t++) {
            const int64_t size = bp_shape_size(&node->tensors[t].shape);
            node->tensors[t].offset = net->weights_count;
            net->weights_count += bp_reals_round((size_t)size);
            net->parameters += size;
        }
    }
    net->output_shape = net->nodes[net->output].out;
}

int bp_network_plan(const struct bp_graph *graph, struct bp_network **network, struct bp_error *error) {
    struct bp_links links;
    struct bp_network *net = NULL;
    *network = NULL;
    if (bp_links_resolve(graph, &links, error)) goto fail;
    if (allocate(&net, graph->inputs_count + graph->layers_count, error)) goto fail;
    if (arrange(net, graph, &links, error)) goto fail;
    for (int32_t i = net->inputs_count; i < net->nodes_count; i++)
        if (plan_node(net, graph, i, error)) goto fail;
    if (attach_loss(net, graph, error)) goto fail;
    place_weights(net);
    bp_links_free(&links);
    *network = net;
    return 0;
fail:
    bp_links_free(&links);
    bp_network_free(net);
    return -1;
}

void bp_network_free(struct bp_network *network) {
    if (!network) return;
    free(network->nodes);
    free(network->layer_of);
    free(network);
}

void bp_network_initialize(const struct bp_network *network, uint64_t seed, bp_real *weights) {
    memset(weights, 0, network->weights_count * sizeof *weights);
    for (int32_t i = 0; i < network->nodes_count; i++) {
        const struct bp_node *node = &network->nodes[i];
        for (int32_t t = 0; t < node->tensors_count; t++) {
            const struct bp_tensor *tensor = &node->tensors[t];
            struct bp_random random = bp_random_open(seed, BP_STREAM_INITIALIZE, node->index * BP_TENSORS_MAX + (uint32_t)t);
            tensor->initializer->fill(tensor, &random, weights + tensor->offset, (size_t)bp_shape_size(&tensor->shape));
        }
    }
}

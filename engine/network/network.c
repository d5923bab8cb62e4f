/* network.c - plans a graph: shapes and sizes of every layer, the head that the loss fuses, the place of every weight.
 * Every error of a definition is reported here (or in graph.c, for names); later calls cannot fail. */
#include "engine/network/network.h"

#include "engine/network/graph.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- one layer --------------------------------------------------------------------------------------------------- */

/* The layer's own words, with its name, and those of what it reads. */
static int explain(const struct bp_network *net, const struct bp_node *node, const struct bp_error *cause, struct bp_error *error) {
    char pointer[sizeof cause->pointer], reads[256] = "", shape[64];
    for (int32_t i = 0; i < node->inputs_count; i++) {
        const struct bp_node *from = &net->nodes[node->inputs[i]];
        const size_t used = strlen(reads);
        const bool known = from->out.rank >= 0; /* the shape of an input follows from the data, which may not be there yet */
        snprintf(reads + used, sizeof reads - used, "%s%s \"%s\"%s%s", i ? ", " : "", from->ops ? "layer" : "input", from->name,
                 known ? " of shape " : "", known ? bp_shape_text(&from->out, shape, sizeof shape) : "");
    }
    snprintf(pointer, sizeof pointer, "/layers/%d%.128s", (int)net->layer_of[node - net->nodes], cause->pointer);
    return bp_error_wrap(error, cause, pointer, "layer \"%s\" (it reads %s): %s", node->name, reads, cause->message);
}

static int32_t steps_of(const struct bp_shape *shape) {
    return shape->rank > 0 ? shape->dims[0] : 0;
}

/* Whether the steps of every input with a mask are those of the output. */
static bool keeps_steps(const struct bp_network *net, const struct bp_node *node) {
    for (int32_t i = 0; i < node->inputs_count; i++) {
        const int32_t mask = net->nodes[node->inputs[i]].mask_of;
        if (mask < 0) continue;
        if (steps_of(&net->nodes[mask].out) != steps_of(&node->out)) return false;
        if (node->inputs_count > 1 && node->in[i].rank != node->out.rank) return false; /* repeated along an axis in front */
    }
    return true;
}

/* The origin of the mask of the node's output. */
static int place_mask(struct bp_network *net, int32_t at, struct bp_error *error) {
    struct bp_node *node = &net->nodes[at];
    struct bp_error cause = {0};
    int32_t from = -1;
    bool several = false;
    node->mask_of = node->mask == BP_MASK_MAKE ? at : node->mask == BP_MASK_FIRST ? net->nodes[node->inputs[0]].mask_of : -1;
    if (node->mask == BP_MASK_FIRST) return 0;
    for (int32_t i = 0; i < node->inputs_count; i++) {
        const int32_t mask = net->nodes[node->inputs[i]].mask_of;
        if (mask < 0) continue;
        several = several || (from >= 0 && mask != from);
        from = mask;
    }
    if (from < 0 || node->mask == BP_MASK_MAKE || node->mask == BP_MASK_USE) return 0;
    node->mask_of = several || node->mask == BP_MASK_RENEW ? at : from;
    if (node->mask == BP_MASK_RENEW) return 0;
    if ((node->mask == BP_MASK_PASS || node->mask == BP_MASK_ZERO) && keeps_steps(net, node)) return 0;
    bp_error_set(&cause, "",
                 "its input is a sequence with a mask (made by layer \"%s\"), and %s would mix its padding with its steps; put a "
                 "global_average_pool, global_max_pool, rnn, lstm or gru before it",
                 net->nodes[from].name, node->ops->entry.name);
    return explain(net, node, &cause, error);
}

/* The members of the node's output, from those of its inputs. */
static int place_members(struct bp_network *net, int32_t at, int32_t before, struct bp_error *error) {
    struct bp_node *node = &net->nodes[at];
    const struct bp_shape *out = &node->out;
    struct bp_error cause = {0};
    if (!before) return 0;
    if (node->ops->members == BP_MEMBERS_MIX) node->members = 0;
    bool aligned = true; /* no members are repeated along an axis in front of theirs */
    for (int32_t i = 0; i < node->inputs_count; i++)
        aligned = aligned && (!net->nodes[node->inputs[i]].members || node->inputs_count == 1 || node->in[i].rank == out->rank);
    const bool same = node->mask_of < 0 && (out->rank < 0 || (aligned && out->rank > 1 && (out->dims[0] <= 0 || out->dims[0] == before)));
    if (node->ops->members == BP_MEMBERS_MIX || (node->ops->members == BP_MEMBERS_PASS && same)) return 0;
    bp_error_set(&cause, "",
                 "its input has an axis of %d members, which %s would mix; use layers that work along the last axis, ensemble_dense, or a "
                 "global_average_pool before it, which averages the members",
                 (int)before, node->ops->entry.name);
    return explain(net, node, &cause, error);
}

/* The members that its inputs have; none is before plan. */
static int32_t members_before(const struct bp_network *net, const struct bp_node *node) {
    int32_t members = 0;
    for (int32_t i = 0; i < node->inputs_count; i++)
        if (net->nodes[node->inputs[i]].members) members = net->nodes[node->inputs[i]].members;
    return members;
}

/* A layer's factors, for each of its tensors. */
static void set_factors(struct bp_node *node, const struct bp_factors *factors) {
    const double rate = factors->rate > 0 ? factors->rate : 1, bias_rate = factors->bias_rate > 0 ? factors->bias_rate : rate;
    for (int32_t t = 0; t < node->tensors_count; t++) {
        node->tensors[t].rate = node->tensors[t].bias ? bias_rate : rate;
        node->tensors[t].decay = factors->decay_given ? factors->decay : 1;
    }
}

static int plan_node(struct bp_network *net, const struct bp_graph *graph, int32_t at, struct bp_error *error) {
    struct bp_node *node = &net->nodes[at];
    const struct bp_layer *layer = &graph->layers[net->layer_of[at]];
    struct bp_error cause = {0};
    node->ops = layer->ops;
    node->index = (uint32_t)net->layer_of[at];
    memcpy(node->values, layer->values, sizeof node->values);
    for (int32_t i = 0; i < node->inputs_count; i++) node->in[i] = net->nodes[node->inputs[i]].out;
    node->out.rank = -1;
    node->frozen = layer->frozen;
    node->mask = node->ops->mask;
    const int32_t members = node->members = members_before(net, node);
    if (node->ops->plan(node, &cause) || bp_node_slopes(node, &cause)) return explain(net, node, &cause, error);
    set_factors(node, &layer->factors);
    int64_t product = 1;
    for (int32_t i = 0; i < node->out.rank; i++) {
        product *= node->out.dims[i] > 0 ? node->out.dims[i] : 1;
        if (product > INT32_MAX) {
            bp_error_set(&cause, "", "its output would have more than 2^31 - 1 numbers a sample");
            return explain(net, node, &cause, error);
        }
    }
    return place_mask(net, at, error) ? -1 : place_members(net, at, members, error);
}

/* ---- the heads --------------------------------------------------------------------------------------------------- */

/* The node whose activation the loss sees: the output, or the input of a flatten or reshape at the output. */
static struct bp_node *last_function(struct bp_network *net, const struct bp_output *output) {
    struct bp_node *node = &net->nodes[output->node];
    while (node->ops && node->ops->view) node = &net->nodes[node->inputs[0]];
    return node;
}

/* Whether the node is that function, or one of the views between it and the output. */
static bool leads_to(const struct bp_network *net, int32_t node, const struct bp_node *function, const struct bp_output *output) {
    int32_t at = output->node;
    while (at != node && &net->nodes[at] != function) at = net->nodes[at].inputs[0];
    return at == node;
}

/* Another reader of the numbers whose activation the loss fuses: a layer, or a separate output. NULL: none. */
static const struct bp_node *other_reader(const struct bp_network *net, const struct bp_node *function, const struct bp_output *output) {
    for (int32_t i = net->inputs_count; i < net->nodes_count; i++)
        for (int32_t k = 0; k < net->nodes[i].inputs_count; k++)
            if (leads_to(net, net->nodes[i].inputs[k], function, output) && !leads_to(net, i, function, output)) return &net->nodes[i];
    for (int32_t k = 0; k < net->outputs_count; k++)
        if (net->outputs[k].node != output->node && leads_to(net, net->outputs[k].node, function, output)) return &net->nodes[net->outputs[k].node];
    return NULL;
}

static int refuse_reader(const struct bp_network *net, const struct bp_node *function, const struct bp_output *output, const char *pointer,
                         struct bp_error *error) {
    const struct bp_node *reader = other_reader(net, function, output);
    if (!reader) return 0;
    if (leads_to(net, (int32_t)(reader - net->nodes), function, output))
        return bp_error_set(error, pointer,
                            "the loss %s of the output \"%s\" fuses the %s of layer \"%s\", but \"%s\" is also an output; let both read the "
                            "layer before it",
                            output->loss->entry.name, net->nodes[output->node].name, output->loss->head->entry.name, function->name, reader->name);
    return bp_error_set(error, pointer,
                        "the loss %s fuses the %s of the output layer \"%s\", so layer \"%s\" cannot read it; let both read the layer before it",
                        output->loss->entry.name, output->loss->head->entry.name, function->name, reader->name);
}

static int fuse_head(struct bp_network *net, struct bp_output *output, struct bp_error *error) {
    char pointer[64];
    struct bp_node *node = last_function(net, output);
    const struct bp_shape *in = &node->out, *out = &net->nodes[output->node].out;
    output->head = output->loss->head;
    output->head_implied = !node->activation;
    const bool same_rows = in == out || (in->rank > 0 && out->rank > 0 && in->dims[in->rank - 1] == out->dims[out->rank - 1]);
    snprintf(pointer, sizeof pointer, "/layers/%d/activation", (int)net->layer_of[node - net->nodes]);
    if (node->activation && (node->activation != output->head || !same_rows))
        return bp_error_set(error, pointer, "the loss %s expects %s, or no activation, at the output layer \"%s\", but its activation is %s%s",
                            output->loss->entry.name, output->loss->head->entry.name, node->name, node->activation->entry.name,
                            same_rows ? "" : " before a reshape");
    if (refuse_reader(net, node, output, pointer, error)) return -1;
    node->activation = NULL;
    return 0;
}

struct bp_shape bp_node_prediction(const struct bp_node *node) {
    struct bp_shape shape = node->out;
    if (!node->members || shape.rank < 1) return shape;
    shape.rank--;
    for (int32_t i = 0; i < shape.rank; i++) shape.dims[i] = shape.dims[i + 1];
    return shape;
}

static int attach_loss(struct bp_network *net, const struct bp_graph_output *asked, struct bp_output *output, struct bp_error *error) {
    char pointer[64];
    const struct bp_node *node = &net->nodes[output->node];
    output->shape = bp_node_prediction(node);
    output->members = node->members;
    output->loss = asked->shares && asked->loss && asked->loss->shares ? asked->loss->shares : asked->loss;
    output->weight = asked->weight > 0 ? asked->weight : 1;
    output->steps = output->loss && output->loss->target == BP_TARGET_VALUES ? asked->steps : 0;
    if (output->steps && bp_shape_size(&output->shape) > 0 &&
        (bp_shape_size(&output->shape) % output->steps || (node->mask_of >= 0 && output->shape.dims[0] != output->steps))) {
        char shape[64];
        snprintf(pointer, sizeof pointer, "/layers/%d", (int)net->layer_of[output->node]);
        return bp_error_set(error, pointer, "output layer \"%s\" gives %s, but the target has %d steps, of which some may be missing; keep the steps",
                            node->name, bp_shape_text(&output->shape, shape, sizeof shape), (int)output->steps);
    }
    if (!output->loss) return 0;
    memcpy(output->values, asked->values, sizeof output->values);
    output->predictions = output->loss->head && node->predictions;
    if (output->loss->head && !output->predictions && fuse_head(net, output, error)) return -1;
    if (bp_shape_size(&output->shape) > 0) {
        struct bp_error cause = {0};
        snprintf(pointer, sizeof pointer, "/layers/%d", (int)net->layer_of[output->node]);
        if (bp_loss_check(output->loss, output->values, &output->shape, &cause))
            return bp_error_wrap(error, &cause, pointer, "output layer \"%s\": %s", node->name, cause.message);
    }
    return 0;
}

static int attach_losses(struct bp_network *net, const struct bp_graph *graph, struct bp_error *error) {
    for (int32_t i = 0; i < net->outputs_count; i++)
        if (attach_loss(net, &graph->outputs[i], &net->outputs[i], error)) return -1;
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
    if (!net || !net->nodes || !net->layer_of) return bp_error_memory(error, "no memory for a network of %d layers", (int)nodes);
    return 0;
}

/* Puts inputs and layers in computing order: links->order is the position of each layer. */
static int arrange(struct bp_network *net, const struct bp_graph *graph, const struct bp_links *links, struct bp_error *error) {
    int32_t *place = calloc((size_t)net->nodes_count, sizeof *place); /* place[number while planning] = node */
    if (!place) return bp_error_memory(error, "no memory for a network of %d layers", (int)net->nodes_count);
    net->inputs_count = graph->inputs_count;
    for (int32_t i = 0; i < graph->inputs_count; i++) {
        net->nodes[i].out = graph->inputs[i].shape;
        net->nodes[i].mask_of = -1;
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
    net->outputs_count = links->outputs_count;
    for (int32_t i = 0; i < links->outputs_count; i++) net->outputs[i].node = place[links->outputs[i]];
    free(place);
    return 0;
}

static bool is_trained(const struct bp_node *node, const struct bp_tensor *tensor) {
    return !node->frozen && !tensor->state;
}

/* Trained tensors come first, so that the optimizer's state and the gradient's norm end with it. */
static void place_weights(struct bp_network *net) {
    net->complete = true;
    for (int32_t i = 0; i < net->nodes_count; i++) net->complete = net->complete && bp_shape_size(&net->nodes[i].out) > 0;
    for (int trained = 1; trained >= 0; trained--) {
        for (int32_t i = 0; i < net->nodes_count; i++)
            for (int32_t t = 0; t < net->nodes[i].tensors_count; t++) {
                struct bp_tensor *tensor = &net->nodes[i].tensors[t];
                const int64_t size = bp_shape_size(&tensor->shape);
                if (is_trained(&net->nodes[i], tensor) != trained) continue;
                tensor->offset = net->weights_count;
                net->weights_count += bp_reals_round((size_t)size);
                net->parameters += size;
                net->trained += trained ? size : 0;
            }
        if (trained) net->trained_count = net->weights_count;
    }
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
    if (attach_losses(net, graph, error)) goto fail;
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

int32_t bp_network_indices(const struct bp_network *net, int32_t input) {
    int32_t indices = 0;
    for (int32_t k = net->inputs_count; k < net->nodes_count; k++) {
        int32_t from = net->nodes[k].inputs[0];
        while (net->nodes[from].ops && net->nodes[from].ops->view) from = net->nodes[from].inputs[0];
        if (from == input && net->nodes[k].indices && (!indices || net->nodes[k].indices < indices)) indices = net->nodes[k].indices;
    }
    return indices;
}

int32_t bp_output_rows(const struct bp_network *network, int32_t output) {
    const struct bp_output *out = &network->outputs[output];
    const int32_t positions = bp_loss_positions(out->loss, &out->shape);
    if (positions > 1) return positions;
    return out->steps ? out->steps : network->nodes[out->node].mask_of >= 0 ? out->shape.dims[0] : 1;
}

void bp_network_initialize(const struct bp_network *network, uint64_t seed, bp_real *weights) {
    memset(weights, 0, network->weights_count * sizeof *weights);
    for (int32_t i = 0; i < network->nodes_count; i++) {
        const struct bp_node *node = &network->nodes[i];
        for (int32_t t = 0; t < node->tensors_count; t++) {
            const struct bp_tensor *tensor = &node->tensors[t];
            struct bp_random random = bp_random_open(seed, BP_STREAM_INITIALIZE, node->index * BP_TENSORS_MAX + (uint32_t)t);
            const size_t parts = tensor->parts ? (size_t)tensor->parts : 1, n = (size_t)bp_shape_size(&tensor->shape) / parts;
            for (size_t k = 0; k < parts; k++) tensor->initializer->fill(tensor, &random, weights + tensor->offset + k * n, n);
        }
    }
}

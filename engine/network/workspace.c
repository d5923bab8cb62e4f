/* workspace.c - sizes first, one allocation, pointers into it. A view (flatten, reshape) uses its input's buffers, except at
 * the output, which the loss overwrites with predictions. */
#include "engine/network/workspace.h"

#include <stdlib.h>
#include <string.h>

static bool is_output(const struct bp_network *net, int32_t node) {
    for (int32_t i = 0; i < net->outputs_count; i++)
        if (net->outputs[i].node == node) return true;
    return false;
}

/* The node whose memory `node` shows: itself unless it is a view. */
static int32_t owner_of(const struct bp_network *net, int32_t node) {
    while (!is_output(net, node) && net->nodes[node].ops && net->nodes[node].ops->view) node = net->nodes[node].inputs[0];
    return node;
}

static size_t node_reals(const struct bp_network *net, int32_t node, int32_t batch_max) {
    return bp_reals_round((size_t)batch_max * (size_t)bp_shape_size(&net->nodes[node].out));
}

static size_t scratch_reals(const struct bp_network *net, int32_t batch_max) {
    size_t most = 0;
    for (int32_t i = 0; i < net->nodes_count; i++) most = net->nodes[i].scratch > most ? net->nodes[i].scratch : most;
    return bp_reals_round((size_t)batch_max * most);
}

static size_t shared_reals(const struct bp_network *net) {
    size_t most = 0;
    for (int32_t i = 0; i < net->nodes_count; i++) most = net->nodes[i].shared_scratch > most ? net->nodes[i].shared_scratch : most;
    return bp_reals_round(most);
}

/* One number for each step of the node's output, when it has its own mask. */
static size_t mask_reals(const struct bp_network *net, int32_t node, int32_t batch_max) {
    return net->nodes[node].mask_of == node ? bp_reals_round((size_t)batch_max * (size_t)net->nodes[node].out.dims[0]) : 0;
}

/* Classes of an output's positions, when it has several; targets of an output whose steps may be missing. */
static size_t class_reals(const struct bp_network *net, int32_t output, int32_t batch_max) {
    const struct bp_output *out = &net->outputs[output];
    const int32_t positions = bp_loss_positions(out->loss, &out->shape);
    const int32_t numbers = positions > 1 ? positions : out->steps ? bp_loss_target_width(out->loss, out->values, &out->shape) : 0;
    return numbers ? bp_reals_round((size_t)batch_max * (size_t)numbers) : 0;
}

/* Weights of an output's positions, when it has several; of its steps, when it has a mask or they may be missing. */
static size_t row_reals(const struct bp_network *net, int32_t output, int32_t batch_max) {
    const bool masked = net->nodes[net->outputs[output].node].mask_of >= 0;
    const int32_t rows = bp_output_rows(net, output);
    return rows > 1 || masked || net->outputs[output].steps ? bp_reals_round((size_t)batch_max * (size_t)rows) : 0;
}

/* Reals of all buffers. */
static size_t total_reals(const struct bp_network *net, int32_t batch_max, bool training) {
    size_t total = scratch_reals(net, batch_max) + shared_reals(net);
    for (int32_t i = 0; i < net->nodes_count; i++) {
        if (owner_of(net, i) == i) total += node_reals(net, i, batch_max) * (training ? 2 : 1);
        if (training) total += bp_reals_round((size_t)batch_max * net->nodes[i].memo) + bp_reals_round(net->nodes[i].kept);
        total += mask_reals(net, i, batch_max);
    }
    for (int32_t i = 0; i < net->outputs_count; i++)
        total += 2 * row_reals(net, i, batch_max) + class_reals(net, i, batch_max) + bp_members_reals(net, i, batch_max);
    return total;
}

static size_t table_bytes(const struct bp_network *net) {
    return (size_t)net->nodes_count * (sizeof(struct bp_pass) + 3 * sizeof(bp_real *) + sizeof(int32_t) + 2 * sizeof(bool)) +
           3 * BP_OUTPUTS_MAX * sizeof(bp_real *);
}

size_t bp_workspace_bytes(const struct bp_network *network, int32_t batch_max, bool training) {
    return total_reals(network, batch_max, training) * sizeof(bp_real) + table_bytes(network) + sizeof(struct bp_workspace);
}

static bp_real *take(bp_real **free_reals, size_t n) {
    bp_real *taken = *free_reals;
    *free_reals += n;
    return taken;
}

static void lay_out(struct bp_workspace *ws) {
    const struct bp_network *net = ws->network;
    bp_real *reals = ws->reals, *scratch = take(&reals, scratch_reals(net, ws->batch_max)), *shared = take(&reals, shared_reals(net));
    for (int32_t i = 0; i < net->nodes_count; i++) {
        const struct bp_node *node = &net->nodes[i];
        const int32_t owner = ws->owner[i] = owner_of(net, i);
        if (owner == i) {
            ws->a[i] = take(&reals, node_reals(net, i, ws->batch_max));
            if (ws->training) ws->d[i] = take(&reals, node_reals(net, i, ws->batch_max));
        } else {
            ws->a[i] = ws->a[owner];
            ws->d[i] = ws->d[owner];
        }
        struct bp_pass *pass = &ws->passes[i];
        pass->a = ws->a[i];
        pass->d_a = ws->d[i];
        pass->scratch = scratch;
        pass->shared_scratch = shared;
        if (ws->training && node->memo) pass->memo = take(&reals, bp_reals_round((size_t)ws->batch_max * node->memo));
        if (ws->training && node->kept) pass->kept = take(&reals, bp_reals_round(node->kept));
        if (mask_reals(net, i, ws->batch_max)) ws->mask[i] = pass->mask_out = take(&reals, mask_reals(net, i, ws->batch_max));
        else if (node->mask_of >= 0) ws->mask[i] = ws->mask[node->mask_of];
        ws->learns[i] = node->tensors_count > 0 && !node->frozen;
        for (int32_t k = 0; k < node->inputs_count; k++) {
            pass->x[k] = ws->a[node->inputs[k]];
            pass->mask[k] = ws->mask[node->inputs[k]];
            ws->learns[i] = ws->learns[i] || ws->learns[node->inputs[k]];
        }
    }
    for (int32_t i = 0; i < net->outputs_count; i++) {
        if (row_reals(net, i, ws->batch_max)) ws->row_weights[i] = take(&reals, row_reals(net, i, ws->batch_max));
        if (row_reals(net, i, ws->batch_max)) ws->row_counts[i] = take(&reals, row_reals(net, i, ws->batch_max));
        if (class_reals(net, i, ws->batch_max)) ws->row_classes[i] = take(&reals, class_reals(net, i, ws->batch_max));
        reals = bp_members_lay_out(ws, i, reals);
    }
}

int bp_workspace_new(const struct bp_network *network, int32_t batch_max, bool training, struct bp_workspace **workspace, struct bp_error *error) {
    *workspace = NULL;
    if (!network->complete) return bp_error_set(error, "", "the network cannot run: the shape of an input is unknown");
    for (int32_t i = 0; i < network->nodes_count; i++)
        if (batch_max < 1 || bp_shape_size(&network->nodes[i].out) * batch_max > INT32_MAX)
            return bp_error_set(error, "",
                                "a batch of %d samples is too large: layer \"%s\" would give more than 2^31 - 1 numbers; use a smaller batch",
                                (int)batch_max, network->nodes[i].name);
    const size_t nodes = (size_t)network->nodes_count;
    struct bp_workspace *ws = calloc(1, sizeof *ws);
    if (!ws) goto no_memory;
    *ws = (struct bp_workspace){.network = network, .batch_max = batch_max, .training = training};
    ws->passes = calloc(nodes, sizeof *ws->passes);
    ws->a = calloc(nodes, sizeof *ws->a);
    ws->d = calloc(nodes, sizeof *ws->d);
    ws->owner = calloc(nodes, sizeof *ws->owner);
    ws->learns = calloc(nodes, sizeof *ws->learns);
    ws->written = calloc(nodes, sizeof *ws->written);
    ws->mask = calloc(nodes, sizeof *ws->mask);
    ws->row_weights = calloc(BP_OUTPUTS_MAX, sizeof *ws->row_weights);
    ws->row_counts = calloc(BP_OUTPUTS_MAX, sizeof *ws->row_counts);
    ws->row_classes = calloc(BP_OUTPUTS_MAX, sizeof *ws->row_classes);
    ws->reals = bp_reals_new(total_reals(network, batch_max, training));
    if (!ws->passes || !ws->a || !ws->d || !ws->owner || !ws->learns || !ws->written || !ws->mask || !ws->row_weights || !ws->row_counts ||
        !ws->row_classes || !ws->reals)
        goto no_memory;
    lay_out(ws);
    *workspace = ws;
    return 0;
no_memory:
    bp_workspace_free(ws);
    return bp_error_memory(error, "no memory: a workspace for %d samples takes %zu bytes; use a smaller batch", (int)batch_max,
                           bp_workspace_bytes(network, batch_max, training));
}

void bp_workspace_precision(struct bp_workspace *workspace, enum bp_precision precision) {
    workspace->bfloat16 = precision == BP_PRECISION_BFLOAT16;
}

void bp_workspace_free(struct bp_workspace *workspace) {
    if (!workspace) return;
    free(workspace->passes);
    free(workspace->a);
    free(workspace->d);
    free(workspace->owner);
    free(workspace->learns);
    free(workspace->written);
    free(workspace->mask);
    free(workspace->row_weights);
    free(workspace->row_counts);
    free(workspace->row_classes);
    free(workspace->reals);
    free(workspace);
}

int32_t bp_workspace_batch_max(const struct bp_workspace *workspace) {
    return workspace->batch_max;
}

bp_real *bp_workspace_input(struct bp_workspace *workspace, int32_t input) {
    return workspace->a[input];
}

const bp_real *bp_workspace_output(const struct bp_workspace *workspace, int32_t output) {
    const struct bp_output *out = &workspace->network->outputs[output];
    return out->members ? workspace->members[output].mean : workspace->a[out->node];
}

const bp_real *bp_workspace_input_gradient(const struct bp_workspace *workspace, int32_t input) {
    return workspace->d[input];
}

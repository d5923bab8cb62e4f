/* pass.c - forward through the nodes in order, backward in reverse. Both cannot fail and allocate nothing.
 * Gradients of a node with several readers: the first to come back stores, the others add (`written`). */
#include "kernels/kernels.h"
#include "workspace.h"

#include <string.h>

static const double no_numbers[4];

/* A view with a buffer of its own (at the output): the numbers are copied. */
static void copy_view(const struct bp_workspace *ws, int32_t node, int32_t batch) {
    if (ws->owner[node] == node)
        memcpy(ws->a[node], ws->passes[node].x[0], (size_t)batch * (size_t)bp_shape_size(&ws->network->nodes[node].out) * sizeof(bp_real));
}

static void forward(const bp_real *weights, struct bp_workspace *ws, int32_t batch, const struct bp_draw *draw) {
    const struct bp_network *net = ws->network;
    for (int32_t i = net->inputs_count; i < net->nodes_count; i++) {
        const struct bp_node *node = &net->nodes[i];
        struct bp_pass *pass = &ws->passes[i];
        if (node->ops->view) {
            copy_view(ws, i, batch);
            continue;
        }
        pass->batch = batch;
        pass->training = draw != NULL;
        if (draw) {
            pass->seed = draw->seed;
            pass->step = draw->step;
            pass->first = draw->first;
        }
        for (int32_t t = 0; t < node->tensors_count; t++) pass->W[t] = weights + node->tensors[t].offset;
        node->ops->forward(node, pass);
    }
}

const bp_real *bp_predict(const struct bp_network *network, const bp_real *weights, struct bp_workspace *workspace, int32_t batch) {
    const struct bp_shape *out = &network->output_shape;
    bp_real *a = workspace->a[network->output]; /* (B, out...) */
    bp_flush_denormals();
    forward(weights, workspace, batch, NULL);
    if (network->head) {
        const size_t width = out->rank ? (size_t)out->dims[out->rank - 1] : 1;
        network->head->forward(no_numbers, (size_t)batch * (size_t)bp_shape_size(out) / width, width, a, a);
    }
    return a;
}

double bp_loss_forward(const struct bp_network *network, const bp_real *weights, struct bp_workspace *workspace, const struct bp_draw *draw,
                       struct bp_loss_call *call, bool gradients) {
    forward(weights, workspace, call->batch, draw);
    call->width = (int32_t)bp_shape_size(&network->output_shape);
    call->z = workspace->a[network->output];
    call->d_z = gradients ? workspace->d[network->output] : NULL;
    workspace->passes[network->output].batch = call->batch;
    return network->loss->evaluate(network->loss_values, call);
}

/* The gradient comes back through a view with a buffer of its own. */
static void backward_view(struct bp_workspace *ws, int32_t at, int32_t batch) {
    const int32_t from = ws->network->nodes[at].inputs[0], owner = ws->owner[from];
    const size_t n = (size_t)batch * (size_t)bp_shape_size(&ws->network->nodes[at].out);
    if (ws->owner[at] != at) return;
    if (ws->written[owner]) bp_kernels()->scaled_add(n, 1, ws->d[at], ws->d[from]);
    else memcpy(ws->d[from], ws->d[at], n * sizeof(bp_real));
    ws->written[owner] = true;
}

void bp_loss_backward(const struct bp_network *network, const bp_real *weights, struct bp_workspace *workspace, bp_real *gradient, bool keep,
                      bool input_gradients) {
    struct bp_workspace *ws = workspace;
    (void)weights; /* forward has set them */
    const int32_t batch = ws->passes[network->output].batch;
    memset(ws->written, 0, (size_t)network->nodes_count * sizeof *ws->written);
    for (int32_t i = network->nodes_count - 1; i >= network->inputs_count; i--) {
        const struct bp_node *node = &network->nodes[i];
        struct bp_pass *pass = &ws->passes[i];
        if (!ws->learns[i] && !input_gradients) continue;
        if (node->ops->view) {
            backward_view(ws, i, batch);
            continue;
        }
        for (int32_t k = 0; k < node->inputs_count; k++) {
            const int32_t from = node->inputs[k], owner = ws->owner[from];
            const bool wanted = ws->learns[from] || input_gradients;
            pass->d_x[k] = wanted ? ws->d[from] : NULL;
            pass->keep_x[k] = ws->written[owner];
            ws->written[owner] = ws->written[owner] || wanted;
        }
        for (int32_t t = 0; t < node->tensors_count; t++) pass->d_W[t] = gradient + node->tensors[t].offset;
        pass->keep_W = keep;
        node->ops->backward(node, pass);
    }
}

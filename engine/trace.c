/* trace.c - see trace.h. */
#include "engine/trace.h"

#include "engine/double_graph.h"
#include "engine/network/workspace.h"
#include "engine/optimizers/optimizer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STEP 1e-5 /* of the central differences */

struct tracing {
    const struct bp_trace_request *request;
    struct bp_graph graph;
    struct bp_layer *layers;
    struct bp_network *net;
    struct bp_workspace *ws;
    struct bp_trace *trace;
    const struct bp_optimizer_ops *optimizer; /* of the double engine; NULL: none */
    struct bp_value values[BP_VALUES_MAX];
    uint64_t step; /* of the last update */
};

static int64_t numbers(const struct tracing *t, int32_t node) {
    return t->request->batch * bp_shape_size(&t->net->nodes[node].out);
}

static double *copy(const double *from, int64_t n) {
    double *to = malloc(((size_t)n + 1) * sizeof *to);
    if (to) memcpy(to, from, (size_t)n * sizeof *to);
    return to;
}

static double forward(const struct tracing *t, bool gradients) {
    struct bp_loss_call calls[BP_OUTPUTS_MAX] = {{0}};
    for (int32_t k = 0; k < t->net->outputs_count; k++)
        calls[k] = (struct bp_loss_call){.batch = t->request->batch, .y = t->request->targets[k], .scale = 1.0 / t->request->batch};
    return bp_loss_forward(t->net, t->trace->weights, t->ws, NULL, calls, gradients) / t->request->batch;
}

/* ---- what the layers are ---------------------------------------------------------------------------------------------------------------------- */

static int describe(const struct tracing *t, struct bp_error *error) {
    struct bp_trace *trace = t->trace;
    trace->layers_count = t->net->nodes_count;
    trace->layers = calloc((size_t)trace->layers_count, sizeof *trace->layers);
    if (!trace->layers) return bp_error_memory(error, "no memory for a trace");
    for (int32_t i = 0; i < trace->layers_count; i++) {
        const struct bp_node *node = &t->net->nodes[i];
        struct bp_trace_layer *layer = &trace->layers[i];
        snprintf(layer->name, sizeof layer->name, "%s", node->name);
        layer->type = node->ops ? node->ops->entry.name : "input";
        layer->activation = node->activation ? node->activation->entry.name : NULL;
        layer->shape = node->out;
        layer->inputs_count = node->inputs_count;
        for (int32_t k = 0; k < node->inputs_count; k++) snprintf(layer->inputs[k], BP_NAME_MAX, "%s", t->net->nodes[node->inputs[k]].name);
        layer->tensors_count = node->tensors_count;
        for (int32_t k = 0; k < node->tensors_count; k++) {
            struct bp_trace_tensor *tensor = &layer->tensors[k];
            const size_t at = node->tensors[k].offset;
            snprintf(tensor->name, sizeof tensor->name, "%s", node->tensors[k].name);
            tensor->shape = node->tensors[k].shape;
            tensor->state = node->tensors[k].state;
            tensor->W = trace->weights + at;
            tensor->gradient = trace->gradient + at;
            tensor->numeric = trace->numeric + at;
        }
    }
    for (int32_t k = 0; k < t->net->outputs_count; k++)
        if (t->net->outputs[k].head) trace->layers[t->net->outputs[k].node].activation = t->net->outputs[k].head->entry.name;
    return 0;
}

/* ---- forward ------------------------------------------------------------------------------------------------------------------------------------
 */

/* z of a node with an activation: its forward pass without it, into z. */
static void before_activation(const struct tracing *t, int32_t i, double *z) {
    struct bp_node plain = t->net->nodes[i];
    struct bp_pass pass = t->ws->passes[i];
    plain.activation = NULL;
    pass.a = z;
    plain.ops->forward(&plain, &pass);
}

static int keep_forward(const struct tracing *t) {
    bp_workspace_forward(t->net, t->trace->weights, t->ws, t->request->batch, NULL);
    for (int32_t i = 0; i < t->net->nodes_count; i++)
        if (!(t->trace->layers[i].a = copy(t->ws->a[i], numbers(t, i)))) return -1;
    for (int32_t i = 0; i < t->net->nodes_count; i++) {
        const struct bp_node *node = &t->net->nodes[i];
        if (!node->activation || node->ops->activation_only || node->slopes >= 0) continue;
        if (!(t->trace->layers[i].z = malloc(((size_t)numbers(t, i) + 1) * sizeof(double)))) return -1;
        before_activation(t, i, t->trace->layers[i].z);
    }
    for (int32_t k = 0; k < t->net->outputs_count; k++) { /* the loss applies the head */
        static const double none[4];
        const struct bp_output *output = &t->net->outputs[k];
        struct bp_trace_layer *layer = &t->trace->layers[output->node];
        const size_t width = layer->shape.rank ? (size_t)layer->shape.dims[layer->shape.rank - 1] : 1;
        if (!output->head) continue;
        layer->z = layer->a;
        if (!(layer->a = malloc(((size_t)numbers(t, output->node) + 1) * sizeof(double)))) return -1;
        output->head->forward(none, (size_t)numbers(t, output->node) / width, width, layer->z, layer->a);
    }
    return 0;
}

/* ---- backward -----------------------------------------------------------------------------------------------------------------------------------
 */

/* The gradient in a node's output, before its backward pass may overwrite it. */
static void watch(void *context, int32_t i) {
    struct tracing *t = context;
    if (t->net->nodes[i].ops->view) return;
    t->trace->layers[i].delta = copy(t->ws->d[i], numbers(t, i));
}

static void through_activation(const struct tracing *t, int32_t i) {
    const struct bp_node *node = &t->net->nodes[i];
    struct bp_trace_layer *layer = &t->trace->layers[i];
    const size_t width = node->out.rank ? (size_t)node->out.dims[node->out.rank - 1] : 1, rows = (size_t)numbers(t, i) / width;
    if (!layer->delta || !node->activation || !layer->z) return;
    node->activation->backward(node->activation_numbers, rows, width, layer->z, layer->a, layer->delta, layer->delta);
}

static void keep_backward(struct tracing *t) {
    t->trace->loss = forward(t, true);
    t->ws->watch = watch;
    t->ws->watcher = t;
    t->ws->layer_by_layer = true;
    bp_loss_backward(t->net, t->trace->weights, t->ws, t->trace->gradient, false, true);
    t->ws->watch = NULL;
    for (int32_t i = 0; i < t->net->nodes_count; i++) through_activation(t, i);
}

/* Central differences of the loss, one weight after the other. */
static void differ(const struct tracing *t) {
    for (int32_t i = 0; i < t->net->nodes_count; i++)
        for (int32_t k = 0; k < t->net->nodes[i].tensors_count; k++) {
            struct bp_trace_tensor *tensor = &t->trace->layers[i].tensors[k];
            for (int64_t j = 0; !tensor->state && j < bp_shape_size(&tensor->shape); j++) {
                const double held = tensor->W[j];
                tensor->W[j] = held + STEP;
                const double up = forward(t, false);
                tensor->W[j] = held - STEP;
                const double down = forward(t, false);
                tensor->W[j] = held;
                tensor->numeric[j] = (up - down) / (2 * STEP);
                tensor->error = fmax(tensor->error, fabs(tensor->numeric[j] - tensor->gradient[j]));
            }
        }
}

/* ---- the update -----------------------------------------------------------------------------------------------------------------------------------
 */

static int open_optimizer(struct tracing *t, struct bp_error *error) {
    struct bp_trace *trace = t->trace;
    if (!t->request->optimizer) return 0;
    t->optimizer = (const struct bp_optimizer_ops *)bp_family_find(&bp_optimizers, t->request->optimizer->entry.name);
    if (!t->optimizer->update)
        return bp_error_set(error, "/optimizer", "%s searches over the whole training set; a trace shows one step of another optimizer",
                            t->optimizer->entry.name);
    memcpy(t->values, t->request->optimizer_values, sizeof t->values);
    bp_double_values(&t->optimizer->entry, t->values);
    bool good = (trace->updated = calloc(trace->weights_count + 1, sizeof *trace->updated)) != NULL;
    const int32_t slots = t->optimizer->slots(t->values);
    for (int32_t s = 0; s < slots; s++) good = (trace->slots[trace->slots_count++] = calloc(trace->weights_count + 1, sizeof(double))) && good;
    return good ? 0 : bp_error_memory(error, "no memory for a trace");
}

/* The optimizer's step by the gradient, from the weights to the updated ones. */
static void update(struct tracing *t) {
    struct bp_trace *trace = t->trace;
    if (!t->optimizer) return;
    memcpy(trace->updated, trace->weights, trace->weights_count * sizeof *trace->updated);
    struct bp_update step = {.values = t->values,
                             .learning_rate = t->values[0].number,
                             .decay = 1,
                             .step = ++t->step,
                             .n = trace->weights_count,
                             .g = trace->gradient,
                             .W = trace->updated};
    for (int32_t s = 0; s < trace->slots_count; s++) step.slots[s] = trace->slots[s];
    t->optimizer->update(&step);
    for (int32_t i = 0; i < t->net->nodes_count; i++) /* statistics are not the optimizer's */
        for (int32_t k = 0; k < t->net->nodes[i].tensors_count; k++) {
            const struct bp_tensor *tensor = &t->net->nodes[i].tensors[k];
            if (tensor->state || t->net->nodes[i].frozen)
                memcpy(trace->updated + tensor->offset, trace->weights + tensor->offset, (size_t)bp_shape_size(&tensor->shape) * sizeof(double));
        }
}

/* The steps before what is traced. */
static int advance(struct tracing *t, struct bp_error *error) {
    struct bp_trace *trace = t->trace;
    const int32_t steps = t->optimizer ? t->request->steps : 0;
    trace->history = calloc((size_t)steps + 1, sizeof *trace->history);
    if (!trace->history) return bp_error_memory(error, "no memory for a trace");
    for (int32_t s = 0; s < steps; s++) {
        memset(trace->gradient, 0, trace->weights_count * sizeof *trace->gradient);
        trace->history[s] = forward(t, true);
        bp_loss_backward(t->net, trace->weights, t->ws, trace->gradient, false, false);
        update(t);
        memcpy(trace->weights, trace->updated, trace->weights_count * sizeof *trace->weights);
    }
    memset(trace->gradient, 0, trace->weights_count * sizeof *trace->gradient);
    trace->loss = trace->history[steps] = forward(t, false);
    return 0;
}

/* What the network computes for the probes: the outputs with their heads. */
static int probe(struct tracing *t, struct bp_error *error) {
    static const double none[4];
    const int32_t n = t->request->probes;
    struct bp_workspace *ws = NULL;
    if (n == 0) return 0;
    if (bp_workspace_new(t->net, n, false, &ws, error) != 0) return -1;
    for (int32_t i = 0; i < t->net->inputs_count; i++)
        memcpy(bp_workspace_input(ws, i), t->request->probe[i], (size_t)n * (size_t)bp_shape_size(&t->net->nodes[i].out) * sizeof(double));
    bp_workspace_forward(t->net, t->trace->weights, ws, n, NULL);
    t->trace->outputs_count = t->net->outputs_count;
    for (int32_t k = 0; k < t->net->outputs_count; k++) {
        const struct bp_output *output = &t->net->outputs[k];
        const struct bp_shape *shape = &t->net->nodes[output->node].out;
        const size_t count = (size_t)n * (size_t)bp_shape_size(shape), width = shape->rank ? (size_t)shape->dims[shape->rank - 1] : 1;
        t->trace->outputs[k] = *shape;
        if (!(t->trace->probed[k] = copy(ws->a[output->node], (int64_t)count))) break;
        if (output->head) output->head->forward(none, count / width, width, ws->a[output->node], t->trace->probed[k]);
    }
    bp_workspace_free(ws);
    return t->trace->probed[t->net->outputs_count - 1] ? 0 : bp_error_memory(error, "no memory for a trace");
}

/* ---- all of it
 * ---------------------------------------------------------------------------------------------------------------------------------------- */

static int prepare(struct tracing *t, struct bp_error *error) {
    struct bp_trace *trace = t->trace;
    if (bp_network_plan(&t->graph, &t->net, error) || bp_workspace_new(t->net, t->request->batch, true, &t->ws, error)) return -1;
    const size_t n = trace->weights_count = t->net->weights_count;
    trace->weights = bp_reals_new(n + 1);
    trace->gradient = bp_reals_new(n + 1);
    trace->numeric = calloc(n + 1, sizeof *trace->numeric);
    if (!trace->weights || !trace->gradient || !trace->numeric) return bp_error_memory(error, "no memory for a trace");
    memset(trace->weights, 0, n * sizeof *trace->weights);
    for (int32_t i = 0; i < t->net->nodes_count; i++) /* tensors are aligned, so their places depend on the width of a number */
        for (int32_t k = 0; k < t->net->nodes[i].tensors_count; k++)
            memcpy(trace->weights + t->net->nodes[i].tensors[k].offset, t->request->weights + t->request->network->nodes[i].tensors[k].offset,
                   (size_t)bp_shape_size(&t->net->nodes[i].tensors[k].shape) * sizeof *trace->weights);
    memset(trace->gradient, 0, n * sizeof *trace->gradient);
    for (int32_t i = 0; i < t->net->inputs_count; i++)
        memcpy(bp_workspace_input(t->ws, i), t->request->inputs[i], (size_t)numbers(t, i) * sizeof(double));
    return describe(t, error);
}

int bp64_trace(const struct bp_graph *graph, const struct bp_trace_request *request, struct bp_trace *trace, struct bp_error *error) {
    struct tracing t = {.request = request, .trace = trace};
    memset(trace, 0, sizeof *trace);
    int failed = bp_double_graph(graph, &t.graph, &t.layers, error);
    if (!failed) failed = prepare(&t, error);
    if (!failed) failed = open_optimizer(&t, error);
    if (!failed) failed = advance(&t, error);
    if (!failed) failed = probe(&t, error);
    if (!failed && !request->brief && keep_forward(&t) != 0) failed = bp_error_memory(error, "no memory for a trace");
    if (!failed && !request->brief) {
        keep_backward(&t);
        differ(&t);
        update(&t);
    }
    bp_workspace_free(t.ws);
    bp_network_free(t.net);
    free(t.layers);
    return failed;
}

void bp64_trace_free(struct bp_trace *trace) {
    for (int32_t i = 0; trace->layers && i < trace->layers_count; i++) {
        free(trace->layers[i].z);
        free(trace->layers[i].a);
        free(trace->layers[i].delta);
    }
    free(trace->layers);
    free(trace->weights);
    free(trace->gradient);
    free(trace->numeric);
    free(trace->updated);
    free(trace->history);
    for (int32_t k = 0; k < BP_OUTPUTS_MAX; k++) free(trace->probed[k]);
    for (int32_t s = 0; s < trace->slots_count; s++) free(trace->slots[s]);
    memset(trace, 0, sizeof *trace);
}

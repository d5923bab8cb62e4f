/* trace.h - one mini-batch through a network, forward and backward, with every number kept: what each layer computes, the error that comes back, each
 * gradient beside its central difference, and the update that an optimizer would make. In double: lives in libengine_f64.a only.
 *
 * B: samples. delta is the gradient of the mean loss in z, a layer's numbers before its activation; without an activation z is a. */
#ifndef BP_TRACE_H
#define BP_TRACE_H

#include "engine/base/base.h"
#include "engine/base/registry.h"

struct bp_graph;
struct bp_network;
struct bp_optimizer_ops;

struct bp_trace_tensor {
    char name[BP_NAME_MAX];
    struct bp_shape shape;
    bool state;                     /* statistics, which are not trained: no gradient */
    double *W, *gradient, *numeric; /* into the trace's arrays */
    double error;                   /* largest |gradient - numeric| */
};
struct bp_trace_layer {
    char name[BP_NAME_MAX];
    const char *type;
    const char *activation; /* its name, NULL: none */
    int32_t inputs_count;
    char inputs[BP_INPUTS_MAX][BP_NAME_MAX];
    struct bp_shape shape; /* of z, a and delta without B */
    double *z;             /* (B, shape) NULL: as a */
    double *a;             /* (B, shape) */
    double *delta;         /* (B, shape) NULL: nothing comes back (an input, a view) */
    int32_t tensors_count;
    struct bp_trace_tensor tensors[BP_TENSORS_MAX];
};
struct bp_trace {
    double loss;                    /* mean over the batch */
    double *history;                /* (steps + 1) the loss before each step, and after the last */
    double *probed[BP_OUTPUTS_MAX]; /* (probes, output) */
    int32_t layers_count;
    struct bp_trace_layer *layers; /* inputs first */
    size_t weights_count;
    double *weights, *gradient, *numeric, *updated; /* (weights_count) updated: by the optimizer's next step */
    int32_t slots_count;
    double *slots[24]; /* (weights_count) each: what the optimizer remembers after that step */
    int32_t outputs_count;
    struct bp_shape outputs[BP_OUTPUTS_MAX]; /* of probed, without P */
};
struct bp_trace_request {
    int32_t batch;
    const struct bp_network *network; /* the same graph, planned on the float32 side: where weights are in the next */
    const double *weights;
    const double *inputs[BP_INPUTS_MAX];      /* (B, input) */
    const double *targets[BP_OUTPUTS_MAX];    /* as the loss takes them */
    const struct bp_optimizer_ops *optimizer; /* NULL: no update */
    const struct bp_value *optimizer_values;
    int32_t steps;                      /* of the optimizer on this batch, before what is traced; 0 without an optimizer */
    bool brief;                         /* no layers, no central differences: the losses, the weights and the probes */
    int32_t probes;                     /* P; other inputs, to see what the network computes for them after the steps */
    const double *probe[BP_INPUTS_MAX]; /* (P, input) */
};

/* The graph needs shapes for its inputs, and losses. bp64_trace_free in any case. Errors: no memory, an optimizer without a step. */
int bp64_trace(const struct bp_graph *graph, const struct bp_trace_request *request, struct bp_trace *trace, struct bp_error *error);
void bp64_trace_free(struct bp_trace *trace);

#endif

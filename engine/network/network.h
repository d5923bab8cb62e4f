/* network.h - a graph of layers: defined, planned, run forward and backward.
 *
 * A definition (struct bp_graph) names inputs, layers and what each layer reads. bp_network_plan determines all shapes,
 * sizes and errors and gives a constant struct bp_network, which any number of threads may use at once. Weights are one buffer
 * (net->weights_count reals) that the caller owns; activations and gradients live in a workspace, one per thread. */
#ifndef BP_NETWORK_H
#define BP_NETWORK_H

#include "engine/activations/activation.h"
#include "engine/initializers/initializer.h"
#include "engine/layers/layer.h"
#include "engine/losses/loss.h"

struct bp_input {
    char name[BP_NAME_MAX];
    struct bp_shape shape;
};

/* What an optimizer's learning rate and weight decay are multiplied by for a layer's tensors. Zeros are the defaults. */
struct bp_factors {
    double rate;      /* 0: 1 */
    double bias_rate; /* of its biases, 0: like its other tensors */
    double decay;     /* unless decay_given: 1 */
    bool decay_given;
};

struct bp_layer {
    const struct bp_layer_ops *ops;
    char name[BP_NAME_MAX]; /* "" : the network names it type_number ("dense_1"); chosen names are unique */
    bool frozen;            /* its weights stay as they are */
    struct bp_factors factors;
    struct bp_value values[BP_VALUES_MAX];
    int32_t inputs_count; /* 0: the layer before it (the first: the only input) */
    char inputs[BP_INPUTS_MAX][BP_NAME_MAX];
};

/* The options of one output. */
struct bp_graph_output {
    char name[BP_NAME_MAX];         /* of its layer; "": the last layer */
    const struct bp_loss_ops *loss; /* NULL: not known yet, nothing is fused */
    struct bp_value values[BP_VALUES_MAX];
    double weight; /* of its loss in the sum of losses; 0 means 1 */
    bool shares;   /* its targets are shares, not classes: a loss that has a form for them takes it */
    int32_t steps; /* of a target of numbers whose last steps may be missing (NaN): each is a separate row, or none; 0: all numbers are present */
};

/* What a user defined. All arrays are the caller's. */
struct bp_graph {
    int32_t inputs_count, layers_count, outputs_count; /* no outputs: the first row of `outputs` holds for the only one */
    const struct bp_input *inputs;
    const struct bp_layer *layers;
    struct bp_graph_output outputs[BP_OUTPUTS_MAX];
    bool any_readers; /* a layer that leads nowhere is no mistake: for looking at shapes */
};

/* One output, planned. */
struct bp_output {
    int32_t node;
    struct bp_shape shape; /* of a prediction: without the members that the node may have */
    int32_t members;       /* of the node: the loss is the mean of theirs, the prediction the mean of theirs. 0: none */
    const struct bp_loss_ops *loss;
    struct bp_value values[BP_VALUES_MAX]; /* the loss's */
    double weight;
    int32_t steps;                        /* as in struct bp_graph_output */
    const struct bp_activation_ops *head; /* an activation taken off the output layer because the loss fuses it. NULL: none. */
    bool head_implied;                    /* the output layer was linear and the loss implies its head (logits) */
    bool predictions;                     /* the loss has a head, and the numbers are averages of what it gave: they cannot be trained */
};

struct bp_network {
    int32_t inputs_count;
    int32_t nodes_count; /* inputs first (ops NULL), then layers in topological order */
    struct bp_node *nodes;
    int32_t *layer_of; /* layer_of[node]: index in graph->layers, -1 for an input */
    int32_t outputs_count;
    struct bp_output outputs[BP_OUTPUTS_MAX];
    bool complete;        /* all shapes are known: it can be run */
    size_t trained_count; /* reals at the front of the weights that training changes; frozen weights and statistics follow */
    size_t weights_count; /* reals, with the padding between tensors */
    int64_t parameters;   /* numbers in all tensors, without padding; those that training changes: `trained` */
    int64_t trained;
};

/* Plans the graph. On success *network is the caller's (bp_network_free). Errors: unknown names, a cycle, shapes that do not
 * fit (both layers and both shapes are named), a loss that does not suit the output, no memory. error->pointer is like "/layers/3/units". */
int bp_network_plan(const struct bp_graph *graph, struct bp_network **network, struct bp_error *error);
void bp_network_free(struct bp_network *network);

/* The shape of the node's output without its members, if it has some: of a prediction. */
struct bp_shape bp_node_prediction(const struct bp_node *node);

/* Rows that a sample of that output is to its loss: one for each of its positions with a class, or for each of its steps when it has a mask or some
 * may be missing; else 1.
 */
int32_t bp_output_rows(const struct bp_network *network, int32_t output);

/* The number of indices of input i: the minimum over the embeddings that read it, directly or through a view; 0: any numbers. */
int32_t bp_network_indices(const struct bp_network *network, int32_t input);

/* Initial weights by seed: the same on every machine. weights: (weights_count). */
void bp_network_initialize(const struct bp_network *network, uint64_t seed, bp_real *weights);

/* Buffers for one thread: activations of up to batch_max samples and, when training, their gradients. */
struct bp_workspace;
int bp_workspace_new(const struct bp_network *network, int32_t batch_max, bool training, struct bp_workspace **workspace, struct bp_error *error);
void bp_workspace_free(struct bp_workspace *workspace);
/* How passes with a draw (training) compute large products; all else is float32 in any case. Bfloat16 takes effect where bp_onednn_start has
 * started it (kernels/kernels.h), float32 elsewhere. FLOAT32 unless set. */
enum bp_precision { BP_PRECISION_FLOAT32, BP_PRECISION_BFLOAT16 };
void bp_workspace_precision(struct bp_workspace *workspace, enum bp_precision precision);
int32_t bp_workspace_batch_max(const struct bp_workspace *workspace);
/* Bytes such a workspace takes. */
size_t bp_workspace_bytes(const struct bp_network *network, int32_t batch_max, bool training);

/* Where to write the samples of input i before a forward pass: (batch_max, shape). Borrowed. */
bp_real *bp_workspace_input(struct bp_workspace *workspace, int32_t input);
/* The gradient of the loss in input i after a backward pass with input gradients: (B, shape). Borrowed. */
const bp_real *bp_workspace_input_gradient(const struct bp_workspace *workspace, int32_t input);

/* Which random numbers a training pass draws, and which part of its mini-batch it is. */
struct bp_draw {
    uint64_t seed, step;
    int64_t first;
    double share; /* samples of this pass / samples of the mini-batch; 0 means 1 */
    double eased; /* dropout rates are times 1 - eased */
};

/* Inference: the network's first output with its head applied, (batch, shape); the others are at bp_workspace_output. Borrowed, valid until the
 * next pass. */
const bp_real *bp_predict(const struct bp_network *network, const bp_real *weights, struct bp_workspace *workspace, int32_t batch);

/* After it bp_workspace_input_gradient has the gradient of the sum over the batch of d (batch, shape) times the predictions of that output, as in
 * inference. The workspace must be one for training; gradient: (weights_count) space. -1: no memory. */
int bp_predict_gradient(const struct bp_network *network, const bp_real *weights, struct bp_workspace *workspace, int32_t batch, int32_t output,
                        const bp_real *d, bp_real *gradient);

/* Output `output` after a pass: (B, shape), of one with members their mean. Borrowed. */
const bp_real *bp_workspace_output(const struct bp_workspace *workspace, int32_t output);

/* One forward pass and the losses. calls: one for each output, which supplies batch, y, weights, scale; the rest is filled in. draw NULL: as in
 * inference. Returns the sum of the outputs' losses by their weights (see loss.h); calls[k].loss is each one's own, and calls[k].z then points to the
 * predictions. gradients: also prepare the backward pass. */
double bp_loss_forward(const struct bp_network *network, const bp_real *weights, struct bp_workspace *workspace, const struct bp_draw *draw,
                       struct bp_loss_call *calls, bool gradients);
/* The backward pass after bp_loss_forward(gradients = true). gradient: (weights_count), stored, or added to when keep.
 * input_gradients: also compute those of the inputs. */
void bp_loss_backward(const struct bp_network *network, const bp_real *weights, struct bp_workspace *workspace, bp_real *gradient, bool keep,
                      bool input_gradients);

/* Whether training such a network on that many samples in all, `batch` of them to a shard, repays the start of oneDNN on this CPU. (It may be started
 * for bfloat16 in any case.) */
bool bp_onednn_repays(const struct bp_network *network, int32_t batch, double samples);
/* Multiplications in the products and convolutions of one sample, forward; backward has about twice as many. */
double bp_network_products(const struct bp_network *network);
/* Bytes of the copies in bfloat16 that a thread with shards of `batch` samples stores: of the largest factors of its products and convolutions. */
int64_t bp_bfloat16_bytes(const struct bp_network *network, int32_t batch);

#endif

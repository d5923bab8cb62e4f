/* layer.h - the contract of a layer: one file in layers/, one line in layers.def.
 *
 * B: samples in the batch. x: an input, a: the output (activations), W: a weight tensor, d_x, d_a, d_W: gradients of
 * the loss in them. `plan` may fail and settles everything; `forward` and `backward` cannot fail and allocate nothing.
 * Gradients: with `keep` 0 backward stores, with 1 it adds to what is there (several readers of one input, several batches of one
 * update). Storing saves a pass over memory that zeroing first would cost. */
#ifndef BP_LAYER_H
#define BP_LAYER_H

#include "registry.h"

struct bp_initializer_ops;
struct bp_layer_ops;

/* One weight tensor of a layer. `plan` fills everything but offset. */
struct bp_tensor {
    char name[32];         /* "kernel", "bias" */
    struct bp_shape shape; /* here all dimensions are the tensor's own: no batch */
    const struct bp_initializer_ops *initializer;
    double initializer_numbers[4]; /* its parameters */
    double fan_in, fan_out;
    bool penalised; /* the L2 penalty applies (kernels, not biases) */
    size_t offset;  /* in reals, into the buffer of all weights; set by the network */
};

/* A layer in its place in a network: what the user asked, and what `plan` settled. Constant once planned. */
struct bp_node {
    const struct bp_layer_ops *ops;
    char name[BP_NAME_MAX];
    struct bp_value values[BP_VALUES_MAX];
    int32_t inputs_count;
    int32_t inputs[BP_INPUTS_MAX]; /* node numbers; the network's own inputs come first */
    struct bp_shape in[BP_INPUTS_MAX];
    /* settled by plan */
    struct bp_shape out; /* of one sample */
    int32_t tensors_count;
    struct bp_tensor tensors[BP_TENSORS_MAX];
    size_t memo;                       /* reals per sample that forward leaves for backward, besides x and a */
    size_t scratch;                    /* reals per sample that one call may use and nobody reads later */
    const struct bp_entry *activation; /* a fused activation, or NULL for none (linear) */
    double activation_numbers[4];
    size_t shared_scratch; /* reals that one call may use besides, whatever the batch (a tile of a convolution) */
    int32_t indices;       /* the input is whole numbers 0..indices-1 (embedding): it has no gradient, and must not be scaled; 0: any numbers */
    bool draws;            /* draws random numbers in training (dropout) */
    uint32_t index;        /* position in the network: the stream of its random numbers */
};

/* One call. Pointers follow node->inputs and node->tensors. */
struct bp_pass {
    int32_t batch; /* B */
    bool training;
    uint64_t seed, step;             /* of the training; step counts updates */
    int64_t first;                   /* position of sample 0 of this shard in the mini-batch */
    const bp_real *x[BP_INPUTS_MAX]; /* (B, in...) */
    bp_real *a;                      /* (B, out...) */
    bp_real *memo;                   /* (B, memo) */
    bp_real *scratch;                /* (B, scratch) */
    bp_real *shared_scratch;         /* (shared_scratch) */
    const bp_real *W[BP_TENSORS_MAX];
    bp_real *d_a;                /* (B, out...); backward may overwrite it */
    bp_real *d_x[BP_INPUTS_MAX]; /* (B, in...), or NULL when nobody wants it */
    bool keep_x[BP_INPUTS_MAX];  /* add to d_x instead of storing */
    bp_real *d_W[BP_TENSORS_MAX];
    bool keep_W;
};

struct bp_layer_ops {
    struct bp_entry entry;
    int32_t inputs_min, inputs_max;
    bool view; /* the output is the input's memory under another shape: no forward, no backward, nothing is copied */
    /* Settles out, tensors, memo, scratch from values and in. An unknown input shape gives an unknown output, not an
     * error. Errors say what was got and what was expected; the caller adds the layer's name and the pointer. */
    int (*plan)(struct bp_node *node, struct bp_error *error);
    void (*forward)(const struct bp_node *node, const struct bp_pass *pass);
    void (*backward)(const struct bp_node *node, const struct bp_pass *pass);
};

/* For plan: sets the activation that a parameter asks for; linear is none. */
void bp_node_activate(struct bp_node *node, const struct bp_value *asked);
/* For plan: adds a tensor of the given name and dims; returns it. */
struct bp_tensor *bp_node_tensor(struct bp_node *node, const char *name, int32_t rank, const int32_t *dims);

#endif

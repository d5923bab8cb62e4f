/* layer.h - the contract of a layer: one file in layers/, one line in layers.def.
 *
 * B: samples in the batch. x: an input, a: the output (activations), W: a weight tensor, d_x, d_a, d_W: gradients of
 * the loss in them. `plan` may fail and determines everything; `forward` and `backward` cannot fail and allocate nothing.
 * Gradients: with `keep` 0 backward stores, with 1 it adds to what is there (several readers of one input, several batches of one
 * update). Storing saves a pass over memory that zeroing first would cost. */
#ifndef BP_LAYER_H
#define BP_LAYER_H

#include "engine/activations/activation.h"
#include "engine/initializers/initializer.h"

struct bp_layer_ops;
struct bp_cell;

/* Sequences of different lengths are padded to one, and a mask (B, steps) of 1 and 0 says which steps are there. What becomes of the mask at a
 * layer whose input has one: */
enum bp_mask_rule {
    BP_MASK_REFUSE, /* the layer would mix steps that are there with padding: an error of plan */
    BP_MASK_PASS,   /* it holds for the output too (for several inputs: where all of them are there) */
    BP_MASK_ZERO,   /* as PASS, and masked steps are 0 for it: the network writes them, in x and in d_x (a convolution that keeps the steps) */
    BP_MASK_USE,    /* the layer applies it, and its output has none */
    BP_MASK_MAKE,   /* the layer writes the mask of its output itself */
    BP_MASK_FIRST,  /* that of the first input holds for the output; the layer applies those of the others itself */
    BP_MASK_RENEW   /* the layer applies it and writes the mask of its output, which has other steps */
};

/* An axis of members, (members, ...): networks side by side that the layers share (ensemble.c). What becomes of it at a layer whose input has one: */
enum bp_member_rule {
    BP_MEMBERS_REFUSE, /* the layer would mix members: an error of plan */
    BP_MEMBERS_PASS,   /* the vectors along the last axis are computed side by side: the output has the same members */
    BP_MEMBERS_MIX     /* mixing them is its purpose: the output has none (a mean over all axes but the last) */
};

/* A layer in a network: the user's parameters, and the results of `plan`. Constant once planned. */
struct bp_node {
    const struct bp_layer_ops *ops;
    char name[BP_NAME_MAX];
    struct bp_value values[BP_VALUES_MAX];
    int32_t inputs_count;
    int32_t inputs[BP_INPUTS_MAX]; /* node numbers; the network's own inputs come first */
    struct bp_shape in[BP_INPUTS_MAX];
    /* set by plan */
    struct bp_shape out; /* of one sample */
    int32_t tensors_count;
    struct bp_tensor tensors[BP_TENSORS_MAX];
    size_t memo;                                /* reals per sample that forward leaves for backward, besides x and a */
    size_t kept;                                /* reals that forward leaves for backward besides, whatever the batch */
    size_t scratch;                             /* reals per sample for one call only */
    const struct bp_activation_ops *activation; /* a fused activation, or NULL for none (linear) */
    double activation_numbers[4];
    int32_t slopes;          /* the tensor of the activation's learned slopes, -1: none. Settled by the network */
    size_t shared_scratch;   /* reals that one call may use besides, whatever the batch (a tile of a convolution) */
    int32_t positions;       /* of a sample, at which a product with a tensor is taken (struct bp_tensor): steps, cells of the output */
    struct bp_bounds bounds; /* of its values before an activation, where the layer has some itself (the state of lstm and gru) */
    double padding;          /* of a node that makes a mask: steps whose numbers are all this one are padding */
    int32_t indices;         /* the input is whole numbers 0..indices-1 (embedding): it has no gradient, and must not be scaled; 0: any numbers */
    bool draws;              /* draws random numbers in training (dropout) */
    bool predictions;        /* its values are predictions already: as an output, no head is applied to them */
    bool frozen;             /* its weights stay as they are */
    bool fits;               /* ops->fit sets tensors from data before the first step */
    int32_t members;         /* of its output, 0: it has no axis of them. Before plan that of the inputs; plan may start one */
    enum bp_mask_rule mask;
    int32_t mask_of; /* the node that holds the mask of this one's output, -1: none. Settled by the network */
    uint32_t index;  /* position in the network: the stream of its random numbers */
};

/* One call. Pointers follow node->inputs and node->tensors. */
struct bp_pass {
    int32_t batch; /* B */
    bool training;
    bool predicting;                    /* small products compute a row in the same way in every batch (struct bp_gemm) */
    bool bfloat16;                      /* large products may round their factors to it (struct bp_gemm) */
    uint64_t seed, step;                /* of the training; step counts updates */
    int64_t first;                      /* position of sample 0 of this shard in the mini-batch */
    double eased;                       /* dropout rates are times 1 - eased (bp_pass_rate) */
    double share;                       /* samples of this shard / samples of the mini-batch */
    const bp_real *x[BP_INPUTS_MAX];    /* (B, in...) */
    const bp_real *mask[BP_INPUTS_MAX]; /* (B, steps) of an input that has one, else NULL */
    bp_real *mask_out;                  /* (B, steps): for BP_MASK_MAKE, and for BP_MASK_RENEW when mask[0] is there */
    bp_real *a;                         /* (B, out...) */
    bp_real *memo;                      /* (B, memo) */
    bp_real *kept;                      /* (kept) */
    bp_real *scratch;                   /* (B, scratch) */
    bp_real *shared_scratch;            /* (shared_scratch) */
    const bp_real *W[BP_TENSORS_MAX];
    bp_real *d_a;                /* (B, out...); backward may overwrite it */
    bp_real *d_x[BP_INPUTS_MAX]; /* (B, in...), or NULL when it is not requested */
    bool keep_x[BP_INPUTS_MAX];  /* add to d_x instead of storing */
    bp_real *d_W[BP_TENSORS_MAX];
    bool keep_W;
};

enum { BP_FIT_SCRATCH = 1024 };

/* What a layer sets its tensors from: its first input for some training rows, computed as in inference. */
struct bp_fit {
    int32_t rows;               /* at least 1 */
    const bp_real *x;           /* (rows, in[0]...) */
    bp_real *scratch;           /* (rows), and at least (BP_FIT_SCRATCH) */
    struct bp_random *random;   /* of the node, by the seed */
    bp_real *W[BP_TENSORS_MAX]; /* with their initial values */
};

struct bp_layer_ops {
    struct bp_entry entry;
    int32_t inputs_min, inputs_max;
    enum bp_mask_rule mask; /* what plan may change for this node */
    enum bp_member_rule members;
    bool activation_only;       /* the output is the activation of the input, and nothing else happens */
    bool by_sample;             /* one input; a pass over some samples is the part of that over the mini-batch, without random numbers */
    bool view;                  /* the output is the input's memory under another shape: no forward, no backward, nothing is copied */
    const struct bp_cell *cell; /* of a recurrent layer: one step of it (recurrent.h) */
    /* Determines out, tensors, memo, scratch from values and in. An unknown input shape gives an unknown output, not an
     * error. Errors say what was got and what was expected; the caller adds the layer's name and the pointer. */
    int (*plan)(struct bp_node *node, struct bp_error *error);
    void (*forward)(const struct bp_node *node, const struct bp_pass *pass);
    void (*backward)(const struct bp_node *node, const struct bp_pass *pass);
    /* Layers with `state` tensors, unless frozen: after each mini-batch those W[t] are renewed from statistics[t], the sum of what the backward
     * passes of the shards stored (never added) in d_W[t], each times pass->share. step: mini-batches before. NULL: no such tensors. */
    void (*update_statistics)(const struct bp_node *node, uint64_t step, bp_real *const *W, bp_real *const *statistics);
    /* Optional, of a node with `fits`: called once, when a training begins with initial weights (not when it resumes), for the nodes in their order.
     */
    void (*fit)(const struct bp_node *node, const struct bp_fit *fit);
};

/* The rate of dropout at this moment of the training; `rate`: of the layer. */
static inline double bp_pass_rate(const struct bp_pass *pass, double rate) {
    return rate * (1 - pass->eased);
}

/* Whether the node has its t-th tensor; one that learned slopes took is not meant. */
static inline bool bp_node_has(const struct bp_node *node, int32_t t) {
    return node->tensors_count > t && node->slopes != t;
}

/* The activation of a node, which has one (in engine/layers/activate.c): a = f(z) for size[0] rows of size[1] numbers; a may be z. */
void bp_node_forward_activation(const struct bp_node *node, const struct bp_pass *pass, const size_t size[2], const bp_real *z, bp_real *a);

/* What goes back through it: d_z = d_a f'(z). z NULL unless f needs it; d_z may be d_a. `more`: one of several calls for one pass, not the first. */
struct bp_activated {
    const bp_real *z, *a, *d_a;
    bp_real *d_z;
    bool more;
};
/* Learned slopes get their gradient in d_W. */
void bp_node_backward_activation(const struct bp_node *node, const struct bp_pass *pass, const size_t size[2], const struct bp_activated *with);
/* For the network, after plan: adds the tensor of learned slopes when the activation has them. */
int bp_node_slopes(struct bp_node *node, struct bp_error *error);

/* For plan: sets the activation from a parameter; linear is none. */
void bp_node_activate(struct bp_node *node, const struct bp_value *asked);
/* For plan: adds a tensor of the given name and dims; returns it. */
struct bp_tensor *bp_node_tensor(struct bp_node *node, const char *name, int32_t rank, const int32_t *dims);

#endif

/* initializer.h - the contract of an initializer: one file in initializers/, one line in initializers.def. */
#ifndef BP_INITIALIZER_H
#define BP_INITIALIZER_H

#include "engine/base/random.h"
#include "engine/base/registry.h"

struct bp_initializer_ops;

/* What a layer does with a tensor: nothing that a library of products could take over (a bias, a table that is looked up), or a product of its input
 * with it at each of node->positions. */
enum bp_product { BP_PRODUCT_NONE, BP_PRODUCT_MATRIX, BP_PRODUCT_CONVOLUTION };

/* One weight tensor of a layer. `plan` fills everything but offset. */
struct bp_tensor {
    char name[32];         /* "kernel", "bias" */
    struct bp_shape shape; /* here all dimensions are the tensor's own: no batch */
    const struct bp_initializer_ops *initializer;
    double initializer_numbers[4]; /* its parameters */
    double fan_in, fan_out;
    enum bp_product product;
    bool penalised;     /* the L1 and L2 penalties and max_norm apply (kernels, not biases) */
    bool bias;          /* the layer's factor for biases applies to its learning rate */
    double rate, decay; /* factors on the learning rate and on weight decay; set by the network */
    bool state;         /* not trained by gradients: the layer's `update_statistics` renews it (running statistics) */
    int32_t parts;      /* kernels side by side along the first axis, each initialised and limited by max_norm by itself; 0: one */
    size_t offset;      /* in reals, into the buffer of all weights; set by the network */
};

struct bp_initializer_ops {
    struct bp_entry entry; /* at most 4 parameters, all numbers: the tensor holds them */
    /* Fills W[0..n) of the tensor. Values are drawn in double and rounded once. */
    void (*fill)(const struct bp_tensor *tensor, struct bp_random *random, bp_real *W, size_t n);
};

/* For plan: sets the initializer of the tensor from a parameter, with the initializer's parameters. */
void bp_tensor_initialize(struct bp_tensor *tensor, const struct bp_value *asked);
/* Uniform up to 1 / sqrt(fan_in), as PyTorch's linear layers begin: for layers that offer no choice. In initializers/auto.c. */
extern const struct bp_initializer_ops bp_initializer_by_fan_in;
/* The requested initializer, or the one that "auto" (or NULL) means. In initializers/auto.c. */
const struct bp_initializer_ops *bp_initializer_resolve(const struct bp_entry *asked);

/* Whether it is "auto" or NULL. */
bool bp_initializer_is_auto(const struct bp_entry *asked);

#endif

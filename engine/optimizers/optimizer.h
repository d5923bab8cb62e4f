/* optimizer.h - the contract of an optimizer: one file in optimizers/, one line in optimizers.def. */
#ifndef BP_OPTIMIZER_H
#define BP_OPTIMIZER_H

#include "engine/base/registry.h"

enum { BP_SLOTS_MAX = 24, BP_SEARCH_MEMORY = 32 };

struct bp_update {
    const struct bp_value *values;
    double learning_rate; /* of this step, after any schedule */
    double decay;         /* factor on the weight decay of these weights, 1 unless a layer or a schedule says otherwise */
    uint64_t step;        /* updates made, this one included: starts at 1 */
    size_t n;
    const bp_real *g;             /* (n) gradient */
    bp_real *W;                   /* (n) weights, updated in place */
    bp_real *slots[BP_SLOTS_MAX]; /* (n) each: moments, zero at first */
};

/* Loss and gradient of the whole training set at W. */
struct bp_search {
    const struct bp_value *values;
    double learning_rate;
    double loss;
    size_t n;
    const bp_real *g;      /* (n) NULL: an epoch begins, nothing is known of W yet, which it may move */
    bp_real *W;            /* (n) */
    bp_real *const *slots; /* (n) each */
    double *memory;        /* (BP_SEARCH_MEMORY), zero at first */
};

/* Rows for an optimizer with decoupled weight decay: how much, and of which tensors (BP_DECAY_KERNELS: of those that l2 penalises too). */
enum { BP_DECAY_ALL, BP_DECAY_KERNELS };
extern const char *const bp_decay_choices[];
#define BP_WEIGHT_DECAY(much)                                                                                                                        \
    {                                                                                                                                                \
        .name = "weight_decay", .type = BP_PARAM_NUMBER, .help = "Weight decay per step, as a fraction of the weight times the learning rate",       \
        .preset = (much), .min = 0, .max = 1e6                                                                                                       \
    }
#define BP_WEIGHT_DECAY_ON                                                                                                                           \
    {                                                                                                                                                \
        .name = "weight_decay_on", .type = BP_PARAM_CHOICE,                                                                                          \
        .help = "Which weights decay: all, or kernels alone, without biases, factors, norms and tables", .choices = bp_decay_choices                 \
    }

struct bp_optimizer_ops {
    struct bp_entry entry;                           /* its first parameter is learning_rate */
    int32_t (*slots)(const struct bp_value *values); /* state buffers, at most BP_SLOTS_MAX */
    bool decays;                                     /* it has weight decay, and a parameter that confines it to kernels: decay_index */
    int32_t decay_index;
    void (*update)(const struct bp_update *update); /* one pass over memory; NULL for one that searches */
    bool signs;                                     /* it looks at the signs of the gradient alone, and learning_rate is only its first step */
    bool whole;                                     /* update is meant for the gradient of the whole training set: an epoch is one update */
    /* Instead of update: optimizers of the whole training set. Called with loss and gradient over all of it at W; writes the next W to look at.
     * True: W holds what this step has found, the one whose loss and gradient it was called with last; the epoch is over. */
    bool (*search)(const struct bp_search *search);
};

#endif

/* optimizer.h - the contract of an optimizer: one file in optimizers/, one line in optimizers.def. */
#ifndef BP_OPTIMIZER_H
#define BP_OPTIMIZER_H

#include "engine/base/registry.h"

enum { BP_SLOTS_MAX = 24, BP_SEARCH_MEMORY = 32 };

struct bp_update {
    const struct bp_value *values;
    double learning_rate; /* of this step, after any schedule */
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

struct bp_optimizer_ops {
    struct bp_entry entry;                           /* its first parameter is learning_rate */
    int32_t (*slots)(const struct bp_value *values); /* state buffers, at most BP_SLOTS_MAX */
    void (*update)(const struct bp_update *update);  /* one pass over memory; NULL for one that searches */
    bool signs;                                      /* it looks at the signs of the gradient alone, and learning_rate is only its first step */
    bool whole;                                      /* update is meant for the gradient of the whole training set: an epoch is one update */
    /* Instead of update: optimizers of the whole training set. Called with loss and gradient over all of it at W; writes the next W to look at.
     * True: W holds what this step has found, the one whose loss and gradient it was called with last; the epoch is over. */
    bool (*search)(const struct bp_search *search);
};

#endif

/* optimizer.h - the contract of an optimizer: one file in optimizers/, one line in optimizers.def. */
#ifndef BP_OPTIMIZER_H
#define BP_OPTIMIZER_H

#include "registry.h"

enum { BP_SLOTS_MAX = 4 };

struct bp_update {
    const struct bp_value *values;
    double learning_rate; /* of this step, after any schedule */
    uint64_t step;        /* updates made, this one included: starts at 1 */
    size_t n;
    const bp_real *g;             /* (n) gradient */
    bp_real *W;                   /* (n) weights, updated in place */
    bp_real *slots[BP_SLOTS_MAX]; /* (n) each: moments, zero at first */
};

struct bp_optimizer_ops {
    struct bp_entry entry;                           /* its first parameter is learning_rate */
    int32_t (*slots)(const struct bp_value *values); /* state buffers it keeps, at most BP_SLOTS_MAX */
    void (*update)(const struct bp_update *update);  /* one pass over memory */
};

#endif

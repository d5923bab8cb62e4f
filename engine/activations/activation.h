/* activation.h - the contract of an activation function: one file in activations/, one line in activations.def. */
#ifndef BP_ACTIVATION_H
#define BP_ACTIVATION_H

#include "engine/base/registry.h"

/* Where values lie. A smooth bend counts as a bound: gelu reaches a little below 0, but below 0 is not what it is used for. */
struct bp_bounds {
    bool has_low, has_high;
    double low, high;
};

/* What the values are, to those who read them: numbers like any others, or probabilities, which are not scores that another softmax or a loss of
 * scores could take. */
enum bp_probabilities {
    BP_PROBABILITIES_NONE,
    BP_PROBABILITIES_EACH,   /* each number by itself is the probability of a yes (sigmoid) */
    BP_PROBABILITIES_SHARED, /* along the last axis they are those of classes, and add up to 1 (softmax) */
    BP_PROBABILITIES_LOG     /* the logarithms of such (log_softmax) */
};

struct bp_activation_ops {
    struct bp_entry entry; /* at most 4 parameters, all numbers */
    bool needs_z;          /* the derivative needs the pre-activation z; else a alone is enough */
    bool kinked;           /* not differentiable everywhere: finite differences keep away from the kinks */
    bool learned;          /* slopes are learned, one a channel (prelu): forward and backward are in engine/layers/activate.c, not here */
    bool in_product;       /* f(z) is z, or its first parameter (none: 0) times z where z < 0: a matrix product applies it as it stores (bp_gemm) */
    bool identity;         /* a = z: a layer with it has no activation at all (linear) */
    struct bp_bounds bounds;
    bool saturates; /* flat near both bounds: a unit there hardly learns */
    bool rectifies; /* of relu's kind: a unit may be dead, its output always 0 */
    enum bp_probabilities probabilities;
    /* a = f(z) for `rows` rows of `width` (softmax works on rows; the others on all numbers alike). a may be z itself. */
    void (*forward)(const double *numbers, size_t rows, size_t width, const bp_real *z, bp_real *a);
    /* d_z = d_a * f'(z), d_z may be d_a. z is NULL unless needs_z. */
    void (*backward)(const double *numbers, size_t rows, size_t width, const bp_real *z, const bp_real *a, const bp_real *d_a, bp_real *d_z);
};

#endif

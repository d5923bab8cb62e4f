/* activation.h - the contract of an activation function: one file in activations/, one line in activations.def. */
#ifndef BP_ACTIVATION_H
#define BP_ACTIVATION_H

#include "engine/base/registry.h"

struct bp_activation_ops {
    struct bp_entry entry; /* at most 4 parameters, all numbers */
    bool needs_z;          /* the derivative needs the pre-activation z; else a alone is enough */
    bool kinked;           /* not differentiable everywhere: finite differences keep away from the kinks */
    bool learned;          /* slopes are learned, one a channel (prelu): forward and backward are in engine/layers/activate.c, not here */
    bool in_product;       /* f(z) is z, or its first parameter (none: 0) times z where z < 0: a matrix product applies it as it stores (bp_gemm) */
    double low, high;      /* the bounds of its values; both 0: none */
    bool rectifies;        /* of relu's kind: a unit may be dead, its output always 0 */
    /* a = f(z) for `rows` rows of `width` (softmax works on rows; the others on all numbers alike). a may be z itself. */
    void (*forward)(const double *numbers, size_t rows, size_t width, const bp_real *z, bp_real *a);
    /* d_z = d_a * f'(z), d_z may be d_a. z is NULL unless needs_z. */
    void (*backward)(const double *numbers, size_t rows, size_t width, const bp_real *z, const bp_real *a, const bp_real *d_a, bp_real *d_z);
};

#endif

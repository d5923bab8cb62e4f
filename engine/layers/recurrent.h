/* recurrent.h - what rnn, lstm and gru share: everything but the arithmetic of one step, which a cell is.
 *
 * H: units, G: gates of the cell. At each step z (G H) = x W + b and r (G H) = h_before U; the cell makes of them its gates and the new h (H),
 * and may store c (H), which it reads at the next step. Gates are stored one after the other, H numbers each. */
#ifndef BP_LAYERS_RECURRENT_H
#define BP_LAYERS_RECURRENT_H

#include "engine/layers/layer.h"

struct bp_initializer_ops;

struct bp_cell {
    int32_t gates;
    int32_t joined;                                /* the first of them, whose z has r added before the cell sees it */
    bool apart;                                    /* the gradient of r is not that of z, and r has a separate bias: bias (2, G H) */
    const struct bp_initializer_ops *first_biases; /* first values of the bias */
    struct bp_bounds bounds;                       /* of h */
    /* One sample, one step; z becomes the gates. */
    void (*forward)(size_t H, bp_real *z, const bp_real *r, const bp_real *h_before, const bp_real *c_before, bp_real *h, bp_real *c);
    /* d_h, d_c: in, the gradients of h and c; out, what goes straight to h_before and c_before. d_r is d_z unless `apart`. */
    void (*backward)(size_t H, const bp_real *gates, const bp_real *h_before, const bp_real *c_before, const bp_real *c, bp_real *d_h, bp_real *d_c,
                     bp_real *d_z, bp_real *d_r);
};

enum { BP_RECURRENT_PARAMS = 7 };
extern const struct bp_param bp_recurrent_params[BP_RECURRENT_PARAMS];

/* plan, forward and backward of a layer whose ops name a cell. */
int bp_recurrent_plan(struct bp_node *node, struct bp_error *error);
void bp_recurrent_forward(const struct bp_node *node, const struct bp_pass *pass);
void bp_recurrent_backward(const struct bp_node *node, const struct bp_pass *pass);

#endif

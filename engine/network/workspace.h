/* workspace.h - private to workspace.c and pass.c: one thread's buffers, and the calls of every layer, made ready once. */
#ifndef BP_WORKSPACE_H
#define BP_WORKSPACE_H

#include "engine/network/network.h"

/* Of an output with members (M). */
struct bp_members {
    bp_real *mean;             /* (B, shape) the prediction */
    bp_real *y;                /* (B, M, target width) the target of each */
    bp_real *weights, *counts; /* (B, M, rows) */
};

struct bp_workspace {
    const struct bp_network *network;
    int32_t batch_max, batch;            /* most samples; those of the last pass for a loss */
    bool training, bfloat16, predicting; /* predicting: a sample gets the same bits in every batch, as far as layers can (struct bp_pass) */
    struct bp_pass *passes;              /* [nodes] pointers are fixed; batch, weights and flags are set per call */
    bp_real **a;                         /* [nodes] activations (B, out...) */
    bp_real **d;                         /* [nodes] their gradients, NULL unless training */
    int32_t *owner;                      /* [nodes] the node whose buffers it uses: itself, or what a view looks at */
    bool *learns;                        /* [nodes] weights are at it or before it: its gradient is needed */
    bp_real **mask;                      /* [nodes] the mask of its output (B, steps), NULL: none */
    bp_real **row_weights; /* [outputs] (B, steps) of an output with a mask or with steps that may be missing, (B, positions) of one with classes by
                              position, else NULL */
    bp_real **row_counts;  /* [outputs] likewise: what each counts in metrics */
    bp_real **row_classes; /* [outputs] (B, positions) of the latter, else NULL */
    struct bp_members members[BP_OUTPUTS_MAX];
    bool *written; /* [nodes] during a backward pass: the gradient buffer of this owner holds something */
    /* Called before the backward pass of a node, when those of all later ones are over; NULL: nobody watches. */
    void (*watch)(void *watcher, int32_t node);
    void *watcher;
    bool layer_by_layer; /* each for the whole mini-batch; then d has the gradient in the output of every node, until its own backward pass */
    bp_real *reals;      /* the one allocation for a, d, memo, scratch and masks */
};

/* members.c: reals for an output (0 without members); its buffers from `reals` on, the end is returned; the prediction, from what the members
 * predict, a (B, M, shape); the loss of them all for a call that bp_output_loss has prepared, whose z becomes the prediction. */
size_t bp_members_reals(const struct bp_network *network, int32_t output, int32_t batch_max);
bp_real *bp_members_lay_out(struct bp_workspace *workspace, int32_t output, bp_real *reals);
void bp_members_average(const struct bp_workspace *workspace, int32_t output, int32_t batch, const bp_real *a);
double bp_members_loss(const struct bp_workspace *workspace, int32_t output, struct bp_loss_call *call);

/* The forward pass of inference up to what node `to` reads: a[] of the nodes before it. */
void bp_workspace_forward_to(const bp_real *weights, struct bp_workspace *workspace, int32_t batch, int32_t to);
/* The forward pass of bp_loss_forward alone. */
void bp_workspace_forward(const struct bp_network *network, const bp_real *weights, struct bp_workspace *workspace, int32_t batch,
                          const struct bp_draw *draw);
/* Then the loss of one output, times its weight: call as bp_loss_forward takes it; its z and d_z may be given, else they are the workspace's. */
double bp_output_loss(struct bp_workspace *workspace, int32_t output, struct bp_loss_call *call, bool gradients);
/* After the forward pass, of an output with row_weights: what its rows of this call weigh together; *counted: what they count in metrics. */
double bp_output_rows_weight(const struct bp_workspace *workspace, int32_t output, const struct bp_loss_call *call, double *counted);

#endif

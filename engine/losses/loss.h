/* loss.h - the contract of a loss: one file in losses/, one line in losses.def.
 *
 * A loss that fuses a head activation (cross_entropy: softmax; binary_cross_entropy: sigmoid) is computed from the pre-activation z,
 * stably, and writes the activation's values in its place. The others get the network's output unchanged. */
#ifndef BP_LOSS_H
#define BP_LOSS_H

#include "engine/base/registry.h"

struct bp_activation_ops;

enum bp_target {
    BP_TARGET_VALUES, /* y: (B, width / outputs per target) numbers, shaped like the output (one-hot for classes) */
    BP_TARGET_CLASS   /* y: (B, positions) the number of the class, 0.. An output (classes) has one position, an output (..., classes) one for each
                         vector   along its last axis; there a negative number says that the position has no class and does not count. */
};

/* Which numbers y may be under BP_TARGET_VALUES; others make the loss not a number. */
enum bp_range {
    BP_RANGE_ANY,
    BP_RANGE_SHARES,   /* not negative, adding up to 1 in a sample (one-hot classes do) */
    BP_RANGE_PARTS,    /* from 0 to 1, each by itself */
    BP_RANGE_SIGNS,    /* 1, or -1 or 0 for the other side (one-hot classes do) */
    BP_RANGE_COUNTS,   /* not negative, and not to be shifted: a unit of its own does not matter */
    BP_RANGE_POSITIVE, /* above 0, likewise */
    BP_RANGE_AMOUNTS   /* not negative, and as they are: neither shifted nor scaled */
};

/* Whether they are amounts, from 0 on, that must not be shifted. */
static inline bool bp_range_from_zero(enum bp_range range) {
    return range == BP_RANGE_COUNTS || range == BP_RANGE_POSITIVE || range == BP_RANGE_AMOUNTS;
}

struct bp_loss_call {
    int32_t batch, width;        /* B, numbers per sample of the output */
    bp_real *z;                  /* (B, width) in: output (pre-activation when fused); out: predictions */
    const bp_real *y;            /* targets according to `target` */
    const bp_real *weights;      /* (B) weight of each sample, or NULL for 1 */
    const bp_real *counts;       /* (B) what each counts in metrics and the reported loss, where class weights do not enter, or NULL for 1 */
    bool apart;                  /* counts are not the weights: what is reported is summed up besides what is minimised */
    double *counted;             /* NULL unless apart: evaluate adds count x loss of each sample to it (bp_loss_count) */
    const double *class_weights; /* (classes) for classes by position: what a position of each counts, or NULL for 1 */
    double scale;                /* gradients are multiplied by it: 1 / sum of weights of the mini-batch */
    double row_share;   /* of an output with rows (steps under a mask, positions with a class): what their weights are multiplied by; 0: so that
                           the rows of this call count together what its samples do */
    bp_real *d_z;       /* (B, width) stored; NULL: only the loss is wanted */
    double count_share; /* likewise of their counts */
    double loss;        /* out of bp_loss_forward: what evaluate returned */
    double reported;    /* out of bp_loss_forward: the same by counts */
};

/* A value of a prediction beside its point. */
struct bp_loss_detail {
    char name[24];
    double value; /* in the network's numbers */
    bool width;   /* a distance between values, not a value: it is scaled, not shifted */
};

struct bp_loss_ops {
    struct bp_entry entry;
    enum bp_target target;
    enum bp_range range;
    const struct bp_activation_ops *head; /* activation it fuses, or NULL */
    bool kinked;
    /* Optional, of a loss of classes: the same loss of targets that are shares, (B, width) numbers instead of a class; same parameters, same head. It
     * is no entry of its own: an output whose targets are shares gets it in the place of this one. */
    const struct bp_loss_ops *shares;
    const char *unit; /* of the loss, where it is neither nats nor that of the target, or NULL */
    bool ordered;     /* for classes: their order counts */
    bool scores;      /* for classes: its outputs are scores, any numbers, and the largest (with one output: its sign) determines the class */
    /* Optional: how many outputs it wants for each target number (a quantile each; a mean and a variance); NULL: 1. An output of n numbers
     * then has n / outputs targets, each with a group of consecutive numbers. */
    int32_t (*outputs_per_target)(const struct bp_value *values);
    /* Optional: which number of a group is the point prediction, the one that metrics and people see; NULL: the first. */
    int32_t (*point)(const struct bp_value *values);
    /* Optional, for several outputs: further values of a prediction, under `details`: value k of a group of outputs; false when there is none. */
    const char *details;
    bool (*detail)(const struct bp_value *values, const bp_real *group, int32_t k, struct bp_loss_detail *detail);
    /* Optional: whether an output of that shape (all of it known) suits; an error says what does. */
    int (*check)(const struct bp_value *values, const struct bp_shape *output, struct bp_error *error);
    /* Returns the sum over the batch of weight x loss of a sample (a mean over the sample's numbers, as in Keras and
     * PyTorch), in double, not multiplied by scale; calls bp_loss_count for each sample. */
    double (*evaluate)(const struct bp_value *values, const struct bp_loss_call *call);
};

/* For evaluate: sample i has the loss `one`. */
static inline void bp_loss_count(const struct bp_loss_call *call, size_t i, double one) {
    if (call->counted) *call->counted += bp_sample_weight(call->counts, i) * one;
}

/* Positions of an output of that shape that are samples of their own to the loss (NULL: none): 1 but for classes by position. */
int32_t bp_loss_positions(const struct bp_loss_ops *loss, const struct bp_shape *output);
int32_t bp_loss_outputs_per_target(const struct bp_loss_ops *loss, const struct bp_value *values);
int32_t bp_loss_point(const struct bp_loss_ops *loss, const struct bp_value *values);
/* Numbers of a sample in y for that output, and in the point predictions of an output of `width` numbers. */
int32_t bp_loss_target_width(const struct bp_loss_ops *loss, const struct bp_value *values, const struct bp_shape *output);
int32_t bp_loss_points_width(const struct bp_loss_ops *loss, const struct bp_value *values, int32_t width);
/* After a pass, when the output is no longer needed: call->z becomes the point predictions (B, points width). Returns that width. */
int32_t bp_loss_keep_points(const struct bp_loss_ops *loss, const struct bp_value *values, const struct bp_loss_call *call);
/* For losses of classes: an output (..., classes) of at least two. */
int bp_loss_check_classes(const struct bp_loss_ops *loss, const struct bp_shape *output, struct bp_error *error);
/* Whether an output of that shape suits the loss with these values. */
int bp_loss_check(const struct bp_loss_ops *loss, const struct bp_value *values, const struct bp_shape *output, struct bp_error *error);

#endif

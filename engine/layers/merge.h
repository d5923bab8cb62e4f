/* merge.h - what layers that join their inputs number by number share: the shape that all of them broadcast to, and sums of them.
 *
 * Broadcasting as in numpy: shapes are aligned at their last axis, and an axis of size 1, or one that is missing in front, is repeated. */
#ifndef BP_LAYERS_MERGE_H
#define BP_LAYERS_MERGE_H

#include "engine/layers/layer.h"

/* The shape that the inputs broadcast to; unknown dimensions of one are taken from the others. -1: two of them do not fit; the error names both. */
int bp_merge_shape(const struct bp_node *node, struct bp_shape *shape, struct bp_error *error);
/* Numbers of the output of one call. */
size_t bp_merge_size(const struct bp_node *node, const struct bp_pass *pass);
/* Whether numbers of input i are repeated. */
bool bp_merge_repeats(const struct bp_node *node, int32_t i);
/* For plan: whether those of any are. */
bool bp_merge_any_repeats(const struct bp_node *node);
/* Input i in the shape of the output, (B, out...): the input itself, or its repetition, which is written to `room`. */
const bp_real *bp_merge_operand(const struct bp_node *node, const struct bp_pass *pass, int32_t i, bp_real *room);
/* From d (B, out...) to the gradient of input i, if requested: what was repeated is summed up. */
void bp_merge_gradient(const struct bp_node *node, const struct bp_pass *pass, int32_t i, const bp_real *d);

/* a = scale (x_0 + rest (x_1 + x_2 + ...)), with the scratch that plan provides. */
struct bp_merge_sum {
    bp_real rest, scale;
};
int bp_merge_sum_plan(struct bp_node *node, struct bp_error *error);
void bp_merge_sum_forward(const struct bp_node *node, const struct bp_pass *pass, const struct bp_merge_sum *sum);
void bp_merge_sum_backward(const struct bp_node *node, const struct bp_pass *pass, const struct bp_merge_sum *sum);

#endif

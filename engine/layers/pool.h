/* pool.h - what the four pooling layers share: parameters, plan, and the passes of maximum and mean. */
#ifndef BP_LAYERS_POOL_H
#define BP_LAYERS_POOL_H

#include "engine/layers/window.h"

enum { BP_POOL_PARAMS = 3 };
extern const struct bp_param bp_pool_params[BP_POOL_PARAMS];

int bp_pool_plan(struct bp_node *node, int32_t axes, struct bp_error *error);
/* Needs a memo of the output's size: which cell of the window was the largest. */
void bp_max_pool_forward(const struct bp_node *node, const struct bp_pass *pass);
void bp_max_pool_backward(const struct bp_node *node, const struct bp_pass *pass);
void bp_average_pool_forward(const struct bp_node *node, const struct bp_pass *pass);
void bp_average_pool_backward(const struct bp_node *node, const struct bp_pass *pass);

/* The same of a sequence with a mask (pool_masked.c); the above go there by themselves. Backward adds to d_x. */
void bp_masked_max_forward(const struct bp_window *w, const struct bp_pass *pass);
void bp_masked_max_backward(const struct bp_window *w, const struct bp_pass *pass);
void bp_masked_average_forward(const struct bp_window *w, const struct bp_pass *pass);
void bp_masked_average_backward(const struct bp_window *w, const struct bp_pass *pass);

#endif

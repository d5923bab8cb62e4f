/* max_pool1d.c - the largest number under a window that moves over a sequence (steps, channels). See pool.h. */
#include "engine/layers/pool.h"

static int plan(struct bp_node *node, struct bp_error *error) {
    if (bp_pool_plan(node, 1, error)) return -1;
    node->memo = (size_t)bp_shape_size(&node->out); /* the cell of each maximum */
    return 0;
}

extern const struct bp_layer_ops bp_layer_max_pool1d;
const struct bp_layer_ops bp_layer_max_pool1d = {
    .entry = {.name = "max_pool1d",
              .summary = "The maximum of each channel in a window that slides over a sequence (steps, channels)",
              .params = bp_pool_params,
              .params_count = BP_POOL_PARAMS},
    .inputs_min = 1,
    .inputs_max = 1,
    .by_sample = true,
    .mask = BP_MASK_RENEW,
    .plan = plan,
    .forward = bp_max_pool_forward,
    .backward = bp_max_pool_backward,
};

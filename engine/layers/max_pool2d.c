/* max_pool2d.c - the largest number under a window that moves over an image (height, width, channels). See pool.h. */
#include "engine/layers/pool.h"

static int plan(struct bp_node *node, struct bp_error *error) {
    if (bp_pool_plan(node, 2, error)) return -1;
    node->memo = (size_t)bp_shape_size(&node->out); /* the cell of each maximum */
    return 0;
}

extern const struct bp_layer_ops bp_layer_max_pool2d;
const struct bp_layer_ops bp_layer_max_pool2d = {
    .entry = {.name = "max_pool2d",
              .summary = "The maximum of each channel in a window that slides over an image (height, width, channels)",
              .params = bp_pool_params,
              .params_count = BP_POOL_PARAMS},
    .inputs_min = 1,
    .inputs_max = 1,
    .by_sample = true,
    .plan = plan,
    .forward = bp_max_pool_forward,
    .backward = bp_max_pool_backward,
};

/* average_pool2d.c - the mean under a window that moves over an image (height, width, channels). See pool.h. */
#include "engine/layers/pool.h"

static int plan(struct bp_node *node, struct bp_error *error) {
    return bp_pool_plan(node, 2, error);
}

extern const struct bp_layer_ops bp_layer_average_pool2d;
const struct bp_layer_ops bp_layer_average_pool2d = {
    .entry = {.name = "average_pool2d",
              .summary = "The mean of each channel in a window that slides over an image (height, width, channels)",
              .params = bp_pool_params,
              .params_count = BP_POOL_PARAMS},
    .inputs_min = 1,
    .inputs_max = 1,
    .by_sample = true,
    .plan = plan,
    .forward = bp_average_pool_forward,
    .backward = bp_average_pool_backward,
};

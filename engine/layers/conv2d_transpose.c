/* conv2d_transpose.c - a transposed convolution, which makes an image larger: x (B, height, width, channels), W (height, width, filters, channels).
 * See transposed.h. */
#include "engine/layers/transposed.h"

static int plan(struct bp_node *node, struct bp_error *error) {
    return bp_transposed_plan(node, 2, error);
}

extern const struct bp_layer_ops bp_layer_conv2d_transpose;
const struct bp_layer_ops bp_layer_conv2d_transpose = {
    .entry = {.name = "conv2d_transpose",
              .summary = "A transposed convolution: trainable filters that make an image larger",
              .params = bp_transposed_params,
              .params_count = BP_TRANSPOSED_PARAMS},
    .inputs_min = 1,
    .inputs_max = 1,
    .plan = plan,
    .forward = bp_transposed_forward,
    .backward = bp_transposed_backward,
};

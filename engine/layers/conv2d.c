/* conv2d.c - convolution over an image: x (B, height, width, channels), W (height, width, channels / groups, filters), a (B, height, width, filters).
 * See convolution.h. */
#include "engine/layers/convolution.h"

static int plan(struct bp_node *node, struct bp_error *error) {
    return bp_convolution_plan(node, 2, error);
}

static const struct bp_param params[BP_CONVOLUTION_PARAMS] =
    BP_CONVOLUTION_PARAM_ROWS(bp_padding_choices, "Zeros around the input: none, enough to keep the size, or this number on each side");

extern const struct bp_layer_ops bp_layer_conv2d;
const struct bp_layer_ops bp_layer_conv2d = {
    .entry = {.name = "conv2d",
              .summary = "Trainable filters that slide over an image (height, width, channels)",
              .params = params,
              .params_count = BP_CONVOLUTION_PARAMS},
    .inputs_min = 1,
    .inputs_max = 1,
    .by_sample = true,
    .plan = plan,
    .forward = bp_convolution_forward,
    .backward = bp_convolution_backward,
};

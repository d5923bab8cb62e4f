/* conv1d.c - convolution over a sequence: x (B, steps, channels), W (size, channels / groups, filters), a (B, steps, filters).
 * See convolution.h. */
#include "engine/layers/convolution.h"

static int plan(struct bp_node *node, struct bp_error *error) {
    return bp_convolution_plan(node, 1, error);
}

static const struct bp_param params[BP_CONVOLUTION_PARAMS] = BP_CONVOLUTION_PARAM_ROWS(
    bp_causal_padding_choices,
    "Zeros around the input: none, enough to keep the size (causal: all before the first step), or this number on each side");

extern const struct bp_layer_ops bp_layer_conv1d;
const struct bp_layer_ops bp_layer_conv1d = {
    .entry = {.name = "conv1d",
              .summary = "Trainable filters that slide over a sequence (steps, channels)",
              .params = params,
              .params_count = BP_CONVOLUTION_PARAMS},
    .inputs_min = 1,
    .inputs_max = 1,
    .by_sample = true,
    .mask = BP_MASK_ZERO, /* with padding "same" and strides 1 */
    .plan = plan,
    .forward = bp_convolution_forward,
    .backward = bp_convolution_backward,
};

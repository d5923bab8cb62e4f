/* conv1d_transpose.c - a transposed convolution, which makes a sequence larger: x (B, steps, channels), W (size, filters, channels). See
 * transposed.h. */
#include "engine/layers/transposed.h"

static int plan(struct bp_node *node, struct bp_error *error) {
    return bp_transposed_plan(node, 1, error);
}

extern const struct bp_layer_ops bp_layer_conv1d_transpose;
const struct bp_layer_ops bp_layer_conv1d_transpose = {
    .entry = {.name = "conv1d_transpose",
              .summary = "A transposed convolution: trainable filters that make a sequence larger",
              .params = bp_transposed_params,
              .params_count = BP_TRANSPOSED_PARAMS},
    .inputs_min = 1,
    .inputs_max = 1,
    .plan = plan,
    .forward = bp_transposed_forward,
    .backward = bp_transposed_backward,
};

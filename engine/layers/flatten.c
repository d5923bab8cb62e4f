/* flatten.c - all axes of a sample in one: (B, H, W, C) becomes (B, H W C). The same memory under another shape. */
#include "engine/layers/layer.h"

static int plan(struct bp_node *node, struct bp_error *error) {
    (void)error;
    const struct bp_shape *in = &node->in[0];
    node->out = (struct bp_shape){.rank = 1, .dims = {(int32_t)bp_shape_size(in)}};
    return 0;
}

extern const struct bp_layer_ops bp_layer_flatten;
const struct bp_layer_ops bp_layer_flatten = {
    .entry = {.name = "flatten", .summary = "Joins all axes of a sample to one"},
    .inputs_min = 1,
    .inputs_max = 1,
    .view = true,
    .plan = plan,
};

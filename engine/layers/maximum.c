/* maximum.c - a = max(x_0, x_1, ...), number by number, broadcast to one shape (B, ...): maxout (Goodfellow et al. 2013) over branches. */
#include "engine/layers/extreme.h"

static void forward(const struct bp_node *node, const struct bp_pass *pass) {
    bp_extreme_forward(node, pass, false);
}

extern const struct bp_layer_ops bp_layer_maximum;
const struct bp_layer_ops bp_layer_maximum = {
    .entry = {.name = "maximum", .summary = "The largest of its inputs, number by number; sizes of 1 are repeated"},
    .inputs_min = 2,
    .inputs_max = BP_INPUTS_MAX,
    .mask = BP_MASK_PASS,
    .members = BP_MEMBERS_PASS,
    .plan = bp_extreme_plan,
    .forward = forward,
    .backward = bp_extreme_backward,
};

/* add.c - a = x_0 + x_1 + ..., broadcast to one shape (B, ...): what a residual network joins its branches with. */
#include "engine/layers/merge.h"

static const struct bp_merge_sum sum = {.rest = 1, .scale = 1};

static void forward(const struct bp_node *node, const struct bp_pass *pass) {
    bp_merge_sum_forward(node, pass, &sum);
}

static void backward(const struct bp_node *node, const struct bp_pass *pass) {
    bp_merge_sum_backward(node, pass, &sum);
}

extern const struct bp_layer_ops bp_layer_add;
const struct bp_layer_ops bp_layer_add = {
    .entry = {.name = "add", .summary = "The sum of its inputs; sizes of 1 are repeated"},
    .inputs_min = 2,
    .inputs_max = BP_INPUTS_MAX,
    .mask = BP_MASK_PASS,
    .members = BP_MEMBERS_PASS,
    .plan = bp_merge_sum_plan,
    .forward = forward,
    .backward = backward,
};

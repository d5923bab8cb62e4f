/* subtract.c - a = x_0 - x_1, broadcast to one shape (B, ...). */
#include "engine/layers/merge.h"

static const struct bp_merge_sum sum = {.rest = -1, .scale = 1};

static void forward(const struct bp_node *node, const struct bp_pass *pass) {
    bp_merge_sum_forward(node, pass, &sum);
}

static void backward(const struct bp_node *node, const struct bp_pass *pass) {
    bp_merge_sum_backward(node, pass, &sum);
}

extern const struct bp_layer_ops bp_layer_subtract;
const struct bp_layer_ops bp_layer_subtract = {
    .entry = {.name = "subtract", .summary = "The first input minus the second; sizes of 1 are repeated"},
    .inputs_min = 2,
    .inputs_max = 2,
    .mask = BP_MASK_PASS,
    .members = BP_MEMBERS_PASS,
    .plan = bp_merge_sum_plan,
    .forward = forward,
    .backward = backward,
};

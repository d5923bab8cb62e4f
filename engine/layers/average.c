/* average.c - a = (x_0 + x_1 + ... + x_n-1) / n, broadcast to one shape (B, ...). */
#include "engine/layers/merge.h"

static struct bp_merge_sum sum_of(const struct bp_node *node) {
    return (struct bp_merge_sum){.rest = 1, .scale = 1 / (bp_real)node->inputs_count};
}

static void forward(const struct bp_node *node, const struct bp_pass *pass) {
    const struct bp_merge_sum sum = sum_of(node);
    bp_merge_sum_forward(node, pass, &sum);
}

static void backward(const struct bp_node *node, const struct bp_pass *pass) {
    const struct bp_merge_sum sum = sum_of(node);
    bp_merge_sum_backward(node, pass, &sum);
}

extern const struct bp_layer_ops bp_layer_average;
const struct bp_layer_ops bp_layer_average = {
    .entry = {.name = "average", .summary = "The mean of its inputs, number by number; sizes of 1 are repeated"},
    .inputs_min = 2,
    .inputs_max = BP_INPUTS_MAX,
    .mask = BP_MASK_PASS,
    .members = BP_MEMBERS_PASS,
    .plan = bp_merge_sum_plan,
    .forward = forward,
    .backward = backward,
};

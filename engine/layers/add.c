/* add.c - a = x_0 + x_1 + ..., all of one shape (B, ...): what a residual network joins its branches with. */
#include "engine/kernels/kernels.h"
#include "engine/layers/gradient.h"
#include "engine/layers/merge.h"

#include <string.h>

static int plan(struct bp_node *node, struct bp_error *error) {
    return bp_merge_shape(node, &node->out, error);
}

static size_t size_of(const struct bp_node *node, const struct bp_pass *pass) {
    return (size_t)pass->batch * (size_t)bp_shape_size(&node->out);
}

static void forward(const struct bp_node *node, const struct bp_pass *pass) {
    const size_t n = size_of(node, pass);
    memcpy(pass->a, pass->x[0], n * sizeof *pass->a);
    for (int32_t i = 1; i < node->inputs_count; i++) bp_kernels()->scaled_add(n, 1, pass->x[i], pass->a);
}

static void backward(const struct bp_node *node, const struct bp_pass *pass) {
    for (int32_t i = 0; i < node->inputs_count; i++) bp_gradient_write(pass->keep_x[i], size_of(node, pass), pass->d_a, pass->d_x[i]);
}

extern const struct bp_layer_ops bp_layer_add;
const struct bp_layer_ops bp_layer_add = {
    .entry = {.name = "add", .summary = "The sum of its inputs, which must have the same shape"},
    .inputs_min = 2,
    .inputs_max = BP_INPUTS_MAX,
    .mask = BP_MASK_PASS,
    .plan = plan,
    .forward = forward,
    .backward = backward,
};

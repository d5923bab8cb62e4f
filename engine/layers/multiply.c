/* multiply.c - a = x_0 x_1 ..., number by number, broadcast to one shape (B, ...): gates and attention over channels. */
#include "engine/kernels/kernels.h"
#include "engine/layers/merge.h"

static int plan(struct bp_node *node, struct bp_error *error) {
    if (bp_merge_shape(node, &node->out, error)) return -1;
    /* Of backward, the product of d_a and the other inputs; then a repeated input. */
    node->scratch = (size_t)bp_shape_size(&node->out) * (bp_merge_any_repeats(node) ? 2 : 1);
    return 0;
}

static void forward(const struct bp_node *node, const struct bp_pass *pass) {
    const size_t n = bp_merge_size(node, pass);
    const bp_real *product = bp_merge_operand(node, pass, 0, pass->a);
    for (int32_t i = 1; i < node->inputs_count; i++) {
        bp_kernels()->multiply(n, product, bp_merge_operand(node, pass, i, pass->scratch), pass->a, false);
        product = pass->a;
    }
}

/* d_x_i = d_a times all the other inputs. Not a / x_i: an input may be 0. */
static void backward(const struct bp_node *node, const struct bp_pass *pass) {
    const size_t n = bp_merge_size(node, pass);
    for (int32_t i = 0; i < node->inputs_count; i++) {
        const bp_real *d = pass->d_a;
        if (!pass->d_x[i]) continue;
        for (int32_t k = 0; k < node->inputs_count; k++) {
            if (k == i) continue;
            bp_kernels()->multiply(n, d, bp_merge_operand(node, pass, k, pass->scratch + n), pass->scratch, false);
            d = pass->scratch;
        }
        bp_merge_gradient(node, pass, i, d);
    }
}

extern const struct bp_layer_ops bp_layer_multiply;
const struct bp_layer_ops bp_layer_multiply = {
    .entry = {.name = "multiply", .summary = "The elementwise product of its inputs; sizes of 1 are repeated"},
    .inputs_min = 2,
    .inputs_max = BP_INPUTS_MAX,
    .mask = BP_MASK_PASS,
    .members = BP_MEMBERS_PASS,
    .plan = plan,
    .forward = forward,
    .backward = backward,
};

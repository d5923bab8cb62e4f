/* multiply.c - a = x_0 x_1 ..., number by number, all of one shape (B, ...): gates and attention over channels. */
#include "engine/kernels/kernels.h"
#include "engine/layers/gradient.h"
#include "engine/layers/merge.h"

#include <string.h>

static int plan(struct bp_node *node, struct bp_error *error) {
    if (bp_merge_shape(node, &node->out, error)) return -1;
    node->scratch = (size_t)bp_shape_size(&node->out); /* of backward: the product of d_a and the other inputs */
    return 0;
}

static size_t size_of(const struct bp_node *node, const struct bp_pass *pass) {
    return (size_t)pass->batch * (size_t)bp_shape_size(&node->out);
}

static void forward(const struct bp_node *node, const struct bp_pass *pass) {
    const size_t n = size_of(node, pass);
    bp_kernels()->multiply(n, pass->x[0], pass->x[1], pass->a, false);
    for (int32_t i = 2; i < node->inputs_count; i++) bp_kernels()->multiply(n, pass->a, pass->x[i], pass->a, false);
}

/* d_x_i = d_a times all the other inputs. Not a / x_i: an input may be 0. */
static void backward(const struct bp_node *node, const struct bp_pass *pass) {
    const size_t n = size_of(node, pass);
    for (int32_t i = 0; i < node->inputs_count; i++) {
        const bp_real *d = pass->d_a;
        if (!pass->d_x[i]) continue;
        for (int32_t k = 0; k < node->inputs_count; k++) {
            if (k == i) continue;
            bp_kernels()->multiply(n, d, pass->x[k], pass->scratch, false);
            d = pass->scratch;
        }
        bp_gradient_write(pass->keep_x[i], n, d, pass->d_x[i]);
    }
}

extern const struct bp_layer_ops bp_layer_multiply;
const struct bp_layer_ops bp_layer_multiply = {
    .entry = {.name = "multiply", .summary = "The elementwise product of its inputs, which must have the same shape"},
    .inputs_min = 2,
    .inputs_max = BP_INPUTS_MAX,
    .mask = BP_MASK_PASS,
    .plan = plan,
    .forward = forward,
    .backward = backward,
};

/* maximum.c - a = max(x_0, x_1, ...), number by number, all of one shape (B, ...): maxout (Goodfellow et al. 2013) over branches. */
#include "engine/layers/gradient.h"
#include "engine/layers/merge.h"

#include <math.h>

static int plan(struct bp_node *node, struct bp_error *error) {
    if (bp_merge_shape(node, &node->out, error)) return -1;
    node->scratch = (size_t)bp_shape_size(&node->out); /* of backward: the gradient of one input */
    return 0;
}

static size_t size_of(const struct bp_node *node, const struct bp_pass *pass) {
    return (size_t)pass->batch * (size_t)bp_shape_size(&node->out);
}

/* NaN in one input is NaN in the output. */
static bp_real larger(bp_real x, bp_real y) {
    return x > y || x != x ? x : y;
}

static void forward(const struct bp_node *node, const struct bp_pass *pass) {
    const size_t n = size_of(node, pass);
    for (size_t k = 0; k < n; k++) {
        bp_real a = pass->x[0][k];
        for (int32_t i = 1; i < node->inputs_count; i++) a = larger(a, pass->x[i][k]);
        pass->a[k] = a;
    }
}

/* d_x_i = d_a where x_i is the largest, divided by how many inputs are (as torch.amax does), 0 elsewhere. */
static void backward(const struct bp_node *node, const struct bp_pass *pass) {
    const size_t n = size_of(node, pass);
    for (int32_t i = 0; i < node->inputs_count; i++) {
        if (!pass->d_x[i]) continue;
        for (size_t k = 0; k < n; k++) {
            int32_t largest = 0;
            for (int32_t other = 0; other < node->inputs_count; other++) largest += pass->x[other][k] == pass->a[k];
            pass->scratch[k] = pass->x[i][k] == pass->a[k] ? pass->d_a[k] / (bp_real)largest : 0;
        }
        bp_gradient_write(pass->keep_x[i], n, pass->scratch, pass->d_x[i]);
    }
}

extern const struct bp_layer_ops bp_layer_maximum;
const struct bp_layer_ops bp_layer_maximum = {
    .entry = {.name = "maximum", .summary = "The largest of its inputs, number by number; they have one shape"},
    .inputs_min = 2,
    .inputs_max = BP_INPUTS_MAX,
    .mask = BP_MASK_PASS,
    .plan = plan,
    .forward = forward,
    .backward = backward,
};

/* separable.c - a = f((x * D) P + b), channels last (Chollet 2017): x (B, in..., C), D (size..., C, M), the depthwise convolution d (B, out..., C M),
 * P (1..., C M, filters), b (filters), a (B, out..., filters). d is kept for backward. See depthwise.h. */
#include "engine/layers/separable.h"

#include "engine/activations/activation.h"
#include "engine/initializers/initializer.h"
#include "engine/layers/depthwise.h"
#include "engine/layers/gradient.h"
#include "engine/layers/linear.h"

enum { DEPTHWISE, POINTWISE, BIAS };

/* ---- plan -------------------------------------------------------------------------------------------------------- */

struct sizes {
    struct bp_window window;
    int32_t M, wide, filters; /* wide: C M */
};

static int plan_sizes(const struct bp_node *node, int32_t axes, struct sizes *s, struct bp_error *error) {
    const struct bp_window_params params = {.axes = axes,
                                            .size = BP_SEPARABLE_KERNEL_SIZE,
                                            .strides = BP_SEPARABLE_STRIDES,
                                            .padding = BP_SEPARABLE_PADDING,
                                            .dilation = BP_SEPARABLE_DILATION_RATE};
    if (bp_window_settle(node, &params, &s->window, error)) return -1;
    s->M = (int32_t)node->values[BP_SEPARABLE_DEPTH_MULTIPLIER].number;
    s->filters = (int32_t)node->values[BP_SEPARABLE_FILTERS].number;
    const int64_t wide = (int64_t)s->window.channels * s->M, taps = (int64_t)s->window.size[0] * s->window.size[1];
    const int64_t positions = (int64_t)s->window.out[0] * s->window.out[1];
    if (taps * wide > INT32_MAX || wide * s->filters > INT32_MAX || positions > INT32_MAX || positions * wide > INT32_MAX)
        return bp_error_set(error, "/depth_multiplier", "%d channels with %d filters each have more than 2^31 - 1 numbers; use fewer",
                            (int)s->window.channels, (int)s->M);
    s->wide = (int32_t)wide;
    return 0;
}

static void add_tensors(struct bp_node *node, int32_t axes, const struct sizes *s) {
    const int32_t *size = s->window.size, dims[] = {size[0], size[1], s->window.channels, s->M}, point[] = {1, 1, s->wide, s->filters};
    struct bp_tensor *depthwise = bp_node_tensor(node, "depthwise_kernel", axes + 2, dims + (2 - axes));
    struct bp_tensor *pointwise = bp_node_tensor(node, "pointwise_kernel", axes + 2, point + (2 - axes));
    bp_tensor_initialize(depthwise, &node->values[BP_SEPARABLE_DEPTHWISE_INITIALIZER]);
    bp_tensor_initialize(pointwise, &node->values[BP_SEPARABLE_POINTWISE_INITIALIZER]);
    depthwise->fan_in = (double)size[0] * size[1];
    depthwise->fan_out = depthwise->fan_in * s->M;
    pointwise->fan_in = s->wide;
    pointwise->fan_out = s->filters;
    depthwise->penalised = pointwise->penalised = true;
    pointwise->product = BP_PRODUCT_MATRIX;
    if (node->values[BP_SEPARABLE_USE_BIAS].number == 0) return;
    struct bp_tensor *bias = bp_node_tensor(node, "bias", 1, &s->filters);
    bias->bias = true;
    bp_tensor_initialize(bias, &node->values[BP_SEPARABLE_BIAS_INITIALIZER]);
    bias->fan_in = pointwise->fan_in;
    bias->fan_out = pointwise->fan_out;
}

int bp_separable_plan(struct bp_node *node, int32_t axes, struct bp_error *error) {
    struct sizes s;
    bp_node_activate(node, &node->values[BP_SEPARABLE_ACTIVATION]);
    if (node->in[0].rank < 0) return 0;
    if (plan_sizes(node, axes, &s, error)) return -1;
    bp_window_shape(node, &s.window, s.filters);
    if (s.window.channels <= 0) return 0;
    add_tensors(node, axes, &s);
    const size_t positions = (size_t)s.window.out[0] * (size_t)s.window.out[1];
    node->positions = (int32_t)positions;
    node->memo = node->scratch = positions * (size_t)s.wide; /* d; its gradient */
    if (node->activation && node->activation->needs_z) node->memo += (size_t)bp_shape_size(&node->out);
    return 0;
}

/* ---- forward and backward ---------------------------------------------------------------------------------------- */

/* All sizes of one call; *all: its positions as one tile. */
static struct sizes sizes_of(const struct bp_node *node, const struct bp_pass *pass, struct bp_tile *all) {
    struct sizes s;
    plan_sizes(node, node->in[0].rank - 1, &s, NULL);
    *all = (struct bp_tile){.count = pass->batch * s.window.out[0] * s.window.out[1]};
    return s;
}

/* d P: rows (rows, C M) of the depthwise convolution. */
static struct bp_linear product_of(const struct sizes *s, const struct bp_pass *pass, int32_t rows, const bp_real *d) {
    struct bp_linear product = bp_linear_of(pass, rows, s->wide, s->filters);
    product.x = d;
    product.W = pass->W[POINTWISE];
    return product;
}

void bp_separable_forward(const struct bp_node *node, const struct bp_pass *pass) {
    struct bp_tile all;
    const struct sizes s = sizes_of(node, pass, &all);
    const struct bp_activation_ops *f = node->activation;
    const size_t rows = (size_t)all.count, F = (size_t)s.filters;
    bp_real *d = pass->memo ? pass->memo : pass->scratch;                                      /* (rows, C M) */
    bp_real *z = f && f->needs_z && pass->memo ? pass->memo + rows * (size_t)s.wide : pass->a; /* (rows, filters) */
    bp_depthwise_tile(&s.window, s.M, pass, all, d, NULL);
    /* In inference by sample, so that a prediction does not depend on the others, in its last bits either. */
    const int32_t part = pass->training ? all.count : all.count / pass->batch;
    for (int32_t first = 0; first < all.count; first += part) {
        const struct bp_linear product = product_of(&s, pass, part, d + (size_t)first * (size_t)s.wide);
        bp_linear_forward(&product, node, bp_node_has(node, BIAS) ? pass->W[BIAS] : NULL, z + (size_t)first * F);
    }
    if (f && !f->in_product) bp_node_forward_activation(node, pass, (const size_t[]){rows, F}, z, pass->a);
}

void bp_separable_backward(const struct bp_node *node, const struct bp_pass *pass) {
    struct bp_tile all;
    const struct sizes s = sizes_of(node, pass, &all);
    const struct bp_activation_ops *f = node->activation;
    const size_t rows = (size_t)all.count, F = (size_t)s.filters;
    bp_real *d_z = pass->d_a, *d_d = pass->scratch; /* (rows, filters), (rows, C M) */
    if (f)
        bp_node_backward_activation(
            node, pass, (const size_t[]){rows, F},
            &(const struct bp_activated){.z = f->needs_z ? pass->memo + rows * (size_t)s.wide : NULL, .a = pass->a, .d_a = d_z, .d_z = d_z});
    if (bp_node_has(node, BIAS)) bp_kernels()->column_sums(rows, F, d_z, pass->d_W[BIAS], pass->keep_W);
    const struct bp_linear product = product_of(&s, pass, all.count, pass->memo);
    bp_linear_weights(&product, pass->keep_W, d_z, pass->d_W[POINTWISE]);
    bp_linear_input(&product, false, d_z, d_d);
    bp_gradient_begin(pass->keep_W, (size_t)bp_shape_size(&node->tensors[DEPTHWISE].shape), pass->d_W[DEPTHWISE]);
    if (pass->d_x[0]) bp_gradient_begin(pass->keep_x[0], (size_t)pass->batch * (size_t)bp_shape_size(&node->in[0]), pass->d_x[0]);
    bp_depthwise_tile(&s.window, s.M, pass, all, NULL, d_d);
}

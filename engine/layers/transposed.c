/* transposed.c - what a convolution does to gradients, as a layer that makes images larger: each cell of x (B, in..., C) adds its multiple of the
 * kernel to the output, whose windows lie `strides` apart. W (size..., filters, C), b (filters), a (B, out..., filters), as in Keras.
 *
 * The convolution meant is one from a to x, with the window over a. Per tile of its positions: forward, rows (count, taps filters) = x W^T are added
 * to the cells of a; backward, the cells of d_a are the rows, d_x = rows W and d_W = rows^T x. See patches.h. Order: plan, forward and backward. */
#include "engine/layers/transposed.h"

#include "engine/activations/activation.h"
#include "engine/initializers/initializer.h"
#include "engine/layers/convolution.h"
#include "engine/layers/gradient.h"
#include "engine/layers/linear.h"
#include "engine/layers/patches.h"

#include <stdio.h>
#include <string.h>

enum { KERNEL, BIAS };

/* ---- plan -------------------------------------------------------------------------------------------------------- */

/* One axis of the window: its cells in a, and where the first window begins. As in Keras 3: with padding "same" the output is strides times the
 * input, with "valid" as long as the windows reach; output_padding says how much it is longer than the windows less their padding, as in PyTorch. */
static int settle_axis(const struct bp_node *node, struct bp_window *w, int32_t k, int32_t added, struct bp_error *error) {
    const struct bp_value *padding = &node->values[BP_TRANSPOSED_PADDING];
    const int64_t in = w->out[k], stride = w->stride[k], reach = (int64_t)w->dilation[k] * (w->size[k] - 1) + 1, full = (in - 1) * stride + reach;
    const bool same = padding->integers_count == 0 && (int)padding->number == BP_PADDING_SAME;
    int64_t before = w->before[k], out;
    if (in <= 0) return 0;
    if (added >= 0 || padding->integers_count) {
        if (same) before = reach / 2;
        out = full - 2 * before + (added > 0 ? added : 0);
    } else {
        before = same && reach > stride ? (reach - stride) / 2 : 0;
        out = same || reach < stride ? in * stride : full;
    }
    if (added >= stride && added > 0)
        return bp_error_set(error, "/output_padding", "output_padding of %d must be less than the stride, which is %d", (int)added, (int)stride);
    if (out < 1 || out > INT32_MAX)
        return bp_error_set(error, out < 1 ? "/padding" : "/strides", "the output would have %lld cells along an axis; %s", (long long)out,
                            out < 1 ? "use less padding" : "use smaller strides");
    w->before[k] = (int32_t)before;
    w->in[k] = (int32_t)out;
    return 0;
}

/* The window over a, whose positions are the cells of x. */
static int settle(const struct bp_node *node, int32_t axes, struct bp_patching *p, struct bp_error *error) {
    const int32_t params[] = {BP_TRANSPOSED_KERNEL_SIZE, BP_TRANSPOSED_STRIDES, BP_TRANSPOSED_DILATION_RATE, BP_TRANSPOSED_PADDING,
                              BP_TRANSPOSED_OUTPUT_PADDING};
    const struct bp_shape *in = &node->in[0];
    struct bp_window *w = &p->window;
    int32_t added[2] = {-1, -1};
    int32_t *const to[] = {w->size, w->stride, w->dilation, w->before, added};
    char text[64];
    *p = (struct bp_patching){.window = {.in = {1, 1}, .out = {1, 1}, .size = {1, 1}, .stride = {1, 1}, .dilation = {1, 1}}, .groups = 1};
    if (in->rank != axes + 1)
        return bp_error_set(error, "", "%s needs an input %s, but got %s", node->ops->entry.name,
                            axes == 1 ? "(steps, channels)" : "(height, width, channels)", bp_shape_text(in, text, sizeof text));
    for (int32_t i = 0; i < 5; i++)
        if (node->values[params[i]].integers_count && bp_window_read_axes(node, axes, params[i], to[i], error)) return -1;
    w->channels = p->channels_each = (int32_t)node->values[BP_TRANSPOSED_FILTERS].number;
    for (int32_t k = 2 - axes; k < 2; k++) {
        w->out[k] = in->dims[k - (2 - axes)];
        if (w->out[k] <= 0) w->in[k] = 0;
        if (settle_axis(node, w, k, added[k], error)) return -1;
    }
    if (!bp_patching_settle(p) && (int64_t)p->width * in->dims[axes] <= INT32_MAX) return 0;
    return bp_error_set(error, "/filters", "a kernel for %d filters and %d channels has more than 2^31 - 1 numbers; use fewer filters",
                        (int)w->channels, (int)in->dims[axes]);
}

int bp_transposed_plan(struct bp_node *node, int32_t axes, struct bp_error *error) {
    struct bp_patching p;
    bp_node_activate(node, &node->values[BP_TRANSPOSED_ACTIVATION]);
    if (node->in[0].rank < 0) return 0;
    if (settle(node, axes, &p, error)) return -1;
    const int32_t C = node->in[0].dims[axes], *size = p.window.size;
    node->out = (struct bp_shape){.rank = axes + 1};
    for (int32_t k = 0; k < axes; k++) node->out.dims[k] = p.window.in[2 - axes + k];
    node->out.dims[axes] = p.window.channels;
    if (C <= 0) return 0;
    const int32_t dims[] = {size[0], size[1], p.window.channels, C};
    struct bp_tensor *kernel = bp_node_tensor(node, "kernel", axes + 2, dims + (2 - axes));
    bp_tensor_initialize(kernel, &node->values[BP_TRANSPOSED_KERNEL_INITIALIZER]);
    kernel->fan_in = (double)size[0] * size[1] * C;
    kernel->fan_out = p.width;
    kernel->penalised = true;
    if (node->values[BP_TRANSPOSED_USE_BIAS].number != 0) {
        struct bp_tensor *bias = bp_node_tensor(node, "bias", 1, &p.window.channels);
        bias->bias = true;
        bp_tensor_initialize(bias, &node->values[BP_TRANSPOSED_BIAS_INITIALIZER]);
        bias->fan_in = kernel->fan_in;
        bias->fan_out = kernel->fan_out;
    }
    node->shared_scratch = (size_t)p.tile * (size_t)p.width;
    if (node->activation && node->activation->needs_z) node->memo = (size_t)bp_shape_size(&node->out);
    return 0;
}

/* ---- forward and backward ---------------------------------------------------------------------------------------- */

/* rows (count, width) times W (width, C). */
static struct bp_linear product_of(const struct bp_patching *p, const struct bp_node *node, const struct bp_pass *pass, struct bp_tile tile) {
    struct bp_linear product = bp_linear_of(pass, tile.count, p->width, node->in[0].dims[node->in[0].rank - 1]);
    product.x = pass->shared_scratch;
    product.W = pass->W[KERNEL];
    return product;
}

void bp_transposed_forward(const struct bp_node *node, const struct bp_pass *pass) {
    struct bp_patching p;
    settle(node, node->in[0].rank - 1, &p, NULL);
    const size_t size = (size_t)pass->batch * (size_t)bp_shape_size(&node->out), F = (size_t)p.window.channels;
    const ptrdiff_t C = node->in[0].dims[node->in[0].rank - 1];
    bp_real *z = node->memo && pass->memo ? pass->memo : pass->a; /* (B, out..., filters) */
    memset(z, 0, size * sizeof *z);
    struct bp_tile (*const next)(const struct bp_patching *, int32_t, struct bp_tile) = pass->training ? bp_tile_next : bp_tile_next_alone;
    for (struct bp_tile tile = next(&p, pass->batch, (struct bp_tile){0, 0}); tile.count > 0; tile = next(&p, pass->batch, tile)) {
        const struct bp_linear product = product_of(&p, node, pass, tile);
        bp_linear_input(&product, false, pass->x[0] + tile.first * C, pass->shared_scratch);
        bp_tile_scatter(&p, z, 0, tile, pass->shared_scratch);
    }
    if (bp_node_has(node, BIAS)) bp_kernels()->add_bias(size / F, F, pass->W[BIAS], z);
    if (node->activation) bp_node_forward_activation(node, pass, (const size_t[]){size / F, F}, z, pass->a);
}

void bp_transposed_backward(const struct bp_node *node, const struct bp_pass *pass) {
    struct bp_patching p;
    settle(node, node->in[0].rank - 1, &p, NULL);
    const size_t size = (size_t)pass->batch * (size_t)bp_shape_size(&node->out), F = (size_t)p.window.channels;
    const ptrdiff_t C = node->in[0].dims[node->in[0].rank - 1];
    bp_real *d_z = pass->d_a;
    if (node->activation)
        bp_node_backward_activation(
            node, pass, (const size_t[]){size / F, F},
            &(const struct bp_activated){.z = node->activation->needs_z ? pass->memo : NULL, .a = pass->a, .d_a = d_z, .d_z = d_z});
    if (bp_node_has(node, BIAS)) bp_kernels()->column_sums(size / F, F, d_z, pass->d_W[BIAS], pass->keep_W);
    for (struct bp_tile tile = bp_tile_next(&p, pass->batch, (struct bp_tile){0, 0}); tile.count > 0; tile = bp_tile_next(&p, pass->batch, tile)) {
        const struct bp_linear product = product_of(&p, node, pass, tile);
        bp_tile_gather(&p, d_z, 0, tile, pass->shared_scratch);
        bp_linear_weights(&product, pass->keep_W || tile.first > 0, pass->x[0] + tile.first * C, pass->d_W[KERNEL]);
        if (!pass->d_x[0]) continue;
        bp_gemm(&(const struct bp_gemm){.bfloat16 = pass->bfloat16,
                                        .add = pass->keep_x[0],
                                        .m = tile.count,
                                        .n = (int32_t)C,
                                        .k = p.width,
                                        .A = pass->shared_scratch,
                                        .lda = p.width,
                                        .B = pass->W[KERNEL],
                                        .ldb = (int32_t)C,
                                        .C = pass->d_x[0] + tile.first * C,
                                        .ldc = (int32_t)C});
    }
}

const struct bp_param bp_transposed_params[BP_TRANSPOSED_PARAMS] = {
    [BP_TRANSPOSED_FILTERS] = BP_CONVOLUTION_FILTERS_PARAM,
    [BP_TRANSPOSED_KERNEL_SIZE] = BP_CONVOLUTION_KERNEL_SIZE_PARAM,
    [BP_TRANSPOSED_STRIDES] = BP_CONVOLUTION_STRIDES_PARAM,
    [BP_TRANSPOSED_DILATION_RATE] = BP_CONVOLUTION_DILATION_RATE_PARAM,
    [BP_TRANSPOSED_ACTIVATION] = BP_CONVOLUTION_ACTIVATION_PARAM,
    [BP_TRANSPOSED_USE_BIAS] = BP_CONVOLUTION_USE_BIAS_PARAM,
    [BP_TRANSPOSED_KERNEL_INITIALIZER] = BP_CONVOLUTION_KERNEL_INITIALIZER_PARAM,
    [BP_TRANSPOSED_BIAS_INITIALIZER] = BP_CONVOLUTION_BIAS_INITIALIZER_PARAM,
    [BP_TRANSPOSED_PADDING] = BP_CONVOLUTION_PADDING_PARAM(
        bp_padding_choices, "What is cut off the output: nothing, all beyond strides times the input, or this number on each side"),
    [BP_TRANSPOSED_OUTPUT_PADDING] = {.name = "output_padding",
                                      .type = BP_PARAM_INTEGERS,
                                      .help = "Cells by which the output is longer than its windows less the padding; -1: as \"padding\" says",
                                      .preset = -1,
                                      .min = -1,
                                      .max = 4096},
};

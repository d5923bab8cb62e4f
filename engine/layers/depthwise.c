/* depthwise.c - see depthwise.h. x (B, in..., C), W (size..., C, M), b (C M), a (B, out..., C M), M the multiplier. */
#include "engine/layers/depthwise.h"

#include "engine/activations/activation.h"
#include "engine/kernels/kernels.h"
#include "engine/layers/convolution.h"
#include "engine/layers/gradient.h"

#include <string.h>

enum { KERNEL, BIAS };

/* ---- the products of a tile -------------------------------------------------------------------------------------- */

/* One cell under the window at one position: x (C), W and d_W (C, M), z and d_z (C M), d_x (C). */
struct tap {
    size_t C, M;
    const bp_real *x, *W;
    bp_real *d_x, *d_W;
};

/* Inline, so that a constant M unrolls the inner loop. */
static inline void several_forward(const struct tap *t, size_t M, bp_real *restrict z) {
    const bp_real *restrict x = t->x, *restrict W = t->W;
    for (size_t c = 0; c < t->C; c++)
        for (size_t m = 0; m < M; m++) z[c * M + m] += x[c] * W[c * M + m];
}

static inline void several_backward(const struct tap *t, size_t M, const bp_real *restrict d_z) {
    const bp_real *restrict x = t->x, *restrict W = t->W;
    bp_real *restrict d_W = t->d_W, *restrict d_x = t->d_x;
    for (size_t c = 0; c < t->C; c++)
        for (size_t m = 0; m < M; m++) d_W[c * M + m] += x[c] * d_z[c * M + m];
    for (size_t c = 0; d_x && c < t->C; c++) {
        bp_real sum = 0;
        for (size_t m = 0; m < M; m++) sum += W[c * M + m] * d_z[c * M + m];
        d_x[c] += sum;
    }
}

static void tap_forward(const struct tap *t, bp_real *z) {
    if (t->M == 1) bp_kernels()->multiply(t->C, t->x, t->W, z, true);
    else if (t->M == 2) several_forward(t, 2, z);
    else if (t->M == 4) several_forward(t, 4, z);
    else several_forward(t, t->M, z);
}

static void tap_backward(const struct tap *t, const bp_real *d_z) {
    if (t->M == 1) {
        bp_kernels()->multiply(t->C, t->x, d_z, t->d_W, true);
        if (t->d_x) bp_kernels()->multiply(t->C, t->W, d_z, t->d_x, true);
    } else if (t->M == 2) {
        several_backward(t, 2, d_z);
    } else if (t->M == 4) {
        several_backward(t, 4, d_z);
    } else {
        several_backward(t, t->M, d_z);
    }
}

void bp_depthwise_tile(const struct bp_window *w, int32_t multiplier, const struct bp_pass *pass, struct bp_tile tile, bp_real *z,
                       const bp_real *d_z) {
    struct tap t = {.C = (size_t)w->channels, .M = (size_t)multiplier};
    const size_t wide = t.C * t.M;
    struct bp_place place = bp_window_place(w, tile.first);
    for (int32_t i = 0; i < tile.count; i++, bp_window_advance(w, &place)) {
        int32_t from, until;
        bp_window_inside(w, place.column, &from, &until);
        if (z) memset(z + (size_t)i * wide, 0, wide * sizeof *z);
        for (int32_t k = 0; k < w->size[0]; k++) {
            const int32_t row = place.row + k * w->dilation[0];
            if (row < 0 || row >= w->in[0]) continue;
            for (int32_t j = from; j < until; j++) {
                const size_t tap = (size_t)(k * w->size[1] + j) * wide;
                const size_t cell =
                    (((size_t)place.image * (size_t)w->in[0] + (size_t)row) * (size_t)w->in[1] + (size_t)(place.column + j * w->dilation[1])) * t.C;
                t.x = pass->x[0] + cell;
                t.W = pass->W[KERNEL] + tap;
                if (z) {
                    tap_forward(&t, z + (size_t)i * wide);
                    continue;
                }
                t.d_W = pass->d_W[KERNEL] + tap;
                t.d_x = pass->d_x[0] ? pass->d_x[0] + cell : NULL;
                tap_backward(&t, d_z + (size_t)i * wide);
            }
        }
    }
}

/* ---- the layer --------------------------------------------------------------------------------------------------- */

static int settle(const struct bp_node *node, int32_t axes, struct bp_window *w, struct bp_error *error) {
    const struct bp_window_params params = {.axes = axes,
                                            .size = BP_DEPTHWISE_KERNEL_SIZE,
                                            .strides = BP_DEPTHWISE_STRIDES,
                                            .padding = BP_DEPTHWISE_PADDING,
                                            .dilation = BP_DEPTHWISE_DILATION_RATE};
    return bp_window_settle(node, &params, w, error);
}

int bp_depthwise_plan(struct bp_node *node, int32_t axes, struct bp_error *error) {
    struct bp_window w;
    const int64_t M = (int64_t)node->values[BP_DEPTHWISE_DEPTH_MULTIPLIER].number;
    bp_node_activate(node, &node->values[BP_DEPTHWISE_ACTIVATION]);
    if (node->in[0].rank < 0) return 0;
    if (settle(node, axes, &w, error)) return -1;
    const int64_t taps = (int64_t)w.size[0] * w.size[1], filters = w.channels * M;
    if (taps * filters > INT32_MAX)
        return bp_error_set(error, "/depth_multiplier", "a kernel of %lld x %lld has more than 2^31 - 1 numbers; use a smaller one", (long long)taps,
                            (long long)filters);
    bp_window_shape(node, &w, (int32_t)filters);
    if (w.channels <= 0) return 0;
    const int32_t dims[] = {w.size[0], w.size[1], w.channels, (int32_t)M};
    struct bp_tensor *kernel = bp_node_tensor(node, "depthwise_kernel", axes + 2, dims + (2 - axes));
    bp_tensor_initialize(kernel, &node->values[BP_DEPTHWISE_INITIALIZER]);
    kernel->fan_in = (double)taps;
    kernel->fan_out = (double)taps * (double)M;
    kernel->penalised = true;
    if (node->values[BP_DEPTHWISE_USE_BIAS].number != 0) {
        struct bp_tensor *bias = bp_node_tensor(node, "bias", 1, &(const int32_t){(int32_t)filters});
        bias->bias = true;
        bp_tensor_initialize(bias, &node->values[BP_DEPTHWISE_BIAS_INITIALIZER]);
        bias->fan_in = kernel->fan_in;
        bias->fan_out = kernel->fan_out;
    }
    if (node->activation && node->activation->needs_z) node->memo = (size_t)bp_shape_size(&node->out);
    return 0;
}

/* All positions of the batch as one tile. */
static struct bp_tile whole(const struct bp_pass *pass, const struct bp_window *w) {
    return (struct bp_tile){.count = pass->batch * w->out[0] * w->out[1]};
}

void bp_depthwise_forward(const struct bp_node *node, const struct bp_pass *pass) {
    struct bp_window w;
    settle(node, node->in[0].rank - 1, &w, NULL);
    const struct bp_tile all = whole(pass, &w);
    const size_t rows = (size_t)all.count, F = (size_t)node->out.dims[node->out.rank - 1];
    bp_real *z = node->memo && pass->memo ? pass->memo : pass->a; /* (rows, F) */
    bp_depthwise_tile(&w, (int32_t)node->values[BP_DEPTHWISE_DEPTH_MULTIPLIER].number, pass, all, z, NULL);
    if (bp_node_has(node, BIAS)) bp_kernels()->add_bias(rows, F, pass->W[BIAS], z);
    if (node->activation) bp_node_forward_activation(node, pass, (const size_t[]){rows, F}, z, pass->a);
}

void bp_depthwise_backward(const struct bp_node *node, const struct bp_pass *pass) {
    struct bp_window w;
    settle(node, node->in[0].rank - 1, &w, NULL);
    const struct bp_tile all = whole(pass, &w);
    const size_t rows = (size_t)all.count, F = (size_t)node->out.dims[node->out.rank - 1];
    bp_real *d_z = pass->d_a; /* (rows, F) */
    if (node->activation)
        bp_node_backward_activation(
            node, pass, (const size_t[]){rows, F},
            &(const struct bp_activated){.z = node->activation->needs_z ? pass->memo : NULL, .a = pass->a, .d_a = d_z, .d_z = d_z});
    if (bp_node_has(node, BIAS)) bp_kernels()->column_sums(rows, F, d_z, pass->d_W[BIAS], pass->keep_W);
    bp_gradient_begin(pass->keep_W, (size_t)bp_shape_size(&node->tensors[KERNEL].shape), pass->d_W[KERNEL]);
    if (pass->d_x[0]) bp_gradient_begin(pass->keep_x[0], (size_t)pass->batch * (size_t)bp_shape_size(&node->in[0]), pass->d_x[0]);
    bp_depthwise_tile(&w, (int32_t)node->values[BP_DEPTHWISE_DEPTH_MULTIPLIER].number, pass, all, NULL, d_z);
}

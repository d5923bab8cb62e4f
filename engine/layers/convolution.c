/* convolution.c - a = f(x * W + b), channels last: x (B, in..., C), W (size..., C / groups, filters), b (filters), a (B, out..., filters).
 *
 * Windows of the usual shapes are read in place, image by image (sliding.h). For the others the positions of the output, over the whole batch, go in
 * tiles: the cells under the window become rows of a small matrix (count, taps C / groups) that stays in cache (patches.h), and one product with W
 * gives the tile's filters, to which bias and activation are applied at once. Where oneDNN is started and takes it, it does the whole batch instead.
 * A window of one cell needs no copy; one channel per group and filter no product (depthwise.h).
 * Order: plan, products of a tile, the whole batch, windows in place, forward and backward. */
#include "engine/layers/convolution.h"

#include "engine/activations/activation.h"
#include "engine/initializers/initializer.h"
#include "engine/kernels/kernels.h"
#include "engine/layers/depthwise.h"
#include "engine/layers/gradient.h"
#include "engine/layers/linear.h"
#include "engine/layers/patches.h"
#include "engine/layers/sliding.h"

#include <string.h>

enum { KERNEL, BIAS };

/* ---- plan -------------------------------------------------------------------------------------------------------- */

/* All sizes of one call. */
struct sizes {
    struct bp_patching p;
    int32_t filters, filters_each;
    bool direct;    /* the window is one cell: x is its own matrix */
    bool depthwise; /* one channel and one filter a group */
};

static int plan_sizes(const struct bp_node *node, int32_t axes, struct sizes *s, struct bp_error *error) {
    const struct bp_window_params params = {.axes = axes,
                                            .size = BP_CONVOLUTION_KERNEL_SIZE,
                                            .strides = BP_CONVOLUTION_STRIDES,
                                            .padding = BP_CONVOLUTION_PADDING,
                                            .dilation = BP_CONVOLUTION_DILATION_RATE};
    struct bp_window *w = &s->p.window;
    if (bp_window_settle(node, &params, w, error)) return -1;
    s->filters = (int32_t)node->values[BP_CONVOLUTION_FILTERS].number;
    s->p.groups = (int32_t)node->values[BP_CONVOLUTION_GROUPS].number;
    if (s->filters % s->p.groups || w->channels % s->p.groups)
        return bp_error_set(error, "/groups", "groups must divide the %d channels of the input and the %d filters, but is %d", (int)w->channels,
                            (int)s->filters, (int)s->p.groups);
    s->p.channels_each = w->channels / s->p.groups;
    s->filters_each = s->filters / s->p.groups;
    const int64_t width = (int64_t)w->size[0] * w->size[1] * s->p.channels_each;
    if (width * s->filters > INT32_MAX)
        return bp_error_set(error, "/filters", "a kernel of %lld x %d has more than 2^31 - 1 numbers; use fewer filters or a smaller kernel_size",
                            (long long)width, (int)s->filters);
    bp_patching_settle(&s->p);
    s->direct = true;
    for (int k = 0; k < 2; k++) s->direct = s->direct && w->size[k] == 1 && w->stride[k] == 1 && w->before[k] == 0 && w->out[k] == w->in[k];
    s->depthwise = s->p.groups > 1 && s->p.channels_each == 1 && s->filters_each == 1;
    return 0;
}

static void add_tensors(struct bp_node *node, int32_t axes, const struct sizes *s) {
    const int32_t *size = s->p.window.size;
    const int32_t image[] = {size[0], size[1], s->p.channels_each, s->filters};
    struct bp_tensor *kernel = bp_node_tensor(node, "kernel", axes + 2, image + (2 - axes));
    bp_tensor_initialize(kernel, &node->values[BP_CONVOLUTION_KERNEL_INITIALIZER]);
    kernel->fan_in = s->p.width;
    kernel->fan_out = (double)size[0] * size[1] * s->filters_each;
    kernel->penalised = true;
    kernel->product = BP_PRODUCT_CONVOLUTION;
    node->positions = (int32_t)(bp_shape_size(&node->out) / s->filters);
    if (node->values[BP_CONVOLUTION_USE_BIAS].number == 0) return;
    struct bp_tensor *bias = bp_node_tensor(node, "bias", 1, &s->filters);
    bias->bias = true;
    bp_tensor_initialize(bias, &node->values[BP_CONVOLUTION_BIAS_INITIALIZER]);
    bias->fan_in = kernel->fan_in;
    bias->fan_out = kernel->fan_out;
}

int bp_convolution_plan(struct bp_node *node, int32_t axes, struct bp_error *error) {
    struct sizes s;
    bp_node_activate(node, &node->values[BP_CONVOLUTION_ACTIVATION]);
    if (node->in[0].rank < 0) return 0;
    if (plan_sizes(node, axes, &s, error)) return -1;
    bp_window_shape(node, &s.p.window, s.filters);
    if (s.p.window.channels <= 0) return 0;
    add_tensors(node, axes, &s);
    if (!s.direct && !s.depthwise) node->shared_scratch = (size_t)s.p.tile * (size_t)s.p.width;
    if (!s.direct && s.p.groups == 1 && bp_slides(&s.p.window, s.filters)) {
        const size_t sliding = bp_slide_scratch(&s.p.window, s.filters);
        if (sliding > node->shared_scratch) node->shared_scratch = sliding;
    }
    if (node->activation && node->activation->needs_z) node->memo = (size_t)bp_shape_size(&node->out);
    return 0;
}

/* ---- products of a tile ------------------------------------------------------------------------------------------ */

/* The product of a tile and group: rows of the matrix (count, width), W and filters of the group. */
static struct bp_linear product_of(const struct sizes *s, const struct bp_pass *pass, int32_t group, struct bp_tile tile) {
    struct bp_linear product = {.rows = tile.count,
                                .in = s->p.width,
                                .out = s->filters_each,
                                .x_stride = s->direct ? s->p.window.channels : s->p.width,
                                .stride = s->filters,
                                .bfloat16 = pass->bfloat16,
                                .x = pass->shared_scratch,
                                .W = pass->W[KERNEL] + (ptrdiff_t)group * s->filters_each};
    if (s->direct) product.x = pass->x[0] + (ptrdiff_t)tile.first * s->p.window.channels + (ptrdiff_t)group * s->p.channels_each;
    return product;
}

/* The same, with its rows in the matrix. */
static struct bp_linear gathered_product(const struct sizes *s, const struct bp_pass *pass, int32_t group, struct bp_tile tile) {
    if (!s->direct) bp_tile_gather(&s->p, pass->x[0], group, tile, pass->shared_scratch);
    return product_of(s, pass, group, tile);
}

/* z = rows W + b, rectified when that is the activation. */
static void forward_product(const struct bp_node *node, const struct sizes *s, const struct bp_pass *pass, int32_t group, struct bp_tile tile,
                            bp_real *z) {
    const ptrdiff_t at = (ptrdiff_t)group * s->filters_each;
    const struct bp_linear product = gathered_product(s, pass, group, tile);
    bp_linear_forward(&product, node, bp_node_has(node, BIAS) ? pass->W[BIAS] + at : NULL, z + at);
}

/* dW += rows^T dz. */
static void weights_product(const struct sizes *s, const struct bp_pass *pass, int32_t group, struct bp_tile tile, const bp_real *d_z) {
    const ptrdiff_t at = (ptrdiff_t)group * s->filters_each;
    const struct bp_linear product = gathered_product(s, pass, group, tile);
    bp_linear_weights(&product, pass->keep_W || tile.first > 0, d_z + at, pass->d_W[KERNEL] + at);
}

/* d_rows = dz W^T, added to d_x. */
static void input_product(const struct sizes *s, const struct bp_pass *pass, int32_t group, struct bp_tile tile, const bp_real *d_z) {
    const struct bp_linear product = product_of(s, pass, group, tile);
    const ptrdiff_t cell = (ptrdiff_t)tile.first * s->p.window.channels + (ptrdiff_t)group * s->p.channels_each;
    d_z += (ptrdiff_t)group * s->filters_each;
    bp_linear_input(&product, s->direct && pass->keep_x[0], d_z, s->direct ? pass->d_x[0] + cell : pass->shared_scratch);
    if (!s->direct) bp_tile_scatter(&s->p, pass->d_x[0], group, tile, pass->shared_scratch);
}

/* ---- forward and backward ---------------------------------------------------------------------------------------- */

static struct sizes sizes_of(const struct bp_node *node) {
    struct sizes s;
    plan_sizes(node, node->in[0].rank - 1, &s, NULL);
    return s;
}

/* z (positions, filters) from number `at` on: where the activation's backward pass looks for it, or in the place of a. */
static bp_real *z_at(const struct bp_node *node, const struct bp_pass *pass, size_t at) {
    return (node->memo && pass->memo && node->activation ? pass->memo : pass->a) + at;
}

/* d_z (rows, filters) in the place of d_a, of positions from `first` on, and the gradients of slopes and bias. */
static bp_real *backward_activation(const struct bp_node *node, const struct bp_pass *pass, size_t first, size_t rows, size_t F) {
    const struct bp_activation_ops *f = node->activation;
    const size_t at = first * F;
    bp_real *d_z = pass->d_a + at;
    const struct bp_activated activated = {
        .z = f && f->needs_z ? pass->memo + at : NULL, .a = pass->a + at, .d_a = d_z, .d_z = d_z, .more = first > 0};
    if (f) bp_node_backward_activation(node, pass, (const size_t[]){rows, F}, &activated);
    if (bp_node_has(node, BIAS)) bp_kernels()->column_sums(rows, F, d_z, pass->d_W[BIAS], pass->keep_W || first > 0);
    return d_z;
}

/* The whole batch at once, for the library that may do it (kernels.h). */
static struct bp_convolution whole_of(const struct bp_node *node, const struct sizes *s, const struct bp_pass *pass) {
    const struct bp_window *w = &s->p.window;
    struct bp_convolution call = {.batch = pass->batch,
                                  .channels = w->channels,
                                  .filters = s->filters,
                                  .groups = s->p.groups,
                                  .bfloat16 = pass->bfloat16,
                                  .x = pass->x[0],
                                  .W = pass->W[KERNEL],
                                  .bias = bp_node_has(node, BIAS) ? pass->W[BIAS] : NULL,
                                  .y = z_at(node, pass, 0),
                                  .d_y = pass->d_a,
                                  .d_x = pass->d_x[0],
                                  .d_W = pass->d_W[KERNEL]};
    for (int k = 0; k < 2; k++) {
        call.in[k] = w->in[k];
        call.out[k] = w->out[k];
        call.size[k] = w->size[k];
        call.stride[k] = w->stride[k];
        call.dilation[k] = w->dilation[k];
        call.before[k] = w->before[k];
    }
    return call;
}

static size_t rows_of(const struct sizes *s, const struct bp_pass *pass) {
    return (size_t)pass->batch * (size_t)s->p.window.out[0] * (size_t)s->p.window.out[1];
}

/* False: nothing was done. */
static bool forward_whole(const struct bp_node *node, const struct sizes *s, const struct bp_pass *pass) {
    const struct bp_convolution call = whole_of(node, s, pass);
    if (!bp_convolution_ready(&call, BP_CONVOLUTION_FORWARD)) return false;
    bp_convolution_run(&call, BP_CONVOLUTION_FORWARD);
    if (node->activation) bp_node_forward_activation(node, pass, (const size_t[]){rows_of(s, pass), (size_t)s->filters}, call.y, pass->a);
    return true;
}

static bool backward_whole(const struct bp_node *node, const struct sizes *s, const struct bp_pass *pass) {
    const struct bp_convolution call = whole_of(node, s, pass);
    if (pass->keep_W || (call.d_x && pass->keep_x[0]) || !bp_convolution_ready(&call, BP_CONVOLUTION_BACK_WEIGHTS) ||
        (call.d_x && !bp_convolution_ready(&call, BP_CONVOLUTION_BACK_DATA)))
        return false;
    backward_activation(node, pass, 0, rows_of(s, pass), (size_t)s->filters);
    bp_convolution_run(&call, BP_CONVOLUTION_BACK_WEIGHTS);
    if (call.d_x) bp_convolution_run(&call, BP_CONVOLUTION_BACK_DATA);
    return true;
}

/* ---- windows in place --------------------------------------------------------------------------------------------- */

static bool slides(const struct sizes *s, const struct bp_pass *pass) {
    return !pass->bfloat16 && !s->direct && s->p.groups == 1 && bp_slides_ready(&s->p.window, s->filters);
}

static bool forward_sliding(const struct bp_node *node, const struct sizes *s, const struct bp_pass *pass) {
    const struct bp_activation_ops *f = node->activation;
    const size_t F = (size_t)s->filters, in = (size_t)bp_shape_size(&node->in[0]), rows = rows_of(s, pass) / (size_t)pass->batch; /* of an image */
    if (!slides(s, pass)) return false;
    struct bp_slide call = {.filters = s->filters,
                            .W = pass->W[KERNEL],
                            .bias = bp_node_has(node, BIAS) ? pass->W[BIAS] : NULL,
                            .rectify = f && f->in_product,
                            .slope = (bp_real)node->activation_numbers[0]};
    for (size_t i = 0; i < (size_t)pass->batch; i++) {
        call.y = z_at(node, pass, i * rows * F);
        bp_slide_forward(&s->p.window, pass->x[0] + i * in, &call, pass->shared_scratch);
        if (f && !f->in_product) bp_node_forward_activation(node, pass, (const size_t[]){rows, F}, call.y, pass->a + i * rows * F);
    }
    return true;
}

static void begin_input_gradient(const struct bp_node *node, const struct bp_pass *pass) {
    bp_gradient_begin(pass->keep_x[0], (size_t)pass->batch * (size_t)bp_shape_size(&node->in[0]), pass->d_x[0]);
}

/* d_x through the matrix, where a convolution of d_z would compute more. */
static void input_through_matrix(const struct bp_node *node, const struct sizes *s, const struct bp_pass *pass) {
    begin_input_gradient(node, pass);
    for (struct bp_tile tile = bp_tile_next(&s->p, pass->batch, (struct bp_tile){0, 0}); tile.count > 0;
         tile = bp_tile_next(&s->p, pass->batch, tile))
        input_product(s, pass, 0, tile, pass->d_a + (ptrdiff_t)tile.first * s->filters);
}

static bool backward_sliding(const struct bp_node *node, const struct sizes *s, const struct bp_pass *pass) {
    const struct bp_window *w = &s->p.window;
    const size_t F = (size_t)s->filters, in = (size_t)bp_shape_size(&node->in[0]), rows = rows_of(s, pass) / (size_t)pass->batch; /* of an image */
    if (!slides(s, pass)) return false;
    const bool turn = pass->d_x[0] && bp_slides_input(w, s->filters);
    bp_gradient_begin(pass->keep_W, (size_t)s->p.width * F, pass->d_W[KERNEL]);
    if (turn) bp_slide_turn(w, s->filters, pass->W[KERNEL], pass->shared_scratch);
    for (size_t i = 0; i < (size_t)pass->batch; i++) {
        const bp_real *d_z = backward_activation(node, pass, i * rows, rows, F);
        const struct bp_slide call = {.filters = s->filters, .d_y = d_z, .d_W = pass->d_W[KERNEL]};
        bp_slide_weights(w, pass->x[0] + i * in, &call, pass->shared_scratch);
        if (turn) bp_slide_input(w, s->filters, d_z, pass->keep_x[0], pass->d_x[0] + i * in, pass->shared_scratch);
    }
    if (pass->d_x[0] && !turn) input_through_matrix(node, s, pass);
    return true;
}

void bp_convolution_forward(const struct bp_node *node, const struct bp_pass *pass) {
    const struct sizes s = sizes_of(node);
    if (forward_whole(node, &s, pass) || forward_sliding(node, &s, pass)) return;
    const struct bp_activation_ops *f = node->activation;
    const bp_real *b = bp_node_has(node, BIAS) ? pass->W[BIAS] : NULL; /* (filters) */
    const size_t F = (size_t)s.filters;
    struct bp_tile (*const next)(const struct bp_patching *, int32_t, struct bp_tile) = pass->predicting ? bp_tile_next_alone : bp_tile_next;
    for (struct bp_tile tile = next(&s.p, pass->batch, (struct bp_tile){0, 0}); tile.count > 0; tile = next(&s.p, pass->batch, tile)) {
        const size_t at = (size_t)tile.first * F, rows = (size_t)tile.count;
        bp_real *a = pass->a + at, *z = z_at(node, pass, at); /* (count, filters) */
        for (int32_t group = 0; group < s.p.groups && !s.depthwise; group++) forward_product(node, &s, pass, group, tile, z);
        if (s.depthwise) bp_depthwise_tile(&s.p.window, 1, pass, tile, z, NULL);
        if (s.depthwise && b) bp_kernels()->add_bias(rows, F, b, z);
        if (f && (s.depthwise || !f->in_product)) bp_node_forward_activation(node, pass, (const size_t[]){rows, F}, z, a);
    }
}

void bp_convolution_backward(const struct bp_node *node, const struct bp_pass *pass) {
    const struct sizes s = sizes_of(node);
    if (backward_whole(node, &s, pass) || backward_sliding(node, &s, pass)) return;
    const size_t F = (size_t)s.filters;
    if (s.depthwise) bp_gradient_begin(pass->keep_W, (size_t)s.p.width * F, pass->d_W[KERNEL]);
    if (pass->d_x[0] && (!s.direct || s.depthwise)) begin_input_gradient(node, pass); /* is added to */
    for (struct bp_tile tile = bp_tile_next(&s.p, pass->batch, (struct bp_tile){0, 0}); tile.count > 0;
         tile = bp_tile_next(&s.p, pass->batch, tile)) {
        const bp_real *d_z = backward_activation(node, pass, (size_t)tile.first, (size_t)tile.count, F); /* (count, filters) */
        for (int32_t group = 0; group < s.p.groups && !s.depthwise; group++) {
            weights_product(&s, pass, group, tile, d_z);
            if (pass->d_x[0]) input_product(&s, pass, group, tile, d_z);
        }
        if (s.depthwise) bp_depthwise_tile(&s.p.window, 1, pass, tile, NULL, d_z);
    }
}

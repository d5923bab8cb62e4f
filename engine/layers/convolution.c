/* convolution.c - a = f(x * W + b), channels last: x (B, in..., C), W (size..., C / groups, filters), b (filters), a (B, out..., filters).
 *
 * The positions of the output, over the whole batch, go in tiles: the cells under the window become rows of a small matrix
 * (count, taps C / groups) that stays in cache (im2col), and one product with W gives the tile's filters, to which bias and activation
 * are applied at once. Where oneDNN is started and takes it, it does the whole batch instead. A window of one cell needs no copy; one channel per
 * group and filter (depthwise) no product. Order: parameters, plan, tiles, products of a tile, depthwise, forward and backward. */
#include "engine/layers/convolution.h"

#include "engine/activations/activation.h"
#include "engine/initializers/initializer.h"
#include "engine/kernels/kernels.h"
#include "engine/layers/gradient.h"
#include "engine/layers/linear.h"
#include "engine/layers/window.h"

#include <string.h>

enum { FILTERS, KERNEL_SIZE, STRIDES, PADDING, DILATION_RATE, GROUPS, ACTIVATION, USE_BIAS, KERNEL_INITIALIZER, BIAS_INITIALIZER };
enum { KERNEL, BIAS };
enum { TILE_REALS = 32768, TILE_ROWS = 16 }; /* size of a tile's matrix, and the fewest rows it has all the same */

/* ---- parameters -------------------------------------------------------------------------------------------------- */

const struct bp_param bp_convolution_params[BP_CONVOLUTION_PARAMS] = {
    [FILTERS] = {.name = "filters", .type = BP_PARAM_INTEGER, .help = "Channels of the output", .min = 1, .max = 65536, .flags = BP_PARAM_REQUIRED},
    [KERNEL_SIZE] = {.name = "kernel_size",
                     .type = BP_PARAM_INTEGERS,
                     .help = "Size of the window along each axis",
                     .min = 1,
                     .max = 4096,
                     .flags = BP_PARAM_REQUIRED},
    [STRIDES] = {.name = "strides", .type = BP_PARAM_INTEGERS, .help = "Stride of the window along each axis", .preset = 1, .min = 1, .max = 4096},
    [PADDING] = {.name = "padding",
                 .type = BP_PARAM_CHOICE,
                 .help = "Zeros around the input: none, enough to keep the size, or this number on each side",
                 .min = 0,
                 .max = 4096,
                 .flags = BP_PARAM_OR_INTEGERS,
                 .choices = bp_padding_choices},
    [DILATION_RATE] =
        {.name = "dilation_rate", .type = BP_PARAM_INTEGERS, .help = "Distance between the cells of the window", .preset = 1, .min = 1, .max = 4096},
    [GROUPS] = {.name = "groups",
                .type = BP_PARAM_INTEGER,
                .help = "Groups of channels that are convolved separately; equal to the channels: depthwise",
                .preset = 1,
                .min = 1,
                .max = 65536},
    [ACTIVATION] = {.name = "activation",
                    .type = BP_PARAM_ENTRY,
                    .help = "Activation applied to the outputs",
                    .family = &bp_activations,
                    .preset_name = "linear"},
    [USE_BIAS] = {.name = "use_bias", .type = BP_PARAM_BOOLEAN, .help = "Add a trainable bias per filter", .preset = 1},
    [KERNEL_INITIALIZER] = {.name = "kernel_initializer",
                            .type = BP_PARAM_ENTRY,
                            .help = "Initial values of the kernel",
                            .family = &bp_initializers,
                            .preset_name = "auto"},
    [BIAS_INITIALIZER] = {.name = "bias_initializer",
                          .type = BP_PARAM_ENTRY,
                          .help = "Initial values of the bias",
                          .family = &bp_initializers,
                          .preset_name = "zeros"},
};

/* ---- plan -------------------------------------------------------------------------------------------------------- */

/* All sizes of one call. */
struct sizes {
    struct bp_window window;
    int32_t groups, filters, width; /* width: numbers under the window, of one group: a row of the tile */
    int32_t channels_each, filters_each;
    int32_t tile;   /* positions of a tile */
    bool direct;    /* the window is one cell: x is its own matrix */
    bool depthwise; /* one channel and one filter a group */
};

static int settle(const struct bp_node *node, int32_t axes, struct sizes *s, struct bp_error *error) {
    const struct bp_window_params params = {.axes = axes, .size = KERNEL_SIZE, .strides = STRIDES, .padding = PADDING, .dilation = DILATION_RATE};
    struct bp_window *w = &s->window;
    if (bp_window_settle(node, &params, w, error)) return -1;
    s->filters = (int32_t)node->values[FILTERS].number;
    s->groups = (int32_t)node->values[GROUPS].number;
    if (s->filters % s->groups || w->channels % s->groups)
        return bp_error_set(error, "/groups", "groups must divide the %d channels of the input and the %d filters, but is %d", (int)w->channels,
                            (int)s->filters, (int)s->groups);
    s->channels_each = w->channels / s->groups;
    s->filters_each = s->filters / s->groups;
    const int64_t width = (int64_t)w->size[0] * w->size[1] * s->channels_each;
    if (width * s->filters > INT32_MAX)
        return bp_error_set(error, "/filters", "a kernel of %lld x %d has more than 2^31 - 1 numbers; use fewer filters or a smaller kernel_size",
                            (long long)width, (int)s->filters);
    s->width = (int32_t)width;
    s->tile = width > 0 && TILE_REALS / width > TILE_ROWS ? (int32_t)(TILE_REALS / width) : TILE_ROWS;
    s->direct = true;
    for (int k = 0; k < 2; k++) s->direct = s->direct && w->size[k] == 1 && w->stride[k] == 1 && w->before[k] == 0 && w->out[k] == w->in[k];
    s->depthwise = s->groups > 1 && s->channels_each == 1 && s->filters_each == 1;
    return 0;
}

static void add_tensors(struct bp_node *node, int32_t axes, const struct sizes *s) {
    const int32_t *size = s->window.size;
    const int32_t image[] = {size[0], size[1], s->channels_each, s->filters};
    struct bp_tensor *kernel = bp_node_tensor(node, "kernel", axes + 2, image + (2 - axes));
    bp_tensor_initialize(kernel, &node->values[KERNEL_INITIALIZER]);
    kernel->fan_in = s->width;
    kernel->fan_out = (double)size[0] * size[1] * s->filters_each;
    kernel->penalised = true;
    kernel->product = BP_PRODUCT_CONVOLUTION;
    node->positions = (int32_t)(bp_shape_size(&node->out) / s->filters);
    if (node->values[USE_BIAS].number == 0) return;
    struct bp_tensor *bias = bp_node_tensor(node, "bias", 1, &s->filters);
    bp_tensor_initialize(bias, &node->values[BIAS_INITIALIZER]);
    bias->fan_in = kernel->fan_in;
    bias->fan_out = kernel->fan_out;
}

int bp_convolution_plan(struct bp_node *node, int32_t axes, struct bp_error *error) {
    struct sizes s;
    bp_node_activate(node, &node->values[ACTIVATION]);
    if (node->in[0].rank < 0) return 0;
    if (settle(node, axes, &s, error)) return -1;
    bp_window_shape(node, &s.window, s.filters);
    if (s.window.channels <= 0) return 0;
    add_tensors(node, axes, &s);
    if (!s.direct && !s.depthwise) node->shared_scratch = (size_t)s.tile * (size_t)s.width;
    if (node->activation && node->activation->needs_z) node->memo = (size_t)bp_shape_size(&node->out);
    return 0;
}

/* ---- tiles ------------------------------------------------------------------------------------------------------- */

/* Positions first..first+count-1 of the output. */
struct tile {
    int32_t first, count;
};

static void copy(bp_real *to, const bp_real *from, int32_t n) {
    if (n >= 32) memcpy(to, from, (size_t)n * sizeof *to);
    else
        for (int32_t i = 0; i < n; i++) to[i] = from[i];
}

static void clear(bp_real *to, int32_t n) {
    for (int32_t i = 0; i < n; i++) to[i] = 0;
}

static void add_to(bp_real *restrict to, const bp_real *restrict from, int32_t n) {
    for (int32_t i = 0; i < n; i++) to[i] += from[i];
}

/* The cells of one row of the window: columns from..until-1 are within the image. */
static void inside(const struct bp_window *w, int32_t column, int32_t *from, int32_t *until) {
    const int32_t step = w->dilation[1];
    *from = column < 0 ? (-column + step - 1) / step : 0;
    *until = column >= w->in[1] ? 0 : (w->in[1] - column + step - 1) / step;
    if (*until > w->size[1]) *until = w->size[1];
    if (*from > *until) *from = *until;
}

/* The adjacent windows from here that are within the image, at most `most` of them; count 0: none, or their lines have gaps. */
static struct bp_patches stretch(const struct sizes *s, struct bp_place place, int32_t most, const bp_real *x) {
    const struct bp_window *w = &s->window;
    const ptrdiff_t C = w->channels;
    const int32_t within = w->in[1] - w->size[1] - place.column, left = w->out[1] - place.out[1];
    struct bp_patches call = {.lines = (size_t)w->size[0], .line = (size_t)(w->size[1] * C), .step = (size_t)(w->stride[1] * C)};
    if (s->groups > 1 || w->dilation[1] > 1 || place.column < 0 || within < 0) return call;
    if (place.row < 0 || place.row + (w->size[0] - 1) * w->dilation[0] >= w->in[0]) return call;
    int32_t count = within / w->stride[1] + 1;
    if (count > left) count = left;
    if (count > most) count = most;
    call.count = (size_t)count;
    call.row = (size_t)(w->in[1] * C * w->dilation[0]);
    call.image = (bp_real *)(uintptr_t)(x + (((ptrdiff_t)place.image * w->in[0] + place.row) * w->in[1] + place.column) * C);
    return call;
}

/* A window at the border, or with gaps: x -> row (width), or, when `back`, what the row holds is added to the cells it came from. */
static void patch(const struct sizes *s, bp_real *x, int32_t group, struct bp_place place, bp_real *row, bool back) {
    const struct bp_window *w = &s->window;
    const int32_t each = s->channels_each, C = w->channels, line = w->size[1] * each;
    int32_t from, until;
    inside(w, place.column, &from, &until);
    for (int32_t k = 0; k < w->size[0]; k++, row += line) {
        const int32_t down = place.row + k * w->dilation[0];
        const bool outside = down < 0 || down >= w->in[0];
        const ptrdiff_t at = (((ptrdiff_t)place.image * w->in[0] + down) * w->in[1] + place.column) * C +
                             (ptrdiff_t)group * each; /* of the window's first cell, inside or not */
        if (!back) clear(row, line);
        for (int32_t j = from; j < until && !outside; j++) {
            const ptrdiff_t cell = at + (ptrdiff_t)j * w->dilation[1] * C;
            if (back) add_to(x + cell, row + j * each, each);
            else copy(row + j * each, x + cell, each);
        }
    }
}

/* im2col: x (B, in..., C) -> rows (count, width), of one group; or the way back. */
static void move(const struct sizes *s, bp_real *x, int32_t group, struct tile tile, bp_real *rows, bool back) {
    const struct bp_window *w = &s->window;
    struct bp_place place = bp_window_place(w, tile.first);
    for (int32_t i = 0; i < tile.count;) {
        struct bp_patches run = stretch(s, place, tile.count - i, x);
        run.matrix = rows + (ptrdiff_t)i * s->width;
        if (!run.count) {
            patch(s, x, group, place, run.matrix, back);
            run.count = 1;
        } else if (back) {
            bp_kernels()->scatter(&run);
        } else {
            bp_kernels()->gather(&run);
        }
        i += (int32_t)run.count;
        for (size_t k = 0; k < run.count; k++) bp_window_advance(w, &place);
    }
}

/* ---- products of a tile ------------------------------------------------------------------------------------------ */

/* The product of a tile and group: rows of the matrix (count, width), W and filters of the group. */
static struct bp_linear product_of(const struct sizes *s, const struct bp_pass *pass, int32_t group, struct tile tile) {
    struct bp_linear product = {.rows = tile.count,
                                .in = s->width,
                                .out = s->filters_each,
                                .x_stride = s->direct ? s->window.channels : s->width,
                                .stride = s->filters,
                                .bfloat16 = pass->bfloat16,
                                .W = pass->W[KERNEL] + (ptrdiff_t)group * s->filters_each};
    if (s->direct) {
        product.x = pass->x[0] + (ptrdiff_t)tile.first * s->window.channels + (ptrdiff_t)group * s->channels_each;
        return product;
    }
    move(s, (bp_real *)(uintptr_t)pass->x[0], group, tile, pass->shared_scratch, false);
    product.x = pass->shared_scratch;
    return product;
}

/* z = rows W + b, rectified when that is the activation. */
static void forward_product(const struct bp_node *node, const struct sizes *s, const struct bp_pass *pass, int32_t group, struct tile tile,
                            bp_real *z) {
    const ptrdiff_t at = (ptrdiff_t)group * s->filters_each;
    const struct bp_linear product = product_of(s, pass, group, tile);
    bp_linear_forward(&product, node, bp_node_has(node, BIAS) ? pass->W[BIAS] + at : NULL, z + at);
}

/* dW += rows^T dz;  d_rows = dz W^T. */
static void backward_products(const struct sizes *s, const struct bp_pass *pass, int32_t group, struct tile tile, const bp_real *d_z) {
    const ptrdiff_t at = (ptrdiff_t)group * s->filters_each;
    const struct bp_linear product = product_of(s, pass, group, tile);
    bp_linear_weights(&product, pass->keep_W || tile.first > 0, d_z + at, pass->d_W[KERNEL] + at);
    if (!pass->d_x[0]) return;
    const ptrdiff_t cell = (ptrdiff_t)tile.first * s->window.channels + (ptrdiff_t)group * s->channels_each;
    bp_linear_input(&product, s->direct && pass->keep_x[0], d_z + at, s->direct ? pass->d_x[0] + cell : pass->shared_scratch);
    if (!s->direct) move(s, pass->d_x[0], group, tile, pass->shared_scratch, true);
}

/* ---- depthwise --------------------------------------------------------------------------------------------------- */

/* For each cell under the window at each position: forward adds x W to z; backward adds d_z x to d_W and d_z W to d_x. z NULL: backward. */
static void depthwise(const struct sizes *s, const struct bp_pass *pass, struct tile tile, bp_real *z, const bp_real *d_z) {
    const struct bp_window *w = &s->window;
    const struct bp_kernels *kernels = bp_kernels();
    const size_t C = (size_t)w->channels;
    struct bp_place place = bp_window_place(w, tile.first);
    for (int32_t i = 0; i < tile.count; i++, bp_window_advance(w, &place)) {
        int32_t from, until;
        inside(w, place.column, &from, &until);
        if (z) memset(z + (size_t)i * C, 0, C * sizeof *z);
        for (int32_t k = 0; k < w->size[0]; k++) {
            const int32_t row = place.row + k * w->dilation[0];
            if (row < 0 || row >= w->in[0]) continue;
            for (int32_t j = from; j < until; j++) {
                const size_t tap = (size_t)(k * w->size[1] + j) * C;
                const size_t cell =
                    (((size_t)place.image * (size_t)w->in[0] + (size_t)row) * (size_t)w->in[1] + (size_t)(place.column + j * w->dilation[1])) * C;
                if (z) {
                    kernels->multiply(C, pass->x[0] + cell, pass->W[KERNEL] + tap, z + (size_t)i * C, true);
                    continue;
                }
                kernels->multiply(C, pass->x[0] + cell, d_z + (size_t)i * C, pass->d_W[KERNEL] + tap, true);
                if (pass->d_x[0]) kernels->multiply(C, pass->W[KERNEL] + tap, d_z + (size_t)i * C, pass->d_x[0] + cell, true);
            }
        }
    }
}

/* ---- forward and backward ---------------------------------------------------------------------------------------- */

static struct sizes sizes_of(const struct bp_node *node) {
    struct sizes s;
    settle(node, node->in[0].rank - 1, &s, NULL);
    return s;
}

/* The tile after this one, over all positions of the batch; count 0 at the end. */
static struct tile next_tile(const struct sizes *s, const struct bp_pass *pass, struct tile tile) {
    const int32_t first = tile.first + tile.count, left = pass->batch * s->window.out[0] * s->window.out[1] - first;
    return (struct tile){.first = first, .count = left < s->tile ? left : s->tile};
}

/* The whole batch at once, for the library that may do it (kernels.h). */
static struct bp_convolution whole_of(const struct bp_node *node, const struct sizes *s, const struct bp_pass *pass) {
    const struct bp_window *w = &s->window;
    struct bp_convolution call = {.batch = pass->batch,
                                  .channels = w->channels,
                                  .filters = s->filters,
                                  .groups = s->groups,
                                  .bfloat16 = pass->bfloat16,
                                  .x = pass->x[0],
                                  .W = pass->W[KERNEL],
                                  .bias = bp_node_has(node, BIAS) ? pass->W[BIAS] : NULL,
                                  .y = node->memo && pass->memo && node->activation ? pass->memo : pass->a,
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
    return (size_t)pass->batch * (size_t)s->window.out[0] * (size_t)s->window.out[1];
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
    const struct bp_activation_ops *f = node->activation;
    const struct bp_convolution call = whole_of(node, s, pass);
    const size_t rows = rows_of(s, pass), F = (size_t)s->filters;
    bp_real *d_z = pass->d_a; /* (B, out..., filters) */
    if (pass->keep_W || (call.d_x && pass->keep_x[0]) || !bp_convolution_ready(&call, BP_CONVOLUTION_BACK_WEIGHTS) ||
        (call.d_x && !bp_convolution_ready(&call, BP_CONVOLUTION_BACK_DATA)))
        return false;
    if (f)
        bp_node_backward_activation(node, pass, (const size_t[]){rows, F},
                                    &(const struct bp_activated){.z = f->needs_z ? pass->memo : NULL, .a = pass->a, .d_a = d_z, .d_z = d_z});
    if (bp_node_has(node, BIAS)) bp_kernels()->column_sums(rows, F, d_z, pass->d_W[BIAS], false);
    bp_convolution_run(&call, BP_CONVOLUTION_BACK_WEIGHTS);
    if (call.d_x) bp_convolution_run(&call, BP_CONVOLUTION_BACK_DATA);
    return true;
}

void bp_convolution_forward(const struct bp_node *node, const struct bp_pass *pass) {
    const struct sizes s = sizes_of(node);
    if (forward_whole(node, &s, pass)) return;
    const struct bp_activation_ops *f = node->activation;
    const bp_real *b = bp_node_has(node, BIAS) ? pass->W[BIAS] : NULL; /* (filters) */
    const size_t F = (size_t)s.filters;
    for (struct tile tile = next_tile(&s, pass, (struct tile){0, 0}); tile.count > 0; tile = next_tile(&s, pass, tile)) {
        const size_t at = (size_t)tile.first * F, rows = (size_t)tile.count;
        bp_real *a = pass->a + at, *z = node->memo && pass->memo && f ? pass->memo + at : a; /* (count, filters) */
        for (int32_t group = 0; group < s.groups && !s.depthwise; group++) forward_product(node, &s, pass, group, tile, z);
        if (s.depthwise) depthwise(&s, pass, tile, z, NULL);
        if (s.depthwise && b) bp_kernels()->add_bias(rows, F, b, z);
        if (f && (s.depthwise || !f->in_product)) bp_node_forward_activation(node, pass, (const size_t[]){rows, F}, z, a);
    }
}

void bp_convolution_backward(const struct bp_node *node, const struct bp_pass *pass) {
    const struct sizes s = sizes_of(node);
    if (backward_whole(node, &s, pass)) return;
    const struct bp_activation_ops *f = node->activation;
    const size_t F = (size_t)s.filters;
    if (s.depthwise) bp_gradient_begin(pass->keep_W, (size_t)s.width * F, pass->d_W[KERNEL]);
    if (pass->d_x[0] && !s.direct) bp_gradient_begin(pass->keep_x[0], (size_t)pass->batch * (size_t)bp_shape_size(&node->in[0]), pass->d_x[0]);
    for (struct tile tile = next_tile(&s, pass, (struct tile){0, 0}); tile.count > 0; tile = next_tile(&s, pass, tile)) {
        const size_t at = (size_t)tile.first * F, rows = (size_t)tile.count;
        bp_real *d_z = pass->d_a + at; /* (count, filters) */
        if (f)
            bp_node_backward_activation(
                node, pass, (const size_t[]){rows, F},
                &(const struct bp_activated){
                    .z = f->needs_z ? pass->memo + at : NULL, .a = pass->a + at, .d_a = d_z, .d_z = d_z, .more = tile.first > 0});
        if (bp_node_has(node, BIAS)) bp_kernels()->column_sums(rows, F, d_z, pass->d_W[BIAS], pass->keep_W || tile.first > 0);
        for (int32_t group = 0; group < s.groups && !s.depthwise; group++) backward_products(&s, pass, group, tile, d_z);
        if (s.depthwise) depthwise(&s, pass, tile, NULL, d_z);
    }
}

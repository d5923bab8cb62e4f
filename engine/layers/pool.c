/* pool.c - the largest or the mean number under a window, of each channel: x (B, in..., C), a (B, out..., C).
 * Cells of padding do not count: they are never the largest, and the mean is over the cells that are there (as in Keras;
 * PyTorch's count_include_pad=False). */
#include "engine/layers/pool.h"

#include "engine/kernels/kernels.h"
#include "engine/layers/gradient.h"

#include <string.h>

enum { POOL_SIZE, STRIDES, PADDING };

const struct bp_param bp_pool_params[BP_POOL_PARAMS] = {
    [POOL_SIZE] = {.name = "pool_size", .type = BP_PARAM_INTEGERS, .help = "Size of the window along each axis", .preset = 2, .min = 1, .max = 4096},
    [STRIDES] = {.name = "strides", .type = BP_PARAM_INTEGERS, .help = "Stride of the window; 0: equal to pool_size", .min = 0, .max = 4096},
    [PADDING] = {.name = "padding",
                 .type = BP_PARAM_CHOICE,
                 .help = "Ignored cells around the input: none, enough for the last window, or this number on each side",
                 .min = 0,
                 .max = 4096,
                 .flags = BP_PARAM_OR_INTEGERS,
                 .choices = bp_padding_choices},
};

static int plan_window(const struct bp_node *node, int32_t axes, struct bp_window *w, struct bp_error *error) {
    const struct bp_window_params params = {.axes = axes, .size = POOL_SIZE, .strides = STRIDES, .padding = PADDING, .dilation = -1};
    if (bp_window_settle(node, &params, w, error)) return -1;
    for (int k = 2 - axes; k < 2; k++)
        if (w->before[k] >= w->size[k])
            return bp_error_set(error, "/padding", "padding of %d must be less than pool_size, which is %d: otherwise a window contains only padding",
                                (int)w->before[k], (int)w->size[k]);
    return 0;
}

int bp_pool_plan(struct bp_node *node, int32_t axes, struct bp_error *error) {
    struct bp_window w;
    if (node->in[0].rank < 0) return 0;
    if (plan_window(node, axes, &w, error)) return -1;
    bp_window_shape(node, &w, w.channels);
    return 0;
}

/* One position of the window: its cells within the image. */
struct patch {
    int32_t row, column;       /* of cell (0, 0), inside the image or not */
    int32_t from[2], until[2]; /* cells from..until-1, down and across */
    size_t image;              /* first number of the image */
};

static struct bp_window window_of(const struct bp_node *node) {
    struct bp_window w;
    plan_window(node, node->in[0].rank - 1, &w, NULL);
    return w;
}

static struct patch patch_at(const struct bp_window *w, struct bp_place place) {
    const int32_t at[2] = {place.row, place.column};
    struct patch p = {
        .row = place.row, .column = place.column, .image = (size_t)place.image * (size_t)w->in[0] * (size_t)w->in[1] * (size_t)w->channels};
    for (int k = 0; k < 2; k++) {
        p.from[k] = at[k] < 0 ? -at[k] : 0;
        p.until[k] = w->in[k] - at[k] < w->size[k] ? w->in[k] - at[k] : w->size[k];
    }
    return p;
}

static size_t cell_at(const struct bp_window *w, const struct patch *p, int32_t i, int32_t j) {
    return p->image + ((size_t)(p->row + i) * (size_t)w->in[1] + (size_t)(p->column + j)) * (size_t)w->channels;
}

static int32_t positions_of(const struct bp_window *w, const struct bp_pass *pass) {
    return pass->batch * w->out[0] * w->out[1];
}

/* ---- maximum ----------------------------------------------------------------------------------------------------- */

/* Windows side by side that lie within the image, as many as follow from here in this row of the output; else the one at hand, cut to the cells
 * that are there, which it then counts from 0 (the way back cuts it in the same way). */
static struct bp_max_pool stretch(const struct bp_window *w, struct bp_place place, size_t *first_cell) {
    const struct patch p = patch_at(w, place);
    const size_t C = (size_t)w->channels;
    struct bp_max_pool call = {.count = 1, .channels = C, .step = (size_t)w->stride[1] * C, .row = (size_t)w->in[1] * C};
    for (int k = 0; k < 2; k++) call.size[k] = p.until[k] - p.from[k];
    *first_cell = cell_at(w, &p, p.from[0], p.from[1]);
    if (p.from[1] == 0 && p.until[1] == w->size[1]) {
        const int32_t within = (w->in[1] - w->size[1] - p.column) / w->stride[1] + 1, left = w->out[1] - place.out[1];
        call.count = (size_t)(within < left ? within : left);
    }
    return call;
}

void bp_max_pool_forward(const struct bp_node *node, const struct bp_pass *pass) {
    const struct bp_window w = window_of(node);
    if (pass->mask[0]) {
        bp_masked_max_forward(&w, pass);
        return;
    }
    const size_t C = (size_t)w.channels, positions = (size_t)positions_of(&w, pass);
    struct bp_place place = bp_window_place(&w, 0);
    for (size_t position = 0, cell; position < positions;) {
        struct bp_max_pool call = stretch(&w, place, &cell);
        call.x = pass->x[0] + cell;
        call.a = pass->a + position * C;
        call.which = pass->memo ? pass->memo + position * C : NULL;
        bp_kernels()->max_pool(&call);
        position += call.count;
        bp_window_skip(&w, &place, (int32_t)call.count);
    }
}

/* Whether no cell is in two windows, and whether each is in one. */
static bool apart(const struct bp_window *w) {
    return w->stride[0] >= w->size[0] && w->stride[1] >= w->size[1];
}

static bool covered(const struct bp_window *w) {
    bool all = true;
    for (int k = 0; k < 2; k++) all = all && w->stride[k] <= w->size[k] && (w->out[k] - 1) * w->stride[k] + w->size[k] - w->before[k] >= w->in[k];
    return all;
}

/* The gradient goes to the cell that was the largest, the first of equals. */
void bp_max_pool_backward(const struct bp_node *node, const struct bp_pass *pass) {
    const struct bp_window w = window_of(node);
    const size_t C = (size_t)w.channels, positions = (size_t)positions_of(&w, pass);
    const bool masked = pass->mask[0] != NULL, add = pass->keep_x[0] || masked || !apart(&w);
    if (!pass->d_x[0]) return;
    if (add || !covered(&w)) bp_gradient_begin(pass->keep_x[0], (size_t)pass->batch * (size_t)bp_shape_size(&node->in[0]), pass->d_x[0]);
    if (masked) {
        bp_masked_max_backward(&w, pass);
        return;
    }
    struct bp_place place = bp_window_place(&w, 0);
    for (size_t position = 0, cell; position < positions;) {
        struct bp_max_pool call = stretch(&w, place, &cell);
        call.d_x = pass->d_x[0] + cell;
        call.d_a = pass->d_a + position * C;
        call.which = pass->memo + position * C;
        call.add = add;
        bp_kernels()->max_pool_back(&call);
        position += call.count;
        bp_window_skip(&w, &place, (int32_t)call.count);
    }
}

/* ---- mean -------------------------------------------------------------------------------------------------------- */

static bp_real share_of(const struct patch *p) {
    return 1 / (bp_real)((p->until[0] - p->from[0]) * (p->until[1] - p->from[1]));
}

void bp_average_pool_forward(const struct bp_node *node, const struct bp_pass *pass) {
    const struct bp_window w = window_of(node);
    const size_t C = (size_t)w.channels;
    if (pass->mask[0]) {
        bp_masked_average_forward(&w, pass);
        return;
    }
    struct bp_place place = bp_window_place(&w, 0);
    for (int32_t position = 0; position < positions_of(&w, pass); position++, bp_window_advance(&w, &place)) {
        const struct patch p = patch_at(&w, place);
        const bp_real share = share_of(&p);
        bp_real *restrict a = pass->a + (size_t)position * C; /* (C) */
        memset(a, 0, C * sizeof *a);
        for (int32_t i = p.from[0]; i < p.until[0]; i++)
            for (int32_t j = p.from[1]; j < p.until[1]; j++) {
                const bp_real *restrict x = pass->x[0] + cell_at(&w, &p, i, j);
                for (size_t c = 0; c < C; c++) a[c] += x[c];
            }
        for (size_t c = 0; c < C; c++) a[c] *= share;
    }
}

void bp_average_pool_backward(const struct bp_node *node, const struct bp_pass *pass) {
    const struct bp_window w = window_of(node);
    const size_t C = (size_t)w.channels;
    if (!pass->d_x[0]) return;
    bp_gradient_begin(pass->keep_x[0], (size_t)pass->batch * (size_t)bp_shape_size(&node->in[0]), pass->d_x[0]);
    if (pass->mask[0]) {
        bp_masked_average_backward(&w, pass);
        return;
    }
    struct bp_place place = bp_window_place(&w, 0);
    for (int32_t position = 0; position < positions_of(&w, pass); position++, bp_window_advance(&w, &place)) {
        const struct patch p = patch_at(&w, place);
        const bp_real share = share_of(&p);
        const bp_real *restrict d_a = pass->d_a + (size_t)position * C; /* (C) */
        for (int32_t i = p.from[0]; i < p.until[0]; i++)
            for (int32_t j = p.from[1]; j < p.until[1]; j++) {
                bp_real *restrict d_x = pass->d_x[0] + cell_at(&w, &p, i, j);
                for (size_t c = 0; c < C; c++) d_x[c] += share * d_a[c];
            }
    }
}

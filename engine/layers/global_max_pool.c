/* global_max_pool.c - the largest number of each channel over all cells of a sample: x (B, ..., C), a (B, C). Not a number wins.
 * Steps that a mask hides do not count; the largest of none is 0. */
#include "engine/layers/gradient.h"
#include "engine/layers/layer.h"

#include <string.h>

static int plan(struct bp_node *node, struct bp_error *error) {
    char text[64];
    const struct bp_shape *in = &node->in[0];
    if (in->rank < 0) return 0;
    if (in->rank < 2)
        return bp_error_set(error, "", "global_max_pool needs an input (steps, channels) or (height, width, channels), but got %s",
                            bp_shape_text(in, text, sizeof text));
    node->out = (struct bp_shape){.rank = 1, .dims = {in->dims[in->rank - 1]}};
    return 0;
}

static bool hidden(const struct bp_node *node, const struct bp_pass *pass, size_t i, size_t cell) {
    const size_t steps = (size_t)node->in[0].dims[0], cells = (size_t)bp_shape_size(&node->in[0]) / (size_t)node->out.dims[0];
    return pass->mask[0] && pass->mask[0][i * steps + cell / (cells / steps)] == 0;
}

static void forward(const struct bp_node *node, const struct bp_pass *pass) {
    const size_t C = (size_t)node->out.dims[0], cells = (size_t)bp_shape_size(&node->in[0]) / C;
    const bp_real *restrict x = pass->x[0]; /* (B, cells, C) */
    for (size_t i = 0; i < (size_t)pass->batch; i++) {
        bp_real *restrict a = pass->a + i * C; /* (C) */
        bool first = true;
        memset(a, 0, C * sizeof *a);
        for (size_t cell = 0; cell < cells; cell++, x += C) {
            if (hidden(node, pass, i, cell)) continue;
            if (first) memcpy(a, x, C * sizeof *a);
            else
                for (size_t c = 0; c < C; c++) a[c] = x[c] > a[c] || x[c] != x[c] ? x[c] : a[c];
            first = false;
        }
    }
}

/* The gradient goes to the first cell that holds the largest number. */
static void backward(const struct bp_node *node, const struct bp_pass *pass) {
    const size_t C = (size_t)node->out.dims[0], size = (size_t)bp_shape_size(&node->in[0]), cells = size / C;
    if (!pass->d_x[0]) return;
    bp_gradient_begin(pass->keep_x[0], (size_t)pass->batch * size, pass->d_x[0]);
    for (size_t i = 0; i < (size_t)pass->batch; i++)
        for (size_t c = 0; c < C; c++)
            for (size_t cell = 0; cell < cells; cell++) {
                const size_t at = i * size + cell * C + c;
                if (hidden(node, pass, i, cell) || pass->x[0][at] != pass->a[i * C + c]) continue;
                pass->d_x[0][at] += pass->d_a[i * C + c];
                break;
            }
}

extern const struct bp_layer_ops bp_layer_global_max_pool;
const struct bp_layer_ops bp_layer_global_max_pool = {
    .entry = {.name = "global_max_pool", .summary = "The maximum of each channel over all steps or pixels"},
    .inputs_min = 1,
    .inputs_max = 1,
    .mask = BP_MASK_USE,
    .plan = plan,
    .forward = forward,
    .backward = backward,
};

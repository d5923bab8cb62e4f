/* global_average_pool.c - the mean of each channel over all cells of a sample: x (B, ..., C), a (B, C). Steps that
 * a mask hides do not count; the mean of none is 0. */
#include "engine/layers/gradient.h"
#include "engine/layers/layer.h"

#include <string.h>

static int plan(struct bp_node *node, struct bp_error *error) {
    char text[64];
    const struct bp_shape *in = &node->in[0];
    if (in->rank < 0) return 0;
    if (in->rank < 2)
        return bp_error_set(error, "", "global_average_pool needs an input (steps, channels) or (height, width, channels), but got %s",
                            bp_shape_text(in, text, sizeof text));
    node->out = (struct bp_shape){.rank = 1, .dims = {in->dims[in->rank - 1]}};
    return 0;
}

/* Cells of the steps that are there, of sample i; all without a mask. */
static bp_real count_of(const struct bp_node *node, const struct bp_pass *pass, int32_t i, size_t cells) {
    const int32_t steps = node->in[0].dims[0];
    bp_real there = 0;
    if (!pass->mask[0]) return (bp_real)cells;
    for (int32_t t = 0; t < steps; t++) there += pass->mask[0][i * steps + t];
    return there * (bp_real)(cells / (size_t)steps);
}

/* The part of cell `cell` of sample i in the mean. */
static bp_real part_of(const struct bp_node *node, const struct bp_pass *pass, int32_t i, size_t cell) {
    const size_t steps = (size_t)node->in[0].dims[0], size = (size_t)bp_shape_size(&node->in[0]) / (size_t)node->out.dims[0];
    return pass->mask[0] ? pass->mask[0][(size_t)i * steps + cell / (size / steps)] : 1;
}

static void forward(const struct bp_node *node, const struct bp_pass *pass) {
    const size_t C = (size_t)node->out.dims[0], cells = (size_t)bp_shape_size(&node->in[0]) / C;
    const bp_real *restrict x = pass->x[0];
    for (int32_t i = 0; i < pass->batch; i++) {
        bp_real *restrict a = pass->a + (size_t)i * C; /* (C) */
        const bp_real count = count_of(node, pass, i, cells), share = count > 0 ? 1 / count : 0;
        memset(a, 0, C * sizeof *a);
        for (size_t cell = 0; cell < cells; cell++, x += C)
            if (part_of(node, pass, i, cell) != 0)
                for (size_t c = 0; c < C; c++) a[c] += x[c];
        for (size_t c = 0; c < C; c++) a[c] *= share;
    }
}

static void backward(const struct bp_node *node, const struct bp_pass *pass) {
    const size_t C = (size_t)node->out.dims[0], cells = (size_t)bp_shape_size(&node->in[0]) / C;
    bp_real *restrict d_x = pass->d_x[0]; /* (B, cells, C) */
    if (!d_x) return;
    for (int32_t i = 0; i < pass->batch; i++) {
        const bp_real *restrict d_a = pass->d_a + (size_t)i * C; /* (C) */
        const bp_real count = count_of(node, pass, i, cells), all = count > 0 ? 1 / count : 0;
        for (size_t cell = 0; cell < cells; cell++, d_x += C) {
            const bp_real share = all * part_of(node, pass, i, cell);
            for (size_t c = 0; c < C; c++) bp_gradient_put(pass->keep_x[0], share * d_a[c], &d_x[c]);
        }
    }
}

extern const struct bp_layer_ops bp_layer_global_average_pool;
const struct bp_layer_ops bp_layer_global_average_pool = {
    .entry = {.name = "global_average_pool", .summary = "The mean of each channel over all steps or pixels"},
    .inputs_min = 1,
    .inputs_max = 1,
    .mask = BP_MASK_USE,
    .members = BP_MEMBERS_MIX,
    .plan = plan,
    .forward = forward,
    .backward = backward,
};

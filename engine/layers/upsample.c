/* upsample.c - see upsample.h. A number of the output is at (i + 1/2) / factor - 1/2 of the input along each axis, held within it: the nearest cell,
 * or for bilinear the two around it by their distance, as tf.image.resize and torch's align_corners=False. x (B, H, W, C), a (B, H sh, W sw, C). */
#include "engine/layers/upsample.h"

#include "engine/kernels/kernels.h"
#include "engine/layers/gradient.h"

#include <stdio.h>
#include <string.h>

static int32_t factor_of(const struct bp_node *node, int32_t axes, int32_t axis) {
    const struct bp_value *size = &node->values[BP_UPSAMPLE_SIZE];
    return size->integers[axes == 2 && size->integers_count > 1 ? axis : 0];
}

int bp_upsample_plan(struct bp_node *node, int32_t axes, struct bp_error *error) {
    char text[64];
    const struct bp_shape *in = &node->in[0];
    const int32_t count = node->values[BP_UPSAMPLE_SIZE].integers_count;
    if (count > axes)
        return bp_error_set(error, "/size", "size has %d integers; %s takes %s", (int)count, node->ops->entry.name,
                            axes == 1 ? "one, for the steps" : "one for both axes, or two: [height, width]");
    if (in->rank < 0) return 0;
    if (in->rank != axes + 1)
        return bp_error_set(error, "", "%s needs an input %s, but got %s", node->ops->entry.name,
                            axes == 1 ? "(steps, channels)" : "(height, width, channels)", bp_shape_text(in, text, sizeof text));
    node->out = *in;
    for (int32_t k = 0; k < axes; k++) {
        const int64_t larger = (int64_t)in->dims[k] * factor_of(node, axes, k);
        if (larger > INT32_MAX)
            return bp_error_set(error, "/size", "the output would have more than 2^31 - 1 cells along an axis; use a smaller size");
        node->out.dims[k] = (int32_t)larger;
    }
    return 0;
}

/* What one row, or column, of the output is made of: cells `at[0]` and `at[1]` of the input, by these shares; share[1] is 0 when one is enough. */
struct taps {
    size_t at[2];
    bp_real share[2];
};

static struct taps taps_of(int32_t out, int32_t factor, int32_t n, bool bilinear) {
    struct taps t = {.at = {(size_t)(out / factor)}, .share = {1, 0}};
    if (!bilinear) return t;
    double where = (out + 0.5) / factor - 0.5;
    if (where < 0) where = 0;
    t.at[0] = (size_t)where;
    t.at[1] = t.at[0] + 1 < (size_t)n ? t.at[0] + 1 : t.at[0];
    t.share[1] = t.at[1] > t.at[0] ? (bp_real)(where - (double)t.at[0]) : 0;
    t.share[0] = 1 - t.share[1];
    return t;
}

/* a = the mix of up to four cells, or, when back, each of them gains its share of d_a. */
static void walk(const struct bp_node *node, const struct bp_pass *pass, bool back) {
    const int32_t axes = node->out.rank - 1, *in = node->in[0].dims, H = axes == 2 ? in[0] : 1, W = in[axes - 1];
    const int32_t down = axes == 2 ? factor_of(node, axes, 0) : 1, right = factor_of(node, axes, axes - 1);
    const bool bilinear = axes == 2 && node->values[BP_UPSAMPLE_INTERPOLATION].number != 0;
    const size_t C = (size_t)in[axes];
    bp_real *a = back ? pass->d_a : pass->a;
    for (int32_t i = 0; i < pass->batch; i++)
        for (int32_t y = 0; y < H * down; y++) {
            const struct taps rows = taps_of(y, down, H, bilinear);
            for (int32_t x = 0; x < W * right; x++, a += C) {
                const struct taps columns = taps_of(x, right, W, bilinear);
                if (!back) memset(a, 0, C * sizeof *a);
                for (int p = 0; p < 2 && rows.share[p] != 0; p++)
                    for (int q = 0; q < 2 && columns.share[q] != 0; q++) {
                        const size_t cell = (((size_t)i * (size_t)H + rows.at[p]) * (size_t)W + columns.at[q]) * C;
                        const bp_real share = rows.share[p] * columns.share[q];
                        if (back) bp_kernels()->scaled_add(C, share, a, pass->d_x[0] + cell);
                        else bp_kernels()->scaled_add(C, share, pass->x[0] + cell, a);
                    }
            }
        }
}

void bp_upsample_forward(const struct bp_node *node, const struct bp_pass *pass) {
    walk(node, pass, false);
}

void bp_upsample_backward(const struct bp_node *node, const struct bp_pass *pass) {
    if (!pass->d_x[0]) return;
    bp_gradient_begin(pass->keep_x[0], (size_t)pass->batch * (size_t)bp_shape_size(&node->in[0]), pass->d_x[0]);
    walk(node, pass, true);
}

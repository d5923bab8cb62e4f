/* warp.c - see warp.h. The map of a sample is a pure function of (seed, update, layer, position of the sample in the mini-batch), as the masks of
 * dropout.c; backward draws it again. Cells that get no weight are not read, so a map by whole cells only copies, and what is not a number does
 * not spread. */
#include "engine/layers/warp.h"
#include "engine/layers/gradient.h"

#include <math.h>
#include <string.h>

const char *const bp_fill_choices[] = {
    [BP_FILL_CONSTANT] = "constant", [BP_FILL_NEAREST] = "nearest", [BP_FILL_REFLECT] = "reflect", [BP_FILL_WRAP] = "wrap", NULL};

int bp_warp_plan(struct bp_node *node, struct bp_error *error) {
    char text[64];
    node->out = node->in[0];
    node->draws = true;
    if (node->out.rank >= 0 && node->out.rank != 3)
        return bp_error_set(error, "", "%s needs an input (height, width, channels), but got %s; add a reshape layer before it",
                            node->ops->entry.name, bp_shape_text(&node->out, text, sizeof text));
    return 0;
}

/* Up to four cells and their weights; -1: a cell beyond the image that has the fill's value. */
struct mix {
    int32_t count;
    int64_t cells[4];
    double weights[4];
};

/* The cell 0..n-1 at i; -1: none. */
static int64_t cell_at(int64_t i, int64_t n, int fill) {
    if (i >= 0 && i < n) return i;
    if (fill == BP_FILL_CONSTANT) return -1;
    if (fill == BP_FILL_NEAREST) return i < 0 ? 0 : n - 1;
    if (fill == BP_FILL_WRAP) return (i % n + n) % n;
    const int64_t turn = (i % (2 * n) + 2 * n) % (2 * n); /* d c b a | a b c d | d c b a */
    return turn < n ? turn : 2 * n - 1 - turn;
}

static void mix_at(const struct bp_warp *warp, const int64_t size[2], const int64_t place[2], int fill, struct mix *mix) {
    const double row = (double)place[0], column = (double)place[1];
    const double at[2] = {warp->m[0] * row + warp->m[1] * column + warp->m[2], warp->m[3] * row + warp->m[4] * column + warp->m[5]};
    const double low[2] = {floor(at[0]), floor(at[1])}, share[2] = {at[0] - low[0], at[1] - low[1]};
    mix->count = 0;
    for (int corner = 0; corner < 4; corner++) {
        const int down = corner >> 1, right = corner & 1;
        const double weight = (down ? share[0] : 1 - share[0]) * (right ? share[1] : 1 - share[1]);
        if (weight == 0) continue;
        const int64_t r = cell_at((int64_t)low[0] + down, size[0], fill), c = cell_at((int64_t)low[1] + right, size[1], fill);
        mix->cells[mix->count] = r < 0 || c < 0 ? -1 : r * size[1] + c;
        mix->weights[mix->count++] = weight;
    }
}

/* a (C): the mix of cells of x (H, W, C). */
static void gather(const struct mix *mix, size_t C, const bp_real *x, bp_real beyond, bp_real *a) {
    if (mix->count == 1 && mix->cells[0] >= 0) {
        memcpy(a, x + (size_t)mix->cells[0] * C, C * sizeof *a);
        return;
    }
    memset(a, 0, C * sizeof *a);
    for (int32_t k = 0; k < mix->count; k++) {
        const bp_real weight = (bp_real)mix->weights[k], *from = mix->cells[k] < 0 ? NULL : x + (size_t)mix->cells[k] * C;
        for (size_t c = 0; c < C; c++) a[c] += weight * (from ? from[c] : beyond);
    }
}

/* d_a (C) goes back to the cells of d_x (H, W, C). */
static void scatter(const struct mix *mix, size_t C, const bp_real *d_a, bp_real *d_x) {
    for (int32_t k = 0; k < mix->count; k++) {
        if (mix->cells[k] < 0) continue;
        bp_real *to = d_x + (size_t)mix->cells[k] * C;
        for (size_t c = 0; c < C; c++) to[c] += (bp_real)mix->weights[k] * d_a[c];
    }
}

/* Sample i of the pass: its image forward from x to a, or its gradient back from d_a to d_x, whichever are given. */
static void warp_image(const struct bp_node *node, const struct bp_pass *pass, const struct bp_warping *warping, int32_t i, bp_real *d_x) {
    const int64_t size[2] = {node->out.dims[0], node->out.dims[1]};
    const size_t C = (size_t)node->out.dims[2], image = (size_t)i * (size_t)bp_shape_size(&node->out);
    const int fill = warping->fill < 0 ? BP_FILL_NEAREST : (int)node->values[warping->fill].number;
    const bp_real beyond = warping->fill < 0 ? 0 : (bp_real)node->values[warping->fill + 1].number;
    uint32_t key[4];
    bp_random_block(pass->seed, (uint64_t)BP_STREAM_DROPOUT << 32 | node->index, pass->step, key);
    struct bp_random random = {.seed = (uint64_t)key[0] << 32 | key[1], .stream = (uint64_t)(pass->first + i)};
    const struct bp_warp warp = warping->draw(node, &random);
    struct mix mix;
    size_t at = image;
    for (int64_t row = 0; row < size[0]; row++)
        for (int64_t column = 0; column < size[1]; column++, at += C) {
            mix_at(&warp, size, (const int64_t[2]){row, column}, fill, &mix);
            if (d_x) scatter(&mix, C, pass->d_a + at, d_x + image);
            else gather(&mix, C, pass->x[0] + image, beyond, pass->a + at);
        }
}

void bp_warp_forward(const struct bp_node *node, const struct bp_pass *pass, const struct bp_warping *warping) {
    if (pass->training)
        for (int32_t i = 0; i < pass->batch; i++) warp_image(node, pass, warping, i, NULL);
    else memcpy(pass->a, pass->x[0], (size_t)pass->batch * (size_t)bp_shape_size(&node->out) * sizeof *pass->a);
}

void bp_warp_backward(const struct bp_node *node, const struct bp_pass *pass, const struct bp_warping *warping) {
    const size_t n = (size_t)pass->batch * (size_t)bp_shape_size(&node->out);
    if (!pass->d_x[0]) return;
    if (!pass->training) {
        bp_gradient_write(pass->keep_x[0], n, pass->d_a, pass->d_x[0]);
        return;
    }
    bp_gradient_begin(pass->keep_x[0], n, pass->d_x[0]);
    for (int32_t i = 0; i < pass->batch; i++) warp_image(node, pass, warping, i, pass->d_x[0]);
}

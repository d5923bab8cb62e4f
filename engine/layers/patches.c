/* patches.c - see patches.h. */
#include "engine/layers/patches.h"

#include "engine/kernels/kernels.h"

#include <string.h>

enum { TILE_REALS = 32768, TILE_ROWS = 16 }; /* size of a tile's matrix, and the fewest rows it has all the same */

int bp_patching_settle(struct bp_patching *p) {
    const int64_t width = (int64_t)p->window.size[0] * p->window.size[1] * p->channels_each;
    if (width > INT32_MAX) return -1;
    p->width = (int32_t)width;
    p->tile = width > 0 && TILE_REALS / width > TILE_ROWS ? (int32_t)(TILE_REALS / width) : TILE_ROWS;
    return 0;
}

struct bp_tile bp_tile_next(const struct bp_patching *p, int32_t batch, struct bp_tile tile) {
    const int32_t first = tile.first + tile.count, left = batch * p->window.out[0] * p->window.out[1] - first;
    return (struct bp_tile){.first = first, .count = left < p->tile ? left : p->tile};
}

struct bp_tile bp_tile_next_alone(const struct bp_patching *p, int32_t batch, struct bp_tile tile) {
    struct bp_tile next = bp_tile_next(p, batch, tile);
    const int32_t positions = p->window.out[0] * p->window.out[1], left = positions - next.first % positions;
    if (next.count > left) next.count = left;
    return next;
}

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

/* Cells of a column of the window, `row` the first one's, that are within the image. */
static void lines_inside(const struct bp_window *w, int32_t row, size_t *from, size_t *until) {
    int32_t first = 0, end = w->size[0];
    while (first < end && row + first * w->dilation[0] < 0) first++;
    while (end > first && row + (end - 1) * w->dilation[0] >= w->in[0]) end--;
    *from = (size_t)first;
    *until = (size_t)end;
}

/* The adjacent windows from here whose columns are within the image, at most `most` of them; count 0: none, or their lines have gaps. */
static struct bp_patches stretch(const struct bp_patching *p, struct bp_place place, int32_t most, const bp_real *x) {
    const struct bp_window *w = &p->window;
    const ptrdiff_t C = w->channels;
    const int32_t within = w->in[1] - w->size[1] - place.column, left = w->out[1] - place.out[1];
    struct bp_patches call = {.lines = (size_t)w->size[0], .line = (size_t)(w->size[1] * C), .step = (size_t)(w->stride[1] * C)};
    if (p->groups > 1 || w->dilation[1] > 1 || place.column < 0 || within < 0) return call;
    lines_inside(w, place.row, &call.from, &call.until);
    if (call.from == call.until) return call;
    int32_t count = within / w->stride[1] + 1;
    if (count > left) count = left;
    if (count > most) count = most;
    call.count = (size_t)count;
    call.row = (size_t)(w->in[1] * C * w->dilation[0]);
    const ptrdiff_t row = place.row + (ptrdiff_t)call.from * w->dilation[0];
    call.image = (bp_real *)(uintptr_t)(x + (((ptrdiff_t)place.image * w->in[0] + row) * w->in[1] + place.column) * C);
    return call;
}

/* A line of a window whose cells from..until-1 are within the image and side by side there; cells of n numbers, `line` all together. */
static void patch_line(bp_real *x, int32_t from, int32_t until, int32_t n, bp_real *row, int32_t line, bool back) {
    if (back) {
        add_to(x, row + from * n, (until - from) * n);
        return;
    }
    clear(row, from * n);
    copy(row + from * n, x, (until - from) * n);
    clear(row + until * n, line - until * n);
}

/* A window at the border, or with gaps: x -> row (width), or, when `back`, what the row holds is added to the cells it came from. */
static void patch(const struct bp_patching *p, bp_real *x, int32_t group, struct bp_place place, bp_real *row, bool back) {
    const struct bp_window *w = &p->window;
    const int32_t each = p->channels_each, C = w->channels, line = w->size[1] * each;
    int32_t from, until;
    bp_window_inside(w, place.column, &from, &until);
    for (int32_t k = 0; k < w->size[0]; k++, row += line) {
        const int32_t down = place.row + k * w->dilation[0];
        const bool outside = down < 0 || down >= w->in[0];
        const ptrdiff_t at = (((ptrdiff_t)place.image * w->in[0] + down) * w->in[1] + place.column) * C +
                             (ptrdiff_t)group * each; /* of the window's first cell, inside or not */
        if (!outside && each == C && w->dilation[1] == 1 && from < until) {
            patch_line(x + at + (ptrdiff_t)from * C, from, until, C, row, line, back);
            continue;
        }
        if (!back) clear(row, line);
        for (int32_t j = from; j < until && !outside; j++) {
            const ptrdiff_t cell = at + (ptrdiff_t)j * w->dilation[1] * C;
            if (back) add_to(x + cell, row + j * each, each);
            else copy(row + j * each, x + cell, each);
        }
    }
}

/* im2col: x (B, in..., C) -> rows (count, width), of one group; or the way back. */
static void move(const struct bp_patching *p, bp_real *x, int32_t group, struct bp_tile tile, bp_real *rows, bool back) {
    const struct bp_window *w = &p->window;
    struct bp_place place = bp_window_place(w, tile.first);
    for (int32_t i = 0; i < tile.count;) {
        struct bp_patches run = stretch(p, place, tile.count - i, x);
        run.matrix = rows + (ptrdiff_t)i * p->width;
        if (!run.count) {
            patch(p, x, group, place, run.matrix, back);
            run.count = 1;
        } else if (back) {
            bp_kernels()->scatter(&run);
        } else {
            bp_kernels()->gather(&run);
        }
        i += (int32_t)run.count;
        bp_window_skip(w, &place, (int32_t)run.count);
    }
}

void bp_tile_gather(const struct bp_patching *p, const bp_real *x, int32_t group, struct bp_tile tile, bp_real *rows) {
    move(p, (bp_real *)(uintptr_t)x, group, tile, rows, false);
}

void bp_tile_scatter(const struct bp_patching *p, bp_real *x, int32_t group, struct bp_tile tile, bp_real *rows) {
    move(p, x, group, tile, rows, true);
}

/* vector_slide.h - convolutions without a matrix of windows: the rows of a tile are read where the windows lie in the image. Only vector.c includes
 * it, after vector_gemm.h, whose tiles it uses. */
#ifndef BP_KERNELS_VECTOR_SLIDE_H
#define BP_KERNELS_VECTOR_SLIDE_H

#include "engine/kernels/kernels.h"

/* Rows of the next tile when so many are left: tiles of about the same height, because a low one waits for its own sums. */
static inline int32_t share_rows(int32_t left) {
    const int32_t tiles_left = (left + TILE_ROWS - 1) / TILE_ROWS;
    return (left + tiles_left - 1) / tiles_left;
}

/* The columns of y and W from j on that a tile takes. */
static inline int32_t take_columns(struct tile *tile, const struct bp_slide *call, int32_t j) {
    const int32_t columns = call->filters - j < PANEL ? call->filters - j : PANEL;
    tile->last = columns > LANES ? columns - LANES : columns;
    return columns;
}

/* That many rows of them, or twice as many where one vector holds the columns and a second half lies `below` the first. */
static int32_t run_sliding(struct tile *tile, int32_t rows, int32_t columns, bool twice, size_t below) {
    const int shape = columns > LANES ? SLIDING_WIDE : twice ? SLIDING_TALL : SLIDING_NARROW;
    tile->below = below;
    tile->high = (size_t)rows;
    run_tile(tile, rows, columns, shape);
    return shape == SLIDING_TALL ? 2 * rows : rows;
}

/* Positions of one row of y, or of several rows that are shorter than a tile, below tile->a and tile->c. */
static void slide_rows(const struct bp_slide *call, struct tile *tile, int32_t positions, int32_t columns) {
    while (positions) {
        const int32_t high = share_rows(positions);
        const int32_t count = run_sliding(tile, high, columns, positions >= 2 * high, (size_t)high * call->across);
        positions -= count;
        tile->a += (size_t)count * call->across;
        tile->c += (size_t)count * tile->c_row;
    }
}

static void slide(const struct bp_slide *call) {
    const int32_t together = call->columns <= TILE_ROWS / 2 ? TILE_ROWS / call->columns : 1; /* rows of y in a tile */
    const size_t F = (size_t)call->filters, line = (size_t)call->line;
    struct tile tile = {.a_step = 1,
                        .a_line = call->apart - line + 1,
                        .b_step = F,
                        .lines = call->lines,
                        .k = call->line,
                        .c_row = F,
                        .add = call->add,
                        .rectify = call->rectify,
                        .slope = call->slope};
    for (int32_t i = 0; i < TILE_ROWS_MAX; i++) tile.rows[i] = (size_t)(i / call->columns) * call->down + (size_t)(i % call->columns) * call->across;
    for (int32_t j = 0; j < call->filters; j += PANEL) {
        const int32_t columns = take_columns(&tile, call, j);
        tile.b = call->W + j;
        tile.bias = call->bias ? call->bias + j : NULL;
        for (int32_t row = 0; row < call->rows; row += together) {
            const int32_t high = call->rows - row < together ? call->rows - row : together;
            tile.a = call->x + (size_t)row * call->down;
            tile.c = call->y + (size_t)row * (size_t)call->columns * F + j;
            slide_rows(call, &tile, high * call->columns, columns);
        }
    }
}

/* Of `rows` rows of positions. */
static void slide_back_rows(const struct bp_slide *call, const bp_real *x, int32_t rows, const bp_real *d_y) {
    const size_t F = (size_t)call->filters;
    const int32_t numbers = call->lines * call->line; /* rows of W */
    struct tile tile = {.a = x,
                        .a_step = call->across,
                        .a_line = call->down - ((size_t)call->columns - 1) * call->across,
                        .b_step = F,
                        .lines = rows,
                        .k = call->columns,
                        .c_row = F,
                        .add = true};
    for (int32_t j = 0; j < call->filters; j += PANEL) {
        const int32_t columns = take_columns(&tile, call, j);
        tile.b = d_y + j;
        for (int32_t t = 0; t < numbers;) {
            const int32_t high = share_rows(numbers - t);
            for (int32_t i = 0; i < high; i++) tile.rows[i] = (size_t)((t + i) / call->line) * call->apart + (size_t)((t + i) % call->line);
            tile.c = call->d_W + (size_t)t * F + j;
            t += run_sliding(&tile, high, columns, t % call->line + 2 * high <= call->line, (size_t)high);
        }
    }
}

/* Sums of about K_BLOCK products each: what is read stays in the first cache, and errors do not add up as in one long sum. */
static void slide_back(const struct bp_slide *call) {
    const int32_t most = call->columns < K_BLOCK ? K_BLOCK / call->columns : 1;
    for (int32_t row = 0; row < call->rows; row += most)
        slide_back_rows(call, call->x + (size_t)row * call->down, call->rows - row < most ? call->rows - row : most,
                        call->d_y + (size_t)row * (size_t)call->columns * (size_t)call->filters);
}

#endif

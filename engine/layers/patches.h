/* patches.h - the cells under a window as rows of a small matrix (im2col), by tiles that stay in cache, and the way back. */
#ifndef BP_LAYERS_PATCHES_H
#define BP_LAYERS_PATCHES_H

#include "engine/layers/window.h"

/* A window over an image whose channels are convolved in groups. */
struct bp_patching {
    struct bp_window window;
    int32_t groups, channels_each; /* channels of a group */
    int32_t width;                 /* numbers under the window, of one group: a row of the matrix */
    int32_t tile;                  /* positions of a tile */
};

/* Positions first..first+count-1 of the output, over the whole batch. */
struct bp_tile {
    int32_t first, count;
};

/* Sets the rest for a window that is settled. -1: a row would have more than 2^31 - 1 numbers. */
int bp_patching_settle(struct bp_patching *p);
/* The tile after this one, of so many samples; count 0 at the end. The first one: after {0, 0}. */
struct bp_tile bp_tile_next(const struct bp_patching *p, int32_t batch, struct bp_tile tile);
/* Likewise, but no tile has positions of two samples: what is computed for a sample does not depend on the others, in its last bits either. */
struct bp_tile bp_tile_next_alone(const struct bp_patching *p, int32_t batch, struct bp_tile tile);
/* rows (count, width) = the cells of x (B, in..., C) of one group. */
void bp_tile_gather(const struct bp_patching *p, const bp_real *x, int32_t group, struct bp_tile tile, bp_real *rows);
/* Adds the rows to the cells of x that they came from. */
void bp_tile_scatter(const struct bp_patching *p, bp_real *x, int32_t group, struct bp_tile tile, bp_real *rows);

#endif

/* window.h - the window that convolutions and pooling move over an image (B, height, width, channels) or, with height 1, over a
 * sequence (B, steps, channels): its position for each number of the output. */
#ifndef BP_LAYERS_WINDOW_H
#define BP_LAYERS_WINDOW_H

#include "engine/layers/layer.h"

enum { BP_PADDING_VALID, BP_PADDING_SAME, BP_PADDING_CAUSAL };
/* The choices of a parameter "padding", a CHOICE or integers: nothing is padded; the output is as large as the input divided by
 * the stride, an odd extra cell is at the end (as in TensorFlow); likewise, but all of it before the first step; so many cells on both sides. */
extern const char *const bp_padding_choices[], *const bp_causal_padding_choices[];

/* Height, then width. */
struct bp_window {
    int32_t in[2], out[2];
    int32_t size[2], stride[2], dilation[2];
    int32_t before[2]; /* cells of padding above and to the left */
    int32_t channels;  /* of the input */
};

/* Positions of a layer's parameters in its values; dilation -1: it has none. */
struct bp_window_params {
    int32_t axes; /* 1: a sequence, 2: an image */
    int32_t size, strides, padding, dilation;
};

/* Determines the window of node->values over node->in[0], whose rank is known; dimensions of it may be unknown, then so are those of out.
 * Never fails for a node that was planned. */
int bp_window_settle(const struct bp_node *node, const struct bp_window_params *params, struct bp_window *window, struct bp_error *error);
/* Integers of a parameter as height and width, or width alone for one axis; a single one applies to both. */
int bp_window_read_axes(const struct bp_node *node, int32_t axes, int32_t param, int32_t *to, struct bp_error *error);
/* node->out: the window's, with that many channels. */
void bp_window_shape(struct bp_node *node, const struct bp_window *window, int32_t channels);

/* Position 0.. of the output over the whole batch: its image, and the input's row and column under the window's first cell. */
struct bp_place {
    int32_t image, row, column;
    int32_t out[2]; /* the position's own row and column */
};
struct bp_place bp_window_place(const struct bp_window *window, int32_t position);

/* Columns from..until-1 of a window whose first is over that column of the input are within the input. */
void bp_window_inside(const struct bp_window *window, int32_t column, int32_t *from, int32_t *until);

/* To the next position, without a division. */
static inline void bp_window_advance(const struct bp_window *w, struct bp_place *place) {
    place->column += w->stride[1];
    if (++place->out[1] < w->out[1]) return;
    place->out[1] = 0;
    place->column = -w->before[1];
    place->row += w->stride[0];
    if (++place->out[0] < w->out[0]) return;
    place->out[0] = 0;
    place->row = -w->before[0];
    place->image++;
}

/* To the position `count` further on, at most the first one of the next row. */
static inline void bp_window_skip(const struct bp_window *w, struct bp_place *place, int32_t count) {
    place->out[1] += count - 1;
    place->column += (count - 1) * w->stride[1];
    bp_window_advance(w, place);
}

#endif

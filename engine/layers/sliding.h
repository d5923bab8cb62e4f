/* sliding.h - convolutions that read the cells under a window in place (struct bp_slide), in stripes of the image with zeros around it, instead of
 * copying each into as many rows of a matrix as windows lie over it (patches.h). For windows without gaps across, of all channels, with W small
 * enough for the second cache. */
#ifndef BP_LAYERS_SLIDING_H
#define BP_LAYERS_SLIDING_H

#include "engine/kernels/kernels.h"
#include "engine/layers/window.h"

/* Whether the shapes are such, and the reals of scratch that the calls below then use. */
bool bp_slides(const struct bp_window *window, int32_t filters);
size_t bp_slide_scratch(const struct bp_window *window, int32_t filters);

/* Whether shapes and the kernels in use allow the product and d_W; and whether then d_x is best computed so, too. */
bool bp_slides_ready(const struct bp_window *window, int32_t filters);
bool bp_slides_input(const struct bp_window *window, int32_t filters);

/* Of one image: `call` has W, and bias, f and y, or d_y and d_W; x (in..., channels). d_W is added to. */
void bp_slide_forward(const struct bp_window *window, const bp_real *x, const struct bp_slide *call, bp_real *scratch);
void bp_slide_weights(const struct bp_window *window, const bp_real *x, const struct bp_slide *call, bp_real *scratch);
/* W turned round, as bp_slide_input uses it: to be done once for all images, in the same scratch. */
void bp_slide_turn(const struct bp_window *window, int32_t filters, const bp_real *W, bp_real *scratch);
/* d_x (in..., channels) = the convolution of d_y (out..., filters) with W turned round, or += when `add`. */
void bp_slide_input(const struct bp_window *window, int32_t filters, const bp_real *d_y, bool add, bp_real *d_x, bp_real *scratch);

#endif

/* upsample.h - what upsampling1d and upsampling2d share: an image (height, width, channels) or, with height 1, a sequence, made larger by whole
 * factors. */
#ifndef BP_LAYERS_UPSAMPLE_H
#define BP_LAYERS_UPSAMPLE_H

#include "engine/layers/layer.h"

enum { BP_UPSAMPLE_SIZE, BP_UPSAMPLE_INTERPOLATION }; /* the positions of the parameters; a sequence has only the first */

int bp_upsample_plan(struct bp_node *node, int32_t axes, struct bp_error *error);
void bp_upsample_forward(const struct bp_node *node, const struct bp_pass *pass);
void bp_upsample_backward(const struct bp_node *node, const struct bp_pass *pass);

#endif

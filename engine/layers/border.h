/* border.h - what zero padding and cropping share: the cells of an image (height, width, channels) or, with height 1, of a sequence
 * (steps, channels) are copied to a larger or smaller one. */
#ifndef BP_LAYERS_BORDER_H
#define BP_LAYERS_BORDER_H

#include "engine/layers/layer.h"

/* Of layers whose only parameter is the cells at the border: integers, one for all sides; of a sequence two, (before, after); of an image two,
 * (height, width), or four, (top, bottom, left, right). */
int bp_border_plan(struct bp_node *node, int32_t axes, bool crop, struct bp_error *error);
void bp_border_forward(const struct bp_node *node, const struct bp_pass *pass, bool crop);
void bp_border_backward(const struct bp_node *node, const struct bp_pass *pass, bool crop);

#endif

/* extreme.h - what maximum and minimum share: the largest, or least, of the inputs, number by number. */
#ifndef BP_LAYERS_EXTREME_H
#define BP_LAYERS_EXTREME_H

#include "engine/layers/merge.h"

int bp_extreme_plan(struct bp_node *node, struct bp_error *error);
void bp_extreme_forward(const struct bp_node *node, const struct bp_pass *pass, bool least);
void bp_extreme_backward(const struct bp_node *node, const struct bp_pass *pass);

#endif

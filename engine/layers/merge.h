/* merge.h - what layers with several inputs share: the shape that all of them must have. */
#ifndef BP_LAYERS_MERGE_H
#define BP_LAYERS_MERGE_H

#include "engine/layers/layer.h"

/* The shape of all inputs: unknown dimensions of one are taken from the others. -1: two of them differ; the error names both. */
int bp_merge_shape(const struct bp_node *node, struct bp_shape *shape, struct bp_error *error);

#endif

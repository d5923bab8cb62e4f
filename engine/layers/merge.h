/* merge.h - what layers with several inputs share: the shape that all of them must have, and handing a gradient to an input. */
#ifndef BP_LAYERS_MERGE_H
#define BP_LAYERS_MERGE_H

#include "engine/layers/layer.h"

/* The shape of all inputs: dimensions not known of one are taken from the others. -1: two of them differ, both are told. */
int bp_merge_shape(const struct bp_node *node, struct bp_shape *shape, struct bp_error *error);
/* Stores d (n) into d_x[i], or adds it when keep_x[i] says so; nothing when d_x[i] is NULL. */
void bp_merge_give(const struct bp_pass *pass, int32_t i, size_t n, const bp_real *d);

#endif

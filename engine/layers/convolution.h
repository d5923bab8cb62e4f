/* convolution.h - what conv1d and conv2d share, which is all but the number of axes. */
#ifndef BP_LAYERS_CONVOLUTION_H
#define BP_LAYERS_CONVOLUTION_H

#include "engine/layers/layer.h"

enum { BP_CONVOLUTION_PARAMS = 10 };
extern const struct bp_param bp_convolution_params[BP_CONVOLUTION_PARAMS];

int bp_convolution_plan(struct bp_node *node, int32_t axes, struct bp_error *error);
void bp_convolution_forward(const struct bp_node *node, const struct bp_pass *pass);
void bp_convolution_backward(const struct bp_node *node, const struct bp_pass *pass);

#endif

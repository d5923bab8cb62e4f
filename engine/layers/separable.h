/* separable.h - what separable_conv1d and separable_conv2d share: a depthwise convolution, then a product at each position. */
#ifndef BP_LAYERS_SEPARABLE_H
#define BP_LAYERS_SEPARABLE_H

#include "engine/layers/layer.h"

enum {
    BP_SEPARABLE_FILTERS,
    BP_SEPARABLE_KERNEL_SIZE,
    BP_SEPARABLE_STRIDES,
    BP_SEPARABLE_PADDING,
    BP_SEPARABLE_DILATION_RATE,
    BP_SEPARABLE_DEPTH_MULTIPLIER,
    BP_SEPARABLE_ACTIVATION,
    BP_SEPARABLE_USE_BIAS,
    BP_SEPARABLE_DEPTHWISE_INITIALIZER,
    BP_SEPARABLE_POINTWISE_INITIALIZER,
    BP_SEPARABLE_BIAS_INITIALIZER,
    BP_SEPARABLE_PARAMS
};

int bp_separable_plan(struct bp_node *node, int32_t axes, struct bp_error *error);
void bp_separable_forward(const struct bp_node *node, const struct bp_pass *pass);
void bp_separable_backward(const struct bp_node *node, const struct bp_pass *pass);

#endif

/* transposed.h - what conv1d_transpose and conv2d_transpose share. */
#ifndef BP_LAYERS_TRANSPOSED_H
#define BP_LAYERS_TRANSPOSED_H

#include "engine/layers/layer.h"

enum {
    BP_TRANSPOSED_FILTERS,
    BP_TRANSPOSED_KERNEL_SIZE,
    BP_TRANSPOSED_STRIDES,
    BP_TRANSPOSED_PADDING,
    BP_TRANSPOSED_OUTPUT_PADDING,
    BP_TRANSPOSED_DILATION_RATE,
    BP_TRANSPOSED_ACTIVATION,
    BP_TRANSPOSED_USE_BIAS,
    BP_TRANSPOSED_KERNEL_INITIALIZER,
    BP_TRANSPOSED_BIAS_INITIALIZER,
    BP_TRANSPOSED_PARAMS
};

extern const struct bp_param bp_transposed_params[BP_TRANSPOSED_PARAMS];
int bp_transposed_plan(struct bp_node *node, int32_t axes, struct bp_error *error);
void bp_transposed_forward(const struct bp_node *node, const struct bp_pass *pass);
void bp_transposed_backward(const struct bp_node *node, const struct bp_pass *pass);

#endif

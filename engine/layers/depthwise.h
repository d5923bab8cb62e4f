/* depthwise.h - convolution of each channel by itself, with `multiplier` filters a channel: number c multiplier + m of the output is filter m of
 * channel c. */
#ifndef BP_LAYERS_DEPTHWISE_H
#define BP_LAYERS_DEPTHWISE_H

#include "engine/layers/patches.h"

/* One tile of the products alone; the kernel is tensor 0, (size..., C, multiplier). z (count, C multiplier) is written, or, z NULL, from d_z of that
 * size d_W[0] and d_x[0] gain their gradients. */
void bp_depthwise_tile(const struct bp_window *w, int32_t multiplier, const struct bp_pass *pass, struct bp_tile tile, bp_real *z,
                       const bp_real *d_z);

/* A layer of it (depthwise_conv1d, depthwise_conv2d). */
enum {
    BP_DEPTHWISE_DEPTH_MULTIPLIER,
    BP_DEPTHWISE_KERNEL_SIZE,
    BP_DEPTHWISE_STRIDES,
    BP_DEPTHWISE_PADDING,
    BP_DEPTHWISE_DILATION_RATE,
    BP_DEPTHWISE_ACTIVATION,
    BP_DEPTHWISE_USE_BIAS,
    BP_DEPTHWISE_INITIALIZER,
    BP_DEPTHWISE_BIAS_INITIALIZER,
    BP_DEPTHWISE_PARAMS
};
int bp_depthwise_plan(struct bp_node *node, int32_t axes, struct bp_error *error);
void bp_depthwise_forward(const struct bp_node *node, const struct bp_pass *pass);
void bp_depthwise_backward(const struct bp_node *node, const struct bp_pass *pass);

#endif

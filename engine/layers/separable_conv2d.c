/* separable_conv2d.c - a depthwise convolution, then one over channels, of an image: x (B, height, width, channels), a (B, height, width, filters).
 * See separable.h. */
#include "engine/layers/separable.h"

#include "engine/layers/convolution.h"

static int plan(struct bp_node *node, struct bp_error *error) {
    return bp_separable_plan(node, 2, error);
}

static const struct bp_param params[BP_SEPARABLE_PARAMS] = {
    [BP_SEPARABLE_FILTERS] = BP_CONVOLUTION_FILTERS_PARAM,
    [BP_SEPARABLE_KERNEL_SIZE] = BP_CONVOLUTION_KERNEL_SIZE_PARAM,
    [BP_SEPARABLE_STRIDES] = BP_CONVOLUTION_STRIDES_PARAM,
    [BP_SEPARABLE_PADDING] =
        BP_CONVOLUTION_PADDING_PARAM(bp_padding_choices, "Zeros around the input: none, enough to keep the size, or this number on each side"),
    [BP_SEPARABLE_DILATION_RATE] = BP_CONVOLUTION_DILATION_RATE_PARAM,
    [BP_SEPARABLE_ACTIVATION] = BP_CONVOLUTION_ACTIVATION_PARAM,
    [BP_SEPARABLE_USE_BIAS] = BP_CONVOLUTION_USE_BIAS_PARAM,
    [BP_SEPARABLE_BIAS_INITIALIZER] = BP_CONVOLUTION_BIAS_INITIALIZER_PARAM,
    [BP_SEPARABLE_DEPTH_MULTIPLIER] =
        {.name = "depth_multiplier", .type = BP_PARAM_INTEGER, .help = "Filters of each channel", .preset = 1, .min = 1, .max = 65536},
    [BP_SEPARABLE_DEPTHWISE_INITIALIZER] = {.name = "depthwise_initializer",
                                            .type = BP_PARAM_ENTRY,
                                            .help = "Initial values of the kernel of each channel",
                                            .family = &bp_initializers,
                                            .preset_name = "auto"},
    [BP_SEPARABLE_POINTWISE_INITIALIZER] = {.name = "pointwise_initializer",
                                            .type = BP_PARAM_ENTRY,
                                            .help = "Initial values of the kernel that mixes the channels",
                                            .family = &bp_initializers,
                                            .preset_name = "auto"},
};

extern const struct bp_layer_ops bp_layer_separable_conv2d;
const struct bp_layer_ops bp_layer_separable_conv2d = {
    .entry = {.name = "separable_conv2d",
              .summary = "A convolution of each channel of an image by itself, then one that mixes the channels",
              .params = params,
              .params_count = BP_SEPARABLE_PARAMS},
    .inputs_min = 1,
    .inputs_max = 1,
    .plan = plan,
    .forward = bp_separable_forward,
    .backward = bp_separable_backward,
};

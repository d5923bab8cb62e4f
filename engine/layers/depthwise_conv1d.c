/* depthwise_conv1d.c - convolution of each channel of a sequence: x (B, steps, channels), a (B, steps, channels multiplier). See depthwise.h. */
#include "engine/layers/depthwise.h"

#include "engine/layers/convolution.h"

static int plan(struct bp_node *node, struct bp_error *error) {
    return bp_depthwise_plan(node, 1, error);
}

static const struct bp_param params[BP_DEPTHWISE_PARAMS] = {
    [BP_DEPTHWISE_DEPTH_MULTIPLIER] =
        {.name = "depth_multiplier", .type = BP_PARAM_INTEGER, .help = "Filters of each channel", .preset = 1, .min = 1, .max = 65536},
    [BP_DEPTHWISE_KERNEL_SIZE] = BP_CONVOLUTION_KERNEL_SIZE_PARAM,
    [BP_DEPTHWISE_STRIDES] = BP_CONVOLUTION_STRIDES_PARAM,
    [BP_DEPTHWISE_PADDING] = BP_CONVOLUTION_PADDING_PARAM(
        bp_causal_padding_choices,
        "Zeros around the input: none, enough to keep the size (causal: all before the first step), or this number on each side"),
    [BP_DEPTHWISE_DILATION_RATE] = BP_CONVOLUTION_DILATION_RATE_PARAM,
    [BP_DEPTHWISE_ACTIVATION] = BP_CONVOLUTION_ACTIVATION_PARAM,
    [BP_DEPTHWISE_USE_BIAS] = BP_CONVOLUTION_USE_BIAS_PARAM,
    [BP_DEPTHWISE_BIAS_INITIALIZER] = BP_CONVOLUTION_BIAS_INITIALIZER_PARAM,
    [BP_DEPTHWISE_INITIALIZER] = {.name = "depthwise_initializer",
                                  .type = BP_PARAM_ENTRY,
                                  .help = "Initial values of the kernel",
                                  .family = &bp_initializers,
                                  .preset_name = "auto"},
};

extern const struct bp_layer_ops bp_layer_depthwise_conv1d;
const struct bp_layer_ops bp_layer_depthwise_conv1d = {
    .entry = {.name = "depthwise_conv1d",
              .summary = "A convolution of each channel of a sequence by itself",
              .params = params,
              .params_count = BP_DEPTHWISE_PARAMS},
    .inputs_min = 1,
    .inputs_max = 1,
    .mask = BP_MASK_ZERO, /* with padding "same" and strides 1 */
    .plan = plan,
    .forward = bp_depthwise_forward,
    .backward = bp_depthwise_backward,
};

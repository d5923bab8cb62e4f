/* conv2d_transpose.c - a transposed convolution, which makes an image larger: x (B, height, width, channels), W (height, width, filters, channels).
 * See transposed.h. */
#include "engine/layers/transposed.h"

#include "engine/layers/convolution.h"

static int plan(struct bp_node *node, struct bp_error *error) {
    return bp_transposed_plan(node, 2, error);
}

static const struct bp_param params[BP_TRANSPOSED_PARAMS] = {
    [BP_TRANSPOSED_FILTERS] = BP_CONVOLUTION_FILTERS_PARAM,
    [BP_TRANSPOSED_KERNEL_SIZE] = BP_CONVOLUTION_KERNEL_SIZE_PARAM,
    [BP_TRANSPOSED_STRIDES] = BP_CONVOLUTION_STRIDES_PARAM,
    [BP_TRANSPOSED_DILATION_RATE] = BP_CONVOLUTION_DILATION_RATE_PARAM,
    [BP_TRANSPOSED_ACTIVATION] = BP_CONVOLUTION_ACTIVATION_PARAM,
    [BP_TRANSPOSED_USE_BIAS] = BP_CONVOLUTION_USE_BIAS_PARAM,
    [BP_TRANSPOSED_KERNEL_INITIALIZER] = BP_CONVOLUTION_KERNEL_INITIALIZER_PARAM,
    [BP_TRANSPOSED_BIAS_INITIALIZER] = BP_CONVOLUTION_BIAS_INITIALIZER_PARAM,
    [BP_TRANSPOSED_PADDING] = BP_CONVOLUTION_PADDING_PARAM(
        bp_padding_choices, "What is cut off the output: nothing, all beyond strides times the input, or this number on each side"),
    [BP_TRANSPOSED_OUTPUT_PADDING] = {.name = "output_padding",
                                      .type = BP_PARAM_INTEGERS,
                                      .help = "Cells by which the output is longer than its windows less the padding; -1: as \"padding\" says",
                                      .preset = -1,
                                      .min = -1,
                                      .max = 4096},
};

extern const struct bp_layer_ops bp_layer_conv2d_transpose;
const struct bp_layer_ops bp_layer_conv2d_transpose = {
    .entry = {.name = "conv2d_transpose",
              .summary = "A transposed convolution: trainable filters that make an image larger",
              .params = params,
              .params_count = BP_TRANSPOSED_PARAMS},
    .inputs_min = 1,
    .inputs_max = 1,
    .plan = plan,
    .forward = bp_transposed_forward,
    .backward = bp_transposed_backward,
};

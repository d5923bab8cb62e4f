/* convolution.h - what conv1d and conv2d share, which is all but the number of axes. */
#ifndef BP_LAYERS_CONVOLUTION_H
#define BP_LAYERS_CONVOLUTION_H

#include "engine/initializers/initializer.h"
#include "engine/layers/window.h"

/* The positions of the parameters, and their rows. */
enum {
    BP_CONVOLUTION_FILTERS,
    BP_CONVOLUTION_KERNEL_SIZE,
    BP_CONVOLUTION_STRIDES,
    BP_CONVOLUTION_PADDING,
    BP_CONVOLUTION_DILATION_RATE,
    BP_CONVOLUTION_GROUPS,
    BP_CONVOLUTION_ACTIVATION,
    BP_CONVOLUTION_USE_BIAS,
    BP_CONVOLUTION_KERNEL_INITIALIZER,
    BP_CONVOLUTION_BIAS_INITIALIZER,
    BP_CONVOLUTION_PARAMS
};
#define BP_CONVOLUTION_FILTERS_PARAM                                                                                                                 \
    { .name = "filters", .type = BP_PARAM_INTEGER, .help = "Channels of the output", .min = 1, .max = 65536, .flags = BP_PARAM_REQUIRED }
#define BP_CONVOLUTION_KERNEL_SIZE_PARAM                                                                                                             \
    {                                                                                                                                                \
        .name = "kernel_size", .type = BP_PARAM_INTEGERS, .help = "Size of the window along each axis", .min = 1, .max = 4096,                       \
        .flags = BP_PARAM_REQUIRED                                                                                                                   \
    }
#define BP_CONVOLUTION_STRIDES_PARAM                                                                                                                 \
    { .name = "strides", .type = BP_PARAM_INTEGERS, .help = "Stride of the window along each axis", .preset = 1, .min = 1, .max = 4096 }
#define BP_CONVOLUTION_PADDING_PARAM(names, text)                                                                                                    \
    { .name = "padding", .type = BP_PARAM_CHOICE, .help = text, .min = 0, .max = 4096, .flags = BP_PARAM_OR_INTEGERS, .choices = names }
#define BP_CONVOLUTION_DILATION_RATE_PARAM                                                                                                           \
    { .name = "dilation_rate", .type = BP_PARAM_INTEGERS, .help = "Distance between the cells of the window", .preset = 1, .min = 1, .max = 4096 }
#define BP_CONVOLUTION_GROUPS_PARAM                                                                                                                  \
    {                                                                                                                                                \
        .name = "groups", .type = BP_PARAM_INTEGER, .help = "Groups of channels that are convolved separately; equal to the channels: depthwise",    \
        .preset = 1, .min = 1, .max = 65536                                                                                                          \
    }
#define BP_CONVOLUTION_ACTIVATION_PARAM                                                                                                              \
    { .name = "activation", .type = BP_PARAM_ENTRY, .help = "Activation applied to the outputs", .family = &bp_activations, .preset_name = "linear" }
#define BP_CONVOLUTION_USE_BIAS_PARAM                                                                                                                \
    { .name = "use_bias", .type = BP_PARAM_BOOLEAN, .help = "Add a trainable bias per filter", .preset = 1 }
#define BP_CONVOLUTION_KERNEL_INITIALIZER_PARAM                                                                                                      \
    {                                                                                                                                                \
        .name = "kernel_initializer", .type = BP_PARAM_ENTRY, .help = "Initial values of the kernel", .family = &bp_initializers,                    \
        .preset_name = "auto"                                                                                                                        \
    }
#define BP_CONVOLUTION_BIAS_INITIALIZER_PARAM                                                                                                        \
    { .name = "bias_initializer", .type = BP_PARAM_ENTRY, .help = "Initial values of the bias", .family = &bp_initializers, .preset_name = "zeros" }

#define BP_CONVOLUTION_PARAM_ROWS(names, text)                                                                                                       \
    {                                                                                                                                                \
        [BP_CONVOLUTION_FILTERS] = BP_CONVOLUTION_FILTERS_PARAM, [BP_CONVOLUTION_KERNEL_SIZE] = BP_CONVOLUTION_KERNEL_SIZE_PARAM,                    \
        [BP_CONVOLUTION_STRIDES] = BP_CONVOLUTION_STRIDES_PARAM, [BP_CONVOLUTION_PADDING] = BP_CONVOLUTION_PADDING_PARAM(names, text),               \
        [BP_CONVOLUTION_DILATION_RATE] = BP_CONVOLUTION_DILATION_RATE_PARAM, [BP_CONVOLUTION_GROUPS] = BP_CONVOLUTION_GROUPS_PARAM,                  \
        [BP_CONVOLUTION_ACTIVATION] = BP_CONVOLUTION_ACTIVATION_PARAM, [BP_CONVOLUTION_USE_BIAS] = BP_CONVOLUTION_USE_BIAS_PARAM,                    \
        [BP_CONVOLUTION_KERNEL_INITIALIZER] = BP_CONVOLUTION_KERNEL_INITIALIZER_PARAM,                                                               \
        [BP_CONVOLUTION_BIAS_INITIALIZER] = BP_CONVOLUTION_BIAS_INITIALIZER_PARAM,                                                                   \
    }

int bp_convolution_plan(struct bp_node *node, int32_t axes, struct bp_error *error);
void bp_convolution_forward(const struct bp_node *node, const struct bp_pass *pass);
void bp_convolution_backward(const struct bp_node *node, const struct bp_pass *pass);

#endif

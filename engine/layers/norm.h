/* norm.h - the rows of the parameters that batch_norm and layer_norm have in common. */
#ifndef BP_LAYERS_NORM_H
#define BP_LAYERS_NORM_H

#include "engine/layers/layer.h"

#define BP_NORM_EPSILON_PARAM                                                                                                                        \
    {                                                                                                                                                \
        .name = "epsilon", .type = BP_PARAM_NUMBER, .help = "Added to the variance (Keras's default; PyTorch has 1e-5)", .preset = 1e-3, .min = 0,   \
        .max = 1, .flags = BP_PARAM_MIN_OPEN                                                                                                         \
    }
#define BP_NORM_CENTER_PARAM                                                                                                                         \
    { .name = "center", .type = BP_PARAM_BOOLEAN, .help = "Add a trainable offset, beta", .preset = 1 }
#define BP_NORM_SCALE_PARAM                                                                                                                          \
    { .name = "scale", .type = BP_PARAM_BOOLEAN, .help = "Multiply by a trainable scale, gamma", .preset = 1 }

#endif

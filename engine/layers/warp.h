/* warp.h - what the layers that move images about share: for each number of the output the place in the input where it comes from, an affine map
 * drawn for each sample in training. H: height, W: width, C: channels. */
#ifndef BP_LAYERS_WARP_H
#define BP_LAYERS_WARP_H

#include "engine/base/random.h"
#include "engine/layers/layer.h"

/* The choices of a parameter "fill": values outside the image. */
enum { BP_FILL_CONSTANT, BP_FILL_NEAREST, BP_FILL_REFLECT, BP_FILL_WRAP };
extern const char *const bp_fill_choices[];

/* The rows of the parameters "fill" and "fill_value". */
#define BP_FILL_PARAM                                                                                                                                \
    {                                                                                                                                                \
        .name = "fill", .type = BP_PARAM_CHOICE,                                                                                                     \
        .help = "Values outside the image: a constant, the nearest cell, the mirror image, or the repeated image", .preset = BP_FILL_REFLECT,        \
        .choices = bp_fill_choices                                                                                                                   \
    }
#define BP_FILL_VALUE_PARAM                                                                                                                          \
    { .name = "fill_value", .type = BP_PARAM_NUMBER, .help = "The value, where fill is constant", .min = -1e6, .max = 1e6 }

/* The output's (row, column) is the input's (m[0] row + m[1] column + m[2], m[3] row + m[4] column + m[5]), between cells interpolated linearly. */
struct bp_warp {
    double m[6];
};

/* How a layer does it. */
struct bp_warping {
    struct bp_warp (*draw)(const struct bp_node *node, struct bp_random *random); /* the map of one image */
    int32_t fill; /* position of "fill" among the layer's parameters, followed by "fill_value"; -1: no values from outside */
};

/* plan, forward and backward of a layer that does so. */
int bp_warp_plan(struct bp_node *node, struct bp_error *error);
void bp_warp_forward(const struct bp_node *node, const struct bp_pass *pass, const struct bp_warping *warping);
void bp_warp_backward(const struct bp_node *node, const struct bp_pass *pass, const struct bp_warping *warping);

#endif

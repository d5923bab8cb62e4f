/* upsampling2d.c - an image made larger: x (B, height, width, channels), a (B, height size, width size, channels). See upsample.h. */
#include "engine/layers/upsample.h"

static int plan(struct bp_node *node, struct bp_error *error) {
    return bp_upsample_plan(node, 2, error);
}

static const char *const interpolations[] = {"nearest", "bilinear", NULL};

static const struct bp_param params[] = {
    [BP_UPSAMPLE_SIZE] =
        {.name = "size", .type = BP_PARAM_INTEGERS, .help = "Factor for both axes, or [height, width]", .preset = 2, .min = 1, .max = 65536},
    [BP_UPSAMPLE_INTERPOLATION] = {.name = "interpolation",
                                   .type = BP_PARAM_CHOICE,
                                   .help = "Repeat cells, or mix those around by their distance",
                                   .choices = interpolations},
};

extern const struct bp_layer_ops bp_layer_upsampling2d;
const struct bp_layer_ops bp_layer_upsampling2d = {
    .entry = {.name = "upsampling2d", .summary = "Makes an image larger by whole factors", .params = params, .params_count = 2},
    .inputs_min = 1,
    .inputs_max = 1,
    .plan = plan,
    .forward = bp_upsample_forward,
    .backward = bp_upsample_backward,
};

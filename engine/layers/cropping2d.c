/* cropping2d.c - cuts off the border of an image: x (B, height, width, channels). See border.h. */
#include "engine/layers/border.h"

static int plan(struct bp_node *node, struct bp_error *error) {
    return bp_border_plan(node, 2, true, error);
}

static void forward(const struct bp_node *node, const struct bp_pass *pass) {
    bp_border_forward(node, pass, true);
}

static void backward(const struct bp_node *node, const struct bp_pass *pass) {
    bp_border_backward(node, pass, true);
}

static const struct bp_param params[] = {
    {
        .name = "cropping",
        .type = BP_PARAM_INTEGERS,
        .help = "Cells that are cut off: on all sides, [height, width], or [[top, bottom], [left, right]]",
        .preset = 0,
        .min = 0,
        .max = 65536,
        .flags = BP_PARAM_PAIRS,
    },
};

extern const struct bp_layer_ops bp_layer_cropping2d;
const struct bp_layer_ops bp_layer_cropping2d = {
    .entry = {.name = "cropping2d", .summary = "Cuts off the border of an image", .params = params, .params_count = 1},
    .inputs_min = 1,
    .inputs_max = 1,
    .plan = plan,
    .forward = forward,
    .backward = backward,
};

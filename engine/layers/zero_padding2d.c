/* zero_padding2d.c - adds zeros around an image: x (B, height, width, channels). See border.h. */
#include "engine/layers/border.h"

static int plan(struct bp_node *node, struct bp_error *error) {
    return bp_border_plan(node, 2, false, error);
}

static void forward(const struct bp_node *node, const struct bp_pass *pass) {
    bp_border_forward(node, pass, false);
}

static void backward(const struct bp_node *node, const struct bp_pass *pass) {
    bp_border_backward(node, pass, false);
}

static const struct bp_param params[] = {
    {
        .name = "padding",
        .type = BP_PARAM_INTEGERS,
        .help = "Cells of zeros: on all sides, [height, width], or [[top, bottom], [left, right]]",
        .preset = 1,
        .min = 0,
        .max = 65536,
        .flags = BP_PARAM_PAIRS,
    },
};

extern const struct bp_layer_ops bp_layer_zero_padding2d;
const struct bp_layer_ops bp_layer_zero_padding2d = {
    .entry = {.name = "zero_padding2d", .summary = "Adds zeros around an image", .params = params, .params_count = 1},
    .inputs_min = 1,
    .inputs_max = 1,
    .plan = plan,
    .forward = forward,
    .backward = backward,
};

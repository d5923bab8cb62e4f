/* cropping1d.c - cuts off steps at the ends of a sequence: x (B, steps, channels). See border.h. */
#include "engine/layers/border.h"

static int plan(struct bp_node *node, struct bp_error *error) {
    return bp_border_plan(node, 1, true, error);
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
        .help = "Steps that are cut off: the same number at both ends, or [before, after]",
        .preset = 1,
        .min = 0,
        .max = 65536,
    },
};

extern const struct bp_layer_ops bp_layer_cropping1d;
const struct bp_layer_ops bp_layer_cropping1d = {
    .entry = {.name = "cropping1d", .summary = "Cuts off steps at the ends of a sequence", .params = params, .params_count = 1},
    .inputs_min = 1,
    .inputs_max = 1,
    .plan = plan,
    .forward = forward,
    .backward = backward,
};

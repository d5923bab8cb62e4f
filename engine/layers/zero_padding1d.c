/* zero_padding1d.c - adds steps of zeros at the ends of a sequence: x (B, steps, channels). See border.h. */
#include "engine/layers/border.h"

static int plan(struct bp_node *node, struct bp_error *error) {
    return bp_border_plan(node, 1, false, error);
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
        .help = "Steps of zeros: the same number at both ends, or [before, after]",
        .preset = 1,
        .min = 0,
        .max = 65536,
    },
};

extern const struct bp_layer_ops bp_layer_zero_padding1d;
const struct bp_layer_ops bp_layer_zero_padding1d = {
    .entry = {.name = "zero_padding1d", .summary = "Adds steps of zeros at the ends of a sequence", .params = params, .params_count = 1},
    .inputs_min = 1,
    .inputs_max = 1,
    .plan = plan,
    .forward = forward,
    .backward = backward,
};

/* upsampling1d.c - each step of a sequence several times: x (B, steps, channels), a (B, steps size, channels). See upsample.h. */
#include "engine/layers/upsample.h"

static int plan(struct bp_node *node, struct bp_error *error) {
    return bp_upsample_plan(node, 1, error);
}

static const struct bp_param params[] = {
    [BP_UPSAMPLE_SIZE] = {.name = "size", .type = BP_PARAM_INTEGERS, .help = "How often each step is repeated", .preset = 2, .min = 1, .max = 65536},
};

extern const struct bp_layer_ops bp_layer_upsampling1d;
const struct bp_layer_ops bp_layer_upsampling1d = {
    .entry = {.name = "upsampling1d", .summary = "Repeats each step of a sequence", .params = params, .params_count = 1},
    .inputs_min = 1,
    .inputs_max = 1,
    .plan = plan,
    .forward = bp_upsample_forward,
    .backward = bp_upsample_backward,
};

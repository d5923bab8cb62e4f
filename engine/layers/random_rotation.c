/* random_rotation.c - in training each image (H, W, C) is turned about its middle, by a share of a full turn uniform within -factor..factor; else a =
 * x. Cells are mixed bilinearly. Clockwise by t: the output's (r, c), seen from the middle, comes from (r cos t - c sin t, r sin t + c cos t), rows
 * counting downwards. */
#include "engine/layers/warp.h"

#include <math.h>

enum { FACTOR, FILL, FILL_VALUE, PARAMS };

static struct bp_warp draw(const struct bp_node *node, struct bp_random *random) {
    const double turn = 6.283185307179586 * node->values[FACTOR].number * (2 * bp_random_uniform(random) - 1), s = sin(turn), c = cos(turn);
    const double middle[2] = {0.5 * (node->out.dims[0] - 1), 0.5 * (node->out.dims[1] - 1)};
    return (struct bp_warp){{c, -s, middle[0] - c * middle[0] + s * middle[1], s, c, middle[1] - s * middle[0] - c * middle[1]}};
}

static const struct bp_warping warping = {.draw = draw, .fill = FILL};

static void forward(const struct bp_node *node, const struct bp_pass *pass) {
    bp_warp_forward(node, pass, &warping);
}

static void backward(const struct bp_node *node, const struct bp_pass *pass) {
    bp_warp_backward(node, pass, &warping);
}

static const struct bp_param params[PARAMS] = {
    [FACTOR] = {.name = "factor",
                .type = BP_PARAM_NUMBER,
                .help = "Largest angle to either side, as a fraction of a full turn: 0.1 is 36 degrees",
                .min = 0,
                .max = 1,
                .flags = BP_PARAM_REQUIRED},
    [FILL] = BP_FILL_PARAM,
    [FILL_VALUE] = BP_FILL_VALUE_PARAM,
};

extern const struct bp_layer_ops bp_layer_random_rotation;
const struct bp_layer_ops bp_layer_random_rotation = {
    .entry = {.name = "random_rotation",
              .summary = "Rotates each image by a random angle in training, to reduce overfitting",
              .params = params,
              .params_count = PARAMS},
    .inputs_min = 1,
    .inputs_max = 1,
    .plan = bp_warp_plan,
    .forward = forward,
    .backward = backward,
};

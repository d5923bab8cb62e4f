/* random_flip.c - in training each image (H, W, C) is mirrored with probability 1/2, along each axis that may be; else a = x. */
#include "engine/layers/warp.h"

enum { MODE, PARAMS };
enum { HORIZONTAL, VERTICAL, BOTH };

static struct bp_warp draw(const struct bp_node *node, struct bp_random *random) {
    const int mode = (int)node->values[MODE].number;
    const uint32_t coins = bp_random_u32(random);
    struct bp_warp warp = {{1, 0, 0, 0, 1, 0}};
    if (mode != HORIZONTAL && coins >> 31) warp.m[0] = -1, warp.m[2] = node->out.dims[0] - 1;
    if (mode != VERTICAL && coins >> 30 & 1) warp.m[4] = -1, warp.m[5] = node->out.dims[1] - 1;
    return warp;
}

static const struct bp_warping warping = {.draw = draw, .fill = -1};

static void forward(const struct bp_node *node, const struct bp_pass *pass) {
    bp_warp_forward(node, pass, &warping);
}

static void backward(const struct bp_node *node, const struct bp_pass *pass) {
    bp_warp_backward(node, pass, &warping);
}

static const char *const modes[] = {[HORIZONTAL] = "horizontal", [VERTICAL] = "vertical", [BOTH] = "both", NULL};

static const struct bp_param params[PARAMS] = {
    [MODE] = {.name = "mode", .type = BP_PARAM_CHOICE, .help = "Flip left to right, top to bottom, or each independently", .choices = modes},
};

extern const struct bp_layer_ops bp_layer_random_flip;
const struct bp_layer_ops bp_layer_random_flip = {
    .entry = {.name = "random_flip",
              .summary = "Mirrors half of the images in training, to reduce overfitting",
              .params = params,
              .params_count = PARAMS},
    .inputs_min = 1,
    .inputs_max = 1,
    .plan = bp_warp_plan,
    .forward = forward,
    .backward = backward,
};

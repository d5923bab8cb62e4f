/* random_translation.c - in training each image (H, W, C) is moved down by t_0 H cells and right by t_1 W, t_0 uniform within
 * -height_factor..height_factor, t_1 within -width_factor..width_factor; else a = x. */
#include "engine/layers/warp.h"

#include <math.h>

enum { FILL, FILL_VALUE, HEIGHT_FACTOR, INTERPOLATION, WIDTH_FACTOR, PARAMS };
enum { BILINEAR, NEAREST };

static double shift(const struct bp_node *node, int32_t axis, struct bp_random *random) {
    const double factor = node->values[axis ? WIDTH_FACTOR : HEIGHT_FACTOR].number;
    const double by = (2 * bp_random_uniform(random) - 1) * factor * node->out.dims[axis];
    return node->values[INTERPOLATION].number == NEAREST ? floor(by + 0.5) : by;
}

static struct bp_warp draw(const struct bp_node *node, struct bp_random *random) {
    const double down = shift(node, 0, random), right = shift(node, 1, random);
    return (struct bp_warp){{1, 0, -down, 0, 1, -right}};
}

static const struct bp_warping warping = {.draw = draw, .fill = FILL};

static void forward(const struct bp_node *node, const struct bp_pass *pass) {
    bp_warp_forward(node, pass, &warping);
}

static void backward(const struct bp_node *node, const struct bp_pass *pass) {
    bp_warp_backward(node, pass, &warping);
}

static const char *const interpolations[] = {[BILINEAR] = "bilinear", [NEAREST] = "nearest", NULL};

static const struct bp_param params[PARAMS] = {
    [FILL] = BP_FILL_PARAM,
    [FILL_VALUE] = BP_FILL_VALUE_PARAM,
    [HEIGHT_FACTOR] = {.name = "height_factor",
                       .type = BP_PARAM_NUMBER,
                       .help = "Largest shift up or down, as a fraction of the height",
                       .min = 0,
                       .max = 1,
                       .flags = BP_PARAM_REQUIRED},
    [INTERPOLATION] = {.name = "interpolation",
                       .type = BP_PARAM_CHOICE,
                       .help = "Interpolate shifts by a fraction of a cell, or round them to whole cells",
                       .choices = interpolations},
    [WIDTH_FACTOR] = {.name = "width_factor",
                      .type = BP_PARAM_NUMBER,
                      .help = "Largest shift to the left or right, as a fraction of the width",
                      .min = 0,
                      .max = 1,
                      .flags = BP_PARAM_REQUIRED},
};

extern const struct bp_layer_ops bp_layer_random_translation;
const struct bp_layer_ops bp_layer_random_translation = {
    .entry = {.name = "random_translation",
              .summary = "Shifts each image by a random distance in training, to reduce overfitting",
              .params = params,
              .params_count = PARAMS},
    .inputs_min = 1,
    .inputs_max = 1,
    .plan = bp_warp_plan,
    .forward = forward,
    .backward = backward,
};

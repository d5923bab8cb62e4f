/* spatial_dropout.c - in training each channel of a sample becomes 0 in all its cells with probability rate, and the others are divided by 1 - rate
 * (Tompson et al. 2015); else a = x. x, a (B, ..., C): sequences and images alike. See drop.h. */
#include "engine/layers/drop.h"
#include "engine/layers/gradient.h"

#include <string.h>

enum { RATE, PARAMS };

static int plan(struct bp_node *node, struct bp_error *error) {
    char text[64];
    const struct bp_shape *in = &node->in[0];
    node->out = *in;
    node->draws = true;
    if (in->rank < 0) return 0;
    if (in->rank < 2)
        return bp_error_set(error, "", "spatial_dropout needs an input (steps, channels) or (height, width, channels), but got %s; use dropout",
                            bp_shape_text(in, text, sizeof text));
    node->memo = (size_t)in->dims[in->rank - 1]; /* the mask */
    return 0;
}

/* y (+)= x mask, over all cells. */
static void apply(const struct bp_node *node, const struct bp_pass *pass, const bp_real *x, bp_real *y, bool keep) {
    const size_t C = node->memo, size = (size_t)bp_shape_size(&node->out);
    for (size_t i = 0; i < (size_t)pass->batch; i++)
        for (size_t at = i * size; at < (i + 1) * size; at += C) bp_kernels()->multiply(C, x + at, pass->memo + i * C, y + at, keep);
}

static void forward(const struct bp_node *node, const struct bp_pass *pass) {
    if (!pass->training || !pass->memo) {
        memcpy(pass->a, pass->x[0], (size_t)pass->batch * (size_t)bp_shape_size(&node->out) * sizeof *pass->a);
        return;
    }
    bp_drop_mask(node, pass, node->values[RATE].number, 0, node->memo, pass->memo);
    apply(node, pass, pass->x[0], pass->a, false);
}

static void backward(const struct bp_node *node, const struct bp_pass *pass) {
    if (!pass->d_x[0]) return;
    if (pass->training) apply(node, pass, pass->d_a, pass->d_x[0], pass->keep_x[0]);
    else bp_gradient_write(pass->keep_x[0], (size_t)pass->batch * (size_t)bp_shape_size(&node->out), pass->d_a, pass->d_x[0]);
}

static const struct bp_param params[PARAMS] = {
    [RATE] = {.name = "rate",
              .type = BP_PARAM_NUMBER,
              .help = "Fraction of the channels that are set to 0",
              .min = 0,
              .max = 1,
              .flags = BP_PARAM_REQUIRED | BP_PARAM_MAX_OPEN},
};

extern const struct bp_layer_ops bp_layer_spatial_dropout;
const struct bp_layer_ops bp_layer_spatial_dropout = {
    .entry = {.name = "spatial_dropout",
              .summary = "Sets whole channels of a sequence or image to 0 in training, to reduce overfitting",
              .params = params,
              .params_count = PARAMS},
    .inputs_min = 1,
    .inputs_max = 1,
    .mask = BP_MASK_PASS,
    .plan = plan,
    .forward = forward,
    .backward = backward,
};

/* dropout.c - in training each number becomes 0 with probability rate, and the others are divided by 1 - rate; else a = x.
 * The mask is a pure function of (seed, update, layer, position of the sample in the mini-batch), so it does not depend on shards:
 * one Philox block at (seed, layer, update) gives the key, under which sample s reads the stream s. */
#include "engine/kernels/kernels.h"
#include "engine/layers/drop.h"
#include "engine/layers/gradient.h"
#include "engine/layers/layer.h"

#include <string.h>

enum { RATE, PARAMS };

static int plan(struct bp_node *node, struct bp_error *error) {
    (void)error;
    node->out = node->in[0];
    node->memo = (size_t)bp_shape_size(&node->out); /* the mask */
    node->draws = true;
    return 0;
}

static void forward(const struct bp_node *node, const struct bp_pass *pass) {
    const size_t size = (size_t)bp_shape_size(&node->out), n = size * (size_t)pass->batch;
    if (pass->training && pass->memo) bp_drop(node, pass, node->values[RATE].number, 0, size, pass->memo, pass->x[0], pass->a);
    else memcpy(pass->a, pass->x[0], n * sizeof *pass->a);
}

static void backward(const struct bp_node *node, const struct bp_pass *pass) {
    const size_t n = (size_t)bp_shape_size(&node->out) * (size_t)pass->batch;
    if (!pass->d_x[0]) return;
    if (pass->training) bp_kernels()->multiply(n, pass->d_a, pass->memo, pass->d_x[0], pass->keep_x[0]);
    else bp_gradient_write(pass->keep_x[0], n, pass->d_a, pass->d_x[0]);
}

static const struct bp_param params[PARAMS] = {
    [RATE] = {.name = "rate",
              .type = BP_PARAM_NUMBER,
              .help = "Fraction of the inputs that are set to 0",
              .min = 0,
              .max = 1,
              .flags = BP_PARAM_REQUIRED | BP_PARAM_MAX_OPEN},
};

extern const struct bp_layer_ops bp_layer_dropout;
const struct bp_layer_ops bp_layer_dropout = {
    .entry = {.name = "dropout",
              .summary = "Sets a random fraction of its input to 0 in training, to reduce overfitting",
              .params = params,
              .params_count = PARAMS},
    .inputs_min = 1,
    .inputs_max = 1,
    .mask = BP_MASK_PASS,
    .members = BP_MEMBERS_PASS,
    .plan = plan,
    .forward = forward,
    .backward = backward,
};

/* position_embedding.c - a = x + P, x (B, steps, width), P (steps, width) trained: each step learns what its position means (Gehring et al. 2017). */
#include "engine/initializers/initializer.h"
#include "engine/kernels/kernels.h"
#include "engine/layers/gradient.h"
#include "engine/layers/layer.h"

#include <string.h>

enum { INITIALIZER, PARAMS };

static int plan(struct bp_node *node, struct bp_error *error) {
    char text[64];
    const struct bp_shape *in = &node->in[0];
    node->out = *in;
    if (in->rank < 0) return 0;
    if (in->rank != 2)
        return bp_error_set(error, "", "position_embedding needs an input (steps, channels), but got %s", bp_shape_text(in, text, sizeof text));
    if (bp_shape_size(in) <= 0) return 0;
    struct bp_tensor *embeddings = bp_node_tensor(node, "embeddings", 2, in->dims);
    bp_tensor_initialize(embeddings, &node->values[INITIALIZER]);
    embeddings->fan_in = in->dims[0];
    embeddings->fan_out = in->dims[1];
    return 0;
}

static void forward(const struct bp_node *node, const struct bp_pass *pass) {
    const size_t size = (size_t)bp_shape_size(&node->out);
    memcpy(pass->a, pass->x[0], (size_t)pass->batch * size * sizeof *pass->a);
    for (size_t i = 0; i < (size_t)pass->batch; i++) bp_kernels()->scaled_add(size, 1, pass->W[0], pass->a + i * size);
}

static void backward(const struct bp_node *node, const struct bp_pass *pass) {
    const size_t size = (size_t)bp_shape_size(&node->out);
    bp_kernels()->column_sums((size_t)pass->batch, size, pass->d_a, pass->d_W[0], pass->keep_W);
    bp_gradient_write(pass->keep_x[0], (size_t)pass->batch * size, pass->d_a, pass->d_x[0]);
}

static const struct bp_param params[PARAMS] = {
    [INITIALIZER] =
        {.name = "initializer", .type = BP_PARAM_ENTRY, .help = "Initial values of the positions", .family = &bp_initializers, .preset_name = "auto"},
};

extern const struct bp_layer_ops bp_layer_position_embedding;
const struct bp_layer_ops bp_layer_position_embedding = {
    .entry = {.name = "position_embedding", .summary = "Adds a trained vector for each step's position", .params = params, .params_count = PARAMS},
    .inputs_min = 1,
    .inputs_max = 1,
    .mask = BP_MASK_PASS,
    .plan = plan,
    .forward = forward,
    .backward = backward,
};

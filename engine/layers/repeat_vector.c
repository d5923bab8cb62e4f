/* repeat_vector.c - the same numbers at every step: x (B, F), a (B, n, F). */
#include "engine/kernels/kernels.h"
#include "engine/layers/gradient.h"
#include "engine/layers/layer.h"

#include <string.h>

enum { N, PARAMS };

static int plan(struct bp_node *node, struct bp_error *error) {
    char text[64];
    const struct bp_shape *in = &node->in[0];
    if (in->rank < 0) return 0;
    if (in->rank != 1)
        return bp_error_set(error, "", "repeat_vector needs an input (features), but got %s; add a flatten or pooling layer before it",
                            bp_shape_text(in, text, sizeof text));
    node->out = (struct bp_shape){.rank = 2, .dims = {(int32_t)node->values[N].number, in->dims[0]}};
    return 0;
}

static void forward(const struct bp_node *node, const struct bp_pass *pass) {
    const size_t steps = (size_t)node->out.dims[0], F = (size_t)node->out.dims[1];
    for (size_t i = 0; i < (size_t)pass->batch; i++)
        for (size_t t = 0; t < steps; t++) memcpy(pass->a + (i * steps + t) * F, pass->x[0] + i * F, F * sizeof *pass->a);
}

static void backward(const struct bp_node *node, const struct bp_pass *pass) {
    const size_t steps = (size_t)node->out.dims[0], F = (size_t)node->out.dims[1];
    if (!pass->d_x[0]) return;
    for (size_t i = 0; i < (size_t)pass->batch; i++)
        bp_kernels()->column_sums(steps, F, pass->d_a + i * steps * F, pass->d_x[0] + i * F, pass->keep_x[0]);
}

static const struct bp_param params[PARAMS] = {
    [N] = {.name = "n", .type = BP_PARAM_INTEGER, .help = "Number of steps", .min = 1, .max = 1 << 24, .flags = BP_PARAM_REQUIRED},
};

extern const struct bp_layer_ops bp_layer_repeat_vector;
const struct bp_layer_ops bp_layer_repeat_vector = {
    .entry = {.name = "repeat_vector", .summary = "The same numbers at every step of a sequence", .params = params, .params_count = PARAMS},
    .inputs_min = 1,
    .inputs_max = 1,
    .plan = plan,
    .forward = forward,
    .backward = backward,
};

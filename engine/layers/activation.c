/* activation.c - an activation function as a separate layer: a = f(x), x and a (B, ...). */
#include "engine/activations/activation.h"
#include "engine/layers/layer.h"

#include "engine/kernels/kernels.h"
#include "engine/layers/gradient.h"

#include <string.h>

enum { ACTIVATION, PARAMS };

static int plan(struct bp_node *node, struct bp_error *error) {
    (void)error;
    bp_node_activate(node, &node->values[ACTIVATION]);
    node->out = node->in[0];
    node->scratch = (size_t)bp_shape_size(&node->out); /* of backward, when it must add */
    return 0;
}

/* Rows along the last axis; a function that does not work on rows does not mind. */
static void rows_of(const struct bp_node *node, const struct bp_pass *pass, size_t *rows, size_t *width) {
    const size_t total = (size_t)pass->batch * (size_t)bp_shape_size(&node->out);
    *width = node->out.rank ? (size_t)node->out.dims[node->out.rank - 1] : 1;
    *rows = total / *width;
}

static void forward(const struct bp_node *node, const struct bp_pass *pass) {
    size_t rows, width;
    rows_of(node, pass, &rows, &width);
    if (node->activation) bp_node_forward_activation(node, pass, (const size_t[]){rows, width}, pass->x[0], pass->a);
    else memcpy(pass->a, pass->x[0], rows * width * sizeof *pass->a);
}

static void backward(const struct bp_node *node, const struct bp_pass *pass) {
    if (!pass->d_x[0] && node->slopes < 0) return;
    size_t rows, width;
    rows_of(node, pass, &rows, &width);
    bp_real *d_x = pass->keep_x[0] || !pass->d_x[0] ? pass->scratch : pass->d_x[0]; /* (B, ...) */
    if (node->activation)
        bp_node_backward_activation(node, pass, (const size_t[]){rows, width},
                                    &(const struct bp_activated){.z = pass->x[0], .a = pass->a, .d_a = pass->d_a, .d_z = d_x});
    else memcpy(d_x, pass->d_a, rows * width * sizeof *d_x);
    if (pass->keep_x[0]) bp_gradient_write(true, rows * width, d_x, pass->d_x[0]);
}

static const struct bp_param params[PARAMS] = {
    [ACTIVATION] = {.name = "activation", .type = BP_PARAM_ENTRY, .help = "The function", .flags = BP_PARAM_REQUIRED, .family = &bp_activations},
};

extern const struct bp_layer_ops bp_layer_activation;
const struct bp_layer_ops bp_layer_activation = {
    .entry = {.name = "activation", .summary = "An activation function on its own", .params = params, .params_count = PARAMS},
    .inputs_min = 1,
    .inputs_max = 1,
    .mask = BP_MASK_PASS,
    .members = BP_MEMBERS_PASS,
    .activation_only = true,
    .plan = plan,
    .forward = forward,
    .backward = backward,
};

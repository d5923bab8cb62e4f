/* scale.c - a trained factor for each number of an input: a = s x. s has the size of the last axis, or, with `axes`, of the last so many: of an
 * ensemble's (members, width) two give every member factors of its own (BatchEnsemble: Wen, Tran, Ba 2020, around a dense layer). Viewed as x, a
 * (rows, size), s (size). */
#include "engine/initializers/initializer.h"
#include "engine/layers/gradient.h"
#include "engine/layers/layer.h"

enum { AXES, FACTORS_INITIALIZER, PARAMS };

static int plan(struct bp_node *node, struct bp_error *error) {
    char text[64];
    const struct bp_shape *in = &node->in[0];
    const int32_t axes = (int32_t)node->values[AXES].number;
    struct bp_shape size = {.rank = axes};
    node->out = *in;
    if (in->rank < 0) return 0;
    if (axes > in->rank)
        return bp_error_set(error, "/axes", "axes is %d, but the input has the shape %s; use at most %d", (int)axes,
                            bp_shape_text(in, text, sizeof text), (int)in->rank);
    for (int32_t i = 0; i < axes; i++) size.dims[i] = in->dims[in->rank - axes + i];
    if (bp_shape_size(&size) == 0) return 0;
    struct bp_tensor *factors = bp_node_tensor(node, "factors", axes, size.dims);
    bp_tensor_initialize(factors, &node->values[FACTORS_INITIALIZER]);
    factors->fan_in = factors->fan_out = (double)bp_shape_size(&size);
    return 0;
}

static void forward(const struct bp_node *node, const struct bp_pass *pass) {
    const size_t n = (size_t)bp_shape_size(&node->tensors[0].shape), rows = (size_t)pass->batch * (size_t)bp_shape_size(&node->out) / n;
    for (size_t i = 0; i < rows; i++) bp_kernels()->multiply(n, pass->x[0] + i * n, pass->W[0], pass->a + i * n, false);
}

static void backward(const struct bp_node *node, const struct bp_pass *pass) {
    const size_t n = (size_t)bp_shape_size(&node->tensors[0].shape), rows = (size_t)pass->batch * (size_t)bp_shape_size(&node->out) / n;
    for (size_t i = 0; i < rows; i++) {
        bp_kernels()->multiply(n, pass->x[0] + i * n, pass->d_a + i * n, pass->d_W[0], pass->keep_W || i > 0);
        if (pass->d_x[0]) bp_kernels()->multiply(n, pass->d_a + i * n, pass->W[0], pass->d_x[0] + i * n, pass->keep_x[0]);
    }
}

static const struct bp_param params[PARAMS] = {
    [AXES] = {.name = "axes",
              .type = BP_PARAM_INTEGER,
              .help = "Axes, counted from the last, whose numbers have a factor each; 2 of an ensemble: each member its own",
              .preset = 1,
              .min = 1,
              .max = BP_RANK_MAX},
    [FACTORS_INITIALIZER] = {.name = "factors_initializer",
                             .type = BP_PARAM_ENTRY,
                             .help = "Initial values of the factors",
                             .family = &bp_initializers,
                             .preset_name = "ones"},
};

extern const struct bp_layer_ops bp_layer_scale;
const struct bp_layer_ops bp_layer_scale = {
    .entry = {.name = "scale", .summary = "A trained factor for each number of its input", .params = params, .params_count = PARAMS},
    .inputs_min = 1,
    .inputs_max = 1,
    .mask = BP_MASK_PASS,
    .members = BP_MEMBERS_PASS,
    .plan = plan,
    .forward = forward,
    .backward = backward,
};

/* masking.c - says which steps of a padded sequence are there: those with a feature that is not mask_value. x, a (B, T, F); steps that are
 * padding become 0. It compares what it gets. Of a tensor column that is scaled, the preprocessing passes on padding, as it was given, as mask_value,
 * and nothing else. */
#include "engine/layers/gradient.h"
#include "engine/layers/layer.h"

#include <string.h>

enum { MASK_VALUE, PARAMS };

static int plan(struct bp_node *node, struct bp_error *error) {
    char text[64];
    const struct bp_shape *in = &node->in[0];
    node->out = *in;
    node->padding = node->values[MASK_VALUE].number;
    if (in->rank < 0 || in->rank > 1) return 0;
    return bp_error_set(error, "", "masking needs a sequence (steps, features), but got %s", bp_shape_text(in, text, sizeof text));
}

static size_t width_of(const struct bp_node *node) {
    return (size_t)bp_shape_size(&node->out) / (size_t)node->out.dims[0];
}

static void forward(const struct bp_node *node, const struct bp_pass *pass) {
    const size_t width = width_of(node), rows = (size_t)pass->batch * (size_t)node->out.dims[0];
    const bp_real value = (bp_real)node->values[MASK_VALUE].number;
    for (size_t i = 0; i < rows; i++) {
        const bp_real *x = pass->x[0] + i * width; /* (F) */
        bool there = false;
        for (size_t j = 0; j < width && !there; j++) there = x[j] != value;
        if (pass->mask[0] && pass->mask[0][i] == 0) there = false;
        pass->mask_out[i] = there;
        if (there) memcpy(pass->a + i * width, x, width * sizeof *x);
        else memset(pass->a + i * width, 0, width * sizeof *x);
    }
}

static void backward(const struct bp_node *node, const struct bp_pass *pass) {
    const size_t width = width_of(node), rows = (size_t)pass->batch * (size_t)node->out.dims[0];
    if (!pass->d_x[0]) return;
    for (size_t i = 0; i < rows; i++)
        for (size_t j = i * width; j < (i + 1) * width; j++)
            bp_gradient_put(pass->keep_x[0], pass->mask_out[i] != 0 ? pass->d_a[j] : 0, &pass->d_x[0][j]);
}

static const struct bp_param params[PARAMS] = {
    [MASK_VALUE] = {.name = "mask_value",
                    .type = BP_PARAM_NUMBER,
                    .help = "A step whose raw features all equal this number is padding; so is one of missing numbers",
                    .min = -1e30,
                    .max = 1e30},
};

extern const struct bp_layer_ops bp_layer_masking;
const struct bp_layer_ops bp_layer_masking = {
    .entry = {.name = "masking",
              .summary = "Marks the padding of sequences of different lengths, so that later layers and losses mask it",
              .params = params,
              .params_count = PARAMS},
    .inputs_min = 1,
    .inputs_max = 1,
    .mask = BP_MASK_MAKE,
    .plan = plan,
    .forward = forward,
    .backward = backward,
};

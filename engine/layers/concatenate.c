/* concatenate.c - its inputs one after the other along an axis; along all others they have the same size.
 * Viewed as (outer, along_i, inner): each outer row of a is one piece of along_i x inner numbers from each input. */
#include "engine/kernels/kernels.h"
#include "engine/layers/gradient.h"
#include "engine/layers/layer.h"

#include <string.h>

enum { AXIS, PARAMS };

/* The axis in a sample's shape, 0..rank-1; -1 when there is none. As in Keras the batch is axis 0. */
static int32_t axis_of(const struct bp_node *node, int32_t rank) {
    const int32_t asked = (int32_t)node->values[AXIS].number, axis = asked < 0 ? rank + asked : asked - 1;
    return axis >= 0 && axis < rank ? axis : -1;
}

static int join(struct bp_node *node, int32_t i, int32_t axis, struct bp_error *error) {
    char first[64], other[64];
    const struct bp_shape *in = &node->in[i];
    bool same = in->rank == node->out.rank;
    for (int32_t k = 0; same && k < in->rank; k++) {
        int32_t *dim = &node->out.dims[k];
        if (k == axis) *dim = *dim > 0 && in->dims[k] > 0 && *dim <= INT32_MAX - in->dims[k] ? *dim + in->dims[k] : 0;
        else if (*dim <= 0) *dim = in->dims[k];
        else same = in->dims[k] <= 0 || in->dims[k] == *dim;
    }
    if (same) return 0;
    return bp_error_set(
        error, "/inputs", "inputs joined along axis %d must have equal sizes along all others, but input 0 has %s and input %d has %s",
        (int)node->values[AXIS].number, bp_shape_text(&node->in[0], first, sizeof first), (int)i, bp_shape_text(in, other, sizeof other));
}

static int plan(struct bp_node *node, struct bp_error *error) {
    for (int32_t i = 0; i < node->inputs_count; i++)
        if (node->in[i].rank < 0) return 0;
    const int32_t axis = axis_of(node, node->in[0].rank);
    if (axis < 0)
        return bp_error_set(error, "/axis",
                            "axis %d is out of range for an input of %d axes: expected 1 to %d (0 is the batch), or -1 to -%d from the end",
                            (int)node->values[AXIS].number, (int)node->in[0].rank, (int)node->in[0].rank, (int)node->in[0].rank);
    node->out = node->in[0];
    for (int32_t i = 1; i < node->inputs_count; i++)
        if (join(node, i, axis, error)) return -1;
    return 0;
}

struct pieces {
    size_t outer, inner; /* pieces of an input; numbers in one step along the axis */
    int32_t axis;
};

static struct pieces pieces_of(const struct bp_node *node, const struct bp_pass *pass) {
    struct pieces p = {.outer = (size_t)pass->batch, .inner = 1, .axis = axis_of(node, node->out.rank)};
    for (int32_t k = 0; k < p.axis; k++) p.outer *= (size_t)node->out.dims[k];
    for (int32_t k = p.axis + 1; k < node->out.rank; k++) p.inner *= (size_t)node->out.dims[k];
    return p;
}

static void forward(const struct bp_node *node, const struct bp_pass *pass) {
    const struct pieces p = pieces_of(node, pass);
    const size_t row = p.inner * (size_t)node->out.dims[p.axis];
    bp_real *to = pass->a; /* (outer, along, inner), where the input's pieces begin */
    for (int32_t i = 0; i < node->inputs_count; i++) {
        const size_t n = p.inner * (size_t)node->in[i].dims[p.axis];
        for (size_t o = 0; o < p.outer; o++) memcpy(to + o * row, pass->x[i] + o * n, n * sizeof *to);
        to += n;
    }
}

static void backward(const struct bp_node *node, const struct bp_pass *pass) {
    const struct pieces p = pieces_of(node, pass);
    const size_t row = p.inner * (size_t)node->out.dims[p.axis];
    const bp_real *from = pass->d_a; /* (outer, along, inner) */
    for (int32_t i = 0; i < node->inputs_count; i++) {
        const size_t n = p.inner * (size_t)node->in[i].dims[p.axis];
        for (size_t o = 0; pass->d_x[i] && o < p.outer; o++) bp_gradient_write(pass->keep_x[i], n, from + o * row, pass->d_x[i] + o * n);
        from += n;
    }
}

static const struct bp_param params[PARAMS] = {
    [AXIS] = {.name = "axis",
              .type = BP_PARAM_INTEGER,
              .help = "Axis along which the inputs are joined; -1 is the last; 0, the batch, is not allowed",
              .preset = -1,
              .min = -BP_RANK_MAX,
              .max = BP_RANK_MAX},
};

extern const struct bp_layer_ops bp_layer_concatenate;
const struct bp_layer_ops bp_layer_concatenate = {
    .entry = {.name = "concatenate", .summary = "Joins its inputs along an axis", .params = params, .params_count = PARAMS},
    .inputs_min = 2,
    .inputs_max = BP_INPUTS_MAX,
    .mask = BP_MASK_PASS,
    .members = BP_MEMBERS_PASS,
    .plan = plan,
    .forward = forward,
    .backward = backward,
};

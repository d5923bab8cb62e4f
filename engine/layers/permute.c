/* permute.c - the axes of a sample in another order: a[.., i_d1, i_d2, ..] = x[.., i_1, i_2, ..]. Axis 1 is the first after the batch, as in Keras.
 */
#include "engine/layers/gradient.h"
#include "engine/layers/layer.h"

#include <string.h>

enum { DIMS, PARAMS };

static int plan(struct bp_node *node, struct bp_error *error) {
    char text[64];
    const struct bp_shape *in = &node->in[0];
    const struct bp_value *dims = &node->values[DIMS];
    bool seen[BP_RANK_MAX + 1] = {false};
    for (int32_t k = 0; k < dims->integers_count; k++) {
        const int32_t dim = dims->integers[k];
        if (dim > dims->integers_count || seen[dim])
            return bp_error_set(error, "/dims", "dims must have each of the axes 1 to %d once (1 is the first after the batch), but axis %d %s",
                                (int)dims->integers_count, (int)dim, dim > dims->integers_count ? "is not one of them" : "is there twice");
        seen[dim] = true;
    }
    if (in->rank < 0) return 0;
    if (in->rank != dims->integers_count)
        return bp_error_set(error, "/dims", "dims has %d axes, but the input %s has %d; name each axis once", (int)dims->integers_count,
                            bp_shape_text(in, text, sizeof text), (int)in->rank);
    node->out.rank = in->rank;
    for (int32_t k = 0; k < in->rank; k++) node->out.dims[k] = in->dims[dims->integers[k] - 1];
    if (dims->integers[0] == 1) node->mask = BP_MASK_PASS; /* the steps are where they were */
    return 0;
}

/* The output's axes, four of them, the missing ones in front: sizes, and the distance of their numbers in the input. */
struct axes {
    size_t count[BP_RANK_MAX], step[BP_RANK_MAX];
};

static struct axes axes_of(const struct bp_node *node) {
    const int32_t rank = node->out.rank, *dims = node->values[DIMS].integers, missing = BP_RANK_MAX - rank;
    struct axes s;
    for (int32_t k = 0; k < BP_RANK_MAX; k++) {
        s.count[k] = s.step[k] = 1;
        if (k < missing) continue;
        s.count[k] = (size_t)node->out.dims[k - missing];
        for (int32_t j = dims[k - missing]; j < rank; j++) s.step[k] *= (size_t)node->in[0].dims[j];
    }
    return s;
}

/* For each number of a sample of the output, in order: `from` is read at its place in the input, or, when back, written to. */
static void walk(const struct bp_node *node, const struct bp_pass *pass, bool back) {
    const struct axes s = axes_of(node);
    const size_t size = (size_t)bp_shape_size(&node->out), *n = s.count, *step = s.step;
    for (size_t i = 0; i < (size_t)pass->batch; i++) {
        const bp_real *x = pass->x[0] + i * size;
        bp_real *a = (back ? pass->d_a : pass->a) + i * size, *d_x = back ? pass->d_x[0] + i * size : NULL;
        for (size_t p = 0; p < n[0]; p++)
            for (size_t q = 0; q < n[1]; q++)
                for (size_t r = 0; r < n[2]; r++, a += n[3]) {
                    const size_t at = p * step[0] + q * step[1] + r * step[2];
                    if (back)
                        for (size_t k = 0; k < n[3]; k++) bp_gradient_put(pass->keep_x[0], a[k], &d_x[at + k * step[3]]);
                    else
                        for (size_t k = 0; k < n[3]; k++) a[k] = x[at + k * step[3]];
                }
    }
}

static void forward(const struct bp_node *node, const struct bp_pass *pass) {
    walk(node, pass, false);
}

static void backward(const struct bp_node *node, const struct bp_pass *pass) {
    if (pass->d_x[0]) walk(node, pass, true);
}

static const struct bp_param params[PARAMS] = {
    [DIMS] = {.name = "dims",
              .type = BP_PARAM_INTEGERS,
              .help = "The axes of the input in their new order; 1 is the first after the batch",
              .min = 1,
              .max = BP_RANK_MAX,
              .flags = BP_PARAM_REQUIRED},
};

extern const struct bp_layer_ops bp_layer_permute;
const struct bp_layer_ops bp_layer_permute = {
    .entry = {.name = "permute", .summary = "Puts the axes in another order", .params = params, .params_count = PARAMS},
    .inputs_min = 1,
    .inputs_max = 1,
    .plan = plan,
    .forward = forward,
    .backward = backward,
};

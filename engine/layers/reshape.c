/* reshape.c - another shape over the same memory: target_shape, in which one dimension may be -1 and is then worked out. */
#include "engine/layers/layer.h"

enum { TARGET_SHAPE, PARAMS };

static int plan(struct bp_node *node, struct bp_error *error) {
    const struct bp_value *value = &node->values[TARGET_SHAPE];
    const int64_t size = bp_shape_size(&node->in[0]);
    int64_t product = 1;
    int32_t open = -1;
    char text[64];
    node->out = (struct bp_shape){.rank = value->integers_count};
    for (int32_t i = 0; i < value->integers_count; i++) {
        const int32_t dim = value->integers[i];
        node->out.dims[i] = dim;
        if (dim == 0) return bp_error_set(error, "/target_shape", "a dimension of target_shape is 0; expected positive integers, or -1 once");
        if (dim < 0 && open >= 0)
            return bp_error_set(error, "/target_shape", "target_shape has -1 more than once; only one dimension can be inferred");
        if (dim < 0) open = i;
        else product *= dim;
        if (product > INT32_MAX) return bp_error_set(error, "/target_shape", "target_shape has more than 2^31 - 1 numbers");
    }
    if (open >= 0) node->out.dims[open] = 0;
    if (!size) return 0;
    if (open >= 0 ? size % product != 0 : size != product)
        return bp_error_set(error, "/target_shape", "target_shape needs %s%lld numbers, but the input %s has %lld", open >= 0 ? "a multiple of " : "",
                            (long long)product, bp_shape_text(&node->in[0], text, sizeof text), (long long)size);
    if (open >= 0) node->out.dims[open] = (int32_t)(size / product);
    return 0;
}

static const struct bp_param params[PARAMS] = {
    [TARGET_SHAPE] = {.name = "target_shape",
                      .type = BP_PARAM_INTEGERS,
                      .help = "Shape of one sample; one dimension may be -1",
                      .min = -1,
                      .max = INT32_MAX,
                      .flags = BP_PARAM_REQUIRED},
};

extern const struct bp_layer_ops bp_layer_reshape;
const struct bp_layer_ops bp_layer_reshape = {
    .entry = {.name = "reshape", .summary = "Changes the shape and keeps the values", .params = params, .params_count = PARAMS},
    .inputs_min = 1,
    .inputs_max = 1,
    .view = true,
    .plan = plan,
};

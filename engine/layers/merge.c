/* merge.c - see merge.h. */
#include "engine/layers/merge.h"

int bp_merge_shape(const struct bp_node *node, struct bp_shape *shape, struct bp_error *error) {
    char first[64], other[64];
    *shape = node->in[0];
    for (int32_t i = 1; i < node->inputs_count; i++) {
        const struct bp_shape *in = &node->in[i];
        if (in->rank < 0) continue;
        if (shape->rank < 0) *shape = *in;
        bool same = shape->rank == in->rank;
        for (int32_t k = 0; same && k < in->rank; k++) {
            same = shape->dims[k] == in->dims[k] || shape->dims[k] <= 0 || in->dims[k] <= 0;
            if (shape->dims[k] <= 0) shape->dims[k] = in->dims[k];
        }
        if (!same)
            return bp_error_set(error, "/inputs", "all inputs of %s must have the same shape, but input 0 has %s and input %d has %s",
                                node->ops->entry.name, bp_shape_text(&node->in[0], first, sizeof first), (int)i,
                                bp_shape_text(in, other, sizeof other));
    }
    return 0;
}

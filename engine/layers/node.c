/* node.c - what the plan of any layer does to its node: adds tensors, takes the activation that was asked for. */
#include "engine/layers/layer.h"

#include <stdio.h>
#include <string.h>

struct bp_tensor *bp_node_tensor(struct bp_node *node, const char *name, int32_t rank, const int32_t *dims) {
    struct bp_tensor *tensor = &node->tensors[node->tensors_count++];
    *tensor = (struct bp_tensor){.shape.rank = rank};
    snprintf(tensor->name, sizeof tensor->name, "%s", name);
    memcpy(tensor->shape.dims, dims, (size_t)rank * sizeof *dims);
    return tensor;
}

void bp_node_activate(struct bp_node *node, const struct bp_value *asked) {
    const struct bp_activation_ops *f = (const struct bp_activation_ops *)asked->entry;
    if (!f || f->identity) return;
    node->activation = f;
    memcpy(node->activation_numbers, asked->entry_numbers, sizeof node->activation_numbers);
}

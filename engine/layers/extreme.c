/* extreme.c - see extreme.h. */
#include "engine/layers/extreme.h"

#include <string.h>

int bp_extreme_plan(struct bp_node *node, struct bp_error *error) {
    if (bp_merge_shape(node, &node->out, error)) return -1;
    node->scratch = 2 * (size_t)bp_shape_size(&node->out); /* how many inputs have the extreme; one input, then its gradient */
    return 0;
}

/* NaN in one input is NaN in the output. */
void bp_extreme_forward(const struct bp_node *node, const struct bp_pass *pass, bool least) {
    const size_t n = bp_merge_size(node, pass);
    bp_real *a = pass->a;
    const bp_real *first = bp_merge_operand(node, pass, 0, a);
    if (first != a) memcpy(a, first, n * sizeof *a);
    for (int32_t i = 1; i < node->inputs_count; i++) {
        const bp_real *x = bp_merge_operand(node, pass, i, pass->scratch);
        for (size_t k = 0; k < n; k++)
            if (a[k] == a[k] && !(least ? a[k] < x[k] : a[k] > x[k])) a[k] = x[k];
    }
}

/* d_x_i = d_a where x_i is the extreme, divided by how many inputs are (as torch.amax does), 0 elsewhere. */
void bp_extreme_backward(const struct bp_node *node, const struct bp_pass *pass) {
    const size_t n = bp_merge_size(node, pass);
    bp_real *count = pass->scratch, *room = count + n; /* (B, out...) each */
    memset(count, 0, n * sizeof *count);
    for (int32_t i = 0; i < node->inputs_count; i++) {
        const bp_real *x = bp_merge_operand(node, pass, i, room);
        for (size_t k = 0; k < n; k++) count[k] += x[k] == pass->a[k] ? 1 : 0;
    }
    for (int32_t i = 0; i < node->inputs_count; i++) {
        if (!pass->d_x[i]) continue;
        const bp_real *x = bp_merge_operand(node, pass, i, room);
        for (size_t k = 0; k < n; k++) room[k] = x[k] == pass->a[k] ? pass->d_a[k] / count[k] : 0;
        bp_merge_gradient(node, pass, i, room);
    }
}

/* activate.c - the activation of a layer, whether it is a plain function or has learned slopes (prelu): the one place that knows the difference.
 * Shapes: (rows, width), width the last axis; slopes alpha (width).
 *
 * prelu (He, Zhang, Ren, Sun 2015): a = z where z >= 0, alpha z elsewhere; d_alpha = sum over rows of d_a z where z < 0. */
#include "engine/activations/activation.h"
#include "engine/initializers/initializer.h"
#include "engine/layers/gradient.h"
#include "engine/layers/layer.h"

#include <string.h>

/* The slope of the activation's parameter; plan leaves it in fan_in. */
static void fill_slopes(const struct bp_tensor *tensor, struct bp_random *random, bp_real *W, size_t n) {
    (void)random;
    for (size_t i = 0; i < n; i++) W[i] = (bp_real)tensor->fan_in;
}

static const struct bp_initializer_ops initial_slope = {.entry = {.name = "slope"}, .fill = fill_slopes};

int bp_node_slopes(struct bp_node *node, struct bp_error *error) {
    const struct bp_activation_ops *f = node->activation;
    node->slopes = -1;
    if (!f || !f->learned || node->out.rank < 1 || node->out.dims[node->out.rank - 1] <= 0) return 0;
    if (node->tensors_count == BP_TENSORS_MAX)
        return bp_error_set(error, "/activation", "%s does not support trainable slopes", node->ops->entry.name);
    node->slopes = node->tensors_count;
    struct bp_tensor *alpha = bp_node_tensor(node, "alpha", 1, &node->out.dims[node->out.rank - 1]);
    alpha->initializer = &initial_slope;
    alpha->fan_in = node->activation_numbers[0];
    return 0;
}

void bp_node_forward_activation(const struct bp_node *node, const struct bp_pass *pass, const size_t size[2], const bp_real *z, bp_real *a) {
    const struct bp_activation_ops *f = node->activation;
    const size_t rows = size[0], width = size[1];
    if (!f->learned) {
        f->forward(node->activation_numbers, rows, width, z, a);
        return;
    }
    const bp_real *alpha = pass->W[node->slopes]; /* (width) */
    for (size_t i = 0; i < rows; i++, z += width, a += width)
        for (size_t j = 0; j < width; j++) a[j] = z[j] < 0 ? alpha[j] * z[j] : z[j];
}

void bp_node_backward_activation(const struct bp_node *node, const struct bp_pass *pass, const size_t size[2], const struct bp_activated *with) {
    const struct bp_activation_ops *f = node->activation;
    const size_t rows = size[0], width = size[1];
    if (!f->learned) {
        f->backward(node->activation_numbers, rows, width, with->z, with->a, with->d_a, with->d_z);
        return;
    }
    const bp_real *alpha = pass->W[node->slopes], *z = with->z, *d_a = with->d_a;
    bp_real *d_alpha = pass->d_W[node->slopes], *d_z = with->d_z;
    bp_gradient_begin(pass->keep_W || with->more, width, d_alpha);
    for (size_t i = 0; i < rows; i++, z += width, d_a += width, d_z += width)
        for (size_t j = 0; j < width; j++) {
            const bp_real d = d_a[j];
            if (z[j] < 0) d_alpha[j] += d * z[j];
            d_z[j] = z[j] < 0 ? alpha[j] * d : d;
        }
}

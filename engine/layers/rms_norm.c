/* rms_norm.c - a = gamma x / sqrt(mean(x^2) + epsilon), the mean along the last axis of each row (Zhang, Sennrich 2019); x, a (B, ..., width),
 * gamma (width). */
#include "engine/initializers/initializer.h"
#include "engine/kernels/kernels.h"
#include "engine/layers/gradient.h"
#include "engine/layers/layer.h"

#include <math.h>

enum { EPSILON, PARAMS };

extern const struct bp_initializer_ops bp_initializer_ones;

static int plan(struct bp_node *node, struct bp_error *error) {
    const struct bp_shape *in = &node->in[0];
    node->out = *in;
    if (in->rank < 0) return 0;
    if (in->rank == 0) return bp_error_set(error, "", "rms_norm needs an input of at least one axis, but got a single number ()");
    const int32_t width = in->dims[in->rank - 1];
    if (width <= 0) return 0;
    bp_node_tensor(node, "gamma", 1, &width)->initializer = &bp_initializer_ones;
    node->memo = (size_t)bp_shape_size(in) / (size_t)width; /* 1 / root of each row */
    return 0;
}

static void forward(const struct bp_node *node, const struct bp_pass *pass) {
    const size_t width = (size_t)node->out.dims[node->out.rank - 1], rows = (size_t)pass->batch * (size_t)bp_shape_size(&node->out) / width;
    for (size_t i = 0; i < rows; i++) {
        const bp_real *x = pass->x[0] + i * width, *gamma = pass->W[0];
        const double squares = bp_kernels()->sum_squares(width, x);
        const bp_real inverse = (bp_real)(1 / sqrt(squares / (double)width + node->values[EPSILON].number));
        for (size_t j = 0; j < width; j++) pass->a[i * width + j] = x[j] * inverse * gamma[j];
        if (pass->memo) pass->memo[i] = inverse;
    }
}

/* With n = x / root and d_n = d_a gamma:  d_x = (d_n - n mean(d_n n)) / root. */
static void backward(const struct bp_node *node, const struct bp_pass *pass) {
    const size_t width = (size_t)node->out.dims[node->out.rank - 1], rows = (size_t)pass->batch * (size_t)bp_shape_size(&node->out) / width;
    bp_gradient_begin(pass->keep_W, width, pass->d_W[0]);
    for (size_t i = 0; i < rows; i++) {
        const bp_real *x = pass->x[0] + i * width, *d = pass->d_a + i * width, *gamma = pass->W[0], inverse = pass->memo[i];
        double product = 0;
        for (size_t j = 0; j < width; j++) {
            pass->d_W[0][j] += d[j] * x[j] * inverse;
            product += (double)d[j] * (double)gamma[j] * (double)x[j];
        }
        if (!pass->d_x[0]) continue;
        const bp_real along = (bp_real)(product / (double)width) * inverse * inverse;
        for (size_t j = 0; j < width; j++) bp_gradient_put(pass->keep_x[0], (d[j] * gamma[j] - x[j] * along) * inverse, &pass->d_x[0][i * width + j]);
    }
}

static const struct bp_param params[PARAMS] = {
    [EPSILON] = {.name = "epsilon",
                 .type = BP_PARAM_NUMBER,
                 .help = "Added to the mean of the squares",
                 .preset = 1e-6,
                 .min = 0,
                 .max = 1,
                 .flags = BP_PARAM_MIN_OPEN},
};

extern const struct bp_layer_ops bp_layer_rms_norm;
const struct bp_layer_ops bp_layer_rms_norm = {
    .entry = {.name = "rms_norm",
              .summary = "Root mean square 1 along the last axis, then a trainable scale",
              .params = params,
              .params_count = PARAMS},
    .inputs_min = 1,
    .inputs_max = 1,
    .mask = BP_MASK_PASS,
    .members = BP_MEMBERS_PASS,
    .plan = plan,
    .forward = forward,
    .backward = backward,
};

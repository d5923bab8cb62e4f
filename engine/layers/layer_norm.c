/* layer_norm.c - a = gamma (x - mean) / sqrt(variance + epsilon) + beta, mean and variance along the last axis of each row
 * (Ba, Kiros, Hinton 2016); x, a (B, ..., width), gamma, beta (width). No state is kept between batches. */
#include "engine/initializers/initializer.h"
#include "engine/kernels/kernels.h"
#include "engine/layers/gradient.h"
#include "engine/layers/norm.h"

#include <math.h>
#include <string.h>

enum { EPSILON, CENTER, SCALE, PARAMS };

extern const struct bp_initializer_ops bp_initializer_ones, bp_initializer_zeros;

static int plan(struct bp_node *node, struct bp_error *error) {
    const struct bp_shape *in = &node->in[0];
    node->out = *in;
    if (in->rank < 0) return 0;
    if (in->rank == 0) return bp_error_set(error, "", "layer_norm needs an input of at least one axis, but got a single number ()");
    const int32_t width = in->dims[in->rank - 1];
    if (width <= 0) return 0;
    if (node->values[SCALE].number != 0) bp_node_tensor(node, "gamma", 1, &width)->initializer = &bp_initializer_ones;
    if (node->values[CENTER].number != 0) bp_node_tensor(node, "beta", 1, &width)->initializer = &bp_initializer_zeros;
    const size_t size = (size_t)bp_shape_size(in);
    node->memo = size + size / (size_t)width; /* the normed x, then 1 / deviation of each row */
    return 0;
}

struct rows {
    size_t count, width;
    bp_real *normed, *inverse;   /* (rows, width), (rows): in memo; NULL in inference */
    const bp_real *gamma, *beta; /* (width) or NULL */
    bp_real *d_gamma, *d_beta;   /* (width) or NULL */
};

static struct rows rows_of(const struct bp_node *node, const struct bp_pass *pass) {
    const size_t width = (size_t)node->out.dims[node->out.rank - 1], total = (size_t)pass->batch * (size_t)bp_shape_size(&node->out);
    struct rows r = {.count = total / width, .width = width, .normed = pass->memo, .inverse = pass->memo ? pass->memo + total : NULL};
    int32_t t = 0;
    if (node->values[SCALE].number != 0) {
        r.gamma = pass->W[t];
        r.d_gamma = pass->d_W[t++];
    }
    if (node->values[CENTER].number != 0) {
        r.beta = pass->W[t];
        r.d_beta = pass->d_W[t];
    }
    return r;
}

static void forward(const struct bp_node *node, const struct bp_pass *pass) {
    const struct rows r = rows_of(node, pass);
    const double epsilon = node->values[EPSILON].number;
    for (size_t i = 0; i < r.count; i++) {
        const bp_real *x = pass->x[0] + i * r.width;
        bp_real *a = pass->a + i * r.width;
        double sum = 0, squares = 0;
        for (size_t j = 0; j < r.width; j++) sum += (double)x[j];
        const double mean = sum / (double)r.width;
        for (size_t j = 0; j < r.width; j++) squares += ((double)x[j] - mean) * ((double)x[j] - mean);
        const bp_real centre = (bp_real)mean, inverse = (bp_real)(1 / sqrt(squares / (double)r.width + epsilon));
        bp_real *normed = r.normed ? r.normed + i * r.width : a;
        for (size_t j = 0; j < r.width; j++) normed[j] = (x[j] - centre) * inverse;
        if (r.inverse) r.inverse[i] = inverse;
        for (size_t j = 0; j < r.width; j++) a[j] = (r.gamma ? normed[j] * r.gamma[j] : normed[j]) + (r.beta ? r.beta[j] : 0);
    }
}

/* With n the normed x and d_n = d_a gamma:  d_x = (d_n - mean(d_n) - n mean(d_n n)) / deviation. */
static void backward(const struct bp_node *node, const struct bp_pass *pass) {
    const struct rows r = rows_of(node, pass);
    if (r.d_beta) bp_kernels()->column_sums(r.count, r.width, pass->d_a, r.d_beta, pass->keep_W);
    if (r.d_gamma) bp_gradient_begin(pass->keep_W, r.width, r.d_gamma);
    for (size_t i = 0; i < r.count; i++) {
        bp_real *d = pass->d_a + i * r.width;
        const bp_real *normed = r.normed + i * r.width;
        double sum = 0, product = 0;
        for (size_t j = 0; r.d_gamma && j < r.width; j++) {
            r.d_gamma[j] += d[j] * normed[j];
            d[j] *= r.gamma[j];
        }
        if (!pass->d_x[0]) continue;
        for (size_t j = 0; j < r.width; j++) {
            sum += (double)d[j];
            product += (double)d[j] * (double)normed[j];
        }
        const bp_real mean = (bp_real)(sum / (double)r.width), along = (bp_real)(product / (double)r.width);
        bp_real *d_x = pass->d_x[0] + i * r.width;
        for (size_t j = 0; j < r.width; j++) {
            const bp_real one = (d[j] - mean - normed[j] * along) * r.inverse[i];
            bp_gradient_put(pass->keep_x[0], one, &d_x[j]);
        }
    }
}

static const struct bp_param params[PARAMS] = {
    [EPSILON] = BP_NORM_EPSILON_PARAM,
    [CENTER] = BP_NORM_CENTER_PARAM,
    [SCALE] = BP_NORM_SCALE_PARAM,
};

extern const struct bp_layer_ops bp_layer_layer_norm;
const struct bp_layer_ops bp_layer_layer_norm = {
    .entry = {.name = "layer_norm",
              .summary = "Mean 0 and variance 1 along the last axis, then a trainable scale and offset",
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

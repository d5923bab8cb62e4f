/* group_norm.c - a = gamma (x - mean) / sqrt(variance + epsilon) + beta, mean and variance of each sample over all cells of a group of channels
 * (Wu, He 2018); x, a (B, ..., C), gamma, beta (C). A group per channel is instance normalization. No state is kept between batches. */
#include "engine/initializers/initializer.h"
#include "engine/kernels/kernels.h"
#include "engine/layers/gradient.h"
#include "engine/layers/norm.h"

#include <math.h>

enum { GROUPS, EPSILON, CENTER, SCALE, PARAMS };

extern const struct bp_initializer_ops bp_initializer_ones, bp_initializer_zeros;

static int plan(struct bp_node *node, struct bp_error *error) {
    const struct bp_shape *in = &node->in[0];
    const int32_t asked = (int32_t)node->values[GROUPS].number;
    node->out = *in;
    if (asked == 0) return bp_error_set(error, "/groups", "groups is 0; expected a divisor of the channels, or -1 for a group per channel");
    if (in->rank < 0) return 0;
    if (in->rank == 0) return bp_error_set(error, "", "group_norm needs an input of at least one axis, but got a single number ()");
    const int32_t C = in->dims[in->rank - 1], groups = asked < 0 ? C : asked;
    if (C <= 0) return 0;
    if (C % groups)
        return bp_error_set(error, "/groups", "%d groups do not divide the %d channels of the input; use a divisor, or -1 for a group per channel",
                            (int)groups, (int)C);
    if (node->values[SCALE].number != 0) bp_node_tensor(node, "gamma", 1, &C)->initializer = &bp_initializer_ones;
    if (node->values[CENTER].number != 0) bp_node_tensor(node, "beta", 1, &C)->initializer = &bp_initializer_zeros;
    node->memo = (size_t)bp_shape_size(in) + (size_t)groups; /* the normed x, then 1 / deviation of each group */
    return 0;
}

struct norm {
    size_t cells, C, groups, each; /* each: channels of a group */
    bp_real *normed, *inverse;     /* (B, cells, C), (B, groups): in memo; NULL in inference */
    const bp_real *gamma, *beta;   /* (C) or NULL */
    bp_real *d_gamma, *d_beta;     /* (C) or NULL */
};

static struct norm norm_of(const struct bp_node *node, const struct bp_pass *pass) {
    const size_t C = (size_t)node->out.dims[node->out.rank - 1], size = (size_t)bp_shape_size(&node->out);
    const double asked = node->values[GROUPS].number;
    struct norm n = {.cells = size / C, .C = C, .groups = asked < 0 ? C : (size_t)asked};
    int32_t t = 0;
    n.each = C / n.groups;
    n.normed = pass->memo;
    n.inverse = pass->memo ? pass->memo + (size_t)pass->batch * size : NULL;
    if (node->values[SCALE].number != 0) {
        n.gamma = pass->W[t];
        n.d_gamma = pass->d_W[t++];
    }
    if (node->values[CENTER].number != 0) {
        n.beta = pass->W[t];
        n.d_beta = pass->d_W[t];
    }
    return n;
}

/* One group of one sample: x, normed, a at its first number. Returns 1 / deviation. */
static bp_real normalize(const struct norm *n, double epsilon, const bp_real *x, bp_real *normed) {
    const double count = (double)(n->cells * n->each);
    double sum = 0, squares = 0;
    for (size_t i = 0; i < n->cells; i++)
        for (size_t j = 0; j < n->each; j++) sum += (double)x[i * n->C + j];
    const double mean = sum / count;
    for (size_t i = 0; i < n->cells; i++)
        for (size_t j = 0; j < n->each; j++) squares += ((double)x[i * n->C + j] - mean) * ((double)x[i * n->C + j] - mean);
    const bp_real centre = (bp_real)mean, inverse = (bp_real)(1 / sqrt(squares / count + epsilon));
    for (size_t i = 0; i < n->cells; i++)
        for (size_t j = 0; j < n->each; j++) normed[i * n->C + j] = (x[i * n->C + j] - centre) * inverse;
    return inverse;
}

static void forward(const struct bp_node *node, const struct bp_pass *pass) {
    const struct norm n = norm_of(node, pass);
    const size_t size = n.cells * n.C;
    bp_real *normed = n.normed ? n.normed : pass->a;
    for (size_t b = 0; b < (size_t)pass->batch; b++)
        for (size_t g = 0; g < n.groups; g++) {
            const size_t at = b * size + g * n.each;
            const bp_real inverse = normalize(&n, node->values[EPSILON].number, pass->x[0] + at, normed + at);
            if (n.inverse) n.inverse[b * n.groups + g] = inverse;
        }
    for (size_t i = 0; i < (size_t)pass->batch * n.cells; i++)
        for (size_t c = 0; c < n.C; c++) {
            const bp_real one = normed[i * n.C + c];
            pass->a[i * n.C + c] = (n.gamma ? one * n.gamma[c] : one) + (n.beta ? n.beta[c] : 0);
        }
}

/* With n the normed x and d_n = d_a gamma:  d_x = (d_n - mean(d_n) - n mean(d_n n)) / deviation. */
static void backward(const struct bp_node *node, const struct bp_pass *pass) {
    const struct norm n = norm_of(node, pass);
    const size_t rows = (size_t)pass->batch * n.cells, size = n.cells * n.C;
    const double count = (double)(n.cells * n.each);
    if (n.d_beta) bp_kernels()->column_sums(rows, n.C, pass->d_a, n.d_beta, pass->keep_W);
    if (n.d_gamma) bp_gradient_begin(pass->keep_W, n.C, n.d_gamma);
    for (size_t i = 0; n.d_gamma && i < rows; i++)
        for (size_t c = 0; c < n.C; c++) {
            n.d_gamma[c] += pass->d_a[i * n.C + c] * n.normed[i * n.C + c];
            pass->d_a[i * n.C + c] *= n.gamma[c];
        }
    for (size_t b = 0; pass->d_x[0] && b < (size_t)pass->batch; b++)
        for (size_t g = 0; g < n.groups; g++) {
            const size_t at = b * size + g * n.each;
            const bp_real *d = pass->d_a + at, *normed = n.normed + at, inverse = n.inverse[b * n.groups + g];
            double sum = 0, product = 0;
            for (size_t i = 0; i < n.cells; i++)
                for (size_t j = i * n.C; j < i * n.C + n.each; j++) {
                    sum += (double)d[j];
                    product += (double)d[j] * (double)normed[j];
                }
            const bp_real mean = (bp_real)(sum / count), along = (bp_real)(product / count);
            for (size_t i = 0; i < n.cells; i++)
                for (size_t j = i * n.C; j < i * n.C + n.each; j++)
                    bp_gradient_put(pass->keep_x[0], (d[j] - mean - normed[j] * along) * inverse, &pass->d_x[0][at + j]);
        }
}

static const struct bp_param params[PARAMS] = {
    [GROUPS] = {.name = "groups",
                .type = BP_PARAM_INTEGER,
                .help = "Groups of channels, a divisor of their number; -1: each channel is one",
                .preset = 32,
                .min = -1,
                .max = 65536},
    [EPSILON] = BP_NORM_EPSILON_PARAM,
    [CENTER] = BP_NORM_CENTER_PARAM,
    [SCALE] = BP_NORM_SCALE_PARAM,
};

extern const struct bp_layer_ops bp_layer_group_norm;
const struct bp_layer_ops bp_layer_group_norm = {
    .entry = {.name = "group_norm",
              .summary = "Mean 0 and variance 1 of each sample over groups of channels, then a trainable scale and offset",
              .params = params,
              .params_count = PARAMS},
    .inputs_min = 1,
    .inputs_max = 1,
    .plan = plan,
    .forward = forward,
    .backward = backward,
};

/* piecewise_linear_embedding.c - each number becomes a vector by a piecewise linear function of its own, with knots at the quantiles of the training
 * rows (Gorishniy, Rubachev, Babenko 2022, arXiv 2203.05556): x (B, features), a (B, features D), D = output_dim.
 *
 * The bin t of a feature has the edges e_t < e_t+1; r = (x - e_t) / (e_t+1 - e_t). The encoding of x is 1 in the bins before its own, r in its own, 0
 * behind it; r is not limited in the first and in the last bin, up to as many widths outside as there are bins. Then comes a linear map of each
 * feature, with K (features, bins, D) and b (features, D):
 *   a = b + sum over j < t of K_j + r K_t = P_t + r K_t,   so that prefix sums P of K leave two rows of D for a number.
 * Backward: with S_t, R_t the sums of d_a and r d_a over the numbers in bin t:  d_K_j = R_j + sum over t > j of S_t,  d_b = sum of S_t.
 *
 * `edges` (features, bins + 1) ascend; where quantiles are tied there are fewer, and the last one repeats. A constant feature has r = 0. */
#include "engine/kernels/kernels.h"
#include "engine/layers/gradient.h"
#include "engine/layers/layer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BINS, OUTPUT_DIM, ACTIVATION, USE_BIAS, PARAMS };
enum { EDGES, KERNEL, BIAS };

/* Evenly from -2 to 2, until data says better. */
static void fill_edges(const struct bp_tensor *tensor, struct bp_random *random, bp_real *W, size_t n) {
    const size_t edges = (size_t)tensor->shape.dims[1];
    (void)random;
    for (size_t i = 0; i < n; i++) W[i] = (bp_real)(-2 + 4 * (double)(i % edges) / (double)(edges - 1));
}

static const struct bp_initializer_ops even = {.entry = {.name = "even"}, .fill = fill_edges};

static int plan(struct bp_node *node, struct bp_error *error) {
    char text[64];
    const struct bp_shape *in = &node->in[0];
    const int32_t bins = (int32_t)node->values[BINS].number, width = (int32_t)node->values[OUTPUT_DIM].number;
    bp_node_activate(node, &node->values[ACTIVATION]);
    if (in->rank < 0) return 0;
    if (in->rank != 1)
        return bp_error_set(error, "", "piecewise_linear_embedding needs an input of numbers side by side, a shape like (20), but got %s",
                            bp_shape_text(in, text, sizeof text));
    node->out = (struct bp_shape){.rank = 1};
    if (in->dims[0] <= 0) return 0;
    const int32_t features = in->dims[0];
    if ((int64_t)features * (bins + 1) * width > INT32_MAX)
        return bp_error_set(error, "/output_dim", "a kernel of %d x %d x %d has more than 2^31 - 1 numbers; use a smaller output_dim", (int)features,
                            (int)bins, (int)width);
    node->out.dims[0] = features * width;
    struct bp_tensor *edges = bp_node_tensor(node, "edges", 2, (const int32_t[]){features, bins + 1});
    edges->initializer = &even;
    edges->state = true;
    struct bp_tensor *kernel = bp_node_tensor(node, "kernel", 3, (const int32_t[]){features, bins, width});
    kernel->initializer = &bp_initializer_by_fan_in;
    kernel->fan_in = bins;
    kernel->penalised = true;
    kernel->parts = features;
    if (node->values[USE_BIAS].number != 0) {
        struct bp_tensor *bias = bp_node_tensor(node, "bias", 2, (const int32_t[]){features, width});
        bias->bias = true;
        bias->initializer = &bp_initializer_by_fan_in;
        bias->fan_in = bins;
    }
    node->fits = true;
    node->memo = 2 * (size_t)features + (node->activation && node->activation->needs_z ? (size_t)features * (size_t)width : 0);
    node->shared_scratch = (size_t)features * (size_t)bins * (size_t)width;
    return 0;
}

/* ---- bins -------------------------------------------------------------------------------------------------------- */

static int ascending(const void *a, const void *b) {
    const bp_real x = *(const bp_real *)a, y = *(const bp_real *)b;
    return (x > y) - (x < y);
}

/* Quantiles 0, 1 / bins, ... 1 of n sorted numbers, interpolated; ties collapse. */
static void place_edges(int32_t bins, const bp_real *sorted, int32_t n, bp_real *edges) {
    int32_t count = 0;
    for (int32_t k = 0; k <= bins; k++) {
        const double at = (double)(n - 1) * k / bins;
        const int32_t low = (int32_t)at, high = low + 1 < n ? low + 1 : low;
        const double edge = (double)sorted[low] + (at - low) * ((double)sorted[high] - (double)sorted[low]);
        if (count == 0 || (bp_real)edge > edges[count - 1]) edges[count++] = (bp_real)edge;
    }
    for (; count <= bins; count++) edges[count] = edges[count - 1];
}

static void fit(const struct bp_node *node, const struct bp_fit *with) {
    const int32_t bins = (int32_t)node->values[BINS].number;
    const size_t features = (size_t)node->in[0].dims[0];
    for (size_t f = 0; f < features; f++) {
        int32_t n = 0;
        for (int32_t i = 0; i < with->rows; i++) {
            const bp_real x = with->x[(size_t)i * features + f];
            if (isfinite(x)) with->scratch[n++] = x;
        }
        if (n == 0) with->scratch[n++] = 0;
        qsort(with->scratch, (size_t)n, sizeof *with->scratch, ascending);
        place_edges(bins, with->scratch, n, with->W[EDGES] + f * (size_t)(bins + 1));
    }
}

/* ---- the pass ---------------------------------------------------------------------------------------------------- */

struct sizes {
    size_t features, bins, width, out;
};

static struct sizes sizes_of(const struct bp_node *node) {
    return (struct sizes){.features = (size_t)node->in[0].dims[0],
                          .bins = (size_t)node->values[BINS].number,
                          .width = (size_t)node->values[OUTPUT_DIM].number,
                          .out = (size_t)node->out.dims[0]};
}

/* P (features, bins, D). */
static void add_prefixes(const struct sizes *s, const bp_real *restrict K, const bp_real *bias, bp_real *restrict P) {
    for (size_t f = 0; f < s->features; f++, K += s->bins * s->width, P += s->bins * s->width) {
        for (size_t d = 0; d < s->width; d++) P[d] = bias ? bias[f * s->width + d] : 0;
        for (size_t d = s->width; d < s->bins * s->width; d++) P[d] = P[d - s->width] + K[d - s->width];
    }
}

/* The copy of z for the backward pass: apart from a when the derivative needs it. */
static bp_real *z_of(const struct bp_node *node, const struct bp_pass *pass, const struct sizes *s) {
    return pass->memo && node->activation && node->activation->needs_z ? pass->memo + 2 * (size_t)pass->batch * s->features : pass->a;
}

static void forward(const struct bp_node *node, const struct bp_pass *pass) {
    const struct sizes s = sizes_of(node);
    const size_t rows = (size_t)pass->batch;
    bp_real *z = z_of(node, pass, &s); /* (B, out) */
    add_prefixes(&s, pass->W[KERNEL], bp_node_has(node, BIAS) ? pass->W[BIAS] : NULL, pass->shared_scratch);
    for (size_t i = 0; i < rows; i++)
        bp_kernels()->pieces(&(struct bp_pieces){.features = s.features,
                                                 .bins = s.bins,
                                                 .width = s.width,
                                                 .x = pass->x[0] + i * s.features,
                                                 .edges = pass->W[EDGES],
                                                 .prefix = pass->shared_scratch,
                                                 .kernel = pass->W[KERNEL],
                                                 .places = pass->memo ? pass->memo + 2 * i * s.features : NULL,
                                                 .z = z + i * s.out});
    if (node->activation) bp_node_forward_activation(node, pass, (const size_t[]){rows, s.out}, z, pass->a);
}

/* S and R of the numbers of one row; S (features, bins, D) in shared_scratch, R in d_W. */
static void gather_row(const struct sizes *s, const bp_real *memo, const bp_real *restrict d_z, bp_real *restrict S, bp_real *restrict R) {
    for (size_t f = 0; f < s->features; f++, d_z += s->width) {
        const size_t at = (f * s->bins + (size_t)memo[2 * f]) * s->width;
        const bp_real r = memo[2 * f + 1];
        for (size_t d = 0; d < s->width; d++) {
            S[at + d] += d_z[d];
            R[at + d] += r * d_z[d];
        }
    }
}

/* R gains the suffix sums of S; S_0 becomes the sum of all. */
static void add_suffixes(const struct sizes *s, bp_real *restrict S, bp_real *restrict R) {
    for (size_t f = 0; f < s->features; f++, S += s->bins * s->width, R += s->bins * s->width)
        for (size_t d = (s->bins - 1) * s->width; d-- > 0;) {
            R[d] += S[d + s->width];
            S[d] += S[d + s->width];
        }
}

/* d_x = (K_t d_z) / (e_t+1 - e_t); 0 beyond the limits of r. */
static void backward_input(const struct sizes *s, const struct bp_pass *pass, size_t i, const bp_real *d_z, bp_real *d_x) {
    const bp_real *memo = pass->memo + 2 * i * s->features, far = (bp_real)s->bins;
    for (size_t f = 0; f < s->features; f++, d_z += s->width) {
        const size_t t = (size_t)memo[2 * f];
        const bp_real *K = pass->W[KERNEL] + (f * s->bins + t) * s->width, *edges = pass->W[EDGES] + f * (s->bins + 1);
        const bool moves = memo[2 * f + 1] > -far && memo[2 * f + 1] < far + 1 && edges[t + 1] > edges[t];
        bp_real sum = 0;
        for (size_t d = 0; moves && d < s->width; d++) sum += K[d] * d_z[d];
        bp_gradient_put(pass->keep_x[0], moves ? sum / (edges[t + 1] - edges[t]) : 0, &d_x[f]);
    }
}

static void backward(const struct bp_node *node, const struct bp_pass *pass) {
    const struct sizes s = sizes_of(node);
    const size_t rows = (size_t)pass->batch, n = s.out * s.bins;
    const struct bp_activation_ops *f = node->activation;
    bp_real *S = pass->shared_scratch, *R = pass->d_W[KERNEL], *d_z = pass->d_a; /* (B, out) */
    const struct bp_activated with = {.z = f && f->needs_z ? z_of(node, pass, &s) : NULL, .a = pass->a, .d_a = d_z, .d_z = d_z};
    if (f) bp_node_backward_activation(node, pass, (const size_t[]){rows, s.out}, &with);
    memset(S, 0, n * sizeof *S);
    bp_gradient_begin(pass->keep_W, n, R);
    for (size_t i = 0; i < rows; i++) {
        gather_row(&s, pass->memo + 2 * i * s.features, d_z + i * s.out, S, R);
        if (pass->d_x[0]) backward_input(&s, pass, i, d_z + i * s.out, pass->d_x[0] + i * s.features);
    }
    add_suffixes(&s, S, R);
    for (size_t k = 0; bp_node_has(node, BIAS) && k < s.features; k++)
        bp_gradient_write(pass->keep_W, s.width, S + k * s.bins * s.width, pass->d_W[BIAS] + k * s.width);
}

static const struct bp_param params[PARAMS] = {
    [BINS] = {.name = "bins",
              .type = BP_PARAM_INTEGER,
              .help = "Pieces of the function, between quantiles of the training rows",
              .preset = 16,
              .min = 1,
              .max = 1024},
    [OUTPUT_DIM] = {.name = "output_dim", .type = BP_PARAM_INTEGER, .help = "Size of the vector of a number", .preset = 8, .min = 1, .max = 4096},
    [ACTIVATION] = {.name = "activation",
                    .type = BP_PARAM_ENTRY,
                    .help = "Activation applied to the vectors",
                    .family = &bp_activations,
                    .preset_name = "linear"},
    [USE_BIAS] = {.name = "use_bias", .type = BP_PARAM_BOOLEAN, .help = "Add a trainable bias to each vector", .preset = 1},
};

extern const struct bp_layer_ops bp_layer_piecewise_linear_embedding;
const struct bp_layer_ops bp_layer_piecewise_linear_embedding = {
    .entry = {.name = "piecewise_linear_embedding",
              .summary = "A trainable vector for each number of a table, piecewise linear between quantiles",
              .params = params,
              .params_count = PARAMS},
    .inputs_min = 1,
    .inputs_max = 1,
    .plan = plan,
    .forward = forward,
    .backward = backward,
    .fit = fit,
};

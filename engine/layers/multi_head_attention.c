/* multi_head_attention.c - self-attention (Vaswani et al. 2017): x, a (B, T, D). Per head, of key_dim numbers, with q = x W_q + b_q and so on:
 *   P = softmax(q k^T / sqrt(key_dim)), T x T;  o = P v;  a = (all heads' o) W_o + b_o.
 * W_q, W_k, W_v (D, heads key_dim), W_o (heads key_dim, D): Keras's kernels, with heads and key_dim as one axis. With a causal mask a step sees
 * itself and those before it; masked steps are attended by none. Order: plan, sizes, products, forward, backward. */
#include "engine/initializers/initializer.h"
#include "engine/kernels/kernels.h"
#include "engine/layers/layer.h"
#include "engine/layers/linear.h"

#include <math.h>
#include <string.h>

enum { NUM_HEADS, KEY_DIM, USE_BIAS, USE_CAUSAL_MASK, KERNEL_INITIALIZER, PARAMS };
enum { QUERY, KEY, VALUE, OUTPUT, ROLES };
#define HIDDEN -1e30 /* score of a step that is padding: finite, so that a row of nothing else is a number */

extern const struct bp_initializer_ops bp_initializer_zeros;

/* ---- plan -------------------------------------------------------------------------------------------------------- */

static void add_tensors(struct bp_node *node, int32_t D, int32_t P) {
    static const char *const kernels[ROLES] = {"query_kernel", "key_kernel", "value_kernel", "output_kernel"};
    static const char *const biases[ROLES] = {"query_bias", "key_bias", "value_bias", "output_bias"};
    for (int32_t i = 0; i < ROLES; i++) {
        const int32_t in = i == OUTPUT ? P : D, out = i == OUTPUT ? D : P;
        struct bp_tensor *kernel = bp_node_tensor(node, kernels[i], 2, (const int32_t[]){in, out});
        bp_tensor_initialize(kernel, &node->values[KERNEL_INITIALIZER]);
        kernel->fan_in = in;
        kernel->fan_out = out;
        kernel->penalised = true;
        kernel->product = BP_PRODUCT_MATRIX;
    }
    for (int32_t i = 0; i < ROLES && node->values[USE_BIAS].number != 0; i++)
        bp_node_tensor(node, biases[i], 1, i == OUTPUT ? &D : &P)->initializer = &bp_initializer_zeros;
}

static int32_t key_dim_of(const struct bp_node *node) {
    const int32_t asked = (int32_t)node->values[KEY_DIM].number, D = node->in[0].dims[1];
    return asked ? asked : D / (int32_t)node->values[NUM_HEADS].number;
}

static int plan(struct bp_node *node, struct bp_error *error) {
    char text[64];
    const struct bp_shape *in = &node->in[0];
    const int32_t heads = (int32_t)node->values[NUM_HEADS].number;
    node->out = *in;
    if (in->rank < 0) return 0;
    if (in->rank != 2)
        return bp_error_set(error, "", "multi_head_attention needs an input (steps, features), but got %s", bp_shape_text(in, text, sizeof text));
    const int64_t T = in->dims[0], D = in->dims[1];
    if (D <= 0) return 0;
    if (node->values[KEY_DIM].number == 0 && D % heads)
        return bp_error_set(error, "/num_heads", "%d heads do not divide the %d features of the input; use another number, or give key_dim",
                            (int)heads, (int)D);
    const int64_t P = (int64_t)heads * key_dim_of(node);
    if (P * D > INT32_MAX || P * T > INT32_MAX || T * T > INT32_MAX / heads)
        return bp_error_set(error, "/num_heads", "%d heads of %d over an input of %s have more than 2^31 - 1 numbers; use fewer or smaller ones",
                            (int)heads, (int)key_dim_of(node), bp_shape_text(in, text, sizeof text));
    add_tensors(node, in->dims[1], (int32_t)P);
    node->positions = (int32_t)T;
    if (T <= 0) return 0;
    node->memo = node->scratch = (size_t)(4 * T * P + heads * T * T); /* q, k, v, o, P; or the gradients of the first four */
    node->shared_scratch = (size_t)(T * T);
    return 0;
}

/* ---- sizes ------------------------------------------------------------------------------------------------------- */

struct sizes {
    int32_t B, T, D, heads, each, P; /* each: key_dim; P: heads key_dim */
    bool biased, causal;
    bp_real scale;           /* 1 / sqrt(key_dim) */
    bp_real *parts[ROLES];   /* q, k, v, o: (B, T, P) */
    bp_real *shares;         /* (B, heads, T, T) */
    bp_real *d_parts[ROLES]; /* of backward */
};

static struct sizes sizes_of(const struct bp_node *node, const struct bp_pass *pass) {
    struct sizes s = {.B = pass->batch, .T = node->in[0].dims[0], .D = node->in[0].dims[1], .each = key_dim_of(node)};
    s.heads = (int32_t)node->values[NUM_HEADS].number;
    s.P = s.heads * s.each;
    s.biased = node->values[USE_BIAS].number != 0;
    s.causal = node->values[USE_CAUSAL_MASK].number != 0;
    s.scale = (bp_real)(1 / sqrt((double)s.each));
    const size_t part = (size_t)s.B * (size_t)s.T * (size_t)s.P;
    bp_real *kept = pass->memo ? pass->memo : pass->scratch;
    for (size_t i = 0; i < ROLES; i++) {
        s.parts[i] = kept + i * part;
        s.d_parts[i] = pass->scratch + i * part;
    }
    s.shares = kept + ROLES * part;
    return s;
}

/* ---- products ---------------------------------------------------------------------------------------------------- */

/* The product with the kernel of a role: rows (B T, in) of `from`. */
static struct bp_linear product_of(const struct sizes *s, const struct bp_pass *pass, int32_t role, const bp_real *from) {
    struct bp_linear product = bp_linear_of(pass, s->B * s->T, role == OUTPUT ? s->P : s->D, role == OUTPUT ? s->D : s->P);
    product.x = from;
    product.W = pass->W[role];
    return product;
}

/* to (B T, out) = from (B T, in) W + b. */
static void project(const struct sizes *s, const struct bp_pass *pass, int32_t role, const bp_real *from, bp_real *to) {
    const struct bp_linear product = product_of(s, pass, role, from);
    bp_linear_forward(&product, NULL, s->biased ? pass->W[ROLES + role] : NULL, to);
}

/* dW = from^T d; db = column sums of d; d_from = d W^T, stored or added, when wanted. */
static void project_back(const struct sizes *s, const struct bp_pass *pass, int32_t role, const bp_real *from, const bp_real *d, bp_real *d_from,
                         bool keep) {
    const struct bp_linear product = product_of(s, pass, role, from);
    bp_linear_weights(&product, pass->keep_W, d, pass->d_W[role]);
    if (s->biased) bp_kernels()->column_sums((size_t)product.rows, (size_t)product.out, d, pass->d_W[ROLES + role], pass->keep_W);
    if (d_from) bp_linear_input(&product, keep, d, d_from);
}

/* Where a sample's head begins in a buffer (B, T, P), and its shares. */
static size_t head_at(const struct sizes *s, int32_t i, int32_t head) {
    return (size_t)i * (size_t)s->T * (size_t)s->P + (size_t)head * (size_t)s->each;
}

static bp_real *shares_at(const struct sizes *s, int32_t i, int32_t head) {
    return s->shares + ((size_t)i * (size_t)s->heads + (size_t)head) * (size_t)s->T * (size_t)s->T;
}

/* (T, T) = x y^T, x and y one head's (T, each). */
static void compare(const struct sizes *s, const bp_real *x, const bp_real *y, bp_real *to) {
    const struct bp_gemm product = {
        .transpose_b = true, .m = s->T, .n = s->T, .k = s->each, .A = x, .lda = s->P, .B = y, .ldb = s->P, .C = to, .ldc = s->T};
    bp_gemm(&product);
}

/* to (T, each) = mix y, mix (T, T) or its transpose. */
static void mix(const struct sizes *s, bool transposed, const bp_real *shares, const bp_real *y, bp_real *to) {
    const struct bp_gemm product = {
        .transpose_a = transposed, .m = s->T, .n = s->each, .k = s->T, .A = shares, .lda = s->T, .B = y, .ldb = s->P, .C = to, .ldc = s->P};
    bp_gemm(&product);
}

/* ---- forward and backward ---------------------------------------------------------------------------------------- */

static void forward(const struct bp_node *node, const struct bp_pass *pass) {
    const struct sizes s = sizes_of(node, pass);
    const size_t T = (size_t)s.T;
    for (int32_t role = QUERY; role <= VALUE; role++) project(&s, pass, role, pass->x[0], s.parts[role]);
    for (int32_t i = 0; i < s.B; i++)
        for (int32_t head = 0; head < s.heads; head++) {
            const size_t at = head_at(&s, i, head);
            bp_real *shares = shares_at(&s, i, head);
            compare(&s, s.parts[QUERY] + at, s.parts[KEY] + at, shares);
            bp_kernels()->scale(T * T, s.scale, shares);
            for (size_t t = 0; s.causal && t < T; t++)
                for (size_t j = t + 1; j < T; j++) shares[t * T + j] = (bp_real)-INFINITY;
            for (size_t j = 0; pass->mask[0] && j < T; j++)
                for (size_t t = 0; pass->mask[0][(size_t)i * T + j] == 0 && t < T; t++)
                    if (t >= j || !s.causal) shares[t * T + j] = (bp_real)HIDDEN;
            bp_kernels()->softmax(T, T, shares, shares);
            mix(&s, false, shares, s.parts[VALUE] + at, s.parts[OUTPUT] + at);
        }
    project(&s, pass, OUTPUT, s.parts[OUTPUT], pass->a);
}

/* d_P = d_o v^T; d_scores = P (d_P - row sums of d_P P) / sqrt(key_dim); d_v = P^T d_o; d_q = d_scores k; d_k = d_scores^T q. */
static void backward(const struct bp_node *node, const struct bp_pass *pass) {
    const struct sizes s = sizes_of(node, pass);
    const size_t T = (size_t)s.T;
    bp_real *d_shares = pass->shared_scratch; /* (T, T) */
    project_back(&s, pass, OUTPUT, s.parts[OUTPUT], pass->d_a, s.d_parts[OUTPUT], false);
    for (int32_t i = 0; i < s.B; i++)
        for (int32_t head = 0; head < s.heads; head++) {
            const size_t at = head_at(&s, i, head);
            const bp_real *shares = shares_at(&s, i, head), *d_o = s.d_parts[OUTPUT] + at;
            compare(&s, d_o, s.parts[VALUE] + at, d_shares);
            mix(&s, true, shares, d_o, s.d_parts[VALUE] + at);
            for (size_t t = 0; t < T; t++) {
                bp_real *d = d_shares + t * T, dot = 0;
                const bp_real *p = shares + t * T;
                for (size_t j = 0; j < T; j++) dot += d[j] * p[j];
                for (size_t j = 0; j < T; j++) d[j] = p[j] * (d[j] - dot) * s.scale;
            }
            mix(&s, false, d_shares, s.parts[KEY] + at, s.d_parts[QUERY] + at);
            mix(&s, true, d_shares, s.parts[QUERY] + at, s.d_parts[KEY] + at);
        }
    for (int32_t role = QUERY; role <= VALUE; role++)
        project_back(&s, pass, role, pass->x[0], s.d_parts[role], pass->d_x[0], pass->keep_x[0] || role > QUERY);
}

static const struct bp_param params[PARAMS] = {
    [NUM_HEADS] =
        {.name = "num_heads", .type = BP_PARAM_INTEGER, .help = "Number of attention heads", .min = 1, .max = 1024, .flags = BP_PARAM_REQUIRED},
    [KEY_DIM] = {.name = "key_dim", .type = BP_PARAM_INTEGER, .help = "Size of a head; 0: the features divided by the heads", .min = 0, .max = 65536},
    [USE_BIAS] = {.name = "use_bias", .type = BP_PARAM_BOOLEAN, .help = "Add trainable biases to queries, keys, values and outputs", .preset = 1},
    [USE_CAUSAL_MASK] = {.name = "use_causal_mask", .type = BP_PARAM_BOOLEAN, .help = "A step attends only to itself and earlier steps"},
    [KERNEL_INITIALIZER] = {.name = "kernel_initializer",
                            .type = BP_PARAM_ENTRY,
                            .help = "Initial values of the kernels",
                            .family = &bp_initializers,
                            .preset_name = "auto"},
};

extern const struct bp_layer_ops bp_layer_multi_head_attention;
const struct bp_layer_ops bp_layer_multi_head_attention = {
    .entry = {.name = "multi_head_attention",
              .summary = "Self-attention: each step is a weighted mean over all steps",
              .params = params,
              .params_count = PARAMS},
    .inputs_min = 1,
    .inputs_max = 1,
    .mask = BP_MASK_PASS,
    .plan = plan,
    .forward = forward,
    .backward = backward,
};

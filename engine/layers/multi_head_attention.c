/* multi_head_attention.c - attention (Vaswani et al. 2017): the query x (B, T, D) attends the value y (B, S, E), by keys from z (B, S, Z); y is x
 * unless it is given, and z is y. Per head, of key_dim numbers, with q = x W_q + b_q, k = z W_k + b_k, v = y W_v + b_v: P = softmax(q k^T /
 * sqrt(key_dim)), T x S;  o = P v;  a = (all heads' o) W_o + b_o. W_q (D, heads key_dim), W_k, W_v, W_o (heads key_dim, D): Keras's kernels, with
 * heads and key_dim as one axis. With a causal mask a step sees itself and those before it; masked steps of value and key are attended by none. In
 * training a fraction of P is dropped out. Order: plan, sizes, products, forward, backward. */
#include "engine/initializers/initializer.h"
#include "engine/kernels/kernels.h"
#include "engine/layers/drop.h"
#include "engine/layers/layer.h"
#include "engine/layers/linear.h"

#include <math.h>
#include <string.h>

enum { NUM_HEADS, KEY_DIM, USE_BIAS, USE_CAUSAL_MASK, KERNEL_INITIALIZER, DROPOUT, PARAMS };
enum { QUERY, KEY, VALUE, OUTPUT, ROLES };
#define HIDDEN -1e30 /* score of a step that is padding: finite, so that a row of nothing else is a number */

extern const struct bp_initializer_ops bp_initializer_zeros;

/* ---- plan -------------------------------------------------------------------------------------------------------- */

/* The input that a role reads: query, value and key are given in this order, as in Keras. */
static int32_t input_of(const struct bp_node *node, int32_t role) {
    const int32_t asked = role == QUERY ? 0 : role == VALUE ? 1 : 2;
    return asked < node->inputs_count ? asked : node->inputs_count > 1 ? 1 : 0;
}

static const struct bp_shape *shape_of(const struct bp_node *node, int32_t role) {
    return &node->in[input_of(node, role)];
}

static void add_tensors(struct bp_node *node, int32_t P) {
    static const char *const kernels[ROLES] = {"query_kernel", "key_kernel", "value_kernel", "output_kernel"};
    static const char *const biases[ROLES] = {"query_bias", "key_bias", "value_bias", "output_bias"};
    const int32_t D = node->in[0].dims[1];
    for (int32_t i = 0; i < ROLES; i++) {
        const int32_t in = i == OUTPUT ? P : shape_of(node, i)->dims[1], out = i == OUTPUT ? D : P;
        struct bp_tensor *kernel = bp_node_tensor(node, kernels[i], 2, (const int32_t[]){in, out});
        bp_tensor_initialize(kernel, &node->values[KERNEL_INITIALIZER]);
        kernel->fan_in = in;
        kernel->fan_out = out;
        kernel->penalised = true;
        kernel->product = BP_PRODUCT_MATRIX;
    }
    for (int32_t i = 0; i < ROLES && node->values[USE_BIAS].number != 0; i++) {
        struct bp_tensor *bias = bp_node_tensor(node, biases[i], 1, i == OUTPUT ? &D : &P);
        bias->initializer = &bp_initializer_zeros;
        bias->bias = true;
    }
}

static int32_t key_dim_of(const struct bp_node *node) {
    const int32_t asked = (int32_t)node->values[KEY_DIM].number, D = node->in[0].dims[1];
    return asked ? asked : D / (int32_t)node->values[NUM_HEADS].number;
}

static int check_inputs(const struct bp_node *node, struct bp_error *error) {
    static const char *const names[] = {"query", "value", "key"};
    char text[64], other[64];
    for (int32_t i = 0; i < node->inputs_count; i++)
        if (node->in[i].rank >= 0 && node->in[i].rank != 2)
            return bp_error_set(error, "", "multi_head_attention needs an input (steps, features), but got %s%s%s",
                                bp_shape_text(&node->in[i], text, sizeof text), node->inputs_count > 1 ? " as " : "",
                                node->inputs_count > 1 ? names[i] : "");
    const int32_t values = shape_of(node, VALUE)->dims[0], keys = shape_of(node, KEY)->dims[0];
    if (node->inputs_count == 3 && values > 0 && keys > 0 && values != keys)
        return bp_error_set(error, "/inputs", "value and key must have the same steps, but value has %s and key has %s",
                            bp_shape_text(&node->in[1], text, sizeof text), bp_shape_text(&node->in[2], other, sizeof other));
    return 0;
}

static int plan(struct bp_node *node, struct bp_error *error) {
    char text[64];
    const struct bp_shape *in = &node->in[0], *value = shape_of(node, VALUE);
    const int32_t heads = (int32_t)node->values[NUM_HEADS].number;
    bool known = true;
    node->out = *in;
    node->draws = node->values[DROPOUT].number > 0;
    if (check_inputs(node, error)) return -1;
    for (int32_t i = 0; i < node->inputs_count; i++) known = known && node->in[i].rank >= 0 && node->in[i].dims[1] > 0;
    if (in->rank < 0 || in->dims[1] <= 0) return 0;
    const int64_t T = in->dims[0], D = in->dims[1];
    if (node->values[KEY_DIM].number == 0 && D % heads)
        return bp_error_set(error, "/num_heads", "%d heads do not divide the %d features of the input; use another number, or give key_dim",
                            (int)heads, (int)D);
    if (!known) return 0;
    const int64_t P = (int64_t)heads * key_dim_of(node), S = value->dims[0], most = T > S ? T : S;
    bool large = P * most > INT32_MAX || T * S > INT32_MAX / heads;
    for (int32_t i = 0; i < node->inputs_count; i++) large = large || P * node->in[i].dims[1] > INT32_MAX;
    if (large)
        return bp_error_set(error, "/num_heads", "%d heads of %d over an input of %s have more than 2^31 - 1 numbers; use fewer or smaller ones",
                            (int)heads, (int)key_dim_of(node), bp_shape_text(in, text, sizeof text));
    add_tensors(node, (int32_t)P);
    node->positions = (int32_t)T;
    if (T <= 0 || S <= 0) return 0;
    node->scratch = (size_t)(2 * (T + S) * P + heads * T * S); /* q, k, v, o, P; or the gradients of the first four */
    node->memo = node->scratch + (node->draws ? (size_t)(heads * T * S) : 0);
    node->shared_scratch = (size_t)((node->draws ? 2 : 1) * T * S); /* the gradient of P of one head; P dropped out */
    return 0;
}

/* ---- sizes ------------------------------------------------------------------------------------------------------- */

struct sizes {
    int32_t B, T, S, D, heads, each, P; /* each: key_dim; P: heads key_dim */
    bool biased, causal;
    bp_real scale;           /* 1 / sqrt(key_dim) */
    bp_real *parts[ROLES];   /* q, k, v, o: (B, T or S, P) */
    bp_real *shares;         /* (B, heads, T, S) */
    bp_real *mask;           /* likewise, of dropout; NULL: none */
    bp_real *d_parts[ROLES]; /* of backward */
};

static int32_t steps_of(const struct sizes *s, int32_t role) {
    return role == KEY || role == VALUE ? s->S : s->T;
}

static struct sizes sizes_of(const struct bp_node *node, const struct bp_pass *pass) {
    struct sizes s = {.B = pass->batch, .T = node->in[0].dims[0], .S = shape_of(node, VALUE)->dims[0], .D = node->in[0].dims[1]};
    s.each = key_dim_of(node);
    s.heads = (int32_t)node->values[NUM_HEADS].number;
    s.P = s.heads * s.each;
    s.biased = node->values[USE_BIAS].number != 0;
    s.causal = node->values[USE_CAUSAL_MASK].number != 0;
    s.scale = (bp_real)(1 / sqrt((double)s.each));
    bp_real *kept = pass->memo ? pass->memo : pass->scratch, *d = pass->scratch;
    for (int32_t i = 0; i < ROLES; i++) {
        const size_t part = (size_t)s.B * (size_t)steps_of(&s, i) * (size_t)s.P;
        s.parts[i] = kept;
        s.d_parts[i] = d;
        kept += part;
        d += part;
    }
    s.shares = kept;
    if (node->draws && pass->training && pass->memo) s.mask = kept + (size_t)s.B * (size_t)s.heads * (size_t)s.T * (size_t)s.S;
    return s;
}

/* ---- products ---------------------------------------------------------------------------------------------------- */

/* The product with the kernel of a role: rows (B T or S, in) of `from`. */
static struct bp_linear product_of(const struct bp_node *node, const struct sizes *s, const struct bp_pass *pass, int32_t role, const bp_real *from) {
    const int32_t in = role == OUTPUT ? s->P : shape_of(node, role)->dims[1];
    struct bp_linear product = bp_linear_of(pass, s->B * steps_of(s, role), in, role == OUTPUT ? s->D : s->P);
    product.x = from;
    product.W = pass->W[role];
    return product;
}

/* to (rows, out) = from (rows, in) W + b. */
static void project(const struct bp_node *node, const struct sizes *s, const struct bp_pass *pass, int32_t role, const bp_real *from, bp_real *to) {
    const struct bp_linear product = product_of(node, s, pass, role, from);
    bp_linear_forward(&product, NULL, s->biased ? pass->W[ROLES + role] : NULL, to);
}

/* Where the gradient of what a product read goes, if anywhere. */
struct target {
    bp_real *d;
    bool keep;
};

/* dW = from^T d; db = column sums of d; the gradient of from = d W^T. */
static void project_back(const struct bp_linear *product, const struct sizes *s, const struct bp_pass *pass, int32_t role, const bp_real *d,
                         struct target to) {
    bp_linear_weights(product, pass->keep_W, d, pass->d_W[role]);
    if (s->biased) bp_kernels()->column_sums((size_t)product->rows, (size_t)product->out, d, pass->d_W[ROLES + role], pass->keep_W);
    if (to.d) bp_linear_input(product, to.keep, d, to.d);
}

/* Where a sample's head begins in a buffer (B, steps, P), and its shares. */
static size_t head_at(const struct sizes *s, int32_t role, int32_t i, int32_t head) {
    return (size_t)i * (size_t)steps_of(s, role) * (size_t)s->P + (size_t)head * (size_t)s->each;
}

static size_t shares_at(const struct sizes *s, int32_t i, int32_t head) {
    return ((size_t)i * (size_t)s->heads + (size_t)head) * (size_t)s->T * (size_t)s->S;
}

/* (T, S) = x y^T, x one head's (T, each), y (S, each). */
static void compare(const struct sizes *s, const bp_real *x, const bp_real *y, bp_real *to) {
    const struct bp_gemm product = {
        .transpose_b = true, .m = s->T, .n = s->S, .k = s->each, .A = x, .lda = s->P, .B = y, .ldb = s->P, .C = to, .ldc = s->S};
    bp_gemm(&product);
}

/* to (T, each) = shares y, shares (T, S), y (S, each); or transposed, to (S, each) from y (T, each). */
static void mix(const struct sizes *s, bool transposed, const bp_real *shares, const bp_real *y, bp_real *to) {
    const struct bp_gemm product = {.transpose_a = transposed,
                                    .m = transposed ? s->S : s->T,
                                    .n = s->each,
                                    .k = transposed ? s->T : s->S,
                                    .A = shares,
                                    .lda = s->S,
                                    .B = y,
                                    .ldb = s->P,
                                    .C = to,
                                    .ldc = s->P};
    bp_gemm(&product);
}

/* The shares of one head after dropout: themselves, or in `room`. */
static const bp_real *dropped(const struct sizes *s, size_t at, bp_real *room) {
    if (!s->mask) return s->shares + at;
    bp_kernels()->multiply((size_t)s->T * (size_t)s->S, s->shares + at, s->mask + at, room, false);
    return room;
}

/* ---- forward and backward ---------------------------------------------------------------------------------------- */

/* Scores that are not to count: of later steps, and of steps that a mask (B, S) hides. */
static void hide(const struct sizes *s, const bp_real *mask, int32_t i, bool first, bp_real *scores) {
    const size_t T = (size_t)s->T, S = (size_t)s->S;
    for (size_t t = 0; first && s->causal && t < T; t++)
        for (size_t j = t + 1; j < S; j++) scores[t * S + j] = (bp_real)-INFINITY;
    for (size_t j = 0; mask && j < S; j++)
        for (size_t t = 0; mask[(size_t)i * S + j] == 0 && t < T; t++)
            if (t >= j || !s->causal) scores[t * S + j] = (bp_real)HIDDEN;
}

static void forward(const struct bp_node *node, const struct bp_pass *pass) {
    const struct sizes s = sizes_of(node, pass);
    const size_t T = (size_t)s.T, S = (size_t)s.S;
    for (int32_t role = QUERY; role <= VALUE; role++) project(node, &s, pass, role, pass->x[input_of(node, role)], s.parts[role]);
    if (s.mask) bp_drop_mask(node, pass, node->values[DROPOUT].number, 1, (size_t)s.heads * T * S, s.mask);
    for (int32_t i = 0; i < s.B; i++)
        for (int32_t head = 0; head < s.heads; head++) {
            const size_t at = shares_at(&s, i, head);
            bp_real *shares = s.shares + at;
            compare(&s, s.parts[QUERY] + head_at(&s, QUERY, i, head), s.parts[KEY] + head_at(&s, KEY, i, head), shares);
            bp_kernels()->scale(T * S, s.scale, shares);
            hide(&s, pass->mask[input_of(node, VALUE)], i, true, shares);
            if (node->inputs_count == 3) hide(&s, pass->mask[input_of(node, KEY)], i, false, shares);
            bp_kernels()->softmax(T, S, shares, shares);
            mix(&s, false, dropped(&s, at, pass->shared_scratch), s.parts[VALUE] + head_at(&s, VALUE, i, head),
                s.parts[OUTPUT] + head_at(&s, OUTPUT, i, head));
        }
    project(node, &s, pass, OUTPUT, s.parts[OUTPUT], pass->a);
}

/* One head: d_P = d_o v^T; d_scores = P (d_P - row sums of d_P P) / sqrt(key_dim); d_v = P^T d_o; d_q = d_scores k; d_k = d_scores^T q. What dropout
 * set to 0 in P gets no gradient, and adds nothing to d_v. */
static void head_back(const struct sizes *s, const struct bp_pass *pass, int32_t i, int32_t head) {
    const size_t T = (size_t)s->T, S = (size_t)s->S, share = shares_at(s, i, head);
    const size_t query = head_at(s, QUERY, i, head), value = head_at(s, VALUE, i, head);
    const bp_real *shares = s->shares + share, *d_o = s->d_parts[OUTPUT] + query;
    bp_real *d_shares = pass->shared_scratch; /* (T, S) */
    compare(s, d_o, s->parts[VALUE] + value, d_shares);
    if (s->mask) bp_kernels()->multiply(T * S, d_shares, s->mask + share, d_shares, false);
    mix(s, true, dropped(s, share, d_shares + T * S), d_o, s->d_parts[VALUE] + value);
    for (size_t t = 0; t < T; t++) {
        bp_real *d = d_shares + t * S, dot = 0;
        const bp_real *p = shares + t * S;
        for (size_t j = 0; j < S; j++) dot += d[j] * p[j];
        for (size_t j = 0; j < S; j++) d[j] = p[j] * (d[j] - dot) * s->scale;
    }
    mix(s, false, d_shares, s->parts[KEY] + value, s->d_parts[QUERY] + query);
    mix(s, true, d_shares, s->parts[QUERY] + query, s->d_parts[KEY] + value);
}

static void backward(const struct bp_node *node, const struct bp_pass *pass) {
    /* Inputs in their order: one node may be several of them, and then the first stores. */
    static const int32_t by_role[] = {QUERY, KEY, VALUE}, by_input[] = {QUERY, VALUE, KEY};
    const struct sizes s = sizes_of(node, pass);
    const struct bp_linear out = product_of(node, &s, pass, OUTPUT, s.parts[OUTPUT]);
    bool written[3] = {pass->keep_x[0], pass->keep_x[1], pass->keep_x[2]};
    project_back(&out, &s, pass, OUTPUT, pass->d_a, (struct target){.d = s.d_parts[OUTPUT]});
    for (int32_t i = 0; i < s.B; i++)
        for (int32_t head = 0; head < s.heads; head++) head_back(&s, pass, i, head);
    for (int32_t k = 0; k < 3; k++) {
        const int32_t role = node->inputs_count == 3 ? by_input[k] : by_role[k], from = input_of(node, role);
        const struct bp_linear product = product_of(node, &s, pass, role, pass->x[from]);
        project_back(&product, &s, pass, role, s.d_parts[role], (struct target){.d = pass->d_x[from], .keep = written[from]});
        written[from] = true;
    }
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
    [DROPOUT] = {.name = "dropout",
                 .type = BP_PARAM_NUMBER,
                 .help = "Fraction of the attention weights that are set to 0 in training",
                 .min = 0,
                 .max = 1,
                 .flags = BP_PARAM_MAX_OPEN},
};

extern const struct bp_layer_ops bp_layer_multi_head_attention;
const struct bp_layer_ops bp_layer_multi_head_attention = {
    .entry = {.name = "multi_head_attention",
              .summary = "Attention: each step is a weighted mean over all steps, of its own or of a second input (query, value, key)",
              .params = params,
              .params_count = PARAMS},
    .inputs_min = 1,
    .inputs_max = 3,
    .mask = BP_MASK_FIRST,
    .plan = plan,
    .forward = forward,
    .backward = backward,
};

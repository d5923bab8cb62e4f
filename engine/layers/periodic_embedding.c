/* periodic_embedding.c - each number becomes a vector by waves of its own (PLR: Gorishniy, Rubachev, Babenko 2022, arXiv 2203.05556): x (B, in), c
 * (in, k) trained frequencies, K (in, 2 k, D), b (in, D), a (B, in D): v = (cos(2 pi c x), sin(2 pi c x)) (2 k);  a = f(v K + b), for each number. In
 * float32 the waves are series of our own, within 4e-7, so that bits do not depend on libm. */
#include "engine/layers/gradient.h"
#include "engine/layers/layer.h"

#include <math.h>

#define PI 3.14159265358979323846

enum { FREQUENCIES, SIGMA, OUTPUT_DIM, ACTIVATION, USE_BIAS, PARAMS };
enum { COEFFICIENTS, KERNEL, BIAS };

/* Normal with deviation sigma, drawn again beyond three of them; plan leaves sigma in fan_in. */
static void fill_coefficients(const struct bp_tensor *tensor, struct bp_random *random, bp_real *W, size_t n) {
    for (size_t i = 0; i < n; i++) {
        double draw = bp_random_normal(random);
        while (fabs(draw) > 3) draw = bp_random_normal(random);
        W[i] = (bp_real)(tensor->fan_in * draw);
    }
}

static const struct bp_initializer_ops normal = {.entry = {.name = "normal"}, .fill = fill_coefficients};

static int plan(struct bp_node *node, struct bp_error *error) {
    char text[64];
    const struct bp_shape *in = &node->in[0];
    const int32_t k = (int32_t)node->values[FREQUENCIES].number, width = (int32_t)node->values[OUTPUT_DIM].number;
    bp_node_activate(node, &node->values[ACTIVATION]);
    if (in->rank < 0) return 0;
    if (in->rank != 1)
        return bp_error_set(error, "", "periodic_embedding needs an input of numbers side by side, a shape like (20), but got %s",
                            bp_shape_text(in, text, sizeof text));
    node->out = (struct bp_shape){.rank = 1, .dims = {in->dims[0] * width}};
    if (in->dims[0] <= 0) return 0;
    const int32_t features = in->dims[0];
    if ((int64_t)features * 2 * k * width > INT32_MAX)
        return bp_error_set(error, "/output_dim", "a kernel of %d x %d x %d has more than 2^31 - 1 numbers; use a smaller output_dim", (int)features,
                            (int)(2 * k), (int)width);
    struct bp_tensor *coefficients = bp_node_tensor(node, "coefficients", 2, (const int32_t[]){features, k});
    coefficients->initializer = &normal;
    coefficients->fan_in = node->values[SIGMA].number;
    struct bp_tensor *kernel = bp_node_tensor(node, "kernel", 3, (const int32_t[]){features, 2 * k, width});
    kernel->initializer = &bp_initializer_by_fan_in;
    kernel->fan_in = 2 * k;
    kernel->penalised = true;
    kernel->parts = features;
    if (node->values[USE_BIAS].number != 0) {
        struct bp_tensor *bias = bp_node_tensor(node, "bias", 2, (const int32_t[]){features, width});
        bias->initializer = &bp_initializer_by_fan_in;
        bias->fan_in = 2 * k;
        bias->bias = true;
    }
    node->memo = (size_t)features * 2 * (size_t)k + (node->activation && node->activation->needs_z ? (size_t)bp_shape_size(&node->out) : 0);
    node->shared_scratch = 2 * (size_t)k;
    return 0;
}

/* cos and sin of 2 pi t. */
static inline void wave(bp_real t, bp_real *cosine, bp_real *sine) {
#ifdef BP_DOUBLE
    *cosine = cos(2 * PI * t);
    *sine = sin(2 * PI * t);
#else
    const float u = (t - rintf(t)) * (float)PI, s = u * u; /* half the angle, within a quarter turn */
    const float half_sine =
        u *
        (1 + s * (-1.66666667e-1f + s * (8.33333333e-3f + s * (-1.98412698e-4f + s * (2.75573192e-6f + s * (-2.50521084e-8f + s * 1.6059e-10f))))));
    const float half_cosine =
        1 + s * (-0.5f +
                 s * (4.16666667e-2f + s * (-1.38888889e-3f + s * (2.48015873e-5f + s * (-2.75573192e-7f + s * (2.0876757e-9f - s * 1.1471e-11f))))));
    *cosine = 1 - 2 * half_sine * half_sine;
    *sine = 2 * half_sine * half_cosine;
#endif
}

struct sizes {
    size_t rows, features, k, width, out;
};

static struct sizes sizes_of(const struct bp_node *node, const struct bp_pass *pass) {
    return (struct sizes){.rows = (size_t)pass->batch,
                          .features = (size_t)node->in[0].dims[0],
                          .k = (size_t)node->values[FREQUENCIES].number,
                          .width = (size_t)node->values[OUTPUT_DIM].number,
                          .out = (size_t)node->out.dims[0]};
}

/* The waves of a number that the pass keeps, (2 k); those of the number under way, where it keeps none. */
static bp_real *waves_of(const struct bp_pass *pass, const struct sizes *s, size_t at) {
    return pass->memo ? pass->memo + at * 2 * s->k : pass->shared_scratch;
}

/* The copy of z for the backward pass: apart from a when the derivative needs it. */
static bp_real *z_of(const struct bp_node *node, const struct bp_pass *pass, const struct sizes *s) {
    return pass->memo && node->activation && node->activation->needs_z ? pass->memo + s->rows * s->features * 2 * s->k : pass->a;
}

static void forward(const struct bp_node *node, const struct bp_pass *pass) {
    const struct sizes s = sizes_of(node, pass);
    const bp_real *b = bp_node_has(node, BIAS) ? pass->W[BIAS] : NULL;
    bp_real *z = z_of(node, pass, &s); /* (B, in, D) */
    for (size_t at = 0; at < s.rows * s.features; at++) {
        const size_t f = at % s.features;
        const bp_real x = pass->x[0][at], *c = pass->W[COEFFICIENTS] + f * s.k, *restrict K = pass->W[KERNEL] + f * 2 * s.k * s.width;
        bp_real *v = waves_of(pass, &s, at), *restrict to = z + at * s.width;
        for (size_t j = 0; j < s.k; j++) wave(c[j] * x, &v[j], &v[s.k + j]);
        for (size_t d = 0; d < s.width; d++) to[d] = b ? b[f * s.width + d] : 0;
        for (size_t j = 0; j < 2 * s.k; j++)
            for (size_t d = 0; d < s.width; d++) to[d] += v[j] * K[j * s.width + d];
    }
    if (node->activation) bp_node_forward_activation(node, pass, (const size_t[]){s.rows, s.out}, z, pass->a);
}

/* d_v = K d_z; of the angle: d_sin cos - d_cos sin; d_c = 2 pi x of it, d_x = 2 pi c of it. */
static void backward_number(const struct bp_pass *pass, const struct sizes *s, size_t at, const bp_real *restrict d_z) {
    const size_t f = at % s->features;
    const bp_real *restrict K = pass->W[KERNEL] + f * 2 * s->k * s->width, *v = waves_of(pass, s, at), *c = pass->W[COEFFICIENTS] + f * s->k;
    const bp_real x = pass->x[0][at], turn = (bp_real)(2 * PI);
    bp_real *restrict d_K = pass->d_W[KERNEL] + f * 2 * s->k * s->width, *d_c = pass->d_W[COEFFICIENTS] + f * s->k, *d_v = pass->shared_scratch;
    bp_real d_x = 0;
    for (size_t j = 0; j < 2 * s->k; j++) {
        bp_real sum = 0;
        for (size_t d = 0; d < s->width; d++) {
            d_K[j * s->width + d] += v[j] * d_z[d];
            sum += K[j * s->width + d] * d_z[d];
        }
        d_v[j] = sum;
    }
    for (size_t j = 0; j < s->k; j++) {
        const bp_real d = turn * (d_v[s->k + j] * v[j] - d_v[j] * v[s->k + j]);
        d_c[j] += d * x;
        d_x += d * c[j];
    }
    if (pass->d_x[0]) bp_gradient_put(pass->keep_x[0], d_x, &pass->d_x[0][at]);
}

static void backward(const struct bp_node *node, const struct bp_pass *pass) {
    const struct sizes s = sizes_of(node, pass);
    const struct bp_activation_ops *f = node->activation;
    bp_real *d_z = pass->d_a; /* (B, in, D) */
    const struct bp_activated with = {.z = f && f->needs_z ? z_of(node, pass, &s) : NULL, .a = pass->a, .d_a = d_z, .d_z = d_z};
    if (f) bp_node_backward_activation(node, pass, (const size_t[]){s.rows, s.out}, &with);
    if (bp_node_has(node, BIAS)) bp_kernels()->column_sums(s.rows, s.out, d_z, pass->d_W[BIAS], pass->keep_W);
    bp_gradient_begin(pass->keep_W, s.features * s.k, pass->d_W[COEFFICIENTS]);
    bp_gradient_begin(pass->keep_W, s.out * 2 * s.k, pass->d_W[KERNEL]);
    for (size_t at = 0; at < s.rows * s.features; at++) backward_number(pass, &s, at, d_z + at * s.width);
}

static const struct bp_param params[PARAMS] = {
    [FREQUENCIES] = {.name = "frequencies", .type = BP_PARAM_INTEGER, .help = "Waves of each number", .preset = 16, .min = 1, .max = 1024},
    [SIGMA] = {.name = "sigma",
               .type = BP_PARAM_NUMBER,
               .help = "Standard deviation of the initial frequencies",
               .preset = 0.1,
               .min = 0,
               .max = 1e3,
               .flags = BP_PARAM_MIN_OPEN},
    [OUTPUT_DIM] = {.name = "output_dim", .type = BP_PARAM_INTEGER, .help = "Size of the vector of a number", .preset = 8, .min = 1, .max = 4096},
    [ACTIVATION] =
        {.name = "activation", .type = BP_PARAM_ENTRY, .help = "Activation applied to the vectors", .family = &bp_activations, .preset_name = "relu"},
    [USE_BIAS] = {.name = "use_bias", .type = BP_PARAM_BOOLEAN, .help = "Add a trainable bias to each vector", .preset = 1},
};

extern const struct bp_layer_ops bp_layer_periodic_embedding;
const struct bp_layer_ops bp_layer_periodic_embedding = {
    .entry = {.name = "periodic_embedding",
              .summary = "A trainable vector for each number of a table, from waves of trained frequencies",
              .params = params,
              .params_count = PARAMS},
    .inputs_min = 1,
    .inputs_max = 1,
    .plan = plan,
    .forward = forward,
    .backward = backward,
};

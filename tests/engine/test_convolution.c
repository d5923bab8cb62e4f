/* test_convolution.c - convolutions and pooling of float32 against loops in double, as they stand in the headers: by every table of kernels, of
 * shapes that are read in place (engine/layers/sliding.h) and of those that are not, and of mini-batches that are cut (engine/network/pass.c). */
#include "engine/kernels/kernels.h"
#include "engine/network/workspace.h"
#include "tests/engine/support.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const isas[] = {"base", "avx2", "avx512"};

/* An image (B, in..., channels) under a window of size[0] x size[1] cells. */
struct shape {
    int32_t batch, in[2], channels, filters, size[2], stride[2], dilation[2], before[2], out[2];
};

/* By each table that this CPU has. */
static void by_every_table(void (*check)(const char *isa)) {
    for (size_t k = 0; k < sizeof isas / sizeof *isas; k++) {
        if (!bp_kernels_find(isas[k])) continue;
        ck_assert_int_eq(bp_kernels_force(isas[k]), 0);
        check(isas[k]);
    }
    bp_kernels_force(NULL);
}

static double random_number(uint64_t *state) {
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (double)(*state >> 40) / (1 << 23) - 1;
}

static double *numbers(size_t n) {
    double *x = calloc(n, sizeof *x);
    ck_assert_ptr_nonnull(x);
    return x;
}

/* Each cell of the window, and the number of x under it. */
#define EACH_CELL(s)                                                                                                                                 \
    for (int32_t b = 0; b < (s)->batch; b++)                                                                                                         \
        for (int32_t r = 0; r < (s)->out[0]; r++)                                                                                                    \
            for (int32_t q = 0; q < (s)->out[1]; q++)                                                                                                \
                for (int32_t i = 0; i < (s)->size[0]; i++)                                                                                           \
                    for (int32_t j = 0; j < (s)->size[1]; j++)

static int64_t under(const struct shape *s, int32_t b, int32_t r, int32_t q, int32_t i, int32_t j) {
    const int32_t row = r * s->stride[0] - s->before[0] + i * s->dilation[0], column = q * s->stride[1] - s->before[1] + j * s->dilation[1];
    if (row < 0 || row >= s->in[0] || column < 0 || column >= s->in[1]) return -1;
    return (((int64_t)b * s->in[0] + row) * s->in[1] + column) * s->channels;
}

static int64_t position(const struct shape *s, int32_t b, int32_t r, int32_t q) {
    return (((int64_t)b * s->out[0] + r) * s->out[1] + q) * s->filters;
}

/* a = relu(x * W + bias), or without. */
static void convolve(const struct shape *s, const double *x, const bp_real *W, const bp_real *bias, bool relu, double *a) {
    const int64_t n = (int64_t)s->batch * s->out[0] * s->out[1] * s->filters;
    for (int64_t k = 0; k < n; k++) a[k] = (double)bias[k % s->filters];
    EACH_CELL(s) {
        const int64_t from = under(s, b, r, q, i, j), to = position(s, b, r, q);
        for (int32_t c = 0; from >= 0 && c < s->channels; c++)
            for (int32_t f = 0; f < s->filters; f++) a[to + f] += x[from + c] * (double)W[((i * s->size[1] + j) * s->channels + c) * s->filters + f];
    }
    for (int64_t k = 0; relu && k < n; k++) a[k] = a[k] > 0 ? a[k] : 0;
}

/* Adds to d_x, d_W and d_bias. */
static void convolve_back(const struct shape *s, const double *x, const bp_real *W, const double *d_z, double *d_x, double *d_W, double *d_bias) {
    const int64_t n = (int64_t)s->batch * s->out[0] * s->out[1] * s->filters;
    for (int64_t k = 0; k < n; k++) d_bias[k % s->filters] += d_z[k];
    EACH_CELL(s) {
        const int64_t from = under(s, b, r, q, i, j), to = position(s, b, r, q);
        for (int32_t c = 0; from >= 0 && c < s->channels; c++)
            for (int32_t f = 0; f < s->filters; f++) {
                const int64_t w = ((int64_t)(i * s->size[1] + j) * s->channels + c) * s->filters + f;
                d_x[from + c] += d_z[to + f] * (double)W[w];
                d_W[w] += d_z[to + f] * x[from + c];
            }
    }
}

static void pool(const struct shape *s, const double *x, double *a, int64_t *which) {
    for (int64_t k = 0; k < (int64_t)s->batch * s->out[0] * s->out[1] * s->filters; k++) which[k] = -1;
    EACH_CELL(s) {
        const int64_t from = under(s, b, r, q, i, j), to = position(s, b, r, q);
        for (int32_t c = 0; c < s->channels; c++)
            if (which[to + c] < 0 || x[from + c] > a[to + c]) a[to + c] = x[from + c], which[to + c] = from + c;
    }
}

static void mask_relu(size_t n, const double *a, double *d) {
    for (size_t k = 0; k < n; k++) d[k] = a[k] > 0 ? d[k] : 0;
}

/* ---- a network and random numbers for it -------------------------------------------------------------------------- */

struct run {
    struct bp_network *net;
    struct bp_workspace *ws;
    bp_real *W, *d, *gradient; /* d: of the output */
    double *x, *d_out;
    size_t in, out; /* numbers of the mini-batch */
    int32_t batch;
};

static void begin(struct run *run, const char *text, struct bp_shape shape, int32_t batch) {
    struct bp_error error = {0};
    uint64_t state = 7;
    run->net = test_network(text, "mse", shape);
    run->batch = batch;
    ck_assert_msg(bp_workspace_new(run->net, batch, true, &run->ws, &error) == 0, "%s", error.message);
    run->in = (size_t)batch * (size_t)bp_shape_size(&shape);
    run->out = (size_t)batch * (size_t)bp_shape_size(&run->net->nodes[run->net->nodes_count - 1].out);
    run->W = bp_reals_new(run->net->weights_count);
    run->gradient = bp_reals_new(run->net->weights_count);
    run->d = bp_reals_new(run->out);
    run->x = numbers(run->in);
    run->d_out = numbers(run->out);
    bp_network_initialize(run->net, 3, run->W);
    for (size_t i = 0; i < run->net->weights_count; i++) run->W[i] += (bp_real)(0.02 * random_number(&state)); /* biases, too */
    for (size_t i = 0; i < run->in; i++) run->x[i] = (double)(bp_real)random_number(&state);
    for (size_t i = 0; i < run->out; i++) run->d_out[i] = (double)(run->d[i] = (bp_real)random_number(&state));
}

static void fill_input(const struct run *run) {
    for (size_t i = 0; i < run->in; i++) bp_workspace_input(run->ws, 0)[i] = (bp_real)run->x[i];
}

static void end(struct run *run) {
    bp_workspace_free(run->ws);
    bp_network_free(run->net);
    free(run->W);
    free(run->gradient);
    free(run->d);
    free(run->x);
    free(run->d_out);
}

static const struct bp_tensor *tensor_of(const struct run *run, int32_t layer, int32_t tensor) {
    return &run->net->nodes[run->net->inputs_count + layer].tensors[tensor];
}

static const bp_real *weights_of(const struct run *run, int32_t layer, int32_t tensor) {
    return run->W + tensor_of(run, layer, tensor)->offset;
}

static void check_tensor(const struct run *run, int32_t layer, int32_t tensor, const double *expected, const char *what) {
    const struct bp_tensor *t = tensor_of(run, layer, tensor);
    const double distance = test_distance(run->gradient + t->offset, expected, (size_t)bp_shape_size(&t->shape));
    ck_assert_msg(distance < 1e-5, "%s: gradient of layer %d's tensor %d is off by %g", what, (int)layer, (int)tensor, distance);
}

/* ---- one convolution ----------------------------------------------------------------------------------------------- */

static const struct convolution {
    const char *text;
    struct shape s;
} convolutions[] = {
    {"conv2d filters=16 kernel_size=3 padding=same", {3, {14, 14}, 16, 16, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {14, 14}}},
    {"conv2d filters=32 kernel_size=3 padding=same", {2, {9, 17}, 16, 32, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {9, 17}}},
    {"conv2d filters=48 kernel_size=3", {2, {10, 9}, 8, 48, {3, 3}, {1, 1}, {1, 1}, {0, 0}, {8, 7}}},            /* in place, no border */
    {"conv2d filters=5 kernel_size=5,2 padding=2,1", {2, {8, 6}, 3, 5, {5, 2}, {1, 1}, {1, 1}, {2, 1}, {8, 7}}}, /* neither fills a vector */
    {"conv2d filters=33 kernel_size=3 padding=same", {1, {28, 28}, 1, 33, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {28, 28}}},
    {"conv2d filters=16 kernel_size=3 strides=2 padding=1", {2, {15, 16}, 8, 16, {3, 3}, {2, 2}, {1, 1}, {1, 1}, {8, 8}}},
    {"conv2d filters=16 kernel_size=3 strides=2 padding=1", {1, {61, 80}, 8, 16, {3, 3}, {2, 2}, {1, 1}, {1, 1}, {31, 40}}}, /* two stripes */
    {"conv2d filters=16 kernel_size=2,3 strides=1,2 padding=1", {2, {12, 11}, 8, 16, {2, 3}, {1, 2}, {1, 1}, {1, 1}, {13, 6}}},
    {"conv2d filters=16 kernel_size=3 dilation_rate=2,1 padding=2,1", {2, {11, 9}, 16, 16, {3, 3}, {1, 1}, {2, 1}, {2, 1}, {11, 9}}},
    {"conv2d filters=16 kernel_size=3 dilation_rate=2 padding=2", {2, {9, 9}, 16, 16, {3, 3}, {1, 1}, {2, 2}, {2, 2}, {9, 9}}}, /* gaps across */
    {"conv2d filters=16 kernel_size=2 padding=3", {2, {6, 7}, 8, 16, {2, 2}, {1, 1}, {1, 1}, {3, 3}, {11, 12}}},       /* windows beside the image */
    {"conv2d filters=8 kernel_size=3 padding=same", {1, {50, 61}, 24, 8, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {50, 61}}},   /* several stripes */
    {"conv2d filters=16 kernel_size=3 padding=same", {1, {2, 700}, 32, 16, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {2, 700}}}, /* a stripe of one row */
    {"conv2d filters=16 kernel_size=3 padding=same", {2, {12, 3}, 16, 16, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {12, 3}}},   /* rows shorter than a tile */
    {"conv2d filters=16 kernel_size=1,3 padding=same", {2, {33, 1}, 16, 16, {1, 3}, {1, 1}, {1, 1}, {0, 1}, {33, 1}}},
    {"conv2d filters=96 kernel_size=4 padding=1",
     {1, {8, 8}, 96, 96, {4, 4}, {1, 1}, {1, 1}, {1, 1}, {7, 7}}},                                    /* more weights than are read in place */
    {"conv2d filters=16 kernel_size=3", {2, {5, 5}, 16, 16, {3, 3}, {1, 1}, {1, 1}, {0, 0}, {3, 3}}}, /* too few positions for it */
};

static struct bp_shape input_of(const struct shape *s) {
    return (struct bp_shape){3, {s->in[0], s->in[1], s->channels}};
}

static void check_convolution(const struct convolution *c, const char *isa) {
    const struct shape *s = &c->s;
    const size_t w = (size_t)s->size[0] * (size_t)s->size[1] * (size_t)s->channels * (size_t)s->filters;
    struct run run;
    char what[160];
    begin(&run, c->text, input_of(s), s->batch);
    snprintf(what, sizeof what, "%s of (%d, %d, %d) by %s", c->text, (int)s->in[0], (int)s->in[1], (int)s->channels, isa);
    ck_assert_msg(run.out == (size_t)s->batch * (size_t)s->out[0] * (size_t)s->out[1] * (size_t)s->filters, "%s", what);
    double *a = numbers(run.out), *d_x = numbers(run.in), *d_W = numbers(w), *d_bias = numbers((size_t)s->filters);
    convolve(s, run.x, weights_of(&run, 0, 0), weights_of(&run, 0, 1), false, a);
    convolve_back(s, run.x, weights_of(&run, 0, 0), run.d_out, d_x, d_W, d_bias);
    fill_input(&run);
    const double forward = test_distance(bp_predict(run.net, run.W, run.ws, s->batch), a, run.out);
    ck_assert_msg(forward < 1e-5, "%s: the output is off by %g", what, forward);
    fill_input(&run);
    ck_assert_int_eq(bp_predict_gradient(run.net, run.W, run.ws, s->batch, 0, run.d, run.gradient), 0);
    check_tensor(&run, 0, 0, d_W, what);
    check_tensor(&run, 0, 1, d_bias, what);
    const double back = test_distance(bp_workspace_input_gradient(run.ws, 0), d_x, run.in);
    ck_assert_msg(back < 1e-5, "%s: the gradient of the input is off by %g", what, back);
    free(a);
    free(d_x);
    free(d_W);
    free(d_bias);
    end(&run);
}

static void check_convolutions(const char *isa) {
    for (size_t i = 0; i < sizeof convolutions / sizeof *convolutions; i++) check_convolution(&convolutions[i], isa);
}

START_TEST(one_convolution) {
    by_every_table(check_convolutions);
}
END_TEST

/* ---- a stretch of layers, on parts of the mini-batch ---------------------------------------------------------------- */

enum { BATCH = 40 };

/* Two convolutions, each with its pooling; the first one's output is read again behind the second one when `again`. */
static void check_stretch(const char *isa, bool again) {
    const struct shape first = {BATCH, {28, 28}, 3, 16, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {28, 28}};
    const struct shape halved = {BATCH, {28, 28}, 16, 16, {2, 2}, {2, 2}, {1, 1}, {0, 0}, {14, 14}};
    const struct shape second = {BATCH, {14, 14}, 16, 16, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {14, 14}};
    struct run run;
    begin(&run,
          again ? "conv2d filters=16 kernel_size=3 padding=same activation=relu; max_pool2d pool_size=2 name=p;"
                  "conv2d filters=16 kernel_size=3 padding=same activation=relu name=c; add in=p,c"
                : "conv2d filters=16 kernel_size=3 padding=same activation=relu; max_pool2d pool_size=2;"
                  "conv2d filters=16 kernel_size=3 padding=same activation=relu",
          input_of(&first), BATCH);
    const size_t large = (size_t)BATCH * 28 * 28 * 16, small = (size_t)BATCH * 14 * 14 * 16;
    double *a = numbers(large), *p = numbers(small), *c = numbers(small), *y = numbers(small), *d_p = numbers(small), *d_a = numbers(large);
    double *d_x = numbers(run.in), *d_W[2] = {numbers(9 * 3 * 16), numbers(9 * 16 * 16)}, *d_bias[2] = {numbers(16), numbers(16)};
    int64_t *which = malloc(small * sizeof *which);
    ck_assert_ptr_nonnull(which);
    convolve(&first, run.x, weights_of(&run, 0, 0), weights_of(&run, 0, 1), true, a);
    pool(&halved, a, p, which);
    convolve(&second, p, weights_of(&run, 2, 0), weights_of(&run, 2, 1), true, c);
    for (size_t i = 0; i < small; i++) y[i] = again ? p[i] + c[i] : c[i];
    for (size_t i = 0; again && i < small; i++) d_p[i] = run.d_out[i];
    mask_relu(small, c, run.d_out);
    convolve_back(&second, p, weights_of(&run, 2, 0), run.d_out, d_p, d_W[1], d_bias[1]);
    for (size_t i = 0; i < small; i++) d_a[which[i]] += d_p[i];
    mask_relu(large, a, d_a);
    convolve_back(&first, run.x, weights_of(&run, 0, 0), d_a, d_x, d_W[0], d_bias[0]);
    fill_input(&run);
    const double forward = test_distance(bp_predict(run.net, run.W, run.ws, BATCH), y, small);
    ck_assert_msg(forward < 1e-5, "%s: the output is off by %g", isa, forward);
    fill_input(&run);
    ck_assert_int_eq(bp_predict_gradient(run.net, run.W, run.ws, BATCH, 0, run.d, run.gradient), 0);
    for (int32_t k = 0; k < 2; k++) {
        check_tensor(&run, 2 * k, 0, d_W[k], isa);
        check_tensor(&run, 2 * k, 1, d_bias[k], isa);
        free(d_W[k]);
        free(d_bias[k]);
    }
    const double back = test_distance(bp_workspace_input_gradient(run.ws, 0), d_x, run.in);
    ck_assert_msg(back < 1e-5, "%s: the gradient of the input is off by %g", isa, back);
    double *const all[] = {a, p, c, y, d_p, d_a, d_x};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
    free(which);
    end(&run);
}

static void check_stretches(const char *isa) {
    check_stretch(isa, false);
    check_stretch(isa, true);
}

START_TEST(parts_of_a_mini_batch) {
    by_every_table(check_stretches);
}
END_TEST

/* A prediction has the same bits alone as among others. */
START_TEST(alike_in_every_batch) {
    struct run run;
    begin(&run,
          "conv2d filters=16 kernel_size=3 padding=same activation=relu; max_pool2d pool_size=2; conv2d filters=20 kernel_size=3 activation=relu",
          (struct bp_shape){3, {28, 28, 1}}, BATCH);
    const size_t in = run.in / BATCH, out = run.out / BATCH;
    bp_real *together = bp_reals_new(run.out);
    fill_input(&run);
    memcpy(together, bp_predict(run.net, run.W, run.ws, BATCH), run.out * sizeof *together);
    for (size_t i = 0; i < BATCH; i++) {
        for (size_t k = 0; k < in; k++) bp_workspace_input(run.ws, 0)[k] = (bp_real)run.x[i * in + k];
        ck_assert_mem_eq(bp_predict(run.net, run.W, run.ws, 1), together + i * out, out * sizeof *together);
    }
    free(together);
    end(&run);
}
END_TEST

Suite *suite_convolution(void);
Suite *suite_convolution(void) {
    Suite *suite = suite_create("convolution");
    TCase *tcase = tcase_create("convolution");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, one_convolution);
    tcase_add_test(tcase, parts_of_a_mini_batch);
    tcase_add_test(tcase, alike_in_every_batch);
    suite_add_tcase(suite, tcase);
    return suite;
}

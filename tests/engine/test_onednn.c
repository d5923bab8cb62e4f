/* test_onednn.c - engine/kernels/onednn*.c: products and convolutions by oneDNN against plain C and against our own, in float32 and bfloat16;
 * threads, bits, memory; what happens without it. All but the last need the library (Debian package libdnnl2), and skip when it is missing. */
#include "tests/engine/support.h"

#include "engine/kernels/onednn.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 160, TRANSPOSE_A = 1, TRANSPOSE_B = 2, ADD = 4, BIAS = 8, RELU = 16, BFLOAT16 = 32 };

static bp_real A[MOST * MOST], B[MOST * MOST], C[MOST * MOST], expected[MOST * MOST], bias[MOST];

static void fill(bp_real *x, size_t n, uint32_t index) {
    struct bp_random random = bp_random_open(14, BP_STREAM_USER, index);
    for (size_t i = 0; i < n; i++) x[i] = (bp_real)(2 * bp_random_uniform(&random) - 1);
}

static struct bp_error missing; /* why start failed */

/* False: this machine cannot. */
static bool start(enum bp_onednn_mode mode, bool bfloat16) {
    bp_bfloat16_force(true);
    missing = (struct bp_error){0};
    if (bp_onednn_start(mode, bfloat16, &missing) == 0) return true;
    ck_assert_msg(missing.code == BP_ERROR_UNSUPPORTED, "oneDNN is there, but: %s", missing.message);
    ck_assert_msg(strstr(missing.message, "could not be loaded") || strstr(missing.message, "CPU"), "oneDNN is there, but: %s", missing.message);
    return false;
}

#define START_OR_SKIP(bfloat16)                                                                                                                      \
    do {                                                                                                                                             \
        if (!start(BP_ONEDNN_ON, bfloat16)) SKIP_TEST("oneDNN%s: %s", (bfloat16) ? " in bfloat16" : "", missing.message);                            \
    } while (0)

static void stop(void) {
    struct bp_error off = {0};
    bp_onednn_start(BP_ONEDNN_OFF, false, &off);
    bp_bfloat16_force(false);
}

static struct bp_gemm product(int32_t m, int32_t n, int32_t k, unsigned flags, int32_t slack) {
    struct bp_gemm call = {.transpose_a = flags & TRANSPOSE_A,
                           .transpose_b = flags & TRANSPOSE_B,
                           .add = flags & ADD,
                           .rectify = flags & RELU,
                           .bfloat16 = flags & BFLOAT16,
                           .m = m,
                           .n = n,
                           .k = k,
                           .A = A,
                           .B = B,
                           .C = C,
                           .ldc = n + slack,
                           .bias = flags & BIAS ? bias : NULL};
    call.lda = (call.transpose_a ? m : k) + slack;
    call.ldb = (call.transpose_b ? k : n) + slack;
    return call;
}

/* Against the reference, of numbers that bfloat16 represents exactly when it is requested: then only the sums may differ. */
static void compare(int32_t m, int32_t n, int32_t k, unsigned flags, int32_t slack) {
    struct bp_gemm call = product(m, n, k, flags, slack);
    const size_t count = (size_t)m * (size_t)call.ldc;
    for (size_t i = 0; flags & BFLOAT16 && i < MOST * MOST; i++) {
        A[i] = (bp_real)((int)(i * 37 % 255) - 127) / 64;
        B[i] = (bp_real)((int)(i * 91 % 255) - 127) / 64;
    }
    fill(C, count, 3);
    memcpy(expected, C, count * sizeof *C);
    ck_assert(bp_onednn_gemm(&call));
    call.C = expected;
    bp_gemm_reference(&call);
    for (size_t i = 0; i < count; i++)
        if (!(fabs((double)(C[i] - expected[i])) <= 4e-6 * (4 + k)))
            ck_abort_msg("(%d, %d, %d) flags %u slack %d: at %zu got %g, expected %g", m, n, k, flags, slack, i, (double)C[i], (double)expected[i]);
}

START_TEST(products_of_odd_sizes) {
    static const int32_t sizes[] = {2, 3, 7, 31, 33, 127};
    const unsigned half = _i ? BFLOAT16 : 0;
    START_OR_SKIP(half);
    fill(A, MOST * MOST, 1);
    fill(B, MOST * MOST, 2);
    fill(bias, MOST, 4);
    int done = 0;
    for (int m = 0; m < 6; m++)
        for (int n = 0; n < 6; n++)
            for (int k = 0; k < 6; k++) {
                if (sizes[m] * sizes[n] * sizes[k] < 1 << 12) continue;
                const unsigned flags = (unsigned)(m + 3 * n + 5 * k) % 8;
                compare(sizes[m], sizes[n], sizes[k], flags | half, (m + n + k) % 3);
                compare(sizes[m], sizes[n], sizes[k], (flags ^ 3) | BIAS | RELU | half, 0);
                done++;
            }
    ck_assert_int_gt(done, 80);
    stop();
}
END_TEST

START_TEST(unaligned_and_not_a_number) {
    const unsigned half = _i ? BFLOAT16 : 0;
    START_OR_SKIP(half);
    for (int with = 0; with < 2; with++) {
        struct bp_gemm call = product(32, 40, 48, RELU | half, 0);
        fill(A, MOST * MOST, 1);
        fill(B, MOST * MOST, 2);
        call.A = A + 1;
        call.B = B + 3;
        call.C = C + 1;
        A[1 + 48 * 5 + 7] = with ? INFINITY : NAN;
        C[0] = C[1 + 32 * 40] = 77;
        ck_assert(bp_onednn_gemm(&call));
        for (int i = 0; i < 32; i++)
            for (int j = 0; j < 40; j++) {
                const double c = (double)C[1 + i * 40 + j], b = (double)B[3 + 7 * 40 + j];
                if (i != 5) ck_assert(isfinite(c));
                else ck_assert(with ? (b > 0 ? isinf(c) : c == 0) : isnan(c));
            }
        ck_assert(C[0] == 77 && C[1 + 32 * 40] == 77);
    }
    stop();
}
END_TEST

/* ---- threads ----------------------------------------------------------------------------------------------------- */

struct racer {
    pthread_t thread;
    uint32_t index;
    double worst;
};

static void *race(void *argument) {
    struct racer *racer = argument;
    enum { N = 96 };
    bp_real *x = bp_reals_new(4 * N * N), *y = x + N * N, *z = y + N * N, *truth = z + N * N;
    struct bp_gemm call = {.m = N, .n = N, .k = N, .A = x, .B = y, .C = z, .lda = N, .ldb = N, .ldc = N};
    fill(x, N * N, racer->index);
    fill(y, N * N, racer->index + 100);
    call.C = truth;
    bp_gemm_reference(&call);
    call.C = z;
    for (int round = 0; round < 200; round++) {
        bp_gemm(&call);
        for (int i = 0; i < N * N; i++) racer->worst = fmax(racer->worst, fabs((double)(z[i] - truth[i])));
    }
    free(x);
    return NULL;
}

START_TEST(threads_have_separate_primitives) {
    struct racer racers[4] = {{.index = 1}, {.index = 2}, {.index = 3}, {.index = 4}};
    START_OR_SKIP(false);
    for (int i = 0; i < 4; i++) ck_assert_int_eq(pthread_create(&racers[i].thread, NULL, race, &racers[i]), 0);
    for (int i = 0; i < 4; i++) {
        pthread_join(racers[i].thread, NULL);
        ck_assert_double_lt(racers[i].worst, 1e-4);
    }
    stop();
}
END_TEST

/* ---- layers ------------------------------------------------------------------------------------------------------ */

static const char *const convolutions[] = {
    "conv2d filters=24 kernel_size=3 padding=same activation=relu",
    "conv2d filters=12 kernel_size=3,2 strides=2 padding=1 activation=gelu",
    "conv2d filters=12 kernel_size=2 dilation_rate=2 groups=3 activation=tanh use_bias=0",
    "conv2d filters=6 kernel_size=3 groups=6 padding=same",
    "conv2d filters=16 kernel_size=1 activation=leaky_relu:0.1",
    "conv2d filters=8 kernel_size=4 strides=3,2 activation=prelu",
};
enum { CONVOLUTIONS = 6, BATCH = 16 };

/* The predictions, the gradient of the weights and that of the input of a network with two convolutions, by whatever is started. */
static size_t passes(int which, enum bp_precision precision, bp_real **numbers) {
    char text[256];
    snprintf(text, sizeof text, "conv2d filters=6 kernel_size=3 padding=same; %s; flatten; dense units=5", convolutions[which]);
    struct bp_network *net = test_network(text, "cross_entropy", (struct bp_shape){3, {12, 11, 6}});
    struct bp_workspace *ws = NULL;
    struct bp_error error = {0};
    const size_t n = net->weights_count, x = (size_t)BATCH * 12 * 11 * 6, z = BATCH * 5;
    bp_real *weights = bp_reals_new(n), y[BATCH];
    *numbers = bp_reals_new(n + x + z);
    ck_assert_int_eq(bp_workspace_new(net, BATCH, true, &ws, &error), 0);
    bp_workspace_precision(ws, precision);
    bp_network_initialize(net, 3, weights);
    fill(bp_workspace_input(ws, 0), x, 9);
    for (int i = 0; i < BATCH; i++) y[i] = (bp_real)(i % 5);
    struct bp_draw draw = {.seed = 1, .share = 1};
    struct bp_loss_call call = {.batch = BATCH, .y = y, .scale = 1.0 / BATCH};
    bp_loss_forward(net, weights, ws, &draw, &call, true);
    memcpy(*numbers + n + x, call.z, z * sizeof(bp_real));
    bp_loss_backward(net, weights, ws, *numbers, false, true);
    memcpy(*numbers + n, bp_workspace_input_gradient(ws, 0), x * sizeof(bp_real));
    bp_workspace_free(ws);
    bp_network_free(net);
    free(weights);
    return n + x + z;
}

static double distance(const bp_real *got, const bp_real *from, size_t n) {
    double squares = 0, differences = 0;
    for (size_t i = 0; i < n; i++) {
        squares += (double)from[i] * (double)from[i];
        differences += pow((double)got[i] - (double)from[i], 2);
    }
    return sqrt(differences / squares);
}

START_TEST(convolutions_equal_our_own) {
    START_OR_SKIP(false);
    stop();
    bp_real *own, *other, *again;
    const size_t n = passes(_i, BP_PRECISION_FLOAT32, &own);
    ck_assert(start(BP_ONEDNN_ON, false));
    passes(_i, BP_PRECISION_FLOAT32, &other);
    passes(_i, BP_PRECISION_FLOAT32, &again);
    ck_assert_mem_eq(other, again, n * sizeof *own); /* the same bits again */
    ck_assert_mem_ne(other, own, n * sizeof *own);   /* it was the library */
    ck_assert_double_lt(distance(other, own, n), 2e-6);
    stop();
    free(other);
    free(again);
    free(own);
}
END_TEST

/* Relative to the whole gradient bfloat16, with 8 bits of each factor, is off by less than 2 %. */
START_TEST(gradients_in_bfloat16) {
    START_OR_SKIP(true);
    stop();
    bp_real *own, *half, *single;
    const size_t n = passes(_i, BP_PRECISION_FLOAT32, &own);
    ck_assert(start(BP_ONEDNN_ON, true));
    passes(_i, BP_PRECISION_BFLOAT16, &half);
    passes(_i, BP_PRECISION_FLOAT32, &single);
    ck_assert_double_lt(distance(single, own, n), 2e-6);
    const double error = distance(half, own, n);
    printf("%s: gradient error in bfloat16 %.4f\n", convolutions[_i], error);
    ck_assert_double_gt(error, 1e-4);
    ck_assert_double_lt(error, 0.02);
    stop();
    free(half);
    free(single);
    free(own);
}
END_TEST

/* ---- training ---------------------------------------------------------------------------------------------------- */

static void fill_batch(const void *context, const int64_t *rows, int32_t n, const struct bp_batch *batch) {
    (void)context;
    for (int32_t i = 0; i < n; i++) {
        struct bp_random random = bp_random_open(5, BP_STREAM_USER, (uint32_t)rows[i]);
        batch->targets[0][i] = (bp_real)(rows[i] % 3);
        for (int j = 0; j < 96; j++) batch->inputs[0][i * 96 + j] = (bp_real)(bp_random_normal(&random) + (j % 3 == rows[i] % 3));
    }
}

static struct bp_trainer *trainer(const struct bp_network *net, int32_t threads, enum bp_precision precision, struct bp_error *error) {
    static const struct bp_source source = {.rows = 256, .fill = fill_batch};
    struct bp_train_options options = {
        .epochs = 4, .batch_size = 64, .threads = threads, .precision = precision, .seed = 3, .tasks = {{.classes = 3}}};
    struct bp_trainer *made = NULL;
    options.optimizer = (const struct bp_optimizer_ops *)bp_family_find(&bp_optimizers, "adam");
    bp_values_preset(&options.optimizer->entry, options.optimizer_values);
    bp_trainer_new(net, &options, &source, NULL, &made, error);
    return made;
}

/* Weights after the training, the caller's. */
static bp_real *train(const struct bp_network *net, int32_t threads, enum bp_precision precision, double *loss) {
    struct bp_error error = {0};
    struct bp_trainer *made = trainer(net, threads, precision, &error);
    ck_assert_msg(made != NULL, "%s", error.message);
    long live = 0, step = 0;
    while (bp_trainer_step(made) != BP_TRAIN_DONE)
        if (++step == 4) live = test_live_blocks();
        else if (step > 4) ck_assert_int_le(test_live_blocks(), live); /* all that is kept was made in the first steps */
    bp_real *weights = bp_reals_new(net->weights_count);
    memcpy(weights, bp_trainer_result(made), net->weights_count * sizeof *weights);
    *loss = bp_trainer_metric_value(made, 0);
    bp_trainer_free(made);
    return weights;
}

/* _i: 1 for bfloat16. */
START_TEST(a_training_repeats_and_keeps_its_memory) {
    START_OR_SKIP(_i);
    stop();
    struct bp_network *net =
        test_network("dense units=64 activation=relu; dense units=48 activation=tanh; dense units=3", "cross_entropy", (struct bp_shape){1, {96}});
    double plain, loss, again;
    bp_real *own = train(net, 1, BP_PRECISION_FLOAT32, &plain);
    for (int32_t threads = 1; threads <= 2; threads++) {
        ck_assert(start(BP_ONEDNN_ON, _i));
        bp_real *first = train(net, threads, (enum bp_precision)_i, &loss), *second = train(net, threads, (enum bp_precision)_i, &again);
        ck_assert_mem_eq(first, second, net->weights_count * sizeof *first);
        ck_assert_mem_ne(first, own, net->weights_count * sizeof *first);
        ck_assert_double_eq_tol(loss, plain, _i ? 0.02 * plain : 1e-4 * plain);
        free(first);
        free(second);
        stop();
    }
    free(own);
    bp_network_free(net);
}
END_TEST

/* ---- whether ----------------------------------------------------------------------------------------------------- */

START_TEST(it_reports_when_it_is_used) {
    struct bp_error why = {0};
    stop();
    ck_assert_str_eq(bp_onednn_name(), "");
    ck_assert_ptr_null(strstr(bp_blas_name(), "oneDNN"));
    ck_assert_int_eq(bp_onednn_start(BP_ONEDNN_OFF, false, &why), -1);
    ck_contains(why.message, "is disabled");
    ck_assert_int_eq(why.code, BP_ERROR_UNSUPPORTED);
    START_OR_SKIP(false);
    ck_contains(bp_blas_name(), "OpenBLAS");
    ck_contains(bp_blas_name(), ", oneDNN 2.");
    stop();
    ck_assert_ptr_null(strstr(bp_blas_name(), "oneDNN"));
    const struct bp_gemm call = product(64, 64, 64, 0, 0);
    ck_assert(!bp_onednn_gemm(&call));
}
END_TEST

START_TEST(a_wrong_library_is_not_used) {
    struct bp_error why = {0};
    START_OR_SKIP(false);
    bp_blas_selftest_fault(true);
    ck_assert_int_eq(bp_onednn_start(BP_ONEDNN_ON, false, &why), -1);
    bp_blas_selftest_fault(false);
    ck_contains(why.message, "wrongly");
    why = (struct bp_error){0};
    ck_assert(!bp_bfloat16_available(&why));
    ck_assert_int_eq(why.code, BP_ERROR_UNSUPPORTED);
    ck_assert(strstr(why.message, "wrongly") || strstr(why.message, "this CPU"));
    ck_assert_str_eq(bp_onednn_name(), "");
    const struct bp_gemm call = product(64, 64, 64, 0, 0);
    ck_assert(!bp_onednn_gemm(&call));
}
END_TEST

START_TEST(bfloat16_is_refused_unless_started) {
    struct bp_network *net = test_network("dense units=3", "cross_entropy", (struct bp_shape){1, {96}});
    struct bp_error error = {0};
    struct bp_error why = {0};
    ck_assert_ptr_null(trainer(net, 1, BP_PRECISION_BFLOAT16, &error));
    ck_assert_str_eq(error.pointer, "/precision");
    ck_contains(error.message, "bfloat16");
    ck_contains(error.message, "float32");
    ck_assert(bp_bfloat16_available(&why) ? !why.message[0] : strlen(why.message) > 10);
    ck_assert(!bp_bfloat16_started());
    if (start(BP_ONEDNN_ON, false)) {
        ck_assert(!bp_bfloat16_started());
        stop();
    }
    bp_network_free(net);
}
END_TEST

Suite *suite_onednn(void);
Suite *suite_onednn(void) {
    Suite *suite = suite_create("onednn");
    TCase *tests = tcase_create("onednn");
    tcase_set_timeout(tests, 120);
    tcase_add_loop_test(tests, products_of_odd_sizes, 0, 2);
    tcase_add_loop_test(tests, unaligned_and_not_a_number, 0, 2);
    tcase_add_test(tests, threads_have_separate_primitives);
    tcase_add_loop_test(tests, convolutions_equal_our_own, 0, CONVOLUTIONS);
    tcase_add_loop_test(tests, gradients_in_bfloat16, 0, CONVOLUTIONS);
    tcase_add_loop_test(tests, a_training_repeats_and_keeps_its_memory, 0, 2);
    tcase_add_test(tests, it_reports_when_it_is_used);
    tcase_add_test(tests, a_wrong_library_is_not_used);
    tcase_add_test(tests, bfloat16_is_refused_unless_started);
    suite_add_tcase(suite, tests);
    return suite;
}

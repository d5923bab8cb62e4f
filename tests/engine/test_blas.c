/* test_blas.c - engine/kernels/blas.c, vector_gemm.h, selftest.c: products of every small shape and transposition on every
 * instruction set against the reference; the self-test passes, and fails when it should. */
#include "tests/engine/support.h"

#include "engine/kernels/kernels.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const isas[] = {"base", "avx2", "avx512"};
static const int32_t sizes[] = {1, 2, 3, 7, 16, 31, 33, 127};
enum { SIZES = 8, MOST = 300, WIDE = 1040 };

static bp_real A[WIDE * WIDE], B[WIDE * WIDE], C[WIDE * WIDE], expected[WIDE * WIDE], bias[WIDE];

static void fill(bp_real *x, size_t n, uint32_t index) {
    struct bp_random random = bp_random_open(12, BP_STREAM_USER, index);
    for (size_t i = 0; i < n; i++) x[i] = (bp_real)(2 * bp_random_uniform(&random) - 1);
}

enum { TRANSPOSE_A = 1, TRANSPOSE_B = 2, ADD = 4, BIAS = 8, RELU = 16, LEAKY = 32 };

/* Rows of A, B and C are `slack` longer than needed; the space between must not change. */
static void compare(int32_t m, int32_t n, int32_t k, unsigned flags, int32_t slack, void (*product)(const struct bp_gemm *)) {
    struct bp_gemm call = {.transpose_a = flags & TRANSPOSE_A,
                           .transpose_b = flags & TRANSPOSE_B,
                           .add = flags & ADD,
                           .m = m,
                           .n = n,
                           .k = k,
                           .A = A,
                           .B = B,
                           .C = C,
                           .ldc = n + slack};
    if (flags & BIAS) call.bias = bias;
    call.rectify = (flags & (RELU | LEAKY)) != 0;
    call.slope = flags & LEAKY ? 0.25f : 0;
    call.lda = (call.transpose_a ? m : k) + slack;
    call.ldb = (call.transpose_b ? k : n) + slack;
    const size_t count = (size_t)m * (size_t)call.ldc;
    fill(C, count, 3);
    memcpy(expected, C, count * sizeof *C);
    product(&call);
    call.C = expected;
    bp_gemm_reference(&call);
    for (size_t i = 0; i < count; i++)
        if (!(fabs((double)(C[i] - expected[i])) <= 1e-6 * (4 + k)))
            ck_abort_msg("(%d, %d, %d) flags %u slack %d: at %zu got %g, expected %g", m, n, k, flags, slack, i, (double)C[i], (double)expected[i]);
}

START_TEST(every_shape_on_every_isa) {
    const struct bp_kernels *kernels = bp_kernels_find(isas[_i]);
    if (!kernels) SKIP_TEST("this CPU has no %s", isas[_i]);
    fill(A, MOST * MOST, 1);
    fill(B, MOST * MOST, 2);
    fill(bias, MOST, 4);
    for (int m = 0; m < SIZES; m++)
        for (int n = 0; n < SIZES; n++)
            for (int k = 0; k < SIZES; k++)
                for (unsigned flags = 0; flags < 8; flags++) {
                    const unsigned ending = flags | (unsigned[]){0, BIAS, RELU, BIAS | RELU, BIAS | LEAKY, LEAKY}[(n + k + (int)flags) % 6];
                    compare(sizes[m], sizes[n], sizes[k], flags, (int32_t)(flags + (unsigned)n) % 3, kernels->gemm);
                    compare(sizes[m], sizes[n], sizes[k], ending, (int32_t)(flags + (unsigned)n) % 3, kernels->gemm);
                    if (sizes[m] == 1) compare(1, sizes[n], sizes[k], ending, n % 2, kernels->gemv);
                    if (sizes[m] == 1) compare(1, sizes[n], sizes[k], flags, n % 2, kernels->gemv);
                }
    compare(9, 70, 299, 0, 0, kernels->gemm); /* more than one block of k */
    compare(9, 37, 290, 7, 1, kernels->gemm);
    compare(9, 37, 290, ADD | BIAS | RELU, 1, kernels->gemm);
    compare(31, 70, 299, BIAS | LEAKY, 0, kernels->gemm);
    compare(1, 299, 299, 0, 0, kernels->gemv);
}
END_TEST

/* Where A is copied because its rows are far apart, and where C is larger than the caches: several blocks, the last ones cut on all sides. */
START_TEST(wide_products) {
    const struct bp_kernels *kernels = bp_kernels_find(isas[_i]);
    if (!kernels) SKIP_TEST("this CPU has no %s", isas[_i]);
    fill(A, (size_t)WIDE * WIDE, 1);
    fill(B, (size_t)WIDE * WIDE, 2);
    fill(bias, WIDE, 4);
    static const unsigned flags[] = {TRANSPOSE_A, TRANSPOSE_A | TRANSPOSE_B, TRANSPOSE_A | ADD, TRANSPOSE_A | ADD | BIAS | RELU, BIAS | LEAKY};
    for (size_t f = 0; f < sizeof flags / sizeof *flags; f++) {
        compare(1027, 261, 5, flags[f], 1, kernels->gemm);
        compare(1026, 1037, 2, flags[f], 2, kernels->gemm);
    }
    compare(1029, 258, 259, TRANSPOSE_A | BIAS, 0, kernels->gemm);
}
END_TEST

START_TEST(gemm_on_every_isa) {
    if (!bp_kernels_find(isas[_i])) SKIP_TEST("this CPU has no %s", isas[_i]);
    ck_assert_int_eq(bp_kernels_force(isas[_i]), 0);
    fill(A, MOST * MOST, 1);
    fill(B, MOST * MOST, 2);
    fill(bias, MOST, 4);
    static const int32_t shapes[][3] = {{1, 290, 290},  {4, 200, 200},  {5, 200, 200},  {64, 64, 64},    {65, 65, 65},
                                        {128, 10, 256}, {128, 17, 256}, {200, 100, 99}, {130, 300, 290}, {290, 290, 7}};
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
        for (unsigned flags = 0; flags < 64; flags += flags < 7 ? 1 : 5) {
            compare(shapes[s][0], shapes[s][1], shapes[s][2], flags, 0, bp_gemm);
            const size_t bytes = sizeof(bp_real) * (size_t)shapes[s][0] * (size_t)shapes[s][1];
            bp_real *first = malloc(bytes);
            memcpy(first, C, bytes);
            compare(shapes[s][0], shapes[s][1], shapes[s][2], flags, 0, bp_gemm);
            ck_assert_mem_eq(first, C, bytes); /* the same bits again */
            free(first);
        }
}
END_TEST

START_TEST(nan_propagates) {
    if (!bp_kernels_find(isas[_i])) SKIP_TEST("this CPU has no %s", isas[_i]);
    ck_assert_int_eq(bp_kernels_force(isas[_i]), 0);
    for (int32_t m = 1; m <= 96; m += 19) {
        fill(A, MOST * MOST, 1);
        fill(B, MOST * MOST, 2);
        A[(m - 1) * 96 + 5] = NAN;
        const struct bp_gemm call = {.rectify = m % 2 == 0, .m = m, .n = 96, .k = 96, .A = A, .B = B, .C = C, .lda = 96, .ldb = 96, .ldc = 96};
        bp_gemm(&call);
        for (int j = 0; j < 96; j++) ck_assert(isnan(C[(m - 1) * 96 + j]) && (m == 1 || !isnan(C[j])));
    }
}
END_TEST

/* Rows for a 0 need not be read; one of not a number must. */
START_TEST(one_row_with_zeros) {
    const struct bp_kernels *kernels = bp_kernels_find(isas[_i]);
    if (!kernels) SKIP_TEST("this CPU has no %s", isas[_i]);
    fill(B, MOST * MOST, 2);
    for (int every = 1; every < 40; every += 3) {
        fill(A, MOST * MOST, 1);
        for (int i = 0; i < MOST; i++) A[i] = i % every ? 0 : A[i];
        struct bp_gemm call = {.m = 1, .n = 70, .k = 299, .A = A, .B = B, .C = C, .lda = 299, .ldb = 70, .ldc = 70};
        kernels->gemv(&call);
        call.C = expected;
        bp_gemm_reference(&call);
        for (int j = 0; j < 70; j++) ck_assert_double_eq_tol((double)C[j], (double)expected[j], 1e-6 * 299);
        A[every] = NAN;
        call.C = C;
        kernels->gemv(&call);
        for (int j = 0; j < 70; j++) ck_assert(isnan(C[j]));
    }
}
END_TEST

START_TEST(selftest_passes) {
    struct bp_error error = {0};
    if (!bp_kernels_find(isas[_i])) SKIP_TEST("this CPU has no %s", isas[_i]);
    ck_assert_int_eq(bp_kernels_force(isas[_i]), 0);
    ck_assert_msg(bp_blas_selftest(&error) == 0, "%s", error.message);
}
END_TEST

START_TEST(selftest_finds_a_fault) {
    struct bp_error error = {0};
    bp_blas_selftest_fault(true);
    ck_assert_int_eq(bp_blas_selftest(&error), -1);
    ck_contains(error.message, "matrix product");
    ck_contains(error.message, "OPENBLAS_CORETYPE");
    bp_blas_selftest_fault(false);
    ck_assert_int_eq(bp_blas_selftest(NULL), 0);
    ck_contains(bp_blas_name(), "OpenBLAS");
}
END_TEST

Suite *suite_blas(void);
Suite *suite_blas(void) {
    Suite *suite = suite_create("blas");
    TCase *tests = tcase_create("blas");
    tcase_set_timeout(tests, 120);
    tcase_add_loop_test(tests, every_shape_on_every_isa, 0, 3);
    tcase_add_loop_test(tests, wide_products, 0, 3);
    tcase_add_loop_test(tests, gemm_on_every_isa, 0, 3);
    tcase_add_loop_test(tests, nan_propagates, 0, 3);
    tcase_add_loop_test(tests, one_row_with_zeros, 0, 3);
    tcase_add_loop_test(tests, selftest_passes, 0, 3);
    tcase_add_test(tests, selftest_finds_a_fault);
    suite_add_tcase(suite, tests);
    return suite;
}

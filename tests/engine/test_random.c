/* test_random.c - engine/base/random.c: the known answers of Philox4x32-10 (Random123's kat_vectors), distributions, purity; initializers. */
#include "tests/engine/support.h"

#include "engine/base/random.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

START_TEST(philox_known_answers) {
    static const struct {
        uint64_t seed, stream, counter;
        uint32_t block[4];
    } answers[] = {
        {0, 0, 0, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {UINT64_MAX, UINT64_MAX, UINT64_MAX, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {0x299f31d0a4093822, 0x0370734413198a2e, 0x85a308d3243f6a88, {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < 3; i++) {
        uint32_t block[4];
        bp_random_block(answers[i].seed, answers[i].stream, answers[i].counter, block);
        ck_assert_mem_eq(block, answers[i].block, sizeof block);
    }
}
END_TEST

START_TEST(streams_are_pure_and_distinct) {
    struct bp_random a = bp_random_open(7, BP_STREAM_SHUFFLE, 3), b = bp_random_open(7, BP_STREAM_SHUFFLE, 3),
                     c = bp_random_open(7, BP_STREAM_SHUFFLE, 4);
    int same = 0;
    for (int i = 0; i < 100; i++) {
        const uint32_t x = bp_random_u32(&a);
        ck_assert_uint_eq(x, bp_random_u32(&b));
        same += x == bp_random_u32(&c);
    }
    ck_assert_int_le(same, 1);
}
END_TEST

START_TEST(uniform_and_normal_have_their_moments) {
    struct bp_random random = bp_random_open(1, BP_STREAM_USER, 0);
    enum { N = 200000 };
    double mean = 0, square = 0, normal = 0, normal_2 = 0, normal_4 = 0;
    for (int i = 0; i < N; i++) {
        const double u = bp_random_uniform(&random);
        ck_assert(u >= 0 && u < 1);
        mean += u / N;
        square += u * u / N;
    }
    for (int i = 0; i < N; i++) {
        const double z = bp_random_normal(&random);
        normal += z / N;
        normal_2 += z * z / N;
        normal_4 += z * z * z * z / N;
    }
    ck_assert_double_eq_tol(mean, 0.5, 0.004);
    ck_assert_double_eq_tol(square, 1.0 / 3, 0.004);
    ck_assert_double_eq_tol(normal, 0, 0.01);
    ck_assert_double_eq_tol(normal_2, 1, 0.02);
    ck_assert_double_eq_tol(normal_4, 3, 0.12);
}
END_TEST

START_TEST(normal_bits_are_fixed) {
    /* Computed once; another libm or compiler must give the same. */
    struct bp_random random = bp_random_open(42, BP_STREAM_INITIALIZE, 0);
    uint64_t hash = 1469598103934665603u;
    for (int i = 0; i < 1000; i++) {
        const double z = bp_random_normal(&random);
        uint64_t bits;
        memcpy(&bits, &z, sizeof bits);
        hash = (hash ^ bits) * 1099511628211u;
    }
    ck_assert_uint_eq(hash, UINT64_C(0x844664ed7b794758));
}
END_TEST

START_TEST(below_is_even) {
    struct bp_random random = bp_random_open(5, BP_STREAM_USER, 1);
    int count[7] = {0};
    for (int i = 0; i < 70000; i++) count[bp_random_below(&random, 7)]++;
    for (int k = 0; k < 7; k++) ck_assert_int_lt(abs(count[k] - 10000), 400);
    for (int i = 0; i < 100; i++) {
        ck_assert_uint_eq(bp_random_below(&random, 1), 0);
        ck_assert_uint_lt(bp_random_below(&random, UINT64_C(1) << 40), UINT64_C(1) << 40);
    }
}
END_TEST

START_TEST(shuffle_is_a_permutation) {
    int64_t order[1000], other[1000];
    bool seen[1000] = {false};
    for (int i = 0; i < 1000; i++) order[i] = other[i] = i;
    struct bp_random random = bp_random_open(9, BP_STREAM_SHUFFLE, 0), again = random;
    bp_random_shuffle(&random, order, 1000);
    bp_random_shuffle(&again, other, 1000);
    ck_assert_mem_eq(order, other, sizeof order);
    int fixed = 0;
    for (int i = 0; i < 1000; i++) {
        ck_assert(!seen[order[i]]);
        seen[order[i]] = true;
        fixed += order[i] == i;
    }
    ck_assert_int_lt(fixed, 10);
    bp_random_shuffle(&random, order, 0);
    bp_random_shuffle(&random, order, 1);
}
END_TEST

/* Every initializer: the variance of its formula, and reproducible numbers. */
START_TEST(initializers_have_their_variance) {
    enum { N = 40000 };
    static const struct {
        const char *name;
        double mean, variance;
    } expected[] = {
        {"constant", 0.5, 0},
        {"glorot_normal", 0, 2.0 / 300},
        {"glorot_uniform", 0, 2.0 / 300},
        {"he_normal", 0, 2.0 / 100},
        {"he_uniform", 0, 2.0 / 100},
        {"lecun_normal", 0, 1.0 / 100},
        {"lecun_uniform", 0, 1.0 / 100},
        {"ones", 1, 0},
        {"orthogonal", 0, 0.25 / 200},
        {"zeros", 0, 0},
        {"auto", 0, 2.0 / 300},
    };
    ck_assert_int_eq(bp_initializers.count, (int)(sizeof expected / sizeof *expected));
    const struct bp_tensor tensor = {.shape = {2, {200, 200}}, .fan_in = 100, .fan_out = 200, .initializer_numbers = {0.5}}; /* value, gain */
    bp_real *W = bp_reals_new(N), *again = bp_reals_new(N);
    for (size_t k = 0; k < sizeof expected / sizeof *expected; k++) {
        const struct bp_initializer_ops *ops = (const struct bp_initializer_ops *)bp_family_find(&bp_initializers, expected[k].name);
        ck_assert_ptr_nonnull(ops);
        struct bp_random random = bp_random_open(3, BP_STREAM_INITIALIZE, 0), same = random;
        ops->fill(&tensor, &random, W, N);
        ops->fill(&tensor, &same, again, N);
        ck_assert_mem_eq(W, again, N * sizeof *W);
        double mean = 0, square = 0;
        for (int i = 0; i < N; i++) {
            mean += (double)W[i] / N;
            square += (double)W[i] * (double)W[i] / N;
        }
        ck_assert_double_eq_tol(mean, expected[k].mean, 0.003);
        ck_assert_double_eq_tol(square - mean * mean, expected[k].variance, 0.04 * expected[k].variance + 1e-9);
    }
    free(W);
    free(again);
}
END_TEST

/* The smaller side of the matrix (all axes but the last, the last) is orthonormal, to what float32 holds; more vectors than a block. */
START_TEST(orthogonal_matrices) {
    static const struct bp_shape shapes[] = {{2, {7, 7}}, {2, {200, 70}}, {2, {70, 200}}, {2, {1, 5}}, {1, {6}}, {4, {3, 3, 4, 9}}};
    const struct bp_initializer_ops *ops = (const struct bp_initializer_ops *)bp_family_find(&bp_initializers, "orthogonal");
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        const struct bp_tensor tensor = {.shape = shapes[s], .initializer_numbers = {2}};
        const int64_t n = bp_shape_size(&shapes[s]), columns = shapes[s].dims[shapes[s].rank - 1], rows = n / columns;
        const int64_t count = columns <= rows ? columns : rows, next = columns <= rows ? 1 : columns, stride = columns <= rows ? columns : 1;
        struct bp_random random = bp_random_open(s, BP_STREAM_INITIALIZE, 0);
        bp_real *W = bp_reals_new((size_t)n);
        ops->fill(&tensor, &random, W, (size_t)n);
        for (int64_t a = 0; a < count; a++)
            for (int64_t b = 0; b <= a; b++) {
                double product = 0;
                for (int64_t e = 0; e < n / count; e++) product += (double)W[a * next + e * stride] * (double)W[b * next + e * stride];
                ck_assert_double_eq_tol(product, a == b ? 4 : 0, 2e-6);
            }
        free(W);
    }
}
END_TEST

Suite *suite_random(void);
Suite *suite_random(void) {
    Suite *suite = suite_create("random");
    TCase *tests = tcase_create("random");
    tcase_add_test(tests, philox_known_answers);
    tcase_add_test(tests, streams_are_pure_and_distinct);
    tcase_add_test(tests, uniform_and_normal_have_their_moments);
    tcase_add_test(tests, normal_bits_are_fixed);
    tcase_add_test(tests, below_is_even);
    tcase_add_test(tests, shuffle_is_a_permutation);
    tcase_add_test(tests, initializers_have_their_variance);
    tcase_add_test(tests, orthogonal_matrices);
    suite_add_tcase(suite, tests);
    return suite;
}

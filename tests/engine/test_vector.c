/* test_vector.c - engine/kernels/vector.c: the kernels of every instruction set this CPU has against plain C, on odd sizes, unaligned, with
 * infinities and NaN; and the error of exp, e^x - 1, tanh, sigmoid and erf on a sample of all floats (ulp.c walks them all). */
#include "tests/engine/support.h"

#include "tests/engine/ulp.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const isas[] = {"base", "avx2", "avx512"};
static const size_t sizes[] = {1, 2, 3, 7, 31, 33, 127};
enum { SIZES = 7, ROOM = 1024 };

/* The table of loop number _i; NULL when this CPU cannot run it. */
static const struct bp_kernels *table(int i) {
    return bp_kernels_find(isas[i]);
}

static void fill(bp_real *x, size_t n, uint32_t index, double scale) {
    struct bp_random random = bp_random_open(11, BP_STREAM_USER, index);
    for (size_t i = 0; i < n; i++) x[i] = (bp_real)(scale * bp_random_normal(&random));
}

/* ---- functions of one number ------------------------------------------------------------------------------------- */

/* A sample of all floats, one in 4099 bit patterns: every exponent with two thousand mantissas, both signs, subnormals, infinities, NaN. */
START_TEST(functions_keep_their_bound) {
    const struct bp_kernels *k = table(_i);
    const uint32_t step = 4099;
    if (!k) SKIP_TEST("this CPU has no %s", isas[_i]);
    for (int f = 0; f < ULP_FUNCTIONS; f++) {
        float x[ULP_BLOCK], y[ULP_BLOCK];
        for (uint64_t first = 0; first < UINT64_C(1) << 32; first += (uint64_t)step * ULP_BLOCK) {
            ulp_inputs((uint32_t)first, step, ULP_BLOCK, x);
            ulp_apply(k, f, ULP_BLOCK, x, y);
            for (int i = 0; i < ULP_BLOCK; i++) {
                const double truth = ulp_functions[f].exact((double)x[i]), error = ulp_error(truth, y[i]);
                if (!(error <= BP_ULP))
                    ck_abort_msg("%s(%a) is %a, %g units in the last place from %a", ulp_functions[f].name, (double)x[i], (double)y[i], error, truth);
            }
        }
    }
}
END_TEST

/* The yardstick itself. */
START_TEST(ulp_errors_are_documented) {
    ck_assert_double_eq(ulp_error(1, 1 + FLT_EPSILON), 1);
    ck_assert_double_eq(ulp_error(0.75, 0.75f - FLT_EPSILON), 2);
    ck_assert_double_eq(ulp_error(1 + 0.25 * (double)FLT_EPSILON, 1), 0.25);
    ck_assert_double_eq(ulp_error(3 * 0x1p-149, 5 * 0x1p-149f), 2);
    ck_assert_double_eq(ulp_error(0x1p-130, 0), 0);
    ck_assert(isinf(ulp_error(1e39, FLT_MAX)) && isinf(ulp_error((double)NAN, 1)) && isinf(ulp_error(1, NAN)));
    ck_assert_double_eq(ulp_error((double)NAN, NAN), 0);
}
END_TEST

START_TEST(functions_at_the_ends) {
    const struct bp_kernels *k = table(_i);
    if (!k) SKIP_TEST("this CPU has no %s", isas[_i]);
    const bp_real x[6] = {INFINITY, -INFINITY, NAN, 1000, -1000, 0};
    bp_real y[6];
    k->exp(6, x, y);
    ck_assert(isinf(y[0]) && y[0] > 0 && y[1] == 0 && isnan(y[2]) && isinf(y[3]) && y[4] == 0 && y[5] == 1);
    k->expm1(6, x, y);
    ck_assert(isinf(y[0]) && y[0] > 0 && y[1] == -1 && isnan(y[2]) && isinf(y[3]) && y[4] == -1 && y[5] == 0);
    k->tanh(6, x, y);
    ck_assert(y[0] == 1 && y[1] == -1 && isnan(y[2]) && y[3] == 1 && y[4] == -1 && y[5] == 0);
    k->sigmoid(6, x, y);
    ck_assert(y[0] == 1 && y[1] == 0 && isnan(y[2]) && y[3] == 1 && y[4] == 0 && y[5] == 0.5f);
    k->erf(6, x, y);
    ck_assert(y[0] == 1 && y[1] == -1 && isnan(y[2]) && y[3] == 1 && y[4] == -1 && y[5] == 0);
}
END_TEST

/* Any length, any alignment, in place: the same numbers as one at a time. */
START_TEST(functions_do_not_depend_on_position) {
    const struct bp_kernels *k = table(_i);
    if (!k) SKIP_TEST("this CPU has no %s", isas[_i]);
    void (*const maps[])(size_t, const bp_real *, bp_real *) = {k->exp, k->expm1, k->tanh, k->sigmoid, k->erf};
    bp_real room[ROOM], y[ROOM];
    for (size_t f = 0; f < 5; f++)
        for (size_t s = 0; s < SIZES; s++)
            for (size_t shift = 0; shift < 3; shift++) {
                fill(room, ROOM, (uint32_t)s, 3);
                memset(y, 0x55, sizeof y);
                maps[f](sizes[s], room + shift, y + 1);
                for (size_t i = 0; i < sizes[s]; i++) {
                    bp_real one;
                    maps[f](1, &room[shift + i], &one);
                    ck_assert_double_eq_tol((double)one, (double)y[1 + i], 3e-7 * (1 + fabs((double)one)));
                }
                ck_assert_mem_eq(&y[0], "\x55\x55\x55\x55", 4);
                ck_assert_mem_eq(&y[1 + sizes[s]], "\x55\x55\x55\x55", 4);
                maps[f](sizes[s], room + shift, room + shift);
                ck_assert_mem_eq(room + shift, y + 1, sizes[s] * sizeof *y);
            }
}
END_TEST

/* The bends of elu and mish and their slopes, in place too, against libm. */
START_TEST(bends_match_their_formulas) {
    const struct bp_kernels *k = table(_i);
    if (!k) SKIP_TEST("this CPU has no %s", isas[_i]);
    bp_real z[127], a[127], d[127], back[127];
    for (size_t s = 0; s < SIZES; s++) {
        const size_t n = sizes[s];
        fill(z, n, (uint32_t)s, 4);
        fill(d, n, (uint32_t)s + 10, 1);
        k->elu(n, (bp_real)1.5, (bp_real)0.7, z, a);
        k->elu_backward(n, (bp_real)1.5, (bp_real)0.7, a, d, back);
        for (size_t i = 0; i < n; i++) {
            const double x = (double)z[i], slope = x < 0 ? 0.7 * exp(x) : 1.5;
            ck_assert_double_eq_tol((double)a[i], x < 0 ? 0.7 * expm1(x) : 1.5 * x, 1e-6 * (1 + fabs(x)));
            ck_assert_double_eq_tol((double)back[i], (double)d[i] * slope, 1e-6 * (1 + fabs((double)d[i])));
        }
        k->mish(n, z, a);
        k->mish_backward(n, z, d, back);
        for (size_t i = 0; i < n; i++) {
            const double x = (double)z[i], t = tanh(log1p(exp(x))), slope = t + x * (1 - t * t) / (1 + exp(-x));
            ck_assert_double_eq_tol((double)a[i], x * t, 1e-6 * (1 + fabs(x)));
            ck_assert_double_eq_tol((double)back[i], (double)d[i] * slope, 2e-6 * (1 + fabs((double)d[i])));
        }
        k->mish_backward(n, z, d, d);
        ck_assert_mem_eq(d, back, n * sizeof *d);
        k->mish(n, z, z);
        ck_assert_mem_eq(z, a, n * sizeof *a);
    }
    const bp_real ends[3] = {INFINITY, -INFINITY, NAN};
    k->elu(3, 1, 1, ends, a);
    ck_assert(isinf(a[0]) && a[1] == -1 && isnan(a[2]));
}
END_TEST

/* ---- rows -------------------------------------------------------------------------------------------------------- */

START_TEST(softmax_loss_matches_its_formula) {
    const struct bp_kernels *k = table(_i);
    if (!k) SKIP_TEST("this CPU has no %s", isas[_i]);
    for (size_t s = 1; s < SIZES; s++)
        for (int weighted = 0; weighted < 2; weighted++) {
            const size_t width = sizes[s], rows = 37; /* more than one block of rows */
            bp_real *z = bp_reals_new(rows * width), *raw = bp_reals_new(rows * width), *d = bp_reals_new(rows * width);
            bp_real y[37], weights[37], counts[37];
            fill(raw, rows * width, 5, 4);
            memcpy(z, raw, rows * width * sizeof *z);
            for (size_t i = 0; i < rows; i++) {
                y[i] = (bp_real)(i * 7 % width);
                weights[i] = (bp_real)(0.25 * (double)(i % 5));
                counts[i] = (bp_real)(0.5 * (double)(i % 3));
            }
            double counted = 1, expected = 0, expected_counted = 1; /* what is there stays */
            const struct bp_softmax_loss call = {.rows = rows,
                                                 .width = width,
                                                 .z = z,
                                                 .y = y,
                                                 .weights = weighted ? weights : NULL,
                                                 .scale = 0.5f,
                                                 .d_z = d,
                                                 .counts = weighted == 1 ? counts : NULL,
                                                 .counted = &counted};
            const double loss = k->softmax_loss(&call);
            for (size_t i = 0; i < rows; i++) {
                double sum = 0, w = weighted ? (double)weights[i] : 1;
                for (size_t j = 0; j < width; j++) sum += exp((double)raw[i * width + j]);
                for (size_t j = 0; j < width; j++) {
                    const double p = exp((double)raw[i * width + j]) / sum;
                    ck_assert_double_eq_tol((double)z[i * width + j], p, 2e-6);
                    ck_assert_double_eq_tol((double)d[i * width + j], 0.5 * w * (p - (j == (size_t)y[i])), 2e-6);
                }
                const double one = log(sum) - (double)raw[i * width + (size_t)y[i]];
                expected += w * one;
                expected_counted += (weighted == 1 ? (double)counts[i] : 1) * one;
            }
            ck_assert_double_eq_tol(loss, expected, 1e-5 * expected);
            ck_assert_double_eq_tol(counted, expected_counted, 1e-5 * expected_counted);
            memcpy(z, raw, rows * width * sizeof *z);
            k->softmax(rows, width, z, z);
            double first = 0;
            for (size_t j = 0; j < width; j++) first += exp((double)raw[j]);
            ck_assert_double_eq_tol((double)z[0], exp((double)raw[0]) / first, 2e-6);
            free(z);
            free(raw);
            free(d);
        }
}
END_TEST

START_TEST(softmax_loss_is_stable_and_honest) {
    const struct bp_kernels *k = table(_i);
    if (!k) SKIP_TEST("this CPU has no %s", isas[_i]);
    bp_real z[6] = {1000, -1000, 0, -1000, 1000, 0}, d[6], y[2] = {1, 1};
    const struct bp_softmax_loss far = {.rows = 2, .width = 3, .z = z, .y = y, .scale = 1, .d_z = d};
    ck_assert_double_eq_tol(k->softmax_loss(&far), 2000, 1e-3);
    ck_assert(z[0] == 1 && z[1] == 0 && d[1] == -1 && d[4] == 0);
    const bp_real wrong[] = {-1, 3, NAN, INFINITY};
    for (int i = 0; i < 4; i++) {
        bp_real one[3] = {1, 2, 3};
        const struct bp_softmax_loss call = {.rows = 1, .width = 3, .z = one, .y = &wrong[i], .scale = 1};
        ck_assert(isnan(k->softmax_loss(&call)));
    }
    bp_real nan[3] = {1, NAN, 3};
    const struct bp_softmax_loss call = {.rows = 1, .width = 3, .z = nan, .y = y, .scale = 1};
    ck_assert(isnan(k->softmax_loss(&call)));
}
END_TEST

START_TEST(bias_and_rectifiers) {
    const struct bp_kernels *k = table(_i);
    if (!k) SKIP_TEST("this CPU has no %s", isas[_i]);
    for (size_t s = 0; s < SIZES; s++)
        for (int slope = 0; slope < 2; slope++) {
            const size_t width = sizes[s], rows = 5, n = rows * width;
            bp_real z[ROOM], b[ROOM], a[ROOM], d_a[ROOM], d_z[ROOM];
            const bp_real leak = slope ? 0.25f : 0;
            fill(z, n + 1, 1, 1);
            fill(b, width, 2, 1);
            fill(d_a, n, 3, 1);
            k->rectify(rows, width, leak, b, z + 1, a + 1);
            for (size_t i = 0; i < n; i++) {
                const bp_real sum = z[1 + i] + b[i % width];
                ck_assert(a[1 + i] == (sum < 0 ? leak * sum : sum));
            }
            k->rectify_backward(n, leak, a + 1, d_a, d_z);
            for (size_t i = 0; i < n; i++) ck_assert(d_z[i] == (a[1 + i] > 0 ? d_a[i] : leak * d_a[i]));
            k->add_bias(rows, width, b, z + 1);
            k->rectify(rows, width, leak, NULL, z + 1, z + 1);
            ck_assert_mem_eq(z + 1, a + 1, n * sizeof *z);
        }
    bp_real ends[3] = {NAN, INFINITY, -INFINITY};
    k->rectify(1, 3, 0, NULL, ends, ends);
    ck_assert(isnan(ends[0]) && isinf(ends[1]) && ends[2] == 0);
}
END_TEST

/* ---- sums -------------------------------------------------------------------------------------------------------- */

START_TEST(sums_and_products) {
    const struct bp_kernels *k = table(_i);
    if (!k) SKIP_TEST("this CPU has no %s", isas[_i]);
    for (size_t s = 0; s < SIZES; s++) {
        const size_t width = sizes[s], rows = 7, n = rows * width;
        bp_real d[ROOM], sums[ROOM], mask[ROOM], y[ROOM];
        fill(d, n, 1, 1);
        for (int keep = 0; keep < 2; keep++) {
            for (size_t j = 0; j <= width; j++) sums[j] = 100;
            k->column_sums(rows, width, d, sums, keep);
            for (size_t j = 0; j < width; j++) {
                double sum = keep ? 100 : 0;
                for (size_t i = 0; i < rows; i++) sum += (double)d[i * width + j];
                ck_assert_double_eq_tol((double)sums[j], sum, 2e-5);
            }
            ck_assert(sums[width] == 100);
        }
        double squares = 0;
        for (size_t i = 0; i < n; i++) {
            squares += (double)d[i] * (double)d[i];
            mask[i] = i % 3 ? 2 : 0;
            y[i] = 1;
        }
        ck_assert_double_eq_tol(k->sum_squares(n, d), squares, 1e-9 * squares);
        k->multiply(n, d, mask, y, true);
        for (size_t i = 0; i < n; i++) ck_assert_double_eq_tol((double)y[i], 1 + (double)(d[i] * mask[i]), 1e-6);
        k->multiply(n, d, mask, y, false);
        k->scaled_add(n, -2, d, y);
        for (size_t i = 0; i < n; i++) ck_assert_double_eq_tol((double)y[i], i % 3 ? 0 : -2 * (double)d[i], 1e-6);
        k->scale(n, 3, y);
        ck_assert_double_eq_tol((double)y[0], -6 * (double)d[0], 1e-5);
        ck_assert(k->finite(n, d));
        for (size_t i = 0; i < n; i += 13) {
            const bp_real held = d[i];
            d[i] = i % 2 ? NAN : INFINITY;
            ck_assert(!k->finite(n, d));
            d[i] = held;
        }
    }
}
END_TEST

/* To the nearest of the two neighbours that keep the upper 16 bits; of a tie to the even one. */
static uint16_t nearest_bfloat16(float x) {
    uint32_t word;
    memcpy(&word, &x, sizeof word);
    const uint32_t low = word & 0xffffu, up = word >> 16;
    if (isnan(x)) return (uint16_t)(up | 0x40u);
    return (uint16_t)(low > 0x8000u || (low == 0x8000u && up % 2) ? up + 1 : up);
}

START_TEST(bfloat16_is_the_nearest) {
    const struct bp_kernels *k = table(_i);
    const uint32_t ends[] = {0x3f808000u, 0x3f818000u, 0x3f808001u, 0x3f807fffu, 0x7f7fffffu, 0x7f800001u,
                             0x7fc00000u, 0x7f800000u, 0xff800000u, 1u,          0x80000000u};
    uint16_t y[ROOM];
    bp_real x[ROOM];
    if (!k) SKIP_TEST("this CPU has no %s", isas[_i]);
    for (size_t s = 0; s < SIZES; s++) {
        fill(x, ROOM, (uint32_t)s, 1e3);
        for (size_t i = 0; i < sizes[s] && i < 11; i++) memcpy(&x[1 + i], &ends[(i + s) % 11], sizeof *x);
        y[0] = y[1 + sizes[s]] = 0x5555;
        k->to_bfloat16(sizes[s], x + 1, y + 1);
        for (size_t i = 0; i < sizes[s]; i++) ck_assert_uint_eq(y[1 + i], nearest_bfloat16(x[1 + i]));
        ck_assert(y[0] == 0x5555 && y[1 + sizes[s]] == 0x5555);
    }
    const bp_real known[4] = {1, 1 + 0x1p-8f, 1 + 0x1.8p-7f, -3.3895e38f};
    k->to_bfloat16(4, known, y);
    ck_assert(y[0] == 0x3f80 && y[1] == 0x3f80 && y[2] == 0x3f82 && y[3] == 0xff7f);
}
END_TEST

/* 3 windows of 4 lines, of which 2 are within the image, a step of 2 apart: each line in its place, 0 outside, and back three times as often as
 * windows hold it. */
START_TEST(patches_there_and_back) {
    const struct bp_kernels *k = table(_i);
    enum { LINES = 4 };
    if (!k) SKIP_TEST("this CPU has no %s", isas[_i]);
    for (size_t s = 0; s < SIZES; s++) {
        const size_t line = sizes[s], row = line + 9, n = 3 * LINES * line;
        bp_real image[ROOM], back[ROOM] = {0}, matrix[2 * ROOM];
        fill(image, 2 * row, (uint32_t)s, 1);
        memset(matrix, 0x55, sizeof matrix);
        matrix[n] = 77;
        struct bp_patches call = {
            .count = 3, .lines = LINES, .from = 1, .until = 3, .line = line, .step = 2, .row = row, .image = image, .matrix = matrix};
        k->gather(&call);
        for (size_t i = 0; i < n; i++) {
            const size_t p = i / line / LINES, at = i / line % LINES;
            ck_assert(matrix[i] == (at == 0 || at == 3 ? 0 : image[2 * p + (at - 1) * row + i % line]));
        }
        ck_assert(matrix[n] == 77);
        call.image = back;
        k->scatter(&call);
        for (size_t i = 0; i < 2 * row; i++) {
            int times = 0;
            for (size_t p = 0; p < 3; p++) times += i % row >= 2 * p && i % row < 2 * p + line;
            ck_assert_double_eq_tol((double)back[i], times * (double)image[i], 1e-6);
        }
    }
}
END_TEST

/* Windows of 2 x 3 that move by 2 over an image of 2 rows, with equals, infinities and not a number among the cells. */
START_TEST(pools_of_any_width) {
    const struct bp_kernels *k = table(_i);
    enum { COUNT = 3, ACROSS = 7 };
    if (!k) SKIP_TEST("this CPU has no %s", isas[_i]);
    for (size_t s = 0; s < SIZES; s++) {
        const size_t C = sizes[s], n = 2 * ACROSS * C;
        bp_real *x = bp_reals_new(n + 1), *a = bp_reals_new(4 * COUNT * C + 1), *which = a + COUNT * C, *d_a = which + COUNT * C,
                *d_x = bp_reals_new(n + 1);
        fill(x, n, (uint32_t)s, 1);
        fill(d_a, COUNT * C, 3, 1);
        for (size_t i = 0; i < n; i += 3) x[i] = i % 2 ? 1 : i % 5 ? INFINITY : NAN;
        struct bp_max_pool call = {
            .count = COUNT, .channels = C, .step = 2 * C, .row = ACROSS * C, .size = {2, 3}, .x = x, .a = a, .which = which, .d_a = d_a, .d_x = d_x};
        a[3 * COUNT * C] = d_x[n] = 77;
        k->max_pool(&call);
        call.add = true;
        for (size_t i = 0; i < n; i++) d_x[i] = 1;
        k->max_pool_back(&call);
        for (size_t p = 0; p < COUNT; p++)
            for (size_t c = 0; c < C; c++) {
                size_t at = 0;
                for (size_t cell = 0; cell < 6; cell++) {
                    const bp_real one = x[(cell / 3 * ACROSS + p * 2 + cell % 3) * C + c], best = x[(at / 3 * ACROSS + p * 2 + at % 3) * C + c];
                    if (one > best || isnan(one)) at = cell;
                }
                const bp_real best = x[(at / 3 * ACROSS + p * 2 + at % 3) * C + c];
                ck_assert(a[p * C + c] == best || (isnan(best) && isnan(a[p * C + c])));
                ck_assert(which[p * C + c] == (bp_real)at);
                d_x[(at / 3 * ACROSS + p * 2 + at % 3) * C + c] -= d_a[p * C + c];
            }
        for (size_t i = 0; i < n; i++) ck_assert_double_eq_tol((double)d_x[i], 1, 1e-6);
        call.add = false;
        call.count = 1;
        k->max_pool_back(&call);
        for (size_t i = 0; i < 3 * C; i++) ck_assert(d_x[i] == (which[i % C] == (bp_real)(i / C) ? d_a[i % C] : 0));
        ck_assert(a[3 * COUNT * C] == 77 && d_x[n] == 77);
        free(x);
        free(a);
        free(d_x);
    }
}
END_TEST

START_TEST(dropout_mask_is_philox) {
    const struct bp_kernels *k = table(_i);
    if (!k) SKIP_TEST("this CPU has no %s", isas[_i]);
    for (size_t s = 0; s < SIZES; s++) {
        bp_real mask[ROOM], x[ROOM];
        mask[sizes[s]] = x[sizes[s]] = 77;
        for (size_t i = 0; i < sizes[s]; i++) x[i] = (bp_real)i + 1;
        const struct bp_dropout_mask call = {.x = x,
                                             .y = x,
                                             .seed = UINT64_C(0x123456789abcdef0),
                                             .stream = UINT64_C(0xfedcba9876543210),
                                             .counter = UINT32_MAX - 2u,
                                             .threshold = 0x40000000u,
                                             .value = 4,
                                             .n = sizes[s],
                                             .mask = mask};
        k->dropout_mask(&call);
        for (size_t i = 0; i < sizes[s]; i++) {
            uint32_t block[4];
            bp_random_block(call.seed, call.stream, call.counter + i / 4, block);
            ck_assert(mask[i] == (block[i % 4] < call.threshold ? 0 : 4));
            ck_assert(x[i] == mask[i] * (bp_real)(i + 1));
        }
        ck_assert(mask[sizes[s]] == 77 && x[sizes[s]] == 77);
    }
}
END_TEST

/* A double of any sign and significand, its exponent between two. */
static double any_double(uint64_t *state, int least, int most) {
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    const uint64_t mixed = (*state ^ *state >> 29) * UINT64_C(0xBF58476D1CE4E5B9);
    const double significand = 1 + (double)(mixed >> 12) * 0x1p-52;
    return ldexp(mixed & 1 ? -significand : significand, least + (int)(mixed >> 1 & 0x7FF) % (most - least + 1));
}

static void check_standard(const struct bp_kernels *k, size_t n, const double *v, double mean, double std) {
    enum { MOST = 64 };
    float z[MOST];
    const struct bp_standard call = {n, v, 0.5, mean, std, (double)FLT_MAX, z};
    bool fits = true;
    if (k->standardise(&call)) {
        for (size_t i = 0; i < n; i++) {
            const float want = (float)(((isnan(v[i]) ? 0.5 : v[i]) - mean) / std);
            ck_assert_msg(memcmp(&z[i], &want, sizeof want) == 0, "%s: (%a - %a) / %a is %a, not %a", k->name, v[i], mean, std, (double)want,
                          (double)z[i]);
        }
        return;
    }
    for (size_t i = 0; i < n; i++) fits = fits && fabs(((isnan(v[i]) ? 0.5 : v[i]) - mean) / std) <= (double)FLT_MAX;
    ck_assert_msg(!fits || std < 1e-100 || std > 1e100, "%s: mean %a, std %a", k->name, mean, std);
}

/* Cells of a table are divided as the processor divides, whatever the quotient: near and far from ties, of zeros and tiny numbers, of a divisor whose
 * significand is all ones. */
START_TEST(standardised_as_by_division) {
    static const double odd[] = {0.0, -0.0, 1e-320, -1e-300, 1e300, -1.7e308, (double)INFINITY, (double)-INFINITY, (double)NAN, 1, 3, -1};
    enum { N = 64, ROUNDS = 20000, ODD = sizeof odd / sizeof *odd };
    const struct bp_kernels *k = table(_i);
    if (!k) SKIP_TEST("this CPU has no %s", isas[_i]);
    uint64_t state = 1;
    for (int round = 0; round < ROUNDS; round++) {
        double v[N];
        const double std =
            round % 5 == 0 ? ldexp(2 - 0x1p-52, round % 40 - 20) : fabs(any_double(&state, round % 3 ? -8 : -332, round % 3 ? 8 : 332));
        for (size_t i = 0; i < N; i++) { /* quotients between two neighbours of float32, and others */
            const double other = any_double(&state, -30, 30);
            v[i] = i % 4 == 3 ? other : std * ((double)(float)other + (i % 2 ? 1 : -1) * ldexp(1, ilogb((double)(float)other) - 24));
        }
        check_standard(k, N, v, round % 2 ? 0 : any_double(&state, -10, 10), std);
        for (size_t i = 0; i < ODD && round % 10 == 0; i++) check_standard(k, 1, &odd[i], 0, std);
    }
}
END_TEST

/* Which numbers are outside of a range, at any length; NaN is not, nor are its ends. */
START_TEST(numbers_outside_a_range) {
    static const double some[] = {0, 1, -1, 0.999, 1.001, -1.001, (double)NAN, (double)INFINITY, (double)-INFINITY, -0.0, 1e300};
    enum { N = 64, SOME = sizeof some / sizeof *some };
    const struct bp_kernels *k = table(_i);
    if (!k) SKIP_TEST("this CPU has no %s", isas[_i]);
    for (size_t n = 0; n <= N; n++)
        for (size_t shift = 0; shift < SOME; shift++) {
            double v[N + 1];
            uint64_t want = 0;
            for (size_t i = 0; i <= N; i++) v[i] = i < n ? some[(i * 7 + shift) % SOME] : 99;
            for (size_t i = 0; i < n; i++) want |= (uint64_t)(v[i] < -1 || v[i] > 1) << i;
            ck_assert_msg(k->outside(n, v, -1, 1) == want, "%s: %zu numbers from %zu", k->name, n, shift);
        }
}
END_TEST

/* A piecewise linear embedding against its definition: numbers on edges, between, beyond and far beyond them, not finite ones; edges that are tied.
 */
START_TEST(pieces_of_any_bins) {
    static const bp_real given[] = {-1000, -3, 0, 0.25f, 1, 1.5f, 2.999f, 3, 7, 20, 1000, (bp_real)INFINITY, (bp_real)-INFINITY, (bp_real)NAN};
    enum { N = sizeof given / sizeof *given, BINS = 40, WIDTH = 9 };
    const struct bp_kernels *k = table(_i);
    if (!k) SKIP_TEST("this CPU has no %s", isas[_i]);
    for (size_t bins = 1; bins <= BINS; bins++)
        for (size_t width = 1; width <= WIDTH; width += width == 1 ? 2 : 1)
            for (size_t distinct = 1; distinct <= bins; distinct += distinct < 3 ? 1 : bins - 3 > 0 ? bins - 3 : 1) {
                static bp_real edges[N * (BINS + 1)], P[N * BINS * WIDTH], K[N * BINS * WIDTH];
                bp_real z[N * WIDTH + 1], places[2 * N + 1];
                for (size_t f = 0; f < N; f++) /* edges 0, 1, 2 ...; the last one repeats */
                    for (size_t j = 0; j <= bins; j++) edges[f * (bins + 1) + j] = (bp_real)(j < distinct ? j : distinct);
                for (size_t i = 0; i < N * bins * width; i++) P[i] = (bp_real)(i % 97), K[i] = (bp_real)(i % 89) - 40;
                z[N * width] = places[2 * N] = 77;
                const struct bp_pieces call = {N, bins, width, given, edges, P, K, places, z};
                k->pieces(&call);
                for (size_t f = 0; f < N; f++) {
                    const double x = (double)given[f], far = (double)bins;
                    const size_t t = x >= (double)distinct ? distinct - 1 : x > 0 ? (size_t)x : 0;
                    const double beyond = x - (double)t, r = beyond < -far ? -far : beyond > far + 1 ? far + 1 : beyond;
                    ck_assert_msg(isnan(x) ? places[2 * f] == 0 && isnan(places[2 * f + 1])
                                           : places[2 * f] == (bp_real)t && places[2 * f + 1] == (bp_real)r,
                                  "%s, %zu bins, %zu of them distinct, x %g: bin %g, %g", isas[_i], bins, distinct, x, (double)places[2 * f],
                                  (double)places[2 * f + 1]);
                    for (size_t d = 0; d < width && !isnan(x); d++) {
                        const size_t at = (f * bins + t) * width + d;
                        const double want = (double)P[at] + r * (double)K[at];
                        ck_assert(fabs((double)z[f * width + d] - want) <= 1e-6 * (100 + fabs(r * (double)K[at])));
                    }
                }
                ck_assert(z[N * width] == 77 && places[2 * N] == 77);
            }
}
END_TEST

/* Adam against its formula in double, whatever the length and the alignment, and the same bits for a weight wherever it stands; gradients of 0, too
 * large for float32, and not a number. What is not a number must stay so: it is how a training notices that it has diverged. */
START_TEST(adam_of_any_length) {
    const struct bp_kernels *k = table(_i);
    if (!k) SKIP_TEST("this CPU has no %s", isas[_i]);
    struct bp_step step = {.learning_rate = 0.01f,
                           .beta_1 = 0.9f,
                           .beta_2 = 0.999f,
                           .fresh_1 = 0.1f,
                           .fresh_2 = 0.001f,
                           .root = 1.5f,
                           .epsilon = 1e-8f,
                           .shrink = 0.99f};
    for (size_t s = 0; s < SIZES; s++)
        for (size_t shift = 0; shift < 3; shift++) {
            const size_t n = sizes[s];
            bp_real room[4][ROOM], before[4][ROOM];
            bp_real *g = room[0] + shift, *W = room[1] + 1, *m = room[2] + shift, *v = room[3] + 2;
            for (int a = 0; a < 4; a++) fill(room[a], ROOM, (uint32_t)(4 * s) + (uint32_t)a, a == 1 ? 1 : 1e-3);
            for (size_t i = 0; i < ROOM; i++) room[3][i] *= room[3][i];
            if (n > 2) g[0] = m[0] = v[0] = 0;
            if (n > 3) g[1] = NAN, g[2] = 1e30f;
            memcpy(before, room, sizeof room);
            const bp_real *g0 = before[0] + shift, *W0 = before[1] + 1, *m0 = before[2] + shift, *v0 = before[3] + 2;
            step.n = n, step.g = g, step.W = W, step.first = m, step.second = v;
            k->adam(&step);
            for (size_t i = 0; i < n; i++) {
                const double mean = 0.9 * (double)m0[i] + 0.1 * (double)g0[i], square = 0.999 * (double)v0[i] + 0.001 * (double)g0[i] * (double)g0[i];
                const double truth = 0.99 * (double)W0[i] - 0.01 * mean / (1.5 * sqrt(square) + 1e-8);
                struct bp_step one = step;
                bp_real alone[3] = {W0[i], m0[i], v0[i]};
                if (n > 3 && i == 1) {
                    ck_assert(isnan(W[i]) && isnan(m[i]) && isnan(v[i]));
                    continue;
                }
                if (n > 3 && i == 2) { /* its square is beyond float32: no step or not a number, but not a step of some size */
                    ck_assert(isnan(W[i]) || W[i] == 0.99f * W0[i]);
                    continue;
                }
                ck_assert_double_eq_tol((double)m[i], mean, 1e-9);
                ck_assert_double_eq_tol((double)v[i], square, 1e-12);
                ck_assert_double_eq_tol((double)W[i], truth, 2e-7);
                one.n = 1, one.g = &g0[i], one.W = &alone[0], one.first = &alone[1], one.second = &alone[2];
                k->adam(&one);
                ck_assert(alone[0] == W[i] && alone[1] == m[i] && alone[2] == v[i]);
            }
            ck_assert(W[n] == W0[n] && m[n] == m0[n] && v[n] == v0[n] && W[-1] == W0[-1]);
        }
}
END_TEST

START_TEST(tables_match_their_description) {
    ck_assert_ptr_nonnull(bp_kernels_find("base"));
    ck_assert_ptr_null(bp_kernels_find("sse9"));
    ck_assert_int_eq(bp_kernels_force("sse9"), -1);
    for (int i = 0; i < 3; i++)
        if (table(i)) {
            ck_assert_str_eq(table(i)->name, isas[i]);
            ck_assert_int_eq(bp_kernels_force(isas[i]), 0);
            ck_assert_str_eq(bp_kernels_name(), isas[i]);
        }
    ck_assert_int_eq(bp_kernels_force(NULL), 0);
    ck_assert_str_eq(bp_kernels_name(), table(2) ? "avx512" : table(1) ? "avx2" : "base");
}
END_TEST

Suite *suite_vector(void);
Suite *suite_vector(void) {
    Suite *suite = suite_create("vector");
    TCase *tests = tcase_create("vector");
    tcase_set_timeout(tests, 60);
    tcase_add_loop_test(tests, functions_keep_their_bound, 0, 3);
    tcase_add_loop_test(tests, bends_match_their_formulas, 0, 3);
    tcase_add_test(tests, ulp_errors_are_documented);
    tcase_add_loop_test(tests, functions_at_the_ends, 0, 3);
    tcase_add_loop_test(tests, functions_do_not_depend_on_position, 0, 3);
    tcase_add_loop_test(tests, softmax_loss_matches_its_formula, 0, 3);
    tcase_add_loop_test(tests, softmax_loss_is_stable_and_honest, 0, 3);
    tcase_add_loop_test(tests, bias_and_rectifiers, 0, 3);
    tcase_add_loop_test(tests, sums_and_products, 0, 3);
    tcase_add_loop_test(tests, bfloat16_is_the_nearest, 0, 3);
    tcase_add_loop_test(tests, patches_there_and_back, 0, 3);
    tcase_add_loop_test(tests, pools_of_any_width, 0, 3);
    tcase_add_loop_test(tests, dropout_mask_is_philox, 0, 3);
    tcase_add_loop_test(tests, pieces_of_any_bins, 0, 3);
    tcase_add_loop_test(tests, standardised_as_by_division, 0, 3);
    tcase_add_loop_test(tests, numbers_outside_a_range, 0, 3);
    tcase_add_loop_test(tests, adam_of_any_length, 0, 3);
    tcase_add_test(tests, tables_match_their_description);
    suite_add_tcase(suite, tests);
    return suite;
}

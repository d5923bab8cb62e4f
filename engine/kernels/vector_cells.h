/* vector_cells.h - cells of tables before they are inputs of a network, numbers in double, NaN where a cell is missing; and the digits of
 * predictions. No result depends on the instruction set. Only vector.c includes it. */
#ifndef BP_KERNELS_VECTOR_CELLS_H
#define BP_KERNELS_VECTOR_CELLS_H

#include "engine/kernels/kernels.h"

#include <math.h>
#if defined(__AVX512F__)
#include <immintrin.h>
#endif

/* a / b, with y = 1 / b rounded to nearest: where the processor multiplies and adds in one rounding, a product and two corrections are several times
 * as fast as its division, and give the same bits (Markstein, "Computation of elementary functions on the IBM RISC System/6000 processor", 1990): the
 * first makes the quotient faithful, the second rounds it to nearest. Neither may overflow or underflow: b is between 1e-100 and 1e100, a huge a is
 * not a number here, and of a tiny one the quotient is 0 in float32 in any case. */
static inline double quotient(double a, double b, double y) {
#if defined(__FMA__)
    const double first = a * y, rest = __builtin_fma(-first, b, a), second = __builtin_fma(rest, y, first);
    return rest == 0 ? first : __builtin_fma(__builtin_fma(-second, b, a), y, second);
#else
    (void)y;
    return a / b;
#endif
}

static bool standardise(const struct bp_standard *call) {
    const double fill = call->fill, mean = call->mean, std = call->std, most = call->most, y = 1 / std;
    const double *restrict v = call->v;
    float *restrict z = call->z;
    int64_t beyond = 0;
    if (!(std >= 1e-100 && std <= 1e100)) return false;
    for (size_t i = 0; i < call->n; i++) {
        const double one = quotient((v[i] != v[i] ? fill : v[i]) - mean, std, y);
        z[i] = (float)one;
        beyond |= fabs(one) <= most ? 0 : -1;
    }
    return beyond == 0;
}

#if defined(__AVX512F__)
static uint64_t outside(size_t n, const double *v, double least, double most) {
    enum { EACH = 8 };
    const __m512d low = _mm512_set1_pd(least), high = _mm512_set1_pd(most);
    uint64_t found = 0;
    for (size_t i = 0; i < n; i += EACH) {
        const __mmask8 some = (__mmask8)(n - i < EACH ? (1u << (n - i)) - 1 : 0xFF);
        const __m512d x = _mm512_maskz_loadu_pd(some, v + i);
        const uint64_t here = _mm512_mask_cmp_pd_mask(some, x, low, _CMP_LT_OQ) | _mm512_mask_cmp_pd_mask(some, x, high, _CMP_GT_OQ);
        found |= here << i;
    }
    return found;
}
#else
static uint64_t outside(size_t n, const double *v, double least, double most) {
    int64_t any = 0;
    uint64_t found = 0;
    for (size_t i = 0; i < n; i++) any |= (v[i] < least ? -1 : 0) | (v[i] > most ? -1 : 0);
    for (size_t i = 0; any && i < n; i++) found |= (uint64_t)(v[i] < least || v[i] > most) << i;
    return found;
}
#endif

static size_t count_at_least(size_t n, const double *v, double least) {
    int64_t count = 0;
    for (size_t i = 0; i < n; i++) count += v[i] >= least ? 1 : 0;
    return (size_t)count;
}

/* ---- digits ---- */

enum { NINE_LEAST = -14, NINE_MOST = 9, NINE_TABLE = NINE_LEAST - 2, NINE_PIECE = 64 };

/* The bits of the least float32 that is not below 10^k, k from NINE_TABLE to NINE_MOST. Positive numbers are in the order of their bits. */
static const uint32_t nine_tens[] = {0x24E69595, 0x26901D7D, 0x283424DD, 0x29E12E14, 0x2B8CBCCD, 0x2D2FEC00, 0x2EDBE6FF, 0x30897060, 0x322BCC78,
                                     0x33D6BF95, 0x358637BE, 0x3727C5AD, 0x38D1B718, 0x3A83126F, 0x3C23D70B, 0x3DCCCCCD, 0x3F800000, 0x41200000,
                                     0x42C80000, 0x447A0000, 0x461C4000, 0x47C35000, 0x49742400, 0x4B189680, 0x4CBEBC20, 0x4E6E6B28};

/* 10^(8 - k), exact in double, k from NINE_TABLE to NINE_MOST - 1; what is below NINE_LEAST is not used. */
static const double nine_powers[] = {0,    0,    1e22, 1e21, 1e20, 1e19, 1e18, 1e17, 1e16, 1e15, 1e14, 1e13, 1e12,
                                     1e11, 1e10, 1e9,  1e8,  1e7,  1e6,  1e5,  1e4,  1e3,  1e2,  1e1,  1e0};

/* x 10^(8 - k) is exact in double down to 10^-4 (24 bits and 28), and correctly rounded below: then it must not look like a tie, which may hide on
 * which side it is. Adding 1.5 2^52 rounds to a whole number, half to even, which is in the lower bits. */
static void nine_piece(size_t n, const uint32_t *restrict bits, int32_t *restrict digits, int32_t *restrict exponents) {
    const double whole = 0x1.8p52;
    const uint32_t least = nine_tens[NINE_LEAST - NINE_TABLE], span = nine_tens[NINE_MOST - NINE_TABLE] - least;
    double v[NINE_PIECE], power[NINE_PIECE];
    int32_t inside[NINE_PIECE];
    for (size_t i = 0; i < n; i++) {
        inside[i] = bits[i] - least < span ? -1 : 0;
        const uint32_t safe = (bits[i] & (uint32_t)inside[i]) | (0x3F000000 & ~(uint32_t)inside[i]); /* 0.5 */
        const int32_t guess = ((int32_t)(safe >> 23) - 127) * 315653 >> 20;                          /* floor(log10 2^e): right, or one too small */
        float x;
        memcpy(&x, &safe, sizeof x);
        exponents[i] = guess + (safe >= nine_tens[guess + 1 - NINE_TABLE] ? 1 : 0);
        v[i] = (double)x;
    }
    for (size_t i = 0; i < n; i++) power[i] = nine_powers[exponents[i] - NINE_TABLE];
    for (size_t i = 0; i < n; i++) {
        const double product = v[i] * power[i], sum = product + whole;
        uint64_t rounded;
        memcpy(&rounded, &sum, sizeof rounded);
        const int32_t number = (int32_t)(uint32_t)rounded, up = number == 1000000000 ? 1 : 0;
        const int32_t tie = fabs(sum - whole - product) == 0.5 ? -1 : 0, small = exponents[i] < -4 ? -1 : 0;
        digits[i] = (up ? 100000000 : number) & inside[i] & ~(tie & small);
        exponents[i] += up;
    }
}

static void nine_digits(size_t n, const float *x, int32_t *digits, int32_t *exponents) {
    uint32_t bits[NINE_PIECE];
    for (size_t i = 0; i < n; i += NINE_PIECE) {
        const size_t some = n - i < NINE_PIECE ? n - i : NINE_PIECE;
        memcpy(bits, x + i, some * sizeof *bits);
        nine_piece(some, bits, digits + i, exponents + i);
    }
}

/* Of numbers of nine digits the first one, and the eight others, each in its byte, the first of them in the lowest: two halves, four pairs, eight
 * digits. Divisions are products with the inverse, exact in that range. */
static void eight_digits(size_t n, const int32_t *restrict numbers, uint64_t *restrict first, uint64_t *restrict rest) {
    for (size_t i = 0; i < n; i++) {
        const uint64_t number = (uint32_t)numbers[i], top = number * 1441151881 >> 57, low = number - top * 100000000;
        const uint64_t high = low * 3518437209 >> 45, halves = high | (low - high * 10000) << 32;
        const uint64_t hundreds = (halves * 10486 >> 20) & 0x7F0000007F, pairs = hundreds | (halves - 100 * hundreds) << 16;
        const uint64_t tens = (pairs * 103 >> 10) & 0x000F000F000F000F;
        first[i] = top;
        rest[i] = tens | (pairs - 10 * tens) << 8;
    }
}

static void print_nine(const struct bp_nine *call) {
    nine_digits(call->n, call->x, call->digits, call->exponents);
    eight_digits(call->n, call->digits, call->first, call->rest);
}

#endif

/* number_nine.c - a float32 with nine significant digits, as printf("%.9g") writes it: what probabilities are printed as, in a few nanoseconds.
 *
 * A float32 is v = m 2^e with m below 2^24, and v 10^p = m 5^p 2^(e + p). With p = 8 - floor(log10 v) that has nine digits before the point; m 5^p is
 * exact in 87 bits for p up to 27, so one shift rounds it exactly, half to even. Whatever is outside 1e-19..1e9 goes to number_digits.c. */
#include "schema/text/number_print.h"

#include <string.h>

__extension__ typedef unsigned __int128 wide;

enum { LEAST = -19, MOST = 9, EIGHT = 100000000 };

/* The bits of the least float32 that is not below 10^k, from LEAST to MOST. Positive numbers are in the order of their bits. */
static const uint32_t tens[] = {0x1FEC1E4B, 0x219392EF, 0x233877AB, 0x24E69595, 0x26901D7D, 0x283424DD, 0x29E12E14, 0x2B8CBCCD,
                                0x2D2FEC00, 0x2EDBE6FF, 0x30897060, 0x322BCC78, 0x33D6BF95, 0x358637BE, 0x3727C5AD, 0x38D1B718,
                                0x3A83126F, 0x3C23D70B, 0x3DCCCCCD, 0x3F800000, 0x41200000, 0x42C80000, 0x447A0000, 0x461C4000,
                                0x47C35000, 0x49742400, 0x4B189680, 0x4CBEBC20, 0x4E6E6B28};

static const uint64_t fives[] = {1u,
                                 5u,
                                 25u,
                                 125u,
                                 625u,
                                 3125u,
                                 15625u,
                                 78125u,
                                 390625u,
                                 1953125u,
                                 9765625u,
                                 48828125u,
                                 244140625u,
                                 1220703125u,
                                 UINT64_C(6103515625),
                                 UINT64_C(30517578125),
                                 UINT64_C(152587890625),
                                 UINT64_C(762939453125),
                                 UINT64_C(3814697265625),
                                 UINT64_C(19073486328125),
                                 UINT64_C(95367431640625),
                                 UINT64_C(476837158203125),
                                 UINT64_C(2384185791015625),
                                 UINT64_C(11920928955078125),
                                 UINT64_C(59604644775390625),
                                 UINT64_C(298023223876953125),
                                 UINT64_C(1490116119384765625),
                                 UINT64_C(7450580596923828125)};

/* m 5^p 2^e, rounded half to even: below 2^30. */
static uint32_t nine_digits(uint32_t m, int32_t p, int32_t e) {
    const wide product = (wide)m * fives[p];
    if (e >= 0) return (uint32_t)((uint64_t)product << e);
    const uint64_t half = UINT64_C(1) << (-e - 1);
    const uint32_t nearest = (uint32_t)((product + half) >> -e);
    const bool tie = ((uint64_t)product & (2 * half - 1)) == half; /* hardly ever: rounding up or down is no branch, which would be a toss-up */
    return tie ? nearest & ~UINT32_C(1) : nearest;
}

/* The eight digits of n, below 10^8, each 0 to 9 in its byte, the first one in the lowest: two halves, four pairs, eight digits. */
static uint64_t eight_digits(uint32_t n) {
    const uint64_t halves = n / 10000 | (uint64_t)(n % 10000) << 32;
    const uint64_t hundreds = (halves * 10486 >> 20) & UINT64_C(0x7F0000007F);
    const uint64_t pairs = hundreds | (halves - 100 * hundreds) << 16;
    const uint64_t first = (pairs * 103 >> 10) & UINT64_C(0x000F000F000F000F);
    return first | (pairs - 10 * first) << 8;
}

/* The first digit and the eight others as characters: kept in registers, for a byte that was just stored is slow to load together with others. */
struct digits {
    char first;
    uint64_t rest;
};

static void store(const struct digits *d, char *first, char *rest) {
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    const uint64_t bytes = __builtin_bswap64(d->rest);
#else
    const uint64_t bytes = d->rest;
#endif
    *first = d->first;
    memcpy(rest, &bytes, sizeof bytes);
}

/* d 10^k, d in 1..10, of whose nine digits the first `count` are written, the others being zeros at the end. */
static inline size_t write_point(const struct digits *d, int32_t k, int32_t count, char *out) {
    if (k > 0) {
        char all[16];
        store(d, all, all + 1);
        memcpy(out, all, 9);
        if (count <= k + 1) return (size_t)k + 1;
        out[k + 1] = '.';
        memcpy(out + k + 2, all + k + 1, 8);
        return (size_t)count + 1;
    }
    if (k < 0 && k >= -4) {
        memcpy(out, "0.000000", 8);
        store(d, out + 1 - k, out + 2 - k);
        return (size_t)(1 - k + count);
    }
    out[1] = '.';
    store(d, out, out + 2);
    char *end = out + (count > 1 ? count + 1 : 1);
    if (k == 0) return (size_t)(end - out);
    end[0] = 'e', end[1] = '-';
    end[2] = (char)('0' - k / 10), end[3] = (char)('0' + -k % 10);
    return (size_t)(end - out) + 4;
}

size_t schema_number_write_nine(uint64_t first, uint64_t rest, int32_t exponent, char out[static SCHEMA_NUMBER_DIGITS]) {
    const int32_t count = rest ? 9 - (int32_t)((unsigned)__builtin_clzll(rest) / 8) : 1;
    const struct digits d = {(char)('0' + (char)first), rest + UINT64_C(0x3030303030303030)};
    return write_point(&d, exponent, count, out);
}

size_t schema_number_print_nine(float number, char out[static SCHEMA_NUMBER_DIGITS]) {
    uint32_t bits;
    memcpy(&bits, &number, sizeof bits);
    const bool negative = bits >> 31;
    bits &= 0x7FFFFFFF;
    if (bits == 0) {
        memcpy(out, negative ? "-0" : "0", 2);
        return 1u + negative;
    }
    if (bits < tens[0] || bits >= tens[MOST - LEAST]) return schema_number_print_digits((double)number, 9, out);
    const int32_t biased = (int32_t)(bits >> 23), guess = (biased - 127) * 315653 >> 20; /* floor(log10 2^(biased - 127)): right, or one too small */
    int32_t k = guess + (bits >= tens[guess + 1 - LEAST]);
    uint32_t n = nine_digits((bits & 0x7FFFFF) | 0x800000, 8 - k, biased - 150 + 8 - k);
    if (n == 10 * EIGHT) n = EIGHT, k++; /* rounded up to the next power of ten */
    *out = '-';
    return negative + schema_number_write_nine(n / EIGHT, eight_digits(n % EIGHT), k, out + negative);
}

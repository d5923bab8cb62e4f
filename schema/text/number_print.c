/* number_print.c - from double and float32 to the shortest decimal that reads back exactly.
 *
 * The method is Schubfach: R. Giulietti, "The Schubfach way to render doubles", 2021. A number v = c 2^q is rounded from every decimal between the
 * midpoints to its neighbours, (4c - 2) 2^(q-2) and (4c + 2) 2^(q-2). With 10^k just below that distance, at most two multiples of 10^(k+1) and
 * at least one of 10^k lie between them; the nearest to v is used. All three points are multiplied by 10^-k as 128 bits, rounded
 * up; the lost fraction is kept as one sticky bit, which is enough to compare.
 * The table of powers, number_powers.h, ends at 1e308: numbers below about 1e-292 go the slow way, through the C library. */
#include "schema/text/number_print.h"
#include "schema/text/number_powers.h"
#include "schema/text/number_scan.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { POINT_MIN = -5, POINT_MAX = 17 /* 0.00001 and 99999999999999999 are written without an exponent */ };

__extension__ typedef unsigned __int128 wide;

/* digits * 10^exponent */
struct decimal {
    uint64_t digits;
    int32_t exponent;
};

/* ---- the shortest decimal ---- */

/* floor(x / 2^n), also below 0 */
static int32_t floor_shift(int32_t x, int32_t n) {
    return x >> n;
}

/* 10^k as 128 bits with the top bit set, rounded up. The table's are truncated where they are not exact, but from -27 to -1. */
static wide power_of_ten(int32_t k) {
    const uint64_t *five = powers_of_five[k - POWER_MIN];
    const wide power = (wide)five[0] << 64 | five[1];
    return power + (k < -27 || k > 55);
}

/* floor(power * x / 2^128), its last bit set when something was lost */
static uint64_t round_to_odd(wide power, uint64_t x) {
    const wide low = (wide)(uint64_t)power * x, high = (wide)(uint64_t)(power >> 64) * x + (uint64_t)(low >> 64);
    return (uint64_t)(high >> 64) | ((uint64_t)high > 1);
}

/* c > 0. closer: the neighbour below is only half as far, c being a power of two. Names as in the paper: s is the digits, u and w the decimals
 * around v, all but s times 4. */
static struct decimal shortest(uint64_t c, int32_t q, bool closer) {
    const int32_t k = floor_shift(q * 1262611 - (closer ? 524031 : 0), 22); /* floor(log10(2^q)), of 3/4 2^q when closer */
    const int32_t h = q + floor_shift(-k * 1741647, 19) + 1;                /* 1..4: q + floor(log2(10^-k)) + 1 */
    const wide power = power_of_ten(-k);
    const uint64_t below = round_to_odd(power, (4 * c - 2 + closer) << h), v = round_to_odd(power, (4 * c) << h),
                   above = round_to_odd(power, (4 * c + 2) << h);
    const uint64_t open = c & 1; /* of an even number the midpoints belong to it */
    const uint64_t lower = below + open, upper = above - open;
    const uint64_t s = v / 4;
    if (s >= 10) {
        const uint64_t tens = s / 10;
        const bool u_fits = lower <= 40 * tens, w_fits = 40 * tens + 40 <= upper;
        if (u_fits != w_fits) return (struct decimal){tens + w_fits, k + 1};
    }
    const bool u_fits = lower <= 4 * s, w_fits = 4 * s + 4 <= upper;
    if (u_fits != w_fits) return (struct decimal){s + w_fits, k};
    const uint64_t middle = 4 * s + 2;
    return (struct decimal){s + (v > middle || (v == middle && (s & 1))), k};
}

/* Numbers too small for the table, by trying: as few digits as read back. Bits are compared: a thread that flushes subnormals to zero takes them all
 * for equal. float_bits: 0, or the float32 that has to read back. */
static struct decimal shortest_of_tiny(double number, uint32_t float_bits) {
    char text[40];
    struct decimal d = {0};
    for (int precision = 1; precision <= 17; precision++) {
        snprintf(text, sizeof text, "%.*e", precision - 1, number);
        const double back = strtod(text, NULL);
        const float narrow = strtof(text, NULL);
        if (float_bits ? memcmp(&narrow, &float_bits, sizeof narrow) == 0 : memcmp(&back, &number, sizeof back) == 0) break;
    }
    const char *p = text;
    int32_t fraction = 0;
    for (bool after = false; *p && *p != 'e'; p++)
        if (schema_number_digit(*p)) d.digits = d.digits * 10 + (uint64_t)(*p - '0'), fraction += after;
        else after = true;
    d.exponent = (int32_t)strtol(p + 1, NULL, 10) - fraction;
    return d;
}

/* ---- writing ---- */

static const char pairs[] =
    "00010203040506070809101112131415161718192021222324252627282930313233343536373839404142434445464748495051525354555657585960"
    "616263646566676869707172737475767778798081828384858687888990919293949596979899";

/* The digits of n, which end before `end`; returns where they begin. */
static char *write_digits(uint64_t n, char *end) {
    while (n >= 100) {
        const uint64_t rest = n / 100;
        end -= 2, memcpy(end, pairs + (n - rest * 100) * 2, 2);
        n = rest;
    }
    if (n >= 10) return end -= 2, memcpy(end, pairs + n * 2, 2), end;
    *--end = (char)('0' + n);
    return end;
}

static size_t write_exponent(int32_t e, char *out) {
    char text[8], *end = text + sizeof text;
    size_t size = 0;
    out[size++] = 'e';
    if (e < 0) out[size++] = '-';
    const char *from = write_digits((uint64_t)(e < 0 ? -e : e), end);
    memcpy(out + size, from, (size_t)(end - from));
    return size + (size_t)(end - from);
}

/* At most 17 digits, so at most 25 bytes. */
static size_t write_decimal(struct decimal d, char *out) {
    char text[24], *end = text + sizeof text;
    while (d.digits % 10 == 0) d.digits /= 10, d.exponent++;
    const char *digits = write_digits(d.digits, end);
    const int32_t count = (int32_t)(end - digits), point = count + d.exponent; /* digits before the point */
    size_t size = 0;
    if (point > POINT_MAX || point <= POINT_MIN) {
        out[size++] = digits[0];
        if (count > 1) out[size++] = '.';
        memcpy(out + size, digits + 1, (size_t)count - 1);
        size += (size_t)count - 1;
        return size + write_exponent(point - 1, out + size);
    }
    if (point <= 0) {
        memcpy(out, "0.00000", 7);
        memcpy(out + 2 - point, digits, (size_t)count);
        return (size_t)(2 - point + count);
    }
    if (point >= count) {
        memcpy(out, digits, (size_t)count);
        memset(out + count, '0', (size_t)(point - count));
        return (size_t)point;
    }
    memcpy(out, digits, (size_t)point);
    out[point] = '.';
    memcpy(out + point + 1, digits + point, (size_t)(count - point));
    return (size_t)count + 1;
}

static size_t write_integer(int64_t number, char *out) {
    static const uint64_t tens[] = {10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000, 1000000000};
    uint64_t n = (uint64_t)(number < 0 ? -number : number);
    char *const start = out;
    if (number < 0) *out++ = '-';
    if (n < 10) return *out = (char)('0' + n), (size_t)(out + 1 - start);
    size_t count = 1;
    while (count < 10 && n >= tens[count - 1]) count++;
    if (count == 10)
        for (uint64_t rest = n / UINT64_C(10000000000); rest > 0; rest /= 10) count++;
    write_digits(n, out + count);
    return (size_t)(out - start) + count;
}

/* No number is compared before it is known not to be subnormal. */
size_t schema_number_print(double number, char out[static SCHEMA_NUMBER_PRINTED]) {
    uint64_t bits;
    memcpy(&bits, &number, sizeof bits);
    size_t size = 0;
    const uint64_t fraction = bits & ((UINT64_C(1) << 52) - 1);
    const int32_t exponent = (int32_t)(bits >> 52 & 0x7FF);
    if (exponent >= 1023 && exponent < 1023 + 53 && (double)(int64_t)number == number) return write_integer((int64_t)number, out);
    if (bits >> 63) out[size++] = '-';
    if (exponent == 0 && fraction == 0) return out[size++] = '0', size;
    if (exponent < 53) return size + write_decimal(shortest_of_tiny(fabs(number), 0), out + size);
    return size + write_decimal(shortest(fraction | UINT64_C(1) << 52, exponent - 1075, fraction == 0), out + size);
}

size_t schema_number_print_float(float number, char out[static SCHEMA_NUMBER_PRINTED]) {
    uint32_t bits;
    memcpy(&bits, &number, sizeof bits);
    size_t size = 0;
    const uint32_t fraction = bits & 0x7FFFFF;
    const int32_t exponent = (int32_t)(bits >> 23 & 0xFF);
    if (exponent >= 127 && exponent < 127 + 24 && (float)(int32_t)number == number) return write_integer((int32_t)number, out);
    if (bits >> 31) out[size++] = '-';
    if (exponent == 0 && fraction == 0) return out[size++] = '0', size;
    if (exponent == 0) return size + write_decimal(shortest_of_tiny(ldexp((double)fraction, -149), fraction), out + size);
    return size + write_decimal(shortest(fraction | UINT32_C(1) << 23, exponent - 150, fraction == 0 && exponent > 1), out + size);
}

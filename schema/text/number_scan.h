/* number_scan.h - the inner loop of number reading, inlined into the readers of cells and JSON. Private to schema/; the public face is number.h.
 *
 * Steps, each exact: up to seven digits at once; up to 19 digits with a power of ten that is exact in a double (one multiplication or division);
 * Eisel-Lemire for the rest of 19 digits; number_decimal() for what remains. All are independent of the locale and of flush-to-zero. */
#ifndef SCHEMA_NUMBER_SCAN_H
#define SCHEMA_NUMBER_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* The double nearest to digits * 10^exponent (digits not 0); infinity when it is too large. */
double schema_number_scaled(uint64_t digits, int64_t exponent);
/* The number whose digits (one point among them is skipped) are text[0..size), times 10^exponent, the point taken as standing at the end: any count
 * of digits. */
double schema_number_digits(const char *text, size_t size, int64_t exponent);

static const double schema_number_tens[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                            1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

static inline bool schema_number_digit(char c) {
    return (unsigned char)(c - '0') < 10;
}

/* The exponent of "e+12": returns the byte after it, NULL when no digit follows. Saturates far beyond every double. */
static inline const char *schema_number_exponent(const char *p, const char *end, int64_t *exponent) {
    bool negative = false;
    if (p < end && (*p == '+' || *p == '-')) negative = *p++ == '-';
    if (p == end || !schema_number_digit(*p)) return NULL;
    int64_t value = 0;
    for (; p < end && schema_number_digit(*p); p++)
        if (value < INT64_C(100000000000)) value = value * 10 + (*p - '0');
    *exponent += negative ? -value : value;
    return p;
}

/* As below, of a number that ends within eight bytes behind its sign, without an exponent: no loop and hardly a branch, since how long the numbers of
 * a column are cannot be predicted. NULL: it is none of these. Digits are those bytes that are 0 to 9 once '0' is taken off; the point between them
 * is shifted out, and pairs, fours and eights of digits are joined by a product each. */
static inline const char *schema_number_short(const char *p, const char *end, bool strict, double *number) {
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    uint64_t bytes, sign;
    if (end - p < 9) return NULL;
    const bool negative = *p == '-';
    p += negative;
    memcpy(&bytes, p, sizeof bytes);
    uint64_t digits = bytes ^ UINT64_C(0x3030303030303030);
    const uint64_t others = ((digits + UINT64_C(0x7676767676767676)) | digits) & UINT64_C(0x8080808080808080);
    if (others == 0) return NULL;
    const int whole = __builtin_ctzll(others) >> 3;
    const bool point = (char)(bytes >> 8 * whole) == '.', zero = (digits & 0xFF) == 0;
    int count = whole;
    if (point) {
        const uint64_t before = (UINT64_C(1) << 8 * whole) - 1, behind = others >> 8 & ~before;
        digits = (digits & before) | (digits >> 8 & ~before);
        if (behind == 0) return NULL;
        count = __builtin_ctzll(behind) >> 3;
    }
    p += count + point;
    if (count == 0 || (*p | 0x20) == 'e' || (strict && (whole == 0 || (point && count == whole) || (whole > 1 && zero)))) return NULL;
    digits = (digits << (64 - 8 * count)) * 2561 >> 8;
    digits = (digits & UINT64_C(0x00FF00FF00FF00FF)) * 6553601 >> 16;
    digits = (digits & UINT64_C(0x0000FFFF0000FFFF)) * UINT64_C(42949672960001) >> 32;
    const double value = (double)(int64_t)digits / schema_number_tens[count - whole];
    memcpy(&sign, &value, sizeof sign);
    sign |= (uint64_t)negative << 63;
    memcpy(number, &sign, sizeof sign);
    return p;
#else
    (void)p, (void)end, (void)strict, (void)number;
    return NULL;
#endif
}

/* Reads a number at p; returns the byte after it, NULL when there is none. strict: as JSON writes it; else also "+1", ".5", "1.", "01". */
static inline const char *schema_number_scan(const char *p, const char *end, bool strict, double *number) {
    const char *after = schema_number_short(p, end, strict, number);
    if (after) return after;
    bool negative = false;
    if (p < end && (*p == '-' || (!strict && *p == '+'))) negative = *p++ == '-';
    const char *first = p;
    uint64_t digits = 0;
    while (p < end && schema_number_digit(*p)) digits = digits * 10 + (uint64_t)(*p++ - '0');
    int64_t whole = p - first, fraction = 0, exponent = 0;
    if (strict && (whole == 0 || (whole > 1 && *first == '0'))) return NULL;
    const char *last = p;
    if (p < end && *p == '.') {
        const char *point = ++p;
        while (p < end && schema_number_digit(*p)) digits = digits * 10 + (uint64_t)(*p++ - '0');
        fraction = p - point;
        if (strict && fraction == 0) return NULL;
        last = p;
    }
    if (whole + fraction == 0) return NULL;
    if (p < end && (*p | 0x20) == 'e') {
        p = schema_number_exponent(p + 1, end, &exponent);
        if (!p) return NULL;
    }
    exponent -= fraction;
    double value;
    if (whole + fraction > 19) value = schema_number_digits(first, (size_t)(last - first), exponent);
    else if (digits == 0) value = 0;
    else if (digits <= UINT64_C(1) << 53 && exponent >= -22 && exponent <= 22)
        value = exponent < 0 ? (double)digits / schema_number_tens[-exponent] : (double)digits * schema_number_tens[exponent];
    else value = schema_number_scaled(digits, exponent);
    *number = negative ? -value : value;
    return p;
}

#endif

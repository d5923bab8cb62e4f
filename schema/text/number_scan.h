/* number_scan.h - the inner loop of number reading, inlined into the readers of cells and JSON. Private to schema/; the public face is number.h.
 *
 * Three steps, each exact: up to 19 digits with a power of ten that is exact in a double (one multiplication or division);
 * Eisel-Lemire for the rest of 19 digits; number_decimal() for what remains. All are independent of the locale and of flush-to-zero. */
#ifndef SCHEMA_NUMBER_SCAN_H
#define SCHEMA_NUMBER_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

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

/* Reads a number at p; returns the byte after it, NULL when there is none. strict: as JSON writes it; else also "+1", ".5", "1.", "01". */
static inline const char *schema_number_scan(const char *p, const char *end, bool strict, double *number) {
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

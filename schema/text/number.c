/* number.c - text to double and back, correctly rounded. The usual cases are in number_scan.h; here are the hard ones. */
#include "schema/text/number.h"

#include "schema/text/number_format.h"
#include "schema/text/number_powers.h"
#include "schema/text/number_scan.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A double needs at most 767 digits to be compared with its neighbours' midpoints; further digits only matter as "not zero". */
enum { DIGITS_MAX = 800, SIGNIFICAND_BITS = 52 };

__extension__ typedef unsigned __int128 wide;

static double from_bits(uint64_t bits) {
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* The top 128 bits of w * 5^q, exact enough to round by (Lemire 2021, section 5). */
static void product(uint64_t w, int64_t q, uint64_t *high, uint64_t *low) {
    const uint64_t *five = powers_of_five[q - POWER_MIN];
    wide first = (wide)w * five[0];
    *high = (uint64_t)(first >> 64), *low = (uint64_t)first;
    const uint64_t mask = UINT64_MAX >> (SIGNIFICAND_BITS + 3);
    if ((*high & mask) != mask) return;
    uint64_t more = (uint64_t)(((wide)w * five[1]) >> 64);
    *low += more;
    if (more > *low) ++*high;
}

/* Eisel-Lemire. Names as in the paper: w digits, q power of ten, l leading zeros. */
double schema_number_scaled(uint64_t w, int64_t q) {
    if (w == 0 || q < POWER_MIN) return 0;
    if (q > POWER_MAX) return INFINITY;
    int l = __builtin_clzll(w);
    w <<= l;
    uint64_t high, low;
    product(w, q, &high, &low);
    int upper = (int)(high >> 63), shift = upper + 64 - SIGNIFICAND_BITS - 3;
    uint64_t m = high >> shift;
    int64_t p = ((217706 * q) >> 16) + 63 + upper - l + 1023;
    if (p <= 0) { /* subnormal */
        if (1 - p >= 64) return 0;
        m >>= 1 - p;
        m = (m + (m & 1)) >> 1;
        return from_bits(m); /* a carry into bit 52 makes the smallest normal number by itself */
    }
    if (low <= 1 && q >= -4 && q <= 23 && (m & 3) == 1 && m << shift == high) m &= ~UINT64_C(1); /* exactly half way: to even */
    m = (m + (m & 1)) >> 1;
    if (m >= UINT64_C(2) << SIGNIFICAND_BITS) m = UINT64_C(1) << SIGNIFICAND_BITS, p++;
    if (p >= 0x7FF) return INFINITY;
    return from_bits((m & ~(UINT64_C(1) << SIGNIFICAND_BITS)) | (uint64_t)p << SIGNIFICAND_BITS);
}

double schema_number_digits(const char *text, size_t size, int64_t exponent) {
    char digits[DIGITS_MAX + 40];
    size_t n = 0;
    uint64_t w = 0;
    int64_t dropped = 0;
    bool sticky = false;
    for (size_t i = 0; i < size; i++) {
        if (text[i] == '.' || (n == 0 && text[i] == '0')) continue;
        if (n < DIGITS_MAX) {
            if (n < 19) w = w * 10 + (uint64_t)(text[i] - '0');
            digits[n++] = text[i];
        } else {
            dropped++;
            sticky |= text[i] != '0';
        }
    }
    if (n == 0) return 0;
    int64_t at_w = exponent + dropped + (n > 19 ? (int64_t)n - 19 : 0);
    double value = schema_number_scaled(w, at_w);
    if (n <= 19 || value == schema_number_scaled(w + 1, at_w)) return value;
    if (sticky) digits[n++] = '1', dropped--;
    exponent += dropped;
    if (exponent > 100000) return INFINITY;
    if (exponent < -100000) return 0;
    snprintf(digits + n, sizeof digits - n, "e%" PRId64, exponent); /* no point: strtod reads it the same in every locale */
    return strtod(digits, NULL);
}

size_t schema_number_json(const char *text, size_t size, double *number) {
    const char *after = schema_number_scan(text, text + size, true, number);
    return after ? (size_t)(after - text) : 0;
}

bool schema_number_cell(const char *text, size_t size, double *number) {
    const char *p = text, *end = text + size;
    while (p < end && (*p == ' ' || *p == '\t')) p++;
    while (p < end && (end[-1] == ' ' || end[-1] == '\t')) end--;
    double value;
    if (schema_number_scan(p, end, false, &value) != end || !isfinite(value)) return false;
    *number = value;
    return true;
}

const char *schema_number_text(double number, char *text, size_t size) {
    if (isnan(number)) snprintf(text, size, "NaN");
    else if (isinf(number)) snprintf(text, size, number < 0 ? "-Infinity" : "Infinity");
    else if (fabs(number) < 1e15 && number == trunc(number))
        snprintf(text, size, "%s%" PRId64, number == 0 && signbit(number) ? "-" : "", (int64_t)number);
    else
        for (int precision = 15; precision <= 17; precision++) {
            double back = 0;
            snprintf(text, size, "%.*g", precision, number);
            for (char *c = text; *c; c++)
                if (*c == ',') *c = '.';
            if (schema_number_cell(text, strlen(text), &back) && back == number) break;
        }
    return text;
}

/* Significant digits of a number's text, neither leading nor trailing zeros counted. */
static int32_t significant(const char *text, size_t size) {
    int32_t count = 0, zeros = 0;
    for (size_t i = 0; i < size && (text[i] | 0x20) != 'e'; i++) {
        if (!schema_number_digit(text[i]) || (text[i] == '0' && count == 0)) continue;
        zeros = text[i] == '0' ? zeros + 1 : 0;
        count++;
        if (count > 4096) break;
    }
    return count - zeros;
}

const char *schema_category_key(const char *text, size_t *size, char key[static 32]) {
    if (*size == 0 || *size > 4096) return text;
    char c = *text;
    if (!schema_number_digit(c) && c != '-' && c != '+' && c != '.' && c != ' ' && c != '\t') return text;
    double number;
    if (!schema_number_cell(text, *size, &number)) return text;
    int32_t digits = significant(text, *size);
    if (schema_number_loss(text, *size) != SCHEMA_LOSS_NONE) return text; /* 00501 is not 501 */
    if (digits > 15 || (digits > 0 && !(fabs(number) >= 1e-300))) return text;
    schema_number_text(digits == 0 ? 0.0 : number, key, 32);
    *size = strlen(key);
    return key;
}

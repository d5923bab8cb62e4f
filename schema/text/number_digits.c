/* number_digits.c - a number with so many significant digits, as printf("%.*g") writes it, without its cost: the value m * 2^e times a power of ten
 * is an exact integer of at most 128 bits for most of what is printed, and is rounded once, half to even. The rest goes to snprintf. */
#include "schema/text/number_print.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

__extension__ typedef unsigned __int128 wide;

enum { TEN_MAX = 27, DIGITS_MAX = 17 };

static wide power_of_ten(int n) {
    static const uint64_t small[] = {1u,
                                     10u,
                                     100u,
                                     1000u,
                                     10000u,
                                     100000u,
                                     1000000u,
                                     10000000u,
                                     100000000u,
                                     1000000000u,
                                     10000000000u,
                                     100000000000u,
                                     1000000000000u,
                                     10000000000000u,
                                     100000000000000u,
                                     1000000000000000u,
                                     10000000000000000u,
                                     100000000000000000u,
                                     1000000000000000000u,
                                     10000000000000000000u};
    return n <= 19 ? small[n] : (wide)small[19] * small[n - 19];
}

static int bits_of(wide n) {
    const uint64_t high = (uint64_t)(n >> 64), low = (uint64_t)n;
    return high ? 128 - __builtin_clzll(high) : low ? 64 - __builtin_clzll(low) : 0;
}

/* m * 2^e * 10^power, rounded half to even. False: it does not fit. */
static bool scaled(uint64_t m, int e, int power, uint64_t *out) {
    if (power < 0 || power > TEN_MAX) return false;
    const wide ten = power_of_ten(power);
    const int bits = bits_of(m) + bits_of(ten);
    if (bits > 127 || (e >= 0 ? bits + e > 63 : e <= -127)) return false;
    const wide product = ten * m;
    if (e >= 0) {
        *out = (uint64_t)(product << e);
        return true;
    }
    const int shift = -e;
    const wide whole = product >> shift, rest = product - (whole << shift), half = (wide)1 << (shift - 1);
    if (bits_of(whole) > 62) return false;
    *out = (uint64_t)whole + (rest > half || (rest == half && ((uint64_t)whole & 1)));
    return true;
}

static void write_pairs(uint32_t n, int count, char *digits) {
    static const char pairs[] = "0001020304050607080910111213141516171819202122232425262728293031323334353637383940414243444546474849"
                                "5051525354555657585960616263646566676869707172737475767778798081828384858687888990919293949596979899";
    for (; count >= 2; count -= 2, n /= 100) memcpy(digits + count - 2, pairs + 2 * (size_t)(n % 100), 2);
    if (count) *digits = (char)('0' + n % 10);
}

/* Of so many digits, zeros in front included. */
static void write_digits(uint64_t n, int count, char *digits) {
    for (; count > 9; n /= 100000000, count -= 8) write_pairs((uint32_t)(n % 100000000), 8, digits + count - 8);
    write_pairs((uint32_t)n, count, digits);
}

/* digits[0..count): the significant digits of a positive finite number, those of *exponent = floor(log10 number) first. */
static bool find_digits(double number, int count, char *digits, int *exponent) {
    uint64_t bits, n;
    memcpy(&bits, &number, sizeof bits);
    const int biased = (int)(bits >> 52 & 0x7FF);
    if (biased == 0) return false; /* subnormal */
    uint64_t m = (bits & ((UINT64_C(1) << 52) - 1)) | UINT64_C(1) << 52;
    const int zeros = __builtin_ctzll(m), e = biased - 1075 + zeros;
    m >>= zeros;
    int k = (int)floor((biased - 1023) * 0.30102999566398120); /* floor(log10 2^(biased - 1023)): right, or one too small */
    const uint64_t most = (uint64_t)power_of_ten(count);
    if (!scaled(m, e, count - 1 - k, &n)) return false;
    if (n >= most) { /* too small, or rounded up to the next power of ten */
        k++;
        if (!scaled(m, e, count - 1 - k, &n)) return false;
    }
    if (n >= most || n < most / 10) return false;
    write_digits(n, count, digits);
    *exponent = k;
    return true;
}

size_t schema_number_print_digits(double number, int count, char out[static SCHEMA_NUMBER_DIGITS]) {
    char digits[DIGITS_MAX], *p = out;
    int exponent, last = count - 1;
    if (number == 0 || count < 1 || count > DIGITS_MAX || !find_digits(fabs(number), count, digits, &exponent))
        return (size_t)snprintf(out, SCHEMA_NUMBER_DIGITS, "%.*g", count, number);
    while (last > 0 && digits[last] == '0') last--;
    if (number < 0) *p++ = '-';
    if (exponent < -4 || exponent >= count) {
        *p++ = digits[0];
        if (last > 0) *p++ = '.';
        memcpy(p, digits + 1, (size_t)last);
        p += last;
        const int size = exponent < 0 ? -exponent : exponent; /* below 400 */
        *p++ = 'e', *p++ = exponent < 0 ? '-' : '+';
        if (size >= 100) *p++ = (char)('0' + size / 100);
        *p++ = (char)('0' + size / 10 % 10), *p++ = (char)('0' + size % 10);
        *p = '\0';
        return (size_t)(p - out);
    }
    if (exponent < 0) {
        *p++ = '0', *p++ = '.';
        for (int i = -1; i > exponent; i--) *p++ = '0';
        memcpy(p, digits, (size_t)last + 1);
        p += last + 1;
    } else {
        for (int i = 0; i <= exponent || i <= last; i++) {
            if (i == exponent + 1) *p++ = '.';
            *p++ = digits[i];
        }
    }
    *p = '\0';
    return (size_t)(p - out);
}

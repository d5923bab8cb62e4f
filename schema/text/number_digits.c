/* number_digits.c - a number with so many significant digits, as printf("%.*g") writes it, without its cost: the value m * 2^e times a power of ten
 * is computed as a sum of two doubles, and rounded if it is not too close to the middle between two integers. Otherwise it is an exact integer of at
 * most 128 bits for most of what is printed, and is rounded once, half to even. The rest goes to snprintf. */
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

/* number * 10^power, rounded to the nearest integer, for up to 15 digits: the power is a sum of two doubles, and so is the product, with an error
 * below 2^-100 of it. False: it is so close to the middle between two integers that rounding needs the exact value, or the power is not in the table.
 */
static bool scaled_nearly(double number, int power, uint64_t *out) {
    static const double tens[][2] = {{0x1.0000000000000p+0, 0x0.0p+0},
                                     {0x1.4000000000000p+3, 0x0.0p+0},
                                     {0x1.9000000000000p+6, 0x0.0p+0},
                                     {0x1.f400000000000p+9, 0x0.0p+0},
                                     {0x1.3880000000000p+13, 0x0.0p+0},
                                     {0x1.86a0000000000p+16, 0x0.0p+0},
                                     {0x1.e848000000000p+19, 0x0.0p+0},
                                     {0x1.312d000000000p+23, 0x0.0p+0},
                                     {0x1.7d78400000000p+26, 0x0.0p+0},
                                     {0x1.dcd6500000000p+29, 0x0.0p+0},
                                     {0x1.2a05f20000000p+33, 0x0.0p+0},
                                     {0x1.74876e8000000p+36, 0x0.0p+0},
                                     {0x1.d1a94a2000000p+39, 0x0.0p+0},
                                     {0x1.2309ce5400000p+43, 0x0.0p+0},
                                     {0x1.6bcc41e900000p+46, 0x0.0p+0},
                                     {0x1.c6bf526340000p+49, 0x0.0p+0},
                                     {0x1.1c37937e08000p+53, 0x0.0p+0},
                                     {0x1.6345785d8a000p+56, 0x0.0p+0},
                                     {0x1.bc16d674ec800p+59, 0x0.0p+0},
                                     {0x1.158e460913d00p+63, 0x0.0p+0},
                                     {0x1.5af1d78b58c40p+66, 0x0.0p+0},
                                     {0x1.b1ae4d6e2ef50p+69, 0x0.0p+0},
                                     {0x1.0f0cf064dd592p+73, 0x0.0p+0},
                                     {0x1.52d02c7e14af6p+76, 0x1.0000000000000p+23},
                                     {0x1.a784379d99db4p+79, 0x1.0000000000000p+24},
                                     {0x1.08b2a2c280291p+83, -0x1.b000000000000p+29},
                                     {0x1.4adf4b7320335p+86, -0x1.1c00000000000p+32},
                                     {0x1.9d971e4fe8402p+89, -0x1.8c00000000000p+33},
                                     {0x1.027e72f1f1281p+93, 0x1.8440000000000p+38},
                                     {0x1.431e0fae6d721p+96, 0x1.f2a8000000000p+42},
                                     {0x1.93e5939a08ceap+99, -0x1.215c000000000p+44},
                                     {0x1.f8def8808b024p+102, 0x1.4b26800000000p+48},
                                     {0x1.3b8b5b5056e17p+106, -0x1.3107f00000000p+52},
                                     {0x1.8a6e32246c99cp+109, 0x1.82b6140000000p+55},
                                     {0x1.ed09bead87c03p+112, 0x1.e363990000000p+58},
                                     {0x1.3426172c74d82p+116, 0x1.5c3c7f4000000p+61},
                                     {0x1.812f9cf7920e3p+119, -0x1.265a307800000p+65},
                                     {0x1.e17b84357691bp+122, 0x1.900f436a00000p+68},
                                     {0x1.2ced32a16a1b1p+126, 0x1.e826288900000p+70},
                                     {0x1.78287f49c4a1dp+129, 0x1.988becaad0000p+75},
                                     {0x1.d6329f1c35ca5p+132, -0x1.0151182a7c000p+78},
                                     {0x1.25dfa371a19e7p+136, -0x1.069578d46c000p+79},
                                     {0x1.6f578c4e0a061p+139, -0x1.29075ae130e00p+85},
                                     {0x1.cb2d6f618c879p+142, -0x1.cd24c665f4600p+86},
                                     {0x1.1efc659cf7d4cp+146, -0x1.c80dbeffee2f0p+92},
                                     {0x1.66bb7f0435c9ep+149, 0x1.c5eed14016454p+95},
                                     {0x1.c06a5ec5433c6p+152, 0x1.bb542c80deb48p+95},
                                     {0x1.18427b3b4a05cp+156, -0x1.babad90bdd33dp+101},
                                     {0x1.5e531a0a1c873p+159, -0x1.14b4c7a76a406p+105},
                                     {0x1.b5e7e08ca3a8fp+162, 0x1.a61e066ebb2f9p+108},
                                     {0x1.11b0ec57e649ap+166, -0x1.782d3bfacb025p+112},
                                     {0x1.561d276ddfdc0p+169, 0x1.4e3ba83411e91p+112},
                                     {0x1.aba4714957d30p+172, 0x1.a1ca924116636p+115},
                                     {0x1.0b46c6cdd6e3ep+176, 0x1.051e9b68adfe2p+119},
                                     {0x1.4e1878814c9cep+179, -0x1.d73337b7a4d05p+125},
                                     {0x1.a19e96a19fc41p+182, -0x1.3400169638118p+126},
                                     {0x1.05031e2503da9p+186, -0x1.b020038778c2cp+132},
                                     {0x1.4643e5ae44d13p+189, -0x1.1c28046956f37p+135},
                                     {0x1.97d4df19d6057p+192, 0x1.9ccdfa7c534fcp+138},
                                     {0x1.fdca16e04b86dp+195, 0x1.0401791b6823bp+141},
                                     {0x1.3e9e4e4c2f344p+199, 0x1.2280ebb121165p+145}};
    if (power < 0 || power >= (int)(sizeof tens / sizeof *tens)) return false;
    const double product = number * tens[power][0], error = fma(number, tens[power][0], -product) + number * tens[power][1];
    if (!(product < 1e15)) return false;
    const double whole = floor(product), rest = product - whole + error;
    if (fabs(rest - 0.5) < 1e-6) return false;
    *out = (uint64_t)whole + (rest > 0.5);
    return true;
}

/* digits[0..count): the significant digits of a positive finite number, those of *exponent = floor(log10 number) first. */
static bool find_digits(double number, int count, char *digits, int *exponent) {
    uint64_t bits, n;
    memcpy(&bits, &number, sizeof bits);
    const int biased = (int)(bits >> 52 & 0x7FF);
    if (biased == 0) return false;                                       /* subnormal */
    const int guess = (int)floor((biased - 1023) * 0.30102999566398120); /* floor(log10 2^(biased - 1023)): right, or one too small */
    const uint64_t most = (uint64_t)power_of_ten(count);
    for (int k = guess; count <= 15 && k <= guess + 1; k++) {
        if (!scaled_nearly(number, count - 1 - k, &n)) break;
        if (n >= most) continue; /* too small, or rounded up to the next power of ten */
        if (n < most / 10) break;
        write_digits(n, count, digits);
        *exponent = k;
        return true;
    }
    uint64_t m = (bits & ((UINT64_C(1) << 52) - 1)) | UINT64_C(1) << 52;
    const int zeros = __builtin_ctzll(m), e = biased - 1075 + zeros;
    m >>= zeros;
    int k = guess;
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

/* test_number_print.c - printed numbers read back as the same bits (by strtod, not by our reader) and no shorter decimal does. */
#include "schema/text/number_print.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

Suite *suite_schema_number_print(void);

static uint64_t state = 88172645463325252u;
static uint64_t next(void) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return state;
}

static const char *printed(double number, char text[static 40]) {
    text[schema_number_print(number, text)] = '\0';
    return text;
}

/* Significant digits of a decimal, without zeros around them. */
static int digits_of(const char *text, char digits[static 40]) {
    int count = 0, last = 0;
    for (; *text && *text != 'e'; text++) {
        if (*text < '0' || *text > '9' || (*text == '0' && count == 0)) continue;
        digits[count++] = *text;
        if (*text != '0') last = count;
    }
    digits[last] = '\0';
    return last;
}

/* It is the nearest decimal of n digits as the C library has it (which of a power of two may not read back, its neighbour below being nearer);
 * with one digit less nothing reads back. */
static void check_double(double number) {
    char text[40], nearest[40], digits[40], other[40];
    printed(number, text);
    const double back = strtod(text, NULL);
    ck_assert_msg(memcmp(&back, &number, sizeof back) == 0, "%.17g was printed as %s", number, text);
    ck_assert_msg(strlen(text) <= 25, "%s is too long", text);
    const int n = digits_of(text, digits);
    if (n == 0) return;
    snprintf(nearest, sizeof nearest, "%.*e", n - 1, number);
    digits_of(nearest, other);
    if (strtod(nearest, NULL) == number) ck_assert_msg(strcmp(digits, other) == 0, "%.17g was printed as %s, %s is nearer", number, text, nearest);
    if (n == 1) return;
    snprintf(nearest, sizeof nearest, "%.*e", n - 2, number);
    ck_assert_msg(strtod(nearest, NULL) != number, "%.17g was printed as %s, but %s is enough", number, text, nearest);
}

static void check_float(float number) {
    char text[40], nearest[40], digits[40];
    text[schema_number_print_float(number, text)] = '\0';
    const float back = strtof(text, NULL);
    ck_assert_msg(memcmp(&back, &number, sizeof back) == 0, "%.9g was printed as %s", (double)number, text);
    const int n = digits_of(text, digits);
    if (n < 2) return;
    snprintf(nearest, sizeof nearest, "%.*e", n - 2, (double)number);
    ck_assert_msg(strtof(nearest, NULL) != number, "%.9g was printed as %s, but %s is enough", (double)number, text, nearest);
}

START_TEST(spellings) {
    static const struct {
        double number;
        const char *text;
    } cases[] = {{0, "0"},
                 {-0.0, "-0"},
                 {1, "1"},
                 {-1, "-1"},
                 {100, "100"},
                 {0.1, "0.1"},
                 {-0.5, "-0.5"},
                 {12.5, "12.5"},
                 {0.1 + 0.2, "0.30000000000000004"},
                 {1.0 / 3, "0.3333333333333333"},
                 {0.00001, "0.00001"},
                 {0.0000123, "0.0000123"},
                 {0.000001, "1e-6"},
                 {1.5e-7, "1.5e-7"},
                 {9007199254740991.0, "9007199254740991"},
                 {9007199254740992.0, "9007199254740992"},
                 {9007199254740994.0, "9007199254740994"},
                 {-9007199254740993.0, "-9007199254740992"},
                 {1e16, "10000000000000000"},
                 {123456789012345680.0, "1.2345678901234568e17"},
                 {1e22, "1e22"},
                 {1e23, "1e23"},
                 {9.5367431640625e-7, "9.5367431640625e-7"},
                 {5e-324, "5e-324"},
                 {2.2250738585072014e-308, "2.2250738585072014e-308"},
                 {2.225073858507201e-308, "2.225073858507201e-308"},
                 {1.7976931348623157e308, "1.7976931348623157e308"},
                 {1.2345e-300, "1.2345e-300"}};
    char text[40];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) ck_assert_str_eq(printed(cases[i].number, text), cases[i].text);
    text[schema_number_print_float(0.1F, text)] = '\0';
    ck_assert_str_eq(text, "0.1");
    text[schema_number_print_float(16777216.0F, text)] = '\0';
    ck_assert_str_eq(text, "16777216");
    text[schema_number_print_float(-0.0F, text)] = '\0';
    ck_assert_str_eq(text, "-0");
    text[schema_number_print_float(1e-45F, text)] = '\0';
    ck_assert_str_eq(text, "1e-45");
    text[schema_number_print_float(3.4028235e38F, text)] = '\0';
    ck_assert_str_eq(text, "3.4028235e38");
}
END_TEST

START_TEST(all_kinds_of_doubles) {
    for (int exponent = -1074; exponent <= 1023; exponent++) /* powers of two: the neighbour below is nearer */
        for (int sign = -1; sign <= 1; sign += 2) {
            const double power = sign * ldexp(1, exponent);
            check_double(power), check_double(nextafter(power, 0)), check_double(nextafter(power, sign * INFINITY));
        }
    for (int exponent = -323; exponent <= 308; exponent++) {
        char text[16];
        snprintf(text, sizeof text, "1e%d", exponent);
        const double power = strtod(text, NULL);
        check_double(power), check_double(nextafter(power, 0)), check_double(nextafter(power, INFINITY)), check_double(power * 0.7);
    }
    for (int i = 0; i < 150000; i++) {
        uint64_t bits = next();
        double number;
        memcpy(&number, &bits, sizeof number);
        if (isfinite(number)) check_double(number);
    }
    for (int i = 0; i < 20000; i++) {
        const uint64_t bits = next() >> (12 + next() % 50); /* subnormal */
        double number;
        memcpy(&number, &bits, sizeof number);
        check_double(number);
        check_double((double)(int64_t)(next() >> (next() % 12)));                                 /* integers around and beyond 2^53 */
        check_double((double)(next() % 100000000) / 100), check_double((double)next() * 0x1p-64); /* what people have */
    }
}
END_TEST

START_TEST(all_kinds_of_floats) {
    for (int i = 0; i < 150000; i++) {
        const uint32_t bits = (uint32_t)next();
        float number;
        memcpy(&number, &bits, sizeof number);
        if (isfinite(number)) check_float(number);
    }
    for (int exponent = -149; exponent <= 127; exponent++) {
        const float power = ldexpf(1, exponent);
        check_float(power), check_float(nextafterf(power, 0)), check_float(nextafterf(power, INFINITY));
    }
}
END_TEST

/* As the threads that compute are set: subnormals count as 0 in every comparison. */
START_TEST(subnormals_are_printed_by_a_thread_that_flushes_them) {
    char text[40];
    bp_flush_denormals();
    ck_assert_str_eq(printed(5e-324, text), "5e-324");
    ck_assert_str_eq(printed(-2.225073858507201e-308, text), "-2.225073858507201e-308");
    ck_assert_str_eq(printed(-0.0, text), "-0");
    ck_assert_str_eq(printed(0, text), "0");
    const uint32_t bits = 0x80000001;
    float number;
    memcpy(&number, &bits, sizeof number);
    text[schema_number_print_float(number, text)] = '\0';
    ck_assert_str_eq(text, "-1e-45");
}
END_TEST

static void check_digits(double number, int count) {
    char text[SCHEMA_NUMBER_DIGITS], expected[SCHEMA_NUMBER_DIGITS];
    snprintf(expected, sizeof expected, "%.*g", count, number);
    const size_t size = schema_number_print_digits(number, count, text);
    ck_assert_msg(strcmp(text, expected) == 0 && size == strlen(expected), "%a with %d digits: \"%s\", printf writes \"%s\"", number, count, text,
                  expected);
}

START_TEST(digits_as_printf_counts_them) {
    static const double edges[] = {0,    -0.0,   1,       0.1,    0.5,   9.9999999996, 9.9999999994, 99999.99995, 0.00099999999995, 1e-5,       1e22,
                                   1e23, 5e-324, 1.5e300, 2.5e-7, 1e-45, 0.125,        8.5,          123456789.5, 1234567890.0,     1e15 + 0.5, 0.3};
    for (int count = 1; count <= 17; count++) {
        for (size_t i = 0; i < sizeof edges / sizeof *edges; i++) check_digits(edges[i], count), check_digits(-edges[i], count);
        for (int k = -1074; k < 1024; k++) check_digits(ldexp(1, k), count);
        for (int i = 0; i < 20000; i++) {
            const double unit = ldexp((double)(next() >> 11), -53);
            double any;
            const uint64_t bits = next() & ~(UINT64_C(0x7FF) << 52);
            const uint64_t finite = bits | (next() % 2047) << 52;
            memcpy(&any, &finite, sizeof any);
            check_digits(any, count);
            check_digits((double)(float)unit, count);          /* a probability */
            check_digits((unit - 0.5) * 2e5, count);           /* a price */
            check_digits((double)(next() % 2000) / 16, count); /* halves, which are rounded to even */
            check_digits(ldexp(unit, -(int)(next() % 60)), count);
        }
    }
}
END_TEST

static void check_nine(float number) {
    char text[SCHEMA_NUMBER_DIGITS + 1], expected[SCHEMA_NUMBER_DIGITS];
    snprintf(expected, sizeof expected, "%.9g", (double)number);
    text[schema_number_print_nine(number, text)] = '\0';
    ck_assert_msg(strcmp(text, expected) == 0, "%a: \"%s\", printf writes \"%s\"", (double)number, text, expected);
}

START_TEST(nine_digits_of_floats) {
    static const float edges[] = {0,    -0.0f,    1,       0.1f,           0.5f,   0.75f,  100,  1e8f,     999999936,
                                  1e9f, 16777216, 0.0001f, 0.00009999999f, 1e-19f, 1e-20f, 8.5f, 0x1p-24f, 12345679};
    for (size_t i = 0; i < sizeof edges / sizeof *edges; i++) check_nine(edges[i]), check_nine(-edges[i]);
    for (int k = -149; k < 128; k++) check_nine(ldexpf(1, k)), check_nine(nextafterf(ldexpf(1, k), 0)), check_nine(ldexpf(3, k - 1));
    for (int k = -45; k < 39; k++) {
        const float ten = (float)pow(10, k);
        check_nine(ten), check_nine(nextafterf(ten, 0)), check_nine(nextafterf(ten, INFINITY));
    }
    for (int i = 0; i < 200000; i++) {
        const uint32_t bits = (uint32_t)(next() >> 32) & ~(1u << 30); /* below 2: where probabilities are */
        float number;
        memcpy(&number, &bits, sizeof number);
        check_nine(number);
        check_nine((float)(ldexp((double)(next() >> 11), -53) * 2e5));
        check_nine((float)(next() % 4096) / 4096); /* halves, which are rounded to even */
    }
}
END_TEST

Suite *suite_schema_number_print(void) {
    Suite *suite = suite_create("number_print");
    TCase *tcase = tcase_create("all");
    tcase_add_test(tcase, spellings);
    tcase_add_test(tcase, all_kinds_of_doubles);
    tcase_add_test(tcase, all_kinds_of_floats);
    tcase_add_test(tcase, digits_as_printf_counts_them);
    tcase_add_test(tcase, nine_digits_of_floats);
    tcase_add_test(tcase, subnormals_are_printed_by_a_thread_that_flushes_them);
    suite_add_tcase(suite, tcase);
    return suite;
}

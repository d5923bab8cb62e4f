/* test_number.c - reading numbers is correctly rounded (compared with strtod), strict where JSON is, and writing reads back. */
#include "schema/dataset/dataset.h"
#include "schema/text/number.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

Suite *suite_schema_number(void);

static uint64_t state = 88172645463325252u;
static uint64_t next(void) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return state;
}

static void same_as_strtod(const char *text) {
    double got = -1, want = strtod(text, NULL);
    size_t n = schema_number_json(text, strlen(text), &got);
    ck_assert_msg(n == strlen(text) && memcmp(&got, &want, sizeof got) == 0, "%s: got %.17g, want %.17g (%zu bytes)", text, got, want, n);
}

START_TEST(hard_cases) {
    static const char *const cases[] = {"0",
                                        "-0",
                                        "0.0",
                                        "-0e5",
                                        "1",
                                        "-1",
                                        "123456789012345678",
                                        "1234567890123456789",
                                        "12345678901234567890",
                                        "18446744073709551615",
                                        "18446744073709551616",
                                        "9007199254740993",
                                        "9007199254740993.0000000000000000000000000000000000001",
                                        "9007199254740992.9999999999999999999",
                                        "4.9406564584124654e-324",
                                        "2.4703282292062327e-324",
                                        "2.4703282292062328e-324",
                                        "2.2250738585072011e-308",
                                        "2.2250738585072014e-308",
                                        "1.7976931348623157e308",
                                        "1.7976931348623158e308",
                                        "1.7976931348623159e308",
                                        "1e308",
                                        "1e309",
                                        "1e400",
                                        "-1e400",
                                        "1e-400",
                                        "1e-323",
                                        "1e22",
                                        "1e23",
                                        "8.5e22",
                                        "0.1",
                                        "0.30000000000000004",
                                        "1e99999999999999999999",
                                        "1e-99999999999999999999",
                                        "0e99999999999999999999",
                                        "0.000000000000000000000000000000000000000000000000000000000000000000000001e72",
                                        "6.02214076E+23",
                                        "7.2057594037927933e16",
                                        "1.00000000000000011102230246251565404236316680908203125",
                                        "1.00000000000000011102230246251565404236316680908203124",
                                        "1.00000000000000011102230246251565404236316680908203126"};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) same_as_strtod(cases[i]);
}
END_TEST

START_TEST(random_doubles) {
    char text[64];
    for (int i = 0; i < 100000; i++) {
        uint64_t bits = next();
        double number;
        memcpy(&number, &bits, sizeof number);
        if (!isfinite(number)) continue;
        snprintf(text, sizeof text, "%.*e", (int)(next() % 22), number);
        same_as_strtod(text);
        snprintf(text, sizeof text, "%llu.%llue%d", (unsigned long long)(next() >> next() % 64), (unsigned long long)(next() >> next() % 64),
                 (int)(next() % 700) - 360);
        same_as_strtod(text);
    }
}
END_TEST

/* The exact middle between two doubles, a little above, and cut to 20 and 21 digits. */
START_TEST(middles) {
    char text[1300], tail[16];
    for (int i = 0; i < 2000; i++) {
        uint64_t bits = i % 2 ? next() >> 1 : next() & (UINT64_MAX >> 11);
        double low, high;
        memcpy(&low, &bits, sizeof low);
        bits++;
        memcpy(&high, &bits, sizeof high);
        if (!isfinite(low) || !isfinite(high)) continue;
        long double middle = ((long double)low + (long double)high) / 2;
        snprintf(text, sizeof text, "%.1100Le", middle);
        same_as_strtod(text);
        char *e = strchr(text, 'e');
        memcpy(tail, e, strlen(e) + 1);
        e[0] = '1';
        memcpy(e + 1, tail, strlen(tail) + 1);
        same_as_strtod(text);
        snprintf(text, sizeof text, "%.19Le", middle);
        same_as_strtod(text);
        snprintf(text, sizeof text, "%.20Le", middle);
        same_as_strtod(text);
    }
}
END_TEST

START_TEST(json_is_strict) {
    static const struct {
        const char *text;
        size_t n;
    } cases[] = {{"12,", 2}, {"1.5]", 3}, {"-0.5e-3 ", 7}, {"", 0},    {"-", 0},   {"+1", 0},       {".5", 0}, {"1.", 0},  {"1.e5", 0},
                 {"1e", 0},  {"1e+", 0},  {"01", 0},       {"-01", 0}, {"NaN", 0}, {"Infinity", 0}, {" 1", 0}, {"0x10", 1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        double number = 0;
        ck_assert_msg(schema_number_json(cases[i].text, strlen(cases[i].text), &number) == cases[i].n, "%s", cases[i].text);
    }
    double number = 0;
    ck_assert_uint_eq(2, schema_number_json("12345", 2, &number)); /* the size is a wall */
    ck_assert_double_eq(12, number);
    ck_assert_uint_eq(5, schema_number_json("1e400", 5, &number));
    ck_assert_msg(isinf(number) && number > 0, "1e400");
}
END_TEST

START_TEST(cells_are_lenient) {
    static const struct {
        const char *text;
        double number;
    } good[] = {{"1", 1},      {" 1", 1},     {"1\t ", 1},    {"+1", 1},  {".5", 0.5},  {"1.", 1},
                {"-.5e1", -5}, {"1e3", 1000}, {"1E+3", 1000}, {"007", 7}, {"-0", -0.0}, {"1e-400", 0}};
    static const char *const bad[] = {"",
                                      " ",
                                      "+",
                                      "-",
                                      ".",
                                      "e5",
                                      "1e",
                                      "1 2",
                                      "1,5",
                                      "0x10",
                                      "inf",
                                      "nan",
                                      "NaN",
                                      "1e400",
                                      "1d5",
                                      "--1",
                                      "1_000",
                                      "\xC2\xA0"
                                      "1"};
    double number;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        ck_assert_msg(schema_number_cell(good[i].text, strlen(good[i].text), &number), "%s", good[i].text);
        ck_assert_msg(memcmp(&number, &good[i].number, sizeof number) == 0, "%s", good[i].text);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) ck_assert_msg(!schema_number_cell(bad[i], strlen(bad[i]), &number), "%s", bad[i]);
}
END_TEST

/* In a text that goes on, short numbers are read eight bytes at once: the same number, and the same end, as where the text ends with them. */
START_TEST(short_numbers_in_a_text) {
    static const char some[] = "0123456789012345678901234567890123456789..--+eE";
    static const char ends[] = ",;\n }]\t\"x\x80\xff";
    int read = 0;
    for (int i = 0; i < 400000; i++) {
        char text[40], alone[12];
        const size_t size = 1 + next() % 9;
        for (size_t k = 0; k < sizeof text; k++) text[k] = k < size ? some[next() % (sizeof some - 1)] : (char)(next() >> 40);
        if (next() % 3 == 0) text[0] = '-';
        if (next() % 3 && size > 2) text[1 + next() % (size - 1)] = '.';
        text[size] = ends[next() % (sizeof ends - 1)];
        memcpy(alone, text, size), alone[size] = '\0';
        double got = -1, want = -1;
        const size_t n = schema_number_json(text, sizeof text, &got);
        ck_assert_msg(n == schema_number_json(alone, size, &want), "%s: %zu bytes", alone, n);
        if (n == 0) continue;
        alone[n] = '\0';
        want = strtod(alone, NULL);
        ck_assert_msg(memcmp(&got, &want, sizeof got) == 0, "%s: got %.17g, want %.17g", alone, got, want);
        read++;
    }
    ck_assert_int_gt(read, 100000);
}
END_TEST

START_TEST(a_very_long_number) {
    size_t size = 1 << 20;
    char *text = malloc(size);
    double number;
    memset(text, '0', size);
    ck_assert(schema_number_cell(text, size, &number) && number == 0);
    text[size - 1] = '7';
    ck_assert(schema_number_cell(text, size, &number) && number == 7);
    text[1] = '.';
    ck_assert(schema_number_cell(text, size, &number) && number == 0); /* 7e-1048574 */
    memset(text, '9', size);
    ck_assert(!schema_number_cell(text, size, &number)); /* beyond double */
    text[0] = '.';
    ck_assert(schema_number_cell(text, size, &number) && number == 1);
    free(text);
}
END_TEST

START_TEST(text_reads_back) {
    static const struct {
        double number;
        const char *text;
    } cases[] = {{0, "0"},
                 {-0.0, "-0"},
                 {6, "6"},
                 {-17, "-17"},
                 {1e14, "100000000000000"},
                 {1e15, "1e+15"},
                 {0.1, "0.1"},
                 {0.30000000000000004, "0.30000000000000004"},
                 {39.1, "39.1"},
                 {1e-7, "1e-07"},
                 {1e300, "1e+300"},
                 {5e-324, "4.94065645841247e-324"}};
    char text[32];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) ck_assert_str_eq(schema_number_text(cases[i].number, text, sizeof text), cases[i].text);
    for (int i = 0; i < 20000; i++) {
        uint64_t bits = next();
        double number, back;
        memcpy(&number, &bits, sizeof number);
        if (!isfinite(number)) continue;
        schema_number_text(number, text, sizeof text);
        ck_assert(schema_number_cell(text, strlen(text), &back) && back == number);
    }
}
END_TEST

START_TEST(category_keys) {
    static const struct {
        const char *text, *key;
    } cases[] = {{"6", "6"},
                 {"6.0", "6"},
                 {"6e0", "6"},
                 {"+6", "6"},
                 {"006", "006"},
                 {"00", "00"},
                 {"0.5", "0.5"},
                 {"6.0000000000000000000000", "6"},
                 {"-0", "0"},
                 {"0.0", "0"},
                 {"0.50", "0.5"},
                 {".5", "0.5"},
                 {"six", "six"},
                 {"6a", "6a"},
                 {"-", "-"},
                 {"", ""},
                 {"1e400", "1e400"},
                 {"1e-400", "1e-400"},
                 {"123456789012345", "123456789012345"},
                 {"12345678901234567", "12345678901234567"},
                 {"12345678901234568", "12345678901234568"},
                 {"True", "True"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char buffer[32];
        size_t size = strlen(cases[i].text);
        const char *key = schema_category_key(cases[i].text, &size, buffer);
        ck_assert_msg(size == strlen(cases[i].key) && memcmp(key, cases[i].key, size) == 0, "%s: got %.*s", cases[i].text, (int)size, key);
    }
}
END_TEST

Suite *suite_schema_number(void) {
    Suite *suite = suite_create("schema number");
    TCase *tests = tcase_create("number");
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, hard_cases);
    tcase_add_test(tests, random_doubles);
    tcase_add_test(tests, middles);
    tcase_add_test(tests, json_is_strict);
    tcase_add_test(tests, cells_are_lenient);
    tcase_add_test(tests, a_very_long_number);
    tcase_add_test(tests, short_numbers_in_a_text);
    tcase_add_test(tests, text_reads_back);
    tcase_add_test(tests, category_keys);
    suite_add_tcase(suite, tests);
    return suite;
}

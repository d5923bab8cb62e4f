/* test_datetime.c - dates and words as texts say them: seconds as Python and the C library count them, places in the cycles, words of many scripts.
 */
#include "schema/text/datetime.h"
#include "schema/text/words.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

Suite *suite_schema_datetime(void);

START_TEST(readings) {
    static const struct {
        const char *text;
        double seconds;
    } good[] = {{"2024-01-31", 1706659200},
                {"2024/01/31", 1706659200},
                {"31.01.2024", 1706659200},
                {"2024-1-31", 1706659200},
                {"1969-12-31", -86400},
                {"0001-01-01", -62135596800},
                {"9999-12-31", 253402214400},
                {"2000-02-29", 951782400},
                {"2024-01-31T12:00:59.25+00:00", 1706702459.25},
                {"2024-01-31 12:00:59,25", 1706702459.25},
                {"2024-01-31T12:00:59+02:00", 1706695259},
                {"2024-01-31T12:00:59+0200", 1706695259},
                {"2024-01-31t10:00:59z", 1706695259},
                {"31.01.2024 12:00:59 +02", 1706695259},
                {"2024-01-31T04:30:59-05:30", 1706695259},
                {"2024-01-31T24:00", 1706745600}};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        double seconds = NAN;
        ck_assert_msg(schema_datetime_parse(good[i].text, strlen(good[i].text), &seconds), "%s", good[i].text);
        ck_assert_msg(seconds == good[i].seconds, "%s is %.3f", good[i].text, seconds);
    }
    static const char *const bad[] = {"2024-02-30",
                                      "2023-02-29",
                                      "1900-02-29",
                                      "2024-13-01",
                                      "2024-00-10",
                                      "2024-01-00",
                                      "0000-01-01",
                                      "1/31/2024",
                                      "2024-01",
                                      "20240131",
                                      "2024-01-31T",
                                      "2024-01-31T25:00",
                                      "2024-01-31T12:60",
                                      "2024-01-31T12",
                                      "2024-01-31x",
                                      "2024-01/31",
                                      "2024-01-31T12:00+",
                                      "2024-01-31T12:00+2:00",
                                      "2024-01-31T12:00:00.",
                                      "24-01-31",
                                      "",
                                      "today",
                                      "2024-01-31T12:00:00.1234567890"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        double seconds;
        ck_assert_msg(!schema_datetime_parse(bad[i], strlen(bad[i]), &seconds), "%s", bad[i]);
    }
}
END_TEST

START_TEST(formats) {
    double seconds;
    ck_assert(schema_datetime_parse_as("%m/%d/%Y", "1/31/2024", 9, &seconds));
    ck_assert_double_eq(seconds, 1706659200);
    ck_assert(schema_datetime_parse_as("%d %b %Y %H:%M %z", "31 Jan 2024 12:00 +0200", 23, &seconds));
    ck_assert_double_eq(seconds, 1706659200 + 10 * 3600);
    ck_assert(schema_datetime_parse_as("%Y%m%d", "20240131", 8, &seconds));
    ck_assert_double_eq(seconds, 1706659200);
    ck_assert(!schema_datetime_parse_as("%m/%d/%Y", "31/1/2024", 9, &seconds));
    ck_assert(!schema_datetime_parse_as("%m/%d/%Y", "2/30/2024", 9, &seconds));
    ck_assert(!schema_datetime_parse_as("%m/%d/%Y", "1/31/2024 12", 12, &seconds));
    ck_assert(schema_datetime_format_good("%d/%m/%Y"));
    ck_assert(schema_datetime_format_good("%F %T"));
    ck_assert(!schema_datetime_format_good("%H:%M"));
    ck_assert(!schema_datetime_format_good("%m/%Y"));
    ck_assert(!schema_datetime_format_good("%d/%m/%Y%"));
}
END_TEST

/* The output equals the C library's calendar and reads back. */
START_TEST(writing) {
    char text[SCHEMA_DATETIME_TEXT], other[64];
    for (int64_t i = 0; i < 20000; i++) {
        const int64_t second = -62135596800 + i * 15776876413 % 315537897600;
        const time_t time = (time_t)second;
        struct tm tm;
        double back;
        gmtime_r(&time, &tm);
        snprintf(other, sizeof other, "%04d-%02d-%02dT%02d:%02d:%02dZ", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min,
                 tm.tm_sec);
        ck_assert_str_eq(schema_datetime_text((double)second, false, text), other);
        ck_assert(schema_datetime_parse(text, strlen(text), &back) && back == (double)second);
    }
    ck_assert_str_eq(schema_datetime_text(1706659200, true, text), "2024-01-31");
    ck_assert_str_eq(schema_datetime_text(1706702459.25, false, text), "2024-01-31T12:00:59.25Z");
    ck_assert_str_eq(schema_datetime_text(-0.5, false, text), "1969-12-31T23:59:59.5Z");
    ck_assert_str_eq(schema_datetime_text(NAN, false, text), "");
    ck_assert_str_eq(schema_datetime_text(1e18, false, text), "");
}
END_TEST

START_TEST(places) {
    const double noon = 1706702400; /* Wednesday 2024-01-31T12:00, the 31st day of 366 */
    ck_assert_double_eq_tol(schema_datetime_place(noon, SCHEMA_PART_YEAR), 30.5 / 366, 1e-12);
    ck_assert_double_eq_tol(schema_datetime_place(noon, SCHEMA_PART_MONTH), 30.5 / 31, 1e-12);
    ck_assert_double_eq_tol(schema_datetime_place(noon, SCHEMA_PART_WEEK), 2.5 / 7, 1e-12);
    ck_assert_double_eq_tol(schema_datetime_place(noon, SCHEMA_PART_DAY), 0.5, 1e-12);
    ck_assert_double_eq_tol(schema_datetime_place(noon + 900, SCHEMA_PART_HOUR), 0.25, 1e-12);
    ck_assert_double_eq_tol(schema_datetime_place(-1, SCHEMA_PART_DAY), 86399.0 / 86400, 1e-12);
    ck_assert_double_eq_tol(schema_datetime_place(-86400, SCHEMA_PART_YEAR), 364.0 / 365, 1e-12);
}
END_TEST

/* The words of a text with a bar behind each. */
static void words_are(const char *text, const char *want) {
    struct bp_error error = {0};
    struct schema_words w = {.at = text, .end = text + strlen(text), .locale = schema_words_locale(&error)};
    char got[400] = "";
    ck_assert_msg(w.locale != (locale_t)0, "%s", error.message);
    while (schema_words_next(&w)) {
        strncat(got, w.word, w.size);
        strcat(got, "|");
    }
    freelocale(w.locale);
    ck_assert_str_eq(got, want);
}

START_TEST(words) {
    words_are("The CAT sat, on 3 mats.", "the|cat|sat|on|3|mats|");
    words_are("don't e-mail a_b", "don|t|e|mail|a|b|");
    words_are("", "");
    words_are(" ...! ", "");
    words_are("Größe ÜBER Straße", "größe|über|straße|");
    words_are("ПРИВЕТ Ελλάδα", "привет|ελλάδα|");
    words_are("日本語 text", "日|本|語|text|");
    words_are("x日y", "x|日|y|");
    words_are("caf\xC3", "caf|");
    words_are("a\xFF"
              "b",
              "a|b|");
    words_are("0123456789012345678901234567890123456789012345678901234567890123456789 z",
              "0123456789012345678901234567890123456789012345678901234567890123|z|");
}
END_TEST

Suite *suite_schema_datetime(void) {
    Suite *suite = suite_create("schema/datetime");
    TCase *tests = tcase_create("datetime");
    tcase_add_test(tests, readings);
    tcase_add_test(tests, formats);
    tcase_add_test(tests, writing);
    tcase_add_test(tests, places);
    tcase_add_test(tests, words);
    suite_add_tcase(suite, tests);
    return suite;
}

/* test_spelling.c - numbers and dates as people write them, and numbers that are codes. */
#include "schema/text/number_format.h"
#include "tests/schema/ingest_support.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

Suite *suite_schema_spelling(void);

#define CSV_WARNS(text, types, warnings) check_warnings(load_csv(text, types), warnings, __LINE__)

START_TEST(one_number) {
    static const struct {
        const char *format, *text;
        bool read;
        double number;
    } cases[] = {
        {"", "1234.5", true, 1234.5},
        {"", "1,234", false, 0},
        {"thousands_comma", "1,234", true, 1234},
        {"thousands_comma", "12,345,678.25", true, 12345678.25},
        {"thousands_comma", "12,34,567", true, 1234567}, /* India */
        {"thousands_comma", "1234.5", true, 1234.5},     /* plain as well */
        {"thousands_comma", "1,23", false, 0},
        {"thousands_comma", "1,2345", false, 0},
        {"thousands_comma", "0,123", false, 0},
        {"thousands_comma", ",123", false, 0},
        {"thousands_comma", "1,,234", false, 0},
        {"thousands_comma", "1,234,56", false, 0},
        {"thousands_comma", "1,234e3", false, 0},
        {"thousands_comma", "-1,234", true, -1234},
        {"thousands_point decimal_comma", "1.234,5", true, 1234.5},
        {"thousands_point", "1.234", true, 1234},
        {"thousands_point", "1.23", true, 1.23},
        {"decimal_comma", "1234,5", true, 1234.5},
        {"decimal_comma", "1.234", true, 1.234},
        {"decimal_comma", "1,5,6", false, 0},
        {"thousands_space", "1 234 567.5", true, 1234567.5},
        {"thousands_space+decimal_comma",
         "1\xC2\xA0"
         "234,5",
         true, 1234.5},
        {"thousands_apostrophe", "1'234.5", true, 1234.5},
        {"percent", "12%", true, 12},
        {"percent", "-1.5 %", true, -1.5},
        {"percent", "12", true, 12},
        {"", "12%", false, 0},
        {"currency=$", "$12.50", true, 12.5},
        {"currency=$", "-$12.50", true, -12.5},
        {"currency=$", "$-12.50", true, -12.5},
        {"currency=$",
         "\xE2\x82\xAC"
         "12.50",
         false, 0},
        {"currency=\xE2\x82\xAC decimal_comma", "12,50 \xE2\x82\xAC", true, 12.5},
        {"currency=USD thousands_comma", "USD 1,200", true, 1200},
        {"accounting", "(1.50)", true, -1.5},
        {"accounting", "1.50-", true, -1.5},
        {"accounting",
         "\xE2\x88\x92"
         "1.5",
         true, -1.5},
        {"", "(1.50)", false, 0},
        {"accounting currency=$ thousands_comma", "($1,234.50)", true, -1234.5},
        {"accounting", "()", false, 0},
        {"accounting", "(-)", false, 0},
        {"accounting", "-(-1)", false, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        double number = 0;
        bool read = schema_number_read_as(cases[i].format, cases[i].text, strlen(cases[i].text), &number);
        ck_assert_msg(read == cases[i].read && (!read || number == cases[i].number), "%s as \"%s\": %d %.17g", cases[i].text, cases[i].format, read,
                      number);
    }
}
END_TEST

START_TEST(formats) {
    static const char *const same[] = {"",
                                       "thousands_comma",
                                       "thousands_point decimal_comma",
                                       "decimal_comma",
                                       "thousands_space",
                                       "percent",
                                       "thousands_space decimal_comma percent",
                                       "thousands_comma accounting currency=$",
                                       "currency=EUR"};
    struct schema_number_format f;
    char text[SCHEMA_NUMBER_FORMAT_TEXT];
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        ck_assert_msg(schema_number_format_parse(same[i], &f), "%s", same[i]);
        ck_assert_str_eq(schema_number_format_text(&f, text), same[i]);
    }
    ck_assert(schema_number_format_parse("plain", &f));
    ck_assert_str_eq(schema_number_format_text(&f, text), "");
    static const char *const wrong[] = {"comma", "thousands_comma thousands_point", "thousands_comma decimal_comma", "currency=XYZ", "1,234"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) ck_assert_msg(!schema_number_format_parse(wrong[i], &f), "%s", wrong[i]);
}
END_TEST

START_TEST(losses) {
    static const struct {
        const char *text;
        enum schema_number_loss loss;
    } cases[] = {{"0", SCHEMA_LOSS_NONE},
                 {"00", SCHEMA_LOSS_ZEROS},
                 {"00501", SCHEMA_LOSS_ZEROS},
                 {"-007", SCHEMA_LOSS_ZEROS},
                 {"0.5", SCHEMA_LOSS_NONE},
                 {"9007199254740991", SCHEMA_LOSS_NONE},
                 {"9007199254740992", SCHEMA_LOSS_NONE},
                 {"9007199254740993", SCHEMA_LOSS_DIGITS},
                 {"20000000000000000", SCHEMA_LOSS_NONE},
                 {"1234567890123456789", SCHEMA_LOSS_DIGITS},
                 {"-1234567890123456789012", SCHEMA_LOSS_DIGITS},
                 {"1e300", SCHEMA_LOSS_NONE},
                 {"1234567890123456789.5", SCHEMA_LOSS_NONE},
                 {"", SCHEMA_LOSS_NONE},
                 {"-", SCHEMA_LOSS_NONE}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        ck_assert_msg(schema_number_loss(cases[i].text, strlen(cases[i].text)) == cases[i].loss, "%s", cases[i].text);
}
END_TEST

START_TEST(codes) {
    CSV_ROWS("zip,y\n00501,1\n2134,0\n", NULL, "{\"zip\":\"00501\",\"y\":1}\n{\"zip\":\"2134\",\"y\":0}");
    CSV_ROWS("zip,y\n00501,1\n2134,0\n", "zip:numeric", "{\"zip\":501,\"y\":1}\n{\"zip\":2134,\"y\":0}");
    CSV_ROWS("zip\n00501\n501\n0501\n", NULL, "{\"zip\":\"00501\"}\n{\"zip\":\"501\"}\n{\"zip\":\"0501\"}"); /* three of them */
    CSV_WARNS("zip,y\n10001,1\n00501,2\n", NULL,
              "[\"column \\\"zip\\\" is inferred as categorical: a number would lose the zeros of \\\"00501\\\"; if its values are numbers, send "
              "it with types=zip:numeric\"]");
    CSV_ROWS("x\n01.5\n2\n", NULL, "{\"x\":1.5}\n{\"x\":2}"); /* a fraction: numbers */
    CSV_ROWS("id\n1234567890123456789\n1234567890123456790\n", NULL, "{\"id\":\"1234567890123456789\"}\n{\"id\":\"1234567890123456790\"}");
    JSON_ROWS("{\"records\":[{\"id\":1234567890123456789},{\"id\":\"1234567890123456789\"},{\"id\":7}]}",
              "{\"id\":\"1234567890123456789\"}\n{\"id\":\"1234567890123456789\"}\n{\"id\":\"7\"}");
    JSON_ROWS("{\"columns\":{\"id\":[18446744073709551617,1]}}", "{\"id\":\"18446744073709551617\"}\n{\"id\":\"1\"}");
    JSON_ROWS("{\"records\":[{\"z\":\"007\"},{\"z\":\"8\"}]}", "{\"z\":\"007\"}\n{\"z\":\"8\"}");
    CSV_WARNS("x,y\n1234567890123456789,1\n0.5,2\n", NULL,
              "[\"column \\\"x\\\" loses digits: 1 values such as \\\"1234567890123456789\\\" do not fit a number of 53 bits; if "
              "they are identifiers, send it with types=x:categorical\"]");
    CSV_WARNS("x,y\n1234567890123456789,1\n5,2\n", "x:numeric",
              "[\"column \\\"x\\\" loses digits: 1 values such as \\\"1234567890123456789\\\" do not fit a number of 53 bits; if "
              "they are identifiers, send it with types=x:categorical\"]");
    CSV_WARNS("x,y\n20000000000000000,1\n10000000000000000,2\n", NULL, "[]");
}
END_TEST

/* Leading zeros after the megabyte from which types are inferred. */
START_TEST(late_codes) {
    const size_t rows = 400000;
    char *text = malloc(rows * 8 + 100), *p = text;
    p += sprintf(p, "zip,y\n");
    for (size_t i = 0; i < rows; i++) p += sprintf(p, "%zu,%zu\n", 10000 + i % 89, i % 7);
    sprintf(p, "00501,1\n");
    CSV_WARNS(text, NULL,
              "[\"column \\\"zip\\\" loses digits: 1 values such as \\\"00501\\\" do not fit a number of 53 bits; if they are "
              "identifiers, send it with types=zip:categorical\"]");
    free(text);
}
END_TEST

/* Many and nearly all different: a dictionary of them would be the column once more. */
START_TEST(many_codes) {
    char *text = malloc(1200 * 24 + 10), *p = text + sprintf(text, "id,y\n");
    for (int i = 0; i < 1200; i++) p += sprintf(p, "12345678901234%05d,%d\n", i, i % 3);
    struct loaded loaded = load_csv(text, NULL);
    ck_assert_msg(!loaded.failed, "refused");
    ck_assert_int_eq(loaded.data->columns[0].type, SCHEMA_TEXT);
    loaded_clear(&loaded);
    free(text);
}
END_TEST

START_TEST(numbers) {
    CSV_ROWS("a,y\n\"1,234\",1\n\"12,345,678\",2\n5,3\n", NULL, "{\"a\":1234,\"y\":1}\n{\"a\":12345678,\"y\":2}\n{\"a\":5,\"y\":3}");
    CSV_WARNS("a,y\n\"1,234\",1\n\"2,500\",2\n", NULL,
              "[\"column \\\"a\\\" holds numbers of the format thousands_comma: \\\"1,234\\\" is read as 1234; if the comma is a decimal mark, send "
              "it with "
              "types=a:numeric:decimal_comma\"]");
    CSV_ROWS("a,y\n\"1,234\",1\n\"2,500\",2\n", "a:numeric:decimal_comma", "{\"a\":1.234,\"y\":1}\n{\"a\":2.5,\"y\":2}");
    CSV_ROWS("a,y\n\"1,234\",1\n\"2,500\",2\n", "a:categorical", "{\"a\":\"1,234\",\"y\":1}\n{\"a\":\"2,500\",\"y\":2}");
    CSV_WARNS(
        "a,y\n12%,1\n5.5%,2\n", NULL,
        "[\"column \\\"a\\\" holds numbers of the format percent: \\\"12%\\\" is read as 12; to keep the texts, send it with types=a:categorical\"]");
    CSV_WARNS(
        "a,y\n12%,1\n0.12,2\n", NULL,
        "[\"column \\\"a\\\" is inferred as categorical: its values are numbers, but not all written in one way (\\\"12%\\\"); after writing them "
        "in one "
        "way, send it with types=a:numeric\"]");
    CSV_ROWS("a\n\"$1,200.50\"\n$3\n", NULL, "{\"a\":1200.5}\n{\"a\":3}");
    CSV_ROWS("a\n$3\n\xE2\x82\xAC"
             "4\n",
             NULL,
             "{\"a\":\"$3\"}\n{\"a\":\"\xE2\x82\xAC"
             "4\"}"); /* of two currencies */
    CSV_ROWS("a\n(1.50)\n2\n", NULL, "{\"a\":-1.5}\n{\"a\":2}");
    CSV_ROWS("a;b\n1.234,5;12,5 %\n7;3 %\n", NULL, "{\"a\":1234.5,\"b\":12.5}\n{\"a\":7,\"b\":3}");
    CSV_ROWS("a;b\n1,234.5;x\n12,345,678;y\n", NULL, "{\"a\":1234.5,\"b\":\"x\"}\n{\"a\":12345678,\"b\":\"y\"}");
    CSV_ROWS("a;b\n12,345,678;x\n1,234;y\n", NULL, "{\"a\":12345678,\"b\":\"x\"}\n{\"a\":1234,\"b\":\"y\"}");
    JSON_ROWS("{\"records\":[{\"a\":\"1,234\"},{\"a\":\"2,500.5\"},{\"a\":7}]}", "{\"a\":1234}\n{\"a\":2500.5}\n{\"a\":7}");
    check_warnings(load_json("{\"records\":[{\"a\":\"1\"},{\"a\":\"2.5\"}]}"),
                   "[\"column \\\"a\\\" holds numbers in quotes (\\\"1\\\"), which are read as numbers; to keep them as texts, send it with "
                   "\\\"types\\\":{\\\"a\\\":\\\"categorical\\\"}\"]",
                   __LINE__);
    JSON_ROWS("{\"records\":[{\"a\":\"1.234,5\"},{\"a\":\"2.345\"}],\"types\":{\"a\":{\"type\":\"numeric\",\"format\":\"thousands_point\"}}}",
              "{\"a\":1234.5}\n{\"a\":2345}");
    CSV_ROWS("ip\n10.0.0.1\n192.168.100.200\n", NULL, "{\"ip\":\"10.0.0.1\"}\n{\"ip\":\"192.168.100.200\"}");
    CSV_ROWS("t\n10-20\n5'11\n", NULL, "{\"t\":\"10-20\"}\n{\"t\":\"5'11\"}");
    CSV_ROWS("t\n110 001\n110 002\n", NULL, "{\"t\":\"110 001\"}\n{\"t\":\"110 002\"}"); /* as postal codes are written */
    CSV_REFUSED(
        "a\n1\n\"1,234\"\n", "a:numeric:plain",
        "[{\"line\":3,\"column\":\"a\",\"value\":\"1,234\",\"detail\":\"expected a number; the column was given the type numeric. Correct the "
        "value, leave it empty if it is missing, or send the data again with types=a:numeric:thousands_comma\"}]");
}
END_TEST

/* One TRUE among numbers is what one word is: a missing value. */
START_TEST(odd_ones) {
    char text[2000] = "x,y\n";
    for (int i = 0; i < 40; i++) sprintf(text + strlen(text), "%d,1\n", i * i);
    strcat(text, "TRUE,1\n");
    CSV_WARNS(text, NULL,
              "[\"column \\\"x\\\": 1 cells hold \\\"TRUE\\\" and are treated as missing, because all others are numbers; give the column the type "
              "categorical to keep them\",\"column \\\"y\\\" is constant\"]");
    CSV_WARNS("x\n1\n2\n3\ntrue\n", NULL,
              "[\"column \\\"x\\\" is inferred as categorical: most of its values are numbers, but not all (\\\"true\\\")\"]");
}
END_TEST

START_TEST(dates) {
    CSV_ROWS("d\n31/12/2023\n15/03/2024\n", NULL, "{\"d\":\"2023-12-31\"}\n{\"d\":\"2024-03-15\"}");
    CSV_ROWS("d\n1/31/2024\n12/1/2024\n", NULL, "{\"d\":\"2024-01-31\"}\n{\"d\":\"2024-12-01\"}");
    CSV_ROWS("d\n31/12/23\n04/07/20\n", NULL, "{\"d\":\"2023-12-31\"}\n{\"d\":\"2020-07-04\"}");
    CSV_ROWS("d\n31-Dec-2023\n1-Jan-2024\n", NULL, "{\"d\":\"2023-12-31\"}\n{\"d\":\"2024-01-01\"}");
    CSV_ROWS("d\n31/12/2023 17:05\n01/02/2024 08:00\n", NULL, "{\"d\":\"2023-12-31T17:05:00Z\"}\n{\"d\":\"2024-02-01T08:00:00Z\"}");
    CSV_ROWS("d\n1/31/2024 5:05 PM\n12/1/2024 8:00 AM\n", NULL, "{\"d\":\"2024-01-31T17:05:00Z\"}\n{\"d\":\"2024-12-01T08:00:00Z\"}");
    CSV_ROWS("d,y\n20231231,1\n20240229,2\n", NULL, "{\"d\":\"2023-12-31\",\"y\":1}\n{\"d\":\"2024-02-29\",\"y\":2}");
    CSV_ROWS("d,y\n20231231,1\n20230229,2\n", NULL, "{\"d\":20231231,\"y\":1}\n{\"d\":20230229,\"y\":2}"); /* no day: numbers */
    CSV_ROWS("d,y\n20231231,1\n20240229,2\n", "d:numeric", "{\"d\":20231231,\"y\":1}\n{\"d\":20240229,\"y\":2}");
    JSON_ROWS("{\"records\":[{\"d\":20231231},{\"d\":\"20240101\"}]}", "{\"d\":\"2023-12-31\"}\n{\"d\":\"2024-01-01\"}");
    CSV_WARNS("d,y\n20231231,1\n20240229,2\n", NULL,
              "[\"column \\\"d\\\" holds dates of the format %Y%m%d; if they are numbers, send it with types=d:numeric\"]");
    CSV_WARNS("d,y\n04/07/2020,1\n05/08/2020,2\n", NULL,
              "[\"column \\\"d\\\" holds dates as text (\\\"04/07/2020\\\"), each of which is a category of its own; send it with "
              "types=d:datetime:%25d/%25m/%25Y, or with %m/%d/%Y if they are written so\"]");
    CSV_WARNS(
        "d,y\n2023-12-31,1\n2023-02-29,2\n2024-03-03,1\n", NULL,
        "[\"column \\\"d\\\" is inferred as categorical: its values are dates, but \\\"2023-02-29\\\" in line 3 is none; correct it or leave it "
        "empty, and "
        "send the column with types=d:datetime\"]");
    CSV_WARNS(
        "d,y\n31/12/2023,1\n31/04/2023,2\n15/04/2023,2\n", NULL,
        "[\"column \\\"d\\\" is inferred as categorical: its values are dates of the format %d/%m/%Y, but \\\"31/04/2023\\\" in line 3 is none; "
        "correct it or "
        "leave it empty, and send the column with types=d:datetime:%25d/%25m/%25Y\"]");
    CSV_REFUSED("d\n04/07/20\n", "d:datetime:%d/%m/%Y",
                "[{\"line\":2,\"column\":\"d\",\"value\":\"04/07/20\",\"detail\":\"expected a date or time like \\\"%d/%m/%Y\\\"; the column was "
                "given the type "
                "datetime. Correct the value, leave it empty if it is missing, or send the data again with types=d:datetime:%25d/%25m/%25y\"}]");
}
END_TEST

Suite *suite_schema_spelling(void) {
    Suite *suite = suite_create("schema spelling");
    TCase *tests = tcase_create("spelling");
    tcase_add_test(tests, one_number);
    tcase_add_test(tests, formats);
    tcase_add_test(tests, losses);
    tcase_add_test(tests, codes);
    tcase_add_test(tests, late_codes);
    tcase_add_test(tests, many_codes);
    tcase_add_test(tests, numbers);
    tcase_add_test(tests, odd_ones);
    tcase_add_test(tests, dates);
    suite_add_tcase(suite, tests);
    return suite;
}

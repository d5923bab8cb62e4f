/* test_csv_dialect.c - detection of the dialect of a file, and the user's overrides. */
#include "schema/formats/csv_dialect.h"
#include "tests/schema/ingest_support.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

Suite *suite_schema_csv_dialect(void);

/* "separator decimal quote header", with t for the tab and n for no quote. */
static void found(const char *text, const char *expected, int line) {
    struct schema_csv_dialect d = {0};
    struct schema_ingest_options none = {0};
    csv_dialect_find(&d, text, strlen(text), true, &none);
    char got[] = {d.separator == '\t' ? 't' : d.separator, d.decimal, d.quote == SCHEMA_CSV_NO_QUOTE ? 'n' : d.quote,
                  d.header == SCHEMA_CSV_HEADER ? 'H' : '-', '\0'};
    ck_assert_msg(strcmp(got, expected) == 0, "line %d: got %s, want %s", line, got, expected);
}
#define FOUND(text, expected) found(text, expected, __LINE__)

START_TEST(separators) {
    FOUND("a,b\n1,2\n", ",.\"H");
    FOUND("a;b\n1;2\n", ";.\"H");
    FOUND("a\tb\n1\t2\n", "t.\"H");
    FOUND("a|b\n1|2\n", "|.\"H");
    FOUND("a\n1\n", ",.\"H");
    FOUND("", ",.\"H");
    FOUND("a|b\n1\n2\n", ",.\"H"); /* one column of that name */
    FOUND("\"a,1\";b\n1;x\n", ";.\"H");
    FOUND("a,b;c\n1,x;y\n", ",.\"H");
    FOUND("name, first;qty\nx;1\ny;2\n", ";.\"H"); /* the comma does not divide the rows */
    FOUND("1,5;2,5;x\n3,5;4,5;y\n", ";,\"-");      /* both divide them evenly */
    FOUND("1.5,2;x\n3.5,4;y\n", ",.\"-");
    FOUND("a,b\n1,2\n3\n4,5,6\n", ",.\"H"); /* broken, but nothing is better */
}
END_TEST

START_TEST(decimals) {
    FOUND("a;b\n1,5;2\n", ";,\"H");
    FOUND("a\tb\n1.234,56\tx\n", "t,\"H");
    FOUND("a;b\n1,5;2.5\n", ";.\"H"); /* a point as well */
    FOUND("a;b\n1.234;2\n", ";.\"H"); /* thousands or three decimals: as everywhere */
    FOUND("a;b\n1.234;2,5\n", ";,\"H");
    FOUND("a|b\n1,5|2\n", "|.\"H");
    FOUND("a;b\n1,5,2;x\n", ";.\"H");
}
END_TEST

START_TEST(quotes) {
    FOUND("a,b\n'x, y',1\n'z',2\n", ",.'H");
    FOUND("'a','b'\n'1','2'\n", ",.'H");
    FOUND("a,b\n'tis,1\n'z',2\n", ",.\"H");
    FOUND("a,b\n\"'x'\",1\n'z',2\n", ",.\"H");
    FOUND("a,b\n'x',1\ny,2\n", ",.\"H"); /* once only */
}
END_TEST

START_TEST(headers) {
    FOUND("5.1,3.5,setosa\n4.9,3.0,setosa\n", ",.\"-");
    FOUND("5.1,?,setosa\n4.9,3.0,virginica\n", ",.\"-");
    FOUND("id,2019,2020\n1,2,3\n", ",.\"H");
    FOUND("country,2019,2020\nFR,1.5,2\nDE,3,4\n", ",.\"H");
    FOUND("0,1,2\n5,6,7\n", ",.\"H");
    FOUND("0,1\n1,0\n", ",.\"-");
    FOUND("1\n", ",.\"-");
    FOUND("red,big\nred,small\nblue,big\n", ",.\"-");
    FOUND("colour,size\nred,small\nblue,big\n", ",.\"H");
    FOUND("a,b\n", ",.\"H");
    FOUND("true,1\nfalse,2\n", ",.\"-");
    FOUND("ok,n\nfalse,2\n", ",.\"H");
    FOUND(",a\n0,1\n", ",.\"H");
}
END_TEST

START_TEST(comma_numbers) {
    static const struct {
        const char *text;
        double number;
    } good[] = {{"1.234,56", 1234.56}, {"-1.234.567", -1234567}, {"0,5", 0.5}, {"12,", 12}, {",25", 0.25}, {"+7", 7},
                {"1,5e-3", 0.0015},    {"1234,5", 1234.5}};
    static const char *const bad[] = {"", "1.5", "1.2345", "1234.567,8", ".5", "1,2,3", "1,234.5", "12.05.2023", "x", "1,5x", "-", ","};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        double number = 0;
        ck_assert_msg(csv_comma_number(good[i].text, strlen(good[i].text), &number), "%s", good[i].text);
        ck_assert_double_eq(good[i].number, number);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        double number;
        ck_assert_msg(!csv_comma_number(bad[i], strlen(bad[i]), &number), "%s", bad[i]);
    }
}
END_TEST

static struct loaded load_as(const char *kind, const char *text, const char *separator, const char *decimal, const char *quote, const char *header) {
    struct schema_ingest_options options = {0};
    struct schema_problems problems = {0};
    ck_assert_int_eq(0, schema_csv_dialect_parse(separator, decimal, quote, header, &options.csv, &problems));
    return load_pieces(kind, text, strlen(text), 1 << 16, &options);
}

START_TEST(rows) {
    CSV_ROWS("n;t\n1.234,56;1,5\n-0,5;x\n;\n3;6\n", NULL,
             "{\"n\":1234.56,\"t\":\"1,5\"}\n{\"n\":-0.5,\"t\":\"x\"}\n{\"n\":null,\"t\":null}\n{\"n\":3,\"t\":\"6\"}");
    CSV_ROWS("5.1,setosa\n4.9,setosa\n", NULL, "{\"c0\":5.1,\"c1\":\"setosa\"}\n{\"c0\":4.9,\"c1\":\"setosa\"}");
    CSV_ROWS("1,2\n3,4\n", "c1:categorical", "{\"c0\":1,\"c1\":\"2\"}\n{\"c0\":3,\"c1\":\"4\"}");
    CSV_ROWS("1,2\n3,4\n", "\"1\":categorical", "{\"1\":\"3\",\"2\":4}"); /* a type names it */
    CSV_ROWS("a,b\n'x, y','it''s'\n'z',2\n", NULL, "{\"a\":\"x, y\",\"b\":\"it's\"}\n{\"a\":\"z\",\"b\":\"2\"}");
    check_rows(load_as("text/csv", "1,2\n3,4\n", NULL, NULL, NULL, "true"), "{\"1\":3,\"2\":4}", __LINE__);
    check_rows(load_as("text/csv", "a,b\n3,4\n", NULL, NULL, NULL, "false"), "{\"c0\":\"a\",\"c1\":\"b\"}\n{\"c0\":\"3\",\"c1\":\"4\"}", __LINE__);
    check_rows(load_as("text/csv", "a,b;c\n1,5;2\n", "semicolon", ",", NULL, NULL), "{\"a,b\":1.5,\"c\":2}", __LINE__);
    check_rows(load_as("text/csv", "a,b\n\"x\",1\n", NULL, NULL, "none", NULL), "{\"a\":\"\\\"x\\\"\",\"b\":1}", __LINE__);
    check_rows(load_as("text/csv", "a,b\n\"1,5\",1\n", NULL, "comma", NULL, NULL), "{\"a\":1.5,\"b\":1}", __LINE__);
    check_rows(load_as("text/tab-separated-values", "a, b\tc\n1\tx\n", NULL, NULL, NULL, NULL), "{\"a, b\":1,\"c\":\"x\"}", __LINE__);
    CSV_REFUSED("n;m\n1,5;2\n1.5x;3\n1,2;1.234,5\n", "n:numeric",
                "[{\"line\":3,\"column\":\"n\",\"value\":\"1.5x\",\"detail\":\"expected a number, plain or of the format "
                "\\\"decimal_comma\\\"; the column was given the type numeric. Correct the value, leave it empty if it is missing, or send the data "
                "again with types=n:categorical\"}]");
    CSV_REFUSED(
        "1,2\n3\n", NULL,
        "[{\"line\":2,\"value\":\"3\",\"detail\":\"the line has 1 cells, the first has 2 columns; put text with a separator in double quotes\"}]");
}
END_TEST

START_TEST(parameters) {
    struct schema_csv_dialect d = {0};
    struct schema_problems problems = {0};
    ck_assert_int_eq(0, schema_csv_dialect_parse("TAB", ",", "'", "1", &d, &problems));
    ck_assert(d.separator == '\t' && d.decimal == ',' && d.quote == '\'' && d.header == SCHEMA_CSV_HEADER);
    ck_assert_int_eq(-1, schema_csv_dialect_parse(":", "x", "`", "maybe", &d, &problems));
    ck_assert_int_eq(4, problems.count);
    ck_assert_str_eq("separator is \":\", expected comma, semicolon, tab or pipe, or the character itself", problems.items[0].detail);
    ck_assert_str_eq("header is \"maybe\", expected true or false", problems.items[3].detail);
    schema_problems_clear(&problems);
}
END_TEST

/* The sample ends within a quoted field with newlines: what is cut decides nothing. */
START_TEST(cut_sample) {
    char *text = calloc(1, CSV_SAMPLE + 1000);
    size_t n = (size_t)sprintf(text, "a;b\n");
    while (n + 12 < CSV_SAMPLE) n += (size_t)sprintf(text + n, "1,5;x\n");
    sprintf(text + n, "2,5;\"a;b\n;;\n%s\"\n3;y\n", "long long long");
    struct loaded loaded = load_csv(text, NULL);
    ck_assert_int_eq(0, loaded.failed);
    ck_assert_int_eq(2, loaded.data->columns_count);
    ck_assert_double_eq(2.5, schema_dataset_number(loaded.data, 0, loaded.data->rows - 2));
    loaded_clear(&loaded);
    free(text);
}
END_TEST

Suite *suite_schema_csv_dialect(void) {
    Suite *suite = suite_create("schema csv_dialect");
    TCase *tests = tcase_create("csv_dialect");
    tcase_add_test(tests, separators);
    tcase_add_test(tests, decimals);
    tcase_add_test(tests, quotes);
    tcase_add_test(tests, headers);
    tcase_add_test(tests, comma_numbers);
    tcase_add_test(tests, rows);
    tcase_add_test(tests, parameters);
    tcase_add_test(tests, cut_sample);
    suite_add_tcase(suite, tests);
    return suite;
}

/* test_ndjson.c - one JSON object a line: rows, every error with its line, the same file whatever the pieces. */
#include "tests/schema/ingest_support.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

Suite *suite_schema_ndjson(void);

static struct loaded load(const char *text) {
    return load_pieces("application/x-ndjson", text, strlen(text), 1 << 16, NULL);
}
#define ROWS(text, rows)        check_rows(load(text), rows, __LINE__)
#define REFUSED(text, problems) check_refused(load(text), problems, __LINE__)

START_TEST(rows) {
    ROWS("{\"a\":1,\"b\":\"x\"}\n{\"b\":\"y\",\"a\":2.5}\n", "{\"a\":1,\"b\":\"x\"}\n{\"a\":2.5,\"b\":\"y\"}");
    ROWS("\n  \r\n{\"a\":true}\r\n\n { \"b\" : [1, 2] } \t\n\n", "{\"a\":true,\"b\":null}\n{\"a\":null,\"b\":[1,2]}");
    ROWS("\xEF\xBB\xBF{\"a\":\"\\u00e9\\n\"}", "{\"a\":\"\xC3\xA9\\n\"}");
    ROWS("{\"a\":null}\n{\"a\":7}", "{\"a\":null}\n{\"a\":7}");
}
END_TEST

START_TEST(errors) {
    REFUSED("", "[{\"detail\":\"the data has no rows; expected one JSON object per line, such as "
                "{\\\"length\\\":39.1,\\\"island\\\":\\\"Biscoe\\\"}\"}]");
    REFUSED(
        "\n{\"a\":1}\n{\"a\":1,}\n{\"a\":NaN}\n{\"a\":2} {\"a\":3}\n[1]\n{\"a\":1\n",
        "[{\"line\":3,\"value\":\"}\",\"detail\":\"not valid JSON at column 8: expected a key in double quotes\"},"
        "{\"line\":4,\"value\":\"NaN}\",\"detail\":\"not valid JSON at column 6: expected a value; NaN and Infinity are not JSON, write null for a "
        "missing value\"},"
        "{\"line\":5,\"value\":\"{\\\"a\\\":3}\",\"detail\":\"not valid JSON at column 9: bytes follow the object; put each object on its own line "
        "(curl -d removes line ends, --data-binary keeps them)\"},"
        "{\"line\":6,\"value\":\"[1]\",\"detail\":\"expected an object, such as {\\\"length\\\":39.1,\\\"island\\\":\\\"Biscoe\\\"}\"},"
        "{\"line\":7,\"detail\":\"not valid JSON at column 7: the text ends inside an object\"}]");
    REFUSED("{\"a\":[1,2]}\n\n{\"a\":[1]}\n", "[{\"line\":3,\"column\":\"a\",\"value\":\"[1]\",\"detail\":\"the array has shape (1), expected (2) as "
                                              "in the first row; shorter sequences are "
                                              "padded when types give the longest: {\\\"type\\\":\\\"tensor\\\",\\\"shape\\\":[...]}\"}]");
    REFUSED("{\"a\":1,\"a\":2}\n", "[{\"line\":1,\"column\":\"a\",\"detail\":\"the key appears twice in this record\"}]");
    static const char nul[] = "{\"a\":1}\0\n";
    struct loaded loaded = load_pieces("application/jsonl", nul, sizeof nul - 1, 3, NULL);
    ck_assert(loaded.failed);
    ck_assert_int_eq(1, (int)loaded.problems.items[0].line);
    loaded_clear(&loaded);
}
END_TEST

/* The first twenty are reported, all are counted. */
START_TEST(many_errors) {
    char text[2000] = "{\"a\":1}\n";
    for (int i = 0; i < 45; i++) strcat(text, "oops\n");
    struct loaded loaded = load(text);
    ck_assert(loaded.failed);
    ck_assert_int_eq(20, loaded.problems.count);
    ck_assert_int_eq(45, (int)loaded.problems.total);
    ck_assert_int_eq(21, (int)loaded.problems.items[19].line);
    loaded_clear(&loaded);
}
END_TEST

START_TEST(long_line) {
    size_t size = (16 << 20) + 100;
    char *text = malloc(size);
    memset(text, ' ', size);
    memcpy(text, "{\"a\":1}\n{\"a\":", 14);
    struct loaded loaded = load_pieces("application/x-ndjson", text, size, 1 << 16, NULL);
    ck_assert(loaded.failed);
    ck_assert_int_eq(2, (int)loaded.problems.items[0].line);
    ck_assert_str_eq("the line is longer than 16 MiB, the limit; expected one JSON object per line", loaded.problems.items[0].detail);
    loaded_clear(&loaded);
    free(text);
}
END_TEST

/* The same file, byte for byte, whatever the pieces; and the one that JSON gives. */
START_TEST(pieces) {
    static const char text[] = "{\"a\":1,\"b\":\"x\"}\n\n{\"a\":2,\"b\":null}\n{\"b\":\"\xC3\xA9\",\"a\":-3e5}";
    struct loaded whole = load_json("{\"records\":[{\"a\":1,\"b\":\"x\"},{\"a\":2,\"b\":null},{\"b\":\"\xC3\xA9\",\"a\":-3e5}]}");
    ck_assert_int_eq(0, whole.failed);
    for (size_t piece = 1; piece < sizeof text; piece++) {
        struct loaded part = load_pieces("application/x-ndjson", text, sizeof text - 1, piece, NULL);
        ck_assert_int_eq(0, part.failed);
        ck_assert_uint_eq(whole.file_size, part.file_size);
        ck_assert_mem_eq(whole.file, part.file, whole.file_size);
        loaded_clear(&part);
    }
    loaded_clear(&whole);
}
END_TEST

Suite *suite_schema_ndjson(void) {
    Suite *suite = suite_create("ndjson");
    TCase *tests = tcase_create("ndjson");
    tcase_add_test(tests, rows);
    tcase_add_test(tests, errors);
    tcase_add_test(tests, many_errors);
    tcase_add_test(tests, long_line);
    tcase_add_test(tests, pieces);
    suite_add_tcase(suite, tests);
    return suite;
}

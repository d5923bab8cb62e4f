/* test_ingest_inspect.c - what is guessed of a file's first bytes, wherever they end. */
#include "schema/ingest/inspect.h"
#include "tests/schema/ingest_support.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

Suite *suite_schema_ingest_inspect(void);

static json_t *look(const char *bytes, size_t size, struct schema_problems *problems) {
    const struct schema_ingest_options none = {0};
    int fd = nameless_file();
    json_t *json = schema_inspect(bytes, size, &none, fd, problems);
    close(fd);
    return json;
}

/* format, rows, the preview's last row. */
static void found(const char *text, size_t size, const char *format, int rows, const char *last, int line) {
    struct schema_problems problems = {0};
    json_t *json = look(text, size, &problems);
    ck_assert_msg(json != NULL, "line %d: %s", line, problems.count ? problems.items[0].detail : "");
    json_t *preview = json_object_get(json, "preview");
    char *row = json_dumps(json_array_get(preview, json_array_size(preview) - 1), JSON_COMPACT);
    ck_assert_msg(strcmp(json_string_value(json_object_get(json, "format")), format) == 0 &&
                      json_integer_value(json_object_get(json, "rows")) == rows && strcmp(row, last) == 0,
                  "line %d: %s, %d rows, %s", line, json_string_value(json_object_get(json, "format")),
                  (int)json_integer_value(json_object_get(json, "rows")), row);
    free(row);
    json_decref(json);
}
#define FOUND(text, format, rows, last) found(text, sizeof text - 1, format, rows, last, __LINE__)

static void refused(const char *text, size_t size, const char *words, int line) {
    struct schema_problems problems = {0};
    json_t *json = look(text, size, &problems);
    ck_assert_msg(!json && problems.count > 0 && strstr(problems.items[0].detail, words), "line %d: %s", line,
                  problems.count ? problems.items[0].detail : "accepted");
    schema_problems_clear(&problems);
}
#define REFUSED(text, words) refused(text, sizeof text - 1, words, __LINE__)

START_TEST(formats) {
    FOUND("a,b\n1,x\n2,y\n3,", "csv", 2, "{\"a\":2,\"b\":\"y\"}");
    FOUND("a,b\n1,x", "csv", 1, "{\"a\":1,\"b\":\"x\"}");
    FOUND("{\"a\":1}\n{\"a\":2}\n{\"a", "ndjson", 2, "{\"a\":2}");
    FOUND("{\"records\":[{\"a\":1},{\"a\":\"}]\"},{\"a\":", "json", 2, "{\"a\":\"}]\"}");
    FOUND("{\"records\":[{\"a\":1}]}\n", "json", 1, "{\"a\":1}");
    FOUND("\0\0\10\1\0\0\0\11\7\2", "idx", 2, "{\"x\":2}");
}
END_TEST

START_TEST(refusals) {
    REFUSED("PAR1xx", "this is Parquet, which is not read");
    REFUSED("\x89PNG", "this is an image");
    REFUSED("{\"records\":[{\"a\":1},{a:2},{\"a\":3},{\"a", "expected a key");
    REFUSED("", "the file is empty");
    REFUSED("PK\3\4\24\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\5\0\0\0x.txt", "this is a zip archive");
}
END_TEST

START_TEST(reasons) {
    static const char text[] = "n,t,b,m,e\n1,x,true,1,\n2,y,false,z,NA\n";
    struct schema_problems problems = {0};
    json_t *json = look(text, sizeof text - 1, &problems);
    char *got = json_dumps(json_object_get(json, "reasons"), JSON_COMPACT);
    ck_assert_str_eq(
        "{\"n\":\"all 2 cells are numbers\",\"t\":\"2 cells are text, the first being \\\"x\\\"\",\"b\":\"all 2 cells are true or false\","
        "\"m\":\"1 cells are numbers, 1 are not, the first being \\\"z\\\"\",\"e\":\"every cell is missing\"}",
        got);
    free(got);
    json_decref(json);
}
END_TEST

Suite *suite_schema_ingest_inspect(void) {
    Suite *suite = suite_create("schema ingest_inspect");
    TCase *tests = tcase_create("ingest_inspect");
    tcase_add_test(tests, formats);
    tcase_add_test(tests, refusals);
    tcase_add_test(tests, reasons);
    suite_add_tcase(suite, tests);
    return suite;
}

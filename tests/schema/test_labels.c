/* test_labels.c - columns of lists of labels: read from every format that can hold them, written again unchanged, with more rows behind them. */
#include "schema/dataset/rows.h"
#include "schema/ingest/join.h"
#include "tests/schema/ingest_support.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

Suite *suite_schema_labels(void);

static const char five[] = "{\"t\":[\"red\",\"round\"]}\n{\"t\":[]}\n{\"t\":null}\n{\"t\":[\"round\"]}\n{\"t\":[\"a \\\"b\\\", \xC3\xA9\",\"red\"]}";

static struct loaded load_lines(const char *text) {
    return load_pieces("application/x-ndjson", text, strlen(text), 7, NULL);
}

/* Everything of a dataset in that format. The caller's. */
static char *written(const struct schema_dataset *data, enum schema_rows_format format) {
    const struct schema_rows_request request = {.format = format, .count = INT64_MAX};
    struct schema_rows *rows = schema_rows_new(data, &request);
    char *text = calloc(1, 1);
    const char *bytes;
    size_t size = 0, n;
    while (schema_rows_next(rows, &bytes, &n) == 0 && n > 0) {
        text = realloc(text, size + n + 1);
        memcpy(text + size, bytes, n);
        size += n, text[size] = '\0';
    }
    schema_rows_free(rows);
    return text;
}

START_TEST(json_and_lines) {
    check_rows(load_json("{\"records\":[{\"t\":[\"red\",\"round\"]},{\"t\":[]},{\"t\":null},{\"t\":[\"round\"]},{\"t\":[ \"a \\\"b\\\", \\u00e9\" , "
                         "\"red\"]}]}"),
               five, __LINE__);
    check_rows(load_json("{\"columns\":{\"t\":[[\"red\",\"round\"],[],null,[\"round\"],[\"a \\\"b\\\", \\u00e9\",\"red\"]]}}"), five, __LINE__);
    check_rows(load_lines(five), five, __LINE__);
    check_rows(load_json("{\"types\":{\"t\":\"labels\"},\"records\":[{\"t\":[]},{\"t\":\"[\\\"a\\\"]\"},{}]}"),
               "{\"t\":[]}\n{\"t\":[\"a\"]}\n{\"t\":null}", __LINE__);
}
END_TEST

/* As JSON writes a list, and as Python prints it; a column is one of labels when every cell is such a list. */
START_TEST(csv) {
    check_rows(load_csv("t\n\"[\"\"red\"\",\"\"round\"\"]\"\n[]\nNA\n[\"round\"]\n\"[\"\"a \\\"\"b\\\"\", \xC3\xA9\"\",\"\"red\"\"]\"\n", NULL), five,
               __LINE__);
    check_rows(load_csv("t\n\"['red', 'round']\"\n[]\n\"\"\n['round']\n\"['a \"\"b\"\", \xC3\xA9', \"\"red\"\"]\"\n", NULL), five, __LINE__);
    check_rows(load_csv("t\n\"['it\\'s', 'b\\\\c']\"\n", NULL), "{\"t\":[\"it's\",\"b\\\\c\"]}", __LINE__);
    check_rows(load_csv("t\n[\"x\"]\nred\n", NULL), "{\"t\":\"[\\\"x\\\"]\"}\n{\"t\":\"red\"}", __LINE__);
    check_rows(load_csv("t\n[\"x\"]\n", "t:categorical"), "{\"t\":\"[\\\"x\\\"]\"}", __LINE__);
    check_rows(load_csv("t,n\n[],1\n,2\n", "t:labels"), "{\"t\":[],\"n\":1}\n{\"t\":null,\"n\":2}", __LINE__);
}
END_TEST

START_TEST(written_and_read_again) {
    struct loaded once = load_lines(five);
    char *lines = written(once.data, SCHEMA_ROWS_NDJSON), *table = written(once.data, SCHEMA_ROWS_CSV);
    ck_assert_str_eq(lines,
                     "{\"t\":[\"red\",\"round\"]}\n{\"t\":[]}\n{\"t\":null}\n{\"t\":[\"round\"]}\n{\"t\":[\"a \\\"b\\\", \xC3\xA9\",\"red\"]}\n");
    ck_assert_str_eq(table,
                     "t\n\"[\"\"red\"\",\"\"round\"\"]\"\n[]\n\"\"\n\"[\"\"round\"\"]\"\n\"[\"\"a \\\"\"b\\\"\", \xC3\xA9\"\",\"\"red\"\"]\"\n");
    check_rows(load_lines(lines), five, __LINE__);
    check_rows(load_csv(table, NULL), five, __LINE__);
    free(lines);
    free(table);
    loaded_clear(&once);
}
END_TEST

START_TEST(what_is_shown) {
    struct loaded once = load_lines(five);
    char *column = column_text(once.data, 0);
    ck_assert_str_eq(column,
                     "{\"name\":\"t\",\"type\":\"labels\",\"missing\":1,\"labels\":{\"min\":0,\"max\":2,\"mean\":1.25},\"categories_count\":3,"
                     "\"categories\":[{\"value\":\"red\",\"count\":2},{\"value\":\"round\",\"count\":2},{\"value\":\"a \\\"b\\\", \xC3\xA9\","
                     "\"count\":1}]}");
    free(column);
    loaded_clear(&once);
}
END_TEST

#define FAULT(cell, what)                                                                                                                            \
    "{\"line\":2,\"column\":\"t\",\"value\":\"" cell                                                                                                 \
    "\",\"detail\":\"expected a list of labels such as [\\\"red\\\",\\\"round\\\"], [] for none, or "                                                \
    "null where they are not known; but " what "\"}"

START_TEST(errors) {
    static const struct {
        const char *cell, *shown, *what;
    } cases[] = {{"[\"a\",1]", "[\\\"a\\\",1]", "something in it is not a text; put labels in quotes"},
                 {"[\"a\",[\"b\"]]", "[\\\"a\\\",[\\\"b\\\"]]", "there is a list within the list"},
                 {"[\"a\",null]", "[\\\"a\\\",null]", "null is among them; leave it out"},
                 {"[\"a\",\"b\",\"a\"]", "[\\\"a\\\",\\\"b\\\",\\\"a\\\"]", "\\\"a\\\" is in it twice"},
                 {"[\"a\",\"\"]", "[\\\"a\\\",\\\"\\\"]", "a label in it is empty"},
                 {"3", "3", "it is a single value"},
                 {"true", "true", "it is a single value"},
                 {"\"red\"", "red", "it is not a list"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[200], want[600];
        snprintf(text, sizeof text, "{\"t\":[\"x\"]}\n{\"t\":%s}\n", cases[i].cell);
        snprintf(want, sizeof want, "[" FAULT("%s", "%s") "]", cases[i].shown, cases[i].what);
        check_refused(load_pieces("application/x-ndjson", text, strlen(text), 1 << 16,
                                  &(struct schema_ingest_options){.types = &(struct schema_column_type){.name = (char[]){"t"}, .type = SCHEMA_LABELS},
                                                                  .types_count = 1}),
                      want, __LINE__);
    }
    check_refused(load_csv("t\n\"['a', b]\"\n", "t:labels"), "[" FAULT("['a', b]", "something in it is not a text") "]", __LINE__);
    check_refused(load_csv("t\n['a'\n", "t:labels"), "[" FAULT("['a'", "it does not end with ]") "]", __LINE__);
    check_refused(load_csv("t\n['a'] x\n", "t:labels"), "[" FAULT("['a'] x", "something follows the list") "]", __LINE__);
    check_refused(load_csv("t\n['a\\n']\n", "t:labels"),
                  "[" FAULT("['a\\\\n']", "a text in it has an escape that is not read here; write it as JSON") "]", __LINE__);
}
END_TEST

/* As many labels as need two bytes each; a limit. */
START_TEST(many_labels) {
    char *text = malloc(600000);
    size_t size = 0;
    for (int i = 0; i < 20000; i++) size += (size_t)sprintf(text + size, "{\"t\":[\"l%d\",\"l%d\"]}\n", i % 300, (i + 1) % 300);
    struct loaded loaded = load_lines(text);
    ck_assert_int_eq(loaded.failed, 0);
    ck_assert_int_eq(loaded.data->columns[0].categories_count, 300);
    for (int64_t row = 0; row < 20000; row += 37) {
        struct schema_label_walk walk;
        ck_assert(schema_dataset_labels(loaded.data, 0, row, &walk));
        for (int k = 0; k < 2; k++) {
            char name[16];
            snprintf(name, sizeof name, "l%d", (int)((row + k) % 300));
            ck_assert_str_eq(loaded.data->columns[0].categories[schema_label_next(&walk)].value, name);
        }
        ck_assert_int_eq(schema_label_next(&walk), -1);
    }
    char *again = written(loaded.data, SCHEMA_ROWS_NDJSON);
    ck_assert_str_eq(again, text);
    free(again);
    loaded_clear(&loaded);
    const struct schema_ingest_options few = {.categories_max = 2};
    check_refused(load_pieces("application/x-ndjson", "{\"t\":[\"a\",\"b\"]}\n{\"t\":[\"c\"]}\n", 28, 5, &few),
                  "[{\"detail\":\"column \\\"t\\\" has more than 2 different labels, the limit; leave the rare ones out\"}]", __LINE__);
    free(text);
}
END_TEST

/* Bytes of a damaged file name no label beyond the dictionary, and end. */
START_TEST(damaged_bytes) {
    static const unsigned char beyond[] = {4, 1}, endless[] = {0x81, 0x81, 0x81, 0x81, 0x81, 0x81, 1}, cut[] = {2, 0x81};
    struct schema_label_walk walk = {beyond, beyond + sizeof beyond, 3};
    ck_assert_int_eq(schema_label_next(&walk), -1);
    walk = (struct schema_label_walk){endless, endless + sizeof endless, 3};
    ck_assert_int_eq(schema_label_next(&walk), -1);
    walk = (struct schema_label_walk){cut, cut + sizeof cut, 3};
    ck_assert_int_eq(schema_label_next(&walk), 1);
    ck_assert_int_eq(schema_label_next(&walk), -1);
}
END_TEST

/* The rows behind have other labels first; what is there stays, and counts go on. */
START_TEST(more_rows) {
    struct loaded base = load_lines(five), more = load_lines("{\"t\":[\"new\",\"round\"]}\n{\"t\":null}\n{\"t\":[]}\n");
    struct schema_ingest *ingest = NULL;
    struct schema_problems problems = {0};
    struct bp_error error = {0};
    const struct schema_ingest_options none = {0};
    struct schema_dataset *joined = NULL;
    const int fd = nameless_file();
    ck_assert(write(fd, base.file, base.file_size) == (ssize_t)base.file_size);
    ck_assert_int_eq(schema_ingest_join(SCHEMA_JOIN_ROWS, base.data, more.data, &none, fd, &ingest, &problems), 0);
    schema_ingest_close(ingest);
    ck_assert_int_eq(schema_dataset_open(fd, 0, &joined, &error), 0);
    ck_assert_int_eq(schema_dataset_verify(joined, &error), 0);
    char *rows = rows_text(joined), *column = column_text(joined, 0), want[400];
    snprintf(want, sizeof want, "%s\n{\"t\":[\"new\",\"round\"]}\n{\"t\":null}\n{\"t\":[]}", five);
    ck_assert_str_eq(rows, want);
    ck_assert_str_eq(column, "{\"name\":\"t\",\"type\":\"labels\",\"missing\":2,\"labels\":{\"min\":0,\"max\":2,\"mean\":1.16666666666667},"
                             "\"categories_count\":4,\"categories\":[{\"value\":\"round\",\"count\":3},{\"value\":\"red\",\"count\":2},{\"value\":"
                             "\"a \\\"b\\\", \xC3\xA9\",\"count\":1},{\"value\":\"new\",\"count\":1}]}");
    free(rows);
    free(column);
    schema_dataset_free(joined);
    close(fd);
    loaded_clear(&base);
    loaded_clear(&more);
}
END_TEST

Suite *suite_schema_labels(void) {
    Suite *suite = suite_create("schema/labels");
    TCase *tests = tcase_create("labels");
    tcase_add_test(tests, json_and_lines);
    tcase_add_test(tests, csv);
    tcase_add_test(tests, written_and_read_again);
    tcase_add_test(tests, what_is_shown);
    tcase_add_test(tests, errors);
    tcase_add_test(tests, many_labels);
    tcase_add_test(tests, damaged_bytes);
    tcase_add_test(tests, more_rows);
    suite_add_tcase(suite, tests);
    return suite;
}

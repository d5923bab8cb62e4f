/* test_ingest_join.c - rows below rows, columns beside columns: cells, dictionaries, statistics; what does not fit together. */
#include "ingest_join.h"
#include "ingest_support.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

Suite *suite_schema_ingest_join(void);

/* The file of an upload. */
static int file_of(const struct loaded *loaded) {
    int fd = nameless_file();
    ck_assert(write(fd, loaded->file, loaded->file_size) == (ssize_t)loaded->file_size);
    return fd;
}

static struct loaded joined(enum schema_join how, const char *base_text, const char *more_text) {
    struct loaded base = load_json(base_text), more = load_json(more_text), result = {.failed = -1};
    struct schema_ingest *ingest = NULL;
    struct schema_ingest_options none = {0};
    int fd = file_of(&base);
    ck_assert(!base.failed && !more.failed);
    result.failed = schema_ingest_join(how, base.data, more.data, &none, fd, &ingest, &result.problems);
    if (!result.failed) {
        struct bp_error error = {{0}, {0}};
        ck_assert_msg(schema_dataset_open(fd, 0, &result.data, &error) == 0 && schema_dataset_verify(result.data, &error) == 0, "%s", error.message);
        result.warnings = schema_ingest_warnings(ingest);
        schema_ingest_close(ingest);
    }
    close(fd);
    loaded_clear(&base);
    loaded_clear(&more);
    return result;
}
#define ROWS(base, more, rows)             check_rows(joined(SCHEMA_JOIN_ROWS, base, more), rows, __LINE__)
#define COLUMNS(base, more, rows)          check_rows(joined(SCHEMA_JOIN_COLUMNS, base, more), rows, __LINE__)
#define REFUSED(how, base, more, problems) check_refused(joined(how, base, more), problems, __LINE__)

START_TEST(rows) {
    ROWS("{\"records\":[{\"n\":1,\"c\":\"x\",\"b\":true,\"t\":[1,2]},{\"n\":null,\"c\":\"y\",\"b\":null,\"t\":null}]}",
         "{\"records\":[{\"t\":[3,0.5],\"c\":\"z\",\"b\":false,\"n\":-7},{\"c\":\"x\",\"n\":2.5,\"b\":true,\"t\":[null,4]}]}",
         "{\"n\":1,\"c\":\"x\",\"b\":true,\"t\":[1,2]}\n{\"n\":null,\"c\":\"y\",\"b\":null,\"t\":null}\n"
         "{\"n\":-7,\"c\":\"z\",\"b\":false,\"t\":[3,0.5]}\n{\"n\":2.5,\"c\":\"x\",\"b\":true,\"t\":[null,4]}");
    struct loaded loaded =
        joined(SCHEMA_JOIN_ROWS, "{\"records\":[{\"n\":1,\"c\":\"x\"},{\"n\":2,\"c\":\"y\"}]}", "{\"records\":[{\"n\":6,\"c\":\"y\"}]}");
    char *text = column_text(loaded.data, 1);
    ck_assert_str_eq("{\"name\":\"c\",\"type\":\"categorical\",\"missing\":0,\"categories_count\":2,\"categories\":[{\"value\":\"y\",\"count\":2},"
                     "{\"value\":\"x\",\"count\":1}]}",
                     text);
    free(text);
    ck_assert_double_eq(3, loaded.data->columns[0].mean);
    loaded_clear(&loaded);
}
END_TEST

START_TEST(columns) {
    COLUMNS("{\"columns\":{\"a\":[1,2,3]}}", "{\"columns\":{\"c\":[\"x\",null,\"x\"],\"t\":[[1],[2],[3]]}}",
            "{\"a\":1,\"c\":\"x\",\"t\":[1]}\n{\"a\":2,\"c\":null,\"t\":[2]}\n{\"a\":3,\"c\":\"x\",\"t\":[3]}");
}
END_TEST

/* Several groups on both sides, cut in different places. */
START_TEST(many_groups) {
    const int64_t n = 300000;
    char *text = malloc(40 * (size_t)n);
    size_t size = (size_t)sprintf(text, "i,s\n");
    for (int64_t i = 0; i < n; i++) size += (size_t)sprintf(text + size, "%lld,k%d\n", (long long)i, (int)(i % 7));
    struct loaded base = load_csv(text, NULL), result = {.failed = 0};
    struct schema_ingest *ingest = NULL;
    struct schema_ingest_options limits = {.rows_max = 2 * n};
    struct bp_error error = {{0}, {0}};
    int fd = file_of(&base);
    ck_assert_int_eq(0, schema_ingest_join(SCHEMA_JOIN_ROWS, base.data, base.data, &limits, fd, &ingest, &result.problems));
    schema_ingest_close(ingest);
    ck_assert_int_eq(0, schema_dataset_open(fd, 0, &result.data, &error));
    ck_assert_int_eq(2 * n, result.data->rows);
    for (int64_t i = 0; i < 2 * n; i += 997) {
        ck_assert_double_eq((double)(i % n), schema_dataset_number(result.data, 0, i));
        ck_assert_int_eq((int)(i % n % 7), schema_dataset_code(result.data, 1, i));
    }
    loaded_clear(&result);
    limits.rows_max--;
    ck_assert_int_eq(-1, schema_ingest_join(SCHEMA_JOIN_ROWS, base.data, base.data, &limits, fd, &ingest, &result.problems));
    ck_assert(result.problems.too_large);
    schema_problems_clear(&result.problems);
    loaded_clear(&base);
    close(fd);
    free(text);
}
END_TEST

START_TEST(misfits) {
    REFUSED(SCHEMA_JOIN_ROWS, "{\"records\":[{\"age\":1,\"b\":2,\"t\":[1,2]}]}", "{\"records\":[{\"agee\":1,\"b\":\"x\",\"t\":[1]}]}",
            "[{\"detail\":\"the rows lack the column \\\"age\\\" of the dataset; give it in every row, empty or null if missing\"},"
            "{\"detail\":\"column \\\"b\\\" is numeric in the dataset, categorical in the rows\"},"
            "{\"detail\":\"column \\\"t\\\" is tensor in the dataset, tensor in the rows of another shape\"},"
            "{\"detail\":\"the rows have a column \\\"agee\\\", the dataset has not, did you mean \\\"age\\\"?\"}]");
    REFUSED(SCHEMA_JOIN_COLUMNS, "{\"columns\":{\"a\":[1,2]}}", "{\"columns\":{\"b\":[1]}}",
            "[{\"detail\":\"the column has 1 values, the dataset has 2 rows; give one value per row, null if missing\"}]");
    REFUSED(SCHEMA_JOIN_COLUMNS, "{\"columns\":{\"a\":[1,2]}}", "{\"columns\":{\"a\":[1,2]}}",
            "[{\"detail\":\"the dataset has a column \\\"a\\\" already; choose another name\"}]");
}
END_TEST

Suite *suite_schema_ingest_join(void) {
    Suite *suite = suite_create("schema ingest_join");
    TCase *tests = tcase_create("ingest_join");
    tcase_add_test(tests, rows);
    tcase_add_test(tests, columns);
    tcase_add_test(tests, many_groups);
    tcase_add_test(tests, misfits);
    suite_add_tcase(suite, tests);
    return suite;
}

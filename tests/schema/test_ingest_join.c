/* test_ingest_join.c - rows below rows, columns beside columns: cells, dictionaries, statistics; what does not fit together. */
#include "schema/ingest/join.h"
#include "tests/schema/ingest_support.h"

#include <check.h>
#include <math.h>
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
        struct bp_error error = {0};
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
    struct bp_error error = {0};
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

/* A row of every kind; numbers count down, so that no two columns are redundant. */
static size_t any_row(int64_t i, char *out) {
    return (size_t)sprintf(out, "%lld,%g,%s,%s,\"%lld words in this long sentence %lld\",20%02d-01-0%d\n", (long long)(i * 7919 % 10007),
                           (double)(i % 1000) / 8,
                           i % 3   ? "red"
                           : i % 2 ? "green"
                                   : "blue",
                           i % 5 ? "true" : "false", (long long)i, (long long)i, (int)(i % 90) + 10, (int)(i % 9) + 1);
}

static struct loaded any_rows(int64_t from, int64_t to) {
    char *text = malloc((size_t)(to - from) * 100 + 100);
    size_t size = (size_t)sprintf(text, "n,f,c,b,t,d\n");
    for (int64_t i = from; i < to; i++) size += any_row(i, text + size);
    const struct schema_column_type type = {.name = (char[]){"t"}, .type = SCHEMA_TEXT};
    const struct schema_ingest_options options = {.types = &type, .types_count = 1};
    struct loaded loaded = load_pieces("text/csv", text, size, 1 << 16, &options);
    ck_assert(!loaded.failed);
    free(text);
    return loaded;
}

/* The next version behind those in fd; its end. */
static int64_t go_on(int fd, int64_t end, enum schema_join how, const struct loaded *more, json_t **warnings) {
    struct bp_error error = {0};
    struct schema_problems problems = {0};
    struct schema_dataset *base = NULL;
    struct schema_ingest *ingest = NULL;
    const struct schema_ingest_options none = {0};
    ck_assert_msg(schema_dataset_open(fd, end, &base, &error) == 0, "%s", error.message);
    ck_assert_msg(schema_ingest_join(how, base, more->data, &none, fd, &ingest, &problems) == 0, "%s",
                  problems.count ? problems.items[0].detail : "");
    end = schema_ingest_bytes(ingest);
    if (warnings) *warnings = schema_ingest_warnings(ingest);
    schema_ingest_close(ingest);
    schema_dataset_free(base);
    return end;
}

/* The version that ends there has the rows 0..rows, with the statistics of one upload of all rows. */
static void check_version(int fd, int64_t end, int64_t n, int32_t width) {
    struct bp_error error = {0};
    struct schema_dataset *data = NULL;
    struct loaded whole = any_rows(0, n);
    ck_assert_msg(schema_dataset_open(fd, end, &data, &error) == 0 && schema_dataset_verify(data, &error) == 0, "%s", error.message);
    ck_assert_int_eq(data->rows, n);
    ck_assert_int_eq(data->columns_count, width);
    json_t *described = schema_dataset_columns_json(data), *wanted = schema_dataset_columns_json(whole.data);
    for (int32_t c = 0; c < 6; c++) {
        json_t *got = json_array_get(described, (size_t)c), *want = json_array_get(wanted, (size_t)c);
        for (int k = 0; k < 2; k++) { /* summed in another order */
            const json_t *x = json_object_get(got, k ? "mean" : "std"), *y = json_object_get(want, k ? "mean" : "std");
            if (json_is_real(x)) ck_assert_double_eq_tol(json_real_value(x), json_real_value(y), 1e-12 * fabs(json_real_value(y)));
            json_object_del(got, k ? "mean" : "std"), json_object_del(want, k ? "mean" : "std");
        }
        json_object_del(got, "words"), json_object_del(want, "words");
        ck_assert(json_equal(got, want));
    }
    json_decref(described), json_decref(wanted);
    for (int64_t row = 0; row < n; row += row < n - 50 ? 211 : 1) {
        json_t *got = schema_dataset_row_json(data, row), *want = schema_dataset_row_json(whole.data, row);
        if (width > 6) ck_assert_double_eq(json_number_value(json_object_get(got, "extra")), (double)row / 4);
        json_object_del(got, "extra");
        ck_assert(json_equal(got, want));
        json_decref(got), json_decref(want);
    }
    schema_dataset_free(data);
    loaded_clear(&whole);
}

static struct loaded extra_column(int64_t n) {
    char *text = malloc((size_t)n * 24 + 100);
    size_t size = (size_t)sprintf(text, "extra\n");
    for (int64_t i = 0; i < n; i++) size += (size_t)sprintf(text + size, "%.2f\n", (double)i / 4);
    struct loaded loaded = load_csv(text, NULL);
    free(text);
    return loaded;
}

/* Versions behind one another: little is added for a row, and all of them stay what they were. */
START_TEST(versions_share_a_file) {
    enum { ROWS = 150000 };
    struct loaded base = any_rows(0, ROWS), one = any_rows(ROWS, ROWS + 1), many = any_rows(ROWS + 1, ROWS + 90000), extra = extra_column(ROWS + 1);
    const int fd = file_of(&base);
    char *before = malloc(base.file_size);
    int64_t ends[6] = {(int64_t)base.file_size};
    json_t *warnings = NULL;
    ends[1] = go_on(fd, ends[0], SCHEMA_JOIN_ROWS, &one, NULL);
    ck_assert_int_lt(ends[1] - ends[0], 6 << 20); /* its group, not the file */
    ends[2] = go_on(fd, ends[1], SCHEMA_JOIN_COLUMNS, &extra, NULL);
    ck_assert_int_lt(ends[2] - ends[1], (ROWS + 1) * 8 + 100000);
    ends[3] = go_on(fd, ends[1], SCHEMA_JOIN_ROWS, &many, &warnings); /* of the second version, behind the third */
    check_version(fd, ends[0], ROWS, 6);
    check_version(fd, ends[1], ROWS + 1, 6);
    check_version(fd, ends[2], ROWS + 1, 7);
    check_version(fd, ends[3], ROWS + 90000, 6);
    ck_assert(pread(fd, before, base.file_size, 0) == (ssize_t)base.file_size && memcmp(before, base.file, base.file_size) == 0);
    struct loaded whole = any_rows(0, ROWS + 90000);
    ck_assert(json_equal(warnings, whole.warnings));
    loaded_clear(&whole);
    json_decref(warnings);
    free(before);
    close(fd);
    loaded_clear(&base), loaded_clear(&one), loaded_clear(&many), loaded_clear(&extra);
}
END_TEST

/* Rows for a dataset of two sets of columns. */
START_TEST(rows_behind_a_column) {
    struct loaded base = load_csv("a,k\n1,x\n2,y\n", NULL), column = load_csv("t\n2024-01-31\n\"\"\n", "t:datetime"),
                  more = load_csv("t,k,a\n2024-02-01,z,3\n,x,4\n", "t:datetime");
    const int fd = file_of(&base);
    int64_t end = go_on(fd, (int64_t)base.file_size, SCHEMA_JOIN_COLUMNS, &column, NULL);
    struct bp_error error = {0};
    for (int round = 0; round < 3; round++) end = go_on(fd, end, SCHEMA_JOIN_ROWS, &more, NULL);
    struct schema_dataset *data = NULL;
    ck_assert_int_eq(schema_dataset_open(fd, end, &data, &error), 0);
    ck_assert_int_eq(schema_dataset_verify(data, &error), 0);
    char *text = rows_text(data);
    ck_assert_str_eq(text, "{\"a\":1,\"k\":\"x\",\"t\":\"2024-01-31\"}\n{\"a\":2,\"k\":\"y\",\"t\":null}\n"
                           "{\"a\":3,\"k\":\"z\",\"t\":\"2024-02-01\"}\n{\"a\":4,\"k\":\"x\",\"t\":null}\n"
                           "{\"a\":3,\"k\":\"z\",\"t\":\"2024-02-01\"}\n{\"a\":4,\"k\":\"x\",\"t\":null}\n"
                           "{\"a\":3,\"k\":\"z\",\"t\":\"2024-02-01\"}\n{\"a\":4,\"k\":\"x\",\"t\":null}");
    free(text);
    text = column_text(data, 2);
    ck_assert_str_eq(text,
                     "{\"name\":\"t\",\"type\":\"datetime\",\"missing\":4,\"min\":\"2024-01-31\",\"max\":\"2024-02-01\",\"mean\":\"2024-01-31\"}");
    free(text);
    schema_dataset_free(data);
    close(fd);
    loaded_clear(&base), loaded_clear(&column), loaded_clear(&more);
}
END_TEST

START_TEST(misfits) {
    REFUSED(SCHEMA_JOIN_ROWS, "{\"records\":[{\"age\":1,\"b\":2,\"t\":[1,2]}]}", "{\"records\":[{\"agee\":1,\"b\":\"x\",\"t\":[1]}]}",
            "[{\"detail\":\"the rows lack the column \\\"age\\\" of the dataset; give it in every row, empty or null if missing\"},"
            "{\"detail\":\"column \\\"b\\\" is numeric in the dataset, categorical in the rows\"},"
            "{\"detail\":\"column \\\"t\\\" is tensor in the dataset, tensor in the rows of another shape\"},"
            "{\"detail\":\"the rows have a column \\\"agee\\\" that the dataset does not have, did you mean \\\"age\\\"?\"}]");
    REFUSED(SCHEMA_JOIN_COLUMNS, "{\"columns\":{\"a\":[1,2]}}", "{\"columns\":{\"b\":[1]}}",
            "[{\"detail\":\"the column has 1 values, but the dataset has 2 rows; give one value per row, null if missing\"}]");
    REFUSED(SCHEMA_JOIN_COLUMNS, "{\"columns\":{\"a\":[1,2]}}", "{\"columns\":{\"a\":[1,2]}}",
            "[{\"detail\":\"the dataset already has a column \\\"a\\\"; use another name\"}]");
}
END_TEST

Suite *suite_schema_ingest_join(void) {
    Suite *suite = suite_create("schema ingest_join");
    TCase *tests = tcase_create("ingest_join");
    tcase_add_test(tests, rows);
    tcase_add_test(tests, columns);
    tcase_add_test(tests, many_groups);
    tcase_add_test(tests, versions_share_a_file);
    tcase_add_test(tests, rows_behind_a_column);
    tcase_add_test(tests, misfits);
    suite_add_tcase(suite, tests);
    return suite;
}

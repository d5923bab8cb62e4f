/* test_dataset_rows.c - rows as CSV, JSON lines and JSON, to the byte; parts of them; pieces; names of columns; compression. */
#include "schema/dataset/rows.h"
#include "schema/gzip.h"
#include "tests/schema/ingest_support.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

Suite *suite_schema_dataset_rows(void);

/* All pieces joined, NUL-terminated. The caller's. */
static char *all(const struct schema_dataset *data, struct schema_rows_request request, size_t *total, int *pieces) {
    struct schema_rows *rows = schema_rows_new(data, &request);
    char *text = calloc(1, 1);
    const char *bytes;
    size_t size = 0, n = 1;
    *pieces = 0;
    ck_assert_ptr_nonnull(rows);
    while (schema_rows_next(rows, &bytes, &n) == 0 && n > 0) {
        text = realloc(text, size + n + 1);
        memcpy(text + size, bytes, n);
        size += n, text[size] = '\0';
        ++*pieces;
    }
    ck_assert_int_eq(schema_rows_next(rows, &bytes, &n), 0);
    ck_assert_uint_eq(n, 0); /* the end stays the end */
    schema_rows_free(rows);
    *total = size;
    return text;
}

static void check_text(const struct schema_dataset *data, struct schema_rows_request request, const char *expected) {
    size_t size;
    int pieces;
    char *text = all(data, request, &size, &pieces);
    ck_assert_str_eq(text, expected);
    free(text);
}

#define ALL(f) ((struct schema_rows_request){.format = SCHEMA_ROWS_##f, .count = INT64_MAX})

START_TEST(formats) {
    struct loaded l =
        load_csv("n,\"a,\"\"b\",f,t\n1.50,x,TRUE,\"[1,2]\"\n,\" y;\",,\n-0,\"say \"\"hi\"\"\nthere\",false,\"[0.5,null]\"\n", "t:tensor");
    ck_assert_msg(!l.failed, "%s", problems_text(&l));
    check_text(l.data, ALL(CSV), "n,\"a,\"\"b\",f,t\n1.5,x,TRUE,\"[1,2]\"\n,\" y;\",,\n-0,\"say \"\"hi\"\"\nthere\",false,\"[0.5,null]\"\n");
    check_text(l.data, ALL(NDJSON),
               "{\"n\":1.5,\"a,\\\"b\":\"x\",\"f\":true,\"t\":[1,2]}\n{\"n\":null,\"a,\\\"b\":\" y;\",\"f\":null,\"t\":null}\n"
               "{\"n\":-0,\"a,\\\"b\":\"say \\\"hi\\\"\\u000athere\",\"f\":false,\"t\":[0.5,null]}\n");
    const int32_t one[] = {0};
    struct schema_rows_request part = {.format = SCHEMA_ROWS_JSON, .columns = one, .columns_count = 1, .count = 2};
    check_text(l.data, part, "{\"records\":[\n{\"n\":1.5},\n{\"n\":null}\n]}\n");
    part.format = SCHEMA_ROWS_CSV, part.first = 1;
    check_text(l.data, part, "n\n\"\"\n-0\n");
    part.first = 3;
    check_text(l.data, part, "n\n");
    part.format = SCHEMA_ROWS_JSON, part.first = INT64_MAX;
    check_text(l.data, part, "{\"records\":[\n]}\n");
    loaded_clear(&l);
}
END_TEST

START_TEST(tensors_of_every_rank) {
    struct loaded l = load_json("{\"records\":[{\"a\":[1],\"b\":[[[1,2]],[[3,4]]],\"c\":[[1],[2],[3]]}]}");
    ck_assert_int_eq(l.failed, 0);
    check_text(l.data, ALL(NDJSON), "{\"a\":[1],\"b\":[[[1,2]],[[3,4]]],\"c\":[[1],[2],[3]]}\n");
    check_text(l.data, ALL(CSV), "a,b,c\n\"[1]\",\"[[[1,2]],[[3,4]]]\",\"[[1],[2],[3]]\"\n");
    loaded_clear(&l);
}
END_TEST

/* 30,000 rows: many chunks, several groups of the file and pieces, which join without a seam. */
START_TEST(pieces) {
    const int rows = 30000;
    char *text = malloc((size_t)rows * 40 + 10), *at = text + sprintf(text, "a,b\n");
    for (int i = 0; i < rows; i++) at += sprintf(at, "%d.5,%s\n", i, i % 3 ? "odd" : "even");
    struct loaded l = load_csv(text, NULL);
    ck_assert_int_eq(l.failed, 0);
    size_t size;
    int count;
    char *got = all(l.data, ALL(CSV), &size, &count);
    ck_assert_str_eq(got, text);
    ck_assert_int_ge(count, 4);
    ck_assert_uint_le(size / (size_t)count, 68 << 10);
    free(got);
    struct schema_rows_request part = {.format = SCHEMA_ROWS_CSV, .first = 29999, .count = 5};
    check_text(l.data, part, "a,b\n29999.5,odd\n");
    loaded_clear(&l);
    free(text);
}
END_TEST

static void check_columns(const char *text, const char *expected) {
    struct loaded l = load_csv("a,\"b,c\",\"say \"\"hi\"\"\"\n1,2,3\n", NULL);
    struct schema_problems problems = {0};
    char got[200] = "";
    int32_t *columns = NULL, count = 0;
    if (schema_dataset_columns_parse(l.data, text, &columns, &count, &problems) == 0)
        for (int32_t i = 0; i < count; i++) snprintf(got + strlen(got), sizeof got - strlen(got), "%d ", columns[i]);
    else snprintf(got, sizeof got, "%s", problems.items[0].detail);
    ck_assert_str_eq(got, expected);
    free(columns);
    schema_problems_clear(&problems);
    loaded_clear(&l);
}

START_TEST(names_of_columns) {
    check_columns("a", "0 ");
    check_columns("\"b,c\",a", "1 0 ");
    check_columns("\"say \"\"hi\"\"\"", "2 ");
    check_columns("a,a", "columns: \"a\" is named twice");
    check_columns("", "columns: there is no column \"\"");
    check_columns("a,", "columns: there is no column \"\"");
    check_columns("\"a\"b", "columns: expected a comma after the quoted name \"a\"");
    check_columns("b", "columns: there is no column \"b\"");
}
END_TEST

START_TEST(compression) {
    struct schema_gzip *gzip = schema_gzip_new();
    unsigned char packed[4096], plain[4096];
    size_t size = 0, n;
    const char *out;
    static const char *const parts[] = {"hello ", "hello ", "world", ""};
    for (int i = 0; i < 4; i++) {
        ck_assert_int_eq(schema_gzip_add(gzip, parts[i], strlen(parts[i]), &out, &n), 0);
        ck_assert_uint_gt(n, 0);
        memcpy(packed + size, out, n);
        size += n;
    }
    schema_gzip_free(gzip);
    z_stream z = {.next_in = packed, .avail_in = (uInt)size, .next_out = plain, .avail_out = sizeof plain};
    ck_assert_int_eq(inflateInit2(&z, 15 + 16), Z_OK);
    ck_assert_int_eq(inflate(&z, Z_FINISH), Z_STREAM_END);
    ck_assert_uint_eq(z.total_out, 17);
    ck_assert_int_eq(memcmp(plain, "hello hello world", 17), 0);
    inflateEnd(&z);
}
END_TEST

Suite *suite_schema_dataset_rows(void) {
    Suite *suite = suite_create("dataset_rows");
    TCase *tcase = tcase_create("all");
    tcase_add_test(tcase, formats);
    tcase_add_test(tcase, tensors_of_every_rank);
    tcase_add_test(tcase, pieces);
    tcase_add_test(tcase, names_of_columns);
    tcase_add_test(tcase, compression);
    suite_add_tcase(suite, tcase);
    return suite;
}

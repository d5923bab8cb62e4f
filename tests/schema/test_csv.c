/* test_csv.c - CSV as RFC 4180 and people write it; every error with its line; the same file whatever the pieces. */
#include "tests/schema/ingest_support.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

Suite *suite_schema_csv(void);

START_TEST(plain) {
    CSV_ROWS("a,b\n1,x\n2.5,y\n", NULL, "{\"a\":1,\"b\":\"x\"}\n{\"a\":2.5,\"b\":\"y\"}");
    CSV_ROWS("a,b\n1,x\n2.5,y", NULL, "{\"a\":1,\"b\":\"x\"}\n{\"a\":2.5,\"b\":\"y\"}");
    CSV_ROWS("a,b\r\n1,x\r\n2.5,y\r\n", NULL, "{\"a\":1,\"b\":\"x\"}\n{\"a\":2.5,\"b\":\"y\"}");
    CSV_ROWS("\xEF\xBB\xBF"
             "a,b\n1,x\n",
             NULL, "{\"a\":1,\"b\":\"x\"}");
    CSV_ROWS("\xEF\xBB\xBF\"a\",b\n1,x\n", NULL, "{\"a\":1,\"b\":\"x\"}");
    CSV_ROWS("\n\na,b\n\n1,x\n   \n\r\n2,y\n\n", NULL, "{\"a\":1,\"b\":\"x\"}\n{\"a\":2,\"b\":\"y\"}");
    CSV_ROWS("a\n1\n\n2\n", NULL, "{\"a\":1}\n{\"a\":2}");
}
END_TEST

START_TEST(quotes) {
    CSV_ROWS("a,b\n\"1\",\"x,y\"\n\"2\",\"say \"\"hi\"\"\"\n", NULL, "{\"a\":1,\"b\":\"x,y\"}\n{\"a\":2,\"b\":\"say \\\"hi\\\"\"}");
    CSV_ROWS("\"a\"\"b\",\"c\nd\"\n1,\"two\r\nlines\"\n2,\"\"\"\"\n", NULL,
             "{\"a\\\"b\":1,\"c\\nd\":\"two\\r\\nlines\"}\n{\"a\\\"b\":2,\"c\\nd\":\"\\\"\"}");
    CSV_ROWS("a,b\n1, \"x, y\" \n 2 ,  z  \n", NULL, "{\"a\":1,\"b\":\"x, y\"}\n{\"a\":2,\"b\":\"z\"}");
    CSV_ROWS("a,b\n1,5\" disk\n2,\" kept \"\n", NULL, "{\"a\":1,\"b\":\"5\\\" disk\"}\n{\"a\":2,\"b\":\" kept \"}");
    CSV_ROWS("a,b\n\"\",x\n1,\"\"\n", NULL, "{\"a\":null,\"b\":\"x\"}\n{\"a\":1,\"b\":null}");
}
END_TEST

START_TEST(separators) {
    CSV_ROWS("a;b\n1;x,y\n2;z\n", NULL, "{\"a\":1,\"b\":\"x,y\"}\n{\"a\":2,\"b\":\"z\"}");
    CSV_ROWS("a\tb c\n1\t x\n\t\n2\ty\n", NULL, "{\"a\":1,\"b c\":\"x\"}\n{\"a\":2,\"b c\":\"y\"}");
    CSV_ROWS("\"a,1\";b\n1;x\n", NULL, "{\"a,1\":1,\"b\":\"x\"}");
    CSV_ROWS("a,b;c\n1,x;y\n", NULL, "{\"a\":1,\"b;c\":\"x;y\"}");
}
END_TEST

START_TEST(column_types) {
    CSV_ROWS("a,b,c,d\n1,true,x,?\nNA,FALSE,1,2\nn/a,,NA,NaN\nnull,True,,3\n", NULL,
             "{\"a\":1,\"b\":true,\"c\":\"x\",\"d\":null}\n{\"a\":null,\"b\":false,\"c\":\"1\",\"d\":2}\n"
             "{\"a\":null,\"b\":null,\"c\":\"NA\",\"d\":null}\n{\"a\":null,\"b\":true,\"c\":null,\"d\":3}");
    CSV_ROWS("a,b\n1,1\n2,true\n", NULL, "{\"a\":1,\"b\":\"1\"}\n{\"a\":2,\"b\":\"true\"}");
    CSV_ROWS("a\n6\n6.0\n7\n", "a:categorical", "{\"a\":\"6\"}\n{\"a\":\"6\"}\n{\"a\":\"7\"}");
    CSV_ROWS("a\n6.0\n6\n", "a:categorical", "{\"a\":\"6.0\"}\n{\"a\":\"6.0\"}");
    CSV_ROWS("\"a:b\",c\n6,1\n", "\"a:b\":categorical , c:categorical", "{\"a:b\":\"6\",\"c\":\"1\"}");
    CSV_ROWS("a,t\n1,\"[1,2]\"\n2,\n3,\"[3, 4.5]\"\n", "t:tensor", "{\"a\":1,\"t\":[1,2]}\n{\"a\":2,\"t\":null}\n{\"a\":3,\"t\":[3,4.5]}");
    CSV_REFUSED("a,t\n1,x\n", "t:tensor",
                "[{\"detail\":\"column \\\"t\\\" was given the type tensor, but no array was found in it; give its shape: "
                "{\\\"type\\\":\\\"tensor\\\",\\\"shape\\\":[28,28,1]}\"}]");
}
END_TEST

START_TEST(structure_errors) {
    CSV_REFUSED("", NULL, "[{\"detail\":\"the file is empty; expected a line of column names and at least one row\"}]");
    CSV_REFUSED("\n \n", NULL, "[{\"detail\":\"the file is empty; expected a line of column names and at least one row\"}]");
    CSV_REFUSED("a,b\n", NULL, "[{\"detail\":\"the file has a line of column names and no rows; at least one is needed\"}]");
    CSV_REFUSED(
        "a,b\n1,2\n3\n4,5,6\n\"x\ny\",7\n8,9,\n", NULL,
        "[{\"line\":3,\"value\":\"3\",\"detail\":\"the line has 1 cells, the header names 2 columns; put text with a separator in double quotes\"},"
        "{\"line\":4,\"value\":\"4,5,6\",\"detail\":\"the line has 3 cells, the header names 2 columns; put text with a separator in double "
        "quotes\"},"
        "{\"line\":7,\"value\":\"8,9,\",\"detail\":\"the line has 3 cells, the header names 2 columns; put text with a separator in double "
        "quotes\"}]");
    CSV_REFUSED("a,b\n1,\"x\n2,y\n", NULL,
                "[{\"line\":2,\"value\":\"1,\\\"x\\n2,y\\n\",\"detail\":\"a quote in this record is not closed before the end of the file\"}]");
    CSV_REFUSED("a,b\n1,\"x\"y\n", NULL,
                "[{\"line\":2,\"value\":\"\\\"x\\\"y\",\"detail\":\"text after a closing quote; double a quote inside a quoted field\"}]");
    CSV_REFUSED("a,b\n1,caf\xE9\n", NULL,
                "[{\"line\":2,\"value\":\"caf?\",\"detail\":\"byte 0xE9 is not valid UTF-8; save the file as UTF-8 (for example: iconv -f latin1 -t "
                "utf-8 old.csv > new.csv)\"}]");
    CSV_REFUSED("a,b\n1,x\ry\n", NULL,
                "[{\"line\":2,\"value\":\"x\\ry\",\"detail\":\"carriage return without a newline; lines must end in LF or CRLF\"}]");
    CSV_REFUSED("\xFF\xFE"
                "a",
                NULL, "[{\"line\":1,\"detail\":\"the file seems to be in UTF-16; save it as UTF-8\"}]");
}
END_TEST

START_TEST(nul_bytes) {
    static const char text[] = "a,b\n1,x\0y\n";
    check_refused(load_pieces("text/csv", text, sizeof text - 1, 100, NULL),
                  "[{\"line\":2,\"value\":\"x?y\",\"detail\":\"unexpected NUL byte; expected a text file in UTF-8\"}]", __LINE__);
    static const char number[] = "a\n1\0\n";
    check_refused(load_pieces("text/csv", number, sizeof number - 1, 100, NULL),
                  "[{\"line\":2,\"value\":\"1?\",\"detail\":\"unexpected NUL byte; expected a text file in UTF-8\"}]", __LINE__);
}
END_TEST

START_TEST(header_errors) {
    CSV_REFUSED("a,,b,a\n1,2,3,4\n", NULL,
                "[{\"line\":1,\"value\":\"\",\"detail\":\"column 2 has no name; every column needs one (from pandas: to_csv(..., index=False))\"},"
                "{\"line\":1,\"value\":\"a\",\"detail\":\"column 3 \\\"a\\\" repeats the name of an earlier column; names must be distinct\"}]");
    char text[1200] = {0};
    memset(text, 'n', 1025);
    memcpy(text + 1025, "\n1\n", 3);
    struct loaded loaded = load_csv(text, NULL);
    ck_assert(loaded.failed);
    ck_assert_ptr_nonnull(strstr(loaded.problems.items[0].detail, "has a name of more than 1024 bytes"));
    loaded_clear(&loaded);
}
END_TEST

START_TEST(cell_errors) {
    CSV_REFUSED("a,b\n1,2\nx,3\n", "a:numeric",
                "[{\"line\":3,\"column\":\"a\",\"value\":\"x\",\"detail\":\"expected a number; the column was given the type numeric. Correct the "
                "value, leave it empty if it is missing, or send the data again with types=a:categorical\"}]");
    CSV_REFUSED("a\n1\n", "b:numeric", "[{\"detail\":\"types names a column \\\"b\\\", which the data does not contain\"}]");
    CSV_REFUSED("a\n1\n2\n", "a:boolean",
                "[{\"line\":2,\"column\":\"a\",\"value\":\"1\",\"detail\":\"expected true or false; the column was given the type boolean. Correct "
                "the value, leave it empty if it is missing, or send the data again with types=a:categorical\"},"
                "{\"line\":3,\"column\":\"a\",\"value\":\"2\",\"detail\":\"expected true or false; the column was given the type boolean. Correct "
                "the value, leave it empty if it is missing, or send the data again with types=a:categorical\"}]");
}
END_TEST

/* After the first megabyte the types are fixed. */
START_TEST(late_misfit) {
    size_t size = 0;
    char *text = malloc(4 << 20);
    size += (size_t)sprintf(text, "n,\"b,c\"\n");
    int rows = 0;
    while (size < (3 << 20)) size += (size_t)sprintf(text + size, "%d.25,true\n", rows++);
    size += (size_t)sprintf(text + size, "NA,?\nabc,1\n1e400,\"a\nb\"\n1,0\n");
    struct loaded loaded = load_pieces("text/csv", text, size, 7777, NULL);
    ck_assert(loaded.failed);
    ck_assert_int_eq(5, loaded.problems.count);
    ck_assert_int_eq(rows + 3, loaded.problems.items[0].line);
    ck_assert_str_eq("n", loaded.problems.items[0].column);
    ck_assert_str_eq("abc", loaded.problems.items[0].value);
    const char *detail = loaded.problems.items[0].detail;
    ck_assert_msg(strncmp(detail, "expected a number; the column was inferred as numeric from the first ", 66) == 0 &&
                      strstr(detail, " rows. Correct the value, leave it empty if it is missing, or send the data again with types=n:categorical"),
                  "%s", detail);
    ck_assert_str_eq("1e400", loaded.problems.items[2].value);
    ck_assert_int_eq(rows + 6, loaded.problems.items[4].line); /* the quoted newline counts */
    ck_assert_ptr_nonnull(strstr(loaded.problems.items[4].detail, "types=\"b,c\":categorical"));
    loaded_clear(&loaded);
    free(text);
}
END_TEST

START_TEST(reports_twenty_and_counts_all) {
    char text[2000] = "a\n";
    for (int i = 0; i < 100; i++) strcat(text, "x\n");
    struct loaded loaded = load_csv(text, "a:numeric");
    ck_assert(loaded.failed);
    ck_assert_int_eq(20, loaded.problems.count);
    ck_assert_int_eq(100, (int)loaded.problems.total);
    ck_assert_int_eq(21, (int)loaded.problems.items[19].line);
    loaded_clear(&loaded);
}
END_TEST

START_TEST(limits) {
    struct schema_ingest_options options = {.rows_max = 2};
    struct loaded loaded = load_pieces("text/csv", "a\n1\n2\n3\n", 8, 100, &options);
    ck_assert(loaded.failed && loaded.problems.too_large);
    ck_assert_str_eq("there are more than 2 rows, the limit; send fewer", loaded.problems.items[0].detail);
    loaded_clear(&loaded);
    loaded = load_pieces("text/csv", "a\n1\n2\n", 6, 100, &options);
    ck_assert(!loaded.failed);
    loaded_clear(&loaded);
    options = (struct schema_ingest_options){.columns_max = 2};
    loaded = load_pieces("text/csv", "a,b,c\n1,2,3\n", 12, 100, &options);
    ck_assert(loaded.failed && loaded.problems.too_large);
    ck_assert_str_eq("there are more than 2 columns, the limit; leave some out", loaded.problems.items[0].detail);
    loaded_clear(&loaded);
    options = (struct schema_ingest_options){.categories_max = 2};
    loaded = load_pieces("text/csv", "a\nx\ny\nx\nz\n", 10, 100, &options);
    ck_assert(loaded.failed);
    ck_assert_str_eq(
        "column \"a\" has more than 2 distinct values, too many for a categorical column; send it as text (types=a:text) or leave it out",
        loaded.problems.items[0].detail);
    loaded_clear(&loaded);
}
END_TEST

START_TEST(huge_cells_and_records) {
    size_t size = (17 << 20) + 10;
    char *text = malloc(size);
    memset(text, 'x', size);
    memcpy(text, "a\n", 2);
    text[2 + (1 << 20) + 1] = '\n';
    struct loaded loaded = load_pieces("text/csv", text, 2 + (1 << 20) + 2, 1 << 16, NULL);
    ck_assert(loaded.failed);
    ck_assert_str_eq("the cell has 1048577 bytes; the limit is 1 MiB", loaded.problems.items[0].detail);
    ck_assert_int_eq(2, (int)loaded.problems.items[0].line);
    loaded_clear(&loaded);
    text[2 + (1 << 20)] = '\n';
    loaded = load_pieces("text/csv", text, 2 + (1 << 20) + 1, 1 << 16, NULL);
    ck_assert(!loaded.failed);
    loaded_clear(&loaded);
    memset(text + 2, 'x', size - 2);
    for (size_t piece = 1 << 16; piece <= size; piece += size - (1 << 16)) {
        loaded = load_pieces("text/csv", text, size, piece, NULL);
        ck_assert(loaded.failed);
        ck_assert_str_eq("the record is longer than 16 MiB, the limit; check for an unclosed quote", loaded.problems.items[0].detail);
        loaded_clear(&loaded);
    }
    free(text);
}
END_TEST

/* A file with everything in it, larger than the sample and than a group of its columns. */
static char *everything(size_t rows, size_t *size) {
    char *text = malloc(200 + rows * 80);
    size_t n = (size_t)sprintf(text, "\xEF\xBB\xBFid,\"the \"\"x\"\"\",flag,kind ,long\nname,empty\r\n");
    text[n - 13] = '_'; /* "long_name" */
    for (size_t i = 0; i < rows; i++)
        n += (size_t)sprintf(text + n, "%zu, %.17g ,%s,%s,%zu%s,%s\r\n%s", i, (double)(i * 7919 % 10007) / 97,
                             i % 3   ? "true"
                             : i % 2 ? "False"
                                     : "",
                             i % 5 ? "\"with, \"\"comma\"\"\nand line\"" : "plain", i % 300, i % 2 ? ".0" : "", i % 1000 == 17 ? "?" : "",
                             i % 50 ? "" : "\n");
    *size = n;
    return text;
}

START_TEST(same_file_whatever_the_pieces) {
    size_t size, pieces[] = {2, 3, 7, 64, 1000, 4096, 65537};
    char *text = everything(3000, &size);
    struct schema_column_type types[] = {{.name = "long_name", .type = SCHEMA_CATEGORICAL, .hwc = true}};
    struct schema_ingest_options options = {.types = types, .types_count = 1};
    struct loaded whole = load_pieces("text/csv", text, size, size, &options), bytes = load_pieces("text/csv", text, size, 1, &options);
    char *problems = problems_text(&whole);
    ck_assert_msg(!whole.failed, "%s", problems);
    free(problems);
    ck_assert_int_eq(3000, (int)whole.data->rows);
    ck_assert_int_eq(300, whole.data->columns[4].categories_count);
    ck_assert_uint_eq(whole.file_size, bytes.file_size);
    ck_assert_int_eq(0, memcmp(whole.file, bytes.file, whole.file_size));
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        struct loaded other = load_pieces("text/csv", text, size, pieces[i], &options);
        ck_assert_uint_eq(whole.file_size, other.file_size);
        ck_assert_int_eq(0, memcmp(whole.file, other.file, whole.file_size));
        loaded_clear(&other);
    }
    loaded_clear(&whole);
    loaded_clear(&bytes);
    free(text);
}
END_TEST

/* Beyond the sample and beyond one group: every cell is what was written. */
START_TEST(many_groups) {
    size_t size;
    const size_t rows = 150000;
    char *text = everything(rows, &size);
    struct loaded loaded = load_pieces("text/csv", text, size, 60000, NULL);
    ck_assert(!loaded.failed);
    ck_assert_int_eq((int)rows, (int)loaded.data->rows);
    double *numbers = malloc(rows * sizeof *numbers);
    schema_dataset_numbers(loaded.data, 1, 0, (int64_t)rows, numbers);
    for (size_t i = 0; i < rows; i++) {
        ck_assert(numbers[i] == (double)(i * 7919 % 10007) / 97);
        ck_assert(schema_dataset_number(loaded.data, 0, (int64_t)i) == (double)i);
        ck_assert_int_eq(schema_dataset_code(loaded.data, 2, (int64_t)i), i % 3 ? 1 : i % 2 ? 0 : -1);
        ck_assert_int_eq(schema_dataset_code(loaded.data, 3, (int64_t)i), i % 5 ? 1 : 0);
    }
    schema_dataset_numbers(loaded.data, 2, 100000, 1000, numbers);
    for (size_t i = 0; i < 1000; i++) ck_assert((i + 100000) % 3 ? numbers[i] == 1 : (i + 100000) % 2 ? numbers[i] == 0 : numbers[i] != numbers[i]);
    free(numbers);
    loaded_clear(&loaded);
    free(text);
}
END_TEST

Suite *suite_schema_csv(void) {
    Suite *suite = suite_create("schema csv");
    TCase *tests = tcase_create("csv");
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, plain);
    tcase_add_test(tests, quotes);
    tcase_add_test(tests, separators);
    tcase_add_test(tests, column_types);
    tcase_add_test(tests, structure_errors);
    tcase_add_test(tests, nul_bytes);
    tcase_add_test(tests, header_errors);
    tcase_add_test(tests, cell_errors);
    tcase_add_test(tests, late_misfit);
    tcase_add_test(tests, reports_twenty_and_counts_all);
    tcase_add_test(tests, limits);
    tcase_add_test(tests, huge_cells_and_records);
    tcase_add_test(tests, same_file_whatever_the_pieces);
    tcase_add_test(tests, many_groups);
    suite_add_tcase(suite, tests);
    return suite;
}

/* test_dataset.c - column files: exact round trips in every width, statistics, and damage of every kind found without a crash. */
#include "schema/dataset/column_file.h"
#include "tests/fuzz/column_file_repair.h"
#include "tests/schema/ingest_support.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

Suite *suite_schema_dataset(void);

/* ---- round trips ---- */

/* Writes one numeric column and returns the kind of its first block. */
static int round_trip(const double *x, int64_t n, size_t *file_size) {
    struct bp_error error = {0};
    struct column_values values = {.type = SCHEMA_NUMERIC, .per_cell = 1, .numbers = x};
    struct schema_column column = {.name = (char[]){"x"}, .type = SCHEMA_NUMERIC};
    struct column_file *file = NULL;
    struct schema_dataset *data = NULL;
    int fd = nameless_file();
    ck_assert_int_eq(0, column_file_create(fd, 0, &file, &error));
    ck_assert_int_eq(0, column_file_set(file, 1, n, NULL, 0, &error));
    ck_assert_int_eq(0, column_file_group(file, &values, n, &error));
    ck_assert_int_eq(0, column_file_finish(file, &column, NULL, n, &(uint64_t){0}, &error));
    column_file_free(file);
    ck_assert_msg(schema_dataset_open(fd, 0, &data, &error) == 0, "%s", error.message);
    double *back = malloc((size_t)n * sizeof *back);
    schema_dataset_numbers(data, 0, 0, n, back);
    for (int64_t i = 0; i < n; i++) {
        double one = schema_dataset_number(data, 0, i);
        ck_assert_msg(isnan(x[i]) ? isnan(back[i]) && isnan(one) : memcmp(&x[i], &back[i], 8) == 0 && memcmp(&x[i], &one, 8) == 0,
                      "%g came back as %g", x[i], back[i]);
    }
    struct column_block block;
    ck_assert_int_eq((int)sizeof block, (int)pread(fd, &block, sizeof block, 64));
    if (file_size) *file_size = (size_t)data->bytes;
    free(back);
    schema_dataset_free(data);
    close(fd);
    return block.kind;
}

#define KIND(kind, ...) ck_assert_int_eq(kind, round_trip((double[]){__VA_ARGS__}, sizeof((double[]){__VA_ARGS__}) / sizeof(double), NULL))

START_TEST(narrowest_exact_type) {
    KIND(BLOCK_U8, 0, 255);
    KIND(BLOCK_U8, NAN, 7, NAN);
    KIND(BLOCK_I8, -1, 127);
    KIND(BLOCK_I8, -128, NAN);
    KIND(BLOCK_U16, 0, 256);
    KIND(BLOCK_U16, 65535);
    KIND(BLOCK_I16, -1, 128);
    KIND(BLOCK_I16, -32768, 32767);
    KIND(BLOCK_I32, 65536);
    KIND(BLOCK_I32, -1, 32768);
    KIND(BLOCK_I32, -2147483648.0, 2147483647.0, NAN);
    KIND(BLOCK_F32, 2147483648.0);
    KIND(BLOCK_F32, 0.5, -0.0, 16777216);
    KIND(BLOCK_F32, -0.0);
    KIND(BLOCK_F32, NAN, 0.5);
    KIND(BLOCK_F64, 16777217, 0.5);
    KIND(BLOCK_F64, 0.1);
    KIND(BLOCK_F64, 1e300, NAN);
    KIND(BLOCK_F64, 1e-40);
    KIND(BLOCK_F64, 5e-324, 1);
    KIND(BLOCK_F64, 9007199254740993.0, 4294967297.0);
    KIND(BLOCK_NONE, NAN, NAN);
}
END_TEST

START_TEST(narrow_files_are_small) {
    static double x[8000];
    size_t bytes, wide;
    for (int i = 0; i < 8000; i++) x[i] = i % 256;
    round_trip(x, 8000, &bytes);
    for (int i = 0; i < 8000; i++) x[i] = i + 0.1;
    round_trip(x, 8000, &wide);
    ck_assert_int_lt((long long)bytes, 8600);
    ck_assert_int_gt((long long)wide, 64000);
}
END_TEST

START_TEST(groups_stay_small) {
    struct column_values values[3] = {
        {.type = SCHEMA_NUMERIC, .per_cell = 1}, {.type = SCHEMA_CATEGORICAL, .per_cell = 1}, {.type = SCHEMA_TENSOR, .per_cell = 784}};
    ck_assert_int_eq(524224, (int)column_file_rows_per_group(values, 1));
    ck_assert_int_eq(349504, (int)column_file_rows_per_group(values, 2));
    ck_assert_int_eq(1280, (int)column_file_rows_per_group(values, 3));
    values[2].per_cell = 10000000;
    ck_assert_int_eq(1, (int)column_file_rows_per_group(values, 3));
}
END_TEST

START_TEST(codes_in_three_widths) {
    const int counts[] = {255, 256, 65535, 65536};
    const struct schema_column_type type = {.name = (char[]){"c"}, .type = SCHEMA_CATEGORICAL};
    const struct schema_ingest_options options = {.types = &type, .types_count = 1}; /* else so many are taken as text */
    for (int k = 0; k < 4; k++) {
        char *text = malloc(700000);
        size_t size = (size_t)sprintf(text, "c\n");
        for (int i = 0; i < counts[k]; i++) size += (size_t)sprintf(text + size, "v%d\n", i);
        struct loaded loaded = load_pieces("text/csv", text, size, size, &options);
        ck_assert(!loaded.failed);
        ck_assert_int_eq(counts[k], loaded.data->columns[0].categories_count);
        for (int i = 0; i < counts[k]; i++) ck_assert_int_eq(i, schema_dataset_code(loaded.data, 0, i));
        loaded_clear(&loaded);
        free(text);
    }
}
END_TEST

/* ---- statistics ---- */

START_TEST(statistics) {
    struct loaded loaded = load_csv("n,c,b,e,big,int\n1,x,true,,1e308,3\n2,y,False,,-1e308,1\n3,x,,NA,1e308,3\n,x,TRUE,,-1e308,2\n", NULL);
    ck_assert(!loaded.failed);
    const struct schema_column *c = loaded.data->columns;
    static const char *const want[] = {
        "{\"name\":\"n\",\"type\":\"numeric\",\"missing\":1,\"min\":1,\"max\":3,\"mean\":2,\"std\":0.816496580927726}",
        "{\"name\":\"c\",\"type\":\"categorical\",\"missing\":0,\"categories_count\":2,\"categories\":[{\"value\":\"x\",\"count\":3},{\"value\":"
        "\"y\",\"count\":1}]}",
        "{\"name\":\"b\",\"type\":\"boolean\",\"missing\":1,\"categories_count\":2,\"categories\":[{\"value\":\"true\",\"count\":2},{\"value\":"
        "\"False\",\"count\":1}]}",
        "{\"name\":\"e\",\"type\":\"numeric\",\"missing\":4,\"min\":null,\"max\":null,\"mean\":null,\"std\":null}",
        "{\"name\":\"big\",\"type\":\"numeric\",\"missing\":0,\"min\":-1e308,\"max\":1e308,\"mean\":0,\"std\":1e308}",
        "{\"name\":\"int\",\"type\":\"numeric\",\"missing\":0,\"min\":1,\"max\":3,\"mean\":2.25,\"std\":0.82915619758885}"};
    for (int i = 0; i < 6; i++) {
        char *text = column_text(loaded.data, i);
        ck_assert_str_eq(want[i], text);
        free(text);
    }
    ck_assert(c[0].integral && c[4].integral && c[5].integral && !c[3].integral && !c[1].integral);
    ck_assert_int_eq(3, c[5].distinct_count);
    ck_assert(c[5].distinct[0] == 1 && c[5].distinct[1] == 2 && c[5].distinct[2] == 3);
    ck_assert_int_eq(0, c[3].distinct_count);
    ck_assert(isnan(schema_dataset_number(loaded.data, 3, 0)) && isnan(schema_dataset_number(loaded.data, 1, 0)));
    ck_assert(schema_dataset_number(loaded.data, 2, 0) == 1 && schema_dataset_number(loaded.data, 2, 1) == 0 &&
              isnan(schema_dataset_number(loaded.data, 2, 2)));
    ck_assert_int_eq(5, schema_dataset_find(loaded.data, "int"));
    ck_assert_int_eq(-1, schema_dataset_find(loaded.data, "Int"));
    ck_assert_int_eq(-1, schema_dataset_code(loaded.data, 0, 0));
    ck_assert_int_eq(-1, schema_dataset_code(loaded.data, 1, 4));
    ck_assert(isnan(schema_dataset_number(loaded.data, 6, 0)) && isnan(schema_dataset_number(loaded.data, 0, -1)));
    ck_assert_int_eq(1, schema_dataset_category(&c[1], "y", 1));
    ck_assert_int_eq(-1, schema_dataset_category(&c[1], "z", 1));
    ck_assert_int_eq(1, schema_dataset_category(&c[2], "tRue", 4));
    loaded_clear(&loaded);
}
END_TEST

START_TEST(distinct_values_up_to_twenty) {
    for (int n = 20; n <= 21; n++) {
        char text[2000] = "a\n";
        for (int i = 0; i < 3 * n; i++) sprintf(text + strlen(text), "%d\n", (i * 11) % n);
        struct loaded loaded = load_csv(text, NULL);
        ck_assert_int_eq(n, loaded.data->columns[0].distinct_count);
        for (int i = 0; n == 20 && i < n; i++) ck_assert(loaded.data->columns[0].distinct[i] == i);
        loaded_clear(&loaded);
    }
}
END_TEST

/* Far from zero, where the textbook formula loses everything. */
START_TEST(statistics_are_stable) {
    const int n = 20000;
    char *text = malloc((size_t)n * 24);
    size_t size = (size_t)sprintf(text, "a,b,c\n");
    for (int i = 0; i < n; i++) size += (size_t)sprintf(text + size, "%d,0.1,%d\n", 1000000000 + i % 3, i);
    struct loaded loaded = load_pieces("text/csv", text, size, size, NULL);
    const struct schema_column *c = loaded.data->columns;
    ck_assert_double_eq_tol(1000000000.99995, c[0].mean, 1e-6);
    ck_assert_double_eq_tol(0.8164966, c[0].std, 1e-4);
    ck_assert(c[1].mean == 0.1 && c[1].std == 0);
    ck_assert_double_eq_tol(9999.5, c[2].mean, 1e-9);
    ck_assert_double_eq_tol(5773.502684679, c[2].std, 1e-6); /* sqrt((n^2 - 1) / 12) */
    loaded_clear(&loaded);
    free(text);
}
END_TEST

START_TEST(most_frequent_categories_first) {
    char *text = malloc(100000);
    size_t size = (size_t)sprintf(text, "c\n");
    for (int i = 0; i < 150; i++)
        for (int k = 0; k <= i % 40; k++) size += (size_t)sprintf(text + size, "v%d\n", i);
    struct loaded loaded = load_pieces("text/csv", text, size, size, NULL);
    json_t *columns = schema_dataset_columns_json(loaded.data), *column = json_array_get(columns, 0), *list = json_object_get(column, "categories");
    ck_assert_int_eq(150, (int)json_integer_value(json_object_get(column, "categories_count")));
    ck_assert_int_eq(100, (int)json_array_size(list));
    static const char *const first[] = {"v39", "v79", "v119", "v38"};
    for (size_t i = 0; i < 4; i++) ck_assert_str_eq(first[i], json_string_value(json_object_get(json_array_get(list, i), "value")));
    ck_assert_int_eq(40, (int)json_integer_value(json_object_get(json_array_get(list, 0), "count")));
    json_decref(columns);
    loaded_clear(&loaded);
    free(text);
}
END_TEST

/* ---- damage ---- */

static int file_of(const void *bytes, size_t size) {
    int fd = nameless_file();
    ck_assert_int_eq((long long)size, pwrite(fd, bytes, size, 0));
    return fd;
}

/* Reads every cell in every way; returns the rows as text. */
static char *read_all(const struct schema_dataset *data) {
    double numbers[64];
    for (int32_t c = 0; c < data->columns_count; c++) {
        for (int64_t row = 0; row < data->rows && row < 1000; row++) {
            schema_dataset_number(data, c, row);
            schema_dataset_code(data, c, row);
        }
        schema_dataset_numbers(data, c, 0, data->rows < 64 ? data->rows : 64, numbers);
    }
    json_decref(schema_dataset_columns_json(data));
    return data->rows < 1000 ? rows_text(data) : strdup("");
}

/* Opens the bytes; when they open and verify, the data must be `want`. Returns 1 when they did. */
static int open_damaged(const char *bytes, size_t size, const char *want, const char *what, size_t at) {
    struct schema_dataset *data = NULL;
    struct bp_error error = {0};
    int fd = file_of(bytes, size), opened = schema_dataset_open(fd, 0, &data, &error) == 0, good = 0;
    close(fd);
    if (!opened) {
        ck_assert_msg(error.message[0] != '\0', "%s at %zu: no message", what, at);
        return 0;
    }
    char *text = read_all(data);
    good = schema_dataset_verify(data, &error) == 0;
    ck_assert_msg(!good || strcmp(text, want) == 0, "%s at %zu changed the data", what, at);
    free(text);
    schema_dataset_free(data);
    return good;
}

static struct loaded small_file(void) {
    struct loaded loaded = load_json("{\"records\":[{\"n\":1,\"f\":0.1,\"c\":\"x\",\"b\":true,\"t\":[[1,2],[3,4]]},{\"n\":null,\"f\":0.5,\"c\":\"y\","
                                     "\"b\":false,\"t\":[[1,2],[3,4.5]]},"
                                     "{\"n\":300,\"f\":null,\"c\":null,\"b\":null,\"t\":null}]}");
    ck_assert(!loaded.failed);
    return loaded;
}

START_TEST(flipped_bytes) {
    struct loaded loaded = small_file();
    char *want = read_all(loaded.data);
    int accepted = 0;
    for (size_t at = 0; at < loaded.file_size; at++)
        for (int k = 0; k < 3; k++) {
            char before = loaded.file[at];
            loaded.file[at] = (char)(k == 0 ? before ^ 1 : k == 1 ? before ^ 0x80 : ~before);
            accepted += open_damaged(loaded.file, loaded.file_size, want, "a flip", at);
            loaded.file[at] = before;
        }
    ck_assert_int_lt(accepted, 3 * 170); /* only padding and reserved bytes may be anything */
    free(want);
    loaded_clear(&loaded);
}
END_TEST

START_TEST(cut_short_and_lengthened) {
    struct loaded loaded = small_file();
    char *longer = calloc(1, loaded.file_size + 64);
    memcpy(longer, loaded.file, loaded.file_size);
    for (size_t size = 0; size < loaded.file_size; size++) ck_assert_int_eq(0, open_damaged(loaded.file, size, "", "a cut", size));
    for (size_t more = 1; more <= 64; more++) ck_assert_int_eq(0, open_damaged(longer, loaded.file_size + more, "", "more", more));
    free(longer);
    loaded_clear(&loaded);
}
END_TEST

/* As flipped_bytes, but with checksums made right again, as an attacker would: no crash, whatever the result. */
START_TEST(hostile_files) {
    struct loaded loaded = small_file();
    static const unsigned char bytes[] = {0, 1, 4, 8, 0x7F, 0x80, 0xFF};
    struct column_file_trailer trailer;
    memcpy(&trailer, loaded.file + loaded.file_size - sizeof trailer, sizeof trailer);
    char *copy = malloc(loaded.file_size);
    for (size_t at = 64; at < loaded.file_size - sizeof trailer; at++)
        for (size_t k = 0; k < sizeof bytes; k++) {
            memcpy(copy, loaded.file, loaded.file_size);
            copy[at] = (char)bytes[k];
            column_file_repair(copy, loaded.file_size);
            struct schema_dataset *data = NULL;
            int fd = file_of(copy, loaded.file_size);
            if (schema_dataset_open(fd, 0, &data, NULL) == 0) {
                free(read_all(data));
                schema_dataset_verify(data, NULL);
            }
            schema_dataset_free(data);
            close(fd);
        }
    free(copy);
    loaded_clear(&loaded);
}
END_TEST

START_TEST(messages) {
    struct loaded loaded = small_file();
    struct schema_dataset *data = NULL;
    static const struct {
        size_t at, size;
        const char *bytes, *message;
    } cases[] = {{0, 4, "PK\3\4", "this is not a dataset file of backpropd"},
                 {16, 1, "\3", "the dataset file has format 3, but this program reads up to 2; use a newer backpropd"},
                 {16, 1, "\1", "the dataset file has format 1, which is no longer supported; upload the dataset again"},
                 {17, 1, "\xFF", "the dataset file is damaged (version); restore the data folder from a backup, or upload the dataset again"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct bp_error error = {0};
        char *copy = malloc(loaded.file_size);
        memcpy(copy, loaded.file, loaded.file_size);
        memcpy(copy + cases[i].at, cases[i].bytes, cases[i].size);
        int fd = file_of(copy, loaded.file_size);
        ck_assert_int_eq(-1, schema_dataset_open(fd, 0, &data, &error));
        ck_assert_str_eq(cases[i].message, error.message);
        close(fd);
        free(copy);
    }
    struct bp_error error = {0};
    int fd = file_of(loaded.file, loaded.file_size - 1);
    ck_assert_int_eq(-1, schema_dataset_open(fd, 0, &data, &error));
    ck_assert_str_eq("the dataset file is truncated: its end is missing; restore the data folder from a backup, or upload the dataset again",
                     error.message);
    close(fd);
    loaded_clear(&loaded);
}
END_TEST

START_TEST(a_full_disk_is_reported) {
    struct schema_problems problems = {0};
    struct schema_ingest *ingest = NULL;
    int pipe_ends[2];
    ck_assert_int_eq(0, pipe(pipe_ends)); /* pwrite to a pipe fails */
    ck_assert_int_eq(0, schema_ingest_open(schema_format_for("text/csv"), NULL, pipe_ends[1], &ingest, &problems));
    ck_assert_int_eq(0, schema_ingest_feed(ingest, "a\n1\n", 4, &problems));
    ck_assert_int_eq(-1, schema_ingest_finish(ingest, &problems));
    ck_assert_int_eq(problems.code, BP_ERROR_IO);
    ck_assert_str_eq("cannot write the dataset: Illegal seek; free space in the data folder and send it again", problems.items[0].detail);
    schema_ingest_close(ingest);
    schema_problems_clear(&problems);
    close(pipe_ends[0]), close(pipe_ends[1]);
}
END_TEST

Suite *suite_schema_dataset(void) {
    Suite *suite = suite_create("schema dataset");
    TCase *tests = tcase_create("dataset");
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, narrowest_exact_type);
    tcase_add_test(tests, narrow_files_are_small);
    tcase_add_test(tests, groups_stay_small);
    tcase_add_test(tests, codes_in_three_widths);
    tcase_add_test(tests, statistics);
    tcase_add_test(tests, distinct_values_up_to_twenty);
    tcase_add_test(tests, statistics_are_stable);
    tcase_add_test(tests, most_frequent_categories_first);
    tcase_add_test(tests, flipped_bytes);
    tcase_add_test(tests, cut_short_and_lengthened);
    tcase_add_test(tests, hostile_files);
    tcase_add_test(tests, messages);
    tcase_add_test(tests, a_full_disk_is_reported);
    suite_add_tcase(suite, tests);
    return suite;
}

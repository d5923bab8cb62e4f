/* test_source.c - the split: stratified, complete, by seed; batches from memory and from the file are the same bits. */
#include "tests/schema/training_support.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

Suite *suite_schema_source(void);

static void split_of(int64_t n, int32_t classes_count, double fraction, uint64_t seed, struct schema_split *split) {
    struct bp_error error = {0};
    int64_t *rows = malloc((size_t)n * sizeof *rows);
    int32_t *classes = malloc((size_t)n * sizeof *classes);
    for (int64_t i = 0; i < n; i++) {
        rows[i] = 10 * i;
        classes[i] = (int32_t)(i % classes_count);
    }
    ck_assert_int_eq(schema_split_make(rows, n, classes_count > 1 ? classes : NULL, classes_count, fraction, seed, split, &error), 0);
    free(rows);
    free(classes);
}

START_TEST(every_row_occurs_once) {
    struct schema_split split;
    bool seen[1000] = {0};
    split_of(1000, 1, 0.2, 5, &split);
    ck_assert_int_eq(split.validation_count, 200);
    ck_assert_int_eq(split.train_count, 800);
    for (int64_t i = 0; i < 1000; i++) {
        int64_t row = i < 200 ? split.validation[i] : split.train[i - 200];
        ck_assert_int_eq(row % 10, 0);
        ck_assert(!seen[row / 10]);
        seen[row / 10] = true;
    }
    schema_split_free(&split);
}
END_TEST

START_TEST(classes_keep_their_shares) {
    struct schema_split split;
    int counts[3] = {0};
    split_of(300, 3, 0.2, 5, &split);
    for (int64_t i = 0; i < split.validation_count; i++) counts[split.validation[i] / 10 % 3]++;
    for (int c = 0; c < 3; c++) ck_assert_int_eq(counts[c], 20);
    schema_split_free(&split);
}
END_TEST

START_TEST(small_classes_keep_a_training_row) {
    struct schema_split split;
    bool trained[600] = {0};
    split_of(1200, 600, 0.5, 5, &split);
    for (int64_t i = 0; i < split.train_count; i++) trained[split.train[i] / 10 % 600] = true;
    for (int c = 0; c < 600; c++) ck_assert(trained[c]);
    ck_assert_int_eq(split.validation_count, 600);
    schema_split_free(&split);
    split_of(600, 600, 0.5, 5, &split); /* one row a class: nothing can be held back */
    ck_assert_int_eq(split.validation_count, 0);
    schema_split_free(&split);
    split_of(3, 1, 0.1, 5, &split);
    ck_assert_int_eq(split.validation_count, 1);
    schema_split_free(&split);
    split_of(3, 1, 0, 5, &split);
    ck_assert_int_eq(split.validation_count, 0);
    schema_split_free(&split);
}
END_TEST

START_TEST(the_seed_determines_everything) {
    struct schema_split a, b, c;
    split_of(100, 2, 0.3, 7, &a);
    split_of(100, 2, 0.3, 7, &b);
    split_of(100, 2, 0.3, 8, &c);
    ck_assert_mem_eq(a.validation, b.validation, 30 * sizeof *a.validation);
    ck_assert(memcmp(a.validation, c.validation, 30 * sizeof *a.validation) != 0);
    schema_split_free(&a);
    schema_split_free(&b);
    schema_split_free(&c);
}
END_TEST

/* Written down once: a job that was split by an older build goes on with the same rows. */
START_TEST(splits_do_not_change) {
    static const int64_t plain[] = {121, 127, 133, 136, 139, 145}, by_class[] = {100, 112, 121, 124, 127, 151};
    int64_t rows[20];
    int32_t classes[20];
    struct schema_split split;
    for (int32_t i = 0; i < 20; i++) {
        rows[i] = 100 + 3 * i;
        classes[i] = i % 3;
    }
    ck_assert_int_eq(schema_split_make(rows, 20, NULL, 0, 0.3, 42, &split, NULL), 0);
    ck_assert_int_eq(split.validation_count, 6);
    ck_assert_mem_eq(split.validation, plain, sizeof plain);
    schema_split_free(&split);
    ck_assert_int_eq(schema_split_make(rows, 20, classes, 3, 0.3, 42, &split, NULL), 0);
    ck_assert_int_eq(split.validation_count, 6);
    ck_assert_mem_eq(split.validation, by_class, sizeof by_class);
    schema_split_free(&split);
}
END_TEST

START_TEST(from_memory_and_from_the_file_alike) {
    struct resolved r = resolve_text(colours_csv, "{\"layers\":[]}", "{\"target\":\"label\",\"seed\":1}");
    struct bp_error error = {0};
    struct schema_view *view = schema_view_new(r.training->preprocessing, r.loaded.data, true, &error);
    struct schema_source *kept, *read;
    int64_t rows[12], samples[5] = {11, 0, 5, 5, 3};
    for (int64_t i = 0; i < 12; i++) rows[i] = i;
    struct schema_source_options options = {.view = view, .rows = rows, .n = 12, .memory_max = SCHEMA_SOURCE_MEMORY};
    ck_assert_int_eq(schema_source_new(&options, &kept, &error), 0);
    options.memory_max = 0;
    ck_assert_int_eq(schema_source_new(&options, &read, &error), 0);
    int32_t width = r.training->preprocessing->width;
    float a[200] = {0}, b[200] = {0}, ya[5], yb[5];
    ck_assert_int_le(5 * width, 200);
    struct bp_source first = schema_source_batches(kept), second = schema_source_batches(read);
    first.fill(first.context, samples, 5, &(struct bp_batch){.inputs = {a}, .targets = {ya}});
    second.fill(second.context, samples, 5, &(struct bp_batch){.inputs = {b}, .targets = {yb}});
    ck_assert_mem_eq(a, b, sizeof a);
    ck_assert_mem_eq(ya, yb, sizeof ya);
    ck_assert_float_eq(ya[0], 1); /* row 11 is label b */
    ck_assert_float_eq(ya[1], 0);
    ck_assert_mem_eq(a + 2 * width, a + 3 * width, (size_t)width * sizeof *a);
    schema_source_free(kept);
    schema_source_free(read);
    schema_view_free(view);
    resolved_clear(&r);
}
END_TEST

Suite *suite_schema_source(void) {
    Suite *suite = suite_create("schema/source");
    TCase *tests = tcase_create("source");
    tcase_add_test(tests, every_row_occurs_once);
    tcase_add_test(tests, classes_keep_their_shares);
    tcase_add_test(tests, small_classes_keep_a_training_row);
    tcase_add_test(tests, the_seed_determines_everything);
    tcase_add_test(tests, splits_do_not_change);
    tcase_add_test(tests, from_memory_and_from_the_file_alike);
    suite_add_tcase(suite, tests);
    return suite;
}

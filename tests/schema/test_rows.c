/* test_rows.c - rows read many at once: in any order, over the seams of blocks and slots, with what is missing; and what is fitted on them. */
#include "tests/schema/training_support.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

Suite *suite_schema_rows(void);

enum { ROWS = 3000, COLUMNS = 19 };

/* ROWS rows: column k holds 10 row + k, but every 7th row of odd columns is missing; "c" is one of 100 numbers, "t" one of three texts, missing in
 * every 10th row. */
static char *many_rows(void) {
    char *text = malloc(ROWS * (COLUMNS * 8 + 16) + 400), *end = text;
    for (int k = 0; k < COLUMNS; k++) end += sprintf(end, "x%d,", k);
    end += sprintf(end, "c,t\n");
    for (int i = 0; i < ROWS; i++) {
        for (int k = 0; k < COLUMNS; k++) end += k % 2 && i % 7 == 0 ? sprintf(end, ",") : sprintf(end, "%d,", 10 * i + k);
        end += sprintf(end, "%g,%s\n", i % 100 / 4.0, i % 10 == 0 ? "" : i % 10 < 4 ? "low" : i % 10 < 8 ? "mid" : "high");
    }
    return text;
}

START_TEST(gathered_in_any_order) {
    char *text = many_rows();
    struct loaded loaded = load_csv(text, NULL);
    const int64_t rows[] = {2999, 0, 1, 2, 700, 699, 7, 7, -1, 3000, 5};
    const double expected[] = {29993, NAN, 13, 23, NAN, 6993, NAN, NAN, NAN, NAN, 53};
    const int32_t texts[] = {2, -1, 0, 0, -1, 2, 1, 1, -1, -1, 1};
    double numbers[11];
    int32_t codes[11];
    schema_dataset_gather(loaded.data, 3, rows, 11, numbers);
    schema_dataset_gather_codes(loaded.data, COLUMNS + 1, rows, 11, codes);
    for (int i = 0; i < 11; i++) {
        ck_assert_msg(numbers[i] == expected[i] || (isnan(numbers[i]) && isnan(expected[i])), "row %d: %g", (int)rows[i], numbers[i]);
        ck_assert_int_eq(codes[i], texts[i]);
    }
    schema_dataset_gather(loaded.data, COLUMNS + 1, rows, 11, numbers); /* a text has no number, a number no code, no column neither */
    schema_dataset_gather_codes(loaded.data, 3, rows, 11, codes);
    for (int i = 0; i < 11; i++) ck_assert(isnan(numbers[i]) && codes[i] == -1);
    schema_dataset_gather(loaded.data, -1, rows, 11, numbers);
    for (int i = 0; i < 11; i++) ck_assert(isnan(numbers[i]));
    free(text);
    loaded_clear(&loaded);
}
END_TEST

/* More columns than are summed side by side, some with missing cells: mean and deviation in closed form. All rows but those of the validation set are
 * fitted on, which is empty here. */
START_TEST(columns_fitted_together) {
    char *text = many_rows();
    struct resolved r = resolve_text(text, "{\"layers\":[]}", "{\"target\":\"t\",\"seed\":1,\"validation\":{\"fraction\":0}}");
    ck_assert_msg(r.training != NULL, "%s", first_problem(&r));
    const struct schema_preprocessing *p = r.training->preprocessing;
    ck_assert_int_eq(p->features_count, COLUMNS + 1);
    for (int k = 0; k < COLUMNS; k++) {
        double n = 0, sum = 0, squares = 0;
        for (int i = 0; i < ROWS; i++) /* rows without a target do not count */
            if (i % 10 && !(k % 2 && i % 7 == 0)) n++, sum += 10.0 * i + k;
        for (int i = 0; i < ROWS; i++)
            if (i % 10 && !(k % 2 && i % 7 == 0)) squares += (10.0 * i + k - sum / n) * (10.0 * i + k - sum / n);
        ck_assert_double_eq_tol(p->features[k].mean, sum / n, 1e-9);
        ck_assert_double_eq_tol(p->features[k].std, sqrt(squares / n), 1e-9);
        ck_assert_int_eq(p->features[k].indicator, k % 2);
    }
    free(text);
    resolved_clear(&r);
}
END_TEST

/* A hundred numbers as classes, more than slots that remember them: each is its place in ascending order. */
START_TEST(numbers_as_classes) {
    char *text = many_rows();
    struct resolved r =
        resolve_text(text, "{\"layers\":[]}", "{\"target\":\"c\",\"task\":\"classification\",\"features\":[\"x0\",\"t\"],\"seed\":1}");
    ck_assert_msg(r.training != NULL, "%s", first_problem(&r));
    struct bp_error error = {0};
    struct schema_view *view = schema_view_new(r.training->preprocessing, r.loaded.data, true, &error);
    int64_t rows[ROWS];
    static double classes[ROWS];
    for (int i = 0; i < ROWS; i++) rows[i] = (int64_t)i * 1009 % ROWS;
    schema_view_targets(view, 0, rows, ROWS, classes);
    for (int i = 0; i < ROWS; i++) ck_assert_double_eq(classes[i], (double)(rows[i] % 100));
    schema_view_free(view);
    resolved_clear(&r);
    free(text);
}
END_TEST

/* Which rows are left out: no target, a missing cell where that drops the row. */
START_TEST(rows_to_learn_from) {
    char *text = many_rows();
    struct resolved r =
        resolve_text(text, "{\"layers\":[{\"type\":\"dense\",\"units\":3}]}",
                     "{\"target\":[\"x1\",\"x2\"],\"features\":[\"x0\",\"t\"],\"columns\":{\"t\":{\"missing\":\"drop\"}},\"seed\":1}");
    ck_assert_msg(r.training != NULL, "%s", first_problem(&r));
    struct bp_error error = {0};
    struct schema_view *view = schema_view_new(r.training->preprocessing, r.loaded.data, true, &error);
    int64_t rows[SCHEMA_ROWS_MAX];
    bool complete[SCHEMA_ROWS_MAX];
    for (int i = 0; i < SCHEMA_ROWS_MAX; i++) rows[i] = i;
    ck_assert_int_eq(schema_view_complete(view, rows, SCHEMA_ROWS_MAX, complete), 0);
    for (int i = 0; i < SCHEMA_ROWS_MAX; i++) ck_assert_int_eq(complete[i], i % 7 != 0 && i % 10 != 0);
    struct schema_split split;
    ck_assert_int_eq(schema_training_split(r.training, view, &split, &error), 0);
    ck_assert_int_eq(split.train_count + split.validation_count, ROWS - 300 - 429 + 43); /* those of 10, of 7, of 70 */
    for (int64_t i = 1; i < split.train_count; i++) ck_assert_int_lt(split.train[i - 1], split.train[i]);
    for (int64_t i = 1; i < split.validation_count; i++) ck_assert_int_lt(split.validation[i - 1], split.validation[i]);
    schema_split_free(&split);
    schema_view_free(view);
    resolved_clear(&r);
    free(text);
}
END_TEST

/* A source's samples in any order, read from the file: (10 row + k - mean) / std, and 0 or 1 for a missing cell. */
START_TEST(batches_from_the_file) {
    char *text = many_rows();
    struct resolved r =
        resolve_text(text, "{\"layers\":[]}", "{\"target\":\"x0\",\"features\":[\"x1\",\"x2\"],\"seed\":1,\"validation\":{\"fraction\":0}}");
    ck_assert_msg(r.training != NULL, "%s", first_problem(&r));
    const struct schema_preprocessing *p = r.training->preprocessing;
    struct bp_error error = {0};
    struct schema_view *view = schema_view_new(p, r.loaded.data, true, &error);
    struct schema_source *source;
    static int64_t rows[ROWS], samples[ROWS];
    static float x[ROWS * 3], y[ROWS];
    for (int i = 0; i < ROWS; i++) rows[i] = i, samples[i] = (int64_t)i * 1009 % ROWS;
    const struct schema_source_options options = {.view = view, .rows = rows, .n = ROWS, .memory_max = 0};
    ck_assert_int_eq(schema_source_new(&options, &source, &error), 0);
    struct bp_source batches = schema_source_batches(source);
    schema_source_advise(source, 0, ROWS, true); /* what is resident changes no number */
    schema_source_advise(source, 10, 2000, false);
    schema_source_advise(source, 0, ROWS + 1, false);
    schema_dataset_release(r.loaded.data);
    batches.fill(batches.context, samples, ROWS, &(struct bp_batch){.inputs = {x}, .targets = {y}});
    for (int i = 0; i < ROWS; i++) {
        const double row = (double)samples[i];
        const bool missing = samples[i] % 7 == 0;
        ck_assert_float_eq(x[3 * i], missing ? 0 : (float)((10 * row + 1 - p->features[0].mean) / p->features[0].std));
        ck_assert_float_eq(x[3 * i + 1], missing);
        ck_assert_float_eq(x[3 * i + 2], (float)((10 * row + 2 - p->features[1].mean) / p->features[1].std));
        ck_assert_float_eq(y[i], (float)((10 * row - p->targets[0].mean) / p->targets[0].std));
    }
    schema_source_free(source);
    schema_view_free(view);
    resolved_clear(&r);
    free(text);
}
END_TEST

Suite *suite_schema_rows(void) {
    Suite *suite = suite_create("schema/rows");
    TCase *tests = tcase_create("rows");
    tcase_add_test(tests, gathered_in_any_order);
    tcase_add_test(tests, columns_fitted_together);
    tcase_add_test(tests, numbers_as_classes);
    tcase_add_test(tests, rows_to_learn_from);
    tcase_add_test(tests, batches_from_the_file);
    suite_add_tcase(suite, tests);
    return suite;
}

/* test_preprocessing.c - fitted on the training rows only, transformed by hand-computed numbers, read back to the same bits. */
#include "training_support.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

Suite *suite_schema_preprocessing(void);

/* Fits x and colour of colours_csv on the given rows. */
static struct schema_preprocessing *fit(const struct loaded *loaded, const int64_t *rows, int64_t n) {
    static const int32_t columns[] = {0, 1};
    static char a[] = "a", b[] = "b";
    char *labels[] = {a, b};
    struct bp_error error = {0};
    const struct schema_fit_target target = {.column = 2, .labels = labels, .labels_count = 2};
    const struct schema_fit how = {
        .dataset = loaded->data, .columns = columns, .columns_count = 2, .targets = &target, .targets_count = 1, .rows = rows, .n = n};
    struct schema_preprocessing *p = schema_preprocessing_fit(&how, &error);
    ck_assert_msg(p != NULL, "%s", error.message);
    return p;
}

START_TEST(numbers_by_hand) {
    struct loaded loaded = load_csv(colours_csv, NULL);
    int64_t rows[] = {0, 2, 5}; /* x: 1, 3, missing; colours red, red, green */
    struct schema_preprocessing *p = fit(&loaded, rows, 3);
    ck_assert_double_eq(p->features[0].mean, 2);
    ck_assert_double_eq(p->features[0].std, 1);
    ck_assert(p->features[0].indicator);
    ck_assert_int_eq(p->features[1].categories_count, 2);
    ck_assert_str_eq(p->features[1].categories[0], "red");
    ck_assert_str_eq(p->features[1].categories[1], "green");
    ck_assert_int_eq(p->width, 5); /* x, is x missing, red, green, unseen */
    float out[5], *at[] = {out};
    struct schema_feature_value cells[2] = {{.kind = SCHEMA_VALUE_NUMBER, .number = 4.5}, {.kind = SCHEMA_VALUE_CATEGORY, .category = 1}};
    schema_transform(p, cells, at);
    ck_assert_mem_eq(out, ((float[]){2.5f, 0, 0, 1, 0}), sizeof out);
    cells[0].kind = SCHEMA_VALUE_MISSING;
    cells[1].category = -1;
    schema_transform(p, cells, at);
    ck_assert_mem_eq(out, ((float[]){0, 1, 0, 0, 1}), sizeof out);
    cells[1].kind = SCHEMA_VALUE_MISSING;
    schema_transform(p, cells, at);
    ck_assert_mem_eq(out, ((float[]){0, 1, 0, 0, 1}), sizeof out);
    schema_preprocessing_free(p);
    loaded_clear(&loaded);
}
END_TEST

START_TEST(rows_left_out_do_not_leak) {
    struct loaded loaded = load_csv(colours_csv, NULL),
                  other = load_csv("x,colour,label\n1,red,a\n2,green,b\n3,red,a\n4000,violet,b\n,green,a\n", NULL);
    int64_t rows[] = {0, 1, 2};
    struct schema_preprocessing *a = fit(&loaded, rows, 3), *b = fit(&other, rows, 3);
    json_t *x = schema_preprocessing_encode(a), *y = schema_preprocessing_encode(b);
    ck_assert(json_equal(x, y));
    json_decref(x);
    json_decref(y);
    schema_preprocessing_free(a);
    schema_preprocessing_free(b);
    loaded_clear(&loaded);
    loaded_clear(&other);
}
END_TEST

START_TEST(read_back_to_the_same_bits) {
    struct loaded loaded = load_csv(colours_csv, NULL);
    struct bp_error error = {0};
    int64_t rows[] = {0, 1, 3, 5, 7, 8, 10};
    struct schema_preprocessing *p = fit(&loaded, rows, 7);
    json_t *json = schema_preprocessing_encode(p);
    char *text = json_dumps(json, JSON_COMPACT);
    json_t *read = json_loads(text, 0, NULL);
    struct schema_preprocessing *q = schema_preprocessing_decode(read, &error);
    ck_assert_msg(q != NULL, "%s", error.message);
    ck_assert(p->features[0].mean == q->features[0].mean && p->features[0].std == q->features[0].std);
    struct schema_view *u = schema_view_new(p, loaded.data, true, &error), *v = schema_view_new(q, loaded.data, true, &error);
    for (int64_t row = 0; row < loaded.data->rows; row++) {
        float a[8] = {0}, b[8] = {0}, *at_a[] = {a}, *at_b[] = {b};
        schema_view_rows(u, &row, 1, NULL, at_a);
        schema_view_rows(v, &row, 1, NULL, at_b);
        ck_assert_mem_eq(a, b, sizeof a);
    }
    schema_view_free(u);
    schema_view_free(v);
    schema_preprocessing_free(p);
    schema_preprocessing_free(q);
    json_decref(json);
    json_decref(read);
    free(text);
    loaded_clear(&loaded);
}
END_TEST

START_TEST(categories_normalise_numbers) {
    struct loaded loaded = load_csv("k,y\n6.0,a\n7,b\n6,a\n1e1,b\n", "k:categorical");
    static const int32_t column = 0;
    static char a[] = "a", b[] = "b";
    char *labels[] = {a, b};
    struct bp_error error = {0};
    int64_t rows[] = {0, 1, 2, 3};
    const struct schema_fit_target target = {.column = 1, .labels = labels, .labels_count = 2};
    const struct schema_fit how = {
        .dataset = loaded.data, .columns = &column, .columns_count = 1, .targets = &target, .targets_count = 1, .rows = rows, .n = 4};
    struct schema_preprocessing *p = schema_preprocessing_fit(&how, &error);
    const struct schema_feature *f = &p->features[0];
    ck_assert_int_eq(f->categories_count, 3);
    ck_assert_str_eq(f->categories[0], "6.0");
    ck_assert_int_eq(schema_feature_category(f, "6", 1), 0);
    ck_assert_int_eq(schema_feature_category(f, "6.00", 4), 0);
    ck_assert_int_eq(schema_feature_category(f, "10", 2), 2);
    ck_assert_int_eq(schema_feature_category(f, "8", 1), -1);
    ck_assert_int_eq(schema_feature_category(f, "", 0), -1);
    schema_preprocessing_free(p);
    loaded_clear(&loaded);
}
END_TEST

START_TEST(a_constant_column_is_harmless) {
    struct loaded loaded = load_csv("x,y\n5,1.5\n5,2.5\n5,3.5\n", NULL);
    static const int32_t column = 0;
    struct bp_error error = {0};
    int64_t rows[] = {0, 1, 2};
    const struct schema_fit_target target = {.column = 1};
    const struct schema_fit how = {
        .dataset = loaded.data, .columns = &column, .columns_count = 1, .targets = &target, .targets_count = 1, .rows = rows, .n = 3};
    struct schema_preprocessing *p = schema_preprocessing_fit(&how, &error);
    ck_assert_double_eq(p->features[0].std, 1);
    ck_assert_double_eq(p->targets[0].mean, 2.5);
    ck_assert_double_eq_tol(p->targets[0].std, sqrt(2.0 / 3.0), 1e-15);
    struct schema_view *view = schema_view_new(p, loaded.data, true, &error);
    ck_assert_double_eq_tol(schema_view_target(view, 0, 0), -1 / sqrt(2.0 / 3.0), 1e-15);
    schema_view_free(view);
    schema_preprocessing_free(p);
    loaded_clear(&loaded);
}
END_TEST

START_TEST(damaged_documents_are_refused) {
    static const char *const texts[] = {"{}",
                                        "{\"features\":[],\"target\":{\"name\":\"y\"}}",
                                        "{\"features\":[{\"name\":\"x\",\"type\":\"numeric\",\"mean\":0,\"std\":0}],\"target\":{\"name\":\"y\","
                                        "\"task\":\"regression\",\"mean\":0,\"std\":1}}",
                                        "{\"features\":[{\"name\":\"x\",\"type\":\"tensor\",\"mean\":0,\"std\":1,\"shape\":[-1]}],\"target\":{"
                                        "\"name\":\"y\",\"task\":\"regression\",\"mean\":0,\"std\":1}}",
                                        "{\"features\":[{\"name\":\"x\",\"type\":\"categorical\",\"categories\":[1]}],\"target\":{\"name\":\"y\","
                                        "\"task\":\"regression\",\"mean\":0,\"std\":1}}",
                                        "{\"features\":[],\"target\":{\"name\":\"y\",\"task\":\"classification\",\"labels\":[\"a\"]}}"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct bp_error error = {0};
        json_t *json = json_loads(texts[i], 0, NULL);
        ck_assert_ptr_null(schema_preprocessing_decode(json, &error));
        ck_assert_str_ne(error.message, "");
        json_decref(json);
    }
}
END_TEST

Suite *suite_schema_preprocessing(void) {
    Suite *suite = suite_create("schema/preprocessing");
    TCase *tests = tcase_create("preprocessing");
    tcase_add_test(tests, numbers_by_hand);
    tcase_add_test(tests, rows_left_out_do_not_leak);
    tcase_add_test(tests, read_back_to_the_same_bits);
    tcase_add_test(tests, categories_normalise_numbers);
    tcase_add_test(tests, a_constant_column_is_harmless);
    tcase_add_test(tests, damaged_documents_are_refused);
    suite_add_tcase(suite, tests);
    return suite;
}

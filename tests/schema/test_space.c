/* test_space.c - the space of a sweep: draws against their distributions (Kolmogorov-Smirnov at 1 %), grids in order, and what is written where. */
#include "schema/sweep/space.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

Suite *suite_schema_space(void);

enum { DRAWS = 20000 };
static struct schema_space space;
static struct schema_problems problems;

static void decode(const char *text) {
    json_t *json = json_loads(text, 0, NULL);
    ck_assert_ptr_nonnull(json);
    schema_space_decode(json, "/space", &space, &problems);
    json_decref(json);
}

static void clear(void) {
    schema_space_clear(&space);
    schema_problems_clear(&problems);
}

static int by_value(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The draws of an axis, sorted. */
static double *draws(const char *name) {
    double *values = malloc(DRAWS * sizeof *values);
    ck_assert_ptr_nonnull(values);
    for (int i = 0; i < DRAWS; i++) {
        json_t *point = schema_space_draw(&space, 42, i);
        values[i] = json_number_value(json_object_get(point, name));
        json_decref(point);
    }
    qsort(values, DRAWS, sizeof *values, by_value);
    return values;
}

static double uniform(double v) {
    return (v + 2) / 5;
}

static double log_uniform(double v) {
    return log(v / 1e-5) / log(1e6);
}

static double statistic(const double *values, double (*cdf)(double)) {
    double most = 0;
    for (int i = 0; i < DRAWS; i++) {
        const double p = cdf(values[i]);
        most = fmax(most, fmax(fabs(p - (double)i / DRAWS), fabs(p - (double)(i + 1) / DRAWS)));
    }
    return most;
}

START_TEST(draws_have_their_distributions) {
    decode("{\"a\":{\"range\":[-2.0,3]},\"b\":{\"log_range\":[0.00001,10.0]},\"c\":{\"range\":[3,12]},\"d\":{\"choice\":[0,1,2]},\"e\":{\"log_"
           "range\":[1,999]},"
           "\"f\":{\"range\":[0,1],\"step\":0.25}}");
    ck_assert_int_eq(problems.total, 0);
    double *a = draws("a"), *b = draws("b"), *c = draws("c"), *d = draws("d"), *e = draws("e"), *f = draws("f");
    ck_assert_double_lt(statistic(a, uniform), 1.63 / sqrt(DRAWS));
    ck_assert_double_lt(statistic(b, log_uniform), 1.63 / sqrt(DRAWS));
    ck_assert(a[0] >= -2 && a[DRAWS - 1] <= 3 && b[0] >= 1e-5 && b[DRAWS - 1] <= 10);
    int counts[13] = {0}, choices[3] = {0}, low = 0;
    for (int i = 0; i < DRAWS; i++) {
        ck_assert(c[i] == floor(c[i]) && c[i] >= 3 && c[i] <= 12 && e[i] == floor(e[i]) && e[i] >= 1 && e[i] <= 999 && 4 * f[i] == floor(4 * f[i]));
        counts[(int)c[i]]++;
        choices[(int)d[i]]++;
        low += e[i] < 10;
    }
    for (int k = 3; k <= 12; k++) ck_assert(abs(counts[k] - DRAWS / 10) < 4 * sqrt(DRAWS * 0.09));
    for (int k = 0; k < 3; k++) ck_assert(abs(choices[k] - DRAWS / 3) < 4 * sqrt(DRAWS * 2.0 / 9));
    ck_assert(abs(low - DRAWS / 3) < 4 * sqrt(DRAWS * 2.0 / 9)); /* a third of [1, 1000) in the logarithm */
    free(a), free(b), free(c), free(d), free(e), free(f);
    clear();
}
END_TEST

START_TEST(a_grid_is_counted_and_ordered) {
    decode("{\"a\":{\"choice\":[1,2]},\"b.c\":{\"range\":[0.5,1.5],\"points\":3}}");
    ck_assert_int_eq(schema_space_grid(&space, "/space", &problems), 6);
    const char *const expected[] = {"{\"a\": 1, \"b.c\": 0.5}", "{\"a\": 1, \"b.c\": 1}", "{\"a\": 1, \"b.c\": 1.5}",
                                    "{\"a\": 2, \"b.c\": 0.5}", "{\"a\": 2, \"b.c\": 1}", "{\"a\": 2, \"b.c\": 1.5}"};
    for (int i = 0; i < 6; i++) {
        json_t *point = schema_space_point(&space, i);
        char *text = json_dumps(point, JSON_REAL_PRECISION(6));
        ck_assert_str_eq(text, expected[i]);
        free(text);
        json_decref(point);
    }
    clear();
    char huge[4000] = "{";
    for (int i = 0; i < 32; i++) {
        const size_t at = strlen(huge);
        snprintf(huge + at, sizeof huge - at, "%s\"p%d\":{\"range\":[1,1000],\"step\":1}", i ? "," : "", i);
    }
    const size_t at = strlen(huge);
    snprintf(huge + at, sizeof huge - at, "}");
    decode(huge);
    ck_assert_int_eq(problems.total, 0);
    ck_assert_int_eq(schema_space_grid(&space, "/space", &problems), INT64_MAX);
    clear();
}
END_TEST

/* Base document, space, parameters, result; "" for one that cannot be written. */
static const char *const applied[][4] = {
    {"{}", "{\"optimizer.learning_rate\":{\"choice\":[1]}}", "{\"optimizer.learning_rate\":1}",
     "{\"optimizer\": {\"type\": \"adam\", \"learning_rate\": 1}}"},
    {"{\"optimizer\":\"sgd\"}", "{\"/optimizer/momentum\":{\"choice\":[1]}}", "{\"/optimizer/momentum\":1}",
     "{\"optimizer\": {\"type\": \"sgd\", \"momentum\": 1}}"},
    {"{\"columns\":{}}", "{\"/columns/a.b~1c~0d/scale\":{\"choice\":[1]}}", "{\"/columns/a.b~1c~0d/scale\":1}",
     "{\"columns\": {\"a.b/c~d\": {\"scale\": 1}}}"},
    {"{\"model\":{\"layers\":[{\"units\":1},\"flatten\"]}}", "{\"model.layers.0.units\":{\"choice\":[1]},\"model.layers.1.x\":{\"choice\":[1]}}",
     "{\"model.layers.0.units\":7,\"model.layers.1.x\":8}", "{\"model\": {\"layers\": [{\"units\": 7}, {\"type\": \"flatten\", \"x\": 8}]}}"},
    {"{\"model\":{\"layers\":[{}]}}", "{\"model.layers.1.units\":{\"choice\":[1]}}", "{\"model.layers.1.units\":7}", ""},
    {"{\"model\":{\"layers\":[{}]}}", "{\"model.layers.-1.units\":{\"choice\":[1]}}", "{\"model.layers.-1.units\":7}", ""},
    {"{\"epochs\":3}", "{\"epochs.x\":{\"choice\":[1]}}", "{\"epochs.x\":7}", ""},
};

START_TEST(parameters_are_written_where_the_path_leads) {
    const char *const *row = applied[_i];
    json_t *job = json_loads(row[0], 0, NULL), *parameters = json_loads(row[2], 0, NULL);
    decode(row[1]);
    ck_assert_int_eq(problems.total, 0);
    const int failed = schema_space_apply(&space, parameters, "/space", job, &problems);
    ck_assert_int_eq(failed, *row[3] ? 0 : -1);
    ck_assert_int_eq(problems.total, failed ? 1 : 0);
    char *text = json_dumps(job, 0);
    if (!failed) ck_assert_str_eq(text, row[3]);
    free(text);
    json_decref(job);
    json_decref(parameters);
    clear();
}
END_TEST

START_TEST(problems_find_their_axis) {
    decode("{\"optimizer.learning_rate\":{\"choice\":[1]},\"model.layers.0\":{\"choice\":[{}]}}");
    ck_assert_int_eq(schema_space_axis_at(&space, "/optimizer/learning_rate"), 0);
    ck_assert_int_eq(schema_space_axis_at(&space, "/model/layers/0/units"), 1);
    ck_assert_int_eq(schema_space_axis_at(&space, "/model/layers/01"), -1);
    ck_assert_int_eq(schema_space_axis_at(&space, "/optimizer"), -1);
    clear();
}
END_TEST

Suite *suite_schema_space(void) {
    Suite *suite = suite_create("schema/space");
    TCase *tests = tcase_create("space");
    tcase_add_test(tests, draws_have_their_distributions);
    tcase_add_test(tests, a_grid_is_counted_and_ordered);
    tcase_add_loop_test(tests, parameters_are_written_where_the_path_leads, 0, (int)(sizeof applied / sizeof *applied));
    tcase_add_test(tests, problems_find_their_axis);
    suite_add_tcase(suite, tests);
    return suite;
}

/* test_inputs.c - "numbers" and "categories": which columns give them what, in training, in predictions, in folds, in models read back. */
#include "schema/predict/predict.h"
#include "schema/preprocessing/feature.h"
#include "schema/text/text.h"
#include "tests/schema/training_support.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

Suite *suite_schema_inputs(void);

/* x has a missing cell in the training rows, z has none. */
static const char mixed_csv[] = "x,day,colour,z,flag,label\n1,1970-01-01,red,10,true,a\n2,1970-01-02,green,20,false,b\n3,1970-01-03,red,30,true,a\n"
                                ",1970-01-04,green,40,false,b\n5,1970-01-05,red,50,true,a\n6,1970-01-06,green,60,false,b\n";
#define BOTH                                                                                                                                         \
    "{\"layers\":[{\"type\":\"dense\",\"units\":4,\"inputs\":[\"numbers\"],\"name\":\"n\"},{\"type\":\"dense\",\"units\":4,\"inputs\":["             \
    "\"categories\"],\"name\":\"c\"},{\"type\":\"concatenate\",\"inputs\":[\"n\",\"c\"]}]}"
#define ONE(input) "{\"layers\":[{\"type\":\"dense\",\"units\":4,\"activation\":\"relu\",\"inputs\":[\"" input "\"]}]}"
#define ALL        "{\"target\":\"label\",\"validation\":{\"fraction\":0},\"seed\":1}"

static void refused(const char *csv, const char *definition, const char *job, const char *said) {
    struct resolved r = resolve_text(csv, definition, job);
    ck_assert_ptr_null(r.training);
    ck_assert_msg(strstr(first_problem(&r), said) != NULL, "%s\nlacks %s", first_problem(&r), said);
    resolved_clear(&r);
}

/* The inputs of a row of the dataset. */
static void row_of(const struct schema_preprocessing *p, const struct schema_dataset *d, int64_t row, float *numbers, float *categories) {
    struct bp_error error = {0};
    struct schema_view *view = schema_view_new(p, d, true, &error);
    ck_assert_ptr_nonnull(view);
    schema_view_rows(view, &row, 1, NULL, (float *[]){numbers, categories});
    schema_view_free(view);
}

START_TEST(columns_are_split) {
    struct resolved r = resolve_text(mixed_csv, BOTH, ALL), whole = resolve_text(mixed_csv, "{\"layers\":[]}", ALL);
    ck_assert_msg(r.training != NULL, "%s", first_problem(&r));
    const struct schema_preprocessing *p = r.training->preprocessing;
    ck_assert_int_eq(p->inputs_count, 2);
    ck_assert_str_eq(p->inputs[0].name, "numbers");
    ck_assert_str_eq(p->inputs[1].name, "categories");
    ck_assert_int_eq(p->inputs[0].shape.dims[0], 3); /* x, the seconds of day, z */
    ck_assert_int_eq(p->inputs[1].shape.dims[0], 9); /* is x missing; sine and cosine of year and week; red, green, other; flag */
    ck_assert_int_eq(p->width, whole.training->preprocessing->width);
    float one[12], numbers[3], categories[9];
    for (int64_t row = 0; row < 6; row++) {
        row_of(whole.training->preprocessing, r.loaded.data, row, one, NULL);
        row_of(p, r.loaded.data, row, numbers, categories);
        ck_assert_mem_eq(numbers, ((float[]){one[0], one[2], one[10]}), sizeof numbers);
        ck_assert_mem_eq(categories, ((float[]){one[1], one[3], one[4], one[5], one[6], one[7], one[8], one[9], one[11]}), sizeof categories);
    }
    resolved_clear(&r);
    resolved_clear(&whole);
}
END_TEST

START_TEST(a_cell_goes_where_its_row_does) {
    struct resolved r = resolve_text(mixed_csv, BOTH, ALL);
    ck_assert_msg(r.training != NULL, "%s", first_problem(&r));
    const struct schema_preprocessing *p = r.training->preprocessing;
    struct schema_feature_value cells[5] = {{.kind = SCHEMA_VALUE_MISSING},
                                            {.kind = SCHEMA_VALUE_NUMBER, .number = 3 * 86400},
                                            {.kind = SCHEMA_VALUE_CATEGORY, .category = 1},
                                            {.kind = SCHEMA_VALUE_NUMBER, .number = 40},
                                            {.kind = SCHEMA_VALUE_NUMBER, .number = 0}};
    float numbers[3], categories[9], u[3], v[9];
    schema_transform(p, cells, (float *[]){u, v});
    row_of(p, r.loaded.data, 3, numbers, categories);
    ck_assert_mem_eq(numbers, u, sizeof u);
    ck_assert_mem_eq(categories, v, sizeof v);
    ck_assert_float_eq(v[0], 1);
    resolved_clear(&r);
}
END_TEST

START_TEST(read_back_to_the_same_inputs) {
    struct resolved r = resolve_text(mixed_csv, BOTH, ALL);
    struct bp_error error = {0};
    ck_assert_msg(r.training != NULL, "%s", first_problem(&r));
    json_t *json = schema_preprocessing_encode(r.training->preprocessing);
    struct schema_preprocessing *q = schema_preprocessing_decode(json, &error);
    ck_assert_msg(q != NULL, "%s", error.message);
    float numbers[3], categories[9], u[3], v[9];
    row_of(r.training->preprocessing, r.loaded.data, 3, numbers, categories);
    row_of(q, r.loaded.data, 3, u, v);
    ck_assert_mem_eq(numbers, u, sizeof u);
    ck_assert_mem_eq(categories, v, sizeof v);
    schema_preprocessing_free(q);
    json_object_set_new(json, "inputs", json_pack("[s]", "texts"));
    ck_assert_ptr_null(schema_preprocessing_decode(json, &error));
    json_decref(json);
    resolved_clear(&r);
}
END_TEST

START_TEST(one_of_the_two_is_read) {
    struct resolved r = resolve_text(mixed_csv, ONE("numbers"), ALL);
    ck_assert_msg(r.training != NULL, "%s", first_problem(&r));
    ck_assert_int_eq(r.training->preprocessing->inputs_count, 2);
    ck_assert_str_eq(
        json_string_value(json_array_get(r.training->warnings, 1)),
        "no layer reads the input \"categories\": what it holds of the columns has no effect; name it in the \"inputs\" of a layer, or leave it "
        "out of features");
    resolved_clear(&r);
    r = resolve_text("a,b,k\n1,2,u\n2,1,v\n3,3,u\n4,0,v\n", ONE("numbers"), "{\"target\":\"k\",\"seed\":1}");
    ck_assert_msg(r.training != NULL, "%s", first_problem(&r));
    ck_assert_int_eq(r.training->preprocessing->inputs_count, 1);
    ck_assert_uint_eq(json_array_size(r.training->warnings), 1);
    resolved_clear(&r);
    r = resolve_text("a,b,k\n1,2,u\n2,1,v\n3,3,u\n4,0,v\n", "{\"layers\":[],\"inputs\":{\"numbers\":{\"shape\":[2]}}}",
                     "{\"target\":\"k\",\"seed\":1}");
    ck_assert_msg(r.training != NULL, "%s", first_problem(&r));
    ck_assert_str_eq(r.training->preprocessing->inputs[0].name, "numbers");
    resolved_clear(&r);
}
END_TEST

START_TEST(an_input_without_numbers_is_refused) {
    refused("a,k\n1,u\n2,v\n3,u\n4,v\n", ONE("categories"), "{\"target\":\"k\",\"seed\":1}",
            "/model/layers/0/inputs: the input \"categories\" would be empty: all features of this job are numbers without missing values: read "
            "\"numbers\" alone, or add such a feature");
    refused(
        mixed_csv, BOTH, "{\"target\":\"label\",\"features\":[\"colour\"],\"seed\":1}",
        "/model/layers/0/inputs: the input \"numbers\" would be empty: no feature of this job is numeric or a date: read \"categories\" alone, or "
        "add a feature of numbers");
    refused("a,k\n1,u\n2,v\n3,u\n4,v\n", "{\"layers\":[],\"inputs\":{\"categories\":{\"shape\":[2]}}}", "{\"target\":\"k\",\"seed\":1}",
            "/model/inputs/categories: the input \"categories\" would be empty");
    refused(mixed_csv, "{\"layers\":[{\"type\":\"concatenate\",\"inputs\":[\"numbers\",\"features\"]}]}", ALL, "numbers");
}
END_TEST

/* A tensor column or a layer of that name is meant, not the split. */
START_TEST(names_that_are_taken) {
    struct resolved r =
        resolve_json("{\"columns\":{\"numbers\":[[1,2],[2,1],[3,3],[4,0]],\"c\":[\"p\",\"q\",\"p\",\"q\"],\"k\":[\"u\",\"v\",\"u\",\"v\"]}}",
                     ONE("numbers"), "{\"target\":\"k\",\"seed\":1}");
    ck_assert_msg(r.training != NULL, "%s", first_problem(&r));
    ck_assert_uint_eq(r.training->preprocessing->split, 0);
    ck_assert_str_eq(r.training->preprocessing->inputs[0].name, "features");
    resolved_clear(&r);
    r = resolve_text(mixed_csv,
                     "{\"layers\":[{\"type\":\"dense\",\"units\":4,\"name\":\"numbers\"},{\"type\":\"dense\",\"units\":3,\"inputs\":[\"numbers\"]}]}",
                     ALL);
    ck_assert_msg(r.training != NULL, "%s", first_problem(&r));
    ck_assert_uint_eq(r.training->preprocessing->split, 0);
    resolved_clear(&r);
}
END_TEST

/* Only row 1 lacks x: the fold that leaves it out has no indicator, and its "categories" is a single 0. */
START_TEST(a_fold_without_categories) {
    struct resolved r =
        resolve_text("x,y\n,1.5\n2,2.5\n3,4.5\n4,3.5\n5,0.5\n6,1\n", BOTH, "{\"target\":\"y\",\"validation\":{\"folds\":3},\"seed\":1}");
    struct schema_options options = r.training ? r.training->options : (struct schema_options){0};
    int32_t without = 0;
    ck_assert_msg(r.training != NULL, "%s", first_problem(&r));
    json_t *definition = schema_definition_encode(r.training->definition), *job = json_pack("{s:s}", "target", "y");
    for (int32_t fold = 1; fold <= 3; fold++) {
        struct schema_training_request request;
        struct schema_problems problems = {0};
        ck_assert_int_eq(schema_training_request_decode(job, "", &request, &problems), 0);
        request.fold = fold;
        struct schema_training *t =
            schema_training_resolve(schema_definition_decode(definition, "", NULL, &problems), &options, r.loaded.data, &request, &problems);
        ck_assert_msg(t != NULL, "%s", problems.count ? problems.items[0].detail : "");
        ck_assert_int_eq(t->preprocessing->inputs_count, 2);
        ck_assert_int_eq(t->preprocessing->inputs[1].shape.dims[0], 1);
        float x, c;
        if (t->preprocessing->empty) {
            without++;
            json_t *json = schema_preprocessing_encode(t->preprocessing);
            struct schema_preprocessing *q = schema_preprocessing_decode(json, NULL);
            ck_assert_ptr_nonnull(q);
            c = 7;
            row_of(q, r.loaded.data, 0, &x, &c);
            ck_assert_float_eq(c, 0);
            c = 7;
            schema_transform(q, &(struct schema_feature_value){.kind = SCHEMA_VALUE_NUMBER, .number = 3}, (float *[]){&x, &c});
            ck_assert_float_eq(c, 0);
            schema_preprocessing_free(q);
            json_decref(json);
        }
        schema_training_free(t);
        schema_problems_clear(&problems);
    }
    ck_assert_int_eq(without, 1);
    json_decref(definition);
    json_decref(job);
    resolved_clear(&r);
}
END_TEST

static struct schema_training_outline outline_of(const char *csv, const char *job) {
    struct loaded loaded = load_csv(csv, NULL);
    struct schema_problems problems = {0};
    struct schema_options options;
    struct schema_training_request request;
    struct schema_training_outline outline;
    json_t *json = json_loads(job, 0, NULL);
    schema_options_decode(json, "", schema_training_request_names, &options, &problems);
    schema_training_request_decode(json, "", &request, &problems);
    const int result = schema_training_outline(&options, loaded.data, &request, &outline, &problems);
    ck_assert_int_eq(result, problems.total ? -1 : 0);
    if (result != 0) outline.rows = -1;
    schema_problems_clear(&problems);
    json_decref(json);
    loaded_clear(&loaded);
    return outline;
}

START_TEST(an_outline_before_there_is_a_definition) {
    const struct schema_training_outline mixed = outline_of(mixed_csv, ALL),
                                         numbers = outline_of("a,b,y\n1,2,1.5\n2,1,2.5\n3,3,1\n4,0,0\n5,5,9\n", "{\"target\":\"y\",\"seed\":1}");
    ck_assert_int_eq(mixed.rows, 6);
    ck_assert_int_eq(mixed.numbers, 3);
    ck_assert_int_eq(mixed.categories, 9);
    ck_assert_int_eq(mixed.own_inputs, 0);
    ck_assert_int_eq(mixed.classes, 2);
    ck_assert_int_eq(numbers.rows, 4);
    ck_assert_int_eq(numbers.numbers, 2);
    ck_assert_int_eq(numbers.categories, 0);
    ck_assert_int_eq(numbers.classes, 0);
    ck_assert_int_eq(outline_of(mixed_csv, "{\"target\":\"nothing\",\"seed\":1}").rows, -1);
}
END_TEST

Suite *suite_schema_inputs(void) {
    Suite *suite = suite_create("schema_inputs");
    TCase *tcase = tcase_create("inputs");
    tcase_add_test(tcase, columns_are_split);
    tcase_add_test(tcase, a_cell_goes_where_its_row_does);
    tcase_add_test(tcase, read_back_to_the_same_inputs);
    tcase_add_test(tcase, one_of_the_two_is_read);
    tcase_add_test(tcase, an_input_without_numbers_is_refused);
    tcase_add_test(tcase, names_that_are_taken);
    tcase_add_test(tcase, a_fold_without_categories);
    tcase_add_test(tcase, an_outline_before_there_is_a_definition);
    suite_add_tcase(suite, tcase);
    return suite;
}

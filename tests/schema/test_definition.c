/* test_definition.c - definitions and options from JSON and back; every mistake at its pointer, all at once. */
#include "schema/catalog/catalog.h"
#include "schema/definition/definition.h"
#include "schema/json/values.h"
#include "schema/training/options.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

Suite *suite_schema_definition(void);

/* Problems of a definition, one "pointer: detail" per line. Borrowed. */
static const char *problems_of(const char *text) {
    static char out[4000];
    struct schema_problems problems = {0};
    json_t *json = json_loads(text, JSON_DECODE_ANY, NULL);
    ck_assert_ptr_nonnull(json);
    struct schema_definition *definition = schema_definition_decode(json, "", NULL, &problems);
    ck_assert((definition == NULL) == (problems.total > 0));
    schema_definition_free(definition);
    json_decref(json);
    size_t n = 0;
    out[0] = '\0';
    for (int32_t i = 0; i < problems.count; i++)
        n += (size_t)snprintf(out + n, sizeof out - n, "%s%s: %s", i ? "\n" : "", problems.items[i].pointer, problems.items[i].detail);
    schema_problems_clear(&problems);
    return out;
}

START_TEST(good_ones) {
    ck_assert_str_eq(problems_of("{\"layers\":[]}"), "");
    ck_assert_str_eq(problems_of("{\"layers\":[{\"type\":\"dense\",\"units\":3}]}"), "");
    ck_assert_str_eq(
        problems_of("{\"layers\":[\"flatten\",{\"type\":\"dense\",\"units\":3,\"activation\":{\"type\":\"leaky_relu\",\"negative_slope\":0.1}}]}"),
        "");
    ck_assert_str_eq(problems_of("{\"inputs\":{\"a\":{\"shape\":[2,3]}},\"layers\":[{\"type\":\"flatten\",\"inputs\":\"a\",\"name\":\"f\"},{\"type\":"
                                 "\"dense\",\"units\":2,\"inputs\":[\"f\"]}],"
                                 "\"outputs\":[\"dense_1\"],\"metrics\":[\"accuracy\"],\"loss\":\"cross_entropy\"}"),
                     "");
}
END_TEST

START_TEST(all_mistakes_at_once) {
    const char *said = problems_of("{\"layers\":[{\"type\":\"dens\",\"units\":3},{\"type\":\"dense\",\"units\":\"x\"},{\"type\":\"dropout\",\"rate\":"
                                   "1},{\"type\":\"dense\",\"unit\":3},5],\"los\":\"mse\"}");
    ck_assert_ptr_nonnull(strstr(said, "/los: unknown field \"los\", did you mean \"loss\"?"));
    ck_assert_ptr_nonnull(strstr(said, "/layers/0/type: there is no layer \"dens\", did you mean \"dense\"?"));
    ck_assert_ptr_nonnull(strstr(said, "/layers/1/units: units must be an integer of at least 1"));
    ck_assert_ptr_nonnull(strstr(said, "got the string \"x\""));
    ck_assert_ptr_nonnull(strstr(said, "/layers/2/rate: rate must be a number"));
    ck_assert_ptr_nonnull(strstr(said, "/layers/3/unit: unknown field \"unit\", did you mean \"units\"?"));
    ck_assert_ptr_nonnull(strstr(said, "/layers/3: dense needs \"units\""));
    ck_assert_ptr_nonnull(strstr(said, "/layers/4: expected the name of a layer, or an object with its \"type\", got 5"));
}
END_TEST

START_TEST(wiring_is_checked_without_data) {
    /* names that the network gives are no inputs */
    ck_assert_str_eq(problems_of("{\"layers\":[{\"type\":\"conv2d\",\"filters\":4,\"kernel_size\":3,\"padding\":\"same\"},{\"type\":\"conv2d\","
                                 "\"filters\":4,\"kernel_size\":1},{\"type\":\"add\",\"inputs\":[\"conv2d_1\",\"conv2d_2\"]}]}"),
                     "");
    ck_assert_ptr_nonnull(strstr(problems_of("{\"layers\":[{\"type\":\"dense\",\"units\":2,\"name\":\"a\",\"inputs\":[\"b\"]},{\"type\":\"dense\","
                                             "\"units\":2,\"name\":\"b\",\"inputs\":[\"a\"]}]}"),
                                 "cycle"));
    ck_assert_ptr_nonnull(
        strstr(problems_of("{\"inputs\":{\"x\":{\"shape\":[4]}},\"layers\":[{\"type\":\"dense\",\"units\":2,\"inputs\":[\"y\"]}]}"), "\"y\""));
    ck_assert_ptr_nonnull(
        strstr(problems_of("{\"inputs\":{\"x\":{\"shape\":[4]}},\"layers\":[{\"type\":\"reshape\",\"target_shape\":[3]}]}"), "(4)"));
}
END_TEST

START_TEST(written_out_and_read_back) {
    struct schema_problems problems = {0};
    json_t *json =
        json_loads("{\"layers\":[{\"type\":\"dense\",\"units\":3,\"activation\":\"elu\"}],\"loss\":\"mse\",\"metrics\":[\"mae\"]}", 0, NULL);
    struct schema_definition *first = schema_definition_decode(json, "", NULL, &problems);
    json_t *once = schema_definition_encode(first);
    struct schema_definition *second = schema_definition_decode(once, "", NULL, &problems);
    json_t *twice = schema_definition_encode(second);
    ck_assert_int_eq(problems.total, 0);
    ck_assert(json_equal(once, twice));
    char *text = json_dumps(json_array_get(json_object_get(once, "layers"), 0), JSON_COMPACT);
    ck_assert_str_eq(text, "{\"type\":\"dense\",\"units\":3,\"activation\":{\"type\":\"elu\",\"alpha\":1},\"use_bias\":true,\"kernel_initializer\":"
                           "\"auto\",\"bias_initializer\":\"zeros\",\"parametrization\":\"standard\",\"data_dependent\":false}");
    free(text);
    json_decref(json);
    json_decref(once);
    json_decref(twice);
    schema_definition_free(first);
    schema_definition_free(second);
}
END_TEST

static const char *option_problem(const char *text) {
    static char out[600];
    struct schema_problems problems = {0};
    struct schema_options options;
    json_t *json = json_loads(text, 0, NULL);
    schema_options_decode(json, "", NULL, &options, &problems);
    snprintf(out, sizeof out, "%s", problems.count ? problems.items[0].pointer : "");
    schema_problems_clear(&problems);
    json_decref(json);
    return out;
}

/* Integers with a default, and a choice that may be integers instead: written as they are held, and read back the same. */
START_TEST(integers_are_read_back) {
    const char *text = "{\"layers\":[{\"type\":\"conv2d\",\"filters\":2,\"kernel_size\":[3,2],\"padding\":1},{\"type\":\"conv2d\",\"filters\":2,"
                       "\"kernel_size\":3,\"padding\":\"same\",\"strides\":[2,1]}]}";
    struct schema_problems problems = {0};
    json_t *json = json_loads(text, 0, NULL);
    struct schema_definition *definition = schema_definition_decode(json, "", NULL, &problems);
    ck_assert_ptr_nonnull(definition);
    json_t *first = schema_definition_encode(definition);
    const json_t *layers = json_object_get(first, "layers");
    char *one = json_dumps(json_object_get(json_array_get(layers, 0), "padding"), JSON_COMPACT | JSON_ENCODE_ANY);
    char *two = json_dumps(json_object_get(json_array_get(layers, 1), "padding"), JSON_COMPACT | JSON_ENCODE_ANY);
    char *strides = json_dumps(json_object_get(json_array_get(layers, 0), "strides"), JSON_COMPACT);
    ck_assert_str_eq(one, "[1]");
    ck_assert_str_eq(two, "\"same\"");
    ck_assert_str_eq(strides, "[1]");
    struct schema_definition *again = schema_definition_decode(first, "", NULL, &problems);
    ck_assert_ptr_nonnull(again);
    json_t *second = schema_definition_encode(again);
    ck_assert(json_equal(first, second));
    ck_assert_str_eq(problems_of("{\"layers\":[{\"type\":\"conv2d\",\"filters\":2,\"kernel_size\":3,\"padding\":\"sane\"}]}"),
                     "/layers/0/padding: padding must be one of \"valid\", \"same\", or integers, got the string \"sane\", did you mean \"same\"?");
    ck_assert_str_eq(problems_of("{\"layers\":[{\"type\":\"conv1d\",\"filters\":2,\"kernel_size\":3,\"padding\":-1}]}"),
                     "/layers/0/padding: padding must be a list of integers, each of at least 0 and at most 4096, got -1");
    ck_assert_str_eq(problems_of("{\"layers\":[{\"type\":\"zero_padding2d\",\"padding\":[[1,0],[2,-3]]}]}"),
                     "/layers/0/padding: padding must be a list of integers, each of at least 0 and at most 65536, got -3");
    ck_assert_str_eq(problems_of("{\"layers\":[{\"type\":\"zero_padding2d\",\"padding\":[[1,0],2]}]}"),
                     "/layers/0/padding: padding must be a list of integers, each of at least 0 and at most 65536, got an array of 2");
    ck_assert_str_eq(problems_of("{\"layers\":[{\"type\":\"zero_padding2d\",\"padding\":[[1,0],[2,3]]}]}"), "");
    free(one), free(two), free(strides);
    schema_definition_free(definition);
    schema_definition_free(again);
    json_decref(json);
    json_decref(first);
    json_decref(second);
}
END_TEST

START_TEST(options_have_defaults_and_limits) {
    struct schema_problems problems = {0};
    struct schema_options options;
    json_t *json = json_object();
    ck_assert_int_eq(schema_options_decode(json, "", NULL, &options, &problems), 0);
    json_decref(json);
    ck_assert_int_eq(options.epochs, 100);
    ck_assert_int_eq(options.batch_size, 32);
    ck_assert_double_eq(options.validation_fraction, 0.2);
    ck_assert_str_eq(options.optimizer->entry.name, "adam");
    ck_assert_double_eq(options.optimizer_values[0].number, 0.001);
    ck_assert(!options.stop_early && !options.seed_given);
    ck_assert_str_eq(option_problem("{\"epochs\":0}"), "/epochs");
    ck_assert_str_eq(option_problem("{\"epochs\":1.5}"), "/epochs");
    ck_assert_str_eq(option_problem("{\"epochs\":\"7\"}"), "/epochs");
    ck_assert_str_eq(option_problem("{\"batch_size\":-1}"), "/batch_size");
    ck_assert_str_eq(option_problem("{\"seed\":1e300}"), "/seed");
    ck_assert_str_eq(option_problem("{\"validation\":{\"fraction\":1}}"), "/validation/fraction");
    ck_assert_str_eq(option_problem("{\"validation\":0.2}"), "/validation");
    ck_assert_str_eq(option_problem("{\"optimizer\":{\"type\":\"adam\",\"learning_rat\":1}}"), "/optimizer/learning_rat");
    ck_assert_str_eq(option_problem("{\"optimizer\":\"adm\"}"), "/optimizer");
    ck_assert_str_eq(option_problem("{\"early_stopping\":{\"patience\":-1}}"), "/early_stopping/patience");
    ck_assert_str_eq(option_problem("{\"gradient_clip_norm\":[]}"), "/gradient_clip_norm");
    ck_assert_str_eq(option_problem("{\"epoch\":3}"), "/epoch");
    ck_assert_str_eq(option_problem("{\"epochs\":3.0,\"early_stopping\":null}"), "");
}
END_TEST

START_TEST(catalog_lists_every_family) {
    static const char *const families[] = {"activations", "formats", "initializers", "layers", "losses", "metrics", "optimizers"};
    json_t *catalog = schema_catalog();
    for (size_t i = 0; i < sizeof families / sizeof *families; i++)
        ck_assert_msg(json_array_size(json_object_get(catalog, families[i])) >= 2, "%s", families[i]);
    json_decref(catalog);
}
END_TEST

Suite *suite_schema_definition(void) {
    Suite *suite = suite_create("schema/definition");
    TCase *tests = tcase_create("definition");
    tcase_add_test(tests, good_ones);
    tcase_add_test(tests, all_mistakes_at_once);
    tcase_add_test(tests, wiring_is_checked_without_data);
    tcase_add_test(tests, written_out_and_read_back);
    tcase_add_test(tests, integers_are_read_back);
    tcase_add_test(tests, options_have_defaults_and_limits);
    tcase_add_test(tests, catalog_lists_every_family);
    suite_add_tcase(suite, tests);
    return suite;
}

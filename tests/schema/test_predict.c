/* test_predict.c - predict bodies: the fast and the complete reader agree, values and labels are right, problems have their place. */
#include "schema/predict/predictor.h"
#include "tests/memory_file.h"
#include "tests/schema/training_support.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

Suite *suite_schema_predict(void);

struct rig {
    struct resolved resolved;
    struct schema_model *model;
    struct schema_predictor *predictor;
};

static struct rig open_rig(struct resolved resolved) {
    struct rig rig = {.resolved = resolved};
    struct bp_error error = {0};
    char *bytes = NULL;
    size_t size;
    ck_assert_msg(resolved.training != NULL, "%s", first_problem(&resolved));
    bp_real *weights = bp_reals_new(resolved.training->network->weights_count);
    bp_network_initialize(resolved.training->network, 3, weights);
    json_t *document = schema_training_encode(resolved.training);
    const int fd = memory_file();
    ck_assert_int_eq(schema_model_write(fd, resolved.training, document, weights, &size, &error), 0);
    ck_assert_ptr_nonnull(bytes = memory_file_take(fd, size));
    rig.model = schema_model_read(bytes, size, &error);
    ck_assert_msg(rig.model != NULL, "%s", error.message);
    rig.predictor = schema_predictor_new(rig.model, &error);
    json_decref(document);
    free(bytes);
    free(weights);
    return rig;
}

static struct rig colours_rig(void) {
    return open_rig(resolve_text(colours_csv, "{\"layers\":[{\"type\":\"dense\",\"units\":4,\"activation\":\"tanh\"}]}",
                                 "{\"target\":\"label\",\"seed\":1,\"validation\":{\"fraction\":0}}"));
}

static void close_rig(struct rig *rig) {
    schema_predictor_free(rig->predictor);
    schema_model_free(rig->model);
    resolved_clear(&rig->resolved);
}

/* The answer's text, or the problems as "pointer: detail" lines with a "!" before. The caller's. */
static char *ask(struct rig *rig, const char *body) {
    struct schema_text out = {.limit = 1 << 20};
    struct schema_problems problems = {0};
    if (schema_predict_body(rig->predictor, body, strlen(body), 100, &out, &problems) == 0) return out.bytes;
    struct schema_text said = {.limit = 1 << 20};
    for (int32_t i = 0; i < problems.count; i++)
        schema_text_format(&said, "!%s: %s\n", problems.items[i].pointer ? problems.items[i].pointer : "", problems.items[i].detail);
    free(out.bytes);
    schema_problems_clear(&problems);
    return said.bytes;
}

/* Sends the body through each reader alone. Returns whether the one-pass reader took it. */
static bool both(struct rig *rig, const char *body) {
    struct schema_text whole = {.limit = 1 << 20}, patient = {.limit = 1 << 20};
    struct schema_problems problems = {0};
    schema_predict_body(rig->predictor, body, strlen(body), 100, &whole, &problems);
    schema_problems_clear(&problems);
    schema_predictor_reset(rig->predictor, &patient);
    schema_text_string(&patient, "[");
    int refused = schema_instances_decode(rig->predictor, body, strlen(body), 100, &problems);
    if (!refused) schema_predictor_flush(rig->predictor);
    schema_problems_clear(&problems);
    struct schema_text quick = {.limit = 1 << 20};
    schema_predictor_reset(rig->predictor, &quick);
    schema_text_string(&quick, "[");
    bool taken = schema_instances_scan(rig->predictor, body, strlen(body), 100) == 0;
    if (taken) {
        schema_predictor_flush(rig->predictor);
        ck_assert_msg(!refused, "the one-pass reader took what the patient one refuses: %s", body);
        ck_assert_str_eq(quick.bytes, patient.bytes);
    }
    free(whole.bytes);
    free(patient.bytes);
    free(quick.bytes);
    return taken;
}

START_TEST(the_readers_agree) {
    struct rig rig = colours_rig();
    ck_assert(both(&rig, "{\"instances\":[[1.5,\"red\"]]}"));
    ck_assert(both(
        &rig,
        " {\n\"instances\" : [ [ 1.5e0 , \"red\" ] , {\"colour\":\"blue\",\"x\":-7} ,{\"x\":null},{\"x\":1,\"colour\":\"red\",\"id\":17}]\t}\r\n"));
    ck_assert(!both(&rig, "{\"instances\":[{\"x\":1,\"id\":17}]}")); /* id might be meant for colour */
    ck_assert(!both(&rig, "{\"instances\":[{}]}"));
    ck_assert(!both(&rig, "{\"instances\":[[1.5,\"r\\u0065d\"]]}"));
    ck_assert(!both(&rig, "{\"instances\":[[1.5,\"red\"],]}"));
    ck_assert(!both(&rig, "{\"instances\":[[1.5,\"red\"]]"));
    ck_assert(!both(&rig, "{\"instances\":[[1.5,\"red\"]]} x"));
    ck_assert(!both(&rig, "{\"instances\":[[01,\"red\"]]}"));
    ck_assert(!both(&rig, "{\"instances\":[[1.,\"red\"]]}"));
    ck_assert(!both(&rig, "{\"instances\":[[NaN,\"red\"]]}"));
    ck_assert(!both(&rig, "{\"instances\":[[1e999,\"red\"]]}"));
    ck_assert(!both(&rig, "{\"instances\":[{\"x\":1,\"x\":2}]}"));
    ck_assert(!both(&rig, "{\"instances\":[]}"));
    ck_assert(!both(&rig, ""));
    close_rig(&rig);
}
END_TEST

START_TEST(layouts_give_the_same_prediction) {
    struct rig rig = colours_rig();
    char *a = ask(&rig, "{\"instances\":[[1.5,\"red\"]]}"), *b = ask(&rig, "{\"instances\":[{\"colour\":\"red\",\"x\":1.5}]}"),
         *c = ask(&rig, "{\"inputs\":{\"x\":[1.5],\"colour\":[\"r\\u0065d\"]}}");
    ck_assert_ptr_nonnull(strstr(a, "\"predictions\":[{\"label\":\""));
    ck_assert_str_eq(a, b);
    ck_assert_str_eq(a, c);
    ck_assert_ptr_nonnull(strstr(a, "\"warnings\":[]"));
    free(a);
    free(b);
    free(c);
    close_rig(&rig);
}
END_TEST

START_TEST(warnings_in_words) {
    struct rig rig = colours_rig();
    char *a = ask(&rig, "{\"instances\":[{\"colour\":\"mauve\",\"y\":3},{\"x\":2,\"colour\":\"red\"}]}");
    ck_assert_ptr_nonnull(strstr(a, "column \\\"x\\\": 1 of 2 values missing"));
    ck_assert_ptr_nonnull(strstr(a, "(the first: \\\"mauve\\\"): they are treated as an unknown category"));
    ck_assert_ptr_nonnull(strstr(a, "column \\\"y\\\" is not a feature of this model and was ignored"));
    free(a);
    close_rig(&rig);
}
END_TEST

static void said(struct rig *rig, const char *body, const char *expected) {
    char *text = ask(rig, body);
    ck_assert_msg(strstr(text, expected) != NULL, "%s\nsaid %s\nexpected %s", body, text, expected);
    free(text);
}

START_TEST(problems_at_their_place) {
    struct rig rig = colours_rig();
    said(&rig, "{\"instances\":[[1,\"red\"],[\"2x\",\"red\"]]}", "!/instances/1/0: column \"x\" expects a number, got the string \"2x\"");
    said(&rig, "{\"instances\":[{\"x\":[1]}]}", "!/instances/0/x: column \"x\" expects a number, got an array of 1");
    said(&rig, "{\"instances\":[{\"x\":1,\"colour\":{}}]}", "!/instances/0/colour: column \"colour\" expects a text, got an object");
    said(&rig, "{\"instances\":[[1]]}", "!/instances/0: this instance has 1 values, the model has 2 features");
    said(&rig, "{\"instances\":[5]}", "!/instances/0: an instance must be an object by column name or an array");
    said(&rig, "{\"instances\":[]}", "!/instances: instances must be a list with at least one instance");
    said(&rig, "{\"instance\":[[1,\"red\"]]}", "!/instance: unknown field \"instance\", did you mean \"instances\"?");
    said(&rig, "{}", "!: the body needs \"instances\"");
    said(&rig, "[]", "!: the body must be an object");
    said(&rig, "{\"instances\":[[1,\"red\"]", "!: the body is not JSON");
    said(&rig, "{\"instances\":[{\"z\":1}]}", "!/instances/0: none of its keys is a feature of this model");
    said(&rig, "{\"inputs\":{\"x\":[1,2],\"colour\":[\"red\"]}}", "!/inputs/colour: column \"colour\" has 1 values, \"x\" has 2");
    said(&rig, "{\"inputs\":{\"x\":1}}", "!/inputs/x: a column must be a list");
    close_rig(&rig);
}
END_TEST

START_TEST(too_many_instances) {
    struct rig rig = colours_rig();
    struct schema_text body = {.limit = 1 << 20}, out = {.limit = 1 << 20};
    struct schema_problems problems = {0};
    schema_text_string(&body, "{\"instances\":[");
    for (int i = 0; i < 101; i++) schema_text_format(&body, "%s[%d,\"red\"]", i ? "," : "", i);
    schema_text_string(&body, "]}");
    ck_assert_int_eq(schema_predict_body(rig.predictor, body.bytes, body.size, 100, &out, &problems), -1);
    ck_assert(problems.too_large);
    schema_problems_clear(&problems);
    free(body.bytes);
    free(out.bytes);
    close_rig(&rig);
}
END_TEST

START_TEST(values_in_their_own_unit) {
    struct rig rig = open_rig(resolve_text("a,y\n0,100\n0,300\n0,100\n0,300\n", "{\"layers\":[]}",
                                           "{\"target\":\"y\",\"task\":\"regression\",\"validation\":{\"fraction\":0}}"));
    memset(rig.model->weights, 0, rig.model->training->network->weights_count * sizeof(bp_real));
    char *text = ask(&rig, "{\"instances\":[[0]]}"); /* a network that outputs 0 predicts the mean */
    ck_assert_str_eq(text, "\"predictions\":[{\"value\":200}],\"warnings\":[]");
    free(text);
    close_rig(&rig);
}
END_TEST

/* A network that outputs 0 predicts the mean, and the mean has ten digits. */
START_TEST(all_digits_of_a_value) {
    struct rig rig = open_rig(resolve_text("a,y\n0,1577134857\n1,1577134858\n2,1577134859\n3,1577134858\n", "{\"layers\":[]}",
                                           "{\"target\":\"y\",\"task\":\"regression\",\"validation\":{\"fraction\":0}}"));
    char number[40];
    memset(rig.model->weights, 0, rig.model->training->network->weights_count * sizeof(bp_real));
    said(&rig, "{\"instances\":[[1]]}", "\"predictions\":[{\"value\":1577134858}]");
    close_rig(&rig);
    /* as many digits as the step lets matter, and nine at least */
    schema_predicted_text(1577134857.0000012, 3e-6, number);
    ck_assert_str_eq(number, "1577134857.000001");
    schema_predicted_text(0.1 + 0.2, 1e-8, number);
    ck_assert_str_eq(number, "0.3");
    schema_predicted_text(2e301, 1e294, number);
    ck_assert_str_eq(number, "2e+301");
    schema_predicted_text(0, 1, number);
    ck_assert_str_eq(number, "0");
}
END_TEST

START_TEST(values_that_cannot_be_used) {
    struct rig rig = open_rig(resolve_json("{\"records\":[{\"k\":0,\"y\":1.5},{\"k\":1,\"y\":2.5},{\"k\":2,\"y\":0.5}]}",
                                           "{\"layers\":[{\"type\":\"embedding\",\"input_dim\":3,\"output_dim\":2},\"flatten\"]}",
                                           "{\"target\":\"y\",\"validation\":{\"fraction\":0}}"));
    ck_assert(both(&rig, "{\"instances\":[[2],{\"k\":0}]}"));
    said(&rig, "{\"instances\":[[2],[3]]}", "!/instances/1/0: column \"k\" holds 3, but an embedding reads it and accepts integers from 0 to 2\n");
    said(&rig, "{\"instances\":[{\"k\":0.5}]}", "!/instances/0/k: column \"k\" holds 0.5, but an embedding");
    said(&rig, "{\"inputs\":{\"k\":[0,-1]}}", "!/inputs/k/1: column \"k\" holds -1, but an embedding");
    said(&rig, "{\"instances\":[{\"k\":null}]}", "column \\\"k\\\": 1 of 1 values missing: the index 0 is used");
    close_rig(&rig);
    rig = open_rig(
        resolve_text("a,b,y\n0,1,1\n1,2,3\n", "{\"layers\":[]}", "{\"target\":\"y\",\"task\":\"regression\",\"validation\":{\"fraction\":0}}"));
    said(&rig, "{\"instances\":[[1,1e300]]}", "!/instances/0/1: column \"b\" holds 1e+300, which is too far from the training rows");
    for (size_t k = 0; k < rig.model->training->network->weights_count; k++) rig.model->weights[k] = 3e38f; /* as after a divergence */
    said(&rig, "{\"instances\":[[0,1],[1,2]]}", "!/instances/1: the prediction is not a finite number");
    close_rig(&rig);
}
END_TEST

/* A value outside the range gets a prediction with a warning that names column, value, row and range; one far outside is not to be relied on. */
START_TEST(values_outside_the_range) {
    struct rig rig = open_rig(resolve_text("a,k,w,y\n0,7,2024-01-01,1\n10,7,2024-01-11,3\n5,7,2024-01-06,2\n", "{\"layers\":[]}",
                                           "{\"target\":\"y\",\"task\":\"regression\",\"validation\":{\"fraction\":0}}"));
    said(&rig, "{\"instances\":[[10,7,\"2024-01-11\"],[0,7,\"2024-01-01\"]]}", "\"warnings\":[]");
    said(&rig, "{\"instances\":[[14,7,\"2024-01-12\"]]}",
         "[\"column \\\"a\\\": 1 of 1 values are outside the range of the training rows, 0 to 10 (row 1: 14)\",\"column \\\"w\\\": 1 of 1 values are "
         "outside the range of the training rows, 2024-01-01T00:00:00Z to 2024-01-11T00:00:00Z (row 1: 2024-01-12T00:00:00Z)\"]");
    said(&rig, "{\"inputs\":{\"a\":[11,5,-1,12,13],\"k\":[7,7,7,7,7]}}",
         "4 of 5 values are outside the range of the training rows, 0 to 10 (row 1: 11, row 3: -1, row 4: 12, ...)");
    said(&rig, "{\"instances\":[[5,7,\"2024-01-11\"],[58.9,7,\"2024-01-02\"]]}",
         "[\"column \\\"a\\\": 1 of 2 values are far outside the range of the training rows, 0 to 10 (row 2: 58.9); do not rely on predictions "
         "for them\"]");
    said(&rig, "{\"instances\":[[5,8,\"2024-01-02\"]]}",
         "[\"column \\\"k\\\" was always 7 in the training rows and has no influence: 1 of 1 values differ (row 1: 8)\"]");
    said(&rig, "{\"instances\":[[5,7,\"2031-01-02\"]]}", "2024-01-01T00:00:00Z to 2024-01-11T00:00:00Z (row 1: 2031-01-02T00:00:00Z)");
    close_rig(&rig);
}
END_TEST

/* Missing values of a tensor are reported, unless they are the padding of a shorter sequence. */
START_TEST(holes_in_tensors) {
    struct rig rig =
        open_rig(resolve_json("{\"types\":{\"s\":{\"type\":\"tensor\",\"shape\":[3,2]}},\"records\":[{\"s\":[[1,2],[3,4]],\"y\":1},"
                              "{\"s\":[[1,2],[3,4],[5,6]],\"y\":2}]}",
                              "{\"layers\":[\"flatten\"]}", "{\"target\":\"y\",\"task\":\"regression\",\"validation\":{\"fraction\":0}}"));
    said(&rig, "{\"instances\":[[[1,2]],[[1,2],[null,null],[null,null]]]}", "\"warnings\":[]");
    said(&rig, "{\"instances\":[[[1,2]],[[1,null],[3,4]]]}", "column \\\"s\\\": 1 of 2 tensors have missing numbers: the mean is used");
    close_rig(&rig);
}
END_TEST

/* Zeros, nulls and a shorter list are the same padding, and a network that masks it cannot tell them apart. */
START_TEST(paddings_are_one) {
    struct rig rig = open_rig(
        resolve_json("{\"records\":[{\"s\":[[5],[7],[0],[0]],\"y\":1},{\"s\":[[6],[6],[9],[3]],\"y\":2},{\"s\":[[2],[6],[6],[0]],\"y\":0.5}]}",
                     "{\"layers\":[\"masking\",{\"type\":\"gru\",\"units\":3}]}",
                     "{\"target\":\"y\",\"task\":\"regression\",\"seed\":1,\"validation\":{\"fraction\":0}}"));
    char *a = ask(&rig, "{\"instances\":[{\"s\":[[5],[6],[0],[0]]}]}"), *b = ask(&rig, "{\"instances\":[{\"s\":[[5],[6],[null],[null]]}]}"),
         *c = ask(&rig, "{\"instances\":[{\"s\":[[5],[6]]}]}"), *d = ask(&rig, "{\"instances\":[{\"s\":[[5],[6],[6],[0]]}]}");
    ck_assert_ptr_nonnull(strstr(a, "\"warnings\":[]"));
    ck_assert_str_eq(a, b);
    ck_assert_str_eq(a, c);
    ck_assert_str_ne(a, d);
    free(a);
    free(b);
    free(c);
    free(d);
    close_rig(&rig);
}
END_TEST

START_TEST(tensors_nested_or_flat) {
    struct rig rig = open_rig(resolve_json("{\"x\":[[[0,1],[2,3]],[[4,5],[6,7]],[[1,1],[1,1]],[[9,9],[0,0]]],\"y\":[\"a\",\"b\",\"a\",\"b\"]}",
                                           "{\"layers\":[\"flatten\"]}", "{\"target\":\"y\",\"validation\":{\"fraction\":0}}"));
    ck_assert(both(&rig, "{\"instances\":[[[0,1],[2,3]]]}"));
    char *a = ask(&rig, "{\"instances\":[[[0,1],[2,3]]]}"), *b = ask(&rig, "{\"instances\":[[0,1,2,3]]}"),
         *c = ask(&rig, "{\"instances\":[{\"x\":[[0,1],[2,3]]}]}");
    ck_assert_str_eq(a, b);
    ck_assert_str_eq(a, c);
    free(a);
    free(b);
    free(c);
    said(&rig, "{\"instances\":[[[0,1],[2]]]}", "!/instances/0: column \"x\" expects 4 numbers of the shape (2, 2)");
    said(&rig, "{\"instances\":[[[0,1,2,3]]]}", "in another nesting");
    close_rig(&rig);
}
END_TEST

Suite *suite_schema_predict(void) {
    Suite *suite = suite_create("schema/predict");
    TCase *tests = tcase_create("predict");
    tcase_add_test(tests, the_readers_agree);
    tcase_add_test(tests, layouts_give_the_same_prediction);
    tcase_add_test(tests, warnings_in_words);
    tcase_add_test(tests, problems_at_their_place);
    tcase_add_test(tests, too_many_instances);
    tcase_add_test(tests, values_in_their_own_unit);
    tcase_add_test(tests, all_digits_of_a_value);
    tcase_add_test(tests, values_that_cannot_be_used);
    tcase_add_test(tests, values_outside_the_range);
    tcase_add_test(tests, holes_in_tensors);
    tcase_add_test(tests, paddings_are_one);
    tcase_add_test(tests, tensors_nested_or_flat);
    suite_add_tcase(suite, tests);
    return suite;
}

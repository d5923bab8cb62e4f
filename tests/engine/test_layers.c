/* test_layers.c - engine/layers/: what plan refuses and in which words, and what only one layer does. (Values and gradients in general:
 * test_golden.c and test_gradcheck.c, for every entry.) */
#include "support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Networks that cannot be, on an input of that shape; the error points at the place and contains the words. */
static const struct {
    const char *text;
    struct bp_shape shape;
    const char *pointer, *words;
} wrong[] = {
    {"dense units=3 name=a; add in=a,x; dense units=1", {1, {4}}, "/layers/1/inputs", "input 0 has (3) and input 1 has (4)"},
    {"add in=x; dense units=1", {1, {4}}, "/layers/0/inputs", "at least 2"},
    {"flatten name=f; multiply in=x,f", {2, {2, 3}}, "/layers/1/inputs", "input 0 has (2, 3) and input 1 has (6)"},
    {"flatten name=f; concatenate in=x,f", {2, {2, 3}}, "/layers/1/inputs", "input 0 has (2, 3) and input 1 has (6)"},
    {"concatenate in=x,x axis=0", {2, {2, 3}}, "/layers/0/axis", "0 is the batch"},
    {"concatenate in=x,x axis=3", {2, {2, 3}}, "/layers/0/axis", "expected 1 to 2"},
    {"concatenate in=x,x axis=-3", {2, {2, 3}}, "/layers/0/axis", "expected 1 to 2"},
    {"embedding input_dim=9 output_dim=2", {4, {1, 2, 1, 2}}, "/layers/0", "adds an axis"},
    {"embedding input_dim=16777216 output_dim=65536", {1, {2}}, "/layers/0/input_dim", "more than 2^31 - 1"},
};

START_TEST(plan_refuses) {
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct test_graph graph;
        struct bp_error error;
        test_graph(&graph, wrong[i].text, NULL, wrong[i].shape);
        test_plan_fails(&graph, &error);
        ck_assert_str_eq(error.pointer, wrong[i].pointer);
        ck_contains(error.message, wrong[i].words);
    }
}
END_TEST

/* Output shapes, written out. */
static const struct {
    const char *text;
    struct bp_shape in, out;
} shapes[] = {
    {"concatenate in=x,x,x", {2, {2, 3}}, {2, {2, 9}}},
    {"concatenate in=x,x axis=1", {2, {2, 3}}, {2, {4, 3}}},
    {"concatenate in=x,x axis=-2", {3, {5, 2, 3}}, {3, {5, 4, 3}}},
    {"embedding input_dim=9 output_dim=2", {2, {3, 4}}, {3, {3, 4, 2}}},
    {"layer_norm", {2, {3, 4}}, {2, {3, 4}}},
};

START_TEST(plan_settles_shapes) {
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        struct bp_network *net = test_network(shapes[i].text, NULL, shapes[i].in);
        char text[64];
        ck_assert_msg(bp_shape_equal(&net->output_shape, &shapes[i].out), "%s: %s", shapes[i].text,
                      bp_shape_text(&net->output_shape, text, sizeof text));
        bp_network_free(net);
    }
}
END_TEST

/* A shape that is not known yet is no error, in any layer that takes one input. */
START_TEST(unknown_inputs_are_no_error) {
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        struct bp_network *net = test_network(shapes[i].text, NULL, (struct bp_shape){-1, {0}});
        ck_assert(!net->complete);
        bp_network_free(net);
    }
}
END_TEST

START_TEST(an_index_that_cannot_be_is_not_a_number) {
    struct bp_network *net = test_network("embedding input_dim=3 output_dim=2", NULL, (struct bp_shape){1, {6}});
    struct bp_workspace *ws = NULL;
    const bp_real x[6] = {0, 2, 3, -1, 0.5f, NAN}, weights[6] = {10, 11, 20, 21, 30, 31};
    ck_assert_int_eq(net->nodes[1].indices, 3);
    ck_assert_int_eq(bp_workspace_new(net, 1, false, &ws, NULL), 0);
    memcpy(bp_workspace_input(ws, 0), x, sizeof x);
    const bp_real *a = bp_predict(net, weights, ws, 1);
    ck_assert(a[0] == 10 && a[1] == 11 && a[2] == 30 && a[3] == 31);
    for (int i = 4; i < 12; i++) ck_assert(isnan(a[i]));
    bp_workspace_free(ws);
    bp_network_free(net);
}
END_TEST

Suite *suite_layers(void);
Suite *suite_layers(void) {
    Suite *suite = suite_create("layers");
    TCase *tests = tcase_create("layers");
    tcase_add_test(tests, plan_refuses);
    tcase_add_test(tests, plan_settles_shapes);
    tcase_add_test(tests, unknown_inputs_are_no_error);
    tcase_add_test(tests, an_index_that_cannot_be_is_not_a_number);
    suite_add_tcase(suite, tests);
    return suite;
}

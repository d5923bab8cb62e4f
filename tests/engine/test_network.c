/* test_network.c - engine/network/graph.c, network.c, workspace.c, pass.c and the layers: names, errors that help, shapes, heads, weights, passes. */
#include "tests/engine/support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FEATURES(n) ((struct bp_shape){1, {n}})

/* ---- names and links --------------------------------------------------------------------------------------------- */

START_TEST(nameless_layers_are_named_and_chained) {
    struct bp_network *net = test_network("dense units=3; dense units=4 name=dense_2; dropout rate=0.1; dense units=5", "mse", FEATURES(7));
    ck_assert_int_eq(net->nodes_count, 5);
    ck_assert_str_eq(net->nodes[0].name, "x");
    ck_assert_ptr_null(net->nodes[0].ops);
    ck_assert_str_eq(net->nodes[1].name, "dense_1");
    ck_assert_str_eq(net->nodes[2].name, "dense_2");
    ck_assert_str_eq(net->nodes[3].name, "dropout_1");
    ck_assert_str_eq(net->nodes[4].name, "dense_3");
    ck_assert_int_eq(net->outputs[0].node, 4);
    ck_assert_int_eq(net->layer_of[0], -1);
    ck_assert_int_eq(net->layer_of[4], 3);
    ck_assert(net->complete);
    ck_assert_int_eq(net->parameters, 7 * 3 + 3 + 3 * 4 + 4 + 4 * 5 + 5);
    ck_assert_uint_eq(net->weights_count, 32 + 16 + 16 + 16 + 32 + 16);
    ck_assert_uint_eq(net->nodes[2].tensors[1].offset, 64);
    ck_assert(net->nodes[2].tensors[0].penalised && !net->nodes[2].tensors[1].penalised);
    bp_network_free(net);
    bp_network_free(NULL);
}
END_TEST

START_TEST(layers_may_be_defined_in_any_order) {
    struct test_graph graph;
    struct bp_network *net = NULL;
    test_graph(&graph, "dense units=2 name=last in=first; dense units=3 name=first in=x", "mse", FEATURES(4));
    snprintf(graph.graph.outputs[0].name, BP_NAME_MAX, "last");
    ck_assert_int_eq(bp_network_plan(&graph.graph, &net, NULL), 0);
    ck_assert_str_eq(net->nodes[1].name, "first");
    ck_assert_int_eq(net->layer_of[1], 1);
    ck_assert_uint_eq(net->nodes[1].index, 1);
    ck_assert_int_eq(net->outputs[0].node, 2);
    ck_assert_int_eq(net->nodes[2].tensors[0].shape.dims[0], 3);
    bp_network_free(net);
}
END_TEST

static const struct {
    const char *text, *loss, *output, *pointer, *says[3];
} mistakes[] = {
    {"dense units=2 name=a; dense units=2 name=a", "", "", "/layers/1/name", {"\"a\"", "another layer"}},
    {"dense units=2 name=x", "", "", "/layers/0/name", {"\"x\"", "an input"}},
    {"dense units=2 name=a/b", "", "", "/layers/0/name", {"\"a/b\"", "contains \"/\""}},
    {"dense units=2 name=hidden; dense units=1 in=hiden", "", "", "/layers/1/inputs/0", {"\"hiden\"", "did you mean \"hidden\"?"}},
    {"dense units=2 name=hidden; dense units=1 in=qqq", "", "", "/layers/1/inputs/0", {"\"qqq\"", "\"x\", \"hidden\", \"dense_1\""}},
    {"dense units=2 in=x,x", "", "", "/layers/0/inputs", {"reads 2 inputs", "dense takes 1"}},
    {"dense units=2 name=a in=c; dense units=2 name=b in=a; dense units=2 name=c in=b",
     "",
     "",
     "/layers/0/inputs",
     {"cycle", "\"a\" reads \"c\" reads \"b\" reads \"a\""}},
    {"dense units=2 name=a in=a", "", "", "/layers/0/inputs", {"cycle", "\"a\" reads \"a\""}},
    {"dense units=2 name=a; dense units=2 name=b in=x", "", "", "/layers/0", {"no layer reads \"a\"", "the output is \"b\""}},
    {"dense units=2 name=hidden", "", "hidde", "/outputs", {"\"hidde\"", "did you mean \"hidden\"?"}},
    {"dense units=2 name=a", "", "b", "/outputs", {"\"b\"", "there are \"a\""}},
    {"dense units=2 name=a", "", "x", "/outputs", {"\"x\" is an input"}},
    {"dense units=6 name=a; reshape target_shape=4,2", "", "", "/layers/1/target_shape", {"needs 8 numbers", "layer \"a\" of shape (6)", "has 6"}},
    {"reshape target_shape=4,-1", "", "", "/layers/0/target_shape", {"multiple of 4", "input \"x\" of shape (7)"}},
    {"reshape target_shape=-1,-1", "", "", "/layers/0/target_shape", {"-1 more than once"}},
    {"reshape target_shape=7,0", "", "", "/layers/0/target_shape", {"is 0"}},
    {"dense units=3 activation=relu", "cross_entropy", "", "/layers/0/activation", {"cross_entropy expects softmax", "\"dense_1\"", "is relu"}},
    {"dense units=1 activation=softmax", "binary_cross_entropy", "", "/layers/0/activation", {"expects sigmoid", "is softmax"}},
    {"dense units=3; activation activation=tanh", "cross_entropy", "", "/layers/1/activation", {"expects softmax", "is tanh"}},
    {"dense units=1 activation=softmax", "cross_entropy", "", "/layers/0", {"softmax over a single unit", "sigmoid"}},
    {"dense units=2", "binary_cross_entropy", "", "/layers/0", {"single output", "(2)"}},
    {"reshape target_shape=7,1; dense units=2", "binary_cross_entropy", "", "/layers/1", {"single output", "(7, 2)"}},
    {"reshape target_shape=7,1; dense units=1 activation=softmax", "focal", "", "/layers/1", {"softmax over a single unit", "sigmoid"}},
    {"reshape target_shape=7,1; dense units=3 activation=softmax; flatten", "cross_entropy", "", "/layers/1/activation", {"before a reshape"}},
};

START_TEST(mistakes_are_explained) {
    struct test_graph graph;
    struct bp_error error;
    test_graph(&graph, mistakes[_i].text, mistakes[_i].loss, FEATURES(7));
    snprintf(graph.graph.outputs[0].name, BP_NAME_MAX, "%s", mistakes[_i].output);
    test_plan_fails(&graph, &error);
    ck_assert_str_eq(error.pointer, mistakes[_i].pointer);
    for (int k = 0; k < 3 && mistakes[_i].says[k]; k++) ck_contains(error.message, mistakes[_i].says[k]);
}
END_TEST

START_TEST(empty_and_ambiguous_graphs) {
    struct test_graph graph;
    struct bp_error error;
    test_graph(&graph, "dense units=1", "", FEATURES(7));
    graph.graph.layers_count = 0;
    test_plan_fails(&graph, &error);
    ck_assert_str_eq(error.pointer, "/layers");
    test_graph(&graph, "dense units=1", "", FEATURES(7));
    graph.graph.inputs_count = 0;
    test_plan_fails(&graph, &error);
    ck_assert_str_eq(error.pointer, "/inputs");
    test_graph(&graph, "dense units=1", "", FEATURES(7));
    graph.graph.inputs_count = 2;
    snprintf(graph.inputs[1].name, BP_NAME_MAX, "pixels");
    graph.inputs[1].shape = FEATURES(3);
    test_plan_fails(&graph, &error);
    ck_assert_str_eq(error.pointer, "/layers/0/inputs");
    ck_contains(error.message, "\"x\", \"pixels\"");
    test_graph(&graph, "reshape target_shape=1; dense units=65536; dense units=65536", "", FEATURES(1));
    test_plan_fails(&graph, &error);
    ck_assert_str_eq(error.pointer, "/layers/2/units");
}
END_TEST

/* ---- shapes ------------------------------------------------------------------------------------------------------ */

START_TEST(shapes) {
    char text[64];
    struct bp_network *net = test_network("dense units=5; flatten; reshape target_shape=2,-1; dense units=3", "mse", (struct bp_shape){2, {4, 3}});
    ck_assert_str_eq(bp_shape_text(&net->nodes[1].out, text, sizeof text), "(4, 5)");
    ck_assert_str_eq(bp_shape_text(&net->nodes[2].out, text, sizeof text), "(20)");
    ck_assert_str_eq(bp_shape_text(&net->nodes[3].out, text, sizeof text), "(2, 10)");
    ck_assert_str_eq(bp_shape_text(&net->outputs[0].shape, text, sizeof text), "(2, 3)");
    ck_assert_str_eq(bp_shape_text(&net->nodes[4].tensors[0].shape, text, sizeof text), "(10, 3)");
    bp_network_free(net);
}
END_TEST

START_TEST(unknown_shapes_are_planned_as_far_as_possible) {
    struct bp_network *net = test_network("dense units=5; dense units=3", "cross_entropy", FEATURES(0));
    struct bp_workspace *ws = NULL;
    struct bp_error error = {0};
    ck_assert(!net->complete);
    ck_assert_int_eq(net->outputs[0].shape.dims[0], 3);
    ck_assert_int_eq(net->nodes[1].tensors_count, 0);
    ck_assert_int_eq(net->nodes[2].tensors_count, 2);
    ck_assert_int_eq(bp_workspace_new(net, 1, false, &ws, &error), -1);
    ck_contains(error.message, "unknown");
    bp_network_free(net);
    net = test_network("dense units=5; flatten; reshape target_shape=-1,2; dense units=3; activation activation=relu", "mse",
                       (struct bp_shape){-1, {0}});
    ck_assert(!net->complete);
    ck_assert_int_eq(net->nodes[1].out.rank, -1);
    ck_assert_int_eq(net->outputs[0].shape.rank, 2);
    ck_assert_int_eq(net->outputs[0].shape.dims[1], 3);
    bp_network_free(net);
}
END_TEST

/* ---- heads ------------------------------------------------------------------------------------------------------- */

START_TEST(heads_are_fused) {
    static const struct {
        const char *text, *loss, *head;
        bool implied;
    } cases[] = {
        {"dense units=3 activation=softmax", "cross_entropy", "softmax", false},
        {"dense units=3", "cross_entropy", "softmax", true},
        {"dense units=3; activation activation=softmax", "cross_entropy", "softmax", false},
        {"dense units=1 activation=sigmoid", "binary_cross_entropy", "sigmoid", false},
        {"dense units=1", "binary_cross_entropy", "sigmoid", true},
        {"dense units=1 activation=sigmoid; flatten", "binary_cross_entropy", "sigmoid", false},
        {"dense units=1 activation=sigmoid", "mse", NULL, false},
        {"dense units=3 activation=softmax", "", NULL, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct bp_network *net = test_network(cases[i].text, cases[i].loss, FEATURES(4));
        ck_assert_msg(cases[i].head ? net->outputs[0].head && !strcmp(net->outputs[0].head->entry.name, cases[i].head) : !net->outputs[0].head, "%s",
                      cases[i].text);
        ck_assert(net->outputs[0].head_implied == cases[i].implied);
        ck_assert(cases[i].head ? !net->nodes[1].activation : net->nodes[1].activation != NULL);
        bp_network_free(net);
    }
}
END_TEST

/* Predictions are the same whether the head stands in the definition, is implied, or is not fused at all. */
START_TEST(a_fused_head_predicts_the_same) {
    const char *const texts[] = {"dense units=3 activation=softmax", "dense units=3", "dense units=3; activation activation=softmax",
                                 "dense units=3 activation=softmax"};
    const char *const losses[] = {"cross_entropy", "cross_entropy", "cross_entropy", "mse"};
    bp_real first[12];
    for (int i = 0; i < 4; i++) {
        struct bp_network *net = test_network(texts[i], losses[i], FEATURES(4));
        struct bp_workspace *ws = NULL;
        bp_real *weights = bp_reals_new(net->weights_count);
        bp_network_initialize(net, 5, weights);
        ck_assert_int_eq(bp_workspace_new(net, 4, false, &ws, NULL), 0);
        for (int k = 0; k < 16; k++) bp_workspace_input(ws, 0)[k] = (bp_real)(0.3 * k - 2);
        const bp_real *p = bp_predict(net, weights, ws, 4);
        for (int k = 0; k < 4; k++) ck_assert_double_eq_tol((double)(p[3 * k] + p[3 * k + 1] + p[3 * k + 2]), 1, 1e-6);
        if (i) ck_assert_mem_eq(p, first, sizeof first);
        memcpy(first, p, sizeof first);
        bp_workspace_free(ws);
        free(weights);
        bp_network_free(net);
    }
}
END_TEST

/* ---- weights ----------------------------------------------------------------------------------------------------- */

START_TEST(initial_weights) {
    struct bp_network *net = test_network(
        "dense units=200 activation=relu; dense units=100; dense units=3 kernel_initializer=ones bias_initializer=ones", "mse", FEATURES(50));
    const size_t bytes = net->weights_count * sizeof(bp_real);
    bp_real *a = bp_reals_new(net->weights_count), *b = bp_reals_new(net->weights_count), *c = bp_reals_new(net->weights_count);
    memset(b, 0x7f, bytes);
    bp_network_initialize(net, 1, a);
    bp_network_initialize(net, 1, b);
    bp_network_initialize(net, 2, c);
    ck_assert_mem_eq(a, b, bytes);
    ck_assert_mem_ne(a, c, bytes);
    ck_assert_str_eq(net->nodes[1].tensors[0].initializer->entry.name, "glorot_uniform");
    ck_assert_str_eq(net->nodes[2].tensors[0].initializer->entry.name, "glorot_uniform");
    ck_assert_str_eq(net->nodes[1].tensors[1].initializer->entry.name, "zeros");
    ck_assert(a[net->nodes[1].tensors[1].offset] == 0 && a[net->nodes[3].tensors[0].offset] == 1 && a[net->nodes[3].tensors[1].offset + 2] == 1);
    double squares = 0;
    for (size_t i = 0; i < 10000; i++) squares += (double)a[i] * (double)a[i] / 10000;
    ck_assert_double_eq_tol(squares, 2.0 / 250, 0.0004);
    ck_assert(a[0] != a[net->nodes[2].tensors[0].offset]); /* every tensor has a stream of its own */
    free(a);
    free(b);
    free(c);
    bp_network_free(net);
}
END_TEST

/* ---- passes ------------------------------------------------------------------------------------------------------ */

/* A layer for this test alone, with several inputs: a = sum of x. It is what shows that gradients of several readers add up. */
static int sum_plan(struct bp_node *node, struct bp_error *error) {
    (void)error;
    node->out = node->in[0];
    return 0;
}

static void sum_forward(const struct bp_node *node, const struct bp_pass *pass) {
    const size_t n = (size_t)pass->batch * (size_t)bp_shape_size(&node->out);
    for (size_t i = 0; i < n; i++) {
        pass->a[i] = 0;
        for (int32_t k = 0; k < node->inputs_count; k++) pass->a[i] += pass->x[k][i];
    }
}

static void sum_backward(const struct bp_node *node, const struct bp_pass *pass) {
    const size_t n = (size_t)pass->batch * (size_t)bp_shape_size(&node->out);
    for (int32_t k = 0; k < node->inputs_count; k++)
        for (size_t i = 0; pass->d_x[k] && i < n; i++) pass->d_x[k][i] = pass->d_a[i] + (pass->keep_x[k] ? pass->d_x[k][i] : 0);
}

static const struct bp_layer_ops sum_layer = {
    .entry = {.name = "sum", .summary = "for this test"},
    .inputs_min = 1,
    .inputs_max = 4,
    .plan = sum_plan,
    .forward = sum_forward,
    .backward = sum_backward,
};

/* With every layer linear, a = factor x, and the gradient of mse (one sample, width 2, target 0) is factor^2 x. */
static void check_factor(const char *text, double factor) {
    struct test_graph graph;
    struct bp_network *net = NULL;
    struct bp_workspace *ws = NULL;
    struct bp_error error = {0};
    test_graph(&graph, text, "mse", FEATURES(2)); /* a flatten of several inputs means a sum */
    for (int32_t i = 0; i < graph.graph.layers_count; i++)
        if (graph.layers[i].inputs_count > 1) graph.layers[i].ops = &sum_layer;
    ck_assert_msg(bp_network_plan(&graph.graph, &net, &error) == 0, "%s", error.message);
    ck_assert_int_eq(bp_workspace_new(net, 1, true, &ws, &error), 0);
    bp_real y[2] = {0, 0}, *weights = bp_reals_new(net->weights_count + 1), *gradient = bp_reals_new(net->weights_count + 1);
    bp_network_initialize(net, 1, weights);
    for (int round = 0; round < 2; round++) { /* twice: nothing may be left over from the first pass */
        struct bp_loss_call call = {.batch = 1, .y = y, .scale = 1};
        bp_workspace_input(ws, 0)[0] = 1;
        bp_workspace_input(ws, 0)[1] = -3;
        ck_assert_double_eq_tol(bp_loss_forward(net, weights, ws, NULL, &call, true), factor * factor * 5, 1e-4);
        bp_loss_backward(net, weights, ws, gradient, false, true);
        const bp_real *d = bp_workspace_input_gradient(ws, 0);
        ck_assert_double_eq_tol((double)d[0], factor * factor, 1e-4);
        ck_assert_double_eq_tol((double)d[1], -3 * factor * factor, 1e-4);
    }
    free(weights);
    free(gradient);
    bp_workspace_free(ws);
    bp_network_free(net);
}

START_TEST(gradients_of_several_readers_add_up) {
    check_factor("flatten in=x,x", 2); /* 2 x */
    check_factor("flatten in=x,x name=a; flatten in=a,x name=b; flatten in=a,b,x", 6);
    check_factor("activation activation=linear name=a; activation activation=linear in=x name=b; flatten in=a,b", 2);
    check_factor("activation activation=linear name=a; flatten name=v in=a; flatten in=a,v,x", 3);
    check_factor("reshape target_shape=1,2 name=v in=x; reshape target_shape=2 name=w in=v; flatten in=w,x name=s; reshape target_shape=2,1 in=s", 2);
    check_factor("dropout rate=0.5 name=a; dropout rate=0.5 in=x name=b; flatten in=a,b,x", 3);
    check_factor("flatten in=x,x name=a; activation activation=leaky_relu:1 in=a name=b; activation activation=linear in=a name=c; flatten in=b,c,a "
                 "name=s; flatten in=s",
                 6);
}
END_TEST

START_TEST(gradients_of_several_batches_add_up) {
    struct bp_network *net = test_network("dense units=5 activation=tanh; dense units=2", "mse", FEATURES(3));
    struct bp_workspace *ws = NULL;
    const size_t n = net->weights_count;
    bp_real *weights = bp_reals_new(n), *once = bp_reals_new(n), *twice = bp_reals_new(n), y[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    ck_assert_int_eq(bp_workspace_new(net, 4, true, &ws, NULL), 0);
    ck_assert_int_eq(bp_workspace_batch_max(ws), 4);
    bp_network_initialize(net, 3, weights);
    for (int k = 0; k < 12; k++) bp_workspace_input(ws, 0)[k] = (bp_real)(0.1 * k - 0.5);
    for (int round = 0; round < 2; round++) {
        struct bp_loss_call call = {.batch = 4, .y = y, .scale = 0.25};
        bp_loss_forward(net, weights, ws, NULL, &call, true);
        bp_loss_backward(net, weights, ws, once, false, false);
        bp_loss_forward(net, weights, ws, NULL, &call, true);
        bp_loss_backward(net, weights, ws, twice, round == 1, false);
    }
    for (size_t i = 0; i < n; i++) ck_assert_double_eq_tol((double)twice[i], 2 * (double)once[i], 1e-5);
    free(weights);
    free(once);
    free(twice);
    bp_workspace_free(ws);
    bp_network_free(net);
}
END_TEST

/* The same batch gives the same bits; across batch sizes results agree to 1e-5. */
START_TEST(predictions_repeat) {
    struct bp_network *net = test_network("dense units=70 activation=relu; dropout rate=0.5; dense units=33 activation=gelu; dense units=5",
                                          "cross_entropy", FEATURES(40));
    struct bp_workspace *ws = NULL, *one = NULL;
    bp_real *weights = bp_reals_new(net->weights_count), first[50 * 5], *x;
    bp_network_initialize(net, 3, weights);
    ck_assert_int_eq(bp_workspace_new(net, 50, false, &ws, NULL), 0);
    ck_assert_int_eq(bp_workspace_new(net, 1, false, &one, NULL), 0);
    x = bp_workspace_input(ws, 0);
    for (int k = 0; k < 50 * 40; k++) x[k] = (bp_real)sin(0.37 * k);
    memcpy(first, bp_predict(net, weights, ws, 50), sizeof first);
    ck_assert_mem_eq(first, bp_predict(net, weights, ws, 50), sizeof first);
    for (int i = 0; i < 50; i++) {
        memcpy(bp_workspace_input(one, 0), x + 40 * i, 40 * sizeof *x);
        const bp_real *p = bp_predict(net, weights, one, 1);
        for (int j = 0; j < 5; j++) ck_assert_double_eq_tol((double)p[j], (double)first[5 * i + j], 1e-5);
    }
    ck_assert_uint_gt(bp_workspace_bytes(net, 50, true), bp_workspace_bytes(net, 50, false));
    ck_assert_uint_gt(bp_workspace_bytes(net, 50, false), 50 * (40 + 70 + 33 + 5) * sizeof(bp_real));
    bp_workspace_free(ws);
    bp_workspace_free(one);
    bp_workspace_free(NULL);
    free(weights);
    bp_network_free(net);
}
END_TEST

START_TEST(dropout_drops_its_share) {
    struct bp_network *net = test_network("dropout rate=0.25", "mse", FEATURES(1000));
    struct bp_workspace *ws = NULL;
    bp_real *y = bp_reals_new(100 * 1000), first[1000];
    ck_assert_int_eq(bp_workspace_new(net, 100, true, &ws, NULL), 0);
    bp_real *x = bp_workspace_input(ws, 0);
    for (int k = 0; k < 100000; k++) x[k] = 1;
    struct bp_draw draw = {.seed = 1, .step = 7, .first = 0};
    struct bp_loss_call call = {.batch = 100, .y = y, .scale = 1};
    bp_loss_forward(net, NULL, ws, &draw, &call, true);
    int dropped = 0;
    for (int k = 0; k < 100000; k++) {
        ck_assert(call.z[k] == 0 || call.z[k] == (bp_real)(1 / 0.75));
        dropped += call.z[k] == 0;
    }
    ck_assert_int_lt(abs(dropped - 25000), 500);
    memcpy(first, call.z + 60 * 1000, sizeof first); /* sample 60 is sample 0 of a shard that starts there */
    ck_assert_mem_ne(first, call.z, sizeof first);
    draw.first = 60;
    call.batch = 1;
    bp_loss_forward(net, NULL, ws, &draw, &call, true);
    ck_assert_mem_eq(first, call.z, sizeof first);
    draw.step = 8;
    bp_loss_forward(net, NULL, ws, &draw, &call, true);
    ck_assert_mem_ne(first, call.z, sizeof first);
    bp_loss_forward(net, NULL, ws, NULL, &call, false);
    for (int k = 0; k < 1000; k++) ck_assert(call.z[k] == 1);
    bp_workspace_free(ws);
    bp_network_free(net);
    free(y);
}
END_TEST

START_TEST(a_batch_too_large_is_refused) {
    struct bp_network *net = test_network("dense units=60000", "mse", FEATURES(1));
    struct bp_workspace *ws = NULL;
    struct bp_error error = {0};
    ck_assert_int_eq(bp_workspace_new(net, 40000, false, &ws, &error), -1);
    ck_contains(error.message, "too large");
    ck_assert_ptr_null(ws);
    ck_assert_int_eq(bp_workspace_new(net, 0, false, &ws, NULL), -1);
    bp_network_free(net);
}
END_TEST

/* ---- memory runs out --------------------------------------------------------------------------------------------- */

START_TEST(every_allocation_may_fail) {
    struct test_graph graph;
    if (test_allocations() < 0) SKIP_TEST("allocations are not counted with a sanitizer");
    test_graph(&graph, "dense units=5; flatten; dense units=2", "mse", FEATURES(3));
    for (long nth = 1;; nth++) {
        struct bp_network *net = NULL;
        struct bp_workspace *ws = NULL;
        struct bp_error error = {0};
        const long live = test_live_blocks();
        test_allocations_fail(nth);
        int failed = bp_network_plan(&graph.graph, &net, &error);
        if (!failed) failed = bp_workspace_new(net, 2, true, &ws, &error);
        test_allocations_fail(0);
        ck_assert(!failed == (ws != NULL));
        if (failed) ck_contains(error.message, "no memory");
        bp_workspace_free(ws);
        bp_network_free(net);
        ck_assert_int_eq(test_live_blocks(), live);
        if (!failed) {
            ck_assert_int_gt(nth, 10);
            return;
        }
    }
}
END_TEST

START_TEST(initializers_take_their_parameters) {
    struct bp_network *net =
        test_network("dense units=3 kernel_initializer=orthogonal:2 bias_initializer=constant:0.25", NULL, (struct bp_shape){1, {1}});
    bp_real *W = bp_reals_new(net->weights_count);
    bp_network_initialize(net, 1, W);
    const struct bp_tensor *t = net->nodes[1].tensors;
    double squares = 0;
    for (int i = 0; i < 3; i++) {
        squares += (double)W[t[0].offset + i] * (double)W[t[0].offset + i];
        ck_assert(W[t[1].offset + i] == (bp_real)0.25);
    }
    ck_assert_double_eq_tol(squares, 4, 1e-6);
    free(W);
    bp_network_free(net);
}
END_TEST

Suite *suite_network(void);
Suite *suite_network(void) {
    Suite *suite = suite_create("network");
    TCase *tests = tcase_create("network");
    tcase_add_test(tests, nameless_layers_are_named_and_chained);
    tcase_add_test(tests, layers_may_be_defined_in_any_order);
    tcase_add_loop_test(tests, mistakes_are_explained, 0, (int)(sizeof mistakes / sizeof *mistakes));
    tcase_add_test(tests, empty_and_ambiguous_graphs);
    tcase_add_test(tests, shapes);
    tcase_add_test(tests, unknown_shapes_are_planned_as_far_as_possible);
    tcase_add_test(tests, heads_are_fused);
    tcase_add_test(tests, a_fused_head_predicts_the_same);
    tcase_add_test(tests, initial_weights);
    tcase_add_test(tests, gradients_of_several_readers_add_up);
    tcase_add_test(tests, gradients_of_several_batches_add_up);
    tcase_add_test(tests, predictions_repeat);
    tcase_add_test(tests, dropout_drops_its_share);
    tcase_add_test(tests, a_batch_too_large_is_refused);
    tcase_add_test(tests, every_allocation_may_fail);
    tcase_add_test(tests, initializers_take_their_parameters);
    suite_add_tcase(suite, tests);
    return suite;
}

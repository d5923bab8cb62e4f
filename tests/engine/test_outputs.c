/* test_outputs.c - networks of several outputs: the gradient is the weighted sum of the losses' own, an output may be read by another layer, what the
 * loss fuses may not; names of metrics, losses by output. (Against finite differences: test_gradcheck.c.) */
#include "tests/engine/train_support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define TRUNK "dense units=6 activation=tanh name=t; dense units=3 in=t name=a; dense units=2 in=t activation=tanh name=b; dense units=1 in=b name=c"

enum { BATCH = 5 };
static const bp_real ya[BATCH] = {0, 2, 1, 1, 0}, yb[2 * BATCH] = {1, 2, 3, -1, 0, 1, 0.5f, 1, 2, 2}, yc[BATCH] = {1, 0, 1, 1, 0};

/* Loss and gradient of the outputs according to "losses"; y in their order. */
static double gradient_of(const char *losses, const bp_real *const *y, bp_real *gradient, bool any_readers) {
    struct test_graph graph;
    struct bp_network *net = NULL;
    struct bp_workspace *ws = NULL;
    struct bp_error error = {0};
    struct bp_loss_call calls[BP_OUTPUTS_MAX];
    test_graph(&graph, TRUNK, losses, (struct bp_shape){1, {4}});
    graph.graph.any_readers = any_readers;
    ck_assert_msg(bp_network_plan(&graph.graph, &net, &error) == 0, "%s", error.message);
    bp_real *weights = bp_reals_new(net->weights_count);
    bp_network_initialize(net, 5, weights);
    ck_assert_int_eq(bp_workspace_new(net, BATCH, true, &ws, NULL), 0);
    for (int i = 0; i < 4 * BATCH; i++) bp_workspace_input(ws, 0)[i] = (bp_real)sin(i);
    for (int32_t k = 0; k < net->outputs_count; k++) calls[k] = (struct bp_loss_call){.batch = BATCH, .y = y[k], .scale = 1};
    const double loss = bp_loss_forward(net, weights, ws, NULL, calls, true);
    bp_loss_backward(net, weights, ws, gradient, false, false);
    bp_workspace_free(ws);
    bp_network_free(net);
    free(weights);
    return loss;
}

START_TEST(the_gradient_is_the_weighted_sum) {
    enum { ROOM = 512 };
    static bp_real all[ROOM], each[3][ROOM];
    static const char *const alone[] = {"a: cross_entropy", "b: mse", "c: binary_cross_entropy"};
    const bp_real *const y[3] = {ya, yb, yc};
    const double weights[3] = {1, 0.5, 3};
    double loss = 0;
    for (int k = 0; k < 3; k++) loss += weights[k] * gradient_of(alone[k], y + k, each[k], true);
    ck_assert_double_eq_tol(gradient_of("a: cross_entropy; b*0.5: mse; c*3: binary_cross_entropy", y, all, false), loss, 1e-4);
    double largest = 0;
    for (int i = 0; i < ROOM; i++) {
        double sum = 0;
        for (int k = 0; k < 3; k++) sum += weights[k] * (double)each[k][i];
        largest = fmax(largest, fabs(sum));
        ck_assert_double_eq_tol((double)all[i], sum, 2e-5);
    }
    ck_assert_double_gt(largest, 1);
}
END_TEST

/* In another order the same: y follows the outputs as they are listed. */
START_TEST(outputs_in_any_order) {
    static bp_real one[512], other[512];
    const double loss = gradient_of("a: cross_entropy; b*0.5: mse; c*3: binary_cross_entropy", (const bp_real *const[]){ya, yb, yc}, one, false);
    ck_assert_double_eq_tol(
        gradient_of("c*3: binary_cross_entropy; b*0.5: mse; a: cross_entropy", (const bp_real *const[]){yc, yb, ya}, other, false), loss, 1e-4);
    for (int i = 0; i < 512; i++) ck_assert_double_eq_tol((double)one[i], (double)other[i], 2e-5);
}
END_TEST

/* A loss takes the head off its layer: another reader of that layer would get other numbers than expected. */
START_TEST(a_fused_head_has_no_other_reader) {
    static const struct {
        const char *text, *losses, *pointer, *words;
    } wrong[] = {
        {"dense units=3 activation=softmax name=a; dense units=2 name=b", "a: cross_entropy; b: mse", "/layers/0/activation",
         "the loss cross_entropy fuses the softmax of the output layer \"a\", so layer \"b\" cannot read it; let both read the layer before it"},
        {"dense units=1 activation=sigmoid name=a; flatten name=f; dense units=2 name=b", "f: binary_cross_entropy; b: mse", "/layers/0/activation",
         "so layer \"b\" cannot read it"},
        {"dense units=3 activation=softmax name=a; flatten name=f; flatten in=a name=g; dense units=2 in=g name=b", "f: cross_entropy; b: mse",
         "/layers/0/activation", "so layer \"g\" cannot read it"},
        {"dense units=3 activation=softmax name=a; flatten name=f", "f: cross_entropy; a: mse", "/layers/0/activation", "\"a\" is also an output"},
        {"dense units=3 activation=softmax name=a; flatten name=f", "a: mse; f: cross_entropy", "/layers/0/activation", "\"a\" is also an output"},
        {"dense units=3 name=a; flatten in=a name=f; flatten in=a name=g", "f: cross_entropy; g: cross_entropy", "/layers/0/activation",
         "cannot read it"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct test_graph graph;
        struct bp_error error;
        test_graph(&graph, wrong[i].text, wrong[i].losses, (struct bp_shape){1, {4}});
        test_plan_fails(&graph, &error);
        ck_assert_msg(!strcmp(error.pointer, wrong[i].pointer), "%s: %s %s", wrong[i].text, error.pointer, error.message);
        ck_contains(error.message, wrong[i].words);
    }
}
END_TEST

/* A view between the layer and its loss is fused through, as long as it has no other reader: alone, and beside another output. */
START_TEST(a_view_may_lead_to_the_output) {
    struct bp_network *net = test_network("dense units=4 name=t; dense units=3 activation=softmax in=t; flatten name=f; dense units=1 in=t name=b",
                                          "f: cross_entropy; b: mse", (struct bp_shape){1, {4}});
    ck_assert_str_eq(net->outputs[0].head->entry.name, "softmax");
    ck_assert_ptr_null(net->outputs[1].head);
    bp_network_free(net);
}
END_TEST

/* An output without a head may be read on: the reader gets the numbers that the loss got. x = 2: a = 6, b = 18. */
START_TEST(an_output_may_be_read_on) {
    struct test_graph graph;
    struct bp_network *net = NULL;
    test_graph(&graph, "dense units=1 use_bias=0 kernel_initializer=constant:3 name=a; dense units=1 use_bias=0 kernel_initializer=constant:3 name=b",
               "b: mse; a: mse", (struct bp_shape){1, {1}});
    ck_assert_int_eq(bp_network_plan(&graph.graph, &net, NULL), 0);
    struct test_data data = {.width = 1, .y_width = 1, .second_width = 1, .rows = 1, .x = {2}, .y = {17}, .second = {4}};
    struct bp_train_options options = test_options("sgd", "learning_rate=0.5", 1);
    options.tasks[1].unit = 1;
    struct bp_trainer *trainer = test_trainer(net, &options, &data, NULL);
    bp_trainer_step(trainer);
    ck_assert_double_eq_tol(test_metric(trainer, "loss"), 1 + 4, 1e-5);
    ck_assert_double_eq_tol(test_metric(trainer, "b_loss"), 1, 1e-5);
    ck_assert_double_eq_tol(test_metric(trainer, "a_loss"), 4, 1e-5);
    /* d b = 2, d a = 2 x 2 + 3 x 2 = 10; W_a -= 0.5 x 10 x 2, W_b -= 0.5 x 2 x 6 */
    const bp_real *W = bp_trainer_result(trainer);
    ck_assert_double_eq_tol((double)W[0], 3 - 10, 1e-4);
    ck_assert_double_eq_tol((double)W[16], 3 - 6, 1e-4);
    bp_trainer_free(trainer);
    bp_network_free(net);
}
END_TEST

/* ---- in training -------------------------------------------------------------------------------------------------- */

/* The class of the arm, and its distance from the centre, from one trunk. */
static struct bp_network *two_heads(const char *losses) {
    return test_network("dense units=32 activation=relu; dense units=32 activation=relu name=t; dense units=3 name=arm; dense units=1 in=t name=far",
                        losses, (struct bp_shape){1, {2}});
}

static void two_targets(struct test_data *data, int64_t rows, uint32_t index) {
    test_spiral(data, rows, index);
    data->second_width = 1;
    for (int64_t i = 0; i < rows; i++) data->second[i] = (bp_real)hypot((double)data->x[2 * i], (double)data->x[2 * i + 1]);
}

START_TEST(names_and_values) {
    static struct test_data train, validation;
    two_targets(&train, 600, 0);
    two_targets(&validation, 90, 1);
    struct bp_network *net = two_heads("arm: cross_entropy; far*0.25: mse");
    struct bp_train_options options = test_options("adam", "learning_rate=0.01", 60);
    options.tasks[0].classes = 3;
    options.tasks[1].unit = 10;
    test_add_metric(&options, "accuracy");
    test_add_metric(&options, "roc_auc");
    options.tasks[1].metrics[options.tasks[1].metrics_count++] = (const struct bp_metric_ops *)bp_family_find(&bp_metrics, "rmse");
    options.stop_early = true;
    options.stop_patience = 60;
    strcpy(options.stop_metric, "val_arm_accuracy");
    for (int32_t threads = 1; threads <= 2; threads++) {
        options.threads = threads;
        struct bp_trainer *trainer = test_trainer(net, &options, &train, &validation);
        static const char *const names[] = {"loss",         "val_loss",         "arm_loss",        "val_arm_loss",
                                            "arm_accuracy", "val_arm_accuracy", "val_arm_roc_auc", "far_loss",
                                            "val_far_loss", "far_rmse",         "val_far_rmse"};
        ck_assert_int_eq(bp_trainer_metrics_count(trainer), 11);
        for (int i = 0; i < 11; i++) ck_assert_str_eq(bp_trainer_metric_name(trainer, i), names[i]);
        test_run(trainer);
        ck_assert_double_eq_tol(test_metric(trainer, "loss"), test_metric(trainer, "arm_loss") + 0.25 * test_metric(trainer, "far_loss"), 1e-6);
        ck_assert_double_eq_tol(test_metric(trainer, "val_loss"), test_metric(trainer, "val_arm_loss") + 0.25 * test_metric(trainer, "val_far_loss"),
                                1e-6);
        ck_assert_double_eq_tol(test_metric(trainer, "val_far_rmse"), 10 * sqrt(test_metric(trainer, "val_far_loss")), 1e-4); /* its unit is 10 */
        ck_assert_double_gt(test_metric(trainer, "val_arm_accuracy"), 0.93);
        ck_assert_double_lt(test_metric(trainer, "val_far_loss"), 0.02);
        bp_trainer_free(trainer);
    }
    bp_network_free(net);
}
END_TEST

START_TEST(errors_name_their_output) {
    static struct test_data train;
    struct bp_network *net = two_heads("arm: cross_entropy; far: mse");
    struct bp_train_options options = test_options("adam", "", 1);
    struct bp_trainer *trainer = NULL;
    struct bp_error error = {0};
    two_targets(&train, 30, 0);
    const struct bp_source source = test_source(&train);
    options.tasks[0].classes = 4;
    ck_assert_int_eq(bp_trainer_new(net, &options, &source, NULL, &trainer, &error), -1);
    ck_contains(error.message, "has 3 numbers, but the target has 4 classes");
    ck_contains(error.message, "\"arm\"");
    options.tasks[0].classes = 3;
    options.tasks[1].metrics[options.tasks[1].metrics_count++] = (const struct bp_metric_ops *)bp_family_find(&bp_metrics, "f1");
    ck_assert_int_eq(bp_trainer_new(net, &options, &source, NULL, &trainer, &error), -1);
    bp_network_free(net);
}
END_TEST

START_TEST(outputs_that_cannot_be) {
    static const struct {
        const char *losses, *pointer, *words;
    } wrong[] = {
        {"a: mse; a: mse", "/outputs/1", "the layer \"a\" is named twice among the outputs"},
        {"a: mse; z: mse", "/outputs/1", "the output \"z\" is not the name of a layer"},
        {"x: mse; a: mse", "/outputs/0", "\"x\" is an input; the output must be a layer"},
        {"a: mse; b: mse", "/layers/3", "no layer reads \"c\", and the output is \"a\" and others"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct test_graph graph;
        struct bp_error error;
        test_graph(&graph, TRUNK, wrong[i].losses, (struct bp_shape){1, {4}});
        test_plan_fails(&graph, &error);
        ck_assert_msg(!strcmp(error.pointer, wrong[i].pointer), "%s: %s", wrong[i].losses, error.pointer);
        ck_contains(error.message, wrong[i].words);
    }
}
END_TEST

Suite *suite_outputs(void);
Suite *suite_outputs(void) {
    Suite *suite = suite_create("outputs");
    TCase *tests = tcase_create("outputs");
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, the_gradient_is_the_weighted_sum);
    tcase_add_test(tests, outputs_in_any_order);
    tcase_add_test(tests, a_fused_head_has_no_other_reader);
    tcase_add_test(tests, a_view_may_lead_to_the_output);
    tcase_add_test(tests, an_output_may_be_read_on);
    tcase_add_test(tests, names_and_values);
    tcase_add_test(tests, errors_name_their_output);
    tcase_add_test(tests, outputs_that_cannot_be);
    suite_add_tcase(suite, tests);
    return suite;
}

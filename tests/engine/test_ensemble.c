/* test_ensemble.c - members of an ensemble at an output (engine/network/members.c) and layers that are fitted on training rows before the first step
 * (engine/train/fit.c): their values, resuming, threads, windows. (Values and gradients: test_golden.c and test_gradcheck.c.) */
#include "tests/engine/train_support.h"

#include "engine/network/workspace.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define FAMILY                                                                                                                                       \
    "piecewise_linear_embedding bins=6 output_dim=4; ensemble members=4 group_size=4; dense units=12 activation=relu name=t; dropout rate=0.2;"      \
    "ensemble_dense units=3 name=arm; ensemble_dense units=1 in=t name=far"

static struct bp_network *two_outputs(const char *text, struct bp_factors factors) {
    struct test_graph graph;
    struct bp_network *net = NULL;
    struct bp_error error = {0};
    test_graph(&graph, text, TEST_EVERYTHING_LOSSES, (struct bp_shape){1, {2}});
    for (int32_t i = 0; i < graph.graph.layers_count; i += 2) graph.layers[i].factors = factors;
    ck_assert_msg(bp_network_plan(&graph.graph, &net, &error) == 0, "%s", error.message);
    return net;
}

static const bp_real *tensor_of(const struct bp_network *net, const bp_real *weights, const char *name) {
    for (int32_t i = 0; i < net->nodes_count; i++)
        for (int32_t t = 0; t < net->nodes[i].tensors_count; t++)
            if (!strcmp(net->nodes[i].tensors[t].name, name)) return weights + net->nodes[i].tensors[t].offset;
    ck_abort_msg("no tensor %s", name);
    return NULL;
}

/* ---- fitting ----------------------------------------------------------------------------------------------------- */

/* Three columns: 0, 1, ... 599 in some order; 450 zeros and 1, 2, ... 150; 7. */
static void three_columns(struct test_data *data) {
    *data = (struct test_data){.width = 3, .y_width = 1, .rows = 600};
    for (int64_t i = 0; i < data->rows; i++) {
        const int64_t j = i * 7 % 600;
        data->x[3 * i] = (bp_real)j;
        data->x[3 * i + 1] = j < 450 ? 0 : (bp_real)(j - 449);
        data->x[3 * i + 2] = 7;
        data->y[i] = (bp_real)(j % 2);
    }
}

/* Interpolated quantiles; ties collapse and the last edge repeats; a constant column has one bin without width. */
START_TEST(edges_are_quantiles) {
    static const double expected[15] = {0, 149.75, 299.5, 449.25, 599, 0, 0.25, 150, 150, 150, 7, 7, 7, 7, 7};
    static struct test_data data;
    for (int frozen = 0; frozen < 2; frozen++) {
        struct bp_network *net = test_network(frozen ? "piecewise_linear_embedding bins=4 output_dim=2 frozen=1; dense units=1"
                                                     : "piecewise_linear_embedding bins=4 output_dim=2; dense units=1",
                                              "mse", (struct bp_shape){1, {3}});
        struct bp_train_options options = test_options("adam", "", 2);
        struct bp_workspace *ws = NULL;
        three_columns(&data);
        struct bp_trainer *trainer = test_trainer(net, &options, &data, NULL);
        ck_assert_int_eq(test_run(trainer), BP_TRAIN_DONE);
        const bp_real *edges = tensor_of(net, bp_trainer_result(trainer), "edges");
        for (int i = 0; i < 15; i++) ck_assert_double_eq_tol((double)edges[i], expected[i], 1e-4);
        ck_assert_int_eq(bp_workspace_new(net, 2, false, &ws, NULL), 0);
        memcpy(bp_workspace_input(ws, 0), (const bp_real[]){10, 3, 7, 10, 3, -1e6f}, 6 * sizeof(bp_real));
        const bp_real *p = bp_predict(net, bp_trainer_result(trainer), ws, 2);
        ck_assert(isfinite(p[0]) && p[0] == p[1]); /* a new value of the constant column changes nothing */
        bp_workspace_free(ws);
        bp_trainer_free(trainer);
        bp_network_free(net);
    }
}
END_TEST

/* Each row of the encoding by hand: bins 1, 2, 4 wide of one feature; 1 in the bins before, a part of its own. Outside it goes on, up to 3 widths. */
START_TEST(embedding_by_hand) {
    struct bp_network *net = test_network("piecewise_linear_embedding bins=3 output_dim=1", "mse", (struct bp_shape){1, {1}});
    struct bp_workspace *ws = NULL;
    bp_real *weights = bp_reals_new(net->weights_count);
    static const bp_real x[] = {0, 0.5f, 1, 2, 3, 5, 7, -1, 11, 15, -9, 1000}, edges[] = {0, 1, 3, 7}, kernel[] = {10, 100, 1000};
    static const double expected[] = {1, 6, 11, 61, 111, 611, 1111, -9, 2111, 3111, -29, 4111};
    memcpy((bp_real *)(uintptr_t)tensor_of(net, weights, "edges"), edges, sizeof edges);
    memcpy((bp_real *)(uintptr_t)tensor_of(net, weights, "kernel"), kernel, sizeof kernel);
    *(bp_real *)(uintptr_t)tensor_of(net, weights, "bias") = 1;
    ck_assert_int_eq(bp_workspace_new(net, 12, false, &ws, NULL), 0);
    memcpy(bp_workspace_input(ws, 0), x, sizeof x);
    const bp_real *a = bp_predict(net, weights, ws, 12);
    for (int i = 0; i < 12; i++) ck_assert_double_eq_tol((double)a[i], expected[i], 1e-3);
    bp_workspace_input(ws, 0)[0] = (bp_real)NAN;
    ck_assert(isnan(bp_predict(net, weights, ws, 1)[0]));
    bp_workspace_free(ws);
    bp_network_free(net);
    free(weights);
}
END_TEST

/* Data in windows: fitted on the first window alone. */
START_TEST(windows_fit_on_the_first) {
    static struct test_data data;
    struct bp_network *net = test_network("piecewise_linear_embedding bins=4 output_dim=2; dense units=1", "mse", (struct bp_shape){1, {1}});
    struct bp_train_options options = test_options("adam", "", 1);
    struct bp_trainer_state state;
    data = (struct test_data){.width = 1, .y_width = 1, .rows = 600};
    for (int64_t i = 0; i < data.rows; i++) data.x[i] = (bp_real)i;
    options.window = 128;
    struct bp_trainer *trainer = test_trainer(net, &options, &data, NULL);
    bp_trainer_state(trainer, &state);
    const bp_real *edges = tensor_of(net, state.weights, "edges");
    ck_assert((int)edges[0] % 128 == 0);
    ck_assert(edges[4] == edges[0] + 127);
    ck_assert_int_eq(test_run(trainer), BP_TRAIN_DONE);
    bp_trainer_free(trainer);
    bp_network_free(net);
}
END_TEST

/* Outputs of variance 1 over the rows, and the zero of each unit among them; with either parametrisation, for each member and position. */
START_TEST(outputs_of_variance_1) {
    static const char *const texts[] = {"dense units=40 data_dependent=1", "dense units=40 data_dependent=1 parametrization=ntk",
                                        "ensemble members=2 factors=ones; ensemble_dense units=20 data_dependent=1 parametrization=ntk",
                                        "dense units=3 activation=tanh; dense units=40 data_dependent=1; activation activation=linear"};
    static struct test_data data;
    three_columns(&data);
    for (size_t k = 0; k < sizeof texts / sizeof *texts; k++) {
        struct test_graph graph;
        struct bp_network *net = NULL;
        struct bp_train_options options = test_options("sgd", "learning_rate=0", 1);
        struct bp_workspace *ws = NULL;
        struct bp_trainer_state state;
        test_graph(&graph, texts[k], "mse", (struct bp_shape){1, {3}});
        ck_assert_int_eq(bp_network_plan(&graph.graph, &net, NULL), 0);
        const int32_t units = (int32_t)bp_shape_size(&net->nodes[net->outputs[0].node].out); /* of all members */
        data.y_width = 0;                                                                    /* no target is read */
        struct bp_trainer *trainer = test_trainer(net, &options, &data, NULL);
        bp_trainer_state(trainer, &state);
        ck_assert_int_eq(bp_workspace_new(net, 600, false, &ws, NULL), 0);
        memcpy(bp_workspace_input(ws, 0), data.x, 1800 * sizeof(bp_real));
        bp_predict(net, state.weights, ws, 600);
        const bp_real *p = ws->a[net->outputs[0].node];
        for (int32_t j = 0; j < units; j++) {
            double sum = 0, squares = 0, low = INFINITY, high = -INFINITY;
            for (int32_t i = 0; i < 600; i++) {
                const double z = (double)p[i * units + j];
                sum += z / 600;
                squares += z * z / 600;
                low = fmin(low, z);
                high = fmax(high, z);
            }
            ck_assert_double_eq_tol(squares - sum * sum, 1, 1e-3);
            ck_assert(low < 1e-3 && high > -1e-3);
        }
        bp_workspace_free(ws);
        bp_trainer_free(trainer);
        bp_network_free(net);
    }
}
END_TEST

/* Broken off anywhere, before the first step too, it ends with the same bits; everything is switched on. */
START_TEST(resumes_to_the_same_bits) {
    static struct test_data train, validation;
    static const int breaks[] = {0, 1, 5, 11, 17};
    for (int32_t threads = 1; threads <= 3; threads += 2) {
        struct bp_network *net = two_outputs(FAMILY, (struct bp_factors){.rate = 2, .bias_rate = 0.1, .decay = 3, .decay_given = true});
        struct bp_train_options options = test_everything(threads, &train, &validation);
        options.dropout_schedule = options.decay_schedule = (const struct bp_schedule_ops *)bp_family_find(&bp_schedules, "flat_cosine");
        bp_values_preset(&options.dropout_schedule->entry, options.dropout_schedule_values);
        bp_values_preset(&options.decay_schedule->entry, options.decay_schedule_values);
        options.optimizer_values[options.optimizer->decay_index].number = BP_DECAY_KERNELS;
        struct bp_trainer *whole = test_trainer(net, &options, &train, &validation);
        ck_assert_int_eq(test_run(whole), BP_TRAIN_DONE);
        for (size_t b = 0; b < sizeof breaks / sizeof *breaks; b++) {
            struct bp_trainer *first = test_trainer(net, &options, &train, &validation), *rest = test_trainer(net, &options, &train, &validation);
            struct bp_error error = {0};
            for (int i = 0; i < breaks[b]; i++) bp_trainer_step(first);
            struct bp_trainer_state state = test_copy_state(first);
            ck_assert_msg(bp_trainer_restore(rest, &state, &error) == 0, "%s", error.message);
            ck_assert_int_eq(test_run(rest), BP_TRAIN_DONE);
            test_compare_ends(whole, rest);
            test_free_state(&state);
            bp_trainer_free(first);
            bp_trainer_free(rest);
        }
        bp_trainer_free(whole);
        bp_network_free(net);
    }
}
END_TEST

/* Weights that were restored are not fitted again. */
START_TEST(restored_weights_stay) {
    static struct test_data data;
    struct bp_network *net = test_network("piecewise_linear_embedding bins=4 output_dim=2; dense units=1", "mse", (struct bp_shape){1, {3}});
    struct bp_train_options options = test_options("adam", "", 1);
    struct bp_error error = {0};
    three_columns(&data);
    struct bp_trainer *trainer = test_trainer(net, &options, &data, NULL);
    struct bp_trainer_state state = test_copy_state(trainer);
    ((bp_real *)(uintptr_t)tensor_of(net, state.weights, "edges"))[0] = -50;
    ck_assert_int_eq(bp_trainer_restore(trainer, &state, &error), 0);
    ck_assert_int_eq(test_run(trainer), BP_TRAIN_DONE);
    ck_assert(tensor_of(net, bp_trainer_result(trainer), "edges")[0] == -50);
    test_free_state(&state);
    bp_trainer_free(trainer);
    bp_network_free(net);
}
END_TEST

/* ---- members ----------------------------------------------------------------------------------------------------- */

enum { BATCH = 5 };

/* Loss, predictions and the gradient of the only kernel, from samples with weights. */
static double pass_of(const char *text, const char *loss, const bp_real *y, bp_real *p, bp_real *gradient) {
    static const bp_real kernel[12] = {1, -1, 0.5f, 2, 0.25f, -0.5f, 0, 1, 1, -2, 1, 0.125f}, sample_weights[BATCH] = {1, 2, 0, 0.5f, 1};
    struct bp_network *net = test_network(text, loss, (struct bp_shape){1, {4}});
    struct bp_workspace *ws = NULL;
    bp_real *weights = bp_reals_new(net->weights_count), *all = bp_reals_new(net->weights_count);
    bp_network_initialize(net, 3, weights);
    bp_real *W = (bp_real *)(uintptr_t)tensor_of(net, weights, "kernel");
    memcpy(W, kernel, sizeof kernel);
    ck_assert_int_eq(bp_workspace_new(net, BATCH, true, &ws, NULL), 0);
    for (int i = 0; i < 4 * BATCH; i++) bp_workspace_input(ws, 0)[i] = (bp_real)sin(i);
    struct bp_loss_call call = {.batch = BATCH, .y = y, .weights = sample_weights, .scale = 0.5};
    const double sum = bp_loss_forward(net, weights, ws, NULL, &call, true);
    ck_assert_int_eq(call.batch, BATCH);
    ck_assert_int_eq(call.width, bp_shape_size(&net->outputs[0].shape));
    memcpy(p, call.z, BATCH * (size_t)call.width * sizeof *p);
    bp_loss_backward(net, weights, ws, all, false, false);
    memcpy(gradient, all + (W - weights), sizeof kernel);
    for (int i = 0; i < 4 * BATCH; i++) bp_workspace_input(ws, 0)[i] = (bp_real)sin(i);
    const bp_real *predicted = bp_predict(net, weights, ws, BATCH);
    for (int i = 0; i < BATCH * call.width; i++) ck_assert_double_eq_tol((double)predicted[i], (double)p[i], 1e-6);
    bp_workspace_free(ws);
    bp_network_free(net);
    free(weights);
    free(all);
    return sum;
}

/* Members that are all alike are one network: same loss, predictions and gradients, with classes, numbers, shares and quantiles. */
START_TEST(equal_members_are_one_network) {
    static const struct {
        const char *loss;
        bp_real y[3 * BATCH];
    } cases[] = {{"cross_entropy label_smoothing=0.1", {0, 2, 1, 1, 0}},
                 {"mse", {1, 2, 3, 0, 0, 0, 1, 0, 2, -1, 0, 1, 0.5f, 1, 1}},
                 {"kl_divergence", {1, 0, 0, 0.5f, 0.5f, 0, 0.25f, 0.5f, 0.25f, 0, 0, 1, 0, 1, 0}},
                 {"quantile quantiles=0.1,0.5,0.9", {1, 2, 3, 0, -1}}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bp_real p[2][3 * BATCH], gradient[2][12];
        const double one = pass_of("dense units=3", cases[i].loss, cases[i].y, p[0], gradient[0]);
        const double all = pass_of("ensemble members=6 factors=ones; dense units=3", cases[i].loss, cases[i].y, p[1], gradient[1]);
        ck_assert_double_eq_tol(one, all, 1e-5);
        for (int k = 0; k < 3 * BATCH; k++) ck_assert_double_eq_tol((double)p[0][k], (double)p[1][k], 1e-6);
        for (int k = 0; k < 12; k++) ck_assert_double_eq_tol((double)gradient[0][k], (double)gradient[1][k], 1e-6);
    }
}
END_TEST

/* The bits of a prediction are the same in every batch: of a network with members and of another. */
START_TEST(predictions_in_any_batch) {
    static const char *const texts[] = {"piecewise_linear_embedding; ensemble; dense units=128 activation=relu; dense units=70 activation=gelu "
                                        "parametrization=ntk; ensemble_dense units=3",
                                        "scale; dense units=256 activation=selu; dense units=256 activation=mish; dense units=3 activation=softmax"};
    static const int32_t sizes[] = {1, 2, 3, 7, 16, 33, 64, 150};
    for (size_t k = 0; k < 2; k++) {
        struct bp_network *net = test_network(texts[k], NULL, (struct bp_shape){1, {20}});
        struct bp_workspace *ws = NULL;
        bp_real *weights = bp_reals_new(net->weights_count), first[3 * 150], x[20 * 150];
        bp_network_initialize(net, 5, weights);
        for (int i = 0; i < 20 * 150; i++) x[i] = (bp_real)(2 * sin(i));
        ck_assert_int_eq(bp_workspace_new(net, 150, false, &ws, NULL), 0);
        memcpy(bp_workspace_input(ws, 0), x, sizeof x);
        memcpy(first, bp_predict(net, weights, ws, 150), sizeof first);
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
            for (int32_t from = 0; from + sizes[s] <= 150; from += sizes[s]) {
                memcpy(bp_workspace_input(ws, 0), x + 20 * from, 20 * (size_t)sizes[s] * sizeof *x);
                ck_assert_mem_eq(bp_predict(net, weights, ws, sizes[s]), first + 3 * from, 3 * (size_t)sizes[s] * sizeof *x);
            }
        bp_workspace_free(ws);
        bp_network_free(net);
        free(weights);
    }
}
END_TEST

/* One draw for a member's group, the last of which may be smaller; another for each group and member. */
START_TEST(groups_share_their_first_factor) {
    struct bp_network *net = test_network("ensemble members=2 group_size=2; dense units=1", "mse", (struct bp_shape){1, {5}});
    bp_real *weights = bp_reals_new(net->weights_count);
    bp_network_initialize(net, 11, weights);
    const bp_real *r = tensor_of(net, weights, "factors"); /* (2, 5) */
    for (int m = 0; m < 2; m++, r += 5) {
        ck_assert(r[0] == r[1] && r[2] == r[3]);
        ck_assert(r[1] != r[2] && r[3] != r[4]);
    }
    ck_assert(r[-10] != r[-5]);
    bp_network_free(net);
    free(weights);
}
END_TEST

/* max_norm holds for each unit of each member. */
START_TEST(norms_of_members) {
    static struct test_data data;
    struct bp_network *net =
        test_network("ensemble members=4; ensemble_dense units=2 use_bias=0; global_average_pool", "mse", (struct bp_shape){1, {2}});
    struct bp_train_options options = test_options("sgd", "learning_rate=0.1", 3);
    test_line(&data, 100);
    data.y_width = 2;
    for (int i = 0; i < 200; i++) data.y[i] = 5 * data.x[i];
    options.max_norm = 0.5;
    struct bp_trainer *trainer = test_trainer(net, &options, &data, NULL);
    ck_assert_int_eq(test_run(trainer), BP_TRAIN_DONE);
    const bp_real *W = tensor_of(net, bp_trainer_result(trainer), "kernel"); /* (4, 2, 2) */
    for (int m = 0; m < 4; m++)
        for (int j = 0; j < 2; j++) ck_assert_double_eq_tol(hypot((double)W[4 * m + j], (double)W[4 * m + 2 + j]), 0.5, 1e-4);
    bp_trainer_free(trainer);
    bp_network_free(net);
}
END_TEST

/* Metrics see the mean of the members, whose loss is below the mean of theirs that is minimised. */
START_TEST(an_ensemble_learns) {
    static struct test_data train, validation;
    struct bp_network *net = test_network("piecewise_linear_embedding; ensemble group_size=8; dense units=32 activation=relu; ensemble_dense units=3",
                                          "cross_entropy", (struct bp_shape){1, {2}});
    struct bp_train_options options = test_options("adamw", "learning_rate=0.005", 30);
    test_spiral(&train, 450, 0);
    test_spiral(&validation, 150, 1);
    options.tasks[0].classes = 3;
    test_add_metric(&options, "accuracy");
    test_add_metric(&options, "log_loss");
    struct bp_trainer *trainer = test_trainer(net, &options, &train, &validation);
    ck_assert_int_eq(test_run(trainer), BP_TRAIN_DONE);
    ck_assert_double_gt(test_metric(trainer, "val_accuracy"), 0.9);
    ck_assert_double_lt(test_metric(trainer, "val_log_loss"), test_metric(trainer, "val_loss"));
    bp_trainer_free(trainer);
    bp_network_free(net);
}
END_TEST

Suite *suite_ensemble(void);
Suite *suite_ensemble(void) {
    Suite *suite = suite_create("ensemble");
    TCase *tests = tcase_create("ensemble");
    tcase_add_test(tests, edges_are_quantiles);
    tcase_add_test(tests, embedding_by_hand);
    tcase_add_test(tests, windows_fit_on_the_first);
    tcase_add_test(tests, outputs_of_variance_1);
    tcase_add_test(tests, resumes_to_the_same_bits);
    tcase_add_test(tests, restored_weights_stay);
    tcase_add_test(tests, equal_members_are_one_network);
    tcase_add_test(tests, predictions_in_any_batch);
    tcase_add_test(tests, groups_share_their_first_factor);
    tcase_add_test(tests, norms_of_members);
    tcase_add_test(tests, an_ensemble_learns);
    suite_add_tcase(suite, tests);
    return suite;
}

/* test_batch_norm.c - what the moving statistics of layers/batch_norm.c go through in a training: by hand, over shards, frozen, saved and resumed;
 * masks; that it learns. (Values and gradients against PyTorch: test_golden.c.) */
#include "tests/engine/train_support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const bp_real *tensor(const struct bp_network *net, const bp_real *weights, const char *layer, const char *name) {
    for (int32_t i = 0; i < net->nodes_count; i++)
        for (int32_t t = 0; t < net->nodes[i].tensors_count; t++)
            if (!strcmp(net->nodes[i].name, layer) && !strcmp(net->nodes[i].tensors[t].name, name)) return weights + net->nodes[i].tensors[t].offset;
    ck_abort_msg("no %s/%s", layer, name);
    return NULL;
}

static const bp_real *current(struct bp_trainer *trainer) {
    struct bp_trainer_state state;
    bp_trainer_state(trainer, &state);
    return state.weights;
}

#define NORMED "batch_norm momentum=0.6 name=n; dense units=1"

/* Three rows 1, 2, 6 as one batch: mean 3, unbiased variance 7. Update 0 takes them as they are, update 1 half of the old and half of the new, all
 * later ones 0.6 of the old. */
START_TEST(moving_statistics_by_hand) {
    static struct test_data data = {.width = 1, .y_width = 1, .rows = 3, .x = {1, 2, 6}, .y = {1, 0, 1}};
    struct bp_network *net = test_network(NORMED, "mse", (struct bp_shape){1, {1}});
    struct bp_train_options options = test_options("sgd", "learning_rate=0", 5);
    struct bp_trainer *trainer = test_trainer(net, &options, &data, NULL);
    ck_assert_int_eq(bp_trainer_step(trainer), BP_TRAIN_EPOCH);
    ck_assert_double_eq_tol((double)*tensor(net, current(trainer), "n", "moving_mean"), 3, 1e-6);
    ck_assert_double_eq_tol((double)*tensor(net, current(trainer), "n", "moving_variance"), 7, 1e-5);
    data.x[0] = 3; /* 3, 2, 7: mean 4, variance 7 */
    data.x[2] = 7;
    bp_trainer_step(trainer); /* m = 1/2 */
    ck_assert_double_eq_tol((double)*tensor(net, current(trainer), "n", "moving_mean"), 3.5, 1e-6);
    data.x[0] = 13; /* 13, 12, 17: mean 14 */
    data.x[1] = 12;
    data.x[2] = 17;
    bp_trainer_step(trainer); /* m = 0.6, less than 2/3 */
    ck_assert_double_eq_tol((double)*tensor(net, current(trainer), "n", "moving_mean"), 0.6 * 3.5 + 0.4 * 14, 1e-5);
    data.x[2] = 12; /* 13, 12, 12: variance 1/3 */
    bp_trainer_step(trainer);
    ck_assert_double_eq_tol((double)*tensor(net, current(trainer), "n", "moving_variance"), 0.6 * 7 + 0.4 / 3, 1e-5);
    bp_trainer_free(trainer);
    bp_network_free(net);
}
END_TEST

/* With accumulation the statistics of all mini-batches of the first update count alike, whichever comes last. */
START_TEST(accumulated_batches_count_alike) {
    static struct test_data data = {.width = 1, .y_width = 1, .rows = 4, .x = {1, 2, 6, 11}, .y = {1, 0, 1, 1}};
    struct bp_network *net = test_network(NORMED, "mse", (struct bp_shape){1, {1}});
    struct bp_train_options options = test_options("sgd", "learning_rate=0", 1);
    options.batch_size = 2;
    options.gradient_accumulation_steps = 2;
    struct bp_trainer *trainer = test_trainer(net, &options, &data, NULL);
    ck_assert_int_eq(bp_trainer_step(trainer), BP_TRAIN_EPOCH);
    ck_assert_double_eq_tol((double)*tensor(net, current(trainer), "n", "moving_mean"), 5, 1e-5); /* of all four */
    bp_trainer_free(trainer);
    bp_network_free(net);
}
END_TEST

/* Shards whose rows are alike have the statistics of the whole: then two threads train as one. Unequal shards count by their rows. */
START_TEST(shards) {
    static struct test_data data = {.width = 1, .y_width = 1, .rows = 6, .x = {1, 1, 1, 1, 1, 1}, .y = {1, 0, 1, 0, 1, 1}};
    struct bp_network *net = test_network("dense units=3 activation=tanh; batch_norm; dense units=1", "mse", (struct bp_shape){1, {1}});
    struct bp_train_options options = test_options("sgd", "learning_rate=0.1", 4);
    struct bp_trainer *trainers[2];
    for (int32_t i = 0; i < 2; i++) {
        options.threads = i + 1;
        test_run(trainers[i] = test_trainer(net, &options, &data, NULL));
    }
    for (size_t k = 0; k < net->weights_count; k++) ck_assert_double_eq_tol((double)current(trainers[0])[k], (double)current(trainers[1])[k], 1e-5);
    for (int i = 0; i < 2; i++) bp_trainer_free(trainers[i]);
    bp_network_free(net);

    net = test_network(NORMED, "mse", (struct bp_shape){1, {1}});
    static struct test_data uneven = {.width = 1, .y_width = 1, .rows = 5, .x = {1, 2, 3, 4, 10}, .y = {1, 0, 1, 0, 1}};
    options = test_options("sgd", "learning_rate=0", 1);
    options.threads = 3; /* shards of 1, 2 and 2 rows: the mean of all is that of the five rows */
    trainers[0] = test_trainer(net, &options, &uneven, NULL);
    bp_trainer_step(trainers[0]);
    ck_assert_double_eq_tol((double)*tensor(net, current(trainers[0]), "n", "moving_mean"), 4, 1e-5);
    bp_trainer_free(trainers[0]);
    bp_network_free(net);
}
END_TEST

/* Frozen: weights and statistics stay as they are to the bit, and the moving statistics are what it norms by, in training too. */
START_TEST(frozen) {
    static struct test_data data;
    test_line(&data, 100);
    struct bp_network *net = test_network("batch_norm frozen=1 name=n; dense units=1", "mse", (struct bp_shape){1, {2}});
    struct bp_train_options options = test_options("adam", "learning_rate=0.05", 100);
    struct bp_trainer *trainer = test_trainer(net, &options, &data, NULL);
    ck_assert_int_eq(net->trained, 3);
    ck_assert_int_eq(net->parameters, 11);
    test_run(trainer);
    const bp_real *W = current(trainer), expected[4][2] = {{0, 0}, {1, 1}, {1, 1}, {0, 0}};
    static const char *const names[] = {"moving_mean", "moving_variance", "gamma", "beta"};
    for (int i = 0; i < 4; i++) ck_assert_mem_eq(tensor(net, W, "n", names[i]), expected[i], sizeof expected[i]);
    /* y = 3 x0 - 2 x1 + 1 through x / sqrt(1.001) */
    ck_assert_double_eq_tol((double)tensor(net, W, "dense_1", "kernel")[0], 3 * sqrt(1.001), 0.01);
    ck_assert_double_eq_tol((double)tensor(net, W, "dense_1", "bias")[0], 1, 0.01);
    bp_trainer_free(trainer);
    bp_network_free(net);
}
END_TEST

/* The best weights and their average bring the statistics of their time along: what is validated is what is kept. */
START_TEST(it_learns_and_stores_the_validated_weights) {
    static struct test_data train, validation;
    test_spiral(&train, 600, 0);
    test_spiral(&validation, 150, 1);
    for (int32_t i = 0; i < 4; i++) {
        struct bp_network *net = test_network("dense units=32; batch_norm momentum=0.9; activation activation=relu; dense units=32; batch_norm;"
                                              "activation activation=relu; dense units=3",
                                              "cross_entropy", (struct bp_shape){1, {2}});
        struct bp_train_options options = test_options("adam", "learning_rate=0.01", 40);
        options.tasks[0].classes = 3;
        options.threads = 1 + (i & 1);
        options.ema = i & 2 ? 0.9 : 0;
        options.stop_early = true;
        options.stop_patience = 40;
        test_add_metric(&options, "accuracy");
        struct bp_trainer *trainer = test_trainer(net, &options, &train, &validation);
        test_run(trainer);
        ck_assert_double_gt(test_metric(trainer, "val_accuracy"), 0.93);
        struct bp_trainer_state state;
        struct bp_workspace *ws = NULL;
        bp_trainer_state(trainer, &state);
        ck_assert_int_eq(bp_workspace_new(net, 150, false, &ws, NULL), 0);
        memcpy(bp_workspace_input(ws, 0), validation.x, 300 * sizeof(bp_real));
        struct bp_loss_call call = {.batch = 150, .y = validation.y, .scale = 1};
        ck_assert_double_eq_tol(bp_loss_forward(net, bp_trainer_result(trainer), ws, NULL, &call, false) / 150, state.best_value, 1e-5);
        bp_workspace_free(ws);
        bp_trainer_free(trainer);
        bp_network_free(net);
    }
}
END_TEST

/* Masked steps neither enter the statistics nor change the output of the others. */
START_TEST(hidden_steps_do_not_count) {
    static struct test_data data = {
        .width = 4, .y_width = 1, .rows = 2, .x = {1, 2, 0, 0, 6, 0, 0, 0}, .y = {1, 0}}; /* steps 1, 2 and 6 of one feature */
    struct bp_network *net = test_network("masking; batch_norm name=n; global_average_pool; dense units=1", "mse", (struct bp_shape){2, {4, 1}});
    struct bp_train_options options = test_options("sgd", "learning_rate=0", 1);
    struct bp_trainer *trainer = test_trainer(net, &options, &data, NULL);
    bp_trainer_step(trainer);
    ck_assert_double_eq_tol((double)*tensor(net, current(trainer), "n", "moving_mean"), 3, 1e-6);
    ck_assert_double_eq_tol((double)*tensor(net, current(trainer), "n", "moving_variance"), 7, 1e-5);
    bp_trainer_free(trainer);
    /* Two shards, of two steps and of one, count by their samples: (1.5 + 6) / 2; a single step has no variance, so (0.5 + what it was, 1) / 2. */
    options.threads = 2;
    trainer = test_trainer(net, &options, &data, NULL);
    bp_trainer_step(trainer);
    ck_assert_double_eq_tol((double)*tensor(net, current(trainer), "n", "moving_mean"), 3.75, 1e-6);
    ck_assert_double_eq_tol((double)*tensor(net, current(trainer), "n", "moving_variance"), 0.75, 1e-6);
    bp_trainer_free(trainer);
    /* Only padding: no statistics. */
    memset(data.x, 0, 8 * sizeof *data.x);
    options.threads = 1;
    trainer = test_trainer(net, &options, &data, NULL);
    ck_assert_int_eq(bp_trainer_step(trainer), BP_TRAIN_EPOCH);
    ck_assert(*tensor(net, current(trainer), "n", "moving_mean") == 0);
    ck_assert(*tensor(net, current(trainer), "n", "moving_variance") == 1);
    bp_trainer_free(trainer);
    bp_network_free(net);
}
END_TEST

/* A single row has no variance: it is not learned from, and nothing is divided by 0. PyTorch: "Expected more than 1 value per channel". */
START_TEST(a_batch_of_one) {
    static struct test_data data = {.width = 2, .y_width = 1, .rows = 1, .x = {3, -4}, .y = {1}};
    struct bp_network *net = test_network(NORMED, "mse", (struct bp_shape){1, {2}});
    struct bp_train_options options = test_options("sgd", "learning_rate=0.1", 3);
    struct bp_trainer *trainer = test_trainer(net, &options, &data, &data);
    ck_assert_int_eq(test_run(trainer), BP_TRAIN_DONE);
    ck_assert(tensor(net, current(trainer), "n", "moving_mean")[0] == 0);
    ck_assert(tensor(net, current(trainer), "n", "moving_variance")[0] == 1);
    ck_assert(isfinite(test_metric(trainer, "val_loss")));
    bp_trainer_free(trainer);
    bp_network_free(net);
}
END_TEST

/* Rows 1, 3, 100 in mini-batches of two, in any order: the statistics are those of the two rows of the first. */
START_TEST(a_last_batch_of_one_does_not_enter) {
    static struct test_data data = {.width = 1, .y_width = 1, .rows = 3, .x = {1, 3, 100}, .y = {1, 0, 1}};
    struct bp_network *net = test_network(NORMED, "mse", (struct bp_shape){1, {1}});
    struct bp_train_options options = test_options("sgd", "learning_rate=0", 1);
    options.batch_size = 2;
    struct bp_trainer *trainer = test_trainer(net, &options, &data, NULL);
    ck_assert_int_eq(test_run(trainer), BP_TRAIN_DONE);
    const double mean = (double)*tensor(net, current(trainer), "n", "moving_mean"),
                 variance = (double)*tensor(net, current(trainer), "n", "moving_variance");
    ck_assert((mean == 2 && fabs(variance - 2) < 1e-4) || (mean == 50.5 && fabs(variance - 4900.5) < 0.01) ||
              (mean == 51.5 && fabs(variance - 4704.5) < 0.01));
    bp_trainer_free(trainer);
    bp_network_free(net);
}
END_TEST

static void refuses(const char *network, struct bp_shape shape, int32_t batch, int32_t threads, const char *said) {
    struct bp_network *net = test_network(network, "mse", shape);
    struct bp_train_options options = test_options("sgd", "learning_rate=0", 1);
    struct bp_error error = {0};
    options.batch_size = batch;
    options.threads = threads;
    ck_assert_int_eq(bp_train_check(net, &options, &error), said ? -1 : 0);
    ck_assert_str_eq(error.pointer, said ? "/batch_size" : "");
    if (said) ck_assert_msg(strstr(error.message, said) != NULL, "%s", error.message);
    bp_network_free(net);
}

START_TEST(one_sample_a_step_is_refused) {
    refuses(NORMED, (struct bp_shape){1, {2}}, 1, 1,
            "layer \"n\" (batch_norm) normalises by the statistics of a mini-batch, but batch_size 1 leaves a single sample");
    refuses(NORMED, (struct bp_shape){1, {2}}, 3, 2, "batch_size 3 shared by its threads");
    refuses(NORMED, (struct bp_shape){1, {2}}, 4, 2, NULL);
    refuses("batch_norm; global_average_pool; dense units=1", (struct bp_shape){2, {4, 3}}, 1, 1, NULL); /* four values of each channel */
    refuses("batch_norm frozen=1; dense units=1", (struct bp_shape){1, {2}}, 1, 1, NULL);
}
END_TEST

Suite *suite_batch_norm(void);
Suite *suite_batch_norm(void) {
    Suite *suite = suite_create("batch_norm");
    TCase *tests = tcase_create("batch_norm");
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, moving_statistics_by_hand);
    tcase_add_test(tests, accumulated_batches_count_alike);
    tcase_add_test(tests, shards);
    tcase_add_test(tests, frozen);
    tcase_add_test(tests, it_learns_and_stores_the_validated_weights);
    tcase_add_test(tests, hidden_steps_do_not_count);
    tcase_add_test(tests, a_batch_of_one);
    tcase_add_test(tests, a_last_batch_of_one_does_not_enter);
    tcase_add_test(tests, one_sample_a_step_is_refused);
    suite_add_tcase(suite, tests);
    return suite;
}

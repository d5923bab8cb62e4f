/* test_range.c - engine/train/range.c: a range test finds a rate and puts everything back. */
#include "tests/engine/train_support.h"

#include <math.h>
#include <string.h>

#define RANGED "dense units=24 activation=relu; batch_norm; dropout rate=0.2; dense units=3"

static struct bp_train_options ranged_options(int32_t threads) {
    struct bp_train_options options = test_deep_options(threads, true);
    options.ema = 0.9;
    options.mixup = 0.3;
    options.gradient_accumulation_steps = 2;
    test_schedule(&options, "cosine warmup_epochs=1");
    return options;
}

/* Afterwards everything is as if there had been none, but for the rate: to the bit, with and without validation, over several epochs of the test. */
START_TEST(the_range_test_restores_everything) {
    static struct test_data train, validation;
    test_spiral(&train, 205, 0);
    test_spiral(&validation, 90, 1);
    struct bp_network *net = test_network(RANGED, "cross_entropy", (struct bp_shape){1, {2}});
    for (int32_t i = 0; i < 4; i++) {
        struct bp_train_options options = ranged_options(1 + (i & 1));
        const struct test_data *validated = i & 2 ? &validation : NULL;
        if (!validated) strcpy(options.stop_metric, "accuracy");
        double curves[2][4][100], found[2];
        struct bp_trainer *trainers[3];
        for (int k = 0; k < 2; k++) {
            trainers[k] = test_trainer(net, &options, &train, validated);
            struct bp_range_test test = {.least = 1e-6, .most = 10, .steps = 100, .rates = curves[k][0], .losses = curves[k][1]};
            found[k] = bp_trainer_range_test(trainers[k], &test);
            ck_assert_int_gt(test.count, 20);
            ck_assert(isnan(test_metric(trainers[k], "loss")));
            for (int32_t h = 0; h < bp_trainer_health_count(trainers[k]); h++) ck_assert(isnan(bp_trainer_health(trainers[k], h)->mean));
            ck_assert_double_eq_tol(curves[k][0][0], 1e-6, 1e-12);
            ck_assert_double_eq_tol(curves[k][0][1], 1e-6 * pow(1e7, 1.0 / 99), 1e-12);
        }
        ck_assert(found[0] == found[1]);
        ck_assert_mem_eq(curves[0][1], curves[1][1], 20 * sizeof(double));
        ck_assert_double_gt(found[0], 1e-5);
        ck_assert_double_lt(found[0], 1);
        ck_assert(bp_trainer_tested_rate(trainers[0]) == found[0]);
        options.optimizer_values[0].number = found[0];
        trainers[2] = test_trainer(net, &options, &train, validated);
        test_run(trainers[0]);
        test_run(trainers[2]);
        ck_assert_mem_eq(bp_trainer_result(trainers[0]), bp_trainer_result(trainers[2]), net->weights_count * sizeof(bp_real));
        ck_assert(test_metric(trainers[0], "accuracy") == test_metric(trainers[2], "accuracy"));
        for (int k = 0; k < 3; k++) bp_trainer_free(trainers[k]);
    }
    bp_network_free(net);
}
END_TEST

/* The losses are those of the mini-batches themselves, whether or not there is validation, across the ends of epochs. */
START_TEST(the_curve_does_not_depend_on_validation) {
    static struct test_data data;
    test_line(&data, 70);
    struct bp_network *net = test_network("dense units=1", "mse", (struct bp_shape){1, {2}});
    const struct bp_train_options options = test_options("sgd", "", 1);
    double rates[2][50], losses[2][50];
    for (int k = 0; k < 2; k++) {
        struct bp_trainer *trainer = test_trainer(net, &options, &data, k ? &data : NULL);
        struct bp_range_test test = {.least = 1e-5, .most = 1e-2, .steps = 50, .rates = rates[k], .losses = losses[k]};
        ck_assert_double_gt(bp_trainer_range_test(trainer, &test), 0);
        ck_assert_int_eq(test.count, 50);
        bp_trainer_free(trainer);
    }
    for (int i = 0; i < 50; i++) ck_assert_double_eq_tol(losses[0][i], losses[1][i], 1e-9);
    bp_network_free(net);
}
END_TEST

/* A quadratic of curvature 2 (x = 1: (w - y)^2, y 4 or 6) under SGD runs away beyond a rate of 1; a tenth of where the loss was least is below that.
 * Not a single finite loss: no rate, and the training begins as if nothing had been. A search needs none. */
START_TEST(which_rate_is_found) {
    static struct test_data data = {.width = 1, .y_width = 1, .rows = 2, .x = {1, 1}, .y = {4, 6}};
    double rates[200], losses[200];
    struct bp_network *net = test_network("dense units=1 use_bias=0 kernel_initializer=zeros", "mse", (struct bp_shape){1, {1}});
    struct bp_train_options options = test_options("sgd", "learning_rate=0.25", 1);
    options.batch_size = 1;
    struct bp_range_test test = {.least = 1e-4, .most = 100, .steps = 200, .rates = rates, .losses = losses};
    struct bp_trainer *trainer = test_trainer(net, &options, &data, NULL);
    const double found = bp_trainer_range_test(trainer, &test);
    ck_assert_double_gt(found, 0.01);
    ck_assert_double_lt(found, 0.15);
    ck_assert_double_lt(rates[test.count - 1], 10); /* it does not go on when the loss has run away */
    ck_assert_double_gt(rates[test.count - 1], 0.5);
    ck_assert_double_eq_tol(bp_trainer_learning_rate(trainer), found, 1e-12);
    bp_trainer_free(trainer);

    data.y[0] = data.y[1] = INFINITY;
    options.batch_size = 2;
    trainer = test_trainer(net, &options, &data, NULL);
    ck_assert(isnan(bp_trainer_range_test(trainer, &test)));
    ck_assert_int_eq(test.count, 0);
    data.y[0] = data.y[1] = 5;
    ck_assert(bp_trainer_learning_rate(trainer) == 0.25);
    ck_assert_int_eq(bp_trainer_step(trainer), BP_TRAIN_EPOCH);
    ck_assert_double_eq_tol((double)bp_trainer_result(trainer)[0], 2.5, 1e-6);
    bp_trainer_free(trainer);

    options = test_options("lbfgs", "", 1);
    trainer = test_trainer(net, &options, &data, NULL);
    ck_assert(isnan(bp_trainer_range_test(trainer, &test)));
    bp_trainer_free(trainer);
    bp_network_free(net);
}
END_TEST

Suite *suite_range(void);
Suite *suite_range(void) {
    Suite *suite = suite_create("range");
    TCase *tests = tcase_create("range");
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, the_range_test_restores_everything);
    tcase_add_test(tests, the_curve_does_not_depend_on_validation);
    tcase_add_test(tests, which_rate_is_found);
    suite_add_tcase(suite, tests);
    return suite;
}

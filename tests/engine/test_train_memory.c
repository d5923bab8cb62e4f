/* test_train_memory.c - a step allocates nothing, whatever is switched on; every allocation of a trainer may fail; what it takes is what was
 * predicted. */
#include "tests/engine/train_support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

START_TEST(a_step_allocates_nothing) {
    static struct test_data train, validation;
    if (test_allocations() < 0) SKIP_TEST("allocations are not counted with a sanitizer");
    for (int32_t i = 0; i < 6; i++) {
        const int32_t threads = 1 + (i & 1);
        struct bp_network *net;
        struct bp_train_options options = test_everything(threads, &train, &validation);
        if (i < 2) {
            net = test_network(TEST_EVERYTHING, TEST_EVERYTHING_LOSSES, (struct bp_shape){1, {2}});
        } else {
            net = test_network(i < 4 ? TEST_DEEP : "reshape target_shape=2,1; masking; gru units=3; dense units=3", "cross_entropy",
                               (struct bp_shape){1, {2}});
            options = i < 4 ? test_deep_options(threads, true) : test_options("lbfgs", "", 5);
            options.threads = threads;
            options.tasks[0].classes = 3;
            train.second_width = validation.second_width = 0;
        }
        struct bp_trainer *trainer = test_trainer(net, &options, &train, &validation);
        const long before = test_allocations();
        test_run(trainer);
        ck_assert_int_eq(test_allocations() - before, 0);
        bp_trainer_free(trainer);
        bp_network_free(net);
    }
    free(malloc(1));
    ck_assert_int_gt(test_allocations(), 0);
}
END_TEST

START_TEST(every_allocation_of_a_trainer_may_fail) {
    static struct test_data train, validation;
    if (test_allocations() < 0) SKIP_TEST("allocations are not counted with a sanitizer");
    struct bp_network *net = test_network(TEST_EVERYTHING, TEST_EVERYTHING_LOSSES, (struct bp_shape){1, {2}});
    struct bp_train_options options = test_everything(1, &train, &validation);
    const struct bp_source source = test_source(&train);
    snprintf(options.stop_metric, sizeof options.stop_metric, "loss");
    for (long nth = 1;; nth++) {
        struct bp_trainer *trainer = NULL;
        struct bp_error error = {0};
        const long live = test_live_blocks();
        test_allocations_fail(nth);
        const int failed = bp_trainer_new(net, &options, &source, NULL, &trainer, &error);
        test_allocations_fail(0);
        ck_assert(!failed == (trainer != NULL));
        ck_assert(!failed == !error.message[0]);
        bp_trainer_free(trainer);
        ck_assert_int_eq(test_live_blocks(), live);
        if (!failed) {
            ck_assert_int_gt(nth, 30);
            break;
        }
    }
    bp_network_free(net);
}
END_TEST

/* What is predicted against what is allocated, counted, within a tenth. */
static void check_bytes(const struct bp_network *net, const struct bp_train_options *options, const struct test_data *train,
                        const struct test_data *validation, const char *what) {
    size_t before = test_live_bytes();
    struct bp_trainer *trainer = test_trainer(net, options, train, validation);
    const double got = (double)(test_live_bytes() - before);
    const double predicted = (double)bp_trainer_bytes(net, options, train->rows, validation ? validation->rows : 0);
    ck_assert_msg(fabs(predicted - got) <= 0.1 * got, "%s: a trainer takes %.0f bytes, %.0f were predicted", what, got, predicted);
    bp_trainer_free(trainer);
    for (int training = 0; training < 2; training++) {
        struct bp_workspace *ws = NULL;
        before = test_live_bytes();
        ck_assert_int_eq(bp_workspace_new(net, 33, training, &ws, NULL), 0);
        const double taken = (double)(test_live_bytes() - before), said = (double)bp_workspace_bytes(net, 33, training);
        ck_assert_msg(fabs(said - taken) <= 0.1 * taken, "%s: a workspace takes %.0f bytes, %.0f were predicted", what, taken, said);
        bp_workspace_free(ws);
    }
}

START_TEST(bytes_are_as_predicted) {
    static struct test_data train, validation;
    if (test_allocations() < 0) SKIP_TEST("allocations are not counted with a sanitizer");
    struct bp_network *net = test_network(TEST_EVERYTHING, TEST_EVERYTHING_LOSSES, (struct bp_shape){1, {2}});
    for (int32_t threads = 1; threads <= 3; threads++) {
        struct bp_train_options options = test_everything(threads, &train, &validation);
        check_bytes(net, &options, &train, &validation, "everything");
        options.mixup = options.ema = 0;
        options.batch_size = 2 * threads;
        check_bytes(net, &options, &train, &validation, "less");
        options.stop_early = false;
        options.keep_best = true;
        check_bytes(net, &options, &train, &validation, "with the best epoch");
        options.keep_best = false;
        options.tasks[0].metrics_count = options.tasks[1].metrics_count = 0;
        check_bytes(net, &options, &train, NULL, "least");
    }
    bp_network_free(net);
    static const char *const texts[] = {"dense units=1000; dense units=3",
                                        "dense units=12; reshape target_shape=4,3; masking; lstm units=50; dense units=3",
                                        "dense units=144; reshape target_shape=12,12,1; conv2d filters=8 kernel_size=3; flatten; dense units=3"};
    for (int i = 0; i < 3; i++) {
        struct bp_train_options options = test_deep_options(2, false);
        test_spiral(&train, 205, 0);
        net = test_network(texts[i], "cross_entropy", (struct bp_shape){1, {2}});
        check_bytes(net, &options, &train, NULL, texts[i]);
        options = test_options("lbfgs", "", 2);
        options.tasks[0].classes = 3;
        check_bytes(net, &options, &train, NULL, texts[i]);
        bp_network_free(net);
    }
}
END_TEST

Suite *suite_train_memory(void);
Suite *suite_train_memory(void) {
    Suite *suite = suite_create("train_memory");
    TCase *tests = tcase_create("train_memory");
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, a_step_allocates_nothing);
    tcase_add_test(tests, every_allocation_of_a_trainer_may_fail);
    tcase_add_test(tests, bytes_are_as_predicted);
    suite_add_tcase(suite, tests);
    return suite;
}

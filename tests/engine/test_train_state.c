/* test_train_state.c - engine/train/state.c, shards.c: same seed, same bits; saved and restored is the same as never stopped; early stopping. */
#include "tests/engine/train_support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- bits -------------------------------------------------------------------------------------------------------- */

START_TEST(same_seed_same_bits) {
    static struct test_data train, validation;
    test_spiral(&train, 205, 0);
    test_spiral(&validation, 90, 1);
    struct bp_network *net = test_network(TEST_DEEP, "cross_entropy", (struct bp_shape){1, {2}});
    const size_t bytes = net->weights_count * sizeof(bp_real);
    for (int32_t threads = 1; threads <= 3; threads++) {
        struct bp_train_options options = test_deep_options(threads, false);
        struct bp_trainer *a = test_trainer(net, &options, &train, &validation), *b = test_trainer(net, &options, &train, NULL);
        options.seed = 8;
        struct bp_trainer *c = test_trainer(net, &options, &train, &validation);
        test_run(a);
        test_run(b); /* validation changes nothing in training */
        test_run(c);
        ck_assert_mem_eq(bp_trainer_result(a), bp_trainer_result(b), bytes);
        ck_assert_mem_ne(bp_trainer_result(a), bp_trainer_result(c), bytes);
        ck_assert(test_metric(a, "loss") == test_metric(b, "loss"));
        bp_trainer_free(a);
        bp_trainer_free(b);
        bp_trainer_free(c);
    }
    bp_network_free(net);
}
END_TEST

/* Shards change the last bits only: masks, orders and scales are the same. */
START_TEST(shards_agree) {
    static struct test_data train;
    test_spiral(&train, 205, 0);
    struct bp_network *net = test_network(TEST_DEEP, "cross_entropy", (struct bp_shape){1, {2}});
    double losses[4];
    for (int32_t threads = 1; threads <= 4; threads++) {
        struct bp_train_options options = test_deep_options(threads, false);
        options.epochs = 2;
        struct bp_trainer *trainer = test_trainer(net, &options, &train, NULL);
        test_run(trainer);
        losses[threads - 1] = test_metric(trainer, "loss");
        bp_trainer_free(trainer);
    }
    for (int i = 1; i < 4; i++) ck_assert_double_eq_tol(losses[i], losses[0], 1e-4);
    bp_network_free(net);
}
END_TEST

START_TEST(more_threads_than_rows) {
    struct test_data data = {.width = 2, .y_width = 1, .rows = 4, .x = {0, 0, 0, 1, 1, 0, 1, 1}, .y = {0, 1, 1, 0}};
    struct bp_network *net = test_network("dense units=8 activation=tanh; dense units=1", "binary_cross_entropy", (struct bp_shape){1, {2}});
    struct bp_train_options options = test_options("adam", "learning_rate=0.05", 300);
    options.tasks[0].classes = 2;
    options.threads = 5;
    options.batch_size = 3;
    struct bp_trainer *trainer = test_trainer(net, &options, &data, &data);
    ck_assert_int_eq(test_run(trainer), BP_TRAIN_DONE);
    ck_assert_double_lt(test_metric(trainer, "val_loss"), 0.1);
    bp_trainer_free(trainer);
    bp_network_free(net);
}
END_TEST

/* Stopped after every possible step: mid-epoch, during validation, between epochs. */
START_TEST(restored_is_as_never_stopped) {
    static struct test_data train, validation;
    test_spiral(&train, 205, 0);
    test_spiral(&validation, 150, 1);
    struct bp_network *net = test_network(TEST_DEEP, "cross_entropy", (struct bp_shape){1, {2}});
    const struct bp_train_options options = test_deep_options(_i & 1 ? 2 : 1, _i & 2);
    struct bp_trainer *unbroken = test_trainer(net, &options, &train, &validation);
    test_run(unbroken);
    for (int stop = 0; stop < 45; stop += stop < 12 ? 1 : 5) {
        struct bp_trainer *first = test_trainer(net, &options, &train, &validation), *second = NULL;
        for (int i = 0; i < stop; i++) bp_trainer_step(first);
        struct bp_trainer_state state = test_copy_state(first);
        bp_trainer_free(first);
        second = test_trainer(net, &options, &train, &validation);
        ck_assert_int_eq(bp_trainer_restore(second, &state, NULL), 0);
        test_free_state(&state);
        ck_assert_int_eq(test_run(second), BP_TRAIN_DONE);
        test_compare_ends(unbroken, second);
        bp_trainer_free(second);
    }
    bp_trainer_free(unbroken);
    bp_network_free(net);
}
END_TEST

/* The same with everything switched on; and the state holds all that decides: a second save of the resumed run is the same to the bit. */
START_TEST(a_restored_run_equals_an_unbroken_one) {
    static struct test_data train, validation;
    struct bp_network *net = test_network(TEST_EVERYTHING, TEST_EVERYTHING_LOSSES, (struct bp_shape){1, {2}});
    const struct bp_train_options options = test_everything(1 + _i, &train, &validation);
    struct bp_trainer *unbroken = test_trainer(net, &options, &train, &validation);
    int steps = 0;
    while (bp_trainer_step(unbroken) != BP_TRAIN_DONE) steps++;
    ck_assert_int_ge(steps, 5 * 6); /* three updates and three batches of validation an epoch */
    for (int stop = 0; stop < steps; stop += stop < 13 ? 1 : 7) {
        struct bp_trainer *first = test_trainer(net, &options, &train, &validation), *second = test_trainer(net, &options, &train, &validation);
        for (int i = 0; i < stop; i++) bp_trainer_step(first);
        struct bp_trainer_state state = test_copy_state(first), again;
        ck_assert_int_eq(bp_trainer_restore(second, &state, NULL), 0);
        again = test_copy_state(second);
        ck_assert_mem_eq(state.weights, again.weights, state.weights_count * sizeof(bp_real));
        ck_assert_mem_eq(state.average, again.average, state.weights_count * sizeof(bp_real));
        ck_assert_mem_eq(state.memory, again.memory, sizeof state.memory);
        test_free_state(&state);
        test_free_state(&again);
        ck_assert_int_eq(test_run(second), BP_TRAIN_DONE);
        test_compare_ends(unbroken, second);
        for (int32_t i = 0; i < bp_trainer_health_count(unbroken); i++) {
            const double a = bp_trainer_health(unbroken, i)->gradient_norm, b = bp_trainer_health(second, i)->gradient_norm;
            /* what was measured before a save during the last validation is not in it */
            ck_assert(a == b || (isnan(b) && (isnan(a) || stop >= steps - 3)));
        }
        bp_trainer_free(first);
        bp_trainer_free(second);
    }
    bp_trainer_free(unbroken);
    bp_network_free(net);
}
END_TEST

START_TEST(a_foreign_state_is_refused) {
    static struct test_data train;
    test_spiral(&train, 64, 0);
    struct bp_network *small = test_network("dense units=3", "cross_entropy", (struct bp_shape){1, {2}});
    struct bp_network *large = test_network("dense units=9; dense units=3", "cross_entropy", (struct bp_shape){1, {2}});
    struct bp_train_options options = test_deep_options(1, false), plain = options;
    plain.optimizer = (const struct bp_optimizer_ops *)bp_family_find(&bp_optimizers, "sgd");
    bp_values_preset(&plain.optimizer->entry, plain.optimizer_values);
    struct bp_trainer *a = test_trainer(small, &options, &train, NULL), *b = test_trainer(large, &options, &train, NULL),
                      *c = test_trainer(small, &plain, &train, NULL);
    struct bp_trainer_state state;
    struct bp_error error = {0};
    bp_trainer_state(b, &state);
    ck_assert_int_eq(bp_trainer_restore(a, &state, &error), -1);
    ck_contains(error.message, "another definition");
    bp_trainer_state(c, &state);
    error = (struct bp_error){0};
    ck_assert_int_eq(bp_trainer_restore(a, &state, &error), -1);
    ck_contains(error.message, "optimizer buffers");
    bp_trainer_state(a, &state);
    state.position = 65;
    ck_assert_int_eq(bp_trainer_restore(a, &state, NULL), -1);
    state.position = 0;
    state.accumulators_count++;
    ck_assert_int_eq(bp_trainer_restore(a, &state, NULL), -1);
    state.accumulators_count--;
    state.slots[1] = NULL;
    ck_assert_int_eq(bp_trainer_restore(a, &state, NULL), -1);
    bp_trainer_free(a);
    bp_trainer_free(b);
    bp_trainer_free(c);
    bp_network_free(small);
    bp_network_free(large);
}
END_TEST

/* ---- early stopping ---------------------------------------------------------------------------------------------- */

START_TEST(early_stopping_restores_the_best) {
    static struct test_data train, validation;
    test_spiral(&train, 60, 0);
    test_spiral(&validation, 60, 1);
    for (int i = 0; i < 60; i++) /* nothing to learn: it will overfit */
        train.y[i] = (bp_real)((i * 7 + i / 5) % 3);
    struct bp_network *net = test_network("dense units=64 activation=relu; dense units=3", "cross_entropy", (struct bp_shape){1, {2}});
    const size_t bytes = net->weights_count * sizeof(bp_real);
    struct bp_train_options options = test_options("adam", "learning_rate=0.03", 1000);
    options.tasks[0].classes = 3;
    options.stop_early = true;
    options.stop_patience = 4;
    snprintf(options.stop_metric, sizeof options.stop_metric, "val_loss");
    struct bp_trainer *trainer = test_trainer(net, &options, &train, &validation);
    double best = INFINITY;
    int64_t epoch = 0, best_epoch = 0;
    bp_real *at_best = malloc(bytes);
    struct bp_trainer_state state;
    enum bp_train_event event;
    ck_assert_mem_eq(bp_trainer_result(trainer), (bp_trainer_state(trainer, &state), state.weights), bytes);
    while ((event = bp_trainer_step(trainer)) != BP_TRAIN_DONE)
        if (event == BP_TRAIN_EPOCH && ++epoch && test_metric(trainer, "val_loss") < best) {
            best = test_metric(trainer, "val_loss");
            best_epoch = epoch;
            bp_trainer_state(trainer, &state);
            memcpy(at_best, state.weights, bytes);
        }
    bp_trainer_state(trainer, &state);
    ck_assert(state.stopped);
    ck_assert_int_eq(state.epoch, best_epoch + 4);
    ck_assert_int_eq(state.best_epoch, best_epoch);
    ck_assert(state.best_value == best);
    ck_assert_int_eq(state.waited, 4);
    ck_assert_mem_eq(bp_trainer_result(trainer), at_best, bytes);
    ck_assert_mem_ne(state.weights, at_best, bytes);
    free(at_best);
    bp_trainer_free(trainer);
    bp_network_free(net);
}
END_TEST

Suite *suite_train_state(void);
Suite *suite_train_state(void) {
    Suite *suite = suite_create("train_state");
    TCase *tests = tcase_create("train_state");
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, same_seed_same_bits);
    tcase_add_test(tests, shards_agree);
    tcase_add_test(tests, more_threads_than_rows);
    tcase_add_loop_test(tests, restored_is_as_never_stopped, 0, 4);
    tcase_add_loop_test(tests, a_restored_run_equals_an_unbroken_one, 0, 2);
    tcase_add_test(tests, a_foreign_state_is_refused);
    tcase_add_test(tests, early_stopping_restores_the_best);
    suite_add_tcase(suite, tests);
    return suite;
}

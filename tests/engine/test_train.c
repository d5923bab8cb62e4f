/* test_train.c - engine/train/train.c, engine/train/new.c, engine/train/check.c: it learns; one step by hand; sample weights, events, metrics;
 * divergence; what is refused. (Bits, saving and resuming: test_train_state.c; options one by one: test_train_options.c.) */
#include "tests/engine/train_support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- it learns --------------------------------------------------------------------------------------------------- */

START_TEST(learns_xor) {
    struct test_data data = {.width = 2, .y_width = 1, .rows = 4, .x = {0, 0, 0, 1, 1, 0, 1, 1}, .y = {0, 1, 1, 0}};
    struct bp_network *net =
        test_network("dense units=8 activation=tanh; dense units=1 activation=sigmoid", "binary_cross_entropy", (struct bp_shape){1, {2}});
    struct bp_train_options options = test_options("adam", "learning_rate=0.05", 300);
    options.tasks[0].classes = 2;
    test_add_metric(&options, "accuracy");
    struct bp_trainer *trainer = test_trainer(net, &options, &data, NULL);
    ck_assert_int_eq(test_run(trainer), BP_TRAIN_DONE);
    ck_assert_double_lt(test_metric(trainer, "loss"), 0.05);
    ck_assert(test_metric(trainer, "accuracy") == 1);
    bp_trainer_free(trainer);
    bp_network_free(net);
}
END_TEST

START_TEST(learns_a_spiral_on_two_threads) {
    static struct test_data train, validation;
    test_spiral(&train, 600, 0);
    test_spiral(&validation, 150, 1);
    struct bp_network *net =
        test_network("dense units=32 activation=relu; dense units=32 activation=relu; dense units=3", "cross_entropy", (struct bp_shape){1, {2}});
    struct bp_train_options options = test_options("adam", "learning_rate=0.01", 60);
    options.tasks[0].classes = 3;
    options.threads = 2;
    test_add_metric(&options, "accuracy");
    test_add_metric(&options, "f1");
    struct bp_trainer *trainer = test_trainer(net, &options, &train, &validation);
    ck_assert_int_eq(test_run(trainer), BP_TRAIN_DONE);
    ck_assert_double_gt(test_metric(trainer, "val_accuracy"), 0.95);
    ck_assert_double_gt(test_metric(trainer, "val_f1"), 0.95);
    ck_assert_double_lt(test_metric(trainer, "val_loss"), 0.2);
    bp_trainer_free(trainer);
    bp_network_free(net);
}
END_TEST

/* The gradients of the shards are added and applied in blocks; the network has more weights than several of them. */
START_TEST(threads_train_alike) {
    static struct test_data train;
    test_spiral(&train, 300, 0);
    struct bp_network *net =
        test_network("dense units=128 activation=tanh; dense units=128 activation=tanh; dense units=3", "cross_entropy", (struct bp_shape){1, {2}});
    for (int32_t accumulated = 1; accumulated <= 2; accumulated++) {
        struct bp_train_options options = test_options("sgd", "learning_rate=0.1 momentum=0.5", 2);
        options.tasks[0].classes = 3;
        options.gradient_accumulation_steps = accumulated;
        struct bp_trainer *one = test_trainer(net, &options, &train, NULL);
        options.threads = 3;
        struct bp_trainer *three = test_trainer(net, &options, &train, NULL);
        test_run(one);
        test_run(three);
        const bp_real *a = bp_trainer_result(one), *b = bp_trainer_result(three);
        for (size_t i = 0; i < net->weights_count; i++) ck_assert_double_eq_tol((double)a[i], (double)b[i], 1e-5);
        bp_trainer_free(one);
        bp_trainer_free(three);
    }
    bp_network_free(net);
}
END_TEST

START_TEST(every_optimizer_learns_a_line) {
    static const char *const values[] = {"epsilon=0.01",
                                         "learning_rate=0.5",
                                         "learning_rate=0.05",
                                         "learning_rate=0.05 weight_decay=0",
                                         "",
                                         "learning_rate=0.005 beta_1=0.5 beta_2=0.5",
                                         "learning_rate=0.02",
                                         "learning_rate=0.01 momentum=0.5",
                                         "",
                                         "learning_rate=0.1"};
    static struct test_data data;
    test_line(&data, 200);
    ck_assert_int_eq(bp_optimizers.count, (int)(sizeof values / sizeof *values));
    for (int32_t i = 0; i < bp_optimizers.count; i++) {
        struct bp_network *net = test_network("dense units=1", "mse", (struct bp_shape){1, {2}});
        struct bp_train_options options = test_options(bp_optimizers.entries[i]->name, values[i], 100);
        options.tasks[0].unit = 100;
        test_add_metric(&options, "mae");
        test_add_metric(&options, "r2");
        struct bp_trainer *trainer = test_trainer(net, &options, &data, NULL);
        test_run(trainer);
        const bp_real *W = bp_trainer_result(trainer);
        ck_assert_msg(fabs((double)W[0] - 3) < 0.02 && fabs((double)W[1] + 2) < 0.02 && fabs((double)W[16] - 1) < 0.02, "%s: %g %g %g",
                      bp_optimizers.entries[i]->name, (double)W[0], (double)W[1], (double)W[16]);
        ck_assert_double_lt(test_metric(trainer, "mae"), 4); /* 100 times the network's own */
        ck_assert_double_gt(test_metric(trainer, "r2"), 0.999);
        bp_trainer_free(trainer);
        bp_network_free(net);
    }
}
END_TEST

/* ---- one step, by hand ------------------------------------------------------------------------------------------- */

/* One row x = (1, 2), y = 1, W = b = 0 at first: z = 0, dz = -2; plain SGD with learning rate 0.1. */
static void one_step(double l2, double clip, double w, const bp_real expected[3]) {
    struct test_data data = {.width = 2, .y_width = 1, .rows = 1, .x = {1, 2}, .y = {1}};
    char text[128];
    snprintf(text, sizeof text, "dense units=1 kernel_initializer=%s", w != 0 ? "ones" : "zeros");
    struct bp_network *net = test_network(text, "mse", (struct bp_shape){1, {2}});
    struct bp_train_options options = test_options("sgd", "learning_rate=0.1", 1);
    options.l2 = l2;
    options.gradient_clip_norm = clip;
    struct bp_trainer *trainer = test_trainer(net, &options, &data, NULL);
    ck_assert_int_eq(bp_trainer_step(trainer), BP_TRAIN_EPOCH);
    const bp_real *W = bp_trainer_result(trainer);
    const bp_real got[3] = {W[0], W[1], W[16]};
    for (int i = 0; i < 3; i++) ck_assert_double_eq_tol((double)got[i], (double)expected[i], 1e-6);
    ck_assert_double_eq_tol(test_metric(trainer, "loss"), w != 0 ? 4 : 1, 1e-6); /* without the penalty */
    bp_trainer_free(trainer);
    bp_network_free(net);
}

START_TEST(a_step_by_hand) {
    one_step(0, 0, 0, (bp_real[]){0.2f, 0.4f, 0.2f});
    one_step(0, sqrt(24) / 2, 0, (bp_real[]){0.1f, 0.2f, 0.1f}); /* gradient (-2, -4, -2), cut to half its length */
    one_step(0, 100, 0, (bp_real[]){0.2f, 0.4f, 0.2f});          /* shorter than the limit: left alone */
    one_step(0.5, 0, 1, (bp_real[]){1 - 0.5f, 1 - 0.9f, -0.4f}); /* z = 3, dz = 4; the kernel gets 2 l2 W = 1 more, the bias none */
}
END_TEST

/* A weight of 2 counts as the row twice; of 0, as none. */
START_TEST(sample_weights) {
    static struct test_data weighted, repeated;
    test_line(&weighted, 6);
    repeated = weighted;
    weighted.weighted = true;
    weighted.weights[1] = 2;
    weighted.weights[4] = 0;
    for (int k = 0; k < 2; k++) repeated.x[8 + k] = weighted.x[2 + k];
    repeated.y[4] = weighted.y[1];
    for (int32_t threads = 1; threads < 4; threads++) {
        struct bp_network *net = test_network("dense units=1", "mse", (struct bp_shape){1, {2}});
        struct bp_train_options options = test_options("sgd", "learning_rate=0.1", 20);
        options.threads = threads;
        test_add_metric(&options, "rmse");
        struct bp_trainer *a = test_trainer(net, &options, &weighted, &weighted), *b = test_trainer(net, &options, &repeated, &repeated);
        test_run(a);
        test_run(b);
        for (int k = 0; k < 17; k++) ck_assert_double_eq_tol((double)bp_trainer_result(a)[k], (double)bp_trainer_result(b)[k], 1e-5);
        ck_assert_double_eq_tol(test_metric(a, "loss"), test_metric(b, "loss"), 1e-5);
        ck_assert_double_eq_tol(test_metric(a, "val_rmse"), test_metric(b, "val_rmse"), 1e-5);
        bp_trainer_free(a);
        bp_trainer_free(b);
        bp_network_free(net);
    }
}
END_TEST

START_TEST(one_hot_values_with_metrics_of_classes) {
    static struct test_data train;
    test_spiral(&train, 150, 0);
    train.y_width = 3;
    bp_real classes[150];
    memcpy(classes, train.y, sizeof classes);
    for (int i = 0; i < 150; i++)
        for (int j = 0; j < 3; j++) train.y[3 * i + j] = j == (int)classes[i];
    struct bp_network *net = test_network("dense units=24 activation=relu; dense units=3 activation=softmax", "mse", (struct bp_shape){1, {2}});
    struct bp_train_options options = test_options("adam", "learning_rate=0.02", 120);
    options.tasks[0].classes = 3;
    options.threads = 2;
    test_add_metric(&options, "accuracy");
    struct bp_trainer *trainer = test_trainer(net, &options, &train, NULL);
    test_run(trainer);
    ck_assert_double_gt(test_metric(trainer, "accuracy"), 0.9);
    bp_trainer_free(trainer);
    bp_network_free(net);
}
END_TEST

/* ---- events and metrics ------------------------------------------------------------------------------------------ */

START_TEST(events_come_in_order) {
    static struct test_data train, validation;
    test_spiral(&train, 70, 0);
    test_spiral(&validation, 100, 1);
    struct bp_network *net = test_network("dense units=3", "cross_entropy", (struct bp_shape){1, {2}});
    struct bp_train_options options = test_options("adam", "", 2);
    options.tasks[0].classes = 3;
    test_add_metric(&options, "accuracy");
    struct bp_trainer *trainer = test_trainer(net, &options, &train, &validation);
    const char *const names[] = {"loss", "val_loss", "accuracy", "val_accuracy"};
    ck_assert_int_eq(bp_trainer_metrics_count(trainer), 4);
    for (int i = 0; i < 4; i++) {
        ck_assert_str_eq(bp_trainer_metric_name(trainer, i), names[i]);
        ck_assert(isnan(bp_trainer_metric_value(trainer, i)));
    }
    struct bp_trainer_state state;
    for (int epoch = 0; epoch < 2; epoch++) {
        /* 70 rows by 32: three mini-batches; 100 rows by 64: two of validation, the second of which ends the epoch */
        const int64_t positions[] = {32, 64, 70, 70, 0};
        for (int i = 0; i < 5; i++) {
            ck_assert_int_eq(bp_trainer_step(trainer), i < 4 ? BP_TRAIN_STEP : BP_TRAIN_EPOCH);
            bp_trainer_state(trainer, &state);
            ck_assert_int_eq(state.position, positions[i]);
            ck_assert_int_eq(state.epoch, epoch + (i == 4));
        }
        ck_assert_int_eq(state.updates, 3 * (epoch + 1));
        ck_assert(isfinite(test_metric(trainer, "val_loss")));
    }
    ck_assert_int_eq(bp_trainer_step(trainer), BP_TRAIN_DONE);
    ck_assert_int_eq(bp_trainer_step(trainer), BP_TRAIN_DONE);
    bp_trainer_free(trainer);
    bp_trainer_free(NULL);
    bp_network_free(net);
}
END_TEST

/* A source that records the requested rows. */
static int64_t asked[200];
static int asked_count;

static void fill_and_note(const void *context, const int64_t *rows, int32_t n, const struct bp_batch *batch) {
    for (int32_t i = 0; i < n; i++) asked[asked_count++] = rows[i];
    test_fill(context, rows, n, batch);
}

START_TEST(every_epoch_visits_every_row_once_in_its_own_order) {
    static struct test_data data;
    test_line(&data, 50);
    struct bp_network *net = test_network("dense units=1", "mse", (struct bp_shape){1, {2}});
    struct bp_train_options options = test_options("sgd", "", 3);
    struct bp_trainer *trainer = NULL;
    const struct bp_source source = {.context = &data, .rows = 50, .fill = fill_and_note};
    options.batch_size = 16;
    ck_assert_int_eq(bp_trainer_new(net, &options, &source, NULL, &trainer, NULL), 0);
    test_run(trainer);
    ck_assert_int_eq(asked_count, 150);
    for (int epoch = 0; epoch < 3; epoch++) {
        int seen[50] = {0}, in_place = 0, as_before = 0;
        for (int i = 0; i < 50; i++) {
            seen[asked[50 * epoch + i]]++;
            in_place += asked[50 * epoch + i] == i;
            as_before += epoch && asked[50 * epoch + i] == asked[50 * epoch - 50 + i];
        }
        for (int i = 0; i < 50; i++) ck_assert_int_eq(seen[i], 1);
        ck_assert_int_lt(in_place, 10);
        ck_assert_int_lt(as_before, 10);
    }
    bp_trainer_free(trainer);
    bp_network_free(net);
}
END_TEST

/* ---- what goes wrong --------------------------------------------------------------------------------------------- */

START_TEST(divergence_is_detected) {
    static struct test_data data;
    test_line(&data, 128);
    for (int clip = 0; clip < 2; clip++)
        for (int32_t threads = 1; threads < 3; threads++) {
            struct bp_network *net = test_network("dense units=8; dense units=1", "mse", (struct bp_shape){1, {2}});
            struct bp_train_options options = test_options("sgd", "learning_rate=1000", 1000);
            options.threads = threads;
            options.gradient_clip_norm = clip ? 1e30 : 0;
            struct bp_trainer *trainer = test_trainer(net, &options, &data, &data);
            ck_assert_int_eq(test_run(trainer), BP_TRAIN_DIVERGED);
            ck_assert_int_eq(bp_trainer_step(trainer), BP_TRAIN_DIVERGED);
            bp_trainer_free(trainer);
            bp_network_free(net);
        }
}
END_TEST

/* The very last update spoils the weights, though every loss was finite: it must not end as a success. */
START_TEST(a_nan_in_the_last_update_is_detected) {
    struct test_data data = {.width = 2, .y_width = 1, .rows = 1, .x = {1e20f, 1}, .y = {1e19f}};
    struct bp_network *net = test_network("dense units=1 kernel_initializer=zeros", "mse", (struct bp_shape){1, {2}});
    struct bp_train_options options = test_options("sgd", "learning_rate=1000000", 1);
    data.y[0] = 1e15f;
    struct bp_trainer *trainer = test_trainer(net, &options, &data, NULL);
    ck_assert_int_eq(test_run(trainer), BP_TRAIN_DIVERGED);
    bp_trainer_free(trainer);
    bp_network_free(net);
}
END_TEST

static void refuse(void (*spoil)(struct bp_train_options *), const char *text, const char *loss, const char *pointer, const char *says) {
    static struct test_data data;
    test_spiral(&data, 30, 0);
    struct bp_network *net = test_network(text, loss, (struct bp_shape){1, {2}});
    struct bp_train_options options = test_options("adam", "", 2);
    struct bp_trainer *trainer = NULL;
    struct bp_error error = {0};
    const struct bp_source source = test_source(&data);
    options.tasks[0].classes = 3;
    if (spoil) spoil(&options);
    ck_assert_int_eq(bp_trainer_new(net, &options, &source, NULL, &trainer, &error), -1);
    ck_assert_ptr_null(trainer);
    ck_assert_str_eq(error.pointer, pointer);
    ck_contains(error.message, says);
    bp_network_free(net);
}

static void spoil_metric(struct bp_train_options *o) {
    test_add_metric(o, "rmse");
}
static void spoil_twice(struct bp_train_options *o) {
    test_add_metric(o, "f1"), test_add_metric(o, "f1");
}
static void spoil_missing(struct bp_train_options *o) {
    test_add_metric(o, "no such");
}
static void spoil_threads(struct bp_train_options *o) {
    o->threads = 0;
}
static void spoil_epochs(struct bp_train_options *o) {
    o->epochs = 0;
}
static void spoil_batch(struct bp_train_options *o) {
    o->batch_size = 0;
}
static void spoil_l2(struct bp_train_options *o) {
    o->l2 = NAN;
}
static void spoil_classes(struct bp_train_options *o) {
    o->tasks[0].classes = 4;
}
static void spoil_task(struct bp_train_options *o) {
    o->tasks[0].classes = 0;
}
static void spoil_stop(struct bp_train_options *o) {
    o->stop_early = true, strcpy(o->stop_metric, "los");
}
static void spoil_val(struct bp_train_options *o) {
    o->stop_early = true, strcpy(o->stop_metric, "val_loss");
}

START_TEST(impossible_options_are_refused) {
    const char *const net = "dense units=3", *const loss = "cross_entropy";
    refuse(spoil_metric, net, loss, "/metrics/0", "rmse does not apply to classification");
    refuse(spoil_twice, net, loss, "/metrics/1", "twice");
    refuse(spoil_missing, net, loss, "/metrics/0", "no such metric");
    refuse(spoil_threads, net, loss, "/threads", "1 to 256");
    refuse(spoil_epochs, net, loss, "/epochs", "at least 1");
    refuse(spoil_batch, net, loss, "/batch_size", "at least 1");
    refuse(spoil_l2, net, loss, "", "finite");
    refuse(spoil_classes, net, loss, "/layers", "has 3 numbers, but the target has 4 classes; use 4 units");
    refuse(spoil_task, net, loss, "/loss", "use mse or mae");
    refuse(spoil_stop, net, loss, "/early_stopping/metric", "no such metric; this training has loss");
    refuse(spoil_val, net, loss, "/early_stopping/metric", "no validation data");
    refuse(NULL, net, "", "/loss", "no loss");
    refuse(NULL, "dense units=1", "binary_cross_entropy", "/layers", "has 1 number, but the target has 3 classes");
}
END_TEST

START_TEST(no_rows_are_refused) {
    static struct test_data data;
    struct bp_network *net = test_network("dense units=1", "mse", (struct bp_shape){1, {2}});
    const struct bp_train_options options = test_options("adam", "", 2);
    struct bp_trainer *trainer = NULL;
    struct bp_error error = {0};
    struct bp_source none = test_source(&data), some;
    test_line(&data, 3);
    some = test_source(&data);
    none.rows = 0;
    ck_assert_int_eq(bp_trainer_new(net, &options, &none, NULL, &trainer, &error), -1);
    ck_contains(error.message, "no rows to train on");
    ck_assert_int_eq(bp_trainer_new(net, &options, &some, &none, &trainer, NULL), -1);
    bp_network_free(net);
}
END_TEST

/* A metric of the whole is measured over the validation rows alone, and over the others when there are none. */
START_TEST(metrics_of_the_whole) {
    static struct test_data train, validation;
    test_spiral(&train, 200, 0);
    test_spiral(&validation, 70, 1);
    struct bp_network *net = test_network("dense units=24 activation=tanh; dense units=3", "cross_entropy", (struct bp_shape){1, {2}});
    struct bp_train_options options = test_options("adam", "learning_rate=0.02", 30);
    options.tasks[0].classes = 3;
    options.threads = 2;
    options.stop_early = true;
    options.stop_patience = 30;
    snprintf(options.stop_metric, sizeof options.stop_metric, "val_roc_auc");
    test_add_metric(&options, "roc_auc");
    test_add_metric(&options, "accuracy");
    struct bp_trainer *trainer = test_trainer(net, &options, &train, &validation);
    ck_assert_int_eq(bp_trainer_metrics_count(trainer), 5);
    ck_assert_str_eq(bp_trainer_metric_name(trainer, 2), "val_roc_auc");
    ck_assert_str_eq(bp_trainer_metric_name(trainer, 3), "accuracy");
    test_run(trainer);
    ck_assert_double_gt(test_metric(trainer, "val_roc_auc"), 0.9);
    ck_assert_double_lt(test_metric(trainer, "val_roc_auc"), 1);
    bp_trainer_free(trainer);
    snprintf(options.stop_metric, sizeof options.stop_metric, "roc_auc");
    trainer = test_trainer(net, &options, &train, NULL);
    ck_assert_int_eq(bp_trainer_metrics_count(trainer), 3);
    ck_assert_str_eq(bp_trainer_metric_name(trainer, 1), "roc_auc");
    test_run(trainer);
    ck_assert_double_gt(test_metric(trainer, "roc_auc"), 0.9);
    bp_trainer_free(trainer);
    bp_network_free(net);
}
END_TEST

/* Three outputs for the one target: metrics see the middle quantile. y is on the line, so all three converge to it. */
START_TEST(metrics_use_the_point_prediction) {
    static struct test_data data;
    test_line(&data, 200);
    struct bp_network *net = test_network("dense units=3", "quantile quantiles=0.2,0.5,0.9", (struct bp_shape){1, {2}});
    struct bp_train_options options = test_options("adam", "learning_rate=0.02", 150);
    options.tasks[0].unit = 1;
    test_add_metric(&options, "mae");
    test_add_metric(&options, "r2");
    test_add_metric(&options, "median_absolute_error");
    struct bp_trainer *trainer = test_trainer(net, &options, &data, NULL);
    ck_assert_int_eq(test_run(trainer), BP_TRAIN_DONE);
    ck_assert_double_lt(test_metric(trainer, "mae"), 0.1);
    ck_assert_double_lt(test_metric(trainer, "median_absolute_error"), 0.1);
    ck_assert_double_gt(test_metric(trainer, "r2"), 0.99);
    bp_trainer_free(trainer);
    bp_network_free(net);
}
END_TEST

/* r2 has no value where the target is constant: that is neither better nor worse, and nothing stops by it. */
START_TEST(an_undefined_metric_does_not_stop) {
    static struct test_data train, constant;
    test_line(&train, 20);
    test_line(&constant, 5);
    for (int i = 0; i < 5; i++) constant.y[i] = 2;
    struct bp_network *net = test_network("dense units=1", "mse", (struct bp_shape){1, {2}});
    struct bp_train_options options = test_options("adam", "learning_rate=0.01", 6);
    double value;
    int64_t epoch;
    options.stop_early = true;
    options.stop_patience = 1;
    snprintf(options.stop_metric, sizeof options.stop_metric, "val_r2");
    test_add_metric(&options, "r2");
    struct bp_trainer *trainer = test_trainer(net, &options, &train, &constant);
    int epochs = 0;
    for (enum bp_train_event event; (event = bp_trainer_step(trainer)) != BP_TRAIN_DONE;) epochs += event == BP_TRAIN_EPOCH;
    ck_assert_int_eq(epochs, 6);
    ck_assert_int_eq(bp_trainer_best(trainer, &value), 0);
    ck_assert_ptr_null(bp_trainer_good(trainer, &epoch));
    bp_trainer_free(trainer);
    bp_network_free(net);
}
END_TEST

/* Without early stopping the best epoch is still known, by val_loss; the weights to fall back to are those of the last. */
START_TEST(the_best_and_the_last_good_epoch) {
    static struct test_data train, held;
    test_line(&train, 20);
    test_line(&held, 5);
    struct bp_network *net = test_network("dense units=1", "mse", (struct bp_shape){1, {2}});
    struct bp_train_options options = test_options("sgd", "learning_rate=3", 400); /* runs away: each epoch is worse than the first */
    struct bp_trainer *trainer = test_trainer(net, &options, &train, &held);
    double value, least = INFINITY;
    int64_t epoch, best = 0, epochs = 0;
    bp_real *last = calloc(net->weights_count, sizeof *last);
    enum bp_train_event event;
    while ((event = bp_trainer_step(trainer)) != BP_TRAIN_DIVERGED && event != BP_TRAIN_DONE) {
        struct bp_trainer_state state;
        bp_trainer_state(trainer, &state);
        if (state.epoch == epochs) continue;
        epochs = state.epoch;
        memcpy(last, state.weights, net->weights_count * sizeof *last);
        if (test_metric(trainer, "val_loss") >= least) continue;
        least = test_metric(trainer, "val_loss");
        best = epochs;
    }
    ck_assert_int_eq(event, BP_TRAIN_DIVERGED);
    ck_assert_int_gt(epochs, 1);
    ck_assert_int_eq(bp_trainer_best(trainer, &value), best);
    ck_assert(value == least);
    ck_assert_mem_eq(bp_trainer_good(trainer, &epoch), last, net->weights_count * sizeof *last);
    ck_assert_int_eq(epoch, epochs);
    free(last);
    bp_trainer_free(trainer);
    bp_network_free(net);
}
END_TEST

/* keep_best changes nothing but that the weights of the best epoch are there, after a restore too. */
START_TEST(the_best_weights_are_kept_apart) {
    static struct test_data train, held;
    test_line(&train, 20);
    test_line(&held, 5);
    struct bp_network *net = test_network("dense units=1", "mse", (struct bp_shape){1, {2}});
    struct bp_train_options options = test_options("sgd", "learning_rate=3", 6); /* runs away: each epoch is worse than the first */
    const size_t bytes = net->weights_count * sizeof(bp_real);
    struct bp_trainer *plain = test_trainer(net, &options, &train, &held);
    options.keep_best = true;
    struct bp_trainer *trainer = test_trainer(net, &options, &train, &held), *restored = test_trainer(net, &options, &train, &held);
    bp_real *first = malloc(bytes);
    struct bp_trainer_state state;
    struct bp_error error = {0};
    double value;
    int64_t epoch;
    ck_assert_ptr_nonnull(first);
    ck_assert_ptr_null(bp_trainer_best_weights(trainer));
    while (bp_trainer_step(trainer) != BP_TRAIN_EPOCH) continue;
    memcpy(first, bp_trainer_result(trainer), bytes);
    test_run(trainer);
    test_run(plain);
    ck_assert_int_eq(bp_trainer_best(trainer, &value), 1);
    ck_assert_mem_eq(bp_trainer_best_weights(trainer), first, bytes);
    ck_assert_mem_eq(bp_trainer_result(trainer), bp_trainer_result(plain), bytes);
    ck_assert_mem_ne(bp_trainer_result(trainer), first, bytes);
    ck_assert_mem_eq(bp_trainer_good(trainer, &epoch), bp_trainer_result(plain), bytes);
    ck_assert_int_eq(epoch, 6);
    ck_assert_ptr_null(bp_trainer_best_weights(plain));
    bp_trainer_state(trainer, &state);
    ck_assert_int_eq(bp_trainer_restore(restored, &state, &error), 0);
    ck_assert_mem_eq(bp_trainer_best_weights(restored), first, bytes);
    ck_assert_mem_eq(bp_trainer_good(restored, &epoch), bp_trainer_result(plain), bytes);
    free(first);
    bp_trainer_free(plain);
    bp_trainer_free(trainer);
    bp_trainer_free(restored);
    bp_network_free(net);
}
END_TEST

Suite *suite_train(void);
Suite *suite_train(void) {
    Suite *suite = suite_create("train");
    TCase *tests = tcase_create("train");
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, learns_xor);
    tcase_add_test(tests, learns_a_spiral_on_two_threads);
    tcase_add_test(tests, threads_train_alike);
    tcase_add_test(tests, every_optimizer_learns_a_line);
    tcase_add_test(tests, a_step_by_hand);
    tcase_add_test(tests, sample_weights);
    tcase_add_test(tests, one_hot_values_with_metrics_of_classes);
    tcase_add_test(tests, events_come_in_order);
    tcase_add_test(tests, every_epoch_visits_every_row_once_in_its_own_order);
    tcase_add_test(tests, divergence_is_detected);
    tcase_add_test(tests, a_nan_in_the_last_update_is_detected);
    tcase_add_test(tests, impossible_options_are_refused);
    tcase_add_test(tests, no_rows_are_refused);
    tcase_add_test(tests, metrics_of_the_whole);
    tcase_add_test(tests, metrics_use_the_point_prediction);
    tcase_add_test(tests, an_undefined_metric_does_not_stop);
    tcase_add_test(tests, the_best_and_the_last_good_epoch);
    tcase_add_test(tests, the_best_weights_are_kept_apart);
    suite_add_tcase(suite, tests);
    return suite;
}

/* test_train.c - engine/train.c, train_new.c, train_state.c, shards.c: it learns; same seed, same bits; saved and restored is the
 * same as never stopped; early stopping, clipping, penalty, divergence, weights; a step allocates nothing. */
#include "support.h"

#include "kernels/kernels.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- data -------------------------------------------------------------------------------------------------------- */

enum { ROWS_MAX = 600, WIDTH_MAX = 8 };

struct data {
    int32_t width, y_width;
    bool weighted;
    bp_real x[ROWS_MAX * WIDTH_MAX], y[ROWS_MAX * 3], weights[ROWS_MAX];
    int64_t rows;
};

static void fill(const void *context, const int64_t *rows, int32_t n, const struct bp_batch *batch) {
    const struct data *data = context;
    for (int32_t i = 0; i < n; i++) {
        const size_t row = (size_t)rows[i], width = (size_t)data->width, y_width = (size_t)data->y_width;
        memcpy(batch->inputs[0] + (size_t)i * width, data->x + row * width, width * sizeof(bp_real));
        memcpy(batch->targets[0] + (size_t)i * y_width, data->y + row * y_width, y_width * sizeof(bp_real));
        if (batch->weights) batch->weights[i] = data->weights[row];
    }
}

static struct bp_source source_of(const struct data *data) {
    return (struct bp_source){.context = data, .rows = data->rows, .weighted = data->weighted, .fill = fill};
}

/* Three noisy arms of a spiral. */
static void make_spiral(struct data *data, int64_t rows, uint32_t index) {
    struct bp_random random = bp_random_open(8, BP_STREAM_USER, index);
    *data = (struct data){.width = 2, .y_width = 1, .rows = rows};
    for (int64_t i = 0; i < rows; i++) {
        const double t = bp_random_uniform(&random), arm = (double)(i % 3);
        const double angle = 4 * t + arm * 2.0943951 + 0.1 * bp_random_normal(&random);
        data->x[2 * i] = (bp_real)(2 * t * cos(angle));
        data->x[2 * i + 1] = (bp_real)(2 * t * sin(angle));
        data->y[i] = (bp_real)arm;
    }
}

/* y = 3 x0 - 2 x1 + 1, exactly. */
static void make_line(struct data *data, int64_t rows) {
    struct bp_random random = bp_random_open(9, BP_STREAM_USER, 0);
    *data = (struct data){.width = 2, .y_width = 1, .rows = rows};
    for (int64_t i = 0; i < rows; i++) {
        data->x[2 * i] = (bp_real)bp_random_normal(&random);
        data->x[2 * i + 1] = (bp_real)bp_random_normal(&random);
        data->y[i] = 3 * data->x[2 * i] - 2 * data->x[2 * i + 1] + 1;
        data->weights[i] = 1;
    }
}

static struct bp_train_options options_of(const char *optimizer, const char *values, int32_t epochs) {
    char text[128];
    struct bp_train_options options = {.epochs = epochs, .batch_size = 32, .threads = 1, .seed = 7, .tasks[0].unit = 1};
    options.optimizer = (const struct bp_optimizer_ops *)bp_family_find(&bp_optimizers, optimizer);
    bp_values_preset(&options.optimizer->entry, options.optimizer_values);
    snprintf(text, sizeof text, "%s", values);
    test_values(&options.optimizer->entry, options.optimizer_values, text);
    return options;
}

static void add_metric(struct bp_train_options *options, const char *name) {
    options->tasks[0].metrics[options->tasks[0].metrics_count++] = (const struct bp_metric_ops *)bp_family_find(&bp_metrics, name);
}

static struct bp_trainer *open_trainer(const struct bp_network *net, const struct bp_train_options *options, const struct data *train,
                                       const struct data *validation) {
    struct bp_trainer *trainer = NULL;
    struct bp_error error = {{0}, {0}};
    const struct bp_source t = source_of(train), v = validation ? source_of(validation) : t;
    ck_assert_msg(bp_trainer_new(net, options, &t, validation ? &v : NULL, &trainer, &error) == 0, "%s", error.message);
    return trainer;
}

static double metric(const struct bp_trainer *trainer, const char *name) {
    for (int32_t i = 0; i < bp_trainer_metrics_count(trainer); i++)
        if (!strcmp(bp_trainer_metric_name(trainer, i), name)) return bp_trainer_metric_value(trainer, i);
    ck_abort_msg("no metric %s", name);
    return 0;
}

static enum bp_train_event run(struct bp_trainer *trainer) {
    enum bp_train_event event;
    while ((event = bp_trainer_step(trainer)) != BP_TRAIN_DONE && event != BP_TRAIN_DIVERGED)
        ;
    return event;
}

/* ---- it learns --------------------------------------------------------------------------------------------------- */

START_TEST(learns_xor) {
    struct data data = {.width = 2, .y_width = 1, .rows = 4, .x = {0, 0, 0, 1, 1, 0, 1, 1}, .y = {0, 1, 1, 0}};
    struct bp_network *net =
        test_network("dense units=8 activation=tanh; dense units=1 activation=sigmoid", "binary_cross_entropy", (struct bp_shape){1, {2}});
    struct bp_train_options options = options_of("adam", "learning_rate=0.05", 300);
    options.tasks[0].classes = 2;
    add_metric(&options, "accuracy");
    struct bp_trainer *trainer = open_trainer(net, &options, &data, NULL);
    ck_assert_int_eq(run(trainer), BP_TRAIN_DONE);
    ck_assert_double_lt(metric(trainer, "loss"), 0.05);
    ck_assert(metric(trainer, "accuracy") == 1);
    bp_trainer_free(trainer);
    bp_network_free(net);
}
END_TEST

START_TEST(learns_a_spiral_on_two_threads) {
    static struct data train, validation;
    make_spiral(&train, 600, 0);
    make_spiral(&validation, 150, 1);
    struct bp_network *net =
        test_network("dense units=32 activation=relu; dense units=32 activation=relu; dense units=3", "cross_entropy", (struct bp_shape){1, {2}});
    struct bp_train_options options = options_of("adam", "learning_rate=0.01", 60);
    options.tasks[0].classes = 3;
    options.threads = 2;
    add_metric(&options, "accuracy");
    add_metric(&options, "f1");
    struct bp_trainer *trainer = open_trainer(net, &options, &train, &validation);
    ck_assert_int_eq(run(trainer), BP_TRAIN_DONE);
    ck_assert_double_gt(metric(trainer, "val_accuracy"), 0.95);
    ck_assert_double_gt(metric(trainer, "val_f1"), 0.95);
    ck_assert_double_lt(metric(trainer, "val_loss"), 0.2);
    bp_trainer_free(trainer);
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
                                         "step_max=0.01",
                                         "learning_rate=0.1"};
    static struct data data;
    make_line(&data, 200);
    ck_assert_int_eq(bp_optimizers.count, (int)(sizeof values / sizeof *values));
    for (int32_t i = 0; i < bp_optimizers.count; i++) {
        struct bp_network *net = test_network("dense units=1", "mse", (struct bp_shape){1, {2}});
        struct bp_train_options options = options_of(bp_optimizers.entries[i]->name, values[i], 100);
        options.tasks[0].unit = 100;
        add_metric(&options, "mae");
        add_metric(&options, "r2");
        struct bp_trainer *trainer = open_trainer(net, &options, &data, NULL);
        run(trainer);
        const bp_real *W = bp_trainer_result(trainer);
        ck_assert_msg(fabs((double)W[0] - 3) < 0.02 && fabs((double)W[1] + 2) < 0.02 && fabs((double)W[16] - 1) < 0.02, "%s: %g %g %g",
                      bp_optimizers.entries[i]->name, (double)W[0], (double)W[1], (double)W[16]);
        ck_assert_double_lt(metric(trainer, "mae"), 4); /* 100 times the network's own */
        ck_assert_double_gt(metric(trainer, "r2"), 0.999);
        bp_trainer_free(trainer);
        bp_network_free(net);
    }
}
END_TEST

/* ---- one step, by hand ------------------------------------------------------------------------------------------- */

/* One row x = (1, 2), y = 1, W = b = 0 at first: z = 0, dz = -2; plain SGD with learning rate 0.1. */
static void one_step(double l2, double clip, double w, const bp_real expected[3]) {
    struct data data = {.width = 2, .y_width = 1, .rows = 1, .x = {1, 2}, .y = {1}};
    char text[128];
    snprintf(text, sizeof text, "dense units=1 kernel_initializer=%s", w != 0 ? "ones" : "zeros");
    struct bp_network *net = test_network(text, "mse", (struct bp_shape){1, {2}});
    struct bp_train_options options = options_of("sgd", "learning_rate=0.1", 1);
    options.l2 = l2;
    options.gradient_clip_norm = clip;
    struct bp_trainer *trainer = open_trainer(net, &options, &data, NULL);
    ck_assert_int_eq(bp_trainer_step(trainer), BP_TRAIN_EPOCH);
    const bp_real *W = bp_trainer_result(trainer);
    const bp_real got[3] = {W[0], W[1], W[16]};
    for (int i = 0; i < 3; i++) ck_assert_double_eq_tol((double)got[i], (double)expected[i], 1e-6);
    ck_assert_double_eq_tol(metric(trainer, "loss"), w != 0 ? 4 : 1, 1e-6); /* without the penalty */
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
    static struct data weighted, repeated;
    make_line(&weighted, 6);
    repeated = weighted;
    weighted.weighted = true;
    weighted.weights[1] = 2;
    weighted.weights[4] = 0;
    for (int k = 0; k < 2; k++) repeated.x[8 + k] = weighted.x[2 + k];
    repeated.y[4] = weighted.y[1];
    for (int32_t threads = 1; threads < 4; threads++) {
        struct bp_network *net = test_network("dense units=1", "mse", (struct bp_shape){1, {2}});
        struct bp_train_options options = options_of("sgd", "learning_rate=0.1", 20);
        options.threads = threads;
        add_metric(&options, "rmse");
        struct bp_trainer *a = open_trainer(net, &options, &weighted, &weighted), *b = open_trainer(net, &options, &repeated, &repeated);
        run(a);
        run(b);
        for (int k = 0; k < 17; k++) ck_assert_double_eq_tol((double)bp_trainer_result(a)[k], (double)bp_trainer_result(b)[k], 1e-5);
        ck_assert_double_eq_tol(metric(a, "loss"), metric(b, "loss"), 1e-5);
        ck_assert_double_eq_tol(metric(a, "val_rmse"), metric(b, "val_rmse"), 1e-5);
        bp_trainer_free(a);
        bp_trainer_free(b);
        bp_network_free(net);
    }
}
END_TEST

START_TEST(one_hot_values_with_metrics_of_classes) {
    static struct data train;
    make_spiral(&train, 150, 0);
    train.y_width = 3;
    bp_real classes[150];
    memcpy(classes, train.y, sizeof classes);
    for (int i = 0; i < 150; i++)
        for (int j = 0; j < 3; j++) train.y[3 * i + j] = j == (int)classes[i];
    struct bp_network *net = test_network("dense units=24 activation=relu; dense units=3 activation=softmax", "mse", (struct bp_shape){1, {2}});
    struct bp_train_options options = options_of("adam", "learning_rate=0.02", 120);
    options.tasks[0].classes = 3;
    options.threads = 2;
    add_metric(&options, "accuracy");
    struct bp_trainer *trainer = open_trainer(net, &options, &train, NULL);
    run(trainer);
    ck_assert_double_gt(metric(trainer, "accuracy"), 0.9);
    bp_trainer_free(trainer);
    bp_network_free(net);
}
END_TEST

/* ---- events and metrics ------------------------------------------------------------------------------------------ */

START_TEST(events_come_in_order) {
    static struct data train, validation;
    make_spiral(&train, 70, 0);
    make_spiral(&validation, 100, 1);
    struct bp_network *net = test_network("dense units=3", "cross_entropy", (struct bp_shape){1, {2}});
    struct bp_train_options options = options_of("adam", "", 2);
    options.tasks[0].classes = 3;
    add_metric(&options, "accuracy");
    struct bp_trainer *trainer = open_trainer(net, &options, &train, &validation);
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
        ck_assert(isfinite(metric(trainer, "val_loss")));
    }
    ck_assert_int_eq(bp_trainer_step(trainer), BP_TRAIN_DONE);
    ck_assert_int_eq(bp_trainer_step(trainer), BP_TRAIN_DONE);
    bp_trainer_free(trainer);
    bp_trainer_free(NULL);
    bp_network_free(net);
}
END_TEST

/* A source that writes down the rows it was asked for. */
static int64_t asked[200];
static int asked_count;

static void fill_and_note(const void *context, const int64_t *rows, int32_t n, const struct bp_batch *batch) {
    for (int32_t i = 0; i < n; i++) asked[asked_count++] = rows[i];
    fill(context, rows, n, batch);
}

START_TEST(every_epoch_sees_every_row_once_in_an_order_of_its_own) {
    static struct data data;
    make_line(&data, 50);
    struct bp_network *net = test_network("dense units=1", "mse", (struct bp_shape){1, {2}});
    struct bp_train_options options = options_of("sgd", "", 3);
    struct bp_trainer *trainer = NULL;
    const struct bp_source source = {.context = &data, .rows = 50, .fill = fill_and_note};
    options.batch_size = 16;
    ck_assert_int_eq(bp_trainer_new(net, &options, &source, NULL, &trainer, NULL), 0);
    run(trainer);
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

/* ---- bits -------------------------------------------------------------------------------------------------------- */

#define DEEP "dense units=24 activation=relu; dropout rate=0.3; dense units=20 activation=gelu; dense units=3"

static struct bp_train_options deep_options(int32_t threads, bool early) {
    struct bp_train_options options = options_of("adamw", "learning_rate=0.01", 9);
    options.tasks[0].classes = 3;
    options.threads = threads;
    options.l2 = 1e-4;
    options.gradient_clip_norm = 1;
    options.stop_early = early;
    options.stop_patience = 3;
    options.stop_min_delta = 0.01;
    snprintf(options.stop_metric, sizeof options.stop_metric, "val_accuracy");
    add_metric(&options, "accuracy");
    add_metric(&options, "recall");
    add_metric(&options, "roc_auc");
    return options;
}

START_TEST(same_seed_same_bits) {
    static struct data train, validation;
    make_spiral(&train, 205, 0);
    make_spiral(&validation, 90, 1);
    struct bp_network *net = test_network(DEEP, "cross_entropy", (struct bp_shape){1, {2}});
    const size_t bytes = net->weights_count * sizeof(bp_real);
    for (int32_t threads = 1; threads <= 3; threads++) {
        struct bp_train_options options = deep_options(threads, false);
        struct bp_trainer *a = open_trainer(net, &options, &train, &validation), *b = open_trainer(net, &options, &train, NULL);
        options.seed = 8;
        struct bp_trainer *c = open_trainer(net, &options, &train, &validation);
        run(a);
        run(b); /* validation changes nothing in training */
        run(c);
        ck_assert_mem_eq(bp_trainer_result(a), bp_trainer_result(b), bytes);
        ck_assert_mem_ne(bp_trainer_result(a), bp_trainer_result(c), bytes);
        ck_assert(metric(a, "loss") == metric(b, "loss"));
        bp_trainer_free(a);
        bp_trainer_free(b);
        bp_trainer_free(c);
    }
    bp_network_free(net);
}
END_TEST

/* Shards change the last bits only: masks, orders and scales are the same. */
START_TEST(shards_agree) {
    static struct data train;
    make_spiral(&train, 205, 0);
    struct bp_network *net = test_network(DEEP, "cross_entropy", (struct bp_shape){1, {2}});
    double losses[4];
    for (int32_t threads = 1; threads <= 4; threads++) {
        struct bp_train_options options = deep_options(threads, false);
        options.epochs = 2;
        struct bp_trainer *trainer = open_trainer(net, &options, &train, NULL);
        run(trainer);
        losses[threads - 1] = metric(trainer, "loss");
        bp_trainer_free(trainer);
    }
    for (int i = 1; i < 4; i++) ck_assert_double_eq_tol(losses[i], losses[0], 1e-4);
    bp_network_free(net);
}
END_TEST

START_TEST(more_threads_than_rows) {
    struct data data = {.width = 2, .y_width = 1, .rows = 4, .x = {0, 0, 0, 1, 1, 0, 1, 1}, .y = {0, 1, 1, 0}};
    struct bp_network *net = test_network("dense units=8 activation=tanh; dense units=1", "binary_cross_entropy", (struct bp_shape){1, {2}});
    struct bp_train_options options = options_of("adam", "learning_rate=0.05", 300);
    options.tasks[0].classes = 2;
    options.threads = 5;
    options.batch_size = 3;
    struct bp_trainer *trainer = open_trainer(net, &options, &data, &data);
    ck_assert_int_eq(run(trainer), BP_TRAIN_DONE);
    ck_assert_double_lt(metric(trainer, "val_loss"), 0.1);
    bp_trainer_free(trainer);
    bp_network_free(net);
}
END_TEST

/* A deep copy, as a checkpoint would hold it. */
static struct bp_trainer_state copy_state(struct bp_trainer *trainer) {
    struct bp_trainer_state state;
    bp_trainer_state(trainer, &state);
    const size_t bytes = state.weights_count * sizeof(bp_real);
    state.weights = memcpy(malloc(bytes), state.weights, bytes);
    state.best = state.best ? memcpy(malloc(bytes), state.best, bytes) : NULL;
    for (int32_t i = 0; i < state.slots_count; i++) state.slots[i] = memcpy(malloc(bytes), state.slots[i], bytes);
    state.accumulators =
        memcpy(malloc((size_t)state.accumulators_count * sizeof(double)), state.accumulators, (size_t)state.accumulators_count * sizeof(double));
    return state;
}

static void free_state(struct bp_trainer_state *state) {
    free(state->weights);
    free(state->best);
    free(state->accumulators);
    for (int32_t i = 0; i < state->slots_count; i++) free(state->slots[i]);
}

/* Everything that is observable at the end. */
static void compare_ends(struct bp_trainer *a, struct bp_trainer *b) {
    struct bp_trainer_state s, t;
    bp_trainer_state(a, &s);
    bp_trainer_state(b, &t);
    ck_assert_int_eq(s.epoch, t.epoch);
    ck_assert_int_eq(s.updates, t.updates);
    ck_assert_int_eq(s.best_epoch, t.best_epoch);
    ck_assert_int_eq(s.waited, t.waited);
    ck_assert_int_eq(s.stopped, t.stopped);
    ck_assert(s.best_value == t.best_value);
    const size_t bytes = s.weights_count * sizeof(bp_real);
    ck_assert_mem_eq(s.weights, t.weights, bytes);
    ck_assert_mem_eq(bp_trainer_result(a), bp_trainer_result(b), bytes);
    for (int32_t i = 0; i < s.slots_count; i++) ck_assert_mem_eq(s.slots[i], t.slots[i], bytes);
    for (int32_t i = 0; i < bp_trainer_metrics_count(a); i++) {
        const double x = bp_trainer_metric_value(a, i), y = bp_trainer_metric_value(b, i);
        ck_assert(x == y || (isnan(x) && isnan(y)));
    }
}

/* Stopped after every possible step: mid-epoch, during validation, between epochs. */
START_TEST(restored_is_as_never_stopped) {
    static struct data train, validation;
    make_spiral(&train, 205, 0);
    make_spiral(&validation, 150, 1);
    struct bp_network *net = test_network(DEEP, "cross_entropy", (struct bp_shape){1, {2}});
    const struct bp_train_options options = deep_options(_i & 1 ? 2 : 1, _i & 2);
    struct bp_trainer *unbroken = open_trainer(net, &options, &train, &validation);
    run(unbroken);
    for (int stop = 0; stop < 45; stop += stop < 12 ? 1 : 5) {
        struct bp_trainer *first = open_trainer(net, &options, &train, &validation), *second = NULL;
        for (int i = 0; i < stop; i++) bp_trainer_step(first);
        struct bp_trainer_state state = copy_state(first);
        bp_trainer_free(first);
        second = open_trainer(net, &options, &train, &validation);
        ck_assert_int_eq(bp_trainer_restore(second, &state, NULL), 0);
        free_state(&state);
        ck_assert_int_eq(run(second), BP_TRAIN_DONE);
        compare_ends(unbroken, second);
        bp_trainer_free(second);
    }
    bp_trainer_free(unbroken);
    bp_network_free(net);
}
END_TEST

START_TEST(a_foreign_state_is_refused) {
    static struct data train;
    make_spiral(&train, 64, 0);
    struct bp_network *small = test_network("dense units=3", "cross_entropy", (struct bp_shape){1, {2}});
    struct bp_network *large = test_network("dense units=9; dense units=3", "cross_entropy", (struct bp_shape){1, {2}});
    struct bp_train_options options = deep_options(1, false), plain = options;
    plain.optimizer = (const struct bp_optimizer_ops *)bp_family_find(&bp_optimizers, "sgd");
    bp_values_preset(&plain.optimizer->entry, plain.optimizer_values);
    struct bp_trainer *a = open_trainer(small, &options, &train, NULL), *b = open_trainer(large, &options, &train, NULL),
                      *c = open_trainer(small, &plain, &train, NULL);
    struct bp_trainer_state state;
    struct bp_error error = {{0}, {0}};
    bp_trainer_state(b, &state);
    ck_assert_int_eq(bp_trainer_restore(a, &state, &error), -1);
    ck_contains(error.message, "another definition");
    bp_trainer_state(c, &state);
    error = (struct bp_error){{0}, {0}};
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
    static struct data train, validation;
    make_spiral(&train, 60, 0);
    make_spiral(&validation, 60, 1);
    for (int i = 0; i < 60; i++) /* nothing to learn: it will overfit */
        train.y[i] = (bp_real)((i * 7 + i / 5) % 3);
    struct bp_network *net = test_network("dense units=64 activation=relu; dense units=3", "cross_entropy", (struct bp_shape){1, {2}});
    const size_t bytes = net->weights_count * sizeof(bp_real);
    struct bp_train_options options = options_of("adam", "learning_rate=0.03", 1000);
    options.tasks[0].classes = 3;
    options.stop_early = true;
    options.stop_patience = 4;
    snprintf(options.stop_metric, sizeof options.stop_metric, "val_loss");
    struct bp_trainer *trainer = open_trainer(net, &options, &train, &validation);
    double best = INFINITY;
    int64_t epoch = 0, best_epoch = 0;
    bp_real *at_best = malloc(bytes);
    struct bp_trainer_state state;
    enum bp_train_event event;
    ck_assert_mem_eq(bp_trainer_result(trainer), (bp_trainer_state(trainer, &state), state.weights), bytes);
    while ((event = bp_trainer_step(trainer)) != BP_TRAIN_DONE)
        if (event == BP_TRAIN_EPOCH && ++epoch && metric(trainer, "val_loss") < best) {
            best = metric(trainer, "val_loss");
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

/* ---- what goes wrong --------------------------------------------------------------------------------------------- */

START_TEST(divergence_is_seen) {
    static struct data data;
    make_line(&data, 128);
    for (int clip = 0; clip < 2; clip++)
        for (int32_t threads = 1; threads < 3; threads++) {
            struct bp_network *net = test_network("dense units=8; dense units=1", "mse", (struct bp_shape){1, {2}});
            struct bp_train_options options = options_of("sgd", "learning_rate=1000", 1000);
            options.threads = threads;
            options.gradient_clip_norm = clip ? 1e30 : 0;
            struct bp_trainer *trainer = open_trainer(net, &options, &data, &data);
            ck_assert_int_eq(run(trainer), BP_TRAIN_DIVERGED);
            ck_assert_int_eq(bp_trainer_step(trainer), BP_TRAIN_DIVERGED);
            bp_trainer_free(trainer);
            bp_network_free(net);
        }
}
END_TEST

/* The very last update spoils the weights, though every loss was finite: it must not end as a success. */
START_TEST(a_spoilt_last_update_is_seen) {
    struct data data = {.width = 2, .y_width = 1, .rows = 1, .x = {1e20f, 1}, .y = {1e19f}};
    struct bp_network *net = test_network("dense units=1 kernel_initializer=zeros", "mse", (struct bp_shape){1, {2}});
    struct bp_train_options options = options_of("sgd", "learning_rate=1000000", 1);
    data.y[0] = 1e15f;
    struct bp_trainer *trainer = open_trainer(net, &options, &data, NULL);
    ck_assert_int_eq(run(trainer), BP_TRAIN_DIVERGED);
    bp_trainer_free(trainer);
    bp_network_free(net);
}
END_TEST

static void refuse(void (*spoil)(struct bp_train_options *), const char *text, const char *loss, const char *pointer, const char *says) {
    static struct data data;
    make_spiral(&data, 30, 0);
    struct bp_network *net = test_network(text, loss, (struct bp_shape){1, {2}});
    struct bp_train_options options = options_of("adam", "", 2);
    struct bp_trainer *trainer = NULL;
    struct bp_error error = {{0}, {0}};
    const struct bp_source source = source_of(&data);
    options.tasks[0].classes = 3;
    if (spoil) spoil(&options);
    ck_assert_int_eq(bp_trainer_new(net, &options, &source, NULL, &trainer, &error), -1);
    ck_assert_ptr_null(trainer);
    ck_assert_str_eq(error.pointer, pointer);
    ck_contains(error.message, says);
    bp_network_free(net);
}

static void spoil_metric(struct bp_train_options *o) {
    add_metric(o, "rmse");
}
static void spoil_twice(struct bp_train_options *o) {
    add_metric(o, "f1"), add_metric(o, "f1");
}
static void spoil_missing(struct bp_train_options *o) {
    add_metric(o, "no such");
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
    refuse(spoil_metric, net, loss, "/metrics/0", "rmse does not suit classification");
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
    static struct data data;
    struct bp_network *net = test_network("dense units=1", "mse", (struct bp_shape){1, {2}});
    const struct bp_train_options options = options_of("adam", "", 2);
    struct bp_trainer *trainer = NULL;
    struct bp_error error = {{0}, {0}};
    struct bp_source none = source_of(&data), some;
    make_line(&data, 3);
    some = source_of(&data);
    none.rows = 0;
    ck_assert_int_eq(bp_trainer_new(net, &options, &none, NULL, &trainer, &error), -1);
    ck_contains(error.message, "no rows to train on");
    ck_assert_int_eq(bp_trainer_new(net, &options, &some, &none, &trainer, NULL), -1);
    bp_network_free(net);
}
END_TEST

/* A metric of the whole is measured over the validation rows alone, and over the others when there are none. */
START_TEST(metrics_of_the_whole) {
    static struct data train, validation;
    make_spiral(&train, 200, 0);
    make_spiral(&validation, 70, 1);
    struct bp_network *net = test_network("dense units=24 activation=tanh; dense units=3", "cross_entropy", (struct bp_shape){1, {2}});
    struct bp_train_options options = options_of("adam", "learning_rate=0.02", 30);
    options.tasks[0].classes = 3;
    options.threads = 2;
    options.stop_early = true;
    options.stop_patience = 30;
    snprintf(options.stop_metric, sizeof options.stop_metric, "val_roc_auc");
    add_metric(&options, "roc_auc");
    add_metric(&options, "accuracy");
    struct bp_trainer *trainer = open_trainer(net, &options, &train, &validation);
    ck_assert_int_eq(bp_trainer_metrics_count(trainer), 5);
    ck_assert_str_eq(bp_trainer_metric_name(trainer, 2), "val_roc_auc");
    ck_assert_str_eq(bp_trainer_metric_name(trainer, 3), "accuracy");
    run(trainer);
    ck_assert_double_gt(metric(trainer, "val_roc_auc"), 0.9);
    ck_assert_double_lt(metric(trainer, "val_roc_auc"), 1);
    bp_trainer_free(trainer);
    snprintf(options.stop_metric, sizeof options.stop_metric, "roc_auc");
    trainer = open_trainer(net, &options, &train, NULL);
    ck_assert_int_eq(bp_trainer_metrics_count(trainer), 3);
    ck_assert_str_eq(bp_trainer_metric_name(trainer, 1), "roc_auc");
    run(trainer);
    ck_assert_double_gt(metric(trainer, "roc_auc"), 0.9);
    bp_trainer_free(trainer);
    bp_network_free(net);
}
END_TEST

/* Three outputs for the one target: metrics see the middle quantile. y is on the line, so all three come to lie on it. */
START_TEST(metrics_see_the_point_prediction) {
    static struct data data;
    make_line(&data, 200);
    struct bp_network *net = test_network("dense units=3", "quantile quantiles=0.2,0.5,0.9", (struct bp_shape){1, {2}});
    struct bp_train_options options = options_of("adam", "learning_rate=0.02", 150);
    options.tasks[0].unit = 1;
    add_metric(&options, "mae");
    add_metric(&options, "r2");
    add_metric(&options, "median_absolute_error");
    struct bp_trainer *trainer = open_trainer(net, &options, &data, NULL);
    ck_assert_int_eq(run(trainer), BP_TRAIN_DONE);
    ck_assert_double_lt(metric(trainer, "mae"), 0.1);
    ck_assert_double_lt(metric(trainer, "median_absolute_error"), 0.1);
    ck_assert_double_gt(metric(trainer, "r2"), 0.99);
    bp_trainer_free(trainer);
    bp_network_free(net);
}
END_TEST

/* ---- memory ------------------------------------------------------------------------------------------------------ */

START_TEST(a_step_allocates_nothing) {
    static struct data train, validation;
    if (test_allocations() < 0) return;
    make_spiral(&train, 205, 0);
    make_spiral(&validation, 150, 1);
    for (int32_t threads = 1; threads <= 2; threads++) {
        struct bp_network *net = test_network(DEEP, "cross_entropy", (struct bp_shape){1, {2}});
        const struct bp_train_options options = deep_options(threads, true);
        struct bp_trainer *trainer = open_trainer(net, &options, &train, &validation);
        const long before = test_allocations();
        run(trainer);
        ck_assert_int_eq(test_allocations() - before, 0);
        bp_trainer_free(trainer);
        bp_network_free(net);
    }
    free(malloc(1));
    ck_assert_int_gt(test_allocations(), 0);
}
END_TEST

START_TEST(every_allocation_of_a_trainer_may_fail) {
    static struct data train;
    if (test_allocations() < 0) return;
    make_spiral(&train, 60, 0);
    struct bp_network *net = test_network(DEEP, "cross_entropy", (struct bp_shape){1, {2}});
    struct bp_train_options options = deep_options(1, false);
    const struct bp_source source = source_of(&train);
    options.stop_early = true;
    snprintf(options.stop_metric, sizeof options.stop_metric, "loss");
    for (long nth = 1;; nth++) {
        struct bp_trainer *trainer = NULL;
        struct bp_error error = {{0}, {0}};
        const long live = test_live_blocks();
        test_allocations_fail(nth);
        const int failed = bp_trainer_new(net, &options, &source, NULL, &trainer, &error);
        test_allocations_fail(0);
        ck_assert(!failed == (trainer != NULL));
        ck_assert(!failed == !error.message[0]);
        bp_trainer_free(trainer);
        ck_assert_int_eq(test_live_blocks(), live);
        if (!failed) {
            ck_assert_int_gt(nth, 20);
            break;
        }
    }
    bp_network_free(net);
}
END_TEST

START_TEST(bytes_are_about_right) {
    struct bp_network *net = test_network("dense units=1000; dense units=3", "cross_entropy", (struct bp_shape){1, {500}});
    struct bp_train_options options = deep_options(1, false);
    const size_t one = bp_trainer_bytes(net, &options, 100, 0), weights = net->weights_count * sizeof(bp_real);
    ck_assert_uint_gt(one, 4 * weights);
    ck_assert_uint_lt(one, 5 * weights);
    options.threads = 2;
    ck_assert_uint_gt(bp_trainer_bytes(net, &options, 100, 10), one + weights);
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
    tcase_add_test(tests, every_optimizer_learns_a_line);
    tcase_add_test(tests, a_step_by_hand);
    tcase_add_test(tests, sample_weights);
    tcase_add_test(tests, one_hot_values_with_metrics_of_classes);
    tcase_add_test(tests, events_come_in_order);
    tcase_add_test(tests, every_epoch_sees_every_row_once_in_an_order_of_its_own);
    tcase_add_test(tests, same_seed_same_bits);
    tcase_add_test(tests, shards_agree);
    tcase_add_test(tests, more_threads_than_rows);
    tcase_add_loop_test(tests, restored_is_as_never_stopped, 0, 4);
    tcase_add_test(tests, a_foreign_state_is_refused);
    tcase_add_test(tests, early_stopping_restores_the_best);
    tcase_add_test(tests, divergence_is_seen);
    tcase_add_test(tests, a_spoilt_last_update_is_seen);
    tcase_add_test(tests, impossible_options_are_refused);
    tcase_add_test(tests, no_rows_are_refused);
    tcase_add_test(tests, metrics_of_the_whole);
    tcase_add_test(tests, metrics_see_the_point_prediction);
    tcase_add_test(tests, a_step_allocates_nothing);
    tcase_add_test(tests, every_allocation_of_a_trainer_may_fail);
    tcase_add_test(tests, bytes_are_about_right);
    suite_add_tcase(suite, tests);
    return suite;
}

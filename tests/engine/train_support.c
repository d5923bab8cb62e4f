/* train_support.c - see train_support.h. */
#include "tests/engine/train_support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- data -------------------------------------------------------------------------------------------------------- */

void test_fill(const void *context, const int64_t *rows, int32_t n, const struct bp_batch *batch) {
    const struct test_data *data = context;
    for (int32_t i = 0; i < n; i++) {
        const size_t row = (size_t)rows[i], width = (size_t)data->width, y_width = (size_t)data->y_width;
        memcpy(batch->inputs[0] + (size_t)i * width, data->x + row * width, width * sizeof(bp_real));
        memcpy(batch->targets[0] + (size_t)i * y_width, data->y + row * y_width, y_width * sizeof(bp_real));
        const size_t second = (size_t)data->second_width;
        if (second) memcpy(batch->targets[1] + (size_t)i * second, data->second + row * second, second * sizeof(bp_real));
        if (batch->weights) batch->weights[i] = data->weights[row];
    }
}

struct bp_source test_source(const struct test_data *data) {
    return (struct bp_source){.context = data, .rows = data->rows, .weighted = data->weighted, .fill = test_fill};
}

void test_spiral(struct test_data *data, int64_t rows, uint32_t index) {
    struct bp_random random = bp_random_open(8, BP_STREAM_USER, index);
    *data = (struct test_data){.width = 2, .y_width = 1, .rows = rows};
    for (int64_t i = 0; i < rows; i++) {
        const double t = bp_random_uniform(&random), arm = (double)(i % 3);
        const double angle = 4 * t + arm * 2.0943951 + 0.1 * bp_random_normal(&random);
        data->x[2 * i] = (bp_real)(2 * t * cos(angle));
        data->x[2 * i + 1] = (bp_real)(2 * t * sin(angle));
        data->y[i] = (bp_real)arm;
    }
}

void test_line(struct test_data *data, int64_t rows) {
    struct bp_random random = bp_random_open(9, BP_STREAM_USER, 0);
    *data = (struct test_data){.width = 2, .y_width = 1, .rows = rows};
    for (int64_t i = 0; i < rows; i++) {
        data->x[2 * i] = (bp_real)bp_random_normal(&random);
        data->x[2 * i + 1] = (bp_real)bp_random_normal(&random);
        data->y[i] = 3 * data->x[2 * i] - 2 * data->x[2 * i + 1] + 1;
        data->weights[i] = 1;
    }
}

struct bp_train_options test_options(const char *optimizer, const char *values, int32_t epochs) {
    char text[128];
    struct bp_train_options options = {.epochs = epochs, .batch_size = 32, .threads = 1, .seed = 7, .tasks[0].unit = 1};
    options.optimizer = (const struct bp_optimizer_ops *)bp_family_find(&bp_optimizers, optimizer);
    bp_values_preset(&options.optimizer->entry, options.optimizer_values);
    snprintf(text, sizeof text, "%s", values);
    test_values(&options.optimizer->entry, options.optimizer_values, text);
    return options;
}

void test_schedule(struct bp_train_options *options, const char *text) {
    char copy[128];
    const size_t length = strcspn(text, " ");
    snprintf(copy, sizeof copy, "%.*s", (int)length, text);
    options->schedule = (const struct bp_schedule_ops *)bp_family_find(&bp_schedules, copy);
    ck_assert_msg(options->schedule != NULL, "no schedule %s", text);
    bp_values_preset(&options->schedule->entry, options->schedule_values);
    snprintf(copy, sizeof copy, "%s", text + length);
    test_values(&options->schedule->entry, options->schedule_values, copy);
}

void test_add_metric(struct bp_train_options *options, const char *name) {
    options->tasks[0].metrics[options->tasks[0].metrics_count++] = (const struct bp_metric_ops *)bp_family_find(&bp_metrics, name);
}

struct bp_trainer *test_trainer(const struct bp_network *net, const struct bp_train_options *options, const struct test_data *train,
                                const struct test_data *validation) {
    struct bp_trainer *trainer = NULL;
    struct bp_error error = {0};
    const struct bp_source t = test_source(train), v = validation ? test_source(validation) : t;
    ck_assert_msg(bp_trainer_new(net, options, &t, validation ? &v : NULL, &trainer, &error) == 0, "%s", error.message);
    return trainer;
}

double test_metric(const struct bp_trainer *trainer, const char *name) {
    for (int32_t i = 0; i < bp_trainer_metrics_count(trainer); i++)
        if (!strcmp(bp_trainer_metric_name(trainer, i), name)) return bp_trainer_metric_value(trainer, i);
    ck_abort_msg("no metric %s", name);
    return 0;
}

enum bp_train_event test_run(struct bp_trainer *trainer) {
    enum bp_train_event event;
    while ((event = bp_trainer_step(trainer)) != BP_TRAIN_DONE && event != BP_TRAIN_DIVERGED)
        ;
    return event;
}

struct bp_train_options test_deep_options(int32_t threads, bool early) {
    struct bp_train_options options = test_options("adamw", "learning_rate=0.01", 9);
    options.tasks[0].classes = 3;
    options.threads = threads;
    options.l2 = 1e-4;
    options.gradient_clip_norm = 1;
    options.stop_early = early;
    options.stop_patience = 3;
    options.stop_min_delta = 0.01;
    snprintf(options.stop_metric, sizeof options.stop_metric, "val_accuracy");
    test_add_metric(&options, "accuracy");
    test_add_metric(&options, "recall");
    test_add_metric(&options, "roc_auc");
    return options;
}

struct bp_train_options test_everything(int32_t threads, struct test_data *train, struct test_data *validation) {
    struct bp_train_options options = test_deep_options(threads, true);
    test_values(&options.optimizer->entry, options.optimizer_values, (char[]){"amsgrad=1"});
    test_schedule(&options, "reduce_on_plateau patience=1 warmup_epochs=1");
    options.l1 = 1e-4;
    options.max_norm = 2;
    options.gradient_clip_value = 0.5;
    options.gradient_accumulation_steps = 3;
    options.ema = 0.9;
    options.mixup = 0.4;
    options.tasks[1].unit = 3;
    options.tasks[1].metrics[options.tasks[1].metrics_count++] = (const struct bp_metric_ops *)bp_family_find(&bp_metrics, "rmse");
    snprintf(options.stop_metric, sizeof options.stop_metric, "val_arm_accuracy");
    for (int part = 0; part < 2; part++) {
        struct test_data *data = part ? validation : train;
        test_spiral(data, part ? 150 : 205, (uint32_t)part);
        data->weighted = true;
        data->second_width = 1;
        for (int64_t i = 0; i < data->rows; i++) {
            data->second[i] = (bp_real)hypot((double)data->x[2 * i], (double)data->x[2 * i + 1]);
            data->weights[i] = (bp_real)(0.5 + (double)(i % 4));
        }
    }
    return options;
}

struct bp_trainer_state test_copy_state(struct bp_trainer *trainer) {
    struct bp_trainer_state state;
    bp_trainer_state(trainer, &state);
    const size_t bytes = state.weights_count * sizeof(bp_real), slot = state.trained_count * sizeof(bp_real);
    state.weights = memcpy(malloc(bytes), state.weights, bytes);
    state.best = state.best ? memcpy(malloc(bytes), state.best, bytes) : NULL;
    state.average = state.average ? memcpy(malloc(bytes), state.average, bytes) : NULL;
    for (int32_t i = 0; i < state.slots_count; i++) state.slots[i] = memcpy(malloc(slot), state.slots[i], slot);
    state.accumulators =
        memcpy(malloc((size_t)state.accumulators_count * sizeof(double)), state.accumulators, (size_t)state.accumulators_count * sizeof(double));
    return state;
}

void test_free_state(struct bp_trainer_state *state) {
    free(state->weights);
    free(state->best);
    free(state->average);
    free(state->accumulators);
    for (int32_t i = 0; i < state->slots_count; i++) free(state->slots[i]);
}

void test_compare_ends(struct bp_trainer *a, struct bp_trainer *b) {
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
    for (int32_t i = 0; i < s.slots_count; i++) ck_assert_mem_eq(s.slots[i], t.slots[i], s.trained_count * sizeof(bp_real));
    if (s.average) ck_assert_mem_eq(s.average, t.average, bytes);
    ck_assert_mem_eq(s.memory, t.memory, sizeof s.memory);
    for (int32_t i = 0; i < bp_trainer_metrics_count(a); i++) {
        const double x = bp_trainer_metric_value(a, i), y = bp_trainer_metric_value(b, i);
        ck_assert(x == y || (isnan(x) && isnan(y)));
    }
}

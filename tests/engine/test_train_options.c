/* test_train_options.c - the options of a training one by one, by hand: penalties, max_norm, clipping, accumulation, the moving average, mixup,
 * frozen layers, schedules. (All of them together, saved and resumed: test_train_state.c.) */
#include "tests/engine/train_support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- one step ---------------------------------------------------------------------------------------------------- */

/* x = (1, 2), y = 1, W = (1, 1), b = 0: z = 3, dz = 4, gradient (4, 8) and 4; plain SGD with learning rate 0.1. The loss is 4 in any case. */
static void one_step(struct bp_train_options options, const double expected[3]) {
    struct test_data data = {.width = 2, .y_width = 1, .rows = 1, .x = {1, 2}, .y = {1}};
    struct bp_network *net = test_network("dense units=1 kernel_initializer=ones", "mse", (struct bp_shape){1, {2}});
    struct bp_trainer *trainer = test_trainer(net, &options, &data, NULL);
    ck_assert_int_eq(bp_trainer_step(trainer), BP_TRAIN_EPOCH);
    const bp_real *W = bp_trainer_result(trainer);
    ck_assert_double_eq_tol((double)W[0], expected[0], 1e-5);
    ck_assert_double_eq_tol((double)W[1], expected[1], 1e-5);
    ck_assert_double_eq_tol((double)W[16], expected[2], 1e-5);
    ck_assert_double_eq_tol(test_metric(trainer, "loss"), 4, 1e-6);
    bp_trainer_free(trainer);
    bp_network_free(net);
}

START_TEST(one_step_by_hand) {
    const struct bp_train_options plain = test_options("sgd", "learning_rate=0.1", 1);
    struct bp_train_options o = plain;
    one_step(o, (double[]){0.6, 0.2, -0.4});
    o.l1 = 0.5; /* the kernel gets 0.5 sign(W) more */
    one_step(o, (double[]){0.55, 0.15, -0.4});
    o.l2 = 0.25; /* and 2 l2 W */
    one_step(o, (double[]){0.5, 0.1, -0.4});
    o = plain;
    o.max_norm = 0.5; /* (0.6, 0.2) is scaled down from its length, the bias is not */
    one_step(o, (double[]){0.3 / sqrt(0.4), 0.1 / sqrt(0.4), -0.4});
    o.max_norm = 0.7;
    one_step(o, (double[]){0.6, 0.2, -0.4});
    o = plain;
    o.gradient_clip_value = 5;
    one_step(o, (double[]){0.6, 0.5, -0.4});
    o.gradient_clip_value = 1;
    one_step(o, (double[]){0.9, 0.9, -0.1});
    o.gradient_clip_norm = sqrt(3) / 2; /* of what is left by the values: (1, 1, 1) */
    one_step(o, (double[]){0.95, 0.95, -0.05});
}
END_TEST

/* Each unit by itself: the columns (3, 4) and (0.3, 0.4) under a norm of 1. */
START_TEST(max_norm_holds_each_unit) {
    struct test_data data = {.width = 2, .y_width = 2, .rows = 1, .x = {1, 2}, .y = {1, 1}};
    struct bp_network *net = test_network("dense units=2", "mse", (struct bp_shape){1, {2}});
    struct bp_train_options options = test_options("sgd", "learning_rate=0", 1);
    options.max_norm = 1;
    struct bp_trainer *trainer = test_trainer(net, &options, &data, NULL);
    struct bp_trainer_state state;
    bp_trainer_state(trainer, &state);
    const bp_real W[4] = {3, (bp_real)0.3, 4, (bp_real)0.4}, expected[4] = {(bp_real)0.6, (bp_real)0.3, (bp_real)0.8, (bp_real)0.4};
    memcpy(state.weights, W, sizeof W);
    bp_trainer_step(trainer);
    for (int i = 0; i < 4; i++) ck_assert_double_eq_tol((double)state.weights[i], (double)expected[i], 1e-6);
    bp_trainer_free(trainer);
    bp_network_free(net);
}
END_TEST

/* ---- accumulation ------------------------------------------------------------------------------------------------ */

/* k batches of n make the update of one batch of k n, penalties and clipping included; the last update of an epoch may have fewer. */
START_TEST(accumulated_is_as_one_batch) {
    static struct test_data data;
    test_spiral(&data, 42, 0); /* 15, 15 and 12, whose parts are 5, 5 and 2: the mean is that of the samples */
    struct bp_network *net = test_network("dense units=6 activation=tanh; dense units=3", "cross_entropy", (struct bp_shape){1, {2}});
    struct bp_train_options options = test_options("sgd", "learning_rate=0.2 momentum=0.9", 3);
    options.tasks[0].classes = 3;
    options.l1 = 0.01;
    options.l2 = 0.02;
    options.gradient_clip_norm = 0.4;
    struct bp_train_options parts = options;
    options.batch_size = 15;
    parts.batch_size = 5;
    parts.gradient_accumulation_steps = 3;
    for (int i = 0; i < 42; i++) data.weights[i] = (bp_real)(i % 4) / 2;
    for (int32_t threads = 1; threads <= 4; threads++) { /* the second time with weights */
        data.weighted = threads > 2;
        options.threads = parts.threads = (threads + 1) % 2 + 1;
        struct bp_trainer *a = test_trainer(net, &options, &data, NULL), *b = test_trainer(net, &parts, &data, NULL);
        struct bp_trainer_state s, t;
        for (int step = 0; step < 9; step++) {
            ck_assert_int_eq(bp_trainer_step(a), bp_trainer_step(b));
            bp_trainer_state(a, &s);
            bp_trainer_state(b, &t);
            ck_assert_int_eq(s.position, t.position);
            ck_assert_int_eq(s.updates, t.updates);
            for (size_t i = 0; i < net->weights_count; i++) ck_assert_double_eq_tol((double)s.weights[i], (double)t.weights[i], 2e-5);
        }
        ck_assert_double_eq_tol(test_metric(a, "loss"), test_metric(b, "loss"), 1e-5);
        bp_trainer_free(a);
        bp_trainer_free(b);
    }
    bp_network_free(net);
}
END_TEST

/* Each mini-batch of an update has a dropout mask of its own: with y = c and y = -c the terms in c of the two losses cancel only when the two sums
 * are the same. */
START_TEST(accumulated_batches_drop_out_apart) {
    enum { N = 12, EPOCHS = 20 };
    static struct test_data data = {.width = N, .y_width = 1, .rows = 2, .y = {1000, -1000}};
    for (int i = 0; i < 2 * N; i++) data.x[i] = (bp_real)(1 + i % N);
    struct bp_network *net = test_network("dropout rate=0.5; dense units=1 use_bias=0 kernel_initializer=ones", "mse", (struct bp_shape){1, {N}});
    struct bp_train_options options = test_options("sgd", "learning_rate=0", EPOCHS);
    int apart = 0;
    options.batch_size = 1;
    options.gradient_accumulation_steps = 2;
    struct bp_trainer *trainer = test_trainer(net, &options, &data, NULL);
    for (int epoch = 0; epoch < EPOCHS; epoch++) {
        bp_trainer_step(trainer);
        apart += fabs(test_metric(trainer, "loss") - 1e6) > 2 * 156 * 156; /* a sum is at most 156 */
    }
    ck_assert_int_ge(apart, 1);
    bp_trainer_free(trainer);
    bp_network_free(net);
}
END_TEST

/* ---- the moving average ------------------------------------------------------------------------------------------ */

/* Weights 1 and 0 go to 0.6, 0.2 and -0.4 and on; their average keeps 2/11, then 3/12, then no more than the decay of them. */
START_TEST(moving_average_by_hand) {
    static struct test_data data = {.width = 2, .y_width = 1, .rows = 1, .x = {1, 2}, .y = {1}};
    struct bp_network *net = test_network("dense units=1 kernel_initializer=ones", "mse", (struct bp_shape){1, {2}});
    struct bp_train_options options = test_options("sgd", "learning_rate=0.1", 6);
    options.ema = 0.25;
    struct bp_trainer *trainer = test_trainer(net, &options, &data, &data);
    const double keep[6] = {2.0 / 11, 0.25, 0.25, 0.25, 0.25, 0.25}; /* 3/12 is 0.25 itself */
    double average[3] = {1, 1, 0};
    struct bp_trainer_state state;
    for (int t = 0; t < 6; t++) {
        bp_trainer_step(trainer);
        bp_trainer_state(trainer, &state);
        const double W[3] = {(double)state.weights[0], (double)state.weights[1], (double)state.weights[16]};
        if (t == 0) ck_assert_double_eq_tol(W[1], 0.2, 1e-6);
        for (int i = 0; i < 3; i++) average[i] = keep[t] * average[i] + (1 - keep[t]) * W[i];
        const bp_real *kept = bp_trainer_result(trainer);
        ck_assert_double_eq_tol((double)kept[0], average[0], 1e-5);
        ck_assert_double_eq_tol((double)kept[1], average[1], 1e-5);
        ck_assert_double_eq_tol((double)kept[16], average[2], 1e-5);
        ck_assert_int_eq(bp_trainer_step(trainer), BP_TRAIN_EPOCH); /* validates with it */
        const double z = average[0] + 2 * average[1] + average[2];
        ck_assert_double_eq_tol(test_metric(trainer, "val_loss"), (z - 1) * (z - 1), 1e-4);
    }
    bp_trainer_free(trainer);
    bp_network_free(net);
}
END_TEST

/* ---- mixup ------------------------------------------------------------------------------------------------------- */

/* Two rows (0, 0) and (1, 1) through a = x, mixed by lambda: both have the loss lambda (1 - lambda). Its mean under Beta(alpha, alpha) is
 * alpha^2 / (2 alpha (2 alpha + 1)), its mean square known as well; and it never leaves 0 to 1/4. */
START_TEST(mixup_by_hand) {
    static const double alphas[] = {0.2, 1, 4};
    static struct test_data data = {.width = 1, .y_width = 1, .rows = 2, .x = {0, 1}, .y = {0, 1}};
    struct bp_network *net = test_network("dense units=1 use_bias=0 kernel_initializer=ones", "mse", (struct bp_shape){1, {1}});
    struct bp_train_options options = test_options("sgd", "learning_rate=0", 4000);
    for (int k = 0; k < 3; k++)
        for (int weighted = 0; weighted < 2; weighted++) {
            const double a = options.mixup = alphas[k];
            double sum = 0;
            data.weighted = weighted;
            data.weights[0] = data.weights[1] = 3;
            options.threads = 1 + weighted;
            struct bp_trainer *trainer = test_trainer(net, &options, &data, NULL), *twin = test_trainer(net, &options, &data, NULL);
            for (int epoch = 0; epoch < options.epochs; epoch++) {
                bp_trainer_step(trainer);
                const double loss = test_metric(trainer, "loss");
                ck_assert_double_ge(loss, 0);
                ck_assert_double_le(loss, 0.25 + 1e-6);
                sum += loss;
                if (epoch >= 50) continue;
                bp_trainer_step(twin);
                ck_assert(loss == test_metric(twin, "loss"));
            }
            ck_assert_double_eq_tol(sum / options.epochs, a * a / (2 * a * (2 * a + 1)), 0.008);
            bp_trainer_free(trainer);
            bp_trainer_free(twin);
        }
    bp_network_free(net);
}
END_TEST

/* Weights go with their own side of the mixture, in the loss and in the metrics: rows of weight 1 (error 0 always) and 3. */
START_TEST(mixup_keeps_weights_apart) {
    static struct test_data data = {.width = 2, .y_width = 2, .rows = 2, .weighted = true, .weights = {1, 3}, .x = {1, 1, 1, 1}, .y = {1, 1, 3, 3}};
    static const char *const texts[] = {"dense units=2 kernel_initializer=constant:0.5",
                                        "masking; dense units=1 kernel_initializer=constant:1"}; /* both give 1 everywhere */
    for (int i = 0; i < 2; i++) {
        struct bp_network *net = test_network(texts[i], "mse", i ? (struct bp_shape){2, {2, 1}} : (struct bp_shape){1, {2}});
        struct bp_train_options options = test_options("sgd", "learning_rate=0", 30);
        options.mixup = 1;
        test_add_metric(&options, "mae");
        struct bp_trainer *trainer = test_trainer(net, &options, &data, NULL);
        for (int epoch = 0; epoch < options.epochs; epoch++) {
            bp_trainer_step(trainer);
            /* each row's own loss (0, 4) and its partner's, by the weight of whose target it is: 3 x 4 / 4 whatever lambda */
            ck_assert_double_eq_tol(test_metric(trainer, "loss"), 3, 1e-5);
            ck_assert_double_eq_tol(test_metric(trainer, "mae"), 1.5, 1e-5); /* of the own targets: 3 x 2 / 4 */
        }
        bp_trainer_free(trainer);
        bp_network_free(net);
    }
}
END_TEST

/* ---- frozen layers ------------------------------------------------------------------------------------------------ */

START_TEST(frozen_layers_stay_and_others_train) {
    static struct test_data data;
    test_spiral(&data, 300, 0);
    struct bp_network *net = test_network("dense units=16 activation=tanh; dense units=16 activation=prelu frozen=1 name=f; dense units=3",
                                          "cross_entropy", (struct bp_shape){1, {2}});
    ck_assert_int_eq(net->parameters - net->trained, 16 * 16 + 16 + 16);
    for (int32_t i = 0; i < bp_optimizers.count; i++) {
        struct bp_train_options options = test_options(bp_optimizers.entries[i]->name, "", 3);
        options.tasks[0].classes = 3;
        options.threads = 2;
        options.l2 = 0.01;
        if (!options.optimizer->search) options.max_norm = 0.2;
        bp_real *before = bp_reals_new(net->weights_count);
        bp_network_initialize(net, options.seed, before);
        struct bp_trainer *trainer = test_trainer(net, &options, &data, NULL);
        test_run(trainer);
        const bp_real *after = bp_trainer_result(trainer);
        ck_assert_mem_eq(before + net->trained_count, after + net->trained_count, (net->weights_count - net->trained_count) * sizeof *after);
        for (int32_t n = 1; n < net->nodes_count; n++) {
            const struct bp_tensor *kernel = &net->nodes[n].tensors[0];
            if (strcmp(net->nodes[n].name, "f"))
                ck_assert_mem_ne(before + kernel->offset, after + kernel->offset, (size_t)bp_shape_size(&kernel->shape) * sizeof *after);
        }
        free(before);
        bp_trainer_free(trainer);
    }
    bp_network_free(net);
    struct test_graph graph;
    struct bp_trainer *trainer = NULL;
    struct bp_error error = {0};
    const struct bp_source source = test_source(&data);
    struct bp_train_options options = test_options("adam", "", 3);
    options.tasks[0].classes = 3;
    test_graph(&graph, "dense units=3 frozen=1", "cross_entropy", (struct bp_shape){1, {2}});
    ck_assert_int_eq(bp_network_plan(&graph.graph, &net, NULL), 0);
    ck_assert_int_eq(bp_trainer_new(net, &options, &source, NULL, &trainer, &error), -1);
    ck_contains(error.message, "nothing can be trained: no layer has weights that are not frozen");
    bp_network_free(net);
}
END_TEST

/* ---- schedules ---------------------------------------------------------------------------------------------------- */

/* With mae and predictions that stay below their targets, the gradient of the bias is -1: each update adds its rate to it. 5 rows by 2: three updates
 * an epoch, or two with accumulation. */
static void rates(const char *schedule, int32_t accumulate, int32_t epochs, const double *expected, int n) {
    static struct test_data data = {.width = 1, .y_width = 1, .rows = 5, .y = {1000, 1000, 1000, 1000, 1000}};
    struct bp_network *net = test_network("dense units=1", "mae", (struct bp_shape){1, {1}});
    struct bp_train_options options = test_options("sgd", "learning_rate=0.5", epochs);
    struct bp_trainer_state state;
    options.batch_size = 2;
    options.gradient_accumulation_steps = accumulate;
    test_schedule(&options, schedule);
    struct bp_trainer *trainer = test_trainer(net, &options, &data, NULL);
    double bias = 0;
    ck_assert_double_eq_tol(bp_trainer_learning_rate(trainer), expected[0], 1e-7); /* of the first, before it */
    for (int i = 0; i < n; i++) {
        bp_trainer_step(trainer);
        bias += expected[i];
        bp_trainer_state(trainer, &state);
        ck_assert_msg(fabs((double)state.weights[16] - bias) < 1e-5, "%s, step %d: %g, expected %g", schedule, i, (double)state.weights[16], bias);
        ck_assert_msg(fabs(bp_trainer_learning_rate(trainer) - expected[i]) < 1e-7, "%s, step %d: %g", schedule, i,
                      bp_trainer_learning_rate(trainer));
    }
    ck_assert_int_eq(bp_trainer_step(trainer), BP_TRAIN_DONE);
    bp_trainer_free(trainer);
    bp_network_free(net);
}

START_TEST(rates_of_updates) {
    rates("step step_size=1 gamma=0.1", 1, 3, (double[]){0.5, 0.5, 0.5, 0.05, 0.05, 0.05, 0.005, 0.005, 0.005}, 9);
    rates("step step_size=1 gamma=0.1", 2, 2, (double[]){0.5, 0.5, 0.05, 0.05}, 4);
    rates("polynomial", 1, 2, (double[]){0.5, 0.5 * 5 / 6, 0.5 * 4 / 6, 0.5 * 3 / 6, 0.5 * 2 / 6, 0.5 * 1 / 6}, 6);
    rates("constant warmup_epochs=1", 1, 2, (double[]){0.5 / 3, 0.5 * 2 / 3, 0.5, 0.5, 0.5, 0.5}, 6);
}
END_TEST

/* The loss does not move: after the first epoch and two more without improvement the rate is halved, from the next update on; what an epoch reports
 * is the rate of its own last update. A run resumed anywhere continues identically. */
START_TEST(reduce_on_plateau_in_a_training) {
    static struct test_data data = {.width = 1, .y_width = 1, .rows = 2, .x = {0, 0}, .y = {1, -1}};
    struct bp_network *net = test_network("dense units=1", "mse", (struct bp_shape){1, {1}});
    struct bp_train_options options = test_options("sgd", "learning_rate=0.5", 9);
    const double expected[9] = {0.5, 0.5, 0.5, 0.25, 0.25, 0.125, 0.125, 0.0625, 0.0625};
    test_schedule(&options, "reduce_on_plateau factor=0.5 patience=1");
    for (int stop = 0; stop < 18; stop++) {
        struct bp_trainer *trainer = test_trainer(net, &options, &data, &data);
        for (int step = 0; step < 18; step++) {
            bp_trainer_step(trainer);
            ck_assert_msg(bp_trainer_learning_rate(trainer) == expected[step / 2], "epoch %d: %g", step / 2 + 1, bp_trainer_learning_rate(trainer));
            if (step != stop) continue;
            struct bp_trainer_state state = test_copy_state(trainer);
            bp_trainer_free(trainer);
            trainer = test_trainer(net, &options, &data, &data);
            ck_assert_int_eq(bp_trainer_restore(trainer, &state, NULL), 0);
            test_free_state(&state);
            ck_assert(bp_trainer_learning_rate(trainer) == expected[step / 2]);
        }
        ck_assert_int_eq(bp_trainer_step(trainer), BP_TRAIN_DONE);
        bp_trainer_free(trainer);
    }
    bp_network_free(net);
}
END_TEST

/* ---- what is refused ---------------------------------------------------------------------------------------------- */

/* ---- factors of layers ---------------------------------------------------------------------------------------------- */

/* As one_step, in a layer with factors; W (2) and b after the epochs. */
static void train_with(struct bp_train_options options, struct bp_factors factors, const struct test_data *data, const double expected[3]) {
    struct test_graph graph;
    struct bp_network *net = NULL;
    test_graph(&graph, "dense units=1 kernel_initializer=ones bias_initializer=ones", "mse", (struct bp_shape){1, {2}});
    graph.layers[0].factors = factors;
    ck_assert_int_eq(bp_network_plan(&graph.graph, &net, NULL), 0);
    struct bp_trainer *trainer = test_trainer(net, &options, data, NULL);
    ck_assert_int_eq(test_run(trainer), BP_TRAIN_DONE);
    const bp_real *W = bp_trainer_result(trainer);
    ck_assert_double_eq_tol((double)W[0], expected[0], 1e-5);
    ck_assert_double_eq_tol((double)W[1], expected[1], 1e-5);
    ck_assert_double_eq_tol((double)W[16], expected[2], 1e-5);
    bp_trainer_free(trainer);
    bp_network_free(net);
}

/* x = (1, 2), y = 2: z = 4, dz = 4, gradient (4, 8) and 4, clipped to (2, 4) and 2 before the factors. */
START_TEST(factors_of_learning_rates) {
    static const struct test_data data = {.width = 2, .y_width = 1, .rows = 1, .x = {1, 2}, .y = {2}};
    struct bp_train_options o = test_options("sgd", "learning_rate=0.1", 1);
    train_with(o, (struct bp_factors){0}, &data, (double[]){0.6, 0.2, 0.6});
    train_with(o, (struct bp_factors){.rate = 2}, &data, (double[]){0.2, -0.6, 0.2});
    train_with(o, (struct bp_factors){.bias_rate = 0.5}, &data, (double[]){0.6, 0.2, 0.8});
    train_with(o, (struct bp_factors){.rate = 2, .bias_rate = 0.5}, &data, (double[]){0.2, -0.6, 0.8});
    o.gradient_clip_norm = sqrt(24);
    train_with(o, (struct bp_factors){.rate = 2, .bias_rate = 0.5}, &data, (double[]){0.6, 0.2, 0.9});
    o.threads = 3;
    train_with(o, (struct bp_factors){.rate = 2, .bias_rate = 0.5}, &data, (double[]){0.6, 0.2, 0.9});
}
END_TEST

/* x = 0, y = 1: no gradient, so that each of two updates only decays: 1 - 0.1 0.5 of everything, or of the kernel alone. */
START_TEST(factors_of_weight_decay) {
    static const struct test_data data = {.width = 2, .y_width = 1, .rows = 1, .y = {1}}, *const d = &data;
    struct bp_train_options o = test_options("adamw", "learning_rate=0.1 weight_decay=0.5 weight_decay_on=kernels", 2);
    const double once = 0.95, twice = once * once;
    train_with(o, (struct bp_factors){0}, d, (double[]){twice, twice, 1});
    train_with(o, (struct bp_factors){.decay_given = true}, d, (double[]){1, 1, 1});
    train_with(o, (struct bp_factors){.decay_given = true, .decay = 2}, d, (double[]){0.81, 0.81, 1});
    train_with(o, (struct bp_factors){.rate = 2}, d, (double[]){0.81, 0.81, 1});
    o.decay_schedule = (const struct bp_schedule_ops *)bp_family_find(&bp_schedules, "step"); /* a tenth in the second epoch */
    bp_values_preset(&o.decay_schedule->entry, o.decay_schedule_values);
    o.decay_schedule_values[1].number = 1;
    train_with(o, (struct bp_factors){0}, d, (double[]){once * 0.995, once * 0.995, 1});
    o = test_options("lion", "learning_rate=0.1 weight_decay=0.5 weight_decay_on=kernels", 1);
    train_with(o, (struct bp_factors){0}, d, (double[]){once, once, 1});
}
END_TEST

/* The weights stay; without dropout from the second epoch on, the training loss is that of the validation on the same rows. */
START_TEST(dropout_decreases_by_schedule) {
    static struct test_data data;
    struct bp_network *net = test_network("dense units=16 activation=relu; dropout rate=0.5; dense units=1", "mse", (struct bp_shape){1, {2}});
    struct bp_train_options options = test_options("sgd", "learning_rate=0", 2);
    test_line(&data, 100);
    options.dropout_schedule = (const struct bp_schedule_ops *)bp_family_find(&bp_schedules, "step");
    bp_values_preset(&options.dropout_schedule->entry, options.dropout_schedule_values);
    options.dropout_schedule_values[1].number = 1;
    options.dropout_schedule_values[2].number = 0;
    struct bp_trainer *trainer = test_trainer(net, &options, &data, &data);
    while (bp_trainer_step(trainer) != BP_TRAIN_EPOCH)
        ;
    ck_assert_double_gt(fabs(test_metric(trainer, "loss") - test_metric(trainer, "val_loss")), 1e-3);
    ck_assert_int_eq(test_run(trainer), BP_TRAIN_DONE);
    ck_assert_double_eq_tol(test_metric(trainer, "loss"), test_metric(trainer, "val_loss"), 1e-5);
    bp_trainer_free(trainer);
    bp_network_free(net);
}
END_TEST

/* What has no effect is refused, and says what has. */
START_TEST(factors_and_schedules_without_effect) {
    struct bp_train_options o = test_options("lbfgs", "", 1), adam = test_options("adam", "", 1), plateau = test_options("adamw", "", 1);
    struct test_graph graph;
    struct bp_network *net = NULL;
    test_graph(&graph, "dense units=1", "mse", (struct bp_shape){1, {2}});
    graph.layers[0].factors.rate = 2;
    ck_assert_int_eq(bp_network_plan(&graph.graph, &net, NULL), 0);
    const struct bp_schedule_ops *cosine = (const struct bp_schedule_ops *)bp_family_find(&bp_schedules, "cosine");
    struct bp_error error = {0};
    ck_assert_int_eq(bp_train_check(net, &o, &error), -1);
    ck_assert_str_eq(error.pointer, "/layers/0/learning_rate_factor");
    ck_contains(error.message, "lbfgs finds the size of its steps itself");
    error = (struct bp_error){0};
    adam.dropout_schedule = cosine;
    ck_assert_int_eq(bp_train_check(net, &adam, &error), -1);
    ck_assert_str_eq(error.pointer, "/dropout_schedule");
    ck_contains(error.message, "no layer has dropout");
    error = (struct bp_error){0};
    adam.dropout_schedule = NULL;
    adam.decay_schedule = cosine;
    ck_assert_int_eq(bp_train_check(net, &adam, &error), -1);
    ck_assert_str_eq(error.pointer, "/weight_decay_schedule");
    ck_contains(error.message, "adam has no weight decay");
    error = (struct bp_error){0};
    plateau.decay_schedule = (const struct bp_schedule_ops *)bp_family_find(&bp_schedules, "reduce_on_plateau");
    ck_assert_int_eq(bp_train_check(net, &plateau, &error), -1);
    ck_contains(error.message, "reduce_on_plateau is for the learning rate");
    bp_network_free(net);
}
END_TEST

START_TEST(impossible_numbers) {
    static struct test_data data;
    test_line(&data, 10);
    struct bp_network *net = test_network("dense units=1", "mse", (struct bp_shape){1, {2}});
    const struct bp_source source = test_source(&data);
    const struct bp_train_options plain = test_options("adam", "", 1);
    struct bp_error error = {0};
    struct bp_trainer *trainer = NULL;
    const double wrong[] = {-1, NAN, INFINITY};
    for (int i = 0; i < 3; i++)
        for (int k = 0; k < 7; k++) {
            struct bp_train_options options = plain;
            double *const members[] = {&options.l1,  &options.l2,   &options.max_norm, &options.gradient_clip_norm, &options.gradient_clip_value,
                                       &options.ema, &options.mixup};
            *members[k] = wrong[i];
            ck_assert_msg(bp_trainer_new(net, &options, &source, NULL, &trainer, &error) == -1, "%d %d", i, k);
            ck_assert_str_ne(error.message, "");
        }
    struct bp_train_options options = plain;
    options.ema = 1;
    error = (struct bp_error){0};
    ck_assert_int_eq(bp_trainer_new(net, &options, &source, NULL, &trainer, &error), -1);
    ck_assert_str_eq(error.pointer, "/ema");
    bp_network_free(net);
    net = test_network("embedding input_dim=3 output_dim=2 name=e; global_average_pool; dense units=1", "mse", (struct bp_shape){1, {2}});
    options = plain;
    options.mixup = 0.2;
    error = (struct bp_error){0};
    ck_assert_int_eq(bp_trainer_new(net, &options, &source, NULL, &trainer, &error), -1);
    ck_assert_str_eq(error.pointer, "/mixup");
    ck_contains(error.message, "layer \"e\" reads indices");
    bp_network_free(net);
}
END_TEST

Suite *suite_train_options(void);
Suite *suite_train_options(void) {
    Suite *suite = suite_create("train_options");
    TCase *tests = tcase_create("train_options");
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, one_step_by_hand);
    tcase_add_test(tests, max_norm_holds_each_unit);
    tcase_add_test(tests, accumulated_is_as_one_batch);
    tcase_add_test(tests, accumulated_batches_drop_out_apart);
    tcase_add_test(tests, moving_average_by_hand);
    tcase_add_test(tests, mixup_by_hand);
    tcase_add_test(tests, mixup_keeps_weights_apart);
    tcase_add_test(tests, frozen_layers_stay_and_others_train);
    tcase_add_test(tests, rates_of_updates);
    tcase_add_test(tests, reduce_on_plateau_in_a_training);
    tcase_add_test(tests, factors_of_learning_rates);
    tcase_add_test(tests, factors_of_weight_decay);
    tcase_add_test(tests, dropout_decreases_by_schedule);
    tcase_add_test(tests, factors_and_schedules_without_effect);
    tcase_add_test(tests, impossible_numbers);
    suite_add_tcase(suite, tests);
    return suite;
}

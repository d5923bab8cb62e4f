/* test_processes.c - engine/train/reduce.c: a training over several processes, here trainers in threads of one program with a reducer that adds in
 * the order of ranks. The outcome is that of one process with as many shards; a step is that of the plain mean gradient, worked out here; saved,
 * resumed with another number; signals; sums start during the backward pass. */
#include "tests/engine/train_support.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* ---- a team ------------------------------------------------------------------------------------------------------ */

enum { RANKS = 4, STARTS = 64 };

struct member {
    struct team *team;
    struct bp_reducer reducer;
    struct bp_trainer *trainer;
    struct {
        bp_real *buffer;
        size_t count;
    } started[STARTS];
    int starts;
    double *numbers;
    size_t count;
    enum bp_train_event last;
    /* whether the first layers changed after the first sum had started */
    const bp_real *lowest;
    bp_real then;
    int overlaps, sums;
};

struct team {
    int32_t ranks;
    pthread_barrier_t barrier;
    struct member members[RANKS];
    void (*play)(struct member *member);
};

static void start(void *context, bp_real *buffer, size_t count) {
    struct member *member = context;
    ck_assert_int_lt(member->starts, STARTS);
    if (member->starts == 0 && member->lowest) member->then = *member->lowest;
    member->started[member->starts].buffer = buffer;
    member->started[member->starts++].count = count;
}

static void add_all(struct team *team) {
    const struct member *first = &team->members[0];
    for (int32_t r = 1; r < team->ranks; r++) {
        const struct member *member = &team->members[r];
        ck_assert_int_eq(member->starts, first->starts);
        ck_assert_uint_eq(member->count, first->count);
        for (int i = 0; i < first->starts; i++) {
            ck_assert_uint_eq(member->started[i].count, first->started[i].count);
            for (size_t k = 0; k < first->started[i].count; k++) first->started[i].buffer[k] += member->started[i].buffer[k];
        }
        for (size_t k = 0; k < first->count; k++) first->numbers[k] += member->numbers[k];
    }
    for (int32_t r = 1; r < team->ranks; r++) {
        const struct member *member = &team->members[r];
        for (int i = 0; i < first->starts; i++)
            memcpy(member->started[i].buffer, first->started[i].buffer, first->started[i].count * sizeof(bp_real));
        if (first->count) memcpy(member->numbers, first->numbers, first->count * sizeof(double));
    }
}

static void finish(void *context, double *numbers, size_t count) {
    struct member *member = context;
    struct team *team = member->team;
    if (member->starts > 1) {
        member->sums++;
        if (member->lowest) member->overlaps += member->then != *member->lowest;
        member->lowest = member->started[member->starts - 1].buffer;
    }
    member->numbers = numbers;
    member->count = count;
    pthread_barrier_wait(&team->barrier);
    if (member->reducer.rank == 0) add_all(team);
    pthread_barrier_wait(&team->barrier);
    member->starts = 0;
}

static void *run_member(void *context) {
    struct member *member = context;
    member->team->play(member);
    return NULL;
}

static void to_the_end(struct member *member) {
    member->last = test_run(member->trainer);
}

static void open_team(struct team *team, int32_t ranks, const struct bp_network *net, struct bp_train_options options, const struct test_data *train,
                      const struct test_data *validation) {
    memset(team, 0, sizeof *team);
    team->ranks = ranks;
    pthread_barrier_init(&team->barrier, NULL, (unsigned)ranks);
    options.processes = ranks;
    for (int32_t r = 0; r < ranks; r++) {
        struct member *member = &team->members[r];
        *member = (struct member){.team = team, .reducer = {.context = member, .rank = r, .ranks = ranks, .start = start, .finish = finish}};
        options.reducer = ranks > 1 ? &member->reducer : NULL;
        member->trainer = test_trainer(net, &options, train, validation);
    }
}

static void play(struct team *team, void (*what)(struct member *member)) {
    pthread_t threads[RANKS];
    team->play = what;
    for (int32_t r = 0; r < team->ranks; r++) ck_assert_int_eq(pthread_create(&threads[r], NULL, run_member, &team->members[r]), 0);
    for (int32_t r = 0; r < team->ranks; r++) pthread_join(threads[r], NULL);
}

static void close_team(struct team *team) {
    for (int32_t r = 0; r < team->ranks; r++) bp_trainer_free(team->members[r].trainer);
    pthread_barrier_destroy(&team->barrier);
}

/* All members have ended alike, in every bit. */
static void compare_members(struct team *team) {
    for (int32_t r = 1; r < team->ranks; r++) {
        ck_assert_int_eq(team->members[r].last, team->members[0].last);
        test_compare_ends(team->members[0].trainer, team->members[r].trainer);
    }
}

/* The weights of both within `most`, and their metrics. */
static void compare_near(struct bp_trainer *a, struct bp_trainer *b, const struct bp_network *net, double most) {
    const bp_real *v = bp_trainer_result(a), *w = bp_trainer_result(b);
    for (size_t i = 0; i < net->weights_count; i++) ck_assert_double_eq_tol((double)v[i], (double)w[i], most);
    for (int32_t i = 0; i < bp_trainer_metrics_count(a); i++) {
        const double x = bp_trainer_metric_value(a, i), y = bp_trainer_metric_value(b, i);
        ck_assert_msg((isnan(x) && isnan(y)) || fabs(x - y) <= most * (1 + fabs(x)), "%s: %g and %g", bp_trainer_metric_name(a, i), x, y);
    }
}

/* ---- the same as one process ------------------------------------------------------------------------------------- */

/* Without what makes much of the last bits: the sign of a gradient that is nearly 0. */
static void calm(struct bp_train_options *options) {
    const struct bp_train_options sgd = test_options("sgd", "learning_rate=0.05 momentum=0.5", 1);
    options->optimizer = sgd.optimizer;
    memcpy(options->optimizer_values, sgd.optimizer_values, sizeof options->optimizer_values);
    options->l1 = 0;
}

/* With one thread each the shards are added in the same order: the same bits. Twice, and with threads: those of the same team. */
START_TEST(everything_at_once) {
    static struct test_data train, validation;
    static struct team team, again;
    const int32_t threads = _i % 2 + 1, ranks = _i / 2 + 2;
    struct bp_train_options options = test_everything(threads, &train, &validation);
    struct bp_network *net = test_network(TEST_EVERYTHING, TEST_EVERYTHING_LOSSES, (struct bp_shape){1, {2}});
    options.epochs = 4;
    if (threads > 1) calm(&options);
    open_team(&team, ranks, net, options, &train, &validation);
    open_team(&again, ranks, net, options, &train, &validation);
    options.threads = threads * ranks;
    struct bp_trainer *one = test_trainer(net, &options, &train, &validation);
    test_run(one);
    play(&team, to_the_end);
    play(&again, to_the_end);
    compare_members(&team);
    test_compare_ends(team.members[0].trainer, again.members[0].trainer);
    if (threads == 1) ck_assert_mem_eq(bp_trainer_result(one), bp_trainer_result(team.members[0].trainer), net->weights_count * sizeof(bp_real));
    compare_near(one, team.members[0].trainer, net, threads == 1 ? 1e-9 : 1e-5);
    for (int32_t i = 0; i < bp_trainer_health_count(one); i++) {
        const struct bp_health *a = bp_trainer_health(one, i), *b = bp_trainer_health(team.members[ranks - 1].trainer, i);
        ck_assert_double_eq_tol(a->mean, b->mean, 1e-4);
        ck_assert_double_eq_tol(a->spread, b->spread, 1e-4);
        ck_assert(isnan(a->dead) ? isnan(b->dead) : a->dead == b->dead);
        if (!isnan(a->gradient_norm)) ck_assert_double_eq_tol(a->gradient_norm, b->gradient_norm, 1e-3);
    }
    bp_trainer_free(one);
    close_team(&team);
    close_team(&again);
    bp_network_free(net);
}
END_TEST

/* Layers that take some samples at a time (engine/network/pass.c) take as many whether sums start during the backward pass or not. */
START_TEST(parts_of_a_mini_batch) {
    static struct test_data train;
    static struct team team;
    test_spiral(&train, 96, 0);
    struct bp_network *net =
        test_network("dense units=2352 activation=tanh; reshape target_shape=28,28,3; conv2d filters=24 kernel_size=3 padding=same;"
                     "max_pool2d pool_size=2; conv2d filters=20 kernel_size=3 groups=2 activation=relu; conv2d filters=20 "
                     "kernel_size=3 strides=2; global_average_pool; dense units=3",
                     "cross_entropy", (struct bp_shape){1, {2}});
    struct bp_train_options options = test_options("sgd", "learning_rate=0.1", 2);
    options.tasks[0].classes = 3;
    options.batch_size = 48;
    options.threads = 1;
    open_team(&team, 2, net, options, &train, NULL);
    options.threads = 2;
    struct bp_trainer *one = test_trainer(net, &options, &train, NULL);
    test_run(one);
    play(&team, to_the_end);
    compare_members(&team);
    ck_assert_mem_eq(bp_trainer_result(one), bp_trainer_result(team.members[0].trainer), net->weights_count * sizeof(bp_real));
    bp_trainer_free(one);
    close_team(&team);
    bp_network_free(net);
}
END_TEST

/* Metrics that keep all samples or a mean, over training rows too; the last mini-batch has fewer rows than there are shards. */
START_TEST(metrics_of_all_rows) {
    static struct test_data train, validation;
    static struct team team;
    const bool classes = _i % 2, validates = _i / 2;
    test_spiral(&train, 98, 0);
    test_spiral(&validation, 67, 1);
    struct bp_network *net = test_network(classes ? "dense units=8 activation=tanh; dense units=3" : "dense units=8 activation=tanh; dense units=1",
                                          classes ? "cross_entropy" : "mse", (struct bp_shape){1, {2}});
    struct bp_train_options options = test_options("sgd", "learning_rate=0.1", 2);
    options.tasks[0].classes = classes ? 3 : 0;
    if (classes) {
        test_add_metric(&options, "roc_auc");
        test_add_metric(&options, "pr_auc");
        test_add_metric(&options, "f1");
    } else {
        test_add_metric(&options, "r2");
        test_add_metric(&options, "median_absolute_error");
        test_add_metric(&options, "rmse");
    }
    open_team(&team, 4, net, options, &train, validates ? &validation : NULL);
    play(&team, to_the_end);
    compare_members(&team);
    options.threads = 4;
    struct bp_trainer *one = test_trainer(net, &options, &train, validates ? &validation : NULL);
    test_run(one);
    ck_assert_mem_eq(bp_trainer_result(one), bp_trainer_result(team.members[0].trainer), net->weights_count * sizeof(bp_real));
    compare_near(one, team.members[3].trainer, net, 1e-9);
    bp_trainer_free(one);
    close_team(&team);
    bp_network_free(net);
}
END_TEST

/* Optimizers of the whole training set; rows of unequal weight; a loss by steps. */
START_TEST(optimizers_of_all_rows) {
    static const char *const names[] = {"lbfgs", "rprop"};
    static struct test_data train;
    static struct team team;
    test_line(&train, 130);
    train.weighted = true;
    for (int64_t i = 0; i < train.rows; i++) train.weights[i] = (bp_real)(1 + i % 3);
    struct bp_network *net = test_network("dense units=1", "mse", (struct bp_shape){1, {2}});
    struct bp_train_options options = test_options(names[_i], "", 40);
    open_team(&team, 3, net, options, &train, NULL);
    play(&team, to_the_end);
    compare_members(&team);
    const bp_real *w = bp_trainer_result(team.members[0].trainer); /* y = 3 x0 - 2 x1 + 1 */
    ck_assert_double_eq_tol((double)w[0], 3, 1e-2);
    ck_assert_double_eq_tol((double)w[1], -2, 1e-2);
    close_team(&team);
    bp_network_free(net);
}
END_TEST

/* ---- from outside ------------------------------------------------------------------------------------------------ */

/* Two steps of gradient descent on a line, by the formula of the mean squared error: the gradient is the mean over the rows of the mini-batch,
 * whatever process has them. Mini-batches of 32 and 9 rows; the second has fewer rows a shard. */
START_TEST(mean_gradient_by_hand) {
    static struct test_data train;
    static struct team team;
    test_line(&train, 41);
    struct bp_network *net = test_network("dense units=1", "mse", (struct bp_shape){1, {2}});
    struct bp_train_options options = test_options("sgd", "learning_rate=0.1", 1);
    open_team(&team, 4, net, options, &train, NULL);
    struct bp_trainer_state state;
    bp_trainer_state(team.members[0].trainer, &state);
    const size_t b = net->nodes[1].tensors[1].offset;
    double w[3] = {(double)state.weights[0], (double)state.weights[1], (double)state.weights[b]};
    int64_t order[41];
    for (int64_t i = 0; i < 41; i++) order[i] = i;
    struct bp_random random = bp_random_open(options.seed, BP_STREAM_SHUFFLE, 0);
    bp_random_shuffle(&random, order, 41);
    for (int64_t first = 0; first < 41; first += 32) {
        const int64_t n = 41 - first < 32 ? 41 - first : 32;
        double g[3] = {0};
        for (int64_t i = first; i < first + n; i++) {
            const double x0 = (double)train.x[2 * order[i]], x1 = (double)train.x[2 * order[i] + 1];
            const double error = w[0] * x0 + w[1] * x1 + w[2] - (double)train.y[order[i]];
            g[0] += 2 * error * x0 / (double)n;
            g[1] += 2 * error * x1 / (double)n;
            g[2] += 2 * error / (double)n;
        }
        for (int j = 0; j < 3; j++) w[j] -= 0.1 * g[j];
    }
    play(&team, to_the_end);
    const bp_real *got = bp_trainer_result(team.members[2].trainer);
    ck_assert_double_eq_tol((double)got[0], w[0], 1e-6);
    ck_assert_double_eq_tol((double)got[1], w[1], 1e-6);
    ck_assert_double_eq_tol((double)got[b], w[2], 1e-6);
    close_team(&team);
    bp_network_free(net);
}
END_TEST

/* ---- saved and resumed ------------------------------------------------------------------------------------------- */

enum { STEPS_BEFORE = 7 };
/* Those of batch_norm are of a shard: its number makes a difference. */
#define WITHOUT_STATISTICS                                                                                                                           \
    "dense units=24 activation=relu name=d; dropout rate=0.3; dense units=20 activation=prelu name=t; dense units=6 frozen=1;"                       \
    "dense units=3 name=arm; dense units=1 in=t name=far"

static void some_steps(struct member *member) {
    for (int i = 0; i < STEPS_BEFORE; i++) member->last = bp_trainer_step(member->trainer);
    bp_trainer_gather(member->trainer);
}

/* Saved in the middle of an epoch by rank 0: as many processes go on to the same bits as if nothing had happened, others to nearly the same. */
START_TEST(resumed) {
    static struct test_data train, validation;
    static struct team whole, before, after;
    struct bp_train_options options = test_everything(1, &train, &validation);
    struct bp_network *net = test_network(_i == 2 ? TEST_EVERYTHING : WITHOUT_STATISTICS, TEST_EVERYTHING_LOSSES, (struct bp_shape){1, {2}});
    options.epochs = 4;
    options.gradient_accumulation_steps = 1;
    if (_i != 2) calm(&options);
    open_team(&whole, 2, net, options, &train, &validation);
    open_team(&before, 2, net, options, &train, &validation);
    open_team(&after, _i, net, options, &train, &validation);
    play(&whole, to_the_end);
    play(&before, some_steps);
    struct bp_trainer_state state = test_copy_state(before.members[0].trainer);
    ck_assert_int_gt(state.position, 0);
    struct bp_error error = {0};
    for (int32_t r = 0; r < _i; r++) ck_assert_msg(bp_trainer_restore(after.members[r].trainer, &state, &error) == 0, "%s", error.message);
    play(&before, to_the_end); /* what was gathered goes on too */
    play(&after, to_the_end);
    test_compare_ends(whole.members[0].trainer, before.members[1].trainer);
    if (_i == 2) test_compare_ends(whole.members[0].trainer, after.members[1].trainer);
    else compare_near(whole.members[0].trainer, after.members[0].trainer, net, 1e-5);
    test_free_state(&state);
    close_team(&whole);
    close_team(&before);
    close_team(&after);
    bp_network_free(net);
}
END_TEST

/* ---- signals, overlap, refusals ---------------------------------------------------------------------------------- */

static void signal_in_the_middle(struct member *member) {
    struct bp_trainer *trainer = member->trainer;
    int64_t steps = 0;
    while (member->last != BP_TRAIN_DONE && bp_trainer_signalled(trainer) == 0) {
        if (++steps == 5 && member->reducer.rank == 1) bp_trainer_signal(trainer, 3);
        member->last = bp_trainer_step(trainer);
    }
    ck_assert_int_eq(steps, 5);
    ck_assert(bp_trainer_signalled(trainer) == 3);
    member->last = bp_trainer_step(trainer);
    ck_assert(bp_trainer_signalled(trainer) == 0); /* once */
}

/* The fifth step validates when there are 4 mini-batches of training. */
START_TEST(signals_reach_all_at_the_same_step) {
    static struct test_data train, validation;
    static struct team team;
    test_spiral(&train, 128, 0);
    test_spiral(&validation, 100, 1);
    struct bp_network *net = test_network(TEST_DEEP, "cross_entropy", (struct bp_shape){1, {2}});
    struct bp_train_options options = test_deep_options(1, false);
    options.gradient_accumulation_steps = _i + 1;
    open_team(&team, 3, net, options, &train, &validation);
    play(&team, signal_in_the_middle);
    close_team(&team);
    bp_network_free(net);
}
END_TEST

START_TEST(sums_start_during_the_backward_pass) {
    static struct test_data train;
    static struct team team;
    test_spiral(&train, 96, 0);
    struct bp_network *net =
        test_network("dense units=512 activation=tanh; dense units=512 activation=tanh; dense units=3", "cross_entropy", (struct bp_shape){1, {2}});
    struct bp_train_options options = test_options("sgd", "learning_rate=0.1", 2);
    options.tasks[0].classes = 3;
    options.threads = _i;
    open_team(&team, 2, net, options, &train, NULL);
    play(&team, to_the_end);
    compare_members(&team);
    for (int r = 0; r < 2; r++) {
        ck_assert_int_eq(team.members[r].sums, 6); /* one an update, of two buckets or more */
        /* The first update has nothing to compare with. Of several threads a slow one may find that all others have ended. */
        if (_i == 1) ck_assert_int_eq(team.members[r].overlaps, 5);
    }
    close_team(&team);
    bp_network_free(net);
}
END_TEST

START_TEST(a_loss_that_is_not_finite_ends_all) {
    static struct test_data train;
    static struct team team;
    test_line(&train, 64);
    train.y[40] = INFINITY; /* of one process alone */
    struct bp_network *net = test_network("dense units=1", "mse", (struct bp_shape){1, {2}});
    open_team(&team, 4, net, test_options("sgd", "", 2), &train, NULL);
    play(&team, to_the_end);
    for (int r = 0; r < 4; r++) ck_assert_int_eq(team.members[r].last, BP_TRAIN_DIVERGED);
    close_team(&team);
    bp_network_free(net);
}
END_TEST

START_TEST(refused_without_the_processes) {
    static struct test_data train;
    struct bp_error error = {0};
    struct bp_trainer *trainer = NULL;
    const struct bp_reducer three = {.ranks = 3, .start = start, .finish = finish};
    test_line(&train, 64);
    const struct bp_source source = test_source(&train);
    struct bp_network *net = test_network("dense units=1", "mse", (struct bp_shape){1, {2}});
    struct bp_train_options options = test_options("sgd", "", 2);
    options.processes = 2;
    ck_assert_int_eq(bp_trainer_new(net, &options, &source, NULL, &trainer, &error), -1);
    ck_assert_str_eq(error.message, "2 processes train, but 1 are connected");
    options.reducer = &three;
    error = (struct bp_error){0};
    ck_assert_int_eq(bp_trainer_new(net, &options, &source, NULL, &trainer, &error), -1);
    ck_assert_str_eq(error.message, "2 processes train, but 3 are connected");
    ck_assert_str_eq(error.pointer, "/processes");
    options.processes = BP_PROCESSES_MAX + 1;
    error = (struct bp_error){0};
    ck_assert_int_eq(bp_trainer_new(net, &options, &source, NULL, &trainer, &error), -1);
    ck_assert_str_eq(error.message, "processes is 1025; expected 1 to 1024");
    bp_network_free(net);
}
END_TEST

/* What an estimate of the time of a step counts: multiplications of a sample. */
START_TEST(products_of_a_network) {
    struct bp_network *dense = test_network("dense units=8; dense units=3", "mse", (struct bp_shape){1, {4}});
    struct bp_network *image = test_network("conv2d filters=2 kernel_size=3; flatten; dense units=5", "mse", (struct bp_shape){3, {8, 8, 1}});
    ck_assert(bp_network_products(dense) == 4 * 8 + 8 * 3);
    ck_assert(bp_network_products(image) == 36 * 18 + 72 * 5); /* 36 positions of 3 x 3 x 1 to 2 channels */
    bp_network_free(dense);
    bp_network_free(image);
}
END_TEST

Suite *suite_processes(void);
Suite *suite_processes(void) {
    Suite *suite = suite_create("processes");
    TCase *tests = tcase_create("processes");
    tcase_add_loop_test(tests, everything_at_once, 0, 6);
    tcase_add_test(tests, parts_of_a_mini_batch);
    tcase_add_loop_test(tests, metrics_of_all_rows, 0, 4);
    tcase_add_loop_test(tests, optimizers_of_all_rows, 0, 2);
    tcase_add_test(tests, mean_gradient_by_hand);
    tcase_add_loop_test(tests, resumed, 1, 4);
    tcase_add_loop_test(tests, signals_reach_all_at_the_same_step, 0, 2);
    tcase_add_loop_test(tests, sums_start_during_the_backward_pass, 1, 3);
    tcase_add_test(tests, a_loss_that_is_not_finite_ends_all);
    tcase_add_test(tests, refused_without_the_processes);
    tcase_add_test(tests, products_of_a_network);
    suite_add_tcase(suite, tests);
    return suite;
}

/* test_search.c - optimizers/lbfgs.c and how a training drives it: against closed forms and scikit-learn, over batches and threads, saved and resumed
 * in the middle of a search, what it refuses. */
#include "tests/engine/train_support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- lbfgs alone -------------------------------------------------------------------------------------------------- */

struct hunt {
    struct bp_value values[BP_VALUES_MAX];
    bp_real W[2], g[2], room[BP_SLOTS_MAX][2], *slots[BP_SLOTS_MAX];
    double memory[BP_SEARCH_MEMORY];
};

extern const struct bp_optimizer_ops bp_optimizer_lbfgs;

static void open_hunt(struct hunt *hunt, double w0, double w1) {
    *hunt = (struct hunt){.W = {(bp_real)w0, (bp_real)w1}};
    bp_values_preset(&bp_optimizer_lbfgs.entry, hunt->values);
    for (int i = 0; i < BP_SLOTS_MAX; i++) hunt->slots[i] = hunt->room[i];
}

static bool tell(struct hunt *hunt, const bp_real *g, double loss) {
    return bp_optimizer_lbfgs.search(&(struct bp_search){
        .values = hunt->values, .learning_rate = 1, .loss = loss, .n = 2, .g = g, .W = hunt->W, .slots = hunt->slots, .memory = hunt->memory});
}

/* Rosenbrock's valley from its usual start: the minimum at (1, 1) in a few dozen steps, and no step goes up. */
START_TEST(rosenbrock) {
    struct hunt hunt;
    double before = INFINITY, loss = INFINITY;
    int epochs = 0, looks = 0;
    open_hunt(&hunt, -1.2, 1);
    for (; epochs < 60 && loss > 1e-10; epochs++) {
        tell(&hunt, NULL, 0);
        bool found = false;
        for (int tries = 0; !found; tries++) {
            const double x = (double)hunt.W[0], y = (double)hunt.W[1];
            ck_assert_int_lt(tries, 30);
            loss = 100 * (y - x * x) * (y - x * x) + (1 - x) * (1 - x);
            hunt.g[0] = (bp_real)(-400 * x * (y - x * x) - 2 * (1 - x));
            hunt.g[1] = (bp_real)(200 * (y - x * x));
            found = tell(&hunt, hunt.g, loss);
            looks++;
        }
        ck_assert_double_le(loss, before);
        before = loss;
    }
    ck_assert_double_eq_tol((double)hunt.W[0], 1, 1e-4);
    ck_assert_double_eq_tol((double)hunt.W[1], 1, 2e-4);
    ck_assert_int_lt(epochs, 60);
    ck_assert_int_lt(looks, 120);
}
END_TEST

/* A quadratic with one curvature in all directions: after the first pair every step is Newton's. And the search recovers from a trial that is not
 * finite. */
START_TEST(newton_and_back_from_infinity) {
    struct hunt hunt;
    open_hunt(&hunt, 3, -4);
    for (int epoch = 0; epoch < 3; epoch++) {
        bool found = tell(&hunt, NULL, 0);
        while (!found) {
            const double x = (double)hunt.W[0], y = (double)hunt.W[1];
            hunt.g[0] = (bp_real)(8 * x);
            hunt.g[1] = (bp_real)(8 * y);
            found = tell(&hunt, hunt.g, hypot(x, y) > 5.5 ? (double)INFINITY : 4 * (x * x + y * y));
        }
    }
    ck_assert_double_lt(hypot((double)hunt.W[0], (double)hunt.W[1]), 1e-5);
    open_hunt(&hunt, 1, 0); /* f grows along its own gradient for every step: no step is found, and W is unchanged */
    tell(&hunt, NULL, 0);
    hunt.g[0] = 1;
    tell(&hunt, hunt.g, 0);
    tell(&hunt, NULL, 0);
    for (int tries = 0; hunt.W[0] != 1; tries++) {
        ck_assert_int_lt(tries, 30);
        tell(&hunt, hunt.g, 7);
    }
    ck_assert(tell(&hunt, hunt.g, 0));
}
END_TEST

/* When a pair is of no use and all places are taken, the oldest has lost its place and no longer counts; the others do. One dimension, two places:
 * pairs of curvature 1/2 (oldest) and 1/8; then a step that rounding swallowed (s = 0). The next direction is Newton's by the curvature 1/8. */
START_TEST(a_useless_pair_costs_the_oldest_only) {
    struct hunt hunt;
    open_hunt(&hunt, 0, 0);
    hunt.values[1].number = 2;
    hunt.g[0] = -1;
    tell(&hunt, NULL, 0);
    ck_assert(!tell(&hunt, hunt.g, 10)); /* the beginning: tries W = 1 */
    ck_assert(hunt.W[0] == 1);
    hunt.g[0] = (bp_real)-0.5;
    ck_assert(tell(&hunt, hunt.g, 9));
    tell(&hunt, NULL, 0); /* d = 0.5 / 0.5: W = 2 */
    ck_assert(hunt.W[0] == 2);
    hunt.g[0] = (bp_real)-0.375;
    ck_assert(tell(&hunt, hunt.g, 8)); /* y = 1/8 */
    tell(&hunt, NULL, 0);              /* d = 0.375 x 8: W = 5 */
    ck_assert(hunt.W[0] == 5);
    hunt.W[0] = 2;
    hunt.g[0] = (bp_real)-0.25;
    ck_assert(tell(&hunt, hunt.g, 7)); /* s = 0 */
    tell(&hunt, NULL, 0);
    ck_assert(hunt.W[0] == 2 + (bp_real)0.25 * 8);
}
END_TEST

/* ---- lbfgs in a training ------------------------------------------------------------------------------------------- */

/* A noisy plane, and the weights that least squares with a penalty on the kernel give, by the normal equations and Gaussian elimination. */
static void make_plane(struct test_data *data, double l2, double *expected) {
    struct bp_random random = bp_random_open(21, BP_STREAM_USER, 0);
    double A[4][5] = {{0}};
    *data = (struct test_data){.width = 3, .y_width = 1, .rows = 60};
    for (int i = 0; i < 60; i++) {
        double row[5] = {0, 0, 0, 1, 0};
        for (int j = 0; j < 3; j++) data->x[3 * i + j] = (bp_real)bp_random_normal(&random);
        data->y[i] = (bp_real)bp_random_normal(&random);
        for (int j = 0; j < 3; j++) row[j] = (double)data->x[3 * i + j];
        row[4] = (double)data->y[i];
        for (int a = 0; a < 4; a++)
            for (int b = 0; b < 5; b++) A[a][b] += row[a] * row[b] / 60;
    }
    for (int a = 0; a < 3; a++) A[a][a] += l2;
    for (int a = 0; a < 4; a++)
        for (int b = 0; b < 4; b++) {
            const double f = b == a ? 0 : A[b][a] / A[a][a];
            for (int c = a; c < 5 && b != a; c++) A[b][c] -= f * A[a][c];
        }
    for (int a = 0; a < 4; a++) expected[a] = A[a][4] / A[a][a];
}

START_TEST(least_squares_in_closed_form) {
    static struct test_data data;
    struct bp_network *net = test_network("dense units=1", "mse", (struct bp_shape){1, {3}});
    for (int i = 0; i < 4; i++) {
        double expected[4];
        struct bp_train_options options = test_options("lbfgs", "", 30);
        options.l2 = i & 2 ? 0.3 : 0;
        options.threads = i & 1 ? 2 : 1;
        options.batch_size = i & 1 ? 7 : 64;
        make_plane(&data, options.l2, expected);
        struct bp_trainer *trainer = test_trainer(net, &options, &data, NULL);
        ck_assert_int_eq(test_run(trainer), BP_TRAIN_DONE);
        const bp_real *W = bp_trainer_result(trainer);
        for (int j = 0; j < 3; j++) ck_assert_double_eq_tol((double)W[j], expected[j], 1e-6);
        ck_assert_double_eq_tol((double)W[16], expected[3], 1e-6);
        bp_trainer_free(trainer);
    }
    bp_network_free(net);
}
END_TEST

/* rprop too takes all rows for an update: how they are cut into batches does not matter, an epoch is one update, and it can be broken off anywhere.
 */
START_TEST(whole_updates) {
    static struct test_data data;
    test_line(&data, 40);
    data.weighted = true;
    for (int i = 0; i < 40; i++) data.weights[i] = (bp_real)(i % 3);
    struct bp_network *net = test_network("dense units=4 activation=tanh; dense units=1", "mse", (struct bp_shape){1, {2}});
    struct bp_train_options options = test_options("rprop", "", 6), cut = options;
    options.l2 = cut.l2 = 0.01;
    options.gradient_clip_norm = cut.gradient_clip_norm = 0.5;
    options.batch_size = 40;
    cut.batch_size = 7;
    cut.threads = 1 + _i;
    struct bp_trainer *whole = test_trainer(net, &options, &data, NULL), *parts = test_trainer(net, &cut, &data, NULL);
    struct bp_trainer_state state;
    ck_assert_int_eq(test_run(whole), BP_TRAIN_DONE);
    ck_assert_int_eq(test_run(parts), BP_TRAIN_DONE);
    bp_trainer_state(parts, &state);
    ck_assert_int_eq(state.updates, 6);
    for (size_t i = 0; i < net->weights_count; i++)
        ck_assert_double_eq_tol((double)bp_trainer_result(whole)[i], (double)bp_trainer_result(parts)[i], 1e-5);
    for (int stop = 0; stop < 36; stop++) {
        struct bp_trainer *first = test_trainer(net, &cut, &data, NULL), *second = test_trainer(net, &cut, &data, NULL);
        for (int i = 0; i < stop; i++) bp_trainer_step(first);
        state = test_copy_state(first);
        ck_assert_int_eq(bp_trainer_restore(second, &state, NULL), 0);
        test_free_state(&state);
        test_run(second);
        test_compare_ends(parts, second);
        bp_trainer_free(first);
        bp_trainer_free(second);
    }
    bp_trainer_free(whole);
    bp_trainer_free(parts);
    bp_network_free(net);
}
END_TEST

/* scikit-learn 1.2.1: LogisticRegression(C=1 / (2 x 12 x 0.02), tol=1e-12), its mean loss without the penalty. */
START_TEST(logistic_regression_as_scikit_learn) {
    static struct test_data data = {
        .width = 2,
        .y_width = 1,
        .rows = 12,
        .x = {0.5f, 1, 1, -1, 2, 0.5f, -1, 2, 0, 0, 1.5f, 1.5f, -2, -0.5f, -0.5f, -1.5f, 3, 1, -1, 0.25f, 0.25f, 2, 1, -2},
        .y = {1, 0, 1, 1, 0, 1, 0, 0, 1, 0, 0, 1}};
    struct bp_network *net = test_network("dense units=1", "binary_cross_entropy", (struct bp_shape){1, {2}});
    struct bp_train_options options = test_options("lbfgs", "", 40);
    options.tasks[0].classes = 2;
    options.l2 = 0.02;
    options.batch_size = 5;
    struct bp_trainer *trainer = test_trainer(net, &options, &data, NULL);
    test_run(trainer);
    const bp_real *W = bp_trainer_result(trainer);
    ck_assert_double_eq_tol((double)W[0], 1.02923983, 1e-5);
    ck_assert_double_eq_tol((double)W[1], 0.46211567, 1e-5);
    ck_assert_double_eq_tol((double)W[16], -0.50001615, 1e-5);
    ck_assert_double_eq_tol(test_metric(trainer, "loss"), 0.46106262, 1e-6);
    bp_trainer_free(trainer);
    bp_network_free(net);
}
END_TEST

#define SEARCHED "dense units=10 activation=tanh; dense units=8 activation=gelu; dense units=3"

/* Each epoch's loss is no larger than the one before, and far below what the beginning was. Its early stopping keeps the best. */
START_TEST(the_loss_only_falls) {
    static struct test_data train, validation;
    test_spiral(&train, 90, 0);
    test_spiral(&validation, 60, 1);
    struct bp_network *net = test_network(SEARCHED, "cross_entropy", (struct bp_shape){1, {2}});
    struct bp_train_options options = test_options("lbfgs", "history_size=5", 60);
    options.tasks[0].classes = 3;
    options.stop_early = true;
    options.stop_patience = 60;
    test_add_metric(&options, "accuracy");
    struct bp_trainer *trainer = test_trainer(net, &options, &train, &validation);
    double before = INFINITY;
    enum bp_train_event event;
    while ((event = bp_trainer_step(trainer)) != BP_TRAIN_DONE) {
        ck_assert_int_ne(event, BP_TRAIN_DIVERGED);
        if (event != BP_TRAIN_EPOCH) continue;
        ck_assert_double_le(test_metric(trainer, "loss"), before * (1 + 1e-5) + 1e-8); /* rounding: the rows come in another order */
        before = test_metric(trainer, "loss");
    }
    ck_assert_double_lt(before, 0.1);
    ck_assert_double_gt(test_metric(trainer, "accuracy"), 0.97);
    bp_trainer_free(trainer);
    bp_network_free(net);
}
END_TEST

/* Broken off after every step, the middle of a search included. */
START_TEST(resumed_in_the_middle_of_a_search) {
    static struct test_data train, validation;
    test_spiral(&train, 90, 0);
    test_spiral(&validation, 40, 1);
    struct bp_network *net = test_network(SEARCHED, "cross_entropy", (struct bp_shape){1, {2}});
    struct bp_train_options options = test_options("lbfgs", "history_size=2", 7);
    options.tasks[0].classes = 3;
    options.l1 = options.l2 = 1e-3;
    options.ema = 0.8;
    options.threads = 1 + _i;
    options.stop_early = true;
    options.stop_patience = 3;
    test_add_metric(&options, "accuracy");
    test_schedule(&options, "reduce_on_plateau patience=1");
    struct bp_trainer *unbroken = test_trainer(net, &options, &train, &validation);
    int steps = 0;
    while (bp_trainer_step(unbroken) != BP_TRAIN_DONE) steps++;
    ck_assert_int_gt(steps, 7 * 4 + 3); /* three batches and a validation an epoch, and some searches that took more than one walk */
    for (int stop = 0; stop <= steps; stop++) {
        struct bp_trainer *first = test_trainer(net, &options, &train, &validation), *second = test_trainer(net, &options, &train, &validation);
        for (int i = 0; i < stop; i++) bp_trainer_step(first);
        struct bp_trainer_state state = test_copy_state(first);
        bp_trainer_free(first);
        ck_assert_int_eq(bp_trainer_restore(second, &state, NULL), 0);
        test_free_state(&state);
        ck_assert_int_eq(test_run(second), BP_TRAIN_DONE);
        if (stop < steps) test_compare_ends(unbroken, second);
        bp_trainer_free(second);
    }
    bp_trainer_free(unbroken);
    bp_network_free(net);
}
END_TEST

START_TEST(refusals_of_a_search) {
    static struct test_data data;
    static const struct {
        const char *text, *pointer, *words;
    } wrong[] = {
        {"dense units=4; dropout rate=0.1 name=d; dense units=3", "/optimizer", "layer \"d\" (dropout) changes it; remove the layer, or use adam"},
        {"gaussian_noise stddev=0.1; dense units=3", "/optimizer", "(gaussian_noise) changes it"},
        {"batch_norm; dense units=3", "/optimizer", "(batch_norm) changes it"},
        {"mixup", "/mixup", "leave mixup out"},
        {"gradient_accumulation_steps", "/gradient_accumulation_steps", "lbfgs always uses the whole training set"},
        {"max_norm", "/max_norm", "leave max_norm out, or use adam"},
        {"gradient_clip_norm", "/gradient_clip_norm", "leave gradient_clip_norm out"},
        {"gradient_clip_value", "/gradient_clip_value", "leave gradient_clip_value out"},
    };
    test_spiral(&data, 30, 0);
    const struct bp_source source = test_source(&data);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        const bool network = strchr(wrong[i].text, ' ') != NULL;
        struct bp_network *net = test_network(network ? wrong[i].text : "dense units=3", "cross_entropy", (struct bp_shape){1, {2}});
        struct bp_train_options options = test_options("lbfgs", "", 3);
        struct bp_trainer *trainer = NULL;
        struct bp_error error = {0};
        options.tasks[0].classes = 3;
        options.mixup = !strcmp(wrong[i].text, "mixup");
        options.gradient_accumulation_steps = strcmp(wrong[i].text, "gradient_accumulation_steps") ? 1 : 2;
        options.max_norm = !strcmp(wrong[i].text, "max_norm");
        options.gradient_clip_norm = !strcmp(wrong[i].text, "gradient_clip_norm");
        options.gradient_clip_value = !strcmp(wrong[i].text, "gradient_clip_value");
        ck_assert_msg(bp_trainer_new(net, &options, &source, NULL, &trainer, &error) == -1, "%s", wrong[i].text);
        ck_assert_str_eq(error.pointer, wrong[i].pointer);
        ck_contains(error.message, wrong[i].words);
        bp_network_free(net);
    }
    struct bp_network *net = test_network("batch_norm frozen=1; dense units=3", "cross_entropy", (struct bp_shape){1, {2}}); /* frozen, it may stay */
    struct bp_train_options options = test_options("lbfgs", "", 3);
    struct bp_trainer *trainer = NULL;
    options.tasks[0].classes = 3;
    ck_assert_int_eq(bp_trainer_new(net, &options, &source, NULL, &trainer, NULL), 0);
    ck_assert_int_eq(test_run(trainer), BP_TRAIN_DONE);
    bp_trainer_free(trainer);
    bp_network_free(net);
}
END_TEST

Suite *suite_search(void);
Suite *suite_search(void) {
    Suite *suite = suite_create("search");
    TCase *tests = tcase_create("search");
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, rosenbrock);
    tcase_add_test(tests, newton_and_back_from_infinity);
    tcase_add_test(tests, a_useless_pair_costs_the_oldest_only);
    tcase_add_test(tests, least_squares_in_closed_form);
    tcase_add_loop_test(tests, whole_updates, 0, 2);
    tcase_add_test(tests, logistic_regression_as_scikit_learn);
    tcase_add_test(tests, the_loss_only_falls);
    tcase_add_loop_test(tests, resumed_in_the_middle_of_a_search, 0, 2);
    tcase_add_test(tests, refusals_of_a_search);
    suite_add_tcase(suite, tests);
    return suite;
}

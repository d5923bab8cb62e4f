/* test_worker.c - parts of the job process that need no training: when a checkpoint is due, the count of folds, advice from the health of layers. The
 * trainer that advice asks is a fake: the test program is linked with --wrap for its functions. */
#include "server/clock.h"
#include "server/worker/process.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

Suite *suite_worker(void);

/* ---- checkpoints ---------------------------------------------------------------------------------------------------------------------- */

/* checkpoint_every_epochs 10; the last checkpoint was after epoch 20, so long ago, and took so long to write. */
static bool due(bool as_asked, int64_t epoch, int64_t ms_ago, int64_t cost_ms, bool epoch_ended) {
    static struct schema_training training;
    struct process p = {.training = &training, .epoch = epoch, .checkpoint_epoch = 20, .checkpoint_cost_ms = cost_ms};
    training.options.checkpoint_every_epochs = 10;
    p.order = json_pack("{s:{s:b}}", "spec", "checkpoint_as_asked", as_asked);
    p.checkpoint_ms = clock_ms() - ms_ago;
    const bool result = process_checkpoint_due(&p, epoch_ended);
    json_decref(p.order);
    return result;
}

START_TEST(a_checkpoint_is_due_after_its_epochs) {
    ck_assert(!due(true, 29, 0, 0, true));
    ck_assert(due(true, 30, 0, 0, true));
    ck_assert(!due(true, 30, 0, 0, false)); /* in the middle of an epoch */
}
END_TEST

START_TEST(an_unasked_checkpoint_takes_a_tenth_of_the_time_at_most) {
    ck_assert(!due(false, 30, 100, 0, true)); /* less than a second ago */
    ck_assert(due(false, 30, 2000, 0, true));
    ck_assert(!due(false, 30, 2000, 500, true)); /* writing takes half a second: 5 s */
    ck_assert(due(false, 30, 6000, 500, true));
}
END_TEST

START_TEST(a_long_epoch_has_a_checkpoint_every_minute) {
    ck_assert(!due(false, 20, 50000, 0, false));
    ck_assert(due(false, 20, 70000, 0, false));
    ck_assert(!due(false, 20, 70000, 10000, false)); /* ten times 10 s */
}
END_TEST

/* ---- folds ------------------------------------------------------------------------------------------------------------------------------- */

static void add_fold(struct cross_validation *cv, int epoch, double loss) {
    cross_validation_add(cv, json_pack("{s:i, s:i, s:i, s:{s:f, s:f}}", "fold", cv->fold, "epoch", epoch, "epochs", 40, "metrics", "val_loss", loss,
                                       "learning_rate", 0.1));
    cross_validation_next(cv, 1000, 50);
}

START_TEST(folds_are_counted_to_the_fit_on_all_rows) {
    struct cross_validation cv = {0};
    cross_validation_begin(&cv, 3);
    ck_assert_int_eq(cv.fold, 1);
    ck_assert_int_eq(cross_validation_left(&cv), 3);
    add_fold(&cv, 10, 0.5);
    add_fold(&cv, 11, 0.7);
    json_t *half = cross_validation_json(&cv);
    ck_assert(json_is_null(json_object_get(half, "mean"))); /* not before the last */
    add_fold(&cv, 11, 0.9);
    ck_assert_int_eq(cv.fold, 0);
    ck_assert_int_eq(cross_validation_left(&cv), 0);
    ck_assert_int_eq(cv.epochs, 120);
    ck_assert_int_eq(cv.samples, 3000);
    ck_assert_int_eq(cv.steps, 150);
    ck_assert_int_eq(cross_validation_last_epochs(&cv), 11); /* 10.67 */
    json_t *all = cross_validation_json(&cv), *metrics = cross_validation_metrics(&cv);
    ck_assert_double_eq_tol(json_number_value(json_object_get(json_object_get(all, "mean"), "val_loss")), 0.7, 1e-9);
    ck_assert_double_eq_tol(json_number_value(json_object_get(json_object_get(all, "std"), "val_loss")), 0.2, 1e-9); /* of a sample */
    ck_assert_ptr_null(json_object_get(json_object_get(all, "mean"), "learning_rate"));
    ck_assert_double_eq_tol(json_number_value(json_object_get(metrics, "cross_validated_loss")), 0.7, 1e-9);
    json_decref(half), json_decref(all), json_decref(metrics), json_decref(cv.finished);
}
END_TEST

START_TEST(folds_come_back_from_a_checkpoint_or_not_at_all) {
    struct cross_validation cv = {0}, again = {0}, other = {0};
    cross_validation_begin(&cv, 3);
    add_fold(&cv, 10, 0.5);
    json_t *notes = cross_validation_notes(&cv);
    cross_validation_begin(&again, 3);
    ck_assert_int_eq(cross_validation_recall(&again, notes), 0);
    ck_assert_int_eq(again.fold, 2);
    ck_assert_int_eq(again.samples, 1000);
    ck_assert(json_equal(again.finished, cv.finished));
    cross_validation_begin(&other, 3);
    ck_assert_int_eq(cross_validation_recall(&other, NULL), -1);
    json_object_set_new(notes, "fold", json_integer(3)); /* but one fold has ended */
    ck_assert_int_eq(cross_validation_recall(&other, notes), -1);
    json_object_set_new(notes, "fold", json_integer(4));
    ck_assert_int_eq(cross_validation_recall(&other, notes), -1);
    json_object_set_new(notes, "fold", json_integer(-1));
    ck_assert_int_eq(cross_validation_recall(&other, notes), -1);
    ck_assert_int_eq(other.fold, 1);
    json_decref(notes), json_decref(cv.finished), json_decref(again.finished), json_decref(other.finished);
}
END_TEST

/* ---- advice -------------------------------------------------------------------------------------------------------------------------------- */

static struct bp_health health[2];
static double losses[2]; /* loss, val_loss */

int32_t __wrap_bp_trainer_health_count(const struct bp_trainer *trainer);
const struct bp_health *__wrap_bp_trainer_health(const struct bp_trainer *trainer, int32_t i);
int32_t __wrap_bp_trainer_metrics_count(const struct bp_trainer *trainer);
const char *__wrap_bp_trainer_metric_name(const struct bp_trainer *trainer, int32_t i);
double __wrap_bp_trainer_metric_value(const struct bp_trainer *trainer, int32_t i);

int32_t __wrap_bp_trainer_health_count(const struct bp_trainer *trainer) {
    (void)trainer;
    return 2;
}

const struct bp_health *__wrap_bp_trainer_health(const struct bp_trainer *trainer, int32_t i) {
    (void)trainer;
    return &health[i];
}

int32_t __wrap_bp_trainer_metrics_count(const struct bp_trainer *trainer) {
    (void)trainer;
    return 2;
}

const char *__wrap_bp_trainer_metric_name(const struct bp_trainer *trainer, int32_t i) {
    (void)trainer;
    return i == 0 ? "loss" : "val_loss";
}

double __wrap_bp_trainer_metric_value(const struct bp_trainer *trainer, int32_t i) {
    (void)trainer;
    return losses[i];
}

struct heard {
    int count;
    int64_t epoch;
    char text[ADVICE_TEXT];
};
static int64_t now_at;

static void hear(void *context, const char *text) {
    struct heard *heard = context;
    heard->count++;
    heard->epoch = now_at;
    snprintf(heard->text, sizeof heard->text, "%s", text);
}

/* A network of an input, "hidden" and "out", and a training of it, as far as advice looks at them. */
static struct bp_node nodes[3];
static struct bp_network network;
static struct schema_preprocessing preprocessing;
static struct schema_training training;

static void node_is(int32_t i, const char *name, const char *type) {
    snprintf(nodes[i].name, sizeof nodes[i].name, "%s", name);
    nodes[i].ops = (const struct bp_layer_ops *)bp_family_find(&bp_layers, type);
    nodes[i].inputs_count = 1;
    nodes[i].inputs[0] = i - 1;
    ck_assert_ptr_nonnull(nodes[i].ops);
}

static struct run run_of(int64_t rows) {
    memset(nodes, 0, sizeof nodes);
    node_is(1, "hidden", "activation");
    node_is(2, "out", "activation");
    network = (struct bp_network){.inputs_count = 1, .nodes_count = 3, .nodes = nodes};
    training = (struct schema_training){.network = &network, .preprocessing = &preprocessing};
    return (struct run){.training = &training,
                        .split.train_count = rows,
                        .best_metric = "val_loss",
                        .options = {.batch_size = 32, .optimizer = (const struct bp_optimizer_ops *)bp_family_find(&bp_optimizers, "adam")}};
}

/* Healthy layers and a falling loss: no advice. */
static void healthy(void) {
    for (int i = 0; i < 2; i++)
        health[i] = (struct bp_health){
            .layer = i ? "out" : "hidden", .weight_norm = 1, .gradient_norm = 0.1, .update_norm = 0.001, .ratio = 0.001, .spread = 1};
    losses[0] = 1, losses[1] = 1;
}

static void epochs(struct advice *advice, struct run *run, int64_t from, int64_t to, double loss_step, double val_step, struct heard *heard) {
    for (now_at = from; now_at <= to; now_at++) {
        losses[0] += loss_step, losses[1] += val_step;
        advice_epoch(advice, run, now_at, hear, heard);
    }
}

START_TEST(advice_waits_until_it_has_lasted) {
    struct advice advice = {0};
    struct run run = run_of(320);
    struct heard heard = {0};
    healthy();
    epochs(&advice, &run, 1, 20, -0.01, -0.01, &heard);
    ck_assert_int_eq(heard.count, 0);
    health[0].dead = 0.6;
    epochs(&advice, &run, 21, 24, -0.01, -0.01, &heard);
    ck_assert_int_eq(heard.count, 0);
    epochs(&advice, &run, 25, 60, -0.01, -0.01, &heard);
    ck_assert_int_eq(heard.count, 1); /* in the fifth epoch, and once */
    ck_assert_int_eq(heard.epoch, 25);
    ck_assert_msg(strncmp(heard.text, "dead units: 60% of the units of layer \"hidden\"", 46) == 0, "%s", heard.text);
}
END_TEST

START_TEST(a_last_mini_batch_of_few_rows_says_nothing_of_units) {
    struct advice advice = {0};
    struct run run = run_of(321);
    struct heard heard = {0};
    healthy();
    health[0].dead = 1;
    epochs(&advice, &run, 1, 20, -0.01, -0.01, &heard);
    ck_assert_int_eq(heard.count, 0);
}
END_TEST

static const struct {
    double gradient, ratio, saturated;
    const char *kind;
} faults[] = {{1e-7, 0.001, 0, "vanishing gradient: layer \"hidden\""},
              {200, 0.001, 0, "exploding gradient: that of layer \"hidden\""},
              {0.1, 0.2, 0, "learning rate too high: each update changes layer \"hidden\" by 20%"},
              {0.1, 0.001, 0.7, "saturated units: 70%"}};

START_TEST(each_fault_of_a_layer_has_its_advice) {
    struct advice advice = {0};
    struct run run = run_of(320);
    struct heard heard = {0};
    healthy();
    health[0].gradient_norm = faults[_i].gradient, health[0].ratio = faults[_i].ratio, health[0].saturated = faults[_i].saturated;
    epochs(&advice, &run, 1, 5, -0.01, -0.01, &heard);
    ck_assert_int_eq(heard.count, 1);
    ck_assert_msg(strncmp(heard.text, faults[_i].kind, strlen(faults[_i].kind)) == 0, "\"%s\" does not begin with \"%s\"", heard.text,
                  faults[_i].kind);
}
END_TEST

START_TEST(overfitting_is_a_rising_val_loss_under_a_falling_loss) {
    struct advice advice = {0};
    struct run run = run_of(320);
    struct heard heard = {0};
    healthy();
    epochs(&advice, &run, 1, 10, -0.01, -0.01, &heard);
    epochs(&advice, &run, 11, 19, -0.01, 0.02, &heard);
    ck_assert_int_eq(heard.count, 0);
    epochs(&advice, &run, 20, 20, -0.01, 0.02, &heard);
    ck_assert_int_eq(heard.count, 1);
    ck_assert_msg(strncmp(heard.text, "overfitting: ", 13) == 0 && strstr(heard.text, "since 10"), "%s", heard.text);
    /* both rise: that is something else */
    advice = (struct advice){0}, heard = (struct heard){0};
    healthy();
    epochs(&advice, &run, 1, 10, -0.01, -0.01, &heard);
    epochs(&advice, &run, 11, 40, 0.02, 0.02, &heard);
    ck_assert_int_eq(heard.count, 0);
}
END_TEST

/* What is tried already is not recommended. */
START_TEST(advice_fits_the_options_in_force) {
    static const char *const plain[] = {"; try early_stopping, dropout, l2, fewer units or more rows",
                                        "; try gradient_clip_norm 1 or a smaller learning_rate", "; try a tenth of the learning_rate or \"auto\"",
                                        "; try he_normal initialisation, batch_norm or shortcuts with add"},
                             *const done[] = {" (early stopping keeps the best epoch); try fewer units or more rows",
                                              "; try a smaller gradient_clip_norm or a smaller learning_rate", "; try a tenth of the learning_rate",
                                              "; try he_normal initialisation or shortcuts with add"};
    for (int k = 0; k < 2; k++)
        for (int fault = 0; fault < 4; fault++) {
            struct advice advice = {0};
            struct run run = run_of(320);
            struct heard heard = {0};
            healthy();
            if (k == 1) {
                run.options.stop_early = true;
                run.options.l2 = 0.1;
                run.options.gradient_clip_norm = 5;
                training.options.find_rate = true;
                node_is(1, "drop", fault == 3 ? "batch_norm" : "dropout");
            }
            if (fault == 1) health[1].gradient_norm = 200;
            if (fault == 2) health[1].ratio = 0.2;
            if (fault == 3) health[0].gradient_norm = 1000, health[0].weight_norm = 1000, health[1].gradient_norm = 1e-7;
            epochs(&advice, &run, 1, 10, -0.01, -0.01, &heard);
            if (fault == 0) {
                struct advice small = advice; /* early stopping keeps an epoch with losses that are alike */
                epochs(&small, &run, 11, 20, -0.01, 0.02, &heard);
                ck_assert_int_eq(heard.count, k ? 0 : 1);
                heard = (struct heard){0};
                losses[0] = 0.3, losses[1] = 0.8;
                epochs(&advice, &run, 11, 11, 0, 0, &heard);
                epochs(&advice, &run, 12, 21, -0.01, 0.02, &heard);
            }
            const char *end = strstr(heard.text, k && fault == 0 ? " (early" : "; try");
            ck_assert_msg(end && strcmp(end, k ? done[fault] : plain[fault]) == 0, "\"%s\" does not end with \"%s\"", heard.text,
                          k ? done[fault] : plain[fault]);
        }
}
END_TEST

Suite *suite_worker(void) {
    Suite *suite = suite_create("worker");
    TCase *tests = tcase_create("worker");
    tcase_add_test(tests, a_checkpoint_is_due_after_its_epochs);
    tcase_add_test(tests, an_unasked_checkpoint_takes_a_tenth_of_the_time_at_most);
    tcase_add_test(tests, a_long_epoch_has_a_checkpoint_every_minute);
    tcase_add_test(tests, folds_are_counted_to_the_fit_on_all_rows);
    tcase_add_test(tests, folds_come_back_from_a_checkpoint_or_not_at_all);
    tcase_add_test(tests, advice_waits_until_it_has_lasted);
    tcase_add_test(tests, a_last_mini_batch_of_few_rows_says_nothing_of_units);
    tcase_add_loop_test(tests, each_fault_of_a_layer_has_its_advice, 0, sizeof faults / sizeof *faults);
    tcase_add_test(tests, advice_fits_the_options_in_force);
    tcase_add_test(tests, overfitting_is_a_rising_val_loss_under_a_falling_loss);
    suite_add_tcase(suite, tests);
    return suite;
}

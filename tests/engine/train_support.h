/* train_support.h - what the tests of training share: small data sets, trainers, states copied as a checkpoint would. */
#ifndef TESTS_ENGINE_TRAIN_SUPPORT_H
#define TESTS_ENGINE_TRAIN_SUPPORT_H

#include "tests/engine/support.h"

enum { TEST_ROWS = 600, TEST_WIDTH = 12 };

/* Rows of one input, and of one or two targets. */
struct test_data {
    int32_t width, y_width, second_width; /* numbers of the input, of the target, of the second output's target (0: there is none) */
    bool weighted;
    bp_real x[TEST_ROWS * TEST_WIDTH], y[TEST_ROWS * 3], second[TEST_ROWS * 3], weights[TEST_ROWS];
    int64_t rows;
};

struct bp_source test_source(const struct test_data *data);
void test_fill(const void *context, const int64_t *rows, int32_t n, const struct bp_batch *batch);
/* Three noisy arms of a spiral; y: which. */
void test_spiral(struct test_data *data, int64_t rows, uint32_t index);
/* y = 3 x0 - 2 x1 + 1, exactly. */
void test_line(struct test_data *data, int64_t rows);

/* An optimizer with "a=1 b=2", batches of 32, one thread, seed 7. */
struct bp_train_options test_options(const char *optimizer, const char *values, int32_t epochs);
/* "cosine minimum=0.1" */
void test_schedule(struct bp_train_options *options, const char *text);
void test_add_metric(struct bp_train_options *options, const char *name);
/* A network for the spiral, and options with much switched on. early: stops early. */
#define TEST_DEEP "dense units=24 activation=relu; dropout rate=0.3; dense units=20 activation=gelu; dense units=3"
struct bp_train_options test_deep_options(int32_t threads, bool early);
/* Networks and options with everything switched on at once: two outputs, running statistics, learned slopes, a frozen layer; weights, penalties,
 * clipping, accumulation, moving average, mixup, a schedule that remembers. Fills the data. */
#define TEST_EVERYTHING                                                                                                                              \
    "dense units=24 name=d; batch_norm; activation activation=relu; dropout rate=0.3; dense units=20 activation=prelu name=t;"                       \
    "dense units=6 frozen=1; batch_norm frozen=1; dense units=3 name=arm; dense units=1 in=t name=far"
#define TEST_EVERYTHING_LOSSES "arm: cross_entropy label_smoothing=0.1; far*0.5: huber"
struct bp_train_options test_everything(int32_t threads, struct test_data *train, struct test_data *validation);

struct bp_trainer *test_trainer(const struct bp_network *net, const struct bp_train_options *options, const struct test_data *train,
                                const struct test_data *validation);
double test_metric(const struct bp_trainer *trainer, const char *name);
/* To the end; the last event. */
enum bp_train_event test_run(struct bp_trainer *trainer);

/* A deep copy, as a checkpoint would hold it. */
struct bp_trainer_state test_copy_state(struct bp_trainer *trainer);
void test_free_state(struct bp_trainer_state *state);
/* Everything that is observable at the end is the same. */
void test_compare_ends(struct bp_trainer *a, struct bp_trainer *b);

#endif

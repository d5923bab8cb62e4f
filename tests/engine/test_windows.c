/* test_windows.c - engine/train/order.c: training in windows walks every sample once an epoch, piece by piece, tells its source what comes, and
 * resumes to the same bits. */
#include "tests/engine/train_support.h"

#include "engine/train/trainer.h"

#include <stdlib.h>
#include <string.h>

enum { ROWS = 100000, VALIDATION = 25000, BATCH = 1000, CHUNK = 9000, WINDOW = 36000, TELLINGS = 64 };

/* A source that records its calls. Sample i: x = i / ROWS, y = 2 x. */
struct recorder {
    int64_t read[2 * ROWS], count;
    struct bp_spans now[TELLINGS], next[TELLINGS];
    int64_t told_at[TELLINGS]; /* samples read before */
    int32_t tellings;
};

static void record(const void *context, const int64_t *rows, int32_t n, const struct bp_batch *batch) {
    struct recorder *r = (struct recorder *)(uintptr_t)context; /* one thread trains */
    for (int32_t i = 0; i < n; i++) {
        if (r->count < 2 * ROWS) r->read[r->count++] = rows[i];
        batch->inputs[0][i] = (bp_real)rows[i] / ROWS;
        batch->targets[0][i] = 2 * batch->inputs[0][i];
    }
}

static void told(void *expecting, const struct bp_spans *now, const struct bp_spans *next) {
    struct recorder *r = expecting;
    ck_assert_int_lt(r->tellings, TELLINGS);
    r->now[r->tellings] = *now;
    r->next[r->tellings] = *next;
    r->told_at[r->tellings++] = r->count;
}

static struct bp_trainer *open_trainer(const struct bp_network *net, int64_t window, const char *optimizer, struct recorder *train,
                                       struct recorder *validation) {
    struct bp_train_options options = test_options(optimizer, "", 2);
    struct bp_source sources[2] = {{.context = train, .rows = ROWS, .fill = record, .expecting = train, .expect = told},
                                   {.context = validation, .rows = VALIDATION, .fill = record, .expecting = validation, .expect = told}};
    struct bp_trainer *trainer = NULL;
    struct bp_error error = {0};
    options.batch_size = BATCH;
    options.window = window;
    memset(train, 0, sizeof *train);
    if (validation) memset(validation, 0, sizeof *validation);
    ck_assert_msg(bp_trainer_new(net, &options, &sources[0], validation ? &sources[1] : NULL, &trainer, &error) == 0, "%s", error.message);
    return trainer;
}

/* Chunks of whole mini-batches, at most 16 of at least 8192 samples a window, unless the window is smaller itself. */
START_TEST(sizes) {
    static const struct {
        int64_t window;
        int32_t batch;
        int64_t rows, expected_chunk, expected_window, expected_whole;
    } cases[] = {{0, 32, 5000, 5000, 5000, 1},
                 {100000, 32, 1000000, 8192, 98304, 122},
                 {1000000, 32, 10000000, 62528, 937920, 159},
                 {100, 32, 1000, 128, 128, 7},
                 {1000, 65536, 100000, 65536, 65536, 1},
                 {40000, 1000, 100000, CHUNK, WINDOW, 11},
                 {9000000, 100, 1000, 562500, 9000000, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct bp_train_options options = test_options("sgd", "", 1);
        struct bp_order order;
        options.window = cases[i].window;
        options.batch_size = cases[i].batch;
        bp_order_measure(&options, cases[i].rows, &order);
        ck_assert_int_eq(order.chunk, cases[i].expected_chunk);
        ck_assert_int_eq(order.window, cases[i].expected_window);
        ck_assert_int_eq(order.whole, cases[i].expected_whole);
    }
}
END_TEST

static bool within(const struct bp_spans *spans, int64_t sample) {
    for (int32_t s = 0; s < spans->count; s++)
        if (sample >= spans->span[s].first && sample < spans->span[s].first + spans->span[s].n) return true;
    return false;
}

START_TEST(every_sample_once_from_chunks_all_over) {
    static struct recorder r, v;
    static bool seen[ROWS];
    struct bp_network *net = test_network("dense units=1", "mse", (struct bp_shape){1, {1}});
    struct bp_trainer *trainer = open_trainer(net, 40000, "sgd", &r, &v);
    test_run(trainer);
    ck_assert_int_eq(r.count, 2 * ROWS);
    ck_assert_int_eq(r.tellings, 6); /* three windows an epoch: 36000, 36000, 28000 */
    for (int epoch = 0; epoch < 2; epoch++) {
        memset(seen, 0, sizeof seen);
        for (int64_t i = 0; i < ROWS; i++) {
            const int64_t sample = r.read[epoch * ROWS + i];
            const int32_t window = 3 * epoch + (int32_t)(i / WINDOW);
            ck_assert(!seen[sample]);
            seen[sample] = true;
            ck_assert_int_eq(r.told_at[window], epoch * ROWS + i / WINDOW * WINDOW);
            ck_assert(within(&r.now[window], sample));
            if (i / WINDOW < 2) ck_assert(!within(&r.next[window], sample));
        }
        for (int w = 0; w < 3; w++) {
            const struct bp_spans *now = &r.now[3 * epoch + w];
            int64_t far = 0;
            ck_assert_int_eq(now->count, 4);
            for (int s = 0; s < 4; s++) ck_assert_int_eq(now->span[s].n, w == 2 && s == 3 ? 1000 : CHUNK); /* the rest of the rows stays last */
            for (int64_t i = 1; i < 1000; i++)
                far += llabs(r.read[epoch * ROWS + w * WINDOW + i] - r.read[epoch * ROWS + w * WINDOW + i - 1]) > CHUNK;
            ck_assert_int_gt(far, 500); /* neighbours come from different chunks */
            if (w < 2) ck_assert_mem_eq(&r.next[3 * epoch + w], &r.now[3 * epoch + w + 1], sizeof *now);
            else ck_assert_int_eq(r.next[3 * epoch + w].count, 0);
        }
    }
    ck_assert_mem_ne(r.read, r.read + ROWS, ROWS * sizeof *r.read);
    ck_assert(memcmp(&r.now[0], &r.now[3], sizeof r.now[0]) != 0);
    ck_assert_int_eq(v.tellings, 6); /* validation as it lies, 10000 at a time */
    for (int w = 0; w < 3; w++) {
        ck_assert_int_eq(v.now[w].count, 1);
        ck_assert_int_eq(v.now[w].span[0].first, 10000 * w);
        ck_assert_int_eq(v.now[w].span[0].n, w < 2 ? 10000 : 5000);
        ck_assert_int_eq(v.next[w].count, w < 2);
    }
    bp_trainer_free(trainer);
    bp_network_free(net);
}
END_TEST

/* Without windows expect is not called. */
START_TEST(without_windows_expect_is_not_called) {
    static struct recorder r, v;
    struct bp_network *net = test_network("dense units=1", "mse", (struct bp_shape){1, {1}});
    struct bp_trainer *trainer = open_trainer(net, 0, "sgd", &r, &v);
    test_run(trainer);
    ck_assert_int_eq(r.tellings + v.tellings, 0);
    ck_assert_int_eq(r.count, 2 * ROWS);
    bp_trainer_free(trainer);
    bp_network_free(net);
}
END_TEST

/* Stopped within windows, at their edges, in validation; the order follows from the position. */
START_TEST(resumed_is_as_never_stopped) {
    static const char *const optimizers[] = {"adam", "rprop"};
    static const int stops[] = {1, 35, 36, 37, 72, 99, 100, 101, 113, 130, 160, 236};
    static struct recorder r, v;
    struct bp_network *net = test_network("dense units=3 activation=tanh; dropout rate=0.2; dense units=1", "mse", (struct bp_shape){1, {1}});
    const bool drops = _i == 0;
    if (!drops) {
        bp_network_free(net);
        net = test_network("dense units=3 activation=tanh; dense units=1", "mse", (struct bp_shape){1, {1}});
    }
    struct bp_trainer *unbroken = open_trainer(net, 40000, optimizers[_i], &r, &v);
    test_run(unbroken);
    for (size_t s = 0; s < sizeof stops / sizeof *stops; s++) {
        struct bp_trainer *first = open_trainer(net, 40000, optimizers[_i], &r, &v);
        for (int i = 0; i < stops[s]; i++) bp_trainer_step(first);
        struct bp_trainer_state state = test_copy_state(first);
        bp_trainer_free(first);
        struct bp_trainer *second = open_trainer(net, 40000, optimizers[_i], &r, &v);
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

/* The order takes the memory of a window, not of all rows. */
START_TEST(memory_of_the_order) {
    struct bp_train_options options = test_options("sgd", "", 1);
    ck_assert_uint_eq(bp_order_bytes(&options, 10000000), 80000000);
    options.window = 100000;
    ck_assert_uint_eq(bp_order_bytes(&options, 10000000), 8 * (98304 + 1220));
}
END_TEST

Suite *suite_windows(void);
Suite *suite_windows(void) {
    Suite *suite = suite_create("windows");
    TCase *tests = tcase_create("windows");
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, sizes);
    tcase_add_test(tests, every_sample_once_from_chunks_all_over);
    tcase_add_test(tests, without_windows_expect_is_not_called);
    tcase_add_loop_test(tests, resumed_is_as_never_stopped, 0, 2);
    tcase_add_test(tests, memory_of_the_order);
    suite_add_tcase(suite, tests);
    return suite;
}

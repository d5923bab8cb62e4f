/* test_augment.c - the layers that move images about: random_flip, random_rotation, random_translation. What is only in training, what each map may
 * give and how often, values outside the image, and that a training with them resumes to the same bits. (Values by fixed draws: golden.py.) */
#include "tests/engine/train_support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { H = 2, W = 3, CELLS = H * W, SAMPLES = 4000 };

/* Images of the numbers 1..6 after a training pass of that update: (n, 2, 3). Free it. */
static bp_real *augmented(const char *text, int32_t n, struct bp_draw draw) {
    struct bp_network *net = test_network(text, "mse", (struct bp_shape){3, {H, W, 1}});
    struct bp_workspace *ws = NULL;
    bp_real *held = bp_reals_new((size_t)n * CELLS), *targets = bp_reals_new((size_t)n * CELLS), none[1] = {0};
    struct bp_loss_call call = {.batch = n, .y = targets, .scale = 1};
    ck_assert_int_eq(bp_workspace_new(net, n, true, &ws, NULL), 0);
    for (int32_t i = 0; i < n * CELLS; i++) bp_workspace_input(ws, 0)[i] = (bp_real)(1 + i % CELLS);
    bp_loss_forward(net, none, ws, &draw, &call, false);
    memcpy(held, call.z, (size_t)n * CELLS * sizeof *held);
    const bp_real *same = bp_predict(net, none, ws, n);
    for (int32_t i = 0; i < n * CELLS; i++) ck_assert(same[i] == (bp_real)(1 + i % CELLS)); /* nothing in inference */
    bp_workspace_free(ws);
    bp_network_free(net);
    free(targets);
    return held;
}

/* How many of the images are `image`. */
static int count(const bp_real *images, const bp_real *image) {
    int found = 0;
    for (int i = 0; i < SAMPLES; i++) found += !memcmp(images + i * CELLS, image, CELLS * sizeof *image);
    return found;
}

START_TEST(flips) {
    static const bp_real plain[] = {1, 2, 3, 4, 5, 6}, sideways[] = {3, 2, 1, 6, 5, 4}, over[] = {4, 5, 6, 1, 2, 3}, turned[] = {6, 5, 4, 3, 2, 1};
    bp_real *images = augmented("random_flip", SAMPLES, (struct bp_draw){.seed = 5, .step = 2});
    ck_assert_int_eq(count(images, plain) + count(images, sideways), SAMPLES);
    ck_assert_int_lt(abs(count(images, plain) - SAMPLES / 2), 150); /* five deviations */
    free(images);
    images = augmented("random_flip mode=vertical", SAMPLES, (struct bp_draw){.seed = 5, .step = 2});
    ck_assert_int_eq(count(images, plain) + count(images, over), SAMPLES);
    ck_assert_int_lt(abs(count(images, plain) - SAMPLES / 2), 150);
    free(images);
    images = augmented("random_flip mode=both", SAMPLES, (struct bp_draw){.seed = 5, .step = 2});
    ck_assert_int_eq(count(images, plain) + count(images, sideways) + count(images, over) + count(images, turned), SAMPLES);
    ck_assert_int_lt(abs(count(images, plain) - SAMPLES / 4), 140);
    ck_assert_int_lt(abs(count(images, over) - SAMPLES / 4), 140);
    ck_assert_int_lt(abs(count(images, turned) - SAMPLES / 4), 140);
    free(images);
}
END_TEST

/* Down by -2..2 rows whatever the width: the ends half as often as the rest, for each draw is rounded. */
static void check_rows(const char *fill, const bp_real expected[5][CELLS]) {
    char text[160];
    snprintf(text, sizeof text, "random_translation height_factor=1 width_factor=0 interpolation=nearest fill_value=9 fill=%s", fill);
    bp_real *images = augmented(text, SAMPLES, (struct bp_draw){.seed = 5, .step = 2});
    int all = 0;
    for (int k = 0; k < 5; k++) {
        bool again = false; /* the same image by another shift */
        for (int j = 0; j < k; j++) again = again || !memcmp(expected[j], expected[k], sizeof *expected);
        const int found = count(images, expected[k]);
        if (!again) all += found;
        ck_assert_msg(found > SAMPLES / 10, "%s, down by %d: %d", fill, k - 2, found);
    }
    ck_assert_int_eq(all, SAMPLES);
    free(images);
}

START_TEST(translations_by_whole_cells) {
    static const bp_real constant[5][CELLS] = {{9, 9, 9, 9, 9, 9}, {4, 5, 6, 9, 9, 9}, {1, 2, 3, 4, 5, 6}, {9, 9, 9, 1, 2, 3}, {9, 9, 9, 9, 9, 9}};
    static const bp_real nearest[5][CELLS] = {{4, 5, 6, 4, 5, 6}, {4, 5, 6, 4, 5, 6}, {1, 2, 3, 4, 5, 6}, {1, 2, 3, 1, 2, 3}, {1, 2, 3, 1, 2, 3}};
    static const bp_real reflect[5][CELLS] = {{4, 5, 6, 1, 2, 3}, {4, 5, 6, 4, 5, 6}, {1, 2, 3, 4, 5, 6}, {1, 2, 3, 1, 2, 3}, {4, 5, 6, 1, 2, 3}};
    static const bp_real wrap[5][CELLS] = {{1, 2, 3, 4, 5, 6}, {4, 5, 6, 1, 2, 3}, {1, 2, 3, 4, 5, 6}, {4, 5, 6, 1, 2, 3}, {1, 2, 3, 4, 5, 6}};
    check_rows("constant", constant);
    check_rows("nearest", nearest);
    check_rows("reflect", reflect);
    check_rows("wrap", wrap);
}
END_TEST

/* Along a row that rises by 1 a cell, wrapped around: by a shift of s the middle of three cells becomes 2 - s while |s| <= 1. */
START_TEST(translations_by_parts_of_a_cell) {
    bp_real *images = augmented("random_translation height_factor=0 width_factor=0.33333 fill=nearest", SAMPLES, (struct bp_draw){.seed = 5});
    double sum = 0, least = 9, most = 0;
    for (int i = 0; i < SAMPLES; i++) {
        const double middle = (double)images[i * CELLS + 1];
        ck_assert_double_eq_tol((double)images[i * CELLS + 4], middle + 3, 1e-5); /* both rows by the same shift */
        least = fmin(least, middle);
        most = fmax(most, middle);
        sum += middle;
    }
    ck_assert_double_eq_tol(least, 1, 0.01);
    ck_assert_double_eq_tol(most, 3, 0.01);
    ck_assert_double_eq_tol(sum / SAMPLES, 2, 0.05);
    free(images);
}
END_TEST

/* The sum of a constant image stays what it is under every angle, its middle too; factor 0 leaves each bit. */
START_TEST(rotations) {
    static const bp_real plain[] = {1, 2, 3, 4, 5, 6};
    bp_real *images = augmented("random_rotation factor=0", SAMPLES, (struct bp_draw){.seed = 5});
    ck_assert_int_eq(count(images, plain), SAMPLES);
    free(images);
    images = augmented("random_rotation factor=0.5 fill=constant", SAMPLES, (struct bp_draw){.seed = 5});
    double sums[2] = {0, 0};
    for (int i = 0; i < SAMPLES; i++) {
        const bp_real *a = images + i * CELLS; /* the two cells above and below the middle (3.5) lie opposite each other */
        ck_assert_double_eq_tol((double)(a[1] + a[4]), 7, 1e-4);
        sums[0] += (double)a[1];
        sums[1] += (double)a[4];
    }
    ck_assert_double_eq_tol(sums[0] / SAMPLES, 3.5, 0.1);
    ck_assert_double_eq_tol(sums[1] / SAMPLES, 3.5, 0.1);
    free(images);
}
END_TEST

/* A sample's draw follows from the update and its place in the mini-batch, wherever a shard begins; two layers draw for themselves. */
START_TEST(draws_by_place) {
    static const char *const texts[] = {"random_flip mode=both", "random_rotation factor=0.5", "random_translation height_factor=1 width_factor=1"};
    for (int k = 0; k < 3; k++) {
        bp_real *whole = augmented(texts[k], 64, (struct bp_draw){.seed = 3, .step = 4});
        bp_real *shard = augmented(texts[k], 20, (struct bp_draw){.seed = 3, .step = 4, .first = 44});
        bp_real *later = augmented(texts[k], 64, (struct bp_draw){.seed = 3, .step = 5});
        bp_real *other = augmented(texts[k], 64, (struct bp_draw){.seed = 4, .step = 4});
        ck_assert_mem_eq(whole + 44 * CELLS, shard, 20 * CELLS * sizeof *whole);
        ck_assert_mem_ne(whole, later, 64 * CELLS * sizeof *whole);
        ck_assert_mem_ne(whole, other, 64 * CELLS * sizeof *whole);
        free(whole);
        free(shard);
        free(later);
        free(other);
    }
    bp_real *twice = augmented("random_flip; random_flip", SAMPLES, (struct bp_draw){.seed = 3});
    const bp_real plain[] = {1, 2, 3, 4, 5, 6};
    ck_assert_int_lt(abs(count(twice, plain) - SAMPLES / 2), 150); /* the same coins would always undo each other */
    free(twice);
}
END_TEST

/* Cells without weight are not read: what is not a number stays one cell under a map by whole cells. */
START_TEST(nan_does_not_spread) {
    struct bp_network *net =
        test_network("random_flip mode=both; random_translation height_factor=0.5 width_factor=0.5 interpolation=nearest fill=wrap", "mse",
                     (struct bp_shape){3, {H, W, 1}});
    struct bp_workspace *ws = NULL;
    bp_real targets[CELLS] = {0}, none[1] = {0};
    struct bp_loss_call call = {.batch = 1, .y = targets, .scale = 1};
    ck_assert_int_eq(bp_workspace_new(net, 1, true, &ws, NULL), 0);
    for (uint64_t step = 0; step < 20; step++) {
        int spoilt = 0;
        for (int i = 0; i < CELLS; i++) bp_workspace_input(ws, 0)[i] = i == 2 ? (bp_real)NAN : 1;
        bp_loss_forward(net, none, ws, &(struct bp_draw){.seed = 1, .step = step}, &call, false);
        for (int i = 0; i < CELLS; i++) spoilt += isnan(call.z[i]);
        ck_assert_int_eq(spoilt, 1);
    }
    bp_workspace_free(ws);
    bp_network_free(net);
}
END_TEST

/* Trained with all of them, on one to three threads, stopped anywhere: as never stopped, and validated on images as they are. */
START_TEST(resumed_is_as_never_stopped) {
    static struct test_data train, validation;
    test_spiral(&train, 90, 0);
    test_spiral(&validation, 70, 1);
    struct bp_network *net =
        test_network("dense units=12 activation=tanh; reshape target_shape=2,3,2; random_flip mode=both; random_rotation factor=0.1;"
                     "random_translation height_factor=0.5 width_factor=0.2; flatten; dense units=3",
                     "cross_entropy", (struct bp_shape){1, {2}});
    struct bp_train_options options = test_options("adam", "learning_rate=0.01", 3);
    options.threads = 1 + _i;
    options.tasks[0].classes = 3;
    struct bp_trainer *unbroken = test_trainer(net, &options, &train, &validation), *blind = test_trainer(net, &options, &train, NULL);
    int steps = 0;
    while (bp_trainer_step(unbroken) != BP_TRAIN_DONE) steps++;
    test_run(blind); /* validation draws nothing */
    ck_assert_mem_eq(bp_trainer_result(unbroken), bp_trainer_result(blind), net->weights_count * sizeof(bp_real));
    for (int stop = 1; stop < steps; stop += 2) {
        struct bp_trainer *first = test_trainer(net, &options, &train, &validation), *second = test_trainer(net, &options, &train, &validation);
        for (int i = 0; i < stop; i++) bp_trainer_step(first);
        struct bp_trainer_state state = test_copy_state(first);
        ck_assert_int_eq(bp_trainer_restore(second, &state, NULL), 0);
        test_free_state(&state);
        ck_assert_int_eq(test_run(second), BP_TRAIN_DONE);
        test_compare_ends(unbroken, second);
        bp_trainer_free(first);
        bp_trainer_free(second);
    }
    bp_trainer_free(unbroken);
    bp_trainer_free(blind);
    bp_network_free(net);
}
END_TEST

Suite *suite_augment(void);
Suite *suite_augment(void) {
    Suite *suite = suite_create("augment");
    TCase *tests = tcase_create("augment");
    tcase_add_test(tests, flips);
    tcase_add_test(tests, translations_by_whole_cells);
    tcase_add_test(tests, translations_by_parts_of_a_cell);
    tcase_add_test(tests, rotations);
    tcase_add_test(tests, draws_by_place);
    tcase_add_test(tests, nan_does_not_spread);
    tcase_add_loop_test(tests, resumed_is_as_never_stopped, 0, 3);
    suite_add_tcase(suite, tests);
    return suite;
}

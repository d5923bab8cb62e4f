/* test_schedules.c - engine/schedules/: what only one of them does, and what all must do. (Their values step by step: test_golden.c, from PyTorch.)
 */
#include "tests/engine/support.h"

#include "engine/schedules/schedule.h"

#include <math.h>
#include <string.h>

static const struct bp_schedule_ops *find(const char *name, const char *values_text, struct bp_value *values) {
    const struct bp_schedule_ops *schedule = (const struct bp_schedule_ops *)bp_family_find(&bp_schedules, name);
    char text[128];
    ck_assert_ptr_nonnull(schedule);
    memcpy(text, values_text, strlen(values_text) + 1);
    bp_values_preset(&schedule->entry, values);
    test_values(&schedule->entry, values, text);
    return schedule;
}

static const double nothing_seen[BP_SCHEDULE_STATE];

/* The factor at a step of a training of 10 epochs of 4 steps. */
static double at(const struct bp_schedule_ops *schedule, const struct bp_value *values, int64_t step, const double *state) {
    const struct bp_schedule_at moment = {.step = step, .steps_per_epoch = 4, .epochs = 10, .epoch = (double)step / 4, .state = state};
    return bp_schedule_factor(schedule, values, &moment);
}

/* What it begins with. */
static double first_of(const char *name) {
    return !strcmp(name, "one_cycle") ? 0.04 : !strcmp(name, "coslog4") ? 0 : 1;
}

/* Each begins with the learning rate itself, but for one_cycle and coslog4; is never negative, never above 1, and continues after the training's end.
 */
START_TEST(every_schedule) {
    for (int32_t i = 0; i < bp_schedules.count; i++) {
        struct bp_value values[BP_VALUES_MAX];
        const char *name = bp_schedules.entries[i]->name;
        const struct bp_schedule_ops *schedule = find(name, "", values);
        ck_assert_double_eq_tol(at(schedule, values, 0, nothing_seen), first_of(name), 1e-12);
        for (int64_t step = 0; step < 50; step++) {
            const double factor = at(schedule, values, step, nothing_seen);
            ck_assert_msg(factor >= 0 && factor <= 1, "%s, step %d: %g", name, (int)step, factor);
        }
    }
}
END_TEST

/* 1.5 epochs of 4 steps: 6 steps up to the schedule's first value, which the step after has too. */
START_TEST(every_schedule_warms_up) {
    for (int32_t i = 0; i < bp_schedules.count; i++) {
        struct bp_value values[BP_VALUES_MAX];
        const struct bp_schedule_ops *schedule = find(bp_schedules.entries[i]->name, "warmup_epochs=1.5", values);
        const double first = at(schedule, values, 6, nothing_seen);
        ck_assert_double_eq_tol(first, first_of(bp_schedules.entries[i]->name), 1e-12);
        for (int64_t step = 0; step < 6; step++)
            ck_assert_double_eq_tol(at(schedule, values, step, nothing_seen), first * (double)(step + 1) / 6, 1e-12);
    }
}
END_TEST

/* What is left after the warm-up is the schedule's whole: a cosine reaches its foot at the end of the training all the same. */
START_TEST(a_warm_up_shortens_the_rest) {
    struct bp_value values[BP_VALUES_MAX];
    const struct bp_schedule_ops *cosine = find("cosine", "warmup_epochs=2 minimum=0.1", values);
    ck_assert_double_eq_tol(at(cosine, values, 8, nothing_seen), 1, 1e-12);
    ck_assert_double_eq_tol(at(cosine, values, 24, nothing_seen), 0.55, 1e-12);
    ck_assert_double_eq_tol(at(cosine, values, 40, nothing_seen), 0.1, 1e-12);
    const struct bp_schedule_ops *all = find("one_cycle", "warmup_epochs=50", values); /* longer than the training */
    for (int64_t step = 0; step < 40; step++) ck_assert(at(all, values, step, nothing_seen) <= 1);
}
END_TEST

START_TEST(a_plateau_of_a_score) {
    struct bp_value values[BP_VALUES_MAX];
    const struct bp_schedule_ops *plateau = find("reduce_on_plateau", "factor=0.5 patience=1 threshold=0.1", values);
    double state[BP_SCHEDULE_STATE] = {0};
    static const struct {
        double score, factor;
    } epochs[] = {{0.5, 1}, {0.54, 1}, {0.56, 1}, {0.6, 1}, {0.6, 0.5}, {0.7, 0.5}, {NAN, 0.5}, {NAN, 0.25}, {0.8, 0.25}};
    for (size_t i = 0; i < sizeof epochs / sizeof *epochs; i++) {
        plateau->observe(values, state, epochs[i].score, true);
        ck_assert_double_eq_tol(at(plateau, values, 4, state), epochs[i].factor, 1e-12);
    }
    memset(state, 0, sizeof state); /* a first value that is not a number is no best one */
    plateau->observe(values, state, (double)NAN, true);
    plateau->observe(values, state, -5, true);
    plateau->observe(values, state, -5, true);
    ck_assert_double_eq(at(plateau, values, 4, state), 1);
}
END_TEST

Suite *suite_schedules(void);
Suite *suite_schedules(void) {
    Suite *suite = suite_create("schedules");
    TCase *tests = tcase_create("schedules");
    tcase_add_test(tests, every_schedule);
    tcase_add_test(tests, every_schedule_warms_up);
    tcase_add_test(tests, a_warm_up_shortens_the_rest);
    tcase_add_test(tests, a_plateau_of_a_score);
    suite_add_tcase(suite, tests);
    return suite;
}

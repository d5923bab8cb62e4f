/* test_space.c - the disk is full: what is new is refused, but a job can end, pause and be cancelled, and things can be deleted, in the space of the
 * reserve, which is taken again once the disk has space. */
#include "tests/faults/disk.h"
#include "tests/faults/faults.h"
#include "tests/faults/life.h"
#include "tests/server/store/helper.h"

#include "server/store/sqlite/sqlite.h"

enum { RESERVE = 4 << 20 };

/* A life up to, and with, this step. */
static struct world live_until(struct life *life, int last) {
    struct world known = {0};
    store_new_id("job", life->job);
    for (int step = 0; step <= last; step++) {
        OK(life_step(life, step, &error));
        known = life_after(step, known);
    }
    return known;
}

/* Fills the log with what no job needs, until the disk has no space: not even for a page. */
static void fill_up(const char *job) {
    struct bp_error e = {0};
    bool created;
    int models = 0;
    disk_space(1 << 20);
    for (int size = 20000; size > 20; size /= 30) { /* until not even a small one fits */
        char text[20020], name[32];
        memset(text, ' ', sizeof text);
        snprintf(text + size, 20, "{\"layers\":[]}");
        do snprintf(name, sizeof name, "filler-%d", models++);
        while (store_model_put(store, name, text, &created, NULL, &e) == STORE_OK && models < 5000);
    }
    for (int i = 0; i < 5000 && store_job_set_priority(store, job, i % 50, &e) == STORE_OK; i++) continue;
    ck_assert_int_lt(models, 5000);
    ck_assert_ptr_nonnull(strstr(e.message, "free space on its disk"));
    disk_space(0);
}

START_TEST(a_job_ends_on_a_full_disk) {
    struct life life = {.store = store};
    struct world known = live_until(&life, 7), world;
    char text[600] = "";
    ck_assert_int_eq(file_size("reserve"), RESERVE);
    fill_up(life.job);
    struct bp_error e = {0};
    ck_assert_int_eq(life_step(&life, 6, &e), STORE_FAILED); /* a report is not vital: the process sends it again */
    OK(life_step(&life, 9, &error));
    ck_assert_int_eq(file_size("reserve"), -1);
    known = life_after(9, known);
    ck_assert_msg(life_look(store, life.job, &world, text) == 0 && life_is_between(&world, &known, &known, text), "%s", text);
    for (int step = 11; step < LIFE_STEPS; step++) {
        OK(life_step(&life, step, &error));
        known = life_after(step, known);
    }
    OK(store_dataset_delete(store, "d", 0, &error));
    ck_assert_int_eq(store_dataset_delete(store, "d", 0, &e), STORE_NOT_FOUND);
    ck_assert_msg(life_look(store, life.job, &world, text) == 0, "%s", text);
    ck_assert_int_eq(world.rows[1] + world.rows[2] + world.model + world.version + world.job + world.events, 0);
}
END_TEST

START_TEST(the_reserve_is_taken_again) {
    struct life life = {.store = store};
    live_until(&life, 7);
    fill_up(life.job);
    OK(life_step(&life, 9, &error));
    ck_assert_int_eq(file_size("reserve"), -1);
    disk_space(64 << 20);
    atomic_store(&store->reserve_given_at, 1); /* long ago */
    OK(life_step(&life, 1, &error));
    EVENTUALLY(file_size("reserve") == RESERVE);
}
END_TEST

START_TEST(a_full_disk_at_the_start) {
    teardown();
    folder_make();
    disk_space(3 << 20);
    OK(store_open(folder, &options, &store, &error));
    ck_assert_int_eq(file_size("reserve"), -1);
    struct life life = {.store = store};
    live_until(&life, LIFE_STEPS - 1);
}
END_TEST

START_TEST(actions_on_a_full_disk) {
    struct life life = {.store = store};
    enum store_status status;
    live_until(&life, 3);
    fill_up(life.job);
    OK(store_job_pause(store, life.job, &status, &error));
    OK(store_job_give_back(store, life.job, life.attempt, false, NULL, &error));
    IS(life.job, "paused");
    OK(store_job_cancel(store, life.job, &status, &error));
    IS(life.job, "cancelled");
}
END_TEST

Suite *suite_space(void) {
    Suite *suite = suite_create("faults/space");
    TCase *tests = store_case(suite, "space");
    tcase_add_test(tests, a_job_ends_on_a_full_disk);
    tcase_add_test(tests, the_reserve_is_taken_again);
    tcase_add_test(tests, a_full_disk_at_the_start);
    tcase_add_test(tests, actions_on_a_full_disk);
    return suite;
}

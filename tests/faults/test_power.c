/* test_power.c - at every change of the disk the power is cut: a folder is made from what would be on the disk, and opened. It holds everything that
 * was acknowledged until then, and nothing by half. */
#include "tests/faults/disk.h"
#include "tests/faults/faults.h"
#include "tests/faults/life.h"
#include "tests/server/store/helper.h"

#include <ftw.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CUTS_MAX = 20000 };

/* A moment of a life at which the power was cut. */
struct cut {
    int number, step;
    struct world known, after; /* acknowledged; and with the step that was going on */
};

static struct {
    pthread_mutex_t lock;
    char place[200]; /* where the folders of the cuts are */
    unsigned seed, every, changes;
    struct cut cuts[CUTS_MAX];
    int count, step;
    struct world known, after;
} film = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void folder_of(const struct cut *cut, char path[sizeof folder]) {
    snprintf(path, sizeof folder, "%s/%d", film.place, cut->number);
}

static void take(void *context) {
    (void)context;
    char path[sizeof folder];
    pthread_mutex_lock(&film.lock);
    if (film.changes++ % film.every == film.seed % film.every && film.count < CUTS_MAX) {
        struct cut *cut = &film.cuts[film.count];
        *cut = (struct cut){film.count++, film.step, film.known, film.after};
        folder_of(cut, path);
        disk_cut(path, film.seed * 100003u + film.changes);
    }
    pthread_mutex_unlock(&film.lock);
}

static int entry_remove(const char *path, const struct stat *status, int type, struct FTW *place) {
    (void)status, (void)type, (void)place;
    return remove(path);
}

/* A job that ran is queued again after a restart. */
static struct world restarted(struct world w) {
    if (w.job == STORE_RUNNING + 1) w.job = STORE_QUEUED + 1;
    return w;
}

static void check(const struct cut *cut, const char *job) {
    char path[sizeof folder], text[600] = "", when[200];
    struct world found;
    struct store *opened = NULL;
    struct bp_error e = {0};
    folder_of(cut, path);
    snprintf(when, sizeof when, "seed %u, cut %d (%s)", film.seed, cut->number, cut->step < 0 ? "open the folder" : life_step_name(cut->step));
    ck_assert_msg(store_open(path, &options, &opened, &e) == STORE_OK, "%s: the folder cannot be opened: %s", when, e.message);
    ck_assert_msg(store_recover(opened, &e) == STORE_OK, "%s: %s", when, e.message);
    ck_assert_msg(life_look(opened, job, &found, text) == 0, "%s: %s", when, text);
    const struct world known = restarted(cut->known), after = restarted(cut->after);
    ck_assert_msg(life_is_between(&found, &known, &after, text), "%s: %s", when, text);
    store_close(opened);
    memcpy(folder, path, sizeof folder); /* for number() */
    ck_assert_int_eq(number("SELECT count(*) FROM pragma_integrity_check WHERE integrity_check = 'ok'"), 1);
    ck_assert_int_eq(number("SELECT count(*) FROM pragma_foreign_key_check"), 0);
    nftw(path, entry_remove, 8, FTW_DEPTH | FTW_PHYS);
}

START_TEST(the_power_is_cut) {
    struct life life = {0};
    folder_make();
    char whole[sizeof folder];
    memcpy(whole, folder, sizeof folder);
    ck_assert_int_lt(snprintf(film.place, sizeof film.place, "%s.cuts", folder), (int)sizeof film.place);
    ck_assert_int_eq(mkdir(film.place, 0700), 0);
    film.seed = (unsigned)_i, film.every = faults_all() ? 1 : 3, film.step = -1;
    store_new_id("job", life.job);
    disk_record(folder, take, NULL);
    OK(store_open(folder, &options, &life.store, &error));
    for (int step = 0; step < LIFE_STEPS; step++) {
        pthread_mutex_lock(&film.lock);
        film.step = step, film.after = life_after(step, film.known);
        pthread_mutex_unlock(&film.lock);
        OK(life_step(&life, step, &error));
        pthread_mutex_lock(&film.lock);
        film.known = film.after;
        pthread_mutex_unlock(&film.lock);
    }
    store_close(life.store);
    disk_stop();
    ck_assert_int_gt(film.count, 50);
    for (int i = 0; i < film.count; i++) check(&film.cuts[i], life.job);
    printf("seed %u: %d cuts\n", film.seed, film.count);
    memcpy(folder, whole, sizeof folder);
    folder_remove();
    rmdir(film.place);
}
END_TEST

Suite *suite_power(void) {
    Suite *suite = suite_create("faults/power");
    TCase *tests = tcase_create("power");
    tcase_set_timeout(tests, faults_all() ? 3600 : 240); /* against a hang only */
    tcase_add_loop_test(tests, the_power_is_cut, 0, faults_all() ? 100 : 3);
    suite_add_tcase(suite, tests);
    return suite;
}

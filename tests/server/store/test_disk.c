/* test_disk.c - what may happen to a server and its disk: kill -9, a full disk, failing writes and fsyncs, no memory for SQLite; the WAL's bound;
 * disk space given back. */
#include "tests/server/store/helper.h"

#include "server/store/sqlite/sqlite.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- kill -9 ---- */

static int acknowledgements;

static void *file_jobs(void *unused) {
    (void)unused;
    for (;;) {
        struct bp_error e = {0};
        struct store_job job = {.model = "m", .dataset = "d", .dataset_version = 1, .attempts_max = 5};
        struct store_job_new request = {.job = &job};
        store_new_id("job", job.id);
        if (store_job_create(store, &request, &e) != STORE_OK || write(acknowledgements, job.id, STORE_ID_SIZE) != STORE_ID_SIZE) _exit(3);
    }
    return NULL;
}

/* A server that stores jobs from four threads and prints each acknowledged id, until it is killed. */
static void doomed_server(void) {
    pthread_t threads[4];
    if (store_open(folder, &(struct store_options){.queue_max = 1000000}, &store, &error) != STORE_OK) _exit(2);
    for (int i = 0; i < 4; i++) pthread_create(&threads[i], NULL, file_jobs, NULL);
    pthread_join(threads[0], NULL);
    _exit(4);
}

START_TEST(acknowledged_jobs_survive_kill_9) {
    static char ids[20000][STORE_ID_SIZE];
    size_t count = 0;
    int status;
    dataset_put("d");
    model_put("m");
    store_close(store);
    store = NULL;
    srand((unsigned)store_now());
    for (int round = 0; round < 6; round++) {
        int ends[2];
        ck_assert_int_eq(pipe(ends), 0);
        pid_t child = fork();
        if (child == 0) {
            close(ends[0]);
            acknowledgements = ends[1];
            doomed_server();
        }
        close(ends[1]);
        size_t until = count + 1 + (size_t)(rand() % 400);
        while (count < until && read(ends[0], ids[count], STORE_ID_SIZE) == STORE_ID_SIZE) count++;
        ck_assert_uint_eq(count, until);
        kill(child, SIGKILL);
        waitpid(child, &status, 0);
        ck_assert(WIFSIGNALED(status));
        while (count < 20000 && read(ends[0], ids[count], STORE_ID_SIZE) == STORE_ID_SIZE) count++;
        close(ends[0]);
        OK(store_open(folder, &options, &store, &error));
        for (size_t i = 0; i < count; i++) {
            struct store_job job;
            OK(store_job_get(store, ids[i], &job, &error));
            ck_assert_int_eq(job.status, STORE_QUEUED);
            store_job_free(&job);
        }
        ck_assert_int_ge(number("SELECT count(*) FROM jobs"), (int64_t)count);
        ck_assert_int_eq(number("SELECT count(*) FROM pragma_integrity_check WHERE integrity_check = 'ok'"), 1);
        ck_assert_int_eq(number("SELECT count(*) FROM jobs WHERE id NOT IN (SELECT job FROM events WHERE type = 'status')"), 0);
        store_close(store);
        store = NULL;
    }
}
END_TEST

/* ---- disks ---- */

static enum store_result bound_pages(struct writer *writer, void *sql, struct bp_error *e) {
    int64_t most;
    return db_integer(writer_connection(writer), sql, NONE, &most, e);
}

static void *megabytes(size_t count) {
    char *bytes = malloc(count << 20);
    ck_assert_ptr_nonnull(bytes);
    memset(bytes, 'b', count << 20);
    return bytes;
}

START_TEST(a_full_disk_fails_only_what_is_too_large) {
    char id[STORE_ID_SIZE];
    struct store_ending ending = success;
    void *bytes = megabytes(4);
    job_new(id, 5);
    job_claim(id);
    OK(writer_run(store, "fill the disk", bound_pages, TEXT("PRAGMA max_page_count = 200"), &error));
    ending.blob = bytes;
    ending.blob_size = 4 << 20;
    for (int again = 0; again < 2; again++) {
        GIVES(STORE_FAILED, store_job_end(store, id, 1, &ending, NULL, &error));
        SAYS("cannot record the end of the job");
        SAYS("full");
        SAYS("free space");
        IS(id, "running");
    }
    OK(store_ping(store, &error)); /* a valid value passes */
    ck_assert_str_eq(events_of(id), "status:queued status:running");
    OK(writer_run(store, "free the disk", bound_pages, TEXT("PRAGMA max_page_count = 1000000"), &error));
    OK(store_job_end(store, id, 1, &ending, NULL, &error));
    IS(id, "succeeded");
    free(bytes);
}
END_TEST

/* A bound on the size of this process's files makes write(2) fail with EFBIG, in the WAL. */
START_TEST(failing_writes_are_reported_and_survived) {
    char id[STORE_ID_SIZE], next[STORE_ID_SIZE];
    struct store_ending ending = success;
    struct rlimit before, limit;
    void *bytes = megabytes(4);
    job_new(id, 5);
    job_claim(id);
    ending.blob = bytes;
    ending.blob_size = 4 << 20;
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before);
    limit = before;
    limit.rlim_cur = 1 << 20;
    setrlimit(RLIMIT_FSIZE, &limit);
    GIVES(STORE_FAILED, store_job_end(store, id, 1, &ending, NULL, &error));
    SAYS("cannot record the end of the job");
    SAYS("disk");
    IS(id, "running");
    setrlimit(RLIMIT_FSIZE, &before);
    job_new(next, 5);
    OK(store_job_end(store, id, 1, &ending, NULL, &error));
    reopen();
    IS(id, "succeeded");
    IS(next, "queued");
    ck_assert_int_eq(number("SELECT count(*) FROM pragma_integrity_check WHERE integrity_check = 'ok'"), 1);
    free(bytes);
}
END_TEST

static atomic_bool reading;

static void *read_always(void *unused) {
    (void)unused;
    while (atomic_load(&reading)) {
        struct bp_error e = {0};
        struct store_events list;
        if (store_event_list(store, NULL, NULL, 0, 20, &list, &e) != STORE_OK) return TEXT("failed");
        store_events_free(&list);
    }
    return NULL;
}

START_TEST(the_wal_is_bounded_with_readers_around) {
    enum { READERS = 3, MESSAGE = 100000, REPORTS = 700 }; /* 70 MB */
    pthread_t threads[READERS];
    char id[STORE_ID_SIZE];
    int64_t longest = 0;
    char *message = calloc(1, MESSAGE + 1);
    memset(message, 'm', MESSAGE);
    job_new(id, 5);
    job_claim(id);
    atomic_store(&reading, true);
    for (int i = 0; i < READERS; i++) pthread_create(&threads[i], NULL, read_always, NULL);
    for (int i = 0; i < REPORTS; i++) {
        struct store_event event = {.type = "log", .message = message};
        OK(store_job_report(store, id, 1, &(struct store_report){.resumed_from_epoch = -1, .events = &event, .events_count = 1}, &error));
        int64_t size = file_size("backpropd.db-wal");
        longest = size > longest ? size : longest;
    }
    atomic_store(&reading, false);
    for (int i = 0; i < READERS; i++) {
        void *failed;
        pthread_join(threads[i], &failed);
        ck_assert_ptr_null(failed);
    }
    free(message);
    ck_assert_int_lt(longest, 24 << 20);
}
END_TEST

static void megabytes_report(const char *id, int count) {
    char *message = megabytes(1);
    message[(1 << 20) - 1] = '\0';
    for (int i = 0; i < count; i++) {
        struct store_event event = {.type = "log", .message = message};
        OK(store_job_report(store, id, 1, &(struct store_report){.resumed_from_epoch = -1, .events = &event, .events_count = 1}, &error));
    }
    free(message);
}

START_TEST(a_long_reader_delays_the_checkpoint_only) {
    char id[STORE_ID_SIZE];
    job_new(id, 5);
    job_claim(id);
    struct connection *c = reader_take(store, "read for long", &error);
    sqlite3_stmt *s = db_start(c, "SELECT id FROM events", NONE);
    ck_assert_int_eq(sqlite3_step(s), SQLITE_ROW); /* its snapshot stays */
    megabytes_report(id, 22);
    ck_assert_int_gt(file_size("backpropd.db-wal"), 20 << 20);
    IS(id, "running"); /* others read */
    db_end(s);
    reader_give(store, c);
    megabytes_report(id, 40);
    ck_assert_int_lt(file_size("backpropd.db-wal"), 32 << 20);
}
END_TEST

/* A command that commits beside the writer holds this lock: SQLite's checkpoints and other connections' commits do not mix. */
START_TEST(a_command_delays_the_checkpoint_only) {
    char id[STORE_ID_SIZE], path[300];
    struct flock lock = CHECKPOINT_LOCK;
    snprintf(path, sizeof path, "%s/lock", folder);
    const int fd = open(path, O_RDWR | O_CLOEXEC);
    job_new(id, 5);
    job_claim(id);
    ck_assert_int_eq(fcntl(fd, F_OFD_SETLK, &lock), 0);
    megabytes_report(id, 40);
    ck_assert_int_gt(file_size("backpropd.db-wal"), 40 << 20);
    lock.l_type = F_UNLCK;
    ck_assert_int_eq(fcntl(fd, F_OFD_SETLK, &lock), 0);
    megabytes_report(id, 40);
    ck_assert_int_lt(file_size("backpropd.db-wal"), 32 << 20);
    close(fd);
}
END_TEST

START_TEST(deleting_gives_the_disk_back) {
    char id[STORE_ID_SIZE];
    struct store_ending ending = success;
    void *bytes = megabytes(20);
    ending.blob = bytes;
    ending.blob_size = 20 << 20;
    job_new(id, 5);
    job_claim(id);
    OK(store_job_end(store, id, 1, &ending, NULL, &error));
    OK(store_model_delete(store, "m", &error));
    EVENTUALLY(file_size("backpropd.db") < 1 << 20);
    EVENTUALLY(file_size("backpropd.db-wal") <= 16 << 20 || store_ping(store, &error) != STORE_OK);
    free(bytes);
}
END_TEST

/* ---- fsync ---- */

/* These override libc's, for SQLite too. `fsync_passes` calls pass, then one fails, or all from there on. */
static atomic_int fsync_passes = -1; /* -1: all pass */
static atomic_bool fsync_directories, fsync_for_ever;

static bool fsync_fails(int fd) {
    struct stat status;
    if (atomic_load(&fsync_passes) < 0 || fstat(fd, &status) != 0 || S_ISDIR(status.st_mode) != atomic_load(&fsync_directories)) return false;
    if (atomic_load(&fsync_passes) > 0) {
        atomic_fetch_sub(&fsync_passes, 1);
        return false;
    }
    if (!atomic_load(&fsync_for_ever)) atomic_store(&fsync_passes, -1);
    errno = EIO;
    return true;
}

__attribute__((visibility("default"))) int fsync(int fd) {
    return fsync_fails(fd) ? -1 : (int)syscall(SYS_fsync, fd);
}

__attribute__((visibility("default"))) int fdatasync(int fd) {
    return fsync_fails(fd) ? -1 : (int)syscall(SYS_fdatasync, fd);
}

START_TEST(files_are_on_disk_before_their_rows) {
    char id[STORE_ID_SIZE];
    struct store_dataset dataset = {.name = "new", .file = "new.bpc"};
    struct store_job job = {.model = "m", .dataset = "new", .attempts_max = 5};
    struct store_job_new request = {.job = &job, .new_dataset = &dataset};
    struct store_checkpoint checkpoint = {.attempt = 1, .file = "new.st"};
    job_new(id, 5);
    job_claim(checkpoint.job);
    store_new_id("job", job.id);
    file_make("datasets", "new.bpc");
    file_make("checkpoints", "new.st");
    atomic_store(&fsync_directories, true);
    atomic_store(&fsync_for_ever, true);
    atomic_store(&fsync_passes, 0);
    GIVES(STORE_FAILED, store_dataset_create(store, &dataset, false, NULL, &error));
    SAYS("disk");
    GIVES(STORE_FAILED, store_job_create(store, &request, &error));
    GIVES(STORE_FAILED, store_checkpoint_add(store, &checkpoint, &error));
    ck_assert_int_eq(number("SELECT (SELECT count(*) FROM datasets) * 100 + (SELECT count(*) FROM jobs) * 10 + (SELECT count(*) FROM checkpoints)"),
                     110);
    atomic_store(&fsync_passes, -1);
    OK(store_job_create(store, &request, &error));
    OK(store_checkpoint_add(store, &checkpoint, &error));
}
END_TEST

static enum store_result write_one(struct writer *writer, void *argument, struct bp_error *e) {
    (void)argument;
    return db_run(writer_connection(writer), "UPDATE pings SET count = count + 1", NONE, e);
}

START_TEST(a_failing_fsync_acknowledges_nothing) {
    char id[STORE_ID_SIZE];
    struct store_job job = {.model = "m", .dataset = "d", .dataset_version = 1, .attempts_max = 5}, got;
    struct store_job_new request = {.job = &job};
    job_new(id, 5);
    for (int for_ever = 0; for_ever < 2; for_ever++) {
        store_new_id("job", job.id);
        atomic_store(&fsync_for_ever, for_ever);
        atomic_store(&fsync_passes, 0);
        GIVES(STORE_FAILED, store_job_create(store, &request, &error));
        SAYS("cannot store the job");
        SAYS("disk");
        GIVES(for_ever ? STORE_FAILED : STORE_OK, writer_run(store, "write", write_one, NULL, &error));
        GIVES(STORE_NOT_FOUND, store_job_get(store, job.id, &got, &error));
        IS(id, "queued"); /* what was there is read still */
        atomic_store(&fsync_passes, -1);
        OK(store_job_create(store, &request, &error));
    }
    reopen();
    ck_assert_int_eq(number("SELECT count(*) FROM jobs"), 3);
    ck_assert_int_eq(number("SELECT count(*) FROM pragma_integrity_check WHERE integrity_check = 'ok'"), 1);
}
END_TEST

/* ---- no memory for SQLite ---- */

static sqlite3_mem_methods memory;
static atomic_int allocations_left = -1; /* -1: all succeed */
static atomic_bool allocations_for_ever;

static bool allocation_fails(void) {
    int left = atomic_load(&allocations_left);
    if (left > 0) atomic_store(&allocations_left, left - 1);
    if (left == 0 && !atomic_load(&allocations_for_ever)) atomic_store(&allocations_left, -1);
    return left == 0;
}

static void *faulty_malloc(int size) {
    return allocation_fails() ? NULL : memory.xMalloc(size);
}

static void *faulty_realloc(void *old, int size) {
    return allocation_fails() ? NULL : memory.xRealloc(old, size);
}

/* One life of a job. Gives how far it came: 0 not filed, 1 filed, 2 claimed, 3 reported, 4 ended. */
static int live(const char *id, bool *read) {
    struct bp_error e = {0};
    struct store_job job = {.model = "m", .dataset = "d", .dataset_version = 1, .attempts_max = 5}, got = {0};
    struct store_job_new request = {.job = &job};
    struct store_event event = {.type = "metrics", .epoch = 1, .data = TEXT("{}")};
    struct store_report report = {.resumed_from_epoch = -1, .events = &event, .events_count = 1};
    struct store_events events;
    COPY(job.id, id);
    int step = 0;
    if (store_job_create(store, &request, &e) == STORE_OK && ++step && store_job_claim(store, "x", 1, NULL, &got, &e) == STORE_OK && ++step &&
        store_job_report(store, id, got.attempt, &report, &e) == STORE_OK && ++step &&
        store_job_end(store, id, got.attempt, &success, NULL, &e) == STORE_OK)
        step++;
    store_job_free(&got);
    *read = store_event_list(store, id, NULL, 0, 10, &events, &e) == STORE_OK;
    store_events_free(&events);
    return step;
}

START_TEST(every_allocation_of_sqlite_may_fail) {
    sqlite3_mem_methods faulty;
    static const char *const steps[] = {NULL, "queued", "running", "running", "succeeded"};
    sqlite3_shutdown();
    ck_assert_int_eq(sqlite3_config(SQLITE_CONFIG_GETMALLOC, &memory), SQLITE_OK);
    faulty = memory;
    faulty.xMalloc = faulty_malloc;
    faulty.xRealloc = faulty_realloc;
    ck_assert_int_eq(sqlite3_config(SQLITE_CONFIG_MALLOC, &faulty), SQLITE_OK);
    ck_assert_int_eq(sqlite3_config(SQLITE_CONFIG_LOOKASIDE, 0, 0), SQLITE_OK); /* so that all of them are drawn */
    setup();
    dataset_put("d");
    model_put("m");
    for (int for_ever = 0; for_ever < 2; for_ever++) {
        bool hit = true;
        reopen(); /* statements are prepared again */
        for (int n = 0; hit; n++) {
            char id[STORE_ID_SIZE];
            bool read;
            struct store_job job;
            store_new_id("job", id);
            atomic_store(&allocations_for_ever, for_ever);
            atomic_store(&allocations_left, n);
            int step = live(id, &read);
            hit = atomic_load(&allocations_left) <= 0;
            atomic_store(&allocations_left, -1);
            ck_assert(hit || (step == 4 && read));
            if (step == 0) {
                GIVES(STORE_NOT_FOUND, store_job_get(store, id, &job, &error));
                continue;
            }
            IS(id, steps[step]);
            OK(store_recover(store, &error));
            OK(store_job_cancel(store, id, NULL, &error));
            OK(store_job_delete(store, id, &error));
        }
    }
    ck_assert_int_eq(number("SELECT count(*) FROM jobs"), 0);
    ck_assert_int_eq(number("SELECT count(*) FROM pragma_integrity_check WHERE integrity_check = 'ok'"), 1);
    teardown();
}
END_TEST

Suite *suite_store_disk(void) {
    Suite *suite = suite_create("store/disk");
    TCase *tests = store_case(suite, "disk");
    tcase_add_test(tests, acknowledged_jobs_survive_kill_9);
    tcase_add_test(tests, a_full_disk_fails_only_what_is_too_large);
    tcase_add_test(tests, failing_writes_are_reported_and_survived);
    tcase_add_test(tests, the_wal_is_bounded_with_readers_around);
    tcase_add_test(tests, a_long_reader_delays_the_checkpoint_only);
    tcase_add_test(tests, a_command_delays_the_checkpoint_only);
    tcase_add_test(tests, deleting_gives_the_disk_back);
    tcase_add_test(tests, files_are_on_disk_before_their_rows);
    tcase_add_test(tests, a_failing_fsync_acknowledges_nothing);
    TCase *memory_tests = tcase_create("memory"); /* opens its own store: SQLite must be set up before */
    tcase_set_timeout(memory_tests, 90);
    tcase_add_test(memory_tests, every_allocation_of_sqlite_may_fail);
    suite_add_tcase(suite, memory_tests);
    return suite;
}

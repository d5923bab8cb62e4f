/* helper.c - see helper.h */
#include "tests/server/store/helper.h"

#include <fcntl.h>
#include <ftw.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

char folder[256];
struct store *store;
struct store_options options = {.queue_max = 10000};
struct bp_error error;

const struct store_ending success = {.status = STORE_SUCCEEDED, .version_document = "{\"of\":\"a version\"}", .blob = "weights", .blob_size = 7};
const struct store_ending failure = {.status = STORE_JOB_FAILED,
                                     .error_document = "{\"code\":\"diverged\",\"message\":\"The loss is not a number\"}"};
const struct store_ending cancelled = {.status = STORE_CANCELLED};

void nap(void) {
    nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
}

void folder_make(void) {
    const char *base = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/store-test-XXXXXX", base ? base : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(folder));
}

static int entry_remove(const char *path, const struct stat *status, int type, struct FTW *place) {
    (void)status, (void)type, (void)place;
    return remove(path);
}

void folder_remove(void) {
    nftw(folder, entry_remove, 8, FTW_DEPTH | FTW_PHYS);
}

void setup(void) {
    folder_make();
    OK(store_open(folder, &options, &store, &error));
}

void teardown(void) {
    store_close(store);
    store = NULL;
    folder_remove();
}

void reopen(void) {
    store_close(store);
    OK(store_open(folder, &options, &store, &error));
}

TCase *store_case(Suite *suite, const char *name) {
    TCase *tests = tcase_create(name);
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_set_timeout(tests, 90); /* against a hang only */
    suite_add_tcase(suite, tests);
    return tests;
}

static void path_of(const char *kind, const char *name, char path[512]) {
    snprintf(path, 512, "%s/%s%s%s", folder, kind, kind[0] ? "/" : "", name);
}

void file_make(const char *kind, const char *name) {
    char path[512];
    path_of(kind, name, path);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    ck_assert_int_ge(fd, 0);
    close(fd);
}

bool file_there(const char *kind, const char *name) {
    char path[512];
    path_of(kind, name, path);
    return access(path, F_OK) == 0;
}

int64_t file_size(const char *name) {
    char path[512];
    struct stat status;
    path_of("", name, path);
    return stat(path, &status) == 0 ? (int64_t)status.st_size : -1;
}

static sqlite3 *raw_open(void) {
    char path[512];
    sqlite3 *db = NULL;
    path_of("", "backpropd.db", path);
    ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
    sqlite3_busy_timeout(db, 5000);
    sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, (int *)NULL);
    return db;
}

bool raw(const char *sql) {
    sqlite3 *db = raw_open();
    int code = sqlite3_exec(db, sql, NULL, NULL, NULL);
    sqlite3_close(db);
    return code == SQLITE_OK;
}

int64_t number(const char *sql) {
    sqlite3 *db = raw_open();
    sqlite3_stmt *s = NULL;
    int64_t found = -1;
    ck_assert_msg(sqlite3_prepare_v2(db, sql, -1, &s, NULL) == SQLITE_OK, "%s: %s", sql, sqlite3_errmsg(db));
    if (sqlite3_step(s) == SQLITE_ROW) found = sqlite3_column_int64(s, 0);
    sqlite3_finalize(s);
    sqlite3_close(db);
    return found;
}

void dataset_put(const char *name) {
    static int files;
    struct store_dataset dataset = {.rows = 3, .bytes = 99, .description = (char *)(uintptr_t) "{\"columns\":[]}"};
    snprintf(dataset.name, sizeof dataset.name, "%s", name);
    snprintf(dataset.file, sizeof dataset.file, "%s-%d.bpc", name, ++files);
    file_make("datasets", dataset.file);
    OK(store_dataset_create(store, &dataset, true, NULL, &error));
}

void model_put(const char *name) {
    bool created;
    OK(store_model_put(store, name, "{\"layers\":[]}", &created, NULL, &error));
}

void job_new(char id[STORE_ID_SIZE], int64_t attempts_max) {
    static bool made;
    if (!made) {
        dataset_put("d");
        model_put("m");
        made = true;
    }
    struct store_job job = {.model = "m", .dataset = "d", .dataset_version = 1, .attempts_max = attempts_max};
    struct store_job_new request = {.job = &job};
    store_new_id("job", job.id);
    OK(store_job_create(store, &request, &error));
    memcpy(id, job.id, STORE_ID_SIZE);
}

void job_claim(char id[STORE_ID_SIZE]) {
    struct store_job job;
    OK(store_job_claim(store, "tester", 60000, NULL, &job, &error));
    memcpy(id, job.id, STORE_ID_SIZE);
    store_job_free(&job);
}

int64_t job_attempt(const char *id) {
    struct store_job job;
    OK(store_job_get(store, id, &job, &error));
    store_job_free(&job);
    return job.attempt;
}

enum store_status status_of(const char *id) {
    struct store_job job;
    OK(store_job_get(store, id, &job, &error));
    store_job_free(&job);
    return job.status;
}

const char *events_of(const char *id) {
    static char text[4096];
    struct store_events events;
    OK(store_event_list(store, id, NULL, 0, 1000, &events, &error));
    text[0] = '\0';
    for (int32_t i = 0; i < events.count; i++) {
        char status[40] = "";
        const struct store_event *event = &events.items[i];
        if (event->data && sscanf(event->data, "{\"status\":\"%31[a-z]", status + 1) == 1) status[0] = ':';
        size_t length = strlen(text);
        snprintf(text + length, sizeof text - length, "%s%s%s", i ? " " : "", event->type, status);
    }
    store_events_free(&events);
    return text;
}

/* test_folder.c - the data folder: its making, its lock, what start-up refuses, repairs and removes; ids and times. */
#include "tests/server/store/helper.h"

#include "server/store/sqlite/migrations.h"
#include "server/store/sqlite/sqlite.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

START_TEST(a_new_folder_is_private) {
    char path[512], sub[600];
    struct stat status;
    struct store *other;
    snprintf(path, sizeof path, "%s/new/", folder);
    umask(0);
    OK(store_open(path, &options, &other, &error));
    for (int i = 0; i < 3; i++) {
        snprintf(sub, sizeof sub, "%s%s", path, i == 0 ? "" : i == 1 ? "datasets" : "checkpoints");
        ck_assert_int_eq(stat(sub, &status), 0);
        ck_assert_uint_eq(status.st_mode & 0777, 0700);
    }
    snprintf(sub, sizeof sub, "%sbackpropd.db", path);
    ck_assert_int_eq(stat(sub, &status), 0);
    ck_assert_uint_eq(status.st_mode & 0777, 0600);
    store_close(other);
}
END_TEST

START_TEST(the_database_has_its_settings) {
    ck_assert_int_eq(number("PRAGMA auto_vacuum"), 2);
    ck_assert_int_eq(number("PRAGMA user_version"), migrations_count);
    ck_assert_int_eq(number("PRAGMA application_id"), 0x42504431);
    ck_assert_int_eq(number("SELECT journal_mode = 'wal' FROM pragma_journal_mode"), 1);
}
END_TEST

static enum store_result settings(struct writer *writer, void *argument, struct bp_error *e) {
    int64_t *found = argument;
    static const char *const sql[] = {"PRAGMA synchronous", "PRAGMA foreign_keys", "PRAGMA wal_autocheckpoint"};
    for (int i = 0; i < 3; i++)
        if (db_integer(writer_connection(writer), sql[i], NONE, &found[i], e) != STORE_OK) return STORE_FAILED;
    return STORE_OK;
}

START_TEST(the_writer_is_durable_and_checks_keys) {
    int64_t found[3] = {-1, -1, -1};
    OK(writer_run(store, "look", settings, found, &error));
    ck_assert_int_eq(found[0], 2); /* FULL */
    ck_assert_int_eq(found[1], 1);
    ck_assert_int_eq(found[2], 0);
}
END_TEST

START_TEST(readers_cannot_write_and_leave_checkpoints_alone) {
    int64_t found = -1;
    int no_checkpoint = 0;
    struct connection *c = reader_take(store, "try", &error);
    GIVES(STORE_FAILED, db_run(c, "DELETE FROM jobs", NONE, &error));
    SAYS("readonly");
    OK(db_integer(c, "PRAGMA wal_autocheckpoint", NONE, &found, &error));
    ck_assert_int_eq(found, 0);
    sqlite3_db_config(c->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, -1, &no_checkpoint);
    ck_assert_int_eq(no_checkpoint, 1);
    reader_give(store, c);
}
END_TEST

/* Some pragmas write, and a commit of a reader could even make a checkpoint. */
START_TEST(opening_readers_writes_nothing) {
    struct connection *readers[8];
    OK(store_ping(store, &error));
    int64_t wal = file_size("backpropd.db-wal"), database = file_size("backpropd.db");
    ck_assert_int_gt(wal, 0);
    for (int i = 0; i < 8; i++) {
        ck_assert_ptr_nonnull(readers[i] = reader_take(store, "look", &error));
        ck_assert_int_eq(sqlite3_total_changes(readers[i]->db), 0);
    }
    for (int i = 0; i < 8; i++) reader_give(store, readers[i]);
    ck_assert_int_eq(file_size("backpropd.db-wal"), wal);
    ck_assert_int_eq(file_size("backpropd.db"), database);
}
END_TEST

START_TEST(a_value_too_many_or_too_few_is_an_error) {
    int64_t found;
    struct connection *c = reader_take(store, "count values", &error);
    GIVES(STORE_FAILED, db_integer(c, "SELECT 1 WHERE 1 = ?", NONE, &found, &error));
    GIVES(STORE_FAILED, db_integer(c, "SELECT 1 WHERE 1 = ?", WITH(integer(1), integer(2)), &found, &error));
    OK(db_integer(c, "SELECT 1 WHERE 1 = ?", WITH(integer(1)), &found, &error));
    reader_give(store, c);
}
END_TEST

START_TEST(statements_beyond_the_cache_still_run) {
    struct connection *c = reader_take(store, "count", &error);
    for (int64_t i = 0; i < 3 * STATEMENTS_MAX; i++) {
        char sql[64];
        int64_t found = -1;
        snprintf(sql, sizeof sql, "SELECT %d", (int)i);
        OK(db_integer(c, sql, NONE, &found, &error));
        ck_assert_int_eq(found, i);
    }
    reader_give(store, c);
}
END_TEST

START_TEST(a_second_server_is_refused) {
    struct store *second = (struct store *)8;
    char holder[64];
    GIVES(STORE_FAILED, store_open(folder, &options, &second, &error));
    ck_assert_ptr_null(second);
    snprintf(holder, sizeof holder, "in use by another server (process %ld)", (long)getpid());
    SAYS(holder);
    OK(store_ping(store, &error)); /* the first is not disturbed */
    pid_t child = fork();
    if (child == 0) {
        struct bp_error e = {0};
        _exit(store_open(folder, &options, &second, &e) == STORE_FAILED && strstr(e.message, holder) ? 0 : 1);
    }
    int status;
    waitpid(child, &status, 0);
    ck_assert_int_eq(status, 0);
    GIVES(STORE_FAILED, store_open(folder, &options, &second, &error));
}
END_TEST

START_TEST(the_lock_ends_with_the_store) {
    for (int i = 0; i < 3; i++) reopen();
    OK(store_ping(store, &error));
}
END_TEST

START_TEST(a_newer_database_is_refused_and_unchanged) {
    store_close(store);
    ck_assert(raw("PRAGMA user_version = 99"));
    GIVES(STORE_FAILED, store_open(folder, &options, &store, &error));
    SAYS("newer backpropd");
    SAYS("version 99");
    ck_assert_int_eq(number("PRAGMA user_version"), 99);
}
END_TEST

/* What 002_validation.sql and those after it add is taken away: the database of the first version. */
START_TEST(an_older_database_is_brought_along) {
    char id[STORE_ID_SIZE];
    struct store_job job;
    struct store_alias served;
    job_new(id, 5);
    job_claim(id);
    OK(store_job_end(store, id, 1, &success, NULL, &error));
    job_new(id, 5);
    store_close(store);
    ck_assert(
        raw("DROP TRIGGER changes_model_new; DROP TRIGGER changes_model_set; DROP TRIGGER changes_model_gone; DROP TRIGGER changes_version_new; "
            "DROP TRIGGER changes_version_set; DROP TRIGGER changes_version_gone; DROP TRIGGER changes_alias_set; DROP TRIGGER changes_alias_gone; "
            "DROP TRIGGER changes_notes_new; DROP TRIGGER changes_notes_set; DROP TRIGGER changes_calibration_new; "
            "DROP TRIGGER changes_calibration_set; DROP TABLE changes; DROP TABLE following"));
    ck_assert(raw("ALTER TABLE jobs DROP COLUMN launcher; ALTER TABLE jobs DROP COLUMN label; ALTER TABLE jobs DROP COLUMN memory_mb; "
                  "ALTER TABLE jobs DROP COLUMN processes; ALTER TABLE jobs DROP COLUMN launch"));
    ck_assert(raw("DROP TABLE rungs; DROP TABLE trials; DROP TABLE sweeps"));
    ck_assert(raw("DROP TABLE version_calibrations; DROP TABLE version_drift"));
    ck_assert(raw("DROP TABLE results; DROP TABLE evaluations; DROP TABLE version_tests; DROP INDEX jobs_by_kind; "
                  "DROP INDEX jobs_unfinished_by_version; DROP INDEX jobs_unfinished_by_compared; ALTER TABLE jobs DROP COLUMN kind; "
                  "ALTER TABLE jobs DROP COLUMN reads_version; ALTER TABLE jobs DROP COLUMN compared_model; "
                  "ALTER TABLE jobs DROP COLUMN compared_version"));
    ck_assert(raw("DROP TABLE job_inits; DROP TABLE aliases; DROP TABLE alias_changes; DROP TABLE version_notes; DROP TABLE version_tags; DROP INDEX "
                  "jobs_ended; "
                  "ALTER TABLE jobs DROP COLUMN publish; ALTER TABLE jobs DROP COLUMN publication; ALTER TABLE jobs DROP COLUMN key_id; "
                  "ALTER TABLE jobs DROP COLUMN key_name; DROP TABLE keys; DROP TABLE keys_revision; DROP TABLE audit; DROP TABLE attempts; DROP "
                  "INDEX jobs_queue; DROP INDEX jobs_retries; "
                  "ALTER TABLE jobs DROP COLUMN priority; ALTER TABLE "
                  "jobs DROP COLUMN retry_at; ALTER TABLE jobs DROP COLUMN training_ms; ALTER TABLE jobs DROP COLUMN stop_reason; DROP TABLE "
                  "trainings; DROP INDEX jobs_by_dataset; DROP INDEX jobs_by_validation; ALTER TABLE datasets DROP COLUMN parent; "
                  "ALTER TABLE datasets DROP COLUMN change; DROP INDEX jobs_unfinished_by_validation; ALTER TABLE jobs DROP COLUMN "
                  "validation_dataset; ALTER TABLE jobs DROP COLUMN "
                  "validation_version; ALTER TABLE jobs DROP COLUMN cross_validation; PRAGMA user_version = 1"));
    OK(store_open(folder, &options, &store, &error));
    ck_assert_int_eq(number("PRAGMA user_version"), migrations_count);
    OK(store_job_get(store, id, &job, &error));
    ck_assert_str_eq(job.dataset, "d");
    ck_assert_str_eq(job.validation_dataset, "");
    ck_assert_str_eq(job.cross_validation, "null");
    ck_assert_int_eq(job.publish, STORE_PUBLISH);
    ck_assert_int_eq(job.kind, STORE_TRAIN);
    store_job_free(&job);
    OK(store_alias_get(store, "m", "default", &served, &error)); /* what was served is still served */
    ck_assert_int_eq(served.version, 1);
    ck_assert_str_eq(served.action, "upgrade");
}
END_TEST

START_TEST(a_database_of_another_program_is_refused) {
    store_close(store);
    ck_assert(raw("PRAGMA application_id = 5"));
    GIVES(STORE_FAILED, store_open(folder, &options, &store, &error));
    SAYS("another program");
}
END_TEST

START_TEST(a_damaged_database_is_refused) {
    char path[512], zeros[8192];
    store_close(store);
    snprintf(path, sizeof path, "%s/backpropd.db", folder);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    memset(zeros, 'x', sizeof zeros);
    ck_assert_int_eq(pwrite(fd, zeros, sizeof zeros, 0), (ssize_t)sizeof zeros);
    close(fd);
    GIVES(STORE_FAILED, store_open(folder, &options, &store, &error));
    SAYS("restore the data folder from a backup");
}
END_TEST

START_TEST(a_folder_that_cannot_be_is_refused) {
    struct store *other;
    GIVES(STORE_FAILED, store_open("/nowhere/at/all", &options, &other, &error));
    SAYS("/nowhere/at/all");
    GIVES(STORE_FAILED, store_open("/dev/null", &options, &other, &error));
    ck_assert_ptr_null(other);
}
END_TEST

#define ID "01m85a5zwm5evrcfca9mehsd2"

START_TEST(files_without_a_row_are_moved_at_start) {
    struct store_checkpoint checkpoint = {.attempt = 1, .file = "ckp_" ID "0.safetensors"};
    char id[STORE_ID_SIZE];
    job_new(id, 5);
    job_claim(checkpoint.job);
    file_make("checkpoints", checkpoint.file);
    OK(store_checkpoint_add(store, &checkpoint, &error));
    static const char *const moved[][2] = {{"checkpoints", "ckp_" ID "1.safetensors"}, {"datasets", "dat_" ID "1.col"}};
    static const char *const removed[][2] = {
        {"datasets", "dat_" ID "2.tmp"}, {"checkpoints", "job_" ID "2.1.7.tmp"}, {"checkpoints", "job_" ID "2.1.model.tmp"}};
    static const char *const foreign[][2] = {{"datasets", "customers.csv"},      {"datasets", ".hidden"},
                                             {"datasets", "dat_" ID "3.csv"},    {"datasets", "dat_" ID "33.col"},
                                             {"datasets", "dat_" ID ".col"},     {"datasets", "ckp_" ID "3.safetensors"},
                                             {"checkpoints", "my_model.pt"},     {"checkpoints", "dat_" ID "3.col"},
                                             {"checkpoints", "job_" ID "3.tmp"}, {"checkpoints", "job_" ID "3.1.7.tmp.gz"},
                                             {"checkpoints", "ckp_" ID "3.st"},  {"", "notes.txt"}};
    for (size_t i = 0; i < sizeof moved / sizeof *moved; i++) file_make(moved[i][0], moved[i][1]);
    for (size_t i = 0; i < sizeof removed / sizeof *removed; i++) file_make(removed[i][0], removed[i][1]);
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++) file_make(foreign[i][0], foreign[i][1]);
    for (int again = 0; again < 2; again++) {
        reopen();
        ck_assert(file_there("datasets", "d-1.bpc"));
        ck_assert(file_there("checkpoints", checkpoint.file));
        for (size_t i = 0; i < sizeof moved / sizeof *moved; i++) ck_assert(!file_there(moved[i][0], moved[i][1]) && file_there("lost", moved[i][1]));
        for (size_t i = 0; i < sizeof removed / sizeof *removed; i++)
            ck_assert(!file_there(removed[i][0], removed[i][1]) && !file_there("lost", removed[i][1]));
        for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++) ck_assert_msg(file_there(foreign[i][0], foreign[i][1]), "%s", foreign[i][1]);
    }
    file_make("datasets", moved[1][1]); /* once more: the one in lost/ stays */
    reopen();
    ck_assert(!file_there("datasets", moved[1][1]) && file_there("lost", moved[1][1]) && file_there("lost", "dat_" ID "1.col.2"));
}
END_TEST

/* Without a database the owner of the files is unknown. */
START_TEST(a_folder_with_files_and_no_database_is_refused) {
    static const char *const all[][2] = {{"", "notes.txt"}, {"datasets", "customers.csv"},   {"checkpoints", "my_model.pt"},
                                         {"lost", "old"},   {"datasets", "dat_" ID "1.col"}, {"", "backpropd.db-wal"}};
    char path[512], said[300];
    store_close(store);
    store = NULL;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        for (int kind = 0; kind < 3; kind++) { /* no database, one of no bytes, one without a table */
            folder_remove();
            ck_assert_int_eq(mkdir(folder, 0700), 0);
            snprintf(path, sizeof path, "%s/%s", folder, all[i][0]);
            if (all[i][0][0]) ck_assert_int_eq(mkdir(path, 0700), 0);
            snprintf(path, sizeof path, "%s/%s%s%s", folder, all[i][0], all[i][0][0] ? "/" : "", all[i][1]);
            const int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
            ck_assert_int_eq(write(fd, "x", 1), 1);
            close(fd);
            if (kind == 1) file_make("", "backpropd.db");
            if (kind == 2 && i == 5) continue; /* then the log may hold the tables */
            if (kind == 2) ck_assert(raw("PRAGMA auto_vacuum=INCREMENTAL; PRAGMA journal_mode=WAL"));
            GIVES(STORE_FAILED, store_open(folder, &options, &store, &error));
            SAYS("use an empty folder with --data-dir");
            snprintf(said, sizeof said, "%s%s%s", all[i][0], all[i][0][0] ? "/" : "", all[i][1]);
            SAYS(said);
            ck_assert(file_there(all[i][0], all[i][1]) && !file_there("", "lock"));
        }
}
END_TEST

START_TEST(an_empty_folder_is_used) {
    store_close(store);
    folder_remove();
    ck_assert_int_eq(mkdir(folder, 0700), 0);
    char path[512];
    snprintf(path, sizeof path, "%s/lost+found", folder); /* of a file system of its own */
    ck_assert_int_eq(mkdir(path, 0700), 0);
    OK(store_open(folder, &options, &store, &error));
    reopen();
}
END_TEST

START_TEST(closing_nothing_is_fine) {
    store_close(NULL);
}
END_TEST

START_TEST(ids_strictly_increase) {
    char before[STORE_ID_SIZE], id[STORE_ID_SIZE];
    store_new_id("job", before);
    for (int i = 0; i < 100000; i++) {
        store_new_id("job", id);
        ck_assert_msg(strcmp(before, id) < 0, "%s after %s", id, before);
        memcpy(before, id, sizeof id);
    }
    ck_assert_uint_eq(strlen(id), 4 + 26);
    ck_assert_uint_eq(strspn(id + 4, "0123456789abcdefghjkmnpqrstvwxyz"), 26);
    ck_assert_int_eq(strncmp(id, "job_", 4), 0);
}
END_TEST

START_TEST(ids_begin_with_their_time) {
    char id[STORE_ID_SIZE];
    int64_t before = store_now(), ms = 0;
    store_new_id("ckp", id);
    int64_t after = store_now();
    for (int i = 0; i < 10; i++) /* 10 digits are 50 bits: the time and no more */
        ms = ms << 5 | (int64_t)(strchr("0123456789abcdefghjkmnpqrstvwxyz", id[4 + i]) - "0123456789abcdefghjkmnpqrstvwxyz");
    ck_assert_int_ge(ms, before);
    ck_assert_int_le(ms, after);
}
END_TEST

START_TEST(times_are_rfc3339) {
    char time[32];
    store_time_text(1700000000123, time);
    ck_assert_str_eq(time, "2023-11-14T22:13:20.123Z");
    store_time_text(1, time);
    ck_assert_str_eq(time, "1970-01-01T00:00:00.001Z");
    store_time_text(0, time);
    ck_assert_str_eq(time, "");
}
END_TEST

Suite *suite_store_folder(void) {
    Suite *suite = suite_create("store/folder");
    TCase *tests = store_case(suite, "folder");
    tcase_add_test(tests, a_new_folder_is_private);
    tcase_add_test(tests, the_database_has_its_settings);
    tcase_add_test(tests, the_writer_is_durable_and_checks_keys);
    tcase_add_test(tests, readers_cannot_write_and_leave_checkpoints_alone);
    tcase_add_test(tests, opening_readers_writes_nothing);
    tcase_add_test(tests, a_value_too_many_or_too_few_is_an_error);
    tcase_add_test(tests, statements_beyond_the_cache_still_run);
    tcase_add_test(tests, a_second_server_is_refused);
    tcase_add_test(tests, the_lock_ends_with_the_store);
    tcase_add_test(tests, a_newer_database_is_refused_and_unchanged);
    tcase_add_test(tests, an_older_database_is_brought_along);
    tcase_add_test(tests, a_database_of_another_program_is_refused);
    tcase_add_test(tests, a_damaged_database_is_refused);
    tcase_add_test(tests, a_folder_that_cannot_be_is_refused);
    tcase_add_test(tests, files_without_a_row_are_moved_at_start);
    tcase_add_test(tests, a_folder_with_files_and_no_database_is_refused);
    tcase_add_test(tests, an_empty_folder_is_used);
    tcase_add_test(tests, closing_nothing_is_fine);
    tcase_add_test(tests, ids_strictly_increase);
    tcase_add_test(tests, ids_begin_with_their_time);
    tcase_add_test(tests, times_are_rfc3339);
    return suite;
}

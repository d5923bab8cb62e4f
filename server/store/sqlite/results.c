/* results.c - what jobs leave that make no version: the files of those that predict, the reports of those that evaluate; and the report of a version
 * on the test rows of its job. The files grow while their job runs; a row names the bytes that are on disk for good. They go with their job, and when
 * it fails or is cancelled. */
#include "server/store/sqlite/sqlite.h"

#include <stdlib.h>
#include <string.h>

static const char *const parts[STORE_PARTS] = {[STORE_PREDICTIONS] = "predictions", [STORE_FAILURES] = "failures"};

/* ---- inside a change ---- */

enum store_result results_remove(struct writer *writer, const char *job, struct bp_error *error) {
    struct connection *c = writer_connection(writer);
    sqlite3_stmt *s = db_start(c, "DELETE FROM results WHERE job = ? RETURNING file", WITH(text(job)));
    if (!s) return db_failed(c, error);
    enum store_result result = STORE_OK;
    int code;
    while ((code = sqlite3_step(s)) == SQLITE_ROW && result == STORE_OK) {
        const char *file = (const char *)sqlite3_column_text(s, 0);
        if (!file || !writer_unlink(writer, "results", file)) result = out_of_memory(error);
    }
    if (result == STORE_OK && code != SQLITE_DONE) result = db_failed(c, error);
    db_end(s);
    return result;
}

enum store_result results_set(struct writer *writer, const char *job, const struct store_results *results, struct bp_error *error) {
    struct connection *c = writer_connection(writer);
    enum store_result result = STORE_OK;
    for (int i = 0; i < STORE_PARTS && result == STORE_OK; i++) {
        result = db_run(c, "UPDATE results SET rows = ?3, bytes = ?4, crc = ?5, state = ?6 WHERE job = ?1 AND part = ?2",
                        WITH(text(job), text(parts[i]), integer(results->parts[i].rows), integer(results->parts[i].bytes),
                             integer(results->parts[i].crc), text(i == STORE_PREDICTIONS && results->state ? results->state : "")),
                        error);
        if (result == STORE_OK && sqlite3_changes(c->db) != 1) {
            bp_error_set(error, "", "%s has no file for its %s", job, parts[i]);
            result = STORE_FAILED;
        }
    }
    return result;
}

enum store_result evaluation_set(struct writer *writer, const char *job, const char *document, struct bp_error *error) {
    return db_run(writer_connection(writer), "INSERT INTO evaluations (job, document) VALUES (?, ?)", WITH(text(job), text(document)), error);
}

enum store_result version_test_set(struct writer *writer, const char *model, int64_t version, const char *document, struct bp_error *error) {
    return db_run(writer_connection(writer),
                  "INSERT INTO version_tests (version, document) SELECT id, ?3 FROM versions WHERE model = ?1 AND version = ?2",
                  WITH(text(model), integer(version), text(document)), error);
}

struct advance {
    const char *job;
    int64_t attempt;
    const struct store_results *results;
    const struct store_report *report; /* NULL: they begin */
};

static enum store_result begin(struct writer *writer, void *argument, struct bp_error *error) {
    const struct advance *a = argument;
    struct connection *c = writer_connection(writer);
    enum store_result result = attempt_check(c, a->job, a->attempt, error);
    for (int i = 0; i < STORE_PARTS && result == STORE_OK; i++)
        result = db_run(c, "INSERT INTO results (job, part, file) VALUES (?, ?, ?)",
                        WITH(text(a->job), text(parts[i]), text(a->results->parts[i].file)), error);
    return result;
}

static enum store_result advance(struct writer *writer, void *argument, struct bp_error *error) {
    const struct advance *a = argument;
    struct connection *c = writer_connection(writer);
    enum store_result result = attempt_check(c, a->job, a->attempt, error);
    if (result == STORE_OK) result = results_set(writer, a->job, a->results, error);
    if (result == STORE_OK) result = report_apply(writer, a->job, a->attempt, a->report, error);
    return result == STORE_OK ? db_run(c, "UPDATE jobs SET failures = 0 WHERE id = ?", WITH(text(a->job)), error) : result;
}

/* ---- the verbs ---- */

enum store_result store_results_begin(struct store *store, const char *job, int64_t attempt, const struct store_results *results,
                                      struct bp_error *error) {
    struct advance argument = {job, attempt, results, NULL};
    for (int i = 0; i < STORE_PARTS; i++) {
        const enum store_result synced = store_file_sync(store, "results", results->parts[i].file, error);
        if (synced != STORE_OK) return synced;
    }
    return writer_run(store, "record the files of the results", begin, &argument, error);
}

enum store_result store_results_advance(struct store *store, const char *job, int64_t attempt, const struct store_results *results,
                                        const struct store_report *report, struct bp_error *error) {
    struct advance argument = {job, attempt, results, report};
    return writer_run(store, "record how far the results are", advance, &argument, error);
}

static bool results_read(sqlite3_stmt *s, void *item) {
    struct store_results *results = item;
    for (int i = 0; i < STORE_PARTS; i++) {
        column_copy(s, 4 * i, results->parts[i].file, sizeof results->parts[i].file);
        results->parts[i].rows = sqlite3_column_int64(s, 4 * i + 1);
        results->parts[i].bytes = sqlite3_column_int64(s, 4 * i + 2);
        results->parts[i].crc = sqlite3_column_int64(s, 4 * i + 3);
    }
    return column_keep(s, 4 * STORE_PARTS, &results->state);
}

enum store_result store_results_get(struct store *store, const char *job, struct store_results *results, struct bp_error *error) {
    const struct value values[] = {text(job)};
    const struct query query = {
        .what = "find the results",
        .values = values,
        .values_count = 1,
        .read = results_read,
        .sql = "SELECT p.file, p.rows, p.bytes, p.crc, f.file, f.rows, f.bytes, f.crc, p.state FROM results AS p JOIN results AS f ON "
               "f.job = p.job AND f.part = 'failures' WHERE p.job = ? AND p.part = 'predictions'"};
    *results = (struct store_results){0};
    const enum store_result result = query_one(store, &query, results, error);
    if (result != STORE_OK) store_results_free(results);
    if (result == STORE_NOT_FOUND) bp_error_set(error, "", "there are no results of %s", job);
    return result;
}

void store_results_free(struct store_results *results) {
    free(results->state);
    results->state = NULL;
}

static bool document_read(sqlite3_stmt *s, void *item) {
    return column_keep(s, 0, item);
}

static enum store_result document(struct store *store, const char *sql, const struct value *values, size_t count, char **out,
                                  struct bp_error *error) {
    const struct query query = {.what = "find the evaluation", .values = values, .values_count = count, .read = document_read, .sql = sql};
    *out = NULL;
    return query_one(store, &query, out, error);
}

enum store_result store_job_evaluation(struct store *store, const char *job, char **out, struct bp_error *error) {
    const struct value values[] = {text(job)};
    const enum store_result result = document(store, "SELECT document FROM evaluations WHERE job = ?", values, 1, out, error);
    if (result == STORE_NOT_FOUND) bp_error_set(error, "", "there is no evaluation of %s", job);
    return result;
}

enum store_result store_version_test(struct store *store, const char *model, int64_t version, char **out, struct bp_error *error) {
    const struct value values[] = {text(model), integer(version)};
    const enum store_result result =
        document(store, "SELECT t.document FROM version_tests AS t JOIN versions AS v ON v.id = t.version WHERE v.model = ? AND v.version = ?",
                 values, 2, out, error);
    if (result == STORE_NOT_FOUND) bp_error_set(error, "", "version %lld of model %s has no test rows", (long long)version, model);
    return result;
}

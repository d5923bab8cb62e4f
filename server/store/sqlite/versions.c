/* versions.c - what is done with a version after its training: notes and tags, deletion, and the removal of versions and jobs that are old. */
#include "server/store/sqlite/sqlite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum store_result missing(const char *model, int64_t version, struct bp_error *error) {
    bp_error_set(error, "", "there is no version %lld of model %s", (long long)version, model);
    return STORE_NOT_FOUND;
}

/* ---- deletion ---- */

struct which {
    const char *model;
    int64_t version;
    const struct store_notes *notes;
};

static enum store_result delete_version(struct writer *writer, void *argument, struct bp_error *error) {
    const struct which *which = argument;
    enum store_result result = version_remove(writer, which->model, which->version, error);
    return result == STORE_NOT_FOUND ? missing(which->model, which->version, error) : result;
}

enum store_result store_version_delete(struct store *store, const char *model, int64_t version, struct bp_error *error) {
    struct which which = {.model = model, .version = version};
    return writer_run_vital(store, "delete the version", delete_version, &which, error);
}

/* ---- notes and tags ---- */

static enum store_result tags_set(struct connection *c, int64_t id, const struct store_notes *notes, struct bp_error *error) {
    enum store_result result = db_run(c, "DELETE FROM version_tags WHERE version = ?", WITH(integer(id)), error);
    for (int32_t i = 0; result == STORE_OK && i < notes->tags_count; i++)
        result = db_run(c, "INSERT OR IGNORE INTO version_tags (version, tag) VALUES (?, ?)", WITH(integer(id), text(notes->tags[i])), error);
    return result;
}

static enum store_result annotate(struct writer *writer, void *argument, struct bp_error *error) {
    const struct which *which = argument;
    struct connection *c = writer_connection(writer);
    int64_t id = 0, changes = 0;
    enum store_result result =
        db_integer(c, "SELECT id FROM versions WHERE model = ? AND version = ?", WITH(text(which->model), integer(which->version)), &id, error);
    if (result == STORE_NOT_FOUND) return missing(which->model, which->version, error);
    if (result == STORE_OK) result = db_integer(c, "SELECT change FROM version_notes WHERE version = ?", WITH(integer(id)), &changes, error);
    if (result != STORE_OK && result != STORE_NOT_FOUND) return result;
    if (which->notes->if_change >= 0 && which->notes->if_change != changes) {
        bp_error_set(error, "", "the notes and tags of version %lld of model %s were changed in between; read them again", (long long)which->version,
                     which->model);
        return STORE_CHANGED;
    }
    result = db_run(c,
                    "INSERT INTO version_notes (version, notes, change) VALUES (?1, coalesce(?2, ''), 1) "
                    "ON CONFLICT (version) DO UPDATE SET notes = coalesce(?2, notes), change = change + 1",
                    WITH(integer(id), text(which->notes->notes)), error);
    return result == STORE_OK && which->notes->tags ? tags_set(c, id, which->notes, error) : result;
}

enum store_result store_version_annotate(struct store *store, const char *model, int64_t version, const struct store_notes *notes,
                                         struct bp_error *error) {
    struct which which = {.model = model, .version = version, .notes = notes};
    return writer_run(store, "store the notes of the version", annotate, &which, error);
}

/* ---- retention ---- */

struct expiring {
    int64_t bound; /* versions to keep, or the time before which jobs ended */
    struct store_expired *expired;
    int32_t count;
};

/* Collects first: removing changes what the query reads. */
static enum store_result collect(struct connection *c, const char *sql, struct expiring *expiring, struct bp_error *error) {
    int code = SQLITE_ERROR;
    expiring->count = 0;
    sqlite3_stmt *s = db_start(c, sql, WITH(integer(expiring->bound), integer(STORE_EXPIRED_MAX)));
    while (s && expiring->count < STORE_EXPIRED_MAX && (code = sqlite3_step(s)) == SQLITE_ROW) {
        struct store_expired *one = &expiring->expired[expiring->count++];
        column_copy(s, 0, one->name, sizeof one->name);
        one->version = sqlite3_column_int64(s, 1);
    }
    enum store_result result = s && (code == SQLITE_DONE || code == SQLITE_ROW) ? STORE_OK : db_failed(c, error);
    db_end(s);
    return result;
}

static enum store_result expire_versions(struct writer *writer, void *argument, struct bp_error *error) {
    struct expiring *expiring = argument;
    enum store_result result = collect(writer_connection(writer),
                                       "SELECT v.model, v.version FROM (SELECT model, version, row_number() OVER (PARTITION BY model "
                                       "ORDER BY version DESC) AS place FROM versions) AS v WHERE v.place > ? AND NOT EXISTS "
                                       "(SELECT 1 FROM aliases WHERE model = v.model AND version = v.version) AND NOT EXISTS "
                                       "(SELECT 1 FROM models WHERE name = v.model AND hidden) AND " VERSION_UNREAD " AND NOT EXISTS "
                                       "(SELECT 1 FROM sweeps AS w JOIN trials AS t ON t.sweep = w.id WHERE w.finished_at = 0 AND w.model = v.model "
                                       "AND t.version = v.version) LIMIT ?",
                                       expiring, error);
    for (int32_t i = 0; result == STORE_OK && i < expiring->count; i++)
        result = version_remove(writer, expiring->expired[i].name, expiring->expired[i].version, error);
    return result;
}

static enum store_result expire_jobs(struct writer *writer, void *argument, struct bp_error *error) {
    struct expiring *expiring = argument;
    enum store_result result = collect(
        writer_connection(writer),
        "SELECT id, 0 FROM jobs WHERE finished_at > 0 AND finished_at < ? AND NOT EXISTS (SELECT 1 FROM versions WHERE model = jobs.id) "
        "AND NOT (EXISTS (SELECT 1 FROM datasets WHERE name = jobs.id) AND EXISTS (SELECT 1 FROM versions WHERE model = jobs.model AND "
        "version = jobs.model_version)) AND NOT EXISTS (SELECT 1 FROM trials AS t JOIN sweeps AS w ON w.id = t.sweep WHERE t.job = jobs.id AND "
        "w.finished_at = 0) LIMIT ?",
        expiring, error);
    for (int32_t i = 0; result == STORE_OK && i < expiring->count; i++) result = job_remove(writer, expiring->expired[i].name, error);
    if (result != STORE_OK) return result;
    /* Sweeps without jobs; one with a model of its own stays, since that would go with it. */
    return db_run(writer_connection(writer),
                  "DELETE FROM sweeps WHERE finished_at > 0 AND finished_at < ? AND NOT EXISTS (SELECT 1 FROM trials WHERE sweep = sweeps.id AND "
                  "job IS NOT NULL) AND NOT EXISTS (SELECT 1 FROM models WHERE name = sweeps.id)",
                  WITH(integer(expiring->bound)), error);
}

static enum store_result expire(struct store *store, const char *what, change *run, struct expiring *expiring, int32_t *count,
                                struct bp_error *error) {
    enum store_result result = writer_run_vital(store, what, run, expiring, error);
    *count = result == STORE_OK ? expiring->count : 0;
    return result;
}

enum store_result store_versions_expire(struct store *store, int64_t keep, struct store_expired expired[STORE_EXPIRED_MAX], int32_t *count,
                                        struct bp_error *error) {
    struct expiring expiring = {.bound = keep < 1 ? 1 : keep, .expired = expired};
    return expire(store, "remove old versions", expire_versions, &expiring, count, error);
}

enum store_result store_jobs_expire(struct store *store, int64_t before, struct store_expired expired[STORE_EXPIRED_MAX], int32_t *count,
                                    struct bp_error *error) {
    struct expiring expiring = {.bound = before, .expired = expired};
    return expire(store, "remove old jobs", expire_jobs, &expiring, count, error);
}

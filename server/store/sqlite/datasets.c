/* datasets.c - names, versions and descriptions of datasets; their rows lie in column files in datasets/, which never change.
 *
 * Also the counters of version numbers, which models share. */
#include "server/store/sqlite/sqlite.h"

#include <stdlib.h>
#include <string.h>

/* ---- inside a change, for others too ---- */

enum store_result counter_next(struct connection *c, const char *kind, const char *name, int64_t *number, struct bp_error *error) {
    return db_integer(
        c, "INSERT INTO counters (kind, name, last) VALUES (?, ?, 1) ON CONFLICT (kind, name) DO UPDATE SET last = last + 1 RETURNING last",
        WITH(text(kind), text(name)), number, error);
}

enum store_result unused_by_jobs(struct connection *c, const char *sql, const struct value *values, size_t count, const char *thing,
                                 struct bp_error *error) {
    enum { NAMED_MAX = 5 };
    sqlite3_stmt *s = db_start(c, sql, values, count);
    char jobs[NAMED_MAX * (STORE_ID_SIZE + 2)] = "", more[32] = "";
    int64_t found = 0;
    int code;
    for (code = s ? sqlite3_step(s) : SQLITE_ERROR; code == SQLITE_ROW; code = sqlite3_step(s)) {
        const size_t size = strlen(jobs);
        if (found++ < NAMED_MAX) sqlite3_snprintf((int)(sizeof jobs - size), jobs + size, "%s%s", size ? ", " : "", sqlite3_column_text(s, 0));
    }
    enum store_result result = code == SQLITE_DONE ? STORE_OK : db_failed(c, error);
    db_end(s);
    if (result != STORE_OK || found == 0) return result;
    if (found > NAMED_MAX) sqlite3_snprintf((int)sizeof more, more, " and %lld more", (long long)(found - NAMED_MAX));
    bp_error_set(error, "", "the %s is used by %s%s, which %s not ended: wait for %s or cancel %s first", thing, jobs, more,
                 found > 1 ? "have" : "has", found > 1 ? "them" : "it", found > 1 ? "them" : "it");
    return STORE_IN_USE;
}

static enum store_result name_free(struct connection *c, const struct store_dataset *dataset, bool replace, struct bp_error *error) {
    int64_t hidden = 0;
    enum store_result result = db_integer(c, "SELECT hidden FROM datasets WHERE name = ? LIMIT 1", WITH(text(dataset->name)), &hidden, error);
    if (result == STORE_NOT_FOUND) return STORE_OK;
    if (result != STORE_OK || (replace && !hidden && !dataset->hidden)) return result;
    if (hidden || dataset->hidden) bp_error_set(error, "", "the name %s belongs to the data of a job; use another name", dataset->name);
    else bp_error_set(error, "", "dataset %s already exists; use another name, or store its next version with ?replace=1", dataset->name);
    return STORE_EXISTS;
}

/* What was made from a version follows that version, or nothing is lost in between. */
static enum store_result follows(struct connection *c, const struct store_dataset *dataset, struct bp_error *error) {
    int64_t newest = 0;
    if (!dataset->after) return STORE_OK;
    enum store_result result =
        db_integer(c, "SELECT version FROM datasets WHERE name = ? ORDER BY version DESC LIMIT 1", WITH(text(dataset->name)), &newest, error);
    if (result != STORE_OK || newest == dataset->after) return result;
    bp_error_set(error, "", "dataset %s got version %lld from another request during this one; send this request again", dataset->name,
                 (long long)newest);
    return STORE_CONFLICT;
}

enum store_result dataset_add(struct writer *writer, struct store_dataset *dataset, bool replace, struct bp_error *error) {
    struct connection *c = writer_connection(writer);
    enum store_result result = name_free(c, dataset, replace, error);
    if (result == STORE_OK) result = follows(c, dataset, error);
    if (result == STORE_OK) result = counter_next(c, "dataset", dataset->name, &dataset->version, error);
    if (result != STORE_OK) return result;
    if (!dataset->created_at) dataset->created_at = store_now();
    dataset->parent = dataset->after;
    return db_run(c,
                  "INSERT INTO datasets (name, version, rows, bytes, created_at, file, hidden, description, parent, change) "
                  "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                  WITH(text(dataset->name), integer(dataset->version), integer(dataset->rows), integer(dataset->bytes), integer(dataset->created_at),
                       text(dataset->file), integer(dataset->hidden), text(dataset->description ? dataset->description : "{}"),
                       integer(dataset->parent), text(dataset->change)),
                  error);
}

enum store_result dataset_remove(struct writer *writer, const char *name, int64_t version, struct bp_error *error) {
    struct connection *c = writer_connection(writer);
    enum store_result result =
        unused_by_jobs(c,
                       "SELECT id FROM jobs WHERE finished_at = 0 AND dataset = ?1 AND (dataset_version = ?2 OR ?2 = 0) UNION "
                       "SELECT id FROM jobs WHERE finished_at = 0 AND validation_dataset = ?1 AND (validation_version = ?2 OR ?2 = 0) UNION "
                       "SELECT id FROM sweeps WHERE finished_at = 0 AND dataset = ?1 AND (dataset_version = ?2 OR ?2 = 0) ORDER BY id",
                       WITH(text(name), integer(version)), "dataset", error);
    if (result != STORE_OK) return result;

    sqlite3_stmt *s =
        db_start(c, "DELETE FROM datasets WHERE name = ?1 AND (version = ?2 OR ?2 = 0) RETURNING file, hidden", WITH(text(name), integer(version)));
    if (!s) return db_failed(c, error);
    bool hidden = false, found = false;
    int code;
    while ((code = sqlite3_step(s)) == SQLITE_ROW && result == STORE_OK) {
        const char *file = (const char *)sqlite3_column_text(s, 0);
        hidden = sqlite3_column_int(s, 1);
        found = true;
        if (!file || !writer_unlink(writer, "datasets", file)) result = out_of_memory(error);
    }
    if (result == STORE_OK && code != SQLITE_DONE) result = db_failed(c, error);
    db_end(s);
    if (result != STORE_OK) return result;
    if (!found) return STORE_NOT_FOUND;
    writer_freed(writer);
    /* A hidden name is a job's id and is never reused, so its counter is not needed. */
    return hidden ? db_run(c, "DELETE FROM counters WHERE kind = 'dataset' AND name = ?", WITH(text(name)), error) : STORE_OK;
}

/* ---- the verbs ---- */

struct creation {
    struct store_dataset *dataset;
    bool replace;
    const struct store_idempotency *idempotency;
};

static enum store_result create(struct writer *writer, void *argument, struct bp_error *error) {
    const struct creation *creation = argument;
    enum store_result result = answer_add(writer, creation->idempotency, error);
    return result == STORE_OK ? dataset_add(writer, creation->dataset, creation->replace, error) : result;
}

enum store_result store_dataset_create(struct store *store, struct store_dataset *dataset, bool replace, const struct store_idempotency *idempotency,
                                       struct bp_error *error) {
    struct creation creation = {dataset, replace, idempotency};
    enum store_result result = store_file_sync(store, "datasets", dataset->file, error);
    return result == STORE_OK ? writer_run(store, "record the dataset", create, &creation, error) : result;
}

#define DATASET_COLUMNS "name, version, rows, bytes, created_at, file, hidden, parent, change, description"

static bool dataset_read(sqlite3_stmt *s, void *item) {
    struct store_dataset *dataset = item;
    column_copy(s, 0, dataset->name, sizeof dataset->name);
    dataset->version = sqlite3_column_int64(s, 1);
    dataset->rows = sqlite3_column_int64(s, 2);
    dataset->bytes = sqlite3_column_int64(s, 3);
    dataset->created_at = sqlite3_column_int64(s, 4);
    column_copy(s, 5, dataset->file, sizeof dataset->file);
    dataset->hidden = sqlite3_column_int(s, 6);
    dataset->parent = sqlite3_column_int64(s, 7);
    column_copy(s, 8, dataset->change, sizeof dataset->change);
    return column_keep(s, 9, &dataset->description);
}

static enum store_result dataset_missing(const char *name, int64_t version, struct bp_error *error) {
    if (version) bp_error_set(error, "", "there is no dataset %s@%lld", name, (long long)version);
    else bp_error_set(error, "", "there is no dataset %s", name);
    return STORE_NOT_FOUND;
}

enum store_result store_dataset_get(struct store *store, const char *name, int64_t version, struct store_dataset *dataset, struct bp_error *error) {
    *dataset = (struct store_dataset){0};
    const struct value values[] = {text(name), integer(version)};
    struct query query = {.what = "read the dataset",
                          .values = values,
                          .values_count = version ? 2 : 1,
                          .read = dataset_read,
                          .sql = version ? "SELECT " DATASET_COLUMNS " FROM datasets WHERE name = ? AND version = ?"
                                         : "SELECT " DATASET_COLUMNS " FROM datasets WHERE name = ? ORDER BY version DESC LIMIT 1"};
    enum store_result result = query_one(store, &query, dataset, error);
    if (result != STORE_OK) store_dataset_free(dataset);
    return result == STORE_NOT_FOUND ? dataset_missing(name, version, error) : result;
}

enum store_result store_dataset_list(struct store *store, const char *after, int32_t limit, struct store_datasets *list, struct bp_error *error) {
    const struct value values[] = {text(after ? after : "")};
    struct query query = {.what = "list the datasets",
                          .values = values,
                          .values_count = 1,
                          .read = dataset_read,
                          .item_size = sizeof(struct store_dataset),
                          .limit = limit,
                          .sql = "SELECT " DATASET_COLUMNS " FROM datasets AS d WHERE name > ? AND hidden = 0 "
                                 "AND version = (SELECT max(version) FROM datasets WHERE name = d.name) ORDER BY name LIMIT ?"};
    enum store_result result = query_list(store, &query, error);
    *list = (struct store_datasets){query.count, query.has_more, query.items};
    if (result != STORE_OK) store_datasets_free(list);
    return result;
}

enum store_result store_dataset_versions(struct store *store, const char *name, int64_t after, int32_t limit, struct store_datasets *list,
                                         struct bp_error *error) {
    const struct value values[] = {text(name), integer(after > 0 ? after : INT64_MAX)};
    struct query query = {.what = "list the dataset's versions",
                          .values = values,
                          .values_count = 2,
                          .read = dataset_read,
                          .item_size = sizeof(struct store_dataset),
                          .limit = limit,
                          .sql = "SELECT " DATASET_COLUMNS " FROM datasets WHERE name = ? AND version < ? ORDER BY version DESC LIMIT ?"};
    enum store_result result = query_list(store, &query, error);
    *list = (struct store_datasets){query.count, query.has_more, query.items};
    if (result != STORE_OK) store_datasets_free(list);
    return result;
}

struct deletion {
    const char *name;
    int64_t version;
};

static enum store_result delete_dataset(struct writer *writer, void *argument, struct bp_error *error) {
    const struct deletion *deletion = argument;
    enum store_result result = dataset_remove(writer, deletion->name, deletion->version, error);
    return result == STORE_NOT_FOUND ? dataset_missing(deletion->name, deletion->version, error) : result;
}

enum store_result store_dataset_delete(struct store *store, const char *name, int64_t version, struct bp_error *error) {
    struct deletion deletion = {name, version};
    return writer_run_vital(store, "delete the dataset", delete_dataset, &deletion, error);
}

void store_dataset_free(struct store_dataset *dataset) {
    free(dataset->description);
    dataset->description = NULL;
}

void store_datasets_free(struct store_datasets *list) {
    LIST_FREE(list, store_dataset_free);
}

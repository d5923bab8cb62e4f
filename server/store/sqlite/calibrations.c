/* calibrations.c - what a version has apart from its model file: a calibration that can change, with an entity tag, and counters of its predictions.
 */
#include "server/store/sqlite/sqlite.h"

#include <stdlib.h>
#include <string.h>

static enum store_result missing(const char *model, int64_t version, struct bp_error *error) {
    bp_error_set(error, "", "there is no version %lld of model %s", (long long)version, model);
    return STORE_NOT_FOUND;
}

static bool calibration_read(sqlite3_stmt *s, void *item) {
    struct store_calibration *c = item;
    c->change = sqlite3_column_int64(s, 0);
    c->changed_at = sqlite3_column_int64(s, 1);
    column_copy(s, 2, c->actor.key_id, sizeof c->actor.key_id);
    column_copy(s, 3, c->actor.key_name, sizeof c->actor.key_name);
    return column_keep(s, 4, &c->document);
}

enum store_result store_calibration_get(struct store *store, const char *model, int64_t version, struct store_calibration *out,
                                        struct bp_error *error) {
    *out = (struct store_calibration){0};
    const struct value values[] = {text(model), integer(version)};
    const struct query query = {.what = "read the calibration of the version",
                                .values = values,
                                .values_count = 2,
                                .read = calibration_read,
                                .sql = "SELECT coalesce(c.change, 0), coalesce(c.changed_at, 0), coalesce(c.key_id, ''), coalesce(c.key_name, ''), "
                                       "c.document FROM versions AS v LEFT JOIN version_calibrations AS c ON c.version = v.id "
                                       "WHERE v.model = ? AND v.version = ?"};
    const enum store_result result = query_one(store, &query, out, error);
    if (result != STORE_OK) store_calibration_free(out);
    return result == STORE_NOT_FOUND ? missing(model, version, error) : result;
}

void store_calibration_free(struct store_calibration *calibration) {
    free(calibration->document);
    calibration->document = NULL;
}

enum store_result calibration_put(struct connection *c, int64_t version_id, const char *document, const struct store_actor *actor,
                                  struct bp_error *error) {
    return db_run(
        c,
        "INSERT INTO version_calibrations (version, document, change, changed_at, key_id, key_name) VALUES (?1, ?2, 1, ?3, ?4, ?5) "
        "ON CONFLICT (version) DO UPDATE SET document = ?2, change = change + 1, changed_at = ?3, key_id = ?4, key_name = ?5",
        WITH(integer(version_id), text(document), integer(store_now()), text(actor ? actor->key_id : ""), text(actor ? actor->key_name : "")), error);
}

static enum store_result set(struct writer *writer, void *argument, struct bp_error *error) {
    struct store_calibration_change *wanted = argument;
    struct connection *c = writer_connection(writer);
    int64_t id = 0, current = 0;
    enum store_result result =
        db_integer(c, "SELECT id FROM versions WHERE model = ? AND version = ?", WITH(text(wanted->model), integer(wanted->version)), &id, error);
    if (result == STORE_NOT_FOUND) return missing(wanted->model, wanted->version, error);
    if (result == STORE_OK) result = db_integer(c, "SELECT change FROM version_calibrations WHERE version = ?", WITH(integer(id)), &current, error);
    if (result != STORE_OK && result != STORE_NOT_FOUND) return result;
    if (wanted->if_change >= 0 && wanted->if_change != current) {
        bp_error_set(error, "", "the calibration of version %lld of model %s was changed in between: its ETag is \"%lld\"; read it again",
                     (long long)wanted->version, wanted->model, (long long)current);
        return STORE_CHANGED;
    }
    result = calibration_put(c, id, wanted->document, wanted->actor, error);
    if (result == STORE_OK) writer_versions_changed(writer);
    return result;
}

enum store_result store_calibration_set(struct store *store, const struct store_calibration_change *wanted, struct bp_error *error) {
    return writer_run(store, "store the calibration of the version", set, (void *)(uintptr_t)wanted, error);
}

/* ---- drift ---- */

struct drift {
    const char *model;
    int64_t version;
    const void *counts;
    size_t size;
};

static enum store_result put_drift(struct writer *writer, void *argument, struct bp_error *error) {
    const struct drift *drift = argument;
    struct connection *c = writer_connection(writer);
    int64_t id = 0;
    enum store_result result =
        db_integer(c, "SELECT id FROM versions WHERE model = ? AND version = ?", WITH(text(drift->model), integer(drift->version)), &id, error);
    if (result == STORE_NOT_FOUND) return missing(drift->model, drift->version, error);
    if (result != STORE_OK) return result;
    return db_run(c, "INSERT OR REPLACE INTO version_drift (version, updated_at, counts) VALUES (?, ?, ?)",
                  WITH(integer(id), integer(store_now()), blob(drift->counts, drift->size)), error);
}

enum store_result store_drift_put(struct store *store, const char *model, int64_t version, const void *counts, size_t size, struct bp_error *error) {
    struct drift drift = {model, version, counts, size};
    return writer_run(store, "store the counters of the version", put_drift, &drift, error);
}

struct read {
    void *counts;
    size_t size;
};

static bool drift_read(sqlite3_stmt *s, void *item) {
    struct read *read = item;
    const void *bytes = sqlite3_column_blob(s, 0);
    read->size = (size_t)sqlite3_column_bytes(s, 0);
    read->counts = malloc(read->size + 1);
    if (!read->counts) return false;
    if (read->size) memcpy(read->counts, bytes, read->size);
    return true;
}

enum store_result store_drift_get(struct store *store, const char *model, int64_t version, void **counts, size_t *size, struct bp_error *error) {
    const struct value values[] = {text(model), integer(version)};
    const struct query query = {.what = "read the counters of the version",
                                .values = values,
                                .values_count = 2,
                                .read = drift_read,
                                .sql = "SELECT d.counts FROM versions AS v CROSS JOIN version_drift AS d ON d.version = v.id "
                                       "WHERE v.model = ? AND v.version = ?"};
    struct read read = {0};
    const enum store_result result = query_one(store, &query, &read, error);
    *counts = result == STORE_OK ? read.counts : NULL;
    *size = result == STORE_OK ? read.size : 0;
    if (result != STORE_OK) free(read.counts);
    return result == STORE_NOT_FOUND ? STORE_OK : result;
}

/* models.c - models (a name with its current definition) and their versions (numbered, with the model file as a blob; never changed). */
#include "server/store/sqlite/sqlite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- inside a change, for others too ---- */

enum store_result model_set(struct writer *writer, const char *name, const char *definition, bool hidden, bool *created, struct bp_error *error) {
    struct connection *c = writer_connection(writer);
    int64_t now = store_now(), was_hidden = 0;
    enum store_result result = db_integer(c, "SELECT hidden FROM models WHERE name = ?", WITH(text(name)), &was_hidden, error);
    if (result == STORE_OK && (hidden || was_hidden)) {
        bp_error_set(error, "", "the name %s belongs to the model of a job; use another name", name);
        return STORE_EXISTS;
    }
    *created = result == STORE_NOT_FOUND;
    if (*created)
        return db_run(c, "INSERT INTO models (name, created_at, updated_at, hidden, definition) VALUES (?, ?, ?, ?, ?)",
                      WITH(text(name), integer(now), integer(now), integer(hidden), text(definition)), error);
    if (result == STORE_OK)
        result =
            db_run(c, "UPDATE models SET definition = ?, updated_at = ? WHERE name = ?", WITH(text(definition), integer(now), text(name)), error);
    return result;
}

enum store_result model_remove(struct writer *writer, const char *name, struct bp_error *error) {
    struct connection *c = writer_connection(writer);
    int64_t hidden = 0;
    enum store_result result = unused_by_jobs(c,
                                              "SELECT id FROM jobs WHERE finished_at = 0 AND model = ?1 UNION "
                                              "SELECT id FROM jobs WHERE finished_at = 0 AND compared_model = ?1 UNION "
                                              "SELECT id FROM sweeps WHERE finished_at = 0 AND model = ?1 ORDER BY id",
                                              WITH(text(name)), "model", error);
    if (result == STORE_OK) /* its versions go with it */
        result = db_integer(c, "DELETE FROM models WHERE name = ? RETURNING hidden", WITH(text(name)), &hidden, error);
    if (result != STORE_OK) return result;
    writer_versions_changed(writer);
    writer_freed(writer);
    return hidden ? db_run(c, "DELETE FROM counters WHERE kind = 'model' AND name = ?", WITH(text(name)), error) : STORE_OK;
}

enum store_result version_add(struct writer *writer, const struct version_new *version, int64_t *number, struct bp_error *error) {
    struct connection *c = writer_connection(writer);
    enum store_result result = counter_next(c, "model", version->model, number, error);
    if (result != STORE_OK) return result;
    result = db_run(c, "INSERT INTO versions (model, version, created_at, job, bytes, document, blob) VALUES (?, ?, ?, ?, ?, ?, ?)",
                    WITH(text(version->model), integer(*number), integer(store_now()), text(version->job), integer((int64_t)version->blob_size),
                         text(version->document), blob(version->blob, version->blob_size)),
                    error);
    if (result != STORE_OK) return result;
    const int64_t id = sqlite3_last_insert_rowid(c->db);
    result = db_run(c, "INSERT INTO trainings (version, dataset, dataset_version) SELECT ?, dataset, dataset_version FROM jobs WHERE id = ?",
                    WITH(integer(id), text(version->job)), error);
    if (result == STORE_OK && version->calibration) result = calibration_put(c, id, version->calibration, version->actor, error);
    writer_versions_changed(writer);
    const struct alias_move publish = {
        .model = version->model, .name = STORE_ALIAS_DEFAULT, .version = *number, .action = "publish", .actor = version->actor, .job = version->job};
    return result == STORE_OK && !version->held_back ? alias_move(writer, &publish, error) : result;
}

/* The names of some aliases, for a message. */
static enum store_result aliases_of(struct connection *c, const char *model, int64_t version, char *names, size_t size, struct bp_error *error) {
    size_t length = 0;
    int code = SQLITE_ERROR;
    names[0] = '\0';
    sqlite3_stmt *s =
        db_start(c, "SELECT name FROM aliases WHERE model = ? AND version = ? ORDER BY name LIMIT 5", WITH(text(model), integer(version)));
    while (s && (code = sqlite3_step(s)) == SQLITE_ROW) {
        char name[STORE_NAME_SIZE];
        column_copy(s, 0, name, sizeof name);
        if (length < size) length += (size_t)snprintf(names + length, size - length, "%s%s", length ? ", " : "", name);
    }
    const enum store_result result = code == SQLITE_DONE ? STORE_OK : db_failed(c, error);
    db_end(s);
    return result;
}

enum store_result version_remove(struct writer *writer, const char *model, int64_t version, struct bp_error *error) {
    struct connection *c = writer_connection(writer);
    char names[5 * (STORE_NAME_SIZE + 2)];
    int64_t id;
    enum store_result result = aliases_of(c, model, version, names, sizeof names, error);
    if (result == STORE_OK && names[0]) {
        bp_error_set(error, "", "version %lld of model %s is in use by the alias %s; move or delete the alias first", (long long)version, model,
                     names);
        result = STORE_IN_USE;
    }
    if (result == STORE_OK)
        result =
            unused_by_jobs(c,
                           "SELECT id FROM jobs WHERE finished_at = 0 AND reads_version > 0 AND model = ?1 AND reads_version = ?2 UNION SELECT id "
                           "FROM jobs WHERE finished_at = 0 AND compared_version > 0 AND compared_model = ?1 AND compared_version = ?2 ORDER BY id",
                           WITH(text(model), integer(version)), "version", error);
    if (result == STORE_OK)
        result = db_integer(c, "DELETE FROM versions WHERE model = ? AND version = ? RETURNING id", WITH(text(model), integer(version)), &id, error);
    if (result != STORE_OK) return result;
    writer_versions_changed(writer);
    writer_freed(writer);
    return STORE_OK;
}

/* ---- models ---- */

static enum store_result model_missing(const char *name, struct bp_error *error) {
    bp_error_set(error, "", "there is no model %s", name);
    return STORE_NOT_FOUND;
}

struct put {
    const char *name, *definition;
    const struct store_idempotency *idempotency;
    bool created;
};

static enum store_result put(struct writer *writer, void *argument, struct bp_error *error) {
    struct put *what = argument;
    enum store_result result = model_set(writer, what->name, what->definition, false, &what->created, error);
    if (result != STORE_OK || !what->idempotency) return result;
    struct store_idempotency record = *what->idempotency;
    record.status = what->created ? 201 : 200;
    return answer_add(writer, &record, error);
}

enum store_result store_model_put(struct store *store, const char *name, const char *definition, bool *created,
                                  const struct store_idempotency *idempotency, struct bp_error *error) {
    struct put argument = {.name = name, .definition = definition, .idempotency = idempotency};
    enum store_result result = writer_run(store, "record the model", put, &argument, error);
    if (created) *created = argument.created;
    return result;
}

#define MODEL_COLUMNS                                                                                                                                \
    "name, created_at, updated_at, (SELECT coalesce(max(version), 0) FROM versions WHERE model = m.name), "                                          \
    "(SELECT count(*) FROM versions WHERE model = m.name), hidden, definition, "                                                                     \
    "(SELECT json_group_object(a.name, a.version) FROM (SELECT name, version FROM aliases WHERE model = m.name ORDER BY name) AS a)"

static bool model_read(sqlite3_stmt *s, void *item) {
    struct store_model *model = item;
    column_copy(s, 0, model->name, sizeof model->name);
    model->created_at = sqlite3_column_int64(s, 1);
    model->updated_at = sqlite3_column_int64(s, 2);
    model->latest = sqlite3_column_int64(s, 3);
    model->versions = sqlite3_column_int64(s, 4);
    model->hidden = sqlite3_column_int(s, 5);
    return column_keep(s, 6, &model->definition) && column_keep(s, 7, &model->aliases);
}

enum store_result store_model_get(struct store *store, const char *name, struct store_model *model, struct bp_error *error) {
    *model = (struct store_model){0};
    const struct value values[] = {text(name)};
    struct query query = {.what = "read the model",
                          .values = values,
                          .values_count = 1,
                          .read = model_read,
                          .sql = "SELECT " MODEL_COLUMNS " FROM models AS m WHERE name = ?"};
    enum store_result result = query_one(store, &query, model, error);
    if (result != STORE_OK) store_model_free(model);
    return result == STORE_NOT_FOUND ? model_missing(name, error) : result;
}

enum store_result store_model_list(struct store *store, const char *after, int32_t limit, struct store_models *list, struct bp_error *error) {
    const struct value values[] = {text(after ? after : "")};
    struct query query = {.what = "list the models",
                          .values = values,
                          .values_count = 1,
                          .read = model_read,
                          .item_size = sizeof(struct store_model),
                          .limit = limit,
                          .sql = "SELECT " MODEL_COLUMNS " FROM models AS m WHERE name > ? AND hidden = 0 ORDER BY name LIMIT ?"};
    enum store_result result = query_list(store, &query, error);
    *list = (struct store_models){query.count, query.has_more, query.items};
    if (result != STORE_OK) store_models_free(list);
    return result;
}

static enum store_result delete_model(struct writer *writer, void *argument, struct bp_error *error) {
    const char *name = argument;
    enum store_result result = model_remove(writer, name, error);
    return result == STORE_NOT_FOUND ? model_missing(name, error) : result;
}

enum store_result store_model_delete(struct store *store, const char *name, struct bp_error *error) {
    return writer_run_vital(store, "delete the model", delete_model, (void *)(uintptr_t)name, error);
}

void store_model_free(struct store_model *model) {
    free(model->definition);
    free(model->aliases);
    model->definition = model->aliases = NULL;
}

void store_models_free(struct store_models *list) {
    LIST_FREE(list, store_model_free);
}

/* ---- versions ---- */

#define VERSION_COLUMNS                                                                                                                              \
    "v.model, v.version, v.created_at, v.job, v.bytes, coalesce((SELECT change FROM version_notes WHERE version = v.id), 0), v.document, "           \
    "(SELECT json_group_array(a.name) FROM (SELECT name FROM aliases WHERE model = v.model AND version = v.version ORDER BY name) AS a), "           \
    "coalesce((SELECT notes FROM version_notes WHERE version = v.id), ''), "                                                                         \
    "(SELECT json_group_array(t.tag) FROM (SELECT tag FROM version_tags WHERE version = v.id ORDER BY tag) AS t)"

static enum store_result version_missing(const char *model, int64_t version, struct bp_error *error) {
    if (version) bp_error_set(error, "", "there is no version %lld of model %s", (long long)version, model);
    else bp_error_set(error, "", "model %s has no version yet; train it with a job first", model);
    return STORE_NOT_FOUND;
}

static bool version_read(sqlite3_stmt *s, void *item) {
    struct store_version *version = item;
    column_copy(s, 0, version->model, sizeof version->model);
    version->version = sqlite3_column_int64(s, 1);
    version->created_at = sqlite3_column_int64(s, 2);
    column_copy(s, 3, version->job, sizeof version->job);
    version->bytes = sqlite3_column_int64(s, 4);
    version->change = sqlite3_column_int64(s, 5);
    return column_keep(s, 6, &version->document) && column_keep(s, 7, &version->aliases) && column_keep(s, 8, &version->notes) &&
           column_keep(s, 9, &version->tags);
}

enum store_result store_version_get(struct store *store, const char *model, int64_t version, struct store_version *out, struct bp_error *error) {
    *out = (struct store_version){0};
    const struct value values[] = {text(model), integer(version)};
    struct query query = {.what = "read the version",
                          .values = values,
                          .values_count = version ? 2 : 1,
                          .read = version_read,
                          .sql = version ? "SELECT " VERSION_COLUMNS " FROM versions AS v WHERE v.model = ? AND v.version = ?"
                                         : "SELECT " VERSION_COLUMNS " FROM versions AS v WHERE v.model = ? ORDER BY v.version DESC LIMIT 1"};
    enum store_result result = query_one(store, &query, out, error);
    if (result != STORE_OK) store_version_free(out);
    return result == STORE_NOT_FOUND ? version_missing(model, version, error) : result;
}

enum store_result store_version_list(struct store *store, const char *model, const struct store_version_filter *filter, struct store_versions *list,
                                     struct bp_error *error) {
    const struct value values[] = {text(model), integer(filter->after > 0 ? filter->after : INT64_MAX), text(filter->tag)};
    struct query query = {.what = "list the versions",
                          .values = values,
                          .values_count = filter->tag ? 3 : 2,
                          .read = version_read,
                          .item_size = sizeof(struct store_version),
                          .limit = filter->limit,
                          .sql = filter->tag
                                     ? "SELECT " VERSION_COLUMNS " FROM versions AS v WHERE v.model = ? AND v.version < ? AND EXISTS "
                                       "(SELECT 1 FROM version_tags AS t WHERE t.version = v.id AND t.tag = ?) ORDER BY v.version DESC LIMIT ?"
                                     : "SELECT " VERSION_COLUMNS " FROM versions AS v WHERE v.model = ? AND v.version < ? "
                                       "ORDER BY v.version DESC LIMIT ?"};
    enum store_result result = query_list(store, &query, error);
    *list = (struct store_versions){query.count, query.has_more, query.items};
    if (result != STORE_OK) store_versions_free(list);
    return result;
}

/* Reads the blob straight into the caller's buffer (a column would be assembled in SQLite's memory first). The statement that found the row is
 * still open: both see one snapshot. */
enum store_result blob_read(struct connection *c, const char *table, int64_t row, void **bytes, size_t *size, struct bp_error *error) {
    sqlite3_blob *handle = NULL;
    enum store_result result = STORE_OK;
    if (sqlite3_blob_open(c->db, "main", table, "blob", row, 0, &handle) != SQLITE_OK) {
        result = db_failed(c, error);
        sqlite3_blob_close(handle);
        return result;
    }
    int length = sqlite3_blob_bytes(handle);
    *bytes = malloc(length > 0 ? (size_t)length : 1);
    if (!*bytes) result = out_of_memory(error);
    else if (sqlite3_blob_read(handle, *bytes, length, 0) != SQLITE_OK) result = db_failed(c, error);
    *size = (size_t)length;
    sqlite3_blob_close(handle);
    return result;
}

enum store_result store_version_blob(struct store *store, const char *model, int64_t version, void **bytes, size_t *size, struct bp_error *error) {
    *bytes = NULL;
    *size = 0;
    struct connection *c = reader_take(store, "read the model file", error);
    if (!c) return STORE_FAILED;
    const struct value values[] = {text(model), integer(version)};
    sqlite3_stmt *s = db_start(c,
                               version ? "SELECT id FROM versions WHERE model = ? AND version = ?"
                                       : "SELECT id FROM versions WHERE model = ? ORDER BY version DESC LIMIT 1",
                               values, version ? 2 : 1);
    int code = s ? sqlite3_step(s) : SQLITE_ERROR;
    enum store_result result;
    if (code == SQLITE_ROW) result = blob_read(c, "versions", sqlite3_column_int64(s, 0), bytes, size, error);
    else result = code == SQLITE_DONE ? version_missing(model, version, error) : db_failed(c, error);
    db_end(s);
    reader_give(store, c);
    if (result != STORE_OK) {
        free(*bytes);
        *bytes = NULL;
        *size = 0;
    }
    return result;
}

void store_version_free(struct store_version *version) {
    char **const texts[] = {&version->document, &version->aliases, &version->notes, &version->tags};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        free(*texts[i]);
        *texts[i] = NULL;
    }
}

void store_versions_free(struct store_versions *list) {
    LIST_FREE(list, store_version_free);
}

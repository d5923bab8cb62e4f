/* copies.c - the state of a model for a follower, and such a state stored here under the numbers and times that the primary gave. Sections: reading;
 * versions; the model. */
#include "server/store/changes.h"
#include "server/store/sqlite/sqlite.h"

#include <stdlib.h>
#include <string.h>

enum { HISTORY_MAX = 1000 /* of an alias */, ITEMS_MAX = 10000000 };

/* ---- reading ---- */

struct rows {
    void *items;
    size_t size;
    int32_t count, room;
};

/* All rows of a query. A statement that is still open keeps the snapshot. */
static enum store_result read_rows(struct connection *c, const char *sql, const struct value *values, size_t count,
                                   void (*read)(sqlite3_stmt *s, void *item), struct rows *rows, struct bp_error *error) {
    sqlite3_stmt *s = db_start(c, sql, values, count);
    int code = SQLITE_ERROR;
    bool memory = true;
    while (s && memory && (code = sqlite3_step(s)) == SQLITE_ROW) {
        if (rows->count == rows->room) {
            const int32_t room = rows->room ? 2 * rows->room : 16;
            void *items = room > ITEMS_MAX ? NULL : reallocarray(rows->items, (size_t)room, rows->size);
            if ((memory = items != NULL)) rows->items = items, rows->room = room;
        }
        if (!memory) break;
        void *item = (char *)rows->items + rows->size * (size_t)rows->count++;
        memset(item, 0, rows->size);
        read(s, item);
    }
    const enum store_result result = !memory ? out_of_memory(error) : code == SQLITE_DONE ? STORE_OK : db_failed(c, error);
    db_end(s);
    return result;
}

static void version_read(sqlite3_stmt *s, void *item) {
    struct store_copied_version *version = item;
    version->version = sqlite3_column_int64(s, 0);
    version->created_at = sqlite3_column_int64(s, 1);
    version->bytes = sqlite3_column_int64(s, 2);
    version->notes = sqlite3_column_int64(s, 3);
    version->calibration = sqlite3_column_int64(s, 4);
    column_copy(s, 5, version->job, sizeof version->job);
}

static void alias_read(sqlite3_stmt *s, void *item) {
    struct store_alias *alias = item;
    column_copy(s, 0, alias->name, sizeof alias->name);
    alias->version = sqlite3_column_int64(s, 1);
    alias->change = sqlite3_column_int64(s, 2);
}

static void history_read(sqlite3_stmt *s, void *item) {
    struct store_alias *alias = item;
    alias_read(s, item);
    alias->previous = sqlite3_column_int64(s, 3);
    alias->changed_at = sqlite3_column_int64(s, 4);
    column_copy(s, 5, alias->action, sizeof alias->action);
    column_copy(s, 6, alias->actor.key_id, sizeof alias->actor.key_id);
    column_copy(s, 7, alias->actor.key_name, sizeof alias->actor.key_name);
    column_copy(s, 8, alias->job, sizeof alias->job);
}

static enum store_result read_parts(struct connection *c, int64_t history_after, struct store_copy *copy, struct bp_error *error) {
    struct rows versions = {.size = sizeof *copy->versions}, aliases = {.size = sizeof *copy->aliases}, history = {.size = sizeof *copy->history};
    enum store_result result =
        read_rows(c,
                  "SELECT v.version, v.created_at, v.bytes, coalesce((SELECT change FROM version_notes WHERE version = v.id), 0), "
                  "coalesce((SELECT change FROM version_calibrations WHERE version = v.id), 0), v.job FROM versions AS v WHERE v.model = ? "
                  "ORDER BY v.version",
                  WITH(text(copy->name)), version_read, &versions, error);
    if (result == STORE_OK)
        result = read_rows(c, "SELECT name, version, change FROM aliases WHERE model = ? ORDER BY name", WITH(text(copy->name)), alias_read, &aliases,
                           error);
    if (result == STORE_OK)
        result = read_rows(c,
                           "SELECT name, version, id, previous, at, action, key_id, key_name, job FROM alias_changes WHERE model = ? AND id > ? "
                           "ORDER BY id",
                           WITH(text(copy->name), integer(history_after)), history_read, &history, error);
    copy->versions = versions.items, copy->versions_count = versions.count;
    copy->aliases = aliases.items, copy->aliases_count = aliases.count;
    copy->history = history.items, copy->history_count = history.count;
    return result;
}

enum store_result store_copy_read(struct store *store, const char *name, int64_t history_after, struct store_copy *copy, struct bp_error *error) {
    *copy = (struct store_copy){0};
    struct connection *c = reader_take(store, "read the state of the model", error);
    if (!c) return STORE_FAILED;
    sqlite3_stmt *s = db_start(c,
                               "SELECT name, created_at, updated_at, definition, coalesce((SELECT last FROM counters WHERE kind = 'model' AND name = "
                               "m.name), 0) FROM models AS m WHERE name = ? AND hidden = 0",
                               WITH(text(name)));
    const int code = s ? sqlite3_step(s) : SQLITE_ERROR;
    enum store_result result = code == SQLITE_ROW ? STORE_OK : code == SQLITE_DONE ? STORE_NOT_FOUND : db_failed(c, error);
    if (result == STORE_OK) {
        column_copy(s, 0, copy->name, sizeof copy->name);
        copy->created_at = sqlite3_column_int64(s, 1);
        copy->updated_at = sqlite3_column_int64(s, 2);
        copy->last = sqlite3_column_int64(s, 4);
        result = column_keep(s, 3, &copy->definition) ? read_parts(c, history_after, copy, error) : out_of_memory(error);
    }
    db_end(s);
    reader_give(store, c);
    if (result == STORE_NOT_FOUND) bp_error_set(error, "", "there is no model %s", name);
    if (result != STORE_OK) store_copy_free(copy);
    return result;
}

void store_copy_free(struct store_copy *copy) {
    free(copy->definition);
    free(copy->versions);
    free(copy->aliases);
    free(copy->history);
    *copy = (struct store_copy){0};
}

/* ---- versions ---- */

static enum store_result settings_put(struct writer *writer, int64_t id, const struct store_copied_settings *s, struct bp_error *error) {
    struct connection *c = writer_connection(writer);
    enum store_result result = db_run(c, "DELETE FROM version_tags WHERE version = ?", WITH(integer(id)), error);
    for (int32_t i = 0; result == STORE_OK && i < s->tags_count; i++)
        result = db_run(c, "INSERT OR IGNORE INTO version_tags (version, tag) VALUES (?, ?)", WITH(integer(id), text(s->tags[i])), error);
    if (result == STORE_OK && s->notes_change)
        result = db_run(c, "INSERT OR REPLACE INTO version_notes (version, notes, change) VALUES (?, ?, ?)",
                        WITH(integer(id), text(s->notes), integer(s->notes_change)), error);
    else if (result == STORE_OK) result = db_run(c, "DELETE FROM version_notes WHERE version = ?", WITH(integer(id)), error);
    if (result == STORE_OK && s->calibration_change)
        result = db_run(c,
                        "INSERT OR REPLACE INTO version_calibrations (version, document, change, changed_at, key_id, key_name) VALUES (?, ?, ?, ?, "
                        "?, ?)",
                        WITH(integer(id), text(s->calibration), integer(s->calibration_change), integer(s->calibration_at), text(s->actor.key_id),
                             text(s->actor.key_name)),
                        error);
    else if (result == STORE_OK) result = db_run(c, "DELETE FROM version_calibrations WHERE version = ?", WITH(integer(id)), error);
    writer_versions_changed(writer);
    return result;
}

static enum store_result model_put(struct connection *c, const struct store_copy *copy, struct bp_error *error) {
    return db_run(c,
                  "INSERT INTO models (name, created_at, updated_at, hidden, definition) VALUES (?1, ?2, ?3, 0, ?4) ON CONFLICT (name) DO UPDATE SET "
                  "created_at = ?2, updated_at = ?3, definition = ?4 WHERE created_at <> ?2 OR updated_at <> ?3 OR definition <> ?4",
                  WITH(text(copy->name), integer(copy->created_at), integer(copy->updated_at), text(copy->definition)), error);
}

static enum store_result version_put(struct writer *writer, void *argument, struct bp_error *error) {
    const struct store_version_copy *copy = argument;
    const struct store_copied_version *v = copy->version;
    struct connection *c = writer_connection(writer);
    int64_t id = 0;
    enum store_result result = model_put(c, copy->model, error);
    if (result == STORE_OK)
        result = db_integer(c,
                            "INSERT INTO versions (model, version, created_at, job, bytes, document, blob) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON "
                            "CONFLICT (model, version) DO UPDATE SET created_at = ?3, job = ?4, bytes = ?5, document = ?6, blob = ?7 RETURNING id",
                            WITH(text(copy->model->name), integer(v->version), integer(v->created_at), text(v->job), integer(v->bytes),
                                 text(copy->document), blob(copy->blob, copy->blob_size)),
                            &id, error);
    if (result == STORE_OK) result = db_run(c, "DELETE FROM version_tests WHERE version = ?", WITH(integer(id)), error);
    if (result == STORE_OK && copy->test)
        result = db_run(c, "INSERT INTO version_tests (version, document) VALUES (?, ?)", WITH(integer(id), text(copy->test)), error);
    return result == STORE_OK ? settings_put(writer, id, &copy->settings, error) : result;
}

enum store_result store_copy_version(struct store *store, const struct store_version_copy *copy, struct bp_error *error) {
    return writer_run(store, "store a copy of the version", version_put, (void *)(uintptr_t)copy, error);
}

struct changing {
    const char *model;
    int64_t version;
    const struct store_copied_settings *settings;
};

static enum store_result change_settings(struct writer *writer, void *argument, struct bp_error *error) {
    const struct changing *changing = argument;
    int64_t id = 0;
    const enum store_result result = db_integer(writer_connection(writer), "SELECT id FROM versions WHERE model = ? AND version = ?",
                                                WITH(text(changing->model), integer(changing->version)), &id, error);
    return result == STORE_OK ? settings_put(writer, id, changing->settings, error) : result;
}

enum store_result store_copy_settings(struct store *store, const char *model, int64_t version, const struct store_copied_settings *settings,
                                      struct bp_error *error) {
    struct changing changing = {model, version, settings};
    return writer_run(store, "store a copy of the calibration", change_settings, &changing, error);
}

/* ---- the model ---- */

/* Ids of changes are given once on a primary, over all models. After it was restored from a backup it gives some again: the row of another model that
 * has one goes elsewhere until that model is copied too. */
static enum store_result history_make_room(struct connection *c, const char *model, int64_t id, struct bp_error *error) {
    int64_t other = 0;
    enum store_result result =
        db_integer(c, "SELECT 1 FROM alias_changes WHERE id = ? AND model <> ?", WITH(integer(id), text(model)), &other, error);
    if (result != STORE_OK) return result == STORE_NOT_FOUND ? STORE_OK : result;
    result = db_integer(c, "SELECT min(0, min(id)) - 1 FROM alias_changes", NONE, &other, error);
    if (result == STORE_OK) result = db_run(c, "UPDATE alias_changes SET id = ? WHERE id = ?", WITH(integer(other), integer(id)), error);
    return result == STORE_OK ? db_run(c, "UPDATE aliases SET change = ? WHERE change = ?", WITH(integer(other), integer(id)), error) : result;
}

static enum store_result history_put(struct connection *c, const struct store_copy *copy, bool whole, struct bp_error *error) {
    enum store_result result = whole ? db_run(c, "DELETE FROM alias_changes WHERE model = ?", WITH(text(copy->name)), error) : STORE_OK;
    for (int32_t i = 0; result == STORE_OK && i < copy->history_count; i++) {
        const struct store_alias *a = &copy->history[i];
        result = history_make_room(c, copy->name, a->change, error);
        if (result == STORE_OK)
            result = db_run(c,
                            "INSERT OR REPLACE INTO alias_changes (id, model, name, previous, version, at, action, key_id, key_name, job) VALUES (?, "
                            "?, ?, ?, ?, ?, ?, ?, ?, ?)",
                            WITH(integer(a->change), text(copy->name), text(a->name), integer(a->previous), integer(a->version),
                                 integer(a->changed_at), text(a->action), text(a->actor.key_id), text(a->actor.key_name), text(a->job)),
                            error);
        if (result == STORE_OK)
            result = db_run(c,
                            "DELETE FROM alias_changes WHERE model = ?1 AND name = ?2 AND id <= (SELECT id FROM alias_changes WHERE model = ?1 AND "
                            "name = ?2 ORDER BY id DESC LIMIT 1 OFFSET ?3)",
                            WITH(text(copy->name), text(a->name), integer(HISTORY_MAX)), error);
    }
    return result;
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const struct store_alias *)a)->name, ((const struct store_alias *)b)->name);
}

static int by_number(const void *a, const void *b) {
    const int64_t x = ((const struct store_copied_version *)a)->version, y = ((const struct store_copied_version *)b)->version;
    return (x > y) - (x < y);
}

/* Only what differs: each change is one of this folder's feed, too. */
static enum store_result aliases_put(struct writer *writer, const struct store_copy *copy, const struct store_copy *here, struct bp_error *error) {
    struct connection *c = writer_connection(writer);
    enum store_result result = STORE_OK;
    for (int32_t i = 0; result == STORE_OK && i < here->aliases_count; i++)
        if (!copy->aliases_count || !bsearch(&here->aliases[i], copy->aliases, (size_t)copy->aliases_count, sizeof *copy->aliases, by_name)) {
            result = db_run(c, "DELETE FROM aliases WHERE model = ? AND name = ?", WITH(text(copy->name), text(here->aliases[i].name)), error);
            writer_versions_changed(writer);
        }
    for (int32_t i = 0; result == STORE_OK && i < copy->aliases_count; i++) {
        const struct store_alias *a = &copy->aliases[i],
                                 *b = here->aliases_count ? bsearch(a, here->aliases, (size_t)here->aliases_count, sizeof *here->aliases, by_name)
                                                          : NULL;
        if (b && b->version == a->version && b->change == a->change) continue;
        result = db_run(c, "INSERT OR REPLACE INTO aliases (model, name, version, change) VALUES (?, ?, ?, ?)",
                        WITH(text(copy->name), text(a->name), integer(a->version), integer(a->change)), error);
        writer_versions_changed(writer);
    }
    return result;
}

static enum store_result versions_remove(struct writer *writer, const struct store_copy *copy, const struct store_copy *here,
                                         struct bp_error *error) {
    enum store_result result = STORE_OK;
    for (int32_t i = 0; result == STORE_OK && i < here->versions_count; i++)
        if (!copy->versions_count || !bsearch(&here->versions[i], copy->versions, (size_t)copy->versions_count, sizeof *copy->versions, by_number))
            result = version_remove(writer, copy->name, here->versions[i].version, error);
    return result;
}

struct applying {
    const struct store_copy *copy;
    bool whole;
};

static enum store_result apply(struct writer *writer, void *argument, struct bp_error *error) {
    const struct applying *applying = argument;
    const struct store_copy *copy = applying->copy;
    struct connection *c = writer_connection(writer);
    struct store_copy here = {0};
    memcpy(here.name, copy->name, sizeof here.name);
    enum store_result result = model_put(c, copy, error);
    if (result == STORE_OK) result = read_parts(c, INT64_MAX, &here, error);
    if (result == STORE_OK)
        result = db_run(c, "INSERT INTO counters (kind, name, last) VALUES ('model', ?1, ?2) ON CONFLICT (kind, name) DO UPDATE SET last = ?2",
                        WITH(text(copy->name), integer(copy->last)), error);
    if (result == STORE_OK) result = history_put(c, copy, applying->whole, error);
    if (result == STORE_OK) result = aliases_put(writer, copy, &here, error);
    if (result == STORE_OK) result = versions_remove(writer, copy, &here, error);
    store_copy_free(&here);
    return result;
}

enum store_result store_copy_apply(struct store *store, const struct store_copy *copy, bool whole, struct bp_error *error) {
    struct applying applying = {copy, whole};
    return writer_run(store, "store a copy of the model", apply, &applying, error);
}

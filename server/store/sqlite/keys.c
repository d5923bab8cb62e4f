/* keys.c - API keys and the audit log: the statements. Who runs them is in access.c (commands) and here (the server's writer and readers). */
#include "server/store/sqlite/keys.h"

#include <stdlib.h>
#include <string.h>

#define KEY_COLUMNS                                                                                                                                  \
    "id, name, scope, hash, previous_hash, previous_until, created_at, rotated_at, expires_at, revoked_at, last_used_at, last_address "

static void key_read(sqlite3_stmt *s, struct store_key *key) {
    column_copy(s, 0, key->id, sizeof key->id);
    column_copy(s, 1, key->name, sizeof key->name);
    column_copy(s, 2, key->scope, sizeof key->scope);
    column_copy(s, 3, key->hash, sizeof key->hash);
    column_copy(s, 4, key->previous_hash, sizeof key->previous_hash);
    key->previous_until = sqlite3_column_int64(s, 5);
    key->created_at = sqlite3_column_int64(s, 6);
    key->rotated_at = sqlite3_column_int64(s, 7);
    key->expires_at = sqlite3_column_int64(s, 8);
    key->revoked_at = sqlite3_column_int64(s, 9);
    key->last_used_at = sqlite3_column_int64(s, 10);
    column_copy(s, 11, key->last_address, sizeof key->last_address);
}

static enum store_result missing(const char *name, struct bp_error *error) {
    bp_error_set(error, "", "there is no key \"%.64s\"; `backpropd keys list` shows them", name);
    return STORE_NOT_FOUND;
}

enum store_result key_insert(struct connection *c, struct store_key *key, struct bp_error *error) {
    int64_t count = 0, same = 0;
    key->created_at = store_now();
    enum store_result result = db_integer(c, "SELECT count(*) FROM keys WHERE revoked_at = 0", NONE, &count, error);
    if (result == STORE_OK)
        result = db_integer(c, "SELECT count(*) FROM keys WHERE revoked_at = 0 AND name = ?", WITH(text(key->name)), &same, error);
    if (result != STORE_OK) return result;
    if (same) {
        bp_error_set(error, "", "there is a key \"%.64s\"; use another name, or `backpropd keys rotate %.64s`", key->name, key->name);
        return STORE_EXISTS;
    }
    if (count >= STORE_KEYS_MAX) {
        bp_error_set(error, "", "there are %d keys, which is the limit; revoke those that are not used", STORE_KEYS_MAX);
        return STORE_FULL;
    }
    return db_run(c, "INSERT INTO keys (id, name, scope, hash, created_at, expires_at) VALUES (?, ?, ?, ?, ?, ?)",
                  WITH(text(key->id), text(key->name), text(key->scope), text(key->hash), integer(key->created_at), integer(key->expires_at)), error);
}

enum store_result key_get(struct connection *c, const char *name, struct store_key *key, struct bp_error *error) {
    sqlite3_stmt *s = db_start(c, "SELECT " KEY_COLUMNS "FROM keys WHERE revoked_at = 0 AND name = ?", WITH(text(name)));
    const int code = s ? sqlite3_step(s) : SQLITE_ERROR;
    enum store_result result = code == SQLITE_ROW ? STORE_OK : code == SQLITE_DONE ? missing(name, error) : db_failed(c, error);
    if (result == STORE_OK) key_read(s, key);
    db_end(s);
    return result;
}

enum store_result key_replace(struct connection *c, const struct store_key *key, struct bp_error *error) {
    enum store_result result =
        db_run(c,
               "UPDATE keys SET previous_hash = hash, previous_until = ?, hash = ?, rotated_at = ?, expires_at = ? "
               "WHERE id = ? AND revoked_at = 0",
               WITH(integer(key->previous_until), text(key->hash), integer(store_now()), integer(key->expires_at), text(key->id)), error);
    return result == STORE_OK && sqlite3_changes(c->db) == 0 ? missing(key->name, error) : result;
}

/* Of those that were revoked the newest are kept. */
enum store_result key_revoke(struct connection *c, const char *name, struct bp_error *error) {
    enum store_result result = db_run(c, "UPDATE keys SET revoked_at = ?, previous_until = 0 WHERE name = ? AND revoked_at = 0",
                                      WITH(integer(store_now()), text(name)), error);
    if (result == STORE_OK && sqlite3_changes(c->db) == 0) return missing(name, error);
    if (result != STORE_OK) return result;
    return db_run(
        c, "DELETE FROM keys WHERE revoked_at > 0 AND id NOT IN (SELECT id FROM keys WHERE revoked_at > 0 ORDER BY revoked_at DESC, id LIMIT ?)",
        WITH(integer(STORE_KEYS_MAX)), error);
}

enum store_result keys_read(struct connection *c, struct store_keys *keys, struct bp_error *error) {
    int64_t any = 0;
    *keys = (struct store_keys){0};
    enum store_result result = db_integer(c, "SELECT revision FROM keys_revision", NONE, &keys->revision, error);
    if (result == STORE_OK) result = db_integer(c, "SELECT count(*) FROM keys", NONE, &any, error);
    if (result != STORE_OK) return result;
    keys->any = any > 0;
    keys->items = calloc(STORE_KEYS_MAX, sizeof *keys->items);
    if (!keys->items) return out_of_memory(error);
    sqlite3_stmt *s = db_start(c, "SELECT " KEY_COLUMNS "FROM keys WHERE revoked_at = 0 ORDER BY name LIMIT ?", WITH(integer(STORE_KEYS_MAX)));
    int code = SQLITE_ERROR;
    columns_lost();
    while (s && (code = sqlite3_step(s)) == SQLITE_ROW && keys->count < STORE_KEYS_MAX) key_read(s, &keys->items[keys->count++]);
    result = code != SQLITE_DONE && code != SQLITE_ROW ? db_failed(c, error) : columns_lost() ? out_of_memory(error) : STORE_OK;
    db_end(s);
    if (result != STORE_OK) store_keys_free(keys);
    return result;
}

void store_keys_free(struct store_keys *keys) {
    free(keys->items);
    *keys = (struct store_keys){0};
}

/* ---- the audit log ---- */

static enum store_result trim(struct connection *c, bool denied, int64_t most, struct bp_error *error) {
    return db_run(c, "DELETE FROM audit WHERE denied = ?1 AND id <= (SELECT id FROM audit WHERE denied = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)",
                  WITH(integer(denied), integer(most)), error);
}

enum store_result audit_add(struct connection *c, const struct store_audit *entries, int32_t count, struct bp_error *error) {
    enum store_result result = STORE_OK;
    for (int32_t i = 0; i < count && result == STORE_OK; i++) {
        const struct store_audit *e = &entries[i];
        result = db_run(c,
                        "INSERT INTO audit (at, denied, key_id, key_name, address, action, target, status, request_id) "
                        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                        WITH(integer(e->at), integer(e->denied), text(e->key_id), text(e->key_name), text(e->address), text(e->action),
                             text(e->target), integer(e->status), text(e->request_id)),
                        error);
    }
    if (count && result == STORE_OK) result = trim(c, false, STORE_AUDIT_CHANGES_MAX, error);
    if (count && result == STORE_OK) result = trim(c, true, STORE_AUDIT_DENIED_MAX, error);
    return result;
}

enum store_result audit_read(struct connection *c, int64_t before, int32_t limit, struct store_audits *list, struct bp_error *error) {
    *list = (struct store_audits){.items = calloc((size_t)limit + 1, sizeof *list->items)};
    if (!list->items) return out_of_memory(error);
    sqlite3_stmt *s = db_start(c,
                               "SELECT id, at, denied, key_id, key_name, address, action, target, status, request_id FROM audit "
                               "WHERE ?1 = 0 OR id < ?1 ORDER BY id DESC LIMIT ?2",
                               WITH(integer(before), integer((int64_t)limit + 1)));
    int code = SQLITE_ERROR;
    columns_lost();
    while (s && (code = sqlite3_step(s)) == SQLITE_ROW && list->count <= limit) {
        struct store_audit *e = &list->items[list->count++];
        e->id = sqlite3_column_int64(s, 0);
        e->at = sqlite3_column_int64(s, 1);
        e->denied = sqlite3_column_int(s, 2) != 0;
        column_copy(s, 3, e->key_id, sizeof e->key_id);
        column_copy(s, 4, e->key_name, sizeof e->key_name);
        column_copy(s, 5, e->address, sizeof e->address);
        column_copy(s, 6, e->action, sizeof e->action);
        column_copy(s, 7, e->target, sizeof e->target);
        e->status = sqlite3_column_int(s, 8);
        column_copy(s, 9, e->request_id, sizeof e->request_id);
    }
    enum store_result result = code != SQLITE_DONE && code != SQLITE_ROW ? db_failed(c, error) : columns_lost() ? out_of_memory(error) : STORE_OK;
    db_end(s);
    list->has_more = list->count > limit;
    if (list->has_more) list->count = limit;
    if (result != STORE_OK) store_audits_free(list);
    return result;
}

void store_audits_free(struct store_audits *list) {
    free(list->items);
    *list = (struct store_audits){0};
}

/* ---- the server's side ---- */

enum store_result store_keys_load(struct store *store, struct store_keys *keys, struct bp_error *error) {
    struct connection *c = reader_take(store, "read the API keys", error);
    *keys = (struct store_keys){0};
    if (!c) return STORE_FAILED;
    enum store_result result = db_run(c, "BEGIN", NONE, error);
    if (result == STORE_OK) result = keys_read(c, keys, error);
    if (!sqlite3_get_autocommit(c->db)) db_run(c, "COMMIT", NONE, NULL);
    reader_give(store, c);
    return result;
}

enum store_result store_keys_revision(struct store *store, int64_t *revision, struct bp_error *error) {
    struct connection *c = reader_take(store, "look for changed API keys", error);
    if (!c) return STORE_FAILED;
    enum store_result result = db_integer(c, "SELECT revision FROM keys_revision", NONE, revision, error);
    reader_give(store, c);
    return result;
}

static enum store_result activity_add(struct writer *writer, void *argument, struct bp_error *error) {
    const struct store_activity *a = argument;
    struct connection *c = writer_connection(writer);
    enum store_result result = STORE_OK;
    for (int32_t i = 0; i < a->uses_count && result == STORE_OK; i++)
        result = db_run(c, "UPDATE keys SET last_used_at = max(last_used_at, ?), last_address = ? WHERE id = ?",
                        WITH(integer(a->uses[i].last_used_at), text(a->uses[i].last_address), text(a->uses[i].id)), error);
    return result == STORE_OK ? audit_add(c, a->entries, a->entries_count, error) : result;
}

enum store_result store_activity_add(struct store *store, const struct store_activity *activity, struct bp_error *error) {
    return writer_run(store, "store the use of API keys and the audit log", activity_add, (void *)(uintptr_t)activity, error);
}

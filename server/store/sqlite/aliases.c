/* aliases.c - names for versions of a model, which can be moved: the alias `default` is what is served. Every change is a row of the history, and the
 * id of that row is the entity tag of the alias: it grows, and is never given twice.
 *
 * Sections: inside a change; reading; the verbs. */
#include "server/store/sqlite/sqlite.h"

#include <stdlib.h>
#include <string.h>

enum { ALIASES_MAX = 100, HISTORY_MAX = 1000 };

/* ---- inside a change ---- */

/* Both 0: there is no such alias. */
static enum store_result alias_now(struct connection *c, const char *model, const char *name, int64_t *version, int64_t *id, struct bp_error *error) {
    *version = *id = 0;
    sqlite3_stmt *s = db_start(c, "SELECT version, change FROM aliases WHERE model = ? AND name = ?", WITH(text(model), text(name)));
    const int code = s ? sqlite3_step(s) : SQLITE_ERROR;
    if (code == SQLITE_ROW) {
        *version = sqlite3_column_int64(s, 0);
        *id = sqlite3_column_int64(s, 1);
    }
    const enum store_result result = code == SQLITE_ROW || code == SQLITE_DONE ? STORE_OK : db_failed(c, error);
    db_end(s);
    return result;
}

static enum store_result aliases_room(struct connection *c, const char *model, struct bp_error *error) {
    int64_t count = 0;
    enum store_result result = db_integer(c, "SELECT count(*) FROM aliases WHERE model = ?", WITH(text(model)), &count, error);
    if (result != STORE_OK || count < ALIASES_MAX) return result;
    bp_error_set(error, "", "model %s has %d aliases, as many as a model may have; delete one that is not used", model, ALIASES_MAX);
    return STORE_CONFLICT;
}

/* The row of the history, whose id is *change. */
static enum store_result change_add(struct connection *c, const struct alias_move *move, int64_t previous, int64_t *id, struct bp_error *error) {
    const struct store_actor none = {0}, *actor = move->actor ? move->actor : &none;
    enum store_result result =
        db_run(c, "INSERT INTO alias_changes (model, name, previous, version, at, action, key_id, key_name, job) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
               WITH(text(move->model), text(move->name), integer(previous), integer(move->version), integer(store_now()), text(move->action),
                    text(actor->key_id), text(actor->key_name), text(move->job ? move->job : "")),
               error);
    *id = sqlite3_last_insert_rowid(c->db);
    if (result != STORE_OK) return result;
    return db_run(c,
                  "DELETE FROM alias_changes WHERE model = ?1 AND name = ?2 AND id <= (SELECT id FROM alias_changes WHERE model = ?1 AND name = ?2 "
                  "ORDER BY id DESC LIMIT 1 OFFSET ?3)",
                  WITH(text(move->model), text(move->name), integer(HISTORY_MAX)), error);
}

enum store_result alias_move(struct writer *writer, const struct alias_move *move, struct bp_error *error) {
    struct connection *c = writer_connection(writer);
    int64_t previous, id;
    enum store_result result = alias_now(c, move->model, move->name, &previous, &id, error);
    if (result == STORE_OK && !previous && move->version) result = aliases_room(c, move->model, error);
    if (result == STORE_OK) result = change_add(c, move, previous, &id, error);
    if (result != STORE_OK) return result;
    writer_versions_changed(writer);
    if (!move->version) return db_run(c, "DELETE FROM aliases WHERE model = ? AND name = ?", WITH(text(move->model), text(move->name)), error);
    return db_run(c, "INSERT OR REPLACE INTO aliases (model, name, version, change) VALUES (?, ?, ?, ?)",
                  WITH(text(move->model), text(move->name), integer(move->version), integer(id)), error);
}

enum store_result alias_default(struct connection *c, const char *model, int64_t *version, struct bp_error *error) {
    int64_t id;
    return alias_now(c, model, STORE_ALIAS_DEFAULT, version, &id, error);
}

/* ---- reading ---- */

static enum store_result alias_missing(const char *model, const char *name, struct bp_error *error) {
    bp_error_set(error, "", "model %s has no alias %s", model, name);
    return STORE_NOT_FOUND;
}

#define CHANGE_COLUMNS "h.id, h.model, h.name, h.previous, h.version, h.at, h.action, h.key_id, h.key_name, h.job"

static bool change_read(sqlite3_stmt *s, void *item) {
    struct store_alias *alias = item;
    alias->change = sqlite3_column_int64(s, 0);
    column_copy(s, 1, alias->model, sizeof alias->model);
    column_copy(s, 2, alias->name, sizeof alias->name);
    alias->previous = sqlite3_column_int64(s, 3);
    alias->version = sqlite3_column_int64(s, 4);
    alias->changed_at = sqlite3_column_int64(s, 5);
    column_copy(s, 6, alias->action, sizeof alias->action);
    column_copy(s, 7, alias->actor.key_id, sizeof alias->actor.key_id);
    column_copy(s, 8, alias->actor.key_name, sizeof alias->actor.key_name);
    column_copy(s, 9, alias->job, sizeof alias->job);
    return true;
}

enum store_result store_alias_get(struct store *store, const char *model, const char *name, struct store_alias *alias, struct bp_error *error) {
    *alias = (struct store_alias){0};
    const struct value values[] = {text(model), text(name)};
    struct query query = {.what = "read the alias",
                          .values = values,
                          .values_count = 2,
                          .read = change_read,
                          .sql = "SELECT " CHANGE_COLUMNS " FROM aliases AS a CROSS JOIN alias_changes AS h ON h.id = a.change "
                                 "WHERE a.model = ? AND a.name = ?"};
    enum store_result result = query_one(store, &query, alias, error);
    return result == STORE_NOT_FOUND ? alias_missing(model, name, error) : result;
}

enum store_result store_alias_list(struct store *store, const char *model, const char *after, int32_t limit, struct store_aliases *list,
                                   struct bp_error *error) {
    const struct value values[] = {text(model), text(after ? after : "")};
    struct query query = {.what = "list the aliases",
                          .values = values,
                          .values_count = 2,
                          .read = change_read,
                          .item_size = sizeof(struct store_alias),
                          .limit = limit,
                          .sql = "SELECT " CHANGE_COLUMNS " FROM aliases AS a CROSS JOIN alias_changes AS h ON h.id = a.change "
                                 "WHERE a.model = ? AND a.name > ? ORDER BY a.name LIMIT ?"};
    enum store_result result = query_list(store, &query, error);
    *list = (struct store_aliases){query.count, query.has_more, query.items};
    if (result != STORE_OK) store_aliases_free(list);
    return result;
}

enum store_result store_alias_history(struct store *store, const char *model, const char *name, int64_t after, int32_t limit,
                                      struct store_aliases *list, struct bp_error *error) {
    const struct value values[] = {text(model), text(name), integer(after > 0 ? after : INT64_MAX)};
    struct query query = {.what = "read the history of the alias",
                          .values = values,
                          .values_count = 3,
                          .read = change_read,
                          .item_size = sizeof(struct store_alias),
                          .limit = limit,
                          .sql = "SELECT " CHANGE_COLUMNS " FROM alias_changes AS h WHERE h.model = ? AND h.name = ? AND h.id < ? "
                                 "ORDER BY h.id DESC LIMIT ?"};
    enum store_result result = query_list(store, &query, error);
    *list = (struct store_aliases){query.count, query.has_more, query.items};
    if (result == STORE_OK && list->count == 0 && after == 0) result = alias_missing(model, name, error);
    if (result != STORE_OK) store_aliases_free(list);
    return result;
}

void store_aliases_free(struct store_aliases *list) {
    free(list->items);
    memset(list, 0, sizeof *list);
}

/* The version, and how often its calibration was changed. */
static enum store_result locate(struct connection *c, const char *sql, const struct value *values, size_t count, int64_t found[2],
                                struct bp_error *error) {
    sqlite3_stmt *s = db_start(c, sql, values, count);
    const int code = s ? sqlite3_step(s) : SQLITE_ERROR;
    for (int i = 0; i < 2; i++) found[i] = code == SQLITE_ROW ? sqlite3_column_int64(s, i) : 0;
    const enum store_result result = code == SQLITE_ROW ? STORE_OK : code == SQLITE_DONE ? STORE_NOT_FOUND : db_failed(c, error);
    db_end(s);
    return result;
}

enum store_result store_version_find(struct store *store, const char *model, const char *reference, int64_t *version, struct bp_error *error) {
    int64_t calibration;
    return store_version_locate(store, model, reference, version, &calibration, error);
}

#define LOCATED "SELECT v.version, coalesce((SELECT change FROM version_calibrations WHERE version = v.id), 0) FROM "

enum store_result store_version_locate(struct store *store, const char *model, const char *reference, int64_t *version, int64_t *calibration,
                                       struct bp_error *error) {
    int64_t found[2] = {0};
    *version = *calibration = 0;
    if (!reference || !*reference) reference = STORE_ALIAS_DEFAULT;
    const bool latest = strcmp(reference, STORE_LATEST) == 0, number = reference[strspn(reference, "0123456789")] == '\0';
    const int64_t wanted = number ? strtoll(reference, NULL, 10) : 0;
    struct connection *c = reader_take(store, "read the version", error);
    if (!c) return STORE_FAILED;
    enum store_result result;
    if (number) result = locate(c, LOCATED "versions AS v WHERE v.model = ? AND v.version = ?", WITH(text(model), integer(wanted)), found, error);
    else if (latest) result = locate(c, LOCATED "versions AS v WHERE v.model = ? ORDER BY v.version DESC LIMIT 1", WITH(text(model)), found, error);
    else
        result = locate(c,
                        LOCATED "aliases AS a CROSS JOIN versions AS v ON v.model = a.model AND v.version = a.version "
                                "WHERE a.model = ? AND a.name = ?",
                        WITH(text(model), text(reference)), found, error);
    *version = found[0];
    *calibration = found[1];
    int64_t newest = 0;
    if (result == STORE_NOT_FOUND)
        db_integer(c, "SELECT version FROM versions WHERE model = ? ORDER BY version DESC LIMIT 1", WITH(text(model)), &newest, NULL);
    reader_give(store, c);
    if (result != STORE_NOT_FOUND) return result;
    if (number) bp_error_set(error, "", "there is no version %.60s of model %s", reference, model);
    else if (!newest) bp_error_set(error, "", "model %s has no version yet; train it with a job first", model);
    else if (strcmp(reference, STORE_ALIAS_DEFAULT) == 0)
        bp_error_set(error, "", "no version of model %s is published; publish one: PUT /v1/models/%s/aliases/default {\"version\":%lld}", model,
                     model, (long long)newest);
    else bp_error_set(error, "", "model %s has no alias %.80s", model, reference);
    return result;
}

/* ---- the verbs ---- */

struct changing {
    const struct store_alias_change *wanted;
    enum { CHANGE_SET, CHANGE_DELETE, CHANGE_ROLLBACK } how;
    int64_t was;
    struct store_alias *alias; /* as it is then; may be NULL */
};

/* Within the change: its entity tag is the one of this change, not of one that follows. */
static enum store_result changed_read(struct connection *c, const struct changing *changing, struct bp_error *error) {
    sqlite3_stmt *s = db_start(c,
                               "SELECT " CHANGE_COLUMNS " FROM aliases AS a CROSS JOIN alias_changes AS h ON h.id = a.change "
                               "WHERE a.model = ? AND a.name = ?",
                               WITH(text(changing->wanted->model), text(changing->wanted->name)));
    enum store_result result = STORE_OK;
    if (s && sqlite3_step(s) == SQLITE_ROW) change_read(s, changing->alias);
    else result = db_failed(c, error);
    db_end(s);
    return result;
}

static enum store_result expected(const struct store_alias_change *wanted, int64_t version, int64_t current, struct bp_error *error) {
    if (wanted->if_absent && version) {
        bp_error_set(error, "", "the alias %s of model %s exists: it names version %lld; leave out If-None-Match to change it", wanted->name,
                     wanted->model, (long long)version);
        return STORE_CHANGED;
    }
    if (!wanted->if_change || wanted->if_change == current) return STORE_OK;
    if (current)
        bp_error_set(error, "", "the alias %s of model %s was changed in between: it names version %lld, and its ETag is \"%lld\"; read it again",
                     wanted->name, wanted->model, (long long)version, (long long)current);
    else bp_error_set(error, "", "there is no alias %s of model %s any more; leave out If-Match to create it", wanted->name, wanted->model);
    return STORE_CHANGED;
}

/* Follows the history from its first row: a change puts a version on a stack, a rollback takes what is above its version off. *version: the one below
 * what the alias names now, of those that exist; 0: none. */
static enum store_result earlier(struct connection *c, const char *model, const char *name, int64_t *version, struct bp_error *error) {
    int64_t *stack = malloc((HISTORY_MAX + 2) * sizeof *stack);
    int32_t depth = 0;
    int code = SQLITE_ERROR;
    if (!stack) return out_of_memory(error);
    sqlite3_stmt *s =
        db_start(c, "SELECT previous, version, action FROM alias_changes WHERE model = ? AND name = ? ORDER BY id", WITH(text(model), text(name)));
    for (bool first = true; s && (code = sqlite3_step(s)) == SQLITE_ROW; first = false) {
        const int64_t before = sqlite3_column_int64(s, 0), now = sqlite3_column_int64(s, 1);
        const char *action = (const char *)sqlite3_column_text(s, 2);
        if (first && before) stack[depth++] = before;
        if (!action || !now || depth == HISTORY_MAX + 2) continue;
        if (strcmp(action, "rollback") == 0)
            while (depth && stack[depth - 1] != now) depth--;
        if (!depth || stack[depth - 1] != now) stack[depth++] = now;
    }
    db_end(s);
    enum store_result result = code == SQLITE_DONE ? STORE_OK : db_failed(c, error);
    for (*version = 0; result == STORE_OK && !*version && depth >= 2; depth--) {
        result = db_integer(c, "SELECT version FROM versions WHERE model = ? AND version = ?", WITH(text(model), integer(stack[depth - 2])), version,
                            error);
        if (result == STORE_NOT_FOUND) result = STORE_OK;
    }
    free(stack);
    return result;
}

static enum store_result change_alias(struct writer *writer, void *argument, struct bp_error *error) {
    struct changing *changing = argument;
    const struct store_alias_change *wanted = changing->wanted;
    struct connection *c = writer_connection(writer);
    static const char *const actions[] = {"set", "delete", "rollback"};
    struct alias_move move = {.model = wanted->model, .name = wanted->name, .action = actions[changing->how], .actor = wanted->actor};
    int64_t version, current, there;
    enum store_result result = alias_now(c, wanted->model, wanted->name, &version, &current, error);
    if (result != STORE_OK) return result;
    changing->was = version;
    if (!version && changing->how != CHANGE_SET) return alias_missing(wanted->model, wanted->name, error);
    if ((result = expected(wanted, version, current, error)) != STORE_OK) return result;
    if (changing->how == CHANGE_ROLLBACK) {
        result = earlier(c, wanted->model, wanted->name, &move.version, error);
        if (result == STORE_OK && !move.version) {
            bp_error_set(error, "", "the alias %s of model %s has named no other version that still exists; set it with PUT", wanted->name,
                         wanted->model);
            return STORE_CONFLICT;
        }
    }
    bool same = false;
    if (changing->how == CHANGE_SET) {
        move.version = wanted->version;
        result = db_integer(c, "SELECT 1 FROM versions WHERE model = ? AND version = ?", WITH(text(wanted->model), integer(wanted->version)), &there,
                            error);
        if (result == STORE_NOT_FOUND) bp_error_set(error, "", "there is no version %lld of model %s", (long long)wanted->version, wanted->model);
        same = version == wanted->version; /* repeated: nothing changes */
    }
    if (result == STORE_OK && !same) result = alias_move(writer, &move, error);
    return result == STORE_OK && changing->alias ? changed_read(c, changing, error) : result;
}

static enum store_result changed(struct store *store, struct changing *changing, struct bp_error *error) {
    static const char *const what[] = {"set the alias", "delete the alias", "roll the alias back"};
    return writer_run_vital(store, what[changing->how], change_alias, changing, error);
}

enum store_result store_alias_set(struct store *store, const struct store_alias_change *wanted, struct store_alias *alias, bool *created,
                                  struct bp_error *error) {
    struct changing changing = {.wanted = wanted, .how = CHANGE_SET, .alias = alias};
    enum store_result result = changed(store, &changing, error);
    *created = result == STORE_OK && !changing.was;
    return result;
}

enum store_result store_alias_delete(struct store *store, const struct store_alias_change *wanted, struct bp_error *error) {
    struct changing changing = {.wanted = wanted, .how = CHANGE_DELETE};
    return changed(store, &changing, error);
}

enum store_result store_alias_rollback(struct store *store, const struct store_alias_change *wanted, struct store_alias *alias,
                                       struct bp_error *error) {
    struct changing changing = {.wanted = wanted, .how = CHANGE_ROLLBACK, .alias = alias};
    return changed(store, &changing, error);
}

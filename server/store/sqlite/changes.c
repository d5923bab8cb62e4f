/* changes.c - the feed of changes, which triggers write, and whom this folder copies. */
#include "server/store/changes.h"
#include "server/store/sqlite/sqlite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the feed ---- */

#define CHANGE_COLUMNS "id, mark, at, type, action, model, version, name"

static bool change_read(sqlite3_stmt *s, void *item) {
    struct store_change *row = item;
    row->id = sqlite3_column_int64(s, 0);
    column_copy(s, 1, row->mark, sizeof row->mark);
    row->at = sqlite3_column_int64(s, 2);
    column_copy(s, 3, row->type, sizeof row->type);
    column_copy(s, 4, row->action, sizeof row->action);
    column_copy(s, 5, row->model, sizeof row->model);
    row->version = sqlite3_column_int64(s, 6);
    column_copy(s, 7, row->name, sizeof row->name);
    return true;
}

enum store_result store_change_list(struct store *store, int64_t after, int32_t limit, struct store_changes *list, struct bp_error *error) {
    const struct value values[] = {integer(after)};
    struct query query = {.what = "list the changes",
                          .values = values,
                          .values_count = 1,
                          .read = change_read,
                          .item_size = sizeof(struct store_change),
                          .limit = limit,
                          .sql = "SELECT " CHANGE_COLUMNS " FROM changes WHERE id > ? ORDER BY id LIMIT ?"};
    const enum store_result result = query_list(store, &query, error);
    *list = (struct store_changes){query.count, query.has_more, query.items};
    if (result != STORE_OK) store_changes_free(list);
    return result;
}

enum store_result store_change_newest(struct store *store, struct store_change *row, struct bp_error *error) {
    const struct query query = {
        .what = "find the last change", .read = change_read, .sql = "SELECT " CHANGE_COLUMNS " FROM changes ORDER BY id DESC LIMIT 1"};
    *row = (struct store_change){0};
    return query_one(store, &query, row, error);
}

enum store_result store_change_check(struct store *store, int64_t id, const char *mark, struct bp_error *error) {
    const struct value values[] = {integer(id), text(mark)};
    const struct query query = {.what = "find a change",
                                .values = values,
                                .values_count = 2,
                                .read = change_read,
                                .sql = "SELECT " CHANGE_COLUMNS " FROM changes WHERE id = ? AND mark = ?"};
    struct store_change row = {0};
    return query_one(store, &query, &row, error);
}

void store_changes_free(struct store_changes *list) {
    free(list->items);
    memset(list, 0, sizeof *list);
}

void store_cursor_text(int64_t id, const char *mark, char text[STORE_CURSOR_SIZE]) {
    snprintf(text, STORE_CURSOR_SIZE, "%lld-%s", (long long)id, mark);
}

bool store_cursor_parse(const char *text, int64_t *id, char mark[STORE_MARK_SIZE]) {
    const size_t digits = strspn(text, "0123456789"), size = STORE_MARK_SIZE - 1;
    if (digits == 0 || digits > 18 || text[digits] != '-') return false;
    const char *rest = text + digits + 1;
    if (strspn(rest, "0123456789abcdef") != size || rest[size]) return false;
    *id = strtoll(text, NULL, 10);
    memcpy(mark, rest, STORE_MARK_SIZE);
    return true;
}

/* ---- whom this folder copies ---- */

static bool following_read(sqlite3_stmt *s, void *item) {
    struct store_following *following = item;
    column_copy(s, 0, following->url, sizeof following->url);
    column_copy(s, 1, following->cursor, sizeof following->cursor);
    following->caught_up_at = sqlite3_column_int64(s, 2);
    return true;
}

enum store_result store_following_get(struct store *store, struct store_following *following, struct bp_error *error) {
    const struct query query = {
        .what = "read whom this folder follows", .read = following_read, .sql = "SELECT url, cursor, caught_up_at FROM following"};
    *following = (struct store_following){0};
    return query_one(store, &query, following, error);
}

static enum store_result follow(struct writer *writer, void *argument, struct bp_error *error) {
    const struct store_following *following = argument;
    struct connection *c = writer_connection(writer);
    int64_t there = 0, own = 0;
    if (!following) return db_run(c, "DELETE FROM following", NONE, error);
    enum store_result result = db_integer(c, "SELECT count(*) FROM following", NONE, &there, error);
    if (result == STORE_OK && !there)
        result = db_integer(c,
                            "SELECT EXISTS (SELECT 1 FROM models) OR EXISTS (SELECT 1 FROM datasets) OR EXISTS (SELECT 1 FROM jobs) "
                            "OR EXISTS (SELECT 1 FROM sweeps)",
                            NONE, &own, error);
    if (result != STORE_OK) return result;
    if (own) {
        bp_error_set(error, "",
                     "the data folder %.200s has models, datasets or jobs of its own, which following another server would replace; use an empty "
                     "folder with --data-dir",
                     c->folder);
        return STORE_CONFLICT;
    }
    return db_run(c,
                  "INSERT INTO following (id, url, cursor, caught_up_at) VALUES (1, ?1, ?2, ?3) "
                  "ON CONFLICT (id) DO UPDATE SET url = ?1, cursor = ?2, caught_up_at = ?3",
                  WITH(text(following->url), text(following->cursor), integer(following->caught_up_at)), error);
}

enum store_result store_following_set(struct store *store, const struct store_following *following, struct bp_error *error) {
    return writer_run(store, "store whom this folder follows", follow, (void *)(uintptr_t)following, error);
}

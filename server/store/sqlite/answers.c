/* answers.c - answers to requests that carried an Idempotency-Key, kept for 24 hours.
 *
 * The row is made in the transaction that creates the thing, so that a repeated request never creates it twice, whenever the server dies; the
 * body is added once the first answer has been made. */
#include "server/store/sqlite/sqlite.h"

#include <stdlib.h>

static const int64_t KEPT_MS = 24 * 3600 * 1000LL;

enum store_result answer_add(struct writer *writer, const struct store_idempotency *idempotency, struct bp_error *error) {
    struct connection *c = writer_connection(writer);
    if (!idempotency) return STORE_OK;
    int64_t now = store_now();
    enum store_result result =
        db_run(c, "DELETE FROM answers WHERE key = ? AND created_at < ?", WITH(text(idempotency->key), integer(now - KEPT_MS)), error);
    if (result == STORE_OK)
        result = db_run(
            c, "INSERT INTO answers (key, hash, status, location, created_at) VALUES (?, ?, ?, ?, ?) ON CONFLICT (key) DO NOTHING",
            WITH(text(idempotency->key), text(idempotency->hash), integer(idempotency->status), text(idempotency->location), integer(now)), error);
    if (result == STORE_OK && sqlite3_changes(c->db) == 0) {
        bp_error_set(error, "",
                     "a request with this Idempotency-Key has just been accepted; repeat this one to get its response, or use another key");
        return STORE_CONFLICT;
    }
    return result;
}

static bool answer_read(sqlite3_stmt *s, void *item) {
    struct store_answer *answer = item;
    column_copy(s, 0, answer->hash, sizeof answer->hash);
    answer->status = sqlite3_column_int(s, 1);
    return column_keep(s, 2, &answer->location) && column_keep(s, 3, &answer->body);
}

enum store_result store_answer_get(struct store *store, const char *key, struct store_answer *answer, struct bp_error *error) {
    *answer = (struct store_answer){0};
    const struct value values[] = {text(key), integer(store_now() - KEPT_MS)};
    struct query query = {.what = "look up an earlier response",
                          .values = values,
                          .values_count = 2,
                          .read = answer_read,
                          .sql = "SELECT hash, status, location, body FROM answers WHERE key = ? AND created_at >= ?"};
    enum store_result result = query_one(store, &query, answer, error);
    if (result != STORE_OK) store_answer_free(answer);
    return result;
}

struct body {
    const char *key, *body;
};

static enum store_result body_set(struct writer *writer, void *argument, struct bp_error *error) {
    const struct body *body = argument;
    struct connection *c = writer_connection(writer);
    enum store_result result = db_run(c, "UPDATE answers SET body = ? WHERE key = ?", WITH(text(body->body), text(body->key)), error);
    return result == STORE_OK && sqlite3_changes(c->db) == 0 ? STORE_NOT_FOUND : result;
}

enum store_result store_answer_body(struct store *store, const char *key, const char *body, struct bp_error *error) {
    struct body argument = {key, body};
    return writer_run(store, "store the response to a request", body_set, &argument, error);
}

static enum store_result expire(struct writer *writer, void *argument, struct bp_error *error) {
    (void)argument;
    struct connection *c = writer_connection(writer);
    enum store_result result = db_run(c, "DELETE FROM answers WHERE created_at < ?", WITH(integer(store_now() - KEPT_MS)), error);
    if (result == STORE_OK && sqlite3_changes(c->db) > 0) writer_freed(writer);
    return result;
}

enum store_result store_answers_expire(struct store *store, struct bp_error *error) {
    return writer_run(store, "delete old responses", expire, NULL, error);
}

void store_answer_free(struct store_answer *answer) {
    free(answer->location);
    free(answer->body);
    *answer = (struct store_answer){0};
}

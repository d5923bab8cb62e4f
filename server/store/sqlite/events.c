/* events.c - one table of events for all jobs: what happened, in order. Lists and streams read it; changes of jobs add to it. */
#include "server/store/sqlite/sqlite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- adding, inside a change ---- */

enum store_result event_add(struct writer *writer, const char *job, int64_t attempt, const struct store_event *event, struct bp_error *error) {
    struct connection *c = writer_connection(writer);
    bool metrics = strcmp(event->type, "metrics") == 0;
    enum store_result result =
        db_run(c,
               "INSERT INTO events (job, type, level, created_at, attempt, epoch, message, data) VALUES (?, ?, ?, ?, ?, ?, ?, ?) "
               "ON CONFLICT (job, epoch) WHERE type = 'metrics' DO NOTHING",
               WITH(text(job), text(event->type), text(event->level[0] ? event->level : "info"), integer(store_now()), integer(attempt),
                    integer(metrics ? event->epoch : 0), text(event->message), text(event->data)),
               error);
    if (result == STORE_OK && !writer_notify(writer, job)) result = out_of_memory(error);
    return result;
}

/* The events of a job. */
struct state {
    enum store_status status;
    int64_t attempt, model_version, failures, attempts_max, retry_at;
    char *error; /* JSON; owned */
};

static enum store_result state_get(struct connection *c, const char *job, struct state *state, struct bp_error *error) {
    *state = (struct state){0};
    sqlite3_stmt *s =
        db_start(c, "SELECT status, attempt, model_version, failures, attempts_max, error, retry_at FROM jobs WHERE id = ?", WITH(text(job)));
    enum store_result result;
    if (s && sqlite3_step(s) == SQLITE_ROW) {
        state->attempt = sqlite3_column_int64(s, 1);
        state->model_version = sqlite3_column_int64(s, 2);
        state->failures = sqlite3_column_int64(s, 3);
        state->attempts_max = sqlite3_column_int64(s, 4);
        state->retry_at = sqlite3_column_int64(s, 6);
        bool read = store_status_parse((const char *)sqlite3_column_text(s, 0), &state->status) && column_keep(s, 5, &state->error);
        result = read ? STORE_OK : out_of_memory(error);
    } else {
        result = db_failed(c, error);
    }
    db_end(s);
    return result;
}

/* The end event's data, as a client that only waits for the end wants it. */
static char *end_data(const struct state *state) {
    char version[24] = "null";
    if (state->model_version > 0) sqlite3_snprintf((int)sizeof version, version, "%lld", (long long)state->model_version);
    return sqlite3_mprintf("{\"status\":\"%s\",\"attempt\":%lld,\"model_version\":%s,\"error\":%s}", store_status_name(state->status),
                           (long long)state->attempt, version, state->error);
}

static char *status_data(const struct state *state, const char *error_document) {
    const char *name = store_status_name(state->status);
    if (!error_document) return sqlite3_mprintf("{\"status\":\"%s\",\"attempt\":%lld}", name, (long long)state->attempt);
    char retry[48] = "", at[32];
    store_time_text(state->retry_at, at);
    if (state->retry_at > 0) snprintf(retry, sizeof retry, ",\"retry_at\":\"%s\"", at);
    return sqlite3_mprintf("{\"status\":\"%s\",\"attempt\":%lld,\"failures\":%lld,\"attempts_max\":%lld%s,\"error\":%s}", name,
                           (long long)state->attempt, (long long)state->failures, (long long)state->attempts_max, retry, error_document);
}

/* The message of an error document, for users who read the events as a log; NULL when it has none. */
static char *error_message(struct connection *c, const char *document) {
    char *message = NULL;
    sqlite3_stmt *s = db_start(c, "SELECT CASE WHEN json_valid(?1) THEN json_extract(?1, '$.message') END", WITH(text(document)));
    if (s && sqlite3_step(s) == SQLITE_ROW) column_keep(s, 0, &message);
    db_end(s);
    return message;
}

enum store_result event_add_status(struct writer *writer, const char *job, const char *error_document, struct bp_error *error) {
    struct state state;
    char *data = NULL, *message = NULL;
    enum store_result result = state_get(writer_connection(writer), job, &state, error);
    if (result != STORE_OK) return result;
    if (state.status == STORE_JOB_FAILED) error_document = state.error;
    struct store_event event = {.type = "status"}, end = {.type = "end"};
    const char *level = state.status == STORE_JOB_FAILED ? "error" : error_document ? "warning" : "info";
    snprintf(event.level, sizeof event.level, "%s", level);
    snprintf(end.level, sizeof end.level, "%s", level);
    if (error_document) event.message = end.message = message = error_message(writer_connection(writer), error_document);
    event.data = data = status_data(&state, error_document);
    result = data ? event_add(writer, job, state.attempt, &event, error) : out_of_memory(error);
    sqlite3_free(data);
    if (result == STORE_OK && store_status_final(state.status)) {
        end.data = data = end_data(&state);
        result = data ? event_add(writer, job, state.attempt, &end, error) : out_of_memory(error);
        sqlite3_free(data);
    }
    free(message);
    free(state.error);
    return result;
}

/* ---- reading ---- */

#define EVENT_COLUMNS "id, job, type, level, created_at, attempt, epoch, message, data"

static bool event_read(sqlite3_stmt *s, void *item) {
    struct store_event *event = item;
    event->id = sqlite3_column_int64(s, 0);
    column_copy(s, 1, event->job, sizeof event->job);
    column_copy(s, 2, event->type, sizeof event->type);
    column_copy(s, 3, event->level, sizeof event->level);
    event->created_at = sqlite3_column_int64(s, 4);
    event->attempt = sqlite3_column_int64(s, 5);
    event->epoch = sqlite3_column_int64(s, 6);
    return column_keep(s, 7, &event->message) && column_keep(s, 8, &event->data);
}

enum store_result store_event_list(struct store *store, const char *job, const char *type, int64_t after, int32_t limit, struct store_events *list,
                                   struct bp_error *error) {
    /* One text per combination, so that each is planned for its index. */
    static const char *const sql[2][2] = {{"SELECT " EVENT_COLUMNS " FROM events WHERE id > ? ORDER BY id LIMIT ?",
                                           "SELECT " EVENT_COLUMNS " FROM events WHERE id > ? AND type = ? ORDER BY id LIMIT ?"},
                                          {"SELECT " EVENT_COLUMNS " FROM events WHERE id > ? AND job = ? ORDER BY id LIMIT ?",
                                           "SELECT " EVENT_COLUMNS " FROM events WHERE id > ? AND job = ? AND type = ? ORDER BY id LIMIT ?"}};
    struct value values[3] = {integer(after)};
    size_t count = 1;
    if (job) values[count++] = text(job);
    if (type) values[count++] = text(type);
    struct query query = {.what = "list events",
                          .sql = sql[job != NULL][type != NULL],
                          .values = values,
                          .values_count = count,
                          .read = event_read,
                          .item_size = sizeof(struct store_event),
                          .limit = limit};
    enum store_result result = query_list(store, &query, error);
    *list = (struct store_events){query.count, query.has_more, query.items};
    if (result != STORE_OK) store_events_free(list);
    return result;
}

static bool data_read(sqlite3_stmt *s, void *item) {
    return column_keep(s, 0, item);
}

enum store_result store_metrics_at(struct store *store, const char *job, int64_t epoch, char **data, struct bp_error *error) {
    const struct value values[] = {text(job), integer(epoch)};
    const struct query query = {.what = "read the metrics of an epoch",
                                .sql =
                                    epoch ? "SELECT data FROM events WHERE job = ?1 AND type = 'metrics' AND epoch = ?2"
                                          : "SELECT data FROM events WHERE job = ?1 AND type = 'metrics' AND epoch >= ?2 ORDER BY epoch DESC LIMIT 1",
                                .values = values,
                                .values_count = 2,
                                .read = data_read};
    *data = NULL;
    const enum store_result result = query_one(store, &query, data, error);
    return result == STORE_NOT_FOUND ? STORE_OK : result;
}

/* From the table's sequence, which deletions do not lower. */
enum store_result store_event_last(struct store *store, int64_t *id, struct bp_error *error) {
    *id = 0;
    struct connection *c = reader_take(store, "find the last event", error);
    if (!c) return STORE_FAILED;
    enum store_result result = db_integer(c, "SELECT seq FROM sqlite_sequence WHERE name = 'events'", NONE, id, error);
    reader_give(store, c);
    return result == STORE_NOT_FOUND ? STORE_OK : result;
}

static void event_free(struct store_event *event) {
    free(event->message);
    free(event->data);
}

void store_events_free(struct store_events *list) {
    LIST_FREE(list, event_free);
}

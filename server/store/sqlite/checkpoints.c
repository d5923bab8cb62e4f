/* checkpoints.c - which checkpoint files a job has. The last one and the last one flagged best are kept; the files and rows of others are deleted. */
#include "server/store/sqlite/sqlite.h"

#include <stdlib.h>

/* ---- inside a change ---- */

/* Runs a DELETE ... RETURNING file and has the files removed after the commit. */
static enum store_result rows_remove(struct writer *writer, const char *sql, const struct value *values, size_t count, struct bp_error *error) {
    struct connection *c = writer_connection(writer);
    sqlite3_stmt *s = db_start(c, sql, values, count);
    if (!s) return db_failed(c, error);
    enum store_result result = STORE_OK;
    int code;
    while ((code = sqlite3_step(s)) == SQLITE_ROW && result == STORE_OK) {
        const char *file = (const char *)sqlite3_column_text(s, 0);
        if (!file || !writer_unlink(writer, "checkpoints", file)) result = out_of_memory(error);
    }
    if (result == STORE_OK && code != SQLITE_DONE) result = db_failed(c, error);
    db_end(s);
    return result;
}

enum store_result checkpoints_remove(struct writer *writer, const char *job, struct bp_error *error) {
    return rows_remove(writer, "DELETE FROM checkpoints WHERE job = ? RETURNING file", WITH(text(job)), error);
}

static enum store_result tell(struct writer *writer, const struct store_checkpoint *checkpoint, struct bp_error *error) {
    char *data =
        sqlite3_mprintf("{\"checkpoint\":\"%s\",\"epoch\":%lld,\"step\":%lld,\"bytes\":%lld,\"best\":%s}", checkpoint->id,
                        (long long)checkpoint->epoch, (long long)checkpoint->step, (long long)checkpoint->bytes, checkpoint->best ? "true" : "false");
    if (!data) return out_of_memory(error);
    struct store_event event = {.type = "checkpoint", .data = data};
    enum store_result result = event_add(writer, checkpoint->job, checkpoint->attempt, &event, error);
    sqlite3_free(data);
    return result;
}

static enum store_result add(struct writer *writer, void *argument, struct bp_error *error) {
    const struct store_checkpoint *checkpoint = argument;
    struct connection *c = writer_connection(writer);
    enum store_result result = attempt_check(c, checkpoint->job, checkpoint->attempt, error);
    if (result == STORE_OK)
        result = db_run(
            c, "INSERT INTO checkpoints (id, job, attempt, epoch, step, created_at, bytes, best, file) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            WITH(text(checkpoint->id), text(checkpoint->job), integer(checkpoint->attempt), integer(checkpoint->epoch), integer(checkpoint->step),
                 integer(checkpoint->created_at), integer(checkpoint->bytes), integer(checkpoint->best), text(checkpoint->file)),
            error);
    if (result == STORE_OK)
        result = rows_remove(writer,
                             "DELETE FROM checkpoints WHERE job = ?1 AND id <> ?2 AND id <> coalesce("
                             "(SELECT id FROM checkpoints WHERE job = ?1 AND best ORDER BY rowid DESC LIMIT 1), '') RETURNING file",
                             WITH(text(checkpoint->job), text(checkpoint->id)), error);
    if (result == STORE_OK) result = db_run(c, "UPDATE jobs SET failures = 0 WHERE id = ?", WITH(text(checkpoint->job)), error);
    return result == STORE_OK ? tell(writer, checkpoint, error) : result;
}

/* ---- the verbs ---- */

enum store_result store_checkpoint_add(struct store *store, struct store_checkpoint *checkpoint, struct bp_error *error) {
    if (!checkpoint->id[0]) store_new_id("ckp", checkpoint->id);
    if (!checkpoint->created_at) checkpoint->created_at = store_now();
    enum store_result result = store_file_sync(store, "checkpoints", checkpoint->file, error);
    return result == STORE_OK ? writer_run(store, "record the checkpoint", add, checkpoint, error) : result;
}

#define CHECKPOINT_SELECT                                                                                                                            \
    "SELECT id, job, attempt, epoch, step, created_at, bytes, best, file FROM checkpoints WHERE job = ? ORDER BY rowid DESC LIMIT "

static bool checkpoint_read(sqlite3_stmt *s, void *item) {
    struct store_checkpoint *checkpoint = item;
    column_copy(s, 0, checkpoint->id, sizeof checkpoint->id);
    column_copy(s, 1, checkpoint->job, sizeof checkpoint->job);
    checkpoint->attempt = sqlite3_column_int64(s, 2);
    checkpoint->epoch = sqlite3_column_int64(s, 3);
    checkpoint->step = sqlite3_column_int64(s, 4);
    checkpoint->created_at = sqlite3_column_int64(s, 5);
    checkpoint->bytes = sqlite3_column_int64(s, 6);
    checkpoint->best = sqlite3_column_int(s, 7);
    column_copy(s, 8, checkpoint->file, sizeof checkpoint->file);
    return true;
}

enum store_result store_checkpoint_last(struct store *store, const char *job, struct store_checkpoint *checkpoint, struct bp_error *error) {
    *checkpoint = (struct store_checkpoint){0};
    const struct value values[] = {text(job)};
    struct query query = {
        .what = "find the last checkpoint", .values = values, .values_count = 1, .read = checkpoint_read, .sql = CHECKPOINT_SELECT "1"};
    enum store_result result = query_one(store, &query, checkpoint, error);
    if (result == STORE_NOT_FOUND) bp_error_set(error, "", "there is no checkpoint of %s", job);
    return result;
}

enum store_result store_checkpoint_list(struct store *store, const char *job, struct store_checkpoints *list, struct bp_error *error) {
    const struct value values[] = {text(job)};
    struct query query = {.what = "list the checkpoints",
                          .values = values,
                          .values_count = 1,
                          .read = checkpoint_read,
                          .item_size = sizeof(struct store_checkpoint),
                          .limit = STORE_LIST_MAX,
                          .sql = CHECKPOINT_SELECT "?"};
    enum store_result result = query_list(store, &query, error);
    *list = (struct store_checkpoints){query.count, query.has_more, query.items};
    if (result != STORE_OK) store_checkpoints_free(list);
    return result;
}

void store_checkpoints_free(struct store_checkpoints *list) {
    free(list->items);
    *list = (struct store_checkpoints){0};
}

/* attempts.c - what is known of the processes of a job: when they ran, how they ended, what they used, the end of what they wrote to standard error.
 * The newest STORE_ATTEMPTS_KEPT of a job are kept. */
#include "server/store/sqlite/sqlite.h"

#include <stdlib.h>
#include <string.h>

/* ---- inside a change ---- */

enum store_result attempt_begin(struct connection *c, const char *job, int64_t attempt, int64_t now, struct bp_error *error) {
    enum store_result result = db_run(c, "INSERT OR REPLACE INTO attempts (job, attempt, started_at) VALUES (?, ?, ?)",
                                      WITH(text(job), integer(attempt), integer(now)), error);
    if (result != STORE_OK) return result;
    return db_run(c, "DELETE FROM attempts WHERE job = ? AND attempt <= ?", WITH(text(job), integer(attempt - STORE_ATTEMPTS_KEPT)), error);
}

enum store_result attempt_close(struct connection *c, const char *job, int64_t attempt, const char *reason, const char *error_document,
                                struct bp_error *error) {
    return db_run(c,
                  "UPDATE attempts SET ended_at = ?3, reason = ?4, message = CASE WHEN json_valid(?5) THEN json_extract(?5, '$.message') END WHERE "
                  "job = ?1 AND attempt = ?2 AND "
                  "reason = ''",
                  WITH(text(job), integer(attempt), integer(store_now()), text(reason), text(error_document)), error);
}

enum store_result attempts_lost(struct connection *c, struct bp_error *error) {
    return db_run(c,
                  "UPDATE attempts SET ended_at = ?1, reason = 'server_crashed', message = 'the server ended while this process was running; the end "
                  "of the process is not known' WHERE reason = ''",
                  WITH(integer(store_now())), error);
}

/* -1 is stored as NULL. */
static struct value known(int64_t number) {
    return number >= 0 ? integer(number) : (struct value){0};
}

static enum store_result end(struct writer *writer, void *argument, struct bp_error *error) {
    const struct store_attempt *a = argument;
    return db_run(
        writer_connection(writer),
        "UPDATE attempts SET ended_at = ?3, message = iif(reason = '', ?5, message), reason = iif(reason = '', ?4, reason), exit_code = ?6, "
        "signal = ?7, peak_memory = ?8, user_ms = ?9, system_ms = ?10, log = ?11, log_cut = ?12 WHERE job = ?1 AND attempt = ?2",
        WITH(text(a->job), integer(a->attempt), integer(a->ended_at), text(a->reason), text(a->message), known(a->exit_code), known(a->signal),
             known(a->peak_memory), known(a->user_ms), known(a->system_ms), text(a->log ? a->log : ""), integer(a->log_cut)),
        error);
}

/* ---- the verbs ---- */

enum store_result store_attempt_end(struct store *store, const struct store_attempt *attempt, struct bp_error *error) {
    return writer_run_vital(store, "record the end of an attempt", end, (void *)(uintptr_t)attempt, error);
}

static bool attempt_read(sqlite3_stmt *s, void *item) {
    struct store_attempt *a = item;
    int64_t *const numbers[] = {&a->attempt, &a->started_at, &a->ended_at, &a->exit_code, &a->signal, &a->peak_memory, &a->user_ms, &a->system_ms};
    column_copy(s, 0, a->job, sizeof a->job);
    column_copy(s, 1, a->reason, sizeof a->reason);
    for (int i = 0; i < (int)(sizeof numbers / sizeof *numbers); i++) *numbers[i] = sqlite3_column_int64(s, i + 2);
    a->log_cut = sqlite3_column_int(s, 10) != 0;
    return column_keep(s, 11, &a->message) && column_keep(s, 12, &a->log);
}

enum store_result store_attempt_list(struct store *store, const char *job, int32_t limit, struct store_attempts *list, struct bp_error *error) {
    const struct value values[] = {text(job)};
    struct query query = {.what = "list the attempts",
                          .values = values,
                          .values_count = 1,
                          .read = attempt_read,
                          .item_size = sizeof(struct store_attempt),
                          .limit = limit,
                          .sql = "SELECT job, reason, attempt, started_at, ended_at, coalesce(exit_code, -1), coalesce(signal, -1), "
                                 "coalesce(peak_memory, -1), coalesce(user_ms, -1), coalesce(system_ms, -1), log_cut, message, log FROM attempts "
                                 "WHERE job = ? ORDER BY attempt DESC LIMIT ?"};
    enum store_result result = query_list(store, &query, error);
    *list = (struct store_attempts){query.count, query.has_more, query.items};
    if (result != STORE_OK) store_attempts_free(list);
    return result;
}

void store_attempt_free(struct store_attempt *attempt) {
    free(attempt->message);
    free(attempt->log);
}

void store_attempts_free(struct store_attempts *list) {
    LIST_FREE(list, store_attempt_free);
}

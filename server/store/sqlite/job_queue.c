/* job_queue.c - the order in which queued jobs run: those that do not wait for a retry, by priority and then by age; then the others, by the time of
 * their retry. Positions and the claim use the same order. */
#include "server/store/sqlite/sqlite.h"

#include <stdlib.h>
#include <string.h>

/* Jobs before a queued one, and itself. Those that wait come after all that do not. */
const char job_position_sql[] =
    "CASE WHEN status <> 'queued' THEN 0 ELSE (SELECT count(*) FROM jobs AS other WHERE other.status = 'queued' AND "
    "CASE WHEN " JOB_WAITS("jobs.retry_at") " THEN NOT " JOB_WAITS(
        "other.retry_at") " OR (other.retry_at, -other.priority, other.id) <= (jobs.retry_at, -jobs.priority, jobs.id) "
                          "ELSE NOT " JOB_WAITS("other.retry_at") " AND (-other.priority, other.id) <= (-jobs.priority, jobs.id) END) END";

static int by_id(const void *a, const void *b) {
    return strcmp((*(struct store_job *const *)a)->id, (*(struct store_job *const *)b)->id);
}

/* The one of these jobs, sorted by id, with this id; NULL: it is not there. */
static struct store_job *find(struct store_job **jobs, int32_t count, const char *id) {
    int32_t low = 0, high = count - 1;
    while (low <= high) {
        const int32_t middle = (low + high) / 2;
        const int order = strcmp(jobs[middle]->id, id);
        if (order == 0) return jobs[middle];
        if (order < 0) low = middle + 1;
        else high = middle - 1;
    }
    return NULL;
}

/* One walk along the queue for the whole list: along an index, without the rows. */
enum store_result queue_positions(struct connection *c, struct store_job **jobs, int32_t count, struct bp_error *error) {
    static const char *const orders[] = {
        "SELECT id FROM jobs WHERE ?1 IS NULL AND status = 'queued' AND NOT " JOB_WAITS("retry_at") " ORDER BY priority DESC, id",
        "SELECT id FROM jobs WHERE ?1 IS NULL AND status = 'queued' AND retry_at > 0 AND " JOB_WAITS(
            "retry_at") " ORDER BY retry_at, priority DESC, id"};
    int64_t position = 0, now = store_now();
    int32_t left = 0;
    for (int32_t i = 0; i < count; i++) left += jobs[i]->status == STORE_QUEUED;
    if (left > 0) qsort(jobs, (size_t)count, sizeof *jobs, by_id);
    for (int k = 0; k < 2 && left > 0; k++) {
        sqlite3_stmt *s = db_start(c, orders[k], WITH(text(NULL), integer(now)));
        int code = s ? SQLITE_ROW : SQLITE_ERROR;
        while (left > 0 && s && (code = sqlite3_step(s)) == SQLITE_ROW) {
            char id[STORE_ID_SIZE];
            column_copy(s, 0, id, sizeof id);
            position++;
            struct store_job *job = find(jobs, count, id);
            if (!job) continue;
            job->queue_position = position;
            left--;
        }
        db_end(s);
        if (code != SQLITE_ROW && code != SQLITE_DONE) return db_failed(c, error);
    }
    return STORE_OK;
}

/* Whether this row, as queue_first selects it, is for the taker. */
static bool is_taken(sqlite3_stmt *s, const struct store_taker *taker) {
    struct store_requirement requirement = {.memory_mb = sqlite3_column_int64(s, 4), .processes = sqlite3_column_int64(s, 5)};
    enum store_kind kind = STORE_TRAIN;
    char name[16];
    if (!taker) return true;
    column_copy(s, 1, name, sizeof name);
    column_copy(s, 2, requirement.launcher, sizeof requirement.launcher);
    column_copy(s, 3, requirement.label, sizeof requirement.label);
    return store_kind_parse(name, &kind) && taker->takes(taker->context, kind, &requirement);
}

enum store_result queue_first(struct connection *c, const struct store_taker *taker, char id[STORE_ID_SIZE], int64_t *retry_at,
                              struct bp_error *error) {
    *retry_at = 0;
    sqlite3_stmt *s =
        db_start(c,
                 "SELECT id, kind, launcher, label, memory_mb, processes FROM jobs WHERE ?1 IS NULL AND status = 'queued' AND NOT " JOB_WAITS(
                     "retry_at") " ORDER BY priority DESC, id",
                 WITH(text(NULL), integer(store_now())));
    int code = SQLITE_ERROR;
    while (s && (code = sqlite3_step(s)) == SQLITE_ROW && !is_taken(s, taker)) continue;
    if (code == SQLITE_ROW) column_copy(s, 0, id, STORE_ID_SIZE);
    db_end(s);
    if (code == SQLITE_ROW) return STORE_OK;
    if (code != SQLITE_DONE) return db_failed(c, error);
    enum store_result result =
        db_integer(c, "SELECT coalesce(min(retry_at), 0) FROM jobs WHERE status = 'queued' AND retry_at > 0", NONE, retry_at, error);
    return result == STORE_OK ? STORE_NOT_FOUND : result;
}

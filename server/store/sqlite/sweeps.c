/* sweeps.c - sweeps as a whole: creating, reading, cancelling, deleting, ending. Their trials are in trials.c.
 *
 *     create ─▶ running ─ cancel ─▶ cancelling ─ finish ─▶ cancelled
 *                  └───── finish ─▶ succeeded, or failed if no trial has */
#include "server/store/sqlite/sweeps_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const store_sweep_status_names[STORE_SWEEP_STATUS_COUNT] = {"running", "cancelling", "cancelled", "succeeded", "failed"};
const char *const store_method_names[STORE_METHOD_COUNT] = {"grid", "random", "asha"};

enum store_result sweep_missing(const char *id, struct bp_error *error) {
    bp_error_set(error, "", "there is no sweep %s", id);
    return STORE_NOT_FOUND;
}

static int named(const char *const *names, int count, const char *name) {
    for (int i = 0; i < count; i++)
        if (strcmp(names[i], name) == 0) return i;
    return 0; /* the columns have CHECKs */
}

/* ---- creating ---- */

static enum store_result room(struct connection *c, struct bp_error *error) {
    int64_t count = 0;
    enum store_result result = db_integer(c, "SELECT count(*) FROM sweeps WHERE finished_at = 0", NONE, &count, error);
    if (result != STORE_OK || count < STORE_SWEEPS_MAX) return result;
    bp_error_set(error, "", "%d sweeps have not ended, as many as may run at once; try again when one has", STORE_SWEEPS_MAX);
    return STORE_FULL;
}

static enum store_result create(struct writer *writer, void *argument, struct bp_error *error) {
    const struct store_sweep_new *request = argument;
    const struct store_sweep *s = request->sweep;
    struct connection *c = writer_connection(writer);
    enum store_result result;
    if ((result = answer_add(writer, request->idempotency, error)) != STORE_OK || (result = room(c, error)) != STORE_OK ||
        (result = dataset_there(writer, s->dataset, s->dataset_version, error)) != STORE_OK ||
        (result = model_settle(writer, s->model, request->new_definition, request->hidden_model, error)) != STORE_OK)
        return result;
    return db_run(c,
                  "INSERT INTO sweeps (id, status, model, dataset, dataset_version, created_at, method, metric, higher, seed, total, parallel, eta, "
                  "min_epochs, max_seconds, publish, keep_versions, document, metadata, key_id, key_name) "
                  "VALUES (?, 'running', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                  WITH(text(s->id), text(s->model), text(s->dataset), integer(s->dataset_version), integer(s->created_at),
                       text(store_method_names[s->method]), text(s->metric), integer(s->higher), integer(s->seed), integer(s->total),
                       integer(s->parallel), integer(s->eta), integer(s->min_epochs), real(s->max_seconds), text(store_publish_names[s->publish]),
                       integer(s->keep_versions), text(s->document), text(s->metadata ? s->metadata : "{}"), text(s->actor.key_id),
                       text(s->actor.key_name)),
                  error);
}

enum store_result store_sweep_create(struct store *store, const struct store_sweep_new *request, struct bp_error *error) {
    request->sweep->created_at = store_now();
    return writer_run(store, "store the sweep", create, (void *)(uintptr_t)request, error);
}

/* ---- reading ---- */

/* Counts of trials by status in one walk, as a text of numbers. */
#define TRIAL_COUNTS                                                                                                                                 \
    "(SELECT printf('%d %d %d %d %d %d %d %d', total(s = 'queued'), total(s IN ('running', 'pausing', 'cancelling')), total(s = 'paused'), "         \
    "total(s = 'succeeded'), total(s = 'failed'), total(s = 'cancelled'), total(s = 'invalid'), total(stopped <> '')) FROM (SELECT "                 \
    "CASE WHEN t.status <> '' THEN t.status ELSE coalesce((SELECT status FROM jobs WHERE id = t.job), 'cancelled') END AS s, t.stopped AS stopped "  \
    "FROM trials AS t WHERE t.sweep = w.id))"
#define SWEEP_SELECT                                                                                                                                 \
    "SELECT id, status, model, dataset, method, metric, publish, key_id, key_name, dataset_version, created_at, finished_at, higher, seed, total, "  \
    "created, parallel, eta, min_epochs, keep_versions, versions_removed, coalesce(" BEST_TRIAL(                                                     \
        "w") ", -1), max_seconds, " TRIAL_COUNTS ", "                                                                                                \
             "document, metadata, publication, error FROM sweeps AS w "

static void counts_read(const char *text, struct store_trial_counts *t) {
    int64_t *const counts[] = {&t->queued, &t->running, &t->paused, &t->succeeded, &t->failed, &t->cancelled, &t->invalid, &t->stopped};
    char *end;
    for (size_t i = 0; text && i < sizeof counts / sizeof *counts; i++, text = end) *counts[i] = strtoll(text, &end, 10);
}

static bool sweep_read(sqlite3_stmt *s, void *item) {
    struct store_sweep *w = item;
    char status[16], method[16], publish[16];
    int64_t higher, keep;
    column_copy(s, 0, w->id, sizeof w->id);
    column_copy(s, 1, status, sizeof status);
    column_copy(s, 2, w->model, sizeof w->model);
    column_copy(s, 3, w->dataset, sizeof w->dataset);
    column_copy(s, 4, method, sizeof method);
    column_copy(s, 5, w->metric, sizeof w->metric);
    column_copy(s, 6, publish, sizeof publish);
    column_copy(s, 7, w->actor.key_id, sizeof w->actor.key_id);
    column_copy(s, 8, w->actor.key_name, sizeof w->actor.key_name);
    int64_t *const numbers[] = {
        &w->dataset_version, &w->created_at, &w->finished_at,      &higher, &w->seed, &w->total, &w->created, &w->parallel, &w->eta,
        &w->min_epochs,      &keep,          &w->versions_removed, &w->best};
    int column = 9;
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) *numbers[i] = sqlite3_column_int64(s, column++);
    w->max_seconds = sqlite3_column_double(s, column++);
    counts_read((const char *)sqlite3_column_text(s, column++), &w->trials);
    w->status = (enum store_sweep_status)named(store_sweep_status_names, STORE_SWEEP_STATUS_COUNT, status);
    w->method = (enum store_method)named(store_method_names, STORE_METHOD_COUNT, method);
    w->publish = (enum store_publish)named(store_publish_names, STORE_PUBLISH_COUNT, publish);
    w->higher = higher != 0;
    w->keep_versions = keep != 0;
    char **const documents[] = {&w->document, &w->metadata, &w->publication, &w->error};
    for (size_t i = 0; i < sizeof documents / sizeof *documents; i++)
        if (!column_keep(s, column++, documents[i])) return false;
    return true;
}

enum store_result store_sweep_get(struct store *store, const char *id, struct store_sweep *sweep, struct bp_error *error) {
    *sweep = (struct store_sweep){0};
    const struct value values[] = {text(id)};
    const struct query query = {
        .what = "read the sweep", .values = values, .values_count = 1, .read = sweep_read, .sql = SWEEP_SELECT "WHERE id = ?"};
    enum store_result result = query_one(store, &query, sweep, error);
    if (result != STORE_OK) store_sweep_free(sweep);
    return result == STORE_NOT_FOUND ? sweep_missing(id, error) : result;
}

enum store_result store_sweep_list(struct store *store, const struct store_sweep_filter *filter, struct store_sweeps *list, struct bp_error *error) {
    const struct value values[] = {text(filter->status ? store_sweep_status_names[*filter->status] : NULL), text(filter->after)};
    struct query query = {.what = "list the sweeps",
                          .values = values,
                          .values_count = 2,
                          .read = sweep_read,
                          .item_size = sizeof(struct store_sweep),
                          .limit = filter->limit,
                          .sql = filter->unfinished
                                     ? SWEEP_SELECT "WHERE finished_at = 0 AND ?1 IS NULL AND (?2 IS NULL OR id > ?2) ORDER BY id LIMIT ?"
                                     : SWEEP_SELECT "WHERE (?1 IS NULL OR status = ?1) AND (?2 IS NULL OR id < ?2) ORDER BY id DESC LIMIT ?"};
    enum store_result result = query_list(store, &query, error);
    *list = (struct store_sweeps){query.count, query.has_more, query.items};
    if (result != STORE_OK) store_sweeps_free(list);
    return result;
}

enum store_result store_sweeps_running(struct store *store, int64_t *count, struct bp_error *error) {
    *count = 0;
    struct connection *c = reader_take(store, "count the sweeps", error);
    if (!c) return STORE_FAILED;
    enum store_result result = db_integer(c, "SELECT count(*) FROM sweeps WHERE finished_at = 0", NONE, count, error);
    reader_give(store, c);
    return result;
}

void store_sweep_free(struct store_sweep *w) {
    char **const documents[] = {&w->document, &w->metadata, &w->publication, &w->error};
    for (size_t i = 0; i < sizeof documents / sizeof *documents; i++) {
        free(*documents[i]);
        *documents[i] = NULL;
    }
}

void store_sweeps_free(struct store_sweeps *list) {
    LIST_FREE(list, store_sweep_free);
}

/* Inside a change. */
enum store_result sweep_now(struct connection *c, const char *id, struct store_sweep *sweep, struct bp_error *error) {
    *sweep = (struct store_sweep){0};
    sqlite3_stmt *s = db_start(c, SWEEP_SELECT "WHERE id = ?", WITH(text(id)));
    const int code = s ? sqlite3_step(s) : SQLITE_ERROR;
    enum store_result result;
    if (code == SQLITE_ROW) result = sweep_read(s, sweep) ? STORE_OK : out_of_memory(error);
    else result = code == SQLITE_DONE ? sweep_missing(id, error) : db_failed(c, error);
    db_end(s);
    return result;
}

/* ---- cancelling ---- */

static enum store_result cancel(struct writer *writer, void *argument, struct bp_error *error) {
    const char *id = argument;
    struct connection *c = writer_connection(writer);
    int64_t found;
    enum store_result result = db_integer(c, "SELECT 1 FROM sweeps WHERE id = ?", WITH(text(id)), &found, error);
    if (result != STORE_OK) return result == STORE_NOT_FOUND ? sweep_missing(id, error) : result;
    return db_run(c, "UPDATE sweeps SET status = 'cancelling' WHERE id = ? AND status = 'running'", WITH(text(id)), error);
}

enum store_result store_sweep_cancel(struct store *store, const char *id, struct bp_error *error) {
    return writer_run_vital(store, "cancel the sweep", cancel, (void *)(uintptr_t)id, error);
}

/* ---- deleting ---- */

struct deletion {
    const char *id;
    bool more; /* jobs are left */
};

enum { DELETED_AT_ONCE = 50 };

static enum store_result remove_model(struct writer *writer, const char *id, struct bp_error *error) {
    int64_t found;
    enum store_result result =
        db_integer(writer_connection(writer), "SELECT 1 FROM models WHERE name = ? AND hidden = 1", WITH(text(id)), &found, error);
    if (result == STORE_OK) result = model_remove(writer, id, error);
    return result == STORE_NOT_FOUND ? STORE_OK : result;
}

/* Jobs in pieces, then the rest: no change takes long. */
static enum store_result delete_sweep(struct writer *writer, void *argument, struct bp_error *error) {
    struct deletion *what = argument;
    struct connection *c = writer_connection(writer);
    int64_t finished = 0;
    enum store_result result = db_integer(c, "SELECT finished_at FROM sweeps WHERE id = ?", WITH(text(what->id)), &finished, error);
    if (result != STORE_OK) return result == STORE_NOT_FOUND ? sweep_missing(what->id, error) : result;
    if (!finished) {
        bp_error_set(error, "", "sweep %s has not ended; cancel it first, or wait until it ends", what->id);
        return STORE_CONFLICT;
    }
    for (int i = 0; i < DELETED_AT_ONCE; i++) {
        char job[STORE_ID_SIZE] = "";
        sqlite3_stmt *s = db_start(c, "SELECT job FROM trials WHERE sweep = ? AND job IS NOT NULL LIMIT 1", WITH(text(what->id)));
        const int code = s ? sqlite3_step(s) : SQLITE_ERROR;
        if (code == SQLITE_ROW) column_copy(s, 0, job, sizeof job);
        db_end(s);
        if (code == SQLITE_DONE) break;
        if (code != SQLITE_ROW) return db_failed(c, error);
        if ((result = job_remove(writer, job, error)) != STORE_OK) return result;
        what->more = i == DELETED_AT_ONCE - 1;
    }
    if (what->more) return STORE_OK;
    if ((result = remove_model(writer, what->id, error)) != STORE_OK) return result;
    writer_freed(writer);
    return db_run(c, "DELETE FROM sweeps WHERE id = ?", WITH(text(what->id)), error);
}

enum store_result store_sweep_delete(struct store *store, const char *id, struct bp_error *error) {
    enum store_result result;
    struct deletion what;
    do {
        what = (struct deletion){.id = id};
        result = writer_run_vital(store, "delete the sweep", delete_sweep, &what, error);
    } while (result == STORE_OK && what.more);
    return result;
}

/* ---- trimming ---- */

struct trimming {
    const char *id;
    struct store_expired *expired;
    int32_t count;
};

/* ?1: the sweep, ?2: at most so many. Versions of trials that have ended and are not the best, which nothing needs. */
#define LOSERS                                                                                                                                       \
    "SELECT w.model, v.version FROM sweeps AS w JOIN trials AS t ON t.sweep = w.id JOIN versions AS v ON v.model = w.model AND v.version = "         \
    "t.version WHERE w.id = ?1 AND NOT w.keep_versions AND t.status <> '' AND t.number IS NOT " BEST_TRIAL(                                          \
        "w") " AND NOT EXISTS (SELECT 1 FROM "                                                                                                       \
             "aliases WHERE model = v.model AND version = v.version) AND " VERSION_UNREAD " LIMIT ?2"

static enum store_result trim(struct writer *writer, void *argument, struct bp_error *error) {
    struct trimming *what = argument;
    struct connection *c = writer_connection(writer);
    int code = SQLITE_ERROR;
    what->count = 0;
    sqlite3_stmt *s = db_start(c, LOSERS, WITH(text(what->id), integer(STORE_EXPIRED_MAX)));
    while (s && what->count < STORE_EXPIRED_MAX && (code = sqlite3_step(s)) == SQLITE_ROW) {
        struct store_expired *one = &what->expired[what->count++];
        column_copy(s, 0, one->name, sizeof one->name);
        one->version = sqlite3_column_int64(s, 1);
    }
    enum store_result result = s && (code == SQLITE_DONE || code == SQLITE_ROW) ? STORE_OK : db_failed(c, error);
    db_end(s);
    for (int32_t i = 0; result == STORE_OK && i < what->count; i++)
        result = version_remove(writer, what->expired[i].name, what->expired[i].version, error);
    if (result == STORE_OK && what->count)
        result =
            db_run(c, "UPDATE sweeps SET versions_removed = versions_removed + ?2 WHERE id = ?1", WITH(text(what->id), integer(what->count)), error);
    return result;
}

static bool row_read(sqlite3_stmt *s, void *item) {
    (void)s, (void)item;
    return true;
}

enum store_result store_sweep_trim(struct store *store, const char *id, struct store_expired expired[STORE_EXPIRED_MAX], int32_t *count,
                                   struct bp_error *error) {
    struct trimming what = {.id = id, .expired = expired};
    const struct value values[] = {text(id), integer(1)};
    const struct query query = {.what = "find versions of a sweep", .values = values, .values_count = 2, .read = row_read, .sql = LOSERS};
    *count = 0;
    enum store_result result = query_one(store, &query, NULL, error); /* nearly always there are none: the writer has other work */
    if (result != STORE_OK) return result == STORE_NOT_FOUND ? STORE_OK : result;
    result = writer_run_vital(store, "remove versions of a sweep", trim, &what, error);
    *count = result == STORE_OK ? what.count : 0;
    return result;
}

/* ---- ending ---- */

struct finishing {
    const char *id;
    bool all;
    struct store_sweep *sweep;
};

/* The best trial, and what is served now. */
struct winner {
    char job[STORE_ID_SIZE], reason[300];
    int64_t version, served, compared; /* compared: the version that it was compared with; -1: not compared */
    bool better, published;
};

static enum store_result winner_read(struct connection *c, const struct store_sweep *w, struct winner *best, struct bp_error *error) {
    sqlite3_stmt *s = db_start(c,
                               "SELECT coalesce(job, ''), version, coalesce(better, 0), CASE WHEN better IS NULL THEN -1 ELSE served END FROM trials "
                               "WHERE sweep = ? AND number = ? AND EXISTS (SELECT 1 FROM versions WHERE model = ? AND version = trials.version)",
                               WITH(text(w->id), integer(w->best), text(w->model)));
    const int code = s ? sqlite3_step(s) : SQLITE_ERROR;
    if (code == SQLITE_ROW) {
        column_copy(s, 0, best->job, sizeof best->job);
        best->version = sqlite3_column_int64(s, 1);
        best->better = sqlite3_column_int(s, 2) != 0;
        best->compared = sqlite3_column_int64(s, 3);
    }
    db_end(s);
    if (code != SQLITE_ROW && code != SQLITE_DONE) return db_failed(c, error);
    return alias_default(c, w->model, &best->served, error);
}

/* Whether the best version is served from now on: as for a job, but decided when all trials have ended. */
static void decide(const struct store_sweep *w, struct winner *best) {
    char *reason = best->reason;
    const size_t size = sizeof best->reason;
    const long long trial = w->best, version = best->version, served = best->served;
    best->published = false;
    if (w->best < 0) snprintf(reason, size, "no trial has a value of %.100s", w->metric);
    else if (w->publish == STORE_HOLD_BACK) snprintf(reason, size, "publish is false");
    else if (!version) snprintf(reason, size, "the version of trial %lld was deleted", trial);
    else if (w->status == STORE_SWEEP_CANCELLING) snprintf(reason, size, "the sweep was cancelled");
    else if (w->publish == STORE_PUBLISH || !served) best->published = true;
    else if (served == version) snprintf(reason, size, "version %lld is served already", version);
    else if (best->compared < 0) snprintf(reason, size, "trial %lld was not compared with version %lld, which is served", trial, served);
    else if (best->compared != served)
        snprintf(reason, size,
                 "version %lld became the served one after trial %lld was compared with version %lld; compare them, and publish by hand", served,
                 trial, (long long)best->compared);
    else if (best->better) best->published = true;
    else snprintf(reason, size, "trial %lld, the best, is not better than version %lld, which is served", trial, served);
    if (best->published)
        snprintf(reason, size, "trial %lld has the best %.100s%s", trial, w->metric,
                 w->publish == STORE_PUBLISH_IF_BETTER ? (served ? ", and is better than the version that was served" : ", and no version was served")
                                                       : "");
}

static enum store_result publish(struct writer *writer, const struct store_sweep *w, const struct winner *best, struct bp_error *error) {
    const struct alias_move move = {
        .model = w->model, .name = STORE_ALIAS_DEFAULT, .version = best->version, .action = "publish", .actor = &w->actor, .job = best->job};
    enum store_result result = best->published && best->served != best->version ? alias_move(writer, &move, error) : STORE_OK;
    if (result != STORE_OK) return result;
    return db_run(
        writer_connection(writer),
        "UPDATE sweeps SET publication = json_object('requested', json(CASE publish WHEN 'if_better' THEN '\"if_better\"' ELSE publish END), "
        "'published', json(?2), 'version', nullif(?3, 0), 'served_version', nullif(?4, 0), 'reason', ?5) WHERE id = ?1",
        WITH(text(w->id), text(best->published ? "true" : "false"), integer(best->version), integer(best->served), text(best->reason)), error);
}

/* In the log of the best trial's job, and so on the stream of events. */
static enum store_result announce(struct writer *writer, const struct store_sweep *w, const struct winner *best, const char *status,
                                  struct bp_error *error) {
    char message[500], data[400];
    int64_t attempt = 0;
    if (!best->job[0]) return STORE_OK;
    snprintf(message, sizeof message, "sweep %s has %s: %.300s", w->id, strcmp(status, "cancelled") == 0 ? "been cancelled" : status, best->reason);
    snprintf(data, sizeof data, "{\"sweep\":\"%s\",\"status\":\"%s\",\"best_trial\":%lld,\"published\":%s}", w->id, status, (long long)w->best,
             best->published ? "true" : "false");
    struct store_event event = {.type = "log", .level = "info", .message = message, .data = data};
    enum store_result result = db_integer(writer_connection(writer), "SELECT attempt FROM jobs WHERE id = ?", WITH(text(best->job)), &attempt, error);
    return result == STORE_OK ? event_add(writer, best->job, attempt, &event, error) : result;
}

static enum store_result set_ended(struct connection *c, const struct store_sweep *w, const char *status, struct bp_error *error) {
    return db_run(c,
                  "UPDATE sweeps SET status = ?2, finished_at = ?3, error = CASE WHEN ?2 = 'failed' THEN json_object('code', 'no_trial', 'message', "
                  "'no trial has succeeded with a value of ' || metric || coalesce('; the first error: ' || (SELECT json_extract(error, '$.message') "
                  "FROM trials WHERE sweep = ?1 AND error <> 'null' ORDER BY number LIMIT 1), '')) ELSE 'null' END WHERE id = ?1",
                  WITH(text(w->id), text(status), integer(store_now())), error);
}

static enum store_result finish(struct writer *writer, void *argument, struct bp_error *error) {
    struct finishing *what = argument;
    struct connection *c = writer_connection(writer);
    struct store_sweep *w = what->sweep;
    struct winner best = {.compared = -1};
    store_sweep_free(w);
    enum store_result result = sweep_now(c, what->id, w, error);
    if (result != STORE_OK) return result;
    const bool cancelled = w->status == STORE_SWEEP_CANCELLING, made = w->created == w->total || !what->all;
    if (w->finished_at || w->trials.queued + w->trials.running + w->trials.paused > 0 || (!cancelled && !made)) {
        bp_error_set(error, "", "sweep %s has ended already, or has unfinished trials", what->id);
        return STORE_CONFLICT;
    }
    const char *status = cancelled ? "cancelled" : w->best >= 0 ? "succeeded" : "failed";
    if ((result = winner_read(c, w, &best, error)) != STORE_OK) return result;
    decide(w, &best);
    if ((result = publish(writer, w, &best, error)) != STORE_OK || (result = set_ended(c, w, status, error)) != STORE_OK ||
        (result = announce(writer, w, &best, status, error)) != STORE_OK)
        return result;
    store_sweep_free(w);
    return sweep_now(c, what->id, w, error);
}

enum store_result store_sweep_finish(struct store *store, const char *id, bool all, struct store_sweep *sweep, struct bp_error *error) {
    *sweep = (struct store_sweep){0};
    struct finishing what = {.id = id, .all = all, .sweep = sweep};
    enum store_result result = writer_run_vital(store, "end the sweep", finish, &what, error);
    if (result != STORE_OK) store_sweep_free(sweep);
    return result;
}

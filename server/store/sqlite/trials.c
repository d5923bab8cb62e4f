/* trials.c - the trials of sweeps: made with their jobs, stopped at rungs, recorded when their jobs end.
 *
 * A rung is an epoch of min_epochs * eta^k. Successive halving in its asynchronous form, as a stopping rule (Li, Jamieson, Rostamizadeh, Gonina,
 * Hardt, Recht, Talwalkar: "A system for massively parallel hyperparameter tuning", MLSys 2020, arXiv:1810.05934; Ray Tune's
 * AsyncHyperBandScheduler): of the n trials that have reached a rung so far, itself included, a trial goes on if it is among the best max(1, floor(n
 * / eta)). Equal ones share the better place. Nobody waits for others to arrive, so an early arrival may go on although later ones are better. */
#include "server/store/sqlite/sweeps_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- made ---- */

/* Takes the next number of a running sweep. */
static enum store_result take_number(struct connection *c, const struct store_trial_new *trial, struct bp_error *error) {
    enum store_result result =
        db_run(c, "UPDATE sweeps SET created = created + 1 WHERE id = ?1 AND status = 'running' AND created = ?2 AND created < total",
               WITH(text(trial->sweep), integer(trial->number)), error);
    if (result != STORE_OK || sqlite3_changes(c->db) == 1) return result;
    bp_error_set(error, "", "trial %lld of sweep %s is there already, or the sweep takes no more trials", (long long)trial->number, trial->sweep);
    return STORE_STALE;
}

enum store_result trial_add(struct writer *writer, const struct store_trial_new *trial, const char *job, struct bp_error *error) {
    struct connection *c = writer_connection(writer);
    enum store_result result = take_number(c, trial, error);
    if (result != STORE_OK) return result;
    return db_run(c, "INSERT INTO trials (sweep, number, job, parameters) VALUES (?, ?, ?, ?)",
                  WITH(text(trial->sweep), integer(trial->number), text(job), text(trial->parameters)), error);
}

struct invalid {
    const struct store_trial_new *trial;
    const char *error_document;
};

static enum store_result add_invalid(struct writer *writer, void *argument, struct bp_error *error) {
    const struct invalid *what = argument;
    enum store_result result = trial_add(writer, what->trial, NULL, error);
    if (result != STORE_OK) return result;
    return db_run(writer_connection(writer), "UPDATE trials SET status = 'invalid', error = ?3 WHERE sweep = ?1 AND number = ?2",
                  WITH(text(what->trial->sweep), integer(what->trial->number), text(what->error_document)), error);
}

enum store_result store_trial_invalid(struct store *store, const struct store_trial_new *trial, const char *error_document, struct bp_error *error) {
    struct invalid what = {trial, error_document};
    return writer_run(store, "store the trial", add_invalid, &what, error);
}

/* ---- ended ---- */

enum store_result trial_end(struct writer *writer, const char *job, struct bp_error *error) {
    struct connection *c = writer_connection(writer);
    enum store_result result = db_run(
        c,
        "UPDATE trials SET (status, epochs, training_ms, version, error) = (SELECT status, coalesce(json_extract(progress, '$.epoch'), 0), "
        "training_ms, model_version, error FROM jobs WHERE id = ?1), value = (SELECT coalesce(max(CASE WHEN m.key = w.metric THEN m.value END), "
        "max(m.value)) FROM sweeps AS w, jobs AS j, json_each(j.metrics) AS m WHERE w.id = trials.sweep AND j.id = ?1 AND j.status = 'succeeded' "
        "AND m.type IN ('integer', 'real') AND m.key IN (w.metric, 'cross_validated_' || substr(w.metric, 5))) WHERE job = ?1",
        WITH(text(job)), error);
    if (result != STORE_OK || sqlite3_changes(c->db) == 0) return result;
    return db_run(
        c, "UPDATE trials SET score = CASE (SELECT higher FROM sweeps WHERE id = trials.sweep) WHEN 1 THEN -value ELSE value END WHERE job = ?",
        WITH(text(job)), error);
}

enum store_result trial_compared(struct writer *writer, const char *job, const struct store_comparison *comparison, int64_t served,
                                 struct bp_error *error) {
    return db_run(writer_connection(writer), "UPDATE trials SET better = ?2, served = ?3, comparison = ?4 WHERE job = ?1",
                  WITH(text(job), comparison ? integer(comparison->better) : text(NULL), integer(comparison ? comparison->served : served),
                       text(comparison ? comparison->document : NULL)),
                  error);
}

enum store_result trial_sweep(struct connection *c, const char *job, char sweep[STORE_ID_SIZE], bool *unfinished, struct bp_error *error) {
    sweep[0] = '\0';
    *unfinished = false;
    sqlite3_stmt *s = db_start(c, "SELECT w.id, w.finished_at FROM trials AS t JOIN sweeps AS w ON w.id = t.sweep WHERE t.job = ?", WITH(text(job)));
    const int code = s ? sqlite3_step(s) : SQLITE_ERROR;
    if (code == SQLITE_ROW) {
        column_copy(s, 0, sweep, STORE_ID_SIZE);
        *unfinished = sqlite3_column_int64(s, 1) == 0;
    }
    const enum store_result result = code == SQLITE_ROW || code == SQLITE_DONE ? STORE_OK : db_failed(c, error);
    db_end(s);
    return result;
}

/* ---- rungs ---- */

struct rung {
    const char *job;
    int64_t attempt, epoch;
    const struct store_report *report;
    bool stop;
};

/* The trial of the job, and the metric of its sweep. */
struct place {
    char sweep[STORE_ID_SIZE], metric[128];
    int64_t trial, eta;
    bool higher, has_value;
    double value;
};

static enum store_result place_read(struct connection *c, const struct rung *rung, struct place *p, struct bp_error *error) {
    sqlite3_stmt *s = db_start(c,
                               "SELECT t.sweep, w.metric, t.number, w.eta, w.higher, (SELECT m.value FROM json_each((SELECT data FROM events WHERE "
                               "job = ?1 AND type = 'metrics' AND epoch = ?2)) AS m WHERE m.key = w.metric AND m.type IN ('integer', 'real')) "
                               "FROM trials AS t JOIN sweeps AS w ON w.id = t.sweep WHERE t.job = ?1",
                               WITH(text(rung->job), integer(rung->epoch)));
    const int code = s ? sqlite3_step(s) : SQLITE_ERROR;
    enum store_result result = code == SQLITE_ROW ? STORE_OK : code == SQLITE_DONE ? STORE_NOT_FOUND : db_failed(c, error);
    if (code == SQLITE_ROW) {
        column_copy(s, 0, p->sweep, sizeof p->sweep);
        column_copy(s, 1, p->metric, sizeof p->metric);
        p->trial = sqlite3_column_int64(s, 2);
        p->eta = sqlite3_column_int64(s, 3);
        p->higher = sqlite3_column_int(s, 4) != 0;
        p->has_value = sqlite3_column_type(s, 5) != SQLITE_NULL;
        p->value = sqlite3_column_double(s, 5);
    }
    db_end(s);
    return result;
}

/* The decision, in words, in the trial and in the log of its job. */
static enum store_result stop(struct writer *writer, const struct rung *rung, const struct place *p, int64_t place, int64_t arrived,
                              struct bp_error *error) {
    char reason[400], data[300];
    const int64_t most = arrived / p->eta > 1 ? arrived / p->eta : 1;
    if (p->has_value)
        snprintf(reason, sizeof reason,
                 "stopped after epoch %lld: %s %.6g is number %lld of the %lld trials that have come so far, the best %lld go on",
                 (long long)rung->epoch, p->metric, p->value, (long long)place, (long long)arrived, (long long)most);
    else snprintf(reason, sizeof reason, "stopped after epoch %lld: %s is undefined", (long long)rung->epoch, p->metric);
    snprintf(data, sizeof data, "{\"sweep\":\"%s\",\"trial\":%lld,\"epoch\":%lld,\"place\":%lld,\"arrived\":%lld}", p->sweep, (long long)p->trial,
             (long long)rung->epoch, (long long)place, (long long)arrived);
    struct store_event event = {.type = "log", .level = "info", .message = reason, .data = data};
    enum store_result result = event_add(writer, rung->job, rung->attempt, &event, error);
    if (result != STORE_OK) return result;
    return db_run(writer_connection(writer), "UPDATE trials SET stopped = ?2 WHERE job = ?1", WITH(text(rung->job), text(reason)), error);
}

static enum store_result decide(struct writer *writer, struct rung *rung, const struct place *p, struct bp_error *error) {
    struct connection *c = writer_connection(writer);
    int64_t better = 0, before = 0;
    enum store_result result =
        db_integer(c,
                   p->higher ? "SELECT count(*) FROM rungs WHERE sweep = ?1 AND epoch = ?2 AND value IS NOT NULL AND (value > ?3 OR ?3 IS NULL)"
                             : "SELECT count(*) FROM rungs WHERE sweep = ?1 AND epoch = ?2 AND value IS NOT NULL AND (value < ?3 OR ?3 IS NULL)",
                   WITH(text(p->sweep), integer(rung->epoch), p->has_value ? real(p->value) : text(NULL)), &better, error);
    if (result == STORE_OK)
        result =
            db_integer(c, "SELECT count(*) FROM rungs WHERE sweep = ? AND epoch = ?", WITH(text(p->sweep), integer(rung->epoch)), &before, error);
    if (result != STORE_OK) return result;
    const int64_t arrived = before + 1, place = better + 1, most = arrived / p->eta > 1 ? arrived / p->eta : 1;
    rung->stop = !p->has_value || place > most;
    result = db_run(c, "INSERT INTO rungs (sweep, trial, epoch, value, place, arrived, stopped) VALUES (?, ?, ?, ?, ?, ?, ?)",
                    WITH(text(p->sweep), integer(p->trial), integer(rung->epoch), p->has_value ? real(p->value) : text(NULL), integer(place),
                         integer(arrived), integer(rung->stop)),
                    error);
    return result == STORE_OK && rung->stop ? stop(writer, rung, p, place, arrived, error) : result;
}

static enum store_result at_rung(struct writer *writer, void *argument, struct bp_error *error) {
    struct rung *rung = argument;
    struct connection *c = writer_connection(writer);
    struct place p = {.trial = -1};
    int64_t stopped = 0;
    rung->stop = false;
    enum store_result result = attempt_check(c, rung->job, rung->attempt, error);
    if (result == STORE_OK) result = report_apply(writer, rung->job, rung->attempt, rung->report, error);
    if (result == STORE_OK) result = place_read(c, rung, &p, error);
    if (result == STORE_NOT_FOUND || (result == STORE_OK && p.eta < 2)) return STORE_OK; /* the sweep was deleted, or stops no trial */
    if (result != STORE_OK) return result;
    result = db_integer(c, "SELECT stopped FROM rungs WHERE sweep = ? AND trial = ? AND epoch = ?",
                        WITH(text(p.sweep), integer(p.trial), integer(rung->epoch)), &stopped, error);
    rung->stop = result == STORE_OK && stopped; /* it was here before its process died */
    return result == STORE_NOT_FOUND ? decide(writer, rung, &p, error) : result;
}

enum store_result store_trial_rung(struct store *store, const char *job, int64_t attempt, const struct store_report *report, int64_t epoch,
                                   bool *stop_now, struct bp_error *error) {
    struct rung rung = {.job = job, .attempt = attempt, .epoch = epoch, .report = report};
    enum store_result result = writer_run(store, "record the progress of a trial", at_rung, &rung, error);
    *stop_now = result == STORE_OK && rung.stop;
    return result;
}

/* ---- reading ---- */

static bool trial_read(sqlite3_stmt *s, void *item) {
    struct store_trial *t = item;
    t->number = sqlite3_column_int64(s, 0);
    column_copy(s, 1, t->job, sizeof t->job);
    column_copy(s, 2, t->status, sizeof t->status);
    t->has_value = sqlite3_column_type(s, 3) != SQLITE_NULL;
    t->value = sqlite3_column_double(s, 3);
    t->epochs = sqlite3_column_int64(s, 4);
    t->training_ms = sqlite3_column_int64(s, 5);
    t->version = sqlite3_column_int64(s, 6);
    t->rung_epoch = sqlite3_column_int64(s, 7);
    return column_keep(s, 8, &t->parameters) && column_keep(s, 9, &t->error) && column_keep(s, 10, &t->stopped);
}

/* Of an unfinished trial what its job has now. A version that is removed is none. */
#define TRIAL_SELECT                                                                                                                                 \
    "SELECT t.number AS number, coalesce(t.job, ''), coalesce(nullif(t.status, ''), j.status, 'cancelled') AS status, CASE WHEN t.status <> '' OR "  \
    "j.id IS NULL THEN t.value ELSE (SELECT m.value FROM json_each(j.metrics) AS m WHERE m.key = w.metric AND m.type IN ('integer', 'real')) END "   \
    "AS value, CASE WHEN t.status <> '' OR j.id IS NULL THEN t.epochs ELSE json_extract(j.progress, '$.epoch') END AS epochs, "                      \
    "CASE WHEN t.status <> '' OR j.id IS NULL THEN t.training_ms ELSE j.training_ms END AS time, coalesce((SELECT v.version FROM versions AS v "     \
    "WHERE v.model = w.model AND v.version = t.version), 0), coalesce((SELECT max(epoch) FROM rungs AS r WHERE r.sweep = t.sweep AND "               \
    "r.trial = t.number), 0), t.parameters, t.error, nullif(t.stopped, '') FROM trials AS t JOIN sweeps AS w ON w.id = t.sweep "                     \
    "LEFT JOIN jobs AS j ON j.id = t.job WHERE t.sweep = ?"

enum store_result store_trial_list(struct store *store, const char *sweep, enum store_trial_order order, bool descending, struct store_trials *list,
                                   struct bp_error *error) {
#define BY(order) TRIAL_SELECT " ORDER BY " order " LIMIT ?"
    static const char *const sql[][2] = {[STORE_TRIALS_BY_NUMBER] = {BY("t.number"), BY("t.number DESC")},
                                         [STORE_TRIALS_BY_VALUE] = {BY("value IS NULL, value, t.number"), BY("value IS NULL, value DESC, t.number")},
                                         [STORE_TRIALS_BY_EPOCHS] = {BY("epochs, t.number"), BY("epochs DESC, t.number")},
                                         [STORE_TRIALS_BY_TIME] = {BY("time, t.number"), BY("time DESC, t.number")},
                                         [STORE_TRIALS_BY_STATUS] = {BY("status, t.number"), BY("status DESC, t.number")}};
#undef BY
    const struct value values[] = {text(sweep)};
    struct query query = {.what = "list the trials",
                          .values = values,
                          .values_count = 1,
                          .read = trial_read,
                          .item_size = sizeof(struct store_trial),
                          .limit = STORE_LIST_MAX,
                          .sql = sql[order][descending]};
    enum store_result result = query_list(store, &query, error);
    *list = (struct store_trials){query.count, query.has_more, query.items};
    if (result != STORE_OK) store_trials_free(list);
    return result;
}

enum store_result store_trial_get(struct store *store, const char *sweep, int64_t number, struct store_trial *trial, struct bp_error *error) {
    const struct value values[] = {text(sweep), integer(number)};
    const struct query query = {
        .what = "find the trial", .values = values, .values_count = 2, .read = trial_read, .sql = TRIAL_SELECT " AND t.number = ?"};
    *trial = (struct store_trial){0};
    const enum store_result result = query_one(store, &query, trial, error);
    if (result != STORE_OK) store_trial_free(trial);
    return result;
}

void store_trial_free(struct store_trial *t) {
    free(t->parameters);
    free(t->error);
    free(t->stopped);
}

void store_trials_free(struct store_trials *list) {
    LIST_FREE(list, store_trial_free);
}

static bool text_read(sqlite3_stmt *s, void *item) {
    return column_keep(s, 0, item);
}

enum store_result store_rungs(struct store *store, const char *sweep, char **json, struct bp_error *error) {
    const struct value values[] = {text(sweep)};
    const struct query query = {
        .what = "list the rungs",
        .values = values,
        .values_count = 1,
        .read = text_read,
        .sql = "SELECT json_group_array(json_object('trial', trial, 'epoch', epoch, 'value', value, 'place', place, 'arrived', "
               "arrived, 'stopped', json(iif(stopped, 'true', 'false')))) FROM (SELECT * FROM rungs WHERE sweep = ? ORDER BY id)"};
    *json = NULL;
    return query_one(store, &query, json, error);
}

struct id {
    char text[STORE_ID_SIZE];
};

static bool id_read(sqlite3_stmt *s, void *item) {
    struct id *id = item;
    column_copy(s, 0, id->text, sizeof id->text);
    return true;
}

enum store_result store_sweep_active(struct store *store, const char *sweep, bool waiting, char jobs[][STORE_ID_SIZE], int32_t *count,
                                     struct bp_error *error) {
    const struct value values[] = {text(sweep), integer(waiting)};
    struct query query = {.what = "list the trials",
                          .values = values,
                          .values_count = 2,
                          .read = id_read,
                          .item_size = sizeof(struct id),
                          .limit = STORE_ACTIVE_MAX,
                          .sql = "SELECT j.id FROM trials AS t JOIN jobs AS j ON j.id = t.job WHERE t.sweep = ? AND j.finished_at = 0 AND (NOT ? OR "
                                 "j.status IN ('queued', 'paused')) LIMIT ?"};
    enum store_result result = query_list(store, &query, error);
    const struct id *ids = query.items;
    *count = result == STORE_OK ? query.count : 0;
    for (int32_t i = 0; i < *count; i++) memcpy(jobs[i], ids[i].text, STORE_ID_SIZE);
    free(query.items);
    return result;
}

/* job_reports.c - what a supervisor does with jobs: claims them, reports of them, gives them back, ends them. The diagram is in jobs.c.
 *
 * Every verb but claim and recover names its attempt, and begins with attempt_check: a process that was given up for dead and speaks up later
 * changes nothing (invariant 3). */
#include "server/store/sqlite/sqlite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum store_result attempt_check(struct connection *c, const char *id, int64_t attempt, struct bp_error *error) {
    enum store_status status;
    int64_t current = 0;
    enum store_result result = job_status(c, id, &status, error);
    if (result == STORE_OK) result = db_integer(c, "SELECT attempt FROM jobs WHERE id = ?", WITH(text(id)), &current, error);
    if (result != STORE_OK) return result;
    if (current == attempt && (status == STORE_RUNNING || status == STORE_PAUSING || status == STORE_CANCELLING)) return STORE_OK;
    bp_error_set(error, "", "attempt %lld of %s has ended: the job is %s, attempt %lld", (long long)attempt, id, store_status_name(status),
                 (long long)current);
    return STORE_STALE;
}

/* ---- recover ---- */

static enum store_result recover(struct writer *writer, void *argument, struct bp_error *error) {
    struct connection *c = writer_connection(writer);
    (void)argument;
    for (;;) { /* each round moves one job out of what the query finds */
        char id[STORE_ID_SIZE] = "", name[16] = "";
        enum store_status status = STORE_RUNNING;
        sqlite3_stmt *s = db_start(c, "SELECT id, status FROM jobs WHERE status IN ('running', 'pausing', 'cancelling') LIMIT 1", NONE);
        int code = s ? sqlite3_step(s) : SQLITE_ERROR;
        if (code == SQLITE_ROW) {
            column_copy(s, 0, id, sizeof id);
            column_copy(s, 1, name, sizeof name);
        }
        db_end(s);
        if (code == SQLITE_DONE) return attempts_lost(c, error);
        if (code != SQLITE_ROW || !store_status_parse(name, &status)) return db_failed(c, error);
        struct move move = {.job = id, .to = status == STORE_CANCELLING ? STORE_CANCELLED : status == STORE_PAUSING ? STORE_PAUSED : STORE_QUEUED};
        enum store_result result = job_move(writer, &move, error);
        if (result != STORE_OK) return result;
    }
}

enum store_result store_recover(struct store *store, struct bp_error *error) {
    return writer_run(store, "requeue the jobs of the previous server", recover, NULL, error);
}

/* ---- claim ---- */

struct claim {
    const char *owner;
    int64_t lease_ms;
    const struct store_taker *taker;
    struct store_job *job;
};

/* Reads the job as it is now, inside the change. */
static enum store_result claimed_read(struct connection *c, const char *id, struct store_job *job, struct bp_error *error) {
    sqlite3_stmt *s = db_start(c, JOB_SELECT("0") "WHERE id = ?", WITH(text(id)));
    enum store_result result;
    if (s && sqlite3_step(s) == SQLITE_ROW) result = job_read(s, job) ? STORE_OK : out_of_memory(error);
    else result = db_failed(c, error);
    db_end(s);
    return result;
}

static enum store_result claim(struct writer *writer, void *argument, struct bp_error *error) {
    const struct claim *claim = argument;
    struct connection *c = writer_connection(writer);
    char id[STORE_ID_SIZE] = "";
    int64_t now = store_now();
    enum store_result result = queue_first(c, claim->taker, id, &claim->job->retry_at, error);
    if (result == STORE_OK)
        result = db_run(c,
                        "UPDATE jobs SET status = 'running', owner = ?2, attempt = attempt + 1, lease_until = ?3, retry_at = 0, "
                        "started_at = CASE started_at WHEN 0 THEN ?4 ELSE started_at END WHERE id = ?1",
                        WITH(text(id), text(claim->owner), integer(now + claim->lease_ms), integer(now)), error);
    if (result == STORE_OK) result = claimed_read(c, id, claim->job, error);
    if (result == STORE_OK) result = attempt_begin(c, id, claim->job->attempt, now, error);
    return result == STORE_OK ? event_add_status(writer, id, NULL, error) : result;
}

enum store_result store_job_claim(struct store *store, const char *owner, int64_t lease_ms, const struct store_taker *taker, struct store_job *job,
                                  struct bp_error *error) {
    *job = (struct store_job){0};
    struct claim argument = {owner, lease_ms, taker, job};
    enum store_result result = writer_run(store, "claim a job", claim, &argument, error);
    if (result != STORE_OK) {
        const int64_t retry_at = result == STORE_NOT_FOUND ? job->retry_at : 0;
        store_job_free(job);
        *job = (struct store_job){.retry_at = retry_at};
    }
    return result;
}

/* ---- report ---- */

struct reporting {
    const char *id;
    int64_t attempt;
    const struct store_report *report;
};

enum store_result report_apply(struct writer *writer, const char *id, int64_t attempt, const struct store_report *report, struct bp_error *error) {
    enum store_result result =
        db_run(writer_connection(writer),
               "UPDATE jobs SET progress = coalesce(?2, progress), metrics = coalesce(?3, metrics), best = coalesce(?4, best), "
               "warnings = coalesce(?5, warnings), resumed_from_epoch = CASE WHEN ?6 < 0 THEN resumed_from_epoch ELSE ?6 END, "
               "cross_validation = coalesce(?7, cross_validation), stop_reason = coalesce(?8, stop_reason), "
               "training_ms = max(training_ms, ?9) WHERE id = ?1",
               WITH(text(id), text(report->progress), text(report->metrics), text(report->best), text(report->warnings),
                    integer(report->resumed_from_epoch), text(report->cross_validation), text(report->stop_reason), integer(report->training_ms)),
               error);
    for (int32_t i = 0; result == STORE_OK && i < report->events_count; i++) {
        const struct store_event *event = &report->events[i];
        if (strcmp(event->type, "status") == 0 || strcmp(event->type, "end") == 0) {
            bp_error_set(error, "", "a report must not contain an event of type %s, which the store creates when the status changes", event->type);
            return STORE_FAILED;
        }
        result = event_add(writer, id, attempt, event, error);
    }
    return result;
}

static enum store_result report(struct writer *writer, void *argument, struct bp_error *error) {
    const struct reporting *reporting = argument;
    enum store_result result = attempt_check(writer_connection(writer), reporting->id, reporting->attempt, error);
    return result == STORE_OK ? report_apply(writer, reporting->id, reporting->attempt, reporting->report, error) : result;
}

enum store_result store_job_report(struct store *store, const char *id, int64_t attempt, const struct store_report *what, struct bp_error *error) {
    struct reporting argument = {id, attempt, what};
    return writer_run(store, "record the progress of a job", report, &argument, error);
}

/* ---- launch ---- */

struct launching {
    const char *id;
    int64_t attempt;
    const char *launch, *line;
};

static enum store_result launch(struct writer *writer, void *argument, struct bp_error *error) {
    const struct launching *l = argument;
    struct connection *c = writer_connection(writer);
    enum store_result result = attempt_check(c, l->id, l->attempt, error);
    if (result == STORE_OK) result = db_run(c, "UPDATE jobs SET launch = ?2 WHERE id = ?1", WITH(text(l->id), text(l->launch)), error);
    const struct store_event event = {.type = "log", .level = "info", .message = (char *)(uintptr_t)l->line};
    return result == STORE_OK && l->line ? event_add(writer, l->id, l->attempt, &event, error) : result;
}

enum store_result store_job_launch(struct store *store, const char *id, int64_t attempt, const char *document, const char *line,
                                   struct bp_error *error) {
    struct launching argument = {id, attempt, document, line};
    return writer_run(store, "record where a job runs", launch, &argument, error);
}

/* ---- give back ---- */

struct giving {
    const char *id;
    int64_t attempt;
    enum store_return why;
    const char *error_document;
    int64_t delay_ms;   /* of one that was not reached */
    const char *launch; /* NULL: unchanged */
};

/* How long the next attempt waits after so many failures: doubled by each, up to RETRY_MAX_MS. */
static int64_t retry_delay(int64_t first_ms, int64_t failures) {
    int64_t delay = first_ms;
    for (int64_t i = 1; i < failures && delay < RETRY_MAX_MS; i++) delay *= 2;
    return delay < RETRY_MAX_MS ? delay : RETRY_MAX_MS;
}

/* The error of a job whose process has died as often as it may: that of the last time, with a code of its own. The caller's; NULL without memory. */
static char *quarantine(struct connection *c, const char *id, const char *error_document) {
    static const char otherwise[] = "{\"message\":\"the job's process ended without an error report\"}";
    char *document = NULL;
    sqlite3_stmt *s =
        db_start(c,
                 "SELECT json_set(?2, '$.code', 'quarantined', '$.message', 'the job is quarantined after ' || failures || "
                 "iif(failures = 1, ' crash', ' crashes') || ' without a new checkpoint; the last one: ' || json_extract(?2, '$.message') || "
                 "'; its last lines are at /v1/jobs/' || id || '/log') "
                 "FROM jobs WHERE id = ?1",
                 WITH(text(id), text(error_document ? error_document : otherwise)));
    if (s && sqlite3_step(s) == SQLITE_ROW) column_keep(s, 0, &document);
    db_end(s);
    return document;
}

static enum store_result give_back(struct writer *writer, void *argument, struct bp_error *error) {
    const struct giving *giving = argument;
    const bool failure = giving->why == STORE_CRASHED;
    struct connection *c = writer_connection(writer);
    enum store_status status = STORE_RUNNING;
    int64_t failures = 0, left = 0;
    enum store_result result;
    if ((result = attempt_check(c, giving->id, giving->attempt, error)) != STORE_OK ||
        (result = job_status(c, giving->id, &status, error)) != STORE_OK ||
        (result = db_integer(c, "UPDATE jobs SET failures = failures + ?2 WHERE id = ?1 RETURNING failures", WITH(text(giving->id), integer(failure)),
                             &failures, error)) != STORE_OK ||
        (result = db_integer(c, "SELECT attempts_max - failures FROM jobs WHERE id = ?", WITH(text(giving->id)), &left, error)) != STORE_OK)
        return result;
    struct move move = {.job = giving->id, .error_document = giving->error_document, .to = STORE_QUEUED};
    char *quarantined = NULL;
    if (status == STORE_CANCELLING) move.to = STORE_CANCELLED;
    else if (failure && left <= 0) move.to = STORE_JOB_FAILED;
    else if (status == STORE_PAUSING) move.to = STORE_PAUSED;
    else if (failure && writer_store(writer)->options.retry_ms > 0)
        move.retry_at = store_now() + retry_delay(writer_store(writer)->options.retry_ms, failures);
    else if (giving->why == STORE_UNREACHED && giving->delay_ms > 0)
        move.retry_at = store_now() + (giving->delay_ms < RETRY_MAX_MS ? giving->delay_ms : RETRY_MAX_MS);
    if (move.to == STORE_JOB_FAILED && !(move.error_document = quarantined = quarantine(c, giving->id, giving->error_document)))
        return out_of_memory(error);
    const bool paused = giving->why == STORE_PAUSE_REQUESTED || move.to == STORE_PAUSED;
    const char *reason = failure                          ? "crashed"
                         : giving->why == STORE_UNREACHED ? "lost"
                         : move.to == STORE_CANCELLED     ? "cancelled"
                         : paused                         ? "paused"
                                                          : "server_stopped";
    result = attempt_close(c, giving->id, giving->attempt, reason, giving->error_document, error);
    if (result == STORE_OK && giving->launch)
        result = db_run(c, "UPDATE jobs SET launch = ?2 WHERE id = ?1", WITH(text(giving->id), text(giving->launch)), error);
    if (result == STORE_OK) result = job_move(writer, &move, error);
    free(quarantined);
    return result;
}

enum store_result store_job_give_back(struct store *store, const char *id, int64_t attempt, enum store_return why, const char *error_document,
                                      struct bp_error *error) {
    struct giving argument = {.id = id, .attempt = attempt, .why = why, .error_document = error_document};
    return writer_run_vital(store, "requeue a job", give_back, &argument, error);
}

enum store_result store_job_put_off(struct store *store, const char *id, int64_t attempt, int64_t delay_ms, const char *launch,
                                    const char *error_document, struct bp_error *error) {
    struct giving argument = {id, attempt, STORE_UNREACHED, error_document, delay_ms, launch};
    return writer_run_vital(store, "put a job off", give_back, &argument, error);
}

/* ---- end ---- */

struct end {
    const char *id;
    int64_t attempt;
    const struct store_ending *ending;
    int64_t version;
};

/* What a failed job leaves behind is the first version of a hidden model that bears its id: deleting the job removes it, and the latest version of a
 * model of that name does not change. */
static enum store_result keep_failed(struct writer *writer, const char *id, const struct store_ending *ending, struct bp_error *error) {
    struct connection *c = writer_connection(writer);
    int64_t there = 0, number = 0;
    const struct version_new version = {
        .model = id, .job = id, .document = ending->version_document, .blob = ending->blob, .blob_size = ending->blob_size};
    enum store_result result = db_integer(c, "SELECT 1 FROM models WHERE name = ?", WITH(text(id)), &there, error);
    if (result == STORE_NOT_FOUND)
        result = db_run(
            c, "INSERT INTO models (name, created_at, updated_at, hidden, definition) VALUES (?1, ?2, ?2, 1, json_extract(?3, '$.definition'))",
            WITH(text(id), integer(store_now()), text(ending->version_document)), error);
    return result == STORE_OK ? version_add(writer, &version, &number, error) : result;
}

/* What the job asked for, and what is served now. */
struct decision {
    char model[STORE_NAME_SIZE];
    enum store_publish publish;
    struct store_actor actor;
    int64_t served; /* 0: none */
    bool published;
    char reason[300]; /* "": that of the comparison */
};

static enum store_result decision_read(struct connection *c, const char *id, struct decision *d, struct bp_error *error) {
    char publish[16] = "";
    sqlite3_stmt *s = db_start(c, "SELECT model, publish, key_id, key_name FROM jobs WHERE id = ?", WITH(text(id)));
    enum store_result result = s && sqlite3_step(s) == SQLITE_ROW ? STORE_OK : db_failed(c, error);
    if (result == STORE_OK) {
        column_copy(s, 0, d->model, sizeof d->model);
        column_copy(s, 1, publish, sizeof publish);
        column_copy(s, 2, d->actor.key_id, sizeof d->actor.key_id);
        column_copy(s, 3, d->actor.key_name, sizeof d->actor.key_name);
    }
    db_end(s);
    while (d->publish < STORE_PUBLISH_COUNT - 1 && strcmp(store_publish_names[d->publish], publish) != 0) d->publish++;
    return result == STORE_OK ? alias_default(c, d->model, &d->served, error) : result;
}

static void decide(struct decision *d, const struct store_comparison *comparison) {
    char *reason = d->reason;
    const size_t size = sizeof d->reason;
    d->published = d->publish == STORE_PUBLISH;
    if (d->publish == STORE_PUBLISH) snprintf(reason, size, "publish is true");
    if (d->publish == STORE_HOLD_BACK) snprintf(reason, size, "publish is false");
    if (d->publish != STORE_PUBLISH_IF_BETTER) return;
    if (!d->served) {
        d->published = true;
        snprintf(reason, size, "no version was served");
    } else if (!comparison) {
        snprintf(reason, size, "it was not compared with version %lld, which is served", (long long)d->served);
    } else if (comparison->served == 0) {
        snprintf(reason, size, "version %lld was published while the training ended, and was not compared", (long long)d->served);
    } else if (comparison->served != d->served) {
        snprintf(reason, size,
                 "version %lld became the served one while the training was compared with version %lld; compare them, and publish by hand",
                 (long long)d->served, (long long)comparison->served);
    } else {
        d->published = comparison->better;
    }
}

/* The job's publication; unless it is the usual one, a line of its log, too. */
static enum store_result publication_set(struct writer *writer, const struct end *what, const struct decision *d, struct bp_error *error) {
    const struct store_comparison *comparison = what->ending->comparison;
    const bool compared = d->publish == STORE_PUBLISH_IF_BETTER && comparison;
    char *reason = NULL;
    struct connection *c = writer_connection(writer);
    enum store_result result = db_run(
        c,
        "UPDATE jobs SET publication = json_set(coalesce(?3, '{}'), '$.requested', json(CASE publish WHEN 'if_better' THEN '\"if_better\"' ELSE "
        "publish END), '$.published', json(?2), '$.served_version', nullif(?4, 0), '$.reason', coalesce(?5, json_extract(?3, '$.reason'), '')) "
        "WHERE id = ?1",
        WITH(text(what->id), text(d->published ? "true" : "false"), text(compared ? comparison->document : NULL), integer(d->served),
             text(d->reason[0] ? d->reason : NULL)),
        error);
    if (result != STORE_OK || d->publish == STORE_PUBLISH) return result; /* as usual: not worth a line */
    sqlite3_stmt *s = db_start(c, "SELECT json_extract(publication, '$.reason') FROM jobs WHERE id = ?", WITH(text(what->id)));
    result = s && sqlite3_step(s) == SQLITE_ROW && column_keep(s, 0, &reason) ? STORE_OK : db_failed(c, error);
    db_end(s);
    char message[700];
    snprintf(message, sizeof message, "version %lld of model %s is %s: %.500s", (long long)what->version, d->model,
             d->published ? "published" : "not published", reason ? reason : "");
    free(reason);
    struct store_event event = {.type = "log", .level = "info", .message = message};
    return result == STORE_OK ? event_add(writer, what->id, what->attempt, &event, error) : result;
}

/* The version of a trial is not served: its sweep decides about the best one when it ends. */
static enum store_result hold_trial(struct writer *writer, const char *id, const struct store_comparison *comparison, struct decision *d,
                                    struct bp_error *error) {
    char sweep[STORE_ID_SIZE];
    bool unfinished;
    enum store_result result = trial_sweep(writer_connection(writer), id, sweep, &unfinished, error);
    if (result != STORE_OK || !sweep[0]) return result;
    d->published = false;
    snprintf(d->reason, sizeof d->reason, "it is a trial of sweep %s, which publishes its best version when it ends, if it was asked to", sweep);
    return d->publish == STORE_PUBLISH_IF_BETTER ? trial_compared(writer, id, comparison, d->served, error) : STORE_OK;
}

static enum store_result succeed(struct writer *writer, struct end *what, struct bp_error *error) {
    const struct store_ending *ending = what->ending;
    struct decision d = {.publish = STORE_PUBLISH};
    enum store_result result = decision_read(writer_connection(writer), what->id, &d, error);
    if (result != STORE_OK) return result;
    decide(&d, ending->comparison);
    if ((result = hold_trial(writer, what->id, ending->comparison, &d, error)) != STORE_OK) return result;
    const struct version_new version = {.model = d.model,
                                        .job = what->id,
                                        .document = ending->version_document,
                                        .blob = ending->blob,
                                        .blob_size = ending->blob_size,
                                        .held_back = !d.published,
                                        .actor = &d.actor,
                                        .calibration = ending->calibration};
    result = version_add(writer, &version, &what->version, error);
    if (result == STORE_OK && ending->evaluation) result = version_test_set(writer, d.model, what->version, ending->evaluation, error);
    return result == STORE_OK ? publication_set(writer, what, &d, error) : result;
}

/* The end of a job that makes no version: it has read one. */
static enum store_result keep_outcome(struct writer *writer, struct end *what, struct bp_error *error) {
    const struct store_ending *ending = what->ending;
    enum store_result result =
        db_integer(writer_connection(writer), "SELECT reads_version FROM jobs WHERE id = ?", WITH(text(what->id)), &what->version, error);
    if (result == STORE_OK && ending->results) result = results_set(writer, what->id, ending->results, error);
    return result == STORE_OK && ending->evaluation ? evaluation_set(writer, what->id, ending->evaluation, error) : result;
}

static enum store_result end(struct writer *writer, void *argument, struct bp_error *error) {
    struct end *what = argument;
    const struct store_ending *ending = what->ending;
    struct connection *c = writer_connection(writer);
    struct move move = {.job = what->id, .to = ending->status, .error_document = ending->error_document};
    enum store_result result = attempt_check(c, what->id, what->attempt, error);
    if (result == STORE_OK && ending->report) result = report_apply(writer, what->id, what->attempt, ending->report, error);
    if (result == STORE_OK && ending->status == STORE_SUCCEEDED) {
        result = ending->version_document ? succeed(writer, what, error) : keep_outcome(writer, what, error);
        move.model_version = what->version;
    }
    if (result == STORE_OK && ending->status == STORE_JOB_FAILED && ending->version_document && ending->blob)
        result = keep_failed(writer, what->id, ending, error);
    const char *reason = ending->status == STORE_SUCCEEDED ? "finished" : ending->status == STORE_CANCELLED ? "cancelled" : "failed";
    if (result == STORE_OK) result = attempt_close(c, what->id, what->attempt, reason, ending->error_document, error);
    return result == STORE_OK ? job_move(writer, &move, error) : result;
}

enum store_result store_job_end(struct store *store, const char *id, int64_t attempt, const struct store_ending *ending, int64_t *version_number,
                                struct bp_error *error) {
    struct end argument = {id, attempt, ending, 0};
    bool complete = ending->status == STORE_CANCELLED || (ending->status == STORE_JOB_FAILED && ending->error_document) ||
                    (ending->status == STORE_SUCCEEDED &&
                     ((ending->version_document && ending->blob) || (!ending->version_document && (ending->results || ending->evaluation))));
    if (!complete) {
        bp_error_set(
            error, "",
            "a job ends as succeeded (with a version, results or an evaluation), failed (with an error document) or cancelled; got an incomplete %s",
            store_status_name(ending->status));
        return STORE_FAILED;
    }
    enum store_result result = writer_run_vital(store, "record the end of the job", end, &argument, error);
    if (version_number) *version_number = result == STORE_OK ? argument.version : 0;
    return result;
}

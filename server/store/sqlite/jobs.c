/* jobs.c - jobs as their submitters see them: filing and reading. Lists are in job_search.c, cancelling,
 * pausing, resuming and deleting in job_actions.c, the order of the queue in job_queue.c, what their supervisor reports in job_reports.c.
 *
 *          store_job_create
 *                 │
 *                 ▼       cancel
 *   ┌─────────▶ queued ─────────────────────────────────────┐
 *   │           │ │  ▲                                      │
 *   │     pause │ │  └───────── resume ──── paused          │
 *   │           └─│──────────────────────────▶ ▲            │
 *   │             │ claim (attempt + 1)        │            │
 *   │ give_back,  ▼       end (as cancelled)   │            ▼
 *   └─ recover ─ running ──────────────────────│──────▶ cancelled
 *               │ │ ▲  │ cancel                │          ▲   ▲
 *         pause │ │ │  ▼  end, give_back,      │          │   │
 *               │ │ │ cancelling ──recover─────│──────────┘   │
 *               │ │ │ resume  ▲ cancel         │              │ cancel
 *               ▼ │ │         │                │              │
 *              pausing ───────┴─ give_back, recover           │
 *                 │                         paused ───────────┘
 *                 ▼
 *      end ─▶ succeeded, failed ◀─ give_back from running or pausing, when failures reach attempts_max
 *
 * The edges are store_job_create, _cancel, _pause, _resume, _claim, _give_back, _end and store_recover. A pausing job may end like a running one.
 * Final: cancelled, succeeded, failed; store_job_delete removes only those.
 *
 * Invariants (numbers as in store.h) and where they are enforced:
 *  1. filed when store_job_create returns             writer.c: callers wake after the commit
 *  2. running, pausing, cancelling <=> owner          CHECK in 001_initial.sql; store_recover
 *  3. stale attempts change nothing                   attempt_check, first in every report; metrics: unique index events_one_per_epoch
 *  4. version, metrics, status, end in one            store_job_end is one change, thus one savepoint of one transaction
 *  5. each change of status has its event(s)          job_move and claim are the only writers of jobs.status after filing
 *  6. version numbers only grow                       counters outlive versions and names */
#include "server/store/sqlite/sqlite.h"

#include <stdlib.h>
#include <string.h>

/* ---- statuses ---- */

static const char *const status_names[STORE_STATUS_COUNT] = {
    [STORE_QUEUED] = "queued",         [STORE_RUNNING] = "running",     [STORE_PAUSING] = "pausing",     [STORE_PAUSED] = "paused",
    [STORE_CANCELLING] = "cancelling", [STORE_CANCELLED] = "cancelled", [STORE_SUCCEEDED] = "succeeded", [STORE_JOB_FAILED] = "failed"};

const char *store_status_name(enum store_status status) {
    return status_names[status];
}

bool store_status_parse(const char *name, enum store_status *status) {
    for (int i = 0; i < STORE_STATUS_COUNT; i++)
        if (name && strcmp(name, status_names[i]) == 0) {
            *status = (enum store_status)i;
            return true;
        }
    return false;
}

bool store_status_final(enum store_status status) {
    return status == STORE_CANCELLED || status == STORE_SUCCEEDED || status == STORE_JOB_FAILED;
}

const char *const store_kind_names[STORE_KIND_COUNT] = {[STORE_TRAIN] = "train", [STORE_PREDICT] = "predict", [STORE_EVALUATE] = "evaluate"};

bool store_kind_parse(const char *name, enum store_kind *kind) {
    for (int i = 0; i < STORE_KIND_COUNT; i++)
        if (name && strcmp(name, store_kind_names[i]) == 0) {
            *kind = (enum store_kind)i;
            return true;
        }
    return false;
}

const char *const store_publish_names[STORE_PUBLISH_COUNT] = {"true", "false", "if_better"};

enum store_result job_missing(const char *id, struct bp_error *error) {
    bp_error_set(error, "", "there is no job %s", id);
    return STORE_NOT_FOUND;
}

enum store_result job_status(struct connection *c, const char *id, enum store_status *status, struct bp_error *error) {
    sqlite3_stmt *s = db_start(c, "SELECT status FROM jobs WHERE id = ?", WITH(text(id)));
    int code = s ? sqlite3_step(s) : SQLITE_ERROR;
    enum store_result result;
    if (code == SQLITE_ROW && store_status_parse((const char *)sqlite3_column_text(s, 0), status)) result = STORE_OK;
    else result = code == SQLITE_DONE ? job_missing(id, error) : db_failed(c, error);
    db_end(s);
    return result;
}

enum store_result job_move(struct writer *writer, const struct move *move, struct bp_error *error) {
    struct connection *c = writer_connection(writer);
    bool keeps_owner = move->to == STORE_CANCELLING || move->to == STORE_PAUSING || move->to == STORE_RUNNING;
    bool failed = move->to == STORE_JOB_FAILED;
    enum store_result result =
        db_run(c,
               "UPDATE jobs SET status = ?2, finished_at = ?3, model_version = ?4, error = coalesce(?5, error), "
               "owner = CASE WHEN ?6 THEN owner END, lease_until = CASE WHEN ?6 THEN lease_until ELSE 0 END, retry_at = ?7 WHERE id = ?1",
               WITH(text(move->job), text(store_status_name(move->to)), integer(store_status_final(move->to) ? store_now() : 0),
                    integer(move->model_version), text(failed ? move->error_document : NULL), integer(keeps_owner), integer(move->retry_at)),
               error);
    if (result == STORE_OK && store_status_final(move->to)) result = db_run(c, "DELETE FROM job_inits WHERE job = ?", WITH(text(move->job)), error);
    if (result == STORE_OK && store_status_final(move->to)) result = trial_end(writer, move->job, error);
    if (result == STORE_OK && store_status_final(move->to) && move->to != STORE_SUCCEEDED) result = results_remove(writer, move->job, error);
    return result == STORE_OK ? event_add_status(writer, move->job, move->error_document, error) : result;
}

/* ---- filing ---- */

static enum store_result queue_room(struct writer *writer, struct bp_error *error) {
    int64_t queued = 0, most = writer_store(writer)->options.queue_max;
    enum store_result result = db_integer(writer_connection(writer), "SELECT count FROM job_counts WHERE status = 'queued'", NONE, &queued, error);
    if (result == STORE_OK && queued >= most) {
        bp_error_set(error, "", "the queue is full: %lld jobs are queued, the limit is %lld; try again when some have run", (long long)queued,
                     (long long)most);
        return STORE_FULL;
    }
    return result;
}

enum store_result dataset_there(struct writer *writer, const char *name, int64_t version, struct bp_error *error) {
    int64_t found;
    enum store_result result = db_integer(writer_connection(writer), "SELECT 1 FROM datasets WHERE name = ? AND version = ?",
                                          WITH(text(name), integer(version)), &found, error);
    if (result == STORE_NOT_FOUND) bp_error_set(error, "", "there is no dataset %s@%lld (it may have been deleted)", name, (long long)version);
    return result;
}

/* The job's dataset: stored now, or looked up. */
static enum store_result dataset_settle(struct writer *writer, const struct store_job_new *request, struct bp_error *error) {
    struct store_job *job = request->job;
    struct store_dataset *dataset = request->new_dataset;
    if (dataset) {
        memcpy(dataset->name, job->dataset, sizeof dataset->name);
        enum store_result result = dataset_add(writer, dataset, request->replace_dataset, error);
        job->dataset_version = dataset->version;
        return result;
    }
    return dataset_there(writer, job->dataset, job->dataset_version, error);
}

enum store_result model_settle(struct writer *writer, const char *name, const char *definition, bool hidden, struct bp_error *error) {
    int64_t found;
    bool created;
    if (definition) return model_set(writer, name, definition, hidden, &created, error);
    enum store_result result = db_integer(writer_connection(writer), "SELECT 1 FROM models WHERE name = ?", WITH(text(name)), &found, error);
    if (result == STORE_NOT_FOUND) bp_error_set(error, "", "there is no model %s (it may have been deleted)", name);
    return result;
}

static enum store_result version_there(struct writer *writer, const char *model, int64_t version, struct bp_error *error) {
    int64_t found;
    if (!version) return STORE_OK;
    enum store_result result = db_integer(writer_connection(writer), "SELECT 1 FROM versions WHERE model = ? AND version = ?",
                                          WITH(text(model), integer(version)), &found, error);
    if (result == STORE_NOT_FOUND)
        bp_error_set(error, "", "there is no version %lld of model %s (it may have been deleted)", (long long)version, model);
    return result;
}

static const char *text_or(const char *document, const char *otherwise) {
    return document ? document : otherwise;
}

static enum store_result create(struct writer *writer, void *argument, struct bp_error *error) {
    const struct store_job_new *request = argument;
    struct connection *c = writer_connection(writer);
    struct store_job *job = request->job;
    enum store_result result;
    if ((result = answer_add(writer, request->idempotency, error)) != STORE_OK || (result = queue_room(writer, error)) != STORE_OK ||
        (result = dataset_settle(writer, request, error)) != STORE_OK ||
        (result = model_settle(writer, job->model, request->new_definition, request->hidden_model, error)) != STORE_OK)
        return result;
    const char *validation = job->validation_dataset[0] ? job->validation_dataset : NULL;
    if ((validation && (result = dataset_there(writer, validation, job->validation_version, error)) != STORE_OK) ||
        (result = version_there(writer, job->model, job->reads_version, error)) != STORE_OK ||
        (result = version_there(writer, job->compared_model, job->compared_version, error)) != STORE_OK)
        return result;
    result =
        db_run(c,
               "INSERT INTO jobs (id, status, model, dataset, dataset_version, validation_dataset, validation_version, created_at, attempts_max, "
               "priority, progress, warnings, cross_validation, publish, key_id, key_name, kind, reads_version, compared_model, compared_version, "
               "launcher, label, memory_mb, processes) VALUES (?, 'queued', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
               WITH(text(job->id), text(job->model), text(job->dataset), integer(job->dataset_version), text(validation),
                    integer(validation ? job->validation_version : 0), integer(job->created_at), integer(job->attempts_max), integer(job->priority),
                    text(text_or(job->progress, "{}")), text(text_or(job->warnings, "[]")), text(text_or(job->cross_validation, "null")),
                    text(store_publish_names[job->publish]), text(job->actor.key_id), text(job->actor.key_name), text(store_kind_names[job->kind]),
                    integer(job->reads_version), text(job->compared_model), integer(job->compared_version), text(job->needs.launcher),
                    text(job->needs.label), integer(job->needs.memory_mb), integer(job->needs.processes > 0 ? job->needs.processes : 1)),
               error);
    if (result == STORE_OK)
        result =
            db_run(c, "INSERT INTO filings (job, spec, view, metadata) VALUES (?, ?, ?, ?)",
                   WITH(text(job->id), text(text_or(job->spec, "{}")), text(text_or(job->view, "{}")), text(text_or(job->metadata, "{}"))), error);
    if (result == STORE_OK && request->init)
        result = db_run(c, "INSERT INTO job_inits (job, blob) VALUES (?, ?)", WITH(text(job->id), blob(request->init, request->init_size)), error);
    if (result == STORE_OK && request->trial) result = trial_add(writer, request->trial, job->id, error);
    return result == STORE_OK ? event_add_status(writer, job->id, NULL, error) : result;
}

enum store_result store_job_create(struct store *store, const struct store_job_new *request, struct bp_error *error) {
    struct store_job *job = request->job;
    const struct store_dataset *dataset = request->new_dataset;
    if ((dataset && dataset->hidden && strcmp(job->dataset, job->id) != 0) || (request->hidden_model && strcmp(job->model, job->id) != 0)) {
        bp_error_set(error, "", "a hidden dataset or model must have the id of its job, %s", job->id);
        return STORE_FAILED;
    }
    enum store_result result = dataset ? store_file_sync(store, "datasets", dataset->file, error) : STORE_OK;
    if (result != STORE_OK) return result;
    job->created_at = store_now();
    result = writer_run(store, "store the job", create, (void *)(uintptr_t)request, error);
    if (result == STORE_OK) {
        job->status = STORE_QUEUED;
        job->attempt = job->failures = job->started_at = job->finished_at = job->model_version = job->retry_at = job->training_ms = 0;
        job->resumed_from_epoch = -1;
    }
    return result;
}

/* ---- reading ---- */

bool job_read(sqlite3_stmt *s, void *item) {
    struct store_job *job = item;
    column_copy(s, 0, job->id, sizeof job->id);
    if (!store_status_parse((const char *)sqlite3_column_text(s, 1), &job->status))
        return false; /* the column has a CHECK: only when out of memory */
    column_copy(s, 2, job->model, sizeof job->model);
    column_copy(s, 3, job->dataset, sizeof job->dataset);
    column_copy(s, 4, job->validation_dataset, sizeof job->validation_dataset);
    int64_t *const numbers[] = {&job->dataset_version, &job->validation_version, &job->created_at,    &job->started_at,
                                &job->finished_at,     &job->queue_position,     &job->attempt,       &job->failures,
                                &job->attempts_max,    &job->resumed_from_epoch, &job->model_version, &job->priority,
                                &job->retry_at,        &job->training_ms};
    char **const documents[] = {&job->spec, &job->view,  &job->metadata, &job->progress,         &job->metrics,
                                &job->best, &job->error, &job->warnings, &job->cross_validation, &job->publication};
    char publish[16], kind[16];
    int column = 5;
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) *numbers[i] = sqlite3_column_int64(s, column++);
    for (size_t i = 0; i < sizeof documents / sizeof *documents; i++)
        if (!column_keep(s, column++, documents[i])) return false;
    column_copy(s, column++, job->stop_reason, sizeof job->stop_reason);
    column_copy(s, column++, publish, sizeof publish);
    column_copy(s, column++, job->actor.key_id, sizeof job->actor.key_id);
    column_copy(s, column++, job->actor.key_name, sizeof job->actor.key_name);
    column_copy(s, column++, kind, sizeof kind);
    job->reads_version = sqlite3_column_int64(s, column++);
    column_copy(s, column++, job->compared_model, sizeof job->compared_model);
    job->compared_version = sqlite3_column_int64(s, column++);
    column_copy(s, column++, job->needs.launcher, sizeof job->needs.launcher);
    column_copy(s, column++, job->needs.label, sizeof job->needs.label);
    job->needs.memory_mb = sqlite3_column_int64(s, column++);
    job->needs.processes = sqlite3_column_int64(s, column++);
    if (!column_keep(s, column++, &job->launch)) return false;
    if (!column_keep(s, column, &job->trial)) return false;
    if (!store_kind_parse(kind, &job->kind)) return false;
    while (job->publish < STORE_PUBLISH_COUNT - 1 && strcmp(store_publish_names[job->publish], publish) != 0) job->publish++;
    return true;
}

enum store_result store_job_get(struct store *store, const char *id, struct store_job *job, struct bp_error *error) {
    *job = (struct store_job){0};
    char sql[2048];
    sqlite3_snprintf((int)sizeof sql, sql, JOB_SELECT("%s") "WHERE id = ?1", job_position_sql);
    const struct value values[] = {text(id), integer(store_now())};
    struct query query = {.what = "read the job", .values = values, .values_count = 2, .read = job_read, .sql = sql};
    enum store_result result = query_one(store, &query, job, error);
    if (result != STORE_OK) store_job_free(job);
    return result == STORE_NOT_FOUND ? job_missing(id, error) : result;
}

struct status_count {
    enum store_status status;
    int64_t count;
};

static bool status_count_read(sqlite3_stmt *s, void *item) {
    struct status_count *count = item;
    count->count = sqlite3_column_int64(s, 1);
    return store_status_parse((const char *)sqlite3_column_text(s, 0), &count->status);
}

enum store_result store_job_counts(struct store *store, int64_t counts[STORE_STATUS_COUNT], struct bp_error *error) {
    memset(counts, 0, STORE_STATUS_COUNT * sizeof *counts);
    struct query query = {.what = "count the jobs",
                          .sql = "SELECT status, count FROM job_counts LIMIT ?",
                          .read = status_count_read,
                          .values = (const struct value[]){{0}},
                          .item_size = sizeof(struct status_count),
                          .limit = STORE_STATUS_COUNT};
    enum store_result result = query_list(store, &query, error);
    const struct status_count *items = query.items;
    for (int32_t i = 0; i < query.count; i++) counts[items[i].status] = items[i].count;
    free(query.items);
    return result;
}

/* ---- freeing ---- */

void store_job_free(struct store_job *job) {
    char **const documents[] = {&job->spec,  &job->view,     &job->metadata,         &job->progress,    &job->metrics, &job->best,
                                &job->error, &job->warnings, &job->cross_validation, &job->publication, &job->trial,   &job->launch};
    for (size_t i = 0; i < sizeof documents / sizeof *documents; i++) {
        free(*documents[i]);
        *documents[i] = NULL;
    }
}

void store_jobs_free(struct store_jobs *list) {
    LIST_FREE(list, store_job_free);
}

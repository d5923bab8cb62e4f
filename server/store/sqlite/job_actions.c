/* job_actions.c - what a submitter does with a job after filing it: cancel, pause, resume, set its priority or its processes, delete. Each is
 * idempotent: asked again, it changes nothing and answers the same. The diagram is in jobs.c. */
#include "server/store/sqlite/sqlite.h"

#include <stdlib.h>
#include <string.h>

/* ---- cancelling ---- */

struct cancellation {
    const char *id;
    enum store_status status;
};

static enum store_result cancel(struct writer *writer, void *argument, struct bp_error *error) {
    struct cancellation *cancellation = argument;
    struct move move = {.job = cancellation->id};
    enum store_result result = job_status(writer_connection(writer), cancellation->id, &cancellation->status, error);
    if (result != STORE_OK || store_status_final(cancellation->status) || cancellation->status == STORE_CANCELLING) return result;
    bool runs = cancellation->status == STORE_RUNNING || cancellation->status == STORE_PAUSING;
    move.to = cancellation->status = runs ? STORE_CANCELLING : STORE_CANCELLED;
    return job_move(writer, &move, error);
}

enum store_result store_job_cancel(struct store *store, const char *id, enum store_status *status, struct bp_error *error) {
    struct cancellation cancellation = {.id = id};
    enum store_result result = writer_run_vital(store, "cancel the job", cancel, &cancellation, error);
    if (result == STORE_OK && status) *status = cancellation.status;
    return result;
}

/* ---- pausing, resuming, priority ---- */

struct steering {
    const char *id;
    bool pause; /* otherwise resume */
    enum store_status status;
};

static enum store_result steer(struct writer *writer, void *argument, struct bp_error *error) {
    struct steering *steering = argument;
    enum store_result result = job_status(writer_connection(writer), steering->id, &steering->status, error);
    if (result != STORE_OK) return result;
    struct move move = {.job = steering->id, .to = steering->status};
    switch (steering->status) {
    case STORE_QUEUED: move.to = steering->pause ? STORE_PAUSED : STORE_QUEUED; break;
    case STORE_RUNNING: move.to = steering->pause ? STORE_PAUSING : STORE_RUNNING; break;
    case STORE_PAUSING: move.to = steering->pause ? STORE_PAUSING : STORE_RUNNING; break;
    case STORE_PAUSED: move.to = steering->pause ? STORE_PAUSED : STORE_QUEUED; break;
    default:
        bp_error_set(error, "", "job %s is %s; expected a job that is queued, running, pausing or paused", steering->id,
                     store_status_name(steering->status));
        return STORE_CONFLICT;
    }
    if (move.to == steering->status) return STORE_OK;
    steering->status = move.to;
    return job_move(writer, &move, error);
}

static enum store_result steered(struct store *store, const char *id, bool pause, enum store_status *status, struct bp_error *error) {
    struct steering steering = {.id = id, .pause = pause};
    enum store_result result = writer_run_vital(store, pause ? "pause the job" : "resume the job", steer, &steering, error);
    if (result == STORE_OK && status) *status = steering.status;
    return result;
}

enum store_result store_job_pause(struct store *store, const char *id, enum store_status *status, struct bp_error *error) {
    return steered(store, id, true, status, error);
}

enum store_result store_job_resume(struct store *store, const char *id, enum store_status *status, struct bp_error *error) {
    return steered(store, id, false, status, error);
}

struct prioritising {
    const char *id;
    int64_t priority;
};

static enum store_result set_priority(struct writer *writer, void *argument, struct bp_error *error) {
    const struct prioritising *what = argument;
    struct connection *c = writer_connection(writer);
    enum store_status status;
    enum store_result result = job_status(c, what->id, &status, error);
    if (result != STORE_OK) return result;
    if (store_status_final(status)) {
        bp_error_set(error, "", "job %s is %s; the priority of a job that has ended cannot be changed", what->id, store_status_name(status));
        return STORE_CONFLICT;
    }
    return db_run(c, "UPDATE jobs SET priority = ?2 WHERE id = ?1", WITH(text(what->id), integer(what->priority)), error);
}

enum store_result store_job_set_priority(struct store *store, const char *id, int64_t priority, struct bp_error *error) {
    struct prioritising argument = {id, priority};
    return writer_run(store, "set the priority of the job", set_priority, &argument, error);
}

struct sharing {
    const char *id;
    int64_t processes;
};

/* Those of an attempt that runs are what they are. */
static enum store_result set_processes(struct writer *writer, void *argument, struct bp_error *error) {
    const struct sharing *what = argument;
    struct connection *c = writer_connection(writer);
    enum store_status status;
    enum store_result result = job_status(c, what->id, &status, error);
    if (result != STORE_OK) return result;
    if (status != STORE_QUEUED && status != STORE_PAUSED) {
        bp_error_set(error, "", "job %s is %s; the processes of a job can be changed while it is queued or paused", what->id,
                     store_status_name(status));
        return STORE_CONFLICT;
    }
    return db_run(c, "UPDATE jobs SET processes = ?2 WHERE id = ?1", WITH(text(what->id), integer(what->processes)), error);
}

enum store_result store_job_set_processes(struct store *store, const char *id, int64_t processes, struct bp_error *error) {
    struct sharing argument = {id, processes};
    return writer_run(store, "set the processes of the job", set_processes, &argument, error);
}

/* ---- deleting ---- */

/* Removes hidden objects named by the job's id. */
static enum store_result hidden_remove(struct writer *writer, const char *id, struct bp_error *error) {
    struct connection *c = writer_connection(writer);
    int64_t found;
    enum store_result result = db_integer(c, "SELECT 1 FROM datasets WHERE name = ? AND hidden = 1 LIMIT 1", WITH(text(id)), &found, error);
    if (result == STORE_OK) result = dataset_remove(writer, id, 0, error);
    if (result != STORE_OK && result != STORE_NOT_FOUND) return result;
    result = db_integer(c, "SELECT 1 FROM models WHERE name = ? AND hidden = 1", WITH(text(id)), &found, error);
    if (result == STORE_OK) result = model_remove(writer, id, error);
    return result == STORE_NOT_FOUND ? STORE_OK : result;
}

enum store_result job_remove(struct writer *writer, const char *id, struct bp_error *error) {
    struct connection *c = writer_connection(writer);
    enum store_result result;
    if ((result = checkpoints_remove(writer, id, error)) != STORE_OK || (result = results_remove(writer, id, error)) != STORE_OK ||
        (result = hidden_remove(writer, id, error)) != STORE_OK)
        return result;
    writer_freed(writer);
    return db_run(c, "DELETE FROM jobs WHERE id = ?", WITH(text(id)), error); /* its filing and events go with it */
}

static enum store_result delete_job(struct writer *writer, void *argument, struct bp_error *error) {
    const char *id = argument;
    struct connection *c = writer_connection(writer);
    enum store_status status;
    enum store_result result = job_status(c, id, &status, error);
    if (result != STORE_OK) return result;
    if (!store_status_final(status)) {
        bp_error_set(error, "", "job %s is %s; cancel it first, or wait until it ends", id, store_status_name(status));
        return STORE_CONFLICT;
    }
    char sweep[STORE_ID_SIZE];
    bool unfinished;
    if ((result = trial_sweep(c, id, sweep, &unfinished, error)) != STORE_OK) return result;
    if (unfinished) {
        bp_error_set(error, "", "job %s is a trial of sweep %s, which has not ended; cancel the sweep first, or wait until it ends", id, sweep);
        return STORE_CONFLICT;
    }
    return job_remove(writer, id, error);
}

enum store_result store_job_delete(struct store *store, const char *id, struct bp_error *error) {
    return writer_run_vital(store, "delete the job", delete_job, (void *)(uintptr_t)id, error);
}

/* sweeps.h - sweeps: trainings of one model with different options, their trials, and the decisions of successive halving.
 *
 * Invariants:
 *  1. A trial is stored together with its job, once: store_job_create with a trial that is not the next one of its sweep changes nothing.
 *  2. A decision at a rung is stored in the transaction of the report that it follows from, once: asked again, it is the same.
 *  3. A sweep ends once, when no trial is unfinished; alias, removal of hidden state and status commit in one transaction. */
#ifndef SERVER_STORE_SWEEPS_H
#define SERVER_STORE_SWEEPS_H

#include "server/store/store.h"

enum store_sweep_status {
    STORE_SWEEP_RUNNING,
    STORE_SWEEP_CANCELLING,
    STORE_SWEEP_CANCELLED,
    STORE_SWEEP_SUCCEEDED,
    STORE_SWEEP_FAILED,
    STORE_SWEEP_STATUS_COUNT
};
extern const char *const store_sweep_status_names[STORE_SWEEP_STATUS_COUNT];
enum store_method { STORE_GRID, STORE_RANDOM, STORE_ASHA, STORE_METHOD_COUNT };
extern const char *const store_method_names[STORE_METHOD_COUNT];

struct store_trial_counts {
    int64_t queued, running, paused, succeeded, failed, cancelled, invalid, stopped;
};
struct store_sweep {
    char id[STORE_ID_SIZE];
    enum store_sweep_status status;
    char model[STORE_NAME_SIZE], dataset[STORE_NAME_SIZE];
    int64_t dataset_version, created_at, finished_at;
    enum store_method method;
    char metric[128];
    bool higher;
    int64_t seed, total, created, parallel, eta, min_epochs;
    double max_seconds;
    enum store_publish publish;
    bool keep_versions;
    int64_t versions_removed;
    char *document, *metadata, *publication, *error; /* JSON; owned */
    struct store_actor actor;
    /* filled on reading */
    struct store_trial_counts trials;
    int64_t best; /* number of the trial with the best value, -1: none */
};
struct store_sweeps {
    int32_t count;
    bool has_more;
    struct store_sweep *items;
};
struct store_sweep_new {
    struct store_sweep *sweep; /* created_at is set */
    const char *new_definition;
    bool hidden_model; /* its name is the sweep's id; it goes with the sweep */
    const struct store_idempotency *idempotency;
};
enum { STORE_SWEEPS_MAX = 100 }; /* that run at once: more are refused with STORE_FULL */
/* STORE_NOT_FOUND: the dataset or (without new_definition) the model is gone. */
enum store_result store_sweep_create(struct store *store, const struct store_sweep_new *request, struct bp_error *error);
enum store_result store_sweep_get(struct store *store, const char *id, struct store_sweep *sweep, struct bp_error *error);
/* Newest first. status NULL: any; unfinished: only those that have not ended, the oldest first. */
struct store_sweep_filter {
    const enum store_sweep_status *status;
    bool unfinished;
    const char *after;
    int32_t limit;
};
enum store_result store_sweep_list(struct store *store, const struct store_sweep_filter *filter, struct store_sweeps *list, struct bp_error *error);
void store_sweep_free(struct store_sweep *sweep);
void store_sweeps_free(struct store_sweeps *list);
/* How many are in a status that is not final. */
enum store_result store_sweeps_running(struct store *store, int64_t *count, struct bp_error *error);

/* running: cancelling, and no new trial; final or cancelling: nothing changes. */
enum store_result store_sweep_cancel(struct store *store, const char *id, struct bp_error *error);
/* Only one that has ended (else STORE_CONFLICT), with the jobs of its trials; versions of its model that are kept stay, unless the model is hidden.
 */
enum store_result store_sweep_delete(struct store *store, const char *id, struct bp_error *error);

/* ---- trials ---- */
struct store_trial_new { /* of store_job_new, or of a trial without a job */
    const char *sweep;
    int64_t number; /* it must be the next one, else STORE_STALE */
    const char *parameters;
};
/* Its parameters make no valid job: it has failed, with this error (JSON). */
enum store_result store_trial_invalid(struct store *store, const struct store_trial_new *trial, const char *error_document, struct bp_error *error);
struct store_trial {
    int64_t number;
    char job[STORE_ID_SIZE]; /* "": none, or deleted */
    char status[16];         /* of the job; "invalid": it never had one */
    char *parameters, *error;
    bool has_value;
    double value;
    int64_t epochs, training_ms, version;
    int64_t rung_epoch; /* of the last rung that it has reached, 0: none */
    char *stopped;      /* why it was stopped, or NULL */
};
struct store_trials {
    int32_t count;
    bool has_more;
    struct store_trial *items;
};
enum store_trial_order { STORE_TRIALS_BY_NUMBER, STORE_TRIALS_BY_VALUE, STORE_TRIALS_BY_EPOCHS, STORE_TRIALS_BY_TIME, STORE_TRIALS_BY_STATUS };
enum store_result store_trial_list(struct store *store, const char *sweep, enum store_trial_order order, bool descending, struct store_trials *list,
                                   struct bp_error *error);
/* STORE_NOT_FOUND: there is no such trial. */
enum store_result store_trial_get(struct store *store, const char *sweep, int64_t number, struct store_trial *trial, struct bp_error *error);
void store_trial_free(struct store_trial *trial);
void store_trials_free(struct store_trials *list);
/* Every rung of a sweep in the order of arrival, as a JSON array. The caller's. */
enum store_result store_rungs(struct store *store, const char *sweep, char **json, struct bp_error *error);

/* A running job that is a trial has ended the epoch of a rung: records the report and the decision. *stop: it ends now, with the reason in words. */
enum store_result store_trial_rung(struct store *store, const char *job, int64_t attempt, const struct store_report *report, int64_t epoch,
                                   bool *stop, struct bp_error *error);

/* ---- for the scheduler ---- */
/* Jobs of unfinished trials, as many as fit; waiting: only those that are queued or paused. */
enum { STORE_ACTIVE_MAX = 300 };
enum store_result store_sweep_active(struct store *store, const char *id, bool waiting, char jobs[][STORE_ID_SIZE], int32_t *count,
                                     struct bp_error *error);
/* Removes versions of ended trials that are not the best so far, unless they are to be kept or an alias names them; as store_versions_expire. */
enum store_result store_sweep_trim(struct store *store, const char *id, struct store_expired expired[STORE_EXPIRED_MAX], int32_t *count,
                                   struct bp_error *error);
/* Ends it if no trial is unfinished and (all are made, or `all` is false, or it is cancelling); else STORE_CONFLICT. *sweep: as it is then. */
enum store_result store_sweep_finish(struct store *store, const char *id, bool all, struct store_sweep *sweep, struct bp_error *error);

#endif

/* store.h - the only door to what is kept: datasets, models and their versions, jobs, events, checkpoints, answers to
 * repeated requests. No SQL outside this folder, no query language through this header.
 *
 * Verbs that change something are executed by one writer thread, many callers to a transaction, and return when it is committed
 * (durable: synchronous=FULL). Verbs that read run in the caller's thread on a connection of their own. Every verb may be called by any
 * thread. Documents (definitions, options, metrics, ...) travel as JSON text that the store does not look into.
 *
 * Invariants (each has a test):
 *  1. When store_job_create has returned STORE_OK the job is on disk.
 *  2. A job in `running` or `cancelling` has an owner; store_recover gives the jobs of a dead server back.
 *  3. A report carries its attempt; that of a stale attempt, or for a job that is not running, changes nothing (STORE_STALE).
 *     Metrics are unique by (job, epoch): a repeated epoch replaces nothing and adds nothing.
 *  4. Version, last metrics, final status and the end event commit in one transaction.
 *  5. Every change of status adds its `status` event in the same transaction; a final status adds `end` too.
 *  6. Version numbers of a model or dataset only grow, also after deletions.
 *  7. The version that a job publishes is served from the transaction on that stores it, and an alias always names a version that exists. */
#ifndef SERVER_STORE_H
#define SERVER_STORE_H

#include "engine/base/base.h" /* struct bp_error */

enum store_result {
    STORE_OK,
    STORE_NOT_FOUND,
    STORE_EXISTS,   /* the name is taken */
    STORE_IN_USE,   /* an unfinished job or a version needs it; error->message names it */
    STORE_STALE,    /* report of an attempt that is no longer the job's */
    STORE_CONFLICT, /* conflict with the job's status, in error->message */
    STORE_CHANGED,  /* it is no longer as the caller has seen it */
    STORE_FULL,     /* the queue of jobs is full */
    STORE_FAILED    /* disk, memory or a damaged file, see error->message */
};

enum { STORE_ID_SIZE = 40, STORE_NAME_SIZE = 64, STORE_FILE_SIZE = 96 };
/* Of one list: items, and bytes of their texts, the first item apart. What does not fit comes with the next page: has_more is true. */
enum { STORE_LIST_MAX = 1000, STORE_LIST_BYTES = 4 << 20 };

struct store;

struct store_options {
    _Atomic int64_t queue_max; /* jobs in `queued` at most */
    _Atomic int64_t retry_ms; /* delay after the first crash of a job's process; doubled by each further one until a new checkpoint, up to a minute */
    /* Called by the writer thread after a commit, once per job with new events or a new status; must not block, nor call a verb that changes
     * something. Callers of the verbs have been woken by then. May be NULL. */
    void (*committed)(void *context, const char *job_id);
    void *context;
};

/* Opens (creates) the data folder: backpropd.db, datasets/, checkpoints/, results/, lock. Files of ours in these folders that no row names move to
 * lost/; files with other names are left alone. Errors: another server holds the lock, the database is newer than this program, there is no database
 * in a folder that is not empty (nothing is changed then), the folder cannot be written. */
enum store_result store_open(const char *folder, const struct store_options *options, struct store **store, struct bp_error *error);
/* Changes these options of an open store. Any thread. */
void store_limit(struct store *store, int64_t queue_max, int64_t retry_ms);
/* Whether store_open would succeed there now, without making or changing anything (but what reading a database in WAL mode needs). STORE_IN_USE: a
 * running server holds it, whose process id is in *holder. */
enum store_result store_examine(const char *folder, int64_t *holder, struct bp_error *error);
/* Bytes of the database with its log, of all files of the store, and free on their disk. Reads folders, no rows; what cannot be read counts as 0. */
struct store_space {
    int64_t database_bytes, used_bytes, free_bytes;
};
void store_space(const struct store *store, struct store_space *space);
/* Finishes what is queued, closes. NULL is fine. */
void store_close(struct store *store);
/* A folder of files beside the database, for files.h: a borrowed descriptor. */
enum store_directory { STORE_DATASETS, STORE_CHECKPOINTS, STORE_RESULTS };
int store_directory(const struct store *store, enum store_directory directory);
/* A read through the writer thread, which takes the lock of writers but writes nothing: for readiness. */
enum store_result store_ping(struct store *store, struct bp_error *error);

/* ---- ids and times ---- */
/* "job_" + 26 characters that sort by time; prefix without underscore ("job", "ckp"). */
void store_new_id(const char *prefix, char id[STORE_ID_SIZE]);
/* The first byte after an id with that prefix at the start of the text; NULL: it does not start with one. */
const char *store_id_end(const char *prefix, const char *text);
int64_t store_now(void);                         /* milliseconds since 1970, UTC */
void store_time_text(int64_t ms, char text[32]); /* RFC 3339, UTC, milliseconds; "" for 0 */

/* ---- repeated requests ---- */
struct store_idempotency {
    const char *key;      /* text of the Idempotency-Key header, joined with method and path by the caller */
    const char *hash;     /* of the request body, hex */
    int status;           /* of the answer */
    const char *location; /* path of what was created */
};
/* Given to a creating verb, it is recorded in the same transaction. A key that is there already (a twin of this request came first) gives
 * STORE_CONFLICT and creates nothing: look the answer up again, or answer 409. */
struct store_answer {
    char hash[65];
    int status;
    char *location; /* owned */
    char *body;     /* owned; NULL: not stored (the server died before): render `location` */
};
enum store_result store_answer_get(struct store *store, const char *key, struct store_answer *answer, struct bp_error *error);
enum store_result store_answer_body(struct store *store, const char *key, const char *body, struct bp_error *error);
void store_answer_free(struct store_answer *answer);
/* Removes answers older than 24 h. */
enum store_result store_answers_expire(struct store *store, struct bp_error *error);

/* ---- datasets ---- */
struct store_dataset {
    char name[STORE_NAME_SIZE];
    int64_t version;
    int64_t rows, bytes;
    int64_t created_at;
    char file[STORE_FILE_SIZE]; /* in datasets/ */
    bool hidden;                /* belongs to one job, whose id is its name; not listed */
    char *description;          /* JSON: columns with statistics, warnings */
    int64_t after;              /* for store_dataset_create: the version that has to be the newest, 0: any; it becomes the parent */
    int64_t parent;             /* the version it was made from, which may be deleted; 0: an upload */
    char change[16];            /* what was done to the parent: "append_rows", "add_column"; else "" */
};
struct store_datasets {
    int32_t count;
    bool has_more;
    struct store_dataset *items;
};

/* Makes version 1 of a new name (of a name deleted before: one more than its last), or with `replace` the next version. dataset->version and
 * created_at are set. Its file must be in place, fsynced, under a name never used before; its directory is fsynced here. When this fails the
 * file is still the caller's to remove. STORE_EXISTS also for a name that is hidden: it belongs to a job. STORE_CONFLICT: dataset->after is
 * not the newest version. */
enum store_result store_dataset_create(struct store *store, struct store_dataset *dataset, bool replace, const struct store_idempotency *idempotency,
                                       struct bp_error *error);
/* version 0: the latest. */
enum store_result store_dataset_get(struct store *store, const char *name, int64_t version, struct store_dataset *dataset, struct bp_error *error);
/* By name, the latest version of each; after: NULL or a name. Hidden ones are left out. */
enum store_result store_dataset_list(struct store *store, const char *after, int32_t limit, struct store_datasets *list, struct bp_error *error);
/* The versions of one name, newest first; after: 0 or a version number (older ones follow). */
enum store_result store_dataset_versions(struct store *store, const char *name, int64_t after, int32_t limit, struct store_datasets *list,
                                         struct bp_error *error);
/* version 0: all of them. STORE_IN_USE when an unfinished job has pinned one. Files are removed and disk space returned. */
enum store_result store_dataset_delete(struct store *store, const char *name, int64_t version, struct bp_error *error);
void store_dataset_free(struct store_dataset *dataset);
void store_datasets_free(struct store_datasets *list);

/* ---- models and versions ---- */
struct store_actor { /* whose key: "" without one */
    char key_id[16];
    char key_name[STORE_NAME_SIZE];
};
struct store_model {
    char name[STORE_NAME_SIZE];
    int64_t created_at, updated_at;
    int64_t latest;   /* latest version that exists, 0: none */
    int64_t versions; /* how many exist */
    bool hidden;
    char *definition; /* JSON */
    char *aliases;    /* JSON: {"default":3} */
};
struct store_models {
    int32_t count;
    bool has_more;
    struct store_model *items;
};
struct store_version {
    char model[STORE_NAME_SIZE];
    int64_t version;
    int64_t created_at;
    char job[STORE_ID_SIZE];
    int64_t bytes;
    int64_t change; /* of its notes and tags: how often they were changed */
    char *document; /* JSON: definition, options, dataset, metrics, columns, parameters... as made by the job */
    char *aliases;  /* JSON array of the names of the aliases that name it */
    char *notes;
    char *tags; /* JSON array */
};
struct store_versions {
    int32_t count;
    bool has_more;
    struct store_version *items;
};

/* Creates or replaces the definition; *created says which. STORE_EXISTS for the name of a hidden model: it belongs to a job. */
enum store_result store_model_put(struct store *store, const char *name, const char *definition, bool *created,
                                  const struct store_idempotency *idempotency, struct bp_error *error);
enum store_result store_model_get(struct store *store, const char *name, struct store_model *model, struct bp_error *error);
enum store_result store_model_list(struct store *store, const char *after, int32_t limit, struct store_models *list, struct bp_error *error);
/* With all its versions. STORE_IN_USE while an unfinished job trains or reads it. */
enum store_result store_model_delete(struct store *store, const char *name, struct bp_error *error);
void store_model_free(struct store_model *model);
void store_models_free(struct store_models *list);
/* version 0: the latest. */
enum store_result store_version_get(struct store *store, const char *model, int64_t version, struct store_version *out, struct bp_error *error);
/* The number of a version that a reference names: a number, STORE_LATEST, an alias; NULL or "": the alias STORE_ALIAS_DEFAULT. STORE_NOT_FOUND says
 * what is missing: the version, the alias, a published version. */
#define STORE_ALIAS_DEFAULT "default"
#define STORE_LATEST        "latest"
enum store_result store_version_find(struct store *store, const char *model, const char *reference, int64_t *version, struct bp_error *error);
/* The same, and how often its calibration was changed (0: it never had one), in one snapshot. */
enum store_result store_version_locate(struct store *store, const char *model, const char *reference, int64_t *version, int64_t *calibration,
                                       struct bp_error *error);
/* Newest first; after: 0 or a version number (older ones follow). tag: NULL, or only versions with it. */
struct store_version_filter {
    const char *tag;
    int64_t after;
    int32_t limit;
};
enum store_result store_version_list(struct store *store, const char *model, const struct store_version_filter *filter, struct store_versions *list,
                                     struct bp_error *error);
/* STORE_IN_USE while an alias names it, or an unfinished job reads it. */
enum store_result store_version_delete(struct store *store, const char *model, int64_t version, struct bp_error *error);
/* Changes the notes and the tags of a version. NULL: unchanged. if_change: the count that the caller has seen, -1: any, else STORE_CHANGED. */
enum { STORE_TAG_SIZE = 64, STORE_TAGS_MAX = 32, STORE_NOTES_MAX = 16 << 10 };
struct store_notes {
    const char *notes;
    const char *const *tags;
    int32_t tags_count;
    int64_t if_change;
};
enum store_result store_version_annotate(struct store *store, const char *model, int64_t version, const struct store_notes *notes,
                                         struct bp_error *error);
/* The model file of a version; *bytes is the caller's (free). */
enum store_result store_version_blob(struct store *store, const char *model, int64_t version, void **bytes, size_t *size, struct bp_error *error);
/* A version that no job has trained. A new name gets a model with this definition. location: of the version, for the answer of a repeated request;
 * its number is appended. STORE_EXISTS: the name belongs to a job. */
struct store_import {
    const char *model, *definition, *document; /* JSON texts */
    const void *blob;                          /* the model file */
    size_t blob_size;
    const struct store_idempotency *idempotency; /* with the status 201; its location is not read */
    bool held_back;                              /* not published: what is served stays */
    const struct store_actor *actor;             /* who publishes; may be NULL */
    const char *calibration;                     /* of the model file, JSON, or NULL */
};
enum store_result store_version_import(struct store *store, const struct store_import *what, int64_t *version, struct bp_error *error);
void store_version_free(struct store_version *version);
void store_versions_free(struct store_versions *list);

/* ---- calibrations ---- */
/* What a version has apart from its model file. */
struct store_calibration {
    int64_t change;     /* how often it was changed: its entity tag; 0: never */
    int64_t changed_at; /* 0: never */
    struct store_actor actor;
    char *document; /* JSON; NULL: none */
};
struct store_calibration_change {
    const char *model;
    int64_t version;
    const char *document; /* NULL: removes it */
    int64_t if_change;    /* the count that the caller has seen, -1: any, else STORE_CHANGED */
    const struct store_actor *actor;
};
enum store_result store_calibration_get(struct store *store, const char *model, int64_t version, struct store_calibration *calibration,
                                        struct bp_error *error);
/* A change of it counts as one of versions: see store_versions_revision. */
enum store_result store_calibration_set(struct store *store, const struct store_calibration_change *wanted, struct bp_error *error);
void store_calibration_free(struct store_calibration *calibration);

/* ---- drift ---- */
/* Counters of a version, bytes that the store does not look into. */
enum store_result store_drift_put(struct store *store, const char *model, int64_t version, const void *counts, size_t size, struct bp_error *error);
/* *counts is the caller's (free); NULL: there are none. */
enum store_result store_drift_get(struct store *store, const char *model, int64_t version, void **counts, size_t *size, struct bp_error *error);

/* Changes with each commit that adds, publishes, calibrates or removes versions: even between such commits, odd during one. What was read while it
 * had an even value that it still has is current. */
uint64_t store_versions_revision(const struct store *store);

/* ---- aliases ---- */
struct store_alias { /* an alias as it is, or a change of it */
    int64_t change;  /* id of its last change, or of this one: its entity tag */
    char model[STORE_NAME_SIZE], name[STORE_NAME_SIZE];
    int64_t version, previous; /* 0: none */
    int64_t changed_at;
    char action[12]; /* set, rollback, publish, delete, upgrade (of an older database) */
    struct store_actor actor;
    char job[STORE_ID_SIZE]; /* publish: the job */
};
struct store_aliases {
    int32_t count;
    bool has_more;
    struct store_alias *items;
};
struct store_alias_change {
    const char *model, *name;
    int64_t version;   /* to set */
    bool if_absent;    /* only if there is no such alias, else STORE_CHANGED */
    int64_t if_change; /* only if this is its last change, 0: any; else STORE_CHANGED */
    const struct store_actor *actor;
};
enum store_result store_alias_get(struct store *store, const char *model, const char *name, struct store_alias *alias, struct bp_error *error);
/* By name; after: NULL or a name. */
enum store_result store_alias_list(struct store *store, const char *model, const char *after, int32_t limit, struct store_aliases *list,
                                   struct bp_error *error);
/* The changes of one, newest first, also of one that is deleted; after: 0 or the id of a change (older ones follow). The last 1000 are kept. */
enum store_result store_alias_history(struct store *store, const char *model, const char *name, int64_t after, int32_t limit,
                                      struct store_aliases *list, struct bp_error *error);
/* Setting it to what it names already changes nothing. *alias: as it is right after. STORE_NOT_FOUND: no such version. */
enum store_result store_alias_set(struct store *store, const struct store_alias_change *change, struct store_alias *alias, bool *created,
                                  struct bp_error *error);
enum store_result store_alias_delete(struct store *store, const struct store_alias_change *change, struct bp_error *error);
/* To what it named before: again and again goes further back. Versions that are deleted are passed over; STORE_CONFLICT: there is no other. */
enum store_result store_alias_rollback(struct store *store, const struct store_alias_change *change, struct store_alias *alias,
                                       struct bp_error *error);
void store_aliases_free(struct store_aliases *list);

/* ---- retention ---- */
struct store_expired {
    char name[STORE_NAME_SIZE]; /* of the model, or the id of the job */
    int64_t version;            /* 0: a job */
};
enum { STORE_EXPIRED_MAX = 50 };
/* Removes some of the versions beyond the newest `keep` of their model (at least 1) that no alias names and no unfinished job reads; *count: how
 * many, 0: none is left. */
enum store_result store_versions_expire(struct store *store, int64_t keep, struct store_expired expired[STORE_EXPIRED_MAX], int32_t *count,
                                        struct bp_error *error);
/* Removes some of the jobs that ended before that time, with their events, checkpoints and logs. A job stays while a version needs it: one of a model
 * or trained on data that would go with the job. A sweep goes with the last of its jobs. */
enum store_result store_jobs_expire(struct store *store, int64_t before, struct store_expired expired[STORE_EXPIRED_MAX], int32_t *count,
                                    struct bp_error *error);

/* ---- jobs ---- */
enum store_publish { STORE_PUBLISH, STORE_HOLD_BACK, STORE_PUBLISH_IF_BETTER, STORE_PUBLISH_COUNT };
extern const char *const store_publish_names[STORE_PUBLISH_COUNT]; /* "true", "false", "if_better" */
enum store_status {
    STORE_QUEUED,
    STORE_RUNNING,
    STORE_PAUSING,
    STORE_PAUSED,
    STORE_CANCELLING,
    STORE_CANCELLED,
    STORE_SUCCEEDED,
    STORE_JOB_FAILED,
    STORE_STATUS_COUNT
};
const char *store_status_name(enum store_status status); /* "queued", ... */
bool store_status_parse(const char *name, enum store_status *status);
bool store_status_final(enum store_status status);

enum store_kind { STORE_TRAIN, STORE_PREDICT, STORE_EVALUATE, STORE_KIND_COUNT }; /* what a job does */
extern const char *const store_kind_names[STORE_KIND_COUNT];                      /* "train", "predict", "evaluate" */
bool store_kind_parse(const char *name, enum store_kind *kind);

/* What a job needs of the place where it runs. */
enum { STORE_LAUNCHER_SIZE = 64 };
struct store_requirement {
    char launcher[STORE_LAUNCHER_SIZE], label[STORE_LAUNCHER_SIZE]; /* "": any */
    int64_t memory_mb;                                              /* of its process, 0: not known */
    int64_t processes;                                              /* that train it together; 0 means 1 */
};

struct store_job {
    char id[STORE_ID_SIZE];
    enum store_kind kind;
    enum store_status status;
    char model[STORE_NAME_SIZE];
    int64_t reads_version;                /* of the model, by a job that does not train; else 0 */
    char compared_model[STORE_NAME_SIZE]; /* "": an evaluation of one version */
    int64_t compared_version;
    char dataset[STORE_NAME_SIZE];
    int64_t dataset_version;
    char validation_dataset[STORE_NAME_SIZE]; /* "": none */
    int64_t validation_version;
    int64_t created_at, started_at, finished_at; /* 0: not yet */
    int64_t queue_position;                      /* 1: next; 0: not queued. Filled on reading */
    int64_t attempt;                             /* grows with every claim: the fencing token */
    int64_t failures;                            /* crashes since the last checkpoint */
    int64_t attempts_max;
    int64_t resumed_from_epoch; /* -1: never resumed */
    int64_t model_version;      /* that it has made, or reads_version; 0: not yet */
    int64_t priority;           /* higher ones are claimed first */
    int64_t retry_at;           /* queued: not claimed before; 0: at once */
    int64_t training_ms;        /* spent on training, in all attempts */
    char *spec;                 /* JSON: all that the job process needs; never changes */
    char *view;                 /* JSON object: target, task, options, features..., shown as they are; never changes */
    char *metadata;             /* JSON object of strings */
    char *progress;             /* JSON object */
    char *metrics;              /* JSON object: latest epoch, or the version's when it has succeeded */
    char *best;                 /* JSON object or "null" */
    char *error;                /* JSON object or "null" */
    char *warnings;             /* JSON array */
    char *cross_validation;     /* JSON object or "null" */
    char *publication;          /* JSON object: what came of `publish`; "null" before the end */
    enum store_publish publish; /* whether its version becomes the one that is served */
    struct store_actor actor;   /* who submitted it */
    char stop_reason[24];       /* "early_stopping", "max_seconds", "sweep"; "": it was not stopped before its last epoch */
    char *trial;                /* JSON object: of which sweep it is a trial, with its parameters; NULL: of none */
    struct store_requirement needs;
    char *launch; /* JSON object: where its last attempt runs, or what it waits for; "null": on this machine */
};
struct store_jobs {
    int32_t count;
    bool has_more;
    struct store_job *items;
};

/* Files a new job. The caller fills id, kind, model, dataset, dataset_version, validation_dataset and its version, reads_version, compared_model and
 * its version, attempts_max, priority, spec, view, metadata, progress, warnings, cross_validation. new_dataset and new_definition (each may be NULL)
 * are stored in the same transaction, under job->dataset and job->model; a hidden dataset or model has the job's id as its name and is deleted with
 * the job. For a named new_dataset `replace` is as in store_dataset_create and job->dataset_version is set. STORE_NOT_FOUND when one of the
 * datasets@version, a version that it reads, or the model (without new_definition), is gone. When it fails, the file of new_dataset is still the
 * caller's to remove. job's numbers (created_at, ...) are set; its documents are left as they are. */
struct store_trial_new;
struct store_job_new {
    struct store_job *job;
    struct store_dataset *new_dataset;
    bool replace_dataset;
    const char *new_definition;
    bool hidden_model;
    const struct store_idempotency *idempotency;
    const void *init; /* the model file that it begins with, init_size bytes; NULL: none */
    size_t init_size;
    const struct store_trial_new *trial; /* sweeps.h; NULL: of no sweep. STORE_STALE: not the next one of a running sweep */
};
/* That file, the caller's; NULL and STORE_OK: there is none, or the job has ended. */
enum store_result store_job_init(struct store *store, const char *id, void **bytes, size_t *size, struct bp_error *error);
enum store_result store_job_create(struct store *store, const struct store_job_new *request, struct bp_error *error);
enum store_result store_job_get(struct store *store, const char *id, struct store_job *job, struct bp_error *error);
struct store_search;
struct store_job_filter {
    const enum store_status *status; /* NULL: any */
    const enum store_kind *kind;     /* NULL: any */
    const char *model;               /* NULL: any */
    const char *dataset;             /* NULL: any */
    int64_t dataset_version;         /* 0: any */
    const char *metadata_key, *metadata_value;
    const char *after; /* id; older jobs follow */
    int32_t limit;
    struct store_search *search; /* search.h: more filters, and another order; NULL: none */
};
/* Newest first, unless the search has an order. */
enum store_result store_job_list(struct store *store, const struct store_job_filter *filter, struct store_jobs *list, struct bp_error *error);
/* queued: cancelled at once; running: cancelling; final or cancelling: nothing changes. *status is the status after it. */
enum store_result store_job_cancel(struct store *store, const char *id, enum store_status *status, struct bp_error *error);
/* queued: paused at once; running: pausing; pausing and paused: nothing changes; else STORE_CONFLICT. *status is the status after it. */
enum store_result store_job_pause(struct store *store, const char *id, enum store_status *status, struct bp_error *error);
/* paused: queued; pausing: running, and queued if its process gives it back all the same; queued and running: nothing changes; else STORE_CONFLICT.
 */
enum store_result store_job_resume(struct store *store, const char *id, enum store_status *status, struct bp_error *error);
/* From -100 to 100. STORE_CONFLICT when the job has ended. */
enum store_result store_job_set_priority(struct store *store, const char *id, int64_t priority, struct bp_error *error);
/* At least 1, for its next attempt. STORE_CONFLICT unless the job is queued or paused. */
enum store_result store_job_set_processes(struct store *store, const char *id, int64_t processes, struct bp_error *error);
/* Only in a final status (else STORE_CONFLICT). Takes its events, checkpoints, hidden dataset and hidden model along. */
enum store_result store_job_delete(struct store *store, const char *id, struct bp_error *error);
void store_job_free(struct store_job *job);
void store_jobs_free(struct store_jobs *list);
/* Jobs by status, for /v1/server. */
enum store_result store_job_counts(struct store *store, int64_t counts[STORE_STATUS_COUNT], struct bp_error *error);

/* ---- lineage ---- */
struct store_use {
    char job[STORE_ID_SIZE];
    char model[STORE_NAME_SIZE];
    int64_t version; /* of the model, 0: none yet */
    enum store_status status;
};
/* Newest first, the first few of so many. */
struct store_uses {
    int64_t jobs_count, versions_count;
    int32_t jobs_listed, versions_listed;
    struct store_use *jobs;     /* that there are */
    struct store_use *versions; /* model versions that there are; their jobs may be deleted */
};
enum store_result store_dataset_uses(struct store *store, const char *name, int64_t version, int32_t limit, struct store_uses *uses,
                                     struct bp_error *error);
void store_uses_free(struct store_uses *uses);

/* ---- jobs, for the supervisor ---- */
struct store_event {
    int64_t id; /* grows over all jobs */
    char job[STORE_ID_SIZE];
    char type[16]; /* status metrics checkpoint log end */
    char level[8]; /* info warning error */
    int64_t created_at;
    int64_t attempt;
    int64_t epoch; /* metrics: the epoch; else 0 */
    char *message; /* may be NULL */
    char *data;    /* JSON object; may be NULL */
};
struct store_events {
    int32_t count;
    bool has_more;
    struct store_event *items;
};

/* Gives everything that was running back to the queue (cancelling: cancelled; pausing: paused), without counting a failure. At start-up. */
enum store_result store_recover(struct store *store, struct bp_error *error);
/* Which jobs a place takes. takes is called in the thread of the store: it must not call the store. */
struct store_taker {
    bool (*takes)(const void *context, enum store_kind kind, const struct store_requirement *requirement);
    const void *context;
};
/* The first queued job that the taker takes (NULL: of all; highest priority, then oldest, retries when they are due) becomes running with attempt + 1
 * and this owner, started_at set at the first claim. STORE_NOT_FOUND: none; job->retry_at is when the first retry is due, 0: none waits. */
enum store_result store_job_claim(struct store *store, const char *owner, int64_t lease_ms, const struct store_taker *taker, struct store_job *job,
                                  struct bp_error *error);
/* Where a running attempt runs, or what it waits for: a JSON object, and a line for the log of the job, or NULL. */
enum store_result store_job_launch(struct store *store, const char *id, int64_t attempt, const char *launch, const char *line,
                                   struct bp_error *error);
/* What a running attempt has to say. NULL fields: unchanged. Event ids, times, attempt are set by the store; type, level ("": info), epoch,
 * message, data are the caller's. Types status and end are the store's own: a report with one is refused. */
struct store_report {
    const char *progress, *metrics, *best, *warnings, *cross_validation, *stop_reason;
    int64_t training_ms;        /* in all attempts; 0: unchanged */
    int64_t resumed_from_epoch; /* -1: unchanged */
    const struct store_event *events;
    int32_t events_count;
};
enum store_result store_job_report(struct store *store, const char *id, int64_t attempt, const struct store_report *report, struct bp_error *error);
/* Why an attempt ends without a result. */
enum store_return { STORE_SERVER_STOPPED, STORE_CRASHED, STORE_PAUSE_REQUESTED, STORE_UNREACHED };
/* Gives a running job back to the queue. STORE_CRASHED counts as a failure, and delays the next attempt. With failures == attempts_max it becomes
 * failed instead, with `error_document` and the code "quarantined". A cancelling one becomes cancelled, a pausing one paused. error_document (may be
 * NULL) is part of the status event. */
enum store_result store_job_give_back(struct store *store, const char *id, int64_t attempt, enum store_return why, const char *error_document,
                                      struct bp_error *error);
/* Gives a job back whose launcher has not started it, or whose node was lost: it does not count as a failure, and the next attempt begins after
 * delay_ms. launch: as of store_job_launch. */
enum store_result store_job_put_off(struct store *store, const char *id, int64_t attempt, int64_t delay_ms, const char *launch,
                                    const char *error_document, struct bp_error *error);
/* The end of a running job. status: STORE_SUCCEEDED (with what a job of its kind makes), STORE_JOB_FAILED (with error_document) or STORE_CANCELLED. A
 * cancelling job may still succeed when its result came first; *version_number is set then. */
struct store_comparison;
struct store_results;
struct store_ending {
    enum store_status status;
    const char *error_document;          /* JSON object */
    const struct store_report *report;   /* last metrics; may be NULL */
    const struct store_results *results; /* of a job that predicts, for succeeded: all of them; it makes no version */
    /* JSON: of a job that evaluates, for succeeded: its report; of one that trains: that of the version on its test rows, or NULL */
    const char *evaluation;
    const char *version_document; /* JSON, for succeeded; for failed that of the hidden model named by the job's id, or NULL */
    const void *blob;             /* the model file */
    size_t blob_size;
    const char *calibration; /* of the model file, JSON, or NULL */
    /* For STORE_PUBLISH_IF_BETTER: how it compares with the version that is served; NULL: it was not compared. It is published if it is better and
     * that version is still the one that is served. */
    const struct store_comparison *comparison;
};
struct store_comparison {
    bool better;
    int64_t served;       /* version, 0: none was served */
    const char *document; /* JSON object: what was compared, with its reason; part of the job's publication */
};
enum store_result store_job_end(struct store *store, const char *id, int64_t attempt, const struct store_ending *ending, int64_t *version_number,
                                struct bp_error *error);

/* ---- attempts ---- */
/* What is known of a process of a job. -1: not known. */
struct store_attempt {
    char job[STORE_ID_SIZE];
    int64_t attempt;
    int64_t started_at, ended_at; /* ended_at 0: it runs */
    char reason[16];              /* "" while it runs; finished, failed, cancelled, paused, server_stopped, server_crashed, crashed, killed, lost */
    int64_t exit_code, signal;    /* one of them, when it has ended */
    int64_t peak_memory;          /* bytes */
    int64_t user_ms, system_ms;   /* CPU time */
    bool log_cut;                 /* something before `log` is not kept */
    char *message;                /* why it ended, or NULL */
    char *log;                    /* the last lines of its standard error */
};
struct store_attempts {
    int32_t count;
    bool has_more;
    struct store_attempt *items;
};
enum { STORE_ATTEMPTS_KEPT = 20 };
/* The end of an attempt, in any status of its job, with all that is known of it. The verbs that end or give back a job record an end and a reason in
 * the same transaction; a reason that is there already stays. Nothing happens when the job is deleted. */
enum store_result store_attempt_end(struct store *store, const struct store_attempt *attempt, struct bp_error *error);
/* Newest first. */
enum store_result store_attempt_list(struct store *store, const char *job, int32_t limit, struct store_attempts *list, struct bp_error *error);
void store_attempt_free(struct store_attempt *attempt);
void store_attempts_free(struct store_attempts *list);

/* ---- results ---- */
/* What a job of the kind predict writes, as long as it has neither failed nor been cancelled. */
enum store_part { STORE_PREDICTIONS, STORE_FAILURES, STORE_PARTS };
struct store_part_file {
    char file[STORE_FILE_SIZE]; /* in results/ */
    int64_t rows, bytes;        /* on disk for good; the file may be longer */
    int64_t crc;                /* CRC-32 of these bytes */
};
struct store_results {
    struct store_part_file parts[STORE_PARTS];
    char *state; /* JSON, or "": what the next attempt needs besides */
};
/* STORE_NOT_FOUND: there are none. */
enum store_result store_results_get(struct store *store, const char *job, struct store_results *results, struct bp_error *error);
/* Records two empty files that are in place, their names never used before. When it fails they are the caller's to remove. */
enum store_result store_results_begin(struct store *store, const char *job, int64_t attempt, const struct store_results *results,
                                      struct bp_error *error);
/* Rows and bytes are on disk now (the files are not named), and a report in the same transaction; resets `failures`. STORE_STALE as for reports. */
enum store_result store_results_advance(struct store *store, const char *job, int64_t attempt, const struct store_results *results,
                                        const struct store_report *report, struct bp_error *error);
void store_results_free(struct store_results *results);
/* The report of a job of the kind evaluate that has succeeded; of a version on the test rows of its job. The caller's (free). */
enum store_result store_job_evaluation(struct store *store, const char *job, char **document, struct bp_error *error);
enum store_result store_version_test(struct store *store, const char *model, int64_t version, char **document, struct bp_error *error);

/* ---- events ---- */
/* job NULL: of all jobs. Oldest first, id > after. type NULL: any. */
enum store_result store_event_list(struct store *store, const char *job, const char *type, int64_t after, int32_t limit, struct store_events *list,
                                   struct bp_error *error);
/* The data of the metrics event of an epoch, 0: of the last one. NULL and STORE_OK: there is none. The caller's. */
enum store_result store_metrics_at(struct store *store, const char *job, int64_t epoch, char **data, struct bp_error *error);
enum store_result store_event_last(struct store *store, int64_t *id, struct bp_error *error);
void store_events_free(struct store_events *list);

/* ---- checkpoints ---- */
struct store_checkpoint {
    char id[STORE_ID_SIZE];
    char job[STORE_ID_SIZE];
    int64_t attempt, epoch, step;
    int64_t created_at, bytes;
    bool best;                  /* of the best epoch so far */
    char file[STORE_FILE_SIZE]; /* in checkpoints/ */
};
struct store_checkpoints {
    int32_t count;
    bool has_more;
    struct store_checkpoint *items;
};
/* id "" and created_at 0 are filled in. file: a name never used before (two checkpoints of one name are refused).
 * Records a file that is in place under its final name, with a `checkpoint` event, and resets `failures`. The last checkpoint and the last one
 * flagged best are kept: rows and files of the others are removed. STORE_STALE as for reports. */
enum store_result store_checkpoint_add(struct store *store, struct store_checkpoint *checkpoint, struct bp_error *error);
enum store_result store_checkpoint_last(struct store *store, const char *job, struct store_checkpoint *checkpoint, struct bp_error *error);
/* Newest first. */
enum store_result store_checkpoint_list(struct store *store, const char *job, struct store_checkpoints *list, struct bp_error *error);
void store_checkpoints_free(struct store_checkpoints *list);

#endif

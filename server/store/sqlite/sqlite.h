/* sqlite.h - what the files of this folder share: connections, statements, the writer, rows of each kind. Not for the outside: store.h is.
 *
 * Sections: connections and statements (connection.c), the writer (writer.c), the store and its readers (store.c, reader.c),
 * migrations (migrate.c), then calls between kinds of objects. */
#ifndef SERVER_STORE_SQLITE_H
#define SERVER_STORE_SQLITE_H

#include "server/store/store.h"

#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <unistd.h>

/* ---- connections and statements ---- */

enum { STATEMENTS_MAX = 96, BUSY_MS = 5000 };

/* Used by one thread at a time. Statements are prepared once and cached until the connection closes. */
struct connection {
    sqlite3 *db;
    const char *folder; /* for messages; borrowed */
    const char *what;   /* what is being attempted, for messages: "store the job" */
    sqlite3_stmt *statements[STATEMENTS_MAX];
    struct connection *next; /* in the pool of readers */
};

/* A value to bind. Bytes are borrowed until the statement has ended. */
struct value {
    enum { VALUE_NULL, VALUE_INTEGER, VALUE_TEXT, VALUE_BLOB, VALUE_REAL } kind;
    int64_t number; /* the integer, or the size of the blob */
    const void *bytes;
    double real;
};
static inline struct value integer(int64_t number) {
    return (struct value){.kind = VALUE_INTEGER, .number = number};
}
static inline struct value text(const char *t) {
    return (struct value){.kind = t ? VALUE_TEXT : VALUE_NULL, .bytes = t};
}
static inline struct value blob(const void *bytes, size_t size) {
    return (struct value){.kind = VALUE_BLOB, .number = (int64_t)size, .bytes = bytes};
}
static inline struct value real(double number) {
    return (struct value){.kind = VALUE_REAL, .real = number};
}

#define VALUES_OF(...)    ((const struct value[]){__VA_ARGS__})
#define VALUES_COUNT(...) (sizeof(VALUES_OF(__VA_ARGS__)) / sizeof(struct value))
/* The two arguments (values, count) of the functions below; NONE when the statement takes no values. */
#define WITH(...) VALUES_OF(__VA_ARGS__), VALUES_COUNT(__VA_ARGS__)
#define NONE      NULL, 0

/* Opens folder/backpropd.db with busy_timeout, foreign_keys, synchronous=FULL and no checkpoint of SQLite's own. */
enum store_result connection_open(struct connection *c, const char *folder, struct bp_error *error);
/* Finalizes its statements and closes. A zeroed one is fine. */
void connection_close(struct connection *c);

/* STORE_FAILED with the message "cannot <what>: <SQLite's message>; <what to do>". */
enum store_result db_failed(struct connection *c, struct bp_error *error);
enum store_result out_of_memory(struct bp_error *error);

/* Takes a statement from the cache (sql: the text is the key) and binds all its values; NULL on failure. End it with db_end. */
sqlite3_stmt *db_start(struct connection *c, const char *sql, const struct value *values, size_t count);
/* Resets it: a reader releases its snapshot here. NULL is allowed. */
void db_end(sqlite3_stmt *statement);
/* Runs a statement that returns no rows. sqlite3_changes(c->db) is the number of changed rows. */
enum store_result db_run(struct connection *c, const char *sql, const struct value *values, size_t count, struct bp_error *error);
/* The integer a query gives; STORE_NOT_FOUND (no message) without a row. */
enum store_result db_integer(struct connection *c, const char *sql, const struct value *values, size_t count, int64_t *number,
                             struct bp_error *error);

/* A column's text: copied, cut at size; or allocated (NULL for SQL NULL). column_keep gives false when there is no memory. */
void column_copy(sqlite3_stmt *statement, int column, char *to, size_t size);
bool column_keep(sqlite3_stmt *statement, int column, char **to);
/* Whether SQLite had no memory for a column that either of them has read in this thread, since the last call. */
bool columns_lost(void);

/* A query of rows of one kind, read through a connection of the readers' pool. */
struct query {
    const char *what; /* "list the jobs" */
    const char *sql;  /* a list ends in "LIMIT ?" and gets limit + 1 as its last value */
    const struct value *values;
    size_t values_count;
    bool (*read)(sqlite3_stmt *statement, void *item); /* false: no memory; item may be freed nonetheless */
    size_t item_size;
    int32_t limit; /* clamped to 1..STORE_LIST_MAX */
    /* Completes the items of a list, in the snapshot they were read from. May be NULL. */
    enum store_result (*complete)(struct connection *c, struct query *query, struct bp_error *error);
    /* output; items is owned by the caller even on failure */
    void *items;
    int32_t count;
    bool has_more;
};
/* STORE_NOT_FOUND (no message) without a row. */
enum store_result query_one(struct store *store, const struct query *query, void *item, struct bp_error *error);
enum store_result query_list(struct store *store, struct query *query, struct bp_error *error);
enum { QUERY_VALUES_MAX = 120 };

/* Frees the items of a list of the store and the list, which is empty then. */
#define LIST_FREE(list, item_free)                                                                                                                   \
    do {                                                                                                                                             \
        for (int32_t i = 0; i < (list)->count; i++) item_free(&(list)->items[i]);                                                                    \
        free((list)->items);                                                                                                                         \
        memset((list), 0, sizeof *(list));                                                                                                           \
    } while (0)

/* ---- the writer ---- */

struct writer;

/* One change, run by the writer thread inside a savepoint. What it returns but STORE_OK undoes it. */
typedef enum store_result change(struct writer *writer, void *argument, struct bp_error *error);

/* Runs it in the writer thread and waits for the commit. what: for messages, "store the job". */
enum store_result writer_run(struct store *store, const char *what, change *run, void *argument, struct bp_error *error);
/* The same, and if the disk is full once more in the space of the reserve: for ends of jobs and deletions. A change that fails leaves `argument` as
 * it was. */
enum store_result writer_run_vital(struct store *store, const char *what, change *run, void *argument, struct bp_error *error);
/* Of its disk, for this user; 0: not known. */
int64_t store_free_bytes(const struct store *store);
/* The reserve of the disk: at start, and again when it was given up and the disk has space. Never fails. */
void reserve_take(struct store *store);
void reserve_take_again(struct store *store);

struct writer *writer_new(struct store *store, struct bp_error *error); /* opens the connection; no thread yet */
enum store_result writer_start(struct writer *writer, struct bp_error *error);
void writer_stop(struct writer *writer); /* runs what is queued, ends the thread */
void writer_free(struct writer *writer); /* closes: the last connection, which makes a last checkpoint */

/* For changes: the connection, and what is to happen once they are committed. */
struct connection *writer_connection(struct writer *writer);
struct store *writer_store(struct writer *writer);
bool writer_notify(struct writer *writer, const char *job);                    /* false: no memory */
bool writer_unlink(struct writer *writer, const char *kind, const char *file); /* kind: "datasets", "checkpoints" or "results" */
void writer_versions_changed(struct writer *writer);                           /* see store_versions_revision */
void writer_freed(struct writer *writer);                                      /* pages were freed: give them back to the disk */
int32_t writer_queued(struct writer *writer);                                  /* operations waiting, those at work not counted */

/* ---- the store and its readers ---- */

enum { READERS_MAX = 64 };

struct readers {
    pthread_mutex_t mutex;
    pthread_cond_t given, drained;
    struct connection *idle;
    int32_t open, busy; /* connections; those in use */
    bool held;          /* no new use for a moment */
};

struct store {
    char *folder;
    struct store_options options;
    int lock, datasets, checkpoints, results; /* descriptors; -1: not open */
    struct writer *writer;
    struct readers readers;
    atomic_ullong versions_revision;
    atomic_llong reserve_given_at; /* ms, 0: it is there, or the disk never had space for it */
};

/* Bytes of the file `lock` that are locked: by a server for as long as it uses the folder, and by the one that makes a checkpoint or commits beside
 * the writer. For F_OFD_SETLK. */
#define FOLDER_LOCK     ((struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1})
#define CHECKPOINT_LOCK ((struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 1, .l_len = 1})

void readers_init(struct readers *readers);
void readers_close(struct readers *readers);
/* Blocks new uses and waits for current ones to finish, for at most this long; true when none is left. Follow it with readers_release. */
bool readers_hold(struct readers *readers, int64_t ms);
void readers_release(struct readers *readers);
/* A connection for one call; what: for messages. NULL with the error set. Give it back with no statement running. */
struct connection *reader_take(struct store *store, const char *what, struct bp_error *error);
void reader_give(struct store *store, struct connection *c);

/* The descriptor of "datasets", "checkpoints" or "results". */
int store_folder_of(const struct store *store, const char *kind);
/* Makes sure that a new file of the data folder is there and its name is on disk. */
enum store_result store_file_sync(struct store *store, const char *kind, const char *file, struct bp_error *error);
/* Moves our finished files in datasets/, checkpoints/ and results/ that no row names to lost/, removes our temporary ones, leaves all others alone.
 */
enum store_result store_orphans_move(struct store *store, struct connection *c, struct bp_error *error);

/* ---- migrations ---- */

/* Brings the database to this program's version; refuses a newer one and a file that is not ours. */
enum store_result migrate(struct connection *c, struct bp_error *error);
/* Only whether it would: the file is a database of ours, and not newer than this program. */
enum store_result migrate_check(struct connection *c, struct bp_error *error);
/* Whether it has this program's version. */
enum store_result migrate_is_current(struct connection *c, struct bp_error *error);

/* ---- calls between kinds of objects, all inside a change ---- */

/* STORE_CONFLICT when the key is known and younger than 24 h. idempotency NULL: nothing happens. */
enum store_result answer_add(struct writer *writer, const struct store_idempotency *idempotency, struct bp_error *error);
/* last + 1 of a dataset's or model's version numbers. */
enum store_result counter_next(struct connection *c, const char *kind, const char *name, int64_t *number, struct bp_error *error);
/* STORE_IN_USE naming the first unfinished jobs that a query (one column: their ids) gives. */
enum store_result unused_by_jobs(struct connection *c, const char *sql, const struct value *values, size_t count, const char *thing,
                                 struct bp_error *error);

enum store_result dataset_add(struct writer *writer, struct store_dataset *dataset, bool replace, struct bp_error *error);
enum store_result dataset_remove(struct writer *writer, const char *name, int64_t version, struct bp_error *error);
/* Whether there is that version of a dataset; that model, which gets the definition if one is given. STORE_NOT_FOUND with the error. */
enum store_result dataset_there(struct writer *writer, const char *name, int64_t version, struct bp_error *error);
enum store_result model_settle(struct writer *writer, const char *name, const char *definition, bool hidden, struct bp_error *error);
enum store_result model_set(struct writer *writer, const char *name, const char *definition, bool hidden, bool *created, struct bp_error *error);
enum store_result model_remove(struct writer *writer, const char *name, struct bp_error *error);
struct version_new {
    const char *model, *job, *document;
    const void *blob;
    size_t blob_size;
    bool held_back;                  /* not published: the alias default stays */
    const struct store_actor *actor; /* who publishes; may be NULL */
    const char *calibration;         /* of the model file, or NULL */
};
/* Stores the next version of a model, and publishes it. */
/* The column `blob` of a row, into a buffer of the caller's. */
enum store_result blob_read(struct connection *c, const char *table, int64_t row, void **bytes, size_t *size, struct bp_error *error);
enum store_result version_add(struct writer *writer, const struct version_new *version, int64_t *number, struct bp_error *error);

/* The calibration of a version, by the id of its row. document NULL: none. actor may be NULL. */
enum store_result calibration_put(struct connection *c, int64_t version_id, const char *document, const struct store_actor *actor,
                                  struct bp_error *error);

/* A version and all that belongs to it; STORE_NOT_FOUND without a message. */
enum store_result version_remove(struct writer *writer, const char *model, int64_t version, struct bp_error *error);
/* Moves an alias, which may be new. */
struct alias_move {
    const char *model, *name;
    int64_t version; /* 0: deletes it */
    const char *action;
    const struct store_actor *actor; /* may be NULL */
    const char *job;                 /* may be NULL */
};
enum store_result alias_move(struct writer *writer, const struct alias_move *move, struct bp_error *error);
/* What the alias default of a model names, 0: there is none. */
enum store_result alias_default(struct connection *c, const char *model, int64_t *version, struct bp_error *error);
/* In a final status: the job with all that belongs to it. */
enum store_result job_remove(struct writer *writer, const char *id, struct bp_error *error);

/* What a job is in a sweep, NULL: nothing. */
#define TRIAL_OF_JOB                                                                                                                                 \
    "(SELECT json_object('id', t.sweep, 'trial', t.number, 'parameters', json(t.parameters), 'stopped', nullif(t.stopped, '')) "                     \
    "FROM trials AS t WHERE t.job = jobs.id)"
/* No job that has not ended reads the version v, or compares with it. */
#define VERSION_UNREAD                                                                                                                               \
    "NOT EXISTS (SELECT 1 FROM jobs WHERE finished_at = 0 AND reads_version > 0 AND model = v.model AND reads_version = v.version) AND NOT EXISTS "  \
    "(SELECT 1 FROM jobs WHERE finished_at = 0 AND compared_version > 0 AND compared_model = v.model AND compared_version = v.version)"
/* The start of a query that job_read reads. CROSS JOIN fixes the order, so that lists are sorted by an index of jobs. */
#define JOB_SELECT(queue_position)                                                                                                                   \
    "SELECT id, status, model, dataset, coalesce(validation_dataset, ''), dataset_version, validation_version, created_at, started_at, "             \
    "finished_at, " queue_position ", attempt, failures, "                                                                                           \
    "attempts_max, resumed_from_epoch, model_version, priority, retry_at, training_ms, spec, view, metadata, progress, metrics, best, error, "       \
    "warnings, cross_validation, publication, stop_reason, publish, jobs.key_id, jobs.key_name, kind, reads_version, compared_model, "               \
    "compared_version, launcher, label, memory_mb, processes, launch, " TRIAL_OF_JOB " "                                                             \
    "FROM jobs CROSS JOIN filings ON filings.job = jobs.id "
bool job_read(sqlite3_stmt *statement, void *job);
/* Whether a queued job waits for its retry. A time beyond the longest delay is of a clock that was set back: it does not count. */
#define RETRY_MAX_MS  60000
#define JOB_WAITS(at) "(" at " > ?2 AND " at " <= ?2 + 60000)" /* ?2: now */
/* As JOB_SELECT wants it; ?1: the id, ?2: now. */
extern const char job_position_sql[];
/* Fills the queue positions of jobs; the pointers are sorted by it. */
enum store_result queue_positions(struct connection *c, struct store_job **jobs, int32_t count, struct bp_error *error);
/* The queued job that runs next, of those that the taker accepts (NULL: all). STORE_NOT_FOUND (no message): none; *retry_at: when the first retry is
 * due, 0: none waits. */
enum store_result queue_first(struct connection *c, const struct store_taker *taker, char id[STORE_ID_SIZE], int64_t *retry_at,
                              struct bp_error *error);
/* STORE_NOT_FOUND with its message. */
enum store_result job_missing(const char *id, struct bp_error *error);
/* The row of an attempt that begins; older ones beyond the newest few are removed. */
enum store_result attempt_begin(struct connection *c, const char *job, int64_t attempt, int64_t now, struct bp_error *error);
/* The end of an attempt, once; its message is the one of the error document (may be NULL). What its process used is added by store_attempt_end. */
enum store_result attempt_close(struct connection *c, const char *job, int64_t attempt, const char *reason, const char *error_document,
                                struct bp_error *error);
/* At start-up: no process of the previous server is left. */
enum store_result attempts_lost(struct connection *c, struct bp_error *error);
/* The status of a job; STORE_NOT_FOUND with its message. */
enum store_result job_status(struct connection *c, const char *id, enum store_status *status, struct bp_error *error);
/* Invariant 3: STORE_OK when this attempt is the job's and it runs (running, pausing, cancelling), else STORE_STALE. */
enum store_result attempt_check(struct connection *c, const char *id, int64_t attempt, struct bp_error *error);
/* Every change of status but the claim: the row, then its events. */
struct move {
    const char *job;
    enum store_status to;
    int64_t model_version;      /* for STORE_SUCCEEDED */
    int64_t retry_at;           /* for STORE_QUEUED: not to be claimed before; 0: at once */
    const char *error_document; /* for STORE_JOB_FAILED: stored in the job. Otherwise only in the event */
};
enum store_result job_move(struct writer *writer, const struct move *move, struct bp_error *error);

/* Adds an event and notifies its job's watchers. A second metrics event of an epoch is ignored. */
enum store_result event_add(struct writer *writer, const char *job, int64_t attempt, const struct store_event *event, struct bp_error *error);
/* The `status` event of a job that has just changed, and `end` when its status is final: read from its row. error_document: NULL, or why a
 * job goes back to the queue. */
enum store_result event_add_status(struct writer *writer, const char *job, const char *error_document, struct bp_error *error);

/* trials.c: a job that is made, ends, is compared with the version that is served; jobs that are no trial are fine. */
struct store_trial_new;
enum store_result trial_add(struct writer *writer, const struct store_trial_new *trial, const char *job, struct bp_error *error);
enum store_result trial_end(struct writer *writer, const char *job, struct bp_error *error);
/* comparison NULL: not compared; served: the version that is served. */
enum store_result trial_compared(struct writer *writer, const char *job, const struct store_comparison *comparison, int64_t served,
                                 struct bp_error *error);
/* The sweep of a job, "": none; and whether it has not ended. */
enum store_result trial_sweep(struct connection *c, const char *job, char sweep[STORE_ID_SIZE], bool *unfinished, struct bp_error *error);
/* What a running attempt has reported, inside a change. */
enum store_result report_apply(struct writer *writer, const char *id, int64_t attempt, const struct store_report *report, struct bp_error *error);

/* Removes a job's results: rows, and files after the commit. */
enum store_result results_remove(struct writer *writer, const char *job, struct bp_error *error);
enum store_result results_set(struct writer *writer, const char *job, const struct store_results *results, struct bp_error *error);
/* The report of a job of the kind evaluate; of the version that a job has made. */
enum store_result evaluation_set(struct writer *writer, const char *job, const char *document, struct bp_error *error);
enum store_result version_test_set(struct writer *writer, const char *model, int64_t version, const char *document, struct bp_error *error);
/* Removes a job's checkpoints: rows, and files after the commit. */
enum store_result checkpoints_remove(struct writer *writer, const char *job, struct bp_error *error);

#endif

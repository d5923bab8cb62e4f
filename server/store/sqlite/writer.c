/* writer.c - the one thread, with the one connection, that changes the database and makes checkpoints.
 *
 * Callers queue operations and sleep. The thread takes all that is queued (no lingering for more), runs it in one transaction, each operation in
 * a savepoint of its own, commits (one fsync for all), removes files that rows no longer name, wakes the callers, notifies about the jobs:
 *
 *     callers ── writer_run ──▶ queue ──▶ BEGIN IMMEDIATE
 *                                           SAVEPOINT, change, RELEASE (or ROLLBACK TO: a failed change undoes itself alone)
 *                                           ... every queued operation
 *                                         COMMIT ──▶ unlink files ──▶ wake callers ──▶ options.committed
 *                                         checkpoint when the WAL is long; free pages go back to the disk, a slice at a time
 *
 * When the commit fails, every operation of the group fails, those too that had failed by themselves: what they saw was never true.
 *
 * Why one connection: no SQLITE_BUSY by construction, and SQLite 3.7.0-3.51.2 has a race between one connection's checkpoint and another's
 * commit. Why a checkpoint of our own: the automatic one gives way to readers for ever, and the WAL grows without bound.
 *
 * Sections: lists kept for after the commit; one group; housekeeping; the thread; the callers' side. */
#include "server/store/changes.h"
#include "server/store/sqlite/sqlite.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    QUEUE_MAX = 1024,          /* queued operations; further callers wait */
    WAL_BYTES = 16 << 20,      /* a checkpoint is due */
    WAL_RETRY_BYTES = 4 << 20, /* after a checkpoint that a long reader held up: again when it has grown by this */
    CHECKPOINT_BUSY_MS = 200,
    VACUUM_PAGES = 1024, /* 4 MB a slice, so that operations never wait long */
    FREE_PAGES_KEPT = 64 /* 256 KB: not worth moving pages for */
};

struct operation {
    const char *what;
    change *run;
    void *argument;
    enum store_result result;
    struct bp_error error;
    bool done;
    pthread_cond_t finished;
    struct operation *next;
};

/* Things to do after the commit; a growing array of fixed texts, at most QUEUE_MAX operations' worth. */
struct notice {
    char job[STORE_ID_SIZE];
};
struct removal {
    const char *kind;
    char file[STORE_FILE_SIZE];
};
struct list {
    void *items;
    size_t size;
    size_t count, room;
};

struct writer {
    struct store *store;
    struct connection connection;
    pthread_t thread;
    bool running; /* the thread exists */

    pthread_mutex_t mutex; /* guards what follows, and operation.done */
    pthread_cond_t work, space;
    struct operation *first, *last;
    int32_t queued;
    bool stopping;

    /* The thread's own. */
    struct list notices, removals;
    int64_t page_size;
    int64_t wal_pages, wal_pages_due;
    bool freed, vacuuming, checkpoint_due;
    bool versions_changed; /* in the current transaction */
    bool versions_moving;  /* it is being committed: versions_revision is odd */
    bool feed_grown;       /* rows of changes were added */
};

struct connection *writer_connection(struct writer *writer) {
    return &writer->connection;
}
struct store *writer_store(struct writer *writer) {
    return writer->store;
}
void writer_freed(struct writer *writer) {
    writer->freed = true;
}
void writer_versions_changed(struct writer *writer) {
    writer->versions_changed = true;
}
uint64_t store_versions_revision(const struct store *store) {
    return atomic_load(&store->versions_revision);
}

/* From before the commit until after it, nothing that was read is known to be current: a reader may see the commit before this thread goes on. */
static void versions_move(struct writer *w, bool begin) {
    if (begin ? w->versions_changed && !w->versions_moving : w->versions_moving) {
        atomic_fetch_add(&w->store->versions_revision, 1);
        w->versions_moving = begin;
    }
    if (!begin) w->versions_changed = false;
}

/* ---- lists kept for after the commit ---- */

static void *list_add(struct list *list) {
    if (list->count == list->room) {
        size_t room = list->room ? list->room * 2 : 64;
        void *items = reallocarray(list->items, room, list->size);
        if (!items) return NULL;
        list->items = items;
        list->room = room;
    }
    return (char *)list->items + list->size * list->count++;
}

bool writer_notify(struct writer *writer, const char *job) {
    struct notice *last = writer->notices.items;
    if (writer->notices.count && strcmp(last[writer->notices.count - 1].job, job) == 0) return true; /* several events of one report */
    struct notice *notice = list_add(&writer->notices);
    if (notice) strncpy(notice->job, job, sizeof notice->job - 1)[sizeof notice->job - 1] = '\0';
    return notice != NULL;
}

bool writer_unlink(struct writer *writer, const char *kind, const char *file) {
    struct removal *removal = list_add(&writer->removals);
    if (removal) {
        removal->kind = kind;
        strncpy(removal->file, file, sizeof removal->file - 1)[sizeof removal->file - 1] = '\0';
    }
    return removal != NULL;
}

static int notice_compare(const void *a, const void *b) {
    return strcmp(((const struct notice *)a)->job, ((const struct notice *)b)->job);
}

static void notices_tell(struct writer *w) {
    struct notice *notices = w->notices.items;
    const struct store_options *options = &w->store->options;
    if (w->notices.count > 1) qsort(notices, w->notices.count, sizeof *notices, notice_compare);
    for (size_t i = 0; i < w->notices.count && options->committed; i++)
        if (i == 0 || strcmp(notices[i].job, notices[i - 1].job) != 0) options->committed(options->context, notices[i].job);
    w->notices.count = 0;
}

/* A file that stays because unlink failed is an orphan: the next start removes it. */
static void removals_do(struct writer *w) {
    const struct removal *removals = w->removals.items;
    for (size_t i = 0; i < w->removals.count; i++) unlinkat(store_folder_of(w->store, removals[i].kind), removals[i].file, 0);
    w->removals.count = 0;
}

/* ---- one group ---- */

static enum store_result control(struct writer *w, const char *sql, struct bp_error *error) {
    return db_run(&w->connection, sql, NONE, error);
}

/* Prepares them all, so that leaving a transaction needs no memory. */
static enum store_result controls_prepare(struct writer *w, struct bp_error *error) {
    static const char *const all[] = {"BEGIN IMMEDIATE", "COMMIT", "ROLLBACK", "SAVEPOINT operation", "RELEASE operation", "ROLLBACK TO operation"};
    w->connection.what = "prepare transactions";
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        sqlite3_stmt *s = db_start(&w->connection, all[i], NONE);
        if (!s) return db_failed(&w->connection, error);
        db_end(s);
    }
    return STORE_OK;
}

/* Runs one operation in its savepoint. False: the transaction is lost, because SQLite has rolled it back (a full disk, no memory), or because the
 * operation could not be undone and must not be committed by half. */
static bool operation_run(struct writer *w, struct operation *op) {
    size_t notices = w->notices.count, removals = w->removals.count;
    w->connection.what = op->what;
    op->result = control(w, "SAVEPOINT operation", &op->error);
    if (op->result != STORE_OK) return !sqlite3_get_autocommit(w->connection.db);
    columns_lost();
    op->result = op->run(w, op->argument, &op->error);
    if (op->result == STORE_OK && columns_lost()) op->result = out_of_memory(&op->error); /* what it did may rest on an empty text */
    if (op->result == STORE_OK) op->result = control(w, "RELEASE operation", &op->error);
    if (op->result == STORE_OK) return true;
    w->notices.count = notices;
    w->removals.count = removals;
    return !sqlite3_get_autocommit(w->connection.db) && control(w, "ROLLBACK TO operation", NULL) == STORE_OK &&
           control(w, "RELEASE operation", NULL) == STORE_OK;
}

/* Leaves a transaction that must not be committed. Should even this fail, transaction_begin tries again. */
static enum store_result transaction_abandon(struct writer *w, struct bp_error *error) {
    return sqlite3_get_autocommit(w->connection.db) ? STORE_OK : control(w, "ROLLBACK", error);
}

static enum store_result transaction_begin(struct writer *w, struct bp_error *error) {
    w->connection.what = "begin a transaction";
    enum store_result result = transaction_abandon(w, error);
    return result == STORE_OK ? control(w, "BEGIN IMMEDIATE", error) : result;
}

/* Fails the operations from `first` up to and including `last` with one error. */
static void operations_fail(struct writer *w, struct operation *first, const struct operation *last, const struct bp_error *error) {
    for (struct operation *op = first; op; op = op->next) {
        op->result = STORE_FAILED;
        op->error = *error;
        if (op == last) break;
    }
    w->notices.count = w->removals.count = 0;
    w->freed = false;
}

/* Runs operations from `first` in one transaction. Gives back the one to go on with: NULL, or the next after one that lost the transaction. */
static struct operation *group_run(struct writer *w, struct operation *first) {
    struct bp_error error = {0};
    struct operation *last = first;
    if (transaction_begin(w, &error) != STORE_OK) {
        operations_fail(w, first, NULL, &error);
        return NULL;
    }
    for (struct operation *op = first; op; op = op->next) {
        last = op;
        if (!operation_run(w, op)) {
            error = op->error;
            transaction_abandon(w, NULL);
            operations_fail(w, first, last, &error);
            return op->next;
        }
    }
    w->connection.what = first->next ? "commit the transaction" : first->what;
    versions_move(w, true);
    if (control(w, "COMMIT", &error) != STORE_OK) {
        transaction_abandon(w, NULL);
        operations_fail(w, first, last, &error);
        return NULL;
    }
    removals_do(w);
    w->vacuuming = w->vacuuming || w->freed;
    w->freed = false;
    return NULL;
}

/* Wakes the callers. An operation belongs to its caller again, who may free it, once its `done` is seen. */
static void operations_finish(struct writer *w, struct operation *first) {
    pthread_mutex_lock(&w->mutex);
    for (struct operation *op = first, *next; op; op = next) {
        next = op->next;
        op->done = true;
        pthread_cond_signal(&op->finished);
    }
    pthread_mutex_unlock(&w->mutex);
}

/* ---- housekeeping: checkpoints, free pages ---- */

static int wal_grown(void *context, sqlite3 *db, const char *name, int pages) {
    struct writer *w = context;
    (void)db, (void)name;
    w->wal_pages = pages;
    return SQLITE_OK;
}

/* Copies the WAL into the database and starts it again from its beginning. RESTART needs a moment in which each of SQLite's four reader slots
 * is free; busy readers may never leave one, however long it waits. So PASSIVE copies nearly all beside them, then our readers are held for
 * the rest, which takes a moment. The busy timeout is for readers that are not ours (a backup). */
static void checkpoint(struct writer *w) {
    sqlite3 *db = w->connection.db;
    struct flock lock = CHECKPOINT_LOCK;
    if (fcntl(w->store->lock, F_OFD_SETLK, &lock) != 0) return; /* a command commits beside this writer: after the next group */
    sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    readers_hold(&w->store->readers, CHECKPOINT_BUSY_MS);
    sqlite3_busy_timeout(db, CHECKPOINT_BUSY_MS);
    int code = sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_RESTART, NULL, NULL);
    sqlite3_busy_timeout(db, BUSY_MS);
    readers_release(&w->store->readers);
    lock.l_type = F_UNLCK;
    fcntl(w->store->lock, F_OFD_SETLK, &lock);
    if (code == SQLITE_OK) {
        w->wal_pages = 0;
        w->wal_pages_due = WAL_BYTES / w->page_size;
    } else {
        w->wal_pages_due = w->wal_pages + WAL_RETRY_BYTES / w->page_size;
    }
    w->checkpoint_due = false;
}

/* Moves a slice of pages from the end of the file into free ones and cuts the end off. The file itself shrinks at the checkpoint after it. */
static void vacuum_slice(struct writer *w) {
    int64_t free_pages = 0;
    char sql[64];
    bool known = db_integer(&w->connection, "PRAGMA freelist_count", NONE, &free_pages, NULL) == STORE_OK;
    sqlite3_snprintf((int)sizeof sql, sql, "PRAGMA incremental_vacuum(%d)", VACUUM_PAGES);
    if (known && free_pages > FREE_PAGES_KEPT && sqlite3_exec(w->connection.db, sql, NULL, NULL, NULL) == SQLITE_OK) {
        w->checkpoint_due = true;
        w->vacuuming = free_pages > VACUUM_PAGES;
    } else {
        w->vacuuming = false;
    }
}

static void housekeeping(struct writer *w) {
    if (!sqlite3_get_autocommit(w->connection.db)) {
        w->vacuuming = false; /* until the next deletion: the thread must not spin */
        return;
    }
    reserve_take_again(w->store);
    if (w->vacuuming) vacuum_slice(w);
    if (w->wal_pages > w->wal_pages_due || (w->checkpoint_due && !w->vacuuming)) checkpoint(w);
}

/* Triggers write these rows: no change has to say so. One that was undone is no harm. */
static void row_changed(void *context, int operation, const char *database, const char *table, sqlite3_int64 row) {
    struct writer *w = context;
    (void)database, (void)row;
    if (operation == SQLITE_INSERT && strcmp(table, "changes") == 0) w->feed_grown = true;
}

static void feed_notify(struct writer *w) {
    if (w->feed_grown && writer_notify(w, STORE_CHANGES)) w->feed_grown = false;
}

/* ---- the thread ---- */

/* All that is queued. NULL: nothing, because there is housekeeping to go on with, or because the writer stops. */
static struct operation *queue_take(struct writer *w, bool *stop) {
    pthread_mutex_lock(&w->mutex);
    while (!w->first && !w->stopping && !w->vacuuming) pthread_cond_wait(&w->work, &w->mutex);
    struct operation *first = w->first;
    *stop = !first && w->stopping;
    w->first = w->last = NULL;
    w->queued = 0;
    pthread_cond_broadcast(&w->space);
    pthread_mutex_unlock(&w->mutex);
    return first;
}

static void *writer_main(void *argument) {
    struct writer *w = argument;
    for (;;) {
        bool stop;
        struct operation *first = queue_take(w, &stop);
        if (stop) return NULL;
        for (struct operation *op = first; op;) op = group_run(w, op);
        versions_move(w, false);
        operations_finish(w, first);
        feed_notify(w);
        notices_tell(w);
        housekeeping(w);
    }
}

/* ---- the callers' side ---- */

int32_t writer_queued(struct writer *w) {
    pthread_mutex_lock(&w->mutex);
    int32_t queued = w->queued;
    pthread_mutex_unlock(&w->mutex);
    return queued;
}

enum store_result writer_run(struct store *store, const char *what, change *run, void *argument, struct bp_error *error) {
    struct writer *w = store->writer;
    struct operation op = {.what = what, .run = run, .argument = argument};
    pthread_cond_init(&op.finished, NULL);

    pthread_mutex_lock(&w->mutex);
    while (w->queued == QUEUE_MAX) pthread_cond_wait(&w->space, &w->mutex);
    if (w->last) w->last->next = &op;
    else w->first = &op;
    w->last = &op;
    w->queued++;
    pthread_cond_signal(&w->work);
    while (!op.done) pthread_cond_wait(&op.finished, &w->mutex);
    pthread_mutex_unlock(&w->mutex);

    pthread_cond_destroy(&op.finished);
    if (op.result != STORE_OK) bp_error_wrap(error, &op.error, op.error.pointer, "%s", op.error.message);
    return op.result;
}

/* auto_vacuum acts on an empty database only, and must precede the switch to WAL, which writes the first page. After one large transaction
 * journal_size_limit cuts the WAL's file back to its usual size. */
static enum store_result database_set_up(struct writer *w, struct bp_error *error) {
    char sql[160];
    sqlite3_snprintf((int)sizeof sql, sql, "PRAGMA auto_vacuum=INCREMENTAL; PRAGMA journal_mode=WAL; PRAGMA journal_size_limit=%d", WAL_BYTES);
    return sqlite3_exec(w->connection.db, sql, NULL, NULL, NULL) == SQLITE_OK ? STORE_OK : db_failed(&w->connection, error);
}

struct writer *writer_new(struct store *store, struct bp_error *error) {
    struct writer *w = calloc(1, sizeof *w);
    if (!w) {
        out_of_memory(error);
        return NULL;
    }
    w->store = store;
    w->notices.size = sizeof(struct notice);
    w->removals.size = sizeof(struct removal);
    pthread_mutex_init(&w->mutex, NULL);
    pthread_cond_init(&w->work, NULL);
    pthread_cond_init(&w->space, NULL);
    if (connection_open(&w->connection, store->folder, error) != STORE_OK || database_set_up(w, error) != STORE_OK ||
        controls_prepare(w, error) != STORE_OK || db_integer(&w->connection, "PRAGMA page_size", NONE, &w->page_size, error) != STORE_OK) {
        writer_free(w);
        return NULL;
    }
    w->wal_pages_due = WAL_BYTES / w->page_size;
    w->vacuuming = true; /* a crash may have left free pages */
    sqlite3_wal_hook(w->connection.db, wal_grown, w);
    sqlite3_update_hook(w->connection.db, row_changed, w);
    return w;
}

enum store_result writer_start(struct writer *w, struct bp_error *error) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are for the main thread */
    int code = pthread_create(&w->thread, NULL, writer_main, w);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (code != 0) {
        bp_error_io(error, "cannot start the store's writer thread: %s; raise the limit on processes or memory", strerror(code));
        return STORE_FAILED;
    }
    w->running = true;
    return STORE_OK;
}

void writer_stop(struct writer *w) {
    if (!w || !w->running) return;
    pthread_mutex_lock(&w->mutex);
    w->stopping = true;
    pthread_cond_signal(&w->work);
    pthread_mutex_unlock(&w->mutex);
    pthread_join(w->thread, NULL);
    w->running = false;
}

void writer_free(struct writer *w) {
    if (!w) return;
    connection_close(&w->connection);
    free(w->notices.items);
    free(w->removals.items);
    pthread_cond_destroy(&w->work);
    pthread_cond_destroy(&w->space);
    pthread_mutex_destroy(&w->mutex);
    free(w);
}

/* reader.c - the pool of query_only connections that reading verbs use, one per call at a time.
 *
 * A connection is opened when all others are busy, and stays open. At READERS_MAX the caller waits. No caller holds a read transaction across calls
 * (db_end before reader_give): one long reader would block every checkpoint and let the WAL grow. */
#include "server/store/sqlite/sqlite.h"

#include "server/clock.h"

#include <stdlib.h>

void readers_init(struct readers *readers) {
    pthread_mutex_init(&readers->mutex, NULL);
    pthread_cond_init(&readers->given, NULL);
    clock_condition_init(&readers->drained);
    readers->idle = NULL;
    readers->open = readers->busy = 0;
    readers->held = false;
}

void readers_close(struct readers *readers) {
    while (readers->idle) {
        struct connection *c = readers->idle;
        readers->idle = c->next;
        connection_close(c);
        free(c);
    }
    pthread_cond_destroy(&readers->given);
    pthread_cond_destroy(&readers->drained);
    pthread_mutex_destroy(&readers->mutex);
}

/* Checkpoints belong to the writer alone (see README.md), so closing a reader must not make one. */
static struct connection *reader_open(struct store *store, struct bp_error *error) {
    struct connection *c = calloc(1, sizeof *c);
    if (!c) {
        out_of_memory(error);
        return NULL;
    }
    if (connection_open(c, store->folder, error) != STORE_OK) goto fail;
    if (sqlite3_db_config(c->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, (int *)NULL) != SQLITE_OK ||
        sqlite3_exec(c->db, "PRAGMA query_only=ON", NULL, NULL, NULL) != SQLITE_OK) {
        db_failed(c, error);
        goto fail;
    }
    return c;

fail:
    connection_close(c);
    free(c);
    return NULL;
}

/* With the mutex held. */
static void use_ended(struct readers *readers) {
    readers->busy--;
    pthread_cond_signal(&readers->given);
    if (readers->busy == 0) pthread_cond_signal(&readers->drained);
}

struct connection *reader_take(struct store *store, const char *what, struct bp_error *error) {
    struct readers *readers = &store->readers;
    pthread_mutex_lock(&readers->mutex);
    while (readers->held || (!readers->idle && readers->open == READERS_MAX)) pthread_cond_wait(&readers->given, &readers->mutex);
    readers->busy++;
    struct connection *c = readers->idle;
    if (c) readers->idle = c->next;
    else readers->open++;
    pthread_mutex_unlock(&readers->mutex);

    if (!c) {
        c = reader_open(store, error);
        if (!c) {
            pthread_mutex_lock(&readers->mutex);
            readers->open--;
            use_ended(readers);
            pthread_mutex_unlock(&readers->mutex);
            return NULL;
        }
    }
    c->what = what;
    return c;
}

void reader_give(struct store *store, struct connection *c) {
    struct readers *readers = &store->readers;
    pthread_mutex_lock(&readers->mutex);
    c->next = readers->idle;
    readers->idle = c;
    use_ended(readers);
    pthread_mutex_unlock(&readers->mutex);
}

bool readers_hold(struct readers *readers, int64_t ms) {
    const struct timespec until = clock_after(ms);
    pthread_mutex_lock(&readers->mutex);
    readers->held = true;
    while (readers->busy > 0 && pthread_cond_timedwait(&readers->drained, &readers->mutex, &until) == 0)
        ;
    bool none = readers->busy == 0;
    pthread_mutex_unlock(&readers->mutex);
    return none;
}

void readers_release(struct readers *readers) {
    pthread_mutex_lock(&readers->mutex);
    readers->held = false;
    pthread_cond_broadcast(&readers->given);
    pthread_mutex_unlock(&readers->mutex);
}

/* drift_private.h - what drift.c and drift_report.c share. */
#ifndef SERVER_DRIFT_PRIVATE_H
#define SERVER_DRIFT_PRIVATE_H

#include "server/drift.h"

#include <jansson.h>
#include <pthread.h>

/* A version that predicts. All of it is read and changed by the lock of all. */
struct counted {
    struct counted *next;
    char model[STORE_NAME_SIZE];
    int64_t version;
    int32_t bins;
    int users;
    bool gone;     /* the version is deleted; the last user frees it */
    uint64_t used; /* for the least recently used */
    struct drift_counts *counts;
    bool changed;      /* since it was stored */
    bool recalled;     /* what the store had is in */
    json_t *reference; /* of its document, NULL: not read yet */
};
struct drift {
    struct store *store;
    pthread_mutex_t lock;
    pthread_cond_t woken;
    pthread_t thread;
    bool started, stopped;
    int64_t save_seconds;
    uint64_t clock;
    int count;
    struct counted *first;
};

int64_t drift_now(void); /* seconds since 1970 */
/* The counters of a version, with one more user; bins 0: only if there are some. NULL: there are none, or no memory. */
struct counted *drift_take(struct drift *drift, const char *model, int64_t version, int32_t bins);
void drift_give(struct drift *drift, struct counted *counted);
void drift_recall(struct drift *drift, struct counted *counted);

#endif

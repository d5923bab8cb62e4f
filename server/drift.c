/* drift.c - the counters of all versions, and the thread that stores them. Reports are in drift_report.c. */
#include "server/drift_private.h"

#include "server/clock.h"
#include "server/log.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

int64_t drift_now(void) {
    return store_now() / 1000;
}

struct drift *drift_new(struct store *store) {
    struct drift *d = calloc(1, sizeof *d);
    if (!d) return NULL;
    d->store = store;
    pthread_mutex_init(&d->lock, NULL);
    clock_condition_init(&d->woken);
    return d;
}

static void counted_free(struct counted *c) {
    drift_counts_free(c->counts);
    json_decref(c->reference);
    free(c);
}

void drift_free(struct drift *d) {
    if (!d) return;
    while (d->first) {
        struct counted *c = d->first;
        d->first = c->next;
        counted_free(c);
    }
    pthread_mutex_destroy(&d->lock);
    pthread_cond_destroy(&d->woken);
    free(d);
}

/* ---- versions ----------------------------------------------------------------------------------------------------------------------------- */

/* Lock held. */
static void forget(struct drift *d, struct counted *c) {
    for (struct counted **at = &d->first; *at; at = &(*at)->next)
        if (*at == c) {
            *at = c->next;
            break;
        }
    d->count--;
    counted_free(c);
}

/* Makes room: the one that predicted longest ago, of those that nobody uses and that are stored. Lock held. */
static bool make_room(struct drift *d) {
    struct counted *oldest = NULL;
    if (d->count < DRIFT_VERSIONS) return true;
    for (struct counted *c = d->first; c; c = c->next)
        if (c->users == 0 && !c->changed && (!oldest || c->used < oldest->used)) oldest = c;
    if (oldest) forget(d, oldest);
    return oldest != NULL;
}

/* Made if need be and if bins are given. Lock held. */
static struct counted *find(struct drift *d, const char *model, int64_t version, int32_t bins) {
    struct counted *c = d->first;
    while (c && (c->version != version || strcmp(c->model, model) != 0)) c = c->next;
    if (c && bins && c->bins != bins) return NULL; /* a version of that name of before, which is gone soon */
    if (!c && bins && make_room(d) && (c = calloc(1, sizeof *c))) {
        snprintf(c->model, sizeof c->model, "%s", model);
        c->version = version;
        c->bins = bins;
        if (!(c->counts = drift_counts_new(bins))) return counted_free(c), NULL;
        c->next = d->first;
        d->first = c;
        d->count++;
    }
    if (c) c->used = ++d->clock;
    return c;
}

struct counted *drift_take(struct drift *d, const char *model, int64_t version, int32_t bins) {
    pthread_mutex_lock(&d->lock);
    struct counted *c = find(d, model, version, bins);
    if (c) c->users++;
    pthread_mutex_unlock(&d->lock);
    return c;
}

void drift_give(struct drift *d, struct counted *c) {
    if (!c) return;
    pthread_mutex_lock(&d->lock);
    if (--c->users == 0 && c->gone) forget(d, c);
    pthread_mutex_unlock(&d->lock);
}

void drift_add(struct drift *d, const char *model, int64_t version, int32_t bins, int64_t rows, const uint64_t *counts) {
    if (!d || rows <= 0 || bins <= 0) return;
    const int64_t now = drift_now();
    pthread_mutex_lock(&d->lock);
    struct counted *c = find(d, model, version, bins);
    if (c) drift_counts_add(c->counts, now, rows, counts);
    if (c) c->changed = true;
    pthread_mutex_unlock(&d->lock);
}

/* ---- the store ------------------------------------------------------------------------------------------------------------------------------ */

/* What an earlier server has counted, once. */
void drift_recall(struct drift *d, struct counted *c) {
    struct bp_error ignored = {0};
    void *bytes = NULL;
    size_t size = 0;
    pthread_mutex_lock(&d->lock);
    const bool recalled = c->recalled;
    pthread_mutex_unlock(&d->lock);
    if (recalled || store_drift_get(d->store, c->model, c->version, &bytes, &size, &ignored) != STORE_OK) return;
    pthread_mutex_lock(&d->lock);
    if (!c->recalled && bytes) drift_counts_unpack(c->counts, bytes, size);
    c->recalled = true;
    pthread_mutex_unlock(&d->lock);
    free(bytes);
}

static void save(struct drift *d, struct counted *c) {
    struct bp_error error = {0};
    size_t size = 0;
    drift_recall(d, c);
    pthread_mutex_lock(&d->lock);
    void *bytes = c->changed && c->recalled ? drift_counts_pack(c->counts, &size) : NULL;
    c->changed = c->changed && !bytes;
    pthread_mutex_unlock(&d->lock);
    const enum store_result result = bytes ? store_drift_put(d->store, c->model, c->version, bytes, size, &error) : STORE_OK;
    free(bytes);
    if (result == STORE_OK) return;
    pthread_mutex_lock(&d->lock);
    if (result == STORE_NOT_FOUND) c->gone = true;
    else c->changed = true;
    pthread_mutex_unlock(&d->lock);
    if (result != STORE_NOT_FOUND) log_line(LOG_WARNING, "drift_not_stored", "model", c->model, "error", error.message, NULL);
}

/* The versions one after the other, each as a user, so that none goes in between. */
static void save_all(struct drift *d) {
    uint64_t before = UINT64_MAX;
    for (;;) {
        pthread_mutex_lock(&d->lock);
        struct counted *next = NULL;
        for (struct counted *c = d->first; c; c = c->next)
            if (c->used < before && (!next || c->used > next->used)) next = c;
        if (next) next->users++, before = next->used;
        pthread_mutex_unlock(&d->lock);
        if (!next) return;
        save(d, next);
        drift_give(d, next);
    }
}

static void *work(void *context) {
    struct drift *d = context;
    pthread_mutex_lock(&d->lock);
    while (!d->stopped) {
        const struct timespec until = clock_after(d->save_seconds * 1000);
        pthread_cond_timedwait(&d->woken, &d->lock, &until);
        pthread_mutex_unlock(&d->lock);
        save_all(d);
        pthread_mutex_lock(&d->lock);
    }
    pthread_mutex_unlock(&d->lock);
    return NULL;
}

int drift_start(struct drift *d, int64_t save_seconds, struct bp_error *error) {
    d->save_seconds = save_seconds;
    if (pthread_create(&d->thread, NULL, work, d) != 0) return bp_error_set(error, "", "cannot start the thread that stores counters");
    d->started = true;
    return 0;
}

void drift_limit(struct drift *d, int64_t save_seconds) {
    pthread_mutex_lock(&d->lock);
    d->save_seconds = save_seconds;
    pthread_cond_signal(&d->woken);
    pthread_mutex_unlock(&d->lock);
}

void drift_stop(struct drift *d) {
    if (!d || !d->started) return;
    pthread_mutex_lock(&d->lock);
    d->stopped = true;
    pthread_cond_signal(&d->woken);
    pthread_mutex_unlock(&d->lock);
    pthread_join(d->thread, NULL);
    d->started = false;
    save_all(d);
}

int drift_seen(struct drift *d, struct drift_seen *seen, int most) {
    uint64_t before = UINT64_MAX;
    int count = 0;
    pthread_mutex_lock(&d->lock);
    while (count < most) {
        struct counted *next = NULL;
        for (struct counted *c = d->first; c; c = c->next)
            if (c->used < before && (!next || c->used > next->used)) next = c;
        if (!next) break;
        before = next->used;
        seen[count] = (struct drift_seen){.version = next->version};
        seen[count].rows = drift_counts_rows(next->counts, DRIFT_DAY, drift_now());
        snprintf(seen[count++].model, sizeof seen->model, "%s", next->model);
    }
    pthread_mutex_unlock(&d->lock);
    return count;
}

/* shards.c - persistent threads for the shards of a mini-batch. A round is published by raising `round`; every worker does its share and lowers
 * `pending`; the caller, who is shard 0, waits for it to reach 0. Both sides spin for a few microseconds, since a step is
 * often no longer than that, and then sleep on a condition. The mutex guards sleeping only; the memory order of the
 * two counters carries the data. */
#include "engine/train/shards.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { SPINS = 2000 };

struct worker {
    struct bp_shards *shards;
    int32_t shard;
    pthread_t thread;
};

struct bp_shards {
    int32_t count, started;
    struct worker *workers; /* [count], 0 unused */
    void (*work)(void *context, int32_t shard);
    void *context;
    atomic_uint round;
    atomic_int pending;
    atomic_bool quit;
    pthread_mutex_t mutex;
    pthread_cond_t begin, end;
};

static void relax(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

/* Waits for a round other than `seen`; returns it. */
static unsigned wait_round(struct bp_shards *shards, unsigned seen) {
    unsigned round;
    for (int i = 0; i < SPINS; i++) {
        if ((round = atomic_load_explicit(&shards->round, memory_order_acquire)) != seen) return round;
        relax();
    }
    pthread_mutex_lock(&shards->mutex);
    while ((round = atomic_load_explicit(&shards->round, memory_order_acquire)) == seen) pthread_cond_wait(&shards->begin, &shards->mutex);
    pthread_mutex_unlock(&shards->mutex);
    return round;
}

static void *run_worker(void *argument) {
    struct worker *worker = argument;
    struct bp_shards *shards = worker->shards;
    unsigned seen = 0;
    bp_flush_denormals();
    for (;;) {
        seen = wait_round(shards, seen);
        if (atomic_load_explicit(&shards->quit, memory_order_relaxed)) return NULL;
        shards->work(shards->context, worker->shard);
        if (atomic_fetch_sub_explicit(&shards->pending, 1, memory_order_acq_rel) == 1) {
            pthread_mutex_lock(&shards->mutex);
            pthread_cond_signal(&shards->end);
            pthread_mutex_unlock(&shards->mutex);
        }
    }
}

static void publish(struct bp_shards *shards) {
    pthread_mutex_lock(&shards->mutex);
    atomic_fetch_add_explicit(&shards->round, 1, memory_order_release);
    pthread_cond_broadcast(&shards->begin);
    pthread_mutex_unlock(&shards->mutex);
}

struct bp_shards *bp_shards_new(int32_t count) {
    struct bp_shards *shards = calloc(1, sizeof *shards);
    if (!shards) return NULL;
    shards->count = count;
    pthread_mutex_init(&shards->mutex, NULL);
    pthread_cond_init(&shards->begin, NULL);
    pthread_cond_init(&shards->end, NULL);
    shards->workers = calloc((size_t)count, sizeof *shards->workers);
    if (!shards->workers) goto fail;
    for (shards->started = 1; shards->started < count; shards->started++) {
        struct worker *worker = &shards->workers[shards->started];
        *worker = (struct worker){.shards = shards, .shard = shards->started};
        if (pthread_create(&worker->thread, NULL, run_worker, worker)) goto fail;
    }
    return shards;
fail:
    bp_shards_free(shards);
    return NULL;
}

void bp_shards_free(struct bp_shards *shards) {
    if (!shards) return;
    atomic_store(&shards->quit, true);
    publish(shards);
    for (int32_t i = 1; i < shards->started; i++) pthread_join(shards->workers[i].thread, NULL);
    pthread_cond_destroy(&shards->begin);
    pthread_cond_destroy(&shards->end);
    pthread_mutex_destroy(&shards->mutex);
    free(shards->workers);
    free(shards);
}

void bp_shards_run(struct bp_shards *shards, void (*work)(void *context, int32_t shard), void *context) {
    if (shards->count == 1) {
        work(context, 0);
        return;
    }
    shards->work = work;
    shards->context = context;
    atomic_store_explicit(&shards->pending, shards->count - 1, memory_order_relaxed);
    publish(shards);
    work(context, 0);
    for (int i = 0; i < SPINS; i++) {
        if (!atomic_load_explicit(&shards->pending, memory_order_acquire)) return;
        relax();
    }
    pthread_mutex_lock(&shards->mutex);
    while (atomic_load_explicit(&shards->pending, memory_order_acquire)) pthread_cond_wait(&shards->end, &shards->mutex);
    pthread_mutex_unlock(&shards->mutex);
}

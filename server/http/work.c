/* work.c - the threads for what may wait or takes long: a bounded queue, first come, first served. A request is the pool's from work_submit until its
 * connection is resumed, or until the hub has it. */
#include "schema/memory.h"
#include "server/http/private.h"

#include "engine/base/base.h"
#include "server/http/hub.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { QUEUE_MAX = 4096 };

/* One of both. */
struct item {
    struct request *request; /* its run */
    void (*run)(void *context);
    void *context;
};

struct work_pool {
    pthread_mutex_t lock;
    pthread_cond_t ready;
    struct item queue[QUEUE_MAX];
    int first, count;
    bool stopping;
    pthread_t *threads;
    int threads_count;
};

/* Data read while memory ran out may be incomplete. A created object exists, and its response is complete or could not be written. */
static void check_memory(struct request *r) {
    if (!schema_memory_failed() || r->status != 200) return;
    if (r->stream) MHD_destroy_response(r->stream);
    r->stream = NULL;
    hub_wait_end(r);
    r->stage = REQUEST_ANSWERED;
    answer_problem(r, PROBLEM_overloaded, "out of memory; try again later");
}

void work_execute(struct request *r) {
    schema_memory_begin();
    r->stage = REQUEST_ANSWERED; /* unless the handler parks it */
    if (r->route->flags & ROUTE_IDEMPOTENT_KEY && !idempotency_begin(r)) return;
    r->route->handle(r);
    check_memory(r);
    idempotency_end(r);
}

bool work_quick(struct request *r) {
    if (!r->route->quick) return false;
    schema_memory_begin();
    if (!r->route->quick(r)) return false;
    check_memory(r);
    return true;
}

static void *work(void *context) {
    struct work_pool *pool = context;
    bp_flush_denormals();
    for (;;) {
        pthread_mutex_lock(&pool->lock);
        while (pool->count == 0 && !pool->stopping) pthread_cond_wait(&pool->ready, &pool->lock);
        if (pool->count == 0) {
            pthread_mutex_unlock(&pool->lock);
            return NULL;
        }
        const struct item item = pool->queue[pool->first];
        pool->first = (pool->first + 1) % QUEUE_MAX;
        pool->count--;
        pthread_mutex_unlock(&pool->lock);
        struct request *r = item.request;
        if (!r) {
            item.run(item.context);
            continue;
        }
        r->run(r);
        if (r->stage == REQUEST_PARKED) hub_park(r);
        else MHD_resume_connection(r->connection);
    }
}

/* Lock held. */
static bool add(struct work_pool *pool, const struct item *item) {
    if (pool->count == QUEUE_MAX || pool->stopping) return false;
    if (item->request) MHD_suspend_connection(item->request->connection);
    pool->queue[(pool->first + pool->count++) % QUEUE_MAX] = *item;
    pthread_cond_signal(&pool->ready);
    return true;
}

bool work_submit(struct work_pool *pool, struct request *r, enum request_stage stage, void (*run)(struct request *)) {
    const struct item item = {.request = r};
    const enum request_stage before = r->stage;
    pthread_mutex_lock(&pool->lock);
    r->stage = stage;
    r->run = run;
    const bool room = add(pool, &item);
    if (!room) r->stage = before;
    pthread_mutex_unlock(&pool->lock);
    return room;
}

void work_later(struct work_pool *pool, void (*run)(void *), void *context) {
    const struct item item = {.run = run, .context = context};
    pthread_mutex_lock(&pool->lock);
    const bool room = add(pool, &item);
    pthread_mutex_unlock(&pool->lock);
    if (!room) run(context);
}

int64_t work_queued(struct work_pool *pool) {
    pthread_mutex_lock(&pool->lock);
    const int64_t count = pool->count;
    pthread_mutex_unlock(&pool->lock);
    return count;
}

void work_stop(struct work_pool *pool) {
    pthread_mutex_lock(&pool->lock);
    pool->stopping = true;
    pthread_cond_broadcast(&pool->ready);
    pthread_mutex_unlock(&pool->lock);
    for (int i = 0; i < pool->threads_count; i++) pthread_join(pool->threads[i], NULL);
    pool->threads_count = 0;
}

void work_free(struct work_pool *pool) {
    if (!pool) return;
    work_stop(pool);
    pthread_mutex_destroy(&pool->lock);
    pthread_cond_destroy(&pool->ready);
    free(pool->threads);
    free(pool);
}

struct work_pool *work_new(int threads, struct bp_error *error) {
    struct work_pool *pool = calloc(1, sizeof *pool);
    if (pool) pool->threads = calloc((size_t)threads, sizeof *pool->threads);
    if (!pool || !pool->threads) {
        free(pool);
        bp_error_memory(error, "no memory for the work threads");
        return NULL;
    }
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->ready, NULL);
    for (int i = 0; i < threads; i++) {
        const int code = pthread_create(&pool->threads[i], NULL, work, pool);
        if (code == 0) {
            pool->threads_count++;
            continue;
        }
        bp_error_io(error, "cannot start work thread %d of %d: %s; lower --work-threads, or raise the limit on processes", i + 1, threads,
                    strerror(code));
        work_free(pool);
        return NULL;
    }
    return pool;
}

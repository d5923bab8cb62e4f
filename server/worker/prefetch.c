/* prefetch.c - see prefetch.h. The trainer says which window it enters (bp_source.expect); the thread then lets go of the one it left, and has the
 * kernel read the next one, while the trainer computes. Only what is resident depends on it, never a bit of the result. */
#include "server/worker/prefetch.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* Samples of a source. */
struct part {
    const struct schema_source *source;
    struct bp_spans spans;
};

/* One source. */
struct watched {
    struct prefetch *prefetch;
    const struct schema_source *source;
};

enum { WATCHED_MAX = 2 };
struct prefetch {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct watched watched[WATCHED_MAX];
    int32_t count;
    struct part now, left, next; /* left, next: the thread's work while `asked` */
    bool asked, ending;
};

static void advise(const struct part *part, bool needed) {
    for (int32_t i = 0; i < part->spans.count; i++) schema_source_advise(part->source, part->spans.span[i].first, part->spans.span[i].n, needed);
}

static void *look_ahead(void *context) {
    struct prefetch *p = context;
    pthread_mutex_lock(&p->lock);
    while (!p->ending) {
        if (!p->asked) {
            pthread_cond_wait(&p->changed, &p->lock);
            continue;
        }
        const struct part left = p->left, next = p->next;
        pthread_mutex_unlock(&p->lock);
        advise(&left, false);
        advise(&next, true);
        pthread_mutex_lock(&p->lock);
        p->asked = false;
        pthread_cond_broadcast(&p->changed);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

/* The trainer enters a window, of either source, and leaves the one before. It waits for the thread when that is a whole window behind, so that no
 * more than two are ever resident. */
static void expect(void *expecting, const struct bp_spans *now, const struct bp_spans *next) {
    const struct watched *w = expecting;
    struct prefetch *p = w->prefetch;
    pthread_mutex_lock(&p->lock);
    while (p->asked) pthread_cond_wait(&p->changed, &p->lock);
    p->left = p->now;
    p->now = (struct part){w->source, *now};
    p->next = (struct part){w->source, *next};
    p->asked = true;
    pthread_cond_broadcast(&p->changed);
    pthread_mutex_unlock(&p->lock);
}

void prefetch_watch(struct prefetch *p, const struct schema_source *source, struct bp_source *batches) {
    if (p->count == WATCHED_MAX) return;
    struct watched *w = &p->watched[p->count++];
    *w = (struct watched){.prefetch = p, .source = source};
    batches->expecting = w;
    batches->expect = expect;
}

struct prefetch *prefetch_new(struct bp_error *error) {
    struct prefetch *p = calloc(1, sizeof *p);
    if (!p) {
        bp_error_memory(error, "out of memory");
        return NULL;
    }
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->changed, NULL);
    const int failed = pthread_create(&p->thread, NULL, look_ahead, p);
    if (!failed) return p;
    bp_error_io(error, "cannot start the prefetch thread: %s", strerror(failed));
    pthread_mutex_destroy(&p->lock);
    pthread_cond_destroy(&p->changed);
    free(p);
    return NULL;
}

void prefetch_free(struct prefetch *p) {
    if (!p) return;
    pthread_mutex_lock(&p->lock);
    p->ending = true;
    pthread_cond_broadcast(&p->changed);
    pthread_mutex_unlock(&p->lock);
    pthread_join(p->thread, NULL);
    pthread_mutex_destroy(&p->lock);
    pthread_cond_destroy(&p->changed);
    free(p);
}

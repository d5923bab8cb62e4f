/* throttle.c - one bucket of tokens per client (the /64 of an IPv6 address): a wrong key takes one, and time puts them back. A client without a
 * bucket has all of them. The table is a cache: each client may be in WAYS places, and the one that is nearest to full gives way to a new client, so
 * that many addresses do not make the server forget the worst of them. */
#include "server/auth/throttle.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum { SETS = 1024, WAYS = 8, MINUTE_MS = 60000 };

struct bucket {
    struct address client;
    int64_t full_at; /* ms: when all tokens are back; 0: unused */
};

struct throttle {
    pthread_mutex_t lock;
    int64_t token_ms, all_ms; /* to put back one, and all */
    uint64_t seed;
    struct bucket buckets[SETS][WAYS];
};

struct throttle *throttle_new(int64_t per_minute) {
    struct throttle *t = calloc(1, sizeof *t);
    if (!t) return NULL;
    pthread_mutex_init(&t->lock, NULL);
    t->token_ms = MINUTE_MS / per_minute > 0 ? MINUTE_MS / per_minute : 1;
    t->all_ms = t->token_ms * per_minute;
    if (getrandom(&t->seed, sizeof t->seed, 0) < 0) t->seed = (uint64_t)(uintptr_t)t;
    return t;
}

void throttle_free(struct throttle *t) {
    if (!t) return;
    pthread_mutex_destroy(&t->lock);
    free(t);
}

static struct bucket *set_of(struct throttle *t, const struct address *network) {
    uint64_t hash = 1469598103934665603u ^ t->seed; /* FNV-1a */
    for (size_t i = 0; i < sizeof network->bytes; i++) hash = (hash ^ network->bytes[i]) * 1099511628211u;
    return t->buckets[(hash >> 32) % SETS];
}

static struct bucket *find(struct bucket *set, const struct address *network) {
    for (int i = 0; i < WAYS; i++)
        if (set[i].full_at && address_same(&set[i].client, network)) return &set[i];
    return NULL;
}

int64_t throttle_wait(struct throttle *t, const struct address *client, int64_t now) {
    const struct address network = address_network(client);
    pthread_mutex_lock(&t->lock);
    const struct bucket *bucket = find(set_of(t, &network), &network);
    const int64_t missing = bucket ? bucket->full_at - now : 0; /* ms of tokens that are not back */
    pthread_mutex_unlock(&t->lock);
    const int64_t over = missing + t->token_ms - t->all_ms; /* without a whole token */
    return over > 0 ? (over + 999) / 1000 : 0;
}

void throttle_count(struct throttle *t, const struct address *client, int64_t now) {
    const struct address network = address_network(client);
    pthread_mutex_lock(&t->lock);
    struct bucket *set = set_of(t, &network), *bucket = find(set, &network);
    if (!bucket) {
        bucket = &set[0];
        for (int i = 1; i < WAYS; i++)
            if (set[i].full_at < bucket->full_at) bucket = &set[i];
        *bucket = (struct bucket){.client = network, .full_at = now};
    }
    bucket->full_at = (bucket->full_at > now ? bucket->full_at : now) + t->token_ms;
    if (bucket->full_at > now + t->all_ms) bucket->full_at = now + t->all_ms;
    pthread_mutex_unlock(&t->lock);
}

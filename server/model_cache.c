/* model_cache.c - loaded models. One mutex over the list; loading happens outside of it. */
#include "server/model_cache.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { PREDICTORS_MAX = 8 };

struct loaded {
    struct loaded *next;
    char name[STORE_NAME_SIZE];
    int64_t version;
    struct schema_model *model;
    size_t bytes;
    int users;
    bool dropped;       /* out of the list; the last user frees it */
    uint64_t used;      /* for the least recently used */
    uint64_t checked;   /* generation in which it was known to exist */
    uint64_t latest_in; /* generation in which it was known to be the latest */
    pthread_mutex_t lock;
    struct schema_predictor *predictors[PREDICTORS_MAX];
    int predictors_count;
};

struct model_cache {
    pthread_mutex_t lock;
    struct store *store;
    struct loaded *first;
    size_t bytes, bytes_max;
    uint64_t clock, generation;
};

struct model_cache *model_cache_new(struct store *store, int64_t bytes_max) {
    struct model_cache *cache = calloc(1, sizeof *cache);
    if (!cache) return NULL;
    cache->store = store;
    cache->bytes_max = (size_t)bytes_max;
    cache->generation = 1;
    pthread_mutex_init(&cache->lock, NULL);
    return cache;
}

static void loaded_free(struct loaded *l) {
    for (int i = 0; i < l->predictors_count; i++) schema_predictor_free(l->predictors[i]);
    schema_model_free(l->model);
    pthread_mutex_destroy(&l->lock);
    free(l);
}

void model_cache_free(struct model_cache *cache) {
    if (!cache) return;
    while (cache->first) {
        struct loaded *l = cache->first;
        cache->first = l->next;
        loaded_free(l);
    }
    pthread_mutex_destroy(&cache->lock);
    free(cache);
}

/* Takes l out of the list; frees it unless it is in use. Lock held. */
static void drop(struct model_cache *cache, struct loaded *l) {
    for (struct loaded **at = &cache->first; *at; at = &(*at)->next)
        if (*at == l) {
            *at = l->next;
            break;
        }
    cache->bytes -= l->bytes;
    l->dropped = true;
    if (l->users == 0) loaded_free(l);
}

static void shrink(struct model_cache *cache, const struct loaded *keep) {
    while (cache->bytes > cache->bytes_max) {
        struct loaded *oldest = NULL;
        for (struct loaded *l = cache->first; l; l = l->next)
            if (l != keep && (!oldest || l->used < oldest->used)) oldest = l;
        if (!oldest) return;
        drop(cache, oldest);
    }
}

/* A loaded model that is known to be current. Lock held. */
static struct loaded *find(struct model_cache *cache, const char *name, int64_t version) {
    for (struct loaded *l = cache->first; l; l = l->next)
        if (strcmp(l->name, name) == 0 && (version ? l->version == version && l->checked == cache->generation : l->latest_in == cache->generation))
            return l;
    return NULL;
}

static struct loaded *load(struct model_cache *cache, const char *name, int64_t version, enum store_result *result, struct bp_error *error) {
    void *bytes = NULL;
    size_t size = 0;
    *result = store_version_blob(cache->store, name, version, &bytes, &size, error);
    if (*result != STORE_OK) return NULL;
    struct loaded *l = calloc(1, sizeof *l);
    if (l) l->model = schema_model_read(bytes, size, error);
    free(bytes);
    if (!l || !l->model) {
        bp_error_memory(error, "out of memory");
        free(l);
        *result = STORE_FAILED;
        return NULL;
    }
    strncpy(l->name, name, sizeof l->name - 1);
    l->version = version;
    l->bytes = schema_model_bytes(l->model);
    pthread_mutex_init(&l->lock, NULL);
    return l;
}

enum store_result model_cache_get(struct model_cache *cache, const char *name, int64_t version, struct loaded **out, struct bp_error *error) {
    pthread_mutex_lock(&cache->lock);
    struct loaded *l = find(cache, name, version);
    if (l) {
        l->users++;
        l->used = ++cache->clock;
        pthread_mutex_unlock(&cache->lock);
        *out = l;
        return STORE_OK;
    }
    uint64_t generation = cache->generation;
    pthread_mutex_unlock(&cache->lock);

    struct store_version row = {0};
    enum store_result result = store_version_get(cache->store, name, version, &row, error);
    if (result != STORE_OK) return result;
    int64_t number = row.version;
    store_version_free(&row);

    pthread_mutex_lock(&cache->lock);
    for (l = cache->first; l; l = l->next)
        if (strcmp(l->name, name) == 0 && l->version == number) break;
    if (!l) {
        pthread_mutex_unlock(&cache->lock);
        struct loaded *fresh = load(cache, name, number, &result, error);
        if (!fresh) return result;
        pthread_mutex_lock(&cache->lock);
        for (l = cache->first; l; l = l->next)
            if (strcmp(l->name, name) == 0 && l->version == number) break;
        if (l) {
            loaded_free(fresh);
        } else {
            l = fresh;
            l->next = cache->first;
            cache->first = l;
            cache->bytes += l->bytes;
        }
    }
    l->users++;
    l->used = ++cache->clock;
    l->checked = generation;
    if (version == 0) l->latest_in = generation;
    shrink(cache, l);
    pthread_mutex_unlock(&cache->lock);
    *out = l;
    return STORE_OK;
}

void model_cache_release(struct model_cache *cache, struct loaded *l) {
    if (!l) return;
    pthread_mutex_lock(&cache->lock);
    if (--l->users == 0 && l->dropped) loaded_free(l);
    pthread_mutex_unlock(&cache->lock);
}

/* Version numbers are never reused (store.h), so a loaded model stays valid; only its existence and "latest" may change. */
void model_cache_changed(struct model_cache *cache) {
    pthread_mutex_lock(&cache->lock);
    cache->generation++;
    pthread_mutex_unlock(&cache->lock);
}

int64_t loaded_version(const struct loaded *l) {
    return l->version;
}

struct schema_predictor *loaded_take(struct loaded *l, struct bp_error *error) {
    struct schema_predictor *p = NULL;
    pthread_mutex_lock(&l->lock);
    if (l->predictors_count > 0) p = l->predictors[--l->predictors_count];
    pthread_mutex_unlock(&l->lock);
    return p ? p : schema_predictor_new(l->model, error);
}

void loaded_give(struct loaded *l, struct schema_predictor *p) {
    pthread_mutex_lock(&l->lock);
    if (l->predictors_count < PREDICTORS_MAX) {
        l->predictors[l->predictors_count++] = p;
        p = NULL;
    }
    pthread_mutex_unlock(&l->lock);
    schema_predictor_free(p);
}

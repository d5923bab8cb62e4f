/* model_cache.c - loaded models. One mutex over the list; loading happens outside of it. */
#include "server/model_cache.h"

#include "schema/memory.h"
#include "server/log.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PREDICTORS_MAX = 8, KNOWN_MAX = 4 };

/* A reference that was found to name the version: "default", "3". It still does while the store's revision is the one it was read in. */
struct known {
    char reference[STORE_NAME_SIZE];
    uint64_t revision;
};

struct loaded {
    struct loaded *next;
    struct model_cache *cache;
    char name[STORE_NAME_SIZE];
    int64_t version, calibration; /* and how often its calibration was changed */
    struct schema_model *model;
    size_t bytes; /* with those of its predictors; by the lock of the cache */
    int users;
    bool dropped;  /* out of the list; the last user frees it */
    uint64_t used; /* for the least recently used */
    struct known known[KNOWN_MAX];
    int known_next; /* the one to replace */
    pthread_mutex_t lock;
    double piece_ms; /* see loaded_cost; 0: not measured yet */
    struct histogram durations;
    struct schema_predictor *predictors[PREDICTORS_MAX];
    int predictors_count;
};

/* What a reference names. */
struct named {
    const char *model;
    int64_t version, calibration;
};

struct model_cache {
    pthread_mutex_t lock;
    struct store *store;
    struct loaded *first;
    size_t bytes, bytes_max;
    uint64_t clock, deletions;
    int64_t loads, evictions;
};

struct model_cache *model_cache_new(struct store *store, int64_t bytes_max) {
    struct model_cache *cache = calloc(1, sizeof *cache);
    if (!cache) return NULL;
    cache->store = store;
    cache->bytes_max = (size_t)bytes_max;
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
        cache->evictions++;
        drop(cache, oldest);
    }
}

void model_cache_limit(struct model_cache *cache, int64_t bytes_max) {
    pthread_mutex_lock(&cache->lock);
    cache->bytes_max = (size_t)bytes_max;
    shrink(cache, NULL);
    pthread_mutex_unlock(&cache->lock);
}

/* A loaded model that the reference is known to name. Lock held. An odd revision: versions change just now. */
static struct loaded *find(struct model_cache *cache, const char *name, const char *reference) {
    const uint64_t revision = store_versions_revision(cache->store);
    for (struct loaded *l = revision % 2 ? NULL : cache->first; l; l = l->next)
        for (int i = 0; i < KNOWN_MAX && strcmp(l->name, name) == 0; i++)
            if (l->known[i].reference[0] && l->known[i].revision == revision && strcmp(l->known[i].reference, reference) == 0) return l;
    return NULL;
}

/* Lock held. */
static void know(struct loaded *l, const char *reference, uint64_t revision) {
    int at = l->known_next;
    for (int i = 0; i < KNOWN_MAX; i++)
        if (strcmp(l->known[i].reference, reference) == 0) at = i;
    if (at == l->known_next) l->known_next = (at + 1) % KNOWN_MAX;
    snprintf(l->known[at].reference, sizeof l->known[at].reference, "%s", reference);
    l->known[at].revision = revision;
}

static const char *reference_or_default(const char *reference) {
    return reference && *reference ? reference : STORE_ALIAS_DEFAULT;
}

/* What the store has counts, whatever is in the model file. */
static int calibrate(struct schema_model *model, const char *document, struct bp_error *error) {
    json_t *json = document ? schema_json_load(document, strlen(document), 0, NULL) : NULL;
    if (document && !json) return bp_error_set(error, "", "the calibration of the version is damaged; remove it, and calibrate again");
    const int failed = schema_model_calibrate(model, json, error);
    json_decref(json);
    return failed;
}

static struct loaded *load(struct model_cache *cache, const char *name, int64_t version, enum store_result *result, struct bp_error *error) {
    void *bytes = NULL;
    size_t size = 0;
    struct store_calibration calibration = {0};
    *result = store_version_blob(cache->store, name, version, &bytes, &size, error);
    if (*result == STORE_OK) *result = store_calibration_get(cache->store, name, version, &calibration, error);
    struct loaded *l = *result == STORE_OK ? calloc(1, sizeof *l) : NULL;
    if (l && (l->model = schema_model_read(bytes, size, error)) && calibrate(l->model, calibration.document, error) != 0) {
        schema_model_free(l->model);
        l->model = NULL;
    }
    if (l) l->calibration = calibration.change;
    store_calibration_free(&calibration);
    free(bytes);
    if (*result != STORE_OK) return NULL;
    if (!l || !l->model) {
        bp_error_memory(error, "out of memory");
        free(l);
        *result = STORE_FAILED;
        return NULL;
    }
    strncpy(l->name, name, sizeof l->name - 1);
    l->version = version;
    l->cache = cache;
    l->bytes = schema_model_bytes(l->model);
    if (log_wants(LOG_DEBUG)) {
        char number[24], memory[24];
        snprintf(number, sizeof number, "%lld", (long long)version);
        snprintf(memory, sizeof memory, "%zu", l->bytes);
        log_line(LOG_DEBUG, "model_loaded", "model", name, "version", number, "bytes", memory, NULL);
    }
    pthread_mutex_init(&l->lock, NULL);
    return l;
}

struct loaded *model_cache_find(struct model_cache *cache, const char *name, const char *reference) {
    pthread_mutex_lock(&cache->lock);
    struct loaded *l = find(cache, name, reference_or_default(reference));
    if (l) {
        l->users++;
        l->used = ++cache->clock;
    }
    pthread_mutex_unlock(&cache->lock);
    return l;
}

/* With the calibration that it has now, or a newer one. Lock held. */
static struct loaded *loaded_version_of(struct model_cache *cache, const struct named *named) {
    for (struct loaded *l = cache->first; l; l = l->next)
        if (strcmp(l->name, named->model) == 0 && l->version == named->version && l->calibration >= named->calibration) return l;
    return NULL;
}

/* Those with an older calibration go. Lock held. */
static void drop_older(struct model_cache *cache, const struct loaded *fresh) {
    for (struct loaded *l = cache->first, *next; l; l = next) {
        next = l->next;
        if (l != fresh && strcmp(l->name, fresh->name) == 0 && l->version == fresh->version && l->calibration <= fresh->calibration) drop(cache, l);
    }
}

/* The version, loaded if need be, with one more user. Called with the lock held, which is released while it loads. */
static struct loaded *use(struct model_cache *cache, const struct named *named, enum store_result *result, struct bp_error *error) {
    struct loaded *l = loaded_version_of(cache, named);
    if (!l) {
        const uint64_t deletions = cache->deletions;
        pthread_mutex_unlock(&cache->lock);
        struct loaded *fresh = load(cache, named->model, named->version, result, error);
        pthread_mutex_lock(&cache->lock);
        if (!fresh) return NULL;
        if ((l = loaded_version_of(cache, named))) {
            loaded_free(fresh);
        } else if (cache->deletions != deletions) { /* it may have been deleted in between: for this request only */
            l = fresh;
            l->dropped = true;
        } else {
            l = fresh;
            l->next = cache->first;
            cache->first = l;
            cache->bytes += l->bytes;
            cache->loads++;
            drop_older(cache, l);
        }
    }
    l->users++;
    l->used = ++cache->clock;
    return l;
}

/* Between the look at the alias and the load, the alias may move and the version be deleted: then the alias is looked at again. */
enum store_result model_cache_get(struct model_cache *cache, const char *name, const char *reference, struct loaded **out, struct bp_error *error) {
    enum { TRIES = 20 };
    reference = reference_or_default(reference);
    if ((*out = model_cache_find(cache, name, reference))) return STORE_OK;
    enum store_result result = STORE_NOT_FOUND;
    for (int i = 0; i < TRIES && result == STORE_NOT_FOUND; i++) {
        struct named named = {.model = name};
        *error = (struct bp_error){0};
        const uint64_t revision = store_versions_revision(cache->store);
        if ((result = store_version_locate(cache->store, name, reference, &named.version, &named.calibration, error)) != STORE_OK) return result;
        pthread_mutex_lock(&cache->lock);
        struct loaded *l = use(cache, &named, &result, error);
        if (l) {
            if (revision % 2 == 0) know(l, reference, revision);
            shrink(cache, l);
        }
        pthread_mutex_unlock(&cache->lock);
        *out = l;
    }
    return result;
}

void model_cache_release(struct model_cache *cache, struct loaded *l) {
    if (!l) return;
    pthread_mutex_lock(&cache->lock);
    if (--l->users == 0 && l->dropped) loaded_free(l);
    pthread_mutex_unlock(&cache->lock);
}

void model_cache_deleted(struct model_cache *cache, const char *model, int64_t version) {
    pthread_mutex_lock(&cache->lock);
    cache->deletions++;
    for (struct loaded *l = cache->first, *next; l; l = next) {
        next = l->next;
        if (strcmp(l->name, model) == 0 && (version == 0 || l->version == version)) drop(cache, l);
    }
    pthread_mutex_unlock(&cache->lock);
}

const struct schema_model *loaded_model(const struct loaded *l) {
    return l->model;
}

int64_t loaded_version(const struct loaded *l) {
    return l->version;
}

/* The least of the recent ones: a thread that had to wait for a processor has measured too much. */
void loaded_measured(struct loaded *l, int64_t pieces, double ms) {
    const double piece_ms = ms / (double)(pieces + 1);
    histogram_add(&l->durations, histogram_request_bounds, (int64_t)(ms * 1e6));
    pthread_mutex_lock(&l->lock);
    if (l->piece_ms <= 0 || piece_ms < 1.05 * l->piece_ms) l->piece_ms = piece_ms;
    else l->piece_ms *= 1.05;
    pthread_mutex_unlock(&l->lock);
}

double loaded_cost(struct loaded *l, int64_t pieces) {
    pthread_mutex_lock(&l->lock);
    const double ms = l->piece_ms > 0 ? l->piece_ms * (double)(pieces + 1) : HUGE_VAL;
    pthread_mutex_unlock(&l->lock);
    return ms;
}

/* A predictor was made, or is to be freed. */
static void count(struct loaded *l, int64_t bytes) {
    pthread_mutex_lock(&l->cache->lock);
    l->bytes = (size_t)((int64_t)l->bytes + bytes);
    if (!l->dropped) l->cache->bytes = (size_t)((int64_t)l->cache->bytes + bytes);
    if (bytes > 0) shrink(l->cache, l);
    pthread_mutex_unlock(&l->cache->lock);
}

struct schema_predictor *loaded_take(struct loaded *l, struct bp_error *error) {
    struct schema_predictor *p = NULL;
    pthread_mutex_lock(&l->lock);
    if (l->predictors_count > 0) p = l->predictors[--l->predictors_count];
    pthread_mutex_unlock(&l->lock);
    if (!p && (p = schema_predictor_new(l->model, error))) count(l, (int64_t)schema_predictor_bytes(p));
    return p;
}

void loaded_give(struct loaded *l, struct schema_predictor *p) {
    pthread_mutex_lock(&l->lock);
    if (l->predictors_count < PREDICTORS_MAX) {
        l->predictors[l->predictors_count++] = p;
        p = NULL;
    }
    pthread_mutex_unlock(&l->lock);
    if (p) count(l, -(int64_t)schema_predictor_bytes(p));
    schema_predictor_free(p);
}

int model_cache_statistics(struct model_cache *cache, struct model_cache_statistics *statistics, struct model_statistics *models, int models_room) {
    struct loaded **last = calloc((size_t)models_room + 1, sizeof *last);
    int count = 0;
    pthread_mutex_lock(&cache->lock);
    *statistics = (struct model_cache_statistics){
        .bytes = (int64_t)cache->bytes, .bytes_max = (int64_t)cache->bytes_max, .loads = cache->loads, .evictions = cache->evictions};
    for (struct loaded *l = cache->first; l; l = l->next) {
        statistics->models++;
        int at = last ? count : -1;
        for (; at > 0 && last[at - 1]->used < l->used; at--) last[at] = last[at - 1];
        if (at >= 0) last[at] = l;
        if (at >= 0 && count < models_room) count++;
    }
    for (int i = 0; i < count; i++) {
        memcpy(models[i].name, last[i]->name, sizeof models[i].name);
        models[i].version = last[i]->version;
        histogram_read(&last[i]->durations, &models[i].durations);
    }
    pthread_mutex_unlock(&cache->lock);
    free(last);
    return count;
}

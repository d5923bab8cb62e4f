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

struct registry {
    pthread_mutex_t lock;
    struct store *store;
    struct loaded *first;
    size_t bytes, bytes_max;
    uint64_t clock, generation;
};

struct registry *registry_new(struct store *store, int64_t bytes_max) {
    struct registry *registry = calloc(1, sizeof *registry);
    if (!registry) return NULL;
    registry->store = store;
    registry->bytes_max = (size_t)bytes_max;
    registry->generation = 1;
    pthread_mutex_init(&registry->lock, NULL);
    return registry;
}

static void loaded_free(struct loaded *l) {
    for (int i = 0; i < l->predictors_count; i++) schema_predictor_free(l->predictors[i]);
    schema_model_free(l->model);
    pthread_mutex_destroy(&l->lock);
    free(l);
}

void registry_free(struct registry *registry) {
    if (!registry) return;
    while (registry->first) {
        struct loaded *l = registry->first;
        registry->first = l->next;
        loaded_free(l);
    }
    pthread_mutex_destroy(&registry->lock);
    free(registry);
}

/* Takes l out of the list; frees it unless it is in use. Lock held. */
static void drop(struct registry *registry, struct loaded *l) {
    for (struct loaded **at = &registry->first; *at; at = &(*at)->next)
        if (*at == l) {
            *at = l->next;
            break;
        }
    registry->bytes -= l->bytes;
    l->dropped = true;
    if (l->users == 0) loaded_free(l);
}

static void shrink(struct registry *registry, const struct loaded *keep) {
    while (registry->bytes > registry->bytes_max) {
        struct loaded *oldest = NULL;
        for (struct loaded *l = registry->first; l; l = l->next)
            if (l != keep && (!oldest || l->used < oldest->used)) oldest = l;
        if (!oldest) return;
        drop(registry, oldest);
    }
}

/* A loaded model that is known to be current. Lock held. */
static struct loaded *find(struct registry *registry, const char *name, int64_t version) {
    for (struct loaded *l = registry->first; l; l = l->next)
        if (strcmp(l->name, name) == 0 &&
            (version ? l->version == version && l->checked == registry->generation : l->latest_in == registry->generation))
            return l;
    return NULL;
}

static struct loaded *load(struct registry *registry, const char *name, int64_t version, enum store_result *result, struct bp_error *error) {
    void *bytes = NULL;
    size_t size = 0;
    *result = store_version_blob(registry->store, name, version, &bytes, &size, error);
    if (*result != STORE_OK) return NULL;
    struct loaded *l = calloc(1, sizeof *l);
    if (l) l->model = schema_model_read(bytes, size, error);
    free(bytes);
    if (!l || !l->model) {
        bp_error_set(error, "", "out of memory");
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

enum store_result registry_get(struct registry *registry, const char *name, int64_t version, struct loaded **out, struct bp_error *error) {
    pthread_mutex_lock(&registry->lock);
    struct loaded *l = find(registry, name, version);
    if (l) {
        l->users++;
        l->used = ++registry->clock;
        pthread_mutex_unlock(&registry->lock);
        *out = l;
        return STORE_OK;
    }
    uint64_t generation = registry->generation;
    pthread_mutex_unlock(&registry->lock);

    struct store_version row = {0};
    enum store_result result = store_version_get(registry->store, name, version, &row, error);
    if (result != STORE_OK) return result;
    int64_t number = row.version;
    store_version_free(&row);

    pthread_mutex_lock(&registry->lock);
    for (l = registry->first; l; l = l->next)
        if (strcmp(l->name, name) == 0 && l->version == number) break;
    if (!l) {
        pthread_mutex_unlock(&registry->lock);
        struct loaded *fresh = load(registry, name, number, &result, error);
        if (!fresh) return result;
        pthread_mutex_lock(&registry->lock);
        for (l = registry->first; l; l = l->next)
            if (strcmp(l->name, name) == 0 && l->version == number) break;
        if (l) {
            loaded_free(fresh);
        } else {
            l = fresh;
            l->next = registry->first;
            registry->first = l;
            registry->bytes += l->bytes;
        }
    }
    l->users++;
    l->used = ++registry->clock;
    l->checked = generation;
    if (version == 0) l->latest_in = generation;
    shrink(registry, l);
    pthread_mutex_unlock(&registry->lock);
    *out = l;
    return STORE_OK;
}

void registry_release(struct registry *registry, struct loaded *l) {
    if (!l) return;
    pthread_mutex_lock(&registry->lock);
    if (--l->users == 0 && l->dropped) loaded_free(l);
    pthread_mutex_unlock(&registry->lock);
}

/* Version numbers never come back (store.h), so what is loaded stays right; only its existence and "latest" are in doubt. */
void registry_changed(struct registry *registry) {
    pthread_mutex_lock(&registry->lock);
    registry->generation++;
    pthread_mutex_unlock(&registry->lock);
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

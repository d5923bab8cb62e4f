/* model_cache.h - models loaded for predictions: constant, shared by all threads, within a memory limit, evicted least recently used first. */
#ifndef SERVER_MODEL_CACHE_H
#define SERVER_MODEL_CACHE_H

#include "schema/predict/predict.h"
#include "server/histogram.h"
#include "server/store/store.h"

struct model_cache;
struct loaded;

struct model_cache *model_cache_new(struct store *store, int64_t bytes_max);
/* Evicts what no longer fits. */
void model_cache_limit(struct model_cache *cache, int64_t bytes_max);
void model_cache_free(struct model_cache *cache);

/* The version that the reference names (a number, "latest", an alias; NULL or "": the alias "default"), if it is loaded and known to be that, without
 * asking the store; else NULL. Give it back with model_cache_release. A caller that has it goes on with it whatever happens to the alias or to the
 * version. */
struct loaded *model_cache_find(struct model_cache *cache, const char *model, const char *reference);
/* The same, loaded if need be. After a commit that moves an alias, no call gives the version of before. */
enum store_result model_cache_get(struct model_cache *cache, const char *model, const char *reference, struct loaded **loaded,
                                  struct bp_error *error);
void model_cache_release(struct model_cache *cache, struct loaded *loaded);
/* A version (0: a model with all of them) was deleted, or may have been: its memory is given back once no request uses it. */
void model_cache_deleted(struct model_cache *cache, const char *model, int64_t version);

/* A request of so many pieces (arrays and objects in its body) took so long. */
void loaded_measured(struct loaded *loaded, int64_t pieces, double ms);
/* What one of so many will take by that, ms; infinite before the first. */
double loaded_cost(struct loaded *loaded, int64_t pieces);
int64_t loaded_version(const struct loaded *loaded);
/* Constant; as long as it is not released. */
const struct schema_model *loaded_model(const struct loaded *loaded);
/* A predictor for one call; NULL without memory. */
struct schema_predictor *loaded_take(struct loaded *loaded, struct bp_error *error);
void loaded_give(struct loaded *loaded, struct schema_predictor *predictor);

/* What is loaded, for /metrics. The models used last, at most `models_room` of them, go to `models`; returns how many. */
struct model_cache_statistics {
    int64_t models, bytes, bytes_max, loads, evictions;
};
struct model_statistics {
    char name[STORE_NAME_SIZE];
    int64_t version;
    struct histogram_values durations; /* of predictions */
};
int model_cache_statistics(struct model_cache *cache, struct model_cache_statistics *statistics, struct model_statistics *models, int models_room);

#endif

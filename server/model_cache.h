/* model_cache.h - models loaded for predictions: constant, shared by all threads, within a memory limit, evicted least recently used first. */
#ifndef SERVER_MODEL_CACHE_H
#define SERVER_MODEL_CACHE_H

#include "schema/predict/predict.h"
#include "server/store/store.h"

struct model_cache;
struct loaded;

struct model_cache *model_cache_new(struct store *store, int64_t bytes_max);
void model_cache_free(struct model_cache *cache);

/* The model's version (0: the latest), loaded if need be. Give it back with model_cache_release. */
enum store_result model_cache_get(struct model_cache *cache, const char *model, int64_t version, struct loaded **loaded, struct bp_error *error);
void model_cache_release(struct model_cache *cache, struct loaded *loaded);
/* Versions were added or deleted: "latest" and existence are looked up again. */
void model_cache_changed(struct model_cache *cache);

int64_t loaded_version(const struct loaded *loaded);
/* A predictor for one call; NULL without memory. */
struct schema_predictor *loaded_take(struct loaded *loaded, struct bp_error *error);
void loaded_give(struct loaded *loaded, struct schema_predictor *predictor);

#endif

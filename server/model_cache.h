/* model_cache.h - models loaded for predictions: constant, shared by all threads, kept within a limit of memory, least recently used out first. */
#ifndef SERVER_LOADED_MODELS_H
#define SERVER_LOADED_MODELS_H

#include "schema/predict/predict.h"
#include "server/store/store.h"

struct registry;
struct loaded;

struct registry *registry_new(struct store *store, int64_t bytes_max);
void registry_free(struct registry *registry);

/* The model's version (0: the latest), loaded if need be. Give it back with registry_release. */
enum store_result registry_get(struct registry *registry, const char *model, int64_t version, struct loaded **loaded, struct bp_error *error);
void registry_release(struct registry *registry, struct loaded *loaded);
/* Versions came or went: what "latest" means, and what exists, is asked anew. */
void registry_changed(struct registry *registry);

int64_t loaded_version(const struct loaded *loaded);
/* A predictor for one call; NULL without memory. */
struct schema_predictor *loaded_take(struct loaded *loaded, struct bp_error *error);
void loaded_give(struct loaded *loaded, struct schema_predictor *predictor);

#endif

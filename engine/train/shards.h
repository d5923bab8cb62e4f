/* shards.h - private to the trainer: the same work on a fixed number of persistent threads, one call at a time. */
#ifndef BP_SHARDS_H
#define BP_SHARDS_H

#include "engine/base/base.h"

struct bp_shards;

/* `count` shards: the caller's own thread is shard 0, the others get a thread each. NULL: no memory, or no threads. */
struct bp_shards *bp_shards_new(int32_t count);
void bp_shards_free(struct bp_shards *shards);
/* work(context, shard) for every shard, each in its thread; returns when all are done. With one shard it is a plain call. */
void bp_shards_run(struct bp_shards *shards, void (*work)(void *context, int32_t shard), void *context);

#endif

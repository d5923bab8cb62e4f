/* prefetch.h - data larger than memory: a separate thread prefetches the next window of samples and releases the previous one. */
#ifndef SERVER_PREFETCH_H
#define SERVER_PREFETCH_H

#include "schema/training/source.h"

struct prefetch;

/* Starts the thread. NULL with error set. */
struct prefetch *prefetch_new(struct bp_error *error);
void prefetch_free(struct prefetch *prefetch);
/* From now on the source (at most two sources), which outlives the prefetch, reports what it will read. */
void prefetch_watch(struct prefetch *prefetch, const struct schema_source *source, struct bp_source *batches);

#endif

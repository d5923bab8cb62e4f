/* cache.h - files of datasets on a node, by the SHA-256 of their content: a dataset is sent once per node, whatever job needs it. Any number of
 * processes use one folder. A file appears under its name when it is complete and its digest is right, and never changes; the least recently used
 * ones are removed when there are too many. One that is removed while a job reads it stays until that job ends. */
#ifndef SERVER_CACHE_H
#define SERVER_CACHE_H

#include "server/remote/object.h"

struct cache {
    char folder[400];
    int64_t bytes_max; /* of all files in it; 0: no limit */
};

/* The folder, which is made if missing; "": one in $XDG_CACHE_HOME, or in /var/tmp, for this user. -1 with the error. */
int cache_open(struct cache *cache, const char *folder, int64_t bytes_max, struct bp_error *error);
/* The file with this digest and size, read only, the caller's; -1: it is not there. */
int cache_find(const struct cache *cache, const char *digest, int64_t bytes);
/* A new file without a name in the folder, to write and read, the caller's. -1 with the error. */
int cache_new(const struct cache *cache, struct bp_error *error);
/* Gives a complete file of cache_new its name. A failure is no error: the file is used all the same, and is not found the next time. */
void cache_keep(const struct cache *cache, int fd, const char *digest);

#endif

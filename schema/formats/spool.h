/* spool.h - keeps an upload until it is complete, for formats that have to be read across: a small one in memory, a larger one in an unlinked file
 * beside the dataset, which is then mapped. Private to formats/. */
#ifndef SCHEMA_SPOOL_H
#define SCHEMA_SPOOL_H

#include "schema/json/problems.h"

/* Zero-initialise with fd = -1; free with spool_close. */
struct spool {
    int fd; /* -1: none yet */
    int beside;
    char *memory; /* what is not yet in the file */
    size_t memory_size, size;
    char *mapped;
    const char *start, *end; /* after spool_map: all of it */
};

/* beside: the file of the dataset being written. */
int spool_open(struct spool *spool, int beside, struct schema_problems *problems);
int spool_add(struct spool *spool, const char *bytes, size_t size, struct schema_problems *problems);
int spool_map(struct spool *spool, struct schema_problems *problems);
/* Gives the pages of [from, to) back to the system; they are read again when needed. */
void spool_release(const struct spool *spool, const char *from, const char *to);
void spool_close(struct spool *spool);

#endif

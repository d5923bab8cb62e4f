/* map_guard.h - files that get shorter while they are mapped. Reading beyond the new end raises SIGBUS (mmap(2)), which would end the process. With
 * the handler installed the page reads as zeros instead, and the mapping is marked: a reader checks `cut` before it uses what it read. */
#ifndef SCHEMA_MAP_GUARD_H
#define SCHEMA_MAP_GUARD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

struct map_guard {
    const unsigned char *start;
    size_t size;
    atomic_bool cut; /* some page was missing when it was read */
    int slot;        /* private; -1: not guarded */
};

/* Installs the handler for this process; once. A SIGBUS elsewhere ends the process as before. */
void map_guard_install(void);
/* The mapping of size bytes, at a page boundary, is guarded until it is removed, before it is unmapped. Beyond some thousand mappings at once further
 * ones are not guarded. */
void map_guard_add(struct map_guard *guard, const void *start, size_t size);
void map_guard_remove(struct map_guard *guard);

#endif

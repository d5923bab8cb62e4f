/* memory_malloc.c - what the linker puts in the place of malloc and its kin (--wrap, in the Makefile): they note a failure. A program that is linked
 * without it does not take this file from the library. */
#include "schema/memory.h"

#include <stddef.h>

#define WATCH(result, name, parameters, arguments)                                                                                                   \
    result __real_##name parameters;                                                                                                                 \
    result __wrap_##name parameters;                                                                                                                 \
    result __wrap_##name parameters {                                                                                                                \
        result block = __real_##name arguments;                                                                                                      \
        if (!block) schema_memory_note();                                                                                                            \
        return block;                                                                                                                                \
    }
WATCH(void *, malloc, (size_t size), (size))
WATCH(void *, calloc, (size_t count, size_t size), (count, size))
WATCH(void *, realloc, (void *old, size_t size), (old, size))
WATCH(void *, reallocarray, (void *old, size_t count, size_t size), (old, count, size))
WATCH(void *, aligned_alloc, (size_t alignment, size_t size), (alignment, size))
WATCH(char *, strdup, (const char *text), (text))
WATCH(char *, strndup, (const char *text, size_t size), (text, size))

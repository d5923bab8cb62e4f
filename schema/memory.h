/* memory.h - whether memory ran out during a piece of work. Every allocation of the program is watched (the Makefile links malloc and its kin to the
 * wrappers in memory_malloc.c), so that the code responsible for the work checks once at its end, instead of relying on each of many calls to have
 * reported it: a request then gets 503, whatever its handler returned.
 *
 * jansson needs more. A call that could not build a value gives NULL, which the calls that put one value into another take without a word, so that a
 * document lacks a part; and its reader goes beyond a buffer that it could not let grow (2.14, lex_scan_string). What malloc refuses to jansson
 * therefore comes from a small reserve, so that every call succeeds, and the document is discarded afterwards. */
#ifndef SCHEMA_MEMORY_H
#define SCHEMA_MEMORY_H

#include <jansson.h>
#include <stdbool.h>

/* Once, before other threads and before the first JSON. */
void schema_memory_watch(void);
/* Of memory_malloc.c: an allocation has failed. */
void schema_memory_note(void);
/* Begins a piece of work in this thread: what failed before does not count. */
void schema_memory_begin(void);
/* Whether an allocation has failed in this thread since then. */
bool schema_memory_failed(void);
/* json_loadb, but NULL when memory has run out while it read, with json_error_out_of_memory as the code of the error (which may be NULL). The
 * caller's. */
json_t *schema_json_load(const char *bytes, size_t size, size_t flags, json_error_t *error);
/* json_dumps, but NULL when jansson has run out of memory since the work began, as a part of the value may be missing. The caller's: free. */
char *schema_json_dump(const json_t *json, size_t flags);

#endif

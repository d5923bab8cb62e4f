/* memory.c - see memory.h. The reserve is a stack of blocks in static memory, which takes none until it is used; it starts again from its beginning
 * whenever all of its blocks are free. */
#include "schema/memory.h"

#include <jansson.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

enum { RESERVE = 4 << 20, ALIGNMENT = alignof(max_align_t) };

static _Thread_local bool failed, json_failed;
static alignas(max_align_t) unsigned char reserve[RESERVE];
static size_t used, blocks;
static atomic_flag lock = ATOMIC_FLAG_INIT; /* held for a few instructions, and only when memory is out */

static void take_lock(void) {
    while (atomic_flag_test_and_set_explicit(&lock, memory_order_acquire)) continue;
}

static void release_lock(void) {
    atomic_flag_clear_explicit(&lock, memory_order_release);
}

static void *from_reserve(size_t size) {
    const size_t whole = (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    void *block = NULL;
    take_lock();
    if (size <= RESERVE && whole <= RESERVE - used) {
        block = reserve + used;
        used += whole;
        blocks++;
    }
    release_lock();
    return block;
}

static void *watched_malloc(size_t size) {
    void *block = malloc(size);
    if (block) return block;
    json_failed = true;
    return from_reserve(size);
}

static void watched_free(void *block) {
    if (!block) return;
    const uintptr_t at = (uintptr_t)block, first = (uintptr_t)reserve;
    if (at < first || at >= first + RESERVE) {
        free(block);
        return;
    }
    take_lock();
    if (--blocks == 0) used = 0;
    release_lock();
}

void schema_memory_watch(void) {
    json_set_alloc_funcs(watched_malloc, watched_free);
}

void schema_memory_note(void) {
    failed = true;
}

void schema_memory_begin(void) {
    failed = json_failed = false;
}

bool schema_memory_failed(void) {
    return failed || json_failed;
}

json_t *schema_json_load(const char *bytes, size_t size, size_t flags, json_error_t *error) {
    const bool before = json_failed;
    json_failed = false;
    json_t *json = json_loadb(bytes, size, flags, error);
    const bool good = !json_failed;
    json_failed = json_failed || before;
    if (good) return json;
    json_decref(json);
    if (!error) return NULL;
    *error = (json_error_t){.text = "out of memory"};
    error->text[JSON_ERROR_TEXT_LENGTH - 1] = json_error_out_of_memory; /* where json_error_code looks */
    return NULL;
}

char *schema_json_dump(const json_t *json, size_t flags) {
    char *text = json_dumps(json, flags);
    if (!json_failed) return text;
    watched_free(text);
    return NULL;
}

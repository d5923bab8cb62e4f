/* cell_dictionary.c - a hash table of texts, numbered in order of appearance. */
#include "schema/dataset/cell_dictionary.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

__extension__ typedef unsigned __int128 wide;

static uint64_t mix(uint64_t a, uint64_t b) {
    wide product = (wide)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* Eight bytes at a time, each multiplied into the state, as wyhash does. */
static uint64_t hash_of(const struct schema_dictionary *d, const char *key, size_t size) {
    uint64_t state = d->seed ^ size, word;
    for (; size >= 8; key += 8, size -= 8) {
        memcpy(&word, key, 8);
        state = mix(state ^ word, d->seed ^ UINT64_C(0xe7037ed1a0b428db));
    }
    word = 0;
    memcpy(&word, key, size);
    return mix(state ^ word, d->seed ^ UINT64_C(0xa0761d6478bd642f));
}

int32_t schema_dictionary_find(const struct schema_dictionary *d, const char *key, size_t size) {
    if (d->count == 0) return -1;
    uint64_t hash = hash_of(d, key, size);
    for (uint32_t slot = (uint32_t)hash & (d->table_size - 1); d->table[slot]; slot = (slot + 1) & (d->table_size - 1)) {
        const struct schema_dictionary_entry *e = &d->entries[d->table[slot] - 1];
        if (e->hash == hash && e->key_size == size && memcmp(d->bytes + e->key_at, key, size) == 0) return d->table[slot] - 1;
    }
    return -1;
}

static void put(struct schema_dictionary *d, int32_t index) {
    uint32_t slot = (uint32_t)d->entries[index].hash & (d->table_size - 1);
    while (d->table[slot]) slot = (slot + 1) & (d->table_size - 1);
    d->table[slot] = index + 1;
}

/* Makes space for one more entry; the table is at most half full. */
static bool grow(struct schema_dictionary *d) {
    if (d->count < d->room) return true;
    if (d->room > INT32_MAX / 4) return false;
    int32_t room = d->room ? d->room * 2 : 16;
    if (!d->seed && (getrandom(&d->seed, sizeof d->seed, 0) != sizeof d->seed || !d->seed)) d->seed = UINT64_C(0x9E3779B97F4A7C15);
    struct schema_dictionary_entry *entries = realloc(d->entries, (size_t)room * sizeof *entries);
    if (!entries) return false;
    d->entries = entries;
    int32_t *table = calloc((size_t)room * 2, sizeof *table);
    if (!table) return false;
    free(d->table);
    d->table = table, d->table_size = (uint32_t)room * 2, d->room = room;
    for (int32_t i = 0; i < d->count; i++) put(d, i);
    return true;
}

static bool keep(struct schema_dictionary *d, const char *text, size_t size, size_t *at) {
    if (d->bytes_size + size + 1 > d->bytes_room) {
        size_t room = d->bytes_room * 2 > d->bytes_size + size + 1 ? d->bytes_room * 2 : d->bytes_size + size + 64;
        char *bytes = realloc(d->bytes, room);
        if (!bytes) return false;
        d->bytes = bytes, d->bytes_room = room;
    }
    *at = d->bytes_size;
    memcpy(d->bytes + d->bytes_size, text, size);
    d->bytes[d->bytes_size + size] = '\0';
    d->bytes_size += size + 1;
    return true;
}

int32_t schema_dictionary_add(struct schema_dictionary *d, const char *key, size_t size, const char *value, size_t value_size) {
    if (size > UINT32_MAX || value_size > UINT32_MAX || !grow(d)) return -1;
    struct schema_dictionary_entry e = {.hash = hash_of(d, key, size), .key_size = (uint32_t)size, .value_size = (uint32_t)value_size};
    if (!keep(d, key, size, &e.key_at)) return -1;
    if (value_size == size && memcmp(key, value, size) == 0) e.value_at = e.key_at;
    else if (!keep(d, value, value_size, &e.value_at)) return -1;
    d->entries[d->count] = e;
    put(d, d->count);
    return d->count++;
}

const char *schema_dictionary_value(const struct schema_dictionary *d, int32_t index) {
    return d->bytes + d->entries[index].value_at;
}

void schema_dictionary_clear(struct schema_dictionary *d) {
    free(d->entries);
    free(d->table);
    free(d->bytes);
    memset(d, 0, sizeof *d);
}

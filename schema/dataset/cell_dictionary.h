/* cell_dictionary.h - numbers distinct texts in order of appearance: category dictionaries, column names. Private to schema/.
 *
 * Hashing is seeded at random, so that no client can send a column in which everything collides; the numbering does not depend on it. */
#ifndef SCHEMA_CELL_DICTIONARY_H
#define SCHEMA_CELL_DICTIONARY_H

#include <stddef.h>
#include <stdint.h>

struct schema_dictionary_entry {
    uint64_t hash;
    size_t key_at, value_at; /* into bytes */
    uint32_t key_size, value_size;
};

/* Zero-initialise; free with schema_dictionary_clear. */
struct schema_dictionary {
    struct schema_dictionary_entry *entries;
    int32_t count, room;
    int32_t *table;      /* open addressing: index + 1, 0 is free */
    uint32_t table_size; /* a power of two */
    char *bytes;         /* keys and values, each NUL-terminated */
    size_t bytes_size, bytes_room;
    uint64_t seed;
};

/* Index of the key, -1 when it is not there. */
int32_t schema_dictionary_find(const struct schema_dictionary *dictionary, const char *key, size_t size);
/* Adds a key that is not there yet, with the text to show for it; returns its index, -1 without memory. */
int32_t schema_dictionary_add(struct schema_dictionary *dictionary, const char *key, size_t size, const char *value, size_t value_size);
/* Borrowed until the next add. */
const char *schema_dictionary_value(const struct schema_dictionary *dictionary, int32_t index);
void schema_dictionary_clear(struct schema_dictionary *dictionary);

#endif

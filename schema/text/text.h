/* text.h - small tools for text: a growing buffer with a maximum, JSON pieces written straight into it, the nearest known name. */
#ifndef SCHEMA_TEXT_H
#define SCHEMA_TEXT_H

#include "engine/base/base.h"

/* Text that grows up to `limit` bytes. Zero-initialise with the limit set. A failed append sets `failed` and later ones do nothing, so
 * that a writer checks once, at the end. */
struct schema_text {
    char *bytes; /* NUL-terminated once anything was appended; the owner frees it */
    size_t size, capacity, limit;
    bool failed;
};

void schema_text_add(struct schema_text *text, const char *bytes, size_t size);
/* Space for `more` bytes behind the text, for the caller to write and to count in `size`, as it does the NUL behind them; NULL: failed. */
char *schema_text_room(struct schema_text *text, size_t more);
void schema_text_string(struct schema_text *text, const char *string);
/* The last byte, NUL when there is none. */
char schema_text_last(const struct schema_text *text);
void schema_text_format(struct schema_text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A JSON string with its quotes. Invalid UTF-8 must not get here. */
void schema_text_json_string(struct schema_text *text, const char *string);
/* A float32 value with 9 digits; null when it is not finite. */
void schema_text_json_float(struct schema_text *text, double value);
/* A double that reads back exactly; null when it is not finite. */
void schema_text_json_double(struct schema_text *text, double value);

/* Of the count names that at(context, i) gives, the one a person most likely meant by `name`: the smallest edit distance, at most a third of its
 * length (at least 1, ignoring case); NULL when none is near. */
const char *schema_nearest(const char *name, const char *(*at)(const void *context, int32_t i), const void *context, int32_t count);
/* The same over a NULL-terminated list. */
const char *schema_nearest_in(const char *name, const char *const *names);
/* Fills text with `, did you mean "x"?` or "" when nearest is NULL; returns text. */
const char *schema_did_you_mean(const char *nearest, char *text, size_t size);

/* True for names of datasets and models: ^[a-z0-9][a-z0-9._-]{0,62}$ */
bool schema_name_valid(const char *name);

#endif

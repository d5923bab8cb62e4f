/* values.h - JSON to and from the parameters that a registry entry declares. The only place that knows how a parameter looks in JSON. */
#ifndef SCHEMA_VALUES_H
#define SCHEMA_VALUES_H

#include "engine/base/registry.h"
#include "schema/json/problems.h"

struct schema_text;

/* Names in several lists: each NULL-terminated, or NULL. */
struct schema_names {
    const char *const *list;
    const struct schema_names *more; /* NULL: none */
};

bool schema_names_have(const struct schema_names *names, const char *name);

/* Decodes the members of `object` that entry declares into values (defaults first). Names in `others` (NULL: none) are left for the
 * caller; any other name is a problem that names the nearest known one. Returns 0, or -1 when problems were added. */
int schema_values_decode(const json_t *object, const char *pointer, const struct bp_entry *entry, const struct schema_names *others,
                         struct bp_value *values, struct schema_problems *problems);
/* Decodes "adam" or {"type":"adam",...}: the entry of the family, with its values. NULL when problems were added. */
const struct bp_entry *schema_entry_decode(const json_t *json, const char *pointer, const struct bp_family *family, const char *const *others,
                                           struct bp_value *values, struct schema_problems *problems);
/* Adds the entry's values to object under their names (only given ones unless `all`). */
void schema_values_encode(const struct bp_entry *entry, const struct bp_value *values, bool all, json_t *object);
/* {"type":name, ...all values}. */
json_t *schema_entry_encode(const struct bp_entry *entry, const struct bp_value *values);

/* A member of a family whose parameters are all numbers: its name, or {"type":name, ...} when it has any. */
json_t *schema_member_encode(const struct bp_entry *entry, const double *numbers);

/* JSON as text, compact, its reals with as many digits as read back exactly. */
void schema_json_write(struct schema_text *text, const json_t *json);
/* An integral number as a JSON integer, any other as a real. */
json_t *schema_number_encode(double number);
/* What a JSON value is, for messages: `the string "abc"`, `12`, `an object`. Returns text. */
const char *schema_json_text(const json_t *json, char *text, size_t size);
/* pointer + "/" + name with ~ and / escaped, into out; returns out. */
const char *schema_pointer(const char *pointer, const char *name, char *out, size_t size);
const char *schema_pointer_index(const char *pointer, size_t index, char *out, size_t size);

/* All entries of a family with their parameters, as in GET /v1/catalog. */
json_t *schema_family_encode(const struct bp_family *family);

#endif

/* types.c - the table of column types, built from types.def. */
#include "schema/types.h"

#include <string.h>

#define SCHEMA_TYPE(NAME, name, number, precedence) extern const struct schema_type_ops schema_type_##name;
#include "schema/types.def"
#undef SCHEMA_TYPE

static const struct schema_type_ops *const types[SCHEMA_TYPES_COUNT] = {
#define SCHEMA_TYPE(NAME, name, number, precedence) [SCHEMA_##NAME] = &schema_type_##name,
#include "schema/types.def"
#undef SCHEMA_TYPE
};

struct row {
    enum schema_type type;
    int precedence;
};
static const struct row rows[SCHEMA_TYPES_COUNT] = {
#define SCHEMA_TYPE(NAME, name, number, precedence) {SCHEMA_##NAME, precedence},
#include "schema/types.def"
#undef SCHEMA_TYPE
};

const struct schema_type_ops *schema_type_of(enum schema_type type) {
    return types[type];
}

const char *schema_type_name(enum schema_type type) {
    return types[type]->name;
}

bool schema_type_parse(const char *name, enum schema_type *type) {
    for (int i = 0; i < SCHEMA_TYPES_COUNT; i++)
        if (strcmp(name, types[i]->name) == 0) {
            *type = (enum schema_type)i;
            return true;
        }
    return false;
}

enum schema_type schema_type_at(int32_t i) {
    return rows[i].type;
}

void schema_types_by_precedence(enum schema_type out[static SCHEMA_TYPES_COUNT]) {
    struct row sorted[SCHEMA_TYPES_COUNT];
    for (int i = 0; i < SCHEMA_TYPES_COUNT; i++) {
        int at = i;
        for (; at > 0 && sorted[at - 1].precedence > rows[i].precedence; at--) sorted[at] = sorted[at - 1];
        sorted[at] = rows[i];
    }
    for (int i = 0; i < SCHEMA_TYPES_COUNT; i++) out[i] = sorted[i].type;
}

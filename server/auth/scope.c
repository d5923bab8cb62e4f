/* scope.c - see scope.h: which scope of a key includes which others. */
#include "server/auth/scope.h"

#include <stddef.h>
#include <string.h>

#define BIT(scope) (1u << (scope))
static const struct {
    const char *name; /* NULL: no key has it */
    unsigned includes;
} scopes[] = {
    [SCOPE_NONE] = {NULL, 0},
    [SCOPE_OPEN] = {NULL, 0},
    [SCOPE_ANY] = {NULL, 0},
    [SCOPE_READ] = {"read", BIT(SCOPE_READ)},
    [SCOPE_PREDICT] = {"predict", BIT(SCOPE_PREDICT)},
    [SCOPE_TRAIN] = {"train", BIT(SCOPE_READ) | BIT(SCOPE_PREDICT) | BIT(SCOPE_TRAIN)},
    [SCOPE_ADMIN] = {"admin", BIT(SCOPE_NONE) | BIT(SCOPE_READ) | BIT(SCOPE_PREDICT) | BIT(SCOPE_TRAIN) | BIT(SCOPE_ADMIN)},
};
enum { COUNT = sizeof scopes / sizeof *scopes };

bool scope_allows(enum scope key, enum scope route) {
    if (route == SCOPE_OPEN) return true;
    if (route == SCOPE_ANY) return scopes[key].name != NULL;
    return (scopes[key].includes & BIT(route)) != 0;
}

const char *scope_name(enum scope scope) {
    return scopes[scope].name ? scopes[scope].name : "";
}

enum scope scope_named(const char *name) {
    for (int i = 0; i < COUNT; i++)
        if (scopes[i].name && strcmp(scopes[i].name, name) == 0) return (enum scope)i;
    return SCOPE_NONE;
}

/* scope.h - what a key may do. Every route names the scope that it needs; every key has one. */
#ifndef SERVER_SCOPE_H
#define SERVER_SCOPE_H

#include <stdbool.h>

/* The order is that of the table in scope.c. */
enum scope {
    SCOPE_NONE,    /* of a key: nothing. Of a route that names none: admin */
    SCOPE_OPEN,    /* of a route: no key is needed */
    SCOPE_ANY,     /* of a route: every key will do */
    SCOPE_READ,    /* get what is stored, and follow events */
    SCOPE_PREDICT, /* predict, and nothing else */
    SCOPE_TRAIN,   /* read, predict, upload data, define models, run jobs */
    SCOPE_ADMIN    /* everything: it also deletes */
};

/* Whether a key of that scope may use a route that needs the other. */
bool scope_allows(enum scope key, enum scope route);
/* "train"; "" for those that no key can have. Borrowed. */
const char *scope_name(enum scope scope);
/* SCOPE_NONE: there is none of that name. */
enum scope scope_named(const char *name);

#endif

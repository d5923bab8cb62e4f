/* copy.h - one model of the primary, copied into this server's store: versions first, each verified, then what names them. */
#ifndef SERVER_FOLLOW_COPY_H
#define SERVER_FOLLOW_COPY_H

#include "server/follow/fetch.h"
#include "server/server.h"

#include <jansson.h>

enum copy_result {
    COPY_OK,
    COPY_UNUSABLE, /* what came of this model cannot be used, or is refused: the others may be fine */
    COPY_FAILED    /* the primary, or the store, does not respond */
};

struct copier {
    struct server *server;
    struct fetch *fetch;
    const char *key, *ca_file;
};
/* The model becomes what it is at the primary; one that is gone there goes here. whole: the numbers of changes here may be those of another history,
 * and nothing of aliases is kept. */
enum copy_result copy_model(const struct copier *copier, const char *name, bool whole, struct bp_error *error);
/* Every model there is, by name, one after the other; then those go that the primary does not have. COPY_UNUSABLE: some of them; the first error. */
enum copy_result copy_all(const struct copier *copier, struct bp_error *error);
/* A JSON object from the primary, by GET; NULL with the error and *result; *status of the response. The caller's. */
json_t *copy_get(const struct copier *copier, const char *path, int *status, enum copy_result *result, struct bp_error *error);

#endif

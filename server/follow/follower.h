/* follower.h - a replica: this server keeps a copy of another one's models, versions and aliases, and answers by it. One thread reads the primary's
 * feed of changes (GET /v1/changes) and copies each model that was changed, in the order of the feed; after a gap, all of them. Writes are refused
 * (http/http.c).
 *
 *     connect ──▶ newest change known here? ──yes──▶ stream: copy what was changed, note the place ──▶ (breaks off) ──▶ wait ──▶ connect
 *                              └──────────no──▶ copy all, note the place ──▶ stream */
#ifndef SERVER_FOLLOW_FOLLOWER_H
#define SERVER_FOLLOW_FOLLOWER_H

#include "server/server.h"

#include <jansson.h>

enum { COPY_FORMAT = 1 /* of what replicas read: /v1/changes, /v1/mirror */ };

struct follower;
/* Makes sure that the data folder is a replica's, or is empty. Before other threads; -1 with the error. server->settings.follow is not "". */
int follower_new(struct server *server, struct follower **follower, struct bp_error *error);
int follower_start(struct follower *follower, struct bp_error *error);
/* Does not wait any longer before the next try. Any thread. */
void follower_poke(struct follower *follower);
/* Ends the thread, whatever it does. NULL is fine, here and below. */
void follower_stop(struct follower *follower);
void follower_free(struct follower *follower);
/* A folder that was a replica's is its own from now on, as the server follows nobody. */
int follower_promote(struct server *server, struct bp_error *error);

/* How far behind it is. Any thread. */
struct follower_status {
    const char *primary; /* borrowed from the settings */
    bool connected;
    bool complete; /* it has been up to date once */
    int64_t behind_changes;
    double behind_seconds;        /* since it last was known to be up to date; 0: it is */
    int64_t last_change_at;       /* when it last stored one, 0: never */
    int64_t heard_at, away_since; /* 0: never; it is there */
    int64_t errors;
    char error[500]; /* of the last try, "": none */
};
void follower_status(struct follower *follower, struct follower_status *status);
/* The same for people. */
json_t *follower_json(struct follower *follower);
/* Appends the servers whose models these are, the primary first: an array of texts. */
void follower_upstream(struct follower *follower, json_t *servers);

#endif

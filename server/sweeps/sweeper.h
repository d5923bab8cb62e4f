/* sweeper.h - the thread that runs sweeps: it makes trials as slots become free, ends what is cancelled, removes versions that are not the best, and
 * ends each sweep. All it knows is in the store: after a restart it goes on where that is. */
#ifndef SERVER_SWEEPER_H
#define SERVER_SWEEPER_H

#include "server/server.h"

struct bp_error;
struct sweeper;
/* server->sweeps_fd exists, and is polled from here on. NULL with the error. */
struct sweeper *sweeper_start(struct server *server, struct bp_error *error);
/* Ends the thread; before the store and the supervisor are freed. NULL is allowed. */
void sweeper_stop(struct sweeper *sweeper);

#endif

/* throttle.h - limits wrong keys per client address, in a table of fixed size. Any thread; never waits for long. */
#ifndef SERVER_THROTTLE_H
#define SERVER_THROTTLE_H

#include "server/auth/address.h"

#include <stdint.h>

struct throttle;

/* per_minute: how many wrong keys one client may send in a row, and how many of them it is forgiven in a minute. NULL: no memory. */
struct throttle *throttle_new(int64_t per_minute);
/* Seconds until this client may try a key again, 0: now. now: ms, monotonic. */
int64_t throttle_wait(struct throttle *throttle, const struct address *client, int64_t now);
/* The client has sent a wrong key. */
void throttle_count(struct throttle *throttle, const struct address *client, int64_t now);
void throttle_free(struct throttle *throttle); /* NULL is fine */

#endif

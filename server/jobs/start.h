/* start.h - the start of an attempt of a job: its process, or the relay of one that runs elsewhere, and what it is given. */
#ifndef SERVER_START_H
#define SERVER_START_H

#include "server/jobs/messages.h"

/* Starts a process for the job, which has just been claimed, and sends its order. 0: the slot is filled, and the caller's. -1 with the error: nothing
 * has started, and nothing is left of it. In the thread of the supervisor: the process dies with it. */
int start_attempt(struct server *server, const struct launcher *launcher, const struct store_job *job, struct slot *slot, struct bp_error *error);

#endif

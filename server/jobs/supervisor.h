/* supervisor.h - runs queued jobs: N slots, one process per attempt, reports into the store, retries, cancels, gives back at the end. */
#ifndef SERVER_SUPERVISOR_H
#define SERVER_SUPERVISOR_H

#include "server.h"
#include "store.h"

struct supervisor;
int supervisor_start(struct server *server, struct bp_error *error);
/* A job was queued or asked to cancel. Any thread. */
void supervisor_poke(struct supervisor *supervisor);
/* Running jobs write a checkpoint and go back to the queue, within drain_seconds; then the thread ends. */
void supervisor_stop(struct supervisor *supervisor);
int supervisor_slots(const struct supervisor *supervisor);
int supervisor_running(struct supervisor *supervisor);

#endif

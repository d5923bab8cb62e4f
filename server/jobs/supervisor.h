/* supervisor.h - runs queued jobs: N slots, one process per attempt, reports into the store, retries, cancels, gives back at the end. */
#ifndef SERVER_SUPERVISOR_H
#define SERVER_SUPERVISOR_H

#include "server/server.h"
#include "server/store/store.h"

#include <stdbool.h>

struct launcher;
struct supervisor;
/* Created before HTTP starts, since requests call it; it runs jobs from supervisor_start on. NULL with the error. */
struct supervisor *supervisor_new(struct server *server, struct bp_error *error);
int supervisor_start(struct supervisor *supervisor, struct bp_error *error);
/* A job was queued, or asked to cancel, to pause or to resume. Any thread. */
void supervisor_poke(struct supervisor *supervisor);
/* Running jobs write a checkpoint and go back to the queue, within drain_seconds; then the thread ends. */
void supervisor_stop(struct supervisor *supervisor);
/* Releases it when no thread uses it any more. NULL is allowed, here and above. */
void supervisor_free(struct supervisor *supervisor);
/* Whether the store cannot take what this job has reported, and why, in a sentence. Any thread. */
bool supervisor_trouble(struct supervisor *supervisor, const char *job, char *text, size_t size);
/* What the process of this attempt has written so far, and whether its beginning is not kept. The caller's; NULL: it does not run, or no memory. Any
 * thread. */
char *supervisor_log(struct supervisor *supervisor, const char *job, int64_t attempt, bool *cut);
/* How many jobs may run at once on this machine; 0: one per core. Those that run go on; supervisor_poke starts more. */
void supervisor_limit(struct supervisor *supervisor, int64_t workers);
/* How many jobs may run at once: by one launcher, and by all that train whatever job there is. */
int supervisor_slots_of(const struct supervisor *supervisor, const struct launcher *launcher);
int supervisor_slots(struct supervisor *supervisor);
/* The jobs that run, with their launchers; how many there are, at most `most`. Any thread. */
struct supervisor_place {
    const struct launcher *launcher;
    char job[STORE_ID_SIZE];
    int64_t attempt;
};
int supervisor_places(struct supervisor *supervisor, struct supervisor_place *places, int most);
int supervisor_running(struct supervisor *supervisor);
/* When its thread last began a turn, ms of the monotonic clock: some seconds ago at most, unless it hangs. */
int64_t supervisor_turned_at(const struct supervisor *supervisor);

#endif

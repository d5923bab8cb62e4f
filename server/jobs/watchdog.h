/* watchdog.h - whether a job process is alive, by its page (pulse.h). */
#ifndef SERVER_WATCHDOG_H
#define SERVER_WATCHDOG_H

#include "server/jobs/pulse.h"

#include <stdbool.h>
#include <sys/types.h>

/* Zero-initialise with looked_at set to the time of the start. */
struct watch {
    int64_t looked_at; /* ms, monotonic */
    uint64_t beats, progress;
    int64_t silent_ms, stuck_ms; /* without a beat; without progress */
};
enum watch_finding { WATCH_ALIVE, WATCH_SILENT, WATCH_STUCK };

/* How often to look, ms. */
int64_t watch_period(int64_t limit_ms);
/* Looks when a period has passed. `waits`: the process waits for the server, so that no progress is expected. However long the time between two looks
 * was, it counts as two periods at most: when the whole machine or the server was suspended, the process had no time either. */
enum watch_finding watch_look(struct watch *watch, const struct pulse *pulse, int64_t now, int64_t limit_ms, bool waits);
/* Whether a thread of the process waits for the disk, which nothing but the disk can end. */
bool watch_waits_for_disk(pid_t pid);

#endif

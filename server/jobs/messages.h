/* messages.h - a slot of the supervisor, and what the messages of its job process do. */
#ifndef SERVER_MESSAGES_H
#define SERVER_MESSAGES_H

#include "server/jobs/launchers.h"
#include "server/jobs/output.h"
#include "server/jobs/watchdog.h"
#include "server/jobs/wire.h"
#include "server/server.h"
#include "server/store/store.h"

#include <sys/types.h>

enum phase {
    SLOT_FREE,
    SLOT_RUNNING,
    SLOT_CANCELLING,
    SLOT_STOPPING,
    SLOT_PAUSING,
    SLOT_ENDING /* the process is gone, the store does not have the end of the job yet */
};

struct slot {
    enum phase phase;
    const struct launcher *launcher;
    bool relayed;      /* the process is a relay for one elsewhere */
    int64_t cancel_ms; /* how long it may take to end after a cancel */
    pid_t pid;
    int fd;
    char job[STORE_ID_SIZE];
    int64_t attempt;
    struct schema_text in;
    int64_t drafts;  /* files made for the process so far, numbered from 1 */
    int drafts_open; /* of them, not reported yet */
    int64_t kill_at; /* ms, 0: not set */
    bool ended;      /* its result is in the store: only the process is left to reap */

    /* A message that the store could not take. Until it does, no other is read: the training waits, and nothing is lost. */
    json_t *held;
    int64_t retry_at, retry_ms; /* when again; the pause before that */
    int64_t complain_at;        /* no other log line before this time */
    bool gone;                  /* the process has closed its end */
    bool died;                  /* the process elsewhere has ended without a result, with `status` as of waitpid */
    int status;

    struct pulse *pulse;
    struct output *output;
    struct watch watch;
    int64_t silence_ms;        /* as it was when the process started, which beats accordingly */
    enum watch_finding killed; /* what the server has killed it for; WATCH_ALIVE: it has not */
    /* SLOT_ENDING */
    bool counts;               /* its death counts as a failure */
    bool recorded;             /* the store has `end` */
    char *death;               /* JSON, why the process died; owned; NULL: it did not just die */
    struct store_attempt *end; /* owned */
};

/* Applies one message to the store. -1 with the error: the store could not take it now, nothing has changed, give the same message again later.
 * A message of an attempt that is over is done with. Sets slot->ended when it was the last one that matters. */
int message_apply(struct server *server, struct slot *slot, const json_t *message, struct bp_error *error);
/* A new file for the process, of which it gets the descriptor and the number slot->drafts; the name stays here. The descriptor is the caller's; -1
 * with errno. */
int message_draft(struct server *server, struct slot *slot);
/* The model file of a version, in a file without a name, from its beginning; the caller's. -1 with the error. */
int message_version_file(struct server *server, const char *model, int64_t version, struct bp_error *error);
/* Ends a running job as failed, with this error. -1: not stored. */
int message_end_failed(struct server *server, const char *job, int64_t attempt, const char *code, const char *message, struct bp_error *error);

#endif

/* launchers.h - what starts job processes: this server itself ("local"), or a command that starts them elsewhere (srun, ssh, kubectl). Read once at
 * start-up from the settings launcher and launchers; constant from then on. */
#ifndef SERVER_LAUNCHERS_H
#define SERVER_LAUNCHERS_H

#include "server/settings.h"
#include "server/store/store.h"

#include <jansson.h>

enum { LAUNCHERS_MAX = 64, LAUNCHER_NAME_SIZE = 64, LAUNCHER_SLOTS_MAX = 1024 };

struct launcher {
    char name[LAUNCHER_NAME_SIZE];
    json_t *command;        /* array of strings with placeholders: what the program and its arguments are appended to; NULL: local */
    json_t *cancel;         /* array of strings with placeholders, or NULL: ends what an earlier attempt of the job has left */
    char program[400];      /* of the node */
    char cache[400];        /* folder of the node; "": the preset of cache.h */
    char shared[400];       /* the data folder of the server as the node sees it; "": it does not */
    json_t *labels;         /* array of strings */
    int64_t slots;          /* 0, of local only: as the setting workers says */
    int64_t memory_mb;      /* of a job at most; 0: no limit */
    int64_t cache_mb;       /* 0: no limit */
    int64_t start_seconds;  /* from the command's start to the process's first word */
    int64_t cancel_seconds; /* of the command that cancels */
    int64_t retry_seconds;  /* after a start that failed, or a node that was lost */
    bool takes_all;         /* local: also jobs that train and do not ask for it */
    bool processes;         /* its command has {processes} */
};

struct launchers {
    int count;
    struct launcher items[LAUNCHERS_MAX]; /* in the order in which jobs are given to them */
    int local;                            /* of the items */
};

/* -1 with the error, which names the setting or the place in the file. */
int launchers_read(struct launchers *launchers, const struct server_settings *settings, struct bp_error *error);
void launchers_clear(struct launchers *launchers);
/* NULL: there is none of that name. */
const struct launcher *launchers_find(const struct launchers *launchers, const char *name);
/* Whether this launcher may run such a job. */
bool launcher_takes(const struct launcher *launcher, enum store_kind kind, const struct store_requirement *requirement);

/* What placeholders stand for. */
struct launch_values {
    const char *job;
    int64_t attempt, threads, memory_mb, processes;
};
/* The command with {job}, {attempt}, {threads}, {memory_mb} and {processes} filled in: an array of strings, the caller's. NULL: no memory. */
json_t *launcher_fill(const json_t *command, const struct launch_values *values);

#endif

/* confine.h - what a job process gives up before it reads data: files, the network, other processes, privileges. calls.def lists what is left. */
#ifndef SERVER_CONFINE_H
#define SERVER_CONFINE_H

#include "engine/base/base.h"

struct confinement {
    bool enabled;
    int64_t memory_max;  /* bytes of data, and of one file; 0: no limit */
    int nice;            /* added to that of the server */
    int64_t cpu_seconds; /* of processor time, 0: no limit */
    bool compiles;       /* oneDNN has started: memory may become code */
    bool writes_results; /* files of any size */
    int32_t processes;   /* that train together; of several, each talks to the others over connections that are open by then */
};

/* What was achieved. */
struct confined {
    bool calls;        /* the list of calls is in force, in all threads */
    int landlock;      /* its version; 0: not available */
    char missing[300]; /* why not all of it; "": all */
};

/* Limits, priority and no new privileges, always; then, if enabled, Landlock and the list of calls as far as the kernel has them. Landlock binds the
 * calling thread and those that it makes from then on. */
void confine(const struct confinement *confinement, struct confined *confined);

#endif

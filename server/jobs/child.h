/* child.h - this program started again as a process for one purpose. */
#ifndef SERVER_CHILD_H
#define SERVER_CHILD_H

#include "server/jobs/wire.h"

#include <sys/types.h>

/* What a process is given, as descriptors from WIRE_SOCKET on; -1: there is none. */
enum { CHILD_GIVEN = WIRE_COMPARED - WIRE_SOCKET + 1 };

struct child {
    const char *command; /* of this program */
    const int *given;    /* (CHILD_GIVEN) */
    int errors;          /* where its standard output and standard error go; -1: to this process's standard error */
    bool processes;      /* it trains with others: it needs what the launcher tells it of them */
    bool launches;       /* it starts commands of others: they need the environment of this process, but for the settings */
};
/* Starts `backpropd <command>` with these descriptors, an environment of a few names unless it launches, and nothing else. -1 with errno. The caller
 * waits for it, by its id. */
pid_t child_start(const struct child *child);

/* The first call of such a process. It ends with its parent, and ignores what a terminal sends to all its processes (ctrl-C, its own end): that is
 * for the server, which stops its jobs. Blocked until here, so that none arrives too early. */
void child_begin(void);

#endif

/* child.h - this program started again as a process for one purpose. */
#ifndef SERVER_CHILD_H
#define SERVER_CHILD_H

#include "server/jobs/wire.h"

#include <sys/types.h>

/* What a process is given, as descriptors from WIRE_SOCKET on; -1: there is none. */
enum { CHILD_GIVEN = WIRE_COMPARED - WIRE_SOCKET + 1 };

/* Starts `backpropd <command>` with these descriptors, an environment of a few names, and nothing else; its standard output and standard error go to
 * `errors`, to the server's standard error if that is -1. -1 with errno. The caller waits for it, by its id. */
pid_t child_start(const char *command, const int given[CHILD_GIVEN], int errors);

/* The first call of such a process. It ends with its parent, and ignores what a terminal sends to all its processes (ctrl-C, its own end): that is
 * for the server, which stops its jobs. Blocked until here, so that none arrives too early. */
void child_begin(void);

#endif

/* private_server.h - a server for one command: in a folder of its own that vanishes with it, on a loopback port of its own, with a key that nobody
 * else has. So a command without a server does exactly what a server does. */
#ifndef SERVER_PRIVATE_SERVER_H
#define SERVER_PRIVATE_SERVER_H

#include "server/commands/client.h"

#include <sys/types.h>

struct private_server {
    pid_t pid; /* 0: it does not run */
    char folder[300], data[340], key_file[340], log[340];
    struct client client;
};
/* workers: jobs at once. -1 with a message on stderr; private_server_stop in any case. */
int private_server_start(const char *command, int workers, struct private_server *server);
/* Ends it and removes its folder. */
void private_server_stop(struct private_server *server);
/* Whether SIGINT or SIGTERM has come since private_server_start: the command should end, and stop the server. */
bool private_server_interrupted(void);

#endif

/* links.h - how fast the processes of one job exchanged numbers, as the last job of each launcher measured it at its start. In memory: it is measured
 * again after a restart of the server. Any thread. */
#ifndef SERVER_LINKS_H
#define SERVER_LINKS_H

#include <stdbool.h>

struct link {
    int processes;           /* that measured it */
    double seconds;          /* of a sum of one number */
    double seconds_per_byte; /* more, of a large sum */
};

void links_note(const char *launcher, const struct link *link);
/* Whether one has been measured. */
bool links_find(const char *launcher, struct link *link);

#endif

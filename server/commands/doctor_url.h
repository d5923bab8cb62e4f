/* doctor_url.h - `backpropd doctor --url`: is a running server well, as a client sees it, through whatever is in between? */
#ifndef SERVER_DOCTOR_URL_H
#define SERVER_DOCTOR_URL_H

#include <stdbool.h>

struct doctor_url {
    const char *url, *key_file, *ca_file, *origin; /* but for url NULL when not given */
    bool ready_only;                               /* for health checks: whether it is ready, in one request */
};
/* Prints a line per check on standard output: ok, warning or fault. Exit status: 1 when there is a fault, 2 for wrong arguments. */
int doctor_url(const struct doctor_url *options);

#endif

/* retention.h - removes old versions and old jobs, as keep_versions and keep_jobs_days say. */
#ifndef SERVER_RETENTION_H
#define SERVER_RETENTION_H

#include "server/server.h"

#include <stdbool.h>

/* Some of what is due, in one short transaction for versions and one for jobs; what is removed is logged and audited. True: there may be more. */
bool retention_sweep(struct server *server);

#endif

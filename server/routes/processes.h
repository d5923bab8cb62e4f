/* processes.h - a job of several processes at its submission: what it may be, and whether it pays. */
#ifndef SERVER_PROCESSES_H
#define SERVER_PROCESSES_H

#include "server/routes/submission.h"

/* After the training is resolved, before its place is settled. Adds problems and warnings. */
void processes_settle(struct submission *submission);
/* "processes" of a validation: whether several pay, by the estimate. NULL: it is of one. The caller's. */
json_t *processes_json(const struct submission *submission);
/* Whether a job that is stored may have as many. Adds problems. */
void processes_check_change(const struct server *server, const struct store_job *job, int64_t processes, struct schema_problems *problems);

#endif

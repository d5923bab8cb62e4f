/* job_view.h - a job as people see it. */
#ifndef SERVER_JOB_VIEW_H
#define SERVER_JOB_VIEW_H

#include "server/http/answer.h"
#include "server/http/request.h"

/* With what the store does not have yet: that it cannot take what the job has reported. */
json_t *job_json(const struct server *server, const struct store_job *job);

#endif

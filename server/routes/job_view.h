/* job_view.h - a job as people see it. */
#ifndef SERVER_JOB_VIEW_H
#define SERVER_JOB_VIEW_H

#include "http.h"

json_t *job_json(const struct store_job *job);

#endif

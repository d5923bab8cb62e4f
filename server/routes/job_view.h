/* job_view.h - a job as people see it. */
#ifndef SERVER_JOB_VIEW_H
#define SERVER_JOB_VIEW_H

#include "server/http/answer.h"
#include "server/http/request.h"

/* With what the store does not have yet: that it cannot take what the job has reported. */
json_t *job_json(const struct server *server, const struct store_job *job);
/* What jobs of every kind show: times, place in the queue and attempts; progress; error, warnings and metadata. */
void job_show_course(json_t *json, const struct store_job *job);
void job_show_progress(json_t *json, const struct store_job *job);
void job_show_remarks(json_t *json, const struct server *server, const struct store_job *job);
/* A page of jobs, as the query of the request asks; of one kind when it is not NULL. what: "jobs". */
void answer_jobs(struct request *request, const enum store_kind *kind, const char *what);

#endif

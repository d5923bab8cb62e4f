/* job_query.h - the query of a list of jobs: what is listed, in which order, and which members of a job. */
#ifndef SERVER_JOB_QUERY_H
#define SERVER_JOB_QUERY_H

#include "server/http/answer.h"
#include "server/http/request.h"
#include "server/store/search.h"

struct job_query {
    struct store_job_filter filter; /* points to search */
    struct store_search search;
    enum store_kind kind;
    char dataset[STORE_NAME_SIZE];
    const char *fields; /* NULL: all */
    char sort[400];     /* as sent, "": newest first */
    bool refused;
};
/* Decodes it all. False: answered with a problem. */
bool job_query_decode(struct request *request, struct job_query *query);
/* What the next page takes as `after`; NULL: no memory. The caller's. */
char *job_query_cursor(const struct job_query *query);
/* The requested members of a job (taken), each at its own place; null where the job has none. */
json_t *job_query_pick(const char *fields, json_t *job);

#endif

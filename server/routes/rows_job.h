/* rows_job.h - jobs that train nothing: how one is submitted, and how it is shown. */
#ifndef SERVER_ROWS_JOB_H
#define SERVER_ROWS_JOB_H

#include "schema/json/problems.h"
#include "schema/predict/model_file.h"
#include "server/http/answer.h"
#include "server/http/request.h"

/* A version of a model that a request names: "name", "name@3", "name@production". *version is set. False: a problem at the pointer was added. */
bool rows_job_model(struct request *request, const json_t *value, const char *pointer, char name[STORE_NAME_SIZE], int64_t *version,
                    struct schema_problems *problems);
/* The calibration of a version as it is now becomes a part of the spec: a later change does not change the job, nor what it goes on with. */
void rows_job_calibration(json_t *spec, const char *name, const struct schema_model *model);
/* Stores the job and answers with it: 202, or what is wrong. The caller has set its kind, model, versions and dataset; "priority" and "metadata" of
 * the body are read here. spec and view are taken: view is shown with the job. where: the path of the job, before its id. Frees what the job owns. */
void rows_job_submit(struct request *request, struct store_job *job, const json_t *body, json_t *spec, json_t *view, const char *where,
                     struct schema_problems *problems);
/* A job of such a kind as people see it. */
json_t *rows_job_json(const struct server *server, const struct store_job *job);

#endif

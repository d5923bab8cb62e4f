/* job_actions.c - POST /v1/jobs/{id}/cancel, .../pause, .../resume, PATCH and DELETE /v1/jobs/{id}. All are idempotent. */
#include "server/routes/job_view.h"

#include "schema/json/values.h"
#include "server/http/http.h"
#include "server/http/hub.h"
#include "server/jobs/supervisor.h"
#include "server/model_cache.h"
#include "server/routes/processes.h"

/* The job after a change of it. */
static void answer_changed(struct request *r, enum store_result result, struct bp_error *error) {
    struct store_job job = {0};
    supervisor_poke(r->server->supervisor);
    if (result == STORE_OK) result = store_job_get(r->server->store, r->params[0], &job, error);
    if (result == STORE_OK) answer_json(r, 200, job_json(r->server, &job));
    else answer_store(r, result, error, "job \"%.60s\"", r->params[0]);
    store_job_free(&job);
}

static void cancel(struct request *r) {
    struct bp_error error = {0};
    answer_changed(r, store_job_cancel(r->server->store, r->params[0], NULL, &error), &error);
}

static void pause_job(struct request *r) {
    struct bp_error error = {0};
    answer_changed(r, store_job_pause(r->server->store, r->params[0], NULL, &error), &error);
}

static void resume(struct request *r) {
    struct bp_error error = {0};
    answer_changed(r, store_job_resume(r->server->store, r->params[0], NULL, &error), &error);
}

enum { PRIORITY, PROCESSES, MEMBERS };
static const struct bp_param member_params[MEMBERS] = {
    [PRIORITY] = JOB_PRIORITY_PARAM,
    [PROCESSES] = {.name = "processes", .type = BP_PARAM_INTEGER, .preset = 1, .min = 1, .max = BP_PROCESSES_MAX, .help = "of its next attempt"},
};
static const struct bp_entry members = {.name = "job", .params = member_params, .params_count = MEMBERS};

/* The job's processes, as POST /v1/jobs takes them. */
static enum store_result change_processes(struct request *r, int64_t processes, struct schema_problems *problems, struct bp_error *error) {
    struct store_job job = {0};
    enum store_result result = store_job_get(r->server->store, r->params[0], &job, error);
    if (result == STORE_OK) processes_check_change(r->server, &job, processes, problems);
    store_job_free(&job);
    if (result != STORE_OK || problems->total) return result;
    return store_job_set_processes(r->server->store, r->params[0], processes, error);
}

static void update(struct request *r) {
    struct schema_problems problems = {0};
    struct bp_error error = {0};
    struct bp_value values[MEMBERS] = {{0}};
    json_t *body = request_json(r);
    enum store_result result = STORE_OK;
    if (!body) return;
    schema_values_decode(body, "", &members, NULL, values, &problems);
    if (problems.total == 0 && !values[PRIORITY].given && !values[PROCESSES].given)
        schema_problem_add(&problems, "", "expected an object with \"priority\" or \"processes\", the members of a job that can be changed");
    if (problems.total == 0 && values[PROCESSES].given) result = change_processes(r, (int64_t)values[PROCESSES].number, &problems, &error);
    if (problems.total == 0 && result == STORE_OK && values[PRIORITY].given)
        result = store_job_set_priority(r->server->store, r->params[0], (int64_t)values[PRIORITY].number, &error);
    if (problems.total) answer_problems(r, &problems);
    else answer_changed(r, result, &error);
    schema_problems_clear(&problems);
    json_decref(body);
}

static void delete_job(struct request *r) {
    struct bp_error error = {0};
    enum store_result result = store_job_delete(r->server->store, r->params[0], &error);
    if (result == STORE_OK) model_cache_deleted(r->server->model_cache, r->params[0], 0); /* a hidden model goes with its job */
    if (result == STORE_OK) hub_publish(http_hub(r->server->http), r->params[0]);
    if (result == STORE_OK) answer_bytes(r, 204, NULL, NULL, 0);
    else answer_store(r, result, &error, "job \"%.60s\"", r->params[0]);
}

const struct route route_cancel_job = {
    .name = "cancel_job",
    .method = "POST",
    .path = "/v1/jobs/{id}/cancel",
    .scope = SCOPE_TRAIN,
    .flags = ROUTE_SLOW,
    .handle = cancel,
};
const struct route route_pause_job = {
    .name = "pause_job",
    .method = "POST",
    .path = "/v1/jobs/{id}/pause",
    .scope = SCOPE_TRAIN,
    .flags = ROUTE_SLOW,
    .handle = pause_job,
};
const struct route route_resume_job = {
    .name = "resume_job",
    .method = "POST",
    .path = "/v1/jobs/{id}/resume",
    .scope = SCOPE_TRAIN,
    .flags = ROUTE_SLOW,
    .handle = resume,
};
const struct route route_update_job = {
    .name = "update_job",
    .method = "PATCH",
    .path = "/v1/jobs/{id}",
    .scope = SCOPE_TRAIN,
    .body = ROUTE_JSON,
    .flags = ROUTE_SLOW,
    .handle = update,
};
const struct route route_delete_job = {
    .name = "delete_job",
    .method = "DELETE",
    .path = "/v1/jobs/{id}",
    .scope = SCOPE_ADMIN,
    .flags = ROUTE_SLOW,
    .handle = delete_job,
};

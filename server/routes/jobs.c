/* jobs.c - GET /v1/jobs, GET /v1/jobs/{id}, GET .../metrics. Submission is in job_submit.c, what changes a job in job_actions.c. */
#include "server/routes/job_view.h"

#include "schema/training/options.h"
#include "server/http/http.h"
#include "server/http/hub.h"
#include "server/jobs/supervisor.h"
#include "server/routes/history.h"
#include "server/routes/job_query.h"
#include "server/routes/placement.h"
#include "server/routes/rows_job.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { WAIT_MAX_S = 300, POINTS_PRESET = 1000 };

/* ---- a job as people see it ----------------------------------------------------------------------------------------------------- */

void job_show_course(json_t *json, const struct store_job *j) {
    json_object_set_new(json, "created_at", time_json(j->created_at));
    json_object_set_new(json, "started_at", time_json(j->started_at));
    json_object_set_new(json, "finished_at", time_json(j->finished_at));
    json_object_set_new(json, "priority", json_integer(j->priority));
    json_object_set_new(json, "queue_position", j->queue_position > 0 ? json_integer(j->queue_position) : json_null());
    json_object_set_new(json, "retry_at", time_json(j->retry_at));
    json_object_set_new(json, "attempt", json_integer(j->attempt));
    json_object_set_new(json, "attempts_max", json_integer(j->attempts_max));
}

void job_show_progress(json_t *json, const struct store_job *j) {
    json_t *progress = document_json(j->progress);
    if (j->status != STORE_RUNNING && j->status != STORE_PAUSING && j->status != STORE_CANCELLING)
        json_object_set_new(progress, "eta_seconds", json_null());
    json_object_set_new(json, "progress", progress);
}

void job_show_remarks(json_t *json, const struct server *server, const struct store_job *j) {
    char trouble[500];
    json_object_set_new(json, "error", document_json(j->error));
    json_t *warnings = document_json(j->warnings);
    if (!store_status_final(j->status) && supervisor_trouble(server->supervisor, j->id, trouble, sizeof trouble))
        json_array_insert_new(warnings, 0, json_string(trouble));
    json_object_set_new(json, "warnings", warnings);
    json_object_set_new(json, "metadata", document_json(j->metadata));
}

json_t *job_json(const struct server *server, const struct store_job *j) {
    if (j->kind != STORE_TRAIN) return rows_job_json(server, j);
    json_t *json =
        json_pack("{s:s, s:s, s:s, s:s, s:s, s:{s:s, s:I}}", "object", "job", "id", j->id, "kind", store_kind_names[j->kind], "status",
                  store_status_name(j->status), "model", j->model, "dataset", "name", j->dataset, "version", (json_int_t)j->dataset_version);
    json_t *view = document_json(j->view);
    schema_options_complete(json_object_get(view, "options"));
    if (json_object_get(view, "options")) /* it may have been changed since */
        json_object_set_new(json_object_get(view, "options"), "processes", json_integer(j->needs.processes));
    static const char *const first[] = {"target", "task", "features", "options"};
    for (size_t i = 0; i < sizeof first / sizeof *first; i++)
        if (json_object_get(view, first[i])) json_object_set(json, first[i], json_object_get(view, first[i]));
    job_show_course(json, j);
    json_object_set_new(json, "resumed_from_epoch", j->resumed_from_epoch >= 0 ? json_integer(j->resumed_from_epoch) : json_null());
    job_show_progress(json, j);
    json_object_set_new(json, "training_seconds", json_real((double)j->training_ms / 1000));
    json_object_set_new(json, "stopped_early", json_boolean(j->stop_reason[0]));
    json_object_set_new(json, "stop_reason", j->stop_reason[0] ? json_string(j->stop_reason) : json_null());
    json_object_set_new(json, "metrics", document_json(j->metrics));
    json_object_set_new(json, "best", document_json(j->best));
    json_object_set_new(json, "cross_validation", document_json(j->cross_validation));
    json_object_set_new(json, "model_version", j->model_version > 0 ? json_integer(j->model_version) : json_null());
    json_object_set_new(json, "publish",
                        j->publish == STORE_PUBLISH_IF_BETTER ? json_string(store_publish_names[j->publish])
                                                              : json_boolean(j->publish == STORE_PUBLISH));
    json_object_set_new(json, "publication", document_json(j->publication));
    placement_show(json, server, j);
    job_show_remarks(json, server, j);
    json_object_set_new(json, "sweep", document_json(j->trial));
    json_object_update_missing(json, view);
    json_decref(view);
    return json;
}

/* ---- reading ------------------------------------------------------------------------------------------------------------------------ */

/* Seconds of "Prefer: wait=30", 0 without. */
static int64_t wait_wanted(const struct request *r) {
    const char *prefer = request_header(r, "Prefer");
    while (prefer && *prefer) {
        prefer += strspn(prefer, " ,;\t");
        if (strncasecmp(prefer, "wait=", 5) == 0) {
            long s = strtol(prefer + 5, NULL, 10);
            return s < 0 ? 0 : s > WAIT_MAX_S ? WAIT_MAX_S : s;
        }
        prefer += strcspn(prefer, ",;");
    }
    return 0;
}

static void get(struct request *r) {
    struct store_job job = {0};
    struct bp_error error = {0};
    enum store_result result = store_job_get(r->server->store, r->params[0], &job, &error);
    if (result == STORE_OK && !r->waiter && wait_wanted(r) > 0) hub_wait_begin(http_hub(r->server->http), r, job.id, job.status, wait_wanted(r));
    if (result == STORE_OK && r->waiter && job.status == hub_wait_status(r) && !store_status_final(job.status)) {
        store_job_free(&job);
        if (hub_wait(r)) return;
        memset(&job, 0, sizeof job);
        result = store_job_get(r->server->store, r->params[0], &job, &error);
    }
    hub_wait_end(r);
    if (result == STORE_OK) answer_json(r, 200, job_json(r->server, &job));
    else answer_store(r, result, &error, "job \"%.60s\"", r->params[0]);
    store_job_free(&job);
}

void answer_jobs(struct request *r, const enum store_kind *kind, const char *what) {
    struct job_query query;
    struct store_jobs found = {0};
    struct bp_error error = {0};
    if (!job_query_decode(r, &query)) return;
    if (kind) query.filter.kind = kind;
    enum store_result result = store_job_list(r->server->store, &query.filter, &found, &error);
    if (result != STORE_OK) {
        answer_store(r, result, &error, "%s", what);
        return;
    }
    json_t *data = json_array();
    for (int32_t i = 0; i < found.count; i++) {
        json_t *job = job_json(r->server, &found.items[i]);
        json_array_append_new(data, query.fields ? job_query_pick(query.fields, job) : job);
    }
    const struct store_job *last = found.count ? &found.items[found.count - 1] : NULL;
    json_t *json = list_json(data, last ? found.items[0].id : NULL, last ? last->id : NULL, found.has_more);
    if (query.sort[0]) {
        char *cursor = found.has_more ? job_query_cursor(&query) : NULL;
        json_object_set_new(json, "next_cursor", cursor ? json_string(cursor) : json_null());
        free(cursor);
    }
    store_jobs_free(&found);
    answer_json(r, 200, json);
}

static void list(struct request *r) {
    answer_jobs(r, NULL, "jobs");
}

/* ---- the history of metrics ---------------------------------------------------------------------------------------------------------------- */

/* What a point is known by: every point has it, whatever names are requested. */
static const char *const places[] = {"epoch", "fold", "fold_epoch", NULL};

static bool is_place(const char *name) {
    for (const char *const *place = places; *place; place++)
        if (strcmp(*place, name) == 0) return true;
    return false;
}

/* Every metric there is, by name. The last fit of a cross-validation has none of validation, the first ones have. */
static json_t *known_metrics(const struct history *h) {
    json_t *known = json_copy(h->points[0]), *value;
    const char *key;
    void *next;
    json_object_update(known, h->points[h->count - 1]);
    json_object_foreach_safe(known, next, key, value) if (is_place(key) || json_is_array(value))
        json_object_del(known, key); /* layers of every point are in the events */
    return known;
}

/* The requested names out of ?names=a,b, or all there are. NULL: answered. */
static json_t *wanted_names(struct request *r, const struct history *h) {
    json_t *names = json_array();
    const char *text = request_query(r, "names"), *key;
    json_t *value;
    if (h->count == 0) return names;
    json_t *known = known_metrics(h);
    if (!text) json_object_foreach(known, key, value) json_array_append_new(names, json_string(key));
    if (!text) text = "";
    while (*text) {
        char name[100];
        size_t n = strcspn(text, ",");
        snprintf(name, sizeof name, "%.*s", (int)(n < 99 ? n : 99), text);
        text += n + (text[n] == ',');
        if (!*name) continue;
        if (!json_object_get(known, name)) {
            answer_problem(r, PROBLEM_invalid, "this job has no metric \"%s\"", name);
            json_decref(names);
            json_decref(known);
            return NULL;
        }
        json_array_append_new(names, json_string(name));
    }
    json_decref(known);
    return names;
}

static void metrics(struct request *r) {
    struct store_job job = {0};
    struct bp_error error = {0};
    struct history h = {0};
    const char *text = request_query(r, "max_points");
    char *end = NULL;
    long max_points = text ? strtol(text, &end, 10) : POINTS_PRESET;
    if (text && (!*text || *end || max_points < 2 || max_points > 100000)) {
        answer_problem(r, PROBLEM_invalid, "max_points must be a whole number from 2 to 100000, got \"%.40s\"", text);
        return;
    }
    enum store_result result = store_job_get(r->server->store, r->params[0], &job, &error);
    store_job_free(&job);
    if (result == STORE_OK) result = history_read(r->server->store, r->params[0], &h, &error);
    json_t *names = result == STORE_OK ? wanted_names(r, &h) : NULL;
    bool *keep = names ? calloc(h.count + 1, sizeof *keep) : NULL;
    if (result != STORE_OK) {
        answer_store(r, result, &error, "job \"%.60s\"", r->params[0]);
    } else if (keep) {
        json_t *data = json_array();
        if (h.count > (size_t)max_points) history_thin(&h, names, (size_t)max_points, keep);
        else memset(keep, 1, h.count);
        for (size_t i = 0; i < h.count; i++) {
            if (!keep[i]) continue;
            json_t *point = json_object();
            for (const char *const *place = places; *place; place++)
                if (json_object_get(h.points[i], *place)) json_object_set(point, *place, json_object_get(h.points[i], *place));
            for (size_t k = 0; k < json_array_size(names); k++) {
                const char *name = json_string_value(json_array_get(names, k));
                json_t *v = json_object_get(h.points[i], name);
                json_object_set(point, name, v ? v : json_null());
            }
            json_array_append_new(data, point);
        }
        const json_t *layers = h.count ? json_object_get(h.points[h.count - 1], "layers") : NULL;
        answer_json(r, 200,
                    json_pack("{s:s, s:s, s:O, s:I, s:o, s:O*}", "object", "metrics", "job", r->params[0], "names", names, "epochs_kept",
                              (json_int_t)h.count, "data", data, "layers", layers));
    }
    free(keep);
    json_decref(names);
    history_free(&h);
}

const struct route route_list_jobs = {
    .name = "list_jobs",
    .method = "GET",
    .path = "/v1/jobs",
    .scope = SCOPE_READ,
    .flags = ROUTE_SLOW,
    .query = "kind,status,model,dataset,created_since,created_until,where,sort,fields,limit,after,metadata.*,option.*",
    .handle = list,
};
const struct route route_get_job = {
    .name = "get_job",
    .method = "GET",
    .path = "/v1/jobs/{id}",
    .scope = SCOPE_READ,
    .flags = ROUTE_SLOW,
    .handle = get,
};
const struct route route_list_metrics = {
    .name = "list_metrics",
    .method = "GET",
    .path = "/v1/jobs/{id}/metrics",
    .scope = SCOPE_READ,
    .flags = ROUTE_SLOW,
    .query = "names,max_points",
    .handle = metrics,
};

/* evaluate.c - POST /v1/models/{model}/evaluate and .../versions/{version}/evaluate: a version on rows whose targets are known. */
#include "schema/evaluate/request.h"
#include "schema/json/values.h"

#include "server/http/answer.h"
#include "server/http/http.h"
#include "server/model_cache.h"
#include "server/routes/rows_job.h"
#include "server/routes/rows_source.h"
#include "server/routes/version_view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Numbers that a request goes through: about half a minute of one core. */
enum { WORK_MAX = 300000000 };

/* A request as it is decoded and answered. */
struct evaluation {
    struct request *request;
    json_t *body;
    struct schema_problems problems;
    struct schema_evaluate_request what;
    struct loaded *loaded, *other;
    char other_name[STORE_NAME_SIZE]; /* the model of `other` */
    struct rows_source rows;
};

static void decode(struct evaluation *e) {
    static const char *const others[] = {"async", "compare", "dataset", "metadata", "priority", NULL};
    const json_t *async = json_object_get(e->body, "async");
    char got[80];
    if (async && !json_is_boolean(async))
        schema_problem_add(&e->problems, "/async", "async must be true or false, got %s", schema_json_text(async, got, sizeof got));
    rows_source_open(e->request, json_object_get(e->body, "dataset"), "/dataset", loaded_model(e->loaded), &e->rows, &e->problems);
    schema_evaluate_decode(e->body, others, e->rows.dataset, &e->what, &e->problems);
}

/* ---- the answer ------------------------------------------------------------------------------------------------------------------------------ */

/* What the report is of. */
static json_t *head_of(const struct evaluation *e, const char *model) {
    json_t *json = json_pack("{s:s, s:s, s:I}", "object", "evaluation", "model", model, "version", (json_int_t)loaded_version(e->loaded));
    json_object_set_new(json, "dataset", rows_source_name(&e->rows));
    json_object_set_new(json, "bootstrap", json_integer((json_int_t)e->what.evaluation.bootstrap));
    json_object_set_new(json, "seed", json_integer((json_int_t)e->what.evaluation.seed));
    if (e->other) json_object_set_new(json, "compared_with", json_integer((json_int_t)loaded_version(e->other)));
    return json;
}

/* "async" of the body, or Prefer: respond-async (RFC 7240). */
static bool asks_for_job(const struct evaluation *e) {
    const char *prefer = request_header(e->request, "Prefer");
    return json_is_true(json_object_get(e->body, "async")) || (prefer && strstr(prefer, "respond-async"));
}

static void answer_fault(struct evaluation *e, const struct bp_error *error) {
    if (!error->pointer[0]) {
        answer_error(e->request, error);
        return;
    }
    schema_problem_error(&e->problems, error->pointer, error);
    answer_problems(e->request, &e->problems);
}

/* What takes long becomes a job. Rows of the request are not stored. */
static void submit(struct evaluation *e, const char *model) {
    struct request *r = e->request;
    struct store_job job = {.kind = STORE_EVALUATE, .reads_version = loaded_version(e->loaded), .dataset_version = e->rows.row.version};
    if (r->server->follower && asks_for_job(e)) {
        answer_read_only(r);
        return;
    }
    if (e->rows.upload) {
        answer_problem(r, PROBLEM_too_large,
                       "an evaluation of rows in the request is answered at once, and these take too long for that: store them as a dataset (POST "
                       "/v1/datasets) and name it, which makes a job of the evaluation; or use fewer resamples (\"bootstrap\"), or \"rows\"");
        return;
    }
    struct schema_evaluation probe = e->what.evaluation; /* what the job would find wrong at once */
    struct bp_error error = {0};
    probe.rows_max = 1, probe.bootstrap = 0;
    json_t *probed = schema_evaluate(&probe, &error);
    json_decref(probed);
    if (!probed) {
        answer_fault(e, &error);
        return;
    }
    snprintf(job.model, sizeof job.model, "%s", model);
    snprintf(job.dataset, sizeof job.dataset, "%s", e->rows.row.name);
    if (e->other) {
        snprintf(job.compared_model, sizeof job.compared_model, "%s", e->other_name);
        job.compared_version = loaded_version(e->other);
    }
    json_t *view = json_pack("{s:o}", "evaluation", schema_evaluate_resolved(&e->what));
    json_t *spec = json_pack("{s:o, s:o}", "evaluation", schema_evaluate_encode(e->body), "head", head_of(e, model));
    rows_job_calibration(spec, "calibration", loaded_model(e->loaded));
    if (e->other) rows_job_calibration(spec, "compared_calibration", loaded_model(e->other));
    if (asprintf(&job.progress, "{\"rows\":0,\"rows_total\":%lld,\"failed_rows\":0,\"fraction\":0.0,\"rows_per_second\":null,\"eta_seconds\":null}",
                 (long long)e->rows.dataset->rows) < 0)
        job.progress = NULL;
    rows_job_submit(r, &job, e->body, spec, view, "/v1/jobs/", &e->problems);
}

static void answer(struct evaluation *e, const char *model) {
    struct request *r = e->request;
    struct bp_error error = {0};
    e->what.evaluation.model = loaded_model(e->loaded);
    e->what.evaluation.other = e->other ? loaded_model(e->other) : NULL;
    e->what.evaluation.stop = server_stopping, e->what.evaluation.context = r->server;
    const struct schema_evaluation evaluation = e->what.evaluation;
    if (asks_for_job(e) || schema_evaluation_work(&evaluation) > WORK_MAX) {
        submit(e, model);
        return;
    }
    json_t *report = schema_evaluate(&evaluation, &error);
    if (!report) {
        answer_fault(e, &error);
        return;
    }
    json_t *json = head_of(e, model);
    r->audited = true; /* nothing has changed */
    json_object_update(json, report);
    json_decref(report);
    answer_json_exact(r, 200, json);
}

/* "compare": a version of the model by its number, an alias or "latest", or "model@version" of another one. */
static void find_other(struct evaluation *e, const char *model) {
    const json_t *given = json_object_get(e->body, "compare");
    struct model_cache *cache = e->request->server->model_cache;
    struct bp_error error = {0};
    char name[STORE_NAME_SIZE], text[2 * STORE_NAME_SIZE];
    if (!given || json_is_null(given)) return;
    if (json_is_integer(given)) snprintf(text, sizeof text, "%lld", (long long)json_integer_value(given));
    else snprintf(text, sizeof text, "%s", json_is_string(given) ? json_string_value(given) : "");
    const char *at = strchr(text, '@'), *reference = at ? at + 1 : text;
    snprintf(name, sizeof name, "%.*s", at ? (int)(at - text) : (int)strlen(model), at ? text : model);
    if (!reference_valid(reference)) {
        schema_problem_add(&e->problems, "/compare", "compare is a version: its number, an alias, \"latest\", or of another model \"model@version\"");
        return;
    }
    const enum store_result result = model_cache_get(cache, name, reference, &e->other, &error);
    memcpy(e->other_name, name, sizeof e->other_name);
    if (result == STORE_NOT_FOUND) schema_problem_add(&e->problems, "/compare", "model \"%s\" has no version %s", name, reference);
    else if (result != STORE_OK) schema_problem_error(&e->problems, "/compare", &error);
}

static void evaluate(struct request *r, const char *name, const char *reference) {
    struct evaluation e = {.request = r};
    struct bp_error error = {0};
    struct model_cache *cache = r->server->model_cache;
    if (!(e.body = request_json(r))) return;
    const enum store_result result = model_cache_get(cache, name, reference, &e.loaded, &error);
    if (result != STORE_OK) {
        answer_no_version(r, result, &error, name, reference);
        json_decref(e.body);
        return;
    }
    decode(&e);
    if (e.problems.total == 0) find_other(&e, name);
    if (e.problems.total) answer_problems(r, &e.problems);
    else answer(&e, name);
    schema_problems_clear(&e.problems);
    if (e.other) model_cache_release(cache, e.other);
    model_cache_release(cache, e.loaded);
    rows_source_close(&e.rows);
    json_decref(e.body);
}

static void evaluate_default(struct request *r) {
    char name[STORE_NAME_SIZE], reference[STORE_NAME_SIZE];
    if (request_model(r, r->params[0], name, reference)) evaluate(r, name, reference);
}

static void evaluate_version(struct request *r) {
    char name[STORE_NAME_SIZE], reference[STORE_NAME_SIZE];
    if (request_version(r, name, reference)) evaluate(r, name, reference);
}

/* ---- reports that are stored ------------------------------------------------------------------------------------------------------------------- */

/* version 0: the report has it. */
static void answer_report(struct request *r, char *document, const char *model, int64_t version) {
    json_t *json = document_json(document);
    free(document);
    if (version) json_object_set_new(json, "model", json_string(model));
    if (version) json_object_set_new(json, "version", json_integer(version));
    answer_json_exact(r, 200, json);
}

static void get_of_job(struct request *r) {
    struct store_job job = {0};
    struct bp_error error = {0};
    char *document = NULL;
    enum store_result result = store_job_get(r->server->store, r->params[0], &job, &error);
    if (result != STORE_OK) {
        answer_store(r, result, &error, "job \"%.60s\"", r->params[0]);
        return;
    }
    if (job.kind == STORE_TRAIN && job.model_version > 0)
        result = store_version_test(r->server->store, job.model, job.model_version, &document, &error);
    else if (job.kind != STORE_PREDICT) result = store_job_evaluation(r->server->store, job.id, &document, &error);
    else result = STORE_NOT_FOUND;
    if (result == STORE_OK) answer_report(r, document, job.model, job.kind == STORE_TRAIN ? job.model_version : 0);
    else if (result == STORE_NOT_FOUND && !store_status_final(job.status))
        answer_problem(r, PROBLEM_conflict, "job %s is %s: its evaluation is there when it has succeeded", job.id, store_status_name(job.status));
    else if (result == STORE_NOT_FOUND)
        answer_problem(r, PROBLEM_not_found, "job %s has no evaluation: it %s", job.id,
                       job.status != STORE_SUCCEEDED ? "has not succeeded"
                       : job.kind == STORE_TRAIN     ? "trained without test rows (\"test\")"
                                                     : "predicted");
    else answer_store(r, result, &error, "evaluation of job \"%s\"", job.id);
    store_job_free(&job);
}

static void get_of_version(struct request *r) {
    char name[STORE_NAME_SIZE], reference[STORE_NAME_SIZE];
    struct bp_error error = {0};
    char *document = NULL;
    int64_t version = 0;
    if (!request_version(r, name, reference)) return;
    enum store_result result = store_version_find(r->server->store, name, reference, &version, &error);
    if (result != STORE_OK) {
        answer_no_version(r, result, &error, name, reference);
        return;
    }
    result = store_version_test(r->server->store, name, version, &document, &error);
    if (result == STORE_OK) answer_report(r, document, name, version);
    else if (result == STORE_NOT_FOUND)
        answer_problem(
            r, PROBLEM_not_found,
            "version %lld of model \"%s\" was trained without test rows (\"test\" of its job); POST .../evaluate evaluates it on a dataset",
            (long long)version, name);
    else answer_store(r, result, &error, "evaluation of model \"%s\"", name);
}

const struct route route_get_job_evaluation = {
    .name = "get_job_evaluation",
    .method = "GET",
    .path = "/v1/jobs/{id}/evaluation",
    .scope = SCOPE_READ,
    .flags = ROUTE_SLOW,
    .handle = get_of_job,
};
const struct route route_get_version_evaluation = {
    .name = "get_version_evaluation",
    .method = "GET",
    .path = "/v1/models/{model}/versions/{version}/evaluation",
    .scope = SCOPE_READ,
    .flags = ROUTE_SLOW,
    .handle = get_of_version,
};
const struct route route_evaluate = {
    .name = "evaluate",
    .method = "POST",
    .path = "/v1/models/{model}/evaluate",
    .scope = SCOPE_TRAIN,
    .body = ROUTE_JSON,
    .flags = ROUTE_SLOW | ROUTE_IDEMPOTENT_KEY | ROUTE_REPLICA,
    .handle = evaluate_default,
};
const struct route route_evaluate_version = {
    .name = "evaluate_version",
    .method = "POST",
    .path = "/v1/models/{model}/versions/{version}/evaluate",
    .scope = SCOPE_TRAIN,
    .body = ROUTE_JSON,
    .flags = ROUTE_SLOW | ROUTE_IDEMPOTENT_KEY | ROUTE_REPLICA,
    .handle = evaluate_version,
};

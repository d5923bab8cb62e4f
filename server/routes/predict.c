/* predict.c - POST /v1/models/{model}/predict and .../versions/{version}/predict. */
#include "server/http/answer.h"
#include "server/http/request.h"

#include "server/http/http.h"
#include "server/model_cache.h"
#include "server/routes/missing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ANSWER_MAX = 1 << 30 };

static bool allow(void *request, const struct schema_json_cost *cost) {
    return memory_for_cost(request, cost);
}

static void predict_with(struct request *r, const char *name, int64_t version) {
    struct loaded *loaded = NULL;
    struct bp_error error = {0};
    struct schema_problems problems = {0};
    enum store_result result = model_cache_get(r->server->model_cache, name, version, &loaded, &error);
    if (result != STORE_OK) {
        struct store_model m = {0};
        struct bp_error ignored = {0};
        bool exists = result == STORE_NOT_FOUND && store_model_get(r->server->store, name, &m, &ignored) == STORE_OK;
        store_model_free(&m);
        if (exists && version == 0) answer_problem(r, PROBLEM_conflict, "model \"%s\" has no version yet: train it first with POST /v1/jobs", name);
        else if (version) answer_store(r, result, &error, "version %lld of model \"%s\"", (long long)version, name);
        else answer_no_model(r, result, &error, name);
        return;
    }
    struct schema_predictor *predictor = loaded_take(loaded, &error);
    struct schema_text out = {.limit = ANSWER_MAX};
    if (predictor) schema_predictor_bound(predictor, allow, r);
    schema_text_format(&out, "{\"model\":\"%s\",\"version\":%lld,", name, (long long)loaded_version(loaded));
    if (!predictor) {
        answer_error(r, &error);
    } else if (schema_predict_body(predictor, r->body.bytes ? r->body.bytes : "", r->body.size, r->server->settings.instances_max, &out, &problems) !=
               0) {
        if (!problems.total) (void)0; /* answered: out of memory */
        else if (problems.total == 1 && !problems.items[0].pointer && problems.items[0].line)
            answer_problem(r, PROBLEM_bad_request, "%s", problems.items[0].detail);
        else answer_problems(r, &problems);
    } else {
        schema_text_add(&out, "}\n", 2);
        answer_bytes(r, 200, "application/json", out.bytes, out.size);
        out.bytes = NULL;
    }
    schema_problems_clear(&problems);
    free(out.bytes);
    if (predictor) loaded_give(loaded, predictor);
    model_cache_release(r->server->model_cache, loaded);
}

static void predict(struct request *r) {
    char name[STORE_NAME_SIZE];
    int64_t version;
    if (request_name(r, r->params[0], name, &version)) predict_with(r, name, version);
}

static void predict_version(struct request *r) {
    char name[STORE_NAME_SIZE];
    int64_t ignored, version;
    if (request_name(r, r->params[0], name, &ignored) && version_param(r, r->params[1], &version)) predict_with(r, name, version);
}

const struct route route_predict = {
    .name = "predict",
    .method = "POST",
    .path = "/v1/models/{model}/predict",
    .body = ROUTE_JSON,
    .flags = ROUTE_SLOW_IF_LARGE,
    .handle = predict,
};
const struct route route_predict_version = {
    .name = "predict_version",
    .method = "POST",
    .path = "/v1/models/{model}/versions/{version}/predict",
    .body = ROUTE_JSON,
    .flags = ROUTE_SLOW_IF_LARGE,
    .handle = predict_version,
};

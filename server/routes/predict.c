/* predict.c - POST /v1/models/{model}/predict and .../versions/{version}/predict. */
#include "server/http/answer.h"
#include "server/http/request.h"

#include "server/clock.h"
#include "server/drift.h"
#include "server/http/http.h"
#include "server/model_cache.h"
#include "server/routes/predict_stream.h"
#include "server/routes/version_view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ANSWER_MAX = 1 << 30, QUICK_BYTES = 64 << 10, QUICK_MS = 1 };

static bool allow(void *request, const struct schema_json_cost *cost) {
    return memory_for_cost(request, cost);
}

/* Arrays and objects of the body: what a prediction takes grows with them. */
static int64_t pieces_of(const struct schema_text *body) {
    int64_t pieces = 0;
    for (size_t i = 0; i < body->size; i++) pieces += body->bytes[i] == '[' || body->bytes[i] == '{';
    return pieces;
}

void predict_count(const struct server *server, const char *name, const struct loaded *loaded, const struct schema_predictor *predictor) {
    int64_t rows;
    const uint64_t *counts = schema_predictor_observed(predictor, &rows);
    if (counts) drift_add(server->drift, name, loaded_version(loaded), loaded_model(loaded)->reference->bins, rows, counts);
}

/* Takes loaded. */
static void predict_loaded(struct request *r, const char *name, struct loaded *loaded) {
    struct bp_error error = {0};
    struct schema_problems problems = {0};
    const double begun = clock_seconds();
    struct schema_predictor *predictor = loaded_take(loaded, &error);
    struct schema_text out = {.limit = ANSWER_MAX};
    if (predictor) schema_predictor_bound(predictor, allow, r);
    if (predictor && r->server->drift) schema_predictor_observe(predictor);
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
        predict_count(r->server, name, loaded, predictor);
        loaded_measured(loaded, pieces_of(&r->body), 1e3 * (clock_seconds() - begun));
    }
    schema_problems_clear(&problems);
    free(out.bytes);
    if (predictor) loaded_give(loaded, predictor);
    model_cache_release(r->server->model_cache, loaded);
}

static void predict_with(struct request *r, const char *name, const char *reference) {
    struct loaded *loaded = NULL;
    struct bp_error error = {0};
    enum store_result result = model_cache_get(r->server->model_cache, name, reference, &loaded, &error);
    if (result == STORE_OK) predict_loaded(r, name, loaded);
    else answer_no_version(r, result, &error, name, reference);
}

/* With a model that is loaded, when it takes less than a millisecond by what earlier ones took. */
static bool predict_quick(struct request *r, const char *name, const char *reference) {
    if (r->body.size > QUICK_BYTES) return false;
    struct loaded *loaded = model_cache_find(r->server->model_cache, name, reference);
    if (!loaded) return false;
    if (loaded_cost(loaded, pieces_of(&r->body)) < QUICK_MS) {
        predict_loaded(r, name, loaded);
        return true;
    }
    model_cache_release(r->server->model_cache, loaded);
    return false;
}

/* Parameters are for rows of CSV and JSON lines. False: answered. */
static bool without_query(struct request *r) {
    if (MHD_get_connection_values(r->connection, MHD_GET_ARGUMENT_KIND, NULL, NULL) == 0) return true;
    answer_problem(r, PROBLEM_invalid,
                   "the query parameters of predict are for text/csv and application/x-ndjson; in JSON, \"strict\", \"thresholds\" and \"coverage\" "
                   "stand beside the instances");
    return false;
}

static void predict(struct request *r) {
    char name[STORE_NAME_SIZE], reference[STORE_NAME_SIZE];
    if (r->sink) predict_stream_answer(r);
    else if (without_query(r) && request_model(r, r->params[0], name, reference)) predict_with(r, name, reference);
}

static bool quick(struct request *r) {
    char name[STORE_NAME_SIZE], reference[STORE_NAME_SIZE];
    if (r->sink) return false;
    return !without_query(r) || !request_model(r, r->params[0], name, reference) || predict_quick(r, name, reference);
}

static void predict_version(struct request *r) {
    char name[STORE_NAME_SIZE], reference[STORE_NAME_SIZE];
    if (r->sink) predict_stream_answer(r);
    else if (without_query(r) && request_version(r, name, reference)) predict_with(r, name, reference);
}

static bool quick_version(struct request *r) {
    char name[STORE_NAME_SIZE], reference[STORE_NAME_SIZE];
    if (r->sink) return false;
    return !without_query(r) || !request_version(r, name, reference) || predict_quick(r, name, reference);
}

const struct route route_predict = {
    .name = "predict",
    .method = "POST",
    .path = "/v1/models/{model}/predict",
    .scope = SCOPE_PREDICT,
    .body = ROUTE_JSON,
    .flags = ROUTE_SLOW | ROUTE_REPLICA,
    .query = PREDICT_STREAM_QUERY,
    .sink = &predict_stream_sink,
    .handle = predict,
    .quick = quick,
};
const struct route route_predict_version = {
    .name = "predict_version",
    .method = "POST",
    .path = "/v1/models/{model}/versions/{version}/predict",
    .scope = SCOPE_PREDICT,
    .body = ROUTE_JSON,
    .flags = ROUTE_SLOW | ROUTE_REPLICA,
    .query = PREDICT_STREAM_QUERY,
    .sink = &predict_stream_sink,
    .handle = predict_version,
    .quick = quick_version,
};

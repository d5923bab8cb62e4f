/* drift.c - GET /v1/models/{model}/drift and .../versions/{version}/drift: what a version has predicted lately beside its training rows. */
#include "server/routes/drift_view.h"

#include "server/http/answer.h"
#include "server/http/request.h"
#include "server/routes/version_view.h"

static void answer_drift(struct request *r, const char *name, const char *reference) {
    struct bp_error error = {0};
    struct store_version v = {0};
    int64_t version;
    enum store_result result = store_version_find(r->server->store, name, reference, &version, &error);
    if (result == STORE_OK) result = store_version_get(r->server->store, name, version, &v, &error);
    if (result != STORE_OK) {
        answer_no_version(r, result, &error, name, reference);
        return;
    }
    json_t *document = document_json(v.document), *report = drift_report(r->server->drift, name, version, document);
    json_t *json = json_pack("{s:s, s:s, s:I}", "object", "drift", "model", name, "version", (json_int_t)version);
    json_object_update(json, report);
    json_decref(report);
    json_decref(document);
    store_version_free(&v);
    answer_header(r, "Cache-Control", "no-cache");
    answer_json_exact(r, 200, json);
}

static void get(struct request *r) {
    char name[STORE_NAME_SIZE], reference[STORE_NAME_SIZE];
    if (request_model(r, r->params[0], name, reference)) answer_drift(r, name, reference);
}

static void get_version(struct request *r) {
    char name[STORE_NAME_SIZE], reference[STORE_NAME_SIZE];
    if (request_version(r, name, reference)) answer_drift(r, name, reference);
}

const struct route route_get_drift = {
    .name = "get_drift",
    .method = "GET",
    .path = "/v1/models/{model}/drift",
    .scope = SCOPE_READ,
    .flags = ROUTE_SLOW,
    .handle = get,
};
const struct route route_get_version_drift = {
    .name = "get_version_drift",
    .method = "GET",
    .path = "/v1/models/{model}/versions/{version}/drift",
    .scope = SCOPE_READ,
    .flags = ROUTE_SLOW,
    .handle = get_version,
};

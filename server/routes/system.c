/* system.c - GET /livez, /readyz, /openapi.json, /v1/catalog, /v1/server. */
#include "server/http/answer.h"
#include "server/http/http.h"
#include "server/http/request.h"

#include "engine/kernels/kernels.h"
#include "schema/catalog/catalog.h"
#include "schema/json/values.h"
#include "schema/memory.h"
#include "server/clock.h"
#include "server/follow/follower.h"
#include "server/http/hub.h"
#include "server/jobs/supervisor.h"
#include "server/routes/openapi.h"
#include "server/version.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static void livez(struct request *r) {
    answer_json(r, 200, json_pack("{s:s}", "status", "alive"));
}

/* Once it has had everything it is ready, however far behind: an old answer is better than none, and the lag is in the answer. */
static void readyz_replica(struct request *r) {
    struct follower_status s;
    follower_status(r->server->follower, &s);
    if (s.complete) answer_json(r, 200, json_pack("{s:s, s:o}", "status", "ready", "following", follower_json(r->server->follower)));
    else
        answer_problem(r, PROBLEM_overloaded, "this replica has not copied all models of %.300s yet%s%.500s", s.primary,
                       *s.error ? ", and tries again: " : "; it is on its way", s.error);
}

static void readyz(struct request *r) {
    struct bp_error error = {0};
    if (atomic_load(&r->server->draining)) answer_problem(r, PROBLEM_overloaded, "the server is stopping");
    else if (store_ping(r->server->store, &error) != STORE_OK) answer_problem(r, PROBLEM_overloaded, "the store does not respond: %s", error.message);
    else if (r->server->follower) readyz_replica(r);
    else answer_json(r, 200, json_pack("{s:s}", "status", "ready"));
}

/* Documents that are the same for as long as this program runs. */
static struct document contract, list;
static pthread_once_t contract_once = PTHREAD_ONCE_INIT, list_once = PTHREAD_ONCE_INIT;

static void make_contract(void) {
    contract = (struct document){.bytes = openapi_json, .size = openapi_json_size};
    document_prepare(&contract);
}

static void make_list(void) {
    json_t *json = schema_catalog();
    char *text = schema_json_dump(json, JSON_COMPACT | JSON_REAL_PRECISION(15));
    json_decref(json);
    list = (struct document){.bytes = text, .size = text ? strlen(text) : 0};
    if (text) document_prepare(&list);
}

static void openapi(struct request *r) {
    pthread_once(&contract_once, make_contract);
    answer_document(r, &contract);
}

static void catalog(struct request *r) {
    pthread_once(&list_once, make_list);
    answer_document(r, &list);
}

static void server(struct request *r) {
    const struct server_settings *s = &r->server->settings;
    struct bp_error error = {0};
    int64_t counts[STORE_STATUS_COUNT] = {0};
    store_job_counts(r->server->store, counts, &error);
    json_t *jobs = json_object();
    for (int i = 0; i < STORE_STATUS_COUNT; i++) json_object_set_new(jobs, store_status_name((enum store_status)i), json_integer(counts[i]));
    json_t *limits =
        json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "body_max", s->body_max, "upload_max", s->upload_max, "rows_max", s->rows_max,
                  "instances_max", s->instances_max, "connections_max", s->connections_max, "streams_max", s->streams_max, "queue_max", s->queue_max,
                  "job_memory_max", s->job_memory_max, "request_timeout", s->request_timeout, "attempts_max", s->attempts_max);
    json_object_set_new(limits, "json_depth", json_integer(64));
    json_object_set_new(limits, "json_values_max", json_integer(s->json_values_max));
    json_object_set_new(limits, "requests_memory_max", json_integer(s->requests_memory_max));
    json_t *json = json_pack("{s:s, s:s, s:o, s:I, s:s, s:s, s:{s:i, s:i}, s:I, s:o, s:o}", "object", "server", "version", BACKPROPD_VERSION,
                             "started_at", time_json(r->server->started_at), "uptime_seconds",
                             (json_int_t)((clock_ms() - r->server->started_ms) / 1000), "kernels", bp_kernels_name(), "blas", bp_blas_name(),
                             "workers", "slots", supervisor_slots(r->server->supervisor), "running", supervisor_running(r->server->supervisor),
                             "streams", (json_int_t)hub_streams(http_hub(r->server->http)), "jobs", jobs, "limits", limits);
    json_object_set_new(json, "following", r->server->follower ? follower_json(r->server->follower) : json_null());
    json_object_set_new(json, "memory", json_pack("{s:I}", "requests", (json_int_t)atomic_load(&r->server->memory_reserved)));
    answer_json(r, 200, json);
}

const struct route route_livez = {
    .name = "livez",
    .method = "GET",
    .path = "/livez",
    .scope = SCOPE_OPEN,
    .handle = livez,
};
const struct route route_readyz = {
    .name = "readyz",
    .method = "GET",
    .path = "/readyz",
    .scope = SCOPE_OPEN,
    .flags = ROUTE_SLOW,
    .handle = readyz,
};
const struct route route_openapi = {
    .name = "openapi",
    .method = "GET",
    .path = "/openapi.json",
    .scope = SCOPE_ANY,
    .flags = ROUTE_SLOW,
    .handle = openapi,
};
const struct route route_catalog = {
    .name = "catalog",
    .method = "GET",
    .path = "/v1/catalog",
    .scope = SCOPE_ANY,
    .flags = ROUTE_SLOW,
    .handle = catalog,
};
const struct route route_server = {
    .name = "server",
    .method = "GET",
    .path = "/v1/server",
    .scope = SCOPE_READ,
    .flags = ROUTE_SLOW,
    .handle = server,
};

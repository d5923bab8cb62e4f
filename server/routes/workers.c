/* workers.c - GET /v1/workers: where jobs can run, and which run there. */
#include "server/http/answer.h"
#include "server/jobs/launchers.h"
#include "server/jobs/supervisor.h"

#include <stdlib.h>
#include <string.h>

enum { PLACES_MAX = 4096 };

/* A job that runs, with what is known of its process. */
static json_t *job_json_short(const struct server *server, const struct supervisor_place *place) {
    struct store_job job = {0};
    struct bp_error error = {0};
    json_t *json = json_pack("{s:s, s:I}", "id", place->job, "attempt", (json_int_t)place->attempt);
    if (store_job_get(server->store, place->job, &job, &error) == STORE_OK) {
        json_t *launch = document_json(job.launch), *host = json_object_get(launch, "host"), *message = json_object_get(launch, "message"),
               *state = json_object_get(launch, "state");
        json_object_set_new(json, "status", json_string(store_status_name(job.status)));
        json_object_set(json, "state", state ? state : json_null());
        json_object_set(json, "host", host ? host : json_null());
        json_object_set(json, "message", message ? message : json_null());
        json_decref(launch);
    }
    store_job_free(&job);
    return json;
}

static json_t *launcher_json(const struct server *server, const struct launcher *l, const struct supervisor_place *places, int count) {
    json_t *jobs = json_array();
    for (int i = 0; i < count; i++)
        if (places[i].launcher == l) json_array_append_new(jobs, job_json_short(server, &places[i]));
    return json_pack("{s:s, s:s, s:s?, s:I, s:i, s:O, s:o, s:o}", "object", "worker", "name", l->name, "command",
                     l->command ? json_string_value(json_array_get(l->command, 0)) : NULL, "slots",
                     (json_int_t)supervisor_slots_of(server->supervisor, l), "running", (int)json_array_size(jobs), "labels", l->labels, "memory_mb",
                     l->memory_mb ? json_integer(l->memory_mb) : json_null(), "jobs", jobs);
}

static void list(struct request *r) {
    const struct launchers *launchers = r->server->launchers;
    struct supervisor_place *places = calloc(PLACES_MAX, sizeof *places);
    const int count = places ? supervisor_places(r->server->supervisor, places, PLACES_MAX) : 0;
    json_t *data = json_array();
    for (int i = 0; i < launchers->count; i++) json_array_append_new(data, launcher_json(r->server, &launchers->items[i], places, count));
    answer_json(r, 200, list_json(data, launchers->items[0].name, launchers->items[launchers->count - 1].name, false));
    free(places);
}

const struct route route_list_workers = {
    .name = "list_workers",
    .method = "GET",
    .path = "/v1/workers",
    .scope = SCOPE_READ,
    .flags = ROUTE_SLOW,
    .handle = list,
};

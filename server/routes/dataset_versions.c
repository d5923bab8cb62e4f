/* dataset_versions.c - GET /v1/datasets/{name}/versions, and a dataset version as JSON: its origin and its uses. */
#include "server/routes/dataset_view.h"
#include "server/routes/missing.h"

#include <stdio.h>
#include <stdlib.h>

enum { USES_SHOWN = 20 };

static json_t *parent_json(const struct store_dataset *d) {
    if (!d->parent) return json_null();
    return json_pack("{s:s, s:I, s:s}", "name", d->name, "version", (json_int_t)d->parent, "change", d->change);
}

json_t *dataset_json(const struct store_dataset *d) {
    json_t *json = json_pack("{s:s, s:s, s:I, s:I, s:I, s:o, s:o}", "object", "dataset", "name", d->name, "version", (json_int_t)d->version, "rows",
                             (json_int_t)d->rows, "bytes", (json_int_t)d->bytes, "created_at", time_json(d->created_at), "parent", parent_json(d));
    json_t *description = document_json(d->description);
    if (json_is_object(description)) json_object_update(json, description);
    json_decref(description);
    return json;
}

static json_t *uses_json(const struct store_uses *uses) {
    json_t *jobs = json_array(), *versions = json_array();
    for (int32_t i = 0; i < uses->jobs_listed; i++) {
        const struct store_use *u = &uses->jobs[i];
        json_array_append_new(jobs, json_pack("{s:s, s:s, s:s, s:o}", "id", u->job, "status", store_status_name(u->status), "model", u->model,
                                              "model_version", u->version ? json_integer(u->version) : json_null()));
    }
    for (int32_t i = 0; i < uses->versions_listed; i++) {
        const struct store_use *u = &uses->versions[i];
        json_array_append_new(versions, json_pack("{s:s, s:I, s:s}", "model", u->model, "version", (json_int_t)u->version, "job", u->job));
    }
    return json_pack("{s:I, s:o, s:I, s:o}", "jobs_count", (json_int_t)uses->jobs_count, "jobs", jobs, "versions_count",
                     (json_int_t)uses->versions_count, "versions", versions);
}

json_t *dataset_used_json(struct request *r, const struct store_dataset *d) {
    struct store_uses uses;
    struct bp_error error = {0};
    enum store_result result = store_dataset_uses(r->server->store, d->name, d->version, USES_SHOWN, &uses, &error);
    if (result != STORE_OK) {
        answer_store(r, result, &error, "dataset \"%s\"", d->name);
        return NULL;
    }
    json_t *json = dataset_json(d);
    json_object_set_new(json, "used_by", uses_json(&uses));
    store_uses_free(&uses);
    return json;
}

static json_t *listed(struct request *r, const void *item) {

    return dataset_used_json(r, item);
}

static const char *version_at(const void *item, char text[24]) {
    const struct store_dataset *d = item;
    snprintf(text, 24, "%lld", (long long)d->version);
    return text;
}

static void list(struct request *r) {
    char name[STORE_NAME_SIZE];
    int64_t version, from;
    int32_t limit;
    const char *after;
    struct store_datasets found = {0};
    struct bp_error error = {0};
    if (!request_paging(r, &limit, &after) || !request_name(r, r->params[0], name, &version)) return;
    if (version) {
        answer_problem(r, PROBLEM_invalid, "versions are listed by the name of the dataset; leave @%lld out", (long long)version);
        return;
    }
    if (!request_after_version(r, after, &from)) return;
    enum store_result result = store_dataset_versions(r->server->store, name, from, limit, &found, &error);
    if (result == STORE_OK && found.count == 0) { /* none that old, or no such dataset */
        struct store_dataset any;
        result = store_dataset_get(r->server->store, name, 0, &any, &error);
        store_dataset_free(&any);
    }
    if (result != STORE_OK) {
        answer_no_dataset(r, result, &error, name);
        store_datasets_free(&found);
        return;
    }
    answer_list(r, &(struct listing){LISTING(found), .has_more = found.has_more, .exact = true, .render = listed, .id = version_at});
    store_datasets_free(&found);
}

const struct route route_list_dataset_versions = {
    .name = "list_dataset_versions",
    .method = "GET",
    .path = "/v1/datasets/{name}/versions",
    .scope = SCOPE_READ,
    .flags = ROUTE_SLOW,
    .query = "limit,after",
    .handle = list,
};

/* models.c - POST|GET /v1/models, GET|DELETE /v1/models/{model}. Versions are in versions.c. */
#include "server/routes/drift_view.h"
#include "server/routes/missing.h"
#include "server/routes/upload.h"
#include "server/routes/version_view.h"

#include "schema/json/values.h"
#include "schema/memory.h"
#include "schema/resolve/training.h"
#include "server/model_cache.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static json_t *model_json(const struct store_model *m) {
    return json_pack("{s:s, s:s, s:o, s:o, s:o, s:o, s:I, s:o}", "object", "model", "name", m->name, "definition", document_json(m->definition),
                     "latest_version", m->latest ? json_integer(m->latest) : json_null(), "created_at", time_json(m->created_at), "updated_at",
                     time_json(m->updated_at), "versions", (json_int_t)m->versions, "aliases", document_json(m->aliases));
}

static void create(struct request *r) {
    static const char *const others[] = {"name", NULL};
    struct schema_problems problems = {0};
    struct bp_error error = {0};
    json_t *body = request_json(r);
    if (!body) return;
    const char *name = json_string_value(json_object_get(body, "name"));
    if (!name) schema_problem_add(&problems, "/name", "a model needs a \"name\", a text like \"penguins\"");
    else if (!schema_name_valid(name))
        schema_problem_add(
            &problems, "/name",
            "\"%.80s\" is not a valid name for a model: lower-case letters, digits, \".\", \"_\", \"-\", starting with a letter or digit, at most 63",
            name);
    struct schema_definition *definition = schema_definition_decode(body, "", others, &problems);
    schema_definition_free(definition);
    if (problems.total) {
        answer_problems(r, &problems);
        json_decref(body);
        return;
    }
    char location[128], held[STORE_NAME_SIZE];
    snprintf(held, sizeof held, "%s", name);
    snprintf(location, sizeof location, "/v1/models/%s", held);
    json_object_del(body, "name");
    char *text = schema_json_dump(body, JSON_COMPACT);
    bool created = false;
    struct store_idempotency record;
    enum store_result result = store_model_put(r->server->store, held, text, &created, request_idempotency(r, &record, 201, location), &error);
    struct store_model m = {0};
    if (result == STORE_OK) result = store_model_get(r->server->store, held, &m, &error);
    if (result == STORE_OK) {
        answer_header(r, "Location", location);
        answer_json(r, created ? 201 : 200, model_json(&m));
        store_model_free(&m);
    } else {
        answer_store(r, result, &error, "model \"%s\"", held);
    }
    free(text);
    json_decref(body);
}

static json_t *listed(struct request *r, const void *item) {
    (void)r;
    return model_json(item);
}

static const char *name_at(const void *item, char text[24]) {
    const struct store_model *m = item;
    (void)text;
    return m->name;
}

static void list(struct request *r) {
    int32_t limit;
    const char *after;
    struct store_models found = {0};
    struct bp_error error = {0};
    if (!request_paging(r, &limit, &after)) return;
    enum store_result result = store_model_list(r->server->store, after, limit, &found, &error);
    if (result != STORE_OK) {
        answer_store(r, result, &error, "models");
        return;
    }
    answer_list(r, &(struct listing){LISTING(found), .has_more = found.has_more, .render = listed, .id = name_at});
    store_models_free(&found);
}

/* Of the version that is served, null: there is none, or nothing to compare. */
static json_t *served_drift(struct request *r, const char *name) {
    struct bp_error ignored = {0};
    struct store_version v = {0};
    int64_t version;
    if (store_version_find(r->server->store, name, NULL, &version, &ignored) != STORE_OK ||
        store_version_get(r->server->store, name, version, &v, &ignored) != STORE_OK)
        return json_null();
    json_t *document = document_json(v.document), *summary = drift_summary(r->server->drift, name, version, document);
    json_decref(document);
    store_version_free(&v);
    return summary;
}

static void get(struct request *r) {
    char name[STORE_NAME_SIZE], reference[STORE_NAME_SIZE];
    struct store_model m = {0};
    struct bp_error error = {0};
    if (!request_model(r, r->params[0], name, reference)) return;
    if (reference[0]) {
        answer_version(r, name, reference);
        return;
    }
    enum store_result result = store_model_get(r->server->store, name, &m, &error);
    if (result != STORE_OK) {
        answer_no_model(r, result, &error, name);
        return;
    }
    json_t *json = model_json(&m);
    json_object_set_new(json, "drift", served_drift(r, name));
    answer_json(r, 200, json);
    store_model_free(&m);
}

static void delete_model(struct request *r) {
    char name[STORE_NAME_SIZE], reference[STORE_NAME_SIZE];
    struct bp_error error = {0};
    if (!request_model(r, r->params[0], name, reference)) return;
    if (reference[0]) {
        delete_version_of(r, name, reference);
        return;
    }
    enum store_result result = store_model_delete(r->server->store, name, &error);
    if (result == STORE_OK) model_cache_deleted(r->server->model_cache, name, 0);
    atomic_store(&r->server->memory_freed, true);
    if (result != STORE_OK) answer_no_model(r, result, &error, name);
    else answer_bytes(r, 204, NULL, NULL, 0);
}

const struct route route_create_model = {
    .name = "create_model",
    .method = "POST",
    .path = "/v1/models",
    .scope = SCOPE_TRAIN,
    .body = ROUTE_JSON,
    .flags = ROUTE_SLOW | ROUTE_IDEMPOTENT_KEY,
    .handle = create,
};
const struct route route_list_models = {
    .name = "list_models",
    .method = "GET",
    .path = "/v1/models",
    .scope = SCOPE_READ,
    .flags = ROUTE_SLOW,
    .query = "limit,after",
    .handle = list,
};
const struct route route_get_model = {
    .name = "get_model",
    .method = "GET",
    .path = "/v1/models/{model}",
    .scope = SCOPE_READ,
    .flags = ROUTE_SLOW,
    .handle = get,
};
const struct route route_delete_model = {
    .name = "delete_model",
    .method = "DELETE",
    .path = "/v1/models/{model}",
    .scope = SCOPE_ADMIN,
    .flags = ROUTE_SLOW,
    .handle = delete_model,
};

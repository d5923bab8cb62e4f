/* versions.c - GET /v1/models/{model}/versions, GET|DELETE .../versions/{version}, GET|PATCH .../versions/{version}/notes. */
#include "server/routes/version_view.h"

#include "schema/json/values.h"
#include "schema/memory.h"
#include "schema/training/options.h"
#include "server/hex.h"
#include "server/model_cache.h"
#include "server/routes/missing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- answers --------------------------------------------------------------------------------------------------------------------- */

json_t *version_json(const struct store_version *v) {
    json_t *json = json_pack("{s:s, s:s, s:I, s:o, s:s?, s:I}", "object", "version", "model", v->model, "version", (json_int_t)v->version,
                             "created_at", time_json(v->created_at), "job", v->job[0] ? v->job : NULL, "bytes", (json_int_t)v->bytes);
    json_t *document = document_json(v->document);
    schema_options_complete(json_object_get(document, "options"));
    if (json_is_object(document)) json_object_update_missing(json, document);
    json_decref(document);
    return json;
}

void answer_no_version(struct request *r, enum store_result result, const struct bp_error *error, const char *name, const char *reference) {
    struct store_model m = {0};
    struct bp_error ignored = {0};
    const bool exists = result == STORE_NOT_FOUND && store_model_get(r->server->store, name, &m, &ignored) == STORE_OK;
    const bool trained = m.versions > 0;
    store_model_free(&m);
    if (!exists) answer_no_model(r, result, error, name);
    else if (reference[0]) answer_store(r, result, error, "version %s of model \"%s\"", reference, name);
    else if (trained) answer_problem(r, PROBLEM_conflict, "%s", error->message); /* none is published */
    else answer_problem(r, PROBLEM_conflict, "model \"%s\" has no version yet: train it first with POST /v1/jobs", name);
}

struct store_actor request_actor(const struct request *r) {
    struct store_actor actor = {0};
    snprintf(actor.key_id, sizeof actor.key_id, "%s", r->who.id);
    snprintf(actor.key_name, sizeof actor.key_name, "%s", r->who.name);
    return actor;
}

bool header_has_tag(const char *header, const char *tag) {
    const size_t size = strlen(tag);
    while (header && *header) {
        header += strspn(header, " \t,");
        if (*header == '*') return true;
        if (strncmp(header, "W/", 2) == 0) header += 2;
        if (*header == '"' && strncmp(header + 1, tag, size) == 0 && header[1 + size] == '"') return true;
        const char *end = *header == '"' ? strchr(header + 1, '"') : NULL;
        header = end ? end + 1 : header + strcspn(header, ",");
    }
    return false;
}

bool answered_unchanged(struct request *r, const char *tag) {
    char quoted[80];
    snprintf(quoted, sizeof quoted, "\"%s\"", tag);
    answer_header(r, "ETag", quoted);
    if (!header_has_tag(request_header(r, "If-None-Match"), tag)) return false;
    answer_bytes(r, 304, NULL, NULL, 0);
    return true;
}

static bool is_number(const char *reference) {
    return reference[strspn(reference, "0123456789")] == '\0';
}

/* The store's version, which the reference names. false: answered. */
static bool version_get(struct request *r, const char *name, const char *reference, struct store_version *version) {
    struct bp_error error = {0};
    int64_t number;
    enum store_result result = store_version_find(r->server->store, name, reference, &number, &error);
    if (result == STORE_OK) result = store_version_get(r->server->store, name, number, version, &error);
    if (result != STORE_OK) answer_no_version(r, result, &error, name, reference);
    return result == STORE_OK;
}

/* The entity tag is of the bytes, which the program's own version enters. */
static void tag_of(const char *text, size_t size, char tag[33]) {
    hex_sha256(text, size, 16, tag);
}

void answer_version(struct request *r, const char *name, const char *reference) {
    struct store_version v = {0};
    char tag[33], quoted[40];
    if (!version_get(r, name, reference, &v)) return;
    answer_json(r, 200, version_json(&v));
    store_version_free(&v);
    if (r->status != 200) return;
    tag_of(r->answer, r->answer_size, tag);
    snprintf(quoted, sizeof quoted, "\"%s\"", tag);
    answer_header(r, "ETag", quoted);
    answer_header(r, "Cache-Control", is_number(reference) ? "private, max-age=31536000, immutable" : "no-cache");
    if (header_has_tag(request_header(r, "If-None-Match"), tag)) answer_bytes(r, 304, NULL, NULL, 0);
}

void delete_version_of(struct request *r, const char *name, const char *reference) {
    struct bp_error error = {0};
    if (!is_number(reference)) {
        answer_problem(r, PROBLEM_invalid, "a version is deleted by its number, so that no other is meant; got \"%.60s\"", reference);
        return;
    }
    const int64_t version = strtoll(reference, NULL, 10);
    enum store_result result = store_version_delete(r->server->store, name, version, &error);
    if (result == STORE_OK) model_cache_deleted(r->server->model_cache, name, version);
    atomic_store(&r->server->memory_freed, true);
    if (result == STORE_OK) answer_bytes(r, 204, NULL, NULL, 0);
    else if (result == STORE_NOT_FOUND) answer_no_version(r, result, &error, name, reference);
    else answer_store(r, result, &error, "version %s of model \"%s\"", reference, name);
}

/* ---- versions -------------------------------------------------------------------------------------------------------------------- */

/* With what may change: its notes, its tags, the aliases that name it. */
static json_t *listed(struct request *r, const void *item) {
    const struct store_version *v = item;
    json_t *json = version_json(v);
    (void)r;
    json_object_set_new(json, "aliases", document_json(v->aliases));
    json_object_set_new(json, "notes", json_string(v->notes));
    json_object_set_new(json, "tags", document_json(v->tags));
    return json;
}

static const char *version_at(const void *item, char text[24]) {
    const struct store_version *v = item;
    snprintf(text, 24, "%lld", (long long)v->version);
    return text;
}

static void list(struct request *r) {
    char name[STORE_NAME_SIZE];
    int64_t version;
    const char *after;
    struct store_version_filter filter = {.tag = request_query(r, "tag")};
    struct store_versions found = {0};
    struct store_model m = {0};
    struct bp_error error = {0};
    if (!request_paging(r, &filter.limit, &after) || !request_name(r, r->params[0], name, &version)) return;
    if (!request_after_version(r, after, &filter.after)) return;
    enum store_result result = store_model_get(r->server->store, name, &m, &error);
    store_model_free(&m);
    if (result == STORE_OK) result = store_version_list(r->server->store, name, &filter, &found, &error);
    if (result != STORE_OK) {
        answer_no_model(r, result, &error, name);
        return;
    }
    answer_list(r, &(struct listing){LISTING(found), .has_more = found.has_more, .render = listed, .id = version_at});
    store_versions_free(&found);
}

static void get(struct request *r) {
    char name[STORE_NAME_SIZE], reference[STORE_NAME_SIZE];
    if (request_version(r, name, reference)) answer_version(r, name, reference);
}

static void delete_version(struct request *r) {
    char name[STORE_NAME_SIZE], reference[STORE_NAME_SIZE];
    if (request_version(r, name, reference)) delete_version_of(r, name, reference);
}

/* ---- notes and tags ---------------------------------------------------------------------------------------------------------------- */

static void answer_notes(struct request *r, const char *name, int64_t version) {
    struct store_version v = {0};
    struct bp_error error = {0};
    char tag[24];
    enum store_result result = store_version_get(r->server->store, name, version, &v, &error);
    if (result != STORE_OK) {
        answer_store(r, result, &error, "version %lld of model \"%s\"", (long long)version, name);
        return;
    }
    snprintf(tag, sizeof tag, "%lld", (long long)v.change);
    answer_header(r, "Cache-Control", "no-cache");
    const bool reads = strcmp(r->route->method, "GET") == 0;
    if (!reads) {
        char quoted[32];
        snprintf(quoted, sizeof quoted, "\"%s\"", tag);
        answer_header(r, "ETag", quoted);
    }
    if (!reads || !answered_unchanged(r, tag))
        answer_json(r, 200,
                    json_pack("{s:s, s:s, s:I, s:s, s:o}", "object", "notes", "model", v.model, "version", (json_int_t)v.version, "notes", v.notes,
                              "tags", document_json(v.tags)));
    store_version_free(&v);
}

/* The version's number. false: answered. */
static bool version_named(struct request *r, char name[STORE_NAME_SIZE], int64_t *version) {
    char reference[STORE_NAME_SIZE];
    struct bp_error error = {0};
    if (!request_version(r, name, reference)) return false;
    enum store_result result = store_version_find(r->server->store, name, reference, version, &error);
    if (result != STORE_OK) answer_no_version(r, result, &error, name, reference);
    return result == STORE_OK;
}

static void get_notes(struct request *r) {
    char name[STORE_NAME_SIZE];
    int64_t version;
    if (version_named(r, name, &version)) answer_notes(r, name, version);
}

static void tags_decode(const json_t *json, const char *tags[STORE_TAGS_MAX], struct store_notes *notes, struct schema_problems *problems) {
    char got[80], place[40];
    if (!json_is_array(json)) {
        schema_problem_add(problems, "/tags", "tags must be a list of texts, got %s", schema_json_text(json, got, sizeof got));
        return;
    }
    if (json_array_size(json) > STORE_TAGS_MAX) {
        schema_problem_add(problems, "/tags", "a version has at most %d tags, got %zu", STORE_TAGS_MAX, json_array_size(json));
        return;
    }
    for (size_t i = 0; i < json_array_size(json); i++) {
        const json_t *one = json_array_get(json, i);
        const char *text = json_string_value(one);
        snprintf(place, sizeof place, "/tags/%zu", i);
        if (!text || !*text || strlen(text) >= STORE_TAG_SIZE)
            schema_problem_add(problems, place, "a tag must be a text of 1 to %d bytes, got %s", STORE_TAG_SIZE - 1,
                               schema_json_text(one, got, sizeof got));
        tags[i] = text;
    }
    notes->tags = tags;
    notes->tags_count = (int32_t)json_array_size(json);
}

/* Its two members, of which one must be there. */
static void notes_decode(const json_t *body, const char *tags[STORE_TAGS_MAX], struct store_notes *notes, struct schema_problems *problems) {
    const json_t *text = json_object_get(body, "notes"), *list = json_object_get(body, "tags");
    const char *key;
    json_t *value;
    char got[80], place[300];
    json_object_foreach((json_t *)body, key, value) if (strcmp(key, "notes") != 0 && strcmp(key, "tags") != 0) schema_problem_add(
        problems, schema_pointer("", key, place, sizeof place), "unknown member; of a version, \"notes\" and \"tags\" can be changed");
    if (!text && !list) schema_problem_add(problems, "", "expected an object with \"notes\", \"tags\", or both");
    if (text && (!json_is_string(text) || json_string_length(text) > STORE_NOTES_MAX))
        schema_problem_add(problems, "/notes", "notes must be a text of at most %d bytes, got %s", STORE_NOTES_MAX,
                           schema_json_text(text, got, sizeof got));
    notes->notes = json_string_value(text);
    if (list) tags_decode(list, tags, notes, problems);
}

static void update_notes(struct request *r) {
    char name[STORE_NAME_SIZE], tag[24];
    const char *tags[STORE_TAGS_MAX], *if_match = request_header(r, "If-Match");
    int64_t version;
    struct store_notes notes = {.if_change = -1};
    struct schema_problems problems = {0};
    struct store_version v = {0};
    struct bp_error error = {0};
    json_t *body = request_json(r);
    if (!body) return;
    notes_decode(body, tags, &notes, &problems);
    if (problems.total) answer_problems(r, &problems);
    else if (version_named(r, name, &version)) {
        enum store_result result = if_match ? store_version_get(r->server->store, name, version, &v, &error) : STORE_OK;
        if (if_match) snprintf(tag, sizeof tag, "%lld", (long long)v.change);
        if (if_match && result == STORE_OK) notes.if_change = header_has_tag(if_match, tag) ? v.change : INT64_MAX;
        store_version_free(&v);
        if (result == STORE_OK) result = store_version_annotate(r->server->store, name, version, &notes, &error);
        if (result == STORE_OK) answer_notes(r, name, version);
        else answer_store(r, result, &error, "version %lld of model \"%s\"", (long long)version, name);
    }
    schema_problems_clear(&problems);
    json_decref(body);
}

const struct route route_list_versions = {
    .name = "list_versions",
    .method = "GET",
    .path = "/v1/models/{model}/versions",
    .scope = SCOPE_READ,
    .flags = ROUTE_SLOW,
    .query = "limit,after,tag",
    .handle = list,
};
const struct route route_get_version = {
    .name = "get_version",
    .method = "GET",
    .path = "/v1/models/{model}/versions/{version}",
    .scope = SCOPE_READ,
    .flags = ROUTE_SLOW,
    .handle = get,
};
const struct route route_delete_version = {
    .name = "delete_version",
    .method = "DELETE",
    .path = "/v1/models/{model}/versions/{version}",
    .scope = SCOPE_ADMIN,
    .flags = ROUTE_SLOW,
    .handle = delete_version,
};
const struct route route_get_notes = {
    .name = "get_notes",
    .method = "GET",
    .path = "/v1/models/{model}/versions/{version}/notes",
    .scope = SCOPE_READ,
    .flags = ROUTE_SLOW,
    .handle = get_notes,
};
const struct route route_update_notes = {
    .name = "update_notes",
    .method = "PATCH",
    .path = "/v1/models/{model}/versions/{version}/notes",
    .scope = SCOPE_TRAIN,
    .body = ROUTE_JSON,
    .flags = ROUTE_SLOW,
    .handle = update_notes,
};

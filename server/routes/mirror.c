/* mirror.c - GET /v1/mirror/{model}, /v1/mirror/{model}/{version} and .../settings: models as replicas copy them, byte for byte. Times are
 * milliseconds since 1970, documents are texts, as they are stored: what a replica answers is made of the same bytes. For people there are the other
 * routes. */
#include "server/http/answer.h"
#include "server/http/http.h"
#include "server/routes/missing.h"
#include "server/routes/version_view.h"

#include "schema/json/cost.h"
#include "schema/memory.h"
#include "schema/predict/safetensors.h"
#include "server/follow/follower.h"
#include "server/hex.h"
#include "server/store/changes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- a model ------------------------------------------------------------------------------------------------------------------------------ */

static json_t *copied_version_json(const struct store_copied_version *v) {
    return json_pack("{s:I, s:I, s:I, s:s, s:I, s:I}", "version", (json_int_t)v->version, "created_at", (json_int_t)v->created_at, "bytes",
                     (json_int_t)v->bytes, "job", v->job, "notes", (json_int_t)v->notes, "calibration", (json_int_t)v->calibration);
}

static json_t *copied_change_json(const struct store_alias *a) {
    return json_pack("{s:s, s:I, s:I, s:I, s:I, s:s, s:s, s:s, s:s}", "name", a->name, "version", (json_int_t)a->version, "change",
                     (json_int_t)a->change, "previous", (json_int_t)a->previous, "changed_at", (json_int_t)a->changed_at, "action", a->action,
                     "key_id", a->actor.key_id, "key_name", a->actor.key_name, "job", a->job);
}

static json_t *copy_json(const struct store_copy *copy) {
    json_t *versions = json_array(), *aliases = json_array(), *history = json_array();
    for (int32_t i = 0; i < copy->versions_count; i++) json_array_append_new(versions, copied_version_json(&copy->versions[i]));
    for (int32_t i = 0; i < copy->aliases_count; i++)
        json_array_append_new(aliases, json_pack("{s:s, s:I, s:I}", "name", copy->aliases[i].name, "version", (json_int_t)copy->aliases[i].version,
                                                 "change", (json_int_t)copy->aliases[i].change));
    for (int32_t i = 0; i < copy->history_count; i++) json_array_append_new(history, copied_change_json(&copy->history[i]));
    return json_pack("{s:s, s:i, s:s, s:I, s:I, s:I, s:s, s:o, s:o, s:o}", "object", "mirror_model", "format", COPY_FORMAT, "model", copy->name,
                     "created_at", (json_int_t)copy->created_at, "updated_at", (json_int_t)copy->updated_at, "last_version", (json_int_t)copy->last,
                     "definition", copy->definition, "versions", versions, "aliases", aliases, "history", history);
}

static void mirror_model(struct request *r) {
    const char *text = request_query(r, "history_after");
    char *end = NULL;
    struct store_copy copy = {0};
    struct bp_error error = {0};
    const int64_t after = text ? strtoll(text, &end, 10) : 0;
    if (text && (!*text || *end || after < 0)) {
        answer_problem(r, PROBLEM_invalid, "history_after must be the id of a change of an alias, or 0, got \"%.40s\"", text);
        return;
    }
    const enum store_result result = store_copy_read(r->server->store, r->params[0], after, &copy, &error);
    answer_header(r, "Cache-Control", "no-cache");
    if (result == STORE_OK) answer_json(r, 200, copy_json(&copy));
    else answer_no_model(r, result, &error, r->params[0]);
    store_copy_free(&copy);
}

/* ---- a version ---------------------------------------------------------------------------------------------------------------------------- */

static bool version_of(struct request *r, int64_t *version) {
    const char *text = r->params[1];
    *version = strspn(text, "0123456789") == strlen(text) && strlen(text) < 19 ? strtoll(text, NULL, 10) : 0;
    if (*version > 0) return true;
    answer_problem(r, PROBLEM_invalid, "a version is copied by its number, got \"%.40s\"", text);
    return false;
}

enum { ALIGNMENT = 64 };

/* One line of JSON with what never changes, padded so that the model file after it is aligned when the whole is mapped. Owned by the caller; NULL: no
 * memory. */
static char *pack(const struct store_version *v, const char *test, const void *blob, size_t size, size_t *packed) {
    json_t *json = json_pack("{s:s, s:i, s:s, s:I, s:I, s:s, s:I, s:s, s:s?}", "object", "mirror_version", "format", COPY_FORMAT, "model", v->model,
                             "version", (json_int_t)v->version, "created_at", (json_int_t)v->created_at, "job", v->job, "bytes", (json_int_t)v->bytes,
                             "document", v->document, "test", test);
    char *head = schema_json_dump(json, JSON_COMPACT);
    json_decref(json);
    const size_t length = head ? strlen(head) : 0, before = (length / ALIGNMENT + 1) * ALIGNMENT;
    char *bytes = head ? malloc(before + size) : NULL;
    if (bytes) {
        memset(bytes, ' ', before - 1);
        memcpy(bytes, head, length);
        bytes[before - 1] = '\n';
        memcpy(bytes + before, blob, size);
        *packed = before + size;
    }
    free(head);
    return bytes;
}

/* Its entity tag is the SHA-256 of all of it, which the receiver computes too. */
static void answer_packed(struct request *r, char *bytes, size_t size) {
    char tag[HEX_SHA256_SIZE];
    hex_sha256(bytes, size, SHA256_DIGEST_SIZE, tag);
    answer_header(r, "Cache-Control", "private, max-age=31536000, immutable");
    if (answered_unchanged(r, tag)) free(bytes);
    else answer_bytes(r, 200, "application/octet-stream", bytes, size);
}

/* The checksum of the model file is compared: what is damaged does not leave. */
static void answer_file(struct request *r, const struct store_version *v, const char *test, const void *blob, size_t size) {
    struct schema_tensor *tensors = NULL;
    int32_t count;
    json_t *metadata = NULL;
    struct bp_error error = {0};
    size_t packed = 0;
    const bool sound = schema_safetensors_read(blob, size, &tensors, &count, &metadata, &error) == 0;
    char *bytes = sound ? pack(v, test, blob, size, &packed) : NULL;
    if (bytes) answer_packed(r, bytes, packed);
    else if (sound) answer_problem(r, PROBLEM_overloaded, "no memory for the version; try again later");
    else answer_error(r, &error);
    json_decref(metadata);
    free(tensors);
}

static void mirror_version(struct request *r) {
    int64_t version;
    struct store_version v = {0};
    struct bp_error error = {0};
    char *test = NULL;
    void *blob = NULL;
    size_t size = 0;
    if (!version_of(r, &version)) return;
    enum store_result result = store_version_get(r->server->store, r->params[0], version, &v, &error);
    const struct schema_json_cost cost = {.bytes = 2 * v.bytes};
    const bool room = result != STORE_OK || memory_for_cost(r, &cost);
    if (result == STORE_OK && room) result = store_version_test(r->server->store, r->params[0], version, &test, &error);
    if (result == STORE_NOT_FOUND && v.document) result = STORE_OK, error = (struct bp_error){0}; /* it has no test rows */
    if (result == STORE_OK && room) result = store_version_blob(r->server->store, r->params[0], version, &blob, &size, &error);
    if (result != STORE_OK) answer_no_version(r, result, &error, r->params[0], r->params[1]);
    else if (room) answer_file(r, &v, test, blob, size);
    free(blob);
    free(test);
    store_version_free(&v);
}

static void mirror_settings(struct request *r) {
    int64_t version;
    struct store_version v = {0};
    struct store_calibration c = {0};
    struct bp_error error = {0};
    if (!version_of(r, &version)) return;
    enum store_result result = store_version_get(r->server->store, r->params[0], version, &v, &error);
    if (result == STORE_OK) result = store_calibration_get(r->server->store, r->params[0], version, &c, &error);
    answer_header(r, "Cache-Control", "no-cache");
    if (result != STORE_OK) answer_no_version(r, result, &error, r->params[0], r->params[1]);
    else
        answer_json(r, 200,
                    json_pack("{s:s, s:i, s:s, s:I, s:{s:I, s:s, s:o}, s:{s:I, s:I, s:s?, s:s, s:s}}", "object", "mirror_settings", "format",
                              COPY_FORMAT, "model", v.model, "version", (json_int_t)v.version, "notes", "change", (json_int_t)v.change, "text",
                              v.notes, "tags", document_json(v.tags), "calibration", "change", (json_int_t)c.change, "changed_at",
                              (json_int_t)c.changed_at, "document", c.document, "key_id", c.actor.key_id, "key_name", c.actor.key_name));
    store_version_free(&v);
    store_calibration_free(&c);
}

const struct route route_mirror_model = {
    .name = "mirror_model",
    .method = "GET",
    .path = "/v1/mirror/{model}",
    .scope = SCOPE_READ,
    .flags = ROUTE_SLOW,
    .query = "history_after",
    .handle = mirror_model,
};
const struct route route_mirror_version = {
    .name = "mirror_version",
    .method = "GET",
    .path = "/v1/mirror/{model}/{version}",
    .scope = SCOPE_READ,
    .flags = ROUTE_SLOW,
    .handle = mirror_version,
};
const struct route route_mirror_settings = {
    .name = "mirror_settings",
    .method = "GET",
    .path = "/v1/mirror/{model}/{version}/settings",
    .scope = SCOPE_READ,
    .flags = ROUTE_SLOW,
    .handle = mirror_settings,
};

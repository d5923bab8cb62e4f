/* copy.c - see copy.h. Nothing that comes is believed: names, numbers and texts are checked, a version's bytes are compared with its entity tag, and
 * the model in it is read once before it is stored. Sections: answers; the state of a model; a version; a model; all models. */
#include "server/follow/copy.h"

#include "schema/memory.h"
#include "schema/predict/model_file.h"
#include "server/follow/follower.h"
#include "server/hex.h"
#include "server/model_cache.h"
#include "server/store/changes.h"
#include "server/store/files.h"
#include "server/write.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { JSON_MAX = 256 << 20, LISTED = 500 };
static const int64_t file_max = (int64_t)1200 << 20; /* SQLite's limit for a blob is 1 GB */

/* ---- answers ------------------------------------------------------------------------------------------------------------------------------ */

/* Why a response has not the status 200, in the words of the primary. */
static enum copy_result refused(const char *path, const struct fetch_response *r, struct bp_error *error) {
    json_t *problem = r->body.bytes ? schema_json_load(r->body.bytes, r->body.size, 0, NULL) : NULL;
    const char *detail = json_string_value(json_object_get(problem, "detail"));
    const bool key = r->status == 401 || r->status == 403;
    bp_error_set(error, "", "the primary answered GET %.150s with %d%s%.200s%s", path, r->status, detail ? ": " : "", detail ? detail : "",
                 key ? "; it needs a key with the scope read (settings follow_key_file, api_key_file)" : "");
    json_decref(problem);
    return r->status == 500 || r->status == 404 ? COPY_UNUSABLE : COPY_FAILED;
}

static enum copy_result unusable(struct bp_error *error, const char *what, const char *name) {
    bp_error_set(error, "", "the primary's answer cannot be used: %s of \"%.80s\"", what, name);
    return COPY_UNUSABLE;
}

json_t *copy_get(const struct copier *copier, const char *path, int *status, enum copy_result *result, struct bp_error *error) {
    const struct fetch_request request = {.path = path, .key = copier->key, .ca_file = copier->ca_file, .body_max = JSON_MAX};
    struct fetch_response response;
    json_t *json = NULL;
    *result = COPY_FAILED;
    schema_memory_begin();
    if (fetch_get(copier->fetch, &request, &response, error) == 0) {
        if (response.status != 200) *result = refused(path, &response, error);
        else if (!(json = schema_json_load(response.body.bytes ? response.body.bytes : "", response.body.size, 0, NULL)) || !json_is_object(json))
            *result = unusable(error, "no JSON object came", path);
    }
    *status = response.status;
    free(response.body.bytes);
    if (json && json_is_object(json)) return json;
    json_decref(json);
    return NULL;
}

/* ---- the state of a model ------------------------------------------------------------------------------------------------------------------- */

static bool take_number(const json_t *json, const char *key, int64_t *number) {
    const json_t *value = json_object_get(json, key);
    *number = json_integer_value(value);
    return json_is_integer(value) && *number >= 0;
}

static bool take_text(const json_t *json, const char *key, char *text, size_t size) {
    const char *value = json_string_value(json_object_get(json, key));
    if (!value || strlen(value) >= size) return false;
    memcpy(text, value, strlen(value) + 1);
    return true;
}

static bool take_version(const json_t *json, struct store_copied_version *v) {
    return take_number(json, "version", &v->version) && v->version > 0 && take_number(json, "created_at", &v->created_at) &&
           take_number(json, "bytes", &v->bytes) && take_number(json, "notes", &v->notes) && take_number(json, "calibration", &v->calibration) &&
           take_text(json, "job", v->job, sizeof v->job);
}

static bool take_alias(const json_t *json, struct store_alias *a) {
    return take_text(json, "name", a->name, sizeof a->name) && schema_name_valid(a->name) && take_number(json, "version", &a->version) &&
           take_number(json, "change", &a->change) && a->change > 0;
}

static bool take_change(const json_t *json, struct store_alias *a) {
    return take_alias(json, a) && take_number(json, "previous", &a->previous) && take_number(json, "changed_at", &a->changed_at) &&
           take_text(json, "action", a->action, sizeof a->action) && take_text(json, "key_id", a->actor.key_id, sizeof a->actor.key_id) &&
           take_text(json, "key_name", a->actor.key_name, sizeof a->actor.key_name) && take_text(json, "job", a->job, sizeof a->job);
}

/* An array of things, in their order. */
static bool take_versions(const json_t *list, struct store_copy *copy) {
    const size_t count = json_array_size(list);
    if (!json_is_array(list) || !(copy->versions = calloc(count + 1, sizeof *copy->versions))) return false;
    for (size_t i = 0; i < count; i++) {
        if (!take_version(json_array_get(list, i), &copy->versions[i])) return false;
        if (i > 0 && copy->versions[i].version <= copy->versions[i - 1].version) return false;
    }
    copy->versions_count = (int32_t)count;
    return true;
}

static bool names_version(const struct store_copy *copy, int64_t version) {
    for (int32_t i = 0; i < copy->versions_count; i++)
        if (copy->versions[i].version == version) return true;
    return false;
}

static bool take_aliases(const json_t *list, struct store_copy *copy) {
    const size_t count = json_array_size(list);
    if (!json_is_array(list) || !(copy->aliases = calloc(count + 1, sizeof *copy->aliases))) return false;
    for (size_t i = 0; i < count; i++) {
        struct store_alias *a = &copy->aliases[i];
        if (!take_alias(json_array_get(list, i), a) || !names_version(copy, a->version)) return false;
        if (i > 0 && strcmp(a->name, copy->aliases[i - 1].name) <= 0) return false;
    }
    copy->aliases_count = (int32_t)count;
    return true;
}

static bool take_history(const json_t *list, struct store_copy *copy) {
    const size_t count = json_array_size(list);
    if (!json_is_array(list) || !(copy->history = calloc(count + 1, sizeof *copy->history))) return false;
    for (size_t i = 0; i < count; i++)
        if (!take_change(json_array_get(list, i), &copy->history[i])) return false;
    copy->history_count = (int32_t)count;
    return true;
}

static bool format_is_known(const json_t *json) {
    return json_integer_value(json_object_get(json, "format")) == COPY_FORMAT;
}

/* What comes is the caller's to free, also when it cannot be used. */
static bool take_state(const json_t *json, const char *name, struct store_copy *copy) {
    const char *definition = json_string_value(json_object_get(json, "definition"));
    return format_is_known(json) && take_text(json, "model", copy->name, sizeof copy->name) && strcmp(copy->name, name) == 0 &&
           take_number(json, "created_at", &copy->created_at) && take_number(json, "updated_at", &copy->updated_at) &&
           take_number(json, "last_version", &copy->last) && definition && (copy->definition = strdup(definition)) &&
           take_versions(json_object_get(json, "versions"), copy) && take_aliases(json_object_get(json, "aliases"), copy) &&
           take_history(json_object_get(json, "history"), copy);
}

/* ---- a version ------------------------------------------------------------------------------------------------------------------------------ */

/* What comes of a version: into a file, hashed on its way. */
struct download {
    int fd;
    int64_t size;
    struct sha256_ctx hash;
};

static int store_piece(void *context, const char *bytes, size_t size, struct bp_error *error) {
    struct download *d = context;
    sha256_update(&d->hash, size, (const uint8_t *)bytes);
    if ((d->size += (int64_t)size) > file_max) return bp_error_set(error, "", "a version came with more than %lld MB", (long long)(file_max >> 20));
    return write_whole(d->fd, bytes, size) == size ? 0 : bp_error_io(error, "a version cannot be written to the data folder: %s", strerror(errno));
}

static bool has_tag(const struct download *d, const char *etag) {
    struct sha256_ctx hash = d->hash;
    char tag[HEX_SHA256_SIZE];
    hex_sha256_end(&hash, tag);
    return strcmp(tag, etag) == 0;
}

/* What may change of it, as the store takes it; the texts are of the JSON. */
static bool take_settings(const json_t *json, struct store_copied_settings *s, const char *tags[STORE_TAGS_MAX]) {
    const json_t *notes = json_object_get(json, "notes"), *calibration = json_object_get(json, "calibration"), *list = json_object_get(notes, "tags");
    const json_t *document = json_object_get(calibration, "document");
    s->notes = json_string_value(json_object_get(notes, "text"));
    s->calibration = json_string_value(document);
    s->tags = tags;
    if (!format_is_known(json) || !s->notes || json_array_size(list) > STORE_TAGS_MAX || !(s->calibration || json_is_null(document))) return false;
    for (size_t i = 0; i < json_array_size(list); i++)
        if (!(tags[s->tags_count++] = json_string_value(json_array_get(list, i))) || !*tags[i]) return false;
    return take_number(notes, "change", &s->notes_change) && take_number(calibration, "change", &s->calibration_change) &&
           take_number(calibration, "changed_at", &s->calibration_at) && take_text(calibration, "key_id", s->actor.key_id, sizeof s->actor.key_id) &&
           take_text(calibration, "key_name", s->actor.key_name, sizeof s->actor.key_name);
}

static json_t *get_settings(const struct copier *copier, const char *name, int64_t version, struct store_copied_settings *settings,
                            const char *tags[STORE_TAGS_MAX], enum copy_result *result, struct bp_error *error) {
    char path[200];
    int status;
    snprintf(path, sizeof path, "/v1/mirror/%s/%lld/settings", name, (long long)version);
    json_t *json = copy_get(copier, path, &status, result, error);
    *settings = (struct store_copied_settings){0};
    if (json && take_settings(json, settings, tags)) return json;
    if (json) *result = unusable(error, "the settings of a version", name);
    json_decref(json);
    return NULL;
}

/* The results of the store that end a turn; those of one model do not. */
static enum copy_result of_store(enum store_result result) {
    return result == STORE_OK ? COPY_OK : COPY_FAILED;
}

static enum copy_result store_it(const struct copier *copier, const struct store_copy *model, struct store_version_copy *copy,
                                 struct bp_error *error) {
    const char *tags[STORE_TAGS_MAX];
    enum copy_result result;
    json_t *settings = get_settings(copier, model->name, copy->version->version, &copy->settings, tags, &result, error);
    if (!settings) return result;
    result = of_store(store_copy_version(copier->server->store, copy, error));
    json_decref(settings);
    if (result == COPY_OK)
        model_cache_deleted(copier->server->model_cache, model->name, copy->version->version); /* another one may have had its number */
    return result;
}

/* The line of JSON and the model file of a download. */
static enum copy_result unpack(const struct copier *copier, const struct store_copy *model, const struct store_copied_version *v, const char *bytes,
                               size_t size, struct bp_error *error) {
    const char *end = memchr(bytes, '\n', size);
    struct store_copied_version stated = {0};
    char name[STORE_NAME_SIZE] = "";
    struct bp_error cause = {0};
    json_t *json = end ? schema_json_load(bytes, (size_t)(end - bytes), 0, NULL) : NULL;
    struct store_version_copy copy = {.model = model,
                                      .version = v,
                                      .document = json_string_value(json_object_get(json, "document")),
                                      .test = json_string_value(json_object_get(json, "test")),
                                      .blob = end ? end + 1 : NULL,
                                      .blob_size = end ? size - (size_t)(end + 1 - bytes) : 0};
    enum copy_result result = COPY_UNUSABLE;
    const bool same = json && format_is_known(json) && take_text(json, "model", name, sizeof name) && strcmp(name, model->name) == 0 &&
                      take_number(json, "version", &stated.version) && stated.version == v->version &&
                      take_number(json, "created_at", &stated.created_at) && stated.created_at == v->created_at &&
                      take_number(json, "bytes", &stated.bytes) && stated.bytes == v->bytes && stated.bytes == (int64_t)copy.blob_size &&
                      copy.document;
    struct schema_model *read = same ? schema_model_read(copy.blob, copy.blob_size, &cause) : NULL;
    if (!same) unusable(error, "the head of a version", model->name);
    else if (!read)
        bp_error_set(error, "", "version %lld of model %s cannot be read by this program: %.250s; use the version of the primary's program",
                     (long long)v->version, model->name, cause.message);
    schema_model_free(read);
    if (read) result = store_it(copier, model, &copy, error);
    json_decref(json);
    return result;
}

static enum copy_result copy_version(const struct copier *copier, const struct store_copy *model, const struct store_copied_version *v,
                                     struct bp_error *error) {
    char path[200];
    struct download d = {.fd = scratch_file_new(copier->server->store, error)};
    struct fetch_response response = {0};
    const struct fetch_request request = {.path = path, .key = copier->key, .ca_file = copier->ca_file, .sink = store_piece, .context = &d};
    enum copy_result result = COPY_FAILED;
    if (d.fd < 0) return COPY_FAILED;
    snprintf(path, sizeof path, "/v1/mirror/%s/%lld", model->name, (long long)v->version);
    sha256_init(&d.hash);
    const bool came = fetch_get(copier->fetch, &request, &response, error) == 0;
    if (came && response.status != 200) result = refused(path, &response, error);
    else if (came && (d.size == 0 || !has_tag(&d, response.etag)))
        result = unusable(error, "the bytes do not match the entity tag, of a version", model->name);
    else if (came) {
        void *bytes = mmap(NULL, (size_t)d.size, PROT_READ, MAP_PRIVATE, d.fd, 0);
        if (bytes == MAP_FAILED) bp_error_io(error, "a version cannot be read back from the data folder: %s", strerror(errno));
        else result = unpack(copier, model, v, bytes, (size_t)d.size, error);
        if (bytes != MAP_FAILED) munmap(bytes, (size_t)d.size);
    }
    free(response.body.bytes);
    close(d.fd);
    return result;
}

/* ---- a model -------------------------------------------------------------------------------------------------------------------------------- */

static const struct store_copied_version *version_here(const struct store_copy *here, int64_t version) {
    int32_t low = 0, high = here->versions_count;
    while (low < high) {
        const int32_t middle = low + (high - low) / 2;
        if (here->versions[middle].version < version) low = middle + 1;
        else high = middle;
    }
    return low < here->versions_count && here->versions[low].version == version ? &here->versions[low] : NULL;
}

static enum copy_result change_settings(const struct copier *copier, const char *name, int64_t version, struct bp_error *error) {
    const char *tags[STORE_TAGS_MAX];
    struct store_copied_settings settings;
    enum copy_result result;
    json_t *json = get_settings(copier, name, version, &settings, tags, &result, error);
    if (!json) return result;
    result = of_store(store_copy_settings(copier->server->store, name, version, &settings, error));
    json_decref(json);
    if (result == COPY_OK) model_cache_deleted(copier->server->model_cache, name, version); /* the count of its changes may be a lower one */
    return result;
}

/* A version is one thing for good; under its number there can be another only in another history, where the counts of changes mean nothing either. */
static enum copy_result copy_versions(const struct copier *copier, const struct store_copy *there, const struct store_copy *here, bool whole,
                                      struct bp_error *error) {
    enum copy_result result = COPY_OK;
    for (int32_t i = 0; i < there->versions_count && result == COPY_OK && !server_stopping(copier->server); i++) {
        const struct store_copied_version *v = &there->versions[i], *own = version_here(here, v->version);
        if (!own || own->created_at != v->created_at || own->bytes != v->bytes || strcmp(own->job, v->job) != 0)
            result = copy_version(copier, there, v, error);
        else if (own->notes != v->notes || own->calibration != v->calibration || (whole && (v->notes || v->calibration)))
            result = change_settings(copier, there->name, v->version, error);
    }
    return server_stopping(copier->server) ? COPY_FAILED : result;
}

static enum copy_result forget(const struct copier *copier, const char *name, struct bp_error *error) {
    const enum store_result result = store_model_delete(copier->server->store, name, error);
    if (result == STORE_NOT_FOUND) *error = (struct bp_error){0};
    if (result != STORE_OK && result != STORE_NOT_FOUND) return COPY_FAILED;
    model_cache_deleted(copier->server->model_cache, name, 0);
    return COPY_OK;
}

/* The largest number of a change of an alias that is here: changes after it are still to come. */
static int64_t newest_change(const struct store_copy *here) {
    int64_t newest = 0;
    for (int32_t i = 0; i < here->aliases_count; i++)
        if (here->aliases[i].change > newest) newest = here->aliases[i].change;
    return newest;
}

/* Once, with the state as it was: *changed: it is another by now, since a version of it is gone; or the model of this name is another one, *whole. */
static enum copy_result copy_once(const struct copier *copier, const char *name, bool *whole, bool *changed, struct bp_error *error) {
    struct store_copy here = {0}, there = {0};
    struct bp_error ignored = {0};
    char path[200];
    int status;
    enum copy_result result;
    const enum store_result found = store_copy_read(copier->server->store, name, INT64_MAX, &here, &ignored);
    if (found != STORE_OK && found != STORE_NOT_FOUND) return *error = ignored, COPY_FAILED;
    snprintf(path, sizeof path, "/v1/mirror/%s?history_after=%lld", name, *whole ? 0LL : (long long)newest_change(&here));
    json_t *json = copy_get(copier, path, &status, &result, error);
    if (!json && status == 404) {
        *error = (struct bp_error){0};
        result = forget(copier, name, error);
    } else if (json && !take_state(json, name, &there)) {
        result = unusable(error, "the state", name);
    } else if (json && !*whole && here.created_at && here.created_at != there.created_at) {
        *whole = *changed = true;
        result = COPY_UNUSABLE;
    } else if (json) {
        result = copy_versions(copier, &there, &here, *whole, error);
        *changed = result == COPY_UNUSABLE;
        if (result == COPY_OK) result = of_store(store_copy_apply(copier->server->store, &there, *whole, error));
        for (int32_t i = 0; i < here.versions_count && result == COPY_OK; i++)
            if (!version_here(&there, here.versions[i].version)) model_cache_deleted(copier->server->model_cache, name, here.versions[i].version);
    }
    json_decref(json);
    store_copy_free(&here);
    store_copy_free(&there);
    return result;
}

enum copy_result copy_model(const struct copier *copier, const char *name, bool whole, struct bp_error *error) {
    bool changed = true;
    enum copy_result result = COPY_UNUSABLE;
    if (!schema_name_valid(name)) return unusable(error, "the name", name);
    for (int i = 0; i < 3 && result == COPY_UNUSABLE && changed; i++) { /* again with the state that it has by then */
        changed = false;
        *error = (struct bp_error){0};
        result = copy_once(copier, name, &whole, &changed, error);
    }
    return result;
}

/* ---- all models ----------------------------------------------------------------------------------------------------------------------------- */

/* Deletes what is here with names after `from` and before `to` ("": the end). */
static enum copy_result forget_between(const struct copier *copier, const char *from, const char *to, struct bp_error *error) {
    enum copy_result result = COPY_OK;
    char after[STORE_NAME_SIZE];
    snprintf(after, sizeof after, "%s", from);
    for (bool more = true; more && result == COPY_OK;) {
        struct store_models list = {0};
        if (store_model_list(copier->server->store, after, LISTED, &list, error) != STORE_OK) return COPY_FAILED;
        more = list.has_more && list.count > 0;
        for (int32_t i = 0; i < list.count && result == COPY_OK; i++) {
            snprintf(after, sizeof after, "%s", list.items[i].name);
            if (*to && strcmp(after, to) >= 0) more = false;
            else result = forget(copier, after, error);
        }
        store_models_free(&list);
    }
    return result;
}

/* One page of the primary's models. `after` becomes the last name. */
static enum copy_result copy_page(const struct copier *copier, const json_t *list, char after[STORE_NAME_SIZE], struct bp_error *error) {
    enum copy_result worst = COPY_OK;
    for (size_t i = 0; i < json_array_size(list) && worst != COPY_FAILED; i++) {
        const char *name = json_string_value(json_object_get(json_array_get(list, i), "name"));
        struct bp_error own = {0};
        if (!name || !schema_name_valid(name) || strcmp(name, after) <= 0) return unusable(error, "the list of models after", after), COPY_FAILED;
        enum copy_result result = forget_between(copier, after, name, &own);
        if (result == COPY_OK) result = copy_model(copier, name, true, &own);
        if (result == COPY_FAILED) *error = own;
        else if (result != COPY_OK && worst == COPY_OK) *error = own;
        if (result != COPY_OK) worst = result;
        snprintf(after, STORE_NAME_SIZE, "%s", name);
    }
    return worst;
}

enum copy_result copy_all(const struct copier *copier, struct bp_error *error) {
    char after[STORE_NAME_SIZE] = "", path[200];
    enum copy_result worst = COPY_OK;
    for (bool more = true; more && worst != COPY_FAILED;) {
        enum copy_result result;
        struct bp_error own = {0};
        int status;
        snprintf(path, sizeof path, "/v1/models?limit=%d%s%s", LISTED, *after ? "&after=" : "", after);
        json_t *json = copy_get(copier, path, &status, &result, &own);
        more = json_is_true(json_object_get(json, "has_more"));
        if (json) result = copy_page(copier, json_object_get(json, "data"), after, &own);
        else result = COPY_FAILED;
        if (result == COPY_FAILED || (result != COPY_OK && worst == COPY_OK)) *error = own;
        if (result != COPY_OK) worst = result;
        json_decref(json);
    }
    if (worst == COPY_FAILED) return worst;
    struct bp_error own = {0};
    if (forget_between(copier, after, "", &own) == COPY_OK) return worst;
    *error = own;
    return COPY_FAILED;
}

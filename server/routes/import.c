/* import.c - POST /v1/models/import: a model file, safetensors or JSON becomes a version. The body goes to a file as it arrives; at its end the file
 * is mapped, checked, and what it holds is written to a second file, which the store takes. */
#include "server/http/answer.h"
#include "server/http/http.h"
#include "server/http/request.h"

#include "schema/export/export.h"
#include "schema/ingest/decode.h"
#include "schema/ingest/ingest.h"
#include "schema/json/cost.h"
#include "schema/memory.h"
#include "server/routes/missing.h"
#include "server/routes/version_view.h"
#include "server/store/files.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BLOB_MAX = 1000000000 /* SQLite's limit for a blob */, BUFFER = 1 << 20 };

/* ---- the body ------------------------------------------------------------------------------------------------------------------------ */

struct body {
    int fd;
    int64_t size;
    struct schema_decoder *decoder; /* of its Content-Encoding; NULL: none */
    struct schema_problems problems;
};

static int write_piece(void *context, const char *bytes, size_t size, struct schema_problems *problems) {
    struct body *b = context;
    while (size > 0) {
        const ssize_t n = write(b->fd, bytes, size);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0)
            return schema_problem_io(problems, "the body cannot be written to the data folder: %s", n < 0 ? strerror(errno) : "nothing was taken");
        bytes += n;
        size -= (size_t)n;
        b->size += n;
    }
    return 0;
}

static bool is_type(const char *header, const char *type) {
    return !header || !*header || (strncasecmp(header, type, strlen(type)) == 0 && strchr("; ", header[strlen(type)]));
}

static bool begin(struct request *r) {
    struct bp_error error = {0};
    struct schema_problems problems = {0};
    const char *type = request_header(r, "Content-Type"), *encoding = request_header(r, "Content-Encoding");
    if (!is_type(type, "application/octet-stream") && !is_type(type, "application/json")) {
        answer_problem(r, PROBLEM_unsupported_media_type,
                       "Content-Type is \"%.60s\", expected application/octet-stream (a .bpd or safetensors file) or application/json; with curl: "
                       "--data-binary @model.bpd -H 'Content-Type: application/octet-stream'",
                       type);
        return false;
    }
    struct body *b = calloc(1, sizeof *b);
    if (b && (b->fd = scratch_file_new(r->server->store, &error)) >= 0 &&
        (schema_encoding_identity(encoding) || schema_decoder_open(encoding, r->body_limit, "upload_max", &b->decoder, &problems) == 0)) {
        r->sink = b;
        return true;
    }
    if (!b) bp_error_memory(&error, "no memory for the body");
    else if (b->fd >= 0) close(b->fd);
    free(b);
    if (problems.total) answer_problems(r, &problems);
    else answer_error(r, &error);
    return false;
}

static void feed(struct request *r, const char *bytes, size_t size) {
    struct body *b = r->sink;
    schema_memory_begin();
    if (b->problems.total) return;
    if (b->decoder) schema_decoder_feed(b->decoder, bytes, size, write_piece, b, &b->problems);
    else write_piece(b, bytes, size, &b->problems);
}

static int64_t memory(const void *sink) {
    (void)sink;
    return BUFFER;
}

static void release(void *sink) {
    struct body *b = sink;
    schema_decoder_close(b->decoder);
    schema_problems_clear(&b->problems);
    close(b->fd);
    free(b);
}

static const struct body_sink import_sink = {.begin = begin, .feed = feed, .memory = memory, .free = release};

/* ---- limits of memory ------------------------------------------------------------------------------------------------------------------ */

struct budget {
    struct request *request;
    int64_t bytes; /* so far: decoded JSON, weights */
};

/* The limits of the server for JSON hold for every JSON text in the file. */
static bool allow(void *context, const struct schema_json_cost *cost) {
    struct budget *budget = context;
    struct schema_json_cost all = *cost;
    if (cost->values > budget->request->server->settings.json_values_max) {
        answer_problem(budget->request, PROBLEM_too_large,
                       "the JSON of the model has %lld values, at most %lld are decoded (setting json_values_max); import it as bpd or safetensors",
                       (long long)cost->values, (long long)budget->request->server->settings.json_values_max);
        return false;
    }
    all.bytes = budget->bytes += cost->bytes;
    return memory_for_cost(budget->request, &all);
}

/* ---- the version ----------------------------------------------------------------------------------------------------------------------- */

/* A file in memory; size 0 is "". */
static void *map(int fd, size_t *size) {
    struct stat info;
    if (fstat(fd, &info) != 0) return MAP_FAILED;
    *size = (size_t)info.st_size;
    return *size ? mmap(NULL, *size, PROT_READ, MAP_PRIVATE, fd, 0) : MAP_FAILED;
}

static bool name_of(struct request *r, const char **name) {
    const char *publish = request_query(r, "publish");
    *name = request_query(r, "name");
    if (publish && strcmp(publish, "true") != 0 && strcmp(publish, "false") != 0) {
        answer_problem(r, PROBLEM_invalid, "publish must be true or false, got \"%.40s\"", publish);
        return false;
    }
    if (!*name) answer_problem(r, PROBLEM_invalid, "an import needs the name of a model: ?name=penguins; a name that exists gets its next version");
    else if (!schema_name_valid(*name))
        answer_problem(
            r, PROBLEM_invalid,
            "\"%.80s\" is not a valid name for a model: lower-case letters, digits, \".\", \"_\", \"-\", starting with a letter or digit, at "
            "most 63",
            *name);
    else return true;
    return false;
}

/* The document of the version that `like` names, NULL: none is named. false: answered. */
static bool like_of(struct request *r, json_t **document) {
    char name[STORE_NAME_SIZE], reference[STORE_NAME_SIZE];
    int64_t version;
    struct store_version v = {0};
    struct bp_error error = {0};
    const char *text = request_query(r, "like");
    *document = NULL;
    if (!text) return true;
    if (!request_model(r, text, name, reference)) return false;
    enum store_result result = store_version_find(r->server->store, name, reference, &version, &error);
    if (result == STORE_OK) result = store_version_get(r->server->store, name, version, &v, &error);
    if (result == STORE_OK) *document = document_json(v.document);
    else answer_no_version(r, result, &error, name, reference);
    store_version_free(&v);
    return result == STORE_OK;
}

/* The definition of a new model: that of the version, for later jobs. One that averages networks is not trained again as it is. */
static char *definition_text(const json_t *document) {
    const json_t *families = json_object_get(json_object_get(document, "cross_validation"), "families");
    return families ? strdup("{\"auto\":true}") : schema_json_dump(json_object_get(document, "definition"), JSON_COMPACT);
}

static void store_it(struct request *r, const char *name, const json_t *document, const void *blob, size_t size) {
    struct bp_error error = {0};
    struct store_version v = {0};
    struct store_idempotency record;
    int64_t version = 0;
    char location[160], *text = schema_json_dump(document, JSON_COMPACT), *definition = definition_text(document);
    char *calibration = schema_model_calibration(blob, size);
    const struct store_actor actor = request_actor(r);
    const char *publish = request_query(r, "publish");
    const struct store_import what = {.model = name,
                                      .definition = definition,
                                      .document = text,
                                      .blob = blob,
                                      .blob_size = size,
                                      .idempotency = request_idempotency(r, &record, 201, ""),
                                      .held_back = publish && strcmp(publish, "false") == 0,
                                      .actor = &actor,
                                      .calibration = calibration};
    enum store_result result = STORE_FAILED;
    if (!text || !definition) bp_error_memory(&error, "no memory for the version");
    else result = store_version_import(r->server->store, &what, &version, &error);
    if (result == STORE_OK) result = store_version_get(r->server->store, name, version, &v, &error);
    if (result == STORE_OK) {
        snprintf(location, sizeof location, "/v1/models/%s/versions/%lld", name, (long long)version);
        answer_header(r, "Location", location);
        answer_json(r, 201, version_json(&v));
    } else {
        answer_store(r, result, &error, "model \"%s\"", name);
    }
    store_version_free(&v);
    free(calibration);
    free(definition);
    free(text);
}

/* What was uploaded is at fault unless memory or a disk is. */
static void refuse(struct request *r, const struct bp_error *error) {
    struct bp_error shown = *error;
    struct schema_problems problems = {0};
    if (!error->message[0]) return; /* answered: a limit */
    if (shown.code == BP_ERROR_DAMAGED || shown.code == BP_ERROR_UNSUPPORTED) shown.code = BP_ERROR_INVALID;
    if (shown.code != BP_ERROR_INVALID) {
        answer_error(r, &shown);
        return;
    }
    schema_problem_error(&problems, shown.pointer, &shown);
    answer_problems(r, &problems);
}

static void convert(struct request *r, const char *name, const json_t *like, const void *bytes, size_t size) {
    struct bp_error error = {0};
    struct budget budget = {r, (int64_t)(2 * size)};
    const struct schema_json_allow allowing = {allow, &budget};
    const struct schema_importing what = {bytes, size, like, &allowing, (size_t)r->server->settings.models_memory_max};
    enum schema_export form;
    size_t blob_size = 0;
    void *blob = MAP_FAILED;
    const int fd = scratch_file_new(r->server->store, &error);
    json_t *document = fd >= 0 ? schema_import_write(fd, &what, &form, &error) : NULL;
    if (document) {
        json_object_set_new(document, "imported", json_pack("{s:s}", "format", schema_export_names[form]));
        blob = map(fd, &blob_size);
        if (blob == MAP_FAILED) bp_error_io(&error, "the model cannot be read back from the data folder: %s", strerror(errno));
        else if (blob_size > BLOB_MAX) bp_error_set(&error, "", "the model is larger than 1 GB, the limit of a version; use a smaller model");
    }
    if (blob == MAP_FAILED || blob_size > BLOB_MAX) refuse(r, &error);
    else store_it(r, name, document, blob, blob_size);
    if (blob != MAP_FAILED) munmap(blob, blob_size);
    if (fd >= 0) close(fd);
    json_decref(document);
}

static void import_model(struct request *r) {
    struct body *b = r->sink;
    const char *name;
    json_t *like = NULL;
    size_t size = 0;
    if (b->decoder && !b->problems.total) schema_decoder_finish(b->decoder, &b->problems);
    if (b->problems.total) answer_problems(r, &b->problems);
    else if (b->size == 0) answer_problem(r, PROBLEM_invalid, "the body is empty; send the file: --data-binary @model.bpd");
    else if (name_of(r, &name) && like_of(r, &like)) {
        void *bytes = map(b->fd, &size);
        if (bytes == MAP_FAILED) answer_problem(r, PROBLEM_storage, "the body cannot be read back from the data folder: %s", strerror(errno));
        else convert(r, name, like, bytes, size);
        if (bytes != MAP_FAILED) munmap(bytes, size);
    }
    json_decref(like);
}

const struct route route_import_model = {
    .name = "import_model",
    .method = "POST",
    .path = "/v1/models/import",
    .scope = SCOPE_TRAIN,
    .body = ROUTE_STREAM,
    .sink = &import_sink,
    .flags = ROUTE_SLOW | ROUTE_IDEMPOTENT_KEY | ROUTE_OWN_TYPES,
    .query = "name,like,publish",
    .handle = import_model,
};

/* export.c - GET /v1/models/{model}/versions/{version}/export. */
#include "server/http/answer.h"
#include "server/http/http.h"
#include "server/http/request.h"

#include "schema/export/export.h"
#include "schema/json/cost.h"
#include "server/routes/version_view.h"
#include "server/store/files.h"
#include "server/version_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* What a form is to HTTP. memory: bytes that making it takes, for each byte of the model file. */
static const struct form {
    const char *content_type, *extension;
    int memory;
} forms[SCHEMA_EXPORTS] = {
    [SCHEMA_EXPORT_BPD] = {"application/octet-stream", "bpd", 1},
    [SCHEMA_EXPORT_C] = {"text/x-c", "c", 10},
    [SCHEMA_EXPORT_JSON] = {"application/json", "json", 10},
    [SCHEMA_EXPORT_SAFETENSORS] = {"application/octet-stream", "safetensors", 3},
};

static bool form_of(struct request *r, enum schema_export *form) {
    const char *name = request_query(r, "format");
    int i = 0;
    if (!name) name = "bpd";
    while (i < SCHEMA_EXPORTS && strcmp(schema_export_names[i], name) != 0) i++;
    *form = (enum schema_export)i;
    if (i < SCHEMA_EXPORTS) return true;
    answer_problem(r, PROBLEM_invalid, "format must be bpd, safetensors, json or c, got \"%.40s\"", name);
    return false;
}

/* All bytes of the file, the caller's. */
static char *read_file(int fd, size_t *size) {
    struct stat info;
    if (fstat(fd, &info) != 0) return NULL;
    char *bytes = malloc((size_t)info.st_size + 1);
    for (*size = 0; bytes && *size < (size_t)info.st_size;) {
        const ssize_t n = pread(fd, bytes + *size, (size_t)info.st_size - *size, (off_t)*size);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return free(bytes), NULL;
        *size += (size_t)n;
    }
    return bytes;
}

static void name_file(struct request *r, const struct store_version *v, enum schema_export form) {
    char disposition[160];
    snprintf(disposition, sizeof disposition, "attachment; filename=\"%s-%lld.%s\"", v->model, (long long)v->version, forms[form].extension);
    answer_header(r, "Content-Disposition", disposition);
}

/* blob is taken. */
static void answer_export(struct request *r, const struct store_version *v, enum schema_export form, void *blob, size_t size) {
    struct bp_error error = {0};
    struct schema_exporting what = {form, blob, size, v->model};
    const int fd = scratch_file_new(r->server->store, &error);
    size_t written = 0;
    char *bytes = fd >= 0 && schema_export_write(fd, &what, &error) == 0 ? read_file(fd, &written) : NULL;
    if (bytes) {
        name_file(r, v, form);
        answer_bytes(r, 200, forms[form].content_type, bytes, written);
    } else if (error.message[0]) answer_error(r, &error);
    else answer_problem(r, PROBLEM_overloaded, "no memory for the export; try again later");
    if (fd >= 0) close(fd);
    free(blob);
}

/* Its checksum is compared: what is damaged does not leave. */
static void answer_bpd(struct request *r, const struct store_version *v, void *blob, size_t size) {
    struct schema_tensor *tensors = NULL;
    int32_t count;
    json_t *metadata = NULL;
    struct bp_error error = {0};
    if (schema_safetensors_read(blob, size, &tensors, &count, &metadata, &error) == 0) {
        name_file(r, v, SCHEMA_EXPORT_BPD);
        answer_bytes(r, 200, forms[SCHEMA_EXPORT_BPD].content_type, blob, size);
        blob = NULL;
    } else {
        answer_error(r, &error);
    }
    json_decref(metadata);
    free(tensors);
    free(blob);
}

static void export_version(struct request *r) {
    char name[STORE_NAME_SIZE], reference[STORE_NAME_SIZE];
    int64_t version;
    enum schema_export form;
    struct store_version v = {0};
    struct bp_error error = {0};
    void *blob = NULL;
    size_t size = 0;
    if (!request_version(r, name, reference) || !form_of(r, &form)) return;
    enum store_result result = store_version_find(r->server->store, name, reference, &version, &error);
    if (result == STORE_OK) result = store_version_get(r->server->store, name, version, &v, &error);
    const struct schema_json_cost cost = {.bytes = v.bytes * (1 + forms[form].memory)};
    const bool room = result != STORE_OK || memory_for_cost(r, &cost);
    if (result == STORE_OK && room) result = version_file(r->server->store, name, v.version, &blob, &size, &error);
    if (result != STORE_OK) answer_no_version(r, result, &error, name, reference);
    else if (room && form == SCHEMA_EXPORT_BPD) answer_bpd(r, &v, blob, size);
    else if (room) answer_export(r, &v, form, blob, size);
    store_version_free(&v);
}

const struct route route_export_version = {
    .name = "export_version",
    .method = "GET",
    .path = "/v1/models/{model}/versions/{version}/export",
    .scope = SCOPE_READ,
    .flags = ROUTE_SLOW,
    .query = "format",
    .handle = export_version,
};

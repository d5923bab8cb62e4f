/* fake_connection.c - see fake_connection.h. */
#include "tests/server/http/fake_connection.h"

enum { FIELDS_MAX = 32 };

static struct field {
    enum MHD_ValueKind kind;
    const char *name, *value;
} fields[FIELDS_MAX];
static int count;

static void add(enum MHD_ValueKind kind, const char *name, const char *value) {
    ck_assert_int_lt(count, FIELDS_MAX);
    fields[count++] = (struct field){kind, name, value};
}

void fake_header(const char *name, const char *value) {
    add(MHD_HEADER_KIND, name, value);
}

void fake_query(const char *name, const char *value) {
    add(MHD_GET_ARGUMENT_KIND, name, value);
}

int __wrap_MHD_get_connection_values(struct MHD_Connection *connection, enum MHD_ValueKind kind, MHD_KeyValueIterator each, void *context);
const char *__wrap_MHD_lookup_connection_value(struct MHD_Connection *connection, enum MHD_ValueKind kind, const char *name);
enum MHD_Result __wrap_MHD_lookup_connection_value_n(struct MHD_Connection *connection, enum MHD_ValueKind kind, const char *name, size_t name_size,
                                                     const char **value, size_t *size);

int __wrap_MHD_get_connection_values(struct MHD_Connection *connection, enum MHD_ValueKind kind, MHD_KeyValueIterator each, void *context) {
    int seen = 0;
    (void)connection;
    for (int i = 0; i < count; i++) {
        if (fields[i].kind != kind) continue;
        seen++;
        if (each(context, kind, fields[i].name, fields[i].value) != MHD_YES) break;
    }
    return seen;
}

const char *__wrap_MHD_lookup_connection_value(struct MHD_Connection *connection, enum MHD_ValueKind kind, const char *name) {
    (void)connection;
    for (int i = 0; i < count; i++)
        if (fields[i].kind == kind && strcasecmp(fields[i].name, name) == 0) return fields[i].value;
    return NULL;
}

enum MHD_Result __wrap_MHD_lookup_connection_value_n(struct MHD_Connection *connection, enum MHD_ValueKind kind, const char *name, size_t name_size,
                                                     const char **value, size_t *size) {
    (void)name_size;
    *value = __wrap_MHD_lookup_connection_value(connection, kind, name);
    *size = *value ? strlen(*value) : 0;
    return *value ? MHD_YES : MHD_NO;
}

void fake_request(struct request *request, struct server *server, const char *method, const char *path) {
    memset(request, 0, sizeof *request);
    request->server = server;
    snprintf(request->method, sizeof request->method, "%s", method);
    request->path = strdup(path);
    ck_assert_ptr_nonnull(request->path);
}

void fake_request_clear(struct request *request) {
    for (int i = 0; i < request->headers_count; i++) free(request->headers[i].value);
    free(request->answer);
    free(request->path);
}

void fake_problem(const struct request *request, char code[64], char detail[400]) {
    json_t *json = request->answer ? json_loadb(request->answer, request->answer_size, 0, NULL) : NULL;
    const char *found = json_string_value(json_object_get(json, "code")), *text = json_string_value(json_object_get(json, "detail"));
    snprintf(code, 64, "%s", found ? found : "");
    snprintf(detail, 400, "%s", text ? text : "");
    json_decref(json);
}

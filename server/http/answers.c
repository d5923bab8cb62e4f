/* answers.c - responses of handlers: JSON, problems, lists; and parsing of query parameters and bodies. */
#include "schema/memory.h"
#include "server/http/private.h"

#include "schema/json/values.h"
#include "server/ops/metrics.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const struct {
    const char *code;
    int status;
    const char *title;
} problems_table[] = {
#define PROBLEM(code, status, title) {#code, status, title},
#include "server/problems.def"
#undef PROBLEM
};

/* ---- answers ------------------------------------------------------------------------------------------------------------------ */

void answer_bytes(struct request *r, int status, const char *content_type, char *bytes, size_t size) {
    free(r->answer);
    r->status = status;
    r->content_type = content_type;
    r->answer = bytes;
    r->answer_size = size;
}

/* Takes json. It ends with a newline, so that a shell prompt starts on its own line. */
static char *json_line(json_t *json, size_t flags) {
    char *text = schema_json_dump(json, flags), *line = NULL;
    json_decref(json);
    size_t size = text ? strlen(text) : 0;
    if (text && (line = realloc(text, size + 2))) memcpy(line + size, "\n", 2);
    else free(text);
    return line;
}

void answer_json(struct request *r, int status, json_t *json) {
    char *text = json_line(json, JSON_COMPACT | JSON_REAL_PRECISION(15));
    if (text) answer_bytes(r, status, "application/json", text, strlen(text));
    else answer_problem(r, PROBLEM_overloaded, "out of memory while writing the response; try again later");
}

void answer_json_exact(struct request *r, int status, json_t *json) {
    struct schema_text text = {.limit = INT32_MAX};
    schema_json_write(&text, json);
    json_decref(json);
    schema_text_add(&text, "\n", 1);
    if (!text.failed && !schema_memory_failed()) {
        answer_bytes(r, status, "application/json", text.bytes, text.size);
        return;
    }
    free(text.bytes);
    answer_problem(r, PROBLEM_overloaded, "out of memory while writing the response; try again later");
}

void answer_header(struct request *r, const char *name, const char *value) {
    if (r->headers_count == ANSWER_HEADERS_MAX) return;
    r->headers[r->headers_count].name = name;
    r->headers[r->headers_count].value = strdup(value);
    if (r->headers[r->headers_count].value) r->headers_count++;
}

static bool has_header(const struct request *r, const char *name) {
    for (int i = 0; i < r->headers_count; i++)
        if (strcmp(r->headers[i].name, name) == 0) return true;
    return false;
}

int problem_status(enum problem code) {
    return problems_table[code].status;
}

/* Where a replica refers to; "": nowhere. */
static const char *primary_of(const struct request *r, enum problem code) {
    const bool refers = code == PROBLEM_read_only_replica || (code == PROBLEM_not_found && r->route);
    return refers && r->server && r->server->follower ? r->server->settings.follow : "";
}

json_t *problem_json(const struct request *r, enum problem code, const char *detail, json_t *errors) {
    char type[80];
    snprintf(type, sizeof type, "urn:backpropd:problem:%s", problems_table[code].code);
    json_t *json = json_pack("{s:s, s:s, s:i, s:o, s:o, s:s, s:s}", "type", type, "title", problems_table[code].title, "status",
                             problems_table[code].status, "detail", schema_problem_text(detail), "instance",
                             schema_problem_text(r->path ? r->path : ""), "code", problems_table[code].code, "request_id", r->id);
    if (!json)
        json = json_pack("{s:s, s:i, s:s, s:s}", "type", type, "status", problems_table[code].status, "code", problems_table[code].code, "request_id",
                         r->id);
    if (errors) json_object_set_new(json, "errors", errors);
    if (*primary_of(r, code)) json_object_set_new(json, "primary", json_string(primary_of(r, code)));
    return json;
}

/* The response to a request that ran out of memory may be wrong; report the lack of memory instead. */
static void answer_with(struct request *r, enum problem code, const char *detail, json_t *errors) {
    if (schema_memory_failed()) code = PROBLEM_overloaded, detail = "out of memory; try again later";
    schema_memory_begin(); /* for the answer itself */
    char longer[1500];
    if (code == PROBLEM_not_found && *primary_of(r, code)) {
        snprintf(longer, sizeof longer, "%.1000s; this server is a replica, which has models only and may be behind: the primary is %.400s", detail,
                 primary_of(r, code));
        detail = longer;
    }
    metrics_problem(r->server ? r->server->metrics : NULL, (int)code);
    json_t *json = problem_json(r, code, detail, errors);
    char *text = json_line(json, JSON_COMPACT);
    answer_bytes(r, problems_table[code].status, "application/problem+json", text, text ? strlen(text) : 0);
    const bool again = problems_table[code].status == 503 || problems_table[code].status == 429;
    if (again && !has_header(r, "Retry-After")) answer_header(r, "Retry-After", "1");
}

void answer_problem(struct request *r, enum problem code, const char *format, ...) {
    char detail[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(detail, sizeof detail, format, arguments);
    va_end(arguments);
    answer_with(r, code, detail, NULL);
}

void answer_read_only(struct request *r) {
    char link[1500];
    const char *primary = r->server->settings.follow;
    const size_t size = strlen(primary), slash = size > 0 && primary[size - 1] == '/';
    bool plain = true;
    for (const char *c = r->path; *c; c++) plain = plain && *c > ' ' && *c < 127 && !strchr("<>\"\\%", *c);
    snprintf(link, sizeof link, "<%.*s%.900s>; rel=\"edit\"", (int)(size - slash), primary, r->path);
    if (plain) answer_header(r, "Link", link);
    answer_problem(r, PROBLEM_read_only_replica, "this server is a read-only replica: send %s %.200s to the primary, %.400s", r->method, r->path,
                   primary);
}

/* What a fault of that kind is to a client. */
static enum problem problem_of(enum bp_error_code code) {
    static const enum problem problems[] = {[BP_ERROR_INVALID] = PROBLEM_invalid,
                                            [BP_ERROR_MEMORY] = PROBLEM_overloaded,
                                            [BP_ERROR_IO] = PROBLEM_storage,
                                            [BP_ERROR_DAMAGED] = PROBLEM_damaged,
                                            [BP_ERROR_UNSUPPORTED] = PROBLEM_invalid};
    return problems[code];
}

void answer_error(struct request *r, const struct bp_error *error) {
    answer_problem(r, problem_of(error->code), "%s", error->message);
}

void answer_problems(struct request *r, struct schema_problems *problems) {
    char detail[900];
    enum problem code = problem_of(problems->code);
    if (code == PROBLEM_invalid && problems->too_large) code = PROBLEM_too_large;
    const struct schema_problem *first = &problems->items[0];
    if (problems->total == 1 && first->pointer && *first->pointer)
        snprintf(detail, sizeof detail, "%.200s: %.600s", first->pointer, first->detail ? first->detail : "");
    else if (problems->total == 1 && first->line > 0)
        snprintf(detail, sizeof detail, "line %lld: %.700s", (long long)first->line, first->detail ? first->detail : "");
    else if (problems->total == 1) snprintf(detail, sizeof detail, "%.800s", first->detail ? first->detail : "");
    else snprintf(detail, sizeof detail, "%lld problems; the first: %.700s", (long long)problems->total, first->detail ? first->detail : "");
    answer_with(r, code, detail, schema_problems_json(problems));
    schema_problems_clear(problems);
}

void answer_store(struct request *r, enum store_result result, const struct bp_error *error, const char *format, ...) {
    char what[400];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    static const enum problem codes[] = {
        [STORE_NOT_FOUND] = PROBLEM_not_found, [STORE_EXISTS] = PROBLEM_exists,     [STORE_IN_USE] = PROBLEM_in_use,
        [STORE_STALE] = PROBLEM_conflict,      [STORE_CONFLICT] = PROBLEM_conflict, [STORE_CHANGED] = PROBLEM_precondition_failed,
        [STORE_FULL] = PROBLEM_queue_full,     [STORE_FAILED] = PROBLEM_storage};
    const bool own = error->code == BP_ERROR_MEMORY || error->code == BP_ERROR_DAMAGED;
    const enum problem code = own ? problem_of(error->code) : codes[result];
    if (*error->message) answer_problem(r, code, "%s", error->message); /* the store's message is a full sentence */
    else answer_problem(r, code, "%s: %s", what, problems_table[code].title);
}

/* ---- questions to a request ------------------------------------------------------------------------------------------------------- */

const char *request_query(const struct request *r, const char *name) {
    const char *value = NULL;
    size_t size = 0;
    if (MHD_lookup_connection_value_n(r->connection, MHD_GET_ARGUMENT_KIND, name, strlen(name), &value, &size) != MHD_YES) return NULL;
    return value ? value : "";
}

const char *request_header(const struct request *r, const char *name) {
    return MHD_lookup_connection_value(r->connection, MHD_HEADER_KIND, name);
}

/* The weight of the first of the names, -1: there is none. */
static double weight_of(const char *list, const char *const *names) {
    while (list && *list) {
        list += strspn(list, " ,\t");
        const size_t item = strcspn(list, ","), size = strcspn(list, ";, \t");
        for (const char *const *name = names; *name; name++) {
            if (strlen(*name) != size || strncasecmp(list, *name, size) != 0) continue;
            const char *q = strstr(list, "q=");
            return q && q < list + item ? strtod(q + 2, NULL) : 1;
        }
        list += item;
    }
    return -1;
}

double request_weight(const char *list, const char *const *names) {
    const double weight = weight_of(list, names);
    return weight > 0 ? weight : 0;
}

bool request_names(const char *list, const char *const *names) {
    return weight_of(list, names) >= 0;
}

bool request_takes_gzip(const struct request *r) {
    static const char *const gzip[] = {"gzip", "x-gzip", NULL};
    return request_weight(request_header(r, "Accept-Encoding"), gzip) > 0;
}

bool request_paging(struct request *r, int32_t *limit, const char **after) {
    const char *text = request_query(r, "limit");
    *limit = 20;
    *after = request_query(r, "after");
    if (*after && !**after) *after = NULL;
    if (!text) return true;
    char *end;
    long v = strtol(text, &end, 10);
    if (!*text || *end || v < 1 || v > STORE_LIST_MAX) {
        answer_problem(r, PROBLEM_invalid, "limit must be a whole number from 1 to %d, got \"%.40s\"", STORE_LIST_MAX, text);
        return false;
    }
    *limit = (int32_t)v;
    return true;
}

bool request_after_version(struct request *r, const char *after, int64_t *version) {
    char *end = NULL;
    *version = after ? strtoll(after, &end, 10) : 0;
    if (!after || (!*end && *version >= 1)) return true;
    answer_problem(r, PROBLEM_invalid, "after must be the number of a version, got \"%.40s\"", after);
    return false;
}

json_t *request_json(struct request *r) {
    json_error_t where;
    if (r->body.size == 0) {
        answer_problem(r, PROBLEM_bad_request, "the body is empty; expected a JSON object");
        return NULL;
    }
    if (!memory_for_json(r)) return NULL;
    json_t *json = schema_json_load(r->body.bytes, r->body.size, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &where);
    if (!json) {
        bool nul = json_error_code(&where) == json_error_null_character; /* jansson's words are for its programmers */
        answer_problem(r, PROBLEM_bad_request, "the body is not JSON: %s (line %d, column %d)", nul ? "\\u0000 is not allowed" : where.text,
                       where.line, where.column);
        return NULL;
    }
    if (json_is_object(json)) return json;
    char got[80];
    answer_problem(r, PROBLEM_invalid, "the body must be a JSON object, got %s", schema_json_text(json, got, sizeof got));
    json_decref(json);
    return NULL;
}

bool request_name(struct request *r, const char *text, char name[STORE_NAME_SIZE], int64_t *version) {
    const char *at = strchr(text, '@');
    size_t size = at ? (size_t)(at - text) : strlen(text);
    *version = 0;
    if (size < STORE_NAME_SIZE) {
        memcpy(name, text, size);
        name[size] = '\0';
        char *end = NULL;
        if (at) *version = strtoll(at + 1, &end, 10);
        bool good_version = !at || (at[1] >= '1' && at[1] <= '9' && !*end && *version > 0 && *version < INT64_MAX);
        if (schema_name_valid(name) && good_version) return true;
    }
    answer_problem(r, PROBLEM_not_found, "\"%.80s\" is not a valid name; names match ^[a-z0-9][a-z0-9._-]{0,62}$, with @n for version n", text);
    return false;
}

bool reference_valid(const char *text) {
    return schema_name_valid(text) && strcmp(text, "0") != 0;
}

bool request_model(struct request *r, const char *text, char name[STORE_NAME_SIZE], char reference[STORE_NAME_SIZE]) {
    const char *at = strchr(text, '@');
    const size_t size = at ? (size_t)(at - text) : strlen(text);
    reference[0] = '\0';
    if (size < STORE_NAME_SIZE) {
        snprintf(name, STORE_NAME_SIZE, "%.*s", (int)size, text);
        if (at && reference_valid(at + 1)) snprintf(reference, STORE_NAME_SIZE, "%s", at + 1);
        if (schema_name_valid(name) && (!at || reference[0])) return true;
    }
    answer_problem(
        r, PROBLEM_not_found,
        "\"%.80s\" is not a valid name; names match ^[a-z0-9][a-z0-9._-]{0,62}$, with @n for version n or @alias for the version that an alias "
        "names",
        text);
    return false;
}

bool request_version(struct request *r, char name[STORE_NAME_SIZE], char reference[STORE_NAME_SIZE]) {
    const char *text = r->params[1];
    if (!request_model(r, r->params[0], name, reference)) return false;
    if (reference[0]) {
        answer_problem(r, PROBLEM_not_found, "\"%.80s\" names a version already; write /v1/models/%s/versions/%.60s", r->params[0], name, text);
        return false;
    }
    if (reference_valid(text)) snprintf(reference, STORE_NAME_SIZE, "%.*s", STORE_NAME_SIZE - 1, text);
    if (!reference[0]) answer_problem(r, PROBLEM_not_found, "there is no version \"%.60s\"; expected a number, latest, or an alias", text);
    return reference[0];
}

/* ---- pieces of answers ---------------------------------------------------------------------------------------------------------------- */

json_t *list_json(json_t *data, const char *first_id, const char *last_id, bool has_more) {
    return json_pack("{s:s, s:o, s:s?, s:s?, s:b}", "object", "list", "data", data, "first_id", first_id, "last_id", last_id, "has_more", has_more);
}

json_t *time_json(int64_t ms) {
    char text[32];
    if (ms <= 0) return json_null();
    store_time_text(ms, text);
    return json_string(text);
}

json_t *document_json(const char *text) {
    json_t *json = text ? schema_json_load(text, strlen(text), JSON_DECODE_ANY, NULL) : NULL;
    return json ? json : json_null();
}

void answer_list(struct request *r, const struct listing *list) {
    char first[24], last[24];
    const char *items = list->items, *end = items + (size_t)list->count * list->item_size;
    json_t *data = json_array();
    for (const char *item = items; item < end; item += list->item_size) {
        json_t *one = list->render(r, item);
        if (!one && r->status) {
            json_decref(data);
            return;
        }
        json_array_append_new(data, one);
    }
    const char *from = list->count ? list->id(items, first) : NULL, *to = list->count ? list->id(end - list->item_size, last) : NULL;
    json_t *json = list_json(data, from, to, list->has_more);
    if (list->exact) answer_json_exact(r, 200, json);
    else answer_json(r, 200, json);
}

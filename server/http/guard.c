/* guard.c - what every request must pass before its route: framing that libmicrohttpd 0.9.75 lets through, the Host, the key, CORS. */
#include "schema/ingest/ingest.h"
#include "server/http/private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct framing {
    int lengths, encodings, hosts;
    bool bad_length, bad_encoding;
    int64_t length;
};

static enum MHD_Result look(void *context, enum MHD_ValueKind kind, const char *name, const char *value) {
    struct framing *f = context;
    (void)kind;
    if (strcasecmp(name, "Content-Length") == 0) {
        char *end = NULL;
        f->lengths++;
        size_t digits = value ? strspn(value, "0123456789") : 0;
        f->bad_length = f->bad_length || !value || digits == 0 || value[digits] || digits > 18;
        if (!f->bad_length) f->length = strtoll(value, &end, 10);
    } else if (strcasecmp(name, "Transfer-Encoding") == 0) {
        f->encodings++;
        f->bad_encoding = f->bad_encoding || !value || strcasecmp(value, "chunked") != 0;
    } else if (strcasecmp(name, "Host") == 0) {
        f->hosts++;
    }
    return MHD_YES;
}

/* A name, an IPv4 address or an IPv6 address in brackets, and perhaps a port (RFC 9110, 7.2). An empty one is right for a target without an
 * authority, but none is served here. */
static bool host_is_valid(const char *host) {
    static const char name[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~", address[] = "0123456789abcdefABCDEF:.";
    size_t size = strspn(host, name);
    if (host[0] == '[') {
        size = 1 + strspn(host + 1, address);
        if (size < 3 || host[size++] != ']') return false;
    }
    if (size == 0 || host[size] == '\0') return size > 0;
    return host[size] == ':' && strspn(host + size + 1, "0123456789") == strlen(host + size + 1) && strlen(host + size + 1) <= 5;
}

/* The name of a Host header without its port; loopback names are always allowed. */
static bool host_allowed(const struct server *server, const char *host) {
    char name[256];
    size_t size = host[0] == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":");
    if (size > strlen(host)) size = strlen(host);
    if (size == 0 || size >= sizeof name) return false;
    memcpy(name, host, size);
    name[size] = '\0';
    if (strcasecmp(name, "localhost") == 0 || strcmp(name, "127.0.0.1") == 0 || strcmp(name, "[::1]") == 0) return true;
    return server_list_has(server->settings.allow_host, name) || server_list_has(server->settings.allow_host, host) ||
           server_list_has(server->settings.allow_host, "*");
}

/* Same time whatever differs. */
static bool same_secret(const char *a, const char *b) {
    size_t n = strlen(a), m = strlen(b);
    unsigned difference = n != m;
    for (size_t i = 0; i < n; i++) difference |= (unsigned char)a[i] ^ (unsigned char)b[m ? i % m : 0];
    return difference == 0;
}

bool guard_check(struct request *r) {
    struct framing f = {0};
    MHD_get_connection_values(r->connection, MHD_HEADER_KIND, look, &f);
    const char *host = request_header(r, "Host");
    r->body_seen = f.length;
    if (f.lengths > 1 || f.bad_length || f.bad_encoding || f.encodings > 1 || (f.lengths && f.encodings) || f.hosts > 1) {
        r->keep_alive_off = true;
        answer_problem(r, PROBLEM_bad_request, "%s",
                       f.lengths > 1 || f.bad_length ? "expected one Content-Length, in digits"
                       : f.hosts > 1                 ? "expected one Host header"
                       : f.lengths && f.encodings    ? "Content-Length and Transfer-Encoding exclude each other"
                                                     : "the only supported Transfer-Encoding is chunked");
        return false;
    }
    if (!host || !host_is_valid(host)) {
        r->keep_alive_off = true;
        answer_problem(r, PROBLEM_bad_request,
                       host ? "the Host header \"%.100s\" is not a host name with an optional port" : "the Host header is missing", host);
        return false;
    }
    if (!host_allowed(r->server, host)) {
        answer_problem(r, PROBLEM_forbidden_host, "the Host \"%.100s\" is not allowed; start the server with --allow-host to allow it", host);
        return false;
    }
    return true;
}

static bool key_fits(const struct request *r) {
    if (!r->server->api_key || (r->route->flags & ROUTE_OPEN)) return true;
    const char *header = request_header(r, "Authorization");
    if (!header || strncasecmp(header, "Bearer ", 7) != 0) return false;
    header += 7 + strspn(header + 7, " ");
    return same_secret(header, r->server->api_key);
}

static bool content_type_is(const char *header, const char *type) {
    size_t n = strlen(type);
    if (!header || strncasecmp(header, type, n) != 0) return false;
    header += n + strspn(header + n, " \t");
    return *header == '\0' || *header == ';';
}

bool guard_key(struct request *r) {
    if (key_fits(r)) return true;
    answer_header(r, "WWW-Authenticate", "Bearer");
    answer_problem(r, PROBLEM_unauthorized, "send the key as `Authorization: Bearer KEY`");
    return false;
}

/* Types that clients send for unknown files, and the one of CSV on Windows with Excel: the first bytes decide. */
static bool says_nothing(const char *type) {
    return !type || !*type || content_type_is(type, "application/octet-stream") || content_type_is(type, "application/vnd.ms-excel");
}

/* What the route wants of its body. *length: declared, -1 for chunked. */
bool guard_body(struct request *r, int64_t *length) {
    const char *type = request_header(r, "Content-Type"), *encoding = request_header(r, "Transfer-Encoding");
    *length = encoding ? -1 : r->body_seen;
    r->body_seen = 0;
    const char *coding = request_header(r, "Content-Encoding");
    const bool data = r->route->body == ROUTE_STREAM || r->route->body == ROUTE_SAMPLE, form = content_type_is(type, "multipart/form-data");
    if (!schema_encoding_known(coding)) {
        answer_problem(r, PROBLEM_unsupported_media_type,
                       "Content-Encoding \"%.40s\" is not supported; send the body uncompressed, or as gzip or zstd", coding);
        return false;
    }
    r->body_limit = data ? r->server->settings.upload_max : r->server->settings.body_max;
    if (r->route->body == ROUTE_NO_BODY) {
        r->body_limit = 0;
        if (*length == 0 || *length == -1) return true;
        if (*length > 1 << 20) {
            answer_problem(r, PROBLEM_bad_request, "%s %s takes no body", r->method, r->path);
            return false;
        }
        return true;
    }
    if (r->route->body == ROUTE_JSON && !content_type_is(type, "application/json")) {
        answer_problem(r, PROBLEM_unsupported_media_type,
                       "Content-Type is \"%.60s\", expected application/json; with curl: -H 'Content-Type: application/json' -d '{...}' or "
                       "--data-binary @file.json%s",
                       type ? type : "",
                       form ? "; a form (curl -F, an HTML form) is not read: in a browser fetch(url, {method: \"POST\", headers: {\"Content-Type\": "
                              "\"application/json\"}, body: JSON.stringify(...)})"
                            : "");
        return false;
    }
    if ((r->route->body == ROUTE_STREAM && !schema_format_for(type) && !says_nothing(type)) || (r->route->body == ROUTE_SAMPLE && form)) {
        char known[400];
        answer_problem(r, PROBLEM_unsupported_media_type,
                       "Content-Type is \"%.60s\", expected %s%s; with curl: --data-binary @file.csv -H 'Content-Type: text/csv'", type,
                       schema_format_list(known, sizeof known),
                       form ? "; a form (curl -F, an HTML form) is not read: send the file alone as the body and options in the query, in a browser "
                              "fetch(url, {method: \"POST\", body: file})"
                            : "");
        return false;
    }
    if (*length > r->body_limit) {
        answer_problem(r, PROBLEM_too_large, "the body has %lld bytes, the limit is %lld (setting %s)", (long long)*length, (long long)r->body_limit,
                       data ? "upload_max" : "body_max");
        return false;
    }
    return true;
}

void guard_cors(struct request *r, struct MHD_Response *response) {
    const char *list = r->server->settings.cors_origin;
    if (!list || !*list) return;
    const char *origin = request_header(r, "Origin");
    if (!origin || !(server_list_has(list, origin) || server_list_has(list, "*"))) return;
    MHD_add_response_header(response, "Access-Control-Allow-Origin", origin);
    MHD_add_response_header(response, "Vary", "Origin");
    MHD_add_response_header(response, "Access-Control-Expose-Headers",
                            "Allow, Content-Disposition, ETag, Idempotency-Replayed, Location, Retry-After, WWW-Authenticate, X-Request-Id");
    if (strcmp(r->method, "OPTIONS") == 0) {
        MHD_add_response_header(response, "Access-Control-Allow-Methods", "GET, HEAD, POST, PUT, DELETE");
        MHD_add_response_header(
            response, "Access-Control-Allow-Headers",
            "Accept, Authorization, Cache-Control, Content-Encoding, Content-Type, Idempotency-Key, If-Match, If-None-Match, Last-Event-ID, Prefer");
        MHD_add_response_header(response, "Access-Control-Max-Age", "600");
    }
}

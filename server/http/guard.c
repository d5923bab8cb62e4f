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

/* A change, or a key that was refused. A request without a key is neither: anyone can send it. */
void guard_audit(struct request *r) {
    struct store_audit entry = {.denied = r->denied, .status = r->status};
    const char *target = r->path;
    if (r->audited || !r->route || !r->status) return;
    r->audited = true;
    const bool changes = r->route->scope != SCOPE_PREDICT && r->route->scope != SCOPE_OPEN && strcmp(r->route->method, "GET") != 0 &&
                         !(r->route->flags & ROUTE_CHANGES_NOTHING);
    const bool done = changes && !r->denied && (r->status < 400 || r->status >= 500);
    if (!done && !r->denied) return;
    for (int i = 0; i < r->headers_count && !r->denied; i++) {
        if (strcmp(r->headers[i].name, "Location") == 0) target = r->headers[i].value;
        if (strcmp(r->headers[i].name, "Idempotency-Replayed") == 0) return; /* it was changed before */
    }
    address_text(&r->client, entry.address);
    memcpy(entry.key_id, r->who.id, sizeof entry.key_id);
    memcpy(entry.key_name, r->who.name, sizeof entry.key_name);
    snprintf(entry.action, sizeof entry.action, "%s", r->route->name);
    snprintf(entry.target, sizeof entry.target, "%s", target);
    snprintf(entry.request_id, sizeof entry.request_id, "%s", r->id);
    auth_audit(r->server->auth, &entry);
}

static bool content_type_is(const char *header, const char *type) {
    size_t n = strlen(type);
    if (!header || strncasecmp(header, type, n) != 0) return false;
    header += n + strspn(header + n, " \t");
    return *header == '\0' || *header == ';';
}

/* The last one: a proxy that does not extend the header of a client adds its own after it. */
static enum MHD_Result last_forwarded(void *context, enum MHD_ValueKind kind, const char *name, const char *value) {
    (void)kind;
    if (strcasecmp(name, "X-Forwarded-For") == 0 && value) *(const char **)context = value;
    return MHD_YES;
}

/* The last address of X-Forwarded-For that is no proxy of ours, if the connection comes from one: what stands before it, a client may have made up.
 */
static struct address client_of(const struct request *r) {
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(r->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    struct address client = address_of(info ? info->client_addr : NULL);
    const char *proxies = r->server->settings.trusted_proxy, *forwarded = NULL;
    char text[ADDRESS_TEXT_SIZE];
    if (!proxies || !*proxies) return client;
    MHD_get_connection_values(r->connection, MHD_HEADER_KIND, last_forwarded, (void *)&forwarded);
    for (size_t end = forwarded ? strlen(forwarded) : 0; end > 0;) {
        struct address before;
        address_text(&client, text);
        if (!server_list_has(proxies, text)) break;
        size_t start = end;
        while (start > 0 && forwarded[start - 1] != ',') start--;
        const size_t blanks = strspn(forwarded + start, " ");
        snprintf(text, sizeof text, "%.*s", (int)(end - start - (blanks < end - start ? blanks : 0)), forwarded + start + blanks);
        text[strcspn(text, " ")] = '\0';
        if (!address_parse(text, &before)) break;
        client = before;
        end = start > 0 ? start - 1 : 0;
    }
    return client;
}

/* Whether a request with a cookie comes from a page of this server, or of an origin that cors_credentials lets in. SameSite keeps other sites out,
 * not other ports of this host. A client that sends no Origin is no page, or sends a GET of the same origin. */
static bool origin_is_trusted(const struct request *r) {
    const char *origin = request_header(r, "Origin"), *host = request_header(r, "Host"), *site = request_header(r, "Sec-Fetch-Site");
    const struct server_settings *settings = &r->server->settings;
    if (!origin) return !site || strcmp(site, "same-origin") == 0 || strcmp(site, "none") == 0;
    const char *name = strstr(origin, "://");
    if (name && host && strcasecmp(name + 3, host) == 0) return true;
    return settings->cors_credentials && settings->cors_origin && server_list_has(settings->cors_origin, origin);
}

enum auth_result guard_identify(struct request *r, int64_t *wait) {
    const char *header = request_header(r, "Authorization"), *cookies = header ? NULL : request_header(r, "Cookie");
    if (cookies && origin_is_trusted(r)) {
        const enum auth_result result = auth_session_check(r->server->auth, cookies, &r->who);
        if (result == AUTH_OK) return result;
    }
    return auth_check(r->server->auth, header, &r->client, &r->who, wait);
}

bool guard_key(struct request *r) {
    int64_t wait;
    const enum scope needed = r->route->scope;
    r->client = client_of(r);
    if (needed == SCOPE_OPEN) return true;
    const char *header = request_header(r, "Authorization"), *ticket = r->route->flags & ROUTE_TICKET ? request_query(r, "ticket") : NULL;
    if (ticket && !header) {
        if (auth_ticket_check(r->server->auth, ticket, r->path, &r->who) == AUTH_OK) return true;
        answer_header(r, "WWW-Authenticate", "Bearer");
        answer_problem(r, PROBLEM_unauthorized, "the ticket is not valid for this path, or has expired after %d s; POST /v1/tickets makes another",
                       TICKET_SECONDS);
        return false;
    }
    const enum auth_result result = guard_identify(r, &wait);
    if (result == AUTH_OK && scope_allows(r->who.scope, needed)) return true;
    r->denied = result != AUTH_MISSING && result != AUTH_THROTTLED;
    if (result == AUTH_OK)
        answer_problem(r, PROBLEM_insufficient_scope, "%s %s needs a key with the scope %s; the scope of the key \"%s\" is %s", r->route->method,
                       r->route->path, scope_name(needed == SCOPE_NONE ? SCOPE_ADMIN : needed), r->who.name, scope_name(r->who.scope));
    else guard_refuse_key(r, result, wait);
    return false;
}

bool guard_write(struct request *r) {
    const struct route *route = r->route;
    if (!r->server->follower || strcmp(route->method, "GET") == 0 || route->flags & (ROUTE_CHANGES_NOTHING | ROUTE_REPLICA)) return true;
    answer_read_only(r);
    return false;
}

void guard_refuse_key(struct request *r, enum auth_result result, int64_t wait) {
    char seconds[24];
    if (result == AUTH_THROTTLED) {
        snprintf(seconds, sizeof seconds, "%lld", (long long)wait);
        answer_header(r, "Retry-After", seconds);
        answer_problem(r, PROBLEM_wrong_keys, "too many wrong keys came from this address (setting wrong_keys_max); try again in %s s", seconds);
        return;
    }
    answer_header(r, "WWW-Authenticate", "Bearer");
    if (result == AUTH_EXPIRED) answer_problem(r, PROBLEM_unauthorized, "the key \"%s\" has expired; rotate it, or create another", r->who.name);
    else
        answer_problem(r, PROBLEM_unauthorized,
                       result == AUTH_MISSING ? "send the key as `Authorization: Bearer KEY`" : "no key is valid that reads like this one");
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
    const struct body_sink *sink = r->route->sink;
    if (sink && (!sink->takes || (type && sink->takes(type)))) r->feeds = sink;
    const bool data = r->feeds || r->route->body == ROUTE_SAMPLE, form = content_type_is(type, "multipart/form-data");
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
    if (r->route->body == ROUTE_JSON && !r->feeds && !content_type_is(type, "application/json")) {
        answer_problem(r, PROBLEM_unsupported_media_type,
                       "Content-Type is \"%.60s\", expected application/json%s; with curl: -H 'Content-Type: application/json' -d '{...}' or "
                       "--data-binary @file.json%s",
                       type ? type : "", sink ? sink->types : "",
                       form ? "; a form (curl -F, an HTML form) is not read: in a browser fetch(url, {method: \"POST\", headers: {\"Content-Type\": "
                              "\"application/json\"}, body: JSON.stringify(...)})"
                            : "");
        return false;
    }
    const bool rows = r->route->body == ROUTE_STREAM && !(r->route->flags & ROUTE_OWN_TYPES);
    if ((rows && !schema_format_for(type) && !says_nothing(type)) || (r->route->body == ROUTE_SAMPLE && form)) {
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

static void allow(struct request *r, const char *name, const char *value) {
    answer_header(r, name, value);
}

void guard_cors(struct request *r) {
    const char *list = r->server->settings.cors_origin;
    if (!list || !*list) return;
    const char *origin = request_header(r, "Origin");
    if (!origin || !(server_list_has(list, origin) || server_list_has(list, "*"))) return;
    allow(r, "Access-Control-Allow-Origin", origin);
    allow(r, "Vary", "Origin");
    if (r->server->settings.cors_credentials) allow(r, "Access-Control-Allow-Credentials", "true");
    allow(r, "Access-Control-Expose-Headers",
          "Accept-Ranges, Allow, Content-Disposition, Content-Range, ETag, Idempotency-Replayed, Link, Location, Retry-After, WWW-Authenticate, "
          "X-Failed-Rows, X-Model-Version, X-Request-Id, X-Rows, X-Warnings");
    if (strcmp(r->method, "OPTIONS") != 0) return;
    allow(r, "Access-Control-Allow-Methods", "GET, HEAD, POST, PUT, PATCH, DELETE");
    allow(r, "Access-Control-Allow-Headers",
          "Accept, Authorization, Cache-Control, Content-Encoding, Content-Type, Idempotency-Key, If-Match, If-None-Match, Last-Event-ID, Prefer, "
          "Range");
    allow(r, "Access-Control-Max-Age", "600");
}

/* client.c - see client.h. Sections: the address; a connection; reading a response. */
#include "server/commands/client.h"

#include "schema/text/text.h"
#include "server/clock.h"

#include <errno.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PATIENCE_S = 5, STREAM_PATIENCE_S = 3, LARGE_PATIENCE_S = 120, WHOLE_S = 30, LARGE_WHOLE_S = 3600, RESPONSE_MAX = 4 << 20 };
static const size_t LARGE_MAX = (size_t)2 << 30;

/* ---- the address -------------------------------------------------------------------------------------------------------------------------- */

int client_parse(struct client *c, const char *url, struct bp_error *error) {
    const char *rest = strncmp(url, "http://", 7) == 0 ? url + 7 : strncmp(url, "https://", 8) == 0 ? url + 8 : NULL;
    size_t size = rest ? strcspn(rest, "/?#") : 0;
    *c = (struct client){.tls = rest == url + 8};
    if (size == 0 || size >= sizeof c->authority || strcspn(rest, "@") < size || strlen(rest + size) >= sizeof c->prefix || strpbrk(rest, "?# \r\n"))
        return bp_error_set(error, "", "--url expects http://host:port or https://host:port, got \"%.100s\"", url);
    snprintf(c->authority, sizeof c->authority, "%.*s", (int)size, rest);
    snprintf(c->prefix, sizeof c->prefix, "%s", rest + size);
    for (size_t n = strlen(c->prefix); n > 0 && c->prefix[n - 1] == '/'; n--) c->prefix[n - 1] = '\0';
    const bool brackets = c->authority[0] == '[';
    const char *end = brackets ? strchr(c->authority, ']') : c->authority + strcspn(c->authority, ":"), *name = c->authority + brackets;
    const char *port = !end ? NULL : end[brackets] == ':' ? end + brackets + 1 : end[brackets] == '\0' ? (c->tls ? "443" : "80") : NULL;
    if (!port || end == name || (size_t)(end - name) >= sizeof c->host || !*port || strlen(port) > 5 || port[strspn(port, "0123456789")])
        return bp_error_set(error, "", "--url expects http://host:port or https://host:port, got \"%.100s\"", url);
    snprintf(c->host, sizeof c->host, "%.*s", (int)(end - name), name);
    snprintf(c->port, sizeof c->port, "%s", port);
    return 0;
}

/* ---- a connection ------------------------------------------------------------------------------------------------------------------------- */

struct link {
    int fd, patience_s;
    gnutls_session_t session; /* NULL: no TLS */
    gnutls_certificate_credentials_t credentials;
};

static int connect_to(const struct client *c, struct link *link, struct bp_error *error) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
    const struct timeval patience = {.tv_sec = link->patience_s};
    const int code = getaddrinfo(c->host, c->port, &hints, &found);
    if (code != 0) return bp_error_io(error, "the name %s cannot be resolved: %s", c->host, gai_strerror(code));
    const int one = 1;
    int cause = 0;
    for (struct addrinfo *a = found; a && link->fd < 0; a = a->ai_next) {
        link->fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (link->fd < 0) continue;
        setsockopt(link->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        setsockopt(link->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
        setsockopt(link->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one); /* the request follows the handshake at once */
        if (connect(link->fd, a->ai_addr, a->ai_addrlen) == 0) break;
        cause = errno == EINPROGRESS || errno == EAGAIN ? ETIMEDOUT : errno;
        close(link->fd);
        link->fd = -1;
    }
    freeaddrinfo(found);
    return link->fd >= 0 ? 0 : bp_error_io(error, "no server listens at %s: %s", c->authority, strerror(cause));
}

static void look_at_certificate(const struct client *c, const struct link *link, struct client_response *r) {
    unsigned status = 0, count = 0;
    gnutls_datum_t why = {0};
    gnutls_x509_crt_t certificate = NULL;
    r->tls_version = gnutls_protocol_get_name(gnutls_protocol_get_version(link->session));
    r->trusted = gnutls_certificate_verify_peers3(link->session, c->host, &status) == 0 && status == 0;
    if (!r->trusted && gnutls_certificate_verification_status_print(status, GNUTLS_CRT_X509, &why, 0) == 0)
        snprintf(r->distrust, sizeof r->distrust, "%s", (const char *)why.data);
    gnutls_free(why.data);
    const gnutls_datum_t *chain = gnutls_certificate_get_peers(link->session, &count);
    if (count == 0 || gnutls_x509_crt_init(&certificate) != 0) return;
    if (gnutls_x509_crt_import(certificate, &chain[0], GNUTLS_X509_FMT_DER) == 0)
        r->expires_at = (int64_t)gnutls_x509_crt_get_expiration_time(certificate);
    gnutls_x509_crt_deinit(certificate);
}

static int start_tls(const struct client *c, struct link *link, struct client_response *r, struct bp_error *error) {
    int code = gnutls_certificate_allocate_credentials(&link->credentials);
    if (code == 0) gnutls_certificate_set_x509_system_trust(link->credentials);
    if (code == 0 && c->ca_file && (code = gnutls_certificate_set_x509_trust_file(link->credentials, c->ca_file, GNUTLS_X509_FMT_PEM)) < 0)
        return bp_error_io(error, "cannot read certificates from %s: %s", c->ca_file, gnutls_strerror(code));
    if (code >= 0) code = gnutls_init(&link->session, GNUTLS_CLIENT);
    if (code < 0) return bp_error_io(error, "TLS cannot be started: %s", gnutls_strerror(code));
    gnutls_set_default_priority(link->session);
    gnutls_credentials_set(link->session, GNUTLS_CRD_CERTIFICATE, link->credentials);
    gnutls_server_name_set(link->session, GNUTLS_NAME_DNS, c->host, strlen(c->host));
    gnutls_transport_set_int(link->session, link->fd);
    gnutls_handshake_set_timeout(link->session, PATIENCE_S * 1000);
    while ((code = gnutls_handshake(link->session)) < 0 && !gnutls_error_is_fatal(code) && code != GNUTLS_E_AGAIN) continue;
    if (code < 0)
        return bp_error_io(error, "the TLS handshake with %s failed: %s%s", c->authority, gnutls_strerror(code),
                           code == GNUTLS_E_PREMATURE_TERMINATION || code == GNUTLS_E_UNEXPECTED_PACKET ||
                                   code == GNUTLS_E_UNEXPECTED_PACKET_LENGTH || code == GNUTLS_E_UNSUPPORTED_VERSION_PACKET
                               ? "; perhaps it does not speak TLS: try http://"
                               : "");
    look_at_certificate(c, link, r);
    return 0;
}

static void hang_up(struct link *link) {
    if (link->session) gnutls_deinit(link->session);
    if (link->credentials) gnutls_certificate_free_credentials(link->credentials);
    if (link->fd >= 0) close(link->fd);
}

/* Bytes written or read; 0: the end; -1: an error; -2: nothing came in time. */
static ssize_t link_write(struct link *link, const char *bytes, size_t size) {
    ssize_t n;
    if (link->session) do
            n = gnutls_record_send(link->session, bytes, size);
        while (n == GNUTLS_E_INTERRUPTED);
    else do
            n = send(link->fd, bytes, size, MSG_NOSIGNAL);
        while (n < 0 && errno == EINTR);
    return n < 0 ? -1 : n;
}

/* GNUTLS_E_AGAIN comes at the end of the socket's patience, and at once after a session ticket. */
static ssize_t link_read(struct link *link, char *bytes, size_t size) {
    const int64_t begun = clock_ms();
    ssize_t n;
    if (!link->session) {
        do n = recv(link->fd, bytes, size, 0);
        while (n < 0 && errno == EINTR);
        return n >= 0 ? n : errno == EAGAIN || errno == EWOULDBLOCK ? -2 : -1;
    }
    do n = gnutls_record_recv(link->session, bytes, size);
    while (n == GNUTLS_E_INTERRUPTED || (n == GNUTLS_E_AGAIN && clock_ms() - begun < link->patience_s * 1000 - 100));
    if (n == GNUTLS_E_PREMATURE_TERMINATION) return 0;
    return n >= 0 ? n : n == GNUTLS_E_AGAIN ? -2 : -1;
}

/* ---- a request and its response ------------------------------------------------------------------------------------------------------------- */

static int write_request(const struct client *c, const struct client_request *q, struct link *link, struct bp_error *error) {
    struct schema_text text = {.limit = 64 << 10};
    schema_text_format(&text, "%s %s%s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\nUser-Agent: backpropd\r\n", q->method, c->prefix, q->path,
                       c->authority);
    if (c->key && !q->without_key) schema_text_format(&text, "Authorization: Bearer %s\r\n", c->key);
    if (q->headers) schema_text_string(&text, q->headers);
    if (q->body) schema_text_format(&text, "Content-Type: %s\r\nContent-Length: %zu\r\n", q->content_type, q->body_size);
    schema_text_string(&text, "\r\n");
    int failed = text.failed ? bp_error_memory(error, "out of memory") : 0;
    for (size_t at = 0; !failed && at < text.size;) {
        const ssize_t n = link_write(link, text.bytes + at, text.size - at);
        if (n <= 0) failed = bp_error_io(error, "%s closed the connection before the request was sent", c->authority);
        else at += (size_t)n;
    }
    free(text.bytes);
    for (size_t at = 0; !failed && at < q->body_size;) { /* who refuses a body may answer and close in the middle of it */
        const ssize_t n = link_write(link, q->body + at, q->body_size - at);
        if (n <= 0) break;
        at += (size_t)n;
    }
    return failed;
}

/* Decodes the chunked coding in place. False: it is not complete. */
static bool decode_chunks(char *body, size_t *size) {
    size_t from = 0, to = 0;
    while (from < *size) {
        char *end;
        const unsigned long long chunk = strtoull(body + from, &end, 16);
        const char *line = strstr(end, "\r\n");
        if (!line) return false;
        from = (size_t)(line - body) + 2;
        if (chunk == 0) {
            body[ *size = to] = '\0';
            return true;
        }
        if (chunk > *size - from) return false;
        memmove(body + to, body + from, chunk);
        to += chunk;
        from += chunk + 2;
    }
    return false;
}

/* Whether all of the body has come: then *text ends after it. */
static bool is_complete(const struct client_response *r, const struct schema_text *text, size_t body) {
    char value[40];
    const char *length = client_header(r, "Content-Length", value, sizeof value);
    if (length) return text->size - body >= strtoull(length, NULL, 10);
    if (r->status == 204 || r->status == 304) return true;
    const bool chunked = client_header(r, "Transfer-Encoding", value, sizeof value) && strcasecmp(value, "chunked") == 0;
    return chunked && text->size >= body + 5 && memcmp(text->bytes + text->size - 5, "0\r\n\r\n", 5) == 0;
}

/* The head, when it is complete. Returns where the body begins, 0: not yet. */
static size_t take_head(const struct schema_text *text, struct client_response *r) {
    const char *end = text->bytes ? strstr(text->bytes, "\r\n\r\n") : NULL;
    if (!end) return 0;
    const size_t size = (size_t)(end - text->bytes) + 2;
    r->head = strndup(text->bytes, size);
    r->status = strncmp(text->bytes, "HTTP/1.", 7) == 0 ? (int)strtol(text->bytes + 8, NULL, 10) : 0;
    return size + 2;
}

static void take_body(struct client_response *r, struct schema_text *text, size_t body) {
    char value[40];
    r->body_size = text->size - body;
    r->body = malloc(r->body_size + 1);
    if (!r->body) return;
    memcpy(r->body, text->bytes + body, r->body_size);
    r->body[r->body_size] = '\0';
    if (client_header(r, "Transfer-Encoding", value, sizeof value) && strcasecmp(value, "chunked") == 0) decode_chunks(r->body, &r->body_size);
}

static int read_response(const struct client *c, const struct client_request *q, struct link *link, struct client_response *r,
                         struct bp_error *error) {
    struct schema_text text = {.limit = q->large ? LARGE_MAX : RESPONSE_MAX};
    const double whole = q->large ? LARGE_WHOLE_S : WHOLE_S;
    char piece[16384];
    size_t body = 0;
    const double begun = clock_seconds();
    double since = begun;
    ssize_t n = 0;
    while (!text.failed && clock_seconds() - begun < whole && !(body && is_complete(r, &text, body)) &&
           (n = link_read(link, piece, sizeof piece)) > 0) {
        schema_text_add(&text, piece, (size_t)n);
        if (!body && (body = take_head(&text, r))) {
            r->head_ms = 1e3 * (clock_seconds() - since);
            since = clock_seconds();
        }
        if (!body || text.size == body || r->body_ms > 0) continue;
        r->body_ms = 1e3 * (clock_seconds() - since);
        if (q->first_bytes) break;
    }
    r->timed_out = n == -2;
    if (body && r->head && r->status) take_body(r, &text, body);
    free(text.bytes);
    if (r->body) return 0;
    if (text.failed) return bp_error_memory(error, "the response is larger than %zu MB", text.limit >> 20);
    if (r->timed_out) return bp_error_io(error, "%s did not respond within %d s", c->authority, link->patience_s);
    return bp_error_io(error, body || text.size ? "%s did not respond with HTTP%s" : "%s closed the connection without a response%s", c->authority,
                       c->tls ? "" : "; perhaps it expects https://");
}

int client_send(const struct client *c, const struct client_request *q, struct client_response *r, struct bp_error *error) {
    struct link link = {.fd = -1, .patience_s = q->large ? LARGE_PATIENCE_S : q->first_bytes ? STREAM_PATIENCE_S : PATIENCE_S};
    const double since = clock_seconds();
    *r = (struct client_response){0};
    int failed = connect_to(c, &link, error);
    if (!failed && c->tls) failed = start_tls(c, &link, r, error);
    r->connect_ms = 1e3 * (clock_seconds() - since);
    if (!failed) failed = write_request(c, q, &link, error);
    if (!failed) failed = read_response(c, q, &link, r, error);
    hang_up(&link);
    return failed;
}

const char *client_header(const struct client_response *r, const char *name, char *text, size_t size) {
    const size_t n = strlen(name);
    for (const char *line = r->head ? strstr(r->head, "\r\n") : NULL; line; line = strstr(line + 2, "\r\n")) {
        const char *at = line + 2;
        if (strncasecmp(at, name, n) != 0 || at[n] != ':') continue;
        at += n + 1 + strspn(at + n + 1, " \t");
        snprintf(text, size, "%.*s", (int)strcspn(at, "\r\n"), at);
        return text;
    }
    return NULL;
}

void client_clear(struct client_response *r) {
    free(r->head);
    free(r->body);
    *r = (struct client_response){0};
}

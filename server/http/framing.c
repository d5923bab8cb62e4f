/* framing.c - the head of a request as it came over the wire. libmicrohttpd 0.9.75 parses leniently and keeps no raw text, but it parses in place: it
 * puts NULs over the colon after a name and over the CR and LF of a line, and what it hands out points into its buffer. So each piece must begin
 * where the one before it ends:
 *
 *     GET_/v1/jobs?limit=1_HTTP/1.1^^Host^_localhost^^X^_y^^^^      (_ a space, ^ a NUL)
 *
 * A bare LF, a folded line, a NUL within a line or a second space leaves a gap. This needs no second look at the socket, so there is no race. */
#include "server/http/direct.h"
#include "server/http/private.h"

#include <string.h>
#include <strings.h>

struct head {
    const char *at; /* where the next line must end the one before it */
    const char *fault;
};

static bool is_token(const char *text, size_t size) {
    static const char letters[] = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    for (size_t i = 0; i < size; i++)
        if (!text[i] || !strchr(letters, text[i])) return false;
    return size > 0;
}

static bool has_controls(const char *text, size_t size) {
    for (size_t i = 0; i < size; i++)
        if (((unsigned char)text[i] < 0x20 && text[i] != '\t') || text[i] == 0x7f) return true;
    return false;
}

static bool line_ended(const char *at) {
    return at[0] == '\0' && at[1] == '\0';
}

static enum MHD_Result look(void *context, enum MHD_ValueKind kind, const char *name, size_t name_size, const char *value, size_t value_size) {
    struct head *h = context;
    (void)kind;
    if (!line_ended(h->at) || name != h->at + 2) {
        h->fault = "a line of the head is folded, or does not end with CR LF, or has a NUL in it";
        return MHD_NO;
    }
    if (!is_token(name, name_size)) {
        h->fault = "the name of a header is no token; no white space may stand before its colon";
        return MHD_NO;
    }
    h->at = name + name_size + 1;
    h->at += strspn(h->at, " \t");
    if (value_size && value != h->at) h->fault = "a header is folded over several lines";
    else if (value_size && has_controls(value, value_size)) h->fault = "the value of a header has a control character in it";
    h->at += value_size;
    return h->fault ? MHD_NO : MHD_YES;
}

bool framing_target_malformed(const char *target) {
    return strchr(target, ' ') || strchr(target, '\t') || has_controls(target, strlen(target));
}

size_t framing_head_size(const struct request *r) {
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(r->connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    return info ? info->header_size : 0;
}

const char *framing_fault(const struct request *r, const char *method, const char *version) {
    struct head h = {.at = version + strlen(version)};
    if (r->target_malformed || !is_token(method, strlen(method)) || method + strlen(method) + 1 != r->target ||
        r->target + r->target_size + 1 != version)
        return "the request line is not METHOD, target and version, separated by one space each, without a NUL";
    MHD_get_connection_values_n(r->connection, MHD_HEADER_KIND, look, &h);
    if (h.fault) return h.fault;
    /* the last line and the empty line */
    if (!line_ended(h.at) || h.at + 4 != method + framing_head_size(r)) return "the head does not end with an empty line, each ended by CR LF";
    return NULL;
}

static enum MHD_Result look_at_length(void *context, enum MHD_ValueKind kind, const char *name, size_t name_size, const char *value,
                                      size_t value_size) {
    (void)kind;
    if (name_size != strlen("Content-Length") || strncasecmp(name, "Content-Length", name_size) != 0) return MHD_YES;
    const bool good = value && value_size > 0 && value_size <= 18 && strspn(value, "0123456789") == value_size;
    if (!good) *(bool *)context = true;
    return MHD_YES;
}

bool framing_length_malformed(const struct request *r) {
    bool malformed = false;
    MHD_get_connection_values_n(r->connection, MHD_HEADER_KIND, look_at_length, &malformed);
    return malformed;
}

/* Where the path of "http://localhost:8080/v1/jobs" begins; NULL: its host is not that of the Host header. */
const char *framing_path(const struct request *r, const char *url) {
    const char *host = request_header(r, "Host"), *scheme = direct_is_tls(r->connection) ? "https://" : "http://";
    if (strncasecmp(url, scheme, strlen(scheme)) != 0) return url;
    url += strlen(scheme);
    const size_t size = strcspn(url, "/");
    if (!host || strlen(host) != size || strncasecmp(url, host, size) != 0) return NULL;
    return url[size] ? url + size : "/";
}

/* client.h - a small HTTP client for `doctor`, `export` and `import` with --url: one request per connection, over TLS or not, with times. It reads
 * what servers and proxies send, within limits, and follows nothing. */
#ifndef SERVER_CLIENT_H
#define SERVER_CLIENT_H

#include "engine/base/base.h"

struct client {
    bool tls;
    char host[256], port[8]; /* host without brackets */
    char prefix[256];        /* of the paths: "" or "/models" */
    char authority[272];     /* for the Host header */
    const char *ca_file;     /* PEM, trusted beside the system's; NULL: none */
    char *key;               /* sent as a bearer; NULL: none */
};
/* "https://example.org:8443/prefix". -1 with the error. */
int client_parse(struct client *client, const char *url, struct bp_error *error);

struct client_request {
    const char *method, *path;
    const char *headers; /* lines that end in \r\n, or NULL */
    const char *body;    /* NULL: none */
    size_t body_size;
    const char *content_type;
    bool without_key;
    bool first_bytes; /* stop at the first byte of the body: for streams */
    bool large;       /* the response may be large, and take long: a model */
};

struct client_response {
    int status;
    char *head, *body; /* NUL-terminated; client_clear frees them */
    size_t body_size;
    double connect_ms, head_ms, body_ms; /* for the connection with TLS; from the request to the head; from the head to the first byte of the body */
    bool timed_out;                      /* the body did not come */
    /* TLS */
    bool trusted;
    char distrust[200];      /* why not */
    int64_t expires_at;      /* of the certificate, seconds since 1970; 0: not known */
    const char *tls_version; /* borrowed */
};
/* -1 with the error: no response. The response is cleared by client_clear in any case. */
int client_send(const struct client *client, const struct client_request *request, struct client_response *response, struct bp_error *error);
/* A header of the response without blanks around it, in text; NULL: it has none of that name. */
const char *client_header(const struct client_response *response, const char *name, char *text, size_t size);
void client_clear(struct client_response *response);

#endif

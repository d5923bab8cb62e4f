/* fetch.h - GET requests to one server, and its event streams, by libcurl. Connections are kept, redirections are not followed, proxies are not used,
 * certificates are verified. For one thread, but fetch_wake. */
#ifndef SERVER_FOLLOW_FETCH_H
#define SERVER_FOLLOW_FETCH_H

#include "schema/text/text.h"

struct fetch;
struct fetch_options {
    const char *url;             /* "http://host:8080" or "https://host/prefix" */
    bool (*stop)(void *context); /* whether to end what is under way */
    void *context;
};
/* Loads libcurl, once. Before other threads. */
int fetch_library(struct bp_error *error);
/* Whether a text is such a URL: no user, no query, no fragment. */
int fetch_url_check(const char *url, struct bp_error *error);
struct fetch *fetch_new(const struct fetch_options *options, struct bp_error *error);
void fetch_free(struct fetch *fetch);
/* From any thread: `stop` has changed its answer. */
void fetch_wake(struct fetch *fetch);

struct fetch_request {
    const char *path;    /* after the URL: "/v1/changes?limit=1" */
    const char *key;     /* sent as Bearer; NULL: none */
    const char *ca_file; /* PEM, of those who sign the server's certificate; NULL or "": those of the system */
    size_t body_max;     /* of a body that is kept in the response */
    /* Of a response with the status 200: takes its bytes as they come, instead. -1 with the error: the request ends. */
    int (*sink)(void *context, const char *bytes, size_t size, struct bp_error *error);
    /* Makes the request an event stream, which lasts: called after bytes have come, and at least once a second. It may take its time, and send
     * requests of another fetch. -1 with the error: the stream ends. */
    int (*turn)(void *context, struct bp_error *error);
    void *context;
};
struct fetch_response {
    int status;
    char etag[80];           /* without quotes; "": none */
    struct schema_text body; /* the caller's: free body.bytes */
};
/* 0: there is a response, of whatever status. -1: there is none, or the sink or turn has ended it; error says why, and is empty if `stop` did. */
int fetch_get(struct fetch *fetch, const struct fetch_request *request, struct fetch_response *response, struct bp_error *error);

#endif

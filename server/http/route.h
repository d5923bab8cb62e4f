/* route.h - what a route declares; one const struct route for each, listed in routes/routes.def. */
#ifndef SERVER_HTTP_ROUTE_H
#define SERVER_HTTP_ROUTE_H

#include "server/auth/scope.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum route_body {
    ROUTE_NO_BODY,
    ROUTE_JSON,   /* buffered, decoded by request_json; at most body_max. With a sink: bodies of other types as ROUTE_STREAM */
    ROUTE_STREAM, /* any size up to upload_max, fed to the route's sink as it arrives */
    ROUTE_SAMPLE  /* of any type, up to upload_max; the first sample_max bytes are stored */
};

/* A handler that reads the store or a file, or computes for long, runs in the work pool. */
enum route_flags {
    ROUTE_SLOW = 1,            /* in the work pool; without it in the HTTP thread, where nothing may wait */
    ROUTE_CHANGES_NOTHING = 2, /* although its method is not GET: not in the audit log */
    ROUTE_IDEMPOTENT_KEY = 4,  /* honours Idempotency-Key */
    ROUTE_TICKET = 8,          /* a ticket in the query opens it, too */
    ROUTE_OWN_TYPES = 16,      /* of ROUTE_STREAM: its sink decides which Content-Types it takes */
    ROUTE_REPLICA = 32         /* a replica answers it, although it is no GET; those that change nothing it answers anyway */
};

struct request;

/* Takes a body as it arrives, in large pieces, in the work pool. The end of a body is the route's handler. */
struct body_sink {
    /* ROUTE_JSON: whether it takes a body of this Content-Type; types: those that it takes, for messages, as ", text/csv". NULL, both: every body. */
    bool (*takes)(const char *content_type);
    const char *types;
    /* Before the first byte: sets request->sink. False: answered with a problem. */
    bool (*begin)(struct request *request);
    void (*feed)(struct request *request, const char *bytes, size_t size);
    /* About how many bytes of memory it takes now. */
    int64_t (*memory)(const void *sink);
    /* Releases request->sink, at the end of every request for which begin returned true; also when the body broke off. */
    void (*free)(void *sink);
};

struct route {
    const char *name;          /* operationId in openapi.yaml */
    const char *method, *path; /* "/v1/models/{model}/predict" */
    enum scope scope;          /* that a key needs; without one: admin, and a test fails */
    enum route_body body;
    unsigned flags;
    const char *query; /* the query parameters it knows, comma-separated; "metadata.*" for a prefix; NULL: none */
    void (*handle)(struct request *request);
    /* For ROUTE_SLOW: answers in the HTTP thread if that is a matter of a millisecond and needs nothing but memory; else false. NULL: never. */
    bool (*quick)(struct request *request);
    const struct body_sink *sink; /* ROUTE_STREAM; ROUTE_JSON: or NULL */
    size_t sample_max;            /* ROUTE_SAMPLE */
};
/* Every route, in order of matching: routes/routes.c. */
extern const struct route *const routes[];
extern const int routes_count;

#endif

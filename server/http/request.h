/* request.h - a request, and what handlers read from it.
 *
 * The way of a request: guard (Host, key, framing) → route → body (kept, or fed to the route's sink as it arrives) → the route's handler, in the
 * HTTP thread when it reads nothing but memory, else in a thread of the work pool while the connection is suspended → answer. A handler reads decode
 * → one call into store or schema → encode, and always ends with exactly one answer_* call. */
#ifndef SERVER_HTTP_REQUEST_H
#define SERVER_HTTP_REQUEST_H

#include "schema/text/text.h"
#include "server/auth/auth.h"
#include "server/http/route.h"
#include "server/server.h"
#include "server/store/store.h"

#include <jansson.h>
#include <microhttpd.h>
#include <nettle/sha2.h>
#include <pthread.h>

enum { ROUTE_PARAMS_MAX = 3, PARAM_SIZE = 200, ANSWER_HEADERS_MAX = 16 };

enum request_stage {
    REQUEST_BODY,
    REQUEST_OPENING, /* the sink of the body begins, in the work pool */
    REQUEST_FEEDING, /* the sink takes what has come, in the work pool */
    REQUEST_REFUSED,
    REQUEST_WORKING,  /* in the work pool */
    REQUEST_PARKED,   /* the hub's: a stream or a long poll */
    REQUEST_ANSWERED, /* libmicrohttpd sends the answer */
    REQUEST_STREAMED  /* the answer was written to the socket directly */
};

struct request {
    struct server *server;
    struct MHD_Connection *connection;
    const struct route *route;
    int route_number;      /* its place in routes[], when there is a route */
    struct address client; /* from where, by guard_key */
    struct identity who;   /* whose key, by guard_key */
    bool denied, audited;
    char id[40];
    char method[16];
    char *path;
    /* the head, as it is parsed: framing.c, http.c */
    const char *target; /* in libmicrohttpd's buffer; compared, not read */
    size_t target_size;
    bool begun; /* the head is complete */
    bool too_many_parameters, target_malformed;
    pthread_t thread;
    struct request *next, *previous; /* of those whose head is not complete */
    char params[ROUTE_PARAMS_MAX][PARAM_SIZE];
    enum request_stage stage;
    void (*run)(struct request *request); /* in the work pool */
    bool keep_alive_off;
    bool old_version; /* HTTP/1.0 */
    int64_t started_ns;
    /* the body */
    struct schema_text body;                    /* with a sink: what it gets next */
    struct schema_decoder *decoder;             /* of its Content-Encoding, NULL: not encoded; body.c */
    int64_t body_limit, body_seen, body_length; /* length: as declared, 0 or -1 without */
    int64_t reserved;                           /* bytes of the server's budget for requests; memory.c */
    int64_t drain_on_close;                     /* refused before its body came: read up to 1 MB so that the client can read why */
    const struct body_sink *feeds;              /* takes the body as it arrives; NULL: it is buffered */
    void *sink;                                 /* set by its begin */
    void *source;                               /* of an answer that is a stream; the route's */
    struct sha256_ctx hash;
    char *idempotency_key; /* scoped with method and path; NULL: none given */
    char body_hash[65];
    bool idempotency_held;
    /* waiting for news of a job: http/hub.c */
    struct waiter *waiter;
    /* the answer */
    int status;
    const char *content_type;
    char *answer;
    size_t answer_size;
    struct MHD_Response *stream;
    struct {
        const char *name;
        char *value;
    } headers[ANSWER_HEADERS_MAX];
    int headers_count;
};

/* A query parameter, or NULL. Borrowed. */
const char *request_query(const struct request *request, const char *name);
const char *request_header(const struct request *request, const char *name);
/* The weight (RFC 9110, 12.4.2) of the first of these names in a list such as "text/csv;q=0.5, gzip"; 0 when none is in it, or list is NULL. */
double request_weight(const char *list, const char *const *names);
/* Whether one of these names is in such a list, with whatever weight. */
bool request_names(const char *list, const char *const *names);
bool request_takes_gzip(const struct request *request);
/* limit and after of a list. false: answered with a problem. */
bool request_paging(struct request *request, int32_t *limit, const char **after);
/* `after` of a list of versions as a number, 0 when it is NULL. false: answered with a problem. */
bool request_after_version(struct request *request, const char *after, int64_t *version);
/* The JSON body; NULL: answered with a problem. The caller's. */
json_t *request_json(struct request *request);
/* Splits "name@7" of a parameter; version 0 when there is none. false: answered with a problem. */
bool request_name(struct request *request, const char *text, char name[STORE_NAME_SIZE], int64_t *version);
/* {model} of a path: "name", "name@7", "name@production"; reference "" when there is none. false: answered with a problem. */
bool request_model(struct request *request, const char *text, char name[STORE_NAME_SIZE], char reference[STORE_NAME_SIZE]);
/* {model} and {version} of a path, its first two parameters. The reference is for store_version_find. false: answered with a problem. */
bool request_version(struct request *request, char name[STORE_NAME_SIZE], char reference[STORE_NAME_SIZE]);
/* Whether a text may name a version: a number, latest, an alias. */
bool reference_valid(const char *text);
/* The list answer around data (taken). */
json_t *list_json(json_t *data, const char *first_id, const char *last_id, bool has_more);
/* Times as texts or null. */
json_t *time_json(int64_t ms);
/* JSON text of the store as a value; null when it is NULL or damaged. */
json_t *document_json(const char *text);
/* The record for the store, or NULL without an Idempotency-Key. */
const struct store_idempotency *request_idempotency(const struct request *request, struct store_idempotency *record, int status,
                                                    const char *location);

#endif

/* http.h - the HTTP side: the daemon, routes, requests and their answers.
 *
 * The way of a request: guard (Host, key, framing) → route → body (kept, or fed to an ingest as it arrives) → the route's handler, in the
 * HTTP thread when it is quick, else in a thread of the work pool while the connection is suspended → answer. A handler reads decode → one call
 * into store or schema → encode, and always ends with exactly one answer_* call. */
#ifndef SERVER_HTTP_H
#define SERVER_HTTP_H

#include "schema/json/cost.h"
#include "schema/problems.h"
#include "schema/text/text.h"
#include "server/server.h"
#include "server/store/store.h"

#include <jansson.h>
#include <microhttpd.h>
#include <nettle/sha2.h>

enum route_body { ROUTE_NO_BODY, ROUTE_JSON, ROUTE_DATASET, ROUTE_SAMPLE /* of any type; the first SCHEMA_INSPECT_MAX bytes are kept */ };
enum { ROUTE_PARAMS_MAX = 3, PARAM_SIZE = 200, ANSWER_HEADERS_MAX = 8 };

enum route_flags {
    ROUTE_SLOW = 1,           /* runs in the work pool: writes to the store, or computes */
    ROUTE_OPEN = 2,           /* needs no key (livez, readyz) */
    ROUTE_IDEMPOTENT_KEY = 4, /* honours Idempotency-Key */
    ROUTE_SLOW_IF_LARGE = 8   /* in the work pool when the body is larger than 64 KB */
};

struct request;

struct route {
    const char *name;          /* operationId in openapi.yaml */
    const char *method, *path; /* "/v1/models/{model}/predict" */
    enum route_body body;
    unsigned flags;
    const char *query; /* the query parameters it knows, comma-separated; "metadata.*" for a prefix */
    void (*handle)(struct request *request);
};
extern const struct route *const routes[];
extern const int routes_count;

enum problem {
#define PROBLEM(code, status, title) PROBLEM_##code,
#include "server/problems.def"
#undef PROBLEM
    PROBLEM_COUNT
};

enum request_stage { REQUEST_BODY, REQUEST_REFUSED, REQUEST_WORKING, REQUEST_ANSWERED };

struct request {
    struct server *server;
    struct MHD_Connection *connection;
    const struct route *route;
    char id[40];
    char method[16];
    char *path;
    char params[ROUTE_PARAMS_MAX][PARAM_SIZE];
    enum request_stage stage;
    bool keep_alive_off;
    int64_t started_ns;
    /* the body */
    struct schema_text body;
    struct schema_decoder *decoder;             /* of its Content-Encoding, NULL: it comes as it is; body.c */
    int64_t body_limit, body_seen, body_length; /* length: as declared, 0 or -1 without */
    int64_t reserved;                           /* bytes of the server's budget for requests; memory.c */
    int64_t drain_on_close;                     /* refused before its body came: read up to 1 MB so that the client can read why */
    struct upload *upload;                      /* ROUTE_DATASET: routes/upload.c */
    struct sha256_ctx hash;
    char *idempotency_key; /* scoped with method and path; NULL: none given */
    char body_hash[65];
    bool idempotency_held;
    /* waiting for a job's status: routes/jobs.c, http/hub.c */
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

/* ---- the daemon ---- */
/* The key in the first line of a file; *key is the caller's, NULL when path is "". -1 with the error. */
int api_key_read(const char *path, char **key, struct bp_error *error);
/* Whether a server could listen there now: tries it. -1 with the error. */
int http_listen_check(const char *address, bool has_key, struct bp_error *error);
int http_start(struct server *server, struct bp_error *error);
/* Ends streams, lets requests in flight finish, stops. The hub is left for the store's last commits: hub_free after store_close. */
void http_stop(struct http *http);
struct hub *http_hub(struct http *http);
/* Finishes a request that a handler left waiting (stage REQUEST_WORKING): it is asked again. */
void http_resume(struct request *request);
bool http_submit(struct http *http, struct request *request);

/* ---- answers ---- */
void answer_json(struct request *request, int status, json_t *json); /* takes json */
/* The same with all digits of its numbers: for data of the user. */
void answer_json_exact(struct request *request, int status, json_t *json);
void answer_bytes(struct request *request, int status, const char *content_type, char *bytes, size_t size); /* takes bytes */
void answer_header(struct request *request, const char *name, const char *value);
void answer_problem(struct request *request, enum problem code, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* All problems of a request: 422, or 413/500 as they say; clears them. */
void answer_problems(struct request *request, struct schema_problems *problems);
/* A JSON document that does not change while the program runs: with an ETag, gzipped for who takes that, 304 for who has it. */
struct document {
    const char *bytes; /* borrowed for good */
    size_t size;
    unsigned char *gzip; /* by document_prepare; NULL: none */
    size_t gzip_size;
    char etag[40];
};
void document_prepare(struct document *document);
void answer_document(struct request *request, const struct document *document);
/* A result of the store that is not STORE_OK. what: "dataset \"x\"". */
void answer_store(struct request *request, enum store_result result, const struct bp_error *error, const char *what_format, ...)
    __attribute__((format(printf, 4, 5)));
int problem_status(enum problem code);
/* The problem as JSON, for tests and streams. */
json_t *problem_json(const struct request *request, enum problem code, const char *detail, json_t *errors);

/* ---- what handlers use ---- */
/* A query parameter, or NULL. Borrowed. */
const char *request_query(const struct request *request, const char *name);
const char *request_header(const struct request *request, const char *name);
/* The weight (RFC 9110, 12.4.2) of the first of these names in a list such as "text/csv;q=0.5, gzip"; 0 when none is in it, or list is NULL. */
double request_weight(const char *list, const char *const *names);
bool request_takes_gzip(const struct request *request);
/* limit and after of a list. false: answered with a problem. */
bool request_paging(struct request *request, int32_t *limit, const char **after);
/* `after` of a list of versions as a number, 0 when it is NULL. false: answered with a problem. */
bool request_after_version(struct request *request, const char *after, int64_t *version);
/* The JSON body; NULL: answered with a problem. The caller's. */
json_t *request_json(struct request *request);
/* {version} of a path: a number or "latest" (0). false: answered with a problem. */
bool version_param(struct request *request, const char *text, int64_t *version);
/* Splits "name@7" of a parameter; version 0 when there is none. false: answered with a problem. */
bool request_name(struct request *request, const char *text, char name[STORE_NAME_SIZE], int64_t *version);
/* The list answer around data (taken). */
json_t *list_json(json_t *data, const char *first_id, const char *last_id, bool has_more);
/* Times as texts or null. */
json_t *time_json(int64_t ms);
/* JSON text of the store as a value; null when it is NULL or damaged. */
json_t *document_json(const char *text);
/* The record for the store, or NULL without an Idempotency-Key. */
const struct store_idempotency *request_idempotency(const struct request *request, struct store_idempotency *record, int status,
                                                    const char *location);

/* ---- guard.c: before anything else; false when answered ---- */
bool guard_check(struct request *request);
bool guard_key(struct request *request);
bool guard_body(struct request *request, int64_t *length);
void guard_cors(struct request *request, struct MHD_Response *response);
/* ---- body.c: false when answered ---- */
bool body_begin(struct request *request);
bool body_add(struct request *request, const char *bytes, size_t size);
/* It is complete: decoded to its end. */
bool body_end(struct request *request);
void body_free(struct request *request);
/* ---- memory.c: false when answered ---- */
void memory_begin(void); /* once, before other threads */
/* A body of so many bytes, so far or as declared. */
bool memory_for_body(struct request *request, int64_t bytes);
/* The JSON in the body, which is complete: bounded in depth, values and memory before it is decoded. */
bool memory_for_json(struct request *request);
bool memory_for_cost(struct request *request, const struct schema_json_cost *cost);
void memory_release(struct request *request);
/* Now and then, in a thread that may wait: gives memory that large requests have freed back to the system. */
void memory_trim(struct server *server);
/* ---- router.c ---- */
/* Sets route and params, without regard to a slash at the end; false when answered. */
bool router_match(struct request *request);
/* The query parameters are those that the route knows; false when answered. */
bool router_query(struct request *request);
/* ---- idempotency.c ---- */
/* Before the handler: true when the request is to be executed; false when answered (replayed, mismatch, still running). */
bool idempotency_begin(struct request *request);
void idempotency_end(struct request *request);
/* ---- routes/upload.c ---- */
bool upload_begin(struct request *request);
void upload_feed(struct request *request, const char *bytes, size_t size);
void upload_free(struct upload *upload);

#endif

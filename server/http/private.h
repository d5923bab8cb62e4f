/* private.h - what the files of http/ share: the steps of a request before its handler. */
#ifndef SERVER_HTTP_PRIVATE_H
#define SERVER_HTTP_PRIVATE_H

#include "schema/json/cost.h"
#include "server/http/answer.h"
#include "server/http/http.h"
#include "server/http/request.h"

/* ---- guard.c: before anything else; false when answered ---- */
bool guard_check(struct request *request);
bool guard_key(struct request *request);
/* Whether this server may do what the route does: a replica changes nothing. False: answered. */
bool guard_write(struct request *request);
bool guard_body(struct request *request, int64_t *length);
/* Once the status is known: notes a change, or a refused key, in the audit log. */
void guard_audit(struct request *request);
/* Adds the headers for browsers to the answer. */
void guard_cors(struct request *request);
/* ---- connections.c: deadlines of clients ---- */
struct connections;
enum expected { EXPECT_NEXT /* another request */, EXPECT_HEAD, EXPECT_BODY, EXPECT_NOTHING, EXPECT_READING /* of what was sent to it */ };
struct connections *connections_new(const struct server *server);
/* For MHD_OPTION_NOTIFY_CONNECTION. */
void connections_notify(void *connections, struct MHD_Connection *connection, void **state, enum MHD_ConnectionNotificationCode code);
/* What the client owes from now on. */
void connections_expect(struct connections *connections, struct MHD_Connection *connection, enum expected what);
/* Bytes of a body have come. */
void connections_received(struct connections *connections, struct MHD_Connection *connection, size_t bytes);
/* Answers 408 to those past their deadline, unless they read too slowly or speak TLS, and ends their connections. Never waits. */
void connections_sweep(struct connections *connections);
void connections_free(struct connections *connections);
/* ---- framing.c ---- */
/* White space or a control character is in the target of a request line. */
bool framing_target_malformed(const char *target);
/* Bytes of the request line and the headers. */
size_t framing_head_size(const struct request *request);
/* What is wrong with the bytes of the head; NULL: nothing. method and version as libmicrohttpd gave them. */
const char *framing_fault(const struct request *request, const char *method, const char *version);
/* Whether there is a Content-Length that is not a number; before the head is complete, too. */
bool framing_length_malformed(const struct request *request);
/* The path of a target in absolute form, or url itself; NULL: it names another host than the Host header. */
const char *framing_path(const struct request *request, const char *url);
/* ---- body.c: false when answered ---- */
bool body_begin(struct request *request);
bool body_add(struct request *request, const char *bytes, size_t size);
/* It is complete: decoded to its end. */
bool body_end(struct request *request);
void body_free(struct request *request);
/* ---- memory.c: false when answered ---- */
/* The size of a body, received so far or declared. */
bool memory_for_body(struct request *request, int64_t bytes);
/* The JSON in the body, which is complete: bounded in depth, values and memory before it is decoded. */
bool memory_for_json(struct request *request);
/* What the sink of an upload takes now. */
bool memory_for_upload(struct request *request, int64_t bytes);
/* The request is over, but for its answer, which is counted until it is sent; without space for it, GET is answered with 503. */
void memory_for_answer(struct request *request);
void memory_release(struct request *request);
/* ---- router.c ---- */
/* Sets route and params, without regard to a slash at the end; false when answered. */
bool router_match(struct request *request);
/* The query parameters are those that the route knows; false when answered. */
bool router_query(struct request *request);
/* ---- http.c ---- */
struct connections *http_connections(const struct http *http);
/* The status line and the headers of an answer that is written to the socket directly; the empty line is the caller's. */
void answer_head(const struct request *request, struct schema_text *out);
/* ---- listen.c ---- */
/* Binds "host:port", "[::1]:port" or ":port"; address: as bound. -1 with the error. */
int listen_on(const char *text, bool has_key, char *address, size_t address_size, struct bp_error *error);
/* The same for a socket that listens already. 0, or -1 with the error. */
int listen_given(int fd, bool has_key, char *address, size_t address_size, struct bp_error *error);
/* ---- work.c: the threads for slow requests ---- */
struct work_pool;
struct work_pool *work_new(int threads, struct bp_error *error);
/* Suspends the connection, has a thread run this with the request, whose stage is set before, and resumes the connection. False: too many are
 * waiting; nothing has changed. */
bool work_submit(struct work_pool *pool, struct request *request, enum request_stage stage, void (*run)(struct request *request));
/* Has a thread run this; runs it at once when too many are waiting. */
void work_later(struct work_pool *pool, void (*run)(void *context), void *context);
/* How many wait. */
int64_t work_queued(struct work_pool *pool);
/* Finishes what was submitted and ends the threads; nothing is taken any more. */
void work_stop(struct work_pool *pool);
/* The same, and releases it. NULL is fine. */
void work_free(struct work_pool *pool);
/* Runs the handler around the bookkeeping of repeated requests and of memory. */
void work_execute(struct request *request);
/* Answers without the store if the route can. False: the request is to be executed. */
bool work_quick(struct request *request);
/* ---- idempotency.c ---- */
/* Before the handler: true when the request is to be executed; false when answered (replayed, mismatch, still running). */
bool idempotency_begin(struct request *request);
void idempotency_end(struct request *request);

#endif

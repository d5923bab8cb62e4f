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
bool guard_body(struct request *request, int64_t *length);
void guard_cors(struct request *request, struct MHD_Response *response);
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
void memory_release(struct request *request);
/* ---- router.c ---- */
/* Sets route and params, without regard to a slash at the end; false when answered. */
bool router_match(struct request *request);
/* The query parameters are those that the route knows; false when answered. */
bool router_query(struct request *request);
/* ---- idempotency.c ---- */
/* Before the handler: true when the request is to be executed; false when answered (replayed, mismatch, still running). */
bool idempotency_begin(struct request *request);
void idempotency_end(struct request *request);

#endif

/* http.h - the HTTP daemon: start, stop, and the requests that wait. */
#ifndef SERVER_HTTP_H
#define SERVER_HTTP_H

#include "schema/json/cost.h"
#include "server/http/request.h"

/* Whether that is the path of a route that a ticket opens. */
bool http_takes_tickets(const char *path);
/* Whether a server could listen there now: tries it. -1 with the error. */
int http_listen_check(const char *address, bool has_key, struct bp_error *error);
/* Who sends the request: by its key, or by the cookie of a session (guard.c); sets request->who. */
enum auth_result guard_identify(struct request *request, int64_t *wait);
/* Answers 401 or 429 by a result that is not AUTH_OK. */
void guard_refuse_key(struct request *request, enum auth_result result, int64_t wait);
struct page_views;
int http_start(struct server *server, const struct page_views *views, struct bp_error *error);
/* Ends streams, lets requests in flight finish, ends its threads. The hub is left for the store's last commits: hub_free after store_close. */
void http_stop(struct http *http);
/* Releases it, after http_stop. NULL is fine, here and above. */
void http_free(struct http *http);
struct hub *http_hub(struct http *http);
/* What is open now, for /metrics. queued: slow requests that wait for a thread. */
struct http_statistics {
    int64_t connections, in_flight, streams, queued;
};
void http_statistics(struct http *http, struct http_statistics *statistics);
/* Now and then: ends the connections of clients that are too slow. Never waits. */
void http_sweep(struct http *http);
/* When it was last done, ms of the monotonic clock: old when a thread or a lock hangs. */
int64_t http_swept_at(const struct http *http);
/* For the source of an answer that is a stream: suspends the connection, makes the next piece in the work pool, and resumes. False: too many wait. */
bool http_produce(struct request *request, void (*run)(struct request *request));

/* ---- memory of requests (memory.c) ---- */
/* Takes it from the budget of requests in flight. False: answered. */
bool memory_for_cost(struct request *request, const struct schema_json_cost *cost);
void memory_begin(void); /* once, before other threads */
/* Now and then, in a thread that may wait: gives memory that large requests have freed back to the system. */
void memory_trim(struct server *server);

#endif

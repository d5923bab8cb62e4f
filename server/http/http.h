/* http.h - the HTTP daemon: start, stop, and the requests that wait. */
#ifndef SERVER_HTTP_H
#define SERVER_HTTP_H

#include "schema/json/cost.h"
#include "server/http/request.h"

/* The key in the first line of a file; *key is the caller's, NULL when path is "". -1 with the error. */
int api_key_read(const char *path, char **key, struct bp_error *error);
/* Whether a server could listen there now: tries it. -1 with the error. */
int http_listen_check(const char *address, bool has_key, struct bp_error *error);
/* render: an event as JSON, the same in lists and in streams. */
int http_start(struct server *server, json_t *(*render)(const struct store_event *event), struct bp_error *error);
/* Ends streams, lets requests in flight finish, ends its threads. The hub is left for the store's last commits: hub_free after store_close. */
void http_stop(struct http *http);
/* Releases it, after http_stop. NULL is fine, here and above. */
void http_free(struct http *http);
struct hub *http_hub(struct http *http);
/* Finishes a request that a handler left waiting (stage REQUEST_WORKING): the handler runs again. */
void http_resume(struct request *request);
bool http_submit(struct http *http, struct request *request);

/* ---- memory of requests (memory.c) ---- */
/* Takes it from the budget of requests in flight. False: answered. */
bool memory_for_cost(struct request *request, const struct schema_json_cost *cost);
void memory_begin(void); /* once, before other threads */
/* Now and then, in a thread that may wait: gives memory that large requests have freed back to the system. */
void memory_trim(struct server *server);

#endif

/* hub.h - who waits for news of jobs and models: event streams and long polls.
 *
 * A handler that has to wait calls hub_stream, or hub_wait_begin and hub_wait, and returns without an answer. Its work thread then calls hub_park, as
 * the last thing it does with the request: from there on the request is the hub's, until the hub resumes its connection. The connection is suspended
 * all the while.
 *
 * The hub's thread writes to the sockets of its streams itself, without libmicrohttpd and its threads: a thousand streams cost the other requests no
 * more than the processor time. One mutex, held for short times only; the store's writer thread reports each commit (hub_publish). */
#ifndef SERVER_HUB_H
#define SERVER_HUB_H

#include "server/http/request.h"

struct hub;
struct page_views;
struct hub *hub_new(struct server *server, const struct page_views *views);
/* Something of this job was committed. Called by the store's writer thread; never blocks for long. */
void hub_publish(struct hub *hub, const char *job);
/* Ends all streams and long polls, waits up to 2 s for them to be gone. */
void hub_stop(struct hub *hub);
void hub_free(struct hub *hub);
int64_t hub_streams(struct hub *hub);

/* Makes the request a stream of events with id > after; job NULL: of all jobs; STORE_CHANGES: of the changes of models. Answers it when that cannot
 * be.
 */
void hub_stream(struct hub *hub, struct request *request, const char *job, int64_t after);

/* Long poll. hub_wait_begin lists the request before the job is read, so that no change is missed. */
void hub_wait_begin(struct hub *hub, struct request *request, const char *job, enum store_status status, int64_t seconds);
/* True: the handler returns without an answer and will be called again. False: time is up, or the hub stops. */
bool hub_wait(struct request *request);
enum store_status hub_wait_status(const struct request *request);

/* Hands over a request whose stage is REQUEST_PARKED. */
void hub_park(struct request *request);
/* At the end of every request. */
void hub_wait_end(struct request *request);

#endif

/* hub.h - who waits for news of jobs: event streams and long polls. One mutex; lock order: libmicrohttpd's response → hub → libmicrohttpd's own.
 *
 * A stream or a long poll suspends its connection only under the hub's lock, after it has checked that nothing is pending; the store's writer thread
 * publishes after each commit and resumes the connections concerned. Any thread may resume; only the connection's own code suspends. */
#ifndef SERVER_HUB_H
#define SERVER_HUB_H

#include "server/http/request.h"

struct hub;
struct hub *hub_new(struct server *server, int64_t streams_max, json_t *(*render)(const struct store_event *event));
/* Something of this job was committed. Called by the store's writer thread; never blocks for long. */
void hub_publish(struct hub *hub, const char *job);
/* Ends all streams and long polls, waits up to 2 s for them to be gone. */
void hub_stop(struct hub *hub);
void hub_free(struct hub *hub);
int64_t hub_streams(struct hub *hub);

/* Starts a stream of events with id > after; job NULL: of all jobs. Answers the request. */
void hub_stream(struct hub *hub, struct request *request, const char *job, int64_t after);

/* Long poll. hub_wait_begin lists the request before the job is read, so that no change is missed. */
void hub_wait_begin(struct hub *hub, struct request *request, const char *job, enum store_status status, int64_t seconds);
/* True: the connection is suspended, the handler returns without an answer and will be called again. False: time is up, or the hub stops. */
bool hub_wait(struct request *request);
enum store_status hub_wait_status(const struct request *request);
void hub_wait_end(struct request *request);

#endif

/* waiter.h - what hub.c and stream.c share: one waiting request. */
#ifndef SERVER_HTTP_WAITER_H
#define SERVER_HTTP_WAITER_H

#include "server/http/pages.h"
#include "server/http/request.h"

enum { KEEP_ALIVE_MS = 15000 };

struct waiter {
    struct hub *hub;
    struct waiter *previous, *next; /* of all, under the hub's lock */
    struct request *request;
    char job[STORE_ID_SIZE];  /* "": all jobs */
    int64_t deadline;         /* ms, monotonic: long poll: give up; stream: next keep-alive */
    bool parked;              /* it is the hub's; under the lock */
    bool pending;             /* there may be news; under the lock */
    bool gone;                /* the client has left; under the lock */
    enum store_status status; /* long poll: when it began */
    /* stream: the hub's thread's alone */
    bool stream, watched, blocked, finished;
    struct waiter *next_turn;
    int fd;
    int64_t last;            /* id of the last event sent */
    struct page *page;       /* being sent, NULL: what is sent is text of its own */
    struct schema_text head; /* of the answer */
    const char *out;
    size_t out_size, at;
};

/* Sends what there is until the socket takes no more. */
enum stream_state {
    STREAM_IDLE,    /* everything there was has been sent */
    STREAM_MORE,    /* there is more, and others may have their turn first */
    STREAM_BLOCKED, /* the client does not read */
    STREAM_OVER     /* sent to its end, or broken */
};
enum stream_state stream_send(struct waiter *waiter, struct pages *pages);
/* A comment, so that proxies do not close a silent connection. */
void stream_keep_alive(struct waiter *waiter);
/* The head of the answer. False: out of memory. */
bool stream_begin(struct waiter *waiter);
/* Releases what it holds. */
void stream_end(struct waiter *waiter);

#endif

/* hub.c - event streams and long polls. Sections: the hub and its sweeper, publishing, streams, long polls. */
#include "server/http/hub.h"

#include "schema/memory.h"
#include "server/clock.h"
#include "server/http/private.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

enum { SWEEP_MS = 250, KEEP_ALIVE_S = 15, EVENTS_AT_ONCE = 200, STREAM_BUFFER_MAX = 64 << 20 };

/* One waiting connection: a stream when request is NULL, else a long poll. */
struct waiter {
    struct hub *hub;
    struct waiter *previous, *next;
    struct MHD_Connection *connection;
    char job[STORE_ID_SIZE]; /* "": all jobs */
    bool suspended, pending, ended;
    int64_t deadline; /* ms, monotonic: long poll: give up; stream: next keep-alive */
    /* stream */
    bool stream;
    int64_t last;  /* id of the last event sent */
    bool finished; /* the end event is in the buffer */
    struct schema_text buffer;
    size_t at;
    /* long poll */
    enum store_status status; /* when it began */
};

struct hub {
    pthread_mutex_t lock;
    pthread_cond_t gone;
    struct server *server;
    struct store *store;
    json_t *(*render)(const struct store_event *event);
    struct waiter *first;
    int64_t streams, streams_max;
    bool stopping;
    pthread_t sweeper;
};

/* ---- the hub and its sweeper -------------------------------------------------------------------------------------------------- */

static void wake(struct waiter *w) {
    if (!w->suspended) return;
    w->suspended = false;
    MHD_resume_connection(w->connection);
}

/* A vanished client is not noticed while its connection is suspended: look at the socket. */
static bool client_gone(struct waiter *w) {
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(w->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    char byte;
    if (!info) return false;
    ssize_t n = recv(info->connect_fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return n == 0 || (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR);
}

static void *sweep(void *context) {
    struct hub *hub = context;
    int round = 0;
    for (;;) {
        struct timespec pause = {.tv_nsec = SWEEP_MS * 1000000L};
        nanosleep(&pause, NULL);
        pthread_mutex_lock(&hub->lock);
        if (hub->stopping) {
            pthread_mutex_unlock(&hub->lock);
            return NULL;
        }
        int64_t now = clock_ms();
        for (struct waiter *w = hub->first; w; w = w->next) {
            if (!w->suspended) continue;
            if (round % 4 == 0 && client_gone(w)) w->ended = true;
            if (w->ended || now >= w->deadline) wake(w);
        }
        pthread_mutex_unlock(&hub->lock);
        memory_trim(hub->server);
        round++;
    }
}

struct hub *hub_new(struct server *server, int64_t streams_max, json_t *(*render)(const struct store_event *event)) {
    struct hub *hub = calloc(1, sizeof *hub);
    if (!hub) return NULL;
    hub->server = server;
    hub->store = server->store;
    hub->streams_max = streams_max;
    hub->render = render;
    pthread_mutex_init(&hub->lock, NULL);
    pthread_cond_init(&hub->gone, NULL);
    if (pthread_create(&hub->sweeper, NULL, sweep, hub) == 0) return hub;
    free(hub);
    return NULL;
}

static struct waiter *enter(struct hub *hub, struct MHD_Connection *connection, const char *job) {
    struct waiter *w = calloc(1, sizeof *w);
    if (!w) return NULL;
    w->hub = hub;
    w->connection = connection;
    strncpy(w->job, job ? job : "", sizeof w->job - 1);
    pthread_mutex_lock(&hub->lock);
    w->next = hub->first;
    if (hub->first) hub->first->previous = w;
    hub->first = w;
    pthread_mutex_unlock(&hub->lock);
    return w;
}

static void leave(struct waiter *w) {
    struct hub *hub = w->hub;
    pthread_mutex_lock(&hub->lock);
    if (w->previous) w->previous->next = w->next;
    else hub->first = w->next;
    if (w->next) w->next->previous = w->previous;
    if (w->stream) hub->streams--;
    pthread_cond_broadcast(&hub->gone);
    pthread_mutex_unlock(&hub->lock);
    free(w->buffer.bytes);
    free(w);
}

void hub_stop(struct hub *hub) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 2;
    pthread_mutex_lock(&hub->lock);
    hub->stopping = true;
    for (struct waiter *w = hub->first; w; w = w->next) wake(w);
    while (hub->first && pthread_cond_timedwait(&hub->gone, &hub->lock, &until) == 0) continue;
    pthread_mutex_unlock(&hub->lock);
    pthread_join(hub->sweeper, NULL);
}

void hub_free(struct hub *hub) {
    if (!hub) return;
    pthread_mutex_destroy(&hub->lock);
    pthread_cond_destroy(&hub->gone);
    free(hub);
}

int64_t hub_streams(struct hub *hub) {
    pthread_mutex_lock(&hub->lock);
    int64_t n = hub->streams;
    pthread_mutex_unlock(&hub->lock);
    return n;
}

/* ---- publishing ------------------------------------------------------------------------------------------------------------------ */

void hub_publish(struct hub *hub, const char *job) {
    pthread_mutex_lock(&hub->lock);
    for (struct waiter *w = hub->first; w; w = w->next) {
        if (w->job[0] && strcmp(w->job, job) != 0) continue;
        w->pending = true;
        wake(w);
    }
    pthread_mutex_unlock(&hub->lock);
}

/* ---- streams --------------------------------------------------------------------------------------------------------------------- */

/* Reads what is new into the buffer. Runs in the HTTP thread, without the hub's lock. */
static void fetch(struct waiter *w) {
    struct store_events events = {0};
    struct bp_error error = {0};
    w->buffer.size = 0;
    w->at = 0;
    if (store_event_list(w->hub->store, w->job[0] ? w->job : NULL, NULL, w->last, EVENTS_AT_ONCE, &events, &error) != STORE_OK) {
        w->finished = true;
        return;
    }
    for (int32_t i = 0; i < events.count; i++) {
        json_t *json = w->hub->render(&events.items[i]);
        char *text = schema_json_dump(json, JSON_COMPACT | JSON_REAL_PRECISION(15));
        json_decref(json);
        schema_text_format(&w->buffer, "id: %lld\nevent: %s\ndata: %s\n\n", (long long)events.items[i].id, events.items[i].type, text ? text : "{}");
        free(text);
        w->last = events.items[i].id;
        if (w->job[0] && strcmp(events.items[i].type, "end") == 0) w->finished = true;
    }
    if (events.has_more) {
        pthread_mutex_lock(&w->hub->lock);
        w->pending = true;
        pthread_mutex_unlock(&w->hub->lock);
    }
    if (events.count == 0 && w->job[0]) {
        struct store_job job = {0};
        enum store_result result = store_job_get(w->hub->store, w->job, &job, &error);
        if (result == STORE_NOT_FOUND || (result == STORE_OK && store_status_final(job.status))) w->finished = true;
        if (result == STORE_OK) store_job_free(&job);
    }
    store_events_free(&events);
    w->finished = w->finished || w->buffer.failed;
}

static ssize_t read_stream(void *context, uint64_t position, char *out, size_t room) {
    struct waiter *w = context;
    (void)position;
    for (;;) {
        if (w->at < w->buffer.size) {
            size_t n = w->buffer.size - w->at < room ? w->buffer.size - w->at : room;
            memcpy(out, w->buffer.bytes + w->at, n);
            w->at += n;
            return (ssize_t)n;
        }
        if (w->finished) return MHD_CONTENT_READER_END_OF_STREAM;
        pthread_mutex_lock(&w->hub->lock);
        if (w->hub->stopping || w->ended) {
            pthread_mutex_unlock(&w->hub->lock);
            return MHD_CONTENT_READER_END_OF_STREAM;
        }
        bool pending = w->pending;
        w->pending = false;
        if (!pending && clock_ms() < w->deadline) {
            w->suspended = true;
            MHD_suspend_connection(w->connection);
            pthread_mutex_unlock(&w->hub->lock);
            return 0;
        }
        w->deadline = clock_ms() + KEEP_ALIVE_S * 1000;
        pthread_mutex_unlock(&w->hub->lock);
        if (pending) {
            fetch(w);
        } else {
            w->buffer.size = w->at = 0;
            schema_text_string(&w->buffer, ": still here\n\n");
        }
    }
}

static void free_stream(void *context) {
    leave(context);
}

void hub_stream(struct hub *hub, struct request *r, const char *job, int64_t after) {
    pthread_mutex_lock(&hub->lock);
    bool room = !hub->stopping && hub->streams < hub->streams_max;
    if (room) hub->streams++;
    pthread_mutex_unlock(&hub->lock);
    struct waiter *w = room ? enter(hub, r->connection, job) : NULL;
    if (!w) {
        if (room) {
            pthread_mutex_lock(&hub->lock);
            hub->streams--;
            pthread_mutex_unlock(&hub->lock);
        }
        answer_problem(r, PROBLEM_overloaded, "too many open event streams (setting streams_max)");
        return;
    }
    w->stream = true;
    w->buffer.limit = STREAM_BUFFER_MAX;
    w->last = after;
    w->pending = true;
    w->deadline = clock_ms() + KEEP_ALIVE_S * 1000;
    r->stream = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 16384, read_stream, w, free_stream);
    if (!r->stream) {
        leave(w);
        answer_problem(r, PROBLEM_overloaded, "no memory for a stream");
        return;
    }
    MHD_add_response_header(r->stream, "Cache-Control", "no-store");
    MHD_add_response_header(r->stream, "X-Accel-Buffering", "no"); /* nginx passes each event on at once */
    r->status = 200;
    r->content_type = "text/event-stream";
}

/* ---- long polls -------------------------------------------------------------------------------------------------------------------- */

void hub_wait_begin(struct hub *hub, struct request *r, const char *job, enum store_status status, int64_t seconds) {
    r->waiter = enter(hub, r->connection, job);
    if (!r->waiter) return;
    r->waiter->status = status;
    r->waiter->pending = true; /* the job is read again before the first wait */
    r->waiter->deadline = clock_ms() + seconds * 1000;
}

bool hub_wait(struct request *r) {
    struct waiter *w = r->waiter;
    if (!w) return false;
    pthread_mutex_lock(&w->hub->lock);
    bool over = w->hub->stopping || w->ended || clock_ms() >= w->deadline;
    if (over) {
        pthread_mutex_unlock(&w->hub->lock);
        return false;
    }
    r->stage = REQUEST_WORKING;
    bool pending = w->pending;
    w->pending = false;
    w->suspended = true;
    MHD_suspend_connection(w->connection);
    if (pending) wake(w);
    pthread_mutex_unlock(&w->hub->lock);
    return true;
}

enum store_status hub_wait_status(const struct request *r) {
    return r->waiter->status;
}

void hub_wait_end(struct request *r) {
    if (r->waiter) leave(r->waiter);
    r->waiter = NULL;
}

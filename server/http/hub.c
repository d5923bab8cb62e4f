/* hub.c - event streams and long polls: the list of those that wait, and the hub's thread. Sections: the list, long polls, streams, the thread, start
 * and stop. Writing to a stream is in stream.c. */
#include "server/http/hub.h"

#include "server/clock.h"
#include "server/http/direct.h"
#include "server/http/private.h"
#include "server/http/waiter.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { SWEEP_MS = 250, STOP_MS = 2000, NEWS_MAX = 16, STREAMS_PER_MS = 10, EVENTS_AT_ONCE = 64 };

struct hub {
    pthread_mutex_t lock;
    pthread_cond_t gone;
    struct server *server;
    struct waiter *first;
    int64_t streams;
    bool stopping;
    char news[NEWS_MAX][STORE_ID_SIZE]; /* jobs of which something was committed */
    int news_count;                     /* NEWS_MAX + 1: of any job */
    bool signalled;
    pthread_t thread;
    int wake, set; /* eventfd; epoll */
    struct pages *pages;
};

/* ---- the list -------------------------------------------------------------------------------------------------------------------- */

/* Lock held. */
static void signal_thread(struct hub *hub) {
    const uint64_t one = 1;
    if (hub->signalled) return;
    hub->signalled = write(hub->wake, &one, sizeof one) == sizeof one;
}

static struct waiter *enter(struct hub *hub, struct request *r, const char *job) {
    struct waiter *w = calloc(1, sizeof *w);
    if (!w) return NULL;
    w->hub = hub;
    w->request = r;
    w->pending = true;
    strncpy(w->job, job ? job : "", sizeof w->job - 1);
    pthread_mutex_lock(&hub->lock);
    w->next = hub->first;
    if (hub->first) hub->first->previous = w;
    hub->first = w;
    pthread_mutex_unlock(&hub->lock);
    return w;
}

void hub_wait_end(struct request *r) {
    struct waiter *w = r->waiter;
    if (!w) return;
    struct hub *hub = w->hub;
    r->waiter = NULL;
    pthread_mutex_lock(&hub->lock);
    if (w->previous) w->previous->next = w->next;
    else hub->first = w->next;
    if (w->next) w->next->previous = w->previous;
    if (w->stream) hub->streams--;
    pthread_cond_broadcast(&hub->gone);
    pthread_mutex_unlock(&hub->lock);
    stream_end(w);
    free(w);
}

/* Gives the request back. Lock held; it may be freed by another thread as soon as the lock is released. */
static void resume(struct waiter *w) {
    w->parked = false;
    if (!w->stream) w->pending = false;
    else w->request->stage = REQUEST_STREAMED;
    MHD_resume_connection(w->request->connection);
}

void hub_park(struct request *r) {
    struct waiter *w = r->waiter;
    struct hub *hub = w->hub;
    pthread_mutex_lock(&hub->lock);
    w->parked = true;
    if (hub->stopping || (!w->stream && w->pending)) resume(w); /* the handler reads the job again */
    else if (w->stream) signal_thread(hub);
    pthread_mutex_unlock(&hub->lock);
}

void hub_publish(struct hub *hub, const char *job) {
    pthread_mutex_lock(&hub->lock);
    int i = 0;
    while (i < hub->news_count && i < NEWS_MAX && strcmp(hub->news[i], job) != 0) i++;
    if (i == NEWS_MAX) hub->news_count = NEWS_MAX + 1;
    else if (i == hub->news_count) strncpy(hub->news[hub->news_count++], job, STORE_ID_SIZE - 1);
    if (hub->first) signal_thread(hub);
    pthread_mutex_unlock(&hub->lock);
}

int64_t hub_streams(struct hub *hub) {
    pthread_mutex_lock(&hub->lock);
    int64_t n = hub->streams;
    pthread_mutex_unlock(&hub->lock);
    return n;
}

/* ---- long polls -------------------------------------------------------------------------------------------------------------------- */

void hub_wait_begin(struct hub *hub, struct request *r, const char *job, enum store_status status, int64_t seconds) {
    r->waiter = enter(hub, r, job); /* pending: the job is read again before the first wait */
    if (!r->waiter) return;
    r->waiter->status = status;
    r->waiter->deadline = clock_ms() + seconds * 1000;
}

bool hub_wait(struct request *r) {
    struct waiter *w = r->waiter;
    if (!w) return false;
    pthread_mutex_lock(&w->hub->lock);
    const bool over = w->hub->stopping || w->gone || clock_ms() >= w->deadline;
    pthread_mutex_unlock(&w->hub->lock);
    if (!over) r->stage = REQUEST_PARKED;
    return !over;
}

enum store_status hub_wait_status(const struct request *r) {
    return r->waiter->status;
}

/* ---- streams ----------------------------------------------------------------------------------------------------------------------- */

void hub_stream(struct hub *hub, struct request *r, const char *job, int64_t after) {
    pthread_mutex_lock(&hub->lock);
    bool room = !hub->stopping && hub->streams < hub->server->settings.streams_max;
    if (room) hub->streams++;
    pthread_mutex_unlock(&hub->lock);
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(r->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct waiter *w = room && info ? enter(hub, r, job) : NULL;
    if (!w) {
        if (room) {
            pthread_mutex_lock(&hub->lock);
            hub->streams--;
            pthread_mutex_unlock(&hub->lock);
        }
        answer_problem(r, PROBLEM_overloaded, "too many open event streams (setting streams_max)");
        return;
    }
    r->waiter = w;
    w->stream = true;
    w->fd = info->connect_fd;
    w->last = after;
    w->deadline = clock_ms() + KEEP_ALIVE_MS;
    if (stream_begin(w)) {
        r->stage = REQUEST_PARKED;
        return;
    }
    hub_wait_end(r);
    answer_problem(r, PROBLEM_overloaded, "no memory for a stream");
}

static void close_stream(struct hub *hub, struct waiter *w) {
    if (w->watched) epoll_ctl(hub->set, EPOLL_CTL_DEL, w->fd, NULL);
    pthread_mutex_lock(&hub->lock);
    resume(w);
    pthread_mutex_unlock(&hub->lock);
}

static void watch(struct hub *hub, struct waiter *w) {
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = w};
    w->watched = true;
    if (epoll_ctl(hub->set, EPOLL_CTL_ADD, w->fd, &event) != 0) w->gone = true;
}

/* ---- the thread -------------------------------------------------------------------------------------------------------------------- */

static bool concerns(const struct hub *hub, const struct waiter *w) {
    if (!w->job[0] || hub->news_count > NEWS_MAX) return true;
    for (int i = 0; i < hub->news_count; i++)
        if (strcmp(hub->news[i], w->job) == 0) return true;
    return false;
}

/* Marks those with news, and gives back the long polls among them. Returns the streams that have something to do, when it is their time. */
static struct waiter *collect(struct hub *hub, bool sweep, bool peek, bool streams_too) {
    struct waiter *turn = NULL;
    const int64_t now = clock_ms();
    pthread_mutex_lock(&hub->lock);
    hub->signalled = false;
    if (hub->news_count) pages_news(hub->pages);
    for (struct waiter *w = hub->first, *next; w; w = next) {
        next = w->next;
        if (hub->news_count && concerns(hub, w)) w->pending = true;
        if (!w->parked) continue;
        if (w->stream && sweep && peek && !auth_is_valid(hub->server->auth, &w->request->who))
            w->gone = true; /* its key was revoked, or has expired */
        if (!w->stream) {
            if (sweep && peek && direct_left(w->request->connection)) w->gone = true; /* not noticed while it is suspended */
            if (w->pending || w->gone || hub->stopping || (sweep && now >= w->deadline)) resume(w);
        } else if (streams_too || w->gone || hub->stopping) {
            const bool quiet = sweep && !w->pending && !w->blocked && now >= w->deadline;
            if (quiet) stream_keep_alive(w);
            w->gone = w->gone || hub->stopping;
            if (!w->gone && !quiet && (!w->pending || w->blocked)) continue;
            w->pending = false;
            w->next_turn = turn;
            turn = w;
        }
    }
    hub->news_count = 0;
    pthread_mutex_unlock(&hub->lock);
    return turn;
}

/* Lets each of them send. Returns how many there were. */
static int serve(struct hub *hub, struct waiter *turn) {
    int served = 0;
    for (struct waiter *w = turn, *next; w; w = next, served++) {
        next = w->next_turn;
        if (!w->watched) watch(hub, w);
        const enum stream_state state = w->gone ? STREAM_OVER : stream_send(w, hub->pages);
        w->blocked = state == STREAM_BLOCKED;
        if (state == STREAM_OVER) {
            close_stream(hub, w);
        } else if (state == STREAM_MORE) {
            pthread_mutex_lock(&hub->lock);
            w->pending = true;
            signal_thread(hub);
            pthread_mutex_unlock(&hub->lock);
        }
    }
    return served;
}

/* What the sockets of streams report. Lock held. */
static void note(struct hub *hub, const struct epoll_event *event) {
    struct waiter *w = event->data.ptr;
    char piece[1024];
    ssize_t n = 1;
    if (!w) { /* the eventfd */
        uint64_t ignored;
        if (read(hub->wake, &ignored, sizeof ignored) < 0) (void)0; /* it was read already */
        return;
    }
    if (event->events & EPOLLIN) /* nothing is expected; it is left for the end, but an end of it is one */
        n = recv(w->fd, piece, 1, MSG_PEEK | MSG_DONTWAIT);
    if (event->events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR) || n == 0) w->gone = true;
    if (event->events & EPOLLOUT && w->blocked) {
        w->blocked = false;
        w->pending = true;
    }
}

/* Streams are served in rounds. A round of many is followed by a pause, in which news collects: with 1,000 streams it takes 100 ms, so that streams
 * use a small part of a processor however fast jobs report. */
static void *run(void *context) {
    struct hub *hub = context;
    struct epoll_event events[EVENTS_AT_ONCE];
    int64_t next_sweep = clock_ms() + SWEEP_MS, next_round = 0;
    for (int sweeps = 0;;) {
        int64_t now = clock_ms(), until = next_round > now && next_round < next_sweep ? next_round : next_sweep;
        const int count = epoll_wait(hub->set, events, EVENTS_AT_ONCE, until > now ? (int)(until - now) : 0);
        pthread_mutex_lock(&hub->lock);
        for (int i = 0; i < count; i++) note(hub, &events[i]);
        bool over = hub->stopping;
        for (const struct waiter *w = hub->first; w && over; w = w->next) over = !w->parked;
        pthread_mutex_unlock(&hub->lock);
        if (over) return NULL;
        now = clock_ms();
        const bool sweep = now >= next_sweep, streams_too = now >= next_round;
        if (sweep) next_sweep = now + SWEEP_MS, sweeps++;
        const int served = serve(hub, collect(hub, sweep, sweeps % 4 == 0, streams_too));
        if (streams_too && served) next_round = clock_ms() + served / STREAMS_PER_MS;
        if (sweep) memory_trim(hub->server);
        if (sweep) http_sweep(hub->server->http);
    }
}

/* ---- start and stop ---------------------------------------------------------------------------------------------------------------- */

static void hub_close(struct hub *hub) {
    if (hub->wake >= 0) close(hub->wake);
    if (hub->set >= 0) close(hub->set);
    pages_free(hub->pages);
    pthread_mutex_destroy(&hub->lock);
    pthread_cond_destroy(&hub->gone);
    free(hub);
}

struct hub *hub_new(struct server *server, const struct page_views *views) {
    struct hub *hub = calloc(1, sizeof *hub);
    struct epoll_event event = {.events = EPOLLIN};
    if (!hub) return NULL;
    hub->server = server;
    pthread_mutex_init(&hub->lock, NULL);
    clock_condition_init(&hub->gone);
    hub->pages = pages_new(server->store, views);
    hub->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    hub->set = epoll_create1(EPOLL_CLOEXEC);
    if (hub->pages && hub->wake >= 0 && hub->set >= 0 && epoll_ctl(hub->set, EPOLL_CTL_ADD, hub->wake, &event) == 0 &&
        pthread_create(&hub->thread, NULL, run, hub) == 0)
        return hub;
    hub_close(hub);
    return NULL;
}

void hub_stop(struct hub *hub) {
    const struct timespec until = clock_after(STOP_MS);
    pthread_mutex_lock(&hub->lock);
    hub->stopping = true;
    signal_thread(hub);
    while (hub->first && pthread_cond_timedwait(&hub->gone, &hub->lock, &until) == 0) continue;
    pthread_mutex_unlock(&hub->lock);
    pthread_join(hub->thread, NULL);
}

void hub_free(struct hub *hub) {
    if (hub) hub_close(hub);
}

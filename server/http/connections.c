/* connections.c - the open connections and until when each must have sent what it owes: the head of a request, then its body; or have taken what is
 * sent to it. Each byte moves the deadline by what it may take at the slowest allowed rate. libmicrohttpd's own timeout starts anew with each byte,
 * so it stops no slow client. One lock: the sweep shuts a socket down under it, and the end of a connection takes it before the socket is closed. */
#include "server/http/private.h"

#include "server/clock.h"
#include "server/ops/metrics.h"

#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

struct connection {
    struct connection *next, *previous;
    int fd;
    int64_t deadline;   /* ms; 0: the client owes nothing */
    enum expected what; /* it owes */
    bool left;          /* the client had ended its side at the last sweep, before the end of a head */
    uint64_t read;      /* bytes of the connection that the client had acknowledged at the last sweep */
};

struct connections {
    pthread_mutex_t lock;
    struct connection *first;
    const struct server_settings *settings; /* head_timeout, rate_min */
    bool tls;                               /* the thread of a connection may be using its session: nothing is sent */
    struct metrics *metrics;
};

static const char timed_out[] =
    "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Type: application/problem+json\r\nContent-Length: 131\r\n\r\n"
    "{\"title\":\"Request timeout\",\"status\":408,\"code\":\"timeout\",\"detail\":\"the request came too slowly "
    "(settings head_timeout, rate_min)\"}\n";

struct connections *connections_new(const struct server *server) {
    struct connections *c = calloc(1, sizeof *c);
    if (!c) return NULL;
    pthread_mutex_init(&c->lock, NULL);
    c->settings = &server->settings;
    c->tls = *server->settings.tls_cert != '\0';
    c->metrics = server->metrics;
    return c;
}

static int64_t wait_ms(const struct connections *c) {
    return c->settings->head_timeout * 1000;
}

void connections_notify(void *context, struct MHD_Connection *connection, void **state, enum MHD_ConnectionNotificationCode code) {
    struct connections *c = context;
    struct connection *one = *state;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
        *state = one = info ? calloc(1, sizeof *one) : NULL;
        if (!one) return;
        one->fd = info->connect_fd;
        one->what = EXPECT_HEAD;
        one->deadline = clock_ms() + wait_ms(c);
        pthread_mutex_lock(&c->lock);
        one->next = c->first;
        if (one->next) one->next->previous = one;
        c->first = one;
        pthread_mutex_unlock(&c->lock);
    } else if (one) {
        pthread_mutex_lock(&c->lock);
        if (one->previous) one->previous->next = one->next;
        else c->first = one->next;
        if (one->next) one->next->previous = one->previous;
        pthread_mutex_unlock(&c->lock);
        free(one);
        *state = NULL;
    }
}

static struct connection *of(struct MHD_Connection *connection) {
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info ? info->socket_context : NULL;
}

void connections_expect(struct connections *c, struct MHD_Connection *connection, enum expected what) {
    struct connection *one = of(connection);
    if (!one) return;
    pthread_mutex_lock(&c->lock);
    one->what = what;
    one->left = false;
    one->read = 0;
    one->deadline = what == EXPECT_NOTHING ? 0 : clock_ms() + wait_ms(c);
    pthread_mutex_unlock(&c->lock);
}

void connections_received(struct connections *c, struct MHD_Connection *connection, size_t bytes) {
    struct connection *one = of(connection);
    if (!one) return;
    const int64_t most = clock_ms() + wait_ms(c);
    pthread_mutex_lock(&c->lock);
    if (one->deadline) one->deadline += (int64_t)bytes * 1000 / c->settings->rate_min;
    if (one->deadline > most) one->deadline = most;
    pthread_mutex_unlock(&c->lock);
}

/* Whether the client takes what is sent to it. The kernel knows: bytes that it holds are owed, and those acknowledged move the deadline. While it
 * holds none, the server has nothing to send, or the answer is complete. */
static void look_at_reader(const struct connections *c, struct connection *one, int64_t now) {
    struct tcp_info info = {0};
    socklen_t size = sizeof info;
    int unsent = 0;
    if (ioctl(one->fd, SIOCOUTQ, &unsent) == 0 && unsent == 0) {
        one->deadline = now + wait_ms(c);
        return;
    }
    if (getsockopt(one->fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return;
    if (one->read) one->deadline += (int64_t)(info.tcpi_bytes_acked - one->read) * 1000 / c->settings->rate_min;
    if (one->deadline > now + wait_ms(c)) one->deadline = now + wait_ms(c);
    one->read = info.tcpi_bytes_acked;
}

/* libmicrohttpd looks at a socket again when something new arrives, and does not notice an end that came with the bytes before it. Twice, because it
 * may have read the end of a head that it has not handled yet. */
static bool has_left(struct connection *one) {
    char byte;
    const bool left = (one->what == EXPECT_HEAD || one->what == EXPECT_NEXT) && recv(one->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0,
               both = left && one->left;
    one->left = left;
    return both;
}

void connections_sweep(struct connections *c) {
    const int64_t now = clock_ms();
    pthread_mutex_lock(&c->lock);
    for (struct connection *one = c->first; one; one = one->next) {
        if (one->what == EXPECT_READING) look_at_reader(c, one, now);
        if (one->deadline && has_left(one)) {
            shutdown(one->fd, SHUT_RDWR);
            one->deadline = 0;
        }
        if (!one->deadline || now < one->deadline) continue;
        const bool asked = one->what == EXPECT_HEAD || one->what == EXPECT_BODY; /* the rest of a request, or a first one */
        if (asked && !c->tls) send(one->fd, timed_out, sizeof timed_out - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (asked) metrics_problem(c->metrics, METRIC_PROBLEM_timeout);
        shutdown(one->fd, SHUT_RDWR);
        one->deadline = 0;
    }
    pthread_mutex_unlock(&c->lock);
}

void connections_free(struct connections *c) {
    if (!c) return;
    pthread_mutex_destroy(&c->lock);
    free(c);
}

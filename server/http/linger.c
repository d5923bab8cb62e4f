/* linger.c - see linger.h. New sockets come in a list under a lock that nobody holds for long; the thread moves them to its own list. */
#include "server/http/linger.h"

#include "server/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LINGER_MAX = 256, BYTES_MAX = 1 << 20, TIME_MS = 2000, PIECE = 64 << 10, TURN_MS = 100 };

struct entry {
    int fd;
    int64_t deadline, bytes;
};

struct closer {
    pthread_t thread;
    int wake; /* eventfd: there is a new socket, or the end */
    pthread_mutex_t lock;
    bool stopping;
    int fresh[LINGER_MAX], fresh_count;
    /* the thread's */
    struct entry entries[LINGER_MAX]; /* oldest first */
    atomic_int count;
};

static void drop(struct closer *l, int i) {
    const int left = atomic_fetch_sub(&l->count, 1) - 1;
    close(l->entries[i].fd);
    memmove(&l->entries[i], &l->entries[i + 1], (size_t)(left - i) * sizeof *l->entries);
}

/* False: nothing more is to be read. */
static bool discard(struct entry *e) {
    const ssize_t n = recv(e->fd, NULL, PIECE, MSG_DONTWAIT | MSG_TRUNC); /* TCP: without copying it */
    if (n < 0) return errno == EAGAIN || errno == EINTR;
    e->bytes += n;
    return n > 0 && e->bytes <= BYTES_MAX;
}

/* False: the end. */
static bool take_fresh(struct closer *l) {
    const int64_t deadline = clock_ms() + TIME_MS;
    pthread_mutex_lock(&l->lock);
    const bool stopping = l->stopping;
    for (int i = 0; i < l->fresh_count; i++) {
        if (l->count == LINGER_MAX) drop(l, 0);
        l->entries[atomic_fetch_add(&l->count, 1)] = (struct entry){.fd = l->fresh[i], .deadline = deadline};
    }
    l->fresh_count = 0;
    pthread_mutex_unlock(&l->lock);
    return !stopping;
}

static void *run(void *context) {
    struct closer *l = context;
    struct pollfd polled[LINGER_MAX + 1];
    while (take_fresh(l)) {
        polled[0] = (struct pollfd){.fd = l->wake, .events = POLLIN};
        for (int i = 0; i < l->count; i++) polled[i + 1] = (struct pollfd){.fd = l->entries[i].fd, .events = POLLIN};
        poll(polled, (nfds_t)l->count + 1, l->count ? TURN_MS : -1);
        uint64_t ignored;
        if (polled[0].revents && read(l->wake, &ignored, sizeof ignored) < 0) ignored = 0;
        const int64_t now = clock_ms();
        for (int i = l->count - 1; i >= 0; i--)
            if ((polled[i + 1].revents && !discard(&l->entries[i])) || now >= l->entries[i].deadline) drop(l, i);
    }
    while (l->count) drop(l, l->count - 1);
    return NULL;
}

struct closer *linger_new(void) {
    struct closer *l = calloc(1, sizeof *l);
    if (!l) return NULL;
    pthread_mutex_init(&l->lock, NULL);
    l->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (l->wake >= 0 && pthread_create(&l->thread, NULL, run, l) == 0) return l;
    if (l->wake >= 0) close(l->wake);
    free(l);
    return NULL;
}

static void signal_thread(struct closer *l) {
    const uint64_t one = 1;
    const ssize_t ignored = write(l->wake, &one, sizeof one);
    (void)ignored;
}

void linger_close(struct closer *l, int fd) {
    const int own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    shutdown(fd, SHUT_WR);
    if (own < 0) return; /* it closes at once, as without lingering */
    pthread_mutex_lock(&l->lock);
    const bool room = l->fresh_count < LINGER_MAX && !l->stopping;
    if (room) l->fresh[l->fresh_count++] = own;
    pthread_mutex_unlock(&l->lock);
    if (room) signal_thread(l);
    else close(own);
}

int linger_count(struct closer *l) {
    return l->count;
}

void linger_free(struct closer *l) {
    if (!l) return;
    pthread_mutex_lock(&l->lock);
    l->stopping = true;
    pthread_mutex_unlock(&l->lock);
    signal_thread(l);
    pthread_join(l->thread, NULL);
    pthread_mutex_destroy(&l->lock);
    close(l->wake);
    free(l);
}

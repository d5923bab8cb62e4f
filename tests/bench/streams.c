/* streams.c - the time of short requests while event streams are open: opens N streams of a path, reads and discards what they send in one thread,
 * and asks for GET /livez and POST a prediction in turn, one every 2 ms, each over a connection that stays open.
 *
 *     streams PORT STREAMS SECONDS STREAM_PATH PREDICT_PATH PREDICT_BODY
 *
 * Prints one line of JSON: the events received, and for both requests their number, p50, p99 and maximum in milliseconds. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static int port;
static atomic_llong events;
static atomic_int heads, ended;

static double now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static int connected(void) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) != 0) {
        perror("connect");
        exit(1);
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

/* Counts the ends of events; the head of the answer counts as one. */
static void *read_streams(void *context) {
    static char piece[65536];
    struct epoll_event ready[64];
    const int set = *(int *)context;
    for (;;) {
        int n = epoll_wait(set, ready, 64, -1);
        for (int i = 0; i < n; i++) {
            ssize_t size = recv(ready[i].data.fd, piece, sizeof piece, MSG_DONTWAIT);
            if (size <= 0) {
                if (size == 0 || errno != EAGAIN) {
                    atomic_fetch_add(&ended, 1);
                    epoll_ctl(set, EPOLL_CTL_DEL, ready[i].data.fd, NULL);
                }
                continue;
            }
            if (size > 12 && memcmp(piece, "HTTP/1.1 200", 12) == 0) atomic_fetch_add(&heads, 1);
            for (const char *at = piece; (at = memmem(at, (size_t)(piece + size - at), "\n\n", 2)); at += 2) atomic_fetch_add(&events, 1);
        }
    }
}

/* The time to the end of the answer; it fits one segment. */
static double asked(int fd, const char *text, size_t size) {
    char answer[8192];
    double begun = now_ms();
    if (send(fd, text, size, 0) != (ssize_t)size) exit(1);
    ssize_t n = recv(fd, answer, sizeof answer, 0);
    if (n < 12 || memcmp(answer, "HTTP/1.1 200", 12) != 0) {
        fprintf(stderr, "unexpected answer: %.*s\n", (int)(n > 0 ? n : 0), answer);
        exit(1);
    }
    return now_ms() - begun;
}

static int ascending(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void report(const char *name, double *ms, int count) {
    qsort(ms, (size_t)count, sizeof *ms, ascending);
    printf(", \"%s\": {\"requests\": %d, \"p50_ms\": %.3f, \"p99_ms\": %.3f, \"max_ms\": %.3f}", name, count, ms[count / 2], ms[count * 99 / 100],
           ms[count - 1]);
}

int main(int count, char **arguments) {
    if (count != 7) return 2;
    port = atoi(arguments[1]);
    const int streams = atoi(arguments[2]);
    const double seconds = atof(arguments[3]);
    char stream[1000], livez[] = "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n", predict[8000];
    snprintf(stream, sizeof stream, "GET %s HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n", arguments[4]);
    int size =
        snprintf(predict, sizeof predict, "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                 arguments[5], strlen(arguments[6]), arguments[6]);
    int set = epoll_create1(0);
    pthread_t reader;
    pthread_create(&reader, NULL, read_streams, &set);
    for (int i = 0; i < streams; i++) {
        struct epoll_event want = {.events = EPOLLIN};
        want.data.fd = connected();
        epoll_ctl(set, EPOLL_CTL_ADD, want.data.fd, &want);
        if (send(want.data.fd, stream, strlen(stream), 0) < 0) return 1;
    }
    for (double until = now_ms() + 60000; atomic_load(&heads) < streams && now_ms() < until;) usleep(10000);
    sleep(streams ? 3 : 1); /* what the streams missed has been sent */
    const int room = (int)(seconds * 500) + 10;
    double *times[2] = {malloc(sizeof(double) * (size_t)room), malloc(sizeof(double) * (size_t)room)};
    int fds[2] = {connected(), connected()}, asked_count = 0;
    asked(fds[0], livez, strlen(livez)), asked(fds[1], predict, (size_t)size);
    long long before = atomic_load(&events);
    double begun = now_ms();
    while (now_ms() - begun < seconds * 1000 && asked_count < room) {
        times[0][asked_count] = asked(fds[0], livez, strlen(livez));
        usleep(2000);
        times[1][asked_count++] = asked(fds[1], predict, (size_t)size);
        usleep(2000);
    }
    printf("{\"streams\": %d, \"ended\": %d, \"events_per_second\": %.0f", atomic_load(&heads), atomic_load(&ended),
           (double)(atomic_load(&events) - before) / (now_ms() - begun) * 1e3);
    report("livez", times[0], asked_count);
    report("predict", times[1], asked_count);
    printf("}\n");
    return 0;
}

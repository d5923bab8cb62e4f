/* http.c - the daemon, the life of a request, the work pool.
 *
 * Life of a request (function for each edge):
 *
 *     begin ──▶ BODY ──feed──▶ BODY ──complete──▶ dispatch ──▶ ANSWERED ──▶ send
 *       │                                            │             ▲
 *       └─refused─▶ REFUSED ──drain──▶ send          └─▶ WORKING ──┘  (suspended; worker or hub resumes) */
#include "schema/memory.h"
#include "server/http/private.h"

#include "server/http/hub.h"
#include "server/log.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "engine/base/base.h"
#include "server/clock.h"

enum { DRAIN_MAX = 1 << 20, WORK_QUEUE_MAX = 4096, LARGE_BODY = 64 << 10, STOP_WAIT_MS = 5000 };

struct http {
    struct server *server;
    struct MHD_Daemon *daemon;
    struct hub *hub;
    int listener;
    atomic_int active; /* requests begun and not completed */
    uint64_t id_base;
    atomic_uint_fast64_t id_next;
    /* the work pool */
    pthread_mutex_t lock;
    pthread_cond_t work;
    struct request *queue[WORK_QUEUE_MAX];
    int queue_first, queue_count;
    bool stopping;
    pthread_t *workers;
    int workers_count;
};

struct hub *http_hub(struct http *http) {
    return http->hub;
}

/* ---- the work pool ------------------------------------------------------------------------------------------------------------------- */

/* Runs the handler around the bookkeeping of repeated requests. */
static void execute(struct request *r) {
    schema_memory_begin();
    if (r->route->flags & ROUTE_IDEMPOTENT_KEY && !idempotency_begin(r)) return;
    r->route->handle(r);
    /* Data read while memory ran out may be incomplete. A created object exists, and its response is complete or could not be written. */
    if (schema_memory_failed() && r->status == 200) {
        if (r->stream) MHD_destroy_response(r->stream);
        r->stream = NULL;
        answer_problem(r, PROBLEM_overloaded, "out of memory; try again later");
    }
    idempotency_end(r);
}

static void *work(void *context) {
    struct http *http = context;
    bp_flush_denormals();
    for (;;) {
        pthread_mutex_lock(&http->lock);
        while (http->queue_count == 0 && !http->stopping) pthread_cond_wait(&http->work, &http->lock);
        if (http->queue_count == 0) {
            pthread_mutex_unlock(&http->lock);
            return NULL;
        }
        struct request *r = http->queue[http->queue_first];
        http->queue_first = (http->queue_first + 1) % WORK_QUEUE_MAX;
        http->queue_count--;
        pthread_mutex_unlock(&http->lock);
        execute(r);
        http_resume(r);
    }
}

bool http_submit(struct http *http, struct request *r) {
    pthread_mutex_lock(&http->lock);
    bool room = http->queue_count < WORK_QUEUE_MAX && !http->stopping;
    if (room) {
        r->stage = REQUEST_WORKING;
        MHD_suspend_connection(r->connection);
        http->queue[(http->queue_first + http->queue_count++) % WORK_QUEUE_MAX] = r;
        pthread_cond_signal(&http->work);
    }
    pthread_mutex_unlock(&http->lock);
    return room;
}

void http_resume(struct request *r) {
    r->stage = REQUEST_ANSWERED;
    MHD_resume_connection(r->connection);
}

/* ---- sending -------------------------------------------------------------------------------------------------------------------------- */

static enum MHD_Result send_answer(struct request *r) {
    struct MHD_Response *response = r->stream;
    if (!response) {
        response = MHD_create_response_from_buffer(r->answer_size, r->answer ? r->answer : (void *)"",
                                                   r->answer ? MHD_RESPMEM_MUST_FREE : MHD_RESPMEM_PERSISTENT);
        if (!response) return MHD_NO;
        r->answer = NULL;
    }
    r->stream = NULL;
    r->stage = REQUEST_ANSWERED;
    if (r->content_type) MHD_add_response_header(response, "Content-Type", r->content_type);
    MHD_add_response_header(response, "X-Request-Id", r->id);
    for (int i = 0; i < r->headers_count; i++) MHD_add_response_header(response, r->headers[i].name, r->headers[i].value);
    if (r->keep_alive_off || r->drain_on_close) MHD_add_response_header(response, "Connection", "close");
    guard_cors(r, response);
    enum MHD_Result queued = MHD_queue_response(r->connection, (unsigned)r->status, response);
    MHD_destroy_response(response);
    return queued;
}

/* Reads what a refused client is still sending, up to 1 MB and 200 ms, so that it gets to read the answer. */
static void drain(struct MHD_Connection *connection) {
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    char sink[16384];
    int64_t until = clock_ns() + 200000000, total = 0;
    if (!info) return;
    shutdown(info->connect_fd, SHUT_WR);
    while (total < DRAIN_MAX && clock_ns() < until) {
        struct pollfd p = {.fd = info->connect_fd, .events = POLLIN};
        if (poll(&p, 1, 20) < 0) break;
        ssize_t n = recv(info->connect_fd, sink, sizeof sink, MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) break;
        if (n > 0) total += n;
    }
}

/* libmicrohttpd responds only after the whole body: a client that keeps sending far beyond a limit gets the response written directly, then the
 * connection closes. */
static enum MHD_Result cut_off(struct request *r) {
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(r->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    char head[400];
    int size =
        snprintf(head, sizeof head, "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nX-Request-Id: %s\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n",
                 r->status, MHD_get_reason_phrase_for((unsigned)r->status), r->content_type, r->id, r->answer_size);
    if (info && r->answer && send(info->connect_fd, head, (size_t)size, MSG_NOSIGNAL | MSG_MORE) == size &&
        send(info->connect_fd, r->answer, r->answer_size, MSG_NOSIGNAL) > 0)
        drain(r->connection);
    return MHD_NO;
}

/* ---- begin ----------------------------------------------------------------------------------------------------------------------------- */

static struct request *request_new(struct http *http, struct MHD_Connection *connection, const char *url, const char *method) {
    struct request *r = calloc(1, sizeof *r);
    if (!r || !(r->path = strdup(url))) {
        free(r);
        return NULL;
    }
    r->server = http->server;
    r->connection = connection;
    snprintf(r->method, sizeof r->method, "%s", method);
    snprintf(r->id, sizeof r->id, "req_%016llx%08llx", (unsigned long long)http->id_base, (unsigned long long)atomic_fetch_add(&http->id_next, 1));
    r->started_ns = clock_ns();
    atomic_fetch_add(&http->active, 1);
    return r;
}

static enum MHD_Result hash_query(void *context, enum MHD_ValueKind kind, const char *name, const char *value) {
    struct request *r = context;
    (void)kind;
    sha256_update(&r->hash, strlen(name) + 1, (const uint8_t *)name);
    if (value) sha256_update(&r->hash, strlen(value) + 1, (const uint8_t *)value);
    return MHD_YES;
}

static bool read_idempotency_key(struct request *r) {
    const char *key = r->route->flags & ROUTE_IDEMPOTENT_KEY ? request_header(r, "Idempotency-Key") : NULL;
    if (!key || !*key) return true;
    if (strlen(key) > 255) {
        answer_problem(r, PROBLEM_invalid, "an Idempotency-Key must have at most 255 bytes");
        return false;
    }
    sha256_init(&r->hash); /* of query and body: both define the request */
    MHD_get_connection_values(r->connection, MHD_GET_ARGUMENT_KIND, hash_query, r);
    if (asprintf(&r->idempotency_key, "%s %s %s", r->method, r->path, key) < 0) r->idempotency_key = NULL;
    return r->idempotency_key != NULL;
}

/* An answer that is known before the body came. Small bodies are read to their end, so that the connection lives on; before large ones
 * the answer goes out at once. */
static enum MHD_Result refuse(struct request *r, int64_t length) {
    r->stage = REQUEST_REFUSED;
    if (r->keep_alive_off || length > DRAIN_MAX) {
        r->drain_on_close = length != 0;
        return send_answer(r);
    }
    return MHD_YES;
}

static enum MHD_Result begin(struct request *r) {
    int64_t length = 0;
    if (strcmp(r->method, "OPTIONS") == 0 && *r->server->settings.cors_origin) {
        r->status = 204;
        return send_answer(r);
    }
    if (!guard_check(r)) return refuse(r, r->keep_alive_off ? 1 : r->body_seen);
    if (!router_match(r) || !guard_key(r) || !router_query(r)) return refuse(r, r->body_seen);
    if (!guard_body(r, &length)) return refuse(r, length);
    if (r->route->body == ROUTE_JSON && !memory_for_body(r, length)) return refuse(r, length);
    if (!read_idempotency_key(r)) return refuse(r, length);
    r->body.limit = (size_t)r->body_limit;
    r->body_length = length;
    if (!body_begin(r) || (r->route->sink && !r->route->sink->begin(r))) return refuse(r, length);
    return MHD_YES;
}

/* ---- body -------------------------------------------------------------------------------------------------------------------------------- */

/* The client has gone in the middle of its body. libmicrohttpd reads what had come and waits for more, although the end came with it: it looks
 * at a socket again only when something new arrives. */
static bool broken_off(const struct request *r) {
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(r->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    char byte;
    return info && r->body_seen < r->body_length && recv(info->connect_fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

static enum MHD_Result feed(struct request *r, const char *data, size_t size) {
    r->body_seen += (int64_t)size;
    if (broken_off(r)) return MHD_NO;
    if (r->stage == REQUEST_REFUSED) return r->body_seen > r->body_limit + DRAIN_MAX && r->body_seen > 2 * DRAIN_MAX ? cut_off(r) : MHD_YES;
    if (r->body_seen > r->body_limit) {
        if (r->body_limit == 0) answer_problem(r, PROBLEM_bad_request, "%s %s takes no body", r->method, r->path);
        else
            answer_problem(r, PROBLEM_too_large, "the body is larger than the limit, %lld bytes (setting %s)", (long long)r->body_limit,
                           r->route->body != ROUTE_JSON ? "upload_max" : "body_max");
        r->stage = REQUEST_REFUSED;
        r->keep_alive_off = true;
        free(r->body.bytes);
        r->body = (struct schema_text){0};
        return MHD_YES;
    }
    if (r->idempotency_key) sha256_update(&r->hash, size, (const uint8_t *)data);
    if (r->route->sink) {
        r->route->sink->feed(r, data, size);
        return MHD_YES;
    }
    if (r->route->body == ROUTE_SAMPLE && size > r->route->sample_max - r->body.size) size = r->route->sample_max - r->body.size;
    if (!body_add(r, data, size)) r->stage = REQUEST_REFUSED;
    return MHD_YES;
}

static enum MHD_Result complete(struct http *http, struct request *r) {
    switch (r->stage) {
    case REQUEST_REFUSED:
    case REQUEST_ANSWERED: return send_answer(r);
    case REQUEST_WORKING: break; /* a long poll runs again */
    case REQUEST_BODY:
        if (!body_end(r)) return send_answer(r);
        if (r->route->flags & ROUTE_SLOW || (r->route->flags & ROUTE_SLOW_IF_LARGE && r->body.size > LARGE_BODY)) {
            if (http_submit(http, r)) return MHD_YES;
            answer_problem(r, PROBLEM_overloaded, "too many requests are waiting; try again later");
            return send_answer(r);
        }
    }
    r->stage = REQUEST_BODY;
    if (r->waiter) r->route->handle(r);
    else execute(r);
    return r->stage == REQUEST_WORKING ? MHD_YES : send_answer(r);
}

static enum MHD_Result handle(void *context, struct MHD_Connection *connection, const char *url, const char *method, const char *version,
                              const char *data, size_t *size, void **state) {
    struct http *http = context;
    struct request *r = *state;
    (void)version;
    if (!r) {
        if (!(*state = r = request_new(http, connection, url, method))) return MHD_NO;
        return begin(r);
    }
    if (*size == 0) return complete(http, r);
    size_t n = *size;
    *size = 0;
    return feed(r, data, n);
}

/* ---- the end of a request ------------------------------------------------------------------------------------------------------------------ */

static void completed(void *context, struct MHD_Connection *connection, void **state, enum MHD_RequestTerminationCode code) {
    struct http *http = context;
    struct request *r = *state;
    if (!r) return;
    if (r->drain_on_close && code == MHD_REQUEST_TERMINATED_COMPLETED_OK) drain(connection);
    if (http->server->settings.access_log || r->status >= 500) {
        char status[16], ms[32];
        snprintf(status, sizeof status, "%d", r->status);
        snprintf(ms, sizeof ms, "%.3f", (double)(clock_ns() - r->started_ns) / 1e6);
        log_line(r->status >= 500 ? LOG_WARNING : LOG_INFO, "request", "request_id", r->id, "method", r->method, "path", r->path, "status", status,
                 "ms", ms, NULL);
    }
    hub_wait_end(r);
    if (r->sink) r->route->sink->free(r->sink);
    for (int i = 0; i < r->headers_count; i++) free(r->headers[i].value);
    if (r->stream) MHD_destroy_response(r->stream);
    free(r->idempotency_key);
    body_free(r);
    free(r->body.bytes);
    free(r->answer);
    memory_release(r);
    free(r->path);
    free(r);
    *state = NULL;
    atomic_fetch_sub(&http->active, 1);
}

/* ---- start and stop --------------------------------------------------------------------------------------------------------------------------- */

static bool is_loopback(const struct sockaddr *address) {
    if (address->sa_family == AF_INET) return (ntohl(((const struct sockaddr_in *)(const void *)address)->sin_addr.s_addr) >> 24) == 127;
    return address->sa_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)(const void *)address)->sin6_addr);
}

/* Binds "host:port", "[::1]:port" or ":port". */
static int listen_on(const char *text, bool has_key, char *address, size_t address_size, struct bp_error *error) {
    const char *colon = strrchr(text, ':');
    char host[200] = "", port[16];
    bool good = colon && (size_t)(colon - text) < sizeof host && colon[1] && strlen(colon + 1) < sizeof port;
    if (!good || colon[1 + strspn(colon + 1, "0123456789")] || strtol(colon + 1, NULL, 10) > 65535)
        return bp_error_set(error, "", "--listen expects address:port, like 127.0.0.1:8080, got \"%s\"", text);
    snprintf(host, sizeof host, "%.*s", (int)(colon - text), text);
    snprintf(port, sizeof port, "%s", colon + 1);
    if (host[0] == '[' && host[strlen(host) - 1] == ']') {
        memmove(host, host + 1, strlen(host));
        host[strlen(host) - 1] = '\0';
    }
    struct addrinfo hints = {.ai_flags = AI_PASSIVE | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM}, *found = NULL;
    int code = getaddrinfo(*host ? host : "0.0.0.0", port, &hints, &found);
    if (code != 0) return bp_error_io(error, "--listen %s: %s", text, gai_strerror(code));
    int fd = -1, one = 1;
    if (!has_key && !is_loopback(found->ai_addr)) {
        bp_error_set(error, "", "--listen %s would be reachable from other machines without a key; listen on 127.0.0.1, or give --api-key-file",
                     text);
    } else {
        fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd >= 0) setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
        if (fd < 0 || bind(fd, found->ai_addr, found->ai_addrlen) != 0 || listen(fd, 1024) != 0) {
            bp_error_io(error, "cannot listen on %s: %s%s", text, strerror(errno),
                        errno == EADDRINUSE ? "; another program uses this port; use another one with --listen 127.0.0.1:PORT" : "");
            if (fd >= 0) close(fd);
            fd = -1;
        }
    }
    freeaddrinfo(found);
    if (fd < 0) return -1;
    struct sockaddr_storage bound;
    socklen_t size = sizeof bound;
    char name[100], service[16];
    getsockname(fd, (struct sockaddr *)&bound, &size);
    if (getnameinfo((struct sockaddr *)&bound, size, name, sizeof name, service, sizeof service, NI_NUMERICHOST | NI_NUMERICSERV) == 0)
        snprintf(address, address_size, strchr(name, ':') ? "[%s]:%s" : "%s:%s", name, service);
    return fd;
}

int http_listen_check(const char *text, bool has_key, struct bp_error *error) {
    char address[128];
    const int fd = listen_on(text, has_key, address, sizeof address, error);
    if (fd >= 0) close(fd);
    return fd >= 0 ? 0 : -1;
}

static void daemon_log(void *context, const char *format, va_list arguments) {
    (void)context;
    (void)format;
    (void)arguments; /* every vanished client would be a line */
}

static void stop_workers(struct http *http) {
    pthread_mutex_lock(&http->lock);
    http->stopping = true;
    pthread_cond_broadcast(&http->work);
    pthread_mutex_unlock(&http->lock);
    for (int i = 0; i < http->workers_count; i++) pthread_join(http->workers[i], NULL);
}

static int start_workers(struct http *http, int count, struct bp_error *error) {
    http->workers = calloc((size_t)count, sizeof *http->workers);
    if (!http->workers) return bp_error_memory(error, "no memory for the work threads");
    for (int i = 0; i < count; i++) {
        const int code = pthread_create(&http->workers[i], NULL, work, http);
        if (code != 0)
            return bp_error_io(error, "cannot start work thread %d of %d: %s; lower --work-threads, or raise the limit on processes", i + 1, count,
                               strerror(code));
        http->workers_count++;
    }
    return 0;
}

/* A NUL would cut the text short, "penguins%00x" would be "penguins": such a text stays as it was written. */
static size_t unescape(void *context, struct MHD_Connection *connection, char *text) {
    (void)context;
    (void)connection;
    return strstr(text, "%00") ? strlen(text) : MHD_http_unescape(text);
}

int http_start(struct server *server, json_t *(*render)(const struct store_event *event), struct bp_error *error) {
    struct http *http = calloc(1, sizeof *http);
    if (!http) return bp_error_memory(error, "out of memory");
    http->server = server;
    pthread_mutex_init(&http->lock, NULL);
    pthread_cond_init(&http->work, NULL);
    if (getrandom(&http->id_base, sizeof http->id_base, 0) < 0) http->id_base = (uint64_t)clock_ns();
    http->listener = listen_on(server->settings.listen, server->api_key != NULL, server->address, sizeof server->address, error);
    if (http->listener < 0) goto failed;
    if (!(http->hub = hub_new(server, server->settings.streams_max, render))) {
        bp_error_io(error, "cannot start the thread of the event streams: %s", strerror(errno));
        goto failed;
    }
    if (start_workers(http, (int)server->settings.work_threads, error) != 0) goto failed;
    server->http = http;
    unsigned threads = (unsigned)server->settings.http_threads, connections = (unsigned)server->settings.connections_max;
    http->daemon =
        MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0, NULL, NULL, handle, http,
                         MHD_OPTION_EXTERNAL_LOGGER, daemon_log, NULL, MHD_OPTION_LISTEN_SOCKET, http->listener, MHD_OPTION_THREAD_POOL_SIZE,
                         threads > 1 ? threads : 0u, MHD_OPTION_CONNECTION_LIMIT, connections < threads ? threads : connections,
                         MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)server->settings.request_timeout, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)16384,
                         MHD_OPTION_NOTIFY_COMPLETED, completed, http, MHD_OPTION_UNESCAPE_CALLBACK, unescape, NULL, MHD_OPTION_END);
    if (http->daemon) return 0;
    bp_error_io(error, "cannot start the HTTP daemon: %s", strerror(errno));
failed:
    if (http->hub) {
        hub_stop(http->hub);
        hub_free(http->hub);
    }
    stop_workers(http);
    if (http->listener >= 0) close(http->listener);
    free(http->workers);
    free(http);
    server->http = NULL;
    return -1;
}

void http_stop(struct http *http) {
    if (!http) return;
    hub_stop(http->hub);
    for (int waited = 0; atomic_load(&http->active) > 0 && waited < STOP_WAIT_MS; waited += 5) {
        struct timespec pause = {.tv_nsec = 5000000};
        nanosleep(&pause, NULL);
    }
    stop_workers(http);
    MHD_stop_daemon(http->daemon);
}

void http_free(struct http *http) {
    if (!http) return;
    free(http->workers);
    free(http);
}

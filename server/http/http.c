/* http.c - the daemon and the life of a request.
 *
 * Life of a request (function for each edge):
 *
 *     begin ──▶ BODY ──feed──▶ BODY ──complete──▶ dispatch ──▶ ANSWERED ──▶ send_answer
 *       │       ▲  ▲                                 │             ▲
 *       │       │  └──▶ FEEDING                      └─▶ WORKING ──┤
 *       ├─▶ OPENING                                     │  ▲       │
 *       │                                               ▼  │       │
 *       └─refused─▶ REFUSED ──▶ send_answer            PARKED ──▶ STREAMED
 *
 * In OPENING, FEEDING (uploads) and WORKING the connection is suspended, and a work thread resumes it; in PARKED (streams and long polls) the hub
 * does. */
#include "schema/memory.h"
#include "server/http/private.h"

#include "server/http/direct.h"
#include "server/http/hub.h"
#include "server/http/linger.h"
#include "server/http/tls.h"
#include "server/log.h"
#include "server/ops/metrics.h"
#include "server/ops/systemd.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "server/clock.h"

enum {
    PARAMETERS_MAX = 100,
    HEAD_MAX = 16 << 10,
    HEAD_MEMORY = 32 << 10,
    DRAIN_MAX = 1 << 20,
    PIECE = 512 << 10 /* of an upload */,
    STOP_WAIT_MS = 5000
};

struct http {
    struct server *server;
    struct MHD_Daemon *_Atomic daemon;
    struct hub *hub;
    struct closer *linger;
    struct work_pool *pool;
    struct connections *connections;
    int listener;
    pthread_mutex_t heads_lock;
    struct request *heads; /* whose head is not complete */
    atomic_int active;     /* requests begun and not completed */
    atomic_llong swept_at; /* ms */
    uint64_t id_base;
    atomic_uint_fast64_t id_next;
};

struct hub *http_hub(struct http *http) {
    return http->hub;
}

struct connections *http_connections(const struct http *http) {
    return http->connections;
}

void http_statistics(struct http *http, struct http_statistics *statistics) {
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(http->daemon, MHD_DAEMON_INFO_CURRENT_CONNECTIONS);
    *statistics = (struct http_statistics){.connections = info ? info->num_connections : 0,
                                           .in_flight = atomic_load(&http->active),
                                           .streams = hub_streams(http->hub),
                                           .queued = work_queued(http->pool)};
}

/* The hub's thread starts before http is known to the server. */
void http_sweep(struct http *http) {
    if (!http) return;
    connections_sweep(http->connections);
    atomic_store(&http->swept_at, clock_ms());
}

int64_t http_swept_at(const struct http *http) {
    return atomic_load(&http->swept_at);
}

bool http_produce(struct request *r, void (*run)(struct request *)) {
    return work_submit(r->server->http->pool, r, r->stage, run);
}

/* ---- sending -------------------------------------------------------------------------------------------------------------------------- */

static enum MHD_Result send_answer(struct request *r) {
    body_free(r);
    free(r->body.bytes);
    r->body = (struct schema_text){0};
    memory_for_answer(r);
    struct MHD_Response *response = r->stream;
    if (!response) {
        response = MHD_create_response_from_buffer(r->answer_size, r->answer ? r->answer : (void *)"",
                                                   r->answer ? MHD_RESPMEM_MUST_FREE : MHD_RESPMEM_PERSISTENT);
        if (!response) return MHD_NO;
        r->answer = NULL;
    }
    r->stream = NULL;
    r->stage = REQUEST_ANSWERED;
    connections_expect(r->server->http->connections, r->connection, EXPECT_READING);
    guard_audit(r);
    guard_cors(r);
    if (r->content_type) MHD_add_response_header(response, "Content-Type", r->content_type);
    MHD_add_response_header(response, "X-Request-Id", r->id);
    for (int i = 0; i < r->headers_count; i++) MHD_add_response_header(response, r->headers[i].name, r->headers[i].value);
    if (r->keep_alive_off || r->drain_on_close) MHD_add_response_header(response, "Connection", "close");
    enum MHD_Result queued = MHD_queue_response(r->connection, (unsigned)r->status, response);
    MHD_destroy_response(response);
    return queued;
}

void answer_head(const struct request *r, struct schema_text *out) {
    char date[64];
    const time_t now = time(NULL);
    struct tm utc;
    strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&now, &utc));
    schema_text_format(out, "HTTP/1.1 %d %s\r\nDate: %s\r\nConnection: close\r\nContent-Type: %s\r\nX-Request-Id: %s\r\n", r->status,
                       MHD_get_reason_phrase_for((unsigned)r->status), date, r->content_type, r->id);
    for (int i = 0; i < r->headers_count; i++) schema_text_format(out, "%s: %s\r\n", r->headers[i].name, r->headers[i].value);
}

/* libmicrohttpd responds only after the whole body: a client that keeps sending far beyond a limit gets the response written directly, then the
 * connection closes. */
static enum MHD_Result cut_off(struct request *r) {
    struct schema_text out = {.limit = 64 << 10};
    connections_expect(r->server->http->connections, r->connection, EXPECT_NOTHING);
    guard_cors(r);
    answer_head(r, &out);
    schema_text_format(&out, "Content-Length: %zu\r\n\r\n", r->answer_size);
    if (r->answer) schema_text_add(&out, r->answer, r->answer_size);
    if (r->answer && !out.failed) direct_send(r->connection, out.bytes, out.size);
    free(out.bytes);
    r->stage = REQUEST_STREAMED;
    return MHD_NO;
}

/* ---- begin ----------------------------------------------------------------------------------------------------------------------------- */

static void heads_remove(struct http *http, struct request *r) {
    pthread_mutex_lock(&http->heads_lock);
    if (r->previous) r->previous->next = r->next;
    else http->heads = r->next;
    if (r->next) r->next->previous = r->previous;
    r->next = r->previous = NULL;
    pthread_mutex_unlock(&http->heads_lock);
}

/* libmicrohttpd calls this with the target as it came, in its buffer, before it parses the query. It neither answers nor closes a connection whose
 * parameters do not fit into its memory, so too many are made one. */
static void *head_begins(void *context, const char *target, struct MHD_Connection *connection) {
    struct http *http = context;
    struct request *r = calloc(1, sizeof *r);
    if (!r || !(r->path = strdup(target))) {
        free(r);
        return NULL;
    }
    r->server = http->server;
    r->connection = connection;
    r->target = target;
    r->target_size = strlen(target);
    r->target_malformed = framing_target_malformed(target);
    int parameters = 0;
    for (const char *at = strpbrk(target, "?&"); at; at = strpbrk(at + 1, "?&")) parameters++;
    r->too_many_parameters = parameters > PARAMETERS_MAX;
    for (char *at = (char *)(uintptr_t)target; r->too_many_parameters && *at; at++)
        if (*at == '&') *at = '+';
    connections_expect(http->connections, connection, EXPECT_HEAD);
    r->thread = pthread_self();
    r->started_ns = clock_ns();
    snprintf(r->id, sizeof r->id, "req_%016llx%08llx", (unsigned long long)http->id_base, (unsigned long long)atomic_fetch_add(&http->id_next, 1));
    pthread_mutex_lock(&http->heads_lock);
    r->next = http->heads;
    if (r->next) r->next->previous = r;
    http->heads = r;
    pthread_mutex_unlock(&http->heads_lock);
    return r;
}

/* False: answered. */
static bool head_complete(struct http *http, struct request *r, const char *url, const char *method, const char *version) {
    heads_remove(http, r);
    connections_expect(http->connections, r->connection, EXPECT_BODY);
    r->begun = true;
    atomic_fetch_add(&http->active, 1);
    snprintf(r->method, sizeof r->method, "%s", method);
    r->old_version = strcmp(version, "HTTP/1.0") == 0;
    r->keep_alive_off = true;
    const char *fault = framing_fault(r, method, version), *path = framing_path(r, url);
    if (r->too_many_parameters) {
        answer_problem(r, PROBLEM_uri_too_long, "the query has more than %d parameters", PARAMETERS_MAX);
    } else if (framing_head_size(r) > HEAD_MAX) {
        answer_problem(r, PROBLEM_head_too_large, "the request line and the headers take %zu bytes, at most %d are read", framing_head_size(r),
                       HEAD_MAX);
    } else if (fault) {
        answer_problem(r, PROBLEM_bad_request, "%s", fault);
    } else if (!path) {
        answer_problem(r, PROBLEM_bad_request, "the target names another host than the Host header; send the path alone");
    } else {
        memmove(r->path, path, strlen(path) + 1); /* decoded and without the query: no longer than the target */
        r->keep_alive_off = false;
        return true;
    }
    return false;
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

static void open_sink(struct request *r) {
    schema_memory_begin();
    r->status = 0;
    r->feeds->begin(r);
}

static enum MHD_Result begin(struct request *r) {
    int64_t length = 0;
    if (strcmp(r->method, "OPTIONS") == 0 && *r->server->settings.cors_origin) {
        r->status = 204;
        return send_answer(r);
    }
    if (!guard_check(r)) return refuse(r, r->keep_alive_off ? 1 : r->body_seen);
    if (!router_match(r) || !guard_key(r) || !guard_write(r) || !router_query(r)) return refuse(r, r->body_seen);
    if (!guard_body(r, &length)) return refuse(r, length);
    if (r->route->body == ROUTE_JSON && !r->feeds && !memory_for_body(r, length)) return refuse(r, length);
    if (!read_idempotency_key(r)) return refuse(r, length);
    r->body.limit = r->feeds ? 2 * PIECE : (size_t)r->body_limit;
    r->body_length = length;
    if (!body_begin(r)) return refuse(r, length);
    if (!r->feeds || work_submit(r->server->http->pool, r, REQUEST_OPENING, open_sink)) return MHD_YES;
    answer_problem(r, PROBLEM_overloaded, "too many requests are waiting; try again later");
    return refuse(r, length);
}

/* ---- body -------------------------------------------------------------------------------------------------------------------------------- */

static void feed_sink(struct request *r) {
    r->feeds->feed(r, r->body.bytes, r->body.size);
    r->body.size = 0;
    r->stage = REQUEST_BODY;
    if (memory_for_upload(r, r->feeds->memory(r->sink))) return;
    r->stage = REQUEST_REFUSED;
    r->feeds->free(r->sink);
    r->sink = NULL;
    memory_release(r);
}

/* Keeps it until there is enough for a turn of a work thread; the last bytes go with the handler. */
static bool feed_later(struct request *r, const char *data, size_t size) {
    schema_text_add(&r->body, data, size);
    if (r->body.failed) {
        answer_problem(r, PROBLEM_overloaded, "no memory for the body");
        return false;
    }
    if (r->body.size < PIECE || work_submit(r->server->http->pool, r, REQUEST_FEEDING, feed_sink)) return true;
    answer_problem(r, PROBLEM_overloaded, "too many requests are waiting; try again later");
    return false;
}

/* The client has gone in the middle of its body. libmicrohttpd reads what had come and waits for more, although the end came with it: it looks
 * at a socket again only when something new arrives. */
static bool broken_off(const struct request *r) {
    return r->body_seen < r->body_length && direct_at_end(r->connection);
}

static enum MHD_Result feed(struct request *r, const char *data, size_t size) {
    r->body_seen += (int64_t)size;
    connections_received(r->server->http->connections, r->connection, size);
    if (broken_off(r)) return MHD_NO;
    if (r->stage == REQUEST_REFUSED) return r->body_seen > r->body_limit + DRAIN_MAX && r->body_seen > 2 * DRAIN_MAX ? cut_off(r) : MHD_YES;
    if (r->body_seen > r->body_limit) {
        if (r->body_limit == 0) answer_problem(r, PROBLEM_bad_request, "%s %s takes no body", r->method, r->path);
        else
            answer_problem(r, PROBLEM_too_large, "the body is larger than the limit, %lld bytes (setting %s)", (long long)r->body_limit,
                           r->feeds || r->route->body != ROUTE_JSON ? "upload_max" : "body_max");
        r->stage = REQUEST_REFUSED;
        r->keep_alive_off = true;
        free(r->body.bytes);
        r->body = (struct schema_text){0};
        return MHD_YES;
    }
    if (r->idempotency_key) sha256_update(&r->hash, size, (const uint8_t *)data);
    if (r->feeds) {
        if (!feed_later(r, data, size)) r->stage = REQUEST_REFUSED;
        return MHD_YES;
    }
    if (r->route->body == ROUTE_SAMPLE && size > r->route->sample_max - r->body.size) size = r->route->sample_max - r->body.size;
    if (!body_add(r, data, size)) r->stage = REQUEST_REFUSED;
    return MHD_YES;
}

/* The handler, with what the sink has not had yet. */
static void finish(struct request *r) {
    if (r->sink && r->body.size) r->feeds->feed(r, r->body.bytes, r->body.size);
    work_execute(r);
}

static enum MHD_Result complete(struct http *http, struct request *r) {
    connections_expect(http->connections, r->connection, r->stage == REQUEST_OPENING ? EXPECT_BODY : EXPECT_NOTHING);
    switch (r->stage) {
    case REQUEST_OPENING: r->stage = REQUEST_BODY; return r->sink ? MHD_YES : refuse(r, r->body_length);
    case REQUEST_REFUSED:
    case REQUEST_ANSWERED: return send_answer(r);
    case REQUEST_STREAMED: return MHD_NO; /* it is complete: the connection closes */
    case REQUEST_FEEDING:
    case REQUEST_WORKING: return MHD_YES;
    case REQUEST_PARKED: break; /* a long poll runs again */
    case REQUEST_BODY:
        if (!r->feeds && !body_end(r)) return send_answer(r);
        if (!(r->route->flags & ROUTE_SLOW)) work_execute(r);
        if (!(r->route->flags & ROUTE_SLOW) || work_quick(r)) return send_answer(r);
    }
    if (work_submit(http->pool, r, REQUEST_WORKING, finish)) return MHD_YES;
    answer_problem(r, PROBLEM_overloaded, "too many requests are waiting; try again later");
    return send_answer(r);
}

/* libmicrohttpd goes on with the chunks that it has read although their connection is suspended: they stay in its buffer. The request belongs to a
 * work thread then, not even its stage is to be read. */
static bool is_suspended(struct MHD_Connection *connection) {
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_SUSPENDED);
    return info && info->suspended == MHD_YES;
}

static enum MHD_Result handle(void *context, struct MHD_Connection *connection, const char *url, const char *method, const char *version,
                              const char *data, size_t *size, void **state) {
    struct http *http = context;
    struct request *r = *state;
    if (!r) return MHD_NO; /* no memory */
    if (is_suspended(connection)) return MHD_YES;
    if (!r->begun) return head_complete(http, r, url, method, version) ? begin(r) : refuse(r, 1);
    if (*size == 0) return complete(http, r);
    size_t n = *size;
    *size = 0;
    return feed(r, data, n);
}

/* ---- the end of a request ------------------------------------------------------------------------------------------------------------------ */

/* A request that failed is a warning; others are information when the access log is on, else only for debugging. */
static void log_request(const struct request *r) {
    const enum log_level level = r->status >= 500 ? LOG_WARNING : r->server->settings.access_log ? LOG_INFO : LOG_DEBUG;
    char status[16], ms[32], client[ADDRESS_TEXT_SIZE];
    if (!r->begun || !log_wants(level)) return;
    address_text(&r->client, client);
    if (!client[0]) { /* it was refused before */
        const union MHD_ConnectionInfo *info = MHD_get_connection_info(r->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
        const struct address address = address_of(info ? info->client_addr : NULL);
        address_text(&address, client);
    }
    snprintf(status, sizeof status, "%d", r->status);
    snprintf(ms, sizeof ms, "%.3f", (double)(clock_ns() - r->started_ns) / 1e6);
    log_line(level, "request", "request_id", r->id, "client", client, "method", r->method, "path", r->path, "status", r->status ? status : "none",
             "ms", ms, r->who.name[0] ? "key" : NULL, r->who.name, NULL);
}

static void completed(void *context, struct MHD_Connection *connection, void **state, enum MHD_RequestTerminationCode code) {
    struct http *http = context;
    struct request *r = *state;
    if (!r) return;
    if (!r->begun) heads_remove(http, r);
    guard_audit(r);
    if (r->stage == REQUEST_STREAMED || (r->drain_on_close && code == MHD_REQUEST_TERMINATED_COMPLETED_OK))
        linger_close(http->linger, direct_socket(connection)); /* the client may still be sending */
    log_request(r);
    if (r->begun)
        metrics_request(http->server->metrics, r->route ? r->route_number : -1, r->method, r->status,
                        r->waiter || !r->route ? -1 : clock_ns() - r->started_ns);
    connections_expect(http->connections, connection, EXPECT_NEXT);
    hub_wait_end(r);
    if (r->sink) work_later(http->pool, r->feeds->free, r->sink); /* it removes files */
    for (int i = 0; i < r->headers_count; i++) free(r->headers[i].value);
    if (r->stream) MHD_destroy_response(r->stream);
    free(r->idempotency_key);
    body_free(r);
    free(r->body.bytes);
    free(r->answer);
    memory_release(r);
    free(r->path);
    if (r->begun) atomic_fetch_sub(&http->active, 1);
    free(r);
    *state = NULL;
}

/* ---- start and stop --------------------------------------------------------------------------------------------------------------------------- */

/* libmicrohttpd says something in the thread of the connection concerned. Its text is not used: every vanished client would be a line. But before it
 * answers a malformed Content-Length, with two heads, it comes here: such a request is answered here, and its connection takes nothing more. */
static void daemon_log(void *context, const char *format, va_list arguments) {
    struct http *http = context;
    (void)format;
    (void)arguments;
    pthread_mutex_lock(&http->heads_lock);
    for (struct request *r = http->heads; r; r = r->next) {
        if (!pthread_equal(r->thread, pthread_self()) || r->stage == REQUEST_STREAMED || !framing_length_malformed(r)) continue;
        answer_problem(r, PROBLEM_bad_request, "expected one Content-Length, in digits");
        cut_off(r);
        shutdown(direct_socket(r->connection), SHUT_WR);
    }
    pthread_mutex_unlock(&http->heads_lock);
}

/* A NUL would cut the text short, "penguins%00x" would be "penguins": such a text stays as it was written. */
static size_t unescape(void *context, struct MHD_Connection *connection, char *text) {
    (void)context;
    (void)connection;
    return strstr(text, "%00") ? strlen(text) : MHD_http_unescape(text);
}

static struct MHD_OptionItem *tls_options(const struct server *server, struct MHD_OptionItem options[3]) {
    const bool tls = *server->settings.tls_cert != '\0';
    int count = 0;
    if (tls) options[count++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_CERT_CALLBACK2, 0, tls_retrieve_function()};
    if (tls) options[count++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)(uintptr_t)tls_priorities};
    options[count] = (struct MHD_OptionItem){MHD_OPTION_END, 0, NULL};
    return options;
}

/* The socket that the service manager has opened, or one of our own. -1 with the error. */
static int open_listener(struct server *server, struct bp_error *error) {
    const bool has_key = auth_has_key(server->auth);
    const int given = systemd_listener(error);
    if (given == -1) return listen_on(server->settings.listen, has_key, server->address, sizeof server->address, error);
    if (given < 0 || listen_given(given, has_key, server->address, sizeof server->address, error) != 0) return -1;
    log_line(LOG_INFO, "socket_given", "address", server->address, NULL);
    return given;
}

int http_start(struct server *server, const struct page_views *views, struct bp_error *error) {
    struct http *http = calloc(1, sizeof *http);
    if (!http) return bp_error_memory(error, "out of memory");
    http->server = server;
    http->swept_at = clock_ms();
    pthread_mutex_init(&http->heads_lock, NULL);
    if (getrandom(&http->id_base, sizeof http->id_base, 0) < 0) http->id_base = (uint64_t)clock_ns();
    http->listener = open_listener(server, error);
    if (http->listener < 0) goto failed;
    if (!(http->connections = connections_new(server))) {
        bp_error_memory(error, "out of memory");
        goto failed;
    }
    if (!(http->hub = hub_new(server, views)) || !(http->linger = linger_new())) {
        bp_error_io(error, "cannot start the threads of streams and closing connections: %s", strerror(errno));
        goto failed;
    }
    if (!(http->pool = work_new((int)server->settings.work_threads, error))) goto failed;
    server->http = http;
    unsigned threads = (unsigned)server->settings.http_threads, connections = (unsigned)server->settings.connections_max;
    const unsigned own = (unsigned)server->settings.connections_per_address, per_address = own ? own : connections - connections / 4;
    const unsigned flags =
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG | (*server->settings.tls_cert ? MHD_USE_TLS : 0u);
    struct MHD_OptionItem tls[3];
    http->daemon = MHD_start_daemon(flags, 0, NULL, NULL, handle, http, MHD_OPTION_EXTERNAL_LOGGER, daemon_log, http, MHD_OPTION_URI_LOG_CALLBACK,
                                    head_begins, http, MHD_OPTION_LISTEN_SOCKET, http->listener, MHD_OPTION_ARRAY, tls_options(server, tls),
                                    MHD_OPTION_THREAD_POOL_SIZE, threads > 1 ? threads : 0u, MHD_OPTION_CONNECTION_LIMIT,
                                    connections < threads ? threads : connections, MHD_OPTION_CONNECTION_TIMEOUT,
                                    (unsigned)server->settings.request_timeout, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HEAD_MEMORY,
                                    MHD_OPTION_NOTIFY_COMPLETED, completed, http, MHD_OPTION_NOTIFY_CONNECTION, connections_notify, http->connections,
                                    MHD_OPTION_PER_IP_CONNECTION_LIMIT, per_address, MHD_OPTION_UNESCAPE_CALLBACK, unescape, NULL, MHD_OPTION_END);
    if (http->daemon) return 0;
    bp_error_io(error, "cannot start the HTTP daemon: %s", strerror(errno));
failed:
    if (http->hub) {
        hub_stop(http->hub);
        hub_free(http->hub);
    }
    work_free(http->pool);
    linger_free(http->linger);
    connections_free(http->connections);
    if (http->listener >= 0) close(http->listener);
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
    work_stop(http->pool);
    close(MHD_quiesce_daemon(http->daemon)); /* MHD_stop_daemon would shut the socket down, for the service manager too */
    MHD_stop_daemon(http->daemon);
    work_free(http->pool);
    linger_free(http->linger);
}

void http_free(struct http *http) {
    if (http) connections_free(http->connections);
    free(http);
}

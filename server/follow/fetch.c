/* fetch.c - see fetch.h. The only file that knows libcurl, which is loaded when a server follows another: every other process starts without it. */
#define CURL_DISABLE_TYPECHECK
#include <curl/curl.h>

#include "server/follow/fetch.h"

#include "server/library.h"
#include "server/version.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
    CONNECT_MS = 5000,
    SILENCE_S = 15,        /* of a response */
    STREAM_SILENCE_S = 40, /* of a stream, whose server sends a comment every 15 s */
    BODY_S = 120,          /* for a body that is kept */
    SLOWEST = 1000,        /* bytes per second of one that is not */
    ROUND_MS = 1000
};

/* ---- the library -------------------------------------------------------------------------------------------------------------------------- */

#define FUNCTIONS(F)                                                                                                                                 \
    F(global_init)                                                                                                                                   \
    F(easy_init)                                                                                                                                     \
    F(easy_cleanup)                                                                                                                                  \
    F(easy_setopt)                                                                                                                                   \
    F(easy_getinfo)                                                                                                                                  \
    F(easy_reset)                                                                                                                                    \
    F(easy_strerror)                                                                                                                                 \
    F(multi_init)                                                                                                                                    \
    F(multi_cleanup)                                                                                                                                 \
    F(multi_add_handle)                                                                                                                              \
    F(multi_remove_handle)                                                                                                                           \
    F(multi_perform)                                                                                                                                 \
    F(multi_poll)                                                                                                                                    \
    F(multi_wakeup)                                                                                                                                  \
    F(multi_info_read)                                                                                                                               \
    F(slist_append)                                                                                                                                  \
    F(slist_free_all)

static struct {
#define MEMBER(name) __typeof__(curl_##name) *name;
    FUNCTIONS(MEMBER)
#undef MEMBER
} curl;

int fetch_library(struct bp_error *error) {
    static const char *const names[] = {"libcurl-gnutls.so.4", "libcurl.so.4"};
    void *library = NULL;
    if (curl.global_init) return 0;
    for (size_t i = 0; i < sizeof names / sizeof *names && !library; i++) library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return bp_error_unsupported(error, "", "--follow needs %s, which is not installed; the Debian package libcurl3-gnutls has it", names[0]);
#define LOAD(name)                                                                                                                                   \
    if (!library_find(library, "curl_" #name, &curl.name))                                                                                           \
        return bp_error_unsupported(error, "", "the installed libcurl has no function curl_" #name ": version 7.68 or later is needed");
    FUNCTIONS(LOAD)
#undef LOAD
    if (curl.global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK) return 0;
    curl.global_init = NULL;
    return bp_error_unsupported(error, "", "libcurl cannot be started");
}

int fetch_url_check(const char *url, struct bp_error *error) {
    const char *rest = strncmp(url, "http://", 7) == 0 ? url + 7 : strncmp(url, "https://", 8) == 0 ? url + 8 : NULL;
    const size_t host = rest ? strcspn(rest, "/") : 0;
    bool plain = host > 0 && strlen(url) < 400;
    for (const char *c = url; *c; c++) plain = plain && *c > ' ' && *c < 127 && !strchr("?#@\"<>\\^`{|}", *c);
    if (plain) return 0;
    return bp_error_set(error, "", "--follow expects the address of a server, like http://host:8080 or https://host/prefix, got \"%.100s\"", url);
}

/* ---- one server ---------------------------------------------------------------------------------------------------------------------------- */

struct fetch {
    struct fetch_options options;
    char url[512]; /* without a slash at its end */
    CURLM *multi;
    CURL *easy;
    char reason[CURL_ERROR_SIZE];
};

struct fetch *fetch_new(const struct fetch_options *options, struct bp_error *error) {
    struct fetch *fetch = calloc(1, sizeof *fetch);
    if (!fetch) return bp_error_memory(error, "out of memory"), NULL;
    fetch->options = *options;
    snprintf(fetch->url, sizeof fetch->url, "%s", options->url);
    for (size_t n = strlen(fetch->url); n > 0 && fetch->url[n - 1] == '/'; n--) fetch->url[n - 1] = '\0';
    fetch->multi = curl.multi_init();
    fetch->easy = curl.easy_init();
    if (fetch->multi && fetch->easy) return fetch;
    fetch_free(fetch);
    return bp_error_memory(error, "out of memory"), NULL;
}

void fetch_free(struct fetch *fetch) {
    if (!fetch) return;
    if (fetch->easy) curl.easy_cleanup(fetch->easy);
    if (fetch->multi) curl.multi_cleanup(fetch->multi);
    free(fetch);
}

void fetch_wake(struct fetch *fetch) {
    curl.multi_wakeup(fetch->multi);
}

/* ---- a request ----------------------------------------------------------------------------------------------------------------------------- */

struct transfer {
    struct fetch *fetch;
    const struct fetch_request *request;
    struct fetch_response *response;
    struct bp_error *error;
    bool failed; /* by sink, turn, or a body that is too large */
};

/* The value of a header without quotes and blanks at its ends, if the line has that name. */
static void keep_header(const char *line, size_t size, const char *name, char *value, size_t room) {
    const size_t n = strlen(name);
    if (size <= n || strncasecmp(line, name, n) != 0 || line[n] != ':') return;
    const char *from = line + n + 1, *to = line + size;
    while (from < to && strchr(" \t\"", *from)) from++;
    while (to > from && strchr(" \t\r\n\"", to[-1])) to--;
    snprintf(value, room, "%.*s", (int)(to - from), from);
}

static size_t take_header(char *line, size_t size, size_t count, void *context) {
    struct transfer *t = context;
    if (size * count > 5 && strncmp(line, "HTTP/", 5) == 0) t->response->etag[0] = '\0'; /* of an interim response */
    keep_header(line, size * count, "ETag", t->response->etag, sizeof t->response->etag);
    return size * count;
}

static size_t take_body(char *bytes, size_t size, size_t count, void *context) {
    struct transfer *t = context;
    long status = 0;
    curl.easy_getinfo(t->fetch->easy, CURLINFO_RESPONSE_CODE, &status);
    if (t->request->sink && status == 200) {
        t->failed = t->request->sink(t->request->context, bytes, size * count, t->error) != 0;
        return t->failed ? 0 : size * count;
    }
    schema_text_add(&t->response->body, bytes, size * count);
    if (!t->response->body.failed) return size * count;
    t->failed = true;
    bp_error_set(t->error, "", "the response to GET %.200s is larger than %zu MB", t->request->path, t->response->body.limit >> 20);
    return 0;
}

static void set_limits(CURL *easy, const struct fetch_request *q) {
    curl.easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
    curl.easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, (long)(q->sink && !q->turn ? SLOWEST : 1));
    curl.easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, (long)(q->turn ? STREAM_SILENCE_S : SILENCE_S));
    if (!q->sink) curl.easy_setopt(easy, CURLOPT_TIMEOUT, (long)BODY_S);
    curl.easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl.easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl.easy_setopt(easy, CURLOPT_PROXY, "");
    curl.easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl.easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    if (q->ca_file && *q->ca_file) curl.easy_setopt(easy, CURLOPT_CAINFO, q->ca_file);
}

/* NULL: no memory. */
static struct curl_slist *headers_of(const struct fetch_request *q) {
    char text[700];
    struct curl_slist *list = curl.slist_append(NULL, q->turn ? "Accept: text/event-stream" : "Accept: application/json, application/octet-stream");
    snprintf(text, sizeof text, "Authorization: Bearer %.600s", q->key ? q->key : "");
    struct curl_slist *longer = list && q->key ? curl.slist_append(list, text) : list;
    if (list && !longer) curl.slist_free_all(list);
    return longer;
}

/* Until the response has come, or it was ended. */
static CURLcode perform(struct transfer *t) {
    struct fetch *f = t->fetch;
    CURLcode code = CURLE_ABORTED_BY_CALLBACK;
    int running = 1, left;
    while (running && !t->failed && !f->options.stop(f->options.context)) {
        if (curl.multi_perform(f->multi, &running) != CURLM_OK) return CURLE_FAILED_INIT;
        for (CURLMsg *message; (message = curl.multi_info_read(f->multi, &left));)
            if (message->msg == CURLMSG_DONE) code = message->data.result;
        if (t->request->turn && t->response->body.size == 0 && !t->failed) t->failed = t->request->turn(t->request->context, t->error) != 0;
        if (running && !t->failed) curl.multi_poll(f->multi, NULL, 0, ROUND_MS, NULL);
    }
    return code;
}

int fetch_get(struct fetch *f, const struct fetch_request *q, struct fetch_response *r, struct bp_error *error) {
    struct transfer t = {.fetch = f, .request = q, .response = r, .error = error};
    char url[1200];
    long status = 0;
    *r = (struct fetch_response){.body = {.limit = q->body_max ? q->body_max : 64 << 10}};
    struct curl_slist *headers = headers_of(q);
    if (!headers) return bp_error_memory(error, "out of memory");
    snprintf(url, sizeof url, "%s%s", f->url, q->path);
    curl.easy_reset(f->easy);
    f->reason[0] = '\0';
    set_limits(f->easy, q);
    curl.easy_setopt(f->easy, CURLOPT_URL, url);
    curl.easy_setopt(f->easy, CURLOPT_HTTPHEADER, headers);
    curl.easy_setopt(f->easy, CURLOPT_USERAGENT, "backpropd/" BACKPROPD_VERSION " replica");
    curl.easy_setopt(f->easy, CURLOPT_ERRORBUFFER, f->reason);
    curl.easy_setopt(f->easy, CURLOPT_WRITEFUNCTION, take_body);
    curl.easy_setopt(f->easy, CURLOPT_WRITEDATA, &t);
    curl.easy_setopt(f->easy, CURLOPT_HEADERFUNCTION, take_header);
    curl.easy_setopt(f->easy, CURLOPT_HEADERDATA, &t);
    CURLcode code = CURLE_FAILED_INIT;
    if (curl.multi_add_handle(f->multi, f->easy) == CURLM_OK) {
        code = perform(&t);
        curl.easy_getinfo(f->easy, CURLINFO_RESPONSE_CODE, &status);
        curl.multi_remove_handle(f->multi, f->easy);
    }
    curl.slist_free_all(headers);
    r->status = (int)status;
    if (t.failed || f->options.stop(f->options.context)) return -1;
    if (code == CURLE_OK) return 0;
    return bp_error_io(error, "%s: %s", f->url, f->reason[0] ? f->reason : curl.easy_strerror(code));
}

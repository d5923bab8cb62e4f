/* doctor_url.c - see doctor_url.h. Each check is a function that reports one or more lines; it changes nothing on the server. */
#include "server/commands/doctor_url.h"

#include "server/auth/auth.h"
#include "server/commands/client.h"
#include "server/version.h"

#include <jansson.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

enum { ROUNDS = 5, LARGE_BODY = 2 << 20, SKEW_WARNING_S = 5, SLOW_MS = 200, EXPIRES_SOON_DAYS = 14 };

enum verdict { OK, WARNING, FAULT };

struct doctor {
    struct client client;
    const struct doctor_url *options;
    int warnings, faults;
    bool may_read, may_predict;
};

__attribute__((format(printf, 4, 5))) static void report(struct doctor *d, enum verdict verdict, const char *what, const char *format, ...) {
    static const char *const names[] = {"ok", "warning", "fault"};
    va_list arguments;
    printf("%-8s %-12s ", names[verdict], what);
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    printf("\n");
    fflush(stdout);
    if (verdict == WARNING) d->warnings++;
    if (verdict == FAULT) d->faults++;
}

/* False: reported as a fault. Cleared by the caller in any case. */
static bool ask(struct doctor *d, const char *what, const struct client_request *request, struct client_response *response) {
    struct bp_error error = {0};
    if (client_send(&d->client, request, response, &error) == 0) return true;
    report(d, FAULT, what, "%s", error.message);
    return false;
}

static json_t *json_of(const struct client_response *r) {
    return r->body ? json_loadb(r->body, r->body_size, 0, NULL) : NULL;
}

/* Every response of backpropd has one. */
static bool is_ours(const struct client_response *r) {
    char id[80];
    return client_header(r, "X-Request-Id", id, sizeof id) && strncmp(id, "req_", 4) == 0;
}

/* A member of the problem in the response; "" when there is none. */
static void problem_of(const struct client_response *r, const char *member, char *text, size_t size) {
    json_t *json = json_of(r);
    const char *value = json_string_value(json_object_get(json, member));
    snprintf(text, size, "%s", value ? value : "");
    json_decref(json);
}

static bool has_code(const struct client_response *r, const char *code) {
    char got[64];
    problem_of(r, "code", got, sizeof got);
    return strcmp(got, code) == 0;
}

static bool is_loopback(const struct client *c) {
    return strcasecmp(c->host, "localhost") == 0 || strncmp(c->host, "127.", 4) == 0 || strcmp(c->host, "::1") == 0;
}

/* ---- the way there -------------------------------------------------------------------------------------------------------------------------- */

static void check_tls(struct doctor *d, const struct client_response *r) {
    const double days = (double)(r->expires_at - (int64_t)time(NULL)) / 86400;
    if (!d->client.tls && !is_loopback(&d->client)) {
        report(d, WARNING, "tls", "requests and keys cross the network unencrypted: use https, with --tls-cert or a proxy");
    } else if (d->client.tls && r->expires_at && days < 0) {
        report(d, FAULT, "tls", "the certificate expired %.0f days ago: renew it, and reload the server with SIGHUP", -days);
    } else if (d->client.tls && !r->trusted) {
        report(d, FAULT, "tls", "the certificate is not trusted: %s Use one from a known authority for %s, or name its authority with --ca-file",
               r->distrust, d->client.host);
    } else if (d->client.tls && r->expires_at && days < EXPIRES_SOON_DAYS) {
        report(d, WARNING, "tls", "the certificate expires in %.0f days: renew it", floor(days));
    } else if (d->client.tls) {
        report(d, OK, "tls", "%s, certificate trusted, valid for %.0f days", r->tls_version, floor(days));
    }
}

/* False: nothing else can be checked. */
static bool check_alive(struct doctor *d) {
    const struct client_request livez = {.method = "GET", .path = "/livez", .without_key = true};
    struct client_response r;
    char detail[400];
    bool good = ask(d, "reachable", &livez, &r);
    if (!good) {
        client_clear(&r);
        return false;
    }
    check_tls(d, &r);
    problem_of(&r, "detail", detail, sizeof detail);
    good = r.status == 200 && is_ours(&r);
    if (good) report(d, OK, "reachable", "%s, connected in %.1f ms", d->client.authority, r.connect_ms);
    else if (is_ours(&r) && has_code(&r, "forbidden_host"))
        report(d, FAULT, "host", "the server refuses this name: start it with --allow-host %s, or have the proxy send a name that is allowed",
               d->client.host);
    else if (is_ours(&r)) report(d, FAULT, "reachable", "GET /livez returned %d: %s", r.status, detail);
    else
        report(d, FAULT, "reachable", "something answers (status %d), but not backpropd: check the address, and where the proxy sends %s/livez",
               r.status, d->client.prefix);
    client_clear(&r);
    return good;
}

static int ascending(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void check_latency(struct doctor *d) {
    const struct client_request livez = {.method = "GET", .path = "/livez", .without_key = true};
    double ms[ROUNDS];
    for (int i = 0; i < ROUNDS; i++) {
        struct client_response r;
        const bool good = ask(d, "latency", &livez, &r);
        ms[i] = r.head_ms;
        client_clear(&r);
        if (!good) return;
    }
    qsort(ms, ROUNDS, sizeof *ms, ascending);
    report(d, ms[ROUNDS / 2] < SLOW_MS ? OK : WARNING, "latency", "response heads within %.1f ms (median of %d), %.1f ms at most%s", ms[ROUNDS / 2],
           ROUNDS, ms[ROUNDS - 1], ms[ROUNDS / 2] < SLOW_MS ? "" : ": the server is far away or overloaded; see backpropd_http_requests_in_flight");
}

static void check_ready(struct doctor *d) {
    const struct client_request readyz = {.method = "GET", .path = "/readyz", .without_key = true};
    struct client_response r;
    char detail[400];
    if (ask(d, "ready", &readyz, &r)) {
        problem_of(&r, "detail", detail, sizeof detail);
        if (r.status == 200 && is_ours(&r)) report(d, OK, "ready", "the server is ready");
        else report(d, FAULT, "ready", "GET /readyz returned %d: %s", r.status, *detail ? detail : "not from backpropd");
    }
    client_clear(&r);
}

/* The Date of a response has whole seconds, and the way back took some time. */
static void check_clock(struct doctor *d) {
    const struct client_request livez = {.method = "GET", .path = "/livez", .without_key = true};
    struct client_response r;
    struct tm utc = {0};
    char date[64];
    if (ask(d, "clock", &livez, &r)) {
        const bool dated = client_header(&r, "Date", date, sizeof date) && strptime(date, "%a, %d %b %Y %H:%M:%S GMT", &utc);
        const double skew = dated ? difftime(timegm(&utc), time(NULL)) : 0;
        if (!dated) report(d, WARNING, "clock", "the response has no Date: a proxy removes it");
        else if (fabs(skew) > SKEW_WARNING_S)
            report(d, WARNING, "clock", "the server's clock is %.0f s %s: times in logs and events do not agree with this machine's; use NTP on both",
                   fabs(skew), skew > 0 ? "ahead" : "behind");
        else report(d, OK, "clock", "agrees within %d s", SKEW_WARNING_S);
    }
    client_clear(&r);
}

/* ---- who may do what -------------------------------------------------------------------------------------------------------------------------- */

/* Whether the key suffices for a request that changes nothing. */
static bool allows(struct doctor *d, const char *method, const char *path) {
    const bool posts = strcmp(method, "POST") == 0;
    const struct client_request request = {
        .method = method, .path = path, .body = posts ? "{}" : NULL, .body_size = posts ? 2 : 0, .content_type = "application/json"};
    struct client_response r;
    struct bp_error ignored = {0};
    const bool allowed = client_send(&d->client, &request, &r, &ignored) == 0 && is_ours(&r) && r.status != 401 && r.status != 403 && r.status != 429;
    client_clear(&r);
    return allowed;
}

static void check_scope(struct doctor *d) {
    d->may_read = allows(d, "GET", "/v1/server");
    d->may_predict = allows(d, "POST", "/v1/models/backpropd-doctor/predict");
    const bool may_train = allows(d, "POST", "/v1/jobs");
    report(d, OK, "key", "accepted; it may %s%s%s", d->may_read ? "read" : "", d->may_predict ? d->may_read ? ", predict" : "predict" : "",
           may_train                         ? ", train"
           : !d->may_read && !d->may_predict ? "do nothing that is checked here"
                                             : "");
}

/* With the key of the command line. */
static void check_given_key(struct doctor *d) {
    const struct client_request server = {.method = "GET", .path = "/v1/server"};
    struct client_response r;
    char detail[400];
    if (ask(d, "key", &server, &r)) {
        problem_of(&r, "detail", detail, sizeof detail);
        if (r.status == 401)
            report(d, FAULT, "key", "not accepted (%s): it is wrong, expired or revoked, or a proxy removes the header Authorization",
                   *detail ? detail : "no reason given");
        else if (r.status == 429) report(d, FAULT, "key", "%s", detail);
        else check_scope(d);
    }
    client_clear(&r);
}

static void check_key(struct doctor *d) {
    const struct client_request open = {.method = "GET", .path = "/v1/server", .without_key = true};
    struct client_response r;
    const bool answered = ask(d, "key", &open, &r);
    const int status = r.status;
    client_clear(&r);
    if (!answered) return;
    if (status == 200) {
        d->may_read = d->may_predict = true;
        if (is_loopback(&d->client)) report(d, OK, "key", "none is required");
        else report(d, WARNING, "key", "none is required: everyone who reaches this address may do everything; make one with backpropd keys create");
    } else if (status != 401) {
        report(d, FAULT, "key", "GET /v1/server returned %d", status);
    } else if (!d->client.key) {
        report(d, WARNING, "key", "the server requires one: give --api-key-file to check the rest");
    } else {
        check_given_key(d);
    }
}

static void check_origin(struct doctor *d) {
    char headers[400], allowed[300];
    const struct client_request preflight = {.method = "OPTIONS", .path = "/v1/jobs", .headers = headers, .without_key = true};
    struct client_response r;
    if (!d->options->origin) return;
    snprintf(headers, sizeof headers, "Origin: %.200s\r\nAccess-Control-Request-Method: POST\r\n", d->options->origin);
    if (ask(d, "origin", &preflight, &r)) {
        const char *value = client_header(&r, "Access-Control-Allow-Origin", allowed, sizeof allowed);
        if (r.status < 300 && value && (strcmp(value, d->options->origin) == 0 || strcmp(value, "*") == 0))
            report(d, OK, "origin", "pages of %s may call the server", d->options->origin);
        else
            report(d, FAULT, "origin", "browsers refuse calls from pages of %s: start the server with --cors-origin %s%s", d->options->origin,
                   d->options->origin, is_ours(&r) ? "" : ", and have the proxy pass OPTIONS on");
    }
    client_clear(&r);
}

/* ---- what it does ---------------------------------------------------------------------------------------------------------------------------------
 */

static void check_version(struct doctor *d) {
    const struct client_request server = {.method = "GET", .path = "/v1/server"};
    struct client_response r;
    if (d->may_read && ask(d, "version", &server, &r)) {
        json_t *json = json_of(&r);
        const char *version = json_string_value(json_object_get(json, "version"));
        if (!version) report(d, FAULT, "version", "GET /v1/server returned %d without a version", r.status);
        else if (strcmp(version, BACKPROPD_VERSION) != 0)
            report(d, WARNING, "version", "the server is %s, this program is " BACKPROPD_VERSION, version);
        else report(d, OK, "version", "%s", version);
        json_decref(json);
        client_clear(&r);
    }
}

/* The first model with a version, "": there is none. */
static void find_model(struct doctor *d, char name[80]) {
    const struct client_request models = {.method = "GET", .path = "/v1/models?limit=100"};
    struct client_response r;
    struct bp_error ignored = {0};
    name[0] = '\0';
    if (d->may_read && client_send(&d->client, &models, &r, &ignored) == 0) {
        json_t *json = json_of(&r), *model;
        size_t i;
        json_array_foreach(json_object_get(json, "data"), i, model) if (!name[0] && json_is_integer(json_object_get(model, "latest_version")))
            snprintf(name, 80, "%s", json_string_value(json_object_get(model, "name")));
        json_decref(json);
        client_clear(&r);
    }
}

/* A model of its own choice may not take an instance without values: it has read the request, which is what counts. */
static void check_predict(struct doctor *d) {
    static const char instance[] = "{\"instances\":[{}]}";
    char name[80], path[160];
    if (!d->may_predict) return;
    find_model(d, name);
    snprintf(path, sizeof path, "/v1/models/%s/predict", name[0] ? name : "backpropd-doctor");
    const struct client_request predict = {
        .method = "POST", .path = path, .body = instance, .body_size = sizeof instance - 1, .content_type = "application/json"};
    struct client_response r;
    if (ask(d, "predict", &predict, &r)) {
        if (!is_ours(&r)) report(d, FAULT, "predict", "POST %s returned %d, not from backpropd: have the proxy pass POST on", path, r.status);
        else if (r.status == 200) report(d, OK, "predict", "model %s answers in %.1f ms", name, r.head_ms);
        else if (r.status == 422 || r.status == 404)
            report(d, OK, "predict", "%s%s was reached in %.1f ms", name[0] ? "model " : "the route", name, r.head_ms);
        else report(d, FAULT, "predict", "POST %s returned %d", path, r.status);
    }
    client_clear(&r);
}

/* The request is refused by the server after its body has come, or by a proxy before. */
static void check_body(struct doctor *d) {
    char *body = d->may_predict ? malloc(LARGE_BODY) : NULL;
    const struct client_request large = {
        .method = "POST", .path = "/v1/models/backpropd-doctor/predict", .body = body, .body_size = LARGE_BODY, .content_type = "application/json"};
    struct client_response r;
    if (!body) return;
    memset(body, ' ', LARGE_BODY);
    memcpy(body, "{}", 2);
    if (ask(d, "body", &large, &r)) {
        if (is_ours(&r) && r.status != 413) report(d, OK, "body", "requests of 2 MB pass");
        else if (is_ours(&r)) report(d, WARNING, "body", "requests of 2 MB are refused by the server: see the setting body_max");
        else
            report(d, WARNING, "body", "requests of 2 MB are refused on the way (status %d): raise the proxy's limit (nginx: client_max_body_size)",
                   r.status);
    }
    client_clear(&r);
    free(body);
}

/* Whether there is an event with a larger id. -1: cannot be read. */
static int has_events_after(struct doctor *d, long long id) {
    char path[80];
    struct client_response r;
    struct bp_error ignored = {0};
    snprintf(path, sizeof path, "/v1/events?limit=1&after=%lld", id);
    const struct client_request events = {.method = "GET", .path = path};
    int found = -1;
    if (client_send(&d->client, &events, &r, &ignored) == 0 && r.status == 200) {
        json_t *json = json_of(&r);
        found = json_array_size(json_object_get(json, "data")) > 0;
        json_decref(json);
    }
    client_clear(&r);
    return found;
}

/* The id of the newest event; 0: there is none. */
static long long newest_event(struct doctor *d) {
    long long low = 0, high = 1;
    if (has_events_after(d, 0) != 1) return 0;
    while (has_events_after(d, high) == 1 && high < 1LL << 60) low = high, high *= 2;
    while (high - low > 1) {
        const long long middle = low + (high - low) / 2;
        if (has_events_after(d, middle) == 1) low = middle;
        else high = middle;
    }
    return high;
}

/* One small event is due at once. A proxy that buffers keeps it until it has more, or until the end, which never comes. */
static void check_stream(struct doctor *d) {
    char headers[80];
    const struct client_request stream = {.method = "GET", .path = "/v1/events", .headers = headers, .first_bytes = true};
    struct client_response r;
    struct bp_error error = {0};
    const long long newest = d->may_read ? newest_event(d) : 0;
    if (!d->may_read) return;
    if (newest == 0) {
        report(d, OK, "events", "not checked: there are no events yet");
        return;
    }
    snprintf(headers, sizeof headers, "Accept: text/event-stream\r\nLast-Event-ID: %lld\r\n", newest - 1);
    const bool answered = client_send(&d->client, &stream, &r, &error) == 0;
    if (!answered && !r.timed_out) {
        report(d, FAULT, "events", "%s", error.message);
    } else {
        if (r.status == 503) report(d, WARNING, "events", "the server has too many open streams: see the setting streams_max");
        else if (answered && r.status != 200) report(d, FAULT, "events", "GET /v1/events returned %d", r.status);
        else if (r.body_size == 0)
            report(d, FAULT, "events", "an event did not come at once: switch off the proxy's buffering of responses (nginx: proxy_buffering off)");
        else report(d, OK, "events", "an event comes %.1f ms after the head", r.body_ms);
    }
    client_clear(&r);
}

int doctor_url(const struct doctor_url *options) {
    struct doctor d = {.options = options};
    struct bp_error error = {0};
    int status = client_parse(&d.client, options->url, &error) != 0 ? 2 : 0;
    d.client.ca_file = options->ca_file;
    if (!status && options->key_file && auth_file_read(options->key_file, &d.client.key, &error) != 0) status = 2;
    if (status) {
        fprintf(stderr, "backpropd doctor: %s\n", error.message);
        return status;
    }
    if (options->ready_only) {
        check_ready(&d);
    } else if (check_alive(&d)) {
        check_latency(&d);
        check_ready(&d);
        check_clock(&d);
        check_key(&d);
        check_version(&d);
        check_origin(&d);
        check_predict(&d);
        check_body(&d);
        check_stream(&d);
    }
    if (!options->ready_only) printf("%d fault%s, %d warning%s\n", d.faults, d.faults == 1 ? "" : "s", d.warnings, d.warnings == 1 ? "" : "s");
    free(d.client.key);
    return d.faults ? 1 : 0;
}

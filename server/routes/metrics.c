/* metrics.c - GET /metrics: what the server has counted and what it holds now, for Prometheus. One function for each source of
 * server/ops/metrics.def. */
#include "server/follow/follower.h"
#include "server/http/answer.h"
#include "server/http/http.h"
#include "server/http/request.h"

#include "engine/kernels/kernels.h"
#include "schema/gzip.h"
#include "server/jobs/supervisor.h"
#include "server/log.h"
#include "server/model_cache.h"
#include "server/ops/exposition.h"
#include "server/ops/metrics.h"
#include "server/ops/process.h"
#include "server/routes/drift_view.h"
#include "server/store/sweeps.h"
#include "server/version.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MODELS_MAX = 100, TEXT_MAX = 16 << 20 };

/* All that is read once for a response. */
struct scrape {
    struct server *server;
    struct metrics *metrics;
    struct schema_text *out;
    enum metric metric; /* that is written */
    const char *name;
    struct http_statistics http;
    struct store_space space;
    struct process_usage process;
    struct model_cache_statistics cache;
    struct model_statistics *models;
    int models_count;
};

static void value(const struct scrape *s, double v) {
    exposition_value(s->out, s->name, NULL, v);
}

static uint64_t count_of(const atomic_uint_fast64_t *count) {
    return atomic_load_explicit(count, memory_order_relaxed);
}

static void counter(const struct scrape *s) {
    value(s, (double)count_of(&s->metrics->counters[s->metric]));
}

/* ---- the program and its process ---------------------------------------------------------------------------------------------------------- */

static void build(const struct scrape *s) {
    exposition_value(s->out, s->name, LABELS("version", BACKPROPD_VERSION, "kernels", bp_kernels_name(), "blas", bp_blas_name()), 1);
}

static void reload(const struct scrape *s) {
    value(s, !atomic_load(&s->server->reload_failed));
}

static void cpu(const struct scrape *s) {
    value(s, s->process.cpu_seconds);
}

static void log_lines_lost(const struct scrape *s) {
    value(s, (double)log_lost());
}

static void max_fds(const struct scrape *s) {
    value(s, (double)s->process.files_max);
}

static void open_fds(const struct scrape *s) {
    value(s, (double)s->process.open_files);
}

static void resident(const struct scrape *s) {
    value(s, (double)s->process.resident_bytes);
}

static void start_time(const struct scrape *s) {
    value(s, s->process.started_at);
}

static void threads(const struct scrape *s) {
    value(s, (double)s->process.threads);
}

static void virtual_memory(const struct scrape *s) {
    value(s, (double)s->process.virtual_bytes);
}

/* ---- HTTP --------------------------------------------------------------------------------------------------------------------------------- */

static void connections(const struct scrape *s) {
    value(s, (double)s->http.connections);
}

static void connections_limit(const struct scrape *s) {
    value(s, (double)s->server->settings.connections_max);
}

static void in_flight(const struct scrape *s) {
    value(s, (double)s->http.in_flight);
}

static void streams(const struct scrape *s) {
    value(s, (double)s->http.streams);
}

static void streams_limit(const struct scrape *s) {
    value(s, (double)s->server->settings.streams_max);
}

static void work_queue(const struct scrape *s) {
    value(s, (double)s->http.queued);
}

static void work_threads(const struct scrape *s) {
    value(s, (double)s->server->settings.work_threads);
}

static void requests_memory(const struct scrape *s) {
    value(s, (double)atomic_load(&s->server->memory_reserved));
}

static void requests_memory_limit(const struct scrape *s) {
    value(s, (double)s->server->settings.requests_memory_max);
}

/* Series that are 0 are left out: most pairs of route and status never occur. */
static void requests(const struct scrape *s) {
    static const char *const statuses[METRIC_STATUSES] = {"aborted", "1xx", "2xx", "3xx", "4xx", "5xx"};
    for (int i = 0; i <= s->metrics->routes_count; i++) {
        const char *route = i < s->metrics->routes_count ? routes[i]->path : "none";
        for (int k = 0; k < METRIC_METHODS * METRIC_STATUSES; k++) {
            const int method = k / METRIC_STATUSES, status = k % METRIC_STATUSES;
            const uint64_t count = count_of(&s->metrics->routes[i].requests[method][status]);
            if (count)
                exposition_value(s->out, s->name, LABELS("route", route, "method", metric_methods[method], "status", statuses[status]),
                                 (double)count);
        }
    }
}

static void request_durations(const struct scrape *s) {
    for (int i = 0; i < s->metrics->routes_count; i++) {
        struct histogram_values values;
        histogram_read(&s->metrics->routes[i].durations, &values);
        if (values.total)
            exposition_histogram(s->out, s->name, LABELS("route", routes[i]->path, "method", routes[i]->method), histogram_request_bounds, &values);
    }
}

static void problems(const struct scrape *s) {
    static const char *const codes[] = {
#define PROBLEM(code, status, title) #code,
#include "server/problems.def"
#undef PROBLEM
    };
    for (int i = 0; i < METRIC_PROBLEMS; i++) exposition_value(s->out, s->name, LABELS("code", codes[i]), (double)count_of(&s->metrics->problems[i]));
}

/* ---- jobs --------------------------------------------------------------------------------------------------------------------------------- */

static void jobs(const struct scrape *s) {
    int64_t counts[STORE_STATUS_COUNT] = {0};
    struct bp_error ignored = {0};
    if (store_job_counts(s->server->store, counts, &ignored) != STORE_OK) return; /* absent, not 0 */
    for (int i = 0; i < STORE_STATUS_COUNT; i++)
        exposition_value(s->out, s->name, LABELS("status", store_status_name((enum store_status)i)), (double)counts[i]);
}

static void job_durations(const struct scrape *s) {
    static const enum store_status ends[] = {STORE_CANCELLED, STORE_JOB_FAILED, STORE_SUCCEEDED};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        struct histogram_values values;
        histogram_read(&s->metrics->job_durations[ends[i]], &values);
        exposition_histogram(s->out, s->name, LABELS("status", store_status_name(ends[i])), histogram_job_bounds, &values);
    }
}

static void job_waits(const struct scrape *s) {
    struct histogram_values values;
    histogram_read(&s->metrics->job_waits, &values);
    exposition_histogram(s->out, s->name, NULL, histogram_job_bounds, &values);
}

static void workers(const struct scrape *s) {
    value(s, supervisor_slots(s->server->supervisor));
}

static void sweeps(const struct scrape *s) {
    int64_t count = 0;
    struct bp_error error = {0};
    if (store_sweeps_running(s->server->store, &count, &error) == STORE_OK) value(s, (double)count);
}

static void workers_busy(const struct scrape *s) {
    value(s, supervisor_running(s->server->supervisor));
}

/* ---- a replica -----------------------------------------------------------------------------------------------------------------------------------
 */

static void replica_changes(const struct scrape *s) {
    struct follower_status status;
    if (!s->server->follower) return;
    follower_status(s->server->follower, &status);
    value(s, (double)status.behind_changes);
}

static void replica_connected(const struct scrape *s) {
    struct follower_status status;
    if (!s->server->follower) return;
    follower_status(s->server->follower, &status);
    value(s, status.connected);
}

static void replica_lag(const struct scrape *s) {
    struct follower_status status;
    if (!s->server->follower) return;
    follower_status(s->server->follower, &status);
    value(s, status.behind_seconds);
}

static void replica_errors(const struct scrape *s) {
    struct follower_status status;
    if (!s->server->follower) return;
    follower_status(s->server->follower, &status);
    value(s, (double)status.errors);
}

/* ---- models and disk -------------------------------------------------------------------------------------------------------------------------- */

static void cache_bytes(const struct scrape *s) {
    value(s, (double)s->cache.bytes);
}

static void cache_evictions(const struct scrape *s) {
    value(s, (double)s->cache.evictions);
}

static void cache_limit(const struct scrape *s) {
    value(s, (double)s->cache.bytes_max);
}

static void cache_loads(const struct scrape *s) {
    value(s, (double)s->cache.loads);
}

static void cache_models(const struct scrape *s) {
    value(s, (double)s->cache.models);
}

static void predictions(const struct scrape *s) {
    for (int i = 0; i < s->models_count; i++) {
        char version[24];
        snprintf(version, sizeof version, "%lld", (long long)s->models[i].version);
        exposition_histogram(s->out, s->name, LABELS("model", s->models[i].name, "version", version), histogram_request_bounds,
                             &s->models[i].durations);
    }
}

enum { DRIFT_SHOWN = 20, DRIFT_FEATURES_MAX = 200 };

static void drift_psi(const struct scrape *s) {
    struct drift_seen seen[DRIFT_SHOWN];
    struct drift_index *indices = malloc(DRIFT_FEATURES_MAX * sizeof *indices);
    const int versions = s->server->drift && indices ? drift_seen(s->server->drift, seen, DRIFT_SHOWN) : 0;
    for (int i = 0; i < versions; i++) {
        char version[24];
        snprintf(version, sizeof version, "%lld", (long long)seen[i].version);
        const int count = drift_indices(s->server->drift, seen[i].model, seen[i].version, indices, (int)s->server->settings.drift_metrics_features);
        for (int k = 0; k < count; k++)
            exposition_value(s->out, s->name, LABELS("model", seen[i].model, "version", version, "feature", indices[k].feature), indices[k].index);
    }
    free(indices);
}

static void drift_rows(const struct scrape *s) {
    struct drift_seen seen[DRIFT_SHOWN];
    const int versions = s->server->drift ? drift_seen(s->server->drift, seen, DRIFT_SHOWN) : 0;
    for (int i = 0; i < versions; i++) {
        char version[24];
        snprintf(version, sizeof version, "%lld", (long long)seen[i].version);
        exposition_value(s->out, s->name, LABELS("model", seen[i].model, "version", version), (double)seen[i].rows);
    }
}

static void database(const struct scrape *s) {
    value(s, (double)s->space.database_bytes);
}

static void disk_free(const struct scrape *s) {
    value(s, (double)s->space.free_bytes);
}

static void disk_used(const struct scrape *s) {
    value(s, (double)s->space.used_bytes);
}

/* ---- the response -------------------------------------------------------------------------------------------------------------------------------
 */

enum type { COUNTER, GAUGE, HISTOGRAM };

static const struct row {
    const char *name, *help;
    enum type type;
    void (*write)(const struct scrape *scrape);
} rows[METRIC_COUNT] = {
#define METRIC(name, type, source, labels, help) {#name, help, type, source},
#include "server/ops/metrics.def"
#undef METRIC
};

/* Replaces the text by its compressed form. False: it stays as it is. */
static bool compress(struct schema_text *text) {
    struct schema_text packed = {.limit = text->limit};
    struct schema_gzip *gzip = schema_gzip_new();
    const char *piece;
    size_t size;
    bool good = gzip && schema_gzip_add(gzip, text->bytes, text->size, &piece, &size) == 0;
    if (good) schema_text_add(&packed, piece, size);
    good = good && schema_gzip_add(gzip, NULL, 0, &piece, &size) == 0;
    if (good) schema_text_add(&packed, piece, size);
    schema_gzip_free(gzip);
    good = good && !packed.failed;
    free(good ? text->bytes : packed.bytes);
    if (good) *text = packed;
    return good;
}

static void metrics(struct request *r) {
    static const char *const types[] = {"counter", "gauge", "histogram"};
    struct schema_text out = {.limit = TEXT_MAX};
    struct scrape s = {.server = r->server, .metrics = r->server->metrics, .out = &out};
    s.models = calloc(MODELS_MAX, sizeof *s.models);
    if (s.models) s.models_count = model_cache_statistics(r->server->model_cache, &s.cache, s.models, MODELS_MAX);
    http_statistics(r->server->http, &s.http);
    store_space(r->server->store, &s.space);
    process_usage_read(&s.process);
    for (int i = 0; i < METRIC_COUNT && s.models; i++) {
        s.metric = (enum metric)i;
        s.name = rows[i].name;
        exposition_begin(&out, rows[i].name, types[rows[i].type], rows[i].help);
        rows[i].write(&s);
    }
    if (!s.models || out.failed) {
        free(out.bytes);
        answer_problem(r, PROBLEM_overloaded, "out of memory; try again later");
    } else {
        answer_header(r, "Vary", "Accept-Encoding");
        if (request_takes_gzip(r) && compress(&out)) answer_header(r, "Content-Encoding", "gzip");
        answer_bytes(r, 200, "text/plain; version=0.0.4; charset=utf-8", out.bytes, out.size);
    }
    free(s.models);
}

const struct route route_metrics = {
    .name = "metrics",
    .method = "GET",
    .path = "/metrics",
    .scope = SCOPE_READ,
    .flags = ROUTE_SLOW,
    .handle = metrics,
};

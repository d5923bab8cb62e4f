/* metrics.c - counting. */
#include "server/ops/metrics.h"

#include <stdlib.h>
#include <string.h>

const char *const metric_methods[METRIC_METHODS] = {"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "other"};

struct metrics *metrics_new(int routes_count) {
    struct metrics *m = calloc(1, sizeof *m + ((size_t)routes_count + 1) * sizeof m->routes[0]);
    if (m) m->routes_count = routes_count;
    return m;
}

void metrics_free(struct metrics *m) {
    free(m);
}

static void add(atomic_uint_fast64_t *count, uint64_t n) {
    atomic_fetch_add_explicit(count, n, memory_order_relaxed);
}

void metrics_add(struct metrics *m, enum metric metric, int64_t n) {
    if (m && n > 0) add(&m->counters[metric], (uint64_t)n);
}

void metrics_problem(struct metrics *m, int code) {
    if (m && code >= 0 && code < METRIC_PROBLEMS) add(&m->problems[code], 1);
}

void metrics_request(struct metrics *m, int route, const char *method, int status, int64_t ns) {
    if (!m) return;
    struct route_metrics *of = &m->routes[route >= 0 && route < m->routes_count ? route : m->routes_count];
    int i = 0;
    while (i < METRIC_METHODS - 1 && strcmp(metric_methods[i], method) != 0) i++;
    add(&of->requests[i][status >= 100 && status < 600 ? status / 100 : 0], 1);
    if (ns >= 0) histogram_add(&of->durations, histogram_request_bounds, ns);
}

void metrics_job_started(struct metrics *m, const struct store_job *job) {
    if (!m) return;
    if (job->attempt == 1) histogram_add(&m->job_waits, histogram_job_bounds, (job->started_at - job->created_at) * 1000000);
    if (job->failures > 0) metrics_add(m, METRIC_backpropd_job_retries_total, 1);
}

void metrics_job_ended(struct metrics *m, const struct store_job *job) {
    if (m) histogram_add(&m->job_durations[job->status], histogram_job_bounds, (job->finished_at - job->started_at) * 1000000);
}

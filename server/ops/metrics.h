/* metrics.h - what the server counts for /metrics. Recording costs a few relaxed atomic additions and never waits; metrics NULL: nothing is counted.
 * The rows are metrics.def; server/routes/metrics.c writes the response. */
#ifndef SERVER_OPS_METRICS_H
#define SERVER_OPS_METRICS_H

#include "server/histogram.h"
#include "server/store/store.h"

enum metric {
#define METRIC(name, type, source, labels, help) METRIC_##name,
#include "server/ops/metrics.def"
#undef METRIC
    METRIC_COUNT
};

enum metric_problem {
#define PROBLEM(code, status, title) METRIC_PROBLEM_##code,
#include "server/problems.def"
#undef PROBLEM
    METRIC_PROBLEMS
};

/* The last is for all others. */
enum { METRIC_METHODS = 8, METRIC_STATUSES = 6 /* of requests: aborted, 1xx ... 5xx */ };
extern const char *const metric_methods[METRIC_METHODS];

struct route_metrics {
    atomic_uint_fast64_t requests[METRIC_METHODS][METRIC_STATUSES];
    struct histogram durations;
};

struct metrics {
    atomic_uint_fast64_t counters[METRIC_COUNT];
    atomic_uint_fast64_t problems[METRIC_PROBLEMS];
    struct histogram job_waits, job_durations[STORE_STATUS_COUNT];
    int routes_count;
    struct route_metrics routes[]; /* as in routes.def, and one for requests without a route */
};

struct metrics *metrics_new(int routes_count);
void metrics_free(struct metrics *metrics);

/* For rows without labels whose source is `counter`. */
void metrics_add(struct metrics *metrics, enum metric metric, int64_t n);
void metrics_problem(struct metrics *metrics, int code);
/* route: -1 for none. status 0: the client left before the response. ns: -1 when its duration means nothing. */
void metrics_request(struct metrics *metrics, int route, const char *method, int status, int64_t ns);
void metrics_job_started(struct metrics *metrics, const struct store_job *job);
void metrics_job_ended(struct metrics *metrics, const struct store_job *job);

#endif

/* histogram.h - durations counted in buckets, for /metrics. Adding costs two relaxed atomic additions and never waits. */
#ifndef SERVER_HISTOGRAM_H
#define SERVER_HISTOGRAM_H

#include <stdatomic.h>
#include <stdint.h>

enum { HISTOGRAM_BOUNDS = 16 };

struct histogram {
    atomic_uint_fast64_t counts[HISTOGRAM_BOUNDS + 1]; /* not cumulative; the last one is beyond all bounds */
    atomic_uint_fast64_t sum_ns;
};

/* Upper bounds in nanoseconds, ascending: of requests (0.1 ms to 10 s) and of jobs (0.1 s to a day). */
extern const int64_t histogram_request_bounds[HISTOGRAM_BOUNDS], histogram_job_bounds[HISTOGRAM_BOUNDS];

/* Any thread. bounds: always the same for one histogram. */
void histogram_add(struct histogram *histogram, const int64_t bounds[HISTOGRAM_BOUNDS], int64_t ns);

/* What was counted at one time. */
struct histogram_values {
    uint64_t counts[HISTOGRAM_BOUNDS + 1], sum_ns, total;
};
void histogram_read(struct histogram *histogram, struct histogram_values *values);

#endif

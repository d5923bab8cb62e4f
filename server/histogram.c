/* histogram.c - see histogram.h. */
#include "server/histogram.h"

#define US(n) ((int64_t)(n)*1000)
#define MS(n) ((int64_t)(n)*1000000)
#define S(n)  ((int64_t)(n)*1000000000)

const int64_t histogram_request_bounds[HISTOGRAM_BOUNDS] = {US(100), US(250), US(500), MS(1), MS(2) + US(500), MS(5), MS(10), MS(25), MS(50),
                                                            MS(100), MS(250), MS(500), S(1),  S(2) + MS(500),  S(5),  S(10)};
const int64_t histogram_job_bounds[HISTOGRAM_BOUNDS] = {MS(100), MS(500), S(1),    S(5),    S(10),    S(30),    S(60),    S(120),
                                                        S(300),  S(600),  S(1800), S(3600), S(10800), S(21600), S(43200), S(86400)};

void histogram_add(struct histogram *h, const int64_t bounds[HISTOGRAM_BOUNDS], int64_t ns) {
    int i = 0;
    if (ns < 0) ns = 0; /* the wall clock was set back */
    while (i < HISTOGRAM_BOUNDS && ns > bounds[i]) i++;
    atomic_fetch_add_explicit(&h->counts[i], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&h->sum_ns, (uint64_t)ns, memory_order_relaxed);
}

void histogram_read(struct histogram *h, struct histogram_values *values) {
    *values = (struct histogram_values){.sum_ns = atomic_load_explicit(&h->sum_ns, memory_order_relaxed)};
    for (int i = 0; i <= HISTOGRAM_BOUNDS; i++) values->total += values->counts[i] = atomic_load_explicit(&h->counts[i], memory_order_relaxed);
}

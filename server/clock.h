/* clock.h - the one monotonic clock of the server: for deadlines and durations, never for dates. */
#ifndef SERVER_CLOCK_H
#define SERVER_CLOCK_H

#include <pthread.h>
#include <stdint.h>
#include <time.h>

static inline int64_t clock_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static inline int64_t clock_ms(void) {
    return clock_ns() / 1000000;
}

static inline double clock_seconds(void) {
    return 1e-9 * (double)clock_ns();
}

/* A condition whose timed waits follow this clock: one that follows the time of day would wait for hours after somebody has set it back. */
static inline void clock_condition_init(pthread_cond_t *condition) {
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(condition, &attributes);
    pthread_condattr_destroy(&attributes);
}

/* Now and so many milliseconds, for pthread_cond_timedwait. */
static inline struct timespec clock_after(int64_t ms) {
    const int64_t until = clock_ns() + ms * 1000000;
    return (struct timespec){.tv_sec = (time_t)(until / 1000000000), .tv_nsec = (long)(until % 1000000000)};
}

#endif

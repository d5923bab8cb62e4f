/* ensemble_private.h - private to ensemble*.c: the members while they are trained. */
#ifndef SERVER_ENSEMBLE_PRIVATE_H
#define SERVER_ENSEMBLE_PRIVATE_H

#include "schema/resolve/measure.h"
#include "server/worker/ensemble.h"
#include "server/worker/run.h"

#include <pthread.h>
#include <stdatomic.h>

enum { ENSEMBLE_THREADS_MAX = 64 };
enum member_state { MEMBER_WAITING, MEMBER_RUNNING, MEMBER_FINISHED };

/* Set by its thread while it is RUNNING; the rest under the lock. */
struct member {
    enum member_state state;
    _Atomic int64_t epoch, train_rows;
    double limit; /* seconds of training in all attempts, 0: none */
    /* FINISHED */
    double seconds;   /* that it took, 0: in an earlier attempt */
    bp_real *weights; /* (weights_count) */
    size_t weights_count;
    json_t *entry;
    int64_t held;       /* rows that validated, 0 unless measurable */
    double *rows;       /* (held) their numbers in the dataset */
    float *predictions; /* (held, width) */
};

struct ensemble {
    struct ensemble_options options;
    struct schema_ensemble *plan;
    bool measurable; /* predictions of held-out rows can be combined and measured */
    int32_t width;   /* of one */
    struct member members[SCHEMA_MEMBERS_MAX];
    pthread_t threads[ENSEMBLE_THREADS_MAX];
    int32_t threads_count, threads_started;
    double started;
    atomic_bool stop;
    int64_t epochs_at_most;
    /* under the lock */
    pthread_mutex_t lock;
    pthread_cond_t news;
    int32_t threads_running, running, finished;
    int64_t epochs;
    json_t *events;
    struct bp_error error;
    /* of ensemble_result.c, when nothing is trained any more; NULL before */
    struct held_out *held_out;
    json_t *report;
};

void ensemble_result_free(struct ensemble *ensemble);

#endif

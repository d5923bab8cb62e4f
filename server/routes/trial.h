/* trial.h - from a sweep to its trials: the document of a job for each, checked when the sweep is submitted, stored by the sweeper when a slot is
 * free. */
#ifndef SERVER_TRIAL_H
#define SERVER_TRIAL_H

#include "schema/sweep/space.h"
#include "server/http/request.h"
#include "server/store/sweeps.h"

/* A sweep taken apart: its document {"job","definition","space",...}. */
struct sweep_plan {
    const struct store_sweep *sweep; /* borrowed */
    json_t *document;                /* borrowed */
    struct schema_space space;
};
/* The parameters of trial i. The caller's. */
json_t *sweep_parameters(const struct sweep_plan *plan, int64_t i);
/* Whether a job with these parameters is valid: problems at their places in the sweep, "/space/...", "/job/...", "/model/...". check_metric: also
 * whether it has the metric of the sweep, and a rung before its last epoch. The request's server and key are used. */
bool sweep_check(struct request *request, const struct sweep_plan *plan, const json_t *parameters, bool check_metric,
                 struct schema_problems *problems);

enum trial_result {
    TRIAL_MADE,    /* its job is queued */
    TRIAL_INVALID, /* it is stored as invalid */
    TRIAL_STALE,   /* the sweep takes no more */
    TRIAL_LATER    /* the store cannot take it now, or the queue is full: see the error */
};
/* Stores trial `number` with its job. seconds: what is left to the sweep, 0: no limit. */
enum trial_result sweep_trial(struct server *server, const struct sweep_plan *plan, int64_t number, double seconds, struct bp_error *error);

#endif

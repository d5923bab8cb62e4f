/* sweeper.c - see sweeper.h. Not part of the supervisor: resolving a job against its data may take long, while processes have to be watched. */
#include "server/sweeps/sweeper.h"

#include "engine/kernels/kernels.h"
#include "schema/memory.h"
#include "server/auth/auth.h"
#include "server/clock.h"
#include "server/jobs/retention.h"
#include "server/jobs/supervisor.h"
#include "server/log.h"
#include "server/model_cache.h"
#include "server/routes/trial.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { IDLE_MS = 5000, RETRY_MS = 500, TRIALS_AT_ONCE = 64 };

struct sweeper {
    struct server *server;
    pthread_t thread;
    atomic_bool stopping;
    int64_t complain_at; /* no other log line about the same trouble before this time */
};

static void complain(struct sweeper *s, const char *what, const char *sweep, const struct bp_error *error) {
    const int64_t now = clock_ms();
    if (now < s->complain_at) return;
    s->complain_at = now + 60000;
    log_line(LOG_ERROR, "sweep_delayed", "sweep", sweep, "what", what, "error", error->message, NULL);
}

/* ---- one sweep ---- */

/* Versions of trials that are not the best so far. False: again later. */
static bool trim(struct sweeper *s, const char *id) {
    struct store_expired expired[STORE_EXPIRED_MAX];
    struct bp_error error = {0};
    int32_t count = 0;
    do {
        if (store_sweep_trim(s->server->store, id, expired, &count, &error) != STORE_OK) {
            complain(s, "removing versions", id, &error);
            return false;
        }
        for (int32_t i = 0; i < count; i++) model_cache_deleted(s->server->model_cache, expired[i].name, expired[i].version);
    } while (count == STORE_EXPIRED_MAX);
    return true;
}

static void cancel_trials(struct sweeper *s, const char *id, bool waiting) {
    char jobs[STORE_ACTIVE_MAX][STORE_ID_SIZE];
    struct bp_error error = {0};
    int32_t count = 0;
    enum store_status status;
    if (store_sweep_active(s->server->store, id, waiting, jobs, &count, &error) != STORE_OK) complain(s, "cancelling trials", id, &error);
    for (int32_t i = 0; i < count; i++)
        if (store_job_cancel(s->server->store, jobs[i], &status, &error) == STORE_FAILED) complain(s, "cancelling a trial", id, &error);
    if (count) supervisor_poke(s->server->supervisor);
}

/* Makes trials while there is room: no more at once than it may have, and one in the queue, so that it takes turns with other jobs. Returns ms until
 * it should be tried again, 0: when something happens. */
static int64_t make_trials(struct sweeper *s, struct store_sweep *w, double seconds) {
    struct schema_problems problems = {0};
    struct bp_error error = {0};
    enum trial_result made = TRIAL_MADE;
    const int64_t slots = supervisor_slots(s->server->supervisor), most = w->parallel ? w->parallel : slots;
    int64_t active = w->trials.queued + w->trials.running + w->trials.paused, queued = w->trials.queued;
    if (active >= most || queued > 0) return 0;
    struct sweep_plan plan = {.sweep = w, .document = document_json(w->document)};
    schema_space_decode(json_object_get(plan.document, "space"), "/space", &plan.space, &problems);
    for (int i = 0; i < TRIALS_AT_ONCE && active < most && queued == 0 && w->created < w->total && !atomic_load(&s->stopping); i++) {
        schema_memory_begin();
        made = sweep_trial(s->server, &plan, w->created, seconds, &error);
        if (made == TRIAL_LATER || made == TRIAL_STALE) break;
        w->created++;
        active += made == TRIAL_MADE;
        queued += made == TRIAL_MADE;
    }
    if (queued) supervisor_poke(s->server->supervisor);
    if (made == TRIAL_LATER) complain(s, "making a trial", w->id, &error);
    schema_space_clear(&plan.space);
    schema_problems_clear(&problems);
    json_decref(plan.document);
    return made == TRIAL_LATER ? RETRY_MS : made == TRIAL_INVALID ? 1 : 0;
}

static void report_end(struct sweeper *s, const struct store_sweep *w) {
    struct store_audit entry = {.action = "sweep_end", .status = 200};
    char best[24];
    snprintf(best, sizeof best, "%lld", (long long)w->best);
    log_line(LOG_INFO, "sweep_ended", "sweep", w->id, "status", store_sweep_status_names[w->status], "best_trial", best, NULL);
    snprintf(entry.target, sizeof entry.target, "/v1/sweeps/%s", w->id);
    snprintf(entry.key_id, sizeof entry.key_id, "%s", w->actor.key_id);
    snprintf(entry.key_name, sizeof entry.key_name, "%s", w->actor.key_name);
    auth_audit(s->server->auth, &entry);
}

/* Returns ms until its next turn, 0: when something happens. */
static int64_t turn(struct sweeper *s, struct store_sweep *w) {
    struct bp_error error = {0};
    struct store_sweep ended;
    const double spent = (double)(store_now() - w->created_at) / 1000, left = w->max_seconds > 0 ? w->max_seconds - spent : 0;
    const bool over = w->max_seconds > 0 && left <= 0, cancelling = w->status == STORE_SWEEP_CANCELLING;
    int64_t again = trim(s, w->id) ? 0 : RETRY_MS;
    if (cancelling) cancel_trials(s, w->id, false);
    else if (!over && w->created < w->total) again = make_trials(s, w, left);
    if (over && !cancelling) cancel_trials(s, w->id, true); /* those that run end by their own limit */
    if (again == 0 && w->max_seconds > 0 && !over) again = (int64_t)(left * 1000) + 1;
    if (w->trials.queued + w->trials.running + w->trials.paused > 0 || (!over && !cancelling && w->created < w->total)) return again;
    const enum store_result result = store_sweep_finish(s->server->store, w->id, !over, &ended, &error);
    if (result == STORE_FAILED) complain(s, "the end of the sweep", w->id, &error);
    if (result != STORE_OK) return result == STORE_FAILED ? RETRY_MS : again;
    report_end(s, &ended);
    store_sweep_free(&ended);
    trim(s, w->id);
    while (retention_sweep(s->server) && !atomic_load(&s->stopping)) continue; /* it waited for the end */
    return again;
}

/* ---- the thread ---- */

static int64_t turns(struct sweeper *s) {
    const struct store_sweep_filter filter = {.unfinished = true, .limit = STORE_SWEEPS_MAX};
    struct store_sweeps found = {0};
    struct bp_error error = {0};
    int64_t wait = IDLE_MS;
    if (store_sweep_list(s->server->store, &filter, &found, &error) != STORE_OK) complain(s, "reading the sweeps", "", &error);
    atomic_store(&s->server->sweeps_unfinished, found.count);
    for (int32_t i = 0; i < found.count && !atomic_load(&s->stopping); i++) {
        const int64_t again = turn(s, &found.items[i]);
        if (again > 0 && again < wait) wait = again;
    }
    store_sweeps_free(&found);
    return wait;
}

static void *run(void *context) {
    struct sweeper *s = context;
    struct pollfd poked = {.fd = s->server->sweeps_fd, .events = POLLIN};
    bp_flush_denormals();
    while (!atomic_load(&s->stopping)) {
        const int64_t began = clock_ms(), wait = turns(s), took = clock_ms() - began;
        const struct timespec pause = {.tv_sec = took / 1000, .tv_nsec = took % 1000 * 1000000};
        uint64_t n;
        if (took > 1 && took < IDLE_MS) nanosleep(&pause, NULL); /* many large sweeps must not keep a core busy: at most half the time */
        if (poll(&poked, 1, (int)wait) < 1) continue;
        const ssize_t ignored = read(poked.fd, &n, sizeof n);
        (void)ignored;
    }
    return NULL;
}

struct sweeper *sweeper_start(struct server *server, struct bp_error *error) {
    struct sweeper *s = calloc(1, sizeof *s);
    if (!s) return bp_error_memory(error, "out of memory"), NULL;
    s->server = server;
    const int code = pthread_create(&s->thread, NULL, run, s);
    if (code == 0) return s;
    bp_error_io(error, "cannot start the thread of sweeps: %s", strerror(code));
    free(s);
    return NULL;
}

void sweeper_stop(struct sweeper *s) {
    if (!s) return;
    atomic_store(&s->stopping, true);
    server_poke_sweeps(s->server);
    pthread_join(s->thread, NULL);
    free(s);
}

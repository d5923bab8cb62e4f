/* supervisor.c - the thread that runs jobs.
 *
 *     claim ──▶ RUNNING ──done──▶ (succeeded)            store_job_end
 *                  │ ├──failed──▶ (failed)               store_job_end
 *                  │ ├──checkpoint──▶ RUNNING            store_checkpoint_add
 *                  │ └──process dies, or is killed because it is silent──▶ (queued|failed)  store_job_give_back, counted
 *                  ├─cancel─▶ CANCELLING ──cancelled, or killed after 100 ms──▶ (cancelled)
 *                  ├─pause──▶ PAUSING ──yield──▶ (paused, or queued when it was resumed before)
 *                  └─stop──▶ STOPPING ──yield, or killed at the end of the drain──▶ (queued), not counted
 *                  any ──the process is gone, the store cannot take its end──▶ ENDING ──▶ as above, once the store can
 *
 * Nothing that a process reports is dropped: what the store cannot take (a full disk) is held and given again, and the process waits, since
 * its socket is not read. Periodically, jobs that are marked as running without a slot are queued again.
 *
 * The thread that spawns lives as long as the server, because a job process dies with it (PR_SET_PDEATHSIG). */
#include "server/jobs/supervisor.h"

#include "schema/memory.h"
#include "server/clock.h"
#include "server/jobs/death.h"
#include "server/jobs/messages.h"
#include "server/jobs/retention.h"
#include "server/jobs/start.h"
#include "server/log.h"
#include "server/ops/metrics.h"
#include "server/store/files.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    LEASE_MS = 60000,
    IDLE_POLL_MS = 5000,
    RETRY_MS = 500, /* doubled up to RETRY_MAX_MS */
    RETRY_MAX_MS = 5000,
    COMPLAIN_MS = 60000, /* between two log lines on the same trouble */
    SWEEP_MS = 5000,
    RETENTION_MS = 3600 * 1000, /* and when a job has ended */
    SLOTS_MAX = 2048
};
struct supervisor {
    struct server *server;
    pthread_t thread;
    int poke;
    int slots_count;  /* as many as there may ever be */
    atomic_int limit; /* of those of the local launcher in use */
    const struct launchers *launchers;
    struct slot *slots;
    atomic_int running;
    atomic_bool stopping;
    atomic_llong turned_at; /* ms: when its thread began the current turn */
    char owner[64];
    bool started; /* the thread exists */
    bool check_commands;
    int64_t sweep_at;
    int64_t retention_at;
    int64_t keep_versions, keep_jobs_days; /* as of the last sweep: a reload may change them */
    bool may_claim;                        /* a job may have come, or room for one */
    int64_t claim_at;                      /* ms: when to look all the same; the first retry is due, or some seconds have passed */
    pthread_mutex_t lock;                  /* guards troubles, and the job and output of slots, which other threads read */
    struct trouble *troubles;              /* one per slot */
};

/* Why the store does not have what a job has reported. */
struct trouble {
    char job[STORE_ID_SIZE]; /* "": none */
    char text[400];
};

/* ---- what the store could not take ---------------------------------------------------------------------------------------------------- */

static void hold(struct supervisor *s, struct slot *slot, const char *what, const struct bp_error *error) {
    const int64_t now = clock_ms();
    struct trouble *trouble = &s->troubles[slot - s->slots];
    slot->retry_ms = slot->retry_ms ? slot->retry_ms * 2 < RETRY_MAX_MS ? slot->retry_ms * 2 : RETRY_MAX_MS : RETRY_MS;
    slot->retry_at = now + slot->retry_ms;
    if (slot->complain_at <= now) {
        log_line(LOG_ERROR, "job_report_delayed", "job", slot->job, "what", what, "error", error->message, NULL);
        slot->complain_at = now + COMPLAIN_MS;
    }
    pthread_mutex_lock(&s->lock);
    snprintf(trouble->job, sizeof trouble->job, "%s", slot->job);
    snprintf(trouble->text, sizeof trouble->text, "%s cannot be stored: %.300s. It is kept in memory and stored as soon as possible", what,
             error->message);
    pthread_mutex_unlock(&s->lock);
}

static void release(struct supervisor *s, struct slot *slot) {
    struct trouble *trouble = &s->troubles[slot - s->slots];
    if (!slot->retry_ms) return;
    slot->retry_ms = slot->retry_at = 0;
    log_line(LOG_INFO, "job_report_stored", "job", slot->job, NULL);
    pthread_mutex_lock(&s->lock);
    trouble->job[0] = '\0';
    pthread_mutex_unlock(&s->lock);
}

char *supervisor_log(struct supervisor *s, const char *job, int64_t attempt, bool *cut) {
    char *text = NULL;
    pthread_mutex_lock(&s->lock);
    for (int i = 0; i < s->slots_count && !text; i++) {
        const struct slot *slot = &s->slots[i];
        if (!slot->output || slot->attempt != attempt || strcmp(slot->job, job) != 0) continue;
        text = output_text(slot->output);
        *cut = slot->output->cut;
    }
    pthread_mutex_unlock(&s->lock);
    return text;
}

bool supervisor_trouble(struct supervisor *s, const char *job, char *text, size_t size) {
    bool found = false;
    pthread_mutex_lock(&s->lock);
    for (int i = 0; i < s->slots_count && !found; i++)
        if (strcmp(s->troubles[i].job, job) == 0) found = snprintf(text, size, "%s", s->troubles[i].text) >= 0;
    pthread_mutex_unlock(&s->lock);
    return found;
}

static void complain(const char *event, const char *job, const struct bp_error *error) {
    log_line(LOG_ERROR, event, "job", job, "error", error->message, NULL);
}

/* ---- starting -------------------------------------------------------------------------------------------------------------------- */

static void start(struct supervisor *s, struct slot *slot, const struct launcher *launcher, const struct store_job *job) {
    struct bp_error error = {0}, failure = {0};
    struct slot begun;
    if (start_attempt(s->server, launcher, job, &begun, &error) != 0) {
        if (message_end_failed(s->server, job->id, job->attempt, "worker_start", error.message, &failure) != 0)
            complain("job_end_failed", job->id, &failure);
        return; /* the sweep takes it back when even that could not be stored */
    }
    pthread_mutex_lock(&s->lock);
    *slot = begun;
    pthread_mutex_unlock(&s->lock);
    atomic_fetch_add(&s->running, 1);
    metrics_job_started(s->server->metrics, job);
}

/* How many more jobs this launcher can run. */
static int room_of(const struct supervisor *s, const struct launcher *launcher) {
    int used = 0;
    for (int i = 0; i < s->slots_count; i++) used += s->slots[i].phase != SLOT_FREE && s->slots[i].launcher == launcher;
    return supervisor_slots_of(s, launcher) - used;
}

static struct slot *free_slot(struct supervisor *s) {
    for (int i = 0; i < s->slots_count; i++)
        if (s->slots[i].phase == SLOT_FREE) return &s->slots[i];
    return NULL;
}

static bool launcher_accepts(const void *context, enum store_kind kind, const struct store_requirement *requirement) {
    return launcher_takes(context, kind, requirement);
}

/* Starts what this launcher has room for. */
static void fill_launcher(struct supervisor *s, const struct launcher *launcher) {
    const struct store_taker taker = {.takes = launcher_accepts, .context = launcher};
    struct slot *slot;
    for (int room = room_of(s, launcher); room > 0 && !atomic_load(&s->stopping) && (slot = free_slot(s)); room--) {
        struct store_job job = {0};
        struct bp_error error = {0};
        const enum store_result result = store_job_claim(s->server->store, s->owner, LEASE_MS, &taker, &job, &error);
        const int64_t due_at = result == STORE_NOT_FOUND && job.retry_at > 0 ? clock_ms() + (job.retry_at - store_now()) + 1 : INT64_MAX;
        if (due_at < s->claim_at) s->claim_at = due_at;
        if (result == STORE_OK) start(s, slot, launcher, &job);
        else if (result != STORE_NOT_FOUND) {
            complain("claim_failed", "", &error);
            s->may_claim = true;
        }
        store_job_free(&job);
        if (result != STORE_OK) return;
        if (slot->phase == SLOT_FREE) room++; /* it could not be started: the room is for the next one */
    }
}

/* Not in every turn: each message of a process makes one. */
static void fill_slots(struct supervisor *s) {
    const int64_t now = clock_ms();
    if (!s->may_claim && now < s->claim_at) return;
    s->may_claim = false;
    s->claim_at = now + IDLE_POLL_MS;
    for (int i = 0; i < s->launchers->count; i++) fill_launcher(s, &s->launchers->items[i]);
}

/* ---- the end of a process ------------------------------------------------------------------------------------------------------------ */

/* Records how the process has ended. The job of one that died without a word goes back to the queue, or has failed. What the server itself ended does
 * not count against it. -1: the store cannot take it now. */
static int conclude(struct supervisor *s, struct slot *slot) {
    struct bp_error error = {0};
    bool stored = slot->recorded || !slot->end || store_attempt_end(s->server->store, slot->end, &error) != STORE_FAILED;
    slot->recorded = stored;
    if (stored && !slot->ended)
        stored = store_job_give_back(s->server->store, slot->job, slot->attempt, slot->counts ? STORE_CRASHED : STORE_SERVER_STOPPED, slot->death,
                                     &error) != STORE_FAILED;
    if (stored) return 0;
    hold(s, slot, "the end of the job", &error);
    return -1;
}

/* Its job may have ended, or wait for another attempt. */
static void count_end(const struct supervisor *s, const struct slot *slot) {
    struct store_job job = {0};
    struct bp_error ignored = {0};
    if (store_job_get(s->server->store, slot->job, &job, &ignored) == STORE_OK && store_status_final(job.status) && job.attempt == slot->attempt)
        metrics_job_ended(s->server->metrics, &job);
    store_job_free(&job);
}

static void slot_free(struct supervisor *s, struct slot *slot) {
    release(s, slot);
    count_end(s, slot);
    s->retention_at = 0;
    s->may_claim = true;
    checkpoint_files_remove_leftovers(s->server->store, slot->job, slot->attempt);
    pthread_mutex_lock(&s->lock); /* supervisor_log reads slots */
    if (slot->output) output_end(slot->output, slot->job);
    free(slot->output);
    pulse_free(slot->pulse);
    if (slot->end) store_attempt_free(slot->end);
    free(slot->end);
    free(slot->in.bytes);
    free(slot->death);
    json_decref(slot->held);
    memset(slot, 0, sizeof *slot);
    pthread_mutex_unlock(&s->lock);
    atomic_fetch_sub(&s->running, 1);
}

static void read_output(struct supervisor *s, struct slot *slot, bool all) {
    pthread_mutex_lock(&s->lock);
    if (all) output_end(slot->output, slot->job);
    else output_read(slot->output, slot->job);
    pthread_mutex_unlock(&s->lock);
}

static void reap(struct supervisor *s, struct slot *slot) {
    int status = 0;
    struct rusage used = {0};
    close(slot->fd);
    slot->fd = -1;
    /* The socket is closed, so the process is ending; one that closed it and lives on is made to end. */
    for (int i = 0; wait4(slot->pid, &status, WNOHANG, &used) == 0; i++) {
        struct timespec pause = {.tv_nsec = 1000000};
        if (i == 2000) kill(slot->pid, SIGKILL);
        read_output(s, slot, false);
        nanosleep(&pause, NULL);
    }
    slot->pid = 0;
    read_output(s, slot, true);
    death_record(slot, status, &used);
    if (!slot->ended) metrics_add(s->server->metrics, METRIC_backpropd_job_crashes_total, slot->counts);
    if (!slot->ended) log_line(LOG_WARNING, "job_process_died", "job", slot->job, "reason", slot->death ? slot->death : "", NULL);
    slot->phase = SLOT_ENDING;
    slot->kill_at = 0;
    if (conclude(s, slot) == 0) slot_free(s, slot);
}

/* Applies the messages of the process, in order, until the store rejects one. */
static void apply_messages(struct supervisor *s, struct slot *slot) {
    json_t *message;
    while ((message = slot->held ? slot->held : wire_take(&slot->in))) {
        struct bp_error error = {0};
        const char *kind = json_string_value(json_object_get(message, "kind"));
        slot->held = message;
        if (message_apply(s->server, slot, message, &error) != 0) {
            const bool part = kind && (strcmp(kind, "report") == 0 || strcmp(kind, "checkpoint") == 0 || strcmp(kind, "results") == 0);
            hold(s, slot, part ? "the progress of the job, which is paused," : "the end of the job", &error);
            return;
        }
        release(s, slot);
        s->may_claim = s->may_claim || slot->ended; /* it may be in the queue again */
        slot->held = NULL;
        json_decref(message);
    }
    if (wire_pending(&slot->in)) {
        struct bp_error error = {0};
        bp_error_memory(&error, "out of memory");
        hold(s, slot, "a report of the job", &error);
        return;
    }
    if (slot->gone) reap(s, slot);
}

/* What could not be stored is tried again when it is due. */
static void retry(struct supervisor *s) {
    for (int i = 0; i < s->slots_count; i++) {
        struct slot *slot = &s->slots[i];
        if (slot->phase == SLOT_FREE || !slot->retry_at || slot->retry_at > clock_ms()) continue;
        if (slot->phase != SLOT_ENDING) apply_messages(s, slot);
        else if (conclude(s, slot) == 0) slot_free(s, slot);
    }
}

/* At the end of the server: what the store still does not take is left to the next start, which gives the job back to the queue. */
static void abandon(struct supervisor *s) {
    for (int i = 0; i < s->slots_count; i++) {
        struct slot *slot = &s->slots[i];
        if (slot->phase == SLOT_FREE || !slot->retry_at) continue;
        if (slot->pid > 0) {
            kill(slot->pid, SIGKILL);
            while (waitpid(slot->pid, NULL, 0) < 0 && errno == EINTR) continue;
            close(slot->fd);
        }
        log_line(LOG_ERROR, "job_end_abandoned", "job", slot->job, "consequence", "it resumes from its last checkpoint at the next start", NULL);
        slot_free(s, slot);
    }
}

static bool has_slot(const struct supervisor *s, const char *job) {
    for (int i = 0; i < s->slots_count; i++)
        if (s->slots[i].phase != SLOT_FREE && strcmp(s->slots[i].job, job) == 0) return true;
    return false;
}

/* Jobs marked as running without a process: a claim or an end of which the store committed only one part. */
static void sweep(struct supervisor *s) {
    static const enum store_status unfinished[] = {STORE_RUNNING, STORE_PAUSING, STORE_CANCELLING};
    s->sweep_at = clock_ms() + SWEEP_MS;
    for (size_t k = 0; k < sizeof unfinished / sizeof *unfinished; k++) {
        struct store_job_filter filter = {.status = &unfinished[k], .limit = STORE_LIST_MAX};
        struct store_jobs found = {0};
        struct bp_error error = {0};
        if (store_job_list(s->server->store, &filter, &found, &error) != STORE_OK) complain("sweep_failed", "", &error);
        for (int32_t i = 0; i < found.count; i++) {
            const struct store_job *job = &found.items[i];
            if (has_slot(s, job->id)) continue;
            s->may_claim = true;
            log_line(LOG_WARNING, "job_without_process", "job", job->id, "status", store_status_name(job->status), NULL);
            struct store_attempt end = {.attempt = job->attempt,
                                        .ended_at = store_now(),
                                        .reason = "lost",
                                        .exit_code = -1,
                                        .signal = -1,
                                        .peak_memory = -1,
                                        .user_ms = -1,
                                        .system_ms = -1};
            memcpy(end.job, job->id, sizeof end.job);
            if (store_attempt_end(s->server->store, &end, &error) == STORE_FAILED ||
                store_job_give_back(s->server->store, job->id, job->attempt, STORE_SERVER_STOPPED, NULL, &error) == STORE_FAILED)
                complain("job_requeue_failed", job->id, &error);
        }
        store_jobs_free(&found);
    }
}

/* What is old goes at the start, hourly, when a job has ended, and when the settings change. */
static void retain(struct supervisor *s) {
    const struct server_settings *settings = &s->server->settings;
    const bool changed = s->keep_versions != settings->keep_versions || s->keep_jobs_days != settings->keep_jobs_days;
    if (!changed && clock_ms() < s->retention_at) return;
    s->keep_versions = settings->keep_versions;
    s->keep_jobs_days = settings->keep_jobs_days;
    s->retention_at = retention_sweep(s->server) ? 0 : clock_ms() + RETENTION_MS;
}

static void command(struct slot *slot, const char *name, enum phase phase, int64_t grace_ms) {
    char message[60]; /* needs no memory */
    const int n = snprintf(message, sizeof message, "{\"command\":\"%s\"}", name);
    wire_send_text(slot->fd, message, (size_t)n);
    slot->phase = phase;
    slot->kill_at = grace_ms ? clock_ms() + grace_ms : 0;
}

/* What the store wants of the running jobs. A process that pauses has time to finish its mini-batch and to write its checkpoint. */
static void look_for_commands(struct supervisor *s) {
    for (int i = 0; i < s->slots_count; i++) {
        struct slot *slot = &s->slots[i];
        struct store_job job = {0};
        struct bp_error error = {0};
        if ((slot->phase != SLOT_RUNNING && slot->phase != SLOT_PAUSING) || slot->ended) continue;
        const bool found = store_job_get(s->server->store, slot->job, &job, &error) == STORE_OK;
        if (found && job.status == STORE_CANCELLING) command(slot, "cancel", SLOT_CANCELLING, slot->cancel_ms);
        else if (found && job.status == STORE_PAUSING && slot->phase == SLOT_RUNNING) command(slot, "stop", SLOT_PAUSING, 0);
        store_job_free(&job);
    }
}

/* Kills processes that show no sign of life or of progress. */
static void watch_all(struct supervisor *s) {
    static const char *const findings[] = {[WATCH_SILENT] = "no sign of life", [WATCH_STUCK] = "no progress"};
    const int64_t now = clock_ms();
    for (int i = 0; i < s->slots_count; i++) {
        struct slot *slot = &s->slots[i];
        if (slot->phase == SLOT_FREE || slot->phase == SLOT_ENDING || slot->killed != WATCH_ALIVE) continue;
        const enum watch_finding found = watch_look(&slot->watch, slot->pulse, now, slot->silence_ms, slot->retry_at > 0);
        if (found == WATCH_ALIVE || (found == WATCH_STUCK && watch_waits_for_disk(slot->pid))) continue;
        log_line(LOG_WARNING, "job_process_killed", "job", slot->job, "reason", findings[found], NULL);
        slot->killed = found;
        slot->kill_at = now;
    }
}

/* ---- the thread ------------------------------------------------------------------------------------------------------------------------ */

static void sooner(int64_t *wait, int64_t at, int64_t now) {
    const int64_t left = at > now ? at - now : 0;
    if (at && left < *wait) *wait = left;
}

static void listen_once(struct supervisor *s) {
    struct pollfd fds[2 * SLOTS_MAX + 1] = {{.fd = s->poke, .events = POLLIN}};
    int slot_of[2 * SLOTS_MAX + 1], count = 1;
    int64_t now = clock_ms(), wait = IDLE_POLL_MS;
    for (int i = 0; i < s->slots_count; i++) {
        struct slot *slot = &s->slots[i];
        if (slot->phase == SLOT_FREE) continue;
        if (slot->kill_at && slot->kill_at <= now) {
            kill(slot->pid, SIGKILL);
            slot->kill_at = now + 1000;
        }
        sooner(&wait, slot->kill_at, now);
        sooner(&wait, slot->retry_at, now);
        if (slot->phase == SLOT_ENDING) continue;
        sooner(&wait, slot->watch.looked_at + watch_period(slot->silence_ms), now);
        slot_of[count] = i; /* its output is always read: a process must never wait for that */
        fds[count++] = (struct pollfd){.fd = slot->output->fd, .events = POLLIN};
        if (slot->retry_at) continue;
        slot_of[count] = i;
        fds[count++] = (struct pollfd){.fd = slot->fd, .events = POLLIN};
    }
    sooner(&wait, s->claim_at, now);
    if (poll(fds, (nfds_t)count, (int)wait) <= 0) return;
    if (fds[0].revents) {
        uint64_t n;
        ssize_t ignored = read(s->poke, &n, sizeof n);
        (void)ignored;
        s->check_commands = s->may_claim = true;
    }
    for (int i = 1; i < count; i++) {
        struct slot *slot = &s->slots[slot_of[i]];
        if (!fds[i].revents) continue;
        if (fds[i].fd != slot->fd) {
            read_output(s, slot, false);
            continue;
        }
        slot->gone = wire_read(slot->fd, &slot->in) != 0;
        apply_messages(s, slot);
    }
}

static void stop_all(struct supervisor *s) {
    for (int i = 0; i < s->slots_count; i++)
        if (s->slots[i].phase == SLOT_RUNNING || s->slots[i].phase == SLOT_PAUSING)
            command(&s->slots[i], "stop", SLOT_STOPPING, s->server->settings.drain_seconds * 1000);
}

static void *supervise(void *context) {
    struct supervisor *s = context;
    int64_t abandon_at = 0;
    for (;;) {
        atomic_store(&s->turned_at, clock_ms());
        if (atomic_load(&s->stopping) && !abandon_at) {
            abandon_at = clock_ms() + s->server->settings.drain_seconds * 1000;
            stop_all(s);
        }
        if (abandon_at && clock_ms() >= abandon_at) abandon(s);
        if (abandon_at && atomic_load(&s->running) == 0) return NULL;
        if (s->check_commands) {
            s->check_commands = false;
            look_for_commands(s);
        }
        retry(s);
        if (clock_ms() >= s->sweep_at) sweep(s);
        if (!abandon_at) retain(s);
        watch_all(s);
        fill_slots(s);
        listen_once(s);
    }
}

void supervisor_free(struct supervisor *s) {
    if (!s) return;
    if (s->poke >= 0) close(s->poke);
    pthread_mutex_destroy(&s->lock);
    free(s->troubles);
    free(s->slots);
    free(s);
}

struct supervisor *supervisor_new(struct server *server, struct bp_error *error) {
    struct supervisor *s = calloc(1, sizeof *s);
    if (!s) {
        bp_error_memory(error, "out of memory");
        return NULL;
    }
    s->server = server;
    s->slots_count = SLOTS_MAX;
    s->launchers = server->launchers;
    s->may_claim = true;
    supervisor_limit(s, server->settings.workers);
    s->slots = calloc((size_t)s->slots_count, sizeof *s->slots);
    s->troubles = calloc((size_t)s->slots_count, sizeof *s->troubles);
    s->turned_at = clock_ms();
    s->sweep_at = clock_ms() + SWEEP_MS;
    pthread_mutex_init(&s->lock, NULL);
    snprintf(s->owner, sizeof s->owner, "pid-%ld", (long)getpid());
    s->poke = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (s->poke >= 0 && s->slots && s->troubles) return s;
    bp_error_io(error, "cannot create the supervisor: %s", strerror(errno));
    supervisor_free(s);
    return NULL;
}

void supervisor_limit(struct supervisor *s, int64_t workers) {
    int64_t limit = workers > 0 ? workers : sysconf(_SC_NPROCESSORS_ONLN);
    if (limit < 1) limit = 1;
    atomic_store(&s->limit, limit < SLOTS_MAX ? (int)limit : SLOTS_MAX); /* of the local launcher */
}

int supervisor_start(struct supervisor *s, struct bp_error *error) {
    const int code = pthread_create(&s->thread, NULL, supervise, s);
    if (code != 0) return bp_error_io(error, "cannot start the supervisor's thread: %s", strerror(code));
    s->started = true;
    return 0;
}

void supervisor_poke(struct supervisor *s) {
    uint64_t one = 1;
    ssize_t ignored = write(s->poke, &one, sizeof one);
    (void)ignored;
}

void supervisor_stop(struct supervisor *s) {
    if (!s) return;
    atomic_store(&s->stopping, true);
    supervisor_poke(s);
    if (s->started) pthread_join(s->thread, NULL);
    s->started = false;
}

int supervisor_slots_of(const struct supervisor *s, const struct launcher *launcher) {
    return launcher->slots ? (int)launcher->slots : atomic_load(&s->limit);
}

int supervisor_slots(struct supervisor *s) {
    int slots = 0;
    for (int i = 0; i < s->launchers->count; i++) {
        const struct launcher *l = &s->launchers->items[i];
        if (l->command || l->takes_all) slots += supervisor_slots_of(s, l);
    }
    return slots;
}

int supervisor_places(struct supervisor *s, struct supervisor_place *places, int most) {
    int count = 0;
    pthread_mutex_lock(&s->lock);
    for (int i = 0; i < s->slots_count && count < most; i++) {
        const struct slot *slot = &s->slots[i];
        if (slot->phase == SLOT_FREE) continue;
        places[count].launcher = slot->launcher;
        places[count].attempt = slot->attempt;
        memcpy(places[count++].job, slot->job, sizeof slot->job);
    }
    pthread_mutex_unlock(&s->lock);
    return count;
}

int supervisor_running(struct supervisor *s) {
    return atomic_load(&s->running);
}

int64_t supervisor_turned_at(const struct supervisor *s) {
    return atomic_load(&s->turned_at);
}

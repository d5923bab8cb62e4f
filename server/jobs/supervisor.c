/* supervisor.c - the thread that runs jobs.
 *
 *     claim ──▶ RUNNING ──done──▶ (succeeded)            store_job_end
 *                  │ ├──failed──▶ (failed)               store_job_end
 *                  │ ├──checkpoint──▶ RUNNING            store_checkpoint_add
 *                  │ └──process dies──▶ (queued|failed)  store_job_give_back, counted
 *                  ├─cancel─▶ CANCELLING ──cancelled, or killed after 100 ms──▶ (cancelled)
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
#include "server/jobs/child.h"
#include "server/jobs/messages.h"
#include "server/log.h"
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
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    CANCEL_GRACE_MS = 100,
    LEASE_MS = 60000,
    IDLE_POLL_MS = 5000,
    RETRY_MS = 500, /* doubled up to RETRY_MAX_MS */
    RETRY_MAX_MS = 5000,
    COMPLAIN_MS = 60000, /* between two log lines on the same trouble */
    SWEEP_MS = 5000,
    SLOTS_MAX = 256
};
struct supervisor {
    struct server *server;
    pthread_t thread;
    int poke;
    int slots_count;
    struct slot *slots;
    atomic_int running;
    atomic_bool stopping;
    char owner[64];
    bool started; /* the thread exists */
    bool check_cancels;
    int64_t sweep_at;
    pthread_mutex_t lock;     /* guards troubles, which other threads read */
    struct trouble *troubles; /* one per slot */
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

/* *bytes: of its file, which later versions go on with. */
static int open_dataset(struct supervisor *s, const char *name, int64_t version, int64_t *bytes, struct bp_error *error) {
    struct store_dataset row = {0};
    if (store_dataset_get(s->server->store, name, version, &row, error) != STORE_OK)
        return bp_error_set(error, "", "dataset %s@%lld no longer exists", name, (long long)version);
    *bytes = row.bytes;
    store_dataset_free(&row);
    const int fd = dataset_file_open(s->server->store, row.file, error);
    return fd >= 0 ? fd : bp_error_io(error, "dataset %s@%lld: %s", name, (long long)version, strerror(errno));
}

static int open_checkpoint(struct supervisor *s, const struct store_job *job) {
    struct store_checkpoint last = {0};
    struct bp_error error = {0};
    if (store_checkpoint_last(s->server->store, job->id, &last, &error) != STORE_OK) return -1;
    return checkpoint_file_open(s->server->store, last.file);
}

/* The first frame. The spec is already text and is inserted unchanged. */
static int send_order(struct supervisor *s, int fd, const struct store_job *job, bool resume, const int64_t bytes[2]) {
    struct schema_text text = {.limit = WIRE_FRAME_MAX};
    schema_text_format(&text, "{\"job\":\"%s\",\"attempt\":%lld,\"resume\":%s,\"dataset\":{\"name\":\"%s\",\"version\":%lld},\"bytes\":%lld", job->id,
                       (long long)job->attempt, resume ? "true" : "false", job->dataset, (long long)job->dataset_version, (long long)bytes[0]);
    schema_text_format(&text, ",\"validation\":%lld,\"kernels\":", (long long)bytes[1]);
    schema_text_json_string(&text, s->server->settings.kernels);
    schema_text_string(&text, ",\"warnings\":");
    schema_text_string(&text, job->warnings ? job->warnings : "[]");
    schema_text_string(&text, ",\"spec\":");
    schema_text_string(&text, job->spec);
    schema_text_string(&text, "}");
    int failed = text.failed ? -1 : wire_send_text(fd, text.bytes, text.size);
    free(text.bytes);
    return failed;
}

static void start(struct supervisor *s, struct slot *slot, const struct store_job *job) {
    struct bp_error error = {0};
    int64_t bytes[2] = {0, 0};
    int pair[2] = {-1, -1}, dataset = open_dataset(s, job->dataset, job->dataset_version, &bytes[0], &error), validation = -1,
        checkpoint = open_checkpoint(s, job);
    struct timeval patience = {.tv_sec = 10};
    pid_t pid = -1;
    const bool other = job->validation_dataset[0];
    if (dataset >= 0 && other) validation = open_dataset(s, job->validation_dataset, job->validation_version, &bytes[1], &error);
    if (dataset >= 0 && (validation >= 0 || !other) && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
        bp_error_io(&error, "cannot open a socket for the job process: %s", strerror(errno));
    if (pair[0] >= 0) {
        setsockopt(pair[0], SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
        pid = child_start("job", (const int[CHILD_GIVEN]){pair[1], dataset, checkpoint, validation, checkpoint_folder(s->server->store)});
        if (pid < 0) bp_error_io(&error, "cannot start the job process: %s", strerror(errno));
    }
    bool resume = checkpoint >= 0;
    if (dataset >= 0) close(dataset);
    if (validation >= 0) close(validation);
    if (checkpoint >= 0) close(checkpoint);
    if (pair[1] >= 0) close(pair[1]);
    if (pid < 0) {
        if (pair[0] >= 0) close(pair[0]);
        struct bp_error failure = {0};
        if (message_end_failed(s->server, job->id, job->attempt, "worker_start", error.message, &failure) != 0)
            complain("job_end_failed", job->id, &failure);
        return; /* the sweep takes it back when even that could not be stored */
    }
    *slot = (struct slot){.phase = SLOT_RUNNING, .pid = pid, .fd = pair[0], .attempt = job->attempt, .in = {.limit = WIRE_FRAME_MAX}};
    snprintf(slot->job, sizeof slot->job, "%s", job->id);
    atomic_fetch_add(&s->running, 1);
    char attempt[24], process[24];
    snprintf(attempt, sizeof attempt, "%lld", (long long)job->attempt);
    snprintf(process, sizeof process, "%ld", (long)pid);
    log_line(LOG_INFO, "job_started", "job", job->id, "attempt", attempt, "pid", process, "resumed", resume ? "true" : "false", NULL);
    send_order(s, slot->fd, job, resume, bytes); /* a failure means that the process is dying, which its end reports */
}

static void fill_slots(struct supervisor *s) {
    for (int i = 0; i < s->slots_count && !atomic_load(&s->stopping); i++) {
        struct store_job job = {0};
        struct bp_error error = {0};
        if (s->slots[i].phase != SLOT_FREE) continue;
        enum store_result result = store_job_claim(s->server->store, s->owner, LEASE_MS, &job, &error);
        if (result == STORE_OK) start(s, &s->slots[i], &job);
        else if (result != STORE_NOT_FOUND) complain("claim_failed", "", &error);
        store_job_free(&job);
        if (result != STORE_OK) return;
        if (s->slots[i].phase == SLOT_FREE) i--; /* it could not be started: the slot is for the next one */
    }
}

/* ---- the end of a process ------------------------------------------------------------------------------------------------------------ */

/* The error of a process that ended without a report: a JSON object, owned; NULL when out of memory. */
static char *death_of(int status) {
    char text[200];
    const bool signalled = WIFSIGNALED(status);
    if (signalled)
        snprintf(text, sizeof text, "the job's process was ended by signal %d (%s)%s", WTERMSIG(status), strsignal(WTERMSIG(status)),
                 WTERMSIG(status) == SIGKILL ? ", perhaps because the machine was out of memory" : "");
    else snprintf(text, sizeof text, "the job's process ended unexpectedly with exit code %d", WEXITSTATUS(status));
    json_t *document = json_pack("{s:s, s:s, s:i}", "code", "worker_crashed", "message", text, signalled ? "signal" : "exit_code",
                                 signalled ? WTERMSIG(status) : WEXITSTATUS(status));
    char *json = schema_json_dump(document, JSON_COMPACT);
    json_decref(document);
    return json;
}

/* The job of a process that died without a word goes back to the queue, or has failed. What the server itself ended does not count against it. */
static int give_back(struct supervisor *s, struct slot *slot) {
    struct bp_error error = {0};
    if (store_job_give_back(s->server->store, slot->job, slot->attempt, slot->counts, slot->counts ? slot->death : NULL, &error) != STORE_FAILED)
        return 0;
    hold(s, slot, "the end of the job", &error);
    return -1;
}

static void slot_free(struct supervisor *s, struct slot *slot) {
    release(s, slot);
    checkpoint_files_remove_leftovers(s->server->store, slot->job, slot->attempt);
    free(slot->in.bytes);
    free(slot->death);
    json_decref(slot->held);
    memset(slot, 0, sizeof *slot);
    atomic_fetch_sub(&s->running, 1);
}

static void reap(struct supervisor *s, struct slot *slot) {
    int status = 0;
    close(slot->fd);
    slot->fd = -1;
    /* The socket is closed, so the process is ending; one that closed it and lives on is made to end. */
    for (int i = 0; waitpid(slot->pid, &status, WNOHANG) == 0; i++) {
        struct timespec pause = {.tv_nsec = 1000000};
        if (i == 2000) kill(slot->pid, SIGKILL);
        nanosleep(&pause, NULL);
    }
    slot->pid = 0;
    if (!slot->ended) {
        slot->counts = slot->phase == SLOT_RUNNING;
        slot->death = death_of(status);
        log_line(LOG_WARNING, "job_process_died", "job", slot->job, "reason", slot->death ? slot->death : "", NULL);
        slot->phase = SLOT_ENDING;
        slot->kill_at = 0;
        if (give_back(s, slot) != 0) return;
    }
    slot_free(s, slot);
}

/* Applies the messages of the process, in order, until the store rejects one. */
static void apply_messages(struct supervisor *s, struct slot *slot) {
    json_t *message;
    while ((message = slot->held ? slot->held : wire_take(&slot->in))) {
        struct bp_error error = {0};
        const char *kind = json_string_value(json_object_get(message, "kind"));
        slot->held = message;
        if (message_apply(s->server, slot, message, &error) != 0) {
            const bool part = kind && (strcmp(kind, "report") == 0 || strcmp(kind, "checkpoint") == 0);
            hold(s, slot, part ? "the progress of the job, which is paused," : "the end of the job", &error);
            return;
        }
        release(s, slot);
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
        else if (give_back(s, slot) == 0) slot_free(s, slot);
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
            log_line(LOG_WARNING, "job_without_process", "job", job->id, "status", store_status_name(job->status), NULL);
            if (store_job_give_back(s->server->store, job->id, job->attempt, false, NULL, &error) == STORE_FAILED)
                complain("job_requeue_failed", job->id, &error);
        }
        store_jobs_free(&found);
    }
}

static void command(struct slot *slot, const char *name, enum phase phase, int64_t grace_ms) {
    json_t *message = json_pack("{s:s}", "command", name);
    wire_send(slot->fd, message);
    json_decref(message);
    slot->phase = phase;
    slot->kill_at = clock_ms() + grace_ms;
}

static void look_for_cancels(struct supervisor *s) {
    for (int i = 0; i < s->slots_count; i++) {
        struct slot *slot = &s->slots[i];
        struct store_job job = {0};
        struct bp_error error = {0};
        if (slot->phase != SLOT_RUNNING || slot->ended) continue;
        if (store_job_get(s->server->store, slot->job, &job, &error) == STORE_OK && job.status == STORE_CANCELLING)
            command(slot, "cancel", SLOT_CANCELLING, CANCEL_GRACE_MS);
        store_job_free(&job);
    }
}

/* ---- the thread ------------------------------------------------------------------------------------------------------------------------ */

static void sooner(int64_t *wait, int64_t at, int64_t now) {
    const int64_t left = at > now ? at - now : 0;
    if (at && left < *wait) *wait = left;
}

static void listen_once(struct supervisor *s) {
    struct pollfd fds[SLOTS_MAX + 1] = {{.fd = s->poke, .events = POLLIN}};
    int slot_of[SLOTS_MAX + 1], count = 1;
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
        if (slot->retry_at || slot->phase == SLOT_ENDING) continue;
        slot_of[count] = i;
        fds[count++] = (struct pollfd){.fd = slot->fd, .events = POLLIN};
    }
    if (poll(fds, (nfds_t)count, (int)wait) <= 0) return;
    if (fds[0].revents) {
        uint64_t n;
        ssize_t ignored = read(s->poke, &n, sizeof n);
        (void)ignored;
        s->check_cancels = true;
    }
    for (int i = 1; i < count; i++) {
        struct slot *slot = &s->slots[slot_of[i]];
        if (!fds[i].revents) continue;
        slot->gone = wire_read(slot->fd, &slot->in) != 0;
        apply_messages(s, slot);
    }
}

static void stop_all(struct supervisor *s) {
    for (int i = 0; i < s->slots_count; i++)
        if (s->slots[i].phase == SLOT_RUNNING) command(&s->slots[i], "stop", SLOT_STOPPING, s->server->settings.drain_seconds * 1000);
}

static void *supervise(void *context) {
    struct supervisor *s = context;
    int64_t abandon_at = 0;
    for (;;) {
        if (atomic_load(&s->stopping) && !abandon_at) {
            abandon_at = clock_ms() + s->server->settings.drain_seconds * 1000;
            stop_all(s);
        }
        if (abandon_at && clock_ms() >= abandon_at) abandon(s);
        if (abandon_at && atomic_load(&s->running) == 0) return NULL;
        if (s->check_cancels) {
            s->check_cancels = false;
            look_for_cancels(s);
        }
        retry(s);
        if (clock_ms() >= s->sweep_at) sweep(s);
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
    s->slots_count = server->settings.workers > 0 ? (int)server->settings.workers : (int)sysconf(_SC_NPROCESSORS_ONLN);
    if (s->slots_count < 1) s->slots_count = 1;
    if (s->slots_count > SLOTS_MAX) s->slots_count = SLOTS_MAX;
    s->slots = calloc((size_t)s->slots_count, sizeof *s->slots);
    s->troubles = calloc((size_t)s->slots_count, sizeof *s->troubles);
    s->sweep_at = clock_ms() + SWEEP_MS;
    pthread_mutex_init(&s->lock, NULL);
    snprintf(s->owner, sizeof s->owner, "pid-%ld", (long)getpid());
    s->poke = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (s->poke >= 0 && s->slots && s->troubles) return s;
    bp_error_io(error, "cannot create the supervisor: %s", strerror(errno));
    supervisor_free(s);
    return NULL;
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

int supervisor_slots(const struct supervisor *s) {
    return s->slots_count;
}

int supervisor_running(struct supervisor *s) {
    return atomic_load(&s->running);
}

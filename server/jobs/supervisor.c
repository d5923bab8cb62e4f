/* supervisor.c - the thread that runs jobs.
 *
 *     claim ──▶ RUNNING ──done──▶ (succeeded)            store_job_end
 *                  │ ├──failed──▶ (failed)               store_job_end
 *                  │ ├──checkpoint──▶ RUNNING            store_checkpoint_add
 *                  │ └──process dies──▶ (queued|failed)  store_job_give_back, counted
 *                  ├─cancel─▶ CANCELLING ──cancelled, or killed after 100 ms──▶ (cancelled)
 *                  └─stop──▶ STOPPING ──yield, or killed at the end of the drain──▶ (queued), not counted
 *
 * The thread that spawns lives as long as the server, because a job process dies with it (PR_SET_PDEATHSIG). */
#include "supervisor.h"

#include "child.h"
#include "http.h"
#include "loaded_models.h"
#include "log.h"

#include <dirent.h>
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
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { CANCEL_GRACE_MS = 100, LEASE_MS = 60000, IDLE_POLL_MS = 5000, SLOTS_MAX = 256 };
enum phase { SLOT_FREE, SLOT_RUNNING, SLOT_CANCELLING, SLOT_STOPPING };

struct slot {
    enum phase phase;
    pid_t pid;
    int fd;
    char job[STORE_ID_SIZE];
    int64_t attempt;
    struct schema_text in;
    int64_t kill_at; /* ms, 0: not set */
    bool ended;      /* its result is in the store: only the process is left to reap */
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
    bool check_cancels;
};

static int64_t now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void complain(const char *event, const char *job, const struct bp_error *error) {
    log_line(LOG_ERROR, event, "job", job, "error", error->message, NULL);
}

/* ---- starting -------------------------------------------------------------------------------------------------------------------- */

static json_t *error_document(const char *code, const char *message) {
    return json_pack("{s:s, s:s}", "code", code, "message", message);
}

static void end_with_error(struct supervisor *s, const char *job, int64_t attempt, const char *code, const char *message) {
    struct bp_error error = {0};
    json_t *document = error_document(code, message);
    char *text = json_dumps(document, JSON_COMPACT);
    struct store_ending ending = {.status = STORE_FAILED_JOB, .error_document = text};
    if (store_job_end(s->server->store, job, attempt, &ending, NULL, &error) == STORE_FAILED) complain("job_end_failed", job, &error);
    log_line(LOG_WARNING, "job_failed", "job", job, "code", code, "message", message, NULL);
    free(text);
    json_decref(document);
}

/* *bytes: of its file, which later versions go on with. */
static int open_dataset(struct supervisor *s, const char *name, int64_t version, int64_t *bytes, struct bp_error *error) {
    struct store_dataset row = {0};
    char path[4200];
    if (store_dataset_get(s->server->store, name, version, &row, error) != STORE_OK)
        return bp_error_set(error, "", "dataset %s@%lld is gone", name, (long long)version);
    store_path(s->server->store, "datasets", row.file, path, sizeof path);
    *bytes = row.bytes;
    store_dataset_free(&row);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd >= 0 ? fd : bp_error_set(error, "", "the file of dataset %s@%lld cannot be opened: %s", name, (long long)version, strerror(errno));
}

static int open_checkpoint(struct supervisor *s, const struct store_job *job) {
    struct store_checkpoint last = {0};
    struct bp_error error = {0};
    char path[4200];
    if (store_checkpoint_last(s->server->store, job->id, &last, &error) != STORE_OK) return -1;
    store_path(s->server->store, "checkpoints", last.file, path, sizeof path);
    return open(path, O_RDONLY | O_CLOEXEC);
}

/* The first frame. The spec is text already: it is put in as it is. */
static int send_order(struct supervisor *s, int fd, const struct store_job *job, bool resume, const int64_t bytes[2]) {
    char folder[4200];
    struct schema_text text = {.limit = WIRE_FRAME_MAX};
    store_path(s->server->store, "checkpoints", "", folder, sizeof folder);
    schema_text_format(
        &text, "{\"job\":\"%s\",\"attempt\":%lld,\"resume\":%s,\"dataset\":{\"name\":\"%s\",\"version\":%lld},\"bytes\":%lld,\"folder\":", job->id,
        (long long)job->attempt, resume ? "true" : "false", job->dataset, (long long)job->dataset_version, (long long)bytes[0]);
    schema_text_json_string(&text, folder);
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
        bp_error_set(&error, "", "no socket for the job process: %s", strerror(errno));
    if (pair[0] >= 0) {
        setsockopt(pair[0], SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
        pid = child_start("job", (const int[CHILD_GIVEN]){pair[1], dataset, checkpoint, validation});
        if (pid < 0) bp_error_set(&error, "", "the job process cannot be started: %s", strerror(errno));
    }
    bool resume = checkpoint >= 0;
    if (dataset >= 0) close(dataset);
    if (validation >= 0) close(validation);
    if (checkpoint >= 0) close(checkpoint);
    if (pair[1] >= 0) close(pair[1]);
    if (pid < 0) {
        if (pair[0] >= 0) close(pair[0]);
        end_with_error(s, job->id, job->attempt, "worker_start", error.message);
        return;
    }
    *slot = (struct slot){.phase = SLOT_RUNNING, .pid = pid, .fd = pair[0], .attempt = job->attempt, .in = {.limit = WIRE_FRAME_MAX}};
    snprintf(slot->job, sizeof slot->job, "%s", job->id);
    atomic_fetch_add(&s->running, 1);
    char attempt[24], process[24];
    snprintf(attempt, sizeof attempt, "%lld", (long long)job->attempt);
    snprintf(process, sizeof process, "%ld", (long)pid);
    log_line(LOG_INFO, "job_started", "job", job->id, "attempt", attempt, "pid", process, "resumed", resume ? "true" : "false", NULL);
    send_order(s, slot->fd, job, resume, bytes); /* if it fails the process is dying: its end tells */
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

/* ---- messages -------------------------------------------------------------------------------------------------------------------- */

/* A report as the store wants it; texts are owned by this struct. */
struct told {
    struct store_report report;
    char *texts[5];
    struct store_event *events;
};

static char *member_text(const json_t *json, const char *name) {
    const json_t *member = json_object_get(json, name);
    return member ? json_dumps(member, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
}

static void told_open(struct told *t, const json_t *json) {
    memset(t, 0, sizeof *t);
    t->report.progress = t->texts[0] = member_text(json, "progress");
    t->report.metrics = t->texts[1] = member_text(json, "metrics");
    t->report.best = t->texts[2] = member_text(json, "best");
    t->report.warnings = t->texts[3] = member_text(json, "warnings");
    t->report.cross_validation = t->texts[4] = member_text(json, "cross_validation");
    const json_t *resumed = json_object_get(json, "resumed_from_epoch"), *events = json_object_get(json, "events");
    t->report.resumed_from_epoch = resumed ? json_integer_value(resumed) : -1;
    size_t count = json_array_size(events);
    t->events = calloc(count + 1, sizeof *t->events);
    for (size_t i = 0; t->events && i < count; i++) {
        const json_t *e = json_array_get(events, i);
        const char *type = json_string_value(json_object_get(e, "type")), *level = json_string_value(json_object_get(e, "level")),
                   *message = json_string_value(json_object_get(e, "message"));
        struct store_event *out = &t->events[t->report.events_count++];
        snprintf(out->type, sizeof out->type, "%s", type ? type : "log");
        snprintf(out->level, sizeof out->level, "%s", level ? level : "info");
        out->epoch = json_integer_value(json_object_get(e, "epoch"));
        out->message = message ? strdup(message) : NULL;
        out->data = json_is_object(json_object_get(e, "data")) ? member_text(e, "data") : NULL;
    }
    t->report.events = t->events;
}

static void told_close(struct told *t) {
    for (int i = 0; i < 5; i++) free(t->texts[i]);
    for (int32_t i = 0; i < t->report.events_count; i++) {
        free(t->events[i].message);
        free(t->events[i].data);
    }
    free(t->events);
}

static void on_checkpoint(struct supervisor *s, struct slot *slot, const json_t *message) {
    struct store_checkpoint c = {0};
    struct bp_error error = {0};
    char path[4200];
    const char *file = json_string_value(json_object_get(message, "file"));
    store_new_id("ckp", c.id);
    snprintf(c.job, sizeof c.job, "%s", slot->job);
    c.attempt = slot->attempt;
    c.epoch = json_integer_value(json_object_get(message, "epoch"));
    c.step = json_integer_value(json_object_get(message, "step"));
    c.bytes = json_integer_value(json_object_get(message, "bytes"));
    c.best = json_is_true(json_object_get(message, "best"));
    snprintf(c.file, sizeof c.file, "%s.safetensors", c.id);
    store_path(s->server->store, "checkpoints", c.file, path, sizeof path);
    if (!file || rename(file, path) != 0) {
        bp_error_set(&error, "", "the checkpoint cannot be put in place: %s", strerror(errno));
        complain("checkpoint_failed", slot->job, &error);
        return;
    }
    if (store_checkpoint_add(s->server->store, &c, &error) != STORE_OK) {
        unlink(path);
        complain("checkpoint_failed", slot->job, &error);
    }
}

static void *read_file(const char *path, size_t *size) {
    struct stat info;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    char *bytes = fd >= 0 && fstat(fd, &info) == 0 ? malloc((size_t)info.st_size + 1) : NULL;
    size_t done = 0;
    while (bytes && done < (size_t)info.st_size) {
        ssize_t n = read(fd, bytes + done, (size_t)info.st_size - done);
        if (n <= 0) break;
        done += (size_t)n;
    }
    if (fd >= 0) close(fd);
    if (bytes && done == (size_t)info.st_size) return *size = done, bytes;
    free(bytes);
    return NULL;
}

static void on_done(struct supervisor *s, struct slot *slot, const json_t *message) {
    struct bp_error error = {0};
    struct told told;
    const char *path = json_string_value(json_object_get(message, "file"));
    struct store_ending ending = {.status = STORE_SUCCEEDED};
    void *blob = path ? read_file(path, &ending.blob_size) : NULL;
    char *document = member_text(message, "document");
    int64_t version = 0;
    told_open(&told, json_object_get(message, "report"));
    ending.report = &told.report;
    ending.blob = blob;
    ending.version_document = document;
    slot->ended = true;
    if (!blob || !document) {
        end_with_error(s, slot->job, slot->attempt, "storage", "the trained model could not be read back from the job process");
    } else {
        enum store_result result = store_job_end(s->server->store, slot->job, slot->attempt, &ending, &version, &error);
        if (result == STORE_FAILED) {
            complain("job_end_failed", slot->job, &error);
            end_with_error(s, slot->job, slot->attempt, "storage", error.message);
        } else {
            char number[24];
            snprintf(number, sizeof number, "%lld", (long long)version);
            log_line(LOG_INFO, "job_succeeded", "job", slot->job, "version", number, NULL);
        }
    }
    registry_changed(s->server->registry);
    if (path) unlink(path);
    told_close(&told);
    free(document);
    free(blob);
}

static void on_end(struct supervisor *s, struct slot *slot, const json_t *message, enum store_status status) {
    struct bp_error error = {0};
    struct told told;
    told_open(&told, json_object_get(message, "report"));
    char *document = member_text(message, "error");
    struct store_ending ending = {.status = status, .error_document = document, .report = &told.report};
    if (store_job_end(s->server->store, slot->job, slot->attempt, &ending, NULL, &error) == STORE_FAILED)
        complain("job_end_failed", slot->job, &error);
    log_line(status == STORE_CANCELLED ? LOG_INFO : LOG_WARNING, status == STORE_CANCELLED ? "job_cancelled" : "job_failed", "job", slot->job,
             "error", document ? document : "", NULL);
    slot->ended = true;
    told_close(&told);
    free(document);
}

static void on_yield(struct supervisor *s, struct slot *slot) {
    struct bp_error error = {0};
    if (store_job_give_back(s->server->store, slot->job, slot->attempt, false, NULL, &error) == STORE_FAILED)
        complain("give_back_failed", slot->job, &error);
    log_line(LOG_INFO, "job_given_back", "job", slot->job, NULL);
    slot->ended = true;
}

static void on_message(struct supervisor *s, struct slot *slot, const json_t *message) {
    const char *kind = json_string_value(json_object_get(message, "kind"));
    if (!kind || slot->ended) return;
    if (strcmp(kind, "report") == 0) {
        struct told told;
        struct bp_error error = {0};
        told_open(&told, json_object_get(message, "report"));
        if (store_job_report(s->server->store, slot->job, slot->attempt, &told.report, &error) == STORE_FAILED)
            complain("report_failed", slot->job, &error);
        told_close(&told);
    } else if (strcmp(kind, "checkpoint") == 0) on_checkpoint(s, slot, message);
    else if (strcmp(kind, "done") == 0) on_done(s, slot, message);
    else if (strcmp(kind, "failed") == 0) on_end(s, slot, message, STORE_FAILED_JOB);
    else if (strcmp(kind, "cancelled") == 0) on_end(s, slot, message, STORE_CANCELLED);
    else if (strcmp(kind, "yield") == 0) on_yield(s, slot);
}

/* ---- the end of a process ------------------------------------------------------------------------------------------------------------ */

static void crashed(struct supervisor *s, struct slot *slot, int status) {
    struct bp_error error = {0};
    char text[200];
    json_t *document;
    if (WIFSIGNALED(status)) {
        snprintf(text, sizeof text, "the job's process was ended by signal %d (%s)%s", WTERMSIG(status), strsignal(WTERMSIG(status)),
                 WTERMSIG(status) == SIGKILL ? ", perhaps for want of memory" : "");
        document = error_document("worker_crashed", text);
        json_object_set_new(document, "signal", json_integer(WTERMSIG(status)));
    } else {
        snprintf(text, sizeof text, "the job's process ended unexpectedly with exit code %d", WEXITSTATUS(status));
        document = error_document("worker_crashed", text);
        json_object_set_new(document, "exit_code", json_integer(WEXITSTATUS(status)));
    }
    char *json = json_dumps(document, JSON_COMPACT);
    log_line(LOG_WARNING, "job_process_died", "job", slot->job, "reason", text, NULL);
    /* What the server itself ended does not count against the job. */
    bool counts = slot->phase == SLOT_RUNNING;
    if (store_job_give_back(s->server->store, slot->job, slot->attempt, counts, counts ? json : NULL, &error) == STORE_FAILED)
        complain("give_back_failed", slot->job, &error);
    free(json);
    json_decref(document);
}

static void remove_leftovers(struct supervisor *s, const struct slot *slot) {
    char prefix[STORE_FILE_SIZE], path[4200];
    int n = snprintf(prefix, sizeof prefix, "%s.%lld.", slot->job, (long long)slot->attempt);
    store_path(s->server->store, "checkpoints", "", path, sizeof path);
    DIR *folder = opendir(path);
    for (struct dirent *entry; folder && (entry = readdir(folder));)
        if (strncmp(entry->d_name, prefix, (size_t)n) == 0) unlinkat(dirfd(folder), entry->d_name, 0);
    if (folder) closedir(folder);
}

static void reap(struct supervisor *s, struct slot *slot) {
    int status = 0;
    close(slot->fd);
    /* The socket is closed, so the process is ending; one that closed it and lives on is made to end. */
    for (int i = 0; waitpid(slot->pid, &status, WNOHANG) == 0; i++) {
        struct timespec pause = {.tv_nsec = 1000000};
        if (i == 2000) kill(slot->pid, SIGKILL);
        nanosleep(&pause, NULL);
    }
    if (!slot->ended) crashed(s, slot, status);
    remove_leftovers(s, slot);
    free(slot->in.bytes);
    memset(slot, 0, sizeof *slot);
    atomic_fetch_sub(&s->running, 1);
}

static void command(struct slot *slot, const char *name, enum phase phase, int64_t grace_ms) {
    json_t *message = json_pack("{s:s}", "command", name);
    wire_send(slot->fd, message);
    json_decref(message);
    slot->phase = phase;
    slot->kill_at = now_ms() + grace_ms;
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

static void listen_once(struct supervisor *s) {
    struct pollfd fds[SLOTS_MAX + 1] = {{.fd = s->poke, .events = POLLIN}};
    int slot_of[SLOTS_MAX + 1], count = 1;
    int64_t now = now_ms(), wait = IDLE_POLL_MS;
    for (int i = 0; i < s->slots_count; i++) {
        struct slot *slot = &s->slots[i];
        if (slot->phase == SLOT_FREE) continue;
        if (slot->kill_at && slot->kill_at <= now) {
            kill(slot->pid, SIGKILL);
            slot->kill_at = now + 1000;
        }
        if (slot->kill_at && slot->kill_at - now < wait) wait = slot->kill_at - now;
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
        json_t *message;
        if (!fds[i].revents) continue;
        int gone = wire_read(slot->fd, &slot->in);
        while ((message = wire_take(&slot->in))) {
            on_message(s, slot, message);
            json_decref(message);
        }
        if (gone) reap(s, slot);
    }
}

static void *supervise(void *context) {
    struct supervisor *s = context;
    bool told_to_stop = false;
    for (;;) {
        if (atomic_load(&s->stopping) && !told_to_stop) {
            told_to_stop = true;
            for (int i = 0; i < s->slots_count; i++)
                if (s->slots[i].phase == SLOT_RUNNING) command(&s->slots[i], "stop", SLOT_STOPPING, s->server->settings.drain_seconds * 1000);
        }
        if (told_to_stop && atomic_load(&s->running) == 0) return NULL;
        if (s->check_cancels) {
            s->check_cancels = false;
            look_for_cancels(s);
        }
        fill_slots(s);
        listen_once(s);
    }
}

int supervisor_start(struct server *server, struct bp_error *error) {
    struct supervisor *s = calloc(1, sizeof *s);
    if (!s) return bp_error_set(error, "", "out of memory");
    s->server = server;
    s->poke = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    s->slots_count = server->settings.workers > 0 ? (int)server->settings.workers : (int)sysconf(_SC_NPROCESSORS_ONLN);
    if (s->slots_count < 1) s->slots_count = 1;
    if (s->slots_count > SLOTS_MAX) s->slots_count = SLOTS_MAX;
    s->slots = calloc((size_t)s->slots_count, sizeof *s->slots);
    snprintf(s->owner, sizeof s->owner, "pid-%ld", (long)getpid());
    server->supervisor = s;
    if (s->poke >= 0 && s->slots && pthread_create(&s->thread, NULL, supervise, s) == 0) return 0;
    server->supervisor = NULL;
    if (s->poke >= 0) close(s->poke);
    free(s->slots);
    free(s);
    return bp_error_set(error, "", "the supervisor cannot be started: %s", strerror(errno));
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
    pthread_join(s->thread, NULL);
    close(s->poke);
    free(s->slots);
    free(s);
}

int supervisor_slots(const struct supervisor *s) {
    return s->slots_count;
}

int supervisor_running(struct supervisor *s) {
    return atomic_load(&s->running);
}

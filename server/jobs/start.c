/* start.c - see start.h. Sections: what the process is given; elsewhere; the process. */
#include "server/jobs/start.h"

#include "schema/memory.h"
#include "server/clock.h"
#include "server/hex.h"
#include "server/jobs/child.h"
#include "server/jobs/results.h"
#include "server/log.h"
#include "server/store/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CANCEL_GRACE_MS = 100, RELAY_CANCEL_MS = 10000 /* beyond what the launcher's own command may take */ };

/* ---- what the process is given --------------------------------------------------------------------------------------------------------- */

/* Of a dataset; bytes: of its file, which later versions go on with. */
struct extent {
    int64_t rows, bytes;
    char file[STORE_FILE_SIZE];
};

static int open_dataset(struct server *server, const char *name, int64_t version, struct extent *extent, struct bp_error *error) {
    struct store_dataset row = {0};
    if (store_dataset_get(server->store, name, version, &row, error) != STORE_OK)
        return bp_error_set(error, "", "dataset %s@%lld no longer exists", name, (long long)version);
    *extent = (struct extent){.rows = row.rows, .bytes = row.bytes};
    memcpy(extent->file, row.file, sizeof extent->file);
    store_dataset_free(&row);
    const int fd = dataset_file_open(server->store, row.file, error);
    return fd >= 0 ? fd : bp_error_io(error, "dataset %s@%lld: %s", name, (long long)version, strerror(errno));
}

static int open_checkpoint(struct server *server, const struct store_job *job) {
    struct store_checkpoint last = {0};
    struct bp_error error = {0};
    if (store_checkpoint_last(server->store, job->id, &last, &error) != STORE_OK) return -1;
    return checkpoint_file_open(server->store, last.file);
}

/* What a process is started with: descriptors for it, which are closed here afterwards, and what the supervisor keeps of them. */
struct launch {
    int given[CHILD_GIVEN]; /* by place: the socket first */
    int errors;             /* its standard error */
    bool resume;
    struct extent data[2]; /* the dataset, and the one that validates */
    char *results;         /* of a job that predicts: how far they are, JSON; else NULL */
    char *remote;          /* for a relay, JSON; else NULL */
    struct slot slot;
};

/* The first frame. The spec is already text and is inserted unchanged. */
static int send_order(const struct server *server, const struct slot *slot, const struct store_job *job, const struct launch *l) {
    const struct extent *data = l->data;
    const char *results = l->results;
    struct schema_text text = {.limit = WIRE_FRAME_MAX};
    schema_text_format(&text, "{\"job\":\"%s\",\"attempt\":%lld,\"resume\":%s,\"dataset\":{\"name\":\"%s\",\"version\":%lld},\"bytes\":%lld", job->id,
                       (long long)job->attempt, l->resume ? "true" : "false", job->dataset, (long long)job->dataset_version,
                       (long long)data[0].bytes);
    schema_text_format(&text, ",\"rows\":%lld,\"confinement\":\"%s\",\"nice\":%lld,\"cpu_seconds\":%lld", (long long)data[0].rows,
                       server->settings.job_confinement, (long long)server->settings.job_nice, (long long)server->settings.job_cpu_seconds);
    schema_text_format(&text, ",\"processes\":%lld", (long long)(job->needs.processes > 1 ? job->needs.processes : 1));
    schema_text_format(&text, ",\"draft\":%s,\"publish\":\"%s\"", slot->drafts ? "true" : "false", store_publish_names[job->publish]);
    schema_text_format(&text, ",\"training_ms\":%lld,\"silence_ms\":%lld", (long long)job->training_ms, (long long)slot->silence_ms);
    schema_text_format(&text, ",\"kind\":\"%s\",\"compares\":%s,\"results\":%s", store_kind_names[job->kind],
                       job->compared_version > 0 ? "true" : "false", results ? results : "null");
    schema_text_format(&text, ",\"validation\":%lld,\"kernels\":", (long long)data[1].bytes);
    schema_text_json_string(&text, server->settings.kernels);
    schema_text_string(&text, ",\"warnings\":");
    schema_text_string(&text, job->warnings ? job->warnings : "[]");
    if (l->remote) schema_text_string(&text, ",\"remote\":");
    if (l->remote) schema_text_string(&text, l->remote);
    schema_text_string(&text, ",\"spec\":");
    schema_text_string(&text, job->spec);
    schema_text_string(&text, "}");
    int failed = text.failed ? -1 : wire_send_text(slot->fd, text.bytes, text.size);
    free(text.bytes);
    return failed;
}

static int *given(struct launch *l, int place) {
    return &l->given[place - WIRE_SOCKET];
}

/* The ends of what supervisor and process talk over. */
static int open_channels(struct server *server, struct launch *l, const struct store_job *job, struct bp_error *error) {
    int pair[2], ends[2];
    struct timeval patience = {.tv_sec = 10};
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
        return bp_error_io(error, "cannot open a socket for the job process: %s", strerror(errno));
    l->slot.fd = pair[0];
    *given(l, WIRE_SOCKET) = pair[1];
    setsockopt(pair[0], SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    if (!(l->slot.pulse = pulse_new(given(l, WIRE_PULSE))))
        return bp_error_io(error, "cannot share memory with the job process: %s", strerror(errno));
    if (pipe2(ends, O_CLOEXEC) != 0) return bp_error_io(error, "cannot open a pipe for the job process: %s", strerror(errno));
    l->errors = ends[1];
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    if ((l->slot.output = calloc(1, sizeof *l->slot.output))) l->slot.output->fd = ends[0];
    else close(ends[0]);
    if (job->kind == STORE_TRAIN) *given(l, WIRE_DRAFT) = message_draft(server, &l->slot); /* without one, the process asks for it */
    return l->slot.output ? 0 : bp_error_memory(error, "no memory for the job process");
}

/* The model file that the job begins with, as a file of its own; a job that resumes may need it, too: its checkpoint may be unusable. */
static int open_init(struct server *server, struct launch *l, const struct store_job *job, struct bp_error *error) {
    void *bytes = NULL;
    size_t size = 0;
    if (store_job_init(server->store, job->id, &bytes, &size, error) != STORE_OK) return -1;
    if (!bytes) return 0;
    const int fd = *given(l, WIRE_INIT) = scratch_file_of(server->store, bytes, size, error);
    if (fd < 0 && !error->message[0]) bp_error_io(error, "what the job begins with cannot be written: %s", strerror(errno));
    free(bytes);
    return fd >= 0 ? 0 : -1;
}

/* Of a job that trains nothing: what it reads, and what it writes. */
static int open_versions(struct server *server, struct launch *l, const struct store_job *job, struct bp_error *error) {
    int files[STORE_PARTS];
    struct store_results results = {0};
    if ((*given(l, WIRE_INIT) = message_version_file(server, job->model, job->reads_version, error)) < 0) return -1;
    if (job->compared_version > 0 && (*given(l, WIRE_COMPARED) = message_version_file(server, job->compared_model, job->compared_version, error)) < 0)
        return -1;
    if (job->kind != STORE_PREDICT) return 0;
    if (results_open(server, job, files, &results, error) != 0) return -1;
    *given(l, WIRE_PREDICTIONS) = files[STORE_PREDICTIONS];
    *given(l, WIRE_FAILURES) = files[STORE_FAILURES];
    l->resume = results.parts[STORE_PREDICTIONS].rows + results.parts[STORE_FAILURES].rows > 0;
    l->results = results_order(&results);
    store_results_free(&results);
    return l->results ? 0 : bp_error_memory(error, "no memory for the job process");
}

static int open_all(struct server *server, struct launch *l, const struct store_job *job, struct bp_error *error) {
    if ((*given(l, WIRE_DATASET) = open_dataset(server, job->dataset, job->dataset_version, &l->data[0], error)) < 0) return -1;
    if (job->kind != STORE_TRAIN) return open_versions(server, l, job, error) == 0 ? open_channels(server, l, job, error) : -1;
    if (job->validation_dataset[0] &&
        (*given(l, WIRE_VALIDATION) = open_dataset(server, job->validation_dataset, job->validation_version, &l->data[1], error)) < 0)
        return -1;
    if (open_init(server, l, job, error) != 0) return -1;
    l->resume = (*given(l, WIRE_CHECKPOINT) = open_checkpoint(server, job)) >= 0;
    return open_channels(server, l, job, error);
}

/* ---- elsewhere ----------------------------------------------------------------------------------------------------------------------------------
 */

/* A number that nobody can guess: by it a result shows that it is of this attempt. */
static int new_token(char token[33]) {
    unsigned char bytes[16];
    if (getrandom(bytes, sizeof bytes, 0) != sizeof bytes) return -1;
    hex_text(bytes, sizeof bytes, token);
    return 0;
}

static int64_t threads_of(const struct store_job *job) {
    json_t *view = job->view ? schema_json_load(job->view, strlen(job->view), 0, NULL) : NULL;
    const json_int_t threads = json_integer_value(json_object_get(json_object_get(view, "options"), "threads"));
    json_decref(view);
    return threads > 0 ? threads : 1;
}

/* Several processes of a job on this machine. */
static json_t *mpirun_command(void) {
    json_t *command = json_pack("[s, s, s, s, s, s]", "mpirun", "--oversubscribe", "--bind-to", "none", "-n", "{processes}");
    if (geteuid() == 0) json_array_append_new(command, json_string("--allow-run-as-root"));
    return command;
}

/* The command with the program and its arguments, and that which cancels: members of what a relay gets. */
static void add_commands(json_t *remote, const struct launcher *launcher, const struct store_job *job) {
    const int64_t processes = job->needs.processes > 1 ? job->needs.processes : 1;
    json_t *several = launcher->command ? NULL : mpirun_command();
    const json_t *command_of = several ? several : launcher->command;
    const struct launch_values values = {job->id, job->attempt, threads_of(job), job->needs.memory_mb, processes};
    json_t *command = launcher_fill(command_of, &values);
    json_decref(several);
    const char *const arguments[] = {launcher->program, "job", "--stdio"};
    for (size_t i = 0; i < sizeof arguments / sizeof *arguments; i++) json_array_append_new(command, json_string(arguments[i]));
    json_object_set_new(remote, "command", command);
    if (launcher->cancel) json_object_set_new(remote, "cancel", launcher_fill(launcher->cancel, &values));
}

/* What a relay needs to know. */
static int describe_remote(struct launch *l, const struct store_job *job, struct bp_error *error) {
    const struct launcher *launcher = l->slot.launcher;
    char token[33];
    if (new_token(token) != 0) return bp_error_io(error, "no random numbers: %s", strerror(errno));
    json_t *remote =
        json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:b, s:{s:s, s:s}}", "launcher", launcher->name, "token", token, "cache", launcher->cache,
                  "shared", launcher->shared, "cache_mb", (json_int_t)launcher->cache_mb, "start_ms", (json_int_t)launcher->start_seconds * 1000,
                  "cancel_ms", (json_int_t)launcher->cancel_seconds * 1000, "retry_ms", (json_int_t)launcher->retry_seconds * 1000, "again",
                  job->attempt > 1, "files", "dataset", l->data[0].file, "validation", l->data[1].file);
    if (remote) add_commands(remote, launcher, job);
    l->remote = remote ? schema_json_dump(remote, JSON_COMPACT) : NULL;
    json_decref(remote);
    return l->remote ? 0 : bp_error_memory(error, "no memory for the job process");
}

/* ---- a process ----------------------------------------------------------------------------------------------------------------------------------
 */

/* Nothing has started: releases what the supervisor would keep. */
static void cancel_launch(const struct server *server, struct slot *slot) {
    if (slot->fd >= 0) close(slot->fd);
    if (slot->output) output_end(slot->output, slot->job);
    free(slot->output);
    pulse_free(slot->pulse);
    checkpoint_files_remove_leftovers(server->store, slot->job, slot->attempt);
}

/* The process, with what it is given. */
static int start_process(struct server *server, struct launch *l, const struct store_job *job, struct bp_error *error) {
    struct slot *slot = &l->slot;
    if (open_all(server, l, job, error) != 0 || (slot->relayed && describe_remote(l, job, error) != 0)) return -1;
    const struct child child = {.command = slot->relayed ? "relay" : "job", .given = l->given, .errors = l->errors, .launches = slot->relayed};
    slot->pid = child_start(&child);
    return slot->pid >= 0 ? 0 : bp_error_io(error, "cannot start the job process: %s", strerror(errno));
}

static void report_start(const struct launch *l) {
    char attempt[24], process[24];
    snprintf(attempt, sizeof attempt, "%lld", (long long)l->slot.attempt);
    snprintf(process, sizeof process, "%ld", (long)l->slot.pid);
    log_line(LOG_INFO, "job_started", "job", l->slot.job, "attempt", attempt, "pid", process, "resumed", l->resume ? "true" : "false", "launcher",
             l->slot.launcher->name, NULL);
}

int start_attempt(struct server *server, const struct launcher *launcher, const struct store_job *job, struct slot *slot, struct bp_error *error) {
    const bool relayed = launcher->command || job->needs.processes > 1;
    struct launch l = {.errors = -1,
                       .slot = {.phase = SLOT_RUNNING,
                                .launcher = launcher,
                                .relayed = relayed,
                                .cancel_ms = relayed ? launcher->cancel_seconds * 1000 + RELAY_CANCEL_MS : CANCEL_GRACE_MS,
                                .pid = -1,
                                .fd = -1,
                                .attempt = job->attempt,
                                .in = {.limit = WIRE_FRAME_MAX},
                                .silence_ms = server->settings.job_silence_seconds * 1000,
                                .watch = {.looked_at = clock_ms()}}};
    memcpy(l.slot.job, job->id, sizeof l.slot.job);
    for (int i = 0; i < CHILD_GIVEN; i++) l.given[i] = -1;
    const int failed = start_process(server, &l, job, error);
    for (int i = 0; i < CHILD_GIVEN; i++)
        if (l.given[i] >= 0) close(l.given[i]);
    if (l.errors >= 0) close(l.errors);
    if (failed) cancel_launch(server, &l.slot);
    else report_start(&l);
    if (!failed) send_order(server, &l.slot, job, &l); /* a failure means that the process is dying, which its end reports */
    free(l.results);
    free(l.remote);
    *slot = l.slot;
    return failed;
}

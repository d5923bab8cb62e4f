/* messages.c - what a job process reports becomes what the store keeps. A message that the store cannot take (a full disk, no memory) changes nothing
 * and is applied again later, as message_apply returns. */
#include "server/jobs/messages.h"

#include "schema/memory.h"
#include "schema/predict/model_file.h"
#include "server/jobs/links.h"
#include "server/jobs/results.h"
#include "server/jobs/supervisor.h"
#include "server/log.h"
#include "server/ops/metrics.h"
#include "server/store/files.h"
#include "server/store/sweeps.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BLOB_MAX = 1000000000, DRAFTS_MAX = 4 }; /* SQLITE_MAX_LENGTH of Debian's build */

/* ---- reports ---------------------------------------------------------------------------------------------------------------------- */

/* A report as the store wants it; texts are owned by this struct. */
struct report {
    struct store_report report;
    char *texts[5], stop_reason[24];
    struct store_event *events;
};

static void report_free(struct report *r) {
    for (int i = 0; i < 5; i++) free(r->texts[i]);
    for (int32_t i = 0; i < r->report.events_count; i++) {
        free(r->events[i].message);
        free(r->events[i].data);
    }
    free(r->events);
}

/* An owned text of a member, NULL when there is none; *failed is set when out of memory. */
static char *member_text(const json_t *json, const char *name, bool *failed) {
    const json_t *member = json_object_get(json, name);
    char *text = member ? schema_json_dump(member, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    if (member && !text) *failed = true;
    return text;
}

static void event_decode(const json_t *json, struct store_event *event, bool *failed) {
    const char *type = json_string_value(json_object_get(json, "type")), *level = json_string_value(json_object_get(json, "level")),
               *message = json_string_value(json_object_get(json, "message"));
    snprintf(event->type, sizeof event->type, "%s", type ? type : "log");
    snprintf(event->level, sizeof event->level, "%s", level ? level : "info");
    event->epoch = json_integer_value(json_object_get(json, "epoch"));
    if (message && !(event->message = strdup(message))) *failed = true;
    if (json_is_object(json_object_get(json, "data"))) event->data = member_text(json, "data", failed);
}

/* -1: no memory, with the message; nothing is left to free. */
static int report_decode(struct report *r, const json_t *json, struct bp_error *error) {
    static const char *const names[] = {"progress", "metrics", "best", "warnings", "cross_validation"};
    bool failed = false;
    *r = (struct report){0};
    for (int i = 0; i < 5; i++) r->texts[i] = member_text(json, names[i], &failed);
    r->report.progress = r->texts[0];
    r->report.metrics = r->texts[1];
    r->report.best = r->texts[2];
    r->report.warnings = r->texts[3];
    r->report.cross_validation = r->texts[4];
    const json_t *resumed = json_object_get(json, "resumed_from_epoch"), *events = json_object_get(json, "events");
    r->report.training_ms = json_integer_value(json_object_get(json, "training_ms"));
    const char *reason = json_string_value(json_object_get(json, "stop_reason"));
    if (reason) snprintf(r->stop_reason, sizeof r->stop_reason, "%s", reason);
    if (reason) r->report.stop_reason = r->stop_reason;
    r->report.resumed_from_epoch = resumed ? json_integer_value(resumed) : -1;
    const size_t count = json_array_size(events);
    if (!(r->events = calloc(count + 1, sizeof *r->events))) failed = true;
    for (size_t i = 0; !failed && i < count; i++) event_decode(json_array_get(events, i), &r->events[r->report.events_count++], &failed);
    r->report.events = r->events;
    if (!failed) return 0;
    report_free(r);
    *r = (struct report){0};
    return bp_error_memory(error, "no memory for a report of the job");
}

/* What was trained since the last report. Once per report: when the store has taken it. */
static void count_training(struct server *server, const json_t *report) {
    const json_t *trained = json_object_get(report, "trained");
    metrics_add(server->metrics, METRIC_backpropd_job_epochs_total, json_integer_value(json_object_get(trained, "epochs")));
    metrics_add(server->metrics, METRIC_backpropd_job_samples_total, json_integer_value(json_object_get(trained, "samples")));
}

/* ---- endings ---------------------------------------------------------------------------------------------------------------------- */

int message_end_failed(struct server *server, const char *job, int64_t attempt, const char *code, const char *message, struct bp_error *error) {
    json_t *document = json_pack("{s:s, s:s}", "code", code, "message", message);
    char *text = schema_json_dump(document, JSON_COMPACT);
    struct store_ending ending = {.status = STORE_JOB_FAILED, .error_document = text};
    enum store_result result = text ? store_job_end(server->store, job, attempt, &ending, NULL, error) : STORE_FAILED;
    if (!text) bp_error_memory(error, "no memory for the end of the job");
    if (result != STORE_FAILED) log_line(LOG_WARNING, "job_failed", "job", job, "code", code, "message", message, NULL);
    free(text);
    json_decref(document);
    return result == STORE_FAILED ? -1 : 0;
}

/* ---- files ------------------------------------------------------------------------------------------------------------------------------ */

static void name_file(const struct slot *slot, int64_t number, char file[STORE_FILE_SIZE]) {
    char what[24];
    snprintf(what, sizeof what, "%lld", (long long)number);
    checkpoint_file_name(slot->job, slot->attempt, what, file);
}

/* The name of the file whose number a message has, when it was made for this attempt; else NULL. */
static const char *file_of(const struct slot *slot, const json_t *message, char file[STORE_FILE_SIZE]) {
    const json_int_t number = json_integer_value(json_object_get(message, "file"));
    if (number < 1 || number > slot->drafts) return NULL;
    name_file(slot, number, file);
    return file;
}

int message_draft(struct server *server, struct slot *slot) {
    char file[STORE_FILE_SIZE];
    errno = EMFILE;
    if (slot->drafts_open >= DRAFTS_MAX) return -1;
    name_file(slot, slot->drafts + 1, file);
    const int fd = checkpoint_file_create(server->store, file);
    slot->drafts += fd >= 0;
    slot->drafts_open += fd >= 0;
    return fd;
}

/* The process wants a file to write to. That it is gone shows elsewhere. */
static void on_file(struct server *server, struct slot *slot) {
    const int fd = message_draft(server, slot), cause = errno;
    char answer[300]; /* needs no memory: a process that gets no answer would wait for ever */
    const int n = fd >= 0 ? snprintf(answer, sizeof answer, "{\"command\":\"file\",\"number\":%lld}", (long long)slot->drafts)
                          : snprintf(answer, sizeof answer, "{\"command\":\"file\",\"error\":\"%.200s\",\"errno\":%d}", strerror(cause), cause);
    if (fd >= 0) wire_send_file(slot->fd, answer, (size_t)n, fd);
    else wire_send_text(slot->fd, answer, (size_t)n);
    if (fd >= 0) close(fd);
}

int message_version_file(struct server *server, const char *model, int64_t version, struct bp_error *error) {
    void *blob = NULL;
    size_t size = 0;
    if (store_version_blob(server->store, model, version, &blob, &size, error) != STORE_OK) return -1;
    const int fd = scratch_file_of(server->store, blob, size, error);
    if (fd < 0 && !error->message[0]) bp_error_io(error, "%s", strerror(errno));
    free(blob);
    return fd;
}

/* The process wants to compare what it has trained with what is served now. */
static void on_served(struct server *server, struct slot *slot) {
    struct store_job job = {0};
    struct bp_error error = {0};
    char refused[700] = "";
    int64_t version = 0;
    int fd = -1;
    enum store_result result = store_job_get(server->store, slot->job, &job, &error);
    if (result == STORE_OK) result = store_version_find(server->store, job.model, NULL, &version, &error);
    if (result == STORE_OK) fd = message_version_file(server, job.model, version, &error);
    if (result != STORE_NOT_FOUND && fd < 0) {
        struct schema_text text = {.limit = 600};
        schema_text_json_string(&text, error.message);
        snprintf(refused, sizeof refused, ",\"error\":%.600s", text.failed ? "\"it cannot be read\"" : text.bytes);
        free(text.bytes);
    }
    char answer[800];
    const int n = snprintf(answer, sizeof answer, "{\"command\":\"served\",\"version\":%lld%s}", (long long)version, refused);
    if (fd >= 0) wire_send_file(slot->fd, answer, (size_t)n, fd);
    else wire_send_text(slot->fd, answer, (size_t)n);
    if (fd >= 0) close(fd);
    store_job_free(&job);
}

static int on_checkpoint(struct server *server, struct slot *slot, const json_t *message, struct bp_error *error) {
    struct store_checkpoint c = {0};
    char name[STORE_FILE_SIZE];
    const char *file = file_of(slot, message, name);
    store_new_id("ckp", c.id);
    snprintf(c.job, sizeof c.job, "%s", slot->job);
    c.attempt = slot->attempt;
    c.epoch = json_integer_value(json_object_get(message, "epoch"));
    c.step = json_integer_value(json_object_get(message, "step"));
    c.bytes = json_integer_value(json_object_get(message, "bytes"));
    c.best = json_is_true(json_object_get(message, "best"));
    snprintf(c.file, sizeof c.file, "%s.safetensors", c.id);
    if (!file || checkpoint_file_rename(server->store, file, c.file) != 0) { /* the one before stays: nothing is lost but the time since then */
        log_line(LOG_ERROR, "checkpoint_failed", "job", slot->job, "error", file ? strerror(errno) : "it has no file", NULL);
        slot->drafts_open -= file != NULL;
        return 0;
    }
    const enum store_result result = store_checkpoint_add(server->store, &c, error);
    if (result == STORE_FAILED) return checkpoint_file_rename(server->store, c.file, file) == 0 ? -1 : 0;
    slot->drafts_open--;
    if (result != STORE_OK) checkpoint_file_remove(server->store, c.file);
    else log_line(LOG_DEBUG, "checkpoint_stored", "job", slot->job, "checkpoint", c.id, NULL);
    return 0;
}

/* What the process says of the version that is served. The rest of it is for people. */
static char *comparison_decode(const json_t *message, struct store_comparison *comparison, bool *no_memory) {
    const json_t *json = json_object_get(message, "comparison");
    if (!json) return NULL;
    json_t *shown = json_deep_copy(json);
    comparison->better = json_is_true(json_object_get(json, "better"));
    comparison->served = json_integer_value(json_object_get(json, "served"));
    json_object_del(shown, "better");
    json_object_del(shown, "served");
    char *text = shown ? schema_json_dump(shown, JSON_COMPACT) : NULL;
    if (!text) *no_memory = true;
    comparison->document = text;
    json_decref(shown);
    return text;
}

/* The end of a job that makes no version. */
static int on_outcome(struct server *server, struct slot *slot, const json_t *message, struct bp_error *error) {
    struct report report = {0};
    struct store_results results = {0};
    bool no_memory = false;
    const bool predicted = results_decode(message, &results);
    char *evaluation = json_object_get(message, "evaluation") ? member_text(message, "evaluation", &no_memory) : NULL;
    int failed = no_memory || report_decode(&report, json_object_get(message, "report"), error) != 0 ? bp_error_memory(error, "no memory") : 0;
    const struct store_ending ending = {
        .status = STORE_SUCCEEDED, .report = &report.report, .results = predicted ? &results : NULL, .evaluation = evaluation};
    if (!failed) {
        const enum store_result result = store_job_end(server->store, slot->job, slot->attempt, &ending, NULL, error);
        failed = result == STORE_FAILED ? -1 : 0;
        if (result == STORE_OK) log_line(LOG_INFO, "job_succeeded", "job", slot->job, NULL);
    }
    slot->ended = slot->ended || !failed;
    store_results_free(&results);
    report_free(&report);
    free(evaluation);
    return failed;
}

static int on_results(struct server *server, const struct slot *slot, const json_t *message, struct bp_error *error) {
    struct report report;
    struct store_results results;
    if (report_decode(&report, json_object_get(message, "report"), error) != 0) return -1;
    enum store_result result = STORE_OK;
    if (results_decode(message, &results)) result = store_results_advance(server->store, slot->job, slot->attempt, &results, &report.report, error);
    else if (schema_memory_failed()) bp_error_memory(error, "no memory for a report of the job"), result = STORE_FAILED;
    store_results_free(&results);
    report_free(&report);
    return result == STORE_FAILED ? -1 : 0;
}

/* The file of the model is removed only when the store has it, or will never take it. */
static int on_done(struct server *server, struct slot *slot, const json_t *message, struct bp_error *error) {
    struct report report = {0};
    char name[STORE_FILE_SIZE];
    const char *file = file_of(slot, message, name);
    struct store_ending ending = {.status = STORE_SUCCEEDED};
    bool no_memory = false;
    int64_t version = 0;
    void *blob = file ? checkpoint_file_read(server->store, file, &ending.blob_size) : NULL;
    if (!blob && file && errno == ENOMEM) return bp_error_memory(error, "no memory to read the model of the job");
    struct store_comparison comparison;
    char *document = member_text(message, "document", &no_memory), *compared = comparison_decode(message, &comparison, &no_memory);
    char *calibration = blob && json_is_true(json_object_get(message, "calibrated")) ? schema_model_calibration(blob, ending.blob_size) : NULL;
    int failed = 0;
    if (no_memory || report_decode(&report, json_object_get(message, "report"), error) != 0) failed = bp_error_memory(error, "no memory");
    ending.report = &report.report;
    ending.calibration = calibration;
    ending.blob = blob;
    ending.version_document = document;
    ending.comparison = compared ? &comparison : NULL;
    char *evaluation = json_object_get(message, "evaluation") ? member_text(message, "evaluation", &no_memory) : NULL;
    ending.evaluation = evaluation;
    if (!failed && (!blob || !document))
        failed =
            message_end_failed(server, slot->job, slot->attempt, "storage", "the trained model could not be read back from the job process", error);
    else if (!failed && ending.blob_size > BLOB_MAX)
        failed = message_end_failed(server, slot->job, slot->attempt, "storage",
                                    "the model is larger than 1 GB, the limit of a version; use a smaller model", error);
    else if (!failed) {
        const enum store_result result = store_job_end(server->store, slot->job, slot->attempt, &ending, &version, error);
        failed = result == STORE_FAILED ? -1 : 0;
        char number[24];
        snprintf(number, sizeof number, "%lld", (long long)version);
        if (result == STORE_OK) log_line(LOG_INFO, "job_succeeded", "job", slot->job, "version", number, NULL);
    }
    if (!failed) {
        slot->ended = true;
        if (file) checkpoint_file_remove(server->store, file);
    }
    report_free(&report);
    free(calibration);
    free(document);
    free(compared);
    free(evaluation);
    free(blob);
    return failed;
}

static int on_end(struct server *server, struct slot *slot, const json_t *message, enum store_status status, struct bp_error *error) {
    struct report report;
    bool no_memory = false;
    if (report_decode(&report, json_object_get(message, "report"), error) != 0) return -1;
    char *document = member_text(message, "error", &no_memory);
    struct store_ending ending = {.status = status, .error_document = document, .report = &report.report};
    char name[STORE_FILE_SIZE];
    const char *file = file_of(slot, message, name); /* what a diverged training had before */
    void *blob = file ? checkpoint_file_read(server->store, file, &ending.blob_size) : NULL;
    char *version = blob ? member_text(message, "document", &no_memory) : NULL;
    ending.blob = ending.blob_size <= BLOB_MAX ? blob : NULL;
    ending.version_document = version;
    enum store_result result = no_memory ? STORE_FAILED : store_job_end(server->store, slot->job, slot->attempt, &ending, NULL, error);
    if (no_memory) bp_error_memory(error, "no memory for the end of the job");
    if (result != STORE_FAILED) {
        log_line(status == STORE_CANCELLED ? LOG_INFO : LOG_WARNING, status == STORE_CANCELLED ? "job_cancelled" : "job_failed", "job", slot->job,
                 "error", document ? document : "", NULL);
        slot->ended = true;
        if (file) checkpoint_file_remove(server->store, file);
    }
    report_free(&report);
    free(document);
    free(version);
    free(blob);
    return result == STORE_FAILED ? -1 : 0;
}

static int on_yield(struct server *server, struct slot *slot, struct bp_error *error) {
    const enum store_return why = slot->phase == SLOT_PAUSING ? STORE_PAUSE_REQUESTED : STORE_SERVER_STOPPED;
    if (store_job_give_back(server->store, slot->job, slot->attempt, why, NULL, error) == STORE_FAILED) return -1;
    log_line(LOG_INFO, "job_requeued", "job", slot->job, NULL);
    slot->ended = true;
    return 0;
}

static int on_report(struct server *server, const struct slot *slot, const json_t *message, struct bp_error *error) {
    struct report report;
    if (report_decode(&report, json_object_get(message, "report"), error) != 0) return -1;
    const enum store_result result = store_job_report(server->store, slot->job, slot->attempt, &report.report, error);
    report_free(&report);
    return result == STORE_FAILED ? -1 : 0;
}

/* A trial has reached a rung of its sweep, and waits for the answer. */
static int on_rung(struct server *server, struct slot *slot, const json_t *message, struct bp_error *error) {
    struct report report;
    bool stop = false;
    char answer[60];
    if (report_decode(&report, json_object_get(message, "report"), error) != 0) return -1;
    const int64_t epoch = json_integer_value(json_object_get(message, "epoch"));
    const enum store_result result = store_trial_rung(server->store, slot->job, slot->attempt, &report.report, epoch, &stop, error);
    report_free(&report);
    if (result == STORE_FAILED) return -1;
    metrics_add(server->metrics, METRIC_backpropd_sweep_trials_stopped_total, stop);
    const int n = snprintf(answer, sizeof answer, "{\"command\":\"rung\",\"stop\":%s}", stop ? "true" : "false");
    wire_send_text(slot->fd, answer, (size_t)n);
    return 0;
}

/* ---- a process elsewhere -------------------------------------------------------------------------------------------------------------- */

/* Where it runs, or what it waits for. */
static int on_launch(struct server *server, const struct slot *slot, const json_t *message, struct bp_error *error) {
    bool no_memory = false;
    const json_t *launch = json_object_get(message, "launch");
    const char *host = json_string_value(json_object_get(launch, "host")), *waits = json_string_value(json_object_get(launch, "message"));
    char *text = member_text(message, "launch", &no_memory), line[500] = "";
    if (host) snprintf(line, sizeof line, "runs on %.200s, by the launcher %s", host, slot->launcher->name);
    else if (waits) snprintf(line, sizeof line, "waits for the launcher %s: %.300s", slot->launcher->name, waits);
    enum store_result result = text ? store_job_launch(server->store, slot->job, slot->attempt, text, line[0] ? line : NULL, error) : STORE_STALE;
    if (no_memory) bp_error_memory(error, "no memory for a report of the job"), result = STORE_FAILED;
    if (result == STORE_OK && host) log_line(LOG_INFO, "job_connected", "job", slot->job, "launcher", slot->launcher->name, "host", host, NULL);
    free(text);
    return result == STORE_FAILED ? -1 : 0;
}

/* Its launcher has not started it, or its node was lost. */
static int on_unreached(struct server *server, struct slot *slot, const json_t *message, struct bp_error *error) {
    bool no_memory = false;
    char *launch = member_text(message, "launch", &no_memory);
    const char *why = json_string_value(json_object_get(message, "message"));
    json_t *document = json_pack("{s:s, s:s}", "code", "waiting_for_launcher", "message", why ? why : "the launcher has failed");
    char *text = schema_json_dump(document, JSON_COMPACT);
    enum store_result result = STORE_FAILED;
    if (no_memory || !text) bp_error_memory(error, "no memory for a report of the job");
    else
        result =
            store_job_put_off(server->store, slot->job, slot->attempt, json_integer_value(json_object_get(message, "retry_ms")), launch, text, error);
    if (result == STORE_OK) log_line(LOG_WARNING, "job_waits_for_launcher", "job", slot->job, "launcher", slot->launcher->name, "reason", why, NULL);
    slot->ended = slot->ended || result != STORE_FAILED;
    json_decref(document);
    free(launch);
    free(text);
    return result == STORE_FAILED ? -1 : 0;
}

/* It has ended without a result; the end of its relay says nothing. */
static void on_died(struct slot *slot, const json_t *message) {
    const json_int_t signal = json_integer_value(json_object_get(message, "signal")),
                     code = json_integer_value(json_object_get(message, "exit_code"));
    slot->died = true;
    slot->status = W_EXITCODE((int)(code & 255), (int)(signal & 127));
}

/* What processes of one job need for a sum. */
static void on_link(const struct slot *slot, const json_t *message) {
    const struct link link = {.processes = (int)json_integer_value(json_object_get(message, "processes")),
                              .seconds = json_number_value(json_object_get(message, "seconds")),
                              .seconds_per_byte = json_number_value(json_object_get(message, "seconds_per_byte"))};
    if (slot->launcher && link.processes > 1 && link.seconds >= 0 && link.seconds_per_byte >= 0) links_note(slot->launcher->name, &link);
}

static int apply(struct server *server, struct slot *slot, const char *kind, const json_t *message, struct bp_error *error) {
    if (strcmp(kind, "report") == 0) return on_report(server, slot, message, error);
    if (strcmp(kind, "rung") == 0) return on_rung(server, slot, message, error);
    if (strcmp(kind, "file") == 0) return on_file(server, slot), 0;
    if (strcmp(kind, "served") == 0) return on_served(server, slot), 0;
    if (strcmp(kind, "checkpoint") == 0) return on_checkpoint(server, slot, message, error);
    if (strcmp(kind, "results") == 0) return on_results(server, slot, message, error);
    if (strcmp(kind, "done") == 0 && !json_object_get(message, "document")) return on_outcome(server, slot, message, error);
    if (strcmp(kind, "done") == 0) return on_done(server, slot, message, error);
    if (strcmp(kind, "failed") == 0) return on_end(server, slot, message, STORE_JOB_FAILED, error);
    if (strcmp(kind, "cancelled") == 0) return on_end(server, slot, message, STORE_CANCELLED, error);
    if (strcmp(kind, "yield") == 0) return on_yield(server, slot, error);
    if (strcmp(kind, "launch") == 0) return on_launch(server, slot, message, error);
    if (strcmp(kind, "unreached") == 0) return on_unreached(server, slot, message, error);
    if (strcmp(kind, "died") == 0) return on_died(slot, message), 0;
    if (strcmp(kind, "link") == 0) return on_link(slot, message), 0;
    return 0;
}

int message_apply(struct server *server, struct slot *slot, const json_t *message, struct bp_error *error) {
    schema_memory_begin();
    const char *kind = json_string_value(json_object_get(message, "kind"));
    if (!kind || slot->ended) return 0;
    if (apply(server, slot, kind, message, error) != 0) return -1;
    count_training(server, json_object_get(message, "report"));
    return 0;
}

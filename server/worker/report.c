/* report.c - what the job process sends to its supervisor: reports with progress, events, warnings. */
#include "server/worker/process.h"
#include "server/worker/worker.h"

#include "server/clock.h"
#include "server/jobs/progress.h"
#include "server/jobs/wire.h"
#include "server/store/store.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { WARNINGS_MAX = 20 };

void process_note(const char *format, ...) {
    char text[1000], now[32];
    store_time_text(store_now(), now);
    int n = snprintf(text, sizeof text, "%s ", now);
    va_list arguments;
    va_start(arguments, format);
    n += vsnprintf(text + n, sizeof text - (size_t)n - 1, format, arguments);
    va_end(arguments);
    if (n > (int)sizeof text - 2) n = (int)sizeof text - 2;
    text[n++] = '\n';
    ssize_t ignored = write(STDERR_FILENO, text, (size_t)n);
    (void)ignored;
}

void process_say(const json_t *message) {
    if (wire_send(WIRE_SOCKET, message) != 0) worker_exit(3);
}

void process_event(struct process *p, const char *type, const char *level, int64_t epoch, const char *message, json_t *data) {
    if (process_follows(p)) {
        json_decref(data);
        return;
    }
    json_array_append_new(p->events, json_pack("{s:s, s:s, s:I, s:s?, s:o?}", "type", type, "level", level, "epoch", (json_int_t)epoch, "message",
                                               message, "data", data));
}

void process_warn(void *context, const char *text) {
    struct process *p = context;
    const size_t same = strcspn(text, "0123456789");
    const char *layer = strstr(text, "layer \"");
    size_t i;
    json_t *said;
    json_array_foreach(p->warnings, i, said) {
        const char *other = json_string_value(said), *other_layer = other ? strstr(other, "layer \"") : NULL;
        if (!other || strncmp(other, text, same < 12 ? 12 : same) != 0) continue;
        if (!layer || !other_layer || strncmp(layer, other_layer, strcspn(layer + 7, "\"") + 8) == 0) return;
    }
    process_event(p, "log", "warning", 0, text, NULL);
    if (json_array_size(p->warnings) >= WARNINGS_MAX) return;
    json_array_append_new(p->warnings, json_string(text));
    p->warned = true;
}

double process_seconds(const struct process *p) {
    return p->trained_before + (p->started > 0 ? clock_seconds() - p->started : 0);
}

int64_t process_samples(const struct process *p) {
    if (p->ensemble) {
        struct ensemble_progress progress;
        ensemble_progress(p->ensemble, &progress);
        return progress.samples;
    }
    return p->folds.samples + p->epoch * p->run.split.train_count + p->position;
}

/* Members that stop early are whole, so the fraction is that of the work. */
static json_t *progress_of_ensemble(const struct process *p) {
    struct ensemble_progress of;
    ensemble_progress(p->ensemble, &of);
    enum { PARTS = 1000000 };
    const double elapsed = clock_seconds() - p->started, since = of.fraction - p->started_fraction;
    struct progress progress = {.epoch = of.epochs,
                                .epochs = of.fraction < 1 ? of.epochs_at_most : of.epochs,
                                .rows = of.rows,
                                .batch_size = p->training->options.batch_size,
                                .samples = (int64_t)(of.fraction * PARTS),
                                .total = PARTS,
                                .folds = ensemble_plan(p->ensemble)->folds,
                                .members = ensemble_plan(p->ensemble)->members_count,
                                .members_finished = ensemble_finished(p->ensemble)};
    if (elapsed > 0) progress.samples_per_second = (double)(of.samples - p->started_samples) / elapsed;
    if (elapsed > 0 && since > 0) progress.eta_seconds = elapsed * (1 - of.fraction) / since;
    return progress_json(&progress);
}

/* Of all fits: those that follow are counted with all their epochs until they stop earlier. */
static json_t *progress_of(const struct process *p) {
    const struct cross_validation *cv = &p->folds;
    if (p->ensemble) return progress_of_ensemble(p);
    const int64_t most = p->training->options.epochs, rows = p->run.split.train_count, left = cross_validation_left(cv),
                  all = rows + p->run.split.validation_count;
    struct progress progress = {.epoch = cv->epochs + p->epoch,
                                .epochs = cv->epochs + p->epochs + left * most,
                                .position = p->position,
                                .rows = rows,
                                .batch_size = p->run.options.batch_size,
                                .samples = process_samples(p),
                                .total = cv->samples + p->epochs * rows,
                                .folds = cv->folds,
                                .fold = cv->fold};
    if (left) progress.total += most * (all + (left - 1) * (all - all / cv->folds));
    const double elapsed = clock_seconds() - p->started;
    if (elapsed > 0) progress.samples_per_second = (double)(progress.samples - p->started_samples) / elapsed;
    return progress_json(&progress);
}

/* The best epoch, counted over all fits. */
static json_t *best(const struct process *p) {
    json_t *json = run_best_json(&p->run);
    if (json_is_object(json)) json_object_set_new(json, "epoch", json_integer(p->folds.epochs + p->run.best_epoch));
    return json;
}

/* Since the last report. */
static json_t *trained(struct process *p) {
    struct ensemble_progress of = {0};
    if (p->ensemble) ensemble_progress(p->ensemble, &of);
    const int64_t samples = process_samples(p), epochs = p->ensemble ? of.epochs : p->folds.epochs + p->epoch;
    json_t *json =
        json_pack("{s:I, s:I}", "epochs", (json_int_t)(epochs - p->reported_epochs), "samples", (json_int_t)(samples - p->reported_samples));
    p->reported_samples = samples;
    p->reported_epochs = epochs;
    return json;
}

json_t *process_gather(struct process *p) {
    json_t *report = json_pack("{s:o, s:o, s:o, s:I, s:o}", "progress", progress_of(p), "events", p->events, "best", best(p), "resumed_from_epoch",
                               (json_int_t)p->resumed_from, "trained", trained(p));
    if (p->metrics) json_object_set(report, "metrics", p->metrics);
    if (p->warned) json_object_set(report, "warnings", p->warnings);
    if (p->folds_ended && p->ensemble) json_object_set_new(report, "cross_validation", ensemble_report(p->ensemble));
    else if (p->folds_ended && p->folds.folds) json_object_set_new(report, "cross_validation", cross_validation_json(&p->folds));
    json_object_set_new(report, "training_ms", json_integer((json_int_t)(1000 * process_seconds(p))));
    p->warned = p->folds_ended = false;
    p->events = json_array();
    p->resumed_from = -1;
    p->reported_ms = clock_ms();
    return report;
}

void process_report(struct process *p) {
    if (process_follows(p)) return;
    json_t *message = json_pack("{s:s, s:o}", "kind", "report", "report", process_gather(p));
    process_say(message);
    json_decref(message);
}

int process_fail(struct process *p, const char *code, const char *format, ...) {
    char text[700];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (process_follows(p)) {
        snprintf(p->problem, sizeof p->problem, "%.390s", text);
        return 1;
    }
    json_t *message = json_pack("{s:s, s:{s:s, s:s}}", "kind", "failed", "error", "code", code, "message", text);
    if (p->run.trainer || p->ensemble) json_object_set_new(message, "report", process_gather(p));
    process_say(message);
    json_decref(message);
    return 1;
}

int process_fail_error(struct process *p, const struct bp_error *error) {
    static const char *const codes[] = {[BP_ERROR_INVALID] = "invalid",
                                        [BP_ERROR_MEMORY] = "out_of_memory",
                                        [BP_ERROR_IO] = "internal",
                                        [BP_ERROR_DAMAGED] = "damaged",
                                        [BP_ERROR_UNSUPPORTED] = "invalid"};
    return process_fail(p, codes[error->code], "%s", error->message);
}

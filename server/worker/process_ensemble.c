/* process_ensemble.c - the job process while it trains an ensemble: one thread gathers what the members' threads report, writes checkpoints, and
 * obeys. */
#include "server/worker/process.h"

#include "engine/kernels/kernels.h"
#include "schema/memory.h"
#include "server/clock.h"
#include "server/jobs/wire.h"
#include "server/worker/heartbeat.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { WAIT_MS = 50, REPORT_MS = 250, CHECKPOINT_MIN_MS = 1000 };

/* ---- checkpoints: the finished members --------------------------------------------------------------------------------------------------- */

void process_ensemble_checkpoint(struct process *p) {
    struct bp_error error = {0};
    struct stat info;
    struct ensemble_progress progress;
    int cause;
    const int64_t began = clock_ms();
    const enum pulse_phase phase = heartbeat_phase(PULSE_CHECKPOINT);
    ensemble_progress(p->ensemble, &progress);
    json_t *notes = json_pack("{s:s, s:s, s:I}", "kernels", bp_kernels_name(), "blas", bp_blas_name(), "epochs", (json_int_t)progress.epochs);
    const int fd = process_draft(p, &cause, &error);
    int failed = fd < 0 ? -1 : ensemble_save(p->ensemble, fd, notes, &error);
    if (!failed && (fsync(fd) != 0 || fstat(fd, &info) != 0)) failed = bp_error_io(&error, "%s", strerror(errno));
    json_decref(notes);
    const struct checkpoint_written written = {.began = began, .epoch = progress.epochs, .step = progress.epochs, .bytes = failed ? 0 : info.st_size};
    process_checkpoint_written(p, &written, failed ? &error : NULL);
    heartbeat_phase(phase);
}

/* The members that an earlier attempt has finished. *epochs: its count. */
static int load(struct process *p, int64_t *epochs, struct bp_error *error) {
    struct stat info;
    json_t *notes = NULL;
    void *bytes = fstat(WIRE_CHECKPOINT, &info) == 0 && info.st_size > 0
                      ? mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, WIRE_CHECKPOINT, 0)
                      : MAP_FAILED;
    if (bytes == MAP_FAILED) return bp_error_io(error, "cannot read the checkpoint: %s", strerror(errno));
    const int failed = ensemble_load(p->ensemble, bytes, (size_t)info.st_size, &notes, error);
    munmap(bytes, (size_t)info.st_size);
    if (!failed) process_compare_kernels(p, notes);
    *epochs = json_integer_value(json_object_get(notes, "epochs"));
    json_decref(notes);
    return failed;
}

static int open_ensemble(struct process *p) {
    struct bp_error error = {0};
    struct ensemble_options options = {.spec = json_object_get(p->order, "spec"),
                                       .dataset = p->dataset,
                                       .other = p->other,
                                       .threads = p->training->options.threads,
                                       .max_seconds = p->training->options.max_seconds,
                                       .seconds_before = p->trained_before,
                                       .step = heartbeat_step};
    int64_t epochs = 0;
    if (ensemble_open(&options, &p->ensemble, &error) != 0) return process_fail_error(p, &error);
    if (json_is_true(json_object_get(p->order, "resume"))) {
        if (load(p, &epochs, &error) == 0) {
            ensemble_count(p->ensemble, epochs);
            p->resumed_from = epochs;
            process_note("resumes with %d finished members", (int)ensemble_finished(p->ensemble));
        } else {
            process_start_over(p, &error);
            ensemble_close(p->ensemble);
            p->ensemble = NULL;
            error = (struct bp_error){0};
            if (ensemble_open(&options, &p->ensemble, &error) != 0) return process_fail_error(p, &error);
        }
    }
    close(WIRE_CHECKPOINT);
    return 0;
}

/* ---- the loop ----------------------------------------------------------------------------------------------------------------------------- */

static void take_events(struct process *p, json_t *events) {
    size_t i;
    json_t *data;
    json_array_foreach(events, i, data) {
        process_event(p, "metrics", "info", json_integer_value(json_object_get(data, "epoch")), NULL, json_incref(data));
        json_decref(p->metrics);
        p->metrics = json_copy(data);
        static const char *const apart[] = {"epoch", "fold_epoch", "family", "fold", "repeat"};
        for (size_t k = 0; k < sizeof apart / sizeof *apart; k++) json_object_del(p->metrics, apart[k]);
        heartbeat_epoch(json_integer_value(json_object_get(data, "epoch")) + 1);
    }
    json_decref(events);
}

/* A member that has just ended, in words. */
static void say_finished(struct process *p, int32_t *said) {
    char text[200];
    *said = ensemble_finished(p->ensemble);
    snprintf(text, sizeof text, "%d of %d members have been trained", (int)*said, (int)ensemble_plan(p->ensemble)->members_count);
    process_event(p, "log", "info", 0, text, NULL);
    p->folds_ended = true;
}

static void train(struct process *p) {
    int32_t finished = ensemble_finished(p->ensemble), saved = finished;
    for (bool more = true; more && !process_commanded(p) && !process_damaged(p, NULL);) {
        json_t *events;
        more = ensemble_wait(p->ensemble, WAIT_MS, &events);
        take_events(p, events);
        if (ensemble_finished(p->ensemble) != finished) say_finished(p, &finished);
        const int64_t now = clock_ms(), least = p->checkpoint_cost_ms * 10 > CHECKPOINT_MIN_MS ? p->checkpoint_cost_ms * 10 : CHECKPOINT_MIN_MS;
        if (more && finished != saved && now - p->checkpoint_ms >= least) {
            process_ensemble_checkpoint(p);
            saved = finished;
        } else if (now - p->reported_ms >= REPORT_MS) {
            process_report(p);
        }
    }
}

static int finish(struct process *p) {
    struct bp_error error = {0};
    struct schema_training *joined;
    bp_real *weights;
    json_t *document;
    const bool cut = ensemble_cut(p->ensemble);
    heartbeat_phase(PULSE_MODEL);
    if (ensemble_join(p->ensemble, &joined, &weights, &document, &error) != 0) return process_fail_error(p, &error);
    p->fit = joined;
    p->folds_ended = true;
    const json_t *asked = json_object_get(json_object_get(p->order, "spec"), "calibrate");
    char why[CALIBRATE_WHY] = "";
    if (asked) {
        json_t *calibration = ensemble_calibrate(p->ensemble, joined, asked, why);
        process_calibrated(p, calibration, why);
    }
    json_t *test = NULL;
    int ended = process_test(p, weights, document, &test);
    if (ended == 0 && schema_options_test(&p->training->options) && !test) ended = 1;
    if (ended == 0) ended = process_write_model(p, weights, document);
    json_t *comparison = ended == 0 ? process_compare(p, document) : NULL;
    if (comparison && process_commanded(p)) ended = 1;
    int status = 1;
    if (ended > 0) status = process_end_commanded(p);
    if (ended == 0) {
        json_t *last = process_gather(p);
        json_object_set(last, "metrics", json_object_get(document, "metrics"));
        json_object_set_new(last, "stop_reason", json_string(cut ? "max_seconds" : ""));
        json_t *message =
            json_pack("{s:s, s:I, s:O, s:o}", "kind", "done", "file", (json_int_t)p->draft.number, "document", document, "report", last);
        if (comparison) json_object_set(message, "comparison", comparison);
        if (test) json_object_set(message, "evaluation", test);
        if (p->calibration) json_object_set_new(message, "calibrated", json_true());
        process_say(message);
        json_decref(message);
        status = 0;
    }
    json_decref(comparison);
    json_decref(test);
    json_decref(document);
    free(weights);
    schema_training_free(joined);
    return status;
}

int process_ensemble(struct process *p) {
    struct bp_error error = {0};
    struct ensemble_progress progress;
    if (open_ensemble(p) != 0) return 1;
    p->started = clock_seconds();
    p->checkpoint_ms = clock_ms();
    ensemble_progress(p->ensemble, &progress);
    p->started_samples = p->reported_samples = progress.samples;
    p->started_fraction = progress.fraction;
    p->reported_epochs = progress.epochs;
    heartbeat_phase(PULSE_TRAINING);
    process_note("%d members, kernels %s, BLAS %s", (int)ensemble_plan(p->ensemble)->members_count, bp_kernels_name(), bp_blas_name());
    if (p->resumed_from >= 0) process_report(p);
    if (ensemble_start(p->ensemble, &error) != 0) return process_fail_error(p, &error);
    train(p);
    ensemble_stop(p->ensemble);
    json_t *events;
    ensemble_wait(p->ensemble, 0, &events);
    take_events(p, events);
    if (process_damaged(p, &error)) return process_fail_error(p, &error);
    if (ensemble_failed(p->ensemble, &error)) return process_fail(p, error.code == BP_ERROR_INVALID ? "diverged" : "internal", "%s", error.message);
    return process_commanded(p) ? process_end_commanded(p) : finish(p);
}

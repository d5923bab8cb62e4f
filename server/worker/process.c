/* process.c - the job process: `backpropd job`, started by the supervisor, one per attempt.
 *
 * Descriptors: 3 the socket to the supervisor, 4 the dataset's column file, 5 the checkpoint to go on from, 6 the dataset that validates (when there
 * are such), 7 the file to write next, 8 the page of pulse.h, 9 the model that it begins with. It opens no path: not the database, not a file of
 * another job. One thread trains; another listens for commands and ends the process when the supervisor is gone.
 *
 * Sections: the process's own limits, commands, the loop, the end, the fits. Reports are in report.c, checkpoints in checkpoint.c.
 */
#include "server/worker/process.h"
#include "server/worker/worker.h"

#include "engine/kernels/kernels.h"
#include "schema/resolve/folds.h"
#include "server/clock.h"
#include "server/jobs/child.h"
#include "server/jobs/wire.h"
#include "server/store/files.h"
#include "server/worker/confine.h"
#include "server/worker/heartbeat.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

enum { REPORT_MS = 50, PROGRESS_MS = 250, EPOCHS_KEPT = 10000, HEALTH_KEPT = 500 };

/* Whether a damaged part of the data was read: then nothing that came of it is kept. */
bool process_damaged(const struct process *p, struct bp_error *error) {
    return schema_dataset_intact(p->dataset, error) != 0 || schema_dataset_intact(p->other, error) != 0;
}

/* ---- commands ------------------------------------------------------------ */

extern void __gcov_dump(void) __attribute__((weak)); /* with --coverage only: the counts, which exit() would write */

_Noreturn void worker_exit(int status) {
    heartbeat_end();
    if (__gcov_dump) __gcov_dump();
    _exit(status);
}

static void *listen_for_commands(void *context) {
    struct process *p = context;
    for (;;) {
        int file = -1;
        json_t *message = wire_receive_file(WIRE_SOCKET, &file);
        if (!message) worker_exit(3); /* the supervisor has exited: no process reads the result */
        const char *command = json_string_value(json_object_get(message, "command"));
        if (command && strcmp(command, "cancel") == 0) atomic_store(&p->command, COMMAND_CANCEL);
        if (command && strcmp(command, "stop") == 0) atomic_store(&p->command, COMMAND_STOP);
        if (command && strcmp(command, "rung") == 0) process_rung_answered(p, message);
        if (command && strcmp(command, "file") == 0) process_draft_arrived(p, message, file);
        else if (command && strcmp(command, "served") == 0) process_served_arrived(p, message, file);
        else if (file >= 0) close(file);
        json_decref(message);
    }
}

/* ---- the loop ---------------------------------------------------------------------------------------------------------------------------- */

/* A metrics event of an epoch of this fit. Epochs are counted over all fits, so that each is reported once. */
static void report_epoch(struct process *p, const json_t *metrics, int64_t epoch, json_t *layers) {
    const struct cross_validation *cv = &p->folds;
    json_t *data = json_pack("{s:I}", "epoch", (json_int_t)(cv->epochs + epoch));
    if (cv->folds) {
        json_object_set_new(data, "fold", cv->fold ? json_integer(cv->fold) : json_null());
        json_object_set_new(data, "fold_epoch", json_integer(epoch));
    }
    json_object_update(data, (json_t *)metrics);
    if (layers) json_object_set_new(data, "layers", layers);
    process_event(p, "metrics", "info", cv->epochs + epoch, NULL, data);
}

/* Epochs of all fits, if none stops early. */
static int64_t epochs_at_most(const struct process *p) {
    return (int64_t)p->training->options.epochs * (p->folds.folds + 1);
}

/* The health of the layers is reported with each of the first HEALTH_KEPT epochs, beyond that with every k-th, the first and the last. */
static bool health_due(const struct process *p) {
    const int64_t every = (epochs_at_most(p) + HEALTH_KEPT - 1) / HEALTH_KEPT;
    return p->epoch == 1 || p->epoch == p->epochs || p->epoch % every == 0;
}

/* Up to EPOCHS_KEPT epochs every one is reported, beyond that every k-th, and always the first of a fit; end_fit adds the best and the last. */
void process_epoch_ended(struct process *p) {
    bool improved;
    int64_t every = (epochs_at_most(p) + EPOCHS_KEPT - 1) / EPOCHS_KEPT;
    p->epoch++;
    p->position = 0;
    heartbeat_epoch(p->folds.epochs + p->epoch + 1);
    json_decref(p->metrics);
    p->metrics = run_epoch(&p->run, p->epoch, &improved);
    advice_epoch(&p->advice, &p->run, p->epoch, process_warn, p);
    if (p->epoch != 1 && p->epoch % every != 0 && !process_rung_is(p, p->epoch)) return;
    report_epoch(p, p->metrics, p->epoch, health_due(p) ? run_health(&p->run) : NULL);
    p->last_emitted = p->epoch;
}

void process_step_ended(struct process *p) {
    struct bp_trainer_state state;
    bp_trainer_state(p->run.trainer, &state);
    p->position = state.epoch == p->epoch ? state.position : 0;
}

void process_report_due(struct process *p, bool epoch_ended, int64_t now) {
    if (epoch_ended ? now - p->reported_ms < REPORT_MS && p->reported_ms != 0 : now - p->reported_ms < PROGRESS_MS) return;
    process_step_ended(p);
    process_report(p);
}

/* Trains until the end of the fit, a command, or divergence. Returns what ended it. */
static enum bp_train_event train(struct process *p) {
    int64_t looked = clock_ms();
    unsigned steps = 0;
    heartbeat_phase(PULSE_TRAINING);
    heartbeat_epoch(p->folds.epochs + p->epoch + 1);
    for (;;) {
        if (p->epoch >= p->epochs) return BP_TRAIN_DONE; /* the last fit of a cross-validation may have fewer than its trainer knows of */
        if (process_rung_stops(p)) return run_cut(&p->run), BP_TRAIN_DONE;
        if (process_commanded(p)) return process_step_ended(p), BP_TRAIN_STEP;
        if (p->limit > 0 && run_is_cut(&p->run, p->epoch, process_seconds(p), p->limit)) return BP_TRAIN_DONE;
        enum bp_train_event event = bp_trainer_step(p->run.trainer);
        heartbeat_step();
        if (event == BP_TRAIN_DONE || event == BP_TRAIN_DIVERGED) return event;
        if (event == BP_TRAIN_EPOCH && process_damaged(p, NULL)) return BP_TRAIN_STEP; /* work() reports it */
        if (event == BP_TRAIN_EPOCH) process_epoch_ended(p);
        if (atomic_load_explicit(&p->command, memory_order_relaxed) != COMMAND_NONE) {
            process_step_ended(p);
            return BP_TRAIN_STEP;
        }
        /* The clock is read at the end of an epoch, or now and then within one. */
        if (event != BP_TRAIN_EPOCH && (++steps & 15) != 0) continue;
        int64_t now = clock_ms();
        if (event != BP_TRAIN_EPOCH && now == looked) continue;
        looked = now;
        process_report_due(p, event == BP_TRAIN_EPOCH, now);
        if (process_checkpoint_due(p, event == BP_TRAIN_EPOCH) && !process_damaged(p, NULL)) {
            process_step_ended(p);
            process_checkpoint(p);
        }
    }
}

/* ---- the end --------------------------------------------------------------------------------------------------------------------------------- */

/* The final events of a fit that has ended, and its weights. */
static const bp_real *end_fit(struct process *p) {
    const int64_t best = p->run.best_epoch;
    if (epochs_at_most(p) > EPOCHS_KEPT) {
        if (p->run.best_metrics) report_epoch(p, p->run.best_metrics, best, NULL); /* stored once by the store */
        if (p->last_emitted != p->epoch && p->metrics) report_epoch(p, p->metrics, p->epoch, NULL);
    }
    char text[300] = "", which[40] = "";
    if (p->folds.fold) snprintf(which, sizeof which, "fold %d ", p->folds.fold);
    else if (p->folds.folds) snprintf(which, sizeof which, "the fit on all rows ");
    const bp_real *weights = run_end(&p->run, p->epoch, p->epochs);
    if (strcmp(p->run.stop_reason, "early_stopping") == 0)
        snprintf(text, sizeof text, "%sstopped early after epoch %lld: %s has not improved for %d epochs; the weights of epoch %lld are stored",
                 which, (long long)p->epoch, p->run.best_metric, p->fit->options.stop_patience, (long long)best);
    else if (strcmp(p->run.stop_reason, "sweep") == 0)
        snprintf(text, sizeof text, "stopped by its sweep after epoch %lld of %lld; the weights of epoch %lld are stored", (long long)p->epoch,
                 (long long)p->epochs, (long long)(run_keeps_best(&p->run) ? best : p->epoch));
    else if (p->run.stop_reason[0])
        snprintf(text, sizeof text,
                 "%sstopped by max_seconds after epoch %lld of %lld, %.1f s of training; the weights of epoch %lld are stored, the best by %s", which,
                 (long long)p->epoch, (long long)p->epochs, process_seconds(p), (long long)(run_keeps_best(&p->run) ? best : p->epoch),
                 p->run.best_metric);
    if (text[0]) process_event(p, "log", "info", 0, text, NULL);
    if (p->run.stop_reason[0]) p->position = 0;
    return weights;
}

bool process_commanded(void *context) {
    const struct process *p = context;
    if (p->together) return p->agreed != COMMAND_NONE;
    return atomic_load_explicit(&p->command, memory_order_relaxed) != COMMAND_NONE;
}

/* The trained model as a file. A disk that is full or fails is waited for: what was trained stays in memory, and a cancel or a stop ends the wait. 1:
 * it did. */
int process_write_model(struct process *p, const bp_real *weights, json_t *document) {
    heartbeat_phase(PULSE_MODEL);
    json_object_set(document, "dataset", json_object_get(p->order, "dataset"));
    json_object_set_new(document, "job", json_string(p->job));
    json_t *reference = schema_reference_build(p->fit, weights, p->dataset);
    if (reference) json_object_set_new(document, "reference", reference);
    for (bool warned = false;; warned = true) {
        struct bp_error error = {0};
        size_t size = 0;
        int cause;
        struct schema_model_optimizer optimizer;
        const bool keeps = !p->ensemble && run_optimizer(&p->run, &optimizer);
        const int fd = process_draft(p, &cause, &error);
        const struct schema_model_parts parts = {document, p->calibration, keeps ? &optimizer : NULL};
        const int failed = fd < 0 ? -1 : schema_model_write_parts(fd, p->fit, &parts, weights, &size, &error);
        if (fd >= 0) cause = errno;
        if (!failed) return 0;
        process_draft_clear(p);
        if (cause != ENOSPC && cause != EDQUOT && cause != EIO && cause != EROFS) {
            process_fail(p, "storage", "cannot write the model: %s", error.message);
            return -1;
        }

        char text[700];
        snprintf(text, sizeof text, "the model is trained but cannot be written: %.400s; free space on the disk; the job retries every second",
                 error.message);
        if (!warned) {
            process_warn(p, text);
            process_report(p);
        }
        for (int i = 0; i < 50; i++) {
            heartbeat_step();
            struct timespec pause = {.tv_nsec = 20000000};
            if (process_commanded(p)) return 1;
            nanosleep(&pause, NULL);
        }
    }
}

/* The message that replaces a result after a command. */
int process_end_commanded(struct process *p) {
    const bool stop = atomic_load(&p->command) == COMMAND_STOP;
    if (stop && p->ensemble) process_ensemble_checkpoint(p);
    else if (stop) process_checkpoint(p);
    json_t *message = json_pack("{s:s, s:o}", "kind", stop ? "yield" : "cancelled", "report", process_gather(p));
    process_say(message);
    json_decref(message);
    return 0;
}

/* As the job asks for it: by `document`, taken, or the reason why there is none. */
void process_calibrated(struct process *p, json_t *document, const char *why) {
    char text[600];
    p->calibration = document;
    if (document) {
        json_object_set(json_object_get(document, "fitted"), "dataset", json_null());
        return;
    }
    snprintf(text, sizeof text, "the version is not calibrated: %s", why);
    process_warn(p, text);
}

static void calibrate(struct process *p, const bp_real *weights) {
    const json_t *asked = json_object_get(json_object_get(p->order, "spec"), "calibrate");
    char why[CALIBRATE_WHY] = "";
    if (!asked) return;
    heartbeat_phase(PULSE_MODEL);
    json_t *document = run_calibrate(&p->run, weights, asked, why);
    process_calibrated(p, document, why);
}

static int finish(struct process *p) {
    const bp_real *weights = end_fit(p);
    calibrate(p, weights);
    json_t *document = run_document(&p->run, p->metrics, p->epoch);
    if (p->folds.folds) {
        json_object_set_new(document, "metrics", cross_validation_metrics(&p->folds));
        json_object_set_new(document, "cross_validation", cross_validation_json(&p->folds));
    }
    process_team_report(p, document);
    json_t *test = NULL;
    int ended = process_test(p, weights, document, &test);
    if (ended == 0 && schema_options_test(&p->training->options) && !test) ended = 1;
    if (ended == 0) ended = process_write_model(p, weights, document);
    json_t *comparison = ended == 0 ? process_compare(p, document) : NULL;
    if (ended != 0 || (comparison && process_commanded(p))) {
        json_decref(document);
        json_decref(comparison);
        json_decref(test);
        return ended < 0 ? 1 : process_end_commanded(p);
    }
    json_t *last = process_gather(p);
    json_object_set_new(json_object_get(last, "progress"), "fraction", json_real(1)); /* it may have stopped early */
    json_object_set(last, "metrics", json_object_get(document, "metrics"));
    json_object_set_new(last, "stop_reason", json_string(cross_validation_is_cut(&p->folds) ? "max_seconds" : p->run.stop_reason));
    json_t *message = json_pack("{s:s, s:I, s:o, s:o}", "kind", "done", "file", (json_int_t)p->draft.number, "document", document, "report", last);
    if (comparison) json_object_set_new(message, "comparison", comparison);
    if (test) json_object_set_new(message, "evaluation", test);
    if (p->calibration) json_object_set_new(message, "calibrated", json_true());
    process_say(message);
    json_decref(message);
    return 0;
}

/* Why a training has failed, and what is kept of it: in the job's error. epoch: of this fit, 0: nothing is kept. */
static json_t *divergence(const struct process *p, int64_t epoch) {
    const int fold = p->folds.fold, folds = p->folds.folds;
    char which[60] = "", kept[300], finished[160] = "", text[900];
    if (folds) snprintf(which, sizeof which, fold ? "fold %d of %d: " : "the fit on all rows: ", fold, folds);
    if (!epoch) snprintf(kept, sizeof kept, "No weights are kept: no epoch ended with a finite loss");
    else if (fold)
        snprintf(kept, sizeof kept, "The weights of epoch %lld of this fold, trained on its %lld rows, are kept as version 1 of the model \"%s\"",
                 (long long)epoch, (long long)p->run.split.train_count, p->job);
    else snprintf(kept, sizeof kept, "The weights of epoch %lld are stored as version 1 of the model \"%s\"", (long long)epoch, p->job);
    if (fold > 1)
        snprintf(finished, sizeof finished, "; the metrics of the %d finished fold%s are in cross_validation", fold - 1, fold > 2 ? "s" : "");
    else if (folds && !fold) snprintf(finished, sizeof finished, "; the metrics of all folds are in cross_validation");
    snprintf(text, sizeof text,
             "%sthe loss is not finite any more in epoch %lld%s; try a smaller learning_rate, %sor check the data for extreme values. %s%s", which,
             (long long)p->epoch + 1, folds ? " of this fit" : "", p->run.options.gradient_clip_norm > 0 ? "" : "gradient_clip_norm, ", kept,
             finished);
    json_t *error = json_pack("{s:s, s:s}", "code", "diverged", "message", text);
    if (fold) json_object_set_new(error, "fold", json_integer(fold));
    if (epoch) json_object_set_new(error, "model", json_string(p->job));
    if (epoch) json_object_set_new(error, "epoch", json_integer(epoch));
    return error;
}

/* The loss is not finite any more. What was good before becomes a model of the job's own name, of a fold too: the latest version of the model that it
 * trained for stays what it was. */
static int diverge(struct process *p) {
    int64_t epoch = 0;
    const bp_real *good = bp_trainer_good(p->run.trainer, &epoch);
    json_t *document = good ? run_document(&p->run, p->metrics, epoch) : NULL;
    const int ended = good ? process_write_model(p, good, document) : 0;
    if (ended != 0) {
        json_decref(document);
        return ended > 0 ? process_end_commanded(p) : 1;
    }
    json_t *message = json_pack("{s:s, s:o, s:o}", "kind", "failed", "error", divergence(p, good ? epoch : 0), "report", process_gather(p));
    if (good) json_object_set_new(message, "file", json_integer((json_int_t)p->draft.number));
    if (good) json_object_set(message, "document", document);
    process_say(message);
    json_decref(message);
    json_decref(document);
    return 1;
}

/* ---- the fits ------------------------------------------------------------ */

static void start_onednn(struct process *p) {
    const char *kernels = json_string_value(json_object_get(p->order, "kernels"));
    struct bp_error without = {0};
    char text[600];
    run_start_onednn(p->training, json_integer_value(json_object_get(p->order, "rows")), kernels && strcmp(kernels, "auto") != 0, &without);
    if (p->training->options.precision == SCHEMA_PRECISION_AUTO && !p->training->options.bfloat16) {
        snprintf(text, sizeof text, "precision \"auto\" is float32 here: %s", without.message);
        process_warn(p, text);
    } else if (without.message[0]) {
        process_note("without oneDNN: %s", without.message);
    }
}

/* What was read of damaged data explains whatever else is wrong. */
static int fit_failed(struct process *p, const struct bp_error *error) {
    struct bp_error damage = {0};
    return process_fail_error(p, process_damaged(p, &damage) ? &damage : error);
}

/* Sets up the fit that is next: the one of the spec, or that of a fold, whose training is fitted on its own rows. */
static int open_fit(struct process *p) {
    struct bp_error error = {0};
    const int32_t fold = p->folds.fold;
    p->fit = p->training;
    if (fold && !(p->fit = schema_training_fold(json_object_get(p->order, "spec"), p->dataset, fold, &error))) return fit_failed(p, &error);
    p->fit->options.bfloat16 = p->training->options.bfloat16;
    p->fit->options.processes = p->training->options.processes;
    const struct bp_reducer *reducer = p->team ? team_reducer(p->team) : NULL;
    if (run_open_together(&p->run, p->fit, p->dataset, p->other, reducer, &error) != 0) return fit_failed(p, &error);
    const json_t *init = json_object_get(json_object_get(p->order, "spec"), "init");
    if (init && run_begin_with(&p->run, WIRE_INIT, init, NULL, &error) != 0) return fit_failed(p, &error);
    p->epochs = p->training->options.epochs;
    if (p->folds.folds && !fold && (p->training->options.stop_early || cross_validation_is_cut(&p->folds)))
        p->epochs = cross_validation_last_epochs(&p->folds);
    /* Each of the fits that are left has an equal share of the time that is left. */
    const double seconds = process_seconds(p), most = p->training->options.max_seconds;
    p->limit = most > 0 ? seconds + (most > seconds ? most - seconds : 0) / (cross_validation_left(&p->folds) + 1) : 0;
    p->epoch = p->position = p->last_emitted = p->checkpoint_epoch = 0;
    memset(&p->advice, 0, sizeof p->advice);
    return 0;
}

static void close_fit(struct process *p) {
    run_close(&p->run);
    if (p->fit != p->training) schema_training_free(p->fit);
    p->fit = NULL;
    json_decref(p->metrics);
    p->metrics = NULL;
    malloc_trim(0); /* the next fit reuses the memory of this one, so it is not counted twice */
}

static void report_last_epochs(struct process *p) {
    char text[300];
    const bool cut = cross_validation_is_cut(&p->folds);
    if (p->folds.fold || !p->folds.folds || (!p->training->options.stop_early && !cut)) return;
    snprintf(text, sizeof text, "the fit on all rows runs for %lld epochs, the rounded mean of the best epochs of %s in the %d folds",
             (long long)p->epochs, cut ? "the time" : "early stopping", p->folds.folds);
    process_warn(p, text);
}

/* A fold has ended: its result is reported and stored, the next fit begins. */
static int next_fit(struct process *p) {
    struct bp_trainer_state state;
    char text[300];
    end_fit(p);
    const bool best = run_keeps_best(&p->run);
    json_t *metrics = best ? p->run.best_metrics : p->metrics;
    json_t *entry = json_pack("{s:i, s:I, s:I, s:I, s:I, s:O?}", "fold", p->folds.fold, "train_rows", (json_int_t)p->run.split.train_count,
                              "validation_rows", (json_int_t)p->run.validation_count, "epoch", (json_int_t)(best ? p->run.best_epoch : p->epoch),
                              "epochs", (json_int_t)p->epoch, "metrics", metrics);
    if (p->run.stop_reason[0]) json_object_set_new(entry, "stop_reason", json_string(p->run.stop_reason));
    const json_t *loss = json_object_get(metrics, "val_loss");
    char value[40] = "undefined";
    if (json_is_number(loss)) snprintf(value, sizeof value, "%.6g", json_number_value(loss));
    snprintf(text, sizeof text, "fold %d of %d has ended: val_loss %s", p->folds.fold, p->folds.folds, value);
    process_event(p, "log", "info", 0, text, json_incref(entry));
    bp_trainer_state(p->run.trainer, &state);
    const int64_t samples = p->epoch * p->run.split.train_count;
    cross_validation_add(&p->folds, entry);
    p->folds_ended = true;
    heartbeat_phase(PULSE_LOADING);
    process_report(p); /* while a run exists whose progress can be reported */
    cross_validation_next(&p->folds, samples, state.updates);
    close_fit(p);
    if (open_fit(p) != 0) return -1;
    report_last_epochs(p);
    process_checkpoint(p);
    return 0;
}

static int open_data(struct process *p) {
    struct bp_error error = {0};
    heartbeat_phase(PULSE_LOADING);
    const int64_t bytes = json_integer_value(json_object_get(p->order, "bytes"));
    const int64_t others = json_integer_value(json_object_get(p->order, "validation")); /* bytes too */
    if (schema_dataset_open(WIRE_DATASET, bytes, &p->dataset, &error) != 0) return process_fail(p, "dataset", "%s", error.message);
    if (others > 0 && schema_dataset_open(WIRE_VALIDATION, others, &p->other, &error) != 0)
        return process_fail(p, "dataset", "the validation dataset: %s", error.message);
    close(WIRE_DATASET);
    close(WIRE_VALIDATION);
    return 0;
}

static int set_up(struct process *p) {
    struct saved saved;
    cross_validation_begin(&p->folds, p->training->options.folds);
    p->folds_ended = true;
    process_saved_open(p, &saved);
    if (open_fit(p) != 0) return -1;
    if (saved.bytes && process_saved_restore(p, &saved) != 0 && p->folds.folds) { /* from the first fold on */
        close_fit(p);
        cross_validation_begin(&p->folds, p->training->options.folds);
        if (open_fit(p) != 0) return -1;
    }
    process_saved_close(&saved);
    p->started = clock_seconds();
    p->checkpoint_ms = clock_ms();
    p->started_samples = p->reported_samples = process_samples(p);
    p->reported_epochs = p->folds.epochs + p->epoch;
    heartbeat_phase(PULSE_TRAINING);
    heartbeat_epoch(p->folds.epochs + p->epoch + 1);
    if (process_follows(p)) return 0;
    process_note("%lld rows train, %lld validate; %d thread%s, kernels %s, BLAS %s", (long long)p->run.split.train_count,
                 (long long)p->run.validation_count, (int)p->training->options.threads, p->training->options.threads == 1 ? "" : "s",
                 bp_kernels_name(), bp_blas_name());
    if (p->resumed_from >= 0) process_note("resumes after epoch %lld", (long long)p->resumed_from);
    return 0;
}

/* Only a training that has not begun looks for its rate; a resumed one has it in its checkpoint. */
static void find_rate(struct process *p) {
    char text[200];
    if (p->epoch > 0 || p->position > 0) return;
    heartbeat_phase(PULSE_RANGE_TEST);
    json_t *found = run_find_rate(&p->run, process_agrees, p);
    if (!found || process_commanded(p)) {
        json_decref(found);
        return;
    }
    const json_t *rate = json_object_get(found, "learning_rate");
    if (json_is_number(rate))
        snprintf(text, sizeof text, "learning rate %.3g: a tenth of the one at which the loss of a range test of %zu steps was lowest",
                 json_number_value(rate), json_array_size(json_object_get(found, "curve")));
    else snprintf(text, sizeof text, "the range test found no learning rate because its losses were not finite; the optimizer's default is used");
    process_event(p, "log", json_is_number(rate) ? "info" : "warning", 0, text, found);
}

/* Nothing of the data has been read yet, and every library is loaded. */
static int confine_process(struct process *p) {
    const json_t *spec = json_object_get(p->order, "spec");
    const char *wanted = json_string_value(json_object_get(p->order, "confinement"));
    const struct confinement confinement = {
        .enabled = wanted && strcmp(wanted, "false") != 0,
        .memory_max = json_integer_value(json_object_get(spec, "memory_max")),
        .nice = (int)json_integer_value(json_object_get(p->order, "nice")),
        .cpu_seconds = json_integer_value(json_object_get(p->order, "cpu_seconds")),
        .compiles = bp_onednn_name()[0] != 0,
        .writes_results = json_is_object(json_object_get(p->order, "results")),
        .processes = p->team ? team_ranks(p->team) : 1,
    };
    struct confined confined;
    confine(&confinement, &confined);
    if (!confined.missing[0]) return 0;
    if (strcmp(wanted, "true") == 0)
        return process_fail(p, "internal", "the job's process cannot be confined, which job_confinement true requires: %s", confined.missing);
    process_note("warning: this process is not fully confined: %s", confined.missing);
    return 0;
}

int process_confine(struct process *p) {
    if (confine_process(p) != 0) return -1;
    if (heartbeat_begin(json_integer_value(json_object_get(p->order, "silence_ms"))) != 0)
        return process_fail(p, "internal", "cannot start the thread of the heartbeat: %s", strerror(errno));
    return 0;
}

/* From the order to a confined process that is watched. */
static int prepare(struct process *p) {
    struct bp_error error = {0};
    if (!(p->training = schema_training_decode(json_object_get(p->order, "spec"), &error))) return process_fail_error(p, &error);
    p->training->options.processes = p->team ? team_ranks(p->team) : 1; /* the spec's may have been changed since */
    start_onednn(p);
    return process_confine(p);
}

int process_listen(struct process *p) {
    pthread_t listener;
    if (pthread_create(&listener, NULL, listen_for_commands, p) != 0)
        return process_fail(p, "internal", "cannot start a thread: %s", strerror(errno));
    pthread_detach(listener);
    return 0;
}

int process_work(struct process *p) {
    const char *kind = json_string_value(json_object_get(p->order, "kind"));
    if (heartbeat_open() != 0) return process_fail(p, "internal", "cannot map the page of the heartbeat: %s", strerror(errno));
    if (kind && strcmp(kind, "predict") == 0) return process_predict(p);
    if (kind && strcmp(kind, "evaluate") == 0) return process_evaluate(p);
    const bool ensemble = json_object_get(json_object_get(p->order, "spec"), "ensemble") != NULL;
    const bool failed = prepare(p) != 0 || open_data(p) != 0 || (!ensemble && set_up(p) != 0);
    if (p->team ? process_gather_team(p, failed) != 0 : failed) return 1;
    if (!process_follows(p) && process_listen(p) != 0) return 1;
    if (ensemble) return process_ensemble(p);
    enum bp_train_event event;
    struct bp_error damage = {0};
    for (;;) {
        find_rate(p);
        if (p->resumed_from >= 0) process_report(p);
        event = process_commanded(p) ? BP_TRAIN_STEP : p->team ? process_train_together(p) : train(p); /* a range test broken off is made again */
        if (process_damaged(p, &damage)) return process_fail_error(p, &damage);
        if (p->damage) return process_fail(p, "damaged", "the data are damaged: another process of this job has read a part that was changed");
        if (event != BP_TRAIN_DONE || p->folds.fold == 0) break;
        if (next_fit(p) != 0) return 1;
    }
    process_part(p);
    if (process_follows(p)) return 0;
    if (event == BP_TRAIN_DONE) return finish(p);
    if (event == BP_TRAIN_DIVERGED) return diverge(p);
    return process_end_commanded(p);
}

void process_begin(struct process *p) {
    const char *kernels = json_string_value(json_object_get(p->order, "kernels"));
    p->job = json_string_value(json_object_get(p->order, "job"));
    p->rungs = json_object_get(json_object_get(p->order, "spec"), "rungs");
    p->attempt = json_integer_value(json_object_get(p->order, "attempt"));
    process_served_begin(p);
    process_draft_begin(p, !process_follows(p) && json_is_true(json_object_get(p->order, "draft")));
    p->trained_before = (double)json_integer_value(json_object_get(p->order, "training_ms")) / 1000;
    p->events = json_array();
    p->warnings = json_object_get(p->order, "warnings");
    if (!json_is_array(p->warnings)) p->warnings = json_array();
    if (kernels && strcmp(kernels, "auto") != 0) bp_kernels_force(kernels);
    bp_engine_start();
    bp_flush_denormals();
}

int worker_run(void) {
    struct process p = {.resumed_from = -1};
    child_begin();
    p.order = wire_receive(WIRE_SOCKET);
    if (!p.order) {
        fprintf(stderr, "backpropd job is started by `backpropd serve` only; see `backpropd help`\n");
        return 2;
    }
    process_begin(&p);
    int status = process_join(&p) != 0 ? 1 : process_work(&p);
    heartbeat_phase(PULSE_ENDING);
    if (p.team && status == 0) team_leave(p.team);
    worker_exit(status == 0 ? 0 : 1);
}

/* process.c - the job process: `backpropd job`, started by the supervisor, one per attempt.
 *
 * Descriptors: 3 the socket to the supervisor, 4 the dataset's column file, 5 the checkpoint to go on from, 6 the dataset that validates (when there
 * are such). It never opens the database. One thread trains; another listens for commands and ends the process when the supervisor is gone.
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

/* ---- the process's own limits ---------------------------------------------------------------------------------------------------- */

static void confine(const json_t *order) {
    struct rlimit none = {0, 0};
    json_int_t memory = json_integer_value(json_object_get(json_object_get(order, "spec"), "memory_max"));
    setrlimit(RLIMIT_CORE, &none);
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    memory = 0; /* the sanitizers map terabytes of shadow memory */
#endif
    if (memory > 0) {
        rlim_t bytes = (rlim_t)memory + (256u << 20); /* plus stacks and the buffers of the BLAS */
        struct rlimit data = {bytes, bytes};
        setrlimit(RLIMIT_DATA, &data);
    }
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

/* ---- commands ------------------------------------------------------------ */

extern void __gcov_dump(void) __attribute__((weak)); /* with --coverage only: the counts, which exit() would write */

_Noreturn void worker_exit(int status) {
    if (__gcov_dump) __gcov_dump();
    _exit(status);
}

static void *listen_for_commands(void *context) {
    struct process *p = context;
    for (;;) {
        json_t *message = wire_receive(WIRE_SOCKET);
        if (!message) worker_exit(3); /* the supervisor has exited: no process reads the result */
        const char *command = json_string_value(json_object_get(message, "command"));
        if (command && strcmp(command, "cancel") == 0) atomic_store(&p->command, COMMAND_CANCEL);
        if (command && strcmp(command, "stop") == 0) atomic_store(&p->command, COMMAND_STOP);
        json_decref(message);
    }
}

/* ---- the loop ---------------------------------------------------------------------------------------------------------------------------- */

/* A metrics event of an epoch of this fit. Epochs are counted over all fits, so that each is reported once. */
static void tell_epoch(struct process *p, const json_t *metrics, int64_t epoch, json_t *layers) {
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
static void epoch_ended(struct process *p) {
    bool improved;
    int64_t every = (epochs_at_most(p) + EPOCHS_KEPT - 1) / EPOCHS_KEPT;
    p->epoch++;
    p->position = 0;
    json_decref(p->metrics);
    p->metrics = run_epoch(&p->run, p->epoch, &improved);
    advice_epoch(&p->advice, &p->run, p->epoch, process_warn, p);
    if (p->epoch != 1 && p->epoch % every != 0) return;
    tell_epoch(p, p->metrics, p->epoch, health_due(p) ? run_health(&p->run) : NULL);
    p->last_emitted = p->epoch;
}

static void step_ended(struct process *p) {
    struct bp_trainer_state state;
    bp_trainer_state(p->run.trainer, &state);
    p->position = state.epoch == p->epoch ? state.position : 0;
}

/* Trains until the end of the fit, a command, or divergence. Returns what ended it. */
static enum bp_train_event train(struct process *p) {
    int64_t looked = clock_ms();
    unsigned steps = 0;
    for (;;) {
        if (p->epoch >= p->epochs) return BP_TRAIN_DONE; /* the last fit of a cross-validation may have fewer than its trainer knows of */
        enum bp_train_event event = bp_trainer_step(p->run.trainer);
        if (event == BP_TRAIN_DONE || event == BP_TRAIN_DIVERGED) return event;
        if (event == BP_TRAIN_EPOCH) epoch_ended(p);
        if (atomic_load_explicit(&p->command, memory_order_relaxed) != COMMAND_NONE) {
            step_ended(p);
            return BP_TRAIN_STEP;
        }
        /* The clock is read at the end of an epoch, or now and then within one. */
        if (event != BP_TRAIN_EPOCH && (++steps & 15) != 0) continue;
        int64_t now = clock_ms();
        if (event != BP_TRAIN_EPOCH && now == looked) continue;
        looked = now;
        if (event == BP_TRAIN_EPOCH ? now - p->reported_ms >= REPORT_MS || p->reported_ms == 0 : now - p->reported_ms >= PROGRESS_MS) {
            step_ended(p);
            process_report(p);
        }
        if (process_checkpoint_due(p, event == BP_TRAIN_EPOCH)) {
            step_ended(p);
            process_checkpoint(p);
        }
    }
}

/* ---- the end --------------------------------------------------------------------------------------------------------------------------------- */

/* The final events of a fit that has ended. */
static void end_fit(struct process *p) {
    const int64_t best = p->run.best_epoch;
    if (epochs_at_most(p) > EPOCHS_KEPT) {
        if (p->run.best_metrics) tell_epoch(p, p->run.best_metrics, best, NULL); /* stored once by the store */
        if (p->last_emitted != p->epoch && p->metrics) tell_epoch(p, p->metrics, p->epoch, NULL);
    }
    if (p->run.options.stop_early && p->epoch < p->epochs) {
        char text[300], which[40] = "";
        if (p->folds.fold) snprintf(which, sizeof which, "fold %d ", p->folds.fold);
        snprintf(text, sizeof text, "%sstopped early after epoch %lld: %s has not improved for %d epochs; the weights of epoch %lld are stored",
                 which, (long long)p->epoch, p->run.best_metric, p->fit->options.stop_patience, (long long)best);
        process_event(p, "log", "info", 0, text, NULL);
    }
}

static bool commanded(void *context) {
    const struct process *p = context;
    return atomic_load_explicit(&p->command, memory_order_relaxed) != COMMAND_NONE;
}

/* The trained model as a file. A disk that is full or fails is waited for: what was trained stays in memory, and a cancel or a stop ends the wait. 1:
 * it did. */
static int write_model(struct process *p, const bp_real *weights, const char *file, json_t *document) {
    json_object_set(document, "dataset", json_object_get(p->order, "dataset"));
    json_object_set_new(document, "job", json_string(p->job));
    for (bool warned = false;; warned = true) {
        struct bp_error error = {0};
        size_t size = 0;
        int fd = openat(WIRE_FOLDER, file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        int failed = fd < 0 ? bp_error_io(&error, "cannot create a file in the data folder: %s", strerror(errno))
                            : schema_model_write(fd, p->fit, document, weights, &size, &error);
        const int cause = errno;
        if (fd >= 0) close(fd);
        if (!failed) return 0;
        unlinkat(WIRE_FOLDER, file, 0);
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
            struct timespec pause = {.tv_nsec = 20000000};
            if (commanded(p)) return 1;
            nanosleep(&pause, NULL);
        }
    }
}

/* The message that replaces a result after a command. */
static int end_commanded(struct process *p) {
    const bool stop = atomic_load(&p->command) == COMMAND_STOP;
    if (stop) process_checkpoint(p);
    json_t *message = json_pack("{s:s, s:o}", "kind", stop ? "yield" : "cancelled", "report", process_gather(p));
    process_say(message);
    json_decref(message);
    return 0;
}

static int finish(struct process *p) {
    char file[STORE_FILE_SIZE];
    end_fit(p);
    json_t *document = run_document(&p->run, p->metrics, p->epoch);
    if (p->folds.folds) {
        json_object_set_new(document, "metrics", cross_validation_metrics(&p->folds));
        json_object_set_new(document, "cross_validation", cross_validation_json(&p->folds));
    }
    checkpoint_file_name(p->job, p->attempt, "model", file);
    const int ended = write_model(p, bp_trainer_result(p->run.trainer), file, document);
    if (ended != 0) {
        json_decref(document);
        return ended < 0 ? 1 : end_commanded(p);
    }
    json_t *last = process_gather(p);
    json_object_set(last, "metrics", json_object_get(document, "metrics"));
    json_t *message = json_pack("{s:s, s:s, s:o, s:o}", "kind", "done", "file", file, "document", document, "report", last);
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
    snprintf(
        text, sizeof text,
        "%sthe loss is not finite any more in epoch %lld%s; try a smaller learning_rate, gradient_clip_norm, or check the data for extreme values. "
        "%s%s",
        which, (long long)p->epoch + 1, folds ? " of this fit" : "", kept, finished);
    json_t *error = json_pack("{s:s, s:s}", "code", "diverged", "message", text);
    if (fold) json_object_set_new(error, "fold", json_integer(fold));
    if (epoch) json_object_set_new(error, "model", json_string(p->job));
    if (epoch) json_object_set_new(error, "epoch", json_integer(epoch));
    return error;
}

/* The loss is not finite any more. What was good before becomes a model of the job's own name, of a fold too: the latest version of the model that it
 * trained for stays what it was. */
static int diverge(struct process *p) {
    char file[STORE_FILE_SIZE];
    int64_t epoch = 0;
    const bp_real *good = bp_trainer_good(p->run.trainer, &epoch);
    json_t *document = good ? run_document(&p->run, p->metrics, epoch) : NULL;
    checkpoint_file_name(p->job, p->attempt, "model", file);
    const int ended = good ? write_model(p, good, file, document) : 0;
    if (ended != 0) {
        json_decref(document);
        return ended > 0 ? end_commanded(p) : 1;
    }
    json_t *message = json_pack("{s:s, s:o, s:o}", "kind", "failed", "error", divergence(p, good ? epoch : 0), "report", process_gather(p));
    if (good) json_object_set_new(message, "file", json_string(file));
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
    run_start_onednn(p->training, p->dataset->rows, kernels && strcmp(kernels, "auto") != 0, &without);
    if (p->training->options.precision == SCHEMA_PRECISION_AUTO && !p->training->options.bfloat16) {
        snprintf(text, sizeof text, "precision \"auto\" is float32 here: %s", without.message);
        process_warn(p, text);
    } else if (without.message[0]) {
        fprintf(stderr, "without oneDNN: %s\n", without.message);
    }
}

/* Sets up the fit that is next: the one of the spec, or that of a fold, whose training is fitted on its own rows. */
static int open_fit(struct process *p) {
    struct bp_error error = {0};
    const int32_t fold = p->folds.fold;
    p->fit = p->training;
    if (fold && !(p->fit = schema_training_fold(json_object_get(p->order, "spec"), p->dataset, fold, &error))) return process_fail_error(p, &error);
    p->fit->options.bfloat16 = p->training->options.bfloat16;
    if (run_open(&p->run, p->fit, p->dataset, p->other, &error) != 0) return process_fail_error(p, &error);
    p->epochs = p->training->options.epochs;
    if (p->folds.folds && !fold && p->training->options.stop_early) p->epochs = cross_validation_last_epochs(&p->folds);
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

static void tell_last_epochs(struct process *p) {
    char text[300];
    if (p->folds.fold || !p->folds.folds || !p->training->options.stop_early) return;
    snprintf(text, sizeof text, "the fit on all rows runs for %lld epochs, the rounded mean of the best epochs of early stopping in the %d folds",
             (long long)p->epochs, p->folds.folds);
    process_warn(p, text);
}

/* A fold has ended: its result is reported and stored, the next fit begins. */
static int next_fit(struct process *p) {
    struct bp_trainer_state state;
    char text[300];
    const bool best = p->run.options.stop_early && p->run.best_metrics;
    json_t *metrics = best ? p->run.best_metrics : p->metrics;
    end_fit(p);
    json_t *entry = json_pack("{s:i, s:I, s:I, s:I, s:I, s:O?}", "fold", p->folds.fold, "train_rows", (json_int_t)p->run.split.train_count,
                              "validation_rows", (json_int_t)p->run.validation_count, "epoch", (json_int_t)(best ? p->run.best_epoch : p->epoch),
                              "epochs", (json_int_t)p->epoch, "metrics", metrics);
    const json_t *loss = json_object_get(metrics, "val_loss");
    char value[40] = "undefined";
    if (json_is_number(loss)) snprintf(value, sizeof value, "%.6g", json_number_value(loss));
    snprintf(text, sizeof text, "fold %d of %d has ended: val_loss %s", p->folds.fold, p->folds.folds, value);
    process_event(p, "log", "info", 0, text, json_incref(entry));
    bp_trainer_state(p->run.trainer, &state);
    const int64_t samples = p->epoch * p->run.split.train_count;
    cross_validation_add(&p->folds, entry);
    p->folds_ended = true;
    process_report(p); /* while a run exists whose progress can be reported */
    cross_validation_next(&p->folds, samples, state.updates);
    close_fit(p);
    if (open_fit(p) != 0) return -1;
    tell_last_epochs(p);
    process_checkpoint(p);
    return 0;
}

static int set_up(struct process *p) {
    struct bp_error error = {0};
    struct saved saved;
    if (!(p->training = schema_training_decode(json_object_get(p->order, "spec"), &error))) return process_fail_error(p, &error);
    const int64_t bytes = json_integer_value(json_object_get(p->order, "bytes"));
    const int64_t others = json_integer_value(json_object_get(p->order, "validation")); /* bytes too */
    if (schema_dataset_open(WIRE_DATASET, bytes, &p->dataset, &error) != 0) return process_fail(p, "dataset", "%s", error.message);
    if (others > 0 && schema_dataset_open(WIRE_VALIDATION, others, &p->other, &error) != 0)
        return process_fail(p, "dataset", "the validation dataset: %s", error.message);
    close(WIRE_DATASET);
    close(WIRE_VALIDATION);
    start_onednn(p);
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
    p->started_samples = process_samples(p);
    return 0;
}

/* Only a training that has not begun looks for its rate; a resumed one has it in its checkpoint. */
static void find_rate(struct process *p) {
    char text[200];
    if (p->epoch > 0 || p->position > 0) return;
    json_t *found = run_find_rate(&p->run, commanded, p);
    if (!found || commanded(p)) {
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

static int work(struct process *p) {
    pthread_t listener;
    if (set_up(p) != 0) return 1;
    if (pthread_create(&listener, NULL, listen_for_commands, p) != 0)
        return process_fail(p, "internal", "cannot start a thread: %s", strerror(errno));
    pthread_detach(listener);
    enum bp_train_event event;
    for (;;) {
        find_rate(p);
        if (p->resumed_from >= 0) process_report(p);
        event = commanded(p) ? BP_TRAIN_STEP : train(p); /* a range test that was broken off is made again */
        if (event != BP_TRAIN_DONE || p->folds.fold == 0) break;
        if (next_fit(p) != 0) return 1;
    }
    if (event == BP_TRAIN_DONE) return finish(p);
    if (event == BP_TRAIN_DIVERGED) return diverge(p);
    return end_commanded(p);
}

int worker_run(void) {
    struct process p = {.resumed_from = -1};
    child_begin();
    p.order = wire_receive(WIRE_SOCKET);
    if (!p.order) {
        fprintf(stderr, "backpropd job is started by `backpropd serve` only; see `backpropd help`\n");
        return 2;
    }
    confine(p.order);
    p.job = json_string_value(json_object_get(p.order, "job"));
    p.attempt = json_integer_value(json_object_get(p.order, "attempt"));
    p.events = json_array();
    p.warnings = json_object_get(p.order, "warnings");
    if (!json_is_array(p.warnings)) p.warnings = json_array();
    const char *kernels = json_string_value(json_object_get(p.order, "kernels"));
    if (kernels && strcmp(kernels, "auto") != 0) bp_kernels_force(kernels);
    bp_engine_start();
    bp_flush_denormals();
    int status = work(&p);
    worker_exit(status == 0 ? 0 : 1);
}

/* checkpoint.c - the job process's checkpoints: writing one, going on from one. In a cross-validation a checkpoint also holds what the
 * finished folds came to, so that none of them is trained again. */
#include "server/worker/process.h"

#include "engine/kernels/kernels.h"
#include "server/clock.h"
#include "server/jobs/wire.h"
#include "server/store/files.h"
#include "server/worker/heartbeat.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CHECKPOINT_MIN_MS = 1000, CHECKPOINT_MAX_MS = 60000 };

void process_checkpoint_written(struct process *p, const struct checkpoint_written *w, const struct bp_error *error) {
    p->checkpoint_ms = clock_ms();
    p->checkpoint_cost_ms = p->checkpoint_ms - w->began;
    if (error) {
        char text[700];
        snprintf(text, sizeof text, "cannot write the checkpoint: %s", error->message);
        process_draft_clear(p);
        process_event(p, "log", "warning", 0, text, NULL);
        return;
    }
    process_report(p); /* the metrics up to here are stored before the checkpoint that follows them */
    json_t *message = json_pack("{s:s, s:I, s:I, s:I, s:I, s:b}", "kind", "checkpoint", "file", (json_int_t)p->draft.number, "epoch",
                                (json_int_t)w->epoch, "step", (json_int_t)w->step, "bytes", (json_int_t)w->bytes, "best", w->best);
    process_say(message);
    json_decref(message);
    process_draft_reported(p, true);
}

void process_checkpoint(struct process *p) {
    if (process_follows(p)) return;
    struct bp_trainer_state state;
    struct bp_error error = {0};
    struct stat info;
    int cause;
    int64_t began = clock_ms();
    const enum pulse_phase phase = heartbeat_phase(PULSE_CHECKPOINT);
    const int fd = process_draft(p, &cause, &error);
    bp_trainer_state(p->run.trainer, &state);
    json_t *notes = json_pack("{s:s, s:s, s:o, s:O?, s:I}", "kernels", bp_kernels_name(), "blas", bp_blas_name(), "best", run_best_json(&p->run),
                              "best_metrics", p->run.best_metrics, "threads", (json_int_t)p->training->options.threads);
    json_object_set_new(notes, "processes", json_integer(p->team ? team_ranks(p->team) : 1));
    json_object_set_new(notes, "advice", advice_notes(&p->advice, &p->run));
    if (p->metrics) json_object_set(notes, "metrics", p->metrics);
    if (p->folds.folds) json_object_set_new(notes, "cross_validation", cross_validation_notes(&p->folds));
    int failed = fd < 0 ? -1 : schema_checkpoint_write(fd, &state, notes, &error);
    if (!failed && fstat(fd, &info) != 0) failed = -1;
    json_decref(notes);
    p->checkpoint_epoch = state.epoch;
    const struct checkpoint_written written = {.began = began,
                                               .epoch = p->folds.epochs + state.epoch,
                                               .step = p->folds.steps + state.updates,
                                               .bytes = failed ? 0 : info.st_size,
                                               .best = state.epoch > 0 && p->run.best_epoch == state.epoch};
    process_checkpoint_written(p, &written, failed ? &error : NULL);
    heartbeat_phase(phase);
}

bool process_checkpoint_due(const struct process *p, bool epoch_ended) {
    int64_t since = clock_ms() - p->checkpoint_ms,
            least = p->checkpoint_cost_ms * 10 > CHECKPOINT_MIN_MS ? p->checkpoint_cost_ms * 10 : CHECKPOINT_MIN_MS;
    bool as_asked = json_is_true(json_object_get(json_object_get(p->order, "spec"), "checkpoint_as_asked"));
    if (since >= CHECKPOINT_MAX_MS && since >= least) return true;
    return epoch_ended && p->epoch - p->checkpoint_epoch >= p->training->options.checkpoint_every_epochs && (as_asked || since >= least);
}

void process_compare_kernels(struct process *p, const json_t *notes) {
    const char *kernels = json_string_value(json_object_get(notes, "kernels")), *blas = json_string_value(json_object_get(notes, "blas"));
    if (kernels && blas && strcmp(kernels, bp_kernels_name()) == 0 && strcmp(blas, bp_blas_name()) == 0) return;
    process_event(
        p, "log", "warning", 0,
        "this job resumes with other kernels than it started with (another type of CPU): its last bits may differ from an uninterrupted run", NULL);
}

/* A checkpoint from before has one. */
static void compare_processes(struct process *p, const json_t *notes) {
    const json_t *before = json_object_get(notes, "processes");
    const int64_t then = before ? json_integer_value(before) : 1, now = p->team ? team_ranks(p->team) : 1;
    char text[300];
    if (then == now) return;
    snprintf(text, sizeof text,
             "this job resumes with %lld process%s after %lld: sums have another order, so its last bits differ from those of an uninterrupted run%s",
             (long long)now, now == 1 ? "" : "es", (long long)then, "; batch_norm takes its statistics from shards of another size");
    process_warn(p, text);
}

/* What the run knew besides the trainer. */
static void recall_notes(struct process *p, const json_t *notes) {
    const json_t *best = json_object_get(notes, "best");
    if (json_is_object(best)) {
        p->run.best_epoch = json_integer_value(json_object_get(best, "epoch"));
        p->run.best_value = json_number_value(json_object_get(best, "value"));
        p->run.best_metrics = json_incref(json_object_get(notes, "best_metrics"));
    }
    p->metrics = json_incref(json_object_get(notes, "metrics"));
    advice_recall(&p->advice, &p->run, json_object_get(notes, "advice"));
    process_compare_kernels(p, notes);
    compare_processes(p, notes);
}

void process_start_over(struct process *p, const struct bp_error *error) {
    char text[700];
    snprintf(text, sizeof text, "starting over: %s", error->message);
    process_event(p, "log", "warning", 0, text, NULL);
}

void process_saved_close(struct saved *saved) {
    if (saved->bytes) munmap(saved->bytes, saved->size);
    json_decref(saved->notes);
    *saved = (struct saved){0};
}

void process_saved_open(struct process *p, struct saved *saved) {
    struct stat info;
    struct bp_error error = {0};
    *saved = (struct saved){0};
    if (json_is_true(json_object_get(p->order, "resume"))) {
        void *bytes = fstat(WIRE_CHECKPOINT, &info) == 0 && info.st_size > 0
                          ? mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, WIRE_CHECKPOINT, 0)
                          : MAP_FAILED;
        if (bytes == MAP_FAILED) bp_error_io(&error, "cannot read the checkpoint: %s", strerror(errno));
        else {
            *saved = (struct saved){.bytes = bytes, .size = (size_t)info.st_size};
            schema_checkpoint_read(bytes, saved->size, &saved->state, &saved->notes, &error);
        }
        if (!error.message[0] && p->folds.folds && cross_validation_recall(&p->folds, json_object_get(saved->notes, "cross_validation")) != 0)
            bp_error_set(&error, "", "the checkpoint has no fold");
    }
    close(WIRE_CHECKPOINT);
    if (!error.message[0]) return;
    process_saved_close(saved);
    process_start_over(p, &error);
}

int process_saved_restore(struct process *p, const struct saved *saved) {
    struct bp_error error = {0};
    struct bp_trainer_state state = saved->state;
    const json_t *best = json_object_get(saved->notes, "best");
    if (state.best_epoch == 0 && json_is_object(best) && !p->run.options.stop_early) { /* written before the trainer judged every training */
        state.best_epoch = json_integer_value(json_object_get(best, "epoch"));
        state.best_value = json_number_value(json_object_get(best, "value"));
    }
    if (bp_trainer_restore(p->run.trainer, &state, &error) != 0) {
        process_start_over(p, &error);
        return -1;
    }
    p->epoch = p->checkpoint_epoch = saved->state.epoch;
    p->position = saved->state.position;
    p->resumed_from = p->folds.epochs + p->epoch;
    recall_notes(p, saved->notes);
    return 0;
}

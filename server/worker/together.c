/* together.c - a job over several processes, in lockstep. Every process trains with the same code (process.c) and comes to the same numbers, so that
 * they take the same decisions. What only the job's own process knows, the server's commands and its clock, travels as a signal with the sums of a
 * mini-batch (bp_trainer_signal), or in a sum of its own after an epoch: all act on it at the same step. */
#include "server/worker/process.h"
#include "server/worker/worker.h"

#include "engine/kernels/kernels.h"
#include "server/clock.h"
#include "server/worker/heartbeat.h"
#include "server/worker/mpi.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

/* What is signalled: the first four by the job's own process alone, so that their sum is what it says; damage by any. */
enum { SIGNAL_CANCEL = 1, SIGNAL_STOP = 2, SIGNAL_TIME = 4, SIGNAL_CHECKPOINT = 8, SIGNAL_DAMAGE = 16 };
enum { SILENCE_LEAST_MS = 20000 };

/* ---- the beginning ----------------------------------------------------------------------------------------------- */

int process_join(struct process *p) {
    struct bp_error error = {0};
    const int64_t asked = json_integer_value(json_object_get(p->order, "processes"));
    if (asked < 2) return 0;
    if (!(p->team = team_join((int32_t)asked, &error))) return process_fail(p, "worker_start", "%s", error.message);
    if (team_send(p->team, p->order, &error) != 0) return process_fail(p, "worker_start", "%s", error.message);
    process_note("%d processes train together, by %s", (int)team_ranks(p->team), mpi_name());
    return 0;
}

/* Sums and updates have the same bits in all processes only when they compute alike: with the same kernels, BLAS and, where it has started, oneDNN.
 */
static void check_kernels(struct process *p) {
    char first[200], own[200];
    snprintf(own, sizeof own, "kernels %s and BLAS %s", bp_kernels_name(), bp_blas_name());
    memcpy(first, own, sizeof first);
    team_tell(p->team, first, sizeof first);
    if (p->problem[0] || strcmp(own, first) == 0) return;
    snprintf(p->problem, sizeof p->problem,
             "this host computes with %.125s, the first process with %.125s; use hosts with the same type of CPU (sbatch and srun select them by "
             "--constraint)",
             own, first);
}

/* For estimates of whether several processes pay. */
static void report_link(struct process *p) {
    double seconds, seconds_per_byte;
    if (team_measure(p->team, &seconds, &seconds_per_byte) != 0 || process_follows(p)) return;
    json_t *message = json_pack("{s:s, s:i, s:f, s:f}", "kind", "link", "processes", (int)team_ranks(p->team), "seconds", seconds, "seconds_per_byte",
                                seconds_per_byte);
    process_say(message);
    json_decref(message);
}

int process_gather_team(struct process *p, bool failed) {
    struct bp_error error = {0};
    const int64_t silence_ms = json_integer_value(json_object_get(p->order, "silence_ms"));
    if (failed && !process_follows(p)) return -1; /* it has said why; its end is that of the others */
    check_kernels(p);
    if (team_ready(p->team, p->problem, &error) != 0) return process_fail(p, "worker_start", "%s", error.message), -1;
    if (team_watch(p->team, silence_ms > SILENCE_LEAST_MS ? silence_ms : SILENCE_LEAST_MS) != 0)
        return process_fail(p, "internal", "cannot start a thread"), -1;
    p->together = true;
    report_link(p);
    return 0;
}

/* ---- decisions --------------------------------------------------------------------------------------------------- */

/* What this process has to say. */
static double wanted(const struct process *p, bool epoch_ended) {
    const int command = atomic_load(&p->command);
    double signals = 0;
    if (epoch_ended && process_damaged(p, NULL)) signals += SIGNAL_DAMAGE;
    if (process_follows(p)) return signals;
    if (command == COMMAND_CANCEL) signals += SIGNAL_CANCEL;
    if (command == COMMAND_STOP) signals += SIGNAL_STOP;
    if (p->limit > 0 && p->epoch > 0 && process_seconds(p) >= p->limit) signals += SIGNAL_TIME;
    if (process_checkpoint_due(p, epoch_ended)) signals += SIGNAL_CHECKPOINT;
    return signals;
}

static bool take_command(struct process *p, int64_t signals) {
    p->agreed = signals & SIGNAL_CANCEL ? COMMAND_CANCEL : signals & SIGNAL_STOP ? COMMAND_STOP : COMMAND_NONE;
    return p->agreed != COMMAND_NONE;
}

bool process_agrees(void *context) {
    struct process *p = context;
    if (!p->together) return process_commanded(p);
    return take_command(p, (int64_t)team_agree(p->team, wanted(p, false)));
}

/* The answer of the sweep, of which only one process hears. */
static bool rung_stops(struct process *p) {
    if (!process_rung_is_due(p)) return false;
    const bool stops = !process_follows(p) && process_rung_stops(p);
    process_rung_pass(p);
    return team_agree(p->team, stops) > 0;
}

/* ---- training ---------------------------------------------------------------------------------------------------- */

/* The model that all have must be the same, to the bit: a host that computes otherwise would spoil it without a word. */
static void compare_weights(struct process *p) {
    struct bp_trainer_state state;
    bp_trainer_state(p->run.trainer, &state);
    if (team_same(p->team, state.weights, state.weights_count * sizeof *state.weights)) return;
    process_fail(p, "internal",
                 "after epoch %lld the processes have different weights: one of their hosts computes otherwise; use hosts with the same type of CPU",
                 (long long)p->epoch);
    worker_exit(1);
}

static enum bp_train_event end(struct process *p, enum bp_train_event event) {
    bp_trainer_gather(p->run.trainer);
    process_step_ended(p);
    return event;
}

enum bp_train_event process_train_together(struct process *p) {
    struct bp_trainer *trainer = p->run.trainer;
    heartbeat_phase(PULSE_TRAINING);
    heartbeat_epoch(p->folds.epochs + p->epoch + 1);
    bool cut = rung_stops(p);
    int64_t signals = (int64_t)team_agree(p->team, wanted(p, false));
    for (;;) {
        if (p->epoch >= p->epochs) return end(p, BP_TRAIN_DONE);
        if (cut) return run_cut(&p->run), end(p, BP_TRAIN_DONE);
        p->damage = signals >= SIGNAL_DAMAGE;
        if (p->damage || take_command(p, signals)) return end(p, BP_TRAIN_STEP);
        if (signals & SIGNAL_TIME) return run_cut_by_time(&p->run), end(p, BP_TRAIN_DONE);
        if (signals & SIGNAL_CHECKPOINT) {
            bp_trainer_gather(trainer);
            process_step_ended(p);
            if (!process_follows(p)) process_checkpoint(p);
        }
        bp_trainer_signal(trainer, wanted(p, false));
        const enum bp_train_event event = bp_trainer_step(trainer);
        heartbeat_step();
        if (event == BP_TRAIN_DONE || event == BP_TRAIN_DIVERGED) return end(p, event);
        signals = (int64_t)bp_trainer_signalled(trainer);
        if (event == BP_TRAIN_EPOCH) {
            compare_weights(p);
            process_epoch_ended(p);
            cut = rung_stops(p);
            signals |= (int64_t)team_agree(p->team, wanted(p, true));
        }
        if (!process_follows(p)) process_report_due(p, event == BP_TRAIN_EPOCH, clock_ms());
    }
}

void process_part(struct process *p) {
    p->together = false;
}

void process_team_report(struct process *p, json_t *document) {
    struct team_use use;
    char text[400];
    if (!p->team) return;
    team_used(p->team, &use);
    const double seconds = clock_seconds() - p->started, computed = seconds > use.waited ? seconds - use.waited : 0;
    const double share = seconds > 0 ? 100 * use.waited / seconds : 0;
    json_t *json =
        json_pack("{s:i, s:o, s:o, s:I, s:I, s:s}", "count", (int)team_ranks(p->team), "communication_seconds", run_number(use.waited),
                  "computation_seconds", run_number(computed), "bytes", (json_int_t)use.bytes, "sums", (json_int_t)use.sums, "library", mpi_name());
    snprintf(text, sizeof text,
             "%d processes: %.2f s of computation, %.2f s (%.0f %%) waiting for the sums of the others, %lld MB summed in %lld rounds%s",
             (int)team_ranks(p->team), computed, use.waited, share, (long long)(use.bytes >> 20), (long long)use.sums,
             share > 50 ? "; fewer processes, or larger mini-batches, would wait less" : "");
    process_event(p, "log", "info", 0, text, json_incref(json));
    json_object_set_new(document, "processes", json);
}

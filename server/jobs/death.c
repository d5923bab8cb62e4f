/* death.c - see death.h. */
#include "server/jobs/death.h"

#include "schema/memory.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

/* "the job's process was ended by signal 11 (Segmentation fault); it was training, in epoch 7" */
static void describe(const struct slot *slot, int status, char *text, size_t size) {
    char where[120] = "";
    const uint64_t epoch = slot->pulse ? atomic_load(&slot->pulse->epoch) : 0;
    if (slot->pulse) {
        int n = snprintf(where, sizeof where, "; it was %s", pulse_phase_words(atomic_load(&slot->pulse->phase)));
        if (epoch > 0) snprintf(where + n, sizeof where - (size_t)n, ", in epoch %llu", (unsigned long long)epoch);
    }
    if (slot->killed == WATCH_SILENT)
        snprintf(text, size, "the job's process was killed because it showed no sign of life for %lld s (job_silence_seconds): it was stopped%s",
                 (long long)slot->silence_ms / 1000, where);
    else if (slot->killed == WATCH_STUCK)
        snprintf(text, size,
                 "the job's process was killed because its work has not got on for %lld s (job_silence_seconds): its threads waited for each other%s",
                 (long long)slot->silence_ms / 1000, where);
    else if (WIFSIGNALED(status))
        snprintf(text, size, "the job's process was ended by signal %d (%s)%s%s", WTERMSIG(status), strsignal(WTERMSIG(status)),
                 WTERMSIG(status) == SIGKILL   ? ", perhaps because the machine was out of memory"
                 : WTERMSIG(status) == SIGXCPU ? ", the setting job_cpu_seconds"
                                               : "",
                 where);
    else snprintf(text, size, "the job's process ended unexpectedly with exit code %d%s", WEXITSTATUS(status), where);
}

/* The error of a process that ended without a report: a JSON object, owned; NULL when out of memory. */
static char *error_of(const struct slot *slot, int status, const char *text) {
    const bool signalled = WIFSIGNALED(status);
    json_t *document = json_pack("{s:s, s:s, s:i}", "code", "worker_crashed", "message", text, signalled ? "signal" : "exit_code",
                                 signalled ? WTERMSIG(status) : WEXITSTATUS(status));
    if (slot->pulse) {
        const uint64_t epoch = atomic_load(&slot->pulse->epoch);
        json_object_set_new(document, "phase", json_string(pulse_phase_name(atomic_load(&slot->pulse->phase))));
        if (epoch > 0 && epoch < INT32_MAX) json_object_set_new(document, "epoch", json_integer((json_int_t)epoch));
    }
    char *json = schema_json_dump(document, JSON_COMPACT);
    json_decref(document);
    return json;
}

static int64_t ms_of(struct timeval t) {
    return (int64_t)t.tv_sec * 1000 + t.tv_usec / 1000;
}

/* The peak of a process that was started by posix_spawn begins at the server's, which the kernel counts as its own: the process says how much it had.
 * Only beyond the server's peak the kernel's number is the process's. */
static int64_t peak_of(const struct slot *slot, const struct rusage *used) {
    struct rusage own;
    const int64_t measured = slot->pulse ? (int64_t)atomic_load(&slot->pulse->peak_memory) : 0;
    int64_t most = (int64_t)used->ru_maxrss * 1024;
    if (slot->relayed || getrusage(RUSAGE_SELF, &own) != 0 || most <= (int64_t)own.ru_maxrss * 1024) most = 0;
    if (measured > most) most = measured;
    return most > 0 ? most : -1;
}

/* Processor time: of a process on another host as it was reported at its end, -1 if it was not. */
static int64_t time_of(const struct slot *slot, int64_t own, uint64_t reported) {
    if (!slot->relayed) return own;
    return slot->pulse && atomic_load(&slot->pulse->ended) ? (int64_t)reported : -1;
}

void death_record(struct slot *slot, int status, const struct rusage *used) {
    if (slot->died) status = slot->status;
    static const char *const reasons[] = {[SLOT_CANCELLING] = "cancelled", [SLOT_STOPPING] = "server_stopped"};
    char text[400] = "";
    const char *reason = slot->phase == SLOT_CANCELLING || slot->phase == SLOT_STOPPING ? reasons[slot->phase]
                         : slot->killed != WATCH_ALIVE                                  ? "killed"
                                                                                        : "crashed";
    if (!slot->ended) {
        slot->counts = slot->phase == SLOT_RUNNING || slot->phase == SLOT_PAUSING;
        if (slot->counts) describe(slot, status, text, sizeof text);
        else if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
            snprintf(text, sizeof text, "the process did not end by itself in time and was killed");
        slot->death = slot->counts ? error_of(slot, status, text) : NULL;
    }
    if (!(slot->end = calloc(1, sizeof *slot->end))) return;
    *slot->end = (struct store_attempt){.attempt = slot->attempt,
                                        .ended_at = store_now(),
                                        .exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1,
                                        .signal = WIFSIGNALED(status) ? WTERMSIG(status) : -1,
                                        .peak_memory = peak_of(slot, used),
                                        .user_ms = time_of(slot, ms_of(used->ru_utime), slot->pulse ? atomic_load(&slot->pulse->user_ms) : 0),
                                        .system_ms = time_of(slot, ms_of(used->ru_stime), slot->pulse ? atomic_load(&slot->pulse->system_ms) : 0),
                                        .log_cut = slot->output && slot->output->cut,
                                        .message = *text ? strdup(text) : NULL,
                                        .log = slot->output ? output_text(slot->output) : NULL};
    memcpy(slot->end->job, slot->job, sizeof slot->end->job);
    snprintf(slot->end->reason, sizeof slot->end->reason, "%s", reason);
}

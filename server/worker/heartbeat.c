/* heartbeat.c - see heartbeat.h.
 *
 * The thread beats as long as the process is scheduled: a stopped one does not. Work gets on if one of these has changed since it did last: the
 * count of steps, the CPU time of the process (but for the thread's own), its page faults and its input and output. So a long step needs no report,
 * and threads that wait for each other for good are seen: nothing changes. What waits for the server or for the disk has a phase or makes steps. */
#include "server/worker/heartbeat.h"

#include "server/jobs/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { BEATS = 16, BEAT_MIN_MS = 10, BEAT_MAX_MS = 1000, CPU_MIN_NS = 5000000 };

static struct pulse *pulse;
static _Atomic uint64_t steps;
static int status_fd = -1;

/* What grows when the process works. */
struct work {
    uint64_t steps;
    int64_t cpu_ns;
    long faults, blocks;
};

static int64_t cpu_ns(clockid_t clock) {
    struct timespec t = {0};
    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static struct work work_done(void) {
    struct rusage used = {0};
    getrusage(RUSAGE_SELF, &used);
    return (struct work){.steps = atomic_load_explicit(&steps, memory_order_relaxed),
                         .cpu_ns = cpu_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu_ns(CLOCK_THREAD_CPUTIME_ID),
                         .faults = used.ru_majflt,
                         .blocks = used.ru_inblock + used.ru_oublock};
}

/* VmHWM of /proc/self/status. */
static void measure_memory(void) {
    char text[4096];
    const ssize_t n = status_fd >= 0 ? pread(status_fd, text, sizeof text - 1, 0) : -1;
    if (n <= 0) return;
    text[n] = '\0';
    const char *peak = strstr(text, "VmHWM:");
    if (peak) atomic_store(&pulse->peak_memory, strtoull(peak + strlen("VmHWM:"), NULL, 10) * 1024);
}

static void *beat(void *context) {
    const int64_t pause_ms = (int64_t)(intptr_t)context;
    struct work before = work_done();
    measure_memory();
    while (pulse) {
        const struct timespec pause = {.tv_sec = pause_ms / 1000, .tv_nsec = pause_ms % 1000 * 1000000};
        nanosleep(&pause, NULL);
        const struct work now = work_done();
        const uint32_t phase = atomic_load(&pulse->phase);
        const bool writes = phase == PULSE_CHECKPOINT || phase == PULSE_MODEL;
        atomic_fetch_add(&pulse->beats, 1);
        if (now.steps != before.steps || now.cpu_ns - before.cpu_ns > CPU_MIN_NS || now.faults != before.faults || now.blocks != before.blocks ||
            writes) {
            atomic_fetch_add(&pulse->progress, 1);
            before = now;
        }
        measure_memory();
    }
    return NULL;
}

int heartbeat_open(void) {
    if (!(pulse = pulse_join(WIRE_PULSE))) return -1;
    close(WIRE_PULSE);
    status_fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    return 0;
}

int heartbeat_begin(int64_t silence_ms) {
    pthread_t thread;
    int64_t pause_ms = silence_ms / BEATS;
    if (pause_ms < BEAT_MIN_MS) pause_ms = BEAT_MIN_MS;
    if (pause_ms > BEAT_MAX_MS) pause_ms = BEAT_MAX_MS;
    if (pthread_create(&thread, NULL, beat, (void *)(intptr_t)pause_ms) != 0) return -1;
    pthread_detach(thread);
    return 0;
}

enum pulse_phase heartbeat_phase(enum pulse_phase phase) {
    return pulse ? (enum pulse_phase)atomic_exchange(&pulse->phase, phase) : phase;
}

void heartbeat_epoch(int64_t epoch) {
    if (pulse) atomic_store(&pulse->epoch, (uint64_t)epoch);
}

void heartbeat_step(void) {
    atomic_fetch_add_explicit(&steps, 1, memory_order_relaxed);
}

void heartbeat_end(void) {
    if (pulse) measure_memory();
}

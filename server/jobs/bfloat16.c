/* bfloat16.c - asks a process of its own whether jobs can compute products in bfloat16.
 *
 * They take oneDNN, which the server itself does not load: a library that crashes or does not return ends that process only (worker/probe.c). An
 * answer is kept: yes for good, no for a minute, so that a library that is installed later is found without a restart. */
#include "server/jobs/bfloat16.h"
#include "engine/kernels/kernels.h"

#include "server/clock.h"
#include "server/jobs/child.h"
#include "server/log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PATIENCE_S = 10, REFUSAL_KEPT_MS = 60000 };

struct bfloat16 {
    pthread_mutex_t lock; /* held while the process runs: other callers wait for the same answer */
    bool ready;
    int64_t refused_until; /* ms */
    struct bp_error refusal;
};

struct bfloat16 *bfloat16_new(void) {
    struct bfloat16 *b = calloc(1, sizeof *b);
    if (b) pthread_mutex_init(&b->lock, NULL);
    return b;
}

void bfloat16_free(struct bfloat16 *b) {
    if (!b) return;
    pthread_mutex_destroy(&b->lock);
    free(b);
}

/* Reads all output. False: timed out. */
static bool read_all(int fd, char *out, size_t size) {
    const int64_t deadline = clock_ms() + PATIENCE_S * 1000;
    size_t n = 0;
    for (int64_t left; out[n] = '\0', (left = deadline - clock_ms()) > 0;) {
        struct pollfd said = {.fd = fd, .events = POLLIN};
        if (poll(&said, 1, (int)left) < 1) continue;
        ssize_t got = read(fd, out + n, size - 1 - n);
        if (got == 0) return true;
        if (got > 0) n += (size_t)got;
    }
    return false;
}

/* Waits for the process and says what its end means: it writes nothing and exits with 0 when jobs can, else it writes why not. By its id: the
 * supervisor waits for its own processes by theirs. */
static int reap(pid_t pid, bool complete, const char *said, struct bp_error *error) {
    int status = 0;
    if (!complete) kill(pid, SIGKILL);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) continue;
    if (!complete) return bp_error_unsupported(error, "", "oneDNN, which they need, has not started within %d s", PATIENCE_S);
    if (*said) return bp_error_unsupported(error, "", "%s", said);
    if (WIFSIGNALED(status))
        return bp_error_unsupported(error, "", "the process that tested oneDNN, which they need, was ended by signal %d (%s)", WTERMSIG(status),
                                    strsignal(WTERMSIG(status)));
    if (WEXITSTATUS(status) == 0) return 0;
    return bp_error_unsupported(error, "", "the process that tested oneDNN, which they need, ended with exit code %d", WEXITSTATUS(status));
}

static int ask(struct bp_error *error) {
    int ends[2], failed = -1;
    char said[sizeof error->message];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return bp_error_io(error, "cannot open a pipe to the process that tests oneDNN, which they need: %s", strerror(errno));
    int given[CHILD_GIVEN];
    for (int i = 0; i < CHILD_GIVEN; i++) given[i] = i == 0 ? ends[1] : -1;
    const pid_t pid = child_start(&(const struct child){.command = "bfloat16", .given = given, .errors = -1});
    if (pid < 0) bp_error_io(error, "cannot start the process that tests oneDNN, which they need: %s", strerror(errno));
    close(ends[1]);
    if (pid > 0) {
        const bool complete = read_all(ends[0], said, sizeof said);
        failed = reap(pid, complete, said, error);
    }
    close(ends[0]);
    return failed;
}

int bfloat16_refusal(struct server *server, const struct schema_options *options, struct bp_error *error) {
    struct bfloat16 *b = server->bfloat16;
    struct bp_error cpu = {0};
    if (options->precision != SCHEMA_PRECISION_BFLOAT16 || !bp_bfloat16_available(&cpu)) return 0;
    if (strcmp(server->settings.kernels, "auto") != 0)
        return bp_error_unsupported(error, "", "with kernels given by name (--kernels %s) jobs run without oneDNN, which they need",
                                    server->settings.kernels);
    pthread_mutex_lock(&b->lock);
    if (!b->ready && clock_ms() >= b->refused_until) {
        b->refusal = (struct bp_error){0};
        b->ready = ask(&b->refusal) == 0;
        b->refused_until = clock_ms() + REFUSAL_KEPT_MS;
        if (!b->ready) log_line(LOG_WARNING, "bfloat16_unavailable", "reason", b->refusal.message, NULL);
    }
    const bool ready = b->ready;
    if (!ready) *error = b->refusal;
    pthread_mutex_unlock(&b->lock);
    return ready ? 0 : -1;
}

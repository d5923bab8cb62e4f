/* launch.c - see launch.h. */
#include "server/remote/launch.h"

#include "server/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { TERM_MS = 2000, POLL_MS = 20 };

static void pause_ms(int64_t ms) {
    const struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&pause, NULL);
}

/* ---- its standard error -------------------------------------------------------------------------------------------------------------------------
 */

static void keep_line(struct launch *l, const char *line, size_t size) {
    while (size > 0 && (line[size - 1] == '\r' || line[size - 1] == ' ')) size--;
    if (size == 0) return;
    pthread_mutex_lock(&l->lock);
    snprintf(l->last, sizeof l->last, "%.*s", (int)size, line);
    pthread_mutex_unlock(&l->lock);
}

static void *pass_errors_on(void *context) {
    struct launch *l = context;
    char line[1024];
    size_t have = 0;
    for (;;) {
        const ssize_t n = read(l->errors, line + have, sizeof line - have);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) break;
        const ssize_t ignored = write(STDERR_FILENO, line + have, (size_t)n);
        (void)ignored;
        have += (size_t)n;
        for (char *end; (end = memchr(line, '\n', have)) || have == sizeof line;) {
            const size_t size = end ? (size_t)(end - line) : have, taken = end ? size + 1 : have;
            keep_line(l, line, size);
            memmove(line, line + taken, have -= taken);
        }
    }
    keep_line(l, line, have);
    return NULL;
}

/* ---- starting -----------------------------------------------------------------------------------------------------------------------------------
 */

/* In the new process. It ends by SIGTERM when this process is killed: launchers then cancel what they have started. */
_Noreturn static void become(char **arguments, const int ends[3], pid_t parent) {
    static const int defaults[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGPIPE};
    sigset_t none;
    setpgid(0, 0);
    for (size_t i = 0; i < sizeof defaults / sizeof *defaults; i++) signal(defaults[i], SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent) _exit(127);
    for (int i = 0; i < 3; i++)
        if (dup2(ends[i], i) < 0) _exit(127);
    execvp(arguments[0], arguments);
    dprintf(STDERR_FILENO, "%s cannot be started: %s\n", arguments[0], strerror(errno));
    _exit(127);
}

static pid_t fork_command(const json_t *command, const int ends[3]) {
    const size_t count = json_array_size(command);
    char **arguments = calloc(count + 1, sizeof *arguments);
    if (!arguments) return -1;
    for (size_t i = 0; i < count; i++) arguments[i] = (char *)(uintptr_t)json_string_value(json_array_get(command, i));
    const pid_t parent = getpid(), pid = fork();
    if (pid == 0) become(arguments, ends, parent);
    free(arguments);
    return pid;
}

static void close_pair(int pair[2]) {
    for (int i = 0; i < 2; i++)
        if (pair[i] >= 0) close(pair[i]);
}

int launch_start(struct launch *l, const json_t *command, struct bp_error *error) {
    int in[2] = {-1, -1}, out[2] = {-1, -1}, errors[2] = {-1, -1};
    memset(l, 0, sizeof *l);
    pthread_mutex_init(&l->lock, NULL);
    l->in = l->out = l->errors = -1;
    if (pipe2(in, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0 && pipe2(errors, O_CLOEXEC) == 0)
        l->pid = fork_command(command, (const int[]){in[0], out[1], errors[1]});
    else l->pid = -1;
    const int cause = errno;
    if (l->pid <= 0) {
        l->pid = 0;
        close_pair(in);
        close_pair(out);
        close_pair(errors);
        return bp_error_io(error, "%s cannot be started: %s", json_string_value(json_array_get(command, 0)), strerror(cause));
    }
    setpgid(l->pid, l->pid);
    close(in[0]);
    close(out[1]);
    close(errors[1]);
    l->in = in[1];
    l->out = out[0];
    l->errors = errors[0];
    l->listens = pthread_create(&l->thread, NULL, pass_errors_on, l) == 0;
    return 0;
}

/* ---- ending -------------------------------------------------------------------------------------------------------------------------------------
 */

void launch_signal(struct launch *l, int signal) {
    if (l->pid > 0) kill(-l->pid, signal);
}

static bool ended_within(struct launch *l, int64_t ms) {
    for (const int64_t until = clock_ms() + ms;;) {
        const pid_t got = waitpid(l->pid, &l->status, WNOHANG);
        if (got == l->pid || (got < 0 && errno == ECHILD)) return true;
        if (clock_ms() >= until) return false;
        pause_ms(POLL_MS);
    }
}

/* A process that has left the group may hold standard error open: it is not waited for. */
static void join(pthread_t thread) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec++;
    if (pthread_timedjoin_np(thread, NULL, &until) == 0) return;
    pthread_cancel(thread);
    pthread_join(thread, NULL);
}

void launch_end(struct launch *l, int64_t patience_ms) {
    if (l->pid <= 0) return;
    if (l->in >= 0) close(l->in);
    l->in = -1;
    if (!ended_within(l, patience_ms)) {
        launch_signal(l, SIGTERM);
        if (!ended_within(l, TERM_MS)) {
            launch_signal(l, SIGKILL);
            ended_within(l, TERM_MS);
        }
    }
    const pid_t group = l->pid;
    l->pid = 0;
    kill(-group, SIGKILL); /* what it has left behind holds its pipes open */
    if (l->listens) join(l->thread);
    l->listens = false;
    if (l->out >= 0) close(l->out);
    if (l->errors >= 0) close(l->errors);
    l->out = l->errors = -1;
}

static void describe(int status, const char *name, const char *last, char *text, size_t size) {
    int n;
    if (WIFSIGNALED(status)) n = snprintf(text, size, "%s was ended by signal %d (%s)", name, WTERMSIG(status), strsignal(WTERMSIG(status)));
    else n = snprintf(text, size, "%s ended with exit code %d", name, WEXITSTATUS(status));
    if (last[0] && n > 0 && (size_t)n < size) snprintf(text + n, size - (size_t)n, ": %s", last);
}

void launch_describe(struct launch *l, const char *name, char *text, size_t size) {
    pthread_mutex_lock(&l->lock);
    describe(l->status, name, l->last, text, size);
    pthread_mutex_unlock(&l->lock);
}

int launch_run(const json_t *command, int64_t limit_ms, struct bp_error *error) {
    struct launch l;
    char text[500];
    const char *name = json_string_value(json_array_get(command, 0));
    if (launch_start(&l, command, error) != 0) return -1;
    close(l.in);
    l.in = -1;
    const bool ended = ended_within(&l, limit_ms);
    if (!ended) launch_signal(&l, SIGKILL);
    launch_end(&l, 0);
    if (!ended) return bp_error_set(error, "", "%s has not ended within %lld s%s%s", name, (long long)limit_ms / 1000, l.last[0] ? ": " : "", l.last);
    if (WIFEXITED(l.status) && WEXITSTATUS(l.status) == 0) return 0;
    launch_describe(&l, name, text, sizeof text);
    return bp_error_set(error, "", "%s", text);
}

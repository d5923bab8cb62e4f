/* serve.c - `backpropd serve`: start-up in order (settings, engine, store, models, HTTP, jobs), signals, shutdown in reverse. */
#include "server/clock.h"
#include "server/commands/commands.h"
#include "server/commands/reload.h"
#include "server/drift.h"

#include "engine/kernels/kernels.h"
#include "server/auth/auth.h"
#include "server/clock.h"
#include "server/follow/follower.h"
#include "server/http/http.h"
#include "server/http/hub.h"
#include "server/http/tls.h"
#include "server/jobs/bfloat16.h"
#include "server/jobs/launchers.h"
#include "server/jobs/supervisor.h"
#include "server/log.h"
#include "server/model_cache.h"
#include "server/ops/metrics.h"
#include "server/ops/systemd.h"
#include "server/routes/event_view.h"
#include "server/server.h"
#include "server/sweeps/sweeper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { HANGS_MS = 120000, STOP_SECONDS = 15 /* beside drain_seconds */ };

/* The store exists before the hub, which is freed after it. */
struct commits {
    struct hub *_Atomic hub;
    const struct server *server;
};

static void on_commit(void *context, const char *job) {
    struct commits *commits = context;
    struct hub *hub = atomic_load(&commits->hub);
    if (hub) hub_publish(hub, job);
    if (atomic_load(&commits->server->sweeps_unfinished) > 0) server_poke_sweeps(commits->server);
}

/* A handler and an eventfd, not sigwait: OpenBLAS makes threads before main that block nothing, and until sigwait is reached a signal would go to one
 * of them and end the process. */
static const int handled_signals[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT}, ignored_signals[] = {SIGPIPE, SIGUSR1, SIGUSR2, SIGALRM, SIGVTALRM, SIGPROF};
static int signal_fd = -1;
static atomic_int stop_signal;
static atomic_bool reload_wanted;

/* SIGHUP from the kernel: the terminal was closed. From a process: reload. */
static void on_signal(int number, siginfo_t *info, void *context) {
    int kept = errno;
    uint64_t one = 1;
    (void)context;
    if (number == SIGHUP && info->si_code != SI_KERNEL) atomic_store(&reload_wanted, true);
    else atomic_store(&stop_signal, number);
    ssize_t ignored = write(signal_fd, &one, sizeof one);
    (void)ignored;
    errno = kept;
}

static void mask_signals(int how) {
    sigset_t signals;
    sigemptyset(&signals);
    for (size_t i = 0; i < sizeof handled_signals / sizeof *handled_signals; i++) sigaddset(&signals, handled_signals[i]);
    pthread_sigmask(how, &signals, NULL);
}

/* For all threads that are made from here on; they are never interrupted. nohup sets SIGHUP to ignored, which stays so. Signals that end a process by
 * default and mean nothing here are ignored. */
static void block_signals(void) {
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_RESTART | SA_SIGINFO};
    signal_fd = eventfd(0, EFD_CLOEXEC);
    mask_signals(SIG_BLOCK);
    struct sigaction before;
    for (size_t i = 0; i < sizeof handled_signals / sizeof *handled_signals; i++) {
        const bool nohup = handled_signals[i] == SIGHUP && sigaction(SIGHUP, NULL, &before) == 0 && before.sa_handler == SIG_IGN;
        if (!nohup) sigaction(handled_signals[i], &action, NULL);
    }
    for (size_t i = 0; i < sizeof ignored_signals / sizeof *ignored_signals; i++) signal(ignored_signals[i], SIG_IGN);
}

static bool has_terminal(void) {
    const int fd = open("/dev/tty", O_RDONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    if (fd >= 0) close(fd);
    return fd >= 0;
}

/* The threads that everything depends on make progress. A full disk or a busy machine is no reason to be killed. */
static bool is_healthy(const struct server *server) {
    const int64_t oldest = clock_ms() - HANGS_MS;
    return http_swept_at(server->http) > oldest && supervisor_turned_at(server->supervisor) > oldest;
}

static void reload_notified(struct server *server, int argc, char **argv) {
    systemd_notify("RELOADING=1\nMONOTONIC_USEC=%lld", (long long)(clock_ns() / 1000));
    reload(server, argc, argv);
    systemd_notify("READY=1");
}

/* Reloads until a signal ends the server, and returns that. A shell passes the SIGHUP of its terminal on to its jobs: the terminal is gone then. */
static int wait_for_end(struct server *server, int argc, char **argv, bool had_terminal) {
    struct pollfd signalled = {.fd = signal_fd, .events = POLLIN}; /* poll: ThreadSanitizer delays signals for a thread in read */
    uint64_t ignored;
    const int64_t watchdog_ms = systemd_watchdog_ms();
    mask_signals(SIG_UNBLOCK);
    while (atomic_load(&stop_signal) == 0) {
        if (watchdog_ms && is_healthy(server)) systemd_notify("WATCHDOG=1");
        if (poll(&signalled, 1, watchdog_ms ? (int)watchdog_ms : -1) < 1 || read(signal_fd, &ignored, sizeof ignored) < 0) continue;
        if (!atomic_exchange(&reload_wanted, false)) continue;
        if (had_terminal && !has_terminal()) return SIGHUP;
        reload_notified(server, argc, argv);
    }
    return atomic_load(&stop_signal);
}

static void unknown_variable(void *context, const char *name, const char *nearest) {
    (void)context;
    log_line(LOG_WARNING, "unknown_variable", "name", name, nearest ? "did_you_mean" : NULL, nearest ? nearest : "", NULL);
}

static int tls_start(const struct server_settings *settings, struct bp_error *error) {
    if (!*settings->tls_cert && !*settings->tls_key) return 0;
    if (!*settings->tls_cert || !*settings->tls_key)
        return bp_error_set(error, "", "--tls-cert and --tls-key belong together; give both, or neither");
    return tls_load(settings->tls_cert, settings->tls_key, error);
}

static int start(struct server *server, struct commits *commits, struct sweeper **sweeper, struct bp_error *error) {
    struct store_options options = {
        .queue_max = server->settings.queue_max, .retry_ms = server->settings.retry_seconds * 1000, .committed = on_commit, .context = commits};
    if (strcmp(server->settings.kernels, "auto") != 0) bp_kernels_force(server->settings.kernels);
    server_settings_unknown(unknown_variable, NULL);
    bp_engine_start();
    bp_flush_denormals();
    if (store_open(server->settings.data_dir, &options, &server->store, error) != STORE_OK) return -1;
    char session_file[4096];
    snprintf(session_file, sizeof session_file, "%s/session_secret", server->settings.data_dir);
    const struct auth_options keys = {.store = server->store,
                                      .key_file = server->settings.api_key_file,
                                      .session_file = session_file,
                                      .wrong_keys_max = server->settings.wrong_keys_max};
    if (auth_new(&keys, &server->auth, error) != 0) return -1;
    if (*server->settings.follow ? follower_new(server, &server->follower, error) != 0 : follower_promote(server, error) != 0) return -1;
    if (store_recover(server->store, error) != STORE_OK || store_answers_expire(server->store, error) != STORE_OK) return -1;
    if (!(server->metrics = metrics_new(routes_count))) return bp_error_memory(error, "out of memory");
    if (!(server->model_cache = model_cache_new(server->store, server->settings.models_memory_max))) return bp_error_memory(error, "out of memory");
    if (server->settings.drift &&
        (!(server->drift = drift_new(server->store)) || drift_start(server->drift, server->settings.drift_save_seconds, error) != 0))
        return bp_error_memory(error, "out of memory");
    if (!(server->bfloat16 = bfloat16_new())) return bp_error_memory(error, "out of memory");
    if (!(server->launchers = calloc(1, sizeof *server->launchers))) return bp_error_memory(error, "out of memory");
    if (launchers_read(server->launchers, &server->settings, error) != 0 || !(server->supervisor = supervisor_new(server, error))) return -1;
    if (tls_start(&server->settings, error) != 0) return -1;
    if (http_start(server, &event_views, error) != 0) return -1;
    atomic_store(&commits->hub, http_hub(server->http));
    if (server->follower && follower_start(server->follower, error) != 0) return -1;
    if (supervisor_start(server->supervisor, error) != 0 || !(*sweeper = sweeper_start(server, error))) return -1;
    printf("backpropd listening on %s://%s\n", *server->settings.tls_cert ? "https" : "http", server->address);
    fflush(stdout);
    log_line(LOG_INFO, "started", "address", server->address, "data_dir", server->settings.data_dir, "kernels", bp_kernels_name(), "blas",
             bp_blas_name(), NULL);
    systemd_notify("READY=1\nSTATUS=listening on %s", server->address);
    return 0;
}

/* Takes the flag out of the arguments, if it is there. */
static bool take_flag(int *argc, char **argv, const char *flag) {
    for (int i = 1; i < *argc; i++) {
        if (strcmp(argv[i], flag) != 0) continue;
        memmove(argv + i, argv + i + 1, (size_t)(*argc - i) * sizeof *argv);
        --*argc;
        return true;
    }
    return false;
}

int command_serve(int argc, char **argv) {
    if (take_flag(&argc, argv, "--check-config")) return check_config(argc, argv);
    struct server server = {.started_at = store_now(), .started_ms = clock_ms()};
    struct commits commits = {.server = &server};
    struct sweeper *sweeper = NULL;
    struct bp_error error = {0};
    store_new_id("srv", server.instance);
    if (server_settings_read(&server.settings, argc, argv, &error) != 0 || settings_check(&server.settings, &error) != 0) {
        fprintf(stderr, "backpropd serve: %s\n", error.message);
        server_settings_clear(&server.settings);
        return 2;
    }
    settings_log_level(&server.settings);
    const bool terminal = has_terminal();
    server.sweeps_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    systemd_begin();
    log_priorities(systemd_has_journal());
    block_signals();
    memory_begin();
    const int failed = start(&server, &commits, &sweeper, &error);
    if (failed) systemd_notify("STATUS=%s", error.message), fprintf(stderr, "backpropd serve: %s\n", error.message);
    else log_line(LOG_INFO, "stopping", "signal", strsignal(wait_for_end(&server, argc, argv, terminal)), NULL);
    systemd_notify("STOPPING=1\nEXTEND_TIMEOUT_USEC=%lld", (long long)(server.settings.drain_seconds + STOP_SECONDS) * 1000000);
    atomic_store(&server.draining, true);
    follower_stop(server.follower);
    sweeper_stop(sweeper);
    supervisor_stop(server.supervisor);
    http_stop(server.http);
    http_free(server.http);
    supervisor_free(server.supervisor);
    if (server.launchers) launchers_clear(server.launchers);
    free(server.launchers);
    bfloat16_free(server.bfloat16);
    follower_free(server.follower);
    model_cache_free(server.model_cache);
    drift_stop(server.drift);
    drift_free(server.drift);
    auth_stop(server.auth);
    store_close(server.store);
    hub_free(atomic_load(&commits.hub));
    close(server.sweeps_fd);
    metrics_free(server.metrics);
    auth_free(server.auth);
    server_settings_clear(&server.settings);
    if (!failed) log_line(LOG_INFO, "stopped", NULL);
    return failed ? 1 : 0;
}

/* serve.c - `backpropd serve`: start-up in order (settings, engine, store, models, HTTP, jobs), signals, shutdown in reverse. */
#include "server/commands/commands.h"

#include "engine/kernels/kernels.h"
#include "server/http/http.h"
#include "server/http/hub.h"
#include "server/jobs/bfloat16.h"
#include "server/jobs/supervisor.h"
#include "server/log.h"
#include "server/model_cache.h"
#include "server/routes/event_view.h"
#include "server/server.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* The store exists before the hub and outlives it. */
static void on_commit(void *context, const char *job) {
    struct hub *hub = atomic_load((struct hub * _Atomic *)context);
    if (hub) hub_publish(hub, job);
}

/* A handler and an eventfd, not sigwait: OpenBLAS makes threads before main that block nothing, and until sigwait is reached a signal would go to one
 * of them and end the process. */
static const int stop_signals[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT}, ignored_signals[] = {SIGPIPE, SIGUSR1, SIGUSR2, SIGALRM, SIGVTALRM, SIGPROF};
static int stop_fd = -1;
static atomic_int stop_signal;

static void on_stop_signal(int number) {
    int kept = errno;
    uint64_t one = 1;
    atomic_store(&stop_signal, number);
    ssize_t ignored = write(stop_fd, &one, sizeof one);
    (void)ignored;
    errno = kept;
}

static void mask_signals(int how) {
    sigset_t signals;
    sigemptyset(&signals);
    for (size_t i = 0; i < sizeof stop_signals / sizeof *stop_signals; i++) sigaddset(&signals, stop_signals[i]);
    pthread_sigmask(how, &signals, NULL);
}

static int wait_for_signal(void) {
    struct pollfd stop = {.fd = stop_fd, .events = POLLIN}; /* poll: ThreadSanitizer delays signals for a thread in read */
    mask_signals(SIG_UNBLOCK);
    while (poll(&stop, 1, -1) < 1) continue;
    return atomic_load(&stop_signal);
}

/* For all threads that are made from here on; they are never interrupted. A closed terminal (SIGHUP) stops the server as SIGTERM does: it checkpoints
 * its jobs and gives them back. nohup sets SIGHUP to ignored, which stays so. Signals that end a process by default and mean nothing here are
 * ignored. */
static void block_signals(void) {
    struct sigaction action = {.sa_handler = on_stop_signal, .sa_flags = SA_RESTART};
    stop_fd = eventfd(0, EFD_CLOEXEC);
    mask_signals(SIG_BLOCK);
    struct sigaction before;
    for (size_t i = 0; i < sizeof stop_signals / sizeof *stop_signals; i++) {
        const bool nohup = stop_signals[i] == SIGHUP && sigaction(SIGHUP, NULL, &before) == 0 && before.sa_handler == SIG_IGN;
        if (!nohup) sigaction(stop_signals[i], &action, NULL);
    }
    for (size_t i = 0; i < sizeof ignored_signals / sizeof *ignored_signals; i++) signal(ignored_signals[i], SIG_IGN);
}

static void unknown_variable(void *context, const char *name, const char *nearest) {
    (void)context;
    log_line(LOG_WARNING, "unknown_variable", "name", name, nearest ? "did_you_mean" : NULL, nearest ? nearest : "", NULL);
}

static int run(struct server *server, struct hub *_Atomic *hub, struct bp_error *error) {
    struct store_options options = {.queue_max = server->settings.queue_max, .committed = on_commit, .context = hub};
    if (strcmp(server->settings.kernels, "auto") != 0 && bp_kernels_force(server->settings.kernels) != 0)
        return bp_error_set(error, "", "--kernels %s: not supported by this processor, or not one of auto, base, avx2, avx512",
                            server->settings.kernels);
    server_settings_unknown(unknown_variable, NULL);
    bp_engine_start();
    bp_flush_denormals();
    if (api_key_read(server->settings.api_key_file, &server->api_key, error) != 0) return -1;
    if (store_open(server->settings.data_dir, &options, &server->store, error) != STORE_OK) return -1;
    if (store_recover(server->store, error) != STORE_OK || store_answers_expire(server->store, error) != STORE_OK) return -1;
    if (!(server->model_cache = model_cache_new(server->store, server->settings.models_memory_max))) return bp_error_memory(error, "out of memory");
    if (!(server->bfloat16 = bfloat16_new())) return bp_error_memory(error, "out of memory");
    if (!(server->supervisor = supervisor_new(server, error))) return -1;
    if (http_start(server, event_json, error) != 0) return -1;
    atomic_store(hub, http_hub(server->http));
    if (supervisor_start(server->supervisor, error) != 0) return -1;
    printf("backpropd listening on http://%s\n", server->address);
    fflush(stdout);
    log_line(LOG_INFO, "started", "address", server->address, "data_dir", server->settings.data_dir, "kernels", bp_kernels_name(), "blas",
             bp_blas_name(), NULL);
    int number = wait_for_signal();
    log_line(LOG_INFO, "stopping", "signal", strsignal(number), NULL);
    return 0;
}

int command_serve(int argc, char **argv) {
    struct server server = {.started_at = store_now()};
    struct hub *_Atomic hub = NULL;
    struct bp_error error = {0};
    if (server_settings_read(&server.settings, argc, argv, &error) != 0) {
        fprintf(stderr, "backpropd serve: %s\n", error.message);
        server_settings_clear(&server.settings);
        return 2;
    }
    block_signals();
    memory_begin();
    int failed = run(&server, &hub, &error);
    if (failed) fprintf(stderr, "backpropd serve: %s\n", error.message);
    atomic_store(&server.draining, true);
    supervisor_stop(server.supervisor);
    http_stop(server.http);
    http_free(server.http);
    supervisor_free(server.supervisor);
    bfloat16_free(server.bfloat16);
    model_cache_free(server.model_cache);
    store_close(server.store);
    hub_free(atomic_load(&hub));
    free(server.api_key);
    server_settings_clear(&server.settings);
    if (!failed) log_line(LOG_INFO, "stopped", NULL);
    return failed ? 1 : 0;
}

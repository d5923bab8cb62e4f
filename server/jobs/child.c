/* child.c - see child.h. The protocol over the descriptors is elsewhere (wire.h). */
#include "server/jobs/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

static const int servers_signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2};

static void servers_set(sigset_t *set) {
    sigemptyset(set);
    for (size_t i = 0; i < sizeof servers_signals / sizeof *servers_signals; i++) sigaddset(set, servers_signals[i]);
}

void child_begin(void) {
    sigset_t set;
    servers_set(&set);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (size_t i = 0; i < sizeof servers_signals / sizeof *servers_signals; i++) signal(servers_signals[i], SIG_IGN);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

/* The process's environment: no secret of the server's is in it. What the dynamic linker, OpenBLAS, oneDNN and builds for tests read; tests add names
 * by BACKPROPD_JOB_ENVIRONMENT, separated by commas. */
static const char *const kept[] = {"BACKPROPD_BLAS_RESTARTED",
                                   "BACKPROPD_FAULT_BLAS",
                                   "BACKPROPD_ONEDNN",
                                   "DNNL_MAX_CPU_ISA",
                                   "LD_LIBRARY_PATH",
                                   "LD_PRELOAD",
                                   "ONEDNN_MAX_CPU_ISA",
                                   "OPENBLAS_CORETYPE",
                                   "ASAN_OPTIONS",
                                   "GCOV_PREFIX",
                                   "GCOV_PREFIX_STRIP",
                                   "LLVM_PROFILE_FILE",
                                   "TSAN_OPTIONS",
                                   "UBSAN_OPTIONS"};
enum { KEPT = sizeof kept / sizeof *kept };

static bool is_kept(const char *variable, size_t size) {
    const char *more = getenv("BACKPROPD_JOB_ENVIRONMENT");
    for (size_t i = 0; i < KEPT; i++)
        if (strlen(kept[i]) == size && strncmp(variable, kept[i], size) == 0) return true;
    while (more && *more) {
        const size_t n = strcspn(more, ",");
        if (n == size && strncmp(more, variable, n) == 0) return true;
        more += n + (more[n] == ',');
    }
    return false;
}

/* What a launcher tells a process of how to find the others of its job: Open MPI, PMIx and its server, Slurm. */
static bool is_of_processes(const char *variable) {
    static const char *const prefixes[] = {"OMPI_", "OPAL_", "ORTE_", "PMI_", "PMIX_", "PRTE_", "SLURM_"};
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++)
        if (strncmp(variable, prefixes[i], strlen(prefixes[i])) == 0) return true;
    return strncmp(variable, "TMPDIR=", 7) == 0;
}

/* Borrowed texts, NULL-terminated; the array is the caller's. NULL: no memory. */
static char **make_environment(bool launches, bool processes) {
    extern char **environ;
    int count = 0, most = 0;
    while (environ[most]) most++;
    char **variables = calloc((size_t)most + 2, sizeof *variables);
    if (!variables) return NULL;
    variables[count++] = (char *)"OPENBLAS_NUM_THREADS=1";
    for (char **variable = environ; *variable; variable++) {
        const bool setting = strncmp(*variable, "BACKPROPD_", strlen("BACKPROPD_")) == 0;
        if (launches ? strncmp(*variable, "OPENBLAS_NUM_THREADS=", 21) == 0 || (setting && !is_kept(*variable, strcspn(*variable, "=")))
                     : !is_kept(*variable, strcspn(*variable, "=")) && !(processes && is_of_processes(*variable)))
            continue;
        variables[count++] = *variable;
    }
    return variables;
}

pid_t child_start(const struct child *child) {
    const int *const given = child->given;
    char *const arguments[] = {(char *)"backpropd", (char *)(uintptr_t)child->command, NULL};
    char **variables = make_environment(child->launches, child->processes);
    if (!variables) {
        errno = ENOMEM;
        return -1;
    }
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t blocked;
    pid_t pid = -1;
    /* dup2 below must not overwrite a source: move all of them out of the way first. */
    int high[CHILD_GIVEN], out = child->errors >= 0 ? fcntl(child->errors, F_DUPFD_CLOEXEC, WIRE_SOCKET + CHILD_GIVEN) : -1;
    for (int i = 0; i < CHILD_GIVEN; i++) high[i] = given[i] >= 0 ? fcntl(given[i], F_DUPFD_CLOEXEC, WIRE_SOCKET + CHILD_GIVEN) : -1;
    servers_set(&blocked); /* until child_begin */
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    if (out >= 0) posix_spawn_file_actions_adddup2(&actions, out, 2);
    posix_spawn_file_actions_adddup2(&actions, 2, 1);
    for (int i = 0; i < CHILD_GIVEN; i++)
        if (high[i] >= 0) posix_spawn_file_actions_adddup2(&actions, high[i], WIRE_SOCKET + i);
        else posix_spawn_file_actions_addopen(&actions, WIRE_SOCKET + i, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addclosefrom_np(&actions, WIRE_SOCKET + CHILD_GIVEN);
    posix_spawnattr_setsigmask(&attributes, &blocked);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
    int code = posix_spawn(&pid, "/proc/self/exe", &actions, &attributes, arguments, variables);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    free(variables);
    for (int i = 0; i < CHILD_GIVEN; i++)
        if (high[i] >= 0) close(high[i]);
    if (out >= 0) close(out);
    if (code != 0) errno = code;
    return code == 0 ? pid : -1;
}

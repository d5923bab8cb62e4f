/* child.c - see child.h. The protocol over the descriptors is elsewhere (wire.h). */
#include "server/jobs/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
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

pid_t child_start(const char *command, const int given[CHILD_GIVEN]) {
    char *const arguments[] = {(char *)"backpropd", (char *)command, NULL};
    extern char **environ;
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t blocked;
    pid_t pid = -1;
    /* dup2 below must not overwrite a source: move all of them out of the way first. */
    int high[CHILD_GIVEN];
    for (int i = 0; i < CHILD_GIVEN; i++) high[i] = given[i] >= 0 ? fcntl(given[i], F_DUPFD_CLOEXEC, 10) : -1;
    servers_set(&blocked); /* until child_begin */
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, 2, 1);
    for (int i = 0; i < CHILD_GIVEN; i++)
        if (high[i] >= 0) posix_spawn_file_actions_adddup2(&actions, high[i], WIRE_SOCKET + i);
        else posix_spawn_file_actions_addopen(&actions, WIRE_SOCKET + i, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addclosefrom_np(&actions, WIRE_SOCKET + CHILD_GIVEN);
    posix_spawnattr_setsigmask(&attributes, &blocked);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
    int code = posix_spawn(&pid, "/proc/self/exe", &actions, &attributes, arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    for (int i = 0; i < CHILD_GIVEN; i++)
        if (high[i] >= 0) close(high[i]);
    if (code != 0) errno = code;
    return code == 0 ? pid : -1;
}

/* child.c - see child.h. What is said over the descriptors is not here. */
#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <unistd.h>

pid_t child_start(const char *command, const int given[CHILD_GIVEN]) {
    char *const arguments[] = {(char *)"backpropd", (char *)command, NULL};
    extern char **environ;
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none;
    pid_t pid = -1;
    /* dup2 below must not overwrite a source: move all of them out of the way first. */
    int high[CHILD_GIVEN];
    for (int i = 0; i < CHILD_GIVEN; i++) high[i] = given[i] >= 0 ? fcntl(given[i], F_DUPFD_CLOEXEC, 10) : -1;
    sigemptyset(&none);
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, 2, 1);
    for (int i = 0; i < CHILD_GIVEN; i++)
        if (high[i] >= 0) posix_spawn_file_actions_adddup2(&actions, high[i], WIRE_SOCKET + i);
        else posix_spawn_file_actions_addopen(&actions, WIRE_SOCKET + i, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addclosefrom_np(&actions, WIRE_SOCKET + CHILD_GIVEN);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
    int code = posix_spawn(&pid, "/proc/self/exe", &actions, &attributes, arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    for (int i = 0; i < CHILD_GIVEN; i++)
        if (high[i] >= 0) close(high[i]);
    if (code != 0) errno = code;
    return code == 0 ? pid : -1;
}

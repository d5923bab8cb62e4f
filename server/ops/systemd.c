/* systemd.c - see systemd.h. libsystemd would do the same, but brings compression libraries into a process that strangers talk to. */
#include "server/ops/systemd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { FIRST_FD = 3 };

static struct {
    char socket[sizeof((struct sockaddr_un *)NULL)->sun_path + 1]; /* "": nobody listens */
    int64_t watchdog_us;
    int fds;
    bool journal;
} manager;

/* The number in a variable; 0 when there is none. */
static int64_t number_of(const char *name) {
    const char *text = getenv(name);
    char *end = NULL;
    const long long number = text ? strtoll(text, &end, 10) : 0;
    return text && *text && !*end && number > 0 ? number : 0;
}

/* stream: device and inode of the journal's socket. */
static bool is_journal(const char *stream) {
    unsigned long long device, inode;
    struct stat info;
    return stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 && fstat(STDERR_FILENO, &info) == 0 && info.st_dev == device &&
           info.st_ino == inode;
}

bool systemd_has_journal(void) {
    return manager.journal;
}

void systemd_begin(void) {
    static const char *const variables[] = {"NOTIFY_SOCKET", "WATCHDOG_USEC",  "WATCHDOG_PID",  "LISTEN_FDS",
                                            "LISTEN_PID",    "LISTEN_FDNAMES", "JOURNAL_STREAM"};
    const char *path = getenv("NOTIFY_SOCKET");
    const int64_t pid = getpid(), watched = number_of("WATCHDOG_PID");
    if (path && (path[0] == '/' || path[0] == '@') && strlen(path) < sizeof manager.socket)
        snprintf(manager.socket, sizeof manager.socket, "%s", path);
    if (watched == 0 || watched == pid) manager.watchdog_us = number_of("WATCHDOG_USEC");
    if (number_of("LISTEN_PID") == pid) manager.fds = (int)number_of("LISTEN_FDS");
    manager.journal = is_journal(getenv("JOURNAL_STREAM"));
    for (int fd = FIRST_FD; fd < FIRST_FD + manager.fds; fd++) fcntl(fd, F_SETFD, FD_CLOEXEC);
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++) unsetenv(variables[i]);
}

void systemd_notify(const char *format, ...) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char text[512];
    if (!manager.socket[0]) return;
    va_list arguments;
    va_start(arguments, format);
    const int size = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    const size_t length = strlen(manager.socket);
    memcpy(address.sun_path, manager.socket, length);
    if (address.sun_path[0] == '@') address.sun_path[0] = '\0'; /* the abstract namespace */
    const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    const struct timeval patience = {.tv_sec = 1};
    if (fd < 0 || size < 0) return;
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    ssize_t ignored =
        sendto(fd, text, strlen(text), MSG_NOSIGNAL, (const struct sockaddr *)&address, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length));
    (void)ignored;
    close(fd);
}

int64_t systemd_watchdog_ms(void) {
    const int64_t ms = manager.watchdog_us / 2000;
    return manager.watchdog_us && ms == 0 ? 1 : ms;
}

int systemd_listener(struct bp_error *error) {
    int type = 0, listening = 0;
    struct sockaddr_storage address = {0};
    socklen_t size = sizeof type, length = sizeof address;
    const int fd = FIRST_FD;
    if (manager.fds == 0) return -1;
    const bool stream = getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_STREAM &&
                        getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) == 0 && listening;
    if (manager.fds > 1) {
        bp_error_set(error, "", "the service manager passed %d sockets; expected one (ListenStream= in the socket unit)", manager.fds);
    } else if (!stream || getsockname(fd, (struct sockaddr *)&address, &length) != 0 ||
               (address.ss_family != AF_INET && address.ss_family != AF_INET6)) {
        bp_error_set(error, "",
                     "the service manager passed a descriptor that is no listening TCP socket; expected ListenStream=ADDRESS:PORT and "
                     "Accept=no in the socket unit");
    } else {
        fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
        return fd;
    }
    return -2;
}

/* trial.c - `backpropd confinement [FILE...]`: confines itself as a job process does and tries what a job process must not be able to do. For doctor,
 * and for tests, which name the database and the key file. */
#include "server/worker/confine.h"
#include "server/worker/worker.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* Each returns -1 with errno when it was refused. */
static long try_open(const char *path) {
    return open(path, O_RDONLY | O_CLOEXEC);
}

static long try_create(const char *path) {
    (void)path;
    return open("/tmp/.backpropd-confinement", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
}

static long try_remove(const char *path) {
    (void)path;
    return syscall(SYS_unlinkat, AT_FDCWD, "/tmp/.backpropd-confinement-absent", 0);
}

static long try_rename(const char *path) {
    (void)path;
    return syscall(SYS_renameat2, AT_FDCWD, "/tmp/.backpropd-confinement-absent", AT_FDCWD, "/tmp/.backpropd-confinement-other", 0);
}

static long try_folder(const char *path) {
    (void)path;
    return syscall(SYS_mkdirat, AT_FDCWD, "/tmp/.backpropd-confinement-folder", 0700);
}

static long try_internet(const char *path) {
    (void)path;
    return socket(AF_INET, SOCK_STREAM, 0);
}

static long try_unix(const char *path) {
    (void)path;
    return socket(AF_UNIX, SOCK_STREAM, 0);
}

static long try_connect(const char *path) {
    const struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(9), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    (void)path;
    return connect(0, (const struct sockaddr *)&address, sizeof address);
}

static long try_program(const char *path) {
    char *const arguments[] = {(char *)"true", NULL}, *const none[] = {NULL};
    (void)path;
    return execve("/bin/true", arguments, none);
}

static long try_process(const char *path) {
    (void)path;
    const long pid = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (pid == 0) _exit(0);
    return pid;
}

static long try_debugger(const char *path) {
    (void)path;
    return ptrace(PTRACE_SEIZE, getppid(), 0, 0);
}

static long try_signal(const char *path) {
    (void)path;
    return kill((pid_t)1, 0) == 0 ? 0 : errno == EPERM ? kill(getpid(), 0) : -1; /* another process may refuse by itself */
}

static long try_memory_of_another(const char *path) {
    static char byte, other;
    const struct iovec here = {&byte, 1}, there = {&other, 1};
    (void)path;
    return process_vm_readv(getpid(), &here, 1, &there, 1, 0); /* even its own */
}

static long try_code(const char *path) {
    (void)path;
    return mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? -1 : 0;
}

static long try_namespace(const char *path) {
    (void)path;
    return unshare(CLONE_NEWUSER);
}

static long try_mount(const char *path) {
    (void)path;
    return mount("none", "/tmp", "tmpfs", 0, NULL);
}

static long try_bpf(const char *path) {
    (void)path;
    return syscall(SYS_bpf, BPF_MAP_CREATE, NULL, 0);
}

static long try_ring(const char *path) {
    char parameters[256] = {0};
    (void)path;
    return syscall(SYS_io_uring_setup, 1, parameters);
}

static long try_user(const char *path) {
    (void)path;
    return setresuid((uid_t)-1, (uid_t)-1, (uid_t)-1); /* to what it is */
}

static const struct {
    const char *what;
    long (*attempt)(const char *path);
} attempts[] = {
    {"create a file", try_create},
    {"remove a file", try_remove},
    {"rename a file", try_rename},
    {"make a folder", try_folder},
    {"internet socket", try_internet},
    {"unix socket", try_unix},
    {"connect", try_connect},
    {"run a program", try_program},
    {"start a process", try_process},
    {"attach to the server", try_debugger},
    {"send a signal", try_signal},
    {"read another memory", try_memory_of_another},
    {"make code", try_code},
    {"unshare", try_namespace},
    {"mount", try_mount},
    {"bpf", try_bpf},
    {"io_uring", try_ring},
    {"change the user", try_user},
};

/* Prints one line; whether it was refused for lack of permission, not because it does not exist. */
static bool refused(const char *what, const char *detail, long result) {
    const bool denied = result < 0 && (errno == EPERM || errno == EACCES);
    printf("%s%s%s: %s\n", what, *detail ? " " : "", detail, result >= 0 ? "ALLOWED" : denied ? "refused" : strerror(errno));
    return denied;
}

int worker_try_confinement(int count, char **files) {
    struct confined confined;
    int allowed = 0, tried = 0;
    confine(&(struct confinement){.enabled = true}, &confined);
    if (confined.missing[0]) printf("%s\n", confined.missing);
    if (confined.landlock) printf("Landlock %d\n", confined.landlock);
    fflush(stdout);
    if (!confined.calls) worker_exit(1); /* the attempts would succeed */
    for (int i = 0; i < count; i++, tried++) allowed += !refused("open", files[i], try_open(files[i]));
    for (size_t i = 0; i < sizeof attempts / sizeof *attempts; i++, tried++) allowed += !refused(attempts[i].what, "", attempts[i].attempt(""));
    printf("%d of %d attempts refused\n", tried - allowed, tried);
    fflush(stdout);
    worker_exit(allowed ? 1 : 0);
}

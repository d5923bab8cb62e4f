/* confine.c - see confine.h. Order: limits, Landlock, the list of calls. */
#include "server/worker/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>
#if __has_include(<linux/landlock.h>)
#include <linux/landlock.h>
#endif

extern void __gcov_dump(void) __attribute__((weak)); /* with --coverage only */

#ifdef __SANITIZE_ADDRESS__
enum { SANITIZER = 1 };
#else
enum { SANITIZER = 0 };
#endif
#ifdef __SANITIZE_THREAD__
enum { THREAD_SANITIZER = 1 };
#else
enum { THREAD_SANITIZER = 0 };
#endif
enum { FILES_MAX = 64, OOM_SCORE = 500 };

/* ---- limits ---------------------------------------------------------------------------------------------------------------------------- */

static void limit(int resource, rlim_t most) {
    const struct rlimit both = {most, most};
    setrlimit((__rlimit_resource_t)resource, &both);
}

static void set_limits(const struct confinement *c) {
    const int32_t others = c->processes > 1 ? c->processes : 0;                              /* MPI has buffers and a few connections for each */
    const rlim_t bytes = (rlim_t)c->memory_max + (256u << 20) + (rlim_t)others * (8u << 20); /* plus stacks and the buffers of the BLAS */
    const int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    char text[16];
    const int n = snprintf(text, sizeof text, "%d", OOM_SCORE); /* without memory the kernel ends a job, not the server */
    if (fd >= 0 && write(fd, text, (size_t)n) != n) errno = 0;
    if (fd >= 0) close(fd);
    limit(RLIMIT_CORE, 0);
    limit(RLIMIT_NOFILE, FILES_MAX + 8 * (rlim_t)others);
    signal(SIGXFSZ, SIG_IGN);                                   /* EFBIG instead */
    if (c->memory_max > 0 && !SANITIZER && !THREAD_SANITIZER) { /* the sanitizers map terabytes of shadow memory */
        limit(RLIMIT_DATA, bytes);
        if (!c->writes_results) limit(RLIMIT_FSIZE, bytes); /* a checkpoint is smaller than what it is of */
    }
    const struct rlimit cpu = {(rlim_t)c->cpu_seconds, (rlim_t)c->cpu_seconds + 1}; /* first SIGXCPU, which says more than SIGKILL */
    if (c->cpu_seconds > 0) setrlimit(RLIMIT_CPU, &cpu);
    setpriority(PRIO_PROCESS, 0, getpriority(PRIO_PROCESS, 0) + c->nice); /* the kernel takes 19 for more */
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (c->enabled) prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); /* other processes of the user cannot look into it */
    prctl(PR_SET_PDEATHSIG, SIGKILL);                   /* a change of dumpable may have cleared it */
}

static void add_missing(struct confined *confined, const char *what, int cause) {
    const size_t n = strlen(confined->missing);
    snprintf(confined->missing + n, sizeof confined->missing - n, "%s%s: %s", n ? "; " : "", what, strerror(cause));
}

/* ---- Landlock -------------------------------------------------------------------------------------------------------------------------- */

#ifdef LANDLOCK_CREATE_RULESET_VERSION
/* The headers of Debian 12 are of version 3. */
struct ruleset {
    uint64_t files, network, scopes;
};
enum { FILES_1 = (1 << 13) - 1, FILES_2 = 1 << 13, FILES_3 = 1 << 14, FILES_5 = 1 << 15, NETWORK_4 = 3, SCOPES_6 = 3 };

/* All that the kernel's version can refuse, and no exceptions: no file can be opened, made, renamed, removed or executed; no TCP; no signal to a
 * process outside, no abstract socket of one. */
static int enter_landlock(int version) {
    const struct ruleset rules = {
        .files = FILES_1 | (version >= 2 ? FILES_2 : 0) | (version >= 3 ? FILES_3 : 0) | (version >= 5 ? FILES_5 : 0),
        .network = version >= 4 ? NETWORK_4 : 0,
        .scopes = version >= 6 ? SCOPES_6 : 0,
    };
    const size_t size = version >= 6 ? sizeof rules : version >= 4 ? 2 * sizeof(uint64_t) : sizeof(uint64_t);
    const int fd = (int)syscall(SYS_landlock_create_ruleset, &rules, size, 0);
    if (fd < 0) return -1;
    const long failed = syscall(SYS_landlock_restrict_self, fd, 0);
    close(fd);
    return failed ? -1 : 0;
}

static int landlock_version(void) {
    return (int)syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
}
#else
static int enter_landlock(int version) {
    (void)version;
    errno = ENOSYS;
    return -1;
}

static int landlock_version(void) {
    errno = ENOSYS;
    return -1;
}
#endif

/* ---- the list of calls ----------------------------------------------------------------------------------------------------------------- */

/* Conditions of calls.def: each adds the rules of a call. 0, or a negative errno. */
typedef int condition(scmp_filter_ctx filter, int call, const struct confinement *c);

static int not_executable(scmp_filter_ctx filter, int call, const struct confinement *c) {
    if (c->compiles) return seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 0);
    return seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 1, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
}

static int no_new_descriptor(scmp_filter_ctx filter, int call, const struct confinement *c) {
    static const int commands[] = {F_GETFD, F_SETFD, F_GETFL};
    int failed = 0;
    (void)c;
    for (size_t i = 0; i < sizeof commands / sizeof *commands && !failed; i++)
        failed = seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 1, SCMP_A1(SCMP_CMP_EQ, (scmp_datum_t)commands[i], 0));
    return failed;
}

/* With this flag an empty path means the descriptor. What the path is cannot be seen here; at most the size of a file is learned. */
static int of_descriptor(scmp_filter_ctx filter, int call, const struct confinement *c) {
    (void)c;
    return seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 1, SCMP_A3(SCMP_CMP_MASKED_EQ, AT_EMPTY_PATH, AT_EMPTY_PATH));
}

/* clone3 passes its flags in memory, which cannot be seen here: it is said to be unknown, and the C library uses clone. */
static int thread_only(scmp_filter_ctx filter, int call, const struct confinement *c) {
    (void)c;
    const int failed = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
    if (failed) return failed;
    return seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 1, SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD));
}

static int to_itself(scmp_filter_ctx filter, int call, const struct confinement *c) {
    (void)c;
    return seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 1, SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid(), 0));
}

/* Not called at all otherwise. */
static int does_nothing(scmp_filter_ctx filter, int call, const struct confinement *c) {
    return c->processes > 1 ? seccomp_rule_add(filter, SCMP_ACT_ERRNO(0), call, 0) : 0;
}

static const struct {
    const char *name;
    condition *add; /* NULL: without condition */
    bool sanitizer; /* only in such a build */
    bool processes; /* only in a job of several */
} calls[] = {
#define CALL(name, reason)           {#name, NULL, false, false},
#define CALL_IF(name, when, reason)  {#name, when, false, false},
#define CALL_SANITIZER(name, reason) {#name, NULL, true, false},
#define CALL_PROCESSES(name, reason) {#name, NULL, false, true},
#include "server/worker/calls.def"
#undef CALL_PROCESSES
#undef CALL_SANITIZER
#undef CALL_IF
#undef CALL
};

static int add_calls(scmp_filter_ctx filter, const struct confinement *c) {
    int failed = 0;
    for (size_t i = 0; i < sizeof calls / sizeof *calls && !failed; i++) {
        const int call = seccomp_syscall_resolve_name(calls[i].name);
        if (call == __NR_SCMP_ERROR) continue; /* an older library does not know it */
        if ((calls[i].sanitizer && !SANITIZER) || (calls[i].processes && c->processes < 2)) continue;
        failed = calls[i].add ? calls[i].add(filter, call, c) : seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 0);
    }
    return failed;
}

/* In all threads. 0, or an errno. SSB: kernels before 5.16 slow a process down that has a list, for a danger that is none here: it runs no code of
 * others. */
static int enter_list(const struct confinement *c) {
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    if (!filter) return ENOMEM;
    int failed = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
    if (!failed) seccomp_attr_set(filter, SCMP_FLTATR_CTL_SSB, 1);
    if (!failed) seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    if (!failed) failed = add_calls(filter, c);
    if (!failed) failed = seccomp_load(filter);
    seccomp_release(filter);
    return -failed;
}

void confine(const struct confinement *c, struct confined *confined) {
    *confined = (struct confined){0};
    set_limits(c);
    if (!c->enabled) return;
    if (THREAD_SANITIZER || __gcov_dump) { /* they open files: of /proc when a thread starts, of counts at the end */
        add_missing(confined, "the list of system calls (seccomp) is not available in this build for tests", EOPNOTSUPP);
        return;
    }
    const int version = landlock_version();
    if (version > 0 && enter_landlock(version) == 0) confined->landlock = version;
    else add_missing(confined, "Landlock is not available", errno);
    const int cause = enter_list(c);
    confined->calls = cause == 0;
    if (cause) add_missing(confined, "the list of system calls (seccomp) is not available", cause);
}

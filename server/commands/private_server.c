/* private_server.c - see private_server.h. */
#include "server/commands/private_server.h"

#include "server/auth/key.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static atomic_bool interrupted;

static void on_signal(int number) {
    (void)number;
    atomic_store(&interrupted, true);
}

bool private_server_interrupted(void) {
    return atomic_load(&interrupted);
}

/* Settings of another server are not meant for this one. */
static void forget_settings(void) {
    static const char *const kept[] = {"BACKPROPD_JOB_ENVIRONMENT=", "BACKPROPD_ONEDNN=", "BACKPROPD_BLAS_RESTARTED=", "BACKPROPD_FAULT_BLAS="};
    for (char **v = environ; *v;) {
        char name[200];
        bool keep = strncmp(*v, "BACKPROPD_", 10) != 0;
        for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) keep = keep || strncmp(*v, kept[i], strlen(kept[i])) == 0;
        snprintf(name, sizeof name, "%.*s", (int)strcspn(*v, "="), *v);
        if (keep || unsetenv(name) != 0) v++;
        else v = environ;
    }
}

_Noreturn static void become_server(const struct private_server *s, int out, int workers) {
    char count[16];
    const int log = open(s->log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    setpgid(0, 0); /* Ctrl-C is for the command, which ends it in order */
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    forget_settings();
    snprintf(count, sizeof count, "%d", workers);
    dup2(out, STDOUT_FILENO);
    if (log >= 0) dup2(log, STDERR_FILENO);
    execl("/proc/self/exe", "backpropd", "serve", "--listen", "127.0.0.1:0", "--data-dir", s->data, "--api-key-file", s->key_file, "--workers", count,
          (char *)NULL);
    _exit(127);
}

static int make_folder(const char *command, struct private_server *s) {
    const char *temporary = getenv("TMPDIR");
    struct store_key key = {0};
    char text[KEY_TEXT_SIZE];
    snprintf(s->folder, sizeof s->folder, "%.250s/backpropd-XXXXXX", temporary && *temporary ? temporary : "/tmp");
    if (!mkdtemp(s->folder)) {
        fprintf(stderr, "backpropd %s: cannot create a folder %s: %s; set TMPDIR\n", command, s->folder, strerror(errno));
        s->folder[0] = '\0';
        return -1;
    }
    snprintf(s->data, sizeof s->data, "%s/data", s->folder);
    snprintf(s->key_file, sizeof s->key_file, "%s/key", s->folder);
    snprintf(s->log, sizeof s->log, "%s/log", s->folder);
    key_make(&key, text);
    const int fd = open(s->key_file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    const bool written = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    if (fd >= 0) close(fd);
    if (!written) return fprintf(stderr, "backpropd %s: cannot write in %s: %s\n", command, s->folder, strerror(errno)), -1;
    s->client.key = strdup(text);
    return s->client.key ? 0 : -1;
}

/* The last lines of what the server wrote. */
static void show_log(const char *command, const struct private_server *s) {
    char text[2000] = "";
    FILE *log = fopen(s->log, "re");
    if (log && fseek(log, -1999, SEEK_END) != 0) rewind(log);
    const size_t n = log ? fread(text, 1, sizeof text - 1, log) : 0;
    text[n] = '\0';
    if (log) fclose(log);
    fprintf(stderr, "backpropd %s: the server of this command did not start:\n%s", command, text);
}

int private_server_start(const char *command, int workers, struct private_server *s) {
    const struct sigaction action = {.sa_handler = on_signal};
    int ends[2];
    char line[200] = "";
    struct bp_error error = {0};
    memset(s, 0, sizeof *s);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    if (make_folder(command, s) != 0) return -1;
    if (pipe2(ends, O_CLOEXEC) != 0) return fprintf(stderr, "backpropd %s: cannot open a pipe: %s\n", command, strerror(errno)), -1;
    s->pid = fork();
    if (s->pid == 0) become_server(s, ends[1], workers);
    close(ends[1]);
    FILE *out = s->pid > 0 ? fdopen(ends[0], "r") : NULL;
    const char *url = out && fgets(line, sizeof line, out) ? strstr(line, "http://") : NULL;
    if (out) fclose(out);
    else close(ends[0]);
    line[strcspn(line, "\r\n")] = '\0';
    char *key = s->client.key;
    const int failed = !url || client_parse(&s->client, url, &error) != 0;
    s->client.key = key;
    if (failed && !private_server_interrupted()) show_log(command, s);
    return failed ? -1 : 0;
}

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *place) {
    (void)info, (void)type, (void)place;
    return remove(path);
}

void private_server_stop(struct private_server *s) {
    if (s->pid > 0) {
        kill(s->pid, SIGTERM);
        while (waitpid(s->pid, NULL, 0) < 0 && errno == EINTR) continue;
    }
    if (s->folder[0]) nftw(s->folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(s->client.key);
    memset(s, 0, sizeof *s);
}

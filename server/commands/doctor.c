/* doctor.c - `backpropd doctor`: is this machine fit, and is a running server well? */
#include "server/commands/commands.h"

#include "engine/kernels/kernels.h"
#include "server/clock.h"
#include "server/commands/local_data.h"
#include "server/http/http.h"
#include "server/settings.h"
#include "server/store/store.h"
#include "server/version.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

enum { URL, DATA_DIR, KEY_FILE, FLAGS_COUNT };
static const char *const names[] = {"url", "data-dir", "api-key-file", NULL};
static const char *const switches[] = {NULL};

/* ---- a running server ---------------------------------------------------------------------------------------------------------------- */

static int connect_to(const char *host, const char *port) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
    struct timeval patience = {.tv_sec = 5};
    if (getaddrinfo(host, port, &hints, &found) != 0) return -1;
    int fd = -1;
    for (struct addrinfo *a = found; a && fd < 0; a = a->ai_next) {
        fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0) continue;
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
        if (connect(fd, a->ai_addr, a->ai_addrlen) != 0) {
            close(fd);
            fd = -1;
        }
    }
    freeaddrinfo(found);
    return fd;
}

/* GET path of http://host:port; prints what is wrong. 0 when it answers 200. */
static int ask(const char *url) {
    char host[200], port[16] = "80", request[512], answer[256];
    const char *rest = strncmp(url, "http://", 7) == 0 ? url + 7 : NULL;
    size_t size = rest ? strcspn(rest, "/") : 0;
    if (!rest || size == 0 || size >= sizeof host) return fprintf(stderr, "backpropd doctor: --url expects http://host:port, got \"%s\"\n", url), 2;
    snprintf(host, sizeof host, "%.*s", (int)size, rest);
    char *colon = strrchr(host, ':');
    if (colon && !strchr(colon, ']')) {
        snprintf(port, sizeof port, "%.15s", colon + 1);
        *colon = '\0';
    }
    if (host[0] == '[') {
        memmove(host, host + 1, strlen(host));
        host[strcspn(host, "]")] = '\0';
    }
    int fd = connect_to(host, port);
    if (fd < 0) return fprintf(stderr, "backpropd doctor: no server listens at %s: %s\n", url, strerror(errno)), 1;
    int n = snprintf(request, sizeof request, "GET /readyz HTTP/1.1\r\nHost: localhost:%s\r\nConnection: close\r\n\r\n", port);
    ssize_t got = send(fd, request, (size_t)n, MSG_NOSIGNAL) == n ? recv(fd, answer, sizeof answer - 1, 0) : -1;
    close(fd);
    answer[got > 0 ? got : 0] = '\0';
    if (got >= 12 && memcmp(answer, "HTTP/1.1 200", 12) == 0) return printf("%s is ready\n", url), 0;
    fprintf(stderr, "backpropd doctor: %s is not ready: %.*s\n", url, (int)strcspn(answer, "\r\n"), got > 0 ? answer : "no answer");
    return 1;
}

/* ---- this machine ----------------------------------------------------------------------------------------------------------------------- */

static void first_line_of(const char *path, const char *key, char *out, size_t size) {
    FILE *file = fopen(path, "re");
    char line[512];
    snprintf(out, size, "unknown");
    while (file && fgets(line, sizeof line, file)) {
        char *colon = strchr(line, ':');
        if (strncmp(line, key, strlen(key)) != 0 || !colon) continue;
        colon += 1 + strspn(colon + 1, " \t");
        colon[strcspn(colon, "\n")] = '\0';
        snprintf(out, size, "%s", colon);
        break;
    }
    if (file) fclose(file);
}

static double gemm_rate(void) {
    enum { N = 512 };
    bp_real *a = bp_reals_new(N * N), *b = bp_reals_new(N * N), *c = bp_reals_new(N * N);
    double best = 0;
    for (int i = 0; a && b && i < N * N; i++) a[i] = (bp_real)(i % 7) - 3, b[i] = (bp_real)(i % 5) - 2;
    for (int i = 0; a && b && c && i < 5; i++) {
        double t = clock_seconds();
        bp_gemm(&(struct bp_gemm){.m = N, .n = N, .k = N, .A = a, .B = b, .C = c, .lda = N, .ldb = N, .ldc = N});
        double rate = 2.0 * N * N * N / (clock_seconds() - t) / 1e9;
        if (rate > best) best = rate;
    }
    free(a);
    free(b);
    free(c);
    return best;
}

/* Writes, fsyncs and removes a file in the folder, or where it would be made. */
static int write_test(const char *folder) {
    char path[4300], where[4200], bytes[4096] = {0};
    struct stat info;
    struct statvfs space;
    const bool exists = stat(folder, &info) == 0;
    const char *slash = strrchr(folder, '/');
    snprintf(where, sizeof where, "%.*s", exists ? (int)strlen(folder) : slash ? (int)(slash - folder) : 1, exists || slash ? folder : ".");
    if (!where[0]) snprintf(where, sizeof where, "/");
    snprintf(path, sizeof path, "%s/.backpropd-doctor-%ld", where, (long)getpid());
    double t = clock_seconds();
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    bool good = fd >= 0 && write(fd, bytes, sizeof bytes) == sizeof bytes && fsync(fd) == 0;
    int code = errno;
    double took = clock_seconds() - t;
    if (fd >= 0) {
        close(fd);
        unlink(path);
    }
    if (!good) return printf("data folder   %s: cannot be written: %s\n", where, strerror(code)), -1;
    double free_gb = statvfs(where, &space) == 0 ? (double)space.f_bavail * (double)space.f_frsize / 1e9 : 0;
    printf("data folder   %s%s: write and fsync took %.2f ms, %.1f GB free\n", folder, exists ? "" : " (does not exist yet; its parent was checked)",
           took * 1e3, free_gb);
    return 0;
}

/* ---- what `serve` would do ------------------------------------------------------------------------------------------------------------------ */

static void unknown_variable(void *context, const char *name, const char *nearest) {
    (void)context;
    printf("environment   %s is not a setting%s%s\n", name, nearest ? ", did you mean " : "", nearest ? nearest : "");
}

/* *held: a running server uses it, which is well. */
static int check_folder(const char *folder, bool *held) {
    struct bp_error error = {0};
    int64_t holder;
    const enum store_result result = store_examine(folder, &holder, &error);
    if (result == STORE_IN_USE) printf("database      in use by a running server, process %lld\n", (long long)holder);
    else if (result != STORE_OK) return printf("database      %s\n", error.message), -1;
    *held = result == STORE_IN_USE;
    return *held ? 0 : write_test(folder);
}

/* The settings as `serve` would read them here, and what it would refuse. */
static int check_serve(const char *data_dir, const char *key_file) {
    struct server_settings settings;
    struct bp_error error = {0};
    char *arguments[5] = {(char *)"serve"};
    int count = 1, failed = 0;
    if (data_dir) arguments[count++] = (char *)"--data-dir", arguments[count++] = (char *)(uintptr_t)data_dir;
    if (key_file) arguments[count++] = (char *)"--api-key-file", arguments[count++] = (char *)(uintptr_t)key_file;
    server_settings_unknown(unknown_variable, NULL);
    if (server_settings_read(&settings, count, arguments, &error) != 0) {
        printf("settings      %s\n", error.message);
        server_settings_clear(&settings);
        return -1;
    }
    if (strcmp(settings.kernels, "auto") != 0 && bp_kernels_find(settings.kernels) == NULL)
        failed = (printf("settings      kernels %s: not supported by this processor\n", settings.kernels), -1);
    char *key = NULL;
    if (api_key_read(settings.api_key_file, &key, &error) != 0) failed = (printf("key           %s\n", error.message), -1);
    bool held = false;
    if (check_folder(settings.data_dir, &held) != 0) failed = -1;
    error = (struct bp_error){0};
    if (!held && http_listen_check(settings.listen, key != NULL, &error) != 0) failed = (printf("address       %s\n", error.message), -1);
    free(key);
    server_settings_clear(&settings);
    return failed;
}

int command_doctor(int argc, char **argv) {
    const char *values[FLAGS_COUNT] = {0};
    char text[256];
    struct rlimit files;
    struct bp_error error = {0}, without = {0}, bfloat16_unavailable = {0}, ignored = {0};
    if (local_flags("doctor", argc, argv, names, switches, values) != 0) return 2;
    if (values[URL]) return ask(values[URL]);
    bp_engine_start();
    bp_flush_denormals();
    printf("backpropd     " BACKPROPD_VERSION "\n");
    first_line_of("/proc/cpuinfo", "model name", text, sizeof text);
    printf("processor     %s, %ld cores\n", text, sysconf(_SC_NPROCESSORS_ONLN));
    first_line_of("/proc/meminfo", "MemTotal", text, sizeof text);
    printf("memory        %.1f GB\n", strtod(text, NULL) / 1e6);
    printf("kernels       %s\n", bp_kernels_name());
    printf("BLAS          %s\n", bp_blas_name());
    int failed = bp_blas_selftest(&error);
    const bool second = bp_onednn_start(BP_ONEDNN_AUTO, bp_bfloat16_available(&ignored), &without) == 0;
    printf("oneDNN        %s%s\n", second ? bp_onednn_name() : without.message,
           second ? ": for jobs with enough large products" : ": jobs run without it");
    printf("bfloat16      %s\n", bp_bfloat16_started()                          ? "available, for jobs that request it"
                                 : bp_bfloat16_available(&bfloat16_unavailable) ? "not available without oneDNN"
                                                                                : bfloat16_unavailable.message);
    bp_onednn_start(BP_ONEDNN_OFF, false, &ignored);
    printf("BLAS check    %s\n", failed ? error.message : "matrix products agree with plain C on odd shapes");
    printf("speed         %.0f GFLOP/s, products of 512 x 512, one thread\n", gemm_rate());
    if (getrlimit(RLIMIT_NOFILE, &files) == 0)
        printf("open files    %llu%s\n", (unsigned long long)files.rlim_cur,
               files.rlim_cur < 4096 ? " (too few for 2000 connections; raise the limit with ulimit -n)" : "");
    if (check_serve(values[DATA_DIR], values[KEY_FILE]) != 0) failed = -1;
    printf("%s\n", failed ? "problems found" : "no problems found");
    return failed ? 1 : 0;
}

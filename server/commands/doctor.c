/* doctor.c - `backpropd doctor`: is this machine fit? A running server: doctor_url.c. */
#include "server/commands/commands.h"

#include "engine/kernels/kernels.h"
#include "server/auth/auth.h"
#include "server/clock.h"
#include "server/commands/doctor_url.h"
#include "server/commands/local_data.h"
#include "server/commands/reload.h"
#include "server/http/http.h"
#include "server/http/tls.h"
#include "server/jobs/child.h"
#include "server/settings.h"
#include "server/store/store.h"
#include "server/version.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { URL, DATA_DIR, KEY_FILE, CA_FILE, ORIGIN, READY, FLAGS_COUNT };
static const char *const names[] = {"url", "data-dir", "api-key-file", "ca-file", "origin", NULL};
static const char *const switches[] = {"ready", NULL};

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

static int check_certificate(const struct server_settings *settings) {
    struct bp_error error = {0};
    int64_t days = 0;
    if (!*settings->tls_cert || !*settings->tls_key)
        return printf("certificate   --tls-cert and --tls-key belong together; give both, or neither\n"), -1;
    if (tls_check(settings->tls_cert, settings->tls_key, &days, &error) != 0) return printf("certificate   %s\n", error.message), -1;
    if (days < 0) return printf("certificate   %s has expired\n", settings->tls_cert), -1;
    printf("certificate   %s expires in %lld days%s\n", settings->tls_cert, (long long)days, days < 14 ? ": renew it" : "");
    return 0;
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
    if (settings_check(&settings, &error) != 0) failed = (printf("settings      %s\n", error.message), -1);
    char *key = NULL;
    if (auth_file_read(settings.api_key_file, &key, &error) != 0) failed = (printf("key           %s\n", error.message), -1);
    if (*settings.tls_cert || *settings.tls_key) failed = check_certificate(&settings) != 0 ? -1 : failed;
    bool held = false;
    if (check_folder(settings.data_dir, &held) != 0) failed = -1;
    error = (struct bp_error){0};
    if (!held && http_listen_check(settings.listen, key || access_folder_has_key(settings.data_dir), &error) != 0)
        failed = (printf("address       %s\n", error.message), -1);
    free(key);
    server_settings_clear(&settings);
    return failed;
}

/* What job processes can be confined to here: a process tries (worker/trial.c). Less than all is no fault: jobs run with a warning. */
static void report_confinement(void) {
    char said[4096];
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) return;
    int none[CHILD_GIVEN];
    for (int i = 0; i < CHILD_GIVEN; i++) none[i] = -1;
    const pid_t pid = child_start(&(const struct child){.command = "confinement", .given = none, .errors = ends[1]});
    size_t n = 0;
    close(ends[1]);
    for (ssize_t got; pid > 0 && n < sizeof said - 1 && (got = read(ends[0], said + n, sizeof said - 1 - n)) > 0;) n += (size_t)got;
    said[n] = '\0';
    close(ends[0]);
    if (pid > 0) waitpid(pid, NULL, 0);
    for (char *line = said; *line;) {
        const size_t size = strcspn(line, "\n");
        const char end = line[size];
        line[size] = '\0';
        const bool shown = strncmp(line, "Landlock", 8) == 0 || strstr(line, "attempts refused") || strstr(line, "not available");
        if (shown || strstr(line, ": ALLOWED")) printf("confinement   %s\n", line);
        line += size + (end != '\0');
    }
}

int command_doctor(int argc, char **argv) {
    const char *values[FLAGS_COUNT] = {0};
    char text[256];
    struct rlimit files;
    struct bp_error error = {0}, without = {0}, bfloat16_unavailable = {0}, ignored = {0};
    if (local_flags("doctor", argc, argv, names, switches, values) != 0) return 2;
    if (values[URL])
        return doctor_url(&(struct doctor_url){.url = values[URL],
                                               .key_file = values[KEY_FILE],
                                               .ca_file = values[CA_FILE],
                                               .origin = values[ORIGIN],
                                               .ready_only = values[READY] != NULL});
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
    report_confinement();
    if (check_serve(values[DATA_DIR], values[KEY_FILE]) != 0) failed = -1;
    printf("%s\n", failed ? "problems found" : "no problems found");
    return failed ? 1 : 0;
}

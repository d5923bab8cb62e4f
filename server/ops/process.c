/* process.c - reads /proc (proc(5)). */
#include "server/ops/process.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* "btime 1700000000" of /proc/stat: when the system started. */
static double system_started(void) {
    FILE *file = fopen("/proc/stat", "re");
    char line[256];
    long long seconds = 0;
    while (file && !seconds && fgets(line, sizeof line, file))
        if (sscanf(line, "btime %lld", &seconds) != 1) seconds = 0;
    if (file) fclose(file);
    return (double)seconds;
}

static int64_t open_files(void) {
    DIR *entries = opendir("/proc/self/fd");
    int64_t count = -3; /* ".", ".." and the directory itself */
    while (entries && readdir(entries)) count++;
    if (entries) closedir(entries);
    return count > 0 ? count : 0;
}

void process_usage_read(struct process_usage *usage) {
    char line[1024];
    unsigned long long user = 0, system = 0, started = 0, memory = 0;
    long long threads = 0, pages = 0;
    struct rlimit files;
    const double ticks = (double)sysconf(_SC_CLK_TCK);
    *usage = (struct process_usage){.open_files = open_files()};
    FILE *file = fopen("/proc/self/stat", "re");
    const char *rest = file && fgets(line, sizeof line, file) ? strrchr(line, ')') : NULL; /* the name may have blanks */
    if (rest && sscanf(rest + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu %*d %*d %*d %*d %lld %*d %llu %llu %lld", &user, &system,
                       &threads, &started, &memory, &pages) == 6) {
        usage->cpu_seconds = (double)(user + system) / ticks;
        usage->started_at = system_started() + (double)started / ticks;
        usage->threads = threads;
        usage->virtual_bytes = (int64_t)memory;
        usage->resident_bytes = pages * sysconf(_SC_PAGESIZE);
    }
    if (file) fclose(file);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) usage->files_max = (int64_t)files.rlim_cur;
}

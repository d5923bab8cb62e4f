/* watchdog.c - see watchdog.h. */
#include "server/jobs/watchdog.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { LOOKS = 8, PERIOD_MIN_MS = 50, PERIOD_MAX_MS = 5000 };

int64_t watch_period(int64_t limit_ms) {
    const int64_t period = limit_ms / LOOKS;
    return period < PERIOD_MIN_MS ? PERIOD_MIN_MS : period > PERIOD_MAX_MS ? PERIOD_MAX_MS : period;
}

enum watch_finding watch_look(struct watch *w, const struct pulse *pulse, int64_t now, int64_t limit_ms, bool waits) {
    const int64_t period = watch_period(limit_ms);
    int64_t passed = now - w->looked_at;
    if (passed < period) return WATCH_ALIVE;
    if (passed > 2 * period) passed = 2 * period;
    const uint64_t beats = atomic_load(&pulse->beats), progress = atomic_load(&pulse->progress);
    w->looked_at = now;
    w->silent_ms = beats == w->beats ? w->silent_ms + passed : 0;
    w->stuck_ms = progress == w->progress && !waits ? w->stuck_ms + passed : 0;
    w->beats = beats;
    w->progress = progress;
    if (w->silent_ms >= limit_ms) return WATCH_SILENT;
    return w->stuck_ms >= limit_ms ? WATCH_STUCK : WATCH_ALIVE;
}

/* The state in the stat file of a thread: "17 (backpropd) D 1 ...". */
static char state_of(int tasks, const char *thread) {
    char path[80], text[512];
    snprintf(path, sizeof path, "%.60s/stat", thread);
    const int fd = openat(tasks, path, O_RDONLY | O_CLOEXEC);
    const ssize_t n = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;
    if (fd >= 0) close(fd);
    if (n <= 0) return 0;
    text[n] = '\0';
    const char *end = strrchr(text, ')');
    return end && end[1] == ' ' ? end[2] : 0;
}

bool watch_waits_for_disk(pid_t pid) {
    char path[64];
    bool waits = false;
    snprintf(path, sizeof path, "/proc/%ld/task", (long)pid);
    DIR *threads = opendir(path);
    for (const struct dirent *entry; threads && !waits && (entry = readdir(threads));)
        waits = entry->d_name[0] != '.' && state_of(dirfd(threads), entry->d_name) == 'D';
    if (threads) closedir(threads);
    return waits;
}

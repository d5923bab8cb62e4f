/* reserve.c - some megabytes of the disk that the data folder holds for the case that the disk is full. They are given up for a change that must be
 * stored then, or that frees space: the end of a job, a deletion. */
#include "server/store/sqlite/sqlite.h"

#include "server/clock.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

enum { RESERVE = 4 << 20, PLENTY = 4 * RESERVE /* free on the disk, to take it again */, AGAIN_MS = 10000 };

static const char name[] = "reserve";

static void path_of(const struct store *store, char path[4096]) {
    snprintf(path, 4096, "%s/%s", store->folder, name);
}

/* A file system that cannot promise space, or has none, leaves the folder without one. */
void reserve_take(struct store *store) {
    char path[4096];
    path_of(store, path);
    const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd >= 0 && posix_fallocate(fd, 0, RESERVE) != 0) unlink(path);
    if (fd >= 0) close(fd);
    atomic_store(&store->reserve_given_at, 0);
}

/* By the writer's thread, from time to time. */
void reserve_take_again(struct store *store) {
    const int64_t given = atomic_load(&store->reserve_given_at);
    if (given && clock_ms() >= given + AGAIN_MS && store_free_bytes(store) >= PLENTY) reserve_take(store);
}

/* True: there was one, and the disk needs it. */
static bool give(struct store *store) {
    char path[4096];
    path_of(store, path);
    if (store_free_bytes(store) >= RESERVE || unlink(path) != 0) return false;
    atomic_store(&store->reserve_given_at, clock_ms());
    return true;
}

enum store_result writer_run_vital(struct store *store, const char *what, change *run, void *argument, struct bp_error *error) {
    struct bp_error first = {0};
    enum store_result result = writer_run(store, what, run, argument, &first);
    if (result == STORE_FAILED && give(store)) return writer_run(store, what, run, argument, error);
    if (result != STORE_OK) *error = first;
    return result;
}

/* spool.c - see spool.h. */
#include "schema/formats/spool.h"

#include "schema/ingest/sink.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { MEMORY_MAX = 1 << 20 };

static int disk(struct schema_problems *problems) {
    return schema_problem_io(problems, "cannot keep the upload: %s; free space in the data folder and send it again", strerror(errno));
}

/* A nameless file in the folder of the dataset being written. */
static int nameless(int beside) {
    char link[64], folder[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", beside);
    ssize_t n = readlink(link, folder, sizeof folder - 1);
    char *slash = n > 0 ? (folder[n] = '\0', strrchr(folder, '/')) : NULL;
    int fd = -1;
    if (slash) {
        *(slash == folder ? slash + 1 : slash) = '\0';
        fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    }
    return fd >= 0 ? fd : open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
}

/* Moves what is in memory to the end of the file. */
static int spill(struct spool *spool, struct schema_problems *problems) {
    if (spool->fd < 0) {
        spool->fd = nameless(spool->beside);
        if (spool->fd < 0) return disk(problems);
    }
    for (size_t done = 0; done < spool->memory_size;) {
        ssize_t n = pwrite(spool->fd, spool->memory + done, spool->memory_size - done, (off_t)spool->size);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return disk(problems);
        done += (size_t)n, spool->size += (size_t)n;
    }
    spool->memory_size = 0;
    return 0;
}

int spool_open(struct spool *spool, int beside, struct schema_problems *problems) {
    *spool = (struct spool){.fd = -1, .beside = beside, .memory = malloc(MEMORY_MAX)};
    return spool->memory ? 0 : schema_ingest_no_memory(problems);
}

int spool_add(struct spool *spool, const char *bytes, size_t size, struct schema_problems *problems) {
    while (size > 0) {
        size_t n = MEMORY_MAX - spool->memory_size < size ? MEMORY_MAX - spool->memory_size : size;
        memcpy(spool->memory + spool->memory_size, bytes, n);
        spool->memory_size += n, bytes += n, size -= n;
        if (spool->memory_size == MEMORY_MAX && size > 0 && spill(spool, problems)) return -1;
    }
    return 0;
}

int spool_map(struct spool *spool, struct schema_problems *problems) {
    spool->start = spool->memory, spool->end = spool->memory + spool->memory_size;
    if (spool->fd < 0) return 0;
    if (spill(spool, problems)) return -1;
    void *mapped = mmap(NULL, spool->size, PROT_READ, MAP_SHARED, spool->fd, 0);
    if (mapped == MAP_FAILED) return disk(problems);
    spool->mapped = mapped;
    spool->start = spool->mapped, spool->end = spool->mapped + spool->size;
    return 0;
}

void spool_release(const struct spool *spool, const char *from, const char *to) {
    if (!spool->mapped) return;
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), low = ((uintptr_t)from + page - 1) / page * page, high = (uintptr_t)to / page * page;
    if (low < high) madvise((void *)low, high - low, MADV_DONTNEED);
}

void spool_close(struct spool *spool) {
    if (spool->mapped) munmap(spool->mapped, spool->size);
    if (spool->fd >= 0) close(spool->fd);
    free(spool->memory);
}

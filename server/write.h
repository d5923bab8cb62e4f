/* write.h - writing all of some bytes to a file or a pipe. */
#ifndef SERVER_WRITE_H
#define SERVER_WRITE_H

#include <errno.h>
#include <stddef.h>
#include <unistd.h>

/* How many bytes were written before a failure, with errno; all of them: size. One that takes nothing sets ENOSPC. */
static inline size_t write_whole(int fd, const void *bytes, size_t size) {
    size_t at = 0;
    while (at < size) {
        const ssize_t n = write(fd, (const char *)bytes + at, size - at);
        if (n < 0 && errno == EINTR) continue;
        if (n == 0) errno = ENOSPC;
        if (n <= 0) break;
        at += (size_t)n;
    }
    return at;
}

#endif

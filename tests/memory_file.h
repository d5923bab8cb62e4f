/* memory_file.h - a file without a name, for tests and fuzz targets of what is written into a descriptor and read from memory. */
#ifndef TESTS_MEMORY_FILE_H
#define TESTS_MEMORY_FILE_H

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* A new one, or -1. */
static inline int memory_file(void) {
    return memfd_create("test", MFD_CLOEXEC);
}

/* All of it, and closes it. The bytes are the caller's; NULL: it has not just that size. */
static inline char *memory_file_take(int fd, size_t size) {
    char *bytes = malloc(size + 1);
    if (bytes && pread(fd, bytes, size + 1, 0) != (ssize_t)size) {
        free(bytes);
        bytes = NULL;
    }
    close(fd);
    return bytes;
}

#endif

/* space.c - the space that the data folder takes and has. */
#include "server/store/sqlite/sqlite.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* Bytes of the files in a folder. Each name of a file counts its share, so that data which versions have in common counts once. */
static int64_t folder_bytes(int folder) {
    struct stat info;
    int64_t bytes = 0;
    const int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC); /* a position of its own */
    DIR *entries = fd >= 0 ? fdopendir(fd) : NULL;
    if (fd >= 0 && !entries) close(fd);
    for (struct dirent *entry; entries && (entry = readdir(entries));)
        if (fstatat(folder, entry->d_name, &info, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(info.st_mode) && info.st_nlink > 0)
            bytes += (int64_t)info.st_size / (int64_t)info.st_nlink;
    if (entries) closedir(entries);
    return bytes;
}

int64_t store_free_bytes(const struct store *store) {
    struct statvfs disk;
    return fstatvfs(store->datasets, &disk) == 0 ? (int64_t)disk.f_bavail * (int64_t)disk.f_frsize : 0;
}

void store_space(const struct store *store, struct store_space *space) {
    static const char *const files[] = {"backpropd.db", "backpropd.db-wal"};
    struct stat info;
    char path[4096];
    *space = (struct store_space){0};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        snprintf(path, sizeof path, "%s/%s", store->folder, files[i]);
        if (stat(path, &info) == 0) space->database_bytes += (int64_t)info.st_size;
    }
    space->used_bytes = space->database_bytes + folder_bytes(store->datasets) + folder_bytes(store->checkpoints) + folder_bytes(store->results);
    space->free_bytes = store_free_bytes(store);
}

/* cache.c - see cache.h. */
#include "server/remote/cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILES_MAX = 10000 };

static int make_folders(const char *path) {
    char part[400];
    snprintf(part, sizeof part, "%s", path);
    for (char *slash = part + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        if (mkdir(part, 0700) != 0 && errno != EEXIST) return -1;
        *slash = '/';
    }
    return mkdir(part, 0700) == 0 || errno == EEXIST ? 0 : -1;
}

int cache_open(struct cache *c, const char *folder, int64_t bytes_max, struct bp_error *error) {
    const char *home = getenv("XDG_CACHE_HOME");
    struct stat info;
    c->bytes_max = bytes_max;
    if (folder[0]) snprintf(c->folder, sizeof c->folder, "%s", folder);
    else if (home && home[0] == '/') snprintf(c->folder, sizeof c->folder, "%s/backpropd", home);
    else snprintf(c->folder, sizeof c->folder, "/var/tmp/backpropd-cache-%ld", (long)getuid());
    if (c->folder[0] != '/') return bp_error_set(error, "", "the cache folder %.200s must be an absolute path", c->folder);
    if (make_folders(c->folder) != 0 || stat(c->folder, &info) != 0)
        return bp_error_io(error, "the cache folder %.200s cannot be made: %s", c->folder, strerror(errno));
    /* In a folder of somebody else, files could be replaced after their digest was checked. */
    if (info.st_uid != getuid() || (info.st_mode & (S_IWGRP | S_IWOTH)))
        return bp_error_set(error, "", "the cache folder %.200s must belong to user %ld, and nobody else may write to it", c->folder, (long)getuid());
    return 0;
}

static void path_of(const struct cache *c, const char *name, char path[500]) {
    snprintf(path, 500, "%s/%s", c->folder, name);
}

int cache_find(const struct cache *c, const char *digest, int64_t bytes) {
    char path[500];
    struct stat info;
    if (strlen(digest) != OBJECT_DIGEST_SIZE - 1 || strspn(digest, "0123456789abcdef") != OBJECT_DIGEST_SIZE - 1) return -1;
    path_of(c, digest, path);
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) return -1;
    if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode) || info.st_size != bytes) {
        close(fd);
        return -1;
    }
    futimens(fd, NULL); /* the last use */
    return fd;
}

int cache_new(const struct cache *c, struct bp_error *error) {
    int fd = open(c->folder, O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
    if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR)) { /* NFS */
        char path[500];
        path_of(c, "new-XXXXXX", path);
        fd = mkostemp(path, O_CLOEXEC);
        if (fd >= 0) unlink(path);
    }
    return fd >= 0 ? fd : bp_error_io(error, "no file can be made in the cache folder %.200s: %s", c->folder, strerror(errno));
}

struct entry {
    char name[OBJECT_DIGEST_SIZE];
    int64_t bytes;
    struct timespec used;
};

static int by_use(const void *a, const void *b) {
    const struct entry *x = a, *y = b;
    if (x->used.tv_sec != y->used.tv_sec) return x->used.tv_sec < y->used.tv_sec ? -1 : 1;
    return x->used.tv_nsec < y->used.tv_nsec ? -1 : x->used.tv_nsec > y->used.tv_nsec;
}

/* Removes the least recently used files until the others fit; never the newest. */
static void trim(const struct cache *c) {
    struct entry *entries = malloc(FILES_MAX * sizeof *entries);
    DIR *folder = opendir(c->folder);
    int64_t total = 0;
    size_t count = 0;
    for (const struct dirent *d; entries && folder && count < FILES_MAX && (d = readdir(folder));) {
        struct stat info;
        if (strlen(d->d_name) != OBJECT_DIGEST_SIZE - 1 || fstatat(dirfd(folder), d->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0) continue;
        memcpy(entries[count].name, d->d_name, sizeof entries->name);
        entries[count].bytes = info.st_size;
        entries[count++].used = info.st_mtim;
        total += info.st_size;
    }
    if (count) qsort(entries, count, sizeof *entries, by_use);
    for (size_t i = 0; i + 1 < count && total > c->bytes_max; i++)
        if (unlinkat(dirfd(folder), entries[i].name, 0) == 0) total -= entries[i].bytes;
    if (folder) closedir(folder);
    free(entries);
}

void cache_keep(const struct cache *c, int fd, const char *digest) {
    char from[64], path[500];
    snprintf(from, sizeof from, "/proc/self/fd/%d", fd);
    path_of(c, digest, path);
    futimens(fd, NULL);
    if (linkat(AT_FDCWD, from, AT_FDCWD, path, AT_SYMLINK_FOLLOW) == 0 && c->bytes_max > 0) trim(c);
}

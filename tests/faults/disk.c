/* disk.c - see disk.h. Sections: failing, recorded inodes and names, cutting the power, calls of our own code, calls of SQLite.
 *
 * One lock covers each call with its recording, so that the order of what is recorded is the order on the disk. A recorded inode keeps a descriptor:
 * its contents can be read when its name is gone, and no descriptor of a database is closed while SQLite has a POSIX lock on it. */
#include "tests/faults/disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { SECTOR = 512, PATH_SIZE = 600 };

int __real_open(const char *path, int flags, ...);
int __real_openat(int directory, const char *path, int flags, ...);
ssize_t __real_write(int fd, const void *bytes, size_t size);
ssize_t __real_pwrite(int fd, const void *bytes, size_t size, off_t at);
int __real_fsync(int fd);
int __real_ftruncate(int fd, off_t size);
int __real_posix_fallocate(int fd, off_t at, off_t size);
int __real_fstatvfs(int fd, struct statvfs *status);
int __real_mkdir(const char *path, mode_t mode);
int __real_rename(const char *from, const char *to);
int __real_renameat(int from_directory, const char *from, int to_directory, const char *to);
int __real_renameat2(int from_directory, const char *from, int to_directory, const char *to, unsigned flags);
int __real_linkat(int from_directory, const char *from, int to_directory, const char *to, int flags);
int __real_unlink(const char *path);
int __real_unlinkat(int directory, const char *path, int flags);

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void must(bool good, const char *what) {
    if (good) return;
    fprintf(stderr, "tests/faults/disk.c: %s: %s\n", what, strerror(errno));
    abort();
}

/* ---- failing ---- */

static struct {
    unsigned kinds;
    long nth, calls, failed;
    int cause;
    bool forever, paused;
} plan;

void disk_fail(unsigned kinds, long nth, int cause, bool forever) {
    pthread_mutex_lock(&lock);
    plan.kinds = kinds, plan.nth = nth, plan.cause = cause, plan.forever = forever;
    plan.calls = plan.failed = 0;
    pthread_mutex_unlock(&lock);
}

void disk_pause(bool paused) {
    pthread_mutex_lock(&lock);
    plan.paused = paused;
    pthread_mutex_unlock(&lock);
}

long disk_failed(void) {
    pthread_mutex_lock(&lock);
    const long failed = plan.failed;
    pthread_mutex_unlock(&lock);
    return failed;
}

static int64_t free_space = -1;

void disk_space(int64_t bytes) {
    pthread_mutex_lock(&lock);
    free_space = bytes;
    pthread_mutex_unlock(&lock);
}

/* A file of `length` bytes is to have one more up to `end`. False: there is no space. The lock is taken. */
static bool grow(int64_t length, int64_t end) {
    if (free_space < 0 || end <= length) return true;
    if (end - length > free_space) return false;
    free_space -= end - length;
    return true;
}

static void give_back(int64_t bytes) {
    if (free_space >= 0 && bytes > 0) free_space += bytes;
}

/* ---- recorded inodes and names ---- */

/* Bytes of a file that were written and not synced, or cut off. */
struct change {
    off_t at, length; /* length: of the file before it */
    bool cut;         /* cut off at `at`; `before` has what came after it */
    char *before, *after;
    size_t before_size, after_size;
};
struct inode {
    dev_t device;
    ino_t number;
    int fd;
    struct change *changes;
    size_t count, room;
};
/* A name that was made, changed or removed since its folder was synced. Paths are relative to the recorded folder; "": none. */
struct naming {
    char from[PATH_SIZE], to[PATH_SIZE];
    struct inode *inode, *replaced; /* of `to` before */
};

static char root[PATH_SIZE];
static void (*moment)(void *context);
static void *moment_context;
static struct inode *inodes[4096];
static int inodes_count;
static struct naming *namings;
static size_t namings_count, namings_room;

static off_t length_of(int fd) {
    struct stat status;
    must(fstat(fd, &status) == 0, "fstat");
    return status.st_size;
}

/* A copy of a range of a file, cut at its end. */
static char *copy_range(int fd, off_t at, size_t size, size_t *got) {
    char *bytes = malloc(size + 1);
    must(bytes != NULL, "malloc");
    const ssize_t n = pread(fd, bytes, size, at);
    must(n >= 0, "pread");
    *got = (size_t)n;
    return bytes;
}

/* The inode of a path, NULL when there is none or it is no file. */
static struct inode *inode_of(const char *path) {
    struct stat status;
    if (lstat(path, &status) != 0 || !S_ISREG(status.st_mode)) return NULL;
    for (int i = 0; i < inodes_count; i++)
        if (inodes[i]->device == status.st_dev && inodes[i]->number == status.st_ino) return inodes[i];
    must(inodes_count < (int)(sizeof inodes / sizeof *inodes), "too many files");
    struct inode *inode = calloc(1, sizeof *inode);
    must(inode != NULL, "calloc");
    inode->device = status.st_dev, inode->number = status.st_ino;
    inode->fd = __real_open(path, O_RDONLY | O_CLOEXEC);
    must(inode->fd >= 0, path);
    return inodes[inodes_count++] = inode;
}

/* The path below the recorded folder, NULL: it is elsewhere, or of no interest. */
static const char *inside(const char *path) {
    const size_t size = strlen(root), end = strlen(path);
    if (!size || strncmp(path, root, size) != 0 || path[size] != '/') return NULL;
    if ((end > 4 && strcmp(path + end - 4, "-shm") == 0) || strcmp(path + size, "/lock") == 0) return NULL;
    return path + size + 1;
}

/* The full path of a descriptor. */
static bool path_of(int fd, char path[PATH_SIZE]) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    const ssize_t n = readlink(link, path, PATH_SIZE - 1);
    if (n > 0) path[n] = '\0';
    return n > 0;
}

static void full_path(int directory, const char *name, char path[PATH_SIZE]) {
    if (*name == '/' || directory == AT_FDCWD) snprintf(path, PATH_SIZE, "%s", name);
    else if (path_of(directory, path)) snprintf(path + strlen(path), PATH_SIZE - strlen(path), "/%s", name);
    else *path = '\0';
}

static struct change *change_add(struct inode *inode) {
    if (inode->count == inode->room) {
        inode->room = inode->room ? inode->room * 2 : 16;
        inode->changes = realloc(inode->changes, inode->room * sizeof *inode->changes);
        must(inode->changes != NULL, "realloc");
    }
    struct change *change = &inode->changes[inode->count++];
    *change = (struct change){.length = length_of(inode->fd)};
    return change;
}

static void record_write(struct inode *inode, const void *bytes, size_t size, off_t at) {
    struct change *change = change_add(inode);
    change->at = at;
    change->before = copy_range(inode->fd, at, size, &change->before_size);
    change->after = malloc(size + 1);
    must(change->after != NULL, "malloc");
    memcpy(change->after, bytes, size);
    change->after_size = size;
}

static void record_cut(struct inode *inode, off_t size) {
    struct change *change = change_add(inode);
    change->cut = true, change->at = size;
    if (change->length > size) change->before = copy_range(inode->fd, size, (size_t)(change->length - size), &change->before_size);
}

static void changes_clear(struct inode *inode) {
    for (size_t i = 0; i < inode->count; i++) {
        free(inode->changes[i].before);
        free(inode->changes[i].after);
    }
    inode->count = 0;
}

static void record_name(const char *from, const char *to, struct inode *inode, struct inode *replaced) {
    if (namings_count == namings_room) {
        namings_room = namings_room ? namings_room * 2 : 64;
        namings = realloc(namings, namings_room * sizeof *namings);
        must(namings != NULL, "realloc");
    }
    struct naming *naming = &namings[namings_count++];
    *naming = (struct naming){.inode = inode, .replaced = replaced};
    snprintf(naming->from, PATH_SIZE, "%s", from ? from : "");
    snprintf(naming->to, PATH_SIZE, "%s", to ? to : "");
}

/* Whether a relative path names something directly in a folder ("": the recorded one). */
static bool is_in(const char *path, const char *folder) {
    const char *slash = strrchr(path, '/');
    const size_t size = slash ? (size_t)(slash - path) : 0;
    return !*path || (strlen(folder) == size && strncmp(path, folder, size) == 0);
}

static void names_synced(const char *folder, const char *only) {
    size_t kept = 0;
    for (size_t i = 0; i < namings_count; i++) {
        const bool all = is_in(namings[i].from, folder) && is_in(namings[i].to, folder);
        if (only ? strcmp(namings[i].to, only) != 0 : !all) namings[kept++] = namings[i];
    }
    namings_count = kept;
}

void disk_record(const char *folder, void (*at)(void *context), void *context) {
    pthread_mutex_lock(&lock);
    must(realpath(folder, root) != NULL, folder);
    moment = at, moment_context = context;
    pthread_mutex_unlock(&lock);
}

void disk_stop(void) {
    pthread_mutex_lock(&lock);
    *root = '\0';
    for (int i = 0; i < inodes_count; i++) {
        changes_clear(inodes[i]);
        free(inodes[i]->changes);
        close(inodes[i]->fd);
        free(inodes[i]);
    }
    free(namings);
    namings = NULL;
    inodes_count = 0, namings_count = namings_room = 0;
    pthread_mutex_unlock(&lock);
}

/* The lock is taken. 0, or the errno that the call fails with; the lock is released then. Otherwise `leave` ends it. */
static int enter(enum disk_call kind, const char *path) {
    pthread_mutex_lock(&lock);
    if (inside(path) && moment) moment(moment_context);
    if (!(plan.kinds & kind) || plan.paused) return 0;
    plan.calls++;
    if (!plan.nth || plan.calls < plan.nth || (plan.calls > plan.nth && !plan.forever)) return 0;
    plan.failed++;
    const int cause = plan.cause;
    pthread_mutex_unlock(&lock);
    return cause;
}

static void leave(void) {
    const int cause = errno;
    pthread_mutex_unlock(&lock);
    errno = cause;
}

/* ---- cutting the power ---- */

struct entry {
    char path[PATH_SIZE];
    struct inode *inode;
};
struct tree {
    struct entry entries[4096];
    int count;
};

static struct entry *entry_find(struct tree *tree, const char *path) {
    for (int i = 0; i < tree->count; i++)
        if (strcmp(tree->entries[i].path, path) == 0) return &tree->entries[i];
    return NULL;
}

static void entry_set(struct tree *tree, const char *path, struct inode *inode) {
    struct entry *entry = entry_find(tree, path);
    if (!*path) return;
    if (!inode) {
        if (entry) *entry = tree->entries[--tree->count];
        return;
    }
    must(entry || tree->count < (int)(sizeof tree->entries / sizeof *tree->entries), "too many files");
    if (!entry) entry = &tree->entries[tree->count++];
    snprintf(entry->path, PATH_SIZE, "%s", path);
    entry->inode = inode;
}

static void tree_read(struct tree *tree, const char *folder) {
    char path[PATH_SIZE * 2];
    snprintf(path, sizeof path, "%s%s%s", root, *folder ? "/" : "", folder);
    DIR *names = opendir(path);
    for (struct dirent *name; names && (name = readdir(names));) {
        snprintf(path, sizeof path, "%s/%s%s%s", root, folder, *folder ? "/" : "", name->d_name);
        if (inside(path) && inode_of(path)) entry_set(tree, inside(path), inode_of(path));
    }
    if (names) closedir(names);
}

static void apply(char *image, off_t *length, const struct change *change, unsigned *seed, int how) {
    if (change->cut) {
        if (*length > change->at) memset(image + change->at, 0, (size_t)(*length - change->at));
        *length = change->at;
        return;
    }
    for (size_t i = 0, n; i < change->after_size; i += n) {
        n = SECTOR - (size_t)((change->at + (off_t)i) % SECTOR);
        if (n > change->after_size - i) n = change->after_size - i;
        if (how == 2 && rand_r(seed) % 2) continue; /* torn */
        memcpy(image + change->at + i, change->after + i, n);
        if (*length < change->at + (off_t)(i + n)) *length = change->at + (off_t)(i + n);
    }
}

/* What is on the disk of a file: what was synced, and of the changes after that all, none or some, in any order. */
static void image_write(const struct inode *inode, const char *path, unsigned *seed, int mode) {
    off_t length = length_of(inode->fd), most = length;
    for (size_t i = 0; i < inode->count; i++) {
        const struct change *c = &inode->changes[i];
        if (c->length > most) most = c->length;
        if (c->at + (off_t)c->after_size > most) most = c->at + (off_t)c->after_size;
    }
    char *image = calloc(1, (size_t)most + 1);
    must(image != NULL, "calloc");
    must(pread(inode->fd, image, (size_t)length, 0) == length, "pread");
    for (size_t i = inode->count; i-- > 0;) {
        const struct change *c = &inode->changes[i];
        if (c->before_size) memcpy(image + c->at, c->before, c->before_size);
        if (c->length < length) memset(image + c->length, 0, (size_t)(length - c->length));
        length = c->length;
    }
    size_t *order = calloc(inode->count + 1, sizeof *order);
    must(order != NULL, "calloc");
    for (size_t i = 0; i < inode->count; i++) {
        const size_t j = mode == 2 ? (size_t)rand_r(seed) % (i + 1) : i;
        order[i] = order[j];
        order[j] = i;
    }
    for (size_t i = 0; i < inode->count && mode; i++) {
        const int how = mode == 1 ? 1 : rand_r(seed) % 3;
        if (how) apply(image, &length, &inode->changes[order[i]], seed, how);
    }
    const int fd = __real_open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    must(fd >= 0 && __real_write(fd, image, (size_t)length) == length, path);
    close(fd);
    free(order);
    free(image);
}

void disk_cut(const char *target, unsigned seed) {
    static const char *const folders[] = {"", "datasets", "checkpoints", "lost"};
    static struct tree tree;
    char path[PATH_SIZE * 2];
    tree.count = 0;
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        struct stat status;
        snprintf(path, sizeof path, "%s/%s", root, folders[i]);
        if (stat(path, &status) != 0) continue;
        snprintf(path, sizeof path, "%s/%s", target, folders[i]);
        must(__real_mkdir(path, 0700) == 0, path);
        tree_read(&tree, folders[i]);
    }
    const int mode = rand_r(&seed) % 4; /* 0: nothing that is not synced, 1: all of it, else some */
    const size_t kept = mode == 0 ? 0 : mode == 1 ? namings_count : (size_t)rand_r(&seed) % (namings_count + 1);
    for (size_t i = namings_count; i-- > kept;) {
        entry_set(&tree, namings[i].to, namings[i].replaced);
        entry_set(&tree, namings[i].from, namings[i].inode);
    }
    for (int i = 0; i < tree.count; i++) {
        int same = 0;
        while (tree.entries[same].inode != tree.entries[i].inode) same++;
        snprintf(path, sizeof path, "%s/%s", target, tree.entries[i].path);
        if (same == i) {
            image_write(tree.entries[i].inode, path, &seed, mode < 2 ? mode : 2);
        } else {
            char first[PATH_SIZE * 2];
            snprintf(first, sizeof first, "%s/%s", target, tree.entries[same].path);
            must(__real_linkat(AT_FDCWD, first, AT_FDCWD, path, 0) == 0, path);
        }
    }
}

/* ---- calls of our own code ---- */

#define FAIL(kind, path)                                                                                                                             \
    do {                                                                                                                                             \
        const int cause_ = enter(kind, path);                                                                                                        \
        if (cause_) return errno = cause_, -1;                                                                                                       \
    } while (0)

static int no_space(void) {
    errno = ENOSPC;
    leave();
    return -1;
}

static int open_path(const char *path, int flags, mode_t mode) {
    if (!(flags & (O_CREAT | O_WRONLY | O_RDWR))) return __real_open(path, flags);
    FAIL(DISK_OPEN, path);
    const bool there = access(path, F_OK) == 0;
    const int fd = __real_open(path, flags, mode);
    if (fd >= 0 && !there && inside(path)) record_name(NULL, inside(path), NULL, NULL);
    if (fd >= 0 && inside(path)) inode_of(path);
    leave();
    return fd;
}

static mode_t mode_of(int flags, va_list arguments) {
    return flags & O_CREAT ? va_arg(arguments, mode_t) : 0;
}

int __wrap_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    const mode_t mode = mode_of(flags, arguments);
    va_end(arguments);
    char whole[PATH_SIZE];
    full_path(AT_FDCWD, path, whole);
    return open_path(whole, flags, mode);
}

int __wrap_openat(int directory, const char *path, int flags, ...);
int __wrap_openat(int directory, const char *path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    const mode_t mode = mode_of(flags, arguments);
    va_end(arguments);
    char whole[PATH_SIZE];
    full_path(directory, path, whole);
    return open_path(whole, flags, mode);
}

ssize_t __wrap_pwrite(int fd, const void *bytes, size_t size, off_t at);
ssize_t __wrap_pwrite(int fd, const void *bytes, size_t size, off_t at) {
    char path[PATH_SIZE];
    if (!path_of(fd, path) || *path != '/') return __real_pwrite(fd, bytes, size, at);
    FAIL(DISK_WRITE, path);
    if (!grow(length_of(fd), at + (off_t)size)) return no_space();
    struct inode *inode = inside(path) ? inode_of(path) : NULL;
    if (inode) record_write(inode, bytes, size, at);
    const ssize_t n = __real_pwrite(fd, bytes, size, at);
    leave();
    return n;
}

ssize_t __wrap_write(int fd, const void *bytes, size_t size);
ssize_t __wrap_write(int fd, const void *bytes, size_t size) {
    char path[PATH_SIZE];
    const off_t at = lseek(fd, 0, SEEK_CUR);
    if (at < 0 || !path_of(fd, path) || *path != '/') return __real_write(fd, bytes, size);
    FAIL(DISK_WRITE, path);
    if (!grow(length_of(fd), at + (off_t)size)) return no_space();
    struct inode *inode = inside(path) ? inode_of(path) : NULL;
    if (inode) record_write(inode, bytes, size, at);
    const ssize_t n = __real_write(fd, bytes, size);
    leave();
    return n;
}

int __wrap_ftruncate(int fd, off_t size);
int __wrap_ftruncate(int fd, off_t size) {
    char path[PATH_SIZE] = "";
    path_of(fd, path);
    FAIL(DISK_TRUNCATE, path);
    struct inode *inode = inside(path) ? inode_of(path) : NULL;
    if (inode) record_cut(inode, size);
    give_back(length_of(fd) - size);
    const int code = __real_ftruncate(fd, size);
    leave();
    return code;
}

int __wrap_posix_fallocate(int fd, off_t at, off_t size);
int __wrap_posix_fallocate(int fd, off_t at, off_t size) {
    char path[PATH_SIZE] = "";
    path_of(fd, path);
    const int cause = enter(DISK_WRITE, path);
    if (cause) return cause;
    const int code = grow(length_of(fd), at + size) ? __real_posix_fallocate(fd, at, size) : ENOSPC;
    leave();
    return code;
}

int __wrap_fstatvfs(int fd, struct statvfs *status);
int __wrap_fstatvfs(int fd, struct statvfs *status) {
    const int code = __real_fstatvfs(fd, status);
    pthread_mutex_lock(&lock);
    if (free_space >= 0) status->f_bavail = (fsblkcnt_t)((uint64_t)free_space / status->f_frsize);
    pthread_mutex_unlock(&lock);
    return code;
}

/* Nothing waits for a real disk: the tests make thousands of them. */
int __wrap_fsync(int fd);
int __wrap_fsync(int fd) {
    char path[PATH_SIZE] = "";
    struct stat status;
    path_of(fd, path);
    FAIL(DISK_SYNC, path);
    struct inode *inode = inside(path) ? inode_of(path) : NULL;
    if (inode) changes_clear(inode);
    if (fstat(fd, &status) == 0 && S_ISDIR(status.st_mode)) {
        if (strcmp(path, root) == 0) names_synced("", NULL);
        else if (inside(path)) names_synced(inside(path), NULL);
    }
    leave();
    return 0;
}

int __wrap_mkdir(const char *path, mode_t mode);
int __wrap_mkdir(const char *path, mode_t mode) {
    FAIL(DISK_NAME, "");
    const int code = __real_mkdir(path, mode);
    leave();
    return code;
}

static int rename_paths(const char *from, const char *to, unsigned flags) {
    FAIL(DISK_NAME, from);
    struct inode *inode = inside(from) ? inode_of(from) : NULL, *replaced = inside(to) ? inode_of(to) : NULL;
    const int code = __real_renameat2(AT_FDCWD, from, AT_FDCWD, to, flags);
    if (code == 0 && inode && inside(to)) record_name(inside(from), inside(to), inode, replaced);
    leave();
    return code;
}

int __wrap_renameat2(int from_directory, const char *from, int to_directory, const char *to, unsigned flags);
int __wrap_renameat2(int from_directory, const char *from, int to_directory, const char *to, unsigned flags) {
    char source[PATH_SIZE], target[PATH_SIZE];
    full_path(from_directory, from, source);
    full_path(to_directory, to, target);
    return rename_paths(source, target, flags);
}
int __wrap_renameat(int from_directory, const char *from, int to_directory, const char *to);
int __wrap_renameat(int from_directory, const char *from, int to_directory, const char *to) {
    return __wrap_renameat2(from_directory, from, to_directory, to, 0);
}
int __wrap_rename(const char *from, const char *to);
int __wrap_rename(const char *from, const char *to) {
    return __wrap_renameat2(AT_FDCWD, from, AT_FDCWD, to, 0);
}

int __wrap_linkat(int from_directory, const char *from, int to_directory, const char *to, int flags);
int __wrap_linkat(int from_directory, const char *from, int to_directory, const char *to, int flags) {
    char source[PATH_SIZE], target[PATH_SIZE];
    full_path(from_directory, from, source);
    full_path(to_directory, to, target);
    FAIL(DISK_NAME, target);
    const int code = __real_linkat(AT_FDCWD, source, AT_FDCWD, target, flags);
    if (code == 0 && inside(target)) record_name(NULL, inside(target), NULL, NULL);
    leave();
    return code;
}

static int unlink_path(const char *path, int flags) {
    FAIL(DISK_NAME, path);
    struct inode *inode = inside(path) ? inode_of(path) : NULL;
    struct stat status;
    const bool last = lstat(path, &status) == 0 && status.st_nlink == 1;
    const int code = __real_unlinkat(AT_FDCWD, path, flags);
    if (code == 0 && last) give_back(status.st_size);
    if (code == 0 && inode) record_name(inside(path), NULL, inode, NULL);
    leave();
    return code;
}

int __wrap_unlinkat(int directory, const char *path, int flags);
int __wrap_unlinkat(int directory, const char *path, int flags) {
    char whole[PATH_SIZE];
    full_path(directory, path, whole);
    return unlink_path(whole, flags);
}
int __wrap_unlink(const char *path);
int __wrap_unlink(const char *path) {
    return __wrap_unlinkat(AT_FDCWD, path, 0);
}

/* ---- calls of SQLite ---- */

struct file {
    sqlite3_file base;
    char path[PATH_SIZE];
    struct inode *inode; /* NULL: not recorded */
    sqlite3_file *real;
};

static sqlite3_vfs *below;

#define REAL(f)   (((struct file *)(f))->real)
#define METHOD(f) REAL(f)->pMethods

static int vfs_close(sqlite3_file *f) {
    return REAL(f)->pMethods ? METHOD(f)->xClose(REAL(f)) : SQLITE_OK;
}
static int vfs_read(sqlite3_file *f, void *bytes, int size, sqlite3_int64 at) {
    return METHOD(f)->xRead(REAL(f), bytes, size, at);
}
static int vfs_write(sqlite3_file *f, const void *bytes, int size, sqlite3_int64 at) {
    struct file *file = (struct file *)f;
    const int cause = enter(DISK_WRITE, file->path);
    if (cause) { /* half of it may be there */
        METHOD(f)->xWrite(REAL(f), bytes, size / 2, at);
        return cause == ENOSPC ? SQLITE_FULL : SQLITE_IOERR_WRITE;
    }
    sqlite3_int64 length = 0;
    METHOD(f)->xFileSize(REAL(f), &length);
    if (!grow(length, at + size)) {
        leave();
        return SQLITE_FULL;
    }
    if (file->inode) record_write(file->inode, bytes, (size_t)size, at);
    const int code = METHOD(f)->xWrite(REAL(f), bytes, size, at);
    leave();
    return code;
}
static int vfs_truncate(sqlite3_file *f, sqlite3_int64 size) {
    struct file *file = (struct file *)f;
    if (enter(DISK_TRUNCATE, file->path)) return SQLITE_IOERR_TRUNCATE;
    sqlite3_int64 length = 0;
    METHOD(f)->xFileSize(REAL(f), &length);
    give_back(length - size);
    if (file->inode) record_cut(file->inode, size);
    const int code = METHOD(f)->xTruncate(REAL(f), size);
    leave();
    return code;
}
/* SQLite syncs the folder of a journal or a log with its first sync (UNIXFILE_DIRSYNC in os_unix.c). */
static int vfs_sync(sqlite3_file *f, int flags) {
    struct file *file = (struct file *)f;
    (void)flags;
    if (enter(DISK_SYNC, file->path)) return SQLITE_IOERR_FSYNC;
    if (file->inode) {
        changes_clear(file->inode);
        names_synced("", inside(file->path));
    }
    leave();
    return SQLITE_OK;
}
static int vfs_size(sqlite3_file *f, sqlite3_int64 *size) {
    return METHOD(f)->xFileSize(REAL(f), size);
}
static int vfs_lock(sqlite3_file *f, int level) {
    return METHOD(f)->xLock(REAL(f), level);
}
static int vfs_unlock(sqlite3_file *f, int level) {
    return METHOD(f)->xUnlock(REAL(f), level);
}
static int vfs_reserved(sqlite3_file *f, int *out) {
    return METHOD(f)->xCheckReservedLock(REAL(f), out);
}
static int vfs_control(sqlite3_file *f, int operation, void *argument) {
    return METHOD(f)->xFileControl(REAL(f), operation, argument);
}
static int vfs_sector(sqlite3_file *f) {
    return METHOD(f)->xSectorSize(REAL(f));
}
static int vfs_device(sqlite3_file *f) {
    return METHOD(f)->xDeviceCharacteristics(REAL(f));
}
static int vfs_map(sqlite3_file *f, int page, int size, int extend, void volatile **memory) {
    return METHOD(f)->xShmMap(REAL(f), page, size, extend, memory);
}
static int vfs_shm_lock(sqlite3_file *f, int offset, int n, int flags) {
    return METHOD(f)->xShmLock(REAL(f), offset, n, flags);
}
static void vfs_barrier(sqlite3_file *f) {
    METHOD(f)->xShmBarrier(REAL(f));
}
static int vfs_unmap(sqlite3_file *f, int remove) {
    return METHOD(f)->xShmUnmap(REAL(f), remove);
}

static const sqlite3_io_methods methods = {.iVersion = 2,
                                           .xClose = vfs_close,
                                           .xRead = vfs_read,
                                           .xWrite = vfs_write,
                                           .xTruncate = vfs_truncate,
                                           .xSync = vfs_sync,
                                           .xFileSize = vfs_size,
                                           .xLock = vfs_lock,
                                           .xUnlock = vfs_unlock,
                                           .xCheckReservedLock = vfs_reserved,
                                           .xFileControl = vfs_control,
                                           .xSectorSize = vfs_sector,
                                           .xDeviceCharacteristics = vfs_device,
                                           .xShmMap = vfs_map,
                                           .xShmLock = vfs_shm_lock,
                                           .xShmBarrier = vfs_barrier,
                                           .xShmUnmap = vfs_unmap};

static int vfs_open(sqlite3_vfs *vfs, const char *path, sqlite3_file *f, int flags, int *out) {
    struct file *file = (struct file *)f;
    (void)vfs;
    memset(file, 0, sizeof *file);
    file->real = (sqlite3_file *)(file + 1);
    memset(file->real, 0, (size_t)below->szOsFile);
    snprintf(file->path, PATH_SIZE, "%s", path ? path : "");
    if (enter(DISK_OPEN, file->path)) return SQLITE_CANTOPEN;
    const bool there = path && access(path, F_OK) == 0;
    const int code = below->xOpen(below, path, file->real, flags, out);
    if (code == SQLITE_OK) file->base.pMethods = &methods;
    if (code == SQLITE_OK && path && inside(path)) {
        file->inode = inode_of(path);
        if (!there) record_name(NULL, inside(path), NULL, NULL);
    }
    leave();
    return code;
}

static int vfs_delete(sqlite3_vfs *vfs, const char *path, int sync) {
    (void)vfs;
    if (enter(DISK_NAME, path)) return SQLITE_IOERR_DELETE;
    struct inode *inode = inside(path) ? inode_of(path) : NULL;
    const int code = below->xDelete(below, path, 0);
    if (code == SQLITE_OK && inode) record_name(inside(path), NULL, inode, NULL);
    if (sync) names_synced("", NULL);
    leave();
    return code;
}

void disk_install(void) {
    static sqlite3_vfs vfs;
    below = sqlite3_vfs_find(NULL);
    vfs = *below;
    vfs.zName = "faults";
    vfs.szOsFile = (int)sizeof(struct file) + below->szOsFile;
    vfs.xOpen = vfs_open;
    vfs.xDelete = vfs_delete;
    vfs.pNext = NULL;
    must(sqlite3_vfs_register(&vfs, 1) == SQLITE_OK, "sqlite3_vfs_register");
}

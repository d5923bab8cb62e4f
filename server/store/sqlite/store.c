/* store.c - opening and closing the data folder: its lock, its directories, its files; paths; the readiness check.
 *
 *     backpropd.db     everything but the large immutable files (SQLite, WAL)
 *     datasets/        column files; each dataset version has a name, versions that share data are names of one file
 *     checkpoints/     safetensors files of unfinished and finished jobs
 *     results/         what batches have predicted
 *     lost/            files of the two that no row of the database names (orphans.c)
 *     reserve          space for when the disk is full (reserve.c)
 *     lock             held while a server uses the folder; its text is the server's process id */
#include "server/store/sqlite/sqlite.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- directories and lock ---- */

/* fsync of a directory: names made in it are on disk. */
static int directory_sync(const char *path) {
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return -1;
    int code = fsync(fd);
    close(fd);
    return code;
}

static enum store_result folder_make(const char *folder, struct bp_error *error) {
    if (mkdir(folder, 0700) == 0) {
        char parent[4096];
        const char *slash = strrchr(folder, '/');
        snprintf(parent, sizeof parent, "%.*s", slash ? (int)(slash - folder) : 1, slash ? folder : ".");
        directory_sync(parent[0] ? parent : "/");
        return STORE_OK;
    }
    if (errno == EEXIST) return STORE_OK; /* if it is not a directory, the next call reports it */
    bp_error_io(error, "cannot create the data folder %.200s: %s; create its parent folder, or use another with --data-dir", folder, strerror(errno));
    return STORE_FAILED;
}

static enum store_result directory_open(struct store *store, const char *name, int *fd, struct bp_error *error) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", store->folder, name);
    if (mkdir(path, 0700) != 0 && errno != EEXIST) goto fail;
    *fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (*fd < 0) goto fail;
    return STORE_OK;

fail:
    bp_error_io(error, "cannot use %.200s: %s; check that this user may write in the data folder", path, strerror(errno));
    return STORE_FAILED;
}

/* "name/entry" of some entry of a directory, if there is one. */
static void directory_first(const char *folder, const char *name, char *found, size_t size) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    DIR *entries = opendir(path);
    for (struct dirent *entry; entries && !found[0] && (entry = readdir(entries));)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) snprintf(found, size, "%s/%s", name, entry->d_name);
    if (entries) closedir(entries);
}

static int64_t file_size(const char *folder, const char *name) {
    char path[4096];
    struct stat status;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return stat(path, &status) == 0 ? (int64_t)status.st_size : 0;
}

/* No database, no bytes, or one without a table: its header (https://sqlite.org/fileformat2.html) has at most one page and no version of ours, and no
 * log holds more. Read here by hand because no connection exists yet. */
static bool database_is_empty(const char *folder) {
    unsigned char head[72] = {0};
    char path[4096];
    snprintf(path, sizeof path, "%s/backpropd.db", folder);
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return errno == ENOENT;
    const ssize_t n = pread(fd, head, sizeof head, 0);
    close(fd);
    const bool one_page = head[28] == 0 && head[29] == 0 && head[30] == 0 && head[31] <= 1,
               no_version = memcmp(head + 60, (unsigned char[4]){0}, 4) == 0;
    return n == 0 || (n == (ssize_t)sizeof head && one_page && no_version && file_size(folder, "backpropd.db-wal") == 0);
}

/* An upload, a volume or a user may have put things there. Without a database nothing says whose they are, so nothing is begun in such a folder: not
 * even the lock is made. lost+found is what a file system of its own has at its root, and a journal is left where the making of a database was cut
 * short. */
static enum store_result folder_is_usable(const struct store *store, struct bp_error *error) {
    static const char *const own[] = {"lock",
                                      "datasets",
                                      "checkpoints",
                                      "results",
                                      "lost",
                                      "lost+found",
                                      "reserve",
                                      "backpropd.db",
                                      "backpropd.db-wal",
                                      "backpropd.db-shm",
                                      "backpropd.db-journal"};
    char found[320] = "";
    if (!database_is_empty(store->folder)) return STORE_OK;
    DIR *entries = opendir(store->folder);
    if (!entries) return STORE_OK; /* what follows reports it */
    for (struct dirent *entry; !found[0] && (entry = readdir(entries));) {
        bool known = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
        for (size_t i = 0; i < sizeof own / sizeof *own; i++) known = known || strcmp(entry->d_name, own[i]) == 0;
        if (!known) snprintf(found, sizeof found, "%s", entry->d_name);
    }
    closedir(entries);
    for (int i = 1; !found[0] && i < 5; i++) directory_first(store->folder, own[i], found, sizeof found);
    if (!found[0] && file_size(store->folder, "backpropd.db-wal") > 0) snprintf(found, sizeof found, "backpropd.db-wal");
    if (!found[0]) return STORE_OK;
    bp_error_set(error, "",
                 "the data folder %.200s has no database (backpropd.db is missing or empty) but is not empty: it has %.200s. Nothing in it was "
                 "changed. If it had a database, restore backpropd.db from a backup; otherwise use an empty folder with --data-dir",
                 store->folder, found);
    return STORE_FAILED;
}

/* An open-file-description lock: unlike a classic POSIX one it is not dropped when some other descriptor of the file is closed. The process
 * id in the file is for people. */
static enum store_result lock_take(struct store *store, struct bp_error *error) {
    char path[4096], holder[32] = "";
    snprintf(path, sizeof path, "%s/lock", store->folder);
    store->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (store->lock < 0) {
        bp_error_io(error, "cannot open %.200s: %s; check that this user may write in the data folder", path, strerror(errno));
        return STORE_FAILED;
    }
    struct flock lock = FOLDER_LOCK;
    if (fcntl(store->lock, F_OFD_SETLK, &lock) != 0) {
        int cause = errno;
        ssize_t n = cause == EAGAIN || cause == EACCES ? pread(store->lock, holder, sizeof holder - 1, 0) : 0;
        holder[strspn(holder, "0123456789")] = '\0';
        if (cause == EAGAIN || cause == EACCES)
            bp_error_set(error, "", "the data folder %.200s is in use by another server (process %s); stop it, or use another folder with --data-dir",
                         store->folder, n > 0 && holder[0] ? holder : "unknown");
        else bp_error_io(error, "cannot lock %.200s: %s; the data folder must be on a file system with locks (a local disk)", path, strerror(cause));
        return STORE_FAILED;
    }
    int length = snprintf(holder, sizeof holder, "%ld\n", (long)getpid());
    if (ftruncate(store->lock, 0) != 0 || pwrite(store->lock, holder, (size_t)length, 0) != length) {
        bp_error_io(error, "cannot write %.200s: %s; free space on its disk", path, strerror(errno));
        return STORE_FAILED;
    }
    return STORE_OK;
}

/* SQLite would make it readable for all; -wal and -shm follow the modes of the database. Before any connection to it exists. */
static void database_make_private(const struct store *store) {
    char path[4096];
    snprintf(path, sizeof path, "%s/backpropd.db", store->folder);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd >= 0) close(fd);
}

/* ---- files ---- */

int store_directory(const struct store *store, enum store_directory directory) {
    return directory == STORE_DATASETS ? store->datasets : directory == STORE_RESULTS ? store->results : store->checkpoints;
}

int store_folder_of(const struct store *store, const char *kind) {
    return strcmp(kind, "datasets") == 0 ? store->datasets : strcmp(kind, "results") == 0 ? store->results : store->checkpoints;
}

enum store_result store_file_sync(struct store *store, const char *kind, const char *file, struct bp_error *error) {
    const int directory = store_folder_of(store, kind);
    struct stat status;
    if (!file[0] || strchr(file, '/') || fstatat(directory, file, &status, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(status.st_mode)) {
        bp_error_set(error, "", "the file \"%s\" is not in %.200s/%s; it must exist before it is recorded", file, store->folder, kind);
        return STORE_FAILED;
    }
    if (fsync(directory) != 0) {
        bp_error_io(error, "cannot write %.200s/%s to disk: %s; check the disk, then try again", store->folder, kind, strerror(errno));
        return STORE_FAILED;
    }
    return STORE_OK;
}

/* ---- open and close ---- */

enum store_result store_open(const char *folder, const struct store_options *options, struct store **out, struct bp_error *error) {
    enum store_result result = STORE_FAILED;
    struct connection *c;
    *out = NULL;
    struct store *store = calloc(1, sizeof *store);
    if (!store) return out_of_memory(error);
    store->lock = store->datasets = store->checkpoints = store->results = -1;
    store->options = *options;
    readers_init(&store->readers);
    store->folder = strdup(folder);
    if (!store->folder) {
        result = out_of_memory(error);
        goto fail;
    }
    for (size_t n = strlen(store->folder); n > 1 && store->folder[n - 1] == '/'; n--) store->folder[n - 1] = '\0';

    if ((result = folder_make(store->folder, error)) != STORE_OK || (result = folder_is_usable(store, error)) != STORE_OK ||
        (result = lock_take(store, error)) != STORE_OK || (result = directory_open(store, "datasets", &store->datasets, error)) != STORE_OK ||
        (result = directory_open(store, "checkpoints", &store->checkpoints, error)) != STORE_OK ||
        (result = directory_open(store, "results", &store->results, error)) != STORE_OK)
        goto fail;
    database_make_private(store);
    store->writer = writer_new(store, error);
    if (!store->writer) {
        result = STORE_FAILED;
        goto fail;
    }
    c = writer_connection(store->writer);
    if ((result = migrate(c, error)) != STORE_OK || (result = store_orphans_move(store, c, error)) != STORE_OK) goto fail;
    reserve_take(store);
    directory_sync(store->folder); /* the names just made; a file system that cannot has nothing to lose by it */
    if ((result = writer_start(store->writer, error)) != STORE_OK) goto fail;
    *out = store;
    return STORE_OK;

fail:
    store_close(store);
    return result;
}

void store_limit(struct store *store, int64_t queue_max, int64_t retry_ms) {
    store->options.queue_max = queue_max;
    store->options.retry_ms = retry_ms;
}

/* The process that holds the lock, 0: none does. */
static int64_t lock_holder(const char *folder) {
    char path[4096], text[32] = "";
    struct flock lock = FOLDER_LOCK;
    snprintf(path, sizeof path, "%s/lock", folder);
    const int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0) return 0;
    const bool held = fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
    const ssize_t n = held ? pread(fd, text, sizeof text - 1, 0) : 0;
    close(fd);
    return held ? n > 0 && strtoll(text, NULL, 10) > 0 ? strtoll(text, NULL, 10) : -1 : 0;
}

enum store_result store_examine(const char *folder, int64_t *holder, struct bp_error *error) {
    const struct store looked_at = {.folder = (char *)(uintptr_t)folder};
    struct connection c = {0};
    struct stat status;
    *holder = 0;
    if (stat(folder, &status) != 0) return STORE_OK; /* it will be made */
    if (!S_ISDIR(status.st_mode)) {
        bp_error_set(error, "", "%.200s is not a folder; use another with --data-dir", folder);
        return STORE_FAILED;
    }
    if ((*holder = lock_holder(folder)) != 0) return STORE_IN_USE;
    enum store_result result = folder_is_usable(&looked_at, error);
    if (result != STORE_OK || database_is_empty(folder)) return result;
    result = connection_open(&c, folder, error);
    if (result == STORE_OK) result = migrate_check(&c, error);
    connection_close(&c);
    return result;
}

void store_close(struct store *store) {
    if (!store) return;
    writer_stop(store->writer); /* first: its checkpoints hold the readers */
    readers_close(&store->readers);
    writer_free(store->writer);
    if (store->datasets >= 0) close(store->datasets);
    if (store->checkpoints >= 0) close(store->checkpoints);
    if (store->results >= 0) close(store->results);
    if (store->lock >= 0) close(store->lock);
    free(store->folder);
    free(store);
}

static enum store_result ping(struct writer *writer, void *argument, struct bp_error *error) {
    struct connection *c = writer_connection(writer);
    int64_t read = 0;
    (void)argument;
    return db_integer(c, "SELECT id FROM pings", NONE, &read, error);
}

enum store_result store_ping(struct store *store, struct bp_error *error) {
    return writer_run(store, "read", ping, NULL, error);
}

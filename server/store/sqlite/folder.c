/* folder.c - see folder.h. Sections: opening, the database, items, copying. */
#include "server/store/folder.h"

#include "server/store/sqlite/sqlite.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const kinds[] = {[FOLDER_DATASET] = "datasets", [FOLDER_CHECKPOINT] = "checkpoints", [FOLDER_RESULT] = "results"};
enum { FOLDERS = sizeof kinds / sizeof *kinds };

/* ---- opening ----------------------------------------------------------------------------------------------------------------------- */

struct folder {
    char path[3072];
    struct connection connection; /* in a read transaction: one snapshot */
    struct connection live;       /* what the database holds now */
};

static enum store_result open_reader(struct connection *c, const char *path, struct bp_error *error) {
    char file[4096];
    *c = (struct connection){.folder = path, .what = "open the database"};
    snprintf(file, sizeof file, "%s/backpropd.db", path);
    if (access(file, F_OK) != 0) {
        bp_error_io(error, "%.300s is not a data folder: it has no backpropd.db (%s)", path, strerror(errno));
        return STORE_FAILED;
    }
    if (sqlite3_open_v2(file, &c->db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK) return db_failed(c, error);
    sqlite3_extended_result_codes(c->db, 1);
    sqlite3_busy_timeout(c->db, BUSY_MS);
    return STORE_OK;
}

int folder_open(const char *path, struct folder **folder, struct bp_error *error) {
    struct folder *f = calloc(1, sizeof *f);
    if (!f) return bp_error_memory(error, "out of memory");
    if (snprintf(f->path, sizeof f->path, "%s", path) >= (int)sizeof f->path) {
        free(f);
        return bp_error_set(error, "", "the path of the folder is too long");
    }
    if (open_reader(&f->connection, f->path, error) == STORE_OK && open_reader(&f->live, f->path, error) == STORE_OK &&
        migrate_check(&f->connection, error) == STORE_OK) {
        f->connection.what = "read the database";
        if (sqlite3_exec(f->connection.db, "BEGIN; SELECT count(*) FROM sqlite_schema", NULL, NULL, NULL) == SQLITE_OK) {
            *folder = f;
            return 0;
        }
        db_failed(&f->connection, error);
    }
    folder_close(f);
    return -1;
}

void folder_close(struct folder *f) {
    if (!f) return;
    connection_close(&f->connection);
    connection_close(&f->live);
    free(f);
}

/* ---- the database ------------------------------------------------------------------------------------------------------------------ */

int folder_check_database(struct folder *f, void (*fault)(void *context, const char *text), void *context, struct bp_error *error) {
    struct connection *c = &f->connection;
    char text[400];
    int code;
    sqlite3_stmt *s = db_start(c, "PRAGMA integrity_check", NONE);
    while (s && (code = sqlite3_step(s)) == SQLITE_ROW) {
        const char *found = (const char *)sqlite3_column_text(s, 0);
        if (found && strcmp(found, "ok") != 0) fault(context, found);
    }
    if (!s || code != SQLITE_DONE) return db_failed(c, error), db_end(s), -1;
    db_end(s);
    s = db_start(c, "PRAGMA foreign_key_check", NONE);
    while (s && (code = sqlite3_step(s)) == SQLITE_ROW) {
        snprintf(text, sizeof text, "row %lld of the table %.60s names a row of %.60s that does not exist", (long long)sqlite3_column_int64(s, 1),
                 (const char *)sqlite3_column_text(s, 0), (const char *)sqlite3_column_text(s, 2));
        fault(context, text);
    }
    if (!s || code != SQLITE_DONE) return db_failed(c, error), db_end(s), -1;
    db_end(s);
    return 0;
}

/* ---- items ------------------------------------------------------------------------------------------------------------------------- */

static const char *const queries[] = {
    [FOLDER_DATASET] = "SELECT name, version, file, bytes FROM datasets ORDER BY bytes DESC, name, version",
    [FOLDER_CHECKPOINT] = "SELECT job, epoch, file, bytes FROM checkpoints ORDER BY job, id",
    [FOLDER_RESULT] = "SELECT job, rows, file, bytes, crc FROM results ORDER BY job, part",
    [FOLDER_MODEL] = "SELECT model, version, '', bytes, blob FROM versions ORDER BY model, version",
};

/* A database of an earlier program has no results. */
static bool has_table(struct connection *c, enum folder_kind kind) {
    int64_t found = 1;
    struct bp_error ignored = {0};
    return kind != FOLDER_RESULT ||
           (db_integer(c, "SELECT count(*) FROM sqlite_schema WHERE name = 'results'", NONE, &found, &ignored) == STORE_OK && found);
}

static int each_of(struct folder *f, enum folder_kind kind, int (*each)(void *context, const struct folder_item *item), void *context,
                   struct bp_error *error) {
    struct connection *c = &f->connection;
    if (!has_table(c, kind)) return 0;
    sqlite3_stmt *s = db_start(c, queries[kind], NONE);
    int code = SQLITE_ERROR, stopped = 0;
    while (s && !stopped && (code = sqlite3_step(s)) == SQLITE_ROW) {
        struct folder_item item = {.kind = kind, .version = sqlite3_column_int64(s, 1), .bytes = sqlite3_column_int64(s, 3)};
        column_copy(s, 0, item.name, sizeof item.name);
        column_copy(s, 2, item.file, sizeof item.file);
        if (kind == FOLDER_RESULT) item.crc = sqlite3_column_int64(s, 4);
        if (kind == FOLDER_MODEL) {
            item.blob = sqlite3_column_blob(s, 4);
            item.bytes = sqlite3_column_bytes(s, 4);
        }
        stopped = each(context, &item);
    }
    if (!stopped && code != SQLITE_DONE) db_failed(c, error);
    db_end(s);
    return stopped || code != SQLITE_DONE ? -1 : 0;
}

int folder_each(struct folder *f, int (*each)(void *context, const struct folder_item *item), void *context, struct bp_error *error) {
    for (int kind = FOLDER_DATASET; kind <= FOLDER_MODEL; kind++)
        if (each_of(f, (enum folder_kind)kind, each, context, error) != 0) return -1;
    return 0;
}

bool folder_calibration(struct folder *f, const char *model, int64_t version, char **document) {
    int64_t there = 0;
    struct bp_error ignored = {0};
    *document = NULL;
    if (db_integer(&f->connection, "SELECT count(*) FROM sqlite_schema WHERE name = 'version_calibrations'", NONE, &there, &ignored) != STORE_OK ||
        !there)
        return false;
    sqlite3_stmt *s = db_start(&f->connection,
                               "SELECT c.document FROM versions AS v CROSS JOIN version_calibrations AS c ON c.version = v.id "
                               "WHERE v.model = ? AND v.version = ?",
                               WITH(text(model), integer(version)));
    const bool found = s && sqlite3_step(s) == SQLITE_ROW && column_keep(s, 0, document);
    db_end(s);
    return found;
}

bool folder_has_still(struct folder *f, const struct folder_item *item) {
    int64_t found = 0;
    struct bp_error ignored = {0};
    if (item->kind == FOLDER_MODEL) return true;
    static const char *const counts[] = {[FOLDER_DATASET] = "SELECT count(*) FROM datasets WHERE file = ?",
                                         [FOLDER_CHECKPOINT] = "SELECT count(*) FROM checkpoints WHERE file = ?",
                                         [FOLDER_RESULT] = "SELECT count(*) FROM results WHERE file = ?"};
    const char *sql = counts[item->kind];
    return db_integer(&f->live, sql, WITH(text(item->file)), &found, &ignored) != STORE_OK || found > 0;
}

static int open_in(const char *folder, const char *directory, int flags) {
    char path[4096];
    if (snprintf(path, sizeof path, "%s/%s", folder, directory) >= (int)sizeof path) return errno = ENAMETOOLONG, -1;
    return open(path, flags | O_CLOEXEC);
}

int folder_item_open(const struct folder *f, const struct folder_item *item) {
    char name[STORE_FILE_SIZE + 16];
    snprintf(name, sizeof name, "%s/%s", kinds[item->kind], item->file);
    return open_in(f->path, name, O_RDONLY);
}

/* Whether a row names the file, or a process is about to give it a row. */
static bool is_named(struct folder *f, enum folder_kind kind, const char *file) {
    struct folder_item item = {.kind = kind};
    const size_t size = strlen(file);
    if (size >= sizeof item.file) return false; /* not a name of ours */
    memcpy(item.file, file, size + 1);
    return (size > 4 && strcmp(file + size - 4, ".tmp") == 0) || folder_has_still(f, &item);
}

void folder_unnamed(struct folder *f, void (*each)(void *context, const char *file), void *context) {
    char found[320];
    for (int kind = 0; kind < FOLDERS; kind++) {
        const int fd = open_in(f->path, kinds[kind], O_RDONLY | O_DIRECTORY);
        DIR *entries = fd >= 0 ? fdopendir(fd) : NULL;
        for (struct dirent *entry; entries && (entry = readdir(entries));) {
            if (entry->d_name[0] == '.' || is_named(f, (enum folder_kind)kind, entry->d_name)) continue;
            snprintf(found, sizeof found, "%s/%s", kinds[kind], entry->d_name);
            each(context, found);
        }
        if (entries) closedir(entries);
    }
}

/* ---- copying ----------------------------------------------------------------------------------------------------------------------- */

bool folder_is_empty(const char *path) {
    DIR *entries = opendir(path);
    bool empty = true;
    if (!entries) return errno == ENOENT;
    for (struct dirent *entry; empty && (entry = readdir(entries));) empty = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
    closedir(entries);
    return empty;
}

/* A file of the source, and the copy of it: names of one file are names of one copy. */
struct inode {
    dev_t device;
    ino_t number;
    char file[STORE_FILE_SIZE];
};

struct pinned {
    struct folder_item item;
    int fd;
};

struct copying {
    struct folder *from;
    const char *to;
    int lock;
    int directories[FOLDERS]; /* of the destination, by kind */
    struct folder_copy *done;
    struct inode *inodes;
    size_t inodes_count, inodes_room;
    struct pinned *pinned;
    size_t pinned_count, pinned_room;
    bool again; /* something was deleted while it was copied */
    struct bp_error *error;
};

static int failed(struct copying *c, const char *what, const char *name) {
    return bp_error_io(c->error, "cannot %s %.200s/%.100s: %s", what, c->to, name, strerror(errno));
}

static int copy_bytes(struct copying *c, int source, const char *directory, int folder, const char *file, int64_t bytes) {
    static const char temporary[] = "copy.tmp";
    const int target = openat(folder, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    off_t from = 0, to = 0;
    if (target < 0) return failed(c, "create a file in", directory);
    ssize_t n = 1;
    while (from < bytes && n > 0) n = copy_file_range(source, &from, target, &to, (size_t)(bytes - from), 0);
    while (from < bytes) { /* between two file systems that cannot do it */
        char piece[1 << 16];
        n = pread(source, piece, bytes - from < (int64_t)sizeof piece ? (size_t)(bytes - from) : sizeof piece, from);
        if (n == 0) errno = EIO;
        if (n <= 0 || pwrite(target, piece, (size_t)n, from) != n) break;
        from += n;
    }
    const bool good = from == bytes && fsync(target) == 0;
    const int cause = errno;
    close(target);
    errno = cause;
    if (good && renameat(folder, temporary, folder, file) == 0) {
        c->done->copied_bytes += bytes;
        return 0;
    }
    failed(c, "copy", file);
    unlinkat(folder, temporary, 0);
    return -1;
}

/* The copy of the file that this one is another name of, NULL: it is the first. */
static const char *other_name(struct copying *c, const struct stat *source, const char *file) {
    for (size_t i = 0; i < c->inodes_count; i++)
        if (c->inodes[i].device == source->st_dev && c->inodes[i].number == source->st_ino) return c->inodes[i].file;
    if (c->inodes_count == c->inodes_room) {
        const size_t room = c->inodes_room ? 2 * c->inodes_room : 64;
        struct inode *grown = realloc(c->inodes, room * sizeof *grown);
        if (!grown) return NULL; /* then it is copied once more */
        c->inodes = grown, c->inodes_room = room;
    }
    struct inode *inode = &c->inodes[c->inodes_count++];
    *inode = (struct inode){.device = source->st_dev, .number = source->st_ino};
    snprintf(inode->file, sizeof inode->file, "%s", file);
    return NULL;
}

/* Opens the file of an item as soon as its row has been read: what a running server deletes from now on can be copied still. */
static int pin(void *context, const struct folder_item *item) {
    struct copying *c = context;
    if (c->pinned_count == c->pinned_room) {
        const size_t room = c->pinned_room ? 2 * c->pinned_room : 256;
        struct pinned *grown = realloc(c->pinned, room * sizeof *grown);
        if (!grown) return bp_error_memory(c->error, "no memory for the list of files");
        c->pinned = grown, c->pinned_room = room;
    }
    const int fd = folder_item_open(c->from, item);
    if (fd < 0 && errno == ENOENT && !folder_has_still(c->from, item)) {
        c->again = true;
        return -1;
    }
    c->pinned[c->pinned_count++] = (struct pinned){.item = *item, .fd = fd}; /* -1: too many open files, or damaged */
    return 0;
}

static void unpin(struct copying *c) {
    for (size_t i = 0; i < c->pinned_count; i++)
        if (c->pinned[i].fd >= 0) close(c->pinned[i].fd);
    c->pinned_count = 0;
}

/* 1: it was deleted. */
static int copy_pinned(struct copying *c, struct pinned *p) {
    const struct folder_item *item = &p->item;
    struct stat source, there;
    const int folder = c->directories[item->kind];
    if (p->fd < 0 && (p->fd = folder_item_open(c->from, item)) < 0 && errno == ENOENT && !folder_has_still(c->from, item)) return 1;
    const int cause = errno;
    if (p->fd < 0 || fstat(p->fd, &source) != 0 || source.st_size < item->bytes)
        return bp_error_damaged(c->error, "%s/%.100s of %.60s cannot be copied: %s; `backpropd check` lists what else is damaged", kinds[item->kind],
                                item->file, item->name, p->fd < 0 ? strerror(cause) : "it is shorter than it was");
    c->done->files++;
    int result = 0;
    const char *other = item->kind == FOLDER_DATASET ? other_name(c, &source, item->file) : NULL;
    if (fstatat(folder, item->file, &there, 0) == 0 && there.st_size >= item->bytes) c->done->kept_bytes += other ? 0 : item->bytes;
    else if (!other || linkat(folder, other, folder, item->file, 0) != 0)
        result = copy_bytes(c, p->fd, kinds[item->kind], folder, item->file, item->bytes);
    close(p->fd);
    p->fd = -1;
    return result;
}

static int copy_files(struct copying *c) {
    int result = 0;
    for (size_t i = 0; i < c->pinned_count && result == 0; i++) result = copy_pinned(c, &c->pinned[i]);
    return result;
}

/* The snapshot becomes backpropd.db.tmp. */
static int copy_database(struct copying *c, const char *path) {
    sqlite3 *target = NULL;
    const int made = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600); /* SQLite would make it readable for all */
    if (made >= 0) close(made);
    const bool opened = made >= 0 && sqlite3_open_v2(path, &target, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL) == SQLITE_OK;
    sqlite3_backup *backup = opened ? sqlite3_backup_init(target, "main", c->from->connection.db, "main") : NULL;
    const int code = backup ? sqlite3_backup_step(backup, -1) : SQLITE_ERROR;
    const bool good = backup && sqlite3_backup_finish(backup) == SQLITE_OK && code == SQLITE_DONE;
    if (!good)
        bp_error_io(c->error, "cannot copy the database to %.200s: %s", path,
                    made < 0 ? strerror(errno)
                    : target ? sqlite3_errmsg(target)
                             : "out of memory");
    sqlite3_close(target);
    return good ? 0 : -1;
}

/* Takes the place of the earlier copy's database, whose log belongs to it. */
static int place_database(struct copying *c, const char *temporary) {
    char path[4096], log[4110];
    snprintf(path, sizeof path, "%s/backpropd.db", c->to);
    for (int i = 0; i < 2; i++) {
        snprintf(log, sizeof log, "%s%s", path, i ? "-shm" : "-wal");
        unlink(log);
    }
    const int fd = open(temporary, O_RDONLY | O_CLOEXEC);
    const bool synced = fd >= 0 && fsync(fd) == 0;
    if (fd >= 0) close(fd);
    for (int kind = 0; kind < FOLDERS; kind++) fsync(c->directories[kind]);
    if (!synced || rename(temporary, path) != 0) return failed(c, "write", "backpropd.db");
    const int folder = open(c->to, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder >= 0) {
        fsync(folder);
        close(folder);
    }
    return 0;
}

static void remove_leftover(void *context, const char *file) {
    struct copying *c = context;
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", c->to, file);
    const char *name = strchr(file, '/') + 1;
    const char *after = store_id_end(strncmp(file, "datasets/", 9) == 0 ? "dat" : strncmp(file, "results/", 8) == 0 ? "res" : "ckp", name);
    if (after && (strcmp(after, ".col") == 0 || strcmp(after, ".safetensors") == 0 || strcmp(after, ".out") == 0) && unlink(path) == 0)
        c->done->removed++;
}

static int prepare(struct copying *c) {
    char path[4096];
    const bool empty = folder_is_empty(c->to);
    snprintf(path, sizeof path, "%s/backpropd.db", c->to);
    if (!empty && access(path, F_OK) != 0)
        return bp_error_set(c->error, "", "%.300s is neither empty nor a copy of a data folder (it has no backpropd.db); use another folder", c->to);
    if (mkdir(c->to, 0700) != 0 && errno != EEXIST) return bp_error_io(c->error, "cannot create %.300s: %s", c->to, strerror(errno));
    struct stat from, to;
    if (stat(c->from->path, &from) == 0 && stat(c->to, &to) == 0 && from.st_dev == to.st_dev && from.st_ino == to.st_ino)
        return bp_error_set(c->error, "", "%.300s is the data folder itself; use another folder", c->to);
    snprintf(path, sizeof path, "%s/lock", c->to);
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    c->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (c->lock < 0 || fcntl(c->lock, F_OFD_SETLK, &lock) != 0)
        return bp_error_io(c->error, "%.300s is in use by a server or by another copy: %s", c->to, strerror(errno));
    for (int kind = 0; kind < FOLDERS; kind++) {
        snprintf(path, sizeof path, "%s/%s", c->to, kinds[kind]);
        if ((mkdir(path, 0700) != 0 && errno != EEXIST) || (c->directories[kind] = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
            return failed(c, "create the folder", kinds[kind]);
    }
    return 0;
}

/* One attempt: database and files of one snapshot. 1: something was deleted during it. */
static int copy_snapshot(struct copying *c, const char *from) {
    char temporary[4096];
    snprintf(temporary, sizeof temporary, "%s/backpropd.db.tmp", c->to);
    unlink(temporary);
    c->again = false;
    c->inodes_count = 0;
    *c->done = (struct folder_copy){.copied_bytes = c->done->copied_bytes};
    if (folder_open(from, &c->from, c->error) != 0) return -1;
    int result = 0;
    for (int kind = 0; kind < FOLDERS && result == 0; kind++)
        if (each_of(c->from, (enum folder_kind)kind, pin, c, c->error) != 0) result = c->again ? 1 : -1;
    if (result == 0 && c->directories[0] < 0) result = prepare(c);
    if (result == 0) result = copy_database(c, temporary);
    if (result == 0) result = copy_files(c);
    if (result == 0) result = place_database(c, temporary);
    if (result != 0) unlink(temporary);
    unpin(c);
    folder_close(c->from);
    c->from = NULL;
    return result;
}

int folder_copy(const char *from, const char *to, struct folder_copy *done, struct bp_error *error) {
    enum { ATTEMPTS = 50 };
    struct rlimit open_files;
    if (getrlimit(RLIMIT_NOFILE, &open_files) == 0) {
        open_files.rlim_cur = open_files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &open_files);
    }
    struct copying c = {.to = to, .lock = -1, .directories = {-1, -1, -1}, .done = done, .error = error};
    int result = 1;
    *done = (struct folder_copy){0};
    for (int i = 0; i < ATTEMPTS && result == 1; i++) result = copy_snapshot(&c, from);
    if (result == 1) bp_error_io(error, "datasets were deleted faster than they could be copied; try again");
    if (result == 0 && folder_open(to, &c.from, error) == 0) {
        folder_unnamed(c.from, remove_leftover, &c);
        folder_close(c.from);
    }
    for (int kind = 0; kind < FOLDERS; kind++)
        if (c.directories[kind] >= 0) close(c.directories[kind]);
    if (c.lock >= 0) close(c.lock);
    free(c.inodes);
    free(c.pinned);
    return result == 0 ? 0 : -1;
}

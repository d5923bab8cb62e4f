/* orphans.c - what start-up does with files in datasets/, checkpoints/ and results/ that no row names.
 *
 * A database that was restored from a backup knows less than the folder holds, and people put files of their own where they do not belong. So nothing
 * is deleted that may be of use to somebody:
 *   - a file whose name is not one of ours is left alone;
 *   - a finished file of ours (a dataset, a checkpoint) moves to lost/;
 *   - a temporary file of ours is removed: it was never complete, or never acknowledged to anyone.
 * Each move and removal is a log line.
 *
 * Versions that share a file end one after the other. Bytes after the last version in the database are truncated, but only when no other name of
 * the file is left: a version that is in lost/ keeps its rows. */
#include "server/log.h"
#include "server/store/sqlite/sqlite.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum kind { FOREIGN, FINISHED, TEMPORARY };

/* The names that this program gives: dat_ID.col, ckp_ID.safetensors, res_ID.out; dat_ID.tmp while it is uploaded; job_ID.ATTEMPT.WHAT.tmp from a job
 * process. */
static enum kind kind_of(const char *directory, const char *name) {
    const bool datasets = strcmp(directory, "datasets") == 0, results = strcmp(directory, "results") == 0;
    const char *id = datasets ? "dat" : results ? "res" : "ckp", *end = datasets ? ".col" : results ? ".out" : ".safetensors";
    const char *after = store_id_end(id, name);
    if (after && strcmp(after, end) == 0) return FINISHED;
    if (after && datasets && strcmp(after, ".tmp") == 0) return TEMPORARY;
    if (datasets || results || !(after = store_id_end("job", name)) || *after != '.') return FOREIGN;
    after += 1 + strspn(after + 1, "0123456789");
    const size_t length = strlen(after);
    return *after == '.' && length > 4 && strcmp(after + length - 4, ".tmp") == 0 ? TEMPORARY : FOREIGN;
}

static void report(const char *event, const struct store *store, const char *directory, const char *name, const char *to) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s/%s", store->folder, directory, name);
    log_line(LOG_WARNING, event, "file", path, to ? "to" : NULL, to ? to : "", NULL);
}

/* Into lost/, under a name that is free there. A file that cannot be moved stays where it is. */
static void move_to_lost(const struct store *store, int from, const char *directory, const char *name) {
    char path[4096], free_name[STORE_FILE_SIZE + 32];
    snprintf(path, sizeof path, "%s/lost", store->folder);
    if (mkdir(path, 0700) != 0 && errno != EEXIST) goto failed;
    const int lost = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (lost < 0) goto failed;
    snprintf(free_name, sizeof free_name, "%s", name);
    int code = renameat2(from, name, lost, free_name, RENAME_NOREPLACE);
    for (int i = 2; code != 0 && errno == EEXIST && i < 1000; i++) {
        snprintf(free_name, sizeof free_name, "%s.%d", name, i);
        code = renameat2(from, name, lost, free_name, RENAME_NOREPLACE);
    }
    close(lost);
    if (code != 0) goto failed;
    snprintf(path, sizeof path, "%s/lost/%s", store->folder, free_name);
    report("orphan_moved", store, directory, name, path);
    return;

failed:
    log_line(LOG_ERROR, "orphan_move_failed", "file", name, "error", strerror(errno), NULL);
}

/* Number of rows of the database that refer to this file: each version has its own name for it. `names` lists the possible names. */
static enum store_result names_known(struct connection *c, int directory, const char *names, const char *file, ino_t inode, uint64_t *count,
                                     struct bp_error *error) {
    sqlite3_stmt *s = db_start(c, names, WITH(text(file)));
    struct stat status;
    int code = SQLITE_ERROR;
    *count = 0;
    while (s && (code = sqlite3_step(s)) == SQLITE_ROW) {
        const char *name = (const char *)sqlite3_column_text(s, 0);
        if (name && fstatat(directory, name, &status, AT_SYMLINK_NOFOLLOW) == 0 && status.st_ino == inode) ++*count;
    }
    const enum store_result result = code == SQLITE_DONE ? STORE_OK : db_failed(c, error);
    db_end(s);
    return result;
}

/* Cuts off what follows the last known version in a file that has only known names. */
static enum store_result cut(struct connection *c, int directory, const char *file, struct bp_error *error) {
    static const char size[] = "SELECT max(d.bytes) FROM datasets AS d JOIN datasets AS f ON f.name = d.name WHERE f.file = ?",
                      names[] = "SELECT d.file FROM datasets AS d JOIN datasets AS f ON f.name = d.name WHERE f.file = ?";
    struct stat status;
    int64_t most = 0;
    uint64_t known = 0;
    enum store_result result = db_integer(c, size, WITH(text(file)), &most, error);
    const int fd = result == STORE_OK && most > 0 ? openat(directory, file, O_WRONLY | O_CLOEXEC | O_NOFOLLOW) : -1;
    if (fd < 0) return result;
    if (fstat(fd, &status) == 0 && status.st_size > most) {
        result = names_known(c, directory, names, file, status.st_ino, &known, error);
        if (result == STORE_OK && status.st_nlink == known && ftruncate(fd, most) != 0) (void)0; /* it does no harm */
    }
    close(fd);
    return result;
}

static enum store_result look(struct store *store, struct connection *c, const char *directory, int fd, const char *name, bool cutting,
                              struct bp_error *error) {
    const enum kind kind = kind_of(directory, name);
    const bool datasets = strcmp(directory, "datasets") == 0;
    int64_t known;
    if (kind == FOREIGN) return STORE_OK;
    if (kind == TEMPORARY) {
        if (!cutting && unlinkat(fd, name, 0) == 0) report("temporary_removed", store, directory, name, NULL);
        return STORE_OK;
    }
    const enum store_result result = db_integer(c,
                                                datasets                            ? "SELECT 1 FROM datasets WHERE file = ?"
                                                : strcmp(directory, "results") == 0 ? "SELECT 1 FROM results WHERE file = ?"
                                                                                    : "SELECT 1 FROM checkpoints WHERE file = ?",
                                                WITH(text(name)), &known, error);
    if (result == STORE_NOT_FOUND) {
        if (!cutting) move_to_lost(store, fd, directory, name);
        return STORE_OK;
    }
    return result == STORE_OK && cutting && datasets ? cut(c, fd, name, error) : result;
}

/* Twice: which names a file has left is known once the orphans are gone. */
static enum store_result walk(struct store *store, struct connection *c, const char *directory, int of, bool cutting, struct bp_error *error) {
    const int fd = openat(of, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *entries = fd >= 0 ? fdopendir(fd) : NULL;
    enum store_result result = STORE_OK;
    if (!entries) {
        bp_error_io(error, "cannot list %.200s/%s: %s; check that this user may read it", store->folder, directory, strerror(errno));
        if (fd >= 0) close(fd);
        return STORE_FAILED;
    }
    for (struct dirent *entry; result == STORE_OK && (entry = readdir(entries));)
        result = look(store, c, directory, fd, entry->d_name, cutting, error);
    closedir(entries);
    return result;
}

enum store_result store_orphans_move(struct store *store, struct connection *c, struct bp_error *error) {
    c->what = "find files without a row";
    enum store_result result = walk(store, c, "datasets", store->datasets, false, error);
    if (result == STORE_OK) result = walk(store, c, "datasets", store->datasets, true, error);
    if (result == STORE_OK) result = walk(store, c, "checkpoints", store->checkpoints, false, error);
    return result == STORE_OK ? walk(store, c, "results", store->results, false, error) : result;
}

/* access.c - keys and the audit log for commands. Without a server the folder is opened as a server opens it. Beside a running one there is a
 * connection of its own, for one short transaction, while a lock keeps the server's writer from a checkpoint: SQLite 3.7.0-3.51.2 has a race between
 * one connection's checkpoint and another's commit (see README.md). */
#include "server/store/sqlite/keys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct access {
    struct store *store;          /* no server runs */
    struct connection connection; /* beside a server */
    char *folder;
    int lock; /* the file; -1: not open */
};

/* One change or read of either. */
struct task {
    enum store_result (*run)(struct connection *c, struct task *task, struct bp_error *error);
    const char *name;
    struct store_key *key;
    struct store_keys *keys;
    struct store_audits *audits;
    const struct store_audit *entry;
    int64_t before;
    int32_t limit;
};

/* ---- open and close ---- */

static enum store_result open_beside(struct access *a, struct bp_error *error) {
    char path[4096];
    snprintf(path, sizeof path, "%s/lock", a->folder);
    a->lock = open(path, O_RDWR | O_CLOEXEC);
    if (a->lock < 0) {
        bp_error_io(error, "cannot open %.200s: %s; check that this user may write in the data folder", path, strerror(errno));
        return STORE_FAILED;
    }
    enum store_result result = connection_open(&a->connection, a->folder, error);
    if (result == STORE_OK && sqlite3_db_config(a->connection.db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, (int *)NULL) != SQLITE_OK)
        result = db_failed(&a->connection, error);
    return result == STORE_OK ? migrate_is_current(&a->connection, error) : result;
}

enum store_result access_open(const char *folder, struct access **out, struct bp_error *error) {
    const struct store_options options = {.queue_max = 1};
    int64_t holder = 0;
    struct access *a = calloc(1, sizeof *a);
    *out = NULL;
    if (!a || !(a->folder = strdup(folder))) {
        free(a);
        return out_of_memory(error);
    }
    a->lock = -1;
    enum store_result result = store_examine(folder, &holder, error);
    if (result == STORE_IN_USE) result = open_beside(a, error);
    else if (result == STORE_OK) result = store_open(folder, &options, &a->store, error);
    if (result == STORE_OK) *out = a;
    else access_close(a);
    return result;
}

void access_close(struct access *a) {
    if (!a) return;
    store_close(a->store);
    connection_close(&a->connection);
    if (a->lock >= 0) close(a->lock);
    free(a->folder);
    free(a);
}

/* ---- running a task ---- */

static enum store_result in_writer(struct writer *writer, void *argument, struct bp_error *error) {
    struct task *task = argument;
    return task->run(writer_connection(writer), task, error);
}

static enum store_result beside(struct access *a, struct task *task, struct bp_error *error) {
    struct connection *c = &a->connection;
    struct flock lock = CHECKPOINT_LOCK;
    while (fcntl(a->lock, F_OFD_SETLKW, &lock) != 0) {
        if (errno == EINTR) continue;
        bp_error_io(error, "cannot lock %.200s/lock: %s", a->folder, strerror(errno));
        return STORE_FAILED;
    }
    enum store_result result = db_run(c, "BEGIN IMMEDIATE", NONE, error);
    if (result == STORE_OK) result = task->run(c, task, error);
    if (result == STORE_OK) result = db_run(c, "COMMIT", NONE, error);
    if (!sqlite3_get_autocommit(c->db)) db_run(c, "ROLLBACK", NONE, NULL);
    lock.l_type = F_UNLCK;
    fcntl(a->lock, F_OFD_SETLK, &lock);
    return result;
}

static enum store_result execute(struct access *a, const char *what, struct task *task, struct bp_error *error) {
    a->connection.what = what;
    return a->store ? writer_run(a->store, what, in_writer, task, error) : beside(a, task, error);
}

/* ---- the tasks ---- */

static enum store_result create(struct connection *c, struct task *task, struct bp_error *error) {
    enum store_result result = key_insert(c, task->key, error);
    return result == STORE_OK ? audit_add(c, task->entry, 1, error) : result;
}

static enum store_result get(struct connection *c, struct task *task, struct bp_error *error) {
    return key_get(c, task->name, task->key, error);
}

static enum store_result rotate(struct connection *c, struct task *task, struct bp_error *error) {
    enum store_result result = key_replace(c, task->key, error);
    return result == STORE_OK ? audit_add(c, task->entry, 1, error) : result;
}

static enum store_result revoke_key(struct connection *c, struct task *task, struct bp_error *error) {
    enum store_result result = key_revoke(c, task->name, error);
    return result == STORE_OK ? audit_add(c, task->entry, 1, error) : result;
}

static enum store_result list(struct connection *c, struct task *task, struct bp_error *error) {
    return keys_read(c, task->keys, error);
}

static enum store_result audit(struct connection *c, struct task *task, struct bp_error *error) {
    return audit_read(c, task->before, task->limit, task->audits, error);
}

enum store_result access_key_create(struct access *a, struct store_key *key, const struct store_audit *entry, struct bp_error *error) {
    struct task task = {.run = create, .key = key, .entry = entry};
    return execute(a, "store the key", &task, error);
}

enum store_result access_key_get(struct access *a, const char *name, struct store_key *key, struct bp_error *error) {
    struct task task = {.run = get, .name = name, .key = key};
    return execute(a, "look up the key", &task, error);
}

enum store_result access_key_rotate(struct access *a, const struct store_key *key, const struct store_audit *entry, struct bp_error *error) {
    struct store_key changed = *key;
    struct task task = {.run = rotate, .key = &changed, .entry = entry};
    return execute(a, "rotate the key", &task, error);
}

enum store_result access_key_revoke(struct access *a, const char *name, const struct store_audit *entry, struct bp_error *error) {
    struct task task = {.run = revoke_key, .name = name, .entry = entry};
    return execute(a, "revoke the key", &task, error);
}

enum store_result access_keys(struct access *a, struct store_keys *keys, struct bp_error *error) {
    struct task task = {.run = list, .keys = keys};
    return execute(a, "list the keys", &task, error);
}

enum store_result access_audit(struct access *a, int64_t before, int32_t limit, struct store_audits *found, struct bp_error *error) {
    struct task task = {.run = audit, .before = before, .limit = limit, .audits = found};
    return execute(a, "read the audit log", &task, error);
}

bool access_folder_has_key(const char *folder) {
    struct connection c = {0};
    struct stat status;
    char path[4096];
    int64_t count = 0;
    snprintf(path, sizeof path, "%s/backpropd.db", folder);
    if (stat(path, &status) != 0 || connection_open(&c, folder, NULL) != STORE_OK) return false;
    const char *sql = "SELECT count(*) FROM keys WHERE revoked_at = 0 AND (expires_at = 0 OR expires_at > ?)";
    const bool known = db_integer(&c, sql, WITH(integer(store_now())), &count, NULL) == STORE_OK; /* not in a folder of an earlier version */
    connection_close(&c);
    return known && count > 0;
}

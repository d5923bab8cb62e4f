/* migrate.c - brings a database to this program's version: the numbered .sql files of schema/migrations/, embedded at build time, each in a
 * transaction of its own together with its number in user_version. */
#include "server/store/sqlite/migrations.h"
#include "server/store/sqlite/sqlite.h"

#include <stdio.h>

enum { APPLICATION_ID = 0x42504431 /* "BPD1", shown by file(1) */ };

static enum store_result pragma(struct connection *c, const char *sql, int64_t *number, struct bp_error *error) {
    return db_integer(c, sql, NONE, number, error);
}

static enum store_result apply(struct connection *c, int number, const char *sql, struct bp_error *error) {
    char stamp[128];
    snprintf(stamp, sizeof stamp, "PRAGMA application_id=%d; PRAGMA user_version=%d", APPLICATION_ID, number);
    if (sqlite3_exec(c->db, "BEGIN EXCLUSIVE", NULL, NULL, NULL) == SQLITE_OK && sqlite3_exec(c->db, sql, NULL, NULL, NULL) == SQLITE_OK &&
        sqlite3_exec(c->db, stamp, NULL, NULL, NULL) == SQLITE_OK && sqlite3_exec(c->db, "COMMIT", NULL, NULL, NULL) == SQLITE_OK)
        return STORE_OK;
    enum store_result result = db_failed(c, error);
    if (!sqlite3_get_autocommit(c->db)) sqlite3_exec(c->db, "ROLLBACK", NULL, NULL, NULL);
    return result;
}

static enum store_result check(struct connection *c, int64_t *version_found, struct bp_error *error) {
    int64_t application = 0, version = 0, tables = 0;
    enum store_result result;
    c->what = "read the version of the database";
    if ((result = pragma(c, "PRAGMA application_id", &application, error)) != STORE_OK ||
        (result = pragma(c, "PRAGMA user_version", &version, error)) != STORE_OK ||
        (result = pragma(c, "SELECT count(*) FROM sqlite_schema", &tables, error)) != STORE_OK)
        return result;
    bool empty = application == 0 && version == 0 && tables == 0;
    if (!empty && application != APPLICATION_ID) {
        bp_error_set(error, "", "%.128s/backpropd.db is a database of another program (application_id %lld, expected %d); use another data folder",
                     c->folder, (long long)application, APPLICATION_ID);
        return STORE_FAILED;
    }
    if (version > migrations_count) {
        bp_error_set(error, "",
                     "%.128s/backpropd.db was written by a newer backpropd (its schema is version %lld, this program supports up to %d); start the "
                     "newer program, or use another data folder",
                     c->folder, (long long)version, migrations_count);
        return STORE_FAILED;
    }
    *version_found = version;
    return STORE_OK;
}

enum store_result migrate_check(struct connection *c, struct bp_error *error) {
    int64_t version;
    return check(c, &version, error);
}

enum store_result migrate_is_current(struct connection *c, struct bp_error *error) {
    int64_t version;
    enum store_result result = check(c, &version, error);
    if (result != STORE_OK || version == migrations_count) return result;
    bp_error_set(error, "", "the server that uses %.128s is of an older version than this program; use its own program, or restart it with this one",
                 c->folder);
    return STORE_FAILED;
}

enum store_result migrate(struct connection *c, struct bp_error *error) {
    int64_t version;
    enum store_result result = check(c, &version, error);
    if (result != STORE_OK) return result;
    c->what = "migrate the database";
    for (int i = (int)version; i < migrations_count; i++)
        if ((result = apply(c, migrations[i].number, migrations[i].sql, error)) != STORE_OK) return result;
    return STORE_OK;
}

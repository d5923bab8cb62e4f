/* connection.c - one connection to SQLite: opening it with the settings all of ours share, its cache of prepared statements, binding, reading
 * columns, and the words of a failure. Sections: open and close; failures; statements; columns; queries of rows. */
#include "server/store/sqlite/sqlite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- open and close ---- */

enum store_result connection_open(struct connection *c, const char *folder, struct bp_error *error) {
    char path[4096];
    *c = (struct connection){.folder = folder, .what = "open the database"};
    if (snprintf(path, sizeof path, "%s/backpropd.db", folder) >= (int)sizeof path) {
        bp_error_set(error, "", "the path of the data folder \"%.200s...\" is too long; use a shorter one", folder);
        return STORE_FAILED;
    }
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
    if (sqlite3_open_v2(path, &c->db, flags, NULL) != SQLITE_OK) {
        enum store_result result = db_failed(c, error);
        connection_close(c);
        return result;
    }
    sqlite3_extended_result_codes(c->db, 1);
    sqlite3_busy_timeout(c->db, BUSY_MS);
    /* Nothing here may write, because readers run it too. (PRAGMA auto_vacuum does, even where it changes nothing.) */
    const char *settings = "PRAGMA wal_autocheckpoint=0; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;";
    if (sqlite3_exec(c->db, settings, NULL, NULL, NULL) != SQLITE_OK) {
        enum store_result result = db_failed(c, error);
        connection_close(c);
        return result;
    }
    return STORE_OK;
}

void connection_close(struct connection *c) {
    for (int i = 0; i < STATEMENTS_MAX; i++) sqlite3_finalize(c->statements[i]);
    sqlite3_close(c->db);
    *c = (struct connection){0};
}

/* ---- failures ---- */

static const char *remedy(int code) {
    switch (code & 0xff) {
    case SQLITE_FULL: return "free space on its disk, then try again";
    case SQLITE_IOERR: return "check its disk (free space, hardware, network mount), then try again";
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB: return "the file is damaged: stop the server and restore the data folder from a backup";
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
    case SQLITE_CANTOPEN: return "check that the folder exists and that this user may write in it";
    case SQLITE_NOMEM: return "out of memory: free some, or raise the server's limit";
    case SQLITE_BUSY:
    case SQLITE_LOCKED: return "another program has the database open: close it, then try again";
    case SQLITE_TOOBIG: return "it is larger than the 1 GB that one value may have: make the model smaller";
    default: return "this is probably a bug in backpropd; please report it with this message";
    }
}

enum store_result db_failed(struct connection *c, struct bp_error *error) {
    int code = c->db ? sqlite3_extended_errcode(c->db) : SQLITE_NOMEM;
    bool system = (code & 0xff) == SQLITE_IOERR || (code & 0xff) == SQLITE_CANTOPEN;
    int cause = c->db && system ? sqlite3_system_errno(c->db) : 0;
    char reason[160] = "";
    if (cause) snprintf(reason, sizeof reason, " (%s)", strerror(cause));
    struct bp_error cause_of = {.code = (code & 0xff) == SQLITE_NOMEM ? BP_ERROR_MEMORY : BP_ERROR_IO};
    bp_error_wrap(error, &cause_of, "", "cannot %s in %.128s/backpropd.db: %s%s [SQLite %d]; %s", c->what ? c->what : "go on", c->folder,
                  c->db ? sqlite3_errmsg(c->db) : "no memory", reason, code, remedy(code));
    return STORE_FAILED;
}

enum store_result out_of_memory(struct bp_error *error) {
    bp_error_memory(error, "out of memory: free some, or raise the server's limit");
    return STORE_FAILED;
}

/* ---- statements ---- */

/* The cache is a small open hash keyed by the text of the statement. When it is full, the first idle one on the probe path is evicted. */
static sqlite3_stmt **statement_slot(struct connection *c, const char *sql) {
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (const char *p = sql; *p; p++) hash = (hash ^ (unsigned char)*p) * 16777619u;
    sqlite3_stmt **evicted = NULL;
    for (uint32_t i = 0; i < STATEMENTS_MAX; i++) {
        sqlite3_stmt **slot = &c->statements[(hash + i) % STATEMENTS_MAX];
        if (!*slot || strcmp(sqlite3_sql(*slot), sql) == 0) return slot;
        if (!evicted && !sqlite3_stmt_busy(*slot)) evicted = slot;
    }
    if (evicted) {
        sqlite3_finalize(*evicted);
        *evicted = NULL;
    }
    return evicted;
}

static int bind(sqlite3_stmt *statement, int index, const struct value *value) {
    switch (value->kind) {
    case VALUE_INTEGER: return sqlite3_bind_int64(statement, index, value->number);
    case VALUE_TEXT: return sqlite3_bind_text(statement, index, value->bytes, -1, SQLITE_STATIC);
    case VALUE_BLOB: return sqlite3_bind_blob64(statement, index, value->bytes ? value->bytes : "", (sqlite3_uint64)value->number, SQLITE_STATIC);
    case VALUE_REAL: return sqlite3_bind_double(statement, index, value->real);
    case VALUE_NULL: break;
    }
    return sqlite3_bind_null(statement, index);
}

sqlite3_stmt *db_start(struct connection *c, const char *sql, const struct value *values, size_t count) {
    sqlite3_stmt **slot = statement_slot(c, sql);
    if (!slot) return NULL;
    if (!*slot && sqlite3_prepare_v3(c->db, sql, -1, SQLITE_PREPARE_PERSISTENT, slot, NULL) != SQLITE_OK) return NULL;
    /* A wrong number of values is a bug here; binding past the end makes SQLite report it. */
    int expected = sqlite3_bind_parameter_count(*slot);
    for (size_t i = 0; i < count || (int)i < expected; i++) {
        const struct value missing = {0};
        if (bind(*slot, i < count ? (int)i + 1 : expected + 1, i < count ? &values[i] : &missing) != SQLITE_OK) {
            db_end(*slot);
            return NULL;
        }
    }
    return *slot;
}

void db_end(sqlite3_stmt *statement) {
    if (!statement) return;
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
}

enum store_result db_run(struct connection *c, const char *sql, const struct value *values, size_t count, struct bp_error *error) {
    sqlite3_stmt *s = db_start(c, sql, values, count);
    if (!s) return db_failed(c, error);
    int code;
    while ((code = sqlite3_step(s)) == SQLITE_ROW)
        ;
    enum store_result result = code == SQLITE_DONE ? STORE_OK : db_failed(c, error);
    db_end(s);
    return result;
}

enum store_result db_integer(struct connection *c, const char *sql, const struct value *values, size_t count, int64_t *number,
                             struct bp_error *error) {
    sqlite3_stmt *s = db_start(c, sql, values, count);
    if (!s) return db_failed(c, error);
    enum store_result result = STORE_NOT_FOUND;
    int code = sqlite3_step(s);
    if (code == SQLITE_ROW) {
        *number = sqlite3_column_int64(s, 0);
        result = STORE_OK;
    } else if (code != SQLITE_DONE) {
        result = db_failed(c, error);
    }
    db_end(s);
    return result;
}

/* ---- columns ---- */

/* A column that SQLite had no memory to give is NULL, as one that holds NULL. */
static _Thread_local bool column_lost;

static const char *column_text(sqlite3_stmt *statement, int column) {
    const char *t = (const char *)sqlite3_column_text(statement, column);
    if (!t && sqlite3_errcode(sqlite3_db_handle(statement)) == SQLITE_NOMEM) column_lost = true;
    return t;
}

bool columns_lost(void) {
    const bool lost = column_lost;
    column_lost = false;
    return lost;
}

void column_copy(sqlite3_stmt *statement, int column, char *to, size_t size) {
    const char *t = column_text(statement, column);
    snprintf(to, size, "%s", t ? t : "");
}

bool column_keep(sqlite3_stmt *statement, int column, char **to) {
    *to = NULL;
    const char *t = column_text(statement, column);
    if (!t && sqlite3_column_type(statement, column) == SQLITE_NULL) return !column_lost;
    if (t) *to = strdup(t);
    return *to != NULL;
}

/* ---- queries of rows ---- */

enum store_result query_one(struct store *store, const struct query *query, void *item, struct bp_error *error) {
    struct connection *c = reader_take(store, query->what, error);
    if (!c) return STORE_FAILED;
    enum store_result result;
    sqlite3_stmt *s = db_start(c, query->sql, query->values, query->values_count);
    int code = s ? sqlite3_step(s) : SQLITE_ERROR;
    columns_lost();
    if (code == SQLITE_ROW) result = query->read(s, item) && !columns_lost() ? STORE_OK : out_of_memory(error);
    else result = code == SQLITE_DONE ? STORE_NOT_FOUND : db_failed(c, error);
    db_end(s);
    reader_give(store, c);
    return result;
}

static int64_t row_bytes(sqlite3_stmt *s) {
    int64_t bytes = 0;
    for (int i = 0; i < sqlite3_column_count(s); i++) {
        const int type = sqlite3_column_type(s, i);
        if (type == SQLITE_TEXT || type == SQLITE_BLOB) bytes += sqlite3_column_bytes(s, i);
    }
    return bytes;
}

/* Steps through a started list; one row beyond the limit, or beyond STORE_LIST_BYTES, only shows that there are more. */
static enum store_result rows_read(struct connection *c, sqlite3_stmt *s, struct query *query, struct bp_error *error) {
    int code;
    int64_t bytes = 0;
    while ((code = sqlite3_step(s)) == SQLITE_ROW) {
        bytes += row_bytes(s);
        if (query->count == query->limit || (query->count > 0 && bytes > STORE_LIST_BYTES)) {
            query->has_more = true;
            return STORE_OK;
        }
        columns_lost();
        if (!query->read(s, (char *)query->items + (size_t)query->count++ * query->item_size) || columns_lost()) return out_of_memory(error);
    }
    return code == SQLITE_DONE ? STORE_OK : db_failed(c, error);
}

enum store_result query_list(struct store *store, struct query *query, struct bp_error *error) {
    query->limit = query->limit < 1 ? 1 : query->limit > STORE_LIST_MAX ? STORE_LIST_MAX : query->limit;
    query->count = 0;
    query->has_more = false;
    query->items = calloc((size_t)query->limit, query->item_size);
    if (!query->items) return out_of_memory(error);
    struct value values[QUERY_VALUES_MAX + 1];
    memcpy(values, query->values, query->values_count * sizeof *values);
    values[query->values_count] = integer(query->limit + 1);

    struct connection *c = reader_take(store, query->what, error);
    if (!c) return STORE_FAILED;
    enum store_result result = query->complete ? db_run(c, "BEGIN", NONE, error) : STORE_OK;
    if (result == STORE_OK) {
        sqlite3_stmt *s = db_start(c, query->sql, values, query->values_count + 1);
        result = s ? rows_read(c, s, query, error) : db_failed(c, error);
        db_end(s);
    }
    if (result == STORE_OK && query->complete) result = query->complete(c, query, error);
    if (!sqlite3_get_autocommit(c->db)) db_run(c, "COMMIT", NONE, NULL); /* of a transaction that only read: it cannot fail in a way that matters */
    reader_give(store, c);
    return result;
}

/* imports.c - model files that go in and out beside the jobs' own: versions that no job of this server has trained, and what a job begins with. */
#include "server/store/sqlite/sqlite.h"

#include <stdio.h>
#include <stdlib.h>

struct importing {
    const struct store_import *what;
    int64_t version;
};

/* A model that is there keeps its definition. */
static enum store_result ensure_model(struct writer *writer, const struct store_import *what, struct bp_error *error) {
    int64_t hidden = 0;
    bool created;
    const struct value name = text(what->model);
    const enum store_result result = db_integer(writer_connection(writer), "SELECT hidden FROM models WHERE name = ?", &name, 1, &hidden, error);
    if (result == STORE_OK && !hidden) return STORE_OK;
    if (result != STORE_OK && result != STORE_NOT_FOUND) return result;
    return model_set(writer, what->model, what->definition, false, &created, error);
}

static enum store_result add_import(struct writer *writer, void *argument, struct bp_error *error) {
    struct importing *importing = argument;
    const struct store_import *what = importing->what;
    const struct version_new version = {.model = what->model,
                                        .job = "",
                                        .document = what->document,
                                        .blob = what->blob,
                                        .blob_size = what->blob_size,
                                        .held_back = what->held_back,
                                        .actor = what->actor,
                                        .calibration = what->calibration};
    char location[160];
    enum store_result result = ensure_model(writer, what, error);
    if (result == STORE_OK) result = version_add(writer, &version, &importing->version, error);
    if (result != STORE_OK || !what->idempotency) return result;
    struct store_idempotency record = *what->idempotency;
    snprintf(location, sizeof location, "/v1/models/%s/versions/%lld", what->model, (long long)importing->version);
    record.location = location;
    return answer_add(writer, &record, error);
}

enum store_result store_version_import(struct store *store, const struct store_import *what, int64_t *version, struct bp_error *error) {
    struct importing argument = {.what = what};
    const enum store_result result = writer_run(store, "store the version", add_import, &argument, error);
    *version = argument.version;
    return result;
}

enum store_result store_job_init(struct store *store, const char *id, void **bytes, size_t *size, struct bp_error *error) {
    *bytes = NULL;
    *size = 0;
    struct connection *c = reader_take(store, "read what a job begins with", error);
    if (!c) return STORE_FAILED;
    const struct value values[] = {text(id)};
    sqlite3_stmt *s = db_start(c, "SELECT rowid FROM job_inits WHERE job = ?", values, 1);
    const int code = s ? sqlite3_step(s) : SQLITE_ERROR;
    enum store_result result = code == SQLITE_ROW    ? blob_read(c, "job_inits", sqlite3_column_int64(s, 0), bytes, size, error)
                               : code == SQLITE_DONE ? STORE_OK
                                                     : db_failed(c, error);
    db_end(s);
    reader_give(store, c);
    if (result == STORE_OK) return result;
    free(*bytes);
    *bytes = NULL;
    return result;
}

/* upload.c - from the bytes of a body to a column file in place. */
#include "upload.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct upload *upload_open(const struct server *server, const struct upload_request *request, struct schema_problems *problems) {
    struct upload *u = calloc(1, sizeof *u);
    char id[STORE_ID_SIZE], temporary[STORE_FILE_SIZE];
    if (!u) {
        schema_problem_add(problems, NULL, "out of memory");
        return NULL;
    }
    u->fd = -1;
    u->store = server->store;
    if (request->types && schema_column_types_parse(request->types, &u->types, &u->types_count, problems) != 0) goto failed;
    store_new_id("dat", id);
    snprintf(u->file, sizeof u->file, "%s.col", id);
    snprintf(temporary, sizeof temporary, "%s.tmp", id);
    store_path(server->store, "datasets", temporary, u->temporary, sizeof u->temporary);
    u->fd = open(u->temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (u->fd < 0) {
        problems->internal = true;
        schema_problem_add(problems, NULL, "cannot create a file in the data folder: %s", strerror(errno));
        u->temporary[0] = '\0';
        goto failed;
    }
    struct schema_ingest_options options = {.types = u->types,
                                            .types_count = u->types_count,
                                            .rows_max = server->settings.rows_max,
                                            .csv = request->csv,
                                            .column = request->column,
                                            .encoding = request->encoding,
                                            .decoded_max = server->settings.upload_max};
    if (schema_ingest_open(schema_format_for(request->content_type), &options, u->fd, &u->ingest, problems) == 0) return u;
failed:
    upload_free(u);
    return NULL;
}

void upload_bytes(struct upload *u, const char *bytes, size_t size) {
    if (!u->failed && schema_ingest_feed(u->ingest, bytes, size, &u->problems) != 0) u->failed = true;
}

static json_t *describe(const struct schema_dataset *dataset, const struct schema_ingest *ingest) {
    json_t *description = json_pack("{s:o, s:o}", "columns", schema_dataset_columns_json(dataset), "warnings", schema_ingest_warnings(ingest));
    json_t *details = schema_ingest_details(ingest);
    json_object_update(description, details);
    json_decref(details);
    return description;
}

/* Moves what was found to the caller's list. */
static int hand_over(struct upload *u, struct schema_problems *problems) {
    schema_problems_clear(problems);
    *problems = u->problems;
    memset(&u->problems, 0, sizeof u->problems);
    return -1;
}

int upload_finish(struct upload *u, struct store_dataset *row, struct schema_dataset **dataset, struct schema_problems *problems) {
    struct bp_error error = {0};
    if (!u->failed && schema_ingest_finish(u->ingest, &u->problems) != 0) u->failed = true;
    if (u->failed) return hand_over(u, problems);
    if (schema_dataset_open(u->fd, dataset, &error) != 0) return schema_problem_add(problems, NULL, "%s", error.message);
    json_t *description = describe(*dataset, u->ingest);
    row->description = json_dumps(description, JSON_COMPACT);
    json_decref(description);
    row->rows = (*dataset)->rows;
    row->bytes = (*dataset)->bytes;
    snprintf(row->file, sizeof row->file, "%s", u->file);
    store_path(u->store, "datasets", u->file, u->path, sizeof u->path);
    if (rename(u->temporary, u->path) == 0) {
        u->temporary[0] = '\0';
        return 0;
    }
    problems->internal = true;
    schema_problem_add(problems, NULL, "cannot put the dataset's file in place: %s", strerror(errno));
    schema_dataset_free(*dataset);
    *dataset = NULL;
    u->path[0] = '\0';
    return -1;
}

void upload_keep(struct upload *u) {
    u->path[0] = '\0';
}

void upload_free(struct upload *u) {
    if (!u) return;
    schema_ingest_close(u->ingest);
    if (u->fd >= 0) close(u->fd);
    if (u->temporary[0]) unlink(u->temporary);
    if (u->path[0]) unlink(u->path);
    schema_column_types_free(u->types, u->types_count);
    schema_problems_clear(&u->problems);
    free(u);
}

/* ---- the streaming of POST /v1/datasets ---------------------------------------------------------------------------------------- */

bool upload_begin(struct request *r) {
    struct schema_problems problems = {0};
    struct upload_request request = {.content_type = request_header(r, "Content-Type"),
                                     .encoding = request_header(r, "Content-Encoding"),
                                     .column = request_query(r, "column"),
                                     .types = request_query(r, "types")};
    if (schema_csv_dialect_parse(request_query(r, "separator"), request_query(r, "decimal"), request_query(r, "quote"), request_query(r, "header"),
                                 &request.csv, &problems) == 0)
        r->upload = upload_open(r->server, &request, &problems);
    if (r->upload) return true;
    answer_problems(r, &problems);
    return false;
}

void upload_feed(struct request *r, const char *bytes, size_t size) {
    upload_bytes(r->upload, bytes, size);
}

enum store_result dataset_open(struct store *store, const char *name, int64_t version, struct store_dataset *row, struct schema_dataset **dataset,
                               struct bp_error *error) {
    char path[4200];
    enum store_result result = store_dataset_get(store, name, version, row, error);
    if (result != STORE_OK) return result;
    store_path(store, "datasets", row->file, path, sizeof path);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) bp_error_set(error, "", "the file of dataset \"%s\" cannot be opened: %s", name, strerror(errno));
    if (fd >= 0 && schema_dataset_open(fd, dataset, error) == 0) {
        close(fd);
        return STORE_OK;
    }
    if (fd >= 0) close(fd);
    store_dataset_free(row);
    return STORE_FAILED;
}

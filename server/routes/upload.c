/* upload.c - from the bytes of a body to a column file in place. */
#include "server/routes/upload.h"
#include "schema/memory.h"
#include "server/routes/missing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int new_file(struct upload *u, struct schema_problems *problems) {
    struct bp_error error = {0};
    return dataset_draft_new(u->store, &u->draft, &error) == 0 ? 0 : schema_problem_error(problems, NULL, &error);
}

static int extend_base(struct upload *u, struct schema_problems *problems) {
    struct bp_error error = {0};
    return dataset_draft_extend(u->store, u->base_row.file, u->base->bytes, &u->draft, &error) == 0 ? 0
                                                                                                    : schema_problem_error(problems, NULL, &error);
}

static int read_types(struct upload *u, const struct upload_request *request, struct schema_problems *problems) {
    if (u->base && u->how == SCHEMA_JOIN_ROWS) return schema_column_types_of(u->base, &u->types, &u->types_count, problems);
    return request->types ? schema_column_types_parse(request->types, &u->types, &u->types_count, problems) : 0;
}

struct upload *upload_open(const struct server *server, const struct upload_request *request, struct schema_problems *problems) {
    struct upload *u = calloc(1, sizeof *u);
    if (!u) {
        schema_dataset_free(request->base);
        schema_problem_no_memory(problems);
        return NULL;
    }
    u->draft = DATASET_DRAFT, u->store = server->store, u->rows_max = server->settings.rows_max;
    u->how = request->how, u->base = request->base, u->base_row = request->base_row;
    if (read_types(u, request, problems) == 0 && new_file(u, problems) == 0) {
        const bool rows = u->base && u->how == SCHEMA_JOIN_ROWS;
        struct schema_ingest_options options = {.types = request->expected ? request->expected : u->types,
                                                .types_count = request->expected ? request->expected_count : u->types_count,
                                                .types_stand = rows,
                                                .types_may_lack = rows || request->expected,
                                                .one_column = u->base && u->how == SCHEMA_JOIN_COLUMNS,
                                                .rows_max = u->rows_max,
                                                .csv = request->csv,
                                                .column = request->column,
                                                .encoding = request->encoding,
                                                .decoded_max = server->settings.upload_max};
        if (schema_ingest_open(schema_format_for(request->content_type), &options, u->draft.fd, &u->ingest, problems) == 0) return u;
    }
    upload_free(u);
    return NULL;
}

void upload_bytes(struct upload *u, const char *bytes, size_t size) {
    if (u->failed) return;
    if (schema_ingest_feed(u->ingest, bytes, size, &u->problems) != 0) u->failed = true;
    else if (schema_memory_failed()) {
        schema_problem_no_memory(&u->problems);
        u->failed = true;
    }
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

/* The upload is complete, in a separate file; its rows or columns are now appended to the base. */
static int join(struct upload *u, struct schema_problems *problems) {
    struct schema_dataset *more = NULL;
    struct schema_ingest *joined = NULL;
    struct bp_error error = {0};
    const struct schema_ingest_options limits = {.rows_max = u->rows_max};
    const char *inside = schema_ingest_name(u->ingest);
    if (inside && strcmp(inside, u->base_row.name) != 0)
        return schema_problem_add(problems, "/name", "the URL names the dataset \"%.63s\", the body \"%.63s\"", u->base_row.name, inside);
    if (schema_dataset_open(u->draft.fd, 0, &more, &error) != 0) return schema_problem_error(problems, NULL, &error);
    dataset_draft_discard(&u->draft);
    int failed = extend_base(u, problems);
    if (!failed) failed = schema_ingest_join(u->how, u->base, more, &limits, u->draft.fd, &joined, problems);
    schema_dataset_free(more);
    if (failed) return -1;
    schema_ingest_close(u->ingest);
    u->ingest = joined;
    return 0;
}

int upload_finish(struct upload *u, struct store_dataset *row, struct schema_dataset **dataset, struct schema_problems *problems) {
    struct bp_error error = {0};
    if (!u->failed && schema_ingest_finish(u->ingest, &u->problems) != 0) u->failed = true;
    if (!u->failed && u->base && join(u, &u->problems) != 0) u->failed = true;
    if (u->failed) return hand_over(u, problems);
    if (schema_dataset_open(u->draft.fd, schema_ingest_bytes(u->ingest), dataset, &error) != 0) return schema_problem_error(problems, NULL, &error);
    json_t *description = describe(*dataset, u->ingest);
    row->description = schema_json_dump(description, JSON_COMPACT);
    json_decref(description);
    if (!row->description || schema_memory_failed()) {
        schema_dataset_free(*dataset);
        *dataset = NULL;
        return schema_problem_no_memory(problems);
    }
    row->rows = (*dataset)->rows;
    row->bytes = (*dataset)->bytes;
    row->after = u->base ? u->base_row.version : 0;
    if (u->base) snprintf(row->change, sizeof row->change, "%s", u->how == SCHEMA_JOIN_ROWS ? "append_rows" : "add_column");
    snprintf(row->file, sizeof row->file, "%s", u->draft.name);
    if (dataset_draft_place(&u->draft, &error) == 0) return 0;
    schema_problem_error(problems, NULL, &error);
    schema_dataset_free(*dataset);
    *dataset = NULL;
    return -1;
}

void upload_keep(struct upload *u) {
    dataset_draft_keep(&u->draft);
}

void upload_free(struct upload *u) {
    if (!u) return;
    schema_ingest_close(u->ingest);
    dataset_draft_discard(&u->draft);
    schema_dataset_free(u->base);
    schema_column_types_free(u->types, u->types_count);
    schema_problems_clear(&u->problems);
    free(u);
}

/* ---- the streaming of POST /v1/datasets ---------------------------------------------------------------------------------------- */

/* The newest version of the dataset that gets rows or a column. false: answered. */
static bool open_base(struct request *r, struct upload_request *request) {
    char name[STORE_NAME_SIZE];
    int64_t version;
    struct bp_error error = {0};
    if (!request_name(r, r->params[0], name, &version)) return false;
    if (version) {
        answer_problem(r, PROBLEM_invalid, "rows and columns are added to the newest version of a dataset; leave @%lld out", (long long)version);
        return false;
    }
    enum store_result result = dataset_open(r->server->store, name, 0, &request->base_row, &request->base, &error);
    if (result != STORE_OK) {
        answer_no_dataset(r, result, &error, r->params[0]);
        return false;
    }
    free(request->base_row.description);
    request->base_row.description = NULL;
    return true;
}

static bool begin(struct request *r) {
    struct schema_problems problems = {0};
    struct upload_request request = {.content_type = request_header(r, "Content-Type"), .encoding = request_header(r, "Content-Encoding")};
    request.column = request_query(r, "column"), request.types = request_query(r, "types");
    if (r->params[1][0]) {
        const struct schema_format_ops *known = schema_format_for(request.content_type);
        const char *format = known ? known->entry.name : "";
        request.how = SCHEMA_JOIN_COLUMNS, request.column = r->params[1];
        if (strcmp(format, "json") != 0 && strcmp(format, "npy") != 0 && strcmp(format, "idx") != 0) {
            answer_problem(r, PROBLEM_unsupported_media_type,
                           "expected a column as application/json (an array), application/x-npy or application/x-idx");
            return false;
        }
    }
    if (schema_csv_dialect_parse(request_query(r, "separator"), request_query(r, "decimal"), request_query(r, "quote"), request_query(r, "header"),
                                 &request.csv, &problems) == 0) {
        if (r->params[0][0] && !open_base(r, &request)) return false;
        r->sink = upload_open(r->server, &request, &problems);
    }
    if (r->sink) return true;
    answer_problems(r, &problems);
    return false;
}

static void feed(struct request *r, const char *bytes, size_t size) {
    schema_memory_begin(); /* the HTTP thread has many requests at once */
    upload_bytes(r->sink, bytes, size);
}

static int64_t memory(const void *sink) {
    const struct upload *u = sink;
    return schema_ingest_memory(u->ingest);
}

static void release(void *sink) {
    upload_free(sink);
}

const struct body_sink upload_sink = {.begin = begin, .feed = feed, .memory = memory, .free = release};

enum store_result dataset_open(struct store *store, const char *name, int64_t version, struct store_dataset *row, struct schema_dataset **dataset,
                               struct bp_error *error) {
    enum store_result result = store_dataset_get(store, name, version, row, error);
    if (result != STORE_OK) return result;
    const int fd = dataset_file_open(store, row->file, error);
    if (fd >= 0 && schema_dataset_open(fd, row->bytes, dataset, error) == 0) {
        close(fd);
        return STORE_OK;
    }
    if (fd >= 0) close(fd);
    store_dataset_free(row);
    return STORE_FAILED;
}

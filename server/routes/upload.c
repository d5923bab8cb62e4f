/* upload.c - from the bytes of a body to a column file in place. */
#include "server/routes/upload.h"
#include "schema/memory.h"
#include "server/routes/missing.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

/* A new file under a temporary name; the final one is kept in u->file. */
static int new_file(struct upload *u, struct schema_problems *problems) {
    char id[STORE_ID_SIZE], temporary[STORE_FILE_SIZE];
    store_new_id("dat", id);
    snprintf(u->file, sizeof u->file, "%s.col", id);
    snprintf(temporary, sizeof temporary, "%s.tmp", id);
    store_path(u->store, "datasets", temporary, u->temporary, sizeof u->temporary);
    u->fd = open(u->temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (u->fd >= 0) return 0;
    u->temporary[0] = '\0';
    problems->internal = true;
    return schema_problem_add(problems, NULL, "cannot create a file in the data folder: %s", strerror(errno));
}

static int no_base(struct schema_problems *problems) {
    problems->internal = errno != ENOENT;
    return schema_problem_add(problems, NULL, errno == ENOENT ? "the dataset was deleted meanwhile" : "cannot go on with the file of the dataset: %s",
                              strerror(errno));
}

/* A copy of the base, where its file can have no other name: a file system without hard links, or too many of them. */
static int copy_file(struct upload *u, const char *base, struct schema_problems *problems) {
    const int from = open(base, O_RDONLY | O_CLOEXEC);
    off_t at = 0;
    if (from < 0) return no_base(problems);
    int failed = new_file(u, problems);
    while (!failed && at < u->base->bytes) {
        const ssize_t n = sendfile(u->fd, from, &at, (size_t)(u->base->bytes - at));
        if (n <= 0 && !(n < 0 && errno == EINTR)) {
            if (n == 0) errno = EIO;
            failed = no_base(problems);
        }
    }
    close(from);
    return failed;
}

/* Another name for the base's file, which nobody else writes to until it is closed: flock() waits for those who do. */
static int share_file(struct upload *u, struct schema_problems *problems) {
    char id[STORE_ID_SIZE], name[STORE_FILE_SIZE], base[4200];
    struct stat st;
    store_new_id("dat", id);
    snprintf(u->file, sizeof u->file, "%s.col", id);
    snprintf(name, sizeof name, "%s.tmp", id);
    store_path(u->store, "datasets", u->base_row.file, base, sizeof base);
    store_path(u->store, "datasets", name, u->temporary, sizeof u->temporary);
    if (link(base, u->temporary) != 0) {
        u->temporary[0] = '\0';
        return errno == ENOENT ? no_base(problems) : copy_file(u, base, problems);
    }
    u->fd = open(u->temporary, O_RDWR | O_CLOEXEC);
    if (u->fd < 0 || flock(u->fd, LOCK_EX) != 0 || fstat(u->fd, &st) != 0) return no_base(problems);
    u->behind = st.st_size;
    return 0;
}

static void drop_file(struct upload *u) {
    if (u->fd >= 0 && u->behind > 0 && ftruncate(u->fd, u->behind) != 0) (void)0; /* what stays does no harm, and goes at the next start */
    u->behind = 0;
    if (u->fd >= 0) close(u->fd);
    if (u->temporary[0]) unlink(u->temporary);
    u->fd = -1, u->temporary[0] = '\0';
}

static int read_types(struct upload *u, const struct upload_request *request, struct schema_problems *problems) {
    if (u->base && u->how == SCHEMA_JOIN_ROWS) return schema_column_types_of(u->base, &u->types, &u->types_count, problems);
    return request->types ? schema_column_types_parse(request->types, &u->types, &u->types_count, problems) : 0;
}

struct upload *upload_open(const struct server *server, const struct upload_request *request, struct schema_problems *problems) {
    struct upload *u = calloc(1, sizeof *u);
    if (!u) {
        schema_dataset_free(request->base);
        schema_problem_add(problems, NULL, "out of memory");
        return NULL;
    }
    u->fd = -1, u->store = server->store, u->rows_max = server->settings.rows_max;
    u->how = request->how, u->base = request->base, u->base_row = request->base_row;
    if (read_types(u, request, problems) == 0 && new_file(u, problems) == 0) {
        const bool rows = u->base && u->how == SCHEMA_JOIN_ROWS;
        struct schema_ingest_options options = {.types = u->types,
                                                .types_count = u->types_count,
                                                .types_stand = rows,
                                                .types_may_lack = rows,
                                                .one_column = u->base && u->how == SCHEMA_JOIN_COLUMNS,
                                                .rows_max = u->rows_max,
                                                .csv = request->csv,
                                                .column = request->column,
                                                .encoding = request->encoding,
                                                .decoded_max = server->settings.upload_max};
        if (schema_ingest_open(schema_format_for(request->content_type), &options, u->fd, &u->ingest, problems) == 0) return u;
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

/* What came is complete, in a file of its own, whose rows or columns now go behind the base. */
static int join(struct upload *u, struct schema_problems *problems) {
    struct schema_dataset *more = NULL;
    struct schema_ingest *joined = NULL;
    struct bp_error error = {0};
    const struct schema_ingest_options limits = {.rows_max = u->rows_max};
    const char *inside = schema_ingest_name(u->ingest);
    if (inside && strcmp(inside, u->base_row.name) != 0)
        return schema_problem_add(problems, "/name", "the URL names the dataset \"%.63s\", the body \"%.63s\"", u->base_row.name, inside);
    if (schema_dataset_open(u->fd, 0, &more, &error) != 0) return schema_problem_add(problems, NULL, "%s", error.message);
    drop_file(u);
    int failed = share_file(u, problems);
    if (!failed) failed = schema_ingest_join(u->how, u->base, more, &limits, u->fd, &joined, problems);
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
    if (schema_dataset_open(u->fd, schema_ingest_bytes(u->ingest), dataset, &error) != 0)
        return schema_problem_add(problems, NULL, "%s", error.message);
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
    u->behind = 0;
    u->path[0] = '\0';
}

void upload_free(struct upload *u) {
    if (!u) return;
    schema_ingest_close(u->ingest);
    drop_file(u);
    if (u->path[0]) unlink(u->path);
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
        answer_problem(r, PROBLEM_invalid, "rows and columns go to the newest version of a dataset: leave @%lld out", (long long)version);
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
                           "a column comes as application/json (an array), application/x-npy or application/x-idx");
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

static void release(void *sink) {
    upload_free(sink);
}

const struct body_sink upload_sink = {.begin = begin, .feed = feed, .free = release};

enum store_result dataset_open(struct store *store, const char *name, int64_t version, struct store_dataset *row, struct schema_dataset **dataset,
                               struct bp_error *error) {
    char path[4200];
    enum store_result result = store_dataset_get(store, name, version, row, error);
    if (result != STORE_OK) return result;
    store_path(store, "datasets", row->file, path, sizeof path);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) bp_error_set(error, "", "the file of dataset \"%s\" cannot be opened: %s", name, strerror(errno));
    if (fd >= 0 && schema_dataset_open(fd, row->bytes, dataset, error) == 0) {
        close(fd);
        return STORE_OK;
    }
    if (fd >= 0) close(fd);
    store_dataset_free(row);
    return STORE_FAILED;
}

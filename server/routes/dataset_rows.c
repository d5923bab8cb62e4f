/* dataset_rows.c - GET /v1/datasets/{name}/rows: a page for a preview, or the whole dataset as a stream of CSV, JSON lines or JSON.
 *
 * A stream is made piece by piece in the work pool when its client has room for more, some 256 KB a time, so that other requests are served in
 * between. It keeps the dataset's mapping: a dataset that is deleted during the download is sent to its end, and its disk space is free after that.
 */
#include "schema/dataset/rows.h"
#include "schema/gzip.h"
#include "server/http/http.h"
#include "server/routes/missing.h"
#include "server/routes/upload.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STREAM_BLOCK = 256 << 10, SEND_BLOCK = 64 << 10, PAGE_NUMBERS = 1 << 19 /* of one page, its first row apart */ };

/* The request. */
struct requested {
    bool stream;
    enum schema_rows_format format; /* of the stream */
    int64_t offset, limit;          /* limit: of the page, or of the stream (INT64_MAX: all) */
    bool gzip;
};

static const struct {
    const char *name, *type, *accepted[4];
} formats[] = {[SCHEMA_ROWS_CSV] = {"csv", "text/csv; charset=utf-8; header=present", {"text/csv"}},
               [SCHEMA_ROWS_NDJSON] = {"ndjson", "application/x-ndjson", {"application/x-ndjson", "application/jsonl", "application/ndjson"}},
               [SCHEMA_ROWS_JSON] = {"json", "application/json", {NULL}}};
enum { FORMATS = sizeof formats / sizeof *formats };

/* ---- the request ---- */

/* By ?format=, else by Accept: JSON, and whatever else is accepted, is the page. */
static bool read_format(struct request *r, struct requested *w) {
    static const char *const json[] = {"application/json", NULL};
    const char *name = request_query(r, "format"), *accept = request_header(r, "Accept");
    double best = request_weight(accept, json);
    for (int i = 0; i < FORMATS; i++) {
        const double here = name || !formats[i].accepted[0] ? 0 : request_weight(accept, formats[i].accepted);
        if (name ? strcmp(name, formats[i].name) != 0 : here <= best) continue;
        w->stream = true, w->format = (enum schema_rows_format)i, best = here;
    }
    if (!name || w->stream) return true;
    answer_problem(r, PROBLEM_invalid, "format must be csv, ndjson or json, got \"%.40s\"; by default the response is a page of rows", name);
    return false;
}

static bool read_number(struct request *r, const char *name, int64_t least, int64_t *number) {
    const char *text = request_query(r, name);
    char *end;
    if (!text) return true;
    const long long value = strtoll(text, &end, 10);
    if (*text >= '0' && *text <= '9' && !*end && value >= least) return *number = value, true;
    answer_problem(r, PROBLEM_invalid, "%s must be a whole number from %lld, got \"%.40s\"", name, (long long)least, text);
    return false;
}

static bool read_requested(struct request *r, struct requested *w) {
    const char *after = request_query(r, "after");
    int32_t limit;
    int64_t last = -1;
    if (!read_format(r, w) || !read_number(r, "offset", 0, &w->offset)) return false;
    if (after && *after && request_query(r, "offset")) {
        answer_problem(r, PROBLEM_invalid, "give either offset or after, not both");
        return false;
    }
    if (after && *after && !read_number(r, "after", 0, &last)) return false;
    if (last >= 0) w->offset = last < INT64_MAX ? last + 1 : last;
    w->gzip = w->stream && request_takes_gzip(r);
    w->limit = INT64_MAX;
    if (w->stream) return read_number(r, "limit", 1, &w->limit);
    if (!request_paging(r, &limit, &after)) return false;
    w->limit = limit;
    return true;
}

/* ---- the stream ---- */

struct download {
    struct request *request;
    struct schema_dataset *dataset;
    struct schema_rows *rows;
    struct schema_gzip *gzip; /* NULL: as it is */
    struct schema_text piece; /* what is sent now */
    size_t at;
    bool ended, failed;
};

static void download_free(void *context) {
    struct download *d = context;
    schema_rows_free(d->rows);
    schema_gzip_free(d->gzip);
    schema_dataset_free(d->dataset);
    free(d->piece.bytes);
    free(d);
}

/* The next piece, in the work pool. */
static void produce(struct request *r) {
    struct download *d = r->source;
    d->piece.size = d->at = 0;
    while (d->piece.size < STREAM_BLOCK && !d->ended && !d->failed) {
        const char *bytes = NULL;
        size_t size = 0;
        d->failed = schema_rows_next(d->rows, &bytes, &size) != 0 || schema_dataset_intact(d->dataset, NULL) != 0;
        d->ended = size == 0;
        if (!d->failed && d->gzip) d->failed = schema_gzip_add(d->gzip, bytes, size, &bytes, &size) != 0;
        if (!d->failed && size) schema_text_add(&d->piece, bytes, size);
        d->failed = d->failed || d->piece.failed;
    }
}

static ssize_t download_read(void *context, uint64_t position, char *out, size_t room) {
    struct download *d = context;
    (void)position;
    if (d->failed) return MHD_CONTENT_READER_END_WITH_ERROR;
    if (d->at == d->piece.size) {
        if (d->ended) return MHD_CONTENT_READER_END_OF_STREAM;
        return http_produce(d->request, produce) ? 0 : MHD_CONTENT_READER_END_WITH_ERROR;
    }
    const size_t n = d->piece.size - d->at < room ? d->piece.size - d->at : room;
    memcpy(out, d->piece.bytes + d->at, n);
    d->at += n;
    return (ssize_t)n;
}

/* Takes the dataset. */
static void stream(struct request *r, const struct requested *w, const struct store_dataset *row, struct schema_dataset *dataset,
                   const struct schema_rows_request *request) {
    char disposition[STORE_NAME_SIZE + 80];
    struct download *d = calloc(1, sizeof *d);
    if (!d) {
        schema_dataset_free(dataset);
        answer_problem(r, PROBLEM_overloaded, "no memory for the rows");
        return;
    }
    d->request = r;
    r->source = d;
    d->piece.limit = SIZE_MAX / 2;
    d->dataset = dataset;
    d->rows = schema_rows_new(dataset, request);
    d->gzip = w->gzip ? schema_gzip_new() : NULL;
    if (d->rows && (d->gzip || !w->gzip))
        r->stream = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, SEND_BLOCK, download_read, d, download_free);
    if (!r->stream) {
        download_free(d);
        answer_problem(r, PROBLEM_overloaded, "no memory for the rows");
        return;
    }
    snprintf(disposition, sizeof disposition, "attachment; filename=\"%s@%lld.%s\"", row->name, (long long)row->version, formats[w->format].name);
    answer_header(r, "Content-Disposition", disposition);
    answer_header(r, "Vary", "Accept, Accept-Encoding");
    if (w->gzip) answer_header(r, "Content-Encoding", "gzip");
    r->status = 200;
    r->content_type = formats[w->format].type;
}

/* ---- the page ---- */

static json_t *row_json(const struct schema_dataset *dataset, int64_t row, const struct schema_rows_request *request) {
    return request->columns ? schema_dataset_cells_json(dataset, row, request->columns, request->columns_count)
                            : schema_dataset_row_json(dataset, row);
}

/* Numbers and texts in a row. */
static int64_t row_size(const struct schema_dataset *dataset, const struct schema_rows_request *request) {
    int64_t size = 0;
    const int32_t columns = request->columns ? request->columns_count : dataset->columns_count;
    for (int32_t i = 0; i < columns; i++) {
        const struct schema_column *c = &dataset->columns[request->columns ? request->columns[i] : i];
        size += schema_type_of(c->type)->has_shape ? bp_shape_size(&c->shape) : 1;
    }
    return size;
}

static void page(struct request *r, const struct schema_dataset *dataset, const struct schema_rows_request *request) {
    char first[24], last[24];
    struct bp_error damage = {0};
    int64_t count = dataset->rows - request->first < request->count ? dataset->rows - request->first : request->count;
    const int64_t most = PAGE_NUMBERS / (row_size(dataset, request) + 1);
    if (count > most) count = most > 1 ? most : 1;
    if (request->first >= dataset->rows) count = 0;
    json_t *data = json_array();
    for (int64_t i = 0; i < count; i++) json_array_append_new(data, row_json(dataset, request->first + i, request));
    if (schema_dataset_intact(dataset, &damage) != 0) {
        json_decref(data);
        answer_error(r, &damage);
        return;
    }
    snprintf(first, sizeof first, "%lld", (long long)request->first);
    snprintf(last, sizeof last, "%lld", (long long)(request->first + count - 1));
    answer_header(r, "Vary", "Accept, Accept-Encoding");
    answer_json_exact(r, 200, list_json(data, count ? first : NULL, count ? last : NULL, request->first + count < dataset->rows));
}

static void rows(struct request *r) {
    char name[STORE_NAME_SIZE];
    int64_t version;
    struct requested requested = {0};
    struct store_dataset row = {0};
    struct schema_dataset *dataset = NULL;
    struct schema_problems problems = {0};
    struct bp_error error = {0};
    int32_t *columns = NULL;
    if (!read_requested(r, &requested) || !request_name(r, r->params[0], name, &version)) return;
    enum store_result result = dataset_open(r->server->store, name, version, &row, &dataset, &error);
    if (result != STORE_OK) {
        answer_no_dataset(r, result, &error, r->params[0]);
        return;
    }
    struct schema_rows_request request = {.format = requested.format, .first = requested.offset, .count = requested.limit};
    const char *text = request_query(r, "columns");
    if (text && schema_dataset_columns_parse(dataset, text, &columns, &request.columns_count, &problems) != 0) {
        answer_problems(r, &problems);
        schema_dataset_free(dataset);
    } else {
        request.columns = columns;
        if (requested.stream) {
            stream(r, &requested, &row, dataset, &request);
        } else {
            page(r, dataset, &request);
            schema_dataset_free(dataset);
        }
    }
    free(columns);
    store_dataset_free(&row);
}

const struct route route_list_rows = {
    .name = "list_rows",
    .method = "GET",
    .path = "/v1/datasets/{name}/rows",
    .scope = SCOPE_READ,
    .flags = ROUTE_SLOW,
    .query = "limit,after,offset,columns,format",
    .handle = rows,
};

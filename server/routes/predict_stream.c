/* predict_stream.c - see predict_stream.h. libmicrohttpd answers only when it has read the whole body, so the predictions of rows that arrive wait:
 * some of them in memory, more in a file without a name in the data folder, which is then sent by its descriptor. Memory is bounded whatever comes.
 */
#include "server/routes/predict_stream.h"

#include "schema/ingest/ingest.h"
#include "schema/memory.h"
#include "schema/predict/stream.h"
#include "server/http/answer.h"
#include "server/http/http.h"
#include "server/model_cache.h"
#include "server/routes/version_view.h"
#include "server/store/files.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum {
    IN_MEMORY = 1 << 20,   /* of an answer; what is longer goes to a file */
    DISK_LEAST = 64 << 20, /* free bytes that an answer leaves */
    DISK_LOOK = 16 << 20,  /* bytes written between two looks at the disk */
    WARNINGS_MAX = 4096    /* of the header X-Warnings */
};

struct prediction {
    struct server *server;
    struct loaded *loaded;
    struct schema_predictor *predictor;
    struct schema_rows_options options;
    json_t *thresholds, *coverage;
    struct schema_row_stream *stream;
    struct schema_problems problems;
    struct schema_text memory;  /* not in the file yet */
    int fd;                     /* -1: no file */
    int64_t written, looked;    /* bytes in the file; when the disk was looked at */
    char name[STORE_NAME_SIZE]; /* of the model */
    char head[STORE_NAME_SIZE + 80];
};

/* ---- where it waits -------------------------------------------------------------------------------------------------------------------------- */

/* A disk that others need is not filled. */
static int look_at_disk(struct prediction *p) {
    struct statvfs disk;
    if (p->written - p->looked < DISK_LOOK && p->looked) return 0;
    p->looked = p->written + 1;
    if (fstatvfs(p->fd, &disk) != 0 || (int64_t)disk.f_bavail * (int64_t)disk.f_frsize >= DISK_LEAST) return 0;
    return schema_problem_io(&p->problems,
                             "the predictions would leave less than %d MB on the disk of the data folder; free space on it, or send fewer "
                             "rows",
                             DISK_LEAST >> 20);
}

static int to_file(struct prediction *p) {
    struct bp_error error = {0};
    if (p->fd < 0 && (p->fd = scratch_file_new(p->server->store, &error)) < 0) return schema_problem_error(&p->problems, NULL, &error);
    if (look_at_disk(p) != 0) return -1;
    for (size_t at = 0; at < p->memory.size;) {
        const ssize_t n = write(p->fd, p->memory.bytes + at, p->memory.size - at);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0)
            return schema_problem_io(&p->problems, "the predictions cannot be written to the data folder: %s",
                                     n < 0 ? strerror(errno) : "nothing was taken");
        at += (size_t)n;
    }
    p->written += (int64_t)p->memory.size;
    p->memory.size = 0;
    return 0;
}

static bool take(void *context, bool failures, const char *bytes, size_t size) {
    struct prediction *p = context;
    const int64_t most = p->server->settings.predictions_max;
    (void)failures;
    if (p->written + (int64_t)(p->memory.size + size) > most) {
        p->problems.too_large = true;
        schema_problem_add(
            &p->problems, NULL,
            "the predictions take more than %lld MB (setting predictions_max); send fewer rows at a time, or store them as a dataset and "
            "use POST /v1/batches",
            (long long)(most >> 20));
        return false;
    }
    schema_text_add(&p->memory, bytes, size);
    if (p->memory.failed) schema_problem_no_memory(&p->problems);
    return !p->memory.failed && (p->memory.size <= IN_MEMORY || to_file(p) == 0);
}

/* ---- the request ----------------------------------------------------------------------------------------------------------------------------- */

static const struct {
    const char *type, *accepted[4];
} forms[] = {[SCHEMA_FORM_CSV] = {"text/csv; charset=utf-8; header=present", {"text/csv"}},
             [SCHEMA_FORM_NDJSON] = {"application/x-ndjson", {"application/x-ndjson", "application/jsonl", "application/ndjson"}},
             [SCHEMA_FORM_JSON] = {"application/json", {"application/json"}}};
enum { FORMS = sizeof forms / sizeof *forms };

/* The form that is accepted most, that of the rows where several are. False: answered. */
static bool read_form(struct request *r, enum schema_rows_form sent, enum schema_rows_form *form) {
    static const char *const text[] = {"text/*", "*/*", NULL}, *const application[] = {"application/*", "*/*", NULL};
    const char *accept = request_header(r, "Accept");
    double best = 0;
    *form = sent;
    if (!accept || !*accept) return true;
    for (int i = 0; i < FORMS; i++) {
        const int f = i == 0 ? (int)sent : i <= (int)sent ? i - 1 : i; /* that of the rows first */
        double weight = request_weight(accept, forms[f].accepted);
        if (weight == 0 && !request_names(accept, forms[f].accepted)) weight = request_weight(accept, f == SCHEMA_FORM_CSV ? text : application);
        if (weight > best) best = weight, *form = (enum schema_rows_form)f;
    }
    if (best > 0) return true;
    answer_problem(
        r, PROBLEM_not_acceptable,
        "Accept is \"%.100s\", but predictions of rows come as text/csv, application/x-ndjson or application/json; leave Accept out for the form "
        "of the rows",
        accept);
    return false;
}

/* False: answered. */
static bool read_options(struct request *r, struct prediction *p, const struct schema_format_ops *format) {
    struct schema_rows_options *o = &p->options;
    const char *strict = request_query(r, "strict"), *thresholds = request_query(r, "thresholds"), *coverage = request_query(r, "coverage");
    json_error_t where;
    const bool records = strcmp(format->entry.name, "ndjson") == 0;
    if (!read_form(r, records ? SCHEMA_FORM_NDJSON : SCHEMA_FORM_CSV, &o->form)) return false;
    o->keep = request_query(r, "keep");
    o->lenient = strict && (strcmp(strict, "false") == 0 || strcmp(strict, "0") == 0);
    o->encoding = request_header(r, "Content-Encoding");
    o->rows_max = r->server->settings.rows_max, o->decoded_max = r->server->settings.upload_max;
    o->writer = (struct schema_rows_writer){take, p};
    o->head = p->head;
    if (strict && !o->lenient && strcmp(strict, "true") != 0 && strcmp(strict, "1") != 0)
        schema_problem_add(&p->problems, NULL, "strict must be true or false, got \"%.40s\"", strict);
    if (records && (request_query(r, "separator") || request_query(r, "decimal") || request_query(r, "quote") || request_query(r, "header")))
        schema_problem_add(&p->problems, NULL, "separator, decimal, quote and header are for text/csv; the body is %s", format->content_type);
    schema_csv_dialect_parse(request_query(r, "separator"), request_query(r, "decimal"), request_query(r, "quote"), request_query(r, "header"),
                             &o->csv, &p->problems);
    if (thresholds &&
        !(o->thresholds = p->thresholds = schema_json_load(thresholds, strlen(thresholds), JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &where)))
        schema_problem_add(&p->problems, NULL, "thresholds is a number such as 0.3, or numbers by label as {\"red\":0.3}, got \"%.60s\"", thresholds);
    if (coverage && !(o->coverage = p->coverage = schema_json_load(coverage, strlen(coverage), JSON_DECODE_ANY, &where)))
        schema_problem_add(&p->problems, NULL, "coverage is a share of rows between 0 and 1, such as 0.9, got \"%.40s\"", coverage);
    if (!p->problems.total) return true;
    answer_problems(r, &p->problems);
    return false;
}

static void release(void *sink) {
    struct prediction *p = sink;
    schema_row_stream_close(p->stream);
    if (p->predictor) loaded_give(p->loaded, p->predictor);
    if (p->loaded) model_cache_release(p->server->model_cache, p->loaded);
    if (p->fd >= 0) close(p->fd);
    schema_problems_clear(&p->problems);
    json_decref(p->thresholds);
    json_decref(p->coverage);
    free(p->memory.bytes);
    free(p);
}

/* The model and a stream of rows through it. False: answered. */
static bool open_stream(struct request *r, struct prediction *p) {
    char name[STORE_NAME_SIZE], reference[STORE_NAME_SIZE];
    struct bp_error error = {0};
    const struct schema_format_ops *format = schema_format_for(request_header(r, "Content-Type"));
    if (!(r->params[1][0] ? request_version(r, name, reference) : request_model(r, r->params[0], name, reference))) return false;
    if (!read_options(r, p, format)) return false;
    const enum store_result result = model_cache_get(r->server->model_cache, name, reference, &p->loaded, &error);
    if (result != STORE_OK) {
        answer_no_version(r, result, &error, name, reference);
        return false;
    }
    snprintf(p->head, sizeof p->head, "\"model\":\"%s\",\"version\":%lld,", name, (long long)loaded_version(p->loaded));
    snprintf(p->name, sizeof p->name, "%s", name);
    if ((p->predictor = loaded_take(p->loaded, &error)) && r->server->drift) schema_predictor_observe(p->predictor);
    if (!p->predictor) answer_error(r, &error);
    else if (!(p->stream = schema_row_stream_open(p->predictor, format, &p->options, &p->problems))) answer_problems(r, &p->problems);
    return p->stream != NULL;
}

static bool begin(struct request *r) {
    struct prediction *p = calloc(1, sizeof *p);
    if (!p) {
        answer_problem(r, PROBLEM_overloaded, "no memory for the predictions");
        return false;
    }
    p->server = r->server;
    p->fd = -1;
    p->memory.limit = 1 << 30;
    if (open_stream(r, p)) {
        r->sink = p;
        return true;
    }
    release(p);
    return false;
}

static void feed(struct request *r, const char *bytes, size_t size) {
    struct prediction *p = r->sink;
    schema_memory_begin();
    if (p->problems.total) return;
    if (schema_row_stream_feed(p->stream, bytes, size, &p->problems) != 0 && !p->problems.total) schema_problem_no_memory(&p->problems);
    else if (schema_memory_failed() && !p->problems.total) schema_problem_no_memory(&p->problems);
}

static int64_t memory(const void *sink) {
    const struct prediction *p = sink;
    return schema_row_stream_memory(p->stream) + (int64_t)(p->memory.capacity + schema_predictor_bytes(p->predictor));
}

static bool takes(const char *type) {
    const struct schema_format_ops *format = schema_format_for(type);
    const char *name = format ? format->entry.name : "";
    return strcmp(name, "csv") == 0 || strcmp(name, "tsv") == 0 || strcmp(name, "ndjson") == 0;
}

const struct body_sink predict_stream_sink = {
    .takes = takes, .types = ", text/csv or application/x-ndjson", .begin = begin, .feed = feed, .memory = memory, .free = release};

/* ---- the answer -------------------------------------------------------------------------------------------------------------------------------- */

struct warnings {
    json_t *list;
    size_t size;
};

static void add_warning(void *context, const char *warning) {
    struct warnings *w = context;
    json_t *text = json_string(warning);
    const size_t size = json_dumpb(text, NULL, 0, JSON_ENSURE_ASCII | JSON_ENCODE_ANY) + 1;
    if (w->size + size <= WARNINGS_MAX) {
        w->size += size;
        json_array_append(w->list, text);
    }
    json_decref(text);
}

static void add_headers(struct request *r, const struct prediction *p) {
    char text[32];
    struct schema_rows_counts counts;
    struct warnings warnings = {json_array(), 0};
    schema_row_stream_counts(p->stream, &counts);
    snprintf(text, sizeof text, "%lld", (long long)(counts.good + counts.failed));
    answer_header(r, "X-Rows", text);
    snprintf(text, sizeof text, "%lld", (long long)counts.failed);
    answer_header(r, "X-Failed-Rows", text);
    snprintf(text, sizeof text, "%lld", (long long)loaded_version(p->loaded));
    answer_header(r, "X-Model-Version", text);
    schema_predict_warnings(p->predictor, add_warning, &warnings);
    char *list = json_array_size(warnings.list) ? schema_json_dump(warnings.list, JSON_COMPACT | JSON_ENSURE_ASCII) : NULL;
    if (list) answer_header(r, "X-Warnings", list);
    answer_header(r, "Vary", "Accept");
    free(list);
    json_decref(warnings.list);
}

void predict_stream_answer(struct request *r) {
    struct prediction *p = r->sink;
    const bool good = !p->problems.total && schema_row_stream_finish(p->stream, &p->problems) == 0 && (p->fd < 0 || to_file(p) == 0);
    if (good) predict_count(r->server, p->name, p->loaded, p->predictor);
    if (!good || p->problems.total) {
        if (!p->problems.total) schema_problem_no_memory(&p->problems);
        answer_problems(r, &p->problems);
        return;
    }
    add_headers(r, p);
    if (p->fd < 0) {
        schema_text_string(&p->memory, "");
        answer_bytes(r, 200, forms[p->options.form].type, p->memory.bytes, p->memory.size);
        p->memory = (struct schema_text){.limit = p->memory.limit};
        return;
    }
    r->stream = MHD_create_response_from_fd64((uint64_t)p->written, p->fd);
    if (!r->stream) {
        answer_problem(r, PROBLEM_overloaded, "no memory for the answer");
        return;
    }
    p->fd = -1; /* the response closes it */
    r->status = 200;
    r->content_type = forms[p->options.form].type;
}

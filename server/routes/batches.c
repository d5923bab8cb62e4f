/* batches.c - POST|GET /v1/batches, GET /v1/batches/{id}, .../result, .../failures: a stored dataset through a version, as a durable job. What
 * changes a job (cancel, pause, resume, priority, delete) is in job_actions.c: a batch is a job of the kind predict. */
#include "schema/json/values.h"
#include "schema/predict/batch.h"
#include "server/model_cache.h"
#include "server/routes/job_query.h"
#include "server/routes/job_view.h"
#include "server/routes/rows_job.h"
#include "server/routes/rows_source.h"
#include "server/routes/version_view.h"
#include "server/store/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { THREADS_MAX = 64, THREADS_USUAL = 4 /* at most, of a batch that does not ask for some */ };

/* ---- submitting ------------------------------------------------------------------------------------------------------------------------------ */

struct batch_request {
    struct request *request;
    const json_t *body;
    struct schema_problems problems;
    struct store_job job;
    struct store_dataset row;
    struct schema_dataset *dataset;
    struct loaded *loaded;
    struct schema_rows_options options;
    struct schema_text keep; /* names as schema_rows_options.keep has them */
    json_t *columns;         /* of an array, NULL: it is none */
    int64_t threads;
};

/* "keep" is a word, or names of columns. */
static void decode_keep(struct batch_request *b) {
    const json_t *keep = json_object_get(b->body, "keep"), *name;
    size_t i;
    char got[80];
    b->keep.limit = 16 << 20;
    if (!keep || json_is_null(keep)) return;
    if (json_is_string(keep) && (strcmp(json_string_value(keep), "extra") == 0 || strcmp(json_string_value(keep), "all") == 0 ||
                                 strcmp(json_string_value(keep), "none") == 0)) {
        b->options.keep = json_string_value(keep);
        return;
    }
    if (!json_is_array(keep)) {
        schema_problem_add(&b->problems, "/keep",
                           "keep is \"extra\" (columns that the model does not use), \"all\", \"none\" or a list of columns, got %s",
                           schema_json_text(keep, got, sizeof got));
        return;
    }
    json_array_foreach((json_t *)(uintptr_t)keep, i, name) {
        if (!json_is_string(name))
            schema_problem_add(&b->problems, "/keep", "keep lists names of columns, got %s", schema_json_text(name, got, sizeof got));
        if (i) schema_text_add(&b->keep, ",", 1);
        schema_text_add(&b->keep, "\"", 1);
        for (const char *c = json_is_string(name) ? json_string_value(name) : ""; *c; c++) {
            if (*c == '"') schema_text_add(&b->keep, "\"", 1);
            schema_text_add(&b->keep, c, 1);
        }
        schema_text_add(&b->keep, "\"", 1);
    }
    b->options.keep = json_array_size(keep) ? b->keep.bytes ? b->keep.bytes : "" : "none";
}

/* Threads change no byte of the result, so the processors of the machine decide when nobody else does. */
static void decode_threads(struct batch_request *b) {
    const json_t *threads = json_object_get(b->body, "threads");
    const long cores = sysconf(_SC_NPROCESSORS_ONLN);
    char got[80];
    b->threads = cores > THREADS_USUAL ? THREADS_USUAL : cores < 1 ? 1 : cores;
    if (!threads || json_is_null(threads)) return;
    b->threads = json_integer_value(threads);
    if (b->threads < 1 || b->threads > THREADS_MAX)
        schema_problem_add(&b->problems, "/threads", "threads must be an integer of at least 1 and at most %d, got %s", THREADS_MAX,
                           schema_json_text(threads, got, sizeof got));
}

static void decode(struct batch_request *b) {
    static const char *const known[] = {"coverage", "dataset", "format",  "keep",       "metadata", "model",
                                        "priority", "strict",  "threads", "thresholds", NULL};
    static const struct bp_entry entry = {.name = "a batch"};
    const json_t *format = json_object_get(b->body, "format"), *strict = json_object_get(b->body, "strict"),
                 *dataset = json_object_get(b->body, "dataset");
    const char *form = json_is_string(format) ? json_string_value(format) : format && !json_is_null(format) ? "" : "csv";
    struct bp_value none[1];
    char got[80];
    schema_values_decode(b->body, "", &entry, &(struct schema_names){.list = known}, none, &b->problems);
    b->options = (struct schema_rows_options){.apart = true,
                                              .lenient = json_is_false(strict),
                                              .thresholds = json_object_get(b->body, "thresholds"),
                                              .coverage = json_object_get(b->body, "coverage")};
    if (json_is_null(b->options.thresholds)) b->options.thresholds = NULL;
    if (json_is_null(b->options.coverage)) b->options.coverage = NULL;
    const int named = schema_rows_form_of(form);
    if (named >= 0 && named != SCHEMA_FORM_JSON) b->options.form = (enum schema_rows_form)named;
    else schema_problem_add(&b->problems, "/format", "format is \"csv\", \"ndjson\" or \"npy\", got %s", schema_json_text(format, got, sizeof got));
    if (strict && !json_is_boolean(strict))
        schema_problem_add(&b->problems, "/strict", "strict must be true or false, got %s", schema_json_text(strict, got, sizeof got));
    decode_keep(b);
    decode_threads(b);
    if (json_is_string(dataset)) rows_stored(b->request->server->store, json_string_value(dataset), "/dataset", &b->row, &b->dataset, &b->problems);
    else
        schema_problem_add(&b->problems, "/dataset",
                           "dataset is the name of a stored dataset, \"penguins\" or \"penguins@2\", got %s; rows themselves are "
                           "sent to POST /v1/models/{model}/predict",
                           dataset ? schema_json_text(dataset, got, sizeof got) : "nothing");
    rows_job_model(b->request, json_object_get(b->body, "model"), "/model", b->job.model, &b->job.reads_version, &b->problems);
}

/* Everything that the job would find wrong. */
static void check(struct batch_request *b) {
    struct bp_error error = {0};
    char reference[24];
    snprintf(reference, sizeof reference, "%lld", (long long)b->job.reads_version);
    if (model_cache_get(b->request->server->model_cache, b->job.model, reference, &b->loaded, &error) != STORE_OK) {
        schema_problem_error(&b->problems, "/model", &error);
        return;
    }
    struct schema_batch *batch = schema_batch_open(loaded_model(b->loaded), b->dataset, &b->options, &b->problems);
    b->columns = batch ? schema_batch_columns(batch) : NULL;
    if (batch && !b->columns && b->options.form == SCHEMA_FORM_NPY) schema_problem_no_memory(&b->problems);
    schema_batch_close(batch);
}

static void submit(struct batch_request *b) {
    const char *form = schema_rows_form_name(b->options.form);
    const json_t *keep = json_object_get(b->body, "keep"), *thresholds = b->options.thresholds;
    json_t *spec =
        json_pack("{s:s, s:b, s:s?, s:I}", "format", form, "strict", !b->options.lenient, "keep", b->options.keep, "threads", (json_int_t)b->threads);
    json_t *view = json_pack("{s:s, s:b, s:I}", "format", form, "strict", !b->options.lenient, "threads", (json_int_t)b->threads);
    json_object_set_new(view, "keep", b->columns ? json_string("none") : keep && !json_is_null(keep) ? json_deep_copy(keep) : json_string("extra"));
    json_object_set_new(view, "thresholds", thresholds ? json_deep_copy(thresholds) : json_null());
    json_object_set_new(view, "coverage", b->options.coverage ? json_deep_copy(b->options.coverage) : json_null());
    if (b->columns) json_object_set(view, "columns", b->columns);
    if (thresholds) json_object_set_new(spec, "thresholds", json_deep_copy(thresholds));
    if (b->options.coverage) json_object_set_new(spec, "coverage", json_deep_copy(b->options.coverage));
    rows_job_calibration(spec, "calibration", loaded_model(b->loaded));
    b->job.kind = STORE_PREDICT;
    snprintf(b->job.dataset, sizeof b->job.dataset, "%s", b->row.name);
    b->job.dataset_version = b->row.version;
    if (asprintf(&b->job.progress,
                 "{\"rows\":0,\"rows_total\":%lld,\"failed_rows\":0,\"fraction\":0.0,\"rows_per_second\":null,\"eta_seconds\":null}",
                 (long long)b->dataset->rows) < 0)
        b->job.progress = NULL;
    rows_job_submit(b->request, &b->job, b->body, spec, view, "/v1/batches/", &b->problems);
}

static void create(struct request *r) {
    struct batch_request b = {.request = r};
    json_t *body = request_json(r);
    if (!body) return;
    b.body = body;
    decode(&b);
    if (!b.problems.total) check(&b);
    if (b.problems.total) answer_problems(r, &b.problems);
    else submit(&b);
    schema_problems_clear(&b.problems);
    if (b.loaded) model_cache_release(r->server->model_cache, b.loaded);
    schema_dataset_free(b.dataset);
    store_dataset_free(&b.row);
    free(b.keep.bytes);
    json_decref(b.columns);
    json_decref(body);
}

/* ---- reading -------------------------------------------------------------------------------------------------------------------------------------
 */

/* The batch of the path, the caller's. False: answered. */
static bool find(struct request *r, struct store_job *job) {
    struct bp_error error = {0};
    enum store_result result = store_job_get(r->server->store, r->params[0], job, &error);
    if (result == STORE_OK && job->kind == STORE_PREDICT) return true;
    if (result == STORE_OK) {
        answer_problem(r, PROBLEM_not_found, "job %s trains or evaluates; it is at /v1/jobs/%s", job->id, job->id);
        store_job_free(job);
    } else {
        answer_store(r, result, &error, "batch \"%.60s\"", r->params[0]);
    }
    return false;
}

static void get(struct request *r) {
    struct store_job job = {0};
    if (!find(r, &job)) return;
    answer_json(r, 200, job_json(r->server, &job));
    store_job_free(&job);
}

static void list(struct request *r) {
    static const enum store_kind kind = STORE_PREDICT;
    answer_jobs(r, &kind, "batches");
}

/* ---- downloading ---------------------------------------------------------------------------------------------------------------------------------
 */

/* What is asked for of a file: all of it, a part, or what lies behind its end. */
enum span { SPAN_WHOLE, SPAN_PART, SPAN_BEYOND };

/* "FIRST-", "FIRST-LAST" or "-COUNT", one range; anything else is ignored, and all is sent (RFC 9110, 14.1.2 and 14.2). */
static enum span parse_range(const char *range, int64_t size, int64_t *first, int64_t *last) {
    char *end;
    const bool suffix = *range == '-';
    const char *digits = suffix ? range + 1 : range;
    const long long number = strtoll(digits, &end, 10);
    if (*digits < '0' || *digits > '9' || *end != (suffix ? '\0' : '-')) return SPAN_WHOLE;
    *last = size - 1;
    if (suffix) {
        *first = number < size ? size - number : 0;
        return number == 0 ? SPAN_BEYOND : size > 0 ? SPAN_PART : SPAN_WHOLE;
    }
    *first = number;
    if (end[1]) {
        digits = end + 1;
        const long long given = strtoll(digits, &end, 10);
        if (*digits < '0' || *digits > '9' || *end || given < number) return SPAN_WHOLE;
        if (given < *last) *last = given;
    }
    return number < size ? SPAN_PART : SPAN_BEYOND;
}

static enum span read_range(const struct request *r, const char *tag, int64_t size, int64_t *first, int64_t *last) {
    const char *range = request_header(r, "Range"), *condition = request_header(r, "If-Range");
    char quoted[80];
    snprintf(quoted, sizeof quoted, "\"%.70s\"", tag);
    const bool asked = range && strncmp(range, "bytes=", 6) == 0 && (!condition || strcmp(condition, quoted) == 0);
    const enum span span = asked ? parse_range(range + 6, size, first, last) : SPAN_WHOLE;
    if (span == SPAN_WHOLE) *first = 0, *last = size - 1;
    return span;
}

static const char *const content_types[] = {[SCHEMA_FORM_CSV] = "text/csv; charset=utf-8; header=present",
                                            [SCHEMA_FORM_NDJSON] = "application/x-ndjson",
                                            [SCHEMA_FORM_NPY] = "application/x-npy"};

/* Of a file of a batch with that format; failed rows of an array are in CSV. */
static enum schema_rows_form form_of(const char *format, enum store_part which) {
    const int form = format ? schema_rows_form_of(format) : SCHEMA_FORM_CSV;
    return form < 0 || (form == SCHEMA_FORM_NPY && which == STORE_FAILURES) ? SCHEMA_FORM_CSV : (enum schema_rows_form)form;
}

static void send_part(struct request *r, const struct store_job *job, const struct store_part_file *part, const char *what,
                      enum schema_rows_form form) {
    char tag[60], text[100];
    struct stat info;
    int64_t first = 0, last = part->bytes - 1;
    snprintf(tag, sizeof tag, "%s-%lld-%08llx", what, (long long)part->bytes, (unsigned long long)part->crc);
    if (answered_unchanged(r, tag)) return;
    const enum span span = read_range(r, tag, part->bytes, &first, &last);
    if (span == SPAN_BEYOND) {
        snprintf(text, sizeof text, "bytes */%lld", (long long)part->bytes);
        answer_header(r, "Content-Range", text);
        answer_problem(r, PROBLEM_range_not_satisfiable,
                       "the file of the %s has %lld bytes, and the range begins behind them: there is nothing left to send", what,
                       (long long)part->bytes);
        return;
    }
    const int fd = result_file_open(r->server->store, part->file, false);
    if (fd < 0 || fstat(fd, &info) != 0 || info.st_size < part->bytes) {
        if (fd >= 0) close(fd);
        answer_problem(r, PROBLEM_damaged, "the file of the %s is missing or shorter than it was; submit the batch again", what);
        return;
    }
    r->stream = MHD_create_response_from_fd_at_offset64((uint64_t)(last - first + 1), fd, (uint64_t)first);
    if (!r->stream) {
        close(fd);
        answer_problem(r, PROBLEM_overloaded, "no memory for the answer");
        return;
    }
    snprintf(text, sizeof text, "bytes %lld-%lld/%lld", (long long)first, (long long)last, (long long)part->bytes);
    if (span == SPAN_PART) answer_header(r, "Content-Range", text);
    snprintf(text, sizeof text, "attachment; filename=\"%s-%s.%s\"", job->id, what, schema_rows_form_name(form));
    answer_header(r, "Content-Disposition", text);
    answer_header(r, "Accept-Ranges", "bytes");
    r->status = span == SPAN_PART ? 206 : 200;
    r->content_type = content_types[form];
}

static void download(struct request *r, enum store_part which) {
    struct store_job job = {0};
    struct store_results results = {0};
    struct bp_error error = {0};
    if (!find(r, &job)) return;
    json_t *view = document_json(job.view);
    const char *format = json_string_value(json_object_get(view, "format"));
    if (job.status != STORE_SUCCEEDED) {
        answer_problem(r, PROBLEM_conflict,
                       store_status_final(job.status) ? "batch %s is %s: it has no results"
                                                      : "batch %s is %s: its results are there when it has succeeded",
                       job.id, store_status_name(job.status));
    } else {
        const enum store_result result = store_results_get(r->server->store, job.id, &results, &error);
        if (result == STORE_OK)
            send_part(r, &job, &results.parts[which], which == STORE_PREDICTIONS ? "predictions" : "failures", form_of(format, which));
        else answer_store(r, result, &error, "results of batch \"%s\"", job.id);
        store_results_free(&results);
    }
    json_decref(view);
    store_job_free(&job);
}

static void result(struct request *r) {
    download(r, STORE_PREDICTIONS);
}

static void failures(struct request *r) {
    download(r, STORE_FAILURES);
}

const struct route route_create_batch = {
    .name = "create_batch",
    .method = "POST",
    .path = "/v1/batches",
    .scope = SCOPE_TRAIN,
    .body = ROUTE_JSON,
    .flags = ROUTE_SLOW | ROUTE_IDEMPOTENT_KEY,
    .handle = create,
};
const struct route route_get_batch = {
    .name = "get_batch",
    .method = "GET",
    .path = "/v1/batches/{id}",
    .scope = SCOPE_READ,
    .flags = ROUTE_SLOW,
    .handle = get,
};
const struct route route_get_batch_failures = {
    .name = "get_batch_failures",
    .method = "GET",
    .path = "/v1/batches/{id}/failures",
    .scope = SCOPE_READ,
    .flags = ROUTE_SLOW,
    .handle = failures,
};
const struct route route_get_batch_result = {
    .name = "get_batch_result",
    .method = "GET",
    .path = "/v1/batches/{id}/result",
    .scope = SCOPE_READ,
    .flags = ROUTE_SLOW,
    .handle = result,
};
const struct route route_list_batches = {
    .name = "list_batches",
    .method = "GET",
    .path = "/v1/batches",
    .scope = SCOPE_READ,
    .flags = ROUTE_SLOW,
    .query = "status,model,dataset,limit,after,metadata.*",
    .handle = list,
};

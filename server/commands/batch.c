/* batch.c - `backpropd batch`: any number of rows through a model. Of a file, in this process, as they are read, with bounded memory; or of a stored
 * dataset, as a job of a server, whose results are downloaded piece by piece. Failed rows go apart. */
#include "server/commands/commands.h"

#include "engine/kernels/kernels.h"
#include "schema/ingest/inspect.h"
#include "schema/json/values.h"
#include "schema/memory.h"
#include "schema/predict/batch.h"
#include "server/clock.h"
#include "server/commands/local_data.h"
#include "server/commands/models_io.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    MODEL,
    DATA,
    OUT,
    FAILURES,
    FORMAT,
    KEEP,
    THRESHOLDS,
    COVERAGE,
    URL,
    KEY_FILE,
    CA_FILE,
    DATASET,
    PRIORITY,
    JSON,
    LENIENT,
    DETACH,
    FLAGS_COUNT
};
static const char *const names[] = {"model",    "data", "out",          "failures", "format",  "keep",     "thresholds",
                                    "coverage", "url",  "api-key-file", "ca-file",  "dataset", "priority", NULL};
static const char *const switches[] = {"json", "lenient", "detach", NULL};
enum { PIECE = 1 << 20, DOWNLOAD = 8 << 20, POLL_MS = 200 };

static volatile sig_atomic_t interrupted;

static void on_signal(int number) {
    (void)number;
    interrupted = 1;
}

static void catch_signals(void) {
    const struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

/* ---- progress -------------------------------------------------------------------------------------------------------------------------------- */

struct progress {
    double shown;
    bool drawn;
};

/* On a terminal only. share: of the whole, negative where that is not known. */
static void bar(struct progress *p, double share, int64_t rows, double rate, bool final) {
    char text[31];
    const double now = clock_seconds();
    if (!isatty(STDERR_FILENO) || (!final && now < p->shown + 0.1) || (final && !p->drawn)) return;
    p->shown = now;
    p->drawn = true;
    for (int i = 0; i < 30; i++) text[i] = i < (int)(share * 30 + 0.5) ? '#' : '.';
    text[30] = '\0';
    fprintf(stderr, "\r%lld rows", (long long)rows);
    if (share >= 0) fprintf(stderr, " [%s] %3.0f %%", text, 100 * share);
    fprintf(stderr, "  %.0f rows/s   %s", rate, final ? "\n" : "");
}

/* ---- files written ------------------------------------------------------------------------------------------------------------------------------
 */

/* A file under a temporary name, which becomes its own at the end; "-" or none: standard output. */
struct output {
    const char *path;
    FILE *file;
    char temporary[4200];
};

static bool is_standard(const char *path) {
    return !path || strcmp(path, "-") == 0;
}

static int output_open(struct output *o, const char *path) {
    struct stat info;
    o->path = path;
    o->temporary[0] = '\0';
    if (is_standard(path)) o->file = stdout;
    else if (stat(path, &info) == 0 && !S_ISREG(info.st_mode)) o->file = fopen(path, "we"); /* a pipe, a device */
    else {
        snprintf(o->temporary, sizeof o->temporary, "%.4100s.%ld.tmp", path, (long)getpid());
        o->file = fopen(o->temporary, "we");
    }
    if (o->file) return 0;
    o->temporary[0] = '\0';
    return fprintf(stderr, "backpropd batch: cannot write %s: %s\n", path, strerror(errno)), -1;
}

/* keep: under its own name. -1 with a message. */
static int output_close(struct output *o, bool keep) {
    if (!o->file) return 0;
    bool failed = fflush(o->file) != 0 || ferror(o->file);
    int cause = errno;
    if (o->file != stdout && fclose(o->file) != 0 && !failed) failed = true, cause = errno;
    o->file = NULL;
    if (keep && !failed && o->temporary[0] && rename(o->temporary, o->path) != 0) failed = true, cause = errno;
    if (o->temporary[0] && (!keep || failed)) unlink(o->temporary);
    if (!failed || !keep) return 0;
    return fprintf(stderr, "backpropd batch: cannot write %s: %s\n", is_standard(o->path) ? "standard output" : o->path, strerror(cause)), -1;
}

/* ---- a file -------------------------------------------------------------------------------------------------------------------------------------
 */

struct rows {
    const char **v;
    struct schema_model *model;
    struct schema_predictor *predictor;
    struct schema_rows_options options;
    json_t *thresholds, *coverage;
    struct output outputs[2]; /* predictions, failures */
    struct progress progress;
    struct schema_rows_counts counts;
    double started;
};

static bool write_rows(void *context, bool failures, const char *bytes, size_t size) {
    struct rows *w = context;
    FILE *file = w->outputs[failures].file;
    if (!file || fwrite(bytes, 1, size, file) == size) return true;
    fprintf(stderr, "backpropd batch: cannot write the %s: %s\n", failures ? "failed rows" : "predictions", strerror(errno));
    return false;
}

static void say(void *context, const char *warning) {
    (void)context;
    fprintf(stderr, "backpropd batch: warning: %s\n", warning);
}

static int64_t size_of(FILE *in) {
    struct stat info;
    return fstat(fileno(in), &info) == 0 && S_ISREG(info.st_mode) ? (int64_t)info.st_size : 0;
}

static void show(struct rows *w, double share, bool final) {
    const double elapsed = clock_seconds() - w->started;
    bar(&w->progress, share, w->counts.good + w->counts.failed, elapsed > 0 ? (double)(w->counts.good + w->counts.failed) / elapsed : 0, final);
}

/* Text of rows: predicted as it is read. */
static int stream(struct rows *w, FILE *in, const char *type, char *piece, size_t n, struct schema_problems *problems) {
    const int64_t size = size_of(in);
    struct bp_error error = {0};
    int64_t read = 0;
    if (!(w->predictor = schema_predictor_new(w->model, &error))) return schema_problem_error(problems, NULL, &error);
    struct schema_row_stream *stream = schema_row_stream_open(w->predictor, schema_format_for(type), &w->options, problems);
    int failed = stream ? 0 : -1;
    for (; !failed && n > 0; n = fread(piece, 1, PIECE, in)) {
        failed = interrupted ? -1 : schema_row_stream_feed(stream, piece, n, problems);
        schema_row_stream_counts(stream, &w->counts);
        read += (int64_t)n;
        show(w, size > 0 ? (double)read / (double)size : -1, false);
    }
    if (interrupted) failed = -1;
    if (!failed && ferror(in)) failed = schema_problem_add(problems, NULL, "cannot be read: %s", strerror(errno));
    if (!failed) failed = schema_row_stream_finish(stream, problems);
    if (stream) schema_row_stream_counts(stream, &w->counts);
    if (!failed) show(w, 1, true);
    if (!failed) schema_predict_warnings(w->predictor, say, NULL);
    schema_row_stream_close(stream);
    schema_predictor_free(w->predictor);
    return failed;
}

/* Other formats: as a dataset in a temporary file, block by block. */
static int blocks(struct rows *w, struct schema_problems *problems) {
    struct bp_error error = {0};
    struct schema_batch_place place = {0};
    struct schema_dataset *dataset = local_rows("batch", w->model, w->v[DATA]);
    if (!dataset) return -1;
    struct schema_batch *batch = schema_batch_open(w->model, dataset, &w->options, problems);
    int failed = batch ? 0 : -1;
    while (!failed && place.row < dataset->rows) {
        failed = interrupted ? -1 : schema_batch_next(batch, &error);
        schema_batch_place(batch, &place);
        w->counts = (struct schema_rows_counts){place.good, place.failed};
        show(w, (double)place.row / (double)dataset->rows, false);
    }
    if (!failed) failed = schema_batch_write(batch, &error);
    if (error.message[0]) schema_problem_error(problems, NULL, &error);
    if (!failed) show(w, 1, true);
    if (!failed) schema_batch_warnings(batch, say, NULL);
    schema_batch_close(batch);
    schema_dataset_free(dataset);
    return failed;
}

static int run_file(struct rows *w) {
    const char *path = w->v[DATA];
    const bool standard = strcmp(path, "-") == 0;
    struct schema_problems problems = {0};
    FILE *in = standard ? stdin : fopen(path, "re");
    if (!in) return fprintf(stderr, "backpropd batch: cannot read %s: %s\n", path, strerror(errno)), -1;
    char *piece = malloc(PIECE);
    const size_t n = piece ? fread(piece, 1, PIECE, in) : 0;
    const char *type = piece ? local_type(path, piece, n, &w->options.encoding, &problems) : NULL;
    int failed = type ? 0 : -1;
    if (!failed) {
        const char *name = schema_format_for(type)->entry.name;
        const bool text = strcmp(name, "csv") == 0 || strcmp(name, "tsv") == 0 || strcmp(name, "ndjson") == 0;
        if (!w->v[FORMAT]) w->options.form = strcmp(name, "ndjson") == 0 ? SCHEMA_FORM_NDJSON : SCHEMA_FORM_CSV;
        if (text) failed = stream(w, in, type, piece, n, &problems);
        else if (standard)
            failed = schema_problem_add(&problems, NULL, "%s is read from a file, not from standard input; CSV and JSON lines are", name);
        else failed = blocks(w, &problems);
    }
    if (problems.total) local_problems("batch", standard ? "standard input" : path, &problems);
    if (!standard) fclose(in);
    free(piece);
    return failed;
}

/* A flag as JSON. NULL without it; *failed: it is none. */
static json_t *json_flag(const char *flag, const char *text, const char *words, int *failed) {
    json_t *json = text ? schema_json_load(text, strlen(text), JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, NULL) : NULL;
    if (text && !json) *failed = fprintf(stderr, "backpropd batch: --%s is %s, got %s\n", flag, words, text);
    return json;
}

static int over_file(const char **v, int form) {
    struct rows w = {.v = v, .started = clock_seconds()};
    int failed = 0;
    w.options = (struct schema_rows_options){.form = (enum schema_rows_form)form,
                                             .apart = v[FAILURES] != NULL,
                                             .keep = v[KEEP],
                                             .lenient = v[LENIENT] != NULL,
                                             .head = "",
                                             .writer = {write_rows, &w}};
    w.options.thresholds = w.thresholds = json_flag("thresholds", v[THRESHOLDS], "a number, or numbers by label as {\"red\":0.3}", &failed);
    w.options.coverage = w.coverage = json_flag("coverage", v[COVERAGE], "a share of rows between 0 and 1, such as 0.9", &failed);
    catch_signals();
    bp_engine_start();
    bp_flush_denormals();
    if (!failed && !(w.model = local_model("batch", v[MODEL]))) failed = -1;
    if (!failed) failed = output_open(&w.outputs[0], v[OUT]);
    if (!failed && v[FAILURES]) failed = output_open(&w.outputs[1], v[FAILURES]);
    if (!failed) failed = run_file(&w);
    for (int k = 0; k < 2; k++)
        if (output_close(&w.outputs[k], !failed) != 0) failed = -1;
    if (!failed && v[JSON])
        fprintf(is_standard(v[OUT]) ? stderr : stdout, "{\"rows\":%lld,\"failed_rows\":%lld,\"seconds\":%.3f}\n",
                (long long)(w.counts.good + w.counts.failed), (long long)w.counts.failed, clock_seconds() - w.started);
    else if (!failed && w.counts.failed)
        fprintf(stderr, "backpropd batch: %lld of %lld rows have no prediction%s\n", (long long)w.counts.failed,
                (long long)(w.counts.good + w.counts.failed), v[FAILURES] ? "" : "; their reasons are in their places");
    schema_model_free(w.model);
    json_decref(w.thresholds);
    json_decref(w.coverage);
    if (interrupted) fprintf(stderr, "interrupted; nothing was written under the names given\n");
    return interrupted ? 130 : failed ? 1 : 0;
}

/* ---- a stored dataset
 * ------------------------------------------------------------------------------------------------------------------------------ */

/* The body of POST /v1/batches. NULL: a message was printed. */
static json_t *request_of(const char **v) {
    int failed = 0;
    json_t *body = json_pack("{s:s, s:s, s:b}", "model", v[MODEL], "dataset", v[DATASET], "strict", !v[LENIENT]);
    json_t *thresholds = json_flag("thresholds", v[THRESHOLDS], "a number, or numbers by label as {\"red\":0.3}", &failed),
           *coverage = json_flag("coverage", v[COVERAGE], "a share of rows between 0 and 1, such as 0.9", &failed),
           *priority = json_flag("priority", v[PRIORITY], "a whole number", &failed);
    if (v[FORMAT]) json_object_set_new(body, "format", json_string(v[FORMAT]));
    if (thresholds) json_object_set_new(body, "thresholds", thresholds);
    if (coverage) json_object_set_new(body, "coverage", coverage);
    if (priority) json_object_set_new(body, "priority", priority);
    if (v[KEEP] && strcmp(v[KEEP], "extra") != 0 && strcmp(v[KEEP], "all") != 0 && strcmp(v[KEEP], "none") != 0) {
        json_t *list = json_array();
        for (const char *c = v[KEEP]; *c;) {
            const size_t n = strcspn(c, ",");
            json_array_append_new(list, json_stringn(c, n));
            c += n + (c[n] == ',');
        }
        json_object_set_new(body, "keep", list);
    } else if (v[KEEP]) {
        json_object_set_new(body, "keep", json_string(v[KEEP]));
    }
    if (!failed) return body;
    json_decref(body);
    return NULL;
}

static bool has_ended(const json_t *job) {
    return !json_is_null(json_object_get(job, "finished_at"));
}

/* Until it has ended, or a signal came. The job, or NULL with a message. */
static json_t *follow(const struct client *client, const char *path) {
    const struct timespec pause = {.tv_nsec = POLL_MS * 1000000L};
    struct progress shown = {0};
    for (;;) {
        json_t *job = models_ask("batch", client, "GET", path, NULL);
        const json_t *progress = json_object_get(job, "progress");
        if (job)
            bar(&shown, json_number_value(json_object_get(progress, "fraction")), json_integer_value(json_object_get(progress, "rows")),
                json_number_value(json_object_get(progress, "rows_per_second")), has_ended(job) || interrupted);
        if (!job || has_ended(job) || interrupted) return job;
        json_decref(job);
        nanosleep(&pause, NULL);
    }
}

/* Of "bytes 0-99/1000". */
static long long total_of(const struct client_response *response) {
    char text[100];
    const char *range = client_header(response, "Content-Range", text, sizeof text), *slash = range ? strchr(range, '/') : NULL;
    return slash ? strtoll(slash + 1, NULL, 10) : (long long)response->body_size;
}

/* A file of the batch, in ranges: memory for one of them. */
static int download(const struct client *client, const char *batch, const char *part, const char *out) {
    struct output output;
    char path[120], headers[80];
    long long at = 0, total = 1;
    int failed = output_open(&output, out);
    snprintf(path, sizeof path, "%.60s/%s", batch, part);
    while (!failed && at < total) {
        struct client_response response = {0};
        snprintf(headers, sizeof headers, "Range: bytes=%lld-%lld\r\n", at, at + DOWNLOAD - 1);
        const struct client_request request = {.method = "GET", .path = path, .headers = headers, .large = true};
        failed = models_send("batch", client, &request, &response);
        if (!failed && at > 0 && response.status != 206)
            failed = fprintf(stderr, "backpropd batch: the server does not send ranges of the %s\n", part);
        if (!failed && fwrite(response.body, 1, response.body_size, output.file) != response.body_size)
            failed = fprintf(stderr, "backpropd batch: cannot write %s: %s\n", out ? out : "standard output", strerror(errno));
        if (!failed) total = total_of(&response), at += (long long)response.body_size;
        if (!failed && response.body_size == 0) total = at;
        client_clear(&response);
    }
    if (output.file && output_close(&output, !failed) != 0) failed = -1;
    return failed;
}

static int report(const char **v, const struct client *client, const char *path, const json_t *job) {
    const char *status = json_string_value(json_object_get(job, "status"));
    const json_t *progress = json_object_get(job, "progress"), *error = json_object_get(job, "error");
    const long long failed_rows = (long long)json_integer_value(json_object_get(progress, "failed_rows"));
    int failed = strcmp(status ? status : "", "succeeded") != 0;
    if (!failed) failed = download(client, path, "result", v[OUT]);
    if (!failed && v[FAILURES]) failed = download(client, path, "failures", v[FAILURES]);
    if (v[JSON]) {
        char *text = schema_json_dump(job, JSON_INDENT(1) | JSON_REAL_PRECISION(15));
        fprintf(is_standard(v[OUT]) ? stderr : stdout, "%s\n", text ? text : "{}");
        free(text);
    } else if (strcmp(status ? status : "", "succeeded") != 0) {
        fprintf(stderr, "backpropd batch: %s has %s%s%s\n", path, status ? status : "ended", json_is_object(error) ? ": " : "",
                json_is_object(error) ? json_string_value(json_object_get(error, "message")) : "");
    } else if (failed_rows > 0) {
        fprintf(stderr, "backpropd batch: %lld of %lld rows have no prediction%s\n", failed_rows,
                (long long)json_integer_value(json_object_get(progress, "rows")), v[FAILURES] ? "" : "; --failures FILE has their reasons");
    }
    return failed ? 1 : 0;
}

static int on_server(const char **v) {
    struct client client = {0};
    char path[100];
    int status = 1;
    json_t *body = request_of(v), *job = NULL;
    if (body && models_connect("batch", v[URL], v[KEY_FILE], v[CA_FILE], &client) == 0)
        job = models_ask("batch", &client, "POST", "/v1/batches", body);
    if (job) {
        snprintf(path, sizeof path, "/v1/batches/%.60s", json_string_value(json_object_get(job, "id")));
        if (v[DETACH]) {
            printf("%s\n", json_string_value(json_object_get(job, "id")));
            status = 0;
        } else {
            catch_signals();
            json_decref(job);
            job = follow(&client, path);
            if (job && interrupted && !has_ended(job))
                fprintf(stderr, "backpropd batch: %s goes on; cancel it with POST /v1/jobs/%s/cancel\n", path, path + 12), status = 130;
            else if (job) status = report(v, &client, path, job);
        }
    }
    json_decref(job);
    json_decref(body);
    free(client.key);
    return status;
}

int command_batch(int argc, char **argv) {
    const char *v[FLAGS_COUNT] = {0};
    if (local_flags("batch", argc, argv, names, switches, v) != 0) return 2;
    const int form = v[FORMAT] ? schema_rows_form_of(v[FORMAT]) : SCHEMA_FORM_CSV;
    const bool file = v[DATA] && form != SCHEMA_FORM_NPY && !v[URL] && !v[DATASET] && !v[DETACH] && !v[PRIORITY] && !v[KEY_FILE] && !v[CA_FILE];
    const bool server = v[URL] && v[DATASET] && !v[DATA] && form != SCHEMA_FORM_JSON && !(v[DETACH] && (v[OUT] || v[FAILURES]));
    if (!v[MODEL] || (!file && !server) || form < 0) {
        fprintf(stderr,
                "backpropd batch: expected --model FILE.bpd --data FILE (or -) [--format csv|ndjson|json], or --url URL --model MODEL --dataset "
                "NAME [--format csv|ndjson|npy]; see `backpropd help batch`\n");
        return 2;
    }
    return server ? on_server(v) : over_file(v, form);
}

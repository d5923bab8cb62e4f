/* sweep.c - `backpropd sweep`: a sweep on a server, or over a file in a server of its own. Sections: the request; progress; the table; the two ways.
 */
#include "server/commands/commands.h"

#include "schema/ingest/inspect.h"
#include "schema/json/values.h"
#include "schema/memory.h"
#include "server/commands/local_data.h"
#include "server/commands/models_io.h"
#include "server/commands/private_server.h"
#include "server/commands/table.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    DATA,
    TARGET,
    DEFINITION,
    SPACE,
    OPTIONS,
    METHOD,
    TRIALS,
    METRIC,
    GOAL,
    SEED,
    PARALLEL,
    MIN_EPOCHS,
    ETA,
    MAX_SECONDS,
    EPOCHS,
    TYPES,
    OUT,
    URL,
    MODEL,
    DATASET,
    PUBLISH,
    KEY_FILE,
    CA_FILE,
    JSON,
    DETACH,
    KEEP_VERSIONS,
    FLAGS_COUNT
};
static const char *const names[] = {"data", "target", "definition", "space",      "options", "method",       "trials",  "metric",
                                    "goal", "seed",   "parallel",   "min-epochs", "eta",     "max-seconds",  "epochs",  "types",
                                    "out",  "url",    "model",      "dataset",    "publish", "api-key-file", "ca-file", NULL};
static const char *const switches[] = {"json", "detach", "keep-versions", NULL};
enum { SHOWN = 20, POLL_MS = 200 };

/* ---- the request --------------------------------------------------------------------------------------------------------------------------- */

static json_t *object_of(const char *path) {
    json_error_t where;
    char *text = local_text("sweep", path);
    json_t *json = text ? schema_json_load(text, strlen(text), JSON_REJECT_DUPLICATES, &where) : NULL;
    if (text && !json_is_object(json))
        fprintf(stderr, "backpropd sweep: %s is not a JSON object: %s (line %d)\n", path, json ? "something else" : where.text,
                json ? 1 : where.line);
    free(text);
    if (json_is_object(json)) return json;
    json_decref(json);
    return NULL;
}

/* A flag as a number if it reads as one; the server says what is wrong with it. */
static void put(json_t *object, const char *name, const char *text) {
    char *end;
    if (!text) return;
    const double v = strtod(text, &end);
    json_object_set_new(object, name, *text && !*end && isfinite(v) ? schema_number_encode(v) : json_string(text));
}

static json_t *job_of(const char **v) {
    json_t *job = v[OPTIONS] ? object_of(v[OPTIONS]) : json_object();
    if (!job) return NULL;
    if (v[TARGET]) json_object_set_new(job, "target", json_string(v[TARGET]));
    put(job, "epochs", v[EPOCHS]);
    return job;
}

/* The body of POST /v1/sweeps. NULL: a message was printed. */
static json_t *request_of(const char **v, const char *model, const char *dataset) {
    json_t *job = job_of(v), *space = job ? object_of(v[SPACE]) : NULL, *definition = space && v[DEFINITION] ? object_of(v[DEFINITION]) : NULL;
    if (!space || (v[DEFINITION] && !definition)) {
        json_decref(job);
        json_decref(space);
        return NULL;
    }
    if (definition && model) json_object_set_new(definition, "name", json_string(model));
    json_t *body =
        json_pack("{s:o, s:s, s:o, s:o}", "model", definition ? definition : json_string(model), "dataset", dataset, "job", job, "space", space);
    if (v[METHOD]) json_object_set_new(body, "method", json_string(v[METHOD]));
    if (v[METRIC]) json_object_set_new(body, "metric", json_string(v[METRIC]));
    if (v[GOAL]) json_object_set_new(body, "goal", json_string(v[GOAL]));
    put(body, "trials", v[TRIALS]);
    put(body, "seed", v[SEED]);
    put(body, "max_seconds", v[MAX_SECONDS]);
    if (v[URL]) put(body, "parallel", v[PARALLEL]);
    if (v[MIN_EPOCHS] || v[ETA]) {
        json_t *asha = json_object();
        put(asha, "min_epochs", v[MIN_EPOCHS]);
        put(asha, "eta", v[ETA]);
        json_object_set_new(body, "asha", asha);
    }
    if (v[PUBLISH])
        json_object_set_new(body, "publish",
                            strcmp(v[PUBLISH], "true") == 0    ? json_true()
                            : strcmp(v[PUBLISH], "false") == 0 ? json_false()
                                                               : json_string(v[PUBLISH]));
    if (v[KEEP_VERSIONS]) json_object_set_new(body, "keep_versions", json_true());
    return body;
}

/* ---- progress ------------------------------------------------------------------------------------------------------------------------------ */

static int64_t count_of(const json_t *sweep, const char *name) {
    return json_integer_value(json_object_get(json_object_get(sweep, "trials"), name));
}

static int64_t ended_trials(const json_t *sweep) {
    return count_of(sweep, "succeeded") + count_of(sweep, "failed") + count_of(sweep, "cancelled") + count_of(sweep, "invalid");
}

/* On a terminal only. */
static void bar(const json_t *sweep, bool final) {
    const int64_t ended = ended_trials(sweep), total = count_of(sweep, "total");
    const json_t *best = json_object_get(sweep, "best");
    char text[31];
    if (!isatty(STDERR_FILENO)) return;
    for (int i = 0; i < 30; i++) text[i] = i < (int)((double)ended / (double)total * 30 + 0.5) ? '#' : '.';
    text[30] = '\0';
    fprintf(stderr, "\rtrial %lld/%lld [%s]", (long long)ended, (long long)total, text);
    if (json_is_object(best))
        fprintf(stderr, " best %s %.6g (trial %lld)", json_string_value(json_object_get(sweep, "metric")),
                json_number_value(json_object_get(best, "value")), (long long)json_integer_value(json_object_get(best, "number")));
    fprintf(stderr, final ? "    \n" : "    ");
}

/* Until it has ended, or a signal came (then *broken). NULL: a message was printed. */
static json_t *follow(const struct client *client, const char *path, bool *broken) {
    const struct timespec pause = {.tv_nsec = POLL_MS * 1000000L};
    for (;;) {
        json_t *sweep = models_ask("sweep", client, "GET", path, NULL);
        const bool ended = sweep && !json_is_null(json_object_get(sweep, "finished_at"));
        *broken = private_server_interrupted();
        if (sweep) bar(sweep, ended || *broken);
        if (!sweep || ended || *broken) return sweep;
        json_decref(sweep);
        nanosleep(&pause, NULL);
    }
}

/* ---- the table ----------------------------------------------------------------------------------------------------------------------------- */

static void print_table(const json_t *sweep, const json_t *trials) {
    static const char *const columns[] = {"number", "status", "value", "epochs", "training_seconds"};
    json_t *rows = json_array(), *header = json_array(), *trial, *ignored;
    const json_t *space = json_object_get(sweep, "space"), *list = json_object_get(trials, "data");
    const char *path;
    size_t i;
    json_array_append_new(rows, header);
    for (size_t k = 0; k < sizeof columns / sizeof *columns; k++)
        json_array_append_new(header, json_string(k == 0   ? "trial"
                                                  : k == 2 ? json_string_value(json_object_get(sweep, "metric"))
                                                  : k == 4 ? "seconds"
                                                           : columns[k]));
    json_object_foreach((json_t *)(uintptr_t)space, path, ignored) json_array_append_new(header, json_string(path));
    json_array_foreach(list, i, trial) {
        json_t *row = json_array();
        if (i == SHOWN) {
            json_decref(row);
            break;
        }
        const bool stopped = json_is_string(json_object_get(trial, "stopped"));
        for (size_t k = 0; k < sizeof columns / sizeof *columns; k++)
            json_array_append_new(row, k == 1 && stopped ? json_string("stopped") : table_cell(json_object_get(trial, columns[k])));
        json_object_foreach((json_t *)(uintptr_t)space, path, ignored)
            json_array_append_new(row, table_cell(json_object_get(json_object_get(trial, "parameters"), path)));
        json_array_append_new(rows, row);
    }
    table_print(rows);
    if (json_array_size(list) > SHOWN) printf("... and %zu more; --json prints all\n", json_array_size(list) - SHOWN);
    json_decref(rows);
}

static void print_json(const json_t *sweep, const json_t *trials) {
    json_t *both = json_pack("{s:O, s:O, s:O}", "sweep", sweep, "trials", json_object_get(trials, "data"), "rungs", json_object_get(trials, "rungs"));
    char *text = schema_json_dump(both, JSON_INDENT(1) | JSON_REAL_PRECISION(15));
    printf("%s\n", text ? text : "{}");
    free(text);
    json_decref(both);
}

/* 0 when it has succeeded. */
static int report(const char **v, const struct client *client, const char *path, const json_t *sweep) {
    char list[160];
    const char *metric = json_string_value(json_object_get(sweep, "metric")), *status = json_string_value(json_object_get(sweep, "status"));
    const bool higher = strcmp(json_string_value(json_object_get(sweep, "goal")), "maximize") == 0;
    const json_t *best = json_object_get(sweep, "best"), *error = json_object_get(sweep, "error"),
                 *publication = json_object_get(sweep, "publication");
    snprintf(list, sizeof list, "%s/trials?sort=%svalue", path, higher ? "-" : "");
    json_t *trials = models_ask("sweep", client, "GET", list, NULL);
    if (!trials) return 1;
    if (v[JSON]) print_json(sweep, trials);
    else print_table(sweep, trials);
    json_decref(trials);
    if (json_is_object(error)) fprintf(stderr, "backpropd sweep: %s\n", json_string_value(json_object_get(error, "message")));
    if (json_is_object(best) && !v[JSON])
        fprintf(stderr, "the best is trial %lld: %s %.6g; %lld of %lld trials were stopped early\n",
                (long long)json_integer_value(json_object_get(best, "number")), metric, json_number_value(json_object_get(best, "value")),
                (long long)count_of(sweep, "stopped"), (long long)count_of(sweep, "created"));
    if (v[URL] && json_is_object(publication) && v[PUBLISH] && !v[JSON])
        fprintf(stderr, "%spublished: %s\n", json_is_true(json_object_get(publication, "published")) ? "" : "not ",
                json_string_value(json_object_get(publication, "reason")));
    return strcmp(status, "succeeded") == 0 ? 0 : 1;
}

/* ---- on a server --------------------------------------------------------------------------------------------------------------------------- */

static int on_server(const char **v) {
    struct client client = {0};
    char path[100];
    bool broken = false;
    int status = 1;
    json_t *body = request_of(v, v[MODEL], v[DATASET]), *sweep = NULL;
    if (body && models_connect("sweep", v[URL], v[KEY_FILE], v[CA_FILE], &client) == 0)
        sweep = models_ask("sweep", &client, "POST", "/v1/sweeps", body);
    if (sweep) {
        snprintf(path, sizeof path, "/v1/sweeps/%.60s", json_string_value(json_object_get(sweep, "id")));
        if (v[DETACH]) {
            printf("%s\n", json_string_value(json_object_get(sweep, "id")));
            status = 0;
        } else {
            json_decref(sweep);
            sweep = follow(&client, path, &broken);
            if (sweep) status = report(v, &client, path, sweep);
        }
    }
    json_decref(sweep);
    json_decref(body);
    free(client.key);
    return status;
}

/* ---- over a file --------------------------------------------------------------------------------------------------------------------------- */

static int upload(const char **v, const struct client *client) {
    struct schema_problems problems = {0};
    struct schema_text path = {.limit = 64 << 10};
    const char *encoding = NULL;
    char headers[60] = "";
    size_t size = 0;
    char *bytes = models_read("sweep", v[DATA], &size);
    const char *type = bytes ? local_type(v[DATA], bytes, size < 65536 ? size : 65536, &encoding, &problems) : NULL;
    struct client_response response = {0};
    if (problems.total) local_problems("sweep", v[DATA], &problems);
    if (encoding) snprintf(headers, sizeof headers, "Content-Encoding: %s\r\n", encoding);
    schema_text_string(&path, "/v1/datasets?name=data");
    url_query(&path, "types", v[TYPES]);
    const struct client_request request = {
        .method = "POST", .path = path.bytes, .headers = headers, .body = bytes, .body_size = size, .content_type = type, .large = true};
    const int failed = type && !path.failed ? models_send("sweep", client, &request, &response) : -1;
    client_clear(&response);
    free(path.bytes);
    free(bytes);
    return failed;
}

static int save(const char **v, const struct client *client, const json_t *sweep) {
    const json_t *version = json_object_get(json_object_get(sweep, "best"), "model_version");
    const char *out = v[OUT] ? v[OUT] : "model.bpd";
    struct client_response response = {0};
    char path[100];
    if (!json_is_integer(version)) return -1;
    snprintf(path, sizeof path, "/v1/models/model/versions/%lld/export?format=bpd", (long long)json_integer_value(version));
    const struct client_request request = {.method = "GET", .path = path, .large = true};
    int failed = models_send("sweep", client, &request, &response);
    if (!failed) failed = models_write("sweep", out, response.body, response.body_size);
    if (!failed) fprintf(stderr, "written to %s\n", out);
    client_clear(&response);
    return failed;
}

static int over_file(const char **v) {
    struct private_server server;
    double workers = 1;
    bool broken = false;
    char path[100];
    int status = 1;
    if (local_whole("sweep", "parallel", v[PARALLEL], 1, 256, &workers) != 0) return 2;
    json_t *body = request_of(v, "model", "data"), *sweep = NULL;
    if (!body) return 1;
    if (private_server_start("sweep", (int)workers, &server) == 0 && upload(v, &server.client) == 0)
        sweep = models_ask("sweep", &server.client, "POST", "/v1/sweeps", body);
    if (sweep) {
        snprintf(path, sizeof path, "/v1/sweeps/%.60s", json_string_value(json_object_get(sweep, "id")));
        json_decref(sweep);
        sweep = follow(&server.client, path, &broken);
    }
    if (sweep && !json_is_null(json_object_get(sweep, "best"))) status = report(v, &server.client, path, sweep);
    else if (sweep && !broken) report(v, &server.client, path, sweep);
    if (broken) fprintf(stderr, "interrupted\n");
    if (sweep && json_is_object(json_object_get(sweep, "best")) && save(v, &server.client, sweep) != 0) status = 1;
    private_server_stop(&server);
    json_decref(sweep);
    json_decref(body);
    return broken ? 130 : status;
}

int command_sweep(int argc, char **argv) {
    const char *v[FLAGS_COUNT] = {0};
    if (local_flags("sweep", argc, argv, names, switches, v) != 0) return 2;
    const bool file = v[DATA] && v[DEFINITION] && !v[URL] && !v[MODEL] && !v[DATASET] && !v[PUBLISH] && !v[DETACH] && !v[KEEP_VERSIONS];
    const bool server = v[URL] && (v[MODEL] || v[DEFINITION]) && v[DATASET] && !v[DATA] && !v[OUT] && !v[TYPES];
    if (!v[SPACE] || !v[TARGET] || (!file && !server)) {
        fprintf(stderr,
                "backpropd sweep: expected --data FILE --target COLUMN --definition FILE --space FILE, or --url URL --model NAME --dataset NAME "
                "--target COLUMN --space FILE; see `backpropd help sweep`\n");
        return 2;
    }
    return server ? on_server(v) : over_file(v);
}

/* calibrate.c - `backpropd calibrate`: temperature, thresholds, sets and intervals of a model file, or of a version on a server. */
#include "server/commands/commands.h"

#include "engine/kernels/kernels.h"
#include "schema/calibrate/calibrate.h"
#include "schema/memory.h"
#include "schema/text/text.h"
#include "server/commands/local_data.h"
#include "server/commands/models_io.h"
#include "server/version_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MODEL,
    DATA,
    OUT,
    URL,
    DATASET,
    KEY_FILE,
    CA_FILE,
    METHOD,
    COVERAGE,
    HOLDOUT,
    SEED,
    ROWS,
    TEMPERATURE,
    THRESHOLDS,
    JSON,
    CLASS_CONDITIONAL,
    RANDOMIZED,
    ALLOW_EMPTY,
    NO_TEMPERATURE,
    NO_CONFORMAL,
    NO_REFIT,
    REMOVE,
    FLAGS_COUNT
};
static const char *const names[] = {"model",    "data",    "out",  "url",  "dataset",     "api-key-file", "ca-file", "method",
                                    "coverage", "holdout", "seed", "rows", "temperature", "thresholds",   NULL};
static const char *const switches[] = {"json",         "class-conditional", "randomized", "allow-empty", "no-temperature",
                                       "no-conformal", "no-refit",          "remove",     NULL};

static int say(const char *text) {
    fprintf(stderr, "backpropd calibrate: %s\n", text);
    return -1;
}

/* ---- what is asked, as the body of a request ------------------------------------------------------------------------------------------------ */

/* A flag as JSON, or else as text. */
static void put(json_t *object, const char *name, const char *text) {
    if (!text) return;
    json_t *json = schema_json_load(text, strlen(text), JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL);
    json_object_set_new(object, name, json ? json : json_string(text));
}

static json_t *fit_body(const char **v) {
    json_t *body = json_object(), *conformal = json_object();
    put(conformal, "method", v[METHOD]);
    put(conformal, "coverage", v[COVERAGE]);
    if (v[CLASS_CONDITIONAL]) json_object_set_new(conformal, "class_conditional", json_true());
    if (v[RANDOMIZED]) json_object_set_new(conformal, "randomized", json_true());
    if (v[ALLOW_EMPTY]) json_object_set_new(conformal, "allow_empty", json_true());
    if (v[NO_TEMPERATURE]) json_object_set_new(body, "temperature", json_false());
    json_object_set(body, "conformal", v[NO_CONFORMAL] ? json_false() : conformal);
    json_decref(conformal);
    put(body, "holdout", v[HOLDOUT]);
    put(body, "seed", v[SEED]);
    put(body, "rows", v[ROWS]);
    if (v[NO_REFIT]) json_object_set_new(body, "refit", json_false());
    return body;
}

static json_t *change_body(const char **v) {
    json_t *body = json_object();
    put(body, "temperature", v[TEMPERATURE]);
    put(body, "thresholds", v[THRESHOLDS]);
    if (v[NO_CONFORMAL]) json_object_set_new(body, "conformal", json_null());
    else if (v[COVERAGE]) {
        json_t *conformal = json_object();
        put(conformal, "coverage", v[COVERAGE]);
        json_object_set_new(body, "conformal", conformal);
    }
    return body;
}

/* ---- for people ------------------------------------------------------------------------------------------------------------------------------- */

static double number(const json_t *json, const char *name) {
    return json_number_value(json_object_get(json, name));
}

static void print_scores(const json_t *held_out) {
    static const char *const measures[] = {"log_loss", "brier_score", "expected_calibration_error"};
    const json_t *before = json_object_get(held_out, "before"), *after = json_object_get(held_out, "after");
    for (size_t i = 0; before && i < sizeof measures / sizeof *measures; i++)
        printf("  %-28s %10.5g -> %.5g\n", measures[i], number(before, measures[i]), number(after, measures[i]));
}

static void print_coverage(const json_t *held_out) {
    if (!json_object_get(held_out, "coverage")) return;
    printf("  %-28s %10.4g   95 %% interval %.4g to %.4g", "coverage", number(held_out, "coverage"), number(held_out, "coverage_low"),
           number(held_out, "coverage_high"));
    local_bar(number(held_out, "coverage"));
    const bool sets = json_object_get(held_out, "mean_size") != NULL;
    printf("\n  %-28s %10.5g\n", sets ? "mean_size" : "mean_width", number(held_out, sets ? "mean_size" : "mean_width"));
}

static void print_target(const char *name, const json_t *target, const json_t *fitted) {
    const json_t *conformal = json_object_get(target, "conformal"), *temperature = json_object_get(target, "temperature"), *one;
    size_t i;
    printf("%s\n", name);
    if (temperature) printf("  %-28s %10.5g\n", "temperature", json_number_value(temperature));
    if (json_is_object(conformal))
        printf("  %-28s %10s   coverage %.4g, scores of %lld rows\n", "method", json_string_value(json_object_get(conformal, "method")),
               number(conformal, "coverage"), (long long)json_integer_value(json_object_get(conformal, "rows")));
    json_array_foreach(json_object_get(fitted, "targets"), i, one) {
        const json_t *held_out = json_object_get(one, "held_out");
        if (strcmp(json_string_value(json_object_get(one, "target")), name) != 0 || !json_is_object(held_out)) continue;
        printf("  held out: %lld rows\n", (long long)json_integer_value(json_object_get(held_out, "rows")));
        print_scores(held_out);
        print_coverage(held_out);
    }
}

/* shown: as the server shows it. */
static void print_calibration(const json_t *shown) {
    const char *name;
    json_t *target, *warning, *fitted = json_object_get(shown, "fitted"), *thresholds = json_object_get(shown, "thresholds");
    size_t i;
    json_object_foreach(json_object_get(shown, "targets"), name, target) print_target(name, target, fitted);
    if (thresholds && !json_is_null(thresholds)) {
        char *text = schema_json_dump(thresholds, JSON_REAL_PRECISION(9));
        printf("thresholds %s\n", text ? text : "");
        free(text);
    }
    json_array_foreach(json_object_get(fitted, "warnings"), i, warning)
        fprintf(stderr, "backpropd calibrate: warning: %s\n", json_string_value(warning));
}

static void print_result(const json_t *shown, bool json) {
    char *text = json ? schema_json_dump(shown, JSON_INDENT(2) | JSON_REAL_PRECISION(9)) : NULL;
    if (text) printf("%s\n", text);
    else print_calibration(shown);
    free(text);
}

/* ---- a model file ----------------------------------------------------------------------------------------------------------------------------- */

/* The document of the calibration from rows. NULL: a message was printed. */
static json_t *fit(const char **v, const struct schema_model *model) {
    static const char *const others[] = {NULL};
    struct schema_problems problems = {0};
    struct bp_error error = {0};
    struct schema_calibrating what = {.model = model};
    json_t *body = fit_body(v), *document = NULL;
    if (schema_calibrate_decode(body, "", others, &what.options, &problems) != 0) local_problems("calibrate", NULL, &problems);
    else {
        struct schema_dataset *dataset = local_rows("calibrate", model, v[DATA]);
        what.dataset = dataset;
        document = dataset ? schema_calibrate(&what, &error) : NULL;
        if (dataset && !document) say(error.message);
        if (document) json_object_set_new(json_object_get(document, "fitted"), "dataset", json_null());
        schema_dataset_free(dataset);
    }
    json_decref(body);
    return document;
}

static json_t *change(const char **v, const struct schema_model *model) {
    struct schema_problems problems = {0};
    json_t *body = change_body(v), *document = schema_calibration_change(model->calibration_document, model->training, body, &problems);
    if (!document) local_problems("calibrate", NULL, &problems);
    json_decref(body);
    return document;
}

/* Writes the model file with that calibration, NULL: without. */
static int write_file(const char *path, const char *bytes, size_t size, const json_t *document) {
    struct bp_error error = {0};
    size_t made_size = 0;
    char *made = version_file_rewrite(bytes, size, document, &made_size, &error);
    const int failed = made ? models_write("calibrate", path, made, made_size) : say(error.message);
    free(made);
    return failed;
}

static int on_file(const char **v) {
    struct bp_error error = {0};
    size_t size = 0;
    const bool changes = v[TEMPERATURE] || v[THRESHOLDS] || v[COVERAGE] || v[NO_CONFORMAL];
    char *bytes = models_read("calibrate", v[MODEL], &size);
    struct schema_model *model = bytes ? schema_model_read(bytes, size, &error) : NULL;
    if (bytes && !model) fprintf(stderr, "backpropd calibrate: %s: %s\n", v[MODEL], error.message[0] ? error.message : "out of memory");
    json_t *document = NULL;
    int failed = model ? 0 : -1;
    if (model && v[DATA]) failed = (document = fit(v, model)) ? 0 : -1;
    else if (model && changes) failed = (document = change(v, model)) ? 0 : -1;
    else if (model && !v[REMOVE]) document = json_incref(model->calibration_document);
    if (!failed && (v[DATA] || changes || v[REMOVE])) failed = write_file(v[OUT] ? v[OUT] : v[MODEL], bytes, size, document);
    if (!failed && document) {
        json_t *shown = schema_calibration_show(document);
        print_result(shown, v[JSON]);
        json_decref(shown);
    } else if (!failed) {
        printf(v[JSON] ? "null\n" : "not calibrated\n");
    }
    json_decref(document);
    schema_model_free(model);
    free(bytes);
    return failed;
}

/* ---- a server --------------------------------------------------------------------------------------------------------------------------------- */

static int on_server(const char **v) {
    const char *at = strchr(v[MODEL], '@');
    char path[300], name[STORE_NAME_SIZE];
    const bool changes = v[TEMPERATURE] || v[THRESHOLDS] || v[COVERAGE] || v[NO_CONFORMAL];
    struct client client = {0};
    struct client_response response = {0};
    const int length = snprintf(name, sizeof name, "%.*s", (int)strcspn(v[MODEL], "@"), v[MODEL]);
    if (length >= (int)sizeof name || !schema_name_valid(name) || (at && !schema_name_valid(at + 1)))
        return say("--model expects the name of a model like penguins, penguins@2 or penguins@production");
    snprintf(path, sizeof path, "/v1/models/%s/versions/%.63s/calibrat%s", name, at ? at + 1 : "default", v[DATASET] ? "e" : "ion");
    json_t *body = v[DATASET] ? fit_body(v) : change_body(v);
    if (v[DATASET]) json_object_set_new(body, "dataset", json_string(v[DATASET]));
    char *text = schema_json_dump(body, JSON_REAL_PRECISION(17));
    struct client_request request = {.method = v[DATASET] ? "POST" : v[REMOVE] ? "DELETE" : changes ? "PATCH" : "GET", .path = path, .large = true};
    if (v[DATASET] || (changes && !v[REMOVE]))
        request.body = text, request.body_size = text ? strlen(text) : 0, request.content_type = "application/json";
    int failed = text ? models_connect("calibrate", v[URL], v[KEY_FILE], v[CA_FILE], &client) : say("out of memory");
    if (!failed) failed = models_send("calibrate", &client, &request, &response);
    json_t *shown = failed || !response.body_size ? NULL : schema_json_load(response.body, response.body_size, 0, NULL);
    if (shown && (v[JSON] || json_is_true(json_object_get(shown, "calibrated")))) print_result(shown, v[JSON]);
    else if (!failed) printf("not calibrated\n");
    json_decref(shown);
    json_decref(body);
    free(text);
    client_clear(&response);
    free(client.key);
    return failed;
}

int command_calibrate(int argc, char **argv) {
    const char *values[FLAGS_COUNT] = {0};
    if (local_flags("calibrate", argc, argv, names, switches, values) != 0) return 2;
    const char *wrong = !values[MODEL]                                 ? "--model is required: a file, or with --url the name of a model"
                        : values[URL] && (values[DATA] || values[OUT]) ? "with --url the rows are a --dataset of the server, and no file is written"
                        : !values[URL] && values[DATASET]              ? "--dataset is a dataset of a server; give --url, or a file with --data"
                        : (values[DATA] || values[DATASET]) && (values[TEMPERATURE] || values[THRESHOLDS] || values[REMOVE])
                            ? "--temperature, --thresholds and --remove change a calibration by hand: leave the rows out"
                        : values[REMOVE] && (values[TEMPERATURE] || values[THRESHOLDS] || values[COVERAGE] || values[NO_CONFORMAL])
                            ? "--remove removes all of the calibration: give it alone"
                        : values[METHOD] && values[NO_CONFORMAL] ? "--method and --no-conformal exclude each other"
                                                                 : NULL;
    if (wrong) {
        fprintf(stderr, "backpropd calibrate: %s; see `backpropd help calibrate`\n", wrong);
        return 2;
    }
    bp_engine_start();
    bp_flush_denormals();
    return (values[URL] ? on_server(values) : on_file(values)) ? 1 : 0;
}

/* explain.c - POST /v1/models/{model}/explain and .../versions/{version}/explain: what a version's predictions depend on. */
#include "schema/explain/explain.h"

#include "schema/json/values.h"
#include "server/http/answer.h"
#include "server/http/http.h"
#include "server/model_cache.h"
#include "server/routes/rows_source.h"
#include "server/routes/version_view.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CURVES, GRID_POINTS, METHOD, REPEATS, ROWS, SAMPLES, SEED, STEPS, PARAMS };
static const struct bp_param params[PARAMS] = {
    [CURVES] = {.name = "curves", .type = BP_PARAM_INTEGER, .max = 200, .help = "partial_dependence: rows whose own curve is given"},
    [GRID_POINTS] = {.name = "grid_points", .type = BP_PARAM_INTEGER, .preset = 20, .min = 2, .max = 1000, .help = "partial_dependence: of a number"},
    [METHOD] = {.name = "method", .type = BP_PARAM_CHOICE, .choices = schema_explain_methods, .help = "how"},
    [REPEATS] =
        {.name = "repeats", .type = BP_PARAM_INTEGER, .preset = 5, .min = 1, .max = 100, .help = "permutation_importance: shuffles of a column"},
    [ROWS] = {.name = "rows", .type = BP_PARAM_INTEGER, .preset = 0, .min = 0, .max = 100000, .help = "rows that are used; 0: as many as usual"},
    [SAMPLES] = {.name = "samples", .type = BP_PARAM_INTEGER, .preset = 64, .min = 1, .max = 100000, .help = "shapley: subsets, or pairs of orders"},
    [SEED] = {.name = "seed", .type = BP_PARAM_INTEGER, .min = 0, .max = 9007199254740992.0, .help = "of what is drawn"},
    [STEPS] = {.name = "steps", .type = BP_PARAM_INTEGER, .preset = 64, .min = 1, .max = 10000, .help = "integrated_gradients: points of the line"},
};
static const struct bp_entry entry = {.name = "an explanation", .params = params, .params_count = PARAMS};

/* Multiplications of a request: about half a minute of one core. */
static const double WORK_MAX = 2e11;

struct explaining {
    struct request *request;
    json_t *body;
    struct schema_problems problems;
    struct bp_value values[PARAMS];
    struct loaded *loaded;
    struct rows_source rows, background;
    const char **names;
    int32_t names_count;
};

static const char *text_of(struct explaining *x, const char *name) {
    const json_t *value = json_object_get(x->body, name);
    char pointer[40];
    snprintf(pointer, sizeof pointer, "/%s", name);
    if (value && !json_is_null(value) && !json_is_string(value)) schema_problem_add(&x->problems, pointer, "%s must be text", name);
    return json_string_value(value);
}

static void decode_columns(struct explaining *x) {
    const json_t *given = json_object_get(x->body, "columns"), *name;
    size_t i;
    if (!given || json_is_null(given)) return;
    if (!json_is_array(given) || json_array_size(given) == 0 || json_array_size(given) > 1000) {
        schema_problem_add(&x->problems, "/columns", "columns is an array of 1 to 1000 names of features");
        return;
    }
    x->names = calloc(json_array_size(given), sizeof *x->names);
    json_array_foreach((json_t *)(uintptr_t)given, i, name) {
        char pointer[40];
        snprintf(pointer, sizeof pointer, "/columns/%zu", i);
        if (!json_is_string(name)) schema_problem_add(&x->problems, pointer, "the name of a column is text");
        else if (x->names) x->names[x->names_count++] = json_string_value(name);
    }
}

static void decode(struct explaining *x) {
    static const char *const others[] = {"background", "class", "columns", "dataset", "metric", "target", NULL};
    const struct schema_names known = {others, NULL};
    const json_t *background = json_object_get(x->body, "background");
    schema_values_decode(x->body, "", &entry, &known, x->values, &x->problems);
    decode_columns(x);
    rows_source_open(x->request, json_object_get(x->body, "dataset"), "/dataset", loaded_model(x->loaded), &x->rows, &x->problems);
    if (background && !json_is_null(background))
        rows_source_open(x->request, background, "/background", loaded_model(x->loaded), &x->background, &x->problems);
}

/* How many rows when the request does not say. */
static int64_t rows_of(const struct explaining *x, enum schema_explain_method method) {
    const int64_t asked = (int64_t)x->values[ROWS].number;
    const bool single = method != SCHEMA_EXPLAIN_PERMUTATION_IMPORTANCE && method != SCHEMA_EXPLAIN_PARTIAL_DEPENDENCE;
    if (single) return asked && asked < SCHEMA_EXPLAIN_ROWS_MAX ? asked : asked ? SCHEMA_EXPLAIN_ROWS_MAX : 100;
    return asked ? asked : 2000;
}

static void answer(struct explaining *x, const char *model) {
    struct request *r = x->request;
    struct bp_error error = {0};
    const enum schema_explain_method method = (enum schema_explain_method)x->values[METHOD].number;
    const struct schema_explanation explanation = {.model = loaded_model(x->loaded),
                                                   .dataset = x->rows.dataset,
                                                   .background = x->background.dataset,
                                                   .method = method,
                                                   .target = text_of(x, "target"),
                                                   .label = text_of(x, "class"),
                                                   .metric = text_of(x, "metric"),
                                                   .names = x->names,
                                                   .names_count = x->names_count,
                                                   .repeats = (int32_t)x->values[REPEATS].number,
                                                   .samples = (int32_t)x->values[SAMPLES].number,
                                                   .steps = (int32_t)x->values[STEPS].number,
                                                   .grid_points = (int32_t)x->values[GRID_POINTS].number,
                                                   .curves = (int32_t)x->values[CURVES].number,
                                                   .rows_max = rows_of(x, method),
                                                   .seed = (uint64_t)x->values[SEED].number,
                                                   .stop = server_stopping,
                                                   .context = r->server};
    const double work = x->problems.total == 0 ? schema_explanation_work(&explanation) : 0;
    if (work > WORK_MAX) {
        const double rows = fmin((double)explanation.dataset->rows, (double)explanation.rows_max), most = floor(rows * WORK_MAX / work);
        if (most >= 1)
            schema_problem_add(
                &x->problems, "/rows",
                "this takes too long for a request: at most %.0f rows with these settings (\"rows\": %.0f); or explain fewer columns, or "
                "use fewer repeats, samples or steps",
                most, most);
        else
            schema_problem_add(&x->problems, "",
                               "this takes too long for a request, even for one row: explain fewer columns, or use fewer repeats, samples or steps");
    }
    json_t *report = x->problems.total ? NULL : schema_explain(&explanation, &error);
    if (!report && error.pointer[0]) schema_problem_error(&x->problems, error.pointer, &error);
    if (x->problems.total) {
        answer_problems(r, &x->problems);
        return;
    }
    if (!report) {
        answer_error(r, &error);
        return;
    }
    json_t *json = json_pack("{s:s, s:s, s:I, s:s, s:o}", "object", "explanation", "model", model, "version", (json_int_t)loaded_version(x->loaded),
                             "method", schema_explain_methods[method], "dataset", rows_source_name(&x->rows));
    json_object_update(json, report);
    json_decref(report);
    answer_json_exact(r, 200, json);
}

static void explain(struct request *r, const char *name, const char *reference) {
    struct explaining x = {.request = r};
    struct bp_error error = {0};
    struct model_cache *cache = r->server->model_cache;
    if (!(x.body = request_json(r))) return;
    const enum store_result result = model_cache_get(cache, name, reference, &x.loaded, &error);
    if (result != STORE_OK) {
        answer_no_version(r, result, &error, name, reference);
        json_decref(x.body);
        return;
    }
    decode(&x);
    answer(&x, name);
    schema_problems_clear(&x.problems);
    model_cache_release(cache, x.loaded);
    rows_source_close(&x.rows);
    rows_source_close(&x.background);
    free(x.names);
    json_decref(x.body);
}

static void explain_default(struct request *r) {
    char name[STORE_NAME_SIZE], reference[STORE_NAME_SIZE];
    if (request_model(r, r->params[0], name, reference)) explain(r, name, reference);
}

static void explain_version(struct request *r) {
    char name[STORE_NAME_SIZE], reference[STORE_NAME_SIZE];
    if (request_version(r, name, reference)) explain(r, name, reference);
}

const struct route route_explain = {
    .name = "explain",
    .method = "POST",
    .path = "/v1/models/{model}/explain",
    .scope = SCOPE_TRAIN,
    .body = ROUTE_JSON,
    .flags = ROUTE_SLOW | ROUTE_CHANGES_NOTHING,
    .handle = explain_default,
};
const struct route route_explain_version = {
    .name = "explain_version",
    .method = "POST",
    .path = "/v1/models/{model}/versions/{version}/explain",
    .scope = SCOPE_TRAIN,
    .body = ROUTE_JSON,
    .flags = ROUTE_SLOW | ROUTE_CHANGES_NOTHING,
    .handle = explain_version,
};

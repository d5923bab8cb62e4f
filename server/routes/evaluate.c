/* evaluate.c - POST /v1/models/{model}/evaluate and .../versions/{version}/evaluate: a version on rows whose targets are known. */
#include "schema/evaluate/evaluate.h"

#include "schema/json/values.h"
#include "server/http/answer.h"
#include "server/http/http.h"
#include "server/model_cache.h"
#include "server/routes/rows_source.h"
#include "server/routes/version_view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BOOTSTRAP, POINTS, ROWS, SEED, PARAMS };
static const struct bp_param params[PARAMS] = {
    [BOOTSTRAP] = {.name = "bootstrap",
                   .type = BP_PARAM_INTEGER,
                   .preset = 1000,
                   .max = SCHEMA_EVALUATE_BOOTSTRAP_MAX,
                   .help = "resamples for the 95 % intervals, 0: none"},
    [POINTS] = {.name = "max_points", .type = BP_PARAM_INTEGER, .preset = 200, .min = 2, .max = SCHEMA_EVALUATE_POINTS_MAX, .help = "of a curve"},
    [ROWS] = {.name = "rows", .type = BP_PARAM_INTEGER, .min = 0, .max = 1e15, .help = "at most so many rows, evenly spread; 0: all"},
    [SEED] = {.name = "seed", .type = BP_PARAM_INTEGER, .min = 0, .max = 9007199254740992.0, .help = "of the resamples"},
};
static const struct bp_entry entry = {.name = "an evaluation", .params = params, .params_count = PARAMS};

/* Numbers that a request goes through: about half a minute of one core. */
enum { WORK_MAX = 300000000 };

/* A request as it is decoded and answered. */
struct evaluation {
    struct request *request;
    json_t *body;
    struct schema_problems problems;
    struct bp_value values[PARAMS];
    struct loaded *loaded, *other;
    struct rows_source rows;
    int32_t slices[SCHEMA_EVALUATE_SLICES_MAX];
    int32_t slices_count;
};

static void find_slices(struct evaluation *e) {
    const json_t *given = json_object_get(e->body, "slices"), *name;
    size_t i;
    if (!given || json_is_null(given) || !e->rows.dataset) return;
    if (!json_is_array(given) || json_array_size(given) > SCHEMA_EVALUATE_SLICES_MAX) {
        schema_problem_add(&e->problems, "/slices", "slices is an array of at most %d names of columns", SCHEMA_EVALUATE_SLICES_MAX);
        return;
    }
    json_array_foreach((json_t *)(uintptr_t)given, i, name) {
        char place[40];
        snprintf(place, sizeof place, "/slices/%zu", i);
        const int32_t column = json_is_string(name) ? schema_dataset_find(e->rows.dataset, json_string_value(name)) : -1;
        const int storage = column < 0 ? SCHEMA_HELD_AS_BYTES : schema_type_of(e->rows.dataset->columns[column].type)->storage;
        if (column < 0) schema_problem_add(&e->problems, place, "there is no column of that name in the dataset");
        else if (storage != SCHEMA_HELD_AS_CODE && storage != SCHEMA_HELD_AS_NUMBER)
            schema_problem_add(&e->problems, place, "rows are grouped by categories, booleans, numbers and times, not by a column of the type %s",
                               schema_type_of(e->rows.dataset->columns[column].type)->name);
        else e->slices[e->slices_count++] = column;
    }
}

static void decode(struct evaluation *e) {
    static const char *const others[] = {"compare", "dataset", "positive_class", "slices", NULL};
    const struct schema_names known = {others, NULL};
    const json_t *positive = json_object_get(e->body, "positive_class");
    schema_values_decode(e->body, "", &entry, &known, e->values, &e->problems);
    if (positive && !json_is_string(positive) && !json_is_null(positive))
        schema_problem_add(&e->problems, "/positive_class", "positive_class is the label of a class, as text");
    rows_source_open(e->request, json_object_get(e->body, "dataset"), "/dataset", loaded_model(e->loaded), &e->rows, &e->problems);
    find_slices(e);
}

/* ---- the answer ------------------------------------------------------------------------------------------------------------------------------ */

static void answer(struct evaluation *e, const char *model) {
    struct request *r = e->request;
    struct bp_error error = {0};
    const struct schema_evaluation evaluation = {.model = loaded_model(e->loaded),
                                                 .other = e->other ? loaded_model(e->other) : NULL,
                                                 .dataset = e->rows.dataset,
                                                 .bootstrap = (int32_t)e->values[BOOTSTRAP].number,
                                                 .seed = (uint64_t)e->values[SEED].number,
                                                 .rows_max = (int64_t)e->values[ROWS].number,
                                                 .points = (int32_t)e->values[POINTS].number,
                                                 .positive_class = json_string_value(json_object_get(e->body, "positive_class")),
                                                 .slices = e->slices,
                                                 .slices_count = e->slices_count,
                                                 .stop = server_stopping,
                                                 .context = r->server};
    const int64_t work = schema_evaluation_work(&evaluation);
    if (work > WORK_MAX) {
        schema_problem_add(&e->problems, evaluation.bootstrap ? "/bootstrap" : "/rows",
                           "this takes too long for a request: with %d resamples at most about %lld rows can be evaluated; use fewer resamples, or "
                           "\"rows\"",
                           (int)evaluation.bootstrap, (long long)((double)e->rows.dataset->rows * WORK_MAX / (double)work));
        answer_problems(r, &e->problems);
        return;
    }
    json_t *report = schema_evaluate(&evaluation, &error);
    if (!report && error.pointer[0]) {
        schema_problem_error(&e->problems, error.pointer, &error);
        answer_problems(r, &e->problems);
        return;
    }
    if (!report) {
        answer_error(r, &error);
        return;
    }
    json_t *json = json_pack("{s:s, s:s, s:I}", "object", "evaluation", "model", model, "version", (json_int_t)loaded_version(e->loaded));
    json_object_set_new(json, "dataset", rows_source_name(&e->rows));
    json_object_set_new(json, "bootstrap", json_integer((json_int_t)evaluation.bootstrap));
    json_object_set_new(json, "seed", json_integer((json_int_t)evaluation.seed));
    if (e->other) json_object_set_new(json, "compared_with", json_integer((json_int_t)loaded_version(e->other)));
    json_object_update(json, report);
    json_decref(report);
    answer_json_exact(r, 200, json);
}

/* "compare": a version of the model by its number, an alias or "latest", or "model@version" of another one. */
static void find_other(struct evaluation *e, const char *model) {
    const json_t *given = json_object_get(e->body, "compare");
    struct model_cache *cache = e->request->server->model_cache;
    struct bp_error error = {0};
    char name[STORE_NAME_SIZE], text[2 * STORE_NAME_SIZE];
    if (!given || json_is_null(given)) return;
    if (json_is_integer(given)) snprintf(text, sizeof text, "%lld", (long long)json_integer_value(given));
    else snprintf(text, sizeof text, "%s", json_is_string(given) ? json_string_value(given) : "");
    const char *at = strchr(text, '@'), *reference = at ? at + 1 : text;
    snprintf(name, sizeof name, "%.*s", at ? (int)(at - text) : (int)strlen(model), at ? text : model);
    if (!reference_valid(reference)) {
        schema_problem_add(&e->problems, "/compare", "compare is a version: its number, an alias, \"latest\", or of another model \"model@version\"");
        return;
    }
    const enum store_result result = model_cache_get(cache, name, reference, &e->other, &error);
    if (result == STORE_NOT_FOUND) schema_problem_add(&e->problems, "/compare", "model \"%s\" has no version %s", name, reference);
    else if (result != STORE_OK) schema_problem_error(&e->problems, "/compare", &error);
}

static void evaluate(struct request *r, const char *name, const char *reference) {
    struct evaluation e = {.request = r};
    struct bp_error error = {0};
    struct model_cache *cache = r->server->model_cache;
    if (!(e.body = request_json(r))) return;
    const enum store_result result = model_cache_get(cache, name, reference, &e.loaded, &error);
    if (result != STORE_OK) {
        answer_no_version(r, result, &error, name, reference);
        json_decref(e.body);
        return;
    }
    decode(&e);
    if (e.problems.total == 0) find_other(&e, name);
    if (e.problems.total) answer_problems(r, &e.problems);
    else answer(&e, name);
    schema_problems_clear(&e.problems);
    if (e.other) model_cache_release(cache, e.other);
    model_cache_release(cache, e.loaded);
    rows_source_close(&e.rows);
    json_decref(e.body);
}

static void evaluate_default(struct request *r) {
    char name[STORE_NAME_SIZE], reference[STORE_NAME_SIZE];
    if (request_model(r, r->params[0], name, reference)) evaluate(r, name, reference);
}

static void evaluate_version(struct request *r) {
    char name[STORE_NAME_SIZE], reference[STORE_NAME_SIZE];
    if (request_version(r, name, reference)) evaluate(r, name, reference);
}

const struct route route_evaluate = {
    .name = "evaluate",
    .method = "POST",
    .path = "/v1/models/{model}/evaluate",
    .scope = SCOPE_TRAIN,
    .body = ROUTE_JSON,
    .flags = ROUTE_SLOW | ROUTE_CHANGES_NOTHING,
    .handle = evaluate_default,
};
const struct route route_evaluate_version = {
    .name = "evaluate_version",
    .method = "POST",
    .path = "/v1/models/{model}/versions/{version}/evaluate",
    .scope = SCOPE_TRAIN,
    .body = ROUTE_JSON,
    .flags = ROUTE_SLOW | ROUTE_CHANGES_NOTHING,
    .handle = evaluate_version,
};

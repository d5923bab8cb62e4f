/* trace.c - POST /v1/models/{model}/trace and .../versions/{version}/trace: a mini-batch through a network, forward and backward, with every number.
 */
#include "schema/trace/trace.h"

#include "schema/json/values.h"
#include "server/http/answer.h"
#include "server/http/http.h"
#include "server/model_cache.h"
#include "server/routes/missing.h"
#include "server/routes/rows_source.h"
#include "server/routes/version_view.h"

#include <stdlib.h>
#include <string.h>

enum { ROWS, STEPS, BRIEF, PARAMS };
static const struct bp_param params[PARAMS] = {
    [ROWS] =
        {.name = "rows", .type = BP_PARAM_INTEGER, .preset = 1, .min = 1, .max = SCHEMA_TRACE_BATCH_MAX, .help = "of the dataset, from its first"},
    [STEPS] = {.name = "steps",
               .type = BP_PARAM_INTEGER,
               .preset = 0,
               .min = 0,
               .max = SCHEMA_TRACE_STEPS_MAX,
               .help = "of the optimizer on this batch, before what is shown"},
    [BRIEF] = {.name = "brief", .type = BP_PARAM_BOOLEAN, .preset = 0, .help = "no layers and no central differences: the losses and the probe"},
};
static const struct bp_entry entry = {.name = "a trace", .params = params, .params_count = PARAMS};

struct traced {
    struct request *request;
    json_t *body;
    struct schema_problems problems;
    struct bp_value values[PARAMS], optimizer_values[BP_VALUES_MAX];
    struct schema_tracing tracing;
    struct loaded *loaded;
    struct rows_source rows;
    struct schema_definition *definition;
};

static void decode(struct traced *t) {
    static const char *const others[] = {"dataset", "definition", "optimizer", "probe", "seed", "weights", "x", "y", NULL};
    const struct schema_names known = {others, NULL};
    const json_t *optimizer = json_object_get(t->body, "optimizer");
    schema_values_decode(t->body, "", &entry, &known, t->values, &t->problems);
    t->tracing.rows = (int32_t)t->values[ROWS].number;
    t->tracing.steps = (int32_t)t->values[STEPS].number;
    t->tracing.brief = t->values[BRIEF].number != 0;
    if (optimizer && !json_is_null(optimizer)) {
        t->tracing.optimizer =
            (const struct bp_optimizer_ops *)schema_entry_decode(optimizer, "/optimizer", &bp_optimizers, NULL, t->optimizer_values, &t->problems);
        t->tracing.optimizer_values = t->optimizer_values;
        if (t->tracing.optimizer && t->tracing.optimizer->search)
            schema_problem_add(&t->problems, "/optimizer", "%s searches over the whole training set; a trace shows one step of another optimizer",
                               t->tracing.optimizer->entry.name);
    }
}

static void answer(struct traced *t, const char *model) {
    json_t *report = t->problems.total ? NULL : schema_trace(&t->tracing, &t->problems);
    if (!report) {
        answer_problems(t->request, &t->problems);
        return;
    }
    json_t *json = json_pack("{s:s, s:s?, s:o}", "object", "trace", "model", model, "version",
                             t->loaded ? json_integer((json_int_t)loaded_version(t->loaded)) : json_null());
    json_object_update(json, report);
    json_decref(report);
    answer_json_exact(t->request, 200, json);
}

/* The definition of the model, on the numbers of the request. false: answered. */
static bool open_definition(struct traced *t, const char *name) {
    static const char *const others[] = {"name", NULL};
    struct store_model m = {0};
    struct bp_error error = {0};
    const enum store_result result = store_model_get(t->request->server->store, name, &m, &error);
    if (result != STORE_OK) {
        answer_no_model(t->request, result, &error, name);
        return false;
    }
    json_t *json = document_json(m.definition);
    if (json_object_get(json, "auto"))
        schema_problem_add(&t->problems, "", "model \"%s\" has no network of its own: it chooses one for the data", name);
    else t->definition = schema_definition_decode(json, "", others, &t->problems);
    json_decref(json);
    store_model_free(&m);
    t->tracing.definition = t->definition;
    t->tracing.numbers = t->body;
    return true;
}

/* The version, on rows of a dataset. false: answered. */
static bool open_version(struct traced *t, const char *name, const char *reference) {
    struct bp_error error = {0};
    const enum store_result result = model_cache_get(t->request->server->model_cache, name, reference, &t->loaded, &error);
    if (result != STORE_OK) {
        answer_no_version(t->request, result, &error, name, reference);
        return false;
    }
    t->tracing.model = loaded_model(t->loaded);
    rows_source_open(t->request, json_object_get(t->body, "dataset"), "/dataset", t->tracing.model, &t->rows, &t->problems);
    t->tracing.dataset = t->rows.dataset;
    return true;
}

static void trace(struct request *r, const char *name, const char *reference) {
    struct traced t = {.request = r};
    if (!(t.body = request_json(r))) return;
    decode(&t);
    if (json_object_get(t.body, "definition")) schema_problem_add(&t.problems, "/definition", "a stored model has one; POST /v1/trace takes another");
    if (json_object_get(t.body, "x") ? open_definition(&t, name) : open_version(&t, name, reference)) answer(&t, name);
    schema_problems_clear(&t.problems);
    if (t.loaded) model_cache_release(r->server->model_cache, t.loaded);
    rows_source_close(&t.rows);
    schema_definition_free(t.definition);
    json_decref(t.body);
}

/* POST /v1/trace: a definition that is not stored. */
static void trace_definition(struct request *r) {
    static const char *const others[] = {"name", NULL};
    struct traced t = {.request = r};
    if (!(t.body = request_json(r))) return;
    decode(&t);
    const json_t *definition = json_object_get(t.body, "definition");
    if (json_is_object(definition)) t.definition = schema_definition_decode(definition, "/definition", others, &t.problems);
    else schema_problem_add(&t.problems, "/definition", "expected a definition, {\"layers\":[...],\"loss\":...}");
    t.tracing.definition = t.definition;
    t.tracing.numbers = t.body;
    answer(&t, NULL);
    schema_problems_clear(&t.problems);
    schema_definition_free(t.definition);
    json_decref(t.body);
}

static void trace_default(struct request *r) {
    char name[STORE_NAME_SIZE], reference[STORE_NAME_SIZE];
    if (request_model(r, r->params[0], name, reference)) trace(r, name, reference);
}

static void trace_version(struct request *r) {
    char name[STORE_NAME_SIZE], reference[STORE_NAME_SIZE];
    if (request_version(r, name, reference)) trace(r, name, reference);
}

const struct route route_trace = {
    .name = "trace",
    .method = "POST",
    .path = "/v1/models/{model}/trace",
    .scope = SCOPE_TRAIN,
    .body = ROUTE_JSON,
    .flags = ROUTE_SLOW | ROUTE_CHANGES_NOTHING,
    .handle = trace_default,
};
const struct route route_trace_definition = {
    .name = "trace_definition",
    .method = "POST",
    .path = "/v1/trace",
    .scope = SCOPE_TRAIN,
    .body = ROUTE_JSON,
    .flags = ROUTE_SLOW | ROUTE_CHANGES_NOTHING,
    .handle = trace_definition,
};
const struct route route_trace_version = {
    .name = "trace_version",
    .method = "POST",
    .path = "/v1/models/{model}/versions/{version}/trace",
    .scope = SCOPE_TRAIN,
    .body = ROUTE_JSON,
    .flags = ROUTE_SLOW | ROUTE_CHANGES_NOTHING,
    .handle = trace_version,
};

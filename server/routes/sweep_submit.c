/* sweep_submit.c - POST /v1/sweeps: a space, a method and a job become a sweep. Its trials are checked before it is accepted: all points of a small
 * grid, otherwise the first ones and those at the ends of each axis. */
#include "server/routes/sweep_view.h"

#include "schema/json/values.h"
#include "schema/memory.h"
#include "schema/predict/metric_name.h"
#include "server/clock.h"
#include "server/ops/metrics.h"
#include "server/routes/missing.h"
#include "server/routes/rows_source.h"
#include "server/routes/submission.h"
#include "server/routes/trial.h"
#include "server/routes/version_view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SPACE_MAX = 256 << 10, DOCUMENT_MAX = 4 << 20 /* bytes as JSON */ };
enum { TRIALS_MAX = 1000, CHECKED_MAX = 24, CHECK_MS = 3000, CHECKED_LEAST = 3 };

enum { METHOD, TRIALS, PARALLEL, SEED, MAX_SECONDS, KEEP_VERSIONS, GOAL, PARAMS };
static const char *const methods[] = {"grid", "random", "asha", NULL}, *const goals[] = {"auto", "minimize", "maximize", NULL};
static const struct bp_param params[PARAMS] = {
    [METHOD] = {.name = "method", .type = BP_PARAM_CHOICE, .choices = methods, .preset = STORE_RANDOM},
    [TRIALS] = {.name = "trials", .type = BP_PARAM_INTEGER, .preset = 20, .min = 1, .max = TRIALS_MAX},
    [PARALLEL] = {.name = "parallel", .type = BP_PARAM_INTEGER, .preset = 0, .min = 0, .max = 256},
    [SEED] = {.name = "seed", .type = BP_PARAM_INTEGER, .preset = 0, .min = 0, .max = 9007199254740991.0},
    [MAX_SECONDS] = {.name = "max_seconds", .type = BP_PARAM_NUMBER, .preset = 0, .min = 0, .max = 1e9},
    [KEEP_VERSIONS] = {.name = "keep_versions", .type = BP_PARAM_BOOLEAN, .preset = 0},
    [GOAL] = {.name = "goal", .type = BP_PARAM_CHOICE, .choices = goals, .preset = 0},
};
static const struct bp_entry sweep_entry = {.name = "sweep", .params = params, .params_count = PARAMS};
enum { ETA, MIN_EPOCHS, ASHA_PARAMS };
static const struct bp_param asha_params[ASHA_PARAMS] = {
    [ETA] = {.name = "eta", .type = BP_PARAM_INTEGER, .preset = 3, .min = 2, .max = 100},
    [MIN_EPOCHS] = {.name = "min_epochs", .type = BP_PARAM_INTEGER, .preset = 1, .min = 1, .max = 1000000},
};
static const struct bp_entry asha_entry = {.name = "asha", .params = asha_params, .params_count = ASHA_PARAMS};

struct sweep_request {
    struct request *request;
    const json_t *body;
    struct store_sweep sweep;
    struct sweep_plan plan;
    json_t *document, *definition;
    char *new_definition; /* of an inline model */
    bool hidden_model;
    struct schema_problems problems;
};

/* ---- what is trained ---- */

static json_t *stored_definition(struct store *store, const char *text, const char *name, struct schema_problems *problems) {
    struct store_model m = {0};
    struct store_version v = {0};
    struct bp_error error = {0};
    int64_t number;
    const char *at = strchr(text, '@');
    char nearest[STORE_NAME_SIZE], meant[120];
    json_t *definition = NULL;
    enum store_result result = at ? store_version_find(store, name, at + 1, &number, &error) : store_model_get(store, name, &m, &error);
    if (at && result == STORE_OK) result = store_version_get(store, name, number, &v, &error);
    if (result == STORE_OK) {
        json_t *document = document_json(at ? v.document : m.definition);
        definition = json_incref(at ? json_object_get(document, "definition") : document);
        json_decref(document);
    } else if (result == STORE_NOT_FOUND) {
        const bool known = *model_nearest(store, name, nearest);
        schema_problem_add(problems, "/model", "there is no model \"%.80s\"%s; define it first with POST /v1/models, or send it inline", text,
                           schema_did_you_mean(known ? nearest : NULL, meant, sizeof meant));
    } else {
        schema_problem_error(problems, "/model", &error);
    }
    store_model_free(&m);
    store_version_free(&v);
    return definition;
}

static void decode_model(struct sweep_request *q) {
    const json_t *model = json_object_get(q->body, "model"), *name = json_object_get(model, "name");
    const char *text = json_string_value(model);
    char got[80];
    if (text) {
        const size_t size = strcspn(text, "@");
        snprintf(q->sweep.model, sizeof q->sweep.model, "%.*s", (int)(size < STORE_NAME_SIZE ? size : 0), text);
        if (!schema_name_valid(q->sweep.model) || (text[size] && !reference_valid(text + size + 1)))
            schema_problem_add(&q->problems, "/model", "\"%.80s\" is not the name of a model", text);
        else q->definition = stored_definition(q->request->server->store, text, q->sweep.model, &q->problems);
    } else if (json_is_object(model)) {
        q->definition = json_deep_copy(model);
        json_object_del(q->definition, "name");
        q->hidden_model = !name;
        if (name && (!json_is_string(name) || !schema_name_valid(json_string_value(name))))
            schema_problem_add(&q->problems, "/model/name",
                               "the name of a model has at most 63 lower-case letters, digits, \".\", \"_\", \"-\"; got %s",
                               schema_json_text(name, got, sizeof got));
        else snprintf(q->sweep.model, sizeof q->sweep.model, "%s", name ? json_string_value(name) : q->sweep.id);
        q->new_definition = schema_json_dump(q->definition, JSON_COMPACT);
    } else {
        schema_problem_add(&q->problems, model ? "/model" : "",
                           model ? "model must be the name of a model or a definition, got %s"
                                 : "a sweep needs \"model\": the name of a model, or a definition%.0s",
                           schema_json_text(model, got, sizeof got));
    }
    if (q->definition && !json_object_get(q->definition, "layers"))
        schema_problem_add(&q->problems, "/model",
                           "a sweep needs a model with layers; networks that are chosen automatically have their own search (effort)");
}

static void decode_dataset(struct sweep_request *q) {
    const json_t *dataset = json_object_get(q->body, "dataset");
    struct store_dataset row = {0};
    struct schema_dataset *opened = NULL;
    char got[80];
    if (!json_is_string(dataset)) {
        schema_problem_add(&q->problems, dataset ? "/dataset" : "",
                           dataset ? "dataset must be the name of a dataset, got %s" : "a sweep needs \"dataset\": the name of a dataset%.0s",
                           schema_json_text(dataset, got, sizeof got));
        return;
    }
    rows_stored(q->request->server->store, json_string_value(dataset), "/dataset", &row, &opened, &q->problems);
    snprintf(q->sweep.dataset, sizeof q->sweep.dataset, "%s", row.name);
    q->sweep.dataset_version = row.version;
    schema_dataset_free(opened);
    store_dataset_free(&row);
}

/* The job of all trials: with the seed of the sweep unless it has its own, so that all trials have the same validation rows. */
static json_t *decode_job(struct sweep_request *q) {
    static const char *const beside[] = {"model", "dataset", "publish", NULL};
    json_t *job = json_deep_copy(json_object_get(q->body, "job"));
    char got[80], place[80];
    if (!json_is_object(job)) {
        schema_problem_add(&q->problems, job ? "/job" : "",
                           job ? "job must be an object, got %s" : "a sweep needs \"job\": {\"target\":...} and what all trials have in common%.0s",
                           schema_json_text(job, got, sizeof got));
        json_decref(job);
        return NULL;
    }
    for (const char *const *name = beside; *name; name++)
        if (json_object_get(job, *name))
            schema_problem_add(&q->problems, schema_pointer("/job", *name, place, sizeof place), "give %s beside job, as a member of the sweep",
                               *name);
    if (!json_object_get(job, "seed")) json_object_set_new(job, "seed", json_integer(q->sweep.seed));
    return job;
}

/* ---- how it is searched ---- */

static void decode_params(struct sweep_request *q) {
    static const char *const others[] = {"model", "dataset", "job", "space", "metric", "asha", "publish", "metadata", NULL};
    struct bp_value v[PARAMS], asha[ASHA_PARAMS];
    struct store_sweep *w = &q->sweep;
    const json_t *halving = json_object_get(q->body, "asha");
    const struct schema_names names = {.list = others};
    if (schema_values_decode(q->body, "", &sweep_entry, &names, v, &q->problems) != 0) return;
    w->method = (enum store_method)v[METHOD].number;
    w->total = (int64_t)v[TRIALS].number;
    w->parallel = (int64_t)v[PARALLEL].number;
    w->seed = v[SEED].given ? (int64_t)v[SEED].number : (int64_t)(schema_seed_draw() % 9007199254740991ULL);
    w->max_seconds = v[MAX_SECONDS].number;
    w->keep_versions = v[KEEP_VERSIONS].number != 0;
    if (w->method == STORE_GRID && v[TRIALS].given)
        schema_problem_add(&q->problems, "/trials", "a grid tries every point of the space; leave out trials, or use the method random");
    if (halving && w->method != STORE_ASHA) schema_problem_add(&q->problems, "/asha", "asha is for the method asha");
    json_t *none = json_object();
    if (schema_values_decode(halving ? halving : none, "/asha", &asha_entry, NULL, asha, &q->problems) == 0 && w->method == STORE_ASHA) {
        w->eta = (int64_t)asha[ETA].number;
        w->min_epochs = (int64_t)asha[MIN_EPOCHS].number;
    }
    json_decref(none);
    const json_t *metric = json_object_get(q->body, "metric");
    char got[80];
    if (metric && (!json_is_string(metric) || !*json_string_value(metric) || strlen(json_string_value(metric)) >= BP_NAME_MAX))
        schema_problem_add(&q->problems, "/metric", "metric must be the name of a metric of the job, as val_loss, got %s",
                           schema_json_text(metric, got, sizeof got));
    else snprintf(w->metric, sizeof w->metric, "%s", metric ? json_string_value(metric) : "val_loss");
    const int direction = schema_metric_direction(w->metric);
    w->higher = v[GOAL].number > 0 ? v[GOAL].number > 1 : direction > 0;
    if (w->metric[0] && !direction && v[GOAL].number < 1)
        schema_problem_add(&q->problems, "/goal", "it is not known whether a higher %.60s is better: give \"goal\":\"minimize\" or \"maximize\"",
                           w->metric);
}

static void decode(struct sweep_request *q) {
    const json_t *metadata = json_object_get(q->body, "metadata");
    store_new_id("swp", q->sweep.id);
    decode_params(q);
    q->sweep.publish = publish_decode(json_object_get(q->body, "publish"), STORE_HOLD_BACK, &q->problems);
    q->sweep.actor = request_actor(q->request);
    if (metadata) q->sweep.metadata = metadata_decode(metadata, &q->problems);
    decode_model(q);
    decode_dataset(q);
    json_t *job = decode_job(q), *space = json_object_get(q->body, "space");
    schema_space_decode(space, "/space", &q->plan.space, &q->problems);
    q->document = json_object();
    json_object_set_new(q->document, "job", job ? job : json_object());
    json_object_set(q->document, "definition", q->definition ? q->definition : json_null());
    json_object_set(q->document, "space", space ? space : json_null());
    q->plan.sweep = &q->sweep;
    q->plan.document = q->document;
    if (q->problems.total || q->sweep.method != STORE_GRID) return;
    q->sweep.total = schema_space_grid(&q->plan.space, "/space", &q->problems);
    if (q->problems.total == 0 && q->sweep.total > TRIALS_MAX)
        schema_problem_add(&q->problems, "/space",
                           "this grid has %s%lld points, a sweep has at most %d trials; use fewer values, or the method random",
                           q->sweep.total == INT64_MAX ? "more than " : "", (long long)q->sweep.total, TRIALS_MAX);
}

/* ---- checking ---- */

/* Every trial repeats its parameters, and its job the rest. */
static void check_size(struct sweep_request *q) {
    char *space = schema_json_dump(q->plan.space.json, JSON_COMPACT), *document = schema_json_dump(q->document, JSON_COMPACT);
    if (!space || !document) schema_problem_no_memory(&q->problems);
    else if (strlen(space) > SPACE_MAX)
        schema_problem_add(&q->problems, "/space", "the space takes at most %d bytes as compact JSON, got %zu", SPACE_MAX, strlen(space));
    else if (strlen(document) > DOCUMENT_MAX)
        schema_problem_add(&q->problems, "", "model, job and space take at most %d bytes as compact JSON, got %zu", DOCUMENT_MAX, strlen(document));
    free(space);
    free(document);
}

/* As many as time allows, and at least a few: the first trials, then the ends of each axis. */
static void check(struct sweep_request *q) {
    const int64_t until = clock_ms() + CHECK_MS, total = q->sweep.total;
    const bool grid = q->sweep.method == STORE_GRID;
    const int64_t first = grid && total <= CHECKED_MAX ? total : total < 4 ? total : 4;
    int64_t checked = 0;
    for (int64_t i = 0; i < first && q->problems.total == 0 && (checked < CHECKED_LEAST || clock_ms() < until); i++, checked++) {
        json_t *parameters = sweep_parameters(&q->plan, i);
        sweep_check(q->request, &q->plan, parameters, i == 0, &q->problems);
        json_decref(parameters);
    }
    if (grid && first == total) return;
    for (int32_t k = 0; k < 2 * q->plan.space.count && checked < CHECKED_MAX && q->problems.total == 0 && clock_ms() < until; k++, checked++) {
        json_t *parameters = schema_space_edge(&q->plan.space, sweep_parameters(&q->plan, 0), k / 2, k % 2);
        sweep_check(q->request, &q->plan, parameters, false, &q->problems);
        json_decref(parameters);
    }
}

/* ---- storing ---- */

static void store(struct sweep_request *q) {
    struct request *r = q->request;
    struct store_idempotency record;
    struct bp_error error = {0};
    char location[80];
    struct store_sweep stored;
    snprintf(location, sizeof location, "/v1/sweeps/%s", q->sweep.id);
    const struct store_sweep_new creation = {.sweep = &q->sweep,
                                             .new_definition = q->new_definition,
                                             .hidden_model = q->hidden_model,
                                             .idempotency = request_idempotency(r, &record, 202, location)};
    q->sweep.document = schema_json_dump(q->document, JSON_COMPACT | JSON_REAL_PRECISION(17));
    if (!q->sweep.document || schema_memory_failed()) {
        schema_problem_no_memory(&q->problems);
        return;
    }
    enum store_result result = store_sweep_create(r->server->store, &creation, &error);
    if (result == STORE_OK) {
        metrics_add(r->server->metrics, METRIC_backpropd_sweeps_total, 1);
        server_poke_sweeps(r->server);
        answer_header(r, "Location", location);
        result = store_sweep_get(r->server->store, q->sweep.id, &stored, &error);
    }
    if (result != STORE_OK) {
        answer_store(r, result, &error, "dataset or model of this sweep");
        return;
    }
    answer_json(r, 202, sweep_json(&stored));
    store_sweep_free(&stored);
}

static void create(struct request *r) {
    struct sweep_request *q = calloc(1, sizeof *q);
    json_t *body = q ? request_json(r) : NULL;
    if (!q) answer_problem(r, PROBLEM_overloaded, "out of memory");
    if (body) {
        q->request = r;
        q->body = body;
        decode(q);
        if (q->problems.total == 0) check_size(q);
        if (q->problems.total == 0) check(q);
        if (q->problems.total == 0) store(q);
        if (q->problems.total) answer_problems(r, &q->problems);
        schema_space_clear(&q->plan.space);
        json_decref(q->document);
        json_decref(q->definition);
        free(q->new_definition);
        store_sweep_free(&q->sweep);
        json_decref(body);
    }
    free(q);
}

const struct route route_create_sweep = {
    .name = "create_sweep",
    .method = "POST",
    .path = "/v1/sweeps",
    .scope = SCOPE_TRAIN,
    .body = ROUTE_JSON,
    .flags = ROUTE_SLOW | ROUTE_IDEMPOTENT_KEY,
    .handle = create,
};

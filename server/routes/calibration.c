/* calibration.c - GET|PATCH|DELETE /v1/models/{model}/versions/{version}/calibration and POST .../calibrate: what a version has apart from its model
 * file. It has an entity tag, which changes with it; predictions that begin after the answer to a change go by it. */
#include "schema/calibrate/calibrate.h"

#include "schema/evaluate/evaluate.h"
#include "schema/json/values.h"
#include "schema/memory.h"
#include "server/http/answer.h"
#include "server/http/http.h"
#include "server/model_cache.h"
#include "server/routes/rows_source.h"
#include "server/routes/version_view.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Rows times numbers that a fit goes through in a request: about half a minute of one core. */
enum { WORK_MAX = 50000000, TRIES = 5 };

/* ---- answers ------------------------------------------------------------------------------------------------------------------------------ */

/* Whether it changes anything: what is left of one that was emptied by hand does not. */
static bool changes_predictions(const json_t *shown) {
    const char *name;
    json_t *target;
    const json_t *thresholds = json_object_get(shown, "thresholds");
    bool changes = thresholds && !json_is_null(thresholds);
    json_object_foreach(json_object_get(shown, "targets"), name, target) {
        const json_t *conformal = json_object_get(target, "conformal"), *temperature = json_object_get(target, "temperature");
        changes = changes || (conformal && !json_is_null(conformal)) || (temperature && json_number_value(temperature) != 1);
    }
    return changes;
}

static json_t *calibration_json(const char *model, int64_t version, const struct store_calibration *c) {
    json_t *json = json_pack("{s:s, s:s, s:I, s:o, s:o}", "object", "calibration", "model", model, "version", (json_int_t)version, "changed_at",
                             time_json(c->changed_at), "changed_by", c->actor.key_name[0] ? json_string(c->actor.key_name) : json_null());
    json_t *document = c->document ? schema_json_load(c->document, strlen(c->document), 0, NULL) : NULL;
    json_t *shown = document ? schema_calibration_show(document) : json_pack("{s:{}, s:n}", "targets", "thresholds");
    json_object_update_missing(json, shown);
    json_object_set_new(json, "calibrated", json_boolean(changes_predictions(shown)));
    if (!json_object_get(json, "fitted")) json_object_set_new(json, "fitted", json_null());
    json_decref(shown);
    json_decref(document);
    return json;
}

static void answer_calibration(struct request *r, const char *model, int64_t version) {
    struct store_calibration c = {0};
    struct bp_error error = {0};
    char tag[24], quoted[32];
    const enum store_result result = store_calibration_get(r->server->store, model, version, &c, &error);
    if (result != STORE_OK) {
        answer_store(r, result, &error, "version %lld of model \"%s\"", (long long)version, model);
        return;
    }
    const bool reads = strcmp(r->route->method, "GET") == 0;
    snprintf(tag, sizeof tag, "%lld", (long long)c.change);
    snprintf(quoted, sizeof quoted, "\"%s\"", tag);
    answer_header(r, "Cache-Control", "no-cache");
    if (!reads) answer_header(r, "ETag", quoted);
    if (!reads || !answered_unchanged(r, tag)) answer_json_exact(r, 200, calibration_json(model, version, &c));
    store_calibration_free(&c);
}

/* The version's number. false: answered. */
static bool find(struct request *r, char name[STORE_NAME_SIZE], int64_t *version) {
    char reference[STORE_NAME_SIZE];
    struct bp_error error = {0};
    if (!request_version(r, name, reference)) return false;
    const enum store_result result = store_version_find(r->server->store, name, reference, version, &error);
    if (result != STORE_OK) answer_no_version(r, result, &error, name, reference);
    return result == STORE_OK;
}

static void get(struct request *r) {
    char name[STORE_NAME_SIZE];
    int64_t version;
    if (find(r, name, &version)) answer_calibration(r, name, version);
}

/* ---- changes ------------------------------------------------------------------------------------------------------------------------------ */

/* The count that If-Match requires, -1: it requires none. */
static int64_t required(const struct request *r, const struct store_calibration *c) {
    const char *if_match = request_header(r, "If-Match");
    char tag[24];
    snprintf(tag, sizeof tag, "%lld", (long long)c->change);
    return !if_match ? -1 : header_has_tag(if_match, tag) ? c->change : INT64_MAX;
}

/* Stores a document; NULL removes it. false: not stored, answered; *again (may be NULL): not answered, somebody else has changed it in between. */
static bool store(struct request *r, const char *name, int64_t version, const json_t *document, int64_t if_change, bool *again) {
    struct bp_error error = {0};
    const struct store_actor actor = request_actor(r);
    char *text = document ? schema_json_dump(document, JSON_COMPACT | JSON_REAL_PRECISION(17)) : NULL;
    const struct store_calibration_change change = {.model = name, .version = version, .document = text, .if_change = if_change, .actor = &actor};
    enum store_result result = document && !text ? STORE_FAILED : store_calibration_set(r->server->store, &change, &error);
    if (document && !text) bp_error_memory(&error, "no memory for the calibration; try again later");
    free(text);
    if (result == STORE_CHANGED && again) return *again = true, false;
    if (result != STORE_OK) answer_store(r, result, &error, "version %lld of model \"%s\"", (long long)version, name);
    return result == STORE_OK;
}

static void delete_calibration(struct request *r) {
    char name[STORE_NAME_SIZE];
    int64_t version;
    struct store_calibration c = {0};
    struct bp_error error = {0};
    if (!find(r, name, &version)) return;
    const enum store_result result = store_calibration_get(r->server->store, name, version, &c, &error);
    if (result != STORE_OK) answer_store(r, result, &error, "version %lld of model \"%s\"", (long long)version, name);
    else if (store(r, name, version, NULL, required(r, &c), NULL)) answer_bytes(r, 204, NULL, NULL, 0);
    store_calibration_free(&c);
}

/* One attempt: what is there now, changed, stored if it still is there. false: again. */
static bool update_once(struct request *r, const char *name, int64_t version, const struct schema_training *training, const json_t *body, bool last) {
    struct store_calibration stored = {0};
    struct bp_error error = {0};
    struct schema_problems problems = {0};
    bool again = false;
    const enum store_result result = store_calibration_get(r->server->store, name, version, &stored, &error);
    json_t *before = stored.document ? schema_json_load(stored.document, strlen(stored.document), 0, NULL) : NULL;
    json_t *document = result == STORE_OK ? schema_calibration_change(before, training, body, &problems) : NULL;
    if (result != STORE_OK) answer_store(r, result, &error, "version %lld of model \"%s\"", (long long)version, name);
    else if (!document) answer_problems(r, &problems);
    else {
        const int64_t wanted = required(r, &stored);
        if (store(r, name, version, document, wanted >= 0 ? wanted : stored.change, wanted < 0 && !last ? &again : NULL))
            answer_calibration(r, name, version);
    }
    schema_problems_clear(&problems);
    store_calibration_free(&stored);
    json_decref(document);
    json_decref(before);
    return !again;
}

static void update(struct request *r) {
    char name[STORE_NAME_SIZE], number[24];
    int64_t version;
    struct loaded *loaded = NULL;
    struct bp_error error = {0};
    json_t *body = request_json(r);
    if (!body) return;
    if (find(r, name, &version)) {
        snprintf(number, sizeof number, "%lld", (long long)version);
        const enum store_result result = model_cache_get(r->server->model_cache, name, number, &loaded, &error);
        if (result != STORE_OK) answer_no_version(r, result, &error, name, number);
        for (int i = 1; result == STORE_OK && !update_once(r, name, version, loaded_model(loaded)->training, body, i == TRIES); i++) {
        }
    }
    if (loaded) model_cache_release(r->server->model_cache, loaded);
    json_decref(body);
}

/* ---- fitting ------------------------------------------------------------------------------------------------------------------------------ */

/* A request to calibrate, as it is decoded and answered. */
struct calibration {
    struct request *request;
    json_t *body;
    struct schema_problems problems;
    struct schema_calibrating what;
    struct rows_source rows;
};

/* The rows that a version was trained on are predicted better than others. */
static void warn_of_training_rows(const struct calibration *c, json_t *fitted) {
    const json_t *trained = json_object_get(json_object_get(c->what.model->document, "dataset"), "name");
    if (c->rows.upload || !json_is_string(trained) || strcmp(json_string_value(trained), c->rows.row.name) != 0) return;
    json_array_append_new(
        json_object_get(fitted, "warnings"),
        json_sprintf("the version was trained on rows of \"%s\": it predicts those better than others, so that sets and intervals cover "
                     "less than they promise; calibrate it with rows that it has not seen, or with the option \"calibrate\" of a job",
                     c->rows.row.name));
}

static void fit(struct calibration *c, const char *name, int64_t version) {
    struct request *r = c->request;
    struct bp_error error = {0};
    struct store_calibration stored = {0};
    const struct schema_evaluation size = {.model = c->what.model, .dataset = c->what.dataset, .rows_max = c->what.options.rows_max};
    const int64_t work = schema_evaluation_work(&size);
    if (work > WORK_MAX) {
        schema_problem_add(&c->problems, "/rows", "this takes too long for a request: at most about %lld rows can be used; set \"rows\" to that",
                           (long long)((double)c->what.dataset->rows * WORK_MAX / (double)work));
        answer_problems(r, &c->problems);
        return;
    }
    json_t *document = schema_calibrate(&c->what, &error);
    if (!document && error.pointer[0]) schema_problem_error(&c->problems, error.pointer, &error);
    if (c->problems.total) answer_problems(r, &c->problems);
    else if (!document) answer_error(r, &error);
    else {
        json_t *fitted = json_object_get(document, "fitted");
        json_object_set_new(fitted, "dataset", rows_source_name(&c->rows));
        warn_of_training_rows(c, fitted);
        const bool matches = request_header(r, "If-Match") != NULL;
        const enum store_result result = matches ? store_calibration_get(r->server->store, name, version, &stored, &error) : STORE_OK;
        if (result != STORE_OK) answer_store(r, result, &error, "version %lld of model \"%s\"", (long long)version, name);
        else if (store(r, name, version, document, matches ? required(r, &stored) : -1, NULL)) answer_calibration(r, name, version);
        store_calibration_free(&stored);
    }
    json_decref(document);
}

static void calibrate(struct request *r) {
    static const char *const others[] = {"dataset", NULL};
    char name[STORE_NAME_SIZE], reference[STORE_NAME_SIZE];
    struct calibration c = {.request = r};
    struct bp_error error = {0};
    struct loaded *loaded = NULL;
    struct model_cache *cache = r->server->model_cache;
    if (!request_version(r, name, reference) || !(c.body = request_json(r))) return;
    const enum store_result result = model_cache_get(cache, name, reference, &loaded, &error);
    if (result != STORE_OK) {
        answer_no_version(r, result, &error, name, reference);
        json_decref(c.body);
        return;
    }
    c.what = (struct schema_calibrating){.model = loaded_model(loaded), .stop = server_stopping, .context = r->server};
    schema_calibrate_decode(c.body, "", others, &c.what.options, &c.problems);
    rows_source_open(r, json_object_get(c.body, "dataset"), "/dataset", loaded_model(loaded), &c.rows, &c.problems);
    c.what.dataset = c.rows.dataset;
    if (c.problems.total) answer_problems(r, &c.problems);
    else fit(&c, name, loaded_version(loaded));
    schema_problems_clear(&c.problems);
    model_cache_release(cache, loaded);
    rows_source_close(&c.rows);
    json_decref(c.body);
}

const struct route route_calibrate_version = {
    .name = "calibrate_version",
    .method = "POST",
    .path = "/v1/models/{model}/versions/{version}/calibrate",
    .scope = SCOPE_TRAIN,
    .body = ROUTE_JSON,
    .flags = ROUTE_SLOW,
    .handle = calibrate,
};
const struct route route_get_calibration = {
    .name = "get_calibration",
    .method = "GET",
    .path = "/v1/models/{model}/versions/{version}/calibration",
    .scope = SCOPE_READ,
    .flags = ROUTE_SLOW,
    .handle = get,
};
const struct route route_update_calibration = {
    .name = "update_calibration",
    .method = "PATCH",
    .path = "/v1/models/{model}/versions/{version}/calibration",
    .scope = SCOPE_TRAIN,
    .body = ROUTE_JSON,
    .flags = ROUTE_SLOW,
    .handle = update,
};
const struct route route_delete_calibration = {
    .name = "delete_calibration",
    .method = "DELETE",
    .path = "/v1/models/{model}/versions/{version}/calibration",
    .scope = SCOPE_ADMIN,
    .flags = ROUTE_SLOW,
    .handle = delete_calibration,
};

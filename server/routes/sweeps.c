/* sweeps.c - GET /v1/sweeps, GET|DELETE /v1/sweeps/{id}, GET .../trials, POST .../cancel. Submission is in sweep_submit.c; what makes and ends trials
 * is server/sweeps. */
#include "server/routes/csv.h"
#include "server/routes/sweep_view.h"

#include "schema/json/values.h"
#include "server/jobs/supervisor.h"
#include "server/model_cache.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CSV_MAX = 64 << 20 };

/* ---- views ---- */

static json_t *counts_json(const struct store_sweep *w) {
    const struct store_trial_counts *t = &w->trials;
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "total", (json_int_t)w->total, "created", (json_int_t)w->created, "queued",
                     (json_int_t)t->queued, "running", (json_int_t)t->running, "paused", (json_int_t)t->paused, "succeeded", (json_int_t)t->succeeded,
                     "failed", (json_int_t)t->failed, "cancelled", (json_int_t)t->cancelled, "invalid", (json_int_t)t->invalid, "stopped",
                     (json_int_t)t->stopped);
}

json_t *sweep_json(const struct store_sweep *w) {
    json_t *json = json_pack("{s:s, s:s, s:s, s:s, s:{s:s, s:I}, s:s, s:s, s:s, s:I}", "object", "sweep", "id", w->id, "status",
                             store_sweep_status_names[w->status], "model", w->model, "dataset", "name", w->dataset, "version",
                             (json_int_t)w->dataset_version, "method", store_method_names[w->method], "metric", w->metric, "goal",
                             w->higher ? "maximize" : "minimize", "seed", (json_int_t)w->seed);
    json_t *document = document_json(w->document);
    json_object_set_new(json, "trials", counts_json(w));
    json_object_set_new(json, "best_trial", w->best >= 0 ? json_integer(w->best) : json_null());
    json_object_set_new(json, "parallel", w->parallel ? json_integer(w->parallel) : json_null());
    json_object_set_new(json, "asha",
                        w->eta ? json_pack("{s:I, s:I}", "eta", (json_int_t)w->eta, "min_epochs", (json_int_t)w->min_epochs) : json_null());
    json_object_set_new(json, "max_seconds", w->max_seconds > 0 ? schema_number_encode(w->max_seconds) : json_null());
    json_object_set_new(json, "publish",
                        w->publish == STORE_PUBLISH_IF_BETTER ? json_string("if_better") : json_boolean(w->publish == STORE_PUBLISH));
    json_object_set_new(json, "publication", document_json(w->publication));
    json_object_set_new(json, "keep_versions", json_boolean(w->keep_versions));
    json_object_set_new(json, "versions_removed", json_integer(w->versions_removed));
    json_object_set_new(json, "created_at", time_json(w->created_at));
    json_object_set_new(json, "finished_at", time_json(w->finished_at));
    json_object_set_new(json, "error", document_json(w->error));
    json_object_set_new(json, "metadata", document_json(w->metadata));
    json_object_update_missing(json, document); /* job, definition, space */
    json_decref(document);
    return json;
}

static json_t *trial_json(const struct store_trial *t) {
    json_t *json = json_pack("{s:I, s:s?, s:s}", "number", (json_int_t)t->number, "job", t->job[0] ? t->job : NULL, "status", t->status);
    json_object_set_new(json, "parameters", document_json(t->parameters));
    json_object_set_new(json, "value", t->has_value ? json_real(t->value) : json_null());
    json_object_set_new(json, "epochs", json_integer(t->epochs));
    json_object_set_new(json, "rung", t->rung_epoch ? json_integer(t->rung_epoch) : json_null());
    json_object_set_new(json, "stopped", t->stopped ? json_string(t->stopped) : json_null());
    json_object_set_new(json, "training_seconds", json_real((double)t->training_ms / 1000));
    json_object_set_new(json, "model_version", t->version ? json_integer(t->version) : json_null());
    json_object_set_new(json, "error", document_json(t->error));
    return json;
}

/* ---- reading ---- */

/* With the best trial; false: answered. */
static bool read_sweep(struct request *r, struct store_sweep *w) {
    struct bp_error error = {0};
    const enum store_result result = store_sweep_get(r->server->store, r->params[0], w, &error);
    if (result != STORE_OK) answer_store(r, result, &error, "sweep \"%.60s\"", r->params[0]);
    return result == STORE_OK;
}

static void get(struct request *r) {
    struct store_sweep w;
    struct store_trial best = {0};
    struct bp_error error = {0};
    if (!read_sweep(r, &w)) return;
    const enum store_result result = w.best >= 0 ? store_trial_get(r->server->store, w.id, w.best, &best, &error) : STORE_NOT_FOUND;
    if (result == STORE_OK || result == STORE_NOT_FOUND) {
        json_t *json = sweep_json(&w);
        json_object_set_new(json, "best", result == STORE_OK ? trial_json(&best) : json_null());
        answer_json(r, 200, json);
    } else {
        answer_store(r, result, &error, "sweep \"%.60s\"", r->params[0]);
    }
    store_trial_free(&best);
    store_sweep_free(&w);
}

static json_t *listed(struct request *r, const void *item) {
    (void)r;
    return sweep_json(item);
}

static const char *id_at(const void *item, char text[24]) {
    const struct store_sweep *w = item;
    (void)text;
    return w->id;
}

static void list(struct request *r) {
    struct store_sweep_filter filter = {0};
    struct store_sweeps found = {0};
    struct bp_error error = {0};
    enum store_sweep_status status = STORE_SWEEP_RUNNING;
    const char *text = request_query(r, "status");
    if (!request_paging(r, &filter.limit, &filter.after)) return;
    while (text && status < STORE_SWEEP_STATUS_COUNT && strcmp(store_sweep_status_names[status], text) != 0) status++;
    if (status == STORE_SWEEP_STATUS_COUNT) {
        answer_problem(r, PROBLEM_invalid, "unknown status \"%.40s\"; statuses: running cancelling cancelled succeeded failed", text);
        return;
    }
    if (text) filter.status = &status;
    const enum store_result result = store_sweep_list(r->server->store, &filter, &found, &error);
    if (result == STORE_OK) answer_list(r, &(struct listing){LISTING(found), .has_more = found.has_more, .render = listed, .id = id_at});
    else answer_store(r, result, &error, "sweeps");
    store_sweeps_free(&found);
}

/* ---- trials ---- */

/* number,value,...: then a column for each parameter. */
static void trials_csv(struct request *r, const struct store_sweep *w, const struct store_trials *trials) {
    static const char *const columns[] = {"number", "job", "status", "value", "epochs", "rung", "training_seconds", "model_version", "stopped"};
    struct schema_text text = {.limit = CSV_MAX};
    json_t *document = document_json(w->document), *space = json_object_get(document, "space"), *ignored;
    const char *path;
    for (size_t k = 0; k < sizeof columns / sizeof *columns; k++) csv_text(&text, columns[k], k == 0);
    json_object_foreach(space, path, ignored) csv_text(&text, path, false);
    csv_line(&text);
    for (int32_t i = 0; i < trials->count; i++) {
        json_t *trial = trial_json(&trials->items[i]);
        for (size_t k = 0; k < sizeof columns / sizeof *columns; k++) csv_value(&text, json_object_get(trial, columns[k]), k == 0);
        json_object_foreach(space, path, ignored) csv_value(&text, json_object_get(json_object_get(trial, "parameters"), path), false);
        csv_line(&text);
        json_decref(trial);
    }
    json_decref(document);
    csv_answer(r, &text);
}

static bool order_decode(struct request *r, enum store_trial_order *order, bool *descending) {
    static const char *const names[] = {[STORE_TRIALS_BY_NUMBER] = "number",
                                        [STORE_TRIALS_BY_VALUE] = "value",
                                        [STORE_TRIALS_BY_EPOCHS] = "epochs",
                                        [STORE_TRIALS_BY_TIME] = "training_seconds",
                                        [STORE_TRIALS_BY_STATUS] = "status"};
    const char *text = request_query(r, "sort");
    *order = STORE_TRIALS_BY_NUMBER;
    *descending = text && *text == '-';
    if (!text) return true;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        *order = (enum store_trial_order)i;
        if (strcmp(names[i], text + *descending) == 0) return true;
    }
    answer_problem(r, PROBLEM_invalid,
                   "sort expects number, value, epochs, training_seconds or status, with - in front for a descending order; got \"%.40s\"", text);
    return false;
}

static void trials(struct request *r) {
    struct store_sweep w;
    struct store_trials found = {0};
    struct bp_error error = {0};
    enum store_trial_order order;
    bool descending;
    char *rungs = NULL;
    if (!order_decode(r, &order, &descending) || !read_sweep(r, &w)) return;
    enum store_result result = store_trial_list(r->server->store, w.id, order, descending, &found, &error);
    if (result == STORE_OK) result = store_rungs(r->server->store, w.id, &rungs, &error);
    if (result != STORE_OK) {
        answer_store(r, result, &error, "sweep \"%.60s\"", r->params[0]);
    } else if (csv_wanted(r)) {
        trials_csv(r, &w, &found);
    } else {
        json_t *data = json_array();
        for (int32_t i = 0; i < found.count; i++) json_array_append_new(data, trial_json(&found.items[i]));
        answer_header(r, "Vary", "Accept");
        answer_json(
            r, 200,
            json_pack("{s:s, s:s, s:o, s:o, s:b}", "object", "list", "sweep", w.id, "data", data, "rungs", document_json(rungs), "has_more", 0));
    }
    free(rungs);
    store_trials_free(&found);
    store_sweep_free(&w);
}

/* ---- changing ---- */

static void cancel(struct request *r) {
    struct bp_error error = {0};
    const enum store_result result = store_sweep_cancel(r->server->store, r->params[0], &error);
    if (result != STORE_OK) {
        answer_store(r, result, &error, "sweep \"%.60s\"", r->params[0]);
        return;
    }
    server_poke_sweeps(r->server);
    get(r);
}

static void delete_sweep(struct request *r) {
    struct store_sweep w;
    struct bp_error error = {0};
    if (!read_sweep(r, &w)) return;
    const enum store_result result = store_sweep_delete(r->server->store, w.id, &error);
    if (result == STORE_OK && strcmp(w.model, w.id) == 0) model_cache_deleted(r->server->model_cache, w.id, 0);
    if (result == STORE_OK) answer_bytes(r, 204, NULL, NULL, 0);
    else answer_store(r, result, &error, "sweep \"%.60s\"", r->params[0]);
    store_sweep_free(&w);
}

const struct route route_list_sweeps = {
    .name = "list_sweeps",
    .method = "GET",
    .path = "/v1/sweeps",
    .scope = SCOPE_READ,
    .flags = ROUTE_SLOW,
    .query = "status,limit,after",
    .handle = list,
};
const struct route route_get_sweep = {
    .name = "get_sweep",
    .method = "GET",
    .path = "/v1/sweeps/{id}",
    .scope = SCOPE_READ,
    .flags = ROUTE_SLOW,
    .handle = get,
};
const struct route route_list_trials = {
    .name = "list_trials",
    .method = "GET",
    .path = "/v1/sweeps/{id}/trials",
    .scope = SCOPE_READ,
    .flags = ROUTE_SLOW,
    .query = "sort",
    .handle = trials,
};
const struct route route_cancel_sweep = {
    .name = "cancel_sweep",
    .method = "POST",
    .path = "/v1/sweeps/{id}/cancel",
    .scope = SCOPE_TRAIN,
    .flags = ROUTE_SLOW,
    .handle = cancel,
};
const struct route route_delete_sweep = {
    .name = "delete_sweep",
    .method = "DELETE",
    .path = "/v1/sweeps/{id}",
    .scope = SCOPE_ADMIN,
    .flags = ROUTE_SLOW,
    .handle = delete_sweep,
};

/* trial.c - see trial.h. */
#include "server/routes/trial.h"

#include "schema/json/values.h"
#include "schema/memory.h"
#include "schema/resolve/folds.h"
#include "server/http/answer.h"
#include "server/ops/metrics.h"
#include "server/routes/submission.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

json_t *sweep_parameters(const struct sweep_plan *plan, int64_t i) {
    return plan->sweep->method == STORE_GRID ? schema_space_point(&plan->space, i) : schema_space_draw(&plan->space, (uint64_t)plan->sweep->seed, i);
}

/* The body of POST /v1/jobs with these parameters. NULL with problems. */
static json_t *compose(const struct sweep_plan *plan, const json_t *parameters, struct schema_problems *problems) {
    const struct store_sweep *w = plan->sweep;
    char dataset[STORE_NAME_SIZE + 24];
    json_t *body = json_deep_copy(json_object_get(plan->document, "job")), *model = json_deep_copy(json_object_get(plan->document, "definition"));
    snprintf(dataset, sizeof dataset, "%s@%lld", w->dataset, (long long)w->dataset_version);
    json_object_set_new(model, "name", json_string(w->model));
    json_object_set_new(body, "model", model);
    json_object_set_new(body, "dataset", json_string(dataset));
    json_object_set_new(body, "publish", w->publish == STORE_PUBLISH_IF_BETTER ? json_string("if_better") : json_false());
    if (schema_space_apply(&plan->space, parameters, "/space", body, problems) == 0) return body;
    json_decref(body);
    return NULL;
}

/* Decodes and resolves it. The model is stored already, with the definition that the sweep was submitted with. */
static void open_trial(struct submission *s, struct request *r, const json_t *body) {
    s->request = r;
    s->model_pointer = "/model";
    s->body = body;
    s->model = json_object_get(body, "model");
    s->job.attempts_max = r->server->settings.attempts_max;
    store_new_id("job", s->job.id);
    submission_open(s);
    free(s->new_definition);
    s->new_definition = NULL;
    s->hidden_model = false;
}

/* Epochs after which the sweep decides. The caller's; NULL: it never does. */
static json_t *rungs(const struct store_sweep *w, int64_t epochs) {
    json_t *list = w->eta > 1 ? json_array() : NULL;
    for (int64_t epoch = w->min_epochs; list && epoch < epochs; epoch *= w->eta) json_array_append_new(list, json_integer(epoch));
    return list;
}

/* ---- checking ---- */

/* A problem of the job, at its place in the sweep. */
static void move_problem(const struct sweep_plan *plan, const json_t *parameters, const struct schema_problem *problem, bool check_metric,
                         struct schema_problems *to) {
    const char *pointer = problem->pointer ? problem->pointer : "", *detail = problem->detail ? problem->detail : "";
    const int32_t axis = schema_space_axis_at(&plan->space, pointer);
    char place[SCHEMA_SPACE_PATH + 80], shown[80];
    if (axis >= 0) {
        const char *name = plan->space.axes[axis].name;
        schema_problem_add(to, schema_pointer("/space", name, place, sizeof place), "with %s: %s",
                           schema_json_text(json_object_get(parameters, name), shown, sizeof shown), detail);
        return;
    }
    if (check_metric && strcmp(pointer, "/early_stopping/metric") == 0) {
        schema_problem_add(to, "/metric", "%s", detail);
        return;
    }
    const bool own = strncmp(pointer, "/model", 6) == 0 || strncmp(pointer, "/dataset", 8) == 0;
    snprintf(place, sizeof place, "%s%.250s", own ? "" : "/job", pointer);
    schema_problem_add(to, place, "%s", detail);
}

static void check_rungs(const struct store_sweep *w, const struct submission *s, struct schema_problems *problems) {
    if (w->eta < 2) return;
    if (s->options.folds)
        schema_problem_add(problems, "/job/validation/folds",
                           "asha compares trials after some epochs, which a cross-validation does not have; use the method random");
    else if (w->min_epochs >= s->training->options.epochs)
        schema_problem_add(problems, "/asha/min_epochs",
                           "min_epochs must be less than the epochs of a trial, %d, so that some can be stopped; got %lld",
                           s->training->options.epochs, (long long)w->min_epochs);
}

bool sweep_check(struct request *r, const struct sweep_plan *plan, const json_t *parameters, bool check_metric, struct schema_problems *problems) {
    json_t *body = compose(plan, parameters, problems);
    const int64_t before = problems->total;
    if (!body) return false;
    if (check_metric) { /* the one who knows the metrics of a job is early stopping */
        json_t *stopping = json_object_get(body, "early_stopping");
        if (!json_is_object(stopping)) json_object_set_new(body, "early_stopping", stopping = json_object());
        json_object_set_new(stopping, "metric", json_string(plan->sweep->metric));
    }
    struct submission s = {0};
    open_trial(&s, r, body);
    if (s.problems.total == 0 && s.training && check_metric) check_rungs(plan->sweep, &s, problems);
    for (int32_t i = 0; i < s.problems.count; i++) move_problem(plan, parameters, &s.problems.items[i], check_metric, problems);
    if (s.problems.code > problems->code) problems->code = s.problems.code;
    if (s.problems.total == 0 && !s.training) schema_problem_no_memory(problems);
    submission_close(&s);
    json_decref(body);
    return problems->total == before;
}

/* ---- making ---- */

static enum trial_result store_invalid(struct store *store, const struct store_trial_new *trial, const struct schema_problems *problems,
                                       struct bp_error *error) {
    const struct schema_problem *first = &problems->items[0];
    const bool place = first->pointer && *first->pointer;
    json_t *document = json_object();
    json_object_set_new(document, "code", json_string("invalid"));
    json_object_set_new(document, "message",
                        json_sprintf("%s%s%s", place ? first->pointer : "", place ? ": " : "", first->detail ? first->detail : ""));
    char *text = schema_json_dump(document, JSON_COMPACT);
    json_decref(document);
    if (!text) bp_error_memory(error, "out of memory");
    const enum store_result result = text ? store_trial_invalid(store, trial, text, error) : STORE_FAILED;
    free(text);
    return result == STORE_OK ? TRIAL_INVALID : result == STORE_STALE ? TRIAL_STALE : TRIAL_LATER;
}

static enum trial_result store_trial(struct server *server, struct submission *s, const struct store_trial_new *trial, struct bp_error *error) {
    submission_describe(s);
    if (schema_memory_failed()) return bp_error_memory(error, "out of memory"), TRIAL_LATER;
    const struct store_job_new creation = {
        .job = &s->job, .trial = trial, .init = s->init.spec ? s->init.blob : NULL, .init_size = s->init.blob_size};
    const enum store_result result = store_job_create(server->store, &creation, error);
    if (result == STORE_OK) metrics_add(server->metrics, METRIC_backpropd_sweep_trials_total, 1);
    return result == STORE_OK ? TRIAL_MADE : result == STORE_STALE ? TRIAL_STALE : TRIAL_LATER;
}

enum trial_result sweep_trial(struct server *server, const struct sweep_plan *plan, int64_t number, double seconds, struct bp_error *error) {
    struct schema_problems problems = {0};
    struct submission s = {0};
    json_t *parameters = sweep_parameters(plan, number), *body = compose(plan, parameters, &problems);
    char *text = schema_json_dump(parameters, JSON_COMPACT | JSON_REAL_PRECISION(17));
    struct store_trial_new trial = {.sweep = plan->sweep->id, .number = number, .parameters = text};
    struct request *r = calloc(1, sizeof *r); /* no client waits: only its server and its key count */
    enum trial_result made = TRIAL_LATER;
    if (r) {
        r->server = server;
        snprintf(r->who.id, sizeof r->who.id, "%s", plan->sweep->actor.key_id);
        snprintf(r->who.name, sizeof r->who.name, "%s", plan->sweep->actor.key_name);
    }
    if (seconds > 0 && body) {
        const double own = json_number_value(json_object_get(body, "max_seconds"));
        if (own <= 0 || own > seconds) json_object_set_new(body, "max_seconds", json_real(seconds));
    }
    if (r && body) open_trial(&s, r, body);
    const struct schema_problems *found = problems.total ? &problems : &s.problems;
    if (!r || !text || schema_memory_failed()) bp_error_memory(error, "out of memory");
    else if (found->total && found->code != BP_ERROR_INVALID)
        bp_error_set(error, "", "%s", found->items[0].detail ? found->items[0].detail : "out of memory");
    else if (found->total) made = store_invalid(server->store, &trial, found, error);
    else if (s.training) {
        s.rungs = rungs(plan->sweep, s.training->options.epochs);
        made = store_trial(server, &s, &trial, error);
        json_decref(s.rungs);
    }
    schema_problems_clear(&problems);
    if (r && body) submission_close(&s);
    json_decref(body);
    json_decref(parameters);
    free(text);
    free(r);
    return made;
}

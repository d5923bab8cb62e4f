/* validate.c - POST /v1/models/validate: what POST /v1/models or POST /v1/jobs would say to the same body, with nothing stored.
 *
 * A definition is given as in those routes: as the body itself for a model ({"layers":...}), or under "model" as for a job, which may be a name
 * too. "definition" is an older spelling of the latter. */
#include "server/http/answer.h"
#include "server/http/request.h"

#include "schema/json/values.h"
#include "schema/memory.h"
#include "server/routes/processes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static json_t *valid_json(const struct bp_network *network, int64_t memory) {
    return json_pack("{s:s, s:b, s:b, s:o, s:o, s:o}", "object", "validation", "valid", 1, "complete", network->complete, "layers",
                     schema_network_layers_json(network), "parameters", network->complete ? json_integer(network->parameters) : json_null(),
                     "memory_bytes", memory > 0 ? json_integer(memory) : json_null());
}

static void validate_alone(struct request *r, struct schema_definition *definition, const char *pointer, struct schema_problems *problems) {
    struct bp_input open[BP_INPUTS_MAX];
    const int32_t count = definition->inputs_count ? 0 : schema_definition_open_inputs(definition, open);
    struct bp_graph graph = schema_definition_graph(definition, count ? open : NULL, count);
    struct bp_network *network = NULL;
    struct bp_error error = {0};
    graph.any_readers = definition->outputs_count == 0;
    if (definition->layers_count == 0)
        answer_json(
            r, 200,
            json_pack("{s:s, s:b, s:b, s:[], s:n, s:n}", "object", "validation", "valid", 1, "complete", 0, "layers", "parameters", "memory_bytes"));
    else if (bp_network_plan(&graph, &network, &error) != 0) {
        char place[300];
        snprintf(place, sizeof place, "%s%s", pointer, error.pointer);
        schema_problem_error(problems, place, &error);
    } else {
        answer_json(r, 200, valid_json(network, 0));
    }
    bp_network_free(network);
}

static void validate_with_data(struct request *r, struct submission *s) {
    store_new_id("job", s->job.id);
    submission_open(s);
    if (!s->training || s->problems.total) return;
    json_t *json = valid_json(s->training->network, submission_bytes(s));
    json_object_set(json, "warnings", s->training->warnings);
    if (s->members) json_object_set_new(json, "ensemble", submission_ensemble_json(s));
    json_t *processes = processes_json(s);
    if (processes) json_object_set_new(json, "processes", processes);
    json_object_set_new(json, "definition", schema_definition_encode(s->training->definition));
    answer_json(r, 200, json);
}

static const char *const definition_names[] = {"name", "layers", "inputs", "loss", "loss_weights", "metrics", "outputs", NULL};

/* A body like that of POST /v1/models becomes one like that of POST /v1/jobs: what belongs to the definition moves under "model". *pointer: where it
 * stood. */
static json_t *as_job(json_t *body, const char **pointer) {
    *pointer = json_object_get(body, "model") ? "/model" : json_object_get(body, "definition") ? "/definition" : "";
    if (**pointer || !json_object_get(body, "layers")) return json_incref(body);
    json_t *job = json_copy(body), *definition = json_object();
    for (const char *const *name = definition_names; *name; name++) {
        json_object_set(definition, *name, json_object_get(body, *name));
        json_object_del(job, *name);
    }
    json_object_set_new(job, "model", definition);
    return job;
}

/* The names that such a request knows. */
static void check_names(const json_t *job, struct schema_problems *problems) {
    static const char *const own[] = {"model",          "definition",    "dataset",   "target",     "task",      "features",  "metadata",
                                      "sample_weight",  "class_weights", "columns",   "thresholds", "labels",    "transform", "clamp",
                                      "positive_class", "effort",        "ensemble",  "priority",   "init_from", "frozen",    "keep_preprocessing",
                                      "requires",       "publish",       "calibrate", NULL};
    const struct schema_names options = {schema_options_names, NULL}, known = {own, &options};
    static const struct bp_entry entry = {.name = "a request to validate"};
    struct bp_value none[1];
    schema_values_decode(job, "", &entry, &known, none, problems);
}

static void validate(struct request *r) {
    static const char *const others[] = {"name", NULL};
    struct submission s = {.request = r};
    json_t *body = request_json(r);
    if (!body) return;
    json_t *job = as_job(body, &s.model_pointer);
    s.body = job;
    s.model = json_object_get(job, s.model_pointer[0] ? s.model_pointer + 1 : "model");
    check_names(job, &s.problems);
    if (json_object_get(job, "model") && json_object_get(job, "definition"))
        schema_problem_add(&s.problems, "/definition", "\"model\" and \"definition\" mean the same: give one of them");
    else if (!s.model && !json_object_get(job, "dataset"))
        schema_problem_add(
            &s.problems, "",
            "nothing to validate: send the body of POST /v1/models ({\"layers\":[...]}) or of POST /v1/jobs ({\"model\":{\"layers\":[...]},...})");
    if (s.problems.total == 0 && json_object_get(job, "dataset")) validate_with_data(r, &s);
    else if (s.problems.total == 0 && json_is_string(s.model))
        schema_problem_add(&s.problems, s.model_pointer,
                           "a stored model was checked when it was defined; add a \"dataset\" and a \"target\" to check it against data");
    else if (s.problems.total == 0) {
        struct schema_definition *definition = schema_definition_decode(s.model, s.model_pointer, others, &s.problems);
        if (s.problems.total == 0) validate_alone(r, definition, s.model_pointer, &s.problems);
        schema_definition_free(definition);
    }
    if (s.problems.total) answer_problems(r, &s.problems);
    submission_close(&s);
    json_decref(job);
    json_decref(body);
}

const struct route route_validate_model = {
    .name = "validate_model",
    .method = "POST",
    .path = "/v1/models/validate",
    .scope = SCOPE_TRAIN,
    .body = ROUTE_JSON,
    .flags = ROUTE_SLOW | ROUTE_CHANGES_NOTHING,
    .handle = validate,
};

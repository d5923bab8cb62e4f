/* rows_job.c - see rows_job.h. */
#include "server/routes/rows_job.h"

#include "schema/json/values.h"
#include "schema/memory.h"
#include "server/jobs/supervisor.h"
#include "server/routes/job_view.h"
#include "server/routes/missing.h"
#include "server/routes/submission.h"
#include "server/routes/version_view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PRIORITY_MAX = 100 };

/* ---- submitting ------------------------------------------------------------------------------------------------------------------------------ */

bool rows_job_model(struct request *r, const json_t *value, const char *pointer, char name[STORE_NAME_SIZE], int64_t *version,
                    struct schema_problems *problems) {
    const char *text = json_string_value(value), *at = text ? strchr(text, '@') : NULL, *reference = at ? at + 1 : NULL;
    const size_t size = at ? (size_t)(at - text) : text ? strlen(text) : 0;
    char got[80], near[STORE_NAME_SIZE], meant[STORE_NAME_SIZE + 32];
    struct bp_error error = {0};
    struct store_model model = {0};
    snprintf(name, STORE_NAME_SIZE, "%.*s", (int)(size < STORE_NAME_SIZE ? size : 0), text ? text : "");
    if (!text || !schema_name_valid(name) || (reference && !reference_valid(reference))) {
        schema_problem_add(problems, pointer,
                           "model is a text that names a model, \"penguins\", or its version, \"penguins@3\" or \"penguins@production\"; got %s",
                           value ? schema_json_text(value, got, sizeof got) : "nothing");
        return false;
    }
    enum store_result result = store_version_find(r->server->store, name, reference, version, &error);
    if (result == STORE_OK && *version == 0) result = STORE_NOT_FOUND;
    if (result == STORE_OK) return true;
    if (result != STORE_NOT_FOUND) return schema_problem_error(problems, pointer, &error), false;
    if (store_model_get(r->server->store, name, &model, &error) == STORE_OK) {
        store_model_free(&model);
        schema_problem_add(problems, pointer, "model \"%s\" has no version %s", name, reference ? reference : "that is served (alias default)");
        return false;
    }
    schema_problem_add(problems, pointer, "there is no model \"%s\"%s", name,
                       schema_did_you_mean(*model_nearest(r->server->store, name, near) ? near : NULL, meant, sizeof meant));
    return false;
}

void rows_job_calibration(json_t *spec, const char *name, const struct schema_model *model) {
    if (model->calibration_document) json_object_set_new(spec, name, json_deep_copy(model->calibration_document));
}

static void store(struct request *r, struct store_job *job, const char *where) {
    struct bp_error error = {0};
    struct store_idempotency record;
    struct store_job stored = {0};
    char location[128];
    snprintf(location, sizeof location, "%s%s", where, job->id);
    const struct store_job_new creation = {.job = job, .idempotency = request_idempotency(r, &record, 202, location)};
    enum store_result result = store_job_create(r->server->store, &creation, &error);
    if (result != STORE_OK) {
        answer_store(r, result, &error, "dataset or version of this job");
        return;
    }
    answer_header(r, "Location", location);
    result = store_job_get(r->server->store, job->id, &stored, &error); /* as it was filed, before a worker takes it */
    supervisor_poke(r->server->supervisor);
    if (result == STORE_OK) answer_json(r, 202, job_json(r->server, &stored));
    else answer_store(r, result, &error, "job \"%s\"", job->id);
    store_job_free(&stored);
}

void rows_job_submit(struct request *r, struct store_job *job, const json_t *body, json_t *spec, json_t *view, const char *where,
                     struct schema_problems *problems) {
    const json_t *priority = json_object_get(body, "priority");
    char got[80];
    store_new_id("job", job->id);
    job->attempts_max = r->server->settings.attempts_max;
    job->actor = request_actor(r);
    if (json_object_get(body, "metadata")) job->metadata = metadata_decode(json_object_get(body, "metadata"), problems);
    job->priority = json_integer_value(priority);
    if (priority && (!json_is_integer(priority) || job->priority < -PRIORITY_MAX || job->priority > PRIORITY_MAX))
        schema_problem_add(problems, "/priority", "priority must be an integer of at least %d and at most %d, got %s", -PRIORITY_MAX, PRIORITY_MAX,
                           schema_json_text(priority, got, sizeof got));
    json_object_set_new(spec, "memory_max", json_integer(r->server->settings.job_memory_max));
    job->spec = schema_json_dump(spec, JSON_COMPACT);
    job->view = schema_json_dump(view, JSON_COMPACT);
    json_decref(spec);
    json_decref(view);
    if (schema_memory_failed()) schema_problem_no_memory(problems);
    if (problems->total) answer_problems(r, problems);
    else store(r, job, where);
    store_job_free(job);
}

/* ---- showing ------------------------------------------------------------------------------------------------------------------------------------
 */

json_t *rows_job_json(const struct server *server, const struct store_job *j) {
    json_t *json = json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:{s:s, s:I}}", "object", "job", "id", j->id, "kind", store_kind_names[j->kind],
                             "status", store_status_name(j->status), "model", j->model, "model_version", (json_int_t)j->reads_version, "dataset",
                             "name", j->dataset, "version", (json_int_t)j->dataset_version);
    json_t *view = document_json(j->view);
    if (j->compared_version > 0)
        json_object_set_new(json, "compared_with", json_pack("{s:s, s:I}", "model", j->compared_model, "version", (json_int_t)j->compared_version));
    job_show_course(json, j);
    if (j->kind == STORE_PREDICT)
        json_object_set_new(json, "resumed_from_row", j->resumed_from_epoch >= 0 ? json_integer(j->resumed_from_epoch) : json_null());
    job_show_progress(json, j);
    job_show_remarks(json, server, j);
    json_object_update_missing(json, view);
    json_decref(view);
    return json;
}

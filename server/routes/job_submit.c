/* job_submit.c - POST /v1/jobs: a submission becomes one durable job. Nothing is stored unless everything is right; then it is one transaction, and
 * the supervisor is woken. */
#include "server/routes/job_view.h"

#include "schema/memory.h"
#include "schema/resolve/folds.h"
#include "server/jobs/progress.h"
#include "server/jobs/supervisor.h"
#include "server/routes/submission.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What the numbers of a loss are measured in. */
static const char *loss_unit(const struct schema_training *t) {
    bool classes = false, numbers = false, transformed = false;
    for (int32_t o = 0; o < t->preprocessing->outputs_count; o++) {
        const struct schema_target *target = &t->preprocessing->targets[t->preprocessing->outputs[o].first];
        const struct bp_loss_ops *loss = t->network->outputs[o].loss;
        const bool nats = target->classification || target->shares || bp_range_from_zero(loss->range);
        if (loss->unit && t->preprocessing->outputs_count == 1) return loss->unit;
        classes = classes || nats;
        numbers = numbers || !nats;
        transformed = transformed || target->transform;
    }
    return classes && numbers ? "nats and standardised targets, added up"
           : classes          ? "nats"
           : transformed      ? "standardised target after its transform"
                              : "standardised target";
}

static int64_t epochs_of(const struct submission *s, const struct schema_training *t) {
    int64_t epochs = 0;
    for (int32_t i = 0; s->members && i < s->members->members_count; i++)
        epochs += s->members->families[s->members->members[i].family].training->options.epochs;
    return s->members ? epochs : (int64_t)t->options.epochs * (t->options.folds + 1);
}

/* The spec for the job process and the view for people, out of the resolved training. */
void submission_describe(struct submission *s) {
    const struct schema_training *t = s->training;
    json_t *spec = schema_training_encode(t), *view = json_object();
    static const char *const shown[] = {"target",  "task",      "features", "options", "definition", "layers", "parameters", "trainable_parameters",
                                        "columns", "thresholds"};
    for (size_t i = 0; i < sizeof shown / sizeof *shown; i++) json_object_set(view, shown[i], json_object_get(spec, shown[i]));
    json_object_set_new(view, "loss_unit", json_string(loss_unit(t)));
    if (s->members) {
        json_object_set_new(spec, "ensemble", schema_ensemble_encode(s->members));
        json_object_set_new(view, "ensemble", submission_ensemble_json(s));
    }
    if (s->init.spec) json_object_set(spec, "init", s->init.spec);
    if (s->init.shown) json_object_set(view, "init", s->init.shown);
    if (s->calibrate) json_object_set(spec, "calibrate", s->calibrate);
    if (s->calibrate) json_object_set(view, "calibrate", s->calibrate);
    if (json_is_object(json_object_get(s->body, "requires"))) json_object_set(view, "requires", json_object_get(s->body, "requires"));
    if (s->rungs) json_object_set(spec, "rungs", s->rungs);
    json_object_set_new(spec, "job", json_string(s->job.id));
    json_object_set_new(spec, "checkpoint_as_asked", json_boolean(t->options.checkpoint_every_given));
    json_object_set_new(spec, "memory_max", json_integer(s->request->server->settings.job_memory_max));
    const int64_t rows = s->dataset->rows - (int64_t)((double)s->dataset->rows * t->options.test_fraction + 0.5),
                  held = (int64_t)((double)rows * t->options.validation_fraction + 0.5);
    json_t *progress = progress_json(&(const struct progress){.epochs = epochs_of(s, t),
                                                              .members = s->members ? s->members->members_count : 0,
                                                              .rows = rows - held,
                                                              .batch_size = t->options.batch_size,
                                                              .folds = t->options.folds,
                                                              .fold = t->options.folds ? 1 : 0});
    if (t->options.folds || s->members) {
        json_object_set_new(spec, "request", schema_training_request_encode(s->body));
        s->job.cross_validation = strdup("{\"folds\":[],\"mean\":null,\"std\":null}");
    }
    s->job.spec = schema_json_dump(spec, JSON_COMPACT);
    s->job.view = schema_json_dump(view, JSON_COMPACT);
    s->job.progress = schema_json_dump(progress, JSON_COMPACT);
    s->job.warnings = schema_json_dump(t->warnings, JSON_COMPACT);
    json_decref(spec);
    json_decref(view);
    json_decref(progress);
}

static void store(struct submission *s) {
    struct bp_error error = {0};
    struct store_idempotency record;
    char location[128];
    struct request *r = s->request;
    snprintf(location, sizeof location, "/v1/jobs/%s", s->job.id);
    struct store_job_new creation = {.job = &s->job,
                                     .new_dataset = s->upload ? &s->row : NULL,
                                     .replace_dataset = s->replace,
                                     .new_definition = s->new_definition,
                                     .hidden_model = s->hidden_model,
                                     .idempotency = request_idempotency(r, &record, 202, location),
                                     .init = s->init.spec ? s->init.blob : NULL,
                                     .init_size = s->init.blob_size};
    enum store_result result = store_job_create(r->server->store, &creation, &error);
    if (result != STORE_OK) {
        answer_store(r, result, &error, "dataset or model of this job");
        return;
    }
    if (s->upload) upload_keep(s->upload);
    struct store_job stored = {0};
    answer_header(r, "Location", location);
    result = store_job_get(r->server->store, s->job.id, &stored, &error); /* as it was filed, before a worker takes it */
    supervisor_poke(r->server->supervisor);
    if (result == STORE_OK) answer_json(r, 202, job_json(r->server, &stored));
    else answer_store(r, result, &error, "job \"%s\"", s->job.id);
    store_job_free(&stored);
}

static void create(struct request *r) {
    struct submission s = {.request = r, .model_pointer = "/model"};
    json_t *body = request_json(r);
    if (!body) return;
    s.body = body;
    s.model = json_object_get(body, "model");
    store_new_id("job", s.job.id);
    s.job.attempts_max = r->server->settings.attempts_max;
    if (json_object_get(body, "definition"))
        schema_problem_add(&s.problems, "/definition", "use \"model\" in a job: a definition, or the name of a model");
    submission_open(&s);
    if (s.training && s.problems.total == 0) {
        submission_describe(&s);
        if (schema_memory_failed()) schema_problem_no_memory(&s.problems);
        else store(&s);
    }
    if (s.problems.total) answer_problems(r, &s.problems);
    submission_close(&s);
    json_decref(body);
}

const struct route route_create_job = {
    .name = "create_job",
    .method = "POST",
    .path = "/v1/jobs",
    .scope = SCOPE_TRAIN,
    .body = ROUTE_JSON,
    .flags = ROUTE_SLOW | ROUTE_IDEMPOTENT_KEY,
    .handle = create,
};

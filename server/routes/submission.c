/* submission.c - see submission.h. Order: decode all of the request; the dataset (stored, or ingested now); the definition; resolve them against each
 * other. */
#include "server/routes/submission.h"

#include "schema/calibrate/calibrate.h"
#include "schema/json/values.h"
#include "schema/memory.h"
#include "schema/resolve/folds.h"
#include "server/jobs/bfloat16.h"
#include "server/routes/missing.h"
#include "server/routes/placement.h"
#include "server/routes/processes.h"
#include "server/routes/rows_source.h"
#include "server/routes/validation_data.h"
#include "server/routes/version_view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { METADATA_ENTRIES_MAX = 32, METADATA_MAX = 16 << 10 /* bytes as JSON */ };

static bool inline_name(struct submission *s, const json_t *object, const char *pointer, const char *noun, char out[STORE_NAME_SIZE]) {
    const json_t *name = json_object_get(object, "name");
    char got[80];
    if (!name) {
        snprintf(out, STORE_NAME_SIZE, "%s", s->job.id);
        return false;
    }
    if (!json_is_string(name) || !schema_name_valid(json_string_value(name)))
        schema_problem_add(
            &s->problems, pointer,
            "the name of a %s has at most 63 lower-case letters, digits, \".\", \"_\", \"-\" and starts with a letter or digit; got %s", noun,
            schema_json_text(name, got, sizeof got));
    else snprintf(out, STORE_NAME_SIZE, "%s", json_string_value(name));
    return true;
}

/* ---- the dataset --------------------------------------------------------------------------------------------------------------- */

static void stored_dataset(struct submission *s, const char *text) {
    rows_stored(s->request->server->store, text, "/dataset", &s->row, &s->dataset, &s->problems);
    if (!s->dataset) return;
    snprintf(s->job.dataset, sizeof s->job.dataset, "%s", s->row.name);
    s->job.dataset_version = s->row.version;
}

static void inline_dataset(struct submission *s, const json_t *object) {
    bool named = inline_name(s, object, "/dataset/name", "dataset", s->job.dataset);
    if (s->problems.total) return;
    rows_sent(s->request->server, object, "/dataset", &(struct upload_request){0}, &s->upload, &s->row, &s->dataset, &s->problems);
    if (s->problems.total) return;
    snprintf(s->row.name, sizeof s->row.name, "%s", s->job.dataset);
    s->row.hidden = !named;
    s->replace = named;
}

/* ---- the model ------------------------------------------------------------------------------------------------------------------ */

static void stored_model(struct submission *s, const char *text) {
    struct bp_error error = {0};
    struct store_model m = {0};
    struct store_version v = {0};
    struct store *store = s->request->server->store;
    char name[STORE_NAME_SIZE];
    int64_t version = 0;
    const char *at = strchr(text, '@');
    snprintf(name, sizeof name, "%.*s", (int)strcspn(text, "@"), text);
    if (strcspn(text, "@") >= sizeof name || !schema_name_valid(name) || (at && !reference_valid(at + 1))) {
        schema_problem_add(&s->problems, s->model_pointer, "\"%.80s\" is not the name of a model", text);
        return;
    }
    enum store_result result = at ? store_version_find(store, name, at + 1, &version, &error) : store_model_get(store, name, &m, &error);
    if (at && result == STORE_OK) result = store_version_get(store, name, version, &v, &error);
    json_t *json = NULL;
    if (result == STORE_NOT_FOUND) {
        char nearest[STORE_NAME_SIZE], meant[120];
        const bool known = *model_nearest(s->request->server->store, name, nearest);
        schema_problem_add(&s->problems, s->model_pointer, "there is no model \"%.80s\"%s; define it first with POST /v1/models, or send it inline",
                           text, schema_did_you_mean(known ? nearest : NULL, meant, sizeof meant));
    } else if (result != STORE_OK) {
        schema_problem_error(&s->problems, s->model_pointer, &error);
    } else if (version) {
        json_t *document = document_json(v.document);
        json = json_incref(json_object_get(document, "definition"));
        json_decref(document);
    } else {
        json = document_json(m.definition);
    }
    if (json_object_get(json, "auto")) s->automatic = true;
    else if (json) s->definition = schema_definition_decode(json, s->model_pointer, NULL, &s->problems);
    json_decref(json);
    snprintf(s->job.model, sizeof s->job.model, "%s", name);
    store_model_free(&m);
    store_version_free(&v);
}

/* No network is named. The model remembers that, for later jobs that name it. */
static void choose_model(struct submission *s) {
    s->automatic = true;
    s->new_definition = strdup("{\"auto\":true}");
}

static void inline_model(struct submission *s, const json_t *object) {
    static const char *const others[] = {"name", NULL};
    char place[80];
    s->hidden_model = !inline_name(s, object, schema_pointer(s->model_pointer, "name", place, sizeof place), "model", s->job.model);
    if (json_object_size(object) == 0 || (json_object_size(object) == 1 && json_object_get(object, "name"))) {
        choose_model(s);
        return;
    }
    s->definition = schema_definition_decode(object, s->model_pointer, others, &s->problems);
    json_t *copy = json_copy((json_t *)object);
    json_object_del(copy, "name");
    s->new_definition = schema_json_dump(copy, JSON_COMPACT);
    json_decref(copy);
}

/* ---- what is not about the training ---- */

static const struct bp_param job_params[] = {JOB_PRIORITY_PARAM};
static const struct bp_entry job_entry = {.name = "job", .params = job_params, .params_count = 1};

enum { EFFORT, ENSEMBLE, CHOICES };
static const struct bp_param choice_params[CHOICES] = {
    [EFFORT] = {.name = "effort",
                .type = BP_PARAM_CHOICE,
                .choices = schema_efforts,
                .preset = SCHEMA_EFFORT_BALANCED,
                .help = "of a job without a network: how much is trained"},
    [ENSEMBLE] = {.name = "ensemble", .type = BP_PARAM_BOOLEAN, .help = "keep the networks of all folds, and average their predictions"},
};
static const struct bp_entry choice_entry = {.name = "job", .params = choice_params, .params_count = CHOICES};

/* The members of the body that are parameters of the entry. */
static int params_decode(struct submission *s, const struct bp_entry *entry, struct bp_value *values) {
    json_t *given = json_object();
    for (int32_t i = 0; i < entry->params_count; i++) json_object_set(given, entry->params[i].name, json_object_get(s->body, entry->params[i].name));
    const int failed = schema_values_decode(given, "", entry, NULL, values, &s->problems);
    json_decref(given);
    return failed;
}

static void job_params_decode(struct submission *s) {
    struct bp_value priority, choices[CHOICES];
    if (params_decode(s, &job_entry, &priority) == 0) s->job.priority = (int64_t)priority.number;
    if (params_decode(s, &choice_entry, choices) != 0) return;
    s->effort = (enum schema_effort)choices[EFFORT].number;
    s->ensemble = choices[ENSEMBLE].number != 0;
}

enum store_publish publish_decode(const json_t *publish, enum store_publish otherwise, struct schema_problems *problems) {
    const char *text = json_string_value(publish);
    char got[80];
    if (!publish || json_is_null(publish)) return otherwise;
    if (json_is_true(publish)) return STORE_PUBLISH;
    if (json_is_false(publish)) return STORE_HOLD_BACK;
    if (text && strcmp(text, store_publish_names[STORE_PUBLISH_IF_BETTER]) == 0) return STORE_PUBLISH_IF_BETTER;
    schema_problem_add(problems, "/publish", "publish must be true, false or \"if_better\", got %s", schema_json_text(publish, got, sizeof got));
    return otherwise;
}

/* What only goes with a network that is chosen, or with one that is given. */
static void check_choice(struct submission *s) {
    if (json_object_get(s->body, "effort") && !s->automatic)
        schema_problem_add(&s->problems, "/effort", "effort is for a job without a network; leave out the model, or leave out effort");
    if (s->ensemble && !s->automatic && !s->options.folds)
        schema_problem_add(&s->problems, "/ensemble", "an ensemble is made of the networks of a cross-validation: add \"validation\":{\"folds\":5}");
}

/* ---- the request ------------------------------------------------------------------------------------------------------------------ */

char *metadata_decode(const json_t *metadata, struct schema_problems *problems) {
    char got[80];
    const char *key;
    json_t *value;
    if (!json_is_object(metadata))
        schema_problem_add(problems, "/metadata", "metadata must be an object of strings, got %s", schema_json_text(metadata, got, sizeof got));
    json_object_foreach((json_t *)metadata, key, value) {
        char place[300];
        if (!json_is_string(value))
            schema_problem_add(problems, schema_pointer("/metadata", key, place, sizeof place), "metadata values must be strings, got %s",
                               schema_json_text(value, got, sizeof got));
    }
    if (json_object_size(metadata) > METADATA_ENTRIES_MAX)
        schema_problem_add(problems, "/metadata", "metadata has at most %d entries, got %zu", METADATA_ENTRIES_MAX, json_object_size(metadata));
    char *text = schema_json_dump(metadata, JSON_COMPACT);
    if (text && strlen(text) > METADATA_MAX)
        schema_problem_add(problems, "/metadata", "metadata takes at most %d bytes as compact JSON, got %zu", METADATA_MAX, strlen(text));
    return text;
}

/* "calibrate": true, or an object. */
static void calibrate_decode(struct submission *s) {
    static const char *const others[] = {NULL};
    const json_t *asked = json_object_get(s->body, "calibrate");
    struct schema_calibrate_options ignored;
    char got[80];
    if (!asked || json_is_null(asked) || json_is_false(asked)) return;
    s->calibrate = json_is_true(asked) ? json_object() : json_incref((json_t *)(uintptr_t)asked);
    if (json_is_object(s->calibrate)) schema_calibrate_decode(s->calibrate, "/calibrate", others, &ignored, &s->problems);
    else
        schema_problem_add(&s->problems, "/calibrate", "calibrate is true, false, or an object such as {\"conformal\":{\"coverage\":0.9}}, got %s",
                           schema_json_text(asked, got, sizeof got));
}

/* Whether the training has rows for it, and a target. */
static void calibrate_check(struct submission *s) {
    const struct schema_training *t = s->training;
    bool any = false;
    if (!s->calibrate) return;
    for (int32_t k = 0; k < t->preprocessing->targets_count; k++) any = any || schema_target_has_classes(t, k) || schema_target_is_number(t, k);
    if (!any)
        schema_problem_add(
            &s->problems, "/calibrate",
            "sets are for a class per row with probabilities, intervals for a number per row; this job has neither: leave calibrate out");
    else if (t->options.folds && !s->members)
        schema_problem_add(
            &s->problems, "/calibrate",
            "with folds, the version trains on all rows, so that none is left to calibrate it: validate with a fraction or a dataset, train an "
            "ensemble, or calibrate the version later with other rows");
    else if (!s->members && !s->other && t->options.validation_fraction <= 0 && !t->options.validation_column[0])
        schema_problem_add(&s->problems, "/calibrate",
                           "calibrate needs validation rows, and this job has none: set validation to a fraction or a dataset");
}

static void decode(struct submission *s) {
    static const char *const others[] = {"model",          "definition",         "dataset",  "target",     "task",    "features",  "metadata",
                                         "sample_weight",  "class_weights",      "columns",  "thresholds", "labels",  "transform", "clamp",
                                         "positive_class", "priority",           "effort",   "ensemble",   "publish", "calibrate", "init_from",
                                         "frozen",         "keep_preprocessing", "requires", NULL};
    const json_t *dataset = json_object_get(s->body, "dataset"), *metadata = json_object_get(s->body, "metadata");
    char got[80];
    schema_options_decode(s->body, "", others, &s->options, &s->problems);
    if (!json_object_get(s->body, "threads")) s->options.threads = (int32_t)s->request->server->settings.threads_per_job;
    schema_training_request_decode(s->body, "", &s->asked, &s->problems);
    job_params_decode(s);
    submission_init_open(s);
    const json_t *model = s->model;
    s->job.publish = publish_decode(json_object_get(s->body, "publish"), STORE_PUBLISH, &s->problems);
    s->job.actor = request_actor(s->request);
    calibrate_decode(s);
    placement_decode(s->request->server, json_object_get(s->body, "requires"), &s->job, &s->problems);
    if (metadata) s->job.metadata = metadata_decode(metadata, &s->problems);
    if (!model || json_is_null(model) || (json_is_string(model) && strcmp(json_string_value(model), "auto") == 0)) {
        s->hidden_model = true;
        snprintf(s->job.model, sizeof s->job.model, "%s", s->job.id);
        choose_model(s);
    } else if (json_is_string(model)) stored_model(s, json_string_value(model));
    else if (json_is_object(model)) inline_model(s, model);
    else
        schema_problem_add(&s->problems, s->model_pointer, "model must be \"auto\", the name of a model or an inline definition, got %s",
                           schema_json_text(model, got, sizeof got));
    check_choice(s);
    submission_init_freeze(s);
    if (json_is_string(dataset)) stored_dataset(s, json_string_value(dataset));
    else if (json_is_object(dataset)) inline_dataset(s, dataset);
    else
        schema_problem_add(&s->problems, dataset ? "/dataset" : "",
                           dataset ? "dataset must be the name of a dataset or an inline object, got %s"
                                   : "a job needs \"dataset\": the name of a dataset or an inline object%.0s",
                           schema_json_text(dataset, got, sizeof got));
    validation_data_open(s->request->server->store, &s->options, &s->row, &s->other_row, &s->other, &s->problems);
    s->asked.validation = s->other;
    if (!s->other) return;
    snprintf(s->job.validation_dataset, sizeof s->job.validation_dataset, "%s", s->other_row.name);
    s->job.validation_version = s->other_row.version;
}

/* ---- resolving ------------------------------------------------------------------------------------------------------------------- */

/* Rows that two versions have in common would be trained on and validate. */
static void warn_of_versions(const struct submission *s, struct schema_training *t) {
    char text[300];
    if (!s->other || strcmp(s->other_row.name, s->row.name) != 0) return;
    snprintf(text, sizeof text, "%s is another version of the training dataset: rows in both versions train and validate",
             t->options.validation_dataset);
    json_array_append_new(t->warnings, json_string(text));
}

/* The dataset's warnings follow the job's own; some places are left for warnings of the training. */
static void warn_of_data(const struct submission *s, struct schema_training *t) {
    enum { MOST = 15 };
    json_t *description = s->row.description ? document_json(s->row.description) : NULL, *warning;
    size_t i;
    json_array_foreach(json_object_get(description, "warnings"), i, warning) if (json_array_size(t->warnings) < MOST)
        json_array_append(t->warnings, warning);
    json_decref(description);
}

/* Data larger than memory is read in windows. The windows are part of the job, so that it ends with the same bits wherever it resumes. */
static void bound_resident(struct schema_training *t, const struct schema_dataset *dataset, int64_t most) {
    char text[300];
    if (most == 0 || t->options.window_rows > 0) return;
    t->options.window_rows = schema_training_window(t, dataset, most);
    const int64_t need = schema_training_bytes(t, dataset);
    if (t->options.window_rows == 0 || need <= most) return;
    snprintf(text, sizeof text,
             "this training needs about %lld MB of resident memory even in windows of %lld rows, more than job_resident_max, %lld MB",
             (long long)(need >> 20), (long long)t->options.window_rows, (long long)(most >> 20));
    json_array_append_new(t->warnings, json_string(text));
}

/* The network of the job, or those of an ensemble. */
static void resolve(struct submission *s) {
    const long cores = sysconf(_SC_NPROCESSORS_ONLN);
    const int32_t threads = (int32_t)s->request->server->settings.threads_per_job;
    if (!s->automatic && !s->ensemble) {
        s->training = schema_training_resolve(s->definition, &s->options, s->dataset, &s->asked, &s->problems);
        s->definition = NULL;
        return;
    }
    if (s->problems.total) return;
    const struct schema_auto job = {.object = s->body,
                                    .network = s->definition,
                                    .effort = s->effort,
                                    .threads = cores > 64        ? 64
                                               : cores > threads ? (int32_t)cores
                                                                 : threads};
    s->members = schema_auto_resolve(&job, s->dataset, &s->asked, s->why, &s->problems);
    s->training = s->members ? s->members->families[0].training : NULL;
    for (int32_t f = 0; s->members && f < s->members->families_count; f++) /* with its version, which the body may lack */
        memcpy(s->members->families[f].training->options.validation_dataset, s->options.validation_dataset, sizeof s->options.validation_dataset);
}

int64_t submission_bytes(const struct submission *s) {
    return s->members ? schema_ensemble_bytes(s->members, s->dataset) : schema_training_bytes(s->training, s->dataset);
}

json_t *submission_ensemble_json(const struct submission *s) {
    json_t *shown = schema_ensemble_encode(s->members);
    json_object_set_new(shown, "members", json_integer(s->members->members_count));
    json_object_set_new(shown, "chosen", json_string(s->why));
    if (s->automatic) json_object_set_new(shown, "effort", json_string(schema_efforts[s->effort]));
    return shown;
}

void submission_open(struct submission *s) {
    const struct server *server = s->request->server;
    struct bp_error unavailable = {0};
    decode(s);
    if (!s->dataset || !s->asked.target) return;
    s->asked.definition_pointer = s->model_pointer;
    /* With problems already: what else is wrong with the columns is reported too. */
    if (s->problems.total == 0 && bfloat16_refusal((struct server *)(uintptr_t)server, &s->options, &unavailable) != 0)
        s->asked.bfloat16_unavailable = &unavailable;
    resolve(s);
    struct schema_training *t = s->training;
    s->asked.bfloat16_unavailable = NULL;
    s->asked.keep = NULL;
    if (!t) return;
    submission_init_resolved(s);
    calibrate_check(s);
    warn_of_versions(s, t);
    bound_resident(t, s->dataset, server->settings.job_resident_max);
    for (int32_t f = 1; s->members && f < s->members->families_count; f++)
        bound_resident(s->members->families[f].training, s->dataset, server->settings.job_resident_max);
    warn_of_data(s, t);
    processes_settle(s);
    const int64_t need = submission_bytes(s);
    placement_settle(server, need, &s->job, &s->problems);
    if (need <= server->settings.job_memory_max) return;
    schema_problem_add(&s->problems, s->model_pointer,
                       "this training needs about %lld MB, the limit is %lld MB (setting job_memory_max); use fewer units or a smaller batch",
                       (long long)(need >> 20), (long long)(server->settings.job_memory_max >> 20));
}

void submission_close(struct submission *s) {
    if (s->members) schema_ensemble_free(s->members);
    else schema_training_free(s->training);
    schema_problems_clear(&s->problems);
    schema_definition_free(s->definition);
    schema_dataset_free(s->dataset);
    schema_dataset_free(s->other);
    upload_free(s->upload);
    submission_init_close(s);
    store_dataset_free(&s->row);
    store_dataset_free(&s->other_row);
    json_decref(s->calibrate);
    free(s->new_definition);
    store_job_free(&s->job);
}

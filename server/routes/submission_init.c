/* submission_init.c - a job that begins with the weights of a version: "init_from", "frozen", "keep_preprocessing", "keep_optimizer_state". */
#include "server/routes/submission.h"

#include "schema/json/values.h"
#include "schema/memory.h"
#include "schema/predict/init_from.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool read_boolean(struct submission *s, const char *name, bool preset) {
    const json_t *value = json_object_get(s->body, name);
    char place[60], got[80];
    if (!value || json_is_null(value)) return preset;
    snprintf(place, sizeof place, "/%s", name);
    if (!json_is_boolean(value))
        schema_problem_add(&s->problems, place, "%s must be true or false, got %s", name, schema_json_text(value, got, sizeof got));
    return json_is_true(value);
}

/* The version and its model file. */
static void load(struct submission *s, const char *text) {
    struct store *store = s->request->server->store;
    struct bp_error error = {0};
    struct store_version v = {0};
    char name[STORE_NAME_SIZE], full[STORE_NAME_SIZE + 24];
    int64_t version = 0;
    const char *at = strchr(text, '@');
    const size_t size = strcspn(text, "@");
    snprintf(name, sizeof name, "%.*s", size < sizeof name ? (int)size : 0, text);
    if (!schema_name_valid(name) || (at && !reference_valid(at + 1))) {
        schema_problem_add(&s->problems, "/init_from",
                           "init_from names a version, like \"penguins@3\", or an alias, like \"penguins@default\"; got \"%.80s\"", text);
        return;
    }
    enum store_result result = at ? store_version_find(store, name, at + 1, &version, &error) : STORE_OK;
    if (result == STORE_OK) result = store_version_get(store, name, version, &v, &error);
    if (result == STORE_OK) result = store_version_blob(store, name, v.version, &s->init.blob, &s->init.blob_size, &error);
    if (result == STORE_OK) {
        snprintf(full, sizeof full, "%s@%lld", name, (long long)v.version);
        s->init.name = json_string(full);
        s->init.document = document_json(v.document);
    } else if (result == STORE_NOT_FOUND) schema_problem_add(&s->problems, "/init_from", "there is no version \"%.80s\" to begin with", text);
    else schema_problem_error(&s->problems, "/init_from", &error);
    store_version_free(&v);
}

void submission_init_open(struct submission *s) {
    const json_t *from = json_object_get(s->body, "init_from");
    char got[80];
    const bool keeps = read_boolean(s, "keep_preprocessing", true);
    if (!from || json_is_null(from)) {
        if (json_object_get(s->body, "keep_preprocessing"))
            schema_problem_add(&s->problems, "/keep_preprocessing",
                               "keep_preprocessing goes with init_from: name the version whose preprocessing is kept");
        return;
    }
    if (!json_is_string(from)) {
        schema_problem_add(&s->problems, "/init_from", "init_from must be the name of a version, like \"penguins@3\", got %s",
                           schema_json_text(from, got, sizeof got));
        return;
    }
    load(s, json_string_value(from));
    if (!s->init.document) return;
    if (!s->model || json_is_null(s->model)) s->model = s->init.name; /* the network of the version */
    const struct schema_init_request asked = {.fits_anew = !keeps};
    schema_init_prepare(s->init.document, &asked, &s->asked, &s->init.features, &s->init.kept, &s->problems);
}

void submission_init_freeze(struct submission *s) {
    const json_t *frozen = json_object_get(s->body, "frozen");
    if (frozen && json_is_null(frozen)) frozen = NULL;
    if (frozen && !s->definition) {
        if (s->automatic) schema_problem_add(&s->problems, "/frozen", "frozen names layers of a network; a job without a network has none yet");
        return;
    }
    if (frozen) schema_init_freeze(s->definition, frozen, &s->problems);
}

static void check_optimizer(struct submission *s) {
    const struct schema_options *o = &s->options;
    if (!o->keep_optimizer_state) return;
    if (s->automatic || s->ensemble || o->folds)
        schema_problem_add(&s->problems, "/keep_optimizer_state", "several networks are trained here, whose optimizers are not kept; leave it out");
    else if (strcmp(o->optimizer->entry.name, "lbfgs") == 0)
        schema_problem_add(&s->problems, "/keep_optimizer_state", "lbfgs measures the curvature anew at each start and keeps nothing; leave it out");
    else if (s->init.document && (o->schedule || o->dropout_schedule || o->decay_schedule || o->find_rate))
        schema_problem_add(
            &s->problems, "/keep_optimizer_state",
            "the kept state counts the updates of the version, which a schedule, or the search for a rate, begins with 0; use a constant "
            "learning_rate");
}

/* The same rows may have trained the version. */
static void warn_of_rows(const struct submission *s, const char *name) {
    char text[300];
    const json_t *document = s->init.document, *dataset = json_object_get(document, "dataset"),
                 *seed = json_object_get(json_object_get(document, "options"), "seed");
    const char *of = json_string_value(json_object_get(dataset, "name"));
    if (!of || strcmp(of, s->row.name) != 0 || !schema_options_validate(&s->training->options) || s->other) return;
    if (json_is_integer(seed) && (uint64_t)json_integer_value(seed) == s->training->options.seed) return;
    snprintf(
        text, sizeof text,
        "%s was trained on this dataset with another split: rows that validate here may have trained it, so val_loss may be too low; use its seed",
        name);
    json_array_append_new(s->training->warnings, json_string(text));
}

void submission_init_resolved(struct submission *s) {
    struct bp_error error = {0};
    struct schema_init init;
    check_optimizer(s);
    if (!s->init.document || s->problems.total) return;
    if (s->automatic || s->ensemble || s->options.folds) {
        schema_problem_add(
            &s->problems, "/init_from",
            "init_from is for one network: a cross-validation would validate with rows that the version was trained on, and an automatic "
            "choice has no layers to fill");
        return;
    }
    json_t *anew = schema_init_anew(s->init.document, s->training);
    if (schema_init_read(s->init.blob, s->init.blob_size, s->training, anew, s->options.keep_optimizer_state != 0, &init, &error) == 0) {
        s->init.spec = json_pack("{s:O}", "anew", anew);
        s->init.shown = json_pack("{s:O, s:O, s:O, s:O, s:b}", "from", s->init.name, "copied", init.copied, "new", init.fresh, "left_out",
                                  init.left_out, "keep_preprocessing", s->init.kept != NULL);
        warn_of_rows(s, json_string_value(s->init.name));
    } else {
        schema_problem_error(&s->problems, error.pointer[0] ? error.pointer : "/init_from", &error);
    }
    schema_init_free(&init);
    json_decref(anew);
}

void submission_init_close(struct submission *s) {
    schema_preprocessing_free(s->init.kept);
    json_decref(s->init.features);
    json_decref(s->init.document);
    json_decref(s->init.name);
    json_decref(s->init.spec);
    json_decref(s->init.shown);
    free(s->init.blob);
}

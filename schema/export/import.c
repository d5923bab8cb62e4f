/* import.c - a model from outside as a model file: one of backpropd as it is; tensors with a definition, or JSON, written anew. */
#include "schema/export/export.h"

#include "schema/memory.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The result of reading: all of it the caller's. */
struct read {
    json_t *document;
    struct schema_training *training;
    bp_real *weights;
};

static void read_free(struct read *r) {
    json_decref(r->document);
    schema_training_free(r->training);
    free(r->weights);
}

/* The document decoded, and space for the weights of its network, of which the file has `there` numbers. */
static int plan(struct read *r, const struct schema_importing *from, size_t there, struct bp_error *error) {
    if (schema_import_complete(r->document, error) != 0) return -1;
    r->training = schema_training_decode(r->document, error);
    if (!r->training || schema_import_bound(r->training->network, from->workspace_max, error) != 0) return -1;
    if ((uint64_t)r->training->network->parameters > there)
        return bp_error_set(error, "", "the definition has %lld weights, the file %zu numbers: they do not belong together",
                            (long long)r->training->network->parameters, there);
    r->weights = bp_reals_new(r->training->network->weights_count);
    return r->weights ? 0 : bp_error_memory(error, "no memory for the weights");
}

/* ---- tensors ------------------------------------------------------------------------------------------------------------- */

/* Each member of the metadata is a JSON text; one that is none is the text itself. false: not allowed. */
static bool document_of(const json_t *metadata, const struct schema_json_allow *allow, json_t *document) {
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)metadata, name, value) {
        const char *text = json_string_value(value);
        if (!text || strcmp(name, "format") == 0) continue;
        if (strcmp(name, "document") == 0) {
            json_t *whole = schema_json_load_allowed(text, strlen(text), allow);
            if (!whole) return false;
            if (json_is_object(whole)) json_object_update_missing(document, whole);
            json_decref(whole);
            continue;
        }
        const struct schema_json_cost cost = schema_json_cost(text, strlen(text));
        if (allow && allow->allow && !allow->allow(allow->context, &cost)) return false;
        json_t *decoded = schema_json_load(text, strlen(text), JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, NULL);
        json_object_set_new(document, name, decoded ? decoded : json_string(text));
    }
    return true;
}

static int no_definition(struct bp_error *error) {
    return bp_error_set(error, "",
                        "this file of tensors has no definition: add a member \"definition\" to its __metadata__ (with \"features\", \"target\" and "
                        "\"labels\"), or name a version with like=MODEL@VERSION whose definition and preprocessing it takes");
}

static int read_tensors(const struct schema_importing *from, struct read *r, struct bp_error *error) {
    struct schema_tensor *tensors = NULL;
    int32_t count = 0;
    json_t *metadata = NULL;
    size_t there = 0;
    if (schema_safetensors_read(from->bytes, from->size, &tensors, &count, &metadata, error) != 0) return -1;
    r->document = json_object();
    int failed = document_of(metadata, from->allow, r->document) ? 0 : -1;
    const bool own = json_object_get(r->document, "definition") != NULL;
    if (!failed && own && from->like) failed = bp_error_set(error, "", "the file has a definition of its own; leave out like");
    if (!failed && !own && !from->like) failed = no_definition(error);
    if (!failed && !own) json_object_update(r->document, (json_t *)(uintptr_t)from->like);
    for (int32_t i = 0; i < count; i++) there += tensors[i].bytes;
    if (!failed) failed = plan(r, from, there / 2, error);
    if (!failed) failed = schema_import_tensors(r->training->network, tensors, count, r->weights, error);
    json_decref(metadata);
    free(tensors);
    return failed;
}

/* ---- JSON ---------------------------------------------------------------------------------------------------------------- */

/* The numbers of nested arrays of that shape, in order. -1: it has another. */
static int take_numbers(const json_t *json, const struct schema_tensor *t, int32_t axis, float **to) {
    json_t *item;
    size_t i;
    if (axis == t->rank) {
        **to = (float)json_number_value(json);
        return json_is_number(json) && isfinite(*(*to)++) ? 0 : -1;
    }
    if (!json_is_array(json) || (int64_t)json_array_size(json) != t->dims[axis]) return -1;
    json_array_foreach(json, i, item) if (take_numbers(item, t, axis + 1, to) != 0) return -1;
    return 0;
}

static void shape_text(const struct schema_tensor *t, char text[static 100]) {
    size_t n = (size_t)snprintf(text, 100, "[");
    for (int32_t d = 0; d < t->rank && n < 80; d++) n += (size_t)snprintf(text + n, 100 - n, "%s%lld", d ? ", " : "", (long long)t->dims[d]);
    snprintf(text + n, 100 - n, "]");
}

static int take_weights(const json_t *json, struct read *r, struct bp_error *error) {
    int32_t count = 0;
    int failed = 0;
    char shape[100];
    struct schema_tensor *tensors = schema_model_tensors(r->training->network, r->weights, &count);
    if (!tensors) return bp_error_memory(error, "no memory for the weights");
    for (int32_t i = 0; i < count && !failed; i++) {
        float *to = (float *)(uintptr_t)tensors[i].data;
        const json_t *numbers = json_object_get(json, tensors[i].name);
        shape_text(&tensors[i], shape);
        if (!numbers) failed = bp_error_set(error, "/weights", "weights has no member \"%s\", which the definition needs", tensors[i].name);
        else if (take_numbers(numbers, &tensors[i], 0, &to) != 0)
            failed = bp_error_set(error, "/weights", "weights/%s must be nested arrays of finite numbers with the shape %s", tensors[i].name, shape);
    }
    free(tensors);
    return failed;
}

static int read_json(const struct schema_importing *from, struct read *r, struct bp_error *error) {
    json_error_t where = {0};
    const struct schema_json_cost cost = schema_json_cost(from->bytes, from->size);
    if (from->allow && from->allow->allow && !from->allow->allow(from->allow->context, &cost)) return -1;
    r->document = schema_json_load(from->bytes, from->size, JSON_REJECT_DUPLICATES, &where);
    if (!r->document) return bp_error_set(error, "", "the body is not valid JSON: %.200s (line %d)", where.text, where.line);
    json_t *weights = json_incref(json_object_get(r->document, "weights"));
    int failed = 0;
    if (!json_is_object(weights) || !json_object_get(r->document, "definition"))
        failed = bp_error_set(error, "",
                              "expected a model as export?format=json gives it: an object with \"definition\", \"preprocessing\" and \"weights\"");
    json_object_del(r->document, "weights");
    json_object_del(r->document, "format");
    if (!failed) failed = plan(r, from, (size_t)cost.values, error);
    if (!failed) failed = take_weights(weights, r, error);
    json_decref(weights);
    return failed;
}

/* ---- the document ---------------------------------------------------------------------------------------------------------- */

static void keep(json_t *to, const json_t *from, const char *name, bool is_of_type) {
    if (is_of_type) json_object_set(to, name, json_object_get(from, name));
}

/* What a version shows: the training as it was understood, and of what was measured that which has its type. */
static json_t *described(const struct schema_training *training, const json_t *from) {
    static const char *const counts[] = {"epoch", "epochs_trained", "rows_trained", "rows_validated"};
    json_t *document = schema_training_encode(training), *metrics = json_object(), *value;
    const char *name;
    json_object_foreach(json_object_get(from, "metrics"), name, value) if (json_is_number(value) || json_is_null(value))
        json_object_set(metrics, name, value);
    json_object_set_new(document, "metrics", metrics);
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        const json_t *count = json_object_get(from, counts[i]);
        keep(document, from, counts[i], json_is_integer(count) && json_integer_value(count) >= (i == 3 ? 0 : 1));
    }
    const char *reason = json_string_value(json_object_get(from, "stop_reason")), *program = json_string_value(json_object_get(from, "program"));
    keep(document, from, "stop_reason",
         reason && (strcmp(reason, "early_stopping") == 0 || strcmp(reason, "max_seconds") == 0 || strcmp(reason, "sweep") == 0));
    keep(document, from, "program", program && strncmp(program, "backpropd ", 10) == 0);
    keep(document, from, "learning_rate", json_is_number(json_object_get(from, "learning_rate")));
    struct schema_reference *reference = schema_reference_decode(json_object_get(from, "reference"), training);
    keep(document, from, "reference", reference != NULL);
    schema_reference_free(reference);
    keep(document, from, "cross_validation", json_is_object(json_object_get(from, "cross_validation")));
    return document;
}

/* ---- all of them ----------------------------------------------------------------------------------------------------------- */

/* Whether the file says that it is a model file: then it is one, or damaged. */
static bool is_model_file(const char *bytes, size_t size) {
    const size_t head = size < 4096 ? size : 4096; /* the metadata comes first */
    return memmem(bytes, head, "\"format\":\"backpropd-model/", 26) != NULL;
}

static json_t *import_model_file(int fd, const struct schema_importing *what, struct bp_error *error) {
    struct schema_model *model = schema_model_read_bounded(what->bytes, what->size, what->allow, error);
    json_t *document = NULL;
    if (model && what->like) bp_error_set(error, "", "the file has a definition of its own; leave out like");
    else if (model && schema_import_bound(model->training->network, what->workspace_max, error) == 0 &&
             schema_write_all(fd, what->bytes, what->size, error) == 0)
        document = described(model->training, model->document);
    schema_model_free(model);
    return document;
}

/* What was read as a model file, with the calibration that the file has. Its document; NULL with the error. */
static json_t *write_read(int fd, const struct read *r, struct bp_error *error) {
    const json_t *calibration = json_object_get(r->document, "calibration");
    size_t size = 0;
    if (json_is_null(calibration)) calibration = NULL;
    struct schema_calibration *checked = calibration ? schema_calibration_decode(calibration, r->training, error) : NULL;
    if (calibration && !checked) return NULL;
    schema_calibration_free(checked);
    json_t *document = described(r->training, r->document);
    if (!document || schema_model_write_calibrated(fd, r->training, document, r->weights, calibration, &size, error) == 0) return document;
    json_decref(document);
    return NULL;
}

json_t *schema_import_write(int fd, const struct schema_importing *what, enum schema_export *form, struct bp_error *error) {
    const char *bytes = what->bytes;
    struct read r = {0};
    size_t at = 0;
    json_t *document = NULL;
    while (at < what->size && at < 64 && strchr(" \t\r\n", bytes[at])) at++;
    const bool tensors = what->size > 8 && bytes[8] == '{';
    *form = tensors ? SCHEMA_EXPORT_SAFETENSORS : SCHEMA_EXPORT_JSON;
    if (tensors && is_model_file(bytes, what->size)) {
        *form = SCHEMA_EXPORT_BPD;
        return import_model_file(fd, what, error);
    }
    if (!tensors && (at == what->size || bytes[at] != '{')) {
        bp_error_set(error, "",
                     "this is no model: expected a .bpd file of `backpropd train` or of an export, a safetensors file, or the JSON of an export");
        return NULL;
    }
    const int failed = tensors ? read_tensors(what, &r, error) : read_json(what, &r, error);
    if (!failed) document = write_read(fd, &r, error);
    read_free(&r);
    return document;
}

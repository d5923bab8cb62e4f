/* model_file.c - models and checkpoints as safetensors. */
#include "schema/predict/model_file.h"

#include "schema/memory.h"
#include "schema/predict/safetensors.h"
#include "schema/text/text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Version 1 had no checksum. */
enum { FORMAT_VERSION = 2 };
static const char model_kind[] = "backpropd-model/", checkpoint_kind[] = "backpropd-checkpoint/";

static json_t *format_json(const char *kind) {
    return json_sprintf("%s%d", kind, FORMAT_VERSION);
}

/* Whether the metadata is that of a file of the kind, which this program can read. */
static int check_format(const json_t *metadata, const char *kind, const char *what, struct bp_error *error) {
    const char *format = json_string_value(json_object_get(metadata, "format"));
    const size_t size = strlen(kind);
    if (!format || strncmp(format, kind, size) != 0)
        return bp_error_set(error, "", "this tensor file is not a %s of backpropd (%.60s)", what, format ? format : "it has no format entry");
    const long version = strtol(format + size, NULL, 10);
    if (version > FORMAT_VERSION)
        return bp_error_set(error, "", "this %s has format %ld, but this program reads up to %d; use a newer backpropd", what, version,
                            FORMAT_VERSION);
    if (version < 1 || (version > 1 && !json_object_get(metadata, "crc32")))
        return bp_error_damaged(error, "the %s is damaged: it has no checksum", what);
    return 0;
}

/* ---- models ------------------------------------------------------------------------------------------------------------ */

struct schema_tensor *schema_model_tensors(const struct bp_network *network, const bp_real *weights, int32_t *count) {
    int32_t n = 0;
    for (int32_t i = network->inputs_count; i < network->nodes_count; i++) n += network->nodes[i].tensors_count;
    struct schema_tensor *tensors = calloc((size_t)n + 1, sizeof *tensors);
    n = 0;
    for (int32_t i = network->inputs_count; tensors && i < network->nodes_count; i++) {
        const struct bp_node *node = &network->nodes[i];
        for (int32_t k = 0; k < node->tensors_count; k++) {
            struct schema_tensor *t = &tensors[n++];
            snprintf(t->name, sizeof t->name, "%s/%s", node->name, node->tensors[k].name);
            t->dtype = SCHEMA_F32;
            t->rank = node->tensors[k].shape.rank;
            for (int32_t d = 0; d < t->rank; d++) t->dims[d] = node->tensors[k].shape.dims[d];
            t->data = weights ? weights + node->tensors[k].offset : NULL;
            t->bytes = (size_t)bp_shape_size(&node->tensors[k].shape) * sizeof(float);
        }
    }
    *count = n;
    return tensors;
}

/* Adds the optimizer's numbers of each tensor that is trained to the list, which has space for them. */
static void list_slots(const struct bp_network *network, const struct schema_model_optimizer *optimizer, struct schema_tensor *tensors,
                       int32_t *count) {
    const int32_t weights = *count;
    for (int32_t s = 0; s < optimizer->slots_count; s++)
        for (int32_t i = network->inputs_count, k = 0; i < network->nodes_count; i++)
            for (int32_t t = 0; t < network->nodes[i].tensors_count; t++, k++) {
                const size_t offset = network->nodes[i].tensors[t].offset;
                if (offset >= network->trained_count || k >= weights) continue;
                struct schema_tensor *slot = &tensors[(*count)++];
                *slot = tensors[k];
                snprintf(slot->name, sizeof slot->name, "optimizer_%d:%.63s/%.60s", (int)s, network->nodes[i].name,
                         network->nodes[i].tensors[t].name);
                slot->data = optimizer->slots[s] + offset;
            }
}

int schema_model_write_parts(int fd, const struct schema_training *training, const struct schema_model_parts *parts, const bp_real *weights,
                             size_t *size, struct bp_error *error) {
    const struct schema_model_optimizer *optimizer = parts->optimizer;
    int32_t count = 0;
    struct schema_tensor *tensors = schema_model_tensors(training->network, weights, &count), *all = tensors;
    if (tensors && optimizer && (all = realloc(tensors, ((size_t)count * (size_t)(1 + optimizer->slots_count) + 1) * sizeof *all))) {
        tensors = all;
        list_slots(training->network, optimizer, all, &count);
    }
    char *text = schema_json_dump(parts->document, JSON_COMPACT);
    char *calibration = parts->calibration ? schema_json_dump(parts->calibration, JSON_COMPACT | JSON_REAL_PRECISION(17)) : NULL;
    json_t *metadata =
        text && (calibration || !parts->calibration) ? json_pack("{s:o, s:s}", "format", format_json(model_kind), "document", text) : NULL;
    if (metadata && calibration) json_object_set_new(metadata, "calibration", json_string(calibration));
    if (metadata && optimizer)
        json_object_set_new(metadata, "optimizer",
                            json_sprintf("%s %lld %d", optimizer->type, (long long)optimizer->updates, (int)optimizer->slots_count));
    int failed = all && metadata ? schema_safetensors_write(fd, all, count, metadata, size, error) : bp_error_memory(error, "no memory");
    json_decref(metadata);
    free(calibration);
    free(text);
    free(tensors);
    return failed;
}

int schema_model_write_with(int fd, const struct schema_training *training, const json_t *document, const bp_real *weights,
                            const struct schema_model_optimizer *optimizer, size_t *size, struct bp_error *error) {
    return schema_model_write_parts(fd, training, &(struct schema_model_parts){.document = document, .optimizer = optimizer}, weights, size, error);
}

int schema_model_write_calibrated(int fd, const struct schema_training *training, const json_t *document, const bp_real *weights,
                                  const json_t *calibration, size_t *size, struct bp_error *error) {
    return schema_model_write_parts(fd, training, &(struct schema_model_parts){.document = document, .calibration = calibration}, weights, size,
                                    error);
}

int schema_model_write(int fd, const struct schema_training *training, const json_t *document, const bp_real *weights, size_t *size,
                       struct bp_error *error) {
    return schema_model_write_parts(fd, training, &(struct schema_model_parts){.document = document}, weights, size, error);
}

static int read_weights(struct schema_model *model, const struct schema_tensor *held, int32_t held_count, struct bp_error *error) {
    int32_t count = 0, failed = 0;
    const struct bp_network *network = model->training->network;
    size_t there = 0;
    for (int32_t i = 0; i < held_count; i++) there += held[i].bytes;
    if ((uint64_t)network->parameters > there / sizeof(float)) /* before memory is taken for them */
        return bp_error_set(error, "", "the network has %lld weights, the model file %zu numbers", (long long)network->parameters,
                            there / sizeof(float));
    model->weights = bp_reals_new(network->weights_count);
    struct schema_tensor *expected = model->weights ? schema_model_tensors(network, model->weights, &count) : NULL;
    if (!expected) return bp_error_memory(error, "no memory for the weights");
    for (int32_t i = 0; i < count && !failed; i++) {
        const struct schema_tensor *t = schema_safetensors_find(held, held_count, expected[i].name);
        if (!t || t->dtype != SCHEMA_F32 || t->bytes != expected[i].bytes)
            failed = bp_error_set(error, "", "the model file has no tensor of that shape: \"%s\"", expected[i].name);
        else memcpy((char *)model->weights + ((const char *)expected[i].data - (const char *)model->weights), t->data, t->bytes);
    }
    free(expected);
    return failed;
}

static char *json_string_of(const char *bytes) {
    struct schema_text text = {.limit = 1 << 24};
    schema_text_json_string(&text, bytes);
    if (!text.failed) return text.bytes;
    free(text.bytes);
    return NULL;
}

/* An output of several numbers is named by their columns, the others by their own names. */
static const char *shown_name(const struct schema_preprocessing *p, int32_t k) {
    for (int32_t o = 0; o < p->outputs_count; o++)
        if (k >= p->outputs[o].first && k < p->outputs[o].first + p->outputs[o].count && p->outputs[o].count == 1 && p->outputs[o].name[0])
            return p->outputs[o].name;
    return p->targets[k].name;
}

static int escape_names(struct schema_model *model) {
    const struct schema_preprocessing *p = model->training->preprocessing;
    model->labels_json = calloc((size_t)p->targets_count, sizeof *model->labels_json);
    model->names_json = calloc((size_t)p->targets_count, sizeof *model->names_json);
    model->outputs_json = calloc((size_t)p->outputs_count, sizeof *model->outputs_json);
    if (!model->labels_json || !model->names_json || !model->outputs_json) return -1;
    for (int32_t o = 0; o < p->outputs_count; o++)
        if (!(model->outputs_json[o] = json_string_of(p->outputs[o].name))) return -1;
    for (int32_t k = 0; k < p->targets_count; k++) {
        if (!(model->names_json[k] = json_string_of(shown_name(p, k)))) return -1;
        if (!(model->labels_json[k] = calloc((size_t)p->targets[k].labels_count + 1, sizeof **model->labels_json))) return -1;
        for (int32_t i = 0; i < p->targets[k].labels_count; i++)
            if (!(model->labels_json[k][i] = json_string_of(p->targets[k].labels[i]))) return -1;
    }
    return 0;
}

static void free_names(struct schema_model *model) {
    for (int32_t k = 0; model->labels_json && k < model->training->preprocessing->targets_count; k++) {
        for (int32_t i = 0; model->labels_json[k] && i < model->training->preprocessing->targets[k].labels_count; i++) free(model->labels_json[k][i]);
        free(model->labels_json[k]);
        if (model->names_json) free(model->names_json[k]);
    }
    for (int32_t o = 0; model->outputs_json && o < model->training->preprocessing->outputs_count; o++) free(model->outputs_json[o]);
    free(model->outputs_json);
    free(model->labels_json);
    free(model->names_json);
}

/* ---- what it has apart from its weights ---------------------------------------------------------------------------------- */

int schema_model_calibrate(struct schema_model *model, const json_t *document, struct bp_error *error) {
    struct schema_calibration *calibration = NULL;
    if (document && !(calibration = schema_calibration_decode(document, model->training, error))) return -1;
    schema_calibration_free(model->calibration);
    json_decref(model->calibration_document);
    model->calibration = calibration;
    model->calibration_document = json_incref((json_t *)(uintptr_t)document);
    return 0;
}

int schema_model_rewrite(int fd, const void *bytes, size_t size, const json_t *calibration, struct bp_error *error) {
    struct schema_tensor *tensors = NULL;
    int32_t count = 0;
    json_t *metadata = NULL;
    size_t written;
    if (schema_safetensors_read(bytes, size, &tensors, &count, &metadata, error) != 0) return -1;
    char *text = calibration ? schema_json_dump(calibration, JSON_COMPACT | JSON_REAL_PRECISION(17)) : NULL;
    int failed = calibration && !text ? bp_error_memory(error, "no memory for the calibration of the model") : 0;
    json_object_del(metadata, "calibration");
    json_object_del(metadata, "crc32");
    if (text) json_object_set_new(metadata, "calibration", json_string(text));
    if (!failed) failed = schema_safetensors_write(fd, tensors, count, metadata, &written, error);
    free(text);
    json_decref(metadata);
    free(tensors);
    return failed;
}

char *schema_model_calibration(const void *bytes, size_t size) {
    struct schema_tensor *tensors = NULL;
    int32_t count = 0;
    json_t *metadata = NULL;
    struct bp_error ignored = {0};
    if (schema_safetensors_read(bytes, size, &tensors, &count, &metadata, &ignored) != 0) return NULL;
    const char *text = json_string_value(json_object_get(metadata, "calibration"));
    char *copy = text ? strdup(text) : NULL;
    json_decref(metadata);
    free(tensors);
    return copy;
}

static bool read_calibration(struct schema_model *model, const json_t *metadata, const struct schema_json_allow *allow, struct bp_error *error) {
    const char *text = json_string_value(json_object_get(metadata, "calibration"));
    if (!text) return true;
    json_t *document = schema_json_load_allowed(text, strlen(text), allow);
    const bool good = document && schema_model_calibrate(model, document, error) == 0;
    json_decref(document);
    return good;
}

json_t *schema_json_load_allowed(const char *text, size_t size, const struct schema_json_allow *allow) {
    if (allow && allow->allow) {
        const struct schema_json_cost cost = schema_json_cost(text, size);
        if (!allow->allow(allow->context, &cost)) return NULL;
    }
    return schema_json_load(text, size, JSON_REJECT_DUPLICATES, NULL);
}

/* The document, the training and the weights, from the parts of the file. */
static bool read_parts(struct schema_model *model, const json_t *metadata, const struct schema_json_allow *allow, struct bp_error *error) {
    const char *text = json_string_value(json_object_get(metadata, "document"));
    if (check_format(metadata, model_kind, "model", error) != 0 || !text) return false;
    const struct schema_json_cost cost = schema_json_cost(text, strlen(text));
    model->document = schema_json_load_allowed(text, strlen(text), allow);
    if (!model->document || !(model->training = schema_training_decode(model->document, error))) return false;
    model->document_bytes = (size_t)cost.bytes + 2 * strlen(text);
    model->reference = schema_reference_decode(json_object_get(model->document, "reference"), model->training);
    return true;
}

struct schema_model *schema_model_read_bounded(const void *bytes, size_t size, const struct schema_json_allow *allow, struct bp_error *error) {
    struct schema_tensor *tensors = NULL;
    int32_t count = 0;
    json_t *metadata = NULL;
    errno = 0;
    if (schema_safetensors_read(bytes, size, &tensors, &count, &metadata, error) != 0) return NULL;
    struct schema_model *model = calloc(1, sizeof *model);
    if (!model) bp_error_memory(error, "out of memory for the model");
    const bool good = model && read_parts(model, metadata, allow, error) && read_weights(model, tensors, count, error) == 0 &&
                      escape_names(model) == 0 && read_calibration(model, metadata, allow, error);
    json_decref(metadata);
    free(tensors);
    if (good) return model;
    if (errno == ENOMEM) bp_error_memory(error, "out of memory for the model");
    bp_error_set(error, "", "the model file is damaged");
    schema_model_free(model);
    return NULL;
}

struct schema_model *schema_model_read(const void *bytes, size_t size, struct bp_error *error) {
    return schema_model_read_bounded(bytes, size, NULL, error);
}

void schema_model_free(struct schema_model *model) {
    if (!model) return;
    free_names(model);
    free(model->weights);
    schema_calibration_free(model->calibration);
    json_decref(model->calibration_document);
    schema_reference_free(model->reference);
    schema_training_free(model->training);
    json_decref(model->document);
    free(model);
}

size_t schema_model_bytes(const struct schema_model *model) {
    enum { REST = 32 << 10 };
    return model->training->network->weights_count * sizeof(bp_real) + model->document_bytes + 3 * schema_calibration_bytes(model->calibration) +
           REST;
}

/* ---- checkpoints ---------------------------------------------------------------------------------------------------------- */

static struct schema_tensor flat(const char *name, enum schema_dtype dtype, const void *data, size_t n) {
    struct schema_tensor t = {.dtype = dtype, .rank = 1, .dims = {(int64_t)n}, .data = data, .bytes = n * (dtype == SCHEMA_F64 ? 8 : 4)};
    snprintf(t.name, sizeof t.name, "%s", name);
    return t;
}

int schema_checkpoint_write(int fd, const struct bp_trainer_state *state, const json_t *notes, struct bp_error *error) {
    struct schema_tensor tensors[BP_SLOTS_MAX + 5];
    int32_t count = 0;
    tensors[count++] = flat("accumulators", SCHEMA_F64, state->accumulators, (size_t)state->accumulators_count); /* first: 8-byte aligned */
    tensors[count++] = flat("memory", SCHEMA_F64, state->memory, BP_MEMORY);
    tensors[count++] = flat("weights", SCHEMA_F32, state->weights, state->weights_count);
    if (state->best) tensors[count++] = flat("best", SCHEMA_F32, state->best, state->weights_count);
    if (state->average) tensors[count++] = flat("average", SCHEMA_F32, state->average, state->weights_count);
    for (int32_t i = 0; i < state->slots_count; i++) {
        char name[32];
        snprintf(name, sizeof name, "slot_%d", i);
        tensors[count++] = flat(name, SCHEMA_F32, state->slots[i], state->trained_count);
    }
    char best[64];
    snprintf(best, sizeof best, "%a", state->best_value);
    json_t *counters =
        json_pack("{s:I, s:I, s:I, s:I, s:I, s:s, s:I, s:b}", "trained", (json_int_t)state->trained_count, "epoch", (json_int_t)state->epoch,
                  "position", (json_int_t)state->position, "updates", (json_int_t)state->updates, "best_epoch", (json_int_t)state->best_epoch,
                  "best_value", best, "waited", (json_int_t)state->waited, "stopped", state->stopped);
    char *counters_text = schema_json_dump(counters, JSON_COMPACT), *notes_text = schema_json_dump(notes, JSON_COMPACT);
    json_t *metadata = counters_text && notes_text
                           ? json_pack("{s:o, s:s, s:s}", "format", format_json(checkpoint_kind), "state", counters_text, "notes", notes_text)
                           : NULL;
    size_t size;
    int failed = metadata ? schema_safetensors_write(fd, tensors, count, metadata, &size, error) : bp_error_memory(error, "no memory");
    if (!failed && fsync(fd) != 0) failed = bp_error_io(error, "%s", strerror(errno));
    json_decref(metadata);
    json_decref(counters);
    free(counters_text);
    free(notes_text);
    return failed;
}

static void *buffer(const struct schema_tensor *tensors, int32_t count, const char *name, enum schema_dtype dtype, size_t *n) {
    const struct schema_tensor *t = schema_safetensors_find(tensors, count, name);
    if (!t || t->dtype != dtype || t->rank != 1) return NULL;
    *n = (size_t)t->dims[0];
    return (void *)(uintptr_t)t->data;
}

static int take_state(const struct schema_tensor *tensors, int32_t count, const json_t *counters, struct bp_trainer_state *state) {
    size_t n = 0, m = 0;
    state->weights = buffer(tensors, count, "weights", SCHEMA_F32, &n);
    state->weights_count = n;
    state->best = buffer(tensors, count, "best", SCHEMA_F32, &m);
    bool good = state->weights && (!state->best || m == n);
    state->average = buffer(tensors, count, "average", SCHEMA_F32, &m);
    good = good && (!state->average || m == n);
    state->trained_count = (size_t)json_integer_value(json_object_get(counters, "trained"));
    const double *memory = buffer(tensors, count, "memory", SCHEMA_F64, &m);
    good = good && memory && m == BP_MEMORY;
    if (good) memcpy(state->memory, memory, sizeof state->memory);
    for (int32_t i = 0; good && i < BP_SLOTS_MAX; i++) {
        char name[32];
        snprintf(name, sizeof name, "slot_%d", i);
        if (!(state->slots[i] = buffer(tensors, count, name, SCHEMA_F32, &m))) break;
        state->slots_count++;
        good = m == state->trained_count;
    }
    state->accumulators = buffer(tensors, count, "accumulators", SCHEMA_F64, &m);
    state->accumulators_count = (int64_t)m;
    state->epoch = json_integer_value(json_object_get(counters, "epoch"));
    state->position = json_integer_value(json_object_get(counters, "position"));
    state->updates = json_integer_value(json_object_get(counters, "updates"));
    state->best_epoch = json_integer_value(json_object_get(counters, "best_epoch"));
    const char *best = json_string_value(json_object_get(counters, "best_value"));
    state->best_value = best ? strtod(best, NULL) : 0;
    state->waited = json_integer_value(json_object_get(counters, "waited"));
    state->stopped = json_is_true(json_object_get(counters, "stopped"));
    return good && state->accumulators && best ? 0 : -1;
}

int schema_checkpoint_read(const void *bytes, size_t size, struct bp_trainer_state *state, json_t **notes, struct bp_error *error) {
    struct schema_tensor *tensors = NULL;
    int32_t count = 0;
    json_t *metadata = NULL;
    memset(state, 0, sizeof *state);
    if (schema_safetensors_read(bytes, size, &tensors, &count, &metadata, error) != 0) return -1;
    const char *text = json_string_value(json_object_get(metadata, "state")), *notes_text = json_string_value(json_object_get(metadata, "notes"));
    json_t *counters = text ? schema_json_load(text, strlen(text), 0, NULL) : NULL;
    int failed = check_format(metadata, checkpoint_kind, "checkpoint", error);
    if (!failed) failed = counters ? take_state(tensors, count, counters, state) : -1;
    if (failed) bp_error_set(error, "", "this is not a checkpoint of backpropd, or it is damaged");
    else *notes = notes_text ? schema_json_load(notes_text, strlen(notes_text), 0, NULL) : NULL;
    json_decref(counters);
    json_decref(metadata);
    free(tensors);
    return failed;
}

struct schema_column_type *schema_model_types(const struct schema_model *model, int32_t *count) {
    const struct schema_preprocessing *p = model->training->preprocessing;
    struct schema_column_type *types = calloc((size_t)p->features_count + 1, sizeof *types);
    for (int32_t i = 0; types && i < p->features_count; i++)
        types[i] = (struct schema_column_type){
            .name = p->features[i].name, .type = p->features[i].type, .shape = p->features[i].shape, .format = p->features[i].format, .hwc = true};
    *count = p->features_count;
    return types;
}

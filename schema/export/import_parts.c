/* import_parts.c - what a model from another program lacks: preprocessing, options, a loss; and its tensors under their names of PyTorch. */
#include "schema/export/export.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the document ---------------------------------------------------------------------------------------------------------- */

static bool is_shared(const char *name) {
    return strcmp(name, "features") == 0 || strcmp(name, "numbers") == 0 || strcmp(name, "categories") == 0;
}

/* A feature as the preprocessing has it, from a name or an object that leaves out what is usual. NULL: neither. The caller's. */
static json_t *feature_of(const json_t *given) {
    if (json_is_string(given))
        return json_pack("{s:s, s:s, s:s, s:i, s:i}", "name", json_string_value(given), "type", "numeric", "scale", "none", "mean", 0, "std", 1);
    json_t *feature = json_is_object(given) ? json_deep_copy(given) : NULL;
    if (!feature) return NULL;
    if (!json_object_get(feature, "type")) json_object_set_new(feature, "type", json_string("numeric"));
    if (!json_object_get(feature, "scale") && strcmp(json_string_value(json_object_get(feature, "type")), "numeric") == 0)
        json_object_set_new(feature, "scale", json_string(json_object_get(feature, "std") ? "standard" : "none"));
    if (!json_object_get(feature, "std")) json_object_set_new(feature, "std", json_integer(1));
    if (!json_object_get(feature, "mean")) json_object_set_new(feature, "mean", json_integer(0));
    return feature;
}

/* The inputs of the definition that are tensor columns. */
static void add_tensors(json_t *features, const json_t *inputs) {
    const char *name;
    json_t *input;
    json_object_foreach((json_t *)(uintptr_t)inputs, name, input) {
        if (is_shared(name)) continue;
        bool listed = false;
        for (size_t i = 0; i < json_array_size(features); i++) {
            const char *known = json_string_value(json_object_get(json_array_get(features, i), "name"));
            listed = listed || (known && strcmp(known, name) == 0);
        }
        if (listed) continue;
        json_array_append_new(features, json_pack("{s:s, s:s, s:s, s:O, s:i, s:i}", "name", name, "type", "tensor", "scale", "none", "shape",
                                                  json_object_get(input, "shape"), "mean", 0, "std", 1));
    }
}

static int make_preprocessing(json_t *document, struct bp_error *error) {
    const json_t *given = json_object_get(document, "features"), *target = json_object_get(document, "target"),
                 *labels = json_object_get(document, "labels");
    json_t *features = json_array(), *item;
    size_t i;
    json_array_foreach(given, i, item) {
        json_t *feature = feature_of(item);
        if (feature) json_array_append_new(features, feature);
    }
    const bool all = json_array_size(features) == json_array_size(given);
    add_tensors(features, json_object_get(json_object_get(document, "definition"), "inputs"));
    if (!all || json_array_size(features) == 0 || (!json_is_string(target) && !json_is_object(target))) {
        json_decref(features);
        return bp_error_set(error, "",
                            "without \"preprocessing\" a model needs \"features\", a list of names (or objects like {\"name\":\"x\",\"mean\":1.5,"
                            "\"std\":2}), and \"target\", a name; and \"labels\" if it predicts classes");
    }
    json_t *learned = json_is_object(target)  ? json_deep_copy(target)
                      : json_is_array(labels) ? json_pack("{s:O, s:s, s:O}", "name", target, "task", "classification", "labels", labels)
                                              : json_pack("{s:O, s:s, s:i, s:i}", "name", target, "task", "regression", "mean", 0, "std", 1);
    json_object_set_new(document, "preprocessing", json_pack("{s:o, s:o}", "features", features, "target", learned));
    return 0;
}

/* The loss that goes with the task: predictions are read by it. */
static void add_loss(json_t *document) {
    json_t *definition = json_object_get(document, "definition"), *layers = json_object_get(definition, "layers");
    const json_t *target = json_object_get(json_object_get(document, "preprocessing"), "target");
    const json_t *units = json_object_get(json_array_get(layers, json_array_size(layers) - 1), "units");
    const char *task = json_string_value(json_object_get(target, "task"));
    if (!target || !task || json_object_get(definition, "loss")) return;
    const bool classes = strcmp(task, "classification") == 0;
    json_object_set_new(definition, "loss",
                        json_string(!classes                         ? "mse"
                                    : json_integer_value(units) == 1 ? "binary_cross_entropy"
                                                                     : "cross_entropy"));
}

int schema_import_complete(json_t *document, struct bp_error *error) {
    json_t *definition = json_object_get(document, "definition");
    if (!json_is_object(definition) || !json_is_array(json_object_get(definition, "layers")))
        return bp_error_set(error, "/definition", "the definition must be an object with \"layers\", as in POST /v1/models");
    if (!json_object_get(document, "preprocessing") && make_preprocessing(document, error) != 0) return -1;
    if (!json_object_get(document, "options")) json_object_set_new(document, "options", json_pack("{s:{s:i}}", "validation", "fraction", 0));
    json_object_set_new(document, "definition", json_deep_copy(definition));
    add_loss(document);
    definition = json_object_get(document, "definition");
    if (!json_object_get(definition, "metrics")) json_object_set_new(definition, "metrics", json_array());
    return 0;
}

int schema_import_bound(const struct bp_network *network, size_t workspace_max, struct bp_error *error) {
    enum { ROWS = 16 }; /* a predictor's least */
    const size_t bytes = bp_workspace_bytes(network, ROWS, false);
    if (workspace_max == 0 || bytes <= workspace_max) return 0;
    return bp_error_set(error, "/definition", "a prediction would take %zu MB of memory, the limit is %zu MB (setting models_memory_max)",
                        bytes >> 20, workspace_max >> 20);
}

/* ---- tensors --------------------------------------------------------------------------------------------------------------- */

static float half(uint16_t bits) {
    const uint32_t sign = (uint32_t)(bits >> 15), exponent = bits >> 10 & 31, fraction = bits & 1023;
    const double v = exponent == 31 ? (fraction ? (double)NAN : (double)INFINITY)
                     : exponent     ? ldexp(1024.0 + fraction, (int)exponent - 25)
                                    : ldexp((double)fraction, -24);
    return (float)(sign ? -v : v);
}

static float number_at(const struct schema_tensor *t, int64_t i) {
    const char *at = (const char *)t->data + (size_t)i * (t->dtype == SCHEMA_F64 ? 8 : t->dtype == SCHEMA_F32 ? 4 : 2);
    double wide;
    float v;
    uint16_t bits;
    uint32_t whole;
    if (t->dtype == SCHEMA_F64) return memcpy(&wide, at, sizeof wide), (float)wide;
    if (t->dtype == SCHEMA_F32) return memcpy(&v, at, sizeof v), v;
    memcpy(&bits, at, sizeof bits);
    if (t->dtype == SCHEMA_F16) return half(bits);
    whole = (uint32_t)bits << 16;
    return memcpy(&v, &whole, sizeof v), v;
}

/* How PyTorch calls tensors, and which axis of its own each axis of ours is. */
struct translation {
    const char *tensor, *torch;
    int32_t rank, axes[BP_RANK_MAX];
};
static const struct translation translations[] = {
    {"kernel", "weight", 2, {1, 0}},
    {"kernel", "weight", 3, {2, 1, 0}},
    {"kernel", "weight", 4, {2, 3, 1, 0}},
    {"embeddings", "weight", 2, {0, 1}},
    {"gamma", "weight", 1, {0}},
    {"beta", "bias", 1, {0}},
    {"bias", "bias", 1, {0}},
    {"alpha", "weight", 1, {0}},
    {"moving_mean", "running_mean", 1, {0}},
    {"moving_variance", "running_var", 1, {0}},
};

/* Layers whose tensors of that name mean the same in PyTorch. */
static bool is_translated(const char *type) {
    static const char *const types[] = {"dense", "conv1d", "conv2d", "embedding", "batch_norm", "layer_norm", "group_norm", "rms_norm", NULL};
    int i = 0;
    while (types[i] && strcmp(types[i], type) != 0) i++;
    return types[i] != NULL;
}

/* The file's tensor for ours, and in `axes` which of its axes each of ours is. */
static const struct schema_tensor *find(const struct bp_node *node, const struct schema_tensor *ours, const struct schema_tensor *held, int32_t count,
                                        int32_t *axes) {
    char name[160];
    const struct schema_tensor *found = schema_safetensors_find(held, count, ours->name);
    for (int32_t d = 0; d < ours->rank; d++) axes[d] = d;
    for (size_t i = 0; !found && is_translated(node->ops->entry.name) && i < sizeof translations / sizeof *translations; i++) {
        const struct translation *t = &translations[i];
        if (t->rank != ours->rank || strcmp(strrchr(ours->name, '/') + 1, t->tensor) != 0) continue;
        snprintf(name, sizeof name, "%.63s.%s", node->name, t->torch);
        found = schema_safetensors_find(held, count, name);
        memcpy(axes, t->axes, sizeof t->axes);
    }
    return found;
}

static void dims_text(const int64_t *dims, int32_t rank, char text[static 100]) {
    size_t n = (size_t)snprintf(text, 100, "[");
    for (int32_t d = 0; d < rank && n < 80; d++) n += (size_t)snprintf(text + n, 100 - n, "%s%lld", d ? ", " : "", (long long)dims[d]);
    snprintf(text + n, 100 - n, "]");
}

static int take(const struct schema_tensor *ours, const struct schema_tensor *theirs, const int32_t *axes, bp_real *weights, struct bp_error *error) {
    int64_t expected[BP_RANK_MAX] = {0}, strides[BP_RANK_MAX] = {0}, at[BP_RANK_MAX] = {0};
    char want[100], got[100];
    const int64_t size = (int64_t)(ours->bytes / sizeof(float));
    for (int32_t d = 0; d < ours->rank; d++) expected[axes[d]] = ours->dims[d];
    dims_text(expected, ours->rank, want);
    dims_text(theirs->dims, theirs->rank, got);
    if (theirs->rank != ours->rank || memcmp(expected, theirs->dims, (size_t)ours->rank * sizeof *expected) != 0)
        return bp_error_set(error, "", "the tensor \"%s\" has the shape %s, the definition needs %s", theirs->name, got, want);
    if (theirs->dtype > SCHEMA_BF16)
        return bp_error_set(error, "", "the tensor \"%s\" has the type %s, expected F32, F64, F16 or BF16", theirs->name,
                            schema_dtype_names[theirs->dtype]);
    int64_t stride = 1, theirs_strides[BP_RANK_MAX];
    for (int32_t d = ours->rank - 1; d >= 0; stride *= theirs->dims[d--]) theirs_strides[d] = stride;
    for (int32_t d = 0; d < ours->rank; d++) strides[d] = theirs_strides[axes[d]];
    for (int64_t i = 0, from = 0; i < size; i++) {
        weights[i] = number_at(theirs, from);
        if (!isfinite(weights[i])) return bp_error_set(error, "", "the tensor \"%s\" has a number that is not finite", theirs->name);
        for (int32_t d = ours->rank - 1; d >= 0; d--) {
            from += strides[d];
            if (++at[d] < ours->dims[d]) break;
            from -= strides[d] * ours->dims[d];
            at[d] = 0;
        }
    }
    return 0;
}

int schema_import_tensors(const struct bp_network *network, const struct schema_tensor *held, int32_t count, bp_real *weights,
                          struct bp_error *error) {
    int32_t ours_count = 0, k = 0, axes[BP_RANK_MAX];
    struct schema_tensor *ours = schema_model_tensors(network, weights, &ours_count);
    int failed = ours ? 0 : bp_error_memory(error, "no memory for the weights");
    for (int32_t i = network->inputs_count; i < network->nodes_count && !failed; i++)
        for (int32_t t = 0; t < network->nodes[i].tensors_count && !failed; t++, k++) {
            const struct schema_tensor *theirs = find(&network->nodes[i], &ours[k], held, count, axes);
            if (theirs) failed = take(&ours[k], theirs, axes, weights + ((const bp_real *)ours[k].data - weights), error);
            else
                failed = bp_error_set(error, "", "the file has no tensor \"%s\"%s, which the definition needs; it has \"%.100s\"%s", ours[k].name,
                                      is_translated(network->nodes[i].ops->entry.name) ? " (or in PyTorch's form \"LAYER.weight\")" : "",
                                      count ? held[0].name : "none", count > 1 ? " and others" : "");
        }
    free(ours);
    return failed;
}

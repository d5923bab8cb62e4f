/* init_from.c - see init_from.h. */
#include "schema/predict/init_from.h"

#include "schema/json/values.h"
#include "schema/text/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- before the job is resolved ---------------------------------------------------------------------------------------------- */

int schema_init_prepare(const json_t *document, const struct schema_init_request *asked, struct schema_training_request *request, json_t **features,
                        struct schema_preprocessing **kept, struct schema_problems *problems) {
    struct bp_error error = {0};
    const json_t *preprocessing = json_object_get(document, "preprocessing");
    json_t *feature;
    size_t i;
    *kept = NULL;
    *features = NULL;
    if (asked->fits_anew) return 0;
    if (!(*kept = schema_preprocessing_decode(preprocessing, &error))) return schema_problem_error(problems, "/init_from", &error);
    request->keep = *kept;
    if (request->features) return 0;
    *features = json_array();
    json_array_foreach(json_object_get(preprocessing, "features"), i, feature) json_array_append(*features, json_object_get(feature, "name"));
    request->features = *features;
    return 0;
}

static const char *name_at(const void *names, int32_t i) {
    return ((const char(*)[BP_NAME_MAX])names)[i];
}

static bool is_taken(const char (*names)[BP_NAME_MAX], int32_t count, const char *name) {
    for (int32_t i = 0; i < count; i++)
        if (strcmp(names[i], name) == 0) return true;
    return false;
}

/* The names that the network gives to the layers: their own; to the others type and number, as engine/network/graph.c. */
static void name_layers(const struct schema_definition *d, char (*names)[BP_NAME_MAX]) {
    for (int32_t i = 0; i < d->layers_count; i++) snprintf(names[i], BP_NAME_MAX, "%s", d->layers[i].name);
    for (int32_t i = 0; i < d->layers_count; i++)
        for (int32_t number = 1; !names[i][0]; number++) {
            char name[BP_NAME_MAX];
            snprintf(name, sizeof name, "%.50s_%d", d->layers[i].ops->entry.name, (int)number);
            if (!is_taken((const char(*)[BP_NAME_MAX])names, d->layers_count, name)) memcpy(names[i], name, sizeof name);
        }
}

int schema_init_freeze(struct schema_definition *d, const json_t *frozen, struct schema_problems *problems) {
    char(*names)[BP_NAME_MAX] = frozen ? calloc((size_t)d->layers_count + 1, sizeof *names) : NULL;
    const int64_t before = problems->total;
    json_t *item;
    size_t k;
    if (frozen && !names) return schema_problem_no_memory(problems);
    if (names) name_layers(d, names);
    if (frozen && !json_is_array(frozen)) schema_problem_add(problems, "/frozen", "frozen must be a list of names of layers, like [\"dense_1\"]");
    json_array_foreach(frozen, k, item) {
        char place[40], hint[120];
        int32_t i = 0;
        snprintf(place, sizeof place, "/frozen/%zu", k);
        while (json_is_string(item) && i < d->layers_count && strcmp(names[i], json_string_value(item)) != 0) i++;
        if (!json_is_string(item)) schema_problem_add(problems, place, "expected the name of a layer");
        else if (i == d->layers_count)
            schema_problem_add(problems, place, "there is no layer \"%.60s\"%s", json_string_value(item),
                               schema_did_you_mean(schema_nearest(json_string_value(item), name_at, names, d->layers_count), hint, sizeof hint));
        else d->layers[i].frozen = true;
    }
    free(names);
    return problems->total == before ? 0 : -1;
}

/* ---- outputs that mean something else ------------------------------------------------------------------------------------------ */

static const struct schema_target *target_named(const struct schema_preprocessing *p, const char *name) {
    for (int32_t k = 0; k < p->targets_count; k++)
        if (strcmp(p->targets[k].name, name) == 0) return &p->targets[k];
    return p->targets_count == 1 ? &p->targets[0] : NULL;
}

/* Whether the numbers of both mean the same: labels in one order, or a number in one scale. */
static bool means_the_same(const struct schema_target *a, const struct schema_target *b) {
    if (!b || a->classification != b->classification || a->labels_count != b->labels_count || a->multilabel != b->multilabel) return false;
    for (int32_t i = 0; i < a->labels_count; i++)
        if (strcmp(a->labels[i], b->labels[i]) != 0) return false;
    return a->classification || (a->mean == b->mean && a->std == b->std && a->transform == b->transform && a->lambda == b->lambda);
}

json_t *schema_init_anew(const json_t *document, const struct schema_training *t) {
    struct bp_error ignored = {0};
    struct schema_preprocessing *of = schema_preprocessing_decode(json_object_get(document, "preprocessing"), &ignored);
    const struct schema_preprocessing *p = t->preprocessing;
    json_t *names = json_array();
    for (int32_t o = 0; of && o < p->outputs_count; o++) {
        bool same = true;
        for (int32_t k = p->outputs[o].first; k < p->outputs[o].first + p->outputs[o].count; k++)
            same = same && means_the_same(&p->targets[k], target_named(of, p->targets[k].name));
        if (!same) json_array_append_new(names, json_string(t->network->nodes[t->network->outputs[o].node].name));
    }
    schema_preprocessing_free(of);
    return names;
}

/* ---- weights ------------------------------------------------------------------------------------------------------------------- */

static bool is_listed(const json_t *names, const char *name) {
    json_t *item;
    size_t i;
    json_array_foreach(names, i, item) if (strcmp(json_string_value(item), name) == 0) return true;
    return false;
}

static void list(json_t *names, const char *name) {
    if (!is_listed(names, name)) json_array_append_new(names, json_string(name));
}

/* The tensor of that name, if it has the shape. */
static const struct schema_tensor *fitting(const struct schema_tensor *held, int32_t count, const char *name, const struct schema_tensor *like) {
    const struct schema_tensor *t = schema_safetensors_find(held, count, name);
    return t && t->dtype == SCHEMA_F32 && t->rank == like->rank && memcmp(t->dims, like->dims, (size_t)t->rank * sizeof *t->dims) == 0 ? t : NULL;
}

/* Node i: its tensors, ours[k..). Takes all of them or none. */
static void take_node(struct schema_init *init, const struct bp_network *net, int32_t i, const struct schema_tensor *ours,
                      const struct schema_tensor *held, int32_t count, const json_t *anew) {
    const struct bp_node *node = &net->nodes[i];
    bool all = !is_listed(anew, node->name);
    for (int32_t t = 0; t < node->tensors_count && all; t++) all = fitting(held, count, ours[t].name, &ours[t]) != NULL;
    init->taken[i] = all;
    list(all ? init->copied : init->fresh, node->name);
    for (int32_t t = 0; t < node->tensors_count && all; t++)
        memcpy(init->weights + node->tensors[t].offset, fitting(held, count, ours[t].name, &ours[t])->data, ours[t].bytes);
}

/* The optimizer's numbers of the node's tensors; those of tensors that it has not are 0. */
static void take_slots(struct schema_init *init, const struct bp_network *net, int32_t i, const struct schema_tensor *ours,
                       const struct schema_tensor *held, int32_t count) {
    const struct bp_node *node = &net->nodes[i];
    char name[160];
    for (int32_t s = 0; s < BP_SLOTS_MAX && init->slots[s]; s++)
        for (int32_t t = 0; t < node->tensors_count && init->taken[i]; t++) {
            snprintf(name, sizeof name, "optimizer_%d:%.120s", (int)s, ours[t].name);
            const struct schema_tensor *slot = fitting(held, count, name, &ours[t]);
            if (slot && node->tensors[t].offset < net->trained_count) memcpy(init->slots[s] + node->tensors[t].offset, slot->data, slot->bytes);
        }
}

/* Layers of the file that give nothing. */
static void list_left_out(struct schema_init *init, const struct schema_tensor *held, int32_t count) {
    for (int32_t k = 0; k < count; k++) {
        char layer[160];
        const char *slash = strchr(held[k].name, '/');
        if (!slash || strncmp(held[k].name, "optimizer_", 10) == 0) continue;
        snprintf(layer, sizeof layer, "%.*s", (int)(slash - held[k].name), held[k].name);
        if (!is_listed(init->copied, layer)) list(init->left_out, layer);
    }
}

static int open_slots(struct schema_init *init, const json_t *metadata, const struct schema_training *t, struct bp_error *error) {
    const char *text = json_string_value(json_object_get(metadata, "optimizer")), *type = t->options.optimizer->entry.name;
    char held[64] = "";
    long long updates = 0;
    int count = 0;
    if (!text || sscanf(text, "%63s %lld %d", held, &updates, &count) != 3)
        return bp_error_set(error, "/keep_optimizer_state",
                            "the version keeps no state of its optimizer: train it with \"keep_optimizer_state\":true, or leave that out here");
    if (strcmp(held, type) != 0 || count < 0 || count > BP_SLOTS_MAX || updates < 0)
        return bp_error_set(error, "/keep_optimizer_state", "the version keeps the state of the optimizer %.60s, this job uses %s: use the same",
                            held, type);
    for (int s = 0; s < count; s++) {
        if (!(init->slots[s] = bp_reals_new(t->network->trained_count))) return bp_error_memory(error, "no memory for the state of the optimizer");
        init->start.slots[s] = init->slots[s];
    }
    init->start.updates = updates;
    return 0;
}

static int take_all(struct schema_init *init, const struct schema_training *t, const struct schema_tensor *held, int32_t count, const json_t *anew,
                    struct bp_error *error) {
    const struct bp_network *net = t->network;
    int32_t ours_count = 0, k = 0;
    struct schema_tensor *ours = schema_model_tensors(net, NULL, &ours_count);
    if (!ours) return bp_error_memory(error, "no memory for the weights");
    for (int32_t i = net->inputs_count; i < net->nodes_count; k += net->nodes[i++].tensors_count) {
        if (net->nodes[i].tensors_count == 0) continue;
        take_node(init, net, i, ours + k, held, count, anew);
        take_slots(init, net, i, ours + k, held, count);
    }
    free(ours);
    list_left_out(init, held, count);
    if (json_array_size(init->copied) > 0) return 0;
    return bp_error_set(
        error, "/init_from",
        "no layer of the version has the name and the shapes of a layer of this network; give the layers the names that they have there");
}

int schema_init_read(const void *bytes, size_t size, const struct schema_training *t, const json_t *anew, bool keep, struct schema_init *init,
                     struct bp_error *error) {
    struct schema_tensor *held = NULL;
    int32_t count = 0;
    json_t *metadata = NULL;
    memset(init, 0, sizeof *init);
    if (schema_safetensors_read(bytes, size, &held, &count, &metadata, error) != 0) return -1;
    init->copied = json_array(), init->fresh = json_array(), init->left_out = json_array();
    init->weights = bp_reals_new(t->network->weights_count);
    init->taken = calloc((size_t)t->network->nodes_count, sizeof *init->taken);
    int failed = init->weights && init->taken ? 0 : bp_error_memory(error, "no memory for the weights");
    if (!failed && keep) failed = open_slots(init, metadata, t, error);
    if (!failed) failed = take_all(init, t, held, count, anew, error);
    init->start.weights = init->weights;
    init->start.taken = init->taken;
    json_decref(metadata);
    free(held);
    return failed;
}

void schema_init_free(struct schema_init *init) {
    for (int32_t s = 0; s < BP_SLOTS_MAX; s++) free(init->slots[s]);
    free(init->weights);
    free(init->taken);
    json_decref(init->copied);
    json_decref(init->fresh);
    json_decref(init->left_out);
    memset(init, 0, sizeof *init);
}

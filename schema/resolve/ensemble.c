/* ensemble.c - see ensemble.h. */
#include "schema/resolve/ensemble.h"

#include "schema/resolve/folds.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the spec ------------------------------------------------------------------------------------------------------------------------ */

json_t *schema_ensemble_encode(const struct schema_ensemble *e) {
    json_t *families = json_array();
    for (int32_t i = 0; i < e->families_count; i++)
        json_array_append_new(families, json_pack("{s:s, s:o, s:o}", "name", e->families[i].name, "definition",
                                                  schema_definition_encode(e->families[i].training->definition), "options",
                                                  schema_options_encode(&e->families[i].training->options)));
    return json_pack("{s:i, s:o}", "repeats", (int)e->repeats, "families", families);
}

/* The spec with the definition and options of a family; the caller's. */
static json_t *family_spec(const json_t *spec, int32_t family) {
    json_t *copy = json_copy((json_t *)spec);
    const json_t *own = json_array_get(json_object_get(json_object_get(spec, "ensemble"), "families"), (size_t)family);
    json_object_set(copy, "definition", json_object_get(own, "definition"));
    json_object_set(copy, "options", json_object_get(own, "options"));
    return copy;
}

static struct schema_training *decode_family(const json_t *spec, int32_t family, struct bp_error *error) {
    json_t *own = family_spec(spec, family);
    struct schema_training *training = own ? schema_training_decode(own, error) : NULL;
    json_decref(own);
    return training;
}

/* Families in turn, so that a training that is cut short has some of each. */
void schema_ensemble_list(struct schema_ensemble *e) {
    const int32_t folds = e->folds ? e->folds : 1;
    e->members_count = 0;
    for (int32_t repeat = 0; repeat < e->repeats; repeat++)
        for (int32_t fold = 0; fold < folds; fold++)
            for (int32_t family = 0; family < e->families_count && e->members_count < SCHEMA_MEMBERS_MAX; family++)
                e->members[e->members_count++] = (struct schema_member){family, e->folds ? fold + 1 : 0, repeat};
}

struct schema_ensemble *schema_ensemble_decode(const json_t *spec, struct bp_error *error) {
    const json_t *own = json_object_get(spec, "ensemble"), *families = json_object_get(own, "families");
    struct schema_ensemble *e = calloc(1, sizeof *e);
    if (!e) return bp_error_memory(error, "no memory for an ensemble"), NULL;
    e->repeats = (int32_t)json_integer_value(json_object_get(own, "repeats"));
    if (json_array_size(families) < 1 || json_array_size(families) > SCHEMA_FAMILIES_MAX || e->repeats < 1)
        bp_error_set(error, "", "the description of this ensemble is damaged");
    for (size_t i = 0; i < json_array_size(families) && !(error && error->message[0]); i++) {
        struct schema_family *family = &e->families[i];
        const char *name = json_string_value(json_object_get(json_array_get(families, i), "name"));
        snprintf(family->name, sizeof family->name, "%s", name ? name : "");
        family->training = decode_family(spec, (int32_t)i, error);
        e->families_count += family->training != NULL;
    }
    if ((size_t)e->families_count == json_array_size(families) && e->families_count > 0) {
        e->folds = e->families[0].training->options.folds;
        schema_ensemble_list(e);
        return e;
    }
    schema_ensemble_free(e);
    return NULL;
}

void schema_ensemble_free(struct schema_ensemble *e) {
    if (!e) return;
    for (int32_t i = 0; i < e->families_count; i++) schema_training_free(e->families[i].training);
    free(e);
}

struct schema_training *schema_ensemble_member(const json_t *spec, const struct schema_ensemble *e, int32_t member, struct bp_error *error) {
    const struct schema_member *m = &e->members[member];
    struct schema_training *t = decode_family(spec, m->family, error);
    if (!t) return NULL;
    t->fold = m->fold;
    t->repeat = m->repeat;
    t->options.threads = 1; /* members are trained side by side instead */
    t->options.max_seconds = 0;
    return t;
}

/* ---- the joined network ----------------------------------------------------------------------------------------------------------------- */

struct joining {
    const struct schema_ensemble *ensemble;
    const struct schema_trained *members;
    json_t *layers;
};

static void member_name(const struct joining *j, int32_t member, const char *layer, char name[BP_NAME_MAX]) {
    const struct schema_member *m = &j->ensemble->members[member];
    const struct schema_family *family = &j->ensemble->families[m->family];
    char head[48], repeat[16] = "";
    if (m->repeat) snprintf(repeat, sizeof repeat, "r%d_", (int)m->repeat + 1);
    snprintf(head, sizeof head, "%s%s%s%d_", family->name, family->name[0] ? "_" : "", repeat, (int)m->fold);
    snprintf(name, BP_NAME_MAX, "%s%.*s", head, (int)(BP_NAME_MAX - 1 - strlen(head)), layer);
}

static void add_layer(struct joining *j, const char *type, const char *parameter, const char *value, const char *name, json_t *inputs) {
    json_t *layer = json_pack("{s:s, s:s, s:o}", "type", type, "name", name, "inputs", inputs);
    if (parameter) json_object_set_new(layer, parameter, json_string(value));
    json_array_append_new(j->layers, layer);
}

/* The name of the layer with the member's prediction of output o. */
static void prediction_name(const struct joining *j, int32_t member, int32_t o, char name[BP_NAME_MAX]) {
    char layer[40];
    snprintf(layer, sizeof layer, "prediction_%d", (int)o + 1);
    member_name(j, member, layer, name);
}

/* What the loss applied to the member's outputs becomes a layer; one member's networks at one output are averaged. */
static void add_predictions(struct joining *j, int32_t member) {
    const struct bp_network *net = j->ensemble->families[j->ensemble->members[member].family].training->network;
    char last[BP_NAME_MAX], name[BP_NAME_MAX];
    for (int32_t o = 0; o < net->outputs_count; o++) {
        const struct bp_output *output = &net->outputs[o];
        member_name(j, member, net->nodes[output->node].name, last);
        prediction_name(j, member, o, name);
        /* a head that the definition names is applied by its layer */
        const char *head = output->head_implied ? output->head->entry.name : "linear";
        if (output->members) {
            char inner[BP_NAME_MAX], layer[40];
            snprintf(layer, sizeof layer, "predictions_%d", (int)o + 1);
            member_name(j, member, layer, inner);
            add_layer(j, "activation", "activation", head, inner, json_pack("[s]", last));
            add_layer(j, "global_average_pool", NULL, NULL, name, json_pack("[s]", inner));
        } else {
            add_layer(j, "activation", "activation", head, name, json_pack("[s]", last));
        }
    }
}

/* The member's layers, each with its own name and those of what it reads. */
static void add_member(struct joining *j, int32_t member) {
    const struct schema_training *t = j->ensemble->families[j->ensemble->members[member].family].training;
    const struct bp_network *net = t->network;
    json_t *definition = schema_definition_encode(t->definition), *layers = json_object_get(definition, "layers");
    char name[BP_NAME_MAX];
    for (int32_t n = net->inputs_count; n < net->nodes_count; n++) {
        const struct bp_node *node = &net->nodes[n];
        json_t *layer = json_array_get(layers, (size_t)net->layer_of[n]), *inputs = json_array();
        for (int32_t i = 0; i < node->inputs_count; i++) {
            const struct bp_node *from = &net->nodes[node->inputs[i]];
            if (from->ops) member_name(j, member, from->name, name);
            json_array_append_new(inputs, json_string(from->ops ? name : from->name));
        }
        member_name(j, member, node->name, name);
        json_object_set_new(layer, "name", json_string(name));
        json_object_set_new(layer, "inputs", inputs);
        json_array_append(j->layers, layer);
    }
    json_decref(definition);
    add_predictions(j, member);
}

static bool is_in(const struct joining *j, int32_t member, int32_t family) {
    return j->members[member].weights && j->ensemble->members[member].family == family;
}

/* What a family counts: the sum of its members' shares; 0: none was trained. */
static double share_of(const struct joining *j, int32_t family) {
    double sum = 0;
    for (int32_t m = 0; m < j->ensemble->members_count; m++)
        if (is_in(j, m, family)) sum += j->members[m].share;
    return sum;
}

static bool has_members(const struct joining *j, int32_t family) {
    for (int32_t m = 0; m < j->ensemble->members_count; m++)
        if (is_in(j, m, family)) return true;
    return false;
}

static void family_layer(const struct joining *j, int32_t family, int32_t o, char name[BP_NAME_MAX]) {
    const char *own = j->ensemble->families[family].name;
    snprintf(name, BP_NAME_MAX, "%s%saverage_%d", own, own[0] ? "_" : "", (int)o + 1);
}

/* A family's average, then that of the families, for each output, which keeps its name. */
static void add_averages(struct joining *j, json_t *outputs) {
    const struct schema_ensemble *e = j->ensemble;
    const struct bp_network *first = e->families[0].training->network;
    const struct schema_preprocessing *p = e->families[0].training->preprocessing;
    char name[BP_NAME_MAX];
    for (int32_t o = 0; o < first->outputs_count; o++) {
        json_t *families = json_array();
        for (int32_t f = 0; f < e->families_count; f++) {
            json_t *inputs = json_array();
            for (int32_t m = 0; m < e->members_count; m++) {
                if (!is_in(j, m, f)) continue;
                prediction_name(j, m, o, name);
                json_array_append_new(inputs, json_string(name));
            }
            family_layer(j, f, o, name);
            if (json_array_size(inputs)) {
                add_layer(j, "weighted_average", "of", "predictions", name, inputs);
                json_array_append_new(families, json_string(name));
            } else {
                json_decref(inputs);
            }
        }
        snprintf(name, sizeof name, "%s", p->outputs[o].name[0] ? p->outputs[o].name : "prediction");
        add_layer(j, "weighted_average", "of", "predictions", name, families);
        json_array_append_new(outputs, json_string(name));
    }
}

static const struct bp_node *node_named(const struct bp_network *net, const char *name) {
    for (int32_t i = net->inputs_count; i < net->nodes_count; i++)
        if (strcmp(net->nodes[i].name, name) == 0) return &net->nodes[i];
    return NULL;
}

/* The weights of each member's layers, and those of the averages. -1: they do not fit, which is a mistake of this file. */
static int fill_weights(const struct joining *j, const struct bp_network *joined, bp_real *weights) {
    const struct schema_ensemble *e = j->ensemble;
    char name[BP_NAME_MAX];
    for (int32_t m = 0; m < e->members_count; m++) {
        const struct bp_network *net = e->families[e->members[m].family].training->network;
        for (int32_t n = net->inputs_count; j->members[m].weights && n < net->nodes_count; n++) {
            member_name(j, m, net->nodes[n].name, name);
            const struct bp_node *node = node_named(joined, name);
            if (!node || node->tensors_count != net->nodes[n].tensors_count) return -1;
            for (int32_t t = 0; t < node->tensors_count; t++)
                memcpy(weights + node->tensors[t].offset, j->members[m].weights + net->nodes[n].tensors[t].offset,
                       (size_t)bp_shape_size(&node->tensors[t].shape) * sizeof *weights);
        }
    }
    for (int32_t o = 0; o < joined->outputs_count; o++) {
        bp_real *last = weights + joined->nodes[joined->outputs[o].node].tensors[0].offset;
        for (int32_t f = 0; f < e->families_count; f++) {
            const double share = share_of(j, f);
            if (!has_members(j, f)) continue;
            *last++ = (bp_real)share;
            family_layer(j, f, o, name);
            const struct bp_node *node = node_named(joined, name);
            if (!node) return -1;
            bp_real *own = weights + node->tensors[0].offset;
            for (int32_t m = 0; m < e->members_count; m++)
                if (is_in(j, m, f)) *own++ = (bp_real)(share > 0 ? j->members[m].share / share : 1.0 / (double)node->inputs_count);
        }
    }
    return 0;
}

int schema_ensemble_join(const json_t *spec, const struct schema_ensemble *e, const struct schema_trained *members, struct schema_training **training,
                         bp_real **weights, struct bp_error *error) {
    struct joining j = {.ensemble = e, .members = members, .layers = json_array()};
    json_t *outputs = json_array(), *joined = family_spec(spec, 0);
    json_t *definition = json_copy(json_object_get(joined, "definition"));
    for (int32_t m = 0; m < e->members_count; m++)
        if (members[m].weights) add_member(&j, m);
    add_averages(&j, outputs);
    json_object_set_new(definition, "layers", j.layers);
    json_object_set_new(definition, "outputs", outputs);
    json_object_set_new(joined, "definition", definition);
    *weights = NULL;
    *training = schema_training_decode(joined, error);
    if (*training && !(*weights = bp_reals_new((*training)->network->weights_count))) bp_error_memory(error, "no memory for the ensemble");
    if (*weights && fill_weights(&j, (*training)->network, *weights) != 0) {
        free(*weights);
        *weights = NULL;
        bp_error_set(error, "", "the members of the ensemble do not fit together");
    }
    json_decref(joined);
    if (*weights) return 0;
    schema_training_free(*training);
    *training = NULL;
    return -1;
}

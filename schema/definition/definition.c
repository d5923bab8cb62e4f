/* definition.c - model definitions from JSON and back. Decoding reports all problems at once; the engine checks shapes. */
#include "schema/definition/definition.h"

#include "schema/json/values.h"
#include "schema/text/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { POINTER_MAX = 512 };

/* ---- decoding ---------------------------------------------------------------------------------------------------- */

/* Names of layers and inputs: any text without control characters that fits. */
static int decode_name(const json_t *json, const char *pointer, char name[BP_NAME_MAX], struct schema_problems *problems) {
    char got[80];
    const char *text = json_string_value(json);
    if (!text || !*text || strlen(text) >= BP_NAME_MAX || strchr(text, '/'))
        return schema_problem_add(problems, pointer, "a name must be a string of 1 to %d bytes without \"/\", got %s", BP_NAME_MAX - 1,
                                  schema_json_text(json, got, sizeof got));
    snprintf(name, BP_NAME_MAX, "%s", text);
    return 0;
}

static void decode_layer_inputs(const json_t *json, const char *pointer, struct bp_layer *layer, struct schema_problems *problems) {
    char place[POINTER_MAX], got[80];
    if (json_is_string(json)) {
        if (decode_name(json, pointer, layer->inputs[0], problems) == 0) layer->inputs_count = 1;
        return;
    }
    if (!json_is_array(json) || json_array_size(json) < 1 || json_array_size(json) > BP_INPUTS_MAX) {
        schema_problem_add(problems, pointer, "inputs must be a list of 1 to %d names of layers or inputs, got %s", BP_INPUTS_MAX,
                           schema_json_text(json, got, sizeof got));
        return;
    }
    size_t i;
    json_t *item;
    json_array_foreach(json, i, item) decode_name(item, schema_pointer_index(pointer, i, place, sizeof place), layer->inputs[i], problems);
    layer->inputs_count = (int32_t)json_array_size(json);
}

/* Factors on the learning rate and on weight decay. */
static const struct {
    const char *name;
    bool may_be_0;
} factors[] = {{"learning_rate_factor", false}, {"bias_learning_rate_factor", false}, {"weight_decay_factor", true}};

static void decode_factors(const json_t *json, const char *pointer, struct bp_factors *to, struct schema_problems *problems) {
    double *const fields[] = {&to->rate, &to->bias_rate, &to->decay};
    char place[POINTER_MAX], got[80];
    for (size_t i = 0; i < sizeof factors / sizeof *factors; i++) {
        const json_t *value = json_object_get(json, factors[i].name);
        if (!value) continue;
        *fields[i] = json_number_value(value);
        if (!json_is_number(value) || *fields[i] < 0 || *fields[i] > 1e6 || (*fields[i] == 0 && !factors[i].may_be_0))
            schema_problem_add(problems, schema_pointer(pointer, factors[i].name, place, sizeof place),
                               "%s must be a number %s 0 and at most 1e6, got %s%s", factors[i].name, factors[i].may_be_0 ? "of at least" : "above",
                               schema_json_text(value, got, sizeof got),
                               json_number_value(value) == 0 && json_is_number(value) ? "; weights that stay have \"trainable\":false" : "");
    }
    to->decay_given = json_object_get(json, "weight_decay_factor") != NULL;
}

static void encode_factors(const struct bp_factors *from, json_t *json) {
    const double values[] = {from->rate, from->bias_rate, from->decay};
    for (size_t i = 0; i < sizeof factors / sizeof *factors; i++)
        if (factors[i].may_be_0 ? from->decay_given : values[i] > 0) json_object_set_new(json, factors[i].name, schema_number_encode(values[i]));
}

static void decode_layer(const json_t *json, const char *pointer, struct bp_layer *layer, struct schema_problems *problems) {
    static const char *const others[] = {"name", "inputs", "trainable", "learning_rate_factor", "bias_learning_rate_factor", "weight_decay_factor",
                                         NULL};
    char place[POINTER_MAX], got[80];
    const struct bp_entry *entry = schema_entry_decode(json, pointer, &bp_layers, others, layer->values, problems);
    layer->ops = (const struct bp_layer_ops *)entry;
    const json_t *name = json_object_get(json, "name"), *inputs = json_object_get(json, "inputs");
    const json_t *trainable = json_object_get(json, "trainable");
    if (trainable && !json_is_boolean(trainable))
        schema_problem_add(problems, schema_pointer(pointer, "trainable", place, sizeof place),
                           "trainable must be true, or false for frozen weights, got %s", schema_json_text(trainable, got, sizeof got));
    layer->frozen = json_is_false(trainable);
    decode_factors(json, pointer, &layer->factors, problems);
    if (name) decode_name(name, schema_pointer(pointer, "name", place, sizeof place), layer->name, problems);
    if (inputs) decode_layer_inputs(inputs, schema_pointer(pointer, "inputs", place, sizeof place), layer, problems);
}

static void decode_layers(struct schema_definition *d, const json_t *json, const char *pointer, struct schema_problems *problems) {
    char place[POINTER_MAX], got[80];
    if (!json_is_array(json) || json_array_size(json) > SCHEMA_LAYERS_MAX) {
        schema_problem_add(problems, pointer,
                           "layers must be a list of at most %d layers, like [{\"type\":\"dense\",\"units\":32,\"activation\":\"relu\"}], got %s",
                           SCHEMA_LAYERS_MAX, schema_json_text(json, got, sizeof got));
        return;
    }
    d->layers = calloc(json_array_size(json) + 1, sizeof *d->layers);
    if (!d->layers) {
        schema_problem_no_memory(problems);
        return;
    }
    d->layers_count = (int32_t)json_array_size(json);
    for (int32_t i = 0; i < d->layers_count; i++)
        decode_layer(json_array_get(json, (size_t)i), schema_pointer_index(pointer, (size_t)i, place, sizeof place), &d->layers[i], problems);
}

static void decode_shape(const json_t *json, const char *pointer, struct bp_shape *shape, struct schema_problems *problems) {
    char got[80];
    bool good = json_is_array(json) && json_array_size(json) >= 1 && json_array_size(json) <= BP_RANK_MAX;
    for (size_t i = 0; good && i < json_array_size(json); i++) {
        json_int_t n = json_integer_value(json_array_get(json, i));
        good = json_is_integer(json_array_get(json, i)) && n >= 1 && n <= 1 << 20;
        shape->dims[i] = (int32_t)n;
    }
    if (good) {
        shape->rank = (int32_t)json_array_size(json);
        if (bp_shape_size(shape) > 0) return;
    }
    shape->rank = -1;
    schema_problem_add(problems, pointer, "a shape must be a list of 1 to %d positive integers without the batch dimension, like [28,28,1], got %s",
                       BP_RANK_MAX, schema_json_text(json, got, sizeof got));
}

static void decode_inputs(struct schema_definition *d, const json_t *json, const char *pointer, struct schema_problems *problems) {
    char place[POINTER_MAX], deeper[POINTER_MAX], got[80];
    if (!json_is_object(json) || json_object_size(json) > BP_INPUTS_MAX) {
        schema_problem_add(problems, pointer, "inputs must be an object like {\"features\":{\"shape\":[4]}} with at most %d inputs, got %s",
                           BP_INPUTS_MAX, schema_json_text(json, got, sizeof got));
        return;
    }
    d->inputs = calloc(json_object_size(json) + 1, sizeof *d->inputs);
    if (!d->inputs) {
        schema_problem_no_memory(problems);
        return;
    }
    const char *name;
    json_t *input;
    json_object_foreach((json_t *)json, name, input) {
        schema_pointer(pointer, name, place, sizeof place);
        struct bp_input *in = &d->inputs[d->inputs_count++];
        in->shape.rank = -1;
        json_t *text = json_string(name);
        decode_name(text, place, in->name, problems);
        json_decref(text);
        const json_t *shape = json_is_object(input) ? json_object_get(input, "shape") : input;
        if (!shape || (json_is_object(input) && json_object_size(input) != 1))
            schema_problem_add(problems, place, "an input is {\"shape\":[...]}, got %s", schema_json_text(input, got, sizeof got));
        else decode_shape(shape, schema_pointer(place, "shape", deeper, sizeof deeper), &in->shape, problems);
    }
}

struct schema_named_output *schema_definition_named(struct schema_definition *d, const char *name) {
    for (int32_t i = 0; i < d->named_count; i++)
        if (strcmp(d->named[i].name, name) == 0) return &d->named[i];
    if (d->named_count == BP_OUTPUTS_MAX) return NULL;
    struct schema_named_output *named = &d->named[d->named_count++];
    snprintf(named->name, sizeof named->name, "%s", name);
    return named;
}

/* The entry of an output in a map by output, or NULL with a problem. */
static struct schema_named_output *decode_named(struct schema_definition *d, const char *name, const char *pointer,
                                                struct schema_problems *problems) {
    char text[BP_NAME_MAX];
    json_t *json = json_string(name);
    const int failed = decode_name(json, pointer, text, problems);
    json_decref(json);
    struct schema_named_output *named = failed ? NULL : schema_definition_named(d, text);
    if (!failed && !named) schema_problem_add(problems, pointer, "at most %d outputs can be named", BP_OUTPUTS_MAX);
    return named;
}

/* One list of metrics, into `to`. */
static void decode_metric_list(const json_t *json, const char *pointer, struct schema_named_output *to, struct schema_problems *problems) {
    char place[POINTER_MAX], got[80];
    if (!json_is_array(json) || json_array_size(json) > BP_METRICS_MAX) {
        schema_problem_add(problems, pointer, "metrics must be a list of at most %d names, like [\"accuracy\",\"f1\"], got %s", BP_METRICS_MAX,
                           schema_json_text(json, got, sizeof got));
        return;
    }
    to->metrics_given = true;
    for (size_t i = 0; i < json_array_size(json); i++) {
        struct bp_value values[BP_VALUES_MAX];
        schema_pointer_index(pointer, i, place, sizeof place);
        const struct bp_entry *entry = schema_entry_decode(json_array_get(json, i), place, &bp_metrics, NULL, values, problems);
        for (int32_t k = 0; entry && k < to->metrics_count; k++)
            if (&to->metrics[k]->entry == entry) {
                schema_problem_add(problems, place, "the metric \"%s\" is listed twice", entry->name);
                entry = NULL;
            }
        if (!entry) continue;
        for (int32_t k = 0; k < entry->params_count; k++) to->metric_numbers[to->metrics_count][k] = values[k].number;
        to->metrics[to->metrics_count++] = (const struct bp_metric_ops *)entry;
    }
}

static void decode_metrics(struct schema_definition *d, const json_t *json, const char *pointer, struct schema_problems *problems) {
    char place[POINTER_MAX];
    const char *name;
    json_t *list;
    if (!json_is_object(json)) {
        struct schema_named_output all = {0};
        decode_metric_list(json, pointer, &all, problems);
        d->metrics_given = all.metrics_given;
        d->metrics_count = all.metrics_count;
        memcpy(d->metrics, all.metrics, sizeof d->metrics);
        memcpy(d->metric_numbers, all.metric_numbers, sizeof d->metric_numbers);
        return;
    }
    json_object_foreach((json_t *)json, name, list) {
        schema_pointer(pointer, name, place, sizeof place);
        struct schema_named_output *named = decode_named(d, name, place, problems);
        if (named) decode_metric_list(list, place, named, problems);
    }
}

/* "mse", {"type":"huber","delta":2}, or by output: {"price":"mse","kind":{"type":...}}. */
static void decode_loss(struct schema_definition *d, const json_t *json, const char *pointer, struct schema_problems *problems) {
    char place[POINTER_MAX];
    const char *name;
    json_t *loss;
    if (!json_is_object(json) || json_object_get(json, "type") || json_object_size(json) == 0) {
        d->loss = (const struct bp_loss_ops *)schema_entry_decode(json, pointer, &bp_losses, NULL, d->loss_values, problems);
        return;
    }
    json_object_foreach((json_t *)json, name, loss) {
        schema_pointer(pointer, name, place, sizeof place);
        struct schema_named_output *named = decode_named(d, name, place, problems);
        if (named) named->loss = (const struct bp_loss_ops *)schema_entry_decode(loss, place, &bp_losses, NULL, named->loss_values, problems);
    }
}

static void decode_loss_weights(struct schema_definition *d, const json_t *json, const char *pointer, struct schema_problems *problems) {
    char place[POINTER_MAX], got[80];
    const char *name;
    json_t *weight;
    if (!json_is_object(json)) {
        schema_problem_add(problems, pointer, "loss_weights must be an object by output, like {\"price\":1,\"kind\":0.5}, got %s",
                           schema_json_text(json, got, sizeof got));
        return;
    }
    json_object_foreach((json_t *)json, name, weight) {
        schema_pointer(pointer, name, place, sizeof place);
        struct schema_named_output *named = decode_named(d, name, place, problems);
        if (!named) continue;
        named->weight = json_number_value(weight);
        if (!json_is_number(weight) || !(named->weight > 0) || named->weight > 1e9)
            schema_problem_add(problems, place, "the weight of a loss must be a number greater than 0 and at most 1e9, got %s",
                               schema_json_text(weight, got, sizeof got));
    }
}

static void decode_outputs(struct schema_definition *d, const json_t *json, const char *pointer, struct schema_problems *problems) {
    char place[POINTER_MAX], got[80];
    if (json_is_string(json)) {
        if (decode_name(json, pointer, d->outputs[0], problems) == 0) d->outputs_count = 1;
        return;
    }
    if (!json_is_array(json) || json_array_size(json) < 1 || json_array_size(json) > BP_OUTPUTS_MAX) {
        schema_problem_add(problems, pointer, "outputs must name 1 to %d layers, like \"dense_2\" or [\"price\",\"kind\"], got %s", BP_OUTPUTS_MAX,
                           schema_json_text(json, got, sizeof got));
        return;
    }
    for (size_t i = 0; i < json_array_size(json); i++)
        decode_name(json_array_get(json, i), schema_pointer_index(pointer, i, place, sizeof place), d->outputs[i], problems);
    d->outputs_count = (int32_t)json_array_size(json);
}

/* Whether it reads like a name that the network gives to a layer without one: "dense_1", "max_pool2d_3". */
static bool is_given_name(const char *name) {
    const char *number = strrchr(name, '_');
    char type[BP_NAME_MAX];
    if (!number || !number[1] || number[1 + strspn(number + 1, "0123456789")]) return false;
    snprintf(type, sizeof type, "%.*s", (int)(number - name), name);
    return bp_family_find(&bp_layers, type) != NULL;
}

int32_t schema_definition_open_inputs(const struct schema_definition *d, struct bp_input *open) {
    struct bp_input unknown = {.name = "features", .shape = {.rank = -1}};
    int32_t count = 0;
    for (int32_t i = 0; i < d->layers_count; i++)
        for (int32_t k = 0; k < d->layers[i].inputs_count; k++) {
            const char *name = d->layers[i].inputs[k];
            bool known = false;
            for (int32_t j = 0; j < d->layers_count && !known; j++) known = strcmp(d->layers[j].name, name) == 0;
            for (int32_t j = 0; j < count && !known; j++) known = strcmp(open[j].name, name) == 0;
            if (!known && !is_given_name(name) && count < BP_INPUTS_MAX) {
                open[count] = unknown;
                snprintf(open[count++].name, BP_NAME_MAX, "%s", name);
            }
        }
    for (int32_t i = 0; i < d->layers_count; i++) /* whether the data has an input of that name is not known */
        if (strcmp(d->layers[i].name, unknown.name) == 0) snprintf(unknown.name, sizeof unknown.name, "the input");
    if (count == 0) open[count++] = unknown;
    return count;
}

/* Wiring and shapes as far as they are known without data. */
static void check_plan(const struct schema_definition *d, const char *pointer, struct schema_problems *problems) {
    char place[POINTER_MAX];
    struct bp_input open[BP_INPUTS_MAX];
    if (d->layers_count == 0) return;
    const bool named = d->inputs_count > 0;
    const int32_t count = named ? 0 : schema_definition_open_inputs(d, open);
    struct bp_graph graph = schema_definition_graph(d, named ? d->inputs : open, named ? d->inputs_count : count);
    struct bp_network *network = NULL;
    struct bp_error error = {0};
    for (int32_t o = 0; o < BP_OUTPUTS_MAX; o++)
        graph.outputs[o].loss = NULL;          /* the output layer may have been left out: whether the loss suits it is known with the data */
    graph.any_readers = d->outputs_count == 0; /* a job may name several outputs */
    if (bp_network_plan(&graph, &network, &error) != 0) {
        snprintf(place, sizeof place, "%s%s", pointer, error.pointer);
        schema_problem_error(problems, place, &error);
    }
    bp_network_free(network);
}

struct schema_definition *schema_definition_decode(const json_t *json, const char *pointer, const char *const *others,
                                                   struct schema_problems *problems) {
    static const struct bp_entry definition_entry = {.name = "a model definition"};
    static const char *const own[] = {"layers", "inputs", "loss", "metrics", "outputs", "loss_weights", NULL};
    const struct schema_names more = {others, NULL}, known = {own, &more};
    int64_t before = problems->total;
    char place[POINTER_MAX], got[80];
    if (!json_is_object(json)) {
        schema_problem_add(problems, pointer, "a model definition must be an object with \"layers\", got %s",
                           schema_json_text(json, got, sizeof got));
        return NULL;
    }
    struct schema_definition *d = calloc(1, sizeof *d);
    if (!d) {
        schema_problem_no_memory(problems);
        return NULL;
    }
    struct bp_value none[1];
    schema_values_decode(json, pointer, &definition_entry, &known, none, problems);
    const json_t *layers = json_object_get(json, "layers"), *inputs = json_object_get(json, "inputs"), *loss = json_object_get(json, "loss");
    const json_t *metrics = json_object_get(json, "metrics"), *outputs = json_object_get(json, "outputs");
    if (!layers)
        schema_problem_add(problems, pointer,
                           "a model definition needs \"layers\": a list like [{\"type\":\"dense\",\"units\":32,\"activation\":\"relu\"}]");
    else decode_layers(d, layers, schema_pointer(pointer, "layers", place, sizeof place), problems);
    if (inputs) decode_inputs(d, inputs, schema_pointer(pointer, "inputs", place, sizeof place), problems);
    const json_t *weights = json_object_get(json, "loss_weights");
    if (loss && !json_is_null(loss)) decode_loss(d, loss, schema_pointer(pointer, "loss", place, sizeof place), problems);
    if (weights) decode_loss_weights(d, weights, schema_pointer(pointer, "loss_weights", place, sizeof place), problems);
    if (metrics) decode_metrics(d, metrics, schema_pointer(pointer, "metrics", place, sizeof place), problems);
    if (outputs) decode_outputs(d, outputs, schema_pointer(pointer, "outputs", place, sizeof place), problems);
    if (problems->total == before) check_plan(d, pointer, problems);
    if (problems->total == before) return d;
    schema_definition_free(d);
    return NULL;
}

void schema_definition_free(struct schema_definition *definition) {
    if (!definition) return;
    free(definition->inputs);
    free(definition->layers);
    free(definition);
}

/* ---- encoding -------------------------------------------------------------------------------------------------------- */

json_t *schema_shape_json(const struct bp_shape *shape) {
    if (shape->rank < 0) return json_null();
    json_t *list = json_array();
    for (int32_t i = 0; i < shape->rank; i++) json_array_append_new(list, shape->dims[i] > 0 ? json_integer(shape->dims[i]) : json_null());
    return list;
}

static json_t *encode_metrics(int32_t count, const struct bp_metric_ops *const *metrics, const double (*numbers)[BP_METRIC_NUMBERS_MAX]) {
    json_t *list = json_array();
    for (int32_t i = 0; i < count; i++) json_array_append_new(list, schema_member_encode(&metrics[i]->entry, numbers[i]));
    return list;
}

/* Maps by output. */
static void encode_named(const struct schema_definition *d, json_t *json) {
    json_t *loss = json_object(), *metrics = json_object(), *weights = json_object();
    for (int32_t i = 0; i < d->named_count; i++) {
        const struct schema_named_output *named = &d->named[i];
        if (named->loss) json_object_set_new(loss, named->name, schema_entry_encode(&named->loss->entry, named->loss_values));
        if (named->metrics_given)
            json_object_set_new(metrics, named->name, encode_metrics(named->metrics_count, named->metrics, named->metric_numbers));
        if (named->weight > 0) json_object_set_new(weights, named->name, schema_number_encode(named->weight));
    }
    if (json_object_size(loss)) json_object_set(json, "loss", loss);
    if (json_object_size(metrics)) json_object_set(json, "metrics", metrics);
    if (json_object_size(weights)) json_object_set(json, "loss_weights", weights);
    json_decref(loss);
    json_decref(metrics);
    json_decref(weights);
}

json_t *schema_definition_encode(const struct schema_definition *d) {
    json_t *layers = json_array(), *json = json_object();
    for (int32_t i = 0; i < d->layers_count; i++) {
        const struct bp_layer *layer = &d->layers[i];
        json_t *item = schema_entry_encode(&layer->ops->entry, layer->values);
        if (layer->name[0]) json_object_set_new(item, "name", json_string(layer->name));
        if (layer->frozen) json_object_set_new(item, "trainable", json_false());
        encode_factors(&layer->factors, item);
        if (layer->inputs_count > 0) {
            json_t *names = json_array();
            for (int32_t k = 0; k < layer->inputs_count; k++) json_array_append_new(names, json_string(layer->inputs[k]));
            json_object_set_new(item, "inputs", names);
        }
        json_array_append_new(layers, item);
    }
    json_object_set_new(json, "layers", layers);
    if (d->inputs_count > 0) {
        json_t *inputs = json_object();
        for (int32_t i = 0; i < d->inputs_count; i++)
            json_object_set_new(inputs, d->inputs[i].name, json_pack("{s:o}", "shape", schema_shape_json(&d->inputs[i].shape)));
        json_object_set_new(json, "inputs", inputs);
    }
    if (d->named_count > 0) encode_named(d, json);
    if (d->loss) json_object_set_new(json, "loss", schema_entry_encode(&d->loss->entry, d->loss_values));
    if (d->metrics_given || d->metrics_count > 0)
        json_object_set_new(json, "metrics", encode_metrics(d->metrics_count, d->metrics, d->metric_numbers));
    if (d->outputs_count > 0) {
        json_t *outputs = json_array();
        for (int32_t o = 0; o < d->outputs_count; o++) json_array_append_new(outputs, json_string(d->outputs[o]));
        json_object_set_new(json, "outputs", outputs);
    }
    return json;
}

int schema_definition_append(struct schema_definition *d, const char *type, int32_t units, const char *activation, const char *name,
                             const char *input) {
    struct bp_layer *layers = realloc(d->layers, ((size_t)d->layers_count + 1) * sizeof *layers);
    if (!layers) return -1;
    d->layers = layers;
    struct bp_layer *layer = &layers[d->layers_count++];
    memset(layer, 0, sizeof *layer);
    layer->ops = (const struct bp_layer_ops *)bp_family_find(&bp_layers, type);
    bp_values_preset(&layer->ops->entry, layer->values);
    for (int32_t i = 0; i < layer->ops->entry.params_count; i++) {
        const char *parameter = layer->ops->entry.params[i].name;
        if (strcmp(parameter, "units") == 0) layer->values[i].number = units;
        if (strcmp(parameter, "activation") == 0) layer->values[i].entry = bp_family_find(&bp_activations, activation);
    }
    snprintf(layer->name, sizeof layer->name, "%s", name);
    snprintf(layer->inputs[0], BP_NAME_MAX, "%s", input);
    layer->inputs_count = input[0] ? 1 : 0;
    return 0;
}

struct bp_graph schema_definition_graph(const struct schema_definition *d, const struct bp_input *inputs, int32_t inputs_count) {
    struct bp_graph graph = {.inputs_count = inputs ? inputs_count : d->inputs_count,
                             .layers_count = d->layers_count,
                             .outputs_count = d->outputs_count > 0 ? d->outputs_count : 1,
                             .inputs = inputs ? inputs : d->inputs,
                             .layers = d->layers};
    for (int32_t o = 0; o < graph.outputs_count; o++) {
        struct bp_graph_output *output = &graph.outputs[o];
        if (d->outputs_count > 0) memcpy(output->name, d->outputs[o], sizeof output->name);
        output->loss = d->loss;
        memcpy(output->values, d->loss_values, sizeof output->values);
        for (int32_t i = 0; i < d->named_count; i++) {
            if (strcmp(d->named[i].name, output->name) != 0) continue;
            output->weight = d->named[i].weight;
            if (!d->named[i].loss) continue;
            output->loss = d->named[i].loss;
            memcpy(output->values, d->named[i].loss_values, sizeof output->values);
        }
    }
    return graph;
}

json_t *schema_network_layers_json(const struct bp_network *network) {
    json_t *list = json_array();
    for (int32_t i = network->inputs_count; i < network->nodes_count; i++) {
        const struct bp_node *node = &network->nodes[i];
        int64_t parameters = 0;
        for (int32_t k = 0; k < node->tensors_count; k++) parameters += bp_shape_size(&node->tensors[k].shape);
        json_t *inputs = json_array();
        for (int32_t k = 0; k < node->inputs_count; k++) json_array_append_new(inputs, json_string(network->nodes[node->inputs[k]].name));
        json_array_append_new(list, json_pack("{s:s, s:s, s:o, s:o, s:I}", "name", node->name, "type", node->ops->entry.name, "inputs", inputs,
                                              "output_shape", schema_shape_json(&node->out), "parameters", (json_int_t)parameters));
    }
    return list;
}
